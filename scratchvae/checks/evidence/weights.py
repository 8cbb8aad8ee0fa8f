"""Which slip a bound of K draws is: in the draws, in the weights, or in how the weights are averaged.

K draws that are the same have one and the same weight, and the bound is its logarithm, however it is averaged: that
shows what the weights are made of. Different draws then show the average.

Sizes: K draws, B rows, Z latents, n sets.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from scratchvae.checks.amounts import PERHAPS, off_by, same
from scratchvae.checks.evidence.average import AVERAGE, AVERAGES, MARKS, WEIGHT, of_the_average, taken_away, unknown
from scratchvae.checks.evidence.fitted import fitted
from scratchvae.checks.evidence.inside import inner
from scratchvae.checks.evidence.many import Many, log_mean_exp
from scratchvae.checks.evidence.parts import LOG_P, LOG_Q, slip_in_log_q, term_of_log_q, terms_of_q
from scratchvae.checks.evidence.prior import is_known, of_draws
from scratchvae.checks.evidence.quadrature import expected_kl
from scratchvae.checks.evidence.readings import AS_AGREED, READINGS, Reading, fits, of_encode
from scratchvae.checks.evidence.terms import ALLOWED, close, log_normal
from scratchvae.checks.report import Finding
from scratchvae.checks.sampler.instead import DRAW, Measured
from scratchvae.checks.sampler.instead import findings as of_the_numbers

SETS = 24


OF_K = re.compile(r"^log K|^K is|^log\(K - 1\)")  # sentences about a number that may be another one
CLOSED = "the kl in closed form stands in the place of log p(z) - log q(z|x), which each draw has of its own"


class Heard(NamedTuple):
    """The bound and its z for different draws, and for K times the same; and what is wrong with z as a draw from q."""

    got: np.ndarray  # (B, n)
    got_one: np.ndarray  # (B, n)
    z: np.ndarray  # (B, K, n, Z)
    z_one: np.ndarray  # (B, K, n, Z)
    numbers: Measured | None = None  # shift and spread
    findings: tuple[Finding, ...] = ()


def explain_weights(many: Many, rng: np.random.Generator) -> list[Finding]:
    """What is wrong at this K, as far as it is so at others: a number may be K, or log K, by chance."""
    found = with_these_draws(many, rng)
    if many.K == 1:
        return found
    try:
        others = {K: with_these_draws(many.with_K(K), rng.spawn(1)[0]) for K in (many.K + 1, many.K + 3)}
    except Exception:  # somebody's code may do anything; K may be fixed
        others = {}
    return beside_others(found, others)


def beside_others(found: list[Finding], others: Mapping[int, list[Finding]]) -> list[Finding]:
    """The findings at the K of the model: with "perhaps" before what other K do not confirm, or in their words."""
    said = {K: [finding.message for finding in each] for K, each in others.items()}
    texts = [*said.values()] or [[]]
    agree = all(text == texts[0] for text in texts) and unknown().message not in texts[0]
    if texts[0] and agree and texts[0] != [finding.message for finding in found]:
        return next(iter(others.values()))
    told = []
    for finding in found:
        text, cause = finding.message, f"): {PERHAPS}"
        if cause in text and all(any(f"(K is {K}{cause}" in of for of in each) for K, each in said.items()) and said:
            text = text.replace(cause, "): ")
        elif OF_K.search(text) and not (said and all(text in each for each in said.values())):
            text = PERHAPS + text
        told.append(finding._replace(message=text))
    return told


def with_these_draws(many: Many, rng: np.random.Generator) -> list[Finding]:
    """A finding for the draws, for the weights and for their average, as far as each is wrong."""
    eps = rng.standard_normal((many.K, SETS, many.heads[0].shape[1]))  # (K, n, Z)
    one = np.repeat(eps[:1], many.K, axis=0)  # (K, n, Z)
    got, got_one = (np.stack([many.bound(b, e) for b in range(len(many.x))]) for e in (eps, one))
    z, z_one = (listened(many, e, one) for e in (eps, one))
    if z is not None and z_one is not None:
        heard = Heard(got, got_one, z, z_one, *the_draws(many, eps, z))
        found = as_heard(many, heard)
        if found is None:
            found = by_the_terms_of_q(many, heard) or in_closed_form(many, heard) or [*heard.findings]
        return found or [unknown()]
    agreed = Heard(got, got_one, many.z(eps), many.z(one))
    if found := as_heard(many, agreed) or by_the_terms_of_q(many, agreed) or in_closed_form(many, agreed):
        return found
    for reading in READINGS:
        meant = many._replace(heads=reading.heads(*many.heads))
        found = as_heard(meant, Heard(got, got_one, meant.z(eps), meant.z(one)), (AS_AGREED,))
        if found is not None:
            return [of_encode(reading), *found]
    return fitted_draws(many, eps[0], got_one) or [unknown()]


def as_heard(many: Many, heard: Heard, readings: tuple[Reading, ...] = (AS_AGREED, *READINGS)) -> list[Finding] | None:
    """What is wrong, if the logarithm of a weight is a sum of its three parts, each times a number; None if not."""
    for reading in readings:
        parts, parts_one = (parts_of(many, reading, z) for z in (heard.z, heard.z_one))  # (3, B, K, n) each
        table = np.stack([np.ones(heard.got.size), *(a[:, 0].ravel() for a in parts_one)], axis=1)  # (B n, 4)
        if not np.isfinite(table).all():
            continue
        constant, *weights = np.linalg.lstsq(table, heard.got_one.ravel(), rcond=None)[0].tolist()
        if close(table @ [constant, *weights], heard.got_one.ravel()):
            if max(map(abs, weights)) < ALLOWED:
                return [*heard.findings, taken_away(heard.got, parts, constant)]
            found = [*of_the_reading(reading, heard), *of_the_weights(weights, many)]
            average = of_the_average(heard.got, parts, weights, constant, many.K)
            return found or average if average == [unknown()] else found + average  # why: it may follow from them
    return None


def by_the_terms_of_q(many: Many, heard: Heard) -> list[Finding]:
    """What is wrong, if it is one term of log q(z|x) in the weights, and how they are averaged."""
    parts, parts_one = (parts_of(many, AS_AGREED, z) for z in (heard.z, heard.z_one))  # (3, B, K, n) each
    if (said := term_of_log_q(many, heard.got_one, parts_one, heard.z_one)) is None:
        return by_a_usual_slip(many, heard, parts_one)
    parts[2] += np.tensordot(said.factors - 1, terms_of_q(many, heard.z), axes=1) + said.left_out  # as it is written
    average = of_the_average(heard.got, parts, [*MARKS.values()], 0.0, many.K)
    return [*heard.findings, said.finding, *average]


def by_a_usual_slip(many: Many, heard: Heard, parts_one: np.ndarray) -> list[Finding]:
    """What is wrong, if log q(z|x) in the weights is written with one of the usual slips."""
    if (slip := slip_in_log_q(many, heard.got_one, parts_one, heard.z_one)) is None:
        return []
    finding = Finding(("weights",), slip.cause, f"in the weights {slip.text}", f"{LOG_Q}; {LOG_P}")
    return [*heard.findings, finding]


def other_prior(many: Many, rng: np.random.Generator) -> str:
    """The prior, not N(0, I) and the same for all x, of a bound that is right otherwise; nothing if there is none."""
    if is_known(inner(many.objective)):
        return ""
    K, eps = many.K, rng.standard_normal((many.K, SETS, many.heads[0].shape[1]))  # (K, n, Z)
    rows, one = range(len(many.x)), [np.repeat(e[None], K, axis=0) for e in eps]  # why: K equal draws show log w
    log_w = np.stack([[many.bound(b, e) for b in rows] for e in one])  # (K, B, n)
    if not close(np.stack([many.bound(b, eps) for b in rows]), log_mean_exp(log_w)):
        return ""
    z = listened(many, eps, one[0])
    numbers, wrong = (None, ()) if z is None else the_draws(many, eps, z)
    if wrong:
        return ""
    mu, sigma = many.heads[0], np.exp(0.5 * many.heads[1])  # (B, Z), (B, Z)
    shift, spread = (mu, sigma) if numbers is None else (numbers.shift[0], numbers.spread[0])

    def log_p_at(z: np.ndarray, b: int) -> np.ndarray:
        equal = np.repeat((z - shift[b])[None] / spread[b], K, axis=0)  # (K, G, Z)
        return many.bound(b, equal) + many.nll(b, z) + log_normal(z, mu[b], many.heads[1][b])

    with np.errstate(all="ignore"):
        return of_draws(log_p_at, len(mu), mu.shape[1], rng)


# ---------------------------------------------------------------------------------------------------------------------
# The draws


def listened(many: Many, eps: np.ndarray, one: np.ndarray) -> np.ndarray | None:
    """The z in the objective, (B, K, n, Z); None if the decoder could not be listened to."""
    (K, n, Z), found = eps.shape, []
    for b in range(len(many.x)):
        z, same_draws = (np.concatenate([np.zeros(0), *(z.ravel() for z in many.look(b, e).heard)]) for e in (eps, one))
        if z.size * K == eps.size:  # one draw, that stands for all
            found.append(np.broadcast_to(z.reshape(n, Z), (K, n, Z)))
            continue
        if z.size != eps.size:
            return None
        if not np.ptp(same_draws.reshape(K, n, Z), axis=0).any():  # why: K equal draws show which axis is theirs
            found.append(z.reshape(K, n, Z))
        else:
            found.append(z.reshape(n, K, Z).swapaxes(0, 1))
    return np.stack(found)


def the_draws(many: Many, eps: np.ndarray, z: np.ndarray) -> tuple[Measured | None, tuple[Finding, ...]]:
    """Shift and spread of z (B, K, n, Z), if it has them, and what is wrong with those."""
    if many.K > 1 and not np.ptp(z, axis=1).any():
        text = "the K draws of a row share one eps, so that they are the same"
        return None, (Finding(("sampler",), "shape", text, "eps (K, B, Z), a draw of its own for each k"),)
    e = eps - eps.mean(axis=(0, 1))  # (K, n, Z)
    spread = (e * z).sum(axis=(1, 2)) / (e * e).sum(axis=(0, 1))  # (B, Z)
    shift = z.mean(axis=(1, 2)) - spread * eps.mean(axis=(0, 1))  # (B, Z)
    scale = np.abs(z).max(axis=(1, 2))  # (B, Z)
    left = np.abs(z - shift[:, None, None] - spread[:, None, None] * eps).max(axis=(1, 2))  # (B, Z)
    if not (left <= 1e-6 * scale).all():
        return None, (Finding(("sampler",), "unknown", "z is not linear in its own eps: see check_sampler", DRAW),)
    error = 30 * left + 1e-14 * scale  # (B, Z)
    return of_the_sampler(Measured(*(a[None] for a in (*many.heads, shift, spread, error, error))))


def of_the_sampler(numbers: Measured) -> tuple[Measured, tuple[Finding, ...]]:
    return numbers, tuple(finding._replace(inputs=("sampler",)) for finding in of_the_numbers(numbers))


def fitted_draws(many: Many, eps: np.ndarray, got_one: np.ndarray) -> list[Finding]:
    """What is wrong with the draws, if they explain the bound of K equal ones, for eps (n, Z)."""

    def value_at(z: np.ndarray, b: int) -> np.ndarray:
        return log_normal(z) - many.nll(b, z) - log_normal(z, *(a[b] for a in many.heads))

    numbers = fitted(value_at, eps, got_one.T, many.heads)
    return [] if numbers is None else [*of_the_sampler(numbers)[1]]


def of_the_reading(reading: Reading, heard: Heard) -> list[Finding]:
    """q(z|x) is read in one way by its density: is the sampler of the same mind?"""
    if reading is AS_AGREED:
        return [*heard.findings]
    if heard.findings and fits(heard.numbers, reading):
        return [of_encode(reading)]
    text = f"log q(z|x) reads what encode returns as {reading.name}, and the sampler does not"
    return [*heard.findings, Finding(("weights",), reading.cause, text, "the density of the q that z is drawn from")]


# ---------------------------------------------------------------------------------------------------------------------
# The weights, and their average


def parts_of(many: Many, reading: Reading, z: np.ndarray) -> np.ndarray:
    """nll, log p(z) and log q(z|x) of every draw (B, K, n, Z), as (3, B, K, n)."""
    mu, logvar = reading.heads(*many.heads)  # (B, Z), (B, Z)
    nll = np.stack([many.nll(b, a) for b, a in enumerate(z)])  # (B, K, n)
    with np.errstate(all="ignore"):
        return np.stack([nll, log_normal(z), log_normal(z, mu[:, None, None], logvar[:, None, None])])


def of_the_weights(weights: list[float], many: Many) -> list[Finding]:
    """Each part of log w with its sign; all of them times a number are a matter of the average."""
    c = [weight / sign for weight, sign in zip(weights, MARKS.values(), strict=True)]
    if all(same(a, c[0]) for a in c):
        return []
    missing = [name for name, a in zip(MARKS, c, strict=True) if abs(a) < ALLOWED]
    turned = [name for name, a in zip(MARKS, c, strict=True) if same(a, -1.0)]
    found = []
    if missing:
        found.append(Finding(("weights",), "missing-term", f"the weights have no {' and no '.join(missing)}", WEIGHT))
    if turned == ["log p(z)", "log q(z|x)"]:
        text = "log p(z) and log q(z|x) have changed places in the weights"
        found.append(Finding(("weights",), "sign", text, WEIGHT, -1.0))
    elif turned:
        text = f"in the weights {' and '.join(turned)} {'has' if len(turned) == 1 else 'have'} the wrong sign"
        found.append(Finding(("weights",), "sign", text, WEIGHT, -1.0))
    scaled = {name: a for name, a in zip(MARKS, c, strict=True) if not (abs(a) < ALLOWED or same(abs(a), 1.0))}
    if len(scaled) == 2 and same(*scaled.values()):  # why: a factor of both is one slip
        a = next(iter(scaled.values()))
        text, repair = off_by(a)
        text = text.replace("is ", "are ", 1).replace("it ", "they ")
        finding = f"in the weights {' and '.join(scaled)} {text}"
        return [*found, Finding(("weights",), "factor", finding, f"{repair}: {WEIGHT}", 1 / a)]
    for name, a in scaled.items():
        text, repair = off_by(a, {"D": many.x.shape[1]} if name == "nll" else {"K": many.K})
        found.append(Finding(("weights",), "factor", f"in the weights {name} {text}", f"{repair}: {WEIGHT}", 1 / a))
    return found


def in_closed_form(many: Many, heard: Heard) -> list[Finding]:
    """The kl of the ELBO beside the draws."""
    nll = np.stack([many.nll(b, a) for b, a in enumerate(heard.z)])  # (B, K, n)
    with np.errstate(all="ignore"):
        kl = expected_kl(*many.heads)[:, None]  # (B, 1)
    if close(heard.got, -nll.mean(axis=1) - kl):
        return [Finding(("bound",), AVERAGES[0].cause, AVERAGES[0].text, AVERAGE)]
    if close(heard.got, log_mean_exp(-nll.swapaxes(0, 1)) - kl):
        return [Finding(("weights",), "missing-term", CLOSED, WEIGHT)]
    return []
