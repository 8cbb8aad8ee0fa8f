"""Whole small networks and longer functions, each with a forward and a hand-written backward."""
from typing import Callable, NamedTuple

import numpy as np
from scipy.special import expit, logsumexp


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


# -------------------------------- two-layer net with L2 (CS231n assignment)

def two_layer_loss(X, W1, b1, W2, b2, y=None, reg=0.0):
    N = X.shape[0]
    hidden = np.maximum(0, X.dot(W1) + b1)
    scores = hidden.dot(W2) + b2
    shifted = scores - np.max(scores, axis=1, keepdims=True)
    probs = np.exp(shifted) / np.sum(np.exp(shifted), axis=1, keepdims=True)
    data_loss = -np.sum(np.log(probs[np.arange(N), y])) / N
    reg_loss = reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    return data_loss + reg_loss, (X, W1, W2, hidden, probs, y, reg)


def two_layer_grads(dloss, cache):
    X, W1, W2, hidden, probs, y, reg = cache
    N = X.shape[0]
    grads = {}
    dscores = probs.copy()
    dscores[np.arange(N), y] -= 1
    dscores *= dloss / N
    grads["W2"] = hidden.T.dot(dscores)
    grads["b2"] = np.sum(dscores, axis=0)
    dhidden = dscores.dot(W2.T)
    dhidden[hidden <= 0] = 0
    grads["W1"] = X.T.dot(dhidden)
    grads["b1"] = np.sum(dhidden, axis=0)
    grads["X"] = dhidden.dot(W1.T)
    grads["W1"] += dloss * 2 * reg * W1
    return grads


def make_two_layer():
    rng = np.random.RandomState(0)
    inputs = {"X": rng.randn(5, 4), "W1": 0.7 * rng.randn(4, 6), "b1": 0.1 * rng.randn(6),
              "W2": 0.7 * rng.randn(6, 3), "b2": 0.1 * rng.randn(3)}
    return dict(forward=two_layer_loss, backward=two_layer_grads, inputs=inputs,
                constants={"y": np.array([0, 1, 2, 2, 1]), "reg": 0.1})


ITEMS.append(Item(
    "two_layer_reg", "CS231n assignment", "vjp", make_two_layer, False,
    "The L2 penalty covers both matrices but dW2 lacks its part: grads['W2'] += dloss * 2 * reg * W2 is missing.",
    ("W2",), ("missing-term",)))


# -------------------------------- character RNN (Karpathy gist)

