"""Latent-variable models and what belongs to them: gradients, samplers, evidence bounds, likelihoods, optimizers."""
from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Callable, NamedTuple

import numpy as np
from scipy import special
from scipy.special import expit, gammaln, log_softmax, logsumexp, softmax


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


class TutorialVAE:
    """A Bernoulli VAE on a napkin: one tanh layer each way."""

    def __init__(self, D=6, H=4, Z=2, seed=0):
        r = np.random.default_rng(seed)
        s = lambda *sh: 0.6 * r.standard_normal(sh)
        self.params = {"We": s(D, H), "be": s(H), "Wm": s(H, Z), "bm": s(Z), "Wv": s(H, Z), "bv": s(Z),
                       "Wd": s(Z, H), "bd": s(H), "Wo": s(H, D), "bo": s(D)}

    def encode(self, x):
        p = self.params
        h = np.tanh(x @ p["We"] + p["be"])
        return h @ p["Wm"] + p["bm"], h @ p["Wv"] + p["bv"], h

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, logvar, h = self.encode(x)
        std = np.exp(0.5 * logvar)
        z = mu + std * eps
        g = np.tanh(z @ p["Wd"] + p["bd"])
        logits = g @ p["Wo"] + p["bo"]
        nll = (np.logaddexp(0, logits) - x * logits).sum(1)
        kl = 0.5 * (mu ** 2 + np.exp(logvar) - 1 - logvar).sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, h, mu, logvar, std, eps, z, g, logits, beta)

    def backward(self, dobjective, cache):
        x, h, mu, logvar, std, eps, z, g, logits, beta = cache
        p, out = self.params, {}
        d = dobjective[:, None]
        dlogits = -d * (expit(logits) - x)
        out["Wo"], out["bo"] = g.T @ dlogits, dlogits.sum(0)
        da = dlogits @ p["Wo"].T * (1 - g * g)
        out["Wd"], out["bd"] = z.T @ da, da.sum(0)
        dz = da @ p["Wd"].T
        dmu = dz - beta * d * mu
        dlogvar = dz * eps * std - beta * d * 0.5 * (np.exp(logvar) - 1)
        out["Wm"], out["bm"] = h.T @ dmu, dmu.sum(0)
        out["Wv"], out["bv"] = h.T @ dlogvar, dlogvar.sum(0)
        dh = (dmu @ p["Wm"].T + dlogvar @ p["Wv"].T) * (1 - h * h)
        out["We"], out["be"] = x.T @ dh, dh.sum(0)
        return out


def make_autograd_tutorial_vae():
    r = np.random.default_rng(101)
    return {"model": TutorialVAE(), "x": (r.random((5, 6)) < 0.5).astype(float), "eps": r.standard_normal((5, 2))}


ITEMS.append(Item('autograd_tutorial_vae', 'blog post', 'gradients', make_autograd_tutorial_vae, False,
                  slip='the path through std lacks its 1/2: dlogvar = 0.5 * dz * eps * std',
                  wrong=('We', 'be', 'Wv', 'bv'), causes=('factor', 'elementwise-factor')))


class ConditionalVAE:
    """q(z|x,y), p(z|y), p(x|z,y); the last n_cls columns of a row are the one-hot label."""

    def __init__(self, n_pix=4, n_cls=3, n_z=2, seed=1):
        r = np.random.default_rng(seed)
        self.n_pix, self.n_cls, self.n_z = n_pix, n_cls, n_z
        w = lambda i, o: r.normal(0, 0.5, (i, o))
        self.params = dict(enc=w(n_pix + n_cls, 2 * n_z), prior_mu=w(n_cls, n_z), prior_lv=w(n_cls, n_z),
                           dec1=w(n_z + n_cls, 5), dec2=w(5, n_pix))

    def encode(self, xy):
        mu, lv = np.split(xy @ self.params["enc"], 2, axis=1)
        return mu, lv

    def objective(self, xy, eps, beta=1.0):
        P = self.params
        pix, y = xy[:, :self.n_pix], xy[:, self.n_pix:]
        mu, lv = self.encode(xy)
        pm, pv = y @ P["prior_mu"], y @ P["prior_lv"]
        s = np.exp(lv / 2)
        zy = np.concatenate([mu + s * eps, y], 1)
        pre = zy @ P["dec1"]
        hid = np.where(pre > 0, pre, 0.1 * pre)
        out = hid @ P["dec2"]
        nll = 0.5 * ((pix - out) ** 2).sum(1) + 0.5 * self.n_pix * np.log(2 * np.pi)
        diff = mu - pm
        kl = 0.5 * (pv - lv + (np.exp(lv) + diff ** 2) * np.exp(-pv) - 1).sum(1)
        T = namedtuple("Terms", "objective nll kl")
        return T(-nll - beta * kl, nll, kl), dict(xy=xy, y=y, lv=lv, pv=pv, s=s, eps=eps, zy=zy, pre=pre, hid=hid,
                                                  res=out - pix, diff=diff, beta=beta)

    def backward(self, dobjective, c):
        P = self.params
        w = dobjective[:, None]
        dout = -w * c["res"]
        dhid = dout @ P["dec2"].T
        dpre = dhid * np.where(c["pre"] > 0, 1.0, 0.1)
        dz = (dpre @ P["dec1"].T)[:, :self.n_z]
        wk = -c["beta"] * w
        prec = np.exp(-c["pv"])
        dmu = dz + wk * c["diff"] * prec
        dlv = dz * c["eps"] * c["s"] / 2 + wk * 0.5 * (np.exp(c["lv"]) * prec - 1)
        dpm = wk * c["diff"] * prec
        dpv = wk * 0.5 * (1 - (np.exp(c["lv"]) + c["diff"] ** 2) * prec)
        return dict(enc=c["xy"].T @ np.hstack([dmu, dlv]), prior_mu=c["y"].T @ dpm, prior_lv=c["y"].T @ dpv,
                    dec1=c["zy"].T @ dpre, dec2=c["hid"].T @ dout)


def make_cvae_learned_prior():
    r = np.random.default_rng(102)
    x = np.hstack([r.standard_normal((6, 4)), np.eye(3)[[0, 1, 2, 2, 0, 1]]])
    return {"model": ConditionalVAE(), "x": x, "eps": r.standard_normal((6, 2))}


ITEMS.append(Item('cvae_learned_prior', 'research repository', 'gradients', make_cvae_learned_prior, False,
                  slip="the gradient of the prior's mean has mu's sign; it is minus that",
                  wrong=('prior_mu',), causes=('sign',)))


class TwoLevel:
    """z2 ~ N(0,I), z1 | z2 ~ N(z2 A + a, I), x | z1 Bernoulli.  eps holds the noise of both levels."""

    def __init__(self, D=5, Z=3, seed=2):
        rs = np.random.RandomState(seed)
        self.Z = Z
        self.params = {"U1": rs.randn(D, 2 * Z) * .4, "U2": rs.randn(Z, 2 * Z) * .4, "A": rs.randn(Z, Z) * .7,
                       "a": rs.randn(Z) * .3, "V": rs.randn(Z, D) * .6, "c": rs.randn(D) * .2}

    def objective(self, x, eps, beta=1.0):
        P, Z = self.params, self.Z
        e1, e2 = eps[:, :Z], eps[:, Z:]
        q1 = x @ P["U1"]
        m1, v1 = q1[:, :Z], q1[:, Z:]
        z1 = m1 + np.exp(.5 * v1) * e1
        q2 = np.tanh(m1) @ P["U2"]
        m2, v2 = q2[:, :Z], q2[:, Z:]
        z2 = m2 + np.exp(.5 * v2) * e2
        gap = m1 - (z2 @ P["A"] + P["a"])
        kl1 = .5 * (np.exp(v1) + gap ** 2 - 1 - v1).sum(1)
        kl2 = .5 * (np.exp(v2) + m2 ** 2 - 1 - v2).sum(1)
        lg = z1 @ P["V"] + P["c"]
        nll = -(x * lg - np.logaddexp(0, lg)).sum(1)
        kl = kl1 + kl2
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, e1, e2, m1, v1, z1, m2, v2, z2, gap, lg, beta)

    def backward(self, dobjective, cache):
        P = self.params
        x, e1, e2, m1, v1, z1, m2, v2, z2, gap, lg, beta = cache
        do = dobjective.reshape(-1, 1)
        dk = -beta * do
        dlg = do * (x - expit(lg))
        dz1 = dlg @ P["V"].T
        dgap = dk * gap
        dz2 = -dgap @ P["A"]
        dm2 = dz2 + dk * m2
        dv2 = dz2 * .5 * np.exp(.5 * v2) * e2 + dk * .5 * (np.exp(v2) - 1)
        dq2 = np.concatenate((dm2, dv2), 1)
        t = np.tanh(m1)
        dm1 = dz1 + dgap + (dq2 @ P["U2"].T) * (1 - t ** 2)
        dv1 = dz1 * .5 * np.exp(.5 * v1) * e1 + dk * .5 * (np.exp(v1) - 1)
        return {"V": z1.T @ dlg, "c": dlg.sum(0), "A": -z2.T @ dgap, "a": -dgap.sum(0), "U2": t.T @ dq2,
                "U1": x.T @ np.concatenate((dm1, dv1), 1)}


def make_ladder_two_latents():
    r = np.random.default_rng(103)
    return {"model": TwoLevel(), "x": (r.random((5, 5)) < .4) * 1.0, "eps": r.standard_normal((5, 6))}


ITEMS.append(Item('ladder_two_latents', 'research repository', 'gradients', make_ladder_two_latents, False,
                  slip="the gradient goes back through the prior's square matrix A itself, not A.T",
                  wrong=('U1', 'U2'), causes=('transpose',)))


