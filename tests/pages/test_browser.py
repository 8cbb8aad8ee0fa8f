"""The course in a real browser: JupyterLab sets every formula of every page, all cells run, and a blank is filled.

It needs Chromium and `pip install -e ".[browser]"`.
"""

import inspect
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from build import HERE as NOTEBOOKS
from rendering import formulas, items, plain

from scratchvae.exercises.check import blank_of

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not on the path"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # why: sockets of the server, which is killed
]
SECONDS = 120  # for a page
PAGES = sorted(path.relative_to(NOTEBOOKS).as_posix() for path in NOTEBOOKS.glob("*.ipynb"))
DERIVATIONS = sorted(path.relative_to(NOTEBOOKS).as_posix() for path in (NOTEBOOKS / "derivations").glob("*.ipynb"))
WHOLE = '{"windowingMode": "none"}'  # why: JupyterLab leaves out of the page what is out of sight
READY = """() => {
    const panel = window.jupyterapp?.shell.currentWidget;
    return panel?.context?.isReady && panel.sessionContext?.session?.kernel?.status === 'idle';
}"""
RAN = """() => {
    const panel = window.jupyterapp.shell.currentWidget;
    const code = panel.content.widgets.filter((cell) => cell.model.type === 'code' && cell.model.sharedModel.source);
    return code.every((cell) => cell.model.executionCount) && panel.sessionContext.session.kernel.status === 'idle';
}"""
MODEL = "() => window.jupyterapp.shell.currentWidget.content.model.toJSON()"
SHOWN = """() => window.jupyterapp.shell.currentWidget.content.widgets.filter((cell) => cell.model.type === 'markdown')
    .map((cell) => ({
        formulas: cell.node.querySelectorAll('.jp-RenderedMarkdown mjx-container').length,
        wrong: cell.node.querySelectorAll('[data-mjx-error], mjx-merror').length,
        items: cell.node.querySelectorAll('.jp-RenderedMarkdown li').length,
        text: [...cell.node.querySelectorAll('.jp-RenderedMarkdown')].map((node) => {
            const copy = node.cloneNode(true);
            copy.querySelectorAll('mjx-container, code, pre').forEach((one) => one.remove());
            return copy.textContent;
        }).join(''),
    }))"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab over a copy of the notebooks, and where it listens."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(NOTEBOOKS, folder / "notebooks")
    shutil.copytree(NOTEBOOKS.parent / "results", folder / "results")
    settings = folder / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(WHOLE)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True", "--ServerApp.port_retries=0"]
    places = {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "JUPYTER_CONFIG_DIR": str(folder / "config")}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=os.environ | places, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield wait_for(f"http://localhost:{port}/lab")
        finally:
            server.terminate()
            server.wait()


def wait_for(address):
    for _ in range(SECONDS):
        try:
            with urllib.request.urlopen(address):
                return address
        except OSError:
            time.sleep(1)
    raise TimeoutError(address)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(lab, browser, request):
    """A notebook, opened in a workspace of its own."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.set_default_timeout(SECONDS * 1000)
    page.goto(f"{lab}/workspaces/{time.time_ns()}/tree/notebooks/{request.param}")
    page.wait_for_function(READY)
    yield request.param, page
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.close()


def texts(name):
    cells = nbformat.read(NOTEBOOKS / name, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "markdown"]


@pytest.mark.parametrize("opened", [*PAGES, *DERIVATIONS], indirect=True)
def test_every_formula_and_every_list_is_set_and_all_cells_run(opened):
    name, page = opened
    meant = [{"formulas": len(formulas(plain(text))), "items": items(text)} for text in texts(name)]
    total = sum(cell["formulas"] for cell in meant)
    page.wait_for_function(f"n => ({SHOWN})().reduce((sum, cell) => sum + cell.formulas, 0) >= n", arg=total)
    shown = page.evaluate(SHOWN)
    assert [{key: cell[key] for key in ("formulas", "items")} for cell in shown] == meant
    assert not [cell for cell in shown if cell["wrong"] or "$" in cell["text"] or "\\" in cell["text"]]
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(RAN)
    outputs = [output for cell in page.evaluate(MODEL)["cells"] for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]


def write(page, place, text):
    """Type into a cell as a reader does, run it, and return what it says."""
    count = page.evaluate(MODEL)["cells"][place]["execution_count"]
    page.evaluate("i => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = i; }", place)
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:enter-edit-mode')")
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)
    page.keyboard.press("Control+Enter")
    page.wait_for_function(f"([i, n]) => ({MODEL})().cells[i].execution_count !== n", arg=[place, count])
    page.wait_for_function(READY)
    return str(page.evaluate(MODEL)["cells"][place]["outputs"])


@pytest.mark.parametrize("opened", ["09_gradients_through_mu_and_sigma.ipynb"], indirect=True)
def test_a_blank_is_filled_and_its_check_answers(opened):
    notebook, page = opened
    cells = nbformat.read(NOTEBOOKS / notebook, as_version=4).cells
    place = next(i for i, cell in enumerate(cells) if 'check("gradients.dlogvar"' in cell.source)
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(RAN)
    solution, name = blank_of("gradients.dlogvar").solution, "gradients.dlogvar"
    right = f'{inspect.getsource(solution)}\n\ncheck("{name}", {solution.__name__})'
    wrong = right.replace(" / 2", "")
    assert "not written yet" in write(page, place, cells[place].source)
    assert "wrong" in write(page, place, wrong)
    assert "gradients.dlogvar: passed" in write(page, place, right)
