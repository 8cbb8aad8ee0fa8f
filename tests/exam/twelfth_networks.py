from types import SimpleNamespace
from typing import Callable, NamedTuple

import numpy as np
from scipy.special import logsumexp, ndtr


class Item(NamedTuple):
    name: str
    style: str
    check: str
    make: Callable
    right: bool
    slip: str = ""
    wrong: tuple = ()
    causes: tuple = ()


def mk_rnn(seed=0):
    r = np.random.default_rng(seed)
    def forward(x, h0, Wx, Wh, b):
        N, T, D = x.shape
        h = h0; hs = []
        for t in range(T):
            h = np.tanh(x[:, t] @ Wx + h @ Wh + b)
            hs.append(h)
        return np.stack(hs, 1), (x, h0, Wx, Wh, hs)
    def backward(dh, cache):
        x, h0, Wx, Wh, hs = cache
        dx = np.zeros_like(x); dWx = np.zeros_like(Wx); dWh = np.zeros_like(Wh); db = np.zeros(Wh.shape[0])
        dnext = np.zeros_like(h0)
        for t in reversed(range(x.shape[1])):
            da = (dh[:, t] + dnext) * (1 - hs[t] ** 2)
            prev = hs[t - 1] if t > 0 else h0
            dx[:, t] = da @ Wx.T
            dWx += x[:, t].T @ da
            dWh += prev.T @ da
            db += da.sum(0)
            dnext = da @ Wh
        return dx, dnext, dWx, dWh, db
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(2, 4, 3)), h0=r.normal(size=(2, 4)), Wx=r.normal(size=(3, 4)) * .5, Wh=r.normal(size=(4, 4)) * .5, b=r.normal(size=4) * .1))


def mk_lstm(seed=0):
    r = np.random.default_rng(seed)
    sg = lambda a: 1 / (1 + np.exp(-a))
    def forward(x, W, U, b):
        T, H = len(x), U.shape[0]
        h = np.zeros(H); c = np.zeros(H); tape = []; out = []
        for xt in x:
            z = xt @ W + h @ U + b
            i, f, o, g = sg(z[:H]), sg(z[H:2*H]), sg(z[2*H:3*H]), np.tanh(z[3*H:])
            cn = f * c + i * g
            tape.append((xt, h, c, i, f, o, g, cn))
            c = cn; h = o * np.tanh(c); out.append(h)
        return np.array(out), {"tape": tape, "W": W, "U": U}
    def backward(dout, cache):
        W, U = cache["W"], cache["U"]; H = U.shape[0]
        dW, dU, db = np.zeros_like(W), np.zeros_like(U), np.zeros(4 * H)
        dhn = np.zeros(H); dcn = np.zeros(H); dx = []
        for k in range(len(dout) - 1, -1, -1):
            xt, hp, cp, i, f, o, g, c = cache["tape"][k]
            dh = dout[k] + dhn
            tc = np.tanh(c)
            dc = dcn + dh * o * (1 - tc * tc)
            dz = np.concatenate([dc * g * i * (1 - i), dc * cp * f * (1 - f), dh * tc * o * (1 - o), dc * i * (1 - g * g)])
            dW += np.outer(xt, dz); dU += np.outer(hp, dz); db += dz
            dx.insert(0, W @ dz)
            dhn = U @ dz
            dcn = dc * i
        return {"x": np.array(dx), "W": dW, "U": dU, "b": db}
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(4, 2)), W=r.normal(size=(2, 12)), U=r.normal(size=(3, 12)) * .6, b=r.normal(size=12) * .3))


def mk_attn(seed=0):
    r = np.random.default_rng(seed)
    def forward(q, k, v):
        s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        m = np.tril(np.ones(s.shape[-2:], bool))
        s = np.where(m, s, -1e30)
        p = np.exp(s - s.max(-1, keepdims=True)); p /= p.sum(-1, keepdims=True)
        return p @ v, (q, k, v, p)
    def backward(dy, cache):
        q, k, v, p = cache
        dv = p.swapaxes(-1, -2) @ dy
        dp = dy @ v.swapaxes(-1, -2)
        ds = p * (dp - (dp * p).sum(-1, keepdims=True))
        sc = 1 / np.sqrt(q.shape[-1])
        return dict(q=ds @ k * sc, k=ds.swapaxes(-1, -2) @ q, v=dv)
    return dict(forward=forward, backward=backward, inputs={n: r.normal(size=(2, 4, 3)) for n in "qkv"})


def mk_attn2(seed=0):
    r = np.random.default_rng(seed)
    def forward(q, k, v):
        s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        m = np.tril(np.ones(s.shape[-2:], bool))
        s = np.where(m, s, -1e30)
        p = np.exp(s - s.max(-1, keepdims=True)); p /= p.sum(-1, keepdims=True)
        return p @ v, (q, k, v, p)
    def backward(dy, cache):
        q, k, v, p = cache
        dv = p.swapaxes(-1, -2) @ dy
        dp = dy @ v.swapaxes(-1, -2)
        ds = p * (dp - (dp * p).sum(-1, keepdims=True))
        sc = 1 / np.sqrt(q.shape[-1])
        return dict(q=ds @ k * sc, k=ds.swapaxes(-1, -2) @ q * sc, v=dv)
    return dict(forward=forward, backward=backward, inputs={n: r.normal(size=(2, 4, 3)) for n in "qkv"})


def mk_block(seed=0):
    r = np.random.default_rng(seed)
    def forward(x, g, W1, W2):
        rms = np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
        n = x / rms
        a = (n * g) @ W1
        s = 1 / (1 + np.exp(-a))
        return x + (a * s) @ W2, (x, g, W1, W2, rms, n, a, s)
    def backward(dy, cache):
        x, g, W1, W2, rms, n, a, s = cache
        dW2 = (a * s).T @ dy
        da = (dy @ W2.T) * (s + a * s * (1 - s))
        dW1 = (n * g).T @ da
        dng = da @ W1.T
        dg = (dng * n).sum(0)
        dn = dng * g
        dx = (dn - n * (dn * n).mean(-1, keepdims=True)) / rms
        return dx, dg, dW1, dW2
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(4, 5)), g=r.normal(size=5) + 1, W1=r.normal(size=(5, 6)) * .5, W2=r.normal(size=(6, 5)) * .5))


def mk_a2c(seed=0):
    r = np.random.default_rng(seed)
    def forward(logits, values, actions, rewards, gamma, ent):
        G = np.zeros(len(rewards)); run = 0.
        for t in range(len(rewards) - 1, -1, -1):
            run = rewards[t] + gamma * run; G[t] = run
        lp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        p = np.exp(lp)
        H = -(p * lp).sum(1)
        adv = G
        idx = np.arange(len(G))
        loss = -(lp[idx, actions] * adv).mean() - ent * H.mean() + .5 * ((values - G) ** 2).mean()
        return loss, (p, lp, H, adv, actions, values, G, ent)
    def backward(dl, cache):
        p, lp, H, adv, actions, values, G, ent = cache
        T = len(G)
        d = p.copy(); d[np.arange(T), actions] -= 1
        d *= adv[:, None]
        d -= ent * p * (lp + H[:, None])
        return dl * d / T, dl * (values - G) / T
    return dict(forward=forward, backward=backward, inputs=dict(logits=r.normal(size=(6, 3)), values=r.normal(size=6)), constants=dict(actions=r.integers(0, 3, 6), rewards=r.normal(size=6), gamma=.9, ent=.3))


