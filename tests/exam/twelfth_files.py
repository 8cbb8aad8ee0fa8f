"""24 wrong and 15 right module files."""
from typing import NamedTuple, Callable


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
STYLE = {}


def base(name, style, src):
    F[name] = src.lstrip("\n")
    STYLE[name] = style


base("cs231n_layers", "CS231n assignment", '''
import numpy as np


def affine_forward(x, w, b):
    N = x.shape[0]
    out = x.reshape(N, -1) @ w + b
    return out, (x, w, b)


def affine_backward(dout, cache):
    x, w, b = cache
    N = x.shape[0]
    dx = (dout @ w.T).reshape(x.shape)
    dw = x.reshape(N, -1).T @ dout
    db = dout.sum(axis=0)
    return dx, dw, db


def leaky_relu_forward(x, alpha=0.1):
    out = np.where(x > 0, x, alpha * x)
    return out, (x, alpha)


def leaky_relu_backward(dout, cache):
    x, alpha = cache
    return dout * np.where(x > 0, 1.0, alpha)


def batchnorm_forward(x, gamma, beta):
    eps = 1e-5
    mu = x.mean(axis=0)
    xc = x - mu
    var = (xc ** 2).mean(axis=0)
    std = np.sqrt(var + eps)
    xhat = xc / std
    out = gamma * xhat + beta
    return out, (xc, std, xhat, gamma)


def batchnorm_backward(dout, cache):
    xc, std, xhat, gamma = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xhat).sum(axis=0)
    dxhat = dout * gamma
    dstd = -(dxhat * xc).sum(axis=0) / std ** 2
    dvar = 0.5 * dstd / std
    dxc = dxhat / std + 2.0 * xc * dvar / N
    dmu = -dxc.sum(axis=0)
    dx = dxc + dmu / N
    return dx, dgamma, dbeta


_rng = np.random.RandomState(0)
examples = {
    "affine": (_rng.randn(3, 2, 2), _rng.randn(4, 5), _rng.randn(5)),
    "leaky_relu": (_rng.randn(4, 3),),
    "batchnorm": (2 * _rng.randn(6, 3) + 1, _rng.rand(3) + 0.5, _rng.randn(3)),
}
''')

base("torchlike_modules", "mini deep-learning library, gradients in attributes", '''
"""Small modules in the spirit of torch.nn.  forward() then backward()."""
import numpy as np


class Linear:
    def __init__(self, n_in=4, n_out=3, seed=0):
        rng = np.random.default_rng(seed)
        self.W = rng.normal(size=(n_out, n_in)) / np.sqrt(n_in)
        self.b = 0.1 * rng.normal(size=n_out)

    def forward(self, x):
        self.x = x
        return x @ self.W.T + self.b

    def backward(self, grad_out):
        self.dW = grad_out.T @ self.x
        self.db = grad_out.sum(0)
        return grad_out @ self.W


class Sigmoid:
    def forward(self, x):
        self.out = 1.0 / (1.0 + np.exp(-x))
        return self.out

    def backward(self, grad_out):
        return grad_out * self.out * (1.0 - self.out)


class Softmax:
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.p = e / e.sum(axis=1, keepdims=True)
        return self.p

    def backward(self, grad_out):
        inner = (grad_out * self.p).sum(axis=1, keepdims=True)
        return self.p * (grad_out - inner)


class RMSNorm:
    def __init__(self, dim=4):
        self.g = np.linspace(0.5, 1.5, dim)

    def forward(self, x):
        self.x = x
        self.r = 1.0 / np.sqrt((x ** 2).mean(axis=1, keepdims=True) + 1e-6)
        return x * self.r * self.g

    def backward(self, grad_out):
        self.dg = (grad_out * self.x * self.r).sum(0)
        u = grad_out * self.g
        m = (u * self.x).mean(axis=1, keepdims=True)
        return self.r * u - self.x * self.r ** 3 * m


_x = np.random.default_rng(5).normal(size=(5, 4))
examples = {"Linear": (_x,), "Sigmoid": (_x,), "Softmax": (_x,), "RMSNorm": (_x,)}
''')

base("losses_plain", "homework, losses file without cache", '''
import numpy as np

# loss(pred, target) -> number,   loss_backward(pred, target) -> gradient in pred


def mse_loss(pred, target):
    return np.mean((pred - target) ** 2)


def mse_loss_backward(pred, target):
    return 2.0 * (pred - target) / pred.size


def huber_loss(pred, target, delta=1.0):
    r = pred - target
    a = np.abs(r)
    return np.mean(np.where(a <= delta, 0.5 * r ** 2, delta * (a - 0.5 * delta)))


def huber_loss_backward(pred, target, delta=1.0):
    r = pred - target
    return np.clip(r, -delta, delta) / pred.size


def log_cosh_loss(pred, target):
    r = pred - target
    return np.mean(np.log(np.cosh(r)))


def log_cosh_loss_backward(pred, target):
    return np.tanh(pred - target) / pred.size
''')

