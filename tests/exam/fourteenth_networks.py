"""Paper fourteen, networks: whole small networks and composite functions for the check "vjp"."""
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


def add(name, style, make, right, slip="", wrong=(), causes=()):
    ITEMS.append(Item(name, style, "vjp", make, right, slip, tuple(wrong), tuple(causes)))


# ---------------------------------------------------------------- 1
def make_planar_data_classifier():
    def forward(X, W1, b1, W2, b2, Y):
        m = X.shape[1]
        Z1 = np.dot(W1, X) + b1
        A1 = np.tanh(Z1)
        Z2 = np.dot(W2, A1) + b2
        A2 = 1.0 / (1.0 + np.exp(-Z2))
        logprobs = Y * np.log(A2) + (1 - Y) * np.log(1 - A2)
        cost = -np.sum(logprobs) / m
        return cost, {"X": X, "Y": Y, "W1": W1, "W2": W2, "A1": A1, "A2": A2}

    def backward(dcost, cache):
        X, Y, A1, A2 = cache["X"], cache["Y"], cache["A1"], cache["A2"]
        m = X.shape[1]
        dZ2 = dcost * (A2 - Y)
        dW2 = 1.0 / m * np.dot(dZ2, A1.T)
        db2 = 1.0 / m * np.sum(dZ2, axis=1, keepdims=True)
        dZ1 = np.dot(cache["W2"].T, dZ2) * (1 - np.power(A1, 2))
        dW1 = 1.0 / m * np.dot(dZ1, X.T)
        db1 = 1.0 / m * np.sum(dZ1, keepdims=True)
        dX = 1.0 / m * np.dot(cache["W1"].T, dZ1)
        return {"X": dX, "W1": dW1, "b1": db1, "W2": dW2, "b2": db2}

    rng = np.random.default_rng(1401)
    inputs = {"X": rng.normal(size=(2, 7)), "W1": rng.normal(size=(4, 2)), "b1": rng.normal(size=(4, 1)) * 0.3,
              "W2": rng.normal(size=(1, 4)), "b2": rng.normal(size=(1, 1))}
    return {"forward": forward, "backward": backward, "inputs": inputs,
            "constants": {"Y": np.array([[1, 0, 0, 1, 1, 0, 1]])}}


add("planar_data_classifier", "deeplearning.ai course notebook", make_planar_data_classifier, False,
    "db1 = sum(dZ1, keepdims=True) without axis=1: all hidden units and examples fall into one (1, 1) number; axis=1 belongs there",
    ["b1"], ["shape"])


# ---------------------------------------------------------------- 2
def make_basic_residual_block():
    class BasicBlock:
        def forward(self, x, conv1, bias1, conv2, bias2):
            self.x, self.w1, self.w2 = x, conv1, conv2
            self.pre = x @ conv1 + bias1
            self.mid = np.maximum(self.pre, 0)
            out = self.mid @ conv2 + bias2
            out = out + x                      # identity shortcut
            self.out = out
            return np.maximum(out, 0), self

        def backward(self, grad_out):
            identity_grad = grad_out
            grad = grad_out * (self.out > 0)
            g_bias2 = grad.sum(0)
            g_conv2 = self.mid.T @ grad
            grad = grad @ self.w2.T
            grad = grad * (self.pre > 0)
            g_bias1 = grad.sum(0)
            g_conv1 = self.x.T @ grad
            g_x = grad @ self.w1.T + identity_grad
            return g_x, g_conv1, g_bias1, g_conv2, g_bias2

    rng = np.random.default_rng(1402)
    block = BasicBlock()
    inputs = {"x": rng.normal(size=(5, 4)), "conv1": rng.normal(size=(4, 6)), "bias1": rng.normal(size=6),
              "conv2": rng.normal(size=(6, 4)), "bias2": rng.normal(size=4)}
    return {"forward": block.forward, "backward": lambda dy, cache: cache.backward(dy), "inputs": inputs}


add("basic_residual_block", "torchvision ResNet port", make_basic_residual_block, False,
    "the shortcut is handed grad_out from before the last relu; identity_grad must be grad_out * (out > 0)",
    ["x"], ["elementwise-factor", "missing-term"])


# ---------------------------------------------------------------- 3
def make_seq2seq_encoder_decoder():
    def run_rnn(xs, h, Wx, Wh, b):
        hs = [h]
        for x in xs:
            h = np.tanh(x @ Wx + h @ Wh + b)
            hs.append(h)
        return hs

    def rnn_backward(xs, hs, Wx, Wh, dhs):
        dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wh.shape[0])
        dxs, dh = np.zeros_like(xs), np.zeros_like(hs[0])
        for t in reversed(range(len(xs))):
            da = (dh + dhs[t]) * (1 - hs[t + 1] ** 2)
            dWx += xs[t].T @ da
            dWh += hs[t].T @ da
            db += da.sum(0)
            dxs[t] = da @ Wx.T
            dh = da @ Wh.T
        return dxs, dWx, dWh, db, dh

    def forward(src, tgt, enc_Wx, enc_Wh, enc_b, dec_Wx, dec_Wh, dec_b, out_W):
        enc_hs = run_rnn(src, np.zeros((src.shape[1], enc_Wh.shape[0])), enc_Wx, enc_Wh, enc_b)
        dec_hs = run_rnn(tgt, enc_hs[-1], dec_Wx, dec_Wh, dec_b)
        out = np.stack([h @ out_W for h in dec_hs[1:]])
        return out, (src, tgt, enc_Wx, enc_Wh, dec_Wx, dec_Wh, out_W, enc_hs, dec_hs)

    def backward(dout, cache):
        src, tgt, enc_Wx, enc_Wh, dec_Wx, dec_Wh, out_W, enc_hs, dec_hs = cache
        dout_W = sum(h.T @ d for h, d in zip(dec_hs[1:], dout))
        dtgt, ddWx, ddWh, ddb, dcontext = rnn_backward(tgt, dec_hs, dec_Wx, dec_Wh, dout @ out_W.T)
        d_enc = [np.zeros_like(dcontext) for _ in src]
        dsrc, deWx, deWh, deb, _ = rnn_backward(src, enc_hs, enc_Wx, enc_Wh, d_enc)
        return {"src": dsrc, "tgt": dtgt, "enc_Wx": deWx, "enc_Wh": deWh, "enc_b": deb,
                "dec_Wx": ddWx, "dec_Wh": ddWh, "dec_b": ddb, "out_W": dout_W}

    rng = np.random.default_rng(1403)
    r = lambda *s: rng.normal(size=s) * 0.6
    return {"forward": forward, "backward": backward,
            "inputs": {"src": r(3, 4, 2), "tgt": r(2, 4, 3), "enc_Wx": r(2, 5), "enc_Wh": r(5, 5), "enc_b": r(5),
                       "dec_Wx": r(3, 5), "dec_Wh": r(5, 5), "dec_b": r(5), "out_W": r(5, 2)}}


add("seq2seq_encoder_decoder", "blog post: seq2seq from scratch", make_seq2seq_encoder_decoder, False,
    "dcontext (the decoder's gradient of its first state) never reaches the encoder: d_enc[-1] must be dcontext",
    ["src", "enc_Wx", "enc_Wh", "enc_b"], ["zero", "missing-term"])


# ---------------------------------------------------------------- 4
def make_lstm_step():
    def sigmoid(x):
        return 1.0 / (1.0 + np.exp(-x))

    def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
        H = prev_h.shape[1]
        a = x.dot(Wx) + prev_h.dot(Wh) + b
        i = sigmoid(a[:, :H])
        f = sigmoid(a[:, H:2 * H])
        o = sigmoid(a[:, 2 * H:3 * H])
        g = np.tanh(a[:, 3 * H:])
        next_c = f * prev_c + i * g
        next_h = o * np.tanh(next_c)
        cache = (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c)
        return np.stack([next_h, next_c]), cache

    def lstm_step_backward(dout, cache):
        dnext_h, dnext_c = dout
        x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
        tanh_c = np.tanh(next_c)
        do = dnext_h * tanh_c
        dc = dnext_c + dnext_h * o * (1 - tanh_c ** 2)
        df, dprev_c = dc * prev_c, dc * f
        di, dg = dc * g, dc * i
        dai, daf, dao = di * i * (1 - i), df * f * (1 - f), do * o * (1 - o)
        dag = dg * (1 - g ** 2)
        da = np.hstack((dai, daf, dag, dao))
        dx, dWx = da.dot(Wx.T), x.T.dot(da)
        dprev_h, dWh = da.dot(Wh.T), prev_h.T.dot(da)
        return dx, dprev_h, dprev_c, dWx, dWh, da.sum(axis=0)

    rng = np.random.default_rng(1404)
    N, D, H = 4, 5, 3
    inputs = {"x": rng.normal(size=(N, D)), "prev_h": rng.normal(size=(N, H)), "prev_c": rng.normal(size=(N, H)),
              "Wx": rng.normal(size=(D, 4 * H)) * 0.5, "Wh": rng.normal(size=(H, 4 * H)) * 0.5, "b": rng.normal(size=4 * H)}
    return {"forward": lstm_step_forward, "backward": lstm_step_backward, "inputs": inputs}


add("lstm_step", "CS231n assignment", make_lstm_step, False,
    "the gates are stacked as (i, f, g, o) in the backward, the forward splits them as (i, f, o, g): hstack((dai, daf, dao, dag))",
    ["x", "prev_h", "Wx", "Wh", "b"], ["transpose"])


