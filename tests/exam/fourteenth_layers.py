"""Fourteenth paper: single layers and small functions, check "vjp" (34 wrong, 20 right)."""
from typing import Callable, NamedTuple

import numpy as np
from scipy.special import digamma, erf, expit, gammaln, logsumexp
from scipy.special import softmax as sp_softmax


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


def wrong_item(name, style, slip, wrong, causes):
    def put(make):
        ITEMS.append(Item(name, style, "vjp", make, False, slip, wrong, causes))
        return make
    return put


def right_item(name, style):
    def put(make):
        ITEMS.append(Item(name, style, "vjp", make, True))
        return make
    return put


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def R(seed):
    return np.random.default_rng(14000 + seed)


# ---------------------------------------------------------------- wrong ones

@wrong_item("groupnorm_count", "CS231n assignment",
            "the group size D is C*H*W in the backward, should be C//G*H*W", ("x",),
            ("missing-term", "elementwise-factor"))
def _():
    def spatial_groupnorm_forward(x, gamma, beta, G, eps):
        N, C, H, W = x.shape
        xg = x.reshape(N, G, -1)
        mu = xg.mean(axis=2, keepdims=True)
        std = np.sqrt(xg.var(axis=2, keepdims=True) + eps)
        xhat = ((xg - mu) / std).reshape(N, C, H, W)
        out = gamma[None, :, None, None] * xhat + beta[None, :, None, None]
        return out, (xhat, std, gamma, G)

    def spatial_groupnorm_backward(dout, cache):
        xhat, std, gamma, G = cache
        N, C, H, W = dout.shape
        dbeta = dout.sum(axis=(0, 2, 3))
        dgamma = (dout * xhat).sum(axis=(0, 2, 3))
        dxhat = (dout * gamma[None, :, None, None]).reshape(N, G, -1)
        xg = xhat.reshape(N, G, -1)
        D = C * H * W
        dx = (D * dxhat - dxhat.sum(2, keepdims=True) - xg * (dxhat * xg).sum(2, keepdims=True)) / (D * std)
        return dx.reshape(N, C, H, W), dgamma, dbeta

    r = R(1)
    return dict(forward=spatial_groupnorm_forward, backward=spatial_groupnorm_backward,
                inputs=dict(x=r.normal(0.3, 1.2, (2, 4, 2, 3)), gamma=r.normal(1, .4, 4), beta=r.normal(size=4)),
                constants=dict(G=2, eps=1e-5))


@wrong_item("label_smoothing_ce", "timm-like training code",
            "backward subtracts the one-hot labels, should subtract the smoothed targets", ("logits",),
            ("missing-term",))
def _():
    def forward(logits, target, smoothing):
        logp = logits - logsumexp(logits, axis=1, keepdims=True)
        n, k = logits.shape
        nll = -logp[np.arange(n), target]
        smooth = -logp.mean(axis=1)
        loss = ((1 - smoothing) * nll + smoothing * smooth).mean()
        return loss, (logp, target, smoothing)

    def backward(dloss, cache):
        logp, target, smoothing = cache
        n, k = logp.shape
        onehot = np.eye(k)[target]
        grad = np.exp(logp) - onehot
        return dloss * grad / n

    r = R(2)
    return dict(forward=forward, backward=backward, inputs=dict(logits=r.normal(size=(5, 4))),
                constants=dict(target=np.array([2, 0, 3, 3, 1]), smoothing=0.2))


@wrong_item("causal_attention_dk", "nanoGPT in NumPy",
            "dk is not multiplied by 1/sqrt(d), should be as dq is", ("k",), ("factor",))
def _():
    def forward(q, k, v):
        T, d = q.shape[1:]
        scale = 1.0 / np.sqrt(d)
        att = (q @ k.transpose(0, 2, 1)) * scale
        att = np.where(np.tril(np.ones((T, T), bool)), att, -1e30)
        p = softmax(att)
        return p @ v, (q, k, v, p, scale)

    def backward(dy, cache):
        q, k, v, p, scale = cache
        dv = p.transpose(0, 2, 1) @ dy
        dp = dy @ v.transpose(0, 2, 1)
        datt = p * (dp - (dp * p).sum(-1, keepdims=True))
        dq = datt @ k * scale
        dk = datt.transpose(0, 2, 1) @ q
        return dict(q=dq, k=dk, v=dv)

    r = R(3)
    return dict(forward=forward, backward=backward,
                inputs=dict(q=r.normal(size=(2, 4, 5)), k=r.normal(size=(2, 4, 5)), v=r.normal(size=(2, 4, 3))))


@wrong_item("relative_position_bias", "Swin / T5 port",
            "dtable[rel] += keeps only one of the repeated offsets, should be np.add.at", ("table",),
            ("batch-sum", "missing-term"))
def _():
    def forward(scores, table, rel):
        bias = table[rel].transpose(2, 0, 1)
        p = softmax(scores + bias)
        return p, (p, table, rel)

    def backward(dp, cache):
        p, table, rel = cache
        ds = p * (dp - np.sum(dp * p, axis=-1, keepdims=True))
        dtable = np.zeros_like(table)
        dtable[rel] += ds.transpose(1, 2, 0)
        return {"scores": ds, "table": dtable}

    r = R(4)
    T = 4
    rel = np.arange(T)[:, None] - np.arange(T)[None, :] + T - 1
    return dict(forward=forward, backward=backward,
                inputs=dict(scores=r.normal(size=(2, T, T)), table=r.normal(size=(2 * T - 1, 2))),
                constants=dict(rel=rel))


@wrong_item("rotary_embedding", "LLaMA reimplementation",
            "backward rotates by +theta as the forward does, should rotate back (minus the sine part)", ("x",),
            ("transpose", "sign"))
def _():
    def rotate_half(x):
        x1, x2 = np.split(x, 2, axis=-1)
        return np.concatenate([-x2, x1], axis=-1)

    def apply_rope(x, base):
        T, D = x.shape[1:]
        inv_freq = base ** (-np.arange(0, D, 2) / D)
        freqs = np.outer(np.arange(T), inv_freq)
        emb = np.concatenate([freqs, freqs], axis=-1)
        cos, sin = np.cos(emb), np.sin(emb)
        return x * cos + rotate_half(x) * sin, (cos, sin)

    def apply_rope_backward(dy, cache):
        cos, sin = cache
        return dy * cos + rotate_half(dy) * sin

    return dict(forward=apply_rope, backward=apply_rope_backward,
                inputs=dict(x=R(5).normal(size=(2, 5, 6))), constants=dict(base=20.0))


@wrong_item("lstm_peephole", "from-scratch RNN blog post",
            "dc lacks the path through the output gate's peephole, + do * p[2]", ("z", "c_prev", "p"),
            ("missing-term",))
def _():
    def forward(z, c_prev, p):
        zi, zf, zg, zo = np.split(z, 4, axis=1)
        i = expit(zi + p[0] * c_prev)
        f = expit(zf + p[1] * c_prev)
        g = np.tanh(zg)
        c = f * c_prev + i * g
        o = expit(zo + p[2] * c)
        tc = np.tanh(c)
        return o * tc, (i, f, g, o, c, tc, c_prev, p)

    def backward(dh, cache):
        i, f, g, o, c, tc, c_prev, p = cache
        do = dh * tc * o * (1 - o)
        dc = dh * o * (1 - tc ** 2)
        di = dc * g * i * (1 - i)
        df = dc * c_prev * f * (1 - f)
        dg = dc * i * (1 - g ** 2)
        dc_prev = dc * f + di * p[0] + df * p[1]
        dp = np.stack([(di * c_prev).sum(0), (df * c_prev).sum(0), (do * c).sum(0)])
        return np.hstack([di, df, dg, do]), dc_prev, dp

    r = R(6)
    return dict(forward=forward, backward=backward,
                inputs=dict(z=r.normal(size=(4, 12)), c_prev=r.normal(size=(4, 3)), p=r.normal(size=(3, 3))))


@wrong_item("smooth_l1_beta", "torchvision detection port",
            "inside |d| < beta the slope is d, should be d / beta", ("pred", "target"),
            ("elementwise-factor",))
