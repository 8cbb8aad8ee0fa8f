"""Whole small networks and algorithms: 26 wrong, 16 right."""
from types import SimpleNamespace
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
SEED = 0


def rs(k):
    return np.random.default_rng(1000 * SEED + k)


def item(name, style, right, slip="", wrong=(), causes=(), check="vjp"):
    def deco(f):
        ITEMS.append(Item(name, style, check, f, right, slip, tuple(wrong), tuple(causes)))
        return f
    return deco


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def softmax(a):
    e = np.exp(a - a.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# ---------------------------------------------------------------- wrong, vjp

@item("mlp_three_tanh", "CS231n assignment", False, "second hidden layer's slope uses the first layer's activation; should be 1 - h2**2",
      ("x", "W1", "b1", "W2", "b2"), ("elementwise-factor",))
def _():
    r = rs(1)

    def forward(x, W1, b1, W2, b2, W3):
        h1 = np.tanh(x @ W1 + b1)
        h2 = np.tanh(h1 @ W2 + b2)
        return h2 @ W3, (x, W1, h1, W2, h2, W3)

    def backward(dout, cache):
        x, W1, h1, W2, h2, W3 = cache
        dW3 = h2.T @ dout
        da2 = (dout @ W3.T) * (1 - h1 ** 2)
        dW2 = h1.T @ da2
        db2 = da2.sum(axis=0)
        da1 = (da2 @ W2.T) * (1 - h1 * h1)
        dW1 = x.T @ da1
        return dict(x=da1 @ W1.T, W1=dW1, b1=da1.sum(axis=0), W2=dW2, b2=db2, W3=dW3)
    return dict(forward=forward, backward=backward, inputs=dict(
        x=r.normal(size=(5, 3)), W1=r.normal(size=(3, 4)), b1=r.normal(size=4), W2=r.normal(size=(4, 4)),
        b2=r.normal(size=4), W3=r.normal(size=(4, 2))))


@item("rnn_bptt_no_carry", "min-char-rnn gist", False, "dhnext is never updated, so nothing goes back through time; should be Whh.T @ draw",
      ("xs", "h0", "Wxh", "Whh", "bh"), ("missing-term", "zero"))
def _():
    r = rs(2)

    def forward(xs, h0, Wxh, Whh, bh):
        hs = [h0]
        for t in range(len(xs)):
            hs.append(np.tanh(Wxh @ xs[t] + Whh @ hs[-1] + bh))
        return np.stack(hs[1:]), (xs, hs, Wxh, Whh)

    def backward(dH, cache):
        xs, hs, Wxh, Whh = cache
        dWxh, dWhh, dbh = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros(Whh.shape[0])
        dxs = np.zeros_like(xs)
        dhnext = np.zeros(Whh.shape[0])
        for t in reversed(range(len(xs))):
            dh = dH[t] + dhnext
            draw = (1 - hs[t + 1] ** 2) * dh
            dbh += draw
            dWxh += np.outer(draw, xs[t])
            dWhh += np.outer(draw, hs[t])
            dxs[t] = Wxh.T @ draw
            dh_prev = Whh.T @ draw
        return dxs, dh_prev, dWxh, dWhh, dbh
    return dict(forward=forward, backward=backward, inputs=dict(
        xs=r.normal(size=(4, 3)), h0=r.normal(size=4), Wxh=r.normal(size=(4, 3)), Whh=r.normal(size=(4, 4)) * .6, bh=r.normal(size=4)))


@item("attention_block_scale", "transformer tutorial", False, "1/sqrt(d) missing on the way to q and k",
      ("Wq", "Wk", "x"), ("factor", "elementwise-factor", "missing-term"))
def _():
    r = rs(3)

    def forward(x, Wq, Wk, Wv):
        q, k, v = x @ Wq, x @ Wk, x @ Wv
        scale = 1 / np.sqrt(q.shape[-1])
        A = softmax(q @ k.T * scale)
        return x + A @ v, dict(x=x, q=q, k=k, v=v, A=A, scale=scale, W=(Wq, Wk, Wv))

    def backward(dy, c):
        A, x = c["A"], c["x"]
        Wq, Wk, Wv = c["W"]
        dA = dy @ c["v"].T
        dv = A.T @ dy
        dS = A * (dA - (dA * A).sum(-1, keepdims=True))
        dq = dS @ c["k"]
        dk = dS.T @ c["q"]
        dx = dy + dq @ Wq.T + dk @ Wk.T + dv @ Wv.T
        return dict(x=dx, Wq=x.T @ dq, Wk=x.T @ dk, Wv=x.T @ dv)
    return dict(forward=forward, backward=backward, inputs=dict(
        x=r.normal(size=(5, 4)), Wq=r.normal(size=(4, 3)), Wk=r.normal(size=(4, 3)), Wv=r.normal(size=(4, 4))))


@item("reinforce_entropy_sign", "RL research code", False, "entropy bonus has the wrong sign in the gradient; should be + ent_coef * p * (logp + H)",
      ("theta",), ("sign", "missing-term"))
def _():
    r = rs(4)
    obs = r.normal(size=(6, 3))
    act = r.integers(0, 4, 6)
    rew = r.normal(size=6)

    def forward(theta, obs, act, rew, gamma, ent_coef):
        G = np.zeros_like(rew)
        run = 0.0
        for t in reversed(range(len(rew))):
            run = rew[t] + gamma * run
            G[t] = run
        p = softmax(obs @ theta)
        logp = np.log(p)
        H = -(p * logp).sum(1)
        loss = -(G * logp[np.arange(len(act)), act]).mean() - ent_coef * H.mean()
        return loss, (obs, act, G, p, logp, H, ent_coef)

    def backward(dloss, cache):
        obs, act, G, p, logp, H, ent_coef = cache
        n = len(act)
        dl = p * G[:, None]
        dl[np.arange(n), act] -= G
        dl -= ent_coef * p * (logp + H[:, None])
        return obs.T @ dl * (dloss / n)
    return dict(forward=forward, backward=backward, inputs=dict(theta=r.normal(size=(3, 4))),
                constants=dict(obs=obs, act=act, rew=rew, gamma=0.9, ent_coef=0.5))


@item("ppo_clip_mask", "RL research code", False, "the gradient is let through where the clipped branch is the minimum; needs the mask surr1 <= surr2",
      ("logits",), ("elementwise-factor", "missing-term"))
def _():
    r = rs(5)
    old = np.log(softmax(r.normal(size=(8, 3))))
    act = r.integers(0, 3, 8)

    def forward(logits, old, act, adv, clip):
        i = np.arange(len(act))
        p = softmax(logits)
        ratio = p[i, act] / np.exp(old[i, act])
        surr1 = ratio * adv
        surr2 = np.clip(ratio, 1 - clip, 1 + clip) * adv
        return -np.minimum(surr1, surr2).mean(), (p, act, ratio, adv, surr1, surr2)

    def backward(dout, cache):
        p, act, ratio, adv, surr1, surr2 = cache
        n = len(act)
        dratio = -dout / n * adv
        dlogp = dratio * ratio
        dlogits = -p * dlogp[:, None]
        dlogits[np.arange(n), act] += dlogp
        return {"logits": dlogits}
    return dict(forward=forward, backward=backward, inputs=dict(logits=r.normal(size=(8, 3))),
                constants=dict(old=old, act=act, adv=np.array([1., -1.2, .7, -.6, 1.5, -2., .9, 1.1]), clip=0.2))


@item("clip_contrastive", "contrastive learning repository", False, "gradient to the text embeddings uses dS instead of dS.T",
      ("txt",), ("transpose",))
def _():
    r = rs(6)

    def forward(img, txt, log_tau):
        s = np.exp(log_tau)
        S = s * img @ txt.T
        P = softmax(S)
        Q = softmax(S.T).T
        n = len(S)
        d = np.arange(n)
        loss = -0.5 * (np.log(P[d, d]).mean() + np.log(Q[d, d]).mean())
        return loss, (img, txt, s, S, P, Q)

    def backward(dloss, cache):
        img, txt, s, S, P, Q = cache
        n = len(S)
        dS = dloss * 0.5 / n * (P + Q - 2 * np.eye(n))
        dimg = s * dS @ txt
        dtxt = s * dS @ img
        return dimg, dtxt, np.sum(dS * S)
    return dict(forward=forward, backward=backward, inputs=dict(
        img=r.normal(size=(5, 3)), txt=r.normal(size=(5, 3)), log_tau=np.array(0.3)))


@item("cbow_repeated_words", "word2vec homework", False, "fancy-index += drops repeated words; should be np.add.at",
      ("E",), ("batch-sum", "missing-term"))
def _():
    r = rs(7)
    ctx = np.array([[0, 1, 1, 3], [2, 3, 0, 3], [4, 0, 5, 1]])
    tgt = np.array([2, 1, 0])

    def forward(E, U, ctx, tgt):
        h = E[ctx].mean(axis=1)
        p = softmax(h @ U.T)
        return -np.log(p[np.arange(len(tgt)), tgt]).sum(), (E, U, ctx, tgt, h, p)

    def backward(dl, cache):
        E, U, ctx, tgt, h, p = cache
        ds = p.copy()
        ds[np.arange(len(tgt)), tgt] -= 1
        ds *= dl
        dU = ds.T @ h
        dh = ds @ U / ctx.shape[1]
        dE = np.zeros_like(E)
        dE[ctx] += dh[:, None, :]
        return dE, dU
    return dict(forward=forward, backward=backward, inputs=dict(E=r.normal(size=(6, 4)), U=r.normal(size=(6, 4))),
                constants=dict(ctx=ctx, tgt=tgt))


@item("volume_rendering", "NeRF reimplementation", False, "sigma's gradient leaves out how a sample shades the ones behind it",
      ("sigma",), ("missing-term",))
def _():
    r = rs(8)

    def forward(sigma, rgb, delta):
        alpha = 1 - np.exp(-sigma * delta)
        T = np.exp(-np.concatenate([np.zeros((len(sigma), 1)), np.cumsum(sigma * delta, 1)[:, :-1]], 1))
        w = T * alpha
        return np.einsum("rs,rsc->rc", w, rgb), (alpha, T, w, rgb, delta)

    def backward(dC, cache):
        alpha, T, w, rgb, delta = cache
        drgb = w[:, :, None] * dC[:, None, :]
        dw = np.einsum("rc,rsc->rs", dC, rgb)
        wd = w * dw
        behind = wd.sum(1, keepdims=True) - np.cumsum(wd, axis=1)
        dsigma = delta * (T * (1 - alpha) * dw)
        return {"sigma": dsigma, "rgb": drgb}
    return dict(forward=forward, backward=backward, inputs=dict(sigma=r.uniform(.2, 2, (2, 5)), rgb=r.uniform(0, 1, (2, 5, 3))),
                constants=dict(delta=r.uniform(.2, .6, (2, 5))))


@item("pinhole_camera", "structure from motion code", False, "depth's gradient lacks the vertical coordinate's part fy*Y/Z^2",
      ("P", "R", "t"), ("missing-term",))
def _():
    r = rs(9)

    def forward(P, R, t, f):
        Xc = P @ R.T + t
        u = f[0] * Xc[:, 0] / Xc[:, 2] + f[2]
        v = f[1] * Xc[:, 1] / Xc[:, 2] + f[3]
        return np.stack([u, v], 1), (P, R, f, Xc)

    def backward(duv, cache):
        P, R, f, Xc = cache
        X, Y, Z = Xc.T
        dX = duv[:, 0] * f[0] / Z
        dY = duv[:, 1] * f[1] / Z
        dZ = -duv[:, 0] * f[0] * X / Z ** 2
        dXc = np.stack([dX, dY, dZ], axis=1)
        return {"P": dXc @ R, "R": dXc.T @ P, "t": dXc.sum(0), "f": np.array([
            (duv[:, 0] * X / Z).sum(), (duv[:, 1] * Y / Z).sum(), duv[:, 0].sum(), duv[:, 1].sum()])}
    return dict(forward=forward, backward=backward, inputs=dict(
        P=r.normal(size=(5, 3)), R=np.eye(3) + .2 * r.normal(size=(3, 3)), t=np.array([.1, -.2, 6.]), f=np.array([2., 2.4, .5, .3])))


@item("rk4_step", "physics blog post", False, "k4 is evaluated at y + h k3, so its adjoint passes h, not h/2, to k3",
      ("y", "A"), ("unknown", "factor", "missing-term", "elementwise-factor"))
def _():
    r = rs(10)

    def forward(y, A, h):
        s1 = y
        k1 = np.tanh(A @ s1)
        s2 = y + h / 2 * k1
        k2 = np.tanh(A @ s2)
        s3 = y + h / 2 * k2
        k3 = np.tanh(A @ s3)
        s4 = y + h * k3
        k4 = np.tanh(A @ s4)
        return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), (A, h, (s1, s2, s3, s4), (k1, k2, k3, k4))

    def backward(g, cache):
        A, h, s, k = cache
        dA = np.zeros_like(A)
        dy = g.copy()

        def stage(i, dk):
            nonlocal dA
            da = dk * (1 - k[i] ** 2)
            dA += np.outer(da, s[i])
            return A.T @ da
        ds4 = stage(3, h / 6 * g)
        ds3 = stage(2, h / 3 * g + h / 2 * ds4)
        ds2 = stage(1, h / 3 * g + h / 2 * ds3)
        ds1 = stage(0, h / 6 * g + h / 2 * ds2)
        return dy + ds1 + ds2 + ds3 + ds4, dA
    return dict(forward=forward, backward=backward, inputs=dict(y=r.normal(size=4), A=r.normal(size=(4, 4)) * .5), constants=dict(h=1.2))


