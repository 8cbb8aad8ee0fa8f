"""Which slip a wrong kl is: by the pieces that its closed form is made of, or by log q(z) - log p(z).

Sizes: n or B rows, Z latents, E noises.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scratchvae.checks.amounts import nats, number, off_by, same, times
from scratchvae.checks.evidence.quadrature import expected_kl
from scratchvae.checks.evidence.terms import ALLOWED, Heads, by_a_number, close, log_normal
from scratchvae.checks.evidence.written_q import which_is
from scratchvae.checks.report import Finding, listed
from scratchvae.checks.vjp.case import ratio
from scratchvae.gaussian import LOG_2PI

ANALYTIC = "0.5 * sum(mu^2 + sigma^2 - 1 - logvar) with sigma^2 = exp(logvar), over the latents"
PIECES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {  # what a KL may be made of, for one latent
    "mu^2": lambda mu, logvar: mu * mu,
    "sigma^2": lambda mu, logvar: np.exp(logvar),
    "logvar": lambda mu, logvar: logvar,
    "the constant": lambda mu, logvar: np.ones(mu.shape),
    "|mu|": lambda mu, logvar: np.abs(mu),
    "mu": lambda mu, logvar: mu,
    "sigma": lambda mu, logvar: np.exp(0.5 * logvar),
    "logvar^2": lambda mu, logvar: logvar * logvar,
}
OTHERS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {  # what stands in the place of one of them
    "sigma^4": lambda mu, logvar: np.exp(2 * logvar),
    "1 / sigma^2": lambda mu, logvar: np.exp(-logvar),
    "1 / sigma": lambda mu, logvar: np.exp(-0.5 * logvar),
}
RIGHT = {"mu^2": 0.5, "sigma^2": 0.5, "logvar": -0.5, "the constant": -0.5}


def kl_fits(kl: np.ndarray, heads: Heads, z: np.ndarray | None) -> bool:
    """Is kl (E, B) that of N(mu, exp(logvar)): in closed form, or log q(z) - log p(z) at its own z (E, B, Z)?"""
    mu, logvar = heads
    if not (np.isfinite(mu).all() and np.isfinite(logvar).all() and np.abs(logvar).max() < 50):
        return False
    if is_analytic(kl):
        return close(kl.mean(axis=0), expected_kl(mu, logvar))
    return z is not None and close(kl, log_normal(z, mu, logvar) - log_normal(z))


def is_analytic(kl: np.ndarray) -> bool:
    """The same for every eps, (E, B)."""
    return bool((np.ptp(kl, axis=0) <= ALLOWED * np.maximum(1, np.abs(kl).max(axis=0))).all())


def wrong_kl(
    kl: np.ndarray, heads: Heads, z: np.ndarray | None, at_mixtures: tuple[np.ndarray, Heads] | None, sizes: Any
) -> Finding:
    """kl (E, B) is not that of q; at_mixtures are more values of it (n,), and the heads that belong to them."""
    unknown = Finding(("kl",), "unknown", "the kl is off by another amount for each x, in no usual way", ANALYTIC)
    if not is_analytic(kl):
        return wrong_sampled_kl(kl, heads, z, sizes) or unknown
    got, right = kl.mean(axis=0), expected_kl(*heads)  # (B,), (B,)
    if finding := by_a_number("kl", got, right, sizes):
        return finding
    if at_mixtures:  # why: they are more
        got, heads = at_mixtures
    of_each = np.stack([expected_kl(*(a[:, [j]] for a in heads)) for j in range(heads[0].shape[1])], axis=1)  # (B, Z)
    counted = np.linalg.lstsq(of_each, got, rcond=None)[0]  # (Z,)
    if len(got) > len(counted) and close(got, of_each @ counted) and (np.abs(counted) < ALLOWED).any():
        left_out = " and ".join(map(str, np.flatnonzero(np.abs(counted) < ALLOWED)))
        return Finding(("kl",), "batch-sum", f"the kl leaves out latent {left_out}", "sum over all latents")
    if text := of_another_kind(got, heads):
        return Finding(("kl",), "elementwise-factor", text, ANALYTIC)
    if at_mixtures and (finding := wrong_piece(*at_mixtures)):
        return finding
    return unknown


def of_another_kind(kl: np.ndarray, heads: Heads) -> str:
    """What kl (n,) is, if it is no sum of the right pieces: the other divergence, or one with free bits."""
    mu, logvar = heads  # (n, Z), (n, Z)
    with np.errstate(all="ignore"):
        if close(kl, 0.5 * (logvar + (1 + mu * mu) * np.exp(-logvar) - 1).sum(axis=1)):
            return "the kl is KL(p || q), that of the prior to q, the other way round"
    each = 0.5 * (mu * mu + np.exp(logvar) - 1 - logvar)  # (n, Z)
    whole = each.sum(axis=1, keepdims=True)  # (n, 1)
    for what, parts in {"of each latent": each, "of each row": whole}.items():
        for floor in {float(kl.min()) / parts.shape[1], *(kl[:, None] - (whole - each)).ravel().tolist()}:
            raised = parts < floor
            if raised.any() and not raised.all() and close(kl, np.maximum(parts, floor).sum(axis=1)):
                return (
                    f"the kl {what} is raised to {number(floor)} where it is below: free bits, which the bound has not"
                )
    return ""


def column(name: str, heads: Heads) -> np.ndarray:
    """A piece, summed over the latents, (n,)."""
    with np.errstate(all="ignore"):
        return (PIECES | OTHERS)[name](*heads).sum(axis=1)


def multiple(left: np.ndarray, of: np.ndarray, scale: float) -> float | None:
    """The c with left = c * of, (n,) each, if there is one."""
    if not (np.isfinite(of).all() and of.any()):
        return None
    c = float(left @ of / (of @ of))
    return c if np.abs(left - c * of).max() <= 1e-8 * scale else None


def wrong_piece(kl: np.ndarray, heads: Heads) -> Finding | None:
    """Of the pieces that a KL is made of, the one with a wrong weight; or several, where all weights can be told."""
    left, scale = kl - expected_kl(*heads), 1.0 + float(np.abs(kl).max())  # (n,)
    pieces = told_apart([*PIECES], heads)
    others = [name for name in (*pieces, *OTHERS) if name not in RIGHT]
    one = {name: c for name in RIGHT if (c := multiple(left, column(name, heads), scale))}
    if len(one) == 1:
        ((name, c),) = one.items()
        return of_pieces({name: c})
    more = {name: c for name in pieces if name not in RIGHT and (c := multiple(left, column(name, heads), scale))}
    swapped = [
        {gone: -w, name: c}
        for gone, w in RIGHT.items()
        for name in others
        if (c := multiple(left + w * column(gone, heads), column(name, heads), scale))
    ]
    changes = [*({name: c} for name, c in more.items()), *swapped]
    if not one and len(changes) == 1:
        return of_pieces(changes[0])
    if one or changes:
        return None  # why: several slips explain these numbers
    table = np.stack([column(name, heads) for name in pieces], axis=1)  # (n, P)
    found = np.linalg.lstsq(table, left, rcond=1e-12)[0]  # (P,)
    if np.linalg.matrix_rank(table, 1e-10 * float(np.abs(table).max())) < len(pieces) or one_decides(table):
        return None
    if not np.allclose(table @ found, left, rtol=1e-8, atol=1e-8 * scale):
        return None
    return of_pieces({name: float(c) for name, c in zip(pieces, found, strict=True) if abs(c) > ALLOWED})


def told_apart(names: list[str], heads: Heads) -> list[str]:
    """Without those that are a multiple of an earlier one: |mu| is mu, where no mu is negative."""
    kept: list[str] = []
    for name in names:
        of = column(name, heads)  # (n,)
        if not any(multiple(of, column(other, heads), float(np.abs(of).max())) for other in kept):
            kept.append(name)
    return kept


def one_decides(table: np.ndarray) -> bool:
    """Is there a point that any weights fit, since it alone tells two pieces apart: |mu| and mu, say?"""
    U, s, _ = np.linalg.svd(table, full_matrices=False)
    U = U[:, s > 1e-12 * s[0]]
    return bool((U * U).sum(axis=1).max() > 1 - 1e-6)


def of_pieces(off: dict[str, float]) -> Finding | None:
    """How much more than its right weight each piece has, in words."""
    weights = {name: 1 + c / RIGHT[name] for name, c in off.items() if name in RIGHT}
    instead = [name for name in off if name not in RIGHT]
    gone = [name for name, w in weights.items() if abs(w) < ALLOWED]
    if gone:
        other = f", but one in {instead[0]}" if instead else ""
        cause = "elementwise-factor" if instead else "missing-term"
        return Finding(("kl",), cause, f"the kl has no term in {' and none in '.join(gone)}{other}", ANALYTIC)
    if weights:
        return of_weights({f"the part of the kl with {name}": w for name, w in weights.items()}, ANALYTIC)
    if instead:
        return Finding(("kl",), "missing-term", f"the kl has a part too many, with {instead[0]}", ANALYTIC)
    return None


def of_weights(weights: dict[str, float], how: str) -> Finding:
    """Parts of the kl, and how many times what it should be each of them is: all of them are told."""
    groups: dict[str, list[str]] = {}
    for name, c in weights.items():
        groups.setdefault(next((text for text in groups if same(c, weights[groups[text][0]])), name), []).append(name)
    if len(groups) > 1:
        off = [f"{together(names)} {times(weights[names[0]])}" for names in groups.values()]
        return Finding(("kl",), "factor", f"{', '.join(off)} what it should be", how)
    (names,) = groups.values()
    c = weights[names[0]]
    text, repair = off_by(c)
    if len(names) > 1:
        text = text.replace("has the", "have the").replace("is ", "are ", 1).replace("it ", "they ")
    return Finding(("kl",), "sign" if same(c, -1.0) else "factor", f"{together(names)} {text}", repair, 1 / c)


def together(names: list[str]) -> str:
    """The part of the kl with a; the parts of the kl with a, b and c; in the kl log q(z)."""
    front = "the part of the kl with "
    if not all(name.startswith(front) for name in names):
        return f"in the kl {listed(names)}"
    return f"the part{'s' * (len(names) > 1)} of the kl with {listed([name.removeprefix(front) for name in names])}"


def wrong_sampled_kl(kl: np.ndarray, heads: Heads, z: np.ndarray | None, sizes: Mapping[str, int]) -> Finding | None:
    """kl (E, B) is to be log q(z) - log p(z)."""
    if z is None:
        return None
    if c := ratio(kl, log_normal(z, *heads) - log_normal(z)):
        text, repair = off_by(c, sizes)
        return Finding(("kl",), "sign" if same(c, -1.0) else "factor", f"the kl {text}", repair, 1 / c)
    squares = -0.5 * ((z - heads[0]) ** 2 * np.exp(-heads[1])).sum(axis=-1)  # (E, B)
    logs = np.broadcast_to(-0.5 * heads[1].sum(axis=-1), kl.shape)  # (E, B)
    whole = {"log q(z)": (log_normal(z, *heads), 1.0), "log p(z)": (log_normal(z), -1.0)}
    taken_apart = {
        "the part of the kl with (z - mu)^2 / sigma^2": (squares, 1.0),
        "the part of the kl with logvar": (logs, 1.0),
        "the part of the kl with z^2": (0.5 * (z * z).sum(axis=-1), 1.0),
    }
    for parts in (whole, taken_apart):
        table = np.stack([np.ones(kl.size), *(a.ravel() for a, _ in parts.values())], axis=1)  # (E B, 3 or 4)
        weights = np.linalg.lstsq(table, kl.ravel(), rcond=None)[0]
        if not close(table @ weights, kl.ravel()):
            continue
        of_each = {name: float(w / right) for (name, (_, right)), w in zip(parts.items(), weights[1:], strict=True)}
        if parts is whole and abs(weights[0]) > ALLOWED and any(not same(c, 1.0) for c in of_each.values()):
            continue  # why: a part of one of them is wrong, not all of it
        if finding := of_the_weights(of_each, float(weights[0])):
            return finding
    if slip := which_is(kl + log_normal(z), z, *heads):
        return Finding(("kl",), slip.cause, f"in the kl {slip.text}", "log q(z) - log p(z)")
    return None


def of_the_weights(weights: dict[str, float], constant: float) -> Finding | None:
    """Which of the parts of log q(z) - log p(z) are missing, or not once there; or a constant, if all are."""
    how = "log q(z) - log p(z)"
    missing = [name.replace("the part of the kl with", "term in") for name, c in weights.items() if abs(c) < ALLOWED]
    if missing:
        return Finding(("kl",), "missing-term", f"the kl has no {' and no '.join(missing)}", how)
    if off := {name: c for name, c in weights.items() if not same(c, 1.0)}:
        return of_weights(off, how)
    if abs(constant) < ALLOWED:
        return None
    text = f"the kl is off by the same {nats(constant)} for every z: a constant"
    halves = constant / (0.5 * LOG_2PI)
    of_pi = abs(halves - round(halves)) < ALLOWED
    others = "each with its 0.5 * log(2 pi) or both without" if of_pi else "nothing beside them"
    return Finding(("kl",), "missing-term", text, f"{how}, {others}")