def mk_gae(seed=0):
    r = np.random.default_rng(seed)
    def forward(rewards, values, dones, gamma, lam):
        T = len(rewards); adv = np.zeros(T); last = 0
        for t in reversed(range(T)):
            nt = 1. - dones[t]
            delta = rewards[t] + gamma * values[t + 1] * nt - values[t]
            last = delta + gamma * lam * nt * last
            adv[t] = last
        return adv, (dones, gamma, lam)
    def backward(dadv, cache):
        dones, gamma, lam = cache
        T = len(dones); dr = np.zeros(T); dv = np.zeros(T + 1); carry = 0
        for t in range(T):
            nt = 1. - dones[t]
            d = dadv[t] + carry
            dr[t] = d
            dv[t] -= d
            dv[t + 1] += gamma * nt * d
            carry = gamma * lam * d
        return dr, dv
    return dict(forward=forward, backward=backward, inputs=dict(rewards=r.normal(size=7), values=r.normal(size=8)), constants=dict(dones=np.array([0, 0, 1, 0, 0, 1, 0.]), gamma=.97, lam=.9))


def mk_clip(seed=0):
    r = np.random.default_rng(seed)
    def sm(s, ax):
        e = np.exp(s - s.max(ax, keepdims=True)); return e / e.sum(ax, keepdims=True)
    def forward(img, txt, logt):
        ni = np.linalg.norm(img, axis=1, keepdims=True); nt = np.linalg.norm(txt, axis=1, keepdims=True)
        a, b = img / ni, txt / nt
        s = a @ b.T * np.exp(logt)
        p1, p2 = sm(s, 1), sm(s, 0)
        loss = -.5 * (np.log(np.diag(p1)).mean() + np.log(np.diag(p2)).mean())
        return loss, (a, b, ni, nt, s, p1, p2, np.exp(logt))
    def backward(dl, cache):
        a, b, ni, nt, s, p1, p2, t = cache
        n = len(a); I = np.eye(n)
        d1 = .5 * dl * (p1 - I) / n; d2 = .5 * dl * (p2 - I) / n
        ds = d1 + d2
        da = ds @ b * t
        db = d1.T @ a * t
        proj = lambda d, u, nn: (d - u * (d * u).sum(1, keepdims=True)) / nn
        return {"img": proj(da, a, ni), "txt": proj(db, b, nt), "logt": np.array((ds * s).sum())}
    return dict(forward=forward, backward=backward, inputs=dict(img=r.normal(size=(4, 3)), txt=r.normal(size=(4, 3)), logt=np.array(.7)))


def mk_sgns(seed=0):
    r = np.random.default_rng(seed)
    sig = lambda a: 1 / (1 + np.exp(-a))
    def forward(U, V, centre, outside, neg):
        c = V[centre]
        sp = (c * U[outside]).sum(1)
        sn = np.einsum("bd,bkd->bk", c, U[neg])
        return np.logaddexp(0, -sp) + np.logaddexp(0, sn).sum(1), (U, V, centre, outside, neg, sp, sn)
    def backward(dy, cache):
        U, V, centre, outside, neg, sp, sn = cache
        gp = -dy * sig(-sp)
        gn = dy[:, None] * sig(sn)
        dc = gp[:, None] * U[outside] + np.einsum("bk,bkd->bd", gn, U[neg])
        dU, dV = np.zeros_like(U), np.zeros_like(V)
        np.add.at(dU, outside, gp[:, None] * V[centre])
        np.add.at(dU, neg, gn[..., None] * V[centre][:, None])
        dV[centre] += dc
        return dU, dV
    return dict(forward=forward, backward=backward, inputs=dict(U=r.normal(size=(7, 3)), V=r.normal(size=(7, 3))), constants=dict(centre=np.array([1, 1, 4, 0, 1]), outside=np.array([2, 3, 5, 6, 0]), neg=r.integers(0, 7, (5, 3))))


def mk_cam(seed=0):
    r = np.random.default_rng(seed)
    def forward(pts, R, t, f, k1):
        X = pts @ R.T + t
        u = X[:, :2] / X[:, 2:]
        r2 = (u ** 2).sum(1, keepdims=True)
        rad = 1 + k1 * r2
        return f * rad * u, (pts, R, X, u, r2, rad, f, k1)
    def backward(dy, cache):
        pts, R, X, u, r2, rad, f, k1 = cache
        dot = (dy * u).sum(1, keepdims=True)
        df = (rad * dot).sum()
        dk = (f * dot * r2).sum()
        du = f * rad * dy + 2 * f * k1 * dot * u
        Z = X[:, 2]
        dX = np.zeros_like(X)
        dX[:, 0] = du[:, 0] / Z
        dX[:, 1] = du[:, 1] / Z
        dX[:, 2] = -(du[:, 0] * X[:, 0]) / Z ** 2
        return {"pts": dX @ R, "R": dX.T @ pts, "t": dX.sum(0), "f": np.array(df), "k1": np.array(dk)}
    q = np.linalg.qr(r.normal(size=(3, 3)))[0]
    return dict(forward=forward, backward=backward, inputs=dict(pts=r.normal(size=(5, 3)), R=q, t=np.array([.2, -.3, 5.]), f=np.array(2.), k1=np.array(.3)))


def mk_bezier(seed=0):
    r = np.random.default_rng(seed)
    def forward(P, t):
        levels = [np.repeat(P[None], len(t), 0)]
        s = t[:, None, None]
        while levels[-1].shape[1] > 1:
            L = levels[-1]
            levels.append((1 - s) * L[:, :-1] + s * L[:, 1:])
        return levels[-1][:, 0], (levels, t)
    def backward(dy, cache):
        levels, t = cache
        n = len(levels) - 1
        tangent = (levels[-2][:, 1] - levels[-2][:, 0])
        dt = (dy * tangent).sum(1)
        d = dy[:, None]; s = t[:, None, None]
        for _ in range(n):
            nd = np.zeros((d.shape[0], d.shape[1] + 1, d.shape[2]))
            nd[:, :-1] += (1 - s) * d
            nd[:, 1:] += s * d
            d = nd
        return d.sum(0), dt
    return dict(forward=forward, backward=backward, inputs=dict(P=r.normal(size=(4, 2)), t=r.uniform(.1, .9, 6)))