def char_rnn_loss(Wxh, Whh, Why, bh, by, hprev, inputs=None, targets=None):
    xs, hs, ps = {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    vocab = Wxh.shape[1]
    for t in range(len(inputs)):
        xs[t] = np.zeros((vocab, 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        ys = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(ys) / np.sum(np.exp(ys))
        loss += -np.log(ps[t][targets[t], 0])
    return loss, (xs, hs, ps, targets, Wxh, Whh, Why, bh, by)


def char_rnn_grads(dloss, cache):
    xs, hs, ps, targets, Wxh, Whh, Why, bh, by = cache
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(targets))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dy *= dloss
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh, dhraw)
    return dWxh, dWhh, dWhy, dbh, dby, dhnext


def make_char_rnn():
    rng = np.random.RandomState(1)
    inputs = {"Wxh": 0.6 * rng.randn(4, 5), "Whh": 0.6 * rng.randn(4, 4), "Why": 0.6 * rng.randn(5, 4),
              "bh": 0.1 * rng.randn(4, 1), "by": 0.1 * rng.randn(5, 1), "hprev": 0.5 * rng.randn(4, 1)}
    return dict(forward=char_rnn_loss, backward=char_rnn_grads, inputs=inputs,
                constants={"inputs": [0, 3, 1, 4], "targets": [3, 1, 4, 2]})


ITEMS.append(Item(
    "char_rnn", "Karpathy gist", "vjp", make_char_rnn, False,
    "The gradient goes back through the recurrence with the wrong matrix: np.dot(Whh, dhraw) should be "
    "np.dot(Whh.T, dhraw).",
    ("Wxh", "Whh", "bh", "hprev"), ("transpose",)))


# -------------------------------- batched LSTM (Karpathy gist)

def lstm_seq(X, WLSTM, c0, h0):
    n, b, input_size = X.shape
    d = WLSTM.shape[1] // 4
    Hin = np.zeros((n, b, WLSTM.shape[0]))
    Hout = np.zeros((n, b, d))
    IFOGf = np.zeros((n, b, d * 4))
    C = np.zeros((n, b, d))
    Ct = np.zeros((n, b, d))
    for t in range(n):
        prevh = Hout[t - 1] if t > 0 else h0
        prevc = C[t - 1] if t > 0 else c0
        Hin[t, :, 0] = 1
        Hin[t, :, 1:input_size + 1] = X[t]
        Hin[t, :, input_size + 1:] = prevh
        IFOG = Hin[t].dot(WLSTM)
        IFOGf[t, :, :3 * d] = 1.0 / (1.0 + np.exp(-IFOG[:, :3 * d]))
        IFOGf[t, :, 3 * d:] = np.tanh(IFOG[:, 3 * d:])
        C[t] = IFOGf[t, :, :d] * IFOGf[t, :, 3 * d:] + IFOGf[t, :, d:2 * d] * prevc
        Ct[t] = np.tanh(C[t])
        Hout[t] = IFOGf[t, :, 2 * d:3 * d] * Ct[t]
    return Hout, (WLSTM, Hin, IFOGf, C, Ct, c0, input_size)


def lstm_seq_backward(dHout_in, cache):
    WLSTM, Hin, IFOGf, C, Ct, c0, input_size = cache
    n, b, d = C.shape
    dIFOGf = np.zeros_like(IFOGf)
    dWLSTM = np.zeros_like(WLSTM)
    dX = np.zeros((n, b, input_size))
    dC = np.zeros_like(C)
    dc0, dh0 = np.zeros((b, d)), np.zeros((b, d))
    dHout = dHout_in.copy()
    for t in reversed(range(n)):
        i, f, o, g = np.split(IFOGf[t], 4, axis=1)
        dIFOGf[t, :, 2 * d:3 * d] = Ct[t] * dHout[t]
        dC[t] += (1 - Ct[t] ** 2) * (o * dHout[t])
        if t > 0:
            dIFOGf[t, :, d:2 * d] = C[t] * dC[t]
            dC[t - 1] += f * dC[t]
        else:
            dIFOGf[t, :, d:2 * d] = c0 * dC[t]
            dc0 = f * dC[t]
        dIFOGf[t, :, :d] = g * dC[t]
        dIFOGf[t, :, 3 * d:] = i * dC[t]
        s = IFOGf[t, :, :3 * d]
        dIFOG = np.concatenate([s * (1 - s) * dIFOGf[t, :, :3 * d], (1 - g ** 2) * dIFOGf[t, :, 3 * d:]], axis=1)
        dWLSTM += Hin[t].T.dot(dIFOG)
        dHin = dIFOG.dot(WLSTM.T)
        dX[t] = dHin[:, 1:input_size + 1]
        if t > 0:
            dHout[t - 1] += dHin[:, input_size + 1:]
        else:
            dh0 += dHin[:, input_size + 1:]
    return dX, dWLSTM, dc0, dh0


def make_lstm_seq():
    rng = np.random.RandomState(2)
    inputs = {"X": rng.randn(4, 2, 3), "WLSTM": 0.6 * rng.randn(1 + 3 + 3, 12), "c0": rng.randn(2, 3),
              "h0": rng.randn(2, 3)}
    return dict(forward=lstm_seq, backward=lstm_seq_backward, inputs=inputs)


ITEMS.append(Item(
    "lstm_forget_gate", "Karpathy gist", "vjp", make_lstm_seq, False,
    "The forget gate multiplies the previous cell, so its gradient is C[t - 1] * dC[t], not C[t] * dC[t].",
    ("X", "WLSTM", "c0", "h0"), ("elementwise-factor",)))


# -------------------------------- causal attention block (llm.c port)

def attention_block(x, w_qkv, w_proj, n_head=2):
    B, T, C = x.shape
    hs = C // n_head
    qkv = x @ w_qkv
    q, k, v = (a.reshape(B, T, n_head, hs).transpose(0, 2, 1, 3) for a in np.split(qkv, 3, axis=-1))
    scale = 1.0 / np.sqrt(hs)
    preatt = scale * (q @ k.transpose(0, 1, 3, 2))
    preatt = np.where(np.tril(np.ones((T, T), dtype=bool)), preatt, -np.inf)
    att = np.exp(preatt - preatt.max(-1, keepdims=True))
    att = att / att.sum(-1, keepdims=True)
    out = (att @ v).transpose(0, 2, 1, 3).reshape(B, T, C)
    return x + out @ w_proj, (x, w_qkv, w_proj, q, k, v, att, out, scale, n_head)


def attention_block_backward(dout, cache):
    x, w_qkv, w_proj, q, k, v, att, out, scale, n_head = cache
    B, T, C = x.shape
    dw_proj = np.einsum("btc,btd->cd", out, dout)
    dheads = (dout @ w_proj.T).reshape(B, T, n_head, C // n_head).transpose(0, 2, 1, 3)
    datt = dheads @ v.transpose(0, 1, 3, 2)
    dv = att.transpose(0, 1, 3, 2) @ dheads
    dpreatt = att * (datt - (att * datt).sum(-1, keepdims=True))
    dq = scale * (dpreatt @ k)
    dk = dpreatt.transpose(0, 1, 3, 2) @ q
    dqkv = np.concatenate([a.transpose(0, 2, 1, 3).reshape(B, T, C) for a in (dq, dk, dv)], axis=-1)
    dw_qkv = np.einsum("btc,btd->cd", x, dqkv)
    dx = dout + dqkv @ w_qkv.T
    return {"x": dx, "w_qkv": dw_qkv, "w_proj": dw_proj}


def make_attention_block():
    rng = np.random.default_rng(3)
    inputs = {"x": rng.normal(size=(2, 3, 4)), "w_qkv": 0.7 * rng.normal(size=(4, 12)),
              "w_proj": 0.7 * rng.normal(size=(4, 4))}
    return dict(forward=attention_block, backward=attention_block_backward, inputs=inputs, constants={"n_head": 2})


ITEMS.append(Item(
    "causal_attention_dk", "llm.c port", "vjp", make_attention_block, False,
    "The scale 1/sqrt(hs) is missing in dk: it should be scale * (dpreatt^T @ q), as in dq.",
    ("x", "w_qkv"), ("factor",)))


# -------------------------------- pre-norm residual MLP (PyTorch autograd.Function port)

class PreNormMLPFunction:

    @staticmethod
    def forward(x, gamma, beta, fc1, fc2, eps=1e-5):
        mean = x.mean(-1, keepdims=True)
        rstd = 1.0 / np.sqrt(x.var(-1, keepdims=True) + eps)
        xhat = (x - mean) * rstd
        ln = xhat * gamma + beta
        h = ln @ fc1.T
        u = np.sqrt(2.0 / np.pi) * (h + 0.044715 * h ** 3)
        t = np.tanh(u)
        act = 0.5 * h * (1.0 + t)
        y = x + act @ fc2.T
        return y, (xhat, rstd, gamma, ln, h, t, act, fc1, fc2)

    @staticmethod
    def backward(grad_output, saved):
        xhat, rstd, gamma, ln, h, t, act, fc1, fc2 = saved
        grad_fc2 = grad_output.T @ act
        grad_act = grad_output @ fc2
        du = np.sqrt(2.0 / np.pi) * (1.0 + 3 * 0.044715 * h ** 2)
        grad_h = grad_act * (0.5 * (1.0 + t) + 0.5 * h * (1.0 - t ** 2) * du)
        grad_fc1 = grad_h.T @ ln
        grad_ln = grad_h @ fc1
        grad_gamma = (grad_ln * xhat).sum(0)
        grad_beta = grad_ln.sum(0)
        g = grad_ln * gamma
        grad_x = rstd * (g - g.mean(0, keepdims=True) - xhat * (g * xhat).mean(-1, keepdims=True))
        grad_x = grad_x + grad_output
        return grad_x, grad_gamma, grad_beta, grad_fc1, grad_fc2


def make_prenorm_mlp():
    rng = np.random.default_rng(4)
    inputs = {"x": rng.normal(size=(4, 5)), "gamma": 1 + 0.3 * rng.normal(size=5), "beta": 0.2 * rng.normal(size=5),
              "fc1": 0.6 * rng.normal(size=(7, 5)), "fc2": 0.6 * rng.normal(size=(5, 7))}
    return dict(forward=PreNormMLPFunction.forward, backward=PreNormMLPFunction.backward, inputs=inputs,
                constants={"eps": 1e-5})


ITEMS.append(Item(
    "prenorm_residual_mlp", "PyTorch autograd.Function port", "vjp", make_prenorm_mlp, False,
    "The layer norm's mean of the gradient runs over the rows: g.mean(0, keepdims=True) should be "
    "g.mean(-1, keepdims=True).",
    ("x",), ("shape",)))


# -------------------------------- GRU over a few steps (Keras-like library)

def gru_layer(inputs, kernel, recurrent_kernel, bias, initial_state):
    units = initial_state.shape[1]
    h = initial_state
    steps = []
    for t in range(inputs.shape[1]):
        x_t = inputs[:, t]
        x_proj = x_t @ kernel + bias
        z = expit(x_proj[:, :units] + h @ recurrent_kernel[:, :units])
        r = expit(x_proj[:, units:2 * units] + h @ recurrent_kernel[:, units:2 * units])
        hh = np.tanh(x_proj[:, 2 * units:] + (r * h) @ recurrent_kernel[:, 2 * units:])
        steps.append((x_t, h, z, r, hh))
        h = z * h + (1 - z) * hh
    return h, (steps, kernel, recurrent_kernel, units, inputs.shape)


def gru_layer_backward(dh, cache):
    steps, kernel, recurrent_kernel, units, shape = cache
    u_z, u_r, u_h = np.split(recurrent_kernel, 3, axis=1)
    d_inputs = np.zeros(shape)
    d_kernel = np.zeros_like(kernel)
    d_recurrent = np.zeros_like(recurrent_kernel)
    d_bias = np.zeros(3 * units)
    for t in range(len(steps) - 1, -1, -1):
        x_t, h_prev, z, r, hh = steps[t]
        dz = dh * (h_prev - hh) * z * (1 - z)
        dhh = dh * (1 - z) * (1 - hh ** 2)
        drh = dhh @ u_h.T
        dr = drh * h_prev * r * (1 - r)
        d_proj = np.concatenate([dz, dr, dhh], axis=1)
        d_kernel += x_t.T @ d_proj
        d_bias += d_proj.sum(axis=0)
        d_recurrent += np.concatenate([h_prev.T @ dz, h_prev.T @ dr, (r * h_prev).T @ dhh], axis=1)
        d_inputs[:, t] = d_proj @ kernel.T
        dh = dh * z + dz @ u_z.T + dr @ u_r.T
    return d_inputs, d_kernel, d_recurrent, d_bias, dh


def make_gru_layer():
    rng = np.random.default_rng(5)
    inputs = {"inputs": rng.normal(size=(3, 4, 2)), "kernel": 0.7 * rng.normal(size=(2, 9)),
              "recurrent_kernel": 0.7 * rng.normal(size=(3, 9)), "bias": 0.2 * rng.normal(size=9),
              "initial_state": rng.normal(size=(3, 3))}
    return dict(forward=gru_layer, backward=gru_layer_backward, inputs=inputs)


ITEMS.append(Item(
    "gru_reset_path", "Keras-like library", "vjp", make_gru_layer, False,
    "The path of h through r * h in the candidate is missing: dh should also have + drh * r.",
    ("inputs", "kernel", "recurrent_kernel", "bias", "initial_state"), ("missing-term",)))


# -------------------------------- conv net with average pooling (deep learning book)

def im2col(x, fh, fw):
    N, C, H, W = x.shape
    oh, ow = H - fh + 1, W - fw + 1
    col = np.zeros((N, C, fh, fw, oh, ow))
    for i in range(fh):
        for j in range(fw):
            col[:, :, i, j] = x[:, :, i:i + oh, j:j + ow]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(N * oh * ow, -1)


def col2im(col, shape, fh, fw):
    N, C, H, W = shape
    oh, ow = H - fh + 1, W - fw + 1
    col = col.reshape(N, oh, ow, C, fh, fw).transpose(0, 3, 4, 5, 1, 2)
    img = np.zeros(shape)
    for i in range(fh):
        for j in range(fw):
            img[:, :, i:i + oh, j:j + ow] += col[:, :, i, j]
    return img


def simple_convnet(x, W1, b1, W2, b2):
    N, C, H, W = x.shape
    FN, _, FH, FW = W1.shape
    oh, ow = H - FH + 1, W - FW + 1
    col = im2col(x, FH, FW)
    col_W = W1.reshape(FN, -1).T
    a1 = (np.dot(col, col_W) + b1).reshape(N, oh, ow, FN).transpose(0, 3, 1, 2)
    mask = a1 <= 0
    z1 = a1.copy()
    z1[mask] = 0
    pooled = z1.reshape(N, FN, oh // 2, 2, ow // 2, 2).mean(axis=(3, 5))
    flat = pooled.reshape(N, -1)
    out = np.dot(flat, W2) + b2
    return out, (x.shape, W1, W2, col, col_W, mask, pooled.shape, flat)


def simple_convnet_backward(dout, cache):
    x_shape, W1, W2, col, col_W, mask, pool_shape, flat = cache
    FN, C, FH, FW = W1.shape
    db2 = np.sum(dout, axis=0)
    dW2 = np.dot(flat.T, dout)
    dpool = np.dot(dout, W2.T).reshape(pool_shape)
    dz1 = np.repeat(np.repeat(dpool, 2, axis=2), 2, axis=3)
    dz1[mask] = 0
    da1 = dz1.transpose(0, 2, 3, 1).reshape(-1, FN)
    db1 = np.sum(da1, axis=0)
    dW1 = np.dot(col.T, da1).transpose(1, 0).reshape(FN, C, FH, FW)
    dx = col2im(np.dot(da1, col_W.T), x_shape, FH, FW)
    return {"x": dx, "W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


def make_simple_convnet():
    rng = np.random.RandomState(6)
    inputs = {"x": rng.randn(2, 1, 5, 5), "W1": 0.6 * rng.randn(2, 1, 2, 2), "b1": 0.1 * rng.randn(2),
              "W2": 0.5 * rng.randn(8, 3), "b2": 0.1 * rng.randn(3)}
    return dict(forward=simple_convnet, backward=simple_convnet_backward, inputs=inputs)


ITEMS.append(Item(
    "convnet_avgpool", "deep learning book", "vjp", make_simple_convnet, False,
    "The mean over a 2x2 window passes a quarter to each pixel: dz1 = np.repeat(np.repeat(dpool, 2, axis=2), 2, "
    "axis=3) should be divided by 4.",
    ("x", "W1", "b1"), ("factor",)))


# -------------------------------- tied autoencoder (Theano tutorial port)

def dA_cost(x, W, b, b_prime):
    y = 1.0 / (1.0 + np.exp(-(x @ W + b)))
    z = 1.0 / (1.0 + np.exp(-(y @ W.T + b_prime)))
    L = -np.sum(x * np.log(z) + (1 - x) * np.log(1 - z), axis=1)
    return L, (x, W, y, z)


def dA_grads(dL, cache):
    x, W, y, z = cache
    logit_z = np.log(z) - np.log(1 - z)
    d_out = dL[:, None] * (z - x) * z * (1 - z)
    d_hid = (d_out @ W) * y * (1 - y)
    dW = x.T @ d_hid + d_out.T @ y
    db = d_hid.sum(axis=0)
    db_prime = d_out.sum(axis=0)
    dx = d_hid @ W.T - dL[:, None] * logit_z
    return {"x": dx, "W": dW, "b": db, "b_prime": db_prime}


def make_dA():
    rng = np.random.RandomState(7)
    inputs = {"x": rng.uniform(0.05, 0.95, size=(4, 6)), "W": 0.8 * rng.randn(6, 3), "b": 0.2 * rng.randn(3),
              "b_prime": 0.2 * rng.randn(6)}
    return dict(forward=dA_cost, backward=dA_grads, inputs=inputs)


ITEMS.append(Item(
    "tied_autoencoder", "Theano tutorial port", "vjp", make_dA, False,
    "The sigmoid's slope cancels in the cross-entropy and stands there once too often: d_out = dL * (z - x), "
    "without * z * (1 - z).",
    ("x", "W", "b", "b_prime"), ("elementwise-factor",)))


# -------------------------------- RBM free energies (research repository)

def cd_loss(v_data, v_model, W, b, c):
    pre_d = v_data @ W + c
    pre_m = v_model @ W + c
    f_data = -v_data @ b - np.logaddexp(0, pre_d).sum(axis=1)
    f_model = -v_model @ b - np.logaddexp(0, pre_m).sum(axis=1)
    loss = f_data.mean() - f_model.mean()
    return loss, (v_data, v_model, W, b, expit(pre_d), expit(pre_m))


def cd_loss_backward(dloss, cache):
    v_data, v_model, W, b, h_data, h_model = cache
    n = v_data.shape[0]
    m = v_model.shape[0]
    dW = dloss * (v_model.T @ h_model / m - v_data.T @ h_data / n)
    db = dloss * (v_model.mean(axis=0) - v_data.mean(axis=0))
    dc = dloss * (h_data.mean(axis=0) - h_model.mean(axis=0))
    dv_data = -dloss / n * (b + h_data @ W.T)
    dv_model = dloss / m * (b + h_model @ W.T)
    return {"v_data": dv_data, "v_model": dv_model, "W": dW, "b": db, "c": dc}


def make_cd_loss():
    rng = np.random.default_rng(8)
    inputs = {"v_data": rng.uniform(size=(5, 4)), "v_model": rng.uniform(size=(3, 4)),
              "W": rng.normal(size=(4, 3)), "b": rng.normal(size=4), "c": rng.normal(size=3)}
    return dict(forward=cd_loss, backward=cd_loss_backward, inputs=inputs)


ITEMS.append(Item(
    "rbm_free_energy", "research repository (energy-based models)", "vjp", make_cd_loss, False,
    "The gradient of the hidden bias has its two means the wrong way round: it should be "
    "dloss * (h_model.mean(0) - h_data.mean(0)).",
    ("c",), ("sign",)))


# -------------------------------- Lennard-Jones energy (molecular dynamics code)

def lj_energy(pos, sigma, epsilon):
    diff = pos[:, None, :] - pos[None, :, :]
    r2 = (diff ** 2).sum(-1)
    i, j = np.triu_indices(len(pos), k=1)
    r = np.sqrt(r2[i, j])
    sr6 = (sigma[0] / r) ** 6
    energy = np.sum(4 * epsilon[0] * (sr6 ** 2 - sr6))
    return energy, (pos, sigma, epsilon, i, j, r, sr6)


def lj_backward(de, cache):
    pos, sigma, epsilon, i, j, r, sr6 = cache
    dedr = de * 4 * epsilon[0] * (-12 * sr6 ** 2 + 6 * sr6) / r
    fij = dedr[:, None] * (pos[i] - pos[j])
    dpos = np.zeros_like(pos)
    np.add.at(dpos, i, fij)
    np.add.at(dpos, j, -fij)
    dsigma = np.array([de * np.sum(4 * epsilon[0] * (12 * sr6 ** 2 - 6 * sr6)) / sigma[0]])
    depsilon = np.array([de * np.sum(4 * (sr6 ** 2 - sr6))])
    return dpos, dsigma, depsilon


def make_lj():
    rng = np.random.default_rng(9)
    grid = 1.2 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0.25]])
    inputs = {"pos": grid + 0.08 * rng.normal(size=grid.shape), "sigma": np.array([1.05]),
              "epsilon": np.array([0.8])}
    return dict(forward=lj_energy, backward=lj_backward, inputs=inputs)


ITEMS.append(Item(
    "lennard_jones", "physics code (molecular dynamics)", "vjp", make_lj, False,
    "The chain rule dr/dpos is the unit vector: fij = dedr[:, None] * (pos[i] - pos[j]) lacks / r[:, None].",
    ("pos",), ("elementwise-factor",)))


# -------------------------------- PPO with entropy bonus (RL library)

def ppo_loss(W, b, obs=None, act=None, adv=None, logp_old=None, clip_ratio=0.2, ent_coef=0.01):
    B = len(act)
    logits = obs @ W + b
    logp_all = logits - logsumexp(logits, axis=1, keepdims=True)
    logp = logp_all[np.arange(B), act]
    ratio = np.exp(logp - logp_old)
    surr1 = ratio * adv
    surr2 = np.clip(ratio, 1 - clip_ratio, 1 + clip_ratio) * adv
    entropy = -(np.exp(logp_all) * logp_all).sum(axis=1)
    loss = -np.minimum(surr1, surr2).mean() - ent_coef * entropy.mean()
    return loss, (obs, act, adv, logp_all, ratio, surr1, surr2, entropy, ent_coef)


def ppo_loss_backward(dloss, cache):
    obs, act, adv, logp_all, ratio, surr1, surr2, entropy, ent_coef = cache
    B = len(act)
    probs = np.exp(logp_all)
    dratio = -dloss / B * adv
    dlogp = dratio * ratio
    onehot = np.zeros_like(probs)
    onehot[np.arange(B), act] = 1.0
    dlogits = dlogp[:, None] * (onehot - probs)
    dentropy = -dloss * ent_coef / B
    dlogits += dentropy * -probs * (logp_all + entropy[:, None])
    return {"W": obs.T @ dlogits, "b": dlogits.sum(axis=0)}


def make_ppo():
    rng = np.random.default_rng(10)
    obs, W, b = rng.normal(size=(6, 4)), 0.5 * rng.normal(size=(4, 3)), 0.1 * rng.normal(size=3)
    act = rng.integers(0, 3, size=6)
    logits = obs @ W + b
    logp = (logits - logsumexp(logits, axis=1, keepdims=True))[np.arange(6), act]
    logp_old = logp - np.array([0.5, -0.6, 0.05, 0.45, -0.1, -0.5])
    return dict(forward=ppo_loss, backward=ppo_loss_backward, inputs={"W": W, "b": b},
                constants={"obs": obs, "act": act, "adv": np.array([1.2, -0.8, 0.7, -1.1, 0.4, 0.9]),
                           "logp_old": logp_old, "clip_ratio": 0.2, "ent_coef": 0.01})


ITEMS.append(Item(
    "ppo_clip", "RL library (Spinning Up manner)", "vjp", make_ppo, False,
    "Where the clipped branch is the smaller one no gradient flows: dratio lacks the mask * (surr1 <= surr2).",
    ("W", "b"), ("elementwise-factor",)))


# -------------------------------- image-text contrastive loss (CLIP port)

def clip_loss(image_features, text_features, logit_scale):
    ni = np.linalg.norm(image_features, axis=1, keepdims=True)
    nt = np.linalg.norm(text_features, axis=1, keepdims=True)
    im, tx = image_features / ni, text_features / nt
    sims = im @ tx.T
    logits = np.exp(logit_scale[0]) * sims
    labels = np.arange(len(im))
    logp_i = logits - logsumexp(logits, axis=1, keepdims=True)
    logp_t = logits.T - logsumexp(logits.T, axis=1, keepdims=True)
    loss = -(logp_i[labels, labels].mean() + logp_t[labels, labels].mean()) / 2
    return loss, (im, tx, ni, nt, sims, logp_i, logp_t, logit_scale)


def clip_loss_backward(dloss, cache):
    im, tx, ni, nt, sims, logp_i, logp_t, logit_scale = cache
    n = len(im)
    eye = np.eye(n)
    dlogits_i = (np.exp(logp_i) - eye) / (2 * n)
    dlogits_t = (np.exp(logp_t) - eye) / (2 * n)
    dlogits = dloss * (dlogits_i + dlogits_t)
    scale = np.exp(logit_scale[0])
    dscale = np.array([scale * np.sum(dlogits * sims)])
    dim = scale * dlogits @ tx
    dtx = scale * dlogits.T @ im
    dimage = (dim - im * (dim * im).sum(axis=1, keepdims=True)) / ni
    dtext = (dtx - tx * (dtx * tx).sum(axis=1, keepdims=True)) / nt
    return dimage, dtext, dscale


def make_clip_loss():
    rng = np.random.default_rng(11)
    inputs = {"image_features": rng.normal(size=(4, 5)), "text_features": rng.normal(size=(4, 5)),
              "logit_scale": np.array([0.7])}
    return dict(forward=clip_loss, backward=clip_loss_backward, inputs=inputs)


ITEMS.append(Item(
    "clip_contrastive", "PyTorch port (CLIP manner)", "vjp", make_clip_loss, False,
    "The text side's logits are the transpose, so the sum should be dlogits_i + dlogits_t.T.",
    ("image_features", "text_features", "logit_scale"), ("transpose",)))


# -------------------------------- Gaussian mixture log-likelihood (JAX/TFP port)

def mixture_log_prob(x, params):
    logits, loc, log_scale = params["logits"], params["loc"], params["log_scale"]
    log_mix = logits - logsumexp(logits)
    z = (x[:, None, :] - loc) * np.exp(-log_scale)
    comp = np.sum(-0.5 * z ** 2 - log_scale - 0.5 * np.log(2 * np.pi), axis=-1)
    joint = log_mix + comp
    log_prob = logsumexp(joint, axis=1)
    return log_prob, (z, log_mix, log_scale, joint - log_prob[:, None])


def mixture_log_prob_vjp(ct, res):
    z, log_mix, log_scale, log_resp = res
    resp = np.exp(log_resp) * ct[:, None]
    inv = np.exp(-log_scale)
    ct_logits = resp.sum(0) - np.exp(log_mix) * ct.sum()
    ct_loc = np.einsum("nk,nkd->kd", resp, z) * inv
    ct_log_scale = np.einsum("nk,nkd->kd", resp, z ** 2)
    ct_x = -np.einsum("nk,nkd,kd->nd", resp, z, inv)
    return {"x": ct_x, "params": {"logits": ct_logits, "loc": ct_loc, "log_scale": ct_log_scale}}


def make_mixture():
    rng = np.random.default_rng(12)
    params = {"logits": rng.normal(size=3), "loc": rng.normal(size=(3, 2)), "log_scale": 0.3 * rng.normal(size=(3, 2))}
    return dict(forward=mixture_log_prob, backward=mixture_log_prob_vjp,
                inputs={"x": rng.normal(size=(5, 2)), "params": params})


ITEMS.append(Item(
    "gaussian_mixture", "JAX/TFP port", "vjp", make_mixture, False,
    "The normaliser's -log_scale is forgotten in the gradient: ct_log_scale should be the sum of resp * (z ** 2 - 1).",
    ("params.log_scale",), ("missing-term",)))


# -------------------------------- Kalman filter, several steps (research repository)

def kalman_nll(A, Q, R, m0, ys=None, H=None, P0=None):
    m, P = m0, P0
    nll = 0.0
    tape = []
    for y in ys:
        mp = A @ m
        Pp = A @ P @ A.T + Q
        S = H @ Pp @ H.T + R
        Si = np.linalg.inv(S)
        v = y - H @ mp
        nll += 0.5 * (np.linalg.slogdet(S)[1] + v @ Si @ v)
        K = Pp @ H.T @ Si
        tape.append((m, P, Pp, Si, v, K))
        m = mp + K @ v
        P = Pp - K @ (H @ Pp)
    return nll, (tape, A, Q, R, H)


def kalman_nll_backward(dnll, cache):
    tape, A, Q, R, H = cache
    gA, gQ, gR = np.zeros_like(A), np.zeros_like(Q), np.zeros_like(R)
    gm, gP = np.zeros(A.shape[0]), np.zeros_like(Q)
    for m, P, Pp, Si, v, K in reversed(tape):
        # update
        gmp = gm.copy()
        gK = np.outer(gm, v) - gP @ (H @ Pp).T
        gv = K.T @ gm + 0.5 * dnll * (Si + Si.T) @ v
        gPp = gP - (K @ H).T @ gP + gK @ Si.T @ H
        gSi = H @ Pp.T @ gK + 0.5 * dnll * np.outer(v, v)
        gS = dnll * Si.T - Si.T @ gSi @ Si.T
        gR += gS
        gPp = gPp + H.T @ gS @ H
        gmp -= H.T @ gv
        # predict
        gA += gPp @ A @ P.T + gPp.T @ A @ P + np.outer(gmp, m)
        gQ += gPp
        gP = A.T @ gPp @ A
        gm = A.T @ gmp
    return {"A": gA, "Q": gQ, "R": gR, "m0": gm}


def make_kalman():
    rng = np.random.default_rng(13)
    L = 0.4 * rng.normal(size=(3, 3))
    inputs = {"A": 0.6 * np.eye(3) + 0.3 * rng.normal(size=(3, 3)), "Q": L @ L.T + 0.3 * np.eye(3),
              "R": np.array([[0.6, 0.1], [0.1, 0.8]]), "m0": rng.normal(size=3)}
    return dict(forward=kalman_nll, backward=kalman_nll_backward, inputs=inputs,
                constants={"ys": rng.normal(size=(3, 2)), "H": rng.normal(size=(2, 3)), "P0": np.eye(3)})


ITEMS.append(Item(
    "kalman_nll", "research repository (state space models)", "vjp", make_kalman, False,
    "The log-determinant stands with 1/2 in the likelihood: its part of gS should be 0.5 * dnll * Si.T.",
    ("A", "Q", "R"), ("factor",)))


# -------------------------------- two-layer GCN (research repository)

def gcn_forward(X, W0, W1, adj=None):
    deg = adj.sum(axis=1, keepdims=True)
    A_hat = adj / deg
    support = A_hat @ X
    hidden = support @ W0
    act = np.where(hidden > 0, hidden, np.exp(np.minimum(hidden, 0)) - 1)
    out = A_hat @ (act @ W1)
    return out, (A_hat, support, hidden, act, W0, W1)


def gcn_backward(dout, cache):
    A_hat, support, hidden, act, W0, W1 = cache
    d_prop = A_hat @ dout
    dW1 = act.T @ d_prop
    d_act = d_prop @ W1.T
    d_hidden = d_act * np.where(hidden > 0, 1.0, act + 1)
    dW0 = support.T @ d_hidden
    dX = A_hat.T @ (d_hidden @ W0.T)
    return dX, dW0, dW1


def make_gcn():
    rng = np.random.default_rng(14)
    adj = np.eye(5)
    for i, j in [(0, 1), (1, 2), (2, 3), (3, 4), (0, 2), (0, 3)]:
        adj[i, j] = adj[j, i] = 1.0
    inputs = {"X": rng.normal(size=(5, 3)), "W0": rng.normal(size=(3, 4)), "W1": rng.normal(size=(4, 2))}
    return dict(forward=gcn_forward, backward=gcn_backward, inputs=inputs, constants={"adj": adj})


ITEMS.append(Item(
    "gcn_row_normalised", "research repository (graph networks)", "vjp", make_gcn, False,
    "The row-normalised adjacency is not symmetric: d_prop = A_hat @ dout should be A_hat.T @ dout.",
    ("X", "W0", "W1"), ("transpose",)))


# -------------------------------- negative ELBO of a small VAE (JAX/TFP port)

def neg_elbo(params, x, eps):
    h = np.tanh(x @ params["enc_w"] + params["enc_b"])
    mu = h @ params["mu_w"]
    logvar = h @ params["lv_w"]
    std = np.exp(0.5 * logvar)
    z = mu + std * eps
    logits = z @ params["dec_w"] + params["dec_b"]
    nll = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
    kl = 0.5 * np.sum(np.exp(logvar) + mu ** 2 - 1 - logvar, axis=1)
    return np.mean(nll + kl), (params, x, eps, h, mu, logvar, std, z, logits)


def neg_elbo_vjp(g, res):
    params, x, eps, h, mu, logvar, std, z, logits = res
    g = g / x.shape[0]
    g_logits = g * (expit(logits) - x)
    g_x = -g * logits
    g_z = g_logits @ params["dec_w"].T
    g_mu = g_z + g * mu
    g_logvar = g_z * eps * 0.5 * std + 0.5 * g * (1 - np.exp(logvar))
    g_h = g_mu @ params["mu_w"].T + g_logvar @ params["lv_w"].T
    g_pre = g_h * (1 - h ** 2)
    g_params = {"enc_w": x.T @ g_pre, "enc_b": g_pre.sum(0), "mu_w": h.T @ g_mu, "lv_w": h.T @ g_logvar,
                "dec_w": z.T @ g_logits, "dec_b": g_logits.sum(0)}
    return {"params": g_params, "x": g_x + g_pre @ params["enc_w"].T, "eps": g_z * std}


def make_neg_elbo():
    rng = np.random.default_rng(15)
    params = {"enc_w": 0.6 * rng.normal(size=(5, 4)), "enc_b": 0.1 * rng.normal(size=4),
              "mu_w": 0.8 * rng.normal(size=(4, 2)), "lv_w": 0.8 * rng.normal(size=(4, 2)),
              "dec_w": 0.8 * rng.normal(size=(2, 5)), "dec_b": 0.1 * rng.normal(size=5)}
    return dict(forward=neg_elbo, backward=neg_elbo_vjp,
                inputs={"params": params, "x": rng.uniform(size=(4, 5)), "eps": rng.normal(size=(4, 2))})


ITEMS.append(Item(
    "vae_neg_elbo", "JAX/TFP port", "vjp", make_neg_elbo, False,
    "The KL's gradient by logvar has the sign of the ELBO: 0.5 * g * (1 - exp(logvar)) should be "
    "0.5 * g * (exp(logvar) - 1).",
    ("params.enc_w", "params.enc_b", "params.lv_w", "x"), ("sign",)))


# -------------------------------- batch-norm MLP (Keras-like library)

def bn_mlp(x, W1, gamma, beta, W2, b2, epsilon=1e-3):
    a = x @ W1
    mean = a.mean(axis=0)
    var = ((a - mean) ** 2).mean(axis=0)
    inv_std = 1.0 / np.sqrt(var + epsilon)
    a_norm = (a - mean) * inv_std
    bn = gamma * a_norm + beta
    s = expit(bn)
    swish = bn * s
    out = swish @ W2 + b2
    return out, dict(x=x, W1=W1, W2=W2, gamma=gamma, a=a, a_norm=a_norm, inv_std=inv_std, bn=bn, s=s, swish=swish)


def bn_mlp_backward(dout, c):
    grads = {"W2": c["swish"].T @ dout, "b2": dout.sum(axis=0)}
    dswish = dout @ c["W2"].T
    dbn = dswish * (c["s"] + c["swish"] * (1 - c["s"]))
    grads["gamma"] = np.sum(dbn * c["a"], axis=0)
    grads["beta"] = np.sum(dbn, axis=0)
    dnorm = dbn * c["gamma"]
    n = dout.shape[0]
    da = c["inv_std"] / n * (n * dnorm - dnorm.sum(axis=0) - c["a_norm"] * np.sum(dnorm * c["a_norm"], axis=0))
    grads["W1"] = c["x"].T @ da
    grads["x"] = da @ c["W1"].T
    return grads


def make_bn_mlp():
    rng = np.random.RandomState(16)
    inputs = {"x": rng.randn(5, 3), "W1": rng.randn(3, 4), "gamma": 1 + 0.2 * rng.randn(4),
              "beta": 0.3 * rng.randn(4), "W2": 0.6 * rng.randn(4, 2), "b2": 0.1 * rng.randn(2)}
    return dict(forward=bn_mlp, backward=bn_mlp_backward, inputs=inputs, constants={"epsilon": 1e-3})


ITEMS.append(Item(
    "batchnorm_gamma", "Keras-like library", "vjp", make_bn_mlp, False,
    "gamma multiplies the normalised value: its gradient is np.sum(dbn * a_norm, axis=0), not of the raw a.",
    ("gamma",), ("elementwise-factor",)))


# -------------------------------- triplet loss with a shared embedding (blog post)

def embed(x, W1, b1, W2):
    h = np.tanh(x @ W1 + b1)
    return h @ W2, (x, h)


def embed_backward(de, cache, W1, W2):
    x, h = cache
    dpre = (de @ W2.T) * (1 - h ** 2)
    return {"W1": x.T @ dpre, "b1": dpre.sum(axis=0), "W2": h.T @ de}, dpre @ W1.T


def triplet_loss(anchor, positive, negative, W1, b1, W2, margin=1.0):
    ea, ca = embed(anchor, W1, b1, W2)
    ep, cp = embed(positive, W1, b1, W2)
    en, cn = embed(negative, W1, b1, W2)
    gap = ((ea - ep) ** 2).sum(axis=1) - ((ea - en) ** 2).sum(axis=1) + margin
    loss = np.maximum(gap, 0).mean()
    return loss, (ea, ep, en, ca, cp, cn, gap, W1, W2)


def triplet_loss_backward(dloss, cache):
    ea, ep, en, ca, cp, cn, gap, W1, W2 = cache
    active = (gap > 0)[:, None] * dloss / len(gap)
    dea = 2 * active * (en - ep)
    dep = -2 * active * (ea - ep)
    den = 2 * active * (ea - en)
    grads = {}
    for name, de, c in (("anchor", dea, ca), ("positive", dep, cp), ("negative", den, cn)):
        shared, dx = embed_backward(de, c, W1, W2)
        for key in shared:
            grads[key] = shared[key]
        grads[name] = dx
    return grads


def make_triplet():
    rng = np.random.default_rng(17)
    inputs = {"anchor": rng.normal(size=(4, 3)), "positive": rng.normal(size=(4, 3)),
              "negative": rng.normal(size=(4, 3)), "W1": 0.6 * rng.normal(size=(3, 5)),
              "b1": 0.1 * rng.normal(size=5), "W2": 0.6 * rng.normal(size=(5, 2))}
    return dict(forward=triplet_loss, backward=triplet_loss_backward, inputs=inputs, constants={"margin": 1.0})


ITEMS.append(Item(
    "triplet_shared", "blog post (metric learning)", "vjp", make_triplet, False,
    "The three branches share their weights but each overwrites the last one's gradient: grads[key] = shared[key] "
    "should add up, grads[key] = grads.get(key, 0) + shared[key].",
    ("W1", "b1", "W2"), ("missing-term",)))


# -------------------------------- residual block (course homework)

class ResBlock:
    """y = (tanh(relu(x W1) W2) + x) * scale."""

    @staticmethod
    def forward(x, W1, W2, scale):
        pre = x @ W1
        hid = pre * (pre > 0)
        branch = hid @ W2
        gate = np.tanh(branch)
        out = (gate + x) * scale
        return out, (x, W1, W2, scale, pre, hid, gate)

    @staticmethod
    def backward(dout, cache):
        x, W1, W2, scale, pre, hid, gate = cache
        dscale = np.sum(dout * (gate + x), axis=0)
        dout *= scale
        dgate = dout * (1 - gate ** 2)
        dW2 = hid.T @ dgate
        dpre = (dgate @ W2.T) * (pre > 0)
        dW1 = x.T @ dpre
        dx = dout + dpre @ W1.T
        return dx, dW1, dW2, dscale


def make_resblock():
    rng = np.random.default_rng(18)
    inputs = {"x": rng.normal(size=(4, 3)), "W1": rng.normal(size=(3, 5)), "W2": 0.7 * rng.normal(size=(5, 3)),
              "scale": 1 + 0.4 * rng.normal(size=3)}
    return dict(forward=ResBlock.forward, backward=ResBlock.backward, inputs=inputs)


ITEMS.append(Item(
    "resblock_inplace", "course homework (CMU 11-785 manner)", "vjp", make_resblock, False,
    "dout *= scale writes into the caller's gradient; it should be dout = dout * scale.",
    (), ("mutates-input",)))


# -------------------------------- net object with kept gradients (from-scratch library)

class Sequential2:

    def __init__(self, shapes):
        self.grads = {"W1": np.zeros(shapes[0]), "b1": np.zeros(shapes[0][1]),
                      "W2": np.zeros(shapes[1]), "b2": np.zeros(shapes[1][1])}

    def forward(self, x, W1, b1, W2, b2):
        pre = x @ W1 + b1
        h = np.where(pre > 0, pre, 0.1 * pre)
        out = h @ W2 + b2
        return out, (x, pre, h, W1, W2)

    def backward(self, dout, cache):
        x, pre, h, W1, W2 = cache
        self.grads["W2"] += h.T @ dout
        self.grads["b2"] += dout.sum(axis=0)
        dpre = (dout @ W2.T) * np.where(pre > 0, 1.0, 0.1)
        self.grads["W1"] += x.T @ dpre
        self.grads["b1"] += dpre.sum(axis=0)
        result = {name: g.copy() for name, g in self.grads.items()}
        result["x"] = dpre @ W1.T
        return result


def make_sequential2():
    rng = np.random.default_rng(19)
    net = Sequential2([(3, 4), (4, 2)])
    inputs = {"x": rng.normal(size=(4, 3)), "W1": rng.normal(size=(3, 4)), "b1": 0.2 * rng.normal(size=4),
              "W2": rng.normal(size=(4, 2)), "b2": 0.2 * rng.normal(size=2)}
    return dict(forward=net.forward, backward=net.backward, inputs=inputs)


ITEMS.append(Item(
    "leaky_mlp_kept_grads", "from-scratch library (class with self.grads)", "vjp", make_sequential2, False,
    "self.grads is added to and never cleared; backward should start from zeros, self.grads[name] = instead of +=.",
    ("W1", "b1", "W2", "b2"), ("accumulates",)))


# -------------------------------- denoising autoencoder (Kaggle notebook)

def make_denoising():
    rng = np.random.RandomState(20)
    inputs = {"x": rng.randn(5, 4), "W_enc": 0.7 * rng.randn(4, 3), "b_enc": 0.1 * rng.randn(3),
              "W_dec": 0.7 * rng.randn(3, 4), "b_dec": 0.1 * rng.randn(4)}

    def forward(x, W_enc, b_enc, W_dec, b_dec, sigma=0.3):
        x_noisy = x + sigma * rng.randn(*x.shape)
        code = np.log1p(np.exp(x_noisy @ W_enc + b_enc))
        recon = code @ W_dec + b_dec
        loss = np.mean((recon - x) ** 2)
        return loss, (x, x_noisy, code, recon, W_enc, W_dec)

    def backward(dloss, cache):
        x, x_noisy, code, recon, W_enc, W_dec = cache
        d_recon = dloss * 2 * (recon - x) / x.size
        d_code = d_recon @ W_dec.T
        d_pre = d_code * (1 - np.exp(-code))
        return {"x": d_pre @ W_enc.T - d_recon, "W_enc": x_noisy.T @ d_pre, "b_enc": d_pre.sum(axis=0),
                "W_dec": code.T @ d_recon, "b_dec": d_recon.sum(axis=0)}

    return dict(forward=forward, backward=backward, inputs=inputs, constants={"sigma": 0.3})


ITEMS.append(Item(
    "denoising_autoencoder", "Kaggle notebook", "vjp", make_denoising, False,
    "The corruption is drawn inside forward, anew at each call: the noise should be an argument, x + sigma * noise.",
    ("x", "W_enc", "b_enc", "W_dec", "b_dec"), ("noise-redrawn",)))


# -------------------------------- Poisson regression in chunks (statistics code)

def poisson_nll(X, W1, w2, counts=None, offset=None, chunk=2):
    H = np.sin(X @ W1)
    eta = H @ w2 + offset
    nll = np.sum(np.exp(eta) - counts * eta)
    return nll, (X, W1, w2, H, eta, counts, chunk)


def poisson_nll_backward(dnll, cache):
    X, W1, w2, H, eta, counts, chunk = cache
    n = X.shape[0]
    dX = np.zeros_like(X)
    dW1 = np.zeros_like(W1)
    dw2 = np.zeros_like(w2)
    for start in range(0, n - chunk, chunk):
        rows = slice(start, start + chunk)
        deta = dnll * (np.exp(eta[rows]) - counts[rows])
        dw2 += H[rows].T @ deta
        dpre = np.outer(deta, w2) * np.cos(X[rows] @ W1)
        dW1 += X[rows].T @ dpre
        dX[rows] = dpre @ W1.T
    return dX, dW1, dw2


def make_poisson():
    rng = np.random.default_rng(21)
    inputs = {"X": rng.normal(size=(6, 3)), "W1": 0.7 * rng.normal(size=(3, 4)), "w2": 0.5 * rng.normal(size=4)}
    return dict(forward=poisson_nll, backward=poisson_nll_backward, inputs=inputs,
                constants={"counts": np.array([0.0, 2.0, 1.0, 3.0, 0.0, 4.0]), "offset": 0.1 * rng.normal(size=6),
                           "chunk": 2})


ITEMS.append(Item(
    "poisson_chunks", "statistics code (GLM)", "vjp", make_poisson, False,
    "The loop over chunks ends one too early and leaves the last rows out: range(0, n - chunk, chunk) should be "
    "range(0, n, chunk).",
    ("X", "W1", "w2"), ("batch-sum", "missing-term")))


# -------------------------------- Elman net on a sequence (MATLAB port)

def elman_forward(X, h0, Wx, Wh, b, Wo):
    T = X.shape[0]
    h = np.zeros((T + 1,) + h0.shape)
    h[0] = h0
    out = np.zeros((T, h0.shape[0], Wo.shape[1]))
    for t in range(1, T + 1):
        h[t] = np.arctan(X[t - 1] @ Wx + h[t - 1] @ Wh + b)
        out[t - 1] = h[t] @ Wo
    return out, (X, h, Wx, Wh, b, Wo)


def elman_backward(dout, cache):
    X, h, Wx, Wh, b, Wo = cache
    T = X.shape[0]
    dX = np.zeros_like(X)
    dh = np.zeros_like(h)
    dWx, dWh, db, dWo = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b), np.zeros_like(Wo)
    for t in range(T, 0, -1):
        dWo += h[t].T @ dout[t - 1]
        dh[t] += dout[t - 1] @ Wo.T
        dpre = dh[t] * np.cos(h[t]) ** 2
        dWx += X[t - 1].T @ dpre
        dWh += h[t - 1].T @ dpre
        db += dpre.sum(axis=0)
        dX[t - 1] = dpre @ Wx.T
        if t > 1:
            dh[t - 1] += dpre @ Wh.T
    return {"X": dX, "h0": dh[0], "Wx": dWx, "Wh": dWh, "b": db, "Wo": dWo}


