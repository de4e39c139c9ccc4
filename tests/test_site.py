"""The reading site: no broken link, alt text everywhere, readable on a phone, contrast that passes axe."""

import functools
import http.server
import threading
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag

import pytest
from browser import chromium

from dualad_lib.runs.course import load_course

pytest.importorskip("sphinx", reason="Sphinx is not installed: uv sync")
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    from dualad_lib.runs.site import build_site

    return build_site(tmp_path_factory.mktemp("site") / "html").parent


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
        "results.html",
        "glossary.html",
        "api.html",
        "teaching.html",
        "search.html",
    } <= names


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
    lesson = next(page for path, page in pages.items() if path.name.startswith("03_"))
    figures = [image["alt"] for image in lesson.images if not is_badge(image)]
    assert len(figures) >= 5 and min(map(len, figures)) > 40, (
        "figures carry the lesson's own alternative text"
    )


@pytest.fixture(scope="module")
def address(site):
    """The site on a local port."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    handler.log_message = lambda *args: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


LOOKED_AT = ["index", "lessons", "results", "glossary", "teaching", "api", "lessons/03_feature_constraint"]


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


@pytest.mark.parametrize("name", LOOKED_AT)
def test_axe_finds_nothing_serious(browser, address, name):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = browser.new_page()
    page.goto(f"{address}/{name}.html", wait_until="load")
    found = axe.run(page).response["violations"]
    page.close()
    assert [(v["id"], v["nodes"][0]["html"][:120]) for v in found if v["impact"] in SERIOUS] == []


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


def test_a_folder_with_other_things_is_not_replaced(tmp_path):
    from dualad_lib import RunError
    from dualad_lib.runs.site import build_site

    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="something else than a site"):
        build_site(tmp_path, say=lambda text: None)
    assert (tmp_path / "thesis.txt").exists()
