"""Exam paper n: variational autoencoders and probability. NumPy only."""
import math
from types import SimpleNamespace as NS
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
def variant(src, *pairs):
    for old, new in pairs:
        assert src.count(old) == 1, (src.count(old), old)
        src = src.replace(old, new)
    space = {"np": np, "NS": NS, "math": math}
    exec(src, space)
    return space
def add(name, style, check, make, slip="", wrong=(), causes=()):
    ITEMS.append(Item(name, style, check, make, not slip, slip, tuple(wrong), tuple(causes)))

# ------------------------------------------------------------------ gradients
NOTEBOOK = '''
class VAE:
    """cell 4: the model"""
    def __init__(self, D=5, H=4, Z=2, seed=3):
        r = np.random.RandomState(seed)
        init = lambda *s: 0.6 * r.randn(*s)
        self.params = dict(W1=init(D, H), b1=init(H), W_mu=init(H, Z), b_mu=init(Z), W_lv=init(H, Z),
                           b_lv=init(Z), W3=init(Z, H), b3=init(H), W4=init(H, D), b4=init(D))
    def objective(self, x, eps, beta=1.0):
        p = self.params; a1 = x @ p["W1"] + p["b1"]
        h1 = np.maximum(a1, 0.1 * a1); mu = h1 @ p["W_mu"] + p["b_mu"]
        lv = h1 @ p["W_lv"] + p["b_lv"]; z = mu + np.exp(0.5 * lv) * eps
        h3 = np.tanh(z @ p["W3"] + p["b3"]); out = h3 @ p["W4"] + p["b4"]
        nll = (np.logaddexp(0, out) - x * out).sum(1)
        kl = -0.5 * (1 + lv - mu ** 2 - np.exp(lv)).sum(1)
        return NS(objective=-nll - beta * kl, nll=nll, kl=kl, elbo=-nll - kl), (x, eps, beta, a1, h1, mu, lv, z, h3, out)
    def backward(self, dobj, cache):
        x, eps, beta, a1, h1, mu, lv, z, h3, out = cache; p, g = self.params, {}
        d = dobj[:, None]; dout = d * (x - 1 / (1 + np.exp(-out)))
        g["W4"], g["b4"] = h3.T @ dout, dout.sum(0)
        da3 = (dout @ p["W4"].T) * (1 - h3 ** 2)
        g["W3"], g["b3"] = z.T @ da3, da3.sum(0); dz = da3 @ p["W3"].T
        dmu = dz - beta * d * mu
        dlv = dz * eps * 0.5 * np.exp(0.5 * lv) - beta * d * 0.5 * (np.exp(lv) - 1)
        g["W_mu"], g["b_mu"] = h1.T @ dmu, dmu.sum(0)
        g["W_lv"], g["b_lv"] = h1.T @ dlv, dlv.sum(0)
        dh1 = dmu @ p["W_mu"].T + dlv @ p["W_lv"].T
        da1 = dh1 * np.where(a1 > 0, 1.0, 0.1); g["W1"], g["b1"] = x.T @ da1, da1.sum(0)
        return g
'''
NG = '''
class Model:
    # columns are examples, as in the lectures
    def __init__(self, n_x=4, n_h=5, n_z=2):
        rs = np.random.RandomState(11)
        self.params = {"W1": rs.randn(n_h, n_x) * .5, "b1": rs.randn(n_h, 1) * .5,
                       "W2": rs.randn(2 * n_z, n_h) * .5, "b2": rs.randn(2 * n_z, 1) * .5,
                       "W3": rs.randn(n_x, n_z) * .5, "b3": rs.randn(n_x, 1) * .5}
        self.n_z = n_z
    def objective(self, x, eps, beta=1.0):
        P = self.params; A0, E = x.T, eps.T
        Z1 = P["W1"].dot(A0) + P["b1"]; A1 = np.log1p(np.exp(Z1))
        Z2 = P["W2"].dot(A1) + P["b2"]; M, S = Z2[:self.n_z], Z2[self.n_z:]
        z = M + E * np.exp(S / 2); Y = P["W3"].dot(z) + P["b3"]
        nll = 0.5 * np.square(Y - A0).sum(axis=0) + 0.5 * A0.shape[0] * np.log(2 * np.pi)
        kl = 0.5 * (np.exp(S) + M * M - 1 - S).sum(axis=0)
        cache = {"A0": A0, "E": E, "Z1": Z1, "A1": A1, "M": M, "S": S, "z": z, "Y": Y, "beta": beta}
        return NS(objective=-nll - beta * kl, nll=nll, kl=kl), cache
    def backward(self, dobjective, c):
        P = self.params; dY = -(c["Y"] - c["A0"]) * dobjective
        dW3 = dY.dot(c["z"].T); db3 = np.sum(dY, axis=1, keepdims=True)
        dz = P["W3"].T.dot(dY); dM = dz - c["beta"] * c["M"] * dobjective
        dS = dz * (c["z"] - c["M"]) / 2 - c["beta"] * (np.exp(c["S"]) - 1) / 2 * dobjective
        dZ2 = np.vstack((dM, dS)); dW2 = dZ2.dot(c["A1"].T)
        db2 = np.sum(dZ2, axis=1, keepdims=True)
        dZ1 = P["W2"].T.dot(dZ2) / (1 + np.exp(-c["Z1"])); dW1 = dZ1.dot(c["A0"].T)
        db1 = np.sum(dZ1, axis=1, keepdims=True)
        return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}
'''
FRAMEWORK = '''
class Module:
    def __init__(self, net, name): self.net, self.name = net, name
    def __call__(self, x): return self.forward(x)
class Dense(Module):
    def __init__(self, net, name, n_in, n_out):
        super().__init__(net, name)
        net.params[name + ".weight"] = net.rng.normal(0, .6, (n_out, n_in))
        net.params[name + ".bias"] = net.rng.normal(0, .6, n_out)
    def forward(self, x):
        self.x = x
        return x @ self.net.params[self.name + ".weight"].T + self.net.params[self.name + ".bias"]
    def backward(self, dy):
        self.net.grads[self.name + ".weight"] += dy.T @ self.x
        self.net.grads[self.name + ".bias"] += dy.sum(axis=0)
        return dy @ self.net.params[self.name + ".weight"]
class Sigmoid(Module):
    def forward(self, x):
        self.y = 1 / (1 + np.exp(-x))
        return self.y
    def backward(self, dy): return dy * self.y * (1 - self.y)
class Chain(Module):
    def __init__(self, *layers): self.layers = layers
    def forward(self, x):
        for l in self.layers: x = l(x)
        return x
    def backward(self, dy):
        for l in reversed(self.layers): dy = l.backward(dy)
        return dy
class Net:
    def __init__(self, d=4, h=3, k=2):
        self.rng = np.random.default_rng(5); self.params = {}
        self.encoder = Chain(Dense(self, "enc0", d, h), Sigmoid(self, "s0"), Dense(self, "enc1", h, 2 * k))
        self.decoder = Chain(Dense(self, "dec0", k, h), Sigmoid(self, "s1"), Dense(self, "dec1", h, d))
        self.zero_grad()
    def zero_grad(self): self.grads = {n: np.zeros_like(v) for n, v in self.params.items()}
    def objective(self, x, eps, beta=1.0):
        mu, rho = np.split(self.encoder(x), 2, axis=1)
        sigma = np.logaddexp(0, rho)            # softplus scale, not a log variance
        logits = self.decoder(mu + sigma * eps)
        nll = np.logaddexp(0, (1 - 2 * x) * logits).sum(axis=1)
        kl = (0.5 * (mu ** 2 + sigma ** 2 - 1) - np.log(sigma)).sum(axis=1)
        return NS(objective=-nll - beta * kl, nll=nll, kl=kl), dict(x=x, eps=eps, beta=beta, mu=mu, rho=rho, sigma=sigma, logits=logits)
    def backward(self, dobjective, c):
        self.zero_grad()
        g = np.reshape(dobjective, (-1, 1)); s = 1 - 2 * c["x"]
        dz = self.decoder.backward(-g * s / (1 + np.exp(-s * c["logits"])))
        dmu = dz - c["beta"] * g * c["mu"]; dsigma = dz * c["eps"]
        dsigma -= c["beta"] * g * (c["sigma"] - 1 / c["sigma"])
        dsigma /= 1 + np.exp(-c["rho"])
        self.encoder.backward(np.hstack([dmu, dsigma]))
        return {n: v.copy() for n, v in self.grads.items()}
'''
FUNCTIONAL = '''
def affine(p, name, v): return np.einsum("bi,io->bo", v, p[name][:-1]) + p[name][-1]
def affine_vjp(p, name, v, g): return np.vstack([np.einsum("bi,bo->io", v, g), g.sum(0)]), g @ p[name][:-1].T
def objective(p, x, eps, beta):
    h = np.arctan(affine(p, "trunk", x))
    mu, lv = affine(p, "mean", h), affine(p, "logvar", h); z = mu + np.exp(lv / 2) * eps
    loc = affine(p, "gen", np.sin(z)); r = (x - loc) * np.exp(-p["log_sigma"])
    nll = np.sum(0.5 * r ** 2 + p["log_sigma"] + 0.5 * np.log(2 * np.pi), axis=-1)
    kl = 0.5 * np.sum(mu ** 2 + np.exp(lv) - lv - 1, axis=-1)
    return NS(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, h, mu, lv, z, r)
def backward(p, dobj, cache):
    x, eps, beta, h, mu, lv, z, r = cache
    dnll, dkl = -dobj[:, None], -beta * dobj[:, None]
    dlog_sigma = np.sum(dnll * (1 - r ** 2), axis=0)
    dgen, ds = affine_vjp(p, "gen", np.sin(z), -dnll * r * np.exp(-p["log_sigma"]))
    dz = ds * np.cos(z); dmean, dh1 = affine_vjp(p, "mean", h, dz + dkl * mu)
    dlogvar, dh2 = affine_vjp(p, "logvar", h, 0.5 * (dz * (z - mu) + dkl * (np.exp(lv) - 1)))
    dtrunk, _ = affine_vjp(p, "trunk", x, (dh1 + dh2) * np.cos(h) ** 2)
    return {"trunk": dtrunk, "mean": dmean, "logvar": dlogvar, "gen": dgen, "log_sigma": dlog_sigma}
def build(D=4, H=3, Z=2):
    r = np.random.default_rng(21)
    n = lambda i, o: r.standard_normal((i + 1, o)) * 0.6
    p = {"trunk": n(D, H), "mean": n(H, Z), "logvar": n(H, Z), "gen": n(Z, D), "log_sigma": r.standard_normal(D) * 0.4}
    return NS(params=p, objective=lambda x, eps, beta=1.0: objective(p, x, eps, beta),
              backward=lambda d, c: backward(p, d, c))
'''
RNN = '''
class SeqVAE:
    """Port of a recurrent VAE: x (B, T) is read one number a step; the decoder is one affine map."""
    def __init__(self, T=4, n_hid=3, n_lat=2):
        rng = np.random.default_rng(8)
        g = lambda *s: rng.normal(scale=0.7, size=s)
        self.params = {"Wx": g(1, n_hid), "Wh": g(n_hid, n_hid), "bh": g(n_hid), "Wq": g(n_hid, 2 * n_lat),
                       "bq": g(2 * n_lat), "Wd": g(n_lat, T), "bd": g(T)}
    def objective(self, x, eps, beta=1.0):
        p = self.params; hs = [np.zeros((len(x), p["Wh"].shape[0]))]
        for t in range(x.shape[1]): hs.append(np.tanh(x[:, t:t + 1] @ p["Wx"] + hs[-1] @ p["Wh"] + p["bh"]))
        stats = hs[-1] @ p["Wq"] + p["bq"]; mu, logvar = stats[:, ::2], stats[:, 1::2]
        z = mu + eps * np.exp(.5 * logvar); xhat = z @ p["Wd"] + p["bd"]
        nll = .5 * ((xhat - x) ** 2 + math.log(2 * math.pi)).sum(-1)
        kl = .5 * (np.exp(logvar) + mu ** 2 - 1 - logvar).sum(-1); self.saved = hs
        return NS(objective=-nll - beta * kl, nll=nll, kl=kl), (x, hs, mu, logvar, z, xhat, beta)
    def backward(self, dobj, cache):
        x, hs, mu, logvar, z, xhat, beta = cache; p = self.params
        G = {k: np.zeros_like(v) for k, v in p.items()}; w = dobj.reshape(-1, 1)
        dxhat = w * (x - xhat); G["Wd"] += z.T @ dxhat
        G["bd"] += dxhat.sum(0); dz = dxhat @ p["Wd"].T
        dstats = np.empty((len(x), p["bq"].size))
        dstats[:, ::2] = dz - w * beta * mu
        dstats[:, 1::2] = .5 * (dz * (z - mu) - w * beta * np.expm1(logvar))
        G["Wq"] += hs[-1].T @ dstats; G["bq"] += dstats.sum(0)
        dh = dstats @ p["Wq"].T
        for t in range(x.shape[1] - 1, -1, -1):
            da = dh * (1 - hs[t + 1] ** 2); G["Wx"] += x[:, t:t + 1].T @ da
            G["Wh"] += hs[t].T @ da; G["bh"] += da.sum(0)
            dh = da @ p["Wh"].T
        return G
'''
PRIOR = '''
class LearnedPriorVAE(object):
    def __init__(self, seed=0):
        rs = np.random.RandomState(seed)
        self.params = {"enc/W": rs.uniform(-1, 1, (5, 4)), "enc/b": rs.uniform(-1, 1, 4), "dec/W": rs.uniform(-1, 1, (2, 5)),
                       "dec/b": rs.uniform(-1, 1, 5), "prior/mu": rs.uniform(-1, 1, 2), "prior/logvar": rs.uniform(-1, 1, 2)}
    def objective(self, x, eps, beta=1.0):
        p = self.params; q = np.dot(x, p["enc/W"]) + p["enc/b"]
        mu, lv = q[:, :2], q[:, 2:]; z = mu + np.exp(lv * 0.5) * eps
        prob = 1.0 / (1.0 + np.exp(-np.dot(z, p["dec/W"]) - p["dec/b"]))
        nll = -np.sum(x * np.log(prob) + (1 - x) * np.log(1 - prob), axis=1)
        diff = mu - p["prior/mu"]
        ratio = (np.exp(lv) + diff ** 2) / np.exp(p["prior/logvar"])
        kl = 0.5 * np.sum(p["prior/logvar"] - lv + ratio - 1.0, axis=1)
        self.cache = (x, eps, beta, lv, z, prob, diff, ratio)
        return NS(objective=-nll - beta * kl, nll=nll, kl=kl, elbo=-nll - kl), self.cache
    def backward(self, dobjective, cache):
        x, eps, beta, lv, z, prob, diff, ratio = cache; p = self.params
        up = dobjective[:, np.newaxis]; dkl = -beta * up
        dlogit = up * (x - prob); dz = np.dot(dlogit, p["dec/W"].T)
        prec = np.exp(-p["prior/logvar"]); dmu = dz + dkl * diff * prec
        dlv = dz * eps * 0.5 * np.exp(0.5 * lv) + dkl * 0.5 * (np.exp(lv) * prec - 1)
        dq = np.concatenate([dmu, dlv], axis=1)
        return {"enc/W": np.dot(x.T, dq), "enc/b": dq.sum(0), "dec/W": np.dot(z.T, dlogit), "dec/b": dlogit.sum(0),
                "prior/mu": np.sum(-dkl * diff * prec, axis=0),
                "prior/logvar": np.sum(dkl * 0.5 * (1 - ratio), axis=0)}
'''
FLOW = '''
class PlanarFlowVAE:
    """blog post: a tighter posterior with one planar layer"""
    def __init__(self):
        n = np.random.default_rng(14).normal
        self.params = {"A": n(0, .5, (4, 2)), "S": n(0, .5, (4, 2)), "u": n(0, .6, 2), "w": n(0, .6, 2),
                       "c": n(0, .6, 1), "V": n(0, .7, (2, 4)), "d": n(0, .7, 4)}
    def objective(self, x, eps, beta=1.0):
        p = self.params; mu, lv = x @ p["A"], x @ p["S"]
        z0 = mu + np.exp(.5 * lv) * eps; t = np.tanh(z0 @ p["w"] + p["c"])[:, None]
        z1 = z0 + p["u"] * t; det = 1 + (1 - t ** 2) * (p["u"] @ p["w"])
        log_q = (-.5 * eps ** 2 - .5 * lv).sum(1) - np.log(np.abs(det[:, 0]))
        kl = log_q + .5 * (z1 ** 2).sum(1); o = z1 @ p["V"] + p["d"]
        nll = (np.logaddexp(0, o) - x * o).sum(1)
        return NS(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, lv, z0, t, z1, det, o)
    def backward(self, dobjective, cache):
        x, eps, beta, lv, z0, t, z1, det, o = cache; p = self.params
        g = dobjective[:, None]; do = g * (x - 1 / (1 + np.exp(-o)))
        dz1 = do @ p["V"].T - beta * g * z1; ddet = beta * g / det
        slope = 1 - t ** 2; du = (dz1 * t).sum(0) + (ddet * slope).sum(0) * p["w"]
        dt = dz1 @ p["u"][:, None] - 2 * t * ddet * (p["u"] @ p["w"]); da = dt * slope
        dw = (da * z0).sum(0) + (ddet * slope).sum(0) * p["u"]; dz0 = dz1 + da * p["w"]
        dlv = .5 * np.exp(.5 * lv) * eps * dz0 + .5 * beta * g
        return {"A": x.T @ dz0, "S": x.T @ dlv, "u": du, "w": dw, "c": da.sum(0), "V": z1.T @ do, "d": do.sum(0)}
'''
TEXT = '''
class BagOfWordsVAE:
    """x: integer token ids (B, T)"""
    def __init__(self, vocab=5, emb=3, z_dim=2):
        rng = np.random.default_rng(77)
        self.params = {k: rng.standard_normal(s) * .6 for k, s in [("embedding", (vocab, emb)), ("to_mu", (emb, z_dim)),
                       ("to_logvar", (emb, z_dim)), ("out", (z_dim, vocab)), ("out_bias", (vocab,))]}
    def objective(self, x, eps, beta=1.0):
        p = self.params; ids = np.asarray(x).astype(int)
        h = np.tanh(p["embedding"][ids].mean(axis=1))
        mu, logvar = h @ p["to_mu"], h @ p["to_logvar"]; std = np.exp(0.5 * logvar)
        z = mu + std * eps; s = z @ p["out"] + p["out_bias"]
        s = s - s.max(axis=1, keepdims=True)
        logp = s - np.log(np.exp(s).sum(axis=1, keepdims=True))
        nll = -np.take_along_axis(logp, ids, axis=1).sum(axis=1)
        kl = 0.5 * (mu ** 2 + std ** 2 - logvar - 1).sum(axis=1)
        return NS(objective=-nll - beta * kl, nll=nll, kl=kl), dict(ids=ids, h=h, mu=mu, std=std, eps=eps, z=z, logp=logp, beta=beta)
    def backward(self, dobjective, c):
        p, ids = self.params, c["ids"]; B, T = ids.shape
        counts = np.zeros_like(c["logp"])
        np.add.at(counts, (np.arange(B)[:, None], ids), 1)
        ds = dobjective[:, None] * (counts - T * np.exp(c["logp"])); dz = ds @ p["out"].T
        dmu = dz - c["beta"] * dobjective[:, None] * c["mu"]
        dlogvar = 0.5 * c["std"] * (dz * c["eps"]) - 0.5 * c["beta"] * dobjective[:, None] * (c["std"] ** 2 - 1)
        dpool = (dmu @ p["to_mu"].T + dlogvar @ p["to_logvar"].T) * (1 - c["h"] ** 2) / T
        demb = np.zeros_like(p["embedding"])
        for t in range(T): np.add.at(demb, ids[:, t], dpool)
        return {"embedding": demb, "to_mu": c["h"].T @ dmu, "to_logvar": c["h"].T @ dlogvar,
                "out": c["z"].T @ ds, "out_bias": ds.sum(axis=0)}
'''
CLIPPING = '''
class TinyVAE:
    """minimal-vae, 40 lines; grey pixels in [0, 1], cross entropy"""
    def __init__(self):
        r = np.random.RandomState(2)
        self.params = {"We": .5 * r.randn(4, 2), "Wv": .5 * r.randn(4, 2), "Wd": .5 * r.randn(2, 4), "bd": .5 * r.randn(4)}
    def objective(self, x, eps, beta=1.0):
        np.clip(x, 1e-2, 1 - 1e-2, out=x)
        t = np.log(x / (1 - x))                 # features: the pixels' logits
        mu, lv = .3 * t @ self.params["We"], .3 * t @ self.params["Wv"]
        z = mu + np.exp(lv / 2) * eps; o = z @ self.params["Wd"] + self.params["bd"]
        nll = (np.logaddexp(0, o) - x * o).sum(1)
        kl = (mu ** 2 + np.exp(lv) - lv - 1).sum(1) / 2
        return NS(objective=-nll - beta * kl, nll=nll, kl=kl), (x.copy(), t, mu, lv, z, o, beta)
    def backward(self, dobjective, cache):
        x, t, mu, lv, z, o, beta = cache; g = dobjective[:, None]
        do = g * (x - 1 / (1 + np.exp(-o))); dz = do @ self.params["Wd"].T
        dmu = dz - beta * g * mu; dlv = (dz * (z - mu) - beta * g * (np.exp(lv) - 1)) / 2
        return {"We": .3 * t.T @ dmu, "Wv": .3 * t.T @ dlv, "Wd": z.T @ do, "bd": do.sum(0)}
'''
LADDER = '''
class TwoStoreys:
    """z2 ~ N(0, I), z1 | z2 ~ N(tanh(z2 L), I), x | z1; q(z1 | x) q(z2 | x); eps holds both noises side by side"""
    def __init__(self, D=4, Z1=2, Z2=1):
        g = np.random.default_rng(31); self.Z1 = Z1
        self.params = {"q1": g.normal(0, .5, (2, D, Z1)), "q2": g.normal(0, .5, (2, D, Z2)),
                       "L": g.normal(0, .8, (Z2, Z1)), "P": g.normal(0, .8, (Z1, D))}
    def objective(self, x, eps, beta=1.0):
        p = self.params
        (m1, l1), (m2, l2) = np.matmul(x, p["q1"]), np.matmul(x, p["q2"])
        e1, e2 = eps[:, :self.Z1], eps[:, self.Z1:]
        z1, z2 = m1 + np.exp(l1 / 2) * e1, m2 + np.exp(l2 / 2) * e2
        pm = np.tanh(z2 @ p["L"]); o = z1 @ p["P"]
        nll = np.sum(np.maximum(o, 0) - o * x + np.log1p(np.exp(-np.abs(o))), 1)
        kl = .5 * np.sum(m2 ** 2 + np.exp(l2) - l2 - 1, 1) + .5 * np.sum((m1 - pm) ** 2 + np.exp(l1) - l1 - 1, 1)
        return NS(objective=-nll - beta * kl, nll=nll, kl=kl), (x, e1, e2, m1, l1, m2, l2, z1, z2, pm, o, beta)
    def backward(self, dobjective, cache):
        x, e1, e2, m1, l1, m2, l2, z1, z2, pm, o, beta = cache
        p, g = self.params, dobjective[:, None]; do = g * (x - .5 * (1 + np.tanh(o / 2)))
        dz1 = do @ p["P"].T; k = -beta * g
        dm1 = dz1 + k * (m1 - pm)
        dl1 = .5 * (dz1 * e1 * np.exp(l1 / 2) + k * (np.exp(l1) - 1))
        da = -k * (m1 - pm) * (1 - pm ** 2); dz2 = da @ p["L"].T
        dm2 = dz2 + k * m2; dl2 = .5 * (dz2 * e2 * np.exp(l2 / 2) + k * (np.exp(l2) - 1))
        return {"q1": np.stack([x.T @ dm1, x.T @ dl1]), "q2": np.stack([x.T @ dm2, x.T @ dl2]),
                "L": z2.T @ da, "P": z1.T @ do}
'''
def gmake(src, cls, D, Z, kind, *pairs):
    def make():
        r = np.random.default_rng(100 + D + Z)
        B = 5
        x = {"bits": lambda: (r.random((B, D)) < .5).astype(float), "real": lambda: r.normal(size=(B, D)),
             "grey": lambda: np.where(r.random((B, D)) < .4, np.round(r.random((B, D))), r.random((B, D))),
             "ids": lambda: r.integers(0, 5, (B, D))}[kind]()
        return {"model": variant(src, *pairs)[cls](), "x": x, "eps": r.normal(size=(B, Z))}
    return make
