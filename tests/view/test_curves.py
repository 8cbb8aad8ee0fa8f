"""The curves show what is in the history, all of it, and where a scale leaves something out, they say what."""

import numpy as np
import pytest
from looking import assert_nothing_is_cut

from scratchvae.view.curves import learning_curves, scale

HISTORY = {
    "epoch": [1, 2],
    "train_elbo": [-9.0, -8.0],
    "test_elbo": [-9.5, -8.5],
    "test_nll": [9.0, 8.0],
    "test_kl": [0.5, 0.5],
}


def shown(ax):
    """What the lines of a panel are, by the word of the legend that they begin with."""
    return {line.get_label().split(",")[0]: line.get_ydata().tolist() for line in ax.lines}


def test_a_panel_a_term_with_its_unit():
    axes = learning_curves(HISTORY, "binarise dynamic").axes
    assert [ax.get_title()[:4] for ax in axes] == ["nll ", "kl =", "elbo"]
    assert {ax.get_ylabel() for ax in axes} == {"nats per image"}
    assert {ax.get_xlabel() for ax in axes} == {"epoch"}
    assert [shown(ax) for ax in axes] == [
        {"test": [9.0, 8.0]},
        {"test": [0.5, 0.5]},
        {"train": [-9.0, -8.0], "test": [-9.5, -8.5]},
    ]


def test_the_autoencoder_has_one_panel():
    (ax,) = learning_curves({"epoch": [1], "train_nll": [5.0], "test_nll": [6.0]}).axes
    assert shown(ax) == {"train": [5.0], "test": [6.0]}


def test_another_objective_has_a_panel_of_its_own_and_every_other_column_too():
    more = {"train_objective": [-7.0, -6.0], "test_objective": [-7.5, -6.5], "train_nll": [8.0, 7.0], "lr": [1.0, 0.5]}
    figure = learning_curves({**HISTORY, **more})
    assert [ax.get_title().split(" ")[0] for ax in figure.axes] == ["nll", "kl", "elbo", "objective:", "lr"]
    assert shown(figure.axes[0]) == {"train": [8.0, 7.0], "test": [9.0, 8.0]}
    assert shown(figure.axes[3]) == {"train": [-7.0, -6.0], "test": [-7.5, -6.5]}
    assert list(shown(figure.axes[4]).values()) == [[1.0, 0.5]]
    assert [ax.get_ylabel() for ax in figure.axes[3:]] == ["nats per image", ""]
    labels = [text.get_text().split(",")[0] for text in figure.legends[0].get_texts()]
    assert labels == ["train", "test", "one value an epoch"]
    assert_nothing_is_cut(figure)


@pytest.mark.parametrize("columns", [{}, {"test_nll": [1.0]}, {"lr": [1]}], ids=list)
def test_a_short_history_is_drawn(columns):
    assert_nothing_is_cut(learning_curves({"epoch": [3], **columns}, "note"))


def ends(late, early, epochs=30):
    """A curve that is at `early` after its first epoch, and moves evenly from `late` to 0 after that."""
    return np.array([[early, *np.linspace(late, 0, epochs - 1)]])


def test_a_first_epoch_that_would_flatten_the_others_is_left_off_the_scale():
    low, high = scale(ends(-4, -400))
    assert -5 < low < -4
    assert 0 < high < 1
    low, high = scale(ends(-4, -9))
    assert low < -9
    assert scale(np.array([[-400.0, -4, -3, -2]]))[0] < -400  # in a run of four epochs each is worth its place
    assert scale(ends(-4, 400))[1] < 1  # whichever way it goes


def test_noise_is_not_worth_a_scale():
    converged = np.array([[100.0, 10, *(1 + 1e-9 * np.arange(20) % 2)]])
    low, high = scale(converged)
    assert low < 1 < high
    assert high - low == pytest.approx(0.99)  # a hundredth of 99
    low, high = scale(np.full((2, 9), 3.0))
    assert low == high == 3.0  # which learning_curves leaves to matplotlib
    learning_curves({"epoch": list(range(9)), "test_kl": [0.0] * 9}).draw_without_rendering()


def test_what_is_off_the_scale_is_said_and_only_that():
    early = {"test_nll": ends(4, 400)[0].tolist(), "test_kl": ends(4, 5)[0].tolist()}
    figure = learning_curves({"epoch": list(range(1, 31)), **early})
    nll, kl = figure.axes
    assert [text.get_text() for text in nll.texts] == ["epoch 1 off scale, to 400"]
    assert nll.get_ylim()[1] < 5
    assert nll.lines[0].get_ydata().tolist() == early["test_nll"]  # it is drawn, beyond the edge
    assert len(kl.texts) == 0
    assert kl.get_ylim()[1] > 5
    assert_nothing_is_cut(figure)


def test_several_epochs_off_the_scale():
    train, test = [-900.0, -500.0, *np.linspace(-5, 0, 28)], [-300.0, -4.0, *np.linspace(-3, 0, 28)]
    figure = learning_curves({"epoch": list(range(1, 31)), "train_elbo": train, "test_elbo": test})
    assert [text.get_text() for text in figure.axes[0].texts] == ["epochs 1–2 off scale, to −900"]


def test_a_long_run_of_large_numbers_has_room_for_what_is_off_the_scale():
    start = [-1.234567e8] * 400
    columns = {f"test_{name}": start + np.linspace(-3e4, 0, 1600).tolist() for name in ("nll", "kl", "elbo")}
    figure = learning_curves({"epoch": list(range(1, 2001)), **columns})
    texts = [ax.texts[0] for ax in figure.axes]
    assert {text.get_text() for text in texts} == {"epochs 1–400 off scale, to −1.23e+08"}
    assert_nothing_is_cut(figure)
    left, middle, right = (text.get_window_extent() for text in texts)
    assert left.x1 < middle.x0
    assert middle.x1 < right.x0