def _():
    def smooth_l1(pred, target, beta):
        d = pred - target
        n = np.abs(d)
        loss = np.where(n < beta, 0.5 * n ** 2 / beta, n - 0.5 * beta)
        return loss.sum(axis=1), (d, beta)

    def smooth_l1_backward(dloss, cache):
        d, beta = cache
        slope = np.where(np.abs(d) < beta, d, np.sign(d))
        g = dloss[:, None] * slope
        return {"pred": g, "target": -g}

    r = R(7)
    return dict(forward=smooth_l1, backward=smooth_l1_backward,
                inputs=dict(pred=r.normal(size=(5, 4)), target=r.normal(size=(5, 4)) * .3), constants=dict(beta=0.7))


@wrong_item("sigmoid_focal_loss", "RetinaNet reimplementation",
            "the modulating factor (1-pt)^gamma is held constant; its own derivative, gamma (1-pt)^(gamma-1) log pt, should be added",
            ("logits",), ("missing-term", "elementwise-factor"))
def _():
    def focal_forward(logits, targets, alpha, gamma):
        p = expit(logits)
        pt = np.where(targets == 1, p, 1 - p)
        at = np.where(targets == 1, alpha, 1 - alpha)
        loss = -at * (1 - pt) ** gamma * np.log(pt)
        return loss.mean(), (p, pt, at, targets, gamma)

    def focal_backward(dloss, cache):
        p, pt, at, targets, gamma = cache
        dpt = -at * (1 - pt) ** gamma / pt
        dlogits = dpt * np.where(targets == 1, 1, -1) * p * (1 - p)
        return dloss * dlogits / dlogits.size

    r = R(8)
    return dict(forward=focal_forward, backward=focal_backward, inputs=dict(logits=r.normal(size=(4, 3))),
                constants=dict(targets=r.integers(0, 2, (4, 3)), alpha=0.25, gamma=2.0))


@wrong_item("cox_partial_likelihood", "survival analysis package",
            "the events' hazards are accumulated from the front, should be from the end (all later i in whose risk set a subject stands)",
            ("X", "beta"), ("batch-sum", "transpose", "missing-term"))
def _():
    # rows sorted by decreasing survival time: risk set of i is 0..i
    def cox_loss(X, beta, event):
        eta = X @ beta
        risk = np.cumsum(np.exp(eta))
        loss = -np.sum(event * (eta - np.log(risk)))
        return loss, (X, beta, eta, risk, event)

    def cox_grad(dloss, cache):
        X, beta, eta, risk, event = cache
        haz = np.cumsum(event / risk)
        deta = -(event - np.exp(eta) * haz) * dloss
        return dict(X=np.outer(deta, beta), beta=X.T @ deta)

    r = R(9)
    return dict(forward=cox_loss, backward=cox_grad,
                inputs=dict(X=r.normal(size=(7, 3)), beta=np.array([0.6, -0.4, 0.9])),
                constants=dict(event=np.array([1, 0, 1, 1, 0, 1, 1])))


@wrong_item("black_scholes_theta", "quant finance script",
            "dT is the trader's theta (per passing of time), should be minus it: the derivative by time to expiry", ("T",),
            ("sign",))
def _():
    def ncdf(x):
        return 0.5 * (1 + erf(x / np.sqrt(2)))

    def npdf(x):
        return np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)

    def bs_call(S, sigma, T, rate, K):
        d1 = (np.log(S / K) + (rate + 0.5 * sigma ** 2) * T) / (sigma * np.sqrt(T))
        d2 = d1 - sigma * np.sqrt(T)
        price = S * ncdf(d1) - K * np.exp(-rate * T) * ncdf(d2)
        return price, (S, sigma, T, rate, K, d1, d2)

    def bs_greeks(dprice, cache):
        S, sigma, T, rate, K, d1, d2 = cache
        disc = K * np.exp(-rate * T) * ncdf(d2)
        delta = ncdf(d1)
        vega = S * npdf(d1) * np.sqrt(T)
        theta = -S * npdf(d1) * sigma / (2 * np.sqrt(T)) - rate * disc
        rho = T * disc
        return {"S": dprice * delta, "sigma": dprice * vega, "T": dprice * theta, "rate": dprice * rho}

    return dict(forward=bs_call, backward=bs_greeks,
                inputs=dict(S=np.array([1.0, .8, 1.3, 1.1]), sigma=np.array([.3, .5, .25, .4]),
                            T=np.array([.5, 1.2, .9, 2.]), rate=np.array([.03, .01, .05, .02])),
                constants=dict(K=np.array([1.1, .9, 1.0, 1.2])))


@wrong_item("lennard_jones", "molecular dynamics toy",
            "the reaction on atom j is missing, should be dpos[j] -= g", ("pos",), ("missing-term", "batch-sum"))
def _():
    def energy(pos, eps, sigma):
        E = 0.0
        for i in range(len(pos)):
            for j in range(i + 1, len(pos)):
                rij = pos[i] - pos[j]
                sr6 = (sigma ** 2 / (rij @ rij)) ** 3
                E += 4 * eps * (sr6 ** 2 - sr6)
        return np.asarray(E), (pos, eps, sigma)

    def energy_grad(dE, cache):
        pos, eps, sigma = cache
        dpos = np.zeros_like(pos)
        for i in range(len(pos)):
            for j in range(i + 1, len(pos)):
                rij = pos[i] - pos[j]
                r2 = rij @ rij
                sr6 = (sigma ** 2 / r2) ** 3
                g = -24 * eps * (2 * sr6 ** 2 - sr6) / r2 * rij
                dpos[i] += g
        return {"pos": dE * dpos}

    pos = np.array([[0, 0, 0], [1.1, .2, -.1], [.1, 1.3, .4], [.9, 1.0, 1.2]]) + 0.05 * R(10).normal(size=(4, 3))
    return dict(forward=energy, backward=energy_grad, inputs=dict(pos=pos), constants=dict(eps=0.8, sigma=1.0))


@wrong_item("log_power_spectrum", "audio feature extractor",
            "irfft counts every inner bin twice; the inner bins of dX should be halved first", ("frames",),
            ("elementwise-factor", "missing-term"))
def _():
    def forward(frames, window, floor):
        n = frames.shape[1]
        X = np.fft.rfft(frames * window, axis=1)
        P = X.real ** 2 + X.imag ** 2
        return np.log(P + floor), (X, P, window, floor, n)

    def backward(dy, cache):
        X, P, window, floor, n = cache
        dX = 2 * X * dy / (P + floor)
        return n * np.fft.irfft(dX, n=n, axis=1) * window

    n = 8
    return dict(forward=forward, backward=backward, inputs=dict(frames=R(11).normal(size=(3, n))),
                constants=dict(window=0.54 - 0.46 * np.cos(2 * np.pi * np.arange(n) / (n - 1)), floor=0.1))


@wrong_item("volume_rendering", "NeRF reimplementation",
            "the light a sample takes from all samples behind it is left out of dalpha", ("raw",), ("missing-term",))
def _():
    def composite(raw, rgb, deltas):
        sigma = np.logaddexp(0, raw)
        alpha = 1 - np.exp(-sigma * deltas)
        trans = np.cumprod(1 - alpha, axis=1)
        trans = np.concatenate([np.ones((len(raw), 1)), trans[:, :-1]], axis=1)
        weights = alpha * trans
        return (weights[..., None] * rgb).sum(axis=1), (raw, rgb, deltas, alpha, trans, weights)

    def composite_backward(dcolor, cache):
        raw, rgb, deltas, alpha, trans, weights = cache
        drgb = weights[..., None] * dcolor[:, None, :]
        dw = (rgb * dcolor[:, None, :]).sum(-1)
        dalpha = dw * trans
        dww = dw * weights
        behind = dww[:, ::-1].cumsum(axis=1)[:, ::-1] - dww
        dsigma = dalpha * deltas * (1 - alpha)
        return dict(raw=dsigma * expit(raw), rgb=drgb)

    r = R(12)
    return dict(forward=composite, backward=composite_backward,
                inputs=dict(raw=r.normal(size=(3, 5)), rgb=r.uniform(size=(3, 5, 3))),
                constants=dict(deltas=r.uniform(.2, .6, (3, 5))))