add("nb_vae_kl_half", "Jupyter notebook", "gradients", gmake(NOTEBOOK, "VAE", 5, 2, "bits",
    ("- beta * d * 0.5 * (np.exp(lv) - 1)", "- beta * d * (np.exp(lv) - 1)")),
    "The KL's gradient in the log variance lost its 1/2: multiply (exp(lv) - 1) by 0.5.",
    ("W_lv", "b_lv", "W1", "b1"), ("missing-term", "elementwise-factor", "factor"))
add("lecture_columns_db1_mean", "lecture assignment, examples in columns", "gradients", gmake(NG, "Model", 4, 2, "real",
    ("db1 = np.sum(dZ1, axis=1, keepdims=True)", "db1 = np.mean(dZ1, axis=1, keepdims=True)")),
    "db1 is averaged over the examples while the rest is summed: use np.sum.", ("b1",), ("factor",))
add("framework_no_zero_grad", "class-based mini framework", "gradients", gmake(FRAMEWORK, "Net", 4, 2, "bits",
    ("        self.zero_grad()\n        g = np.reshape", "        g = np.reshape")),
    "Gradients are added to those of the call before: call zero_grad() at the start of backward.", (), ("accumulates",))
add("functional_log_sigma_norm", "functional code with closures", "gradients", gmake(FUNCTIONAL, "build", 4, 2, "real",
    ("dnll * (1 - r ** 2)", "dnll * (-r ** 2)")),
    "The gradient of the normaliser log sigma (the 1) is forgotten in dlog_sigma: 1 - r**2.", ("log_sigma",),
    ("missing-term",))