class TwoLevelB:
    """z2 ~ N(0,I), z1 | z2 ~ N(z2 A + a, I), x | z1 Bernoulli.  eps holds the noise of both levels."""

    def __init__(self, D=5, Z=3, seed=2):
        rs = np.random.RandomState(seed)
        self.Z = Z
        self.params = {"U1": rs.randn(D, 2 * Z) * .4, "U2": rs.randn(Z, 2 * Z) * .4, "A": rs.randn(Z, Z) * .7,
                       "a": rs.randn(Z) * .3, "V": rs.randn(Z, D) * .6, "c": rs.randn(D) * .2}

    def objective(self, x, eps, beta=1.0):
        P, Z = self.params, self.Z
        e1, e2 = eps[:, :Z], eps[:, Z:]
        q1 = x @ P["U1"]
        m1, v1 = q1[:, :Z], q1[:, Z:]
        z1 = m1 + np.exp(.5 * v1) * e1
        q2 = np.tanh(m1) @ P["U2"]
        m2, v2 = q2[:, :Z], q2[:, Z:]
        z2 = m2 + np.exp(.5 * v2) * e2
        gap = m1 - (z2 @ P["A"] + P["a"])
        kl1 = .5 * (np.exp(v1) + gap ** 2 - 1 - v1).sum(1)
        kl2 = .5 * (np.exp(v2) + m2 ** 2 - 1 - v2).sum(1)
        lg = z1 @ P["V"] + P["c"]
        nll = -(x * lg - np.logaddexp(0, lg)).sum(1)
        kl = kl1 + kl2
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, e1, e2, m1, v1, z1, m2, v2, z2, gap, lg, beta)

    def backward(self, dobjective, cache):
        P = self.params
        x, e1, e2, m1, v1, z1, m2, v2, z2, gap, lg, beta = cache
        do = dobjective.reshape(-1, 1)
        dk = -beta * do
        dlg = do * (x - expit(lg))
        dz1 = dlg @ P["V"].T
        dgap = dk * gap
        dz2 = -dgap @ P["A"].T
        dm2 = dz2 + dk * m2
        dv2 = dz2 * .5 * np.exp(.5 * v2) * e2 + dk * .5 * (np.exp(v2) - 1)
        dq2 = np.concatenate((dm2, dv2), 1)
        t = np.tanh(m1)
        dm1 = dz1 + dgap + (dq2 @ P["U2"].T) * (1 - t ** 2)
        dv1 = dz1 * .5 * np.exp(.5 * v1) * e1 + dk * .5 * (np.exp(v1) - 1)
        return {"V": z1.T @ dlg, "c": dlg.sum(0), "A": -z2.T @ dgap, "a": -dgap.sum(0), "U2": t.T @ dq2,
                "U1": x.T @ np.concatenate((dm1, dv1), 1)}


def make_ladder_two_latents_again():
    r = np.random.default_rng(103)
    return {"model": TwoLevelB(), "x": (r.random((5, 5)) < .4) * 1.0, "eps": r.standard_normal((5, 6))}


ITEMS.append(Item('ladder_two_latents_again', 'research repository', 'gradients', make_ladder_two_latents_again, True))


class RNNDecoderVAE:
    """A series of T numbers; linear encoder; h_t = tanh(z Wz + h_{t-1} Wh + x_{t-1} wx), x_t ~ N(h_t wo, 1)."""

    def __init__(self, T=5, H=3, Z=2, seed=3):
        rng = np.random.default_rng(seed)
        self.params = {}
        for name, shape in [("E", (T, 2 * Z)), ("Wz", (Z, H)), ("Wh", (H, H)), ("wx", (H,)), ("wo", (H,))]:
            self.params[name] = rng.uniform(-.8, .8, shape)
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}
        self.T, self.Z = T, Z

    def objective(self, x, eps, beta=1.0):
        p = self.params
        B = len(x)
        stats = x @ p["E"]
        mu, lv = stats[:, :self.Z], stats[:, self.Z:]
        z = mu + np.exp(0.5 * lv) * eps
        hs, errs = [np.zeros((B, len(p["wo"])))], []
        nll = np.zeros(B)
        for t in range(self.T):
            prev = x[:, t - 1] if t else np.zeros(B)
            h = np.tanh(z @ p["Wz"] + hs[-1] @ p["Wh"] + np.outer(prev, p["wx"]))
            hs.append(h)
            errs.append(h @ p["wo"] - x[:, t])
            nll += 0.5 * errs[-1] ** 2 + 0.5 * np.log(2 * np.pi)
        kl = -0.5 * np.sum(1 + lv - mu ** 2 - np.exp(lv), axis=1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, mu, lv, z, hs, errs, beta)

    def backward(self, dobjective, cache):
        p, g = self.params, self.grads
        x, eps, mu, lv, z, hs, errs, beta = cache
        dz = np.zeros_like(z)
        dh_next = np.zeros_like(hs[0])
        for t in reversed(range(self.T)):
            derr = -dobjective * errs[t]
            h = hs[t + 1]
            g["wo"] += h.T @ derr
            dpre = (np.outer(derr, p["wo"]) + dh_next) * (1 - h ** 2)
            g["Wz"] += z.T @ dpre
            g["Wh"] += hs[t].T @ dpre
            if t:
                g["wx"] += x[:, t - 1] @ dpre
            dz += dpre @ p["Wz"].T
            dh_next = dpre @ p["Wh"].T
        dk = -beta * dobjective[:, None]
        dmu = dz + dk * mu
        dlv = 0.5 * dz * eps * np.exp(0.5 * lv) + 0.5 * dk * (np.exp(lv) - 1)
        g["E"] += x.T @ np.hstack((dmu, dlv))
        return {k: v.copy() for k, v in g.items()}


def make_sentence_vae_rnn():
    r = np.random.default_rng(104)
    return {"model": RNNDecoderVAE(), "x": r.standard_normal((4, 5)), "eps": r.standard_normal((4, 2))}


ITEMS.append(Item('sentence_vae_rnn', 'NLP homework', 'gradients', make_sentence_vae_rnn, False,
                  slip='self.grads is never set to zero: a second backward adds to the first',
                  wrong=('E', 'Wz', 'Wh', 'wx', 'wo'), causes=('accumulates',)))


class PlanarFlowVAE:
    """Posterior pushed through one planar flow f(z) = z + u tanh(w.z + b), inputs of real numbers."""

    def __init__(self, D=4, Z=2, seed=4):
        g = np.random.default_rng(seed)
        self.params = {"M": .5 * g.standard_normal((D, Z)), "S": .3 * g.standard_normal((D, Z)), "s0": g.standard_normal(Z) * .2,
                       "u": np.array([.7, .4]), "w": np.array([.5, .9]), "b": np.array([.1]),
                       "C": .6 * g.standard_normal((Z, D)), "d": .1 * g.standard_normal(D)}

    def objective(self, x, eps):
        P = self.params
        mu = x @ P["M"]
        ls = x @ P["S"] + P["s0"]
        z0 = mu + np.exp(ls) * eps
        t = np.tanh(z0 @ P["w"] + P["b"][0])
        uw = P["u"] @ P["w"]
        det = 1 + uw * (1 - t ** 2)
        z = z0 + t[:, None] * P["u"]
        res = x - z @ P["C"] - P["d"]
        logq = (-.5 * eps ** 2 - ls).sum(1) - np.log(det)
        logp = -.5 * (z ** 2).sum(1) - .5 * (res ** 2).sum(1)
        return SimpleNamespace(objective=logp - logq), (x, eps, ls, z0, t, uw, det, z, res)

    def backward(self, dobjective, cache):
        P = self.params
        x, eps, ls, z0, t, uw, det, z, res = cache
        q = dobjective[:, None]
        dmean = q * res
        dz = dmean @ P["C"].T - q * z
        h1 = 1 - t ** 2
        h2 = -2 * t
        dlogdet = dobjective / det
        da = (dz @ P["u"]) * h1 + dlogdet * uw * h2
        duw = (dlogdet * h1).sum()
        dz0 = dz + np.outer(da, P["w"])
        dls = dz0 * eps * np.exp(ls) + q
        return {"C": z.T @ dmean, "d": dmean.sum(0), "u": t @ dz + duw * P["w"], "w": da @ z0 + duw * P["u"],
                "b": np.array([da.sum()]), "M": x.T @ dz0, "S": x.T @ dls, "s0": dls.sum(0)}


def make_planar_flow_posterior():
    r = np.random.default_rng(105)
    return {"model": PlanarFlowVAE(), "x": r.standard_normal((5, 4)), "eps": r.standard_normal((5, 2))}


ITEMS.append(Item('planar_flow_posterior', 'physics research code', 'gradients', make_planar_flow_posterior, False,
                  slip='the second derivative of tanh is -2 t (1 - t^2); the slope 1 - t^2 is missing',
                  wrong=('M', 'S', 's0', 'w', 'b'), causes=('elementwise-factor',)))


