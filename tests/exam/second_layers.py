"""Exam paper m: single layers, losses and pieces (check "vjp")."""
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
ASSIGN = "course assignment, (out, cache) tuples, batch first"
SCRATCH = "from-scratch repository, layer classes with state"
BOOK = "book companion, small classes with self.x / self.dW"
MOOC = "MOOC notebook, features first, grads by name"
PORT = "port of framework layers to NumPy"

def add(name, style, fresh, args, slip="", wrong=(), causes=()):
    """fresh: (forward, backward), or a layer class whose instance has forward / backward."""
    def make():
        r = np.random.default_rng(1000 + sum(i * ord(c) for i, c in enumerate(name)))
        inputs, constants = args(r)
        if isinstance(fresh, tuple):
            f, b = fresh
        else:
            layer = fresh()
            f, b = layer.forward, layer.backward
        return {"forward": f, "backward": b, "inputs": inputs, "constants": constants}
    ITEMS.append(Item(name, style, "vjp", make, not slip, slip, wrong, causes))

def away(r, *shape):
    """Random numbers of both signs, none near zero."""
    v = r.standard_normal(shape)
    return v + 0.2 * np.sign(v)

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)

# ------------------------------------------------------------------ assignments
def conv_forward_naive(x, w, b, stride, pad):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    Ho, Wo = 1 + (H + 2 * pad - HH) // stride, 1 + (W + 2 * pad - WW) // stride
    out = np.zeros((N, F, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            win = xp[:, :, i * stride:i * stride + HH, j * stride:j * stride + WW]
            out[:, :, i, j] = np.tensordot(win, w, axes=([1, 2, 3], [1, 2, 3])) + b
    return out, (x, w, b, stride, pad)

def conv_backward_naive(dout, cache):
    x, w, b, stride, pad = cache
    H, W = x.shape[2:]
    HH, WW = w.shape[2:]
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    db = dout.sum(axis=(0, 2, 3))
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            sl = np.s_[:, :, i * stride:i * stride + HH, j * stride:j * stride + WW]
            dw += np.tensordot(dout[:, :, i, j], xp[sl], axes=(0, 0))
            dxp[sl] += np.tensordot(dout[:, :, i, j], w, axes=(1, 0))
    dx = dxp[:, :, :H, :W]
    return dx, dw, db

add("conv_naive_crop", ASSIGN, (conv_forward_naive, conv_backward_naive),
    lambda r: ({"x": r.standard_normal((3, 2, 5, 5)), "w": r.standard_normal((3, 2, 3, 3)), "b": r.standard_normal(3)},
               {"stride": 1, "pad": 1}),
    "the padding is cut off at the far side only: dxp[:, :, :H, :W] should be dxp[:, :, pad:pad+H, pad:pad+W]",
    ("x",), ("transpose", "shape", "unknown"))

def batchnorm_forward(x, gamma, beta, eps):
    mu = x.mean(0)
    xc = x - mu
    ivar = 1 / np.sqrt((xc ** 2).mean(0) + eps)
    xhat = xc * ivar
    return gamma * xhat + beta, (xc, ivar, xhat, gamma)

def batchnorm_backward(dout, cache):
    xc, ivar, xhat, gamma = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xc).sum(axis=0)
    dxhat = dout * gamma
    divar = (dxhat * xc).sum(axis=0)
    dvar = -0.5 * divar * ivar ** 3
    dxc = dxhat * ivar + 2 / N * xc * dvar
    return dxc - dxc.mean(axis=0), dgamma, dbeta

add("batchnorm_dgamma", ASSIGN, (batchnorm_forward, batchnorm_backward),
    lambda r: ({"x": 2 * r.standard_normal((5, 4)) + 1, "gamma": r.standard_normal(4), "beta": r.standard_normal(4)}, {"eps": 1e-5}),
    "dgamma is taken with the centred x, not the normalised one: (dout * xhat).sum(0)", ("gamma",), ("elementwise-factor",))

def max_pool_forward(x, pool, stride):
    N, C, H, W = x.shape
    Ho, Wo = (H - pool) // stride + 1, (W - pool) // stride + 1
    out = np.zeros((N, C, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            out[:, :, i, j] = x[:, :, i * stride:i * stride + pool, j * stride:j * stride + pool].max(axis=(2, 3))
    return out, (x, pool, stride)

def max_pool_backward(dout, cache):
    x, pool, s = cache
    N, C, Ho, Wo = dout.shape
    dx = np.zeros_like(x)
    for n in range(N):
        for c in range(C):
            for i in range(Ho):
                for j in range(Wo):
                    k = np.argmax(x[n, c, i * s:i * s + pool, j * s:j * s + pool])
                    di, dj = np.unravel_index(k, (pool, pool))
                    dx[n, c, i * s + di, j * s + dj] = dout[n, c, i, j]
    return dx

add("maxpool_overlap", ASSIGN, (max_pool_forward, max_pool_backward),
    lambda r: ({"x": r.permutation(3 * 2 * 25).reshape(3, 2, 5, 5) / 30 - 2.5}, {"pool": 3, "stride": 1}),
    "windows overlap, and the gradient of a maximum shared by several is overwritten: = should be +=", ("x",), ("missing-term",))

def word_embedding_forward(x, W):
    return W[x], (x, W.shape)

def word_embedding_backward(dout, cache):
    x, shape = cache
    dW = np.zeros(shape)
    dW[x] += dout
    return {"W": dW}

add("embedding_repeats", ASSIGN, (lambda W, x: word_embedding_forward(x, W), word_embedding_backward),
    lambda r: ({"W": r.standard_normal((5, 3))}, {"x": np.array([[0, 2, 2], [4, 1, 2], [0, 3, 1]])}),
    "dW[x] += dout counts a word that occurs several times once: np.add.at(dW, x, dout)", ("W",), ("missing-term", "batch-sum"))

def relu_forward(x):
    return np.maximum(0, x), x

def relu_backward(dout, cache):
    x = cache
    dout[x <= 0] = 0
    return dout

add("relu_writes_dout", ASSIGN, (relu_forward, relu_backward), lambda r: ({"x": away(r, 4, 5)}, {}),
    "the mask is applied to the caller's dout in place: dx = dout * (x > 0)", ("x",), ("mutates-input",))

def layernorm_forward(x, gamma, beta, ln_param):
    mu = x.mean(axis=1, keepdims=True)
    std = np.sqrt(x.var(axis=1, keepdims=True) + ln_param["eps"])
    xn = (x - mu) / std
    return gamma * xn + beta, {"xn": xn, "std": std, "gamma": gamma}

def layernorm_backward(dout, cache):
    xn, std, gamma = cache["xn"], cache["std"], cache["gamma"]
    dxn = dout * gamma
    dx = (dxn - xn * (dxn * xn).mean(axis=1, keepdims=True)) / std
    return {"x": dx, "gamma": (dout * xn).sum(0), "beta": dout.sum(0)}

add("layernorm_mean_path", ASSIGN, (layernorm_forward, layernorm_backward),
    lambda r: ({"x": r.standard_normal((4, 5)) + 0.5, "gamma": r.standard_normal(5), "beta": r.standard_normal(5)}, {"ln_param": {"eps": 1e-5}}),
    "the path through the mean is missing: subtract dxn.mean(axis=1, keepdims=True) in the bracket", ("x",), ("missing-term",))

# ------------------------------------------------------------------ book companion
class BookSigmoid:
    def forward(self, x):
        self.out = sigmoid(x)
        return self.out, self.out

    def backward(self, dout, cache):
        s = sigmoid(cache)
        return dout * s * (1 - s)

add("sigmoid_twice", BOOK, BookSigmoid, lambda r: ({"x": 1.5 * r.standard_normal((4, 3))}, {}),
    "the sigmoid is applied again to its kept output: dout * out * (1 - out)", ("x",), ("elementwise-factor",))

class BookDropout:
    def forward(self, x, mask, keep):
        return x * mask / keep, (mask, keep)

    def backward(self, dout, cache):
        mask, keep = cache
        return dout * mask

add("dropout_no_scale", BOOK, BookDropout,
    lambda r: ({"x": r.standard_normal((5, 6))}, {"mask": r.random((5, 6)) < 0.6, "keep": 0.6}),
    "inverted dropout divides by keep forward only: dout * mask / keep", ("x",), ("factor",))

class BookDropoutRandom:
    ratio = 0.5

    def forward(self, x):
        self.mask = np.random.rand(*x.shape) > self.ratio
        return x * self.mask, self.mask

    def backward(self, dout, cache):
        return dout * cache

add("dropout_draws_inside", BOOK, BookDropoutRandom, lambda r: ({"x": away(r, 5, 4)}, {}),
    "every forward draws another mask from the global generator; the mask (or a uniform array) should be an argument", ("x",), ("noise-redrawn",))

class BookSoftmax:
    def forward(self, x):
        self.out = softmax(x)
        return self.out, self.out

    def backward(self, dout, cache):
        y = cache
        return dout * y * (1 - y)

add("softmax_diagonal", BOOK, BookSoftmax, lambda r: ({"x": r.standard_normal((4, 5))}, {}),
    "only the diagonal of the Jacobian is used: y * (dout - (dout * y).sum(-1, keepdims=True))", ("x",), ("missing-term", "elementwise-factor"))

class BookSigmoidBCE:
    def forward(self, x, t):
        p = sigmoid(x)
        loss = np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))
        return loss.mean(), (p, t)

    def backward(self, dout, cache):
        p, t = cache
        dp = -(t / p) + (1 - t) / (1 - p)
        return dout * dp * p * (1 - p) / t.size

def bce_args(r):
    x = 2 * r.standard_normal((4, 3))
    x[1, 2] = 45.0
    return {"x": x}, {"t": np.array([[0., 1, 1], [1, 0, 1], [0, 0, 1], [1, 1, 0]])}

add("bce_saturated", BOOK, BookSigmoidBCE, bce_args,
    "at a saturated sigmoid (1 - t) / (1 - p) is 0 / 0: use (p - t) / size", ("x",), ("non-finite",))

# ------------------------------------------------------------------ from-scratch repositories
class GELU:
    c = np.sqrt(2 / np.pi)

    def forward(self, X):
        t = np.tanh(self.c * (X + 0.044715 * X ** 3))
        return 0.5 * X * (1 + t), {"X": X, "t": t}

    def backward(self, dLdy, cache):
        X, t = cache["X"], cache["t"]
        dinner = self.c * (1 + 0.044715 * X ** 2)
        return {"X": dLdy * (0.5 * (1 + t) + 0.5 * X * (1 - t ** 2) * dinner)}

add("gelu_cubic", SCRATCH, GELU, lambda r: ({"X": 1.3 * r.standard_normal((4, 4))}, {}),
    "the derivative of the cube lacks its 3: 1 + 3 * 0.044715 * X ** 2", ("X",), ("elementwise-factor", "missing-term"))

class DotProductAttention:
    def forward(self, Q, K, V):
        self.scale = 1 / np.sqrt(Q.shape[-1])
        A = softmax(Q @ K.transpose(0, 2, 1) * self.scale)
        self.derived = {"Q": Q, "K": K, "V": V, "A": A}
        return A @ V, self.derived

    def backward(self, dLdy, cache):
        Q, K, V, A = (cache[k] for k in "QKVA")
        dV = A.transpose(0, 2, 1) @ dLdy
        dA = dLdy @ V.transpose(0, 2, 1)
        dS = A * (dA - (dA * A).sum(-1, keepdims=True)) * self.scale
        return dS @ K, dS @ Q, dV

add("attention_dk", SCRATCH, DotProductAttention,
    lambda r: ({"Q": r.standard_normal((3, 4, 5)), "K": r.standard_normal((3, 4, 5)), "V": r.standard_normal((3, 4, 2))}, {}),
    "dK is dS^T Q, and the transpose is missing: dS.transpose(0, 2, 1) @ Q", ("K",), ("transpose",))

class SelfAttention:
    def forward(self, x, Wq, Wk, Wv, Wo):
        q, k, v = x @ Wq, x @ Wk, x @ Wv
        att = softmax(np.einsum("bid,bjd->bij", q, k) / np.sqrt(q.shape[-1]))
        h = att @ v
        self.c = dict(x=x, q=q, k=k, v=v, att=att, h=h, Wq=Wq, Wk=Wk, Wv=Wv, Wo=Wo)
        return h @ Wo, self.c

    def backward(self, g, c):
        x, att = c["x"], c["att"]
        dh = g @ c["Wo"].T
        datt = np.einsum("bid,bjd->bij", dh, c["v"])
        dv = np.einsum("bij,bid->bjd", att, dh)
        ds = att * (datt - (att * datt).sum(-1, keepdims=True)) / np.sqrt(c["q"].shape[-1])
        dq, dk = ds @ c["k"], np.einsum("bij,bid->bjd", ds, c["q"])
        over = lambda a, b: np.einsum("bti,btj->ij", a, b)
        return dict(x=dq @ c["Wq"].T + dk @ c["Wk"].T, Wq=over(x, dq), Wk=over(x, dk), Wv=over(x, dv), Wo=over(c["h"], g))

add("self_attention_value_path", SCRATCH, SelfAttention,
    lambda r: ({"x": r.standard_normal((3, 4, 5)), "Wq": r.standard_normal((5, 3)) / 2, "Wk": r.standard_normal((5, 3)) / 2,
                "Wv": r.standard_normal((5, 2)), "Wo": r.standard_normal((2, 5))}, {}),
    "the input also feeds the values: dx lacks + dv @ Wv.T", ("x",), ("missing-term",))

class PReLU:
    def forward(self, x, alpha):
        return np.where(x > 0, x, alpha[:, None] * x), (x, alpha)

    def backward(self, grad, cache):
        x, alpha = cache
        dx = grad * np.where(x > 0, 1.0, alpha[:, None])
        dalpha = (grad * x * (x > 0)).sum(axis=(0, 2))
        return dx, dalpha

add("prelu_alpha_mask", SCRATCH, PReLU, lambda r: ({"x": away(r, 4, 3, 5), "alpha": np.array([0.25, -0.1, 0.4])}, {}),
    "alpha is learnt from the positive entries; it works on the negative ones: grad * x * (x <= 0)", ("alpha",), ("elementwise-factor", "missing-term"))

class DenseAccum:
    def __init__(self):
        self.gradients = {}

    def forward(self, X, W, b):
        if not self.gradients:
            self.gradients = {"W": np.zeros_like(W), "b": np.zeros_like(b)}
        return X @ W + b, (X, W)

    def backward(self, dLdy, cache):
        X, W = cache
        self.gradients["W"] += X.T @ dLdy
        self.gradients["b"] += dLdy.sum(axis=0)
        return {"X": dLdy @ W.T, "W": self.gradients["W"].copy(), "b": self.gradients["b"].copy()}

add("dense_accumulates", SCRATCH, DenseAccum,
    lambda r: ({"X": r.standard_normal((5, 3)), "W": r.standard_normal((3, 4)), "b": r.standard_normal(4)}, {}),
    "the kept gradients are added to and never flushed: assign with = or zero them at each backward", ("W", "b"), ("accumulates",))

class HuberLoss:
    def forward(self, y_pred, y_true, delta):
        r = y_pred - y_true
        a = np.abs(r)
        loss = np.where(a <= delta, 0.5 * r ** 2, delta * (a - 0.5 * delta))
        return loss.sum(axis=1), (r, delta)

    def backward(self, dloss, cache):
        r, delta = cache
        return dloss[:, None] * np.where(np.abs(r) <= delta, r, np.sign(r))

add("huber_delta", SCRATCH, HuberLoss,
    lambda r: ({"y_pred": np.array([[0.2, -1.4, 0.9], [2.1, 0.3, -0.4], [-0.1, 1.3, -2.2], [0.45, -0.3, 0.8]])},
               {"y_true": np.zeros((4, 3)), "delta": 0.6}),
    "outside delta the slope is delta * sign(r), and delta is missing", ("y_pred",), ("elementwise-factor",))

class TripletLoss:
    def forward(self, anchor, positive, negative, margin):
        dp, dn = anchor - positive, anchor - negative
        d = (dp ** 2).sum(1) - (dn ** 2).sum(1) + margin
        self.active = (d > 0)[:, None] / len(anchor)
        return np.maximum(d, 0).mean(), (dp, dn, self.active)

    def backward(self, dloss, cache):
        dp, dn, act = cache
        return {"anchor": 2 * dloss * act * (dp - dn), "positive": -2 * dloss * act * dp, "negative": -2 * dloss * act * dn}

add("triplet_negative", SCRATCH, TripletLoss,
    lambda r: ({k: r.standard_normal((4, 3)) for k in ("anchor", "positive", "negative")}, {"margin": 3.0}),
    "the distance to the negative is subtracted, so its gradient is + 2 * dn", ("negative",), ("sign",))

# ------------------------------------------------------------------ MOOC notebooks, features first
def linear_activation_forward(A_prev, W, b):
    Z = W @ A_prev + b
    A = np.tanh(Z)
    return A, ((A_prev, W, b), A)

def linear_activation_backward(dA, cache):
    (A_prev, W, b), A = cache
    dZ = dA * (1 - A ** 2)
    grads = {"W": dZ @ A_prev.T, "A_prev": W.T @ dZ}
    grads["b"] = np.sum(dZ, keepdims=True)
    return grads

add("linear_tanh_db", MOOC, (linear_activation_forward, linear_activation_backward),
    lambda r: ({"A_prev": r.standard_normal((3, 5)), "W": r.standard_normal((4, 3)) / 2, "b": r.standard_normal((4, 1)) / 2}, {}),
    "db is summed over the units too: np.sum(dZ, axis=1, keepdims=True)", ("b",), ("shape",))

def lstm_cell_forward(xt, a_prev, c_prev, Wf, Wi, Wc, Wo, bf, bi, bc, bo):
    concat = np.concatenate((a_prev, xt), axis=0)
    ft, it, ot = sigmoid(Wf @ concat + bf), sigmoid(Wi @ concat + bi), sigmoid(Wo @ concat + bo)
    cct = np.tanh(Wc @ concat + bc)
    c_next = ft * c_prev + it * cct
    a_next = ot * np.tanh(c_next)
    return np.concatenate((a_next, c_next), axis=0), (concat, ft, it, ot, cct, c_prev, c_next, Wf, Wi, Wc, Wo)

def lstm_cell_backward(dy, cache):
    concat, ft, it, ot, cct, c_prev, c_next, Wf, Wi, Wc, Wo = cache
    n_a = ft.shape[0]
    da_next, dc_next = dy[:n_a], dy[n_a:]
    th = np.tanh(c_next)
    dot = da_next * th * ot
    dc = dc_next + da_next * ot * (1 - th ** 2)
    dft, dit, dcct = dc * c_prev * ft * (1 - ft), dc * cct * it * (1 - it), dc * it * (1 - cct ** 2)
    dconcat = Wf.T @ dft + Wi.T @ dit + Wc.T @ dcct + Wo.T @ dot
    g = {"a_prev": dconcat[:n_a], "xt": dconcat[n_a:], "c_prev": dc * ft}
    for n, d in zip("fico", (dft, dit, dcct, dot)):
        g["W" + n], g["b" + n] = d @ concat.T, d.sum(axis=1, keepdims=True)
    return g

def lstm_args(r):
    p = {"W" + n: r.standard_normal((3, 5)) / 2 for n in "fico"}
    p.update({"b" + n: r.standard_normal((3, 1)) / 2 for n in "fico"})
    return {"xt": r.standard_normal((2, 4)), "a_prev": r.standard_normal((3, 4)), "c_prev": r.standard_normal((3, 4)), **p}, {}

add("lstm_cell_output_gate", MOOC, (lstm_cell_forward, lstm_cell_backward), lstm_args,
    "the output gate's sigmoid slope lacks (1 - ot)", ("xt", "a_prev", "Wo", "bo"), ("elementwise-factor", "unknown"))

def bilinear_forward(X1, X2, W, b):
    Y = np.einsum("im,oij,jm->om", X1, W, X2) + b
    return Y, {"X1": X1, "X2": X2, "W": W}

def bilinear_backward(dY, cache):
    X1, X2, W = cache["X1"], cache["X2"], cache["W"]
    m = dY.shape[1]
    dX1, dX2 = np.zeros_like(X1), np.zeros_like(X2)
    for t in range(m):
        dW = dY[:, t][:, None, None] * np.outer(X1[:, t], X2[:, t])
        dX1[:, t] = np.tensordot(dY[:, t], W, axes=(0, 0)) @ X2[:, t]
        dX2[:, t] = np.tensordot(dY[:, t], W, axes=(0, 0)).T @ X1[:, t]
    return {"X1": dX1, "X2": dX2, "W": dW, "b": dY.sum(axis=1, keepdims=True)}

add("bilinear_last_example", MOOC, (bilinear_forward, bilinear_backward),
    lambda r: ({"X1": r.standard_normal((3, 4)), "X2": r.standard_normal((2, 4)), "W": r.standard_normal((5, 3, 2)), "b": r.standard_normal((5, 1))}, {}),
    "in the loop over the examples dW is assigned, so only the last one counts: start at zero and +=", ("W",), ("batch-sum",))

# ------------------------------------------------------------------ ports of framework layers
def softplus(input, beta):
    return np.logaddexp(0, beta * input) / beta, (input, beta)

def softplus_grad(grad_output, ctx):
    input, beta = ctx
    return grad_output * beta * sigmoid(beta * input)

add("softplus_beta", PORT, (softplus, softplus_grad), lambda r: ({"input": r.standard_normal((4, 3))}, {"beta": 3.0}),
    "the inner beta and the outer 1 / beta cancel: grad_output * sigmoid(beta * input)", ("input",), ("factor",))

def conv_transpose1d(x, weight, bias, stride):
    N, Ci, L = x.shape
    Co, K = weight.shape[1:]
    out = np.zeros((N, Co, (L - 1) * stride + K)) + bias[:, None]
    for i in range(L):
        out[:, :, i * stride:i * stride + K] += np.einsum("nc,cok->nok", x[:, :, i], weight)
    return out, (x, weight, stride)

def conv_transpose1d_grad(g, ctx):
    x, weight, s = ctx
    K = weight.shape[2]
    cols = np.stack([g[:, :, i * s:i * s + K] for i in range(x.shape[2])], axis=2)
    gx = np.einsum("noik,cok->nci", cols, weight)
    gw = np.einsum("noik,nci->ock", cols, x)
    return gx, gw, g.sum(axis=(0, 2))

add("conv_transpose1d_weight", PORT, (conv_transpose1d, conv_transpose1d_grad),
    lambda r: ({"x": r.standard_normal((4, 3, 5)), "weight": r.standard_normal((3, 3, 4)), "bias": r.standard_normal(3)}, {"stride": 2}),
    "the weight of a transposed convolution is (in, out, k), the gradient comes as (out, in, k): 'cok'", ("weight",), ("transpose",))

def channel_affine(x, scale, shift):
    return x * scale[None, :, None, None] + shift[None, :, None, None], (x, scale)

def channel_affine_grad(g, ctx):
    x, scale = ctx
    return {"x": g * scale[None, :, None, None], "scale": np.einsum("nchw,nchw->c", g, x), "shift": g.sum(axis=(0, 1, 2))}

add("channel_affine_axes", PORT, (channel_affine, channel_affine_grad),
    lambda r: ({"x": r.standard_normal((3, 4, 2, 4)), "scale": r.standard_normal(4), "shift": r.standard_normal(4)}, {}),
    "the axes of a channels-last sum on channels-first data: g.sum(axis=(0, 2, 3))", ("shift",), ("shape",))

def avg_pool1d(x, kernel_size):
    N, C, L = x.shape
    return x.reshape(N, C, L // kernel_size, kernel_size).mean(-1), (x.shape, kernel_size)

def avg_pool1d_grad(g, ctx):
    shape, k = ctx
    gx = np.zeros(shape, dtype=np.float32)
    for j in range(k):
        gx[:, :, j::k] = g / k
    return gx

add("avg_pool_float32_buffer", PORT, (avg_pool1d, avg_pool1d_grad), lambda r: ({"x": r.standard_normal((3, 2, 6))}, {"kernel_size": 3}),
    "the gradient is written to a float32 buffer: np.zeros(shape, dtype=g.dtype)", ("x",), ("precision",))

def index_select2(x, rows, cols):
    return x[rows][:, cols], (x.shape, rows, cols)

def index_select2_grad(g, ctx):
    shape, rows, cols = ctx
    gx = np.zeros(shape)
    gx[rows][:, cols] = g
    return gx

add("index_select_copy", PORT, (index_select2, index_select2_grad),
    lambda r: ({"x": r.standard_normal((5, 6))}, {"rows": np.array([3, 0, 4]), "cols": np.array([1, 5, 2, 0])}),
    "gx[rows] is a copy, the write into it is lost: gx[np.ix_(rows, cols)] = g", ("x",), ("zero",))

def rope(x, base):
    T, D = x.shape[1:]
    ang = np.arange(1, T + 1)[:, None] / base ** (np.arange(0, D, 2) / D)
    cos, sin = np.cos(ang), np.sin(ang)
    y = np.empty_like(x)
    y[..., ::2] = x[..., ::2] * cos - x[..., 1::2] * sin
    y[..., 1::2] = x[..., ::2] * sin + x[..., 1::2] * cos
    return y, (cos, sin)

def rope_grad(g, ctx):
    cos, sin = ctx
    gx = np.empty_like(g)
    gx[..., ::2] = g[..., ::2] * cos - g[..., 1::2] * sin
    gx[..., 1::2] = g[..., ::2] * sin + g[..., 1::2] * cos
    return gx

add("rope_same_way", PORT, (rope, rope_grad), lambda r: ({"x": r.standard_normal((3, 4, 6))}, {"base": 10.0}),
    "the gradient is rotated forward again; the transposed rotation is by minus the angle (sin -> -sin)", ("x",), ("transpose",))

def cross_entropy_ignore(logits, target, ignore_index):
    p = softmax(logits)
    valid = target != ignore_index
    t = np.where(valid, target, 0)
    nll = -np.log(p[np.arange(len(t)), t])
    return (nll * valid).sum() / valid.sum(), (p, t, valid)

def cross_entropy_ignore_grad(g, ctx):
    p, t, valid = ctx
    d = p.copy()
    d[np.arange(len(t)), t] -= 1
    return g * d * valid[:, None] / len(t)

add("cross_entropy_ignore_count", PORT, (cross_entropy_ignore, cross_entropy_ignore_grad),
    lambda r: ({"logits": r.standard_normal((6, 4))}, {"target": np.array([1, -100, 0, 3, -100, 2]), "ignore_index": -100}),
    "the mean is over the targets that are not ignored, the gradient is divided by all: valid.sum()", ("logits",), ("factor",))

# ------------------------------------------------------------------ right ones
def affine_forward(x, w, b):
    return x.reshape(x.shape[0], -1).dot(w) + b, (x, w, b)

def affine_backward(dout, cache):
    x, w, b = cache
    return dout.dot(w.T).reshape(x.shape), x.reshape(len(x), -1).T.dot(dout), np.ones(len(x)).dot(dout)

add("affine_images", ASSIGN, (affine_forward, affine_backward),
    lambda r: ({"x": r.standard_normal((4, 2, 3)), "w": r.standard_normal((6, 5)), "b": r.standard_normal(5)}, {}))

class BatchNorm1D:
    def __init__(self):
        self.running_mean, self.running_var, self.steps = 0.0, 1.0, 0

    def forward(self, X, scaler, intercept):
        mean, var = X.mean(0), X.var(0)
        self.running_mean = 0.9 * self.running_mean + 0.1 * mean
        self.running_var = 0.9 * self.running_var + 0.1 * var
        self.steps += 1
        return (X - mean) / np.sqrt(var + 1e-5) * scaler + intercept, {"X": X, "mean": mean, "var": var, "scaler": scaler}

    def backward(self, dLdy, cache):
        X, mean, var, scaler = cache.values()
        n = len(X)
        N = (X - mean) / np.sqrt(var + 1e-5)
        dN = dLdy * scaler
        dX = (n * dN - dN.sum(0) - N * (dN * N).sum(0)) / (n * np.sqrt(var + 1e-5))
        return {"intercept": dLdy.sum(0), "scaler": (dLdy * N).sum(0), "X": dX}

add("batchnorm_running", SCRATCH, BatchNorm1D,
    lambda r: ({"X": 3 * r.standard_normal((6, 3)) - 1, "scaler": r.standard_normal(3), "intercept": r.standard_normal(3)}, {}))

class BookConv:
    def forward(self, x, W, b, stride, pad):
        N, C, H, Wd = x.shape
        FN, _, FH, FW = W.shape
        oh, ow = (H + 2 * pad - FH) // stride + 1, (Wd + 2 * pad - FW) // stride + 1
        img = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
        v = np.lib.stride_tricks.sliding_window_view(img, (FH, FW), axis=(2, 3))[:, :, ::stride, ::stride]
        col = v.transpose(0, 2, 3, 1, 4, 5).reshape(N * oh * ow, -1)
        self.shapes = (x.shape, img.shape, W.shape, oh, ow, stride, pad)
        out = (col @ W.reshape(FN, -1).T + b).reshape(N, oh, ow, FN).transpose(0, 3, 1, 2)
        return out, (col, W)

    def backward(self, dout, cache):
        col, W = cache
        (N, C, H, Wd), ishape, (FN, _, FH, FW), oh, ow, s, p = self.shapes
        d = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
        dcol = (d @ W.reshape(FN, -1)).reshape(N, oh, ow, C, FH, FW).transpose(0, 3, 4, 5, 1, 2)
        img = np.zeros(ishape)
        for y in range(FH):
            for x in range(FW):
                img[:, :, y:y + s * oh:s, x:x + s * ow:s] += dcol[:, :, y, x]
        return img[:, :, p:p + H, p:p + Wd], (d.T @ col).reshape(W.shape), d.sum(0)

add("im2col_conv_stride", BOOK, BookConv,
    lambda r: ({"x": r.standard_normal((3, 2, 5, 6)), "W": r.standard_normal((4, 2, 3, 2)), "b": r.standard_normal(4)}, {"stride": 2, "pad": 1}))

def softmax_loss(x, y):
    shifted = x - x.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -logp[np.arange(len(y)), y].mean(), (logp, y)

def softmax_loss_backward(dloss, cache):
    logp, y = cache
    dx = np.exp(logp)
    dx[np.arange(len(y)), y] -= 1
    dx *= dloss / len(y)
    return dx

add("softmax_loss_big_logits", ASSIGN, (softmax_loss, softmax_loss_backward),
    lambda r: ({"x": r.standard_normal((5, 4)) + 800 * np.array([[1.], [-1], [0], [1], [2]])}, {"y": np.array([0, 3, 1, 1, 2])}))

class CausalMHA:
    def forward(self, x, params, n_head):
        B, T, D = x.shape
        qkv = x @ params["c_attn"] + params["b_attn"]
        q, k, v = (a.reshape(B, T, n_head, D // n_head).transpose(0, 2, 1, 3) for a in np.split(qkv, 3, axis=-1))
        s = q @ k.swapaxes(-1, -2) / np.sqrt(D // n_head)
        s[..., np.triu(np.ones((T, T), bool), 1)] = -1e10
        a = softmax(s)
        h = (a @ v).transpose(0, 2, 1, 3).reshape(B, T, D)
        return h @ params["c_proj"], (x, params, q, k, v, a, h)

    def backward(self, dy, cache):
        x, params, q, k, v, a, h = cache
        B, T, D = x.shape
        nh = q.shape[1]
        dh = (dy @ params["c_proj"].T).reshape(B, T, nh, -1).transpose(0, 2, 1, 3)
        da = dh @ v.swapaxes(-1, -2)
        ds = a * (da - (a * da).sum(-1, keepdims=True)) / np.sqrt(D // nh)
        parts = (ds @ k, ds.swapaxes(-1, -2) @ q, a.swapaxes(-1, -2) @ dh)
        dqkv = np.concatenate([p.transpose(0, 2, 1, 3).reshape(B, T, D) for p in parts], axis=-1)
        flat = lambda z: z.reshape(B * T, -1)
        return {"x": dqkv @ params["c_attn"].T,
                "params": {"c_attn": flat(x).T @ flat(dqkv), "b_attn": flat(dqkv).sum(0), "c_proj": flat(h).T @ flat(dy)}}

add("causal_multi_head", PORT, CausalMHA,
    lambda r: ({"x": r.standard_normal((3, 4, 4)), "params": {"c_attn": r.standard_normal((4, 12)) / 2, "b_attn": r.standard_normal(12) / 2,
                                                             "c_proj": r.standard_normal((4, 4))}}, {"n_head": 2}))

class GRU:
    def forward(self, x, h0, Wz, Wr, Wh):
        h, steps, hs = h0, [], []
        for t in range(x.shape[1]):
            xh = np.hstack([x[:, t], h])
            z, r = sigmoid(xh @ Wz), sigmoid(xh @ Wr)
            xrh = np.hstack([x[:, t], r * h])
            c = np.tanh(xrh @ Wh)
            steps.append((xh, xrh, z, r, c, h))
            h = (1 - z) * h + z * c
            hs.append(h)
        return np.stack(hs, axis=1), {"steps": steps, "W": (Wz, Wr, Wh), "I": x.shape[2]}

    def backward(self, dhs, cache):
        Wz, Wr, Wh = cache["W"]
        I = cache["I"]
        dWz, dWr, dWh = np.zeros_like(Wz), np.zeros_like(Wr), np.zeros_like(Wh)
        dx, dh = np.zeros(dhs.shape[:2] + (I,)), 0
        for t in reversed(range(dhs.shape[1])):
            xh, xrh, z, r, c, hp = cache["steps"][t]
            dh = dh + dhs[:, t]
            dc = dh * z * (1 - c * c)
            dz = dh * (c - hp) * z * (1 - z)
            dxrh = dc @ Wh.T
            dr = dxrh[:, I:] * hp * r * (1 - r)
            dxh = dz @ Wz.T + dr @ Wr.T
            dWz += xh.T @ dz; dWr += xh.T @ dr; dWh += xrh.T @ dc
            dx[:, t] = dxh[:, :I] + dxrh[:, :I]
            dh = dh * (1 - z) + dxh[:, I:] + dxrh[:, I:] * r
        return dx, dh, dWz, dWr, dWh

add("gru_sequence", SCRATCH, GRU,
    lambda r: ({"x": r.standard_normal((3, 4, 2)), "h0": r.standard_normal((3, 3)), **{k: r.standard_normal((5, 3)) / 2 for k in ("Wz", "Wr", "Wh")}}, {}))

def embedding_bag(weight, idx, offsets):
    return np.add.reduceat(weight[idx], offsets, axis=0), (weight.shape, idx, offsets)

def embedding_bag_grad(g, ctx):
    shape, idx, offsets = ctx
    bag = np.repeat(np.arange(len(offsets)), np.diff(np.append(offsets, len(idx))))
    gw = np.zeros(shape)
    np.add.at(gw, idx, g[bag])
    return {"weight": gw}

add("embedding_bag_sum", PORT, (embedding_bag, embedding_bag_grad),
    lambda r: ({"weight": r.standard_normal((6, 3))}, {"idx": np.array([0, 2, 2, 5, 1, 0, 2]), "offsets": np.array([0, 3, 4])}))

def max_pool_fast(x):
    N, C, H, W = x.shape
    xr = x.reshape(N, C, H // 2, 2, W // 2, 2)
    out = xr.max(axis=3).max(axis=4)
    return out, (x, xr, out)

def max_pool_fast_backward(dout, cache):
    x, xr, out = cache
    d = np.zeros_like(xr)
    mask = xr == out[:, :, :, None, :, None]
    full = np.broadcast_to(dout[:, :, :, None, :, None], d.shape)
    d[mask] = full[mask]
    d /= mask.sum(axis=(3, 5), keepdims=True)
    return d.reshape(x.shape)

add("max_pool_reshape", ASSIGN, (max_pool_fast, max_pool_fast_backward),
    lambda r: ({"x": r.permutation(3 * 2 * 24).reshape(3, 2, 4, 6) / 20 - 3}, {}))

def group_norm(x, weight, bias, num_groups, eps):
    N, C, H, W = x.shape
    g = x.reshape(N, num_groups, -1)
    inv = 1 / np.sqrt(g.var(-1, keepdims=True) + eps)
    xh = ((g - g.mean(-1, keepdims=True)) * inv).reshape(x.shape)
    return xh * weight[:, None, None] + bias[:, None, None], (xh, inv, weight, num_groups)

def group_norm_grad(dy, ctx):
    xh, inv, weight, G = ctx
    d = (dy * weight[:, None, None]).reshape(len(dy), G, -1)
    h = xh.reshape(d.shape)
    dx = inv * (d - d.mean(-1, keepdims=True) - h * (d * h).mean(-1, keepdims=True))
    return dx.reshape(dy.shape), (dy * xh).sum((0, 2, 3)), dy.sum((0, 2, 3))

add("group_norm_eps", PORT, (group_norm, group_norm_grad),
    lambda r: ({"x": r.standard_normal((3, 4, 2, 3)), "weight": r.standard_normal(4), "bias": r.standard_normal(4)}, {"num_groups": 2, "eps": 0.05}))

def cosine_forward(U, V):
    nu, nv = np.linalg.norm(U, axis=0), np.linalg.norm(V, axis=0)
    c = (U * V).sum(axis=0) / (nu * nv)
    return c, {"U": U, "V": V, "nu": nu, "nv": nv, "c": c}

def cosine_backward(dc, cache):
    U, V, nu, nv, c = (cache[k] for k in ("U", "V", "nu", "nv", "c"))
    return {"V": dc * (U / (nu * nv) - c * V / nv ** 2), "U": dc * (V / (nu * nv) - c * U / nu ** 2)}

add("cosine_columns", MOOC, (cosine_forward, cosine_backward), lambda r: ({"U": r.standard_normal((4, 5)), "V": 0.1 * r.standard_normal((4, 5))}, {}))

class CausalConv1D:
    def forward(self, X, W, dilation):
        K = W.shape[0]
        self.P = (K - 1) * dilation
        Xp = np.pad(X, ((0, 0), (self.P, 0), (0, 0)))
        T = X.shape[1]
        return sum(Xp[:, k * dilation:k * dilation + T] @ W[k] for k in range(K)), (Xp, W, dilation)

    def backward(self, dY, cache):
        Xp, W, d = cache
        T = dY.shape[1]
        dXp = np.zeros(Xp.shape)
        for k, Wk in enumerate(W):
            dXp[:, k * d:k * d + T] += dY @ Wk.T
        dW = np.stack([np.tensordot(Xp[:, k * d:k * d + T], dY, axes=([0, 1], [0, 1])) for k in range(len(W))])
        return {"X": dXp[:, self.P:], "W": dW}

add("causal_conv_dilated", SCRATCH, CausalConv1D,
    lambda r: ({"X": r.standard_normal((3, 6, 2)), "W": r.standard_normal((3, 2, 4))}, {"dilation": 2}))

def nll_weighted(logits, target, weight, smoothing):
    K = logits.shape[1]
    q = np.full(logits.shape, smoothing / K)
    q[np.arange(len(target)), target] += 1 - smoothing
    q *= weight
    logp = logits - logits.max(1, keepdims=True)
    logp = logp - np.log(np.exp(logp).sum(1, keepdims=True))
    return -(q * logp).sum() / weight[target].sum(), (logp, q, weight[target].sum())

def nll_weighted_grad(g, ctx):
    logp, q, total = ctx
    return g * (np.exp(logp) * q.sum(1, keepdims=True) - q) / total

add("label_smoothing_weighted", PORT, (nll_weighted, nll_weighted_grad),
    lambda r: ({"logits": 2 * r.standard_normal((5, 4))}, {"target": np.array([3, 0, 0, 2, 1]), "weight": np.array([0.5, 2.0, 1.0, 0.3]), "smoothing": 0.1}))

def logistic_cost_forward(X, w, b, Y):
    m = X.shape[1]
    Z = w.T @ X + b
    J = np.sum(np.logaddexp(0, Z) - Y * Z) / m
    return J, {"X": X, "A": sigmoid(Z), "Y": Y, "w": w}

def logistic_cost_backward(dJ, cache):
    X, A, Y, w = cache["X"], cache["A"], cache["Y"], cache["w"]
    m = X.shape[1]
    dZ = A - Y
    dZ *= dJ
    return {"w": 1 / m * np.dot(X, dZ.T), "b": 1 / m * np.sum(dZ), "X": w @ dZ / m}

add("logistic_cost_mean", MOOC, (logistic_cost_forward, logistic_cost_backward),
    lambda r: ({"X": r.standard_normal((3, 5)), "w": r.standard_normal((3, 1)), "b": np.array(0.3)}, {"Y": np.array([[1., 0, 0, 1, 1]])}))

class BookSELU:
    a, s = 1.6732632423543772, 1.0507009873554805

    def forward(self, x):
        out = x.copy()
        self.neg = out < 0
        out[self.neg] = self.a * np.expm1(out[self.neg])
        out *= self.s
        return out, (out, self.neg)

    def backward(self, dout, cache):
        out, neg = cache
        dx = self.s * dout
        dx[neg] = dout[neg] * (out[neg] + self.s * self.a)
        return dx

add("selu_from_output", BOOK, BookSELU, lambda r: ({"x": away(r, 4, 5)}, {}))

class SwiGLU:
    def forward(self, x, params):
        u, v = x @ params["w1"], x @ params["w3"]
        s = sigmoid(u)
        h = u * s * v
        return x + h @ params["w2"], (x, u, v, s, h, params)

    def backward(self, g, cache):
        x, u, v, s, h, p = cache
        dh = g @ p["w2"].T
        dv = dh * u * s
        du = dh * v * (s + u * s * (1 - s))
        return {"params": {"w1": x.T @ du, "w2": h.T @ g, "w3": x.T @ dv}, "x": g + du @ p["w1"].T + dv @ p["w3"].T}

add("swiglu_residual", SCRATCH, SwiGLU,
    lambda r: ({"x": r.standard_normal((5, 3)), "params": {"w1": r.standard_normal((3, 4)), "w2": r.standard_normal((4, 3)), "w3": r.standard_normal((3, 4))}}, {}))

def focal_forward(Z, Y, gamma):
    S = 2 * Y - 1
    pt = sigmoid(S * Z)
    L = (1 - pt) ** gamma * -np.log(pt)
    return L.sum(axis=0), (pt, S, gamma)

def focal_backward(dL, cache):
    pt, S, gamma = cache
    return {"Z": dL * S * (1 - pt) ** gamma * (gamma * pt * np.log(pt) - (1 - pt))}

add("focal_loss_signs", MOOC, (focal_forward, focal_backward),
    lambda r: ({"Z": 1.5 * r.standard_normal((3, 5))}, {"Y": (r.random((3, 5)) < 0.5).astype(float), "gamma": 2.0}))

# ------------------------------------------------------------------ verification
def _flat(d):
    out = {}
    for k, v in d.items():
        out.update({k + "." + n: a for n, a in v.items()} if isinstance(v, dict) else {k: v})
    return out

def verify(item):
    import copy
    a = item.make()
    f, b, X, C = a["forward"], a["backward"], a["inputs"], a["constants"]
    fresh = copy.deepcopy((X, C))
    np.random.seed(0)
    y, cache = f(**X, **C)
    y1 = np.array(y)
    dy = np.random.default_rng(5).standard_normal(np.shape(y)) if np.ndim(y) else 1.3
    names = lambda g: _flat(g if isinstance(g, dict) else dict(zip(X, g)) if isinstance(g, tuple) else {next(iter(X)): g})
    dyc = np.array(dy)
    g1 = copy.deepcopy(names(b(dyc, cache)))
    found = set()
    if not np.array_equal(dyc, dy):
        found.add("mutates-input")
    g2 = names(b(np.array(dy), cache))
    bad = set()
    for k, v in _flat(X).items():
        if not np.allclose(g1[k], g2[k], rtol=1e-12, atol=0, equal_nan=True):
            found.add("accumulates"); bad.add(k)
        if np.asarray(g1[k]).dtype != np.float64:
            found.add("precision"); bad.add(k)
        num = np.zeros(v.shape)
        for i in np.ndindex(v.shape):
            o, h = v[i], 1e-5
            v[i] = o + h; p = np.sum(dy * f(**X, **C)[0])
            v[i] = o - h; m = np.sum(dy * f(**X, **C)[0])
            v[i] = o
            num[i] = (p - m) / (2 * h)
        g = np.asarray(g1[k])
        if g.shape != num.shape:
            found.add("shape"); bad.add(k)
        elif not np.isfinite(g).all():
            found.add("non-finite"); bad.add(k)
        else:
            e = np.abs(g - num).max() / max(1, np.abs(num).max())
            if e > 1e-3:
                found.add("value"); bad.add(k)
            elif e > 1e-6 :
                found.add("grey %g" % e); bad.add(k)
    if not np.array_equal(y1, f(**X, **C)[0]):
        found.add("noise-redrawn")
    same = all(np.array_equal(u, w) for u, w in zip(_flat(fresh[0]).values(), _flat(X).values()))
    return found, bad, same

if __name__ == "__main__":
    import time
    np.seterr(all="ignore")
    special = {"mutates-input", "accumulates", "noise-redrawn", "precision", "non-finite"}
    fails = 0
    for it in ITEMS:
        t0 = time.time()
        found, bad, same = verify(it)
        kind = set(it.causes) & special
        if it.right:
            ok = not found and not bad
        elif kind:
            ok = kind <= found and (bad == set(it.wrong) or kind == {"mutates-input"}) and not any("grey" in s for s in found)
        else:
            ok = found <= {"value", "shape"} and bad == set(it.wrong)
        fails += not (ok and same)
        print("ok  " if ok and same else "FAIL", it.name, sorted(found), sorted(bad), "%.2fs" % (time.time() - t0))
    assert len({it.name for it in ITEMS}) == len(ITEMS)
    print("wrong", sum(not i.right for i in ITEMS), "right", sum(i.right for i in ITEMS), "fails", fails, "styles", len({i.style for i in ITEMS}))
