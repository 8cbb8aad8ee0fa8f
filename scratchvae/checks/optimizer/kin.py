"""The kin of Adam: Adamax, NAdam, AMSGrad, and their usual slips."""

from collections.abc import Callable

import numpy as np

from scratchvae.checks.optimizer.adam import adam
from scratchvae.checks.optimizer.rules import Family, Run, Slip, before, memory

Direction = Callable[[Run], np.ndarray]


def largest(a: np.ndarray, beta: float = 1.0, pick: Callable[..., np.ndarray] = np.maximum) -> np.ndarray:
    """u_t = the larger one of beta u_(t-1) and a_t."""
    out = a.copy()
    for t in range(1, len(a)):
        out[t] = pick(beta * out[t - 1], a[t])
    return out


def over(r: Run, u: np.ndarray) -> np.ndarray:
    """The step of Adamax, divided by another u."""
    return r.m_hat / (u + r.tiny)


def adamax(r: Run) -> np.ndarray:
    return over(r, norm(r))


def norm(r: Run) -> np.ndarray:
    return largest(np.abs(r.g), r.beta2)


OF_ADAMAX = (
    Slip("the bias correction of m is missing", lambda r: r.m / (norm(r) + r.tiny), "factor"),
    Slip("beta2 is missing in u, which never forgets", lambda r: over(r, largest(np.abs(r.g)))),
    Slip("u keeps the largest square, not the largest |grad|", lambda r: over(r, largest(r.g**2, r.beta2))),
    Slip("u keeps the smallest |grad|, not the largest", lambda r: over(r, largest(np.abs(r.g), r.beta2, np.minimum))),
    Slip("u is corrected for bias as well, which a maximum has not", lambda r: over(r, norm(r) / (1 - r.beta2**r.t))),
    Slip("u sums |grad|, and keeps no maximum", lambda r: over(r, memory(np.abs(r.g), r.beta2))),
    Slip("u is the last |grad| alone", lambda r: over(r, np.abs(r.g))),
    Slip("m is not divided by u", lambda r: r.m_hat, "elementwise-factor"),
    Slip("m is the gradient alone: no momentum", lambda r: r.g / (norm(r) + r.tiny)),
    Slip("it is Adam, which averages squares and keeps no maximum", lambda r: adam(r.m_hat, r.v_hat, r.tiny)),
    Slip("tiny is missing", lambda r: r.m_hat / norm(r)),
    Slip(
        "beta1 and beta2 have changed places",
        lambda r: adamax(r._replace(beta1=r.beta2, beta2=r.beta1)),
        "transpose",
    ),
)
ADAMAX = Family(
    "Adamax",
    ("beta1", "beta2", "tiny"),
    adamax,
    "u = max(beta2 * u, |grad|); param -= lr / (1 - beta1^t) * m / (u + tiny)",
    OF_ADAMAX,
)
ADAMAX_INSIDE = ADAMAX._replace(
    direction=lambda r: r.m_hat / largest(np.abs(r.g) + r.tiny, r.beta2),
    repair="u = max(beta2 * u, |grad| + tiny); param -= lr / (1 - beta1^t) * m / u",
)


def ahead(r: Run) -> np.ndarray:
    """What NAdam divides: m with the correction of the step after, and the gradient."""
    return r.beta1 * r.m / (1 - r.beta1 ** (r.t + 1)) + (1 - r.beta1) * r.g / (1 - r.beta1**r.t)


def plainly_ahead(r: Run) -> np.ndarray:
    return (r.beta1 * r.m + (1 - r.beta1) * r.g) / (1 - r.beta1**r.t)


def of_nadam(m: Direction) -> tuple[Slip, ...]:
    return (
        Slip("it is Adam, which does not look ahead", lambda r: adam(r.m_hat, r.v_hat, r.tiny)),
        Slip("it is not divided by the root of v_hat", m, "elementwise-factor"),
        Slip("the bias correction of v is missing", lambda r: adam(m(r), r.v, r.tiny), "factor"),
        Slip(
            "the bias correction of m is missing",
            lambda r: adam(r.beta1 * r.m + (1 - r.beta1) * r.g, r.v_hat, r.tiny),
            "factor",
        ),
        Slip("the root of v is missing", lambda r: m(r) / (r.v_hat + r.tiny), "elementwise-factor"),
        Slip("tiny stands inside the root", lambda r: m(r) / np.sqrt(r.v_hat + r.tiny), "elementwise-factor"),
        Slip(
            "the gradient is missing beside m",
            lambda r: adam(r.beta1 * r.m / (1 - r.beta1 ** (r.t + 1)), r.v_hat, r.tiny),
        ),
    )