def mk_rk4(seed=0):
    r = np.random.default_rng(seed)
    def forward(y, A, b, h, steps):
        f = lambda u: np.tanh(u @ A.T + b)
        tape = []
        for _ in range(steps):
            k1 = f(y); y2 = y + h / 2 * k1
            k2 = f(y2); y3 = y + h / 2 * k2
            k3 = f(y3); y4 = y + h * k3
            k4 = f(y4)
            tape.append(((y, k1), (y2, k2), (y3, k3), (y4, k4)))
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return y, (tape, A, h)
    def backward(dy, cache):
        tape, A, h = cache
        gA = np.zeros_like(A); gb = np.zeros(len(A))
        def pull(g, stage):
            u, k = stage
            gz = g * (1 - k * k)
            gA[...] += gz.T @ u
            gb[...] += gz.sum(0)
            return gz @ A
        for s1, s2, s3, s4 in reversed(tape):
            g4 = pull(h / 6 * dy, s4)
            g3 = pull(h / 3 * dy + h / 2 * g4, s3)
            g2 = pull(h / 3 * dy + h / 2 * g3, s2)
            g1 = pull(h / 6 * dy + h / 2 * g2, s1)
            dy = dy + g1 + g2 + g3 + g4
        return {"y": dy, "A": gA, "b": gb}
    return dict(forward=forward, backward=backward, inputs=dict(y=r.normal(size=(3, 3)), A=r.normal(size=(3, 3)), b=r.normal(size=3)), constants=dict(h=.4, steps=3))


def mk_verlet(seed=0):
    r = np.random.default_rng(seed)
    def forward(x, v, k, dt, n):
        xs = []
        for _ in range(n):
            v = v + dt * (-k * x ** 3 - x)
            xs.append(x)
            x = x + dt * v
        return np.stack([x, v]), (xs, k, dt)
    def backward(dy, cache):
        xs, k, dt = cache
        gx, gv = dy[0].copy(), dy[1].copy()
        gk = np.zeros_like(k)
        for x in xs[::-1]:
            gv = gv + dt * gx
            ga = dt * gv
            gk = -ga * x ** 3
            gx = gx + ga * (-3 * k * x ** 2 - 1)
        return gx, gv, gk
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=4), v=r.normal(size=4), k=r.uniform(.5, 1.5, 4)), constants=dict(dt=.2, n=4))


def mk_nvp(seed=0):
    r = np.random.default_rng(seed)
    def forward(x, Ws, Wt):
        D = x.shape[1] // 2
        a, b = x[:, :D], x[:, D:]
        s = np.tanh(a @ Ws); t = a @ Wt
        z = b * np.exp(s) + t
        lp = -.5 * (a ** 2).sum(1) - .5 * (z ** 2).sum(1) + s.sum(1)
        return lp, (a, b, s, z, Ws, Wt)
    def backward(dy, cache):
        a, b, s, z, Ws, Wt = cache
        w = dy[:, None]
        dz = -w * z
        ds = dz * b * np.exp(s)
        dpre = ds * (1 - s ** 2)
        da = -w * a + dpre @ Ws.T + dz @ Wt.T
        return np.hstack([da, dz * np.exp(s)]), a.T @ dpre, a.T @ dz
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(5, 4)), Ws=r.normal(size=(2, 2)), Wt=r.normal(size=(2, 2))))


def mk_nvp2(seed=0):
    r = np.random.default_rng(seed)
    def forward(x, Ws, Wt):
        D = x.shape[1] // 2
        a, b = x[:, :D], x[:, D:]
        s = np.tanh(a @ Ws); t = a @ Wt
        z = b * np.exp(s) + t
        lp = -.5 * (a ** 2).sum(1) - .5 * (z ** 2).sum(1) + s.sum(1)
        return lp, (a, b, s, z, Ws, Wt)
    def backward(dy, cache):
        a, b, s, z, Ws, Wt = cache
        w = dy[:, None]
        dz = -w * z
        ds = dz * b * np.exp(s) + w
        dpre = ds * (1 - s ** 2)
        da = -w * a + dpre @ Ws.T + dz @ Wt.T
        return np.hstack([da, dz * np.exp(s)]), a.T @ dpre, a.T @ dz
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(5, 4)), Ws=r.normal(size=(2, 2)), Wt=r.normal(size=(2, 2))))


def mk_gmm(seed=0):
    r = np.random.default_rng(seed)
    def forward(alpha, means, icf, x):
        lpi = alpha - logsumexp(alpha)
        e = np.exp(icf)
        d = (x[:, None] - means[None]) * e[None]
        main = lpi - .5 * (d ** 2).sum(2) + icf.sum(1)
        return logsumexp(main, axis=1).sum(), (main, lpi, e, d)
    def backward(g, cache):
        main, lpi, e, d = cache
        gam = np.exp(main - logsumexp(main, axis=1, keepdims=True))
        N = len(gam)
        dal = gam.sum(0)
        dme = (gam[..., None] * d * e).sum(0)
        dic = (gam[..., None] * (1 - d ** 2)).sum(0)
        return g * dal, g * dme, g * dic
    return dict(forward=forward, backward=backward, inputs=dict(alpha=r.normal(size=3), means=r.normal(size=(3, 2)), icf=r.normal(size=(3, 2)) * .3), constants=dict(x=r.normal(size=(8, 2))))


def mk_iir(seed=0):
    r = np.random.default_rng(seed)
    def forward(x, b, a):
        y = np.zeros_like(x)
        for n in range(len(x)):
            for k in range(len(b)):
                if n >= k: y[n] += b[k] * x[n - k]
            for k in range(len(a)):
                if n > k: y[n] -= a[k] * y[n - k - 1]
        return y, (x, b, a, y)
    def backward(dy, cache):
        x, b, a, y = cache
        g = dy.copy(); N = len(x)
        dx, db, da = np.zeros_like(x), np.zeros_like(b), np.zeros_like(a)
        for n in range(N - 1, -1, -1):
            for k in range(len(a)):
                if n > k:
                    g[n - k - 1] -= a[k] * g[n]
                    da[k] += g[n] * y[n - k - 1]
            for k in range(len(b)):
                if n >= k:
                    dx[n - k] += b[k] * g[n]
                    db[k] += g[n] * x[n - k]
        return dict(x=dx, b=db, a=da)
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=10), b=r.normal(size=3), a=np.array([-.5, .3])))


def mk_bs(seed=0):
    r = np.random.default_rng(seed)
    def forward(S, sigma, T, K, rate):
        d1 = (np.log(S / K) + (rate + sigma ** 2 / 2) * T) / (sigma * np.sqrt(T))
        d2 = d1 - sigma * np.sqrt(T)
        return S * ndtr(d1) - K * np.exp(-rate * T) * ndtr(d2), (S, sigma, T, K, rate, d1, d2)
    def backward(dC, cache):
        S, sigma, T, K, rate, d1, d2 = cache
        pdf = np.exp(-d1 ** 2 / 2) / np.sqrt(2 * np.pi)
        delta = ndtr(d1)
        vega = S * pdf
        theta = S * pdf * sigma / (2 * np.sqrt(T)) + rate * K * np.exp(-rate * T) * ndtr(d2)
        return {"S": dC * delta, "sigma": dC * vega, "T": dC * theta}
    return dict(forward=forward, backward=backward, inputs=dict(S=r.uniform(.8, 1.2, 5), sigma=r.uniform(.2, .5, 5), T=r.uniform(.3, 2, 5)), constants=dict(K=1., rate=.03))


