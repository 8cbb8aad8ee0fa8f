"""Students' files: twelve right ones and eighteen with one slip each."""

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


def _right(name, style, source):
    ITEMS.append(Item(name, style, "file", lambda: {"source": source}, True))


def _wrong(name, style, source, old, new, slip, wrong, causes):
    assert source.count(old) == 1, (name, source.count(old))
    changed = source.replace(old, new)
    ITEMS.append(Item(name, style, "file", lambda: {"source": changed}, False, slip, wrong, causes))


# --------------------------------------------------------------------------------------------------------------------
CS231N = r'''import numpy as np


def affine_forward(x, w, b):
    """
    Forward pass of a fully-connected layer.

    Inputs:
    - x: minibatch of shape (N, D)
    - w: weights of shape (D, M)
    - b: biases of shape (M,)

    Returns a tuple of:
    - out: scores of shape (N, M)
    - cache: (x, w, b)
    """
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    """Returns dx (N, D), dw (D, M), db (M,)."""
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db


def relu_forward(x):
    """x: any shape. Returns out of the same shape and the cache x."""
    out = np.maximum(0, x)
    cache = x
    return out, cache


def relu_backward(dout, cache):
    x = cache
    dx = dout * (x > 0)
    return dx


def affine_relu_forward(x, w, b):
    """Sandwich layer. x: (N, D), w: (D, M), b: (M,)."""
    a, fc_cache = affine_forward(x, w, b)
    out, relu_cache = relu_forward(a)
    cache = (fc_cache, relu_cache)
    return out, cache


def affine_relu_backward(dout, cache):
    fc_cache, relu_cache = cache
    da = relu_backward(dout, relu_cache)
    dx, dw, db = affine_backward(da, fc_cache)
    return dx, dw, db


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    """
    Training-time batch normalization.

    - x: data of shape (N, D)
    - gamma: scale, shape (D,)
    - beta: shift, shape (D,)
    """
    mu = x.mean(axis=0)
    var = x.var(axis=0)
    inv_std = 1.0 / np.sqrt(var + eps)
    x_hat = (x - mu) * inv_std
    out = gamma * x_hat + beta
    cache = (x_hat, inv_std, gamma)
    return out, cache


def batchnorm_backward(dout, cache):
    x_hat, inv_std, gamma = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * x_hat, axis=0)
    dx_hat = dout * gamma
    dx = inv_std / N * (N * dx_hat - dx_hat.sum(axis=0) - x_hat * np.sum(dx_hat * x_hat, axis=0))
    return dx, dgamma, dbeta


def layernorm_forward(x, gamma, beta, eps=1e-5):
    """
    Layer normalization: every row of x (N, D) by its own mean and variance; gamma and beta of shape (D,).
    """
    mu = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    inv_std = 1.0 / np.sqrt(var + eps)
    x_hat = (x - mu) * inv_std
    out = gamma * x_hat + beta
    cache = (x_hat, inv_std, gamma)
    return out, cache


def layernorm_backward(dout, cache):
    x_hat, inv_std, gamma = cache
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * x_hat, axis=0)
    dx_hat = dout * gamma
    mean_d = dx_hat.mean(axis=1, keepdims=True)
    mean_dx = (dx_hat * x_hat).mean(axis=1, keepdims=True)
    dx = inv_std * (dx_hat - mean_d - x_hat * mean_dx)
    return dx, dgamma, dbeta
'''

_right("file-cs231n", "CS231n assignment", CS231N)
_wrong("file-cs231n-relu-mask", "CS231n assignment", CS231N,
       "dx = dout * (x > 0)", "dx = dout * (dout > 0)",
       "relu_backward masks by the gradient that comes in: dout * (dout > 0) should be dout * (x > 0).",
       ("relu.x", "affine_relu.x", "affine_relu.w", "affine_relu.b"), ("elementwise-factor",))
_wrong("file-cs231n-layernorm-axis", "CS231n assignment", CS231N,
       "mean_dx = (dx_hat * x_hat).mean(axis=1, keepdims=True)",
       "mean_dx = (dx_hat * x_hat).mean(axis=0, keepdims=True)",
       "layernorm_backward averages dx_hat * x_hat over the batch, as batch norm does: axis=0 should be axis=1.",
       ("layernorm.x",), ("shape",))


# --------------------------------------------------------------------------------------------------------------------
BOOK = r'''# coding: utf-8
import numpy as np


def softmax(x):
    x = x - np.max(x, axis=1, keepdims=True)
    e = np.exp(x)
    return e / np.sum(e, axis=1, keepdims=True)


def cross_entropy_error(y, t):
    batch_size = y.shape[0]
    return -np.sum(t * np.log(y + 1e-12)) / batch_size


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


class Sigmoid:
    def __init__(self):
        self.out = None

    def forward(self, x):
        out = 1.0 / (1.0 + np.exp(-x))
        self.out = out
        return out

    def backward(self, dout):
        return dout * (1.0 - self.out) * self.out


class Affine:
    def __init__(self, W, b):
        self.W = W
        self.b = b
        self.x = None
        self.dW = None
        self.db = None

    def forward(self, x):
        self.x = x
        return np.dot(x, self.W) + self.b

    def backward(self, dout):
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx


class BatchNormalization:
    def __init__(self, gamma, beta, momentum=0.9):
        self.gamma = gamma
        self.beta = beta
        self.momentum = momentum
        self.running_mean = np.zeros_like(gamma)
        self.running_var = np.ones_like(gamma)
        self.dgamma = None
        self.dbeta = None

    def forward(self, x, train_flg=True):
        if not train_flg:
            xn = (x - self.running_mean) / np.sqrt(self.running_var + 1e-7)
            return self.gamma * xn + self.beta
        mu = x.mean(axis=0)
        self.xc = x - mu
        var = np.mean(self.xc ** 2, axis=0)
        self.std = np.sqrt(var + 1e-7)
        self.xn = self.xc / self.std
        self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mu
        self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        return self.gamma * self.xn + self.beta

    def backward(self, dout):
        n = dout.shape[0]
        self.dbeta = dout.sum(axis=0)
        self.dgamma = np.sum(self.xn * dout, axis=0)
        dxn = self.gamma * dout
        dxc = dxn / self.std
        dstd = -np.sum(dxn * self.xc / (self.std * self.std), axis=0)
        dvar = 0.5 * dstd / self.std
        dxc = dxc + 2.0 / n * self.xc * dvar
        return dxc - dxc.mean(axis=0)


class SoftmaxWithLoss:
    """x: scores (N, C), t: one-hot labels (N, C); the loss is averaged over the batch."""

    def __init__(self):
        self.loss = None
        self.y = None
        self.t = None

    def forward(self, x, t):
        self.t = t
        self.y = softmax(x)
        self.loss = cross_entropy_error(self.y, self.t)
        return self.loss

    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        return dout * (self.y - self.t) / batch_size


rng = np.random.RandomState(0)
examples = {
    "Relu": {"x": rng.randn(3, 4)},
    "Sigmoid": {"x": rng.randn(3, 4)},
    "Affine": {"init": {"W": rng.randn(4, 3), "b": rng.randn(3)}, "x": rng.randn(5, 4)},
    "BatchNormalization": {"init": {"gamma": 1 + 0.3 * rng.randn(3), "beta": rng.randn(3)}, "x": rng.randn(6, 3)},
    "SoftmaxWithLoss": {"x": rng.randn(4, 3), "t": np.eye(3)[[0, 2, 1, 2]]},
}
'''