@wrong_item("quaternion_rotate", "3D vision utilities",
            "dpoints = dy @ R.T, should be dy @ R as y = points @ R.T", ("points",), ("transpose",))
def _():
    def forward(q, points):
        norm = np.sqrt((q ** 2).sum())
        w, x, y, z = q / norm
        rot = np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]])
        return points @ rot.T, (q / norm, norm, rot, points)

    def backward(dout, cache):
        u, norm, rot, points = cache
        w, x, y, z = u
        G = dout.T @ points
        dw = 2 * (-z * G[0, 1] + y * G[0, 2] + z * G[1, 0] - x * G[1, 2] - y * G[2, 0] + x * G[2, 1])
        dx = 2 * (y * G[0, 1] + z * G[0, 2] + y * G[1, 0] - 2 * x * G[1, 1] - w * G[1, 2] + z * G[2, 0] + w * G[2, 1] - 2 * x * G[2, 2])
        dy = 2 * (-2 * y * G[0, 0] + x * G[0, 1] + w * G[0, 2] + x * G[1, 0] + z * G[1, 2] - w * G[2, 0] + z * G[2, 1] - 2 * y * G[2, 2])
        dz = 2 * (-2 * z * G[0, 0] - w * G[0, 1] + x * G[0, 2] + w * G[1, 0] - 2 * z * G[1, 1] + y * G[1, 2] + x * G[2, 0] + y * G[2, 1])
        du = np.array([dw, dx, dy, dz])
        return {"q": (du - u * (u @ du)) / norm, "points": dout @ rot.T}

    r = R(13)
    return dict(forward=forward, backward=backward,
                inputs=dict(q=np.array([.9, -.4, .7, .3]), points=r.normal(size=(5, 3))))


@wrong_item("ppo_clip", "RL baseline (PPO)",
            "the gradient is cut wherever the ratio is outside the clip range, should be cut only where the clipped term is the smaller one",
            ("logp",), ("elementwise-factor", "zero"))
def _():
    def forward(logp, old_logp, adv, clip):
        ratio = np.exp(logp - old_logp)
        surr1 = ratio * adv
        surr2 = np.clip(ratio, 1 - clip, 1 + clip) * adv
        return -np.minimum(surr1, surr2).mean(), (ratio, surr1, surr2, adv, clip)

    def backward(dloss, cache):
        ratio, surr1, surr2, adv, clip = cache
        mask = (ratio > 1 - clip) & (ratio < 1 + clip)
        return {"logp": -dloss * mask * adv * ratio / ratio.size}

    return dict(forward=forward, backward=backward,
                inputs=dict(logp=np.array([-1.0, -.5, -2.1, -.3, -1.4, -.9])),
                constants=dict(old_logp=np.array([-1.5, -.1, -2.0, -1.0, -1.0, -.95]),
                               adv=np.array([.7, 1.2, -.4, -1.1, -.6, .5]), clip=0.2))


@wrong_item("gae_values", "RL baseline (PPO)",
            "d next_value is not masked by 1 - done, should be", ("values",), ("elementwise-factor", "missing-term"))
def _():
    def compute_gae(values, rewards, dones, gamma, lam):
        T = len(rewards)
        adv = np.zeros_like(rewards)
        last = np.zeros(rewards.shape[1])
        for t in reversed(range(T)):
            nonterm = 1.0 - dones[t]
            delta = rewards[t] + gamma * values[t + 1] * nonterm - values[t]
            last = delta + gamma * lam * nonterm * last
            adv[t] = last
        return adv, (dones, gamma, lam)

    def compute_gae_backward(dadv, cache):
        dones, gamma, lam = cache
        T, N = dadv.shape
        dvalues = np.zeros((T + 1, N))
        drewards = np.zeros((T, N))
        carry = np.zeros(N)
        for t in range(T):
            g = dadv[t] + carry
            nonterm = 1.0 - dones[t]
            drewards[t] = g
            dvalues[t] -= g
            dvalues[t + 1] += gamma * g
            carry = gamma * lam * nonterm * g
        return dvalues, drewards

    r = R(14)
    dones = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]])
    return dict(forward=compute_gae, backward=compute_gae_backward,
                inputs=dict(values=r.normal(size=(6, 3)), rewards=r.normal(size=(5, 3))),
                constants=dict(dones=dones, gamma=0.97, lam=0.9))


@wrong_item("sac_squashed_logprob", "RL baseline (SAC)",
            "the path of log_std through the action lacks the factor std (it is d/dstd)", ("log_std",),
            ("elementwise-factor", "missing-term"))
def _():
    def forward(mean, log_std, noise):
        std = np.exp(log_std)
        u = mean + std * noise
        a = np.tanh(u)
        logp = -0.5 * noise ** 2 - log_std - 0.5 * np.log(2 * np.pi) - np.log(1 - a ** 2 + 1e-6)
        return logp.sum(axis=1), (std, noise, a)

    def backward(dlogp, cache):
        std, noise, a = cache
        g = dlogp[:, None]
        du = g * 2 * a * (1 - a ** 2) / (1 - a ** 2 + 1e-6)
        return {"mean": du, "log_std": -g + du * noise}

    r = R(15)
    return dict(forward=forward, backward=backward,
                inputs=dict(mean=r.normal(size=(5, 2)) * .6, log_std=r.normal(-.7, .3, (5, 2))),
                constants=dict(noise=r.normal(size=(5, 2))))


@wrong_item("skipgram_negative_sampling", "word2vec in NumPy",
            "negatives get sigmoid - 1 like the positive pair, should get sigmoid - 0", ("W_in", "W_out"),
            ("missing-term", "elementwise-factor"))
def _():
    def forward(W_in, W_out, center, context, negs):
        h = W_in[center]
        pos = (h * W_out[context]).sum(1)
        neg = np.einsum("bd,bkd->bk", h, W_out[negs])
        loss = np.logaddexp(0, -pos).sum() + np.logaddexp(0, neg).sum()
        return loss / len(center), (W_in, W_out, center, context, negs, h, pos, neg)

    def backward(dloss, cache):
        W_in, W_out, center, context, negs, h, pos, neg = cache
        scale = dloss / len(center)
        gpos = (expit(pos) - 1) * scale
        gneg = (expit(neg) - 1) * scale
        dW_in, dW_out = np.zeros_like(W_in), np.zeros_like(W_out)
        np.add.at(dW_out, context, gpos[:, None] * h)
        np.add.at(dW_out, negs, gneg[:, :, None] * h[:, None, :])
        np.add.at(dW_in, center, gpos[:, None] * W_out[context] + np.einsum("bk,bkd->bd", gneg, W_out[negs]))
        return dict(W_in=dW_in, W_out=dW_out)

    r = R(16)
    return dict(forward=forward, backward=backward,
                inputs=dict(W_in=r.normal(size=(7, 3)), W_out=r.normal(size=(7, 3))),
                constants=dict(center=np.array([1, 4, 1, 6]), context=np.array([0, 5, 2, 3]),
                               negs=np.array([[3, 5], [2, 0], [6, 6], [1, 4]])))


@wrong_item("crf_transitions", "NLP tagger from scratch",
            "gold transitions are counted at [to, from], should be at [from, to]", ("trans",),
            ("transpose", "missing-term"))
def _():
    def crf_nll(emit, trans, tags):
        T, L = emit.shape
        alpha = np.zeros((T, L))
        alpha[0] = emit[0]
        for t in range(1, T):
            alpha[t] = emit[t] + logsumexp(alpha[t - 1][:, None] + trans, axis=0)
        logZ = logsumexp(alpha[-1])
        gold = emit[np.arange(T), tags].sum() + trans[tags[:-1], tags[1:]].sum()
        return logZ - gold, (emit, trans, tags, alpha, logZ)

    def crf_nll_backward(dnll, cache):
        emit, trans, tags, alpha, logZ = cache
        T, L = emit.shape
        beta = np.zeros((T, L))
        for t in range(T - 2, -1, -1):
            beta[t] = logsumexp(trans + emit[t + 1] + beta[t + 1], axis=1)
        demit = np.exp(alpha + beta - logZ)
        demit[np.arange(T), tags] -= 1
        dtrans = np.zeros_like(trans)
        for t in range(1, T):
            dtrans += np.exp(alpha[t - 1][:, None] + trans + emit[t] + beta[t] - logZ)
            dtrans[tags[t], tags[t - 1]] -= 1
        return {"emit": dnll * demit, "trans": dnll * dtrans}

    r = R(17)
    return dict(forward=crf_nll, backward=crf_nll_backward,
                inputs=dict(emit=r.normal(size=(6, 3)), trans=r.normal(size=(3, 3))),
                constants=dict(tags=np.array([0, 1, 1, 2, 0, 1])))


