"""Adam, and its usual slips."""

import numpy as np

from scratchvae.checks.optimizer.rules import Family, Run, Slip, before, memory


def adam(m: np.ndarray, v: np.ndarray, tiny: float) -> np.ndarray:
    return m / (np.sqrt(v) + tiny)


def corrected(r: Run, t: np.ndarray) -> np.ndarray:
    """With the bias correction of another step t."""
    return adam(r.m / (1 - r.beta1**t), r.v / (1 - r.beta2**t), r.tiny)


def nesterov(r: Run) -> np.ndarray:
    return r.beta1 * r.m_hat + (1 - r.beta1) * r.g / (1 - r.beta1**r.t)


def swapped_betas(r: Run) -> np.ndarray:
    other = r._replace(beta1=r.beta2, beta2=r.beta1)
    return adam(other.m_hat, other.v_hat, r.tiny)


def stored(a: np.ndarray, beta: float, t: np.ndarray) -> np.ndarray:
    """A running average that is corrected for its bias and kept so."""
    out, m = np.empty_like(a), np.zeros_like(a[0])
    for i, row in enumerate(a):
        m = (beta * m + (1 - beta) * row) / (1 - beta ** t[i])
        out[i] = m
    return out


def with_square(r: Run, square: np.ndarray) -> np.ndarray:
    """Where v averages something else than grad^2."""
    return adam(r.m_hat, np.abs(memory(square, r.beta2)) * (1 - r.beta2) / (1 - r.beta2**r.t), r.tiny)