_right("file-book", "deep learning book", BOOK)
_wrong("file-book-softmax-rows", "deep learning book", BOOK,
       "batch_size = self.t.shape[0]", "batch_size = self.t.shape[1]",
       "SoftmaxWithLoss.backward divides by the number of classes: self.t.shape[1] should be self.t.shape[0].",
       ("SoftmaxWithLoss.x",), ("factor",))
_wrong("file-book-relu-copy", "deep learning book", BOOK,
       "out = x.copy()", "out = x",
       "Relu.forward zeroes the caller's own x: out = x should be out = x.copy().",
       ("Relu.x (the caller's array is written to)",), ("mutates-input",))


# --------------------------------------------------------------------------------------------------------------------
KERAS = r'''"""A tiny layer library: weights live in self.params, gradients in self.grads under the same names."""
import numpy as np


class Layer:
    def __init__(self, name=None):
        self.name = name or self.__class__.__name__.lower()
        self.params = {}
        self.grads = {}

    def add_weight(self, name, value):
        self.params[name] = value
        self.grads[name] = np.zeros_like(value)

    def zero_grad(self):
        for key in self.grads:
            self.grads[key] = np.zeros_like(self.grads[key])

    def count_params(self):
        return sum(p.size for p in self.params.values())


class Dense(Layer):
    """y = x @ kernel + bias, x of shape (batch, input_dim)"""

    def __init__(self, units, input_dim, seed=0):
        super().__init__()
        rng = np.random.default_rng(seed)
        limit = np.sqrt(6.0 / (units + input_dim))
        self.add_weight("kernel", rng.uniform(-limit, limit, size=(input_dim, units)))
        self.add_weight("bias", 0.1 * rng.standard_normal(units))

    def forward(self, x):
        self._x = x
        return x @ self.params["kernel"] + self.params["bias"]

    def backward(self, dy):
        self.grads["kernel"] = self._x.T @ dy
        self.grads["bias"] = dy.sum(axis=0)
        return dy @ self.params["kernel"].T


class Embedding(Layer):
    """ids (batch, length) of ints -> vectors (batch, length, output_dim)"""

    def __init__(self, vocab_size, output_dim, seed=0):
        super().__init__()
        rng = np.random.default_rng(seed)
        self.add_weight("table", rng.normal(scale=0.5, size=(vocab_size, output_dim)))

    def forward(self, ids):
        self._ids = ids
        return self.params["table"][ids]

    def backward(self, dy):
        grad = np.zeros_like(self.params["table"])
        np.add.at(grad, self._ids, dy)
        self.grads["table"] = grad
        return None  # ids are integers


class LayerNormalization(Layer):
    def __init__(self, dim, epsilon=1e-3):
        super().__init__()
        self.epsilon = epsilon
        self.add_weight("gamma", np.linspace(0.5, 1.5, dim))
        self.add_weight("beta", np.zeros(dim))

    def forward(self, x):
        centred = x - x.mean(axis=-1, keepdims=True)
        self._inv = 1.0 / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + self.epsilon)
        self._xhat = centred * self._inv
        return self.params["gamma"] * self._xhat + self.params["beta"]

    def backward(self, dy):
        self.grads["gamma"] = np.sum(dy * self._xhat, axis=0)
        self.grads["beta"] = np.sum(dy, axis=0)
        g = dy * self.params["gamma"]
        inner = g - g.mean(axis=-1, keepdims=True)
        inner = inner - self._xhat * np.mean(g * self._xhat, axis=-1, keepdims=True)
        return inner * self._inv


class Swish(Layer):
    def forward(self, x):
        self._x = x
        self._s = 1.0 / (1.0 + np.exp(-x))
        return x * self._s

    def backward(self, dy):
        return dy * (self._s + self._x * self._s * (1.0 - self._s))


_rng = np.random.default_rng(7)
examples = {
    "Dense": {"init": {"units": 3, "input_dim": 4}, "x": _rng.standard_normal((5, 4))},
    "Embedding": {"init": {"vocab_size": 6, "output_dim": 3}, "ids": np.array([[1, 4, 1], [0, 4, 2]])},
    "LayerNormalization": {"init": {"dim": 5}, "x": _rng.standard_normal((4, 5))},
    "Swish": {"x": _rng.standard_normal((3, 4))},
}
'''

_right("file-keras", "Keras-like library", KERAS)
_wrong("file-keras-dense-accumulates", "Keras-like library", KERAS,
       'self.grads["kernel"] = self._x.T @ dy', 'self.grads["kernel"] += self._x.T @ dy',
       'Dense.backward adds to the kernel gradient of the call before: self.grads["kernel"] += ... should be =.',
       ("Dense.kernel (from the second backward on)",), ("accumulates",))
_wrong("file-keras-embedding-repeats", "Keras-like library", KERAS,
       "np.add.at(grad, self._ids, dy)", "grad[self._ids] += dy",
       "Embedding.backward counts a repeated id only once: grad[ids] += dy should be np.add.at(grad, ids, dy).",
       ("Embedding.table",), ("batch-sum", "missing-term"))


