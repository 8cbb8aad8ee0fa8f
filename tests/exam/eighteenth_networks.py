"""Whole small networks and longer functions, each with a forward and one hand-written backward."""

from typing import Callable, NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky


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


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


# --------------------------------------------------------------------------------------------------------------------
# CS231n: affine - relu - affine - softmax with L2 regularisation


def twolayer_loss(X, W1, b1, W2, b2, y, reg):
    N = X.shape[0]
    z1 = X.dot(W1) + b1
    h1 = np.maximum(0, z1)
    scores = h1.dot(W2) + b2
    probs = softmax(scores, axis=1)
    data_loss = -np.log(probs[np.arange(N), y]).sum() / N
    reg_loss = reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    loss = data_loss + reg_loss
    return loss, (X, W1, W2, z1, h1, probs, y, reg)


def twolayer_backward(dloss, cache):
    X, W1, W2, z1, h1, probs, y, reg = cache
    N = X.shape[0]
    dscores = probs.copy()
    dscores[np.arange(N), y] -= 1
    dscores *= dloss / N
    grads = {}
    grads["W2"] = h1.T.dot(dscores) + dloss * reg * W2
    grads["b2"] = dscores.sum(axis=0)
    dh1 = dscores.dot(W2.T)
    dh1[z1 <= 0] = 0
    grads["W1"] = X.T.dot(dh1) + 2 * dloss * reg * W1
    grads["b1"] = dh1.sum(axis=0)
    grads["X"] = dh1.dot(W1.T)
    return grads


def make_twolayer():
    rng = np.random.default_rng(231)
    inputs = dict(X=rng.normal(size=(5, 4)), W1=rng.normal(size=(4, 6)), b1=rng.normal(size=6) * 0.1,
                  W2=rng.normal(size=(6, 3)), b2=rng.normal(size=3) * 0.1)
    return dict(forward=twolayer_loss, backward=twolayer_backward, inputs=inputs,
                constants=dict(y=np.array([0, 2, 1, 1, 0]), reg=0.25))


ITEMS.append(Item(
    "twolayer_reg_half", "CS231n assignment", "vjp", make_twolayer, False,
    "the regulariser is reg * sum(W2**2), so the line for W2 should add 2 * dloss * reg * W2, not dloss * reg * W2",
    ("W2",), ("factor", "missing-term")))


# --------------------------------------------------------------------------------------------------------------------
# Karpathy: vanilla RNN over characters


def char_rnn_loss(Wxh, Whh, Why, bh, by, hprev, inputs, targets):
    vocab_size = Wxh.shape[1]
    xs, hs, ps = {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((vocab_size, 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        ys = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(ys) / np.sum(np.exp(ys))
        loss += -np.log(ps[t][targets[t], 0])
    return loss, (xs, hs, ps, targets, Wxh, Whh, Why)


def char_rnn_backward(dloss, cache):
    xs, hs, ps, targets, Wxh, Whh, Why = cache
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros((Whh.shape[0], 1)), np.zeros((Why.shape[0], 1))
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(targets))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dy = dy * dloss
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh.T, dh)
    return dWxh, dWhh, dWhy, dbh, dby, dhnext


def make_char_rnn():
    rng = np.random.RandomState(42)
    V, H = 4, 3
    inputs = dict(Wxh=rng.randn(H, V), Whh=rng.randn(H, H) * 0.7, Why=rng.randn(V, H), bh=rng.randn(H, 1) * 0.3,
                  by=rng.randn(V, 1) * 0.3, hprev=rng.randn(H, 1) * 0.5)
    return dict(forward=char_rnn_loss, backward=char_rnn_backward, inputs=inputs,
                constants=dict(inputs=[0, 2, 3, 1], targets=[2, 3, 1, 1]))


ITEMS.append(Item(
    "char_rnn_dhnext", "Karpathy gist", "vjp", make_char_rnn, False,
    "dhnext should be Whh.T @ dhraw, behind the slope of tanh, not Whh.T @ dh",
    ("Wxh", "Whh", "bh", "hprev"), ("elementwise-factor",)))


# --------------------------------------------------------------------------------------------------------------------
# batched LSTM with the four gates in one matrix


def lstm_forward(X, WLSTM, c0, h0):
    n, b, input_size = X.shape
    d = h0.shape[1]
    Hin = np.zeros((n, b, WLSTM.shape[0]))
    Hout = np.zeros((n, b, d))
    IFOG = np.zeros((n, b, 4 * d))
    IFOGf = np.zeros((n, b, 4 * d))
    C = np.zeros((n, b, d))
    Ct = np.zeros((n, b, d))
    for t in range(n):
        prevh = Hout[t - 1] if t > 0 else h0
        Hin[t, :, 0] = 1
        Hin[t, :, 1:input_size + 1] = X[t]
        Hin[t, :, input_size + 1:] = prevh
        IFOG[t] = Hin[t].dot(WLSTM)
        IFOGf[t, :, :3 * d] = 1.0 / (1.0 + np.exp(-IFOG[t, :, :3 * d]))
        IFOGf[t, :, 3 * d:] = np.tanh(IFOG[t, :, 3 * d:])
        prevc = C[t - 1] if t > 0 else c0
        C[t] = IFOGf[t, :, :d] * IFOGf[t, :, 3 * d:] + IFOGf[t, :, d:2 * d] * prevc
        Ct[t] = np.tanh(C[t])
        Hout[t] = IFOGf[t, :, 2 * d:3 * d] * Ct[t]
    cache = dict(WLSTM=WLSTM, Hout=Hout, IFOGf=IFOGf, C=C, Ct=Ct, Hin=Hin, c0=c0, h0=h0, X=X)
    return Hout, cache


def lstm_backward(dHout_in, cache):
    WLSTM, Hout, IFOGf, C = cache["WLSTM"], cache["Hout"], cache["IFOGf"], cache["C"]
    Ct, Hin, c0, X = cache["Ct"], cache["Hin"], cache["c0"], cache["X"]
    n, b, d = Hout.shape
    input_size = X.shape[2]
    dIFOG = np.zeros(IFOGf.shape)
    dIFOGf = np.zeros(IFOGf.shape)
    dWLSTM = np.zeros(WLSTM.shape)
    dC = np.zeros(C.shape)
    dX = np.zeros(X.shape)
    dh0 = np.zeros((b, d))
    dc0 = np.zeros((b, d))
    dHout = dHout_in.copy()
    for t in reversed(range(n)):
        dIFOGf[t, :, 2 * d:3 * d] = Ct[t] * dHout[t]
        dC[t] += (1 - Ct[t] ** 2) * (IFOGf[t, :, 2 * d:3 * d] * dHout[t])
        if t > 0:
            dIFOGf[t, :, d:2 * d] = C[t] * dC[t]
            dC[t - 1] += IFOGf[t, :, d:2 * d] * dC[t]
        else:
            dIFOGf[t, :, d:2 * d] = c0 * dC[t]
            dc0 = IFOGf[t, :, d:2 * d] * dC[t]
        dIFOGf[t, :, :d] = IFOGf[t, :, 3 * d:] * dC[t]
        dIFOGf[t, :, 3 * d:] = IFOGf[t, :, :d] * dC[t]
        dIFOG[t, :, 3 * d:] = (1 - IFOGf[t, :, 3 * d:] ** 2) * dIFOGf[t, :, 3 * d:]
        y = IFOGf[t, :, :3 * d]
        dIFOG[t, :, :3 * d] = y * (1.0 - y) * dIFOGf[t, :, :3 * d]
        dWLSTM += Hin[t].T.dot(dIFOG[t])
        dHin = dIFOG[t].dot(WLSTM.T)
        dX[t] = dHin[:, 1:input_size + 1]
        if t > 0:
            dHout[t - 1] += dHin[:, input_size + 1:]
        else:
            dh0 += dHin[:, input_size + 1:]
    return {"X": dX, "WLSTM": dWLSTM, "c0": dc0, "h0": dh0}


def make_lstm():
    rng = np.random.RandomState(7)
    n, b, i, d = 3, 2, 3, 2
    inputs = dict(X=rng.randn(n, b, i), WLSTM=rng.randn(i + d + 1, 4 * d) * 0.6, c0=rng.randn(b, d),
                  h0=rng.randn(b, d))
    return dict(forward=lstm_forward, backward=lstm_backward, inputs=inputs)


ITEMS.append(Item(
    "lstm_forget_cell", "Karpathy gist", "vjp", make_lstm, False,
    "the gradient of the forget gate should be C[t - 1] * dC[t], the cell before the step, not C[t] * dC[t]",
    ("X", "WLSTM", "c0", "h0"), ("elementwise-factor",)))


# --------------------------------------------------------------------------------------------------------------------
# single-head self-attention, saved tensors on a ctx


class Ctx:
    def save_for_backward(self, *tensors):
        self.saved_tensors = tensors


def self_attention(x, w_q, w_k, w_v, w_o):
    ctx = Ctx()
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    ctx.scale = 1.0 / np.sqrt(q.shape[-1])
    scores = ctx.scale * np.einsum("bid,bjd->bij", q, k)
    attn = softmax(scores, axis=-1)
    context = attn @ v
    out = context @ w_o
    ctx.save_for_backward(x, w_q, w_k, w_v, w_o, q, k, v, attn, context)
    return out, ctx


def self_attention_grad(grad_out, ctx):
    x, w_q, w_k, w_v, w_o, q, k, v, attn, context = ctx.saved_tensors
    grad_w_o = np.einsum("btd,bto->do", context, grad_out)
    grad_context = grad_out @ w_o.T
    grad_v = attn.transpose(0, 2, 1) @ grad_context
    grad_attn = grad_context @ v.transpose(0, 2, 1)
    grad_scores = attn * (grad_attn - (grad_attn * attn).sum(-1, keepdims=True))
    grad_q = ctx.scale * np.einsum("bij,bjd->bid", grad_scores, k)
    grad_k = np.einsum("bij,bid->bjd", grad_scores, q)
    grad_w_q = np.einsum("bti,btd->id", x, grad_q)
    grad_w_k = np.einsum("bti,btd->id", x, grad_k)
    grad_w_v = np.einsum("bti,btd->id", x, grad_v)
    grad_x = grad_q @ w_q.T + grad_k @ w_k.T + grad_v @ w_v.T
    return grad_x, grad_w_q, grad_w_k, grad_w_v, grad_w_o


def make_self_attention():
    rng = np.random.default_rng(17)
    inputs = dict(x=rng.normal(size=(2, 4, 3)), w_q=rng.normal(size=(3, 5)), w_k=rng.normal(size=(3, 5)),
                  w_v=rng.normal(size=(3, 4)), w_o=rng.normal(size=(4, 3)))
    return dict(forward=self_attention, backward=self_attention_grad, inputs=inputs)


ITEMS.append(Item(
    "attention_key_scale", "PyTorch autograd.Function port", "vjp", make_self_attention, False,
    "grad_k should carry the scale 1/sqrt(d) as grad_q does: ctx.scale * einsum(grad_scores, q)",
    ("x", "w_k"), ("factor",)))


# --------------------------------------------------------------------------------------------------------------------
# multi-head attention with a causal mask and a residual


def mha_block(x, Wqkv, Wo, bo, n_heads):
    B, T, D = x.shape
    dk = D // n_heads
    qkv = x @ Wqkv
    q, k, v = np.split(qkv, 3, axis=-1)
    q = q.reshape(B, T, n_heads, dk).transpose(0, 2, 1, 3)
    k = k.reshape(B, T, n_heads, dk).transpose(0, 2, 1, 3)
    v = v.reshape(B, T, n_heads, dk).transpose(0, 2, 1, 3)
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(dk)
    mask = np.tril(np.ones((T, T), dtype=bool))
    scores = np.where(mask, scores, -1e9)
    p = softmax(scores)
    heads = p @ v
    merged = heads.transpose(0, 2, 1, 3).reshape(B, T, D)
    out = x + merged @ Wo + bo
    return out, (x, Wqkv, Wo, q, k, v, p, merged, n_heads)


def mha_block_backward(dout, cache):
    x, Wqkv, Wo, q, k, v, p, merged, n_heads = cache
    B, T, D = x.shape
    dk = D // n_heads
    dbo = dout.sum(axis=(0, 1))
    dWo = merged.reshape(-1, D).T @ dout.reshape(-1, D)
    dmerged = dout @ Wo.T
    dheads = dmerged.reshape(B, n_heads, T, dk)
    dp = dheads @ v.swapaxes(-1, -2)
    dv = p.swapaxes(-1, -2) @ dheads
    dscores = p * (dp - np.sum(dp * p, axis=-1, keepdims=True)) / np.sqrt(dk)
    dq = dscores @ k
    dkey = dscores.swapaxes(-1, -2) @ q
    dqkv = np.concatenate([g.transpose(0, 2, 1, 3).reshape(B, T, D) for g in (dq, dkey, dv)], axis=-1)
    dWqkv = x.reshape(-1, D).T @ dqkv.reshape(-1, 3 * D)
    dx = dout + dqkv @ Wqkv.T
    return {"x": dx, "Wqkv": dWqkv, "Wo": dWo, "bo": dbo}


def make_mha():
    rng = np.random.default_rng(64)
    inputs = dict(x=rng.normal(size=(2, 3, 4)), Wqkv=rng.normal(size=(4, 12)) * 0.7, Wo=rng.normal(size=(4, 4)),
                  bo=rng.normal(size=4))
    return dict(forward=mha_block, backward=mha_block_backward, inputs=inputs, constants=dict(n_heads=2))


ITEMS.append(Item(
    "mha_split_heads", "Annotated Transformer port", "vjp", make_mha, False,
    "dheads should be dmerged.reshape(B, T, n_heads, dk).transpose(0, 2, 1, 3), not reshape(B, n_heads, T, dk)",
    ("x", "Wqkv"), ("transpose",)))


# --------------------------------------------------------------------------------------------------------------------
# pre-norm feed-forward block with gelu


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def gelu_grad(x):
    u = np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)
    t = np.tanh(u)
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x ** 2)


