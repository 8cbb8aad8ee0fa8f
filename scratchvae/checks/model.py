"""check_gradients: every parameter of a whole model, and where in the model the fault is.

Sizes: B batch, Z latent, m entries of a parameter that were measured.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scratchvae.backend import Array, as_backend, get_xp, to_numpy
from scratchvae.checks.pixels import require_pixels
from scratchvae.checks.report import SEED, Finding, Report
from scratchvae.checks.vjp.arrays import arrays_in, named_arrays
from scratchvae.checks.vjp.call import Kept, Pair, Values
from scratchvae.checks.vjp.check import examine
from scratchvae.checks.vjp.differences import entry
from scratchvae.checks.vjp.point import Hints
from scratchvae.checks.vjp.words import in_play

BETA = 0.73  # no number that a model is likely to have in it
DEPTH = 6  # of objects in objects
MEANS = ("mu", "mean", "zmean", "zmu", "m")
SPREADS = ("logvar", "zlogvar", "zlogsigma", "logsigma", "logstd", "lv", "sigma", "std", "s")


def check_gradients(
    model: Any, x: Array, eps: Array | None = None, *, beta: float | None = None, rng: np.random.Generator | None = None
) -> Report:
    """The gradient of sum_b w_b objective_b, for random weights w, against differences, for every parameter.

    model has params, a dict of its own float64 arrays (they are moved, and put back);
    objective(x, eps, beta) -> terms, cache with terms.objective (B,);  backward(dobjective, cache) -> grads by name.
    Where it also has terms.nll and terms.kl, or encode(x) -> mu, logvar, cache, the report says which of the terms and
    which side of the fork is at fault. beta is 0.73 unless you say otherwise, since at 1 a forgotten one would not
    show; it is 1 for an objective that has none.

    Shapes    x (B, D), eps (B, Z), drawn here if not given; a small batch and a small model: the time grows with the
              number of weights.
    Raises    ValueError: an x outside the support of the model's likelihood.
    """
    require_pixels(x, getattr(getattr(model, "model", model), "likelihood", None))
    if eps is None and hasattr(model, "draw_eps"):
        eps = model.draw_eps(len(x), np.random.default_rng(SEED))
    shape = (len(x),)
    before = {name: to_numpy(p).copy() for name, p in model.params.items()}
    title = f"{type(model).__name__}, {len(before)} parameters"
    if narrow := [name for name, p in before.items() if p.dtype != np.float64]:
        text = (
            f"{narrow[0]} is {before[narrow[0]].dtype}: differences need float64; build the model with dtype='float64'"
        )
        return Report(title, findings=[Finding(("model",), "precision", text)])
    outputs = Outputs(model, x, eps, beta_of(model, x, eps) if beta is None else beta)
    outputs.objective(before)
    for name, p in model.params.items():
        if (to_numpy(p) != before[name]).any():
            text = f"objective changes the parameter {name}: only an optimizer may write into params"
            return Report(title, findings=[Finding((name,), "mutates-input", text)])
    terms, _ = outputs.objective(before)
    if (got := to_numpy(terms.objective).shape) != shape:
        text = f"objective has the shape {got}, expected {shape}, a number an example: did (B,) meet (B, 1)?"
        return Report(title, findings=[Finding(("objective",), "shape", text)])

    given = {"x": x, "eps": eps, "beta": outputs.beta}
    names = {name: name if name not in before else f"{name} of the objective" for name in given}  # a weight may be beta
    constants = {names[name]: value for name, value in given.items() if value is not None}

    def forward(**values: Any) -> tuple[Any, Any]:
        params = {name: values[name] for name in before}
        terms, cache = outputs.objective(params, *(values.get(names[name]) for name in given))
        return terms.objective, Kept(params, cache)

    @functools.wraps(model.backward)
    def backward(dobjective: np.ndarray, kept: Kept) -> Mapping[str, Array]:
        return outputs.at(kept.params, lambda: model.backward(dobjective, kept.cache))

    keeper = model if keeps_what_it_needs(outputs, before) else None
    pair = Pair(forward, backward, list(before), constants, keeper)
    with np.errstate(all="ignore"):
        return examine(pair, before, title, rng, outputs.hints(before))


def beta_of(model: Any, x: Array, eps: Array | None) -> float:
    """BETA, or 1 for an objective that refuses any other, ignores it, or does not take it."""
    if not takes_beta(model):
        return 1.0
    try:
        terms, _ = model.objective(x, eps, BETA)
    except ValueError:
        return 1.0
    if not (hasattr(terms, "nll") and hasattr(terms, "kl")):
        return BETA
    nll, kl, objective = (to_numpy(a) for a in (terms.nll, terms.kl, terms.objective))
    return 1.0 if nll.shape == kl.shape == objective.shape and np.allclose(objective, -nll - kl) else BETA


def takes_beta(model: Any) -> bool:
    """Has the objective a third argument?"""
    try:
        inspect.signature(model.objective).bind(None, None, 1.0)
    except TypeError:
        return False
    return True


def keeps_what_it_needs(outputs: "Outputs", params: Values) -> bool:
    """Do the model's layers keep arrays on themselves that are not in the cache, as in most frameworks?"""
    before = {name: id(a) for name, a in arrays_in(outputs.model, "model", DEPTH).items()}
    _, cache = outputs.objective(params)
    handed_over = {id(a) for a in arrays_in(cache, "cache", DEPTH).values()}
    after = arrays_in(outputs.model, "model", DEPTH)
    return any(before.get(name) != id(a) and id(a) not in handed_over for name, a in after.items())


