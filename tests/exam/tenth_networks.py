"""Whole small networks and algorithms: hand-written derivatives of several layers or steps."""
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


def make_three_layer_net_with_l2():
    def forward(X, W1, b1, W2, b2, W3, b3, y, reg):
        a1 = X.dot(W1) + b1
        h1 = np.maximum(0, a1)
        a2 = h1.dot(W2) + b2
        h2 = np.maximum(0, a2)
        scores = h2.dot(W3) + b3
        shifted = scores - scores.max(axis=1, keepdims=True)
        probs = np.exp(shifted)
        probs /= probs.sum(axis=1, keepdims=True)
        N = X.shape[0]
        loss = -np.mean(np.log(probs[np.arange(N), y]))
        loss += 0.5 * reg * (np.sum(W1 * W1) + np.sum(W2 * W2) + np.sum(W3 * W3))
        return loss, (X, W1, W2, W3, a1, h1, a2, h2, probs, y, reg)

    def backward(dloss, cache):
        X, W1, W2, W3, a1, h1, a2, h2, probs, y, reg = cache
        N = X.shape[0]
        dscores = probs.copy()
        dscores[np.arange(N), y] -= 1
        dscores *= dloss / N
        grads = {}
        grads["W3"] = h2.T.dot(dscores) + dloss * reg * W3
        grads["b3"] = dscores.sum(axis=0)
        da2 = dscores.dot(W3.T) * (a2 > 0)
        grads["W2"] = h1.T.dot(da2)
        grads["b2"] = da2.sum(axis=0)
        da1 = da2.dot(W2.T) * (a1 > 0)
        grads["W1"] = X.T.dot(da1) + dloss * reg * W1
        grads["b1"] = da1.sum(axis=0)
        grads["X"] = da1.dot(W1.T)
        return grads

    rng = np.random.default_rng(11)
    inputs = dict(X=rng.normal(size=(5, 4)), W1=rng.normal(size=(4, 6)), b1=rng.normal(size=6), W2=rng.normal(size=(6, 5)),
                  b2=rng.normal(size=5), W3=rng.normal(size=(5, 3)), b3=rng.normal(size=3))
    return dict(forward=forward, backward=backward, inputs=inputs, constants=dict(y=np.array([0, 2, 1, 1, 0]), reg=0.1))


ITEMS.append(Item('three_layer_net_with_l2', 'CS231n assignment', 'vjp', make_three_layer_net_with_l2, False,
                  slip='the regularisation gradient of W2 is left out; right: dW2 += reg * W2',
                  wrong=('W2',), causes=('missing-term',)))


def make_captioning_rnn_bptt():
    def rnn_step_forward(x, prev_h, Wx, Wh, b):
        next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
        return next_h, (x, prev_h, Wx, Wh, next_h)

    def rnn_step_backward(dnext_h, cache):
        x, prev_h, Wx, Wh, next_h = cache
        da = dnext_h * (1 - next_h ** 2)
        return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, da.sum(axis=0)

    def rnn_forward(x, h0, Wx, Wh, b):
        N, T, D = x.shape
        h = np.zeros((N, T, h0.shape[1]))
        caches, prev = [], h0
        for t in range(T):
            prev, c = rnn_step_forward(x[:, t], prev, Wx, Wh, b)
            h[:, t] = prev
            caches.append(c)
        return h, caches

    def rnn_backward(dh, caches):
        N, T, H = dh.shape
        D = caches[0][0].shape[1]
        dx = np.zeros((N, T, D))
        dWx, dWh, db = np.zeros((D, H)), np.zeros((H, H)), np.zeros(H)
        dprev = np.zeros((N, H))
        for t in reversed(range(T)):
            dx[:, t], dprev, dwx, dwh, dbt = rnn_step_backward(dh[:, t], caches[t])
            dWx += dwx
            dWh += dwh
            db += dbt
        return dx, dprev, dWx, dWh, db

    rng = np.random.default_rng(12)
    inputs = dict(x=rng.normal(size=(2, 4, 3)), h0=rng.normal(size=(2, 4)), Wx=rng.normal(size=(3, 4)) * .5,
                  Wh=rng.normal(size=(4, 4)) * .5, b=rng.normal(size=4))
    return dict(forward=rnn_forward, backward=rnn_backward, inputs=inputs)


ITEMS.append(Item('captioning_rnn_bptt', 'CS231n assignment', 'vjp', make_captioning_rnn_bptt, False,
                  slip='the gradient carried back from step t+1 is overwritten by the upstream one; right: dh[:, t] + dprev',
                  wrong=('x', 'h0', 'Wx', 'Wh', 'b'), causes=('missing-term',)))


def make_lstm_layer():
    sigmoid = lambda v: 1.0 / (1.0 + np.exp(-v))

    class LSTM:
        def forward(self, x, h0, c0, W, b):
            H = h0.shape[1]
            h, c = h0, c0
            self.steps, self.W, outs = [], W, []
            for t in range(x.shape[0]):
                z = np.hstack([x[t], h])
                g = z @ W + b
                i, f, o = sigmoid(g[:, :H]), sigmoid(g[:, H:2*H]), sigmoid(g[:, 2*H:3*H])
                u = np.tanh(g[:, 3*H:])
                c_prev = c
                c = f * c_prev + i * u
                h = o * np.tanh(c)
                self.steps.append((z, i, f, o, u, c_prev, c))
                outs.append(h)
            return np.stack(outs)

        def backward(self, dout):
            T, N, H = dout.shape
            D = self.W.shape[0] - H
            dW, db = np.zeros_like(self.W), np.zeros(4 * H)
            dh, dc = np.zeros((N, H)), np.zeros((N, H))
            dx = np.empty((T, N, D))
            for t in range(T - 1, -1, -1):
                z, i, f, o, u, c_prev, c = self.steps[t]
                dh = dh + dout[t]
                tc = np.tanh(c)
                dc = dc + dh * o * (1 - tc ** 2)
                di = dc * u * i * (1 - i)
                df = dc * c * f * (1 - f)
                do = dh * tc * o * (1 - o)
                du = dc * i * (1 - u ** 2)
                dg = np.hstack([di, df, do, du])
                dW += z.T @ dg
                db += dg.sum(0)
                dz = dg @ self.W.T
                dx[t], dh = dz[:, :D], dz[:, D:]
                dc = dc * f
            return {"x": dx, "h0": dh, "c0": dc, "W": dW, "b": db}

    def forward(x, h0, c0, W, b):
        layer = LSTM()
        return layer.forward(x, h0, c0, W, b), layer

    rng = np.random.default_rng(13)
    inputs = dict(x=rng.normal(size=(3, 2, 2)), h0=rng.normal(size=(2, 2)), c0=rng.normal(size=(2, 2)),
                  W=rng.normal(size=(4, 8)), b=rng.normal(size=8))
    return dict(forward=forward, backward=lambda dy, layer: layer.backward(dy), inputs=inputs)


ITEMS.append(Item('lstm_layer', 'deep learning blog post', 'vjp', make_lstm_layer, False,
                  slip='the forget gate gets the new cell state instead of the previous one; right: dc * c_prev',
                  wrong=('x', 'h0', 'c0', 'W', 'b'), causes=('elementwise-factor',)))


def make_lstm_layer_again():
    sigmoid = lambda v: 1.0 / (1.0 + np.exp(-v))

    class LSTM:
        def forward(self, x, h0, c0, W, b):
            H = h0.shape[1]
            h, c = h0, c0
            self.steps, self.W, outs = [], W, []
            for t in range(x.shape[0]):
                z = np.hstack([x[t], h])
                g = z @ W + b
                i, f, o = sigmoid(g[:, :H]), sigmoid(g[:, H:2*H]), sigmoid(g[:, 2*H:3*H])
                u = np.tanh(g[:, 3*H:])
                c_prev = c
                c = f * c_prev + i * u
                h = o * np.tanh(c)
                self.steps.append((z, i, f, o, u, c_prev, c))
                outs.append(h)
            return np.stack(outs)

        def backward(self, dout):
            T, N, H = dout.shape
            D = self.W.shape[0] - H
            dW, db = np.zeros_like(self.W), np.zeros(4 * H)
            dh, dc = np.zeros((N, H)), np.zeros((N, H))
            dx = np.empty((T, N, D))
            for t in range(T - 1, -1, -1):
                z, i, f, o, u, c_prev, c = self.steps[t]
                dh = dh + dout[t]
                tc = np.tanh(c)
                dc = dc + dh * o * (1 - tc ** 2)
                di = dc * u * i * (1 - i)
                df = dc * c_prev * f * (1 - f)
                do = dh * tc * o * (1 - o)
                du = dc * i * (1 - u ** 2)
                dg = np.hstack([di, df, do, du])
                dW += z.T @ dg
                db += dg.sum(0)
                dz = dg @ self.W.T
                dx[t], dh = dz[:, :D], dz[:, D:]
                dc = dc * f
            return {"x": dx, "h0": dh, "c0": dc, "W": dW, "b": db}

    def forward(x, h0, c0, W, b):
        layer = LSTM()
        return layer.forward(x, h0, c0, W, b), layer

    rng = np.random.default_rng(13)
    inputs = dict(x=rng.normal(size=(3, 2, 2)), h0=rng.normal(size=(2, 2)), c0=rng.normal(size=(2, 2)),
                  W=rng.normal(size=(4, 8)), b=rng.normal(size=8))
    return dict(forward=forward, backward=lambda dy, layer: layer.backward(dy), inputs=inputs)


ITEMS.append(Item('lstm_layer_again', 'deep learning blog post', 'vjp', make_lstm_layer_again, True))