base("losses_examples", "loss functions module with upstream gradient", '''
import numpy as np


def cross_entropy_forward(logits, labels):
    shifted = logits - logits.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    n = len(labels)
    loss = -logp[np.arange(n), labels].mean()
    return loss, (logp, labels)


def cross_entropy_backward(dloss, cache):
    logp, labels = cache
    n = len(labels)
    d = np.exp(logp)
    d[np.arange(n), labels] -= 1.0
    return dloss * d / n


def bce_logits_forward(logits, targets):
    losses = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    return losses.sum(axis=1), (logits, targets)


def bce_logits_backward(dloss, cache):
    logits, targets = cache
    p = 1.0 / (1.0 + np.exp(-logits))
    return dloss[:, None] * (p - targets)


def focal_forward(logits, targets):
    # gamma = 2
    p = 1.0 / (1.0 + np.exp(-logits))
    pt = np.where(targets == 1, p, 1 - p)
    return (-(1 - pt) ** 2 * np.log(pt)).mean(), (pt, targets)


def focal_backward(dloss, cache):
    pt, targets = cache
    dpt = 2 * (1 - pt) * np.log(pt) - (1 - pt) ** 2 / pt
    s = np.where(targets == 1, 1.0, -1.0)
    return dloss * s * dpt * pt * (1 - pt) / pt.size


rng = np.random.default_rng(3)
examples = {
    "cross_entropy": {"logits": rng.normal(size=(4, 3)), "labels": np.array([0, 2, 1, 2])},
    "bce_logits": {"logits": rng.normal(size=(3, 4)),
                   "targets": np.array([[0., 1., 1., 0.], [1., 0., 1., 1.], [0., 0., 1., 0.]])},
    "focal": {"logits": rng.normal(size=6), "targets": np.array([1., 0., 1., 1., 0., 0.])},
}
''')

base("nlp_dicts", "NLP code, gradients in dicts", '''
import numpy as np


def embed_forward(tokens, E):
    return E[tokens], {"tokens": tokens, "shape": E.shape}


def embed_backward(dout, cache):
    dE = np.zeros(cache["shape"])
    np.add.at(dE, cache["tokens"], dout)
    return {"E": dE}


def rnn_forward(x, h0, Wx, Wh, b):
    """x (T, N, D), h0 (N, H)"""
    h, hs = h0, [h0]
    for t in range(x.shape[0]):
        h = np.tanh(x[t] @ Wx + h @ Wh + b)
        hs.append(h)
    return np.stack(hs[1:]), {"x": x, "hs": hs, "Wx": Wx, "Wh": Wh}


def rnn_backward(dout, cache):
    x, hs, Wx, Wh = cache["x"], cache["hs"], cache["Wx"], cache["Wh"]
    g = {"x": np.zeros_like(x), "Wx": np.zeros_like(Wx), "Wh": np.zeros_like(Wh),
         "b": np.zeros(Wh.shape[0])}
    dh = np.zeros_like(hs[0])
    for t in reversed(range(x.shape[0])):
        da = (dout[t] + dh) * (1 - hs[t + 1] ** 2)
        g["x"][t] = da @ Wx.T
        g["Wx"] += x[t].T @ da
        g["Wh"] += hs[t].T @ da
        g["b"] += da.sum(0)
        dh = da @ Wh.T
    g["h0"] = dh
    return g


def masked_mean_forward(x, mask):
    """x (N, T, D), mask (N, T)"""
    n = mask.sum(1)
    return (x * mask[:, :, None]).sum(1) / n[:, None], {"mask": mask, "n": n}


def masked_mean_backward(dout, cache):
    w = cache["mask"] / cache["n"][:, None]
    return {"x": w[:, :, None] * dout[:, None, :]}


_r = np.random.default_rng(11)
examples = {
    "embed": (np.array([[0, 2, 2], [4, 0, 1]]), _r.normal(size=(5, 3))),
    "rnn": (_r.normal(size=(3, 2, 3)), _r.normal(size=(2, 4)), 0.5 * _r.normal(size=(3, 4)),
            0.5 * _r.normal(size=(4, 4)), _r.normal(size=4)),
    "masked_mean": {"x": _r.normal(size=(2, 4, 3)),
                    "mask": np.array([[1., 1., 0., 0.], [1., 1., 1., 0.]])},
}
''')