def ffn_block(x, g, b, w1, b1, w2, b2, eps):
    mean = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True)
    inv = 1 / np.sqrt(var + eps)
    xhat = (x - mean) * inv
    n = g * xhat + b
    a = n @ w1 + b1
    h = gelu(a)
    y = x + h @ w2 + b2
    return y, {"xhat": xhat, "inv": inv, "g": g, "n": n, "a": a, "h": h, "w1": w1, "w2": w2}


def ffn_block_backward(dy, c):
    db2 = dy.sum(axis=(0, 1))
    dw2 = np.einsum("bth,btd->hd", c["h"], dy)
    dh = dy @ c["w2"].T
    da = dh * gelu_grad(c["a"])
    db1 = da.sum(axis=(0, 1))
    dw1 = np.einsum("btd,bth->dh", c["n"], da)
    dn = da @ c["w1"].T
    dg = (dn * c["xhat"]).sum(axis=(0, 1))
    db = dn.sum(axis=(0, 1))
    dxhat = dn * c["g"]
    dx = c["inv"] * (dxhat - dxhat.mean(-1, keepdims=True)
                     - c["xhat"] * (dxhat * c["xhat"]).mean(-1, keepdims=True))
    return {"x": dx, "g": dg, "b": db, "w1": dw1, "b1": db1, "w2": dw2, "b2": db2}


def make_ffn():
    rng = np.random.default_rng(124)
    inputs = dict(x=rng.normal(size=(2, 3, 4)), g=1 + 0.3 * rng.normal(size=4), b=rng.normal(size=4) * 0.2,
                  w1=rng.normal(size=(4, 6)) * 0.6, b1=rng.normal(size=6) * 0.2, w2=rng.normal(size=(6, 4)) * 0.6,
                  b2=rng.normal(size=4) * 0.2)
    return dict(forward=ffn_block, backward=ffn_block_backward, inputs=inputs, constants=dict(eps=1e-5))


ITEMS.append(Item(
    "ffn_skip_forgotten", "picoGPT-like NumPy transformer", "vjp", make_ffn, False,
    "the residual path is forgotten: dx should be dy + the gradient through the layer norm",
    ("x",), ("missing-term",)))


# --------------------------------------------------------------------------------------------------------------------
# conv - relu - maxpool - affine