add("seq_vae_carry_untransposed", "port of a recurrent model", "gradients", gmake(RNN, "SeqVAE", 4, 2, "real",
    ('dh = da @ p["Wh"].T', 'dh = da @ p["Wh"]')),
    "The gradient carried to the step before goes through Wh instead of Wh.T.", ("Wx", "Wh", "bh"), ("transpose", "unknown"))
add("prior_mean_sign", "tensorflow-like scoped names", "gradients", gmake(PRIOR, "LearnedPriorVAE", 5, 2, "bits",
    ("np.sum(-dkl * diff * prec", "np.sum(dkl * diff * prec")),
    "d KL / d prior mean is -(mu - prior mean) / var: the minus is missing.", ("prior/mu",), ("sign",))
add("planar_flow_u_logdet", "blog post on flows", "gradients", gmake(FLOW, "PlanarFlowVAE", 4, 2, "bits",
    (' + (ddet * slope).sum(0) * p["w"]', "")),
    "The log determinant's path into u is missing: add (ddet * slope).sum(0) * w.", ("u",), ("missing-term",))
add("bow_vae_embedding_overwrites", "text model with an embedding table", "gradients", gmake(TEXT, "BagOfWordsVAE", 4, 2, "ids",
    ("np.add.at(demb, ids[:, t], dpool)", "demb[ids[:, t]] += dpool")),
    "Rows that hold the same token overwrite one another in demb[ids] += ...: use np.add.at.", ("embedding",),
    ("batch-sum", "missing-term"))
