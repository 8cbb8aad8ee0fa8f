"""Where the boxes of the gradient-flow figure stand, in inches, and how the arrows run between them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

STEP, HALF = 1.08, (0.41, 0.25)  # inches: from box to box in a row; half the width and height of a box
UP, DOWN, SIGMA = 1.45, -1.45, -0.86  # rows of mu, of logvar and kl, of sigma
APART = 0.085  # between the middle of an edge and each of its two arrows

Point = tuple[float, float]


class Layout(NamedTuple):
    """The middle of every box, where the text of a gradient stands, and how far the figure reaches to the right."""

    boxes: dict[str, Point]
    labels: dict[str, Point]
    right: float


def layout(encoder: Sequence[str], decoder: Sequence[str], vae: bool) -> Layout:
    """The forward pass runs to the right and ends in the objective. Of a VAE mu stands above, logvar and kl below."""
    boxes = {name: (i * STEP, 0.0) for i, name in enumerate(("x", *encoder))}
    top = len(encoder) * STEP
    if vae:
        boxes |= {"mu": (top + 1.25, UP), "logvar": (top + 1.25, DOWN), "sigma": (top + 2.3, SIGMA)}
        boxes |= {"eps": (top + 2.3, 0.0)}
    first = top + (3.6 if vae else STEP)
    boxes |= {name: (first + i * STEP, 0.0) for i, name in enumerate(("z", *decoder, "logits", "nll"))}
    last = boxes["nll"][0]
    boxes["objective"] = (last + STEP, 0.0)
    if vae:
        boxes["kl"] = (last + 0.55, DOWN)
    return Layout(boxes, label_places(boxes, encoder, decoder), last + STEP + HALF[0] + (0.45 if vae else 0.0))


def label_places(boxes: dict[str, Point], encoder: Sequence[str], decoder: Sequence[str]) -> dict[str, Point]:
    """Beside its edge, for every gradient: below the row between two boxes, beside the slanted edges."""
    row = ["z", *decoder, "logits", "nll", "objective"]
    if "mu" not in boxes:
        row = [*encoder, *row]
    beside = {"objective": "dnll", "nll": "dlogits"}
    places = {
        beside.get(above, f"d{below}"): ((boxes[below][0] + boxes[above][0]) / 2, -0.5)
        for below, above in pairwise(row)
    }
    places |= {f"d{below}": ((boxes[below][0] + boxes[above][0]) / 2, -0.5) for below, above in pairwise(encoder)}
    if "mu" in boxes:
        (top, _), (z, _), (kl, _), (eps, _) = (boxes[name] for name in ("mu", "z", "kl", "eps"))
        places |= {
            "dmu_z": (eps + 0.38, 1.0),
            "dmu_kl": ((z + kl) / 2, UP - 0.3),
            "dsigma": (eps + 1.12, -0.98),
            "dlogvar_z": (top + 0.28, -0.8),
            "deps": (eps - HALF[0] - 0.72, 0.0),
            "dlogvar_kl": ((eps + kl) / 2, DOWN - 0.3),
            "dkl": (kl + 0.66, -0.95),
            "dh_mu": (top - 1.02, 1.12),
            "dh_logvar": (top - 1.02, -0.95),
        }
    return places


def route(boxes: dict[str, Point], source: str, target: str, right: float) -> np.ndarray:
    """The corners of an arrow, (2 or more, 2): from box to box, kept left so that both directions have room."""
    corners = [np.array(boxes[source]), np.array(boxes[target])]
    if {source, target} == {"mu", "kl"}:  # over the top and around the objective, which is last in its row
        around = [np.array([right - 0.15, boxes[name][1]]) for name in (source, target)]
        corners[1:1] = around
    ways = [(b - a) / np.hypot(*(b - a)) for a, b in pairwise(corners)]
    left = [APART * np.array([-way[1], way[0]]) for way in ways]
    first = corners[0] + left[0] + inside(left[0], ways[0]) * ways[0]
    last = corners[-1] + left[-1] - (inside(left[-1], -ways[-1]) + 0.02) * ways[-1]
    inner = [c + left[i] + left[i + 1] for i, c in enumerate(corners[1:-1])]
    return np.array([first, *inner, last])


def inside(start: np.ndarray, way: np.ndarray) -> float:
    """How far it is from a point in a box, seen from the box's middle, along a way of length 1 to the box's edge."""
    return float(((np.array(HALF) - np.sign(way) * start) / np.maximum(np.abs(way), 1e-9)).min())
