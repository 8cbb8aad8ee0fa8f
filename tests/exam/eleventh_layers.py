"""Layers, losses and small functions of many fields, each with its hand-written backward."""
from typing import Callable, NamedTuple

import numpy as np
from scipy import special
from scipy.linalg import cho_factor, cho_solve, solve_triangular


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


def wrong(style, slip, inputs, causes):
    def add(make):
        ITEMS.append(Item(make.__name__, style, "vjp", make, False, slip, tuple(inputs), tuple(causes)))
        return make
    return add


def right(style):
    def add(make):
        ITEMS.append(Item(make.__name__, style, "vjp", make, True))
        return make
    return add


def vjp(forward, backward, inputs, constants=None):
    args = {"forward": forward, "backward": backward, "inputs": inputs}
    if constants is not None:
        args["constants"] = constants
    return args


# ---------------------------------------------------------------- normalisations

@wrong("CS231n assignment", "dx of group norm lacks the term of the mean: - dxhat.mean(axis); right with it", ["x"], ["missing-term"])
def spatial_groupnorm(seed=0):
    rng = np.random.default_rng(seed)

    def forward(x, gamma, beta, G=2, eps=1e-5):
        N, C, H, W = x.shape
        xg = x.reshape(N, G, -1)
        mu = xg.mean(axis=2, keepdims=True)
        var = xg.var(axis=2, keepdims=True)
        std = np.sqrt(var + eps)
        xn = ((xg - mu) / std).reshape(N, C, H, W)
        out = gamma[None, :, None, None] * xn + beta[None, :, None, None]
        return out, (xn, std, gamma, G)

    def backward(dout, cache):
        xn, std, gamma, G = cache
        N, C, H, W = dout.shape
        dbeta = dout.sum(axis=(0, 2, 3))
        dgamma = (dout * xn).sum(axis=(0, 2, 3))
        dxn = (dout * gamma[None, :, None, None]).reshape(N, G, -1)
        xg = xn.reshape(N, G, -1)
        dx = (dxn - xg * (dxn * xg).mean(axis=2, keepdims=True)) / std
        return dx.reshape(N, C, H, W), dgamma, dbeta

    return vjp(forward, backward, {"x": rng.normal(1, 2, (2, 4, 2, 2)), "gamma": rng.normal(1, .3, 4), "beta": rng.normal(size=4)})


@wrong("course homework", "dgamma multiplies dout with x, not with the normalised xhat", ["gamma"], ["elementwise-factor", "missing-term", "unknown"])
def layernorm_hw2(seed=0):
    rng = np.random.default_rng(seed)

    def forward(x, gamma, beta):
        m = np.mean(x, axis=1, keepdims=True)
        xc = x - m
        istd = 1 / np.sqrt(np.mean(xc ** 2, axis=1, keepdims=True) + 1e-5)
        xhat = xc * istd
        return xhat * gamma + beta, (x, xhat, istd, gamma)

    def backward(dout, cache):
        x, xhat, istd, gamma = cache
        D = x.shape[1]
        dgamma = np.sum(dout * x, axis=0)
        dbeta = np.sum(dout, axis=0)
        dxhat = dout * gamma
        dx = istd / D * (D * dxhat - dxhat.sum(axis=1, keepdims=True) - xhat * (dxhat * xhat).sum(axis=1, keepdims=True))
        return dx, dgamma, dbeta

    return vjp(forward, backward, {"x": rng.normal(.5, 1.5, (5, 6)), "gamma": rng.normal(1, .3, 6), "beta": rng.normal(size=6)})


@right("layer library")
def weight_norm_dense(seed=0):
    rng = np.random.default_rng(seed)

    def forward(x, p):
        norm = np.linalg.norm(p["v"], axis=1, keepdims=True)
        w = p["g"][:, None] * p["v"] / norm
        return x @ w.T + p["b"], (x, p, norm, w)

    def backward(dy, cache):
        x, p, norm, w = cache
        dw = dy.T @ x
        vhat = p["v"] / norm
        radial = (dw * vhat).sum(1, keepdims=True)
        return {"x": dy @ w,
                "p": {"g": radial[:, 0], "v": p["g"][:, None] / norm * (dw - radial * vhat), "b": dy.sum(0)}}

    p = {"v": rng.normal(size=(3, 4)), "g": rng.normal(1, .5, 3), "b": rng.normal(size=3)}
    return vjp(forward, backward, {"x": rng.normal(size=(5, 4)), "p": p})


@right("vision research code")
def batchnorm_projection_matrix(seed=0):
    rng = np.random.default_rng(seed)

    def forward(x, gamma, beta, eps):
        n = len(x)
        centre = np.eye(n) - np.full((n, n), 1 / n)
        xc = centre @ x
        s = np.sqrt(np.einsum("nd,nd->d", xc, xc) / n + eps)
        return gamma * xc / s + beta, (centre, xc, s, gamma)

    def backward(dy, cache):
        centre, xc, s, gamma = cache
        n, d = xc.shape
        dx = np.empty_like(xc)
        for j in range(d):
            jac = centre / s[j] - np.outer(xc[:, j], xc[:, j]) / (n * s[j] ** 3)
            dx[:, j] = gamma[j] * jac @ dy[:, j]
        return dx, np.einsum("nd,nd->d", dy, xc / s), dy.sum(axis=0)

    return vjp(forward, backward, {"x": rng.normal(size=(6, 3)) * 2, "gamma": rng.normal(size=3), "beta": rng.normal(size=3)}, {"eps": 1e-3})


