"""docs/teaching.md: its table is that of the pages, its script grades, and the numbers of its exam are right."""

import ast
import json
import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from build import HERE as NOTEBOOKS
from build import SOURCES, read_source, tags
from scipy.optimize import minimize
from scipy.stats import norm

from scratchvae.exercises.check import PAGES, blank_of
from scratchvae.layers import dense, dense_backward

TEXT = (NOTEBOOKS.parent / "docs" / "teaching.md").read_text()
WORDS, BLANK = 110, 5  # a minute; minutes for one


def prose(source):
    return "\n".join(cell.source for cell in read_source(source).cells if cell.cell_type == "markdown")


def reckoned(source):
    """Words, blanks, minutes."""
    words, blanks = len(prose(source).split()), sum("blank" in tags(cell) for cell in read_source(source).cells)
    return words, blanks, 5 * round((words / WORDS + BLANK * blanks) / 5)


def answer(n):
    """The quoted lines below the question of that number."""
    return re.search(rf"^\*\*{n}\.\*\* .*?\n\n((?:> [^\n]*\n)+)", TEXT, re.M | re.S)[1]


def test_the_table_has_the_words_the_blanks_and_the_minutes_of_every_page():
    rows = re.findall(r"^\| (\d\d) \| ([^|]+) \| ([\d,]+) \| (\d+) \| (\d+) \|$", TEXT, re.M)
    assert [f"{number} · {title}" for number, title, *_ in rows] == [
        re.search(r"^# (.+)$", prose(source), re.M)[1] for source in SOURCES
    ]
    told = [(int(words.replace(",", "")), int(blanks), int(minutes)) for *_, words, blanks, minutes in rows]
    assert [(round(w, -2), b, m) for w, b, m in map(reckoned, SOURCES)] == told
    words, blanks, minutes = map(sum, zip(*told, strict=True))
    assert f"| | together | {words:,} | {blanks} | {minutes} |\n" in TEXT


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_page_says_how_long_it_takes_and_is_no_longer_than_2000_words(source):
    words, _, minutes = reckoned(source)
    assert words <= 2000
    assert f"About {minutes} minutes" in prose(source)
    (row,) = re.findall(rf"^.*\({source.stem}\.ipynb\).*$", (NOTEBOOKS / "README.md").read_text(), re.M)
    assert f"| {minutes} min |" in row


def test_the_script_grades_a_folder_of_hand_ins(tmp_path):
    (script,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)
    (tmp_path / "grade.py").write_text(script)
    right = [nbformat_source(blank) for blank in PAGES["gradients"]]
    (tmp_path / "anna.py").write_text("import numpy as np\n\n\n" + "\n\n\n".join(right))
    (tmp_path / "ben.py").write_text("def z_to_mu(dz, eps, sigma):\n    return -dz\n")
    run = [sys.executable, "grade.py", "gradients", "anna.py", "ben.py"]
    out = subprocess.run(run, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    n = len(PAGES["gradients"])
    assert out == f"anna {n} of {n}\nben 0 of {n}\n"
    ben = {result["blank"]: result for result in json.loads((tmp_path / "ben.json").read_text())}
    assert ben["gradients.dmu"]["cause"] == "sign"
    assert {ben[name]["state"] for name in ben if name != "gradients.dmu"} == {"not written yet"}


def nbformat_source(blank):
    """The solution of a blank, as the solution's page has it."""
    page = nbformat.read(NOTEBOOKS / "solutions" / "09_gradients_through_mu_and_sigma.ipynb", as_version=4)
    (cell,) = (c.source for c in page.cells if f'check("gradients.{blank}",' in c.source)
    function = blank_of(f"gradients.{blank}").solution.__name__
    (tree,) = (node for node in ast.parse(cell).body if getattr(node, "name", "") == function)
    return ast.get_source_segment(cell, tree)


Z = np.linspace(-12, 12, 400_001)
CELL = Z[1] - Z[0]
JOINT = norm(0, 1).pdf(Z) * norm(Z, 0.5).pdf(1.2)


def test_the_measurement_of_the_exam_on_a_grid():
    """Questions 1 and 2."""
    evidence = JOINT.sum() * CELL
    mean = (Z * JOINT).sum() * CELL / evidence
    variance = ((Z - mean) ** 2 * JOINT).sum() * CELL / evidence
    assert f"$N({mean:.2f}, {variance:.1f})$" in answer(1)
    assert f"{np.log(evidence):.4f}" in answer(1)
    q = norm(0.5, np.sqrt(0.3))
    elbo = (q.pdf(Z) * (np.log(JOINT) - q.logpdf(Z))).sum() * CELL
    assert f"is {elbo:.4f}." in answer(2)
    assert f"= {np.log(evidence) - elbo:.4f}$" in answer(2)


def test_the_gradients_of_the_exam_by_differences():
    """Questions 3 and 4."""

    def kl(mu, logvar):
        q = norm(mu, np.exp(logvar / 2))
        return (q.pdf(Z) * (q.logpdf(Z) - norm(0, 1).logpdf(Z))).sum() * CELL

    def slope(f, at, h=1e-5):
        return (f(at + h) - f(at - h)) / (2 * h)

    assert f"= {kl(1, -2):.4f}$" in answer(3)
    assert np.isclose(slope(lambda mu: kl(mu, -2), 1.0), 1)
    assert f"= {slope(lambda logvar: kl(1, logvar), -2.0):.4f}$" in answer(3)
    eps, logvar = -0.5, 2 * np.log(2)
    by_sigma = slope(lambda sigma: 3 * (1 + sigma * eps), 2.0)
    by_logvar = slope(lambda logvar: 3 * (1 + np.exp(logvar / 2) * eps), logvar)
    assert f"$3$; $3 \\cdot (-0.5) = {by_sigma:.1f}$; $-1.5 \\cdot \\sigma / 2 = {by_logvar:.1f}$." in answer(4)
    assert np.isclose(slope(lambda eps: 3 * (1 + 2 * eps), eps), 6)


def test_the_dense_layer_and_the_pixel_of_the_exam():
    """Questions 8 and 9."""
    x, dy = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0], [-1.0]])
    _, cache = dense(x, np.ones((2, 1)), np.zeros(1))
    _, dW, db = dense_backward(dy, cache)
    assert f"$x^\\top \\mathrm{{d}}y = {dW.astype(int).tolist()}$" in answer(8)
    assert f"= {db.astype(int).tolist()}$" in answer(8)
    with np.errstate(over="ignore"):
        assert np.isfinite(np.exp(709.0))
        assert not np.isfinite(np.exp(710.0))


@pytest.mark.parametrize(("beta", "used"), [(1, 2), (3, 1)])
def test_the_latents_that_are_used_at_a_beta(beta, used):
    """Question 10. For one eigenvalue: decoder w, encoder's mean a x and variance exp(v), the objective's mean."""
    assert f"{['', 'one', 'two'][used]} at $\\beta = {beta}$" in answer(10)

    def minus_objective(parameters, eigenvalue, noise=0.5):
        w, a, v = parameters
        error = eigenvalue * (1 - w * a) ** 2 + w * w * np.exp(v)
        return error / (2 * noise) + beta * 0.5 * (a * a * eigenvalue + np.exp(v) - 1 - v)

    best = [minimize(minus_objective, [1.0, 0.5, -1.0], args=(eigenvalue,)).x for eigenvalue in (4.0, 1.0, 0.3)]
    assert sum(abs(w) > 0.05 for w, _, _ in best) == used
