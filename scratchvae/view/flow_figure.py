"""The drawing behind `flow`: boxes with values in them, and an arrow for every move between them."""

import math
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Polygon

from scratchvae.view.flow_moves import Move, kl_term
from scratchvae.view.flow_numbers import draw_equation, equation, objective_equation, printed, printed_value
from scratchvae.view.flow_places import HALF, Layout, layout, route
from scratchvae.view.style import BLUE, PALE, VERMILLION

if TYPE_CHECKING:
    from scratchvae.view.flow import Flow

GREY = "#555555"
WIDEST, THINNEST, VALUE = 7.0, 0.7, 1.0  # points: of the widest gradient, of the thinnest, of a value
LEFT, TOP, BOTTOM, NARROWEST = -0.6, 2.3, -2.62, 8.9  # inches; the legend needs so much
SMALL: dict[str, Any] = {"ha": "center", "va": "center", "size": 8.5, "color": GREY, "linespacing": 1.25}


def draw_flow(flow: "Flow", step: int) -> Figure:
    """The graph after the first `step` moves; see `flow.Flow.draw`."""
    parts = [[name for name in flow.values if name.startswith(f"{part}.")] for part in ("encoder", "decoder")]
    vae = "mu" in flow.values
    plan = layout(parts[0], parts[1], vae)
    top, bottom = (TOP, BOTTOM) if vae else (1.15, -1.65)
    right = max(plan.right, NARROWEST) + 0.15
    figure = Figure(figsize=(right - LEFT, top - bottom))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(LEFT, right), ylim=(bottom, top))
    ax.axis("off")
    done, full = flow.moves[:step], step >= len(flow.moves)
    reached = {"x", "eps"} | {node for move in done if move.forward for node in (move.source, move.target)}
    for name, place in plan.boxes.items():
        draw_box(ax, flow, name, place, name in reached)
    scale = points_per_unit(flow)
    texts = printed(flow)
    for move in done:
        draw_move(ax, move, plan, scale)
        if not move.forward:
            write_move(ax, move, plan.labels[move.name], texts[move.name])
    arrived = {move.name for move in done}
    for one in flow.sums:
        if set(one.parts) <= arrived:
            write_sum(ax, plan.boxes[one.node], one.node, equation(flow, one.name))
    write_notes(ax, flow, plan, full)
    write_legend(ax, bottom, scale)
    return figure


def points_per_unit(flow: "Flow") -> float:
    """The scale of the widths: a round number of units is as wide as an arrow gets."""
    return WIDEST / round_above(max(abs(move.number) for move in flow.moves if not move.forward))


def round_above(number: float) -> float:
    """The least of ..., 0.1, 0.2, 0.5, 1, 2, 5, ... that is not below the number; 1 for a zero."""
    if number == 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(number))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= number * (1 - 1e-12))


def draw_box(ax: Axes, flow: "Flow", name: str, place: tuple[float, float], reached: bool) -> None:
    """A box with the name and the number of a value; above it, which entry it is. eps has a dashed one."""
    corner = (place[0] - HALF[0], place[1] - HALF[1])
    box = FancyBboxPatch(corner, 2 * HALF[0], 2 * HALF[1], "round,pad=0,rounding_size=0.08", linewidth=1.1, gid=name)
    box.set(facecolor="#F4F4F4" if reached else "white", edgecolor=GREY if reached else PALE)
    box.set_linestyle("--" if name == "eps" else "-")
    ax.add_patch(box)
    colour = "black" if reached else PALE
    ax.text(place[0], place[1] + 0.1, name, ha="center", va="center", size=9.5, weight="bold", color=colour)
    text = printed_value(flow, name)
    ax.text(place[0], place[1] - 0.11, text if reached else "", ha="center", va="center", size=9, color=GREY)
    size = flow.values[name].shape[1]
    if size > 1 and name not in ("mu", "logvar", "sigma", "eps"):
        aside = 0.13 * name.startswith("encoder.")  # of the arrow to mu
        ax.text(place[0] - aside, place[1] + 0.36, f"{flow.entries[name] + 1} of {size}", **SMALL)


def colour_of(move: Move, nothing: str) -> str:
    """Of a gradient: by its sign."""
    return nothing if move.number == 0 else BLUE if move.number > 0 else VERMILLION


def draw_move(ax: Axes, move: Move, plan: Layout, scale: float) -> None:
    """An arrow: grey forward; backward blue where raising it raises the objective, vermillion where it lowers it."""
    corners = route(plan.boxes, move.source, move.target, plan.right)
    width = VALUE if move.forward else max(THINNEST, abs(move.number) * scale)
    colour = GREY if move.forward else colour_of(move, PALE)
    inches = width / 72
    half, length = (0.035, 0.08) if move.forward else (0.5 * inches + 0.035, 0.1)
    way = corners[-1] - corners[-2]
    way = way / np.hypot(*way)
    tip, base = corners[-1], corners[-1] - length * way
    unused = move.name == "deps"
    line = Line2D(*np.array([*corners[:-1], base]).T, color=colour, linewidth=width, gid=move.name)
    line.set(solid_capstyle="butt", dash_capstyle="butt", solid_joinstyle="miter")
    if unused:
        line.set_linestyle((0, (0.5, 0.5) if width > 3 else (1.5, 1.5)))
    ax.add_line(line)
    side = max(half, 0.07 * unused) * np.array([-way[1], way[0]])
    head = [base + side, tip, base - side]
    if unused:  # it ends at a bar
        base, tip = tip - 0.03 * way, tip
        head = [base + side, tip + side, tip - side, base - side]
    ax.add_patch(Polygon(head, closed=True, facecolor=colour, edgecolor="none"))