def convnet_forward(x, w, b, fc_w, fc_b, pad):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    Ho, Wo = H + 2 * pad - HH + 1, W + 2 * pad - WW + 1
    conv = np.zeros((N, F, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            window = xp[:, :, i:i + HH, j:j + WW]
            conv[:, :, i, j] = np.tensordot(window, w, axes=([1, 2, 3], [1, 2, 3])) + b
    act = np.maximum(conv, 0)
    blocks = act.reshape(N, F, Ho // 2, 2, Wo // 2, 2)
    pool = blocks.max(axis=(3, 5))
    flat = pool.reshape(N, -1)
    scores = flat @ fc_w + fc_b
    return scores, (x, xp, w, conv, blocks, pool, flat, fc_w, pad)


def convnet_backward(dscores, cache):
    x, xp, w, conv, blocks, pool, flat, fc_w, pad = cache
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    dfc_w = flat.T @ dscores
    dfc_b = dscores.sum(axis=0)
    dpool = (dscores @ fc_w.T).reshape(pool.shape)
    winner = blocks == pool[:, :, :, None, :, None]
    dact = (winner * dpool[:, :, :, None, :, None]).reshape(conv.shape)
    dconv = dact * (conv > 0)
    db = dconv.sum(axis=(0, 1, 2))
    dw = np.zeros_like(w)
    dxp = np.zeros_like(xp)
    for i in range(conv.shape[2]):
        for j in range(conv.shape[3]):
            window = xp[:, :, i:i + HH, j:j + WW]
            dw += np.tensordot(dconv[:, :, i, j], window, axes=([0], [0]))
            dxp[:, :, i:i + HH, j:j + WW] += np.tensordot(dconv[:, :, i, j], w, axes=([1], [0]))
    dx = dxp[:, :, pad:-pad, pad:-pad]
    return {"x": dx, "w": dw, "b": db, "fc_w": dfc_w, "fc_b": dfc_b}


def make_convnet():
    rng = np.random.default_rng(2)
    inputs = dict(x=rng.normal(size=(2, 2, 4, 4)), w=rng.normal(size=(4, 2, 3, 3)) * 0.4,
                  b=1 + rng.normal(size=4) * 0.3, fc_w=rng.normal(size=(16, 3)) * 0.4, fc_b=rng.normal(size=3))
    return dict(forward=convnet_forward, backward=convnet_backward, inputs=inputs, constants=dict(pad=1))


ITEMS.append(Item(
    "convnet_bias_axes", "CS231n assignment", "vjp", make_convnet, False,
    "the gradient of the filters' bias is summed over axes (0, 1, 2), batch, filters and rows; "
    "it should be dconv.sum(axis=(0, 2, 3))",
    ("b",), ("shape",)))


# --------------------------------------------------------------------------------------------------------------------
# autoencoder with tied weights


def tied_autoencoder_loss(x, W, b_h, b_v):
    h = sigmoid(x @ W + b_h)
    z = sigmoid(h @ W.T + b_v)
    cost = np.mean(np.sum((x - z) ** 2, axis=1))
    return cost, (x, W, h, z)


def tied_autoencoder_grad(dcost, cache):
    x, W, h, z = cache
    dz = dcost * 2 * (z - x) / x.shape[0]
    L_v = dz * z * (1 - z)
    L_h = (L_v @ W) * h * (1 - h)
    gW = x.T @ L_h
    gb_h = L_h.sum(axis=0)
    gb_v = L_v.sum(axis=0)
    gx = -dz + L_h @ W.T
    return gx, gW, gb_h, gb_v


def make_tied_autoencoder():
    rng = np.random.RandomState(123)
    inputs = dict(x=rng.rand(4, 6), W=rng.uniform(-1, 1, size=(6, 3)), b_h=rng.randn(3) * 0.2, b_v=rng.randn(6) * 0.2)
    return dict(forward=tied_autoencoder_loss, backward=tied_autoencoder_grad, inputs=inputs)


ITEMS.append(Item(
    "tied_autoencoder_decoder", "DeepLearningTutorials port (dA)", "vjp", make_tied_autoencoder, False,
    "W is used twice; gW should be x.T @ L_h + L_v.T @ h, the use in the decoder is forgotten",
    ("W",), ("missing-term",)))


# --------------------------------------------------------------------------------------------------------------------
# restricted Boltzmann machine: difference of free energies


def softplus(a):
    return np.logaddexp(0, a)


def rbm_cd_loss(v_data, v_model, W, vbias, hbias):
    a_data = v_data @ W + hbias
    a_model = v_model @ W + hbias
    free_data = -v_data @ vbias - softplus(a_data).sum(axis=1)
    free_model = -v_model @ vbias - softplus(a_model).sum(axis=1)
    return free_data.mean() - free_model.mean(), (v_data, v_model, W, vbias, a_data, a_model)


def rbm_cd_backward(dloss, cache):
    v_data, v_model, W, vbias, a_data, a_model = cache
    n, m = len(v_data), len(v_model)
    ph_data, ph_model = sigmoid(a_data), sigmoid(a_model)
    grads = {}
    grads["W"] = -dloss * (v_data.T @ ph_data / n - v_model.T @ ph_model / m)
    grads["vbias"] = dloss * (v_data.mean(axis=0) - v_model.mean(axis=0))
    grads["hbias"] = -dloss * (ph_data.mean(axis=0) - ph_model.mean(axis=0))
    grads["v_data"] = -dloss * (vbias + ph_data @ W.T) / n
    grads["v_model"] = dloss * (vbias + ph_model @ W.T) / m
    return grads


def make_rbm():
    rng = np.random.RandomState(1234)
    inputs = dict(v_data=rng.rand(4, 5), v_model=rng.rand(3, 5), W=rng.randn(5, 3), vbias=rng.randn(5),
                  hbias=rng.randn(3))
    return dict(forward=rbm_cd_loss, backward=rbm_cd_backward, inputs=inputs)


ITEMS.append(Item(
    "rbm_vbias_sign", "research repository (RBM)", "vjp", make_rbm, False,
    "the gradient of vbias is the ascent direction; it should be -dloss * (v_data.mean(0) - v_model.mean(0))",
    ("vbias",), ("sign",)))


# --------------------------------------------------------------------------------------------------------------------
# PPO: clipped surrogate with a small softmax policy


def ppo_loss(obs, W1, b1, W2, b2, actions, advantages, old_logp, clip_ratio):
    n = obs.shape[0]
    hid = np.tanh(obs @ W1 + b1)
    logits = hid @ W2 + b2
    logp_all = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    logp = logp_all[np.arange(n), actions]
    ratio = np.exp(logp - old_logp)
    clip_adv = np.clip(ratio, 1 - clip_ratio, 1 + clip_ratio) * advantages
    loss_pi = -np.minimum(ratio * advantages, clip_adv).mean()
    return loss_pi, (obs, W1, W2, hid, logp_all, ratio, actions, advantages, clip_ratio)


def ppo_backward(dloss, cache):
    obs, W1, W2, hid, logp_all, ratio, actions, advantages, clip_ratio = cache
    n = obs.shape[0]
    active = (ratio > 1 - clip_ratio) & (ratio < 1 + clip_ratio)
    dratio = -dloss * advantages * active / n
    dlogp = dratio * ratio
    dlogits = -np.exp(logp_all) * dlogp[:, None]
    dlogits[np.arange(n), actions] += dlogp
    dW2 = hid.T @ dlogits
    db2 = dlogits.sum(0)
    dhid = dlogits @ W2.T * (1 - hid ** 2)
    return {"obs": dhid @ W1.T, "W1": obs.T @ dhid, "b1": dhid.sum(0), "W2": dW2, "b2": db2}


def make_ppo():
    rng = np.random.default_rng(2017)
    inputs = dict(obs=rng.normal(size=(6, 3)), W1=rng.normal(size=(3, 4)), b1=rng.normal(size=4) * 0.1,
                  W2=rng.normal(size=(4, 3)), b2=rng.normal(size=3) * 0.1)
    actions = np.array([0, 2, 1, 1, 0, 2])
    hid = np.tanh(inputs["obs"] @ inputs["W1"] + inputs["b1"])
    now = np.log(softmax(hid @ inputs["W2"] + inputs["b2"], axis=1))[np.arange(6), actions]
    old = now - np.array([0.1, 0.5, 0.6, -0.5, -0.4, -0.05])
    adv = np.array([1.2, 0.8, -1.1, 0.9, -0.7, -0.4])
    return dict(forward=ppo_loss, backward=ppo_backward, inputs=inputs,
                constants=dict(actions=actions, advantages=adv, old_logp=old, clip_ratio=0.2))


ITEMS.append(Item(
    "ppo_clip_mask", "research repository (Spinning Up port)", "vjp", make_ppo, False,
    "the mask forgets the minimum: a clipped ratio still gets a gradient where ratio * A is the smaller one; it should "
    "be active = ratio * advantages <= clip(ratio) * advantages",
    ("obs", "W1", "b1", "W2", "b2"), ("elementwise-factor",)))


# --------------------------------------------------------------------------------------------------------------------
# advantage actor-critic with entropy bonus


def a2c_loss(params, states, actions, returns, adv, value_coef, entropy_coef):
    n = len(actions)
    z = states @ params["w_body"] + params["b_body"]
    h = np.where(z > 0, z, 0.01 * z)
    logits = h @ params["w_pi"]
    value = h @ params["w_v"]
    p = softmax(logits)
    logp = np.log(p)
    entropy = -(p * logp).sum(axis=1)
    pg = -(logp[np.arange(n), actions] * adv).mean()
    vf = ((value - returns) ** 2).mean()
    loss = pg + value_coef * vf - entropy_coef * entropy.mean()
    return loss, (params, states, z, h, p, logp, entropy, value, actions, returns, adv, value_coef, entropy_coef)


def a2c_backward(dloss, cache):
    params, states, z, h, p, logp, entropy, value, actions, returns, adv, value_coef, entropy_coef = cache
    n = len(actions)
    onehot = np.eye(p.shape[1])[actions]
    d_logits = adv[:, None] * (p - onehot) / n
    d_entropy_logits = -p * (logp + entropy[:, None])
    d_logits = d_logits + entropy_coef * d_entropy_logits / n
    d_value = 2 * value_coef * (value - returns) / n
    d_logits, d_value = dloss * d_logits, dloss * d_value
    dh = d_logits @ params["w_pi"].T + np.outer(d_value, params["w_v"])
    dz = dh * np.where(z > 0, 1.0, 0.01)
    return {"params": {"w_body": states.T @ dz, "b_body": dz.sum(axis=0), "w_pi": h.T @ d_logits,
                       "w_v": h.T @ d_value}}


def make_a2c():
    rng = np.random.default_rng(33)
    params = {"w_body": rng.normal(size=(4, 5)), "b_body": rng.normal(size=5) * 0.2, "w_pi": rng.normal(size=(5, 3)),
              "w_v": rng.normal(size=5)}
    consts = dict(states=rng.normal(size=(5, 4)), actions=np.array([0, 1, 2, 2, 1]), returns=rng.normal(size=5),
                  adv=rng.normal(size=5), value_coef=0.5, entropy_coef=0.3)
    return dict(forward=a2c_loss, backward=a2c_backward, inputs={"params": params}, constants=consts)


ITEMS.append(Item(
    "a2c_entropy_sign", "research repository (RL baselines)", "vjp", make_a2c, False,
    "the entropy stands with a minus in the loss: d_logits - entropy_coef * d_entropy_logits / n, not plus",
    ("params.w_body", "params.b_body", "params.w_pi"), ("sign",)))


# --------------------------------------------------------------------------------------------------------------------
# SimCLR: NT-Xent over normalised projections


def simclr_loss(x_i, x_j, W1, W2, temperature):
    x = np.concatenate([x_i, x_j])
    h = np.maximum(x @ W1, 0)
    u = h @ W2
    norm = np.linalg.norm(u, axis=1, keepdims=True)
    z = u / norm
    n = len(z)
    sim = z @ z.T / temperature
    sim = sim - 1e9 * np.eye(n)
    p = softmax(sim, axis=1)
    pos = (np.arange(n) + n // 2) % n
    loss = -np.log(p[np.arange(n), pos]).mean()
    return loss, (x, W1, W2, h, norm, z, p, pos, temperature)


def simclr_backward(dloss, cache):
    x, W1, W2, h, norm, z, p, pos, temperature = cache
    n = len(z)
    dsim = p.copy()
    dsim[np.arange(n), pos] -= 1
    dsim *= dloss / n
    dz = (dsim + dsim.T) @ z / temperature
    du = (dz - z * np.sum(dz * z, axis=0, keepdims=True)) / norm
    dW2 = h.T @ du
    dh = du @ W2.T * (h > 0)
    dW1 = x.T @ dh
    dx = dh @ W1.T
    return dx[:n // 2], dx[n // 2:], dW1, dW2


def make_simclr():
    rng = np.random.default_rng(2020)
    inputs = dict(x_i=rng.normal(size=(3, 4)), x_j=rng.normal(size=(3, 4)), W1=rng.normal(size=(4, 6)),
                  W2=rng.normal(size=(6, 3)))
    return dict(forward=simclr_loss, backward=simclr_backward, inputs=inputs, constants=dict(temperature=0.5))


ITEMS.append(Item(
    "simclr_normalise_axis", "research repository (SimCLR)", "vjp", make_simclr, False,
    "the projection in the backward of the normalisation sums over the batch; it should be "
    "np.sum(dz * z, axis=1, keepdims=True)",
    ("x_i", "x_j", "W1", "W2"), ("shape",)))


# --------------------------------------------------------------------------------------------------------------------
# mixture of isotropic Gaussians


def gmm_loglik(X, logits, mu, log_sigma):
    N, D = X.shape
    log_pi = logits - np.log(np.sum(np.exp(logits)))
    diff = X[:, None, :] - mu[None, :, :]
    sq = np.sum(diff ** 2, axis=2)
    inv_var = np.exp(-2 * log_sigma)
    log_p = log_pi - 0.5 * D * np.log(2 * np.pi) - D * log_sigma - 0.5 * sq * inv_var
    m = log_p.max(axis=1, keepdims=True)
    ll = m[:, 0] + np.log(np.exp(log_p - m).sum(axis=1))
    resp = np.exp(log_p - ll[:, None])
    return ll, (np.exp(log_pi), diff, sq, inv_var, resp)


def gmm_loglik_grad(dll, cache):
    pi, diff, sq, inv_var, resp = cache
    R = dll[:, None] * resp
    d_logits = (R - dll[:, None] * pi).sum(axis=0)
    d_mu = np.einsum("nk,nkd->kd", R * inv_var, diff)
    d_X = -np.einsum("nk,nkd->nd", R * inv_var, diff)
    d_log_sigma = (R * (sq * inv_var - 1)).sum(axis=0)
    return {"X": d_X, "logits": d_logits, "mu": d_mu, "log_sigma": d_log_sigma}


def make_gmm():
    rng = np.random.default_rng(9)
    inputs = dict(X=rng.normal(size=(5, 3)), logits=rng.normal(size=4), mu=rng.normal(size=(4, 3)),
                  log_sigma=rng.normal(size=4) * 0.3)
    return dict(forward=gmm_loglik, backward=gmm_loglik_grad, inputs=inputs)


ITEMS.append(Item(
    "gmm_sigma_dimension", "statistics code (mixture models)", "vjp", make_gmm, False,
    "the normaliser in D dimensions is D * log_sigma, so it should be sq * inv_var - D, not - 1",
    ("log_sigma",), ("missing-term", "factor")))


# --------------------------------------------------------------------------------------------------------------------
# one Kalman step: predict, innovation, negative log-likelihood


def kalman_step_nll(m, P, F, H, z, Q, R):
    m_pred = F @ m
    P_pred = F @ P @ F.T + Q
    v = z - H @ m_pred
    S = H @ P_pred @ H.T + R
    S_inv = np.linalg.inv(S)
    nll = 0.5 * (v @ S_inv @ v + np.log(np.linalg.det(S)) + len(z) * np.log(2 * np.pi))
    return nll, dict(m=m, P=P, F=F, H=H, m_pred=m_pred, P_pred=P_pred, v=v, S_inv=S_inv)


def kalman_step_nll_backward(dnll, cache):
    m, P, F, H = cache["m"], cache["P"], cache["F"], cache["H"]
    m_pred, P_pred, v, S_inv = cache["m_pred"], cache["P_pred"], cache["v"], cache["S_inv"]
    a = S_inv @ v
    dS = 0.5 * dnll * (S_inv - np.outer(a, a))
    dv = dnll * a
    dH = 2 * dS @ H @ P_pred - np.outer(dv, m_pred)
    dP_pred = H.T @ dS @ H
    dm_pred = -H.T @ dv
    dF = 2 * dP_pred @ F @ P + np.outer(dm_pred, m)
    dP = F @ dP_pred @ F.T
    dm = F.T @ dm_pred
    return {"m": dm, "P": dP, "F": dF, "H": dH, "z": dv}


def make_kalman():
    rng = np.random.default_rng(1960)
    A = rng.normal(size=(3, 3))
    inputs = dict(m=rng.normal(size=3), P=A @ A.T + np.eye(3), F=np.eye(3) + 0.4 * rng.normal(size=(3, 3)),
                  H=rng.normal(size=(2, 3)), z=rng.normal(size=2))
    return dict(forward=kalman_step_nll, backward=kalman_step_nll_backward, inputs=inputs,
                constants=dict(Q=0.1 * np.eye(3), R=np.diag([0.5, 0.8])))


ITEMS.append(Item(
    "kalman_covariance_transpose", "research repository (state space models)", "vjp", make_kalman, False,
    "dP should be F.T @ dP_pred @ F; F @ dP_pred @ F.T is the forward's own product again",
    ("P",), ("transpose",)))


# --------------------------------------------------------------------------------------------------------------------
# message passing over an edge list, two rounds with shared weights


def mpnn_forward(h, W_msg, W_self, b, src, dst, n_rounds):
    tape = []
    for _ in range(n_rounds):
        pair = np.concatenate([h[src], h[dst]], axis=1)
        msg = np.tanh(pair @ W_msg)
        agg = np.zeros((h.shape[0], msg.shape[1]))
        np.add.at(agg, dst, msg)
        out = sigmoid(h @ W_self + agg + b)
        tape.append((h, pair, msg, out))
        h = out
    return h, (tape, W_msg, W_self, src, dst)


def mpnn_backward(dh, cache):
    tape, W_msg, W_self, src, dst = cache
    dW_msg, dW_self = np.zeros_like(W_msg), np.zeros_like(W_self)
    db = np.zeros(W_self.shape[1])
    for h, pair, msg, out in reversed(tape):
        dpre = dh * out * (1 - out)
        db += dpre.sum(axis=0)
        dW_self += h.T @ dpre
        dh = dpre @ W_self.T
        dmsg = dpre[dst] * (1 - msg ** 2)
        dW_msg += pair.T @ dmsg
        dpair = dmsg @ W_msg.T
        d = h.shape[1]
        dh[src] += dpair[:, :d]
        np.add.at(dh, dst, dpair[:, d:])
    return dict(h=dh, W_msg=dW_msg, W_self=dW_self, b=db)


def make_mpnn():
    rng = np.random.default_rng(12)
    inputs = dict(h=rng.normal(size=(5, 3)), W_msg=rng.normal(size=(6, 3)), W_self=rng.normal(size=(3, 3)),
                  b=rng.normal(size=3))
    consts = dict(src=np.array([0, 0, 1, 2, 3, 3, 4, 0]), dst=np.array([1, 2, 2, 3, 4, 0, 0, 4]), n_rounds=2)
    return dict(forward=mpnn_forward, backward=mpnn_backward, inputs=inputs, constants=consts)


ITEMS.append(Item(
    "mpnn_repeated_source", "research repository (graph networks)", "vjp", make_mpnn, False,
    "dh[src] += ... keeps one edge of a node that sends several; it should be np.add.at(dh, src, dpair[:, :d])",
    ("h", "W_msg", "W_self", "b"), ("missing-term", "batch-sum")))


# --------------------------------------------------------------------------------------------------------------------
# leapfrog through an anharmonic potential


def leapfrog(q0, p0, k, lam, dt, n_steps):
    q, p = q0.copy(), p0.copy()
    path = []
    p -= 0.5 * dt * (k * q + lam * q ** 3)
    for n in range(n_steps):
        q += dt * p
        path.append(q)
        step = dt if n < n_steps - 1 else 0.5 * dt
        p -= step * (k * q + lam * q ** 3)
    return np.stack([q, p]), (q0, k, lam, dt, path)


def leapfrog_adjoint(g, cache):
    q0, k, lam, dt, path = cache
    gq, gp = g[0].copy(), g[1].copy()
    gk, glam = np.zeros_like(k), np.zeros_like(lam)
    last = len(path) - 1
    for n in range(last, -1, -1):
        q = path[n]
        step = dt if n < last else 0.5 * dt
        gk -= step * q * gp
        glam -= step * q ** 3 * gp
        gq -= step * (k + 3 * lam * q ** 2) * gp
        gp += dt * gq
    gk -= 0.5 * dt * q0 * gp
    glam -= 0.5 * dt * q0 ** 3 * gp
    gq -= 0.5 * dt * (k + 3 * lam * q0 ** 2) * gp
    return gq, gp, gk, glam


def make_leapfrog():
    rng = np.random.default_rng(1967)
    inputs = dict(q0=rng.normal(size=4), p0=rng.normal(size=4), k=rng.uniform(0.5, 1.5, size=4),
                  lam=rng.uniform(0.2, 0.6, size=4))
    return dict(forward=leapfrog, backward=leapfrog_adjoint, inputs=inputs, constants=dict(dt=0.3, n_steps=4))


ITEMS.append(Item(
    "leapfrog_aliased_path", "physics code (Hamiltonian dynamics)", "vjp", make_leapfrog, False,
    "q is moved in place, so every entry of path is the last position; it should be path.append(q.copy())",
    ("q0", "p0", "k", "lam"), ("elementwise-factor",)))


# --------------------------------------------------------------------------------------------------------------------
# sequence to sequence: encoder RNN, decoder RNN with its own weights


def seq2seq_forward(x_enc, x_dec, params):
    h = np.zeros((x_enc.shape[1], params["Ue"].shape[0]))
    enc = [h]
    for t in range(len(x_enc)):
        h = np.tanh(x_enc[t] @ params["We"] + h @ params["Ue"] + params["be"])
        enc.append(h)
    dec = [h]
    ys = []
    for t in range(len(x_dec)):
        h = np.tanh(x_dec[t] @ params["Wd"] + h @ params["Ud"] + params["bd"])
        dec.append(h)
        ys.append(h @ params["V"])
    return np.array(ys), (x_enc, x_dec, params, enc, dec)


def seq2seq_backward(dys, cache):
    x_enc, x_dec, params, enc, dec = cache
    grads = {name: np.zeros_like(value) for name, value in params.items()}
    dx_enc, dx_dec = np.zeros_like(x_enc), np.zeros_like(x_dec)
    dh = np.zeros_like(dec[0])
    for t in reversed(range(len(x_dec))):
        grads["V"] += dec[t + 1].T @ dys[t]
        dh = dh + dys[t] @ params["V"].T
        da = dh * (1 - dec[t + 1] ** 2)
        grads["Wd"] += x_dec[t].T @ da
        grads["Ud"] += dec[t].T @ da
        grads["bd"] += da.sum(axis=0)
        dx_dec[t] = da @ params["Wd"].T
        dh = da @ params["Ud"].T
    dh = np.zeros_like(enc[-1])
    for t in reversed(range(len(x_enc))):
        da = dh * (1 - enc[t + 1] ** 2)
        grads["We"] += x_enc[t].T @ da
        grads["Ue"] += enc[t].T @ da
        grads["be"] += da.sum(axis=0)
        dx_enc[t] = da @ params["We"].T
        dh = da @ params["Ue"].T
    return {"x_enc": dx_enc, "x_dec": dx_dec, "params": grads}


def make_seq2seq():
    rng = np.random.default_rng(2014)
    params = {"We": rng.normal(size=(2, 3)), "Ue": rng.normal(size=(3, 3)) * 0.6, "be": rng.normal(size=3) * 0.2,
              "Wd": rng.normal(size=(2, 3)), "Ud": rng.normal(size=(3, 3)) * 0.6, "bd": rng.normal(size=3) * 0.2,
              "V": rng.normal(size=(3, 2))}
    return dict(forward=seq2seq_forward, backward=seq2seq_backward,
                inputs=dict(x_enc=rng.normal(size=(3, 2, 2)), x_dec=rng.normal(size=(2, 2, 2)), params=params))


ITEMS.append(Item(
    "seq2seq_encoder_cut", "research repository (seq2seq)", "vjp", make_seq2seq, False,
    "dh is set to zeros before the encoder's loop; it should go on with the decoder's dh (no such line)",
    ("x_enc", "params.We", "params.Ue", "params.be"), ("zero", "missing-term")))


# --------------------------------------------------------------------------------------------------------------------
# basic residual block with batch normalisation, relu at the end


def bn_train(x, gamma, beta, eps):
    mu = x.mean(axis=0)
    var = ((x - mu) ** 2).mean(axis=0)
    std = np.sqrt(var + eps)
    xhat = (x - mu) / std
    return gamma * xhat + beta, (xhat, std, gamma)


def bn_train_backward(dout, cache):
    xhat, std, gamma = cache
    n = dout.shape[0]
    dgamma, dbeta = (dout * xhat).sum(axis=0), dout.sum(axis=0)
    dx = gamma / (n * std) * (n * dout - dbeta - xhat * dgamma)
    return dx, dgamma, dbeta


def basic_block(x, W1, gamma1, beta1, W2, gamma2, beta2, eps=1e-5):
    a1, bn1 = bn_train(x @ W1, gamma1, beta1, eps)
    r1 = np.maximum(a1, 0)
    a2, bn2 = bn_train(r1 @ W2, gamma2, beta2, eps)
    out = a2 + x
    return np.maximum(out, 0), (x, W1, W2, a1, r1, bn1, bn2, out)


def basic_block_backward(dout, cache):
    x, W1, W2, a1, r1, bn1, bn2, out = cache
    dout[out <= 0] = 0
    da2, dgamma2, dbeta2 = bn_train_backward(dout, bn2)
    dW2 = r1.T @ da2
    dr1 = da2 @ W2.T
    dr1[a1 <= 0] = 0
    da1, dgamma1, dbeta1 = bn_train_backward(dr1, bn1)
    dW1 = x.T @ da1
    dx = da1 @ W1.T + dout
    return dx, dW1, dgamma1, dbeta1, dW2, dgamma2, dbeta2


def make_basic_block():
    rng = np.random.default_rng(18)
    inputs = dict(x=rng.normal(size=(5, 4)), W1=rng.normal(size=(4, 3)), gamma1=rng.uniform(0.5, 1.5, 3),
                  beta1=rng.normal(size=3) * 0.3, W2=rng.normal(size=(3, 4)), gamma2=rng.uniform(0.5, 1.5, 4),
                  beta2=rng.normal(size=4) * 0.3)
    return dict(forward=basic_block, backward=basic_block_backward, inputs=inputs)


ITEMS.append(Item(
    "basic_block_relu_inplace", "torchvision port (ResNet)", "vjp", make_basic_block, False,
    "the last relu writes zeros into the caller's dout; it should be dout = dout * (out > 0)",
    ("dout",), ("mutates-input",)))


# --------------------------------------------------------------------------------------------------------------------
# a Sequential model of layer objects that keep their gradients


class Dense:
    def __init__(self, n_in, n_out):
        self.weights = np.zeros((n_in, n_out))
        self.bias = np.zeros(n_out)
        self.d_weights = np.zeros_like(self.weights)
        self.d_bias = np.zeros_like(self.bias)

    def call(self, x):
        return x @ self.weights + self.bias, (x, self.weights)

    def backprop(self, grad, saved):
        x, weights = saved
        self.d_weights += x.T @ grad
        self.d_bias += grad.sum(axis=0)
        return grad @ weights.T

    def zero_grad(self):
        self.d_weights = np.zeros_like(self.weights)
        self.d_bias = np.zeros_like(self.bias)


class Swish:
    def call(self, x):
        s = sigmoid(x)
        return x * s, (x, s)

    def backprop(self, grad, saved):
        x, s = saved
        return grad * (s + x * s * (1 - s))


class Sequential:
    def __init__(self, sizes):
        self.dense = [Dense(a, b) for a, b in zip(sizes[:-1], sizes[1:])]
        self.layers = []
        for layer in self.dense:
            self.layers += [layer, Swish()]
        self.layers.pop()

    def forward(self, x, W0, b0, W1, b1):
        for layer, W, b in zip(self.dense, (W0, W1), (b0, b1)):
            layer.weights, layer.bias = W, b
        tape = []
        for layer in self.layers:
            x, saved = layer.call(x)
            tape.append(saved)
        return x, tape

    def backward(self, grad, tape):
        for layer, saved in zip(self.layers[::-1], tape[::-1]):
            grad = layer.backprop(grad, saved)
        first, second = self.dense
        return {"x": grad, "W0": first.d_weights.copy(), "b0": first.d_bias.copy(), "W1": second.d_weights.copy(),
                "b1": second.d_bias.copy()}


def make_sequential():
    rng = np.random.default_rng(2015)
    net = Sequential([3, 5, 2])
    inputs = dict(x=rng.normal(size=(4, 3)), W0=rng.normal(size=(3, 5)), b0=rng.normal(size=5) * 0.2,
                  W1=rng.normal(size=(5, 2)), b1=rng.normal(size=2) * 0.2)
    return dict(forward=net.forward, backward=net.backward, inputs=inputs)


ITEMS.append(Item(
    "sequential_no_zero_grad", "Keras-like library", "vjp", make_sequential, False,
    "nobody calls zero_grad, so a second backward adds to the first; each layer's zero_grad() should be called before",
    ("W0", "b0", "W1", "b1"), ("accumulates",)))


# --------------------------------------------------------------------------------------------------------------------
# denoising autoencoder


class DenoisingAutoencoder:
    def __init__(self, noise_std, seed):
        self.noise_std = noise_std
        self.rng = np.random.RandomState(seed)

    def forward(self, x, W1, b1, W2, b2):
        noisy = x + self.noise_std * self.rng.randn(*x.shape)
        h = np.tanh(noisy @ W1 + b1)
        recon = h @ W2 + b2
        err = recon - x
        loss = 0.5 * np.sum(err ** 2) / x.shape[0]
        return loss, (noisy, W1, W2, h, err)

    def backward(self, dloss, cache):
        noisy, W1, W2, h, err = cache
        drecon = dloss * err / err.shape[0]
        dW2, db2 = h.T @ drecon, drecon.sum(axis=0)
        dh = drecon @ W2.T * (1 - h ** 2)
        dW1, db1 = noisy.T @ dh, dh.sum(axis=0)
        dx = dh @ W1.T - drecon
        return dx, dW1, db1, dW2, db2


def make_denoising():
    rng = np.random.RandomState(2008)
    dae = DenoisingAutoencoder(noise_std=0.3, seed=0)
    inputs = dict(x=rng.randn(4, 5), W1=rng.randn(5, 3) * 0.6, b1=rng.randn(3) * 0.1, W2=rng.randn(3, 5) * 0.6,
                  b2=rng.randn(5) * 0.1)
    return dict(forward=dae.forward, backward=dae.backward, inputs=inputs)


ITEMS.append(Item(
    "denoising_draws_inside", "Kaggle notebook (denoising autoencoder)", "vjp", make_denoising, False,
    "forward draws the corruption from self.rng at each call; the noise should be an argument of forward",
    ("x", "W1", "b1", "W2", "b2"), ("noise-redrawn",)))


# --------------------------------------------------------------------------------------------------------------------
# matrix factorisation of ratings


def recommender_loss(U, V, bu, bi, users, items, ratings, reg):
    pred = (U[users] * V[items]).sum(axis=1) + bu[users] + bi[items]
    err = pred - ratings
    loss = (err ** 2).sum() + reg * ((U ** 2).sum() + (V ** 2).sum())
    return loss, (U, V, bu, bi, users, items, ratings, pred, reg)


def recommender_grad(dloss, cache):
    U, V, bu, bi, users, items, ratings, pred, reg = cache
    dpred = np.zeros_like(ratings)
    for n in range(len(ratings)):
        dpred[n] = 2 * dloss * (pred[n] - ratings[n])
    dU, dV = 2 * dloss * reg * U, 2 * dloss * reg * V
    dbu, dbi = np.zeros_like(bu), np.zeros_like(bi)
    for n, (u, i) in enumerate(zip(users, items)):
        dU[u] += dpred[n] * V[i]
        dV[i] += dpred[n] * U[u]
        dbu[u] += dpred[n]
        dbi[i] += dpred[n]
    return {"U": dU, "V": dV, "bu": dbu, "bi": dbi}


def make_recommender():
    rng = np.random.default_rng(2009)
    inputs = dict(U=rng.normal(size=(3, 2)), V=rng.normal(size=(4, 2)), bu=rng.normal(size=3), bi=rng.normal(size=4))
    consts = dict(users=np.array([0, 0, 1, 1, 2, 2, 2]), items=np.array([0, 3, 1, 2, 0, 1, 3]),
                  ratings=np.array([5, 3, 4, 1, 2, 5, 4]), reg=0.1)
    return dict(forward=recommender_loss, backward=recommender_grad, inputs=inputs, constants=consts)


ITEMS.append(Item(
    "recommender_integer_buffer", "Kaggle notebook (recommender)", "vjp", make_recommender, False,
    "np.zeros_like(ratings) is an array of integers that cuts off the decimals; it should be np.zeros_like(pred)",
    ("U", "V", "bu", "bi"), ("precision",)))


# --------------------------------------------------------------------------------------------------------------------
# parametric multidimensional scaling: stress of embedded distances


def mds_stress(X, W1, W2, target):
    hid = np.tanh(X @ W1)
    Y = hid @ W2
    diff = Y[:, None, :] - Y[None, :, :]
    dist = np.sqrt((diff ** 2).sum(axis=-1))
    stress = 0.5 * np.sum((dist - target) ** 2)
    return stress, (X, W1, W2, hid, diff, dist, target)


def mds_stress_backward(dstress, cache):
    X, W1, W2, hid, diff, dist, target = cache
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (dist - target) / dist
    dY = 2 * dstress * (ratio[:, :, None] * diff).sum(axis=1)
    dW2 = hid.T @ dY
    dhid = (dY @ W2.T) * (1 - hid ** 2)
    dW1 = X.T @ dhid
    dX = dhid @ W1.T
    return dX, dW1, dW2


def make_mds():
    rng = np.random.default_rng(1969)
    P = rng.normal(size=(5, 3))
    target = np.sqrt(((P[:, None] - P[None]) ** 2).sum(-1))
    inputs = dict(X=rng.normal(size=(5, 3)), W1=rng.normal(size=(3, 4)), W2=rng.normal(size=(4, 2)))
    return dict(forward=mds_stress, backward=mds_stress_backward, inputs=inputs, constants=dict(target=target))


ITEMS.append(Item(
    "mds_zero_distance", "statistics code (multidimensional scaling)", "vjp", make_mds, False,
    "the diagonal is 0 / 0; it should divide by dist + np.eye(len(dist))",
    ("X", "W1", "W2"), ("non-finite",)))


# --------------------------------------------------------------------------------------------------------------------
# a network of column vectors, example by example


def quadratic_cost(xs, w1, b1, w2, b2, targets):
    acts = []
    cost = 0.0
    for x, y in zip(xs, targets):
        a0 = x[:, None]
        a1 = sigmoid(w1 @ a0 + b1)
        a2 = sigmoid(w2 @ a1 + b2)
        cost += 0.5 * np.linalg.norm(a2 - y[:, None]) ** 2
        acts.append((a0, a1, a2, y[:, None]))
    return cost, (acts, w1, b1, w2, b2)


def quadratic_cost_backprop(dcost, cache):
    acts, w1, b1, w2, b2 = cache
    nabla_xs = []
    nabla_w1, nabla_b1 = np.zeros(w1.shape), np.zeros(b1.shape)
    nabla_w2, nabla_b2 = np.zeros(w2.shape), np.zeros(b2.shape)
    for a0, a1, a2, y in acts:
        delta = dcost * (a2 - y) * a2 * (1 - a2)
        nabla_b2 += delta
        nabla_w2 += np.dot(delta, a1.transpose())
        delta = np.dot(w2.transpose(), delta) * a1 * (1 - a1)
        nabla_b1 = delta
        nabla_w1 += np.dot(delta, a0.transpose())
        nabla_xs.append(np.dot(w1.transpose(), delta)[:, 0])
    return np.array(nabla_xs), nabla_w1, nabla_b1, nabla_w2, nabla_b2


def make_quadratic_cost():
    rng = np.random.default_rng(784)
    inputs = dict(xs=rng.normal(size=(4, 3)), w1=rng.normal(size=(5, 3)), b1=rng.normal(size=(5, 1)),
                  w2=rng.normal(size=(2, 5)), b2=rng.normal(size=(2, 1)))
    return dict(forward=quadratic_cost, backward=quadratic_cost_backprop, inputs=inputs,
                constants=dict(targets=rng.uniform(size=(4, 2))))


ITEMS.append(Item(
    "nielsen_bias_overwritten", "deep learning book", "vjp", make_quadratic_cost, False,
    "nabla_b1 = delta keeps the last example's delta; it should be nabla_b1 += delta",
    ("b1",), ("batch-sum",)))


# --------------------------------------------------------------------------------------------------------------------
# advection, diffusion and reaction on a ring


def reaction_ring(u0, rate, speed, nu, n_steps):
    us = [u0]
    for _ in range(n_steps):
        u = us[-1]
        left, right = np.roll(u, 1), np.roll(u, -1)
        us.append(u - speed * (u - left) + nu * (left - 2 * u + right) + rate * u * (1 - u))
    return us[-1], (us, rate, speed, nu)


def reaction_ring_adjoint(lam, cache):
    us, rate, speed, nu = cache
    drate = np.zeros_like(rate)
    for u in us[-2::-1]:
        drate = drate + lam * u * (1 - u)
        left, right = np.roll(lam, 1), np.roll(lam, -1)
        lam = lam - speed * (lam - left) + nu * (left - 2 * lam + right) + lam * rate * (1 - 2 * u)
    return {"u0": lam, "rate": drate}


def make_ring():
    rng = np.random.default_rng(6)
    inputs = dict(u0=rng.uniform(0.1, 0.9, size=7), rate=rng.uniform(0.1, 0.4, size=7))
    return dict(forward=reaction_ring, backward=reaction_ring_adjoint, inputs=inputs,
                constants=dict(speed=0.4, nu=0.1, n_steps=3))


ITEMS.append(Item(
    "ring_upwind_adjoint", "physics code (differentiable PDE)", "vjp", make_ring, False,
    "the adjoint of the upwind difference looks downwind: it should be speed * (lam - right), not (lam - left)",
    ("u0", "rate"), ("transpose",)))


# --------------------------------------------------------------------------------------------------------------------
# GRU over a few steps, the reset gate applied behind the recurrent product


def gru_forward(x, h0, kernel, recurrent_kernel, bias):
    units = h0.shape[1]
    h, steps = h0, []
    for t in range(x.shape[1]):
        xz, xr, xh = np.split(x[:, t] @ kernel + bias, 3, axis=1)
        rz, rr, rh = np.split(h @ recurrent_kernel, 3, axis=1)
        z, r = sigmoid(xz + rz), sigmoid(xr + rr)
        hh = np.tanh(xh + r * rh)
        new = z * h + (1 - z) * hh
        steps.append((h, z, r, rh, hh))
        h = new
    return h, (x, kernel, recurrent_kernel, steps, units)


def gru_backward(dh, cache):
    x, kernel, recurrent_kernel, steps, units = cache
    dx = np.zeros_like(x)
    dkernel, drecurrent = np.zeros_like(kernel), np.zeros_like(recurrent_kernel)
    dbias = np.zeros(3 * units)
    for t in range(len(steps) - 1, -1, -1):
        h, z, r, rh, hh = steps[t]
        dz = dh * (h - hh) * z * (1 - z)
        dhh = dh * (1 - z) * (1 - hh ** 2)
        dr = dhh * rh * r * (1 - r)
        dx_side = np.concatenate([dz, dr, dhh], axis=1)
        dh_side = np.concatenate([dz, dr, dhh * r], axis=1)
        dkernel += x[:, t].T @ dx_side
        dbias += dx_side.sum(axis=0)
        drecurrent += h.T @ dh_side
        dx[:, t] = dx_side @ kernel.T
        dh = dh * z + dh_side @ recurrent_kernel.T
    return {"x": dx, "h0": dh, "kernel": dkernel, "recurrent_kernel": drecurrent, "bias": dbias}


def make_gru():
    rng = np.random.default_rng(1406)
    inputs = dict(x=rng.normal(size=(3, 3, 2)), h0=rng.normal(size=(3, 2)), kernel=rng.normal(size=(2, 6)),
                  recurrent_kernel=rng.normal(size=(2, 6)), bias=rng.normal(size=6) * 0.3)
    return dict(forward=gru_forward, backward=gru_backward, inputs=inputs)


ITEMS.append(Item("gru_reset_after", "Keras-like library", "vjp", make_gru, True))


# --------------------------------------------------------------------------------------------------------------------
# fully connected net of {affine - batchnorm - relu} x (L - 1) - affine


def fcnet_forward(X, params, eps):
    L = sum(1 for k in params if k.startswith("W"))
    out, caches = X, []
    for i in range(1, L):
        a = out @ params["W%d" % i] + params["b%d" % i]
        v = a.var(axis=0)
        xhat = (a - a.mean(axis=0)) / np.sqrt(v + eps)
        n = params["gamma%d" % i] * xhat + params["beta%d" % i]
        caches.append((out, v, xhat, n))
        out = np.maximum(0, n)
    scores = out @ params["W%d" % L] + params["b%d" % L]
    return scores, (params, L, caches, out, eps)


def fcnet_backward(dscores, cache):
    params, L, caches, out, eps = cache
    grads = {"W%d" % L: out.T @ dscores, "b%d" % L: dscores.sum(axis=0)}
    dout = dscores @ params["W%d" % L].T
    for i in range(L - 1, 0, -1):
        x, v, xhat, n = caches[i - 1]
        dn = dout * (n > 0)
        grads["gamma%d" % i] = np.sum(dn * xhat, axis=0)
        grads["beta%d" % i] = np.sum(dn, axis=0)
        dxhat = dn * params["gamma%d" % i]
        da = (dxhat - dxhat.mean(axis=0) - xhat * (dxhat * xhat).mean(axis=0)) / np.sqrt(v + eps)
        grads["W%d" % i] = x.T @ da
        grads["b%d" % i] = da.sum(axis=0)
        dout = da @ params["W%d" % i].T
    return {"X": dout, "params": grads}


def make_fcnet():
    rng = np.random.RandomState(3)
    dims, params = [4, 5, 4, 3], {}
    for i in range(3):
        params["W%d" % (i + 1)] = rng.randn(dims[i], dims[i + 1])
        params["b%d" % (i + 1)] = rng.randn(dims[i + 1]) * 0.1
        if i < 2:
            params["gamma%d" % (i + 1)] = 1 + 0.2 * rng.randn(dims[i + 1])
            params["beta%d" % (i + 1)] = 0.3 * rng.randn(dims[i + 1])
    return dict(forward=fcnet_forward, backward=fcnet_backward, inputs=dict(X=rng.randn(6, 4), params=params),
                constants=dict(eps=1e-4))


ITEMS.append(Item("fcnet_batchnorm", "CS231n assignment", "vjp", make_fcnet, True))


# --------------------------------------------------------------------------------------------------------------------
# Lennard-Jones energies per particle


def lj_energies(pos, epsilon, sigma):
    n = len(pos)
    rij = pos[:, None] - pos[None]
    r2 = (rij ** 2).sum(-1) + np.eye(n)
    off = 1 - np.eye(n)
    s6 = (sigma[0] ** 2 / r2) ** 3 * off
    pair = 4 * epsilon[0] * (s6 ** 2 - s6)
    return 0.5 * pair.sum(axis=1), (rij, r2, s6, epsilon, sigma)


def lj_energies_backward(de, cache):
    rij, r2, s6, epsilon, sigma = cache
    w = 0.5 * (de[:, None] + de[None, :])
    common = 4 * epsilon[0] * (12 * s6 ** 2 - 6 * s6)
    dpos = -((w * common / r2)[:, :, None] * rij).sum(axis=1)
    depsilon = np.array([(0.5 * de[:, None] * 4 * (s6 ** 2 - s6)).sum()])
    dsigma = np.array([(0.5 * de[:, None] * common).sum() / sigma[0]])
    return dpos, depsilon, dsigma


def make_lj():
    rng = np.random.default_rng(1924)
    grid = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]) * 1.3
    inputs = dict(pos=grid + rng.normal(size=(5, 3)) * 0.08, epsilon=np.array([0.7]), sigma=np.array([1.05]))
    return dict(forward=lj_energies, backward=lj_energies_backward, inputs=inputs)


ITEMS.append(Item("lennard_jones", "physics code (molecular dynamics)", "vjp", make_lj, True))


# --------------------------------------------------------------------------------------------------------------------
# classifier with dropout masks, label smoothing and sample weights


def smooth_classifier(x, W1, b1, W2, b2, y, keep_mask, keep_prob, smoothing, weight):
    z = x @ W1 + b1
    a = np.where(z > 0, z, np.expm1(np.minimum(z, 0)))
    d = a * keep_mask / keep_prob
    logits = d @ W2 + b2
    K = logits.shape[1]
    target = np.full(logits.shape, smoothing / K)
    target[np.arange(len(y)), y] += 1 - smoothing
    shifted = logits - logits.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -(weight * (target * logp).sum(axis=1)).sum() / weight.sum()
    return loss, {"x": x, "W1": W1, "W2": W2, "a": a, "d": d, "scale": keep_mask / keep_prob, "target": target,
                  "p": np.exp(logp), "weight": weight}


def smooth_classifier_backward(dloss, c):
    dlogits = dloss * c["weight"][:, None] * (c["p"] - c["target"]) / c["weight"].sum()
    da = dlogits @ c["W2"].T * c["scale"]
    dz = da * np.where(c["a"] > 0, 1.0, c["a"] + 1.0)
    return {"x": dz @ c["W1"].T, "W1": c["x"].T @ dz, "b1": dz.sum(axis=0), "W2": c["d"].T @ dlogits,
            "b2": dlogits.sum(axis=0)}


def make_smooth_classifier():
    rng = np.random.default_rng(50)
    inputs = dict(x=rng.normal(size=(5, 4)), W1=rng.normal(size=(4, 6)), b1=rng.normal(size=6) * 0.2,
                  W2=rng.normal(size=(6, 3)), b2=rng.normal(size=3) * 0.2)
    consts = dict(y=np.array([2, 0, 1, 1, 0]), keep_mask=(rng.uniform(size=(5, 6)) < 0.7).astype(float), keep_prob=0.7,
                  smoothing=0.1, weight=rng.uniform(0.5, 2, size=5))
    return dict(forward=smooth_classifier, backward=smooth_classifier_backward, inputs=inputs, constants=consts)


ITEMS.append(Item("smooth_classifier", "Keras-like library", "vjp", make_smooth_classifier, True))


# --------------------------------------------------------------------------------------------------------------------
# CLIP: two linear towers, learned logit scale, symmetric cross-entropy


def clip_loss(image, text, w_image, w_text, log_scale):
    ctx = Ctx()
    a, b = image @ w_image, text @ w_text
    na, nb = np.linalg.norm(a, axis=-1, keepdims=True), np.linalg.norm(b, axis=-1, keepdims=True)
    ea, eb = a / na, b / nb
    cos = ea @ eb.T
    logits = np.exp(log_scale) * cos
    p_rows, p_cols = softmax(logits, axis=1), softmax(logits, axis=0)
    diag = np.arange(len(cos))
    loss = -0.5 * (np.log(p_rows[diag, diag]) + np.log(p_cols[diag, diag])).mean()
    ctx.save_for_backward(image, text, w_image, w_text, np.exp(log_scale), na, nb, ea, eb, cos, p_rows, p_cols)
    return loss, ctx


def clip_loss_grad(grad_output, ctx):
    image, text, w_image, w_text, scale, na, nb, ea, eb, cos, p_rows, p_cols = ctx.saved_tensors
    n = len(cos)
    grad_logits = grad_output * ((p_rows + p_cols) / 2 - np.eye(n)) / n
    grad_log_scale = np.reshape(scale * (grad_logits * cos).sum(), scale.shape)
    grad_cos = scale * grad_logits
    grad_ea, grad_eb = grad_cos @ eb, grad_cos.T @ ea
    grad_a = (grad_ea - ea * (grad_ea * ea).sum(-1, keepdims=True)) / na
    grad_b = (grad_eb - eb * (grad_eb * eb).sum(-1, keepdims=True)) / nb
    return grad_a @ w_image.T, grad_b @ w_text.T, image.T @ grad_a, text.T @ grad_b, grad_log_scale


def make_clip():
    rng = np.random.default_rng(2021)
    inputs = dict(image=rng.normal(size=(4, 5)), text=rng.normal(size=(4, 3)), w_image=rng.normal(size=(5, 3)),
                  w_text=rng.normal(size=(3, 3)), log_scale=np.array([1.0]))
    return dict(forward=clip_loss, backward=clip_loss_grad, inputs=inputs)


ITEMS.append(Item("clip_symmetric", "PyTorch autograd.Function port", "vjp", make_clip, True))


# --------------------------------------------------------------------------------------------------------------------
# WaveNet: dilated causal convolutions with gates, residual and skip outputs


def shift_right(x, n):
    return np.pad(x, ((0, 0), (n, 0), (0, 0)))[:, :x.shape[1]]


def shift_left(x, n):
    return np.pad(x, ((0, 0), (0, n), (0, 0)))[:, n:]


def wavenet(x, filt, gate, res, skip, dilations):
    total, saved = 0.0, []
    for layer, d in enumerate(dilations):
        past = shift_right(x, d)
        f = np.tanh(past @ filt[layer, 0] + x @ filt[layer, 1])
        g = sigmoid(past @ gate[layer, 0] + x @ gate[layer, 1])
        out = f * g
        total = total + out @ skip[layer]
        saved.append((x, past, f, g, out))
        x = x + out @ res[layer]
    return total, (saved, filt, gate, res, skip, dilations)


def wavenet_backward(dtotal, cache):
    saved, filt, gate, res, skip, dilations = cache
    dfilt, dgate, dres, dskip = (np.zeros_like(w) for w in (filt, gate, res, skip))
    dx = np.zeros_like(saved[0][0])
    for layer in range(len(dilations) - 1, -1, -1):
        x, past, f, g, out = saved[layer]
        dskip[layer] = np.einsum("bti,bto->io", out, dtotal)
        dres[layer] = np.einsum("bti,bto->io", out, dx)
        dout = dtotal @ skip[layer].T + dx @ res[layer].T
        df = dout * g * (1 - f ** 2)
        dg = dout * f * g * (1 - g)
        for w, dw, d in ((filt, dfilt, df), (gate, dgate, dg)):
            dw[layer, 0] = np.einsum("bti,bto->io", past, d)
            dw[layer, 1] = np.einsum("bti,bto->io", x, d)
            dx = dx + d @ w[layer, 1].T + shift_left(d @ w[layer, 0].T, dilations[layer])
    return {"x": dx, "filt": dfilt, "gate": dgate, "res": dres, "skip": dskip}


def make_wavenet():
    rng = np.random.default_rng(16)
    inputs = dict(x=rng.normal(size=(2, 5, 2)), filt=rng.normal(size=(2, 2, 2, 3)), gate=rng.normal(size=(2, 2, 2, 3)),
                  res=rng.normal(size=(2, 3, 2)), skip=rng.normal(size=(2, 3, 2)))
    return dict(forward=wavenet, backward=wavenet_backward, inputs=inputs, constants=dict(dilations=(1, 2)))


ITEMS.append(Item("wavenet_two_layers", "research repository (WaveNet)", "vjp", make_wavenet, True))


# --------------------------------------------------------------------------------------------------------------------
# variational autoencoder, noise given


def vae_loss(x, We, Wmu, Wlv, Wd, Wo, bo, eps, beta):
    h = np.tanh(x @ We)
    mu, logvar = h @ Wmu, h @ Wlv
    std = np.exp(0.5 * logvar)
    z = mu + std * eps
    g = np.tanh(z @ Wd)
    logits = g @ Wo + bo
    bce = np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits)))
    kl = -0.5 * (1 + logvar - mu ** 2 - std ** 2)
    return bce.sum(axis=1) + beta * kl.sum(axis=1), (x, We, Wmu, Wlv, Wd, Wo, h, mu, std, z, g, logits, eps, beta)