# ---------------------------------------------------------------- activations

@wrong("NLP blog post", "inner derivative of tanh-GELU has 0.044715 x^2 instead of 3 * 0.044715 x^2", ["x"], ["elementwise-factor", "factor", "missing-term"])
def gelu_tanh(seed=0):
    rng = np.random.default_rng(seed)
    c = np.sqrt(2 / np.pi)

    def gelu(x):
        t = np.tanh(c * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1 + t), (x, t)

    def gelu_backward(dy, cache):
        x, t = cache
        dinner = c * (1 + 0.044715 * x ** 2)
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t ** 2) * dinner)

    return vjp(gelu, gelu_backward, {"x": rng.normal(size=(4, 5)) * 1.5})


@wrong("layer library", "dbeta of swish lacks one factor x (x s(1-s), right x^2 s(1-s))", ["beta"], ["elementwise-factor"])
def swish_per_channel(seed=0):
    rng = np.random.default_rng(seed)

    class Swish:
        def forward(self, x, beta):
            self.x, self.beta = x, beta
            self.s = special.expit(x * beta)
            return x * self.s, None

        def backward(self, dy, _):
            ds = dy * self.x
            dpre = ds * self.s * (1 - self.s)
            dx = dy * self.s + dpre * self.beta
            dbeta = dpre.sum(axis=0)
            return dx, dbeta

    layer = Swish()
    return vjp(layer.forward, layer.backward, {"x": rng.normal(.4, 1.5, (6, 4)), "beta": rng.normal(1, .3, 4)})


@wrong("from-scratch framework", "backward zeroes dy in place where x <= 0: writes into the caller's dy; right on a copy", [], ["mutates-input"])
def relu_module(seed=0):
    rng = np.random.default_rng(seed)

    class ReLU:
        def forward(self, x):
            self.mask = x <= 0
            out = x.copy()
            out[self.mask] = 0
            return out

        def backward(self, dout):
            dx = dout
            dx[self.mask] = 0
            return dx

    m = ReLU()
    return vjp(lambda x: (m.forward(x), None), lambda dy, cache: m.backward(dy), {"x": rng.normal(size=(4, 6))})


@right("deep learning from scratch book")
def mish_with_stable_softplus(seed=0):
    rng = np.random.default_rng(seed)

    def mish(x):
        sp = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
        t = np.tanh(sp)

        def pull(dy):
            return dy * (t + x * (1 - t * t) * special.expit(x))
        return x * t, pull

    return vjp(mish, lambda dy, pull: pull(dy), {"x": rng.normal(size=(3, 7)) * 3})


@right("NLP research code")
def sparsemax_rows(seed=0):
    rng = np.random.default_rng(seed)

    def forward(z):
        p = np.zeros_like(z)
        for i, row in enumerate(z):
            u = np.sort(row)[::-1]
            cs = np.cumsum(u) - 1
            k = np.nonzero(u * np.arange(1, len(u) + 1) > cs)[0][-1]
            p[i] = np.maximum(row - cs[k] / (k + 1), 0)
        return p, p > 0

    def backward(dy, support):
        s = support.astype(float)
        mean = (dy * s).sum(1, keepdims=True) / s.sum(1, keepdims=True)
        return s * (dy - mean)

    return vjp(forward, backward, {"z": rng.normal(size=(4, 5)) * .8})


# ---------------------------------------------------------------- dense

@wrong("CS231n assignment", "db is the mean of dout over the batch, right the sum", ["b"], ["factor", "batch-sum"])
def affine_layer(seed=0):
    rng = np.random.default_rng(seed)

    def affine_forward(x, w, b):
        out = x.reshape(x.shape[0], -1).dot(w) + b
        return out, (x, w, b)

    def affine_backward(dout, cache):
        x, w, b = cache
        dx = dout.dot(w.T).reshape(x.shape)
        dw = x.reshape(x.shape[0], -1).T.dot(dout)
        db = np.mean(dout, axis=0)
        return dx, dw, db

    return vjp(affine_forward, affine_backward, {"x": rng.normal(size=(4, 2, 3)), "w": rng.normal(size=(6, 3)), "b": rng.normal(size=3)})


@wrong("recommender research code", "dW of u W v is written as v^T dy u: transposed", ["W"], ["transpose"])
def bilinear_scores(seed=0):
    rng = np.random.default_rng(seed)

    def forward(u, v, W):
        return np.einsum("bi,ij,bj->b", u, W, v), (u, v, W)

    def backward(ds, cache):
        u, v, W = cache
        du = ds[:, None] * (v @ W.T)
        dv = ds[:, None] * (u @ W)
        dW = v.T @ (ds[:, None] * u)
        return du, dv, dW

    return vjp(forward, backward, {"u": rng.normal(size=(5, 4)), "v": rng.normal(size=(5, 4)), "W": rng.normal(size=(4, 4))})


