"""Whole module files as students and researchers hand them in."""
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


FILES = {}
STYLE = {}


def add(key, style, text):
    FILES[key] = text.lstrip("\n")
    STYLE[key] = style


add("course_layers", "CS231n assignment", '''
import numpy as np


def affine_forward(x, w, b):
    """x: (N, d1, ..., dk), w: (D, M), b: (M,)"""
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db


def relu_forward(x):
    return np.maximum(0, x), x


def relu_backward(dout, cache):
    x = cache
    dx = dout.copy()
    dx[x <= 0] = 0
    return dx


def batchnorm_forward(x, gamma, beta):
    eps = 1e-5
    mu = x.mean(axis=0)
    var = x.var(axis=0)
    std = np.sqrt(var + eps)
    xhat = (x - mu) / std
    out = gamma * xhat + beta
    return out, (xhat, gamma, std)


def batchnorm_backward(dout, cache):
    xhat, gamma, std = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xhat).sum(axis=0)
    dxhat = dout * gamma
    dx = (N * dxhat - dxhat.sum(axis=0) - xhat * (dxhat * xhat).sum(axis=0)) / (N * std)
    return dx, dgamma, dbeta


def affine_relu_forward(x, w, b):
    a, fc_cache = affine_forward(x, w, b)
    out, relu_cache = relu_forward(a)
    return out, (fc_cache, relu_cache)


def affine_relu_backward(dout, cache):
    fc_cache, relu_cache = cache
    da = relu_backward(dout, relu_cache)
    return affine_backward(da, fc_cache)


_r = np.random.RandomState(231)
examples = {
    "affine": (_r.randn(4, 2, 3), _r.randn(6, 5), _r.randn(5)),
    "relu": (_r.randn(3, 7),),
    "batchnorm": (2 + 3 * _r.randn(6, 4), _r.randn(4), _r.randn(4)),
    "affine_relu": (_r.randn(2, 3, 4), _r.randn(12, 5), _r.randn(5)),
}
''')

add("loss_classes", "blog post: losses from scratch", '''
import numpy as np


class MSELoss:
    def forward(self, pred, target):
        self.diff = pred - target
        return np.mean(self.diff ** 2)

    def backward(self):
        return 2.0 * self.diff / self.diff.size


class BCEWithLogits:
    def forward(self, logits, target):
        self.logits, self.target = logits, target
        loss = np.maximum(logits, 0) - logits * target + np.log1p(np.exp(-np.abs(logits)))
        return loss.mean()

    def backward(self):
        p = 1.0 / (1.0 + np.exp(-self.logits))
        return (p - self.target) / self.target.size


class CrossEntropy:
    def forward(self, logits, labels):
        z = logits - logits.max(axis=1, keepdims=True)
        e = np.exp(z)
        self.probs = e / e.sum(axis=1, keepdims=True)
        self.labels = labels
        n = logits.shape[0]
        return -np.log(self.probs[np.arange(n), labels]).mean()

    def backward(self):
        n = self.probs.shape[0]
        g = self.probs.copy()
        g[np.arange(n), self.labels] -= 1
        return g / n


class HuberLoss:
    def __init__(self, delta=0.8):
        self.delta = delta

    def forward(self, pred, target):
        self.r = pred - target
        a = np.abs(self.r)
        quad = 0.5 * self.r ** 2
        lin = self.delta * (a - 0.5 * self.delta)
        return np.sum(np.where(a <= self.delta, quad, lin)) / len(pred)

    def backward(self):
        return np.clip(self.r, -self.delta, self.delta) / len(self.r)


rng = np.random.default_rng(3)
examples = {
    "MSELoss": (rng.normal(size=(5, 3)), rng.normal(size=(5, 3))),
    "BCEWithLogits": (rng.normal(size=(6, 2)), rng.integers(0, 2, (6, 2)).astype(float)),
    "CrossEntropy": (rng.normal(size=(5, 4)), np.array([0, 3, 1, 1, 2])),
    "HuberLoss": (2 * rng.normal(size=(6, 3)), rng.normal(size=(6, 3))),
}
''')

add("attr_layers", "homework (layers with dW attributes)", '''
import numpy as np


class Linear(object):
    def __init__(self, in_feature=5, out_feature=4, seed=0):
        r = np.random.RandomState(seed)
        self.W = r.randn(out_feature, in_feature) / np.sqrt(in_feature)
        self.b = 0.1 * r.randn(out_feature)
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, A):
        self.A = A
        return A @ self.W.T + self.b

    def backward(self, dLdZ):
        self.dW = dLdZ.T @ self.A
        self.db = dLdZ.sum(axis=0)
        return dLdZ @ self.W


class Sigmoid(object):
    def forward(self, Z):
        self.A = 1 / (1 + np.exp(-Z))
        return self.A

    def backward(self, dLdA):
        return dLdA * self.A * (1 - self.A)


class Conv1d(object):
    """(N, C_in, L) -> (N, C_out, (L - K) // stride + 1)"""

    def __init__(self, in_channels=2, out_channels=3, kernel_size=3, stride=2, seed=1):
        r = np.random.RandomState(seed)
        self.K, self.stride = kernel_size, stride
        self.W = r.randn(out_channels, in_channels, kernel_size) * 0.5
        self.b = r.randn(out_channels)
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, A):
        self.A = A
        n_out = (A.shape[2] - self.K) // self.stride + 1
        Z = np.empty((A.shape[0], self.W.shape[0], n_out))
        for i in range(n_out):
            s = i * self.stride
            Z[:, :, i] = np.tensordot(A[:, :, s:s + self.K], self.W, axes=([1, 2], [1, 2])) + self.b
        return Z

    def backward(self, dLdZ):
        dA = np.zeros_like(self.A)
        self.dW = np.zeros_like(self.W)
        self.db = dLdZ.sum(axis=(0, 2))
        for i in range(dLdZ.shape[2]):
            s = i * self.stride
            g = dLdZ[:, :, i]
            self.dW += np.tensordot(g, self.A[:, :, s:s + self.K], axes=([0], [0]))
            dA[:, :, s:s + self.K] += np.tensordot(g, self.W, axes=([1], [0]))
        return dA


_rs = np.random.RandomState(11785)
examples = {
    "Linear": (_rs.randn(3, 5),),
    "Sigmoid": (_rs.randn(3, 4),),
    "Conv1d": (_rs.randn(2, 2, 9),),
}
''')