@item("planar_flow_logdet", "normalizing flows repository", False, "the slope of psi = (1-h^2)w, that is -2h(1-h^2) u.w, is left out of the pre-activation's gradient",
      ("z", "w", "b"), ("missing-term",))
def _():
    r = rs(11)

    def forward(z, u, w, b):
        h = np.tanh(z @ w + b)
        s = 1 - h * h
        det = 1 + s * (u @ w)
        f = z + h[:, None] * u
        return np.concatenate([f, np.log(np.abs(det))[:, None]], 1), (z, u, w, h, s, det)

    def backward(dy, cache):
        z, u, w, h, s, det = cache
        df, dld = dy[:, :-1], dy[:, -1]
        ddet = dld / det
        da = (df @ u) * s
        du = h @ df + (ddet * s).sum() * w
        dw = z.T @ da + (ddet * s).sum() * u
        return {"z": df + da[:, None] * w, "u": du, "w": dw, "b": da.sum()}
    w = r.normal(size=3)
    return dict(forward=forward, backward=backward, inputs=dict(z=r.normal(size=(4, 3)), u=w * .7 + .1, w=w, b=np.array(.2)))


@item("gmm_nll_weights", "machine learning textbook", False, "gradient of the mixture logits lacks the softmax's normaliser: should be sum(pi - resp)",
      ("alpha",), ("missing-term",))
