"""JupyterLab in a real browser: a lesson is opened, all its cells run, no error, the figures are drawn.

Needs Playwright and a Chromium; where neither is there nor can be installed, the test is skipped and says why.
Screenshots are kept in runs/browser.
"""

import re
import subprocess
import sys
import time

import pytest
from browser import chromium

from dualad_lib.course.manifest import load_course
from dualad_lib.course.provenance import ROOT

pytestmark = pytest.mark.e2e

SHOTS = ROOT / "runs" / "browser"
LESSON = "00_start_here"
SECONDS = 240  # for all cells


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab that serves a smoke version of the lesson, with its token."""
    import nbformat
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    folder = tmp_path_factory.mktemp("lab")
    (lesson,) = load_course().select([LESSON])
    nb = parameterize_notebook(load_notebook_node(str(lesson.notebook)), lesson.profiles["smoke"])
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(nb, folder / f"{LESSON}.ipynb")
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0",
        "--LabApp.expose_app_in_browser=True", "--IdentityProvider.token=course",
        f"--ServerApp.root_dir={folder}",
    ]  # fmt: skip
    log = folder / "lab.log"
    with open(log, "w") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, cwd=folder)
    try:
        address = None
        for _ in range(120):
            place = re.search(r"http://127\.0\.0\.1:(\d+)/lab", log.read_text())
            if place:
                address = f"http://127.0.0.1:{place[1]}/lab/tree/{LESSON}.ipynb?token=course"
                break
            time.sleep(0.5)
        assert address, log.read_text()
        yield address
    finally:
        server.terminate()
        server.wait(20)


CELLS = """() => {
  const panel = window.jupyterapp.shell.currentWidget;
  return panel.content.model.toJSON().cells.filter(cell => cell.cell_type === 'code')
}"""
READY = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"


def test_a_lesson_runs_in_jupyterlab_without_an_error_and_draws_its_figures(lab):
    SHOTS.mkdir(parents=True, exist_ok=True)
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: uv sync")
    with playwright.sync_playwright() as session:
        browser = session.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 1600})
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(lab)
        page.wait_for_function(READY, timeout=90_000)
        page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')", None)
        deadline = time.time() + SECONDS
        while time.time() < deadline:
            cells = page.evaluate(CELLS)
            if all(cell["execution_count"] for cell in cells if "".join(cell["source"]).strip()):
                break
            time.sleep(1)
        page.screenshot(path=SHOTS / "end.png")
        outputs = [output for cell in cells for output in cell["outputs"]]
        errors = [output["evalue"] for output in outputs if output["output_type"] == "error"]
        assert errors == []
        assert all(cell["execution_count"] for cell in cells if "".join(cell["source"]).strip()), (
            "not all cells ran"
        )
        figures = [output for output in outputs if "image/png" in output.get("data", {})]
        assert len(figures) >= 3
        page.evaluate("() => window.jupyterapp.shell.currentWidget.content.scrollToItem(0)", None)
        drawn = _drawn(page)
        browser.close()
    assert drawn >= 1, "no figure is on the page"
    assert problems == []


def _drawn(page):
    """Figures that the browser has really painted, on the way down the page."""
    most = 0
    for _ in range(30):
        page.mouse.move(600, 800)
        page.mouse.wheel(0, 1200)
        page.wait_for_timeout(150)
        seen = page.evaluate(
            "() => [...document.querySelectorAll('.jp-OutputArea-output img')]"
            ".filter(image => image.complete && image.naturalWidth > 0).length"
        )
        if seen > most:
            most = seen
            page.screenshot(path=SHOTS / "figures.png")
    return most