def vae_loss_backward(dl, cache):
    x, We, Wmu, Wlv, Wd, Wo, h, mu, std, z, g, logits, eps, beta = cache
    dl = dl[:, None]
    dlogits = dl * (sigmoid(logits) - x)
    dg = (dlogits @ Wo.T) * (1 - g * g)
    dz = dg @ Wd.T
    dmu = dz + dl * beta * mu
    dlogvar = 0.5 * (dz * (z - mu) + dl * beta * (std ** 2 - 1))
    dh = (dmu @ Wmu.T + dlogvar @ Wlv.T) * (1 - h * h)
    dx = dh @ We.T - dl * logits
    return dict(x=dx, We=x.T @ dh, Wmu=h.T @ dmu, Wlv=h.T @ dlogvar, Wd=z.T @ dg, Wo=g.T @ dlogits,
                bo=dlogits.sum(0))


def make_vae():
    rng = np.random.default_rng(1312)
    inputs = dict(x=rng.uniform(size=(4, 5)), We=rng.normal(size=(5, 4)), Wmu=rng.normal(size=(4, 2)),
                  Wlv=rng.normal(size=(4, 2)) * 0.5, Wd=rng.normal(size=(2, 4)), Wo=rng.normal(size=(4, 5)),
                  bo=rng.normal(size=5))
    return dict(forward=vae_loss, backward=vae_loss_backward, inputs=inputs,
                constants=dict(eps=rng.normal(size=(4, 2)), beta=0.7))


