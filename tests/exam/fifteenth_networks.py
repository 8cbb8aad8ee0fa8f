"""Fifteenth exam, networks: whole small networks and composite functions for the check "vjp"."""
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


def add(*args, **kwargs):
    ITEMS.append(Item(*args, **kwargs))


# ---------------------------------------------------------------- wrong, 1..8

def w_two_layer_softmax():
    rng = np.random.default_rng(1)

    def forward(X, W1, b1, W2, b2, y):
        N = X.shape[0]
        hidden = np.maximum(0, X.dot(W1) + b1)
        scores = hidden.dot(W2) + b2
        shifted = scores - np.max(scores, axis=1, keepdims=True)
        probs = np.exp(shifted)
        probs /= probs.sum(axis=1, keepdims=True)
        loss = -np.log(probs[np.arange(N), y]).sum() / N
        return loss, (X, W1, W2, hidden, probs, y)

    def backward(dloss, cache):
        X, W1, W2, hidden, probs, y = cache
        N = X.shape[0]
        grads = {}
        dscores = probs.copy()
        dscores[np.arange(N), y] -= 1
        dscores *= dloss
        dhidden = dscores.dot(W2.T)
        dscores /= N
        grads["W2"] = hidden.T.dot(dscores)
        grads["b2"] = dscores.sum(axis=0)
        dhidden[hidden <= 0] = 0
        grads["W1"] = X.T.dot(dhidden)
        grads["b1"] = dhidden.sum(axis=0)
        grads["X"] = dhidden.dot(W1.T)
        return grads

    return dict(forward=forward, backward=backward,
                inputs=dict(X=rng.normal(size=(5, 4)), W1=rng.normal(size=(4, 6)), b1=0.3 * rng.normal(size=6),
                            W2=rng.normal(size=(6, 3)), b2=rng.normal(size=3)),
                constants=dict(y=np.array([0, 2, 1, 1, 2])))


add("two_layer_net_softmax_loss", "CS231n assignment", "vjp", w_two_layer_softmax, False,
    "dhidden is taken from dscores before it is divided by N; dscores /= N belongs before dscores.dot(W2.T)",
    ("W1", "b1", "X"), ("factor",))


def w_min_char_rnn():
    rng = np.random.default_rng(2)

    def forward(Wxh, Whh, Why, bh, by, hprev, inputs_, targets):
        xs, hs, ps = {}, {}, {}
        hs[-1] = np.copy(hprev)
        loss = 0.0
        for t in range(len(inputs_)):
            xs[t] = np.zeros((Wxh.shape[1], 1))
            xs[t][inputs_[t]] = 1
            hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
            y = np.dot(Why, hs[t]) + by
            ps[t] = np.exp(y) / np.sum(np.exp(y))
            loss += -np.log(ps[t][targets[t], 0])
        return loss, (xs, hs, ps, targets, Wxh, Whh, Why, bh, by)

    def backward(dloss, cache):
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
            dhnext = np.dot(Whh.T, dh)
        return dict(Wxh=dWxh, Whh=dWhh, Why=dWhy, bh=dbh, by=dby, hprev=dhnext)

    H, V = 5, 4
    return dict(forward=forward, backward=backward,
                inputs=dict(Wxh=0.7 * rng.normal(size=(H, V)), Whh=0.6 * rng.normal(size=(H, H)),
                            Why=rng.normal(size=(V, H)), bh=0.2 * rng.normal(size=(H, 1)),
                            by=rng.normal(size=(V, 1)), hprev=rng.normal(size=(H, 1))),
                constants=dict(inputs_=[1, 3, 0, 2, 2], targets=[3, 0, 2, 2, 1]))


add("min_char_rnn_lossfun", "Karpathy gist", "vjp", w_min_char_rnn, False,
    "dhnext = Whh.T dh carries the gradient over time without the slope of tanh; it should be Whh.T dhraw",
    ("Wxh", "Whh", "bh", "hprev"), ("elementwise-factor",))


def w_gru_loop():
    rng = np.random.default_rng(3)

    def sigmoid(a):
        return 1.0 / (1.0 + np.exp(-a))

    def forward(x, h0, W, U, b):
        # x (T, B, D); W (D, 3H); U (H, 3H); gates in the order z, r, n
        T, H = x.shape[0], h0.shape[1]
        h, hs, steps = h0, [], []
        for t in range(T):
            gx = x[t] @ W + b
            z = sigmoid(gx[:, :H] + h @ U[:, :H])
            r = sigmoid(gx[:, H:2 * H] + h @ U[:, H:2 * H])
            n = np.tanh(gx[:, 2 * H:] + (r * h) @ U[:, 2 * H:])
            steps.append((h, z, r, n))
            h = (1 - z) * h + z * n
            hs.append(h)
        return np.stack(hs), (x, W, U, steps)

    def backward(dhs, cache):
        x, W, U, steps = cache
        T, H = x.shape[0], U.shape[0]
        dx, dW, dU, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros(3 * H)
        dh = np.zeros_like(steps[0][0])
        for t in reversed(range(T)):
            h, z, r, n = steps[t]
            dh = dh + dhs[t]
            dn = dh * z * (1 - n ** 2)
            dz = dh * (n - h) * z * (1 - z)
            drh = dn @ U[:, 2 * H:].T
            dr = drh * h * r * (1 - r)
            dgates = np.concatenate([dz, dr, dn], axis=1)
            dx[t] = dgates @ W.T
            dW += x[t].T @ dgates
            db += dgates.sum(0)
            dU[:, :H] += h.T @ dz
            dU[:, H:2 * H] += h.T @ dr
            dU[:, 2 * H:] += (r * h).T @ dn
            dh = dh * (1 - z) + drh * r + dz @ U[:, :H].T
        return dx, dh, dW, dU, db

    T, B, D, H = 4, 3, 2, 3
    return dict(forward=forward, backward=backward,
                inputs=dict(x=rng.normal(size=(T, B, D)), h0=rng.normal(size=(B, H)), W=rng.normal(size=(D, 3 * H)),
                            U=rng.normal(size=(H, 3 * H)), b=rng.normal(size=3 * H)))


add("gru_through_time", "research repository, numpy port of a GRU", "vjp", w_gru_loop, False,
    "the gradient of the previous state lacks the path through the reset gate, dr @ U_r.T",
    ("x", "h0", "W", "U", "b"), ("missing-term",))


def w_preact_residual():
    rng = np.random.default_rng(4)

    def relu(x, inplace=True):
        if inplace:
            return np.maximum(x, 0, out=x)
        return np.maximum(x, 0)

    def forward(x, w1, b1, w2, b2):
        identity = x
        a = relu(x)
        u = a @ w1.T + b1
        mask_u = u > 0
        v = relu(u)
        out = v @ w2.T + b2
        out += identity
        return out, (a, mask_u, v, w1, w2)

    def backward(grad_output, cache):
        a, mask_u, v, w1, w2 = cache
        grad_w2 = grad_output.T @ v
        grad_b2 = grad_output.sum(axis=0)
        grad_u = (grad_output @ w2) * mask_u
        grad_w1 = grad_u.T @ a
        grad_b1 = grad_u.sum(axis=0)
        grad_x = grad_output + (grad_u @ w1) * (a > 0)
        return dict(x=grad_x, w1=grad_w1, b1=grad_b1, w2=grad_w2, b2=grad_b2)

    return dict(forward=forward, backward=backward,
                inputs=dict(x=rng.normal(size=(4, 5)), w1=rng.normal(size=(6, 5)), b1=rng.normal(size=6),
                            w2=rng.normal(size=(5, 6)), b2=rng.normal(size=5)))


add("preactivation_residual_block", "port of a torchvision block", "vjp", w_preact_residual, False,
    "the first relu is in place and overwrites x, which the shortcut (and the caller) still needs; relu(x, inplace=False)",
    ("x",), ("mutates-input", "elementwise-factor"))


def w_self_attention():
    rng = np.random.default_rng(5)

    def softmax(s):
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def forward(x, Wq, Wk, Wv, Wo):
        q, k, v = x @ Wq, x @ Wk, x @ Wv
        scale = 1.0 / np.sqrt(q.shape[-1])
        att = softmax(np.einsum("bqd,bkd->bqk", q, k) * scale)
        ctx = att @ v
        y = ctx @ Wo + x
        return y, (x, q, k, v, att, ctx, scale, Wq, Wk, Wv, Wo)

    def backward(dy, cache):
        x, q, k, v, att, ctx, scale, Wq, Wk, Wv, Wo = cache
        dctx = dy @ Wo.T
        datt = np.einsum("bqd,bkd->bqk", dctx, v)
        dv = np.einsum("bqk,bqd->bkd", att, dctx)
        datt = datt * att
        ds = datt - att * datt.sum(axis=1, keepdims=True)
        ds = ds * scale
        dq = np.einsum("bqk,bkd->bqd", ds, k)
        dk = np.einsum("bqk,bqd->bkd", ds, q)
        grads = {"Wo": np.einsum("btd,bte->de", ctx, dy)}
        grads["Wq"] = np.einsum("btd,bte->de", x, dq)
        grads["Wk"] = np.einsum("btd,bte->de", x, dk)
        grads["Wv"] = np.einsum("btd,bte->de", x, dv)
        grads["x"] = dy + dq @ Wq.T + dk @ Wk.T + dv @ Wv.T
        return grads

    B, T, D, E = 3, 4, 5, 3
    return dict(forward=forward, backward=backward,
                inputs=dict(x=rng.normal(size=(B, T, D)), Wq=rng.normal(size=(D, E)), Wk=rng.normal(size=(D, E)),
                            Wv=rng.normal(size=(D, E)), Wo=rng.normal(size=(E, D))))


add("self_attention_block_residual", "transformer-from-scratch blog post", "vjp", w_self_attention, False,
    "the softmax backward sums over the queries (axis=1); the sum belongs over the keys, axis=-1",
    ("x", "Wq", "Wk"), ("shape", "transpose"))


def w_convnet_overlapping_pool():
    rng = np.random.default_rng(6)

    def forward(X, K, b, W):
        N, H, Wd = X.shape
        F, kh, kw = K.shape
        oh, ow = H - kh + 1, Wd - kw + 1
        conv = np.zeros((N, F, oh, ow))
        for i in range(oh):
            for j in range(ow):
                conv[:, :, i, j] = np.tensordot(X[:, i:i + kh, j:j + kw], K, axes=([1, 2], [1, 2])) + b
        act = np.maximum(conv, 0.1 * conv)
        size, stride = 3, 2
        ph, pw = (oh - size) // stride + 1, (ow - size) // stride + 1
        pool = np.zeros((N, F, ph, pw))
        for i in range(ph):
            for j in range(pw):
                pool[:, :, i, j] = act[:, :, 2 * i:2 * i + size, 2 * j:2 * j + size].max(axis=(2, 3))
        flat = pool.reshape(N, -1)
        return flat @ W, (X, K, W, conv, act, pool, flat)

    def backward(dout, cache):
        X, K, W, conv, act, pool, flat = cache
        dW = flat.T @ dout
        dpool = (dout @ W.T).reshape(pool.shape)
        dact = np.zeros_like(act)
        for i in range(pool.shape[2]):
            for j in range(pool.shape[3]):
                win = act[:, :, 2 * i:2 * i + 3, 2 * j:2 * j + 3]
                mask = win == pool[:, :, i, j][:, :, None, None]
                dact[:, :, 2 * i:2 * i + 3, 2 * j:2 * j + 3] = mask * dpool[:, :, i, j][:, :, None, None]
        dconv = dact * np.where(conv > 0, 1.0, 0.1)
        dX, dK = np.zeros_like(X), np.zeros_like(K)
        for i in range(conv.shape[2]):
            for j in range(conv.shape[3]):
                d = dconv[:, :, i, j]
                dK += np.tensordot(d, X[:, i:i + K.shape[1], j:j + K.shape[2]], axes=(0, 0))
                dX[:, i:i + K.shape[1], j:j + K.shape[2]] += np.tensordot(d, K, axes=(1, 0))
        return {"X": dX, "K": dK, "b": dconv.sum(axis=(0, 2, 3)), "W": dW}

    return dict(forward=forward, backward=backward,
                inputs=dict(X=rng.normal(size=(2, 5, 6)), K=rng.normal(size=(2, 2, 2)),
                            b=rng.normal(size=2), W=rng.normal(size=(4, 3))))


