"""Sixth paper: single layers, activations, losses, norms, attention pieces, embeddings, convolutions, pooling, cells."""
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


def item(name, style, right, slip="", wrong=(), causes=()):
    def deco(make):
        ITEMS.append(Item(name, style, "vjp", make, right, slip, tuple(wrong), tuple(causes)))
        return make
    return deco


def _rng(seed):
    return np.random.default_rng(seed)


# ======================================================================================================================
# 1. class assignment, staged computation graph
# ======================================================================================================================

def batchnorm_forward(x, gamma, beta, eps=1e-5):
    N, D = x.shape
    # step 1: mean
    mu = 1. / N * np.sum(x, axis=0)
    # step 2: subtract
    xmu = x - mu
    # step 3-4: variance
    sq = xmu ** 2
    var = 1. / N * np.sum(sq, axis=0)
    # step 5-6
    sqrtvar = np.sqrt(var + eps)
    ivar = 1. / sqrtvar
    # step 7-9
    xhat = xmu * ivar
    gammax = gamma * xhat
    out = gammax + beta
    cache = (xhat, gamma, xmu, ivar, sqrtvar, var, eps)
    return out, cache


def batchnorm_backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape
    # step 9
    dbeta = np.sum(dout, axis=0)
    dgammax = dout
    # step 8
    dgamma = np.sum(dgammax * xhat, axis=0)
    dxhat = dgammax * gamma
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
    dx = dxmu1 + dxmu2
    return dx, dgamma, dbeta


@item("bn_staged_graph", "class assignment, staged graph", False,
      "The mean is subtracted too: the last stage, dx += -sum(dxmu1 + dxmu2, axis=0) / N, is left out.",
      ("x",), ("missing-term", "batch-sum"))
def make_bn_staged():
    r = _rng(101)
    return {"forward": batchnorm_forward, "backward": batchnorm_backward,
            "inputs": {"x": r.normal(1.0, 2.0, (5, 4)), "gamma": r.uniform(0.5, 1.5, 4), "beta": r.normal(size=4)}}


def max_pool_forward_naive(x, pool_param):
    N, C, H, W = x.shape
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    Hout = 1 + (H - ph) // s
    Wout = 1 + (W - pw) // s
    out = np.zeros((N, C, Hout, Wout))
    for n in range(N):
        for c in range(C):
            for i in range(Hout):
                for j in range(Wout):
                    out[n, c, i, j] = np.max(x[n, c, i * s:i * s + ph, j * s:j * s + pw])
    return out, (x, pool_param)


def max_pool_backward_naive(dout, cache):
    x, pool_param = cache
    N, C, Hout, Wout = dout.shape
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    dx = np.zeros_like(x)
    for n in range(N):
        for c in range(C):
            for i in range(Hout):
                for j in range(Wout):
                    window = x[n, c, i * s:i * s + ph, j * s:j * s + pw]
                    mask = window == np.max(window)
                    dx[n, c, i * s:i * s + ph, j * s:j * s + pw] = mask * dout[n, c, i, j]
    return dx


@item("max_pool_overlapping_naive", "class assignment, naive loops", False,
      "The windows overlap (pool 2, stride 1), but each assigns (=) into dx and wipes what earlier ones wrote; it is to be +=.",
      ("x",), ("missing-term", "zero"))
def make_maxpool():
    r = _rng(102)
    return {"forward": max_pool_forward_naive, "backward": max_pool_backward_naive,
            "inputs": {"x": r.permutation(36).reshape(3, 1, 4, 3) * 0.3 - 4.0},
            "constants": {"pool_param": {"pool_height": 2, "pool_width": 2, "stride": 1}}}


# ======================================================================================================================
# 2. functional code with dict caches
# ======================================================================================================================

def layer_norm(x, scale, shift, eps=1e-6):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    inv_std = 1.0 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return scale * x_hat + shift, dict(x_hat=x_hat, inv_std=inv_std, scale=scale)


def layer_norm_grad(g, cache):
    x_hat, inv_std, scale = cache["x_hat"], cache["inv_std"], cache["scale"]
    g_hat = g * scale
    dx = inv_std * (g_hat - g_hat.mean(axis=-1, keepdims=True) - x_hat * (g_hat * x_hat).mean(axis=-1, keepdims=True))
    return dict(x=dx, scale=(g * x_hat).sum(axis=-1), shift=g.sum(axis=0))


@item("layer_norm_square_batch", "functional, dict caches", False,
      "The gradient of scale is summed over the features (axis=-1), not over the rows (axis=0); rows = features, so no error is raised.",
      ("scale",), ("shape", "batch-sum"))
def make_ln():
    r = _rng(103)
    return {"forward": layer_norm, "backward": layer_norm_grad,
            "inputs": {"x": r.normal(size=(5, 5)), "scale": r.normal(size=5), "shift": r.normal(size=5)}}


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def gru_step(x, h, Wz, Uz, Wr, Ur, Wn, Un):
    z = sigmoid(x @ Wz + h @ Uz)
    r = sigmoid(x @ Wr + h @ Ur)
    n = np.tanh(x @ Wn + (r * h) @ Un)
    h_new = (1 - z) * n + z * h
    return h_new, dict(x=x, h=h, z=z, r=r, n=n, Wz=Wz, Uz=Uz, Wr=Wr, Ur=Ur, Wn=Wn, Un=Un)


def gru_step_backward(dh_new, c):
    x, h, z, r, n = (c[k] for k in ("x", "h", "z", "r", "n"))
    dz = dh_new * (h - n)
    dn = dh_new * (1 - z)
    dh = dh_new * z

    da_n = dn * (1 - n ** 2)
    drh = da_n @ c["Un"].T
    dr = drh * h

    da_z = dz * z * (1 - z)
    da_r = dr * r * (1 - r)

    dh = dh + da_z @ c["Uz"].T + da_r @ c["Ur"].T
    dx = da_z @ c["Wz"].T + da_r @ c["Wr"].T + da_n @ c["Wn"].T
    return dict(x=dx, h=dh, Wz=x.T @ da_z, Uz=h.T @ da_z, Wr=x.T @ da_r, Ur=h.T @ da_r,
                Wn=x.T @ da_n, Un=(r * h).T @ da_n)


@item("gru_cell_candidate_path", "functional, dict of gradients", False,
      "h also reaches the candidate through r * h: dh lacks the term drh * r.",
      ("h",), ("missing-term",))
def make_gru():
    r = _rng(104)
    X, H = 2, 3
    ins = {"x": r.normal(size=(4, X)), "h": r.normal(size=(4, H))}
    for k in "zrn":
        ins["W" + k] = r.normal(size=(X, H))
        ins["U" + k] = r.normal(size=(H, H))
    return {"forward": gru_step, "backward": gru_step_backward, "inputs": ins}


# ======================================================================================================================
# 3. port of a framework's autograd.Function
# ======================================================================================================================

class Context:
    def save_for_backward(self, *arrays):
        self.saved = arrays


class ScaledDotProductAttention:
    @staticmethod
    def forward(ctx, q, k, v):
        d_k = q.shape[-1]
        scores = np.matmul(q, k.swapaxes(-2, -1)) / np.sqrt(d_k)
        scores = scores - scores.max(-1, keepdims=True)
        attn = np.exp(scores)
        attn /= attn.sum(-1, keepdims=True)
        ctx.save_for_backward(q, k, v, attn)
        return np.matmul(attn, v)

    @staticmethod
    def backward(ctx, grad_output):
        q, k, v, attn = ctx.saved
        grad_v = np.matmul(attn.swapaxes(-2, -1), grad_output)
        grad_attn = np.matmul(grad_output, v.swapaxes(-2, -1))
        grad_scores = attn * (grad_attn - (grad_attn * attn).sum(-1, keepdims=True))
        grad_q = np.matmul(grad_scores, k)
        grad_k = np.matmul(grad_scores.swapaxes(-2, -1), q)
        return grad_q, grad_k, grad_v


def _apply(fn, *args, **kw):
    ctx = Context()
    return fn.forward(ctx, *args, **kw), ctx


@item("sdpa_function", "autograd Function port", False,
      "The scores are divided by sqrt(d_k); grad_scores is not, so dq and dk are sqrt(3) times too large.",
      ("q", "k"), ("factor",))