ITEMS.append(Item("vae_bernoulli", "research repository (VAE)", "vjp", make_vae, True))


# --------------------------------------------------------------------------------------------------------------------
# highway layers, modulated by a conditioning vector (FiLM)


def highway_film(params, x, cond):
    residuals = []
    film = cond @ params["film_w"] + params["film_b"]
    scale, offset = np.split(film, 2, axis=-1)
    for w_h, w_t, b_t in zip(params["w_h"], params["w_t"], params["b_t"]):
        u = x @ w_h
        cand = np.tanh((1 + scale) * u + offset)
        gate = sigmoid(x @ w_t + b_t)
        residuals.append((x, u, cand, gate))
        x = gate * cand + (1 - gate) * x
    return x, (residuals, params, cond, scale)


def highway_film_vjp(ct, res):
    residuals, params, cond, scale = res
    g = {k: np.zeros_like(v) for k, v in params.items()}
    ct_scale = ct_offset = 0.0
    for layer in reversed(range(len(residuals))):
        x, u, cand, gate = residuals[layer]
        ct_pre = ct * gate * (1 - cand ** 2)
        ct_gate = ct * (cand - x) * gate * (1 - gate)
        ct_u = ct_pre * (1 + scale)
        ct_scale = ct_scale + ct_pre * u
        ct_offset = ct_offset + ct_pre
        g["w_h"][layer] = x.T @ ct_u
        g["w_t"][layer] = x.T @ ct_gate
        g["b_t"][layer] = ct_gate.sum(0)
        ct = ct * (1 - gate) + ct_u @ params["w_h"][layer].T + ct_gate @ params["w_t"][layer].T
    ct_film = np.concatenate([ct_scale, ct_offset], axis=-1)
    g["film_w"] = cond.T @ ct_film
    g["film_b"] = ct_film.sum(0)
    return g, ct, ct_film @ params["film_w"].T


