"""Third paper: compositions (check "vjp"): whole small networks, losses included."""
from typing import Callable, NamedTuple

import numpy as np
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


def _add(name, style, f, b, data, right=True, slip="", wrong=(), causes=(), seed=0):
    def make():
        r = np.random.default_rng(1000 + seed + sum(map(ord, name)))
        inputs, constants = data(r)
        inputs = {k: np.array(v, dtype=float) for k, v in inputs.items()}
        out = {"forward": f, "backward": b, "inputs": inputs}
        if constants:
            out["constants"] = constants
        return out
    ITEMS.append(Item(name, style, "vjp", make, right, slip, tuple(wrong), tuple(causes)))


def _add_obj(name, style, factory, data, right=True, slip="", wrong=(), causes=()):
    def make():
        r = np.random.default_rng(2000 + sum(map(ord, name)))
        inputs, constants = data(r)
        o = factory()
        out = {"forward": o.forward, "backward": o.backward,
               "inputs": {k: np.array(v, dtype=float) for k, v in inputs.items()}}
        if constants:
            out["constants"] = constants
        return out
    ITEMS.append(Item(name, style, "vjp", make, right, slip, tuple(wrong), tuple(causes)))


# ------------------------------------------------------------------ class assignments

def twolayer_loss(X, W1, b1, W2, b2, y, reg):
    N = X.shape[0]
    z1 = X.dot(W1) + b1
    h = np.maximum(0, z1)
    scores = h.dot(W2) + b2
    scores = scores - scores.max(axis=1, keepdims=True)
    p = np.exp(scores)
    p /= p.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(N), y]).mean()
    loss += reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    return loss, (X, W1, b1, W2, b2, y, reg, z1, h, p)


def twolayer_grads(dloss, cache):
    X, W1, b1, W2, b2, y, reg, z1, h, p = cache
    N = X.shape[0]
    dscores = p.copy()
    dscores[np.arange(N), y] -= 1
    dscores /= N
    grads = {}
    grads['W2'] = h.T.dot(dscores) + 2 * reg * W2
    grads['b2'] = dscores.sum(axis=0)
    dh = dscores.dot(W2.T)
    dh[z1 <= 0] = 0
    grads['W1'] = X.T.dot(dh) + reg * W1
    grads['b1'] = dh.sum(axis=0)
    grads['X'] = dh.dot(W1.T)
    return {k: v * dloss for k, v in grads.items()}


def _d(r):
    return (dict(X=r.normal(size=(5, 4)), W1=r.normal(size=(4, 6)), b1=r.normal(size=6) * .3,
                 W2=r.normal(size=(6, 3)), b2=r.normal(size=3)),
            dict(y=np.array([0, 2, 1, 2, 0]), reg=0.3))


_add("twolayer_softmax_half_reg", "class assignment, dict of grads", twolayer_loss, twolayer_grads, _d, False,
     "The loss has reg*sum(W1**2), so dW1 needs 2*reg*W1, not reg*W1.", ("W1",), ("missing-term",))


def mlp3_forward(x, W1, b1, W2, b2, W3, b3, t):
    z1 = x @ W1 + b1
    a1 = np.tanh(z1)
    z2 = a1 @ W2 + b2
    a2 = np.tanh(z2)
    out = a2 @ W3 + b3
    return 0.5 * np.mean((out - t) ** 2), dict(x=x, z1=z1, a1=a1, z2=z2, a2=a2, out=out, t=t, W1=W1, W2=W2, W3=W3)


def mlp3_backward(dL, c):
    dout = dL * (c['out'] - c['t']) / c['out'].size
    dW3 = c['a2'].T @ dout
    db3 = dout.sum(0)
    dz2 = (dout @ c['W3'].T) * (1 - c['a2'] ** 2)
    dW2 = c['a1'].T @ dz2
    db2 = dz2.sum(0)
    dz1 = (dz2 @ c['W2'].T) * (1 - c['z1'] ** 2)
    dW1 = c['x'].T @ dz1
    db1 = dz1.sum(0)
    return dz1 @ c['W1'].T, dW1, db1, dW2, db2, dW3, db3


_add("mlp_three_tanh_mse", "notebook, functional with cache dict", mlp3_forward, mlp3_backward,
     lambda r: (dict(x=r.normal(size=(5, 3)), W1=r.normal(size=(3, 5)), b1=r.normal(size=5), W2=r.normal(size=(5, 4)),
                     b2=r.normal(size=4), W3=r.normal(size=(4, 2)), b3=r.normal(size=2)), dict(t=r.normal(size=(5, 2)))),
     False, "The first tanh slope is 1 - a1**2, the code takes the pre-activation: 1 - z1**2.", ("x", "W1", "b1"),
     ("elementwise-factor",))


def ce_net_forward(X, W1, b1, W2, b2, Y):
    # features first: X is (n_x, m)
    Z1 = np.dot(W1, X) + b1
    A1 = np.tanh(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = 1 / (1 + np.exp(-Z2))
    m = X.shape[1]
    cost = -np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2)) / m
    return cost, (X, Y, W1, W2, A1, A2)


def ce_net_backward(dcost, cache):
    X, Y, W1, W2, A1, A2 = cache
    m = X.shape[1]
    dZ2 = dcost * (A2 - Y)
    dW2 = np.dot(dZ2, A1.T) / m
    db2 = np.sum(dZ2, axis=1, keepdims=True)
    dZ1 = np.dot(W2.T, dZ2) * (1 - np.power(A1, 2))
    dW1 = np.dot(dZ1, X.T) / m
    db1 = np.sum(dZ1, axis=1, keepdims=True) / m
    dX = np.dot(W1.T, dZ1) / m
    return {"X": dX, "W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


def _d(r):
    return (dict(X=r.normal(size=(3, 6)), W1=r.normal(size=(4, 3)), b1=r.normal(size=(4, 1)), W2=r.normal(size=(1, 4)),
                 b2=r.normal(size=(1, 1))), dict(Y=np.array([[0, 1, 1, 1, 1, 0]])))


_add("planar_data_bias_not_averaged", "features-first lecture course", ce_net_forward, ce_net_backward, _d, False,
     "db2 is not divided by m.", ("b2",), ("factor",))


def drop_forward(x, W1, b1, W2, b2, mask, keep, labels):
    h = np.maximum(x @ W1 + b1, 0.0)
    hd = h * mask / keep
    s = hd @ W2 + b2
    s = s - s.max(1, keepdims=True)
    logp = s - np.log(np.exp(s).sum(1, keepdims=True))
    return -logp[range(len(x)), labels].sum(), (x, h, hd, logp, W1, W2, mask, keep, labels)


def drop_backward(dout, cache):
    x, h, hd, logp, W1, W2, mask, keep, labels = cache
    ds = np.exp(logp)
    ds[range(len(x)), labels] -= 1.0
    ds = ds * dout
    dhd = ds @ W2.T
    dh = dhd * mask
    dz = dh * (h > 0)
    return dict(x=dz @ W1.T, W1=x.T @ dz, b1=dz.sum(0), W2=hd.T @ ds, b2=ds.sum(0))


_add("inverted_dropout_classifier", "class assignment, functional", drop_forward, drop_backward,
     lambda r: (dict(x=r.normal(size=(6, 3)), W1=r.normal(size=(3, 5)), b1=r.normal(size=5) + .5, W2=r.normal(size=(5, 3)),
                     b2=r.normal(size=3)),
                dict(mask=(r.random((6, 5)) < .7).astype(float), keep=0.7, labels=[0, 1, 2, 2, 1, 0])),
     False, "Inverted dropout divides by keep in the forward; the backward multiplies with the mask alone.",
     ("x", "W1", "b1"), ("factor", "elementwise-factor"))


class Affine:
    def __init__(self):
        self.W = self.b = self.x = None

    def forward(self, x, W, b):
        self.x, self.W = x, W
        return x @ W + b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=1)
        return dout @ self.W.T


class AffineOK(Affine):
    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class Sig:
    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * self.out * (1 - self.out)


class StackNet:
    """Deep-learning-from-scratch manner: layers with state."""

    def __init__(self):
        self.fc1, self.act, self.fc2 = Affine(), Sig(), AffineOK()

    def forward(self, x, W1, b1, W2, b2):
        return self.fc2.forward(self.act.forward(self.fc1.forward(x, W1, b1)), W2, b2), None

    def backward(self, dout, _cache):
        dx = self.fc1.backward(self.act.backward(self.fc2.backward(dout)))
        return {"x": dx, "W1": self.fc1.dW, "b1": self.fc1.db, "W2": self.fc2.dW, "b2": self.fc2.db}


_add_obj("stacked_layers_bias_axis", "layer classes with state", StackNet,
         lambda r: (dict(x=r.normal(size=(4, 3)), W1=r.normal(size=(3, 4)), b1=r.normal(size=4), W2=r.normal(size=(4, 2)),
                         b2=r.normal(size=2)), None),
         False, "db of the first layer is summed along axis 1 (features) instead of axis 0 (rows).", ("b1",),
         ("shape", "batch-sum"))


class BNNet:
    eps = 1e-5

    def forward(self, x, W1, gamma, beta, W2):
        z = x @ W1
        mu = z.mean(0)
        var = z.var(0)
        zn = (z - mu) / np.sqrt(var + self.eps)
        u = gamma * zn + beta
        h = np.where(u > 0, u, 0.1 * u)
        return h @ W2, (x, W1, gamma, W2, var, zn, u, h)

    def backward(self, dy, cache):
        x, W1, gamma, W2, var, zn, u, h = cache
        dW2 = h.T @ dy
        dh = dy @ W2.T
        du = dh * np.where(u > 0, 1.0, 0.1)
        dgamma = (du * zn).sum(0)
        dbeta = du.sum(0)
        dzn = du * gamma
        dz = (dzn - dzn.mean(0)) / np.sqrt(var + self.eps)
        return {"x": dz @ W1.T, "W1": x.T @ dz, "gamma": dgamma, "beta": dbeta, "W2": dW2}


_add_obj("batchnorm_leaky_net", "layer classes, cached tuples", BNNet,
         lambda r: (dict(x=r.normal(size=(6, 3)), W1=r.normal(size=(3, 4)), gamma=1 + .3 * r.normal(size=4),
                         beta=r.normal(size=4), W2=r.normal(size=(4, 2))), None),
         False, "The path through the batch variance is missing: - zn * mean(dzn * zn).", ("x", "W1"), ("missing-term",))


# ------------------------------------------------------------------ attention, transformers

def self_attn(x, Wq, Wk, Wv):
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    s = q @ k.T / np.sqrt(k.shape[-1])
    e = np.exp(s - s.max(-1, keepdims=True))
    a = e / e.sum(-1, keepdims=True)
    return a @ v, (x, Wq, Wk, Wv, q, k, v, a)


def self_attn_bwd_noscale_q(dy, cache):
    x, Wq, Wk, Wv, q, k, v, a = cache
    da = dy @ v.T
    dv = a.T @ dy
    ds = a * (da - (da * a).sum(-1, keepdims=True))
    dq = ds @ k
    dk = ds.T @ q / np.sqrt(k.shape[-1])
    dx = dq @ Wq.T + dk @ Wk.T + dv @ Wv.T
    return dx, x.T @ dq, x.T @ dk, x.T @ dv


def _d(r):
    return dict(x=r.normal(size=(5, 4)), Wq=r.normal(size=(4, 3)), Wk=r.normal(size=(4, 3)), Wv=r.normal(size=(4, 3))), None


_add("self_attention_query_scale", "NLP, bare functions", self_attn, self_attn_bwd_noscale_q, _d, False,
     "dq lacks the 1/sqrt(d_k) of the scores (dk has it).", ("x", "Wq"), ("factor", "missing-term"))