def _():
    r = rs(12)

    def forward(alpha, mu, logs, x):
        pi = softmax(alpha)
        d = (x[:, None] - mu) * np.exp(-logs)
        lp = np.log(pi) - .5 * d * d - logs - .5 * np.log(2 * np.pi)
        m = lp.max(1, keepdims=True)
        ll = m[:, 0] + np.log(np.exp(lp - m).sum(1))
        return -ll.sum(), (pi, d, logs, np.exp(lp - ll[:, None]))

    def backward(dy, cache):
        pi, d, logs, resp = cache
        dalpha = -resp.sum(0)
        dmu = -(resp * d * np.exp(-logs)).sum(0)
        dlogs = -(resp * (d * d - 1)).sum(0)
        return dy * dalpha, dy * dmu, dy * dlogs
    return dict(forward=forward, backward=backward, inputs=dict(alpha=r.normal(size=3), mu=r.normal(size=3), logs=r.normal(size=3) * .3),
                constants=dict(x=r.normal(size=7) * 2))


@item("one_pole_lowpass", "differentiable audio DSP", False, "the adjoint of y[n-1] is not fed back by a", ("x", "a"), ("missing-term",))
def _():
    r = rs(13)

    def forward(x, a):
        y = np.zeros_like(x)
        prev = 0.0
        for n in range(len(x)):
            prev = (1 - a) * x[n] + a * prev
            y[n] = prev
        return y, (x, a, y)

    def backward(dy, cache):
        x, a, y = cache
        dx = np.zeros_like(x)
        da = 0.0
        lam = 0.0
        for n in range(len(x) - 1, -1, -1):
            lam = dy[n]
            dx[n] = (1 - a) * lam
            da += lam * ((y[n - 1] if n else 0.0) - x[n])
        return {"x": dx, "a": np.array(da)}
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=10), a=np.array(0.8)))


@item("black_scholes_greeks", "quant finance notebook", False, "vega lacks sqrt(T)", ("vol",), ("elementwise-factor",))
def _():
    from scipy.stats import norm
    r = rs(14)

    def forward(S, vol, K, T, rate):
        d1 = (np.log(S / K) + (rate + vol ** 2 / 2) * T) / (vol * np.sqrt(T))
        d2 = d1 - vol * np.sqrt(T)
        return S * norm.cdf(d1) - K * np.exp(-rate * T) * norm.cdf(d2), (S, d1, T)

    def backward(dC, cache):
        S, d1, T = cache
        delta = norm.cdf(d1)
        vega = S * norm.pdf(d1)
        return dC * delta, dC * vega
    return dict(forward=forward, backward=backward, inputs=dict(S=r.uniform(80, 120, 5) / 100, vol=r.uniform(.2, .5, 5)),
                constants=dict(K=np.ones(5), T=np.array([.25, .5, 1.3, 2., 3.]), rate=.02))


@item("lqr_rollout", "optimal control homework", False, "costate goes back by A instead of A.T", ("x0", "K"), ("transpose",))
def _():
    r = rs(15)

    def forward(x0, K, A, B, Q, R, N):
        xs, us, J = [x0], [], 0.0
        for _ in range(N):
            u = -K @ xs[-1]
            J += xs[-1] @ Q @ xs[-1] + u @ R @ u
            us.append(u)
            xs.append(A @ xs[-1] + B @ u)
        J += xs[-1] @ Q @ xs[-1]
        return J, (xs, us, K, A, B, Q, R)

    def backward(dJ, cache):
        xs, us, K, A, B, Q, R = cache
        lam = 2 * Q @ xs[-1]
        dK = np.zeros_like(K)
        for x, u in zip(xs[-2::-1], us[::-1]):
            du = 2 * R @ u + B.T @ lam
            dK -= np.outer(du, x)
            lam = 2 * Q @ x + A @ lam - K.T @ du
        return {"x0": dJ * lam, "K": dJ * dK}
    return dict(forward=forward, backward=backward, inputs=dict(x0=r.normal(size=3), K=r.normal(size=(2, 3)) * .3),
                constants=dict(A=np.array([[1, .4, .1], [0, .9, .3], [0, 0, .8]]), B=r.normal(size=(3, 2)) * .5, Q=np.diag([1., 2, .5]), R=np.diag([.3, .6]), N=4))