def make_elman():
    rng = np.random.RandomState(22)
    inputs = {"X": rng.randn(3, 2, 3), "h0": rng.randn(2, 4), "Wx": 0.6 * rng.randn(3, 4),
              "Wh": 0.6 * rng.randn(4, 4), "b": 0.1 * rng.randn(4), "Wo": rng.randn(4, 2)}
    return dict(forward=elman_forward, backward=elman_backward, inputs=inputs)


ITEMS.append(Item(
    "elman_initial_state", "MATLAB port", "vjp", make_elman, False,
    "The condition if t > 1 keeps the gradient from the initial state: dh[t - 1] += dpre @ Wh.T should be done at "
    "t = 1 too.",
    ("h0",), ("zero", "missing-term")))


# -------------------------------- stress of an embedding (research repository)

def mds_stress(X, W, target=None):
    Y = X @ W
    diff = Y[:, None, :] - Y[None, :, :]
    D = np.sqrt((diff ** 2).sum(axis=-1))
    resid = D - target
    stress = 0.5 * np.sum(resid ** 2)
    return stress, (X, W, diff, D, resid)


def mds_stress_backward(dstress, cache):
    X, W, diff, D, resid = cache
    dD = dstress * resid
    ddiff = dD[:, :, None] * diff / D[:, :, None]
    dY = ddiff.sum(axis=1) - ddiff.sum(axis=0)
    return {"X": dY @ W.T, "W": X.T @ dY}