def make_gru_unrolled():
    def sig(a):
        return 0.5 * (1 + np.tanh(0.5 * a))

    def gru(x, h0, Wz, Uz, Wr, Ur, Wh, Uh):
        tape, h = [], h0
        for xt in x:
            z = sig(xt @ Wz + h @ Uz)
            r = sig(xt @ Wr + h @ Ur)
            rh = r * h
            cand = np.tanh(xt @ Wh + rh @ Uh)
            new = (1 - z) * h + z * cand
            tape.append(dict(x=xt, z=z, r=r, rh=rh, cand=cand, h=h))
            h = new
        return h, (tape, Wz, Uz, Wr, Ur, Wh, Uh)

    def gru_grad(dh, cache):
        tape, Wz, Uz, Wr, Ur, Wh, Uh = cache
        G = {k: np.zeros_like(v) for k, v in zip("Wz Uz Wr Ur Wh Uh".split(), cache[1:])}
        dx = []
        for s in tape[::-1]:
            dz = dh * (s["cand"] - s["h"]) * s["z"] * (1 - s["z"])
            da = dh * s["z"] * (1 - s["cand"] ** 2)
            drh = da @ Uh.T
            dr = drh * s["h"] * s["r"] * (1 - s["r"])
            G["Wz"] += s["x"].T @ dz
            G["Uz"] += s["h"].T @ dz
            G["Wr"] += s["x"].T @ dr
            G["Ur"] += s["h"].T @ dr
            G["Wh"] += s["x"].T @ da
            G["Uh"] += s["rh"].T @ da
            dx.insert(0, dz @ Wz.T + dr @ Wr.T + da @ Wh.T)
            dh = dh * (1 - s["z"]) + drh + dz @ Uz.T + dr @ Ur.T
        G["x"], G["h0"] = np.array(dx), dh
        return G

    rng = np.random.default_rng(14)
    m = lambda *s: rng.normal(size=s) * .7
    inputs = dict(x=m(3, 2, 3), h0=m(2, 4), Wz=m(3, 4), Uz=m(4, 4), Wr=m(3, 4), Ur=m(4, 4), Wh=m(3, 4), Uh=m(4, 4))
    return dict(forward=gru, backward=gru_grad, inputs=inputs)


ITEMS.append(Item('gru_unrolled', 'NLP course homework', 'vjp', make_gru_unrolled, False,
                  slip='the path into h_prev through the candidate lacks the reset gate; right: r * (da @ Uh.T)',
                  wrong=('x', 'h0', 'Wz', 'Uz', 'Wr', 'Ur', 'Wh', 'Uh'), causes=('elementwise-factor',)))


def make_causal_self_attention():
    def forward(x, Wq, Wk, Wv, Wo):
        B, T, C = x.shape
        q, k, v = x @ Wq, x @ Wk, x @ Wv
        att = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        mask = np.triu(np.ones((T, T), dtype=bool), 1)
        att = np.where(mask, -1e9, att)
        att = np.exp(att - att.max(-1, keepdims=True))
        p = att / att.sum(-1, keepdims=True)
        ctx = p @ v
        return ctx @ Wo, (x, q, k, v, p, ctx, mask, Wq, Wk, Wv, Wo)

    def backward(dy, cache):
        x, q, k, v, p, ctx, mask, Wq, Wk, Wv, Wo = cache
        dWo = np.einsum("btc,btd->cd", ctx, dy)
        dctx = dy @ Wo.T
        dp = dctx @ v.transpose(0, 2, 1)
        dv = p.transpose(0, 2, 1) @ dctx
        datt = p * (dp - (dp * p).sum(axis=-2, keepdims=True))
        datt = np.where(mask, 0.0, datt) / np.sqrt(q.shape[-1])
        dq = datt @ k
        dk = datt.transpose(0, 2, 1) @ q
        dx = dq @ Wq.T + dk @ Wk.T + dv @ Wv.T
        xf = x.reshape(-1, x.shape[-1])
        flat = lambda a: a.reshape(-1, a.shape[-1])
        return dict(x=dx, Wq=xf.T @ flat(dq), Wk=xf.T @ flat(dk), Wv=xf.T @ flat(dv), Wo=dWo)

    rng = np.random.default_rng(15)
    inputs = dict(x=rng.normal(size=(2, 4, 3)), Wq=rng.normal(size=(3, 2)), Wk=rng.normal(size=(3, 2)), Wv=rng.normal(size=(3, 4)), Wo=rng.normal(size=(4, 3)))
    return dict(forward=forward, backward=backward, inputs=inputs)


ITEMS.append(Item('causal_self_attention', 'transformer from scratch blog', 'vjp', make_causal_self_attention, False,
                  slip='the softmax backward sums over the queries (axis -2) instead of the keys (axis -1)',
                  wrong=('x', 'Wq', 'Wk'), causes=('shape', 'missing-term', 'unknown')))