@item("gru_two_steps", "NLP course assignment", False, "update gate's sigmoid slope z(1-z) is missing", ("x", "h0", "Wz", "Wr", "Wh"), ("elementwise-factor",))
def _():
    r = rs(16)

    def forward(x, h0, Wz, Wr, Wh):
        h, steps = h0, []
        for t in range(x.shape[1]):
            xh = np.concatenate([x[:, t], h], 1)
            z, rr = sigmoid(xh @ Wz), sigmoid(xh @ Wr)
            xr = np.concatenate([x[:, t], rr * h], 1)
            c = np.tanh(xr @ Wh)
            steps.append((xh, xr, z, rr, c, h))
            h = (1 - z) * h + z * c
        return h, (steps, x.shape, Wz, Wr, Wh)

    def backward(dh, cache):
        steps, xshape, Wz, Wr, Wh = cache
        D = xshape[2]
        dx, dWz, dWr, dWh = np.zeros(xshape), 0, 0, 0
        for t in reversed(range(len(steps))):
            xh, xr, z, rr, c, h = steps[t]
            dac = dh * z * (1 - c * c)
            dWh = dWh + xr.T @ dac
            dxr = dac @ Wh.T
            dar = dxr[:, D:] * h * rr * (1 - rr)
            daz = dh * (c - h)
            dWz = dWz + xh.T @ daz
            dWr = dWr + xh.T @ dar
            dxh = daz @ Wz.T + dar @ Wr.T
            dx[:, t] = dxh[:, :D] + dxr[:, :D]
            dh = dh * (1 - z) + dxh[:, D:] + dxr[:, D:] * rr
        return dx, dh, dWz, dWr, dWh
    return dict(forward=forward, backward=backward, inputs=dict(
        x=r.normal(size=(3, 2, 2)), h0=r.normal(size=(3, 3)), Wz=r.normal(size=(5, 3)), Wr=r.normal(size=(5, 3)), Wh=r.normal(size=(5, 3))))


@item("prenorm_ffn_residual", "layer library", False, "the skip connection's gradient is forgotten", ("x",), ("missing-term",))
def _():
    r = rs(17)

    class Block:
        def forward(self, x, g, W1, W2):
            mu = x.mean(-1, keepdims=True)
            self.inv = 1 / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
            self.xh = (x - mu) * self.inv
            self.n = g * self.xh
            self.g, self.W1, self.W2 = g, W1, W2
            self.a = self.n @ W1
            self.h = self.a * sigmoid(self.a)
            return x + self.h @ W2

        def backward(self, dy):
            dW2 = self.h.T @ dy
            s = sigmoid(self.a)
            da = (dy @ self.W2.T) * (s + self.h * (1 - s))
            dW1 = self.n.T @ da
            dn = da @ self.W1.T
            dg = (dn * self.xh).sum(0)
            dxh = dn * self.g
            dx = self.inv * (dxh - dxh.mean(-1, keepdims=True) - self.xh * (dxh * self.xh).mean(-1, keepdims=True))
            return dict(x=dx, g=dg, W1=dW1, W2=dW2)

    def forward(**kw):
        b = Block()
        return b.forward(**kw), b
    return dict(forward=forward, backward=lambda dy, b: b.backward(dy), inputs=dict(
        x=r.normal(size=(4, 5)), g=r.uniform(.5, 1.5, 5), W1=r.normal(size=(5, 6)), W2=r.normal(size=(6, 5))))


@item("softmax_classifier_cached_probs", "CS231n assignment", False, "backward subtracts the one-hot from the cached probabilities in place; should copy",
      ("X", "W1", "W2"), ("mutates-input", "accumulates"))
def _():
    r = rs(18)

    def forward(X, W1, W2, y):
        hidden = np.maximum(0, X @ W1)
        probs = softmax(hidden @ W2)
        return -np.mean(np.log(probs[range(len(y)), y])), (X, W1, W2, y, hidden, probs)

    def backward(dout, cache):
        X, W1, W2, y, hidden, probs = cache
        dscores = probs
        dscores[range(len(y)), y] -= 1
        dscores = dscores * (dout / len(y))
        dhidden = dscores @ W2.T * (hidden > 0)
        return {"X": dhidden @ W1.T, "W1": X.T @ dhidden, "W2": hidden.T @ dscores}
    return dict(forward=forward, backward=backward, inputs=dict(X=r.normal(size=(5, 3)), W1=r.normal(size=(3, 6)), W2=r.normal(size=(6, 3))),
                constants=dict(y=np.array([0, 2, 1, 1, 0])))


@item("gae_advantages", "RL research code", False, "the adjoint of the GAE recursion decays with gamma only; should be gamma*lam",
      ("rewards", "values"), ("elementwise-factor", "unknown", "missing-term"))
def _():
    r = rs(19)

    def forward(rewards, values, gamma, lam):
        T = len(rewards)
        adv = np.zeros(T)
        last = 0.
        for t in reversed(range(T)):
            delta = rewards[t] + gamma * values[t + 1] - values[t]
            last = delta + gamma * lam * last
            adv[t] = last
        return adv, (T, gamma, lam)

    def backward(dadv, cache):
        T, gamma, lam = cache
        dr, dv = np.zeros(T), np.zeros(T + 1)
        g = 0.
        for t in range(T):
            g = dadv[t] + gamma * g
            dr[t] = g
            dv[t] -= g
            dv[t + 1] += gamma * g
        return dr, dv
    return dict(forward=forward, backward=backward, inputs=dict(rewards=r.normal(size=6), values=r.normal(size=7)), constants=dict(gamma=.95, lam=.7))


@item("quaternion_pose", "graphics engine", False, "the gradient is not projected through the normalisation of q", ("q",), ("missing-term",))
def _():
    r = rs(20)

    def forward(q, pts):
        n = np.linalg.norm(q)
        qn = q / n
        w, v = qn[0], qn[1:]
        c = np.cross(v, pts)
        return pts + 2 * w * c + 2 * np.cross(v, c), (n, qn, pts, c)

    def backward(dy, cache):
        n, qn, pts, c = cache
        w, v = qn[0], qn[1:]
        dw = 2 * np.sum(dy * c)
        dc = 2 * w * dy + 2 * np.cross(dy, v)
        dv = 2 * np.cross(c, dy).sum(0) + np.cross(pts, dc).sum(0)
        dpts = dy + np.cross(dc, v)
        dqn = np.concatenate([[dw], dv])
        dq = dqn / n
        return {"q": dq, "pts": dpts}
    return dict(forward=forward, backward=backward, inputs=dict(q=r.normal(size=4), pts=r.normal(size=(5, 3))))