class Outputs:
    """What a model computes, as functions of its parameters; they are put back after every call."""

    def __init__(self, model: Any, x: Array, eps: Array | None, beta: float) -> None:
        self.model, self.x, self.eps, self.beta = model, x, eps, beta
        self.takes_beta = hasattr(model, "objective") and takes_beta(model)

    def at(self, params: Values, compute: Callable[[], Any]) -> Any:
        """compute() with these parameters in place of the model's own."""
        own = {name: p for name, p in self.model.params.items() if (to_numpy(p) != params[name]).any()}
        before = {name: p.copy() for name, p in own.items()}
        try:
            for name, p in own.items():
                p[...] = as_backend(params[name], get_xp(p))
            return compute()
        finally:
            for name, p in own.items():
                p[...] = before[name]

    def objective(
        self, params: Values, x: Array = None, eps: Array = None, beta: float | None = None
    ) -> tuple[Any, Any]:
        """terms, cache."""
        x, eps = (self.x if x is None else x), (self.eps if eps is None else eps)
        more = (self.beta if beta is None else beta,) if self.takes_beta else ()
        return self.at(params, lambda: self.model.objective(x, eps, *more))

    def terms(self, params: Values) -> np.ndarray:
        """nll and kl, (2, B)."""
        terms, _ = self.objective(params)
        return np.stack([to_numpy(terms.nll), to_numpy(terms.kl)])

    def weights(self, params: Values) -> np.ndarray | None:
        """What the objective takes nll and kl times of, (2,): -1 and -beta; None if it is no such sum."""
        terms, _ = self.objective(params)
        B = len(self.x)
        if any(to_numpy(getattr(terms, name, 0.0)).shape != (B,) for name in ("nll", "kl", "objective")):
            return None
        both, objective, usual = self.terms(params), to_numpy(terms.objective), np.array([-1.0, -self.beta])
        if np.allclose(usual @ both, objective, rtol=1e-9):
            return usual
        found = np.linalg.lstsq(both.T, objective, rcond=None)[0]  # why: somebody may add what is to be subtracted
        return found if B > 2 and np.allclose(found @ both, objective, rtol=1e-9) else None

    def heads(self, params: Values) -> np.ndarray:
        """mu and logvar, or another spread, (2, B, Z); nothing, (0, B, 0), if the model does not show them."""
        if hasattr(self.model, "encode"):
            q = self.at(params, lambda: self.model.encode(self.x))
            if len(q) == 3 and to_numpy(q[0]).shape == to_numpy(q[1]).shape:  # mu, logvar, cache
                return np.stack([to_numpy(a) for a in q[:2]])
        return heads_in(self.objective(params)[1], len(self.x))

    def hints(self, params: Values) -> Hints:
        """What helps to name a cause, for a model that has it."""
        weights, has_heads = self.weights(params), self.heads(params).size > 0

        def arrays(params: Values) -> Mapping[str, np.ndarray]:
            terms, cache = self.objective(params)
            given: dict[str, Any] = {"x": self.x} if self.eps is None else {"x": self.x, "eps": self.eps}
            if has_heads and hasattr(self.model, "encode"):
                given["mu"], given["logvar"] = self.heads(params)
            return in_play(given, to_numpy(terms.objective), cache)

        def parts(params: Values, name: str, index: np.ndarray) -> Mapping[str, np.ndarray]:
            if weights is None:
                return {}
            nll, kl = self.derivatives(self.terms, params, name, index)  # (m, B) each
            return {"nll": weights[0] * nll, "kl": weights[1] * kl}

        def spans(params: Values, name: str, index: np.ndarray) -> Mapping[str, np.ndarray]:
            if not has_heads:
                return {}
            columns = self.derivatives(self.heads, params, name, index)  # (2, m, B, Z)
            return {head: c.swapaxes(0, 1) for head, c in zip(("mu", "logvar"), columns, strict=True) if c.any()}

        return Hints(arrays, parts, spans)

    def derivatives(
        self, function: Callable[[Values], np.ndarray], params: Values, name: str, index: np.ndarray
    ) -> np.ndarray:
        """The derivative of a function's outputs (P, ...) by some entries of one parameter, (P, m, ...)."""
        shape = function(params).shape

        def y(value: np.ndarray) -> np.ndarray:
            return function({**params, name: value})

        size = int(np.prod(shape))
        columns = [entry(y, params[name], int(i), np.ones((1, size))).column for i in index]
        return np.stack(columns).reshape(len(index), *shape).swapaxes(0, 1)


def heads_in(cache: Any, B: int) -> np.ndarray:
    """What a cache holds under the usual names of the two heads, (2, B, Z); nothing, (0, B, 0), if they are not there.

    Any increasing function of logvar will do: which paths lead through it is the same.
    """
    arrays = {name.lower().replace("_", ""): a for name, a in named_arrays(cache).items()}
    found = [next((arrays[n] for n in names if n in arrays), np.zeros(0)) for names in (MEANS, SPREADS)]
    rows = [a if len(a) == B else a.T for a in found if a.ndim == 2 and B in a.shape]
    return np.stack(rows) if len(rows) == 2 and rows[0].shape == rows[1].shape else np.zeros((0, B, 0))
