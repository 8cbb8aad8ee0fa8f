"""Why a bound does not fit log p(x): encode, the sampler, the kl, the nll or their sum, each by what it is seen to do.

Sizes: B rows, D data, Z latents, E noises.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.amounts import off_by, same
from scratchvae.checks.evidence.fitted import fitted
from scratchvae.checks.evidence.inside import inner, look_inside
from scratchvae.checks.evidence.kl import is_analytic, kl_fits, wrong_kl
from scratchvae.checks.evidence.nll import wrong_nll
from scratchvae.checks.evidence.prior import is_known, of_closed_kl, of_draws, of_log_p
from scratchvae.checks.evidence.quadrature import NllAt, expected_kl
from scratchvae.checks.evidence.readings import AS_AGREED, READINGS, Reading, fits, of_encode
from scratchvae.checks.evidence.terms import ALLOWED, Heads, close, log_normal, wrong_sum
from scratchvae.checks.report import Finding
from scratchvae.checks.sampler.draw import Draw, all_together, entry_by_entry
from scratchvae.checks.sampler.instead import DRAW, Measured
from scratchvae.checks.sampler.instead import findings as of_the_numbers
from scratchvae.checks.sampler.law import MIXING, Point, Question, law_of
from scratchvae.gaussian import LOG_2PI

NOISES = 24
BOUND = "elbo = -nll - kl"


class Bound(NamedTuple):
    """A bound that does not fit, and what is known about it."""

    model: Any
    likelihood: Any  # the trusted one
    nll_at: NllAt
    x: np.ndarray  # (B, D)
    heads: Heads  # what encode returns
    eps: np.ndarray  # (E, Z)
    terms: dict[str, np.ndarray]  # those that the model tells, (E, B) each
    z: np.ndarray | None  # (E, B, Z), as far as they were heard
    rng: np.random.Generator

    @property
    def sizes(self) -> dict[str, int]:
        return {"D": self.x.shape[1], "Z": self.eps.shape[1]}

    def nll_of(self, z: np.ndarray) -> np.ndarray:
        """-log p(x|z) for z (E, B, Z), (E, B)."""
        return np.stack([self.nll_at(z[:, b], row) for b, row in enumerate(self.x)], axis=1)


def seen(model: Any, likelihood: Any, nll_at: NllAt, x: np.ndarray, heads: Heads, rng: np.random.Generator) -> Bound:
    """Terms and z at some noises, the same for every row."""
    eps = rng.standard_normal((NOISES, heads[0].shape[1]))  # (E, Z)
    looks = [look_inside(model, x, np.broadcast_to(e, heads[0].shape)) for e in eps]
    terms = {name: np.stack([look.terms[name] for look in looks]) for name in looks[0].terms}
    z = [look.z for look in looks if look.z is not None]
    return Bound(model, likelihood, nll_at, x, heads, eps, terms, np.stack(z) if len(z) == len(eps) else None, rng)


class Drawn(NamedTuple):
    """The z in the objective, (E, B, Z): heard, fitted, or assumed to be right because nothing else is known."""

    z: np.ndarray
    numbers: Measured | None  # shift and spread, if it has them
    findings: list[Finding]
    assumed: bool = False


class Explained(NamedTuple):
    """A finding for each of the parts that is wrong, and the prior that the kl belongs to, if it is another one."""

    findings: list[Finding]
    prior: str = ""


def explain_bound(b: Bound) -> Explained:
    """What is wrong, part by part."""
    drawn = heard(b, b.z) if b.z is not None else fitted_draw(b)
    whole, found = completed(b, drawn.z)
    found += of_the_parts(whole, drawn)
    if not {"nll", "kl"} & b.terms.keys() and (len(found) > 1 or is_unknown(found)):
        kl = np.broadcast_to(expected_kl(*b.heads), b.terms["elbo"].shape)  # (E, B)
        other = of_the_parts(b._replace(terms={**b.terms, "kl": kl, "nll": -b.terms["elbo"] - kl}), drawn)
        found = other if not is_unknown(other) and (is_unknown(found) or len(other) < len(found)) else found
    guessed = drawn.assumed or not (is_analytic(whole.terms["kl"]) or "kl" in b.terms)  # why: then it may be the nll
    if guessed and is_unknown(found):
        return Explained([not_to_be_told_apart(b)])
    prior = "" if kl_fits(whole.terms["kl"], b.heads, drawn.z) else other_prior(whole, drawn)
    return Explained(found if found or prior else [not_to_be_told_apart(b)], prior)


def is_unknown(found: list[Finding]) -> bool:
    return any(finding.cause == "unknown" for finding in found)


def of_the_parts(b: Bound, drawn: Drawn) -> list[Finding]:
    """encode, sampler, kl, nll and their sum, each by itself."""
    kl, nll, found = b.terms["kl"], b.terms["nll"], []
    readings = [reading for reading in (AS_AGREED, *READINGS) if kl_fits(kl, reading.heads(*b.heads), drawn.z)]
    agreed = [reading for reading in readings if drawn.findings and fits(drawn.numbers, reading)]
    if agreed and AS_AGREED not in readings:
        found.append(of_encode(agreed[0]))
    elif not readings and (other := of_another_q(b, drawn)):
        found.append(other)
    else:
        found += drawn.findings
        fits_a_prior = AS_AGREED in readings or is_of_the_noise(b, drawn) or (not readings and other_prior(b, drawn))
        found += [] if fits_a_prior else [of_the_kl(b, drawn, readings)]
    right = b.nll_of(drawn.z)  # (E, B)
    if not close(nll, right):
        found.append(wrong_nll(nll, right, drawn.z, b.x, inner(b.model), b.likelihood))
    wrong = wrong_sum("elbo", b.terms["elbo"], nll, kl)
    return [*found, wrong] if wrong else found


def is_of_the_noise(b: Bound, drawn: Drawn) -> bool:
    """Is log q(z) written in terms of eps, which is right for every right draw: is the draw alone wrong?"""
    log_q = -0.5 * ((b.eps**2 + LOG_2PI).sum(axis=1)[:, None] + b.heads[1].sum(axis=1))  # (E, B)
    return bool(drawn.findings) and close(b.terms["kl"] + log_normal(drawn.z), log_q)


def of_another_q(b: Bound, drawn: Drawn) -> Finding | None:
    """Sampler and kl agree on a mu and a sigma that encode(x) does not return: of which x are they?"""
    if drawn.numbers is None or not drawn.findings or not drawn.numbers.spread.all():
        return None
    mu, logvar = drawn.numbers.shift[0], 2 * np.log(np.abs(drawn.numbers.spread[0]))  # (B, Z), (B, Z)
    if not kl_fits(b.terms["kl"], (mu, logvar), drawn.z):
        return None
    repair = "encode(x), of the x that encode is given elsewhere"
    for name, x in {"x - 0.5": b.x - 0.5, "2 x - 1": 2 * b.x - 1, "1 - x": 1 - b.x, "x / 255": b.x / 255}.items():
        with suppress(Exception):  # somebody's code may do anything
            heads = [to_numpy(a).astype(float) for a in inner(b.model).encode(x)[:2]]
            if close(heads[0], mu) and close(heads[1], logvar):
                text = f"the objective takes mu and logvar of encode({name}), not of encode(x)"
                return Finding(("encode",), "elementwise-factor", text, repair)
    text = "sampler and kl agree on a mu and a sigma that encode(x) does not return"
    return Finding(("encode",), "unknown", text, repair)


def not_to_be_told_apart(b: Bound) -> Finding:
    """Nothing that is wrong could be pinned to a part."""
    lacks = [f"terms.{name} is not there" for name in ("nll", "kl") if name not in b.terms]
    lacks += ["the decoder is not called as self.decode"] if b.z is None else []
    text = "the bound does not fit, and sampler, kl, likelihood and signs could not be told apart"
    return Finding(("elbo",), "unknown", text + (f": {', '.join(lacks)}" if lacks else ""))


# ---------------------------------------------------------------------------------------------------------------------
# The sampler, and what encode returns


def heard(b: Bound, z: np.ndarray) -> Drawn:
    """z as the decoder got it: what is wrong with it as a draw from q?"""
    draw = draw_at(b.model, b.x)
    law = law_of(Question(draw, *b.heads, lambda: mixtures(b), b.rng, n=500, called="what is decoded"))
    linear, shape = entry_by_entry(draw, b.heads[0].shape, b.rng), (1, *b.heads[0].shape)
    if linear is None:
        return Drawn(z, None, of_the_sampler(law.findings))
    numbers = (a.reshape(shape) for a in (*b.heads, linear.shift, np.diag(linear.mixing), linear.error, linear.error))
    return Drawn(z, Measured(*numbers), of_the_sampler(law.findings))


def of_the_sampler(findings: list[Finding]) -> list[Finding]:
    return [finding._replace(inputs=("sampler",)) for finding in findings]


def draw_at(model: Any, x: np.ndarray) -> Draw:
    """The z that is heard, as a function of eps."""

    def draw(eps: np.ndarray) -> np.ndarray:
        z = look_inside(model, x, eps).z
        assert z is not None  # why: it was heard for the same x before
        return z

    return draw


def mixtures(b: Bound) -> Iterator[Point]:
    """Other mu and logvar: those of equal rows, and of mixtures of the rows."""
    B = len(b.x)
    shares = [np.eye(B)[np.zeros(B, int)], *(b.rng.dirichlet(np.full(B, 0.5), size=B) for _ in range(6))]
    for share in shares:
        x = share @ b.x  # (B, D)
        with suppress(Exception):  # a likelihood of whole numbers may refuse mixtures
            mu, logvar = (to_numpy(a).astype(float) for a in inner(b.model).encode(x.copy())[:2])
            if look_inside(b.model, x, mu).z is not None:
                yield mu, logvar, draw_at(b.model, x)


def fitted_draw(b: Bound) -> Drawn:
    """z from how nll depends on eps, or the bound does, if the decoder could not be listened to."""
    nll = b.terms.get("nll", -b.terms["elbo"])  # (E, B)
    mu, sigma = b.heads[0], np.exp(0.5 * b.heads[1])
    at_mu = np.broadcast_to(mu, (*nll.shape, mu.shape[1]))  # (E, B, Z)
    if is_analytic(nll) and ("nll" in b.terms or kl_fits(nll - b.nll_of(at_mu), b.heads, at_mu)):
        where = ": it is mu" if close(nll, b.nll_of(at_mu)) or "nll" not in b.terms else ""
        text = f"what is decoded does not depend on eps{where}"
        return Drawn(at_mu, None, [Finding(("sampler",), "zero", text, DRAW)])

    def value_at(z: np.ndarray, row: int) -> np.ndarray:
        return b.nll_at(z, b.x[row])

    numbers = None if is_analytic(nll) else fitted(value_at, b.eps, nll, b.heads, "nll" not in b.terms)
    if numbers is None:
        return Drawn(mu + sigma * b.eps[:, None], None, [], assumed=True)
    z = numbers.shift[0] + numbers.spread[0] * b.eps[:, None]  # (E, B, Z)
    return Drawn(z, numbers, of_the_sampler(of_the_numbers(numbers)))


# ---------------------------------------------------------------------------------------------------------------------
# The terms


def completed(b: Bound, z: np.ndarray) -> tuple[Bound, list[Finding]]:
    """With nll and kl, from the bound where the model does not tell them; and what is wrong with the bound then."""
    terms, found = dict(b.terms), []
    if not {"nll", "kl"} & terms.keys():
        terms["nll"], elbo = b.nll_of(z), terms["elbo"]  # (E, B), (E, B)
        c = weight_of(terms["nll"], elbo)
        if c and not same(c, 1.0) and kl_fits(-elbo / c - terms["nll"], b.heads, z):
            found, terms["elbo"] = [of_the_whole(c)], elbo / c
        elif not same(c, 1.0):
            found, terms["elbo"] = [of_the_nll_in_the_bound(c, b.sizes)], elbo + (c - 1) * terms["nll"]
    if "nll" not in terms:
        terms["nll"] = -terms["elbo"] - terms["kl"]
    if "kl" not in terms:
        terms["kl"] = -terms["elbo"] - terms["nll"]
    return b._replace(terms=terms), found


def weight_of(nll: np.ndarray, elbo: np.ndarray) -> float:
    """The c in elbo = -c nll + what does not depend on eps, (E, B) each; 1 where it is not of this form."""
    rest, moves = elbo - elbo.mean(axis=0), nll - nll.mean(axis=0)
    if is_analytic(nll):
        return 1.0
    c = -float((rest * moves).sum() / (moves * moves).sum())
    return (c if abs(c) > ALLOWED else 0.0) if close(rest, -c * moves) else 1.0


def of_the_whole(c: float) -> Finding:
    if same(c, -1.0):
        return Finding(("elbo",), "sign", "the bound has the wrong sign: it is nll + kl, the loss", BOUND, -1.0)
    text, repair = off_by(c)
    return Finding(("elbo",), "factor", f"the bound {text}", repair, 1 / c)


def of_the_nll_in_the_bound(c: float, sizes: dict[str, int]) -> Finding:
    if not c:
        return Finding(("elbo",), "missing-term", "the nll is missing from the bound", BOUND)
    text, repair = off_by(c, {"D": sizes["D"]})
    return Finding(("elbo",), "sign" if same(c, -1.0) else "factor", f"in the bound the nll {text}", repair, 1 / c)


def of_the_kl(b: Bound, drawn: Drawn, readings: list[Reading]) -> Finding:
    """The kl does not fit what encode should return."""
    if readings:
        text = f"the kl reads what encode returns as {readings[0].name}, and the sampler does not"
        return Finding(("kl",), readings[0].cause, text, "the kl of the same mu and logvar as the sampler")
    at_eps = np.broadcast_to(b.eps[0], b.heads[0].shape)
    told = "kl" in look_inside(b.model, b.x, at_eps).terms
    finding = wrong_kl(b.terms["kl"], b.heads, drawn.z, kl_at_mixtures(b, told), {"Z": b.sizes["Z"], "D": b.sizes["D"]})
    if told:
        return finding
    if finding.cause == "zero":
        return Finding(("elbo",), "missing-term", "the kl is missing from the bound", BOUND)
    if finding.message.endswith("a constant"):
        text = finding.message.replace("the kl", "the kl or the nll in the bound")
        repair = f"{finding.repair}; nll with all of its constant"
        return finding._replace(inputs=("elbo",), message=text, repair=repair)
    if finding.cause in ("sign", "factor") and finding.message.startswith("the kl"):
        return finding._replace(inputs=("elbo",), message=f"in the bound {finding.message}")
    return finding


def other_prior(b: Bound, drawn: Drawn) -> str:
    """The prior, not N(0, I) and the same for all x, that the kl belongs to, in words; nothing if there is none."""
    if is_known(inner(b.model)):
        return ""
    kl, (mu, logvar), Z = b.terms["kl"], b.heads, b.eps.shape[1]
    told = "kl" in look_inside(b.model, b.x, np.broadcast_to(b.eps[0], mu.shape)).terms
    if is_analytic(kl):
        return of_closed_kl(*(kl_at_mixtures(b, told) or (kl.mean(axis=0), b.heads)))
    log_p = log_normal(drawn.z, mu, logvar) - kl  # (E, B)
    if words := of_log_p(log_p.ravel(), drawn.z.reshape(-1, Z)):
        return words
    shift, mixing = of_the_draw(b, drawn)  # (B, Z), (B, Z, Z)

    def log_p_at(z: np.ndarray, row: int) -> np.ndarray:
        eps = (z - shift[row]) @ np.linalg.pinv(mixing[row]).T  # (G, Z)
        terms = look_inside(b.model, np.broadcast_to(b.x[row], (len(z), b.x.shape[1])), eps).terms
        kl = terms["kl"] if told else -terms["elbo"] - b.nll_at(z, b.x[row])  # (G,)
        return log_normal(z, mu[row], logvar[row]) - kl

    with np.errstate(all="ignore"):
        return of_draws(log_p_at, len(mu), Z, b.rng)


def of_the_draw(b: Bound, drawn: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """Shift (B, Z) and mixing (B, Z, Z) of z = shift + mixing eps, row by row; those of q if it is not heard."""
    mu, logvar = b.heads
    B, Z = mu.shape
    if drawn.numbers is not None:
        return drawn.numbers.shift[0], drawn.numbers.spread[0][:, None] * np.eye(Z)
    linear = all_together(draw_at(b.model, b.x), (B, Z), b.rng) if b.z is not None and mu.size <= MIXING else None
    if linear is None:
        return mu, np.exp(0.5 * logvar)[:, None] * np.eye(Z)
    rows = np.arange(B)
    return linear.shift.reshape(B, Z), linear.mixing.reshape(B, Z, B, Z)[rows, :, rows]


def kl_at_mixtures(b: Bound, told: bool) -> tuple[np.ndarray, Heads] | None:
    """More values of a kl in closed form, (n,), with their heads, (n, Z) each."""
    rng, (B, D), whole = np.random.default_rng(0), b.x.shape, bool((b.x == np.rint(b.x)).all())
    low, high = b.x.min(), b.x.max()
    between = rng.dirichlet(np.full(B, 0.5), size=64) @ b.x  # (64, D)
    far_out = low + (high - low) * rng.beta(0.3, 0.3, (64, D))  # why: signs and sizes of mu are to differ
    anywhere = np.concatenate([between, far_out])  # (128, D)
    crossed = b.x[rng.integers(B, size=(64, D)), np.arange(D)]  # (64, D)  why: a likelihood may refuse the others
    for others in (anywhere, np.rint(far_out) if whole else crossed, crossed):
        x = np.concatenate([b.x, others])  # (n, D)
        with suppress(Exception):
            mu, logvar = (to_numpy(a).astype(float) for a in inner(b.model).encode(x.copy())[:2])  # (n, Z)
            look = look_inside(b.model, x, np.zeros(mu.shape))
            z = mu if look.z is None else look.z  # (n, Z)
            kl = look.terms["kl"] if told else -look.terms["elbo"] - each_nll(b.nll_at, z, x)  # (n,)
            if all(np.isfinite(a).all() for a in (kl, mu, logvar)):
                return kl, (mu, logvar)
    return None


def each_nll(nll_at: NllAt, z: np.ndarray, x: np.ndarray) -> np.ndarray:
    """-log p(x|z) of as many x as z, (n,)."""
    return np.concatenate([nll_at(z[[i]], row) for i, row in enumerate(x)])