class PlanarFlowVAEB:
    """Posterior pushed through one planar flow f(z) = z + u tanh(w.z + b), inputs of real numbers."""

    def __init__(self, D=4, Z=2, seed=4):
        g = np.random.default_rng(seed)
        self.params = {"M": .5 * g.standard_normal((D, Z)), "S": .3 * g.standard_normal((D, Z)), "s0": g.standard_normal(Z) * .2,
                       "u": np.array([.7, .4]), "w": np.array([.5, .9]), "b": np.array([.1]),
                       "C": .6 * g.standard_normal((Z, D)), "d": .1 * g.standard_normal(D)}

    def objective(self, x, eps):
        P = self.params
        mu = x @ P["M"]
        ls = x @ P["S"] + P["s0"]
        z0 = mu + np.exp(ls) * eps
        t = np.tanh(z0 @ P["w"] + P["b"][0])
        uw = P["u"] @ P["w"]
        det = 1 + uw * (1 - t ** 2)
        z = z0 + t[:, None] * P["u"]
        res = x - z @ P["C"] - P["d"]
        logq = (-.5 * eps ** 2 - ls).sum(1) - np.log(det)
        logp = -.5 * (z ** 2).sum(1) - .5 * (res ** 2).sum(1)
        return SimpleNamespace(objective=logp - logq), (x, eps, ls, z0, t, uw, det, z, res)

    def backward(self, dobjective, cache):
        P = self.params
        x, eps, ls, z0, t, uw, det, z, res = cache
        q = dobjective[:, None]
        dmean = q * res
        dz = dmean @ P["C"].T - q * z
        h1 = 1 - t ** 2
        h2 = -2 * t * h1
        dlogdet = dobjective / det
        da = (dz @ P["u"]) * h1 + dlogdet * uw * h2
        duw = (dlogdet * h1).sum()
        dz0 = dz + np.outer(da, P["w"])
        dls = dz0 * eps * np.exp(ls) + q
        return {"C": z.T @ dmean, "d": dmean.sum(0), "u": t @ dz + duw * P["w"], "w": da @ z0 + duw * P["u"],
                "b": np.array([da.sum()]), "M": x.T @ dz0, "S": x.T @ dls, "s0": dls.sum(0)}


def make_planar_flow_posterior_again():
    r = np.random.default_rng(105)
    return {"model": PlanarFlowVAEB(), "x": r.standard_normal((5, 4)), "eps": r.standard_normal((5, 2))}


ITEMS.append(Item('planar_flow_posterior_again', 'physics research code', 'gradients', make_planar_flow_posterior_again, True))


class IWAE:
    """K-sample importance-weighted bound; eps is (K, B, Z)."""

    def __init__(self, D=5, Z=2, seed=5):
        rng = np.random.default_rng(seed)
        self.params = {"mu/w": rng.normal(size=(D, Z)) * .5, "mu/b": rng.normal(size=Z) * .2,
                       "lv/w": rng.normal(size=(D, Z)) * .3, "lv/b": rng.normal(size=Z) * .2,
                       "out/w": rng.normal(size=(Z, D)), "out/b": rng.normal(size=D) * .2}

    def objective(self, x, eps):
        p = self.params
        mu, lv = x @ p["mu/w"] + p["mu/b"], x @ p["lv/w"] + p["lv/b"]
        sd = np.exp(lv / 2)
        z = mu + sd * eps
        logits = z @ p["out/w"] + p["out/b"]
        logpx = (x * logits - np.logaddexp(0., logits)).sum(-1)
        logw = logpx + (-.5 * z ** 2 + .5 * eps ** 2 + .5 * lv).sum(-1)
        bound = logsumexp(logw, axis=0) - np.log(len(eps))
        return SimpleNamespace(objective=bound), (x, eps, sd, z, logits, logw)

    def backward(self, dobjective, cache):
        p = self.params
        x, eps, sd, z, logits, logw = cache
        dlogw = softmax(logw, axis=1) * dobjective
        dlogits = dlogw[..., None] * (x - expit(logits))
        dz = dlogits @ p["out/w"].T - dlogw[..., None] * z
        dmu = dz.sum(0)
        dlv = (.5 * dz * eps * sd + .5 * dlogw[..., None]).sum(0)
        return {"mu/w": x.T @ dmu, "mu/b": dmu.sum(0), "lv/w": x.T @ dlv, "lv/b": dlv.sum(0),
                "out/w": np.einsum("kbz,kbd->zd", z, dlogits), "out/b": dlogits.sum((0, 1))}


def make_iwae_softmax_weights():
    r = np.random.default_rng(106)
    return {"model": IWAE(), "x": (r.random((4, 5)) < .5).astype(float), "eps": r.standard_normal((3, 4, 2))}


ITEMS.append(Item('iwae_softmax_weights', 'research repository', 'gradients', make_iwae_softmax_weights, False,
                  slip='the normalised weights are a softmax over the rows; it goes over the K samples (axis 0)',
                  wrong=('mu/w', 'mu/b', 'lv/w', 'lv/b', 'out/w', 'out/b'), causes=('shape', 'elementwise-factor', 'batch-sum')))


class IWAEB:
    """K-sample importance-weighted bound; eps is (K, B, Z)."""

    def __init__(self, D=5, Z=2, seed=5):
        rng = np.random.default_rng(seed)
        self.params = {"mu/w": rng.normal(size=(D, Z)) * .5, "mu/b": rng.normal(size=Z) * .2,
                       "lv/w": rng.normal(size=(D, Z)) * .3, "lv/b": rng.normal(size=Z) * .2,
                       "out/w": rng.normal(size=(Z, D)), "out/b": rng.normal(size=D) * .2}

    def objective(self, x, eps):
        p = self.params
        mu, lv = x @ p["mu/w"] + p["mu/b"], x @ p["lv/w"] + p["lv/b"]
        sd = np.exp(lv / 2)
        z = mu + sd * eps
        logits = z @ p["out/w"] + p["out/b"]
        logpx = (x * logits - np.logaddexp(0., logits)).sum(-1)
        logw = logpx + (-.5 * z ** 2 + .5 * eps ** 2 + .5 * lv).sum(-1)
        bound = logsumexp(logw, axis=0) - np.log(len(eps))
        return SimpleNamespace(objective=bound), (x, eps, sd, z, logits, logw)

    def backward(self, dobjective, cache):
        p = self.params
        x, eps, sd, z, logits, logw = cache
        dlogw = softmax(logw, axis=0) * dobjective
        dlogits = dlogw[..., None] * (x - expit(logits))
        dz = dlogits @ p["out/w"].T - dlogw[..., None] * z
        dmu = dz.sum(0)
        dlv = (.5 * dz * eps * sd + .5 * dlogw[..., None]).sum(0)
        return {"mu/w": x.T @ dmu, "mu/b": dmu.sum(0), "lv/w": x.T @ dlv, "lv/b": dlv.sum(0),
                "out/w": np.einsum("kbz,kbd->zd", z, dlogits), "out/b": dlogits.sum((0, 1))}


def make_iwae_softmax_weights_again():
    r = np.random.default_rng(106)
    return {"model": IWAEB(), "x": (r.random((4, 5)) < .5).astype(float), "eps": r.standard_normal((3, 4, 2))}


ITEMS.append(Item('iwae_softmax_weights_again', 'research repository', 'gradients', make_iwae_softmax_weights_again, True))


class LogisticNormalLDA:
    """Counts x; theta = softmax(z); words ~ Mult(theta @ softmax(topics))."""

    def __init__(self, V=7, K=3, seed=6):
        r = np.random.default_rng(seed)
        self.params = {"W_mu": r.normal(0, .3, (V, K)), "W_ls": r.normal(0, .15, (V, K)), "topics": r.normal(0, 1, (K, V))}

    @staticmethod
    def _softmax_back(p, dp):
        return p * (dp * (1 - p))

    def objective(self, x, eps, beta=1.0):
        n = np.log1p(x)
        mu, ls = n @ self.params["W_mu"], n @ self.params["W_ls"]
        z = mu + np.exp(ls) * eps
        theta = softmax(z, axis=1)
        phi = softmax(self.params["topics"], axis=1)
        word = theta @ phi
        nll = -(x * np.log(word)).sum(1)
        kl = (0.5 * (mu ** 2 + np.exp(2 * ls) - 1) - ls).sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, n, mu, ls, eps, theta, phi, word, beta)

    def backward(self, dobjective, cache):
        x, n, mu, ls, eps, theta, phi, word, beta = cache
        c = dobjective[:, None]
        dword = c * x / word
        dtheta = dword @ phi.T
        dphi = theta.T @ dword
        dz = self._softmax_back(theta, dtheta)
        dmu = dz - beta * c * mu
        dls = dz * eps * np.exp(ls) - beta * c * (np.exp(2 * ls) - 1)
        dtopics = phi * (dphi - np.sum(dphi * phi, 1, keepdims=True))
        return {"W_mu": n.T @ dmu, "W_ls": n.T @ dls, "topics": dtopics}


def make_prodlda_topic_model():
    r = np.random.default_rng(107)
    return {"model": LogisticNormalLDA(), "x": r.poisson(2.0, (5, 7)).astype(float), "eps": r.standard_normal((5, 3))}


ITEMS.append(Item('prodlda_topic_model', 'NLP research code', 'gradients', make_prodlda_topic_model, False,
                  slip='softmax backward keeps only the diagonal p(1-p); the off-diagonal terms are missing',
                  wrong=('W_mu', 'W_ls'), causes=('missing-term', 'elementwise-factor', 'unknown')))


class GumbelVAE:
    """One categorical latent of K options, relaxed at temperature tau; eps is the Gumbel noise."""
    tau = 0.6

    def __init__(self, D=6, K=4, seed=7):
        r = np.random.RandomState(seed)
        self.params = {"enc": 0.5 * r.randn(D, K), "enc_b": 0.1 * r.randn(K), "dec": r.randn(K, D), "dec_b": 0.1 * r.randn(D)}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        a = x @ p["enc"] + p["enc_b"]
        logq = log_softmax(a, axis=1)
        y = softmax((logq + eps) / self.tau, axis=1)
        l = y @ p["dec"] + p["dec_b"]
        nll = (np.maximum(l, 0) - l * x + np.log1p(np.exp(-np.abs(l)))).sum(1)
        q = np.exp(logq)
        kl = (q * logq).sum(1) + np.log(q.shape[1])
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (x, logq, q, y, l, beta)

    def backward(self, dobjective, cache):
        x, logq, q, y, l, beta = cache
        up = dobjective[:, None]
        dl = up * (x - expit(l))
        dy = dl @ self.params["dec"].T
        dlogq = y * (dy - (y * dy).sum(1, keepdims=True))
        dlogq = dlogq - beta * up * q * (logq + 1)
        da = dlogq - q * dlogq.sum(1, keepdims=True)
        return {"enc": x.T @ da, "enc_b": da.sum(0), "dec": y.T @ dl, "dec_b": dl.sum(0)}