# --------------------------------------------------------------------------------------------------------------------
NOTEBOOK = r'''#!/usr/bin/env python
# coding: utf-8

# # Week 4: building a deep network step by step
#
# One example per COLUMN. The cost is the average over the m examples.

# In[1]:


import numpy as np


# In[2]:


def linear_forward(A, W, b):
    """
    Linear part of a layer's forward propagation.

    Arguments:
    A -- activations of the previous layer, of shape (n_prev, m)
    W -- weights, numpy array of shape (n, n_prev)
    b -- bias, numpy array of shape (n, 1)

    Returns:
    Z -- pre-activation, of shape (n, m)
    cache -- (A, W, b)
    """
    Z = np.dot(W, A) + b
    assert Z.shape == (W.shape[0], A.shape[1])
    return Z, (A, W, b)


def linear_backward(dZ, cache):
    """The average over the m examples is in the cost (and so in dZ already)."""
    A_prev, W, b = cache
    m = A_prev.shape[1]
    assert dZ.shape == (W.shape[0], m)
    dW = np.dot(dZ, A_prev.T)
    db = np.sum(dZ, axis=1, keepdims=True)
    dA_prev = np.dot(W.T, dZ)
    return dA_prev, dW, db


# In[3]:


def sigmoid(Z):
    """Z -- of any shape. Returns A and the cache Z."""
    A = 1 / (1 + np.exp(-Z))
    return A, Z


def sigmoid_backward(dA, cache):
    Z = cache
    s = 1 / (1 + np.exp(-Z))
    dZ = dA * s * (1 - s)
    return dZ


def tanh(Z):
    """Z -- of any shape. Returns A and the cache A."""
    A = np.tanh(Z)
    return A, A


def tanh_backward(dA, cache):
    A = cache
    dZ = dA * (1 - np.power(A, 2))
    return dZ


# In[4]:


def linear_activation_forward(A_prev, W, b, activation="tanh"):
    """
    A_prev -- (n_prev, m)
    W -- (n, n_prev)
    b -- (n, 1)
    activation -- "sigmoid" or "tanh"
    """
    Z, linear_cache = linear_forward(A_prev, W, b)
    A, activation_cache = sigmoid(Z) if activation == "sigmoid" else tanh(Z)
    return A, (linear_cache, activation_cache, activation)


def linear_activation_backward(dA, cache):
    linear_cache, activation_cache, activation = cache
    if activation == "sigmoid":
        dZ = sigmoid_backward(dA, activation_cache)
    else:
        dZ = tanh_backward(dA, activation_cache)
    dA_prev, dW, db = linear_backward(dZ, linear_cache)
    return dA_prev, dW, db


# In[5]:


def compute_cost_forward(AL, Y):
    """Cross-entropy cost. AL -- probabilities of shape (1, m); Y -- labels 0 or 1, shape (1, m)."""
    m = Y.shape[1]
    cost = -np.sum(Y * np.log(AL) + (1 - Y) * np.log(1 - AL)) / m
    return cost, (AL, Y)


def compute_cost_backward(dcost, cache):
    AL, Y = cache
    dAL = -(np.divide(Y, AL) - np.divide(1 - Y, 1 - AL)) / Y.shape[1]
    return dcost * dAL


# In[6]:


examples = {
    "compute_cost": {"AL": np.array([[0.8, 0.3, 0.55, 0.1]]), "Y": np.array([[1.0, 0.0, 0.0, 1.0]])},
}
'''

_right("file-notebook", "course notebook export", NOTEBOOK)
_wrong("file-notebook-m-twice", "course notebook export", NOTEBOOK,
       "dW = np.dot(dZ, A_prev.T)", "dW = 1. / m * np.dot(dZ, A_prev.T)",
       "linear_backward divides dW by the number of examples, which the cost has done already: "
       "1/m * dZ A_prev^T should be dZ A_prev^T.",
       ("linear.W", "linear_activation.W"), ("factor", "batch-sum"))


# --------------------------------------------------------------------------------------------------------------------
VAE = r'''"""Building blocks of our VAE with hand-written gradients.

Everything is batch-first: B rows, Z latents, D pixels. Losses are sums over the last axis, one per row.
"""
import numpy as np

LOG_2PI = np.log(2.0 * np.pi)


def reparameterize(mu, logvar, eps):
    """mu (B, Z), logvar (B, Z), eps (B, Z) standard normal noise, drawn by the caller -> z (B, Z)"""
    std = np.exp(0.5 * logvar)
    z = mu + std * eps
    return z, (std, eps)


def reparameterize_backward(dz, cache):
    std, eps = cache
    dmu = dz
    dlogvar = 0.5 * dz * std * eps
    return dmu, dlogvar


def gaussian_kl(mu, logvar):
    """KL(N(mu, exp(logvar)) || N(0, I)); mu (B, Z), logvar (B, Z) -> (B,)"""
    kl = 0.5 * np.sum(mu**2 + np.exp(logvar) - logvar - 1.0, axis=1)
    return kl, (mu, logvar)


def gaussian_kl_backward(dkl, cache):
    mu, logvar = cache
    dkl = dkl[:, None]
    dmu = dkl * mu
    dlogvar = 0.5 * dkl * (np.exp(logvar) - 1.0)
    return dmu, dlogvar


def gaussian_nll(x, mean, logvar):
    """-log N(x; mean, exp(logvar)) of the data x (B, D); mean (B, D), logvar (B, D) -> (B,). x gets no gradient."""
    diff = x - mean
    prec = np.exp(-logvar)
    nll = 0.5 * np.sum(LOG_2PI + logvar + diff**2 * prec, axis=1)
    return nll, (diff, prec)


def gaussian_nll_backward(dnll, cache):
    diff, prec = cache
    dnll = dnll[:, None]
    dmean = -dnll * diff * prec
    dlogvar = 0.5 * dnll * (1.0 - diff**2 * prec)
    return dmean, dlogvar


def bernoulli_nll(x, logits):
    """-log p(x | logits) of binary data x (B, D) in [0, 1]; logits (B, D) -> (B,). x gets no gradient."""
    nll = np.sum(np.logaddexp(0.0, logits) - x * logits, axis=1)
    return nll, (x, logits)


def bernoulli_nll_backward(dnll, cache):
    x, logits = cache
    probs = 0.5 * (1.0 + np.tanh(0.5 * logits))
    dlogits = dnll[:, None] * (probs - x)
    return dlogits


def vae_loss(x, logits, mu, logvar, beta=0.5):
    """Mean over the batch of nll + beta * kl. x (B, D) in [0, 1], logits (B, D), mu (B, Z), logvar (B, Z)"""
    nll, nll_cache = bernoulli_nll(x, logits)
    kl, kl_cache = gaussian_kl(mu, logvar)
    loss = np.mean(nll + beta * kl)
    return loss, (nll_cache, kl_cache, beta, x.shape[0])


def vae_loss_backward(dloss, cache):
    nll_cache, kl_cache, beta, batch = cache
    drow = np.full(batch, dloss / batch)
    dlogits = bernoulli_nll_backward(drow, nll_cache)
    dmu, dlogvar = gaussian_kl_backward(beta * drow, kl_cache)
    return dlogits, dmu, dlogvar
'''