add("convnet_alexnet_style_pool", "CNN-from-scratch tutorial", "vjp", w_convnet_overlapping_pool, False,
    "the windows of the max pool overlap (size 3, stride 2), yet dact of a window is assigned, not added (+=)",
    ("X", "K", "b"), ("missing-term",))


def w_mdn():
    rng = np.random.default_rng(7)

    def forward(x, W1, b1, W2, b2, t):
        h = np.tanh(x @ W1 + b1)
        out = h @ W2 + b2
        B, D = t.shape
        K = out.shape[1] // (D + 2)
        a, ls = out[:, :K], out[:, K:2 * K]
        mu = out[:, 2 * K:].reshape(B, K, D)
        logpi = a - np.log(np.exp(a).sum(1, keepdims=True))
        sq = ((t[:, None] - mu) ** 2).sum(-1)
        logp = logpi - 0.5 * sq * np.exp(-2 * ls) - D * ls - 0.5 * D * np.log(2 * np.pi)
        m = logp.max(1, keepdims=True)
        lse = m[:, 0] + np.log(np.exp(logp - m).sum(1))
        gamma = np.exp(logp - lse[:, None])
        return -lse.mean(), (x, h, W1, W2, np.exp(logpi), gamma, sq, ls, mu, t)

    def backward(dloss, cache):
        x, h, W1, W2, pi, gamma, sq, ls, mu, t = cache
        B, K, D = mu.shape
        da = pi - gamma
        dls = gamma * (1.0 - sq * np.exp(-2 * ls))
        dmu = gamma[:, :, None] * (mu - t[:, None]) * np.exp(-2 * ls)[:, :, None]
        dout = np.concatenate([da, dls, dmu.reshape(B, K * D)], axis=1) * dloss / B
        dpre = (dout @ W2.T) * (1 - h ** 2)
        return {"x": dpre @ W1.T, "W1": x.T @ dpre, "b1": dpre.sum(0), "W2": h.T @ dout, "b2": dout.sum(0)}

    D, K = 2, 3
    return dict(forward=forward, backward=backward,
                inputs=dict(x=rng.normal(size=(5, 3)), W1=rng.normal(size=(3, 4)), b1=rng.normal(size=4),
                            W2=0.5 * rng.normal(size=(4, K * (D + 2))), b2=0.5 * rng.normal(size=K * (D + 2))),
                constants=dict(t=rng.normal(size=(5, D))))


add("mixture_density_network_isotropic", "Bishop MDN notebook", "vjp", w_mdn, False,
    "d/d log sigma of the D-dimensional isotropic normal holds D, not 1: gamma (D - sq / sigma^2)",
    ("x", "W1", "b1", "W2", "b2"), ("missing-term",))


def w_realnvp_perm():
    rng = np.random.default_rng(8)

    def coupling(x, w, b, v, c):
        d = x.shape[1] // 2
        x1, x2 = x[:, :d], x[:, d:]
        s = np.tanh(x1 @ w + b)
        t = x1 @ v + c
        y2 = x2 * np.exp(s) + t
        return np.concatenate([x1, y2], 1), s, (x1, x2, s, w, v)

    def coupling_back(dy, ds, cache):
        x1, x2, s, w, v = cache
        d = x1.shape[1]
        dy2 = dy[:, d:]
        dpre = (dy2 * x2 * np.exp(s) + ds) * (1 - s ** 2)
        dx1 = dy[:, :d] + dpre @ w.T + dy2 @ v.T
        dx = np.concatenate([dx1, dy2 * np.exp(s)], 1)
        return dx, dict(w=x1.T @ dpre, b=dpre.sum(0), v=x1.T @ dy2, c=dy2.sum(0))

    def forward(x, flow1, flow2, perm):
        z, s1, c1 = coupling(x, **flow1)
        z = z[:, perm]
        z, s2, c2 = coupling(z, **flow2)
        nll = 0.5 * (z ** 2).sum(1) + 0.5 * z.shape[1] * np.log(2 * np.pi) - s1.sum(1) - s2.sum(1)
        return nll, (z, c1, c2, perm)

    def backward(dnll, cache):
        z, c1, c2, perm = cache
        g = dnll[:, None]
        dz, g2 = coupling_back(g * z, -g, c2)
        dz = dz[:, perm]
        dx, g1 = coupling_back(dz, -g, c1)
        return {"x": dx, "flow1": g1, "flow2": g2}

    def params():
        return dict(w=rng.normal(size=(2, 3)), b=rng.normal(size=3), v=rng.normal(size=(2, 3)), c=rng.normal(size=3))

    return dict(forward=forward, backward=backward,
                inputs=dict(x=rng.normal(size=(4, 5)), flow1=params(), flow2=params()),
                constants=dict(perm=np.array([3, 0, 4, 1, 2])))


add("realnvp_two_couplings_permutation", "normalizing-flows repository", "vjp", w_realnvp_perm, False,
    "the backward applies the permutation again; the gradient goes through its inverse, dz[:, np.argsort(perm)]",
    ("x", "flow1"), ("transpose",))


# ---------------------------------------------------------------- wrong, 9..16

def w_bayes_by_backprop():
    rng = np.random.default_rng(9)

    def forward(x, W_mu, W_rho, b_mu, b_rho, eps_W, eps_b, target, kl_weight):
        W_sigma, b_sigma = np.log1p(np.exp(W_rho)), np.log1p(np.exp(b_rho))
        W = W_mu + W_sigma * eps_W
        b = b_mu + b_sigma * eps_b
        pred = np.tanh(x @ W + b)
        nll = 0.5 * ((pred - target) ** 2).sum() / len(x)
        kl = 0.0
        for mu, sigma in ((W_mu, W_sigma), (b_mu, b_sigma)):
            kl += (0.5 * (mu ** 2 + sigma ** 2 - 1) - np.log(sigma)).sum()
        return nll + kl_weight * kl, (x, W, pred, target, kl_weight, eps_W, eps_b,
                                      (W_mu, W_rho, W_sigma), (b_mu, b_rho, b_sigma))

    def backward(dloss, cache):
        x, W, pred, target, kl_weight, eps_W, eps_b, Wp, bp = cache
        da = dloss * (pred - target) / len(x) * (1 - pred ** 2)
        grads = {"x": da @ W.T}
        for name, g, eps, (mu, rho, sigma) in (("W", x.T @ da, eps_W, Wp), ("b", da.sum(0), eps_b, bp)):
            grads[name + "_mu"] = g + dloss * kl_weight * mu
            dsigma = g * eps + dloss * kl_weight * (sigma - 1 / sigma)
            grads[name + "_rho"] = dsigma / (1 + np.exp(rho))
        return grads

    B, D, O = 6, 4, 3
    return dict(forward=forward, backward=backward,
                inputs=dict(x=rng.normal(size=(B, D)), W_mu=rng.normal(size=(D, O)),
                            W_rho=-1.0 + 0.5 * rng.normal(size=(D, O)), b_mu=rng.normal(size=O),
                            b_rho=-1.0 + 0.5 * rng.normal(size=O)),
                constants=dict(eps_W=rng.normal(size=(D, O)), eps_b=rng.normal(size=O),
                               target=rng.normal(size=(B, O)), kl_weight=0.1))


add("bayes_by_backprop_layer_loss", "paper reimplementation (weight uncertainty)", "vjp", w_bayes_by_backprop, False,
    "the slope of softplus is sigmoid(rho) = 1 / (1 + exp(-rho)); here rho has the other sign",
    ("W_rho", "b_rho"), ("elementwise-factor",))


def w_sgns():
    rng = np.random.default_rng(10)

    def forward(centerWordVectors, outsideVectors, centers, outsides, negSamples):
        loss, saved = 0.0, []
        for c, o, neg in zip(centers, outsides, negSamples):
            v, u_o, u_k = centerWordVectors[c], outsideVectors[o], outsideVectors[neg]
            p_o = 1 / (1 + np.exp(-u_o.dot(v)))
            p_k = 1 / (1 + np.exp(u_k.dot(v)))
            loss += -np.log(p_o) - np.sum(np.log(p_k))
            saved.append((c, o, neg, p_o, p_k))
        return loss / len(centers), (centerWordVectors, outsideVectors, saved)

    def backward(dloss, cache):
        centerWordVectors, outsideVectors, saved = cache
        gradCenterVecs = np.zeros_like(centerWordVectors)
        gradOutsideVecs = np.zeros_like(outsideVectors)
        for c, o, neg, p_o, p_k in saved:
            v, u_o, u_k = centerWordVectors[c], outsideVectors[o], outsideVectors[neg]
            gradCenterVecs[c] += (p_o - 1) * u_o + (1 - p_k).dot(u_k)
            gradOutsideVecs[o] += (p_o - 1) * v
            gradOutsideVecs[neg] += np.outer(1 - p_k, v)
        scale = dloss / len(saved)
        return scale * gradCenterVecs, scale * gradOutsideVecs

    V, D = 7, 4
    return dict(forward=forward, backward=backward,
                inputs=dict(centerWordVectors=rng.normal(size=(V, D)), outsideVectors=rng.normal(size=(V, D))),
                constants=dict(centers=np.array([2, 5, 0, 2]), outsides=np.array([1, 2, 6, 4]),
                               negSamples=np.array([[3, 0, 3], [6, 4, 0], [5, 5, 5], [0, 1, 6]])))


add("word2vec_negative_sampling_loss", "CS224n assignment", "vjp", w_sgns, False,
    "a negative word drawn more than once counts once with fancy-index +=; np.add.at(gradOutsideVecs, neg, ...)",
    ("outsideVectors",), ("missing-term", "batch-sum"))