add("dict_layers", "small library with params and grads dicts", '''
import numpy as np


class Dense:
    def __init__(self, n_in=4, n_out=3, rng=None):
        rng = rng or np.random.default_rng(8)
        self.params = {"W": rng.normal(0, 0.6, (n_in, n_out)), "b": rng.normal(0, 0.1, (1, n_out))}
        self.grads = {}

    def forward(self, x):
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, grad):
        self.grads["W"] = self.x.T @ grad
        self.grads["b"] = grad.sum(axis=0, keepdims=True)
        return grad @ self.params["W"].T


class PReLU:
    def __init__(self, n=5):
        self.params = {"alpha": np.linspace(0.1, 0.4, n)}
        self.grads = {}

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.params["alpha"] * x)

    def backward(self, grad):
        neg = np.minimum(self.x, 0)
        self.grads["alpha"] = (grad * neg).sum(0)
        return grad * np.where(self.x > 0, 1.0, self.params["alpha"])


class ScaleShift:
    def __init__(self, n=3):
        self.params = {"log_scale": np.linspace(-0.5, 0.7, n), "shift": np.linspace(1.0, -1.0, n)}
        self.grads = {}

    def forward(self, x):
        self.x = x
        return x * np.exp(self.params["log_scale"]) + self.params["shift"]

    def backward(self, grad):
        s = np.exp(self.params["log_scale"])
        self.grads["log_scale"] = np.sum(grad * self.x * s, axis=0)
        self.grads["shift"] = np.sum(grad, axis=0)
        return grad * s


_g = np.random.default_rng(77)
examples = {
    "Dense": {"x": _g.normal(size=(6, 4))},
    "PReLU": {"x": _g.normal(size=(4, 5))},
    "ScaleShift": {"x": _g.normal(size=(5, 3))},
}
''')

add("network", "textbook network file with its layers", '''
import numpy as np


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
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return np.dot(dout, self.W.T)


class Tanh:
    def __init__(self):
        self.out = None

    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout):
        return dout * (1.0 - self.out ** 2)


class TwoLayerNet:
    def __init__(self, input_size=4, hidden_size=6, output_size=3):
        rng = np.random.RandomState(42)
        self.params = {
            "W1": 0.5 * rng.randn(input_size, hidden_size),
            "b1": 0.1 * rng.randn(hidden_size),
            "W2": 0.5 * rng.randn(hidden_size, output_size),
            "b2": 0.1 * rng.randn(output_size),
        }
        self.grads = {}

    def forward(self, x):
        p = self.params
        self.affine1 = Affine(p["W1"], p["b1"])
        self.act = Tanh()
        self.affine2 = Affine(p["W2"], p["b2"])
        h = self.act.forward(self.affine1.forward(x))
        return self.affine2.forward(h)

    def backward(self, dout):
        dh = self.affine2.backward(dout)
        da = self.act.backward(dh)
        dx = self.affine1.backward(da)
        self.grads = {"W1": self.affine1.dW, "b1": self.affine1.db,
                      "W2": self.affine2.dW, "b2": self.affine2.db}
        return dx


_rng = np.random.RandomState(5)
examples = {
    "Affine": {"W": _rng.randn(3, 5), "b": _rng.randn(5), "x": _rng.randn(4, 3)},
    "Tanh": {"x": _rng.randn(4, 3)},
    "TwoLayerNet": {"x": _rng.randn(5, 4)},
}
''')