_right("file-vae", "research repository (VAE)", VAE)
_wrong("file-vae-nll-logvar", "research repository (VAE)", VAE,
       "dlogvar = 0.5 * dnll * (1.0 - diff**2 * prec)", "dlogvar = 0.5 * dnll * (-(diff**2) * prec)",
       "gaussian_nll_backward forgets the normaliser: 0.5 dnll (-diff^2 prec) should be 0.5 dnll (1 - diff^2 prec).",
       ("gaussian_nll.logvar",), ("missing-term",))
_wrong("file-vae-noise-inside", "research repository (VAE)", VAE,
       "z = mu + std * eps", "z = mu + std * np.random.randn(*mu.shape)",
       "reparameterize draws its own noise: std * np.random.randn(...) should be std * eps, the noise it was given.",
       ("reparameterize (its value changes from call to call)", "reparameterize.logvar"), ("noise-redrawn",))


# --------------------------------------------------------------------------------------------------------------------
COLUMNS = r'''# Layers for the second exercise sheet. Convention: x has shape (features, batch), one column per example.
import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


class FullyConnected:
    def __init__(self, n_in, n_out, seed=1):
        r = np.random.RandomState(seed)
        self.W = r.randn(n_out, n_in) / np.sqrt(n_in)
        self.b = 0.1 * r.randn(n_out, 1)

    def forward(self, x):
        self.x = x
        return self.W @ x + self.b

    def backward(self, grad_out):
        self.grad_W = grad_out @ self.x.T
        self.grad_b = grad_out.sum(axis=1, keepdims=True)
        return self.W.T @ grad_out


class PReLU:
    """One slope per feature for the negative half."""

    def __init__(self, n):
        self.alpha = np.linspace(0.1, 0.4, n).reshape(n, 1)

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.alpha * x)

    def backward(self, grad_out):
        negative = self.x <= 0
        self.grad_alpha = np.sum(grad_out * self.x * negative, axis=1, keepdims=True)
        return np.where(negative, self.alpha * grad_out, grad_out)


class Highway:
    """y = t * h + (1 - t) * x, h = tanh(W x + b), gate t = sigmoid(V x + c); n features in and out."""

    def __init__(self, n, seed=2):
        r = np.random.RandomState(seed)
        self.W = r.randn(n, n) / np.sqrt(n)
        self.b = np.zeros((n, 1))
        self.V = r.randn(n, n) / np.sqrt(n)
        self.c = -np.ones((n, 1))

    def forward(self, x):
        h = np.tanh(self.W @ x + self.b)
        t = sigmoid(self.V @ x + self.c)
        self.saved = x, h, t
        return t * h + (1.0 - t) * x

    def backward(self, grad_out):
        x, h, t = self.saved
        grad_a = grad_out * t * (1.0 - h**2)
        grad_g = grad_out * (h - x) * t * (1.0 - t)
        self.grad_W = grad_a @ x.T
        self.grad_b = grad_a.sum(axis=1, keepdims=True)
        self.grad_V = grad_g @ x.T
        self.grad_c = grad_g.sum(axis=1, keepdims=True)
        grad_x = grad_out * (1.0 - t)
        grad_x = grad_x + self.W.T @ grad_a
        grad_x = grad_x + self.V.T @ grad_g
        return grad_x


class HalfSquaredError:
    """0.5 * squared distance of each column, averaged over the columns."""

    def forward(self, x, target):
        self.diff = x - target
        return 0.5 * np.sum(self.diff**2) / x.shape[1]

    def backward(self, grad_out=1.0):
        return grad_out * self.diff / self.diff.shape[1]


_r = np.random.RandomState(3)
examples = {
    "FullyConnected": {"init": {"n_in": 4, "n_out": 3}, "x": _r.randn(4, 5)},
    "PReLU": {"init": {"n": 4}, "x": _r.randn(4, 5)},
    "Highway": {"init": {"n": 4}, "x": _r.randn(4, 3)},
    "HalfSquaredError": {"x": _r.randn(3, 5), "target": _r.randn(3, 5)},
}
'''

_right("file-columns", "exercise sheet, features first", COLUMNS)
_wrong("file-columns-highway-gate", "exercise sheet, features first", COLUMNS,
       "grad_x = grad_x + self.V.T @ grad_g", "grad_x = grad_x + self.V @ grad_g",
       "Highway.backward sends the gate's gradient back through V: V @ grad_g should be V.T @ grad_g.",
       ("Highway.x",), ("transpose",))


