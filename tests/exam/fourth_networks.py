"""Exam paper: compositions (check "vjp")."""
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


def _wrong(name, style, make, slip, wrong, causes):
    ITEMS.append(Item(name, style, "vjp", make, False, slip, tuple(wrong), tuple(causes)))


def _right(name, style, make):
    ITEMS.append(Item(name, style, "vjp", make, True))


def _rng(seed):
    return np.random.default_rng(seed)


def _job(f, b, inputs, constants=None):
    d = {"forward": f, "backward": b, "inputs": inputs}
    if constants is not None:
        d["constants"] = constants
    return d


# ============================================================ class assignments

def two_layer_net_loss(X, W1, b1, W2, b2, y, reg):
    N = X.shape[0]
    hidden = np.maximum(0, X.dot(W1) + b1)
    scores = hidden.dot(W2) + b2
    shifted = scores - np.max(scores, axis=1, keepdims=True)
    probs = np.exp(shifted)
    probs /= np.sum(probs, axis=1, keepdims=True)
    loss = -np.sum(np.log(probs[np.arange(N), y])) / N
    loss += reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    return loss, (X, W1, W2, hidden, probs, y, reg)


def two_layer_net_grads(dout, cache):
    X, W1, W2, hidden, probs, y, reg = cache
    N = X.shape[0]
    grads = {}
    dscores = probs.copy()
    dscores[np.arange(N), y] -= 1
    dscores *= dout / N
    grads['W2'] = hidden.T.dot(dscores) + 2 * reg * W2 * dout
    grads['b2'] = np.sum(dscores, axis=0)
    dhidden = dscores.dot(W2.T)
    grads['W1'] = X.T.dot(dhidden) + 2 * reg * W1 * dout
    grads['b1'] = np.sum(dhidden, axis=0)
    grads['X'] = dhidden.dot(W1.T)
    return grads


def _m():
    r = _rng(1)
    return _job(two_layer_net_loss, two_layer_net_grads,
                dict(X=r.normal(size=(5, 4)), W1=r.normal(size=(4, 6)), b1=.3 * r.normal(size=6),
                     W2=r.normal(size=(6, 3)), b2=.3 * r.normal(size=3)),
                dict(y=np.array([0, 2, 1, 1, 0]), reg=0.05))


_wrong("two_layer_relu_softmax", "university assignment, dict of grads", _m,
       "The relu mask is missing from dhidden; set dhidden[hidden <= 0] = 0.",
       ("X", "W1", "b1"), ("elementwise-factor",))


def two_layer_reg_half_grads(dout, cache):
    X, W1, W2, hidden, probs, y, reg = cache
    N = X.shape[0]
    dscores = probs.copy()
    dscores[np.arange(N), y] -= 1
    dscores *= dout / N
    dW2 = hidden.T.dot(dscores) + 2 * reg * W2 * dout
    db2 = np.sum(dscores, axis=0)
    dhidden = dscores.dot(W2.T) * (hidden > 0)
    dW1 = X.T.dot(dhidden)
    db1 = dhidden.sum(0)
    return {'X': dhidden.dot(W1.T), 'W1': dW1, 'b1': db1, 'W2': dW2, 'b2': db2}


def _m():
    r = _rng(2)
    return _job(two_layer_net_loss, two_layer_reg_half_grads,
                dict(X=r.normal(size=(4, 3)), W1=r.normal(size=(3, 5)), b1=.3 * r.normal(size=5),
                     W2=r.normal(size=(5, 4)), b2=.3 * r.normal(size=4)),
                dict(y=np.array([3, 2, 1, 1]), reg=0.1))


_wrong("two_layer_weight_decay", "university assignment, dict of grads", _m,
       "The regulariser's gradient is left out for W1; add 2 * reg * W1 * dout.",
       ("W1",), ("missing-term",))


# features-first lecture code

def L_model_forward(X, W1, b1, W2, b2, Y):
    m = X.shape[1]
    Z1 = np.dot(W1, X) + b1
    A1 = np.tanh(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = 1 / (1 + np.exp(-Z2))
    cost = -(np.dot(Y, np.log(A2).T) + np.dot(1 - Y, np.log(1 - A2).T)) / m
    return float(np.squeeze(cost)), (X, W1, W2, A1, A2, Y)


def L_model_backward(dcost, caches):
    X, W1, W2, A1, A2, Y = caches
    m = X.shape[1]
    dZ2 = A2 - Y
    dW2 = dcost / m * np.dot(dZ2, A1.T)
    db2 = dcost / m * np.sum(dZ2, axis=1, keepdims=True)
    dZ1 = np.dot(W2.T, dZ2) * (1 - np.power(A1, 2))
    dW1 = dcost / m * np.dot(dZ1, X.T)
    db1 = dcost * np.sum(dZ1, axis=1, keepdims=True)
    dX = dcost / m * np.dot(W1.T, dZ1)
    return {"X": dX, "W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


def _m():
    r = _rng(3)
    return _job(L_model_forward, L_model_backward,
                dict(X=r.normal(size=(3, 6)), W1=r.normal(size=(4, 3)), b1=.1 * r.normal(size=(4, 1)),
                     W2=r.normal(size=(1, 4)), b2=.1 * r.normal(size=(1, 1))),
                dict(Y=np.array([[0., 1, 1, 0, 1, 0]])))


_wrong("planar_data_tanh_sigmoid", "features-first online course", _m,
       "db1 lacks the 1/m of the cost; db1 = dcost / m * sum(dZ1).", ("b1",), ("factor",))


def highway_fwd(x, WH, bH, WT, bT):
    H = np.tanh(WH @ x + bH)
    T = 1. / (1. + np.exp(-(WT @ x + bT)))
    return H * T + x * (1 - T), {"x": x, "H": H, "T": T, "WH": WH, "WT": WT}


def highway_bwd(dY, c):
    x, H, T = c["x"], c["H"], c["T"]
    dH = dY * T
    dT = dY * H
    aH = dH * (1 - H ** 2)
    aT = dT * T * (1 - T)
    dx = dY * (1 - T) + c["WH"].T @ aH + c["WT"].T @ aT
    return {"x": dx, "WH": aH @ x.T, "bH": aH.sum(1, keepdims=True), "WT": aT @ x.T, "bT": aT.sum(1, keepdims=True)}


def _m():
    r = _rng(4)
    return _job(highway_fwd, highway_bwd,
                dict(x=r.normal(size=(4, 5)), WH=r.normal(size=(4, 4)), bH=r.normal(size=(4, 1)),
                     WT=r.normal(size=(4, 4)), bT=r.normal(size=(4, 1)) - 1))


_wrong("highway_layer", "features-first lecture code", _m,
       "The transform gate also carries -x: dT = dY * (H - x).", ("x", "WT", "bT"),
       ("missing-term",))


# ============================================================ attention / transformer

def softmax(a, axis=-1):
    e = np.exp(a - a.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def self_attention(x, w_q, w_k, w_v, w_o):
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    att = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))
    o = att @ v
    return o @ w_o, (x, w_q, w_k, w_v, w_o, q, k, v, att, o)


def self_attention_vjp(g, res):
    x, w_q, w_k, w_v, w_o, q, k, v, att, o = res
    go = g @ w_o.T
    gw_o = np.einsum('bti,btj->ij', o, g)
    gatt = go @ v.swapaxes(-1, -2)
    gv = att.swapaxes(-1, -2) @ go
    glog = att * (gatt - (gatt * att).sum(-1, keepdims=True))
    gq = glog @ k
    gk = glog.swapaxes(-1, -2) @ q
    gx = gq @ w_q.T + gk @ w_k.T + gv @ w_v.T
    return gx, np.einsum('bti,btj->ij', x, gq), np.einsum('bti,btj->ij', x, gk), np.einsum('bti,btj->ij', x, gv), gw_o


def _m():
    r = _rng(5)
    return _job(self_attention, self_attention_vjp,
                dict(x=r.normal(size=(2, 4, 3)), w_q=r.normal(size=(3, 5)), w_k=r.normal(size=(3, 5)),
                     w_v=r.normal(size=(3, 4)), w_o=r.normal(size=(4, 3))))


_wrong("self_attention_scale", "functional research code, tuple vjp", _m,
       "The scores were divided by sqrt(d) in the forward, glog has to be divided by it too.",
       ("x", "w_q", "w_k"), ("factor",))


class MemoryReader:
    """One hop of a memory network, state kept on the object."""

    def forward(self, query, keys, values):
        self.query, self.keys, self.values = query, keys, values
        self.p = softmax(query @ keys.T, axis=1)
        return query + self.p @ values

    def backward(self, dout):
        dp = dout @ self.values.T
        dvalues = self.p.T @ dout
        ds = self.p * (dp - np.sum(dp * self.p, axis=0, keepdims=True))
        return {"query": dout + ds @ self.keys, "keys": ds.T @ self.query, "values": dvalues}


def _m():
    r = _rng(6)

    def f(query, keys, values):
        lay = MemoryReader()
        return lay.forward(query, keys, values), lay

    return _job(f, lambda dy, lay: lay.backward(dy),
                dict(query=r.normal(size=(3, 4)), keys=r.normal(size=(5, 4)), values=r.normal(size=(5, 4))))


_wrong("memory_network_hop", "stateful layer class", _m,
       "The softmax Jacobian sums over the queries (axis 0) in place of the memory slots; use axis=1.",
       ("query", "keys"), ("shape", "missing-term"))


def ln_ffn(x, gain, bias, w1, b1, w2, b2):
    mu = x.mean(-1, keepdims=True)
    inv = 1 / np.sqrt(((x - mu) ** 2).mean(-1, keepdims=True) + 1e-5)
    xhat = (x - mu) * inv
    n = xhat * gain + bias
    z = n @ w1 + b1
    s = 1 / (1 + np.exp(-1.702 * z))
    a = z * s
    return x + a @ w2 + b2, (xhat, inv, gain, n, w1, z, s, a, w2)


def ln_ffn_backward(dy, cache):
    xhat, inv, gain, n, w1, z, s, a, w2 = cache
    da = dy @ w2.T
    dz = da * (s + 1.702 * z * s * (1 - s))
    dn = dz @ w1.T
    dxh = dn * gain
    dx = inv * (dxh - dxh.mean(-1, keepdims=True))
    return dict(x=dy + dx, gain=(dn * xhat).sum(0), bias=dn.sum(0), w1=n.T @ dz, b1=dz.sum(0), w2=a.T @ dy, b2=dy.sum(0))


def ln_ffn_backward_ok(dy, cache):
    xhat, inv, gain, n, w1, z, s, a, w2 = cache
    da = dy @ w2.T
    # in place, all of it own memory
    dz = 1 - s
    dz *= z
    dz *= 1.702
    dz += 1
    dz *= s
    dz *= da
    dn = dz @ w1.T
    out = dict(gain=np.einsum('ij,ij->j', dn, xhat), bias=dn.sum(0), w1=n.T @ dz, b1=dz.sum(0), w2=a.T @ dy, b2=dy.sum(0))
    dn *= gain
    dn -= dn.mean(-1, keepdims=True) + xhat * (dn * xhat).mean(-1, keepdims=True)
    dn *= inv
    dn += dy
    out['x'] = dn
    return out


def _mk_ln(seed, b):
    def make():
        r = _rng(seed)
        return _job(ln_ffn, b, dict(x=r.normal(size=(4, 3)), gain=1 + .3 * r.normal(size=3), bias=.2 * r.normal(size=3),
                                    w1=r.normal(size=(3, 5)), b1=r.normal(size=5), w2=r.normal(size=(5, 3)), b2=r.normal(size=3)))
    return make


_wrong("prenorm_feedforward", "transformer port, terse", _mk_ln(7, ln_ffn_backward),
       "The layer norm's backward lacks the path through the variance: subtract xhat * mean(dxh * xhat).",
       ("x",), ("missing-term",))
_right("prenorm_feedforward_inplace", "transformer port, in-place buffers", _mk_ln(8, ln_ffn_backward_ok))


# ============================================================ recurrence

def sigmoid(a):
    return 0.5 * (1 + np.tanh(0.5 * a))


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    H = prev_h.shape[1]
    a = x.dot(Wx) + prev_h.dot(Wh) + b
    i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H:2 * H]), sigmoid(a[:, 2 * H:3 * H])
    g = np.tanh(a[:, 3 * H:])
    next_c = f * prev_c + i * g
    tc = np.tanh(next_c)
    next_h = o * tc
    cache = (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c, tc)
    return np.hstack([next_h, next_c]), cache