def make_gumbel_softmax_vae():
    r = np.random.default_rng(108)
    return {"model": GumbelVAE(), "x": (r.random((5, 6)) < .5).astype(float), "eps": r.gumbel(size=(5, 4))}


ITEMS.append(Item('gumbel_softmax_vae', 'RL research code', 'gradients', make_gumbel_softmax_vae, False,
                  slip='the softmax was taken of (logq + g) / tau, but backward does not divide by tau',
                  wrong=('enc', 'enc_b'), causes=('factor',)))


@dataclass
class SigmaTerms:
    objective: np.ndarray
    nll: np.ndarray
    kl: np.ndarray


class SigmaVAE:
    """Gaussian decoder with one learned log sigma for each pixel."""

    def __init__(self, n_pixels=5, n_latent=2, seed=8):
        rng = np.random.default_rng(seed)
        self.params = {"encoder.weight": rng.normal(0, .4, (2 * n_latent, n_pixels)), "encoder.bias": rng.normal(0, .1, 2 * n_latent),
                       "decoder.weight": rng.normal(0, .7, (n_pixels, n_latent)), "decoder.bias": rng.normal(0, .1, n_pixels),
                       "log_sigma": rng.normal(-.2, .2, n_pixels)}

    def encode(self, x):
        out = x @ self.params["encoder.weight"].T + self.params["encoder.bias"]
        return tuple(np.split(out, 2, 1))

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, lv = self.encode(x)
        sd = np.exp(.5 * lv)
        z = mu + sd * eps
        r = (z @ p["decoder.weight"].T + p["decoder.bias"] - x) * np.exp(-p["log_sigma"])
        nll = (.5 * r ** 2 + p["log_sigma"] + .5 * np.log(2 * np.pi)).sum(1)
        kl = .5 * (np.exp(lv) + mu ** 2 - 1. - lv).sum(1)
        return SigmaTerms(-nll - beta * kl, nll, kl), (x, mu, lv, sd, eps, z, r, beta)

    def backward(self, dobjective, cache):
        p = self.params
        x, mu, lv, sd, eps, z, r, beta = cache
        dnll = -dobjective[:, np.newaxis]
        dkl = beta * dnll
        drec = dnll * r * np.exp(-p["log_sigma"])
        dz = drec @ p["decoder.weight"]
        dmu = dz + dkl * mu
        dlv = .5 * (dz * eps * sd + dkl * (np.exp(lv) - 1))
        dout = np.concatenate([dmu, dlv], 1)
        return {"log_sigma": (dnll * (1 - r ** 2)).mean(axis=0), "decoder.weight": drec.T @ z, "decoder.bias": drec.sum(0),
                "encoder.weight": dout.T @ x, "encoder.bias": dout.sum(0)}


def make_sigma_vae_shared_noise():
    r = np.random.default_rng(109)
    return {"model": SigmaVAE(), "x": r.standard_normal((6, 5)), "eps": r.standard_normal((6, 2))}


ITEMS.append(Item('sigma_vae_shared_noise', 'vision research code', 'gradients', make_sigma_vae_shared_noise, False,
                  slip='the gradient of log_sigma is averaged over the rows; it is their sum',
                  wrong=('log_sigma',), causes=('batch-sum', 'factor')))


def _softplus_p(a):
    return np.logaddexp(a, 0)


class GuideModel:
    """Guide N(loc, softplus(raw) + 1e-3), model Poisson with log rates; log-joint minus log-guide, one sample."""

    def __init__(self, seed=9, D=4, H=5, Z=2):
        r = np.random.default_rng(seed)
        f = lambda *s: r.standard_normal(s) / np.sqrt(s[0])
        self.params = {"h": f(D, H), "loc": f(H, Z), "raw": f(H, Z), "raw0": f(Z) * .3, "rate": .5 * f(Z, D), "rate0": .3 * f(D)}

    def objective(self, x, eps):
        P = self.params
        hid = expit(x @ P["h"])
        loc, raw = hid @ P["loc"], hid @ P["raw"] + P["raw0"]
        scale = _softplus_p(raw) + 1e-3
        z = loc + scale * eps
        lr = z @ P["rate"] + P["rate0"]
        log_joint = (x * lr - np.exp(lr) - gammaln(x + 1)).sum(1) - .5 * (z * z + np.log(2 * np.pi)).sum(1)
        log_guide = (-.5 * eps * eps - np.log(scale) - .5 * np.log(2 * np.pi)).sum(1)
        return SimpleNamespace(objective=log_joint - log_guide), dict(x=x, hid=hid, raw=raw, scale=scale, eps=eps, z=z, lr=lr)

    def backward(self, dobjective, cache):
        P, c = self.params, SimpleNamespace(**cache)
        w = dobjective[:, None]
        dlr = w * (c.x - np.exp(c.lr))
        dz = dlr @ P["rate"].T - w * c.z
        dscale = dz * c.eps + w / c.scale
        draw = dscale * expit(c.scale)
        dhid = (dz @ P["loc"].T + draw @ P["raw"].T) * c.hid * (1 - c.hid)
        return {"rate": c.z.T @ dlr, "rate0": dlr.sum(0), "loc": c.hid.T @ dz, "raw": c.hid.T @ draw, "raw0": draw.sum(0),
                "h": c.x.T @ dhid}


def make_softplus_scale_guide():
    r = np.random.default_rng(110)
    return {"model": GuideModel(), "x": r.poisson(1.5, (5, 4)).astype(float), "eps": r.standard_normal((5, 2))}


ITEMS.append(Item('softplus_scale_guide', 'probabilistic programming tutorial', 'gradients', make_softplus_scale_guide, False,
                  slip='the slope of softplus is sigmoid(raw), not sigmoid of its output',
                  wrong=('h', 'raw', 'raw0'), causes=('elementwise-factor',)))


class FullCovarianceVI:
    """Weights of a linear regression, q(w) = N(m, L L^T); L = strict lower part of `low` plus diag(exp(ldiag)).
    A row of x is (features..., target); every row has its own draw eps."""

    def __init__(self, P=3, seed=10):
        r = np.random.default_rng(seed)
        self.params = {"m": r.standard_normal(P), "low": .4 * r.standard_normal((P, P)), "ldiag": .3 * r.standard_normal(P), "lnoise": np.array(-.3)}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        L = np.tril(p["low"], -1) + np.diag(np.exp(p["ldiag"]))
        F, y = x[:, :-1], x[:, -1]
        w = p["m"] + eps @ L.T
        r = y - np.einsum("bp,bp->b", F, w)
        nll = .5 * r ** 2 * np.exp(-2 * p["lnoise"]) + p["lnoise"] + .5 * np.log(2 * np.pi)
        kl = np.full(len(x), .5 * ((L ** 2).sum() + p["m"] @ p["m"] - len(L)) - p["ldiag"].sum())
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (F, r, eps, L, beta)

    def backward(self, dobjective, cache):
        F, r, eps, L, beta = cache
        p = self.params
        prec = np.exp(-2 * p["lnoise"])
        dw = (dobjective * r * prec)[:, None] * F
        tot = beta * dobjective.sum()
        dL = np.tril(dw.T @ eps) - tot * L
        return {"m": dw.sum(0) - tot * p["m"], "low": np.tril(dL, -1), "ldiag": np.diag(dL) * np.exp(p["ldiag"]) + tot,
                "lnoise": np.array((dobjective * (r ** 2 * prec - 1)).sum())}


def make_bayes_regression_cholesky():
    r = np.random.default_rng(111)
    return {"model": FullCovarianceVI(), "x": r.standard_normal((6, 4)), "eps": r.standard_normal((6, 3))}


ITEMS.append(Item('bayes_regression_cholesky', 'statistics textbook', 'gradients', make_bayes_regression_cholesky, True))


class MixturePriorVAE:
    """p(z) = sum_k softmax(pi)_k N(c_k, I); single-sample estimate of log p(x|z) + log p(z) - log q(z|x)."""

    def __init__(self, D=4, Z=2, K=3, seed=11):
        g = np.random.default_rng(seed)
        n = lambda *s: .6 * g.standard_normal(s)
        self.params = {"Wm": n(Z, D), "Wl": .5 * n(Z, D), "centres": 2 * n(K, Z), "pi": n(K), "Wx": n(D, Z), "bx": n(D)}

    def objective(self, x, eps):
        p = self.params
        X = x.T                                     # columns are data here
        mu, ls = p["Wm"] @ X, p["Wl"] @ X
        z = mu + np.exp(ls) * eps.T
        far = z.T[:, None, :] - p["centres"][None]
        comp = log_softmax(p["pi"]) - .5 * (far ** 2).sum(2) - np.log(2 * np.pi)
        lpz = logsumexp(comp, axis=1)
        lq = (-.5 * eps.T ** 2 - ls - .5 * np.log(2 * np.pi)).sum(0)
        logit = p["Wx"] @ z + p["bx"][:, None]
        lpx = -(np.logaddexp(0, (1 - 2 * X) * logit)).sum(0)
        return SimpleNamespace(objective=lpx + lpz - lq), (X, eps.T, ls, z, far, comp, logit)

    def backward(self, dobjective, cache):
        X, e, ls, z, far, comp, logit = cache
        p = self.params
        resp = softmax(comp, axis=1) * dobjective[:, None]
        sgn = 1 - 2 * X
        dlogit = -dobjective * sgn * expit(sgn * logit)
        pull = resp[:, :, None] * far
        dz = p["Wx"].T @ dlogit - pull.sum(1).T
        dls = dz * e * np.exp(ls) + dobjective
        return {"Wx": dlogit @ z.T, "bx": dlogit.sum(1), "centres": pull.sum(0),
                "pi": resp.sum(0) - softmax(p["pi"]) * dobjective.sum(), "Wm": dz @ X.T, "Wl": dls @ X.T}


