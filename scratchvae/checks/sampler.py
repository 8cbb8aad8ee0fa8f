"""check_sampler: is a reparameterized draw a draw from the q that the KL assumes?

Sizes: n draws, B rows, Z latents.
"""

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from scratchvae.backend import Array, to_numpy
from scratchvae.checks.report import SEED, Finding, Report, Row
from scratchvae.checks.vjp.arrays import derived
from scratchvae.checks.vjp.case import ratio
from scratchvae.checks.vjp.sentences import factor_sentence, number

ALLOWED = 5.0  # standard errors


def check_sampler(
    sampler: Callable[[Any, Any, Any], Any],
    mu: Array,
    logvar: Array,
    *,
    rng: np.random.Generator | None = None,
    n: int = 40_000,
) -> Report:
    """Moments and distribution of z = sampler(mu, logvar, eps), eps ~ N(0, I), against N(mu, exp(logvar)).

    sampler returns z or z, cache. Errors are in standard errors, of which 5 are allowed. A gradient check cannot see
    what this one sees: the wrong distribution may well have the right derivative.

    Shapes    mu, logvar (B, Z), a few rows with different values; every entry gets n draws.
    Raises    ValueError: logvar is 0 everywhere, where sigma, sigma^2 and 1 cannot be told apart.
    """
    rng = np.random.default_rng(SEED) if rng is None else rng
    mu, logvar = (np.atleast_2d(to_numpy(a)).astype(float) for a in (mu, logvar))
    if not logvar.any():
        raise ValueError("logvar should hold different values, got 0 everywhere, where any power of sigma looks right")
    eps = rng.standard_normal((n, *mu.shape))  # (n, B, Z)
    report = Report(getattr(sampler, "__name__", "sampler"), unit="standard errors")

    def draw(eps: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """z, and the names of the inputs that the sampler has written to."""
        given = {"mu": np.tile(mu, (n, 1)), "logvar": np.tile(logvar, (n, 1)), "eps": eps.reshape(-1, eps.shape[-1])}
        handed = {name: a.copy() for name, a in given.items()}
        out = sampler(*handed.values())
        z = to_numpy(out[0] if isinstance(out, tuple) else out).astype(float)
        return z, [name for name, a in handed.items() if not np.array_equal(a, given[name])]

    z, written = draw(eps)  # (n B, Z)
    if written:
        text = f"the sampler writes into {written[0]}, which the KL and the backward still need: make a new array"
        report.findings.append(Finding((written[0],), "mutates-input", text))
    elif z.shape != (n * len(mu), mu.shape[1]):
        text = f"z has the shape {z.shape}, expected that of mu, {(n * len(mu), mu.shape[1])}: every entry is drawn"
        report.findings.append(Finding(("z",), "shape", text))
    elif not np.isfinite(z).all():
        text = "z is not finite: sigma is exp(logvar / 2), which neither overflows nor needs a logarithm of mu"
        report.findings.append(Finding(("z",), "non-finite", text))
    elif not np.array_equal(z, draw(eps)[0]):
        text = "the same eps gives another z: the sampler draws noise of its own; use the eps that it is given"
        report.findings.append(Finding(("z",), "noise-redrawn", text))
    else:
        judge(report, z.reshape(eps.shape), mu, logvar, eps)
    return report


def judge(report: Report, z: np.ndarray, mu: np.ndarray, logvar: np.ndarray, eps: np.ndarray) -> None:
    """The rows, and a finding for the first of them that fails; what comes after is its consequence."""
    n = len(z)
    u = (z - mu) * np.exp(-0.5 * logvar)  # (n, B, Z)  should be N(0, 1)
    points = np.linspace(-2.5, 2.5, 41)
    F = np.array([NormalDist().cdf(p) for p in points])  # (41,)
    below = np.stack([(u <= p).mean(axis=0) for p in points], axis=-1)  # (B, Z, 41)
    columns = u.reshape(n, -1)  # (n, B Z)
    centred = columns - columns.mean(axis=0)
    norms = np.sqrt((centred**2).sum(axis=0))
    correlation = centred.T @ centred / np.maximum(np.outer(norms, norms), 1e-300) - np.eye(len(norms))  # (B Z, B Z)
    errors = {
        "mean": np.sqrt(n) * np.abs(u.mean(axis=0)),
        "variance": np.sqrt(n / 2) * np.abs((u**2).mean(axis=0) - u.mean(axis=0) ** 2 - 1),
        "distribution": (np.abs(below - F) / np.sqrt(F * (1 - F) / n)).max(axis=-1),
        "independence": np.sqrt(n) * np.abs(correlation).max(axis=0).reshape(mu.shape),
    }
    for name, error in errors.items():
        wrong = bool((error > ALLOWED).any())
        report.rows.append(Row(name, mu.shape, float(error.max()), "wrong" if wrong else "ok"))
        if wrong and not report.findings:
            where = tuple(int(i) for i in np.unravel_index(int(error.argmax()), error.shape))
            report.findings.append(cause(name, z, mu, logvar, eps)._replace(where=where))


def cause(name: str, z: np.ndarray, mu: np.ndarray, logvar: np.ndarray, eps: np.ndarray) -> Finding:
    """What is wrong with z = shift + spread * eps; spread and shift are exact if the sampler has this form."""
    e = eps - eps.mean(axis=0)
    spread = (e * z).mean(axis=0) / (e * e).mean(axis=0)  # (B, Z)
    shift = z.mean(axis=0) - spread * eps.mean(axis=0)  # (B, Z)
    sigma = np.exp(0.5 * logvar)
    arrays = {"sigma": sigma, "mu": mu, "logvar": logvar}
    if not np.ptp(z, axis=0).any():
        return Finding(("z",), "zero", "z does not depend on eps: without noise this is a plain autoencoder")
    if name == "mean":
        if c := ratio(mu, shift):
            return Finding(
                ("mean",),
                "sign" if abs(c + 1) < 1e-6 else "factor",
                f"the mean of z {factor_sentence(c, {})}",
                factor=c,
            )
        for what, a in {"mu": mu, **derived(arrays)}.items():
            if c := ratio(mu - shift, a):
                return Finding(
                    ("mean",), "missing-term", f"the mean of z is not mu: {number(c)}{what} is missing from it"
                )
        return Finding(
            ("mean",), "unknown", "the mean of z is not mu: with eps = 0 the sampler should return mu itself"
        )
    if name == "variance":
        guesses = {"B": len(mu), "Z": mu.shape[1]}
        if c := ratio(sigma, np.abs(spread)):
            text = f"the standard deviation of z {factor_sentence(c, guesses)}; the KL takes it to be sigma"
            return Finding(("variance",), "factor", text, factor=c)
        for what, a in derived(arrays).items():
            text = f"the standard deviation of z is not sigma but has a factor too many, {what}"
            if ratio(np.abs(spread), sigma * a):
                hint = ": logvar is the logarithm of a variance, sigma its root" if what == "sigma" else ""
                return Finding(("variance",), "elementwise-factor", f"{text}{hint}")
            if ratio(sigma, np.abs(spread) * a):
                return Finding(
                    ("variance",), "elementwise-factor", f"the standard deviation of z lacks a factor, {what}"
                )
        return Finding(("variance",), "unknown", "the variance of z is not exp(logvar), which the KL takes it to be")
    if name == "independence":
        text = "entries of z move together: each needs its own eps; does a (B, 1) or (Z,) noise broadcast?"
        return Finding(("z",), "shape", text)
    return Finding(
        ("z",), "unknown", "mean and variance of z are right, but it is not Gaussian: is eps passed through?"
    )