def make_multi_head_cross_attention():
    class MultiHeadCrossAttention:
        def __init__(self, n_heads):
            self.h = n_heads

        def split(self, t):
            n, c = t.shape
            return t.reshape(n, self.h, c // self.h).swapaxes(0, 1)

        def merge(self, t):
            return t.swapaxes(0, 1).reshape(t.shape[1], -1)

        def __call__(self, query, memory, Wq, Wk, Wv):
            q, k, v = self.split(query @ Wq), self.split(memory @ Wk), self.split(memory @ Wv)
            scale = q.shape[-1] ** -0.5
            s = np.einsum("hid,hjd->hij", q, k) * scale
            e = np.exp(s - s.max(2, keepdims=True))
            a = e / e.sum(2, keepdims=True)
            self.saved = query, memory, Wq, Wk, Wv, q, k, v, a, scale
            return self.merge(np.einsum("hij,hjd->hid", a, v))

        def grad(self, dout):
            query, memory, Wq, Wk, Wv, q, k, v, a, scale = self.saved
            do = self.split(dout)
            dv = np.einsum("hij,hid->hjd", a, do)
            da = np.einsum("hid,hjd->hij", do, v)
            ds = a * (da - np.einsum("hij,hij->hi", a, da)[..., None])
            dq = np.einsum("hij,hjd->hid", ds, k) * scale
            dk = np.einsum("hij,hid->hjd", ds, q)
            dq, dk, dv = self.merge(dq), self.merge(dk), self.merge(dv)
            return (dq @ Wq.T, dk @ Wk.T + dv @ Wv.T, query.T @ dq, memory.T @ dk, memory.T @ dv)

    def forward(query, memory, Wq, Wk, Wv):
        mod = MultiHeadCrossAttention(2)
        return mod(query, memory, Wq, Wk, Wv), mod

    rng = np.random.default_rng(16)
    inputs = dict(query=rng.normal(size=(3, 4)), memory=rng.normal(size=(5, 3)), Wq=rng.normal(size=(4, 6)), Wk=rng.normal(size=(3, 6)), Wv=rng.normal(size=(3, 6)))
    return dict(forward=forward, backward=lambda dy, mod: mod.grad(dy), inputs=inputs)


ITEMS.append(Item('multi_head_cross_attention', 'layer library', 'vjp', make_multi_head_cross_attention, False,
                  slip='the 1/sqrt(d_head) scale is missing in the gradient of the keys',
                  wrong=('memory', 'Wk'), causes=('factor', 'missing-term')))


def make_prenorm_feedforward_block():
    from math import sqrt, pi

    def gelu(u):
        t = np.tanh(sqrt(2 / pi) * (u + 0.044715 * u ** 3))
        return 0.5 * u * (1 + t), t

    def block(x, gamma, beta, W1, b1, W2, b2):
        mu = x.mean(-1, keepdims=True)
        rstd = 1 / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        xhat = (x - mu) * rstd
        n = gamma * xhat + beta
        u = n @ W1 + b1
        g, t = gelu(u)
        return x + g @ W2 + b2, (xhat, rstd, gamma, n, u, t, g, W1, W2)

    def block_backward(dy, cache):
        xhat, rstd, gamma, n, u, t, g, W1, W2 = cache
        dg = dy @ W2.T
        du = dg * (0.5 * (1 + t) + 0.5 * u * (1 - t * t) * sqrt(2 / pi) * (1 + 3 * 0.044715 * u * u))
        dn = du @ W1.T
        dxhat = dn * gamma
        dx = rstd * (dxhat - dxhat.mean(-1, keepdims=True) - xhat * (dxhat * xhat).mean(-1, keepdims=True))
        return dx, (dn * xhat).sum(0), dn.sum(0), n.T @ du, du.sum(0), g.T @ dy, dy.sum(0)

    rng = np.random.default_rng(17)
    inputs = dict(x=rng.normal(size=(4, 4)), gamma=1 + .3 * rng.normal(size=4), beta=rng.normal(size=4), W1=rng.normal(size=(4, 7)),
                  b1=rng.normal(size=7), W2=rng.normal(size=(7, 4)), b2=rng.normal(size=4))
    return dict(forward=block, backward=block_backward, inputs=inputs)


ITEMS.append(Item('prenorm_feedforward_block', 'transformer from scratch blog', 'vjp', make_prenorm_feedforward_block, False,
                  slip='the skip connection is forgotten in the gradient of x; right: dx = dy + ...',
                  wrong=('x',), causes=('missing-term',)))


def make_gae_advantages():
    gamma, lam = 0.95, 0.9

    def compute_gae(rewards, values):
        T = len(rewards)
        adv = np.zeros(T)
        last = 0.0
        for t in reversed(range(T)):
            delta = rewards[t] + gamma * values[t + 1] - values[t]
            last = delta + gamma * lam * last
            adv[t] = last
        return adv, T

    def gae_backward(dadv, T):
        drewards, dvalues = np.zeros(T), np.zeros(T + 1)
        carry = 0.0
        for t in reversed(range(T)):
            carry = dadv[t] + gamma * lam * carry
            drewards[t] += carry
            dvalues[t + 1] += gamma * carry
            dvalues[t] -= carry
        return drewards, dvalues

    rng = np.random.default_rng(18)
    return dict(forward=compute_gae, backward=gae_backward, inputs=dict(rewards=rng.normal(size=7), values=rng.normal(size=8)))


ITEMS.append(Item('gae_advantages', 'RL research code', 'vjp', make_gae_advantages, False,
                  slip='the adjoint of the reverse scan has to run forwards in time but is run backwards again',
                  wrong=('rewards', 'values'), causes=('transpose', 'unknown')))


def make_ppo_clipped_policy():
    def policy_loss(obs, W, b, actions, old_logp, adv, clip):
        logits = obs @ W + b
        logits = logits - logits.max(1, keepdims=True)
        logp_all = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        idx = np.arange(len(obs))
        ratio = np.exp(logp_all[idx, actions] - old_logp)
        surr1 = ratio * adv
        surr2 = np.clip(ratio, 1 - clip, 1 + clip) * adv
        loss = -np.minimum(surr1, surr2).mean()
        return loss, {"obs": obs, "W": W, "logp": logp_all, "ratio": ratio, "s1": surr1, "s2": surr2, "adv": adv, "a": actions}

    def policy_grad(dloss, c):
        n = len(c["adv"])
        dratio = -dloss * c["adv"] / n
        dlogp = dratio * c["ratio"]
        p = np.exp(c["logp"])
        onehot = np.eye(p.shape[1])[c["a"]]
        dlogits = dlogp[:, None] * (onehot - p)
        return {"obs": dlogits @ c["W"].T, "W": c["obs"].T @ dlogits, "b": dlogits.sum(0)}

    rng = np.random.default_rng(19)
    obs, W, b = rng.normal(size=(8, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)
    actions = rng.integers(0, 4, 8)
    l = obs @ W + b
    lp = l - np.log(np.exp(l).sum(1, keepdims=True))
    shift = np.array([.05, -.5, .4, -.1, .6, -.6, .02, .45])
    adv = np.array([1., -.7, .9, .5, -1.2, 1.1, -.4, -.8]) + .1 * rng.normal(size=8)
    return dict(forward=policy_loss, backward=policy_grad, inputs=dict(obs=obs, W=W, b=b),
                constants=dict(actions=actions, old_logp=lp[np.arange(8), actions] + shift, adv=adv, clip=0.2))


ITEMS.append(Item('ppo_clipped_policy', 'RL research code', 'vjp', make_ppo_clipped_policy, False,
                  slip='the gradient flows through every ratio, also where min() picked the clipped constant; right: masked',
                  wrong=('W', 'b', 'obs'), causes=('elementwise-factor', 'missing-term', 'batch-sum')))


def make_ppo_clipped_policy_again():
    def policy_loss(obs, W, b, actions, old_logp, adv, clip):
        logits = obs @ W + b
        logits = logits - logits.max(1, keepdims=True)
        logp_all = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        idx = np.arange(len(obs))
        ratio = np.exp(logp_all[idx, actions] - old_logp)
        surr1 = ratio * adv
        surr2 = np.clip(ratio, 1 - clip, 1 + clip) * adv
        loss = -np.minimum(surr1, surr2).mean()
        return loss, {"obs": obs, "W": W, "logp": logp_all, "ratio": ratio, "s1": surr1, "s2": surr2, "adv": adv, "a": actions}

    def policy_grad(dloss, c):
        n = len(c["adv"])
        dratio = -dloss * c["adv"] / n
        dratio = np.where(c["s1"] <= c["s2"], dratio, 0.0)
        dlogp = dratio * c["ratio"]
        p = np.exp(c["logp"])
        onehot = np.eye(p.shape[1])[c["a"]]
        dlogits = dlogp[:, None] * (onehot - p)
        return {"obs": dlogits @ c["W"].T, "W": c["obs"].T @ dlogits, "b": dlogits.sum(0)}

    rng = np.random.default_rng(19)
    obs, W, b = rng.normal(size=(8, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)
    actions = rng.integers(0, 4, 8)
    l = obs @ W + b
    lp = l - np.log(np.exp(l).sum(1, keepdims=True))
    shift = np.array([.05, -.5, .4, -.1, .6, -.6, .02, .45])
    adv = np.array([1., -.7, .9, .5, -1.2, 1.1, -.4, -.8]) + .1 * rng.normal(size=8)
    return dict(forward=policy_loss, backward=policy_grad, inputs=dict(obs=obs, W=W, b=b),
                constants=dict(actions=actions, old_logp=lp[np.arange(8), actions] + shift, adv=adv, clip=0.2))


ITEMS.append(Item('ppo_clipped_policy_again', 'RL research code', 'vjp', make_ppo_clipped_policy_again, True))


def make_clip_style_contrastive():
    def normalize(v):
        n = np.sqrt((v ** 2).sum(1, keepdims=True))
        return v / n, n

    def softmax(s, axis):
        e = np.exp(s - s.max(axis=axis, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True)

    def clip_loss(img, txt, log_t):
        u, nu = normalize(img)
        w, nw = normalize(txt)
        sim = u @ w.T
        logits = np.exp(log_t) * sim
        pr, pc = softmax(logits, 1), softmax(logits, 0)
        loss = -0.5 * (np.log(np.diag(pr)).mean() + np.log(np.diag(pc)).mean())
        return loss, (u, nu, w, nw, sim, np.exp(log_t), pr, pc)

    def clip_loss_backward(g, cache):
        u, nu, w, nw, sim, scale, pr, pc = cache
        n = len(u)
        eye = np.eye(n)
        dlogits = g * 0.5 * (pr - eye) / n
        dsim = scale * dlogits
        du, dw = dsim @ w, dsim.T @ u
        dimg = (du - u * (du * u).sum(1, keepdims=True)) / nu
        dtxt = (dw - w * (dw * w).sum(1, keepdims=True)) / nw
        return dimg, dtxt, (dlogits * scale * sim).sum()

    rng = np.random.default_rng(20)
    return dict(forward=clip_loss, backward=clip_loss_backward,
                inputs=dict(img=rng.normal(size=(5, 4)), txt=rng.normal(size=(5, 4)), log_t=np.array(0.7)))


ITEMS.append(Item('clip_style_contrastive', 'self-supervised learning repository', 'vjp', make_clip_style_contrastive, False,
                  slip='only the image-to-text half of the symmetric loss is propagated; the text-to-image half is missing',
                  wrong=('img', 'txt', 'log_t'), causes=('missing-term',)))


def make_triplet_embedding_net():
    def forward(anchor, positive, negative, W, margin):
        a, p, n = anchor @ W, positive @ W, negative @ W
        dp = ((a - p) ** 2).sum(1)
        dn = ((a - n) ** 2).sum(1)
        hinge = np.maximum(dp - dn + margin, 0)
        return hinge.mean(), (anchor, positive, negative, W, a, p, n, hinge)

    def backward(dy, cache):
        anchor, positive, negative, W, a, p, n, hinge = cache
        active = (hinge > 0)[:, None] * dy / len(hinge)
        ga = 2 * (p - n) * active
        gp = -2 * (a - p) * active
        gn = 2 * (a - n) * active
        gW = anchor.T @ ga + positive.T @ gp + negative.T @ gn
        return {"anchor": ga @ W.T, "positive": gp @ W.T, "negative": gn @ W.T, "W": gW}

    rng = np.random.default_rng(21)
    inputs = {k: rng.normal(size=(6, 4)) for k in ("anchor", "positive", "negative")}
    inputs["W"] = rng.normal(size=(4, 3))
    return dict(forward=forward, backward=backward, inputs=inputs, constants=dict(margin=3.0))


ITEMS.append(Item('triplet_embedding_net', 'metric learning code', 'vjp', make_triplet_embedding_net, False,
                  slip="the anchor's gradient has the sign of (p - n); right: 2 (n - p)",
                  wrong=('anchor', 'W'), causes=('sign', 'missing-term')))


def make_skipgram_negative_sampling():
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def forward(V, U, center, outside, negs):
        vc = V[center]
        s_pos = sigmoid(U[outside] @ vc)
        s_neg = sigmoid(-U[negs] @ vc)
        loss = -np.log(s_pos).sum() - np.log(s_neg).sum()
        return loss, (V, U, center, outside, negs, vc, s_pos, s_neg)

    def backward(dloss, cache):
        V, U, center, outside, negs, vc, s_pos, s_neg = cache
        gradV, gradU = np.zeros_like(V), np.zeros_like(U)
        gradV[center] = (s_pos - 1) @ U[outside] + (1 - s_neg) @ U[negs]
        gradU[outside] += np.outer(s_pos - 1, vc)
        gradU[negs] += np.outer(1 - s_neg, vc)
        return gradV * dloss, gradU * dloss

    rng = np.random.default_rng(22)
    return dict(forward=forward, backward=backward, inputs=dict(V=rng.normal(size=(7, 4)), U=rng.normal(size=(7, 4))),
                constants=dict(center=2, outside=np.array([1, 4]), negs=np.array([3, 5, 3, 0, 6, 3])))


ITEMS.append(Item('skipgram_negative_sampling', 'CS224n assignment', 'vjp', make_skipgram_negative_sampling, False,
                  slip='fancy-index += drops repeated negative samples; right: np.add.at',
                  wrong=('U',), causes=('missing-term', 'batch-sum')))


def make_skipgram_negative_sampling_again():
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def forward(V, U, center, outside, negs):
        vc = V[center]
        s_pos = sigmoid(U[outside] @ vc)
        s_neg = sigmoid(-U[negs] @ vc)
        loss = -np.log(s_pos).sum() - np.log(s_neg).sum()
        return loss, (V, U, center, outside, negs, vc, s_pos, s_neg)

    def backward(dloss, cache):
        V, U, center, outside, negs, vc, s_pos, s_neg = cache
        gradV, gradU = np.zeros_like(V), np.zeros_like(U)
        gradV[center] = (s_pos - 1) @ U[outside] + (1 - s_neg) @ U[negs]
        gradU[outside] += np.outer(s_pos - 1, vc)
        np.add.at(gradU, negs, np.outer(1 - s_neg, vc))
        return gradV * dloss, gradU * dloss

    rng = np.random.default_rng(22)
    return dict(forward=forward, backward=backward, inputs=dict(V=rng.normal(size=(7, 4)), U=rng.normal(size=(7, 4))),
                constants=dict(center=2, outside=np.array([1, 4]), negs=np.array([3, 5, 3, 0, 6, 3])))


ITEMS.append(Item('skipgram_negative_sampling_again', 'CS224n assignment', 'vjp', make_skipgram_negative_sampling_again, True))


def make_pinhole_reprojection():
    def hat(w):
        return np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0.]])

    def project(points, omega, trans, f, observed):
        # Cayley map: R = (I - A)^-1 (I + A)
        A = hat(omega)
        I = np.eye(3)
        M = np.linalg.inv(I - A)
        R = M @ (I + A)
        cam = points @ R.T + trans
        X, Y, Z = cam.T
        uv = np.stack([f[0] * X / Z, f[1] * Y / Z], 1)
        res = uv - observed
        return 0.5 * np.sum(res ** 2), (points, M, R, cam, res, f)

    def project_backward(dy, cache):
        points, M, R, cam, res, f = cache
        X, Y, Z = cam.T
        du, dv = (dy * res).T
        dX = f[0] * du / Z
        dY = f[1] * dv / Z
        dZ = -(f[0] * du * X) / Z ** 2
        dcam = np.stack([dX, dY, dZ], 1)
        dR = dcam.T @ points
        dA = M.T @ dR @ (R + np.eye(3)).T
        domega = np.array([dA[2, 1] - dA[1, 2], dA[0, 2] - dA[2, 0], dA[1, 0] - dA[0, 1]])
        return {"points": dcam @ R, "omega": domega, "trans": dcam.sum(0)}

    rng = np.random.default_rng(23)
    return dict(forward=project, backward=project_backward,
                inputs=dict(points=rng.normal(size=(6, 3)), omega=.2 * rng.normal(size=3), trans=np.array([.3, -.2, 5.])),
                constants=dict(f=(2.0, 1.7), observed=rng.normal(size=(6, 2))))


ITEMS.append(Item('pinhole_reprojection', 'computer vision course', 'vjp', make_pinhole_reprojection, False,
                  slip='the depth gradient leaves out the v coordinate: dZ = -(du X fx + dv Y fy)/Z^2',
                  wrong=('points', 'omega', 'trans'), causes=('missing-term',)))


def make_nerf_volume_rendering():
    def render(sigma, rgb, delta):
        tau = sigma * delta
        alpha = 1 - np.exp(-tau)
        acc = np.cumsum(tau, axis=1)
        trans = np.exp(-np.concatenate([np.zeros((len(tau), 1)), acc[:, :-1]], axis=1))
        weights = trans * alpha
        color = np.einsum("rs,rsc->rc", weights, rgb)
        return color, (tau, trans, weights, rgb, delta)

    def render_backward(dcolor, cache):
        tau, trans, weights, rgb, delta = cache
        dweights = np.einsum("rc,rsc->rs", dcolor, rgb)
        drgb = weights[..., None] * dcolor[:, None, :]
        wd = weights * dweights
        suffix = np.cumsum(wd[:, ::-1], axis=1)[:, ::-1]
        dtau = dweights * trans * np.exp(-tau) - suffix
        return {"sigma": dtau * delta, "rgb": drgb}

    rng = np.random.default_rng(24)
    return dict(forward=render, backward=render_backward, inputs=dict(sigma=rng.uniform(.2, 2, size=(3, 4)), rgb=rng.uniform(size=(3, 4, 3))),
                constants=dict(delta=rng.uniform(.2, .6, size=(3, 4))))


ITEMS.append(Item('nerf_volume_rendering', 'graphics research code', 'vjp', make_nerf_volume_rendering, False,
                  slip='the transmittance path counts the sample itself: the suffix sum must start after i, not at i',
                  wrong=('sigma',), causes=('missing-term', 'unknown')))


def make_nerf_volume_rendering_again():
    def render(sigma, rgb, delta):
        tau = sigma * delta
        alpha = 1 - np.exp(-tau)
        acc = np.cumsum(tau, axis=1)
        trans = np.exp(-np.concatenate([np.zeros((len(tau), 1)), acc[:, :-1]], axis=1))
        weights = trans * alpha
        color = np.einsum("rs,rsc->rc", weights, rgb)
        return color, (tau, trans, weights, rgb, delta)

    def render_backward(dcolor, cache):
        tau, trans, weights, rgb, delta = cache
        dweights = np.einsum("rc,rsc->rs", dcolor, rgb)
        drgb = weights[..., None] * dcolor[:, None, :]
        wd = weights * dweights
        suffix = np.cumsum(wd[:, ::-1], axis=1)[:, ::-1] - wd
        dtau = dweights * trans * np.exp(-tau) - suffix
        return {"sigma": dtau * delta, "rgb": drgb}

    rng = np.random.default_rng(24)
    return dict(forward=render, backward=render_backward, inputs=dict(sigma=rng.uniform(.2, 2, size=(3, 4)), rgb=rng.uniform(size=(3, 4, 3))),
                constants=dict(delta=rng.uniform(.2, .6, size=(3, 4))))


ITEMS.append(Item('nerf_volume_rendering_again', 'graphics research code', 'vjp', make_nerf_volume_rendering_again, True))


def make_rk4_pendulum_adjoint():
    def rhs(y, th):
        return np.array([y[1], -th[0] * np.sin(y[0]) - th[1] * y[1]])

    def rhs_vjp(y, th, v):
        dy = np.array([-v[1] * th[0] * np.cos(y[0]), v[0] - th[1] * v[1]])
        dth = np.array([-v[1] * np.sin(y[0]), -v[1] * y[1]])
        return dy, dth

    def integrate(state, theta, dt, n):
        y, saved = state, []
        for _ in range(n):
            k1 = rhs(y, theta)
            y2 = y + dt / 2 * k1
            k2 = rhs(y2, theta)
            y3 = y + dt / 2 * k2
            k3 = rhs(y3, theta)
            y4 = y + dt * k3
            k4 = rhs(y4, theta)
            saved.append((y, y2, y3, y4))
            y = y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return y, (saved, theta, dt)

    def adjoint(lam, cache):
        saved, theta, dt = cache
        gth = np.zeros_like(theta)
        for y1, y2, y3, y4 in reversed(saved):
            a4, t4 = rhs_vjp(y4, theta, dt / 6 * lam)
            a3, t3 = rhs_vjp(y3, theta, dt / 3 * lam + dt * a4)
            a2, t2 = rhs_vjp(y2, theta, dt / 3 * lam + dt * a3)
            a1, t1 = rhs_vjp(y1, theta, dt / 6 * lam + dt / 2 * a2)
            lam = lam + a1 + a2 + a3 + a4
            gth = gth + t1 + t2 + t3 + t4
        return lam, gth

    rng = np.random.default_rng(25)
    return dict(forward=integrate, backward=adjoint, inputs=dict(state=rng.normal(size=2), theta=rng.uniform(1, 2, size=2)), constants=dict(dt=0.3, n=5))


ITEMS.append(Item('rk4_pendulum_adjoint', 'computational physics course', 'vjp', make_rk4_pendulum_adjoint, False,
                  slip='the step of the second stage is dt, not dt/2, in the adjoint of k2',
                  wrong=('state', 'theta'), causes=('missing-term', 'unknown', 'factor')))


def make_rk4_pendulum_adjoint_again():
    def rhs(y, th):
        return np.array([y[1], -th[0] * np.sin(y[0]) - th[1] * y[1]])

    def rhs_vjp(y, th, v):
        dy = np.array([-v[1] * th[0] * np.cos(y[0]), v[0] - th[1] * v[1]])
        dth = np.array([-v[1] * np.sin(y[0]), -v[1] * y[1]])
        return dy, dth

    def integrate(state, theta, dt, n):
        y, saved = state, []
        for _ in range(n):
            k1 = rhs(y, theta)
            y2 = y + dt / 2 * k1
            k2 = rhs(y2, theta)
            y3 = y + dt / 2 * k2
            k3 = rhs(y3, theta)
            y4 = y + dt * k3
            k4 = rhs(y4, theta)
            saved.append((y, y2, y3, y4))
            y = y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return y, (saved, theta, dt)

    def adjoint(lam, cache):
        saved, theta, dt = cache
        gth = np.zeros_like(theta)
        for y1, y2, y3, y4 in reversed(saved):
            a4, t4 = rhs_vjp(y4, theta, dt / 6 * lam)
            a3, t3 = rhs_vjp(y3, theta, dt / 3 * lam + dt * a4)
            a2, t2 = rhs_vjp(y2, theta, dt / 3 * lam + dt / 2 * a3)
            a1, t1 = rhs_vjp(y1, theta, dt / 6 * lam + dt / 2 * a2)
            lam = lam + a1 + a2 + a3 + a4
            gth = gth + t1 + t2 + t3 + t4
        return lam, gth

    rng = np.random.default_rng(25)
    return dict(forward=integrate, backward=adjoint, inputs=dict(state=rng.normal(size=2), theta=rng.uniform(1, 2, size=2)), constants=dict(dt=0.3, n=5))


ITEMS.append(Item('rk4_pendulum_adjoint_again', 'computational physics course', 'vjp', make_rk4_pendulum_adjoint_again, True))


def make_planar_flow_stack():
    class PlanarFlow:
        def __init__(self, u, w, b):
            self.u, self.w, self.b = u, w, b

        def forward(self, z):
            a = z @ self.w + self.b
            h = np.tanh(a)
            self.z, self.h = z, h
            self.psi = 1 + (1 - h ** 2) * (self.u @ self.w)
            return z + np.outer(h, self.u), np.log(np.abs(self.psi))

        def backward(self, dz, dlogdet):
            h1 = 1 - self.h ** 2
            dpsi = dlogdet / self.psi
            da = (dz @ self.u) * h1 - dpsi * (self.u @ self.w) * self.h * h1
            s = np.sum(dpsi * h1)
            du = self.h @ dz + s * self.w
            dw = da @ self.z + s * self.u
            return dz + np.outer(da, self.w), du, dw, da.sum()

    def forward(z, u, w, b):
        flows = [PlanarFlow(u[k], w[k], b[k]) for k in range(len(b))]
        total = np.zeros(len(z))
        for f in flows:
            z, ld = f.forward(z)
            total = total + ld
        logp = -0.5 * (z ** 2).sum(1) + total
        return logp, (flows, z)

    def backward(dy, cache):
        flows, z = cache
        dz = -z * dy[:, None]
        parts = []
        for f in flows[::-1]:
            dz, du, dw, db = f.backward(dz, dy)
            parts.append((du, dw, db))
        parts.reverse()
        return {"z": dz, "u": np.array([p[0] for p in parts]), "w": np.array([p[1] for p in parts]), "b": np.array([p[2] for p in parts])}

    rng = np.random.default_rng(26)
    w = rng.normal(size=(3, 2))
    u = .4 * w + .2 * rng.normal(size=(3, 2))
    return dict(forward=forward, backward=backward, inputs=dict(z=rng.normal(size=(4, 2)), u=u, w=w, b=rng.normal(size=3)))


ITEMS.append(Item('planar_flow_stack', 'normalizing flow repository', 'vjp', make_planar_flow_stack, False,
                  slip="the log-determinant's derivative of 1 - h^2 is -2 h (1 - h^2); the 2 is missing",
                  wrong=('z', 'u', 'w', 'b'), causes=('factor', 'missing-term', 'elementwise-factor')))


def make_gaussian_mixture_nll():
    LOG2PI = np.log(2 * np.pi)

    def gmm_nll(x, logits, mu, logvar):
        logpi = logits - np.log(np.exp(logits).sum())
        diff = x[:, None, :] - mu[None]
        maha = diff ** 2 * np.exp(-logvar)
        comp = logpi - 0.5 * (LOG2PI + logvar + maha).sum(-1)
        m = comp.max(1, keepdims=True)
        lse = m + np.log(np.exp(comp - m).sum(1, keepdims=True))
        resp = np.exp(comp - lse)
        return -lse.sum(), (resp, diff, maha, logvar, logpi)

    def gmm_nll_grad(d, cache):
        resp, diff, maha, logvar, logpi = cache
        N = len(resp)
        prec = np.exp(-logvar)
        dx = (resp[..., None] * diff * prec).sum(1)
        dlogits = N * np.exp(logpi) - resp.sum(0)
        dmu = -(resp[..., None] * diff * prec).sum(0)
        dlogvar = (resp[..., None] * (1 - maha)).sum(0)
        return d * dx, d * dlogits, d * dmu, d * dlogvar

    rng = np.random.default_rng(27)
    return dict(forward=gmm_nll, backward=gmm_nll_grad, inputs=dict(x=rng.normal(size=(6, 2)), logits=rng.normal(size=3), mu=rng.normal(size=(3, 2)), logvar=.5 * rng.normal(size=(3, 2))))


ITEMS.append(Item('gaussian_mixture_nll', 'machine learning textbook', 'vjp', make_gaussian_mixture_nll, False,
                  slip='d nll / d logvar lacks the 1/2 in front of (1 - maha); right: 0.5 * r * (1 - ...)',
                  wrong=('logvar',), causes=('factor',)))


def make_cascaded_biquads():
    def biquad(x, b, a):
        y = np.zeros_like(x)
        for n in range(len(x)):
            acc = b[0] * x[n]
            if n > 0:
                acc += b[1] * x[n-1] - a[0] * y[n-1]
            if n > 1:
                acc += b[2] * x[n-2] - a[1] * y[n-2]
            y[n] = acc
        return y

    def biquad_backward(dy, x, y, b, a):
        N = len(x)
        g = dy.copy()
        dx, db, da = np.zeros(N), np.zeros(3), np.zeros(2)
        for n in range(N - 1, -1, -1):
            gn = g[n]
            dx[n] += gn * b[0]
            db[0] += gn * x[n]
            if n > 0:
                dx[n-1] += gn * b[1]
                db[1] += gn * x[n-1]
                da[0] -= gn * y[n]
                g[n-1] -= gn * a[0]
            if n > 1:
                dx[n-2] += gn * b[2]
                db[2] += gn * x[n-2]
                da[1] -= gn * y[n-2]
                g[n-2] -= gn * a[1]
        return dx, db, da

    def forward(x, b, a):
        signals = [x]
        for bi, ai in zip(b, a):
            signals.append(biquad(signals[-1], bi, ai))
        return signals[-1], (signals, b, a)

    def backward(dy, cache):
        signals, b, a = cache
        db, da = np.zeros_like(b), np.zeros_like(a)
        for i in range(len(b) - 1, -1, -1):
            dy, db[i], da[i] = biquad_backward(dy, signals[i], signals[i+1], b[i], a[i])
        return {"x": dy, "b": db, "a": da}

    rng = np.random.default_rng(28)
    a = np.array([[-.6, .3], [.4, .2]]) + .05 * rng.normal(size=(2, 2))
    return dict(forward=forward, backward=backward, inputs=dict(x=rng.normal(size=12), b=rng.normal(size=(2, 3)), a=a))


ITEMS.append(Item('cascaded_biquads', 'audio DSP code', 'vjp', make_cascaded_biquads, False,
                  slip='the gradient of a1 uses y[n] where the filter used y[n-1]',
                  wrong=('a',), causes=('elementwise-factor', 'unknown', 'missing-term')))


def make_sharpe_ratio_softmax_portfolio():
    def sharpe(scores, returns, cost):
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        w = e / e.sum(axis=1, keepdims=True)
        pnl = (w * returns).sum(axis=1)
        mean, sd = pnl.mean(), pnl.std(ddof=1)
        return (mean - cost) / sd, (w, returns, pnl, mean, sd, cost)

    def sharpe_backward(dout, cache):
        w, returns, pnl, mean, sd, cost = cache
        T = len(pnl)
        dsd_dpnl = (pnl - mean) / (T * sd)
        dpnl = dout * (1.0 / (T * sd) - (mean - cost) / sd ** 2 * dsd_dpnl)
        dw = dpnl[:, None] * returns
        dscores = w * (dw - (w * dw).sum(axis=1, keepdims=True))
        return dict(scores=dscores, returns=dpnl[:, None] * w)

    rng = np.random.default_rng(29)
    return dict(forward=sharpe, backward=sharpe_backward, inputs=dict(scores=rng.normal(size=(6, 3)), returns=.2 + .3 * rng.normal(size=(6, 3))), constants=dict(cost=0.01))


ITEMS.append(Item('sharpe_ratio_softmax_portfolio', 'quantitative finance notebook', 'vjp', make_sharpe_ratio_softmax_portfolio, False,
                  slip='std has ddof=1 in the forward pass, the gradient of std divides by T instead of T-1',
                  wrong=('scores', 'returns'), causes=('factor', 'missing-term', 'unknown')))


def make_lqr_rollout_policy_gain():
    def rollout(x0, K, A, B, Q, R, N):
        xs, us, J = [x0], [], 0.0
        for _ in range(N):
            u = -K @ xs[-1]
            J += 0.5 * xs[-1] @ Q @ xs[-1] + 0.5 * u @ R @ u
            us.append(u)
            xs.append(A @ xs[-1] + B @ u)
        J += 0.5 * xs[-1] @ Q @ xs[-1]
        return J, (xs, us, K, A, B, Q, R)

    def costates(dJ, cache):
        xs, us, K, A, B, Q, R = cache
        lam = dJ * Q @ xs[-1]
        dK = np.zeros_like(K)
        for x, u in zip(xs[-2::-1], us[::-1]):
            du = dJ * R @ u + B.T @ lam
            dK -= np.outer(du, x)
            lam = dJ * Q @ x + A @ lam - K.T @ du
        return lam, dK

    rng = np.random.default_rng(30)
    A = np.array([[1., .4, 0.], [-.2, .9, .3], [.1, 0., .8]])
    return dict(forward=rollout, backward=costates, inputs=dict(x0=rng.normal(size=3), K=.3 * rng.normal(size=(2, 3))),
                constants=dict(A=A, B=rng.normal(size=(3, 2)) * .5, Q=np.diag([1., 2., .5]), R=np.diag([.3, .6]), N=5))


ITEMS.append(Item('lqr_rollout_policy_gain', 'optimal control lecture', 'vjp', make_lqr_rollout_policy_gain, False,
                  slip='the costate is sent through the closed loop itself instead of its transpose',
                  wrong=('x0', 'K'), causes=('transpose',)))


def make_vae_mlp():
    from types import SimpleNamespace
    sigmoid = lambda a: 1 / (1 + np.exp(-a))

    class VAE:
        def __init__(self, D, H, Z, rng):
            shapes = dict(W1=(D, H), b1=(H,), W_mu=(H, Z), b_mu=(Z,), W_lv=(H, Z), b_lv=(Z,), W2=(Z, H), b2=(H,), W3=(H, D), b3=(D,))
            self.params = {k: .5 * rng.normal(size=s) for k, s in shapes.items()}

        def encode(self, x):
            p = self.params
            h = np.tanh(x @ p["W1"] + p["b1"])
            return h @ p["W_mu"] + p["b_mu"], h @ p["W_lv"] + p["b_lv"], h

        def objective(self, x, eps, beta=1.0):
            p = self.params
            mu, lv, h = self.encode(x)
            std = np.exp(0.5 * lv)
            z = mu + std * eps
            g = np.tanh(z @ p["W2"] + p["b2"])
            logits = g @ p["W3"] + p["b3"]
            nll = (np.logaddexp(0, logits) - x * logits).sum(1)
            kl = 0.5 * (mu ** 2 + np.exp(lv) - 1 - lv).sum(1)
            return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, mu, lv, h, std, z, g, logits)

        def backward(self, dobj, cache):
            x, eps, beta, mu, lv, h, std, z, g, logits = cache
            p, d = self.params, dobj[:, None]
            dlogits = -d * (sigmoid(logits) - x)
            dg = dlogits @ p["W3"].T * (1 - g ** 2)
            dz = dg @ p["W2"].T
            dmu = dz - d * beta * mu
            dlv = dz * eps * std - d * beta * 0.5 * (np.exp(lv) - 1)
            dh = (dmu @ p["W_mu"].T + dlv @ p["W_lv"].T) * (1 - h ** 2)
            return dict(W1=x.T @ dh, b1=dh.sum(0), W_mu=h.T @ dmu, b_mu=dmu.sum(0), W_lv=h.T @ dlv, b_lv=dlv.sum(0),
                        W2=z.T @ dg, b2=dg.sum(0), W3=g.T @ dlogits, b3=dlogits.sum(0))

    rng = np.random.default_rng(31)
    return dict(model=VAE(5, 4, 2, rng), x=(rng.uniform(size=(6, 5)) < .5) * 1.0, eps=rng.normal(size=(6, 2)))