@item("lstm_sequence", "layer library", False, "dc for the previous step is multiplied by the input gate instead of the forget gate",
      ("X", "W", "h0", "c0"), ("elementwise-factor", "unknown"))
def _():
    r = rs(21)

    def forward(X, h0, c0, W):
        H = h0.shape[1]
        h, c, tape, out = h0, c0, [], []
        for xt in X:
            inp = np.hstack([xt, h])
            a = inp @ W
            i, f, o, g = sigmoid(a[:, :H]), sigmoid(a[:, H:2 * H]), sigmoid(a[:, 2 * H:3 * H]), np.tanh(a[:, 3 * H:])
            cn = f * c + i * g
            tape.append((inp, i, f, o, g, c, np.tanh(cn)))
            c = cn
            h = o * np.tanh(c)
            out.append(h)
        return np.array(out), (tape, W, X.shape)

    def backward(dout, cache):
        tape, W, shp = cache
        dX, dW = np.zeros(shp), np.zeros_like(W)
        dh = dc = 0.0
        for t in range(len(tape) - 1, -1, -1):
            inp, i, f, o, g, cprev, tc = tape[t]
            dh = dh + dout[t]
            dc = dc + dh * o * (1 - tc ** 2)
            da = np.hstack([dc * g * i * (1 - i), dc * cprev * f * (1 - f), dh * tc * o * (1 - o), dc * i * (1 - g ** 2)])
            dW += inp.T @ da
            dinp = da @ W.T
            dX[t], dh = dinp[:, :shp[2]], dinp[:, shp[2]:]
            dc = dc * i
        return dict(X=dX, h0=dh, c0=dc, W=dW)
    return dict(forward=forward, backward=backward, inputs=dict(
        X=r.normal(size=(3, 2, 2)), h0=r.normal(size=(2, 2)), c0=r.normal(size=(2, 2)), W=r.normal(size=(4, 8))))


# ---------------------------------------------------------------- wrong, gradients

def P(r, **shapes):
    return {k: r.normal(size=s) * .6 for k, s in shapes.items()}


@item("vae_reparam_half", "VAE blog post", False, "d z / d logvar is 0.5*std*eps; the 0.5 is missing",
      ("Wl",), ("factor", "elementwise-factor", "missing-term", "unknown"), check="gradients")
def _():
    r = rs(22)

    class VAE:
        def __init__(self):
            self.params = P(r, Wm=(4, 2), Wl=(4, 2), Wd=(2, 4), bd=4)

        def objective(self, x, eps, beta=1.0):
            p = self.params
            mu, lv = x @ p["Wm"], x @ p["Wl"]
            std = np.exp(.5 * lv)
            z = mu + std * eps
            a = z @ p["Wd"] + p["bd"]
            nll = (np.logaddexp(0, a) - x * a).sum(1)
            kl = .5 * (mu ** 2 + np.exp(lv) - 1 - lv).sum(1)
            return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, mu, lv, std, z, a)

        def backward(self, dobj, cache):
            x, eps, beta, mu, lv, std, z, a = cache
            p = self.params
            da = dobj[:, None] * (x - sigmoid(a))
            dz = da @ p["Wd"].T
            dmu = dz - beta * dobj[:, None] * mu
            dlv = dz * eps * std - beta * dobj[:, None] * .5 * (np.exp(lv) - 1)
            return {"Wm": x.T @ dmu, "Wl": x.T @ dlv, "Wd": z.T @ da, "bd": da.sum(0)}
    return dict(model=VAE(), x=(r.random((5, 4)) > .5).astype(float), eps=r.normal(size=(5, 2)))


@item("mlp_regressor_bias", "layer library", False, "output bias gradient is averaged over the batch; should be summed",
      ("b2",), ("factor", "batch-sum"), check="gradients")
def _():
    r = rs(23)

    class Net:
        params = P(r, W1=(3, 5), b1=5, W2=(5, 2), b2=2)

        def objective(self, x, eps):
            p = self.params
            h = np.tanh(x @ p["W1"] + p["b1"])
            e = h @ p["W2"] + p["b2"] - eps
            return SimpleNamespace(objective=-.5 * (e ** 2).sum(1)), (x, h, e)

        def backward(self, dobjective, cache):
            x, h, e = cache
            p = self.params
            d2 = -e * dobjective[:, None]
            d1 = d2 @ p["W2"].T * (1 - h * h)
            return dict(W2=h.T @ d2, b2=d2.mean(axis=0), W1=x.T @ d1, b1=np.sum(d1, axis=0))
    return dict(model=Net(), x=r.normal(size=(6, 3)), eps=r.normal(size=(6, 2)))


@item("realnvp_density", "normalizing flows repository", False, "the log-determinant's gradient -1 to s is left out",
      ("Ws", "bs"), ("missing-term",), check="gradients")
def _():
    r = rs(24)

    class Coupling:
        def __init__(self):
            self.params = P(r, Ws=(2, 2), bs=2, Wt=(2, 2), bt=2)

        def objective(self, x, eps, beta=1.0):
            p = self.params
            a, b = x[:, :2], x[:, 2:]
            s = np.tanh(a @ p["Ws"] + p["bs"])
            t = a @ p["Wt"] + p["bt"]
            z = (b - t) * np.exp(-s)
            lp = -.5 * (a ** 2).sum(1) - .5 * (z ** 2).sum(1) - 2 * np.log(2 * np.pi) - s.sum(1)
            return SimpleNamespace(objective=lp), (a, s, z)

        def backward(self, dobj, cache):
            a, s, z = cache
            w = dobj[:, None]
            dt = w * z * np.exp(-s)
            ds = w * (z ** 2)
            dpre = ds * (1 - s ** 2)
            return {"Ws": a.T @ dpre, "bs": dpre.sum(0), "Wt": a.T @ dt, "bt": dt.sum(0)}
    return dict(model=Coupling(), x=r.normal(size=(5, 4)), eps=np.zeros((5, 1)))


@item("mixture_density_network", "machine learning textbook", False, "log-sigma's gradient forgets resp (posterior weight)",
      ("Ws",), ("elementwise-factor",), check="gradients")