# ---------------------------------------------------------------- 5
def make_three_layer_convnet():
    def im2col(x, k):
        N, C, H, W = x.shape
        oh, ow = H - k + 1, W - k + 1
        cols = np.empty((N, C, k, k, oh, ow))
        for i in range(k):
            for j in range(k):
                cols[:, :, i, j] = x[:, :, i:i + oh, j:j + ow]
        return cols

    def forward(x, W1, b1, W2, b2, y):
        F, C, k, _ = W1.shape
        cols = im2col(x, k)
        conv = np.einsum("fcij,ncijhw->nfhw", W1, cols) + b1[None, :, None, None]
        r = np.maximum(conv, 0)
        N, _, H, W = r.shape
        win = r.reshape(N, F, H // 2, 2, W // 2, 2)
        pool = win.max(axis=(3, 5))
        scores = pool.reshape(N, -1) @ W2 + b2
        s = scores - scores.max(axis=1, keepdims=True)
        logp = s - np.log(np.exp(s).sum(axis=1, keepdims=True))
        loss = -logp[np.arange(N), y].mean()
        return loss, (x.shape, cols, conv, win, pool, W1, W2, logp, y)

    def backward(dloss, cache):
        x_shape, cols, conv, win, pool, W1, W2, logp, y = cache
        N, k = len(y), W1.shape[2]
        dscores = np.exp(logp)
        dscores[np.arange(N), y] -= 1
        dscores *= dloss / N
        dW2, db2 = pool.reshape(N, -1).T @ dscores, dscores.sum(axis=0)
        dpool = (dscores @ W2.T).reshape(pool.shape)
        dwin = (win == pool[:, :, :, None, :, None]) * dpool[:, :, :, None, :, None]
        dconv = dwin.reshape(conv.shape) * (conv > 0)
        db1 = dconv.sum(axis=(0, 2, 3))
        dW1 = np.einsum("nfhw,ncijhw->fcij", dconv, cols)
        dx, (oh, ow) = np.zeros(x_shape), conv.shape[2:]
        for i in range(k):
            for j in range(k):
                dx[:, :, i:i + oh, j:j + ow] += np.einsum("nfhw,fc->nchw", dconv, W1[:, :, i, j])
        return {"x": dx, "W1": dW1, "b1": db1, "W2": dW2, "b2": db2}

    rng = np.random.default_rng(1405)
    inputs = {"x": rng.normal(size=(3, 1, 3, 5)), "W1": rng.normal(size=(2, 1, 2, 2)), "b1": np.array([0.9, 0.7]),
              "W2": rng.normal(size=(4, 3)), "b2": rng.normal(size=3)}
    return {"forward": forward, "backward": backward, "inputs": inputs, "constants": {"y": np.array([2, 0, 1])}}


add("three_layer_convnet", "CS231n assignment", make_three_layer_convnet, True)


# ---------------------------------------------------------------- 6
def make_min_char_rnn():
    def lossFun(Wxh, Whh, Why, bh, by, hprev, inputs, targets):
        xs, hs, ps = {}, {-1: hprev}, {}
        loss = 0.0
        V = Wxh.shape[1]
        for t in range(len(inputs)):
            xs[t] = np.zeros((V, 1))
            xs[t][inputs[t]] = 1
            hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
            y = np.dot(Why, hs[t]) + by
            ps[t] = np.exp(y) / np.sum(np.exp(y))
            loss += -np.log(ps[t][targets[t], 0])
        return loss, (xs, hs, ps, targets, Wxh, Whh, Why)

    def backward(dloss, cache):
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
            dhnext = np.dot(Whh.T, dhraw)
        return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby, "hprev": dhnext}

    rng = np.random.default_rng(1406)
    V, H = 4, 5
    return {"forward": lossFun, "backward": backward,
            "inputs": {"Wxh": rng.normal(size=(H, V)), "Whh": rng.normal(size=(H, H)) * 0.5, "Why": rng.normal(size=(V, H)),
                       "bh": rng.normal(size=(H, 1)), "by": rng.normal(size=(V, 1)), "hprev": rng.normal(size=(H, 1))},
            "constants": {"inputs": [0, 3, 1, 1, 2], "targets": [3, 1, 1, 2, 0]}}


add("min_char_rnn", "Karpathy gist", make_min_char_rnn, True)


# ---------------------------------------------------------------- 7
def make_gru_through_time():
    def sig(v):
        return 0.5 * (1 + np.tanh(0.5 * v))

    def forward(x, h0, Wz, Uz, Wr, Ur, Wh, Uh):
        h, steps, out = h0, [], []
        for t in range(x.shape[0]):
            z = sig(x[t] @ Wz + h @ Uz)
            r = sig(x[t] @ Wr + h @ Ur)
            hh = np.tanh(x[t] @ Wh + (r * h) @ Uh)
            steps.append((h, z, r, hh))
            h = (1 - z) * h + z * hh
            out.append(h)
        return np.array(out), (x, steps, Wz, Uz, Wr, Ur, Wh, Uh)

    def backward(dout, cache):
        x, steps, Wz, Uz, Wr, Ur, Wh, Uh = cache
        g = {n: np.zeros_like(w) for n, w in zip(("Wz", "Uz", "Wr", "Ur", "Wh", "Uh"), cache[2:])}
        g["x"] = np.zeros_like(x)
        dh = 0.0
        for t in range(len(steps) - 1, -1, -1):
            hp, z, r, hh = steps[t]
            dh = dh + dout[t]
            dhh = dh * z * (1 - hh ** 2)
            dz = dh * (hp - hh) * z * (1 - z)
            drh = dhh @ Uh.T
            dr = drh * hp * r * (1 - r)
            g["Wz"] += x[t].T @ dz; g["Uz"] += hp.T @ dz
            g["Wr"] += x[t].T @ dr; g["Ur"] += hp.T @ dr
            g["Wh"] += x[t].T @ dhh; g["Uh"] += (r * hp).T @ dhh
            g["x"][t] = dz @ Wz.T + dr @ Wr.T + dhh @ Wh.T
            dh = dh * (1 - z) + drh * r + dz @ Uz.T + dr @ Ur.T
        g["h0"] = dh
        return g

    rng = np.random.default_rng(1407)
    r = lambda *s: rng.normal(size=s) * 0.7
    return {"forward": forward, "backward": backward,
            "inputs": {"x": r(4, 3, 2), "h0": r(3, 4), "Wz": r(2, 4), "Uz": r(4, 4), "Wr": r(2, 4), "Ur": r(4, 4),
                       "Wh": r(2, 4), "Uh": r(4, 4)}}


add("gru_through_time", "WildML-like blog post", make_gru_through_time, False,
    "dz = dh * (hp - hh) belongs to h = z * hp + (1 - z) * hh; this forward has z on the candidate, so dz = dh * (hh - hp)",
    ["x", "h0", "Wz", "Uz", "Wr", "Ur", "Wh", "Uh"], ["sign"])


# ---------------------------------------------------------------- 8
def make_embedding_lstm_classifier():
    class LSTMClassifier:
        def forward(self, params, tokens, lengths):
            p, (B, T) = params, tokens.shape
            H = p["U"].shape[0]
            h, c = np.zeros((B, H)), np.zeros((B, H))
            tape = []
            for t in range(T):
                e = p["emb"][tokens[:, t]]
                gates = e @ p["W"] + h @ p["U"] + p["b"]
                i, f, o = (1 / (1 + np.exp(-gates[:, k * H:(k + 1) * H])) for k in range(3))
                g = np.tanh(gates[:, 3 * H:])
                c_new = f * c + i * g
                tc = np.tanh(c_new)
                m = (t < lengths).astype(float)[:, None]
                tape.append((e, h, c, i, f, o, g, tc, m))
                h, c = m * (o * tc) + (1 - m) * h, m * c_new + (1 - m) * c
            return h @ p["V"], (p, tokens, tape, h)

        def backward(self, dy, cache):
            p, tokens, tape, h_last = cache
            g_ = {k: np.zeros_like(v) for k, v in p.items()}
            g_["V"] += h_last.T @ dy
            dh = dy @ p["V"].T
            dc = np.zeros_like(dh)
            for t in reversed(range(len(tape))):
                e, h, c, i, f, o, g, tc, m = tape[t]
                dcn = m * (dc + dh * o * (1 - tc ** 2))
                da = np.concatenate([dcn * g * i * (1 - i), dcn * c * f * (1 - f),
                                     m * dh * tc * o * (1 - o), dcn * i * (1 - g ** 2)], axis=1)
                g_["W"] += e.T @ da
                g_["U"] += h.T @ da
                g_["b"] += da.sum(0)
                np.add.at(g_["emb"], tokens[:, t], da @ p["W"].T)
                dh = (1 - m) * dh + da @ p["U"].T
                dc = (1 - m) * dc + dcn * f
            return {"params": g_}

    rng = np.random.default_rng(1408)
    net = LSTMClassifier()
    params = {"emb": rng.normal(size=(5, 3)), "W": rng.normal(size=(3, 8)), "U": rng.normal(size=(2, 8)),
              "b": rng.normal(size=8), "V": rng.normal(size=(2, 3))}
    tokens = np.array([[0, 1, 1, 4], [3, 2, 0, 0], [2, 2, 3, 1]])
    return {"forward": net.forward, "backward": net.backward, "inputs": {"params": params},
            "constants": {"tokens": tokens, "lengths": np.array([4, 2, 3])}}


add("embedding_lstm_classifier", "research repository, parameters in a dict", make_embedding_lstm_classifier, True)


# ---------------------------------------------------------------- 9
def make_causal_self_attention():
    def forward(x, c_attn, c_proj):
        B, T, C = x.shape
        qkv = x @ c_attn
        q, k, v = np.split(qkv, 3, axis=2)
        att = (q @ k.transpose(0, 2, 1)) * (1.0 / np.sqrt(k.shape[-1]))
        mask = np.tril(np.ones((T, T), dtype=bool))
        att = np.where(mask, att, -np.inf)
        att = np.exp(att - att.max(axis=-1, keepdims=True))
        att = att / att.sum(axis=-1, keepdims=True)
        y = att @ v
        return y @ c_proj, (x, c_attn, c_proj, q, k, v, att, y)

    def backward(dout, cache):
        x, c_attn, c_proj, q, k, v, att, y = cache
        C = x.shape[-1]
        dc_proj = y.reshape(-1, y.shape[-1]).T @ dout.reshape(-1, dout.shape[-1])
        dy = dout @ c_proj.T
        datt = dy @ v.transpose(0, 2, 1)
        dv = att.transpose(0, 2, 1) @ dy
        dpre = att * (datt - (datt * att).sum(axis=-1, keepdims=True))
        scale = 1.0 / np.sqrt(C)
        dq = dpre @ k * scale
        dk = dpre.transpose(0, 2, 1) @ q * scale
        dqkv = np.concatenate([dq, dk, dv], axis=2)
        dc_attn = x.reshape(-1, C).T @ dqkv.reshape(-1, dqkv.shape[-1])
        return {"x": dqkv @ c_attn.T, "c_attn": dc_attn, "c_proj": dc_proj}

    rng = np.random.default_rng(1409)
    return {"forward": forward, "backward": backward,
            "inputs": {"x": rng.normal(size=(3, 4, 5)), "c_attn": rng.normal(size=(5, 9)), "c_proj": rng.normal(size=(3, 5))}}


add("causal_self_attention", "nanoGPT / llm.c port", make_causal_self_attention, False,
    "the backward scales by 1/sqrt(C) of the embedding, the forward by 1/sqrt(head size): scale = 1/sqrt(k.shape[-1])",
    ["x", "c_attn"], ["factor"])


