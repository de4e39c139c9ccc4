"""The reading site: no broken link, alt text everywhere, readable on a phone, contrast that passes axe."""

import functools
import http.server
import json
import os
import shutil
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from browser import chromium

from dualad_lib.course.manifest import load_course
from dualad_lib.course.provenance import ROOT
from dualad_lib.errors import RunError

pytest.importorskip("sphinx", reason="Sphinx is not installed: uv sync")
SERIOUS = ("serious", "critical")
NPM = shutil.which("npm") is not None  # fetches what the page "Try it" runs on

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    from dualad_lib.course.site import build_site

    return build_site(tmp_path_factory.mktemp("site") / "html", with_try=NPM).parent


class Page(HTMLParser):
    """Links, images and anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.needed, self.images, self.anchors = [], [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if "id" in found:
            self.anchors.add(found["id"])
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag == "script" or (tag == "link" and found.get("rel") in ("stylesheet", "preload", "icon")):
            self.needed += [value for name in ("href", "src") if (value := found.get(name))]
        if tag == "img":
            self.images.append(found)


@pytest.fixture(scope="module")
def pages(site):
    found = [
        path for path in site.rglob("*.html") if "_static" not in path.parts
    ]  # the theme's own templates
    return {path: Page(path.read_text(encoding="utf-8")) for path in found}


def is_badge(image):
    return "badge" in image["src"] or "open-in-kaggle" in image["src"]


def outside(link):
    return link.startswith(("http:", "https:", "mailto:", "data:", "javascript:"))


def test_every_lesson_and_page_is_there(site, pages):
    names = {str(path.relative_to(site)) for path in pages}
    assert {f"lessons/{lesson.name}.html" for lesson in load_course().lessons} <= names
    assert {
        "index.html",
        "try.html",
        "results.html",
        "glossary.html",
        "api.html",
        "teaching.html",
        "data.html",
        "model_card.html",
        "contributing.html",
        "reliability.html",
        "search.html",
    } <= names


def test_the_reliability_page_has_the_whole_table(site):
    text = (site / "reliability.html").read_text(encoding="utf-8")
    written = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = written.split("<!-- reliability -->\n")[1].split("<!-- /reliability -->")[0].splitlines()
    assert text.count("<tr") == len(table) - 1 > 30  # all but the rule below the heading


def committed(lesson):
    return json.loads(lesson.notebook.read_text(encoding="utf-8"))


def test_every_lesson_has_its_measured_minutes_memory_and_date():
    from dualad_lib.course.site import lessons_page

    course = load_course()
    lines = [line for line in lessons_page(course).splitlines() if line.startswith("| [")]
    for line, lesson in zip(lines, course.lessons, strict=True):
        run = committed(lesson)["metadata"]["dualad"]
        assert f"(lessons/{lesson.notebook.name})" in line and lesson.title in line
        assert [cell.strip() for cell in line.split("|")[2:4]] == [
            f"{run['seconds'] / 60:.1f}",
            f"{run['peak_memory_mb']} MB",
        ]
        assert f"{run['date']}, torch {run['versions']['torch']}" in line


def test_no_link_is_broken(pages):
    broken = []
    for path, page in pages.items():
        for link in page.links + page.needed:
            if outside(link):
                continue
            target, anchor = urldefrag(link)
            file = (path.parent / unquote(target.split("?")[0])).resolve() if target else path
            if not file.exists() or (anchor and file in pages and unquote(anchor) not in pages[file].anchors):
                broken.append((path.name, link))
    assert broken == []


def test_nothing_that_a_page_needs_comes_from_elsewhere(pages):
    for path, page in pages.items():
        needed = page.needed + [image["src"] for image in page.images if not is_badge(image)]
        assert [link for link in needed if outside(link)] == [], path.name


def test_every_image_has_a_text(site, pages):
    number = 0
    for path, page in pages.items():
        for image in page.images:
            assert image.get("alt", "").strip(), (path.name, image.get("src"))
            number += 1
    assert number > 40


def test_every_figure_has_its_own_text(site, pages):
    """Also where a cell shows several: the lesson's texts, in the lesson's order."""
    for lesson in load_course().lessons:
        outputs = [output for cell in committed(lesson)["cells"] for output in cell.get("outputs", ())]
        texts = [o["metadata"]["image/png"]["alt"] for o in outputs if "image/png" in o.get("data", ())]
        shown = [i["alt"] for i in pages[site / f"lessons/{lesson.name}.html"].images if not is_badge(i)]
        assert [" ".join(text.split()) for text in shown] == texts and min(map(len, texts)) > 40


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address(site):
    """The site on a local port."""
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


LOOKED_AT = [
    "index", "lessons", "try", "results", "glossary", "teaching", "api", "data", "model_card", "contributing",
    "references",
    *(f"lessons/{lesson.name}" for lesson in load_course().lessons),
]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: uv sync")
    with playwright.sync_playwright() as session:
        started = session.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.parametrize("name", LOOKED_AT)
def test_a_phone_need_not_scroll_sideways(browser, address, name):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{address}/{name}.html", wait_until="load")
    wide = page.evaluate("() => document.scrollingElement.scrollWidth - window.innerWidth")
    page.close()
    assert wide <= 1


DARK = ["index", "try", "results", "lessons/03_feature_constraint"]  # as a reader's system may ask for


@pytest.mark.parametrize(
    ("name", "scheme"), [*((name, "light") for name in LOOKED_AT), *((name, "dark") for name in DARK)]
)
def test_axe_finds_nothing_serious(browser, address, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = browser.new_page(color_scheme=scheme)
    page.goto(f"{address}/{name}.html", wait_until="load")
    found = axe.run(page).response["violations"]
    page.close()
    assert [(v["id"], v["nodes"][0]["html"][:120]) for v in found if v["impact"] in SERIOUS] == []


def test_the_first_page_shows_a_part_four_doors_and_a_figure_of_each_lesson(site, pages, browser):
    first = pages[site / "index.html"]
    shown = [image["src"] for image in first.images]
    assert [
        name
        for name in shown
        if name.endswith(("part.jpg", "heat.jpg", "teach.svg", "strip.jpg", "frontier.png"))
    ]
    with_figures = [
        lesson
        for lesson in load_course().lessons
        if '"image/png"' in lesson.notebook.read_text(encoding="utf-8")
    ]
    for lesson in with_figures:
        assert f"_static/home/{lesson.name}.png" in shown and f"lessons/{lesson.name}.html" in first.links
    doors = {"teaching.html", "results.html", "try.html", f"lessons/{load_course().lessons[0].name}.html"}
    assert doors <= set(first.links)
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())  # from the file system
    assert "uv run dualad run" in page.inner_text("pre")
    page.focus(".home-compare input")
    page.keyboard.press("Home")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.home-heat')).clipPath")
        == "inset(0px 0px 0px 100%)"
    )
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_try_it_inside_the_site_from_the_file_system(site, browser, tmp_path, scheme):
    """Photographs judged, then axe over all that has appeared; no error on the console."""
    from PIL import Image

    if not NPM:
        pytest.skip("npm is not installed: the site was built without the page")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    files = []
    for k in range(24):  # stripes; the last ones lie askew
        stripes = Image.linear_gradient("L").resize((16, 64)).rotate(90 + k if k > 20 else k / 3, expand=True)
        files.append(tmp_path / f"{k:02}.png")
        stripes.resize((80, 60)).save(files[-1])
    page = browser.new_page(color_scheme=scheme, viewport={"width": 390, "height": 844})
    page.set_default_timeout(120_000)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto((site / "try.html").as_uri())
    assert page.evaluate("tryPage.ready"), page.inner_text("#try-status")
    page.set_input_files("#own-good", files[:21])
    page.click("#own-fit")
    page.wait_for_selector("#own-judge:not([hidden])")
    page.set_input_files("#own-others", files[21:])
    page.wait_for_selector("#own[data-done='3']")
    page.click("#camera summary")
    assert errors == []
    found = axe.run(page).response["violations"]
    wide = page.evaluate("() => document.scrollingElement.scrollWidth - window.innerWidth")
    page.close()
    assert [(v["id"], v["nodes"][0]["html"][:120]) for v in found if v["impact"] in SERIOUS] == []
    assert wide <= 1


def test_a_site_without_that_page_says_so(tmp_path):
    from dualad_lib.course.site import prepare

    prepare(tmp_path / "source", with_try=False)
    assert "--without-try" in (tmp_path / "source" / "try.md").read_text(encoding="utf-8")
    assert not (tmp_path / "source" / "static" / "try" / "parts").exists()


def test_search_finds_a_lesson(browser, address):
    page = browser.new_page()
    page.goto(f"{address}/search.html?q=hypersphere", wait_until="load")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    links = page.eval_on_selector_all("#search-results li a", "found => found.map(a => a.href)")
    page.close()
    assert any("03_feature_constraint" in link for link in links)


def test_equations_are_drawn_without_a_network(browser, address):
    page = browser.new_page()
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{address}/glossary.html", wait_until="load")
    page.wait_for_selector("mjx-container", timeout=20_000)
    page.close()
    assert all(url.startswith((address, "data:")) for url in requests)


def test_without_a_chromium_the_reason_is_said(monkeypatch):
    monkeypatch.setattr("browser._found_or_installed", lambda: None)
    with pytest.raises(pytest.skip.Exception, match="apt install chromium"):
        chromium()


def test_a_site_of_another_is_not_replaced_and_what_killed_builds_left_goes(tmp_path, monkeypatch):
    from dualad_lib.course import site

    monkeypatch.setattr(site, "prepare", lambda source, with_try: source.mkdir())

    def sphinx(words):
        Path(words[-1]).mkdir()
        (Path(words[-1]) / "index.html").write_text("new")

    monkeypatch.setattr("sphinx.cmd.build.build_main", sphinx)
    theirs, ours, killed, running = (
        tmp_path / n for n in ("theirs", "ours", ".site-killed", ".site-running")
    )
    for folder in (theirs, killed, running):
        folder.mkdir()
        (folder / ".buildinfo").touch()
    os.utime(killed, (0, 0))
    with pytest.raises(RunError, match="holds something else than a site of this command"):
        site.build_site(theirs, say=print)
    assert killed.exists()
    for _ in range(2):  # the second one replaces the first
        assert site.build_site(ours, say=print).read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == [".site-running", "ours", "theirs"]
    (killed / "old").mkdir(parents=True)  # killed between the old site and the new one: nothing else has it
    os.utime(killed, (0, 0))
    site.build_site(tmp_path / "other", say=print)
    assert (killed / "old").exists()