add("nlp", "NLP course", '''
import numpy as np


def embedding_forward(ids, E):
    return E[ids], {"ids": ids, "E": E}


def embedding_backward(dout, cache):
    dE = np.zeros_like(cache["E"])
    np.add.at(dE, cache["ids"], dout)
    return {"E": dE}


def attention_forward(Q, K, V):
    d = Q.shape[-1]
    S = Q @ K.transpose(0, 2, 1) / np.sqrt(d)
    S = S - S.max(axis=-1, keepdims=True)
    A = np.exp(S)
    A /= A.sum(axis=-1, keepdims=True)
    return A @ V, {"Q": Q, "K": K, "V": V, "A": A}


def attention_backward(dout, cache):
    Q, K, V, A = cache["Q"], cache["K"], cache["V"], cache["A"]
    dV = A.transpose(0, 2, 1) @ dout
    dA = dout @ V.transpose(0, 2, 1)
    dS = A * (dA - (dA * A).sum(axis=-1, keepdims=True))
    dS = dS / np.sqrt(Q.shape[-1])
    return {"Q": dS @ K, "K": dS.transpose(0, 2, 1) @ Q, "V": dV}


def rnn_forward(x, h0, Wx, Wh, b):
    """x (N, T, D) -> h (N, T, H)"""
    N, T, _ = x.shape
    h = np.zeros((N, T, h0.shape[1]))
    prev = h0
    for t in range(T):
        prev = np.tanh(x[:, t] @ Wx + prev @ Wh + b)
        h[:, t] = prev
    return h, {"x": x, "h0": h0, "Wx": Wx, "Wh": Wh, "h": h}


def rnn_backward(dh, cache):
    x, h0, Wx, Wh, h = (cache[k] for k in ("x", "h0", "Wx", "Wh", "h"))
    dx, dWx, dWh = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
    db = np.zeros(Wh.shape[1])
    dprev = np.zeros_like(h0)
    for t in reversed(range(x.shape[1])):
        da = (dh[:, t] + dprev) * (1 - h[:, t] ** 2)
        before = h[:, t - 1] if t > 0 else h0
        dx[:, t] = da @ Wx.T
        dWx += x[:, t].T @ da
        dWh += before.T @ da
        db += da.sum(axis=0)
        dprev = da @ Wh.T
    return {"x": dx, "h0": dprev, "Wx": dWx, "Wh": dWh, "b": db}


_r = np.random.RandomState(224)
examples = {
    "embedding": {"ids": np.array([[1, 4, 1], [0, 2, 4]]), "E": _r.randn(6, 3)},
    "attention": {"Q": _r.randn(2, 3, 4), "K": _r.randn(2, 5, 4), "V": _r.randn(2, 5, 3)},
    "rnn": {"x": _r.randn(2, 4, 3), "h0": _r.randn(2, 3), "Wx": 0.6 * _r.randn(3, 3),
            "Wh": 0.6 * _r.randn(3, 3), "b": 0.1 * _r.randn(3)},
}
''')

add("rl", "RL research code", '''
import numpy as np

CLIP = 0.2


def gaussian_logp(mean, log_std, action):
    """log pi(a | s) of a diagonal Gaussian, one number a row"""
    u = (action - mean) * np.exp(-log_std)
    logp = -0.5 * np.sum(u ** 2, axis=1) - np.sum(log_std) - 0.5 * mean.shape[1] * np.log(2 * np.pi)
    return logp, (u, log_std)


def gaussian_logp_backward(g, cache):
    u, log_std = cache
    g = g[:, None]
    dmean = g * u * np.exp(-log_std)
    dlog_std = np.sum(g * (u ** 2 - 1.0), axis=0)
    daction = -dmean
    return dmean, dlog_std, daction


def dueling_head(value, advantage):
    q = value + advantage - advantage.mean(axis=1, keepdims=True)
    return q, advantage.shape[1]


def dueling_head_backward(dq, n_actions):
    dvalue = dq.sum(axis=1, keepdims=True)
    dadvantage = dq - dq.sum(axis=1, keepdims=True) / n_actions
    return dvalue, dadvantage


def entropy(logits):
    z = logits - logits.max(axis=1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    p = np.exp(logp)
    H = -(p * logp).sum(axis=1)
    return H, (p, logp, H)


def entropy_backward(dH, cache):
    p, logp, H = cache
    return -dH[:, None] * p * (logp + H[:, None])


def ppo_surrogate(logp, old_logp, adv):
    ratio = np.exp(logp - old_logp)
    clipped = np.clip(ratio, 1 - CLIP, 1 + CLIP)
    use = ratio * adv <= clipped * adv
    loss = -np.minimum(ratio * adv, clipped * adv).mean()
    return loss, (ratio, adv, use)


def ppo_surrogate_backward(dloss, cache):
    """gradient for logp; old_logp and adv are data"""
    ratio, adv, use = cache
    return -dloss * ratio * adv * use / len(adv)


_g = np.random.default_rng(1)
examples = {
    "gaussian_logp": (_g.normal(size=(5, 2)), np.array([-0.4, 0.3]), _g.normal(size=(5, 2))),
    "dueling_head": (_g.normal(size=(4, 1)), _g.normal(size=(4, 3))),
    "entropy": (_g.normal(size=(3, 4)),),
    "ppo_surrogate": (0.5 * _g.normal(size=8), 0.5 * _g.normal(size=8), _g.normal(size=8)),
}
''')

add("vision", "vision course (naive loops)", '''
import numpy as np


def conv2d_forward(x, w, b):
    """x (N, C, H, W), w (F, C, k, k), same padding 1, stride 1"""
    N, C, H, W = x.shape
    F, _, k, _ = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    Ho, Wo = H + 2 - k + 1, W + 2 - k + 1
    out = np.zeros((N, F, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            patch = xp[:, :, i:i + k, j:j + k]
            out[:, :, i, j] = np.einsum("ncij,fcij->nf", patch, w) + b
    return out, (xp, w)


def conv2d_backward(dout, cache):
    xp, w = cache
    k = w.shape[2]
    dxp = np.zeros_like(xp)
    dw = np.zeros_like(w)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            g = dout[:, :, i, j]
            dxp[:, :, i:i + k, j:j + k] += np.einsum("nf,fcij->ncij", g, w)
            dw += np.einsum("nf,ncij->fcij", g, xp[:, :, i:i + k, j:j + k])
    db = dout.sum(axis=(0, 2, 3))
    return dxp[:, :, 1:-1, 1:-1], dw, db


def maxpool_forward(x):
    """2x2, stride 2"""
    N, C, H, W = x.shape
    win = x.reshape(N, C, H // 2, 2, W // 2, 2)
    out = win.max(axis=(3, 5))
    return out, (win, out, x.shape)


def maxpool_backward(dout, cache):
    win, out, shape = cache
    mask = win == out[:, :, :, None, :, None]
    return (mask * dout[:, :, :, None, :, None]).reshape(shape)


def global_avg_pool_forward(x):
    return x.mean(axis=(2, 3)), x.shape


def global_avg_pool_backward(dout, cache):
    N, C, H, W = cache
    return np.ones((N, C, H, W)) * dout[:, :, None, None] / (H * W)


def upsample_forward(x):
    return x.repeat(2, axis=2).repeat(2, axis=3), x.shape


def upsample_backward(dout, cache):
    N, C, H, W = cache
    return dout.reshape(N, C, H, 2, W, 2).sum(axis=(3, 5))


np.random.seed(12)
examples = {
    "conv2d": (np.random.randn(2, 2, 3, 3), np.random.randn(2, 2, 3, 3), np.random.randn(2)),
    "maxpool": (np.random.randn(2, 1, 4, 4),),
    "global_avg_pool": (np.random.randn(2, 3, 2, 3),),
    "upsample": (np.random.randn(1, 2, 2, 3),),
}
''')

