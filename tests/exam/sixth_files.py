"""Sixth paper: whole module files as students hand them in (check "file")."""
from typing import Callable, NamedTuple


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
SRC = {}


def _add(name, style, src, right=True, slip="", wrong=(), causes=()):
    SRC[name] = src
    ITEMS.append(Item(name, style, "file", lambda s=src: {"source": s}, right, slip, wrong, causes))


# ----------------------------------------------------------------------------------------- wrong

_add("w_assignment_layers_dropout", "cs231n-like layers.py", r'''
import numpy as np


def affine_forward(x, w, b):
    """
    Computes the forward pass for an affine (fully-connected) layer.

    Inputs:
    - x: input data, of shape (N, d_1, ..., d_k)
    - w: weights, of shape (D, M)
    - b: biases, of shape (M,)

    Returns a tuple of (out, cache)
    """
    out = None
    # *****START OF YOUR CODE*****
    N = x.shape[0]
    out = x.reshape(N, -1).dot(w) + b
    # *****END OF YOUR CODE*****
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx, dw, db = None, None, None
    # *****START OF YOUR CODE*****
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = dout.sum(axis=0)
    # *****END OF YOUR CODE*****
    return dx, dw, db


def relu_forward(x):
    out = np.maximum(0, x)
    cache = x
    return out, cache


def relu_backward(dout, cache):
    x = cache
    dx = dout * (x > 0)
    return dx


def dropout_forward(x, dropout_param):
    """
    Inverted dropout.

    - dropout_param: dict with keys p (probability of KEEPING a neuron), mode, seed
    """
    p, mode = dropout_param["p"], dropout_param["mode"]
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])

    mask = None
    out = None
    if mode == "train":
        mask = np.random.rand(*x.shape) < p
        out = x * mask / p
    elif mode == "test":
        out = x

    cache = (dropout_param, mask)
    return out, cache


def dropout_backward(dout, cache):
    dropout_param, mask = cache
    mode = dropout_param["mode"]
    dx = None
    if mode == "train":
        dx = dout * mask
    elif mode == "test":
        dx = dout
    return dx


examples = {
    "dropout": {
        "x": np.random.RandomState(4).randn(5, 6),
        "dropout_param": {"p": 0.6, "mode": "train", "seed": 123},
    },
}
''', False, "dropout: the forward divides by the keep probability p, the backward does not; repair dx = dout * mask / p.",
     ("x",), ("factor", "elementwise-factor"))

_add("w_assignment_layers_batchnorm", "cs231n-like, staged batch norm", r'''
import numpy as np


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    N, D = x.shape
    # step 1: mean
    mu = 1. / N * np.sum(x, axis=0)
    # step 2: subtract
    xmu = x - mu
    # step 3, 4: variance
    var = 1. / N * np.sum(xmu ** 2, axis=0)
    # step 5, 6
    sqrtvar = np.sqrt(var + eps)
    ivar = 1. / sqrtvar
    # step 7
    xhat = xmu * ivar
    # step 8, 9
    out = gamma * xhat + beta
    cache = (xhat, gamma, xmu, ivar, sqrtvar, var, eps)
    return out, cache


def batchnorm_backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape

    # step 9
    dbeta = np.sum(dout, axis=0)
    # step 8
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    # step 7
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    # step 6
    dsqrtvar = -1. / (sqrtvar ** 2) * divar
    # step 5
    dvar = 0.5 * 1. / np.sqrt(var + eps) * dsqrtvar
    # step 4
    dsq = 1. / N * np.ones((N, D)) * dvar
    # step 3
    dxmu2 = 2 * xmu * dsq
    # step 2
    dx1 = dxmu1 + dxmu2
    dmu = -1 * np.sum(dxmu1 + dxmu2, axis=0)
    # step 1
    dx2 = np.ones((N, D)) * dmu
    # step 0
    dx = dx1 + dx2
    return dx, dgamma, dbeta


def softmax_loss_forward(x, y):
    """x: (N, C) scores, y: (N,) integer labels"""
    shifted = x - np.max(x, axis=1, keepdims=True)
    logp = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    N = x.shape[0]
    loss = -np.sum(logp[np.arange(N), y]) / N
    return loss, (np.exp(logp), y)


def softmax_loss_backward(dloss, cache):
    p, y = cache
    N = p.shape[0]
    dx = p.copy()
    dx[np.arange(N), y] -= 1
    return dloss * dx / N


examples = {
    "softmax_loss": {"x": np.random.RandomState(0).randn(4, 5), "y": np.array([1, 0, 4, 2])},
}
''', False, "batchnorm: the gradient through the mean is not divided by N; repair dx2 = dmu / N.",
     ("x",), ("missing-term", "factor"))

_add("w_deep_net_utils_cols", "Coursera-like dnn utils, features first", r'''
import numpy as np


def sigmoid(Z):
    """
    Implements the sigmoid activation in numpy

    Returns:
    A -- output of sigmoid(z), same shape as Z
    cache -- returns Z as well, useful during backpropagation
    """
    A = 1 / (1 + np.exp(-Z))
    cache = Z
    return A, cache


def sigmoid_backward(dA, cache):
    Z = cache
    s = 1 / (1 + np.exp(-Z))
    dZ = dA * s * (1 - s)
    assert (dZ.shape == Z.shape)
    return dZ


def linear_forward(A, W, b):
    """
    A -- activations from previous layer: (size of previous layer, number of examples)
    W -- weights matrix: (size of current layer, size of previous layer)
    b -- bias vector, (size of the current layer, 1)
    """
    Z = np.dot(W, A) + b
    assert (Z.shape == (W.shape[0], A.shape[1]))
    cache = (A, W, b)
    return Z, cache


def linear_backward(dZ, cache):
    A_prev, W, b = cache
    m = A_prev.shape[1]
    dW = 1. / m * np.dot(dZ, A_prev.T)
    db = 1. / m * np.sum(dZ, axis=1, keepdims=True)
    dA_prev = np.dot(W.T, dZ)
    return dA_prev, dW, db


def compute_cost(AL, Y):
    """cross entropy, averaged over the m examples. AL, Y: (1, m)"""
    m = Y.shape[1]
    cost = -1. / m * np.sum(Y * np.log(AL) + (1 - Y) * np.log(1 - AL))
    return cost, (AL, Y)


def compute_cost_backward(dcost, cache):
    AL, Y = cache
    m = Y.shape[1]
    # here already with 1/m, because the cost is a mean
    dAL = -(np.divide(Y, AL) - np.divide(1 - Y, 1 - AL)) / m
    return dcost * dAL


examples = {
    "linear": {
        "A": np.random.RandomState(1).randn(4, 5),
        "W": np.random.RandomState(2).randn(3, 4),
        "b": np.random.RandomState(3).randn(3, 1),
    },
    "compute_cost": {
        "AL": np.array([[0.2, 0.7, 0.4, 0.9, 0.55]]),
        "Y": np.array([[0, 1, 1, 1, 0]]),
    },
}
''', False, "linear: dW and db are divided by the number of examples although the cost is already the mean (1/m is applied twice); repair: no 1/m in linear_backward.",
     ("W", "b"), ("factor",))

_add("w_rnn_cell_parameters_dict", "Coursera-like rnn cell, parameters dict", r'''
import numpy as np


def softmax(x):
    e_x = np.exp(x - np.max(x, axis=0, keepdims=True))
    s = e_x / e_x.sum(axis=0, keepdims=True)
    return s, s


def softmax_backward(ds, cache):
    s = cache
    return s * (ds - np.sum(ds * s, axis=0, keepdims=True))


def rnn_cell_forward(xt, a_prev, parameters):
    """
    Implements a single forward step of the RNN-cell

    Arguments:
    xt -- your input data at timestep "t", numpy array of shape (n_x, m).
    a_prev -- Hidden state at timestep "t-1", numpy array of shape (n_a, m)
    parameters -- python dictionary containing:
        Wax -- (n_a, n_x)
        Waa -- (n_a, n_a)
        ba --  (n_a, 1)
    """
    Wax = parameters["Wax"]
    Waa = parameters["Waa"]
    ba = parameters["ba"]

    a_next = np.tanh(np.dot(Wax, xt) + np.dot(Waa, a_prev) + ba)

    cache = (a_next, a_prev, xt, parameters)
    return a_next, cache


def rnn_cell_backward(da_next, cache):
    (a_next, a_prev, xt, parameters) = cache
    Wax = parameters["Wax"]
    Waa = parameters["Waa"]

    # compute the gradient of tanh with respect to a_next
    dtanh = (1 - a_next ** 2) * da_next

    # gradient of the loss with respect to Wax
    dxt = np.dot(Wax.T, dtanh)
    dWax = np.dot(dtanh, xt.T)

    # gradient with respect to Waa
    da_prev = np.dot(Waa, dtanh)
    dWaa = np.dot(dtanh, a_prev.T)

    # gradient with respect to b
    dba = np.sum(dtanh, 1, keepdims=True)

    gradients = {"dxt": dxt, "da_prev": da_prev, "dWax": dWax, "dWaa": dWaa, "dba": dba}
    return gradients


_r = np.random.RandomState(1)
examples = {
    "rnn_cell": {
        "xt": _r.randn(3, 4),
        "a_prev": _r.randn(5, 4),
        "parameters": {"Wax": _r.randn(5, 3) * 0.5, "Waa": _r.randn(5, 5) * 0.5, "ba": _r.randn(5, 1)},
    },
    "softmax": {"x": _r.randn(4, 3)},
}
''', False, "rnn_cell: da_prev uses Waa instead of Waa.T (square, so the shape does not tell); repair np.dot(Waa.T, dtanh).",
     ("a_prev",), ("transpose",))

_add("w_convnet_step_by_step", "Coursera-like conv and pool loops, channels last", r'''
import numpy as np


def zero_pad(X, pad):
    return np.pad(X, ((0, 0), (pad, pad), (pad, pad), (0, 0)), 'constant', constant_values=0)


def conv_forward(A_prev, W, b, hparameters):
    (m, n_H_prev, n_W_prev, n_C_prev) = A_prev.shape
    (f, f, n_C_prev, n_C) = W.shape
    stride = hparameters['stride']
    pad = hparameters['pad']
    n_H = int((n_H_prev - f + 2 * pad) / stride) + 1
    n_W = int((n_W_prev - f + 2 * pad) / stride) + 1
    Z = np.zeros((m, n_H, n_W, n_C))
    A_prev_pad = zero_pad(A_prev, pad)
    for i in range(m):
        a_prev_pad = A_prev_pad[i]
        for h in range(n_H):
            for w in range(n_W):
                for c in range(n_C):
                    a_slice = a_prev_pad[h * stride:h * stride + f, w * stride:w * stride + f, :]
                    Z[i, h, w, c] = np.sum(a_slice * W[:, :, :, c]) + float(b[0, 0, 0, c])
    cache = (A_prev, W, b, hparameters)
    return Z, cache


def conv_backward(dZ, cache):
    (A_prev, W, b, hparameters) = cache
    (f, f, n_C_prev, n_C) = W.shape
    stride = hparameters['stride']
    pad = hparameters['pad']
    (m, n_H, n_W, n_C) = dZ.shape
    dW = np.zeros(W.shape)
    db = np.zeros((1, 1, 1, n_C))
    A_prev_pad = zero_pad(A_prev, pad)
    dA_prev_pad = np.zeros(A_prev_pad.shape)
    for i in range(m):
        for h in range(n_H):
            for w in range(n_W):
                for c in range(n_C):
                    vs, hs = h * stride, w * stride
                    a_slice = A_prev_pad[i, vs:vs + f, hs:hs + f, :]
                    dA_prev_pad[i, vs:vs + f, hs:hs + f, :] += W[:, :, :, c] * dZ[i, h, w, c]
                    dW[:, :, :, c] += a_slice * dZ[i, h, w, c]
                    db[:, :, :, c] += dZ[i, h, w, c]
    H, Wd = A_prev.shape[1:3]
    dA_prev = dA_prev_pad[:, pad:pad + H, pad:pad + Wd, :]
    return dA_prev, dW, db


def distribute_value(dz, shape):
    (n_H, n_W) = shape
    average = dz / n_H
    a = np.ones(shape) * average
    return a


def create_mask_from_window(x):
    return x == np.max(x)


def pool_forward(A_prev, hparameters):
    (m, n_H_prev, n_W_prev, n_C) = A_prev.shape
    f = hparameters["f"]
    stride = hparameters["stride"]
    mode = hparameters["mode"]
    n_H = int(1 + (n_H_prev - f) / stride)
    n_W = int(1 + (n_W_prev - f) / stride)
    A = np.zeros((m, n_H, n_W, n_C))
    for i in range(m):
        for h in range(n_H):
            for w in range(n_W):
                for c in range(n_C):
                    sl = A_prev[i, h * stride:h * stride + f, w * stride:w * stride + f, c]
                    if mode == "max":
                        A[i, h, w, c] = np.max(sl)
                    elif mode == "average":
                        A[i, h, w, c] = np.mean(sl)
    cache = (A_prev, hparameters)
    return A, cache


def pool_backward(dA, cache):
    (A_prev, hparameters) = cache
    stride = hparameters["stride"]
    f = hparameters["f"]
    mode = hparameters["mode"]
    m, n_H, n_W, n_C = dA.shape
    dA_prev = np.zeros(A_prev.shape)
    for i in range(m):
        for h in range(n_H):
            for w in range(n_W):
                for c in range(n_C):
                    vs, hs = h * stride, w * stride
                    if mode == "max":
                        mask = create_mask_from_window(A_prev[i, vs:vs + f, hs:hs + f, c])
                        dA_prev[i, vs:vs + f, hs:hs + f, c] += mask * dA[i, h, w, c]
                    elif mode == "average":
                        dA_prev[i, vs:vs + f, hs:hs + f, c] += distribute_value(dA[i, h, w, c], (f, f))
    return dA_prev


_r = np.random.RandomState(1)
examples = {
    "conv": {"A_prev": _r.randn(3, 4, 3, 1), "W": _r.randn(2, 2, 1, 2), "b": _r.randn(1, 1, 1, 2),
             "hparameters": {"stride": 2, "pad": 1}},
    "pool": {"A_prev": _r.randn(3, 3, 4, 1), "hparameters": {"f": 2, "stride": 1, "mode": "average"}},
}
''', False, "pool: distribute_value divides by n_H only instead of n_H * n_W, so the average pool's gradient is f times too large.",
     ("A_prev",), ("factor",))