# ---------------------------------------------------------------- 10
def make_multihead_block():
    def forward(x, Wq, Wk, Wv, Wo, n_heads):
        B, T, D = x.shape

        def split(a):
            return a.reshape(B, T, n_heads, -1).transpose(0, 2, 1, 3)

        q, k, v = split(x @ Wq), split(x @ Wk), split(x @ Wv)
        s = np.einsum("bhid,bhjd->bhij", q, k) / np.sqrt(q.shape[-1])
        p = np.exp(s - s.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        ctx = np.einsum("bhij,bhjd->bhid", p, v)
        merged = ctx.transpose(0, 2, 1, 3).reshape(B, T, -1)
        return x + merged @ Wo, (x, Wq, Wk, Wv, Wo, q, k, v, p, merged)

    def backward(dy, cache):
        x, Wq, Wk, Wv, Wo, q, k, v, p, merged = cache
        flat = lambda a: a.reshape(-1, a.shape[-1])
        B, H, T, dh = q.shape
        dWo = flat(merged).T @ flat(dy)
        dmerged = dy @ Wo.T
        dctx = dmerged.reshape(B, H, T, dh)
        dp = np.einsum("bhid,bhjd->bhij", dctx, v)
        dv = np.einsum("bhij,bhid->bhjd", p, dctx)
        ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / np.sqrt(dh)
        dq = np.einsum("bhij,bhjd->bhid", ds, k)
        dk = np.einsum("bhij,bhid->bhjd", ds, q)
        dx = dy.copy()
        grads = {"Wo": dWo}
        for name, W, d in (("Wq", Wq, dq), ("Wk", Wk, dk), ("Wv", Wv, dv)):
            d = d.transpose(0, 2, 1, 3).reshape(B, T, -1)
            grads[name] = flat(x).T @ flat(d)
            dx = dx + d @ W.T
        grads["x"] = dx
        return grads

    rng = np.random.default_rng(1410)
    r = lambda *s: rng.normal(size=s) * 0.8
    return {"forward": forward, "backward": backward, "constants": {"n_heads": 2},
            "inputs": {"x": r(3, 3, 5), "Wq": r(5, 4), "Wk": r(5, 4), "Wv": r(5, 4), "Wo": r(4, 5)}}


add("multihead_block", "d2l.ai / Annotated Transformer", make_multihead_block, False,
    "dmerged is reshaped straight to (B, H, T, dh); it must be reshape(B, T, H, dh).transpose(0, 2, 1, 3)",
    ["x", "Wq", "Wk", "Wv"], ["transpose", "shape"])


# ---------------------------------------------------------------- 11
def make_small_fully_convolutional():
    def corr(x, w):
        N, C, H, W = x.shape
        F, _, kh, kw = w.shape
        out = np.zeros((N, F, H - kh + 1, W - kw + 1))
        for i in range(out.shape[2]):
            for j in range(out.shape[3]):
                out[:, :, i, j] = np.tensordot(x[:, :, i:i + kh, j:j + kw], w, axes=([1, 2, 3], [1, 2, 3]))
        return out

    def forward(image, kernel1, kernel2, head):
        a1 = corr(image, kernel1)
        h1 = np.where(a1 > 0, a1, 0.1 * a1)
        a2 = corr(h1, kernel2)
        h2 = np.tanh(a2)
        feat = h2.mean(axis=(2, 3))
        return feat @ head, (image, kernel1, kernel2, head, a1, h1, h2, feat)

    def backward(dy, cache):
        image, kernel1, kernel2, head, a1, h1, h2, feat = cache

        def conv_backward(d, x, w):
            kh, kw = w.shape[2:]
            dw = np.stack([[corr(x[:, c:c + 1].transpose(1, 0, 2, 3), d[:, f:f + 1].transpose(1, 0, 2, 3))[0, 0]
                            for c in range(x.shape[1])] for f in range(d.shape[1])])
            padded = np.pad(d, ((0, 0), (0, 0), (kh - 1, kh - 1), (kw - 1, kw - 1)))
            return dw, corr(padded, w.transpose(1, 0, 2, 3))

        dhead, dfeat = feat.T @ dy, dy @ head.T
        dh2 = np.broadcast_to(dfeat[:, :, None, None], h2.shape) / (h2.shape[2] * h2.shape[3])
        dk2, dh1 = conv_backward(dh2 * (1 - h2 ** 2), h1, kernel2)
        da1 = dh1 * np.where(a1 > 0, 1.0, 0.1)
        dk1, dimage = conv_backward(da1, image, kernel1)
        return dimage, dk1, dk2, dhead

    rng = np.random.default_rng(1411)
    return {"forward": forward, "backward": backward,
            "inputs": {"image": rng.normal(size=(2, 1, 5, 6)), "kernel1": rng.normal(size=(2, 1, 2, 3)),
                       "kernel2": rng.normal(size=(3, 2, 2, 2)) * 0.6, "head": rng.normal(size=(3, 2))}}


add("small_fully_convolutional", "CNN-from-scratch blog", make_small_fully_convolutional, False,
    "the gradient of a convolution's input is the full correlation with the kernel turned by 180 degrees: w[:, :, ::-1, ::-1] is missing its turn",
    ["image", "kernel1"], ["transpose"])


# ---------------------------------------------------------------- 12
def make_mixture_density_network():
    def forward(x, y, W1, b1, Wpi, Wmu, Wls):
        N, D, K = len(x), y.shape[1], Wpi.shape[1]
        h = np.tanh(x @ W1 + b1)
        a = h @ Wpi
        log_pi = a - np.log(np.exp(a).sum(1, keepdims=True))
        mu = (h @ Wmu).reshape(N, K, D)
        log_sigma = h @ Wls
        sq = ((y[:, None, :] - mu) ** 2).sum(-1) / np.exp(2 * log_sigma)
        comp = log_pi - 0.5 * sq - D * log_sigma - 0.5 * D * np.log(2 * np.pi)
        top = comp.max(1, keepdims=True)
        ll = top[:, 0] + np.log(np.exp(comp - top).sum(1))
        gamma = np.exp(comp - ll[:, None])
        return -ll.mean(), (x, y, W1, Wpi, Wmu, Wls, h, log_pi, mu, log_sigma, sq, gamma)

    def backward(dloss, cache):
        x, y, W1, Wpi, Wmu, Wls, h, log_pi, mu, log_sigma, sq, gamma = cache
        N = len(x)
        scale = dloss / N
        d_a = scale * (np.exp(log_pi) - gamma)
        d_diff = scale * gamma[:, :, None] * (mu - y[:, None, :]) * np.exp(-2 * log_sigma)[:, :, None]
        d_ls = scale * gamma * (1 - sq)
        dh = d_a @ Wpi.T + d_diff.reshape(N, -1) @ Wmu.T + d_ls @ Wls.T
        dpre = dh * (1 - h ** 2)
        return {"x": dpre @ W1.T, "y": -d_diff.sum(1), "W1": x.T @ dpre, "b1": dpre.sum(0),
                "Wpi": h.T @ d_a, "Wmu": h.T @ d_diff.reshape(N, -1), "Wls": h.T @ d_ls}

    rng = np.random.default_rng(1412)
    r = lambda *s: rng.normal(size=s)
    return {"forward": forward, "backward": backward,
            "inputs": {"x": r(6, 1), "y": r(6, 2), "W1": r(1, 5), "b1": r(5), "Wpi": r(5, 3), "Wmu": r(5, 6), "Wls": r(5, 3) * 0.3}}


add("mixture_density_network", "reimplementation of Bishop's MDN", make_mixture_density_network, False,
    "d_ls has the 1 of a one-dimensional target; the targets have D columns: gamma * (D - sq)",
    ["x", "W1", "b1", "Wls"], ["missing-term", "elementwise-factor"])


# ---------------------------------------------------------------- 13
def make_mdn_one_dimensional():
    def softmax(a):
        e = np.exp(a - a.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def forward(X, W, b, V, c, t):
        H = np.maximum(0.2 * (X @ W + b), X @ W + b)
        out = H @ V + c
        K = out.shape[1] // 3
        pi, sigma, mu = softmax(out[:, :K]), np.exp(out[:, K:2 * K]), out[:, 2 * K:]
        phi = np.exp(-0.5 * ((t[:, None] - mu) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
        p = (pi * phi).sum(axis=1)
        return -np.log(p), (X, W, V, t, H, pi, sigma, mu, phi, p)

    def backward(dE, cache):
        X, W, V, t, H, pi, sigma, mu, phi, p = cache
        gamma = pi * phi / p[:, None]
        r = (t[:, None] - mu) / sigma
        dout = np.hstack([pi - gamma, gamma * (1 - r ** 2), -gamma * r / sigma]) * dE[:, None]
        dV, dc = H.T @ dout, dout.sum(axis=0)
        dH = dout @ V.T
        dH[H < 0] *= 0.2
        dt = (gamma * r / sigma).sum(axis=1) * dE
        return {"X": dH @ W.T, "W": X.T @ dH, "b": dH.sum(axis=0), "V": dV, "c": dc, "t": dt}

    rng = np.random.default_rng(1413)
    return {"forward": forward, "backward": backward,
            "inputs": {"X": rng.normal(size=(5, 2)), "W": rng.normal(size=(2, 4)), "b": rng.normal(size=4),
                       "V": rng.normal(size=(4, 6)) * 0.5, "c": rng.normal(size=6) * 0.3, "t": rng.normal(size=5)}}


add("mdn_one_dimensional", "reimplementation of Bishop's MDN", make_mdn_one_dimensional, True)


# ---------------------------------------------------------------- 14
def make_realnvp_two_couplings():
    def net(h, W, b, V):
        a = np.tanh(h @ W + b)
        return a, a @ V

    def forward(params, x):
        z1, z2 = x[:, :1], x[:, 1:]
        a1, st = net(z1, params["W1"], params["b1"], params["V1"])
        s1, t1 = np.tanh(st[:, :2]), st[:, 2:]
        u2 = z2 * np.exp(s1) + t1
        a2, st2 = net(u2, params["W2"], params["b2"], params["V2"])
        s2, t2 = np.tanh(st2[:, :1]), st2[:, 1:]
        u1 = (z1 - t2) * np.exp(-s2)
        logdet = s1.sum(1) - s2.sum(1)
        logp = -0.5 * (u1 ** 2).sum(1) - 0.5 * (u2 ** 2).sum(1) - 1.5 * np.log(2 * np.pi)
        return -(logp + logdet), (params, z1, z2, a1, s1, u2, a2, s2, u1)

    def backward(dnll, cache):
        p, z1, z2, a1, s1, u2, a2, s2, u1 = cache
        d = dnll[:, None]
        g = {}
        du1 = d * u1
        dz1 = du1 * np.exp(-s2)
        dt2 = -dz1
        ds2 = d - du1 * u1                     # log-determinant and the scaling itself
        dst2 = np.hstack([ds2 * (1 - s2 ** 2), dt2])
        g["V2"] = a2.T @ dst2
        da2 = dst2 @ p["V2"].T * (1 - a2 ** 2)
        g["W2"], g["b2"] = u2.T @ da2, da2.sum(0)
        du2 = d * u2 + da2 @ p["W2"].T
        ds1 = du2 * z2 * np.exp(s1) - d
        dst1 = np.hstack([ds1 * (1 - s1 ** 2), du2])
        g["V1"] = a1.T @ dst1
        da1 = dst1 @ p["V1"].T * (1 - a1 ** 2)
        g["W1"], g["b1"] = z1.T @ da1, da1.sum(0)
        return {"params": g, "x": np.hstack([dz1 + da1 @ p["W1"].T, du2 * np.exp(s1)])}

    rng = np.random.default_rng(1414)
    r = lambda *s: rng.normal(size=s) * 0.8
    params = {"W1": r(1, 4), "b1": r(4), "V1": r(4, 4), "W2": r(2, 5), "b2": r(5), "V2": r(5, 2)}
    return {"forward": forward, "backward": backward, "inputs": {"params": params, "x": r(6, 3)}}


add("realnvp_two_couplings", "research repository, parameters in a dict", make_realnvp_two_couplings, True)


# ---------------------------------------------------------------- 15
def make_planar_flow():
    def forward(z0, w, u, b):
        z, logdet, tape = z0, np.zeros(len(z0)), []
        for k in range(len(w)):
            h = np.tanh(z @ w[k] + b[k])
            psi = (1 - h ** 2)[:, None] * w[k]
            det = 1 + psi @ u[k]
            logdet = logdet + np.log(np.abs(det))
            tape.append((z, h, det))
            z = z + u[k] * h[:, None]
        free_energy = 0.5 * (z ** 2).sum(1) - logdet
        return free_energy, (z, w, u, tape)

    def backward(dF, cache):
        z, w, u, tape = cache
        dw, du, db = np.zeros_like(w), np.zeros_like(u), np.zeros(len(w))
        dz = dF[:, None] * z
        for k in reversed(range(len(w))):
            z_in, h, det = tape[k]
            slope = 1 - h ** 2
            ddet = -dF / np.abs(det)
            wu = w[k] @ u[k]
            da = slope * (dz @ u[k]) + ddet * wu * (-2 * h * slope)
            du[k] = (dz * h[:, None]).sum(0) + (ddet * slope).sum() * w[k]
            dw[k] = (da[:, None] * z_in).sum(0) + (ddet * slope).sum() * u[k]
            db[k] = da.sum()
            dz = dz + da[:, None] * w[k]
        return {"z0": dz, "w": dw, "u": du, "b": db}

    rng = np.random.default_rng(1415)
    w = np.array([[1.3, -0.8], [0.7, 1.1]])
    u = np.array([[-2.1, 0.9], [0.6, -0.5]])
    return {"forward": forward, "backward": backward,
            "inputs": {"z0": rng.normal(size=(6, 2)), "w": w, "u": u, "b": np.array([0.2, -0.3])}}


add("planar_flow", "reimplementation of Rezende & Mohamed", make_planar_flow, False,
    "d log|det| / d det is 1/det, not 1/|det|: rows whose determinant is negative get their log-determinant part with the wrong sign",
    ["z0", "w", "u", "b"], ["sign", "elementwise-factor"])


# ---------------------------------------------------------------- 16
def make_bayes_by_backprop():
    def softplus(v):
        return np.log1p(np.exp(v))

    def forward(X, y, W_mu, W_rho, eps, prior_sigma, n_batches):
        sigma = softplus(W_rho)
        W = W_mu + sigma * eps
        pred = np.tanh(X @ W[:-1] + W[-1])
        nll = 0.5 * ((pred - y) ** 2).sum()
        kl = (np.log(prior_sigma / sigma) + (sigma ** 2 + W_mu ** 2) / (2 * prior_sigma ** 2) - 0.5).sum()
        return nll + kl / n_batches, (X, y, W, W_mu, W_rho, sigma, pred, eps, prior_sigma, n_batches)

    def backward(dloss, cache):
        X, y, W, W_mu, W_rho, sigma, pred, eps, prior_sigma, n_batches = cache
        dpred = dloss * (pred - y)
        da = dpred * (1 - pred ** 2)
        dW = np.vstack([X.T @ da, da.sum(axis=0, keepdims=True)])
        dmu = dW + dloss * W_mu / prior_sigma ** 2 / n_batches
        dsigma = dW * eps + dloss * (sigma / prior_sigma ** 2 - 1 / sigma) / n_batches
        drho = dsigma / (1 + np.exp(W_rho))
        return {"X": da @ W[:-1].T, "y": -dpred, "W_mu": dmu, "W_rho": drho}

    rng = np.random.default_rng(1416)
    inputs = {"X": rng.normal(size=(6, 3)), "y": rng.normal(size=(6, 2)), "W_mu": rng.normal(size=(4, 2)),
              "W_rho": rng.normal(size=(4, 2)) - 1.0}
    return {"forward": forward, "backward": backward, "inputs": inputs,
            "constants": {"eps": rng.normal(size=(4, 2)), "prior_sigma": 0.8, "n_batches": 5}}


add("bayes_by_backprop", "Gluon tutorial port", make_bayes_by_backprop, False,
    "d softplus(rho) / d rho is the sigmoid 1 / (1 + exp(-rho)); the minus in the exponent is missing",
    ["W_rho"], ["elementwise-factor"])


# ---------------------------------------------------------------- 17
def make_skipgram_negative_sampling():
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def forward(centerWordVectors, outsideVectors, centerIdx, outsideIdx, negIdx):
        v = centerWordVectors[centerIdx]                      # (N, D)
        uo = outsideVectors[outsideIdx]                       # (N, D)
        uk = outsideVectors[negIdx]                           # (N, K, D)
        pos = sigmoid((v * uo).sum(axis=1))
        neg = sigmoid(-np.einsum("nkd,nd->nk", uk, v))
        loss = -np.log(pos) - np.log(neg).sum(axis=1)
        shapes = (centerWordVectors.shape, outsideVectors.shape)
        return loss, (shapes, centerIdx, outsideIdx, negIdx, v, uo, uk, pos, neg)

    def backward(dloss, cache):
        shapes, centerIdx, outsideIdx, negIdx, v, uo, uk, pos, neg = cache
        gpos = (dloss * (pos - 1))[:, None]                   # (N, 1)
        gneg = dloss[:, None] * (1 - neg)                     # (N, K)
        gradCenterVecs = np.zeros(shapes[0])
        gradOutsideVecs = np.zeros(shapes[1])
        dv = gpos * uo + np.einsum("nk,nkd->nd", gneg, uk)
        np.add.at(gradCenterVecs, centerIdx, dv)
        np.add.at(gradOutsideVecs, outsideIdx, gpos * v)
        for n in range(len(centerIdx)):
            gradOutsideVecs[negIdx[n]] += gneg[n][:, None] * v[n]
        return {"centerWordVectors": gradCenterVecs, "outsideVectors": gradOutsideVecs}

    rng = np.random.default_rng(1417)
    return {"forward": forward, "backward": backward,
            "inputs": {"centerWordVectors": rng.normal(size=(6, 3)), "outsideVectors": rng.normal(size=(6, 3))},
            "constants": {"centerIdx": np.array([0, 2, 2, 5]), "outsideIdx": np.array([1, 3, 0, 3]),
                          "negIdx": np.array([[4, 4, 2], [0, 5, 1], [3, 1, 3], [2, 0, 4]])}}


add("skipgram_negative_sampling", "CS224n assignment", make_skipgram_negative_sampling, False,
    "a word drawn twice among one centre's negatives is counted once by the fancy-index +=; np.add.at counts every draw",
    ["outsideVectors"], ["batch-sum", "missing-term"])


# ---------------------------------------------------------------- 18
def make_cbow_negative_sampling():
    def forward(syn0, syn1neg, context, mask, words, labels):
        vecs = syn0[context] * mask[:, :, None]
        l1 = vecs.sum(axis=1) / mask.sum(axis=1, keepdims=True)
        l2 = syn1neg[words]
        f = np.einsum("nkd,nd->nk", l2, l1)
        loss = np.logaddexp(0, f) - labels * f
        return loss.sum(), (syn0, syn1neg, context, mask, words, labels, l1, l2, f)

    def backward(dloss, cache):
        syn0, syn1neg, context, mask, words, labels, l1, l2, f = cache
        g = (1 / (1 + np.exp(-f)) - labels) * dloss
        neu1e = np.zeros_like(l1)
        dsyn0, dsyn1neg = np.zeros(syn0.shape), np.zeros(syn1neg.shape)
        for n in range(len(words)):
            for k, w in enumerate(words[n]):
                neu1e[n] += g[n, k] * l2[n, k]
                dsyn1neg[w] += g[n, k] * l1[n]
            cw = mask[n].sum()
            for c, keep in zip(context[n], mask[n]):
                if keep:
                    dsyn0[c] += neu1e[n] / cw
        return dsyn0, dsyn1neg

    rng = np.random.default_rng(1418)
    return {"forward": forward, "backward": backward,
            "inputs": {"syn0": rng.normal(size=(7, 3)), "syn1neg": rng.normal(size=(7, 3))},
            "constants": {"context": np.array([[0, 2, 2, 5], [1, 6, 0, 0], [3, 4, 1, 0]]),
                          "mask": np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]),
                          "words": np.array([[1, 4, 4], [3, 5, 2], [0, 6, 1]]),
                          "labels": np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0]])}}