@wrong_item("depthwise_conv2d", "MobileNet in NumPy",
            "dw[:, i, j] = overwrites the earlier images' share, should be +=", ("w",), ("batch-sum",))
def _():
    def forward(x, w, b):
        N, C, H, W = x.shape
        kh, kw = w.shape[1:]
        oh, ow = H - kh + 1, W - kw + 1
        out = np.zeros((N, C, oh, ow)) + b[None, :, None, None]
        for i in range(kh):
            for j in range(kw):
                out += x[:, :, i:i + oh, j:j + ow] * w[None, :, i, j, None, None]
        return out, (x, w)

    def backward(dout, cache):
        x, w = cache
        oh, ow = dout.shape[2:]
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for n in range(x.shape[0]):
            for i in range(w.shape[1]):
                for j in range(w.shape[2]):
                    dw[:, i, j] = (dout[n] * x[n, :, i:i + oh, j:j + ow]).sum(axis=(1, 2))
                    dx[n, :, i:i + oh, j:j + ow] += dout[n] * w[:, i, j][:, None, None]
        return dx, dw, dout.sum(axis=(0, 2, 3))

    r = R(18)
    return dict(forward=forward, backward=backward,
                inputs=dict(x=r.normal(size=(3, 2, 3, 3)), w=r.normal(size=(2, 2, 2)), b=r.normal(size=2)))


@wrong_item("avgpool_exclude_pad", "ONNX operator reference",
            "backward divides by k*k everywhere, should divide by the number of unpadded cells in each window", ("x",),
            ("elementwise-factor",))
def _():
    def avg_pool(x, k, stride, pad):
        N, C, H, W = x.shape
        oh = (H + 2 * pad - k) // stride + 1
        ow = (W + 2 * pad - k) // stride + 1
        xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        ones = np.pad(np.ones((H, W)), pad)
        out, count = np.zeros((N, C, oh, ow)), np.zeros((oh, ow))
        for i in range(oh):
            for j in range(ow):
                sl = (slice(i * stride, i * stride + k), slice(j * stride, j * stride + k))
                count[i, j] = ones[sl].sum()
                out[:, :, i, j] = xp[(slice(None), slice(None)) + sl].sum(axis=(2, 3)) / count[i, j]
        return out, (x.shape, count, k, stride, pad)

    def avg_pool_grad(dy, cache):
        (N, C, H, W), count, k, stride, pad = cache
        dxp = np.zeros((N, C, H + 2 * pad, W + 2 * pad))
        for i in range(dy.shape[2]):
            for j in range(dy.shape[3]):
                dxp[:, :, i * stride:i * stride + k, j * stride:j * stride + k] += \
                    dy[:, :, i, j, None, None] / (k * k)
        return dxp[:, :, pad:pad + H, pad:pad + W]

    return dict(forward=avg_pool, backward=avg_pool_grad, inputs=dict(x=R(19).normal(size=(2, 1, 5, 4))),
                constants=dict(k=3, stride=2, pad=1))


@wrong_item("gem_pooling_p", "image retrieval research repo",
            "dp lacks the derivative of the outer power 1/p, - y log(m) / p^2", ("p",), ("missing-term",))
def _():
    def gem(x, p, eps):
        xc = np.maximum(x, eps)
        m = (xc ** p).mean(axis=-1)
        return m ** (1 / p), (x, xc, m, p, eps)

    def gem_backward(dy, cache):
        x, xc, m, p, eps = cache
        y = m ** (1 / p)
        dm = dy * y / (p * m)
        L = x.shape[-1]
        dx = dm[..., None] * p * xc ** (p - 1) / L * (x > eps)
        dp = (dm * (xc ** p * np.log(xc)).mean(axis=-1)).sum()
        return {"x": dx, "p": np.array([dp])}

    r = R(20)
    return dict(forward=gem, backward=gem_backward,
                inputs=dict(x=r.normal(.8, 1, (3, 2, 6)), p=np.array([2.6])), constants=dict(eps=1e-3))


@wrong_item("gumbel_softmax_noise", "discrete latent blog post",
            "the Gumbel noise is drawn inside forward, should be an argument", ("logits",),
            ("noise-redrawn",))
def _():
    def gumbel_softmax(logits, tau):
        g = -np.log(-np.log(np.random.uniform(size=logits.shape)))
        y = softmax((logits + g) / tau)
        return y, (y, tau)

    def gumbel_softmax_backward(dy, cache):
        y, tau = cache
        return y * (dy - (dy * y).sum(-1, keepdims=True)) / tau

    r = R(21)
    return dict(forward=gumbel_softmax, backward=gumbel_softmax_backward,
                inputs=dict(logits=r.normal(size=(4, 3))), constants=dict(tau=0.8))


@wrong_item("residual_inplace", "framework port (in-place add)",
            "out is x itself, so += writes into the caller's x (and the cached one), should be x.copy()", ("W",),
            ("mutates-input",))
def _():
    def forward(x, W, b):
        h = np.tanh(x @ W + b)
        out = x
        out += h
        return out, (x, W, h)

    def backward(dout, cache):
        x, W, h = cache
        dz = dout * (1 - h ** 2)
        return {"x": dout + dz @ W.T, "W": x.T @ dz, "b": dz.sum(axis=0)}

    r = R(22)
    return dict(forward=forward, backward=backward,
                inputs=dict(x=r.normal(size=(5, 3)), W=r.normal(size=(3, 3)), b=r.normal(size=3)))


@wrong_item("embedding_bag_accumulate", "mini deep-learning framework",
            "self.grad is made once and added to by every backward, should be zeroed in each", ("weight",),
            ("accumulates",))
def _():
    class EmbeddingBag:
        def __init__(self, vocab, dim):
            self.grad = np.zeros((vocab, dim))

        def forward(self, weight, ids):
            return weight[ids].mean(axis=1), ids

        def backward(self, dy, ids):
            np.add.at(self.grad, ids, np.repeat(dy[:, None, :] / ids.shape[1], ids.shape[1], axis=1))
            return {"weight": self.grad}

    layer = EmbeddingBag(6, 3)
    return dict(forward=layer.forward, backward=layer.backward, inputs=dict(weight=R(23).normal(size=(6, 3))),
                constants=dict(ids=np.array([[0, 2, 2], [5, 1, 0], [3, 3, 3], [4, 2, 1]])))


@wrong_item("mel_energies_float32", "audio feature extractor",
            "the forward casts the energies to float32, should stay in float64", ("power", "fbank"),
            ("precision",))
def _():
    def forward(power, fbank, floor):
        mel = (power @ fbank).astype(np.float32)
        out = np.log(mel ** 2 + floor)
        return out, (power, fbank, mel, floor)

    def backward(dout, cache):
        power, fbank, mel, floor = cache
        dmel = dout * 2 * mel / (mel ** 2 + floor)
        return dict(power=dmel @ fbank.T, fbank=power.T @ dmel)

    r = R(24)
    return dict(forward=forward, backward=backward,
                inputs=dict(power=r.normal(size=(4, 6)), fbank=r.normal(size=(6, 3))), constants=dict(floor=0.5))


@wrong_item("matern32_kernel", "Gaussian process tutorial",
            "r is divided by without a guard, 0/0 on the diagonal; the r in dK/dr cancels and should be cancelled by hand",
            ("X",), ("non-finite",))