def make_mixture_prior_vae():
    r = np.random.default_rng(112)
    return {"model": MixturePriorVAE(), "x": (r.random((5, 4)) < .5).astype(float), "eps": r.standard_normal((5, 2))}


ITEMS.append(Item('mixture_prior_vae', 'research repository', 'gradients', make_mixture_prior_vae, True))


class ConvDecoderVAE:
    """Frames of 8 samples; strided conv encoder, transposed conv decoder, Laplace-ish (log-cosh) error."""

    def __init__(self, seed=12):
        r = np.random.default_rng(seed)
        self.params = {"k_enc": r.normal(0, .5, (3, 4)), "head": r.normal(0, .4, (6, 4)), "proj": r.normal(0, .5, (2, 6)), "k_dec": r.normal(0, .5, (3, 4))}

    @staticmethod
    def _frames(x):
        return np.stack([x[:, i:i + 4] for i in (0, 4)], 1)       # (B, 2, 4), stride 4

    def objective(self, x, eps, beta=1.0):
        P = self.params
        fr = self._frames(x)
        a = np.einsum("bti,ci->btc", fr, P["k_enc"])
        h = np.maximum(a, 0.05 * a).reshape(len(x), 6)
        st = h @ P["head"]
        mu, lv = st[:, 0::2], st[:, 1::2]                             # interleaved
        z = mu + np.exp(lv * .5) * eps
        u = (z @ P["proj"])
        y = np.einsum("btc,ci->bti", np.sin(u).reshape(-1, 2, 3), P["k_dec"]).reshape(len(x), 8)
        d = y - x
        nll = (np.logaddexp(d, -d) - np.log(2) + np.log(np.pi)).sum(1)
        kl = -.5 * (1 + lv - mu * mu - np.exp(lv)).sum(1)
        return SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl), (fr, a, h, mu, lv, eps, z, u, d, beta)

    def backward(self, dobjective, cache):
        fr, a, h, mu, lv, eps, z, u, d, beta = cache
        P, n = self.params, len(d)
        g = dobjective[:, None]
        dy = (-g * np.tanh(d)).reshape(n, 2, 4)
        su = np.sin(u).reshape(n, 2, 3)
        du = np.einsum("bti,ci->btc", dy, P["k_dec"]).reshape(n, 6) * np.cos(u)
        dz = du @ P["proj"].T
        dst = np.empty((n, 4))
        dst[:, 0::2] = dz - beta * g * mu
        dst[:, 1::2] = .5 * dz * (z - mu) - .5 * beta * g * np.expm1(lv)
        da = (dst @ P["head"].T).reshape(n, 2, 3) * np.where(a > 0, 1, .05)
        return {"k_dec": np.einsum("btc,bti->ci", su, dy), "proj": z.T @ du, "head": h.T @ dst, "k_enc": np.einsum("btc,bti->ci", da, fr)}


def make_conv1d_audio_vae():
    r = np.random.default_rng(113)
    return {"model": ConvDecoderVAE(), "x": r.standard_normal((4, 8)), "eps": r.standard_normal((4, 2))}


ITEMS.append(Item('conv1d_audio_vae', 'audio research code', 'gradients', make_conv1d_audio_vae, True))


def sampling_layer(z_mean, z_log_var, epsilon):
    batch, dim = z_mean.shape
    return z_mean + np.exp(z_log_var) * epsilon.reshape(batch, dim)


def make_keras_lambda_sampling():
    r = np.random.default_rng(201)
    return {"sampler": sampling_layer, "mu": r.standard_normal((4, 3)), "logvar": r.uniform(-1.6, 1.2, (4, 3))}


ITEMS.append(Item('keras_lambda_sampling', 'layer library', 'sampler', make_keras_lambda_sampling, False,
                  slip='exp(logvar) is the variance; the noise is to be scaled by exp(logvar / 2)',
                  wrong=('sampler',), causes=('elementwise-factor',)))


class DiagGaussianHead:
    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)

    def __call__(self, mean, logvar, eps):
        scale = np.sqrt(np.exp(logvar))
        noise = self.rng.standard_normal(mean.shape)
        return mean + scale * noise, {"scale": scale, "noise": noise}


def make_rsample_own_noise():
    r = np.random.default_rng(202)
    return {"sampler": DiagGaussianHead(), "mu": r.standard_normal((4, 2)), "logvar": r.uniform(-1.6, 1.2, (4, 2))}


ITEMS.append(Item('rsample_own_noise', 'RL research code', 'sampler', make_rsample_own_noise, False,
                  slip='draws its own noise and leaves eps unused: two calls differ',
                  wrong=('sampler',), causes=('noise-redrawn', 'zero')))


def reparam_inplace(mu, logvar, eps):
    s = np.multiply(logvar, 0.5, out=logvar)
    np.exp(s, out=s)
    z = s * eps
    z += mu
    return z


def make_inplace_reparam():
    r = np.random.default_rng(203)
    return {"sampler": reparam_inplace, "mu": r.standard_normal((4, 3)), "logvar": r.uniform(-1.6, 1.2, (4, 3))}


ITEMS.append(Item('inplace_reparam', 'C-minded homework', 'sampler', make_inplace_reparam, False,
                  slip='half of logvar is written into logvar itself (and then its exp); it belongs to the caller',
                  wrong=('logvar',), causes=('mutates-input',)))


def draw_codes(mu, logvar, eps):
    codes = np.zeros_like(mu)
    for n in range(mu.shape[0]):
        for k in range(mu.shape[1]):
            codes[n, k] = mu[n, k] + np.exp(0.5 * logvar[n, k]) * eps[n, 0]
    return codes


def make_one_noise_per_row():
    r = np.random.default_rng(204)
    return {"sampler": draw_codes, "mu": r.standard_normal((4, 3)), "logvar": r.uniform(-1.6, 1.2, (4, 3))}


ITEMS.append(Item('one_noise_per_row', 'graphics research code', 'sampler', make_one_noise_per_row, False,
                  slip="all of a row's components get the noise of the first; each has its own eps[n, k]",
                  wrong=('sampler',), causes=('shape', 'zero', 'unknown')))


def reparametrize(mu, logvar, eps):
    """z ~ N(mu, sigma^2)"""
    sigma = np.exp(logvar / 2)
    z = sigma * (mu + eps)
    cache = (sigma, eps)
    return z, cache


def make_brackets_around_sum():
    r = np.random.default_rng(205)
    return {"sampler": reparametrize, "mu": r.standard_normal((4, 4)), "logvar": r.uniform(-1.6, 1.2, (4, 4))}


ITEMS.append(Item('brackets_around_sum', 'CS231n assignment', 'sampler', make_brackets_around_sum, False,
                  slip='sigma multiplies the mean too: z = mu + sigma * eps',
                  wrong=('sampler',), causes=('elementwise-factor',)))


class NormalParam:
    """loc/scale normal; the network's second head is a log variance."""
    def __init__(self, loc, logvar):
        self.loc, self.scale = loc, np.log1p(np.exp(logvar))

    def rsample(self, eps):
        return self.loc + eps * self.scale


def guide_sample(mu, logvar, eps):
    return NormalParam(mu, logvar).rsample(eps)


def make_softplus_head_mixed_up():
    r = np.random.default_rng(206)
    return {"sampler": guide_sample, "mu": r.standard_normal((4, 2)), "logvar": r.uniform(-1.6, 1.2, (4, 2))}


ITEMS.append(Item('softplus_head_mixed_up', 'probabilistic programming tutorial', 'sampler', make_softplus_head_mixed_up, False,
                  slip='the log variance goes through softplus, as another head would; the scale is exp(logvar / 2)',
                  wrong=('sampler',), causes=('elementwise-factor',)))


def antithetic_leg(mu, logvar, eps):
    """The second leg of an antithetic pair, factors in reverse order: as good a standard normal as the first."""
    return mu - np.exp(0.5 * logvar) * eps[:, ::-1]


def make_mirrored_reversed_noise():
    r = np.random.default_rng(207)
    return {"sampler": antithetic_leg, "mu": r.standard_normal((4, 3)), "logvar": r.uniform(-1.6, 1.2, (4, 3))}


ITEMS.append(Item('mirrored_reversed_noise', 'finance Monte Carlo', 'sampler', make_mirrored_reversed_noise, True))


def sample_from_precision(mu, logvar, eps):
    tau = np.exp(-logvar)
    shift = mu.copy()
    shift += eps / np.sqrt(tau)
    return shift, (tau, shift - mu)


def make_precision_form():
    r = np.random.default_rng(208)
    return {"sampler": sample_from_precision, "mu": r.standard_normal((4, 3)), "logvar": r.uniform(-1.6, 1.2, (4, 3))}


ITEMS.append(Item('precision_form', 'statistics textbook', 'sampler', make_precision_form, True))


def sample_by_cholesky(mu, logvar, eps):
    """x_n = mu_n + L_n R eps_n with a fixed rotation R; L_n L_n^T is the covariance."""
    dim = mu.shape[1]
    R, _ = np.linalg.qr(np.arange(1.0, dim * dim + 1).reshape(dim, dim) + 3 * np.eye(dim))
    rows = []
    for m, lv, e in zip(mu, logvar, eps):
        L = np.linalg.cholesky(np.diag(np.exp(lv)))
        rows.append(m + L @ (R @ e))
    return np.array(rows)


def make_cholesky_rows_rotated():
    r = np.random.default_rng(209)
    return {"sampler": sample_by_cholesky, "mu": r.standard_normal((4, 3)), "logvar": r.uniform(-1.6, 1.2, (4, 3))}


ITEMS.append(Item('cholesky_rows_rotated', 'physics research code', 'sampler', make_cholesky_rows_rotated, True))