def lstm_step_backward(dout, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c, tc = cache
    H = prev_h.shape[1]
    dh, dc = dout[:, :H], dout[:, H:]
    dc = dc + dh * o * (1 - tc ** 2)
    do = dh * tc
    df = dc * next_c
    di = dc * g
    dg = dc * i
    da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g * g)])
    return da.dot(Wx.T), da.dot(Wh.T), dc * f, x.T.dot(da), prev_h.T.dot(da), da.sum(axis=0)


def _m():
    r = _rng(9)
    return _job(lstm_step_forward, lstm_step_backward,
                dict(x=r.normal(size=(3, 4)), prev_h=r.normal(size=(3, 2)), prev_c=r.normal(size=(3, 2)),
                     Wx=r.normal(size=(4, 8)), Wh=r.normal(size=(2, 8)), b=r.normal(size=8)))


_wrong("lstm_step", "university assignment, captioning", _m,
       "df uses the new cell where it should use the previous one: df = dc * prev_c.",
       ("x", "prev_h", "Wx", "Wh", "b"), ("elementwise-factor",))


def charrnn_loss(xs, h0, Wxh, Whh, Why, bh, by, targets):
    hs, ps = {-1: h0}, {}
    loss = 0.0
    for t in range(len(xs)):
        hs[t] = np.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
        y = Why @ hs[t] + by
        ps[t] = np.exp(y - y.max()) / np.sum(np.exp(y - y.max()))
        loss += -np.log(ps[t][targets[t]])
    return loss, (xs, hs, ps, Wxh, Whh, Why, targets)


def _charrnn_back(kind):
    def charrnn_back(dloss, cache):
        xs, hs, ps, Wxh, Whh, Why, targets = cache
        dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
        dbh, dby = np.zeros(len(Whh)), np.zeros(len(Why))
        dxs = np.zeros_like(xs)
        dhnext = np.zeros(len(Whh))
        for t in reversed(range(len(xs))):
            dy = np.copy(ps[t])
            dy[targets[t]] -= 1
            dy *= dloss
            dWhy += np.outer(dy, hs[t])
            dby += dy
            dh = Why.T @ dy
            if kind != "nonext":
                dh = dh + dhnext
            dhraw = (1 - hs[t] * hs[t]) * dh
            dbh += dhraw
            dWxh += np.outer(dhraw, xs[t])
            dWhh += np.outer(dhraw, hs[t - 1])
            dxs[t] = Wxh.T @ dhraw
            dhnext = (Whh @ dhraw) if kind == "noT" else (Whh.T @ dhraw)
        dh0 = np.zeros(len(Whh)) if kind == "zero" else dhnext
        return dict(xs=dxs, h0=dh0, Wxh=dWxh, Whh=dWhh, Why=dWhy, bh=dbh, by=dby)
    return charrnn_back


def _mk_char(seed, kind):
    def make():
        r = _rng(seed)
        return _job(charrnn_loss, _charrnn_back(kind),
                    dict(xs=r.normal(size=(4, 3)), h0=.5 * r.normal(size=4), Wxh=.6 * r.normal(size=(4, 3)), Whh=.7 * r.normal(size=(4, 4)),
                         Why=r.normal(size=(5, 4)), bh=.1 * r.normal(size=4), by=.1 * r.normal(size=5)),
                    dict(targets=[2, 0, 4, 2]))
    return make


_wrong("char_rnn_no_carry", "minimal blog script, time loop", _mk_char(10, "nonext"),
       "The gradient that comes back from the next time step is never added: dh = Why.T @ dy + dhnext.",
       ("xs", "h0", "Wxh", "Whh", "bh"), ("missing-term", "unknown"))
_wrong("char_rnn_carry_untransposed", "minimal blog script, time loop", _mk_char(11, "noT"),
       "dhnext = Whh @ dhraw should be Whh.T @ dhraw.",
       ("xs", "h0", "Wxh", "Whh", "bh"), ("transpose", "unknown"))
_wrong("char_rnn_initial_state", "minimal blog script, time loop", _mk_char(12, "zero"),
       "The initial state is an input here, its gradient is dhnext after the loop and not zeros.",
       ("h0",), ("zero",))


class GRUCell(object):
    def __init__(self, Wz, Wr, Wc):
        self.Wz, self.Wr, self.Wc = Wz, Wr, Wc

    def __call__(self, x, h):
        self.xh = np.concatenate([x, h], 1)
        self.x, self.h = x, h
        self.z = sigmoid(self.xh @ self.Wz)
        self.r = sigmoid(self.xh @ self.Wr)
        self.xrh = np.concatenate([x, self.r * h], 1)
        self.c = np.tanh(self.xrh @ self.Wc)
        return (1 - self.z) * h + self.z * self.c

    def back(self, d):
        D = self.x.shape[1]
        dz = d * (self.c - self.h) * self.z * (1 - self.z)
        dc = d * self.z * (1 - self.c ** 2)
        dxrh = dc @ self.Wc.T
        drh = dxrh[:, D:]
        dr = drh * self.h * self.r * (1 - self.r)
        dxh = dz @ self.Wz.T + dr @ self.Wr.T
        dx = dxh[:, :D] + dxrh[:, :D]
        dh = dxh[:, D:] + d * (1 - self.z) + drh
        return {"x": dx, "h": dh, "Wz": self.xh.T @ dz, "Wr": self.xh.T @ dr, "Wc": self.xrh.T @ dc}


def _m():
    r = _rng(13)

    def f(x, h, Wz, Wr, Wc):
        cell = GRUCell(Wz, Wr, Wc)
        return cell(x, h), cell

    return _job(f, lambda d, cell: cell.back(d),
                dict(x=r.normal(size=(4, 3)), h=r.normal(size=(4, 2)), Wz=r.normal(size=(5, 2)), Wr=r.normal(size=(5, 2)), Wc=r.normal(size=(5, 2))))


_wrong("gru_cell_reset_path", "cell objects, speech toolkit", _m,
       "The candidate sees r * h, so its share of dh is drh * r, not drh.",
       ("h",), ("elementwise-factor", "missing-term"))


def lstm_unroll(seq, W, U, bias, c0, h0):
    T, B, _ = seq.shape
    H = h0.size
    h, c = np.tile(h0, (B, 1)), np.tile(c0, (B, 1))
    tape = []
    for t in range(T):
        pre = seq[t] @ W + h @ U + bias
        g = pre.reshape(B, 4, H)
        sg = 1 / (1 + np.exp(-g[:, :3]))
        u = np.tanh(g[:, 3])
        cn = sg[:, 1] * c + sg[:, 0] * u
        tape.append((h, c, sg, u, cn))
        h, c = sg[:, 2] * np.tanh(cn), cn
    return h, (tape, seq, W, U)


def lstm_unroll_back(dh, ctx):
    tape, seq, W, U = ctx
    dW, dU = np.zeros_like(W), np.zeros_like(U)
    db = np.zeros(W.shape[1])
    dseq = np.empty_like(seq)
    dc = 0.
    for t in range(len(tape))[::-1]:
        h, c, sg, u, cn = tape[t]
        th = np.tanh(cn)
        dc = dc + dh * sg[:, 2] * (1 - th * th)
        dpre = np.empty((len(dh), 4, u.shape[1]))
        dpre[:, 0], dpre[:, 1], dpre[:, 2] = dc * u, dc * c, dh * th
        dpre[:, :3] *= sg * (1 - sg)
        dpre[:, 3] = dc * sg[:, 0] * (1 - u * u)
        flat = dpre.reshape(len(dh), -1)
        dW += seq[t].T @ flat
        dU += h.T @ flat
        db += flat.sum(0)
        dseq[t] = flat @ W.T
        dh = flat @ U.T
        dc = dc * sg[:, 1]
    return dseq, dW, dU, db, dc.sum(0), dh.sum(0)


def _m():
    r = _rng(14)
    return _job(lstm_unroll, lstm_unroll_back,
                dict(seq=r.normal(size=(4, 3, 2)), W=r.normal(size=(2, 8)), U=r.normal(size=(2, 8)), bias=r.normal(size=8),
                     c0=r.normal(size=2), h0=r.normal(size=2)))


_right("lstm_unrolled_shared_start", "time loop with tape, learned initial state", _m)


# ============================================================ graphs

def gcn_forward(A, X, W1, W2, labels):
    XW = X @ W1
    Z = A @ XW
    H = np.maximum(Z, 0)
    HW = H @ W2
    logits = A @ HW
    P = softmax(logits, 1)
    n = len(labels)
    return -np.log(P[np.arange(n), labels]).mean(), (A, X, W1, W2, XW, Z, H, HW, P, labels)


def gcn_backward(dl, cache):
    A, X, W1, W2, XW, Z, H, HW, P, labels = cache
    n = len(labels)
    D = (P - np.eye(P.shape[1])[labels]) * dl / n
    dA = D @ HW.T
    dHW = A.T @ D
    dW2 = H.T @ dHW
    dZ = (dHW @ W2.T) * (Z > 0)
    dA += dZ @ XW.T
    dXW = A @ dZ
    return {"A": dA, "X": dXW @ W1.T, "W1": X.T @ dXW, "W2": dW2}


def _m():
    r = _rng(15)
    A = (r.uniform(size=(5, 5)) < .5) + np.eye(5)
    A = A / A.sum(1, keepdims=True)
    return _job(gcn_forward, gcn_backward,
                dict(A=A, X=r.normal(size=(5, 4)), W1=r.normal(size=(4, 6)), W2=r.normal(size=(6, 3))),
                dict(labels=np.array([0, 1, 2, 1, 0])))


_wrong("gcn_row_normalised", "graph network notebook", _m,
       "A is not symmetric (rows are normalised): dXW = A.T @ dZ.", ("X", "W1"), ("transpose",))


def gat(h, W, a_src, a_dst, mask):
    z = h @ W
    e = (z @ a_src)[:, None] + (z @ a_dst)[None, :]
    le = np.where(e > 0, e, 0.2 * e)
    masked = np.where(mask, le, -1e9)
    alpha = softmax(masked, 1)
    return alpha @ z, dict(h=h, W=W, a_src=a_src, a_dst=a_dst, z=z, e=e, alpha=alpha)