def make_mds():
    rng = np.random.default_rng(23)
    P = rng.normal(size=(5, 2))
    target = np.sqrt(((P[:, None] - P[None]) ** 2).sum(-1))
    return dict(forward=mds_stress, backward=mds_stress_backward,
                inputs={"X": rng.normal(size=(5, 4)), "W": rng.normal(size=(4, 2))}, constants={"target": target})


ITEMS.append(Item(
    "mds_stress", "research repository (dimension reduction)", "vjp", make_mds, False,
    "The distance of a point to itself is zero and diff / D is 0 / 0 on the diagonal: the division should be by "
    "np.where(D > 0, D, 1)[:, :, None].",
    ("X", "W"), ("non-finite",)))


# -------------------------------- three-layer net with dropout masks (CS231n assignment)

def affine_relu_drop(x, w, b, mask, p):
    a = x.reshape(x.shape[0], -1).dot(w) + b
    out = np.maximum(0, a) * mask / p
    return out, (x, w, a, mask, p)


def affine_relu_drop_backward(dout, cache):
    x, w, a, mask, p = cache
    da = dout * mask / p * (a > 0)
    dx = da.dot(w.T).reshape(x.shape)
    return dx, x.reshape(x.shape[0], -1).T.dot(da), da.sum(axis=0)


