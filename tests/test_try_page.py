"""The page "Try it": its numbers are Python's, it runs from the file system without a network, and says what fails.

The browser's tests run the page without the site around it; tests/test_site.py looks at it inside the site.
"""

import base64
import csv
import io
import json
import math
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import chromium
from PIL import Image
from torch.nn import functional as F

from dualad_lib.course import try_page
from dualad_lib.course.provenance import ROOT
from dualad_lib.data import load_inspection
from dualad_lib.data.folders import Reader, frame_of
from dualad_lib.detectors import PatchCore
from dualad_lib.detectors.base import hold_back
from dualad_lib.detectors.features import top_mean
from dualad_lib.errors import RunError
from dualad_lib.neighbours import greedy_coreset
from dualad_lib.scoring import conformal_p_values, threshold_at

OWN = ROOT / "site" / "static" / "try"
GOOD, OTHERS = 30, 110
e2e = pytest.mark.e2e


def test_the_javascript_is_linted():
    linter = shutil.which("oxlint", path=str(Path(sys.executable).parent)) or shutil.which("oxlint")
    if linter is None:
        pytest.skip("oxlint is not installed: uv sync")
    done = subprocess.run(
        [linter, "--deny-warnings", str(ROOT / "site" / "static")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_without_npm_the_way_out_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(RunError, match=r"install Node\.js .* or leave the page out with --without-try"):
        try_page.write_parts(tmp_path / "parts", OWN)
    assert not (tmp_path / "parts").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script in npm's place")
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no network >&2; exit 1", r"npm could not fetch onnxruntime-web .*no network"),
        (
            'mkdir -p package/dist; cd package/dist; touch FILES; cd ../..; tar czf "$4/x.tgz" package',
            "is not the one that this page was tested with",
        ),
    ],
)
def test_what_npm_brings_is_checked(tmp_path, monkeypatch, script, said):
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\ncd $(mktemp -d)\n" + script.replace("FILES", " ".join(try_page.RUNTIME_FILES)))
    npm.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("shutil.which", lambda name: str(npm))
    with pytest.raises(RunError, match=said):
        try_page.write_parts(tmp_path / "parts", OWN)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


# In a browser.


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page alone, on the file system."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: it fetches what the page runs on")
    folder = tmp_path_factory.mktemp("try")
    code = folder / "_static" / "try"
    shutil.copytree(OWN, code)
    try_page.write_parts(code / "parts", code)
    text = (ROOT / "site" / "try.md").read_text(encoding="utf-8")
    body = "".join(re.findall(r"```\{raw\} html\n(.*?)```", text, re.DOTALL))
    page = folder / "try.html"
    page.write_text(
        f"<!doctype html><html lang=en><title>Try it</title><meta charset=utf-8>{body}", encoding="utf-8"
    )
    return page.as_uri()


@pytest.fixture(scope="module")
def session():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: uv sync")
    with playwright.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(session):
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    started = session.chromium.launch(executable_path=chromium(), args=["--no-sandbox", *camera])
    yield started
    started.close()


@pytest.fixture
def page(browser):
    """An empty page that must end without an error, and without a request to any host."""
    opened = browser.new_page(viewport={"width": 1280, "height": 1000})
    opened.set_default_timeout(180_000)
    errors, asked = [], []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.on("request", lambda request: asked.append(request.url))
    yield opened
    opened.close()
    assert errors == []
    assert [url for url in asked if not url.startswith(("file:", "blob:", "data:", "about:"))] == []