def attn_axis_fwd(q, k, v, Wo):
    s = np.einsum('btd,bsd->bts', q, k)
    s = s - s.max(axis=2, keepdims=True)
    p = np.exp(s)
    p = p / p.sum(axis=2, keepdims=True)
    ctx = np.einsum('bts,bsd->btd', p, v)
    return ctx @ Wo, {"q": q, "k": k, "v": v, "p": p, "ctx": ctx, "Wo": Wo}


def attn_axis_bwd(dy, c):
    dWo = np.einsum('btd,bte->de', c["ctx"], dy)
    dctx = dy @ c["Wo"].T
    dp = np.einsum('btd,bsd->bts', dctx, c["v"])
    dv = np.einsum('bts,btd->bsd', c["p"], dctx)
    ds = c["p"] * (dp - np.sum(dp * c["p"], axis=1, keepdims=True))
    return {"q": np.einsum('bts,bsd->btd', ds, c["k"]), "k": np.einsum('bts,btd->bsd', ds, c["q"]), "v": dv, "Wo": dWo}


_add("cross_attention_softmax_axis", "research code with einsum", attn_axis_fwd, attn_axis_bwd,
     lambda r: (dict(q=r.normal(size=(3, 4, 2)), k=r.normal(size=(3, 4, 2)), v=r.normal(size=(3, 4, 2)),
                     Wo=r.normal(size=(2, 3))), None),
     False, "The softmax backward sums along the queries (axis 1) instead of the keys (axis 2).", ("q", "k"),
     ("shape", "missing-term"))


def mha_fwd(x, Wqk, Wv, Wo, heads):
    T, D = x.shape
    hd = D // heads
    q, k, v = [m.reshape(T, heads, hd).transpose(1, 0, 2) for m in (*np.split(x @ Wqk, 2, axis=1), x @ Wv)]
    s = q @ k.transpose(0, 2, 1) * hd ** -0.5
    s = np.where(np.tril(np.ones((T, T), bool)), s, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    o = (p @ v).transpose(1, 0, 2).reshape(T, D)
    return x + o @ Wo, (x, Wqk, Wv, Wo, heads, q, k, v, p, o)


def mha_bwd(dy, cache):
    x, Wqk, Wv, Wo, heads, q, k, v, p, o = cache
    T, D = x.shape
    hd = D // heads
    dWo = o.T @ dy
    do = (dy @ Wo.T).reshape(T, heads, hd).transpose(1, 0, 2)
    dp = do @ v.transpose(0, 2, 1)
    dv = p.transpose(0, 2, 1) @ do
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) * hd ** -0.5
    dq = ds @ k
    dk = ds.transpose(0, 2, 1) @ q
    dq, dk, dv = [m.transpose(1, 0, 2).reshape(T, D) for m in (dq, dk, dv)]
    dqk = np.hstack([dq, dk])
    return {"x": dy + dqk @ Wqk.T + dv @ Wv.T, "Wqk": x.T @ dqk, "Wv": x.T @ dv, "Wo": dWo}


def mha_bwd_reshape(dy, cache):
    x, Wqk, Wv, Wo, heads, q, k, v, p, o = cache
    T, D = x.shape
    hd = D // heads
    dWo = o.T @ dy
    do = (dy @ Wo.T).reshape(heads, T, hd)
    dp = do @ v.transpose(0, 2, 1)
    dv = p.transpose(0, 2, 1) @ do
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) * hd ** -0.5
    dq = ds @ k
    dk = ds.transpose(0, 2, 1) @ q
    dq, dk, dv = [m.transpose(1, 0, 2).reshape(T, D) for m in (dq, dk, dv)]
    dqk = np.hstack([dq, dk])
    return {"x": dy + dqk @ Wqk.T + dv @ Wv.T, "Wqk": x.T @ dqk, "Wv": x.T @ dv, "Wo": dWo}


def _d(r):
    return dict(x=r.normal(size=(4, 4)), Wqk=r.normal(size=(4, 8)) * .6, Wv=r.normal(size=(4, 4)), Wo=r.normal(size=(4, 4))), dict(heads=2)


_add("causal_multihead_block", "minimal GPT port, fused projections", mha_fwd, mha_bwd, _d)
_add("causal_multihead_head_split", "minimal GPT port, fused projections", mha_fwd, mha_bwd_reshape, _d, False,
     "The gradient of the heads is reshaped straight to (heads, T, hd); it has to be reshaped to (T, heads, hd) and transposed.",
     ("x", "Wqk", "Wv"), ("transpose", "shape"))


def ffn_ln_fwd(x, g, b, W1, W2):
    mu = x.mean(-1, keepdims=True)
    rs = 1.0 / np.sqrt(((x - mu) ** 2).mean(-1, keepdims=True) + 1e-5)
    xh = (x - mu) * rs
    n = xh * g + b
    u = n @ W1
    t = np.tanh(0.7978845608028654 * (u + 0.044715 * u ** 3))
    h = 0.5 * u * (1 + t)
    return x + h @ W2, (x, g, W1, W2, rs, xh, n, u, t, h)


def ffn_ln_bwd(dy, cache):
    x, g, W1, W2, rs, xh, n, u, t, h = cache
    dW2 = h.T @ dy
    dh = dy @ W2.T
    dt = 0.7978845608028654 * (1 + 3 * 0.044715 * u ** 2) * (1 - t * t)
    du = dh * (0.5 * (1 + t) + 0.5 * u * dt)
    dW1 = n.T @ du
    dn = du @ W1.T
    dg = (dn * xh).sum(0)
    db = dn.sum(0)
    dxh = dn * g
    dx = rs * (dxh - dxh.mean(-1, keepdims=True) - xh * (dxh * xh).mean(-1, keepdims=True))
    return {"x": dx + dy, "g": dg, "b": db, "W1": dW1, "W2": dW2}


def ffn_ln_bwd_gamma(dy, cache):
    x, g, W1, W2, rs, xh, n, u, t, h = cache
    dW2 = h.T @ dy
    dh = dy @ W2.T
    dt = 0.7978845608028654 * (1 + 3 * 0.044715 * u ** 2) * (1 - t * t)
    du = dh * (0.5 * (1 + t) + 0.5 * u * dt)
    dW1 = n.T @ du
    dn = du @ W1.T
    dg = (dn * xh).sum(0)
    db = dn.sum(0)
    dx = g * rs * (dn - dn.mean(-1, keepdims=True) - xh * (dn * xh).mean(-1, keepdims=True))
    return {"x": dx + dy, "g": dg, "b": db, "W1": dW1, "W2": dW2}


def _d(r):
    return (dict(x=r.normal(size=(4, 5)), g=1 + .6 * r.normal(size=5), b=r.normal(size=5), W1=r.normal(size=(5, 6)) * .5,
                 W2=r.normal(size=(6, 5))), None)


_add("prenorm_gelu_ffn", "transformer block, tanh GELU", ffn_ln_fwd, ffn_ln_bwd, _d)
_add("prenorm_gelu_ffn_gain_outside", "transformer block, tanh GELU", ffn_ln_fwd, ffn_ln_bwd_gamma, _d, False,
     "The gain g must multiply dn before the two row means are taken, not afterwards.", ("x",),
     ("elementwise-factor", "missing-term"))


# ------------------------------------------------------------------ recurrent cells

def rnn_fwd(x, h0, Wx, Wh, b):
    T = x.shape[0]
    hs = [h0]
    for t in range(T):
        hs.append(np.tanh(x[t] @ Wx + hs[-1] @ Wh + b))
    return np.stack(hs[1:]), (x, hs, Wx, Wh)


def rnn_bwd(dh, cache):
    x, hs, Wx, Wh = cache
    dx = np.zeros_like(x)
    dWx, dWh = np.zeros_like(Wx), np.zeros_like(Wh)
    db = np.zeros(Wh.shape[0])
    carry = 0
    for t in reversed(range(len(x))):
        dz = (dh[t] + carry) * (1 - hs[t + 1] ** 2)
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += hs[t + 1].T @ dz
        db += dz.sum(0)
        carry = dz @ Wh.T
    return dx, carry, dWx, dWh, db


_add("rnn_bptt_state_index", "minimal char-RNN manner", rnn_fwd, rnn_bwd,
     lambda r: (dict(x=r.normal(size=(4, 3, 2)), h0=r.normal(size=(3, 3)), Wx=r.normal(size=(2, 3)),
                     Wh=r.normal(size=(3, 3)) * .6, b=r.normal(size=3) * .3), None),
     False, "dWh needs the state before the step, hs[t], not hs[t + 1].", ("Wh",), ("elementwise-factor", "missing-term", "unknown"))


def _sg(a):
    return 1.0 / (1.0 + np.exp(-a))


def lstm_fwd(x, h0, c0, W, b):
    h, c, tape = h0, c0, []
    n = h0.shape[1]
    for xt in x:
        xh = np.hstack([xt, h])
        a = xh @ W + b
        i, f, o, g = _sg(a[:, :n]), _sg(a[:, n:2 * n]), _sg(a[:, 2 * n:3 * n]), np.tanh(a[:, 3 * n:])
        cp, c = c, f * c + i * g
        tc = np.tanh(c)
        h = o * tc
        tape.append((xh, i, f, o, g, cp, tc))
    return h, (tape, W, x.shape)


def lstm_bwd(dh, cache):
    tape, W, shp = cache
    dx, dW, db = np.empty(shp), 0.0 * W, 0.0 * W[0]
    dc = 0.0
    for t in range(len(tape) - 1, -1, -1):
        xh, i, f, o, g, cp, tc = tape[t]
        do = dh * tc
        dc = dc + dh * o * (1 - tc ** 2)
        da = np.hstack([dc * g * i * (1 - i), dc * cp * f * (1 - f), do * o * (1 - o), dc * i * (1 - g * g)])
        dW += xh.T @ da
        db += da.sum(0)
        dxh = da @ W.T
        dx[t], dh = np.split(dxh, [shp[2]], axis=1)
        dc = dc * f
    return {"x": dx, "h0": dh, "c0": dc, "W": dW, "b": db}


def lstm_bwd_carry(dh, cache):
    tape, W, shp = cache
    dx, dW, db = np.empty(shp), 0.0 * W, 0.0 * W[0]
    dc = 0.0
    for t in range(len(tape) - 1, -1, -1):
        xh, i, f, o, g, cp, tc = tape[t]
        do = dh * tc
        dc = dc + dh * o * (1 - tc ** 2)
        da = np.hstack([dc * g * i * (1 - i), dc * cp * f * (1 - f), do * o * (1 - o), dc * i * (1 - g * g)])
        dW += xh.T @ da
        db += da.sum(0)
        dxh = da @ W.T
        dx[t], dh = np.split(dxh, [shp[2]], axis=1)
        dc = dc * i
    return {"x": dx, "h0": dh, "c0": dc, "W": dW, "b": db}


def _d(r):
    return (dict(x=r.normal(size=(3, 3, 2)), h0=r.normal(size=(3, 2)), c0=r.normal(size=(3, 2)) * 1.5,
                 W=r.normal(size=(4, 8)), b=r.normal(size=8)), None)


_add("lstm_last_state", "recurrent cell, fused gates", lstm_fwd, lstm_bwd, _d)
_add("lstm_carry_gate", "recurrent cell, fused gates", lstm_fwd, lstm_bwd_carry, _d, False,
     "The cell gradient is carried back with the input gate i; it belongs times the forget gate f.",
     ("x", "h0", "c0", "W", "b"), ("elementwise-factor", "unknown"))


def gru_fwd(x, h, Wz, Uz, Wr, Ur, Wn, Un):
    z = _sg(x @ Wz + h @ Uz)
    r = _sg(x @ Wr + h @ Ur)
    n = np.tanh(x @ Wn + (r * h) @ Un)
    return (1 - z) * n + z * h, (x, h, Wz, Uz, Wr, Ur, Wn, Un, z, r, n)