NADAM = Family(
    "NAdam",
    ("beta1", "beta2", "tiny"),
    lambda r: adam(ahead(r), r.v_hat, r.tiny),
    "param -= lr * (beta1 * m / (1 - beta1^(t+1)) + (1 - beta1) * grad / (1 - beta1^t)) / (sqrt(v_hat) + tiny)",
    (
        *of_nadam(ahead),
        Slip(
            "m is corrected with beta1^t, where beta1^(t+1) belongs",
            lambda r: adam(plainly_ahead(r), r.v_hat, r.tiny),
            "factor",
        ),
    ),
)
NADAM_PLAIN = Family(
    "NAdam",
    ("beta1", "beta2", "tiny"),
    lambda r: adam(plainly_ahead(r), r.v_hat, r.tiny),
    "param -= lr * (beta1 * m_hat + (1 - beta1) * grad / (1 - beta1^t)) / (sqrt(v_hat) + tiny)",
    (
        *of_nadam(plainly_ahead),
        Slip(
            "m is corrected with beta1^(t+1), where beta1^t belongs",
            lambda r: adam(ahead(r), r.v_hat, r.tiny),
            "factor",
        ),
    ),
)


def max_in_v(r: Run) -> np.ndarray:
    """v that takes in its own maximum."""
    out, v = np.empty_like(r.g), np.zeros_like(r.g[0])
    for t, g in enumerate(r.g):
        v = np.maximum(v, r.beta2 * v + (1 - r.beta2) * g * g)
        out[t] = v
    return out


def of_amsgrad(kept: Direction) -> tuple[Slip, ...]:
    return (
        Slip("there is no maximum: it is Adam", lambda r: adam(r.m_hat, r.v_hat, r.tiny)),
        Slip("the smallest v is kept, not the largest", lambda r: smallest(r)),
        Slip(
            "the maximum is taken with v of the step before alone: it is not kept",
            lambda r: adam(r.m_hat, np.maximum(before(r.v_hat), r.v_hat), r.tiny),
        ),
        Slip(
            "the maximum is written into v, and averaged on: it needs an array of its own",
            lambda r: adam(r.m_hat, max_in_v(r) / (1 - r.beta2**r.t), r.tiny),
        ),
        Slip("the root of v is missing", lambda r: r.m_hat / (kept(r) + r.tiny), "elementwise-factor"),
        Slip("the bias correction of m is missing", lambda r: adam(r.m, kept(r), r.tiny), "factor"),
        Slip("the bias correction of v is missing", lambda r: adam(r.m_hat, largest(r.v), r.tiny), "factor"),
        Slip("the bias correction of m and v is missing", lambda r: adam(r.m, largest(r.v), r.tiny), "factor"),
        Slip("tiny stands inside the root", lambda r: r.m_hat / np.sqrt(kept(r) + r.tiny), "elementwise-factor"),
        Slip("m is not divided by the root of v", lambda r: r.m_hat, "elementwise-factor"),
        Slip("m is the gradient alone: no momentum", lambda r: adam(r.g, kept(r), r.tiny)),
    )


def smallest(r: Run) -> np.ndarray:
    return adam(r.m_hat, largest(r.v_hat, 1.0, np.minimum), r.tiny)


AMSGRAD = Family(
    "AMSGrad",
    ("beta1", "beta2", "tiny"),
    lambda r: adam(r.m_hat, largest(r.v_hat), r.tiny),
    "v_max = max(v_max, v_hat); param -= lr * m_hat / (sqrt(v_max) + tiny)",
    of_amsgrad(lambda r: largest(r.v_hat)),
)
AMSGRAD_LATE = Family(
    "AMSGrad",
    ("beta1", "beta2", "tiny"),
    lambda r: adam(r.m_hat, largest(r.v) / (1 - r.beta2**r.t), r.tiny),
    "v_max = max(v_max, v); param -= lr * m_hat / (sqrt(v_max / (1 - beta2^t)) + tiny)",
    of_amsgrad(lambda r: largest(r.v) / (1 - r.beta2**r.t)),
)