def make_sdpa():
    r = _rng(105)

    def forward(q, k, v):
        return _apply(ScaledDotProductAttention, q, k, v)

    return {"forward": forward, "backward": lambda dy, ctx: ScaledDotProductAttention.backward(ctx, dy),
            "inputs": {"q": r.normal(size=(3, 4, 3)), "k": r.normal(size=(3, 4, 3)), "v": r.normal(size=(3, 4, 2))}}


class GroupNorm1d:
    @staticmethod
    def forward(ctx, input, weight, bias, num_groups=2, eps=1e-5):
        N, C, L = input.shape
        xg = input.reshape(N, num_groups, -1)
        mean = xg.mean(2, keepdims=True)
        rstd = 1.0 / np.sqrt(xg.var(2, keepdims=True) + eps)
        normed = ((xg - mean) * rstd).reshape(N, C, L)
        ctx.num_groups = num_groups
        ctx.save_for_backward(input, normed, rstd, weight)
        return normed * weight[None, :, None] + bias[None, :, None]

    @staticmethod
    def backward(ctx, grad_output):
        input, normed, rstd, weight = ctx.saved
        N, C, L = input.shape
        G = ctx.num_groups
        grad_weight = (grad_output * input).sum((0, 2))
        grad_bias = grad_output.sum((0, 2))
        gn = (grad_output * weight[None, :, None]).reshape(N, G, -1)
        xn = normed.reshape(N, G, -1)
        grad_input = rstd * (gn - gn.mean(2, keepdims=True) - xn * (gn * xn).mean(2, keepdims=True))
        return grad_input.reshape(N, C, L), grad_weight, grad_bias


@item("group_norm_1d_function", "autograd Function port", False,
      "grad_weight is made with the raw input; it is to be (grad_output * normed).sum((0, 2)).",
      ("weight",), ("elementwise-factor", "missing-term"))
def make_groupnorm():
    r = _rng(106)

    def forward(input, weight, bias):
        return _apply(GroupNorm1d, input, weight, bias, num_groups=2)

    return {"forward": forward, "backward": lambda dy, ctx: GroupNorm1d.backward(ctx, dy),
            "inputs": {"input": r.normal(0.7, 1.6, (3, 4, 3)), "weight": r.normal(1, .3, 4), "bias": r.normal(size=4)}}


# ======================================================================================================================
# 4. layer classes with state (book / tutorial framework)
# ======================================================================================================================

class Softmax:
    def __init__(self):
        self.out = None

    def forward(self, x):
        x = x - np.max(x, axis=1, keepdims=True)
        e = np.exp(x)
        self.out = e / np.sum(e, axis=1, keepdims=True)
        return self.out

    def backward(self, dout):
        return self.out * (dout - np.sum(dout, axis=1, keepdims=True))


@item("softmax_layer_class", "layer class with state", False,
      "The sum in the softmax backward is to be weighted by the probabilities: out * (dout - sum(out * dout)).",
      ("x",), ("missing-term", "elementwise-factor"))
def make_softmax_layer():
    r = _rng(107)

    def forward(x):
        layer = Softmax()
        return layer.forward(x), layer

    return {"forward": forward, "backward": lambda dy, layer: layer.backward(dy), "inputs": {"x": r.normal(size=(4, 5))}}


class SigmoidLayer:
    """activation layer of a from-scratch network library"""

    def forward_propagation(self, input_data):
        self.input = input_data
        self.output = 1 / (1 + np.exp(-self.input))
        return self.output

    def backward_propagation(self, output_error):
        return output_error * self.sigmoid_prime(self.input)

    @staticmethod
    def sigmoid_prime(s):
        return s * (1 - s)


@item("sigmoid_prime_of_input", "tutorial network library", False,
      "sigmoid_prime is written for the activated value but is handed the input; it is to be called with self.output.",
      ("input_data",), ("elementwise-factor",))
def make_sigmoid_layer():
    r = _rng(108)

    def forward(input_data):
        layer = SigmoidLayer()
        return layer.forward_propagation(input_data), layer

    return {"forward": forward, "backward": lambda e, layer: layer.backward_propagation(e),
            "inputs": {"input_data": r.normal(size=(3, 1, 5))}}


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
        dW[self.idx] += dout
        return None


@item("embedding_repeated_ids", "NLP book, params/grads lists", False,
      "dW[idx] += dout keeps only one row where an id is repeated; np.add.at(dW, idx, dout) adds them all.",
      ("W",), ("missing-term", "batch-sum"))
def make_embedding():
    r = _rng(109)

    def forward(W, idx):
        layer = Embedding(W)
        return layer.forward(idx), layer

    def backward(dout, layer):
        layer.backward(dout)
        return {"W": layer.grads[0].copy()}

    return {"forward": forward, "backward": backward, "inputs": {"W": r.normal(size=(7, 3))},
            "constants": {"idx": np.array([2, 5, 2, 0, 2, 6])}}


class BilinearLayer(object):
    """y_k = x1' W_k x2 + b_k"""

    def __init__(self, W, b):
        self.W, self.b = W, b

    def __call__(self, x1, x2):
        self.x1, self.x2 = x1, x2
        return np.einsum("bi,kij,bj->bk", x1, self.W, x2) + self.b

    def grad(self, dy):
        self.dW = np.einsum("bk,bi,bj->kij", dy, self.x1, self.x2)
        self.db = dy.sum(0)
        dx1 = np.einsum("bk,kij,bj->bi", dy, self.W, self.x2)
        dx2 = np.einsum("bk,kij,bj->bi", dy, self.W, self.x1)
        return dx1, dx2


@item("bilinear_layer_einsum", "research code, einsum class", False,
      "dx2 contracts W's second index, as dx1 does; it needs the transposed W_k: einsum('bk,kij,bi->bj', dy, W, x1).",
      ("x2",), ("transpose",))
def make_bilinear():
    r = _rng(110)

    def forward(x1, x2, W, b):
        lay = BilinearLayer(W, b)
        return lay(x1, x2), lay

    def backward(dy, lay):
        dx1, dx2 = lay.grad(dy)
        return {"x1": dx1, "x2": dx2, "W": lay.dW, "b": lay.db}

    return {"forward": forward, "backward": backward,
            "inputs": {"x1": r.normal(size=(4, 3)), "x2": r.normal(size=(4, 3)), "W": r.normal(size=(2, 3, 3)),
                       "b": r.normal(size=2)}}


# ======================================================================================================================
# 5. signal processing
# ======================================================================================================================

def fir_bank(signals, taps):
    """'valid' sliding dot product of every row with the taps (no flip)"""
    return np.stack([np.correlate(s, taps, mode="valid") for s in signals]), (signals, taps)


def fir_bank_adjoint(dout, saved):
    signals, taps = saved
    d_signals = np.stack([np.correlate(d, taps, mode="full") for d in dout])
    d_taps = sum(np.correlate(s, d, mode="valid") for s, d in zip(signals, dout))
    return d_signals, d_taps


@item("fir_valid_correlation", "signal processing", False,
      "The adjoint of a valid correlation is a full convolution: the taps must be flipped, np.convolve(d, taps, 'full').",
      ("signals",), ("transpose", "unknown"))
def make_fir():
    r = _rng(111)
    return {"forward": fir_bank, "backward": fir_bank_adjoint,
            "inputs": {"signals": r.normal(size=(3, 8)), "taps": np.array([1.2, -0.4, 0.1, -0.9])}}


# ======================================================================================================================
# 6. character-RNN gist
# ======================================================================================================================

def lstm_cell(x, h, c, W, b):
    H = h.shape[1]
    hx = np.hstack([x, h])
    ifog = hx.dot(W) + b
    i = 1 / (1 + np.exp(-ifog[:, :H]))
    f = 1 / (1 + np.exp(-ifog[:, H:2 * H]))
    o = 1 / (1 + np.exp(-ifog[:, 2 * H:3 * H]))
    g = np.tanh(ifog[:, 3 * H:])
    c_next = f * c + i * g
    tc = np.tanh(c_next)
    return o * tc, (hx, i, f, o, g, c, tc, W, x.shape[1])


def lstm_cell_back(dh, cache):
    hx, i, f, o, g, c, tc, W, D = cache
    do = dh * tc
    dc = dh * o * (1 - tc * tc)
    df = dc * c
    di = dc * g
    dg = dc * i
    dc_prev = dc * f
    difog = np.hstack([(1 - i * i) * di, f * (1 - f) * df, o * (1 - o) * do, (1 - g * g) * dg])
    dW = hx.T.dot(difog)
    db = difog.sum(axis=0)
    dhx = difog.dot(W.T)
    return dhx[:, :D], dhx[:, D:], dc_prev, dW, db