_add("w_nnfs_softmax_jacobian", "nnfs-like classes with dinputs", r'''
import numpy as np

np.random.seed(0)


# Dense layer
class Layer_Dense:

    # Layer initialization
    def __init__(self, n_inputs=4, n_neurons=3):
        # Initialize weights and biases
        self.weights = 0.1 * np.random.randn(n_inputs, n_neurons)
        self.biases = np.zeros((1, n_neurons))

    # Forward pass
    def forward(self, inputs):
        # Remember input values
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases
        return self.output

    # Backward pass
    def backward(self, dvalues):
        # Gradients on parameters
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        # Gradient on values
        self.dinputs = np.dot(dvalues, self.weights.T)
        return self.dinputs


# ReLU activation
class Activation_ReLU:

    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.maximum(0, inputs)
        return self.output

    def backward(self, dvalues):
        # Since we need to modify original variable, let's make a copy first
        self.dinputs = dvalues.copy()
        self.dinputs[self.inputs <= 0] = 0
        return self.dinputs


# Softmax activation
class Activation_Softmax:

    def forward(self, inputs):
        self.inputs = inputs
        exp_values = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output = exp_values / np.sum(exp_values, axis=1, keepdims=True)
        return self.output

    def backward(self, dvalues):
        # Create uninitialized array
        self.dinputs = np.empty_like(dvalues)
        # Enumerate outputs and gradients
        for index, (single_output, single_dvalues) in enumerate(zip(self.output, dvalues)):
            # Calculate Jacobian matrix of the output
            jacobian_matrix = np.diagflat(single_output) - np.dot(single_output, single_output.T)
            # Sample-wise gradient
            self.dinputs[index] = np.dot(jacobian_matrix, single_dvalues)
        return self.dinputs
''', False, "Activation_Softmax: single_output is not reshaped to a column, so np.dot(s, s.T) is the number s.s instead of the outer product; repair: single_output = single_output.reshape(-1, 1).",
     ("inputs",), ("missing-term", "shape"))

_add("w_fastai_modules_mse", "fast.ai-like foundations notebook", r'''
import numpy as np


class Module():
    def __call__(self, *args):
        self.out = self.forward(*args)
        return self.out

    def forward(self): raise Exception('not implemented')
    def backward(self, g): raise Exception('not implemented')


class Relu(Module):
    def forward(self, inp):
        self.inp = inp
        return inp.clip(min=0.) - 0.5

    def backward(self, g): return (self.inp > 0) * g


class Lin(Module):
    def __init__(self, w, b): self.w, self.b = w, b

    def forward(self, inp):
        self.inp = inp
        return inp @ self.w + self.b

    def backward(self, g):
        self.dw = np.einsum('bi,bj->ij', self.inp, g)
        self.db = g.sum(0)
        return g @ self.w.T


class Mse(Module):
    def forward(self, inp, targ):
        self.inp, self.targ = inp, targ
        return ((inp - targ) ** 2).mean()

    def backward(self, g=1.):
        return 2. * (self.inp - self.targ) / self.targ.shape[0] * g


rng = np.random.default_rng(42)
examples = {
    "Lin": {"init": {"w": rng.normal(size=(4, 3)), "b": rng.normal(size=3)}, "inp": rng.normal(size=(5, 4))},
    "Relu": {"inp": rng.normal(size=(5, 3))},
    "Mse": {"inp": rng.normal(size=(5, 3)), "targ": rng.normal(size=(5, 3))},
}
''', False, "Mse: the forward means over all B*C entries, the backward divides by B only (copied from the version with one output); repair: divide by inp.size.",
     ("inp",), ("factor",))

_add("w_miniflow_nodes", "udacity-like MiniFlow nodes", r'''
import numpy as np


class Node(object):
    """
    Base class for nodes in the network.
    """
    def __init__(self):
        # Values and gradients are set by running forward() / backward().
        self.value = None
        self.gradients = {}


class Linear(Node):
    """
    Represents a node that performs a linear transform.
    """
    def forward(self, X, W, b):
        self.X, self.W, self.b = X, W, b
        self.value = np.dot(X, W) + b
        return self.value

    def backward(self, grad_cost):
        self.gradients = {
            'X': np.dot(grad_cost, self.W.T),
            'W': np.dot(self.X.T, grad_cost),
            'b': np.sum(grad_cost, axis=0, keepdims=False),
        }
        return self.gradients


class Sigmoid(Node):
    """
    Represents a node that performs the sigmoid activation function.
    """
    def _sigmoid(self, x):
        return 1. / (1. + np.exp(-x))

    def forward(self, x):
        self.value = self._sigmoid(x)
        return self.value

    def backward(self, grad_cost):
        # derivative: sigmoid * (1 - sigmoid)
        sigmoid = self._sigmoid(self.value)
        return sigmoid * (1 - sigmoid) * grad_cost


class MSE(Node):
    """
    The mean squared error cost function. Should be the last node of a network.
    """
    def forward(self, y, a):
        self.m = y.shape[0]
        self.diff = y.reshape(-1, 1) - a.reshape(-1, 1)
        self.shape = a.shape
        self.value = np.mean(self.diff ** 2)
        return self.value

    def backward(self, grad_cost=1.0):
        g = (2 / self.m) * self.diff * grad_cost
        return {'y': g.reshape(-1), 'a': -g.reshape(self.shape)}


_r = np.random.RandomState(8)
examples = {
    "Linear": {"X": _r.randn(4, 3), "W": _r.randn(3, 2), "b": _r.randn(2)},
    "Sigmoid": {"x": _r.randn(4, 3) * 2},
    "MSE": {"y": _r.randn(5), "a": _r.randn(5, 1)},
}
''', False, "Sigmoid: the backward applies the sigmoid once more to the output value; repair: sigmoid = self.value.",
     ("x",), ("elementwise-factor",))

_add("w_mini_transformer_blocks", "self-study transformer in numpy", r'''
"""transformer/blocks.py -- building blocks, no autograd."""
import numpy as np


class GELU:
    C = np.sqrt(2.0 / np.pi)

    def forward(self, x):
        self.x = x
        self.t = np.tanh(self.C * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1.0 + self.t)

    def backward(self, dout):
        x, t = self.x, self.t
        dt = (1.0 - t ** 2) * self.C * (1.0 + 3 * 0.044715 * x ** 2)
        return dout * (0.5 * (1.0 + t) + 0.5 * x * dt)


class LayerNorm:
    def __init__(self, dim=6, eps=1e-5):
        rs = np.random.RandomState(dim)
        self.gamma = 1.0 + 0.1 * rs.randn(dim)
        self.beta = 0.1 * rs.randn(dim)
        self.eps = eps

    def forward(self, x):
        mu = x.mean(axis=-1, keepdims=True)
        self.rstd = 1.0 / np.sqrt(x.var(axis=-1, keepdims=True) + self.eps)
        self.xhat = (x - mu) * self.rstd
        return self.gamma * self.xhat + self.beta

    def backward(self, dout):
        red = tuple(range(dout.ndim - 1))
        self.dgamma = (dout * self.xhat).sum(axis=red)
        self.dbeta = dout.sum(axis=red)
        g = dout * self.gamma
        m1 = g.mean(axis=-1, keepdims=True)
        m2 = (g * self.xhat).mean(axis=0, keepdims=True)
        return self.rstd * (g - m1 - self.xhat * m2)


class FeedForward:
    """x -> gelu(x W1 + b1) W2 + b2, with the residual around it"""

    def __init__(self, dim=6, hidden=5):
        rs = np.random.RandomState(1)
        self.W1 = rs.randn(dim, hidden) / np.sqrt(dim)
        self.b1 = np.zeros(hidden)
        self.W2 = rs.randn(hidden, dim) / np.sqrt(hidden)
        self.b2 = np.zeros(dim)
        self.act = GELU()

    def forward(self, x):
        self.x = x
        self.h = self.act.forward(x @ self.W1 + self.b1)
        return x + self.h @ self.W2 + self.b2

    def backward(self, dout):
        flat = lambda a: a.reshape(-1, a.shape[-1])
        self.dW2 = flat(self.h).T @ flat(dout)
        self.db2 = flat(dout).sum(0)
        dpre = self.act.backward(dout @ self.W2.T)
        self.dW1 = flat(self.x).T @ flat(dpre)
        self.db1 = flat(dpre).sum(0)
        return dout + dpre @ self.W1.T


examples = {
    "GELU": {"x": np.random.RandomState(0).randn(3, 4)},
    "LayerNorm": {"init": {"dim": 6}, "x": np.random.RandomState(1).randn(4, 6)},
    "FeedForward": {"init": {"dim": 6, "hidden": 5}, "x": np.random.RandomState(2).randn(2, 2, 6)},
}
''', False, "LayerNorm: the second mean is taken over axis 0 (as in batch norm) instead of over the features; repair: .mean(axis=-1, keepdims=True).",
     ("x",), ("shape", "missing-term"))

_add("w_uebung_fully_connected_biasrow", "German university exercise, bias row in the weights", r'''
import numpy as np


class BaseLayer:
    def __init__(self):
        self.trainable = False
        self.testing_phase = False


class FullyConnected(BaseLayer):
    # Uebung 1, Aufgabe 2: die Bias-Gewichte sind die letzte Zeile der Gewichtsmatrix
    def __init__(self, input_size=4, output_size=3):
        super().__init__()
        self.trainable = True
        self.input_size = input_size
        self.output_size = output_size
        rng = np.random.RandomState(1337)
        self.weights = rng.uniform(0, 1, (input_size + 1, output_size))
        self._gradient_weights = None

    @property
    def gradient_weights(self):
        return self._gradient_weights

    def forward(self, input_tensor):
        batch_size = input_tensor.shape[0]
        self.input_tensor = np.concatenate((input_tensor, np.ones((batch_size, 1))), axis=1)
        return np.dot(self.input_tensor, self.weights)

    def backward(self, error_tensor):
        self._gradient_weights = np.dot(self.input_tensor.T, error_tensor)
        return np.dot(error_tensor, self.weights.T)


class ReLU(BaseLayer):
    def forward(self, input_tensor):
        self.input_tensor = input_tensor
        return np.maximum(0, input_tensor)

    def backward(self, error_tensor):
        return np.where(self.input_tensor > 0, error_tensor, 0)


class SoftMax(BaseLayer):
    def forward(self, input_tensor):
        e = np.exp(input_tensor - np.max(input_tensor, axis=1, keepdims=True))
        self.y_hat = e / np.sum(e, axis=1, keepdims=True)
        return self.y_hat

    def backward(self, error_tensor):
        s = np.sum(error_tensor * self.y_hat, axis=1, keepdims=True)
        return self.y_hat * (error_tensor - s)


class CrossEntropyLoss:
    def forward(self, prediction_tensor, label_tensor):
        self.prediction_tensor = prediction_tensor
        self.label_tensor = label_tensor
        return -np.sum(label_tensor * np.log(prediction_tensor + np.finfo(float).eps))

    def backward(self, error_tensor=1.0):
        return -error_tensor * self.label_tensor / (self.prediction_tensor + np.finfo(float).eps)


examples = {
    "FullyConnected": {"init": {"input_size": 4, "output_size": 3},
                       "input_tensor": np.random.RandomState(5).randn(5, 4)},
    "CrossEntropyLoss": {"prediction_tensor": np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]),
                         "label_tensor": np.eye(3)[[1, 0, 0]]},
}
''', False, "FullyConnected: the returned error still has the column of the bias input; repair: error_tensor @ weights[:-1].T.",
     ("input_tensor",), ("shape",))

_add("w_captioning_lstm_step", "cs231n-like rnn_layers.py", r'''
import numpy as np


def sigmoid(x):
    pos_mask = (x >= 0)
    neg_mask = (x < 0)
    z = np.zeros_like(x)
    z[pos_mask] = np.exp(-x[pos_mask])
    z[neg_mask] = np.exp(x[neg_mask])
    top = np.ones_like(x)
    top[neg_mask] = z[neg_mask]
    return top / (1 + z)


def word_embedding_forward(x, W):
    """x: (N, T) integers, W: (V, D)"""
    out = W[x]
    cache = (x, W)
    return out, cache


def word_embedding_backward(dout, cache):
    x, W = cache
    dW = np.zeros_like(W)
    np.add.at(dW, x, dout)
    return dW


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    """
    Forward pass for a single timestep of an LSTM.

    - x: Input data, of shape (N, D)
    - prev_h, prev_c: (N, H)
    - Wx: (D, 4H), Wh: (H, 4H), b: (4H,)
    Returns next_h, next_c, cache
    """
    H = prev_h.shape[1]
    a = x.dot(Wx) + prev_h.dot(Wh) + b
    i = sigmoid(a[:, 0:H])
    f = sigmoid(a[:, H:2 * H])
    o = sigmoid(a[:, 2 * H:3 * H])
    g = np.tanh(a[:, 3 * H:4 * H])
    next_c = f * prev_c + i * g
    tc = np.tanh(next_c)
    next_h = o * tc
    cache = (x, prev_h, prev_c, Wx, Wh, i, f, o, g, tc)
    return next_h, next_c, cache


def lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, tc = cache
    do = dnext_h * tc
    dc = dnext_c + dnext_h * o * (1 - tc ** 2)
    df = dc * prev_c
    di = dc * g
    dg = dc * i
    dprev_c = dnext_c * f
    da = np.hstack((di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)))
    dx = da.dot(Wx.T)
    dprev_h = da.dot(Wh.T)
    dWx = x.T.dot(da)
    dWh = prev_h.T.dot(da)
    db = da.sum(axis=0)
    return dx, dprev_h, dprev_c, dWx, dWh, db


def temporal_affine_forward(x, w, b):
    N, T, D = x.shape
    M = b.shape[0]
    out = x.reshape(N * T, D).dot(w).reshape(N, T, M) + b
    cache = x, w, b, out
    return out, cache


def temporal_affine_backward(dout, cache):
    x, w, b, out = cache
    N, T, D = x.shape
    M = b.shape[0]
    dx = dout.reshape(N * T, M).dot(w.T).reshape(N, T, D)
    dw = dout.reshape(N * T, M).T.dot(x.reshape(N * T, D)).T
    db = dout.sum(axis=(0, 1))
    return dx, dw, db


_r = np.random.RandomState(231)
examples = {
    "word_embedding": {"x": np.array([[0, 3, 1, 0], [2, 1, 0, 3]]), "W": _r.randn(5, 3)},
    "lstm_step": {"x": _r.randn(3, 4), "prev_h": _r.randn(3, 2), "prev_c": _r.randn(3, 2),
                  "Wx": _r.randn(4, 8) * .5, "Wh": _r.randn(2, 8) * .5, "b": _r.randn(8)},
    "temporal_affine": {"x": _r.randn(2, 3, 4), "w": _r.randn(4, 2), "b": _r.randn(2)},
}
''', False, "lstm_step: dprev_c takes the incoming dnext_c instead of the whole dc, which also has the path through next_h; repair dprev_c = dc * f.",
     ("prev_c",), ("missing-term",))

