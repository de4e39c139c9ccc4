/* The page "Try it": two ways in over one worker. Nothing is fetched: the parts that the page needs come as scripts,
   because a page that is opened from the file system may load no other files. */
/* global numbers */
"use strict";

(() => {
  const $ = (id) => document.getElementById(id);
  const RATE = 0.05, LONGER = 256, FEWEST = 20, SHOWN = 24;
  const STAGES = {
    reading: "Reading the photographs",
    learning: "Looking at them through the network",
    choosing: "Choosing typical patches",
    calibrating: "Scoring what was held back",
  };

  /* Errors in words: what happened, and what a visitor can do about it. */
  function explain(error) {
    const text = String(error?.message ?? error);
    if (/memory|allocat|RangeError|Array buffer/i.test(text)) {
      return "Your browser has run out of memory. Close other tabs, or take fewer photographs, and load the page again.";
    }
    if (/WebAssembly|wasm|DecompressionStream|OffscreenCanvas|SIMD/i.test(text)) {
      return "This browser does not run the network: it needs WebAssembly with SIMD (Chrome, Edge or Firefox since 2023, Safari since 17; some switch it off in a locked-down mode).";
    }
    return `Something went wrong: ${text}. Load the page again; if it stays, another browser may help.`;
  }

  function fail(error) {
    $("try-status").textContent = explain(error);
    $("try-status").classList.add("try-alarm");
    document.querySelectorAll("#try button, #try input").forEach((control) => (control.disabled = true));
  }

  /* A part of the page: base64 of gzip. */
  async function part(name) {
    const packed = globalThis.tryParts?.[name];
    if (!packed) throw new Error(`the part "${name}" of this page did not arrive`);
    delete globalThis.tryParts[name];
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  /* The worker, as a function: ask("fit", {...}) -> promise of its answer; onProgress hears of its stages. */
  const waiting = new Map();
  let worker, asked = 0, onProgress = () => {};

  function ask(kind, data) {
    return new Promise((resolve, reject) => {
      const id = asked++;
      waiting.set(id, { resolve, reject });
      worker.postMessage({ ask: kind, id, ...data });
    });
  }

  function hear({ data }) {
    if (data.type === "progress") return onProgress(data);
    const { resolve, reject } = waiting.get(data.id);
    waiting.delete(data.id);
    return data.error ? reject(new Error(data.error)) : resolve(data.value);
  }

  async function start() {
    for (const needed of ["WebAssembly", "DecompressionStream", "OffscreenCanvas", "Worker"]) {
      if (typeof globalThis[needed] === "undefined") throw new Error(needed);
    }
    const [code, glue, wasm, features, nearest] = await Promise.all(
      ["code", "glue", "wasm", "features", "nearest"].map(part)
    );
    worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
    worker.onmessage = hear;
    worker.onerror = (event) => fail(event.message);
    await ask("start", { glue, wasm, features, nearest });
  }

  /* Shows on a progress bar how far the worker is. */
  function progressOn(bar, text) {
    bar.hidden = false;
    onProgress = ({ stage, share }) => {
      bar.value = share;
      text.textContent = `${STAGES[stage]}: ${Math.round(100 * share)} %`;
    };
    return () => (bar.hidden = true);
  }

  /* Violet to yellow, the upper two thirds of the course's heat maps: dark colours would look like dark metal. */
  const RAMP = [[106, 23, 110], [174, 48, 92], [229, 92, 48], [251, 155, 6], [252, 255, 164]];

  /* The photograph on a canvas, under its heat where that is wanted: it begins at the threshold. */
  function draw(canvas, { pixels, map, grid, frame: [height, width] }, threshold, warm) {
    const shown = new Uint8ClampedArray(pixels);
    if (warm) {
      numbers.enlarged(map, grid, [height, width]).forEach((value, i) => {
        const heat = Math.min(1, Math.max(0, (value / threshold - 1) / 0.6));
        const step = Math.min(3, Math.floor(4 * heat));
        const cover = 0.8 * Math.sqrt(heat);
        for (let c = 0; c < 3; c++) {
          const colour = RAMP[step][c] + (4 * heat - step) * (RAMP[step + 1][c] - RAMP[step][c]);
          shown[4 * i + c] = (1 - cover) * shown[4 * i + c] + cover * colour;
        }
      });
    }
    [canvas.width, canvas.height] = [width, height];
    canvas.getContext("2d").putImageData(new ImageData(shown, width, height), 0, 0);
  }

  const digits = (value, count = 2) => value.toFixed(count);
  const percent = (share) => `${digits(100 * share, share < 0.095 && (100 * share) % 1 ? 1 : 0)} %`;

  /* (a) The shipped ball screws. */
  async function demo() {
    const sample = JSON.parse(new TextDecoder().decode(await part("sample")));
    const places = sample.places.map((place) => ({
      ...place,
      photographs: place.photographs.map(({ jpeg, ...about }) => {
        const bytes = Uint8Array.from(atob(jpeg), (letter) => letter.charCodeAt(0));
        return { ...about, file: new Blob([bytes], { type: "image/jpeg" }), found: null };
      }),
    }));
    let place = places[0], verdicts = null;
    const slider = $("demo-day"), canvas = $("demo-photo");

    places.forEach(({ name }, k) => {
      const label = document.createElement("label");
      const choice = Object.assign(document.createElement("input"), { type: "radio", name: "demo-place", checked: !k });
      choice.addEventListener("change", () => {
        place = places[k];
        show();
      });
      label.append(choice, ` ${name}`);
      $("demo-places").append(label);
    });
    slider.max = place.photographs.length;

    async function show() {
      const number = Number(slider.value);
      const photograph = place.photographs[number - 1];
      const when = `photograph ${number} of ${place.photographs.length}, ${photograph.time}`;
      $("demo-when").textContent = when;
      slider.setAttribute("aria-valuetext", when);
      const marked = photograph.marked ? "the engineer marked pitting" : "no pitting marked";
      if (photograph.found && verdicts) {
        const { score } = photograph.found;
        draw(canvas, photograph.found, verdicts.threshold, $("demo-heat").checked);
        const alarm = score > verdicts.threshold;
        canvas.setAttribute("aria-label", `${when}; score ${digits(score, 1)}, ${alarm ? "alarm" : "no alarm"}`);
        $("demo-score").textContent = `score ${digits(score, 1)}`;
        $("demo-p").textContent = `p = ${digits(numbers.pValue(verdicts.held, score))}`;
        $("demo-verdict").textContent = alarm ? "alarm" : "no alarm";
        $("demo-verdict").className = alarm ? "try-badge try-alarm" : "try-badge";
        $("demo-marked").textContent = marked;
        $("demo-facts").hidden = false;
      } else {
        const picture = await createImageBitmap(photograph.file);
        [canvas.width, canvas.height] = [picture.width, picture.height];
        canvas.getContext("2d").drawImage(picture, 0, 0);
        canvas.setAttribute("aria-label", `${when}; not scored yet`);
        $("demo-facts").hidden = true;
      }
      chart($("demo-chart"), place.photographs, verdicts?.threshold, number);
    }
    slider.addEventListener("input", show);
    $("demo-heat").addEventListener("change", show);

    async function learn() {
      $("demo-go").disabled = true;
      const done = progressOn($("demo-progress"), $("demo-text"));
      const good = places.flatMap(({ name, photographs }) =>
        photographs.slice(0, sample.learn).map(({ file }, k) => ({ name: `${name} ${k}`, file }))
      );
      const began = performance.now();
      const model = await ask("fit", { name: "demo", photographs: good, frame: sample.frame });
      const seconds = digits((performance.now() - began) / 1000, 0);
      verdicts = { held: model.held, ...numbers.thresholdAt(model.held, RATE) };
      $("demo-text").textContent =
        `Learned from ${model.learned} photographs in ${seconds} seconds: ${model.bank} typical patches. ` +
        `${model.held.length} held back set the threshold ${digits(verdicts.threshold, 1)}: of photographs like the first ` +
        `${sample.learn} at most ${percent(verdicts.promise)} raise an alarm, on average.`;
      $("demo-go").hidden = true;
      done();
      for (;;) {
        const wanted = place.photographs[Number(slider.value) - 1];
        const next = wanted.found ? [place, ...places].flatMap((p) => p.photographs).find((p) => !p.found) : wanted;
        if (!next) break;
        next.found = await ask("score", { name: "demo", file: next.file });
        await show();
      }
      $("demo").dataset.done = "true";
    }
    $("demo-go").addEventListener("click", () => learn().catch(fail));
    await show();
    $("demo-go").disabled = false;
    return () => places.map(({ name, photographs }) => ({ name, scores: photographs.map((p) => p.found?.score) }));
  }

  /* Scores over time as a line; filled diamonds where the engineer marked pitting. */
  function chart(svg, photographs, threshold, current) {
    const scores = photographs.map((p) => p.found?.score).filter(Boolean);
    const [low, high] = [18, Math.max(42, ...scores)];
    const x = (k) => 26 + (k * 568) / (photographs.length - 1);
    const y = (score) => 118 - ((Math.max(low, score) - low) * 106) / (high - low);
    const here = x(current - 1);
    const parts = [`<line class="here" x1="${here}" x2="${here}" y1="6" y2="122"/>`];
    if (threshold) {
      const level = y(threshold);
      parts.push(`<line class="threshold" x1="14" x2="606" y1="${level}" y2="${level}"/>`);
      parts.push(`<text x="14" y="${level - 5}">threshold</text>`);
    }
    photographs.forEach((p, k) => {
      if (!p.found) return;
      const kind = p.found.score > threshold ? "alarm" : "fine";
      const [a, b, r] = [x(k), y(p.found.score), k === current - 1 ? 5.5 : 3.8];
      parts.push(
        p.marked
          ? `<path class="${kind}" d="M${a} ${b - r - 1}l${r + 1} ${r + 1}l${-r - 1} ${r + 1}l${-r - 1} ${-r - 1}z"/>`
          : `<circle class="${kind} open" cx="${a}" cy="${b}" r="${r}"/>`
      );
    });
    svg.innerHTML = parts.join("");
  }

  /* (b) The visitor's own photographs. */
  function own() {
    let good = [], verdicts = null, frame = null, judged = [], unreadable = [];

    const shapeOf = (file) =>
      new Promise((resolve) => {
        const image = new Image();
        const end = (shape) => () => {
          URL.revokeObjectURL(image.src);
          resolve(shape && [image.naturalHeight, image.naturalWidth]);
        };
        [image.onload, image.onerror] = [end(true), end(null)];
        image.src = URL.createObjectURL(file);
      });

    function gather(photographs) {
      good = [...good, ...photographs].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
      const lacking = FEWEST - good.length;
      $("own-count").textContent =
        `${good.length} good photograph${good.length === 1 ? "" : "s"}` +
        (lacking > 0 ? `: at least ${lacking} more are needed.` : ".");
      $("own-fit").disabled = lacking > 0;
    }

    async function fit() {
      $("own-fit").disabled = $("own-others").disabled = true;
      const done = progressOn($("own-progress"), $("own-text"));
      const shapes = await Promise.all(good.map(({ file }) => shapeOf(file)));
      const readable = good.filter((_, k) => shapes[k]);
      const broken = good.filter((_, k) => !shapes[k]).map(({ name }) => name);
      frame = readable.length ? numbers.frameOf(shapes.filter(Boolean), LONGER) : [LONGER, LONGER];
      const began = performance.now();
      const model = await ask("fit", { name: "own", photographs: readable, frame });
      done();
      const left = [...broken, ...model.unreadable];
      const notes = [
        left.length ? `Not readable: ${left.join(", ")}.` : "",
        model.copies.length ? `Left out as exact copies of others: ${model.copies.join(", ")}.` : "",
      ].filter(Boolean);
      $("own-fit").disabled = false;
      if (model.few !== undefined) {
        $("own-text").textContent = [`Only ${model.few} different photographs can be read: bring more.`, ...notes].join(" ");
        return;
      }
      verdicts = { held: model.held, ...numbers.thresholdAt(model.held, RATE) };
      const promise =
        verdicts.promise > RATE
          ? ` Bring 190 or more good ones for a promise of ${percent(RATE)}: a threshold needs 19 held back for that.`
          : "";
      $("own-text").textContent = [
        `Learned from ${model.learned} photographs of ${frame[1]} × ${frame[0]} pixels in ` +
          `${digits((performance.now() - began) / 1000, 0)} seconds: ${model.bank} typical patches. ` +
          `${model.held.length} held back set the threshold ${digits(verdicts.threshold)}: of new photographs like ` +
          `the good ones at most ${percent(verdicts.promise)} raise an alarm, on average.${promise}`,
        ...notes,
      ].join(" ");
      $("own-text").dataset.seconds = (performance.now() - began) / 1000;
      [judged, unreadable] = [[], []];
      list();
      $("own-judge").hidden = false;
      $("own-others").disabled = false;
    }

    async function judge(photographs) {
      const bar = $("own-scoring");
      bar.hidden = false;
      let number = 0, listed = performance.now();
      for (const { name, file } of photographs) {
        try {
          judged.push({ name, ...(await ask("score", { name: "own", file })) });
        } catch (error) {
          if (/memory|RangeError/i.test(error.message)) throw error;
          unreadable.push(name);
        }
        bar.value = ++number / photographs.length;
        $("own-said").textContent = `${number} of ${photographs.length} judged`;
        if (performance.now() - listed > 1500) {
          list();
          listed = performance.now();
        }
      }
      bar.hidden = true;
      list();
      $("own").dataset.done = judged.length + unreadable.length;
    }

    const order = () => judged.toSorted((a, b) => b.score - a.score);
    const verdict = ({ score }) => (score > verdicts.threshold ? "anomalous" : "normal");

    function list(all = false) {
      const ranked = order();
      const cards = ranked.slice(0, all ? ranked.length : SHOWN).map((one, k) => {
        const card = document.createElement("li");
        const canvas = document.createElement("canvas");
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `${one.name} with its heat map`);
        draw(canvas, one, verdicts.threshold, $("own-heat").checked);
        const name = Object.assign(document.createElement("p"), { textContent: `${k + 1}. ${one.name}`, title: one.name });
        const facts = document.createElement("p");
        const odd = verdict(one) === "anomalous";
        const badge = Object.assign(document.createElement("span"), {
          className: odd ? "try-badge try-alarm" : "try-badge",
          textContent: verdict(one),
        });
        const rest = document.createElement("small");
        rest.textContent = `score ${digits(one.score)}, p = ${digits(numbers.pValue(verdicts.held, one.score))}`;
        facts.append(badge, " ", rest);
        card.append(canvas, name, facts);
        return card;
      });
      $("own-list").replaceChildren(...cards);
      $("own-more").hidden = all || ranked.length <= SHOWN;
      $("own-tools").hidden = !ranked.length && !unreadable.length;
      const odd = ranked.filter((one) => verdict(one) === "anomalous").length;
      $("own-said").textContent =
        ranked.length || unreadable.length
          ? `${odd} of ${ranked.length} called anomalous.` +
            (unreadable.length ? ` Not readable: ${unreadable.join(", ")}.` : "")
          : "";
    }

    function save() {
      const cell = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
      const rows = order().map((one, k) => [
        k + 1, one.name, verdict(one), one.score, numbers.pValue(verdicts.held, one.score),
      ]);
      rows.push(...unreadable.map((name) => ["", name, "unreadable", "", ""]));
      const text = [["rank", "file", "verdict", "score", "p_value"], ...rows].map((row) => row.map(cell).join(",") + "\r\n");
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(text, { type: "text/csv" }));
      link.download = "scores.csv";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    }

    const guarded = (work) => (...given) => work(...given).catch(fail);
    const take = guarded(async (photographs) => gather(photographs));
    const takeOthers = guarded(judge);
    zone($("own-good"), take);
    zone($("own-others"), takeOthers);
    $("own-fit").addEventListener("click", guarded(fit));
    $("own-heat").addEventListener("change", () => list());
    $("own-more").addEventListener("click", () => list(true));
    $("own-csv").addEventListener("click", save);
    camera({ good: take, others: takeOthers }, () => verdicts !== null);
    gather([]);
    $("own-good").disabled = false;
  }

  /* A file input and the box around it, onto which files and folders may be dropped. */
  function zone(input, take) {
    const box = input.closest(".try-zone");
    const named = (file) => ({ name: file.webkitRelativePath || file.name, file });
    input.addEventListener("change", () => {
      take([...input.files].map(named));
      input.value = "";
    });
    box.addEventListener("dragover", (event) => {
      event.preventDefault();
      box.classList.add("try-over");
    });
    box.addEventListener("dragleave", () => box.classList.remove("try-over"));
    box.addEventListener("drop", async (event) => {
      event.preventDefault();
      box.classList.remove("try-over");
      if (input.disabled) return;
      const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
      take((await Promise.all(entries.map(walk))).flat());
    });
  }

  async function walk(entry) {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      return [{ name: entry.fullPath.slice(1), file }];
    }
    const reader = entry.createReader(), found = [];
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return (await Promise.all(found.map(walk))).flat();
      found.push(...some);
    }
  }

  /* Photographs from a camera, where the browser has one and its owner agrees. */
  function camera(takers, fitted) {
    if (!navigator.mediaDevices?.getUserMedia) return;
    const video = $("camera-view");
    let number = 0;
    $("camera").hidden = false;
    $("camera-on").disabled = false;
    $("camera-on").addEventListener("click", async () => {
      try {
        video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      } catch {
        $("camera-said").textContent = "There is no camera here, or the browser was not allowed to use it.";
        return;
      }
      await video.play();
      $("camera-on").hidden = true;
      $("camera-box").hidden = false;
    });
    for (const [button, kind] of [["camera-good", "good"], ["camera-other", "others"]]) {
      $(button).addEventListener("click", async () => {
        if (kind === "others" && !fitted()) {
          $("camera-said").textContent = "First learn from good photographs.";
          return;
        }
        const shot = document.createElement("canvas");
        [shot.width, shot.height] = [video.videoWidth, video.videoHeight];
        shot.getContext("2d").drawImage(video, 0, 0);
        const file = await new Promise((resolve) => shot.toBlob(resolve, "image/png"));
        const name = `camera-${String(++number).padStart(3, "0")}.png`;
        $("camera-said").textContent = `${name} taken`;
        takers[kind]([{ name, file }]);
      });
    }
  }

  globalThis.tryPage = { explain, ready: null, scores: null };
  globalThis.tryPage.ready = start()
    .then(async () => {
      own();
      globalThis.tryPage.scores = await demo();
      $("try-status").textContent = "Ready. All is loaded: from here on the page needs no network, and sends nothing.";
      return true;
    })
    .catch((error) => {
      fail(error);
      return false;
    });
})();