def make_highway():
    rng = np.random.default_rng(1505)
    params = {"w_h": rng.normal(size=(2, 3, 3)), "w_t": rng.normal(size=(2, 3, 3)), "b_t": rng.normal(size=(2, 3)) - 1,
              "film_w": rng.normal(size=(2, 6)) * 0.5, "film_b": rng.normal(size=6) * 0.2}
    return dict(forward=highway_film, backward=highway_film_vjp,
                inputs=dict(params=params, x=rng.normal(size=(4, 3)), cond=rng.normal(size=(4, 2))))


ITEMS.append(Item("highway_film", "JAX/TFP port", "vjp", make_highway, True))


# --------------------------------------------------------------------------------------------------------------------
# RealNVP: two coupling layers, log-density


def realnvp_log_prob(x, Ws, Wt, bs, bt):
    half = x.shape[1] // 2
    logdet = np.zeros(len(x))
    saved = []
    for layer in range(len(Ws)):
        a, b = x[:, :half], x[:, half:]
        s = np.tanh(a @ Ws[layer] + bs[layer])
        t = a @ Wt[layer] + bt[layer]
        zb = (b - t) * np.exp(-s)
        logdet = logdet - s.sum(axis=1)
        saved.append((a, s, zb))
        x = np.concatenate([zb, a], axis=1)
    log_prob = -0.5 * (x ** 2).sum(axis=1) - 0.5 * x.shape[1] * np.log(2 * np.pi) + logdet
    return log_prob, (saved, x, Ws, Wt)


