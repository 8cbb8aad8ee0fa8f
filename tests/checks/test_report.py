"""How a report reads: in a terminal, on a page, as a figure, and in words."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.font_manager import FontProperties, findfont, get_font

from scratchvae.checks import CAUSES, Finding, Report, Row, check_optimizer, check_vjp
from scratchvae.checks.figure import drawable
from scratchvae.checks.report import STATES, Line
from scratchvae.optim import SGD

X = np.random.default_rng(3).standard_normal((5, 4))
FACTOR = Finding(("W", "b"), "factor", "dW and db are 1/5 of what they should be: a mean", "db = dy.sum(axis=0)")
FACTOR = FACTOR._replace(factor=5.0, where=(2, 1), expected=1.25, got=0.25)
ROWS = [
    Row("x", (5, 4), 1e-11, "ok"),
    Row("W", (4, 3), 0.8, "wrong", second=0.8),
    Row("b", (), float("nan"), "untested", "no slope here on either side"),
]
REPORT = Report("dense <mine>", ROWS, [FACTOR])
HOSTILE = ["$x_1", r"\frac{", "100 % _sure_", "_", "two\nlines", "<b>&amp;", "中文 \x07", "word " * 60, "x" * 300, ""]


def dense_wrong():
    def forward(x, w):
        return np.tanh(x) * w, (x, w)

    def backward(dy, cache):
        return dy * cache[1], dy * np.tanh(cache[0])  # the slope of tanh is missing

    return check_vjp(forward, backward, {"x": X, "w": X + 1})


# ---------------------------------------------------------------------------------------------------------------------
# In a terminal


def test_the_finding_is_read_first_then_its_repair_and_its_numbers_then_the_table():
    lines = str(REPORT).splitlines()
    assert lines[0] == "dense <mine>: 1 finding, b untested"
    text = "\n".join(lines[1:])
    numbers = "expected 1.25, got 0.25, at W[2, 1]"
    order = [FACTOR.message[:40], "factor (W and b)", FACTOR.repair, numbers, "name", "4x3"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert text.lstrip().startswith(FACTOR.message[:40])


def test_the_table_is_in_columns():
    table = REPORT.table.splitlines()
    assert table[0].split() == ["name", "shape", "error", "complex", "step"]
    assert [line.split()[0] for line in table[1:]] == ["x", "W", "b"]
    assert {line.index(status) for line, status in zip(table[1:], ("ok", "wrong", "untested"), strict=True)} == {38}


def test_a_report_without_findings_is_short():
    report = Report("tanh", [Row("x", (3,), 1e-12, "ok")])
    assert str(report).splitlines() == ["tanh: ok", "  name  shape    error", "  x         3  1.0e-12  ok"]


@pytest.mark.parametrize("db", [lambda dy: dy.sum(1), lambda dy: dy, lambda dy: dy.sum(), lambda dy: None])
def test_a_gradient_of_another_shape_has_no_error_and_zeros_have_one(db):
    def report(db, seed):
        inputs = {"x": X, "b": np.ones(4)}
        rng = np.random.default_rng(seed)
        return check_vjp(lambda x, b: (x + b, None), lambda dy, _: (dy, db(dy)), inputs, rng=rng)

    for seed in range(4):
        wrong = report(db, seed)
        assert wrong.rows[1].status == "wrong"
        assert [row["error"] is None for row in wrong.as_dict()["rows"]] == [False, True]
        assert wrong.cells()[2][2] == ""
    assert report(lambda dy: np.zeros(4), 0).as_dict()["rows"][1]["error"] == pytest.approx(1, abs=1e-6)


words = st.text(max_size=120)
rows = st.builds(
    Row,
    name=words,
    shape=st.lists(st.integers(0, 10**6), max_size=8).map(tuple),
    error=st.floats(),
    status=st.sampled_from(STATES),
    note=words,
    second=st.none() | st.floats(0, 1),
)
findings = st.builds(
    Finding,
    inputs=st.lists(words, min_size=1, max_size=30).map(tuple),
    cause=st.sampled_from(list(CAUSES)),
    message=words,
    repair=words,
    also=st.sampled_from(["", "sign"]),
    expected=st.none() | st.floats(),
    got=st.none() | st.floats(),
    where=st.none() | st.just((10**5,) * 3),
)
reports = st.builds(
    Report,
    words,
    st.lists(rows, max_size=14),
    st.lists(findings, max_size=3),
    st.sampled_from(["error", "standard errors"]),
)


@settings(deadline=None)
@given(reports)
def test_no_line_is_wider_than_a_terminal(report):
    lines = str(report).split("\n")
    assert max(len(line) for line in lines) <= 80
    assert all(line == line.rstrip(" ") for line in lines)


# ---------------------------------------------------------------------------------------------------------------------
# On a page


class Elements(HTMLParser):
    """The text of a page with the elements around each piece of it, and every style."""

    def __init__(self, page):
        super().__init__()
        self.open, self.texts, self.styles, self.titles = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.styles.append(dict(attrs).get("style", ""))
        self.titles.append(dict(attrs).get("title"))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append((text, tuple(self.open)))

    def around(self, part):
        return next(around for text, around in self.texts if part in text)


def test_a_page_has_the_finding_open_and_the_answer_folded():
    page = Elements(REPORT._repr_html_())
    assert page.open == []
    assert "details" not in page.around(FACTOR.message)
    assert "details" in page.around(FACTOR.repair)
    assert "details" in page.around("expected 1.25, got 0.25")
    assert "table" in page.around("4x3")
    assert CAUSES["factor"] in page.titles
    assert "<mine>" not in REPORT._repr_html_()
    texts = [text for text, _ in page.texts]
    assert texts.index("dense <mine>") < texts.index(FACTOR.message) < texts.index("4x3")


def test_a_page_has_no_colour_of_its_own_for_text_and_no_opaque_background():
    for report in (REPORT, dense_wrong(), Report("nothing"), Report("ok", ROWS[:1])):
        for style in Elements(report._repr_html_()).styles:
            for name, value in re.findall(r"([\w-]+):\s*([^;]+)", style):
                if name == "color":
                    assert value == "inherit"
                if name == "background":
                    assert value == "none" or float(re.fullmatch(r"rgba\(\d+, \d+, \d+, (0\.\d+)\)", value)[1]) <= 0.15


def test_of_many_rows_those_that_are_ok_are_folded():
    rows = [Row(f"p{i}", (2,), 1e-9, "wrong" if i == 7 else "ok") for i in range(20)]
    page = Elements(Report("model", rows)._repr_html_())
    assert "details" not in page.around("p7")
    assert "details" in page.around("p8")
    few = Elements(Report("model", rows[:8])._repr_html_())
    assert "details" not in few.around("p3")


@settings(deadline=None)
@given(reports)
def test_any_page_is_well_formed_and_says_what_the_report_says(report):
    page = Elements(report._repr_html_())
    assert page.open == []
    said = "".join(text for text, _ in page.texts)
    for text in (report.title.strip(), *(f.message for f in report.findings), *(row.name for row in report.rows)):
        assert "".join(text.split()) in "".join(said.split())


# ---------------------------------------------------------------------------------------------------------------------
# As a figure


def pixels(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def line(value, slope=1.0, scale=1.0):
    return Line(value, slope, scale)


def rows_with_lines(names, value=lambda h: np.sin(h), status="ok"):
    return [Row(name, (3,), 1e-9, status, line=line(value)) for name in names]


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_any_title_and_any_name_can_be_drawn(text):
    figure = Report(text, rows_with_lines([text, "b"])).plot()
    image = pixels(figure)  # which warns, and fails here, if a letter is missing
    for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
        assert (edge == 255).all()
    left, right = figure.axes
    assert left.get_position().width > 0.25
    assert right.get_position().width > 0.25
    labels = [label.get_text() for label in figure.legends[0].get_texts()]
    assert labels[1] == "b"
    assert labels[0][:6] == " ".join(text.split())[:6] or not text.isascii()


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_at_all_can_be_drawn(text):
    font = get_font(findfont(FontProperties()))
    drawn = drawable(text, 90)
    assert len(drawn) <= 90
    assert all(font.get_char_index(ord(c)) for c in drawn)
    assert drawn.isprintable()


def drop(h):
    return np.log(0.25 + h) if h > -0.25 else np.nan


def leap(h):
    if abs(h) > 0.5:
        raise np.linalg.LinAlgError("singular")
    return h


@pytest.mark.parametrize(
    "value", [drop, leap, lambda h: np.exp(1000 * h), lambda h: 1 / h if h else 0.0, lambda h: np.nan, lambda h: h]
)
def test_a_function_without_finite_values_far_away_is_drawn_where_it_has_some(value):
    report = Report("far", [Row("x", (1,), 1e-9, "ok", line=line(value, slope=4.0))])
    figure = report.plot()
    pixels(figure)
    assert "x" in figure.alt


def test_a_slope_without_scale_is_drawn():
    pixels(Report("flat", [Row("x", (1,), 0.0, "ok", line=line(lambda h: 0.0, 0.0, 0.0))]).plot())


def test_of_many_rows_the_wrong_ones_are_drawn():
    rows = rows_with_lines([f"p{i}" for i in range(20)]) + rows_with_lines(["bad"], status="wrong")
    figure = Report("model", rows).plot()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[0] == "bad, wrong"
    assert figure.legends[0].get_title().get_text() == f"{len(labels)} of 21 drawn"
    seen = {(handle.get_color(), handle.get_linestyle()) for handle in figure.axes[0].lines}
    assert len(seen) == len(labels)


def test_the_figure_says_in_words_what_it_shows_and_a_notebook_hands_them_on(monkeypatch):
    figure = dense_wrong().plot()
    assert re.search(r"x is wrong: its error stays on a shelf, never below 5?\d*e-0[01]", figure.alt)
    assert re.search(r"w falls to [\de-]+ at a step of [\de+-]+\.", figure.alt)
    display = pytest.importorskip("IPython.display")
    shown = []
    monkeypatch.setattr(display, "display", shown.append)
    figure._ipython_display_()
    _, metadata = shown[0]._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == figure.alt


def test_what_has_no_steps_is_not_drawn():
    with pytest.raises(ValueError, match="plot draws the differences behind a gradient"):
        check_optimizer(SGD(), SGD()).plot()


# ---------------------------------------------------------------------------------------------------------------------
# In words


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_has_a_sentence(cause):
    assert CAUSES[cause].endswith(".")
    assert len(CAUSES[cause].split()) <= 30