def gru_bwd(dout, cache):
    x, h, Wz, Uz, Wr, Ur, Wn, Un, z, r, n = cache
    dz = dout * (h - n) * z * (1 - z)
    dn = dout * (1 - z) * (1 - n ** 2)
    drh = dn @ Un.T
    dr = drh * h * r * (1 - r)
    dx = dz @ Wz.T + dr @ Wr.T + dn @ Wn.T
    dh = dz @ Uz.T + dr @ Ur.T + dout * z
    return (dx, dh, x.T @ dz, h.T @ dz, x.T @ dr, h.T @ dr, x.T @ dn, (r * h).T @ dn)


_add("gru_cell_candidate_path", "recurrent cell, separate matrices", gru_fwd, gru_bwd,
     lambda r: (dict(x=r.normal(size=(4, 2)), h=r.normal(size=(4, 3)),
                     **{k: r.normal(size=((2 if k[0] == "W" else 3), 3)) for k in ("Wz", "Uz", "Wr", "Ur", "Wn", "Un")}), None),
     False, "dh lacks the path through the candidate, drh * r.", ("h",), ("missing-term",))


# ------------------------------------------------------------------ graphs

def gcn_fwd(X, W0, W1, A, y, train):
    Ah = A / A.sum(1, keepdims=True)
    P = Ah @ X
    H = np.maximum(P @ W0, 0)
    Q = Ah @ H
    Z = Q @ W1
    S = np.exp(Z - Z.max(1, keepdims=True))
    S /= S.sum(1, keepdims=True)
    return -np.log(S[train, y[train]]).mean(), (Ah, P, H, Q, S, W0, W1, y, train)


def gcn_bwd(g, cache):
    Ah, P, H, Q, S, W0, W1, y, train = cache
    dZ = np.zeros_like(S)
    dZ[train] = S[train]
    dZ[train, y[train]] -= 1
    dZ *= g / len(train)
    dW1 = Q.T @ dZ
    dH = Ah @ (dZ @ W1.T)
    dP = dH * (H > 0)
    dW0 = P.T @ dP
    dX = Ah.T @ (dP @ W0.T)
    return {"X": dX, "W0": dW0, "W1": dW1}


def _d(r):
    A = np.eye(5)
    for i, j in [(0, 1), (0, 2), (0, 3), (1, 2), (3, 4)]:
        A[i, j] = A[j, i] = 1
    return (dict(X=r.normal(size=(5, 4)), W0=r.normal(size=(4, 5)), W1=r.normal(size=(5, 3))),
            dict(A=A, y=np.array([0, 1, 2, 1, 0]), train=np.array([0, 2, 4])))


_add("gcn_row_normalised", "graph networks, semi-supervised", gcn_fwd, gcn_bwd, _d, False,
     "The row-normalised adjacency is not symmetric: dH needs Ah.T.", ("X", "W0"), ("transpose",), seed=3)


def gcn_sym_fwd(X, W0, W1, edges):
    n = len(X)
    A = np.eye(n)
    A[edges[:, 0], edges[:, 1]] = A[edges[:, 1], edges[:, 0]] = 1
    d = A.sum(0) ** -0.5
    L = d[:, None] * A * d
    H = np.tanh(L @ X @ W0)
    return L @ H @ W1, (L, X, H, W0, W1)


def gcn_sym_bwd(dY, cache):
    L, X, H, W0, W1 = cache
    LdY = L @ dY                      # L is symmetric
    dpre = L @ ((LdY @ W1.T) * (1 - H * H))
    return dpre @ W0.T, X.T @ dpre, H.T @ LdY


_add("gcn_symmetric_no_transpose", "graph networks, edge lists", gcn_sym_fwd, gcn_sym_bwd,
     lambda r: (dict(X=r.normal(size=(6, 3)), W0=r.normal(size=(3, 4)), W1=r.normal(size=(4, 2))),
                dict(edges=np.array([[0, 1], [1, 2], [2, 3], [0, 4], [4, 5]]))))


def mpnn_fwd(h, We, Wu, src, dst):
    m = np.tanh(np.concatenate([h[src], h[dst]], 1) @ We)
    agg = np.zeros((len(h), We.shape[1]))
    np.add.at(agg, dst, m)
    return h + agg @ Wu, (h, We, Wu, src, dst, m, agg)


def mpnn_bwd(dout, cache):
    h, We, Wu, src, dst, m, agg = cache
    dWu = agg.T @ dout
    dm = (dout @ Wu.T)[dst] * (1 - m ** 2)
    pair = np.concatenate([h[src], h[dst]], 1)
    dWe = pair.T @ dm
    dpair = dm @ We.T
    dh = dout.copy()
    k = h.shape[1]
    np.add.at(dh, src, dpair[:, :k])
    dh[dst] += dpair[:, k:]
    return {"h": dh, "We": dWe, "Wu": dWu}


_add("message_passing_scatter", "graph networks, gather and scatter", mpnn_fwd, mpnn_bwd,
     lambda r: (dict(h=r.normal(size=(5, 3)), We=r.normal(size=(6, 4)), Wu=r.normal(size=(4, 3))),
                dict(src=np.array([0, 1, 2, 3, 4, 2, 0]), dst=np.array([1, 0, 1, 1, 3, 3, 2]))),
     False, "dh[dst] += ... keeps only the last of repeated nodes; np.add.at(dh, dst, ...) is needed.", ("h",),
     ("batch-sum", "missing-term"))


# ------------------------------------------------------------------ residual, highway, gates, experts

def resblock_fwd(x, W1, W2, Ws):
    z1 = x @ W1
    h = np.maximum(z1, 0)
    u = h @ W2 + x @ Ws
    return np.maximum(u, 0), (x, z1, h, u, W1, W2, Ws)


def resblock_bwd(dout, cache):
    x, z1, h, u, W1, W2, Ws = cache
    du = dout * (u > 0)
    dW2 = h.T @ du
    dz1 = (du @ W2.T) * (z1 > 0)
    dx = dz1 @ W1.T
    return {"x": dx, "W1": x.T @ dz1, "W2": dW2, "Ws": x.T @ du}


_add("residual_projection_shortcut", "ResNet port", resblock_fwd, resblock_bwd,
     lambda r: (dict(x=r.normal(size=(5, 3)), W1=r.normal(size=(3, 4)), W2=r.normal(size=(4, 4)), Ws=r.normal(size=(3, 4))), None),
     False, "dx lacks the shortcut's path du @ Ws.T.", ("x",), ("missing-term",))


def highway_fwd(x, Wh, bh, Wt, bt):
    H = np.tanh(x @ Wh + bh)
    T = _sg(x @ Wt + bt)
    return T * H + (1 - T) * x, dict(x=x, H=H, T=T, Wh=Wh, Wt=Wt)


def highway_bwd(dy, c):
    x, H, T = c["x"], c["H"], c["T"]
    dH = dy * T * (1 - H ** 2)
    dT = dy * (H - x) * T * (1 - T)
    dx = dH @ c["Wh"].T + dT @ c["Wt"].T + dy * T
    return dict(x=dx, Wh=x.T @ dH, bh=dH.sum(0), Wt=x.T @ dT, bt=dT.sum(0))


_add("highway_carry", "research code, cache dict", highway_fwd, highway_bwd,
     lambda r: (dict(x=r.normal(size=(4, 3)), Wh=r.normal(size=(3, 3)), bh=r.normal(size=3), Wt=r.normal(size=(3, 3)),
                     bt=r.normal(size=3) - 1), None),
     False, "The carry path is dy * (1 - T), not dy * T.", ("x",), ("elementwise-factor", "missing-term"))


def moe_fwd(x, Wg, We):
    # We: (experts, in, out)
    g = np.exp(x @ Wg)
    g = g / g.sum(1, keepdims=True)
    e = np.tanh(np.einsum('ni,kio->nko', x, We))
    return np.einsum('nk,nko->no', g, e), (x, Wg, We, g, e)


def moe_bwd(dy, cache):
    x, Wg, We, g, e = cache
    dg = np.einsum('no,nko->nk', dy, e)
    dlogit = g * (1 - g) * dg
    de = g[:, :, None] * dy[:, None, :] * (1 - e ** 2)
    dWe = np.einsum('ni,nko->kio', x, de)
    dx = dlogit @ Wg.T + np.einsum('nko,kio->ni', de, We)
    return {"x": dx, "Wg": x.T @ dlogit, "We": dWe}


_add("mixture_of_experts_gate", "mixture of experts, einsum", moe_fwd, moe_bwd,
     lambda r: (dict(x=r.normal(size=(5, 3)), Wg=r.normal(size=(3, 3)), We=r.normal(size=(3, 3, 2))), None),
     False, "The gate's softmax backward takes the diagonal g(1-g) only; it is g * (dg - sum(g*dg)).", ("x", "Wg"),
     ("missing-term", "elementwise-factor"))


def moe_top1_fwd(x, Wg, We, be):
    logits = x @ Wg
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    k = p.argmax(1)
    rows = np.arange(len(x))
    pre = np.stack([x[i] @ We[k[i]] + be[k[i]] for i in rows])
    return p[rows, k][:, None] * pre, (x, Wg, We, p, k, pre)


def moe_top1_bwd(dy, cache):
    x, Wg, We, p, k, pre = cache
    n = len(x)
    dx = np.zeros_like(x)
    dWe = np.zeros_like(We)
    dbe = np.zeros((We.shape[0], We.shape[2]))
    dl = np.zeros_like(p)
    for i in range(n):
        dpre = dy[i] * p[i, k[i]]
        dWe[k[i]] += x[i][:, None] * dpre[None]
        dbe[k[i]] += dpre
        dx[i] += We[k[i]] @ dpre
        dp = float(dy[i] @ pre[i])
        dl[i] = -p[i] * p[i, k[i]] * dp
        dl[i, k[i]] += p[i, k[i]] * dp
    return {"x": dx + dl @ Wg.T, "Wg": x.T @ dl, "We": dWe, "be": dbe}


_add("switch_top1_routing", "mixture of experts, loops", moe_top1_fwd, moe_top1_bwd,
     lambda r: (dict(x=r.normal(size=(6, 2)) * 2, Wg=r.normal(size=(2, 3)), We=r.normal(size=(3, 2, 3)), be=r.normal(size=(3, 3))), None))


def se_fwd(x, W1, W2):
    B, C, H, W = x.shape
    s = x.mean(axis=(2, 3))
    a = np.maximum(s @ W1, 0)
    e = _sg(a @ W2)
    return x * e[:, :, None, None], (x, s, a, e, W1, W2)


def se_bwd(dy, cache):
    x, s, a, e, W1, W2 = cache
    de = (dy * x).sum(axis=(2, 3))
    dpre = de * e * (1 - e)
    dW2 = a.T @ dpre
    da = dpre @ W2.T * (a > 0)
    dW1 = s.T @ da
    ds = da @ W1.T
    dx = dy * e[:, :, None, None] + ds[:, :, None, None]
    return dx, dW1, dW2


_add("squeeze_excitation", "vision, NCHW", se_fwd, se_bwd,
     lambda r: (dict(x=r.normal(size=(3, 3, 2, 2)) + .7, W1=r.normal(size=(3, 4)) + .3, W2=r.normal(size=(4, 3)) * 1.5), None),
     False, "The squeeze is a mean: its gradient must be divided by H*W.", ("x",), ("factor", "missing-term", "elementwise-factor"))


# ------------------------------------------------------------------ metric learning

def siamese_fwd(xa, xb, W, b, same, margin):
    ea, eb = np.tanh(xa @ W + b), np.tanh(xb @ W + b)
    diff = ea - eb
    d = np.sqrt((diff ** 2).sum(1) + 1e-9)
    gap = np.maximum(margin - d, 0)
    loss = np.mean(same * d ** 2 + (1 - same) * gap ** 2)
    return loss, (xa, xb, W, ea, eb, diff, d, gap, same)