@e2e
def test_the_arithmetic_is_the_librarys(page):
    page.goto("about:blank")
    page.add_script_tag(path=OWN / "numbers.js")

    def js(expression, given=None):
        return page.evaluate(f"given => {expression}", given)

    generator = torch.Generator().manual_seed(3)
    expected = [torch.randperm(n, generator=generator).tolist() for n in (5, 700)]
    expected.append(torch.randn(3200, generator=generator))
    expected.append(int(torch.randint(999, (), generator=generator)))
    found = js(
        "(g => [[...g.permutation(5)], [...g.permutation(700)], [...g.normal(3200)], g.integer() % 999])"
        "(new numbers.Generator(3))"
    )
    assert found[:2] == expected[:2] and found[3] == expected[3]
    assert np.abs(np.array(found[2]) - expected[2].numpy()).max() < 1e-5

    for n in (10, 25, 30, 45, 200):
        learn, held = hold_back(torch.arange(n)[:, None], 0)
        assert js("numbers.holdBack(given)", n) == {
            "learn": learn[:, 0].tolist(),
            "held": held[:, 0].tolist(),
        }

    rng = np.random.default_rng(0)
    cases = {
        ((90, 131), (176, 256)): 0, ((800, 600), (256, 192)): 0, ((400, 600), (168, 256)): 0, ((50, 50), (50, 20)): 0,
        ((33, 47), (33, 47)): 0, ((700, 301), (64, 256)): 1,  # Pillow 13 takes the columns of this one first
    }  # fmt: skip
    for (size, new), grey_levels in cases.items():
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        rgba = np.dstack([pixels, np.full(size, 255, np.uint8)])
        given = [rgba.ravel().tolist(), size, new]
        small = js("[...numbers.resized(new Uint8Array(given[0]), given[1], given[2])]", given)
        ours = Image.fromarray(pixels).resize(new[::-1], Image.Resampling.BILINEAR)
        apart = np.array(small).reshape(*new, 4)[..., :3] - np.asarray(ours).astype(int)
        assert np.abs(apart).max() <= grey_levels, (size, new)

    heat = torch.rand(21, 52, generator=generator)
    ours = F.interpolate(heat[None, None], (168, 416), mode="bilinear", align_corners=False)[0, 0]
    given = [heat.flatten().tolist(), [21, 52], [168, 416]]
    assert (
        np.abs(np.array(js("[...numbers.enlarged(...given)]", given)) - ours.flatten().numpy()).max() < 1e-5
    )
    assert js("numbers.topMean(given)", heat.flatten().tolist()) == pytest.approx(
        float(top_mean(heat[None])), rel=1e-6
    )

    vectors = torch.randn(500, 150, generator=generator)
    chosen = js(
        "numbers.greedyCoreset(new Float32Array(given), 150, 60, 0, 128, () => 0)", vectors.flatten().tolist()
    )
    assert chosen == greedy_coreset(vectors, 60, 0, 128).tolist()

    held = rng.random(25)
    for rate in (0.05, 0.2):
        found = js("numbers.thresholdAt(given[0], given[1])", [held.tolist(), rate])
        assert found == {"threshold": threshold_at(held, rate), "promise": rate}
    assert js("numbers.thresholdAt(given, 0.05).promise", held[:3].tolist()) == 0.25
    scores = np.array([0.0, held[3], 0.5, 2])
    ours = js("given[1].map(score => numbers.pValue(given[0], score))", [held.tolist(), scores.tolist()])
    assert ours == pytest.approx(conformal_p_values(held, scores))