def _():
    def matern32(X, ell):
        diff = X[:, None, :] - X[None, :, :]
        r = np.sqrt((diff ** 2).sum(-1))
        a = np.sqrt(3) * r / ell
        return (1 + a) * np.exp(-a), (diff, r, a, ell)

    def matern32_backward(dK, cache):
        diff, r, a, ell = cache
        with np.errstate(all="ignore"):
            dK_dr = -3 * r / ell ** 2 * np.exp(-a)
            g = (dK * dK_dr / r)[:, :, None] * diff
        dX = g.sum(axis=1) - g.sum(axis=0)
        dell = (dK * a ** 2 / ell * np.exp(-a)).sum()
        return {"X": dX, "ell": np.array([dell])}

    return dict(forward=matern32, backward=matern32_backward,
                inputs=dict(X=R(25).normal(size=(5, 2)), ell=np.array([1.3])))


@wrong_item("sliced_wasserstein", "generative modelling repo",
            "the buffer is np.zeros_like(order), integers, which cuts the gradients to 0; should be float",
            ("x",), ("zero", "precision"))
def _():
    def forward(x, target, theta):
        px, py = x @ theta, target @ theta
        order = np.argsort(px, axis=0)
        diff = np.take_along_axis(px, order, axis=0) - np.sort(py, axis=0)
        return (diff ** 2).mean(), (diff, order, theta)

    def backward(dloss, cache):
        diff, order, theta = cache
        dpx = np.zeros_like(order)
        np.put_along_axis(dpx, order, dloss * 2 * diff / diff.size, axis=0)
        return {"x": dpx @ theta.T}

    r = R(26)
    th = r.normal(size=(2, 4))
    return dict(forward=forward, backward=backward, inputs=dict(x=r.normal(size=(6, 2))),
                constants=dict(target=r.normal(.5, 1.5, (6, 2)), theta=th / np.linalg.norm(th, axis=0)))


@wrong_item("rmsnorm_gain", "LLaMA reimplementation",
            "dg is summed over the batch only, should be summed over batch and time", ("g",), ("shape", "batch-sum"))
def _():
    def rmsnorm(x, g, eps):
        inv = 1 / np.sqrt((x ** 2).mean(-1, keepdims=True) + eps)
        xn = x * inv
        return xn * g, (xn, inv, g)

    def rmsnorm_backward(dy, cache):
        xn, inv, g = cache
        dg = (dy * xn).sum(axis=0)
        dxn = dy * g
        dx = inv * (dxn - xn * (dxn * xn).mean(-1, keepdims=True))
        return dx, dg

    r = R(27)
    return dict(forward=rmsnorm, backward=rmsnorm_backward,
                inputs=dict(x=r.normal(size=(3, 4, 5)), g=r.normal(1, .3, 5)), constants=dict(eps=1e-6))


@wrong_item("kl_two_gaussians", "latent dynamics (world model) repo",
            "dmu_p has the sign of dmu_q, should have the opposite one", ("mu_p",), ("sign",))
def _():
    def forward(mu_q, lv_q, mu_p, lv_p):
        d = mu_q - mu_p
        kl = 0.5 * (lv_p - lv_q + (np.exp(lv_q) + d ** 2) * np.exp(-lv_p) - 1)
        return kl.sum(axis=1), (d, lv_q, lv_p)

    def backward(dkl, cache):
        d, lv_q, lv_p = cache
        g = dkl[:, None]
        ip = np.exp(-lv_p)
        return {"mu_q": g * d * ip, "mu_p": g * d * ip,
                "lv_q": g * 0.5 * (np.exp(lv_q) * ip - 1),
                "lv_p": g * 0.5 * (1 - (np.exp(lv_q) + d ** 2) * ip)}

    r = R(28)
    return dict(forward=forward, backward=backward,
                inputs={k: r.normal(size=(5, 3)) * s for k, s in
                        [("mu_q", 1), ("lv_q", .5), ("mu_p", 1), ("lv_p", .5)]})


@wrong_item("clip_logit_scale", "CLIP reimplementation",
            "dlogit_scale lacks the factor exp(logit_scale)", ("logit_scale",), ("factor", "elementwise-factor"))
def _():
    def forward(image, text, logit_scale):
        ni = np.linalg.norm(image, axis=1, keepdims=True)
        nt = np.linalg.norm(text, axis=1, keepdims=True)
        a, b = image / ni, text / nt
        sim = a @ b.T
        logits = np.exp(logit_scale) * sim
        n = len(logits)
        idx = np.arange(n)
        li = (logsumexp(logits, axis=1) - logits[idx, idx]).mean()
        lt = (logsumexp(logits, axis=0) - logits[idx, idx]).mean()
        return (li + lt) / 2, (a, b, ni, nt, sim, logits, logit_scale)

    def backward(dloss, cache):
        a, b, ni, nt, sim, logits, logit_scale = cache
        n = len(logits)
        dlogits = dloss * (softmax(logits, 1) + softmax(logits, 0) - 2 * np.eye(n)) / (2 * n)
        dsim = dlogits * np.exp(logit_scale)
        dscale = (dlogits * sim).sum()
        da, db = dsim @ b, dsim.T @ a
        dimage = (da - a * (a * da).sum(1, keepdims=True)) / ni
        dtext = (db - b * (b * db).sum(1, keepdims=True)) / nt
        return {"image": dimage, "text": dtext, "logit_scale": np.array([dscale])}

    r = R(29)
    return dict(forward=forward, backward=backward,
                inputs=dict(image=r.normal(size=(4, 3)), text=r.normal(size=(4, 3)), logit_scale=np.array([1.2])))


@wrong_item("multihead_merge", "minGPT in NumPy",
            "dv's heads are merged by a bare reshape, should be transposed to (B, T, H, hd) first", ("v",),
            ("transpose",))
