"""The whole way back: two terms, a fork, and every array in params.

Sizes: B batch, Z latents.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, named
from scratchvae.exercises.own import oracle
from scratchvae.exercises.own.kl import kl_backward
from scratchvae.exercises.own.likelihood import bernoulli_nll_backward
from scratchvae.exercises.own.noise import reparameterize_backward
from scratchvae.exercises.own.objective import BETA
from scratchvae.exercises.own.oracle import B
from scratchvae.exercises.own.told import without_dice
from scratchvae.exercises.own.whole import DECODER, ENCODER, decoder_backward, drawn_cache, encoder_backward


def backward(dobjective, params, cache, beta):
    """The gradient of sum_b dobjective_b objective_b: a dict with the names of params.

    dobjective (B,); objective = -nll - beta kl; cache is what forward has returned.
    """
    dnll, dkl = -dobjective, -beta * dobjective
    dlogits = bernoulli_nll_backward(dnll, cache["x"], cache["logits"])
    dz, decoder_grads = decoder_backward(dlogits, params, cache)
    dmu_z, dlogvar_z = reparameterize_backward(dz, cache["logvar"], cache["eps"])
    dmu_kl, dlogvar_kl = kl_backward(dkl, cache["mu"], cache["logvar"])
    encoder_grads = encoder_backward(dmu_z + dmu_kl, dlogvar_z + dlogvar_kl, params, cache)
    return {**encoder_grads, **decoder_grads}


def backward_by_steps(dobjective: Any, params: Any, cache: Any, beta: float) -> dict[str, np.ndarray]:
    x, eps = cache["x"], cache["eps"]
    return oracle.slopes(
        lambda at: (dobjective * oracle.everything(at, x, eps, beta)["objective"]).sum(), params, (*DECODER, *ENCODER)
    )


def backward_with(
    weights: Callable[..., Any] = lambda w, beta: (-w, -beta * w),
    fork: Callable[..., Any] = lambda m, mk, v, vk: (m + mk, v + vk),
    eps: Callable[..., Any] = lambda eps: eps,
) -> Callable[..., Any]:
    """A wrong answer: with other dnll, dkl = weights(w, beta), another sum at the fork, or other noise."""

    def answer(dobjective: Any, params: Any, cache: Any, beta: float) -> Any:
        dnll, dkl = weights(dobjective, beta)
        p = 1 / (1 + np.exp(-cache["logits"]))
        dz, decoder_grads = decoder_backward(dnll[:, None] * (p - cache["x"]), params, cache)
        m, v = reparameterize_backward(dz, cache["logvar"], eps(cache["eps"]))
        mk, vk = kl_backward(dkl, cache["mu"], cache["logvar"])
        dmu, dlogvar = fork(m, mk, v, vk)
        return {**encoder_backward(dmu, dlogvar, params, cache), **decoder_grads}

    return answer


BACKWARD = named(
    backward,
    backward_by_steps,
    lambda rng: (rng.standard_normal(B), *drawn_cache(rng), BETA),
    (
        "With which weight does nll_b stand in sum_b w_b objective_b, and with which kl_b? Where does each path end, "
        "and where do two of them meet?",
        "dnll = -w, dkl = -beta w; dlogits; dz; dmu and dlogvar through z and from the KL, added; the encoder",
        "five calls of your ..._backward, in the order nll, decoder, reparameterize, kl, encoder, and one dict of both",
    ),
    (
        Slip(backward_with(lambda w, beta: (w, -beta * w)), "sign", "the nll has the wrong sign: dnll = -dobjective"),
        Slip(
            backward_with(lambda w, beta: (-beta * w, -beta * w)),
            "factor",
            "beta stands at both terms, and belongs to the KL alone",
        ),
        Slip(backward_with(lambda w, beta: (-beta * w, -w)), "factor", "beta stands at the nll, and belongs to the KL"),
        Slip(
            backward_with(lambda w, beta: (-np.ones_like(w), -beta * np.ones_like(w))),
            "elementwise-factor",
            "it is the same whatever dobjective is: each example has a weight of its own",
        ),
        Slip(
            backward_with(lambda w, beta: (-w / B, -beta * w / B)),
            "factor",
            "all are divided by B: the weights of the examples are in dobjective",
        ),
        Slip(
            lambda dobjective, params, cache, beta: backward_with(lambda w, beta: (-cache["nll"], -beta * cache["kl"]))(
                dobjective, params, cache, beta
            ),
            "elementwise-factor",
            "nll and kl stand where their gradients belong: dnll is what sum_b dobjective_b objective_b gains with nll",
        ),
        Slip(backward_with(lambda w, beta: (-w, -w)), "factor", "beta is dropped on the way back"),
        Slip(
            backward_with(lambda w, beta: (-w, beta * w)), "sign", "the KL has the wrong sign: dkl = -beta dobjective"
        ),
        Slip(
            backward_with(lambda w, beta: (w, beta * w)),
            "sign",
            "all gradients have the wrong sign: these are the gradients of a loss",
        ),
        Slip(
            backward_with(lambda w, beta: (-w / B, -beta * w)),
            "factor",
            "the nll is divided by B and the KL is not: the weights of the examples are in dobjective",
        ),
        Slip(
            backward_with(lambda w, beta: (-w, -beta * w / B)),
            "factor",
            "the KL is divided by B and the nll is not: the weights of the examples are in dobjective",
        ),
        Slip(
            backward_with(lambda w, beta: (-w, -beta * np.ones_like(w))),
            "elementwise-factor",
            "the KL's part is the same whatever dobjective is",
        ),
        Slip(
            backward_with(fork=lambda m, mk, v, vk: (m, v)),
            "missing-term",
            "the KL has no part in dmu and dlogvar; of two dicts that are joined, the later replaces the first",
        ),
        Slip(
            backward_with(fork=lambda m, mk, v, vk: (mk, vk)),
            "missing-term",
            "what comes through z is missing; of two dicts that are joined, the later replaces the first",
        ),
        Slip(backward_with(fork=lambda m, mk, v, vk: (m + mk, v)), "missing-term", "dlogvar lacks the KL's part"),
        Slip(backward_with(fork=lambda m, mk, v, vk: (m, v + vk)), "missing-term", "dmu lacks the KL's part"),
        Slip(backward_with(fork=lambda m, mk, v, vk: (mk, v + vk)), "missing-term", "dmu lacks what comes through z"),
        Slip(
            backward_with(fork=lambda m, mk, v, vk: ((m + mk) / 2, (v + vk) / 2)),
            "factor",
            "a mean is taken of the two paths: at a fork gradients add",
        ),
        Slip(
            backward_with(fork=lambda m, mk, v, vk: (m + mk, vk)),
            "missing-term",
            "dlogvar lacks what comes through z",
        ),
        Slip(
            backward_with(eps=lambda eps: np.random.default_rng(0).standard_normal(eps.shape)),
            "noise-redrawn",
            "eps is drawn again on the way back: the noise of the forward pass is in the cache",
        ),
    ),
)
BACKWARD = without_dice(
    BACKWARD,
    "two calls with the same arguments differ: the noise of the forward pass is in the cache, and none is drawn here",
)