add("cbow_negative_sampling", "gensim / word2vec.c port", make_cbow_negative_sampling, True)


# ---------------------------------------------------------------- 19
def make_reinforce_with_entropy():
    def policy_forward(model, x):
        h = x @ model["W1"]
        h = np.where(h < 0, 0, h)
        logits = h @ model["W2"] + model["b2"]
        logits = logits - logits.max(axis=1, keepdims=True)
        logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return h, logp

    def forward(model, observations, actions, returns, beta):
        h, logp = policy_forward(model, observations)
        T = len(actions)
        chosen = logp[np.arange(T), actions]
        entropy = -(np.exp(logp) * logp).sum(axis=1)
        loss = -(returns * chosen).mean() - beta * entropy.mean()
        return loss, (model, observations, actions, returns, beta, h, logp, entropy)

    def backward(dloss, cache):
        model, observations, actions, returns, beta, h, logp, entropy = cache
        T = len(actions)
        p = np.exp(logp)
        dlogp = p.copy()
        dlogp[np.arange(T), actions] -= 1
        dlogp *= returns[:, None]
        dlogp += beta * p * (logp + 1)
        dlogp *= dloss / T
        dW2 = h.T @ dlogp
        dh = dlogp @ model["W2"].T
        dh[h <= 0] = 0
        return {"model": {"W1": observations.T @ dh, "W2": dW2, "b2": dlogp.sum(axis=0)}, "observations": dh @ model["W1"].T}

    rng = np.random.default_rng(1419)
    model = {"W1": rng.normal(size=(4, 6)), "W2": rng.normal(size=(6, 3)), "b2": rng.normal(size=3)}
    return {"forward": forward, "backward": backward, "inputs": {"model": model, "observations": rng.normal(size=(7, 4))},
            "constants": {"actions": np.array([0, 2, 1, 1, 2, 0, 2]), "returns": rng.normal(size=7), "beta": 0.2}}


add("reinforce_with_entropy", "Karpathy pong.py variant", make_reinforce_with_entropy, False,
    "the entropy's gradient stops at the probabilities: by the logits it is p * (logp + entropy), not p * (logp + 1)",
    ["model.W1", "model.W2", "model.b2", "observations"], ["missing-term", "elementwise-factor"])