add("tiny_vae_clips_callers_x", "minimal repository, forty lines", "gradients", gmake(CLIPPING, "TinyVAE", 4, 2, "grey"),
    "np.clip(..., out=x) writes into the caller's batch: clip into a new array.", (), ("mutates-input",))
add("framework_zeroed", "class-based mini framework", "gradients", gmake(FRAMEWORK, "Net", 4, 2, "bits"))
add("seq_vae_bptt", "port of a recurrent model", "gradients", gmake(RNN, "SeqVAE", 4, 2, "real"))
add("bow_vae", "text model with an embedding table", "gradients", gmake(TEXT, "BagOfWordsVAE", 4, 2, "ids"))
add("two_storeys", "research code, hierarchical", "gradients", gmake(LADDER, "TwoStoreys", 4, 3, "bits"))
add("functional_log_sigma", "functional code with closures", "gradients", gmake(FUNCTIONAL, "build", 4, 2, "real"))

# -------------------------------------------------------------------- sampler
def s_root_of_half(mu, logvar, eps):
    std = np.sqrt(np.exp(0.5 * logvar))
    return mu + std * eps, {"std": std, "eps": eps}
class SamplingLayer:
    def __init__(self, seed=0): self.rng = np.random.RandomState(seed)
    def __call__(self, z_mean, z_log_var, epsilon):
        epsilon = self.rng.normal(size=z_mean.shape)
        return z_mean + np.exp(0.5 * z_log_var) * epsilon
def s_columns(mu, logvar, eps, fix=False):
    M, S = mu.T, logvar.T                      # features first inside
    E = eps.T if fix else eps.reshape(M.shape)
    Zc = np.empty_like(M)
    for k in range(M.shape[0]): Zc[k] = M[k] + np.exp(S[k] / 2) * E[k]
    return Zc.T
def s_out_overwrites(mu, logvar, eps):
    z = np.empty_like(mu)
    z[...] = mu
    std = np.exp(logvar / 2)
    np.multiply(std, eps, out=z)
    return z, (std, eps)
def s_halves_in_place(mu, logvar, eps):
    logvar *= 0.5
    return mu + np.exp(logvar) * eps
def s_one_scale(mean, log_variance, noise):
    scale = np.exp(0.5 * log_variance).mean(axis=1, keepdims=True)
    return np.add(mean, scale * noise)
def s_minus(mu, logvar, eps): return mu - eps * np.exp(logvar) ** 0.5
def s_float32(mu, logvar, eps):
    m, lv, e = (np.asarray(a, dtype=np.float32) for a in (mu, logvar, eps))
    sigma = np.exp(lv * np.float32(.5))
    e *= sigma
    return m + e, dict(sigma=sigma)
def s_householder(mu, logvar, eps):
    v = np.ones(mu.shape[1]) + np.arange(mu.shape[1])
    v /= np.linalg.norm(v)
    turned = eps - 2 * np.outer(eps @ v, v)
    return np.exp(np.log(2.) * (logvar / np.log(4.))) * turned + mu
