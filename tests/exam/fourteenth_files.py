"""Items of check "file": ten students' files, each right once, and eighteen copies with one slip."""
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


def _right(name, style, text):
    ITEMS.append(Item(name, style, "file", lambda: {"source": text}, True))


def _wrong(name, style, text, old, new, slip, wrong, causes):
    assert text.count(old) == 1, (name, text.count(old))
    slipped = text.replace(old, new)
    assert slipped != text
    ITEMS.append(Item(name, style, "file", lambda: {"source": slipped}, False, slip, wrong, causes))


# ---------------------------------------------------------------- 1. homework
HOMEWORK = '''import numpy as np


def affine_forward(x, w, b):
    """x: (N, D), w: (D, M), b: (M,)"""
    out = x.dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T)
    dw = x.T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db


def relu_forward(x):
    out = np.maximum(0, x)
    return out, x


def relu_backward(dout, cache):
    x = cache
    return dout * (x > 0)


def layernorm_forward(x, gamma, beta, eps=1e-5):
    """Normalise every row of x (N, D)."""
    mu = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    inv_std = 1.0 / np.sqrt(var + eps)
    x_hat = (x - mu) * inv_std
    out = gamma * x_hat + beta
    cache = (x_hat, gamma, inv_std)
    return out, cache


def layernorm_backward(dout, cache):
    x_hat, gamma, inv_std = cache
    dbeta = dout.sum(axis=0)
    dgamma = (dout * x_hat).sum(axis=0)
    dx_hat = dout * gamma
    m1 = dx_hat.mean(axis=1, keepdims=True)
    m2 = (dx_hat * x_hat).mean(axis=1, keepdims=True)
    dx = inv_std * (dx_hat - m1 - x_hat * m2)
    return dx, dgamma, dbeta
'''
S = "CS231n assignment"
_right("homework_right", S, HOMEWORK)
_wrong("homework_layernorm_m2", S, HOMEWORK, "m2 = (dx_hat * x_hat).mean(", "m2 = (dout * x_hat).mean(",
       "layernorm: the second mean is taken of dout * x_hat; right: dx_hat * x_hat (gamma is missing in it)",
       ("layernorm.x",), ("missing-term", "elementwise-factor"))
_wrong("homework_affine_db_mean", S, HOMEWORK, "db = np.sum(dout, axis=0)", "db = np.mean(dout, axis=0)",
       "affine: db is the mean over the batch; right: the sum", ("affine.b",), ("factor", "batch-sum"))

# ---------------------------------------------------------------- 2. layer library
LIBRARY = '''import numpy as np


class Linear:
    def __init__(self, in_features, out_features, seed=0):
        rng = np.random.default_rng(seed)
        self.W = rng.normal(size=(in_features, out_features)) / np.sqrt(in_features)
        self.b = 0.1 * rng.normal(size=out_features)
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, grad_out):
        self.dW = self.x.T @ grad_out
        self.db = grad_out.sum(axis=0)
        return grad_out @ self.W.T


class LeakyReLU:
    def __init__(self, slope=0.1):
        self.slope = slope

    def forward(self, x):
        self.mask = x > 0
        return np.where(self.mask, x, self.slope * x)

    def backward(self, grad_out):
        return np.where(self.mask, grad_out, self.slope * grad_out)


class BatchNorm1d:
    def __init__(self, num_features, eps=1e-5):
        self.eps = eps
        self.gamma = np.linspace(0.6, 1.5, num_features)
        self.beta = np.linspace(-0.3, 0.4, num_features)

    def forward(self, x):
        mean = x.mean(axis=0)
        self.std = np.sqrt(x.var(axis=0) + self.eps)
        self.x_hat = (x - mean) / self.std
        return self.gamma * self.x_hat + self.beta

    def backward(self, grad_out):
        n = grad_out.shape[0]
        self.dgamma = np.sum(grad_out * self.x_hat, axis=0)
        self.dbeta = np.sum(grad_out, axis=0)
        g = grad_out * self.gamma
        return (n * g - g.sum(axis=0) - self.x_hat * np.sum(g * self.x_hat, axis=0)) / (n * self.std)


_rng = np.random.default_rng(3)
examples = {
    "Linear": {"init": {"in_features": 4, "out_features": 3}, "x": _rng.normal(size=(5, 4))},
    "LeakyReLU": {"init": {"slope": 0.1}, "x": _rng.normal(size=(5, 3))},
    "BatchNorm1d": {"init": {"num_features": 3}, "x": 1.5 * _rng.normal(size=(6, 3)) + 0.7},
}
'''
S = "layer library on GitHub"
_right("library_right", S, LIBRARY)
_wrong("library_linear_accumulates", S, LIBRARY, "self.dW = self.x.T @ grad_out", "self.dW += self.x.T @ grad_out",
       "Linear: dW is added to the one before and nothing ever clears it; right: dW = (as db)", ("Linear.W",), ("accumulates",))