def write_move(ax: Axes, move: Move, place: tuple[float, float], number: str) -> None:
    """The name of a gradient and its number, beside its arrow."""
    colour = colour_of(move, GREY)
    name = {"dsigma": "dsigma = dz · eps", "deps": "dz · sigma"}.get(move.name, move.name)
    name = "dh" if move.name.startswith("dencoder.") else name
    text = f"{name}\n{number}"
    if move.name == "deps":
        text = f"{name} = {number}\nexists at eps,\nand is not used"
    ax.text(*place, text, ha="center", va="center", size=9, color=colour, linespacing=1.2)


def write_sum(ax: Axes, place: tuple[float, float], node: str, text: str) -> None:
    """At a fork: both parts and their sum, on the side of the box where no arrow is."""
    name = node if node in ("mu", "logvar") else "h"
    style: dict[str, Any] = {"va": "center", "size": 9.5, "weight": "bold"}
    if name == "h":
        parts, total = text.split(" = ")
        ax.text(place[0] + 0.12, place[1] + 0.72, f"dh = {parts}\n= {total}", ha="right", **style)
    else:
        up = 0.42 if node == "mu" else -0.42
        ax.text(place[0] + 0.2, place[1] + up, f"d{name} = {text}", ha="center", **style)


def write_notes(ax: Axes, flow: "Flow", plan: Layout, full: bool) -> None:
    """The title, how the objective is made, the likelihood's own rule, and that the data receive nothing."""
    vae = "mu" in flow.values
    told = "Two gradients meet at mu and two at logvar, and add. eps takes part, and is not trained."
    title = told if vae else "One way back, from the objective to the code z and to the encoder."
    upper = ax.get_ylim()[1]
    ax.text(LEFT + 0.15, upper - 0.2, title, size=11.5, weight="bold", va="center")
    ax.text(plan.boxes["x"][0], -0.5, "data:\nno gradient", **SMALL)
    (objective, _), (z, _) = plan.boxes["objective"], plan.boxes["z"]
    formula = "−nll" + kl_term(flow.beta).replace("-", "−") * vae
    ax.text(objective + 0.41, 0.57, f"{formula} =\n{objective_equation(flow)}", **{**SMALL, "ha": "right"})
    if vae:
        ax.text(z - 0.05, 0.62, f"mu + sigma · eps =\n{draw_equation(flow)}", **{**SMALL, "ha": "left"})
    if vae and flow.values["mu"].shape[1] > 1:
        summed = [m.name for m in flow.moves if m.name in ("dh_mu", "dh_logvar")]
        ax.text(plan.boxes["x"][0] + 0.22, -1.35, "\n".join(["summed over latents:", *summed, "kl"]), **SMALL)
    rule = flow.rule.replace("-", "−").replace("^2", "²").replace(" * ", " · ")
    lines = [line for part in rule.split(";") for line in wrap(part.strip(), 44)]
    ax.text(plan.boxes["nll"][0] + 0.28, -0.74, "\n".join(lines), **{**SMALL, "ha": "right", "va": "top"})


def write_legend(ax: Axes, bottom: float, scale: float) -> None:
    """What the colours mean, and the scale of the widths."""
    row, column = bottom + 0.42, LEFT + 0.15
    for colour, width, meaning, room in (
        (GREY, VALUE, "value", 0.95),
        (BLUE, 4.0, "+ raising it raises the objective", 2.65),
        (VERMILLION, 4.0, "− raising it lowers it", 1.95),
    ):
        ax.plot([column, column + 0.3], [row, row], color=colour, linewidth=width, solid_capstyle="butt")
        ax.text(column + 0.38, row, meaning, va="center", size=9)
        column += room
    widest = WIDEST / scale
    ax.text(column, row, "width of a gradient:", va="center", size=9)
    column += 1.38
    for number in (widest, widest / 2, THINNEST / scale):
        least = "or less" if number < widest / 5 else ""
        ax.plot([column, column + 0.25], [row, row], color="black", linewidth=number * scale, solid_capstyle="butt")
        ax.text(column + 0.3, row, f"{number:g} {least}", va="center", size=9)
        column += 0.62
    told = (
        "One example, one latent, one entry of x, of each hidden layer and of the logits: which one is written above."
    )
    ax.text(LEFT + 0.15, bottom + 0.16, f"{told} Sums are made of the numbers shown.", **{**SMALL, "ha": "left"})