def _():
    def split(x, H):
        B, T, D = x.shape
        return x.reshape(B, T, H, D // H).transpose(0, 2, 1, 3)

    def merge(x):
        B, H, T, hd = x.shape
        return x.transpose(0, 2, 1, 3).reshape(B, T, H * hd)

    def forward(q, k, v, n_head):
        qh, kh, vh = split(q, n_head), split(k, n_head), split(v, n_head)
        s = 1 / np.sqrt(qh.shape[-1])
        p = softmax(qh @ kh.swapaxes(-1, -2) * s)
        return merge(p @ vh), (qh, kh, vh, p, s)

    def backward(dy, cache):
        qh, kh, vh, p, s = cache
        dout = split(dy, qh.shape[1])
        dvh = p.swapaxes(-1, -2) @ dout
        dp = dout @ vh.swapaxes(-1, -2)
        da = p * (dp - (dp * p).sum(-1, keepdims=True)) * s
        dqh, dkh = da @ kh, da.swapaxes(-1, -2) @ qh
        return dict(q=merge(dqh), k=merge(dkh), v=dvh.reshape(dy.shape))

    r = R(30)
    return dict(forward=forward, backward=backward,
                inputs={n: r.normal(size=(2, 3, 6)) for n in "qkv"}, constants=dict(n_head=2))


@wrong_item("pendulum_symplectic", "differentiable physics demo",
            "the cosine in the adjoint is taken at the angle after the step, should be at the one before", ("theta", "omega", "length"),
            ("elementwise-factor",))
def _():
    def simulate(theta, omega, length, dt, n_steps, g=9.81):
        thetas = [theta]
        for _ in range(n_steps):
            omega = omega - dt * g / length * np.sin(theta)
            theta = theta + dt * omega
            thetas.append(theta)
        return np.stack([theta, omega]), (thetas, length, dt, n_steps, g)

    def simulate_adjoint(dout, cache):
        thetas, length, dt, n_steps, g = cache
        dtheta, domega = dout[0].copy(), dout[1].copy()
        dlength = np.zeros_like(length)
        for t in reversed(range(n_steps)):
            domega = domega + dt * dtheta
            dlength += domega * dt * g / length ** 2 * np.sin(thetas[t])
            dtheta = dtheta - domega * dt * g / length * np.cos(thetas[t + 1])
        return {"theta": dtheta, "omega": domega, "length": dlength}

    return dict(forward=simulate, backward=simulate_adjoint,
                inputs=dict(theta=np.array([.8, -1.2, .3, 2.0]), omega=np.array([.5, 1.0, -1.4, .2]),
                            length=np.array([1.0, 1.7, .9, 2.2])), constants=dict(dt=0.1, n_steps=5))


@wrong_item("grid_sample_align", "spatial transformer port",
            "dgrid is scaled by W/2, H/2 (align_corners=False), should be (W-1)/2, (H-1)/2 as in the forward", ("grid",),
            ("elementwise-factor",))
def _():
    def grid_sample(img, grid):
        C, H, W = img.shape
        px = (grid[:, 0] + 1) / 2 * (W - 1)
        py = (grid[:, 1] + 1) / 2 * (H - 1)
        x0 = np.clip(np.floor(px).astype(int), 0, W - 2)
        y0 = np.clip(np.floor(py).astype(int), 0, H - 2)
        fx, fy = px - x0, py - y0
        a, b = img[:, y0, x0], img[:, y0, x0 + 1]
        c, d = img[:, y0 + 1, x0], img[:, y0 + 1, x0 + 1]
        out = (a * (1 - fx) + b * fx) * (1 - fy) + (c * (1 - fx) + d * fx) * fy
        return out, (img.shape, x0, y0, fx, fy, a, b, c, d)

    def grid_sample_backward(dout, cache):
        shape, x0, y0, fx, fy, a, b, c, d = cache
        C, H, W = shape
        dimg = np.zeros(shape)
        ch = np.arange(C)[:, None]
        np.add.at(dimg, (ch, y0, x0), dout * (1 - fx) * (1 - fy))
        np.add.at(dimg, (ch, y0, x0 + 1), dout * fx * (1 - fy))
        np.add.at(dimg, (ch, y0 + 1, x0), dout * (1 - fx) * fy)
        np.add.at(dimg, (ch, y0 + 1, x0 + 1), dout * fx * fy)
        dfx = (dout * ((b - a) * (1 - fy) + (d - c) * fy)).sum(axis=0)
        dfy = (dout * ((c - a) * (1 - fx) + (d - b) * fx)).sum(axis=0)
        dgrid = np.stack([dfx * W / 2, dfy * H / 2], axis=1)
        return {"img": dimg, "grid": dgrid}

    r = R(31)
    return dict(forward=grid_sample, backward=grid_sample_backward,
                inputs=dict(img=r.normal(size=(2, 4, 6)), grid=r.uniform(-.9, .9, (5, 2))))


# ---------------------------------------------------------------- right ones

@right_item("gelu_tanh", "GPT-2 port")
def _():
    c = np.sqrt(2 / np.pi)

    def gelu(x):
        t = np.tanh(c * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1 + t), (x, t)

    def gelu_backward(dy, cache):
        x, t = cache
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t ** 2) * c * (1 + 3 * 0.044715 * x ** 2))

    return dict(forward=gelu, backward=gelu_backward, inputs=dict(x=R(101).normal(size=(4, 5)) * 1.5))


@right_item("layernorm_llmc", "llm.c in NumPy")
def _():
    def forward(inp, weight, bias):
        mean = inp.mean(-1, keepdims=True)
        rstd = 1 / np.sqrt(inp.var(-1, keepdims=True) + 1e-5)
        norm = (inp - mean) * rstd
        return norm * weight + bias, (norm, rstd, weight)

    def backward(dout, cache):
        norm, rstd, weight = cache
        dnorm = dout * weight
        dinp = (dnorm - dnorm.mean(-1, keepdims=True) - norm * (dnorm * norm).mean(-1, keepdims=True)) * rstd
        return dinp, np.einsum("btc,btc->c", dout, norm), np.einsum("btc->c", dout)

    r = R(102)
    return dict(forward=forward, backward=backward,
                inputs=dict(inp=r.normal(1, 2, (2, 3, 6)), weight=r.normal(1, .5, 6), bias=r.normal(size=6)))


@right_item("causal_dilated_conv1d", "WaveNet from scratch")
def _():
    def forward(x, w, b, dilation):
        B, C, T = x.shape
        O, _, K = w.shape
        pad = (K - 1) * dilation
        xp = np.pad(x, ((0, 0), (0, 0), (pad, 0)))
        y = np.zeros((B, O, T)) + b[:, None]
        for k in range(K):
            y += np.einsum("oc,bct->bot", w[:, :, k], xp[:, :, k * dilation:k * dilation + T])
        return y, (xp, w, dilation, pad, T)

    def backward(dy, cache):
        xp, w, dilation, pad, T = cache
        dxp, dw = np.zeros_like(xp), np.zeros_like(w)
        for k in range(w.shape[2]):
            sl = slice(k * dilation, k * dilation + T)
            dw[:, :, k] = np.einsum("bot,bct->oc", dy, xp[:, :, sl])
            dxp[:, :, sl] += np.einsum("oc,bot->bct", w[:, :, k], dy)
        return {"x": dxp[:, :, pad:], "w": dw, "b": dy.sum(axis=(0, 2))}

    r = R(103)
    return dict(forward=forward, backward=backward,
                inputs=dict(x=r.normal(size=(2, 3, 7)), w=r.normal(size=(4, 3, 2)), b=r.normal(size=4)),
                constants=dict(dilation=2))


@right_item("student_t_nll", "probabilistic forecasting repo")
def _():
    def forward(df, loc, scale, target):
        z = (target - loc) / scale
        nll = (np.log(scale) + 0.5 * np.log(df * np.pi) + gammaln(df / 2) - gammaln((df + 1) / 2)
               + 0.5 * (df + 1) * np.log1p(z ** 2 / df))
        return nll.mean(), (df, scale, z)

    def backward(dnll, cache):
        df, scale, z = cache
        g = dnll / z.size
        w = (df + 1) / (df + z ** 2)
        ddf = (0.5 / df + 0.5 * digamma(df / 2) - 0.5 * digamma((df + 1) / 2)
               + 0.5 * np.log1p(z ** 2 / df) - 0.5 * w * z ** 2 / df)
        return {"df": g * ddf, "loc": -g * w * z / scale, "scale": g * (1 - w * z ** 2) / scale}

    r = R(104)
    return dict(forward=forward, backward=backward,
                inputs=dict(df=r.uniform(2, 8, 6), loc=r.normal(size=6), scale=r.uniform(.4, 2, 6)),
                constants=dict(target=r.normal(size=6) * 2))


@right_item("mdn_nll", "mixture density network blog post")
def _():
    def forward(pi_logits, mu, log_sigma, y):
        logpi = pi_logits - logsumexp(pi_logits, axis=1, keepdims=True)
        z = (y[:, None] - mu) * np.exp(-log_sigma)
        comp = logpi - 0.5 * z ** 2 - log_sigma - 0.5 * np.log(2 * np.pi)
        ll = logsumexp(comp, axis=1, keepdims=True)
        return -ll[:, 0], (np.exp(logpi), np.exp(comp - ll), z, log_sigma)

    def backward(dnll, cache):
        pi, gamma, z, log_sigma = cache
        g = dnll[:, None]
        return g * (pi - gamma), -g * gamma * z * np.exp(-log_sigma), g * gamma * (1 - z ** 2)

    r = R(105)
    return dict(forward=forward, backward=backward,
                inputs=dict(pi_logits=r.normal(size=(5, 3)), mu=r.normal(size=(5, 3)), log_sigma=r.normal(size=(5, 3)) * .4),
                constants=dict(y=r.normal(size=5)))


@right_item("sharpe_ratio", "portfolio optimisation notebook")
def _():
    def forward(w, returns, periods):
        wn = w / np.abs(w).sum()
        pr = returns @ wn
        m, s = pr.mean(), pr.std(ddof=1)
        return np.sqrt(periods) * m / s, (w, wn, returns, pr, m, s, periods)

    def backward(dsharpe, cache):
        w, wn, returns, pr, m, s, periods = cache
        T = len(pr)
        dpr = dsharpe * np.sqrt(periods) * (1 / (T * s) - m / s ** 2 * (pr - m) / ((T - 1) * s))
        dwn = returns.T @ dpr
        dw = (dwn - np.sign(w) * (dwn @ wn)) / np.abs(w).sum()
        return {"w": dw, "returns": np.outer(dpr, wn)}

    r = R(106)
    return dict(forward=forward, backward=backward,
                inputs=dict(w=np.array([.5, -.3, .9, .4]), returns=r.normal(.2, 1, (8, 4))), constants=dict(periods=12))