# --------------------------------------------------------------------------------------------------------------------
RNN = r'''"""
Minimal recurrent nets over whole sequences in numpy, backprop through time by hand.
x is (N, T, D): N sequences, T steps, D features; hidden size H.
"""
import numpy as np

sigm = lambda a: 1.0 / (1.0 + np.exp(-a))


def rnn_forward(x, h0, Wx, Wh, b):
    """
    x: (N, T, D), h0: (N, H), Wx: (D, H), Wh: (H, H), b: (H,)
    returns all hidden states, (N, T, H)
    """
    N, T, D = x.shape
    hs = {-1: h0}
    for t in range(T):
        hs[t] = np.tanh(x[:, t] @ Wx + hs[t - 1] @ Wh + b)
    h = np.stack([hs[t] for t in range(T)], axis=1)
    return h, (x, hs, Wx, Wh)


def rnn_backward(dout, cache):
    x, hs, Wx, Wh = cache
    N, T, D = x.shape
    dx, dWx, dWh = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
    db = np.zeros(Wh.shape[0])
    dhnext = np.zeros_like(hs[-1])
    for t in reversed(range(T)):
        dh = dout[:, t] + dhnext
        draw = (1 - hs[t] * hs[t]) * dh  # through tanh
        db += draw.sum(axis=0)
        dWx += x[:, t].T @ draw
        dWh += hs[t - 1].T @ draw
        dx[:, t] = draw @ Wx.T
        dhnext = draw @ Wh.T
    return dx, dhnext, dWx, dWh, db


def gru_forward(x, h0, Wx, Wh, b):
    """
    x: (N, T, D), h0: (N, H), Wx: (D, 3H), Wh: (H, 3H), b: (3H,); the order is r, z, n
    returns all hidden states, (N, T, H)
    """
    N, T, D = x.shape
    H = h0.shape[1]
    h, steps, out = h0, [], []
    for t in range(T):
        ax = x[:, t] @ Wx + b
        ah = h @ Wh
        r = sigm(ax[:, :H] + ah[:, :H])
        z = sigm(ax[:, H:2 * H] + ah[:, H:2 * H])
        n = np.tanh(ax[:, 2 * H:] + r * ah[:, 2 * H:])
        steps.append((h, r, z, n, ah[:, 2 * H:]))
        h = (1 - z) * n + z * h
        out.append(h)
    return np.stack(out, axis=1), (x, Wx, Wh, steps)


def gru_backward(dout, cache):
    x, Wx, Wh, steps = cache
    dx, dWx, dWh = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
    db = np.zeros(Wx.shape[1])
    dhnext = np.zeros_like(steps[0][0])
    for t in reversed(range(x.shape[1])):
        h, r, z, n, hn = steps[t]
        dh = dout[:, t] + dhnext
        dn = dh * (1 - z) * (1 - n * n)
        dz = dh * (h - n) * z * (1 - z)
        dr = dn * hn * r * (1 - r)
        dax = np.concatenate([dr, dz, dn], axis=1)
        dah = np.concatenate([dr, dz, dn * r], axis=1)
        db += dax.sum(axis=0)
        dWx += x[:, t].T @ dax
        dWh += h.T @ dah
        dx[:, t] = dax @ Wx.T
        dhnext = dh * z + dah @ Wh.T
    return dx, dhnext, dWx, dWh, db


def readout_forward(h, Why, by):
    """h: (N, T, H), Why: (H, V), by: (V,) -> scores (N, T, V)"""
    return h @ Why + by, (h, Why)


def readout_backward(dscores, cache):
    h, Why = cache
    dWhy = np.einsum("nth,ntv->hv", h, dscores)
    dby = dscores.sum(axis=(0, 1))
    return dscores @ Why.T, dWhy, dby
'''

_right("file-rnn", "Karpathy gist", RNN)
_wrong("file-rnn-last-step-only", "Karpathy gist", RNN,
       "dWh += hs[t - 1].T @ draw", "dWh = hs[t - 1].T @ draw",
       "rnn_backward keeps only one time step's part of dWh: dWh = hs[t-1].T @ draw should be dWh += ...",
       ("rnn.Wh",), ("missing-term", "batch-sum"))
_wrong("file-rnn-gru-update-sign", "Karpathy gist", RNN,
       "dz = dh * (h - n) * z * (1 - z)", "dz = dh * (n - h) * z * (1 - z)",
       "gru_backward has the update gate's difference the wrong way round: (n - h) should be (h - n).",
       ("gru.x", "gru.h0", "gru.Wx", "gru.Wh", "gru.b"), ("sign",))


# --------------------------------------------------------------------------------------------------------------------
GPT = r'''# Forward and backward passes of a small GPT block in plain numpy, x is (B, T, C) everywhere.
import numpy as np

GELU_SCALE = np.sqrt(2.0 / np.pi)


def gelu(x):
    """tanh approximation, any shape"""
    th = np.tanh(GELU_SCALE * (x + 0.044715 * x**3))
    return 0.5 * x * (1.0 + th), (x, th)


def gelu_backward(dout, cache):
    x, th = cache
    du = GELU_SCALE * (1.0 + 3.0 * 0.044715 * x**2)
    return dout * (0.5 * (1.0 + th) + 0.5 * x * (1.0 - th**2) * du)


def rmsnorm(x, weight, eps=1e-5):
    """x (B, T, C), weight (C,)"""
    rstd = 1.0 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    return x * rstd * weight, (x, weight, rstd)


def rmsnorm_backward(dout, cache):
    x, weight, rstd = cache
    norm = x * rstd
    dweight = np.sum(dout * norm, axis=(0, 1))
    dnorm = dout * weight
    dx = rstd * (dnorm - norm * np.mean(dnorm * norm, axis=-1, keepdims=True))
    return dx, dweight


def split_heads(a, n_head):
    B, T, C = a.shape
    return a.reshape(B, T, n_head, C // n_head).transpose(0, 2, 1, 3)  # (B, nh, T, hs)


def merge_heads(a):
    B, nh, T, hs = a.shape
    return a.transpose(0, 2, 1, 3).reshape(B, T, nh * hs)


def attention(q, k, v, n_head=2):
    """causal multi-head attention; q, k, v are (B, T, C), C a multiple of n_head"""
    qh, kh, vh = (split_heads(a, n_head) for a in (q, k, v))
    scale = 1.0 / np.sqrt(qh.shape[-1])
    att = qh @ kh.transpose(0, 1, 3, 2) * scale
    T = q.shape[1]
    att = np.where(np.tril(np.ones((T, T), dtype=bool)), att, -np.inf)
    att = np.exp(att - att.max(axis=-1, keepdims=True))
    att = att / att.sum(axis=-1, keepdims=True)
    return merge_heads(att @ vh), (qh, kh, vh, att, scale)


def attention_backward(dout, cache):
    qh, kh, vh, att, scale = cache
    B, nh, T, hs = qh.shape
    dyh = split_heads(dout, nh)
    dvh = att.transpose(0, 1, 3, 2) @ dyh
    datt = dyh @ vh.transpose(0, 1, 3, 2)
    dpre = att * (datt - np.sum(datt * att, axis=-1, keepdims=True)) * scale
    dq = merge_heads(dpre @ kh)
    dk = merge_heads(dpre.transpose(0, 1, 3, 2) @ qh)
    dv = merge_heads(dvh)
    return dq, dk, dv


def mlp(x, w1, b1, w2, b2):
    """x (B, T, C), w1 (C, F), b1 (F,), w2 (F, C), b2 (C,)"""
    hidden, act_cache = gelu(x @ w1 + b1)
    return hidden @ w2 + b2, (x, w1, w2, hidden, act_cache)


def mlp_backward(dout, cache):
    x, w1, w2, hidden, act_cache = cache
    dw2 = np.einsum("btf,btc->fc", hidden, dout)
    db2 = dout.sum(axis=(0, 1))
    dpre = gelu_backward(dout @ w2.T, act_cache)
    dw1 = np.einsum("btc,btf->cf", x, dpre)
    db1 = dpre.sum(axis=(0, 1))
    return dpre @ w1.T, dw1, db1, dw2, db2


_g = np.random.default_rng(1337)
examples = {
    "gelu": {"x": _g.normal(size=(2, 3, 4))},
    "rmsnorm": {"x": _g.normal(size=(2, 3, 4)), "weight": _g.normal(1.0, 0.2, size=4)},
    "attention": {name: _g.normal(size=(2, 3, 4)) for name in ("q", "k", "v")},
    "mlp": {"x": _g.normal(size=(2, 3, 4)), "w1": _g.normal(size=(4, 5)), "b1": _g.normal(size=5),
            "w2": _g.normal(size=(5, 4)), "b2": _g.normal(size=4)},
}
'''