def mk_lqr(seed=0):
    r = np.random.default_rng(seed)
    def forward(x0, u, A, B, Q, R):
        xs = [x0]; J = 0.
        for ut in u:
            J += .5 * xs[-1] @ Q @ xs[-1] + .5 * ut @ R @ ut
            xs.append(A @ xs[-1] + B @ ut)
        return J + .5 * xs[-1] @ Q @ xs[-1], (xs, u, A, B, Q, R)
    def backward(dJ, cache):
        xs, u, A, B, Q, R = cache
        lam = Q @ xs[-1]
        gu = np.empty_like(u); gA = 0; gB = 0
        for t in range(len(u) - 1, -1, -1):
            gu[t] = R @ u[t] + B.T @ lam
            gA = gA + np.outer(lam, xs[t]); gB = gB + np.outer(lam, u[t])
            lam = Q @ xs[t] + A @ lam
        return dJ * lam, dJ * gu, dJ * gA, dJ * gB
    return dict(forward=forward, backward=backward, inputs=dict(x0=r.normal(size=3), u=r.normal(size=(4, 2)), A=r.normal(size=(3, 3)) * .6, B=r.normal(size=(3, 2))), constants=dict(Q=np.diag([1., 2., .5]), R=np.eye(2) * .3))


def mk_nerf(seed=0):
    r = np.random.default_rng(seed)
    def forward(sigma, rgb, delta):
        tau = sigma * delta
        T = np.exp(-np.concatenate([np.zeros((len(tau), 1)), np.cumsum(tau, 1)[:, :-1]], 1))
        w = T * (1 - np.exp(-tau))
        return (w[..., None] * rgb).sum(1), (tau, T, w, rgb, delta)
    def backward(dC, cache):
        tau, T, w, rgb, delta = cache
        g = (dC[:, None] * rgb).sum(-1)
        gw = g * w
        behind = np.cumsum(gw[:, ::-1], 1)[:, ::-1] - gw
        dtau = g * T * np.exp(-tau)
        return {"sigma": dtau * delta, "rgb": w[..., None] * dC[:, None]}
    return dict(forward=forward, backward=backward, inputs=dict(sigma=r.uniform(.2, 2, (2, 5)), rgb=r.uniform(size=(2, 5, 3))), constants=dict(delta=r.uniform(.2, .6, (2, 5))))


def mk_nerf2(seed=0):
    r = np.random.default_rng(seed)
    def forward(sigma, rgb, delta):
        tau = sigma * delta
        T = np.exp(-np.concatenate([np.zeros((len(tau), 1)), np.cumsum(tau, 1)[:, :-1]], 1))
        w = T * (1 - np.exp(-tau))
        return (w[..., None] * rgb).sum(1), (tau, T, w, rgb, delta)
    def backward(dC, cache):
        tau, T, w, rgb, delta = cache
        g = (dC[:, None] * rgb).sum(-1)
        gw = g * w
        behind = np.cumsum(gw[:, ::-1], 1)[:, ::-1] - gw
        dtau = g * T * np.exp(-tau) - behind
        return {"sigma": dtau * delta, "rgb": w[..., None] * dC[:, None]}
    return dict(forward=forward, backward=backward, inputs=dict(sigma=r.uniform(.2, 2, (2, 5)), rgb=r.uniform(size=(2, 5, 3))), constants=dict(delta=r.uniform(.2, .6, (2, 5))))


def mk_gru(seed=0):
    r = np.random.default_rng(seed)
    S = lambda a: 1 / (1 + np.exp(-a))
    def forward(x, h, p):
        rg = S(x @ p["Wr"] + h @ p["Ur"]); z = S(x @ p["Wz"] + h @ p["Uz"])
        n = np.tanh(x @ p["Wn"] + (rg * h) @ p["Un"])
        return (1 - z) * n + z * h, (x, h, p, rg, z, n)
    def backward(dy, cache):
        x, h, p, rg, z, n = cache
        an = dy * (1 - z) * (1 - n * n)
        drh = an @ p["Un"].T
        ar = drh * h * rg * (1 - rg)
        az = dy * (h - n) * z * (1 - z)
        dh = dy * z + drh * rg + az @ p["Uz"].T
        dx = an @ p["Wn"].T + ar @ p["Wr"].T + az @ p["Wz"].T
        dp = dict(Wr=x.T @ ar, Wz=x.T @ az, Wn=x.T @ an, Ur=h.T @ ar, Uz=h.T @ az, Un=(rg * h).T @ an)
        return {"x": dx, "h": dh, "p": dp}
    p = {g + s: r.normal(size=(2 if g == "W" else 3, 3)) for g in "WU" for s in "rzn"}
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(3, 2)), h=r.normal(size=(3, 3)), p=p))


def mk_lambert(seed=0):
    r = np.random.default_rng(seed)
    def forward(normal, albedo, light):
        ln = np.sqrt((normal ** 2).sum(-1, keepdims=True))
        n = normal / ln
        c = n @ light
        sh = np.log1p(np.exp(4 * c)) / 4
        return albedo * sh[:, None], (ln, n, c, sh, albedo, light)
    def backward(dI, cache):
        ln, n, c, sh, albedo, light = cache
        dsh = (dI * albedo).sum(1)
        dc = dsh / (1 + np.exp(-4 * c))
        dn = np.outer(dc, light)
        dnormal = dn - n * (n * dn).sum(1, keepdims=True)
        dnormal = dnormal
        return {"normal": dnormal, "albedo": dI * sh[:, None], "light": dc @ n}
    return dict(forward=forward, backward=backward, inputs=dict(normal=r.normal(size=(5, 3)) * 2, albedo=r.uniform(size=(5, 3)), light=r.normal(size=3)))


def mk_crf(seed=0):
    r = np.random.default_rng(seed)
    def forward(emit, trans):
        a = [emit[0]]
        for e in emit[1:]:
            a.append(e + logsumexp(a[-1][:, None] + trans, axis=0))
        return logsumexp(a[-1]), (emit, trans, a)
    def backward(dz, cache):
        emit, trans, a = cache
        gE = np.zeros_like(emit); gT = np.zeros_like(trans)
        g = np.exp(a[-1] - logsumexp(a[-1]))
        for t in range(len(emit) - 1, 0, -1):
            gE[t] = g
            m = a[t - 1][:, None] + trans
            pair = g[None] * np.exp(m - logsumexp(m, axis=0, keepdims=True))
            gT += pair.T
            g = pair.sum(1)
        gE[0] = g
        return dz * gE, dz * gT
    return dict(forward=forward, backward=backward, inputs=dict(emit=r.normal(size=(5, 3)), trans=r.normal(size=(3, 3))))


