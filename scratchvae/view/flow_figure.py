"""The drawing behind `flow`: nodes with values in them, and an arrow for every move between them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.patheffects import withStroke

GREY, BLUE, VERMILLION, PURPLE, PALE = "#555555", "#0072B2", "#D55E00", "#9467A8", "#BBBBBB"

PLACES = {  # where each node stands: the forward pass runs to the right, and kl closes the loop from both sides
    "x": (0.0, 0.0),
    "hidden": (1.5, 0.0),
    "mu": (3.0, 1.9),
    "logvar": (3.0, -1.9),
    "sigma": (4.5, -1.1),
    "eps": (4.5, 0.0),
    "z": (6.0, 0.0),
    "hidden'": (7.5, 0.0),
    "logits": (9.0, 0.0),
    "nll": (10.5, 0.0),
    "elbo": (12.0, 0.0),
    "kl": (13.5, 0.0),
}


LABELS = {  # where the label of a backward move stands, beside its edge
    "dkl": (12.75, -0.75),
    "dnll": (11.25, -0.75),
    "dlogits": (9.75, -0.75),
    "dhidden'": (8.25, -0.75),
    "dz": (6.75, -0.75),
    "dmu_z": (5.05, 1.25),
    "dsigma": (6.05, -1.45),
    "dlogvar_z": (3.5, -0.95),
    "dmu_kl": (8.9, 1.45),
    "dlogvar_kl": (8.9, -2.42),
    "dh_mu": (1.45, 1.35),
    "dh_logvar": (1.4, -1.5),
}
TITLE = "The objective pulls on mu and sigma through z and through the kl. eps takes part, and is never updated."
LEGEND = (
    (-0.4, GREY, "forward: a value"),
    (2.4, BLUE, "backward: raising it raises the elbo"),
    (7.0, VERMILLION, "raising it lowers the elbo"),
    (10.6, PURPLE, "mixed; the wider, the larger"),
)
HALF = (0.52, 0.4)  # half the width and height of a node's box
APART = 0.09  # between the forward and the backward arrow of an edge


class Move(NamedTuple):
    """What passes along one edge: a value on the way forward, a gradient on the way back."""

    source: str
    target: str
    name: str
    array: np.ndarray
    rule: str  # how it is computed

    @property
    def forward(self) -> bool:
        """Whether this is a value on its way forward."""
        return not self.name.startswith("d")

    @property
    def size(self) -> float:
        """The root mean square over the entries."""
        return float(np.sqrt(np.mean(np.square(self.array))))

    @property
    def sign(self) -> str:
        """Plus or minus, as the mean over the entries says; both where that is below a tenth of the size."""
        mean = float(self.array.mean())
        return "±" if abs(mean) < 0.1 * self.size else "+" if mean > 0 else "−"


def draw_moves(values: Mapping[str, np.ndarray], moves: Sequence[Move], step: int) -> Figure:
    """The graph after the first `step` moves; see `flow.Trace.draw`."""
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    ax = figure.add_subplot()
    ax.set(xlim=(-0.6, 14.1), ylim=(-3.3, 2.9), aspect="equal")
    ax.axis("off")
    ax.text(-0.5, 2.72, TITLE, size=13, weight="bold", va="center")
    done = moves[:step]
    largest = max(move.size for move in moves if not move.forward)
    reached = {"x", "eps"} | {node for move in done if move.forward for node in (move.source, move.target)}
    for name, (column, row) in PLACES.items():
        draw_node(ax, name, column, row, values[name], name in reached)
    for move in done:
        draw_move(ax, move, largest)
    note: dict[str, Any] = {"ha": "center", "va": "center", "size": 8.5, "color": GREY, "linespacing": 1.3}
    ax.text(3.02, 0.0, "a constant:\nno arrow\ncomes back", **note)
    ax.text(0.0, -0.75, "the data is not trained:\nno gradient", **note)
    for column, colour, meaning in LEGEND:
        ax.plot([column, column + 0.4], [-3.05, -3.05], color=colour, linewidth=1.2 if colour == GREY else 4)
        ax.text(column + 0.52, -3.05, meaning, va="center", size=9.5)
    return figure


def draw_node(ax: Axes, name: str, column: float, row: float, value: np.ndarray, reached: bool) -> None:
    """A box with the name and the size of a value; eps, which nothing updates, has a dashed one."""
    corner = (column - HALF[0], row - HALF[1])
    box = FancyBboxPatch(corner, 2 * HALF[0], 2 * HALF[1], "round,pad=0,rounding_size=0.12", linewidth=1.2)
    box.set(facecolor="#F4F4F4" if reached else "white", edgecolor=GREY if reached else PALE)
    box.set_linestyle("--" if name == "eps" else "-")
    ax.add_patch(box)
    colour = "black" if reached else PALE
    ax.text(column, row + 0.13, name, ha="center", va="center", size=11, weight="bold", color=colour)
    number = f"{value.mean():.4g}" if value.ndim == 1 else f"rms {np.sqrt(np.mean(np.square(value))):.2g}"
    ax.text(column, row - 0.18, number if reached else "", ha="center", va="center", size=9.5, color=GREY)


def draw_move(ax: Axes, move: Move, largest: float) -> None:
    """An arrow: grey forward; backward blue where the mean gradient is positive, vermillion where it is negative."""
    if move.forward:
        colour, width, style = GREY, 1.1, "-|>,head_length=4,head_width=2"
    else:
        colour = {"+": BLUE, "−": VERMILLION, "±": PURPLE}[move.sign]
        share = 0.0 if move.size == 0 else max(0.0, 1 + np.log10(move.size / largest) / 4)  # 1 the largest, 0 at 1e-4
        width, style = 1.2 + 3.8 * share, "-|>,head_length=5,head_width=3"
    arrow = FancyArrowPatch(path=Path(route(move)), arrowstyle=style, mutation_scale=1.0, shrinkA=0, shrinkB=0)
    arrow.set(color=colour, linewidth=width, capstyle="butt", joinstyle="round", fill=False)
    ax.add_patch(arrow)
    if not move.forward:
        halo = [withStroke(linewidth=3, foreground="white")]
        name = (
            "dsigma = dz · eps" if move.name == "dsigma" else move.name
        )  # the one place where the noise comes back in
        text = f"{name}\n{move.sign}{move.size:.2g}"
        ax.text(*LABELS[move.name], text, ha="center", va="center", size=10, color=colour, path_effects=halo)


def route(move: Move) -> np.ndarray:
    """The corners of an arrow, (2 or 3, 2): from box to box, kept left so that both directions have room."""
    corners = [np.array(PLACES[move.source]), np.array(PLACES[move.target])]
    ends = {move.source, move.target}
    if "kl" in ends and "elbo" not in ends:  # around the decoder: over the top from mu, below from logvar
        corners.insert(1, np.array([PLACES["kl"][0], PLACES["mu" if "mu" in ends else "logvar"][1]]))
    ways = [(b - a) / np.hypot(*(b - a)) for a, b in pairwise(corners)]
    left = [APART * np.array([-way[1], way[0]]) for way in ways]
    box = np.array(HALF)
    first = corners[0] + ways[0] * (box / np.maximum(np.abs(ways[0]), 1e-9)).min() + left[0]
    last = corners[-1] - ways[-1] * ((box / np.maximum(np.abs(ways[-1]), 1e-9)).min() + 0.04) + left[-1]
    return np.array([first, *(c + left[0] + left[1] for c in corners[1:-1]), last])