def smake(factory):
    def make():
        r = np.random.default_rng(6)
        return {"sampler": factory(), "mu": r.normal(size=(4, 3)) * 1.5, "logvar": r.normal(size=(4, 3)) * 1.2 + .3}
    return make
add("sampler_std_rooted_twice", "notebook cell", "sampler", smake(lambda: s_root_of_half),
    "sqrt(exp(logvar / 2)) halves twice: the deviation is exp(logvar / 2).", ("z",), ("elementwise-factor",))
add("sampler_layer_draws_anew", "keras-like layer", "sampler", smake(SamplingLayer),
    "epsilon is drawn inside and the one given is thrown away: use the argument.", ("z",), ("noise-redrawn",))
add("sampler_columns_reshape", "features-first port", "sampler", smake(lambda: s_columns),
    "eps.reshape where eps.T is meant: rows get one another's noise.", ("z",), ("transpose",))
add("sampler_out_overwrites_mean", "in-place functional code", "sampler", smake(lambda: s_out_overwrites),
    "np.multiply(..., out=z) overwrites the mean copied into z: add to z instead.", ("z",), ("missing-term",))
add("sampler_halves_callers_logvar", "blog post one-liner", "sampler", smake(lambda: s_halves_in_place),
    "logvar *= 0.5 changes the caller's array: take 0.5 * logvar.", (), ("mutates-input",))
add("sampler_one_scale_a_row", "functional code, keepdims", "sampler", smake(lambda: s_one_scale),
    "The deviation is averaged over the latents and spread along the row: drop the mean.", ("z",), ("shape", "elementwise-factor"))
add("sampler_minus_noise", "blog post one-liner", "sampler", smake(lambda: s_minus))
add("sampler_float32", "gpu-minded code in float32", "sampler", smake(lambda: s_float32))
add("sampler_householder", "research code, rotated noise", "sampler", smake(lambda: s_householder))
add("sampler_columns", "features-first port", "sampler", smake(lambda: lambda m, l, e: s_columns(m, l, e, True)))

# ------------------------------------------------------------------- evidence
EVIDENCE = '''
class M:
    D, Z, H = 5, 2, 4
    def __init__(self):
        r = np.random.default_rng(9)
        self.params = {"E": r.normal(size=(self.D, self.H)), "m": r.normal(size=(self.H, self.Z)) * .7,
                       "s": r.normal(size=(self.H, self.Z)) * .5, "G": r.normal(size=(self.Z, self.D)), "g": r.normal(size=self.D)}
    def encode(self, x):
        h = np.tanh((2 * x - 1) @ self.params["E"])
        return h @ self.params["m"], h @ self.params["s"] - .4
    def decode(self, z): return np.tanh(z) @ self.params["G"] + self.params["g"], z
    def objective(self, x, eps, beta=1.0):
        mu, logvar = self.encode(x)[:2]
        std = np.exp(0.5 * logvar)
        z = mu + std * eps
        logits = self.decode(z)[0]
        nll = (np.logaddexp(0, logits) - x * logits).sum(axis=1)
        kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
        elbo = -nll - kl
        return NS(objective=-nll - beta * kl, elbo=elbo, nll=nll, kl=kl), (x, eps, mu, logvar, z, logits)
'''
E_TAIL = EVIDENCE[EVIDENCE.index("        std = np.exp"):]
MC_TAIL = '''        sigma = np.exp(logvar / 2)
        z = mu + sigma * eps
        log_q = -0.5 * np.sum(((z - mu) / sigma) ** 2 + logvar + np.log(2 * np.pi), axis=1)
        log_p = -0.5 * np.sum(z ** 2 + np.log(2 * np.pi), axis=1)
        logits = self.decode(z)[0]
        nll = np.logaddexp(0, np.where(x > .5, -logits, logits)).sum(1)
        return NS(elbo=log_p - log_q - nll, nll=nll), (z, logits)
'''
IW_TAIL = '''        K, B, Z = eps.shape
        z = mu + np.exp(.5 * logvar) * eps
        out = self.decode(z.reshape(K * B, Z))[0].reshape(K, B, -1)
        log_px = np.sum(x * out - np.logaddexp(0, out), axis=-1)
        log_w = log_px + .5 * np.sum(eps ** 2 - z ** 2 + logvar, axis=-1)
        top = log_w.max(axis=0)
        bound = top + np.log(np.exp(log_w - top).mean(axis=0))
        return NS(elbo=bound, objective=bound), (log_w, z)
    def draw_eps(self, B, rng, K=5): return rng.standard_normal((K, B, self.Z))
'''
COL_TAIL = '''        M_, S_, X = mu.T, logvar.T, x.T
        Zt = np.sqrt(np.exp(S_)) * eps.T
        Zt += M_
        A = self.decode(Zt.T)[0].T
        P = np.clip(1 / (1 + np.exp(-A)), 1e-12, 1 - 1e-12)
        rec = np.log(P ** X * (1 - P) ** (1 - X)).sum(0)
        kl = np.zeros(X.shape[1])
        for m, s in zip(M_, S_): kl += (np.expm1(s) - s + m * m) / 2
        return NS(elbo=rec - kl, nll=-rec, kl=kl), None
'''
def emake(*pairs):
    def make():
        x = np.array([[0, 1, 1, 0, 1], [1, 1, 0, 0, 0], [0, 0, 0, 1, 1], [1, 0, 1, 1, 0], [1, 1, 1, 1, 0]], float)
        return {"model": variant(EVIDENCE, *pairs)["M"](), "x": x}
    return make
add("bound_kl_batch_mean", "notebook model", "evidence", emake(("np.exp(logvar), axis=1)", "np.exp(logvar), axis=1).mean()")),
    "The KL is averaged over the batch and the mean is taken from each row: keep it a row.", ("elbo",), ("batch-sum",))
add("bound_nll_pixel_mean", "keras-like losses", "evidence", emake(("- x * logits).sum(axis=1)", "- x * logits).mean(axis=1)")),
    "The cross entropy is averaged over the pixels: sum it.", ("elbo",), ("factor",))
add("bound_iw_no_log_k", "importance-weighted port", "evidence", emake((E_TAIL, IW_TAIL.replace(".mean(axis=0))", ".sum(axis=0))"))),
    "log of the sum of the weights instead of their mean: - log K is missing.", ("elbo",), ("missing-term",))
add("bound_std_is_exp_logvar", "blog post model", "evidence", emake(("std = np.exp(0.5 * logvar)", "std = np.exp(logvar)")),
    "The latent is drawn with exp(logvar) for a deviation: use exp(logvar / 2).", ("elbo",), ("elementwise-factor",))
add("bound_adds_kl", "functional loss", "evidence", emake(("elbo = -nll - kl", "elbo = -nll + kl")),
    "The KL is added to the bound: subtract it.", ("elbo",), ("sign",))
add("bound_sampled_kl", "research code, log densities", "evidence", emake((E_TAIL, MC_TAIL)))
add("bound_iw", "importance-weighted port", "evidence", emake((E_TAIL, IW_TAIL)))
add("bound_columns", "features-first lecture code", "evidence", emake((E_TAIL, COL_TAIL)))

