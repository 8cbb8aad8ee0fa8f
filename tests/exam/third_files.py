"""Third paper: whole files as students hand them in, and a few vjp items in rarer styles.

Run as a script it verifies itself with central differences (DRIVERS tells how each file's pairs are called)."""
from typing import Callable, NamedTuple

import numpy as np


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
DRIVERS = {}


# ---------------------------------------------------------------- how to call what a file holds (for my own verification only)
def fn(f, b, inputs, consts=None, plain=False):
    """f(**inputs, **consts) -> y, cache ; b(dy, cache). plain: f -> y ; b(dy, *inputs)."""
    consts = consts or {}

    def drive(ns):
        arrs = {k: np.array(v, dtype=float) for k, v in inputs.items()}

        def fwd():
            r = ns[f](**arrs, **consts)
            return r if plain else r[0]

        def bwd(dy):
            if plain:
                g = ns[b](dy, *arrs.values(), *consts.values())
            else:
                g = ns[b](dy, ns[f](**arrs, **consts)[1])
            if isinstance(g, dict):
                return {k: g[k] if k in g else g["d" + k] for k in arrs}
            return dict(zip(arrs, g if isinstance(g, tuple) else (g,)))
        return arrs, fwd, bwd
    return drive


def layer(cls, init, inputs, params=None, consts=None, nody=False, lr=None):
    """params: name -> (expression of the value, expression of the gradient) in o, or, with lr, the value alone (gradient read off the update)."""
    consts, params = consts or {}, params or {}

    def drive(ns):
        np.random.seed(3)
        o = ns[cls](**init)
        arrs = {k: np.array(v, dtype=float) for k, v in inputs.items()}
        for k, v in params.items():
            arrs[k] = eval(v if lr else v[0], {"o": o, "np": np})

        def fwd():
            return o.forward(*[arrs[k] for k in inputs], *consts.values())

        def bwd(dy):
            fwd()
            if lr:
                old = {k: arrs[k].copy() for k in params}
                g = o.backward(dy, lr)
                out = {next(iter(inputs)): g}
                for k, v in params.items():
                    new = eval(v, {"o": o})
                    out[k] = (old[k] - new) / lr
                    arrs[k][...] = old[k]
                    exec(f"{v} = a", {"o": o, "a": arrs[k]})
                return out
            g = o.backward() if nody else o.backward(dy)
            if isinstance(g, dict):
                out = {k: g[k] if k in g else g["d" + k] for k in inputs}
            else:
                out = dict(zip(inputs, g if isinstance(g, tuple) else (g,)))
            for k, v in params.items():
                out[k] = np.array(eval(v[1], {"o": o}))
            return out
        drive.nody = nody
        return arrs, fwd, bwd
    drive.nody = nody
    return drive


def file(name, style, source, drivers, slip="", wrong=(), causes=()):
    ITEMS.append(Item(name, style, "file", lambda: {"source": source}, not wrong, slip, tuple(wrong), tuple(causes)))
    DRIVERS[name] = drivers


def R(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed + 17 * len(shape) + sum(shape)).normal(size=shape) * scale


def dd(*names):
    return {n: (f"o.params['{n}']", f"o.grads['{n}']") for n in names}


# ================================================================ wrong files
file("dense_bias_mean", "layer classes with params / grads dicts", '''
import numpy as np


class Layer:
    def __init__(self):
        self.params = {}
        self.grads = {}

    def forward(self, x):
        raise NotImplementedError

    def backward(self, grad):
        raise NotImplementedError


class Dense(Layer):
    """inputs: (batch, n_in), outputs: (batch, n_out)"""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.params["w"] = np.random.randn(n_in, n_out) * np.sqrt(2.0 / n_in)
        self.params["b"] = np.random.randn(n_out) * 0.1

    def forward(self, x):
        self.inputs = x
        return x @ self.params["w"] + self.params["b"]

    def backward(self, grad):
        self.grads["w"] = self.inputs.T @ grad
        self.grads["b"] = np.mean(grad, axis=0)
        return grad @ self.params["w"].T


class Tanh(Layer):
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, grad):
        return grad * (1 - self.y ** 2)


class ReLU(Layer):
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, grad):
        return grad * self.mask
''', [layer("Dense", dict(n_in=3, n_out=2), {"x": R(5, 3)}, dd("w", "b")), layer("Tanh", {}, {"x": R(4, 3)}), layer("ReLU", {}, {"x": R(4, 3)})],
     "the bias gradient is a mean over the batch where w has a sum; use np.sum(grad, axis=0)", ("b",), ("factor", "batch-sum"))

BN_HEAD = '''
import numpy as np


def affine_forward(x, w, b):
    """x: (N, d_1, ..., d_k), w: (D, M), b: (M,)"""
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db

'''
file("cs231n_batchnorm_no_mean_path", "assignment functions x_forward / x_backward, staged batch norm", BN_HEAD + '''
def batchnorm_forward(x, gamma, beta, eps=1e-5):
    N, D = x.shape
    mu = x.mean(axis=0)
    xmu = x - mu
    var = np.mean(xmu ** 2, axis=0)
    std = np.sqrt(var + eps)
    xhat = xmu / std
    out = gamma * xhat + beta
    cache = (xhat, xmu, std, gamma)
    return out, cache


def batchnorm_backward(dout, cache):
    xhat, xmu, std, gamma = cache
    N, D = dout.shape
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    dvar = np.sum(dxhat * xmu * -0.5 * std ** -3, axis=0)
    dxmu = dxhat / std + dvar * 2.0 * xmu / N
    dx = dxmu
    return dx, dgamma, dbeta


_rng = np.random.RandomState(231)
examples = {
    "affine": {"x": _rng.randn(4, 2, 3), "w": _rng.randn(6, 3), "b": _rng.randn(3)},
    "batchnorm": {"x": 5 * _rng.randn(5, 3) + 12, "gamma": _rng.randn(3), "beta": _rng.randn(3)},
}
''', [fn("affine_forward", "affine_backward", {"x": R(4, 2, 3), "w": R(6, 3), "b": R(3)}),
      fn("batchnorm_forward", "batchnorm_backward", {"x": 5 * R(5, 3) + 12, "gamma": R(3), "beta": R(3)})],
     "dx stops at x - mu: the path through the mean is missing, dx = dxmu - dxmu.mean(0)", ("x",), ("missing-term",))

CONV = '''
import numpy as np


def conv_forward(x, w, b, conv_param):
    """x (N, C, H, W), w (F, C, HH, WW), b (F,)"""
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    Ho = 1 + (H + 2 * pad - HH) // stride
    Wo = 1 + (W + 2 * pad - WW) // stride
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="constant")
    out = np.zeros((N, F, Ho, Wo))
    for n in range(N):
        for f in range(F):
            for i in range(Ho):
                for j in range(Wo):
                    win = xp[n, :, i * stride:i * stride + HH, j * stride:j * stride + WW]
                    out[n, f, i, j] = np.sum(win * w[f]) + b[f]
    return out, (x, xp, w, b, conv_param)


def conv_backward(dout, cache):
    x, xp, w, b, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    F, _, HH, WW = w.shape
    N, _, Ho, Wo = dout.shape
    dxp = np.zeros_like(xp)
%s
    for n in range(N):
%s
        for f in range(F):
            for i in range(Ho):
                for j in range(Wo):
                    hs, ws = i * stride, j * stride
                    dw[f] += xp[n, :, hs:hs + HH, ws:ws + WW] * dout[n, f, i, j]
                    dxp[n, :, hs:hs + HH, ws:ws + WW] += w[f] * dout[n, f, i, j]
    H, W = x.shape[2:]
    dx = dxp[:, :, pad:pad + H, pad:pad + W]
    db = dout.sum(axis=(0, 2, 3))
    return dx, dw, db


def max_pool_forward(x, pool_param):
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C, H, W = x.shape
    Ho, Wo = 1 + (H - ph) // s, 1 + (W - pw) // s
    out = np.zeros((N, C, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            out[:, :, i, j] = x[:, :, i * s:i * s + ph, j * s:j * s + pw].max(axis=(2, 3))
    return out, (x, out, pool_param)


def max_pool_backward(dout, cache):
    x, out, pool_param = cache
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    dx = np.zeros_like(x)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            win = x[:, :, i * s:i * s + ph, j * s:j * s + pw]
            mask = win == out[:, :, i, j][:, :, None, None]
            dx[:, :, i * s:i * s + ph, j * s:j * s + pw] += mask * dout[:, :, i, j][:, :, None, None]
    return dx


rng = np.random.RandomState(0)
examples = {
    "conv": {"x": rng.randn(3, 2, 4, 4), "w": rng.randn(2, 2, 3, 3), "b": rng.randn(2), "conv_param": {"stride": 1, "pad": 1}},
    "max_pool": {"x": rng.randn(2, 2, 4, 4), "pool_param": {"pool_height": 2, "pool_width": 2, "stride": 2}},
}
'''
CONV_DRV = [fn("conv_forward", "conv_backward", {"x": R(3, 2, 4, 4), "w": R(2, 2, 3, 3), "b": R(2)}, {"conv_param": {"stride": 1, "pad": 1}}),
            fn("max_pool_forward", "max_pool_backward", {"x": R(2, 2, 4, 4)}, {"pool_param": {"pool_height": 2, "pool_width": 2, "stride": 2}})]
file("cs231n_conv_dw_reset_per_image", "naive loops over images, assignment functions", CONV % ("", "        dw = np.zeros_like(w)"), CONV_DRV,
     "dw is set to zero inside the loop over images, so only the last image counts; allocate it once before the loop", ("w",), ("batch-sum",))
file("cs231n_conv_right", "naive loops over images, assignment functions", CONV % ("    dw = np.zeros_like(w)", ""), CONV_DRV)