base("rl_losses", "RL research code", '''
"""Losses for the actor and the critic."""
import numpy as np


def _log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def reinforce(logits, actions, returns):
    logp = _log_softmax(logits)
    loss = -(logp[np.arange(len(actions)), actions] * returns).mean()
    return loss, (logp, actions, returns)


def reinforce_backward(dloss, cache):
    logp, actions, returns = cache
    onehot = np.eye(logp.shape[1])[actions]
    dlogits = (np.exp(logp) - onehot) * returns[:, None] / len(actions)
    return {"logits": dloss * dlogits}


def entropy(logits):
    logp = _log_softmax(logits)
    p = np.exp(logp)
    return -(p * logp).sum(1), (p, logp)


def entropy_backward(dH, cache):
    p, logp = cache
    H = -(p * logp).sum(1, keepdims=True)
    return {"logits": -dH[:, None] * p * (logp + H)}


def ppo(logp, old_logp, adv, clip=0.2):
    ratio = np.exp(logp - old_logp)
    a = ratio * adv
    b = np.clip(ratio, 1 - clip, 1 + clip) * adv
    return -np.minimum(a, b).mean(), (ratio, adv, a, b)


def ppo_backward(dloss, cache):
    ratio, adv, a, b = cache
    use = a <= b
    return {"logp": -dloss * np.where(use, adv * ratio, 0.0) / len(adv)}


def gaussian_logp(mean, log_std, actions):
    z = (actions - mean) * np.exp(-log_std)
    lp = -0.5 * z ** 2 - log_std - 0.5 * np.log(2 * np.pi)
    return lp.sum(1), (z, log_std)


def gaussian_logp_backward(dlp, cache):
    z, log_std = cache
    dmean = dlp[:, None] * z * np.exp(-log_std)
    dlog_std = (dlp[:, None] * (z ** 2 - 1)).sum(0)
    return {"mean": dmean, "log_std": dlog_std}


_g = np.random.default_rng(8)
examples = {
    "reinforce": (_g.normal(size=(5, 3)), np.array([0, 1, 2, 2, 1]), _g.normal(size=5)),
    "entropy": (_g.normal(size=(4, 3)),),
    "ppo": (np.array([-1.0, -0.5, -2.0, -0.7, -1.2]), np.array([-1.1, -1.0, -1.4, -0.65, -0.6]),
            np.array([0.8, 1.5, -0.9, -1.2, 0.4])),
    "gaussian_logp": (_g.normal(size=(4, 2)), np.array([-0.4, 0.3]), _g.normal(size=(4, 2))),
}
''')

base("vision_loops", "vision, loops", '''
import numpy as np


def conv_forward(x, w, b, stride=1, pad=1):
    N, C, H, W = x.shape
    K, _, kh, kw = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    Ho = (H + 2 * pad - kh) // stride + 1
    Wo = (W + 2 * pad - kw) // stride + 1
    out = np.zeros((N, K, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            patch = xp[:, :, i * stride:i * stride + kh, j * stride:j * stride + kw]
            out[:, :, i, j] = np.tensordot(patch, w, axes=([1, 2, 3], [1, 2, 3])) + b
    return out, (x, w, xp, stride, pad)


def conv_backward(dout, cache):
    x, w, xp, stride, pad = cache
    H, W = x.shape[2:]
    kh, kw = w.shape[2:]
    dxp = np.zeros_like(xp)
    dw = np.zeros_like(w)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            d = dout[:, :, i, j]
            sl = (slice(None), slice(None), slice(i * stride, i * stride + kh),
                  slice(j * stride, j * stride + kw))
            dxp[sl] += np.tensordot(d, w, axes=(1, 0))
            dw += np.tensordot(d, xp[sl], axes=(0, 0))
    db = dout.sum(axis=(0, 2, 3))
    return dxp[:, :, pad:pad + H, pad:pad + W], dw, db


def maxpool_forward(x):
    N, C, H, W = x.shape
    r = x.reshape(N, C, H // 2, 2, W // 2, 2)
    out = r.max(axis=(3, 5))
    return out, (r, out)


def maxpool_backward(dout, cache):
    r, out = cache
    mask = r == out[:, :, :, None, :, None]
    dr = mask * dout[:, :, :, None, :, None]
    N, C, h, _, w, _ = r.shape
    return dr.reshape(N, C, 2 * h, 2 * w)


def upsample_forward(x):
    return x.repeat(2, axis=2).repeat(2, axis=3), x.shape


def upsample_backward(dout, cache):
    N, C, H, W = cache
    return dout.reshape(N, C, H, 2, W, 2).sum(axis=(3, 5))


def avgpool_global_forward(x):
    return x.mean(axis=(2, 3)), x.shape


def avgpool_global_backward(dout, cache):
    N, C, H, W = cache
    return np.broadcast_to(dout[:, :, None, None], cache) / (H * W)


rs = np.random.RandomState(4)
examples = {
    "conv": (rs.randn(2, 2, 3, 3), rs.randn(2, 2, 3, 3), rs.randn(2)),
    "maxpool": (rs.randn(2, 1, 4, 4),),
    "upsample": (rs.randn(1, 2, 2, 3),),
    "avgpool_global": (rs.randn(2, 2, 3, 3),),
}
''')