def gat_bw(g, c):
    galpha = g @ c['z'].T
    gz = c['alpha'].T @ g
    gle = c['alpha'] * (galpha - (c['alpha'] * galpha).sum(1, keepdims=True))
    ge = gle * np.where(c['e'] > 0, 1.0, 0.01)
    gs, gd = ge.sum(1), ge.sum(0)
    gz = gz + np.outer(gs, c['a_src']) + np.outer(gd, c['a_dst'])
    return dict(h=gz @ c['W'].T, W=c['h'].T @ gz, a_src=c['z'].T @ gs, a_dst=c['z'].T @ gd)


def _m():
    r = _rng(16)
    mask = (r.uniform(size=(5, 5)) < .6) | np.eye(5, dtype=bool)
    return _job(gat, gat_bw, dict(h=r.normal(size=(5, 3)), W=r.normal(size=(3, 4)), a_src=r.normal(size=4), a_dst=r.normal(size=4)),
                dict(mask=mask))


_wrong("graph_attention_leaky", "graph network research code", _m,
       "The leaky relu has slope 0.2 in the forward and 0.01 in the backward; use 0.2.",
       ("h", "W", "a_src", "a_dst"), ("elementwise-factor",))


def message_passing(nodes, edge_feat, M, N, src, dst):
    m = np.tanh(np.concatenate([nodes[src], edge_feat], axis=1) @ M)
    agg = np.zeros((nodes.shape[0], M.shape[1]))
    np.add.at(agg, dst, m)
    deg = np.maximum(np.bincount(dst, minlength=len(nodes)), 1)[:, None]
    agg /= deg
    return nodes + agg @ N, (nodes, edge_feat, M, N, src, dst, m, agg, deg)


def message_passing_bwd(dy, s):
    nodes, edge_feat, M, N, src, dst, m, agg, deg = s
    dnodes = dy.copy()
    dN = agg.T @ dy
    dagg = dy @ N.T / deg
    dm = dagg[dst] * (1 - m ** 2)
    inp = np.concatenate([nodes[src], edge_feat], axis=1)
    dinp = dm @ M.T
    k = nodes.shape[1]
    np.add.at(dnodes, src, dinp[:, :k])
    return {"nodes": dnodes, "edge_feat": dinp[:, k:], "M": inp.T @ dm, "N": dN}


def _m():
    r = _rng(17)
    return _job(message_passing, message_passing_bwd,
                dict(nodes=r.normal(size=(5, 3)), edge_feat=r.normal(size=(7, 2)), M=r.normal(size=(5, 4)), N=r.normal(size=(4, 3))),
                dict(src=np.array([0, 0, 1, 2, 4, 4, 0]), dst=np.array([1, 2, 2, 2, 0, 1, 1])))


_right("message_passing_isolated_nodes", "chemistry graph code, scatter add", _m)


# ============================================================ residual, gating, norm

class Block:
    """y = x + relu(x W1 + b1) W2 + b2"""

    params = ("W1", "b1", "W2", "b2")

    def __init__(self, **p):
        self.__dict__.update(p)
        self.grad = {}

    def forward(self, x):
        self.x = x
        self.pre = x @ self.W1 + self.b1
        self.act = self.pre.clip(min=0)
        return x + self.act @ self.W2 + self.b2

    def backward(self, gy):
        self.grad["W2"] = self.act.T @ gy
        self.grad["b2"] = gy.sum(0)
        gp = (gy @ self.W2.T) * (self.pre > 0)
        self.grad["W1"] = self.x.T @ gp
        self.grad["b1"] = gp.sum(0)
        return gp @ self.W1.T


def _m():
    r = _rng(18)

    def f(x, **p):
        b = Block(**p)
        return b.forward(x), b

    def b(dy, blk):
        gx = blk.backward(dy)
        return dict(blk.grad, x=gx)

    return _job(f, b, dict(x=r.normal(size=(4, 3)), W1=r.normal(size=(3, 5)), b1=r.normal(size=5), W2=r.normal(size=(5, 3)), b2=r.normal(size=3)))


_wrong("residual_block_skip", "layer class with grad dict", _m,
       "The skip connection's gradient is missing; return gy + gp @ W1.T.", ("x",), ("missing-term",))


def glu_net(x, Wa, ba, Wg, bg):
    a = x @ Wa + ba
    s = 1 / (1 + np.exp(-(x @ Wg + bg)))
    return a * s, (x, Wa, Wg, a, s)


def glu_net_grad(dy, cache):
    x, Wa, Wg, a, s = cache
    da = dy * s
    ds = dy * a * s
    return (da @ Wa.T + ds @ Wg.T, x.T @ da, da.sum(0), x.T @ ds, ds.sum(0))


def _m():
    r = _rng(19)
    return _job(glu_net, glu_net_grad, dict(x=r.normal(size=(5, 3)), Wa=r.normal(size=(3, 4)), ba=r.normal(size=4), Wg=r.normal(size=(3, 4)), bg=r.normal(size=4)))


_wrong("gated_linear_unit", "functional with caches, tuple", _m,
       "The sigmoid's slope is s * (1 - s), the (1 - s) is missing.", ("x", "Wg", "bg"), ("elementwise-factor",))


def moe(x, G, E):
    """x (B,D), gate G (D,K), experts E (K,D,O)"""
    p = softmax(x @ G, 1)
    h = np.einsum('bd,kdo->bko', x, E)
    th = np.tanh(h)
    return np.einsum('bk,bko->bo', p, th), (x, G, E, p, th)


def moe_grad(dy, cache):
    x, G, E, p, th = cache
    dp = np.einsum('bo,bko->bk', dy, th)
    dth = np.repeat(dy[:, None, :], p.shape[1], axis=1)
    dh = dth * (1 - th ** 2)
    dE = np.einsum('bd,bko->kdo', x, dh)
    dl = p * (dp - (p * dp).sum(1, keepdims=True))
    dx = np.einsum('bko,kdo->bd', dh, E) + dl @ G.T
    return {'x': dx, 'G': x.T @ dl, 'E': dE}


def _m():
    r = _rng(20)
    return _job(moe, moe_grad, dict(x=r.normal(size=(4, 3)), G=r.normal(size=(3, 3)), E=r.normal(size=(3, 3, 2))))


_wrong("mixture_of_experts", "einsum research code", _m,
       "The gate weight is missing in the experts' gradient: dth = p[:, :, None] * dy[:, None, :].",
       ("x", "E"), ("elementwise-factor",))


def bn_net(x, W, gamma, beta, V):
    u = x @ W
    mu = u.mean(axis=0)
    var = u.var(axis=0, ddof=1)
    std = np.sqrt(var + 1e-5)
    xn = (u - mu) / std
    o = np.maximum(gamma * xn + beta, 0)
    return o @ V, (x, W, gamma, V, xn, std, o)


def bn_net_bw(dout, cache):
    x, W, gamma, V, xn, std, o = cache
    N = x.shape[0]
    dV = o.T @ dout
    do = (dout @ V.T) * (o > 0)
    dgamma, dbeta = (do * xn).sum(0), do.sum(0)
    dxn = do * gamma
    du = (dxn - dxn.sum(0) / N - xn * (dxn * xn).sum(0) / N) / std
    return {"x": du @ W.T, "W": x.T @ du, "gamma": dgamma, "beta": dbeta, "V": dV}


def _m():
    r = _rng(21)
    return _job(bn_net, bn_net_bw, dict(x=r.normal(size=(4, 3)), W=r.normal(size=(3, 4)), gamma=1 + .3 * r.normal(size=4), beta=.4 + .2 * r.normal(size=4), V=r.normal(size=(4, 2))))


_wrong("batchnorm_unbiased_variance", "deep learning from scratch", _m,
       "The forward divides the variance by N - 1 (ddof=1), the backward's variance term by N; it should be N - 1.",
       ("x", "W"), ("missing-term", "factor", "elementwise-factor"))


def weightnorm_linear(x, v, g, b):
    norm = np.linalg.norm(v, axis=0)
    w = v * (g / norm)
    y = np.sin(x @ w + b)
    return y, {"x": x, "v": v, "g": g, "norm": norm, "w": w, "cos": np.cos(x @ w + b)}


def weightnorm_linear_backward(dy, c):
    dz = dy * c["cos"]
    dw = c["x"].T @ dz
    vhat = c["v"] / c["norm"]
    dg = (dw * vhat).sum(0)
    dv = dw * c["g"] / c["norm"]
    return {"x": dz @ c["w"].T, "v": dv, "g": dg, "b": dz.sum(0)}


def _m():
    r = _rng(22)
    return _job(weightnorm_linear, weightnorm_linear_backward,
                dict(x=r.normal(size=(4, 3)), v=r.normal(size=(3, 4)), g=r.uniform(.5, 2, size=4), b=r.normal(size=4)))


_wrong("weight_normalised_siren", "implicit representation code", _m,
       "The norm of v depends on v as well: dv = g / norm * (dw - vhat * dg).", ("v",), ("missing-term",))


# ============================================================ metric learning

def triplet_loss(anchor, positive, negative, W, margin):
    ea, ep, en = anchor @ W, positive @ W, negative @ W
    dp = ((ea - ep) ** 2).sum(1)
    dn = ((ea - en) ** 2).sum(1)
    viol = dp - dn + margin
    act = viol > 0
    return np.sum(viol * act) / len(viol), (anchor, positive, negative, W, ea, ep, en, act)


def triplet_loss_grad(dl, cache):
    anchor, positive, negative, W, ea, ep, en, act = cache
    s = (dl * act / len(act))[:, None]
    ga = 2 * s * (en - ep)
    gp = -2 * s * (ea - ep)
    gn = -2 * s * (ea - en)
    return {"anchor": ga @ W.T, "positive": gp @ W.T, "negative": gn @ W.T,
            "W": anchor.T @ ga + positive.T @ gp + negative.T @ gn}


def _m():
    r = _rng(23)
    return _job(triplet_loss, triplet_loss_grad,
                dict(anchor=r.normal(size=(5, 3)), positive=r.normal(size=(5, 3)), negative=r.normal(size=(5, 3)), W=r.normal(size=(3, 4))),
                dict(margin=2.0))


_wrong("triplet_margin", "metric learning, functional", _m,
       "The negatives are pushed the wrong way: gn = +2 s (ea - en).", ("negative", "W"), ("sign", "missing-term"))


def clip_loss(img, txt, Wi, Wt, log_scale):
    a, b = img @ Wi, txt @ Wt
    na, nb = np.linalg.norm(a, axis=1, keepdims=True), np.linalg.norm(b, axis=1, keepdims=True)
    u, v = a / na, b / nb
    sim = u @ v.T
    S = np.exp(log_scale) * sim
    n = len(S)
    Pi, Pt = softmax(S, 1), softmax(S.T, 1)
    ii = np.arange(n)
    loss = -(np.log(Pi[ii, ii]).mean() + np.log(Pt[ii, ii]).mean()) / 2
    return loss, (img, txt, Wi, Wt, na, nb, u, v, sim, log_scale, Pi, Pt)


def _clip_back(right):
    def clip_back(dl, cache):
        img, txt, Wi, Wt, na, nb, u, v, sim, log_scale, Pi, Pt = cache
        n = len(sim)
        I = np.eye(n)
        dS = (Pi - I) / (2 * n) + ((Pt - I).T if right else (Pt - I)) / (2 * n)
        dS = dS * dl
        dscale = np.sum(dS * sim) * np.exp(log_scale)
        dsim = dS * np.exp(log_scale)
        du, dv = dsim @ v, dsim.T @ u
        da = (du - u * (u * du).sum(1, keepdims=True)) / na
        db = (dv - v * (v * dv).sum(1, keepdims=True)) / nb
        return {"img": da @ Wi.T, "txt": db @ Wt.T, "Wi": img.T @ da, "Wt": txt.T @ db, "log_scale": dscale}
    return clip_back


