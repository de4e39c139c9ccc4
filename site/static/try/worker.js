/* The worker: photographs to features, features to a bank of typical patches, distances to it. It shares one scope with
   numbers.js and onnxruntime-web, and never asks for a file: all that it needs comes in the message "start". */
/* global ort, numbers */
"use strict";

const CORESET = 0.01, CANDIDATES = 50_000, PROJECTION = 128; // dualad_lib.detectors.patchcore
const SEED = 0;
const sessions = {};
const models = {}; // by the name of the way in that asks

const tell = (message) => postMessage(message);

async function start({ wasm, glue, features, nearest }) {
  const script = (source) => URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  ort.env.wasm.numThreads = 1; // more would need headers that file:// and most hosts do not send
  ort.env.wasm.wasmBinary = wasm.buffer;
  ort.env.wasm.wasmPaths = { mjs: script(glue) };
  sessions.features = await ort.InferenceSession.create(features);
  sessions.nearest = await ort.InferenceSession.create(nearest);
}

/* A file as upright RGBA bytes of a frame, laid on white where it is transparent. */
async function read(file, frame) {
  const picture = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { height, width } = picture;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(picture, 0, 0);
  picture.close();
  return numbers.resized(context.getImageData(0, 0, width, height).data, [height, width], frame);
}

/* Features of each place, (places, channels), and the grid that the places form. */
async function featuresOf(pixels, [height, width]) {
  const area = height * width;
  const image = new Float32Array(3 * area);
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) image[c * area + i] = pixels[4 * i + c] / 255;
  }
  const found = await sessions.features.run({ image: new ort.Tensor("float32", image, [1, 3, height, width]) });
  const [, rows, columns, channels] = found.features.dims;
  return { tensor: found.features, values: found.features.data, grid: [rows, columns], channels };
}

async function distances(features, bank) {
  return (await sessions.nearest.run({ features: features.tensor, bank })).map.data;
}

/* Learn from good photographs: [{name, file}]. Answers with the held-out scores, or says which could not be read. */
async function fit({ name: model, photographs, frame }) {
  const seen = new Set(), kept = [], unreadable = [], copies = [];
  for (const [number, { name, file }] of photographs.entries()) {
    try {
      const pixels = await read(file, frame);
      const content = new TextDecoder("latin1").decode(pixels);
      (seen.has(content) ? copies : kept).push({ name, pixels });
      seen.add(content);
    } catch (error) {
      if (error instanceof RangeError) throw error; // memory
      unreadable.push(name);
    }
    tell({ type: "progress", stage: "reading", share: (number + 1) / photographs.length });
  }
  seen.clear();
  if (kept.length < 10) {
    return { few: kept.length, unreadable, copies: copies.map(({ name }) => name) };
  }
  const { learn, held } = numbers.holdBack(kept.length, SEED);
  const generator = new numbers.Generator(SEED);
  let candidates, channels, places, each, filled = 0;
  for (const [number, index] of learn.entries()) {
    const features = await featuresOf(kept[index].pixels, frame);
    if (!candidates) {
      [channels, places] = [features.channels, features.grid[0] * features.grid[1]];
      each = Math.min(places, Math.max(1, Math.floor(CANDIDATES / learn.length)));
      candidates = new Float32Array(learn.length * each * channels);
    }
    for (const place of generator.permutation(places).subarray(0, each)) {
      candidates.set(features.values.subarray(place * channels, (place + 1) * channels), filled);
      filled += channels;
    }
    tell({ type: "progress", stage: "learning", share: (number + 1) / learn.length });
  }
  const count = Math.min(learn.length * each, Math.max(1, numbers.round(CORESET * places * learn.length)));
  const say = (share) => tell({ type: "progress", stage: "choosing", share });
  const bank = new Float32Array(count * channels);
  numbers.greedyCoreset(candidates, channels, count, SEED, PROJECTION, say).forEach((index, k) =>
    bank.set(candidates.subarray(index * channels, (index + 1) * channels), k * channels)
  );
  models[model] = { frame, bank: new ort.Tensor("float32", bank, [count, channels]) };
  const scores = [];
  for (const [number, index] of held.entries()) {
    const features = await featuresOf(kept[index].pixels, frame);
    scores.push(numbers.topMean(await distances(features, models[model].bank)));
    tell({ type: "progress", stage: "calibrating", share: (number + 1) / held.length });
  }
  return {
    held: scores,
    learned: learn.length,
    bank: count,
    unreadable,
    copies: copies.map(({ name }) => name),
  };
}

/* Score one photograph: its score, the distances on their grid, and its pixels as the network saw them. */
async function score({ name, file }) {
  const { frame, bank } = models[name];
  const pixels = await read(file, frame);
  const features = await featuresOf(pixels, frame);
  const map = await distances(features, bank);
  return { score: numbers.topMean(map), map, grid: features.grid, pixels, frame };
}

const answers = { start, fit, score };
let queue = Promise.resolve();

self.onmessage = ({ data }) => {
  queue = queue.then(async () => {
    try {
      tell({ type: "answer", id: data.id, value: await answers[data.ask](data) });
    } catch (error) {
      tell({ type: "answer", id: data.id, error: `${error?.name ?? ""} ${error?.message ?? error}` });
    }
  });
};