base("network_file", "network file with its layers, params and grads in dicts", '''
import numpy as np


class Dense:
    def __init__(self, n_in=3, n_out=4, seed=1):
        r = np.random.RandomState(seed)
        self.params = {"W": r.randn(n_in, n_out) * 0.5, "b": r.randn(n_out) * 0.1}
        self.grads = {"W": np.zeros((n_in, n_out)), "b": np.zeros(n_out)}

    def forward(self, x):
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, dout):
        self.grads["W"] = self.x.T @ dout
        self.grads["b"] = dout.sum(axis=0)
        return dout @ self.params["W"].T


class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dout):
        return dout * (1 - self.y ** 2)


class Residual:
    """y = x + tanh(x W)"""

    def __init__(self, dim=4, seed=2):
        self.params = {"W": np.random.RandomState(seed).randn(dim, dim) * 0.5}
        self.grads = {}

    def forward(self, x):
        self.x = x
        self.h = np.tanh(x @ self.params["W"])
        return x + self.h

    def backward(self, dout):
        da = dout * (1 - self.h ** 2)
        self.grads["W"] = self.x.T @ da
        return dout + da @ self.params["W"].T


class Network:
    def __init__(self):
        self.layers = [Dense(3, 4, seed=3), Tanh(), Residual(4, seed=4), Dense(4, 2, seed=5)]

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dout):
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


_r = np.random.RandomState(9)
examples = {"Dense": (_r.randn(5, 3),), "Tanh": (_r.randn(3, 4),),
            "Residual": (_r.randn(3, 4),), "Network": (_r.randn(4, 3),)}
''')

base("activations_plain", "blog post, f and f_backward of x and the upstream gradient", '''
import numpy as np
from scipy.special import erf


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sigmoid_backward(dout, x):
    s = sigmoid(x)
    return dout * s * (1 - s)


def softplus(x):
    return np.logaddexp(0, x)


def softplus_backward(dout, x):
    return dout * sigmoid(x)


def swish(x):
    return x * sigmoid(x)


def swish_backward(dout, x):
    s = sigmoid(x)
    return dout * (s + x * s * (1 - s))


def gelu(x):
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def gelu_backward(dout, x):
    cdf = 0.5 * (1 + erf(x / np.sqrt(2)))
    pdf = np.exp(-0.5 * x ** 2) / np.sqrt(2 * np.pi)
    return dout * (cdf + x * pdf)


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1))


def elu_backward(dout, x, alpha=1.0):
    return dout * np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0)))
''')

base("audio_filters", "audio processing", '''
import numpy as np


def preemphasis_forward(x, a):
    """y[t] = x[t] - a x[t-1];  x (T,), a (1,)"""
    y = x.copy()
    y[1:] -= a[0] * x[:-1]
    return y, (x, a)


def preemphasis_backward(dy, cache):
    x, a = cache
    dx = dy.copy()
    dx[:-1] -= a[0] * dy[1:]
    da = np.array([-(dy[1:] * x[:-1]).sum()])
    return dx, da


def fir_forward(x, h):
    return np.convolve(x, h, mode="full"), (x, h)


def fir_backward(dy, cache):
    x, h = cache
    return np.correlate(dy, h, mode="valid"), np.correlate(dy, x, mode="valid")


def one_pole_forward(x, a):
    """y[t] = a y[t-1] + (1 - a) x[t]"""
    y = np.zeros_like(x)
    prev = 0.0
    for t in range(len(x)):
        prev = a[0] * prev + (1 - a[0]) * x[t]
        y[t] = prev
    return y, (x, a, y)


def one_pole_backward(dy, cache):
    x, a, y = cache
    dx = np.zeros_like(x)
    da = 0.0
    g = 0.0
    for t in range(len(x) - 1, -1, -1):
        g = dy[t] + a[0] * g
        dx[t] = (1 - a[0]) * g
        da += g * ((y[t - 1] if t > 0 else 0.0) - x[t])
    return dx, np.array([da])


def log_energy_forward(x):
    e = (x ** 2).mean(axis=1) + 1e-3
    return 10 * np.log10(e), (x, e)


def log_energy_backward(dy, cache):
    x, e = cache
    return (dy * 10 / np.log(10) / e)[:, None] * 2 * x / x.shape[1]


_n = np.random.default_rng(21)
examples = {
    "preemphasis": {"x": _n.normal(size=8), "a": np.array([0.9])},
    "fir": {"x": _n.normal(size=7), "h": _n.normal(size=3)},
    "one_pole": {"x": _n.normal(size=6), "a": np.array([0.7])},
    "log_energy": {"x": _n.normal(size=(3, 5))},
}
''')