# ---------------------------------------------------------------- 20
def make_ppo_clip_policy():
    class GaussianActor:
        def __init__(self, clip_ratio):
            self.clip_ratio = clip_ratio

        def loss(self, obs, W1, b1, W2, log_std, act, adv, logp_old):
            self.obs, self.W1, self.W2 = obs, W1, W2
            self.hid = np.tanh(obs @ W1 + b1)
            mu = self.hid @ W2
            self.std = np.exp(log_std)
            self.z = (act - mu) / self.std
            logp = (-0.5 * self.z ** 2 - log_std - 0.5 * np.log(2 * np.pi)).sum(axis=-1)
            self.ratio = np.exp(logp - logp_old)
            self.adv = adv
            clip_adv = np.clip(self.ratio, 1 - self.clip_ratio, 1 + self.clip_ratio) * adv
            return -np.minimum(self.ratio * adv, clip_adv).mean(), self

        def grad(self, dloss):
            lo, hi = 1 - self.clip_ratio, 1 + self.clip_ratio
            active = (self.ratio > lo) & (self.ratio < hi)
            dratio = -dloss * self.adv * active / len(self.adv)
            dlogp = (dratio * self.ratio)[:, None]
            dmu = dlogp * self.z / self.std
            dlog_std = (dlogp * (self.z ** 2 - 1)).sum(axis=0)
            dhid = dmu @ self.W2.T * (1 - self.hid ** 2)
            return {"obs": dhid @ self.W1.T, "W1": self.obs.T @ dhid, "b1": dhid.sum(axis=0),
                    "W2": self.hid.T @ dmu, "log_std": dlog_std}

    rng = np.random.default_rng(1420)
    actor = GaussianActor(0.2)
    inputs = {"obs": rng.normal(size=(8, 3)), "W1": rng.normal(size=(3, 5)), "b1": rng.normal(size=5),
              "W2": rng.normal(size=(5, 2)) * 0.5, "log_std": np.array([-0.2, 0.3])}
    act = np.tanh(inputs["obs"] @ inputs["W1"] + inputs["b1"]) @ inputs["W2"] + rng.normal(size=(8, 2)) * np.exp(inputs["log_std"])
    adv = np.array([1.2, -0.7, 0.5, -1.4, 0.9, -0.3, 1.7, -0.8])
    constants = {"act": act, "adv": adv, "logp_old": np.zeros(8)}
    actor.loss(**inputs, **constants)
    constants["logp_old"] = np.log(actor.ratio) - np.array([0.05, -0.1, -0.4, 0.5, 0.35, -0.3, 0.1, 0.12])
    return {"forward": actor.loss, "backward": lambda dy, cache: cache.grad(dy), "inputs": inputs, "constants": constants}


add("ppo_clip_policy", "Spinning Up-like RL repository", make_ppo_clip_policy, False,
    "every sample with a ratio outside the clip range is dropped; the minimum keeps it where ratio * adv is the smaller one (adv > 0 below, adv < 0 above)",
    ["obs", "W1", "b1", "W2", "log_std"], ["batch-sum", "zero", "elementwise-factor"])


# ---------------------------------------------------------------- 21
def make_a2c_shared_trunk():
    def forward(theta, states, actions, targets, advantages, vf_coef, ent_coef):
        a1 = states @ theta["trunk"]["W"] + theta["trunk"]["b"]
        h = a1 / (1 + np.exp(-a1))                                   # swish
        logits = h @ theta["pi"]["W"] + theta["pi"]["b"]
        logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        v = (h @ theta["v"]["W"] + theta["v"]["b"])[:, 0]
        n = np.arange(len(actions))
        entropy = -(np.exp(logp) * logp).sum(-1)
        err = v - targets
        huber = np.where(np.abs(err) < 1, 0.5 * err ** 2, np.abs(err) - 0.5)
        loss = (-advantages * logp[n, actions] + vf_coef * huber - ent_coef * entropy).mean()
        return loss, dict(theta=theta, s=states, a=actions, adv=advantages, vf=vf_coef, ent=ent_coef,
                          a1=a1, h=h, logp=logp, H=entropy, err=err)

    def backward(g, c):
        N, th = len(c["a"]), c["theta"]
        p = np.exp(c["logp"])
        onehot = np.eye(p.shape[1])[c["a"]]
        dlogits = g / N * (c["adv"][:, None] * (p - onehot) + c["ent"] * p * (c["logp"] + c["H"][:, None]))
        dv = (g / N * c["vf"] * np.clip(c["err"], -1, 1))[:, None]
        dh = dlogits @ th["pi"]["W"].T + dv @ th["v"]["W"].T
        s = 1 / (1 + np.exp(-c["a1"]))
        da = dh * (s + c["h"] * (1 - s))
        return {"theta": {"trunk": {"W": c["s"].T @ da, "b": da.sum(0)},
                          "pi": {"W": c["h"].T @ dlogits, "b": dlogits.sum(0)},
                          "v": {"W": c["h"].T @ dv, "b": dv.sum(0)}},
                "states": da @ th["trunk"]["W"].T}

    rng = np.random.default_rng(1421)
    r = lambda *s: rng.normal(size=s)
    theta = {"trunk": {"W": r(3, 5), "b": r(5)}, "pi": {"W": r(5, 4), "b": r(4)}, "v": {"W": r(5, 1), "b": r(1)}}
    return {"forward": forward, "backward": backward, "inputs": {"theta": theta, "states": r(6, 3)},
            "constants": {"actions": np.array([3, 0, 1, 1, 2, 0]), "targets": r(6) * 2, "advantages": r(6),
                          "vf_coef": 0.5, "ent_coef": 0.03}}


add("a2c_shared_trunk", "JAX port, nested parameter dicts", make_a2c_shared_trunk, True)


# ---------------------------------------------------------------- 22
def make_gcn_two_layers():
    def forward(X, W0, W1, A, labels, train_mask):
        A_tilde = A + np.eye(len(A))
        A_hat = A_tilde / A_tilde.sum(axis=1, keepdims=True)      # random-walk normalisation
        AX = A_hat @ X
        H = np.maximum(AX @ W0, 0)
        AH = A_hat @ H
        logits = AH @ W1
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        P = e / e.sum(axis=1, keepdims=True)
        nll = -np.log(P[np.arange(len(A)), labels])
        loss = (nll * train_mask).sum() / train_mask.sum()
        return loss, (A_hat, AX, H, AH, W0, W1, P, labels, train_mask)

    def backward(dloss, cache):
        A_hat, AX, H, AH, W0, W1, P, labels, train_mask = cache
        G = P.copy()
        G[np.arange(len(labels)), labels] -= 1
        G *= (dloss * train_mask / train_mask.sum())[:, None]
        dW1 = AH.T @ G
        dH = A_hat @ (G @ W1.T)
        dZ = dH * (H > 0)
        dW0 = AX.T @ dZ
        dX = A_hat @ (dZ @ W0.T)
        return {"X": dX, "W0": dW0, "W1": dW1}

    rng = np.random.default_rng(1422)
    A = np.zeros((6, 6))
    for i, j in [(0, 1), (0, 2), (0, 3), (3, 4), (4, 5), (1, 2), (0, 5)]:
        A[i, j] = A[j, i] = 1
    return {"forward": forward, "backward": backward,
            "inputs": {"X": rng.normal(size=(6, 4)), "W0": rng.normal(size=(4, 5)), "W1": rng.normal(size=(5, 3))},
            "constants": {"A": A, "labels": np.array([0, 2, 1, 1, 0, 2]), "train_mask": np.array([1, 1, 0, 1, 0, 1])}}


add("gcn_two_layers", "Kipf-style GCN in NumPy", make_gcn_two_layers, False,
    "the row-normalised A_hat is not symmetric: going back both products need A_hat.T",
    ["X", "W0"], ["transpose"])


# ---------------------------------------------------------------- 23
def make_message_passing_edges():
    class EdgeConv:
        """h_i' = h_i + softplus(sum_{j -> i} message_ij U), then a mean over each graph."""

        def forward(self, h, e, Wm, Wu, wo, src, dst, batch):
            self.saved = dict(h=h, e=e, Wm=Wm, Wu=Wu, wo=wo, src=src, dst=dst, batch=batch)
            cat = np.concatenate([h[src], h[dst] - h[src], e], axis=1)
            msg = np.tanh(cat @ Wm)
            agg = np.zeros((len(h), Wm.shape[1]))
            np.add.at(agg, dst, msg)
            pre = agg @ Wu
            new = h + np.log1p(np.exp(pre))
            n_graphs = batch.max() + 1
            count = np.bincount(batch, minlength=n_graphs)
            pooled = np.zeros((n_graphs, h.shape[1]))
            np.add.at(pooled, batch, new)
            pooled = pooled / count[:, None]
            self.saved.update(cat=cat, msg=msg, agg=agg, pre=pre, count=count, pooled=pooled)
            return pooled @ wo, self

        def backward(self, dy):
            s = self.saved
            dpooled = np.outer(dy, s["wo"])
            dnew = (dpooled / s["count"][:, None])[s["batch"]]
            dpre = dnew / (1 + np.exp(-s["pre"]))
            dagg = dpre @ s["Wu"].T
            dact = dagg[s["dst"]] * (1 - s["msg"] ** 2)
            dcat = dact @ s["Wm"].T
            F = s["h"].shape[1]
            dh = dnew.copy()
            np.add.at(dh, s["src"], dcat[:, :F] - dcat[:, F:2 * F])
            np.add.at(dh, s["dst"], dcat[:, F:2 * F])
            return {"h": dh, "e": dcat[:, 2 * F:], "Wm": s["cat"].T @ dact, "Wu": s["agg"].T @ dpre,
                    "wo": s["pooled"].T @ dy}

    rng = np.random.default_rng(1423)
    conv = EdgeConv()
    return {"forward": conv.forward, "backward": lambda dy, c: c.backward(dy),
            "inputs": {"h": rng.normal(size=(6, 3)), "e": rng.normal(size=(7, 2)), "Wm": rng.normal(size=(8, 4)) * 0.6,
                       "Wu": rng.normal(size=(4, 3)), "wo": rng.normal(size=3)},
            "constants": {"src": np.array([0, 1, 2, 0, 3, 5, 4]), "dst": np.array([1, 0, 1, 2, 4, 3, 3]),
                          "batch": np.array([0, 0, 0, 1, 1, 1])}}


add("message_passing_edges", "PyTorch Geometric port", make_message_passing_edges, True)