def _():
    r = rs(25)

    class MDN:
        def __init__(self, K=3):
            self.params = P(r, Wp=(4, K), Wm=(4, K), Ws=(4, K))

        def objective(self, x, eps):
            phi = np.stack([np.ones(len(x)), x[:, 0], x[:, 0] ** 2, np.sin(x[:, 0])], 1)
            y = x[:, 1:]
            p = self.params
            pi = softmax(phi @ p["Wp"])
            m, ls = phi @ p["Wm"], phi @ p["Ws"]
            u = (y - m) * np.exp(-ls)
            comp = pi * np.exp(-.5 * u * u - ls) / np.sqrt(2 * np.pi)
            tot = comp.sum(1, keepdims=True)
            return SimpleNamespace(objective=np.log(tot[:, 0])), dict(phi=phi, pi=pi, u=u, ls=ls, resp=comp / tot)

        def backward(self, dobj, c):
            d = dobj[:, None]
            g_pi = d * (c["resp"] - c["pi"])
            g_m = d * c["resp"] * c["u"] * np.exp(-c["ls"])
            g_s = d * (c["u"] ** 2 - 1)
            return {k: c["phi"].T @ g for k, g in (("Wp", g_pi), ("Wm", g_m), ("Ws", g_s))}
    return dict(model=MDN(), x=r.normal(size=(6, 2)), eps=np.zeros((6, 1)))


@item("tied_autoencoder", "deep learning course", False, "W is used twice; the decoder's part of its gradient is overwritten",
      ("W",), ("missing-term",), check="gradients")
def _():
    r = rs(26)

    class TiedAE:
        def __init__(self):
            self.params = P(r, W=(5, 3), b=3, c=5)

        def objective(self, x, eps):
            p = self.params
            xn = x + .1 * eps
            h = sigmoid(xn @ p["W"] + p["b"])
            rec = h @ p["W"].T + p["c"]
            return SimpleNamespace(objective=-((rec - x) ** 2).sum(1)), (x, xn, h, rec)

        def backward(self, dobj, cache):
            x, xn, h, rec = cache
            W = self.params["W"]
            grads = {}
            drec = -2 * (rec - x) * dobj[:, None]
            grads["c"] = drec.sum(0)
            grads["W"] = drec.T @ h
            da = drec @ W * h * (1 - h)
            grads["b"] = da.sum(0)
            grads["W"] = xn.T @ da
            return grads
    return dict(model=TiedAE(), x=r.normal(size=(4, 5)), eps=r.normal(size=(4, 5)))


# ---------------------------------------------------------------- right

@item("deep_relu_mlp_loop", "layer library", True)
def _():
    r = rs(31)

    def forward(x, Ws):
        acts = [x]
        for i in range(len(Ws)):
            a = acts[-1] @ Ws[f"W{i}"]
            acts.append(np.where(a > 0, a, .1 * a) if i < len(Ws) - 1 else a)
        return acts[-1], (acts, Ws)

    def backward(dy, cache):
        acts, Ws = cache
        out = {}
        for i in range(len(Ws) - 1, -1, -1):
            if i < len(Ws) - 1:
                dy = dy * np.where(acts[i + 1] > 0, 1., .1)
            out[f"W{i}"] = acts[i].T @ dy
            dy = dy @ Ws[f"W{i}"].T
        return {"x": dy, "Ws": out}
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(4, 3)), Ws=P(r, W0=(3, 4), W1=(4, 4), W2=(4, 2))))


@item("verlet_spring_chain", "physics simulation", True)
def _():
    r = rs(32)

    def force(q, k):
        e = np.diff(q)
        f = np.zeros_like(q)
        f[:-1] += k * e
        f[1:] -= k * e
        return f

    def forward(q, v, k, dt, n):
        tr = []
        for _ in range(n):
            v1 = v + dt / 2 * force(q, k)
            q1 = q + dt * v1
            tr.append((q, q1))
            v = v1 + dt / 2 * force(q1, k)
            q = q1
        return np.concatenate([q, v]), (tr, k, dt)

    def backward(g, cache):
        tr, k, dt = cache
        gq, gv = np.split(g, 2)
        dk = np.zeros_like(k)
        for q, q1 in tr[::-1]:
            gq = gq + dt / 2 * force(gv, k)
            dk -= dt / 2 * np.diff(gv) * np.diff(q1)
            gv = gv + dt * gq
            dk -= dt / 2 * np.diff(gv) * np.diff(q)
            gq = gq + dt / 2 * force(gv, k)
        return gq, gv, dk
    return dict(forward=forward, backward=backward, inputs=dict(q=r.normal(size=5), v=r.normal(size=5), k=r.uniform(.5, 2, 4)), constants=dict(dt=.3, n=5))


@item("bezier_casteljau", "vision and graphics", True)
def _():
    r = rs(33)

    def forward(ctrl, ts):
        lev = [np.repeat(ctrl[None], len(ts), 0)]
        T = ts[:, None, None]
        while lev[-1].shape[1] > 1:
            p = lev[-1]
            lev.append((1 - T) * p[:, :-1] + T * p[:, 1:])
        return lev[-1][:, 0], (lev, T)

    def backward(dy, cache):
        lev, T = cache
        g = dy[:, None]
        dt = np.zeros(len(T))
        for p in lev[-2::-1]:
            dt += (g * (p[:, 1:] - p[:, :-1])).sum((1, 2))
            up = np.zeros_like(p)
            up[:, :-1] += (1 - T) * g
            up[:, 1:] += T * g
            g = up
        return {"ctrl": g.sum(0), "ts": dt}
    return dict(forward=forward, backward=backward, inputs=dict(ctrl=r.normal(size=(4, 2)), ts=r.uniform(0, 1, 5)))


@item("dqn_target_stopgrad", "RL research code", True)
def _():
    r = rs(34)

    def forward(W, s, a, target):
        q = (s @ W)[np.arange(len(a)), a]
        d = q - target
        huber = np.where(np.abs(d) < 1, .5 * d * d, np.abs(d) - .5)
        return huber.mean(), (s, a, d, W.shape)

    def backward(g, cache):
        s, a, d, shp = cache
        onehot = np.eye(shp[1])[a]
        return s.T @ (onehot * np.clip(d, -1, 1)[:, None]) * g / len(a)
    return dict(forward=forward, backward=backward, inputs=dict(W=r.normal(size=(3, 4))), constants=dict(
        s=r.normal(size=(6, 3)), a=r.integers(0, 4, 6), target=r.normal(size=6)))