file("parameter_objects_torch_layout", "Parameter objects with .data / .grad, (out, in) weights", '''
import numpy as np


class Parameter:
    def __init__(self, data):
        self.data = np.asarray(data, dtype=np.float64)
        self.grad = np.zeros_like(self.data)


class Module:
    def parameters(self):
        return [v for v in self.__dict__.values() if isinstance(v, Parameter)]

    def zero_grad(self):
        for p in self.parameters():
            p.grad = np.zeros_like(p.data)

    def __call__(self, x):
        return self.forward(x)


class Linear(Module):
    def __init__(self, in_features, out_features):
        bound = 1.0 / np.sqrt(in_features)
        self.weight = Parameter(np.random.uniform(-bound, bound, (out_features, in_features)))
        self.bias = Parameter(np.random.uniform(-bound, bound, out_features))

    def forward(self, x):
        self.x = x
        return x @ self.weight.data.T + self.bias.data

    def backward(self, grad_output):
        self.weight.grad = self.x.T @ grad_output
        self.bias.grad = grad_output.sum(axis=0)
        return grad_output @ self.weight.data


class Sigmoid(Module):
    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, grad_output):
        return grad_output * self.out * (1 - self.out)


examples = {"Linear": {"init": {"in_features": 4, "out_features": 4}, "x": np.random.RandomState(1).randn(5, 4)}}
''', [layer("Linear", dict(in_features=4, out_features=4), {"x": R(5, 4)}, {k: (f"o.{k}.data", f"o.{k}.grad") for k in ("weight", "bias")}),
      layer("Sigmoid", {}, {"x": R(3, 4)})],
     "weight is (out, in) but its gradient is built as (in, out); grad_output.T @ x", ("weight",), ("transpose",))

file("coursera_sigmoid_of_activation", "features-first lecture functions with caches", '''
import numpy as np


def linear_forward(A, W, b):
    """A: (n_prev, m), W: (n, n_prev), b: (n, 1)"""
    Z = np.dot(W, A) + b
    cache = (A, W, b)
    return Z, cache


def linear_backward(dZ, cache):
    A_prev, W, b = cache
    dW = np.dot(dZ, A_prev.T)
    db = np.sum(dZ, axis=1, keepdims=True)
    dA_prev = np.dot(W.T, dZ)
    return dA_prev, dW, db


def sigmoid(Z):
    A = 1 / (1 + np.exp(-Z))
    cache = A
    return A, cache


def sigmoid_backward(dA, cache):
    Z = cache
    s = 1 / (1 + np.exp(-Z))
    dZ = dA * s * (1 - s)
    return dZ


def relu(Z):
    A = np.maximum(0, Z)
    cache = Z
    return A, cache


def relu_backward(dA, cache):
    Z = cache
    dZ = np.array(dA, copy=True)
    dZ[Z <= 0] = 0
    return dZ
''', [fn("linear_forward", "linear_backward", {"A": R(3, 5), "W": R(2, 3), "b": R(2, 1)}), fn("sigmoid", "sigmoid_backward", {"Z": R(3, 4)}),
      fn("relu", "relu_backward", {"Z": R(3, 4)})],
     "the cache holds A, which the backward takes for Z and sends through the sigmoid again; dZ = dA * A * (1 - A)", ("Z",), ("elementwise-factor",))

file("coursera_bias_wrong_axis", "features-first lecture functions, dict of gradients", '''
import numpy as np

np.random.seed(1)


def layer_forward(A_prev, W, b):
    Z = W @ A_prev + b
    A = np.tanh(Z)
    return A, {"A_prev": A_prev, "W": W, "A": A}


def layer_backward(dA, cache):
    # everything is (units, examples)
    A_prev, W, A = cache["A_prev"], cache["W"], cache["A"]
    dZ = dA * (1 - np.power(A, 2))
    grads = {}
    grads["dW"] = dZ @ A_prev.T
    grads["db"] = np.sum(dZ, axis=0, keepdims=True)
    grads["dA_prev"] = W.T @ dZ
    return grads


examples = {"layer": {"A_prev": np.random.randn(3, 5), "W": np.random.randn(4, 3), "b": np.random.randn(4, 1)}}
''', [fn("layer_forward", "layer_backward", {"A_prev": R(3, 5), "W": R(4, 3), "b": R(4, 1)})],
     "the bias is summed over the units, not over the examples: axis=1", ("b",), ("shape",))

file("lr_backward_tanh_unsquared", "layers whose backward takes the learning rate", '''
import numpy as np


class FCLayer:
    def __init__(self, input_size, output_size):
        self.weights = np.random.rand(input_size, output_size) - 0.5
        self.bias = np.random.rand(1, output_size) - 0.5

    def forward(self, input_data):
        self.input = input_data
        self.output = np.dot(self.input, self.weights) + self.bias
        return self.output

    # computes dE/dW, dE/dB for a given output_error=dE/dY. Returns input_error=dE/dX.
    def backward(self, output_error, learning_rate):
        input_error = np.dot(output_error, self.weights.T)
        weights_error = np.dot(self.input.T, output_error)
        self.weights -= learning_rate * weights_error
        self.bias -= learning_rate * output_error.sum(axis=0, keepdims=True)
        return input_error


class TanhLayer:
    def forward(self, input_data):
        self.input = input_data
        self.output = np.tanh(self.input)
        return self.output

    def backward(self, output_error, learning_rate):
        return (1 - self.output) * output_error


class SigmoidLayer:
    def forward(self, input_data):
        self.output = 1.0 / (1.0 + np.exp(-input_data))
        return self.output

    def backward(self, output_error, learning_rate):
        return self.output * (1 - self.output) * output_error
''', [layer("FCLayer", dict(input_size=3, output_size=2), {"input_data": R(4, 3)}, {"weights": "o.weights", "bias": "o.bias"}, lr=.1),
      layer("TanhLayer", {}, {"input_data": R(4, 3)}, lr=.1), layer("SigmoidLayer", {}, {"input_data": R(4, 3)}, lr=.1)],
     "the slope of tanh is 1 - output**2, not 1 - output", ("input_data",), ("elementwise-factor",))

file("lr_backward_updates_first", "layers whose backward takes the learning rate", '''
import numpy as np


class Dense:
    def __init__(self, n_inputs, n_neurons):
        self.weights = np.random.randn(n_inputs, n_neurons)
        self.biases = np.zeros((1, n_neurons))

    def forward(self, inputs):
        self.inputs = inputs
        return inputs @ self.weights + self.biases

    def backward(self, dvalues, learning_rate=0.1):
        dweights = self.inputs.T @ dvalues
        dbiases = dvalues.sum(axis=0, keepdims=True)
        # gradient descent step
        self.weights -= learning_rate * dweights
        self.biases -= learning_rate * dbiases
        return dvalues @ self.weights.T


class Relu:
    def forward(self, inputs):
        self.inputs = inputs
        return np.maximum(0, inputs)

    def backward(self, dvalues, learning_rate=0.1):
        dinputs = dvalues.copy()
        dinputs[self.inputs <= 0] = 0
        return dinputs


examples = {"Dense": {"init": {"n_inputs": 3, "n_neurons": 4}, "x": np.random.RandomState(5).randn(5, 3)}}
''', [layer("Dense", dict(n_inputs=3, n_neurons=4), {"inputs": R(5, 3)}, {"weights": "o.weights", "biases": "o.biases"}, lr=.1), layer("Relu", {}, {"inputs": R(4, 3)}, lr=.1)],
     "the weights are stepped before the gradient of the inputs is taken through them; compute dvalues @ weights.T first", ("inputs",), ("mutates-input", "missing-term", "unknown"))

file("column_softmax_layer", "column-vector layers, base class, learning rate in backward", '''
import numpy as np


class Layer:
    def __init__(self):
        self.input = None
        self.output = None


class Dense(Layer):
    def __init__(self, input_size, output_size):
        self.weights = np.random.randn(output_size, input_size)
        self.bias = np.random.randn(output_size, 1)

    def forward(self, input):
        self.input = input
        return np.dot(self.weights, self.input) + self.bias

    def backward(self, output_gradient, learning_rate):
        weights_gradient = np.dot(output_gradient, self.input.T)
        input_gradient = np.dot(self.weights.T, output_gradient)
        self.weights -= learning_rate * weights_gradient
        self.bias -= learning_rate * output_gradient
        return input_gradient


class Softmax(Layer):
    def forward(self, input):
        tmp = np.exp(input - np.max(input))
        self.output = tmp / np.sum(tmp)
        return self.output

    def backward(self, output_gradient, learning_rate):
        n = np.size(self.output)
        M = np.tile(self.output, n)
        return np.dot(M * (np.identity(n) - M), output_gradient)


examples = {
    "Dense": {"init": {"input_size": 3, "output_size": 2}, "x": np.array([[0.3], [-1.2], [0.7]])},
    "Softmax": {"x": np.array([[0.5], [-0.4], [1.3], [0.1]])},
}
''', [layer("Dense", dict(input_size=3, output_size=2), {"input": R(3, 1)}, {"weights": "o.weights", "bias": "o.bias"}, lr=.1), layer("Softmax", {}, {"input": np.array([[.5], [-.4], [1.3], [.1]])}, lr=.1)],
     "the second M has to be transposed: the Jacobian is s_i (delta_ij - s_j), here it is s_i (delta_ij - s_i)", ("input",), ("transpose", "missing-term", "unknown"))

file("mse_class_by_rows", "losses as classes", '''
import numpy as np


class MSELoss:
    def forward(self, y_pred, y_true):
        self.diff = y_pred - y_true
        return np.mean(self.diff ** 2)

    def backward(self):
        return 2 * self.diff / self.diff.shape[0]


class MAELoss:
    def forward(self, y_pred, y_true):
        self.diff = y_pred - y_true
        return np.mean(np.abs(self.diff))

    def backward(self):
        return np.sign(self.diff) / self.diff.size


rs = np.random.RandomState(7)
examples = {
    "MSELoss": {"y_pred": rs.randn(4, 3), "y_true": rs.randn(4, 3)},
    "MAELoss": {"y_pred": rs.randn(4, 3), "y_true": rs.randn(4, 3)},
}
''', [layer("MSELoss", {}, {"y_pred": R(4, 3)}, consts={"t": R(4, 3, seed=5)}, nody=True), layer("MAELoss", {}, {"y_pred": R(4, 3)}, consts={"t": R(4, 3, seed=5)}, nody=True)],
     "the forward averages over all entries, the backward divides by the rows alone; / self.diff.size", ("y_pred",), ("factor",))