@wrong("from-scratch framework", "grad_W of the layer is added to (+=) and never cleared: the second backward returns more; right: assigned", ["W"], ["accumulates"])
def tanh_dense_object(seed=0):
    rng = np.random.default_rng(seed)

    class TanhDense:
        def __init__(self, n_in, n_out):
            self.grad_W = np.zeros((n_in, n_out))
            self.grad_b = np.zeros(n_out)

        def forward(self, x, W, b):
            self.x, self.W = x, W
            self.a = np.tanh(x @ W + b)
            return self.a

        def backward(self, delta):
            delta = delta * (1 - self.a ** 2)
            self.grad_W += self.x.T @ delta
            self.grad_b = delta.sum(0)
            return delta @ self.W.T

    layer = TanhDense(4, 3)

    def backward(dy, cache):
        dx = layer.backward(dy)
        return {"x": dx, "W": layer.grad_W.copy(), "b": layer.grad_b}

    return vjp(lambda x, W, b: (layer.forward(x, W, b), None), backward,
               {"x": rng.normal(size=(5, 4)), "W": rng.normal(size=(4, 3)) * .5, "b": rng.normal(size=3) * .2})


# ---------------------------------------------------------------- convolutions and pooling

@wrong("vision course homework", "overlapping max-pool windows overwrite dx (=), right add to it (+=)", ["x"], ["missing-term", "unknown"])
def overlapping_maxpool(seed=0):
    rng = np.random.default_rng(seed)

    def forward(x, k, stride):
        N, H, W = x.shape
        Ho, Wo = (H - k) // stride + 1, (W - k) // stride + 1
        y = np.zeros((N, Ho, Wo))
        arg = np.zeros((N, Ho, Wo), dtype=int)
        for n in range(N):
            for i in range(Ho):
                for j in range(Wo):
                    win = x[n, i * stride:i * stride + k, j * stride:j * stride + k]
                    arg[n, i, j] = win.argmax()
                    y[n, i, j] = win.max()
        return y, (x.shape, arg, k, stride)

    def backward(dy, cache):
        shape, arg, k, stride = cache
        dx = np.zeros(shape)
        for (n, i, j), a in np.ndenumerate(arg):
            r, c = divmod(a, k)
            dx[n, i * stride + r, j * stride + c] = dy[n, i, j]
        return dx

    return vjp(forward, backward, {"x": rng.normal(size=(2, 4, 4))}, {"k": 3, "stride": 1})


@wrong("audio research code", "dx of a causal dilated conv: the taps are read in flipped order (w[K-1-k] for w[k])", ["x"], ["transpose", "unknown"])
def causal_dilated_conv(seed=0):
    rng = np.random.default_rng(seed)

    def forward(x, w, dilation):
        C, T = x.shape
        O, _, K = w.shape
        xp = np.concatenate([np.zeros((C, dilation * (K - 1))), x], axis=1)
        y = sum(w[:, :, k] @ xp[:, k * dilation:k * dilation + T] for k in range(K))
        return y, (xp, w, dilation, T)

    def backward(dy, cache):
        xp, w, d, T = cache
        K = w.shape[2]
        dxp = np.zeros_like(xp)
        dw = np.zeros_like(w)
        for k in range(K):
            dxp[:, k * d:k * d + T] += w[:, :, K - 1 - k].T @ dy
            dw[:, :, k] = dy @ xp[:, k * d:k * d + T].T
        return {"x": dxp[:, d * (K - 1):], "w": dw}

    return vjp(forward, backward, {"x": rng.normal(size=(2, 9)), "w": rng.normal(size=(3, 2, 3))}, {"dilation": 2})


@wrong("vision research code", "the padding is cut off dx at the end only (dxp[:H, :W]); right dxp[p:p+H, p:p+W]", ["x"], ["transpose", "shape", "unknown"])
def conv3x3_same(seed=0):
    rng = np.random.default_rng(seed)

    def conv(x, w, b):
        p = w.shape[-1] // 2
        xp = np.pad(x, ((0, 0), (p, p), (p, p)))
        cols = np.lib.stride_tricks.sliding_window_view(xp, w.shape[-2:], axis=(1, 2))
        return np.einsum("chwij,ocij->ohw", cols, w) + b[:, None, None], (cols, w, x.shape, p)

    def conv_grad(dy, cache):
        cols, w, (C, H, W), p = cache
        dw = np.einsum("ohw,chwij->ocij", dy, cols)
        dxp = np.zeros((C, H + 2 * p, W + 2 * p))
        for i in range(w.shape[2]):
            for j in range(w.shape[3]):
                dxp[:, i:i + H, j:j + W] += np.einsum("ohw,oc->chw", dy, w[:, :, i, j])
        dx = dxp[:, :H, :W]
        return dx, dw, dy.sum(axis=(1, 2))

    return vjp(conv, conv_grad, {"x": rng.normal(size=(2, 4, 4)), "w": rng.normal(size=(2, 2, 3, 3)) * .5, "b": rng.normal(size=2)})


@right("signal processing textbook")
def circular_conv_by_fft(seed=0):
    rng = np.random.default_rng(seed)

    def forward(signal, kernel):
        S, K = np.fft.rfft(signal, axis=-1), np.fft.rfft(kernel, n=signal.shape[-1])
        return np.fft.irfft(S * K, n=signal.shape[-1], axis=-1), (S, K, signal.shape[-1], kernel.size)

    def backward(dy, cache):
        S, K, n, m = cache
        D = np.fft.rfft(dy, axis=-1)
        dsignal = np.fft.irfft(D * K.conj(), n=n, axis=-1)
        dkernel = np.fft.irfft((D * S.conj()).sum(0), n=n)[:m]
        return dsignal, dkernel

    return vjp(forward, backward, {"signal": rng.normal(size=(3, 8)), "kernel": rng.normal(size=4)})


