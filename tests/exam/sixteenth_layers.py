"""Single layers, losses, normalisations, pooling, attention pieces, recurrent steps and log-densities."""

from typing import Callable, NamedTuple

import numpy as np
from scipy import linalg, signal, special


class Item(NamedTuple):
    name: str
    style: str
    check: str
    make: Callable
    right: bool
    slip: str = ""
    wrong: tuple = ()
    causes: tuple = ()


ITEMS = []


def good(name, style):
    def add(make):
        ITEMS.append(Item(name, style, "vjp", make, True))
        return make
    return add


def bad(name, style, slip, wrong, causes):
    def add(make):
        ITEMS.append(Item(name, style, "vjp", make, False, slip, tuple(wrong), tuple(causes)))
        return make
    return add


def sigmoid(x):
    return special.expit(x)


# ---------------------------------------------------------------------------------------------- CS231n assignment


@bad("spatial_groupnorm", "CS231n assignment",
     "the number of elements of a group is M = C * H * W, it should be M = C // G * H * W",
     ["x"], ["factor"])
def make_spatial_groupnorm():
    def spatial_groupnorm_forward(x, gamma, beta, G, eps):
        N, C, H, W = x.shape
        xg = x.reshape(N, G, C // G, H, W)
        mu = xg.mean(axis=(2, 3, 4), keepdims=True)
        var = xg.var(axis=(2, 3, 4), keepdims=True)
        ivar = 1.0 / np.sqrt(var + eps)
        xhat = ((xg - mu) * ivar).reshape(N, C, H, W)
        out = gamma * xhat + beta
        return out, (xhat, ivar, gamma, G)

    def spatial_groupnorm_backward(dout, cache):
        xhat, ivar, gamma, G = cache
        N, C, H, W = dout.shape
        dbeta = dout.sum(axis=(0, 2, 3), keepdims=True)
        dgamma = (dout * xhat).sum(axis=(0, 2, 3), keepdims=True)
        dxhat = (dout * gamma).reshape(N, G, C // G, H, W)
        xg = xhat.reshape(N, G, C // G, H, W)
        M = C * H * W
        s1 = dxhat.sum(axis=(2, 3, 4), keepdims=True)
        s2 = (dxhat * xg).sum(axis=(2, 3, 4), keepdims=True)
        dx = ivar / M * (M * dxhat - s1 - xg * s2)
        return {"x": dx.reshape(N, C, H, W), "gamma": dgamma, "beta": dbeta}

    rng = np.random.default_rng(231)
    inputs = {"x": 2 + 3 * rng.standard_normal((2, 4, 2, 3)), "gamma": 1 + 0.3 * rng.standard_normal((1, 4, 1, 1)),
              "beta": rng.standard_normal((1, 4, 1, 1))}
    return dict(forward=spatial_groupnorm_forward, backward=spatial_groupnorm_backward, inputs=inputs,
                constants={"G": 2, "eps": 1e-5})


@bad("svm_loss", "CS231n assignment",
     "the correct class gets dx[arange, y] = -1, it should be minus the number of positive margins, -mask.sum(axis=1)",
     ["x"], ["elementwise-factor", "missing-term"])
def make_svm_loss():
    def svm_loss(x, y):
        N = x.shape[0]
        correct_class_scores = x[np.arange(N), y]
        margins = np.maximum(0, x - correct_class_scores[:, np.newaxis] + 1.0)
        margins[np.arange(N), y] = 0
        return np.sum(margins) / N, (margins, y)

    def svm_backward(dloss, cache):
        margins, y = cache
        N = margins.shape[0]
        dx = np.zeros_like(margins)
        dx[margins > 0] = 1
        dx[np.arange(N), y] = -1
        dx /= N
        return dloss * dx

    rng = np.random.default_rng(5)
    return dict(forward=svm_loss, backward=svm_backward, inputs={"x": 0.7 * rng.standard_normal((5, 4))},
                constants={"y": np.array([0, 3, 1, 2, 1])})


@bad("softmax_loss", "CS231n assignment",
     "f -= f.max(...) shifts the scores in place and writes to the caller's f; it should be f = f - f.max(...)",
     ["f"], ["mutates-input"])
def make_softmax_loss():
    def softmax_loss(f, y):
        N = f.shape[0]
        f -= np.max(f, axis=1, keepdims=True)
        p = np.exp(f)
        p /= np.sum(p, axis=1, keepdims=True)
        loss = -np.sum(np.log(p[np.arange(N), y])) / N
        return loss, (p, y)

    def softmax_backward(dloss, cache):
        p, y = cache
        N = p.shape[0]
        df = p.copy()
        df[np.arange(N), y] -= 1
        return {"f": dloss * df / N}

    rng = np.random.default_rng(6)
    return dict(forward=softmax_loss, backward=softmax_backward, inputs={"f": 2 * rng.standard_normal((4, 5))},
                constants={"y": np.array([4, 0, 2, 2])})


@good("max_pool_overlapping", "CS231n assignment")
def make_max_pool_overlapping():
    def max_pool_forward_naive(x, pool_param):
        HH, WW, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
        N, C, H, W = x.shape
        H_out, W_out = 1 + (H - HH) // stride, 1 + (W - WW) // stride
        out = np.zeros((N, C, H_out, W_out))
        for i in range(H_out):
            for j in range(W_out):
                window = x[:, :, i * stride:i * stride + HH, j * stride:j * stride + WW]
                out[:, :, i, j] = window.max(axis=(2, 3))
        return out, {"x": x, "pool_param": pool_param}

    def max_pool_backward_naive(dout, cache):
        x, pool_param = cache["x"], cache["pool_param"]
        HH, WW, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
        dx = np.zeros_like(x)
        for n, c, i, j in np.ndindex(*dout.shape):
            window = x[n, c, i * stride:i * stride + HH, j * stride:j * stride + WW]
            a, b = np.unravel_index(np.argmax(window), window.shape)
            dx[n, c, i * stride + a, j * stride + b] += dout[n, c, i, j]
        return dx

    rng = np.random.RandomState(231)
    return dict(forward=max_pool_forward_naive, backward=max_pool_backward_naive, inputs={"x": rng.randn(2, 2, 5, 5)},
                constants={"pool_param": {"pool_height": 3, "pool_width": 3, "stride": 2}})


# -------------------------------------------------------------------------------------------------- Karpathy gists


@bad("lstm_step", "Karpathy gist",
     "the output gate's gradient uses the cell, dO = dh * c, it should use its tanh, dO = dh * tanh(c)",
     ["x", "h0", "WLSTM"], ["elementwise-factor"])
def make_lstm_step():
    def forward(x, h0, c0, WLSTM):
        b, d = h0.shape
        Hin = np.ones((b, 1 + x.shape[1] + d))
        Hin[:, 1:1 + x.shape[1]] = x
        Hin[:, 1 + x.shape[1]:] = h0
        IFOG = Hin.dot(WLSTM)
        IFOGf = np.empty_like(IFOG)
        IFOGf[:, :3 * d] = 1.0 / (1.0 + np.exp(-IFOG[:, :3 * d]))
        IFOGf[:, 3 * d:] = np.tanh(IFOG[:, 3 * d:])
        C = IFOGf[:, :d] * IFOGf[:, 3 * d:] + IFOGf[:, d:2 * d] * c0
        Ct = np.tanh(C)
        Hout = IFOGf[:, 2 * d:3 * d] * Ct
        cache = {"WLSTM": WLSTM, "Hout": Hout, "IFOGf": IFOGf, "C": C, "Ct": Ct, "Hin": Hin, "c0": c0,
                 "input_size": x.shape[1]}
        return np.concatenate([Hout, C], axis=1), cache

    def backward(dHC, cache):
        IFOGf, C, Ct, Hin, c0 = (cache[k] for k in ("IFOGf", "C", "Ct", "Hin", "c0"))
        d = c0.shape[1]
        dH, dC = dHC[:, :d], dHC[:, d:].copy()
        dIFOGf = np.zeros_like(IFOGf)
        dIFOGf[:, 2 * d:3 * d] = dH * C
        dC += (1 - Ct ** 2) * (IFOGf[:, 2 * d:3 * d] * dH)
        dIFOGf[:, d:2 * d] = c0 * dC
        dc0 = IFOGf[:, d:2 * d] * dC
        dIFOGf[:, :d] = IFOGf[:, 3 * d:] * dC
        dIFOGf[:, 3 * d:] = IFOGf[:, :d] * dC
        dIFOG = np.zeros_like(IFOGf)
        dIFOG[:, 3 * d:] = (1 - IFOGf[:, 3 * d:] ** 2) * dIFOGf[:, 3 * d:]
        y = IFOGf[:, :3 * d]
        dIFOG[:, :3 * d] = (y * (1.0 - y)) * dIFOGf[:, :3 * d]
        dWLSTM = Hin.T.dot(dIFOG)
        dHin = dIFOG.dot(cache["WLSTM"].T)
        n = cache["input_size"]
        return {"x": dHin[:, 1:1 + n], "h0": dHin[:, 1 + n:], "c0": dc0, "WLSTM": dWLSTM}

    rng = np.random.RandomState(15)
    n, d, b = 3, 3, 2
    inputs = {"x": rng.randn(b, n), "h0": rng.randn(b, d), "c0": 1.5 * rng.randn(b, d),
              "WLSTM": rng.randn(n + d + 1, 4 * d) / np.sqrt(n + d)}
    return dict(forward=forward, backward=backward, inputs=inputs)


@good("char_rnn_step", "Karpathy gist")
def make_char_rnn_step():
    def forward(x, hprev, params, target):
        p = params
        h = np.tanh(np.dot(p["Wxh"], x) + np.dot(p["Whh"], hprev) + p["bh"])
        y = np.dot(p["Why"], h) + p["by"]
        e = np.exp(y - y.max())
        prob = e / e.sum()
        return -np.log(prob[target, 0]), (x, hprev, h, prob, p, target)

    def backward(dloss, cache):
        x, hprev, h, prob, p, target = cache
        dy = np.copy(prob)
        dy[target] -= 1
        dy *= dloss
        grads = {k: np.zeros_like(v) for k, v in p.items()}
        grads["Why"] += np.dot(dy, h.T)
        grads["by"] += dy
        dh = np.dot(p["Why"].T, dy)
        dh *= 1 - h * h
        grads["bh"] += dh
        grads["Wxh"] += np.dot(dh, x.T)
        grads["Whh"] += np.dot(dh, hprev.T)
        return {"x": np.dot(p["Wxh"].T, dh), "hprev": np.dot(p["Whh"].T, dh), "params": grads}

    rng = np.random.RandomState(3)
    V, H = 4, 3
    params = {"Wxh": 0.5 * rng.randn(H, V), "Whh": 0.5 * rng.randn(H, H), "Why": 0.5 * rng.randn(V, H),
              "bh": 0.1 * rng.randn(H, 1), "by": 0.1 * rng.randn(V, 1)}
    return dict(forward=forward, backward=backward,
                inputs={"x": rng.rand(V, 1), "hprev": rng.randn(H, 1), "params": params}, constants={"target": 2})


# ------------------------------------------------------------------------------ ports of torch.autograd.Function


class Context:
    def __init__(self):
        self.saved_tensors = ()

    def save_for_backward(self, *tensors):
        self.saved_tensors = tensors


class SiLUFunction:
    @staticmethod
    def forward(ctx, x):
        sig = 1.0 / (1.0 + np.exp(-x))
        ctx.save_for_backward(x, sig)
        return x * sig

    @staticmethod
    def backward(ctx, grad_output):
        x, sig = ctx.saved_tensors
        return grad_output * sig * (1 + x) * (1 - sig)


class MishFunction:
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * np.tanh(np.logaddexp(0, x))

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        t = np.tanh(np.logaddexp(0, x))
        out = 1 - t * t
        out *= x
        out *= special.expit(x)
        out += t
        out *= grad_output
        return out


class RMSNormFunction:
    @staticmethod
    def forward(ctx, x, weight, eps):
        rstd = 1.0 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
        ctx.save_for_backward(x, weight, rstd)
        return x * rstd * weight

    @staticmethod
    def backward(ctx, grad_output):
        x, weight, rstd = ctx.saved_tensors
        x_hat = x * rstd
        wdy = grad_output * weight
        c1 = np.sum(x_hat * wdy, axis=-1, keepdims=True)
        dx = (wdy - x_hat * c1) * rstd
        dw = np.sum(grad_output * x_hat, axis=tuple(range(x.ndim - 1)))
        return dx, dw


def apply_function(function):
    def forward(*args, **kwargs):
        ctx = Context()
        return function.forward(ctx, *args, **kwargs), ctx

    def backward(grad_output, ctx):
        return function.backward(ctx, grad_output)

    return forward, backward


@bad("silu_function", "PyTorch autograd.Function port",
     "a parenthesis stands wrong, sig * (1 + x) * (1 - sig), it should be sig * (1 + x * (1 - sig))",
     ["x"], ["elementwise-factor", "missing-term"])
def make_silu_function():
    forward, backward = apply_function(SiLUFunction)
    return dict(forward=forward, backward=backward, inputs={"x": np.random.default_rng(0).standard_normal((3, 4))})


@good("mish_function", "PyTorch autograd.Function port")
def make_mish_function():
    forward, backward = apply_function(MishFunction)
    return dict(forward=forward, backward=backward, inputs={"x": 2 * np.random.default_rng(1).standard_normal((2, 5))})


@bad("rms_norm_function", "PyTorch autograd.Function port",
     "c1 = sum(x_hat * wdy) over the last axis, it should be the mean, np.mean(x_hat * wdy, axis=-1, keepdims=True)",
     ["x"], ["factor"])
def make_rms_norm_function():
    forward, backward = apply_function(RMSNormFunction)
    rng = np.random.default_rng(2)
    return dict(forward=forward, backward=backward,
                inputs={"x": rng.standard_normal((2, 3, 5)), "weight": 1 + 0.2 * rng.standard_normal(5)},
                constants={"eps": 1e-6})


# ------------------------------------------------------------------------------------------------ Keras-like library


class AveragePooling2D:
    """Channels last, strides equal to the pool size."""

    def __init__(self, pool_size):
        self.pool_size = pool_size

    def call(self, inputs):
        self.input_shape = inputs.shape
        b, h, w, c = inputs.shape
        k = self.pool_size
        return inputs.reshape(b, h // k, k, w // k, k, c).mean(axis=(2, 4))

    def backprop(self, grad):
        up = np.repeat(np.repeat(grad, self.pool_size, axis=1), self.pool_size, axis=2)
        return up / self.pool_size


class PReLU:
    def __init__(self, alpha):
        self.alpha = alpha

    def call(self, inputs):
        self.inputs = inputs
        return np.where(inputs > 0, inputs, self.alpha * inputs)

    def backprop(self, grad):
        mask = self.inputs > 0
        self.grad_alpha = np.sum(grad * self.inputs * mask, axis=(0, 1))
        return grad * np.where(mask, 1.0, self.alpha)


class BatchNormalization:
    """Over all axes but the last."""

    def __init__(self, gamma, beta, epsilon=1e-3):
        self.gamma, self.beta, self.epsilon = gamma, beta, epsilon

    def call(self, inputs):
        self.mean = inputs.mean(axis=(0, 1, 2))
        self.std = np.sqrt(inputs.var(axis=(0, 1, 2)) + self.epsilon)
        self.normalized = (inputs - self.mean) / self.std
        return self.gamma * self.normalized + self.beta

    def backprop(self, grad):
        n = grad.shape[0] * grad.shape[1] * grad.shape[2]
        self.grad_gamma = np.sum(grad * self.normalized, axis=(0, 1))
        self.grad_beta = np.sum(grad, axis=(0, 1, 2))
        g = grad * self.gamma
        total = g.sum(axis=(0, 1, 2))
        along = (g * self.normalized).sum(axis=(0, 1, 2))
        return (g - total / n - self.normalized * along / n) / self.std


class LayerNormalization:
    def __init__(self, epsilon=1e-3):
        self.epsilon = epsilon

    def call(self, inputs, gamma, beta):
        self.gamma = gamma
        centered = inputs - inputs.mean(axis=-1, keepdims=True)
        self.std = np.sqrt((centered ** 2).mean(axis=-1, keepdims=True) + self.epsilon)
        self.xhat = centered / self.std
        return gamma * self.xhat + beta

    def backprop(self, grad):
        g = grad * self.gamma
        dx = g - self.xhat * (g * self.xhat).mean(axis=-1, keepdims=True)
        return dx / self.std, (grad * self.xhat).sum(axis=0), grad.sum(axis=0)


class TimeDistributedDense:
    def __init__(self, units):
        self.units = units
        self.dW = 0.0
        self.db = 0.0

    def call(self, inputs, W, b):
        self.inputs, self.W = inputs, W
        return np.tensordot(inputs, W, axes=(2, 0)) + b

    def backprop(self, grad):
        self.dW += np.tensordot(self.inputs, grad, axes=((0, 1), (0, 1)))
        self.db = grad.sum(axis=(0, 1))
        return np.tensordot(grad, self.W, axes=(2, 1))


@bad("average_pooling_2d", "Keras-like library",
     "the gradient is divided by pool_size, it should be divided by the window's number of cells, pool_size ** 2",
     ["x"], ["factor"])
def make_average_pooling_2d():
    def forward(x, pool_size):
        layer = AveragePooling2D(pool_size)
        return layer.call(x), layer

    def backward(dy, layer):
        return layer.backprop(dy)

    return dict(forward=forward, backward=backward,
                inputs={"x": np.random.default_rng(7).standard_normal((2, 4, 6, 2))}, constants={"pool_size": 2})


@bad("prelu", "Keras-like library",
     "the slopes' gradient sums over inputs > 0, it should be the negative ones, grad * inputs * ~mask",
     ["alpha"], ["elementwise-factor"])
def make_prelu():
    def forward(x, alpha):
        layer = PReLU(alpha)
        return layer.call(x), layer

    def backward(dy, layer):
        dx = layer.backprop(dy)
        return {"x": dx, "alpha": layer.grad_alpha}

    rng = np.random.default_rng(8)
    return dict(forward=forward, backward=backward,
                inputs={"x": rng.standard_normal((3, 4, 3)), "alpha": np.array([0.25, 0.1, 0.4])})


@bad("batch_normalization_nhwc", "Keras-like library",
     "gamma's gradient is summed over axis=(0, 1) alone and has the shape (W, C), it should be axis=(0, 1, 2)",
     ["gamma"], ["shape", "batch-sum"])
def make_batch_normalization_nhwc():
    def forward(x, gamma, beta):
        layer = BatchNormalization(gamma, beta)
        return layer.call(x), layer

    def backward(dy, layer):
        dx = layer.backprop(dy)
        return {"x": dx, "gamma": layer.grad_gamma, "beta": layer.grad_beta}

    rng = np.random.default_rng(9)
    return dict(forward=forward, backward=backward,
                inputs={"x": 1 + 2 * rng.standard_normal((3, 2, 4, 3)), "gamma": rng.uniform(0.5, 1.5, 3),
                        "beta": rng.standard_normal(3)})


@bad("layer_normalization", "Keras-like library",
     "the path through the mean is missing, it should be g - g.mean(-1, keepdims=True) - xhat * (g * xhat).mean(-1)",
     ["x"], ["missing-term"])
def make_layer_normalization():
    layer = LayerNormalization()

    def forward(x, gamma, beta):
        return layer.call(x, gamma, beta), layer

    def backward(dy, layer):
        return layer.backprop(dy)

    rng = np.random.default_rng(10)
    return dict(forward=forward, backward=backward,
                inputs={"x": rng.standard_normal((4, 6)), "gamma": rng.uniform(0.5, 1.5, 6),
                        "beta": 0.1 * rng.standard_normal(6)})


@bad("time_distributed_dense", "Keras-like library",
     "the layer's self.dW += ... is never set back, it should be self.dW = ...",
     ["W"], ["accumulates"])
def make_time_distributed_dense():
    layer = TimeDistributedDense(units=3)

    def forward(x, W, b):
        return layer.call(x, W, b), layer

    def backward(dy, layer):
        dx = layer.backprop(dy)
        return {"x": dx, "W": np.array(layer.dW), "b": layer.db}

    rng = np.random.default_rng(11)
    return dict(forward=forward, backward=backward,
                inputs={"x": rng.standard_normal((2, 3, 4)), "W": 0.5 * rng.standard_normal((4, 3)),
                        "b": rng.standard_normal(3)})


@good("local_response_normalization", "Keras-like library")
def make_local_response_normalization():
    class LRN2D:
        def __init__(self, alpha, k, beta, n):
            self.alpha, self.k, self.beta, self.n = alpha, k, beta, n

        def window_sum(self, a):
            c, half = a.shape[1], self.n // 2
            out = np.zeros_like(a)
            for i in range(c):
                out[:, i] = a[:, max(0, i - half):min(c, i + half + 1)].sum(axis=1)
            return out

        def call(self, x):
            self.x = x
            self.scale = self.k + self.alpha / self.n * self.window_sum(x ** 2)
            self.y = x * self.scale ** -self.beta
            return self.y

        def backprop(self, grad):
            ratio = self.window_sum(grad * self.y / self.scale)
            return grad * self.scale ** -self.beta - 2 * self.alpha * self.beta / self.n * self.x * ratio

    layer = LRN2D(alpha=0.9, k=2.0, beta=0.75, n=3)

    def forward(x):
        return layer.call(x), layer

    def backward(dy, layer):
        return {"x": layer.backprop(dy)}

    return dict(forward=forward, backward=backward,
                inputs={"x": 2 * np.random.default_rng(12).standard_normal((2, 5, 2, 2))})


# ---------------------------------------------------------------------------------------------- research repositories


@bad("scaled_dot_product", "research repository (transformer in NumPy)",
     "the keys' gradient lacks the scale of the scores, it should be dk = scale * dS.T @ q",
     ["k"], ["factor"])
def make_scaled_dot_product():
    def attention(q, k, v, mask):
        scale = 1.0 / np.sqrt(q.shape[-1])
        scores = scale * q @ k.T
        scores = np.where(mask, scores, -1e9)
        P = special.softmax(scores, axis=-1)
        return P @ v, {"q": q, "k": k, "v": v, "P": P, "scale": scale}

    def attention_backward(dout, cache):
        q, k, v, P, scale = (cache[n] for n in ("q", "k", "v", "P", "scale"))
        dv = P.T @ dout
        dP = dout @ v.T
        dS = P * (dP - (dP * P).sum(axis=-1, keepdims=True))
        dq = scale * dS @ k
        dk = dS.T @ q
        return {"q": dq, "k": dk, "v": dv}

    rng = np.random.default_rng(20)
    inputs = {"q": rng.standard_normal((4, 3)), "k": rng.standard_normal((4, 3)), "v": rng.standard_normal((4, 2))}
    return dict(forward=attention, backward=attention_backward, inputs=inputs,
                constants={"mask": np.tril(np.ones((4, 4), dtype=bool))})


@bad("relative_position_bias", "research repository (T5-like encoder)",
     "dtable[buckets] += ... keeps one of the repeated buckets only, it should be np.add.at(dtable, buckets, ...)",
     ["table"], ["batch-sum", "missing-term"])
def make_relative_position_bias():
    def add_bias(scores, table, buckets):
        bias = table[buckets]
        return scores + bias.transpose(2, 0, 1), (table.shape, buckets)

    def add_bias_backward(dscores, cache):
        shape, buckets = cache
        dtable = np.zeros(shape)
        dtable[buckets] += dscores.transpose(1, 2, 0)
        return dscores, dtable

    rng = np.random.default_rng(21)
    distance = np.abs(np.arange(4)[:, None] - np.arange(4)[None, :])
    return dict(forward=add_bias, backward=add_bias_backward,
                inputs={"scores": rng.standard_normal((2, 4, 4)), "table": rng.standard_normal((3, 2))},
                constants={"buckets": np.minimum(distance, 2)})


@bad("focal_loss", "research repository (dense object detection)",
     "the path through the modulating factor is missing, dp_t should have"
     " + a_t * gamma * (1 - p_t) ** (gamma - 1) * np.log(p_t) added",
     ["logits"], ["missing-term"])
def make_focal_loss():
    def focal_loss(logits, targets, alpha, gamma):
        p = sigmoid(logits)
        p_t = np.where(targets == 1, p, 1 - p)
        a_t = np.where(targets == 1, alpha, 1 - alpha)
        modulating = (1 - p_t) ** gamma
        loss = -a_t * modulating * np.log(p_t)
        return loss.sum(axis=1), dict(p=p, p_t=p_t, a_t=a_t, modulating=modulating, targets=targets, gamma=gamma)

    def focal_loss_grad(dloss, c):
        dp_t = -c["a_t"] * c["modulating"] / c["p_t"]
        dp = np.where(c["targets"] == 1, dp_t, -dp_t)
        return {"logits": dloss[:, None] * dp * c["p"] * (1 - c["p"])}

    rng = np.random.default_rng(22)
    return dict(forward=focal_loss, backward=focal_loss_grad, inputs={"logits": 1.5 * rng.standard_normal((3, 5))},
                constants={"targets": (rng.random((3, 5)) < 0.4).astype(int), "alpha": 0.25, "gamma": 2.0})


@bad("grid_sample", "research repository (spatial transformer)",
     "the grid's second column is scaled by (W - 1) / 2 as the first, it should be (H - 1) / 2",
     ["grid"], ["factor", "elementwise-factor"])
def make_grid_sample():
    def grid_sample(image, grid):
        H, W = image.shape
        x = (grid[:, 0] + 1) / 2 * (W - 1)
        y = (grid[:, 1] + 1) / 2 * (H - 1)
        x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
        x1, y1 = x0 + 1, y0 + 1
        wx, wy = x - x0, y - y0
        Ia, Ib, Ic, Id = image[y0, x0], image[y1, x0], image[y0, x1], image[y1, x1]
        out = (1 - wx) * (1 - wy) * Ia + (1 - wx) * wy * Ib + wx * (1 - wy) * Ic + wx * wy * Id
        return out, (image.shape, (x0, x1, y0, y1), (wx, wy), (Ia, Ib, Ic, Id))

    def grid_sample_backward(dout, cache):
        (H, W), (x0, x1, y0, y1), (wx, wy), (Ia, Ib, Ic, Id) = cache
        dimage = np.zeros((H, W))
        np.add.at(dimage, (y0, x0), dout * (1 - wx) * (1 - wy))
        np.add.at(dimage, (y1, x0), dout * (1 - wx) * wy)
        np.add.at(dimage, (y0, x1), dout * wx * (1 - wy))
        np.add.at(dimage, (y1, x1), dout * wx * wy)
        dx = dout * ((1 - wy) * (Ic - Ia) + wy * (Id - Ib))
        dy = dout * ((1 - wx) * (Ib - Ia) + wx * (Id - Ic))
        dgrid = np.stack([dx * (W - 1) / 2, dy * (W - 1) / 2], axis=1)
        return {"image": dimage, "grid": dgrid}

    rng = np.random.default_rng(23)
    return dict(forward=grid_sample, backward=grid_sample_backward,
                inputs={"image": rng.standard_normal((4, 6)), "grid": rng.uniform(-0.9, 0.9, (5, 2))})


@bad("normalize_advantages", "research repository (PPO)",
     "the path through the unbiased std is divided by n, (dz * z).mean(), it should be (dz * z).sum() / (n - 1)",
     ["adv"], ["factor"])
def make_normalize_advantages():
    def forward(adv):
        std = adv.std(ddof=1)
        z = (adv - adv.mean()) / std
        return z, (z, std)

    def backward(dz, cache):
        z, std = cache
        return (dz - dz.mean() - z * (dz * z).mean()) / std

    return dict(forward=forward, backward=backward,
                inputs={"adv": 1 + 3 * np.random.default_rng(24).standard_normal(5)})


@bad("masked_entropy", "research repository (policy with invalid actions)",
     "the backward takes log p of masked actions and gets 0 * inf, it should be np.log(np.where(mask, p, 1.0))",
     ["logits"], ["non-finite"])
def make_masked_entropy():
    def masked_entropy(logits, mask):
        p = special.softmax(np.where(mask, logits, -np.inf), axis=-1)
        return -special.xlogy(p, p).sum(axis=-1), (p, mask)

    def masked_entropy_backward(dH, cache):
        p, mask = cache
        with np.errstate(divide="ignore", invalid="ignore"):
            dp = -(np.log(p) + 1.0) * dH[:, None]
            return {"logits": p * (dp - (p * dp).sum(axis=-1, keepdims=True))}

    rng = np.random.default_rng(25)
    mask = np.array([[1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 1, 0]], dtype=bool)
    return dict(forward=masked_entropy, backward=masked_entropy_backward,
                inputs={"logits": rng.standard_normal((3, 4))}, constants={"mask": mask})


@bad("gumbel_softmax", "research repository (discrete representations)",
     "the Gumbel noise is drawn inside forward from self.rng, it should be an argument, z = (logits + g) / tau",
     ["logits"], ["noise-redrawn"])
def make_gumbel_softmax():
    class GumbelSoftmax:
        def __init__(self, tau, seed):
            self.tau = tau
            self.rng = np.random.RandomState(seed)

        def forward(self, logits):
            g = -np.log(-np.log(self.rng.uniform(1e-9, 1.0, size=logits.shape)))
            z = (logits + g) / self.tau
            z -= z.max(axis=-1, keepdims=True)
            self.y = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
            return self.y

        def backward(self, dy):
            dz = self.y * (dy - (dy * self.y).sum(axis=-1, keepdims=True))
            return dz / self.tau

    layer = GumbelSoftmax(tau=0.7, seed=26)
    return dict(forward=lambda logits: (layer.forward(logits), layer), backward=lambda dy, cache: cache.backward(dy),
                inputs={"logits": np.random.RandomState(0).randn(3, 4)})


@bad("sort_by_gate", "research repository (differentiable ranking)",
     "the buffer np.zeros_like(order) is of integers and cuts the gradient off, it should be np.zeros_like(dout)",
     ["x"], ["precision", "zero"])
def make_sort_by_gate():
    def forward(x):
        order = np.argsort(-x, axis=1)
        weights = 1.0 / (1.0 + np.arange(x.shape[1]))
        return np.take_along_axis(x, order, axis=1) * weights, (order, weights)

    def backward(dout, cache):
        order, weights = cache
        dx = np.zeros_like(order)
        np.put_along_axis(dx, order, dout * weights, axis=1)
        return {"x": dx}

    return dict(forward=forward, backward=backward, inputs={"x": np.random.default_rng(27).standard_normal((3, 5))})


@bad("causal_conv1d", "research repository (WaveNet)",
     "the left padding is cut off at the wrong end, dxp[:, :, :T], it should be dxp[:, :, pad:]",
     ["x"], ["transpose"])
def make_causal_conv1d():
    def causal_conv(x, w, b, dilation):
        B, C, T = x.shape
        F, _, K = w.shape
        pad = (K - 1) * dilation
        xp = np.pad(x, ((0, 0), (0, 0), (pad, 0)))
        y = np.zeros((B, F, T))
        for k in range(K):
            y += np.einsum("fc,bct->bft", w[:, :, k], xp[:, :, k * dilation:k * dilation + T])
        return y + b[None, :, None], (xp, w, dilation, T)

    def causal_conv_backward(dy, cache):
        xp, w, dilation, T = cache
        dxp, dw = np.zeros_like(xp), np.zeros_like(w)
        for k in range(w.shape[2]):
            sl = slice(k * dilation, k * dilation + T)
            dw[:, :, k] = np.einsum("bft,bct->fc", dy, xp[:, :, sl])
            dxp[:, :, sl] += np.einsum("fc,bft->bct", w[:, :, k], dy)
        dx = dxp[:, :, :T]
        return {"x": dx, "w": dw, "b": dy.sum(axis=(0, 2))}

    rng = np.random.default_rng(28)
    inputs = {"x": rng.standard_normal((2, 2, 6)), "w": 0.5 * rng.standard_normal((3, 2, 2)),
              "b": rng.standard_normal(3)}
    return dict(forward=causal_conv, backward=causal_conv_backward, inputs=inputs, constants={"dilation": 2})


@bad("cosine_similarity", "research repository (metric learning)",
     "the projection is divided by the norm once, cos * u / nu, it should be cos * u / nu ** 2",
     ["a", "b"], ["elementwise-factor"])
def make_cosine_similarity():
    def forward(a, b):
        na, nb = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        cos = (a * b).sum(axis=1) / (na * nb)

        def pullback(dy):
            def side(u, v, nu, nv):
                g = v / (nu * nv)[:, None] - (cos / nu)[:, None] * u
                return dy[:, None] * g

            return side(a, b, na, nb), side(b, a, nb, na)

        return cos, pullback

    def backward(dy, pullback):
        return pullback(dy)

    rng = np.random.default_rng(29)
    return dict(forward=forward, backward=backward,
                inputs={"a": rng.standard_normal((4, 5)), "b": rng.standard_normal((4, 5))})


@good("capsule_squash", "research repository (capsule network)")
def make_capsule_squash():
    class Squash:
        def __init__(self, eps):
            self.eps = eps

        def __call__(self, s):
            self.s = s
            self.sq = (s ** 2).sum(axis=-1, keepdims=True)
            self.norm = np.sqrt(self.sq + self.eps)
            return self.sq / (1 + self.sq) / self.norm * s

        def grad(self, dv):
            scale = self.sq / ((1 + self.sq) * self.norm)
            dscale_dsq = 1 / ((1 + self.sq) ** 2 * self.norm) - 0.5 * self.sq / ((1 + self.sq) * self.norm ** 3)
            along = np.sum(dv * self.s, axis=-1, keepdims=True)
            return scale * dv + 2 * dscale_dsq * along * self.s

    def forward(s, eps):
        op = Squash(eps)
        return op(s), op

    return dict(forward=forward, backward=lambda dv, op: {"s": op.grad(dv)},
                inputs={"s": np.random.default_rng(30).standard_normal((2, 3, 4))}, constants={"eps": 1e-7})


@good("volume_rendering", "research repository (NeRF)")
def make_volume_rendering():
    def render(sigma, rgb, deltas):
        alpha = 1 - np.exp(-sigma * deltas)
        trans = np.exp(-np.concatenate([np.zeros_like(sigma[:, :1]), np.cumsum(sigma * deltas, axis=1)], axis=1))
        weights = trans[:, :-1] * alpha
        return np.einsum("rs,rsc->rc", weights, rgb), (rgb, deltas, trans, weights)

    def render_backward(dcolor, cache):
        rgb, deltas, trans, weights = cache
        drgb = np.einsum("rc,rs->rsc", dcolor, weights)
        dweights = np.einsum("rc,rsc->rs", dcolor, rgb)
        own = dweights * trans[:, 1:]
        t = dweights * weights
        behind = np.cumsum(t[:, ::-1], axis=1)[:, ::-1] - t
        return {"sigma": deltas * (own - behind), "rgb": drgb}

    rng = np.random.default_rng(31)
    inputs = {"sigma": rng.uniform(0.1, 2.0, (2, 5)), "rgb": rng.random((2, 5, 3))}
    return dict(forward=render, backward=render_backward, inputs=inputs,
                constants={"deltas": rng.uniform(0.2, 0.6, (2, 5))})


@good("spectral_normalization", "research repository (SN-GAN)")
def make_spectral_normalization():
    def forward(W, x, u, v):
        s = u @ W @ v
        W_bar = W / s
        return x @ W_bar.T, (W_bar, x, u, v, s)

    def backward(dy, cache):
        W_bar, x, u, v, s = cache
        dW_bar = dy.T @ x
        dW = (dW_bar - np.sum(dW_bar * W_bar) * np.outer(u, v)) / s
        return {"W": dW, "x": dy @ W_bar}

    rng = np.random.default_rng(32)
    W = rng.standard_normal((4, 4))
    u = rng.standard_normal(4)
    for _ in range(3):
        v = W.T @ u
        v /= np.linalg.norm(v)
        u = W @ v
        u /= np.linalg.norm(u)
    return dict(forward=forward, backward=backward, inputs={"W": W, "x": rng.standard_normal((3, 4))},
                constants={"u": u, "v": v})


@good("discretized_logistic", "research repository (PixelCNN++)")
def make_discretized_logistic():
    def nll(mean, log_scale, x):
        inv = np.exp(-log_scale)
        up, lo = inv * (x - mean + 1 / 255), inv * (x - mean - 1 / 255)
        cdf_up = np.where(x > 0.999, 1.0, sigmoid(up))
        cdf_lo = np.where(x < -0.999, 0.0, sigmoid(lo))
        prob = np.maximum(cdf_up - cdf_lo, 1e-12)
        return -np.log(prob).sum(axis=1), dict(up=up, lo=lo, inv=inv, prob=prob, x=x)

    def nll_backward(dy, c):
        dprob = -dy[:, None] / c["prob"]
        pdf_up = np.where(c["x"] > 0.999, 0.0, sigmoid(c["up"]) * sigmoid(-c["up"]))
        pdf_lo = np.where(c["x"] < -0.999, 0.0, sigmoid(c["lo"]) * sigmoid(-c["lo"]))
        dmean = -dprob * c["inv"] * (pdf_up - pdf_lo)
        dlog_scale = -dprob * (pdf_up * c["up"] - pdf_lo * c["lo"])
        return dmean, dlog_scale

    rng = np.random.default_rng(33)
    x = np.round(rng.uniform(0, 255, (3, 4))) / 127.5 - 1
    x[0, 0], x[1, 2] = 1.0, -1.0
    inputs = {"mean": x + 0.2 * rng.standard_normal((3, 4)), "log_scale": -2 + 0.5 * rng.standard_normal((3, 4))}
    return dict(forward=nll, backward=nll_backward, inputs=inputs, constants={"x": x})


@good("general_robust_loss", "research repository (adaptive robust loss)")
def make_general_robust_loss():
    def lossfun(x, alpha, scale):
        b = abs(alpha - 2)
        sq = (x / scale) ** 2
        inner = sq / b + 1
        rho = b / alpha * (inner ** (alpha / 2) - 1)
        return rho.mean(), (x, alpha, scale, b, sq, inner, rho)

    def lossfun_grad(dy, cache):
        x, alpha, scale, b, sq, inner, rho = cache
        drho = dy / x.size
        slope = inner ** (alpha / 2 - 1)
        dx = drho * x / scale ** 2 * slope
        dscale = -drho * np.sum(sq / scale * slope)
        db = -1.0 if alpha < 2 else 1.0
        power = inner ** (alpha / 2)
        dpower = power * (0.5 * np.log(inner) - alpha / 2 / inner * sq / b ** 2 * db)
        dalpha = drho * np.sum(rho * (db / b - 1 / alpha) + b / alpha * dpower)
        return dx, dalpha, dscale

    rng = np.random.default_rng(34)
    return dict(forward=lossfun, backward=lossfun_grad,
                inputs={"x": 2 * rng.standard_normal(6), "alpha": np.array(0.8), "scale": np.array(1.3)})


@good("total_variation", "research repository (style transfer)")
def make_total_variation():
    def tv(img):
        dh = img[1:, :] - img[:-1, :]
        dw = img[:, 1:] - img[:, :-1]
        return float(np.sum(dh ** 2) + np.sum(dw ** 2)), {"dh": dh, "dw": dw, "shape": img.shape}

    def tv_backward(dloss, cache):
        g = np.zeros(cache["shape"])
        g[1:, :] += cache["dh"]
        g[:-1, :] -= cache["dh"]
        g[:, 1:] += cache["dw"]
        g[:, :-1] -= cache["dw"]
        g *= 2 * dloss
        return g

    return dict(forward=tv, backward=tv_backward, inputs={"img": np.random.default_rng(35).random((4, 5, 3))})


@good("bahdanau_attention", "research repository (neural machine translation)")
def make_bahdanau_attention():
    def forward(query, keys, Wq, Wk, v):
        pre = np.tanh(np.einsum("bd,dh->bh", query, Wq)[:, None, :] + np.einsum("btd,dh->bth", keys, Wk))
        a = special.softmax(np.einsum("bth,h->bt", pre, v), axis=1)
        return np.einsum("bt,btd->bd", a, keys), (query, keys, Wq, Wk, v, pre, a)

    def backward(dctx, cache):
        query, keys, Wq, Wk, v, pre, a = cache
        dkeys = np.einsum("bt,bd->btd", a, dctx)
        da = np.einsum("bd,btd->bt", dctx, keys)
        de = a * (da - np.einsum("bt,bt->b", a, da)[:, None])
        dv = np.einsum("bt,bth->h", de, pre)
        dpre = np.einsum("bt,h,bth->bth", de, v, 1 - pre ** 2)
        dWk = np.einsum("btd,bth->dh", keys, dpre)
        dkeys += np.einsum("bth,dh->btd", dpre, Wk)
        dsum = dpre.sum(axis=1)
        return {"query": dsum @ Wq.T, "keys": dkeys, "Wq": query.T @ dsum, "Wk": dWk, "v": dv}

    rng = np.random.default_rng(36)
    inputs = {"query": rng.standard_normal((1, 3)), "keys": rng.standard_normal((1, 4, 3)),
              "Wq": 0.5 * rng.standard_normal((3, 4)), "Wk": 0.5 * rng.standard_normal((3, 4)),
              "v": rng.standard_normal(4)}
    return dict(forward=forward, backward=backward, inputs=inputs)


# --------------------------------------------------------------------------------------------- course assignments


@bad("negative_sampling", "CS224n assignment",
     "the negative samples enter the centre word's gradient with the wrong sign, it should be += sigmoid(z) * u_k",
     ["center"], ["sign"])
def make_negative_sampling():
    def neg_sampling_loss(center, outside, target, negatives):
        pos = sigmoid(outside[target] @ center)
        loss = -np.log(pos)
        neg = []
        for k in negatives:
            s = sigmoid(-(outside[k] @ center))
            neg.append(s)
            loss -= np.log(s)
        return loss, (center, outside, target, negatives, pos, neg)

    def neg_sampling_grad(dloss, cache):
        center, outside, target, negatives, pos, neg = cache
        grad_center = (pos - 1) * outside[target]
        grad_outside = np.zeros_like(outside)
        grad_outside[target] += (pos - 1) * center
        for k, s in zip(negatives, neg):
            grad_center += (s - 1) * outside[k]
            grad_outside[k] += (1 - s) * center
        return {"center": dloss * grad_center, "outside": dloss * grad_outside}

    rng = np.random.RandomState(224)
    return dict(forward=neg_sampling_loss, backward=neg_sampling_grad,
                inputs={"center": rng.randn(3), "outside": rng.randn(6, 3)},
                constants={"target": 1, "negatives": [4, 0, 4, 5]})


@bad("gru_cell", "11-785 homework",
     "the update gate's gradient has the wrong sign, dz = dh * (n - h_prev), it should be dh * (h_prev - n)",
     ["x", "h", "W", "U", "b"], ["sign"])
def make_gru_cell():
    class GRUCell:
        def __init__(self, W, U, b):
            self.W, self.U, self.b = W, U, b
            self.d = U.shape[0]

        def forward(self, x, h):
            d = self.d
            self.x, self.hidden = x, h
            a, c = x @ self.W + self.b, h @ self.U
            self.r = sigmoid(a[:, :d] + c[:, :d])
            self.z = sigmoid(a[:, d:2 * d] + c[:, d:2 * d])
            self.c_n = c[:, 2 * d:]
            self.n = np.tanh(a[:, 2 * d:] + self.r * self.c_n)
            return (1 - self.z) * self.n + self.z * h

        def backward(self, delta):
            dn = delta * (1 - self.z)
            dz = delta * (self.n - self.hidden)
            dn_in = dn * (1 - self.n ** 2)
            dr_in = dn_in * self.c_n * self.r * (1 - self.r)
            dz_in = dz * self.z * (1 - self.z)
            da = np.hstack([dr_in, dz_in, dn_in])
            dc = np.hstack([dr_in, dz_in, dn_in * self.r])
            self.dW, self.dU, self.db = self.x.T @ da, self.hidden.T @ dc, da.sum(axis=0)
            return da @ self.W.T, delta * self.z + dc @ self.U.T

    def forward(x, h, W, U, b):
        cell = GRUCell(W, U, b)
        return cell.forward(x, h), cell

    def backward(delta, cell):
        dx, dh = cell.backward(delta)
        return {"x": dx, "h": dh, "W": cell.dW, "U": cell.dU, "b": cell.db}

    rng = np.random.default_rng(40)
    inputs = {"x": rng.standard_normal((3, 2)), "h": rng.standard_normal((3, 3)),
              "W": 0.6 * rng.standard_normal((2, 9)), "U": 0.6 * rng.standard_normal((3, 9)),
              "b": 0.2 * rng.standard_normal(9)}
    return dict(forward=forward, backward=backward, inputs=inputs)


@bad("conv2d_single_channel", "blog post (CNN from scratch)",
     "the image's gradient is correlated with the kernel, it should be convolved, signal.convolve2d(dy, K, 'full')",
     ["x"], ["transpose"])
def make_conv2d_single_channel():
    class Convolutional:
        def __init__(self, kernels, bias):
            self.kernels, self.bias = kernels, bias

        def forward(self, x):
            self.input = x
            return np.array([[signal.correlate2d(img, K, "valid") + b for K, b in zip(self.kernels, self.bias)]
                             for img in x])

        def backward(self, output_gradient):
            self.kernels_gradient = np.zeros(self.kernels.shape)
            input_gradient = np.zeros(self.input.shape)
            for n in range(len(self.input)):
                for i, K in enumerate(self.kernels):
                    self.kernels_gradient[i] += signal.correlate2d(self.input[n], output_gradient[n, i], "valid")
                    input_gradient[n] += signal.correlate2d(output_gradient[n, i], K, "full")
            self.bias_gradient = output_gradient.sum(axis=(0, 2, 3))
            return input_gradient

    def forward(x, kernels, bias):
        layer = Convolutional(kernels, bias)
        return layer.forward(x), layer

    def backward(dy, layer):
        dx = layer.backward(dy)
        return {"x": dx, "kernels": layer.kernels_gradient, "bias": layer.bias_gradient}

    rng = np.random.default_rng(41)
    return dict(forward=forward, backward=backward,
                inputs={"x": rng.standard_normal((2, 4, 5)), "kernels": rng.standard_normal((2, 3, 3)),
                        "bias": rng.standard_normal(2)})


@bad("highway_layer", "Chainer-like library",
     "the carried input's own path is missing, it should be gx = ... + gy * (1 - self.t)",
     ["x"], ["missing-term"])
def make_highway_layer():
    class Highway:
        def forward(self, inputs):
            x, W_h, b_h, W_t, b_t = inputs
            self.retained = inputs
            self.h = np.maximum(x.dot(W_h.T) + b_h, 0)
            self.t = sigmoid(x.dot(W_t.T) + b_t)
            return self.t * self.h + (1 - self.t) * x

        def backward(self, gy):
            x, W_h, b_h, W_t, b_t = self.retained
            gh = gy * self.t * (self.h > 0)
            gt = gy * (self.h - x) * self.t * (1 - self.t)
            gx = gh.dot(W_h) + gt.dot(W_t)
            return gx, gh.T.dot(x), gh.sum(axis=0), gt.T.dot(x), gt.sum(axis=0)

    def forward(x, W_h, b_h, W_t, b_t):
        func = Highway()
        return func.forward((x, W_h, b_h, W_t, b_t)), func

    def backward(gy, func):
        return func.backward(gy)

    rng = np.random.default_rng(42)
    inputs = {"x": rng.standard_normal((3, 4)), "W_h": 0.6 * rng.standard_normal((4, 4)),
              "b_h": 0.3 * rng.standard_normal(4), "W_t": 0.6 * rng.standard_normal((4, 4)),
              "b_t": rng.standard_normal(4) - 1}
    return dict(forward=forward, backward=backward, inputs=inputs)


@bad("bilinear", "Chainer-like library",
     "the second input's gradient sums over W's wrong side, it should be np.einsum('bo,oij,bi->bj', gy, W, e1)",
     ["e2"], ["transpose"])
def make_bilinear():
    def forward(e1, e2, W):
        return np.einsum("bi,oij,bj->bo", e1, W, e2), (e1, e2, W)

    def backward(gy, inputs):
        e1, e2, W = inputs
        ge1 = np.einsum("bo,oij,bj->bi", gy, W, e2)
        ge2 = np.einsum("bo,oij,bj->bi", gy, W, e1)
        gW = np.einsum("bo,bi,bj->oij", gy, e1, e2)
        return ge1, ge2, gW

    rng = np.random.default_rng(43)
    return dict(forward=forward, backward=backward,
                inputs={"e1": rng.standard_normal((3, 4)), "e2": rng.standard_normal((3, 4)),
                        "W": rng.standard_normal((2, 4, 4))})


@good("linear_chain_crf_step", "Chainer-like library")
def make_linear_chain_crf_step():
    def forward(alpha, cost, x):
        scores = alpha[:, :, None] + cost
        out = special.logsumexp(scores, axis=1) + x

        def back(g):
            p = np.exp(scores - (out - x)[:, None, :])
            gs = p * g[:, None, :]
            return gs.sum(axis=2), gs.sum(axis=0), g.copy()

        return out, back

    def backward(g, back):
        galpha, gcost, gx = back(g)
        return {"alpha": galpha, "cost": gcost, "x": gx}

    rng = np.random.default_rng(44)
    return dict(forward=forward, backward=backward,
                inputs={"alpha": rng.standard_normal((2, 4)), "cost": rng.standard_normal((4, 4)),
                        "x": rng.standard_normal((2, 4))})


@good("embedding_bag", "Chainer-like library")
def make_embedding_bag():
    def forward(W, ids, offsets):
        ends = list(offsets[1:]) + [len(ids)]
        y = np.stack([W[ids[s:e]].mean(axis=0) for s, e in zip(offsets, ends)])
        return y, {"shape": W.shape, "ids": ids, "offsets": offsets, "ends": ends}

    def backward(gy, cache):
        gW = np.zeros(cache["shape"])
        for g, s, e in zip(gy, cache["offsets"], cache["ends"]):
            np.add.at(gW, cache["ids"][s:e], g / (e - s))
        return gW

    return dict(forward=forward, backward=backward, inputs={"W": np.random.default_rng(45).standard_normal((6, 3))},
                constants={"ids": np.array([1, 4, 4, 0, 5, 2, 1]), "offsets": np.array([0, 3, 5])})


# ---------------------------------------------------------------------------------------------- deep learning book


@bad("sigmoid_layer_by_rows", "deep learning book",
     "the rows' outer products overwrite each other, dW = np.outer(...), it should be dW += np.outer(...)",
     ["W"], ["batch-sum"])
def make_sigmoid_layer_by_rows():
    def sigmoid_layer(x, W, b):
        a = np.zeros((len(x), len(b)))
        for n in range(len(x)):
            a[n] = 1 / (1 + np.exp(-(W @ x[n] + b)))
        return a, (x, W, a)

    def sigmoid_layer_backward(da, cache):
        x, W, a = cache
        dx, dW, db = np.zeros(x.shape), np.zeros(W.shape), np.zeros(W.shape[0])
        for n in range(len(x)):
            delta = da[n] * a[n] * (1 - a[n])
            dW = np.outer(delta, x[n])
            db += delta
            dx[n] = W.T @ delta
        return dx, dW, db

    rng = np.random.default_rng(50)
    return dict(forward=sigmoid_layer, backward=sigmoid_layer_backward,
                inputs={"x": rng.standard_normal((4, 3)), "W": rng.standard_normal((2, 3)),
                        "b": rng.standard_normal(2)})


@bad("position_embedding", "deep learning book",
     "row = row + ... makes a new array and the positions' gradient stays zero, it should be row += ...",
     ["pos"], ["zero"])
def make_position_embedding():
    def forward(x, W, pos):
        h = np.tanh(x @ W + pos)
        return h, {"x": x, "W": W, "h": h, "pos": pos}

    def backward(dh, cache):
        da = dh * (1 - cache["h"] ** 2)
        dW = np.einsum("btd,bth->dh", cache["x"], da)
        dpos = np.zeros_like(cache["pos"])
        for t, row in enumerate(dpos):
            row = row + da[:, t].sum(axis=0)
        return {"x": da @ cache["W"].T, "W": dW, "pos": dpos}

    rng = np.random.default_rng(51)
    return dict(forward=forward, backward=backward,
                inputs={"x": rng.standard_normal((3, 4, 2)), "W": rng.standard_normal((2, 3)),
                        "pos": 0.5 * rng.standard_normal((4, 3))})


@good("conv2d_windows", "deep learning book")
def make_conv2d_windows():
    def conv2d(x, kernel, bias, stride, padding):
        xp = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        kh, kw = kernel.shape[2:]
        win = np.lib.stride_tricks.sliding_window_view(xp, (kh, kw), axis=(2, 3))[:, :, ::stride, ::stride]
        y = np.einsum("ncijhw,fchw->nfij", win, kernel) + bias[:, None, None]
        return y, (xp.shape, win, kernel, stride, padding, x.shape)

    def conv2d_backward(dy, cache):
        padded_shape, win, kernel, stride, padding, shape = cache
        dkernel = np.einsum("nfij,ncijhw->fchw", dy, win)
        dxp = np.zeros(padded_shape)
        rows, cols = dy.shape[2:]
        for h in range(kernel.shape[2]):
            for w in range(kernel.shape[3]):
                patch = np.einsum("nfij,fc->ncij", dy, kernel[:, :, h, w])
                dxp[:, :, h:h + stride * rows:stride, w:w + stride * cols:stride] += patch
        dx = dxp[:, :, padding:padding + shape[2], padding:padding + shape[3]]
        return {"x": dx, "kernel": dkernel, "bias": dy.sum(axis=(0, 2, 3))}

    rng = np.random.default_rng(52)
    return dict(forward=conv2d, backward=conv2d_backward,
                inputs={"x": rng.standard_normal((2, 2, 5, 4)), "kernel": 0.4 * rng.standard_normal((3, 2, 3, 3)),
                        "bias": rng.standard_normal(3)},
                constants={"stride": 2, "padding": 1})


@good("instance_norm", "deep learning book")
def make_instance_norm():
    def forward(x, scale, shift):
        axes = (1, 2)
        mu = x.mean(axis=axes, keepdims=True)
        xc = x - mu
        var = (xc ** 2).mean(axis=axes, keepdims=True)
        std = np.sqrt(var + 1e-5)
        xn = xc / std
        return xn * scale + shift, {"xc": xc, "std": std, "xn": xn, "scale": scale}

    def backward(dy, c):
        axes = (1, 2)
        n = dy.shape[1] * dy.shape[2]
        dxn = dy * c["scale"]
        dstd = -np.sum(dxn * c["xc"] / c["std"] ** 2, axis=axes, keepdims=True)
        dvar = 0.5 * dstd / c["std"]
        dxc = dxn / c["std"] + 2.0 / n * c["xc"] * dvar
        dmu = np.sum(dxc, axis=axes, keepdims=True)
        return {"x": dxc - dmu / n, "scale": np.sum(dy * c["xn"], axis=(0, 1, 2)), "shift": dy.sum(axis=(0, 1, 2))}

    rng = np.random.default_rng(53)
    return dict(forward=forward, backward=backward,
                inputs={"x": rng.standard_normal((2, 3, 2, 3)), "scale": rng.uniform(0.5, 2, 3),
                        "shift": rng.standard_normal(3)})


# --------------------------------------------------------------------------------------------------- JAX/TFP ports


@bad("rotary_embedding", "JAX/TFP port",
     "the backward turns the same way as the forward, it should turn back, rotate(dy, cos, -sin)",
     ["x"], ["sign", "transpose"])
def make_rotary_embedding():
    def rotate(x, cos, sin):
        x1, x2 = np.split(x, 2, axis=-1)
        return np.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], axis=-1)

    def apply_rope_fwd(x, base):
        T, d = x.shape[-2:]
        freq = base ** (-np.arange(0, d, 2) / d)
        angle = np.arange(T)[:, None] * freq
        res = (np.cos(angle), np.sin(angle))
        return rotate(x, *res), res

    def apply_rope_bwd(g, res):
        cos, sin = res
        return (rotate(g, cos, sin),)

    return dict(forward=apply_rope_fwd, backward=apply_rope_bwd,
                inputs={"x": np.random.default_rng(60).standard_normal((2, 4, 4))}, constants={"base": 100.0})


@bad("glu", "JAX/TFP port",
     "the halves' gradients are put together in the wrong order, it should be np.concatenate([da, db], axis)",
     ["x"], ["transpose"])
def make_glu():
    def glu_fwd(x, axis):
        a, b = np.split(x, 2, axis)
        s = special.expit(b)
        return a * s, (a, s, axis)

    def glu_bwd(res, g):
        a, s, axis = res
        da = g * s
        db = g * a * s * (1 - s)
        return np.concatenate([db, da], axis)

    return dict(forward=glu_fwd, backward=lambda g, res: glu_bwd(res, g),
                inputs={"x": np.random.default_rng(61).standard_normal((3, 6))}, constants={"axis": -1})


@bad("gamma_log_prob", "JAX/TFP port",
     "the concentration's gradient uses polygamma(1, a), it should be the digamma function, polygamma(0, a)",
     ["concentration"], ["elementwise-factor", "missing-term"])
def make_gamma_log_prob():
    def log_prob_fwd(concentration, rate, value):
        a, b, x = concentration, rate, value
        lp = special.xlogy(a, b) + special.xlogy(a - 1, x) - b * x - special.gammaln(a)
        return lp, (a, b, x)

    def log_prob_bwd(g, res):
        a, b, x = res
        return {"concentration": g * (np.log(b) + np.log(x) - special.polygamma(1, a)), "rate": g * (a / b - x)}

    rng = np.random.default_rng(62)
    return dict(forward=log_prob_fwd, backward=log_prob_bwd,
                inputs={"concentration": rng.uniform(0.5, 4, 5), "rate": rng.uniform(0.5, 2, 5)},
                constants={"value": rng.gamma(2.0, 1.0, 5)})


@bad("mvn_tril_log_prob", "JAX/TFP port",
     "the factors of the scale's outer product are swapped, it should be np.einsum('b,bi,bj->ij', g, w, z)",
     ["scale_tril"], ["transpose"])
def make_mvn_tril_log_prob():
    def log_prob_fwd(x, loc, scale_tril):
        z = linalg.solve_triangular(scale_tril, (x - loc).T, lower=True).T
        k = loc.shape[0]
        lp = -0.5 * np.sum(z ** 2, axis=-1) - np.sum(np.log(np.diag(scale_tril))) - 0.5 * k * np.log(2 * np.pi)
        return lp, (z, scale_tril)

    def log_prob_bwd(g, res):
        z, L = res
        w = linalg.solve_triangular(L, z.T, lower=True, trans="T").T
        dx = -g[:, None] * w
        outer = np.einsum("b,bi,bj->ij", g, z, w)
        dL = np.tril(outer) - np.sum(g) * np.diag(1 / np.diag(L))
        return dx, -dx.sum(axis=0), dL

    rng = np.random.default_rng(63)
    L = np.tril(0.5 * rng.standard_normal((3, 3)), -1) + np.diag(rng.uniform(0.7, 1.5, 3))
    return dict(forward=log_prob_fwd, backward=log_prob_bwd,
                inputs={"x": rng.standard_normal((4, 3)), "loc": rng.standard_normal(3), "scale_tril": L})


@good("dirichlet_log_prob", "JAX/TFP port")
def make_dirichlet_log_prob():
    def fwd(concentration, value):
        a = concentration
        lp = np.sum(special.xlogy(a - 1, value) - special.gammaln(a), axis=-1) + special.gammaln(np.sum(a, axis=-1))
        return lp, (a, value)

    def bwd(g, res):
        a, x = res
        g = np.expand_dims(g, -1)
        total = np.sum(a, axis=-1, keepdims=True)
        return (g * (special.digamma(total) - special.digamma(a) + np.log(x)), g * (a - 1) / x)

    rng = np.random.default_rng(64)
    return dict(forward=fwd, backward=bwd,
                inputs={"concentration": rng.uniform(0.5, 3, (3, 4)), "value": rng.dirichlet(3 * np.ones(4), 3)})


@good("von_mises_log_prob", "JAX/TFP port")
def make_von_mises_log_prob():
    def fwd(x, loc, concentration):
        lp = concentration * (np.cos(x - loc) - 1) - np.log(2 * np.pi) - np.log(special.i0e(concentration))
        return lp, (x - loc, concentration)

    def bwd(g, res):
        d, k = res
        dx = -g * k * np.sin(d)
        ratio = special.i1e(k) / special.i0e(k)
        return {"x": dx, "loc": -np.sum(dx), "concentration": np.sum(g * (np.cos(d) - ratio))}

    rng = np.random.default_rng(65)
    return dict(forward=fwd, backward=bwd,
                inputs={"x": rng.uniform(-3, 3, 6), "loc": np.array(0.4), "concentration": np.array(2.5)})


# ---------------------------------------------------------------------------------- statistics and numerical code


@bad("student_t_logpdf", "statistics package (scipy-like)",
     "df's gradient lacks the path through z ** 2 / df, ddf should have"
     " + (df + 1) / 2 * z ** 2 / df ** 2 / (1 + z ** 2 / df) added",
     ["df"], ["missing-term"])
def make_student_t_logpdf():
    def logpdf(x, df, loc, scale):
        z = (x - loc) / scale
        lp = special.gammaln((df + 1) / 2) - special.gammaln(df / 2) - 0.5 * np.log(df * np.pi) - np.log(scale)
        return lp - (df + 1) / 2 * np.log1p(z ** 2 / df), (z, df, scale)

    def logpdf_grad(dy, cache):
        z, df, scale = cache
        dz = -(df + 1) * z / (df + z ** 2)
        dx = dy * dz / scale
        ddf = 0.5 * (special.psi((df + 1) / 2) - special.psi(df / 2) - 1 / df - np.log1p(z ** 2 / df))
        return {"x": dx, "df": np.sum(dy * ddf), "loc": -np.sum(dx), "scale": -np.sum(dy * (dz * z + 1) / scale)}

    rng = np.random.default_rng(70)
    return dict(forward=logpdf, backward=logpdf_grad,
                inputs={"x": 2 * rng.standard_normal(6), "df": np.array(3.5), "loc": np.array(0.3),
                        "scale": np.array(0.8)})


@bad("weight_norm_linear", "statistics package (scikit-learn-like)",
     "the rows' lengths get their gradient from a sum over axis=0, it should be (dW * self.unit).sum(axis=1)",
     ["V", "g"], ["shape"])
def make_weight_norm_linear():
    class WeightNormLinear:
        def fit_forward(self, X, V, g):
            self.X_, self.g_ = X, g
            self.norm_ = np.sqrt((V ** 2).sum(axis=1))
            self.unit_ = V / self.norm_[:, None]
            self.coef_ = g[:, None] * self.unit_
            return X @ self.coef_.T

        def gradients(self, dY):
            dW = dY.T @ self.X_
            dg = (dW * self.unit_).sum(axis=0)
            dV = (self.g_ / self.norm_)[:, None] * (dW - dg[:, None] * self.unit_)
            return dict(X=dY @ self.coef_, V=dV, g=dg)

    def forward(X, V, g):
        est = WeightNormLinear()
        return est.fit_forward(X, V, g), est

    rng = np.random.default_rng(71)
    return dict(forward=forward, backward=lambda dY, est: est.gradients(dY),
                inputs={"X": rng.standard_normal((5, 4)), "V": rng.standard_normal((4, 4)),
                        "g": rng.uniform(0.5, 2.0, 4)})


@good("gp_marginal_likelihood", "statistics package (scikit-learn-like)")
def make_gp_marginal_likelihood():
    def log_marginal_likelihood(log_length, log_signal, log_noise, X, y):
        d2 = ((X[:, None, :] - X[None, :, :]) ** 2).sum(axis=-1)
        K_f = np.exp(2 * log_signal - 0.5 * d2 * np.exp(-2 * log_length))
        K = K_f + np.exp(2 * log_noise) * np.eye(len(X))
        cho = linalg.cho_factor(K, lower=True)
        a = linalg.cho_solve(cho, y)
        lml = -0.5 * y @ a - np.sum(np.log(np.diag(cho[0]))) - 0.5 * len(y) * np.log(2 * np.pi)
        return lml, (d2, K_f, cho, a, log_length, log_noise)

    def lml_gradient(dy, cache):
        d2, K_f, cho, a, log_length, log_noise = cache
        inner = np.outer(a, a) - linalg.cho_solve(cho, np.eye(len(a)))
        dK = 0.5 * dy * inner
        return (np.sum(dK * K_f * d2) * np.exp(-2 * log_length), 2 * np.sum(dK * K_f),
                2 * np.exp(2 * log_noise) * np.trace(dK))

    rng = np.random.default_rng(72)
    return dict(forward=log_marginal_likelihood, backward=lml_gradient,
                inputs={"log_length": np.array(0.2), "log_signal": np.array(-0.1), "log_noise": np.array(-1.0)},
                constants={"X": rng.standard_normal((6, 2)), "y": rng.standard_normal(6)})


@good("negative_binomial_nll", "research repository (single-cell counts)")
def make_negative_binomial_nll():
    def nll(log_mu, log_theta, x):
        mu, theta = np.exp(log_mu), np.exp(log_theta)
        log_sum = np.log(theta + mu)
        ll = theta * (log_theta - log_sum) + x * (log_mu - log_sum)
        ll += special.gammaln(x + theta) - special.gammaln(theta) - special.gammaln(x + 1)

        def vjp(g):
            g = -g[:, None]
            common = (x + theta) / (theta + mu)
            d_theta = log_theta - log_sum + 1 - common + special.digamma(x + theta) - special.digamma(theta)
            return {"log_mu": g * (x - mu * common), "log_theta": np.sum(g * theta * d_theta, axis=0)}

        return -ll.sum(axis=1), {"vjp": vjp}

    def backward(g, cache):
        return cache["vjp"](g)

    rng = np.random.default_rng(73)
    inputs = {"log_mu": 1 + 0.5 * rng.standard_normal((3, 4)), "log_theta": 0.5 * rng.standard_normal(4)}
    return dict(forward=nll, backward=backward, inputs=inputs, constants={"x": rng.poisson(3.0, (3, 4)).astype(float)})


@good("clip_contrastive", "research repository (CLIP)")
def make_clip_contrastive():
    def clip_loss(image, text, logit_scale):
        ni = np.linalg.norm(image, axis=1, keepdims=True)
        nt = np.linalg.norm(text, axis=1, keepdims=True)
        im, tx = image / ni, text / nt
        sim = im @ tx.T
        logits = np.exp(logit_scale) * sim
        n = len(logits)
        rows, cols = special.log_softmax(logits, axis=1), special.log_softmax(logits, axis=0)
        loss = -(np.trace(rows) + np.trace(cols)) / (2 * n)
        return loss, (im, tx, ni, nt, sim, rows, cols, logit_scale)

    def clip_loss_backward(dloss, cache):
        im, tx, ni, nt, sim, rows, cols, logit_scale = cache
        n = len(sim)
        dlogits = np.exp(rows) + np.exp(cols)
        dlogits[np.diag_indices(n)] -= 2
        dlogits *= dloss / (2 * n)
        scale = np.exp(logit_scale)
        dsim = scale * dlogits
        dim, dtx = dsim @ tx, dsim.T @ im
        dimage = (dim - im * (dim * im).sum(axis=1, keepdims=True)) / ni
        dtext = (dtx - tx * (dtx * tx).sum(axis=1, keepdims=True)) / nt
        return {"image": dimage, "text": dtext, "logit_scale": scale * (dlogits * sim).sum()}

    rng = np.random.default_rng(74)
    inputs = {"image": rng.standard_normal((4, 5)), "text": rng.standard_normal((4, 5)), "logit_scale": np.array(1.2)}
    return dict(forward=clip_loss, backward=clip_loss_backward, inputs=inputs)
