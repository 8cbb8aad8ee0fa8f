"""The kinds of components that can be broken: for each its results, and the checks that apply to it.

Sizes: B batch, D data, Z latent.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from scratchvae import gaussian
from scratchvae.backend import Array, Cache
from scratchvae.checks import (
    Report,
    check_evidence,
    check_gradients,
    check_likelihood,
    check_optimizer,
    check_sampler,
    check_vjp,
)
from scratchvae.iwae import ImportanceWeighted
from scratchvae.likelihoods import Likelihood
from scratchvae.optim import Optimizer
from scratchvae.vae import VAE, ObjectiveCache, Terms

B, D, Z = 4, 5, 2


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Numbers to try a component on, always the same ones."""
    return np.random.default_rng(100 + seed).standard_normal(shape)


class Pair(NamedTuple):
    """A forward and its backward, with the inputs to try them on."""

    forward: Callable[..., tuple[Array, Cache]]
    backward: Callable[[Array, Cache], Any]
    inputs: dict[str, Array]
    constants: dict[str, Array] = {}  # noqa: RUF012

    def results(self) -> dict[str, Array]:
        """y, and the gradients for an upstream of random numbers."""
        x = {name: a.copy() for name, a in self.inputs.items()}
        y, cache = self.forward(**x, **self.constants)
        grads = self.backward(normal(*np.shape(y), seed=1), cache)
        grads = grads if isinstance(grads, tuple) else (grads,)
        return {"y": y, **{f"d{name}": grad for name, grad in zip(x, grads, strict=True)}}

    def reports(self) -> dict[str, Report]:
        return {"differences": check_vjp(self.forward, self.backward, self.inputs, constants=self.constants)}


class Posterior(NamedTuple):
    """What a VAE does with q(z|x): the draw and the KL to the prior, each with its backward."""

    draw: Callable[..., tuple[Array, Cache]] = gaussian.reparameterize
    draw_backward: Callable[..., Any] = gaussian.reparameterize_backward
    kl: Callable[..., tuple[Array, Cache]] = gaussian.kl_to_standard_normal
    kl_backward: Callable[..., Any] = gaussian.kl_to_standard_normal_backward

    @property
    def pairs(self) -> tuple[Pair, Pair]:
        q = {"mu": normal(B, Z), "logvar": normal(B, Z, seed=1)}
        draw = Pair(self.draw, self.draw_backward, q, {"eps": normal(B, Z, seed=2)})
        return draw, Pair(self.kl, self.kl_backward, q)

    def results(self) -> dict[str, Array]:
        """z and kl, and the gradients through each."""
        draw, kl = (pair.results() for pair in self.pairs)
        z, kl_value = draw.pop("y"), kl.pop("y")
        return {
            "z": z,
            "kl": kl_value,
            **{f"{k} of z": g for k, g in draw.items()},
            **{f"{k} of kl": g for k, g in kl.items()},
        }

    def reports(self) -> dict[str, Report]:
        draw, kl = (pair.reports()["differences"] for pair in self.pairs)
        model = build(AssembledVAE)
        model.posterior = self
        return {
            "differences": draw,
            "differences of the kl": kl,
            "sampler": check_sampler(self.draw, normal(1, Z), normal(1, Z, seed=1)),
            "evidence": check_evidence(model, bits()),
        }


class AssembledVAE(VAE):
    """A VAE that takes the draw and the KL from outside."""

    posterior = Posterior()

    def q(self, x: Array) -> Any:
        """mu, logvar, cache, for the objective; what others call is encode."""
        return self.encode(x)

    def objective(self, x: Array, eps: Array, beta: float = 1.0) -> tuple[Terms, ObjectiveCache]:
        mu, logvar, encode_cache = self.q(x)
        z, z_cache = self.posterior.draw(mu, logvar, eps)
        logits, decode_cache = self.decode(z)
        nll, nll_cache = self.likelihood.nll(x, logits)
        kl, kl_cache = self.posterior.kl(mu, logvar)
        terms = Terms(nll, kl, elbo=-nll - kl, objective=-nll - beta * kl)
        return terms, ObjectiveCache(len(x), beta, encode_cache, z_cache, decode_cache, nll_cache, kl_cache)