file("bce_class_second_sign", "losses as classes, base class", '''
import numpy as np


class Loss:
    def forward(self, pred, target):
        raise NotImplementedError

    def backward(self):
        raise NotImplementedError


class BinaryCrossEntropy(Loss):
    """pred are probabilities"""

    def __init__(self, eps=1e-12):
        self.eps = eps

    def forward(self, pred, target):
        self.p = np.clip(pred, self.eps, 1 - self.eps)
        self.t = target
        return -np.sum(self.t * np.log(self.p) + (1 - self.t) * np.log(1 - self.p)) / len(pred)

    def backward(self):
        return (-self.t / self.p - (1 - self.t) / (1 - self.p)) / len(self.t)


class SquaredError(Loss):
    def forward(self, pred, target):
        self.d = pred - target
        return 0.5 * np.sum(self.d ** 2)

    def backward(self):
        return self.d


_r = np.random.RandomState(3)
examples = {
    "BinaryCrossEntropy": {"pred": _r.uniform(0.1, 0.9, (5, 2)), "target": np.array([[1., 0.], [0., 0.], [1., 1.], [0., 1.], [1., 0.]])},
    "SquaredError": {"pred": _r.randn(3, 2), "target": _r.randn(3, 2)},
}
''', [layer("BinaryCrossEntropy", {}, {"pred": np.random.RandomState(3).uniform(.1, .9, (5, 2))}, consts={"t": np.array([[1., 0.], [0., 0.], [1., 1.], [0., 1.], [1., 0.]])}, nody=True),
      layer("SquaredError", {}, {"pred": R(3, 2)}, consts={"t": R(3, 2, seed=4)}, nody=True)],
     "the term of the zeros has the wrong sign: -t/p + (1-t)/(1-p)", ("pred",), ("elementwise-factor", "missing-term"))

file("module_list_leaky_by_gradient", "Sequential over a module list", '''
import numpy as np


class Linear:
    def __init__(self, in_dim, out_dim):
        self.W = np.random.randn(in_dim, out_dim) / np.sqrt(in_dim)
        self.b = np.zeros(out_dim)
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, x):
        self.x = x
        return x.dot(self.W) + self.b

    def backward(self, dout):
        self.dW[...] = self.x.T.dot(dout)
        self.db[...] = dout.sum(0)
        return dout.dot(self.W.T)


class LeakyReLU:
    def __init__(self, slope=0.1):
        self.slope = slope

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.slope * x)

    def backward(self, dout):
        return np.where(dout > 0, dout, self.slope * dout)


class Sequential:
    def __init__(self, modules):
        self.modules = modules

    def forward(self, x):
        for m in self.modules:
            x = m.forward(x)
        return x

    def backward(self, dout):
        for m in reversed(self.modules):
            dout = m.backward(dout)
        return dout


def build_mlp(sizes):
    mods = []
    for a, b in zip(sizes[:-1], sizes[1:]):
        mods += [Linear(a, b), LeakyReLU()]
    return Sequential(mods[:-1])
''', [layer("Linear", dict(in_dim=3, out_dim=2), {"x": R(4, 3)}, {"W": ("o.W", "o.dW"), "b": ("o.b", "o.db")}), layer("LeakyReLU", {}, {"x": R(4, 3)})],
     "the slope is chosen by the sign of the incoming gradient, not of x; np.where(self.x > 0, ...)", ("x",), ("elementwise-factor",))

file("prelu_scalar_no_mask", "layers with one scalar parameter", '''
import numpy as np


class PReLU:
    def __init__(self, a=0.25):
        self.params = {"a": np.array([a])}
        self.grads = {"a": np.zeros(1)}

    def forward(self, x):
        self.x = x
        self.neg = x < 0
        return np.where(self.neg, self.params["a"][0] * x, x)

    def backward(self, dout):
        self.grads["a"] = np.array([np.sum(dout * self.x)])
        return np.where(self.neg, self.params["a"][0] * dout, dout)


class Scale:
    def __init__(self, s=1.5):
        self.params = {"s": np.array([s])}
        self.grads = {"s": np.zeros(1)}

    def forward(self, x):
        self.x = x
        return self.params["s"] * x

    def backward(self, dout):
        self.grads["s"] = np.array([np.sum(dout * self.x)])
        return self.params["s"] * dout


examples = {"PReLU": {"init": {"a": 0.2}, "x": np.random.RandomState(11).randn(4, 3)}}
''', [layer("PReLU", dict(a=.2), {"x": R(4, 3)}, dd("a")), layer("Scale", {}, {"x": R(4, 3)}, dd("s"))],
     "the gradient of the slope sums over all entries; only the negative ones depend on it: np.sum((dout * x)[neg])", ("a",), ("elementwise-factor", "missing-term", "factor"))

file("bn_class_gamma_by_input", "batch-norm class with running averages and dgamma attributes", '''
import numpy as np


class BatchNorm1d:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.gamma = np.ones(num_features)
        self.beta = np.zeros(num_features)
        self.eps = eps
        self.momentum = momentum
        self.running_mean = np.zeros(num_features)
        self.running_var = np.ones(num_features)
        self.training = True

    def forward(self, x):
        if self.training:
            self.mean = x.mean(axis=0)
            self.var = x.var(axis=0)
            self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * self.mean
            self.running_var = (1 - self.momentum) * self.running_var + self.momentum * self.var
        else:
            self.mean, self.var = self.running_mean, self.running_var
        self.x = x
        self.inv_std = 1 / np.sqrt(self.var + self.eps)
        self.x_hat = (x - self.mean) * self.inv_std
        return self.gamma * self.x_hat + self.beta

    def backward(self, dout):
        N = dout.shape[0]
        self.dgamma = np.sum(dout * self.x, axis=0)
        self.dbeta = np.sum(dout, axis=0)
        dx_hat = dout * self.gamma
        dx = (1 / N) * self.inv_std * (N * dx_hat - dx_hat.sum(axis=0) - self.x_hat * np.sum(dx_hat * self.x_hat, axis=0))
        return dx


examples = {"BatchNorm1d": {"init": {"num_features": 3}, "x": np.random.RandomState(2).randn(6, 3) * 2 + 1}}
''', [layer("BatchNorm1d", dict(num_features=3), {"x": R(6, 3) * 2 + 1}, {"gamma": ("o.gamma", "o.dgamma"), "beta": ("o.beta", "o.dbeta")})],
     "gamma multiplies the normalised input, so dgamma = sum(dout * x_hat), not x", ("gamma",), ("elementwise-factor", "missing-term"))

IM2COL = '''
import numpy as np


def im2col(x, fh, fw, stride=1, pad=0):
    N, C, H, W = x.shape
    oh = (H + 2 * pad - fh) // stride + 1
    ow = (W + 2 * pad - fw) // stride + 1
    img = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)], "constant")
    col = np.zeros((N, C, fh, fw, oh, ow))
    for i in range(fh):
        for j in range(fw):
            col[:, :, i, j, :, :] = img[:, :, i:i + stride * oh:stride, j:j + stride * ow:stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(N * oh * ow, -1)


def col2im(col, shape, fh, fw, stride=1, pad=0):
    N, C, H, W = shape
    oh = (H + 2 * pad - fh) // stride + 1
    ow = (W + 2 * pad - fw) // stride + 1
    col = col.reshape(N, oh, ow, C, fh, fw).transpose(0, 3, 4, 5, 1, 2)
    img = np.zeros((N, C, H + 2 * pad + stride - 1, W + 2 * pad + stride - 1))
    for i in range(fh):
        for j in range(fw):
            img[:, :, i:i + stride * oh:stride, j:j + stride * ow:stride] += col[:, :, i, j]
    return img[:, :, pad:H + pad, pad:W + pad]


class Convolution:
    def __init__(self, W, b, stride=1, pad=0):
        self.W = W
        self.b = b
        self.stride = stride
        self.pad = pad

    def forward(self, x):
        FN, C, FH, FW = self.W.shape
        N, _, H, Wd = x.shape
        oh = 1 + (H + 2 * self.pad - FH) // self.stride
        ow = 1 + (Wd + 2 * self.pad - FW) // self.stride
        self.x_shape = x.shape
        self.col = im2col(x, FH, FW, self.stride, self.pad)
        self.col_W = self.W.reshape(FN, -1).T
        out = np.dot(self.col, self.col_W) + self.b
        return out.reshape(N, oh, ow, -1).transpose(0, 3, 1, 2)

    def backward(self, dout):
        FN, C, FH, FW = self.W.shape
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
        self.db = np.sum(dout, axis=0)
        self.dW = np.dot(self.col.T, dout)
        self.dW = self.dW%s.reshape(FN, C, FH, FW)
        dcol = np.dot(dout, self.col_W.T)
        return col2im(dcol, self.x_shape, FH, FW, self.stride, self.pad)


_g = np.random.RandomState(4)
examples = {"Convolution": {"init": {"W": _g.randn(3, 2, 2, 2), "b": _g.randn(3), "stride": %d, "pad": %d}, "x": _g.randn(3, 2, 4, 4)}}
'''
def conv_drv(s, p):
    return [layer("Convolution", dict(W=R(3, 2, 2, 2), b=R(3), stride=s, pad=p), {"x": R(3, 2, 4, 4)}, {"W": ("o.W", "o.dW"), "b": ("o.b", "o.db")})]
file("im2col_conv_reshape_untransposed", "im2col convolution class from a textbook", IM2COL % ("", 1, 0), conv_drv(1, 0),
     "col.T @ dout is (C FH FW, FN) and has to be transposed before it is reshaped to (FN, C, FH, FW)", ("W",), ("transpose",))
file("im2col_conv_right", "im2col convolution class from a textbook, stride 2 and padding", IM2COL % (".transpose(1, 0)", 2, 1), conv_drv(2, 1))

RNN = '''
"""Vanilla RNN layers."""
import numpy as np


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h ** 2)
    return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def rnn_forward(x, h0, Wx, Wh, b):
    """x: (N, T, D)  ->  h: (N, T, H)"""
    N, T, D = x.shape
    h = np.zeros((N, T, h0.shape[1]))
    caches = []
    prev = h0
    for t in range(T):
        prev, c = rnn_step_forward(x[:, t], prev, Wx, Wh, b)
        h[:, t] = prev
        caches.append(c)
    return h, caches


def rnn_backward(dh, cache):
    N, T, H = dh.shape
    D = cache[0][0].shape[1]
    dx = np.zeros((N, T, D))
    dWx, dWh, db = np.zeros((D, H)), np.zeros((H, H)), np.zeros(H)
    dprev = np.zeros((N, H))
    for t in reversed(range(T)):
        dx[:, t], dprev, dWx_t, dWh_t, db_t = rnn_step_backward(dh[:, t] + dprev, cache[t])
        dWx += dWx_t
        dWh += dWh_t
        %s
    return dx, dprev, dWx, dWh, db


np.random.seed(231)
examples = {
    "rnn_step": {"x": np.random.randn(3, 2), "prev_h": np.random.randn(3, 4), "Wx": np.random.randn(2, 4), "Wh": np.random.randn(4, 4), "b": np.random.randn(4)},
    "rnn": {"x": np.random.randn(3, 4, 2), "h0": np.random.randn(3, 4), "Wx": np.random.randn(2, 4) * 0.5, "Wh": np.random.randn(4, 4) * 0.5, "b": np.random.randn(4)},
}
'''
RNN_DRV = [fn("rnn_step_forward", "rnn_step_backward", {"x": R(3, 2), "prev_h": R(3, 4), "Wx": R(2, 4), "Wh": R(4, 4), "b": R(4)}),
           fn("rnn_forward", "rnn_backward", {"x": R(3, 4, 2), "h0": R(3, 4), "Wx": .5 * R(2, 4), "Wh": .5 * R(4, 4), "b": R(4)})]