ITEMS.append(Item('vae_mlp', 'VAE tutorial', 'gradients', make_vae_mlp, False,
                  slip='the reparametrisation path to logvar lacks the 1/2 of std = exp(logvar/2)',
                  wrong=('W_lv', 'b_lv', 'W1', 'b1'), causes=('factor', 'elementwise-factor', 'missing-term')))


def make_regression_net_zero_grad():
    from collections import namedtuple
    Terms = namedtuple("Terms", "objective nll")

    class Linear:
        def __init__(self, n_in, n_out, rng):
            self.W, self.b = rng.normal(size=(n_in, n_out)) / np.sqrt(n_in), rng.normal(size=n_out) * .1
            self.zero_grad()

        def zero_grad(self):
            self.gW, self.gb = np.zeros_like(self.W), np.zeros_like(self.b)

        def forward(self, x):
            return x @ self.W + self.b

        def backward(self, g, x):
            self.gW = self.gW + x.T @ g
            self.gb = self.gb + g.sum(0)
            return g @ self.W.T

    class Net:
        def __init__(self, rng):
            self.fc1, self.fc2 = Linear(3, 6, rng), Linear(6, 2, rng)
            self.params = {"fc1.W": self.fc1.W, "fc1.b": self.fc1.b, "fc2.W": self.fc2.W, "fc2.b": self.fc2.b}

        def objective(self, x, eps):
            a = self.fc1.forward(x)
            s = 1 / (1 + np.exp(-a))
            h = a * s
            out = self.fc2.forward(h)
            target = np.stack([x[:, 0] * x[:, 1], np.sin(x[:, 2])], 1) + 0.1 * eps
            nll = 0.5 * ((out - target) ** 2).sum(1)
            return Terms(-nll, nll), (x, a, s, h, out - target)

        def backward(self, dobj, cache):
            x, a, s, h, err = cache
            dh = self.fc2.backward(-dobj[:, None] * err, h)
            self.fc1.backward(dh * (s + a * s * (1 - s)), x)
            return {"fc1.W": self.fc1.gW, "fc1.b": self.fc1.gb, "fc2.W": self.fc2.gW, "fc2.b": self.fc2.gb}

    rng = np.random.default_rng(32)
    return dict(model=Net(rng), x=rng.normal(size=(5, 3)), eps=rng.normal(size=(5, 2)))