@right_item("soft_dice", "medical segmentation repo")
def _():
    def forward(logits, mask, smooth):
        p = expit(logits)
        inter = (p * mask).sum(axis=(1, 2))
        denom = p.sum(axis=(1, 2)) + mask.sum(axis=(1, 2))
        dice = (2 * inter + smooth) / (denom + smooth)
        return 1 - dice.mean(), (p, mask, dice, denom, smooth)

    def backward(dloss, cache):
        p, mask, dice, denom, smooth = cache
        k = (1 / (denom + smooth))[:, None, None]
        dp = -(2 * mask - dice[:, None, None]) * k * dloss / len(dice)
        return {"logits": dp * p * (1 - p)}

    r = R(107)
    return dict(forward=forward, backward=backward, inputs=dict(logits=r.normal(size=(3, 4, 3))),
                constants=dict(mask=(r.uniform(size=(3, 4, 3)) > .5).astype(float), smooth=1.0))


@right_item("blinn_phong", "differentiable renderer demo")
def _():
    def normalize(v):
        n = np.linalg.norm(v, axis=-1, keepdims=True)
        return v / n, n

    def normalize_backward(du, u, n):
        return (du - u * (u * du).sum(-1, keepdims=True)) / n

    def shade(normal, light, view, shininess):
        N, nn = normalize(normal)
        H, nh = normalize(light + view)
        ndl = np.maximum((N * light).sum(-1), 0)
        ndh = np.maximum((N * H).sum(-1), 0)
        return 0.7 * ndl + 0.5 * ndh ** shininess, (N, nn, H, nh, ndl, ndh, light, shininess)

    def shade_backward(dI, cache):
        N, nn, H, nh, ndl, ndh, light, s = cache
        dl = (0.7 * dI * (ndl > 0))[:, None]
        dh = (0.5 * dI * s * np.where(ndh > 0, ndh, 1.0) ** (s - 1) * (ndh > 0))[:, None]
        dN = dl * light + dh * H
        dsum = normalize_backward(dh * N, H, nh)
        return {"normal": normalize_backward(dN, N, nn), "light": dl * N + dsum, "view": dsum}

    r = R(108)
    return dict(forward=shade, backward=shade_backward,
                inputs=dict(normal=r.normal(size=(5, 3)) + [0, 0, 1.5], light=r.normal(size=(5, 3)) * .5 + [0, .3, 1],
                            view=r.normal(size=(5, 3)) * .4 + [.2, 0, 1]), constants=dict(shininess=6))


@right_item("one_pole_filter", "differentiable audio effects")
def _():
    def forward(x, a):
        y = np.zeros_like(x)
        prev = np.zeros(x.shape[0])
        for t in range(x.shape[1]):
            prev = a * prev + (1 - a) * x[:, t]
            y[:, t] = prev
        return y, (x, a, y)

    def backward(dy, cache):
        x, a, y = cache
        dx = np.zeros_like(x)
        da = np.zeros_like(a)
        g = np.zeros(x.shape[0])
        for t in range(x.shape[1] - 1, -1, -1):
            g = dy[:, t] + a * g
            dx[:, t] = (1 - a) * g
            da += g * ((y[:, t - 1] if t > 0 else 0.0) - x[:, t])
        return {"x": dx, "a": da}

    r = R(109)
    return dict(forward=forward, backward=backward,
                inputs=dict(x=r.normal(size=(3, 9)), a=np.array([.3, .85, .6])))


@right_item("mvn_cholesky_nll", "Bayesian statistics package")
def _():
    def forward(x, mu, raw):
        L = np.tril(raw, -1) + np.diag(np.exp(np.diag(raw)))
        z = np.linalg.solve(L, (x - mu).T)
        D = len(mu)
        nll = 0.5 * (z ** 2).sum(axis=0) + np.diag(raw).sum() + 0.5 * D * np.log(2 * np.pi)
        return nll, (L, z, raw)

    def backward(dnll, cache):
        L, z, raw = cache
        dz = z * dnll
        db = np.linalg.solve(L.T, dz)
        dL = np.tril(-db @ z.T)
        draw = np.tril(dL, -1) + np.diag(np.diag(dL) * np.diag(L) + dnll.sum())
        return {"x": db.T, "mu": -db.sum(axis=1), "raw": draw}

    r = R(110)
    return dict(forward=forward, backward=backward,
                inputs=dict(x=r.normal(size=(6, 3)), mu=r.normal(size=3), raw=r.normal(size=(3, 3)) * .5))


@right_item("gcn_layer", "graph learning from scratch")
def _():
    def forward(X, params, A):
        deg = A.sum(axis=1, keepdims=True)
        P = A / deg
        Z = P @ X @ params["W"] + params["b"]
        return np.where(Z > 0, Z, 0.1 * Z), (X, params, P, Z)

    def backward(dH, cache):
        X, params, P, Z = cache
        dZ = dH * np.where(Z > 0, 1.0, 0.1)
        dM = P.T @ dZ
        return {"X": dM @ params["W"].T, "params": {"W": X.T @ dM, "b": dZ.sum(0)}}

    r = R(111)
    A = (r.uniform(size=(5, 5)) > .6).astype(float) + np.eye(5)
    return dict(forward=forward, backward=backward,
                inputs=dict(X=r.normal(size=(5, 3)), params={"W": r.normal(size=(3, 4)), "b": r.normal(size=4)}),
                constants=dict(A=A))