file("rnn_bias_last_step_only", "assignment RNN, step functions and a loop", RNN % "db = db_t", RNN_DRV,
     "the bias gradient of each step overwrites that of the others; db += db_t", ("b",), ("missing-term", "batch-sum", "unknown"))
file("rnn_right", "assignment RNN, step functions and a loop", RNN % "db += db_t", RNN_DRV)

EMB = '''
import numpy as np


class Embedding:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]
        self.idx = None

    def forward(self, idx):
        W, = self.params
        self.idx = idx
        return W[idx]

    def backward(self, dout):
        dW, = self.grads
        dW[...] = 0
        %s
        return None


class MatMul:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]
        self.x = None

    def forward(self, x):
        W, = self.params
        self.x = x
        return np.dot(x, W)

    def backward(self, dout):
        W, = self.params
        self.grads[0][...] = np.dot(self.x.T, dout)
        return np.dot(dout, W.T)


_rng = np.random.RandomState(8)
examples = {
    "Embedding": {"init": {"W": _rng.randn(5, 3)}, "idx": np.array([0, 2, 2, 4, 1, 2])},
    "MatMul": {"init": {"W": _rng.randn(3, 2)}, "x": _rng.randn(4, 3)},
}
'''
EMB_DRV = [layer("Embedding", dict(W=R(5, 3)), {}, {"W": ("o.params[0]", "o.grads[0]")}, {"idx": np.array([0, 2, 2, 4, 1, 2])}),
           layer("MatMul", dict(W=R(3, 2)), {"x": R(4, 3)}, {"W": ("o.params[0]", "o.grads[0]")})]
file("embedding_repeated_index", "NLP textbook layers with params / grads lists", EMB % "dW[self.idx] += dout", EMB_DRV,
     "fancy-index += keeps one of the rows that share an index; np.add.at(dW, self.idx, dout)", ("W",), ("batch-sum", "missing-term"))
file("embedding_add_at_right", "NLP textbook layers with params / grads lists", EMB % "np.add.at(dW, self.idx, dout)", EMB_DRV)

file("layernorm_counts_rows", "layer-norm class, transformer from scratch", '''
import numpy as np


class LayerNorm:
    def __init__(self, dim, eps=1e-6):
        self.params = {"gamma": np.ones(dim) + 0.1 * np.arange(dim), "beta": np.zeros(dim)}
        self.grads = {}
        self.eps = eps

    def forward(self, x):
        mu = x.mean(-1, keepdims=True)
        var = x.var(-1, keepdims=True)
        self.rstd = 1 / np.sqrt(var + self.eps)
        self.xhat = (x - mu) * self.rstd
        return self.params["gamma"] * self.xhat + self.params["beta"]

    def backward(self, dy):
        N = dy.shape[0]
        self.grads["gamma"] = (dy * self.xhat).sum(0)
        self.grads["beta"] = dy.sum(0)
        g = dy * self.params["gamma"]
        return self.rstd * (g - g.sum(-1, keepdims=True) / N - self.xhat * (g * self.xhat).sum(-1, keepdims=True) / N)


class GELU:
    C = np.sqrt(2 / np.pi)

    def forward(self, x):
        self.x = x
        self.t = np.tanh(self.C * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1 + self.t)

    def backward(self, dy):
        dt = (1 - self.t ** 2) * self.C * (1 + 3 * 0.044715 * self.x ** 2)
        return dy * (0.5 * (1 + self.t) + 0.5 * self.x * dt)


examples = {"LayerNorm": {"init": {"dim": 5}, "x": np.random.RandomState(9).randn(3, 5)}, "GELU": {"x": np.random.RandomState(10).randn(3, 4)}}
''', [layer("LayerNorm", dict(dim=5), {"x": R(3, 5)}, dd("gamma", "beta")), layer("GELU", {}, {"x": R(3, 4)})],
     "the means over the features are divided by the number of rows; N = dy.shape[-1]", ("x",), ("missing-term", "unknown"))

ATT = '''
import numpy as np


def softmax(s):
    s = s - s.max(axis=-1, keepdims=True)
    e = np.exp(s)
    return e / e.sum(axis=-1, keepdims=True)


def attention_forward(q, k, v):
    """q (B, Tq, d), k (B, Tk, d), v (B, Tk, e)"""
    d = q.shape[-1]
    scores = np.einsum("bid,bjd->bij", q, k) / np.sqrt(d)
    a = softmax(scores)
    out = np.einsum("bij,bje->bie", a, v)
    return out, (q, k, v, a)


def attention_backward(dout, cache):
    q, k, v, a = cache
    d = q.shape[-1]
    dv = np.einsum("bij,bie->bje", a, dout)
    da = np.einsum("bie,bje->bij", dout, v)
    ds = a * (da - np.sum(da * a, axis=-1, keepdims=True))%s
    dq = np.einsum("bij,bjd->bid", ds, k)
    dk = np.einsum("bij,bid->bjd", ds, q)
    return {"dq": dq, "dk": dk, "dv": dv}


_r = np.random.default_rng(12)
examples = {"attention": {"q": _r.normal(size=(2, 3, 4)), "k": _r.normal(size=(2, 4, 4)), "v": _r.normal(size=(2, 4, 2))}}
'''
ATT_DRV = [fn("attention_forward", "attention_backward", {"q": R(2, 3, 4), "k": R(2, 4, 4), "v": R(2, 4, 2)})]
file("attention_no_scale", "transformer functions with einsum and dicts of gradients", ATT % "", ATT_DRV,
     "the 1/sqrt(d) of the scores is missing on the way back; ds /= np.sqrt(d)", ("q", "k"), ("factor",))
file("attention_einsum_right", "transformer functions with einsum and dicts of gradients", ATT % " / np.sqrt(d)", ATT_DRV)

file("dropout_keep_lost", "assignment functions with a parameter dict and a seed", '''
import numpy as np


def relu_forward(x):
    return np.maximum(x, 0), x


def relu_backward(dout, cache):
    return dout * (cache > 0)


def dropout_forward(x, dropout_param):
    p, mode = dropout_param["p"], dropout_param["mode"]
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])
    mask = None
    if mode == "train":
        mask = np.random.rand(*x.shape) < p
        out = x * mask / p
    else:
        out = x
    return out, (dropout_param, mask)


def dropout_backward(dout, cache):
    dropout_param, mask = cache
    if dropout_param["mode"] == "train":
        return dout * mask
    return dout


examples = {"relu": {"x": np.linspace(-1, 1.3, 12).reshape(3, 4)},
            "dropout": {"x": np.random.RandomState(0).randn(5, 6), "dropout_param": {"mode": "train", "p": 0.6, "seed": 123}}}
''', [fn("relu_forward", "relu_backward", {"x": np.linspace(-1, 1.3, 12).reshape(3, 4)}), fn("dropout_forward", "dropout_backward", {"x": R(5, 6)}, {"dropout_param": {"mode": "train", "p": .6, "seed": 123}})],
     "inverted dropout divides by p in the forward; the backward must too: dout * mask / p", ("x",), ("factor", "elementwise-factor"))

file("residual_masks_the_shared_gradient", "ResNet-like block class", '''
import numpy as np


class ResBlock:
    """y = x + relu(x W + b)"""

    def __init__(self, dim):
        self.W = np.random.randn(dim, dim) * 0.5
        self.b = np.random.randn(dim) * 0.1

    def forward(self, x):
        self.x = x
        self.z = x @ self.W + self.b
        return x + np.maximum(self.z, 0)

    def backward(self, dout):
        dout = np.array(dout)
        dz = dout
        dz[self.z <= 0] = 0
        self.dW = self.x.T @ dz
        self.db = dz.sum(axis=0)
        dx = dz @ self.W.T
        dx += dout      # skip connection
        return dx


examples = {"ResBlock": {"init": {"dim": 4}, "x": np.random.RandomState(6).randn(5, 4)}}
''', [layer("ResBlock", dict(dim=4), {"x": R(5, 4)}, {"W": ("o.W", "o.dW"), "b": ("o.b", "o.db")})],
     "dz is the same array as dout, so the mask also cuts the gradient of the skip connection; dz = dout.copy()", ("x",), ("elementwise-factor", "missing-term"))

file("avgpool_not_averaged", "small CNN hobby repository, channels last", '''
import numpy as np


class AvgPool2D:
    def __init__(self, size=2):
        self.size = size

    def forward(self, x):
        # x: (batch, height, width, channels)
        n, h, w, c = x.shape
        s = self.size
        self.in_shape = x.shape
        return x.reshape(n, h // s, s, w // s, s, c).mean(axis=(2, 4))

    def backward(self, grad):
        s = self.size
        return np.repeat(np.repeat(grad, s, axis=1), s, axis=2) / s


class Flatten:
    def forward(self, x):
        self.in_shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, grad):
        return grad.reshape(self.in_shape)


examples = {
    "AvgPool2D": {"init": {"size": 2}, "x": np.random.RandomState(1).rand(2, 4, 4, 2)},
    "Flatten": {"x": np.random.RandomState(2).rand(3, 2, 2, 2)},
}
''', [layer("AvgPool2D", {}, {"x": R(2, 4, 4, 2)}), layer("Flatten", {}, {"x": R(3, 2, 2, 2)})],
     "the mean is over size*size pixels, the backward divides by size alone; / (s * s)", ("x",), ("factor",))