@item("lstm_cell_ifog_gist", "character-RNN gist", False,
      "The input gate is a sigmoid: its slope is i * (1 - i), not the tanh's 1 - i * i.",
      ("x", "h", "W", "b"), ("elementwise-factor", "missing-term"))
def make_lstm():
    r = _rng(112)
    D, H = 3, 2
    return {"forward": lstm_cell, "backward": lstm_cell_back,
            "inputs": {"x": r.normal(size=(4, D)), "h": r.normal(size=(4, H)), "c": r.normal(size=(4, H)),
                       "W": r.normal(size=(D + H, 4 * H)), "b": r.normal(size=4 * H)}}


def rnn_unroll(x, h0, Wxh, Whh, bh):
    T = x.shape[1]
    hs = {-1: h0}
    for t in range(T):
        hs[t] = np.tanh(x[:, t] @ Wxh + hs[t - 1] @ Whh + bh)
    return np.stack([hs[t] for t in range(T)], axis=1), (x, hs, Wxh, Whh)


def rnn_unroll_bptt(dhs, cache):
    x, hs, Wxh, Whh = cache
    dWxh, dWhh, dbh = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros(Whh.shape[0])
    dx = np.zeros_like(x)
    dhnext = np.zeros_like(hs[-1])
    for t in reversed(range(x.shape[1])):
        dh = dhs[:, t] + dhnext               # from the output and from the step after
        draw = (1 - hs[t] ** 2) * dh
        dbh += draw.sum(0)
        dWxh += x[:, t].T @ draw
        dWhh += hs[t - 1].T @ draw
        dx[:, t] = draw @ Wxh.T
        dhnext = draw @ Whh
    return dx, dhnext, dWxh, dWhh, dbh


@item("vanilla_rnn_bptt_batch_major", "notebook, BPTT loop", False,
      "dhnext goes back through Whh and needs its transpose: dhnext = draw @ Whh.T.",
      ("x", "h0", "Wxh", "Whh", "bh"), ("transpose", "unknown"))
def make_rnn():
    r = _rng(113)
    return {"forward": rnn_unroll, "backward": rnn_unroll_bptt,
            "inputs": {"x": r.normal(size=(3, 4, 2)), "h0": 0.5 * r.normal(size=(3, 3)), "Wxh": 0.6 * r.normal(size=(2, 3)),
                       "Whh": 0.8 * r.normal(size=(3, 3)), "bh": 0.1 * r.normal(size=3)}}


# ======================================================================================================================
# 7. tuple-in tuple-out functions (chain-style framework)
# ======================================================================================================================

class GELUTanh:
    coef = 0.044715
    k = (2.0 / np.pi) ** 0.5

    def forward(self, inputs):
        x, = inputs
        self.retained = x,
        self.t = np.tanh(self.k * (x + self.coef * x ** 3))
        return 0.5 * x * (1 + self.t),

    def backward(self, inputs, grad_outputs):
        x, = inputs
        gy, = grad_outputs
        dinner = self.k * (1 + self.coef * x ** 2)
        gx = 0.5 * (1 + self.t) + 0.5 * x * (1 - self.t ** 2) * dinner
        return gx * gy,


@item("gelu_tanh_function_node", "tuple-in tuple-out function nodes", False,
      "The derivative of coef * x**3 is 3 * coef * x**2: the 3 is missing in dinner.",
      ("x",), ("elementwise-factor", "missing-term", "factor"))
def make_gelu():
    r = _rng(114)

    def forward(x):
        node = GELUTanh()
        y, = node.forward((x,))
        return y, node

    return {"forward": forward, "backward": lambda gy, node: node.backward(node.retained, (gy,)),
            "inputs": {"x": r.normal(0, 1.5, (5, 4))}}


# ======================================================================================================================
# 8. losses, research code
# ======================================================================================================================

def smoothed_xent(logits, labels, smoothing=0.1):
    n, k = logits.shape
    logp = logits - logits.max(1, keepdims=True)
    logp = logp - np.log(np.exp(logp).sum(1, keepdims=True))
    target = np.full((n, k), smoothing / k)
    target[np.arange(n), labels] += 1 - smoothing
    loss = -(target * logp).sum() / n
    return loss, (logp, labels)


def smoothed_xent_grad(dloss, cache):
    logp, labels = cache
    n = len(labels)
    grad = np.exp(logp)
    grad[np.arange(n), labels] -= 1
    return dloss * grad / n


@item("label_smoothing_xent", "vision research code", False,
      "The gradient is softmax minus the *smoothed* target; here the hard one-hot is subtracted.",
      ("logits",), ("missing-term",))
def make_ls():
    r = _rng(115)
    return {"forward": smoothed_xent, "backward": smoothed_xent_grad, "inputs": {"logits": r.normal(size=(5, 4))},
            "constants": {"labels": np.array([0, 3, 1, 1, 2]), "smoothing": 0.2}}


class TripletLoss:
    def __init__(self, margin=1.0):
        self.margin = margin

    def forward(self, anchor, positive, negative):
        self.a, self.p, self.n = anchor, positive, negative
        d_ap = np.sum((anchor - positive) ** 2, axis=1)
        d_an = np.sum((anchor - negative) ** 2, axis=1)
        hinge = d_ap - d_an + self.margin
        self.active = (hinge > 0)[:, None]
        return np.mean(np.maximum(hinge, 0))

    def backward(self, upstream=1.0):
        scale = upstream * self.active / len(self.a)
        d_anchor = 2 * scale * (self.a - self.p)
        d_positive = -2 * scale * (self.a - self.p)
        d_negative = 2 * scale * (self.a - self.n)
        return d_anchor, d_positive, d_negative


@item("triplet_loss_class", "metric-learning research", False,
      "The anchor stands in both distances: d_anchor lacks -2 * scale * (a - n).",
      ("anchor",), ("missing-term",))
def make_triplet():
    r = _rng(116)

    def forward(anchor, positive, negative):
        crit = TripletLoss(margin=0.8)
        return crit.forward(anchor, positive, negative), crit

    a = r.normal(size=(6, 3))
    return {"forward": forward, "backward": lambda g, crit: crit.backward(g),
            "inputs": {"anchor": a, "positive": a + 0.9 * r.normal(size=(6, 3)), "negative": a + r.normal(size=(6, 3))}}


def bpr_loss(user, pos, neg):
    """Bayesian personalised ranking: -log sigmoid(u . (i - j)), mean over triples"""
    x_uij = np.sum(user * (pos - neg), axis=1)
    loss = np.mean(np.logaddexp(0.0, -x_uij))
    return loss, (user, pos, neg, x_uij)


def bpr_grad(g, cache):
    user, pos, neg, x_uij = cache
    with np.errstate(all="ignore"):
        e = np.exp(-x_uij)
        d = (-g * e / (1.0 + e) / len(x_uij))[:, None]
    return {"user": d * (pos - neg), "pos": d * user, "neg": -d * user}


@item("bpr_loss_overflow", "recommender system", False,
      "exp(-x) overflows for a very negative score and e / (1 + e) is inf / inf = nan; use 1 / (1 + exp(x)).",
      ("user", "pos", "neg"), ("non-finite",))
def make_bpr():
    r = _rng(117)
    user, pos, neg = r.normal(size=(3, 4, 3))
    user[2] = [30., -4., 10.]
    pos[2] = [-16., 1., -7.]
    neg[2] = [14., 3., 2.]
    return {"forward": bpr_loss, "backward": bpr_grad, "inputs": {"user": user, "pos": pos, "neg": neg}}


# ======================================================================================================================
# 9. framework-utility style: weight normalisation
# ======================================================================================================================

class WeightNormLinear:
    def __init__(self, v, g, b):
        self.weight_v, self.weight_g, self.bias = v, g, b

    def forward(self, x):
        self.x = x
        self.norm = np.linalg.norm(self.weight_v, axis=1, keepdims=True)
        self.weight = self.weight_g[:, None] * self.weight_v / self.norm
        return x @ self.weight.T + self.bias

    def backward(self, gout):
        gx = gout @ self.weight
        gw = gout.T @ self.x
        dot = (gw * self.weight_v).sum(axis=1, keepdims=True)
        g_col = self.weight_g[:, None]
        self.grad_weight_g = dot[:, 0]
        self.grad_weight_v = g_col / self.norm * (gw - self.weight_v * dot / self.norm ** 2)
        self.grad_bias = gout.sum(axis=0)
        return gx