def _mk_clip(seed, right):
    def make():
        r = _rng(seed)
        return _job(clip_loss, _clip_back(right),
                    dict(img=r.normal(size=(4, 5)), txt=r.normal(size=(4, 3)), Wi=r.normal(size=(5, 3)), Wt=r.normal(size=(3, 3)), log_scale=np.array(.7)))
    return make


_wrong("contrastive_image_text", "multimodal pseudo-code port", _mk_clip(24, False),
       "The text-to-image softmax was taken on S.T, so its gradient has to be transposed: (Pt - I).T.",
       ("img", "txt", "Wi", "Wt", "log_scale"), ("transpose",))
_right("contrastive_image_text_scalar_temperature", "multimodal pseudo-code port, 0-d parameter", _mk_clip(25, True))


def contrastive_pair(x1, x2, W, b, same, margin):
    e1, e2 = np.tanh(x1 @ W + b), np.tanh(x2 @ W + b)
    diff = e1 - e2
    d = np.sqrt((diff ** 2).sum(1) + 1e-12)
    hinge = np.maximum(margin - d, 0)
    return np.mean(same * d ** 2 + (1 - same) * hinge ** 2), locals()


def contrastive_pair_bw(dl, L):
    n = len(L['d'])
    dd = dl / n * (2 * L['same'] * L['d'] - 2 * (1 - L['same']) * L['hinge'])
    ddiff = (dd / L['d'])[:, None] * L['diff']
    z1, z2 = ddiff * (1 - L['e1'] ** 2), -ddiff * (1 - L['e2'] ** 2)
    return dict(x1=z1 @ L['W'].T, x2=z2 @ L['W'].T, W=L['x1'].T @ z1 + L['x2'].T @ z2, b=(z1 + z2).sum(0))


def _m():
    r = _rng(26)
    return _job(contrastive_pair, contrastive_pair_bw,
                dict(x1=r.normal(size=(6, 3)), x2=r.normal(size=(6, 3)), W=.7 * r.normal(size=(3, 2)), b=.2 * r.normal(size=2)),
                dict(same=np.array([1, 0, 0, 1, 0, 0]), margin=1.5))


_right("siamese_contrastive_locals", "notebook, locals() as cache", _m)


# ============================================================ reinforcement learning

def policy_loss(obs, W, b, returns, actions, ent_coef):
    logits = obs @ W + b
    logp = logits - logits.max(1, keepdims=True)
    logp = logp - np.log(np.exp(logp).sum(1, keepdims=True))
    p = np.exp(logp)
    n = len(actions)
    taken = logp[np.arange(n), actions]
    entropy = -(p * logp).sum(1)
    loss = -(returns * taken).mean() - ent_coef * entropy.mean()
    return loss, (obs, W, returns, actions, ent_coef, logp, p, taken, entropy)


def policy_loss_grad(dl, cache):
    obs, W, returns, actions, c, logp, p, taken, entropy = cache
    n, k = p.shape
    onehot = np.eye(k)[actions]
    dlogits = -returns[:, None] * (onehot - p) / n
    dlogits += c * p * logp / n
    dlogits *= dl
    return {"obs": dlogits @ W.T, "W": obs.T @ dlogits, "b": dlogits.sum(0), "returns": -dl * taken / n}


def _m():
    r = _rng(27)
    return _job(policy_loss, policy_loss_grad,
                dict(obs=r.normal(size=(5, 3)), W=r.normal(size=(3, 4)), b=r.normal(size=4), returns=r.normal(size=5)),
                dict(actions=np.array([0, 3, 1, 1, 2]), ent_coef=.5))


_wrong("reinforce_entropy_bonus", "reinforcement learning baseline", _m,
       "The gradient of the entropy in the logits is -p (log p + H), the + H is missing.",
       ("obs", "W", "b"), ("missing-term",))


def dueling_q(s, W, b, Wv, Wa, targets, actions):
    h = np.maximum(s @ W + b, 0)
    v = h @ Wv
    a = h @ Wa
    q = v + a - a.mean(1, keepdims=True)
    n = len(actions)
    err = q[np.arange(n), actions] - targets
    small = np.abs(err) <= 1
    loss = np.where(small, .5 * err ** 2, np.abs(err) - .5).sum()
    return loss, (s, W, Wv, Wa, h, q, err, small, actions)


def dueling_q_grad(dl, cache):
    s, W, Wv, Wa, h, q, err, small, actions = cache
    n = len(actions)
    derr = dl * np.where(small, err, np.sign(err))
    dq = np.zeros_like(q)
    dq[np.arange(n), actions] = derr
    dv = dq.sum(1, keepdims=True)
    da = dq
    dh = (dv @ Wv.T + da @ Wa.T) * (h > 0)
    return dict(s=dh @ W.T, W=s.T @ dh, b=dh.sum(0), Wv=h.T @ dv, Wa=h.T @ da, targets=-derr)


def _m():
    r = _rng(28)
    return _job(dueling_q, dueling_q_grad,
                dict(s=r.normal(size=(5, 3)), W=r.normal(size=(3, 4)), b=r.normal(size=4), Wv=r.normal(size=(4, 1)), Wa=r.normal(size=(4, 3)), targets=r.normal(size=5)),
                dict(actions=np.array([0, 2, 1, 1, 2])))


_wrong("dueling_q_network", "reinforcement learning baseline", _m,
       "The mean that is taken off the advantages is ignored: da = dq - dq.mean(1, keepdims=True).",
       ("s", "W", "b", "Wa"), ("missing-term",))


def ppo(obs, W, b, old_logp, adv, act, clip):
    z = obs @ W + b
    lp = z - np.log(np.exp(z).sum(1, keepdims=True))
    i = np.arange(len(act))
    ratio = np.exp(lp[i, act] - old_logp)
    s1 = ratio * adv
    s2 = np.clip(ratio, 1 - clip, 1 + clip) * adv
    return -np.minimum(s1, s2).mean(), (obs, W, lp, ratio, adv, act, clip, s1, s2)


def _ppo_back(right):
    def ppo_back(dl, cache):
        obs, W, lp, ratio, adv, act, clip, s1, s2 = cache
        n = len(act)
        inside = (ratio > 1 - clip) & (ratio < 1 + clip)
        live = (s1 <= s2) if right else inside
        dratio = -dl / n * adv * live
        dlp_a = dratio * ratio
        dz = dlp_a[:, None] * (np.eye(lp.shape[1])[act] - np.exp(lp))
        dadv = -dl / n * np.where(s1 <= s2, ratio, np.clip(ratio, 1 - clip, 1 + clip))
        return {"obs": dz @ W.T, "W": obs.T @ dz, "b": dz.sum(0), "old_logp": -dlp_a, "adv": dadv}
    return ppo_back


def _mk_ppo(seed, right):
    def make():
        r = _rng(seed)
        return _job(ppo, _ppo_back(right),
                    dict(obs=r.normal(size=(6, 3)), W=.5 * r.normal(size=(3, 3)), b=.2 * r.normal(size=3),
                         old_logp=np.log(r.uniform(.2, .6, size=6)), adv=np.array([1., -1.3, .6, -.7, 1.5, -.4])),
                    dict(act=np.array([0, 1, 2, 0, 1, 1]), clip=.2))
    return make


_wrong("ppo_clip_mask", "reinforcement learning baseline", _mk_ppo(29, False),
       "Outside the clip range the gradient only vanishes where the clipped surrogate is the smaller one; the mask is s1 <= s2.",
       ("obs", "W", "b", "old_logp"), ("elementwise-factor", "batch-sum", "zero", "missing-term"))
_right("ppo_clip", "reinforcement learning baseline", _mk_ppo(30, True))


def quantile_huber(feat, W, target, taus, kappa):
    theta = feat @ W                                  # (B, N)
    u = target[:, None, :] - theta[:, :, None]        # (B, N, M)
    a = np.abs(u)
    hub = np.where(a <= kappa, .5 * u ** 2, kappa * (a - .5 * kappa))
    w = np.abs(taus[None, :, None] - (u < 0))
    return (w * hub).mean(2).sum(1), (feat, W, u, w, kappa)


def quantile_huber_bw(dy, cache):
    feat, W, u, w, kappa = cache
    du = w * np.clip(u, -kappa, kappa) * (dy / u.shape[2])[:, None, None]
    dtheta = -du.sum(2)
    return dtheta @ W.T, feat.T @ dtheta, du.sum(1)


def _m():
    r = _rng(31)
    return _job(quantile_huber, quantile_huber_bw,
                dict(feat=r.normal(size=(3, 2)), W=r.normal(size=(2, 4)), target=r.normal(size=(3, 5))),
                dict(taus=(np.arange(4) + .5) / 4, kappa=1.0))


_right("quantile_huber_per_row", "distributional RL, three-axis broadcast", _m)


# ============================================================ convolution

def conv_head(x, k, b, fc):
    n, c, hh, ww = x.shape
    f, _, kh, kw = k.shape
    ho, wo = hh - kh + 1, ww - kw + 1
    z = np.zeros((n, f, ho, wo))
    for i in range(kh):
        for j in range(kw):
            z += np.einsum('nchw,fc->nfhw', x[:, :, i:i + ho, j:j + wo], k[:, :, i, j])
    z += b[None, :, None, None]
    a = np.maximum(z, 0)
    pooled = a.mean((2, 3))
    return pooled @ fc, (x, k, fc, z, pooled)


def conv_head_back(dy, cache):
    x, k, fc, z, pooled = cache
    _, _, ho, wo = z.shape
    dfc = pooled.T @ dy
    dz = (dy @ fc.T)[:, :, None, None] / (ho * wo) * (z > 0)
    db = dz.sum(axis=(0, 2))
    dk, dx = np.zeros_like(k), np.zeros_like(x)
    for i in range(k.shape[2]):
        for j in range(k.shape[3]):
            dk[:, :, i, j] = np.einsum('nfhw,nchw->fc', dz, x[:, :, i:i + ho, j:j + wo])
            dx[:, :, i:i + ho, j:j + wo] += np.einsum('nfhw,fc->nchw', dz, k[:, :, i, j])
    return {"x": dx, "k": dk, "b": db, "fc": dfc}


def _m():
    r = _rng(32)
    return _job(conv_head, conv_head_back,
                dict(x=r.normal(size=(3, 1, 4, 3)), k=r.normal(size=(2, 1, 2, 2)), b=.3 * r.normal(size=2), fc=r.normal(size=(2, 3))))


_wrong("convnet_bias_axes", "convnet from scratch, loops", _m,
       "The bias gradient is summed over batch and rows but not over columns; sum over axes (0, 2, 3).",
       ("b",), ("shape",))