add("vae", "VAE blog post", '''
import numpy as np


def reparameterize(mu, logvar, eps):
    std = np.exp(0.5 * logvar)
    return mu + std * eps, (std, eps)


def reparameterize_backward(dz, cache):
    std, eps = cache
    return {"mu": dz, "logvar": 0.5 * dz * std * eps, "eps": dz * std}


def kl_divergence(mu, logvar):
    kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
    return kl, (mu, logvar)


def kl_divergence_backward(dkl, cache):
    mu, logvar = cache
    d = dkl[:, None]
    return {"mu": d * mu, "logvar": d * 0.5 * (np.exp(logvar) - 1)}


def decoder(z, W1, b1, W2, b2):
    h = np.tanh(z @ W1 + b1)
    return h @ W2 + b2, (z, h, W1, W2)


def decoder_backward(dlogits, cache):
    z, h, W1, W2 = cache
    dpre = (dlogits @ W2.T) * (1 - h * h)
    return {"z": dpre @ W1.T, "W1": z.T @ dpre, "b1": dpre.sum(0),
            "W2": h.T @ dlogits, "b2": dlogits.sum(0)}


rng = np.random.default_rng(1312)
examples = {
    "reparameterize": (rng.normal(size=(4, 2)), rng.normal(size=(4, 2)), rng.normal(size=(4, 2))),
    "kl_divergence": (rng.normal(size=(4, 3)), rng.normal(size=(4, 3))),
    "decoder": (rng.normal(size=(3, 2)), rng.normal(size=(2, 5)), rng.normal(size=5),
                rng.normal(size=(5, 4)), rng.normal(size=4)),
}
''')

add("audio", "differentiable audio / physics", '''
import numpy as np


def leaky_integrator(x, a):
    """y[t] = a y[t-1] + (1 - a) x[t], x (B, T), a (B,)"""
    y = np.zeros_like(x)
    state = np.zeros(x.shape[0])
    for t in range(x.shape[1]):
        state = a * state + (1 - a) * x[:, t]
        y[:, t] = state
    return y, (x, a, y)


def leaky_integrator_backward(gy, cache):
    x, a, y = cache
    gx = np.zeros_like(x)
    ga = np.zeros_like(a)
    g = np.zeros_like(a)
    for t in range(x.shape[1] - 1, -1, -1):
        g = gy[:, t] + a * g
        prev = y[:, t - 1] if t else 0.0
        gx[:, t] = (1 - a) * g
        ga += g * (prev - x[:, t])
    return gx, ga


def db_energy(frames):
    """level of each frame in dB"""
    e = np.mean(frames ** 2, axis=1) + 1e-6
    return 10 * np.log10(e), (frames, e)


def db_energy_backward(g, cache):
    frames, e = cache
    scale = 10 / np.log(10) / e
    return (g * scale)[:, None] * 2 * frames / frames.shape[1]


def oscillator(q, p, k):
    """five steps of symplectic Euler"""
    h = 0.2
    traj = [q]
    for _ in range(5):
        p = p - h * k * q
        q = q + h * p
        traj.append(q)
    return q, (traj, k, h)


def oscillator_backward(gq, cache):
    traj, k, h = cache
    gp = np.zeros_like(gq)
    gk = np.zeros_like(k)
    for q_old in reversed(traj[:-1]):
        gp = gp + h * gq
        gk = gk - h * q_old * gp
        gq = gq - h * k * gp
    return gq, gp, gk


_rng = np.random.default_rng(440)
examples = {
    "leaky_integrator": (_rng.normal(size=(3, 6)), np.array([0.5, 0.8, 0.3])),
    "db_energy": (_rng.normal(size=(4, 6)),),
    "oscillator": (_rng.normal(size=4), _rng.normal(size=4), _rng.uniform(0.5, 2.0, 4)),
}
''')