def mk_lnmlp(seed=0):
    r = np.random.default_rng(seed)
    def forward(x, W, gamma, beta, V):
        h = x @ W
        mu = h.mean(1, keepdims=True); iv = 1 / np.sqrt(h.var(1, keepdims=True) + 1e-5)
        n = (h - mu) * iv
        a = np.sin(n * gamma + beta)
        return a @ V, (x, W, gamma, V, iv, n, n * gamma + beta)
    def backward(dy, c):
        x, W, gamma, V, iv, n, pre = c
        dpre = dy @ V.T * np.cos(pre)
        dgamma = (dpre * n).mean(axis=0)
        dn = dpre * gamma
        dh = iv * (dn - dn.mean(1, keepdims=True) - n * (dn * n).mean(1, keepdims=True))
        return dict(x=dh @ W.T, W=x.T @ dh, gamma=dgamma, beta=dpre.sum(0), V=np.sin(pre).T @ dy)
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(4, 3)), W=r.normal(size=(3, 5)), gamma=r.normal(size=5), beta=r.normal(size=5), V=r.normal(size=(5, 2))))


def mk_vae(seed=0):
    return _vae(seed, "a")
class VAE_a:
    def __init__(self, r):
        g = lambda *s: r.normal(size=s) * .5
        self.params = dict(W1=g(5, 4), b1=g(4), Wm=g(4, 2), bm=g(2), Wl=g(4, 2), bl=g(2), Wd=g(2, 5), bd=g(5))
    def objective(self, x, eps, beta=1.0):
        p = self.params
        h = np.tanh(x @ p["W1"] + p["b1"])
        mu, lv = h @ p["Wm"] + p["bm"], h @ p["Wl"] + p["bl"]
        sd = np.exp(.5 * lv); z = mu + sd * eps
        lo = z @ p["Wd"] + p["bd"]
        nll = (np.logaddexp(0, lo) - x * lo).sum(1)
        kl = .5 * (mu ** 2 + np.exp(lv) - 1 - lv).sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, h, mu, lv, sd, z, lo)
    def backward(self, dobj, cache):
        x, eps, beta, h, mu, lv, sd, z, lo = cache; p = self.params
        w = dobj[:, None]
        dlo = w * (x - 1 / (1 + np.exp(-lo)))
        dz = dlo @ p["Wd"].T
        dmu = dz - w * beta * mu
        dlv = dz * eps * sd - w * beta * .5 * (np.exp(lv) - 1)
        dh = (dmu @ p["Wm"].T + dlv @ p["Wl"].T) * (1 - h ** 2)
        return dict(W1=x.T @ dh, b1=dh.sum(0), Wm=h.T @ dmu, bm=dmu.sum(0), Wl=h.T @ dlv, bl=dlv.sum(0), Wd=z.T @ dlo, bd=dlo.sum(0))
def _vae(seed, k):
    r = np.random.default_rng(seed)
    return dict(model=VAE_a(r), x=(r.uniform(size=(4, 5)) < .5) * 1., eps=r.normal(size=(4, 2)))


def mk_vae2(seed=0):
    return _vae2(seed, "a")
class VAE_b:
    def __init__(self, r):
        g = lambda *s: r.normal(size=s) * .5
        self.params = dict(W1=g(5, 4), b1=g(4), Wm=g(4, 2), bm=g(2), Wl=g(4, 2), bl=g(2), Wd=g(2, 5), bd=g(5))
    def objective(self, x, eps, beta=1.0):
        p = self.params
        h = np.tanh(x @ p["W1"] + p["b1"])
        mu, lv = h @ p["Wm"] + p["bm"], h @ p["Wl"] + p["bl"]
        sd = np.exp(.5 * lv); z = mu + sd * eps
        lo = z @ p["Wd"] + p["bd"]
        nll = (np.logaddexp(0, lo) - x * lo).sum(1)
        kl = .5 * (mu ** 2 + np.exp(lv) - 1 - lv).sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, h, mu, lv, sd, z, lo)
    def backward(self, dobj, cache):
        x, eps, beta, h, mu, lv, sd, z, lo = cache; p = self.params
        w = dobj[:, None]
        dlo = w * (x - 1 / (1 + np.exp(-lo)))
        dz = dlo @ p["Wd"].T
        dmu = dz - w * beta * mu
        dlv = .5 * dz * eps * sd - w * beta * .5 * (np.exp(lv) - 1)
        dh = (dmu @ p["Wm"].T + dlv @ p["Wl"].T) * (1 - h ** 2)
        return dict(W1=x.T @ dh, b1=dh.sum(0), Wm=h.T @ dmu, bm=dmu.sum(0), Wl=h.T @ dlv, bl=dlv.sum(0), Wd=z.T @ dlo, bd=dlo.sum(0))
def _vae2(seed, k):
    r = np.random.default_rng(seed)
    return dict(model=VAE_b(r), x=(r.uniform(size=(4, 5)) < .5) * 1., eps=r.normal(size=(4, 2)))


def mk_cvae(seed=0):
    r = np.random.default_rng(seed)
    class Model:
        def __init__(s):
            s.params = {"enc_mu_w": r.normal(size=(4, 2)) * .6, "enc_lv": r.normal(size=2) * .3, "dec_w": r.normal(size=(2, 4)), "dec_logs": r.normal(size=4) * .2}
        def encode(s, x):
            mu = x @ s.params["enc_mu_w"]
            return mu, np.broadcast_to(s.params["enc_lv"], mu.shape).copy()
        def objective(s, x, eps, beta=1.0):
            mu, lv = s.encode(x)
            z = mu + np.exp(lv / 2) * eps
            inv = np.exp(-s.params["dec_logs"])
            res = (x - z @ s.params["dec_w"]) * inv
            nll = (.5 * res ** 2 + s.params["dec_logs"] + .5 * np.log(2 * np.pi)).sum(1)
            kl = -.5 * (1 + lv - mu ** 2 - np.exp(lv)).sum(1)
            return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), dict(x=x, eps=eps, beta=beta, mu=mu, lv=lv, z=z, res=res, inv=inv)
        def backward(s, dobjective, c):
            w = dobjective.reshape(-1, 1)
            dmean = w * c["res"] * c["inv"]
            dz = dmean @ s.params["dec_w"].T
            dmu = dz - c["beta"] * c["mu"]
            dlv = dz * c["eps"] * np.exp(c["lv"] / 2) / 2 - w * c["beta"] * (np.exp(c["lv"]) - 1) / 2
            return {"enc_mu_w": c["x"].T @ dmu, "enc_lv": dlv.sum(0), "dec_w": c["z"].T @ dmean, "dec_logs": (w * (c["res"] ** 2 - 1)).sum(0)}
    return dict(model=Model(), x=r.normal(size=(5, 4)), eps=r.normal(size=(5, 2)))