_add("w_nlp_praktikum_embedding", "Dutch NLP course, class layers with params and grads dicts", r'''
# Practicum 3 - neurale taalmodellen
# Studentnummer: 12340987
import numpy as np


class Embedding:
    """Zoekt voor elk woord-id de rij op in de tabel"""

    def __init__(self, vocab=7, dim=3, seed=0):
        r = np.random.default_rng(seed)
        self.params = {"W": r.normal(0, 0.3, size=(vocab, dim))}
        self.grads = {}

    def forward(self, ids):
        self.ids = ids
        return self.params["W"][ids]

    def backward(self, dout):
        dW = np.zeros_like(self.params["W"])
        dW[self.ids] += dout
        self.grads["W"] = dW
        return None     # ids hebben geen gradient


class MeanOverTime:
    def forward(self, x):
        self.T = x.shape[1]
        self.shape = x.shape
        return x.mean(axis=1)

    def backward(self, dout):
        return np.broadcast_to(dout[:, None, :] / self.T, self.shape).copy()


class Projection:
    def __init__(self, d_in=3, d_out=4, seed=1):
        r = np.random.default_rng(seed)
        self.params = {"W": r.normal(size=(d_in, d_out)), "b": r.normal(size=(d_out,))}
        self.grads = {}

    def forward(self, x):
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, dout):
        self.grads["W"] = self.x.T @ dout
        self.grads["b"] = dout.sum(0)
        return dout @ self.params["W"].T


examples = {
    "Embedding": {"init": {"vocab": 7, "dim": 3}, "ids": np.array([[1, 4, 1], [6, 4, 2], [0, 1, 4]])},
    "MeanOverTime": {"x": np.random.default_rng(3).normal(size=(3, 4, 2))},
    "Projection": {"init": {"d_in": 3, "d_out": 4}, "x": np.random.default_rng(4).normal(size=(5, 3))},
}
''', False, "Embedding: dW[ids] += dout keeps only one of the rows of a word that occurs more than once; repair np.add.at(dW, ids, dout).",
     ("W",), ("missing-term", "batch-sum"))

_add("w_language_model_masked_loss", "vanilla RNN assignment with padded targets", r'''
import numpy as np

PAD = 0


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(np.dot(prev_h, Wh) + np.dot(x, Wx) + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    dz = (1. - next_h * next_h) * dnext_h
    return dz @ Wx.T, dz @ Wh.T, x.T @ dz, prev_h.T @ dz, np.sum(dz, 0)


def temporal_softmax_loss_forward(x, y, mask):
    """
    A temporal version of softmax loss for use in RNNs.  Summed over time, averaged over
    the minibatch; entries with mask == 0 (the <NULL> tokens) do not count.

    - x: (N, T, V) scores    - y: (N, T) targets    - mask: (N, T) bool
    """
    N, T, V = x.shape
    x_flat = x.reshape(N * T, V)
    y_flat = y.reshape(N * T)
    mask_flat = mask.reshape(N * T)

    probs = np.exp(x_flat - np.max(x_flat, axis=1, keepdims=True))
    probs /= np.sum(probs, axis=1, keepdims=True)
    loss = -np.sum(mask_flat * np.log(probs[np.arange(N * T), y_flat])) / N
    cache = (probs, y_flat, mask_flat, x.shape)
    return loss, cache


def temporal_softmax_loss_backward(dloss, cache):
    probs, y_flat, mask_flat, (N, T, V) = cache
    dx_flat = probs.copy()
    dx_flat[np.arange(N * T), y_flat] -= 1
    dx_flat /= N
    dx = dx_flat.reshape(N, T, V)
    return dloss * dx


_r = np.random.RandomState(3)
examples = {
    "rnn_step": {"x": _r.randn(3, 4), "prev_h": _r.randn(3, 5), "Wx": _r.randn(4, 5) * .4,
                 "Wh": _r.randn(5, 5) * .4, "b": _r.randn(5)},
    "temporal_softmax_loss": {"x": _r.randn(3, 3, 4), "y": np.array([[1, 2, 0], [3, 0, 0], [2, 2, 1]]),
                              "mask": np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1]], dtype=bool)},
}
''', False, "temporal_softmax_loss: the mask is missing in the backward, so padded steps get a gradient; repair dx_flat *= mask_flat[:, None].",
     ("x",), ("elementwise-factor",))

_add("w_zero_kara_convolution", "Japanese from-scratch book style, im2col", r'''
# coding: utf-8
import numpy as np


def im2col(input_data, filter_h, filter_w, stride=1, pad=0):
    N, C, H, W = input_data.shape
    out_h = (H + 2 * pad - filter_h) // stride + 1
    out_w = (W + 2 * pad - filter_w) // stride + 1

    img = np.pad(input_data, [(0, 0), (0, 0), (pad, pad), (pad, pad)], 'constant')
    col = np.zeros((N, C, filter_h, filter_w, out_h, out_w))
    for y in range(filter_h):
        y_max = y + stride * out_h
        for x in range(filter_w):
            x_max = x + stride * out_w
            col[:, :, y, x, :, :] = img[:, :, y:y_max:stride, x:x_max:stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(N * out_h * out_w, -1)


def col2im(col, input_shape, filter_h, filter_w, stride=1, pad=0):
    N, C, H, W = input_shape
    out_h = (H + 2 * pad - filter_h) // stride + 1
    out_w = (W + 2 * pad - filter_w) // stride + 1
    col = col.reshape(N, out_h, out_w, C, filter_h, filter_w).transpose(0, 3, 4, 5, 1, 2)
    img = np.zeros((N, C, H + 2 * pad + stride - 1, W + 2 * pad + stride - 1))
    for y in range(filter_h):
        y_max = y + stride * out_h
        for x in range(filter_w):
            x_max = x + stride * out_w
            img[:, :, y:y_max:stride, x:x_max:stride] += col[:, :, y, x, :, :]
    return img[:, :, pad:H + pad, pad:W + pad]


class Convolution:
    def __init__(self, W, b, stride=1, pad=0):
        self.W = W
        self.b = b
        self.stride = stride
        self.pad = pad
        # 中間データ（backward時に使用）
        self.x = None
        self.col = None
        self.col_W = None
        # 重み・バイアスパラメータの勾配
        self.dW = None
        self.db = None

    def forward(self, x):
        FN, C, FH, FW = self.W.shape
        N, C, H, W = x.shape
        out_h = 1 + int((H + 2 * self.pad - FH) / self.stride)
        out_w = 1 + int((W + 2 * self.pad - FW) / self.stride)

        col = im2col(x, FH, FW, self.stride, self.pad)
        col_W = self.W.reshape(FN, -1).T

        out = np.dot(col, col_W) + self.b
        out = out.reshape(N, out_h, out_w, -1).transpose(0, 3, 1, 2)

        self.x = x
        self.col = col
        self.col_W = col_W
        return out

    def backward(self, dout):
        FN, C, FH, FW = self.W.shape
        dout = dout.reshape(-1, FN)

        self.db = np.sum(dout, axis=0)
        self.dW = np.dot(self.col.T, dout)
        self.dW = self.dW.transpose(1, 0).reshape(FN, C, FH, FW)

        dcol = np.dot(dout, self.col_W.T)
        dx = col2im(dcol, self.x.shape, FH, FW, self.stride, self.pad)
        return dx


class Sigmoid:
    def __init__(self):
        self.out = None

    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * (1.0 - self.out) * self.out


class Affine:
    def __init__(self, W, b):
        self.W = W
        self.b = b
        self.x = None
        self.original_x_shape = None
        self.dW = None
        self.db = None

    def forward(self, x):
        # テンソル対応
        self.original_x_shape = x.shape
        self.x = x.reshape(x.shape[0], -1)
        return np.dot(self.x, self.W) + self.b

    def backward(self, dout):
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx.reshape(*self.original_x_shape)


_r = np.random.RandomState(10)
examples = {
    "Convolution": {"init": {"W": _r.randn(2, 1, 2, 2), "b": _r.randn(2), "stride": 1, "pad": 0},
                    "x": _r.randn(3, 1, 3, 4)},
    "Affine": {"init": {"W": _r.randn(4, 3), "b": _r.randn(3)}, "x": _r.randn(3, 1, 2, 2)},
}
''', False, "Convolution: dout (N, FN, OH, OW) is flattened to (-1, FN) without moving the channel axis last; repair dout.transpose(0, 2, 3, 1).reshape(-1, FN).",
     ("x", "W", "b"), ("transpose", "shape"))

_add("w_zero_kara_softmax_loss", "Japanese from-scratch book style, layers.py", r'''
# coding: utf-8
import numpy as np


def softmax(x):
    if x.ndim == 2:
        x = x.T
        x = x - np.max(x, axis=0)
        y = np.exp(x) / np.sum(np.exp(x), axis=0)
        return y.T
    x = x - np.max(x)  # オーバーフロー対策
    return np.exp(x) / np.sum(np.exp(x))


def cross_entropy_error(y, t):
    if y.ndim == 1:
        t = t.reshape(1, t.size)
        y = y.reshape(1, y.size)
    # 教師データがone-hot-vectorの場合、正解ラベルのインデックスに変換
    if t.size == y.size:
        t = t.argmax(axis=1)
    batch_size = y.shape[0]
    return -np.sum(np.log(y[np.arange(batch_size), t] + 1e-12)) / batch_size


class Relu:
    def __init__(self):
        self.mask = None

    def forward(self, x):
        self.mask = (x <= 0)
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dx = dout.copy()
        dx[self.mask] = 0
        return dx


class MulLayer:
    def __init__(self):
        self.x = None
        self.y = None

    def forward(self, x, y):
        self.x = x
        self.y = y
        return x * y

    def backward(self, dout):
        dx = dout * self.y  # xとyをひっくり返す
        dy = dout * self.x
        return dx, dy


class SoftmaxWithLoss:
    def __init__(self):
        self.loss = None
        self.y = None  # softmaxの出力
        self.t = None  # 教師データ

    def forward(self, x, t):
        self.t = t
        self.y = softmax(x)
        self.loss = cross_entropy_error(self.y, self.t)
        return self.loss

    def backward(self, dout=1):
        if self.t.size == self.y.size:  # one-hot-vector
            dx = self.y - self.t
        else:
            dx = self.y.copy()
            dx[np.arange(self.t.shape[0]), self.t] -= 1
        return dx * dout


examples = {
    "SoftmaxWithLoss": {"x": np.random.RandomState(2).randn(4, 3), "t": np.array([0, 2, 1, 1])},
    "MulLayer": {"x": np.random.RandomState(3).randn(3, 2), "y": np.random.RandomState(4).randn(3, 2)},
}
''', False, "SoftmaxWithLoss: the loss is the mean over the batch, the gradient is not divided by batch_size.",
     ("x",), ("factor",))

_add("w_practica_capas_bucle", "Spanish university practical, loops over the samples", r'''
# Práctica 2 - Redes neuronales desde cero
# Aprendizaje Automático, grupo B
import numpy as np


class CapaDensa:
    def __init__(self, n_entradas=3, n_salidas=4, semilla=7):
        gen = np.random.RandomState(semilla)
        self.W = gen.uniform(-1, 1, (n_salidas, n_entradas))
        self.b = gen.uniform(-1, 1, n_salidas)

    def forward(self, x):
        # x: (muestras, entradas)
        self.x = x
        salida = np.zeros((x.shape[0], self.W.shape[0]))
        for k in range(x.shape[0]):
            salida[k] = self.W.dot(x[k]) + self.b
        return salida

    def backward(self, delta):
        self.grad_W = np.zeros(self.W.shape)
        self.grad_b = np.zeros(self.b.shape)
        dx = np.zeros(self.x.shape)
        for k in range(self.x.shape[0]):
            # acumulamos la contribución de cada muestra
            self.grad_W = np.outer(delta[k], self.x[k])
            self.grad_b += delta[k]
            dx[k] = self.W.T.dot(delta[k])
        return dx


class TangenteHiperbolica:
    def forward(self, x):
        self.salida = np.tanh(x)
        return self.salida

    def backward(self, delta):
        return delta * (1 - self.salida ** 2)


class ErrorCuadratico:
    """0.5 * suma de los cuadrados, media sobre las muestras"""

    def forward(self, prediccion, objetivo):
        self.dif = prediccion - objetivo
        return 0.5 * np.sum(self.dif ** 2) / self.dif.shape[0]

    def backward(self, delta=1.0):
        return delta * self.dif / self.dif.shape[0]
''', False, "CapaDensa: in the loop grad_W is overwritten (=) and not accumulated (+=): only the last sample counts.",
     ("W",), ("batch-sum", "missing-term"))

_add("w_tp_classification_binaire", "French TP, functions with memo dicts", r'''
# -*- coding: utf-8 -*-
"""TP 4 : perceptron multi-couches. Binôme : ...

Convention : chaque fonction renvoie (sortie, memo) et la rétropropagation reçoit memo.
"""
import numpy as np


def lineaire_forward(X, W, b):
    """X (n, d), W (d, k), b (k,)"""
    return X @ W + b, {"X": X, "W": W}


def lineaire_backward(dS, memo):
    X, W = memo["X"], memo["W"]
    return {"X": dS @ W.T, "W": X.T @ dS, "b": dS.sum(axis=0)}


def softplus_forward(U):
    return np.logaddexp(0, U), {"U": U}


def softplus_backward(dS, memo):
    return {"U": dS / (1 + np.exp(-memo["U"]))}


def entropie_binaire_forward(scores, y):
    """Perte logistique moyenne, stable : max(s,0) - s*y + log(1+exp(-|s|))

    scores (n,), y (n,) dans {0, 1}
    """
    pertes = np.maximum(scores, 0) - scores * y + np.log1p(np.exp(-np.abs(scores)))
    return pertes.mean(), {"scores": scores, "y": y}


def entropie_binaire_backward(dL, memo):
    s, y = memo["scores"], memo["y"]
    p = 1 / (1 + np.exp(-s))
    return {"scores": dL * (y - p) / len(y)}


examples = {
    "entropie_binaire": {"scores": np.array([0.3, -1.2, 2.1, 0.8, -0.4]), "y": np.array([1, 0, 0, 1, 1])},
    "lineaire": {"X": np.random.RandomState(0).randn(4, 3), "W": np.random.RandomState(1).randn(3, 2),
                 "b": np.array([0.5, -0.5])},
}
''', False, "entropie_binaire: the gradient is (y - p)/n, that of the log likelihood; the loss has (p - y)/n.",
     ("scores",), ("sign",))