add("graph", "graph network research code", '''
import numpy as np


class GCNLayer:
    """H' = D^-1/2 (A + I) D^-1/2 H W; gradients come back as a tuple"""

    def forward(self, H, W, A):
        A = A + np.eye(len(A))
        d = 1.0 / np.sqrt(A.sum(axis=1))
        self.S = d[:, None] * A * d[None, :]
        self.H, self.W = H, W
        return self.S @ H @ W

    def backward(self, grad):
        SG = self.S.T @ grad
        return SG @ self.W.T, self.H.T @ SG


class MeanReadout:
    def forward(self, H, graph_id):
        n = graph_id.max() + 1
        self.graph_id = graph_id
        self.count = np.bincount(graph_id, minlength=n)
        out = np.zeros((n, H.shape[1]))
        np.add.at(out, graph_id, H)
        return out / self.count[:, None]

    def backward(self, grad):
        return (grad / self.count[:, None])[self.graph_id]


class EdgeScore:
    """s_e = h_src . R . h_dst"""

    def forward(self, H, R, src, dst):
        self.cache = H, R, src, dst
        return np.einsum("ei,ij,ej->e", H[src], R, H[dst])

    def backward(self, grad):
        H, R, src, dst = self.cache
        dH = np.zeros_like(H)
        np.add.at(dH, src, grad[:, None] * (H[dst] @ R.T))
        np.add.at(dH, dst, grad[:, None] * (H[src] @ R))
        dR = np.einsum("e,ei,ej->ij", grad, H[src], H[dst])
        return dH, dR


_r = np.random.default_rng(2017)
_A = np.array([[0, 1, 0, 0], [1, 0, 1, 1], [0, 1, 0, 0], [0, 1, 0, 0]], float)
examples = {
    "GCNLayer": (_r.normal(size=(4, 3)), _r.normal(size=(3, 3)), _A),
    "MeanReadout": (_r.normal(size=(6, 2)), np.array([0, 0, 0, 1, 1, 2])),
    "EdgeScore": (_r.normal(size=(4, 3)), _r.normal(size=(3, 3)), np.array([0, 1, 1, 3]), np.array([1, 2, 3, 0])),
}
''')

add("finance", "quantitative finance notebook", '''
import numpy as np


def weights(scores):
    """long-only: softmax of the scores"""
    e = np.exp(scores - scores.max())
    w = e / e.sum()
    return w, w


def weights_backward(dw, cache):
    w = cache
    return w * (dw - np.dot(w, dw))


def sharpe(r):
    m, s = r.mean(), r.std()
    return np.array(m / s), (r, m, s)


def sharpe_backward(g, cache):
    r, m, s = cache
    n = len(r)
    return g * (1 / (n * s) - m * (r - m) / (n * s ** 3))


def log_growth(w, R):
    """mean log growth of the portfolio w over the days of R (T, n)"""
    growth = 1 + R @ w
    return np.log(growth).mean(), (w, R, growth)


def log_growth_backward(g, cache):
    w, R, growth = cache
    dR_w = g / (growth * len(growth))
    return R.T @ dR_w, np.outer(dR_w, w)


def ewma_var(r, lam):
    v = [r[0] ** 2]
    for x in r[1:]:
        v.append(lam * v[-1] + (1 - lam) * x ** 2)
    return np.array(v), (r, lam, v)


def ewma_var_backward(dv, cache):
    r, lam, v = cache
    dr = np.zeros_like(r)
    dlam = 0.0
    acc = 0.0
    for t in range(len(r) - 1, 0, -1):
        acc = acc + dv[t]
        dr[t] = acc * (1 - lam) * 2 * r[t]
        dlam += acc * (v[t - 1] - r[t] ** 2)
        acc = acc * lam
    dr[0] = (acc + dv[0]) * 2 * r[0]
    return dr, np.array(dlam)


_g = np.random.default_rng(1987)
examples = {
    "weights": {"scores": _g.normal(size=5)},
    "sharpe": {"r": 0.5 + _g.normal(size=8)},
    "log_growth": {"w": np.array([0.2, 0.5, 0.3]), "R": 0.2 * _g.normal(size=(6, 3))},
    "ewma_var": {"r": _g.normal(size=7), "lam": np.array(0.7)},
}
''')

add("graphics", "differentiable rendering", '''
import numpy as np


def normalize_forward(v):
    n = np.linalg.norm(v, axis=-1, keepdims=True)
    u = v / n
    return u, (u, n)


def normalize_backward(du, cache):
    u, n = cache
    return (du - u * np.sum(u * du, axis=-1, keepdims=True)) / n


def rotate_forward(points, theta):
    """points (N, 2), one angle for all of them"""
    c, s = np.cos(theta), np.sin(theta)
    R = np.array([[c, -s], [s, c]])
    return points @ R.T, (points, R)


def rotate_backward(dout, cache):
    points, R = cache
    dR = dout.T @ points
    c, s = R[0, 0], R[1, 0]
    dtheta = -s * dR[0, 0] - c * dR[0, 1] + c * dR[1, 0] - s * dR[1, 1]
    return dout @ R, np.array(dtheta)


def over_forward(rgb, alpha):
    """front-to-back compositing along a ray: rgb (S, 3), alpha (S,)"""
    T = np.concatenate([[1.0], np.cumprod(1 - alpha)[:-1]])
    w = T * alpha
    return w @ rgb, (rgb, alpha, T, w)


def over_backward(dcolor, cache):
    rgb, alpha, T, w = cache
    drgb = w[:, None] * dcolor[None, :]
    dw = rgb @ dcolor
    contrib = w * dw
    after = np.concatenate([np.cumsum(contrib[::-1])[::-1][1:], [0.0]])
    dalpha = T * dw - after / (1 - alpha)
    return drgb, dalpha


_r = np.random.default_rng(360)
examples = {
    "normalize": (_r.normal(size=(4, 3)),),
    "rotate": (_r.normal(size=(5, 2)), np.array(0.7)),
    "over": (_r.uniform(size=(6, 3)), _r.uniform(0.1, 0.8, 6)),
}
''')