_wrong("library_batchnorm_std", S, LIBRARY, "axis=0)) / (n * self.std)", "axis=0)) / (n * self.std ** 2)",
       "BatchNorm1d: dx is divided by the variance; right: by the standard deviation", ("BatchNorm1d.x",), ("elementwise-factor",))

# ---------------------------------------------------------------- 3. RL utilities
RL = '''import numpy as np


def log_softmax(z):
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def gaussian_logprob_forward(mu, log_std, action):
    """Diagonal Gaussian policy: mu (B, A), log_std (A,), action (B, A) -> (B,)"""
    std = np.exp(log_std)
    z = (action - mu) / std
    logp = np.sum(-0.5 * z ** 2 - log_std - 0.5 * np.log(2 * np.pi), axis=1)
    return logp, (z, std)


def gaussian_logprob_backward(dlogp, cache):
    z, std = cache
    dmu = dlogp[:, None] * z / std
    dlog_std = np.sum(dlogp[:, None] * (z ** 2 - 1.0), axis=0)
    daction = -dmu
    return dmu, dlog_std, daction


def ppo_loss_forward(logp, old_logp, adv, clip_eps=0.2):
    ratio = np.exp(logp - old_logp)
    clipped = np.clip(ratio, 1 - clip_eps, 1 + clip_eps)
    active = ratio * adv <= clipped * adv
    loss = -np.mean(np.minimum(ratio * adv, clipped * adv))
    return loss, (ratio, clipped, active, adv)


def ppo_loss_backward(dloss, cache):
    ratio, clipped, active, adv = cache
    n = len(adv)
    dlogp = -dloss * ratio * adv * active / n
    dold_logp = -dlogp
    dadv = -dloss * np.where(active, ratio, clipped) / n
    return dlogp, dold_logp, dadv


def entropy_bonus_forward(logits):
    logp = log_softmax(logits)
    p = np.exp(logp)
    ent = -np.sum(p * logp, axis=1)
    return ent, (p, logp, ent)


def entropy_bonus_backward(dent, cache):
    p, logp, ent = cache
    return -dent[:, None] * p * (logp + ent[:, None])


_rng = np.random.default_rng(11)
_old = np.array([-1.1, -0.7, -2.0, -1.4, -0.9, -1.6])
examples = {
    "gaussian_logprob": {"mu": _rng.normal(size=(5, 2)), "log_std": np.array([-0.4, 0.3]), "action": _rng.normal(size=(5, 2))},
    "ppo_loss": {"logp": _old + np.array([0.5, -0.4, 0.05, 0.6, -0.5, -0.1]), "old_logp": _old,
                 "adv": np.array([1.2, -0.8, 0.7, -1.5, 0.9, 0.4])},
    "entropy_bonus": {"logits": _rng.normal(size=(4, 3))},
}
'''
S = "RL utilities of a PPO reimplementation"
_right("rl_right", S, RL)
_wrong("rl_ppo_clip_mask", S, RL, "ratio * adv * active / n", "ratio * adv / n",
       "ppo_loss: the gradient flows through clipped samples too; right: * active", ("ppo_loss.logp", "ppo_loss.old_logp"),
       ("elementwise-factor", "missing-term"))