_add("w_attention_from_scratch", "self-study repo, functional attention", r'''
import numpy as np
from math import sqrt


def softmax_forward(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    return p, p


def softmax_backward(dp, p):
    return p * (dp - np.sum(dp * p, axis=-1, keepdims=True))


def attention_forward(q, k, v):
    """Scaled dot product attention.

    q: (B, Tq, D)   k: (B, Tk, D)   v: (B, Tk, Dv)
    """
    d = q.shape[-1]
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) / sqrt(d)
    p, _ = softmax_forward(scores)
    out = np.matmul(p, v)
    return out, (q, k, v, p)


def attention_backward(dout, cache):
    q, k, v, p = cache
    d = q.shape[-1]
    dv = np.matmul(np.swapaxes(p, -1, -2), dout)
    dp = np.matmul(dout, np.swapaxes(v, -1, -2))
    ds = softmax_backward(dp, p)
    dq = np.matmul(ds, k) / sqrt(d)
    dk = np.matmul(np.swapaxes(ds, -1, -2), q)
    return dq, dk, dv


def rmsnorm_forward(x, g, eps=1e-6):
    r = 1.0 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    return x * r * g, (x, g, r)


def rmsnorm_backward(dout, cache):
    x, g, r = cache
    n = x.shape[-1]
    dg = (dout * x * r).reshape(-1, n).sum(0)
    dn = dout * g
    dx = r * dn - x * r ** 3 * np.sum(dn * x, axis=-1, keepdims=True) / n
    return dx, dg


rng = np.random.default_rng(0)
examples = {
    "attention": {"q": rng.normal(size=(2, 2, 4)), "k": rng.normal(size=(2, 3, 4)), "v": rng.normal(size=(2, 3, 3))},
    "rmsnorm": {"x": rng.normal(size=(3, 5)), "g": rng.normal(size=5)},
}
''', False, "attention: dk misses the 1/sqrt(d) which dq has.",
     ("k",), ("factor",))

_add("w_self_attention_layer", "small library, params/grads dicts, multi-head", r'''
"""tinyformer.layers"""
import numpy as np


def _init(rng, i, o):
    return rng.standard_normal((i, o)) * np.sqrt(2.0 / (i + o))


class Dense:
    def __init__(self, n_in=4, n_out=3, seed=0):
        rng = np.random.default_rng(seed)
        self.params = {"W": _init(rng, n_in, n_out), "b": np.zeros(n_out)}
        self.grads = {}

    def forward(self, x):
        self._x = x
        return np.einsum("...i,ij->...j", x, self.params["W"]) + self.params["b"]

    def backward(self, dy):
        axes = tuple(range(dy.ndim - 1))
        self.grads["W"] = np.tensordot(self._x, dy, axes=(axes, axes))
        self.grads["b"] = dy.sum(axis=axes)
        return np.einsum("...j,ij->...i", dy, self.params["W"])


class SelfAttention:
    """Multi-head self attention without mask. x: (batch, time, dim)"""

    def __init__(self, dim=4, heads=2, seed=0):
        rng = np.random.default_rng(seed)
        self.heads, self.dh = heads, dim // heads
        self.params = {k: _init(rng, dim, dim) for k in ("Wq", "Wk", "Wv", "Wo")}
        self.grads = {}

    def _split(self, a):
        B, T, D = a.shape
        return a.reshape(B, T, self.heads, self.dh).transpose(0, 2, 1, 3)

    def _merge(self, a):
        B, H, T, d = a.shape
        return a.transpose(0, 2, 1, 3).reshape(B, T, H * d)

    def forward(self, x):
        p = self.params
        q, k, v = (self._split(x @ p[n]) for n in ("Wq", "Wk", "Wv"))
        s = q @ k.transpose(0, 1, 3, 2) / np.sqrt(self.dh)
        a = np.exp(s - s.max(axis=-1, keepdims=True))
        a /= a.sum(axis=-1, keepdims=True)
        z = self._merge(a @ v)
        self._cache = x, q, k, v, a, z
        return z @ p["Wo"]

    def backward(self, dy):
        p = self.params
        x, q, k, v, a, z = self._cache
        wg = lambda inp, g: np.einsum("bti,btj->ij", inp, g)
        self.grads["Wo"] = wg(z, dy)
        dz = self._split(dy @ p["Wo"].T)
        da = dz @ v.transpose(0, 1, 3, 2)
        dv = a.transpose(0, 1, 3, 2) @ dz
        ds = a * (da - (da * a).sum(axis=-1, keepdims=True)) / np.sqrt(self.dh)
        dq = self._merge(ds @ k)
        dk = self._merge(ds.transpose(0, 1, 3, 2) @ q)
        dv = self._merge(dv)
        self.grads["Wq"] = wg(x, dq)
        self.grads["Wk"] = wg(x, dk)
        self.grads["Wv"] = wg(x, dv)
        dx = dk @ p["Wk"].T
        dx += dv @ p["Wv"].T
        return dx


examples = {
    "Dense": {"init": {"n_in": 4, "n_out": 3}, "x": np.random.default_rng(1).normal(size=(2, 3, 4))},
    "SelfAttention": {"init": {"dim": 4, "heads": 2}, "x": np.random.default_rng(2).normal(size=(3, 3, 4)) * 1.5},
}
''', False, "SelfAttention: dx sums the paths through the keys and the values and forgets the queries; repair dx += dq @ Wq.T.",
     ("x",), ("missing-term",))

_add("w_gru_from_paper", "self-study GRU, class with stacked attributes", r'''
import numpy as np


def sigm(a):
    return 0.5 * (1 + np.tanh(0.5 * a))


class GRUCell:
    """h' = z*h + (1-z)*hh,  hh = tanh(x Wh + (r*h) Uh + bh)"""

    def __init__(self, n_x=3, n_h=4, seed=5):
        r = np.random.RandomState(seed)
        for g in 'zrh':
            setattr(self, 'W' + g, r.randn(n_x, n_h) * 0.6)
            setattr(self, 'U' + g, r.randn(n_h, n_h) * 0.6)
            setattr(self, 'b' + g, r.randn(n_h) * 0.1)

    def forward(self, x, h):
        z = sigm(x @ self.Wz + h @ self.Uz + self.bz)
        r = sigm(x @ self.Wr + h @ self.Ur + self.br)
        hh = np.tanh(x @ self.Wh + (r * h) @ self.Uh + self.bh)
        self.cache = (x, h, z, r, hh)
        return z * h + (1 - z) * hh

    def backward(self, dout):
        x, h, z, r, hh = self.cache
        dhh = dout * (1 - z) * (1 - hh ** 2)
        dz = dout * (h - hh) * z * (1 - z)
        drh = dhh @ self.Uh.T
        dr = drh * h * r * (1 - r)

        self.dWh, self.dUh, self.dbh = x.T @ dhh, (r * h).T @ dhh, dhh.sum(0)
        self.dWz, self.dUz, self.dbz = x.T @ dz, h.T @ dz, dz.sum(0)
        self.dWr, self.dUr, self.dbr = x.T @ dr, h.T @ dr, dr.sum(0)

        dx = dhh @ self.Wh.T + dz @ self.Wz.T + dr @ self.Wr.T
        dh = dout * z + drh + dz @ self.Uz.T + dr @ self.Ur.T
        return dx, dh


class Readout:
    def __init__(self, n_h=4, n_y=2, seed=6):
        r = np.random.RandomState(seed)
        self.V = r.randn(n_h, n_y)
        self.c = r.randn(n_y)

    def forward(self, h):
        self.h = h
        return h @ self.V + self.c

    def backward(self, dy):
        self.dV = self.h.T @ dy
        self.dc = dy.sum(axis=0)
        return dy @ self.V.T


examples = {
    "GRUCell": {"init": {"n_x": 3, "n_h": 4}, "x": np.random.RandomState(0).randn(3, 3),
                "h": np.random.RandomState(1).randn(3, 4)},
}
''', False, "GRUCell: the path from the candidate to the previous state misses the reset gate: drh must be drh * r in dh.",
     ("h",), ("elementwise-factor", "missing-term"))

_add("w_aktywacje_projekt", "Polish student project, activation classes", r'''
# Projekt 1 - sieci neuronowe, warstwy aktywacji
import numpy as np


class Aktywacja:
    """klasa bazowa"""
    def forward(self, x):
        raise NotImplementedError

    def backward(self, dy):
        raise NotImplementedError


class LeakyReLU(Aktywacja):
    def __init__(self, nachylenie=0.1):
        self.a = nachylenie

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.a * x)

    def backward(self, dy):
        d = np.ones_like(self.x)
        d[self.x <= 0] = self.a
        return d * dy


class ELU(Aktywacja):
    def __init__(self, alfa=1.3):
        self.alfa = alfa

    def forward(self, x):
        self.x = x
        self.y = np.where(x > 0, x, self.alfa * (np.exp(np.minimum(x, 0)) - 1))
        return self.y

    def backward(self, dy):
        # pochodna: 1 dla x > 0, inaczej korzystamy z wyjscia
        return dy * np.where(self.x > 0, 1.0, self.y)


class Swish(Aktywacja):
    def forward(self, x):
        self.x = x
        self.s = 1 / (1 + np.exp(-x))
        return x * self.s

    def backward(self, dy):
        return dy * (self.s + self.x * self.s * (1 - self.s))


class PReLU(Aktywacja):
    """jedno nachylenie na kanal"""
    def __init__(self, kanaly=3):
        self.a = np.full(kanaly, 0.25)

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0) + self.a * np.minimum(x, 0)

    def backward(self, dy):
        self.da = (dy * np.minimum(self.x, 0)).sum(axis=0)
        return dy * np.where(self.x > 0, 1.0, self.a)


examples = {
    "LeakyReLU": {"x": np.random.RandomState(1).randn(4, 3)},
    "ELU": {"x": np.random.RandomState(2).randn(4, 5)},
    "Swish": {"x": np.random.RandomState(3).randn(3, 4)},
    "PReLU": {"init": {"kanaly": 3}, "x": np.random.RandomState(4).randn(5, 3)},
}
''', False, "ELU: the derivative on the negative side is y + alfa (= alfa exp x), the code returns y.",
     ("x",), ("elementwise-factor", "missing-term"))

_add("w_norms_small_library", "small library, grad_ attributes, NCHW", r'''
"""picograd.norm -- normalisation layers for NCHW tensors."""
import numpy as np

__all__ = ["GroupNorm", "ChannelScale"]


class GroupNorm:
    def __init__(self, channels, groups, eps=1e-5):
        self.C, self.G, self.eps = channels, groups, eps
        self.gamma = np.linspace(0.5, 1.5, channels)
        self.beta = np.linspace(-0.2, 0.2, channels)
        self.grad_gamma = None
        self.grad_beta = None

    def forward(self, x):
        N, C, H, W = x.shape
        g = x.reshape(N, self.G, -1)
        mean = g.mean(axis=2, keepdims=True)
        self.inv = 1.0 / np.sqrt(g.var(axis=2, keepdims=True) + self.eps)
        self.xhat = ((g - mean) * self.inv).reshape(x.shape)
        self.x = x
        return self.xhat * self.gamma[None, :, None, None] + self.beta[None, :, None, None]

    def backward(self, dy):
        N, C, H, W = dy.shape
        self.grad_gamma = np.einsum("nchw,nchw->c", dy, self.x)
        self.grad_beta = np.einsum("nchw->c", dy)
        d = (dy * self.gamma[None, :, None, None]).reshape(N, self.G, -1)
        xh = self.xhat.reshape(N, self.G, -1)
        m = xh.shape[2]
        dx = self.inv / m * (m * d - d.sum(axis=2, keepdims=True) - xh * (d * xh).sum(axis=2, keepdims=True))
        return dx.reshape(dy.shape)


class ChannelScale:
    """y = x * exp(log_s), per channel"""

    def __init__(self, channels):
        self.log_s = np.linspace(-0.5, 0.5, channels)

    def forward(self, x):
        self.x = x
        self.y = x * np.exp(self.log_s).reshape(1, -1, 1, 1)
        return self.y

    def backward(self, dy):
        self.grad_log_s = (dy * self.y).sum(axis=(0, 2, 3))
        return dy * np.exp(self.log_s).reshape(1, -1, 1, 1)


_x = np.random.default_rng(9).normal(1.0, 2.0, size=(3, 4, 1, 3))
examples = {
    "GroupNorm": {"init": {"channels": 4, "groups": 2}, "x": _x},
    "ChannelScale": {"init": {"channels": 4}, "x": _x.copy()},
}
''', False, "GroupNorm: grad_gamma takes the raw input x instead of the normalised xhat.",
     ("gamma",), ("elementwise-factor", "missing-term"))

_add("w_esercitazione_svm", "Italian exercise sheet, multiclass hinge", r'''
"""Esercitazione 5: classificatori lineari (SVM multiclasse, logistica)"""
import numpy as np


def punteggi_forward(X, W):
    # X: (n, d), W: (d, classi)
    return X.dot(W), (X, W)


def punteggi_backward(dS, cache):
    X, W = cache
    return dS.dot(W.T), X.T.dot(dS)


def hinge_forward(scores, y, delta=1.0):
    """Weston-Watkins: media su n di sum_{j != y} max(0, s_j - s_y + delta)"""
    n = scores.shape[0]
    s_y = scores[np.arange(n), y][:, np.newaxis]
    margini = np.maximum(0, scores - s_y + delta)
    margini[np.arange(n), y] = 0
    loss = margini.sum() / n
    return loss, (margini, y)


def hinge_backward(dloss, cache):
    margini, y = cache
    n = margini.shape[0]
    dscores = (margini > 0).astype(float)
    dscores[np.arange(n), y] = -1
    return dloss * dscores / n


def ridge_forward(W, lam=0.3):
    """penalità quadratica"""
    return lam * np.sum(W * W), (W, lam)


def ridge_backward(dR, cache):
    W, lam = cache
    return 2 * lam * W * dR


examples = {
    "hinge": {"scores": np.array([[0.2, 0.9, -0.4, 0.1], [1.3, -0.2, 0.8, 0.4], [0.1, 0.2, 0.6, -0.7], [-1., 0.4, 0.3, 2.5]]),
              "y": np.array([0, 2, 1, 3])},
    "punteggi": {"X": np.random.RandomState(0).randn(4, 3), "W": np.random.RandomState(1).randn(3, 4)},
}
''', False, "hinge: the entry of the right class gets -1 instead of minus the number of violated margins of the row.",
     ("scores",), ("missing-term", "elementwise-factor"))