def cnn_pool(x, k, w):
    n, h, _ = x.shape
    o = h - k.shape[0] + 1
    z = sum(x[:, i:i + o, j:j + o] * k[i, j] for i in range(k.shape[0]) for j in range(k.shape[1]))
    a = np.tanh(z)
    p = a.reshape(n, o // 2, 2, o // 2, 2).mean(axis=(2, 4))
    return p.reshape(n, -1) @ w, (x, k, w, a, p)


def cnn_pool_backward(dy, cache):
    x, k, w, a, p = cache
    n, o, _ = a.shape
    dp = (dy @ w.T).reshape(p.shape)
    da = dp.repeat(2, axis=1).repeat(2, axis=2)
    dz = da * (1 - a * a)
    dx, dk = np.zeros_like(x), np.zeros_like(k)
    for i in range(k.shape[0]):
        for j in range(k.shape[1]):
            dk[i, j] = np.sum(dz * x[:, i:i + o, j:j + o])
            dx[:, i:i + o, j:j + o] += dz * k[i, j]
    return dx, dk, p.reshape(n, -1).T @ dy


def _m():
    r = _rng(33)
    return _job(cnn_pool, cnn_pool_backward, dict(x=r.normal(size=(3, 3, 3)), k=r.normal(size=(2, 2)), w=r.normal(size=(1, 2))))


_wrong("average_pool_quarter", "convnet from scratch, loops", _m,
       "Average pooling over 2 x 2 hands a quarter to each cell; da has to be divided by 4.",
       ("x", "k"), ("factor",))


def causal_dilated(x, w, b, dil):
    T, K = x.shape[1], len(w)
    pad = np.concatenate([np.zeros((x.shape[0], dil * (K - 1))), x], 1)
    z = sum(w[k] * pad[:, dil * (K - 1 - k):dil * (K - 1 - k) + T] for k in range(K)) + b
    return x + np.maximum(z, 0), (x, w, z, pad, dil)


def causal_dilated_bw(dy, cache):
    x, w, z, pad, dil = cache
    T, K = x.shape[1], len(w)
    dz = dy * (z > 0)
    dpad = np.zeros_like(pad)
    dw = np.zeros(K)
    for k in range(K):
        sl = slice(dil * (K - 1 - k), dil * (K - 1 - k) + T)
        dw[k] = (dz * pad[:, sl]).sum()
        dpad[:, sl] += dz * w[K - 1 - k]
    return {"x": dy + dpad[:, dil * (K - 1):], "w": dw, "b": dz.sum()}


def _m():
    r = _rng(34)
    return _job(causal_dilated, causal_dilated_bw, dict(x=r.normal(size=(3, 7)), w=r.normal(size=3), b=np.array(.1)), dict(dil=2))


_wrong("wavenet_causal_filter", "audio code, dilated filter", _m,
       "In the input gradient the filter is flipped: tap k goes with w[k], not w[K - 1 - k].",
       ("x",), ("transpose", "elementwise-factor", "unknown"))


def fft_filter(x, h, gain):
    n = x.shape[-1]
    X, Hf = np.fft.rfft(x), np.fft.rfft(h, n)
    y = np.fft.irfft(X * Hf, n)
    return np.exp(gain) * y, (X, Hf, y, gain, n, len(h))


def fft_filter_adjoint(dy, c):
    X, Hf, y, gain, n, m = c
    g = np.exp(gain) * dy
    G = np.fft.rfft(g)
    dx = np.fft.irfft(G * Hf.conj(), n)
    dh = np.fft.irfft((G * X.conj()).sum(0), n)[:m]
    return dx, dh, np.sum(dy * np.exp(gain) * y)


def _m():
    r = _rng(35)
    return _job(fft_filter, fft_filter_adjoint, dict(x=r.normal(size=(3, 7)), h=r.normal(size=4), gain=np.array(-.4)))


_right("circular_filter_fft", "signal processing, adjoint by FFT", _m)


# ============================================================ autoencoders, factorisation

def tied_autoencoder(X, W, b, c):
    H = sigmoid(X @ W + b)
    R = H @ W.T + c
    return .5 * np.sum((R - X) ** 2) / len(X), (X, W, H, R)


def tied_autoencoder_grad(dL, cache):
    X, W, H, R = cache
    dR = dL * (R - X) / len(X)
    dH = dR @ W
    dZ = dH * H * (1 - H)
    dW = X.T @ dZ + H.T @ dR
    return {"X": dZ @ W.T - dR, "W": dW, "b": dZ.sum(0), "c": dR.sum(0)}


def _m():
    r = _rng(36)
    return _job(tied_autoencoder, tied_autoencoder_grad,
                dict(X=r.normal(size=(5, 4)), W=r.normal(size=(4, 4)), b=r.normal(size=4), c=r.normal(size=4)))


_wrong("tied_square_autoencoder", "autoencoder tutorial", _m,
       "The decoder multiplies with W.T, its share of dW is dR.T @ H and not H.T @ dR.", ("W",), ("transpose",))


def fm_predict(X, w0, w, V):
    XV = X @ V
    inter = .5 * (XV ** 2 - (X ** 2) @ (V ** 2)).sum(1)
    return w0 + X @ w + inter, dict(X=X, w=w, V=V, XV=XV)


def fm_grad(dy, c):
    X, w, V, XV = c['X'], c['w'], c['V'], c['XV']
    d = dy[:, None]
    gV = X.T @ (d * XV) - V * ((X ** 2).T @ d)
    gX = d * (w[None] + XV @ V.T)
    return {'X': gX, 'w0': dy.sum(), 'w': X.T @ dy, 'V': gV}


def _m():
    r = _rng(37)
    return _job(fm_predict, fm_grad, dict(X=r.normal(size=(4, 5)), w0=np.array(.3), w=r.normal(size=5), V=r.normal(size=(5, 3))))


_wrong("factorization_machine", "recommender library port", _m,
       "The squared self-interactions are missing in the data's gradient: subtract d * X * (V**2).sum(1).",
       ("X",), ("missing-term",))


def mf_loss(P, Q, bu, bi, ratings, users, items, lam):
    pred = (P[users] * Q[items]).sum(1) + bu[users] + bi[items]
    e = pred - ratings
    return (e ** 2).mean() + lam * ((P ** 2).sum() + (Q ** 2).sum()), (P, Q, e, users, items, lam, len(bu), len(bi))


def mf_loss_grad(dl, cache):
    P, Q, e, users, items, lam, nu, ni = cache
    g = 2 * e * dl / len(e)
    dP, dQ = 2 * lam * dl * P, 2 * lam * dl * Q
    dP[users] += g[:, None] * Q[items]
    np.add.at(dQ, items, g[:, None] * P[users])
    return {"P": dP, "Q": dQ, "bu": np.bincount(users, g, nu), "bi": np.bincount(items, g, ni), "ratings": -g}


def _m():
    r = _rng(38)
    return _job(mf_loss, mf_loss_grad,
                dict(P=r.normal(size=(3, 2)), Q=r.normal(size=(4, 2)), bu=r.normal(size=3), bi=r.normal(size=4), ratings=r.normal(size=6)),
                dict(users=np.array([0, 0, 1, 2, 2, 0]), items=np.array([1, 3, 1, 0, 2, 2]), lam=.1))


_wrong("matrix_factorisation_repeated_users", "recommender notebook", _m,
       "dP[users] += ... keeps only the last rating of a repeated user; use np.add.at.", ("P",), ("batch-sum", "missing-term"))


def nmf_kl(V, W, H):
    R = W @ H
    return np.sum(V * np.log(V / R) - V + R), (V, W, H, R)


def nmf_kl_bw(dl, cache):
    V, W, H, R = cache
    G = dl * (1 - V / R)
    return dl * np.log(V / R), G @ H.T, W.T @ G


def _m():
    r = _rng(39)
    return _job(nmf_kl, nmf_kl_bw,
                dict(V=r.uniform(.5, 3, size=(4, 5)), W=r.uniform(.5, 2, size=(4, 2)), H=r.uniform(.5, 2, size=(2, 5))))


_right("nmf_divergence", "audio source separation, terse", _m)


# ============================================================ kernels

def rbf_machine(x, centres, log_gamma, alpha):
    d2 = ((x[:, None] - centres[None]) ** 2).sum(-1)
    g = np.exp(log_gamma)
    K = np.exp(-g * d2)
    return K @ alpha, (x, centres, g, alpha, d2, K)


def rbf_machine_vjp(dy, cache):
    x, c, g, alpha, d2, K = cache
    dK = np.outer(dy, alpha)
    dd2 = -g * K * dK
    diff = x[:, None] - c[None]
    dx = 2 * (dd2[..., None] * diff).sum(1)
    dc = -2 * (dd2[..., None] * diff).sum(0)
    dg = -(d2 * K * dK).sum()
    return {"x": dx, "centres": dc, "log_gamma": dg, "alpha": K.T @ dy}


def _m():
    r = _rng(40)
    return _job(rbf_machine, rbf_machine_vjp,
                dict(x=r.normal(size=(4, 2)), centres=r.normal(size=(3, 2)), log_gamma=np.array(-.9), alpha=r.normal(size=3)))


_wrong("rbf_network_log_width", "kernel methods script", _m,
       "The parameter is log gamma: multiply dg by gamma.", ("log_gamma",), ("factor",))


def gp_nll(X, y, log_ell, log_sf, log_sn):
    n = len(y)
    D2 = ((X[:, None, :] - X[None, :, :]) ** 2).sum(2)
    E = np.exp(2 * log_sf) * np.exp(-.5 * D2 / np.exp(2 * log_ell))
    K = E + np.exp(2 * log_sn) * np.eye(n)
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, y))
    nll = .5 * y @ alpha + np.log(np.diag(L)).sum() + .5 * n * np.log(2 * np.pi)
    return nll, (X, log_ell, log_sn, D2, E, L, alpha)


def _gp_back(half):
    def gp_back(dl, cache):
        X, log_ell, log_sn, D2, E, L, alpha = cache
        n = len(alpha)
        Li = np.linalg.solve(L, np.eye(n))
        Kinv = Li.T @ Li
        G = half * dl * (Kinv - np.outer(alpha, alpha))
        GE = G * E
        il2 = np.exp(-2 * log_ell)
        dX = -2 * il2 * (GE.sum(1)[:, None] * X - GE @ X)
        return dict(X=dX, y=dl * alpha, log_ell=(GE * D2).sum() * il2, log_sf=2 * GE.sum(), log_sn=2 * np.exp(2 * log_sn) * np.trace(G))
    return gp_back


def _mk_gp(seed, half):
    def make():
        r = _rng(seed)
        return _job(gp_nll, _gp_back(half),
                    dict(X=r.normal(size=(5, 2)), y=r.normal(size=5), log_ell=np.array(.1), log_sf=np.array(.2), log_sn=np.array(-.7)))
    return make


_wrong("gp_marginal_likelihood_half", "Gaussian process toolbox", _mk_gp(41, 1.0),
       "dL/dK is half of (K^-1 - alpha alpha^T); the 1/2 is missing.", ("X", "log_ell", "log_sf", "log_sn"), ("factor",))
_right("gp_marginal_likelihood", "Gaussian process toolbox, 0-d hyperparameters", _mk_gp(42, 0.5))


# ============================================================ mechanics

def spring_energy(pos, k, rest, edges):
    d = pos[edges[:, 0]] - pos[edges[:, 1]]
    r = np.sqrt((d ** 2).sum(1))
    return .5 * (k * (r - rest) ** 2).sum(), (pos, k, rest, edges, d, r)


def spring_energy_grad(dE, st):
    pos, k, rest, edges, d, r = st
    f = dE * (k * (r - rest) / r)[:, None] * d
    g = np.zeros_like(pos)
    np.add.at(g, edges[:, 0], f)
    np.add.at(g, edges[:, 1], f)
    return {"pos": g, "k": dE * .5 * (r - rest) ** 2, "rest": -dE * k * (r - rest)}