def mk_policy(seed=0):
    r = np.random.default_rng(seed)
    class SquashedActor:
        def __init__(self):
            self.params = {"W": r.normal(size=(3, 2)) * .5, "logstd": r.normal(size=2) * .3, "Q": r.normal(size=(3, 2))}
            self.alpha = .4
        def objective(self, x, eps):
            P = self.params
            u = x @ P["W"] + np.exp(P["logstd"]) * eps
            a = np.tanh(u)
            logp = (-.5 * eps ** 2 - P["logstd"] - np.log(1 - a ** 2)).sum(1)
            q = ((x @ P["Q"]) * a).sum(1)
            return SimpleNamespace(objective=q - self.alpha * logp), (x, eps, a)
        def backward(self, dobjective, cache):
            x, eps, a = cache; P = self.params
            w = dobjective[:, None]
            da = w * (x @ P["Q"])
            du = da * (1 - a * a)
            return {"W": x.T @ du, "logstd": (du * eps * np.exp(P["logstd"])).sum(0) + self.alpha * dobjective.sum(), "Q": x.T @ (w * a)}
    return dict(model=SquashedActor(), x=r.normal(size=(5, 3)), eps=r.normal(size=(5, 2)))


def mk_charrnn(seed=0):
    r = np.random.default_rng(seed)
    class CharRNN:
        def __init__(self):
            self.params = dict(Wh=r.normal(size=(3, 3)) * .5, Wx=r.normal(size=(2, 3)), Wy=r.normal(size=(3, 2)), by=r.normal(size=2))
        def objective(self, x, eps, beta=1.0):
            p = self.params; h = eps; hs = [h]; outs = []; obj = np.zeros(len(x))
            X = x.reshape(len(x), -1, 2)
            for t in range(X.shape[1] - 1):
                h = np.tanh(h @ p["Wh"] + X[:, t] @ p["Wx"]); hs.append(h)
                o = h @ p["Wy"] + p["by"]; outs.append(o)
                obj -= .5 * ((X[:, t + 1] - o) ** 2).sum(1)
            return SimpleNamespace(objective=obj), (X, hs, outs)
        def backward(self, dobjective, cache):
            X, hs, outs = cache; p = self.params
            g = {k: np.zeros_like(v) for k, v in p.items()}
            dh = np.zeros_like(hs[0])
            for t in range(len(outs))[::-1]:
                do = dobjective[:, None] * (X[:, t + 1] - outs[t])
                g["Wy"] += hs[t + 1].T @ do
                g["by"] = do.sum(0)
                da = (dh + do @ p["Wy"].T) * (1 - hs[t + 1] ** 2)
                g["Wh"] += hs[t].T @ da; g["Wx"] += X[:, t].T @ da
                dh = da @ p["Wh"].T
            return g
    return dict(model=CharRNN(), x=r.normal(size=(3, 8)), eps=r.normal(size=(3, 3)))


def mk_mlp_closures(seed=0):
    r = np.random.default_rng(seed)
    def forward(x, layers):
        pulls = []
        for i in range(3):
            W, b = layers[f"W{i}"], layers[f"b{i}"]
            def pull(d, x=x, W=W, y=np.arctan(x @ W + b), i=i, pre=x @ W + b):
                dz = d / (1 + pre ** 2)
                return dz @ W.T, {f"W{i}": x.T @ dz, f"b{i}": dz.sum(0)}
            x = np.arctan(x @ W + b); pulls.append(pull)
        return x, pulls
    def backward(d, pulls):
        g = {}
        for p in pulls[::-1]:
            d, gi = p(d); g.update(gi)
        return {"x": d, "layers": g}
    n = [3, 4, 3, 2]
    L = {f"W{i}": r.normal(size=(n[i], n[i+1])) for i in range(3)}; L.update({f"b{i}": r.normal(size=n[i+1]) for i in range(3)})
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(4, 3)), layers=L))


def mk_ppo(seed=0):
    r = np.random.default_rng(seed)
    def forward(logp, old, adv):
        ratio = np.exp(logp - old)
        s1, s2 = ratio * adv, np.clip(ratio, .8, 1.2) * adv
        return -np.minimum(s1, s2).mean(), (ratio, adv, s1 <= s2)
    def backward(dl, cache):
        ratio, adv, live = cache
        return {"logp": -dl * live * ratio * adv / len(adv)}
    old = r.normal(size=8)
    return dict(forward=forward, backward=backward, inputs=dict(logp=old + np.log(np.array([.5, .6, .9, 1., 1.1, 1.15, 1.4, 1.6]))), constants=dict(old=old, adv=r.choice([-1, 1], 8) * r.uniform(.5, 2, 8)))


def mk_tdlambda(seed=0):
    r = np.random.default_rng(seed)
    def M(T, g, l):
        i = np.arange(T); d = i[None] - i[:, None]
        return np.where(d >= 0, (g * l) ** np.maximum(d, 0), 0.)
    def forward(rew, val, g, l):
        A = M(len(rew), g, l)
        return A @ (rew + g * val[1:] - val[:-1]) + val[:-1], (A, g)
    def backward(dG, cache):
        A, g = cache
        d = A.T @ dG
        return d, np.append(dG - d, 0) + np.append(0, g * d)
    return dict(forward=forward, backward=backward, inputs=dict(rew=r.normal(size=6), val=r.normal(size=7)), constants=dict(g=.9, l=.8))


def mk_quat(seed=0):
    r = np.random.default_rng(seed)
    def forward(q, v):
        w, u = q[0], q[1:]
        t = 2 * np.cross(u, v)
        return v + w * t + np.cross(u, t), (w, u, v, t)
    def backward(dy, cache):
        w, u, v, t = cache
        dt = w * dy + np.cross(dy, u)
        du = np.cross(t, dy).sum(0) + 2 * np.cross(v, dt).sum(0)
        return np.concatenate([[(dy * t).sum()], du]), dy + 2 * np.cross(dt, u)
    return dict(forward=forward, backward=backward, inputs=dict(q=r.normal(size=4), v=r.normal(size=(5, 3))))


def mk_heun(seed=0):
    r = np.random.default_rng(seed)
    def forward(y, th):
        f = lambda u: th[0] * u - th[1] * u * u
        ys = [y]
        for _ in range(5):
            k = f(ys[-1]); ys.append(ys[-1] + .05 * (k + f(ys[-1] + .1 * k)))
        return ys[-1], (ys, th)
    def backward(d, cache):
        ys, (a, b) = cache
        g = np.zeros(2)
        for y in ys[-2::-1]:
            k = a * y - b * y * y; m = y + .1 * k
            dk2 = .05 * d
            dm = dk2 * (a - 2 * b * m)
            dk = .05 * d + .1 * dm
            g += [(dk2 * m + dk * y).sum(), -(dk2 * m * m + dk * y * y).sum()]
            d = d + dm + dk * (a - 2 * b * y)
        return {"th": g, "y": d}
    return dict(forward=forward, backward=backward, inputs=dict(y=r.uniform(.2, 1, 4), th=np.array([1.2, .7])))