# ----------------------------------------------------------------- likelihood
LIK = '''
def sig(a): return 0.5 * (1 + np.tanh(a / 2))
class Laplace:
    support, n_params = (-np.inf, np.inf), 2
    def nll(self, x, logits):
        loc, logb = np.split(logits, 2, axis=1)
        r = (x - loc) / np.exp(logb)
        return (np.abs(r) + logb + np.log(2)).sum(1), (r, logb)
    def nll_backward(self, dnll, cache):
        r, logb = cache
        d = dnll[:, None]
        return np.hstack([-d * np.sign(r) * np.exp(-logb), d * (1 - np.abs(r))])
    def mean(self, logits): return logits[:, :logits.shape[1] // 2].copy()
    def sample(self, logits, rng):
        loc, logb = np.split(logits, 2, axis=1)
        u = rng.uniform(-.5, .5, loc.shape)
        return loc - np.exp(logb) * np.sign(u) * np.log1p(-2 * np.abs(u))
class Logistic:
    support = (-np.inf, np.inf)
    n_params = 2
    def nll(self, x, params):
        n = x.shape[1]
        m, ls = params[:, :n], params[:, n:]
        y = (x - m) * np.exp(-ls)
        return np.sum(y + ls + 2 * np.logaddexp(0, -y), axis=1), {"y": y, "ls": ls}
    def nll_backward(self, dnll, c):
        dy = 1 - 2 * sig(-c["y"])
        dm = -dy * np.exp(-c["ls"])
        dls = 1 - dy * c["y"]
        return dnll[:, None] * np.concatenate((dm, dls), axis=1)
    def mean(self, params): return params[:, :params.shape[1] // 2]
    def sample(self, params, rng):
        m, ls = np.array_split(params, 2, axis=1)
        return rng.logistic(m, np.exp(ls))
class Gamma2:
    """p(x) = rate^2 x exp(-rate x), rate = exp(logit)"""
    support, n_params = (0.0, np.inf), 1
    def nll(self, x, a):
        rate = np.exp(a)
        return np.sum(rate * x - 2 * a - np.log(x), axis=1), rate * x
    def nll_backward(self, dnll, rx): return dnll.reshape(-1, 1) * (rx - 2)
    def mean(self, a): return 2 / np.exp(a)
    def sample(self, a, rng): return rng.gamma(2.0, np.exp(-a))
class Gumbel:
    def __init__(self): self.support, self.n_params = (-np.inf, np.inf), 2
    def _parts(self, t):
        D = t.shape[1] // 2
        return t[:, :D], 0.3 + np.logaddexp(0, t[:, D:]), t[:, D:]
    def nll(self, x, t):
        mu, s, raw = self._parts(t)
        y = (x - mu) / s
        return (y + np.exp(-y) + np.log(s)).sum(-1), (y, s, raw)
    def nll_backward(self, g, cache):
        y, s, raw = cache
        dy = 1 - np.exp(-y)
        return g[:, None] * np.concatenate([-dy / s, (1 - dy * y) / s * sig(raw)], 1)
    def mean(self, t):
        mu, s, _ = self._parts(t)
        return mu + np.euler_gamma * s
    def sample(self, t, rng):
        mu, s, _ = self._parts(t)
        return mu - s * np.log(rng.exponential(size=mu.shape))
class Normal:
    support, n_params = (-np.inf, np.inf), 2
    @staticmethod
    def nll(x, logits):
        mu, lv = logits.reshape(len(x), 2, -1).transpose(1, 0, 2)
        r2 = (x - mu) ** 2 * np.exp(-lv)
        return 0.5 * (r2 + lv + math.log(2 * math.pi)).sum(axis=1), (x, mu, lv, r2)
    @staticmethod
    def nll_backward(dnll, cache):
        x, mu, lv, r2 = cache
        dmu = (mu - x) * np.exp(-lv) * dnll[:, None]
        dlv = 0.5 * (1 - r2) * dnll[:, None]
        return np.stack([dmu, dlv], axis=1).reshape(len(x), -1)
    @staticmethod
    def mean(logits): return logits[:, :logits.shape[1] // 2]
    @staticmethod
    def sample(logits, rng):
        mu, lv = np.hsplit(logits, 2)
        return rng.normal(mu, np.exp(lv / 2))
class ContinuousBernoulli:
    support, n_params = (0., 1.), 1
    def _log_z(self, a):                        # log of the integral of exp(a x) over (0, 1)
        s = np.where(np.abs(a) < 1e-2, 1., a)
        return np.where(np.abs(a) < 1e-2, a / 2 + a ** 2 / 24, np.maximum(a, 0) + np.log(-np.expm1(-np.abs(s)) / np.abs(s)))
    def mean(self, a):
        s = np.where(np.abs(a) < 1e-2, 1., a)
        return np.where(np.abs(a) < 1e-2, .5 + a / 12 - a ** 3 / 720, -1 / np.expm1(-s) - 1 / s)
    def nll(self, x, a): return (self._log_z(a) - a * x).sum(1), (x, a)
    def nll_backward(self, dnll, cache):
        x, a = cache
        return dnll[:, None] * (self.mean(a) - x)
    def sample(self, a, rng):
        u = rng.random(a.shape)
        s = np.where(np.abs(a) < 1e-6, 1., a)
        return np.where(np.abs(a) < 1e-6, u, np.log1p(u * np.expm1(s)) / s)
class LogNormal:
    """bounded scale: log sigma = 0.5 tanh(t) - 0.7"""
    support, n_params = (0.0, float("inf")), 2
    def nll(self, x, logits):
        D = x.shape[1]
        th = np.tanh(logits[:, D:])
        ls = .5 * th - .7
        r = (np.log(x) - logits[:, :D]) * np.exp(-ls)
        return np.sum(.5 * r * r + ls + np.log(x), 1) + .5 * D * np.log(2 * np.pi), (r, ls, th)
    def nll_backward(self, dnll, cache):
        r, ls, th = cache
        out = np.empty((r.shape[0], 2 * r.shape[1]))
        out[:, :r.shape[1]] = -r * np.exp(-ls)
        out[:, r.shape[1]:] = (1 - r * r) * .5 * (1 - th * th)
        out *= dnll[:, None]
        return out
    def mean(self, logits):
        m, t = np.split(logits, 2, 1)
        return np.exp(m + .5 * np.exp(np.tanh(t) - 1.4))
    def sample(self, logits, rng):
        m, t = np.split(logits, 2, 1)
        return rng.lognormal(m, np.exp(.5 * np.tanh(t) - .7))
class StudentT:
    """nine degrees of freedom"""
    nu, support, n_params = 9.0, (-np.inf, np.inf), 2
    def nll(self, x, logits):
        loc, ls = np.split(logits, [x.shape[1]], axis=1)
        r = (x - loc) * np.exp(-ls)
        const = math.lgamma(self.nu / 2) - math.lgamma((self.nu + 1) / 2) + .5 * math.log(self.nu * math.pi)
        return np.sum(const + ls + (self.nu + 1) / 2 * np.log1p(r ** 2 / self.nu), axis=1), (r, ls)
    def nll_backward(self, dnll, cache):
        r, ls = cache
        w = (self.nu + 1) * r / (self.nu + r ** 2)
        return np.concatenate([-w * np.exp(-ls), 1 - w * r], axis=1) * dnll[:, None]
    def mean(self, logits): return np.split(logits, 2, axis=1)[0]
    def sample(self, logits, rng):
        loc, ls = np.split(logits, 2, axis=1)
        return loc + np.exp(ls) * rng.standard_t(self.nu, size=loc.shape)
class Kumaraswamy:
    """a = 1 + softplus, b = 1 + softplus"""
    support, n_params = (0.0, 1.0), 2
    def _ab(self, t): return np.split(1 + np.logaddexp(0, t), 2, axis=1)
    def nll(self, x, t):
        a, b = self._ab(t)
        v = -np.log(a) - np.log(b) - (a - 1) * np.log(x) - (b - 1) * np.log1p(-x ** a)
        return v.sum(1), (x, a, b, t)
    def nll_backward(self, dnll, cache):
        x, a, b, t = cache
        xa = x ** a
        da = -1 / a - np.log(x) + (b - 1) * xa * np.log(x) / (1 - xa)
        db = -1 / b - np.log1p(-xa)
        return np.hstack((da, db)) * sig(t) * dnll[:, None]
    def mean(self, t):
        lg = np.vectorize(math.lgamma)
        a, b = self._ab(t)
        return b * np.exp(lg(1 + 1 / a) + lg(b) - lg(1 + 1 / a + b))
    def sample(self, t, rng):
        a, b = self._ab(t)
        return (1 - (1 - rng.random(a.shape)) ** (1 / b)) ** (1 / a)
'''
def lmake(cls, *pairs): return lambda: {"p": variant(LIK, *pairs)[cls]()}
add("laplace_no_log_two", "blog post class", "likelihood", lmake("Laplace", (" + logb + np.log(2))", " + logb)")),
    "The normaliser 2b lacks its 2: add log 2 a pixel.", ("nll",), ("missing-term",))