ITEMS.append(Item('regression_net_zero_grad', 'layer library', 'gradients', make_regression_net_zero_grad, False,
                  slip='gradients are added onto those of the last backward and never cleared',
                  wrong=('fc1.W', 'fc1.b', 'fc2.W', 'fc2.b'), causes=('accumulates',)))


def make_mixture_density_network():
    from types import SimpleNamespace as NS

    class MDN:
        K = 3

        def __init__(self, rng):
            H, K = 5, self.K
            self.params = {"Wh": rng.normal(size=(1, H)), "bh": rng.normal(size=H)}
            for n in ("p", "m", "s"):
                self.params["W" + n] = rng.normal(size=(H, K)) * .6
                self.params["b" + n] = rng.normal(size=K)

        def objective(self, x, eps, beta=1.0):
            P = self.params
            inp, t = x[:, :1], x[:, 1:]
            h = np.tanh(inp @ P["Wh"] + P["bh"])
            lp = h @ P["Wp"] + P["bp"]
            lp = lp - np.log(np.exp(lp).sum(1, keepdims=True))
            m = h @ P["Wm"] + P["bm"]
            s = np.exp(h @ P["Ws"] + P["bs"])
            logc = lp - np.log(s) - 0.5 * np.log(2 * np.pi) - 0.5 * ((t - m) / s) ** 2
            top = logc.max(1, keepdims=True)
            ll = (top + np.log(np.exp(logc - top).sum(1, keepdims=True)))[:, 0]
            return NS(objective=ll, nll=-ll), dict(inp=inp, t=t, h=h, lp=lp, m=m, s=s, gam=np.exp(logc - ll[:, None]))

        def backward(self, dobj, c):
            P, w = self.params, dobj[:, None]
            zed = (c["t"] - c["m"]) / c["s"]
            d = {"p": w * (c["gam"] - np.exp(c["lp"])),
                 "m": w * c["gam"] * zed,
                 "s": w * c["gam"] * (zed ** 2 - 1)}
            grads, dh = {}, 0
            for n, g in d.items():
                grads["W" + n], grads["b" + n] = c["h"].T @ g, g.sum(0)
                dh = dh + g @ P["W" + n].T
            da = dh * (1 - c["h"] ** 2)
            grads["Wh"], grads["bh"] = c["inp"].T @ da, da.sum(0)
            return grads

    rng = np.random.default_rng(33)
    return dict(model=MDN(rng), x=rng.normal(size=(6, 2)), eps=np.zeros((6, 1)))