def mk_wavenet(seed=0):
    r = np.random.default_rng(seed)
    def sh(x, d):
        return np.concatenate([np.zeros(d), x[:-d]])
    def forward(x, w, v):
        acts = []
        for i, d in enumerate((1, 2, 4)):
            a = np.tanh(w[i, 0] * x + w[i, 1] * sh(x, d)); s = 1 / (1 + np.exp(-v[i] * x))
            acts.append((x, a, s, d)); x = x + a * s
        return x, (acts, w, v)
    def backward(dy, cache):
        acts, w, v = cache
        dw, dv = np.zeros_like(w), np.zeros_like(v)
        for i in (2, 1, 0):
            x, a, s, d = acts[i]
            da = dy * s * (1 - a * a); ds = dy * a * s * (1 - s)
            dw[i] = da @ x, da @ sh(x, d); dv[i] = ds @ x
            back = np.concatenate([da[d:], np.zeros(d)])
            dy = dy + w[i, 0] * da + w[i, 1] * back + v[i] * ds
        return dy, dw, dv
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=9), w=r.normal(size=(3, 2)), v=r.normal(size=3)))


def mk_ddsp(seed=0):
    r = np.random.default_rng(seed)
    def forward(f0, amp):
        ph = np.cumsum(f0); k = np.arange(1, amp.shape[1] + 1)
        P = ph[:, None] * k
        return (amp * np.sin(P)).sum(1), (P, k, amp)
    def backward(dy, cache):
        P, k, amp = cache
        dph = dy * (amp * np.cos(P) * k).sum(1)
        return dph.sum() - np.cumsum(dph) + dph, dy[:, None] * np.sin(P)
    return dict(forward=forward, backward=backward, inputs=dict(f0=r.uniform(.1, .5, 8), amp=r.uniform(size=(8, 3))))


def mk_sharpe(seed=0):
    r = np.random.default_rng(seed)
    def forward(theta, R):
        e = np.exp(theta - theta.max()); w = e / e.sum()
        p = R @ w
        return p.mean() / p.std(ddof=1), (R, w, p)
    def backward(g, cache):
        R, w, p = cache; n = len(p); s = p.std(ddof=1); m = p.mean()
        dp = g * (1 / (n * s) - m * (p - m) / ((n - 1) * s ** 3))
        dw = dp @ R
        return w * (dw - w @ dw)
    return dict(forward=forward, backward=backward, inputs=dict(theta=r.normal(size=5)), constants=dict(R=.3 + r.normal(size=(12, 5))))


def mk_triplet(seed=0):
    r = np.random.default_rng(seed)
    def forward(a, p, n):
        v = ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1) + .2
        return np.logaddexp(0, v).mean(), (a, p, n, v)
    def backward(dl, c):
        a, p, n, v = c
        g = (2 * dl / len(v) / (1 + np.exp(-v)))[:, None]
        return {"n": g * (a - n), "p": g * (p - a), "a": g * (n - p)}
    return dict(forward=forward, backward=backward, inputs={k: r.normal(size=(4, 3)) for k in "apn"})


def mk_planar(seed=0):
    r = np.random.default_rng(seed)
    def forward(z, u, w, b):
        h = np.tanh(z @ w + b)
        D = 1 + (1 - h * h) * (u @ w)
        return np.column_stack([z + h[:, None] * u, np.log(np.abs(D))]), (z, u, w, h, D)
    def backward(dy, cache):
        z, u, w, h, D = cache
        df, dl = dy[:, :-1], dy[:, -1]
        dD = dl / D
        dh = df @ u - 2 * h * (u @ w) * dD
        da = dh * (1 - h * h); duw = (dD * (1 - h * h)).sum()
        return df + np.outer(da, w), df.T @ h + duw * w, z.T @ da + duw * u, np.array(da.sum())
    return dict(forward=forward, backward=backward, inputs=dict(z=r.normal(size=(4, 3)), u=r.normal(size=3) * .5, w=r.normal(size=3) * .5, b=np.array(.3)))


def mk_asian(seed=0):
    r = np.random.default_rng(seed)
    class AsianCall:
        def __init__(self):
            self.params = {"logS": np.array([.1]), "logvol": np.array([-1.]), "k": np.array([1.])}
        def objective(self, x, eps):
            P = self.params; v = np.exp(P["logvol"]); n = eps.shape[1]; t = np.arange(1, n + 1) / n
            B = np.cumsum(eps, 1) / np.sqrt(n)
            S = np.exp(P["logS"] + x[:, :1] * t - v ** 2 / 2 * t + v * B)
            m = S.mean(1) - P["k"]
            return SimpleNamespace(objective=np.logaddexp(0, 5 * m) / 5), (S, B, t, v, m)
        def backward(self, d, c):
            S, B, t, v, m = c
            dm = d / (1 + np.exp(-5 * m))
            dS = dm[:, None] * S / S.shape[1]
            return {"logS": dS.sum(keepdims=True)[0], "logvol": v * (dS * (B - v * t)).sum(), "k": -dm.sum(keepdims=True)}
    return dict(model=AsianCall(), x=r.normal(size=(5, 1)) * .1, eps=r.normal(size=(5, 4)))


def mk_linvae(seed=0):
    r = np.random.default_rng(seed)
    class LinearVAE:
        def __init__(self):
            self.params = {"V": r.normal(size=(2, 4)) * .5, "W": r.normal(size=(4, 2)), "m": r.normal(size=4), "ls": np.zeros(2) - .3}
        def objective(self, x, eps, beta=1.0):
            p = self.params; c = x - p["m"]
            mu = c @ p["V"].T; s = np.exp(p["ls"]); z = mu + s * eps
            e = c - z @ p["W"].T
            nll = .5 * np.einsum("bd,bd->b", e, e) + 2 * np.log(2 * np.pi)
            kl = .5 * (mu ** 2 + s ** 2 - 1).sum(1) - p["ls"].sum()
            return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (c, mu, s, z, e, eps, beta)
        def backward(self, dobjective, cache):
            c, mu, s, z, e, eps, beta = cache; p = self.params
            E = e * dobjective[:, None]
            dz = E @ p["W"]; dmu = dz - beta * dobjective[:, None] * mu
            return {"W": E.T @ z, "V": dmu.T @ c, "m": (E - dmu @ p["V"]).sum(0), "ls": s * (dz * eps).sum(0) - beta * dobjective.sum() * (s ** 2 - 1)}
    return dict(model=LinearVAE(), x=r.normal(size=(5, 4)), eps=r.normal(size=(5, 2)))