def fullynet_loss(X, params, y=None, mask1=None, mask2=None, p=0.8, reg=0.05):
    h1, c1 = affine_relu_drop(X, params["W1"], params["b1"], mask1, p)
    h2, c2 = affine_relu_drop(h1, params["W2"], params["b2"], mask2, p)
    scores = h2.dot(params["W3"]) + params["b3"]
    correct = scores[np.arange(len(y)), y][:, None]
    margins = np.maximum(0, scores - correct + 1.0)
    margins[np.arange(len(y)), y] = 0
    loss = margins.sum() / len(y)
    loss += 0.5 * reg * sum(np.sum(params[k] ** 2) for k in ("W1", "W2", "W3"))
    return loss, (params, c1, c2, h2, margins, y, reg)


def fullynet_backward(dloss, cache):
    params, c1, c2, h2, margins, y, reg = cache
    N = len(y)
    dscores = (margins > 0).astype(float)
    dscores[np.arange(N), y] = -dscores.sum(axis=1)
    dscores *= dloss / N
    grads = {"W3": h2.T.dot(dscores), "b3": dscores.sum(axis=0)}
    dh1, grads["W2"], grads["b2"] = affine_relu_drop_backward(dscores.dot(params["W3"].T), c2)
    dX, grads["W1"], grads["b1"] = affine_relu_drop_backward(dh1, c1)
    for k in ("W1", "W2", "W3"):
        grads[k] += dloss * reg * params[k]
    return {"X": dX, "params": grads}