@item("triplet_normalised", "contrastive learning repository", True)
def _():
    r = rs(35)

    def unit(v):
        n = np.sqrt((v * v).sum(1, keepdims=True))
        return v / n, n

    def forward(a, p, n, margin):
        (ua, na), (up, np_), (un, nn) = unit(a), unit(p), unit(n)
        h = margin - (ua * up).sum(1) + (ua * un).sum(1)
        return np.maximum(h, 0).sum(), (ua, na, up, np_, un, nn, h)

    def backward(dy, cache):
        ua, na, up, np_, un, nn, h = cache
        m = dy * (h > 0).astype(float)[:, None]

        def pull(g, u, nrm):
            return (g - u * (g * u).sum(1, keepdims=True)) / nrm
        return pull(m * (un - up), ua, na), pull(-m * ua, up, np_), pull(m * ua, un, nn)
    return dict(forward=forward, backward=backward, inputs={k: r.normal(size=(4, 3)) for k in "apn"}, constants=dict(margin=.8))


@item("portfolio_sharpe", "quant finance notebook", True)
def _():
    r = rs(36)

    def forward(w, R):
        e = softmax(w)
        pr = R @ e
        m, s = pr.mean(), pr.std(ddof=1)
        return m / s, (e, R, pr, m, s)

    def backward(dS, cache):
        e, R, pr, m, s = cache
        n = len(pr)
        dpr = dS * (1 / (n * s) - m / s ** 2 * (pr - m) / ((n - 1) * s))
        de = R.T @ dpr
        return {"w": e * (de - de @ e)}
    return dict(forward=forward, backward=backward, inputs=dict(w=r.normal(size=4)), constants=dict(R=r.normal(size=(8, 4)) + .3))


@item("biquad_filter", "differentiable audio DSP", True)
def _():
    from scipy.signal import lfilter
    r = rs(37)

    def forward(x, b, a):
        y = lfilter(b, np.r_[1., a], x)
        return y, (x, y, b, a)

    def backward(dy, cache):
        x, y, b, a = cache
        N = len(x)
        lam = lfilter([1.], np.r_[1., a], dy[::-1])[::-1]
        dx = lfilter(b, [1.], lam[::-1])[::-1]
        db = np.array([lam[k:] @ x[:N - k] for k in range(3)])
        da = -np.array([lam[k:] @ y[:N - k] for k in (1, 2)])
        return dx, db, da
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=12), b=r.normal(size=3), a=np.array([-.9, .4])))


@item("forward_algorithm_hmm", "NLP course assignment", True)
def _():
    r = rs(38)

    def lse(a, ax):
        m = a.max(ax, keepdims=True)
        return np.squeeze(m, ax) + np.log(np.exp(a - m).sum(ax))

    def forward(emit, trans):
        al = [emit[0]]
        for t in range(1, len(emit)):
            al.append(emit[t] + lse(al[-1][:, None] + trans, 0))
        return lse(al[-1], 0), (emit, trans, al)

    def backward(dZ, cache):
        emit, trans, al = cache
        be = np.zeros(emit.shape[1])
        Z = lse(al[-1], 0)
        de, dt = np.zeros_like(emit), np.zeros_like(trans)
        for t in range(len(emit) - 1, -1, -1):
            de[t] = np.exp(al[t] + be - Z)
            if t:
                msg = trans + (emit[t] + be)[None]
                dt += np.exp(al[t - 1][:, None] + msg - Z)
                be = lse(msg, 1)
        return {"emit": dZ * de, "trans": dZ * dt}
    return dict(forward=forward, backward=backward, inputs=dict(emit=r.normal(size=(5, 3)), trans=r.normal(size=(3, 3))))


@item("two_head_attention_causal", "transformer tutorial", True)
def _():
    r = rs(39)

    def forward(q, k, v):
        S = np.einsum("htd,hsd->hts", q, k) / np.sqrt(q.shape[-1])
        S = np.where(np.tril(np.ones(S.shape[1:])) > 0, S, -1e30)
        A = softmax(S)
        return np.einsum("hts,hsd->htd", A, v), (q, k, v, A)

    def backward(do, cache):
        q, k, v, A = cache
        dv = np.einsum("hts,htd->hsd", A, do)
        o = np.einsum("hts,hsd->htd", A, v)
        D = (do * o).sum(-1, keepdims=True)
        dS = A * (np.einsum("htd,hsd->hts", do, v) - D) / np.sqrt(q.shape[-1])
        return np.einsum("hts,hsd->htd", dS, k), np.einsum("hts,htd->hsd", dS, q), dv
    return dict(forward=forward, backward=backward, inputs={n: r.normal(size=(2, 4, 3)) for n in "qkv"})


@item("bilinear_sampler", "vision and graphics", True)
def _():
    r = rs(40)

    def forward(img, uv):
        i0 = np.floor(uv).astype(int)
        fy, fx = (uv - i0).T
        y, x = i0.T
        out = ((1 - fy) * (1 - fx) * img[y, x] + (1 - fy) * fx * img[y, x + 1]
               + fy * (1 - fx) * img[y + 1, x] + fy * fx * img[y + 1, x + 1])
        return out, (img, y, x, fy, fx)

    def backward(g, cache):
        img, y, x, fy, fx = cache
        dimg = np.zeros_like(img)
        for oy, wy in ((0, 1 - fy), (1, fy)):
            for ox, wx in ((0, 1 - fx), (1, fx)):
                np.add.at(dimg, (y + oy, x + ox), g * wy * wx)
        dfy = (1 - fx) * (img[y + 1, x] - img[y, x]) + fx * (img[y + 1, x + 1] - img[y, x + 1])
        dfx = (1 - fy) * (img[y, x + 1] - img[y, x]) + fy * (img[y + 1, x + 1] - img[y + 1, x])
        return dimg, np.stack([g * dfy, g * dfx], 1)
    return dict(forward=forward, backward=backward, inputs=dict(
        img=r.normal(size=(4, 5)), uv=r.integers(0, 3, (6, 2)) + r.uniform(.1, .9, (6, 2))))