ITEMS = [
    Item('nvp_step', 'normalizing flow repository', 'vjp', mk_nvp, False,
         "the log-determinant's one is missing from ds", ('x', 'Ws'), ('missing-term', 'unknown')),
    Item('ppo_net', 'PPO repository', 'vjp', mk_ppo, True),
    Item('lstm_step', 'numpy LSTM blog post', 'vjp', mk_lstm, False,
         "the cell's gradient from the later step is multiplied by the input gate in place of the forget gate", ('x', 'W', 'U', 'b'), ('elementwise-factor', 'unknown')),
    Item('quat_net', 'graphics lecture', 'vjp', mk_quat, True),
    Item('attn2_net', 'nanoGPT-like', 'vjp', mk_attn2, True),
    Item('a2c_step', 'RL research code', 'vjp', mk_a2c, False,
         'the entropy bonus is differentiated with the wrong sign', ('logits',), ('missing-term', 'sign', 'unknown')),
    Item('triplet_net', 'metric learning', 'vjp', mk_triplet, True),
    Item('charrnn_step', 'character model', 'gradients', mk_charrnn, False,
         "the output bias adds only the last step's gradient", ('by',), ('missing-term', 'batch-sum', 'unknown')),
    Item('bezier_step', 'graphics lecture', 'vjp', mk_bezier, False,
         'the degree 3 before the differences of the control points is missing from dt', ('t',), ('factor', 'elementwise-factor')),
    Item('rk4_step', 'neural ODE code', 'vjp', mk_rk4, False,
         'k4 is evaluated at y + h k3, but its gradient goes to k3 with h/2', ('y', 'A', 'b'), ('factor', 'elementwise-factor', 'missing-term', 'unknown')),
    Item('nerf_step', 'NeRF reimplementation', 'vjp', mk_nerf, False,
         'what lies behind a sample is not dimmed by its density: the suffix sum is missing', ('sigma',), ('missing-term',)),
    Item('lqr_step', 'optimal control course', 'vjp', mk_lqr, False,
         'the costate goes back with A in place of A transposed', ('x0', 'u', 'A', 'B'), ('transpose', 'unknown')),
    Item('cam_step', 'structure from motion', 'vjp', mk_cam, False,
         'the depth misses the path through the row coordinate; both image coordinates depend on it', ('pts', 'R', 't'), ('missing-term', 'unknown')),
    Item('vae_step', 'VAE tutorial', 'gradients', mk_vae, False,
         'the slope of exp(logvar/2) is half of it: the half is missing on the path through z', ('Wl', 'bl', 'W1', 'b1'), ('elementwise-factor', 'factor', 'missing-term', 'unknown')),
    Item('lnmlp_step', 'layer library', 'vjp', mk_lnmlp, False,
         "gamma's and only gamma's gradient is averaged over the rows; a sum is right", ('gamma',), ('batch-sum', 'factor')),
    Item('attn_step', 'nanoGPT-like', 'vjp', mk_attn, False,
         'the 1/sqrt(d) is missing from dK', ('k',), ('factor', 'elementwise-factor')),
    Item('planar_net', 'normalizing flow repository', 'vjp', mk_planar, True),
    Item('asian_net', 'quant finance notebook', 'gradients', mk_asian, True),
    Item('tdlambda_net', 'RL textbook exercise', 'vjp', mk_tdlambda, True),
    Item('gru_step', 'seq2seq from scratch', 'vjp', mk_gru, False,
         'h gets no gradient through the reset gate', ('h',), ('missing-term',)),
    Item('clip_step', 'CLIP reimplementation', 'vjp', mk_clip, False,
         'only the image-to-text half of the loss reaches the text vectors', ('txt',), ('missing-term', 'unknown')),
    Item('wavenet_net', 'audio research code', 'vjp', mk_wavenet, True),
    Item('nerf2_net', 'NeRF reimplementation', 'vjp', mk_nerf2, True),
    Item('verlet_step', 'differentiable physics', 'vjp', mk_verlet, False,
         'the stiffness gradient is set in place of summed over the steps', ('k',), ('missing-term', 'unknown')),
    Item('policy_step', 'continuous control (SAC-like)', 'gradients', mk_policy, False,
         "the tanh correction's path into the pre-activation is missing: + 2 alpha tanh(u)", ('W', 'logstd'), ('missing-term', 'unknown')),
    Item('cvae_step', 'research repository with tape', 'gradients', mk_cvae, False,
         "the KL's gradient in mu is not weighted by the row's dobjective", ('enc_mu_w',), ('batch-sum', 'elementwise-factor', 'missing-term', 'unknown')),
    Item('vae2_net', 'VAE tutorial', 'gradients', mk_vae2, True),
    Item('bs_step', 'quant finance notebook', 'vjp', mk_bs, False,
         'vega lacks sqrt(T)', ('sigma',), ('elementwise-factor',)),
    Item('linvae_net', 'linear VAE paper', 'gradients', mk_linvae, True),
    Item('lambert_step', 'renderer', 'vjp', mk_lambert, False,
         "the normal's gradient lacks the division by its length", ('normal',), ('elementwise-factor',)),
    Item('gae_step', 'PPO repository', 'vjp', mk_gae, False,
         'the done mask is missing where the advantage is passed on', ('rewards', 'values'), ('elementwise-factor', 'missing-term', 'unknown')),
    Item('nvp2_net', 'normalizing flow repository', 'vjp', mk_nvp2, True),
    Item('iir_step', 'audio plug-in code', 'vjp', mk_iir, False,
         'y[n] has -a y[n-k], so da has a minus', ('a',), ('sign',)),
    Item('ddsp_net', 'DDSP-like synthesiser', 'vjp', mk_ddsp, True),
    Item('rnn_step', 'CS231n assignment', 'vjp', mk_rnn, False,
         'transpose: Wh must be transposed in the step back', ('x', 'h0', 'Wx', 'Wh', 'b'), ('transpose', 'unknown')),
    Item('block_step', 'transformer homework', 'vjp', mk_block, False,
         'the residual path around the MLP is left out of dx', ('x',), ('missing-term',)),
    Item('mlp_closures_net', 'closure-style autodiff blog', 'vjp', mk_mlp_closures, True),
    Item('crf_step', 'NLP toolkit', 'vjp', mk_crf, False,
         'the pair marginals are stored [to, from]; the transitions are [from, to]', ('trans',), ('transpose',)),
    Item('sgns_step', 'word2vec homework (CS224n)', 'vjp', mk_sgns, False,
         'repeated words overwrite each other in the scatter: np.add.at is right', ('V',), ('batch-sum', 'missing-term')),
    Item('heun_net', 'neural ODE code', 'vjp', mk_heun, True),
    Item('sharpe_net', 'portfolio notebook', 'vjp', mk_sharpe, True),
    Item('gmm_step', 'statistics textbook', 'vjp', mk_gmm, False,
         'the normaliser of the mixing weights is missing: resp.sum - N pi', ('alpha',), ('missing-term',)),
]