@right_item("maxpool_overlapping", "AlexNet in NumPy")
def _():
    def forward(x, k, s):
        N, C, H, W = x.shape
        oh, ow = (H - k) // s + 1, (W - k) // s + 1
        out = np.empty((N, C, oh, ow))
        arg = np.empty((N, C, oh, ow), dtype=int)
        for i in range(oh):
            for j in range(ow):
                win = x[:, :, i * s:i * s + k, j * s:j * s + k].reshape(N, C, -1)
                arg[:, :, i, j] = win.argmax(-1)
                out[:, :, i, j] = win.max(-1)
        return out, (x.shape, arg, k, s)

    def backward(dout, cache):
        shape, arg, k, s = cache
        dx = np.zeros(shape)
        n, c, i, j = np.indices(dout.shape)
        np.add.at(dx, (n, c, i * s + arg // k, j * s + arg % k), dout)
        return dx

    return dict(forward=forward, backward=backward, inputs=dict(x=R(112).normal(size=(2, 1, 5, 5))),
                constants=dict(k=3, s=2))


@right_item("factorization_machine", "recommender system repo")
def _():
    def forward(x, w0, w, V):
        xv = x @ V
        pair = 0.5 * (xv ** 2 - (x ** 2) @ (V ** 2)).sum(axis=1)
        return w0 + x @ w + pair, (x, w, V, xv)

    def backward(dy, cache):
        x, w, V, xv = cache
        g = dy[:, None]
        dx = g * (w + xv @ V.T - x * (V ** 2).sum(axis=1))
        dV = x.T @ (g * xv) - ((x ** 2).T @ dy)[:, None] * V
        return dx, np.array([dy.sum()]), x.T @ dy, dV

    r = R(113)
    return dict(forward=forward, backward=backward,
                inputs=dict(x=r.normal(size=(4, 5)), w0=np.array([.3]), w=r.normal(size=5), V=r.normal(size=(5, 2))))


@right_item("nt_xent", "SimCLR reimplementation")
def _():
    def forward(z, temperature):
        norm = np.linalg.norm(z, axis=1, keepdims=True)
        u = z / norm
        n = len(z) // 2
        sim = u @ u.T / temperature
        np.fill_diagonal(sim, -1e9)
        pos = np.concatenate([np.arange(n, 2 * n), np.arange(n)])
        loss = (logsumexp(sim, axis=1) - sim[np.arange(2 * n), pos]).mean()
        return loss, (u, norm, sim, pos, temperature)

    def backward(dloss, cache):
        u, norm, sim, pos, temperature = cache
        m = len(u)
        ds = sp_softmax(sim, axis=1)
        ds[np.arange(m), pos] -= 1
        ds *= dloss / (m * temperature)
        du = (ds + ds.T) @ u
        return (du - u * (u * du).sum(1, keepdims=True)) / norm

    return dict(forward=forward, backward=backward, inputs=dict(z=R(114).normal(size=(6, 4))),
                constants=dict(temperature=0.5))


@right_item("weight_norm_linear", "mini deep-learning framework")
def _():
    class WeightNormLinear:
        def __init__(self):
            self.grads = {}

        def forward(self, x, v, g, b):
            self.norm = np.sqrt((v ** 2).sum(axis=1, keepdims=True))
            W = g[:, None] * v / self.norm
            return x @ W.T + b, (x, v, g, W, self.norm)

        def backward(self, dy, cache):
            x, v, g, W, norm = cache
            dW = dy.T @ x
            self.grads["g"] = (dW * v / norm).sum(axis=1)
            self.grads["v"] = g[:, None] / norm * dW - self.grads["g"][:, None] * g[:, None] * v / norm ** 2
            self.grads["b"] = dy.sum(axis=0)
            self.grads["x"] = dy @ W
            return dict(self.grads)

    r = R(115)
    layer = WeightNormLinear()
    return dict(forward=layer.forward, backward=layer.backward,
                inputs=dict(x=r.normal(size=(4, 3)), v=r.normal(size=(5, 3)), g=r.normal(size=5), b=r.normal(size=5)))


@right_item("squeeze_excite", "SENet in NumPy")
def _():
    def forward(x, W1, W2):
        s = x.mean(axis=(2, 3))
        h = s @ W1
        a = np.maximum(h, 0)
        e = expit(a @ W2)
        return x * e[:, :, None, None], (x, s, h, a, e, W1, W2)

    def backward(dy, cache):
        x, s, h, a, e, W1, W2 = cache
        de = (dy * x).sum(axis=(2, 3)) * e * (1 - e)
        dh = (de @ W2.T) * (h > 0)
        ds = dh @ W1.T
        hw = x.shape[2] * x.shape[3]
        dx = dy * e[:, :, None, None] + ds[:, :, None, None] / hw
        return {"x": dx, "W1": s.T @ dh, "W2": a.T @ de}

    r = R(116)
    return dict(forward=forward, backward=backward,
                inputs=dict(x=r.normal(size=(3, 4, 2, 2)), W1=r.normal(size=(4, 3)), W2=r.normal(size=(3, 4))))


@right_item("heat_equation", "differentiable physics demo")
def _():
    def solve(u, kappa, dt, n_steps):
        us = [u]
        for _ in range(n_steps):
            flux = kappa * (np.roll(u, -1) - u)
            u = u + dt * (flux - np.roll(flux, 1))
            us.append(u)
        return u, (us, kappa, dt, n_steps)

    def adjoint(du, cache):
        us, kappa, dt, n_steps = cache
        lam = np.array(du, copy=True)
        dkappa = np.zeros_like(kappa)
        for t in range(n_steps - 1, -1, -1):
            dflux = dt * (lam - np.roll(lam, -1))
            dkappa += dflux * (np.roll(us[t], -1) - us[t])
            w = dflux * kappa
            lam = lam + np.roll(w, 1) - w
        return {"u": lam, "kappa": dkappa}

    r = R(117)
    return dict(forward=solve, backward=adjoint,
                inputs=dict(u=r.normal(size=8), kappa=r.uniform(.3, 1.2, 8)), constants=dict(dt=.3, n_steps=4))


@right_item("reinforce_entropy", "policy gradient tutorial")
def _():
    def forward(logits, actions, returns, coef):
        logp = logits - logsumexp(logits, axis=1, keepdims=True)
        p = np.exp(logp)
        ent = -(p * logp).sum(axis=1)
        n = len(logits)
        loss = -(returns * logp[np.arange(n), actions]).mean() - coef * ent.mean()
        return loss, (logp, p, ent, actions, returns, coef)

    def backward(dloss, cache):
        logp, p, ent, actions, returns, coef = cache
        n, k = p.shape
        g = returns[:, None] * (p - np.eye(k)[actions])
        g += coef * p * (logp + ent[:, None])
        return dloss * g / n

    r = R(118)
    return dict(forward=forward, backward=backward, inputs=dict(logits=r.normal(size=(6, 3))),
                constants=dict(actions=np.array([0, 2, 1, 1, 2, 0]), returns=r.normal(size=6), coef=.3))


@right_item("arcface", "face recognition repo")
def _():
    def forward(x, W, labels, s, m):
        nx = np.linalg.norm(x, axis=1, keepdims=True)
        nw = np.linalg.norm(W, axis=0, keepdims=True)
        xn, wn = x / nx, W / nw
        cos = xn @ wn
        idx = np.arange(len(x))
        ct = cos[idx, labels]
        st = np.sqrt(1 - ct ** 2)
        logits = s * cos
        logits[idx, labels] = s * (ct * np.cos(m) - st * np.sin(m))
        loss = (logsumexp(logits, axis=1) - logits[idx, labels]).mean()
        return loss, (xn, wn, nx, nw, ct, st, logits, labels, s, m)

    def backward(dloss, cache):
        xn, wn, nx, nw, ct, st, logits, labels, s, m = cache
        n = len(xn)
        idx = np.arange(n)
        dlog = softmax(logits, 1)
        dlog[idx, labels] -= 1
        dcos = dlog * s * dloss / n
        dcos[idx, labels] *= np.cos(m) + ct / st * np.sin(m)
        dxn, dwn = dcos @ wn.T, xn.T @ dcos
        dx = (dxn - xn * (xn * dxn).sum(1, keepdims=True)) / nx
        dW = (dwn - wn * (wn * dwn).sum(0, keepdims=True)) / nw
        return dict(x=dx, W=dW)

    r = R(119)
    return dict(forward=forward, backward=backward,
                inputs=dict(x=r.normal(size=(5, 3)), W=r.normal(size=(3, 4))),
                constants=dict(labels=np.array([1, 3, 0, 2, 3]), s=4.0, m=.3))


@right_item("soft_dtw", "time series research repo")
def _():
    def forward(x, y, gamma):
        D = (x[:, None] - y[None, :]) ** 2
        n, m = D.shape
        Rm = np.full((n + 2, m + 2), np.inf)
        Rm[0, 0] = 0
        for i in range(1, n + 1):
            for j in range(1, m + 1):
                prev = np.array([Rm[i - 1, j - 1], Rm[i - 1, j], Rm[i, j - 1]])
                Rm[i, j] = D[i - 1, j - 1] - gamma * logsumexp(-prev / gamma)
        return np.asarray(Rm[n, m]), (x, y, D, Rm, gamma)

    def backward(dv, cache):
        x, y, D, Rm, gamma = cache
        n, m = D.shape
        Rm = Rm.copy()
        Dp = np.zeros((n + 2, m + 2))
        Dp[1:n + 1, 1:m + 1] = D
        E = np.zeros((n + 2, m + 2))
        E[n + 1, m + 1] = 1
        Rm[:, m + 1] = -np.inf
        Rm[n + 1, :] = -np.inf
        Rm[n + 1, m + 1] = Rm[n, m]
        for j in range(m, 0, -1):
            for i in range(n, 0, -1):
                a = np.exp((Rm[i + 1, j] - Rm[i, j] - Dp[i + 1, j]) / gamma)
                b = np.exp((Rm[i, j + 1] - Rm[i, j] - Dp[i, j + 1]) / gamma)
                c = np.exp((Rm[i + 1, j + 1] - Rm[i, j] - Dp[i + 1, j + 1]) / gamma)
                E[i, j] = E[i + 1, j] * a + E[i, j + 1] * b + E[i + 1, j + 1] * c
        G = dv * E[1:n + 1, 1:m + 1] * 2 * (x[:, None] - y[None, :])
        return {"x": G.sum(axis=1), "y": -G.sum(axis=0)}

    r = R(120)
    return dict(forward=forward, backward=backward,
                inputs=dict(x=r.normal(size=5), y=r.normal(size=6)), constants=dict(gamma=.5))