add("logistic_scale_without_y", "pixel model port", "likelihood", lmake("Logistic", ('dls = 1 - dy * c["y"]', "dls = 1 - dy")),
    "dy / dlog_scale is -y, but y is not multiplied in: 1 - dy * y.", ("logits",), ("elementwise-factor", "missing-term"))
add("gamma2_mean_times_rate", "probability course exercise", "likelihood", lmake("Gamma2", ("return 2 / np.exp(a)", "return 2 * np.exp(a)")),
    "The mean of a gamma is shape / rate, not shape * rate.", ("mean",), ("elementwise-factor",))
add("gumbel_sample_of_minimum", "class-based mini framework", "likelihood", lmake("Gumbel",
    ("mu - s * np.log(rng.exp", "mu + s * np.log(rng.exp")),
    "The sample is of the mirrored Gumbel (of minima): subtract s * log(exponential).", ("sample",), ("sign",))
add("normal_interleaved_gradient", "static-method utilities", "likelihood", lmake("Normal",
    ("np.stack([dmu, dlv], axis=1)", "np.stack([dmu, dlv], axis=2)")),
    "Gradients come interleaved, mean and log variance in turn; stack along axis 1 so that each block is whole.",
    ("logits",), ("transpose",))
add("continuous_bernoulli", "paper re-implementation", "likelihood", lmake("ContinuousBernoulli"))
add("lognormal_bounded_scale", "in-place functional code", "likelihood", lmake("LogNormal"))
add("student_t_nine", "probability course exercise", "likelihood", lmake("StudentT"))
add("kumaraswamy", "paper re-implementation", "likelihood", lmake("Kumaraswamy"))

# ------------------------------------------------------------------ optimizer
class Adam:
    def __init__(self, lr=0.05, b1=0.9, b2=0.99, eps=1e-8, wd=0.0):
        self.lr, self.b1, self.b2, self.eps, self.wd, self.t, self.m, self.v = lr, b1, b2, eps, wd, 0, {}, {}
    def step(self, params, grads):
        self.t += 1
        for k, g in grads.items():
            self.m[k] = self.b1 * self.m.get(k, 0) + (1 - self.b1) * g
            self.v[k] = self.b2 * self.v.get(k, 0) + (1 - self.b2) * g ** 2
            mh, vh = self.m[k] / (1 - self.b1 ** self.t), self.v[k] / (1 - self.b2 ** self.t)
            params[k] -= self.lr * (mh / (np.sqrt(vh) + self.eps) + self.wd * params[k])
class Momentum:
    def __init__(self, lr=0.1, mu=0.8, clip=None): self.lr, self.mu, self.clip, self.v = lr, mu, clip, {}
    def step(self, params, grads):
        norm = math.sqrt(sum(float((g ** 2).sum()) for g in grads.values()))
        c = 1.0 if self.clip is None or norm <= self.clip else self.clip / norm
        for k, g in grads.items():
            self.v[k] = self.mu * self.v.get(k, 0) - self.lr * c * g
            params[k] += self.v[k]
class RMSProp:
    def __init__(self, lr=0.03, rho=0.9, eps=1e-6, root=True): self.lr, self.rho, self.eps, self.root, self.s = lr, rho, eps, root, {}
    def step(self, params, grads):
        for k, g in grads.items():
            self.s[k] = self.rho * self.s.get(k, 0) + (1 - self.rho) * g * g
            params[k] -= self.lr * g / ((np.sqrt(self.s[k]) if self.root else self.s[k]) + self.eps)
class Adagrad:
    def __init__(self, lr=0.2, eps=1e-7): self.lr, self.eps, self.h = lr, eps, {}
    def step(self, params, grads):
        for k in params:
            self.h.setdefault(k, np.zeros_like(params[k]))
            self.h[k] += grads[k] ** 2
            params[k] -= self.lr * grads[k] / (np.sqrt(self.h[k]) + self.eps)
class AdamClockInLoop(Adam):
    def step(self, params, grads):
        for name in params:
            self.t += 1
            g = grads[name]
            if name not in self.m: self.m[name], self.v[name] = np.zeros_like(g), np.zeros_like(g)
            self.m[name] += (1 - self.b1) * (g - self.m[name])
            self.v[name] += (1 - self.b2) * (g * g - self.v[name])
            step = self.m[name] / (1 - self.b1 ** self.t)
            params[name] -= self.lr * step / (np.sqrt(self.v[name] / (1 - self.b2 ** self.t)) + self.eps)
class ClipsInPlace(Momentum):
    def step(self, params, grads):
        total = np.sqrt(sum(np.sum(np.square(g)) for g in grads.values()))
        if total > self.clip:
            for g in grads.values(): g *= self.clip / total
        for k in params:
            v = self.v.setdefault(k, np.zeros_like(params[k]))
            v *= self.mu
            v -= self.lr * grads[k]
            params[k] += v
class AdamWDecayGrows(Adam):
    def step(self, params, grads):
        for p in params.values(): p *= 1 + self.lr * self.wd
        wd, self.wd = self.wd, 0.0
        super().step(params, grads)
        self.wd = wd
class AdamOneRate(Adam):
    """the paper's efficient order: one rate a step, with epsilon scaled along"""
    def step(self, params, grads):
        self.t += 1
        root = math.sqrt(1 - self.b2 ** self.t)
        rate = self.lr * root / (1 - self.b1 ** self.t)
        for k in params:
            m, v = self.m.setdefault(k, np.zeros_like(params[k])), self.v.setdefault(k, np.zeros_like(params[k]))
            m *= self.b1
            m += (1 - self.b1) * grads[k]
            v *= self.b2
            v += (1 - self.b2) * grads[k] * grads[k]
            params[k] -= rate * m / (np.sqrt(v) + self.eps * root)
class LookBack:
    """heavy ball from the last two positions"""
    def __init__(self, lr, mu): self.lr, self.mu, self.before = lr, mu, {}
    def step(self, params, grads):
        for k, p in params.items():
            here = p.copy()
            p += self.mu * (here - self.before.get(k, here)) - self.lr * grads[k]
            self.before[k] = here
class FlatAdagrad:
    """all parameters in one long vector"""
    def __init__(self, lr=0.2, eps=1e-7): self.lr, self.eps, self.acc = lr, eps, None
    def step(self, params, grads):
        names = sorted(params)
        g = np.concatenate([grads[n].ravel() for n in names])
        self.acc = g * g if self.acc is None else self.acc + g * g
        delta, i = self.lr * g / (np.sqrt(self.acc) + self.eps), 0
        for n in names:
            params[n] -= delta[i:i + params[n].size].reshape(params[n].shape)
            i += params[n].size
def omake(o, r): return lambda: {"optimizer": o(), "reference": r()}
add("adam_clock_in_loop", "class-based mini framework", "optimizer", omake(AdamClockInLoop, Adam),
    "t is advanced once a parameter instead of once a step: move self.t += 1 before the loop.", ("params",),
    ("factor", "elementwise-factor"))
add("momentum_clips_callers_grads", "trainer utilities", "optimizer", omake(lambda: ClipsInPlace(clip=.5), lambda: Momentum(clip=.5)),
    "Clipping by the norm scales the caller's gradients in place: scale a copy.", (), ("mutates-input",))