_wrong("rl_entropy_no_entropy_term", S, RL, "p * (logp + ent[:, None])", "p * (logp + 1.0)",
       "entropy_bonus: -p (log p + 1) is the gradient by p times p, the softmax's mean is not taken off; right: -p (log p + H)",
       ("entropy_bonus.logits",), ("missing-term", "elementwise-factor"))

# ---------------------------------------------------------------- 4. NLP layers
NLP = '''import numpy as np


def embedding_forward(tokens, weight):
    """tokens (B, T) int, weight (V, E) -> (B, T, E)"""
    return weight[tokens], (tokens, weight.shape)


def embedding_backward(dout, cache):
    tokens, shape = cache
    dweight = np.zeros(shape)
    np.add.at(dweight, tokens, dout)
    return {"weight": dweight}


def attention_forward(q, k, v):
    """Causal single-head attention; q, k (T, E), v (T, F)."""
    scale = 1.0 / np.sqrt(q.shape[-1])
    scores = q @ k.T * scale
    T = scores.shape[0]
    scores = np.where(np.tril(np.ones((T, T), dtype=bool)), scores, -1e9)
    a = np.exp(scores - scores.max(axis=-1, keepdims=True))
    a = a / a.sum(axis=-1, keepdims=True)
    return a @ v, (q, k, v, a, scale)


def attention_backward(dout, cache):
    q, k, v, a, scale = cache
    dv = a.T @ dout
    da = dout @ v.T
    ds = a * (da - np.sum(da * a, axis=-1, keepdims=True))
    dq = ds @ k * scale
    dk = ds.T @ q * scale
    return {"q": dq, "k": dk, "v": dv}


def masked_mean_forward(h, mask):
    """Mean over the real tokens: h (B, T, E), mask (B, T) of 0 and 1."""
    lengths = mask.sum(axis=1)
    out = (h * mask[:, :, None]).sum(axis=1) / lengths[:, None]
    return out, (mask, lengths)


def masked_mean_backward(dout, cache):
    mask, lengths = cache
    dh = mask[:, :, None] * (dout / lengths[:, None])[:, None, :]
    return {"h": dh}


_rng = np.random.default_rng(5)
examples = {
    "embedding": {"tokens": np.array([[1, 4, 1], [0, 2, 4]]), "weight": _rng.normal(size=(6, 3))},
    "attention": {"q": _rng.normal(size=(4, 3)), "k": _rng.normal(size=(4, 3)), "v": _rng.normal(size=(4, 2))},
    "masked_mean": {"h": _rng.normal(size=(3, 4, 2)), "mask": np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]])},
}
'''
S = "NLP layers of a seminar repository"
_right("nlp_right", S, NLP)
_wrong("nlp_embedding_repeats", S, NLP, "np.add.at(dweight, tokens, dout)", "dweight[tokens] += dout",
       "embedding: fancy-index += keeps one of the rows of a token that occurs twice; right: np.add.at", ("embedding.weight",),
       ("batch-sum", "missing-term"))
_wrong("nlp_attention_dk_query", S, NLP, "dk = ds.T @ q * scale", "dk = ds @ q * scale",
       "attention: dk = ds q; right: ds.T q", ("attention.k",), ("transpose",))