class MnistToyVAE:
    def __init__(self, seed=20):
        r = np.random.default_rng(seed)
        self.W1, self.W2, self.V1, self.V2 = (r.standard_normal(s) * .7 for s in [(4, 5), (5, 4), (2, 5), (5, 4)])

    def encode(self, x):
        st = np.maximum(0, x @ self.W1) @ self.W2
        return st[:, :2] * .5, np.tanh(st[:, 2:])

    def decode(self, z):
        return np.tanh(z @ self.V1) @ self.V2

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        s = self.decode(mu + np.exp(logvar / 2) * eps)
        bce = np.sum(np.maximum(s, 0) - s * x + np.log(1 + np.exp(-np.abs(s))), axis=1)
        kl = -0.5 * np.mean(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
        return SimpleNamespace(elbo=-bce - kl, nll=bce, kl=kl), None


def make_kl_mean_over_latents():
    r = np.random.default_rng(301)
    return {"model": MnistToyVAE(), "x": (r.random((5, 4)) < .5).astype(float)}


ITEMS.append(Item('kl_mean_over_latents', 'CS231n assignment', 'evidence', make_kl_mean_over_latents, False,
                  slip='the KL is the mean over the latents; it is their sum',
                  wrong=('kl',), causes=('factor', 'shape')))


class UnitGaussian:
    name = "gaussian with unit variance"
    n_params = 1
    support = (-np.inf, np.inf)

    def nll(self, x, logits):
        return 0.5 * ((x - logits) ** 2 + np.log(2 * np.pi)).sum(1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        return dnll[:, None] * (logits - x)

    def mean(self, logits):
        return logits

    def sample(self, logits, rng):
        return logits + rng.standard_normal(logits.shape)


class MSEVAE:
    likelihood = UnitGaussian()

    def __init__(self, seed=21):
        g = np.random.RandomState(seed)
        self.a, self.b, self.c = g.randn(3, 2) * .6, g.randn(1, 4), g.randn(4, 3) * .8

    def encode(self, x):
        out = np.tanh(x @ self.a)
        return out[:, :1], out[:, 1:] - .5

    def decode(self, z):
        return np.tanh(z @ self.b) @ self.c

    def objective(self, x, eps):
        m, lv = self.encode(x)
        z = m + np.exp(.5 * lv) * eps
        rec = .5 * np.sum((self.decode(z) - x) ** 2, 1)
        kl = .5 * (np.exp(lv) + m ** 2 - 1 - lv).sum(1)
        return SimpleNamespace(elbo=-(rec + kl), nll=rec, kl=kl), (z,)


def make_gaussian_bound_no_constant():
    r = np.random.default_rng(302)
    return {"model": MSEVAE(), "x": r.standard_normal((5, 3))}


ITEMS.append(Item('gaussian_bound_no_constant', 'blog post', 'evidence', make_gaussian_bound_no_constant, False,
                  slip='the squared error lacks the constant D/2 log 2 pi of the density',
                  wrong=('nll',), causes=('missing-term',)))


class IWBound:
    K = 2

    def __init__(self, seed=22):
        r = np.random.default_rng(seed)
        self.p = {"m": r.normal(size=(4, 1)), "s": r.normal(size=(4, 1)) * .4, "d": r.normal(size=(1, 4)) * 1.5, "d0": r.normal(size=4)}

    def encode(self, x):
        return x @ self.p["m"] - .3, x @ self.p["s"] - .4

    def decode(self, z):
        return z @ self.p["d"] + self.p["d0"]

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, 1))

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        z = mu + np.exp(.5 * lv) * eps
        l = self.decode(z)
        log_w = (x * l - np.logaddexp(0, l)).sum(-1) + (-.5 * z ** 2).sum(-1) - (-.5 * eps ** 2 - .5 * lv).sum(-1)
        top = log_w.max(0)
        bound = top + np.log(np.exp(log_w - top).sum(0))
        return SimpleNamespace(objective=bound), log_w


def make_iwae_without_log_k():
    r = np.random.default_rng(303)
    return {"model": IWBound(), "x": (r.random((4, 4)) < .5).astype(float)}


ITEMS.append(Item('iwae_without_log_k', 'research repository', 'evidence', make_iwae_without_log_k, False,
                  slip='the weights are summed, not averaged: - log K is missing',
                  wrong=('objective',), causes=('missing-term',)))


class IWBoundB:
    K = 2

    def __init__(self, seed=22):
        r = np.random.default_rng(seed)
        self.p = {"m": r.normal(size=(4, 1)), "s": r.normal(size=(4, 1)) * .4, "d": r.normal(size=(1, 4)) * 1.5, "d0": r.normal(size=4)}

    def encode(self, x):
        return x @ self.p["m"] - .3, x @ self.p["s"] - .4

    def decode(self, z):
        return z @ self.p["d"] + self.p["d0"]

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, 1))

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        z = mu + np.exp(.5 * lv) * eps
        l = self.decode(z)
        log_w = (x * l - np.logaddexp(0, l)).sum(-1) + (-.5 * z ** 2).sum(-1) - (-.5 * eps ** 2 - .5 * lv).sum(-1)
        top = log_w.max(0)
        bound = top + np.log(np.exp(log_w - top).mean(0))
        return SimpleNamespace(objective=bound), log_w


def make_iwae_without_log_k_again():
    r = np.random.default_rng(303)
    return {"model": IWBoundB(), "x": (r.random((4, 4)) < .5).astype(float)}


ITEMS.append(Item('iwae_without_log_k_again', 'research repository', 'evidence', make_iwae_without_log_k_again, True))


def _affine(r, i, o):
    return r.normal(0, .8, (i, o)), r.normal(0, .2, o)


class Net:
    def __init__(self):
        r = np.random.default_rng(23)
        self.enc, self.lv, self.dec = _affine(r, 5, 2), _affine(r, 5, 2), _affine(r, 2, 5)

    def encode(self, x):
        return x @ self.enc[0] + self.enc[1], .4 * (x @ self.lv[0]) + self.lv[1], x

    def decode(self, z):
        return z @ self.dec[0] + self.dec[1], z

    def objective(self, x, eps):
        mu, log_var, _ = self.encode(x)
        recon, _ = self.decode(mu + eps * np.exp(log_var) ** .5)
        prob = 1 / (1 + np.exp(-recon))
        log_lik = (x * np.log(prob) + (1 - x) * np.log(1 - prob)).sum(axis=1)
        kld = 0.5 * (mu ** 2 + np.exp(log_var) - log_var - 1).sum(axis=1)
        return SimpleNamespace(elbo=log_lik + kld, nll=-log_lik, kl=kld), recon


def make_kl_added_to_bound():
    r = np.random.default_rng(304)
    return {"model": Net(), "x": (r.random((6, 5)) < .5).astype(float)}


ITEMS.append(Item('kl_added_to_bound', 'Kaggle notebook', 'evidence', make_kl_added_to_bound, False,
                  slip='the KL is added to the log likelihood; it is taken off',
                  wrong=('elbo',), causes=('sign',)))


def log_normal_pdf(sample, mean, logvar):
    return (-.5 * ((sample - mean) ** 2 * np.exp(-logvar) + 2 * logvar + np.log(2 * np.pi))).sum(1)


class CVAE_MC:
    def __init__(self, latent=1, seed=24):
        r = np.random.default_rng(seed)
        self.w = [r.standard_normal(s) for s in ((4, 3), (3, 2 * latent), (latent, 3), (3, 4))]

    def encode(self, x):
        mean, logvar = np.split(np.tanh(x @ self.w[0]) @ self.w[1], 2, axis=1)
        return mean, logvar

    def decode(self, z):
        return np.tanh(z @ self.w[2]) @ self.w[3]

    def objective(self, x, eps):
        mean, logvar = self.encode(x)
        z = eps * np.exp(logvar * .5) + mean
        lg = self.decode(z)
        logpx_z = -np.logaddexp(0, np.where(x == 1, -lg, lg)).sum(1)
        logpz = log_normal_pdf(z, 0., np.zeros_like(z))
        logqz_x = log_normal_pdf(z, mean, logvar)
        return SimpleNamespace(elbo=logpx_z + logpz - logqz_x), None


def make_monte_carlo_log_q():
    r = np.random.default_rng(305)
    return {"model": CVAE_MC(), "x": (r.random((5, 4)) < .5).astype(float)}


ITEMS.append(Item('monte_carlo_log_q', 'probabilistic programming tutorial', 'evidence', make_monte_carlo_log_q, False,
                  slip='log q has logvar whole; it is half of it (log sigma)',
                  wrong=('elbo',), causes=('missing-term', 'factor', 'elementwise-factor')))


def log_normal_pdfB(sample, mean, logvar):
    return (-.5 * ((sample - mean) ** 2 * np.exp(-logvar) + logvar + np.log(2 * np.pi))).sum(1)


class CVAE_MCB:
    def __init__(self, latent=1, seed=24):
        r = np.random.default_rng(seed)
        self.w = [r.standard_normal(s) for s in ((4, 3), (3, 2 * latent), (latent, 3), (3, 4))]

    def encode(self, x):
        mean, logvar = np.split(np.tanh(x @ self.w[0]) @ self.w[1], 2, axis=1)
        return mean, logvar

    def decode(self, z):
        return np.tanh(z @ self.w[2]) @ self.w[3]

    def objective(self, x, eps):
        mean, logvar = self.encode(x)
        z = eps * np.exp(logvar * .5) + mean
        lg = self.decode(z)
        logpx_z = -np.logaddexp(0, np.where(x == 1, -lg, lg)).sum(1)
        logpz = log_normal_pdfB(z, 0., np.zeros_like(z))
        logqz_x = log_normal_pdfB(z, mean, logvar)
        return SimpleNamespace(elbo=logpx_z + logpz - logqz_x), None


def make_monte_carlo_log_q_again():
    r = np.random.default_rng(305)
    return {"model": CVAE_MCB(), "x": (r.random((5, 4)) < .5).astype(float)}