def make_fullynet():
    rng = np.random.RandomState(30)
    params = {"W1": 0.7 * rng.randn(4, 5), "b1": 0.2 * rng.randn(5), "W2": 0.7 * rng.randn(5, 4),
              "b2": 0.2 * rng.randn(4), "W3": 0.7 * rng.randn(4, 3), "b3": 0.2 * rng.randn(3)}
    X = rng.randn(4, 2, 2)
    return dict(forward=fullynet_loss, backward=fullynet_backward, inputs={"X": X, "params": params},
                constants={"y": np.array([2, 0, 1, 0]), "mask1": (rng.rand(4, 5) < 0.8) * 1.0,
                           "mask2": (rng.rand(4, 4) < 0.8) * 1.0, "p": 0.8, "reg": 0.05})


ITEMS.append(Item("fully_connected_svm", "CS231n assignment", "vjp", make_fullynet, True))


# -------------------------------- conv net with max pooling and stride (Keras-like library)

def conv_pool_net(x, kernel, bias, dense, strides=2):
    n, h, w, c = x.shape
    kh, kw, _, f = kernel.shape
    oh, ow = (h - kh) // strides + 1, (w - kw) // strides + 1
    conv = np.zeros((n, oh, ow, f))
    for i in range(oh):
        for j in range(ow):
            patch = x[:, i * strides:i * strides + kh, j * strides:j * strides + kw, :]
            conv[:, i, j, :] = np.tensordot(patch, kernel, axes=([1, 2, 3], [0, 1, 2])) + bias
    act = np.tanh(conv)
    flat = act.reshape(n, oh * ow, f)
    arg = flat.argmax(axis=1)
    pooled = np.take_along_axis(flat, arg[:, None, :], axis=1)[:, 0]
    return pooled @ dense, (x, kernel, dense, strides, act, arg, pooled)


def conv_pool_net_backward(dy, cache):
    x, kernel, dense, strides, act, arg, pooled = cache
    n, oh, ow, f = act.shape
    kh, kw = kernel.shape[:2]
    d_dense = pooled.T @ dy
    d_flat = np.zeros((n, oh * ow, f))
    np.put_along_axis(d_flat, arg[:, None, :], (dy @ dense.T)[:, None, :], axis=1)
    d_conv = d_flat.reshape(act.shape) * (1 - act ** 2)
    dx, d_kernel = np.zeros_like(x), np.zeros_like(kernel)
    for i in range(oh):
        for j in range(ow):
            rows = slice(i * strides, i * strides + kh)
            cols = slice(j * strides, j * strides + kw)
            d_kernel += np.tensordot(x[:, rows, cols, :], d_conv[:, i, j, :], axes=([0], [0]))
            dx[:, rows, cols, :] += np.tensordot(d_conv[:, i, j, :], kernel, axes=([1], [3]))
    return dx, d_kernel, d_conv.sum(axis=(0, 1, 2)), d_dense


def make_conv_pool():
    rng = np.random.default_rng(31)
    inputs = {"x": rng.normal(size=(2, 5, 5, 2)), "kernel": 0.4 * rng.normal(size=(3, 3, 2, 3)),
              "bias": 0.1 * rng.normal(size=3), "dense": rng.normal(size=(3, 2))}
    return dict(forward=conv_pool_net, backward=conv_pool_net_backward, inputs=inputs, constants={"strides": 2})


ITEMS.append(Item("conv_global_maxpool", "Keras-like library", "vjp", make_conv_pool, True))


# -------------------------------- peephole LSTM cell over steps (PyTorch autograd.Function port)

class PeepholeLSTMFunction:

    @staticmethod
    def forward(x, w_ih, w_hh, peep, bias):
        T, B, _ = x.shape
        H = w_hh.shape[1]
        h, c = np.zeros((B, H)), np.zeros((B, H))
        saved = []
        for t in range(T):
            gates = x[t] @ w_ih.T + h @ w_hh.T + bias
            a_i, a_f, a_g, a_o = np.split(gates, 4, axis=1)
            i = expit(a_i + peep[0] * c)
            f = expit(a_f + peep[1] * c)
            g = np.tanh(a_g)
            c_new = f * c + i * g
            o = expit(a_o + peep[2] * c_new)
            tc = np.tanh(c_new)
            saved.append((h, c, i, f, g, o, c_new, tc))
            h, c = o * tc, c_new
        return np.concatenate([h, c], axis=1), (x, w_ih, w_hh, peep, saved)

    @staticmethod
    def backward(grad_out, ctx):
        x, w_ih, w_hh, peep, saved = ctx
        H = w_hh.shape[1]
        gh, gc = grad_out[:, :H], grad_out[:, H:]
        gx, gw_ih, gw_hh = np.zeros_like(x), np.zeros_like(w_ih), np.zeros_like(w_hh)
        gpeep, gbias = np.zeros_like(peep), np.zeros(4 * H)
        for t in reversed(range(len(saved))):
            h, c, i, f, g, o, c_new, tc = saved[t]
            ga_o = gh * tc * o * (1 - o)
            gc = gc + gh * o * (1 - tc ** 2) + ga_o * peep[2]
            ga_f = gc * c * f * (1 - f)
            ga_i = gc * g * i * (1 - i)
            ga_g = gc * i * (1 - g ** 2)
            gpeep += np.stack([(ga_i * c).sum(0), (ga_f * c).sum(0), (ga_o * c_new).sum(0)])
            ggates = np.concatenate([ga_i, ga_f, ga_g, ga_o], axis=1)
            gw_ih += ggates.T @ x[t]
            gw_hh += ggates.T @ h
            gbias += ggates.sum(0)
            gx[t] = ggates @ w_ih
            gh = ggates @ w_hh
            gc = gc * f + ga_i * peep[0] + ga_f * peep[1]
        return gx, gw_ih, gw_hh, gpeep, gbias


def make_peephole():
    rng = np.random.default_rng(32)
    inputs = {"x": rng.normal(size=(3, 2, 3)), "w_ih": 0.6 * rng.normal(size=(8, 3)),
              "w_hh": 0.6 * rng.normal(size=(8, 2)), "peep": 0.5 * rng.normal(size=(3, 2)),
              "bias": 0.2 * rng.normal(size=8)}
    return dict(forward=PeepholeLSTMFunction.forward, backward=PeepholeLSTMFunction.backward, inputs=inputs)


ITEMS.append(Item("peephole_lstm", "PyTorch autograd.Function port", "vjp", make_peephole, True))


# -------------------------------- cross attention with rms norm (llm.c port)

def cross_attention(x, mem, g, wq, wk, wv, eps=1e-6):
    rms = np.sqrt((x ** 2).mean(-1, keepdims=True) + eps)
    xn = x / rms
    q = (xn * g) @ wq
    k = mem @ wk
    v = mem @ wv
    s = np.einsum("btd,bsd->bts", q, k) / np.sqrt(q.shape[-1])
    p = np.exp(s - logsumexp(s, axis=-1, keepdims=True))
    return x + np.einsum("bts,bsd->btd", p, v), (x, mem, g, wq, wk, wv, rms, xn, q, k, v, p)


def cross_attention_backward(dout, cache):
    x, mem, g, wq, wk, wv, rms, xn, q, k, v, p = cache
    dp = np.einsum("btd,bsd->bts", dout, v)
    dv = np.einsum("bts,btd->bsd", p, dout)
    ds = p * (dp - np.einsum("bts,bts->bt", dp, p)[..., None]) / np.sqrt(q.shape[-1])
    dq = np.einsum("bts,bsd->btd", ds, k)
    dk = np.einsum("bts,btd->bsd", ds, q)
    dxg = dq @ wq.T
    dg = (dxg * xn).sum((0, 1))
    dxn = dxg * g
    dx = (dxn - xn * (dxn * xn).mean(-1, keepdims=True)) / rms + dout
    return {"x": dx, "mem": dk @ wk.T + dv @ wv.T, "g": dg,
            "wq": np.tensordot(xn * g, dq, axes=([0, 1], [0, 1])),
            "wk": np.tensordot(mem, dk, axes=([0, 1], [0, 1])),
            "wv": np.tensordot(mem, dv, axes=([0, 1], [0, 1]))}


def make_cross_attention():
    rng = np.random.default_rng(33)
    inputs = {"x": rng.normal(size=(2, 3, 4)), "mem": rng.normal(size=(2, 2, 3)), "g": 1 + 0.3 * rng.normal(size=4),
              "wq": 0.7 * rng.normal(size=(4, 4)), "wk": 0.7 * rng.normal(size=(3, 4)),
              "wv": 0.7 * rng.normal(size=(3, 4))}
    return dict(forward=cross_attention, backward=cross_attention_backward, inputs=inputs, constants={"eps": 1e-6})


ITEMS.append(Item("cross_attention_rms", "llm.c port", "vjp", make_cross_attention, True))


# -------------------------------- neural ODE by Runge-Kutta (JAX/TFP port)

def field(params, y):
    h = np.tanh(y @ params["w1"] + params["b1"])
    return h @ params["w2"], (y, h)


def field_vjp(params, saved, ct, ct_params):
    y, h = saved
    ct_params["w2"] += h.T @ ct
    ct_pre = (ct @ params["w2"].T) * (1 - h * h)
    ct_params["w1"] += y.T @ ct_pre
    ct_params["b1"] += ct_pre.sum(0)
    return ct_pre @ params["w1"].T


