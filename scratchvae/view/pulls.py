"""What the decoder and the KL want of mu and of sigma, for one image and many draws of eps.

    pulls = gather_pulls(vae, x, eps)  # x (D,) one image, eps (K, Z)
    pulls.plane()       # both pulls on mu as arrows, in the plane of two latents
    pulls.histogram()   # what reaches logvar through z, draw by draw

Sizes: D data, K draws, Z latent.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse

from scratchvae.backend import Array, to_numpy
from scratchvae.vae import VAE
from scratchvae.view.flow_numbers import fixed
from scratchvae.view.style import BLUE, GREY, PALETTE, VERMILLION

BINS = 60
ARROW = 2.2  # units of z that the longest arrow takes
GREEN, BROWN = PALETTE[3], PALETTE[9]  # through z, and from the KL: blue and vermillion are signs, as in `flow`


class Pulls(NamedTuple):
    """The gradients at mu and at logvar, (K, Z) each, a row a draw; those from the KL are the same in all of them."""

    mu: np.ndarray  # (Z,)
    sigma: np.ndarray  # (Z,)
    dmu_z: np.ndarray
    dmu_kl: np.ndarray
    dlogvar_z: np.ndarray
    dlogvar_kl: np.ndarray

    def plane(self) -> Figure:
        """At mu three arrows: the mean pull through z, the pull of the KL to the prior's mean 0, and their sum.

        Raises    ValueError: other than two latents.
        """
        if len(self.mu) != 2:
            raise ValueError(f"plane draws two latents, got {len(self.mu)}")
        through_z, from_kl = self.dmu_z.mean(axis=0), self.dmu_kl[0]  # (2,), (2,)
        whole = through_z + from_kl  # (2,)
        unit = round_below(ARROW / max(np.hypot(*pull) for pull in (through_z, from_kl, whole)))  # of z, for one nat
        figure = Figure(layout="constrained")
        ax = figure.add_subplot()
        spread = " and ".join(f"{one:.1f}" for one in self.dmu_z.std(axis=0))
        first, second, total = added_pairs(through_z, from_kl)
        for pull, colour, name, label in (
            (
                through_z,
                GREEN,
                "z",
                f"through z {first}, mean of {len(self.dmu_z):,} draws;\none draw scatters by {spread}",
            ),
            (from_kl, BROWN, "kl", f"from the kl {second}, to 0, in every draw"),
            (whole, "black", "sum", f"both added {total}"),
        ):
            draw_arrow(ax, self.mu, self.mu + unit * pull, colour, name, label)
        corner = self.mu + unit * whole
        for side in (through_z, from_kl):  # the parallelogram
            ax.plot(*np.stack([self.mu + unit * side, corner]).T, color=GREY, linewidth=0.8, linestyle=":")
        inside = [self.mu + unit * pull for pull in (through_z, from_kl, whole)]
        draw_plane(ax, self.mu, self.sigma, np.stack([*inside, self.mu]))
        ax.set_title("One image: where the decoder and the KL pull its mu", fontsize="medium")
        ax.set(xlabel=f"z₁ (an arrow as long as 1 stands for {1 / unit:g} nats per unit of z)", ylabel="z₂")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), frameon=False, fontsize="small")
        return figure

    def histogram(self) -> Figure:
        """dlogvar through z over the draws, a panel a latent: its mean, and what the KL sends in every draw."""
        Z = len(self.mu)
        figure = Figure(figsize=(7.2, 0.9 + 1.9 * Z), layout="constrained")
        axes = figure.subplots(Z, 1, sharex=True, squeeze=False)[:, 0]
        low, high = np.quantile(self.dlogvar_z, (0.005, 1.0))
        width = (max(high, self.dlogvar_kl.max()) - low) / BINS or 1.0
        edges = width * np.arange(np.floor(low / width), np.ceil(max(high, self.dlogvar_kl.max()) / width) + 2)
        for k, ax in enumerate(axes):
            values = self.dlogvar_z[:, k]  # (K,)
            shown = np.clip(values, edges[0], edges[-1])
            for part, colour in ((shown[shown > 0], BLUE), (shown[shown <= 0], VERMILLION)):
                ax.hist(part, edges, color=colour)
            ax.axvline(values.mean(), color="black", linewidth=1.5, label=f"mean through z {in_digits(values.mean())}")
            kl = self.dlogvar_kl[0, k]
            ax.axvline(kl, color="black", linewidth=1.5, linestyle=":", label=f"from the kl, always {in_digits(kl)}")
            ax.set_title(
                f"latent {k + 1}: {(values > 0).mean():.0%} of the draws ask for a larger sigma (blue)", size=10
            )
            ax.set(ylabel="draws of eps")
            ax.spines[["top", "right"]].set_visible(False)
            ax.legend(frameon=False, loc="upper left", fontsize="small")
        axes[-1].set_xlabel("dlogvar through z, in nats per unit of logvar; the leftmost bar holds what lies beyond")
        return figure


def gather_pulls(vae: VAE, x: Array, eps: Array) -> Pulls:
    """One image forward and back with every row of eps.

    Shapes    x (D,), eps (K, Z).
    """
    rows = vae.xp.repeat(vae.as_input(x[None], "x", (1, vae.n_x)), len(eps), axis=0)  # (K, D)
    _, cache = vae.objective(rows, eps)
    trace: dict[str, Array] = {}
    vae.backward(vae.xp.ones(len(eps), dtype=vae.dtype), cache, trace=trace)
    mu, logvar, _ = vae.encode(rows[:1])  # (1, Z) each
    parts = [to_numpy(trace[name]) for name in ("dmu_z", "dmu_kl", "dlogvar_z", "dlogvar_kl")]
    return Pulls(to_numpy(mu)[0], np.exp(0.5 * to_numpy(logvar)[0]), *parts)


def round_below(number: float) -> float:
    """The largest of ... 0.1, 0.2, 0.25, 0.4, 0.5, 1, 2, ... that is not above the number."""
    power = 10.0 ** np.floor(np.log10(number))
    return float(power * max(digit for digit in (1, 2, 2.5, 4, 5) if power * digit <= number * (1 + 1e-12)))


def in_digits(number: float) -> str:
    """With a sign, and two decimals."""
    return fixed(number, 2, sign=True)


def added_pairs(one: np.ndarray, other: np.ndarray) -> tuple[str, str, str]:
    """Two pairs and their sum, (2,) each, in brackets: each column adds as it is printed."""
    rounded = [np.round(pair.astype("float64"), 2) for pair in (one, other)]
    first, second, total = (f"({', '.join(map(in_digits, pair))})" for pair in (*rounded, rounded[0] + rounded[1]))
    return first, second, total


def draw_arrow(ax: Axes, start: np.ndarray, end: np.ndarray, colour: str, name: str, label: str) -> None:
    """From start to end, above the dots; the legend's line is drawn beside it."""
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 2.2, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (end[0], end[1]), (start[0], start[1]), arrowprops=style, zorder=3).set_gid(name)
    ax.plot([], [], color=colour, linewidth=2.2, label=label)