def realnvp_log_prob_vjp(g, res):
    saved, z, Ws, Wt = res
    half = z.shape[1] // 2
    gWs, gWt = np.zeros_like(Ws), np.zeros_like(Wt)
    gbs, gbt = np.zeros((len(Ws), half)), np.zeros((len(Ws), half))
    gx = -g[:, None] * z
    for layer in range(len(Ws))[::-1]:
        a, s, zb = saved[layer]
        gzb, ga = gx[:, :half], gx[:, half:]
        gb = gzb * np.exp(-s)
        gpre = -(gzb * zb + g[:, None]) * (1 - s ** 2)
        gWs[layer], gbs[layer] = a.T @ gpre, gpre.sum(axis=0)
        gWt[layer], gbt[layer] = -a.T @ gb, -gb.sum(axis=0)
        ga = ga + gpre @ Ws[layer].T - gb @ Wt[layer].T
        gx = np.concatenate([ga, gb], axis=1)
    return gx, gWs, gWt, gbs, gbt


def make_realnvp():
    rng = np.random.default_rng(1605)
    inputs = dict(x=rng.normal(size=(3, 4)), Ws=rng.normal(size=(2, 2, 2)) * 0.7, Wt=rng.normal(size=(2, 2, 2)),
                  bs=rng.normal(size=(2, 2)) * 0.3, bt=rng.normal(size=(2, 2)) * 0.3)
    return dict(forward=realnvp_log_prob, backward=realnvp_log_prob_vjp, inputs=inputs)


ITEMS.append(Item("realnvp_log_prob", "JAX/TFP port", "vjp", make_realnvp, True))


# --------------------------------------------------------------------------------------------------------------------
# graph attention layer


def gat_layer(h, W, a_left, a_right, adj, slope):
    g = h @ W
    left, right = g @ a_left, g @ a_right
    raw = left[:, None] + right[None, :]
    e = np.where(raw > 0, raw, slope * raw)
    e = np.where(adj > 0, e, -np.inf)
    alpha = softmax(e, axis=1)
    out = alpha @ g
    return np.tanh(out), (h, W, a_left, a_right, g, raw, alpha, np.tanh(out), slope)


def gat_layer_backward(dy, cache):
    h, W, a_left, a_right, g, raw, alpha, y, slope = cache
    dout = dy * (1 - y ** 2)
    dalpha = dout @ g.T
    dg = alpha.T @ dout
    de = alpha * (dalpha - (alpha * dalpha).sum(axis=1, keepdims=True))
    draw = de * np.where(raw > 0, 1, slope)
    dleft, dright = draw.sum(axis=1), draw.sum(axis=0)
    dg += np.outer(dleft, a_left) + np.outer(dright, a_right)
    return {"h": dg @ W.T, "W": h.T @ dg, "a_left": g.T @ dleft, "a_right": g.T @ dright}


def make_gat():
    rng = np.random.default_rng(1710)
    adj = np.eye(5)
    for i, j in ((0, 1), (1, 2), (2, 3), (3, 4), (0, 3)):
        adj[i, j] = adj[j, i] = 1
    inputs = dict(h=rng.normal(size=(5, 3)), W=rng.normal(size=(3, 4)), a_left=rng.normal(size=4),
                  a_right=rng.normal(size=4))
    return dict(forward=gat_layer, backward=gat_layer_backward, inputs=inputs, constants=dict(adj=adj, slope=0.2))


