"""check_evidence: log p(x) = ELBO + KL(q || p(z|x)), each side by quadrature.

The identity holds for every q and every decoder, trained or not, so it grades an ELBO without knowing the answer: the
sampler, the KL, the likelihood and their signs have to fit together, or the two sides differ.

Sizes: B rows, D data, Z latents, G grid points.
"""

import math
from typing import Any

import numpy as np

from scratchvae.backend import Array, as_backend, get_xp, to_numpy
from scratchvae.checks.evidence.bound import Bound, explain_bound, seen
from scratchvae.checks.evidence.inside import Fault, inner, logits_of, require_rows_apart
from scratchvae.checks.evidence.many import Many, draws_of
from scratchvae.checks.evidence.mixed import RowByRow, noise_alone_is_mixed
from scratchvae.checks.evidence.prior import of_another_prior
from scratchvae.checks.evidence.quadrature import NllAt, by_quadrature, expected_kl, expected_terms
from scratchvae.checks.evidence.terms import ALLOWED, Heads, wrong_sum
from scratchvae.checks.evidence.weighted import bound_of_many
from scratchvae.checks.likelihood.claims import add
from scratchvae.checks.likelihood.normalised import claims_of_the_nll
from scratchvae.checks.pixels import require_pixels
from scratchvae.checks.report import SEED, Finding, Report, Row
from scratchvae.likelihoods import Bernoulli


def check_evidence(model: Any, x: Array, *, likelihood: Any = None) -> Report:
    """The identity log p(x) = ELBO + KL(q || p(z|x)), for a model with one or two latents; or a bound of K draws.

    model has encode(x) -> mu, logvar, ...;  decode(z) -> logits, ...;  objective(x, eps) -> terms, cache with
    terms.elbo or terms.objective (B,). likelihood says what the logits mean: the model's own if it has one, else
    Bernoulli. With terms.nll and terms.kl, and a decoder that is called as self.decode, the report says more of what is
    at fault.

    The prior is taken to be N(0, I). A bound that is right for another one, learned or of several layers, is untested,
    and the row named prior tells which it is; it has to be the same for all x. A VAE whose sample is that of this
    package draws from N(0, I), so that another one is wrong.

    An objective whose draw_eps(B, rng) is (K, B, Z) is an importance-weighted bound, log (1/K) sum_k w_k, such as
    ImportanceWeighted(vae, K); encode and decode are its own, or those of its .model. It is to lie between the ELBO and
    log p(x), to be the ELBO for K = 1 and to grow with K.

    Shapes    x (B, D), at least 4 rows that differ; what decode returns is the likelihood's, (G, D n_params).
    Units     nats.
    Raises    ValueError: more than two latents, an x outside the support of the likelihood.
    """
    report = Report(f"evidence of {type(model).__name__}", unit="nats")
    base = inner(model)
    own = getattr(base, "likelihood", None)
    trusted = likelihood or own or Bernoulli()
    require_pixels(x, trusted)
    x = to_numpy(x).astype(float)  # (B, D)
    rng = np.random.default_rng(SEED)
    try:
        heads = encoded(base, x)
        if own is not None:
            add(report, "nll", lambda: claims_of_the_nll(own, rng, []), share=False)
        nll_at = nll_of(base, trusted)
        if K := draws_of(model, rng):
            bound_of_many(report, Many(model, nll_at, x, heads, K), rng)
        else:
            identity(report, model, trusted, nll_at, x, heads, rng)
    except NotImplementedError:
        report.rows, report.findings = [Row("evidence", (), math.nan, "not written yet")], []
    except Fault as fault:
        report.findings.append(fault.finding)
        report.rows.append(Row("evidence", (), math.nan, "untested"))
    return report


def encoded(model: Any, x: np.ndarray) -> Heads:
    """mu and logvar, (B, Z) each.

    Raises    Fault: encode writes to x, or returns something else.  ValueError: more than two latents.
    """
    given = x.copy()
    out = model.encode(given)
    if not (isinstance(out, tuple | list) and len(out) > 1 and all(hasattr(a, "dtype") for a in out[:2])):
        raise Fault("encode", "shape", "encode does not return two arrays, mu and logvar", "return mu, logvar")
    mu, logvar = (to_numpy(a).astype(float) for a in out[:2])
    if not np.array_equal(given, x):
        text = "encode writes into x, which belongs to the caller, and the nll is that of other images"
        raise Fault("x", "mutates-input", text, "make a new array")
    if mu.ndim != 2 or mu.shape != logvar.shape or len(mu) != len(x):
        text = f"encode returns the shapes {mu.shape} and {logvar.shape} for {len(x)} rows"
        raise Fault("encode", "shape", text, "mu and logvar, (B, Z) each")
    if mu.shape[1] > 2:
        raise ValueError(f"the identity is checked on a grid: build the model with 1 or 2 latents, got {mu.shape[1]}")
    return mu, logvar