def _m():
    r = _rng(43)
    return _job(spring_energy, spring_energy_grad,
                dict(pos=r.normal(size=(4, 2)), k=r.uniform(.5, 2, size=5), rest=r.uniform(.5, 1.5, size=5)),
                dict(edges=np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]])))


_wrong("spring_network_third_law", "physics simulation", _m,
       "The other end of a spring gets the opposite gradient: np.add.at(g, edges[:, 1], -f).", ("pos",), ("sign", "missing-term"))


def pendulum(theta0, omega0, length, damping, dt, steps):
    th, om = theta0, omega0
    hist = []
    for _ in range(steps):
        om_new = om + dt * (-9.81 / length * np.sin(th) - damping * om)
        th_new = th + dt * om_new
        hist.append((th, om, th_new))
        th, om = th_new, om_new
    return np.stack([th, om], 1), (hist, length, damping, dt)


def pendulum_adjoint(g, c):
    hist, length, damping, dt = c
    gth, gom = g[:, 0].copy(), g[:, 1].copy()
    gl, gd = np.zeros_like(length), 0.
    for th, om, th_new in hist[::-1]:
        gom = gom + dt * gth
        gl += gom * dt * 9.81 / length ** 2 * np.sin(th)
        gd -= (gom * dt * om).sum()
        gth = gth - gom * dt * 9.81 / length * np.cos(th_new)
        gom = gom * (1 - dt * damping)
    return {"theta0": gth, "omega0": gom, "length": gl, "damping": gd}


def _m():
    return _job(pendulum, pendulum_adjoint,
                dict(theta0=np.array([.5, 1.2, -2.]), omega0=np.array([1., -.5, .3]), length=np.array([1., .7, 1.4]), damping=np.array(.4)),
                dict(dt=.2, steps=4))


_wrong("pendulum_adjoint_wrong_angle", "differentiable physics, adjoint loop", _m,
       "The force was taken at the angle before the step: cos(th), not cos(th_new).",
       ("theta0", "omega0", "length", "damping"), ("unknown", "elementwise-factor"))


def leapfrog(q, p, log_mass, stiff, h, n):
    im = np.exp(-log_mass)
    traj = []
    for _ in range(n):
        p = p - .5 * h * (q @ stiff + q ** 3)
        q1 = q + h * p * im
        traj.append((q, p, q1))
        p = p - .5 * h * (q1 @ stiff + q1 ** 3)
        q = q1
    return np.concatenate([q, p], axis=1), (traj, im, stiff, h)


def leapfrog_adjoint(g, c):
    traj, im, stiff, h = c
    n = im.size
    gq, gp = np.array(g[:, :n]), np.array(g[:, n:])
    gS, glm = np.zeros_like(stiff), np.zeros_like(im)
    for q, p, q1 in reversed(traj):
        gF = -.5 * h * gp
        gS += q1.T @ gF
        gq += gF @ stiff.T + 3 * q1 ** 2 * gF
        gp += h * im * gq
        glm -= (gq * h * p * im).sum(0)
        gF = -.5 * h * gp
        gS += q.T @ gF
        gq += gF @ stiff.T + 3 * q ** 2 * gF
    return gq, gp, glm, gS


def _m():
    r = _rng(44)
    return _job(leapfrog, leapfrog_adjoint,
                dict(q=.7 * r.normal(size=(3, 2)), p=r.normal(size=(3, 2)), log_mass=.3 * r.normal(size=2), stiff=r.normal(size=(2, 2))),
                dict(h=.15, n=3))


_right("leapfrog_rollout", "hamiltonian mechanics, reversible loop", _m)


def ode_midpoint(z0, W, b, h, n):
    f = lambda z: np.tanh(z @ W + b)
    z, saved = z0, []
    for _ in range(n):
        k1 = f(z)
        zm = z + .5 * h * k1
        k2 = f(zm)
        saved.append((z, k1, zm, k2))
        z = z + h * k2
    return z, (saved, W, h)


def ode_midpoint_back(dz, ctx):
    saved, W, h = ctx
    dW, db = np.zeros_like(W), np.zeros(W.shape[1])
    for z, k1, zm, k2 in saved[::-1]:
        a2 = h * dz * (1 - k2 ** 2)
        dW += zm.T @ a2
        db += a2.sum(0)
        dzm = a2 @ W.T
        a1 = h * dzm * (1 - k1 ** 2)
        dW += z.T @ a1
        db += a1.sum(0)
        dz = dz + dzm + a1 @ W.T
    return {"z0": dz, "W": dW, "b": db}


def _m():
    r = _rng(45)
    return _job(ode_midpoint, ode_midpoint_back, dict(z0=r.normal(size=(4, 3)), W=r.normal(size=(3, 3)), b=.3 * r.normal(size=3)), dict(h=.5, n=3))


_wrong("neural_ode_midpoint", "neural ODE, discretise then differentiate", _m,
       "The half step's factor is lost: a1 = 0.5 * h * dzm * (1 - k1**2).", ("z0", "W", "b"), ("unknown", "factor", "missing-term"))


# ============================================================ rendering

def volume_render(sigma, rgb, delta):
    """sigma (R,S), rgb (R,S,3), delta (R,S)"""
    alpha = 1 - np.exp(-sigma * delta)
    T = np.cumprod(np.concatenate([np.ones((len(sigma), 1)), 1 - alpha[:, :-1]], 1), axis=1)
    w = T * alpha
    return (w[..., None] * rgb).sum(1), (sigma, rgb, delta, alpha, T, w)


def _render_back(full):
    def render_back(dC, ctx):
        sigma, rgb, delta, alpha, T, w = ctx
        drgb = w[..., None] * dC[:, None, :]
        dw = (rgb * dC[:, None, :]).sum(-1)
        dsd = dw * T * (1 - alpha)
        if full:
            wd = w * dw
            dsd -= wd[:, ::-1].cumsum(1)[:, ::-1] - wd
        return dsd * delta, drgb, dsd * sigma
    return render_back


def _mk_render(seed, full):
    def make():
        r = _rng(seed)
        return _job(volume_render, _render_back(full),
                    dict(sigma=r.uniform(.1, 2, size=(3, 4)), rgb=r.uniform(size=(3, 4, 3)), delta=r.uniform(.2, .8, size=(3, 4))))
    return make


_wrong("volume_rendering_occlusion", "radiance field code", _mk_render(46, False),
       "A denser sample also darkens all samples behind it; subtract the reversed cumulative sum of w * dw over the later samples.",
       ("sigma", "delta"), ("missing-term",))
_right("volume_rendering", "radiance field code, reversed cumsum", _mk_render(47, True))


def project(points, R, t, focal):
    cam = points @ R.T + t
    uv = focal * cam[:, :2] / cam[:, 2:]
    return uv, (points, R, focal, cam, uv)


def project_backward(duv, ctx):
    points, R, focal, cam, uv = ctx
    dcam = np.empty_like(cam)
    dcam[:, :2] = focal * duv / cam[:, 2:]
    dcam[:, 2] = (duv * uv).sum(1) / cam[:, 2]
    dfocal = (duv * cam[:, :2] / cam[:, 2:]).sum()
    return dict(points=dcam @ R, R=dcam.T @ points, t=dcam.sum(0), focal=dfocal)


def _m():
    r = _rng(48)
    Q, _ = np.linalg.qr(r.normal(size=(3, 3)))
    return _job(project, project_backward, dict(points=r.normal(size=(5, 3)), R=Q, t=np.array([.1, -.2, 4.]), focal=np.array(1.5)))


_wrong("pinhole_projection_depth", "bundle adjustment, graphics", _m,
       "The derivative of 1/z is negative: dcam[:, 2] = -(duv * uv).sum(1) / z.", ("points", "R", "t"), ("sign", "elementwise-factor"))


def phong(normal, light, view, kd, ks, shininess):
    nl = np.linalg.norm(normal, axis=1, keepdims=True)
    n = normal / nl
    diff = np.maximum(n @ light, 0)
    refl = 2 * (n @ light)[:, None] * n - light
    spec = np.maximum(refl @ view, 0)
    return kd * diff + ks * spec ** shininess, (normal, nl, n, light, view, kd, ks, shininess, diff, refl, spec)


def phong_back(dy, ctx):
    normal, nl, n, light, view, kd, ks, sh, diff, refl, spec = ctx
    lit = diff > 0
    hot = spec > 0
    dspec = np.where(hot, dy * ks * sh * spec ** (sh - 1), 0)
    drefl = dspec[:, None] * view
    dview = dspec @ refl
    nd = n @ light
    dnd = dy * kd * lit + 2 * (drefl * n).sum(1)
    dn = dnd[:, None] * light + 2 * nd[:, None] * drefl
    dlight = dnd @ n - drefl.sum(0)
    logspec = np.log(spec, out=np.zeros_like(spec), where=hot)
    dnormal = (dn - n * (dn * n).sum(1, keepdims=True)) / nl
    return {"normal": dnormal, "light": dlight, "view": dview, "kd": dy * diff, "ks": dy * spec ** sh,
            "shininess": np.sum(dy * ks * spec ** sh * logspec)}


def _m():
    r = _rng(49)
    return _job(phong, phong_back,
                dict(normal=r.normal(size=(6, 3)), light=np.array([.3, .5, .8]), view=np.array([-.2, .1, 1.]), kd=r.uniform(.3, 1, size=6),
                     ks=r.uniform(.3, 1, size=6), shininess=np.array(4.5)))


_right("phong_shading", "shader port, clamped lobes", _m)


# ============================================================ language models

def ngram_lm(C, H, d, U, b, context, nxt):
    x = C[context].reshape(len(context), -1)
    a = np.tanh(x @ H + d)
    logits = a @ U + b
    m = logits.max(1)
    lse = m + np.log(np.exp(logits - m[:, None]).sum(1))
    nll = lse - logits[np.arange(len(nxt)), nxt]
    return nll.mean(), (C, H, U, x, a, logits, lse, context, nxt)


def _ngram_back(addat):
    def ngram_back(g, saved):
        C, H, U, x, a, logits, lse, context, nxt = saved
        n = len(nxt)
        dlog = np.exp(logits - lse[:, None])
        dlog[range(n), nxt] -= 1
        dlog *= g / n
        da = (dlog @ U.T) * (1 - a ** 2)
        dx = (da @ H.T).reshape(*context.shape, -1)
        dC = np.zeros_like(C)
        if addat:
            for row, grad in zip(context.ravel(), dx.reshape(-1, dx.shape[-1])):
                dC[row] += grad
        else:
            dC[context] = dx
        return {"C": dC, "H": x.T @ da, "d": da.sum(0), "U": a.T @ dlog, "b": dlog.sum(0)}
    return ngram_back


def _mk_ngram(seed, addat):
    def make():
        r = _rng(seed)
        return _job(ngram_lm, _ngram_back(addat),
                    dict(C=r.normal(size=(6, 2)), H=r.normal(size=(4, 3)), d=r.normal(size=3), U=r.normal(size=(3, 6)), b=r.normal(size=6)),
                    dict(context=np.array([[0, 1], [1, 2], [2, 2], [2, 4]]), nxt=np.array([2, 2, 4, 0])))
    return make


_wrong("ngram_embedding_scatter", "neural probabilistic language model", _mk_ngram(50, False),
       "A token that occurs more than once keeps only its last gradient; np.add.at(dC, context, dx).", ("C",), ("batch-sum", "missing-term"))
_right("ngram_language_model", "neural probabilistic language model", _mk_ngram(51, True))