@e2e
@pytest.mark.parametrize(
    "sizes", [[(300, 400)] * 3, [(400, 300), (300, 300)], [(100, 2000)], [(480, 500)] * 2, [(90, 100)]]
)
def test_the_frame_is_the_librarys(page, tmp_path, sizes):
    page.goto("about:blank")
    page.add_script_tag(path=OWN / "numbers.js")
    for k, (height, width) in enumerate(sizes):
        Image.new("RGB", (width, height)).save(tmp_path / f"{k}.png")
    found = page.evaluate("given => numbers.frameOf(given, 256)", sizes)
    assert tuple(found) == frame_of(tmp_path, 256)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Folders of good photographs and others, as people bring them: sizes, formats, a turned one, a see-through one."""
    folder = tmp_path_factory.mktemp("photographs")
    screws = load_inspection("ball_screws_sample")

    def save(kind, number, index, size):
        crop = Image.fromarray(screws.images[index].permute(1, 2, 0).numpy()).crop((120, 0, 320, 168))
        crop = crop.resize(size, Image.Resampling.BICUBIC)
        path = folder / kind / f"{kind}{number:03}.{'png' if number % 3 else 'jpg'}"
        path.parent.mkdir(exist_ok=True)
        if number % 3:
            crop.save(path)
        elif number % 2:
            crop.save(path, quality=90)
        else:  # stored on its side, with the tag that says so
            exif = Image.Exif()
            exif[0x0112] = 6
            crop.transpose(Image.Transpose.ROTATE_90).save(path, quality=92, exif=exif)

    for k in range(GOOD):
        save("good", k, 57 * (k % 5) + k // 5, (340 + 2 * k, 290 + k))
    for k in range(OTHERS):
        save("others", k, (5 * k + 7) % 285, (400 - k, 340 - k))
    seen = Image.open(folder / "others" / "others001.png").convert("RGBA")
    seen.putalpha(Image.linear_gradient("L").resize(seen.size))
    seen.save(folder / "others" / "others001.png")
    large = Image.open(folder / "others" / "others003.jpg").resize((2400, 2040), Image.Resampling.BICUBIC)
    large.save(folder / "others" / "others003.jpg", quality=95)  # Pillow's decoder halves it
    return folder


def ready(page, address):
    page.goto(address)
    assert page.evaluate("tryPage.ready"), page.inner_text("#try-status")
    page.context.set_offline(True)


def files(folder):
    return sorted(map(str, folder.iterdir()))


@e2e
def test_own_photographs_score_as_in_python(page, address, photographs, tmp_path):
    ready(page, address)
    page.evaluate(
        "() => { let last = performance.now(); globalThis.gap = 0; setInterval(() => { const now = performance.now();"
        " globalThis.gap = Math.max(globalThis.gap, now - last); last = now; }, 20); }"
    )
    page.set_input_files("#own-good", files(photographs / "good"))
    assert page.inner_text("#own-count") == f"{GOOD} good photographs."
    page.click("#own-fit")
    page.wait_for_selector("#own-judge:not([hidden])")
    assert page.evaluate("gap") < 2000  # milliseconds in which the page did not answer
    said = page.inner_text("#own-text")
    assert "3 held back" in said and "at most 25 % raise an alarm" in said and "190 or more" in said
    page.set_input_files("#own-others", files(photographs / "others"))
    page.wait_for_selector(f"#own[data-done='{OTHERS}']")
    with page.expect_download() as download:
        page.click("#own-csv")
    download.value.save_as(tmp_path / "scores.csv")
    with open(tmp_path / "scores.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    reader = Reader(photographs / "good", 256, keep_aspect=True)
    good, _, _ = reader.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PatchCore(seed=0, device="cpu").fit(good)
    images, paths, _ = reader.like(photographs / "others").read()
    scores = model.anomaly_scores(images).final
    order = np.argsort(-scores, kind="stable")
    names = [path.name for path in paths]
    found = {row["file"]: row for row in rows}
    assert f"{model.threshold_:.2f}" in said
    assert [float(found[name]["score"]) for name in names] == pytest.approx(scores, rel=1e-2)
    # All but two have the very same pixels: the see-through one, and the large one that Pillow's decoder halves.
    other = ("others001.png", "others003.jpg")
    exact = [k for k, name in enumerate(names) if name not in other]
    assert [float(found[names[k]]["score"]) for k in exact] == pytest.approx(scores[exact], rel=1e-5)
    ranked = [row["file"] for row in rows if row["file"] not in other]
    assert ranked[:100] == [names[k] for k in order if k in exact][:100]
    assert [float(found[name]["p_value"]) for name in names] == pytest.approx(model.p_values(images))
    verdicts = np.where(scores > model.threshold_, "anomalous", "normal").tolist()
    assert [found[name]["verdict"] for name in names] == verdicts and len(set(verdicts)) == 2
    assert page.locator("#own-list li").count() == 24
    page.click("#own-more")
    assert page.locator("#own-list li").count() == OTHERS


@e2e
def test_the_shipped_part_wears_out(page, address):
    packed = json.loads(json.dumps(try_page.sample()))
    images = [
        np.stack(
            [np.asarray(Image.open(io.BytesIO(base64.b64decode(p["jpeg"])))) for p in place["photographs"]]
        )
        for place in packed["places"]
    ]
    assert sum(len(p["jpeg"]) for place in packed["places"] for p in place["photographs"]) * 3 / 4 < 2e6
    images = [torch.from_numpy(own).permute(0, 3, 1, 2) for own in images]
    assert not any(p["marked"] for place in packed["places"] for p in place["photographs"][: packed["learn"]])
    ready(page, address)
    page.click("#demo-go")
    page.wait_for_function("() => tryPage.scores()[0].scores.every(Boolean)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PatchCore(seed=0, device="cpu").fit(torch.cat([own[: packed["learn"]] for own in images]))
    scores = model.anomaly_scores(images[0]).final
    assert page.evaluate("tryPage.scores()[0].scores") == pytest.approx(scores, rel=1e-5)
    assert f"threshold {model.threshold_:.1f}" in page.inner_text("#demo-text")
    assert scores[0] < model.threshold_ < scores[-1]
    assert page.inner_text("#demo-verdict") == "no alarm"
    page.focus("#demo-day")
    page.keyboard.press("End")  # by the keyboard alone
    page.wait_for_function("() => document.getElementById('demo-verdict').textContent === 'alarm'")
    assert "photograph 57 of 57" in page.inner_text("#demo-when")
    warm = page.evaluate("document.getElementById('demo-photo').toDataURL()")
    page.uncheck("#demo-heat")
    assert page.evaluate("document.getElementById('demo-photo').toDataURL()") != warm


@e2e
def test_what_cannot_be_used_is_said(page, address, photographs, tmp_path):
    ready(page, address)
    good = files(photographs / "good")
    page.set_input_files("#own-good", good[:9])
    assert "at least 11 more" in page.inner_text("#own-count") and page.is_disabled("#own-fit")
    copies = [shutil.copy(good[0], tmp_path / f"copy{k}{Path(good[0]).suffix}") for k in range(10)]
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n of nothing")
    page.set_input_files("#own-good", [*copies, str(tmp_path / "broken.png")])
    page.click("#own-fit")
    page.wait_for_function("() => document.getElementById('own-text').textContent.startsWith('Only 9')")
    said = page.inner_text("#own-text")
    assert (
        "Not readable: broken.png" in said
        and "exact copies of others: copy1.jpg" in said
        and "good000.jpg" in said
    )
    assert page.is_hidden("#own-judge")


@e2e
def test_a_camera_gives_photographs(page, address):
    ready(page, address)
    page.click("#camera summary")
    page.click("#camera-on")
    page.wait_for_selector("#camera-good", state="visible")
    page.click("#camera-other")
    assert "First learn" in page.inner_text("#camera-said")
    page.click("#camera-good")
    page.wait_for_function(
        "() => document.getElementById('own-count').textContent.startsWith('1 good photograph:')"
    )


@e2e
@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("delete globalThis.WebAssembly", "WebAssembly with SIMD"),
        ("delete globalThis.DecompressionStream", "WebAssembly with SIMD"),
        (
            "globalThis.Worker = class { postMessage({ id }) { "
            "const error = 'RangeError WebAssembly.Memory(): could not allocate memory'; "
            "setTimeout(() => this.onmessage({ data: { type: 'answer', id, error } })) } }",
            "out of memory",
        ),
    ],
)
def test_where_the_browser_cannot_it_says_so_in_words(page, address, before, words):
    page.add_init_script(before)
    page.goto(address)
    assert page.evaluate("tryPage.ready") is False
    assert words in page.inner_text("#try-status")
    assert page.is_disabled("#demo-go") and page.is_disabled("#own-good")


@e2e
def test_the_page_stays_small(address):
    parts = Path(address.removeprefix("file://")).parent / "_static" / "try" / "parts"
    size = sum(path.stat().st_size for path in parts.iterdir())
    assert size < 12e6, f"{math.ceil(size / 1e6)} MB"
    assert (parts / "features.js").stat().st_size < 10e6