def odeint_rk4(y0, params, dt=0.25, steps=3):
    y = y0
    saved = []
    for _ in range(steps):
        k1, s1 = field(params, y)
        k2, s2 = field(params, y + 0.5 * dt * k1)
        k3, s3 = field(params, y + 0.5 * dt * k2)
        k4, s4 = field(params, y + dt * k3)
        y = y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        saved.append((s1, s2, s3, s4))
    return y, (params, dt, saved)


def odeint_rk4_vjp(ct_y, res):
    params, dt, saved = res
    ct_params = {k: np.zeros_like(v) for k, v in params.items()}
    for s1, s2, s3, s4 in saved[::-1]:
        a4 = field_vjp(params, s4, dt / 6 * ct_y, ct_params)
        a3 = field_vjp(params, s3, dt / 3 * ct_y + dt * a4, ct_params)
        a2 = field_vjp(params, s2, dt / 3 * ct_y + 0.5 * dt * a3, ct_params)
        a1 = field_vjp(params, s1, dt / 6 * ct_y + 0.5 * dt * a2, ct_params)
        ct_y = ct_y + a1 + a2 + a3 + a4
    return {"y0": ct_y, "params": ct_params}


def make_node():
    rng = np.random.default_rng(34)
    params = {"w1": rng.normal(size=(2, 4)), "b1": 0.3 * rng.normal(size=4), "w2": rng.normal(size=(4, 2))}
    return dict(forward=odeint_rk4, backward=odeint_rk4_vjp, inputs={"y0": rng.normal(size=(3, 2)), "params": params},
                constants={"dt": 0.25, "steps": 3})


ITEMS.append(Item("neural_ode_rk4", "JAX/TFP port", "vjp", make_node, True))


# -------------------------------- GP marginal likelihood (statistics code)

def gp_nll(theta, y, X=None):
    amp2, ell, noise2 = np.exp(theta)
    d2 = ((X[:, None] - X[None]) ** 2).sum(-1)
    Kf = amp2 * np.exp(-0.5 * d2 / ell ** 2)
    K = Kf + noise2 * np.eye(len(X))
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, y))
    nll = 0.5 * y @ alpha + np.log(np.diag(L)).sum() + 0.5 * len(X) * np.log(2 * np.pi)
    return nll, (Kf, K, d2, ell, noise2, alpha)


def gp_nll_backward(dnll, cache):
    Kf, K, d2, ell, noise2, alpha = cache
    G = 0.5 * (np.linalg.inv(K) - np.outer(alpha, alpha))
    dtheta = np.array([np.sum(G * Kf), np.sum(G * Kf * d2) / ell ** 2, noise2 * np.trace(G)])
    return dnll * dtheta, dnll * alpha


def make_gp():
    rng = np.random.default_rng(35)
    X = rng.uniform(-2, 2, size=(6, 1))
    inputs = {"theta": np.array([0.3, -0.2, -1.5]), "y": np.sin(X[:, 0]) + 0.2 * rng.normal(size=6)}
    return dict(forward=gp_nll, backward=gp_nll_backward, inputs=inputs, constants={"X": X})


ITEMS.append(Item("gp_marginal_likelihood", "statistics code (Gaussian process)", "vjp", make_gp, True))


# -------------------------------- additive attention with padding (deep learning book)

class AttentionPooling:

    def __init__(self, lengths):
        self.lengths = lengths

    def forward(self, hs, query, Wh, Wq, v):
        N, T, _ = hs.shape
        t = np.tanh(hs @ Wh + (query @ Wq)[:, None, :])
        score = t @ v
        valid = np.arange(T)[None, :] < self.lengths[:, None]
        score = np.where(valid, score, -1e9)
        e = np.exp(score - score.max(axis=1, keepdims=True))
        a = e / e.sum(axis=1, keepdims=True)
        c = np.sum(hs * a[:, :, None], axis=1)
        return c, (hs, query, Wh, Wq, v, t, a)

    def backward(self, dc, cache):
        hs, query, Wh, Wq, v, t, a = cache
        dhs = dc[:, None, :] * a[:, :, None]
        da = np.sum(dc[:, None, :] * hs, axis=2)
        ds = a * da
        ds -= a * ds.sum(axis=1, keepdims=True)
        dv = np.einsum("nt,nta->a", ds, t)
        dpre = ds[:, :, None] * v * (1 - t ** 2)
        dWh = np.einsum("nth,nta->ha", hs, dpre)
        dhs += dpre @ Wh.T
        dq_proj = dpre.sum(axis=1)
        return {"hs": dhs, "query": dq_proj @ Wq.T, "Wh": dWh, "Wq": query.T @ dq_proj, "v": dv}


def make_attention_pooling():
    rng = np.random.RandomState(36)
    layer = AttentionPooling(np.array([4, 2, 3]))
    inputs = {"hs": rng.randn(3, 4, 3), "query": rng.randn(3, 2), "Wh": rng.randn(3, 4), "Wq": rng.randn(2, 4),
              "v": rng.randn(4)}
    return dict(forward=layer.forward, backward=layer.backward, inputs=inputs)


ITEMS.append(Item("attention_pooling", "deep learning book", "vjp", make_attention_pooling, True))


# -------------------------------- actor-critic loss (Karpathy gist)

def a2c_loss(model_W1, model_W2, model_V, epx=None, epa=None, epr=None, adv=None, beta=0.1, vcoef=0.5):
    h = epx.dot(model_W1.T)
    h[h < 0] = 0
    logp = h.dot(model_W2.T)
    p = 1.0 / (1.0 + np.exp(-logp))
    value = h.dot(model_V)
    logpi = np.where(epa == 1, np.log(p), np.log(1 - p))
    ent = -p * np.log(p) - (1 - p) * np.log(1 - p)
    loss = np.sum(-logpi * adv - beta * ent + vcoef * (value - epr) ** 2)
    return loss, (model_W1, model_W2, model_V, epx, epa, epr, adv, beta, vcoef, h, logp, p, value)


def a2c_policy_backward(dloss, cache):
    model_W1, model_W2, model_V, epx, epa, epr, adv, beta, vcoef, eph, logp, p, value = cache
    epdlogp = (p - epa) * adv
    epdlogp += beta * p * (1 - p) * logp
    epdlogp *= dloss
    epdv = dloss * 2 * vcoef * (value - epr)
    dW2 = np.dot(eph.T, epdlogp).ravel()
    dV = np.dot(eph.T, epdv)
    dh = np.outer(epdlogp, model_W2) + np.outer(epdv, model_V)
    dh[eph <= 0] = 0
    dW1 = np.dot(dh.T, epx)
    return {"model_W1": dW1, "model_W2": dW2, "model_V": dV}


def make_a2c():
    rng = np.random.RandomState(37)
    inputs = {"model_W1": rng.randn(5, 4), "model_W2": 0.5 * rng.randn(5), "model_V": 0.5 * rng.randn(5)}
    return dict(forward=a2c_loss, backward=a2c_policy_backward, inputs=inputs,
                constants={"epx": rng.randn(6, 4), "epa": np.array([1, 0, 0, 1, 1, 0]), "epr": rng.randn(6),
                           "adv": rng.randn(6), "beta": 0.1, "vcoef": 0.5})


ITEMS.append(Item("actor_critic", "Karpathy gist", "vjp", make_a2c, True))


# -------------------------------- NT-Xent over two views (research repository)

def nt_xent(z1, z2, log_tau):
    z = np.concatenate([z1, z2], axis=0)
    norm = np.sqrt((z ** 2).sum(axis=1, keepdims=True))
    u = z / norm
    tau = np.exp(log_tau[0])
    sim = u @ u.T / tau
    n = len(z1)
    np.fill_diagonal(sim, -np.inf)
    lse = logsumexp(sim, axis=1)
    pos = np.concatenate([np.arange(n, 2 * n), np.arange(n)])
    loss = np.mean(lse - sim[np.arange(2 * n), pos])
    return loss, (u, norm, tau, sim, lse, pos)


