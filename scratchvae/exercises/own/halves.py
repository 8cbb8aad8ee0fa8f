"""Encoder, draw and decoder.

Sizes: B batch, D pixels, H hidden units, Z latents.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, value
from scratchvae.exercises.own import oracle
from scratchvae.exercises.own.layers import dense
from scratchvae.exercises.own.oracle import B, Z, bits, drawn_params
from scratchvae.exercises.own.told import in_a_row, source_first


def encode(params, x):
    """q(z|x), and the hidden layer h: x (B, D) -> mu (B, Z), logvar (B, Z), h (B, H)."""
    h = np.tanh(dense(x, params["encoder.0.W"], params["encoder.0.b"]))
    mu = dense(h, params["mu.W"], params["mu.b"])
    logvar = dense(h, params["logvar.W"], params["logvar.b"])
    return mu, logvar, h


def encoder_like(mix: Callable[..., Any]) -> Callable[..., Any]:
    """A wrong answer, from what comes before the tanh and a head W(name, h)."""
    return lambda params, x: mix(
        oracle.layer(params, "encoder.0", x), lambda name, h: oracle.layer(params, name, h), params
    )


def encoder_above(mix: Callable[..., Any]) -> Callable[..., Any]:
    """The same, from the right h."""
    return encoder_like(lambda a, head, params: mix(np.tanh(a), head, params))


ENCODE = value(
    encode,
    lambda params, x: dict(
        zip(("mu", "logvar", "h"), (*oracle.library(params).encode(x)[:2], oracle.heads(params, x)[2]), strict=True)
    ),
    lambda rng: (drawn_params(rng), bits(rng)),
    (
        "Three dense layers: which one has a tanh behind it, and what do the other two read?",
        "h = tanh(x W_0 + b_0), mu = h W_mu + b_mu, logvar = h W_logvar + b_logvar",
        'h = np.tanh(dense(x, params["encoder.0.W"], ...)), then dense(h, ...) for mu and for logvar',
    ),
    (
        Slip(
            encoder_like(lambda a, head, p: (head("mu", a), head("logvar", a), a)),
            "missing-term",
            "the tanh is missing: without it two layers are no more than one",
        ),
        Slip(
            encoder_like(lambda a, head, p: (head("logvar", np.tanh(a)), head("mu", np.tanh(a)), np.tanh(a))),
            "transpose",
            "mu and logvar are swapped",
        ),
        Slip(
            encoder_like(lambda a, head, p: (head("mu", np.tanh(a)), head("mu", np.tanh(a)), np.tanh(a))),
            "unknown",
            "both heads have the weights of mu",
        ),
        Slip(
            encoder_like(
                lambda a, head, p: (np.tanh(head("mu", np.tanh(a))), np.tanh(head("logvar", np.tanh(a))), np.tanh(a))
            ),
            "unknown",
            "the heads have a tanh, too: then no mean could lie beyond 1",
        ),
        Slip(
            encoder_above(lambda h, head, p: (head("mu", h), np.exp(head("logvar", h) / 2), h)),
            "unknown",
            "the second value is sigma: the head gives log sigma^2, and whoever needs sigma makes it of that",
        ),
        Slip(
            encoder_above(lambda h, head, p: (head("mu", h), head("logvar", h) - p["logvar.b"] + p["mu.b"], h)),
            "unknown",
            "logvar has the bias of mu: a line that was copied?",
        ),
        Slip(
            encoder_above(lambda h, head, p: (head("mu", h), head("mu", h) - p["mu.b"] + p["logvar.b"], h)),
            "unknown",
            "logvar has the W of mu: a line that was copied?",
        ),
        Slip(
            encoder_like(lambda a, head, p: (head("mu", np.tanh(a)), np.exp(head("logvar", np.tanh(a))), np.tanh(a))),
            "unknown",
            "the second value is the variance: the head gives its logarithm, and whoever needs it takes exp",
        ),
        Slip(
            encoder_like(
                lambda a, head, p: (
                    head("mu", np.tanh(a - p["encoder.0.b"])),
                    head("logvar", np.tanh(a - p["encoder.0.b"])),
                    np.tanh(a - p["encoder.0.b"]),
                )
            ),
            "missing-term",
            "the hidden layer has no bias",
        ),
        Slip(
            encoder_above(lambda h, head, p: (h @ p["mu.W"], h @ p["logvar.W"], h)),
            "missing-term",
            "the heads have no bias",
        ),
        Slip(
            encoder_above(lambda h, head, p: (h, head("mu", h), head("logvar", h))),
            "transpose",
            "h comes last: the order is mu, logvar, h",
        ),
        Slip(
            encoder_like(
                lambda a, head, p: (head("mu", np.maximum(a, 0)), head("logvar", np.maximum(a, 0)), np.maximum(a, 0))
            ),
            "unknown",
            "this is a relu: the hidden layer of this page has a tanh",
        ),
        Slip(
            encoder_like(lambda a, head, p: (head("mu", a), head("logvar", a), np.tanh(a))),
            "missing-term",
            "the heads read what comes before the tanh: they belong behind it",
        ),
        Slip(
            encoder_like(lambda a, head, p: (head("mu", np.tanh(a)), head("logvar", np.tanh(a)), a)),
            "missing-term",
            "h is given before its tanh: the backward pass needs what comes after it",
        ),
    ),
)
ENCODE = in_a_row(source_first(ENCODE, "h", "mu", "logvar"), "mu", "logvar", "h")


def reparameterize(mu, logvar, eps):
    """The draw z ~ N(mu, sigma^2), made from the noise eps: (B, Z) each -> (B, Z)."""
    return mu + np.exp(logvar / 2) * eps


REPARAMETERIZE = value(
    reparameterize,
    lambda mu, logvar, eps: {"z": mu + np.sqrt(np.exp(logvar)) * eps},
    lambda rng: tuple(rng.standard_normal((3, B, Z))),
    (
        "logvar is the logarithm of sigma squared. What is sigma?",
        "z = mu + sigma eps, with sigma = exp(logvar / 2)",
        "mu + np.exp(...) * eps",
    ),
    (
        Slip(
            lambda m, v, e: m + np.exp(v) * e,
            "elementwise-factor",
            "the variance stands where the standard deviation belongs",
        ),
        Slip(
            lambda m, v, e: m + np.exp(v) / 2 * e,
            "elementwise-factor",
            "half the variance stands where sigma belongs: the half is in the exponent",
        ),
        Slip(
            lambda m, v, e: m + np.exp(-v / 2) * e,
            "elementwise-factor",
            "this is 1 / sigma: a large logvar should spread the draws",
        ),
        Slip(lambda m, v, e: m + np.sqrt(v) * e, "non-finite", "logvar may be negative: it is no variance"),
        Slip(lambda m, v, e: m + v * e, "elementwise-factor", "logvar is taken for sigma: it may even be negative"),
        Slip(lambda m, v, e: m + e, "elementwise-factor", "sigma is missing: every latent has the same spread"),
        Slip(lambda m, v, e: m + np.exp(v / 2), "elementwise-factor", "eps is missing: nothing is drawn"),
        Slip(
            lambda m, v, e: m * e + np.exp(v / 2),
            "elementwise-factor",
            "eps is at the wrong place: what spreads is sigma, and mu is where the middle is",
        ),
        Slip(
            lambda m, v, e: (m + e) * np.exp(v / 2),
            "elementwise-factor",
            "mu is multiplied by sigma, too: the middle of the draws is mu",
        ),
        Slip(lambda m, v, e: m + np.exp(2 * v) * e, "elementwise-factor", "this is sigma to the fourth: take the root"),
        Slip(lambda m, v, e: m - np.exp(v / 2) * e, "sign", "eps has the wrong sign: it is a draw, but not this one"),
        Slip(lambda m, v, e: m + np.exp(v / 2) * e[:1], "batch-sum", "all examples share the noise of the first"),
        Slip(lambda m, v, e: m + np.exp(v / 2) * e[:, :1], "unknown", "all latents share the noise of the first"),
        Slip(lambda m, v, e: m, "zero", "this is the mean: the noise has no influence"),
    ),
)


def decode(params, z):
    """The logits of p(x|z), and the hidden layer g: z (B, Z) -> logits (B, D), g (B, H)."""
    g = np.tanh(dense(z, params["decoder.0.W"], params["decoder.0.b"]))
    return dense(g, params["logits.W"], params["logits.b"]), g


def decoder_like(mix: Callable[..., Any]) -> Callable[..., Any]:
    """A wrong answer, from what comes before the tanh and the last layer."""
    return lambda params, z: mix(
        oracle.layer(params, "decoder.0", z), lambda g: oracle.layer(params, "logits", g), params
    )


DECODE = value(
    decode,
    lambda params, z: {"logits": oracle.library(params).decode(z)[0], "g": oracle.pixels(params, z)[1]},
    lambda rng: (drawn_params(rng), rng.standard_normal((B, Z))),
    (
        "The encoder turned round: which layer has a tanh? And what is a logit, before any sigmoid?",
        "g = tanh(z W_1 + b_1), logits = g W_l + b_l",
        'g = np.tanh(dense(z, params["decoder.0.W"], ...)), and dense(g, ...) beside it',
    ),
    (
        Slip(
            decoder_like(lambda a, last, p: (1 / (1 + np.exp(-last(np.tanh(a)))), np.tanh(a))),
            "unknown",
            "these are probabilities: the decoder gives logits, and the sigmoid comes later",
        ),
        Slip(
            decoder_like(lambda a, last, p: (last(a), a)),
            "missing-term",
            "the tanh is missing: without it the decoder is a straight map",
        ),
        Slip(
            decoder_like(lambda a, last, p: (np.tanh(last(np.tanh(a))), np.tanh(a))),
            "unknown",
            "there is a tanh behind the logits: then no probability could be above 73 %",
        ),
        Slip(
            decoder_like(lambda a, last, p: (last(np.tanh(a)) - p["logits.b"], np.tanh(a))),
            "missing-term",
            "the logits have no bias",
        ),
        Slip(
            decoder_like(lambda a, last, p: (last(np.tanh(a - p["decoder.0.b"])), np.tanh(a - p["decoder.0.b"]))),
            "missing-term",
            "the hidden layer has no bias",
        ),
        Slip(
            decoder_like(lambda a, last, p: (np.maximum(last(np.tanh(a)), 0), np.tanh(a))),
            "unknown",
            "there is a relu behind the logits: then no pixel could be darker than a coin",
        ),
        Slip(decoder_like(lambda a, last, p: (np.tanh(a), last(np.tanh(a)))), "transpose", "logits and g are swapped"),
        Slip(
            decoder_like(lambda a, last, p: (last(np.tanh(a)), a)),
            "missing-term",
            "g is given before its tanh: the backward pass needs what comes after it",
        ),
        Slip(
            decoder_like(lambda a, last, p: (last(np.maximum(a, 0)), np.maximum(a, 0))),
            "unknown",
            "this is a relu: the model of this page has a tanh",
        ),
    ),
)
DECODE = in_a_row(source_first(DECODE, "g", "logits"), "logits", "g")