def w_actor_critic():
    rng = np.random.default_rng(11)

    def log_softmax(l):
        l = l - l.max(axis=1, keepdims=True)
        return l - np.log(np.exp(l).sum(axis=1, keepdims=True))

    def forward(obs, W, b, W_pi, b_pi, W_v, b_v, actions, returns, advantages, vf_coef, ent_coef):
        n = len(obs)
        h = np.tanh(obs @ W + b)
        logp = log_softmax(h @ W_pi + b_pi)
        p = np.exp(logp)
        values = (h @ W_v + b_v)[:, 0]
        pg_loss = -(advantages * logp[np.arange(n), actions]).mean()
        vf_loss = 0.5 * ((values - returns) ** 2).mean()
        entropy = -(p * logp).sum(axis=1).mean()
        loss = pg_loss + vf_coef * vf_loss - ent_coef * entropy
        return loss, (obs, h, W, W_pi, W_v, logp, p, values, actions, returns, advantages, vf_coef, ent_coef)

    def backward(dloss, cache):
        obs, h, W, W_pi, W_v, logp, p, values, actions, returns, advantages, vf_coef, ent_coef = cache
        n = len(obs)
        onehot = np.eye(p.shape[1])[actions]
        dlogits = advantages[:, None] * (p - onehot)
        dlogits += ent_coef * p * (logp + 1.0)
        dlogits *= dloss / n
        dvalues = (dloss * vf_coef * (values - returns) / n)[:, None]
        dh = (dlogits @ W_pi.T + dvalues @ W_v.T) * (1 - h ** 2)
        return {"obs": dh @ W.T, "W": obs.T @ dh, "b": dh.sum(0), "W_pi": h.T @ dlogits, "b_pi": dlogits.sum(0),
                "W_v": h.T @ dvalues, "b_v": dvalues.sum(0)}

    B, D, H, A = 6, 3, 5, 4
    return dict(forward=forward, backward=backward,
                inputs=dict(obs=rng.normal(size=(B, D)), W=rng.normal(size=(D, H)), b=rng.normal(size=H),
                            W_pi=rng.normal(size=(H, A)), b_pi=rng.normal(size=A), W_v=rng.normal(size=(H, 1)),
                            b_v=rng.normal(size=1)),
                constants=dict(actions=np.array([0, 3, 1, 1, 2, 0]), returns=rng.normal(size=B),
                               advantages=rng.normal(size=B), vf_coef=0.5, ent_coef=0.2))


add("a2c_loss_shared_trunk", "RL baselines in numpy", "vjp", w_actor_critic, False,
    "the entropy's gradient to the logits is -p (logp + H), with H = -sum p logp; p (logp + 1) skips the normalisation of softmax",
    ("obs", "W", "b", "W_pi", "b_pi"), ("missing-term",))


def w_tied_autoencoder():
    rng = np.random.default_rng(12)

    def sigm(a):
        return 1 / (1 + np.exp(-a))

    def forward(params, x, target):
        p = params
        hid = sigm(x @ p["W"] + p["bhid"])
        logits = hid @ p["W"].T + p["bvis"]
        z = sigm(logits)
        L = -np.sum(target * np.log(z) + (1 - target) * np.log(1 - z), axis=1)
        return np.mean(L), (p, x, hid, z, target)

    def backward(dcost, cache):
        p, x, hid, z, target = cache
        dlogits = dcost * (z - target) / x.shape[0]
        dhid = dlogits @ p["W"]
        da = dhid * hid * (1 - hid)
        g = {}
        g["bvis"] = dlogits.sum(axis=0)
        g["bhid"] = da.sum(axis=0)
        g["W"] = dlogits.T @ hid
        dx = da @ p["W"].T
        return {"params": g, "x": dx}

    B, D, H = 5, 6, 4
    return dict(forward=forward, backward=backward,
                inputs=dict(params=dict(W=rng.normal(size=(D, H)), bhid=rng.normal(size=H), bvis=rng.normal(size=D)),
                            x=rng.normal(size=(B, D))),
                constants=dict(target=(rng.random((B, D)) > 0.5).astype(float)))


add("denoising_autoencoder_tied_weights", "deeplearning.net / Theano tutorial port", "vjp", w_tied_autoencoder, False,
    "W stands in the encoder and (transposed) in the decoder; the encoder's share x.T @ da is not added",
    ("params",), ("missing-term",))


def w_scan_reset():
    rng = np.random.default_rng(13)

    def scan(step, carry, xs):
        ys, res = [], []
        for x in zip(*xs):
            carry, y, r = step(carry, x)
            ys.append(y)
            res.append(r)
        return carry, np.stack(ys), res

    def forward(params, h0, xs, dones):
        def step(h, inp):
            x, done = inp
            h = h * (1.0 - done)[:, None]
            new = np.tanh(x @ params["wx"] + h @ params["wh"] + params["b"])
            return new, new @ params["wo"], (h, x, done, new)

        _, ys, res = scan(step, h0, (xs, dones))
        return ys, (params, res)

    def backward(dys, cache):
        params, res = cache
        g = {k: np.zeros_like(v) for k, v in params.items()}
        dxs = []
        dh = np.zeros_like(res[0][0])
        for dy, (h, x, done, new) in zip(dys[::-1], res[::-1]):
            g["wo"] += new.T @ dy
            da = (dh + dy @ params["wo"].T) * (1 - new ** 2)
            g["wx"] += x.T @ da
            g["wh"] += h.T @ da
            g["b"] += da.sum(0)
            dxs.append(da @ params["wx"].T)
            dh = da @ params["wh"].T
        return {"params": g, "h0": dh, "xs": np.stack(dxs[::-1])}

    T, B, D, H, O = 4, 3, 2, 4, 2
    dones = np.zeros((T, B))
    dones[0, 1] = dones[2, 0] = dones[3, 1] = dones[1, 2] = 1
    return dict(forward=forward, backward=backward,
                inputs=dict(params=dict(wx=rng.normal(size=(D, H)), wh=0.7 * rng.normal(size=(H, H)),
                                        b=rng.normal(size=H), wo=rng.normal(size=(H, O))),
                            h0=rng.normal(size=(B, H)), xs=rng.normal(size=(T, B, D))),
                constants=dict(dones=dones))


add("scan_rnn_with_episode_resets", "JAX RL repository (PureJaxRL manner)", "vjp", w_scan_reset, False,
    "the carry's gradient passes the episode boundary; dh = (da @ wh.T) * (1 - done)[:, None]",
    ("params", "h0", "xs"), ("elementwise-factor", "missing-term"))


def w_kalman_scalar():
    rng = np.random.default_rng(14)

    def forward(a, logq, logr, m0, logP0, ys):
        q, r, m, P = np.exp(logq), np.exp(logr), m0, np.exp(logP0)
        nll, tape = 0.0, []
        for y in ys:
            mp, Pp = a * m, a * a * P + q
            v, S = y - mp, Pp + r
            K = Pp / S
            nll = nll + 0.5 * (np.log(2 * np.pi * S) + v * v / S)
            tape.append((m, P, mp, Pp, v, S, K))
            m, P = mp + K * v, (1 - K) * Pp
        return nll, (a, q, r, np.exp(logP0), tape)

    def backward(dnll, cache):
        a, q, r, P0, tape = cache
        da = dq = dr = dm = dP = 0.0
        for m, P, mp, Pp, v, S, K in reversed(tape):
            dmp = dm
            dK = dm * v - dP * Pp
            dv = dm * K
            dPp = dP * (1 - K)
            dPp += dK / S
            dS = dnll * 0.5 * (1 / S - v * v / S ** 2)
            dv += dnll * v / S
            dPp += dS
            dr += dS
            dmp -= dv
            da += dmp * m + 2 * a * P * dPp
            dq += dPp
            dm = a * dmp
            dP = a * a * dPp
        return {"a": da, "logq": dq * q, "logr": dr * r, "m0": dm, "logP0": dP * P0}

    return dict(forward=forward, backward=backward,
                inputs=dict(a=np.array(0.83), logq=np.array(-0.7), logr=np.array(-0.2), m0=np.array(0.4),
                            logP0=np.array(0.3)),
                constants=dict(ys=np.array([0.9, -0.4, 1.6, 0.2, -1.3, 0.7])))


add("kalman_filter_nll_scalar", "time-series blog post", "vjp", w_kalman_scalar, False,
    "the gain K = Pp / S depends on S as well: dS lacks - dK Pp / S^2",
    ("a", "logq", "logr", "logP0"), ("missing-term",))


def w_ode_adjoint():
    rng = np.random.default_rng(15)

    def f(y, theta):
        return np.tanh(y @ theta["W1"] + theta["b1"]) @ theta["W2"]

    def f_vjp(y, theta, a):
        h = np.tanh(y @ theta["W1"] + theta["b1"])
        da = (a @ theta["W2"].T) * (1 - h ** 2)
        return da @ theta["W1"].T, {"W1": y.T @ da, "b1": da.sum(axis=0), "W2": h.T @ a}

    def forward(y0, theta, t):
        ys = [y0]
        for i in range(len(t) - 1):
            dt = t[i + 1] - t[i]
            ys.append(ys[i] + dt * f(ys[i], theta))
        return np.stack(ys[1:]), (ys, theta, t)

    def backward(grad_ys, cache):
        ys, theta, t = cache
        adj_y = np.zeros_like(ys[0])
        adj_theta = {k: np.zeros_like(v) for k, v in theta.items()}
        for i in range(len(t) - 2, -1, -1):
            dt = t[i + 1] - t[i]
            adj_y = adj_y + grad_ys[i]
            vjp_y, vjp_theta = f_vjp(ys[i + 1], theta, adj_y)
            adj_y = adj_y + dt * vjp_y
            for k in adj_theta:
                adj_theta[k] += dt * vjp_theta[k]
        return {"y0": adj_y, "theta": adj_theta}

    B, D, H = 3, 2, 5
    return dict(forward=forward, backward=backward,
                inputs=dict(y0=rng.normal(size=(B, D)),
                            theta=dict(W1=rng.normal(size=(D, H)), b1=rng.normal(size=H), W2=rng.normal(size=(H, D)))),
                constants=dict(t=np.array([0.0, 0.3, 0.5, 0.9, 1.1])))


add("neural_ode_euler_adjoint", "torchdiffeq port", "vjp", w_ode_adjoint, False,
    "the adjoint step is evaluated at the end of the interval, ys[i + 1]; the Euler step used ys[i]",
    ("y0", "theta"), ("elementwise-factor",))


def w_spring_mass():
    rng = np.random.default_rng(16)

    def forward(x0, v0, stiffness, rest_length, damping, springs, dt, steps):
        x, v = x0, v0
        states = []
        for _ in range(steps):
            d = x[springs[:, 0]] - x[springs[:, 1]]
            length = np.sqrt((d ** 2).sum(1))
            mag = stiffness * (length - rest_length)
            f = np.zeros_like(x)
            np.add.at(f, springs[:, 0], -(mag / length)[:, None] * d)
            np.add.at(f, springs[:, 1], (mag / length)[:, None] * d)
            states.append((v, d, length, mag))
            v = np.exp(-dt * damping) * v + dt * f
            x = x + dt * v
        return x, (states, stiffness, rest_length, damping, springs, dt)

    def backward(gx, cache):
        states, stiffness, rest_length, damping, springs, dt = cache
        i, j = springs[:, 0], springs[:, 1]
        gx, gv = gx.copy(), np.zeros_like(gx)
        gk, gl, gdamp = np.zeros_like(stiffness), np.zeros_like(rest_length), 0.0
        for v, d, length, mag in reversed(states):
            gx_next = gx
            e = np.exp(-dt * damping)
            gdamp += -dt * e * (gv * v).sum()
            gf = dt * gv
            gq = gf[j] - gf[i]                       # of (mag / length) d
            gmag = (gq * d).sum(1) / length
            gk += gmag * (length - rest_length)
            gl -= gmag * stiffness
            glen = gmag * stiffness - (gq * d).sum(1) * mag / length ** 2
            gd = gq * (mag / length)[:, None] + (glen / length)[:, None] * d
            gx = gx_next.copy()
            np.add.at(gx, i, gd)
            np.add.at(gx, j, -gd)
            gv = e * gv + dt * gx_next
        return {"x0": gx, "v0": gv, "stiffness": gk, "rest_length": gl, "damping": gdamp}

    return dict(forward=forward, backward=backward,
                inputs=dict(x0=rng.normal(size=(4, 2)), v0=rng.normal(size=(4, 2)), stiffness=2 + rng.random(5),
                            rest_length=0.6 + rng.random(5), damping=np.array(0.35)),
                constants=dict(springs=np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]]), dt=0.12, steps=5))