ITEMS.append(Item('mixture_density_network', 'machine learning textbook', 'gradients', make_mixture_density_network, False,
                  slip="the mean's gradient is divided by sigma instead of sigma squared",
                  wrong=('Wm', 'bm', 'Wh', 'bh'), causes=('elementwise-factor',)))


def make_mixture_density_network_again():
    from types import SimpleNamespace as NS

    class MDN:
        K = 3

        def __init__(self, rng):
            H, K = 5, self.K
            self.params = {"Wh": rng.normal(size=(1, H)), "bh": rng.normal(size=H)}
            for n in ("p", "m", "s"):
                self.params["W" + n] = rng.normal(size=(H, K)) * .6
                self.params["b" + n] = rng.normal(size=K)

        def objective(self, x, eps, beta=1.0):
            P = self.params
            inp, t = x[:, :1], x[:, 1:]
            h = np.tanh(inp @ P["Wh"] + P["bh"])
            lp = h @ P["Wp"] + P["bp"]
            lp = lp - np.log(np.exp(lp).sum(1, keepdims=True))
            m = h @ P["Wm"] + P["bm"]
            s = np.exp(h @ P["Ws"] + P["bs"])
            logc = lp - np.log(s) - 0.5 * np.log(2 * np.pi) - 0.5 * ((t - m) / s) ** 2
            top = logc.max(1, keepdims=True)
            ll = (top + np.log(np.exp(logc - top).sum(1, keepdims=True)))[:, 0]
            return NS(objective=ll, nll=-ll), dict(inp=inp, t=t, h=h, lp=lp, m=m, s=s, gam=np.exp(logc - ll[:, None]))

        def backward(self, dobj, c):
            P, w = self.params, dobj[:, None]
            zed = (c["t"] - c["m"]) / c["s"]
            d = {"p": w * (c["gam"] - np.exp(c["lp"])),
                 "m": w * c["gam"] * zed / c["s"],
                 "s": w * c["gam"] * (zed ** 2 - 1)}
            grads, dh = {}, 0
            for n, g in d.items():
                grads["W" + n], grads["b" + n] = c["h"].T @ g, g.sum(0)
                dh = dh + g @ P["W" + n].T
            da = dh * (1 - c["h"] ** 2)
            grads["Wh"], grads["bh"] = c["inp"].T @ da, da.sum(0)
            return grads

    rng = np.random.default_rng(33)
    return dict(model=MDN(rng), x=rng.normal(size=(6, 2)), eps=np.zeros((6, 1)))


ITEMS.append(Item('mixture_density_network_again', 'machine learning textbook', 'gradients', make_mixture_density_network_again, True))


def make_elman_sequence_vae():
    class Terms:
        def __init__(self, nll, kl, beta):
            self.nll, self.kl, self.objective = nll, kl, -nll - beta * kl

    class SeqVAE:
        def __init__(self, D, H, Z, rng):
            n = lambda *s: rng.normal(size=s) * 0.6
            self.params = dict(Wx=n(D, H), Wh=n(H, H), Wm=n(H, Z), Wl=n(H, Z), Wz=n(Z, H), Wy=n(H, D), Wd=n(H, H))

        def encode(self, x):
            p = self.params
            hs = [np.zeros((len(x), p["Wh"].shape[0]))]
            for t in range(x.shape[1]):
                hs.append(np.tanh(x[:, t] @ p["Wx"] + hs[-1] @ p["Wh"]))
            return hs[-1] @ p["Wm"], hs[-1] @ p["Wl"], hs

        def objective(self, x, eps, beta=0.5):
            p = self.params
            mu, lv, hs = self.encode(x)
            z = mu + np.exp(lv / 2) * eps
            gs, nll = [np.tanh(z @ p["Wz"])], np.zeros(len(x))
            errs = []
            for t in range(x.shape[1]):
                err = gs[-1] @ p["Wy"] - x[:, t]
                nll = nll + 0.5 * (err ** 2).sum(1)
                errs.append(err)
                gs.append(np.tanh(gs[-1] @ p["Wd"]))
            kl = 0.5 * (np.exp(lv) + mu ** 2 - 1 - lv).sum(1)
            return Terms(nll, kl, beta), (x, eps, beta, mu, lv, hs, z, gs, errs)

        def backward(self, dobjective, cache):
            x, eps, beta, mu, lv, hs, z, gs, errs = cache
            p = self.params
            g = {k: np.zeros_like(v) for k, v in p.items()}
            up = dobjective[:, None]
            dg = np.zeros_like(gs[0])
            for t in reversed(range(x.shape[1])):
                da = dg * (1 - gs[t + 1] ** 2)
                g["Wd"] += gs[t].T @ da
                derr = -up * errs[t]
                g["Wy"] += gs[t].T @ derr
                dg = da @ p["Wd"].T + derr @ p["Wy"].T
            da = dg * (1 - gs[0] ** 2)
            g["Wz"] += z.T @ da
            dz = da @ p["Wz"].T
            dkl = -up
            dmu = dz + dkl * mu
            dlv = dz * eps * 0.5 * np.exp(lv / 2) + dkl * 0.5 * (np.exp(lv) - 1)
            g["Wm"] += hs[-1].T @ dmu
            g["Wl"] += hs[-1].T @ dlv
            dh = dmu @ p["Wm"].T + dlv @ p["Wl"].T
            for t in reversed(range(x.shape[1])):
                da = dh * (1 - hs[t + 1] ** 2)
                g["Wx"] += x[:, t].T @ da
                g["Wh"] += hs[t].T @ da
                dh = da @ p["Wh"].T
            return g

    rng = np.random.default_rng(34)
    return dict(model=SeqVAE(2, 4, 2, rng), x=rng.normal(size=(5, 3, 2)), eps=rng.normal(size=(5, 2)))


ITEMS.append(Item('elman_sequence_vae', 'probabilistic sequence model repository', 'gradients', make_elman_sequence_vae, False,
                  slip='beta is not applied to the KL in backward; right: beta * mu and beta * (exp(lv) - 1) / 2',
                  wrong=('Wm', 'Wl', 'Wx', 'Wh'), causes=('missing-term', 'factor')))


def make_actor_critic_shared_trunk():
    from types import SimpleNamespace

    class ActorCritic:
        def __init__(self, obs, hid, act, rng):
            self.params = {"W": rng.normal(size=(obs, hid)), "b": rng.normal(size=hid) * .1, "Wp": rng.normal(size=(hid, act)), "bp": np.zeros(act),
                           "Wv": rng.normal(size=(hid, 1)), "bv": np.zeros(1)}
            self.actions = rng.integers(0, act, size=6)
            self.vf_coef, self.ent_coef = 0.5, 0.05

        def objective(self, x, eps):
            P = self.params
            h = np.tanh(x @ P["W"] + P["b"])
            logits = h @ P["Wp"] + P["bp"]
            logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
            v = (h @ P["Wv"] + P["bv"])[:, 0]
            ret, adv = eps[:, 0], eps[:, 1]
            pi = np.exp(logp)
            ent = -(pi * logp).sum(1)
            obj = adv * logp[np.arange(len(x)), self.actions] - self.vf_coef * (v - ret) ** 2 + self.ent_coef * ent
            return SimpleNamespace(objective=obj), (x, h, logp, pi, ent, v, ret, adv)

        def backward(self, dobjective, cache):
            x, h, logp, pi, ent, v, ret, adv = cache
            P = self.params
            onehot = np.eye(pi.shape[1])[self.actions]
            dlogits = (dobjective * adv)[:, None] * (onehot - pi)
            dlogits -= self.ent_coef * dobjective[:, None] * pi * (logp + ent[:, None])
            dv = (-2 * self.vf_coef * dobjective.mean() * (v - ret))[:, None]
            dh = (dlogits @ P["Wp"].T + dv @ P["Wv"].T) * (1 - h * h)
            return {"W": x.T @ dh, "b": dh.sum(0), "Wp": h.T @ dlogits, "bp": dlogits.sum(0), "Wv": h.T @ dv, "bv": dv.sum(0)}

    rng = np.random.default_rng(35)
    return dict(model=ActorCritic(4, 5, 3, rng), x=rng.normal(size=(6, 4)), eps=rng.normal(size=(6, 2)))