_right("file-gpt", "minGPT port", GPT)
_wrong("file-gpt-heads-merged", "minGPT port", GPT,
       "dv = merge_heads(dvh)", "dv = dvh.reshape(B, T, nh * hs)",
       "attention_backward reshapes dv without moving the heads back first: dvh.reshape(B, T, C) should be "
       "dvh.transpose(0, 2, 1, 3).reshape(B, T, C).",
       ("attention.v",), ("transpose",))
_wrong("file-gpt-gelu-cube", "minGPT port", GPT,
       "1.0 + 3.0 * 0.044715 * x**2", "1.0 + 0.044715 * x**2",
       "gelu_backward forgets the 3 of the cube's derivative: 0.044715 x^2 should be 3 * 0.044715 x^2.",
       ("gelu.x", "mlp.x", "mlp.w1", "mlp.b1"), ("factor", "elementwise-factor"))


# --------------------------------------------------------------------------------------------------------------------
CNN = r'''"""Naive convolutional layers with explicit loops, images as (N, C, H, W)."""
import numpy as np


def conv_forward(x, w, b, stride=1, pad=1):
    """
    x: images (N, C, H, W)
    w: F filters (F, C, HH, WW)
    b: biases (F,)
    """
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="constant")
    Ho = 1 + (H + 2 * pad - HH) // stride
    Wo = 1 + (W + 2 * pad - WW) // stride
    out = np.zeros((N, F, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            hs, ws = i * stride, j * stride
            patch = xp[:, :, hs:hs + HH, ws:ws + WW]
            out[:, :, i, j] = np.tensordot(patch, w, axes=([1, 2, 3], [1, 2, 3])) + b
    return out, (x, w, xp, stride, pad)


def conv_backward(dout, cache):
    x, w, xp, stride, pad = cache
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    dxp = np.zeros_like(xp)
    dw = np.zeros_like(w)
    db = dout.sum(axis=(0, 2, 3))
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            hs, ws = i * stride, j * stride
            d = dout[:, :, i, j]
            dw += np.tensordot(d, xp[:, :, hs:hs + HH, ws:ws + WW], axes=([0], [0]))
            dxp[:, :, hs:hs + HH, ws:ws + WW] += np.tensordot(d, w, axes=([1], [0]))
    dx = dxp[:, :, pad:pad + H, pad:pad + W]
    return dx, dw, db


def maxpool_forward(x, size=2, stride=2):
    """x: (N, C, H, W), the windows fit exactly"""
    N, C, H, W = x.shape
    Ho, Wo = 1 + (H - size) // stride, 1 + (W - size) // stride
    out = np.zeros((N, C, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            window = x[:, :, i * stride:i * stride + size, j * stride:j * stride + size]
            out[:, :, i, j] = window.max(axis=(2, 3))
    return out, (x, out, size, stride)


def maxpool_backward(dout, cache):
    x, out, size, stride = cache
    dx = np.zeros_like(x)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            rows = slice(i * stride, i * stride + size)
            cols = slice(j * stride, j * stride + size)
            mask = x[:, :, rows, cols] == out[:, :, i, j][:, :, None, None]
            dx[:, :, rows, cols] += mask * dout[:, :, i, j][:, :, None, None]
    return dx


def global_avgpool_forward(x):
    """x: (N, C, H, W) -> (N, C)"""
    return x.mean(axis=(2, 3)), x.shape


def global_avgpool_backward(dout, cache):
    N, C, H, W = cache
    return np.broadcast_to(dout[:, :, None, None] / (H * W), (N, C, H, W)).copy()


rs = np.random.RandomState(231)
examples = {
    "conv": {"x": rs.randn(2, 2, 4, 4), "w": rs.randn(3, 2, 3, 3), "b": rs.randn(3)},
    "maxpool": {"x": rs.randn(2, 2, 4, 4)},
    "global_avgpool": {"x": rs.randn(2, 3, 3, 3)},
}
'''

_right("file-cnn", "CNN tutorial", CNN)
_wrong("file-cnn-unpad", "CNN tutorial", CNN,
       "dx = dxp[:, :, pad:pad + H, pad:pad + W]", "dx = dxp[:, :, :H, :W]",
       "conv_backward cuts the padding off at one side only: dxp[:, :, :H, :W] should be "
       "dxp[:, :, pad:pad + H, pad:pad + W].",
       ("conv.x",), ("transpose", "shape"))