add("mass_spring_semi_implicit_euler", "DiffTaichi example port", "vjp", w_spring_mass, False,
    "x moves with the NEW v, so gv must take dt gx before it goes on into force and damping; here it does after (explicit Euler)",
    ("x0", "v0", "stiffness", "rest_length", "damping"), ("missing-term",))


# ---------------------------------------------------------------- wrong, 17..24

def w_reinforce():
    rng = np.random.default_rng(17)

    def policy_forward(x, model):
        h = np.dot(x, model["W1"].T)
        h[h < 0] = 0
        logit = np.dot(h, model["W2"].T)
        e = np.exp(logit - logit.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True), h

    def forward(model, epx, actions, epr, gamma):
        R, running = np.zeros_like(epr), 0.0
        for t in reversed(range(len(epr))):
            running = running * gamma + epr[t]
            R[t] = running
        R = (R - R.mean()) / R.std()
        aprob, eph = policy_forward(epx, model)
        loss = -np.sum(R * np.log(aprob[np.arange(len(R)), actions]))
        return loss, (model, epx, eph, aprob, actions, R)

    def backward(dloss, cache):
        model, epx, eph, aprob, actions, R = cache
        y = np.zeros_like(aprob)
        y[np.arange(len(actions)), actions] = 1
        dlogp = y - aprob
        dlogp *= dloss * R[:, None]
        dW2 = np.dot(dlogp.T, eph)
        dh = np.dot(dlogp, model["W2"])
        dh[eph <= 0] = 0
        dW1 = np.dot(dh.T, epx)
        return {"model": {"W1": dW1, "W2": dW2}, "epx": np.dot(dh, model["W1"])}

    T, D, H, A = 7, 5, 6, 3
    return dict(forward=forward, backward=backward,
                inputs=dict(model=dict(W1=rng.normal(size=(H, D)), W2=rng.normal(size=(A, H))),
                            epx=rng.normal(size=(T, D))),
                constants=dict(actions=np.array([2, 0, 1, 1, 0, 2, 1]), epr=np.array([0., 1., 0., -1., 0., 0., 1.]),
                               gamma=0.9))


add("pong_policy_gradient_episode", "Karpathy pg-pong gist", "vjp", w_reinforce, False,
    "y - aprob is the direction that raises the log-probability; of the loss (with its minus) it is aprob - y",
    ("model", "epx"), ("sign",))


def w_dropout_regressor():
    rng = np.random.default_rng(18)

    def forward(X, W1, b1, W2, b2, keep_prob):
        cache = {"X": X, "W1": W1, "W2": W2, "keep_prob": keep_prob}
        Z1 = np.dot(W1, X) + b1
        A1 = np.tanh(Z1)
        D1 = np.random.rand(*A1.shape)
        D1 = (D1 < keep_prob).astype(float)
        A1d = A1 * D1 / keep_prob
        Z2 = np.dot(W2, A1d) + b2
        cache.update(A1=A1, D1=D1, A1d=A1d)
        return Z2, cache

    def backward(dZ2, cache):
        dW2 = np.dot(dZ2, cache["A1d"].T)
        db2 = np.sum(dZ2, axis=1, keepdims=True)
        dA1 = np.dot(cache["W2"].T, dZ2)
        dA1 = dA1 * cache["D1"] / cache["keep_prob"]
        dZ1 = dA1 * (1 - np.power(cache["A1"], 2))
        dW1 = np.dot(dZ1, cache["X"].T)
        db1 = np.sum(dZ1, axis=1, keepdims=True)
        return {"X": np.dot(cache["W1"].T, dZ1), "W1": dW1, "b1": db1, "W2": dW2, "b2": db2}

    n_x, n_h, n_y, m = 3, 7, 2, 5
    return dict(forward=forward, backward=backward,
                inputs=dict(X=rng.normal(size=(n_x, m)), W1=rng.normal(size=(n_h, n_x)), b1=rng.normal(size=(n_h, 1)),
                            W2=rng.normal(size=(n_y, n_h)), b2=rng.normal(size=(n_y, 1))),
                constants=dict(keep_prob=0.7))


add("forward_propagation_with_dropout", "Coursera deeplearning.ai assignment", "vjp", w_dropout_regressor, False,
    "the dropout mask is drawn inside forward from the global generator; it should be an argument (or seeded)",
    ("X", "W1", "b1", "W2", "b2"), ("noise-redrawn",))


def w_layer_objects():
    rng = np.random.default_rng(19)

    class Affine:
        def __init__(self, W, b):
            self.W, self.b = W, b
            self.x = None
            self.dW, self.db = np.zeros_like(W), np.zeros_like(b)

        def forward(self, x):
            self.x = x
            return np.dot(x, self.W) + self.b

        def backward(self, dout):
            self.dW += np.dot(self.x.T, dout)
            self.db += np.sum(dout, axis=0)
            return np.dot(dout, self.W.T)

    class Sigmoid:
        def forward(self, x):
            self.out = 1 / (1 + np.exp(-x))
            return self.out

        def backward(self, dout):
            return dout * (1.0 - self.out) * self.out

    class TwoLayerNet:
        def __init__(self, params):
            self.layers = {"Affine1": Affine(params["W1"], params["b1"]), "Sigmoid1": Sigmoid(),
                           "Affine2": Affine(params["W2"], params["b2"])}

        def predict(self, x):
            for layer in self.layers.values():
                x = layer.forward(x)
            return x

        def gradient(self, dout):
            for layer in reversed(list(self.layers.values())):
                dout = layer.backward(dout)
            a1, a2 = self.layers["Affine1"], self.layers["Affine2"]
            return {"x": dout, "params": {"W1": a1.dW, "b1": a1.db, "W2": a2.dW, "b2": a2.db}}

    def forward(x, params):
        net = TwoLayerNet(params)
        return net.predict(x), net

    def backward(dout, net):
        return net.gradient(dout)

    return dict(forward=forward, backward=backward,
                inputs=dict(x=rng.normal(size=(5, 3)),
                            params=dict(W1=rng.normal(size=(3, 6)), b1=rng.normal(size=6), W2=rng.normal(size=(6, 2)),
                                        b2=rng.normal(size=2))))


add("two_layer_net_of_layer_objects", "Saitoh, Deep Learning from Scratch", "vjp", w_layer_objects, False,
    "Affine.backward adds to dW and db, which nobody zeroes: a second backward gives twice as much; assign instead",
    ("params",), ("accumulates",))


def w_birnn():
    rng = np.random.default_rng(20)

    def rnn(xs, Wx, Wh, b):
        h, hs = np.zeros((xs.shape[1], Wh.shape[0])), []
        for x in xs:
            h = np.tanh(x @ Wx + h @ Wh + b)
            hs.append(h)
        return np.array(hs)

    def rnn_grad(dhs, xs, hs, Wx, Wh):
        dxs = np.zeros_like(xs)
        dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wh.shape[0])
        carry = np.zeros_like(hs[0])
        for t in range(len(xs) - 1, -1, -1):
            da = (dhs[t] + carry) * (1 - hs[t] ** 2)
            dxs[t] = da @ Wx.T
            dWx += xs[t].T @ da
            if t > 0:
                dWh += hs[t - 1].T @ da
            db += da.sum(axis=0)
            carry = da @ Wh.T
        return dxs, dWx, dWh, db

    def forward(xs, fWx, fWh, fb, bWx, bWh, bb):
        hf = rnn(xs, fWx, fWh, fb)
        hb = rnn(xs[::-1], bWx, bWh, bb)
        out = np.concatenate([hf, hb[::-1]], axis=-1)
        return out, (xs, hf, hb, fWx, fWh, bWx, bWh)

    def backward(dout, cache):
        xs, hf, hb, fWx, fWh, bWx, bWh = cache
        H = hf.shape[-1]
        dxf, dfWx, dfWh, dfb = rnn_grad(dout[..., :H], xs, hf, fWx, fWh)
        dxb, dbWx, dbWh, dbb = rnn_grad(dout[::-1, :, H:], xs[::-1], hb, bWx, bWh)
        dxs = dxf + dxb
        return dxs, dfWx, dfWh, dfb, dbWx, dbWh, dbb

    T, B, D, Hf, Hb = 5, 3, 2, 4, 3
    return dict(forward=forward, backward=backward,
                inputs=dict(xs=rng.normal(size=(T, B, D)), fWx=rng.normal(size=(D, Hf)),
                            fWh=0.6 * rng.normal(size=(Hf, Hf)), fb=rng.normal(size=Hf), bWx=rng.normal(size=(D, Hb)),
                            bWh=0.6 * rng.normal(size=(Hb, Hb)), bb=rng.normal(size=Hb)))


add("bidirectional_rnn_concat", "CNTK / Keras layer reimplementation", "vjp", w_birnn, False,
    "the input gradient of the reversed direction comes back in reversed time and is added so; dxf + dxb[::-1]",
    ("xs",), ("transpose",))


def w_nerf_float32():
    rng = np.random.default_rng(21)
    dtype = np.float32

    def positional_encoding(p, L):
        freqs = (2.0 ** np.arange(L)).astype(dtype)
        ang = p[:, :, None] * freqs
        enc = np.concatenate([np.sin(ang), np.cos(ang)], axis=-1)
        return enc.reshape(len(p), -1), ang, freqs

    def forward(pts, W1, b1, W_sigma, W_rgb, L):
        pts, W1, b1, W_sigma, W_rgb = (np.asarray(a, dtype=dtype) for a in (pts, W1, b1, W_sigma, W_rgb))
        enc, ang, freqs = positional_encoding(pts, L)
        h = np.tanh(enc @ W1 + b1)
        sigma_raw = h @ W_sigma
        sigma = np.log1p(np.exp(sigma_raw))
        rgb = 1 / (1 + np.exp(-(h @ W_rgb)))
        return np.concatenate([rgb, sigma], axis=1), (ang, freqs, enc, h, sigma_raw, rgb, W1, W_sigma, W_rgb)

    def backward(dout, cache):
        ang, freqs, enc, h, sigma_raw, rgb, W1, W_sigma, W_rgb = cache
        drgb = dout[:, :3] * rgb * (1 - rgb)
        dsig = dout[:, 3:] / (1 + np.exp(-sigma_raw))
        dpre = (drgb @ W_rgb.T + dsig @ W_sigma.T) * (1 - h ** 2)
        denc = (dpre @ W1.T).reshape(ang.shape[0], ang.shape[1], -1)
        L = len(freqs)
        dang = denc[..., :L] * np.cos(ang) - denc[..., L:] * np.sin(ang)
        return {"pts": (dang * freqs).sum(-1), "W1": enc.T @ dpre, "b1": dpre.sum(0), "W_sigma": h.T @ dsig,
                "W_rgb": h.T @ drgb}

    L, H = 2, 4
    return dict(forward=forward, backward=backward,
                inputs=dict(pts=rng.normal(size=(5, 3)), W1=0.5 * rng.normal(size=(3 * 2 * L, H)), b1=rng.normal(size=H),
                            W_sigma=rng.normal(size=(H, 1)), W_rgb=rng.normal(size=(H, 3))),
                constants=dict(L=L))


add("tiny_nerf_field", "NeRF reimplementation", "vjp", w_nerf_float32, False,
    "everything is cast to float32 inside forward; dtype = np.float64 lets differences confirm the gradient",
    ("pts", "W1", "b1", "W_sigma", "W_rgb"), ("precision",))


