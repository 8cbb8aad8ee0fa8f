"""check_evidence: log p(x) = ELBO + KL(q || p(z|x)), each side by quadrature.

The identity holds for every q and every decoder, trained or not, so it grades an ELBO without knowing the answer: the
sampler, the KL, the likelihood and their signs have to fit together, or the two sides differ.

Sizes: B rows, D data, Z latents, G grid points.
"""

import math
from typing import Any

import numpy as np

from scratchvae.backend import Array, as_backend, get_xp, to_numpy
from scratchvae.checks.evidence.bound import Bound, explain_bound, is_unknown, seen
from scratchvae.checks.evidence.inside import Fault, inner, logits_of, require_rows_apart
from scratchvae.checks.evidence.many import Many, draws_of
from scratchvae.checks.evidence.mixed import each_with_its_own, require_eps_to_matter
from scratchvae.checks.evidence.prior import of_another_prior
from scratchvae.checks.evidence.quadrature import Excess, NllAt, Sides, by_quadrature, excess_of, expected_kl
from scratchvae.checks.evidence.terms import ALLOWED, Heads, wrong_sum
from scratchvae.checks.evidence.weighted import bound_of_many
from scratchvae.checks.likelihood.claims import Claim, add
from scratchvae.checks.likelihood.normalised import SUPPORTS, claims_of_the_nll
from scratchvae.checks.pixels import require_pixels
from scratchvae.checks.report import SEED, Finding, Report, Row
from scratchvae.likelihoods import Bernoulli


def check_evidence(model: Any, x: Array, *, likelihood: Any = None) -> Report:
    """The identity log p(x) = ELBO + KL(q || p(z|x)), for a model with one or two latents; or a bound of K draws.

    model has encode(x) -> mu, logvar, ...;  decode(z) -> logits, ...;  objective(x, eps) -> terms, cache with
    terms.elbo or terms.objective (B,), to be maximised: nll + kl is a loss, and said to be one. likelihood says what
    the logits mean: the model's own if it has one, else Bernoulli; one that names no support may have any. With
    terms.nll and terms.kl, and a decoder that is called as self.decode, the report says more of what is at fault.

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
            add(report, "nll", lambda: claims_of(own, rng), share=False)
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


def claims_of(p: Any, rng: np.random.Generator) -> list[Claim]:
    """What is claimed of the model's own nll; where it names no support, on one that makes a density of it, if any."""
    for support in () if hasattr(p, "support") else SUPPORTS:
        claims = list(claims_of_the_nll(p, rng, [], support=support))
        if not any(claim.status == "wrong" for claim in claims):
            return claims
    return list(claims_of_the_nll(p, rng, []))


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
    model = with_rows_apart(report, model, x, heads, rng.standard_normal(heads[0].shape))
    sides = by_quadrature(nll_at, x, *heads)
    allowed = ALLOWED * np.maximum(1, np.abs(sides.nll + sides.kl))  # (B,)
    excess = excess_of(model, nll_at, x, heads, sides, rng.spawn(1)[0], allowed)
    rows = [row_of(b, sides, excess, float(allowed[b])) for b in range(len(x))]
    report.rows += rows
    known = {name for finding in report.findings for name in finding.inputs}
    bound = seen(model, trusted, nll_at, x, heads, rng)
    found = []
    if any(row.status == "wrong" for row in rows) and not (found := of_decode(bound)):
        found, prior = explain_bound(bound)
        if prior:
            report.rows = of_another_prior(report.rows, prior, bool(found))
    elif any(row.status == "untested" for row in rows) and bound.z is not None:
        found = [] if is_unknown(each := explain_bound(bound).findings) else each
    report.findings += [f for f in found if not set(f.inputs) & known] if known else found
    if not found and {"nll", "kl"} <= bound.terms.keys():
        report.findings += of_the_objective(bound.terms)


def row_of(b: int, sides: Sides, excess: Excess, allowed: float) -> Row:
    """Does the identity hold for row b?"""
    off, error = float(excess.off[b]), float(excess.error[b])
    log_px, kl, elbo = sides.log_px[b], sides.kl_posterior[b], off - sides.nll[b] - sides.kl[b]
    note = f"log p(x) {log_px:.4f}, ELBO {elbo:.4f}, KL to the posterior {kl:.4f}"
    if abs(off) <= allowed and error <= allowed:
        return Row(f"x[{b}]", (), abs(off), "ok", note)
    if abs(off) <= allowed + error:
        text = f": not resolved, the sums over eps are off by up to {error:.1g}"
        return Row(f"x[{b}]", (), abs(off), "untested", note + text)
    side = f"ELBO + KL is {abs(off):.3g} {'above' if off > 0 else 'below'} log p(x)"
    return Row(f"x[{b}]", (), abs(off), "wrong", f"{note}: {side if math.isfinite(off) else 'not finite'}")


def with_rows_apart(report: Report, model: Any, x: np.ndarray, heads: Heads, eps: np.ndarray) -> Any:
    """The model, or its rows one by one if they share their noise, and each of them is drawn as it should.

    Raises    Fault: a row depends on the others.
    """
    try:
        require_rows_apart(model, x, eps)
    except Fault:
        require_eps_to_matter(model, x)
        if (mixed := each_with_its_own(model, x, heads, eps)) is None:
            raise
        if mixed.rows_depend:
            text = "rows share their noise: each alone is a right draw, and all of them are not"
            report.rows.append(Row("eps", (), math.nan, "untested", text))
        return mixed.model
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