base("graphics_ops", "graphics, differentiable rendering", '''
import numpy as np


def normalize_forward(v):
    n = np.linalg.norm(v, axis=1, keepdims=True)
    u = v / n
    return u, (u, n)


def normalize_backward(du, cache):
    u, n = cache
    return (du - u * (u * du).sum(axis=1, keepdims=True)) / n


def project_forward(points, focal):
    """points (N, 3), focal (2,)  ->  pixels (N, 2)"""
    X, Y, Z = points.T
    uv = np.stack([focal[0] * X / Z, focal[1] * Y / Z], axis=1)
    return uv, (points, focal)


def project_backward(duv, cache):
    points, focal = cache
    X, Y, Z = points.T
    dX = duv[:, 0] * focal[0] / Z
    dY = duv[:, 1] * focal[1] / Z
    dZ = -(duv[:, 0] * focal[0] * X + duv[:, 1] * focal[1] * Y) / Z ** 2
    df = np.array([(duv[:, 0] * X / Z).sum(), (duv[:, 1] * Y / Z).sum()])
    return np.stack([dX, dY, dZ], axis=1), df


def rigid_forward(points, R, t):
    return points @ R.T + t, (points, R)


def rigid_backward(dq, cache):
    points, R = cache
    return dq @ R, dq.T @ points, dq.sum(axis=0)


def lambert_forward(normals, light, albedo):
    c = normals @ light
    s = np.maximum(c, 0.0)
    return s[:, None] * albedo, (normals, light, albedo, c, s)


def lambert_backward(drgb, cache):
    normals, light, albedo, c, s = cache
    dalbedo = s[:, None] * drgb
    dc = (drgb * albedo).sum(axis=1) * (c > 0)
    return dc[:, None] * light, normals.T @ dc, dalbedo


_r = np.random.default_rng(14)
examples = {
    "normalize": (_r.normal(size=(4, 3)),),
    "project": (_r.normal(size=(5, 3)) + np.array([0., 0., 4.]), np.array([1.5, 1.2])),
    "rigid": (_r.normal(size=(4, 3)), _r.normal(size=(3, 3)), _r.normal(size=3)),
    "lambert": (_r.normal(size=(6, 3)), np.array([0.3, 0.5, 0.8]), _r.uniform(0.2, 0.9, size=(6, 3))),
}
''')

base("vae_pieces", "VAE research code", '''
import numpy as np


def reparameterize_forward(mu, logvar, eps):
    std = np.exp(0.5 * logvar)
    return mu + std * eps, (std, eps)


def reparameterize_backward(dz, cache):
    std, eps = cache
    return {"mu": dz, "logvar": 0.5 * dz * eps * std}


def kl_forward(mu, logvar):
    kl = 0.5 * (mu ** 2 + np.exp(logvar) - 1.0 - logvar).sum(axis=1)
    return kl, (mu, logvar)


def kl_backward(dkl, cache):
    mu, logvar = cache
    d = dkl[:, None]
    return {"mu": d * mu, "logvar": 0.5 * d * (np.exp(logvar) - 1.0)}


def gaussian_nll_forward(mean, logvar, x):
    r = x - mean
    w = np.exp(-logvar)
    nll = 0.5 * (r ** 2 * w + logvar + np.log(2 * np.pi)).sum(axis=1)
    return nll, (r, w)


def gaussian_nll_backward(dnll, cache):
    r, w = cache
    d = dnll[:, None]
    return {"mean": -d * r * w, "logvar": 0.5 * d * (1.0 - r ** 2 * w), "x": d * r * w}
''')

base("attention_class", "transformer from scratch, gradients returned", '''
import numpy as np


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class ScaledDotProduct:
    def forward(self, q, k, v):
        self.scale = 1.0 / np.sqrt(q.shape[-1])
        a = softmax(q @ k.swapaxes(-1, -2) * self.scale)
        self.saved = q, k, v, a
        return a @ v

    def backward(self, dout):
        q, k, v, a = self.saved
        dv = a.swapaxes(-1, -2) @ dout
        da = dout @ v.swapaxes(-1, -2)
        ds = a * (da - (da * a).sum(axis=-1, keepdims=True)) * self.scale
        dq = ds @ k
        dk = ds.swapaxes(-1, -2) @ q
        return dq, dk, dv


class GLU:
    """first half times the sigmoid of the second half"""

    def forward(self, x):
        a, g = np.split(x, 2, axis=-1)
        s = 1 / (1 + np.exp(-g))
        self.saved = a, s
        return a * s

    def backward(self, dout):
        a, s = self.saved
        return np.concatenate([dout * s, dout * a * s * (1 - s)], axis=-1)


class Bilinear:
    def forward(self, x, W, y):
        self.saved = x, W, y
        return np.einsum("ni,ij,nj->n", x, W, y)

    def backward(self, dout):
        x, W, y = self.saved
        dx = dout[:, None] * (y @ W.T)
        dW = np.einsum("n,ni,nj->ij", dout, x, y)
        dy = dout[:, None] * (x @ W)
        return dx, dW, dy


_r = np.random.default_rng(30)
examples = {
    "ScaledDotProduct": (_r.normal(size=(2, 3, 4)), _r.normal(size=(2, 3, 4)), _r.normal(size=(2, 3, 2))),
    "GLU": (_r.normal(size=(3, 6)),),
    "Bilinear": (_r.normal(size=(4, 3)), _r.normal(size=(3, 3)), _r.normal(size=(4, 3))),
}
''')