ADAM = Family(
    "Adam",
    ("beta1", "beta2", "tiny"),
    lambda r: adam(r.m_hat, r.v_hat, r.tiny),
    "param -= lr * m_hat / (sqrt(v_hat) + tiny), with m_hat = m / (1 - beta1^t) and v_hat = v / (1 - beta2^t)",
    (
        Slip("the bias correction of m and v is missing", lambda r: adam(r.m, r.v, r.tiny), "factor"),
        Slip("the bias correction of m is missing", lambda r: adam(r.m, r.v_hat, r.tiny), "factor"),
        Slip("the bias correction of v is missing", lambda r: adam(r.m_hat, r.v, r.tiny), "factor"),
        Slip("the bias correction counts one step too many", lambda r: corrected(r, r.t + 1), "factor"),
        Slip("the step count of the bias correction stays at 1", lambda r: corrected(r, np.ones_like(r.t)), "factor"),
        Slip(
            "the bias correction of m divides by 1 - beta1 in all steps, where 1 - beta1^t belongs",
            lambda r: adam(r.m / (1 - r.beta1), r.v_hat, r.tiny),
            "factor",
        ),
        Slip(
            "the bias correction of v divides by 1 - beta2 in all steps, where 1 - beta2^t belongs",
            lambda r: adam(r.m_hat, r.v / (1 - r.beta2), r.tiny),
            "factor",
        ),
        Slip(
            "the bias correction is divided by t, not taken to its power",
            lambda r: adam(r.m / (1 - r.beta1 * r.t), r.v / (1 - r.beta2 * r.t), r.tiny),
            "factor",
        ),
        Slip(
            "the bias corrections have changed places: m is divided by 1 - beta2^t, v by 1 - beta1^t",
            lambda r: adam(r.m / (1 - r.beta2**r.t), r.v / (1 - r.beta1**r.t), r.tiny),
            "transpose",
        ),
        Slip(
            "v is corrected with beta1^t, which belongs to m",
            lambda r: adam(r.m_hat, r.v / (1 - r.beta1**r.t), r.tiny),
            "factor",
        ),
        Slip(
            "m is corrected with beta2^t, which belongs to v",
            lambda r: adam(r.m / (1 - r.beta2**r.t), r.v_hat, r.tiny),
            "factor",
        ),
        Slip(
            "the bias correction takes (1 - beta)^t, where 1 - beta^t belongs",
            lambda r: adam(r.m / (1 - r.beta1) ** r.t, r.v / (1 - r.beta2) ** r.t, r.tiny),
            "factor",
        ),
        Slip(
            "the bias correction multiplies, where it should divide",
            lambda r: adam(r.m * (1 - r.beta1**r.t), r.v * (1 - r.beta2**r.t), r.tiny),
            "elementwise-factor",
        ),
        Slip(
            "the bias correction of m multiplies, where it should divide",
            lambda r: adam(r.m * (1 - r.beta1**r.t), r.v_hat, r.tiny),
            "factor",
        ),
        Slip(
            "the bias correction of v multiplies, where it should divide",
            lambda r: adam(r.m_hat, r.v * (1 - r.beta2**r.t), r.tiny),
            "factor",
        ),
        Slip(
            "from step 2 on the bias correction counts one step too few",
            lambda r: corrected(r, np.maximum(1, r.t - 1)),
            "factor",
        ),
        Slip(
            "m and v are kept with their bias correction, so that the next step corrects them again",
            lambda r: adam(stored(r.g, r.beta1, r.t), stored(r.g**2, r.beta2, r.t), r.tiny),
        ),
        Slip("v averages m^2, not grad^2", lambda r: with_square(r, r.m**2), "elementwise-factor"),
        Slip("v averages grad * m, not grad^2", lambda r: with_square(r, r.g * r.m), "elementwise-factor"),
        Slip("v averages (grad - m)^2 (it is AdaBelief)", lambda r: with_square(r, (r.g - r.m) ** 2)),
        Slip(
            "tiny is added to the quotient, where it belongs to the divisor",
            lambda r: r.m_hat / np.sqrt(r.v_hat) + r.tiny,
        ),
        Slip(
            "v keeps its largest value (it is AMSGrad)",
            lambda r: adam(r.m_hat, np.maximum.accumulate(r.v_hat), r.tiny),
        ),
        Slip("tiny stands inside the root", lambda r: r.m_hat / np.sqrt(r.v_hat + r.tiny), "elementwise-factor"),
        Slip(
            "tiny stands inside the root, and is corrected for bias",
            lambda r: r.m_hat / np.sqrt((r.v + r.tiny) / (1 - r.beta2**r.t)),
            "elementwise-factor",
        ),
        Slip(
            "tiny is added before the bias correction of v",
            lambda r: adam(r.m_hat, r.v, r.tiny) * np.sqrt(1 - r.beta2**r.t),
            "elementwise-factor",
        ),
        Slip("tiny is missing", lambda r: adam(r.m_hat, r.v_hat, 0.0), "elementwise-factor"),
        Slip("m and v have changed places", lambda r: r.v_hat / (np.sqrt(np.abs(r.m_hat)) + r.tiny), "transpose"),
        Slip("beta1 and beta2 have changed places", swapped_betas, "transpose"),
        Slip("the root of v is missing", lambda r: r.m_hat / (r.v_hat + r.tiny), "elementwise-factor"),
        Slip(
            "v averages |grad|, not its square",
            lambda r: adam(r.m_hat, memory(np.abs(r.g), r.beta2) * (1 - r.beta2) / (1 - r.beta2**r.t), r.tiny),
            "elementwise-factor",
        ),
        Slip(
            "v averages |grad|, and its root is not taken",
            lambda r: r.m_hat / (memory(np.abs(r.g), r.beta2) * (1 - r.beta2) / (1 - r.beta2**r.t) + r.tiny),
            "elementwise-factor",
        ),
        Slip("m is the gradient alone: no momentum", lambda r: adam(r.g, r.v_hat, r.tiny)),
        Slip(
            "m forgets all but the last gradient",
            lambda r: adam((1 - r.beta1) * r.g / (1 - r.beta1**r.t), r.v_hat, r.tiny),
        ),
        Slip(
            "v forgets all but the last square",
            lambda r: adam(r.m_hat, (1 - r.beta2) * r.g**2 / (1 - r.beta2**r.t), r.tiny),
        ),
        Slip("v is the last square alone", lambda r: adam(r.m_hat, r.g**2, r.tiny)),
        Slip(
            "the gradient enters m without 1 - beta1",
            lambda r: adam(r.m_hat / (1 - r.beta1), r.v_hat, r.tiny),
            "factor",
        ),
        Slip(
            "the square enters v without 1 - beta2", lambda r: adam(r.m_hat, r.v_hat / (1 - r.beta2), r.tiny), "factor"
        ),
        Slip(
            "gradient and square enter without 1 - beta",
            lambda r: adam(r.m_hat / (1 - r.beta1), r.v_hat / (1 - r.beta2), r.tiny),
            "factor",
        ),
        Slip(
            "beta1 and 1 - beta1 have changed places",
            lambda r: adam(memory(r.g, 1 - r.beta1) * r.beta1 / (1 - r.beta1**r.t), r.v_hat, r.tiny),
            "transpose",
        ),
        Slip("it is Nesterov's momentum, which looks one step ahead", lambda r: adam(nesterov(r), r.v_hat, r.tiny)),
        Slip("m is not divided by the root of v", lambda r: r.m_hat, "elementwise-factor"),
        Slip(
            "m and v are used before the new gradient enters",
            lambda r: adam(before(r.m) / (1 - r.beta1**r.t), before(r.v) / (1 - r.beta2**r.t), r.tiny),
        ),
        Slip("the root of v_hat takes in tiny alone: v is missing", lambda r: r.m_hat / (1 + r.tiny)),
    ),
)