_add("w_word2vec_homework", "cs224n-like homework", r'''
#!/usr/bin/env python
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def naive_softmax_forward(center_word_vec, outside_vectors, outside_word_idx=1):
    """ Naive Softmax loss for one (center, outside) pair

    Arguments:
    center_word_vec -- numpy ndarray, shape (word vector length, )
    outside_vectors -- outside vectors for all words in vocab, shape (num words in vocab, word vector length)
    outside_word_idx -- the index of the outside word
    """
    scores = outside_vectors.dot(center_word_vec)
    scores = scores - scores.max()
    y_hat = np.exp(scores) / np.exp(scores).sum()
    loss = -np.log(y_hat[outside_word_idx])
    return loss, (center_word_vec, outside_vectors, outside_word_idx, y_hat)


def naive_softmax_backward(dloss, cache):
    v, U, o, y_hat = cache
    delta = y_hat.copy()
    delta[o] -= 1
    ### YOUR CODE HERE (~6-8 Lines)
    grad_center_vec = U.T.dot(delta)
    grad_outside_vecs = np.outer(v, delta)
    ### END YOUR CODE
    return dloss * grad_center_vec, dloss * grad_outside_vecs


def neg_sampling_forward(center_word_vec, outside_vectors, outside_word_idx=0, neg_indices=(2, 3, 2)):
    o, negs = outside_word_idx, list(neg_indices)
    u_o = outside_vectors[o]
    p = sigmoid(u_o.dot(center_word_vec))
    n = sigmoid(-outside_vectors[negs].dot(center_word_vec))
    loss = -np.log(p) - np.sum(np.log(n))
    return loss, (center_word_vec, outside_vectors, o, negs, p, n)


def neg_sampling_backward(dloss, cache):
    v, U, o, negs, p, n = cache
    dv = (p - 1) * U[o]
    dU = np.zeros_like(U)
    dU[o] += (p - 1) * v
    for k, idx in enumerate(negs):     # the same negative may come twice
        dv = dv + (1 - n[k]) * U[idx]
        dU[idx] += (1 - n[k]) * v
    return dloss * dv, dloss * dU


_r = np.random.RandomState(314)
examples = {
    "naive_softmax": {"center_word_vec": _r.randn(3), "outside_vectors": _r.randn(5, 3), "outside_word_idx": 1},
    "neg_sampling": {"center_word_vec": _r.randn(3), "outside_vectors": _r.randn(5, 3), "outside_word_idx": 0,
                     "neg_indices": [2, 3, 2]},
}
''', False, "naive_softmax: the outer product is the wrong way round, (D, V) instead of (V, D); repair np.outer(delta, v).",
     ("outside_vectors",), ("transpose", "shape"))

_add("w_trabalho_highway", "Portuguese course work, highway layer with grads dict", r'''
# Trabalho 2 - Redes profundas (highway networks)
import numpy as np


class Highway:
    """y = T * H + (1 - T) * x,  H = tanh(x Wh + bh),  T = sigmoid(x Wt + bt)"""

    def __init__(self, dim=4, seed=0):
        rng = np.random.RandomState(seed)
        self.params = {
            'Wh': rng.normal(0, 0.7, (dim, dim)),
            'bh': np.zeros(dim),
            'Wt': rng.normal(0, 0.7, (dim, dim)),
            'bt': -1.0 * np.ones(dim),   # começa deixando passar
        }
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}

    def forward(self, x):
        p = self.params
        H = np.tanh(x.dot(p['Wh']) + p['bh'])
        T = 1.0 / (1.0 + np.exp(-(x.dot(p['Wt']) + p['bt'])))
        self.cache = (x, H, T)
        return T * H + (1 - T) * x

    def backward(self, dy):
        p = self.params
        x, H, T = self.cache
        dH = dy * T * (1 - H ** 2)
        dT = dy * (H - x) * T * (1 - T)
        self.grads['Wh'] = x.T.dot(dH)
        self.grads['bh'] = dH.sum(axis=0)
        self.grads['Wt'] = x.T.dot(dT)
        return dy * (1 - T) + dH.dot(p['Wh'].T) + dT.dot(p['Wt'].T)


class Saida:
    """camada linear de saída"""

    def __init__(self, dim=4, classes=3, seed=1):
        rng = np.random.RandomState(seed)
        self.params = {'W': rng.normal(0, 0.5, (dim, classes)), 'b': np.zeros(classes)}
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}

    def forward(self, x):
        self.x = x
        return x.dot(self.params['W']) + self.params['b']

    def backward(self, dy):
        self.grads['W'][...] = self.x.T.dot(dy)
        self.grads['b'][...] = dy.sum(axis=0)
        return dy.dot(self.params['W'].T)
''', False, "Highway: grads['bt'] is never filled and stays zero; repair grads['bt'] = dT.sum(axis=0).",
     ("bt",), ("zero", "missing-term"))

_add("w_cnn_homework_pooling", "Chinese course homework, overlapping max pooling", r'''
# -*- coding: utf-8 -*-
# 作业三：卷积神经网络
import numpy as np


class MaxPool:
    """最大池化层，允许窗口重叠 (AlexNet 用 3x3, stride 2)"""

    def __init__(self, size=2, stride=1):
        self.size = size
        self.stride = stride

    def forward(self, x):
        n, c, h, w = x.shape
        k, s = self.size, self.stride
        oh, ow = (h - k) // s + 1, (w - k) // s + 1
        out = np.empty((n, c, oh, ow))
        self.arg = np.empty((n, c, oh, ow), dtype=int)
        self.x_shape = x.shape
        for i in range(oh):
            for j in range(ow):
                win = x[:, :, i * s:i * s + k, j * s:j * s + k].reshape(n, c, -1)
                self.arg[:, :, i, j] = win.argmax(axis=2)   # 记录最大值位置
                out[:, :, i, j] = win.max(axis=2)
        return out

    def backward(self, dout):
        n, c, oh, ow = dout.shape
        k, s = self.size, self.stride
        dx = np.zeros(self.x_shape)
        for b in range(n):
            for ch in range(c):
                for i in range(oh):
                    for j in range(ow):
                        r, q = divmod(self.arg[b, ch, i, j], k)
                        dx[b, ch, i * s + r, j * s + q] = dout[b, ch, i, j]
        return dx


class Flatten:
    def forward(self, x):
        self.shape = x.shape
        return x.reshape(x.shape[0], -1)

    def backward(self, dout):
        return dout.reshape(self.shape)


class GlobalAvgPool:
    def forward(self, x):
        self.shape = x.shape
        return x.mean(axis=(2, 3))

    def backward(self, dout):
        n, c, h, w = self.shape
        return np.repeat(dout / (h * w), h * w, axis=1).reshape(n, c, h, w)


_x = np.random.RandomState(11).randn(3, 1, 4, 3)
examples = {
    "MaxPool": {"init": {"size": 2, "stride": 1}, "x": _x},
    "Flatten": {"x": _x.copy()},
    "GlobalAvgPool": {"x": np.random.RandomState(12).randn(3, 2, 2, 3)},
}
''', False, "MaxPool: where windows overlap and share a maximum, the gradient is overwritten (=) instead of added (+=).",
     ("x",), ("missing-term",))

_add("w_regression_losses_ru", "Russian homework, robust regression losses", r'''
# ДЗ 2. Функции потерь. Все потери возвращают среднее по выборке.
import numpy as np


class Huber:
    """0.5 r^2 при |r| <= delta, иначе delta (|r| - 0.5 delta)"""

    def __init__(self, delta=0.5):
        self.delta = delta

    def forward(self, pred, target):
        self.r = pred - target
        a = np.abs(self.r)
        quad = 0.5 * self.r ** 2
        lin = self.delta * (a - 0.5 * self.delta)
        return np.where(a <= self.delta, quad, lin).mean()

    def backward(self, grad=1.0):
        r = self.r
        d = np.where(np.abs(r) <= self.delta, r, np.sign(r))
        return grad * d / r.size


class LogCosh:
    def forward(self, pred, target):
        self.r = pred - target
        a = np.abs(self.r)
        return np.mean(a + np.log1p(np.exp(-2 * a)) - np.log(2))

    def backward(self, grad=1.0):
        return grad * np.tanh(self.r) / self.r.size


class Quantile:
    """pinball loss"""

    def __init__(self, q=0.3):
        self.q = q

    def forward(self, pred, target):
        self.r = target - pred
        return np.mean(np.maximum(self.q * self.r, (self.q - 1) * self.r))

    def backward(self, grad=1.0):
        d = np.where(self.r > 0, -self.q, 1 - self.q)
        return grad * d / self.r.size


_r = np.random.RandomState(3)
_p, _t = _r.randn(6) * 1.5, _r.randn(6)
examples = {
    "Huber": {"init": {"delta": 0.5}, "pred": _p, "target": _t},
    "LogCosh": {"pred": _p, "target": _t},
    "Quantile": {"init": {"q": 0.3}, "pred": _p, "target": _t},
}
''', False, "Huber: on the linear side the slope is delta * sign(r), delta is missing.",
     ("pred",), ("elementwise-factor",))

_add("w_weightnorm_repo", "self-study repo, paper reimplementation", r'''
"""Weight normalisation (Salimans & Kingma) re-implemented, plus what I needed for it."""
import numpy as np


def wn_linear_forward(x, v, g, b):
    """ y = x w + b,   w[:, j] = g[j] * v[:, j] / ||v[:, j]|| """
    norm = np.sqrt((v * v).sum(axis=0))
    w = g * v / norm
    y = x @ w + b
    return y, (x, v, g, w, norm)


def wn_linear_backward(dy, cache):
    x, v, g, w, norm = cache
    dw = x.T @ dy
    dg = (dw * v / norm).sum(axis=0)
    dv = dw * g / norm
    db = dy.sum(axis=0)
    dx = dy @ w.T
    return dx, dv, dg, db


def mean_only_bn_forward(x, beta):
    return x - x.mean(axis=0) + beta, x.shape[0]


def mean_only_bn_backward(dy, n):
    dbeta = dy.sum(axis=0)
    return dy - dbeta / n, dbeta


def crelu_forward(x):
    return np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=-1), np.sign(x)


def crelu_backward(dy, s):
    a, b = np.split(dy, 2, axis=-1)
    return a * (s > 0) - b * (s < 0)


_r = np.random.default_rng(2016)
examples = {
    "wn_linear": {"x": _r.normal(size=(4, 3)), "v": _r.normal(size=(3, 4)), "g": _r.uniform(.5, 2, size=4), "b": _r.normal(size=4)},
    "mean_only_bn": {"x": _r.normal(size=(4, 3)), "beta": _r.normal(size=3)},
}
''', False, "wn_linear: dv misses the part through the norm; repair dv = g/norm * (dw - v/norm * dg).",
     ("v",), ("missing-term",))

# ----------------------------------------------------------------------------------------- right

_add("r_assignment_layers_complete", "cs231n-like layers.py, complete", r'''
import numpy as np


def affine_forward(x, w, b):
    out = np.tensordot(x.reshape(len(x), -1), w, 1) + b[None]
    return out, (x, w, b)


def affine_backward(dout, cache):
    x, w, b = cache
    dx = np.reshape(dout @ w.T, x.shape)
    dw = (dout.T @ x.reshape(len(x), -1)).T
    db = np.ones(len(x)) @ dout
    return dx, dw, db


def leaky_relu_forward(x, slope=0.01):
    return np.maximum(x, slope * x), (x, slope)


def leaky_relu_backward(dout, cache):
    x, slope = cache
    dx = dout.copy()
    dx[x < 0] *= slope
    return dx


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    out, cache = None, None
    if mode == 'train':
        mu, var = x.mean(0), x.var(0)
        xn = (x - mu) / np.sqrt(var + eps)
        out = gamma * xn + beta
        cache = (xn, gamma, np.sqrt(var + eps))
        running_mean = momentum * running_mean + (1 - momentum) * mu
        running_var = momentum * running_var + (1 - momentum) * var
    else:
        xn = (x - running_mean) / np.sqrt(running_var + eps)
        out = gamma * xn + beta
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    # the one-line version from the paper derivation
    xn, gamma, std = cache
    N = dout.shape[0]
    dbeta = dout.sum(0)
    dgamma = (xn * dout).sum(0)
    dx = gamma / (N * std) * (N * dout - dbeta - xn * dgamma)
    return dx, dgamma, dbeta


def dropout_forward(x, dropout_param):
    p, mode = dropout_param['p'], dropout_param['mode']
    if 'seed' in dropout_param:
        np.random.seed(dropout_param['seed'])
    mask, out = None, x
    if mode == 'train':
        mask = (np.random.rand(*x.shape) < p) / p
        out = x * mask
    return out, (dropout_param, mask)


def dropout_backward(dout, cache):
    dropout_param, mask = cache
    return dout * mask if dropout_param['mode'] == 'train' else dout


def affine_leaky_forward(x, w, b):
    a, fc_cache = affine_forward(x, w, b)
    out, act_cache = leaky_relu_forward(a)
    return out, (fc_cache, act_cache)


def affine_leaky_backward(dout, cache):
    fc_cache, act_cache = cache
    return affine_backward(leaky_relu_backward(dout, act_cache), fc_cache)


_r = np.random.RandomState(231)
examples = {
    "affine": {"x": _r.randn(3, 2, 2), "w": _r.randn(4, 3), "b": _r.randn(3)},
    "affine_leaky": {"x": _r.randn(3, 4), "w": _r.randn(4, 3), "b": _r.randn(3)},
    "batchnorm": {"x": 5 + 3 * _r.randn(5, 3), "gamma": _r.randn(3), "beta": _r.randn(3), "bn_param": {"mode": "train"}},
    "dropout": {"x": _r.randn(4, 5) + 10, "dropout_param": {"mode": "train", "p": 0.7, "seed": 9}},
}
''')