ITEMS.append(Item('actor_critic_shared_trunk', 'RL research code', 'gradients', make_actor_critic_shared_trunk, False,
                  slip="the value head's gradient uses the mean of the row weights instead of each row's own",
                  wrong=('Wv', 'bv', 'W', 'b'), causes=('batch-sum', 'elementwise-factor')))


def make_neural_ode_classifier():
    from types import SimpleNamespace

    class EulerNet:
        def __init__(self, rng, dim=3, steps=4):
            self.steps, self.dt = steps, 1.0 / steps
            self.params = {"A": rng.normal(size=(dim, dim)), "c": rng.normal(size=dim), "w": rng.normal(size=dim), "b": np.zeros(1)}

        def objective(self, x, eps, beta=1.0):
            P = self.params
            traj = [x + 0.1 * eps]
            for _ in range(self.steps):
                traj.append(traj[-1] + self.dt * np.tanh(traj[-1] @ P["A"] + P["c"]))
            s = traj[-1] @ P["w"] + P["b"][0]
            label = np.where(x[:, 0] > 0, 1.0, -1.0)
            nll = np.log1p(np.exp(-label * s))
            return SimpleNamespace(objective=-nll, nll=nll), (traj, s, label)

        def backward(self, dobjective, cache):
            traj, s, label = cache
            P = self.params
            ds = dobjective
            ds *= label / (1 + np.exp(label * s))
            g = {"w": traj[-1].T @ ds, "b": np.array([ds.sum()]), "A": np.zeros_like(P["A"]), "c": np.zeros_like(P["c"])}
            dz = np.outer(ds, P["w"])
            for z in traj[-2::-1]:
                da = self.dt * dz * (1 - np.tanh(z @ P["A"] + P["c"]) ** 2)
                g["A"] += z.T @ da
                g["c"] += da.sum(0)
                dz = dz + da @ P["A"].T
            return g

    rng = np.random.default_rng(36)
    return dict(model=EulerNet(rng), x=rng.normal(size=(6, 3)), eps=rng.normal(size=(6, 3)))


ITEMS.append(Item('neural_ode_classifier', 'scientific ML blog', 'gradients', make_neural_ode_classifier, False,
                  slip="the per-row log-likelihood gradient is overwritten in place through an alias of the caller's array",
                  wrong=(), causes=('mutates-input',)))


def make_linear_chain_crf():
    def lse(a, axis):
        m = a.max(axis=axis, keepdims=True)
        return np.squeeze(m, axis) + np.log(np.exp(a - m).sum(axis=axis))

    def crf_nll(emissions, transitions, start, tags):
        T = len(emissions)
        alpha = [start + emissions[0]]
        for t in range(1, T):
            alpha.append(lse(alpha[-1][:, None] + transitions, 0) + emissions[t])
        logZ = lse(alpha[-1], 0)
        gold = start[tags[0]] + emissions[np.arange(T), tags].sum() + transitions[tags[:-1], tags[1:]].sum()
        return logZ - gold, (emissions, transitions, alpha, logZ, tags)

    def crf_nll_backward(dy, cache):
        # forward-backward algorithm: expected minus observed counts
        em, tr, alpha, logZ, tags = cache
        T, K = em.shape
        beta = [np.zeros(K)]
        for t in range(T - 2, -1, -1):
            beta.insert(0, lse(tr + em[t + 1] + beta[0], 1))
        gamma = np.exp(np.array(alpha) + np.array(beta) - logZ)
        xi = sum(np.exp(alpha[t][:, None] + tr + em[t + 1] + beta[t + 1] - logZ) for t in range(T - 1))
        dem = gamma.copy()
        dem[np.arange(T), tags] -= 1
        np.subtract.at(xi, (tags[:-1], tags[1:]), 1)
        return {"emissions": dy * dem, "transitions": dy * xi, "start": dy * dem[0]}

    rng = np.random.default_rng(51)
    return dict(forward=crf_nll, backward=crf_nll_backward, inputs=dict(emissions=rng.normal(size=(5, 3)), transitions=rng.normal(size=(3, 3)), start=rng.normal(size=3)),
                constants=dict(tags=np.array([0, 2, 2, 1, 2])))


ITEMS.append(Item('linear_chain_crf', 'NLP course homework', 'vjp', make_linear_chain_crf, True))


def make_small_convnet_with_pool():
    from numpy.lib.stride_tricks import sliding_window_view

    def forward(img, kernel, bias, W):
        win = sliding_window_view(img, kernel.shape)
        a = np.einsum("ijkl,kl->ij", win, kernel) + bias[0]
        h = np.where(a > 0, a, 0.1 * a)
        H, Wd = h.shape
        pooled = h.reshape(H // 2, 2, Wd // 2, 2).mean(axis=(1, 3))
        return pooled.ravel() @ W, (img, kernel, W, win, a, pooled)

    def backward(dy, cache):
        img, kernel, W, win, a, pooled = cache
        dW = np.outer(pooled.ravel(), dy)
        dp = (W @ dy).reshape(pooled.shape)
        da = np.kron(dp, np.full((2, 2), 0.25)) * np.where(a > 0, 1.0, 0.1)
        dk = np.einsum("ij,ijkl->kl", da, win)
        k = kernel.shape[0]
        dimg = np.einsum("ijkl,kl->ij", sliding_window_view(np.pad(da, k - 1), kernel.shape), kernel[::-1, ::-1])
        return dimg, dk, np.array([da.sum()]), dW

    rng = np.random.default_rng(52)
    return dict(forward=forward, backward=backward, inputs=dict(img=rng.normal(size=(6, 6)), kernel=rng.normal(size=(3, 3)), bias=rng.normal(size=1), W=rng.normal(size=(4, 3))))


ITEMS.append(Item('small_convnet_with_pool', 'CS231n assignment', 'vjp', make_small_convnet_with_pool, True))


def make_catmull_rom_curve_fit():
    M = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1.]])

    def curve(control, u):
        n = len(control)
        seg = np.minimum(np.floor(u).astype(int), n - 2)
        t = u - seg
        basis = np.stack([np.ones_like(t), t, t ** 2, t ** 3], 1)
        idx = np.clip(seg[:, None] + np.arange(-1, 3), 0, n - 1)
        coef = np.einsum("ij,pjd->pid", M, control[idx])
        return np.einsum("pi,pid->pd", basis, coef), (idx, basis, coef, t, n)

    def curve_backward(dp, cache):
        idx, basis, coef, t, n = cache
        w = basis @ M
        dcontrol = np.zeros((n, dp.shape[1]))
        np.add.at(dcontrol, idx, w[:, :, None] * dp[:, None, :])
        dbasis = np.stack([np.zeros_like(t), np.ones_like(t), 2 * t, 3 * t ** 2], 1)
        du = np.einsum("pd,pi,pid->p", dp, dbasis, coef)
        return dict(control=dcontrol, u=du)

    rng = np.random.default_rng(53)
    return dict(forward=curve, backward=curve_backward, inputs=dict(control=rng.normal(size=(6, 2)), u=np.array([.2, .9, 1.4, 2.7, 3.3, 4.8]) + .05 * rng.uniform(size=6)))


ITEMS.append(Item('catmull_rom_curve_fit', 'graphics research code', 'vjp', make_catmull_rom_curve_fit, True))


def make_leapfrog_charges():
    def force(q, k):
        d = q[:, None] - q[None]
        r2 = (d ** 2).sum(-1) + 0.5
        return -(k[0] * q) + (d / r2[..., None]).sum(1)

    def force_vjp(q, k, g):
        d = q[:, None] - q[None]
        r2 = (d ** 2).sum(-1) + 0.5
        gij = np.broadcast_to(g[:, None], d.shape)
        dd = gij / r2[..., None] - 2 * d * ((gij * d).sum(-1) / r2 ** 2)[..., None]
        return -k[0] * g + dd.sum(1) - dd.sum(0), np.array([-(g * q).sum()])

    def simulate(q, p, k, dt, n):
        qs = []
        for _ in range(n):
            p = p + 0.5 * dt * force(q, k)
            qs.append(q)
            q = q + dt * p
            p = p + 0.5 * dt * force(q, k)
        qs.append(q)
        return np.stack([q, p]), (qs, k, dt)

    def simulate_backward(dy, cache):
        qs, k, dt = cache
        dq, dp = dy[0], dy[1]
        dk = np.zeros(1)
        for q0, q1 in zip(qs[-2::-1], qs[:0:-1]):
            a, b = force_vjp(q1, k, 0.5 * dt * dp)
            dq, dk = dq + a, dk + b
            dp = dp + dt * dq
            a, b = force_vjp(q0, k, 0.5 * dt * dp)
            dq, dk = dq + a, dk + b
        return {"q": dq, "p": dp, "k": dk}

    rng = np.random.default_rng(54)
    return dict(forward=simulate, backward=simulate_backward, inputs=dict(q=rng.normal(size=(3, 2)), p=rng.normal(size=(3, 2)), k=np.array([1.3])), constants=dict(dt=.1, n=4))


ITEMS.append(Item('leapfrog_charges', 'computational physics course', 'vjp', make_leapfrog_charges, True))