@item("weight_norm_linear", "framework utility port", False,
      "grad_weight_g is gw . v / |v|: the division by the norm of each row is missing.",
      ("g",), ("elementwise-factor",))
def make_wn():
    r = _rng(118)

    def forward(x, v, g, b):
        m = WeightNormLinear(v, g, b)
        return m.forward(x), m

    def backward(gout, m):
        gx = m.backward(gout)
        return dict(x=gx, v=m.grad_weight_v, g=m.grad_weight_g, b=m.grad_bias)

    return {"forward": forward, "backward": backward,
            "inputs": {"x": r.normal(size=(5, 4)), "v": r.normal(size=(3, 4)) * np.array([[1.], [2.], [.3]]),
                       "g": r.uniform(.5, 2, 3), "b": r.normal(size=3)}}


# ======================================================================================================================
# 10. reinforcement-learning baselines
# ======================================================================================================================

def ppo_policy_loss(logp, old_logp, advantages, cliprange=0.2):
    ratio = np.exp(logp - old_logp)
    pg1 = -advantages * ratio
    pg2 = -advantages * np.clip(ratio, 1.0 - cliprange, 1.0 + cliprange)
    pg_loss = np.mean(np.maximum(pg1, pg2))
    return pg_loss, dict(ratio=ratio, adv=advantages, cliprange=cliprange)


def ppo_policy_loss_backward(g, cache):
    ratio, adv = cache["ratio"], cache["adv"]
    unclipped = np.abs(ratio - 1.0) < cache["cliprange"]
    return {"logp": g * -adv * ratio * unclipped / adv.size}


@item("ppo_clipped_surrogate", "RL baselines", False,
      "The gradient stops only where the clipped branch is the larger one; with A < 0 and ratio > 1 + c (or A > 0 and ratio < 1 - c) "
      "it must flow: the mask is pg1 >= pg2, not |ratio - 1| < c.",
      ("logp",), ("elementwise-factor", "zero"))
def make_ppo():
    return {"forward": ppo_policy_loss, "backward": ppo_policy_loss_backward,
            "inputs": {"logp": np.array([-1.0, -0.3, -2.0, -0.8, -1.6, -0.5])},
            "constants": {"old_logp": np.array([-1.1, -0.9, -1.2, -1.4, -1.0, -0.6]),
                          "advantages": np.array([0.7, -1.3, 0.9, 1.1, -0.4, -0.2]), "cliprange": 0.2}}


def td_huber(q_values, actions, targets, delta):
    q_sel = q_values[np.arange(len(actions)), actions]
    td = q_sel - targets
    quad = np.minimum(np.abs(td), delta)
    lin = np.abs(td) - quad
    loss = (0.5 * quad ** 2 + delta * lin).mean()
    return loss, (q_values.shape, actions, td, delta)


def td_huber_grad(dloss, cache):
    shape, actions, td, delta = cache
    dtd = np.where(np.abs(td) <= delta, td, np.sign(td))
    dq = np.zeros(shape)
    dq[np.arange(len(actions)), actions] = dloss * dtd / len(actions)
    return dq


@item("dqn_huber_td_error", "deep Q-learning", False,
      "In the linear region the slope of the Huber loss is delta * sign(td); delta is missing (right only for delta = 1).",
      ("q_values",), ("elementwise-factor", "factor"))
def make_huber():
    r = _rng(119)
    return {"forward": td_huber, "backward": td_huber_grad, "inputs": {"q_values": r.normal(size=(6, 3))},
            "constants": {"actions": np.array([0, 2, 1, 1, 0, 2]), "delta": 0.4,
                          "targets": np.array([0.1, 1.8, -2.0, 0.6, 0.3, -0.4])}}


# ======================================================================================================================
# 11. graphics
# ======================================================================================================================

def texture_lookup(texture, uv):
    """bilinear fetch; uv in [-1, 1], corners aligned"""
    H, W = texture.shape
    px = (uv[:, 0] + 1) * 0.5 * (W - 1)
    py = (uv[:, 1] + 1) * 0.5 * (H - 1)
    x0 = np.clip(np.floor(px).astype(int), 0, W - 2)
    y0 = np.clip(np.floor(py).astype(int), 0, H - 2)
    fx, fy = px - x0, py - y0
    c00, c10 = texture[y0, x0], texture[y0, x0 + 1]
    c01, c11 = texture[y0 + 1, x0], texture[y0 + 1, x0 + 1]
    top = c00 * (1 - fx) + c10 * fx
    bottom = c01 * (1 - fx) + c11 * fx
    return top * (1 - fy) + bottom * fy, (texture.shape, x0, y0, fx, fy, c00, c10, c01, c11)


def texture_lookup_bwd(d_color, saved):
    shape, x0, y0, fx, fy, c00, c10, c01, c11 = saved
    d_tex = np.zeros(shape)
    np.add.at(d_tex, (y0, x0), d_color * (1 - fx) * (1 - fy))
    np.add.at(d_tex, (y0, x0 + 1), d_color * fx * (1 - fy))
    np.add.at(d_tex, (y0 + 1, x0), d_color * (1 - fx) * fy)
    np.add.at(d_tex, (y0 + 1, x0 + 1), d_color * fx * fy)
    d_fx = d_color * ((c10 - c00) * (1 - fy) + (c11 - c01) * fy)
    d_fy = d_color * ((c01 - c00) * (1 - fx) + (c11 - c10) * fx)
    d_uv = np.stack([d_fx, d_fy], axis=-1)
    return d_tex, d_uv


@item("texture_bilinear_fetch", "differentiable rendering", False,
      "uv is normalised: d_uv lacks the scale of the pixel coordinates, (W - 1) / 2 for u and (H - 1) / 2 for v.",
      ("uv",), ("elementwise-factor",))
def make_texture():
    r = _rng(120)
    return {"forward": texture_lookup, "backward": texture_lookup_bwd,
            "inputs": {"texture": r.normal(size=(4, 6)), "uv": r.uniform(-0.95, 0.95, (5, 2))}}


def pwl_activation(x, values, knots):
    """piecewise linear response curve: values at integer knots, straight in between"""
    y = np.empty_like(x)
    seg = []
    for n in range(len(x)):
        k = int(np.searchsorted(knots, x[n], side="right")) - 1
        w = (x[n] - knots[k]) / (knots[k + 1] - knots[k])
        y[n] = (1 - w) * values[k] + w * values[k + 1]
        seg.append((k, w))
    return y, (seg, values, knots)


def pwl_activation_backward(dy, cache):
    seg, values, knots = cache
    dx = np.zeros(len(seg))
    dvalues = np.zeros_like(knots)
    for n, (k, w) in enumerate(seg):
        dx[n] = dy[n] * (values[k + 1] - values[k]) / (knots[k + 1] - knots[k])
        dvalues[k] += dy[n] * (1 - w)
        dvalues[k + 1] += dy[n] * w
    return {"x": dx, "values": dvalues}


@item("tone_curve_integer_buffer", "graphics, loops", False,
      "dvalues is made with zeros_like(knots), an integer array: every added gradient is cut to a whole number. Use zeros_like(values).",
      ("values",), ("precision", "zero"))
def make_pwl():
    r = _rng(121)
    return {"forward": pwl_activation, "backward": pwl_activation_backward,
            "inputs": {"x": np.array([-1.7, 0.35, 0.6, 1.2, 2.45, -0.25]), "values": r.normal(size=7)},
            "constants": {"knots": np.arange(-3, 4)}}


# ======================================================================================================================
# 12. features-first lecture code, columns are examples
# ======================================================================================================================

def linear_activation_forward(A_prev, W, b):
    Z = np.dot(W, A_prev) + b
    A = np.tanh(Z)
    linear_cache = (A_prev, W, b)
    activation_cache = A
    return A, (linear_cache, activation_cache)


def linear_activation_backward(dA, cache):
    (A_prev, W, b), A = cache
    m = A_prev.shape[1]
    dZ = dA * (1 - np.power(A, 2))
    dW = 1. / m * np.dot(dZ, A_prev.T)
    db = 1. / m * np.sum(dZ, axis=1, keepdims=True)
    dA_prev = np.dot(W.T, dZ)
    return dA_prev, dW, db


@item("linear_tanh_columns_over_m", "features-first lecture code", False,
      "The layer holds no mean: 1/m belongs to the cost's own gradient, here dW and db are divided by m once too often.",
      ("W", "b"), ("factor",))