_add("r_lstm_cell_concat", "Coursera-like LSTM cell, features first", r'''
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_cell_forward(xt, a_prev, c_prev, parameters):
    """
    xt -- (n_x, m),  a_prev, c_prev -- (n_a, m)
    parameters -- Wf, bf, Wi, bi, Wc, bc, Wo, bo;   W* (n_a, n_a + n_x), b* (n_a, 1)
    Returns: a_next, c_next, cache
    """
    concat = np.concatenate((a_prev, xt), axis=0)
    ft = sigmoid(np.dot(parameters["Wf"], concat) + parameters["bf"])
    it = sigmoid(np.dot(parameters["Wi"], concat) + parameters["bi"])
    cct = np.tanh(np.dot(parameters["Wc"], concat) + parameters["bc"])
    c_next = ft * c_prev + it * cct
    ot = sigmoid(np.dot(parameters["Wo"], concat) + parameters["bo"])
    a_next = ot * np.tanh(c_next)
    cache = (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)
    return a_next, c_next, cache


def lstm_cell_backward(da_next, dc_next, cache):
    (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters) = cache
    n_a, m = a_next.shape

    dot = da_next * np.tanh(c_next) * ot * (1 - ot)
    dcct = (dc_next * it + ot * (1 - np.square(np.tanh(c_next))) * it * da_next) * (1 - np.square(cct))
    dit = (dc_next * cct + ot * (1 - np.square(np.tanh(c_next))) * cct * da_next) * it * (1 - it)
    dft = (dc_next * c_prev + ot * (1 - np.square(np.tanh(c_next))) * c_prev * da_next) * ft * (1 - ft)

    concat = np.concatenate((a_prev, xt), axis=0)
    dWf = np.dot(dft, concat.T)
    dWi = np.dot(dit, concat.T)
    dWc = np.dot(dcct, concat.T)
    dWo = np.dot(dot, concat.T)
    dbf = np.sum(dft, axis=1, keepdims=True)
    dbi = np.sum(dit, axis=1, keepdims=True)
    dbc = np.sum(dcct, axis=1, keepdims=True)
    dbo = np.sum(dot, axis=1, keepdims=True)

    Wf, Wi, Wc, Wo = (parameters[k] for k in ("Wf", "Wi", "Wc", "Wo"))
    da_prev = Wf[:, :n_a].T.dot(dft) + Wi[:, :n_a].T.dot(dit) + Wc[:, :n_a].T.dot(dcct) + Wo[:, :n_a].T.dot(dot)
    dc_prev = dc_next * ft + ot * (1 - np.square(np.tanh(c_next))) * ft * da_next
    dxt = Wf[:, n_a:].T.dot(dft) + Wi[:, n_a:].T.dot(dit) + Wc[:, n_a:].T.dot(dcct) + Wo[:, n_a:].T.dot(dot)

    gradients = {"dxt": dxt, "da_prev": da_prev, "dc_prev": dc_prev, "dWf": dWf, "dbf": dbf, "dWi": dWi, "dbi": dbi,
                 "dWc": dWc, "dbc": dbc, "dWo": dWo, "dbo": dbo}
    return gradients


def dense_softmax_forward(a, Wya, by):
    z = np.dot(Wya, a) + by
    e = np.exp(z - z.max(axis=0))
    y = e / e.sum(axis=0)
    return y, (a, Wya, y)


def dense_softmax_backward(dy, cache):
    a, Wya, y = cache
    dz = y * dy - y * (y * dy).sum(axis=0)
    return np.dot(Wya.T, dz), np.dot(dz, a.T), dz.sum(axis=1, keepdims=True)


np.random.seed(1)
_p = {}
for _g in "fico":
    _p["W" + _g] = np.random.randn(3, 5)
    _p["b" + _g] = np.random.randn(3, 1)
examples = {
    "lstm_cell": {"xt": np.random.randn(2, 4), "a_prev": np.random.randn(3, 4), "c_prev": np.random.randn(3, 4), "parameters": _p},
    "dense_softmax": {"a": np.random.randn(3, 4), "Wya": np.random.randn(2, 3), "by": np.random.randn(2, 1)},
}
''')

_add("r_nnfs_no_return", "nnfs-like classes that return nothing", r'''
import numpy as np

np.random.seed(7)


class Layer_Dense:
    def __init__(self, n_inputs=3, n_neurons=4):
        self.weights = 0.01 * np.random.randn(n_inputs, n_neurons)
        self.biases = np.zeros((1, n_neurons))

    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases

    def backward(self, dvalues):
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        self.dinputs = np.dot(dvalues, self.weights.T)


class Activation_Sigmoid:
    def forward(self, inputs):
        self.inputs = inputs
        self.output = 1 / (1 + np.exp(-inputs))

    def backward(self, dvalues):
        self.dinputs = dvalues * (1 - self.output) * self.output


class Activation_Softmax:
    def forward(self, inputs):
        exp_values = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output = exp_values / np.sum(exp_values, axis=1, keepdims=True)

    def backward(self, dvalues):
        self.dinputs = np.empty_like(dvalues)
        for index, (single_output, single_dvalues) in enumerate(zip(self.output, dvalues)):
            single_output = single_output.reshape(-1, 1)
            jacobian_matrix = np.diagflat(single_output) - np.dot(single_output, single_output.T)
            self.dinputs[index] = np.dot(jacobian_matrix, single_dvalues)


examples = {
    "Layer_Dense": {"init": {"n_inputs": 3, "n_neurons": 4}, "inputs": np.random.randn(5, 3)},
    "Activation_Sigmoid": {"inputs": 4 * np.random.randn(3, 4)},
    "Activation_Softmax": {"inputs": np.random.randn(4, 3)},
}
''')

_add("r_fastai_callable_modules", "fast.ai-like refactored modules", r'''
import numpy as np


class Module:
    def __call__(self, *a):
        self.args = a
        self.out = self.forward(*a)
        return self.out

    def backward(self, g): return self.bwd(g, *self.args)


class Lin(Module):
    def __init__(self, nin=3, nout=2):
        r = np.random.default_rng(nin * 10 + nout)
        self.w, self.b = r.normal(size=(nin, nout)) * (2 / nin) ** .5, np.zeros(nout)

    def forward(self, x):
        self.args = (x,)
        return x @ self.w + self.b

    def bwd(self, g, x):
        self.dw, self.db = (x[:, :, None] * g[:, None, :]).sum(0), g.sum(0)
        return g @ self.w.T


class ShiftedRelu(Module):
    def forward(self, x):
        self.args = (x,)
        return x.clip(0) - .4

    def bwd(self, g, x): return g * (x > 0).astype(g.dtype)


class MseLoss(Module):
    "squeezes the last axis of `pred`, as in the lesson"
    def forward(self, pred, targ):
        self.args = pred, targ
        return np.square(pred[..., 0] - targ).mean()

    def bwd(self, g, pred, targ):
        d = 2 * (pred[..., 0] - targ) / len(targ) * g
        return d[..., None], -d


class Model(Module):
    def __init__(self, nin=3, nh=4):
        self.layers = [Lin(nin, nh), ShiftedRelu(), Lin(nh, 1)]

    def forward(self, x):
        for l in self.layers: x = l.forward(x)
        return x

    def backward(self, g):
        for l in reversed(self.layers): g = l.backward(g)
        return g


_r = np.random.default_rng(0)
examples = {
    "Lin": {"init": {"nin": 3, "nout": 2}, "x": _r.normal(size=(4, 3))},
    "ShiftedRelu": {"x": _r.normal(size=(4, 3))},
    "MseLoss": {"pred": _r.normal(size=(5, 1)), "targ": _r.normal(size=5)},
    "Model": {"init": {"nin": 3, "nh": 4}, "x": _r.normal(size=(4, 3))},
}
''')

_add("r_conv_pool_im2col_views", "computer vision lab, stride tricks, in-place buffers", r'''
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


class Conv2d:
    """valid cross-correlation, stride 1; weight (out, in, kh, kw)"""

    def __init__(self, c_in=1, c_out=2, k=2, seed=0):
        r = np.random.RandomState(seed)
        self.W = r.randn(c_out, c_in, k, k) / k
        self.b = r.randn(c_out)
        self.dW = np.empty_like(self.W)      # buffers that are written over at each call
        self.db = np.empty_like(self.b)

    def forward(self, x):
        kh, kw = self.W.shape[2:]
        self.win = sliding_window_view(x, (kh, kw), axis=(2, 3)).copy()
        self.xs = x.shape
        return np.einsum('nchwij,ocij->nohw', self.win, self.W) + self.b[:, None, None]

    def backward(self, dout):
        kh, kw = self.W.shape[2:]
        np.einsum('nchwij,nohw->ocij', self.win, dout, out=self.dW)
        np.sum(dout, axis=(0, 2, 3), out=self.db)
        # full correlation with the flipped kernel
        pad = np.pad(dout, ((0, 0), (0, 0), (kh - 1, kh - 1), (kw - 1, kw - 1)))
        w = sliding_window_view(pad, (kh, kw), axis=(2, 3))
        return np.einsum('nohwij,ocij->nchw', w, self.W[:, :, ::-1, ::-1])


class MaxPool2x2:
    def forward(self, x):
        n, c, h, w = x.shape
        v = x.reshape(n, c, h // 2, 2, w // 2, 2)
        out = v.max(axis=(3, 5))
        self.mask = v == out[:, :, :, None, :, None]
        return out

    def backward(self, dout):
        g = self.mask * dout[:, :, :, None, :, None]
        n, c, h, _, w, _ = g.shape
        return g.reshape(n, c, 2 * h, 2 * w)


class Dense:
    def __init__(self, d=4, m=3, seed=1):
        r = np.random.RandomState(seed)
        self.W, self.b = r.randn(d, m), r.randn(m)

    def forward(self, x):
        self.shape = x.shape
        self.x = x.reshape(x.shape[0], -1)
        out = self.x @ self.W
        out += self.b
        return out

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = np.add.reduce(dout, axis=0)
        return (dout @ self.W.T).reshape(self.shape)


_r = np.random.RandomState(5)
examples = {
    "Conv2d": {"init": {"c_in": 1, "c_out": 2, "k": 2}, "x": _r.randn(3, 1, 3, 4)},
    "MaxPool2x2": {"x": _r.randn(3, 1, 2, 4)},
    "Dense": {"init": {"d": 4, "m": 3}, "x": _r.randn(3, 1, 2, 2)},
}
''')

_add("r_glove_and_fasttext", "NLP homework, sparse rows and co-occurrence", r'''
"""HW3: GloVe objective and a bag of n-grams."""
import numpy as np


def glove_forward(w, c, bw, bc, rows, cols, counts):
    """weighted least squares on log counts: sum f(X) (w_i.c_j + b_i + b_j - log X)^2"""
    weight = np.minimum(1.0, (counts / 10.0) ** 0.75)
    err = np.sum(w[rows] * c[cols], axis=1) + bw[rows] + bc[cols] - np.log(counts)
    return np.sum(weight * err ** 2), (w, c, bw, bc, rows, cols, weight * err)


def glove_backward(dloss, cache):
    w, c, bw, bc, rows, cols, we = cache
    g = 2.0 * dloss * we
    dw, dc = np.zeros(w.shape), np.zeros(c.shape)
    for k in range(len(rows)):
        dw[rows[k]] += g[k] * c[cols[k]]
        dc[cols[k]] += g[k] * w[rows[k]]
    dbw = np.bincount(rows, weights=g, minlength=len(bw))
    dbc = np.bincount(cols, weights=g, minlength=len(bc))
    return dw, dc, dbw, dbc


def ngram_bag_forward(table, bags):
    """table (V, D); bags (N, L) ids, -1 = padding. Mean of the rows that exist."""
    valid = bags >= 0
    n = np.maximum(valid.sum(axis=1, keepdims=True), 1)
    onehot = (bags[:, :, None] == np.arange(len(table))).sum(axis=1) / n
    return onehot @ table, onehot


def ngram_bag_backward(dout, onehot):
    return onehot.T @ dout


_r = np.random.RandomState(2)
examples = {
    "glove": {"w": _r.randn(4, 3) * .5, "c": _r.randn(4, 3) * .5, "bw": _r.randn(4), "bc": _r.randn(4),
              "rows": np.array([0, 0, 1, 3, 3]), "cols": np.array([1, 2, 0, 3, 1]),
              "counts": np.array([3., 25., 1., 7., 2.])},
    "ngram_bag": {"table": _r.randn(5, 3), "bags": np.array([[0, 2, 2], [4, -1, -1], [1, 3, -1], [-1, -1, -1]])},
}
''')

_add("r_rnn_through_time_char", "char-rnn gist as a class with BPTT", r'''
"""minimal char-level RNN, batched. State is kept in lists, one per time step."""
import numpy as np


class CharRNN:
    def __init__(self, vocab_size=4, hidden=5, seed=0):
        rs = np.random.RandomState(seed)
        self.params = dict(
            Wxh=rs.randn(hidden, vocab_size) * 0.5,
            Whh=rs.randn(hidden, hidden) * 0.4,
            Why=rs.randn(vocab_size, hidden) * 0.5,
            bh=np.zeros((hidden, 1)),
            by=np.zeros((vocab_size, 1)),
        )
        self.grads = {}

    def forward(self, x):
        """x: (T, vocab, B) -> logits (T, vocab, B)"""
        p = self.params
        T, V, B = x.shape
        self.xs = x
        self.hs = {-1: np.zeros((p["Whh"].shape[0], B))}
        ys = []
        for t in range(T):
            self.hs[t] = np.tanh(p["Wxh"] @ x[t] + p["Whh"] @ self.hs[t - 1] + p["bh"])
            ys.append(p["Why"] @ self.hs[t] + p["by"])
        return np.stack(ys)

    def backward(self, dys):
        p = self.params
        self.grads = g = {k: np.zeros_like(v) for k, v in p.items()}
        dhnext = np.zeros_like(self.hs[0])
        dx = np.zeros_like(self.xs)
        for t in reversed(range(len(dys))):
            dy = dys[t]
            g["Why"] += dy @ self.hs[t].T
            g["by"] += dy.sum(1, keepdims=True)
            dh = p["Why"].T @ dy + dhnext
            dhraw = (1 - self.hs[t] * self.hs[t]) * dh
            g["bh"] += dhraw.sum(1, keepdims=True)
            g["Wxh"] += dhraw @ self.xs[t].T
            g["Whh"] += dhraw @ self.hs[t - 1].T
            dx[t] = p["Wxh"].T @ dhraw
            dhnext = p["Whh"].T @ dhraw
        return dx


class CrossEntropyOverTime:
    def forward(self, logits, targets):
        """logits (T, V, B), targets (T, B) ints; total over time, mean over batch"""
        m = logits.max(axis=1, keepdims=True)
        lse = m + np.log(np.exp(logits - m).sum(axis=1, keepdims=True))
        self.logp = logits - lse
        self.t = targets[:, None, :]
        return -np.take_along_axis(self.logp, self.t, axis=1).sum() / logits.shape[2]

    def backward(self, dloss=1.0):
        d = np.exp(self.logp)
        hot = np.zeros_like(d)
        np.put_along_axis(hot, self.t, 1.0, axis=1)
        return dloss * (d - hot) / d.shape[2]


_r = np.random.RandomState(1)
examples = {
    "CharRNN": {"init": {"vocab_size": 4, "hidden": 5}, "x": _r.randn(3, 4, 3)},
    "CrossEntropyOverTime": {"logits": _r.randn(3, 4, 2), "targets": np.array([[0, 1], [3, 3], [2, 0]])},
}
''')