# ---------------------------------------------------------------- 24
def make_sparse_autoencoder_cost():
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def forward(W1, W2, b1, b2, data, lambda_, sparsityParam, beta):
        m = data.shape[1]
        a2 = sigmoid(W1 @ data + b1[:, None])
        a3 = sigmoid(W2 @ a2 + b2[:, None])
        rho_hat = a2.mean(axis=1)
        rho = sparsityParam
        kl = rho * np.log(rho / rho_hat) + (1 - rho) * np.log((1 - rho) / (1 - rho_hat))
        cost = 0.5 * np.sum((a3 - data) ** 2) / m + lambda_ / 2 * (np.sum(W1 ** 2) + np.sum(W2 ** 2)) + beta * kl.sum()
        return cost, (W1, W2, data, lambda_, rho, beta, a2, a3, rho_hat)

    def backward(dcost, cache):
        W1, W2, data, lambda_, rho, beta, a2, a3, rho_hat = cache
        m = data.shape[1]
        delta3 = (a3 - data) * a3 * (1 - a3) / m
        sparsity_delta = beta * (-rho / rho_hat + (1 - rho) / (1 - rho_hat))
        delta2 = (W2.T @ delta3 + sparsity_delta[:, None]) * a2 * (1 - a2)
        W1grad = delta2 @ data.T + lambda_ * W1
        W2grad = delta3 @ a2.T + lambda_ * W2
        return dcost * W1grad, dcost * W2grad, dcost * delta2.sum(axis=1), dcost * delta3.sum(axis=1)

    rng = np.random.default_rng(1424)
    return {"forward": forward, "backward": backward,
            "inputs": {"W1": rng.normal(size=(3, 5)), "W2": rng.normal(size=(5, 3)), "b1": rng.normal(size=3), "b2": rng.normal(size=5)},
            "constants": {"data": rng.uniform(0.1, 0.9, size=(5, 6)), "lambda_": 0.01, "sparsityParam": 0.1, "beta": 0.5}}


add("sparse_autoencoder_cost", "UFLDL exercise", make_sparse_autoencoder_cost, False,
    "1/m went into delta3 but not into the sparsity term, whose rho_hat is a mean over the m examples: sparsity_delta / m",
    ["W1", "b1"], ["factor", "batch-sum", "missing-term"])


# ---------------------------------------------------------------- 25
def make_selective_scan():
    def softplus(v):
        return np.logaddexp(0, v)

    def selective_scan(u, delta_raw, A_log, B, C, D):
        # u, delta_raw (b, l, d); A_log (d, n); B, C (b, l, n); D (d,)
        b, l, d = u.shape
        A = -np.exp(A_log)
        delta = softplus(delta_raw)
        h = np.zeros((b, d, A.shape[1]))
        hs, das, y = [h], [], np.zeros_like(u)
        for t in range(l):
            dA = np.exp(delta[:, t, :, None] * A)
            h = dA * h + (delta[:, t] * u[:, t])[:, :, None] * B[:, t, None, :]
            y[:, t] = np.einsum("bdn,bn->bd", h, C[:, t]) + D * u[:, t]
            hs.append(h)
            das.append(dA)
        return y, (u, delta_raw, delta, A, B, C, D, hs, das)

    def selective_scan_bwd(dy, cache):
        u, delta_raw, delta, A, B, C, D, hs, das = cache
        du, ddelta = dy * D, np.zeros_like(delta)
        dA_, dB, dC = np.zeros_like(A), np.zeros_like(B), np.zeros_like(C)
        dh = np.zeros_like(hs[0])
        for t in reversed(range(u.shape[1])):
            dC[:, t] = np.einsum("bd,bdn->bn", dy[:, t], hs[t + 1])
            dh = dh + dy[:, t, :, None] * C[:, t, None, :]
            dxB = (dh * B[:, t, None, :]).sum(-1)
            dB[:, t] = np.einsum("bdn,bd->bn", dh, delta[:, t] * u[:, t])
            du[:, t] += dxB * delta[:, t]
            dexp = dh * hs[t + 1] * das[t]
            ddelta[:, t] = dxB * u[:, t] + (dexp * A).sum(-1)
            dA_ += (dexp * delta[:, t, :, None]).sum(0)
            dh = dh * das[t]
        return {"u": du, "delta_raw": ddelta / (1 + np.exp(-delta_raw)), "A_log": dA_ * A, "B": dB, "C": dC,
                "D": (dy * u).sum((0, 1))}

    rng = np.random.default_rng(1425)
    r = lambda *s: rng.normal(size=s)
    return {"forward": selective_scan, "backward": selective_scan_bwd,
            "inputs": {"u": r(2, 5, 3), "delta_raw": r(2, 5, 3), "A_log": r(3, 2) * 0.5, "B": r(2, 5, 2), "C": r(2, 5, 2), "D": r(3)}}


add("selective_scan", "Mamba reference port", make_selective_scan, False,
    "exp(delta A) multiplies the state before the step: its gradient needs hs[t], not hs[t + 1]",
    ["delta_raw", "A_log"], ["elementwise-factor"])


# ---------------------------------------------------------------- 26
def make_mingru_scan():
    def scan(f, carry, xs):
        ys = []
        for x in xs:
            carry, y = f(carry, x)
            ys.append(y)
        return carry, ys

    def forward(params, xs, h0):
        def step(h, x):
            z = 1 / (1 + np.exp(-(x @ params["Wz"] + params["bz"])))
            c = x @ params["Wh"]
            g = np.where(c >= 0, c + 0.5, 1 / (1 + np.exp(-c)))
            new = (1 - z) * h + z * g
            return new, (h, x, z, c, g, new)

        last, tape = scan(step, h0, xs)
        y = np.stack([s[-1] for s in tape]) @ params["Wo"]
        return y, (params, tape)

    def backward(dy, cache):
        params, tape = cache

        def step_back(carry, x):
            dh, gz, gb, gh, go = carry
            (h, xt, z, c, g, new), d = x
            dh = dh + d @ params["Wo"].T
            daz = dh * (g - h) * z * (1 - z)
            dc = dh * z * np.where(c >= 0, 1.0, g * (1 - g))
            carry = (dh * (1 - z), gz + xt.T @ daz, gb + daz.sum(0), gh + xt.T @ dc, go + new.T @ d)
            return carry, daz @ params["Wz"].T + dc @ params["Wh"].T

        zeros = [np.zeros_like(params[k]) for k in ("Wz", "bz", "Wh", "Wo")]
        (dh0, gz, gb, gh, go), dxs = scan(step_back, (0.0, *zeros), list(zip(tape, dy))[::-1])
        return {"params": {"Wz": gz, "bz": gb, "Wh": gh, "Wo": go}, "xs": np.stack(dxs[::-1]), "h0": dh0}

    rng = np.random.default_rng(1426)
    r = lambda *s: rng.normal(size=s)
    return {"forward": forward, "backward": backward,
            "inputs": {"params": {"Wz": r(3, 4), "bz": r(4), "Wh": r(3, 4), "Wo": r(4, 2)}, "xs": r(5, 3, 3), "h0": r(3, 4)}}


add("mingru_scan", "JAX port (lax.scan by hand)", make_mingru_scan, True)


# ---------------------------------------------------------------- 27
def make_local_level_kalman():
    def forward(log_q, log_r, a0, y):
        q, r = np.exp(log_q), np.exp(log_r)
        a, P = float(a0), 2.0
        ll, hist = 0.0, []
        for obs in y:
            P = P + q
            F = P + r
            v = obs - a
            K = P / F
            ll += -0.5 * (np.log(2 * np.pi * F) + v * v / F)
            hist.append((P, F, v, K))
            a = a + K * v
            P = (1 - K) * P
        return ll, (q, r, hist)

    def backward(dll, cache):
        q, r, hist = cache
        da, dP, dq, dr = 0.0, 0.0, 0.0, 0.0
        dy = np.zeros(len(hist))
        for t in range(len(hist) - 1, -1, -1):
            P, F, v, K = hist[t]
            dK = da * v
            dv = da * K - dll * v / F
            dF = -0.5 * dll * (1 / F - v * v / F ** 2)
            dP_pred = dP * (1 - K)
            dP_pred += dK / F
            dF += -dK * P / F ** 2
            dP_pred += dF
            dr += dF
            dy[t] = dv
            da = da - dv
            dq += dP_pred
            dP = dP_pred
        return {"log_q": np.array(dq * q), "log_r": np.array(dr * r), "a0": np.array(da), "y": dy}

    rng = np.random.default_rng(1427)
    y = np.cumsum(rng.normal(size=8)) + rng.normal(size=8)
    return {"forward": forward, "backward": backward,
            "inputs": {"log_q": np.array(-0.4), "log_r": np.array(0.3), "a0": np.array(0.7), "y": y}}


add("local_level_kalman", "econometrics blog, state-space models", make_local_level_kalman, False,
    "P = (1 - K) P depends on P through K as well: dK = da * v lacks - dP * P",
    ["log_q", "log_r"], ["missing-term"])


# ---------------------------------------------------------------- 28
def make_kalman_predict_update():
    class KalmanFilter:
        def forward(self, x, P, F, Q, z, R, H):
            self.x, self.P, self.F, self.H, self.R = x, P, F, H, R
            self.xp = F @ x
            self.Pp = F @ P @ F.T + Q
            self.y = z - H @ self.xp
            self.S = H @ self.Pp @ H.T + R
            self.Si = np.linalg.inv(self.S)
            self.K = self.Pp @ H.T @ self.Si
            self.M = np.eye(len(x)) - self.K @ H
            x_new = self.xp + self.K @ self.y
            P_new = self.M @ self.Pp @ self.M.T + self.K @ R @ self.K.T      # Joseph form
            return np.column_stack([x_new, P_new]), self

        def backward(self, g):
            gx, gP = g[:, 0], g[:, 1:]
            H, K, M, Si, F = self.H, self.K, self.M, self.Si, self.F
            gM = gP @ M @ self.Pp.T + gP.T @ M @ self.Pp
            gK = np.outer(gx, self.y) - gM @ H.T + gP @ K @ self.R.T + gP.T @ K @ self.R
            gR = K.T @ gP @ K
            gPp = M.T @ gP @ M + gK @ Si.T @ H
            gS = -Si.T @ (H @ self.Pp.T @ gK) @ Si.T
            gR = gR + gS
            gPp = gPp + H.T @ gS @ H
            gy = K.T @ gx
            gxp = gx - H.T @ gy
            gF = np.outer(gxp, self.x) + gPp @ F @ self.P.T + gPp.T @ F @ self.P
            return {"x": F.T @ gxp, "P": F.T @ gPp @ F, "F": gF, "Q": gPp, "z": gy, "R": gR}

    rng = np.random.default_rng(1428)
    kf = KalmanFilter()
    L = rng.normal(size=(3, 3)) * 0.6
    inputs = {"x": rng.normal(size=3), "P": L @ L.T + np.eye(3), "F": np.eye(3) + 0.4 * rng.normal(size=(3, 3)),
              "Q": np.diag([0.3, 0.5, 0.2]) + 0.05, "z": rng.normal(size=2), "R": np.array([[0.6, 0.1], [0.1, 0.9]])}
    return {"forward": kf.forward, "backward": lambda dy, c: c.backward(dy), "inputs": inputs,
            "constants": {"H": np.array([[1.0, 0.0, 0.5], [0.0, 1.0, -0.3]])}}


add("kalman_predict_update", "robotics course, filterpy-like class", make_kalman_predict_update, True)


