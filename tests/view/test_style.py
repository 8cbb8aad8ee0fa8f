"""No name breaks a picture: it is drawn as it is spelled, as far as the font can, on one line that fits."""

import numpy as np
import pytest
from looking import assert_nothing_is_cut
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure

from scratchvae import VAE
from scratchvae.view.curves import TITLE, learning_curves
from scratchvae.view.latent import sheet
from scratchvae.view.scatter import NAME, latent_scatter
from scratchvae.view.style import readable

HOSTILE = {  # a name, and what stands in the picture if there is room
    "mnist-sample, 50 %": "mnist-sample, 50 %",
    "$": "$",
    "$x$": "$x$",
    "$\\frac{$": "$\\frac{$",
    "\\$": "\\$",
    "\\\\$a_b^{c}$$": "\\\\$a_b^{c}$$",
    "a_1^2{3}\\alpha%s{0}": "a_1^2{3}\\alpha%s{0}",
    "two\nlines\tand\r\nmore\x0b": "two lines and more",
    "  ": "",
    "": "",
    "données ß ø": "données ß ø",
    "e\u0301": "é",
    "e\u0301\u0301": "é\\u0301",  # marks could be piled up to any height
    "мнист ψηφία": "мнист ψηφία",
    "手写.npz": "\\u624b\\u5199.npz",
    "\x00\x07\x1b[1m": "\\x00\\x07\\x1b[1m",
    "\ud800x": "\\ud800x",
    "a\u202eb\u200d\ufeff": "a\\u202eb\\u200d\\ufeff",
    "\U0001f469\u200d\U0001f4bb": "\\U0001f469\\u200d\\U0001f4bb",
    "\U0010ffff\ue000": "\\U0010ffff\\ue000",
}
LONG = ["x" * 80, "W" * 500, "$" * 500, "\\" * 500, "中" * 80, "e" + "\u0301" * 500, "ﷺ" * 90, "a b " * 200, "\n" * 600]
each_name = pytest.mark.parametrize("name", [*HOSTILE, *LONG], ids=range(len(HOSTILE) + len(LONG)))


def drawn(text):
    """What matplotlib draws for a text in which nothing is mathematics."""
    assert not is_math_text(text)
    return text.replace(r"\$", "$")


@pytest.mark.parametrize(("name", "expected"), HOSTILE.items(), ids=range(len(HOSTILE)))
def test_a_name_is_spelled_as_it_is_or_as_python_would_escape_it(name, expected):
    assert drawn(readable(name, 100)) == expected


def test_a_name_that_is_too_long_keeps_both_its_ends():
    short = drawn(readable("start " + "abc " * 200 + "/end.npz", 20))
    assert short.startswith("start abc")
    assert short.endswith("/end.npz")
    assert short.count("…") == 1
    assert drawn(readable("12345", 9)) == "12345"
    assert drawn(readable(12345, 9)) == "12345"


def test_what_is_cut_is_never_half_an_escape():
    pieces = drawn(readable("中" * 80, 30)).split("…")
    assert [set(piece.split("\\")[1:]) for piece in pieces] == [{"u4e2d"}, {"u4e2d"}]


@each_name
@pytest.mark.parametrize("dpi", [100, 120, 720])
def test_a_line_is_no_wider_than_it_may_be(name, dpi):
    for ems in (6, 40):
        figure = Figure(dpi=dpi)
        text = figure.text(0, 0, readable(name, ems), size=10)
        figure.draw_without_rendering()
        box = text.get_window_extent()
        assert box.width <= ems * dpi * 10 / 72
        assert box.height <= 2 * dpi * 10 / 72  # one line


some_names = pytest.mark.parametrize("name", ["$x$", "$\\frac{$", "手写\n\x00\ud800", *LONG[:5]], ids=range(8))


@some_names
@pytest.mark.parametrize("history", [{"train_nll": [3.0]}, {"test_nll": [3.0], "test_kl": [1.0]}], ids=len)
def test_no_name_of_a_data_set_breaks_the_curves(name, history):
    assert_nothing_is_cut(learning_curves({"epoch": [1], **history}, f"{name}, binarise none", name))


@some_names
def test_no_title_breaks_a_sheet(name, rng):
    assert_nothing_is_cut(sheet(VAE(16, (3,), 2, rng=rng), rng.random((3, 16)), (4, 4), name))


def test_no_name_of_a_class_breaks_the_map(rng):
    vae, y = VAE(16, (3,), 2, rng=rng), np.array([*HOSTILE, *LONG] * 4)
    figure = latent_scatter(vae, rng.random((len(y), 16)), y)
    assert_nothing_is_cut(figure)
    for name, ax in zip(np.unique(y), figure.axes[1:], strict=True):
        assert ax.get_title() == readable(name, NAME)


def test_no_column_of_a_history_breaks_the_curves():
    names = ["$x$", "$\\frac{$", "", "\ud800", *LONG[:5]]
    figure = learning_curves({"epoch": [1, 2], **{f"test_{name}": [1.0, 2.0] for name in names}})
    assert_nothing_is_cut(figure)
    assert {ax.get_title() for ax in figure.axes} == {readable(name, TITLE) for name in names}