def nll_of(model: Any, trusted: Any) -> NllAt:
    """-log p(x|z) for many z and one x, by the model's decoder and the trusted likelihood."""
    last: list[Any] = [None, None]  # the z that was decoded last, for one x after another, and its logits

    def nll_at(z: np.ndarray, row: np.ndarray) -> np.ndarray:
        if last[0] is not z:
            last[:] = z, logits_of(model, z)  # (G, D n_params)
        logits = last[1]
        rows = as_backend(np.broadcast_to(row, (len(z), len(row))), get_xp(logits), logits.dtype)  # (G, D)
        return to_numpy(trusted.nll(rows, logits)[0]).astype(float)  # (G,)

    return nll_at


def identity(
    report: Report, model: Any, trusted: Any, nll_at: NllAt, x: np.ndarray, heads: Heads, rng: np.random.Generator
) -> None:
    """A row for every row of x, and what is wrong if one does not fit."""
    model = with_rows_apart(model, x, heads, rng.standard_normal(heads[0].shape))
    sides, claimed = by_quadrature(nll_at, x, *heads), expected_terms(model, x, heads[0].shape[1])
    excess = claimed["elbo"] + sides.kl_posterior - sides.log_px  # (B,)
    allowed = ALLOWED * np.maximum(1, np.abs(claimed["elbo"]))  # (B,)
    for b, off in enumerate(excess):
        log_px, elbo, kl = sides.log_px[b], claimed["elbo"][b], sides.kl_posterior[b]
        note = f"log p(x) {log_px:.4f}, ELBO {elbo:.4f}, KL to the posterior {kl:.4f}"
        wrong = not abs(off) <= allowed[b]
        side = f": {'above' if off > 0 else 'below'} log p(x)" if wrong else ""
        report.rows.append(Row(f"x[{b}]", (), abs(float(off)), "wrong" if wrong else "ok", note + side))
    known = {name for finding in report.findings for name in finding.inputs}
    bound = seen(model, trusted, nll_at, x, heads, rng)
    found = []
    if not (np.abs(excess) <= allowed).all() and not (found := of_decode(bound)):
        found, prior = explain_bound(bound)
        if prior:
            report.rows = of_another_prior(report.rows, prior, bool(found))
    report.findings += [f for f in found if not set(f.inputs) & known] if known else found
    if not found and {"nll", "kl"} <= bound.terms.keys():
        report.findings += of_the_objective(bound.terms)


def with_rows_apart(model: Any, x: np.ndarray, heads: Heads, eps: np.ndarray) -> Any:
    """The model, or its rows one by one if they share their noise as they may.

    Raises    Fault: a row depends on the others.
    """
    try:
        require_rows_apart(model, x, eps)
    except Fault:
        if not noise_alone_is_mixed(model, x, heads, eps):
            raise
        return RowByRow(model)
    return model


def of_decode(b: Bound) -> list[Finding]:
    """Does all fit, if decode is taken to return probabilities?"""
    p = to_numpy(logits_of(inner(b.model), b.heads[0]))  # (B, D n_params)
    if not (getattr(b.likelihood, "name", "") == Bernoulli.name and ((p > 0) & (p < 1)).all()):
        return []

    def nll_at(z: np.ndarray, row: np.ndarray) -> np.ndarray:
        p = to_numpy(logits_of(inner(b.model), z)).astype(float)  # (G, D)
        return to_numpy(b.likelihood.nll(np.broadcast_to(row, p.shape), np.log(p) - np.log1p(-p))[0])

    z = b.heads[0] + np.exp(0.5 * b.heads[1]) * b.eps[:, None] if b.z is None else b.z  # (E, B, Z)
    if not np.allclose(
        b.terms["elbo"] + b.terms.get("kl", expected_kl(*b.heads)), -b._replace(nll_at=nll_at).nll_of(z)
    ):
        return []
    text = "decode returns probabilities, where logits belong; the nll reads them so"
    return [Finding(("decode",), "elementwise-factor", text, "return the numbers before the sigmoid")]


def of_the_objective(terms: dict[str, np.ndarray]) -> list[Finding]:
    """What is trained beside a right elbo: -nll - beta kl, with any beta."""
    if "objective" not in terms:
        return []
    finding = wrong_sum("objective", terms["objective"], terms["nll"], terms["kl"], beta=True)
    return [finding] if finding else []