def draw_plane(ax: Axes, mu: np.ndarray, sigma: np.ndarray, inside: np.ndarray) -> None:
    """q(z|x) and the prior as ellipses of one standard deviation, on a page that holds all points of `inside`."""
    q = Ellipse((mu[0], mu[1]), 2 * sigma[0], 2 * sigma[1], fill=False, edgecolor="black", linestyle="--")
    ax.add_patch(q)
    ax.add_patch(Circle((0, 0), 1, fill=False, edgecolor=GREY, linestyle=(0, (4, 3))))
    ax.text(0, -1.03, "prior, 1 σ", ha="center", va="top", size="small", color=GREY)
    ax.text(mu[0], mu[1] - sigma[1] - 0.03, "q(z|x), 1 σ", ha="center", va="top", size="small", color="black")
    ax.plot(*mu, "o", color="black", markersize=5, zorder=4)
    points = np.concatenate([inside, mu + sigma * [[-1], [1]], [[-1.15, -1.3], [1.15, 1.15]]])  # (n, 2)
    low, high = points.min(axis=0) - 0.25, points.max(axis=0) + 0.25  # (2,), (2,)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    wide, high = (high - low) / max(1.0, *((high - low) / [6.4, 5.0]))  # inches
    ax.figure.set_size_inches(max(wide + 0.8, 5.2), high + 1.9)  # type: ignore[union-attr]
    ax.spines[["top", "right"]].set_visible(False)