ITEMS.append(Item('monte_carlo_log_q_again', 'probabilistic programming tutorial', 'evidence', make_monte_carlo_log_q_again, True))


class UnitGaussian:
    name = "gaussian with unit variance"
    n_params = 1
    support = (-np.inf, np.inf)

    def nll(self, x, logits):
        return 0.5 * ((x - logits) ** 2 + np.log(2 * np.pi)).sum(1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        return dnll[:, None] * (logits - x)

    def mean(self, logits):
        return logits

    def sample(self, logits, rng):
        return logits + rng.standard_normal(logits.shape)


class FieldModel:
    likelihood = UnitGaussian()

    def __init__(self, seed=25):
        r = np.random.default_rng(seed)
        self.A, self.B, self.C = .5 * r.standard_normal((3, 2)), .3 * r.standard_normal((3, 2)), r.standard_normal((2, 3))

    def encode(self, x):
        return np.tanh(x @ self.A), np.tanh(x @ self.B) - np.array([1.0, .4])

    def decode(self, z):
        return np.sin(z) @ self.C

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        var = np.exp(lv)
        z = mu + var * eps
        nll, _ = self.likelihood.nll(x, self.decode(z))
        kl = .5 * (var + mu * mu - lv).sum(1) - .5 * mu.shape[1]
        return SimpleNamespace(objective=-nll - kl, nll=nll, kl=kl), (mu, lv, z)


def make_bound_scaled_by_variance():
    r = np.random.default_rng(306)
    return {"model": FieldModel(), "x": r.standard_normal((5, 3))}


ITEMS.append(Item('bound_scaled_by_variance', 'physics research code', 'evidence', make_bound_scaled_by_variance, False,
                  slip='the draw inside the bound is scaled by the variance; it is the standard deviation',
                  wrong=('nll',), causes=('elementwise-factor',)))


class UnitGaussian:
    name = "gaussian with unit variance"
    n_params = 1
    support = (-np.inf, np.inf)

    def nll(self, x, logits):
        return 0.5 * ((x - logits) ** 2 + np.log(2 * np.pi)).sum(1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        return dnll[:, None] * (logits - x)

    def mean(self, logits):
        return logits

    def sample(self, logits, rng):
        return logits + rng.standard_normal(logits.shape)


class FactorAnalysis:
    """Linear decoder, unit noise: E_q of the squared error in closed form, so eps is not needed."""
    likelihood = UnitGaussian()

    def __init__(self, seed=26):
        r = np.random.default_rng(seed)
        self.load, self.off, self.rec = r.standard_normal((2, 4)), .3 * r.standard_normal(4), .3 * r.standard_normal((4, 2))

    def encode(self, x):
        mu = (x - self.off) @ self.rec
        return mu, np.full_like(mu, -.7) + .1 * x[:, :2]

    def decode(self, z):
        return z @ self.load + self.off

    def objective(self, x, eps):
        mu, lv = self.encode(x)
        v = np.exp(lv)
        nll = .5 * ((x - self.decode(mu)) ** 2).sum(1) + .5 * (v @ self.load ** 2).sum(1) + 2 * np.log(2 * np.pi)
        kl = .5 * (v + mu ** 2 - 1 - lv).sum(1)
        return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), None


def make_closed_form_linear_gaussian():
    r = np.random.default_rng(307)
    return {"model": FactorAnalysis(), "x": r.standard_normal((5, 4))}


ITEMS.append(Item('closed_form_linear_gaussian', 'statistics textbook', 'evidence', make_closed_form_linear_gaussian, True))


class PoissonSpikes:
    name, n_params, support = "poisson", 1, (0, np.inf)

    def nll(self, x, logits):
        rate = np.exp(logits)
        return (rate - x * logits + gammaln(np.maximum(x, 1))).sum(1), (x, rate)

    def nll_backward(self, dnll, cache):
        x, rate = cache
        return dnll[:, None] * (rate - x)

    def mean(self, logits):
        return np.exp(logits)

    def sample(self, logits, rng):
        return rng.poisson(np.exp(logits)).astype(float)


def make_poisson_counts():
    return {"p": PoissonSpikes()}


ITEMS.append(Item('poisson_counts', 'neuroscience research code', 'likelihood', make_poisson_counts, False,
                  slip='log x! is gammaln(x + 1); gammaln(x) is log (x-1)!',
                  wrong=('nll',), causes=('missing-term', 'elementwise-factor')))


class LaplaceLik:
    """logits = [loc | log scale]"""
    name = "laplace"
    n_params = 2
    support = (-np.inf, np.inf)

    def _split(self, logits):
        D = logits.shape[1] // 2
        return logits[:, :D], logits[:, D:]

    def nll(self, x, logits):
        loc, ls = self._split(logits)
        d = (x - loc) * np.exp(-ls)
        return (np.abs(d) + ls + np.log(2.)).sum(1), (d, ls)

    def nll_backward(self, dnll, cache):
        d, ls = cache
        dloc = np.sign(d) * np.exp(-ls)
        dls = 1 - np.abs(d)
        return dnll[:, None] * np.concatenate([dloc, dls], axis=1)

    def mean(self, logits):
        return self._split(logits)[0].copy()

    def sample(self, logits, rng):
        loc, ls = self._split(logits)
        return rng.laplace(loc, np.exp(ls))


def make_laplace_pixels():
    return {"p": LaplaceLik()}


ITEMS.append(Item('laplace_pixels', 'vision research code', 'likelihood', make_laplace_pixels, False,
                  slip='the error is x - loc, so the gradient of loc is minus its sign',
                  wrong=('nll_backward',), causes=('sign',)))


class NegBin:
    """r failures, success probability sigmoid(logits); scVI without the zeros."""

    def __init__(self, r=3.0):
        self.r, self.n_params, self.support, self.name = r, 1, (0, np.inf), "negative binomial"

    def nll(self, x, logits):
        lp, lq = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)
        ll = gammaln(x + self.r) - gammaln(self.r) - gammaln(x + 1) + x * lp + self.r * lq
        return -ll.sum(axis=1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        return ((x + self.r) * expit(logits) - x) * dnll.reshape(-1, 1)

    def mean(self, logits):
        return self.r * expit(logits)

    def sample(self, logits, rng):
        return rng.negative_binomial(self.r, expit(-logits)).astype(float)


def make_negative_binomial_mean():
    return {"p": NegBin()}


ITEMS.append(Item('negative_binomial_mean', 'bioinformatics research code', 'likelihood', make_negative_binomial_mean, False,
                  slip='the mean is r p / (1 - p), not r p',
                  wrong=('mean',), causes=('elementwise-factor',)))


class LogisticLik:
    name, n_params, support = "logistic", 2, (-np.inf, np.inf)

    def nll(self, x, logits):
        m, s = np.hsplit(logits, 2)
        u = (x - m) / np.exp(s)
        return (u + s + 2 * np.logaddexp(0, -u)).sum(-1), (u, s)

    def nll_backward(self, dnll, cache):
        u, s = cache
        t = np.tanh(u / 2)
        return np.hstack([-t * np.exp(-s), 1 - u * t]) * dnll[:, None]

    def mean(self, logits):
        return np.hsplit(logits, 2)[0]

    def sample(self, logits, rng):
        m, s = np.hsplit(logits, 2)
        u = rng.uniform(1e-12, 1 - 1e-12, m.shape)
        return m + (np.log(u) - np.log1p(-u))


def make_logistic_sampling():
    return {"p": LogisticLik()}


ITEMS.append(Item('logistic_sampling', 'audio research code', 'likelihood', make_logistic_sampling, False,
                  slip='the draw lacks the scale exp(s)',
                  wrong=('sample',), causes=('elementwise-factor',)))


class BetaLik:
    """Intensities in (0, 1); shapes a, b = 1 + softplus of the two halves."""
    name, n_params, support = "beta", 2, (0.0, 1.0)

    def shapes(self, logits):
        a, b = np.split(1 + np.logaddexp(0, logits), 2, axis=1)
        return a, b

    def nll(self, x, logits):
        a, b = self.shapes(logits)
        ll = special.xlogy(a - 1, x) + special.xlog1py(b - 1, -x) - special.betaln(a, b)
        return -ll.sum(1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        a, b = self.shapes(logits)
        both = special.digamma(a + b)
        d = np.hstack([special.digamma(a) - both - np.log(x), special.digamma(b) - both - np.log1p(-x)])
        return d * expit(logits) * dnll[:, None]

    def mean(self, logits):
        a, b = self.shapes(logits)
        return a / (a + b)

    def sample(self, logits, rng):
        g, h = (rng.standard_gamma(s) for s in self.shapes(logits))
        return g / (g + h)


def make_beta_shapes_softplus():
    return {"p": BetaLik()}


ITEMS.append(Item('beta_shapes_softplus', 'graphics research code', 'likelihood', make_beta_shapes_softplus, True))


class StudentT:
    """Heavy-tailed returns, 6 degrees of freedom: location and log scale."""
    df = 6.0
    n_params = 2
    support = (-np.inf, np.inf)
    name = "student t"

    def nll(self, x, logits):
        D = x.shape[1]
        y = (x - logits[:, :D]) * np.exp(-logits[:, D:])
        c = gammaln(.5 * (self.df + 1)) - gammaln(.5 * self.df) - .5 * np.log(self.df * np.pi)
        return .5 * (self.df + 1) * np.log1p(y ** 2 / self.df).sum(1) + logits[:, D:].sum(1) - D * c, (y, logits[:, D:])

    def nll_backward(self, dnll, cache):
        y, ls = cache
        k = (self.df + 1) * y / (self.df + y * y)
        return np.concatenate((-k * np.exp(-ls), 1 - k * y), 1) * dnll[:, None]

    def mean(self, logits):
        return logits[:, :logits.shape[1] // 2]

    def sample(self, logits, rng):
        loc, ls = np.split(logits, 2, 1)
        return loc + np.exp(ls) * rng.standard_normal(loc.shape) / np.sqrt(rng.chisquare(self.df, loc.shape) / self.df)


def make_student_t_returns():
    return {"p": StudentT()}


ITEMS.append(Item('student_t_returns', 'finance research code', 'likelihood', make_student_t_returns, True))


class Binomial4:
    name = "binomial, n = 4"
    n_params = 1
    support = (0, 4)
    n = 4

    def nll(self, x, logits):
        choose = np.log(special.binom(self.n, x))
        return (self.n * np.logaddexp(0, logits) - x * logits - choose).sum(1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        return np.einsum("b,bd->bd", dnll, self.mean(logits) - x)

    def mean(self, logits):
        return self.n / (1 + np.exp(-logits))

    def sample(self, logits, rng):
        hits = rng.random((self.n,) + logits.shape) < expit(logits)
        return hits.sum(0).astype(float)


def make_binomial_four_trials():
    return {"p": Binomial4()}


ITEMS.append(Item('binomial_four_trials', 'statistics textbook', 'likelihood', make_binomial_four_trials, True))


class PlainAdamA:
    def __init__(self, lr=.01, b1=.9, b2=.999, eps=1e-8):
        self.lr, self.b1, self.b2, self.eps, self.t, self.m, self.v = lr, b1, b2, eps, 0, {}, {}

    def step(self, params, grads):
        self.t += 1
        for k, g in grads.items():
            self.m[k] = self.b1 * self.m.get(k, 0) + (1 - self.b1) * g
            self.v[k] = self.b2 * self.v.get(k, 0) + (1 - self.b2) * g ** 2
            params[k] -= self.lr * (self.m[k] / (1 - self.b1 ** self.t)) / (np.sqrt(self.v[k] / (1 - self.b2 ** self.t)) + self.eps)


class StudentAdam:
    def __init__(self, learning_rate=.01, betas=(.9, .999)):
        self.learning_rate, self.betas, self.state, self.t = learning_rate, betas, {}, 0

    def step(self, params, grads):
        b1, b2 = self.betas
        for name in params:
            self.t += 1
            m, v = self.state.setdefault(name, (np.zeros_like(params[name]), np.zeros_like(params[name])))
            m = b1 * m + (1 - b1) * grads[name]
            v = b2 * v + (1 - b2) * grads[name] * grads[name]
            self.state[name] = (m, v)
            mhat, vhat = m / (1 - b1 ** self.t), v / (1 - b2 ** self.t)
            params[name] -= self.learning_rate * mhat / (np.sqrt(vhat) + 1e-8)


def make_adam_t_per_parameter():
    return {"optimizer": StudentAdam(), "reference": PlainAdamA()}


ITEMS.append(Item('adam_t_per_parameter', 'deep learning course', 'optimizer', make_adam_t_per_parameter, False,
                  slip='t is counted up once for each parameter inside the loop; it counts steps',
                  wrong=('params',), causes=('factor', 'elementwise-factor', 'unknown')))


class DecayRef:
    def step(self, params, grads):
        for k in params:
            params[k] -= 0.05 * (grads[k] + 0.1 * params[k])


class SGDWeightDecay:
    def __init__(self, lr=0.05, weight_decay=0.1):
        self.lr, self.weight_decay = lr, weight_decay

    def step(self, params, grads):
        for k, p in params.items():
            g = grads[k]
            if self.weight_decay:
                g += self.weight_decay * p
            p -= self.lr * g


def make_sgd_decay_into_grads():
    return {"optimizer": SGDWeightDecay(), "reference": DecayRef()}


ITEMS.append(Item('sgd_decay_into_grads', 'layer library', 'optimizer', make_sgd_decay_into_grads, False,
                  slip="g += writes the decay into the caller's gradients",
                  wrong=('grads',), causes=('mutates-input',)))


class NesterovRef:
    def __init__(self):
        self.v = {}

    def step(self, params, grads):
        for k in params:
            old = self.v.get(k, np.zeros_like(params[k]))
            self.v[k] = .9 * old - .02 * grads[k]
            params[k] += -.9 * old + 1.9 * self.v[k]


class Nesterov:
    """the look-ahead form"""
    lr, mu = .02, .9

    def __init__(self):
        self.buf = None

    def step(self, params, grads):
        if self.buf is None:
            self.buf = {k: np.zeros_like(v) for k, v in params.items()}
        for k in params:
            self.buf[k] *= self.mu
            self.buf[k] -= self.lr * grads[k]
            params[k] += self.mu * self.buf[k]


def make_nesterov_cs231n_form():
    return {"optimizer": Nesterov(), "reference": NesterovRef()}


ITEMS.append(Item('nesterov_cs231n_form', 'CS231n assignment', 'optimizer', make_nesterov_cs231n_form, False,
                  slip='the gradient step itself, - lr * g, is missing next to mu * v',
                  wrong=('params',), causes=('missing-term',)))


class AdagradRef:
    def __init__(self):
        self.h = {}

    def step(self, params, grads):
        for k in params:
            self.h[k] = self.h.get(k, 0.0) + grads[k] ** 2
            params[k] -= .1 * grads[k] / (np.sqrt(self.h[k]) + 1e-7)


class Adagrad:
    def __init__(self, lr=.1):
        self.lr, self.hist = lr, {}

    def step(self, params, grads):
        for key, val in params.items():
            if key not in self.hist:
                self.hist[key] = np.zeros(val.shape)
            np.add(self.hist[key], np.square(grads[key]), out=self.hist[key])
            denom = self.hist[key] + 1e-7
            val -= self.lr * (grads[key] / denom)


def make_adagrad_no_root():
    return {"optimizer": Adagrad(), "reference": AdagradRef()}


ITEMS.append(Item('adagrad_no_root', 'NLP homework', 'optimizer', make_adagrad_no_root, False,
                  slip='divides by the summed squares; their root is missing',
                  wrong=('params',), causes=('elementwise-factor',)))


class AdamRefB:
    def __init__(self):
        self.t, self.m, self.v = 0, {}, {}

    def step(self, params, grads):
        self.t += 1
        for k in params:
            self.m[k] = .9 * self.m.get(k, 0) + .1 * grads[k]
            self.v[k] = .99 * self.v.get(k, 0) + .01 * grads[k] ** 2
            mh, vh = self.m[k] / (1 - .9 ** self.t), self.v[k] / (1 - .99 ** self.t)
            params[k] -= .003 * mh / (np.sqrt(vh) + 1e-6)


class FlatAdam:
    """One flat vector for all parameters; both corrections folded into the step size and epsilon."""
    def __init__(self):
        self.n = 0

    def step(self, params, grads):
        keys = sorted(params)
        g = np.concatenate([np.ravel(grads[k]) for k in keys])
        if not self.n:
            self.m, self.v = np.zeros_like(g), np.zeros_like(g)
        self.n += 1
        self.m += .1 * (g - self.m)
        self.v += (1 - .99) * (g * g - self.v)
        root = np.sqrt(1 - .99 ** self.n)
        move = .003 * root / (1 - .9 ** self.n) * self.m / (np.sqrt(self.v) + 1e-6 * root)
        at = 0
        for k in keys:
            size = params[k].size
            params[k] -= move[at:at + size].reshape(params[k].shape)
            at += size


def make_adam_folded_correction():
    return {"optimizer": FlatAdam(), "reference": AdamRefB()}


ITEMS.append(Item('adam_folded_correction', 'RL research code', 'optimizer', make_adam_folded_correction, True))


class HeavyBallRef:
    def __init__(self):
        self.v = {}

    def step(self, params, grads):
        for k in params:
            self.v[k] = .8 * self.v.get(k, 0.0) + grads[k]
            params[k] -= .03 * self.v[k]


class AveragedGradient:
    """The running mean of the gradients, with a step 1 / (1 - mu) times as long: the same path."""
    def __init__(self):
        self.mean = {}

    def step(self, params, grads):
        for k, p in params.items():
            self.mean.setdefault(k, np.zeros_like(p))
            self.mean[k] += (1 - .8) * (grads[k] - self.mean[k])
            np.subtract(p, .03 / (1 - .8) * self.mean[k], out=p)


def make_momentum_as_average():
    return {"optimizer": AveragedGradient(), "reference": HeavyBallRef()}


ITEMS.append(Item('momentum_as_average', 'textbook', 'optimizer', make_momentum_as_average, True))


class ClippedRMSRef:
    def __init__(self):
        self.s = {}

    def step(self, params, grads):
        norm = np.sqrt(sum((g ** 2).sum() for g in grads.values()))
        scale = 1.0 if norm <= 1.0 else 1.0 / norm
        for k in params:
            g = scale * grads[k]
            self.s[k] = .95 * self.s.get(k, 0) + .05 * g ** 2
            params[k] -= .01 * g / np.sqrt(self.s[k] + 1e-5)


class RMSPropClip:
    def __init__(self, lr=.01, decay=.95, max_norm=1.0):
        self.cfg, self.sq = (lr, decay, max_norm), None

    def step(self, params, grads):
        lr, decay, max_norm = self.cfg
        total = np.linalg.norm([np.linalg.norm(g) for g in grads.values()])
        clipped = {k: g / max(1.0, total / max_norm) for k, g in grads.items()}
        if self.sq is None:
            self.sq = {k: np.zeros_like(g) for k, g in clipped.items()}
        for k, g in clipped.items():
            self.sq[k] = decay * self.sq[k] + (1 - decay) * g * g
            params[k] += -lr * g * (self.sq[k] + 1e-5) ** -0.5


def make_global_norm_clipped_rmsprop():
    return {"optimizer": RMSPropClip(), "reference": ClippedRMSRef()}


ITEMS.append(Item('global_norm_clipped_rmsprop', 'RL research code', 'optimizer', make_global_norm_clipped_rmsprop, True))