file("tiny_framework_mul_swapped", "tiny framework of Function classes", '''
import numpy as np


class Function:
    def save(self, *arrays):
        self.saved = arrays


class Add(Function):
    def forward(self, a, b):
        return a + b

    def backward(self, g):
        return g, g


class Mul(Function):
    def forward(self, a, b):
        self.save(a, b)
        return a * b

    def backward(self, g):
        a, b = self.saved
        return g * a, g * b


class Exp(Function):
    def forward(self, a):
        y = np.exp(a)
        self.save(y)
        return y

    def backward(self, g):
        y, = self.saved
        return g * y


class MatMul(Function):
    def forward(self, a, b):
        self.save(a, b)
        return a @ b

    def backward(self, g):
        a, b = self.saved
        return g @ b.T, a.T @ g


_r = np.random.RandomState(13)
examples = {
    "Add": {"a": _r.randn(3, 2), "b": _r.randn(3, 2)},
    "Mul": {"a": _r.randn(3, 2), "b": _r.randn(3, 2)},
    "Exp": {"a": _r.randn(3, 2)},
    "MatMul": {"a": _r.randn(3, 2), "b": _r.randn(2, 4)},
}
''', [layer("Add", {}, {"a": R(3, 2), "b": R(3, 2, seed=9)}), layer("Mul", {}, {"a": R(3, 2), "b": R(3, 2, seed=9)}), layer("Exp", {}, {"a": R(3, 2)}), layer("MatMul", {}, {"a": R(3, 2), "b": R(2, 4)})],
     "each factor's gradient is multiplied with itself rather than with the other; return g * b, g * a", ("a", "b"), ("elementwise-factor",))

file("activations_elu_shift", "activation zoo, f(x) and f_backward(dy, x)", '''
import numpy as np


def elu(x, alpha=0.7):
    return np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1))


def elu_backward(dy, x, alpha=0.7):
    y = elu(x, alpha)
    return dy * np.where(x > 0, 1.0, y)


def softplus(x):
    return np.logaddexp(0, x)


def softplus_backward(dy, x):
    return dy / (1 + np.exp(-x))


def swish(x):
    return x / (1 + np.exp(-x))


def swish_backward(dy, x):
    s = 1 / (1 + np.exp(-x))
    return dy * (s + x * s * (1 - s))


def softsign(x):
    return x / (1 + np.abs(x))


def softsign_backward(dy, x):
    return dy / (1 + np.abs(x)) ** 2
''', [fn(f, f + "_backward", {"x": R(3, 4)}, plain=True) for f in ("elu", "softplus", "swish", "softsign")],
     "below zero the slope is y + alpha, not y", ("x",), ("elementwise-factor",))

file("highway_gate_forgets_carry", "highway layer, research code with a dict of gradients", '''
import numpy as np


class Highway:
    def __init__(self, n, seed=0):
        rng = np.random.RandomState(seed)
        self.p = None
        self.params = {
            "Wh": rng.randn(n, n) * 0.6, "bh": np.zeros(n),
            "Wt": rng.randn(n, n) * 0.6, "bt": -np.ones(n),
        }
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}

    def forward(self, x):
        p = self.params
        self.x = x
        self.h = np.tanh(x @ p["Wh"] + p["bh"])
        self.t = 1 / (1 + np.exp(-(x @ p["Wt"] + p["bt"])))
        return self.t * self.h + (1 - self.t) * x

    def backward(self, dy):
        p, g = self.params, self.grads
        x, h, t = self.x, self.h, self.t
        dzh = dy * t * (1 - h ** 2)
        dzt = dy * h * t * (1 - t)
        g["Wh"] = x.T @ dzh
        g["bh"] = dzh.sum(0)
        g["Wt"] = x.T @ dzt
        g["bt"] = dzt.sum(0)
        return dy * (1 - t) + dzh @ p["Wh"].T + dzt @ p["Wt"].T


examples = {"Highway": {"init": {"n": 3}, "x": np.random.RandomState(21).randn(5, 3)}}
''', [layer("Highway", dict(n=3), {"x": R(5, 3)}, dd("Wh", "bh", "Wt", "bt"))],
     "the gate also weighs the carried x: dt = dy * (h - x)", ("x", "Wt", "bt"), ("missing-term", "elementwise-factor", "unknown"))

file("two_layer_block_b1_never_filled", "block class, gradients allocated with zeros", '''
import numpy as np


class MLPBlock:
    def __init__(self, d_in, d_hidden, d_out):
        self.params = {
            "W1": np.random.randn(d_in, d_hidden), "b1": np.random.randn(d_hidden) * 0.1,
            "W2": np.random.randn(d_hidden, d_out), "b2": np.random.randn(d_out) * 0.1,
        }
        self.grads = {}

    def forward(self, x):
        self.x = x
        self.h = np.tanh(x @ self.params["W1"] + self.params["b1"])
        return self.h @ self.params["W2"] + self.params["b2"]

    def backward(self, dy):
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}
        self.grads["W2"] += self.h.T @ dy
        self.grads["b2"] += dy.sum(axis=0)
        dh = dy @ self.params["W2"].T
        dz = (1 - self.h * self.h) * dh
        self.grads["W1"] += self.x.T @ dz
        return dz @ self.params["W1"].T
''', [layer("MLPBlock", dict(d_in=3, d_hidden=4, d_out=2), {"x": R(5, 3)}, dd("W1", "b1", "W2", "b2"))],
     "b1's gradient is allocated but never added to; grads['b1'] += dz.sum(axis=0)", ("b1",), ("zero",))

file("rbf_centres_sign", "RBF network layer, neuro-fuzzy hobby code", '''
import numpy as np


class RBFLayer:
    def __init__(self, n_in, n_centres):
        self.centres = np.random.randn(n_centres, n_in)
        self.log_gamma = np.log(0.5) * np.ones(n_centres)
        self.grad_centres = None
        self.grad_log_gamma = None

    def forward(self, x):
        self.diff = x[:, None, :] - self.centres[None, :, :]      # (B, K, D)
        self.sq = np.sum(self.diff ** 2, axis=2)
        self.gamma = np.exp(self.log_gamma)
        self.phi = np.exp(-self.gamma * self.sq)
        return self.phi

    def backward(self, dphi):
        dsq = -dphi * self.phi * self.gamma
        ddiff = 2 * dsq[:, :, None] * self.diff
        self.grad_log_gamma = -np.sum(dphi * self.phi * self.sq * self.gamma, axis=0)
        self.grad_centres = ddiff.sum(axis=0)
        return ddiff.sum(axis=1)


examples = {"RBFLayer": {"init": {"n_in": 2, "n_centres": 3}, "x": np.random.RandomState(14).randn(5, 2)}}
''', [layer("RBFLayer", dict(n_in=2, n_centres=3), {"x": R(5, 2)}, {k: (f"o.{k}", f"o.grad_{k}") for k in ("centres", "log_gamma")})],
     "the centres are subtracted: grad_centres = -ddiff.sum(axis=0)", ("centres",), ("sign",))

# ================================================================ right files (besides conv, im2col, rnn, embedding, attention above)
file("textbook_layers_right", "textbook layers: Affine with tensors, masks, loss layer with two kinds of labels", '''
import numpy as np


class Relu:
    def __init__(self):
        self.mask = None

    def forward(self, x):
        self.mask = (x <= 0)
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dout = dout.copy()
        dout[self.mask] = 0
        return dout


class Affine:
    def __init__(self, W, b):
        self.W = W
        self.b = b
        self.dW = None
        self.db = None

    def forward(self, x):
        self.original_x_shape = x.shape
        self.x = x.reshape(x.shape[0], -1)
        return np.dot(self.x, self.W) + self.b

    def backward(self, dout):
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx.reshape(*self.original_x_shape)


class SoftmaxWithLoss:
    def __init__(self):
        self.y = None
        self.t = None

    def forward(self, x, t):
        self.t = t
        x = x - x.max(axis=1, keepdims=True)
        self.y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        if t.ndim == 1:
            return -np.sum(np.log(self.y[np.arange(len(t)), t])) / len(t)
        return -np.sum(t * np.log(self.y)) / len(t)

    def backward(self, dout=1):
        n = self.t.shape[0]
        if self.t.size == self.y.size:
            dx = (self.y - self.t) / n
        else:
            dx = self.y.copy()
            dx[np.arange(n), self.t] -= 1
            dx = dx / n
        return dx * dout


_r = np.random.RandomState(30)
examples = {
    "Affine": {"init": {"W": _r.randn(6, 3), "b": _r.randn(3)}, "x": _r.randn(4, 2, 3)},
    "SoftmaxWithLoss": {"x": _r.randn(5, 3) * 4, "t": np.array([0, 2, 1, 1, 0])},
    "Relu": {"x": _r.randn(4, 3)},
}
''', [layer("Relu", {}, {"x": R(4, 3)}), layer("Affine", dict(W=R(6, 3), b=R(3)), {"x": R(4, 2, 3)}, {"W": ("o.W", "o.dW"), "b": ("o.b", "o.db")}),
      layer("SoftmaxWithLoss", {}, {"x": 4 * R(5, 3)}, consts={"t": np.array([0, 2, 1, 1, 0])})])

file("coursera_composed_right", "features-first lecture functions with nested caches", '''
import numpy as np


def linear_forward(A, W, b):
    Z = W.dot(A) + b
    assert Z.shape == (W.shape[0], A.shape[1])
    return Z, (A, W, b)


def linear_backward(dZ, cache):
    A_prev, W, b = cache
    dW = dZ.dot(A_prev.T)
    db = dZ.sum(axis=1, keepdims=True)
    dA_prev = W.T.dot(dZ)
    assert dW.shape == W.shape and db.shape == b.shape and dA_prev.shape == A_prev.shape
    return dA_prev, dW, db


def linear_activation_forward(A_prev, W, b, activation="relu"):
    Z, linear_cache = linear_forward(A_prev, W, b)
    A = np.maximum(Z, 0) if activation == "relu" else 1 / (1 + np.exp(-Z))
    return A, (linear_cache, Z, activation)


def linear_activation_backward(dA, cache):
    linear_cache, Z, activation = cache
    if activation == "relu":
        dZ = np.array(dA, copy=True)
        dZ[Z <= 0] = 0
    elif activation == "sigmoid":
        s = 1 / (1 + np.exp(-Z))
        dZ = dA * s * (1 - s)
    return linear_backward(dZ, linear_cache)


np.random.seed(2)
examples = {
    "linear": {"A": np.random.randn(3, 5), "W": np.random.randn(4, 3), "b": np.random.randn(4, 1)},
    "linear_activation": {"A_prev": np.random.randn(3, 5), "W": np.random.randn(1, 3), "b": np.random.randn(1, 1), "activation": "sigmoid"},
}
''', [fn("linear_forward", "linear_backward", {"A": R(3, 5), "W": R(4, 3), "b": R(4, 1)}),
      fn("linear_activation_forward", "linear_activation_backward", {"A_prev": R(3, 5), "W": R(1, 3), "b": R(1, 1)}, {"activation": "sigmoid"}),
      fn("linear_activation_forward", "linear_activation_backward", {"A_prev": R(3, 5), "W": R(1, 3), "b": R(1, 1)}, {"activation": "relu"})])