@right("vision research code")
def bilinear_grid_sample(seed=0):
    rng = np.random.default_rng(seed)

    def forward(img, uv):
        i0 = np.floor(uv).astype(int)
        f = uv - i0
        r, c = i0[:, 0], i0[:, 1]
        a, b = f[:, 0], f[:, 1]
        q = img[r, c], img[r, c + 1], img[r + 1, c], img[r + 1, c + 1]
        y = (1 - a) * ((1 - b) * q[0] + b * q[1]) + a * ((1 - b) * q[2] + b * q[3])
        return y, (img.shape, r, c, a, b, q)

    def backward(dy, cache):
        shape, r, c, a, b, q = cache
        dimg = np.zeros(shape)
        np.add.at(dimg, (r, c), dy * (1 - a) * (1 - b))
        np.add.at(dimg, (r, c + 1), dy * (1 - a) * b)
        np.add.at(dimg, (r + 1, c), dy * a * (1 - b))
        np.add.at(dimg, (r + 1, c + 1), dy * a * b)
        da = (1 - b) * (q[2] - q[0]) + b * (q[3] - q[1])
        db = (1 - a) * (q[1] - q[0]) + a * (q[3] - q[2])
        return {"img": dimg, "uv": dy[:, None] * np.stack([da, db], axis=1)}

    uv = rng.integers(0, 3, (7, 2)) + rng.uniform(.1, .9, (7, 2))
    return vjp(forward, backward, {"img": rng.normal(size=(4, 4)), "uv": uv})


@right("generative model repo")
def transposed_conv_stride2(seed=0):
    rng = np.random.default_rng(seed)

    def forward(x, w):
        n, t, _ = x.shape
        ks, _, co = w.shape
        y = np.zeros((n, 2 * (t - 1) + ks, co))
        for k in range(ks):
            y[:, k:k + 2 * t - 1:2] += x @ w[k]
        return y, (x, w)

    def backward(dy, cache):
        x, w = cache
        t = x.shape[1]
        taps = [dy[:, k:k + 2 * t - 1:2] for k in range(len(w))]
        return (sum(g @ w[k].T for k, g in enumerate(taps)),
                np.stack([np.tensordot(x, g, axes=([0, 1], [0, 1])) for g in taps]))

    return vjp(forward, backward, {"x": rng.normal(size=(2, 4, 3)), "w": rng.normal(size=(4, 3, 2))})


# ---------------------------------------------------------------- embeddings and attention

@wrong("NLP course homework", "dE[ids] += g: repeated tokens are counted once; right np.add.at", ["E"], ["batch-sum", "missing-term"])
def word_embedding(seed=0):
    rng = np.random.default_rng(seed)

    def forward(E, ids):
        return E[ids], (ids, E.shape)

    def backward(dout, cache):
        ids, shape = cache
        dE = np.zeros(shape)
        dE[ids] += dout
        return dE

    return vjp(forward, backward, {"E": rng.normal(size=(7, 4))}, {"ids": np.array([[1, 3, 3], [0, 1, 6]])})


@wrong("transformer tutorial", "dK lacks the scale 1/sqrt(d)", ["K"], ["factor"])
def masked_attention(seed=0):
    rng = np.random.default_rng(seed)

    def attention(Q, K, V, causal):
        scale = 1 / np.sqrt(Q.shape[-1])
        S = Q @ K.T * scale
        if causal:
            S = np.where(np.tri(len(Q), len(K), dtype=bool), S, -1e30)
        P = special.softmax(S, axis=-1)
        return P @ V, (Q, K, V, P, scale)

    def attention_backward(dO, cache):
        Q, K, V, P, scale = cache
        dV = P.T @ dO
        dP = dO @ V.T
        dS = P * (dP - (dP * P).sum(-1, keepdims=True))
        dQ = dS @ K * scale
        dK = dS.T @ Q
        return dQ, dK, dV

    return vjp(attention, attention_backward, {n: rng.normal(size=(5, 3)) for n in "QKV"}, {"causal": True})


@wrong("speech research code", "softmax over the time axis, but its backward sums over the feature axis (axis=-1, right axis=1)", ["scores"], ["shape", "missing-term", "unknown"])
def attentive_pooling(seed=0):
    rng = np.random.default_rng(seed)

    def forward(frames, scores):
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        a = e / e.sum(axis=1, keepdims=True)
        return (a * frames).sum(axis=1), (frames, a)

    def backward(dy, cache):
        frames, a = cache
        g = np.repeat(dy[:, None, :], frames.shape[1], axis=1)
        da = g * frames
        dscores = a * (da - (a * da).sum(axis=-1, keepdims=True))
        return {"frames": g * a, "scores": dscores}

    return vjp(forward, backward, {"frames": rng.normal(size=(2, 5, 3)), "scores": rng.normal(size=(2, 5, 3))})