# ---------------------------------------------------------------- 5. vision layers
VISION = '''import numpy as np


def conv2d_forward(x, w, b, pad=1):
    """x (N, C, H, W), w (F, C, 3, 3), b (F,); stride 1"""
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    N, C, H, W = x.shape
    F, _, kh, kw = w.shape
    Ho, Wo = H + 2 * pad - kh + 1, W + 2 * pad - kw + 1
    out = np.zeros((N, F, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            patch = xp[:, :, i:i + kh, j:j + kw]
            out[:, :, i, j] = np.tensordot(patch, w, axes=([1, 2, 3], [1, 2, 3])) + b
    return out, (xp, w, pad)


def conv2d_backward(dout, cache):
    xp, w, pad = cache
    kh, kw = w.shape[2:]
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            g = dout[:, :, i, j]
            dw += np.tensordot(g, xp[:, :, i:i + kh, j:j + kw], axes=([0], [0]))
            dxp[:, :, i:i + kh, j:j + kw] += np.tensordot(g, w, axes=([1], [0]))
    db = dout.sum(axis=(0, 2, 3))
    return dxp[:, :, pad:-pad, pad:-pad], dw, db


def maxpool_forward(x, size=2, stride=1):
    N, C, H, W = x.shape
    Ho, Wo = (H - size) // stride + 1, (W - size) // stride + 1
    out = np.zeros((N, C, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            a, b = i * stride, j * stride
            out[:, :, i, j] = x[:, :, a:a + size, b:b + size].max(axis=(2, 3))
    return out, (x, out, size, stride)


def maxpool_backward(dout, cache):
    x, out, size, stride = cache
    dx = np.zeros_like(x)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            a, b = i * stride, j * stride
            hit = x[:, :, a:a + size, b:b + size] == out[:, :, i, j][:, :, None, None]
            dx[:, :, a:a + size, b:b + size] += hit * dout[:, :, i, j][:, :, None, None]
    return dx


_rng = np.random.default_rng(8)
examples = {
    "conv2d": (_rng.normal(size=(2, 2, 3, 4)), _rng.normal(size=(2, 2, 3, 3)), np.array([0.3, -0.2])),
    "maxpool": {"x": _rng.normal(size=(2, 2, 3, 4))},
}
'''
S = "CNN from scratch, blog post"
_right("vision_right", S, VISION)
_wrong("vision_conv_flipped", S, VISION, "np.tensordot(g, w, axes", "np.tensordot(g, w[:, :, ::-1, ::-1], axes",
       "conv2d: the kernel is flipped in the scattering form of dx; right: w as it is", ("conv2d.x",), ("transpose",))
_wrong("vision_maxpool_overwrites", S, VISION, "b:b + size] += hit", "b:b + size] = hit",
       "maxpool: overlapping windows overwrite each other; right: +=", ("maxpool.x",), ("missing-term", "zero", "elementwise-factor"))

# ---------------------------------------------------------------- 6. losses
LOSSES = '''import numpy as np


def _softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def smooth_cross_entropy_forward(logits, labels, smoothing=0.2):
    """Cross entropy with label smoothing, mean over the batch."""
    B, K = logits.shape
    p = _softmax(logits)
    t = np.full((B, K), smoothing / K)
    t[np.arange(B), labels] += 1.0 - smoothing
    loss = -np.sum(t * np.log(p)) / B
    return loss, (p, t, labels)


def smooth_cross_entropy_backward(dloss, cache):
    p, t, labels = cache
    B = p.shape[0]
    dlogits = p - t
    return {"logits": dloss * dlogits / B}


def huber_forward(pred, target, delta=0.5):
    err = pred - target
    small = np.abs(err) <= delta
    loss = np.where(small, 0.5 * err ** 2, delta * (np.abs(err) - 0.5 * delta))
    return loss.mean(), (err, small, delta)


def huber_backward(dloss, cache):
    err, small, delta = cache
    dpred = dloss * np.where(small, err, delta * np.sign(err)) / err.size
    return {"pred": dpred, "target": -dpred}


def cosine_loss_forward(a, b):
    """1 - cos(a, b) for every row"""
    na = np.linalg.norm(a, axis=1, keepdims=True)
    nb = np.linalg.norm(b, axis=1, keepdims=True)
    cos = np.sum(a * b, axis=1, keepdims=True) / (na * nb)
    return 1.0 - cos[:, 0], (a, b, na, nb, cos)


def cosine_loss_backward(dloss, cache):
    a, b, na, nb, cos = cache
    g = dloss[:, None]
    da = -g * (b / (na * nb) - cos * a / na ** 2)
    db = -g * (a / (na * nb) - cos * b / nb ** 2)
    return {"a": da, "b": db}


_rng = np.random.default_rng(21)
examples = {
    "smooth_cross_entropy": {"logits": _rng.normal(size=(5, 4)), "labels": np.array([2, 0, 3, 3, 1])},
    "huber": {"pred": _rng.normal(size=(4, 3)), "target": _rng.normal(size=(4, 3))},
    "cosine_loss": {"a": _rng.normal(size=(4, 3)), "b": _rng.normal(size=(4, 3))},
}
'''
S = "loss collection, gist"
_right("losses_right", S, LOSSES)
_wrong("losses_smoothing_onehot", S, LOSSES, "dlogits = p - t\n", "dlogits = p.copy(); dlogits[np.arange(B), labels] -= 1.0\n",
       "smooth_cross_entropy: the gradient of the unsmoothed loss, p - onehot; right: p - t", ("smooth_cross_entropy.logits",),
       ("missing-term",))