def w_causal_temperature():
    rng = np.random.default_rng(22)

    def forward(q, k, v, log_temp, causal):
        temp = np.exp(log_temp)
        raw = q @ k.transpose(0, 2, 1)
        scores = np.where(causal, raw / temp, -np.inf)
        scores = scores - scores.max(-1, keepdims=True)
        p = np.exp(scores)
        p = p / p.sum(-1, keepdims=True)
        return p @ v, (q, k, v, temp, scores, p)

    def backward(g, cache):
        q, k, v, temp, scores, p = cache
        gv = p.transpose(0, 2, 1) @ g
        gp = g @ v.transpose(0, 2, 1)
        gs = p * (gp - (gp * p).sum(-1, keepdims=True))
        glog_temp = -(gs * scores).sum()
        gq = gs @ k / temp
        gk = gs.transpose(0, 2, 1) @ q / temp
        return gq, gk, gv, glog_temp

    B, T, D = 3, 4, 3
    return dict(forward=forward, backward=backward,
                inputs=dict(q=rng.normal(size=(B, T, D)), k=rng.normal(size=(B, T, D)), v=rng.normal(size=(B, T, 2)),
                            log_temp=np.array(0.3)),
                constants=dict(causal=np.tril(np.ones((T, T), dtype=bool))))


add("causal_attention_learned_temperature", "nanoGPT in numpy", "vjp", w_causal_temperature, False,
    "gs is 0 where the mask put -inf into scores, and 0 * -inf is NaN; multiply by np.where(causal, scores, 0)",
    ("log_temp",), ("non-finite",))


def w_lstm_learned_state():
    rng = np.random.default_rng(23)

    def sigmoid(z):
        return 0.5 * (1 + np.tanh(0.5 * z))

    def forward(x, h_init, c_init, Wx, Wh, b):
        # x (B, T, D), learned initial states (H,)
        B, T, _ = x.shape
        H = Wh.shape[0]
        h = np.zeros((B, T + 1, H))
        c = np.zeros((B, T + 1, H))
        h[:, 0], c[:, 0] = h_init, c_init
        gates = np.zeros((B, T, 4 * H))
        for t in range(T):
            a = x[:, t] @ Wx + h[:, t] @ Wh + b
            gates[:, t, :3 * H] = sigmoid(a[:, :3 * H])
            gates[:, t, 3 * H:] = np.tanh(a[:, 3 * H:])
            i, f, o, g = np.split(gates[:, t], 4, axis=1)
            c[:, t + 1] = f * c[:, t] + i * g
            h[:, t + 1] = o * np.tanh(c[:, t + 1])
        return h[:, 1:].copy(), (x, h, c, gates, Wx, Wh)

    def backward(dout, cache):
        x, h, c, gates, Wx, Wh = cache
        B, T, _ = x.shape
        H = Wh.shape[0]
        grads = {"x": np.zeros_like(x), "h_init": np.zeros(H), "c_init": np.zeros(H), "Wx": np.zeros_like(Wx),
                 "Wh": np.zeros_like(Wh), "b": np.zeros(4 * H)}
        dh, dc = np.zeros((B, H)), np.zeros((B, H))
        for t in reversed(range(T)):
            i, f, o, g = np.split(gates[:, t], 4, axis=1)
            tc = np.tanh(c[:, t + 1])
            dh = dh + dout[:, t]
            dc = dc + dh * o * (1 - tc ** 2)
            da = np.hstack([dc * g * i * (1 - i), dc * c[:, t] * f * (1 - f), dh * tc * o * (1 - o),
                            dc * i * (1 - g ** 2)])
            grads["x"][:, t] = da @ Wx.T
            grads["Wx"] += x[:, t].T @ da
            grads["Wh"] += h[:, t].T @ da
            grads["b"] += da.sum(0)
            dh, dc = da @ Wh.T, dc * f
        grads["c_init"] = dc.sum(0)
        return grads

    B, T, D, H = 3, 4, 2, 3
    return dict(forward=forward, backward=backward,
                inputs=dict(x=rng.normal(size=(B, T, D)), h_init=rng.normal(size=H), c_init=rng.normal(size=H),
                            Wx=rng.normal(size=(D, 4 * H)), Wh=rng.normal(size=(H, 4 * H)), b=rng.normal(size=4 * H)))


add("lstm_learned_initial_state", "course project LSTM", "vjp", w_lstm_learned_state, False,
    "the gradient of the learned h_init stays at its zeros; grads['h_init'] = dh.sum(0) is missing at the end",
    ("h_init",), ("zero",))


def w_gcn():
    rng = np.random.default_rng(24)

    def normalize(adj):
        adj = adj + np.eye(len(adj))
        rowsum = adj.sum(1)
        return adj / rowsum[:, None]

    def forward(features, gc1, gc2, adj, labels, idx_train):
        A = normalize(adj)
        support = features @ gc1["weight"]
        pre = A @ support + gc1["bias"]
        x = np.where(pre > 0, pre, np.expm1(pre))
        out = A @ (x @ gc2["weight"]) + gc2["bias"]
        logp = out - np.log(np.exp(out).sum(1, keepdims=True))
        loss = -logp[idx_train, labels[idx_train]].mean()
        return loss, (A, features, gc1, gc2, pre, x, logp, labels, idx_train)

    def backward(dloss, cache):
        A, features, gc1, gc2, pre, x, logp, labels, idx_train = cache
        dout = np.zeros_like(logp)
        dout[idx_train] = np.exp(logp[idx_train])
        dout[idx_train, labels[idx_train]] -= 1
        dout *= dloss / len(idx_train)
        dsup2 = A.T @ dout
        dx = dsup2 @ gc2["weight"].T
        dpre = dx * np.where(pre > 0, 1.0, x + 1.0)
        dsup1 = A @ dpre
        return {"features": dsup1 @ gc1["weight"].T,
                "gc1": {"weight": features.T @ dsup1, "bias": dpre.sum(0)},
                "gc2": {"weight": x.T @ dsup2, "bias": dout.sum(0)}}

    N, F, H, C = 7, 4, 5, 3
    adj = np.zeros((N, N))
    for i, j in ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (0, 3), (3, 6), (3, 1)):
        adj[i, j] = adj[j, i] = 1
    return dict(forward=forward, backward=backward,
                inputs=dict(features=rng.normal(size=(N, F)),
                            gc1=dict(weight=rng.normal(size=(F, H)), bias=rng.normal(size=H)),
                            gc2=dict(weight=rng.normal(size=(H, C)), bias=rng.normal(size=C))),
                constants=dict(adj=adj, labels=np.array([0, 2, 1, 1, 0, 2, 0]), idx_train=np.array([0, 2, 3, 5])))


add("gcn_node_classification", "pygcn port", "vjp", w_gcn, False,
    "the row-normalised adjacency is not symmetric: the first layer's backward needs A.T @ dpre",
    ("features", "gc1"), ("transpose",))


# ---------------------------------------------------------------- right, 1..8

def r_fc_batchnorm_net():
    rng = np.random.default_rng(101)

    def forward(X, W1, b1, gamma1, beta1, W2, b2, y, reg):
        N = X.shape[0]
        a = X @ W1 + b1
        mu, var = a.mean(axis=0), a.var(axis=0)
        ivar = 1 / np.sqrt(var + 1e-5)
        xhat = (a - mu) * ivar
        bn = gamma1 * xhat + beta1
        h = np.maximum(0, bn)
        scores = h @ W2 + b2
        p = np.exp(scores - scores.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        loss = -np.log(p[np.arange(N), y]).mean() + 0.5 * reg * ((W1 ** 2).sum() + (W2 ** 2).sum())
        return loss, (X, W1, W2, gamma1, ivar, xhat, bn, h, p, y, reg)

    def backward(dloss, cache):
        X, W1, W2, gamma1, ivar, xhat, bn, h, p, y, reg = cache
        N = X.shape[0]
        dscores = p.copy()
        dscores[range(N), y] -= 1
        dscores *= dloss / N
        dbn = (dscores @ W2.T) * (bn > 0)
        dgamma, dbeta = (dbn * xhat).sum(0), dbn.sum(0)
        da = gamma1 * ivar / N * (N * dbn - dbeta - xhat * dgamma)
        grads = {"W2": h.T @ dscores, "b2": dscores.sum(0), "gamma1": dgamma, "beta1": dbeta}
        grads["W1"], grads["b1"] = X.T @ da, np.zeros(W1.shape[1])     # the mean takes b1 away
        grads["X"] = da @ W1.T
        grads["W1"] += dloss * reg * W1
        grads["W2"] += dloss * reg * W2
        return grads

    return dict(forward=forward, backward=backward,
                inputs=dict(X=rng.normal(size=(6, 4)), W1=rng.normal(size=(4, 5)), b1=rng.normal(size=5),
                            gamma1=rng.normal(size=5) + 1, beta1=rng.normal(size=5), W2=rng.normal(size=(5, 3)),
                            b2=rng.normal(size=3)),
                constants=dict(y=np.array([1, 0, 2, 2, 1, 0]), reg=0.3))


add("fully_connected_net_batchnorm_l2", "CS231n assignment", "vjp", r_fc_batchnorm_net, True)


def r_lstm_peephole_loop():
    rng = np.random.default_rng(102)

    def sig(z):
        return 1 / (1 + np.exp(-z))

    def forward(x, W, R, p_i, p_f, p_o, b):
        # x (T, D, B): columns are the examples; gates z, i, f, o stacked on rows
        T, _, B = x.shape
        H = len(p_i)
        y, c, steps, out = np.zeros((H, B)), np.zeros((H, B)), [], []
        for t in range(T):
            s = W @ x[t] + R @ y + b[:, None]
            z = np.tanh(s[:H])
            i = sig(s[H:2 * H] + p_i[:, None] * c)
            f = sig(s[2 * H:3 * H] + p_f[:, None] * c)
            c_new = z * i + c * f
            o = sig(s[3 * H:] + p_o[:, None] * c_new)
            tc = np.tanh(c_new)
            steps.append((y, c, z, i, f, o, c_new, tc))
            y, c = tc * o, c_new
            out.append(y)
        return np.array(out), (x, W, R, p_i, p_f, p_o, steps)

    def backward(delta, cache):
        x, W, R, p_i, p_f, p_o, steps = cache
        H = len(p_i)
        dx, dW, dR, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(R), np.zeros(4 * H)
        dpi, dpf, dpo = np.zeros(H), np.zeros(H), np.zeros(H)
        dy_next = dc_next = 0
        for t in range(len(steps) - 1, -1, -1):
            y, c, z, i, f, o, c_new, tc = steps[t]
            dy = delta[t] + dy_next
            do = dy * tc * o * (1 - o)
            dc = dy * o * (1 - tc ** 2) + p_o[:, None] * do + dc_next
            df = dc * c * f * (1 - f)
            di = dc * z * i * (1 - i)
            dz = dc * i * (1 - z ** 2)
            ds = np.vstack([dz, di, df, do])
            dx[t] = W.T @ ds
            dW += ds @ x[t].T
            dR += ds @ y.T
            db += ds.sum(axis=1)
            dpi += (di * c).sum(1)
            dpf += (df * c).sum(1)
            dpo += (do * c_new).sum(1)
            dy_next = R.T @ ds
            dc_next = dc * f + p_i[:, None] * di + p_f[:, None] * df
        return dx, dW, dR, dpi, dpf, dpo, db

    T, D, B, H = 4, 2, 3, 3
    return dict(forward=forward, backward=backward,
                inputs=dict(x=rng.normal(size=(T, D, B)), W=rng.normal(size=(4 * H, D)), R=rng.normal(size=(4 * H, H)),
                            p_i=rng.normal(size=H), p_f=rng.normal(size=H), p_o=rng.normal(size=H),
                            b=rng.normal(size=4 * H)))


add("peephole_lstm_search_space_odyssey", "paper reimplementation (LSTM odyssey)", "vjp", r_lstm_peephole_loop, True)


def r_gru_cell_v3():
    rng = np.random.default_rng(103)

    def sigmoid(x):
        return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))

    def forward(input, hx, weight_ih, weight_hh, bias_ih, bias_hh):
        gi = input @ weight_ih.T + bias_ih
        gh = hx @ weight_hh.T + bias_hh
        i_r, i_z, i_n = np.split(gi, 3, axis=1)
        h_r, h_z, h_n = np.split(gh, 3, axis=1)
        resetgate = sigmoid(i_r + h_r)
        inputgate = sigmoid(i_z + h_z)
        newgate = np.tanh(i_n + resetgate * h_n)
        hy = newgate + inputgate * (hx - newgate)
        return hy, (input, hx, weight_ih, weight_hh, resetgate, inputgate, newgate, h_n)

    def backward(grad_hy, ctx):
        input, hx, weight_ih, weight_hh, resetgate, inputgate, newgate, h_n = ctx
        grad_z = grad_hy * (hx - newgate) * inputgate * (1 - inputgate)
        grad_n = grad_hy * (1 - inputgate) * (1 - newgate ** 2)
        grad_r = grad_n * h_n * resetgate * (1 - resetgate)
        grad_gi = np.concatenate([grad_r, grad_z, grad_n], axis=1)
        grad_gh = np.concatenate([grad_r, grad_z, grad_n * resetgate], axis=1)
        return {"input": grad_gi @ weight_ih, "hx": grad_hy * inputgate + grad_gh @ weight_hh,
                "weight_ih": grad_gi.T @ input, "weight_hh": grad_gh.T @ hx,
                "bias_ih": grad_gi.sum(0), "bias_hh": grad_gh.sum(0)}

    B, D, H = 5, 2, 4
    return dict(forward=forward, backward=backward,
                inputs=dict(input=rng.normal(size=(B, D)), hx=rng.normal(size=(B, H)),
                            weight_ih=rng.normal(size=(3 * H, D)), weight_hh=rng.normal(size=(3 * H, H)),
                            bias_ih=rng.normal(size=3 * H), bias_hh=rng.normal(size=3 * H)))