# --------------------------------------------------------------------------------------------------------------------
FLOWS = r'''"""Log-densities of small normalizing flows, value and vector-Jacobian product written out.

Ported from a functional code base: every `f` takes arrays and returns (log_prob, residuals), every `f_backward` takes
the cotangent of log_prob, shape (batch,), and the residuals, and returns the cotangents of f's arguments in order.
"""
import numpy as np

HALF_LOG_2PI = 0.5 * np.log(2.0 * np.pi)


def standard_normal_log_prob(z):
    """z: (batch, dim) -> (batch,)"""
    return -0.5 * np.sum(z * z, axis=-1) - HALF_LOG_2PI * z.shape[-1]


def affine_log_prob(x, shift, log_scale):
    """x = shift + exp(log_scale) * z.  x: (batch, dim), shift: (dim,), log_scale: (dim,)"""
    inv = np.exp(-log_scale)
    z = (x - shift) * inv
    return standard_normal_log_prob(z) - np.sum(log_scale), (z, inv)


def affine_log_prob_backward(ct, res):
    z, inv = res
    ct = ct[:, None]
    ct_x = -ct * z * inv
    ct_shift = -np.sum(ct_x, axis=0)
    ct_log_scale = np.sum(ct * (z * z - 1.0), axis=0)
    return ct_x, ct_shift, ct_log_scale


def coupling_log_prob(x, ws, bs, wt, bt):
    """
    Affine coupling: the first half of x passes, the second is shifted and scaled.
    x: (batch, 2 k), ws: (k, k), bs: (k,), wt: (k, k), bt: (k,)
    """
    k = x.shape[1] // 2
    x1, x2 = x[:, :k], x[:, k:]
    s = np.tanh(x1 @ ws + bs)
    t = x1 @ wt + bt
    z2 = (x2 - t) * np.exp(-s)
    log_prob = standard_normal_log_prob(np.concatenate([x1, z2], axis=1)) - s.sum(axis=1)
    return log_prob, (x1, z2, s, ws, wt)


def coupling_log_prob_backward(ct, res):
    x1, z2, s, ws, wt = res
    ct = ct[:, None]
    ct_z2 = -ct * z2
    ct_x2 = ct_z2 * np.exp(-s)
    ct_t = -ct_x2
    ct_s = -ct_z2 * z2 - ct
    ct_pre = ct_s * (1.0 - s * s)
    ct_x1 = -ct * x1 + ct_pre @ ws.T + ct_t @ wt.T
    ct_x = np.concatenate([ct_x1, ct_x2], axis=1)
    return ct_x, x1.T @ ct_pre, ct_pre.sum(axis=0), x1.T @ ct_t, ct_t.sum(axis=0)


def planar_log_prob(x, w, u, b):
    """
    Planar flow towards the base: z = x + u tanh(x.w + b).
    x: (batch, dim), w: (dim,), u: (dim,), b: (1,)
    """
    h = np.tanh(x @ w + b)
    z = x + h[:, None] * u
    slope = 1.0 - h * h
    det = 1.0 + slope * (u @ w)
    return standard_normal_log_prob(z) + np.log(np.abs(det)), (x, w, u, h, z, slope, det)


def planar_log_prob_backward(ct, res):
    x, w, u, h, z, slope, det = res
    ct_z = -ct[:, None] * z
    ct_det = ct / det
    ct_uw = np.sum(ct_det * slope)
    ct_h = ct_z @ u - 2.0 * h * ct_det * (u @ w)
    ct_a = ct_h * slope
    ct_x = ct_z + ct_a[:, None] * w
    ct_w = x.T @ ct_a + ct_uw * u
    ct_u = ct_z.T @ h + ct_uw * w
    ct_b = np.array([ct_a.sum()])
    return ct_x, ct_w, ct_u, ct_b


_key = np.random.default_rng(42)
examples = {
    "affine_log_prob": {"x": _key.normal(size=(4, 3)), "shift": _key.normal(size=3), "log_scale": _key.normal(size=3)},
    "coupling_log_prob": {"x": _key.normal(size=(4, 4)), "ws": _key.normal(size=(2, 2)), "bs": _key.normal(size=2),
                          "wt": _key.normal(size=(2, 2)), "bt": _key.normal(size=2)},
    "planar_log_prob": {"x": _key.normal(size=(5, 3)), "w": np.array([0.6, -0.4, 0.3]), "u": np.array([0.5, 0.7, -0.2]),
                        "b": np.array([0.1])},
}
'''

_right("file-flows", "JAX/TFP port", FLOWS)
_wrong("file-flows-planar-det-path", "JAX/TFP port", FLOWS,
       "ct_w = x.T @ ct_a + ct_uw * u", "ct_w = x.T @ ct_a",
       "planar_log_prob_backward forgets that w stands in the determinant too: x^T ct_a should be x^T ct_a + ct_uw u.",
       ("planar_log_prob.w",), ("missing-term",))


