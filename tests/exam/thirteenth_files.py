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


F = {}
F["cs231n"] = ("CS231n assignment", r'''
import numpy as np

def affine_forward(x, w, b):
    """x: (N, d1, ..., dk), w: (D, M), b: (M,)"""
    out = x.reshape(x.shape[0], -1).dot(w) + b
    return out, (x, w, b)

def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = dout.sum(axis=0)
    return dx, dw, db

def leaky_relu_forward(x, alpha=0.1):
    return np.where(x > 0, x, alpha * x), (x, alpha)

def leaky_relu_backward(dout, cache):
    x, alpha = cache
    return np.where(x > 0, dout, alpha * dout)

def layernorm_forward(x, gamma, beta):
    eps = 1e-5
    mu = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    std = np.sqrt(var + eps)
    xhat = (x - mu) / std
    return gamma * xhat + beta, (xhat, gamma, std)

def layernorm_backward(dout, cache):
    xhat, gamma, std = cache
    D = xhat.shape[1]
    dgamma = (dout * xhat).sum(axis=0)
    dbeta = dout.sum(axis=0)
    dxhat = dout * gamma
    dx = (dxhat - dxhat.mean(axis=1, keepdims=True)
          - xhat * (dxhat * xhat).mean(axis=1, keepdims=True)) / std
    return dx, dgamma, dbeta

rng = np.random.RandomState(231)
examples = {
    "affine": (rng.randn(3, 2, 2), rng.randn(4, 3), rng.randn(3)),
    "leaky_relu": (rng.randn(3, 4),),
    "layernorm": (rng.randn(4, 5), rng.randn(5), rng.randn(5)),
}
''')
F["losses"] = ("homework losses", r'''
import numpy as np

def mse(pred, target):
    diff = pred - target
    return np.mean(diff ** 2), (diff,)

def mse_backward(dloss, cache):
    diff, = cache
    dpred = dloss * 2 * diff / diff.size
    return {"pred": dpred, "target": -dpred}

def bce_with_logits(logits, targets):
    loss = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    return loss.sum(axis=1).mean(), (logits, targets)

def bce_with_logits_backward(dloss, cache):
    logits, targets = cache
    p = 1 / (1 + np.exp(-logits))
    return {"logits": dloss * (p - targets) / logits.shape[0]}

def huber(pred, target, delta=0.7):
    r = pred - target
    small = np.abs(r) <= delta
    loss = np.where(small, 0.5 * r ** 2, delta * (np.abs(r) - 0.5 * delta))
    return loss.sum(), (r, small, delta)

def huber_backward(dloss, cache):
    r, small, delta = cache
    dr = dloss * np.where(small, r, delta * np.sign(r))
    return {"pred": dr, "target": -dr}

def cross_entropy(logits, labels):
    z = logits - logits.max(axis=1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    n = len(labels)
    return -logp[np.arange(n), labels].mean(), (logp, labels)

def cross_entropy_backward(dloss, cache):
    logp, labels = cache
    n = len(labels)
    d = np.exp(logp)
    d[np.arange(n), labels] -= 1
    return {"logits": dloss * d / n}

_r = np.random.default_rng(4)
examples = {
    "mse": {"pred": _r.normal(size=(4, 3)), "target": _r.normal(size=(4, 3))},
    "bce_with_logits": {"logits": _r.normal(size=(4, 3)) * 2, "targets": (_r.random((4, 3)) < 0.5) * 1.0},
    "huber": {"pred": _r.normal(size=(3, 4)) * 2, "target": _r.normal(size=(3, 4))},
    "cross_entropy": {"logits": _r.normal(size=(5, 4)), "labels": np.array([0, 3, 1, 1, 2])},
}
''')
F["layerlib"] = ("layer library, attributes", r'''
import numpy as np

class Linear:
    def __init__(self, n_in=4, n_out=3, seed=0):
        rng = np.random.default_rng(seed)
        self.W = rng.normal(size=(n_out, n_in)) / np.sqrt(n_in)
        self.b = rng.normal(size=n_out) * 0.1

    def forward(self, x):
        self.x = x
        return x @ self.W.T + self.b

    def backward(self, grad):
        self.dW = grad.T @ self.x
        self.db = grad.sum(axis=0)
        return grad @ self.W


class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, grad):
        return grad * (1 - self.y ** 2)


class RMSNorm:
    def __init__(self, dim=4, eps=1e-6):
        self.g = np.linspace(0.5, 1.5, dim)
        self.eps = eps

    def forward(self, x):
        self.x = x
        self.inv = 1.0 / np.sqrt(np.mean(x ** 2, axis=-1, keepdims=True) + self.eps)
        return self.g * x * self.inv

    def backward(self, grad):
        x, inv = self.x, self.inv
        self.dg = np.sum(grad * x * inv, axis=0)
        h = grad * self.g
        return inv * h - x * inv ** 3 * np.mean(h * x, axis=-1, keepdims=True)

examples = {
    "Linear": (np.random.default_rng(1).normal(size=(5, 4)),),
    "Tanh": (np.random.default_rng(2).normal(size=(3, 4)),),
    "RMSNorm": (np.random.default_rng(3).normal(size=(3, 4)),),
}
''')
F["network"] = ("network file with its layers", r'''
import numpy as np

class Dense:
    def __init__(self, n_in=4, n_out=3, seed=0):
        r = np.random.RandomState(seed)
        self.params = {"W": r.randn(n_in, n_out) * 0.6, "b": r.randn(n_out) * 0.1}
        self.grads = {}

    def forward(self, x):
        self.x = x
        return x.dot(self.params["W"]) + self.params["b"]

    def backward(self, dout):
        self.grads["W"] = self.x.T.dot(dout)
        self.grads["b"] = dout.sum(0)
        return dout.dot(self.params["W"].T)


class Sigmoid:
    def forward(self, x):
        self.out = 1.0 / (1.0 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * self.out * (1.0 - self.out)


class ResidualMLP:
    """y = x V + sigmoid(x W1 + b1) W2"""

    def __init__(self, d=4, h=5, o=2, seed=1):
        r = np.random.RandomState(seed)
        self.params = {"W1": r.randn(d, h) * 0.5, "b1": r.randn(h) * 0.1,
                       "W2": r.randn(h, o) * 0.5, "V": r.randn(d, o) * 0.5}
        self.act = Sigmoid()
        self.grads = {}

    def forward(self, x):
        p = self.params
        self.x = x
        self.h = self.act.forward(x.dot(p["W1"]) + p["b1"])
        return self.h.dot(p["W2"]) + x.dot(p["V"])

    def backward(self, dout):
        p = self.params
        self.grads["W2"] = self.h.T.dot(dout)
        self.grads["V"] = self.x.T.dot(dout)
        da = self.act.backward(dout.dot(p["W2"].T))
        self.grads["W1"] = self.x.T.dot(da)
        self.grads["b1"] = da.sum(axis=0)
        return da.dot(p["W1"].T) + dout.dot(p["V"].T)

_x = np.random.RandomState(7).randn(6, 4)
examples = {"Dense": (_x,), "Sigmoid": (_x[:3],), "ResidualMLP": (_x,)}
''')
F["rl"] = ("RL research code", r'''
import numpy as np

def gaussian_logp_forward(mu, log_std, actions):
    z = (actions - mu) / np.exp(log_std)
    logp = (-0.5 * z ** 2 - log_std - 0.5 * np.log(2 * np.pi)).sum(-1)
    return logp, (z, log_std)

def gaussian_logp_backward(dlogp, cache):
    z, log_std = cache
    d = dlogp[:, None]
    dmu = d * z / np.exp(log_std)
    dlog_std = (d * (z ** 2 - 1)).sum(0)
    return dmu, dlog_std

def ppo_loss_forward(logp, logp_old, adv):
    clip = 0.2
    ratio = np.exp(logp - logp_old)
    s1 = ratio * adv
    s2 = np.clip(ratio, 1 - clip, 1 + clip) * adv
    return -np.minimum(s1, s2).mean(), (ratio, adv, s1, s2)

def ppo_loss_backward(dloss, cache):
    ratio, adv, s1, s2 = cache
    active = s1 <= s2
    dlogp = -dloss * active * adv * ratio / len(adv)
    return dlogp

def entropy_forward(logits):
    z = logits - logits.max(-1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    logp = np.log(p)
    H = -(p * logp).sum(-1)
    return H, (p, logp, H)

def entropy_backward(dH, cache):
    p, logp, H = cache
    return -dH[:, None] * p * (logp + H[:, None])

_g = np.random.default_rng(11)
examples = {
    "gaussian_logp": (_g.normal(size=(5, 2)), np.array([-0.4, 0.3]), _g.normal(size=(5, 2))),
    "ppo_loss": (np.array([-1.0, -0.5, -1.3, -0.9, -0.2, -1.1]), np.array([-1.1, -1.0, -0.8, -0.95, -0.9, -1.05]),
                 np.array([0.7, 1.2, -0.9, -0.4, -1.5, 0.3])),
    "entropy": (_g.normal(size=(4, 3)),),
}
''')
F["nlp"] = ("NLP course", r'''
import numpy as np

def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

def embedding_forward(ids, table):
    return table[ids], (ids, table.shape)

def embedding_backward(dout, cache):
    ids, shape = cache
    dtable = np.zeros(shape)
    np.add.at(dtable, ids, dout)
    return {"dtable": dtable}

def attention_forward(q, k, v):
    """causal, one head; (T, d)"""
    T, d = q.shape
    s = q @ k.T / np.sqrt(d)
    s = np.where(np.tril(np.ones((T, T))) > 0, s, -1e9)
    a = softmax(s)
    return a @ v, dict(q=q, k=k, v=v, a=a)

def attention_backward(dout, cache):
    q, k, v, a = (cache[n] for n in "qkva")
    d = q.shape[1]
    dv = a.T @ dout
    da = dout @ v.T
    ds = a * (da - (da * a).sum(axis=-1, keepdims=True))
    ds = ds / np.sqrt(d)
    return {"dq": ds @ k, "dk": ds.T @ q, "dv": dv}

def mean_pool_forward(h, mask):
    n = mask.sum(axis=1, keepdims=True)
    return (h * mask[:, :, None]).sum(axis=1) / n, (mask, n)

def mean_pool_backward(dout, cache):
    mask, n = cache
    return {"dh": (dout / n)[:, None, :] * mask[:, :, None]}

_r = np.random.default_rng(5)
examples = {
    "embedding": {"ids": np.array([[0, 2, 2], [4, 1, 2]]), "table": _r.normal(size=(5, 3))},
    "attention": {"q": _r.normal(size=(4, 3)), "k": _r.normal(size=(4, 3)), "v": _r.normal(size=(4, 3))},
    "mean_pool": {"h": _r.normal(size=(2, 4, 3)), "mask": np.array([[1.0, 1, 1, 0], [1, 1, 0, 0]])},
}
''')
F["vision"] = ("vision, loops", r'''
import numpy as np

def conv_forward(x, w, b):
    """stride 1, pad 1;  x (N,C,H,W)  w (F,C,3,3)"""
    N, C, H, W = x.shape
    xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((N, w.shape[0], H, W))
    for i in range(H):
        for j in range(W):
            out[:, :, i, j] = np.einsum("nckl,fckl->nf", xp[:, :, i:i + 3, j:j + 3], w) + b
    return out, (xp, w)

def conv_backward(dout, cache):
    xp, w = cache
    H, W = dout.shape[2:]
    dxp = np.zeros_like(xp)
    dw = np.zeros_like(w)
    for i in range(H):
        for j in range(W):
            g = dout[:, :, i, j]
            dw += np.einsum("nf,nckl->fckl", g, xp[:, :, i:i + 3, j:j + 3])
            dxp[:, :, i:i + 3, j:j + 3] += np.einsum("nf,fckl->nckl", g, w)
    db = dout.sum(axis=(0, 2, 3))
    return dxp[:, :, 1:-1, 1:-1], dw, db

def avgpool_forward(x):
    N, C, H, W = x.shape
    return x.reshape(N, C, H // 2, 2, W // 2, 2).mean(axis=(3, 5)), x.shape

def avgpool_backward(dout, cache):
    return np.repeat(np.repeat(dout, 2, axis=2), 2, axis=3) / 4

def maxpool_forward(x):
    N, C, H, W = x.shape
    out = np.zeros((N, C, H // 2, W // 2))
    for i in range(H // 2):
        for j in range(W // 2):
            out[:, :, i, j] = x[:, :, 2*i:2*i+2, 2*j:2*j+2].max(axis=(2, 3))
    return out, (x, out)

def maxpool_backward(dout, cache):
    x, out = cache
    dx = np.zeros_like(x)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            win = x[:, :, 2*i:2*i+2, 2*j:2*j+2]
            m = win == out[:, :, i, j][:, :, None, None]
            dx[:, :, 2*i:2*i+2, 2*j:2*j+2] = m * dout[:, :, i, j][:, :, None, None]
    return dx

_r = np.random.RandomState(3)
examples = {
    "conv": (_r.randn(2, 2, 3, 3), _r.randn(2, 2, 3, 3), _r.randn(2)),
    "avgpool": (_r.randn(2, 1, 4, 4),),
    "maxpool": (_r.randn(2, 1, 4, 4),),
}
''')
F["recurrent"] = ("recurrent nets, deep learning specialisation", r'''
import numpy as np

def sigmoid(a):
    return 1 / (1 + np.exp(-a))

def gru_step_forward(x, h_prev, W, U):
    """W (D, 3H), U (H, 3H); order z, r, n"""
    H = h_prev.shape[1]
    xw = x @ W
    hu = h_prev @ U
    z = sigmoid(xw[:, :H] + hu[:, :H])
    r = sigmoid(xw[:, H:2*H] + hu[:, H:2*H])
    n = np.tanh(xw[:, 2*H:] + r * hu[:, 2*H:])
    h = (1 - z) * n + z * h_prev
    return h, (x, h_prev, W, U, z, r, n, hu[:, 2*H:])

def gru_step_backward(dh, cache):
    x, h_prev, W, U, z, r, n, hn = cache
    dn = dh * (1 - z) * (1 - n ** 2)
    dz = dh * (h_prev - n) * z * (1 - z)
    dr = dn * hn * r * (1 - r)
    dxw = np.concatenate([dz, dr, dn], axis=1)
    dhu = np.concatenate([dz, dr, dn * r], axis=1)
    return {"x": dxw @ W.T, "h_prev": dhu @ U.T + dh * z, "W": x.T @ dxw, "U": h_prev.T @ dhu}

def rnn_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    hs = [h0]
    for t in range(T):
        hs.append(np.tanh(x[:, t] @ Wx + hs[-1] @ Wh + b))
    return np.stack(hs[1:], axis=1), (x, hs, Wx, Wh)

def rnn_backward(dh, cache):
    x, hs, Wx, Wh = cache
    T = x.shape[1]
    dx, dWx, dWh = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
    db = np.zeros(Wh.shape[0])
    carry = np.zeros_like(hs[0])
    for t in reversed(range(T)):
        da = (dh[:, t] + carry) * (1 - hs[t + 1] ** 2)
        dx[:, t] = da @ Wx.T
        dWx += x[:, t].T @ da
        dWh += hs[t].T @ da
        db += da.sum(axis=0)
        carry = da @ Wh.T
    return {"x": dx, "h0": carry, "Wx": dWx, "Wh": dWh, "b": db}

_r = np.random.default_rng(8)
examples = {
    "gru_step": (_r.normal(size=(3, 2)), _r.normal(size=(3, 2)), _r.normal(size=(2, 6)), _r.normal(size=(2, 6))),
    "rnn": (_r.normal(size=(2, 3, 2)), _r.normal(size=(2, 3)), _r.normal(size=(2, 3)), _r.normal(size=(3, 3)) * 0.5, _r.normal(size=3)),
}
''')
F["activations"] = ("blog post, activations", r'''
import numpy as np

def softplus(x):
    return np.logaddexp(0, x), x

def softplus_backward(dout, cache):
    x = cache
    return dout / (1 + np.exp(-x))

def swish(x):
    s = 1 / (1 + np.exp(-x))
    return x * s, (x, s)

def swish_backward(dout, cache):
    x, s = cache
    return dout * (s + x * s * (1 - s))

def gelu(x):
    c = np.sqrt(2 / np.pi)
    t = np.tanh(c * (x + 0.044715 * x ** 3))
    return 0.5 * x * (1 + t), (x, t)

def gelu_backward(dout, cache):
    x, t = cache
    c = np.sqrt(2 / np.pi)
    inner = c * (1 + 3 * 0.044715 * x ** 2)
    return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t ** 2) * inner)

def log_softmax(x):
    m = x.max(axis=1, keepdims=True)
    y = x - m - np.log(np.exp(x - m).sum(axis=1, keepdims=True))
    return y, y

def log_softmax_backward(dout, cache):
    y = cache
    return dout - np.exp(y) * dout.sum(axis=1, keepdims=True)
''')
F["vae"] = ("VAE student code", r'''
import numpy as np

def reparameterize_forward(mu, logvar, eps):
    std = np.exp(0.5 * logvar)
    return mu + std * eps, (std, eps)

def reparameterize_backward(dz, cache):
    std, eps = cache
    return dz, 0.5 * dz * std * eps, dz * std

def kl_forward(mu, logvar):
    kl = 0.5 * np.sum(np.exp(logvar) + mu ** 2 - 1 - logvar, axis=1)
    return kl, (mu, logvar)

def kl_backward(dkl, cache):
    mu, logvar = cache
    dmu = dkl[:, None] * mu
    dlogvar = 0.5 * dkl[:, None] * (np.exp(logvar) - 1)
    return dmu, dlogvar

def decoder_forward(z, W, b):
    a = z @ W + b
    p = 1 / (1 + np.exp(-a))
    return p, (z, W, p)

def decoder_backward(dp, cache):
    z, W, p = cache
    da = dp * p * (1 - p)
    return da @ W.T, z.T @ da, da.sum(axis=0)
''')
F["metric"] = ("metric learning research code", r'''
import numpy as np

def l2_normalize_forward(x):
    n = np.sqrt((x ** 2).sum(axis=1, keepdims=True))
    y = x / n
    return y, (y, n)

def l2_normalize_backward(dy, cache):
    y, n = cache
    return (dy - y * (dy * y).sum(axis=1, keepdims=True)) / n

def sqdist_forward(a, b):
    """pairwise (N, M)"""
    d = (a ** 2).sum(1)[:, None] - 2 * a @ b.T + (b ** 2).sum(1)[None, :]
    return d, (a, b)

def sqdist_backward(dd, cache):
    a, b = cache
    da = 2 * (dd.sum(axis=1, keepdims=True) * a - dd @ b)
    db = 2 * (dd.sum(axis=0)[:, None] * b - dd.T @ a)
    return da, db

def info_nce_forward(q, k):
    tau = 0.5
    s = q @ k.T / tau
    s = s - s.max(axis=1, keepdims=True)
    p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    return -np.log(np.diag(p)).mean(), (q, k, p, tau)

def info_nce_backward(dloss, cache):
    q, k, p, tau = cache
    ds = dloss * (p - np.eye(len(q))) / len(q)
    return ds @ k / tau, ds.T @ q / tau

_r = np.random.default_rng(21)
examples = {"l2_normalize": (_r.normal(size=(3, 4)),),
            "sqdist": (_r.normal(size=(3, 2)), _r.normal(size=(4, 2))),
            "info_nce": (_r.normal(size=(4, 3)), _r.normal(size=(4, 3)))}
''')
F["graph"] = ("graph networks repository", r'''
import numpy as np

def gcn_forward(adj, x, w):
    """adj (n, n) fixed, not symmetric (row normalised)"""
    xw = x @ w
    h = adj @ xw
    return np.maximum(h, 0), (adj, x, w, h)

def gcn_backward(dout, cache):
    adj, x, w, h = cache
    dh = dout * (h > 0)
    dxw = adj.T @ dh
    return {"x": dxw @ w.T, "w": x.T @ dxw}

def scatter_mean_forward(messages, dst):
    n = 3
    out = np.zeros((n, messages.shape[1]))
    count = np.bincount(dst, minlength=n).astype(float)
    np.add.at(out, dst, messages)
    return out / np.maximum(count, 1)[:, None], (dst, count)

def scatter_mean_backward(dout, cache):
    dst, count = cache
    return {"messages": (dout / np.maximum(count, 1)[:, None])[dst]}

_r = np.random.default_rng(17)
_A = (np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]) + 0.0)
examples = {
    "gcn": {"adj": _A / _A.sum(1, keepdims=True), "x": _r.normal(size=(4, 3)), "w": _r.normal(size=(3, 2))},
    "scatter_mean": {"messages": _r.normal(size=(6, 2)), "dst": np.array([0, 2, 2, 1, 2, 0])},
}
''')
F["scratch"] = ("from-scratch tutorial, classes", r'''
import numpy as np

class Dense:
    def __init__(self, in_dim=4, out_dim=3):
        rng = np.random.default_rng(42)
        self.W = rng.normal(size=(in_dim, out_dim)) * 0.5
        self.b = rng.normal(size=(1, out_dim)) * 0.1
        self.grad_W = np.zeros_like(self.W)
        self.grad_b = np.zeros_like(self.b)

    def forward(self, x):
        self.x = x
        return np.dot(x, self.W) + self.b

    def backward(self, grad_output):
        self.grad_W = np.dot(self.x.T, grad_output)
        self.grad_b = np.sum(grad_output, axis=0, keepdims=True)
        return np.dot(grad_output, self.W.T)


class ELU:
    def __init__(self, alpha=0.8):
        self.alpha = alpha

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.alpha * (np.exp(np.minimum(x, 0)) - 1))

    def backward(self, grad_output):
        slope = np.where(self.x > 0, 1.0, self.alpha * np.exp(np.minimum(self.x, 0)))
        return grad_output * slope


class Softmax:
    def forward(self, x):
        e = np.exp(x - np.max(x, axis=1, keepdims=True))
        self.p = e / np.sum(e, axis=1, keepdims=True)
        return self.p

    def backward(self, grad_output):
        grad = np.empty_like(grad_output)
        for i, (p, g) in enumerate(zip(self.p, grad_output)):
            J = np.diag(p) - np.outer(p, p)
            grad[i] = J @ g
        return grad
''')
F["stats"] = ("statistics homework", r'''
import numpy as np

def linear_forward(x, w, b):
    return x @ w + b, (x, w)

def linear_backward(dout, cache):
    x, w = cache
    return dict(dx=dout @ w.T, dw=x.T @ dout, db=dout.sum(axis=0))

def standardize_forward(x):
    mu = x.mean(axis=0)
    sd = np.sqrt(x.var(axis=0) + 1e-6)
    z = (x - mu) / sd
    return z, (z, sd)

def standardize_backward(dout, cache):
    z, sd = cache
    n = z.shape[0]
    return dict(dx=(n * dout - dout.sum(axis=0) - z * (dout * z).sum(axis=0)) / (n * sd))

def ridge_penalty_forward(w):
    lam = 0.3
    return 0.5 * lam * np.sum(w ** 2), (w, lam)

def ridge_penalty_backward(dloss, cache):
    w, lam = cache
    return dict(dw=dloss * lam * w)
''')
F["audio"] = ("audio / signal processing", r'''
import numpy as np

def preemphasis_forward(x, a):
    """y[t] = x[t] - a x[t-1], a a 0-d array"""
    y = x.copy()
    y[:, 1:] -= a * x[:, :-1]
    return y, (x, a)

def preemphasis_backward(dy, cache):
    x, a = cache
    dx = dy.copy()
    dx[:, :-1] -= a * dy[:, 1:]
    da = -np.sum(dy[:, 1:] * x[:, :-1])
    return dx, np.asarray(da)

def onepole_forward(x, g):
    """y[t] = (1 - g) x[t] + g y[t-1], one g a channel"""
    y = np.zeros_like(x)
    prev = np.zeros(x.shape[0])
    for t in range(x.shape[1]):
        prev = (1 - g) * x[:, t] + g * prev
        y[:, t] = prev
    return y, (x, g, y)

def onepole_backward(dy, cache):
    x, g, y = cache
    dx = np.zeros_like(x)
    dg = np.zeros_like(g)
    carry = np.zeros_like(g)
    for t in range(x.shape[1] - 1, -1, -1):
        d = dy[:, t] + carry
        dx[:, t] = d * (1 - g)
        before = y[:, t - 1] if t > 0 else 0.0
        dg += d * (before - x[:, t])
        carry = d * g
    return dx, dg

_r = np.random.default_rng(2)
examples = {"preemphasis": (_r.normal(size=(2, 6)), np.array(0.9)),
            "onepole": (_r.normal(size=(3, 5)), np.array([0.3, 0.6, 0.8]))}
''')