@wrong("transformer tutorial", "inverse rotation of RoPE is missing: dx is rotated by +theta as in the forward, right by -theta", ["x"], ["transpose", "sign", "unknown"])
def rotary_embedding(seed=0):
    rng = np.random.default_rng(seed)

    def rotate(x, cos, sin):
        x1, x2 = x[..., 0::2], x[..., 1::2]
        out = np.empty_like(x)
        out[..., 0::2] = x1 * cos - x2 * sin
        out[..., 1::2] = x1 * sin + x2 * cos
        return out

    def forward(x):
        T, d = x.shape
        ang = np.arange(T)[:, None] * 10.0 ** (-2 * np.arange(d // 2) / d)
        cos, sin = np.cos(ang), np.sin(ang)
        return rotate(x, cos, sin), (cos, sin)

    def backward(dy, cache):
        cos, sin = cache
        return rotate(dy, cos, sin)

    return vjp(forward, backward, {"x": rng.normal(size=(6, 4))})


@right("transformer research code")
def grouped_query_attention(seed=0):
    rng = np.random.default_rng(seed)

    def forward(q, k, v):
        # q (H, T, d), k and v (1, T, d): the heads share keys and values
        s = np.einsum("htd,gsd->hts", q, k) / q.shape[-1] ** .5
        p = special.softmax(s, axis=2)
        return np.matmul(p, v), (q, k, v, p)

    def backward(do, cache):
        q, k, v, p = cache
        o = np.matmul(p, v)
        dv = np.einsum("hts,htd->sd", p, do)[None]
        delta = (do * o).sum(-1, keepdims=True)
        ds = p * (np.matmul(do, v.transpose(0, 2, 1)) - delta) / q.shape[-1] ** .5
        return {"k": np.einsum("hts,htd->sd", ds, q)[None], "v": dv, "q": np.matmul(ds, k)}

    return vjp(forward, backward, {"q": rng.normal(size=(2, 4, 3)), "k": rng.normal(size=(1, 4, 3)), "v": rng.normal(size=(1, 4, 3))})


@right("NLP course homework")
def embedding_bag_onehot(seed=0):
    rng = np.random.default_rng(seed)

    def forward(table, bags, pad):
        onehot = (bags[..., None] == np.arange(len(table))) & (bags[..., None] != pad)
        counts = onehot.sum(axis=1).astype(float)
        counts /= np.maximum(counts.sum(1, keepdims=True), 1)
        return counts @ table, counts

    return vjp(forward, lambda dy, counts: counts.T @ dy, {"table": rng.normal(size=(6, 3))},
               {"bags": np.array([[1, 2, 2, 0], [5, 0, 0, 0], [3, 1, 4, 1]]), "pad": 0})


# ---------------------------------------------------------------- recurrent cells

@wrong("NLP blog post", "dc through h = o tanh(c) uses 1 - c^2, right 1 - tanh(c)^2", ["x", "c_prev", "W"], ["elementwise-factor"])
def lstm_step(seed=0):
    rng = np.random.default_rng(seed)

    def forward(x, c_prev, W):
        H = c_prev.shape[1]
        a = x @ W
        i, f, o = (special.expit(a[:, k * H:(k + 1) * H]) for k in range(3))
        g = np.tanh(a[:, 3 * H:])
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        return h, (x, c_prev, W, i, f, o, g, c)

    def backward(dh, cache):
        x, c_prev, W, i, f, o, g, c = cache
        do = dh * np.tanh(c)
        dc = dh * o * (1 - c ** 2)
        da = np.concatenate([dc * g * i * (1 - i), dc * c_prev * f * (1 - f), do * o * (1 - o), dc * i * (1 - g ** 2)], axis=1)
        return {"x": da @ W.T, "c_prev": dc * f, "W": x.T @ da}

    return vjp(forward, backward, {"x": rng.normal(size=(4, 3)), "c_prev": rng.normal(size=(4, 2)), "W": rng.normal(size=(3, 8)) * .7})


@wrong("RL research code", "dh of the GRU lacks the path through the reset gate r", ["h"], ["missing-term"])
def gru_core(seed=0):
    rng = np.random.default_rng(seed)

    def forward(h, Uz, Ur, Un):
        z = special.expit(h @ Uz)
        r = special.expit(h @ Ur)
        rh = r * h
        n = np.tanh(rh @ Un)
        return (1 - z) * n + z * h, dict(h=h, z=z, r=r, rh=rh, n=n, U=(Uz, Ur, Un))

    def backward(dy, c):
        Uz, Ur, Un = c["U"]
        dpn = dy * (1 - c["z"]) * (1 - c["n"] ** 2)
        dpz = dy * (c["h"] - c["n"]) * c["z"] * (1 - c["z"])
        drh = dpn @ Un.T
        dpr = drh * c["h"] * c["r"] * (1 - c["r"])
        dh = dy * c["z"] + dpz @ Uz.T + drh * c["r"]
        return dict(h=dh, Uz=c["h"].T @ dpz, Ur=c["h"].T @ dpr, Un=c["rh"].T @ dpn)

    U = {n: rng.normal(size=(3, 3)) for n in ("Uz", "Ur", "Un")}
    return vjp(forward, backward, {"h": rng.normal(size=(5, 3)), **U})


@wrong("audio plugin prototype", "da of the one-pole smoother lacks the -x[t] of (1-a) x[t]", ["a"], ["missing-term"])
def one_pole_lowpass(seed=0):
    rng = np.random.default_rng(seed)

    def forward(x, a):
        y = np.zeros_like(x)
        state = np.zeros(x.shape[0])
        for t in range(x.shape[1]):
            state = a * state + (1 - a) * x[:, t]
            y[:, t] = state
        return y, (x, a, y)

    def backward(dy, cache):
        x, a, y = cache
        T = x.shape[1]
        dx, da = np.zeros_like(x), np.zeros_like(a)
        carry = np.zeros(x.shape[0])
        for t in reversed(range(T)):
            g = dy[:, t] + carry
            prev = y[:, t - 1] if t > 0 else np.zeros(x.shape[0])
            da += g * prev
            dx[:, t] = (1 - a) * g
            carry = a * g
        return dx, da

    return vjp(forward, backward, {"x": rng.normal(size=(3, 8)), "a": rng.uniform(.3, .8, 3)})


# ---------------------------------------------------------------- losses

@wrong("CS231n assignment", "backward subtracts 1 in the cached probabilities themselves: the second backward is wrong; right on a copy", ["scores"], ["mutates-input", "accumulates"])
def softmax_loss_layer(seed=0):
    rng = np.random.default_rng(seed)

    def forward(scores, y):
        shifted = scores - scores.max(axis=1, keepdims=True)
        probs = np.exp(shifted)
        probs /= probs.sum(axis=1, keepdims=True)
        loss = -np.log(probs[np.arange(len(y)), y]).mean()
        return loss, (probs, y)

    def backward(dloss, cache):
        probs, y = cache
        N = len(y)
        dscores = probs
        dscores[np.arange(N), y] -= 1
        return dloss * dscores / N

    return vjp(forward, backward, {"scores": rng.normal(size=(5, 4))}, {"y": np.array([0, 3, 1, 1, 2])})


@wrong("vision research code", "backward of the label-smoothed cross entropy subtracts the hard one-hot, right the smoothed targets", ["logits"], ["missing-term"])
def label_smoothing_ce(seed=0):
    rng = np.random.default_rng(seed)

    class LabelSmoothingCrossEntropy:
        def __init__(self, smoothing=0.1):
            self.smoothing = smoothing

        def forward(self, logits, target):
            n, k = logits.shape
            onehot = np.eye(k)[target]
            q = (1 - self.smoothing) * onehot + self.smoothing / k
            logp = special.log_softmax(logits, axis=1)
            return -(q * logp).sum(1), (logp, q, onehot)

        def backward(self, dy, cache):
            logp, q, onehot = cache
            return dy[:, None] * (np.exp(logp) - onehot)

    crit = LabelSmoothingCrossEntropy(0.15)
    return vjp(crit.forward, crit.backward, {"logits": rng.normal(size=(4, 5))}, {"target": np.array([2, 0, 4, 2])})


@wrong("CS231n assignment", "the true class gets -1 once, right minus the number of violated margins", ["s"], ["missing-term", "elementwise-factor"])
def multiclass_hinge(seed=0):
    rng = np.random.default_rng(seed)

    def svm(s, y):
        rows = np.arange(s.shape[0])
        margins = np.maximum(0, s - s[rows, y][:, None] + 1.0)
        margins[rows, y] = 0
        return margins.sum() / s.shape[0], (margins, y)

    def svm_back(dloss, cache):
        margins, y = cache
        rows = np.arange(len(y))
        ds = (margins > 0).astype(float)
        ds[rows, y] -= 1
        return {"s": dloss * ds / len(y)}

    return vjp(svm, svm_back, {"s": rng.normal(size=(6, 5))}, {"y": np.array([1, 0, 4, 3, 2, 2])})


@wrong("RL research code", "linear branch of the Huber gradient is sign(err), right kappa * sign(err)", ["q"], ["elementwise-factor", "factor"])
def td_huber(seed=0):
    rng = np.random.default_rng(seed)

    def forward(q, target, kappa):
        err = q - target
        small = np.abs(err) <= kappa
        y = np.where(small, 0.5 * err ** 2, kappa * (np.abs(err) - 0.5 * kappa))
        return y, (err, small, kappa)

    def backward(dy, cache):
        err, small, kappa = cache
        return {"q": dy * np.where(small, err, np.sign(err))}

    return vjp(forward, backward, {"q": rng.normal(size=(4, 5)) * 2}, {"target": rng.normal(size=(4, 5)), "kappa": 0.4})


@wrong("Bayesian deep learning repo", "d of the prior mean has the sign of the posterior mean's, right the opposite one", ["mp"], ["sign"])
def gaussian_kl(seed=0):
    rng = np.random.default_rng(seed)

    def kl(mq, lq, mp, lp):
        d = mq - mp
        out = 0.5 * (lp - lq + np.exp(lq - lp) + d ** 2 * np.exp(-lp) - 1)
        return out.sum(-1), (d, lq, lp)

    def kl_grad(g, cache):
        d, lq, lp = cache
        g = g[:, None]
        w = d * np.exp(-lp)
        dmq = g * w
        dmp = g * w
        dlq = 0.5 * g * (np.exp(lq - lp) - 1)
        dlp = 0.5 * g * (1 - np.exp(lq - lp) - d * w)
        return dmq, dlq, dmp, dlp

    return vjp(kl, kl_grad, {n: rng.normal(size=(4, 3)) * .8 for n in ("mq", "lq", "mp", "lp")})


@wrong("metric learning repo", "1 / distance on the diagonal, where the distance is 0, gives NaN; right with the diagonal guarded", ["X"], ["non-finite"])
def pairwise_distances(seed=0):
    rng = np.random.default_rng(seed)

    def forward(X):
        diff = X[:, None, :] - X[None, :, :]
        D = np.sqrt((diff ** 2).sum(-1))
        off = ~np.eye(len(X), dtype=bool)
        return np.exp(-D) * off, (diff, D, off)

    def backward(dy, cache):
        diff, D, off = cache
        dD = -dy * np.exp(-D) * off
        with np.errstate(all="ignore"):
            ddiff = (dD / D)[..., None] * diff
        return ddiff.sum(1) - ddiff.sum(0)

    return vjp(forward, backward, {"X": rng.normal(size=(5, 3))})


@right("NLP research code")
def linear_chain_crf_logz(seed=0):
    rng = np.random.default_rng(seed)

    def forward(unary, trans):
        T, K = unary.shape
        alpha = [unary[0]]
        for t in range(1, T):
            alpha.append(unary[t] + special.logsumexp(alpha[-1][:, None] + trans, axis=0))
        return special.logsumexp(alpha[-1]), (unary, trans, np.array(alpha))

    def backward(dz, cache):
        unary, trans, alpha = cache
        T, K = unary.shape
        logz = special.logsumexp(alpha[-1])
        beta = np.zeros((T, K))
        dtrans = np.zeros_like(trans)
        for t in range(T - 2, -1, -1):
            msg = unary[t + 1] + beta[t + 1]
            dtrans += np.exp(alpha[t][:, None] + trans + msg - logz)
            beta[t] = special.logsumexp(trans + msg, axis=1)
        return {"unary": dz * np.exp(alpha + beta - logz), "trans": dz * dtrans}

    return vjp(forward, backward, {"unary": rng.normal(size=(6, 3)), "trans": rng.normal(size=(3, 3))})


@right("metric learning repo")
def info_nce_cosine(seed=0):
    rng = np.random.default_rng(seed)

    def unit(v):
        n = np.linalg.norm(v, axis=1, keepdims=True)
        return v / n, n

    def forward(a, b, log_tau):
        ua, na = unit(a)
        ub, nb = unit(b)
        inv = np.exp(-log_tau)
        sim = ua @ ub.T
        loss = -np.diag(special.log_softmax(sim * inv, axis=1)).mean()
        return loss, (ua, na, ub, nb, inv, sim)

    def backward(dl, cache):
        ua, na, ub, nb, inv, sim = cache
        n = len(sim)
        ds = dl * (special.softmax(sim * inv, axis=1) - np.eye(n)) / n
        dua, dub = inv * ds @ ub, inv * ds.T @ ua
        return ((dua - ua * (ua * dua).sum(1, keepdims=True)) / na,
                (dub - ub * (ub * dub).sum(1, keepdims=True)) / nb,
                -inv * (ds * sim).sum())

    return vjp(forward, backward, {"a": rng.normal(size=(5, 4)), "b": rng.normal(size=(5, 4)), "log_tau": np.array(-0.7)})


@right("speech research code")
def huberised_pinball_loss(seed=0):
    rng = np.random.default_rng(seed)

    def forward(pred, target, quantiles, kappa):
        u = target[:, None] - pred
        core = np.where(np.abs(u) < kappa, .5 * u * u / kappa, np.abs(u) - .5 * kappa)
        weight = np.abs(quantiles - (u < 0))
        return (weight * core).mean(axis=1), (u, weight, kappa)

    def backward(dy, cache):
        u, weight, kappa = cache
        return {"pred": -dy[:, None] * weight * np.clip(u / kappa, -1, 1) / u.shape[1]}

    return vjp(forward, backward, {"pred": rng.normal(size=(5, 3))},
               {"target": rng.normal(size=5), "quantiles": np.array([.1, .5, .9]), "kappa": .7})


# ---------------------------------------------------------------- small functions of many fields

@wrong("graphics renderer", "normalize() backward divides by the length only and lacks the projection - n (n . g)", ["normal", "light"], ["missing-term"])
def lambert_shading(seed=0):
    rng = np.random.default_rng(seed)

    def normalize(v):
        length = np.sqrt((v * v).sum(-1, keepdims=True))
        return v / length, length

    def normalize_bwd(g, n, length):
        return g / length

    def shade(normal, light, albedo):
        n, ln = normalize(normal)
        l, ll = normalize(light)
        cos = (n * l).sum(-1, keepdims=True)
        lit = np.maximum(cos, 0)
        return albedo * lit, (n, ln, l, ll, cos, lit, albedo)

    def shade_bwd(g, saved):
        n, ln, l, ll, cos, lit, albedo = saved
        dcos = (g * albedo).sum(-1, keepdims=True) * (cos > 0)
        return {"normal": normalize_bwd(dcos * l, n, ln),
                "light": normalize_bwd((dcos * n).sum(0), l, ll),
                "albedo": g * lit}

    normal = rng.normal(size=(6, 3)) + np.array([0, 0, 1.])
    return vjp(shade, shade_bwd, {"normal": normal, "light": np.array([.4, -.3, 1.2]), "albedo": rng.uniform(.2, .9, (6, 3))})


@wrong("quantitative finance library", "vega is S phi(d1), right S phi(d1) sqrt(T)", ["sigma"], ["elementwise-factor"])
def black_scholes_call(seed=0):
    rng = np.random.default_rng(seed)
    phi = lambda d: np.exp(-d * d / 2) / np.sqrt(2 * np.pi)

    def price(spot, sigma, rate, strike, expiry):
        root = np.sqrt(expiry)
        d1 = (np.log(spot / strike) + (rate + sigma ** 2 / 2) * expiry) / (sigma * root)
        d2 = d1 - sigma * root
        disc = strike * np.exp(-rate * expiry)
        return spot * special.ndtr(d1) - disc * special.ndtr(d2), (spot, d1, d2, disc, expiry)

    def greeks(dprice, ctx):
        spot, d1, d2, disc, expiry = ctx
        delta = special.ndtr(d1)
        vega = spot * phi(d1)
        rho = disc * expiry * special.ndtr(d2)
        return {"spot": dprice * delta, "sigma": dprice * vega, "rate": dprice * rho}

    return vjp(price, greeks, {"spot": rng.uniform(.8, 1.3, 6), "sigma": rng.uniform(.15, .5, 6), "rate": rng.uniform(.01, .05, 6)},
               {"strike": np.ones(6), "expiry": np.array([.25, .5, 1.5, 2., 3., .1])})


@right("physics simulation code")
def spring_energy_and_verlet(seed=0):
    rng = np.random.default_rng(seed)

    def force(x, k):
        d = np.diff(x)
        f = np.zeros_like(x)
        f[:-1] += k * d + d ** 3
        f[1:] -= k * d + d ** 3
        return f

    def hess_vec(x, k, u):
        # d force / d x is symmetric
        s = (k + 3 * np.diff(x) ** 2) * np.diff(u)
        out = np.zeros_like(x)
        out[:-1] += s
        out[1:] -= s
        return out

    def forward(x, v, k, dt, steps):
        tape = []
        for _ in range(steps):
            v = v + dt * force(x, k)
            tape.append(x)
            x = x + dt * v
        return np.concatenate([x, v]), (tape, k, dt)

    def backward(dy, cache):
        tape, k, dt = cache
        gx, gv = np.split(dy, 2)
        gk = np.zeros_like(k)
        for x in reversed(tape):
            gv = gv + dt * gx
            d = np.diff(x)
            gk = gk - dt * d * np.diff(gv)
            gx = gx + dt * hess_vec(x, k, gv)
        return gx, gv, gk

    return vjp(forward, backward, {"x": rng.normal(size=5), "v": rng.normal(size=5), "k": rng.uniform(.5, 2, 4)}, {"dt": .05, "steps": 6})


@right("Gaussian process library")
def gp_log_marginal(seed=0):
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, 7)
    sq = (t[:, None] - t[None]) ** 2

    def forward(y, theta, sq):
        log_ell, log_amp, log_noise = theta
        Kf = np.exp(2 * log_amp - sq * np.exp(-2 * log_ell) / 2)
        K = Kf + np.exp(2 * log_noise) * np.eye(len(y))
        c = cho_factor(K, lower=True)
        alpha = cho_solve(c, y)
        value = -.5 * y @ alpha - np.log(np.diag(c[0])).sum() - .5 * len(y) * np.log(2 * np.pi)
        return value, (theta, Kf, c, alpha, sq)

    def backward(dv, cache):
        theta, Kf, c, alpha, sq = cache
        n = len(alpha)
        inner = np.outer(alpha, alpha) - cho_solve(c, np.eye(n))
        dK = [Kf * sq * np.exp(-2 * theta[0]), 2 * Kf, 2 * np.exp(2 * theta[2]) * np.eye(n)]
        return {"y": -dv * alpha, "theta": dv * np.array([.5 * np.sum(inner * d) for d in dK])}

    return vjp(forward, backward, {"y": rng.normal(size=7), "theta": np.array([-1.0, .2, -.9])}, {"sq": sq})


@right("robotics code")
def rodrigues_rotation_complex_step(seed=0):
    rng = np.random.default_rng(seed)

    def rodrigues(w, pts):
        th = np.sqrt((w * w).sum())
        k = w / th
        K = np.array([[0 * k[0], -k[2], k[1]], [k[2], 0 * k[0], -k[0]], [-k[1], k[0], 0 * k[0]]])
        R = np.eye(3) + np.sin(th) * K + (1 - np.cos(th)) * K @ K
        return pts @ R.T

    def forward(w, pts):
        return rodrigues(w, pts), (w, pts)

    def backward(dy, cache):
        w, pts = cache
        h = 1e-30
        dw = np.array([(dy * rodrigues(w + 1j * h * e, pts).imag / h).sum() for e in np.eye(3)])
        R = rodrigues(w, np.eye(3)).T
        return {"w": dw, "pts": dy @ R}

    return vjp(forward, backward, {"w": rng.normal(size=3), "pts": rng.normal(size=(6, 3))})


@right("numerical linear algebra notes")
def triangular_whitening(seed=0):
    rng = np.random.default_rng(seed)

    def forward(raw, x):
        L = np.tril(raw, -1) + np.diag(np.exp(np.diag(raw)))
        z = solve_triangular(L, x.T, lower=True)
        return z.T, (L, z)

    def backward(dy, cache):
        L, z = cache
        w = solve_triangular(L, dy.T, lower=True, trans="T")
        dL = -w @ z.T
        return np.tril(dL, -1) + np.diag(np.diag(dL) * np.diag(L)), w.T

    return vjp(forward, backward, {"raw": rng.normal(size=(4, 4)) * .5, "x": rng.normal(size=(6, 4))})