add("transformer", "transformer from scratch (no examples)", '''
import numpy as np


def layer_norm_forward(x, gamma, beta):
    mean = x.mean(-1, keepdims=True)
    rstd = 1.0 / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    norm = (x - mean) * rstd
    return norm * gamma + beta, (norm, rstd, gamma)


def layer_norm_backward(dout, cache):
    norm, rstd, gamma = cache
    dgamma = (dout * norm).sum(0)
    dbeta = dout.sum(0)
    dnorm = dout * gamma
    dx = dnorm - dnorm.mean(-1, keepdims=True) - norm * (dnorm * norm).mean(-1, keepdims=True)
    return dx * rstd, dgamma, dbeta


def gelu_forward(x):
    c = np.sqrt(2 / np.pi)
    t = np.tanh(c * (x + 0.044715 * x ** 3))
    return 0.5 * x * (1 + t), (x, t)


def gelu_backward(dout, cache):
    x, t = cache
    c = np.sqrt(2 / np.pi)
    dt = (1 - t ** 2) * c * (1 + 3 * 0.044715 * x ** 2)
    return dout * (0.5 * (1 + t) + 0.5 * x * dt)


def softmax_forward(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    return p, p


def softmax_backward(dout, cache):
    p = cache
    return p * (dout - (dout * p).sum(axis=-1, keepdims=True))


def residual_forward(x, w, b):
    """x + gelu(x w + b), w square"""
    a = x @ w + b
    h, gcache = gelu_forward(a)
    return x + h, (x, w, gcache)


def residual_backward(dout, cache):
    x, w, gcache = cache
    da = gelu_backward(dout, gcache)
    dx = dout + da @ w.T
    return dx, x.T @ da, da.sum(0)
''')

add("columns", "deep learning MOOC, samples in columns (no examples)", '''
import numpy as np


def linear_forward(A, W, b):
    """A (n_prev, m), W (n, n_prev), b (n, 1)"""
    Z = np.dot(W, A) + b
    cache = (A, W, b)
    return Z, cache


def linear_backward(dZ, cache):
    A, W, b = cache
    dA = np.dot(W.T, dZ)
    dW = np.dot(dZ, A.T)
    db = np.sum(dZ, axis=1, keepdims=True)
    return dA, dW, db


def sigmoid_forward(Z):
    A = 1 / (1 + np.exp(-Z))
    return A, Z


def sigmoid_backward(dA, cache):
    Z = cache
    s = 1 / (1 + np.exp(-Z))
    return dA * s * (1 - s)


def leaky_relu_forward(Z):
    return np.where(Z > 0, Z, 0.01 * Z), Z


def leaky_relu_backward(dA, cache):
    Z = cache
    dZ = np.array(dA, copy=True)
    dZ[Z <= 0] *= 0.01
    return dZ


def linear_activation_forward(A, W, b):
    Z, linear_cache = linear_forward(A, W, b)
    out, activation_cache = sigmoid_forward(Z)
    return out, (linear_cache, activation_cache)


def linear_activation_backward(dA, cache):
    linear_cache, activation_cache = cache
    dZ = sigmoid_backward(dA, activation_cache)
    return linear_backward(dZ, linear_cache)
''')

add("classes_plain", "tiny autograd-like library (no examples)", '''
import numpy as np


class Softplus:
    def forward(self, x):
        self.x = x
        return np.logaddexp(0.0, x)

    def backward(self, grad):
        return grad / (1.0 + np.exp(-self.x))


class Swish:
    def forward(self, x):
        self.s = 1.0 / (1.0 + np.exp(-x))
        self.y = x * self.s
        return self.y

    def backward(self, grad):
        return grad * (self.y + self.s * (1.0 - self.y))


class RowCosine:
    """cosine similarity of the rows of x and y"""

    def forward(self, x, y):
        self.x, self.y = x, y
        self.nx = np.sqrt((x * x).sum(axis=1, keepdims=True))
        self.ny = np.sqrt((y * y).sum(axis=1, keepdims=True))
        self.cos = (x * y).sum(axis=1, keepdims=True) / (self.nx * self.ny)
        return self.cos[:, 0]

    def backward(self, grad):
        g = grad[:, None]
        dx = g * (self.y / (self.nx * self.ny) - self.cos * self.x / self.nx ** 2)
        dy = g * (self.x / (self.nx * self.ny) - self.cos * self.y / self.ny ** 2)
        return dx, dy


class RMSNorm:
    def forward(self, x, weight):
        self.r = np.sqrt(np.mean(x ** 2, axis=-1, keepdims=True) + 1e-6)
        self.n = x / self.r
        self.weight = weight
        return self.n * weight

    def backward(self, grad):
        gw = grad * self.weight
        dx = (gw - self.n * np.mean(gw * self.n, axis=-1, keepdims=True)) / self.r
        return dx, np.sum(grad * self.n, axis=0)
''')

add("loss_functions", "homework: loss functions (no examples)", '''
import numpy as np


def mse(y_pred, y_true):
    return np.mean((y_pred - y_true) ** 2)


def mse_backward(y_pred, y_true):
    return 2 * (y_pred - y_true) / y_pred.size


def log_cosh(y_pred, y_true):
    return np.mean(np.log(np.cosh(y_pred - y_true)))


def log_cosh_backward(y_pred, y_true):
    return np.tanh(y_pred - y_true) / y_pred.size


def cross_entropy(logits, labels):
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    logp = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    return -np.mean(logp[np.arange(len(labels)), labels])


def cross_entropy_backward(logits, labels):
    e = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    grad = e / np.sum(e, axis=1, keepdims=True)
    grad[np.arange(len(labels)), labels] -= 1.0
    return grad / len(labels)
''')