ITEMS.append(Item("gat_layer", "research repository (graph attention)", "vjp", make_gat, True))


# --------------------------------------------------------------------------------------------------------------------
# Gaussian process: negative log marginal likelihood


def gp_nlml(X, y, log_ell, log_sf, log_sn):
    n = len(X)
    scaled = X / np.exp(log_ell)
    sq = ((scaled[:, None] - scaled[None]) ** 2).sum(-1)
    K = np.exp(2 * log_sf[0] - 0.5 * sq)
    L = cholesky(K + np.exp(2 * log_sn[0]) * np.eye(n), lower=True)
    alpha = cho_solve((L, True), y)
    nlml = 0.5 * y @ alpha + np.log(np.diag(L)).sum() + 0.5 * n * np.log(2 * np.pi)
    return nlml, (scaled, log_ell, log_sn, K, L, alpha)


def gp_nlml_backward(g, cache):
    scaled, log_ell, log_sn, K, L, alpha = cache
    n = len(K)
    Q = 0.5 * g * (cho_solve((L, True), np.eye(n)) - np.outer(alpha, alpha))
    QK = Q * K
    d_log_sf = np.array([2 * QK.sum()])
    d_log_sn = np.array([2 * np.exp(2 * log_sn[0]) * np.trace(Q)])
    diff = scaled[:, None] - scaled[None]
    d_log_ell = (QK[:, :, None] * diff ** 2).sum(axis=(0, 1))
    dX = -2 * (QK[:, :, None] * diff).sum(axis=1) / np.exp(log_ell)
    return {"X": dX, "y": g * alpha, "log_ell": d_log_ell, "log_sf": d_log_sf, "log_sn": d_log_sn}


def make_gp():
    rng = np.random.default_rng(2006)
    inputs = dict(X=rng.normal(size=(5, 2)), y=rng.normal(size=5), log_ell=np.array([0.1, -0.2]),
                  log_sf=np.array([0.3]), log_sn=np.array([-0.8]))
    return dict(forward=gp_nlml, backward=gp_nlml_backward, inputs=inputs)


ITEMS.append(Item("gp_marginal_likelihood", "statistics code (GPML port)", "vjp", make_gp, True))


# --------------------------------------------------------------------------------------------------------------------
# hidden Markov model: log-likelihood by the scaled forward recursion


def hmm_loglik(start, trans, means, obs):
    pi, A = softmax(start), softmax(trans, axis=1)
    like = np.exp(-0.5 * (obs[:, None] - means) ** 2) / np.sqrt(2 * np.pi)
    alphas, scales = [], []
    prior = pi
    for t in range(len(obs)):
        joint = prior * like[t]
        scales.append(joint.sum())
        alphas.append(joint / scales[-1])
        prior = alphas[-1] @ A
    return np.log(scales).sum(), (pi, A, means, obs, like, alphas, scales)


def hmm_loglik_backward(g, cache):
    pi, A, means, obs, like, alphas, scales = cache
    T = len(obs)
    beta = np.ones_like(pi)
    posterior = np.zeros_like(like)
    pairs = np.zeros_like(A)
    for t in range(T - 1, -1, -1):
        posterior[t] = alphas[t] * beta
        if t > 0:
            message = like[t] * beta / scales[t]
            pairs += alphas[t - 1][:, None] * A * message
            beta = A @ message
    d_start = g * (posterior[0] - pi)
    d_trans = g * (pairs - A * pairs.sum(axis=1, keepdims=True))
    resid = obs[:, None] - means
    d_means = g * (posterior * resid).sum(axis=0)
    return {"start": d_start, "trans": d_trans, "means": d_means, "obs": -g * (posterior * resid).sum(axis=1)}


def make_hmm():
    rng = np.random.default_rng(1989)
    inputs = dict(start=rng.normal(size=3), trans=rng.normal(size=(3, 3)), means=rng.normal(size=3) * 1.5,
                  obs=rng.normal(size=5))
    return dict(forward=hmm_loglik, backward=hmm_loglik_backward, inputs=inputs)


ITEMS.append(Item("hmm_by_posteriors", "statistics code (hidden Markov models)", "vjp", make_hmm, True))


# --------------------------------------------------------------------------------------------------------------------
# soft actor-critic: policy loss of a squashed Gaussian


def sac_policy_loss(obs, W, b, W_mu, W_ls, Q, xi, alpha):
    z = obs @ W + b
    h = np.maximum(z, 0)
    mu, log_std = h @ W_mu, h @ W_ls
    std = np.exp(log_std)
    pre = mu + std * xi
    act = np.tanh(pre)
    log_prob = (-0.5 * xi ** 2 - log_std - 0.5 * np.log(2 * np.pi)).sum(axis=1)
    log_prob = log_prob - 2 * (np.log(2) - pre - np.logaddexp(0, -2 * pre)).sum(axis=1)
    q = -np.einsum("bi,ij,bj->b", act, Q, act) + act.sum(axis=1)
    return np.mean(alpha * log_prob - q), (obs, W, W_mu, W_ls, Q, z, h, std, act, xi, alpha)


def sac_policy_loss_backward(dloss, cache):
    obs, W, W_mu, W_ls, Q, z, h, std, act, xi, alpha = cache
    g = dloss / len(obs)
    dact = g * (act @ (Q + Q.T) - 1)
    dpre = dact * (1 - act ** 2) + 2 * g * alpha * act
    dlog_std = dpre * std * xi - g * alpha
    dz = (dpre @ W_mu.T + dlog_std @ W_ls.T) * (z > 0)
    dQ = g * np.einsum("bi,bj->ij", act, act)
    return {"obs": dz @ W.T, "W": obs.T @ dz, "b": dz.sum(axis=0), "W_mu": h.T @ dpre, "W_ls": h.T @ dlog_std, "Q": dQ}


def make_sac():
    rng = np.random.default_rng(1801)
    inputs = dict(obs=rng.normal(size=(4, 3)), W=rng.normal(size=(3, 5)), b=rng.normal(size=5) * 0.2,
                  W_mu=rng.normal(size=(5, 2)) * 0.5, W_ls=rng.normal(size=(5, 2)) * 0.3, Q=rng.normal(size=(2, 2)))
    return dict(forward=sac_policy_loss, backward=sac_policy_loss_backward, inputs=inputs,
                constants=dict(xi=rng.normal(size=(4, 2)), alpha=0.2))


ITEMS.append(Item("sac_squashed_gaussian", "research repository (SAC)", "vjp", make_sac, True))


# --------------------------------------------------------------------------------------------------------------------
# skip-gram with negative sampling


def skipgram_loss(center_vecs, outside_vecs, center, outside, negatives):
    v = center_vecs[center]
    u = outside_vecs[outside]
    neg = outside_vecs[negatives]
    pos_prob = sigmoid(np.sum(v * u, axis=1))
    neg_prob = sigmoid(-np.einsum("bd,bkd->bk", v, neg))
    losses = -np.log(pos_prob) - np.log(neg_prob).sum(axis=1)
    return losses, (center_vecs, outside_vecs, center, outside, negatives, v, u, neg, pos_prob, neg_prob)


def skipgram_backward(dlosses, cache):
    center_vecs, outside_vecs, center, outside, negatives, v, u, neg, pos_prob, neg_prob = cache
    gpos = dlosses * (pos_prob - 1)
    gneg = dlosses[:, None] * (1 - neg_prob)
    grad_center = np.zeros_like(center_vecs)
    grad_outside = np.zeros_like(outside_vecs)
    np.add.at(grad_center, center, gpos[:, None] * u + np.einsum("bk,bkd->bd", gneg, neg))
    np.add.at(grad_outside, outside, gpos[:, None] * v)
    np.add.at(grad_outside, negatives, gneg[:, :, None] * v[:, None, :])
    return grad_center, grad_outside


def make_skipgram():
    rng = np.random.RandomState(31415)
    return dict(forward=skipgram_loss, backward=skipgram_backward,
                inputs=dict(center_vecs=rng.randn(5, 3), outside_vecs=rng.randn(5, 3)),
                constants=dict(center=np.array([0, 2, 2, 4]), outside=np.array([1, 3, 1, 0]),
                               negatives=np.array([[3, 4], [0, 0], [4, 3], [1, 2]])))


ITEMS.append(Item("skipgram_negatives", "CS224n assignment", "vjp", make_skipgram, True))


# --------------------------------------------------------------------------------------------------------------------
# a U-Net of one level on a line: convolve, pool, convolve, upsample, concatenate


def conv_same(x, w):
    cols = np.stack([np.pad(x, ((0, 0), (0, 0), (1, 1)))[:, :, k:k + x.shape[2]] for k in range(3)], axis=2)
    return np.einsum("bckt,ock->bot", cols, w), (cols, w)


def conv_same_backward(dy, saved):
    cols, w = saved
    dw = np.einsum("bot,bckt->ock", dy, cols)
    dcols = np.einsum("bot,ock->bckt", dy, w)
    T = dy.shape[2]
    dxp = np.zeros((dy.shape[0], w.shape[1], T + 2))
    for k in range(3):
        dxp[:, :, k:k + T] += dcols[:, :, k]
    return dxp[:, :, 1:-1], dw


def unet_forward(x, w_down, w_mid, w_up):
    c1, s1 = conv_same(x, w_down)
    down = np.where(c1 > 0, c1, 0.1 * c1)
    pooled = 0.5 * (down[:, :, 0::2] + down[:, :, 1::2])
    c2, s2 = conv_same(pooled, w_mid)
    mid = np.tanh(c2)
    up = np.repeat(mid, 2, axis=2)
    y, s3 = conv_same(np.concatenate([up, down], axis=1), w_up)
    return y, (c1, s1, s2, mid, s3)


def unet_backward(dy, cache):
    c1, s1, s2, mid, s3 = cache
    dcat, dw_up = conv_same_backward(dy, s3)
    n_mid = mid.shape[1]
    dup, ddown = dcat[:, :n_mid], dcat[:, n_mid:].copy()
    dmid = dup[:, :, 0::2] + dup[:, :, 1::2]
    dpooled, dw_mid = conv_same_backward(dmid * (1 - mid ** 2), s2)
    ddown += 0.5 * np.repeat(dpooled, 2, axis=2)
    dx, dw_down = conv_same_backward(ddown * np.where(c1 > 0, 1, 0.1), s1)
    return {"x": dx, "w_down": dw_down, "w_mid": dw_mid, "w_up": dw_up}


def make_unet():
    rng = np.random.default_rng(1505)
    inputs = dict(x=rng.normal(size=(2, 2, 6)), w_down=rng.normal(size=(3, 2, 3)), w_mid=rng.normal(size=(2, 3, 3)),
                  w_up=rng.normal(size=(1, 5, 3)))
    return dict(forward=unet_forward, backward=unet_backward, inputs=inputs)


ITEMS.append(Item("unet_one_level", "research repository (U-Net)", "vjp", make_unet, True))