def make_columns():
    r = _rng(122)
    return {"forward": linear_activation_forward, "backward": linear_activation_backward,
            "inputs": {"A_prev": r.normal(size=(3, 5)), "W": r.normal(size=(4, 3)) * 0.7, "b": r.normal(size=(4, 1))}}


# ======================================================================================================================
# 13. language-model ports
# ======================================================================================================================

def apply_rope(x, base=10000.0):
    T, D = x.shape
    freqs = base ** (-np.arange(0, D, 2) / D)
    ang = np.outer(np.arange(T), freqs)
    cos, sin = np.cos(ang), np.sin(ang)
    x1, x2 = x[:, 0::2], x[:, 1::2]
    out = np.empty_like(x)
    out[:, 0::2] = x1 * cos - x2 * sin
    out[:, 1::2] = x1 * sin + x2 * cos
    return out, (cos, sin)


def apply_rope_backward(dout, cache):
    cos, sin = cache
    d1, d2 = dout[:, 0::2], dout[:, 1::2]
    dx = np.empty_like(dout)
    dx[:, 0::2] = d1 * cos - d2 * sin
    dx[:, 1::2] = d1 * sin + d2 * cos
    return dx


@item("rope_interleaved", "transformer port", False,
      "The gradient is rotated forwards again; the adjoint of a rotation is its transpose (sin with the other sign).",
      ("x",), ("transpose", "missing-term"))
def make_rope():
    r = _rng(123)
    return {"forward": apply_rope, "backward": apply_rope_backward, "inputs": {"x": r.normal(size=(6, 4))},
            "constants": {"base": 100.0}}


def rmsnorm_forward(out, rstd, inp, weight, B, T, C):
    for b in range(B):
        for t in range(T):
            x = inp[b, t]
            ss = 0.0
            for i in range(C):
                ss += x[i] * x[i]
            s = 1.0 / np.sqrt(ss / C + 1e-5)
            for i in range(C):
                out[b, t, i] = x[i] * s * weight[i]
            rstd[b, t] = s


def rmsnorm_backward(dinp, dweight, dout, inp, weight, rstd, B, T, C):
    for b in range(B):
        for t in range(T):
            s = rstd[b, t]
            # reduce
            dot = 0.0
            for i in range(C):
                dot += dout[b, t, i] * weight[i] * inp[b, t, i]
            # accumulate
            for i in range(C):
                dweight[i] += dout[b, t, i] * inp[b, t, i] * s
                dinp[b, t, i] += s * (dout[b, t, i] * weight[i] - inp[b, t, i] * s * s * dot)


@item("rmsnorm_c_port", "C port with output buffers", False,
      "The mean square has a 1/C: the second term of dinp is to be inp * s**2 * dot / C.",
      ("inp",), ("missing-term", "factor"))
def make_rms():
    r = _rng(124)

    def forward(inp, weight):
        B, T, C = inp.shape
        out, rstd = np.zeros((B, T, C)), np.zeros((B, T))
        rmsnorm_forward(out, rstd, inp, weight, B, T, C)
        return out, (inp, weight, rstd)

    def backward(dout, acts):
        inp, weight, rstd = acts
        dinp, dweight = np.zeros_like(inp), np.zeros_like(weight)
        rmsnorm_backward(dinp, dweight, dout, inp, weight, rstd, *inp.shape)
        return {"inp": dinp, "weight": dweight}

    return {"forward": forward, "backward": backward,
            "inputs": {"inp": r.normal(size=(3, 2, 4)), "weight": r.uniform(0.5, 1.5, 4)}}


class Linear3D:
    """nn.Linear for (B, T, C) activations"""

    def __init__(self, weight, bias):
        self.weight, self.bias = weight, bias

    def forward(self, x):
        self.x = x
        return x @ self.weight.T + self.bias

    def backward(self, dy):
        B, T, O = dy.shape
        self.weight_grad = dy.reshape(B * T, O).T @ self.x.reshape(B * T, -1)
        self.bias_grad = dy.sum(axis=0)
        return dy @ self.weight


@item("linear_over_tokens", "transformer port, module class", False,
      "The bias is shared by batch and time: its gradient is summed over axis 0 only and has the shape (T, O); sum over (0, 1).",
      ("bias",), ("shape", "batch-sum"))
def make_linear3d():
    r = _rng(125)

    def forward(x, weight, bias):
        mod = Linear3D(weight, bias)
        return mod.forward(x), mod

    def backward(dy, mod):
        dx = mod.backward(dy)
        return {"x": dx, "weight": mod.weight_grad, "bias": mod.bias_grad}

    return {"forward": forward, "backward": backward,
            "inputs": {"x": r.normal(size=(3, 4, 3)), "weight": r.normal(size=(2, 3)), "bias": r.normal(size=2)}}


def cbow_tied(E, contexts, targets):
    """CBOW with one table for input and output"""
    h = E[contexts].mean(axis=1)
    scores = h @ E.T
    scores -= scores.max(axis=1, keepdims=True)
    p = np.exp(scores)
    p /= p.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(targets)), targets]).sum()
    return loss, (E, contexts, targets, h, p)


def cbow_tied_grad(g, cache):
    E, contexts, targets, h, p = cache
    ds = p.copy()
    ds[np.arange(len(targets)), targets] -= 1.0
    ds *= g
    dE = ds.T @ h
    return {"E": dE}


@item("cbow_tied_table", "NLP word vectors", False,
      "E is used on both sides; the path through the context average (np.add.at(dE, contexts, (ds @ E)[:, None] / window)) is missing.",
      ("E",), ("missing-term",))
def make_cbow():
    r = _rng(126)
    return {"forward": cbow_tied, "backward": cbow_tied_grad, "inputs": {"E": r.normal(size=(6, 3))},
            "constants": {"contexts": np.array([[0, 2], [1, 3], [5, 2], [4, 4]]), "targets": np.array([1, 2, 3, 0])}}


def bahdanau_attention(s, enc, W_a, U_a, v_a):
    """s: decoder state (B, S); enc: encoder outputs (B, T, H)"""
    e = np.tanh((s @ W_a)[:, None, :] + enc @ U_a)
    score = e @ v_a
    a = np.exp(score - score.max(axis=1, keepdims=True))
    a = a / a.sum(axis=1, keepdims=True)
    context = (a[:, :, None] * enc).sum(axis=1)
    return context, (s, enc, W_a, U_a, v_a, e, a)


def bahdanau_attention_backward(dcontext, cache):
    s, enc, W_a, U_a, v_a, e, a = cache
    da = (enc * dcontext[:, None, :]).sum(axis=2)
    denc = a[:, :, None] * dcontext[:, None, :]
    dscore = a * (da - (a * da).sum(axis=1, keepdims=True))
    dv_a = (e * dscore[:, :, None]).sum(axis=(0, 1))
    dpre = dscore[:, :, None] * v_a * (1 - e ** 2)
    denc = denc + dpre @ U_a.T
    dU_a = np.tensordot(enc, dpre, axes=([0, 1], [0, 1]))
    dquery = dpre.mean(axis=1)              # the query was broadcast over time
    dW_a = s.T @ dquery
    ds = dquery @ W_a.T
    return ds, denc, dW_a, dU_a, dv_a


@item("additive_attention_query", "seq2seq NLP", False,
      "A broadcast is undone by a sum, not a mean: dquery = dpre.sum(axis=1); ds and dW_a are T times too small.",
      ("s", "W_a"), ("factor",))
def make_bahdanau():
    r = _rng(127)
    return {"forward": bahdanau_attention, "backward": bahdanau_attention_backward,
            "inputs": {"s": r.normal(size=(3, 2)), "enc": r.normal(size=(3, 4, 3)), "W_a": r.normal(size=(2, 4)),
                       "U_a": r.normal(size=(3, 4)), "v_a": r.normal(size=4)}}


# ======================================================================================================================
# 14. statistics
# ======================================================================================================================

def t_regression_nll(beta, log_sigma, X, y, nu):
    """robust regression with Student t errors, log-likelihood kernel"""
    sigma = np.exp(log_sigma)
    res = (y - X @ beta) / sigma
    nll = np.sum(0.5 * (nu + 1) * np.log1p(res ** 2 / nu) + log_sigma)
    return nll, {"X": X, "res": res, "sigma": sigma, "nu": nu}