def siamese_bwd(dl, cache):
    xa, xb, W, ea, eb, diff, d, gap, same = cache
    n = len(xa)
    dd = dl * (2 * same * d - 2 * (1 - same) * gap) / n
    ddiff = (dd / d)[:, None] * diff
    dza = ddiff * (1 - ea ** 2)
    dzb = -ddiff * (1 - eb ** 2)
    return {"xa": dza @ W.T, "xb": dzb @ W.T, "W": xa.T @ dza, "b": dza.sum(0)}


_add("siamese_contrastive", "metric learning, shared tower", siamese_fwd, siamese_bwd,
     lambda r: (dict(xa=r.normal(size=(5, 3)), xb=r.normal(size=(5, 3)), W=r.normal(size=(3, 2)) * .6, b=r.normal(size=2)),
                dict(same=np.array([1, 0, 1, 0, 0]), margin=3.0)),
     False, "The tower is shared: W and b lack the second branch (xb.T @ dzb, dzb.sum(0)).", ("W", "b"), ("missing-term",))


def triplet_fwd(anchor, pos, neg, W, alpha):
    fa, fp, fn = anchor @ W, pos @ W, neg @ W
    dp = ((fa - fp) ** 2).sum(1)
    dn = ((fa - fn) ** 2).sum(1)
    v = dp - dn + alpha
    return np.maximum(v, 0).sum(), (anchor, pos, neg, W, fa, fp, fn, v)


def triplet_bwd(g, cache):
    anchor, pos, neg, W, fa, fp, fn, v = cache
    act = g * (v > 0)[:, None]
    dfa = 2 * act * (fn - fp)
    dfp = -2 * act * (fa - fp)
    dfn = 2 * act * (fa - fn)
    dW = anchor.T @ dfa + pos.T @ dfp + neg.T @ dfn
    return dfa @ W.T, dfp @ W.T, dfn @ W.T, dW


def triplet_bwd_bad(g, cache):
    anchor, pos, neg, W, fa, fp, fn, v = cache
    act = g * (v > 0)[:, None]
    dfa = 2 * act * (fn - fp)
    dfp = 2 * act * (fa - fp)
    dfn = 2 * act * (fa - fn)
    dW = anchor.T @ dfa + pos.T @ dfp + neg.T @ dfn
    return dfa @ W.T, dfp @ W.T, dfn @ W.T, dW


def _d(r):
    return (dict(anchor=r.normal(size=(5, 3)), pos=r.normal(size=(5, 3)), neg=r.normal(size=(5, 3)), W=r.normal(size=(3, 3))),
            dict(alpha=2.0))


_add("triplet_embedding_right", "metric learning, shared tower", triplet_fwd, triplet_bwd, _d)
_add("triplet_embedding_sign", "metric learning, shared tower", triplet_fwd, triplet_bwd_bad, _d, False,
     "The gradient of the positive, dfp, has the wrong sign; dW inherits it.", ("pos", "W"), ("sign", "missing-term"))


def infonce_fwd(u, v, W, tau):
    a, b = u @ W, v @ W
    na, nb = np.linalg.norm(a, axis=1, keepdims=True), np.linalg.norm(b, axis=1, keepdims=True)
    ah, bh = a / na, b / nb
    S = ah @ bh.T / tau
    lse = np.log(np.exp(S).sum(1))
    return float(np.mean(lse - np.diag(S))), (u, v, W, na, nb, ah, bh, S, lse, tau)


def infonce_bwd(g, cache):
    u, v, W, na, nb, ah, bh, S, lse, tau = cache
    n = len(u)
    dS = g * (np.exp(S - lse[:, None]) - np.eye(n)) / n
    dah = dS @ bh / tau
    dbh = dS.T @ ah / tau
    da = (dah - ah * (dah * ah).sum(1, keepdims=True)) / na
    db = dbh / nb
    return {"u": da @ W.T, "v": db @ W.T, "W": u.T @ da + v.T @ db}


_add("infonce_normalised_views", "self-supervised research code", infonce_fwd, infonce_bwd,
     lambda r: (dict(u=r.normal(size=(4, 3)), v=r.normal(size=(4, 3)), W=r.normal(size=(3, 3))), dict(tau=0.5)),
     False, "The second view's normalisation takes no projection: db = (dbh - bh*sum(dbh*bh))/nb.", ("v", "W"), ("missing-term",))


# ------------------------------------------------------------------ reinforcement learning

def a2c_fwd(obs, W1, Wpi, Wv, acts, adv, ret, vf, ent):
    h = np.tanh(obs @ W1)
    logit = h @ Wpi
    m = logit.max(1, keepdims=True)
    logp = logit - m - np.log(np.exp(logit - m).sum(1, keepdims=True))
    v = (h @ Wv)[:, 0]
    p = np.exp(logp)
    H = -(p * logp).sum(1)
    pg = -(adv * logp[np.arange(len(obs)), acts]).mean()
    loss = pg + vf * ((ret - v) ** 2).mean() - ent * H.mean()
    return loss, (obs, W1, Wpi, Wv, h, logp, p, v, H, acts, adv, ret, vf, ent)


def a2c_bwd(dloss, cache):
    obs, W1, Wpi, Wv, h, logp, p, v, H, acts, adv, ret, vf, ent = cache
    n = len(obs)
    onehot = np.eye(p.shape[1])[acts]
    dlogit = adv[:, None] * (p - onehot) / n
    dlogit += ent * -p * (logp + H[:, None]) / n
    dv = 2 * vf * (v - ret) / n
    dWpi, dWv = h.T @ dlogit, h.T @ dv[:, None]
    dh = dlogit @ Wpi.T + dv[:, None] @ Wv.T
    dz = dh * (1 - h ** 2)
    return {k: dloss * g for k, g in dict(obs=dz @ W1.T, W1=obs.T @ dz, Wpi=dWpi, Wv=dWv).items()}


_add("a2c_entropy_bonus", "reinforcement-learning baselines", a2c_fwd, a2c_bwd,
     lambda r: (dict(obs=r.normal(size=(5, 3)), W1=r.normal(size=(3, 4)), Wpi=r.normal(size=(4, 3)), Wv=r.normal(size=(4, 1))),
                dict(acts=np.array([0, 2, 1, 1, 0]), adv=r.normal(size=5), ret=r.normal(size=5), vf=0.5, ent=0.4)),
     False, "The entropy bonus enters the loss with a minus; its gradient is + ent*p*(logp+H).", ("obs", "W1", "Wpi"),
     ("sign", "missing-term"))


def ppo_fwd(obs, W, logstd, act, logp_old, adv, clip):
    mu = obs @ W
    z = (act - mu) * np.exp(-logstd)
    logp = (-0.5 * z ** 2 - logstd - 0.5 * np.log(2 * np.pi)).sum(1)
    ratio = np.exp(logp - logp_old)
    s1, s2 = ratio * adv, np.clip(ratio, 1 - clip, 1 + clip) * adv
    return -np.minimum(s1, s2).mean(), (obs, W, logstd, z, ratio, s1, s2, adv)


def ppo_bwd(g, cache):
    obs, W, logstd, z, ratio, s1, s2, adv = cache
    dlogp = -g / len(obs) * np.where(s1 <= s2, adv, 0.0) * ratio
    dmu = dlogp[:, None] * z * np.exp(-logstd)
    dls = (dlogp[:, None] * (z ** 2 - 1)).sum(0)
    return {"obs": dmu @ W.T, "W": obs.T @ dmu, "logstd": dls}


def ppo_bwd_ratio(g, cache):
    obs, W, logstd, z, ratio, s1, s2, adv = cache
    dlogp = -g / len(obs) * np.where(s1 <= s2, adv, 0.0)
    dmu = dlogp[:, None] * z * np.exp(-logstd)
    dls = (dlogp[:, None] * (z ** 2 - 1)).sum(0)
    return {"obs": dmu @ W.T, "W": obs.T @ dmu, "logstd": dls}


def _d(r):
    obs, W, ls = r.normal(size=(6, 3)), r.normal(size=(3, 2)), np.array([.2, -.3])
    act = obs @ W + r.normal(size=(6, 2))
    lp = (-0.5 * ((act - obs @ W) * np.exp(-ls)) ** 2 - ls - .5 * np.log(2 * np.pi)).sum(1)
    return (dict(obs=obs, W=W, logstd=ls),
            dict(act=act, logp_old=lp + np.array([.5, -.1, .05, -.6, -.15, .4]), adv=np.array([1.2, -.7, .9, 1.1, -1.4, -.8]), clip=0.2))


_add("ppo_gaussian_clipped", "reinforcement-learning baselines", ppo_fwd, ppo_bwd, _d)
_add("ppo_gaussian_no_ratio", "reinforcement-learning baselines", ppo_fwd, ppo_bwd_ratio, _d, False,
     "d ratio / d logp is the ratio itself; dlogp lacks it.", ("obs", "W", "logstd"), ("elementwise-factor",))


def dueling_fwd(s, W1, Wv, Wa, a, target, delta):
    h = np.maximum(s @ W1, 0)
    V, A = h @ Wv, h @ Wa
    Q = V + A - A.mean(1, keepdims=True)
    err = Q[np.arange(len(s)), a] - target
    hub = np.where(np.abs(err) < delta, 0.5 * err ** 2, delta * (np.abs(err) - 0.5 * delta))
    return hub.mean(), (s, W1, Wv, Wa, h, Q, err, a, delta)


def dueling_bwd(dl, cache):
    s, W1, Wv, Wa, h, Q, err, a, delta = cache
    dQ = np.zeros_like(Q)
    dQ[np.arange(len(s)), a] = np.clip(err, -delta, delta) * dl / len(s)
    dV = dQ.sum(1, keepdims=True)
    dA = dQ
    dh = dV @ Wv.T + dA @ Wa.T
    dz = dh * (h > 0)
    return dz @ W1.T, s.T @ dz, h.T @ dV, h.T @ dA


_add("dueling_dqn_huber", "reinforcement learning, value nets", dueling_fwd, dueling_bwd,
     lambda r: (dict(s=r.normal(size=(5, 3)), W1=r.normal(size=(3, 5)), Wv=r.normal(size=(5, 1)), Wa=r.normal(size=(5, 3))),
                dict(a=np.array([0, 1, 2, 2, 0]), target=r.normal(size=5), delta=1.0)),
     False, "A's mean is taken off in the forward: dA = dQ - dQ.mean(1, keepdims=True).", ("s", "W1", "Wa"), ("missing-term",))


# ------------------------------------------------------------------ convolutions

def conv1d_fwd(x, K, W, b):
    # x (B, C, L), K (F, C, k), valid
    B, C, L = x.shape
    F, _, k = K.shape
    n = L - k + 1
    z = np.zeros((B, F, n))
    for t in range(n):
        z[:, :, t] = np.tensordot(x[:, :, t:t + k], K, axes=([1, 2], [1, 2]))
    h = np.maximum(z, 0)
    pooled = h.mean(2)
    return pooled @ W + b, (x, K, W, z, pooled)


def conv1d_bwd(dy, cache):
    x, K, W, z, pooled = cache
    F, _, k = K.shape
    n = z.shape[2]
    dW, db = pooled.T @ dy, dy.sum(0)
    dz = (dy @ W.T)[:, :, None] / n * (z > 0)
    dx, dK = np.zeros_like(x), np.zeros_like(K)
    for t in range(n):
        dK += np.einsum('bf,bck->fck', dz[:, :, t], x[:, :, t:t + k])
        dx[:, :, t:t + k] += np.einsum('bf,fck->bck', dz[:, :, t], K[:, :, ::-1])
    return dx, dK, dW, db


_add("text_cnn_flipped_kernel", "NLP, convolution by loop", conv1d_fwd, conv1d_bwd,
     lambda r: (dict(x=r.normal(size=(3, 2, 6)), K=r.normal(size=(4, 2, 3)), W=r.normal(size=(4, 2)), b=r.normal(size=2)), None),
     False, "dx spreads the kernel flipped; in this windowed form it must go back unflipped.", ("x",), ("transpose",))