_add("r_causal_attention_minus_inf", "GPT in numpy blog post, causal mask with -inf", r'''
import numpy as np


def causal_attention_forward(x, Wqkv, Wo):
    """one head; x (B, T, D), Wqkv (D, 3D), Wo (D, D)"""
    B, T, D = x.shape
    q, k, v = np.split(x @ Wqkv, 3, axis=-1)
    att = np.einsum('btd,bsd->bts', q, k) * D ** -0.5
    att = np.where(np.tri(T, dtype=bool), att, -np.inf)
    att = np.exp(att - att.max(axis=-1, keepdims=True))
    att /= att.sum(axis=-1, keepdims=True)
    y = att @ v
    return y @ Wo, (x, Wqkv, Wo, q, k, v, att, y)


def causal_attention_backward(dout, cache):
    x, Wqkv, Wo, q, k, v, att, y = cache
    D = x.shape[-1]
    dWo = np.einsum('bti,btj->ij', y, dout)
    dy = dout @ Wo.T
    datt = dy @ v.swapaxes(1, 2)
    # att is zero above the diagonal, so the mask comes for free
    ds = att * (datt - np.einsum('bts,bts->bt', att, datt)[..., None]) * D ** -0.5
    dqkv = np.concatenate([ds @ k, ds.swapaxes(1, 2) @ q, att.swapaxes(1, 2) @ dy], axis=-1)
    dWqkv = np.einsum('bti,btj->ij', x, dqkv)
    return dqkv @ Wqkv.T, dWqkv, dWo


def positional_forward(x, pe):
    """learned positions, table longer than the text"""
    return x + pe[:x.shape[1]], pe.shape


def positional_backward(dout, shape):
    dpe = np.zeros(shape)
    dpe[:dout.shape[1]] = dout.sum(0)
    return dout, dpe


def tied_head_forward(h, wte):
    return h @ wte.T, (h, wte)


def tied_head_backward(dlogits, cache):
    h, wte = cache
    return dlogits @ wte, np.einsum('btv,btd->vd', dlogits, h)


_r = np.random.default_rng(4)
examples = {
    "causal_attention": {"x": _r.normal(size=(2, 3, 3)), "Wqkv": _r.normal(size=(3, 9)), "Wo": _r.normal(size=(3, 3))},
    "positional": {"x": _r.normal(size=(3, 2, 3)), "pe": _r.normal(size=(4, 3))},
    "tied_head": {"h": _r.normal(size=(2, 3, 3)), "wte": _r.normal(size=(5, 3))},
}
''')

_add("r_uebungsblatt_biasrow_optimizer", "German university exercise, complete", r'''
import numpy as np


class FullyConnected:
    def __init__(self, input_size=3, output_size=4):
        self.weights = np.random.RandomState(42).rand(input_size + 1, output_size)
        self.gradient_weights = None
        self.optimizer = None          # wird vom Netz gesetzt

    def forward(self, input_tensor):
        self.eingabe = np.hstack((input_tensor, np.ones((len(input_tensor), 1))))
        return self.eingabe @ self.weights

    def backward(self, error_tensor):
        self.gradient_weights = self.eingabe.T @ error_tensor
        fehler = error_tensor @ self.weights[:-1, :].T
        if self.optimizer is not None:
            self.weights = self.optimizer.calculate_update(self.weights, self.gradient_weights)
        return fehler


class TanH:
    def forward(self, input_tensor):
        self.activations = np.tanh(input_tensor)
        return self.activations

    def backward(self, error_tensor):
        return error_tensor - error_tensor * self.activations ** 2


class Flatten:
    def forward(self, input_tensor):
        self.form = input_tensor.shape
        return input_tensor.reshape(self.form[0], -1)

    def backward(self, error_tensor):
        return error_tensor.reshape(self.form)


class Dropout:
    """invertiert; probability = Wahrscheinlichkeit, dass ein Neuron bleibt"""
    def __init__(self, probability=0.5):
        self.probability = probability
        self.testing_phase = False

    def forward(self, input_tensor):
        if self.testing_phase:
            return input_tensor
        zufall = np.random.RandomState(0)
        self.maske = zufall.binomial(1, self.probability, input_tensor.shape) / self.probability
        return input_tensor * self.maske

    def backward(self, error_tensor):
        return error_tensor * self.maske


_t = np.random.RandomState(6)
examples = {
    "FullyConnected": {"init": {"input_size": 3, "output_size": 4}, "input_tensor": _t.randn(5, 3)},
    "TanH": {"input_tensor": _t.randn(4, 3)},
    "Flatten": {"input_tensor": _t.randn(3, 2, 2, 1)},
    "Dropout": {"init": {"probability": 0.7}, "input_tensor": _t.randn(4, 5)},
}
''')

_add("r_activation_zoo_functions", "self-study notebook export, kinks and saturation", r'''
# %% [markdown]
# # Every activation I could find, with the derivative by hand
# %%
import numpy as np


def mish(x):
    sp = np.logaddexp(0., x)
    t = np.tanh(sp)
    return x * t, (x, t)


def mish_backward(dy, cache):
    x, t = cache
    s = .5 * (1 + np.tanh(x / 2))
    return dy * (t + x * (1 - t ** 2) * s)


# %%
def hard_sigmoid(x):
    return np.clip(0.2 * x + 0.5, 0, 1), x


def hard_sigmoid_backward(dy, x):
    inside = np.logical_and(x > -2.5, x < 2.5)
    return 0.2 * dy * inside


# %%
def selu(x):
    a, l = 1.6732632423543772, 1.0507009873554805
    return l * (np.maximum(x, 0) + a * np.expm1(np.minimum(x, 0))), x


def selu_backward(dy, x):
    a, l = 1.6732632423543772, 1.0507009873554805
    # exp(min(x,0)) is 1 on the right, so subtract and add
    return l * dy * ((x > 0) + a * np.exp(np.minimum(x, 0)) * (x <= 0))


# %%
def softsign(x):
    d = 1 + np.abs(x)
    return x / d, d


def softsign_backward(dy, d):
    return dy / d ** 2


# %%
def soft_threshold(x, lam=0.3):
    """shrinkage, prox of the l1 norm"""
    y = np.sign(x) * np.maximum(np.abs(x) - lam, 0)
    return y, y


def soft_threshold_backward(dy, y):
    return np.where(y != 0, dy, 0.)


# %%
examples = {
    "mish": {"x": np.array([[-40., -3., -.2], [0., 1.5, 60.]])},
    "hard_sigmoid": {"x": np.array([-7., -1., .3, 2., 9.])},
    "selu": {"x": np.array([[-3., .5], [-.1, 2.], [7., -20.]])},
    "softsign": {"x": np.array([[-3., .5, .01], [250., -.1, 2.]])},
    "soft_threshold": {"x": np.array([-2., -.1, .05, .9, .2, -.6])},
}
''')

_add("r_loss_collection", "small library, losses with reductions", r'''
"""losses.py -- each loss: forward(...) -> scalar, backward(grad) -> gradient(s)"""
import numpy as np


class FocalLoss:
    """binary, on logits; gamma and alpha as in RetinaNet; sum over everything / number of positives"""

    def __init__(self, alpha=0.25, gamma=2.0):
        self.alpha, self.gamma = alpha, gamma

    def forward(self, logits, targets):
        s = np.where(targets > 0, 1.0, -1.0)
        z = s * logits
        pt = 1 / (1 + np.exp(-z))
        logpt = -np.logaddexp(0, -z)
        at = np.where(targets > 0, self.alpha, 1 - self.alpha)
        self.npos = max(1, int((targets > 0).sum()))
        self.saved = s, pt, logpt, at
        return -(at * (1 - pt) ** self.gamma * logpt).sum() / self.npos

    def backward(self, grad=1.0):
        s, pt, logpt, at = self.saved
        g = self.gamma
        return grad * s * at * (1 - pt) ** g * (g * pt * logpt + pt - 1) / self.npos


class DiceLoss:
    def __init__(self, smooth=1.0):
        self.smooth = smooth

    def forward(self, p, t):
        self.t = t
        self.num = 2 * np.sum(p * t) + self.smooth
        self.den = np.sum(p) + np.sum(t) + self.smooth
        return 1 - self.num / self.den

    def backward(self, grad=1.0):
        return -grad * (2 * self.t * self.den - self.num) / self.den ** 2


class TripletLoss:
    """hinge on squared distances, mean over the batch"""

    def __init__(self, margin=1.0):
        self.margin = margin

    def forward(self, anchor, positive, negative):
        self.ap, self.an = anchor - positive, anchor - negative
        v = (self.ap ** 2).sum(1) - (self.an ** 2).sum(1) + self.margin
        self.active = (v > 0).astype(float)[:, None] / len(v)
        return np.maximum(v, 0).mean()

    def backward(self, grad=1.0):
        k = 2 * grad * self.active
        return k * (self.ap - self.an), -k * self.ap, k * self.an


class LabelSmoothingCE:
    def __init__(self, smoothing=0.1):
        self.s = smoothing

    def forward(self, logits, target):
        n, c = logits.shape
        m = logits - logits.max(1, keepdims=True)
        logp = m - np.log(np.exp(m).sum(1, keepdims=True))
        self.q = np.full((n, c), self.s / c)
        self.q[np.arange(n), target] += 1 - self.s
        self.p = np.exp(logp)
        return -(self.q * logp).sum() / n

    def backward(self, grad=1.0):
        return (self.p - self.q) * (grad / len(self.p))


_r = np.random.RandomState(77)
examples = {
    "FocalLoss": {"logits": _r.randn(4, 3) * 2, "targets": (_r.rand(4, 3) > .6).astype(int)},
    "DiceLoss": {"p": _r.rand(3, 4), "t": (_r.rand(3, 4) > .5).astype(int)},
    "TripletLoss": {"anchor": _r.randn(5, 3), "positive": _r.randn(5, 3), "negative": _r.randn(5, 3)},
    "LabelSmoothingCE": {"logits": _r.randn(4, 5), "target": np.array([0, 4, 2, 2])},
}
''')

_add("r_wavenet_causal_blocks", "audio research code, dilated causal convolutions", r'''
import numpy as np


class CausalConv1d:
    """x (batch, channels, time); weight (taps, c_in, c_out); tap 0 is the present"""

    def __init__(self, c_in=2, c_out=2, taps=2, dilation=2, seed=0):
        rng = np.random.RandomState(seed)
        self.W = rng.randn(taps, c_in, c_out) * 0.5
        self.b = rng.randn(c_out) * 0.1
        self.dilation = dilation

    def _delay(self, x, d):
        if d == 0:
            return x
        out = np.zeros_like(x)
        out[..., d:] = x[..., :-d]
        return out

    def _advance(self, g, d):
        if d == 0:
            return g
        out = np.zeros_like(g)
        out[..., :-d] = g[..., d:]
        return out

    def forward(self, x):
        self.x = x
        y = sum(np.einsum('bit,io->bot', self._delay(x, k * self.dilation), w) for k, w in enumerate(self.W))
        return y + self.b[:, None]

    def backward(self, dy):
        self.dW = np.stack([np.einsum('bit,bot->io', self._delay(self.x, k * self.dilation), dy)
                            for k in range(len(self.W))])
        self.db = dy.sum((0, 2))
        return sum(self._advance(np.einsum('bot,io->bit', dy, w), k * self.dilation) for k, w in enumerate(self.W))


class GatedUnit:
    """first half filter, second half gate"""

    def forward(self, x):
        f, g = np.split(x, 2, axis=1)
        self.th, self.sg = np.tanh(f), 1 / (1 + np.exp(-g))
        return self.th * self.sg

    def backward(self, dy):
        return np.concatenate(((1 - self.th ** 2) * self.sg * dy, self.th * self.sg * (1 - self.sg) * dy), axis=1)


class MuLaw:
    """compression, elementwise and with a kink in its second derivative only"""

    def __init__(self, mu=255.0):
        self.mu = mu

    def forward(self, x):
        self.x = x
        return np.sign(x) * np.log1p(self.mu * np.abs(x)) / np.log1p(self.mu)

    def backward(self, dy):
        return dy * self.mu / (1 + self.mu * np.abs(self.x)) / np.log1p(self.mu)


_r = np.random.RandomState(8)
examples = {
    "CausalConv1d": {"init": {"c_in": 2, "c_out": 2, "taps": 2, "dilation": 2}, "x": _r.randn(3, 2, 5)},
    "GatedUnit": {"x": _r.randn(3, 4, 2)},
    "MuLaw": {"x": _r.uniform(-1, 1, (3, 4))},
}
''')