def t_regression_score(g, st):
    X, res, sigma, nu = st["X"], st["res"], st["sigma"], st["nu"]
    w = (nu + 1) / (nu + res ** 2)          # IRLS weights
    d_beta = g * X.T @ (w * res) / sigma
    d_log_sigma = g * np.sum(1.0 - w * res ** 2)
    return {"beta": d_beta, "log_sigma": d_log_sigma}


@item("student_t_regression_score", "statistics, robust regression", False,
      "This is the score of the log likelihood; the function returns the *negative* one: d_beta needs a minus.",
      ("beta",), ("sign",))
def make_t():
    r = _rng(128)
    X = np.column_stack([np.ones(6), r.normal(size=(6, 2))])
    return {"forward": t_regression_nll, "backward": t_regression_score,
            "inputs": {"beta": r.normal(size=3), "log_sigma": np.array(0.3)},
            "constants": {"X": X, "y": r.normal(0, 2, 6), "nu": 4}}


# ======================================================================================================================
# 15. symbolic-graph era layer
# ======================================================================================================================

class HighwayLayer(object):
    def __init__(self, W_h, b_h, W_t, b_t):
        self.W_h, self.b_h, self.W_t, self.b_t = W_h, b_h, W_t, b_t

    def fprop(self, x):
        self.x = x
        self.H = np.maximum(0., np.dot(x, self.W_h) + self.b_h)
        self.T = 1. / (1. + np.exp(-(np.dot(x, self.W_t) + self.b_t)))
        return self.H * self.T + x * (1. - self.T)

    def bprop(self, dy):
        dH = dy * self.T
        dT = dy * (self.x - self.H)
        dx = dy * (1. - self.T)
        aH = dH * (self.H > 0)
        aT = dT * self.T * (1. - self.T)
        self.updates = {"W_h": np.dot(self.x.T, aH), "b_h": aH.sum(0), "W_t": np.dot(self.x.T, aT), "b_t": aT.sum(0)}
        return dx + np.dot(aH, self.W_h.T) + np.dot(aT, self.W_t.T)


@item("highway_fprop_bprop", "fprop/bprop era library", False,
      "y = H T + x (1 - T), so dT = dy * (H - x); here its sign is turned round.",
      ("x", "W_t", "b_t"), ("sign", "missing-term"))
def make_highway():
    r = _rng(129)

    def forward(x, W_h, b_h, W_t, b_t):
        lay = HighwayLayer(W_h, b_h, W_t, b_t)
        return lay.fprop(x), lay

    def backward(dy, lay):
        dx = lay.bprop(dy)
        return dict(lay.updates, x=dx)

    return {"forward": forward, "backward": backward,
            "inputs": {"x": r.normal(size=(4, 3)), "W_h": r.normal(size=(3, 3)), "b_h": r.normal(size=3) + 0.3,
                       "W_t": r.normal(size=(3, 3)), "b_t": r.normal(size=3)}}


# ======================================================================================================================
# right ones
# ======================================================================================================================

def bn_columns(Z, g, b):
    """activations (units, examples), one-line backward"""
    m = Z.shape[1]
    mu = Z.sum(1, keepdims=True) / m
    s2 = ((Z - mu) ** 2).sum(1, keepdims=True) / m
    t = (s2 + 0.5) ** -0.5                  # a large epsilon
    return g * (Z - mu) * t + b, (Z, mu, t, g, m)


def bn_columns_back(dO, c):
    Z, mu, t, g, m = c
    dZ = g * t / m * (m * dO - dO.sum(1, keepdims=True) - (Z - mu) * t ** 2 * (dO * (Z - mu)).sum(1, keepdims=True))
    return dZ, ((Z - mu) * t * dO).sum(1, keepdims=True), dO.sum(1, keepdims=True)


@item("bn_columns_one_line_large_eps", "features-first lecture code", True)
def make_r1():
    r = _rng(201)
    return {"forward": bn_columns, "backward": bn_columns_back,
            "inputs": {"Z": r.normal(size=(4, 5)) * np.array([[1e-2], [1], [3], [20]]), "g": r.normal(size=(4, 1)), "b": r.normal(size=(4, 1))}}


class ReLU6InPlace:
    def forward(self, x):
        buf = np.array(x)                   # own copy, then in place
        self.low = buf <= 0
        self.high = buf >= 6
        buf[self.low] = 0
        buf[self.high] = 6
        return buf

    def backward(self, dout):
        dx = dout.copy()
        dx[self.low] = 0
        dx[self.high] = 0
        return dx


@item("relu6_own_buffer", "mobile vision layer class", True)
def make_r2():
    def forward(x):
        f = ReLU6InPlace()
        return f.forward(x), f
    x = np.array([[-3.0, 0.02, 5.97], [6.04, -0.03, 2.0], [100., 3., -1e-2], [1.0, 7.5, 6.5]])
    return {"forward": forward, "backward": lambda d, f: f.backward(d), "inputs": {"x": x}}


def nll_ignore(logits, target, ignore_index=-100):
    keep = target != ignore_index
    lse = np.logaddexp.reduce(logits, axis=-1)
    safe = np.where(keep, target, 0)
    picked = np.take_along_axis(logits, safe[:, None], axis=-1)[:, 0]
    loss = ((lse - picked) * keep).sum() / keep.sum()
    return loss, (logits, lse, safe, keep)


def nll_ignore_vjp(g, res):
    logits, lse, safe, keep = res
    d = np.exp(logits - lse[:, None])
    d[np.arange(len(safe)), safe] -= 1
    return d * (g * keep / keep.sum())[:, None]


@item("xent_ignore_index_huge_logits", "NLP, functional", True)
def make_r3():
    r = _rng(203)
    x = r.normal(size=(6, 4))
    x[0] += 900
    x[3] -= 700
    return {"forward": nll_ignore, "backward": nll_ignore_vjp, "inputs": {"logits": x},
            "constants": {"target": np.array([1, -100, 0, 3, 2, -100])}}