# ---------------------------------------------------------------- 29
def make_neural_ode_euler_adjoint():
    class ODEFunc:
        def __init__(self, t0, t1, n_steps):
            self.ts = np.linspace(t0, t1, n_steps + 1)

        def f(self, z, t, W, b, V):
            h = np.tanh(z @ W + b * t)
            return h, h @ V

        def odeint(self, z0, W, b, V):
            zs = [z0]
            for i in range(len(self.ts) - 1):
                dt = self.ts[i + 1] - self.ts[i]
                zs.append(zs[-1] + dt * self.f(zs[-1], self.ts[i], W, b, V)[1])
            return zs[-1], (zs, W, b, V)

        def adjoint(self, dL_dz1, cache):
            zs, W, b, V = cache
            a = dL_dz1
            gW, gb, gV = np.zeros_like(W), np.zeros_like(b), np.zeros_like(V)
            for i in range(len(self.ts) - 1, 0, -1):
                dt = self.ts[i] - self.ts[i - 1]
                z, t = zs[i], self.ts[i - 1]
                h, _ = self.f(z, t, W, b, V)
                gV += dt * h.T @ a
                pre = (a @ V.T) * (1 - h ** 2)
                gW += dt * z.T @ pre
                gb += dt * t * pre.sum(axis=0)
                a = a + dt * pre @ W.T
            return {"z0": a, "W": gW, "b": gb, "V": gV}

    rng = np.random.default_rng(1429)
    func = ODEFunc(0.3, 1.5, 4)
    return {"forward": func.odeint, "backward": func.adjoint,
            "inputs": {"z0": rng.normal(size=(5, 2)), "W": rng.normal(size=(2, 6)), "b": rng.normal(size=6), "V": rng.normal(size=(6, 2)) * 0.7}}


add("neural_ode_euler_adjoint", "torchdiffeq-like adjoint", make_neural_ode_euler_adjoint, False,
    "step i - 1 -> i was taken at zs[i - 1]; the adjoint evaluates the field and its Jacobian at zs[i]",
    ["z0", "W", "b", "V"], ["elementwise-factor"])


# ---------------------------------------------------------------- 30
def make_rk4_lotka_volterra():
    def field(s, th):
        x, y = s
        return np.array([th[0] * x - th[1] * x * y, th[2] * x * y - th[3] * y])

    def field_vjp(s, th, v):
        x, y = s
        J = np.array([[th[0] - th[1] * y, -th[1] * x], [th[2] * y, th[2] * x - th[3]]])
        return J.T @ v, np.array([x * v[0], -x * y * v[0], x * y * v[1], -y * v[1]])

    def forward(s0, theta, dt, steps):
        s, tape, traj = s0, [], []
        for _ in range(steps):
            p1 = s
            k1 = field(p1, theta)
            p2 = s + dt / 2 * k1
            k2 = field(p2, theta)
            p3 = s + dt / 2 * k2
            k3 = field(p3, theta)
            p4 = s + dt * k3
            k4 = field(p4, theta)
            tape.append((p1, p2, p3, p4))
            s = s + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            traj.append(s)
        return np.array(traj), (tape, theta, dt)

    def backward(dtraj, cache):
        tape, theta, dt = cache
        lam, gth = np.zeros(2), np.zeros(4)
        for (p1, p2, p3, p4), d in zip(tape[::-1], dtraj[::-1]):
            lam = lam + d
            out = lam
            v4, g4 = field_vjp(p4, theta, dt / 6 * lam)
            v3, g3 = field_vjp(p3, theta, dt / 3 * lam + dt * v4)
            v2, g2 = field_vjp(p2, theta, dt / 3 * lam + dt / 2 * v3)
            v1, g1 = field_vjp(p1, theta, dt / 6 * lam + dt / 2 * v2)
            lam = out + v1 + v2 + v3 + v4
            gth = gth + g1 + g2 + g3 + g4
        return lam, gth

    return {"forward": forward, "backward": backward,
            "inputs": {"s0": np.array([1.3, 0.7]), "theta": np.array([1.1, 0.6, 0.5, 0.9])}, "constants": {"dt": 0.25, "steps": 6}}


add("rk4_lotka_volterra", "scientific ML blog, discrete adjoint", make_rk4_lotka_volterra, True)


# ---------------------------------------------------------------- 31
def make_mass_spring_simulation():
    def forward(pos, vel, stiffness, damping, edges, rest, dt, n_steps):
        x, v, states = pos, vel, []
        decay = np.exp(-damping * dt)
        for _ in range(n_steps):
            d = x[edges[:, 1]] - x[edges[:, 0]]
            length = np.sqrt((d ** 2).sum(axis=1))
            f_edge = (stiffness * (length - rest) / length)[:, None] * d
            force = np.zeros_like(x)
            np.add.at(force, edges[:, 0], f_edge)
            np.add.at(force, edges[:, 1], -f_edge)
            states.append((v, d, length, force))
            v = (v + dt * force) * decay
            x = x + dt * v
        return x, (states, stiffness, damping, edges, rest, dt, decay)

    def backward(gx, cache):
        states, stiffness, damping, edges, rest, dt, decay = cache
        gv, gk, gdamp = np.zeros_like(gx), np.zeros_like(stiffness), 0.0
        for v, d, length, force in reversed(states):
            gv = gv + dt * gx
            gdecay = (gv * (v + dt * force)).sum()
            gdamp += -decay * gdecay
            gv = gv * decay
            gforce = dt * gv
            gf = gforce[edges[:, 0]] - gforce[edges[:, 1]]
            along = (gf * d).sum(axis=1)
            gk += along * (length - rest) / length
            gd = (stiffness * (1 - rest / length))[:, None] * gf
            gd += (stiffness * rest * along / length ** 3)[:, None] * d
            gx = gx.copy()
            np.add.at(gx, edges[:, 1], gd)
            np.add.at(gx, edges[:, 0], -gd)
        return {"pos": gx, "vel": gv, "stiffness": gk, "damping": np.array(gdamp)}

    rng = np.random.default_rng(1431)
    edges = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]])
    return {"forward": forward, "backward": backward,
            "inputs": {"pos": np.array([[0.0, 0.1], [1.2, -0.1], [0.9, 1.3], [-0.2, 0.8]]), "vel": rng.normal(size=(4, 2)),
                       "stiffness": np.array([3.0, 2.0, 4.0, 2.5, 1.5]), "damping": np.array(0.8)},
            "constants": {"edges": edges, "rest": np.array([1.0, 1.1, 0.9, 0.8, 1.3]), "dt": 0.1, "n_steps": 5}}


add("mass_spring_simulation", "DiffTaichi example port", make_mass_spring_simulation, False,
    "d exp(-damping dt) / d damping = -dt * decay; the dt is missing",
    ["damping"], ["factor"])


# ---------------------------------------------------------------- 32
def make_projectile_with_drag():
    def simulate(v0, wind, log_c, target, dt, T):
        p, v, g = np.zeros(2), v0, np.array([0.0, -9.81])
        trace = []
        for _ in range(T):
            rel = v - wind
            speed = np.linalg.norm(rel)
            acc = g - np.exp(log_c) * speed * rel
            bounce = p[1] + dt * v[1] < 0
            trace.append((rel, speed, bounce))
            p = p + dt * v
            v = v + dt * acc
            if bounce:
                p = p * np.array([1.0, -1.0])
                v = v * np.array([1.0, -0.6])
        miss = p - target
        return miss @ miss, (trace, log_c, miss, dt)

    def grad_simulate(dloss, cache):
        trace, log_c, miss, dt = cache
        c = np.exp(log_c)
        dp, dv = 2 * dloss * miss, np.zeros(2)
        dwind, dlog_c = np.zeros(2), 0.0
        for rel, speed, bounce in trace[::-1]:
            if bounce:
                dp, dv = dp * np.array([1.0, -1.0]), dv * np.array([1.0, -0.6])
            dacc = dt * dv
            drel = -c * (speed * dacc + rel * (rel @ dacc) / speed)
            dlog_c += -c * speed * (rel @ dacc)
            dwind -= drel
            dv = dv + dt * dp + drel
        return {"v0": dv, "wind": dwind, "log_c": np.array(dlog_c)}

    return {"forward": simulate, "backward": grad_simulate,
            "inputs": {"v0": np.array([4.2, 2.9]), "wind": np.array([-1.1, 0.3]), "log_c": np.array(-2.0)},
            "constants": {"target": np.array([3.0, 0.5]), "dt": 0.08, "T": 14}}


add("projectile_with_drag", "differentiable physics tutorial", make_projectile_with_drag, True)


# ---------------------------------------------------------------- 33
def make_prenorm_feed_forward():
    class SublayerConnection:
        def __init__(self, eps=1e-6):
            self.eps = eps

        def forward(self, x, a_2, b_2, w_1, c_1, w_2):
            mean = x.mean(-1, keepdims=True)
            std = x.std(-1, keepdims=True, ddof=1)
            centered = x - mean
            normed = a_2 * centered / (std + self.eps) + b_2
            pre = normed @ w_1 + c_1
            hidden = np.maximum(pre, 0)
            return x + hidden @ w_2, (centered, std, a_2, w_1, w_2, normed, pre, hidden)

        def backward(self, dout, cache):
            centered, std, a_2, w_1, w_2, normed, pre, hidden = cache
            d_model = centered.shape[-1]
            dw_2 = np.einsum("bth,btd->hd", hidden, dout)
            dpre = dout @ w_2.T * (pre > 0)
            dw_1 = np.einsum("btd,bth->dh", normed, dpre)
            dnormed = dpre @ w_1.T
            denom = std + self.eps
            da_2 = (dnormed * centered / denom).sum((0, 1))
            dhat = dnormed * a_2
            dstd = -(dhat * centered).sum(-1, keepdims=True) / denom ** 2
            dcentered = dhat / denom + dstd * centered / (d_model * std)
            dx = dout + dcentered - dcentered.mean(-1, keepdims=True)
            return {"x": dx, "a_2": da_2, "b_2": dnormed.sum((0, 1)), "w_1": dw_1, "c_1": dpre.sum((0, 1)), "w_2": dw_2}

    rng = np.random.default_rng(1433)
    layer = SublayerConnection()
    r = lambda *s: rng.normal(size=s)
    return {"forward": layer.forward, "backward": layer.backward,
            "inputs": {"x": r(3, 2, 4), "a_2": 1 + 0.3 * r(4), "b_2": r(4) * 0.2, "w_1": r(4, 6), "c_1": r(6), "w_2": r(6, 4)}}


add("prenorm_feed_forward", "Annotated Transformer", make_prenorm_feed_forward, False,
    "the forward's std is the unbiased one (ddof=1), the backward divides by d_model * std: it must be (d_model - 1) * std",
    ["x"], ["factor", "missing-term"])