add("gru_cell_torch_layout", "PyTorch extension port", "vjp", r_gru_cell_v3, True)


def r_transformer_block():
    rng = np.random.default_rng(104)

    def ln(x, g):
        m = x - x.mean(-1, keepdims=True)
        inv = 1 / np.sqrt((m * m).mean(-1, keepdims=True) + 1e-5)
        return m * inv * g, (m * inv, inv, g)

    def ln_bwd(dy, c):
        xh, inv, g = c
        d = dy * g
        dx = inv * (d - d.mean(-1, keepdims=True) - xh * (d * xh).mean(-1, keepdims=True))
        return dx, (dy * xh).sum((0, 1))

    def gelu(x):
        t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x * x)

    def forward(x, ln1, ln2, c_attn, c_proj, fc, proj, n_head):
        B, T, C = x.shape
        h1, c1 = ln(x, ln1)
        qkv = (h1 @ c_attn).reshape(B, T, 3, n_head, C // n_head).transpose(2, 0, 3, 1, 4)
        q, k, v = qkv
        s = q @ k.swapaxes(-1, -2) / np.sqrt(C // n_head)
        s = np.where(np.tril(np.ones((T, T))) == 0, -1e9, s)
        p = np.exp(s - s.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        o = (p @ v).transpose(0, 2, 1, 3).reshape(B, T, C)
        x1 = x + o @ c_proj
        h2, c2 = ln(x1, ln2)
        a, da = gelu(h2 @ fc)
        return x1 + a @ proj, (h1, c1, q, k, v, p, o, h2, c2, a, da, c_attn, c_proj, fc, proj)

    def backward(dy, cache):
        h1, c1, q, k, v, p, o, h2, c2, a, da, c_attn, c_proj, fc, proj = cache
        B, T, C = dy.shape
        mm = lambda u, w: np.tensordot(u, w, axes=([0, 1], [0, 1]))
        g = {"proj": mm(a, dy)}
        du = dy @ proj.T * da
        g["fc"] = mm(h2, du)
        dx1, g["ln2"] = ln_bwd(du @ fc.T, c2)
        dx1 = dx1 + dy
        g["c_proj"] = mm(o, dx1)
        do = (dx1 @ c_proj.T).reshape(B, T, q.shape[1], -1).transpose(0, 2, 1, 3)
        dp = do @ v.swapaxes(-1, -2)
        ds = p * (dp - (p * dp).sum(-1, keepdims=True)) / np.sqrt(q.shape[-1])
        dqkv = np.stack([ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ do])
        dqkv = dqkv.transpose(1, 3, 0, 2, 4).reshape(B, T, 3 * C)
        g["c_attn"] = mm(h1, dqkv)
        dx, g["ln1"] = ln_bwd(dqkv @ c_attn.T, c1)
        g["x"] = dx + dx1
        return g

    B, T, C = 3, 3, 4
    return dict(forward=forward, backward=backward,
                inputs=dict(x=rng.normal(size=(B, T, C)), ln1=1 + 0.3 * rng.normal(size=C), ln2=1 + 0.3 * rng.normal(size=C),
                            c_attn=rng.normal(size=(C, 3 * C)), c_proj=rng.normal(size=(C, C)),
                            fc=rng.normal(size=(C, 6)), proj=rng.normal(size=(6, C))),
                constants=dict(n_head=2))


add("gpt_block_two_heads", "nanoGPT in numpy", "vjp", r_transformer_block, True)


def r_wavenet_layer():
    rng = np.random.default_rng(105)

    def causal(x, w, dilation):
        # x (B, C, T), w (F, C, K); w[..., K - 1] meets the present
        K = w.shape[2]
        pad = (K - 1) * dilation
        xp = np.pad(x, ((0, 0), (0, 0), (pad, 0)))
        return sum(np.einsum("fc,bct->bft", w[:, :, k], xp[:, :, k * dilation:k * dilation + x.shape[2]]) for k in range(K))

    def causal_grad(dy, x, w, dilation):
        K, T = w.shape[2], x.shape[2]
        pad = (K - 1) * dilation
        xp = np.pad(x, ((0, 0), (0, 0), (pad, 0)))
        dxp, dw = np.zeros_like(xp), np.zeros_like(w)
        for k in range(K):
            sl = slice(k * dilation, k * dilation + T)
            dw[:, :, k] = np.einsum("bft,bct->fc", dy, xp[:, :, sl])
            dxp[:, :, sl] += np.einsum("fc,bft->bct", w[:, :, k], dy)
        return dxp[:, :, pad:], dw

    def forward(x, w_filter, w_gate, w_res, w_skip, dilations):
        skip, saved = 0, []
        for d in dilations:                              # the same weights in every layer
            f = np.tanh(causal(x, w_filter, d))
            g = 1 / (1 + np.exp(-causal(x, w_gate, d)))
            z = f * g
            saved.append((x, f, g, z, d))
            skip = skip + np.einsum("sf,bft->bst", w_skip, z)
            x = x + np.einsum("cf,bft->bct", w_res, z)
        return np.concatenate([skip, x], axis=1), (saved, w_filter, w_gate, w_res, w_skip)

    def backward(dy, cache):
        saved, w_filter, w_gate, w_res, w_skip = cache
        S = len(w_skip)
        dskip, dx = dy[:, :S], dy[:, S:]
        g_filter, g_gate, g_res, g_skip = 0, 0, 0, 0
        for x, f, g, z, d in saved[::-1]:
            g_res = g_res + np.einsum("bct,bft->cf", dx, z)
            g_skip = g_skip + np.einsum("bst,bft->sf", dskip, z)
            dz = np.einsum("cf,bct->bft", w_res, dx) + np.einsum("sf,bst->bft", w_skip, dskip)
            dxf, dwf = causal_grad(dz * g * (1 - f ** 2), x, w_filter, d)
            dxg, dwg = causal_grad(dz * f * g * (1 - g), x, w_gate, d)
            g_filter, g_gate = g_filter + dwf, g_gate + dwg
            dx = dx + dxf + dxg
        return dx, g_filter, g_gate, g_res, g_skip

    B, C, T, F, S, K = 3, 2, 7, 4, 3, 2
    return dict(forward=forward, backward=backward,
                inputs=dict(x=rng.normal(size=(B, C, T)), w_filter=rng.normal(size=(F, C, K)),
                            w_gate=rng.normal(size=(F, C, K)), w_res=rng.normal(size=(C, F)),
                            w_skip=rng.normal(size=(S, F))),
                constants=dict(dilations=(1, 2, 4)))


add("wavenet_dilated_stack_shared_weights", "audio research repository", "vjp", r_wavenet_layer, True)


def r_ppo():
    rng = np.random.default_rng(106)

    def forward(params, obs, act, adv, logp_old, ret, clip_ratio):
        h = np.tanh(obs @ params["W0"] + params["b0"])
        mu = h @ params["W_mu"]
        std = np.exp(params["log_std"])
        logp = (-0.5 * ((act - mu) / std) ** 2 - params["log_std"] - 0.5 * np.log(2 * np.pi)).sum(axis=-1)
        ratio = np.exp(logp - logp_old)
        clip_adv = np.clip(ratio, 1 - clip_ratio, 1 + clip_ratio) * adv
        loss_pi = -np.minimum(ratio * adv, clip_adv).mean()
        v = h @ params["w_v"]
        loss_v = ((v - ret) ** 2).mean()
        return loss_pi + loss_v, (params, obs, act, adv, ret, h, mu, std, ratio, v, clip_ratio)

    def backward(g, cache):
        params, obs, act, adv, ret, h, mu, std, ratio, v, clip_ratio = cache
        n = len(obs)
        stopped = ((adv > 0) & (ratio > 1 + clip_ratio)) | ((adv < 0) & (ratio < 1 - clip_ratio))
        dlogp = -g / n * np.where(stopped, 0.0, ratio * adv)
        z = (act - mu) / std
        dmu = dlogp[:, None] * z / std
        dv = 2 * g * (v - ret) / n
        dh = dmu @ params["W_mu"].T + np.outer(dv, params["w_v"])
        da = dh * (1 - h ** 2)
        gp = {"W0": obs.T @ da, "b0": da.sum(0), "W_mu": h.T @ dmu, "w_v": h.T @ dv,
              "log_std": (dlogp[:, None] * (z ** 2 - 1)).sum(0)}
        return {"params": gp}

    B, D, H, A = 8, 3, 5, 2
    params = dict(W0=rng.normal(size=(D, H)), b0=rng.normal(size=H), W_mu=0.5 * rng.normal(size=(H, A)),
                  w_v=rng.normal(size=H), log_std=np.array([-0.3, 0.2]))
    obs, act = rng.normal(size=(B, D)), rng.normal(size=(B, A))
    mu = np.tanh(obs @ params["W0"] + params["b0"]) @ params["W_mu"]
    logp = (-0.5 * ((act - mu) / np.exp(params["log_std"])) ** 2 - params["log_std"] - 0.5 * np.log(2 * np.pi)).sum(-1)
    shift = np.array([0.5, -0.4, 0.05, 0.6, -0.5, -0.1, 0.4, -0.6])
    adv = np.array([1.2, 0.7, -0.9, -1.1, -0.6, 0.8, 0.5, 1.4])
    return dict(forward=forward, backward=backward, inputs=dict(params=params),
                constants=dict(obs=obs, act=act, adv=adv, logp_old=logp - shift, ret=rng.normal(size=B), clip_ratio=0.2))


add("ppo_clip_gaussian_policy", "OpenAI Spinning Up port", "vjp", r_ppo, True)


def r_infonce():
    rng = np.random.default_rng(107)

    def l2_normalize(z):
        n = np.linalg.norm(z, axis=1, keepdims=True)
        return z / n, n

    def forward(im, tx, W_i, W_t, t):
        I_e, n_i = l2_normalize(im @ W_i)
        T_e, n_t = l2_normalize(tx @ W_t)
        logits = I_e @ T_e.T * np.exp(t)
        n = len(im)
        lr = logits - logits.max(1, keepdims=True)
        lr = lr - np.log(np.exp(lr).sum(1, keepdims=True))
        lc = logits - logits.max(0, keepdims=True)
        lc = lc - np.log(np.exp(lc).sum(0, keepdims=True))
        loss = -(np.trace(lr) + np.trace(lc)) / (2 * n)
        return loss, (im, tx, W_i, W_t, I_e, T_e, n_i, n_t, logits, lr, lc, t)

    def backward(dloss, cache):
        im, tx, W_i, W_t, I_e, T_e, n_i, n_t, logits, lr, lc, t = cache
        n = len(im)
        G = dloss * (np.exp(lr) + np.exp(lc) - 2 * np.eye(n)) / (2 * n)
        dI = np.exp(t) * G @ T_e
        dT = np.exp(t) * G.T @ I_e
        dzi = (dI - I_e * (I_e * dI).sum(1, keepdims=True)) / n_i
        dzt = (dT - T_e * (T_e * dT).sum(1, keepdims=True)) / n_t
        return {"im": dzi @ W_i.T, "tx": dzt @ W_t.T, "W_i": im.T @ dzi, "W_t": tx.T @ dzt, "t": np.sum(G * logits)}

    B = 5
    return dict(forward=forward, backward=backward,
                inputs=dict(im=rng.normal(size=(B, 4)), tx=rng.normal(size=(B, 6)), W_i=rng.normal(size=(4, 3)),
                            W_t=rng.normal(size=(6, 3)), t=np.array(0.9)))


add("clip_symmetric_contrastive_loss", "CLIP paper pseudocode", "vjp", r_infonce, True)


def r_planar_flow():
    rng = np.random.default_rng(108)

    def forward(z0, flows):
        # flows: "u" (K, D), "w" (K, D), "b" (K,); u is moved so that w.u_hat > -1
        z, sum_logdet, saved = z0, 0.0, []
        for k in range(len(flows["b"])):
            u, w, b = flows["u"][k], flows["w"][k], flows["b"][k]
            wu, ww = w @ u, w @ w
            c = (np.log1p(np.exp(wu)) - 1 - wu) / ww
            u_hat = u + c * w
            h = np.tanh(z @ w + b)
            psi = 1 - h ** 2
            s = w @ u_hat
            det = 1 + psi * s
            saved.append((k, z, u, w, wu, ww, c, u_hat, h, psi, s, det))
            sum_logdet = sum_logdet + np.log(det)
            z = z + np.outer(h, u_hat)
        logp = -0.5 * ((z - 1.0) ** 2).sum(1)
        return logp + sum_logdet, (z, saved)

    def backward(dout, cache):
        z, saved = cache
        dz = -dout[:, None] * (z - 1.0)
        K, D = len(saved), z.shape[1]
        grads = {"u": np.zeros((K, D)), "w": np.zeros((K, D)), "b": np.zeros(K)}
        for k, z, u, w, wu, ww, c, u_hat, h, psi, s, det in reversed(saved):
            ddet = dout / det
            dh = dz @ u_hat - 2 * h * ddet * s
            du_hat = h @ dz + (ddet @ psi) * w
            da = dh * psi
            dw = z.T @ da + (ddet @ psi) * u_hat + c * du_hat
            dc = du_hat @ w
            dwu = dc * (1 / (1 + np.exp(-wu)) - 1) / ww
            dw += dwu * u - 2 * dc * c / ww * w
            grads["u"][k], grads["w"][k], grads["b"][k] = du_hat + dwu * w, dw, da.sum()
            dz = dz + np.outer(da, w)
        return {"z0": dz, "flows": grads}

    K, D = 4, 3
    flows = dict(u=rng.normal(size=(K, D)), w=rng.normal(size=(K, D)), b=rng.normal(size=K))
    return dict(forward=forward, backward=backward, inputs=dict(z0=rng.normal(size=(5, D)), flows=flows))


add("planar_flows_u_hat", "normalizing-flows repository", "vjp", r_planar_flow, True)


# ---------------------------------------------------------------- right, 9..15

def r_local_reparam():
    rng = np.random.default_rng(109)

    def layer(x, theta, log_alpha, eps):
        alpha = np.exp(log_alpha)
        mean, sq = x @ theta, theta ** 2
        var = (x * x) @ (alpha * sq) + 1e-8
        std = np.sqrt(var)
        return mean + std * eps, (x, theta, alpha, std, eps)

    def layer_grad(dy, c):
        x, theta, alpha, std, eps = c
        dvar = dy * eps / (2 * std)
        xx = (x * x).T @ dvar
        dtheta = x.T @ dy + 2 * alpha * theta * xx
        dlog_alpha = alpha * theta ** 2 * xx
        dx = dy @ theta.T + 2 * x * (dvar @ (alpha * theta ** 2).T)
        return dx, dtheta, dlog_alpha

    k1, k2, k3 = 0.63576, 1.87320, 1.48695

    def kl(log_alpha):
        return -(k1 / (1 + np.exp(-(k2 + k3 * log_alpha))) - 0.5 * np.log1p(np.exp(-log_alpha)) - k1).sum()

    def kl_grad(log_alpha):
        s = 1 / (1 + np.exp(-(k2 + k3 * log_alpha)))
        return -(k1 * k3 * s * (1 - s) + 0.5 / (1 + np.exp(log_alpha)))

    def forward(x, theta1, log_alpha1, theta2, log_alpha2, eps1, eps2, t, n_data):
        a1, c1 = layer(x, theta1, log_alpha1, eps1)
        h = np.maximum(a1, 0)
        a2, c2 = layer(h, theta2, log_alpha2, eps2)
        nll = 0.5 * ((a2 - t) ** 2).sum() * n_data / len(x)
        loss = nll + kl(log_alpha1) + kl(log_alpha2)
        return loss, (a1, c1, a2, c2, log_alpha1, log_alpha2, t, n_data)

    def backward(dloss, cache):
        a1, c1, a2, c2, log_alpha1, log_alpha2, t, n_data = cache
        da2 = dloss * (a2 - t) * n_data / len(t)
        dh, dt2, dl2 = layer_grad(da2, c2)
        dx, dt1, dl1 = layer_grad(np.where(a1 > 0, dh, 0), c1)
        return dx, dt1, dl1 + dloss * kl_grad(log_alpha1), dt2, dl2 + dloss * kl_grad(log_alpha2)

    B, D, H, O = 4, 3, 5, 2
    return dict(forward=forward, backward=backward,
                inputs=dict(x=rng.normal(size=(B, D)), theta1=rng.normal(size=(D, H)), log_alpha1=rng.normal(size=(D, H)) - 1,
                            theta2=rng.normal(size=(H, O)), log_alpha2=rng.normal(size=(H, O)) - 1),
                constants=dict(eps1=rng.normal(size=(B, H)), eps2=rng.normal(size=(B, O)), t=rng.normal(size=(B, O)),
                               n_data=20))


add("sparse_variational_dropout_net", "paper reimplementation (Molchanov)", "vjp", r_local_reparam, True)


def r_gat():
    rng = np.random.default_rng(110)

    def forward(x, weight, att_src, att_dst, bias, edge_index):
        src, dst = edge_index
        N = len(x)
        h = x @ weight
        raw = (h @ att_src)[src] + (h @ att_dst)[dst]
        e = np.where(raw > 0, raw, 0.2 * raw)
        top = np.full(N, -np.inf)
        np.maximum.at(top, dst, e)
        w = np.exp(e - top[dst])
        total = np.zeros(N)
        np.add.at(total, dst, w)
        alpha = w / total[dst]
        out = np.zeros_like(h)
        np.add.at(out, dst, alpha[:, None] * h[src])
        out = out + bias
        return out, (x, weight, att_src, att_dst, h, raw, alpha, src, dst)

    def backward(grad_out, cache):
        x, weight, att_src, att_dst, h, raw, alpha, src, dst = cache
        N = len(x)
        grad_h = np.zeros_like(h)
        np.add.at(grad_h, src, alpha[:, None] * grad_out[dst])
        grad_alpha = np.einsum("ed,ed->e", grad_out[dst], h[src])
        mean = np.bincount(dst, weights=alpha * grad_alpha, minlength=N)
        grad_e = alpha * (grad_alpha - mean[dst])
        grad_raw = np.where(raw > 0, grad_e, 0.2 * grad_e)
        s = np.bincount(src, weights=grad_raw, minlength=N)
        d = np.bincount(dst, weights=grad_raw, minlength=N)
        grad_h += np.outer(s, att_src) + np.outer(d, att_dst)
        return {"x": grad_h @ weight.T, "weight": x.T @ grad_h, "att_src": s @ h, "att_dst": d @ h,
                "bias": grad_out.sum(0)}

    N, D, H = 6, 3, 4
    src = np.array([0, 1, 2, 3, 4, 5, 0, 1, 3, 5, 2, 4, 0])
    dst = np.array([0, 1, 2, 3, 4, 5, 1, 2, 2, 2, 0, 3, 3])
    return dict(forward=forward, backward=backward,
                inputs=dict(x=rng.normal(size=(N, D)), weight=rng.normal(size=(D, H)), att_src=rng.normal(size=H),
                            att_dst=rng.normal(size=H), bias=rng.normal(size=H)),
                constants=dict(edge_index=np.stack([src, dst])))


add("graph_attention_edge_list", "PyTorch Geometric port", "vjp", r_gat, True)


def r_kalman_matrix():
    rng = np.random.default_rng(111)

    def forward(F, H, Lq, log_r, m0, ys):
        Q, R = Lq @ Lq.T, np.diag(np.exp(log_r))
        m, P = m0, np.eye(len(m0))
        ll, tape = 0.0, []
        for y in ys:
            mp, Pp = F @ m, F @ P @ F.T + Q
            v = y - H @ mp
            S = H @ Pp @ H.T + R
            Si = np.linalg.inv(S)
            K = Pp @ H.T @ Si
            ll -= 0.5 * (v @ Si @ v + np.linalg.slogdet(S)[1] + len(y) * np.log(2 * np.pi))
            tape.append((m, P, mp, Pp, v, Si, K))
            m, P = mp + K @ v, Pp - K @ H @ Pp
        return ll, (F, H, Lq, log_r, tape)

    def backward(dll, cache):
        F, H, Lq, log_r, tape = cache
        dF, dH, dQ, dR = np.zeros_like(F), np.zeros_like(H), np.zeros_like(F), np.zeros((len(H), len(H)))
        dm, dP = np.zeros(len(F)), np.zeros_like(F)
        for m, P, mp, Pp, v, Si, K in tape[::-1]:
            dmp, dv = dm.copy(), K.T @ dm
            dPp = dP - H.T @ K.T @ dP
            dK = np.outer(dm, v) - dP @ Pp.T @ H.T
            dH -= K.T @ dP @ Pp.T
            dPp += dK @ Si.T @ H
            dH += (Pp.T @ dK @ Si.T).T
            dSi = H @ Pp.T @ dK - 0.5 * dll * np.outer(v, v)
            dS = -Si.T @ dSi @ Si.T - 0.5 * dll * Si.T
            dv -= dll * Si @ v
            dR += dS
            dPp += H.T @ dS @ H
            dH += dS @ H @ Pp.T + dS.T @ H @ Pp
            dH -= np.outer(dv, mp)
            dmp -= H.T @ dv
            dQ += dPp
            dF += np.outer(dmp, m) + dPp @ F @ P.T + dPp.T @ F @ P
            dm, dP = F.T @ dmp, F.T @ dPp @ F
        return {"F": dF, "H": dH, "Lq": (dQ + dQ.T) @ Lq, "log_r": np.diag(dR) * np.exp(log_r), "m0": dm}

    return dict(forward=forward, backward=backward,
                inputs=dict(F=np.array([[0.9, 0.4, 0.1], [-0.3, 0.8, 0.2], [0.1, -0.2, 0.6]]), H=rng.normal(size=(2, 3)),
                            Lq=np.tril(0.6 * rng.normal(size=(3, 3))) + 0.1 * rng.normal(size=(3, 3)),
                            log_r=np.array([-0.5, 0.3]), m0=rng.normal(size=3)),
                constants=dict(ys=rng.normal(size=(5, 2))))


add("kalman_filter_loglik_matrices", "state-space toolbox (pykalman manner)", "vjp", r_kalman_matrix, True)


def r_neural_ode_rk4():
    rng = np.random.default_rng(112)

    def field(y, t, p):
        z = np.column_stack([y, np.full(len(y), t)])
        h = np.tanh(z @ p["w1"] + p["b1"])
        return h @ p["w2"] + p["b2"], (z, h)

    def field_vjp(g, saved, p, acc):
        z, h = saved
        acc["w2"] += h.T @ g
        acc["b2"] += g.sum(0)
        ga = g @ p["w2"].T * (1 - h * h)
        acc["w1"] += z.T @ ga
        acc["b1"] += ga.sum(0)
        return (ga @ p["w1"].T)[:, :-1]

    def forward(params, y0, t0, dt, n_steps):
        y, t, tape = y0, t0, []
        for _ in range(n_steps):
            k1, s1 = field(y, t, params)
            k2, s2 = field(y + 0.5 * dt * k1, t + 0.5 * dt, params)
            k3, s3 = field(y + 0.5 * dt * k2, t + 0.5 * dt, params)
            k4, s4 = field(y + dt * k3, t + dt, params)
            tape.append((s1, s2, s3, s4))
            y = y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            t = t + dt
        return y, (tape, params, dt)

    def backward(gy, cache):
        tape, params, dt = cache
        acc = {k: np.zeros_like(v) for k, v in params.items()}
        for s1, s2, s3, s4 in reversed(tape):
            g4 = field_vjp(dt / 6 * gy, s4, params, acc)
            g3 = field_vjp(dt / 3 * gy + dt * g4, s3, params, acc)
            g2 = field_vjp(dt / 3 * gy + 0.5 * dt * g3, s2, params, acc)
            g1 = field_vjp(dt / 6 * gy + 0.5 * dt * g2, s1, params, acc)
            gy = gy + g1 + g2 + g3 + g4
        return {"params": acc, "y0": gy}

    D, H = 2, 5
    return dict(forward=forward, backward=backward,
                inputs=dict(params=dict(w1=rng.normal(size=(D + 1, H)), b1=rng.normal(size=H), w2=rng.normal(size=(H, D)),
                                        b2=rng.normal(size=D)), y0=rng.normal(size=(4, D))),
                constants=dict(t0=0.2, dt=0.25, n_steps=3))


add("neural_ode_rk4_unrolled", "JAX tutorial (optimise-through-solver)", "vjp", r_neural_ode_rk4, True)


def r_cbow():
    rng = np.random.default_rng(113)

    def forward(contexts, lengths, target, embedding, out_weight, out_bias):
        # contexts (B, C), -1 where a sentence's border leaves no word
        mask = contexts >= 0
        safe = np.where(mask, contexts, 0)
        hidden = (embedding[safe] * mask[:, :, None]).sum(axis=1) / lengths[:, None]
        logits = hidden @ out_weight.T + out_bias
        logits = logits - logits.max(axis=1, keepdims=True)
        log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        loss = -log_probs[np.arange(len(target)), target]
        return loss, (safe, mask, lengths, target, embedding, out_weight, hidden, log_probs)

    def backward(dloss, cache):
        safe, mask, lengths, target, embedding, out_weight, hidden, log_probs = cache
        dlogits = np.exp(log_probs)
        dlogits[np.arange(len(target)), target] -= 1
        dlogits *= dloss[:, None]
        dhidden = dlogits @ out_weight / lengths[:, None]
        dembedding = np.zeros_like(embedding)
        rows = np.broadcast_to(dhidden[:, None, :], safe.shape + (dhidden.shape[1],)) * mask[:, :, None]
        np.add.at(dembedding, safe, rows)
        return {"embedding": dembedding, "out_weight": dlogits.T @ hidden, "out_bias": dlogits.sum(axis=0)}

    V, E = 8, 3
    contexts = np.array([[1, 2, 4, 4], [-1, 0, 3, 6], [7, 0, 0, -1], [5, 1, 2, 7], [-1, -1, 6, 2]])
    return dict(forward=forward, backward=backward,
                inputs=dict(contexts=contexts, lengths=(contexts >= 0).sum(1), target=np.array([3, 2, 5, 0, 7]),
                            embedding=rng.normal(size=(V, E)), out_weight=rng.normal(size=(V, E)),
                            out_bias=rng.normal(size=V)))


add("word2vec_cbow_padded_contexts", "course project NLP", "vjp", r_cbow, True)


def r_nbody():
    rng = np.random.default_rng(114)

    def accel(pos, mass, G, softening):
        d = pos[None, :, :] - pos[:, None, :]            # d[i, j] = pos_j - pos_i
        inv3 = ((d ** 2).sum(-1) + softening ** 2) ** -1.5
        return G * np.einsum("ij,ijk,j->ik", inv3, d, mass), (d, inv3)

    def accel_vjp(ga, mass, G, softening, saved):
        d, inv3 = saved
        gm = G * np.einsum("ij,ijk,ik->j", inv3, d, ga)
        gd = G * inv3[:, :, None] * ga[:, None, :] * mass[None, :, None]
        ginv3 = G * np.einsum("ijk,ik,j->ij", d, ga, mass)
        gr2 = -1.5 * inv3 ** (5.0 / 3.0) * ginv3
        gd = gd + 2 * gr2[:, :, None] * d
        return gd.sum(0) - gd.sum(1), gm, 2 * softening * gr2.sum()

    def forward(pos, vel, mass, softening, G, dt, n):
        acc, saved = accel(pos, mass, G, softening)
        tape = [saved]
        for _ in range(n):
            vel = vel + 0.5 * dt * acc
            pos = pos + dt * vel
            acc, saved = accel(pos, mass, G, softening)
            tape.append(saved)
            vel = vel + 0.5 * dt * acc
        return np.hstack([pos, vel]), (tape, mass, softening, G, dt)

    def backward(g, cache):
        tape, mass, softening, G, dt = cache
        K = g.shape[1] // 2
        gpos, gvel = g[:, :K], g[:, K:]
        gmass, gsoft = np.zeros_like(mass), 0.0
        gacc = np.zeros_like(gpos)
        for saved in tape[:0:-1]:
            gacc = gacc + 0.5 * dt * gvel
            gp, gm, gs = accel_vjp(gacc, mass, G, softening, saved)
            gpos, gmass, gsoft = gpos + gp, gmass + gm, gsoft + gs
            gvel = gvel + dt * gpos
            gacc = 0.5 * dt * gvel
        gp, gm, gs = accel_vjp(gacc, mass, G, softening, tape[0])
        return gpos + gp, gvel, gmass + gm, gsoft + gs

    N = 4
    return dict(forward=forward, backward=backward,
                inputs=dict(pos=rng.normal(size=(N, 2)), vel=0.5 * rng.normal(size=(N, 2)), mass=0.5 + rng.random(N),
                            softening=np.array(0.4)),
                constants=dict(G=1.3, dt=0.1, n=4))


add("nbody_leapfrog_kick_drift_kick", "differentiable physics notebook", "vjp", r_nbody, True)


def r_bahdanau_closures():
    rng = np.random.default_rng(115)

    def linear(x, w):
        return x @ w, lambda g: (g @ w.T, np.tensordot(x, g, axes=(list(range(x.ndim - 1)), list(range(x.ndim - 1)))))

    def tanh(x):
        y = np.tanh(x)
        return y, lambda g: g * (1 - y * y)

    def softmax(x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        y = e / e.sum(axis=1, keepdims=True)
        return y, lambda g: y * (g - np.sum(g * y, axis=1, keepdims=True))

    def attend(state, memory, keys, wq, v):
        q, q_vjp = linear(state, wq)
        e, e_vjp = tanh(q[:, None, :] + keys)
        a, a_vjp = softmax(e @ v)
        context = np.einsum("bs,bsd->bd", a, memory)

        def vjp(g):
            dmemory = a[:, :, None] * g[:, None, :]
            ds = a_vjp(np.einsum("bd,bsd->bs", g, memory))
            dv = np.einsum("bs,bsk->k", ds, e)
            dpre = e_vjp(ds[:, :, None] * v)
            dstate, dwq = q_vjp(dpre.sum(axis=1))
            return dstate, dmemory, dpre, dwq, dv
        return context, vjp

    def forward(params, memory, s0, n_steps):
        keys, keys_vjp = linear(memory, params["wk"])
        s, tape = s0, []
        for _ in range(n_steps):
            ctx, ctx_vjp = attend(s, memory, keys, params["wq"], params["v"])
            pre, pre_vjp = linear(np.hstack([s, ctx]), params["ws"])
            s, s_vjp = tanh(pre)
            tape.append((ctx_vjp, pre_vjp, s_vjp))
        return s, (params, memory, keys, keys_vjp, tape)

    def backward(ds, cache):
        params, memory, keys, keys_vjp, tape = cache
        H = ds.shape[1]
        grads = {k: np.zeros_like(p) for k, p in params.items()}
        dmemory, dkeys = np.zeros_like(memory), np.zeros_like(keys)
        for ctx_vjp, pre_vjp, s_vjp in reversed(tape):
            dcat, dws = pre_vjp(s_vjp(ds))
            grads["ws"] += dws
            ds_att, dm, dk, dwq, dv = ctx_vjp(dcat[:, H:])
            dmemory += dm
            dkeys += dk
            grads["wq"] += dwq
            grads["v"] += dv
            ds = dcat[:, :H] + ds_att
        dm, grads["wk"] = keys_vjp(dkeys)
        return {"params": grads, "memory": dmemory + dm, "s0": ds}

    B, S, D, H, K = 3, 4, 2, 3, 5
    return dict(forward=forward, backward=backward,
                inputs=dict(params=dict(wk=rng.normal(size=(D, K)), wq=rng.normal(size=(H, K)), v=rng.normal(size=K),
                                        ws=rng.normal(size=(H + D, H))),
                            memory=rng.normal(size=(B, S, D)), s0=rng.normal(size=(B, H))),
                constants=dict(n_steps=3))


add("bahdanau_decoder_of_closures", "autograd-from-closures blog post", "vjp", r_bahdanau_closures, True)