def sgns(inp, out, centre, ctx, label):
    s = (inp[centre] * out[ctx]).sum(1)
    y = np.where(label == 1, s, -s)
    return np.logaddexp(0, -y).sum(), (inp, out, centre, ctx, label, y)


def sgns_grad(g, c):
    inp, out, centre, ctx, label, y = c
    dy = -np.exp(-y) / (1 + np.exp(-y)) * g
    ds = np.where(label == 1, dy, -dy)[:, None]
    di, do = np.zeros_like(inp), np.zeros_like(out)
    np.add.at(di, centre, ds * out[ctx])
    np.add.at(do, ctx, ds * inp[centre])
    return {"inp": di, "out": do}


def sgns_grad_ok(g, c):
    inp, out, centre, ctx, label, y = c
    e = np.exp(-np.abs(y))
    dy = -np.where(y >= 0, e / (1 + e), 1 / (1 + e)) * g
    ds = np.where(label == 1, dy, -dy)[:, None]
    di, do = np.zeros_like(inp), np.zeros_like(out)
    np.add.at(di, centre, ds * out[ctx])
    np.add.at(do, ctx, ds * inp[centre])
    return di, do


def _mk_sgns(seed, b):
    def make():
        r = _rng(seed)
        inp, out = r.normal(size=(4, 3)), r.normal(size=(5, 3))
        inp[1] = [30., -20, 10]
        out[2] = [-25., 15, 5]
        return _job(sgns, b, dict(inp=inp, out=out),
                    dict(centre=np.array([0, 1, 1, 2, 3]), ctx=np.array([1, 2, 0, 4, 3]), label=np.array([1, 1, 0, 0, 1])))
    return make


_wrong("skipgram_overflow", "word vectors trainer", _mk_sgns(52, sgns_grad),
       "exp(-y) overflows for very negative y and gives inf/inf; write the slope as -1 / (1 + exp(y)) or by cases.",
       ("inp", "out"), ("non-finite",))
_right("skipgram_saturated", "word vectors trainer, stable sigmoid", _mk_sgns(53, sgns_grad_ok))


def crf_nll(emit, trans, start, tags):
    T, K = emit.shape
    alpha = np.zeros((T, K))
    alpha[0] = start + emit[0]
    for t in range(1, T):
        s = alpha[t - 1][:, None] + trans
        mx = s.max(0)
        alpha[t] = mx + np.log(np.exp(s - mx).sum(0)) + emit[t]
    logZ = alpha[-1].max() + np.log(np.exp(alpha[-1] - alpha[-1].max()).sum())
    score = start[tags[0]] + emit[np.arange(T), tags].sum() + trans[tags[:-1], tags[1:]].sum()
    return logZ - score, (emit, trans, alpha, logZ, tags)


def _crf_back(right):
    def crf_back(g, c):
        emit, trans, alpha, logZ, tags = c
        T, K = emit.shape
        beta = np.zeros((T, K))
        for t in range(T - 2, -1, -1):
            s = trans + emit[t + 1] + beta[t + 1]
            mx = s.max(1, keepdims=True)
            beta[t] = mx[:, 0] + np.log(np.exp(s - mx).sum(1))
        marg = np.exp(alpha + beta - logZ)
        dtrans = np.zeros_like(trans)
        for t in range(1, T):
            pair = np.exp(alpha[t - 1][:, None] + trans + (emit[t] + beta[t])[None, :] - logZ)
            dtrans += pair
            if right:
                dtrans[tags[t - 1], tags[t]] -= 1
            else:
                dtrans[tags[t], tags[t - 1]] -= 1
        dstart = marg[0].copy()
        dstart[tags[0]] -= 1
        marg[np.arange(T), tags] -= 1
        return {"emit": g * marg, "trans": g * dtrans, "start": g * dstart}
    return crf_back


def _mk_crf(seed, right):
    def make():
        r = _rng(seed)
        return _job(crf_nll, _crf_back(right), dict(emit=r.normal(size=(5, 3)), trans=r.normal(size=(3, 3)), start=r.normal(size=3)),
                    dict(tags=np.array([0, 1, 2, 0, 0])))
    return make


_wrong("crf_transition_counts", "sequence tagger", _mk_crf(54, False),
       "The observed transitions are counted as [to, from]; they are [from, to] like trans.", ("trans",), ("transpose", "missing-term"))
_right("crf_forward_backward", "sequence tagger, log space", _mk_crf(55, True))


# ============================================================ flows

def coupling_nll(x, Ws, bs, Wt, bt):
    h = x.shape[1] // 2
    x1, x2 = x[:, :h], x[:, h:]
    s = np.tanh(x1 @ Ws + bs)
    z2 = x2 * np.exp(s) + x1 @ Wt + bt
    nll = .5 * (x1 ** 2).sum() + .5 * (z2 ** 2).sum() - s.sum()
    return nll / len(x), (x1, x2, Ws, Wt, s, z2)


def _coupling_back(right):
    def coupling_back(g, cache):
        x1, x2, Ws, Wt, s, z2 = cache
        g = g / len(x1)
        dz2 = g * z2
        ds = dz2 * x2 * np.exp(s)
        if right:
            ds = ds - g
        da = ds * (1 - s ** 2)
        dx1 = g * x1 + da @ Ws.T + dz2 @ Wt.T
        dx2 = dz2 * np.exp(s)
        return np.hstack((dx1, dx2)), x1.T @ da, da.sum(0), x1.T @ dz2, dz2.sum(0)
    return coupling_back


def _mk_coupling(seed, right):
    def make():
        r = _rng(seed)
        return _job(coupling_nll, _coupling_back(right),
                    dict(x=r.normal(size=(4, 4)), Ws=.6 * r.normal(size=(2, 2)), bs=.3 * r.normal(size=2), Wt=r.normal(size=(2, 2)), bt=r.normal(size=2)))
    return make


_wrong("affine_coupling_logdet", "normalising flow", _mk_coupling(56, False),
       "The log determinant -sum(s) sends -g to s; ds = dz2 * x2 * exp(s) - g.", ("x", "Ws", "bs"), ("missing-term",))
_right("affine_coupling", "normalising flow, tuple", _mk_coupling(57, True))


def planar(z, w, u, b):
    a = np.tanh(z @ w + b)
    psi = (1 - a ** 2)[:, None] * w
    det = 1 + psi @ u
    return np.concatenate([z + a[:, None] * u, np.log(np.abs(det))[:, None]], axis=1), (z, w, u, a, det)


def planar_back(dy, cache):
    z, w, u, a, det = cache
    dzo, dl = dy[:, :-1], dy[:, -1]
    h1 = 1 - a ** 2
    ddet = dl / np.abs(det)
    wu = w @ u
    da = dzo @ u + ddet * wu * (-2 * a)
    dpre = da * h1
    du = a @ dzo + (ddet * h1).sum() * w
    dw = z.T @ dpre + (ddet * h1).sum() * u
    return {"z": dzo + np.outer(dpre, w), "w": dw, "u": du, "b": dpre.sum()}


def _m():
    r = _rng(58)
    return _job(planar, planar_back, dict(z=.8 * r.normal(size=(5, 2)), w=np.array([1.2, -.8]), u=np.array([-1.6, 1.3]), b=np.array(.2)))


_wrong("planar_flow_absolute_determinant", "normalising flow, variational inference", _m,
       "The derivative of log|d| is 1/d and not 1/|d|, which differs where the determinant is negative.",
       ("z", "w", "u", "b"), ("sign", "elementwise-factor"))


# ============================================================ state-space models

def diag_ssm(x, log_a, Bm, Cm, D):
    """x (T,Bt) -> y (T,Bt)"""
    a = np.exp(-np.exp(log_a))
    T, n = x.shape
    h = np.zeros((T + 1, n, len(a)))
    for t in range(T):
        h[t + 1] = a * h[t] + x[t][:, None] * Bm
    return h[1:] @ Cm + D * x, (x, log_a, a, Bm, Cm, D, h)


def diag_ssm_back(dy, res):
    x, log_a, a, Bm, Cm, D, h = res
    T = len(x)
    dx = D * dy
    da, dB = np.zeros_like(a), np.zeros_like(Bm)
    lam = np.zeros_like(h[0])
    for t in range(T - 1, -1, -1):
        lam = a * lam + dy[t][:, None] * Cm
        da += (lam * h[t + 1]).sum(0)
        dB += x[t] @ lam
        dx[t] += lam @ Bm
    return dict(x=dx, log_a=-da * a * np.exp(log_a), Bm=dB, Cm=np.einsum('tb,tbk->k', dy, h[1:]), D=(dy * x).sum())


def _m():
    r = _rng(59)
    return _job(diag_ssm, diag_ssm_back, dict(x=r.normal(size=(5, 3)), log_a=r.normal(size=3) - .5, Bm=r.normal(size=3), Cm=r.normal(size=3), D=np.array(.4)))


_wrong("diagonal_state_space_decay", "structured state-space layer", _m,
       "The decay multiplies the state before the step: da += lam * h[t], not h[t + 1].", ("log_a",), ("elementwise-factor", "unknown"))


def selective_scan(u, dt_raw, A_log, Bt, Ct):
    """u, dt_raw (T,), Bt, Ct (T,N), A_log (N,)"""
    dt = np.logaddexp(0, dt_raw)
    A = -np.exp(A_log)
    h = np.zeros(A.size)
    hs = [h]
    y = np.empty(len(u))
    for t in range(len(u)):
        h = np.exp(dt[t] * A) * h + dt[t] * u[t] * Bt[t]
        hs.append(h)
        y[t] = Ct[t] @ h
    return y, (u, dt, dt_raw, A, Bt, Ct, hs)


def _scan_back(right):
    def scan_back(dy, saved):
        u, dt, dt_raw, A, Bt, Ct, hs = saved
        du, ddt, dA = np.zeros_like(u), np.zeros_like(dt), np.zeros_like(A)
        dB, dC = np.zeros_like(Bt), np.zeros_like(Ct)
        g = np.zeros_like(A)
        for t in reversed(range(len(u))):
            g = g + dy[t] * Ct[t]
            dC[t] = dy[t] * hs[t + 1]
            dec = np.exp(dt[t] * A)
            gd = g * hs[t] * dec
            dA += gd * dt[t]
            ddt[t] = (gd * A).sum()
            if right:
                ddt[t] += u[t] * (g @ Bt[t])
            du[t] = dt[t] * (g @ Bt[t])
            dB[t] = dt[t] * u[t] * g
            g = g * dec
        return dict(u=du, dt_raw=ddt / (1 + np.exp(-dt_raw)), A_log=dA * A, Bt=dB, Ct=dC)
    return scan_back


def _mk_scan(seed, right):
    def make():
        r = _rng(seed)
        return _job(selective_scan, _scan_back(right),
                    dict(u=r.normal(size=5), dt_raw=r.normal(size=5), A_log=.5 * r.normal(size=3), Bt=r.normal(size=(5, 3)), Ct=r.normal(size=(5, 3))))
    return make


_wrong("selective_scan_step_size", "selective state-space model", _mk_scan(60, False),
       "The step size also scales the input: ddt[t] += u[t] * (g @ Bt[t]).", ("dt_raw",), ("missing-term",))
_right("selective_scan", "selective state-space model", _mk_scan(61, True))


# ============================================================ optimal transport