class Decoded(NamedTuple):
    """A likelihood, beside the one that says what the logits mean."""

    likelihood: Likelihood
    meant: Likelihood
    x: Array

    @property
    def pair(self) -> Pair:
        def nll(logits: Array, x: Array) -> tuple[Array, Cache]:
            return self.likelihood.nll(x, logits)

        return Pair(nll, self.likelihood.nll_backward, {"logits": normal(B, D)}, {"x": self.x})

    def results(self) -> dict[str, Array]:
        """The nll, its gradient and the mean."""
        nll = self.pair.results()
        return {"nll": nll["y"], "dlogits": nll["dlogits"], "mean": self.likelihood.mean(normal(B, D))}

    def reports(self) -> dict[str, Report]:
        model = build(VAE, likelihood=self.likelihood)
        return {
            **self.pair.reports(),
            "evidence": check_evidence(model, self.x, likelihood=self.meant),
            "likelihood": check_likelihood(self.likelihood),
        }


class Model(NamedTuple):
    """A whole VAE, by its class."""

    kind: type[VAE]

    def results(self) -> dict[str, Array]:
        """The terms of the objective, and the gradient of every parameter."""
        model = build(self.kind)
        terms, cache = model.objective(bits(), normal(B, Z))
        return {**terms._asdict(), **{f"d{name}": g for name, g in model.backward(np.ones(B), cache).items()}}

    def reports(self) -> dict[str, Report]:
        return {
            "differences": check_gradients(build(self.kind), bits(), normal(B, Z)),
            "evidence": check_evidence(build(self.kind), bits()),
        }


class Several(NamedTuple):
    """An objective of K = 3 draws, by its class."""

    kind: type[ImportanceWeighted]

    def results(self) -> dict[str, Array]:
        """The terms, and the gradient of every parameter."""
        objective = self.kind(build(VAE), 3)
        terms, cache = objective.objective(bits(), normal(3, B, Z))
        grads = objective.backward(np.ones(B), cache)
        return {**terms._asdict(), **{f"d{name}": g for name, g in grads.items()}}

    def reports(self) -> dict[str, Report]:
        return {
            "differences": check_gradients(self.kind(build(VAE), 3), bits(), normal(3, B, Z)),
            "evidence": check_evidence(self.kind(build(VAE), 3), bits()),
        }


class Stepper(NamedTuple):
    """An optimizer, beside its reference; both are made afresh for every use."""

    make: Callable[[], Optimizer]
    reference: Callable[[], Optimizer]

    def results(self) -> dict[str, Array]:
        """How far the parameters have moved after five steps."""
        optimizer, params = self.make(), {"W": np.zeros((3, 2)), "b": np.zeros(2)}
        for step in range(5):
            optimizer.step(params, {name: normal(*p.shape, seed=step) for name, p in params.items()})
        return params

    def reports(self) -> dict[str, Report]:
        return {"optimizer": check_optimizer(self.make(), self.reference())}


def bits() -> np.ndarray:
    """A few binary examples, (B, D)."""
    return (normal(B, D, seed=4) > 0).astype(float)


def build(kind: Any, likelihood: Likelihood | None = None) -> Any:
    """A small VAE in float64, its biases away from zero, so that each of them matters."""
    rng = np.random.default_rng(201)
    model = kind(D, (5,), Z, "tanh", likelihood, rng=rng, dtype="float64")
    for p in model.params.values():
        p += 0.2 * rng.standard_normal(p.shape)
    model.params["logvar.b"][...] -= 0.5  # a q that lies well within the grid of the evidence
    return model