base("plain_layers", "course homework, layers without examples", '''
import numpy as np


def linear_forward(x, W, b):
    out = np.dot(x, W) + b
    cache = (x, W, b)
    return out, cache


def linear_backward(dout, cache):
    x, W, b = cache
    dx = np.dot(dout, W.T)
    dW = np.dot(x.T, dout)
    db = np.sum(dout, axis=0)
    return dx, dW, db


def relu_forward(x):
    return np.maximum(x, 0), x


def relu_backward(dout, cache):
    x = cache
    return dout * (x > 0)


def layernorm_forward(x, gamma, beta, eps=1e-5):
    mu = np.mean(x, axis=1, keepdims=True)
    var = np.var(x, axis=1, keepdims=True)
    rstd = 1.0 / np.sqrt(var + eps)
    xhat = (x - mu) * rstd
    return gamma * xhat + beta, (xhat, rstd, gamma)


def layernorm_backward(dout, cache):
    xhat, rstd, gamma = cache
    dgamma = np.sum(dout * xhat, axis=0)
    dbeta = np.sum(dout, axis=0)
    g = dout * gamma
    dx = rstd * (g - g.mean(axis=1, keepdims=True) - xhat * (g * xhat).mean(axis=1, keepdims=True))
    return dx, dgamma, dbeta
''')

base("recsys", "recommender system code", '''
import numpy as np


def mf_score_forward(P, Q, bias):
    """P (N, K) user factors, Q (N, K) item factors, bias (N,)"""
    return (P * Q).sum(axis=1) + bias, (P, Q)


def mf_score_backward(ds, cache):
    P, Q = cache
    return ds[:, None] * Q, ds[:, None] * P, ds


def bpr_forward(pos, neg):
    d = pos - neg
    return np.mean(np.logaddexp(0, -d)), d


def bpr_backward(dloss, cache):
    d = cache
    g = -dloss / (1 + np.exp(d)) / d.size
    return g, -g


def fm_forward(x, w, V):
    """factorisation machine, x (N, D), w (D,), V (D, K)"""
    s = x @ V
    inter = 0.5 * (s ** 2 - x ** 2 @ V ** 2).sum(axis=1)
    return x @ w + inter, (x, w, V, s)


def fm_backward(dy, cache):
    x, w, V, s = cache
    dw = x.T @ dy
    d = dy[:, None]
    dx = d * (w + s @ V.T - x * (V ** 2).sum(axis=1))
    dV = x.T @ (d * s) - V * ((x ** 2).T @ dy)[:, None]
    return dx, dw, dV


_k = np.random.RandomState(77)
examples = {
    "mf_score": (_k.randn(4, 3), _k.randn(4, 3), _k.randn(4)),
    "bpr": (_k.randn(5), _k.randn(5)),
    "fm": (_k.randn(4, 3), _k.randn(3), _k.randn(3, 2)),
}
''')

base("finance", "quantitative finance", '''
import numpy as np


def portfolio_forward(theta, returns):
    """softmax weights;  theta (A,), returns (T, A) -> (T,)"""
    w = np.exp(theta - theta.max())
    w = w / w.sum()
    return returns @ w, {"w": w, "returns": returns}


def portfolio_backward(dy, cache):
    w, R = cache["w"], cache["returns"]
    dw = R.T @ dy
    return {"theta": w * (dw - w @ dw), "returns": np.outer(dy, w)}


def sharpe_forward(r):
    m, s = r.mean(), r.std()
    return m / s, {"r": r, "m": m, "s": s}


def sharpe_backward(dy, cache):
    r, m, s = cache["r"], cache["m"], cache["s"]
    n = r.size
    return {"r": dy * (1 / s - m * (r - m) / s ** 3) / n}


def present_value_forward(cash, rate):
    """cash (N, T), rate (N,), payments at 1..T"""
    t = np.arange(1, cash.shape[1] + 1)
    disc = (1 + rate[:, None]) ** -t
    return (cash * disc).sum(axis=1), {"cash": cash, "rate": rate, "t": t, "disc": disc}


def present_value_backward(dy, cache):
    disc, t = cache["disc"], cache["t"]
    drate = -dy * (cache["cash"] * t * disc).sum(axis=1) / (1 + cache["rate"])
    return {"cash": dy[:, None] * disc, "rate": drate}


_q = np.random.default_rng(55)
examples = {
    "portfolio": {"theta": _q.normal(size=4), "returns": _q.normal(size=(5, 4))},
    "sharpe": {"r": 0.3 + _q.normal(size=7)},
    "present_value": {"cash": _q.normal(size=(3, 4)), "rate": np.array([0.05, 0.1, 0.2])},
}
''')