def im2col(x, k):
    B, C, H, W = x.shape
    oh, ow = H - k + 1, W - k + 1
    col = np.empty((B, C, k, k, oh, ow))
    for i in range(k):
        for j in range(k):
            col[:, :, i, j] = x[:, :, i:i + oh, j:j + ow]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(B * oh * ow, -1)


def lenet_fwd(x, K, bk, W, b):
    B, C, H, _ = x.shape
    F, _, k, _ = K.shape
    o = H - k + 1
    col = im2col(x, k)
    z = (col @ K.reshape(F, -1).T + bk).reshape(B, o, o, F).transpose(0, 3, 1, 2)
    h = np.tanh(z)
    p = h.reshape(B, F, o // 2, 2, o // 2, 2).max(axis=(3, 5))
    flat = p.reshape(B, -1)
    return flat @ W + b, (x, K, W, col, h, p, flat)


def lenet_bwd(dy, cache):
    x, K, W, col, h, p, flat = cache
    B, C, H, _ = x.shape
    F, _, k, _ = K.shape
    o = H - k + 1
    dp = (dy @ W.T).reshape(p.shape)
    up = lambda a: a.repeat(2, axis=2).repeat(2, axis=3)
    dz = up(dp) * (h == up(p)) * (1 - h * h)
    flatz = dz.transpose(0, 2, 3, 1).reshape(-1, F)
    dK = (flatz.T @ col).reshape(K.shape)
    dcol = (flatz @ K.reshape(F, -1)).reshape(B, o, o, C, k, k)
    dx = np.zeros_like(x)
    for i in range(k):
        for j in range(k):
            dx[:, :, i:i + o, j:j + o] += dcol[:, :, :, :, i, j].transpose(0, 3, 1, 2)
    return {"x": dx, "K": dK, "bk": flatz.sum(0), "W": flat.T @ dy, "b": dy.sum(0)}


def lenet_bwd_assign(dy, cache):
    x, K, W, col, h, p, flat = cache
    B, C, H, _ = x.shape
    F, _, k, _ = K.shape
    o = H - k + 1
    dp = (dy @ W.T).reshape(p.shape)
    up = lambda a: a.repeat(2, axis=2).repeat(2, axis=3)
    dz = up(dp) * (h == up(p)) * (1 - h * h)
    flatz = dz.transpose(0, 2, 3, 1).reshape(-1, F)
    dK = (flatz.T @ col).reshape(K.shape)
    dcol = (flatz @ K.reshape(F, -1)).reshape(B, o, o, C, k, k)
    dx = np.zeros_like(x)
    for i in range(k):
        for j in range(k):
            dx[:, :, i:i + o, j:j + o] = dcol[:, :, :, :, i, j].transpose(0, 3, 1, 2)
    return {"x": dx, "K": dK, "bk": flatz.sum(0), "W": flat.T @ dy, "b": dy.sum(0)}


def _d_img(r):
    return (dict(x=r.normal(size=(3, 1, 3, 3)), K=r.normal(size=(3, 1, 2, 2)), bk=r.normal(size=3),
                 W=r.normal(size=(3, 2)), b=r.normal(size=2)), None)


_add("im2col_conv_maxpool_net", "vision, im2col", lenet_fwd, lenet_bwd, _d_img)
_add("im2col_col2im_overwrites", "vision, im2col", lenet_fwd, lenet_bwd_assign, _d_img, False,
     "col2im assigns the overlapping patches instead of adding them (+=).", ("x",), ("missing-term", "unknown"))


# ------------------------------------------------------------------ autoencoders, factorisation

def tied_ae_fwd(x, W, b, c):
    h = _sg(x @ W + b)
    r = h @ W.T + c
    return 0.5 * ((r - x) ** 2).sum() / len(x), (x, W, h, r)


def tied_ae_bwd(g, cache):
    x, W, h, r = cache
    dr = g * (r - x) / len(x)
    dz = (dr @ W) * h * (1 - h)
    return {"x": dz @ W.T, "W": x.T @ dz + dr.T @ h, "b": dz.sum(0), "c": dr.sum(0)}


_add("tied_autoencoder_target", "autoencoders, tied weights", tied_ae_fwd, tied_ae_bwd,
     lambda r: (dict(x=r.normal(size=(5, 4)), W=r.normal(size=(4, 3)), b=r.normal(size=3), c=r.normal(size=4)), None),
     False, "x is also the target: dx lacks - dr.", ("x",), ("missing-term",))


class SparseAE:
    """UFLDL style: squared error, weight decay, KL sparsity on mean activations; columns are examples."""

    def __init__(self, lam=0.1, rho=0.2, beta=0.7):
        self.lam, self.rho, self.beta = lam, rho, beta

    def forward(self, X, W1, b1, W2, b2):
        m = X.shape[1]
        a2 = _sg(W1 @ X + b1[:, None])
        a3 = _sg(W2 @ a2 + b2[:, None])
        rh = a2.mean(1)
        kl = (self.rho * np.log(self.rho / rh) + (1 - self.rho) * np.log((1 - self.rho) / (1 - rh))).sum()
        J = ((a3 - X) ** 2).sum() / (2 * m) + self.lam / 2 * ((W1 ** 2).sum() + (W2 ** 2).sum()) + self.beta * kl
        return J, (X, W1, W2, a2, a3, rh)

    def backward(self, dJ, cache):
        X, W1, W2, a2, a3, rh = cache
        m = X.shape[1]
        d3 = (a3 - X) * a3 * (1 - a3) / m
        sparse = self.beta * (-self.rho / rh + (1 - self.rho) / (1 - rh)) / m
        d2 = (W2.T @ d3 + sparse[:, None]) * a2 * (1 - a2)
        return {"X": dJ * (W1.T @ d2 - (a3 - X) / m), "W1": dJ * (d2 @ X.T + self.lam * W1), "b1": dJ * d2.sum(1),
                "W2": dJ * (d3 @ a2.T + self.lam * W2), "b2": dJ * d3.sum(1)}


class SparseAEBad(SparseAE):
    def backward(self, dJ, cache):
        X, W1, W2, a2, a3, rh = cache
        m = X.shape[1]
        d3 = (a3 - X) * a3 * (1 - a3) / m
        sparse = self.beta * (-self.rho / rh + (1 - self.rho) / (1 - rh)) / m
        d2 = W2.T @ d3 * a2 * (1 - a2) + sparse[:, None]
        return {"X": dJ * (W1.T @ d2 - (a3 - X) / m), "W1": dJ * (d2 @ X.T + self.lam * W1), "b1": dJ * d2.sum(1),
                "W2": dJ * (d3 @ a2.T + self.lam * W2), "b2": dJ * d3.sum(1)}


def _d(r):
    return (dict(X=r.random((4, 6)), W1=r.normal(size=(3, 4)), b1=r.normal(size=3), W2=r.normal(size=(4, 3)), b2=r.normal(size=4)), None)


_add_obj("sparse_autoencoder_right", "features-first course, class", SparseAE, _d)
_add_obj("sparse_autoencoder_kl_slope", "features-first course, class", SparseAEBad, _d, False,
         "The sparsity term must be inside the bracket, times a2*(1-a2) as well.", ("X", "W1", "b1"),
         ("elementwise-factor", "missing-term"))


def mf_fwd(P, Q, bu, bi, users, items, ratings, lam):
    pred = (P[users] * Q[items]).sum(1) + bu[users] + bi[items]
    e = ratings - pred
    return (e ** 2).sum() + lam * ((P ** 2).sum() + (Q ** 2).sum()), (P, Q, bu, bi, users, items, e, lam)


def mf_bwd(g, cache):
    P, Q, bu, bi, users, items, e, lam = cache
    dP, dQ = 2 * lam * P, 2 * lam * Q
    dbu, dbi = np.zeros_like(bu), np.zeros_like(bi)
    for u, i, err in zip(users, items, e):
        dP[u] -= 2 * err * Q[i]
        dQ[i] -= 2 * err * P[u]
        dbu[u] -= 2 * err
        dbi[i] = -2 * err
    return g * dP, g * dQ, g * dbu, g * dbi


_add("recommender_biased_mf", "recommender notebook, SGD loops", mf_fwd, mf_bwd,
     lambda r: (dict(P=r.normal(size=(4, 2)), Q=r.normal(size=(3, 2)), bu=r.normal(size=4), bi=r.normal(size=3)),
                dict(users=[0, 0, 1, 2, 3, 3], items=[0, 2, 1, 0, 1, 2], ratings=np.array([4., 3., 5., 1., 2., 4.]), lam=.1)),
     False, "dbi is assigned, not accumulated: items with several ratings keep only the last.", ("bi",), ("batch-sum", "missing-term"))


def nmf_mask_fwd(U, V, M, mask):
    R = mask * (M - U @ V.T)
    return 0.5 * (R ** 2).sum(), (U, V, M, mask, R)


def nmf_mask_bwd(g, cache):
    U, V, M, mask, R = cache
    return {"U": -g * R @ V, "V": -g * (M - U @ V.T).T @ U, "M": g * R}


_add("masked_matrix_completion", "linear algebra notebook", nmf_mask_fwd, nmf_mask_bwd,
     lambda r: (dict(U=r.normal(size=(5, 2)), V=r.normal(size=(4, 2)), M=r.normal(size=(5, 4))),
                dict(mask=(r.random((5, 4)) < .6).astype(int))),
     False, "dV uses the residual of all entries; the mask is missing.", ("V",), ("elementwise-factor", "missing-term"))


def fm_fwd(x, w0, w, V, y):
    s = x @ V
    yhat = w0 + x @ w + 0.5 * (s ** 2 - (x ** 2) @ (V ** 2)).sum(1)
    m = y * yhat
    return np.logaddexp(0, -m).mean(), (x, w, V, s, m, y)


def fm_bwd(g, cache):
    x, w, V, s, m, y = cache
    d = -g * y / (1 + np.exp(m)) / len(y)
    dV = x.T @ (d[:, None] * s) - ((d[:, None] * x ** 2).sum(0))[:, None] * V
    dx = d[:, None] * (w + s @ V.T - x * (V ** 2).sum(1))
    return dx, np.array(d.sum()), x.T @ d, dV


_add("factorization_machine_logistic", "click prediction", fm_fwd, fm_bwd,
     lambda r: (dict(x=r.normal(size=(5, 4)), w0=np.array(0.3), w=r.normal(size=4), V=r.normal(size=(4, 2))),
                dict(y=np.array([1, -1, -1, 1, 1]))))


# ------------------------------------------------------------------ Gaussian processes, statistics

def gp_nll(X, y, log_ell, log_sf, log_sn):
    D2 = ((X[:, None] - X[None]) ** 2).sum(-1)
    Kf = np.exp(2 * log_sf - 0.5 * D2 * np.exp(-2 * log_ell))
    K = Kf + np.exp(2 * log_sn) * np.eye(len(y))
    cf = cho_factor(K, lower=True)
    alpha = cho_solve(cf, y)
    nll = 0.5 * y @ alpha + np.log(np.diag(cf[0])).sum() + 0.5 * len(y) * np.log(2 * np.pi)
    return nll, (X, y, D2, Kf, cf, alpha, log_ell, log_sf, log_sn)


def gp_nll_bwd(g, cache):
    X, y, D2, Kf, cf, alpha, log_ell, log_sf, log_sn = cache
    n = len(y)
    G = 0.5 * g * (cho_solve(cf, np.eye(n)) - np.outer(alpha, alpha))
    GK = G * Kf
    il2 = np.exp(-2 * log_ell)
    dX = -2 * il2 * (GK.sum(1)[:, None] * X - GK @ X)
    return {"X": dX, "y": g * alpha, "log_ell": np.sum(GK * D2) * il2, "log_sf": 2 * GK.sum(),
            "log_sn": 2 * np.exp(2 * log_sn) * np.trace(G)}


def gp_nll_bwd_noise(g, cache):
    X, y, D2, Kf, cf, alpha, log_ell, log_sf, log_sn = cache
    n = len(y)
    G = 0.5 * g * (cho_solve(cf, np.eye(n)) - np.outer(alpha, alpha))
    GK = G * Kf
    il2 = np.exp(-2 * log_ell)
    dX = -il2 * (GK.sum(1)[:, None] * X - GK @ X)
    return {"X": dX, "y": g * alpha, "log_ell": np.sum(GK * D2) * il2, "log_sf": 2 * GK.sum(),
            "log_sn": 2 * np.exp(2 * log_sn) * np.trace(G)}


def _d(r):
    return (dict(X=r.normal(size=(5, 2)), y=r.normal(size=5), log_ell=np.array(.2), log_sf=np.array(.1), log_sn=np.array(-.7)), None)


_add("gp_marginal_likelihood", "Gaussian processes, Cholesky", gp_nll, gp_nll_bwd, _d)
_add("gp_marginal_likelihood_inputs", "Gaussian processes, Cholesky", gp_nll, gp_nll_bwd_noise, _d, False,
     "Each point is in a row and in a column of K: dX is half of what it should be.", ("X",), ("factor",))


def gp_pred_fwd(Xtr, y, Xte, noise):
    # posterior mean, unit RBF kernel, noise variance
    k = lambda a, b: np.exp(-0.5 * ((a[:, None] - b[None]) ** 2).sum(-1))
    K = k(Xtr, Xtr) + noise * np.eye(len(y))
    Ks = k(Xte, Xtr)
    w = np.linalg.solve(K, y)
    return Ks @ w, (Xtr, Xte, K, Ks, w, noise)


def gp_pred_bwd(dm, cache):
    Xtr, Xte, K, Ks, w, noise = cache
    dKs = dm[:, None] * w
    lam = np.linalg.solve(K, Ks.T @ dm)
    dK = np.outer(lam, w)
    A = dKs * Ks
    dXte = A @ Xtr - A.sum(1)[:, None] * Xte
    dXtr = A.T @ Xte - A.sum(0)[:, None] * Xtr
    K0 = K - noise * np.eye(len(w))
    Bm = dK * K0
    Bs = Bm + Bm.T
    dXtr = dXtr + Bs @ Xtr - Bs.sum(1)[:, None] * Xtr
    return {"Xtr": dXtr, "y": lam, "Xte": dXte, "noise": np.trace(dK)}


_add("gp_posterior_mean_solve", "Gaussian processes, adjoint of solve", gp_pred_fwd, gp_pred_bwd,
     lambda r: (dict(Xtr=r.normal(size=(5, 2)), y=r.normal(size=5), Xte=r.normal(size=(4, 2)), noise=np.array(.3)), None),
     False, "The matrix adjoint of a solve is -outer(lam, w); the minus is missing in dK.", ("Xtr", "noise"), ("sign", "missing-term"))


def mdn_fwd(x, W1, Wp, Wm, Ws, t):
    h = np.tanh(x @ W1)
    lp = h @ Wp
    lp = lp - np.log(np.exp(lp).sum(1, keepdims=True))
    mu, ls = h @ Wm, h @ Ws
    z = (t[:, None] - mu) / np.exp(ls)
    comp = lp - ls - 0.5 * z ** 2 - 0.5 * np.log(2 * np.pi)
    m = comp.max(1, keepdims=True)
    ll = (m + np.log(np.exp(comp - m).sum(1, keepdims=True)))[:, 0]
    return -ll, (x, W1, Wp, Wm, Ws, h, lp, ls, z, comp, ll)


def mdn_bwd(dnll, cache):
    x, W1, Wp, Wm, Ws, h, lp, ls, z, comp, ll = cache
    resp = np.exp(comp - ll[:, None])
    dlp = dnll[:, None] * (np.exp(lp) - resp)
    dmu = -dnll[:, None] * resp * z / np.exp(2 * ls)
    dls = dnll[:, None] * resp * (1 - z ** 2)
    dh = dlp @ Wp.T + dmu @ Wm.T + dls @ Ws.T
    dz = dh * (1 - h ** 2)
    return {"x": dz @ W1.T, "W1": x.T @ dz, "Wp": h.T @ dlp, "Wm": h.T @ dmu, "Ws": h.T @ dls}


_add("mixture_density_network", "statistics, density networks", mdn_fwd, mdn_bwd,
     lambda r: (dict(x=r.normal(size=(5, 2)), W1=r.normal(size=(2, 4)), Wp=r.normal(size=(4, 3)), Wm=r.normal(size=(4, 3)),
                     Ws=r.normal(size=(4, 3)) * .5), dict(t=r.normal(size=5))),
     False, "z is already divided by sigma once: dmu takes one more exp(-ls), not exp(-2 ls).", ("x", "W1", "Wm"),
     ("elementwise-factor",))


# ------------------------------------------------------------------ mechanics, physics, graphics

def leapfrog_fwd(q, p, k, mass, dt, steps):
    traj = []
    for _ in range(steps):
        ph = p - 0.5 * dt * k * q ** 3
        qn = q + dt * ph / mass
        pn = ph - 0.5 * dt * k * qn ** 3
        traj.append((q, ph, qn))
        q, p = qn, pn
    H = (p ** 2 / (2 * mass) + k * q ** 4 / 4).sum()
    return H, (traj, q, p, k, mass, dt)


def leapfrog_bwd(g, cache):
    traj, q, p, k, mass, dt = cache
    gq, gp = g * k * q ** 3, g * p / mass
    gk, gm = g * q ** 4 / 4, -g * p ** 2 / (2 * mass ** 2)
    for q0, ph, qn in reversed(traj):
        gk = gk - 0.5 * dt * gp * qn ** 3
        gq = gq - 1.5 * dt * k * qn ** 2 * gp
        gph = gp + gq * dt / mass
        gm = gm - gq * dt * ph / mass ** 2
        gk = gk - 0.5 * dt * gph * q0 ** 3
        gq = gq - 1.5 * dt * k * q0 ** 2 * gph
        gp = gph
    return {"q": gq, "p": gp, "k": gk, "mass": gm}


def leapfrog_bwd_mass(g, cache):
    traj, q, p, k, mass, dt = cache
    gq, gp = g * k * q ** 3, g * p / mass
    gk, gm = g * q ** 4 / 4, np.zeros_like(mass)
    for q0, ph, qn in reversed(traj):
        gk = gk - 0.5 * dt * gp * qn ** 3
        gq = gq - 1.5 * dt * k * qn ** 2 * gp
        gph = gp + gq * dt / mass
        gm = gm - gq * dt * ph / mass ** 2
        gk = gk - 0.5 * dt * gph * q0 ** 3
        gq = gq - 1.5 * dt * k * q0 ** 2 * gph
        gp = gph
    return {"q": gq, "p": gp, "k": gk, "mass": gm}


def _d(r):
    return (dict(q=.6 * r.normal(size=4), p=1.5 * r.normal(size=4), k=.5 + r.random(4), mass=.5 + r.random(4)), dict(dt=0.15, steps=3))


_add("leapfrog_quartic_adjoint", "mechanics, adjoint of an integrator", leapfrog_fwd, leapfrog_bwd, _d)
_add("leapfrog_quartic_kinetic_mass", "mechanics, adjoint of an integrator", leapfrog_fwd, leapfrog_bwd_mass, _d, False,
     "The final energy p**2/(2 mass) depends on mass itself: -p**2/(2 mass**2) is missing.", ("mass",), ("missing-term", "unknown"))


def springs_fwd(pos, rest, stiff, pairs):
    i, j = pairs.T
    d = pos[i] - pos[j]
    ln = np.sqrt((d ** 2).sum(1))
    return 0.5 * (stiff * (ln - rest) ** 2).sum(), (pos, rest, stiff, i, j, d, ln)


def springs_bwd(g, cache):
    pos, rest, stiff, i, j, d, ln = cache
    f = g * (stiff * (ln - rest))[:, None] * d
    dpos = np.zeros_like(pos)
    np.add.at(dpos, i, f)
    np.add.at(dpos, j, -f)
    return {"pos": dpos, "rest": -g * stiff * (ln - rest), "stiff": 0.5 * g * (ln - rest) ** 2}


_add("mass_spring_energy", "graphics, cloth simulation", springs_fwd, springs_bwd,
     lambda r: (dict(pos=r.normal(size=(5, 3)), rest=.5 + r.random(6), stiff=1 + r.random(6)),
                dict(pairs=np.array([[0, 1], [1, 2], [2, 3], [3, 4], [0, 2], [1, 4]]))),
     False, "The direction is d / ln; the force uses the unnormalised difference d.", ("pos",), ("elementwise-factor", "unknown"))


def nodeint_fwd(z0, W, b, dt, n):
    zs = [z0]
    for _ in range(n):
        zs.append(zs[-1] + dt * np.tanh(zs[-1] @ W + b))
    return zs[-1], (zs, W, b, dt)


def nodeint_bwd(dz, cache):
    zs, W, b, dt = cache
    dW, db = np.zeros_like(W), np.zeros_like(b)
    for z in zs[-2::-1]:
        f = np.tanh(z @ W + b)
        ds = dz * (1 - f ** 2)
        dW += z.T @ ds
        db += dt * ds.sum(0)
        dz = dz + dt * ds @ W.T
    return dz, dW, db


_add("neural_ode_euler_step", "physics, unrolled Euler", nodeint_fwd, nodeint_bwd,
     lambda r: (dict(z0=r.normal(size=(4, 3)), W=r.normal(size=(3, 3)), b=r.normal(size=3)), dict(dt=0.25, n=4)),
     False, "dW lacks the step size dt (db and dz have it).", ("W",), ("factor",))


def lj_fwd(r, eps, sigma, cut):
    # SI-like sizes: metres and joules
    n = len(r)
    iu, ju = np.triu_indices(n, 1)
    d = r[iu] - r[ju]
    r2 = (d ** 2).sum(1)
    keep = r2 < cut ** 2
    s6 = np.where(keep, (sigma ** 2 / r2) ** 3, 0.0)
    return 4 * eps * (s6 ** 2 - s6).sum(), (r, eps, sigma, iu, ju, d, r2, s6)


def lj_bwd(g, cache):
    r, eps, sigma, iu, ju, d, r2, s6 = cache
    c = g * 4 * eps * (-12 * s6 ** 2 + 6 * s6) / r2
    F = np.zeros_like(r)
    for a, b, v in zip(iu, ju, c[:, None] * d):
        F[a] += v
        F[b] -= v
    return dict(r=F, eps=g * 4 * (s6 ** 2 - s6).sum(), sigma=g * 4 * eps * (12 * s6 ** 2 - 6 * s6).sum() / sigma)


_add("lennard_jones_si_units", "molecular dynamics, tiny numbers", lj_fwd, lj_bwd,
     lambda r: (dict(r=3.6e-10 * np.array([[0, 0, 0], [1, .1, 0], [0, 1.1, .1], [.9, 1, .2], [.1, .2, 1]]) +
                     2e-11 * r.normal(size=(5, 3)), eps=np.array(1.65e-21), sigma=np.array(3.4e-10)), dict(cut=5.0e-10)))


def render_fwd(sigma, color, delta, target):
    # one ray a row, samples along the columns; color (B, S, 3)
    tau = np.log1p(np.exp(sigma)) * delta
    alpha = 1 - np.exp(-tau)
    T = np.exp(-(np.cumsum(tau, 1) - tau))
    w = T * alpha
    C = (w[..., None] * color).sum(1)
    return ((C - target) ** 2).mean(), (sigma, color, delta, target, tau, T, w, C)


def render_bwd(g, cache):
    sigma, color, delta, target, tau, T, w, C = cache
    dC = 2 * g * (C - target) / C.size
    dcolor = w[..., None] * dC[:, None]
    dw = (color * dC[:, None]).sum(-1)
    wd = w * dw
    after = np.cumsum(wd[:, ::-1], 1)[:, ::-1]
    dtau = dw * T * np.exp(-tau) - after
    dsig = dtau * delta / (1 + np.exp(-sigma))
    return {"sigma": dsig, "color": dcolor, "delta": dtau * np.log1p(np.exp(sigma))}


def render_bwd_ok(g, cache):
    sigma, color, delta, target, tau, T, w, C = cache
    dC = 2 * g * (C - target) / C.size
    dcolor = w[..., None] * dC[:, None]
    dw = (color * dC[:, None]).sum(-1)
    wd = w * dw
    after = np.cumsum(wd[:, ::-1], 1)[:, ::-1] - wd
    dtau = dw * T * np.exp(-tau) - after
    dsig = dtau * delta / (1 + np.exp(-sigma))
    return {"sigma": dsig, "color": dcolor, "delta": dtau * np.log1p(np.exp(sigma))}


def _d(r):
    return (dict(sigma=r.normal(size=(3, 4)), color=r.random((3, 4, 3)), delta=.3 + r.random((3, 4))), dict(target=r.random((3, 3))))


_add("volume_rendering_loss", "graphics, radiance fields", render_fwd, render_bwd_ok, _d)
_add("volume_rendering_inclusive_sum", "graphics, radiance fields", render_fwd, render_bwd, _d, False,
     "The reversed cumulative sum of w*dw must be exclusive (only later samples): - w*dw is missing.", ("sigma", "delta"),
     ("missing-term", "unknown"))


def rigid_fwd(theta, t, P, Q):
    c, s = np.cos(theta), np.sin(theta)
    R = np.array([[c, -s], [s, c]])
    E = P @ R.T + t - Q
    return 0.5 * (E ** 2).sum(), (theta, R, P, E)


def rigid_bwd(g, cache):
    theta, R, P, E = cache
    c, s = np.cos(theta), np.sin(theta)
    dR = g * E.T @ P
    dth = np.sum(dR * np.array([[-s, -c], [c, -s]]))
    return {"theta": dth, "t": g * E.sum(0), "P": g * E @ R.T, "Q": -g * E}


_add("rigid_registration_2d", "robotics, point registration", rigid_fwd, rigid_bwd,
     lambda r: (dict(theta=np.array(.8), t=r.normal(size=2), P=r.normal(size=(5, 2)), Q=r.normal(size=(5, 2))), None),
     False, "P enters as P @ R.T, so dP = E @ R, not E @ R.T.", ("P",), ("transpose",))


# ------------------------------------------------------------------ point clouds

def pointnet_fwd(pts, W1, b1, W2):
    # pts (B, N, 3)
    h = np.maximum(pts @ W1 + b1, 0)
    arg = h.argmax(1)
    g = np.take_along_axis(h, arg[:, None], 1)[:, 0]
    return g @ W2, (pts, W1, W2, h, g, arg)


def pointnet_bwd(dy, cache):
    pts, W1, W2, h, g, arg = cache
    dg = dy @ W2.T
    dh = np.zeros_like(h)
    dh[:] = dg[:, None] * (h > 0)
    dW1 = np.einsum('bni,bnj->ij', pts, dh)
    return {"pts": dh @ W1.T, "W1": dW1, "b1": dh.sum((0, 1)), "W2": g.T @ dy}


_add("pointnet_max_pool_spread", "point clouds", pointnet_fwd, pointnet_bwd,
     lambda r: (dict(pts=r.normal(size=(3, 4, 3)), W1=r.normal(size=(3, 5)), b1=r.normal(size=5), W2=r.normal(size=(5, 2))), None),
     False, "The pooled gradient goes to every active point; only the argmax point may get it.", ("pts", "W1", "b1"),
     ("elementwise-factor", "missing-term"))


def chamfer_fwd(A, B, W):
    # W deforms A first
    Y = A + np.tanh(A @ W)
    D = ((Y[:, None] - B[None]) ** 2).sum(-1)
    ia, ib = D.argmin(1), D.argmin(0)
    return D.min(1).mean() + D.min(0).mean(), (A, B, W, Y, ia, ib)


def chamfer_bwd(g, cache):
    A, B, W, Y, ia, ib = cache
    dY = 2 * g / len(Y) * (Y - B[ia])
    dB = np.zeros_like(B)
    np.add.at(dB, ia, -dY)
    back = 2 * g / len(B) * (B - Y[ib])
    dB += back
    np.add.at(dY, ib, -back)
    t = Y - A
    dz = dY * (1 - t ** 2)
    return dY + dz @ W.T, dB, A.T @ dz


_add("chamfer_deformation", "point clouds", chamfer_fwd, chamfer_bwd,
     lambda r: (dict(A=r.normal(size=(6, 3)), B=r.normal(size=(5, 3)), W=r.normal(size=(3, 3))), None))


# ------------------------------------------------------------------ language models

def bengio_fwd(E, W, b, ctx, nxt):
    # output softmax shares the embedding
    x = E[ctx].reshape(len(ctx), -1)
    h = np.tanh(x @ W)
    s = h @ E.T + b
    s = s - s.max(1, keepdims=True)
    lp = s - np.log(np.exp(s).sum(1, keepdims=True))
    return -lp[np.arange(len(nxt)), nxt].mean(), (E, W, ctx, nxt, x, h, lp)


def bengio_bwd(g, cache):
    E, W, ctx, nxt, x, h, lp = cache
    ds = np.exp(lp)
    ds[np.arange(len(nxt)), nxt] -= 1
    ds *= g / len(nxt)
    dE = ds.T @ h
    dz = (ds @ E) * (1 - h ** 2)
    dx = dz @ W.T
    return {"E": dE, "W": x.T @ dz, "b": ds.sum(0)}


def bengio_bwd_ok(g, cache):
    E, W, ctx, nxt, x, h, lp = cache
    ds = np.exp(lp)
    ds[np.arange(len(nxt)), nxt] -= 1
    ds *= g / len(nxt)
    dE = ds.T @ h
    dz = (ds @ E) * (1 - h ** 2)
    dx = dz @ W.T
    np.add.at(dE, ctx, dx.reshape(*ctx.shape, E.shape[1]))
    return {"E": dE, "W": x.T @ dz, "b": ds.sum(0)}


def _d(r):
    return (dict(E=r.normal(size=(6, 3)), W=r.normal(size=(6, 3)), b=r.normal(size=6)),
            dict(ctx=np.array([[0, 1], [1, 2], [2, 1], [1, 5], [3, 3]]), nxt=np.array([2, 1, 5, 4, 0])))


_add("neural_lm_tied_right", "NLP, language model with shared embedding", bengio_fwd, bengio_bwd_ok, _d)
_add("neural_lm_tied_lookup_lost", "NLP, language model with shared embedding", bengio_fwd, bengio_bwd, _d, False,
     "E gets the gradient of the output side only; the lookup's np.add.at(dE, ctx, dx) is missing.", ("E",), ("missing-term",))


def sgns_fwd(Vc, Uo, center, outside, negs):
    v = Vc[center]
    pos = (v * Uo[outside]).sum(1)
    neg = np.einsum('bd,bkd->bk', v, Uo[negs])
    return np.logaddexp(0, -pos).sum() + np.logaddexp(0, neg).sum(), (Vc, Uo, center, outside, negs, v, pos, neg)


def sgns_bwd(g, cache):
    Vc, Uo, center, outside, negs, v, pos, neg = cache
    gp = g * (_sg(pos) - 1)
    gn = g * (_sg(neg) - 1)
    dV, dU = np.zeros_like(Vc), np.zeros_like(Uo)
    np.add.at(dV, center, gp[:, None] * Uo[outside] + (gn[..., None] * Uo[negs]).sum(1))
    np.add.at(dU, outside, gp[:, None] * v)
    np.add.at(dU, negs, gn[..., None] * v[:, None])
    return dV, dU


_add("word2vec_negative_sampling", "NLP course, word vectors", sgns_fwd, sgns_bwd,
     lambda r: (dict(Vc=r.normal(size=(5, 3)), Uo=r.normal(size=(6, 3))),
                dict(center=np.array([0, 1, 1, 4]), outside=np.array([1, 0, 3, 5]), negs=np.array([[2, 4], [5, 5], [0, 2], [1, 3]]))),
     False, "For the negatives the slope is sigmoid(u.v), not sigmoid(u.v) - 1.", ("Vc", "Uo"), ("missing-term", "elementwise-factor"))


def bow_fwd(E, w, b, docs, y):
    avg = np.stack([E[d].mean(0) for d in docs])
    z = avg @ w + b
    return (np.logaddexp(0, z) - y * z).mean(), (E, w, docs, y, avg, z)


def bow_bwd(g, cache):
    E, w, docs, y, avg, z = cache
    dz = g * (_sg(z) - y) / len(y)
    dE = np.zeros_like(E)
    for d, r in zip(docs, dz):
        for tok in d:
            dE[tok] += r * w
    return {"E": dE, "w": avg.T @ dz, "b": dz.sum()}


_add("fasttext_mean_embedding", "NLP, bag of words", bow_fwd, bow_bwd,
     lambda r: (dict(E=r.normal(size=(7, 3)), w=r.normal(size=3), b=np.array(.1)),
                dict(docs=[[0, 1, 2], [3], [1, 1, 4, 5], [6, 2]], y=np.array([1, 0, 0, 1]))),
     False, "The embeddings are averaged: each token's share is r * w / len(d).", ("E",), ("elementwise-factor", "factor"))


def crf_fwd(x, W, T, tags):
    # one sentence: emissions x @ W, transitions T
    em = x @ W
    n = len(x)
    al = np.zeros_like(em)
    al[0] = em[0]
    for t in range(1, n):
        al[t] = em[t] + np.logaddexp.reduce(al[t - 1][:, None] + T, axis=0)
    logZ = np.logaddexp.reduce(al[-1])
    gold = em[np.arange(n), tags].sum() + T[tags[:-1], tags[1:]].sum()
    return logZ - gold, (x, W, T, tags, em, al, logZ)


def crf_bwd(g, cache):
    x, W, T, tags, em, al, logZ = cache
    n = len(x)
    be = np.zeros_like(em)
    for t in range(n - 2, -1, -1):
        be[t] = np.logaddexp.reduce(T + em[t + 1] + be[t + 1], axis=1)
    dem = np.exp(al + be - logZ)
    dT = np.zeros_like(T)
    for t in range(n - 1):
        dT += np.exp(al[t][:, None] + T + (em[t + 1] + be[t + 1])[None] - logZ)
    dem[np.arange(n), tags] -= 1
    np.subtract.at(dT, (tags[:-1], tags[1:]), 1)
    return g * dem @ W.T, g * x.T @ dem, g * dT


_add("linear_chain_crf", "NLP, structured prediction", crf_fwd, crf_bwd,
     lambda r: (dict(x=r.normal(size=(5, 3)), W=r.normal(size=(3, 3)), T=r.normal(size=(3, 3))), dict(tags=np.array([0, 1, 1, 2, 1]))))


# ------------------------------------------------------------------ flows

def coupling_fwd(x, Ws, Wt):
    a, b = x[:, :2], x[:, 2:]
    s, t = np.tanh(a @ Ws), a @ Wt
    z = np.hstack([a, b * np.exp(s) + t])
    return 0.5 * (z ** 2).sum(1) - s.sum(1), (a, b, s, z, Ws, Wt)


def coupling_bwd(dn, cache):
    a, b, s, z, Ws, Wt = cache
    dz = dn[:, None] * z
    dzb = dz[:, 2:]
    ds = dzb * b * np.exp(s)
    dpre = ds * (1 - s ** 2)
    da = dz[:, :2] + dpre @ Ws.T + dzb @ Wt.T
    return {"x": np.hstack([da, dzb * np.exp(s)]), "Ws": a.T @ dpre, "Wt": a.T @ dzb}


_add("realnvp_coupling_logdet", "normalising flows", coupling_fwd, coupling_bwd,
     lambda r: (dict(x=r.normal(size=(5, 4)), Ws=r.normal(size=(2, 2)), Wt=r.normal(size=(2, 2))), None),
     False, "ds lacks the log-determinant's part, - dn.", ("x", "Ws"), ("missing-term",))


def planar_fwd(z, u, w, b):
    a = z @ w + b
    h = np.tanh(a)
    psi = 1 - h ** 2
    det = 1 + psi * (u @ w)
    zk = z + h[:, None] * u
    return 0.5 * (zk ** 2).sum(1) - np.log(np.abs(det)), (z, u, w, h, psi, det, zk)


def planar_bwd(dl, cache):
    z, u, w, h, psi, det, zk = cache
    dzk = dl[:, None] * zk
    ddet = -dl / det
    da = (dzk @ u) * psi + ddet * (u @ w) * -2 * h * psi
    du = (dzk * h[:, None]).sum(0) + (ddet * psi).sum() * w
    dw = z.T @ da + (ddet * psi).sum() * u
    return dzk + np.outer(da, w), du, dw, da.sum()


def planar_bwd_w(dl, cache):
    z, u, w, h, psi, det, zk = cache
    dzk = dl[:, None] * zk
    ddet = -dl / det
    da = (dzk @ u) * psi + ddet * (u @ w) * -2 * h * psi
    du = (dzk * h[:, None]).sum(0) + (ddet * psi).sum() * w
    dw = z.T @ da
    return dzk + np.outer(da, w), du, dw, da.sum()


def _d(r):
    u, w = np.array([.9, -.4, .6]), np.array([.7, .3, 1.1])
    return dict(z=r.normal(size=(5, 3)), u=u, w=w, b=np.array(.2)), None


_add("planar_flow_density", "normalising flows", planar_fwd, planar_bwd, _d)
_add("planar_flow_direct_w", "normalising flows", planar_fwd, planar_bwd_w, _d, False,
     "w is also in the determinant directly, through u @ w: + sum(ddet*psi) * u is missing in dw.", ("w",), ("missing-term",))


# ------------------------------------------------------------------ other correct ones: odd style, extreme values, own buffers

class BufferedMLP:
    """Keeps its buffers and works in them."""

    def __init__(self):
        self.buf = {}

    def _get(self, name, shape):
        if name not in self.buf or self.buf[name].shape != shape:
            self.buf[name] = np.empty(shape)
        return self.buf[name]

    def forward(self, x, W1, b1, W2, b2):
        h = self._get("h", (len(x), W1.shape[1]))
        np.matmul(x, W1, out=h)
        h += b1
        np.clip(h, 0, 6, out=h)
        y = h @ W2
        y += b2
        return y, (x, W1, W2, h.copy())

    def backward(self, dy, cache):
        x, W1, W2, h = cache
        d = self._get("d", h.shape)
        np.matmul(dy, W2.T, out=d)
        d *= (h > 0)
        d[h >= 6] = 0
        return {"x": d @ W1.T, "W1": x.T @ d, "b1": d.sum(0), "W2": h.T @ dy, "b2": dy.sum(0)}


_add_obj("relu6_own_buffers", "performance-minded class, in-place", BufferedMLP,
         lambda r: (dict(x=3 * r.normal(size=(5, 3)), W1=r.normal(size=(3, 5)) * 2, b1=r.normal(size=5), W2=r.normal(size=(5, 2)),
                         b2=r.normal(size=2)), None))


class Var:
    """A toy tape."""

    def __init__(self, v, kids=()):
        self.v, self.kids, self.g = np.asarray(v, float), kids, 0.0

    def __matmul__(self, o):
        return Var(self.v @ o.v, ((self, lambda g: g @ o.v.T), (o, lambda g: self.v.T @ g)))

    def __add__(self, o):
        def fit(g, s):
            while g.ndim > len(s):
                g = g.sum(0)
            return g
        return Var(self.v + o.v, ((self, lambda g: fit(g, self.v.shape)), (o, lambda g: fit(g, o.v.shape))))

    def __mul__(self, o):
        return Var(self.v * o.v, ((self, lambda g: g * o.v), (o, lambda g: g * self.v)))

    def softplus(self):
        return Var(np.logaddexp(0, self.v), ((self, lambda g: g * _sg(self.v)),))


def tape_fwd(x, A, b):
    vx, vA, vb = Var(x), Var(A), Var(b)
    h = (vx @ vA + vb).softplus()
    h = (h @ vA + vb).softplus() * h        # A and b are used twice
    return h.v, (h, [vx, vA, vb])


def tape_bwd(dy, cache):
    out, leaves = cache
    order, seen = [], set()

    def visit(n):
        if id(n) not in seen:
            seen.add(id(n))
            for k, _ in n.kids:
                visit(k)
            order.append(n)
    visit(out)
    for n in order:
        n.g = np.zeros_like(n.v)
    out.g = np.array(dy)
    for n in reversed(order):
        for k, fn in n.kids:
            k.g = k.g + fn(n.g)
    return tuple(l.g for l in leaves)


_add("toy_tape_shared_layer", "tiny autograd, closures", tape_fwd, tape_bwd,
     lambda r: (dict(x=r.normal(size=(4, 3)), A=r.normal(size=(3, 3)), b=r.normal(size=3)), None))


def huge_fwd(X, W, y):
    s = X @ W
    s = s - s.max(1, keepdims=True)
    logp = s - np.log(np.exp(s).sum(1, keepdims=True))
    return -np.take_along_axis(logp, y[:, None], 1).mean(), (X, W, y, logp)


def huge_bwd(g, cache):
    X, W, y, logp = cache
    d = np.exp(logp) - (y[:, None] == np.arange(W.shape[1]))
    d = d * (g / len(y))
    return d @ W.T, X.T @ d


_add("softmax_regression_raw_features", "notebook, unscaled features", huge_fwd, huge_bwd,
     lambda r: (dict(X=np.array([[150., 3, .02], [151, 2, .01], [149, 5, .04], [152, 1, .03]]),
                     W=np.array([[.4, .401, .399], [.2, -.1, .1], [30., 50., -20.]])), dict(y=np.array([0, 2, 1, 1]))))


def svm2_fwd(X, W1, W2, y):
    H = np.abs(X @ W1)
    S = H @ W2
    n = len(X)
    M = np.maximum(0, S - S[np.arange(n), y][:, None] + 1)
    M[np.arange(n), y] = 0
    return (M ** 2).sum() / n, (X, W1, W2, H, M, y)


def svm2_bwd(g, cache):
    X, W1, W2, H, M, y = cache
    n = len(X)
    dS = 2 * M
    dS[np.arange(n), y] = -dS.sum(1)
    dS *= g / n
    dH = dS @ W2.T
    dZ = dH * np.sign(X @ W1)
    return [dZ @ W1.T, X.T @ dZ, H.T @ dS]


_add("abs_net_squared_hinge", "class assignment, margin loss", svm2_fwd, svm2_bwd,
     lambda r: (dict(X=r.normal(size=(6, 3)), W1=r.normal(size=(3, 4)), W2=r.normal(size=(4, 4))), dict(y=np.array([3, 0, 1, 2, 2, 0]))))


def sinkhorn_fwd(C, a, b, reg, iters):
    K = np.exp(-C / reg)
    v = np.ones_like(b)
    hist = []
    for _ in range(iters):
        Kv = K @ v
        u = a / Kv
        Ku = K.T @ u
        vn = b / Ku
        hist.append((v, Kv, u, Ku, vn))
        v = vn
    P = u[:, None] * K * v
    return (P * C).sum(), (C, a, b, reg, K, hist, P)


def sinkhorn_bwd(g, cache):
    C, a, b, reg, K, hist, P = cache
    _, _, u, _, v = hist[-1]
    dC = g * P
    dP = g * C
    dK = u[:, None] * dP * v
    du = (dP * K) @ v
    dv = (dP * K).T @ u
    da, db = np.zeros_like(a), np.zeros_like(b)
    for v0, Kv, u, Ku, vn in reversed(hist):
        db += dv / Ku
        dKu = -dv * vn / Ku
        dK += np.outer(u, dKu)
        du = du + K @ dKu
        da += du / Kv
        dKv = -du * u / Kv
        dK += np.outer(dKv, v0)
        dv = K.T @ dKv
        du = 0.0
    return {"C": dC - dK * K / reg, "a": da, "b": db}


_add("sinkhorn_unrolled_transport", "optimal transport, unrolled", sinkhorn_fwd, sinkhorn_bwd,
     lambda r: (dict(C=r.random((4, 5)), a=np.array([.1, .4, .3, .2]), b=np.array([.2, .2, .3, .2, .1])), dict(reg=0.3, iters=3)))


# ------------------------------------------------------------------ a few more wrong ones

def ntn_fwd(e1, e2, T, u):
    # neural tensor: T (k, d, d)
    s = np.tanh(np.einsum('bi,kij,bj->bk', e1, T, e2))
    return s @ u, (e1, e2, T, u, s)


def ntn_bwd(dy, cache):
    e1, e2, T, u, s = cache
    du = s.T @ dy
    dq = dy[:, None] * u * (1 - s ** 2)
    return {"e1": np.einsum('bk,kij,bj->bi', dq, T, e2), "e2": np.einsum('bk,kij,bi->bj', dq, T, e1),
            "T": np.einsum('bk,bj,bi->kji', dq, e2, e1), "u": du}


_add("neural_tensor_bilinear", "knowledge graphs, einsum", ntn_fwd, ntn_bwd,
     lambda r: (dict(e1=r.normal(size=(4, 3)), e2=r.normal(size=(4, 3)), T=r.normal(size=(3, 3, 3)) * .5, u=r.normal(size=3)), None),
     False, "dT comes out as (k, j, i): each slice is transposed.", ("T",), ("transpose",))


def ce_sum_fwd(x, W1, W2, y):
    h = x @ W1
    a = h * _sg(h)
    s = a @ W2
    lp = s - np.logaddexp.reduce(s, axis=1)[:, None]
    return -lp[np.arange(len(y)), y].mean(), dict(x=x, W1=W1, W2=W2, y=y, h=h, a=a, lp=lp)


def ce_sum_bwd(g, c):
    ds = np.exp(c["lp"])
    ds[np.arange(len(c["y"])), c["y"]] -= 1
    ds *= g
    dW2 = c["a"].T @ ds
    sg = _sg(c["h"])
    dh = (ds @ c["W2"].T) * (sg + c["a"] * (1 - sg))
    return dict(x=dh @ c["W1"].T, W1=c["x"].T @ dh, W2=dW2)


_add("swish_classifier_mean_loss", "framework port", ce_sum_fwd, ce_sum_bwd,
     lambda r: (dict(x=r.normal(size=(5, 3)), W1=r.normal(size=(3, 4)), W2=r.normal(size=(4, 3))), dict(y=np.array([0, 1, 2, 0, 1]))),
     False, "The loss is a mean over the rows; ds is not divided by their number.", ("x", "W1", "W2"), ("factor",))


def film_fwd(x, cond, Wg, Wb, Wo):
    g, b = cond @ Wg, cond @ Wb
    m = x * (1 + g) + b
    r = np.maximum(m, 0)
    return r @ Wo, (x, cond, Wg, Wb, Wo, g, m, r)


def film_bwd(dy, cache):
    x, cond, Wg, Wb, Wo, g, m, r = cache
    dm = dy @ Wo.T * (m > 0)
    dg = dm * x
    return {"x": dm * g, "cond": dg @ Wg.T + dm @ Wb.T, "Wg": cond.T @ dg, "Wb": cond.T @ dm, "Wo": r.T @ dy}


_add("film_conditioning", "visual reasoning, conditioning layers", film_fwd, film_bwd,
     lambda r: (dict(x=r.normal(size=(5, 4)), cond=r.normal(size=(5, 2)), Wg=r.normal(size=(2, 4)), Wb=r.normal(size=(2, 4)),
                     Wo=r.normal(size=(4, 3))), None),
     False, "The gain is 1 + g: dx = dm * (1 + g).", ("x",), ("missing-term", "elementwise-factor"))