def nt_xent_backward(dloss, cache):
    u, norm, tau, sim, lse, pos = cache
    m = len(u)
    dsim = np.exp(sim - lse[:, None])
    dsim[np.arange(m), pos] -= 1
    dsim *= dloss / m
    off = ~np.eye(m, dtype=bool)
    dlog_tau = -np.sum(dsim[off] * sim[off])
    du = (dsim + dsim.T) @ u / tau
    dz = (du - u * np.sum(u * du, axis=1, keepdims=True)) / norm
    return dz[:m // 2], dz[m // 2:], np.array([dlog_tau])


def make_nt_xent():
    rng = np.random.default_rng(38)
    inputs = {"z1": rng.normal(size=(3, 4)), "z2": rng.normal(size=(3, 4)), "log_tau": np.array([-0.7])}
    return dict(forward=nt_xent, backward=nt_xent_backward, inputs=inputs)


ITEMS.append(Item("nt_xent", "research repository (self-supervised)", "vjp", make_nt_xent, True))


# -------------------------------- message passing with edge gates (research repository)

def mpnn(nodes, edge_attr, W_msg, W_gate, W_upd, src=None, dst=None):
    gate = expit(edge_attr @ W_gate)
    msg = np.tanh(nodes[src] @ W_msg) * gate
    agg = np.zeros((len(nodes), W_msg.shape[1]))
    np.add.at(agg, dst, msg)
    both = np.concatenate([nodes, agg], axis=1)
    upd = both @ W_upd
    readout = np.sum(np.logaddexp(0, upd), axis=0)
    return readout, (nodes, edge_attr, W_msg, W_gate, W_upd, src, dst, gate, msg, both, upd)


def mpnn_backward(dreadout, cache):
    nodes, edge_attr, W_msg, W_gate, W_upd, src, dst, gate, msg, both, upd = cache
    d_upd = dreadout * expit(upd)
    dW_upd = both.T @ d_upd
    d_both = d_upd @ W_upd.T
    k = nodes.shape[1]
    d_nodes = d_both[:, :k].copy()
    d_msg = d_both[:, k:][dst]
    content = msg / gate
    d_pre = d_msg * gate * (1 - content ** 2)
    d_gate = d_msg * msg * (1 - gate)
    np.add.at(d_nodes, src, d_pre @ W_msg.T)
    return {"nodes": d_nodes, "edge_attr": d_gate @ W_gate.T, "W_msg": nodes[src].T @ d_pre,
            "W_gate": edge_attr.T @ d_gate, "W_upd": dW_upd}


def make_mpnn():
    rng = np.random.default_rng(39)
    inputs = {"nodes": rng.normal(size=(4, 3)), "edge_attr": rng.normal(size=(6, 2)),
              "W_msg": rng.normal(size=(3, 3)), "W_gate": rng.normal(size=(2, 3)), "W_upd": rng.normal(size=(6, 2))}
    return dict(forward=mpnn, backward=mpnn_backward, inputs=inputs,
                constants={"src": np.array([0, 1, 1, 2, 3, 3]), "dst": np.array([1, 0, 2, 3, 0, 2])})


ITEMS.append(Item("message_passing", "research repository (graph networks)", "vjp", make_mpnn, True))


# -------------------------------- hidden Markov model (statistics code)

def hmm_loglik(init_logits, trans_logits, means, obs=None):
    log_pi = init_logits - logsumexp(init_logits)
    log_A = trans_logits - logsumexp(trans_logits, axis=1, keepdims=True)
    log_b = -0.5 * (obs[:, None] - means) ** 2 - 0.5 * np.log(2 * np.pi)
    T = len(obs)
    log_alpha = np.zeros((T, len(means)))
    log_alpha[0] = log_pi + log_b[0]
    for t in range(1, T):
        log_alpha[t] = logsumexp(log_alpha[t - 1][:, None] + log_A, axis=0) + log_b[t]
    loglik = logsumexp(log_alpha[-1])
    return loglik, (log_pi, log_A, log_b, log_alpha, loglik, means, obs)


def hmm_loglik_grad(dll, cache):
    # expected statistics from the backward recursion (Fisher's identity)
    log_pi, log_A, log_b, log_alpha, loglik, means, obs = cache
    T, S = log_alpha.shape
    log_beta = np.zeros((T, S))
    counts = np.zeros((S, S))
    for t in range(T - 2, -1, -1):
        ahead = log_b[t + 1] + log_beta[t + 1]
        log_beta[t] = logsumexp(log_A + ahead, axis=1)
        counts += np.exp(log_alpha[t][:, None] + log_A + ahead - loglik)
    gamma = np.exp(log_alpha + log_beta - loglik)
    d_init = gamma[0] - np.exp(log_pi)
    d_trans = counts - counts.sum(axis=1, keepdims=True) * np.exp(log_A)
    d_means = np.sum(gamma * (obs[:, None] - means), axis=0)
    return dll * d_init, dll * d_trans, dll * d_means


def make_hmm():
    rng = np.random.default_rng(40)
    inputs = {"init_logits": rng.normal(size=3), "trans_logits": rng.normal(size=(3, 3)),
              "means": np.array([-1.0, 0.2, 1.3])}
    return dict(forward=hmm_loglik, backward=hmm_loglik_grad, inputs=inputs, constants={"obs": rng.normal(size=5)})


ITEMS.append(Item("hmm_forward", "statistics code (hidden Markov model)", "vjp", make_hmm, True))


# -------------------------------- mixture density network (blog post)

def mdn_loss(x, W1, b1, W_pi, W_mu, W_sigma, t=None):
    h = np.tanh(x @ W1 + b1)
    log_pi = h @ W_pi
    log_pi = log_pi - logsumexp(log_pi, axis=1, keepdims=True)
    mu = h @ W_mu
    raw = h @ W_sigma
    sigma = np.logaddexp(0, raw) + 0.1
    comp = log_pi - 0.5 * ((t - mu) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    total = logsumexp(comp, axis=1)
    return -total.mean(), (x, W1, W_pi, W_mu, W_sigma, t, h, log_pi, mu, raw, sigma, comp, total)


def mdn_loss_backward(dloss, cache):
    x, W1, W_pi, W_mu, W_sigma, t, h, log_pi, mu, raw, sigma, comp, total = cache
    resp = np.exp(comp - total[:, None])
    scale = dloss / x.shape[0]
    d_pi = scale * (np.exp(log_pi) - resp)
    d_mu = scale * resp * (mu - t) / sigma ** 2
    d_sigma = scale * resp * (1 / sigma - (t - mu) ** 2 / sigma ** 3)
    d_raw = d_sigma * expit(raw)
    dh = d_pi @ W_pi.T + d_mu @ W_mu.T + d_raw @ W_sigma.T
    dpre = dh * (1 - h ** 2)
    return {"x": dpre @ W1.T, "W1": x.T @ dpre, "b1": dpre.sum(axis=0),
            "W_pi": h.T @ d_pi, "W_mu": h.T @ d_mu, "W_sigma": h.T @ d_raw}


def make_mdn():
    rng = np.random.default_rng(41)
    inputs = {"x": rng.normal(size=(5, 2)), "W1": rng.normal(size=(2, 4)), "b1": 0.2 * rng.normal(size=4),
              "W_pi": 0.6 * rng.normal(size=(4, 3)), "W_mu": 0.8 * rng.normal(size=(4, 3)),
              "W_sigma": 0.6 * rng.normal(size=(4, 3))}
    return dict(forward=mdn_loss, backward=mdn_loss_backward, inputs=inputs, constants={"t": rng.normal(size=(5, 1))})


ITEMS.append(Item("mixture_density_network", "blog post (mixture density)", "vjp", make_mdn, True))


# -------------------------------- leapfrog on a spring chain (physics code)

def chain_leapfrog(q, p, stiffness, log_mass, dt=0.1, steps=4):
    mass = np.exp(log_mass)

    def force(q):
        stretch = np.diff(q)
        tension = stiffness * stretch + 0.3 * stretch ** 3
        return np.append(tension, 0) - np.insert(tension, 0, 0)

    qs = []
    for _ in range(steps):
        p_half = p + 0.5 * dt * force(q)
        q_new = q + dt * p_half / mass
        p = p_half + 0.5 * dt * force(q_new)
        qs.append((q, q_new, p_half))
        q = q_new
    return np.concatenate([q, p]), (qs, stiffness, mass, dt)


def chain_leapfrog_adjoint(dout, cache):
    qs, stiffness, mass, dt = cache
    n = len(mass)
    lam_q, lam_p = dout[:n].copy(), dout[n:].copy()
    d_stiff, d_logm = np.zeros(n - 1), np.zeros(n)

    def force_adjoint(q, lam):
        stretch = np.diff(q)
        d_tension = lam[:-1] - lam[1:]
        d_stretch = d_tension * (stiffness + 0.9 * stretch ** 2)
        return np.insert(d_stretch, 0, 0) - np.append(d_stretch, 0), d_tension * stretch

    for q, q_new, p_half in reversed(qs):
        dq, ds = force_adjoint(q_new, 0.5 * dt * lam_p)
        lam_q, d_stiff = lam_q + dq, d_stiff + ds
        lam_p = lam_p + dt * lam_q / mass
        d_logm -= dt * lam_q * p_half / mass
        dq, ds = force_adjoint(q, 0.5 * dt * lam_p)
        lam_q, d_stiff = lam_q + dq, d_stiff + ds
    return {"q": lam_q, "p": lam_p, "stiffness": d_stiff, "log_mass": d_logm}


def make_chain():
    rng = np.random.default_rng(42)
    inputs = {"q": np.cumsum(rng.normal(size=5)), "p": rng.normal(size=5), "stiffness": 1 + rng.uniform(size=4),
              "log_mass": 0.3 * rng.normal(size=5)}
    return dict(forward=chain_leapfrog, backward=chain_leapfrog_adjoint, inputs=inputs,
                constants={"dt": 0.2, "steps": 4})


ITEMS.append(Item("leapfrog_chain", "physics code (adjoint of an integrator)", "vjp", make_chain, True))


# -------------------------------- Cox regression on a small net (R port)

def cox_loss(X, W, beta, time=None, event=None):
    hidden = np.log(np.cosh(X @ W))
    eta = hidden @ beta
    at_risk = time[None, :] >= time[:, None]
    log_risk = logsumexp(np.where(at_risk, eta[None, :], -np.inf), axis=1)
    loss = -np.sum(event * (eta - log_risk)) / event.sum()
    return loss, (X, W, beta, hidden, eta, at_risk, log_risk, event)


def cox_loss_gradient(dloss, cache):
    X, W, beta, hidden, eta, at_risk, log_risk, event = cache
    w = at_risk * np.exp(eta[None, :] - log_risk[:, None])
    d_eta = dloss * (event @ w - event) / event.sum()
    d_hidden = np.outer(d_eta, beta) * np.tanh(X @ W)
    return d_hidden @ W.T, X.T @ d_hidden, hidden.T @ d_eta


def make_cox():
    rng = np.random.default_rng(43)
    inputs = {"X": rng.normal(size=(6, 3)), "W": rng.normal(size=(3, 4)), "beta": rng.normal(size=4)}
    return dict(forward=cox_loss, backward=cox_loss_gradient, inputs=inputs,
                constants={"time": np.array([2.0, 5.0, 1.0, 7.0, 3.0, 4.0]),
                           "event": np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])})


ITEMS.append(Item("cox_partial_likelihood", "R port (survival analysis)", "vjp", make_cox, True))


# -------------------------------- coupling flow with likelihood (course homework)

def flow_nll(x, params):
    d = x.shape[1] // 2
    z = x
    logdet = np.zeros(len(x))
    saved = []
    for k in range(2):
        a, b = z[:, :d], z[:, d:]
        h = np.tanh(a @ params["W%d" % k])
        s = np.tanh(h @ params["S%d" % k])
        t = h @ params["T%d" % k]
        saved.append((a, b, h, s))
        logdet = logdet + s.sum(axis=1)
        z = np.concatenate([b * np.exp(s) + t, a], axis=1)
    nll = 0.5 * np.sum(z ** 2, axis=1) + d * np.log(2 * np.pi) - logdet
    return nll, (params, saved, z, d)


def flow_nll_backward(dnll, cache):
    params, saved, z, d = cache
    dz = dnll[:, None] * z
    grads = {}
    for k in (1, 0):
        a, b, h, s = saved[k]
        d_out, da = dz[:, :d], dz[:, d:]
        ds = (d_out * b * np.exp(s) - dnll[:, None]) * (1 - s ** 2)
        grads["S%d" % k] = h.T @ ds
        grads["T%d" % k] = h.T @ d_out
        dh = (ds @ params["S%d" % k].T + d_out @ params["T%d" % k].T) * (1 - h ** 2)
        grads["W%d" % k] = a.T @ dh
        dz = np.concatenate([da + dh @ params["W%d" % k].T, d_out * np.exp(s)], axis=1)
    return {"x": dz, "params": grads}


def make_flow():
    rng = np.random.default_rng(44)
    params = {}
    for k in range(2):
        params["W%d" % k] = rng.normal(size=(2, 3))
        params["S%d" % k] = 0.7 * rng.normal(size=(3, 2))
        params["T%d" % k] = 0.7 * rng.normal(size=(3, 2))
    return dict(forward=flow_nll, backward=flow_nll_backward, inputs={"x": rng.normal(size=(4, 4)), "params": params})


ITEMS.append(Item("coupling_flow", "course homework (deep unsupervised learning)", "vjp", make_flow, True))