def make_realnvp_density():
    def couple(z, P, flip):
        a, b = (z[:, :2], z[:, 2:]) if not flip else (z[:, 2:], z[:, :2])
        h = np.tanh(a @ P["W"])
        s = np.tanh(h @ P["S"])
        t = h @ P["T"]
        out = b * np.exp(s) + t
        new = np.hstack([a, out] if not flip else [out, a])
        return new, s.sum(1), (a, b, h, s, flip)

    def forward(x, first, second):
        z, ld1, c1 = couple(x, first, False)
        z, ld2, c2 = couple(z, second, True)
        return ld1 + ld2 - 0.5 * (z * z).sum(1) - 2 * np.log(2 * np.pi), (z, c1, c2, first, second)

    def uncouple(dz, dld, P, c):
        a, b, h, s, flip = c
        da, dout = (dz[:, :2], dz[:, 2:]) if not flip else (dz[:, 2:], dz[:, :2])
        dpre = (dout * b * np.exp(s) + dld[:, None]) * (1 - s ** 2)
        dh = (dpre @ P["S"].T + dout @ P["T"].T) * (1 - h ** 2)
        db, da = dout * np.exp(s), da + dh @ P["W"].T
        return np.hstack([da, db] if not flip else [db, da]), {"W": a.T @ dh, "S": h.T @ dpre, "T": h.T @ dout}

    def backward(dy, cache):
        z, c1, c2, first, second = cache
        dz, g2 = uncouple(-z * dy[:, None], dy, second, c2)
        dx, g1 = uncouple(dz, dy, first, c1)
        return {"x": dx, "first": g1, "second": g2}

    rng = np.random.default_rng(55)
    mk = lambda: {"W": rng.normal(size=(2, 4)), "S": rng.normal(size=(4, 2)), "T": rng.normal(size=(4, 2))}
    return dict(forward=forward, backward=backward, inputs=dict(x=rng.normal(size=(4, 4)), first=mk(), second=mk()))


ITEMS.append(Item('realnvp_density', 'normalizing flow repository', 'vjp', make_realnvp_density, True))


def make_barlow_twins():
    def standardize(z):
        c = z - z.mean(0)
        sd = np.sqrt((c ** 2).mean(0))
        return c / sd, sd

    def loss_fn(za, zb, lambd):
        n = za.shape[0]
        a, sa = standardize(za)
        b, sb = standardize(zb)
        c = a.T @ b / n
        wt = np.where(np.eye(len(c)) > 0, 1.0, lambd)
        diff = c - np.eye(len(c))
        return (wt * diff ** 2).sum(), (a, sa, b, sb, 2 * wt * diff / n)

    def loss_bwd(dout, ctx):
        a, sa, b, sb, dc = ctx

        def back(g, zn, sd):
            return (g - g.mean(0) - zn * (g * zn).mean(0)) / sd
        return back(dout * b @ dc.T, a, sa), back(dout * a @ dc, b, sb)

    rng = np.random.default_rng(56)
    return dict(forward=loss_fn, backward=loss_bwd, inputs=dict(za=rng.normal(size=(6, 3)), zb=rng.normal(size=(6, 3))), constants=dict(lambd=0.05))


ITEMS.append(Item('barlow_twins', 'self-supervised learning repository', 'vjp', make_barlow_twins, True))


def make_heston_like_option_pathwise():
    def price(spot, vol, rate, dW, strike, dt):
        s = np.full(dW.shape[1], spot[0])
        path = [s]
        for k in range(len(dW)):
            s = s * (1 + rate[0] * dt + vol[k] * dW[k])
            path.append(s)
        T = dt * len(dW)
        x = s - strike
        soft = np.logaddexp(0.0, 4 * x) / 4
        disc = np.exp(-rate[0] * T)
        return disc * soft.mean(), (path, dW, vol, rate, x, soft, disc, dt, T)

    def greeks(dV, cache):
        path, dW, vol, rate, x, soft, disc, dt, T = cache
        adj = dV * disc / (1 + np.exp(-4 * x)) / len(x)
        drate = -T * dV * disc * soft.mean()
        vega = np.zeros_like(vol)
        for k in reversed(range(len(dW))):
            vega[k] = (adj * path[k] * dW[k]).sum()
            drate += (adj * path[k]).sum() * dt
            adj = adj * (1 + rate[0] * dt + vol[k] * dW[k])
        return {"spot": np.array([adj.sum()]), "vol": vega, "rate": np.array([drate])}

    rng = np.random.default_rng(57)
    return dict(forward=price, backward=greeks, inputs=dict(spot=np.array([1.1]), vol=rng.uniform(.2, .5, size=4), rate=np.array([.03])),
                constants=dict(dW=.5 * rng.normal(size=(4, 7)), strike=1.0, dt=.25))


ITEMS.append(Item('heston_like_option_pathwise', 'quantitative finance notebook', 'vjp', make_heston_like_option_pathwise, True))


def make_kalman_filter_likelihood():
    def loglik(obs, params):
        a, q, r = params[0], np.exp(params[1]), np.exp(params[2])
        m, P, ll, tape = 0.0, 1.0, 0.0, []
        for y in obs:
            mp, Pp = a * m, a * a * P + q
            S, v = Pp + r, y - mp
            K = Pp / S
            ll -= 0.5 * (np.log(2 * np.pi * S) + v * v / S)
            tape.append((m, P, Pp, S, v, K))
            m, P = mp + K * v, (1 - K) * Pp
        return np.array(ll), (tape, a, q, r)

    def loglik_backward(g, cache):
        tape, a, q, r = cache
        gm = gP = ga = gq = gr = 0.0
        gobs = np.zeros(len(tape))
        for i in range(len(tape) - 1, -1, -1):
            m, P, Pp, S, v, K = tape[i]
            gK = gm * v - gP * Pp
            gv = gm * K - g * v / S
            gS = -gK * Pp / S ** 2 - 0.5 * g * (1 / S - v * v / S ** 2)
            gPp = gP * (1 - K) + gK / S + gS
            gr += gS
            gmp = gm - gv
            gobs[i] = gv
            ga += gmp * m + gPp * 2 * a * P
            gq += gPp
            gm, gP = a * gmp, a * a * gPp
        return gobs, np.array([ga, gq * q, gr * r])

    rng = np.random.default_rng(58)
    return dict(forward=loglik, backward=loglik_backward, inputs=dict(obs=rng.normal(size=6), params=np.array([.8, -.5, -1.]) + .1 * rng.normal(size=3)))


ITEMS.append(Item('kalman_filter_likelihood', 'optimal control lecture', 'vjp', make_kalman_filter_likelihood, True))


def make_message_passing_readout():
    class GraphNet:
        def __init__(self, src, dst, rounds):
            self.src, self.dst, self.rounds = src, dst, rounds

        def forward(self, nodes, Wself, Wmsg, readout):
            self.saved = []
            h = nodes
            for _ in range(self.rounds):
                agg = np.zeros_like(h)
                np.add.at(agg, self.dst, h[self.src])
                nh = np.tanh(h @ Wself + agg @ Wmsg)
                self.saved.append((h, agg, nh))
                h = nh
            self.args = (Wself, Wmsg, readout)
            return h.mean(axis=0) @ readout

        def backward(self, dout):
            Wself, Wmsg, readout = self.args
            h = self.saved[-1][2]
            dread = np.outer(h.mean(0), dout)
            dh = np.tile(readout @ dout / len(h), (len(h), 1))
            dWs, dWm = np.zeros_like(Wself), np.zeros_like(Wmsg)
            for h, agg, nh in reversed(self.saved):
                da = dh * (1 - nh * nh)
                dWs += h.T @ da
                dWm += agg.T @ da
                dagg = da @ Wmsg.T
                dh = da @ Wself.T
                np.add.at(dh, self.src, dagg[self.dst])
            return dh, dWs, dWm, dread

    def forward(nodes, Wself, Wmsg, readout):
        net = GraphNet(np.array([0, 1, 1, 2, 3, 4, 0]), np.array([1, 0, 2, 3, 4, 0, 2]), rounds=3)
        return net.forward(nodes, Wself, Wmsg, readout), net

    rng = np.random.default_rng(59)
    m = lambda *s: rng.normal(size=s) * .6
    return dict(forward=forward, backward=lambda dy, net: net.backward(dy), inputs=dict(nodes=m(5, 3), Wself=m(3, 3), Wmsg=m(3, 3), readout=m(3, 2)))


ITEMS.append(Item('message_passing_readout', 'layer library', 'vjp', make_message_passing_readout, True))


def make_gaussian_decoder_vae_learned_noise():
    from types import SimpleNamespace

    class GaussVAE:
        """softplus standard deviation, log-variance returned for encode, a learned observation noise"""
        def __init__(self, rng):
            self.params = {"enc": rng.normal(size=(4, 4)) * .5, "enc_b": rng.normal(size=4) * .2, "dec": rng.normal(size=(2, 4)), "dec_b": rng.normal(size=4), "log_s": np.array(-.3)}

        def encode(self, x):
            a = x @ self.params["enc"] + self.params["enc_b"]
            mu, rho = np.split(a, 2, axis=1)
            sd = np.logaddexp(0, rho)
            return mu, 2 * np.log(sd), (rho, sd)

        def objective(self, x, eps, beta=1.0):
            P = self.params
            mu, lv, (rho, sd) = self.encode(x)
            z = mu + sd * eps
            r = x - z @ P["dec"] - P["dec_b"]
            ls = float(P["log_s"])
            nll = (0.5 * r ** 2 * np.exp(-2 * ls) + ls + 0.5 * np.log(2 * np.pi)).sum(1)
            kl = (0.5 * (mu ** 2 + sd ** 2 - 1) - np.log(sd)).sum(1)
            return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, mu, rho, sd, z, r, ls)

        def backward(self, dobjective, cache):
            x, eps, beta, mu, rho, sd, z, r, ls = cache
            d = dobjective[:, None]
            prec = np.exp(-2 * ls)
            drec = d * r * prec
            dz = drec @ self.params["dec"].T
            dmu = dz - beta * d * mu
            drho = (dz * eps - beta * d * (sd - 1 / sd)) / (1 + np.exp(-rho))
            da = np.concatenate([dmu, drho], axis=1)
            return {"enc": x.T @ da, "enc_b": da.sum(0), "dec": z.T @ drec, "dec_b": drec.sum(0), "log_s": np.array((d * (r ** 2 * prec - 1)).sum())}

    rng = np.random.default_rng(60)
    return dict(model=GaussVAE(rng), x=rng.normal(size=(5, 4)), eps=rng.normal(size=(5, 2)))


ITEMS.append(Item('gaussian_decoder_vae_learned_noise', 'VAE tutorial', 'gradients', make_gaussian_decoder_vae_learned_noise, True))