# ---------------------------------------------------------------- 7. recurrent cells
RECURRENT = '''import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b):
    H = h_prev.shape[1]
    a = x @ Wx + h_prev @ Wh + b
    i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H:2 * H]), sigmoid(a[:, 2 * H:3 * H])
    g = np.tanh(a[:, 3 * H:])
    c = f * c_prev + i * g
    tc = np.tanh(c)
    h = o * tc
    return h, (x, h_prev, c_prev, Wx, Wh, i, f, o, g, tc)


def lstm_step_backward(dh, cache):
    x, h_prev, c_prev, Wx, Wh, i, f, o, g, tc = cache
    dc = dh * o * (1 - tc ** 2)
    di = dc * g * i * (1 - i)
    df = dc * c_prev * f * (1 - f)
    do = dh * tc * o * (1 - o)
    dg = dc * i * (1 - g ** 2)
    da = np.hstack([di, df, do, dg])
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, h_prev.T @ da, da.sum(axis=0)


def gru_step_forward(x, h_prev, W, U):
    """W (D, 3H), U (H, 3H); gates in the order z, r, n; no biases"""
    H = h_prev.shape[1]
    xw = x @ W
    hu = h_prev @ U
    z = sigmoid(xw[:, :H] + hu[:, :H])
    r = sigmoid(xw[:, H:2 * H] + hu[:, H:2 * H])
    n = np.tanh(xw[:, 2 * H:] + r * hu[:, 2 * H:])
    h = (1 - z) * n + z * h_prev
    return h, (x, h_prev, W, U, z, r, n, hu[:, 2 * H:])


def gru_step_backward(dh, cache):
    x, h_prev, W, U, z, r, n, hn = cache
    dz = dh * (h_prev - n) * z * (1 - z)
    dn = dh * (1 - z) * (1 - n ** 2)
    dr = dn * hn * r * (1 - r)
    dxw = np.hstack([dz, dr, dn])
    dhu = np.hstack([dz, dr, dn * r])
    dh_prev = dhu @ U.T + dh * z
    return dxw @ W.T, dh_prev, x.T @ dxw, h_prev.T @ dhu


_rng = np.random.default_rng(13)
_n = lambda *s: 0.7 * _rng.normal(size=s)
examples = {
    "lstm_step": {"x": _n(4, 3), "h_prev": _n(4, 2), "c_prev": _n(4, 2), "Wx": _n(3, 8), "Wh": _n(2, 8), "b": _n(8)},
    "gru_step": (_n(4, 3), _n(4, 2), _n(3, 6), _n(2, 6)),
}
'''
S = "RNN cells in NumPy, course project"
_right("recurrent_right", S, RECURRENT)
_wrong("recurrent_gru_carry", S, RECURRENT, "dh_prev = dhu @ U.T + dh * z", "dh_prev = dhu @ U.T",
       "gru_step: the direct path z * h_prev is forgotten in dh_prev; right: + dh * z", ("gru_step.h_prev",), ("missing-term",))
_wrong("recurrent_lstm_gate_order", S, RECURRENT, "da = np.hstack([di, df, do, dg])", "da = np.hstack([di, df, dg, do])",
       "lstm_step: the gates are stacked i f g o, the forward has i f o g; right: [di, df, do, dg]",
       ("lstm_step.x", "lstm_step.h_prev", "lstm_step.Wx", "lstm_step.Wh", "lstm_step.b"), ("transpose",))