# name, file, old, new, slip, wrong, causes
S = [
 ("cs_affine_db_mean", "cs231n", "db = dout.sum(axis=0)\n    return dx, dw, db", "db = dout.mean(axis=0)\n    return dx, dw, db", "affine: db is a mean over the batch, should be a sum", ("b",), ("factor", "batch-sum")),
 ("cs_layernorm_no_center", "cs231n", "(dxhat - dxhat.mean(axis=1, keepdims=True)\n          -", "(dxhat -", "layernorm: the path through the mean is left out", ("x",), ("missing-term",)),
 ("cs_leaky_one_minus", "cs231n", "np.where(x > 0, dout, alpha * dout)", "np.where(x > 0, dout, 0.0)", "leaky_relu: negative side gets 0, should be alpha * dout", ("x",), ("elementwise-factor", "zero", "missing-term")),
 ("loss_mse_rows", "losses", "2 * diff / diff.size", "2 * diff / diff.shape[0]", "mse: divided by the rows, should be by all entries", ("pred", "target"), ("factor",)),
 ("loss_huber_delta", "losses", "delta * np.sign(r))", "np.sign(r))", "huber: delta missing on the linear side", ("pred", "target"), ("elementwise-factor",)),
 ("loss_ce_no_mean", "losses", "dloss * d / n", "dloss * d", "cross_entropy: not divided by n", ("logits",), ("factor", "batch-sum")),
 ("lib_tanh_preact", "layerlib", "(1 - self.y ** 2)", "(1 - self.y) * self.y", "Tanh: slope of the sigmoid, should be 1 - y^2", ("x",), ("elementwise-factor",)),
 ("lib_rms_power", "layerlib", "x * inv ** 3 *", "x * inv ** 2 *", "RMSNorm: inv ** 2 should be inv ** 3", ("x",), ("elementwise-factor",)),
 ("net_residual_dx", "network", "da.dot(p[\"W1\"].T) + dout.dot(p[\"V\"].T)", "da.dot(p[\"W1\"].T)", "ResidualMLP: skip path missing in dx", ("x",), ("missing-term",)),
 ("net_dense_accumulates", "network", "self.grads[\"b\"] = dout.sum(0)", "self.grads[\"b\"] = self.grads.get(\"b\", 0) + dout.sum(0)", "Dense: b's gradient is added to the one before", ("b",), ("accumulates",)),
 ("rl_logstd_missing_one", "rl", "(d * (z ** 2 - 1)).sum(0)", "(d * z ** 2).sum(0)", "gaussian_logp: the -1 of -log_std is missing", ("log_std",), ("missing-term",)),
 ("rl_ppo_no_clip_mask", "rl", "-dloss * active * adv", "-dloss * adv", "ppo_loss: the mask of clipped rows is missing", ("logp",), ("elementwise-factor", "missing-term")),
 ("nlp_embedding_assign", "nlp", "np.add.at(dtable, ids, dout)", "dtable[ids] += dout", "embedding: repeated ids count once", ("table",), ("batch-sum", "missing-term")),
 ("nlp_attention_scale", "nlp", "    ds = ds / np.sqrt(d)\n", "", "attention: 1/sqrt(d) missing for q and k", ("q", "k"), ("factor",)),
 ("vis_conv_assign", "vision", "dxp[:, :, i:i + 3, j:j + 3] += np", "dxp[:, :, i:i + 3, j:j + 3] = np", "conv: overlapping windows overwrite, should be added", ("x",), ("missing-term", "batch-sum", "unknown")),
 ("vis_avgpool_quarter", "vision", "axis=3) / 4", "axis=3) / 2", "avgpool: divided by 2, should be 4", ("x",), ("factor",)),
 ("rec_gru_reset", "recurrent", "np.concatenate([dz, dr, dn * r], axis=1)", "np.concatenate([dz, dr, dn], axis=1)", "gru_step: r missing on the candidate's recurrent side", ("h_prev", "U"), ("elementwise-factor",)),
 ("rec_rnn_dWh_now", "recurrent", "dWh += hs[t].T @ da", "dWh += hs[t + 1].T @ da", "rnn: state of t instead of t-1 in dWh", ("Wh",), ("elementwise-factor", "unknown")),
 ("act_swish_first", "activations", "dout * (s + x * s * (1 - s))", "dout * (x * s * (1 - s))", "swish: the term s is missing", ("x",), ("missing-term", "elementwise-factor")),
 ("act_logsoftmax_axis", "activations", "dout.sum(axis=1, keepdims=True)", "dout.sum(axis=0, keepdims=True)", "log_softmax: dout summed over the batch, should be over the classes", ("x",), ("shape",)),
 ("vae_reparam_half", "vae", "0.5 * dz * std * eps", "dz * std * eps", "reparameterize: 1/2 missing in dlogvar", ("logvar",), ("factor",)),
 ("vae_decoder_slope", "vae", "da = dp * p * (1 - p)", "da = dp * (1 - p)", "decoder: p missing in the sigmoid's slope", ("z", "W", "b"), ("elementwise-factor",)),
 ("graph_adj_untransposed", "graph", "dxw = adj.T @ dh", "dxw = adj @ dh", "gcn: adj should be adj.T", ("x", "w"), ("transpose",)),
 ("scratch_elu_alpha", "scratch", "1.0, self.alpha * np.exp", "1.0, np.exp", "ELU: alpha missing in the slope", ("x",), ("elementwise-factor",)),
]


def _make(src):
    return lambda: {"source": src}


def slipped(entry):
    src = F[entry[1]][1]
    assert src.count(entry[2]) == 1, (entry[0], src.count(entry[2]))
    return src.replace(entry[2], entry[3])


ITEMS = [Item(e[0], F[e[1]][0], "file", _make(slipped(e)), False, e[4], e[5], e[6]) for e in S]
ITEMS += [Item("right_" + k, st, "file", _make(src), True) for k, (st, src) in F.items()]