base("graph_net", "graph neural network code", '''
import numpy as np


def gcn_forward(A, H, W):
    AH = A @ H
    return AH @ W, (A, H, W, AH)


def gcn_backward(dout, cache):
    A, H, W, AH = cache
    dAH = dout @ W.T
    return dAH @ H.T, A.T @ dAH, AH.T @ dout


def segment_sum_forward(H, index):
    out = np.zeros((index.max() + 1, H.shape[1]))
    for i, s in enumerate(index):
        out[s] += H[i]
    return out, index


def segment_sum_backward(dout, cache):
    return dout[cache]


examples = {
    "gcn": (np.array([[.5, .5, 0.], [.3, .3, .4], [0., .2, .8]]),
            np.random.RandomState(1).randn(3, 4), np.random.RandomState(2).randn(4, 2)),
    "segment_sum": {"H": np.random.RandomState(3).randn(5, 2), "index": np.array([0, 1, 0, 2, 1])},
}
''')

base("modules_plain", "student's classes, gradients in grad_W, no examples", '''
import numpy as np


class Linear:
    def __init__(self, in_features=4, out_features=3):
        rng = np.random.default_rng(0)
        self.W = rng.standard_normal((in_features, out_features)) * 0.4
        self.b = rng.standard_normal(out_features) * 0.1
        self.grad_W = None
        self.grad_b = None

    def forward(self, x):
        self.input = x
        return x @ self.W + self.b

    def backward(self, grad):
        self.grad_W = self.input.T @ grad
        self.grad_b = np.ones(len(grad)) @ grad
        return grad @ self.W.T


class ReLU:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, grad):
        return grad * self.mask


class Scale:
    def __init__(self, features=4):
        self.s = np.linspace(0.5, 2.0, features)

    def forward(self, x):
        self.input = x
        return x * self.s

    def backward(self, grad):
        self.grad_s = (grad * self.input).sum(axis=0)
        return grad * self.s
''')