@item("implicit_euler_heat", "physics simulation", True)
def _():
    r = rs(41)

    def mat(k, n):
        L = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
        return np.eye(n) + k * L, L

    def forward(u, k, steps):
        M, L = mat(float(k), len(u))
        us = [u]
        for _ in range(steps):
            us.append(np.linalg.solve(M, us[-1]))
        return us[-1], (us, M, L)

    def backward(g, cache):
        us, M, L = cache
        dk = 0.
        for u in us[:0:-1]:
            g = np.linalg.solve(M.T, g)
            dk -= g @ (L @ u)
        return {"u": g, "k": np.array(dk)}
    return dict(forward=forward, backward=backward, inputs=dict(u=r.normal(size=6), k=np.array(.7)), constants=dict(steps=3))


@item("discounted_returns_baseline", "RL homework", True)
def _():
    r = rs(42)

    def forward(logits, value, act, rew, gamma):
        T = len(rew)
        disc = np.triu(gamma ** np.maximum(np.arange(T)[None] - np.arange(T)[:, None], 0))
        G = disc @ rew
        lp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        adv = G - value
        return -(lp[np.arange(T), act] * adv).sum() + .5 * (adv ** 2).sum(), (lp, act, adv)

    def backward(dy, cache):
        lp, act, adv = cache
        Y = np.zeros_like(lp)
        Y[np.arange(len(act)), act] = 1
        return dict(logits=dy * (np.exp(lp) - Y) * adv[:, None], value=dy * (lp[np.arange(len(act)), act] - adv))
    return dict(forward=forward, backward=backward, inputs=dict(logits=r.normal(size=(5, 3)), value=r.normal(size=5)),
                constants=dict(act=np.array([0, 2, 1, 1, 0]), rew=r.normal(size=5), gamma=.9))


@item("logreg_bernoulli_net", "deep learning course", True, check="gradients")
def _():
    r = rs(43)

    class Net:
        def __init__(self):
            self.params = P(r, W1=(3, 4), b1=4, w2=4)

        def objective(self, x, eps):
            p = self.params
            h = np.maximum(x @ p["W1"] + p["b1"], 0)
            m = h @ p["w2"]
            y = np.where(eps[:, 0] > 0, 1., -1.)
            return SimpleNamespace(objective=-np.logaddexp(0, -y * m)), (x, h, m, y)

        def backward(self, d, cache):
            x, h, m, y = cache
            dm = d * y * sigmoid(-y * m)
            dh = np.outer(dm, self.params["w2"]) * (h > 0)
            return {"w2": dm @ h, "W1": np.einsum("bi,bj->ij", x, dh), "b1": dh.sum(0)}
    return dict(model=Net(), x=r.normal(size=(6, 3)), eps=r.normal(size=(6, 1)))


@item("gaussian_vae_softplus_scale", "VAE research code", True, check="gradients")
def _():
    r = rs(44)

    class VAE:
        def __init__(self):
            self.params = P(r, Wm=(3, 2), Ws=(3, 2), Wd=(2, 3), logsig=3)

        def objective(self, x, eps, beta=1.):
            p = self.params
            m, a = x @ p["Wm"], x @ p["Ws"]
            s = np.logaddexp(0, a)
            z = m + s * eps
            e = (x - z @ p["Wd"]) * np.exp(-p["logsig"])
            nll = (.5 * e ** 2 + p["logsig"] + .5 * np.log(2 * np.pi)).sum(1)
            kl = (.5 * (m * m + s * s - 1) - np.log(s)).sum(1)
            return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, m, a, s, z, e)

        def backward(self, d, cache):
            x, eps, beta, m, a, s, z, e = cache
            p, d = self.params, d[:, None]
            drec = d * e * np.exp(-p["logsig"])
            dz = drec @ p["Wd"].T
            ds = dz * eps - beta * d * (s - 1 / s)
            return {"Wd": z.T @ drec, "logsig": (d * (e * e - 1)).sum(0), "Wm": x.T @ (dz - beta * d * m), "Ws": x.T @ (ds * sigmoid(a))}
    return dict(model=VAE(), x=r.normal(size=(5, 3)), eps=r.normal(size=(5, 2)))


@item("elman_sequence_model", "min-char-rnn gist", True, check="gradients")
def _():
    r = rs(45)

    class Elman:
        def __init__(self):
            self.params = P(r, U=3, V=(3, 3), o=3)

        def objective(self, x, eps):
            p = self.params
            hs = [np.zeros((len(x), 3))]
            obj = 0
            errs = []
            for t in range(x.shape[1] - 1):
                hs.append(np.tanh(np.outer(x[:, t], p["U"]) + hs[-1] @ p["V"]))
                errs.append(x[:, t + 1] - hs[-1] @ p["o"])
                obj = obj - .5 * errs[-1] ** 2
            return SimpleNamespace(objective=obj), (x, hs, errs)

        def backward(self, d, cache):
            x, hs, errs = cache
            p = self.params
            g = {k: np.zeros_like(v) for k, v in p.items()}
            dh = np.zeros_like(hs[0])
            for t in reversed(range(len(errs))):
                de = d * errs[t]
                g["o"] += de @ hs[t + 1]
                da = (dh + np.outer(de, p["o"])) * (1 - hs[t + 1] ** 2)
                g["U"] += x[:, t] @ da
                g["V"] += hs[t].T @ da
                dh = da @ p["V"].T
            return g
    return dict(model=Elman(), x=r.normal(size=(4, 5)), eps=np.zeros((4, 1)))


@item("sinkhorn_free_gmm_rows", "machine learning textbook", True, check="gradients")
def _():
    r = rs(46)

    class GMM:
        def __init__(self):
            self.params = P(r, alpha=3, mu=(3, 2), L=3)

        def objective(self, x, eps):
            p = self.params
            d = x[:, None] - p["mu"]
            sq = (d ** 2).sum(-1)
            lp = np.log(softmax(p["alpha"])) - .5 * sq * np.exp(-2 * p["L"]) - 2 * p["L"] - np.log(2 * np.pi)
            ll = np.log(np.exp(lp).sum(1))
            return SimpleNamespace(objective=ll), (d, sq, np.exp(lp - ll[:, None]))

        def backward(self, dobj, cache):
            d, sq, g = cache
            p = self.params
            wg = dobj[:, None] * g
            prec = np.exp(-2 * p["L"])
            return {"alpha": wg.sum(0) - softmax(p["alpha"]) * dobj.sum(),
                    "mu": np.einsum("bk,bkd->kd", wg, d) * prec[:, None],
                    "L": (wg * (sq * prec - 2)).sum(0)}
    return dict(model=GMM(), x=r.normal(size=(6, 2)), eps=np.zeros((6, 1)))