# ---------------------------------------------------------------- 8. VAE pieces
VAE = '''import numpy as np


def reparameterize_forward(mu, logvar, eps):
    std = np.exp(0.5 * logvar)
    z = mu + std * eps
    return z, (std, eps)


def reparameterize_backward(dz, cache):
    std, eps = cache
    dmu = dz
    dlogvar = dz * eps * 0.5 * std
    deps = dz * std
    return {"mu": dmu, "logvar": dlogvar, "eps": deps}


def kl_two_gaussians_forward(mu_q, logvar_q, mu_p, logvar_p):
    """KL(q || p) of diagonal Gaussians, (B, Z) each -> (B,)"""
    diff = mu_q - mu_p
    inv_p = np.exp(-logvar_p)
    ratio = np.exp(logvar_q) * inv_p
    kl = 0.5 * np.sum(logvar_p - logvar_q + ratio + diff ** 2 * inv_p - 1.0, axis=1)
    return kl, (diff, inv_p, ratio)


def kl_two_gaussians_backward(dkl, cache):
    diff, inv_p, ratio = cache
    g = dkl[:, None]
    dmu_q = g * diff * inv_p
    dmu_p = -g * diff * inv_p
    dlogvar_q = 0.5 * g * (ratio - 1.0)
    dlogvar_p = 0.5 * g * (1.0 - ratio - diff ** 2 * inv_p)
    return {"mu_q": dmu_q, "logvar_q": dlogvar_q, "mu_p": dmu_p, "logvar_p": dlogvar_p}


def gaussian_nll_forward(x, mean, log_sigma):
    """x, mean (B, D), one log_sigma a pixel (D,) -> (B,)"""
    r = (x - mean) * np.exp(-log_sigma)
    nll = np.sum(0.5 * r ** 2 + log_sigma + 0.5 * np.log(2 * np.pi), axis=1)
    return nll, (r, log_sigma)


def gaussian_nll_backward(dnll, cache):
    r, log_sigma = cache
    g = dnll[:, None]
    dx = g * r * np.exp(-log_sigma)
    dlog_sigma = np.sum(g * (1.0 - r ** 2), axis=0)
    return {"x": dx, "mean": -dx, "log_sigma": dlog_sigma}
'''
S = "VAE research repository"
_right("vae_right", S, VAE)
_wrong("vae_kl_prior_mean_sign", S, VAE, "dmu_p = -g * diff * inv_p", "dmu_p = g * diff * inv_p",
       "kl_two_gaussians: dmu_p has the sign of dmu_q; right: -g diff / var_p", ("kl_two_gaussians.mu_p",), ("sign",))
_wrong("vae_nll_sigma_unweighted", S, VAE, "np.sum(g * (1.0 - r ** 2), axis=0)", "np.sum(g - r ** 2, axis=0)",
       "gaussian_nll: the upstream gradient multiplies only the constant; right: g * (1 - r^2)", ("gaussian_nll.log_sigma",),
       ("elementwise-factor", "batch-sum"))