_add("r_tied_autoencoder", "Swedish lab, shared weights", r'''
# Laboration 3: autokodare med delade vikter
import numpy as np


class TiedAutoencoder:
    """ x_hat = sigmoid( tanh(x W + b) W^T + c ) """

    def __init__(self, n=5, k=2, seed=3):
        rng = np.random.default_rng(seed)
        self.params = {"W": rng.normal(0, 0.5, (n, k)), "b": rng.normal(0, 0.1, k), "c": rng.normal(0, 0.1, n)}
        self.grads = dict.fromkeys(self.params)

    def forward(self, x):
        W, b, c = self.params["W"], self.params["b"], self.params["c"]
        h = np.tanh(x @ W + b)
        xh = 1 / (1 + np.exp(-(h @ W.T + c)))
        self.minne = x, h, xh
        return xh

    def backward(self, dxh):
        W = self.params["W"]
        x, h, xh = self.minne
        da = dxh * xh * (1 - xh)
        dh = (da @ W) * (1 - h * h)
        # W används två gånger: kodare + avkodare
        self.grads["W"] = x.T @ dh + da.T @ h
        self.grads["b"] = dh.sum(0)
        self.grads["c"] = da.sum(0)
        return dh @ W.T


class SparsityPenalty:
    """KL mellan rho och medelaktiveringen per enhet"""

    def __init__(self, rho=0.1):
        self.rho = rho

    def forward(self, a):
        self.n = a.shape[0]
        self.r = a.mean(axis=0)
        q = self.rho
        return np.sum(q * np.log(q / self.r) + (1 - q) * np.log((1 - q) / (1 - self.r)))

    def backward(self, dloss=1.0):
        g = (-self.rho / self.r + (1 - self.rho) / (1 - self.r)) / self.n
        return dloss * np.tile(g, (self.n, 1))


examples = {
    "TiedAutoencoder": {"init": {"n": 5, "k": 2}, "x": np.random.default_rng(1).uniform(size=(4, 5))},
    "SparsityPenalty": {"init": {"rho": 0.1}, "a": np.random.default_rng(2).uniform(0.05, 0.9, size=(4, 3))},
}
''')

_add("r_vae_briques", "French generative models course, VAE bricks", r'''
"""TD VAE : les briques, chacune avec sa passe arrière.  Toutes les sommes sur les pixels / dimensions,
jamais sur le lot (on garde un terme par exemple)."""
import numpy as np


def reparam_forward(mu, logvar, eps):
    sigma = np.exp(0.5 * logvar)
    return mu + sigma * eps, (sigma, eps)


def reparam_backward(dz, cache):
    sigma, eps = cache
    # eps est du bruit : on renvoie quand même son gradient, pour être complet
    return dz.copy(), 0.5 * dz * sigma * eps, dz * sigma


def kl_forward(mu, logvar):
    kl = 0.5 * (np.exp(logvar) + mu ** 2 - 1 - logvar).sum(axis=1)
    return kl, (mu, logvar)


def kl_backward(dkl, cache):
    mu, logvar = cache
    d = dkl[:, None]
    return d * mu, d * 0.5 * np.expm1(logvar)


def bernoulli_forward(logits, x):
    nll = (np.logaddexp(0, logits) - x * logits).sum(1)
    return nll, (logits, x)


def bernoulli_backward(dnll, cache):
    logits, x = cache
    p = np.where(logits >= 0, 1 / (1 + np.exp(-np.abs(logits))), 1 - 1 / (1 + np.exp(-np.abs(logits))))
    return (p - x) * dnll[:, None], -logits * dnll[:, None]


_r = np.random.default_rng(5)
examples = {
    "reparam": {"mu": _r.normal(size=(4, 2)), "logvar": _r.normal(size=(4, 2)), "eps": _r.normal(size=(4, 2))},
    "kl": {"mu": _r.normal(size=(4, 2)), "logvar": _r.normal(size=(4, 2))},
    "bernoulli": {"logits": _r.normal(size=(4, 5)) * 3, "x": (_r.uniform(size=(4, 5)) > .5).astype(float)},
}
''')

_add("r_odd_layers_rbf_maxout", "machine learning theory course, odd layers", r'''
import numpy as np


def rbf_forward(x, centers, log_beta):
    """x (N, D), centers (K, D), log_beta a 0-d array shared by all units"""
    diff = x[:, None, :] - centers[None, :, :]
    d2 = np.einsum("nkd,nkd->nk", diff, diff)
    beta = np.exp(log_beta)
    phi = np.exp(-beta * d2)
    return phi, (diff, d2, beta, phi)


def rbf_backward(dphi, cache):
    diff, d2, beta, phi = cache
    g = dphi * phi
    w = 2 * beta * np.einsum("nk,nkd->nkd", g, diff)
    return -w.sum(axis=1), w.sum(axis=0), np.asarray(-(g * d2).sum() * beta)


def maxout_forward(x, W, b):
    """W (pieces, D, M), b (pieces, M)"""
    z = np.einsum("nd,pdm->pnm", x, W) + b[:, None, :]
    which = z.argmax(axis=0)
    return z.max(axis=0), (x, W, which)


def maxout_backward(dy, cache):
    x, W, which = cache
    P = W.shape[0]
    gated = np.stack([dy * (which == p) for p in range(P)])
    dx = np.einsum("pnm,pdm->nd", gated, W)
    dW = np.einsum("pnm,nd->pdm", gated, x)
    return dx, dW, gated.sum(axis=1)


def bilinear_forward(u, v, A):
    """score_n = u_n^T A v_n; A need not be symmetric"""
    return np.einsum("ni,ij,nj->n", u, A, v), (u, v, A)


def bilinear_backward(ds, cache):
    u, v, A = cache
    s = ds[:, None]
    return s * (v @ A.T), s * (u @ A), (s * u).T @ v


def lp_pool_forward(x, p=3.0):
    a = np.abs(x)
    y = (a ** p).sum(axis=1) ** (1 / p)
    return y, (x, a, y, p)


def lp_pool_backward(dy, cache):
    x, a, y, p = cache
    out = np.sign(x)
    out *= (a / y[:, None]) ** (p - 1)
    out *= dy[:, None]
    return out


_r = np.random.RandomState(99)
examples = {
    "rbf": {"x": _r.randn(4, 2), "centers": _r.randn(3, 2), "log_beta": np.array(-0.7)},
    "maxout": {"x": _r.randn(4, 3), "W": _r.randn(2, 3, 2), "b": _r.randn(2, 2)},
    "bilinear": {"u": _r.randn(4, 3), "v": _r.randn(4, 3), "A": _r.randn(3, 3)},
    "lp_pool": {"x": _r.randn(4, 3)},
}
''')

_add("r_upsampling_toolkit", "small library, image layers without parameters and instance norm", r'''
"""imnet/layers.py: things a decoder needs"""
import numpy as np


class Layer:
    trainable = False

    def __repr__(self):
        return self.__class__.__name__ + "()"


class UpsampleNearest(Layer):
    def __init__(self, factor=2):
        self.f = factor

    def forward(self, x):
        return x.repeat(self.f, axis=-2).repeat(self.f, axis=-1)

    def backward(self, grad):
        f = self.f
        total = 0.0
        for i in range(f):
            for j in range(f):
                total = total + grad[..., i::f, j::f]
        return total


class PixelShuffle(Layer):
    def __init__(self, r=2):
        self.r = r

    def forward(self, x):
        n, c, h, w = x.shape
        r = self.r
        return x.reshape(n, c // r ** 2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // r ** 2, h * r, w * r)

    def backward(self, grad):
        n, c, H, W = grad.shape
        r = self.r
        return grad.reshape(n, c, H // r, r, W // r, r).transpose(0, 1, 3, 5, 2, 4).reshape(n, c * r * r, H // r, W // r)


class ReflectPad(Layer):
    """one pixel on the left and the right, mirrored"""

    def forward(self, x):
        return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(1, 1)], mode="reflect")

    def backward(self, grad):
        g = grad[..., 1:-1].copy()
        g[..., 1] += grad[..., 0]
        g[..., -2] += grad[..., -1]
        return g


class InstanceNorm(Layer):
    trainable = True

    def __init__(self, channels=2, eps=1e-3):
        self.weight = np.arange(1.0, channels + 1)
        self.bias = np.zeros(channels)
        self.eps = eps

    def forward(self, x):
        mu = x.mean((2, 3), keepdims=True)
        self.xc = x - mu
        self.sd = np.sqrt((self.xc ** 2).mean((2, 3), keepdims=True) + self.eps)
        return self.weight[:, None, None] * (self.xc / self.sd) + self.bias[:, None, None]

    def backward(self, grad):
        xn = self.xc / self.sd
        self.grad_weight = (grad * xn).sum((0, 2, 3))
        self.grad_bias = grad.sum((0, 2, 3))
        g = grad * self.weight[:, None, None] / self.sd
        g = g - xn * (g * xn).mean((2, 3), keepdims=True)
        g -= g.mean((2, 3), keepdims=True)       # xn has mean zero, so the order does not matter
        return g


_r = np.random.RandomState(21)
examples = {
    "UpsampleNearest": {"init": {"factor": 2}, "x": _r.randn(3, 1, 2, 2)},
    "PixelShuffle": {"init": {"r": 2}, "x": _r.randn(2, 4, 1, 3)},
    "ReflectPad": {"x": _r.randn(3, 1, 1, 4)},
    "InstanceNorm": {"init": {"channels": 2}, "x": _r.randn(3, 2, 2, 3) * 4 + 1},
}
''')


# ------------------------------------------------------------------------------ own verification
def _verify():
    import inspect
    import numpy as np

    def numeric(loss, a):
        g = np.zeros_like(a)
        for i in np.ndindex(a.shape):
            old, h = a[i], 1e-5
            a[i] = old + h
            p = loss()
            a[i] = old - h
            m = loss()
            a[i] = old
            g[i] = (p - m) / (2 * h)
        return g

    def err(g, n):
        if g is None:
            return np.inf
        g = np.asarray(g)
        if g.shape != n.shape:
            return np.inf
        return float(np.abs(g - n).max() / max(np.abs(n).max(), 1e-12))

    def isf(v):
        return isinstance(v, np.ndarray) and v.dtype == np.float64

    def pairs(ns):
        for n, v in list(ns.items()):
            if inspect.isclass(v) and v.__module__ == ns["__name__"] and "forward" in vars(v) \
                    and ("backward" in vars(v) or hasattr(v, "bwd")):
                if n not in ("Module", "Aktywacja"):
                    yield n, v, None
            if inspect.isfunction(v) and n.endswith("_backward"):
                base = n[:-9]
                yield base, ns.get(base + "_forward") or ns[base], v

    def check(ns, name, f, b):
        ex = dict(ns.get("examples", {}).get(name, {}))
        rng = np.random.RandomState(17)
        init = ex.pop("init", {})
        fn = f
        L = None
        if b is None:
            L = f(**init)
            fn = L.forward
        sig = [p for p in inspect.signature(fn).parameters.values()]
        for p in sig:
            if p.name not in ex and p.default is inspect._empty:
                shp = {"CapaDensa": (4, 3), "Readout": (4, 4), "Layer_Dense": (4, 4), "Highway": (3, 4), "Saida": (3, 4),
                       }.get(name, (4, 3))
                shp = {"w": (3, 2), "b": (2,), "gamma": (3,), "beta": (3,)}.get(p.name, shp)
                ex[p.name] = rng.randn(*shp)
        arrs = {}
        for k, v in ex.items():
            if isinstance(v, dict):
                for kk, vv in v.items():
                    if isf(vv):
                        arrs[kk] = vv
            elif isf(v):
                arrs[k] = v

        def fw():
            r = fn(**ex)
            if b is None:
                return [L.output if r is None else r], None
            return list(r[:-1]), r[-1]
        outs, cache = fw()
        d = [np.asarray(rng.randn(*np.shape(o))) if np.shape(o) else float(rng.randn()) for o in outs]
        loss = lambda: sum(np.sum(np.asarray(o) * dd) for o, dd in zip(fw()[0], d))
        snap = {k: v.copy() for k, v in arrs.items()}
        d0 = [np.array(x) for x in d]
        outs, cache = fw()
        grads = {}
        if b is None:
            # parameters
            P = dict(getattr(L, "params", {}) or {})
            pa = dict(P)
            for k, v in vars(L).items():
                if isf(v):
                    pa.setdefault(k, v)
            L.backward(*d)
            r = L.backward(*d)      # the second call, so that accumulation shows
            if r is None and hasattr(L, "dinputs"):
                r = L.dinputs
            for k, v in pa.items():
                for cand in ("d" + k, "grad_" + k, "gradient_" + k):
                    if getattr(L, cand, None) is not None:
                        arrs[k] = v
                        grads[k] = getattr(L, cand)
                if k in P:
                    arrs[k] = v
                    grads[k] = L.grads.get(k)
        else:
            r = b(*d, cache)
            r = b(*d, cache)
        order = [k for k in [p.name for p in sig] if k in arrs]
        if isinstance(r, dict):
            for k, v in r.items():
                grads[k[1:] if k.startswith("d") and k not in arrs else k] = v
        elif isinstance(r, (tuple, list)):
            for k, v in zip(order, r):
                grads[k] = v
        elif r is not None:
            for k in order[:1]:
                grads[k] = r
        assert all(np.array_equal(snap[k], arrs[k]) for k in snap), "mutated"
        assert all(np.array_equal(x, y) for x, y in zip(d, d0)), "mutated d"
        res, skipped = {}, []
        for k, a in arrs.items():
            if k not in grads:
                skipped.append(k)
                continue
            res[k] = err(grads[k], numeric(loss, a))
        return res, skipped

    bad = 0
    for it in ITEMS:
        src = it.make()["source"]
        import types
        mod = types.ModuleType("m_" + it.name)
        ns = mod.__dict__
        ns["__name__"] = "m_" + it.name
        exec(compile(src, it.name, "exec"), ns)
        wrongpair = it.slip.split(":")[0]
        line, seen = [], 0
        for n, f, b in pairs(ns):
            seen += 1
            res, sk = check(ns, n, f, b)
            want = set(it.wrong) if (not it.right and n == wrongpair) else set()
            for k, e in res.items():
                ok = e > 1e-2 if k in want else e < 1e-6
                if not ok:
                    bad += 1
                    line.append(f"  !! {n}.{k} err {e:.2e} want {'wrong' if k in want else 'right'}")
            if want - set(res):
                bad += 1
                line.append(f"  !! {n}: {want - set(res)} not checked")
            line.append(f"  {n}: " + " ".join(f"{k}={e:.0e}" for k, e in res.items()) + (f"  const {sk}" if sk else ""))
        print(it.name, seen, "pairs")
        print("\n".join(line))
        if not it.right and not any(l.startswith("  " + wrongpair + ":") for l in line):
            bad += 1
            print("  !! wrong pair not found", wrongpair)
    names = [i.name for i in ITEMS]
    assert len(set(names)) == len(names)
    print("wrong", sum(not i.right for i in ITEMS), "right", sum(i.right for i in ITEMS), "file", len(ITEMS), "bad", bad)


if __name__ == "__main__":
    _verify()