def causal_mha(x, w_qkv, w_o, n_head):
    B, T, C = x.shape
    qkv = np.einsum("btc,cshd->sbhtd", x, w_qkv.reshape(C, 3, n_head, C // n_head))
    q, k, v = qkv
    att = np.einsum("bhtd,bhsd->bhts", q, k) * (C // n_head) ** -0.5
    att = np.where(np.tril(np.ones((T, T), bool)), att, -np.inf)
    att = np.exp(att - att.max(-1, keepdims=True))
    att /= att.sum(-1, keepdims=True)
    o = np.einsum("bhts,bhsd->bthd", att, v).reshape(B, T, C)
    return o @ w_o, (x, w_qkv, w_o, q, k, v, att, o)


def causal_mha_bwd(dy, cache):
    x, w_qkv, w_o, q, k, v, att, o = cache
    B, T, C = x.shape
    h, d = q.shape[1], q.shape[3]
    dw_o = np.einsum("btc,bte->ce", o, dy)
    do = (dy @ w_o.T).reshape(B, T, h, d)
    datt = np.einsum("bthd,bhsd->bhts", do, v)
    dv = np.einsum("bhts,bthd->bhsd", att, do)
    ds = att * (datt - np.einsum("bhts,bhts->bht", att, datt)[..., None]) / np.sqrt(d)
    dq = np.einsum("bhts,bhsd->bhtd", ds, k)
    dk = np.einsum("bhts,bhtd->bhsd", ds, q)
    dqkv = np.stack([dq, dk, dv])
    dw = np.einsum("btc,sbhtd->cshd", x, dqkv).reshape(w_qkv.shape)
    dx = np.einsum("sbhtd,cshd->btc", dqkv, w_qkv.reshape(C, 3, h, d))
    return dx, dw, dw_o


@item("causal_mha_packed_qkv", "transformer port, einsum", True)
def make_r4():
    r = _rng(204)
    C = 2
    return {"forward": causal_mha, "backward": causal_mha_bwd,
            "inputs": {"x": r.normal(size=(3, 4, C)), "w_qkv": r.normal(size=(C, 3 * C)), "w_o": r.normal(size=(C, C))},
            "constants": {"n_head": 2}}


def depthwise_conv(img, filt, stride=2, pad=1):
    p = np.pad(img, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    kh, kw = filt.shape[1:]
    win = np.lib.stride_tricks.sliding_window_view(p, (kh, kw), axis=(2, 3))[:, :, ::stride, ::stride]
    return (win * filt[None, :, None, None]).sum((-1, -2)), (win, filt, p.shape, stride, pad)


def depthwise_conv_back(dout, saved):
    win, filt, pshape, stride, pad = saved
    dfilt = (win * dout[..., None, None]).sum((0, 2, 3))
    dp = np.zeros(pshape)
    oh, ow = dout.shape[2:]
    kh, kw = filt.shape[1:]
    for a in range(kh):
        for b in range(kw):
            dp[:, :, a:a + stride * oh:stride, b:b + stride * ow:stride] += dout * filt[None, :, a, b, None, None]
    return dp[:, :, pad:-pad, pad:-pad], dfilt


@item("depthwise_strided_windows", "stride tricks research code", True)
def make_r5():
    r = _rng(205)
    return {"forward": depthwise_conv, "backward": depthwise_conv_back,
            "inputs": {"img": r.normal(size=(3, 1, 3, 4)), "filt": r.normal(size=(1, 3, 2))}}


class PeepholeCell:
    """one step; y is [h, c] side by side, so both carry gradient"""

    def __init__(self, W, peep):
        self.W, self.peep = W, peep

    def step(self, xh, c):
        n = c.shape[1]
        z = xh @ self.W
        f = 1 / (1 + np.exp(-(z[:, :n] + self.peep[0] * c)))
        u = np.tanh(z[:, n:2 * n])
        c2 = f * c + (1 - f) * u            # coupled gates
        o = 1 / (1 + np.exp(-(z[:, 2 * n:] + self.peep[1] * c2)))
        h = o * np.tanh(c2)
        self.tape = xh, c, f, u, c2, o
        return np.concatenate([h, c2], 1)

    def unstep(self, dy):
        xh, c, f, u, c2, o = self.tape
        n = c.shape[1]
        dh, dc2 = dy[:, :n], dy[:, n:]
        th = np.tanh(c2)
        dzo = dh * th * o * (1 - o)
        dc2 = dc2 + dh * o * (1 - th ** 2) + dzo * self.peep[1]
        dzf = dc2 * (c - u) * f * (1 - f)
        dzu = dc2 * (1 - f) * (1 - u ** 2)
        dz = np.concatenate([dzf, dzu, dzo], 1)
        dc = dc2 * f + dzf * self.peep[0]
        return dz @ self.W.T, dc, xh.T @ dz, np.stack([(dzf * c).sum(0), (dzo * c2).sum(0)])


@item("peephole_coupled_cell", "speech toolkit cell class", True)
def make_r6():
    r = _rng(206)

    def forward(xh, c, W, peep):
        cell = PeepholeCell(W, peep)
        return cell.step(xh, c), cell

    return {"forward": forward, "backward": lambda dy, cell: cell.unstep(dy),
            "inputs": {"xh": r.normal(size=(3, 4)), "c": r.normal(size=(3, 2)), "W": r.normal(size=(4, 6)), "peep": r.normal(size=(2, 2))}}


def tempered_softplus(x, log_temp):
    t = np.exp(log_temp)
    u = x / t
    return t * np.logaddexp(0, u), (x, t, u)


def tempered_softplus_pull(ybar, res):
    x, t, u = res
    s = 0.5 * (1 + np.tanh(0.5 * u))        # sigmoid that never overflows
    return {"x": ybar * s, "log_temp": np.sum(ybar * (t * np.logaddexp(0, u) - x * s))}


@item("softplus_zero_d_temperature", "jax-like, 0-d parameter", True)
def make_r7():
    return {"forward": tempered_softplus, "backward": tempered_softplus_pull,
            "inputs": {"x": np.array([-650., -3.2, 0.0, 0.4, 55., 720.]), "log_temp": np.array(-0.4)}}


class TiedAutoencoderLayer:
    """y = relu(x W + b) W^T, one W for both sides"""

    def fwd(self, x, W, b):
        self.x, self.W = x, W
        self.pre = x @ W + b
        self.h = np.maximum(self.pre, 0)
        return self.h @ W.T

    def bwd(self, g):
        dh = (g @ self.W) * np.heaviside(self.pre, 0.0)
        dW = self.x.T @ dh
        dW += g.T @ self.h
        return dh @ self.W.T, dW, dh.sum(axis=0)


@item("tied_weight_autoencoder_layer", "layer class, shared parameter", True)
def make_r8():
    r = _rng(208)

    def forward(x, W, b):
        layer = TiedAutoencoderLayer()
        return layer.fwd(x, W, b), layer

    return {"forward": forward, "backward": lambda g, layer: layer.bwd(g),
            "inputs": {"x": r.normal(size=(5, 3)), "W": r.normal(size=(3, 3)), "b": r.normal(size=3)}}


def crf_nll(unary, trans, tags):
    """linear-chain CRF of one sentence: log Z - score(tags)"""
    T, K = unary.shape
    alpha = np.zeros((T, K))
    alpha[0] = unary[0]
    for t in range(1, T):
        alpha[t] = np.logaddexp.reduce(alpha[t - 1][:, None] + trans, axis=0) + unary[t]
    logZ = np.logaddexp.reduce(alpha[-1])
    score = unary[np.arange(T), tags].sum() + trans[tags[:-1], tags[1:]].sum()
    return logZ - score, (unary, trans, tags, alpha, logZ)


def crf_nll_backward(g, cache):
    unary, trans, tags, alpha, logZ = cache
    T, K = unary.shape
    beta = np.zeros((T, K))
    for t in range(T - 2, -1, -1):
        beta[t] = np.logaddexp.reduce(trans + unary[t + 1] + beta[t + 1], axis=1)
    du = np.exp(alpha + beta - logZ)        # marginals
    dtr = np.zeros((K, K))
    for t in range(T - 1):
        dtr += np.exp(alpha[t][:, None] + trans + unary[t + 1] + beta[t + 1] - logZ)
    du[np.arange(T), tags] -= 1
    for a, b in zip(tags[:-1], tags[1:]):
        dtr[a, b] -= 1
    return {"unary": g * du, "trans": g * dtr}


@item("crf_forward_backward_marginals", "NLP sequence tagging", True)
def make_r9():
    r = _rng(209)
    return {"forward": crf_nll, "backward": crf_nll_backward,
            "inputs": {"unary": r.normal(size=(5, 3)), "trans": r.normal(size=(3, 3))},
            "constants": {"tags": [0, 2, 2, 2, 1]}}


def spectral_linear(x, W, u, v):
    """power-iteration vectors u, v are buffers, held fixed"""
    sigma = u @ W @ v
    return (x @ W.T) / sigma, (x, W, u, v, sigma)


def spectral_linear_backward(gy, ctx):
    x, W, u, v, sigma = ctx
    gW_bar = gy.T @ x
    gW = (gW_bar - (gW_bar * W).sum() / sigma * np.outer(u, v)) / sigma
    return {"W": gW, "x": gy @ W / sigma}   # names, so any order


@item("spectral_norm_fixed_uv", "GAN research code", True)
def make_r10():
    r = _rng(210)
    W = r.normal(size=(4, 3))
    U, S, Vt = np.linalg.svd(W)
    return {"forward": spectral_linear, "backward": spectral_linear_backward,
            "inputs": {"x": r.normal(size=(5, 3)), "W": W + 0.1 * r.normal(size=W.shape)}, "constants": {"u": U[:, 0], "v": Vt[0]}}


def maxpool_reshape(x):
    N, H, W, C = x.shape
    blocks = x.reshape(N, H // 2, 2, W // 2, 2, C).transpose(0, 1, 3, 5, 2, 4).reshape(N, H // 2, W // 2, C, 4)
    arg = blocks.argmax(-1)
    return np.take_along_axis(blocks, arg[..., None], -1)[..., 0], (x.shape, arg)


def maxpool_reshape_grad(dy, cache):
    (N, H, W, C), arg = cache
    onehot = np.eye(4)[arg] * dy[..., None]
    return onehot.reshape(N, H // 2, W // 2, C, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(N, H, W, C)


@item("maxpool_nhwc_argmax", "channels-last vectorised", True)
def make_r11():
    r = _rng(211)
    return {"forward": maxpool_reshape, "backward": maxpool_reshape_grad,
            "inputs": {"x": r.permutation(24).reshape(3, 2, 4, 1) * 1e-3 - 0.5}}


def quat_rotate(quat, pts):
    """rotate points by a quaternion of any length (normalised inside)"""
    n = np.sqrt(np.sum(quat ** 2, axis=-1, keepdims=True))
    qh = quat / n
    w, a = qh[:, :1], qh[:, 1:]
    t = 2 * np.cross(a, pts)
    return pts + w * t + np.cross(a, t), (n, qh, w, a, t, pts)


def quat_rotate_backward(g, saved):
    n, qh, w, a, t, pts = saved
    dw = np.sum(g * t, -1, keepdims=True)
    dt = w * g + np.cross(g, a)             # adjoint of a x . is . x a
    da = np.cross(t, g) + 2 * np.cross(pts, dt)
    dpts = g + 2 * np.cross(dt, a)
    dqh = np.concatenate([dw, da], -1)
    dquat = (dqh - qh * np.sum(dqh * qh, -1, keepdims=True)) / n
    return dquat, dpts


@item("quaternion_rotate_points", "graphics, geometry", True)
def make_r12():
    r = _rng(212)
    return {"forward": quat_rotate, "backward": quat_rotate_backward,
            "inputs": {"quat": r.normal(size=(4, 4)) * np.array([[1], [30], [.2], [1]]), "pts": r.normal(size=(4, 3))}}


def cox_partial(beta, X, time, event):
    """negative log partial likelihood, no ties"""
    order = np.argsort(-time)
    eta = (X @ beta)[order]
    ev = event[order]
    log_risk = np.logaddexp.accumulate(eta)
    return -np.sum(ev * (eta - log_risk)), (X[order], eta, ev, log_risk)


def cox_partial_grad(g, s):
    Xo, eta, ev, log_risk = s
    # subject i sits in the risk sets of all that come later in the order
    share = np.exp(eta) * np.cumsum((ev * np.exp(-log_risk))[::-1])[::-1]
    return g * (Xo.T @ (share - ev))


@item("cox_partial_likelihood", "survival statistics", True)
def make_r13():
    r = _rng(213)
    return {"forward": cox_partial, "backward": cox_partial_grad, "inputs": {"beta": r.normal(size=4)},
            "constants": {"X": r.normal(size=(6, 4)), "time": np.array([3.1, 0.4, 7.7, 2.2, 5.0, 1.9]), "event": np.array([1, 1, 0, 1, 0, 1])}}


def a2c_loss(logits, values, actions, returns, ent_coef=0.05, vf_coef=0.5):
    z = logits - logits.max(1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(1, keepdims=True))
    p = np.exp(logp)
    adv = returns - values
    n = len(actions)
    neglogp = -logp[range(n), actions]
    entropy = -(p * logp).sum(1)
    # all three parts differentiate through the advantage; nothing is detached in this variant
    loss = (adv * neglogp).mean() - ent_coef * entropy.mean() + vf_coef * (adv ** 2).mean()
    return loss, (logp, p, adv, neglogp, entropy, actions, ent_coef, vf_coef)


def a2c_loss_backward(g, cache):
    logp, p, adv, neglogp, entropy, actions, ent_coef, vf_coef = cache
    n = len(actions)
    dlogits = p * adv[:, None]
    dlogits[range(n), actions] -= adv
    dlogits += ent_coef * p * (logp + entropy[:, None])
    dvalues = -(neglogp + 2 * vf_coef * adv)
    return g * dlogits / n, g * dvalues / n


@item("a2c_joint_loss_entropy", "RL baselines", True)
def make_r14():
    r = _rng(214)
    return {"forward": a2c_loss, "backward": a2c_loss_backward, "inputs": {"logits": r.normal(size=(5, 3)), "values": r.normal(size=5)},
            "constants": {"actions": np.array([0, 1, 2, 1, 1]), "returns": r.normal(size=5)}}


class EmbeddingBagMean:
    def __init__(self, table, pad=0):
        self.table, self.pad = table, pad

    def lookup(self, bags):
        self.bags = bags
        self.real = (bags != self.pad)
        self.count = np.maximum(self.real.sum(1, keepdims=True), 1)
        return (self.table[bags] * self.real[..., None]).sum(1) / self.count

    def scatter(self, dy):
        grad = np.zeros_like(self.table)
        share = dy / self.count
        for b, row in enumerate(self.bags):
            for tok in row[self.real[b]]:
                grad[tok] += share[b]
        return grad


@item("embedding_bag_mean_padding", "NLP text classification", True)
def make_r15():
    r = _rng(215)

    def forward(table, bags):
        e = EmbeddingBagMean(table)
        return e.lookup(bags), e

    return {"forward": forward, "backward": lambda dy, e: {"table": e.scatter(dy)}, "inputs": {"table": r.normal(size=(6, 3))},
            "constants": {"bags": np.array([[1, 2, 2, 0], [5, 0, 0, 0], [0, 0, 0, 0], [3, 1, 2, 5]])}}


def spectral_conv(field, kernel):
    """circular convolution on a periodic grid by FFT"""
    n = field.shape[-1]
    fh, kh = np.fft.rfft(field), np.fft.rfft(kernel, n)
    out = np.fft.irfft(fh * kh, n)

    def pullback(ct):
        ch = np.fft.rfft(ct)
        d_kernel = np.fft.irfft((ch * fh.conj()).sum(0), n)[:kernel.size]
        return np.fft.irfft(ch * kh.conj(), n), d_kernel

    return out, pullback


@item("periodic_fft_convolution", "physics, pullback closures", True)
def make_r16():
    r = _rng(216)
    return {"forward": spectral_conv, "backward": lambda ct, pullback: pullback(ct),
            "inputs": {"field": r.normal(size=(3, 7)), "kernel": r.normal(size=4)}}


# ======================================================================================================================
# own verification
# ======================================================================================================================

def _verify(it):
    m = it.make()
    f, b, ins, con = m["forward"], m["backward"], m["inputs"], m.get("constants", {})
    y, cache = f(**ins, **con)
    rng = _rng(7)
    dy = rng.normal(size=np.shape(y)) if np.ndim(y) else float(rng.normal() + 1.5)
    keep = {k: v.copy() for k, v in ins.items()}
    dy0 = np.array(dy)
    g = b(dy, cache)
    g2 = b(dy, f(**ins, **con)[1])
    assert all(np.array_equal(keep[k], ins[k]) for k in ins) and np.array_equal(dy0, dy), (it.name, "mutates")
    if not isinstance(g, (dict, tuple, list)):
        g, g2 = (g,), (g2,)
    if not isinstance(g, dict):
        assert len(g) == len(ins), it.name
        g, g2 = dict(zip(ins, g)), dict(zip(ins, g2))
    g3 = b(dy, cache)
    bad = []
    for k, v in ins.items():
        assert v.dtype == np.float64 and 1 <= v.size <= 40, (it.name, k, v.size)
        num = np.zeros(v.shape)
        for i in np.ndindex(v.shape):
            def at(h):
                w = {q: a.copy() for q, a in ins.items()}
                w[k][i] += h
                return np.sum(dy * f(**w, **con)[0])
            h = 1e-4
            num[i] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
        a = np.asarray(g[k])
        assert np.array_equal(a, np.asarray(g2[k]), equal_nan=True), (it.name, "not deterministic")
        if a.shape != v.shape:
            bad.append((k, np.inf))
            continue
        err = np.linalg.norm(a - num) / max(np.linalg.norm(num), 1e-8)
        if not np.all(np.abs(a - num) <= 1e-6 * max(1.0, np.abs(num).max())):
            assert not err <= 0.01, (it.name, k, err, "neither right nor wrong")
            bad.append((k, err))
    g3 = g3 if isinstance(g3, dict) else dict(zip(ins, g3 if isinstance(g3, (tuple, list)) else (g3,)))
    assert all(np.array_equal(np.asarray(g3[k]), np.asarray(g[k]), equal_nan=True) for k in ins), (it.name, "accumulates")
    assert {k for k, _ in bad} == set(it.wrong), (it.name, bad, it.wrong)
    assert it.right == (not it.wrong) and it.right == (not it.causes) and it.right == (not it.slip)
    return bad


if __name__ == "__main__":
    assert len({i.name for i in ITEMS}) == len(ITEMS)
    for it in ITEMS:
        try:
            print(it.name, [(k, float(np.round(e, 3))) for k, e in _verify(it)])
        except Exception as e:
            print("FAILED", it.name, type(e).__name__, e)
    print("wrong", sum(not i.right for i in ITEMS), "right", sum(i.right for i in ITEMS), "vjp", sum(i.check == "vjp" for i in ITEMS),
          "styles", len({i.style for i in ITEMS}))