add("glm", "statistics textbook: likelihoods of linear models (no examples)", '''
import numpy as np


def poisson_nll_forward(x, w, y):
    """counts y ~ Poisson(exp(x w)), without the constant log y!"""
    eta = x @ w
    rate = np.exp(eta)
    return np.sum(rate - y * eta), dict(x=x, w=w, y=y, rate=rate)


def poisson_nll_backward(dout, cache):
    r = cache["rate"] - cache["y"]
    return {"x": dout * np.outer(r, cache["w"]), "w": dout * (cache["x"].T @ r)}


def gaussian_nll_forward(mu, log_sigma, y):
    u = (y - mu) / np.exp(log_sigma)
    nll = 0.5 * u ** 2 + log_sigma + 0.5 * np.log(2 * np.pi)
    return nll.sum(), dict(u=u, log_sigma=log_sigma)


def gaussian_nll_backward(dout, cache):
    u, sigma = cache["u"], np.exp(cache["log_sigma"])
    return {"mu": -dout * u / sigma, "log_sigma": dout * (1 - u ** 2)}


def ridge_forward(x, w, y):
    res = x @ w - y
    return 0.5 * res @ res + 0.5 * 0.3 * w @ w, dict(x=x, w=w, res=res)


def ridge_backward(dout, cache):
    x, w, res = cache["x"], cache["w"], cache["res"]
    return {"x": dout * np.outer(res, w), "w": dout * (x.T @ res + 0.3 * w), "y": -dout * res}
''')


# name, file, right line, wrong line, slip, what comes out wrong, causes
SLIPS = [
    ("course_bn_no_mean_path", "course_layers", "(N * dxhat - dxhat.sum(axis=0) - xhat *", "(N * dxhat - xhat *",
     "batchnorm_backward leaves out the path through the mean (- dxhat.sum(axis=0))", ("batchnorm", "x"), ("missing-term",)),
    ("course_relu_in_place", "course_layers", "dx = dout.copy()\n", "dx = dout\n",
     "relu_backward zeroes the caller's dout in place; should copy", ("relu", "affine_relu", "dout"), ("mutates-input",)),
    ("losses_bce_rows_only", "loss_classes", "(p - self.target) / self.target.size", "(p - self.target) / len(self.target)",
     "BCEWithLogits divides by the rows, but the loss is the mean over all entries", ("BCEWithLogits", "logits"), ("factor",)),
    ("losses_huber_no_clip", "loss_classes", "np.clip(self.r, -self.delta, self.delta) / len(self.r)",
     "np.where(np.abs(self.r) <= self.delta, self.r, np.sign(self.r)) / len(self.r)",
     "HuberLoss: the linear branch has slope delta, not 1", ("HuberLoss", "pred"), ("elementwise-factor",)),
    ("attr_linear_accumulates", "attr_layers", "self.dW = dLdZ.T @ self.A", "self.dW += dLdZ.T @ self.A",
     "Linear.backward adds to dW, which forward never clears (db is overwritten)", ("Linear", "W"), ("accumulates",)),
    ("attr_conv1d_overwrites", "attr_layers", "dA[:, :, s:s + self.K] += np", "dA[:, :, s:s + self.K] = np",
     "Conv1d: overlapping windows overwrite each other instead of adding", ("Conv1d", "A"), ("missing-term",)),
    ("dict_prelu_other_side", "dict_layers", "neg = np.minimum(self.x, 0)", "neg = np.maximum(self.x, 0)",
     "PReLU alpha: the gradient takes the positive side instead of the negative one", ("PReLU", "alpha"),
     ("elementwise-factor",)),
    ("dict_scale_no_exp", "dict_layers", "np.sum(grad * self.x * s, axis=0)", "np.sum(grad * self.x, axis=0)",
     "ScaleShift log_scale: the factor exp(log_scale) is missing", ("ScaleShift", "log_scale"), ("elementwise-factor",)),
    ("network_skips_activation", "network", "da = self.act.backward(dh)", "da = dh",
     "TwoLayerNet.backward skips the tanh layer", ("TwoLayerNet", "x", "W1", "b1"), ("elementwise-factor",)),
    ("network_tanh_slope", "network", "dout * (1.0 - self.out ** 2)", "dout * (1.0 - self.out)",
     "Tanh slope is 1 - out^2, not 1 - out (and the network inherits it)", ("Tanh", "TwoLayerNet", "x", "W1", "b1"), ("elementwise-factor",)),
    ("nlp_embedding_repeats", "nlp", "np.add.at(dE, cache[\"ids\"], dout)", "dE[cache[\"ids\"]] += dout",
     "fancy indexing += keeps only one of the repeated ids; np.add.at needed", ("embedding", "E"),
     ("missing-term", "batch-sum")),
    ("nlp_rnn_wh_transposed", "nlp", "dprev = da @ Wh.T", "dprev = da @ Wh",
     "rnn_backward: Wh not transposed on the way back through time", ("rnn", "x", "h0", "Wx", "Wh", "b"), ("transpose",)),
    ("rl_logstd_constant", "rl", "np.sum(g * (u ** 2 - 1.0), axis=0)", "np.sum(g * u ** 2, axis=0)",
     "gaussian_logp: the -1 of -sum(log_std) is missing in dlog_std", ("gaussian_logp", "log_std"), ("missing-term",)),
    ("rl_ppo_no_mask", "rl", "ratio * adv * use / len(adv)", "ratio * adv / len(adv)",
     "ppo_surrogate: the mask of the clipped entries is missing", ("ppo_surrogate", "logp"), ("elementwise-factor",)),
    ("vision_conv_bias_batch", "vision", "db = dout.sum(axis=(0, 2, 3))", "db = dout[0].sum(axis=(1, 2))",
     "conv2d db takes the first image only", ("conv2d", "b"), ("batch-sum",)),
    ("vae_logvar_half", "vae", "0.5 * dz * std * eps", "dz * std * eps",
     "reparameterize: d std / d logvar = 0.5 std, the half is missing", ("reparameterize", "logvar"), ("factor",)),
    ("audio_leaky_ga_prev", "audio", "ga += g * (prev - x[:, t])", "ga += g * prev",
     "leaky_integrator: a's path through (1 - a) x is missing", ("leaky_integrator", "a"), ("missing-term",)),
    ("graph_edge_r_side", "graph", "grad[:, None] * (H[dst] @ R.T))", "grad[:, None] * (H[dst] @ R))",
     "EdgeScore: gradient for the source rows needs R transposed", ("EdgeScore", "H"), ("transpose",)),
    ("finance_sharpe_std_power", "finance", "m * (r - m) / (n * s ** 3)", "m * (r - m) / (n * s ** 2)",
     "sharpe: the path through std has s^3 below, not s^2", ("sharpe", "r"), ("missing-term", "elementwise-factor", "factor")),
    ("graphics_rotate_sign", "graphics", "return dout @ R, np.array(dtheta)", "return dout @ R.T, np.array(dtheta)",
     "rotate: points are turned back the wrong way (R.T for R)", ("rotate", "points"), ("transpose",)),
    ("transformer_no_skip", "transformer", "dx = dout + da @ w.T", "dx = da @ w.T",
     "residual_backward forgets the skip connection", ("residual", "x"), ("missing-term",)),
    ("columns_one_over_m", "columns", "dW = np.dot(dZ, A.T)\n", "dW = np.dot(dZ, A.T) / A.shape[1]\n",
     "linear_backward divides dW by m, though nothing in forward is averaged (linear_activation inherits it)",
     ("linear", "linear_activation", "W"), ("factor",)),
    ("classes_rms_norm_constant", "classes_plain", "dx = (gw - self.n * np.mean(gw * self.n, axis=-1, keepdims=True)) / self.r",
     "dx = gw / self.r", "RMSNorm takes the root mean square for a constant", ("RMSNorm", "x"), ("missing-term",)),
    ("glm_gauss_mu_sign", "glm", "\"mu\": -dout * u / sigma", "\"mu\": dout * u / sigma",
     "gaussian_nll: d/dmu of 0.5 ((y - mu)/sigma)^2 has a minus", ("gaussian_nll", "mu"), ("sign",)),
]