file("lr_backward_right", "layers whose backward takes the learning rate, rows of a batch", '''
import numpy as np


class FullyConnected:
    def __init__(self, n_in, n_out):
        self.weights = np.random.randn(n_in, n_out) * 0.3
        self.bias = np.random.randn(1, n_out) * 0.3

    def forward(self, x):
        self.x = x
        return x @ self.weights + self.bias

    def backward(self, grad, lr):
        out = grad @ self.weights.T          # before the update!
        self.weights = self.weights - lr * self.x.T @ grad
        self.bias = self.bias - lr * grad.sum(axis=0, keepdims=True)
        return out


class Activation:
    def __init__(self, fun, dfun):
        self.fun, self.dfun = fun, dfun

    def forward(self, x):
        self.x = x
        return self.fun(x)

    def backward(self, grad, lr):
        return grad * self.dfun(self.x)


class Tanh(Activation):
    def __init__(self):
        super().__init__(np.tanh, lambda x: 1 - np.tanh(x) ** 2)


class Softmax:
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.out = e / e.sum(axis=1, keepdims=True)
        return self.out

    def backward(self, grad, lr):
        J = np.einsum("bi,ij->bij", self.out, np.eye(self.out.shape[1])) - np.einsum("bi,bj->bij", self.out, self.out)
        return np.einsum("bij,bj->bi", J, grad)
''', [layer("FullyConnected", dict(n_in=3, n_out=2), {"x": R(4, 3)}, {"weights": "o.weights", "bias": "o.bias"}, lr=.1), layer("Tanh", {}, {"x": R(4, 3)}, lr=.1), layer("Softmax", {}, {"x": R(4, 3)}, lr=.1)])

file("loss_classes_right", "losses as classes with kinks, integer labels, reductions", '''
import numpy as np


class HuberLoss:
    def __init__(self, delta=1.0, reduction="mean"):
        self.delta = delta
        self.reduction = reduction

    def forward(self, pred, target):
        self.r = pred - target
        a = np.abs(self.r)
        l = np.where(a <= self.delta, 0.5 * self.r ** 2, self.delta * (a - 0.5 * self.delta))
        return l.mean() if self.reduction == "mean" else l.sum()

    def backward(self):
        g = np.clip(self.r, -self.delta, self.delta)
        return g / g.size if self.reduction == "mean" else g


class MultiClassHinge:
    def forward(self, scores, y):
        n = np.arange(len(y))
        self.y = y
        self.margins = np.maximum(0, scores - scores[n, y][:, None] + 1.0)
        self.margins[n, y] = 0
        return self.margins.sum() / len(y)

    def backward(self):
        d = (self.margins > 0).astype(float)
        d[np.arange(len(self.y)), self.y] = -d.sum(axis=1)
        return d / len(self.y)


class BCEWithLogits:
    def forward(self, z, t):
        self.z, self.t = z, t
        return np.mean(np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z))))

    def backward(self):
        return (0.5 * (1 + np.tanh(0.5 * self.z)) - self.t) / self.z.size


_r = np.random.RandomState(41)
examples = {
    "HuberLoss": {"init": {"delta": 0.8}, "pred": 2 * _r.randn(4, 3), "target": _r.randn(4, 3)},
    "MultiClassHinge": {"scores": 2 * _r.randn(5, 4), "y": np.array([3, 0, 1, 1, 2])},
    "BCEWithLogits": {"z": 20 * _r.randn(4, 2), "t": np.array([[1., 0.], [0., 1.], [1., 1.], [0., 0.]])},
}
''', [layer("HuberLoss", dict(delta=.8), {"pred": 2 * R(4, 3)}, consts={"t": R(4, 3, seed=3)}, nody=True), layer("MultiClassHinge", {}, {"scores": 2 * R(5, 4)}, consts={"y": np.array([3, 0, 1, 1, 2])}, nody=True),
      layer("BCEWithLogits", {}, {"z": 20 * R(4, 2)}, consts={"t": np.array([[1., 0.], [0., 1.], [1., 1.], [0., 0.]])}, nody=True)])

file("module_parameters_right", "Parameter objects, module tree; gradients overwritten", '''
import numpy as np


class Parameter(object):
    def __init__(self, data):
        self.data = data
        self.grad = None


class Module(object):
    def params(self):
        for v in vars(self).values():
            if isinstance(v, Parameter):
                yield v

    def __call__(self, *args):
        return self.forward(*args)


class Bilinear(Module):
    """y_bo = sum_ij x_bi A_oij x_bj + c_o"""

    def __init__(self, n_in, n_out):
        self.A = Parameter(np.random.randn(n_out, n_in, n_in))
        self.c = Parameter(np.random.randn(n_out))

    def forward(self, x):
        self.x = x
        return np.einsum("bi,oij,bj->bo", x, self.A.data, x) + self.c.data

    def backward(self, dy):
        self.A.grad = np.einsum("bo,bi,bj->oij", dy, self.x, self.x)
        self.c.grad = dy.sum(0)
        S = self.A.data + self.A.data.transpose(0, 2, 1)
        return np.einsum("bo,oij,bj->bi", dy, S, self.x)


class WeightNormLinear(Module):
    def __init__(self, n_in, n_out):
        self.v = Parameter(np.random.randn(n_in, n_out))
        self.g = Parameter(np.random.rand(n_out) + 0.5)

    def forward(self, x):
        self.x = x
        self.norm = np.linalg.norm(self.v.data, axis=0)
        self.u = self.v.data / self.norm
        return x @ (self.g.data * self.u)

    def backward(self, dy):
        dW = self.x.T @ dy
        self.g.grad = np.sum(dW * self.u, axis=0)
        self.v.grad = self.g.data / self.norm * (dW - self.u * np.sum(dW * self.u, axis=0))
        return dy @ (self.g.data * self.u).T


examples = {
    "Bilinear": {"init": {"n_in": 3, "n_out": 2}, "x": np.random.RandomState(3).randn(4, 3)},
    "WeightNormLinear": {"init": {"n_in": 3, "n_out": 4}, "x": np.random.RandomState(4).randn(5, 3)},
}
''', [layer("Bilinear", dict(n_in=3, n_out=2), {"x": R(4, 3)}, {k: (f"o.{k}.data", f"o.{k}.grad") for k in "Ac"}), layer("WeightNormLinear", dict(n_in=3, n_out=4), {"x": R(5, 3)}, {k: (f"o.{k}.data", f"o.{k}.grad") for k in "vg"})])

file("scalar_parameters_right", "layers with 0-d parameters", '''
import numpy as np


class Temperature:
    """divides logits by exp(log_t)"""

    def __init__(self, log_t=0.3):
        self.log_t = np.array(log_t)
        self.dlog_t = np.zeros(())

    def forward(self, x):
        self.y = x * np.exp(-self.log_t)
        return self.y

    def backward(self, dy):
        self.dlog_t = -np.vdot(dy, self.y)
        return dy * np.exp(-self.log_t)


class SwishBeta:
    def __init__(self, beta=1.3):
        self.beta = np.array(beta)
        self.dbeta = np.zeros(())

    def forward(self, x):
        self.x = x
        self.s = 1 / (1 + np.exp(-self.beta * x))
        return x * self.s

    def backward(self, dy):
        ds = self.s * (1 - self.s)
        self.dbeta = np.sum(dy * self.x ** 2 * ds)
        return dy * (self.s + self.beta * self.x * ds)


class GatedSkip:
    """ReZero: y = x + a * tanh(x), a starts at zero"""

    def __init__(self):
        self.a = np.zeros(())
        self.da = np.zeros(())

    def forward(self, x):
        self.t = np.tanh(x)
        return x + self.a * self.t

    def backward(self, dy):
        self.da = (dy * self.t).sum()
        return dy + self.a * (1 - self.t ** 2) * dy
''', [layer("Temperature", {}, {"x": R(4, 3)}, {"log_t": ("o.log_t", "o.dlog_t")}), layer("SwishBeta", {}, {"x": R(4, 3)}, {"beta": ("o.beta", "o.dbeta")}),
      layer("GatedSkip", {}, {"x": R(4, 3)}, {"a": ("o.a", "o.da")})])

file("norm_layers_right", "normalisation functions, compact formulas, image batches", '''
import numpy as np


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    mu, var = x.mean(0), x.var(0)
    inv = 1 / np.sqrt(var + eps)
    xh = (x - mu) * inv
    return gamma * xh + beta, (xh, inv, gamma)


def batchnorm_backward(dout, cache):
    xh, inv, gamma = cache
    m = len(dout)
    dgamma = np.einsum("nd,nd->d", dout, xh)
    dbeta = dout.sum(0)
    dx = gamma * inv / m * (m * dout - dbeta - xh * dgamma)
    return dx, dgamma, dbeta


def spatial_batchnorm_forward(x, gamma, beta):
    N, C, H, W = x.shape
    flat = x.transpose(0, 2, 3, 1).reshape(-1, C)
    out, cache = batchnorm_forward(flat, gamma, beta)
    return out.reshape(N, H, W, C).transpose(0, 3, 1, 2), cache


def spatial_batchnorm_backward(dout, cache):
    N, C, H, W = dout.shape
    dx, dgamma, dbeta = batchnorm_backward(dout.transpose(0, 2, 3, 1).reshape(-1, C), cache)
    return dx.reshape(N, H, W, C).transpose(0, 3, 1, 2), dgamma, dbeta


def rmsnorm_forward(x, g, eps=1e-8):
    r = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    return x / r * g, (x, r, g)


def rmsnorm_backward(dout, cache):
    x, r, g = cache
    u = dout * g
    dx = u / r - x * np.mean(u * x, axis=-1, keepdims=True) / r ** 3
    return dx, np.sum(dout * x / r, axis=0)


_r = np.random.RandomState(50)
examples = {
    "batchnorm": {"x": 1e3 + _r.randn(6, 3), "gamma": _r.randn(3), "beta": _r.randn(3)},
    "spatial_batchnorm": {"x": _r.randn(2, 3, 2, 2), "gamma": _r.randn(3), "beta": _r.randn(3)},
    "rmsnorm": {"x": _r.randn(4, 5), "g": _r.rand(5)},
}
''', [fn("batchnorm_forward", "batchnorm_backward", {"x": 1e3 + R(6, 3), "gamma": R(3), "beta": R(3)}), fn("spatial_batchnorm_forward", "spatial_batchnorm_backward", {"x": R(2, 3, 2, 2), "gamma": R(3), "beta": R(3)}),
      fn("rmsnorm_forward", "rmsnorm_backward", {"x": R(4, 5), "g": R(5)})])