def sinkhorn_cost(X, Y, log_eps, iters):
    C = ((X[:, None] - Y[None]) ** 2).sum(-1)
    eps = np.exp(log_eps)
    K = np.exp(-C / eps)
    n, m = C.shape
    v = np.ones(m)
    tape = []
    for _ in range(iters):
        Kv = K @ v
        u = 1. / n / Kv
        Ku = K.T @ u
        tape.append((v, u))
        v = 1. / m / Ku
    P = u[:, None] * K * v[None]
    return (P * C).sum(), (X, Y, C, K, eps, P, u, v, tape)


def _sinkhorn_back(right):
    def sinkhorn_back(g, ctx):
        X, Y, C, K, eps, P, u, v, tape = ctx
        n, m = C.shape
        dP = g * C
        dK = dP * np.outer(u, v)
        gv = (dP * K).T @ u
        gu = (dP * K) @ v
        vout = v
        for vin, uu in reversed(tape):
            gKu = -gv * vout ** 2 * m
            dK += np.outer(uu, gKu)
            gu = gu + K @ gKu
            gKv = -gu * uu ** 2 * n
            dK += np.outer(gKv, vin)
            gv = K.T @ gKv
            gu = np.zeros_like(gu)
            vout = vin
        dC = -dK * K / eps
        if right:
            dC = dC + g * P
        deps = (dK * K * C).sum() / eps
        diff = X[:, None] - Y[None]
        W = 2 * dC[..., None] * diff
        return {"X": W.sum(1), "Y": -W.sum(0), "log_eps": deps}
    return sinkhorn_back


def _mk_sink(seed, right):
    def make():
        r = _rng(seed)
        return _job(sinkhorn_cost, _sinkhorn_back(right), dict(X=r.normal(size=(4, 2)), Y=.5 + r.normal(size=(3, 2)), log_eps=np.array(.6)), dict(iters=4))
    return make


_wrong("sinkhorn_direct_cost", "optimal transport, unrolled", _mk_sink(62, False),
       "The loss <P, C> also depends on C directly: dC += g * P.", ("X", "Y"), ("missing-term",))
_right("sinkhorn_unrolled", "optimal transport, unrolled", _mk_sink(63, True))


# ============================================================ assorted

class MSELoss:
    def forward(self, pred, target):
        self.r = pred - target
        return np.mean(self.r ** 2)

    def backward(self):
        return 2 * self.r / self.r.shape[0]


class Lin:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, d):
        self.dW, self.db = self.x.T @ d, d.sum(0)
        return d @ self.W.T


def _m():
    r = _rng(64)

    def f(x, target, W1, b1, W2, b2):
        l1, l2, loss = Lin(W1, b1), Lin(W2, b2), MSELoss()
        h = np.tanh(l1.forward(x))
        return loss.forward(l2.forward(h), target), (l1, h, l2, loss)

    def b(dy, net):
        l1, h, l2, loss = net
        d = dy * loss.backward()
        dx = l1.backward(l2.backward(d) * (1 - h * h))
        return {"x": dx, "target": -d, "W1": l1.dW, "b1": l1.db, "W2": l2.dW, "b2": l2.db}

    return _job(f, b, dict(x=r.normal(size=(4, 3)), target=r.normal(size=(4, 3)), W1=r.normal(size=(3, 5)), b1=r.normal(size=5),
                           W2=r.normal(size=(5, 3)), b2=r.normal(size=3)))


_wrong("mse_mean_over_entries", "toy framework with layer and loss classes", _m,
       "np.mean runs over all entries, so divide by r.size and not by the number of rows.",
       ("x", "target", "W1", "b1", "W2", "b2"), ("factor",))


def logistic_forgets_upstream(X, w, b, y):
    s = np.where(y == 1, 1., -1.)
    m = s * (X @ w + b)
    return np.logaddexp(0, -m).sum(), (X, w, s, m)


def logistic_forgets_upstream_bw(dloss, cache):
    X, w, s, m = cache
    g = -s / (1 + np.exp(m))
    return np.outer(g, w), X.T @ g, g.sum()


def _m():
    r = _rng(65)
    return _job(logistic_forgets_upstream, logistic_forgets_upstream_bw, dict(X=r.normal(size=(6, 3)), w=r.normal(size=3), b=np.array(.2)),
                dict(y=np.array([1, 0, 0, 1, 1, 0])))


_wrong("logistic_loss_upstream", "statistics script", _m,
       "The incoming gradient dloss is ignored; multiply everything by it.", ("X", "w", "b"), ("factor",))


def biaffine(head, dep, U, bias):
    return np.einsum('bi,ij,cj->bc', head, U, dep) + (head @ bias)[:, None], (head, dep, U, bias)


def biaffine_vjp(g, c):
    head, dep, U, bias = c
    dhead = g @ dep @ U.T + np.outer(g.sum(1), bias)
    ddep = g.T @ head @ U
    dU = dep.T @ g.T @ head
    return dhead, ddep, dU, head.T @ g.sum(1)


def _m():
    r = _rng(66)
    return _job(biaffine, biaffine_vjp, dict(head=r.normal(size=(4, 3)), dep=r.normal(size=(5, 3)), U=r.normal(size=(3, 3)), bias=r.normal(size=3)))


_wrong("biaffine_parser_scores", "dependency parser, einsum", _m,
       "dU is transposed: head.T @ g @ dep.", ("U",), ("transpose",))


def mdn_nll(x, W, y, K):
    o = x @ W
    logit, mu, ls = o[:, :K], o[:, K:2 * K], o[:, 2 * K:]
    lp = logit - np.log(np.exp(logit).sum(1, keepdims=True))
    t = (y[:, None] - mu) * np.exp(-ls)
    comp = lp - ls - .5 * t ** 2
    mx = comp.max(1, keepdims=True)
    ll = mx[:, 0] + np.log(np.exp(comp - mx).sum(1))
    return -ll, (x, W, y, lp, t, ls, comp, ll)


def _mdn_back(right):
    def mdn_back(dy, cache):
        x, W, y, lp, t, ls, comp, ll = cache
        resp = np.exp(comp - ll[:, None])
        d = dy[:, None]
        dlogit = d * (np.exp(lp) - resp)
        dmu = -d * resp * t * np.exp(-ls)
        dls = d * resp * ((1 - t ** 2) if right else (1 - t))
        do = np.concatenate([dlogit, dmu, dls], 1)
        return {"x": do @ W.T, "W": x.T @ do, "y": -dmu.sum(1)}
    return mdn_back


def _mk_mdn(seed, right):
    def make():
        r = _rng(seed)
        return _job(mdn_nll, _mdn_back(right), dict(x=r.normal(size=(4, 3)), W=.7 * r.normal(size=(3, 6)), y=r.normal(size=4)), dict(K=2))
    return make


_wrong("mixture_density_log_sigma", "mixture density network", _mk_mdn(67, False),
       "The derivative in log sigma is resp * (1 - t**2), the square is missing.", ("x", "W"), ("missing-term", "elementwise-factor"))
_right("mixture_density", "mixture density network", _mk_mdn(68, True))


def poincare(u, v):
    a, b = 1 - (u * u).sum(1), 1 - (v * v).sum(1)
    d2 = ((u - v) ** 2).sum(1)
    g = 1 + 2 * d2 / (a * b)
    return np.arccosh(g), (u, v, a, b, d2, g)


def poincare_grad(dy, c):
    u, v, a, b, d2, g = c
    dg = (dy / np.sqrt(g * g - 1))[:, None]
    a, b, d2 = a[:, None], b[:, None], d2[:, None]
    diff = u - v
    du = dg * (4 * diff / (a * b) + 4 * d2 * u / (a ** 2 * b))
    dv = dg * (-4 * diff / (a * b) + 4 * d2 * v / (a * b ** 2))
    return du, dv


def _m():
    r = _rng(69)
    return _job(poincare, poincare_grad, dict(u=.3 * r.normal(size=(4, 2)), v=.3 * r.normal(size=(4, 2))))


_right("hyperbolic_distance", "hyperbolic embeddings", _m)


def sparsemax_read(score_w, q, mem):
    z = (q * score_w) @ mem.T
    zs = -np.sort(-z, axis=1)
    k = np.arange(1, z.shape[1] + 1)
    cs = zs.cumsum(1) - 1
    supp = (zs * k > cs).sum(1)
    tau = cs[np.arange(len(z)), supp - 1] / supp
    p = np.maximum(z - tau[:, None], 0)
    return p @ mem, (score_w, q, mem, p)


def sparsemax_read_bw(dy, c):
    score_w, q, mem, p = c
    dp = dy @ mem.T
    on = (p > 0).astype(float)
    dz = on * (dp - (dp * on).sum(1, keepdims=True) / on.sum(1, keepdims=True))
    dqs = dz @ mem
    return {"mem": p.T @ dy + dz.T @ (q * score_w), "q": dqs * score_w, "score_w": (dqs * q).sum(0)}


def _m():
    r = _rng(70)
    return _job(sparsemax_read, sparsemax_read_bw, dict(score_w=.5 * r.normal(size=3), q=r.normal(size=(4, 3)), mem=r.normal(size=(5, 3))))


_right("sparsemax_attention", "sparse attention, sorted threshold", _m)


def deepset_max(sets, phi, rho):
    h = np.tanh(sets @ phi)
    arg = h.argmax(1)
    pooled = np.take_along_axis(h, arg[:, None, :], 1)[:, 0]

    def pullback(g):
        gp = g @ rho.T
        gh = np.zeros_like(h)
        np.put_along_axis(gh, arg[:, None, :], gp[:, None, :], 1)
        gh *= 1 - h ** 2
        return {"sets": gh @ phi.T, "phi": np.tensordot(sets, gh, ((0, 1), (0, 1))), "rho": pooled.T @ g}

    return pooled @ rho, pullback


def _m():
    r = _rng(71)
    return _job(deepset_max, lambda g, pb: pb(g), dict(sets=r.normal(size=(3, 4, 2)), phi=r.normal(size=(2, 5)), rho=r.normal(size=(5, 2))))


_right("deep_sets_max_closure", "closure as cache, permutation invariant", _m)


def local_level_nll(y, log_q, log_r, m0):
    q, r = np.exp(log_q), np.exp(log_r)
    m, P, nll, st = m0, 1.0, 0.0, []
    for yt in y:
        Pp = P + q
        S = Pp + r
        e = yt - m
        K = Pp / S
        nll = nll + .5 * (np.log(2 * np.pi * S) + e * e / S)
        st.append((Pp, S, e, K))
        m = m + K * e
        P = (1 - K) * Pp
    return nll, (st, q, r)


def local_level_adjoint(g, c):
    st, q, r = c
    gm = gP = gq = gr = 0.
    gy = np.zeros(len(st))
    for t in range(len(st) - 1, -1, -1):
        Pp, S, e, K = st[t]
        gK = gm * e - gP * Pp
        gPp = gP * (1 - K) + gK / S
        gS = -gK * Pp / S ** 2 + g * .5 * (1 / S - e * e / S ** 2)
        ge = gm * K + g * e / S
        gy[t] = ge
        gm = gm - ge
        gPp += gS
        gr += gS
        gq += gPp
        gP = gPp
    return {"y": gy, "log_q": gq * q, "log_r": gr * r, "m0": gm}


def _m():
    r = _rng(72)
    return _job(local_level_nll, local_level_adjoint, dict(y=r.normal(size=6), log_q=np.array(-1.), log_r=np.array(.3), m0=np.array(.5)))


_right("kalman_local_level", "econometrics, scalar recursions", _m)
