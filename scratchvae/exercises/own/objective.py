"""The objective: everything from an example to its ELBO.

Sizes: B batch, D pixels, H hidden units, Z latents.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, named
from scratchvae.exercises.own import oracle
from scratchvae.exercises.own.halves import decode, encode, reparameterize
from scratchvae.exercises.own.kl import kl_to_prior
from scratchvae.exercises.own.likelihood import bernoulli_nll
from scratchvae.exercises.own.oracle import B, D, Z, bits, drawn_params
from scratchvae.exercises.own.told import without_dice

BETA = 0.7


def forward(params, x, eps, beta):
    """From images to the objective -nll - beta kl, (B,): a dict of all on the way to it.

    x (B, D), eps (B, Z) -> {"x": x, "eps": eps, ...} with the names
    x, eps, h, mu, logvar, z, g, logits, nll, kl, objective.
    """
    mu, logvar, h = encode(params, x)
    z = reparameterize(mu, logvar, eps)
    logits, g = decode(params, z)
    nll = bernoulli_nll(x, logits)
    kl = kl_to_prior(mu, logvar)
    cache = {"x": x, "eps": eps, "h": h, "mu": mu, "logvar": logvar}
    cache |= {"z": z, "g": g, "logits": logits}
    return cache | {"nll": nll, "kl": kl, "objective": -nll - beta * kl}


def forward_by_the_library(params: Any, x: Any, eps: Any, beta: float) -> dict[str, Any]:
    terms, _ = oracle.library(params).objective(x, eps, beta)
    return {**oracle.everything(params, x, eps, beta), "nll": terms.nll, "kl": terms.kl, "objective": terms.objective}


def forward_with(change: Callable[..., dict[str, Any]]) -> Callable[..., Any]:
    """A wrong answer: the right one, with what change(it, beta) says instead."""

    def answer(params: Any, x: Any, eps: Any, beta: float) -> dict[str, Any]:
        right = oracle.everything(params, x, eps, beta)
        return {**right, **change(right, beta)}

    return answer


def at_the_mean(params: Any, x: Any, eps: Any, beta: float) -> dict[str, Any]:
    return {**oracle.everything(params, x, 0 * eps, beta), "eps": eps}


def swapped_in_nll(params: Any, x: Any, eps: Any, beta: float) -> dict[str, Any]:
    c = oracle.everything(params, x, eps, beta)
    nll = (np.logaddexp(0, x) - x * c["logits"]).sum(axis=1)
    return {**c, "nll": nll, "objective": -nll - beta * c["kl"]}


FORWARD = named(
    forward,
    forward_by_the_library,
    lambda rng: (drawn_params(rng), bits(rng), rng.standard_normal((B, Z)), BETA),
    (
        "Every part is there already. Which of your functions come one after the other, and what does each need of "
        "the ones before it?",
        "mu, logvar, h from x; z from mu, logvar, eps; logits, g from z; nll, kl; objective = -nll - beta kl",
        'mu, logvar, h = encode(params, x), ..., and return {"x": x, "eps": eps, ..., "objective": ...}',
    ),
    (
        Slip(
            forward_with(lambda c, beta: {"objective": c["nll"] + beta * c["kl"]}),
            "sign",
            "objective has the wrong sign: this is a loss, and the objective is to be large",
        ),
        Slip(
            forward_with(lambda c, beta: {"objective": -c["nll"] - c["kl"]}),
            "factor",
            "objective: beta is dropped",
        ),
        Slip(
            forward_with(lambda c, beta: {"objective": -beta * (c["nll"] + c["kl"])}),
            "factor",
            "objective: beta stands before both terms, and belongs to the KL alone",
        ),
        Slip(
            forward_with(lambda c, beta: {"objective": -beta * c["nll"] - c["kl"]}),
            "factor",
            "objective: beta stands before nll, and belongs to the KL",
        ),
        Slip(forward_with(lambda c, beta: {"objective": -c["nll"]}), "missing-term", "objective: the KL is missing"),
        Slip(
            forward_with(lambda c, beta: {"objective": -c["nll"] + beta * c["kl"]}),
            "sign",
            "objective: the KL is added, and it is what a code costs",
        ),
        Slip(
            forward_with(lambda c, beta: {"objective": (-c["nll"] - beta * c["kl"]).mean()}),
            "shape",
            "objective is a mean over the batch: a number for each example, (B,)",
        ),
        Slip(
            forward_with(lambda c, beta: {"kl": beta * c["kl"]}),
            "factor",
            "kl has beta in it: kl is in nats, and beta comes in the objective alone",
        ),
        Slip(
            forward_with(lambda c, beta: {"kl": beta * c["kl"], "objective": -c["nll"] - beta**2 * c["kl"]}),
            "factor",
            "beta is there twice, in kl and in objective: kl is in nats, without it",
        ),
        Slip(
            forward_with(lambda c, beta: {"objective": -c["nll"] - beta * c["kl"] / Z}),
            "factor",
            "objective: the KL is divided by the number of latents, a beta that nobody has asked for",
        ),
        Slip(
            forward_with(lambda c, beta: {"objective": -c["nll"] / D - beta * c["kl"]}),
            "factor",
            "objective: nll is divided by the number of pixels, and the KL is not",
        ),
        Slip(
            forward_with(lambda c, beta: {"objective": c["nll"] - beta * c["kl"]}),
            "sign",
            "objective: nll is added, and it is what the pixels cost",
        ),
        Slip(
            forward_with(lambda c, beta: {"objective": (-c["nll"] - beta * c["kl"]).sum()}),
            "shape",
            "objective is a sum over the batch: a number for each example, (B,)",
        ),
        Slip(
            forward_with(lambda c, beta: {"h": c["g"], "g": c["h"]}),
            "transpose",
            "h and g are swapped: h is the encoder's hidden layer, g the decoder's",
        ),
        Slip(
            forward_with(lambda c, beta: {"logits": 1 / (1 + np.exp(-c["logits"]))}),
            "unknown",
            "logits holds the probabilities: bernoulli_nll and its backward want the logits",
        ),
        Slip(swapped_in_nll, "transpose", "nll: bernoulli_nll gets x first, and then the logits"),
        Slip(at_the_mean, "missing-term", "z is mu: the decoder should see the draw"),
    ),
)
FORWARD = without_dice(
    FORWARD, "two calls with the same arguments differ: the noise is handed in, as eps, and none is drawn here"
)