add("adamw_decay_grows", "port of a torch optimizer", "optimizer", omake(lambda: AdamWDecayGrows(wd=.2), lambda: Adam(wd=.2)),
    "The decoupled decay multiplies by 1 + lr * wd: it has to be 1 - lr * wd.", ("params",), ("sign", "missing-term"))
add("rmsprop_no_root", "notebook optimizer", "optimizer", omake(lambda: RMSProp(root=False), RMSProp),
    "The gradient is divided by the mean square, not by its root.", ("params",), ("elementwise-factor",))
add("adam_one_rate", "port of the paper's efficient form", "optimizer", omake(AdamOneRate, Adam))
add("heavy_ball_look_back", "numerical analysis course", "optimizer", omake(lambda: LookBack(.1, .8), Momentum))
add("adagrad_flat", "scipy-like flat vector", "optimizer", omake(FlatAdagrad, Adagrad))

# --------------------------------------------------------------- verification
def differ(a, b, tol):
    a, b = np.asarray(a), np.asarray(b)
    return a.shape != b.shape or not np.all(np.isfinite(a)) or np.abs(a - b).max() > tol * max(1, np.abs(b).max())
def v_gradients(a):
    m, x0, eps = a["model"], a["x"], a["eps"]
    d, beta, bad = np.random.default_rng(1).normal(size=len(eps)), 0.7, set()
    x = x0.copy()
    c = m.objective(x, eps, beta)[1]
    g, again = m.backward(d, c), m.backward(d, c)
    if not np.array_equal(x, x0): bad.add("!mutates-input")
    if any(differ(g[k], again[k], 1e-12) for k in g): bad.add("!accumulates")
    terms = m.objective(x0.copy(), eps, beta)[0]
    assert np.allclose(terms.objective, -terms.nll - beta * terms.kl) and set(g) == set(m.params)
    for k, p in m.params.items():
        num = np.zeros_like(p)
        for i in np.ndindex(p.shape):
            old = p[i]
            v = []
            for h in (1e-5, -1e-5):
                p[i] = old + h
                v.append(d @ m.objective(x0.copy(), eps, beta)[0].objective)
            p[i] = old
            num[i] = (v[0] - v[1]) / 2e-5
        if differ(g[k], num, 1e-6):
            assert differ(g[k], num, 1e-3), k
            bad.add(k)
    return bad
def v_sampler(a):
    s, mu, lv, bad = a["sampler"], a["mu"], a["logvar"], set()
    r, out = np.random.default_rng(2), lambda v: v[0] if isinstance(v, tuple) else v
    N, (B, Z) = 20000, mu.shape
    e = r.normal(size=(N, Z))
    for i in range(B):                          # many rows with the same mean and variance
        z = out(s(np.tile(mu[i], (N, 1)), np.tile(lv[i], (N, 1)), e))
        if np.any(np.abs(z.mean(0) - mu[i]) > .05 * np.exp(lv[i] / 2)) or differ(np.cov(z.T) / np.exp(np.add.outer(lv[i], lv[i]) / 2), np.eye(Z), .06):
            bad.add("z")
    e = r.normal(size=(B, Z))
    m1, l1, e2 = mu.copy(), lv.copy(), e.copy()
    z1 = out(s(m1, l1, e))
    if not (np.array_equal(m1, mu) and np.array_equal(l1, lv)): bad.add("!mutates-input")
    e2[0] += 1
    moved = np.any(out(s(mu.copy(), lv.copy(), e2)) != z1, axis=1)
    if moved.tolist() != [True] + [False] * (B - 1): bad.add("z")
    return bad
def v_evidence(a):
    m, x = a["model"], a["x"]
    mu, lv = m.encode(x)[:2]
    r, N, (B, Z) = np.random.default_rng(4), 6000, mu.shape
    iw = hasattr(m, "draw_eps")
    got, want = np.zeros((N, B)), np.zeros((N, B))
    for n in range(N):
        e = m.draw_eps(B, r) if iw else r.normal(size=(B, Z))
        z = mu + np.exp(lv / 2) * e
        o = m.decode(z.reshape(-1, Z))[0].reshape(z.shape[:-1] + (-1,))
        lw = (x * o - np.logaddexp(0, o)).sum(-1) + .5 * (e ** 2 - z ** 2 + lv).sum(-1)
        want[n] = np.log(np.exp(lw).mean(0)) if iw else lw
        got[n] = m.objective(x, e)[0].elbo
    gap = got - want                             # exact or of mean zero
    err = np.abs(gap.mean(0)) - 5 * gap.std(0) / math.sqrt(N)
    return {"elbo"} if err.max() > 1e-3 else set()
def v_likelihood(a):
    p, bad, r = a["p"], set(), np.random.default_rng(5)
    B, D, lo, hi = 4, 3, *p.support
    t = r.normal(size=(B, D * p.n_params)) * .7
    x = p.sample(t, r)
    d = r.normal(size=B)
    g, num = p.nll_backward(d, p.nll(x, t)[1]), np.zeros_like(t)
    for i in np.ndindex(t.shape):
        e = np.zeros_like(t)
        e[i] = 1e-5
        num[i] = d @ (p.nll(x, t + e)[0] - p.nll(x, t - e)[0]) / 2e-5
    if differ(g, num, 1e-6): bad.add("logits")
    big = p.sample(np.tile(t[0], (60000, 1)), r)
    for j in range(D):                           # one pixel at a time
        tj = t[0][j::D]
        u = np.linspace(-14, 14, 40001)
        X, J = {(True, True): (np.sinh(u / 2), np.cosh(u / 2) / 2), (False, True): (np.exp(u), np.exp(u)),
                (False, False): (1 / (1 + np.exp(-u)), 1 / (2 + np.exp(u) + np.exp(-u)))}[(lo == -np.inf, hi == np.inf)]
        with np.errstate(over="ignore"):
            f = np.exp(-p.nll(X[:, None], np.tile(tj, (len(X), 1)))[0]) * J * (u[1] - u[0])
        if abs(f.sum() - 1) > 1e-4: bad.add("nll")
        mean = (f * X).sum() / f.sum()
        sd = math.sqrt((f * X * X).sum() / f.sum() - mean ** 2)
        if abs(p.mean(t)[0, j] - mean) > 1e-3: bad.add("mean")
        if abs(big[:, j].mean() - mean) > .025 * sd or abs(big[:, j].std() / sd - 1) > .05: bad.add("sample")
    return bad
def v_optimizer(a):
    r, bad = np.random.default_rng(7), set()
    P = {"W": r.normal(size=(3, 2)), "b": r.normal(size=2)}
    Q = {k: v.copy() for k, v in P.items()}
    for _ in range(8):
        G = {k: r.normal(size=v.shape) for k, v in P.items()}
        H = {k: v.copy() for k, v in G.items()}
        a["reference"].step(Q, {k: v.copy() for k, v in G.items()})
        a["optimizer"].step(P, G)
        if any(not np.array_equal(G[k], H[k]) for k in G): bad.add("!mutates-input")
    if any(differ(P[k], Q[k], 1e-9) for k in P):
        assert any(differ(P[k], Q[k], 1e-3) for k in P)
        bad.add("params")
    return bad
if __name__ == "__main__":
    from collections import Counter
    fails = 0
    assert len({i.name for i in ITEMS}) == len(ITEMS)
    for it in ITEMS:
        bad = globals()["v_" + it.check](it.make())
        named = set(it.wrong)
        named |= {"!" + c for c in it.causes if c in ("mutates-input", "accumulates")}
        if bad != named:
            fails += 1
            print("MISMATCH", it.check, it.name, "found", sorted(bad), "named", sorted(named))
    print(dict(Counter((i.check, "right" if i.right else "wrong") for i in ITEMS)), "fails", fails)
