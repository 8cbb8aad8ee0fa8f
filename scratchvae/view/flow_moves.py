"""What moves along the edges of the graph: a value on the way forward, a gradient on the way back, and their rules."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

Hidden = Sequence[Sequence[str]]  # the names of the encoder's hidden layers, and of the decoder's


class Move(NamedTuple):
    """One number that passes along one edge."""

    source: str
    target: str
    name: str
    number: float
    rule: str  # how it is computed
    forward: bool


class Sum(NamedTuple):
    """Where two gradients meet they add: the name of their sum, the box, and the names of both."""

    name: str
    node: str
    parts: tuple[str, str]


def last_encoded(hidden: Hidden) -> str:
    """The box that the heads stand on: the encoder's last hidden layer, or the data themselves."""
    return hidden[0][-1] if hidden[0] else "x"


def forward_moves(
    values: Mapping[str, np.ndarray], entries: Mapping[str, int], hidden: Hidden, beta: float
) -> list[Move]:
    """The values, along the edges of the forward pass, in its order."""
    layers, top = "its layers, of all entries", last_encoded(hidden)
    edges = [(below, above, layers) for below, above in pairwise(("x", *hidden[0]))]
    if "mu" in values:
        edges += [
            (top, "mu", "mu = h W + b"),
            (top, "logvar", "logvar = h W' + b'"),
            ("logvar", "sigma", "sigma = exp(logvar / 2)"),
            ("mu", "z", "z = mu + ..."),
            ("sigma", "z", "... sigma * ..."),
            ("eps", "z", "... eps, drawn before the pass and held fixed in it"),
            ("mu", "kl", "kl = sum (mu^2 + sigma^2 - 1 - logvar) / 2, over the latents"),
            ("logvar", "kl", "the same kl"),
        ]
    else:
        edges += [(top, "z", "z = h W + b")]
    edges += [(below, above, layers) for below, above in pairwise(("z", *hidden[1]))]
    edges += [(hidden[1][-1] if hidden[1] else "z", "logits", "logits = h W + b"), ("logits", "nll", "-log p(x|z)")]
    edges += [("nll", "objective", "objective = -nll" + kl_term(beta) * ("kl" in values))]
    edges += [("kl", "objective", "the same objective")] * ("kl" in values)
    return [Move(a, b, a, float(values[a][0, entries[a]]), rule, True) for a, b, rule in edges]


def kl_term(beta: float) -> str:
    """What stands behind -nll in the objective."""
    return " - kl" if beta == 1 else f" - {beta:g} kl"


def backward_moves(
    gradients: Mapping[str, np.ndarray], entries: Mapping[str, int], hidden: Hidden, beta: float, rule: str
) -> list[Move]:
    """The gradients, along the same edges the other way round. None is used at eps, and none is computed for x."""
    down = [*hidden[1][::-1], "z"]  # boxes below the logits
    edges = [("objective", "nll", "dnll", "-1"), ("nll", "logits", "dlogits", rule)]
    edges += [
        (above, below, f"d{below}", "dlogits W^T" if above == "logits" else "back through its layers")
        for above, below in pairwise(("logits", *down))
    ]
    if "dmu" in gradients:
        edges += [("objective", "kl", "dkl", f"{0 - beta:g}"), *latent_edges()]  # why 0 - beta: no -0
    edges += list(encoder_edges("dmu" in gradients, hidden[0]))
    here = {"dh_mu": last_encoded(hidden), "dh_logvar": last_encoded(hidden)}
    moves = []
    for source, target, name, how in edges:
        array = gradients[name]
        entry = entries[here.get(name, target)]
        moves.append(
            Move(source, target, name, float(array[entry] if array.ndim == 1 else array[0, entry]), how, False)
        )
    return moves


def latent_edges() -> list[tuple[str, str, str, str]]:
    """From z and from the KL to mu and logvar: the middle of the figure."""
    return [
        ("z", "mu", "dmu_z", "dz"),
        ("z", "sigma", "dsigma", "dz * eps: here the noise enters the gradient"),
        ("z", "eps", "deps", "dz * sigma: it exists, and is not used"),
        ("sigma", "logvar", "dlogvar_z", "dsigma * sigma / 2"),
        ("kl", "mu", "dmu_kl", "dkl mu"),
        ("kl", "logvar", "dlogvar_kl", "dkl (sigma^2 - 1) / 2"),
    ]


def encoder_edges(two_heads: bool, hidden: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    """From the heads down to the first hidden layer."""
    if hidden and two_heads:
        yield "mu", hidden[-1], "dh_mu", "(dmu_z + dmu_kl) W^T, of all latents"
        yield "logvar", hidden[-1], "dh_logvar", "(dlogvar_z + dlogvar_kl) W'^T, of all latents"
    elif hidden:
        yield "z", hidden[-1], f"d{hidden[-1]}", "dz W^T, of all latents"
    for above, below in pairwise(hidden[::-1]):
        yield above, below, f"d{below}", "back through its layers"


def sums_at(moves: Sequence[Move], hidden: Hidden) -> list[Sum]:
    """The forks of the forward pass, at which two gradients meet."""
    names = {move.name for move in moves}
    sums = [Sum(f"d{node}", node, (f"d{node}_z", f"d{node}_kl")) for node in ("mu", "logvar")]
    sums += [Sum(f"d{last_encoded(hidden)}", last_encoded(hidden), ("dh_mu", "dh_logvar"))]
    return [one for one in sums if set(one.parts) <= names]