# ---------------------------------------------------------------- 9. graph layers
GRAPH = '''import numpy as np


def gcn_forward(x, A, W):
    """One graph convolution on a directed graph: tanh(A x W); x (V, D), A (V, V), W (D, M)"""
    ax = A @ x
    out = np.tanh(ax @ W)
    return out, (x, ax, A, W, out)


def gcn_backward(dout, cache):
    x, ax, A, W, out = cache
    dpre = dout * (1.0 - out ** 2)
    dW = ax.T @ dpre
    dax = dpre @ W.T
    dx = A.T @ dax
    dA = dax @ x.T
    return {"x": dx, "A": dA, "W": dW}


def message_mean_forward(h, src, dst):
    """Every node gets the mean of the messages along its edges src -> dst."""
    n = h.shape[0]
    deg = np.maximum(np.bincount(dst, minlength=n), 1)
    out = np.zeros_like(h)
    np.add.at(out, dst, h[src])
    return out / deg[:, None], (src, dst, deg)


def message_mean_backward(dout, cache):
    src, dst, deg = cache
    dh = np.zeros_like(dout)
    scaled = dout / deg[:, None]
    np.add.at(dh, src, scaled[dst])
    return {"h": dh}


def readout_forward(h, graph_id, n_graphs):
    """Sum of the squares of the nodes of each graph"""
    out = np.zeros((n_graphs, h.shape[1]))
    np.add.at(out, graph_id, h ** 2)
    return out, (h, graph_id)


def readout_backward(dout, cache):
    h, graph_id = cache
    return {"h": 2.0 * h * dout[graph_id]}


_rng = np.random.default_rng(17)
_A = (_rng.random((5, 5)) < 0.5) * _rng.uniform(0.2, 1.0, size=(5, 5)) + 0.5 * np.eye(5)
examples = {
    "gcn": {"x": _rng.normal(size=(5, 3)), "A": _A, "W": _rng.normal(size=(3, 2))},
    "message_mean": {"h": _rng.normal(size=(5, 2)), "src": np.array([0, 1, 2, 3, 0, 4, 2]), "dst": np.array([1, 2, 0, 2, 4, 2, 1])},
    "readout": {"h": _rng.normal(size=(5, 2)), "graph_id": np.array([0, 0, 1, 0, 1]), "n_graphs": 2},
}
'''
S = "graph layers ported from PyTorch Geometric"
_right("graph_right", S, GRAPH)
_wrong("graph_message_degree", S, GRAPH, "scaled = dout / deg[:, None]\n    np.add.at(dh, src, scaled[dst])",
       "scaled = dout[dst] / deg[src][:, None]\n    np.add.at(dh, src, scaled)",
       "message_mean: divided by the degree of the sender; right: of the receiver, deg[dst]", ("message_mean.h",),
       ("elementwise-factor", "transpose"))

# ---------------------------------------------------------------- 10. from-scratch framework
FRAMEWORK = '''import numpy as np


class Layer:
    def __init__(self):
        self.params = {}
        self.grads = {}


class Dense(Layer):
    def __init__(self, n_in=4, n_out=3, seed=1):
        super().__init__()
        rng = np.random.default_rng(seed)
        self.params["W"] = rng.normal(size=(n_in, n_out)) * np.sqrt(2.0 / n_in)
        self.params["b"] = rng.normal(size=n_out) * 0.1

    def forward(self, x):
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, grad):
        self.grads["W"] = self.x.T @ grad
        self.grads["b"] = grad.sum(axis=0)
        return grad @ self.params["W"].T


class Swish(Layer):
    def forward(self, x):
        self.x = x
        self.s = 1.0 / (1.0 + np.exp(-x))
        y = x.copy()
        y *= self.s
        return y

    def backward(self, grad):
        return grad * (self.s + self.x * self.s * (1.0 - self.s))


class Softmax(Layer):
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y = e / e.sum(axis=1, keepdims=True)
        return self.y

    def backward(self, grad):
        inner = np.sum(grad * self.y, axis=1, keepdims=True)
        return self.y * (grad - inner)


class Scale(Layer):
    """y = x * exp(g), one g a feature"""
    def __init__(self, dim=3):
        super().__init__()
        self.params["g"] = np.linspace(-0.5, 0.4, dim)

    def forward(self, x):
        self.y = x * np.exp(self.params["g"])
        return self.y

    def backward(self, grad):
        self.grads["g"] = (grad * self.y).sum(axis=0)
        return grad * np.exp(self.params["g"])
'''
S = "deep learning framework from scratch"
_right("framework_right", S, FRAMEWORK)
_wrong("framework_swish_in_place", S, FRAMEWORK, "y = x.copy()", "y = x",
       "Swish: y *= s writes into the caller's x, which the backward reads again; right: y = x.copy()", ("Swish.x",),
       ("mutates-input", "elementwise-factor"))
_wrong("framework_softmax_axis", S, FRAMEWORK, "inner = np.sum(grad * self.y, axis=1, keepdims=True)",
       "inner = np.sum(grad * self.y, axis=0, keepdims=True)",
       "Softmax: the inner sum runs over the batch; right: over the classes, axis=1", ("Softmax.x",), ("shape", "batch-sum"))

assert len({item.name for item in ITEMS}) == len(ITEMS) == 28
assert sum(item.right for item in ITEMS) == 10
