"""The way back to every weight.

Sizes: B batch, D pixels, H hidden units, Z latents.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchvae.exercises.blank import Slip, named
from scratchvae.exercises.own import oracle
from scratchvae.exercises.own.layers import dense_backward, tanh_backward
from scratchvae.exercises.own.objective import BETA
from scratchvae.exercises.own.oracle import B, D, Z, bits, drawn_params

# in the order of the way back, so that the first wrong one is where it begins
DECODER = ("logits.W", "logits.b", "decoder.0.W", "decoder.0.b")
ENCODER = ("mu.W", "mu.b", "logvar.W", "logvar.b", "encoder.0.W", "encoder.0.b")


def decoder_backward(dlogits, params, cache):
    """Back through the decoder, from dlogits (B, D): dz (B, Z), and a dict of four gradients.

    cache is what forward has returned; the names in the dict are those of params.
    """
    g, W, grads = cache["g"], params["decoder.0.W"], {}
    dg, grads["logits.W"], grads["logits.b"] = dense_backward(dlogits, g, params["logits.W"])
    da = tanh_backward(dg, g)
    dz, grads["decoder.0.W"], grads["decoder.0.b"] = dense_backward(da, cache["z"], W)
    return dz, grads


def drawn_cache(rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    params = drawn_params(rng)
    return params, oracle.everything(params, bits(rng), rng.standard_normal((B, Z)), BETA)


def decoder_by_steps(dlogits: Any, params: Any, cache: Any) -> dict[str, np.ndarray]:
    return oracle.slopes(
        lambda at: (dlogits * oracle.pixels(at, at["dz"])[0]).sum(), {**params, "dz": cache["z"]}, (*DECODER, "dz")
    )


def decoder_with(
    slope: Callable[..., Any] = lambda g: 1 - g**2, dW: float = 1, db: Any = lambda d: d.sum(axis=0), before: Any = None
) -> Callable[..., Any]:
    """A wrong answer: with another slope of tanh, factor of the dW, sum in the db, or input of the logits."""

    def answer(dlogits: Any, params: Any, cache: Any) -> Any:
        g = cache["g"]
        da = dlogits @ params["logits.W"].T * slope(g)
        grads = {"logits.W": dW * g.T @ dlogits, "logits.b": db(dlogits)}
        if before is not None:
            grads["logits.W"] = before(g).T @ dlogits
        return da @ params["decoder.0.W"].T, {**grads, "decoder.0.W": dW * cache["z"].T @ da, "decoder.0.b": db(da)}

    return answer


def decoder_of(
    read: str = "g", at: str = "g", z: str = "z", dlogits_too: bool = False, turned: bool = False
) -> Callable[..., Any]:
    """A wrong answer: other names of the cache, a tanh too many, or the two arguments of tanh_backward swapped."""

    def answer(dlogits: Any, params: Any, cache: Any) -> Any:
        d = tanh_backward(dlogits, cache["logits"]) if dlogits_too else dlogits
        dg, dW, db = dense_backward(d, cache[read], params["logits.W"])
        da = tanh_backward(cache[at], dg) if turned else tanh_backward(dg, cache[at])
        dz, dW_0, db_0 = dense_backward(da, cache[z], params["decoder.0.W"])
        return dz, {"logits.W": dW, "logits.b": db, "decoder.0.W": dW_0, "decoder.0.b": db_0}

    return answer


def without_dz(dlogits: Any, params: Any, cache: Any) -> Any:
    return decoder_with()(dlogits, params, cache)[1]


DECODER_BACKWARD = named(
    decoder_backward,
    decoder_by_steps,
    lambda rng: (rng.standard_normal((B, D)), *drawn_cache(rng)),
    (
        "The decoder ran z, dense, tanh to g, dense to logits. In which order does the gradient meet them, and what "
        "did each dense layer read?",
        "dg, dW_l, db_l from dlogits and g; da = dg (1 - g^2); dz, dW_1, db_1 from da and z",
        'dg, grads["logits.W"], grads["logits.b"] = dense_backward(dlogits, cache["g"], ...), a tanh, and once more',
    ),
    (
        Slip(decoder_with(slope=np.ones_like), "elementwise-factor", "the slope of tanh is forgotten"),
        Slip(
            decoder_with(slope=lambda g: 1 - np.tanh(g) ** 2),
            "elementwise-factor",
            "the slope of tanh is taken at g: tanh_backward wants g itself, the output",
        ),
        Slip(
            decoder_with(dW=1 / B, db=lambda d: d.mean(axis=0)),
            "factor",
            "the gradients of the weights are divided by B: the weights of the examples are in dlogits",
        ),
        Slip(decoder_with(db=lambda d: d), "batch-sum", "the gradients of the biases are not summed over the batch"),
        Slip(
            decoder_with(before=np.arctanh),
            "unknown",
            "logits.W: its layer has read g after the tanh",
        ),
        Slip(decoder_of(read="h"), "unknown", "logits.W: its layer has read g; h is the encoder's"),
        Slip(decoder_of(at="h"), "unknown", "the slope of tanh is taken at h, the encoder's: here it is that at g"),
        Slip(decoder_of(read="h", at="h"), "unknown", "h stands for g: h is the encoder's hidden layer"),
        Slip(decoder_of(z="mu"), "unknown", "decoder.0.W: its layer has read z, the draw, and not mu"),
        Slip(
            decoder_of(dlogits_too=True),
            "elementwise-factor",
            "there is a slope of tanh at the logits: the last layer has no tanh behind it",
        ),
        Slip(decoder_of(turned=True), "transpose", "tanh_backward gets dg first, and then g"),
        Slip(without_dz, "shape", "dz is missing: return dz, grads"),
    ),
    first="dz",
)


def encoder_backward(dmu, dlogvar, params, cache):
    """Back through the encoder, from dmu (B, Z) and dlogvar (B, Z): a dict of six gradients.

    Nobody trains x, so no dx is returned.
    """
    h, W, grads = cache["h"], params["encoder.0.W"], {}
    W_mu, W_logvar = params["mu.W"], params["logvar.W"]
    dh_mu, grads["mu.W"], grads["mu.b"] = dense_backward(dmu, h, W_mu)
    dh_logvar, grads["logvar.W"], grads["logvar.b"] = dense_backward(dlogvar, h, W_logvar)
    da = tanh_backward(dh_mu + dh_logvar, h)
    _, grads["encoder.0.W"], grads["encoder.0.b"] = dense_backward(da, cache["x"], W)
    return grads


def encoder_by_steps(dmu: Any, dlogvar: Any, params: Any, cache: Any) -> dict[str, np.ndarray]:
    def s(at: Any) -> Any:
        mu, logvar, _ = oracle.heads(at, cache["x"])
        return (dmu * mu).sum() + (dlogvar * logvar).sum()

    return oracle.slopes(s, params, ENCODER)


def encoder_with(fork: Callable[..., Any], slope: Callable[..., Any] = lambda h: 1 - h**2, mean: bool = False) -> Any:
    """A wrong answer, from what comes through each head; with another slope of tanh; with means over the batch."""

    def answer(dmu: Any, dlogvar: Any, params: Any, cache: Any) -> dict[str, Any]:
        h, n = cache["h"], B if mean else 1
        da = fork(dmu @ params["mu.W"].T, dlogvar @ params["logvar.W"].T) * slope(h)
        sides = {"mu": (h, dmu), "logvar": (h, dlogvar), "encoder.0": (cache["x"], da)}
        weights = {f"{name}.W": x.T @ d / n for name, (x, d) in sides.items()}
        return weights | {f"{name}.b": d.sum(axis=0) / n for name, (_, d) in sides.items()}

    return answer


ENCODER_BACKWARD = named(
    encoder_backward,
    encoder_by_steps,
    lambda rng: (*rng.standard_normal((2, B, Z)), *drawn_cache(rng)),
    (
        "h is read by two heads. What happens to their gradients at h? What is between h and the first layer?",
        "dh = dh through mu + dh through logvar; da = dh (1 - h^2); then dW and db of the first layer from da and x",
        "dense_backward for each head, tanh_backward of the sum of both dh, dense_backward with the x of the cache",
    ),
    (
        Slip(encoder_with(lambda m, v: m), "missing-term", "what comes through logvar is missing at h"),
        Slip(encoder_with(lambda m, v: v), "missing-term", "what comes through mu is missing at h"),
        Slip(encoder_with(lambda m, v: m - v), "sign", "one is subtracted from the other: at a fork gradients add"),
        Slip(encoder_with(lambda m, v: m * v), "elementwise-factor", "the two are multiplied: at a fork gradients add"),
        Slip(encoder_with(lambda m, v: (m + v) / 2), "factor", "this is a mean of the two: at a fork gradients add"),
        Slip(
            encoder_with(lambda m, v: m + v, slope=np.ones_like),
            "elementwise-factor",
            "the slope of the encoder's tanh is forgotten",
        ),
        Slip(
            lambda dmu, dlogvar, params, cache: encoder_with(lambda m, v: m + v, lambda h: 1 - cache["g"] ** 2)(
                dmu, dlogvar, params, cache
            ),
            "unknown",
            "the slope of tanh is taken at g, the decoder's: here it is that at h",
        ),
        Slip(
            lambda dmu, dlogvar, params, cache: encoder_backward(dmu + dlogvar, dmu + dlogvar, params, cache),
            "unknown",
            "dmu and dlogvar are added before the heads: each goes through its own, and they add at h",
        ),
        Slip(
            lambda dmu, dlogvar, params, cache: encoder_backward(dlogvar, dmu, params, cache),
            "transpose",
            "dmu and dlogvar are swapped",
        ),
        Slip(
            lambda dmu, dlogvar, params, cache: encoder_backward(
                dmu, dlogvar, {**params, "logvar.W": params["mu.W"]}, cache
            ),
            "unknown",
            "what comes through logvar meets the W of mu: a line that was copied?",
        ),
        Slip(
            encoder_with(lambda m, v: m + v, mean=True),
            "factor",
            "all are divided by B: the weights of the examples are in dmu and dlogvar",
        ),
    ),
)