# right ones: a file as it is, or another legitimate way of writing one line of it
RIGHT = [
    ("right_course_bn_rewritten", "course_layers", [("dx[x <= 0] = 0", "dx *= (x > 0)"),
     ("(N * dxhat - dxhat.sum(axis=0) - xhat * (dxhat * xhat).sum(axis=0)) / (N * std)",
      "gamma / std * (dout - dbeta / N - xhat * dgamma / N)")]),
    ("right_loss_classes", "loss_classes", [("g = self.probs.copy()\n        g[np.arange(n), self.labels] -= 1\n",
      "g = self.probs - np.eye(self.probs.shape[1])[self.labels]\n")]),
    ("right_attr_layers", "attr_layers", [("self.db = dLdZ.sum(axis=0)", "self.db = np.ones(len(dLdZ)) @ dLdZ")]),
    ("right_dict_layers", "dict_layers", [("self.grads[\"W\"] = self.x.T @ grad", "self.grads[\"W\"] = np.einsum(\"ni,nj->ij\", self.x, grad)")]),
    ("right_network", "network", []),
    ("right_nlp", "nlp", [("np.add.at(dE, cache[\"ids\"], dout)",
      "for i, g in zip(cache[\"ids\"].ravel(), dout.reshape(-1, dE.shape[1])):\n        dE[i] += g")]),
    ("right_rl", "rl", []),
    ("right_vae_std_from_z", "vae", [("-0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)",
      "0.5 * np.sum(mu ** 2 + np.expm1(logvar) - logvar, axis=1)"), ("(np.exp(logvar) - 1)", "np.expm1(logvar)")]),
    ("right_audio", "audio", []),
    ("right_graph_incidence", "graph", [("        np.add.at(out, graph_id, H)\n",
      "        for i, g in enumerate(graph_id):\n            out[g] += H[i]\n")]),
    ("right_graphics", "graphics", []),
    ("right_transformer", "transformer", [("p * (dout - (dout * p).sum(axis=-1, keepdims=True))",
      "p * dout - p * np.sum(p * dout, axis=-1, keepdims=True)")]),
    ("right_columns", "columns", []),
    ("right_classes_plain", "classes_plain", []),
    ("right_loss_functions", "loss_functions", []),
]


def changed(text, *pairs):
    for old, new in pairs:
        assert text.count(old) == 1, (text.count(old), old)
        text = text.replace(old, new)
    return text


# these are handed in without their examples
BARE = {"course_bn_no_mean_path", "losses_bce_rows_only", "vae_logvar_half", "right_loss_classes", "right_vae_std_from_z"}


def without_examples(text):
    """up to the seed line and the private names before the dict examples"""
    head = text[:text.index("\nexamples = {")].rstrip().splitlines()
    assert "andom" in head[-1], head[-1]
    return "\n".join(head[:-1]).rstrip() + "\n"


def item(name, key, pairs, right, slip="", wrong=(), causes=()):
    text = changed(FILES[key], *pairs)
    if name in BARE:
        text = without_examples(text)
    return Item(name, STYLE[key], "file", lambda: {"source": text}, right, slip, wrong, causes)


ITEMS = ([item(n, k, [(old, new)], False, slip, wrong, causes) for n, k, old, new, slip, wrong, causes in SLIPS]
         + [item(n, k, pairs, True) for n, k, pairs in RIGHT])