file("tied_and_buffers_right", "classes with tied weights and their own scratch buffers", '''
import numpy as np


class TiedAutoencoder:
    """y = tanh(x W + b) W^T + c, one W used twice"""

    def __init__(self, n_vis, n_hid):
        self.params = dict(W=np.random.randn(n_vis, n_hid) * 0.5, b=np.zeros(n_hid), c=np.zeros(n_vis))
        self.grads = dict()

    def forward(self, x):
        self.x = x
        self.h = np.tanh(x @ self.params["W"] + self.params["b"])
        return self.h @ self.params["W"].T + self.params["c"]

    def backward(self, dy):
        W = self.params["W"]
        da = (dy @ W) * (1 - self.h ** 2)
        self.grads = dict(W=self.x.T @ da + dy.T @ self.h, b=da.sum(0), c=dy.sum(0))
        return da @ W.T


class BufferedSigmoid:
    def __init__(self):
        self.buf = None
        self.gbuf = None

    def forward(self, x):
        self.buf = np.empty_like(x)
        np.negative(x, out=self.buf)
        np.exp(self.buf, out=self.buf)
        self.buf += 1
        np.reciprocal(self.buf, out=self.buf)
        return self.buf.copy()

    def backward(self, dy):
        g = 1 - self.buf
        g *= self.buf
        g *= dy
        return g


class Maxout:
    def __init__(self, pieces=2):
        self.k = pieces

    def forward(self, x):
        n, d = x.shape
        xr = x.reshape(n, d // self.k, self.k)
        self.arg = xr.argmax(axis=2)
        self.shape = x.shape
        return xr.max(axis=2)

    def backward(self, dy):
        dx = np.zeros(dy.shape + (self.k,))
        np.put_along_axis(dx, self.arg[..., None], dy[..., None], axis=2)
        return dx.reshape(self.shape)


examples = {"TiedAutoencoder": {"init": {"n_vis": 4, "n_hid": 2}, "x": np.random.RandomState(7).randn(5, 4)},
            "BufferedSigmoid": {"x": np.random.RandomState(8).randn(3, 4)},
            "Maxout": {"init": {"pieces": 2}, "x": np.random.RandomState(9).randn(3, 6)}}
''', [layer("TiedAutoencoder", dict(n_vis=4, n_hid=2), {"x": R(5, 4)}, dd("W", "b", "c")), layer("BufferedSigmoid", {}, {"x": R(3, 4)}), layer("Maxout", {}, {"x": R(3, 6)})])


# ================================================================ vjp items
def vjp(name, style, forward, backward, inputs, slip="", wrong=(), causes=(), constants=None):
    def make():
        d = {"forward": forward, "backward": backward, "inputs": {k: np.array(v, dtype=float) for k, v in inputs().items()}}
        if constants:
            d["constants"] = constants()
        return d
    ITEMS.append(Item(name, style, "vjp", make, not wrong, slip, tuple(wrong), tuple(causes)))


# -- molecular dynamics
def lj_forward(pos, depth, radius):
    n = len(pos)
    e, pairs = 0.0, []
    for i in range(n):
        for j in range(i + 1, n):
            r = pos[i] - pos[j]
            d2 = r @ r
            s6 = (radius[0] ** 2 / d2) ** 3
            pairs.append((i, j, r, d2, s6))
            e += 4 * depth[0] * (s6 * s6 - s6)
    return e, (n, pos.shape[1], pairs, depth, radius)


def lj_backward(de, cache):
    n, dim, pairs, depth, radius = cache
    force = np.zeros((n, dim))
    ddepth, dradius = 0.0, 0.0
    for i, j, r, d2, s6 in pairs:
        dU = 4 * depth[0] * (-12 * s6 * s6 + 6 * s6) / d2
        force[i] += dU * r
        ddepth += 4 * (s6 * s6 - s6)
        dradius += 4 * depth[0] * (12 * s6 * s6 - 6 * s6) / radius[0]
    return {"pos": de * force, "depth": np.array([de * ddepth]), "radius": np.array([de * dradius])}


vjp("lennard_jones_third_law", "molecular dynamics, loop over pairs", lj_forward, lj_backward,
    lambda: {"pos": np.array([[0, 0], [1.1, .2], [.3, 1.2], [1.5, 1.4], [2.3, .4]]), "depth": [.7], "radius": [1.05]},
    "each pair pushes i alone; j must get the opposite: force[j] -= dU * r", ("pos",), ("missing-term", "unknown"))


# -- graphics: quaternions
def _rot(u):
    w, x, y, z = u
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                     [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                     [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]])


def quat_forward(q, pts):
    u = q / np.linalg.norm(q)
    Rm = _rot(u)
    return pts @ Rm.T, (q, u, Rm, pts)


def _quat_back(dy, cache, project):
    q, u, Rm, pts = cache
    G = dy.T @ pts
    w, x, y, z = u
    du = 2 * np.array([
        -z * G[0, 1] + y * G[0, 2] + z * G[1, 0] - x * G[1, 2] - y * G[2, 0] + x * G[2, 1],
        y * G[0, 1] + z * G[0, 2] + y * G[1, 0] - 2 * x * G[1, 1] - w * G[1, 2] + z * G[2, 0] + w * G[2, 1] - 2 * x * G[2, 2],
        -2 * y * G[0, 0] + x * G[0, 1] + w * G[0, 2] + x * G[1, 0] + z * G[1, 2] - w * G[2, 0] + z * G[2, 1] - 2 * y * G[2, 2],
        -2 * z * G[0, 0] - w * G[0, 1] + x * G[0, 2] + w * G[1, 0] - 2 * z * G[1, 1] + y * G[1, 2] + x * G[2, 0] + y * G[2, 1]])
    if project:
        du = du - u * (u @ du)
    return du / np.linalg.norm(q), dy @ Rm


vjp("quaternion_norm_not_projected", "graphics, rotation of points by a quaternion", quat_forward, lambda dy, c: _quat_back(dy, c, False),
    lambda: {"q": [.9, .4, -.7, .3], "pts": R(5, 3)},
    "the gradient through q / |q| lacks the projection: (du - u (u.du)) / |q|", ("q",), ("missing-term",))
vjp("quaternion_right", "graphics, rotation of points by a quaternion far from unit length", quat_forward, lambda dy, c: _quat_back(dy, c, True),
    lambda: {"q": [90., 40., -70., 30.], "pts": R(5, 3)})


# -- signal processing
def fftconv_forward(signal, taps):
    S, T = np.fft.rfft(signal, axis=-1), np.fft.rfft(taps, n=signal.shape[-1])
    return np.fft.irfft(S * T, n=signal.shape[-1], axis=-1), (S, T, signal.shape[-1], len(taps))


def fftconv_backward(dy, cache):
    S, T, n, k = cache
    D = np.fft.rfft(dy, axis=-1)
    dsignal = np.fft.irfft(D * T, n=n, axis=-1)
    dtaps = np.fft.irfft((D * np.conj(S)).sum(axis=0), n=n)[:k]
    return dsignal, dtaps


vjp("fft_convolution_no_conj", "signal processing, circular convolution by FFT", fftconv_forward, fftconv_backward,
    lambda: {"signal": R(3, 8), "taps": [.5, -1.2, .7]},
    "the adjoint of a convolution is a correlation: multiply with np.conj(T)", ("signal",), ("transpose", "unknown"))


# -- physics: integrator and its adjoint
def pend_forward(theta0, omega0, g, dt, steps):
    th, om = [theta0], [omega0]
    for _ in range(steps):
        om.append(om[-1] - dt * g[0] * np.sin(th[-1]))
        th.append(th[-1] + dt * om[-1])
    return np.stack([th[-1], om[-1]], axis=1), (th, om, g, dt, steps)


def pend_backward(dy, cache):
    th, om, g, dt, steps = cache
    lt, lo, dg = dy[:, 0].copy(), dy[:, 1].copy(), 0.0
    for t in range(steps - 1, -1, -1):
        lo = lo + dt * lt
        dg -= dt * np.sum(lo * np.sin(th[t]))
        lt = lt - dt * g[0] * np.sin(th[t]) * lo
    return {"theta0": lt, "omega0": lo, "g": np.array([dg])}


vjp("pendulum_adjoint_sine", "physics, adjoint of a symplectic Euler integrator", pend_forward, pend_backward,
    lambda: {"theta0": [.4, -1.1, 1.9, .8], "omega0": [.3, .6, -.5, -1.], "g": [2.]},
    "the adjoint of the force takes sin(theta) where its derivative cos(theta) belongs", ("theta0", "omega0", "g"), ("unknown", "elementwise-factor", "missing-term"),
    constants=lambda: {"dt": .3, "steps": 4})


# -- structured prediction
def crf_forward(unary, trans):
    B, T, K = unary.shape
    al = np.zeros_like(unary)
    al[:, 0] = unary[:, 0]
    for t in range(1, T):
        al[:, t] = unary[:, t] + np.logaddexp.reduce(al[:, t - 1][:, :, None] + trans[None], axis=1)
    logZ = np.logaddexp.reduce(al[:, -1], axis=1)
    return logZ, (unary, trans, al, logZ)