# --------------------------------------------------------------------------------------------------------------------
LOSSES = r'''"""Loss functions and their gradients. All are SUMMED over the batch; divide outside if you want a mean."""
import numpy as np


def huber(pred, target, delta=1.0):
    """pred (N, D), target (N, D); quadratic up to delta, then linear. The target is data."""
    err = pred - target
    small = np.abs(err) <= delta
    loss = np.where(small, 0.5 * err**2, delta * (np.abs(err) - 0.5 * delta))
    return loss.sum(), (err, small, delta)


def huber_backward(dloss, cache):
    err, small, delta = cache
    dpred = dloss * np.where(small, err, delta * np.sign(err))
    return dpred


def triplet(anchor, positive, negative, margin=0.5):
    """max(0, |a - p|^2 - |a - n|^2 + margin), summed; all three (N, D)"""
    dp = anchor - positive
    dn = anchor - negative
    slack = np.sum(dp**2, axis=1) - np.sum(dn**2, axis=1) + margin
    rows = np.maximum(slack, 0.0)
    return rows.sum(), (dp, dn, rows)


def triplet_backward(dloss, cache):
    dp, dn, rows = cache
    active = (rows > 0)[:, None]
    danchor = dloss * active * 2.0 * (dp - dn)
    dpositive = dloss * active * -2.0 * dp
    dnegative = dloss * active * 2.0 * dn
    return danchor, dpositive, dnegative


def focal(logits, labels, gamma=2.0):
    """-(1 - p_y)^gamma log p_y for softmax probabilities; logits (N, C), labels (N,) ints below C"""
    shifted = logits - logits.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(labels))
    lp = logp[rows, labels]
    loss = -np.sum((1.0 - np.exp(lp)) ** gamma * lp)
    return loss, (logp, labels, gamma)


def focal_backward(dloss, cache):
    logp, labels, gamma = cache
    p = np.exp(logp)
    rows = np.arange(len(labels))
    py, lp = p[rows, labels], logp[rows, labels]
    # d loss / d log p_y
    dlp = gamma * (1.0 - py) ** (gamma - 1.0) * py * lp - (1.0 - py) ** gamma
    onehot = np.zeros_like(p)
    onehot[rows, labels] = 1.0
    dlogits = dloss * dlp[:, None] * (onehot - p)
    return dlogits


def cosine(a, b):
    """sum of 1 - cos(a_i, b_i); a (N, D), b (N, D)"""
    na = np.linalg.norm(a, axis=1, keepdims=True)
    nb = np.linalg.norm(b, axis=1, keepdims=True)
    cos = np.sum(a * b, axis=1, keepdims=True) / (na * nb)
    return np.sum(1.0 - cos), (a, b, na, nb, cos)


def cosine_backward(dloss, cache):
    a, b, na, nb, cos = cache
    da = -dloss * (b / (na * nb) - cos * a / na**2)
    db = -dloss * (a / (na * nb) - cos * b / nb**2)
    return da, db


_rng = np.random.default_rng(5)
_anchor = _rng.normal(size=(4, 3))
examples = {
    "triplet": {
        "anchor": _anchor,
        "positive": _anchor + 0.8 * _rng.normal(size=(4, 3)),
        "negative": _anchor + 0.8 * _rng.normal(size=(4, 3)),
    },
    "focal": {"logits": _rng.normal(size=(4, 3)), "labels": np.array([2, 0, 1, 2])},
}
'''

_right("file-losses", "loss collection, summed", LOSSES)
_wrong("file-losses-triplet-active", "loss collection, summed", LOSSES,
       "active = (rows > 0)[:, None]", "active = (rows < 0)[:, None]",
       "triplet_backward's mask is never true, since rows = max(slack, 0): rows < 0 should be rows > 0.",
       ("triplet.anchor", "triplet.positive", "triplet.negative"), ("zero", "elementwise-factor"))


# --------------------------------------------------------------------------------------------------------------------
METRIC = r'''"""Distances, kernels and graph layers for metric learning (n points with d features each)."""
import numpy as np

EPS = 1e-6


def normalize_rows_forward(X):
    """X (n, d) -> rows of length one"""
    norm = np.sqrt(np.sum(X**2, axis=1, keepdims=True) + EPS)
    U = X / norm
    return U, (U, norm)


def normalize_rows_backward(dU, cache):
    U, norm = cache
    return (dU - U * np.sum(dU * U, axis=1, keepdims=True)) / norm


def pairwise_distance_forward(X):
    """X (n, d) -> D (n, n), the Euclidean distances of all pairs"""
    diff = X[:, None, :] - X[None, :, :]
    sq = np.sum(diff**2, axis=-1)
    D = np.sqrt(sq + EPS)
    return D, (diff, D)


def pairwise_distance_backward(dD, cache):
    diff, D = cache
    dsq = 0.5 * dD / D
    dsq = dsq + dsq.T  # D[i, j] and D[j, i] both depend on X[i]
    return 2.0 * np.sum(dsq[:, :, None] * diff, axis=1)


def rbf_kernel_forward(X, C, log_gamma):
    """K[i, j] = exp(-gamma |X_i - C_j|^2); X (n, d), centres C (k, d), log_gamma (1,)"""
    diff = X[:, None, :] - C[None, :, :]
    sq = np.sum(diff**2, axis=-1)
    gamma = np.exp(log_gamma)
    K = np.exp(-gamma * sq)
    return K, (diff, sq, gamma, K)


def rbf_kernel_backward(dK, cache):
    diff, sq, gamma, K = cache
    dE = dK * K
    dlog_gamma = -gamma * np.sum(dE * sq)
    ddiff = -2.0 * gamma * dE[:, :, None] * diff
    dX = ddiff.sum(axis=1)
    dC = -ddiff.sum(axis=0)
    return dX, dC, dlog_gamma


class GraphConv:
    """relu(A_hat X W + b) with a fixed adjacency matrix; A_hat = D^-1 (A + I) is not symmetric."""

    def __init__(self, adjacency, d_in, d_out, seed=0):
        A = np.asarray(adjacency, dtype=float) + np.eye(len(adjacency))
        self.A_hat = A / A.sum(axis=1, keepdims=True)
        r = np.random.default_rng(seed)
        self.W = r.normal(size=(d_in, d_out)) / np.sqrt(d_in)
        self.b = 0.1 * r.normal(size=d_out)
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, X):
        self.AX = self.A_hat @ X
        self.pre = self.AX @ self.W + self.b
        return np.maximum(self.pre, 0.0)

    def backward(self, dH):
        dpre = dH * (self.pre > 0)
        self.dW = self.AX.T @ dpre
        self.db = dpre.sum(axis=0)
        return self.A_hat.T @ (dpre @ self.W.T)


_r = np.random.default_rng(11)
examples = {
    "rbf_kernel": {"X": _r.normal(size=(4, 2)), "C": _r.normal(size=(3, 2)), "log_gamma": np.array([-0.7])},
    "GraphConv": {
        "init": {
            "adjacency": np.array([[0, 1, 0, 0], [1, 0, 1, 1], [0, 1, 0, 0], [0, 1, 0, 0]]),
            "d_in": 3,
            "d_out": 4,
        },
        "X": _r.normal(size=(4, 3)),
    },
}
'''

_right("file-metric", "research repository (metric learning)", METRIC)
_wrong("file-metric-distance-root", "research repository (metric learning)", METRIC,
       "D = np.sqrt(sq + EPS)", "D = np.sqrt(sq)",
       "pairwise_distance divides 0 by 0 on the diagonal when going back: np.sqrt(sq) should be np.sqrt(sq + EPS).",
       ("pairwise_distance.X",), ("non-finite",))