# (base, name, old, new, slip, wrong, causes)
W = [
 ("cs231n_layers", "bn_dvar", "2.0 * xc * dvar / N", "xc * dvar / N", "the 2 of d(xc^2) is missing in the path through the variance", ("batchnorm.x",), ("missing-term", "factor", "elementwise-factor")),
 ("cs231n_layers", "affine_db", "db = dout.sum(axis=0)\n    return dx, dw", "db = dout.mean(axis=0)\n    return dx, dw", "db is the mean over the batch; should be the sum", ("affine.b",), ("factor", "batch-sum")),
 ("torchlike_modules", "softmax_diag", "self.p * (grad_out - inner)", "self.p * (1 - self.p) * grad_out", "only the diagonal of softmax's Jacobian; should be p * (g - sum(g p))", ("Softmax.x",), ("missing-term", "elementwise-factor")),
 ("torchlike_modules", "rms_gain", "u = grad_out * self.g", "u = grad_out", "the gain g is left out of dx", ("RMSNorm.x",), ("elementwise-factor",)),
 ("losses_plain", "mse_two", "return 2.0 * (pred - target) / pred.size", "return (pred - target) / pred.size", "the 2 is missing", ("mse_loss.pred",), ("factor",)),
 ("losses_plain", "logcosh_batch", "np.tanh(pred - target) / pred.size", "np.tanh(pred - target)", "the 1/size of the mean is missing", ("log_cosh_loss.pred",), ("factor",)),
 ("losses_examples", "focal_slope", "dloss * s * dpt * pt * (1 - pt) / pt.size", "dloss * s * dpt / pt.size", "the sigmoid's slope pt (1 - pt) is missing", ("focal.logits",), ("elementwise-factor",)),
 ("losses_examples", "bce_upstream", "dloss[:, None] * (p - targets)", "dloss[:, None] * (targets - p)", "targets - p for p - targets", ("bce_logits.logits",), ("sign",)),
 ("nlp_dicts", "embed_dup", 'np.add.at(dE, cache["tokens"], dout)', 'dE[cache["tokens"]] += dout', "+= with repeated tokens keeps only the last one; np.add.at would be right", ("embed.E",), ("missing-term", "batch-sum")),
 ("nlp_dicts", "rnn_wh", 'g["Wh"] += hs[t].T @ da', 'g["Wh"] += hs[t + 1].T @ da', "hs[t+1] (the state after) for hs[t] (the state before)", ("rnn.Wh",), ("unknown", "elementwise-factor")),
 ("rl_losses", "entropy_h", "p * (logp + H)", "p * (logp + 1)", "the derivative of the unnormalised -p log p; the softmax's centring is missing (H for 1)", ("entropy.logits",), ("missing-term",)),
 ("rl_losses", "ppo_ratio", "np.where(use, adv * ratio, 0.0)", "np.where(use, adv, 0.0)", "the ratio (slope of exp) is missing", ("ppo.logp",), ("elementwise-factor",)),
 ("vision_loops", "conv_dx_assign", "dxp[sl] += np", "dxp[sl] = np", "overlapping windows are overwritten, not summed", ("conv.x",), ("missing-term",)),
 ("vision_loops", "conv_db", "db = dout.sum(axis=(0, 2, 3))", "db = dout[0].sum(axis=(1, 2))", "db only from the first picture", ("conv.b",), ("batch-sum", "missing-term")),
 ("network_file", "accumulate_w", 'self.grads["W"] = self.x.T @ dout', 'self.grads["W"] += self.x.T @ dout', "dW is added to the last one and nobody sets it to zero", ("Dense.W", "Network.W"), ("accumulates",)),
 ("network_file", "residual_skip", 'return dout + da @ self', 'return da @ self', "the skip's path is missing in dx", ("Residual.x", "Network.x"), ("missing-term",)),
 ("activations_plain", "gelu_term", "dout * (cdf + x * pdf)", "dout * (cdf + pdf)", "x is missing before the density", ("gelu.x",), ("elementwise-factor", "missing-term")),
 ("activations_plain", "swish_product", "dout * (s + x * s * (1 - s))", "dout * (x * s * (1 - s))", "first term of the product rule is missing", ("swish.x",), ("missing-term", "elementwise-factor")),
 ("audio_filters", "onepole_da", "if t > 0 else 0.0) - x[t])", "if t > 0 else 0.0))", "the path through (1 - a) x is missing in da", ("one_pole.a",), ("missing-term",)),
 ("graphics_ops", "rigid_R", "dq.T @ points, dq.sum", "points.T @ dq, dq.sum", "dR is transposed", ("rigid.R",), ("transpose",)),
 ("vae_pieces", "reparam_half", '"logvar": 0.5 * dz * eps * std}', '"logvar": 0.5 * dz * eps}', "std is missing in dlogvar", ("reparameterize.logvar",), ("elementwise-factor",)),
 ("attention_class", "bilinear_dy", "dy = dout[:, None] * (x @ W)", "dy = dout[:, None] * (x @ W.T)", "W.T for W in dy", ("Bilinear.y",), ("transpose",)),
 ("plain_layers", "ln_mean", "(g - g.mean(axis=1, keepdims=True) - xhat", "(g - xhat", "the path through the mean is missing", ("layernorm.x",), ("missing-term",)),
 ("modules_plain", "scale_inplace", "self.input = x\n        return x * self.s", "self.input = x\n        x *= self.s\n        return x", "x *= s writes into the caller's x (and the saved one); should be x * s", ("Scale.x", "Scale.s"), ("mutates-input", "elementwise-factor")),
]
# the right items: bases as they are, and legitimate variations
R = [
 ("recsys", []), ("finance", []), ("graph_net", []), ("modules_plain", []), ("vae_pieces", []),
 ("attention_class", []), ("audio_filters", []), ("graphics_ops", []), ("rl_losses", []), ("network_file", []),
 ("activations_plain", [("dout * (s + x * s * (1 - s))", "dout * (swish(x) + s * (1 - swish(x)))")]),
 ("losses_plain", [("np.tanh(pred - target) / pred.size", "(1 - 2 / (np.exp(2 * (pred - target)) + 1)) / pred.size")]),
 ("plain_layers", [("np.sum(dout, axis=0)\n    return dx, dW", "np.einsum('ij->j', dout)\n    return dx, dW"), ("dW = np.dot(x.T, dout)", "dW = np.einsum('ni,nj->ij', x, dout)")]),
 ("vision_loops", [("return np.broadcast_to(dout[:, :, None, None], cache) / (H * W)", "return np.full(cache, 1.0 / (H * W)) * dout[:, :, None, None]")]),
 ("cs231n_layers", [("    dmu = -dxc.sum(axis=0)\n    dx = dxc + dmu / N\n", "    dx = dxc - dxc.mean(axis=0)\n")]),
]


def sub(src, old, new):
    assert src.count(old) == 1, (src.count(old), old)
    return src.replace(old, new)


def _src(text):
    return lambda: {"source": text}


ITEMS = []
for b, n, old, new, slip, wrong, causes in W:
    ITEMS.append(Item("twelfth_" + b + "_" + n, STYLE[b], "file", _src(sub(F[b], old, new)), False, slip, wrong, causes))
for b, subs in R:
    s = F[b]
    for old, new in subs:
        s = sub(s, old, new)
    ITEMS.append(Item("twelfth_" + b + "_right", STYLE[b], "file", _src(s), True))
