"""Slips in one operation, planted: what should be said of it, and which hypothesis about changes is to see it."""

import numpy as np
from planted import Plant, nothing


def recurrence(da=None, dnext=None, dU=None):
    """h_t = tanh(x_t W + h_{t-1} U); three lines of its backward may be other ones."""
    da = da or (lambda dy, dnext, h, before: (dy + dnext) * (1 - h**2))
    dnext = dnext or (lambda da, U, before: da @ U.T)
    dU = dU or (lambda da, h, before: before.T @ da)

    def forward(x, W, U):
        h = np.zeros((len(x) + 1, x.shape[1], len(U)))
        for t in range(len(x)):
            h[t + 1] = np.tanh(x[t] @ W + h[t] @ U)
        return h[1:].copy(), (x, W, U, h)

    def backward(dy, cache):
        x, W, U, h = cache
        dx, dW, dU_, carry = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros_like(h[0])
        for t in reversed(range(len(x))):
            d = da(dy[t], carry, h[t + 1], h[t])
            dx[t] = d @ W.T
            dW += x[t].T @ d
            dU_ += dU(d, h[t + 1], h[t])
            carry = dnext(d, U, h[t])
        return dx, dW, dU_

    return forward, backward


def sequence(rng):
    return {name: rng.standard_normal(s) for name, s in {"x": (4, 3, 2), "W": (2, 3), "U": (3, 3)}.items()}


def discounted(backward):
    """y_t = the sum of x up to t, along the second axis."""
    return (lambda x: (np.cumsum(np.tanh(x), axis=1), np.tanh(x))), backward


def gated(backward):
    """y = s a + (1 - s) c."""
    return (lambda s, a, c: (s * a + (1 - s) * c, (s, a, c))), backward


def three(rng):
    return {name: rng.standard_normal((4, 3)) for name in ("s", "a", "c")}


def standardised(backward):
    """y = x less the mean of its row, by the length of what is left, in squares."""

    def forward(x):
        d = x - x.mean(axis=1, keepdims=True)
        s = np.sqrt((d * d).sum(axis=1, keepdims=True))
        return d / s, (d, s)

    return forward, backward


def polar(backward):
    """y = r sin(t) cos(t)."""
    return (lambda r, t: (r * np.sin(t) * np.cos(t), (r, t))), backward


def huber(backward):
    """y is a half of the square of p - t up to delta, and straight beyond."""

    def forward(p, t, delta):
        r = np.abs(p - t)
        return np.where(r <= delta, 0.5 * r * r, delta * (r - 0.5 * delta)), (p, t)

    return forward, lambda dy, m: (backward(dy, m), -dy * np.clip(m[0] - m[1], -0.4, 0.4))


def residuals(rng):
    return {"p": 2 * rng.standard_normal((4, 3)), "t": rng.standard_normal((4, 3))}


def behind_a_relu():
    """y = relu(x W), whose backward makes 0 of what it should keep, and keeps the rest."""

    def forward(x, W):
        h = x @ W
        return np.maximum(h, 0), (x, W, h)

    def backward(dy, cache):
        x, W, h = cache
        dh = dy.copy()
        dh[h > 0] = 0
        return dh @ W.T, x.T @ dh

    return forward, backward


def one_array(rng):
    return {"x": rng.standard_normal((4, 4))}


def rays(rng):
    return {"r": rng.standard_normal(6), "t": rng.standard_normal(6)}


CHANGED: dict[str, Plant] = {
    "a minus for a plus": Plant(
        "another_operator",
        *recurrence(da=lambda dy, dnext, h, before: (dy - dnext) * (1 - h**2)),
        sequence,
        nothing,
        "x W U",
        "sign",
        "- stands where + belongs",
    ),
    "the wrong way round": Plant(
        "another_operator",
        *gated(lambda dy, m: (dy * (m[2] - m[1]), dy * m[0], dy * (1 - m[0]))),
        three,
        nothing,
        "s",
        "sign",
        "its two sides stand the other way round",
    ),
    "added once too often": Plant(
        "one_operand_alone",
        *recurrence(dnext=lambda da, U, before: da @ U.T + da),
        sequence,
        nothing,
        "x W U",
        "missing-term",
        "da @ U.T alone belongs there, da is too much",
    ),
    "sin for cos": Plant(
        "another_function",
        *polar(lambda dy, m: (dy * np.sin(m[1]) * np.cos(m[1]), dy * m[0] * np.sin(2 * m[1]))),
        rays,
        nothing,
        "t",
        "elementwise-factor",
        "np.cos(2 * m[1]) belongs where np.sin(2 * m[1]) stands",
    ),
    "a step back through U": Plant(
        "an_operand_turned",
        *recurrence(dnext=lambda da, U, before: da @ U),
        sequence,
        nothing,
        "x W U",
        "transpose",
        "U belongs there transposed",
    ),
    "a mask the other way round": Plant(
        "the_other_mask",
        *behind_a_relu(),
        lambda rng: {"x": rng.standard_normal((5, 3)), "W": rng.standard_normal((3, 4))},
        nothing,
        "x W",
        "elementwise-factor",
        "the mask h > 0 is the other way round",
    ),
    "along the other axis": Plant(
        "another_axis",
        *standardised(
            lambda dy, m: (
                (dy - dy.mean(axis=1, keepdims=True)) / m[1]
                - m[0] * np.sum(dy * m[0], axis=0, keepdims=True) / m[1] ** 3
            )
        ),
        one_array,
        nothing,
        "x",
        "shape",
        "it goes along axis 0, and axis 1 is meant",
    ),
    "a running sum forwards": Plant(
        "a_running_sum",
        *discounted(lambda dy, y: np.cumsum(dy, axis=1) * (1 - y * y)),
        one_array,
        nothing,
        "x",
        "transpose",
        "the adjoint of a cumulative sum runs the other way",
    ),
    "a slope that is forgotten in a loop": Plant(
        "a_name_beside",
        *recurrence(da=lambda dy, dnext, h, before: dy + dnext),
        sequence,
        nothing,
        "x W U",
        "elementwise-factor",
        "(1 - h**2) is missing beside",
    ),
    "what comes from the next step": Plant(
        "a_term_beside",
        *recurrence(da=lambda dy, dnext, h, before: dy * (1 - h**2)),
        sequence,
        nothing,
        "x W U",
        "missing-term",
        "a term is missing beside dy, or one too many: dnext",
    ),
    "the state after the step": Plant(
        "another_operand",
        *recurrence(dU=lambda da, h, before: h.T @ da),
        sequence,
        nothing,
        "U",
        "elementwise-factor",
        "before.T belongs where h.T stands",
    ),
    "a minus too many": Plant(
        "without_its_sign",
        *gated(lambda dy, m: (dy * (m[1] - m[2]), dy * m[0], -dy * (1 - m[0]))),
        three,
        nothing,
        "c",
        "sign",
        "dy alone belongs there, the minus is too much",
    ),
    "clipped at 1": Plant(
        "another_number",
        *huber(lambda dy, m: dy * np.clip(m[0] - m[1], -1.0, 1.0)),
        residuals,
        lambda rng: {"delta": 0.4},
        "p",
        "elementwise-factor",
        "delta belongs where 1 stands",
    ),
    "a clip that is forgotten": Plant(
        "a_clip",
        *huber(lambda dy, m: dy * (m[0] - m[1])),
        residuals,
        lambda rng: {"delta": 0.4},
        "p",
        "elementwise-factor",
        "np.clip(m[0] - m[1], -delta, delta) belongs where m[0] - m[1] stands",
    ),
}