# ---------------------------------------------------------------- 34
def make_tiny_sequential():
    class Linear:
        def __init__(self, w, b):
            self.params = {"w": w, "b": b}
            self.grads = {"w": np.zeros_like(w), "b": np.zeros_like(b)}

        def forward(self, inputs):
            self.inputs = inputs
            return inputs @ self.params["w"] + self.params["b"]

        def backward(self, grad):
            self.grads["b"] += grad.sum(axis=0)
            self.grads["w"] += self.inputs.T @ grad
            return grad @ self.params["w"].T

    class Tanh:
        params, grads = {}, {}

        def forward(self, inputs):
            self.y = np.tanh(inputs)
            return self.y

        def backward(self, grad):
            return (1 - self.y ** 2) * grad

    class NeuralNet:
        def __init__(self, layers):
            self.layers = layers

        def forward(self, x, w1, b1, w2, b2):
            for layer, w, b in ((self.layers[0], w1, b1), (self.layers[2], w2, b2)):
                layer.params["w"], layer.params["b"] = w, b
            for layer in self.layers:
                x = layer.forward(x)
            return x, self

        def backward(self, grad):
            for layer in reversed(self.layers):
                grad = layer.backward(grad)
            first, last = self.layers[0].grads, self.layers[2].grads
            return grad, first["w"].copy(), first["b"].copy(), last["w"].copy(), last["b"].copy()

    rng = np.random.default_rng(1434)
    inputs = {"x": rng.normal(size=(4, 3)), "w1": rng.normal(size=(3, 5)), "b1": rng.normal(size=5),
              "w2": rng.normal(size=(5, 2)), "b2": rng.normal(size=2)}
    net = NeuralNet([Linear(inputs["w1"], inputs["b1"]), Tanh(), Linear(inputs["w2"], inputs["b2"])])
    return {"forward": net.forward, "backward": lambda dy, c: c.backward(dy), "inputs": inputs}


add("tiny_sequential", "joelnet-like tiny library", make_tiny_sequential, False,
    "Linear.grads is added to and never set to zero: a second backward returns the sum of both; it must be assigned (or zeroed in forward)",
    ["w1", "b1", "w2", "b2"], ["accumulates"])


# ---------------------------------------------------------------- 35
def make_dense_skip_refiner():
    def forward(params, x):
        acts = [x]
        for k in range(2):
            p = params["block%d" % k]
            a = acts[-1] @ p["W"] + p["b"]
            r = np.maximum(a, 0)
            acts.append(acts[-1] + p["gain"] * r)
        return acts[-1], (params, acts)

    def backward(dy, cache):
        params, acts = cache
        grads = {}
        d = dy
        for k in (1, 0):
            p = params["block%d" % k]
            a = acts[k] @ p["W"] + p["b"]            # recomputed, as in gradient checkpointing
            skip = d
            dgain = (d * np.maximum(a, 0)).sum(0)
            d *= p["gain"]
            d[a <= 0] = 0
            grads["block%d" % k] = {"W": acts[k].T @ d, "b": d.sum(0), "gain": dgain}
            d = skip + d @ p["W"].T
        return {"params": grads, "x": d}

    rng = np.random.default_rng(1435)
    params = {"block%d" % k: {"W": rng.normal(size=(4, 4)) * 0.7, "b": rng.normal(size=4), "gain": rng.normal(size=4)}
              for k in range(2)}
    return {"forward": forward, "backward": backward, "inputs": {"params": params, "x": rng.normal(size=(5, 4))}}


add("dense_skip_refiner", "research repository, parameters in a dict", make_dense_skip_refiner, False,
    "d *= gain and d[a <= 0] = 0 write into dy, and skip is the same array; the branch needs a copy (d = d * gain)",
    ["params.block0.W", "params.block0.b", "params.block0.gain", "x"], ["mutates-input", "elementwise-factor"])


# ---------------------------------------------------------------- 36
def make_noisy_dueling_head():
    class NoisyDuelingHead:
        def __init__(self, n_in, n_actions, seed=0):
            self.rng = np.random.default_rng(seed)
            self.n_in, self.n_actions = n_in, n_actions
            self.reset_noise()

        def reset_noise(self):
            f = lambda n: (lambda e: np.sign(e) * np.sqrt(np.abs(e)))(self.rng.normal(size=n))
            self.eps_w = np.outer(f(self.n_in), f(self.n_actions + 1))
            self.eps_b = f(self.n_actions + 1)

        def forward(self, x, mu_w, sigma_w, mu_b, sigma_b):
            self.reset_noise()
            w = mu_w + sigma_w * self.eps_w
            b = mu_b + sigma_b * self.eps_b
            out = x @ w + b
            value, advantage = out[:, :1], out[:, 1:]
            q = value + advantage - advantage.mean(axis=1, keepdims=True)
            return q, (x, w, self.eps_w, self.eps_b)

        def backward(self, dq, cache):
            x, w, eps_w, eps_b = cache
            dadv = dq - dq.mean(axis=1, keepdims=True)
            dout = np.hstack([dq.sum(axis=1, keepdims=True), dadv])
            dw, db = x.T @ dout, dout.sum(axis=0)
            return {"x": dout @ w.T, "mu_w": dw, "sigma_w": dw * eps_w, "mu_b": db, "sigma_b": db * eps_b}

    rng = np.random.default_rng(1436)
    head = NoisyDuelingHead(4, 3)
    return {"forward": head.forward, "backward": head.backward,
            "inputs": {"x": rng.normal(size=(5, 4)), "mu_w": rng.normal(size=(4, 4)), "sigma_w": 0.3 + 0.1 * rng.normal(size=(4, 4)),
                       "mu_b": rng.normal(size=4), "sigma_b": 0.4 + 0.1 * rng.normal(size=4)}}


add("noisy_dueling_head", "Rainbow DQN repository", make_noisy_dueling_head, False,
    "reset_noise() is called inside forward, so each call has other noise; it belongs outside (once an update), or eps is an argument",
    ["x", "mu_w", "sigma_w", "mu_b", "sigma_b"], ["noise-redrawn"])


# ---------------------------------------------------------------- 37
def make_tied_denoising_autoencoder():
    class dA:
        """Denoising autoencoder: the decoder's matrix is the encoder's, transposed."""

        def get_cost(self, params, x, mask):
            W, b, b_prime = params["W"], params["b"], params["b_prime"]
            tilde_x = x * mask
            h = 1 / (1 + np.exp(-(tilde_x @ W + b)))
            logits = h @ W.T + b_prime
            L = (np.logaddexp(0, logits) - x * logits).sum(axis=1)
            return L.mean(), (params, x, mask, tilde_x, h, logits)

        def get_updates(self, dcost, cache):
            params, x, mask, tilde_x, h, logits = cache
            W = params["W"]
            dlogits = (1 / (1 + np.exp(-logits)) - x) * (dcost / len(x))
            L_h1 = (dlogits @ W) * h * (1 - h)
            L_W = tilde_x.T @ L_h1 + dlogits.T @ h
            dx = mask * (L_h1 @ W.T) - logits * (dcost / len(x))
            return {"params": {"W": L_W, "b": L_h1.sum(axis=0), "b_prime": dlogits.sum(axis=0)}, "x": dx}

    rng = np.random.default_rng(1437)
    model = dA()
    params = {"W": rng.normal(size=(6, 3)), "b": rng.normal(size=3), "b_prime": rng.normal(size=6)}
    return {"forward": model.get_cost, "backward": model.get_updates,
            "inputs": {"params": params, "x": rng.uniform(0.05, 0.95, size=(5, 6))},
            "constants": {"mask": (rng.random((5, 6)) > 0.3).astype(np.int64)}}


add("tied_denoising_autoencoder", "deeplearning.net (Theano) port", make_tied_denoising_autoencoder, True)


# ---------------------------------------------------------------- 38
def make_deep_equilibrium_layer():
    def forward(x, W, U, b, V):
        z = np.zeros((len(x), len(W)))
        for _ in range(200):
            z_next = np.tanh(z @ W + x @ U + b)
            if np.abs(z_next - z).max() < 1e-15:
                break
            z = z_next
        z = np.tanh(z @ W + x @ U + b)
        return z @ V, (x, W, U, V, z)

    def backward(dy, cache):
        # implicit function theorem: z = f(z, x), so g = dz + (df/dz)^T g
        x, W, U, V, z = cache
        dz = dy @ V.T
        slope = 1 - z ** 2
        g = np.empty_like(dz)
        for n in range(len(z)):
            J = slope[n][:, None] * W.T                  # d f_i / d z_j
            g[n] = np.linalg.solve(np.eye(len(W)) - J.T, dz[n])
        da = g * slope
        return {"x": da @ U.T, "W": z.T @ da, "U": x.T @ da, "b": da.sum(axis=0), "V": z.T @ dy}

    rng = np.random.default_rng(1438)
    W = rng.normal(size=(4, 4))
    W *= 0.7 / np.linalg.norm(W, 2)
    return {"forward": forward, "backward": backward,
            "inputs": {"x": rng.normal(size=(5, 3)), "W": W, "U": rng.normal(size=(3, 4)), "b": rng.normal(size=4), "V": rng.normal(size=(4, 2))}}


add("deep_equilibrium_layer", "implicit layers tutorial (DEQ)", make_deep_equilibrium_layer, True)


# ---------------------------------------------------------------- 39
def make_squeeze_excite_gelu():
    C0 = np.sqrt(2.0 / np.pi)

    def gelu(x):
        t = np.tanh(C0 * (x + 0.044715 * x ** 3))
        slope = 0.5 * (1 + t) + 0.5 * x * (1 - t ** 2) * C0 * (1 + 3 * 0.044715 * x ** 2)
        return 0.5 * x * (1 + t), slope

    def forward(x, w_dw, w_reduce, w_expand):
        # x (N, L, C): depthwise convolution of width 3 with zero padding, gelu, squeeze and excite, residual
        pad = np.pad(x, ((0, 0), (1, 1), (0, 0)))
        L = x.shape[1]
        a = sum(pad[:, k:k + L] * w_dw[k] for k in range(3))
        u, du_da = gelu(a)
        squeezed = u.mean(axis=1)
        r, dr_dq = gelu(squeezed @ w_reduce)
        gate = 1 / (1 + np.exp(-(r @ w_expand)))
        return x + u * gate[:, None, :], (pad, w_dw, w_reduce, w_expand, u, du_da, squeezed, r, dr_dq, gate)

    def backward(dout, cache):
        pad, w_dw, w_reduce, w_expand, u, du_da, squeezed, r, dr_dq, gate = cache
        L = u.shape[1]
        dlogit = (dout * u).sum(axis=1) * gate * (1 - gate)
        dq = dlogit @ w_expand.T * dr_dq
        du = dout * gate[:, None, :] + (dq @ w_reduce.T)[:, None, :] / L
        da = du * du_da
        dpad = np.zeros_like(pad)
        for k in range(3):
            dpad[:, k:k + L] += da * w_dw[k]
        dw_dw = np.stack([(da * pad[:, k:k + L]).sum(axis=(0, 1)) for k in range(3)])
        return dout + dpad[:, 1:-1], dw_dw, squeezed.T @ dq, r.T @ dlogit

    rng = np.random.default_rng(1439)
    return {"forward": forward, "backward": backward,
            "inputs": {"x": rng.normal(size=(3, 5, 4)), "w_dw": rng.normal(size=(3, 4)), "w_reduce": rng.normal(size=(4, 2)) * 2,
                       "w_expand": rng.normal(size=(2, 4)) * 2}}


add("squeeze_excite_gelu", "timm-like block port", make_squeeze_excite_gelu, True)