def _crf_back(dy, cache, stop):
    unary, trans, al, logZ = cache
    B, T, K = unary.shape
    be = np.zeros_like(unary)
    for t in range(T - 2, -1, -1):
        be[:, t] = np.logaddexp.reduce(trans[None] + (unary[:, t + 1] + be[:, t + 1])[:, None, :], axis=2)
    marg = np.exp(al + be - logZ[:, None, None])
    dtrans = np.zeros_like(trans)
    for t in range(stop(T)):
        pair = np.exp(al[:, t][:, :, None] + trans[None] + (unary[:, t + 1] + be[:, t + 1])[:, None, :] - logZ[:, None, None])
        dtrans += np.tensordot(dy, pair, axes=(0, 0))
    return {"unary": dy[:, None, None] * marg, "trans": dtrans}


vjp("crf_last_transition_left_out", "structured prediction, forward-backward of a chain CRF", crf_forward, lambda dy, c: _crf_back(dy, c, lambda T: T - 2),
    lambda: {"unary": R(3, 4, 3), "trans": R(3, 3)},
    "the sum over pair marginals stops one step early; range(T - 1)", ("trans",), ("missing-term", "batch-sum", "unknown"))
vjp("crf_huge_scores_right", "structured prediction, forward-backward of a chain CRF, scores near 600", crf_forward, lambda dy, c: _crf_back(dy, c, lambda T: T - 1),
    lambda: {"unary": 600 + R(3, 4, 3), "trans": R(3, 3) - 40})


# -- texture lookup
def tex_forward(texture, uv):
    H, W = texture.shape
    px, py = uv[:, 0] * (W - 1), uv[:, 1] * (H - 1)
    x0, y0 = np.floor(px).astype(int), np.floor(py).astype(int)
    a, b = px - x0, py - y0
    y = ((1 - a) * (1 - b) * texture[y0, x0] + a * (1 - b) * texture[y0, x0 + 1]
         + (1 - a) * b * texture[y0 + 1, x0] + a * b * texture[y0 + 1, x0 + 1])
    return y, (texture, x0, y0, a, b)


def tex_backward(dy, cache):
    tex, x0, y0, a, b = cache
    dtex = np.zeros_like(tex)
    for oy, wy in ((0, 1 - b), (1, b)):
        for ox, wx in ((0, 1 - a), (1, a)):
            np.add.at(dtex, (y0 + oy, x0 + ox), dy * wy * wx)
    da = (1 - b) * (tex[y0, x0 + 1] - tex[y0, x0]) + b * (tex[y0 + 1, x0 + 1] - tex[y0 + 1, x0])
    db = (1 - a) * (tex[y0 + 1, x0] - tex[y0, x0]) + a * (tex[y0 + 1, x0 + 1] - tex[y0, x0 + 1])
    return dtex, np.stack([dy * da, dy * db], axis=1)


vjp("texture_uv_in_pixels", "differentiable rendering, bilinear texture lookup", tex_forward, tex_backward,
    lambda: {"texture": R(4, 6), "uv": [[.13, .42], [.55, .81], [.87, .11], [.33, .6], [.36, .63]]},
    "the gradient is per pixel; uv lies in 0..1 and needs the factors W - 1 and H - 1", ("uv",), ("elementwise-factor",))


# -- pullback closures
def solve_forward(A, b):
    y = np.linalg.solve(A, b)

    def pullback(g):
        lam = np.linalg.solve(A.T, g)
        return {"A": lam @ y.T, "b": lam}
    return y, pullback


vjp("linear_solve_sign", "pullback closures in the cache", solve_forward, lambda dy, pull: pull(dy),
    lambda: {"A": R(4, 4) + 3 * np.eye(4), "b": R(4, 2)},
    "d(A^-1) = -A^-1 dA A^-1: the gradient of A is -lam @ y.T", ("A",), ("sign",))


# -- Gaussian log density through a factor
def gauss_forward(x, mean, L):
    S = L @ L.T + np.eye(len(L))
    d = x - mean
    Pd = np.linalg.solve(S, d.T).T
    return -.5 * np.sum(d * Pd, axis=1) - .5 * np.linalg.slogdet(S)[1], (L, S, Pd)


def gauss_backward(dy, cache):
    L, S, Pd = cache
    dS = .5 * (Pd * dy[:, None]).T @ Pd - .5 * dy.sum() * np.linalg.inv(S)
    dx = -dy[:, None] * Pd
    return {"x": dx, "mean": -dx.sum(axis=0), "L": dS @ L}


vjp("factor_covariance_half", "statistics, factor-analysis log density", gauss_forward, gauss_backward,
    lambda: {"x": R(5, 3), "mean": R(3), "L": R(3, 2)},
    "S = L L' + I holds L twice: dL = 2 dS L", ("L",), ("factor",))


# -- volume rendering (right)
def render_forward(sigma, colour, step):
    tau = sigma * step
    T = np.exp(-np.concatenate([np.zeros((len(sigma), 1)), np.cumsum(tau, axis=1)[:, :-1]], axis=1))
    w = T * -np.expm1(-tau)
    return np.sum(w * colour, axis=1), (tau, T, w, colour, step)


def render_backward(dy, cache):
    tau, T, w, colour, step = cache
    dw = dy[:, None] * colour
    tail = np.cumsum((dw * w)[:, ::-1], axis=1)[:, ::-1] - dw * w
    return (dw * T * np.exp(-tau) - tail) * step, dy[:, None] * w


vjp("volume_rendering_right", "neural rendering, compositing along rays", render_forward, render_backward,
    lambda: {"sigma": np.abs(R(3, 5)) * 2, "colour": R(3, 5)}, constants=lambda: {"step": .25})


# -- state-space model with 0-d inputs (right)
def kalman_forward(obs, phi, logq):
    q, m, P, ll, hist = np.exp(logq), 0.0, 1.0, 0.0, []
    for y in obs:
        mp, Pp = phi * m, phi * phi * P + q
        S = Pp + 1.0
        e = y - mp
        ll = ll - .5 * (np.log(S) + e * e / S)
        hist.append((m, P, Pp, S, e))
        K = Pp / S
        m, P = mp + K * e, Pp / S
    return ll, (hist, phi, q)


def kalman_backward(dll, cache):
    hist, phi, q = cache
    dm = dP = dphi = dq = 0.0
    dobs = np.zeros(len(hist))
    for t, (m, P, Pp, S, e) in reversed(list(enumerate(hist))):
        dK = dm * e + dP
        de = dm * Pp / S - dll * e / S
        dmp = dm - de
        dobs[t] = de
        dS = -.5 * dll * (1 / S - e * e / S ** 2) - dK * Pp / S ** 2
        dPp = dK / S + dS
        dphi = dphi + dmp * m + dPp * 2 * phi * P
        dq = dq + dPp
        dm, dP = dmp * phi, dPp * phi ** 2
    return {"obs": dobs, "phi": np.asarray(dphi), "logq": np.asarray(dq * q)}


vjp("kalman_scalar_right", "econometrics, Kalman log likelihood with 0-d parameters", kalman_forward, kalman_backward,
    lambda: {"obs": [.3, -1.1, .8, 2., -.4], "phi": .8, "logq": -.7})


# -- order statistics (right)
def lstat_forward(x, w, rank):
    order = np.argsort(x, axis=1, kind="stable")
    s = np.take_along_axis(x, order, axis=1)
    return s[:, rank] @ w, (order, s, w, rank, x.shape)


def lstat_backward(dy, cache):
    order, s, w, rank, shape = cache
    ds = np.zeros(shape)
    np.add.at(ds, (slice(None), rank), np.outer(dy, w))
    dx = np.empty(shape)
    np.put_along_axis(dx, order, ds, axis=1)
    return dx, dy @ s[:, rank]


vjp("l_statistics_right", "robust statistics, weighted order statistics with a rank used twice", lstat_forward, lstat_backward,
    lambda: {"x": R(4, 5), "w": [.5, -.2, 1.3, .4]}, constants=lambda: {"rank": np.array([0, 2, 2, 4])})


# ================================================================ my own verification
def _compare(arrs, fwd, bwd, nody=False):
    rng = np.random.default_rng(1)
    y = np.asarray(fwd())
    dy = np.ones(()) if nody else rng.normal(size=y.shape)
    got = bwd(dy.copy() if dy.ndim else float(dy))
    err = {}
    for k, a in arrs.items():
        num = np.zeros(a.shape)
        for i in np.ndindex(a.shape):
            old, ds = float(a[i]), []
            for h in (1e-4 * max(1, min(abs(old), 10)), 5e-5 * max(1, min(abs(old), 10))):
                a[i] = old + h
                p = np.array(fwd(), dtype=float)
                a[i] = old - h
                m = np.array(fwd(), dtype=float)
                a[i] = old
                ds.append(np.sum(dy * (p - m)) / (2 * h))
            num[i] = (4 * ds[1] - ds[0]) / 3
        g = np.asarray(got[k], dtype=float)
        err[k] = np.inf if g.shape != num.shape else float(np.max(np.abs(g - num), initial=0) / (np.max(np.abs(num), initial=0) + 1e-9))
    return err


def verify(it):
    d = it.make()
    if it.check == "vjp":
        c = d.get("constants", {})
        arrs = d["inputs"]

        def bwd(dy):
            g = d["backward"](dy, d["forward"](**arrs, **c)[1])
            return g if isinstance(g, dict) else dict(zip(arrs, g if isinstance(g, tuple) else (g,)))
        errs = [_compare(arrs, lambda: d["forward"](**arrs, **c)[0], bwd)]
    else:
        ns = {"__name__": "student"}
        exec(compile(d["source"], it.name, "exec"), ns)
        errs = [_compare(*drv(ns), nody=getattr(drv, "nody", False)) for drv in DRIVERS[it.name]]
    bad = [{k for k, e in er.items() if e > 1e-2} for er in errs]
    grey = [(k, e) for er in errs for k, e in er.items() if 1e-6 < e <= 1e-2]
    ok = not grey and [b for b in bad if b] == ([set(it.wrong)] if it.wrong else [])
    return ok, errs


if __name__ == "__main__":
    assert len({i.name for i in ITEMS}) == len(ITEMS)
    for it in ITEMS:
        try:
            ok, errs = verify(it)
        except Exception as ex:
            ok, errs = False, repr(ex)
        if not ok:
            print("BAD", it.name, errs)
    for right in (False, True):
        sel = [i for i in ITEMS if i.right is right]
        print("right" if right else "wrong", len(sel), {c: sum(i.check == c for i in sel) for c in ("file", "vjp")})
