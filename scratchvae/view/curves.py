"""Learning curves: every column of a run's history by epoch, on scales on which its later epochs can be read."""

import math

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scratchvae.checkpoint import History
from scratchvae.view.style import BLUE, EM, GREY, VERMILLION, WIDTH, readable, signed

TERMS = {
    "nll": "nll = −log p(x|z)",
    "kl": "kl = KL(q(z|x) ‖ p(z))",
    "elbo": "elbo = −nll − kl",
    "objective": "objective: what is trained",
}
LINES = (  # how the name of a column begins, and how its line is drawn
    ("train_", BLUE, "--", "train, mean over the epoch"),
    ("test_", VERMILLION, "-", "test, after the epoch"),
    ("", GREY, "-", "one value an epoch"),
)
STEEP = 8  # the whole scale may be so many times as long as what the second half of the epochs takes up
FLAT = 0.01  # of the whole range: less than that counts as much; noise is not worth a scale
TITLE = 17  # ems: what a panel is wide enough for
FEW = 6  # epochs: in a shorter run every epoch is worth its place


def learning_curves(history: History, note: str = "", per: str = "image") -> Figure:
    """A panel for each term of the history by epoch: nll, kl, elbo, then whatever else it holds, train beside test.

    Where the first epochs would flatten the others, the scale is chosen for the others, and the panel says so.

    Units     nats per image (or whatever `per` says), epochs. note goes above, e.g. how images were binarised.
    """
    columns = [name for name in history if name != "epoch"]
    found = dict.fromkeys(name.removeprefix("train_").removeprefix("test_") for name in columns)
    terms = [term for term in TERMS if term in found] + [term for term in found if term not in TERMS]
    across = max(1, len(terms) if len(terms) <= 3 else min(3, math.ceil(len(terms) / 2)))
    down = math.ceil(len(terms) / across)
    figure = Figure(figsize=(WIDTH if across > 1 else 0.65 * WIDTH, 0.6 + 2.8 * down), layout="constrained")
    drawn: dict[str, Artist] = {}
    for i, term in enumerate(terms):
        ax = figure.add_subplot(down, across, i + 1, xlabel="epoch")
        draw_term(ax, term, history)
        drawn |= {str(line.get_label()): line for line in ax.lines}
        if any(f"{part}_{term}" in history for part in ("train", "test")):
            ax.set_ylabel(f"nats per {readable(per, 15)}")
    if any(ax.texts for ax in figure.axes):  # a line for what is off the scale, between title and panel
        for ax in figure.axes:
            ax.set_title(ax.get_title() + "\n", fontsize="medium")
    labels = [label for *_, label in LINES if label in drawn]
    figure.legend(
        [drawn[label] for label in labels], labels, loc="outside lower center", ncols=3, frameon=False, fontsize="small"
    )
    figure.suptitle(readable(note, figure.get_figwidth() / EM - 2), fontsize="medium", color=GREY)
    return figure


def draw_term(ax: Axes, term: str, history: History) -> None:
    """The lines of one term, its scale and its title."""
    epochs = history["epoch"]
    lines = [line for line in LINES if f"{line[0]}{term}" in history]
    values = np.array([history[f"{part}{term}"] for part, *_ in lines], float)  # (lines, epochs)
    for (_, colour, style, label), line in zip(lines, values, strict=True):
        marker = "o" if len(epochs) <= 12 else ""  # a single epoch would be invisible as a line
        ax.plot(epochs, line, style, color=colour, marker=marker, ms=3.5, label=label)
    low, high = scale(values)
    outside = np.flatnonzero(((values < low) | (values > high)).any(axis=0))  # epochs, from 0
    if len(outside):
        ax.set_ylim(low, high)
        farthest = signed(values.flat[np.abs(values - (low + high) / 2).argmax()], 3)
        first, last = epochs[outside[0]], epochs[outside[-1]]
        which = f"epoch {first}" if first == last else f"epochs {first}–{last}"
        said = ax.text(0.5, 1.02, f"{which} off scale, to {farthest}", ha="center", va="bottom")
        said.set(transform=ax.transAxes, size="x-small", color=GREY)
    ax.set_title(readable(TERMS.get(term, term), TITLE), fontsize="medium")
    ax.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)


def scale(values: np.ndarray) -> tuple[float, float]:
    """The ends of the scale for lines of a run: those of all values, unless the first epochs would flatten the others.

    Epochs are left out from the first on, up to a half of them, until the rest takes up no more than STEEP times what
    the second half does.

    Shapes    values (lines, epochs).
    """
    half = values.shape[1] // 2 if values.shape[1] >= FEW else 0
    late = max(np.ptp(values[:, half:]), FLAT * np.ptp(values))
    first = next((k for k in range(half) if np.ptp(values[:, k:]) <= STEEP * late), half)
    kept = values[:, first:]
    margin = max(0.06 * np.ptp(kept), 0.5 * (late - np.ptp(kept)))
    return float(kept.min() - margin), float(kept.max() + margin)
