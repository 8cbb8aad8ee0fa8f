"""Latent-variable models and what belongs to them: 30 wrong and 18 right items."""
from types import SimpleNamespace as NS
from typing import Callable, NamedTuple

import numpy as np
from scipy.special import expit, gammaln, log_expit, log_softmax, logsumexp, softmax


class Item(NamedTuple):
    name: str
    style: str
    check: str
    make: Callable
    right: bool
    slip: str = ""
    wrong: tuple = ()
    causes: tuple = ()


def make_cs231n_vae_reparam():
    class VAE:
        def __init__(self, D=6, H=5, Z=2, seed=0):
            rng = np.random.default_rng(seed)
            p = {}
            p['W_enc'] = rng.normal(size=(D, H)) * 0.5; p['b_enc'] = rng.normal(size=H) * 0.1
            p['W_mu'] = rng.normal(size=(H, Z)) * 0.5; p['b_mu'] = rng.normal(size=Z) * 0.1
            p['W_lv'] = rng.normal(size=(H, Z)) * 0.5; p['b_lv'] = rng.normal(size=Z) * 0.1
            p['W_dec'] = rng.normal(size=(Z, D)) * 0.7; p['b_dec'] = rng.normal(size=D) * 0.1
            self.params = p

        def encode(self, x):
            h = np.tanh(x @ self.params['W_enc'] + self.params['b_enc'])
            return h @ self.params['W_mu'] + self.params['b_mu'], h @ self.params['W_lv'] + self.params['b_lv'], h

        def objective(self, x, eps, beta=1.0):
            mu, lv, h = self.encode(x)
            std = np.exp(0.5 * lv)
            z = mu + std * eps
            s = z @ self.params['W_dec'] + self.params['b_dec']
            nll = (np.logaddexp(0, s) - x * s).sum(1)
            kl = -0.5 * (1 + lv - mu ** 2 - np.exp(lv)).sum(1)
            return NS(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, mu, lv, h, std, z, s)

        def backward(self, dobj, cache):
            x, eps, beta, mu, lv, h, std, z, s = cache
            p, g = self.params, {}
            ds = -dobj[:, None] * (expit(s) - x)
            g['W_dec'] = z.T @ ds
            g['b_dec'] = ds.sum(0)
            dz = ds @ p['W_dec'].T
            dmu = dz - beta * dobj[:, None] * mu
            dlv = dz * eps * std
            dlv += -beta * dobj[:, None] * 0.5 * (np.exp(lv) - 1)
            g['W_mu'] = h.T @ dmu; g['b_mu'] = dmu.sum(0)
            g['W_lv'] = h.T @ dlv; g['b_lv'] = dlv.sum(0)
            dh = dmu @ p['W_mu'].T + dlv @ p['W_lv'].T
            da = dh * (1 - h ** 2)
            g['W_enc'] = x.T @ da; g['b_enc'] = da.sum(0)
            return g
    rng = np.random.default_rng(1)
    return dict(model=VAE(), x=(rng.random((5, 6)) < 0.5).astype(float), eps=rng.normal(size=(5, 2)))


def make_beta_vae_gauss():
    rng = np.random.default_rng(12)
    class BetaVAE:
        beta = 4.0
        def __init__(self):
            n = rng.standard_normal
            self.params = {"enc/w": n((4, 5)) * .4, "enc/b": n(5) * .1, "head/w": n((5, 4)) * .4, "head/b": n(4) * .1,
                           "dec/w": n((2, 4)) * .6, "dec/b": n(4) * .1}

        def encode(self, x):
            pre = x @ self.params["enc/w"] + self.params["enc/b"]
            hid = np.where(pre > 0, pre, 0.2 * pre)
            out = hid @ self.params["head/w"] + self.params["head/b"]
            mean, log_var = np.split(out, 2, axis=1)
            return mean, log_var, pre, hid

        def objective(self, x, eps):
            mean, log_var, pre, hid = self.encode(x)
            sd = np.exp(log_var / 2)
            z = mean + sd * eps
            rec = z @ self.params["dec/w"] + self.params["dec/b"]
            nll = 0.5 * np.sum((x - rec) ** 2 + np.log(2 * np.pi), axis=1)
            kl = 0.5 * np.sum(mean ** 2 + np.exp(log_var) - log_var - 1, axis=1)
            return NS(objective=-nll - self.beta * kl), dict(x=x, eps=eps, mean=mean, log_var=log_var, pre=pre, hid=hid, sd=sd, z=z, rec=rec)

        def backward(self, dobjective, c):
            d = dobjective.reshape(-1, 1)
            d_rec = d * (c["x"] - c["rec"])
            d_z = d_rec @ self.params["dec/w"].T
            d_kl = -d
            d_mean = d_z + d_kl * c["mean"]
            d_lv = 0.5 * d_z * c["eps"] * c["sd"] + d_kl * 0.5 * (np.exp(c["log_var"]) - 1)
            d_out = np.hstack([d_mean, d_lv])
            d_hid = d_out @ self.params["head/w"].T
            d_pre = np.where(c["pre"] > 0, d_hid, 0.2 * d_hid)
            return {"dec/w": c["z"].T @ d_rec, "dec/b": d_rec.sum(0), "head/w": c["hid"].T @ d_out, "head/b": d_out.sum(0),
                    "enc/w": c["x"].T @ d_pre, "enc/b": d_pre.sum(0)}
    m = BetaVAE()
    return dict(model=m, x=rng.normal(size=(6, 4)), eps=rng.normal(size=(6, 2)))


def make_cvae_label_embedding():
    class CVAE:
        def __init__(self, rng, D=5, C=3, E=2, H=4, Z=2):
            self.D, self.Z = D, Z
            self.params = dict(emb=rng.normal(size=(C, E)), We=rng.normal(size=(D + E, H)) * .5, Wm=rng.normal(size=(H, Z)) * .5,
                               Ws=rng.normal(size=(H, Z)) * .5, bs=rng.normal(size=Z) * .2, Wd=rng.normal(size=(Z + E, D)) * .5, bd=rng.normal(size=D) * .2)

        def objective(self, x, eps, beta):
            P = self.params
            pix, y = x[:, :self.D], x[:, self.D].astype(int)
            e = P['emb'][y]
            inp = np.concatenate([pix, e], 1)
            h = expit(inp @ P['We'])
            mu = h @ P['Wm']
            logvar = h @ P['Ws'] + P['bs']
            z = mu + eps * np.exp(.5 * logvar)
            zin = np.concatenate([z, e], 1)
            logits = zin @ P['Wd'] + P['bd']
            nll = -(pix * log_expit(logits) + (1 - pix) * log_expit(-logits)).sum(-1)
            kl = .5 * (np.exp(logvar) + mu * mu - 1 - logvar).sum(-1)
            self_cache = (pix, y, inp, h, mu, logvar, eps, zin, logits, beta)
            return NS(objective=-nll - beta * kl, nll=nll, kl=kl), self_cache

        def backward(self, dobjective, cache):
            P = self.params
            pix, y, inp, h, mu, logvar, eps, zin, logits, beta = cache
            w = dobjective[:, None]
            dl = w * (pix - expit(logits))
            dzin = dl @ P['Wd'].T
            dz, de = dzin[:, :self.Z], dzin[:, self.Z:]
            dmu = dz - beta * w * mu
            dlv = dz * eps * .5 * np.exp(.5 * logvar) - beta * w * .5 * (np.exp(logvar) - 1)
            dh = (dmu @ P['Wm'].T + dlv @ P['Ws'].T) * h * (1 - h)
            dinp = dh @ P['We'].T
            demb = np.zeros_like(P['emb'])
            np.add.at(demb, y, de)
            return dict(emb=demb, We=inp.T @ dh, Wm=h.T @ dmu, Ws=h.T @ dlv, bs=dlv.sum(0), Wd=zin.T @ dl, bd=dl.sum(0))
    rng = np.random.default_rng(20)
    x = np.concatenate([(rng.random((6, 5)) < .5) * 1., np.array([[0, 1, 2, 1, 0, 2.]]).T], 1)
    return dict(model=CVAE(rng), x=x, eps=rng.normal(size=(6, 2)))


def make_iwae_weights():
    class IWAE:
        def __init__(self, r, D=5, Z=2):
            f = lambda *s: r.normal(size=s) * .5
            self.params = {'Wm': f(D, Z), 'bm': f(Z), 'Wl': f(D, Z), 'bl': f(Z), 'Wd': f(Z, D), 'bd': f(D)}

        def encode(self, x):
            p = self.params
            return x @ p['Wm'] + p['bm'], x @ p['Wl'] + p['bl']

        def objective(self, x, eps):                       # eps (K, B, Z)
            p = self.params
            mu, lv = self.encode(x)
            sig = np.exp(lv / 2)
            z = mu[None] + sig[None] * eps
            a = z @ p['Wd'] + p['bd']
            logpx = (x[None] * a - np.logaddexp(0, a)).sum(-1)
            logpz = -.5 * (z ** 2).sum(-1)
            logq = -.5 * (eps ** 2 + lv[None]).sum(-1)
            logw = logpx + logpz - logq                     # (K, B)
            bound = logsumexp(logw, axis=0) - np.log(len(eps))
            return NS(objective=bound), (x, eps, sig, z, a, logw)

        def backward(self, dobjective, cache):
            x, eps, sig, z, a, logw = cache
            p = self.params
            wn = np.full_like(logw, 1. / len(logw))
            c = (wn * dobjective)[..., None]
            da = c * (x[None] - expit(a))
            dz = da @ p['Wd'].T - c * z
            dmu = dz.sum(0)
            dlv = (dz * eps * sig * .5 + .5 * c).sum(0)
            return {'Wm': x.T @ dmu, 'bm': dmu.sum(0), 'Wl': x.T @ dlv, 'bl': dlv.sum(0),
                    'Wd': np.einsum('kbz,kbd->zd', z, da), 'bd': da.sum((0, 1))}
    r = np.random.default_rng(30)
    return dict(model=IWAE(r), x=(r.random((4, 5)) < .5) * 1., eps=r.normal(size=(5, 4, 2)))


def make_iwae_weights_2():
    class IWAE:
        def __init__(self, r, D=5, Z=2):
            f = lambda *s: r.normal(size=s) * .5
            self.params = {'Wm': f(D, Z), 'bm': f(Z), 'Wl': f(D, Z), 'bl': f(Z), 'Wd': f(Z, D), 'bd': f(D)}

        def encode(self, x):
            p = self.params
            return x @ p['Wm'] + p['bm'], x @ p['Wl'] + p['bl']

        def objective(self, x, eps):                       # eps (K, B, Z)
            p = self.params
            mu, lv = self.encode(x)
            sig = np.exp(lv / 2)
            z = mu[None] + sig[None] * eps
            a = z @ p['Wd'] + p['bd']
            logpx = (x[None] * a - np.logaddexp(0, a)).sum(-1)
            logpz = -.5 * (z ** 2).sum(-1)
            logq = -.5 * (eps ** 2 + lv[None]).sum(-1)
            logw = logpx + logpz - logq                     # (K, B)
            bound = logsumexp(logw, axis=0) - np.log(len(eps))
            return NS(objective=bound), (x, eps, sig, z, a, logw)

        def backward(self, dobjective, cache):
            x, eps, sig, z, a, logw = cache
            p = self.params
            wn = softmax(logw, axis=0)
            c = (wn * dobjective)[..., None]
            da = c * (x[None] - expit(a))
            dz = da @ p['Wd'].T - c * z
            dmu = dz.sum(0)
            dlv = (dz * eps * sig * .5 + .5 * c).sum(0)
            return {'Wm': x.T @ dmu, 'bm': dmu.sum(0), 'Wl': x.T @ dlv, 'bl': dlv.sum(0),
                    'Wd': np.einsum('kbz,kbd->zd', z, da), 'bd': da.sum((0, 1))}
    r = np.random.default_rng(30)
    return dict(model=IWAE(r), x=(r.random((4, 5)) < .5) * 1., eps=r.normal(size=(5, 4, 2)))


def make_ladder_two_layer():
    class Ladder:
        def __init__(self, rng, D=5, H=4, Z1=3, Z2=2):
            self.Z1 = Z1
            n = lambda *s: 0.5 * rng.normal(size=s)
            self.params = dict(W1=n(D, H), b1=n(H), M1=n(H, Z1), V1=n(H, Z1), M2=n(H, Z2), V2=n(H, Z2), P=n(Z2, Z1), c=n(Z1), r=n(Z1), D=n(Z1, D), d=n(D))

        def objective(self, x, eps, beta=1.0):
            p = self.params
            h = np.tanh(x @ p['W1'] + p['b1'])
            e1, e2 = eps[:, :self.Z1], eps[:, self.Z1:]
            mu1, lv1, mu2, lv2 = h @ p['M1'], h @ p['V1'], h @ p['M2'], h @ p['V2']
            z1 = mu1 + np.exp(lv1 / 2) * e1
            z2 = mu2 + np.exp(lv2 / 2) * e2
            m = z2 @ p['P'] + p['c']
            out = z1 @ p['D'] + p['d']
            kl1 = 0.5 * (p['r'] - lv1 + (np.exp(lv1) + (mu1 - m) ** 2) * np.exp(-p['r']) - 1).sum(1)
            kl2 = 0.5 * (mu2 ** 2 + np.exp(lv2) - lv2 - 1).sum(1)
            nll = 0.5 * ((x - out) ** 2).sum(1) + 0.5 * x.shape[1] * np.log(2 * np.pi)
            t = NS(objective=-nll - beta * (kl1 + kl2), nll=nll, kl=kl1 + kl2)
            return t, NS(**{k: v for k, v in locals().items() if k not in ('self', 'p', 't')})

        def backward(self, dobj, k):
            p = self.params
            g = {}
            d = dobj[:, None]
            dk = -k.beta * d
            dout = d * (k.x - k.out)
            g['D'] = k.z1.T @ dout; g['d'] = dout.sum(0)
            dz1 = dout @ p['D'].T
            prec = np.exp(-p['r'])
            diff = (k.mu1 - k.m) * prec
            dm = -dk * diff
            g['P'] = k.z2.T @ dm; g['c'] = dm.sum(0)
            g['r'] = (dk * 0.5 * (1 - (np.exp(k.lv1) + (k.mu1 - k.m) ** 2) * prec)).sum(0)
            dz2 = np.zeros_like(k.z2)
            dmu1 = dz1 + dk * diff
            dlv1 = dz1 * 0.5 * np.exp(k.lv1 / 2) * k.e1 + dk * 0.5 * (np.exp(k.lv1) * prec - 1)
            dmu2 = dz2 + dk * k.mu2
            dlv2 = dz2 * 0.5 * np.exp(k.lv2 / 2) * k.e2 + dk * 0.5 * (np.exp(k.lv2) - 1)
            dh = 0
            for name, dv in (('M1', dmu1), ('V1', dlv1), ('M2', dmu2), ('V2', dlv2)):
                g[name] = k.h.T @ dv
                dh = dh + dv @ p[name].T
            da = dh * (1 - k.h ** 2)
            g['W1'] = k.x.T @ da; g['b1'] = da.sum(0)
            return g
    rng = np.random.default_rng(40)
    return dict(model=Ladder(rng), x=rng.normal(size=(5, 5)), eps=rng.normal(size=(5, 5)))


def make_ladder_two_layer_2():
    class Ladder:
        def __init__(self, rng, D=5, H=4, Z1=3, Z2=2):
            self.Z1 = Z1
            n = lambda *s: 0.5 * rng.normal(size=s)
            self.params = dict(W1=n(D, H), b1=n(H), M1=n(H, Z1), V1=n(H, Z1), M2=n(H, Z2), V2=n(H, Z2), P=n(Z2, Z1), c=n(Z1), r=n(Z1), D=n(Z1, D), d=n(D))

        def objective(self, x, eps, beta=1.0):
            p = self.params
            h = np.tanh(x @ p['W1'] + p['b1'])
            e1, e2 = eps[:, :self.Z1], eps[:, self.Z1:]
            mu1, lv1, mu2, lv2 = h @ p['M1'], h @ p['V1'], h @ p['M2'], h @ p['V2']
            z1 = mu1 + np.exp(lv1 / 2) * e1
            z2 = mu2 + np.exp(lv2 / 2) * e2
            m = z2 @ p['P'] + p['c']
            out = z1 @ p['D'] + p['d']
            kl1 = 0.5 * (p['r'] - lv1 + (np.exp(lv1) + (mu1 - m) ** 2) * np.exp(-p['r']) - 1).sum(1)
            kl2 = 0.5 * (mu2 ** 2 + np.exp(lv2) - lv2 - 1).sum(1)
            nll = 0.5 * ((x - out) ** 2).sum(1) + 0.5 * x.shape[1] * np.log(2 * np.pi)
            t = NS(objective=-nll - beta * (kl1 + kl2), nll=nll, kl=kl1 + kl2)
            return t, NS(**{k: v for k, v in locals().items() if k not in ('self', 'p', 't')})

        def backward(self, dobj, k):
            p = self.params
            g = {}
            d = dobj[:, None]
            dk = -k.beta * d
            dout = d * (k.x - k.out)
            g['D'] = k.z1.T @ dout; g['d'] = dout.sum(0)
            dz1 = dout @ p['D'].T
            prec = np.exp(-p['r'])
            diff = (k.mu1 - k.m) * prec
            dm = -dk * diff
            g['P'] = k.z2.T @ dm; g['c'] = dm.sum(0)
            g['r'] = (dk * 0.5 * (1 - (np.exp(k.lv1) + (k.mu1 - k.m) ** 2) * prec)).sum(0)
            dz2 = dm @ p['P'].T
            dmu1 = dz1 + dk * diff
            dlv1 = dz1 * 0.5 * np.exp(k.lv1 / 2) * k.e1 + dk * 0.5 * (np.exp(k.lv1) * prec - 1)
            dmu2 = dz2 + dk * k.mu2
            dlv2 = dz2 * 0.5 * np.exp(k.lv2 / 2) * k.e2 + dk * 0.5 * (np.exp(k.lv2) - 1)
            dh = 0
            for name, dv in (('M1', dmu1), ('V1', dlv1), ('M2', dmu2), ('V2', dlv2)):
                g[name] = k.h.T @ dv
                dh = dh + dv @ p[name].T
            da = dh * (1 - k.h ** 2)
            g['W1'] = k.x.T @ da; g['b1'] = da.sum(0)
            return g
    rng = np.random.default_rng(40)
    return dict(model=Ladder(rng), x=rng.normal(size=(5, 5)), eps=rng.normal(size=(5, 5)))


def make_vade_mixture_prior():
    def log_mix(z, pi, M):
        lp = pi - logsumexp(pi) - 0.5 * ((z[:, None] - M[None]) ** 2).sum(-1) - 0.5 * z.shape[1] * np.log(2 * np.pi)
        return logsumexp(lp, axis=1), softmax(lp, axis=1)

    class VaDE:
        def __init__(self, seed):
            g = np.random.RandomState(seed)
            self.params = {'enc_mu': g.randn(6, 2) * .4, 'enc_lv': g.randn(6, 2) * .4, 'lv0': g.randn(2) * .3,
                           'dec': g.randn(2, 6) * .8, 'dec_b': g.randn(6) * .2, 'pi': g.randn(3), 'M': g.randn(3, 2) * 1.5}

        def objective(self, x, eps):
            P = self.params
            mu = x.dot(P['enc_mu']); lv = x.dot(P['enc_lv']) + P['lv0']
            z = mu + np.exp(.5 * lv) * eps
            s = z.dot(P['dec']) + P['dec_b']
            log_px = (x * s - np.logaddexp(0., s)).sum(1)
            log_pz, resp = log_mix(z, P['pi'], P['M'])
            log_qz = -.5 * (np.log(2 * np.pi) + lv + eps ** 2).sum(1)
            return NS(objective=log_px + log_pz - log_qz), (x, eps, lv, z, s, resp)

        def backward(self, dobj, cache):
            x, eps, lv, z, s, resp = cache
            P = self.params
            w = dobj[:, None]
            ds = w * (x - expit(s))
            diff = P['M'][None] - z[:, None]                              # (B, K, Z)
            dz = ds.dot(P['dec'].T) + w * (resp[..., None] * diff).sum(1)
            dlv = dz * eps * .5 * np.exp(.5 * lv) + .5 * w
            return {'dec': z.T.dot(ds), 'dec_b': ds.sum(0),
                    'pi': (w * resp).sum(0),
                    'M': -(w[:, :, None] * resp[..., None] * diff).sum(0),
                    'enc_mu': x.T.dot(dz), 'enc_lv': x.T.dot(dlv), 'lv0': dlv.sum(0)}
    g = np.random.RandomState(50)
    return dict(model=VaDE(51), x=(g.rand(5, 6) < .5).astype(float), eps=g.randn(5, 2))


def make_factor_analysis():
    class FactorAnalysis:
        """x = mean + W f + noise, noise ~ N(0, diag psi); the factors are integrated out, so no noise is needed."""
        def __init__(self, D, K, seed):
            rng = np.random.default_rng(seed)
            self.params = {"mean": rng.normal(size=D), "W": rng.normal(size=(D, K)), "log_psi": rng.normal(size=D) * 0.5}

        def objective(self, x, eps):
            mean, W, log_psi = (self.params[k] for k in ("mean", "W", "log_psi"))
            C = W @ W.T + np.diag(np.exp(log_psi))
            A = np.linalg.inv(C)
            xc = x - mean
            maha = np.einsum("bi,ij,bj->b", xc, A, xc)
            ll = -0.5 * (len(C) * np.log(2 * np.pi) + np.linalg.slogdet(C)[1] + maha)
            return NS(objective=ll), (xc, A)

        def backward(self, dobjective, cache):
            xc, A = cache
            y = xc @ A
            dC = 0.5 * (np.einsum("b,bi,bj->ij", dobjective, y, y) - dobjective.sum() * A)
            return {"mean": dobjective @ y, "W": 2 * dC @ self.params["W"],
                    "log_psi": np.diag(dC).copy()}
    rng = np.random.default_rng(60)
    return dict(model=FactorAnalysis(5, 2, 61), x=rng.normal(size=(7, 5)) * 2, eps=np.zeros((7, 1)))


def make_planar_flow_vae():
    class FlowVAE:
        def __init__(self, rng):
            D, Z = 5, 2
            self.params = {'Wm': rng.normal(size=(D, Z)) * .4, 'Wl': rng.normal(size=(D, Z)) * .3, 'bl': rng.normal(size=Z) * .3,
                           'u': np.array([.8, .5]), 'w': np.array([.9, -.3]), 'b': np.array([.2]),
                           'Wd': rng.normal(size=(Z, D)), 'bd': rng.normal(size=D) * .2}

        def objective(self, x, eps):
            q = self.params
            mu = x @ q['Wm']; lv = x @ q['Wl'] + q['bl']
            z0 = mu + np.exp(lv / 2) * eps
            h = np.tanh(z0 @ q['w'] + q['b'])
            z = z0 + h[:, None] * q['u']
            det = 1 + (q['u'] @ q['w']) * (1 - h ** 2)
            s = z @ q['Wd'] + q['bd']
            elbo = ((x * s - np.logaddexp(0, s)).sum(1) - .5 * (z ** 2).sum(1) + .5 * (eps ** 2 + lv).sum(1) + np.log(np.abs(det)))
            return NS(objective=elbo), (x, eps, lv, z0, h, z, det, s)

        def backward(self, dobjective, cache):
            x, eps, lv, z0, h, z, det, s = cache
            q = self.params
            ds = dobjective[:, None] * (x - expit(s))
            dz = ds @ q['Wd'].T - dobjective[:, None] * z
            ddet = dobjective / det
            duw = ddet @ (1 - h ** 2)
            dh = dz @ q['u']
            da = dh * (1 - h ** 2)
            dz0 = dz + da[:, None] * q['w']
            dlv = dz0 * eps * .5 * np.exp(lv / 2) + .5 * dobjective[:, None]
            return {'Wm': x.T @ dz0, 'Wl': x.T @ dlv, 'bl': dlv.sum(0), 'u': h @ dz + duw * q['w'], 'w': da @ z0 + duw * q['u'],
                    'b': np.array([da.sum()]), 'Wd': z.T @ ds, 'bd': ds.sum(0)}
    rng = np.random.default_rng(70)
    return dict(model=FlowVAE(rng), x=(rng.random((5, 5)) < .5) * 1., eps=rng.normal(size=(5, 2)))


def make_hmm_forward_backward():
    class HMM:
        def __init__(self, K=3, V=4, seed=80):
            rng = np.random.default_rng(seed)
            self.params = dict(start=rng.normal(size=K), trans=rng.normal(size=(K, K)) * 1.5, emit=rng.normal(size=(K, V)))

        def objective(self, x, eps):
            p0 = softmax(self.params['start']); A = softmax(self.params['trans'], axis=1); E = softmax(self.params['emit'], axis=1)
            obs = x.astype(int)
            alphas = [p0 * E[:, obs[:, 0]].T]
            for t in range(1, obs.shape[1]):
                alphas.append((alphas[-1] @ A) * E[:, obs[:, t]].T)
            return NS(objective=np.log(alphas[-1].sum(1))), (obs, p0, A, E, alphas)

        def backward(self, dobjective, cache):
            obs, p0, A, E, alphas = cache
            T = obs.shape[1]
            w = (dobjective / alphas[-1].sum(1))[:, None]
            dlogA, dlogE = np.zeros_like(A), np.zeros_like(E)
            msg = np.ones_like(alphas[0])
            for t in range(T - 1, -1, -1):
                gamma = w * alphas[t] * msg
                for b in range(len(obs)):
                    dlogE[:, obs[b, t]] += gamma[b]
                if t > 0:
                    back = E[:, obs[:, t]].T * msg
                    dlogA += A * ((w * alphas[t - 1]).T @ back)
                    msg = back @ A
            undo = lambda d, p: d - p * d.sum(-1, keepdims=True)
            return dict(start=undo(gamma.sum(0), p0), trans=undo(dlogA, A), emit=undo(dlogE, E))
    return dict(model=HMM(), x=np.random.default_rng(81).integers(0, 4, size=(6, 5)).astype(float), eps=np.zeros((6, 1)))


def make_prodlda_topic_model():
    rs = np.random.RandomState(90)
    class ProdLDA:
        prior_mu, prior_var = 0.1, 0.8
        def __init__(self, V=7, K=3):
            self.K = K
            self.params = {"A": rs.randn(V, 2 * K) * 0.15, "am": rs.randn(K) * 0.1, "al": rs.randn(K) * 0.1, "topics": rs.randn(K, V), "bg": rs.randn(V) * 0.2}

        def encode(self, counts):
            t = counts @ self.params["A"]
            return t[:, :self.K] + self.params["am"], t[:, self.K:] + self.params["al"]

        def objective(self, counts, eps):
            mu, lv = self.encode(counts)
            theta = softmax(mu + np.exp(0.5 * lv) * eps, axis=1)
            logp = log_softmax(theta @ self.params["topics"] + self.params["bg"], axis=1)
            nll = -(counts * logp).sum(1)
            kl = 0.5 * (np.exp(lv) / self.prior_var + (mu - self.prior_mu) ** 2 / self.prior_var - 1 + np.log(self.prior_var) - lv).sum(1)
            return NS(objective=-(nll + kl), nll=nll, kl=kl), (counts, eps, mu, lv, theta, logp)

        def backward(self, dobj, cache):
            counts, eps, mu, lv, theta, logp = cache
            w = dobj[:, None]
            dlogits = w * (counts - counts.sum(1, keepdims=True) * np.exp(logp))
            dtheta = dlogits @ self.params["topics"].T
            dz = theta * (dtheta - (dtheta * theta).sum(1, keepdims=True))
            dmu = dz - (mu - self.prior_mu) / self.prior_var
            dlv = dz * eps * 0.5 * np.exp(0.5 * lv) - 0.5 * (np.exp(lv) / self.prior_var - 1)
            return {"topics": theta.T @ dlogits, "bg": dlogits.sum(0), "A": counts.T @ np.hstack([dmu, dlv]), "am": dmu.sum(0), "al": dlv.sum(0)}
    return dict(model=ProdLDA(), x=rs.poisson(1.2, size=(5, 7)).astype(float), eps=rs.randn(5, 3))


def make_gmm_marginal():
    class GMM:
        def __init__(self, seed=100, K=3, D=2):
            rng = np.random.default_rng(seed)
            self.params = dict(logits=rng.normal(size=K), means=rng.normal(size=(K, D)), log_sigma=rng.normal(size=(K, D)) * .3)

        def objective(self, x, eps):
            p = self.params
            u = (x[:, None, :] - p['means']) / np.exp(p['log_sigma'])
            comp = log_softmax(p['logits']) - (0.5 * u ** 2 + p['log_sigma'] + 0.5 * np.log(2 * np.pi)).sum(-1)
            top = comp.max(1, keepdims=True)
            ll = top[:, 0] + np.log(np.exp(comp - top).sum(1))
            return NS(objective=ll), (u, np.exp(comp - ll[:, None]))

        def backward(self, dobjective, cache):
            u, r = cache
            wr = dobjective[:, None] * r
            return dict(logits=wr.sum(0) - dobjective.sum() * softmax(self.params['logits']),
                        means=np.einsum('bk,bkd->kd', wr, u) / np.exp(self.params['log_sigma']),
                        log_sigma=np.einsum('bk,bkd->kd', wr, u ** 2 - 1))
    return dict(model=GMM(), x=np.random.default_rng(101).normal(size=(6, 2)) * 1.5, eps=np.zeros((6, 1)))


def make_full_covariance_posterior():
    class CholeskyVAE:
        def __init__(self, rng, D=4, Z=3):
            self.Z, self.il = Z, np.tril_indices(Z, -1)
            self.params = dict(Wm=rng.normal(size=(D, Z)) * .5, Wd=rng.normal(size=(D, Z)) * .3, Wo=rng.normal(size=(D, len(self.il[0]))) * .5,
                               G=rng.normal(size=(Z, D)), s=np.array([0.3]))

        def objective(self, x, eps, beta=1.0):
            p = self.params
            mu = x @ p['Wm']
            ld = x @ p['Wd']
            L = np.zeros((len(x), self.Z, self.Z))
            L[:, self.il[0], self.il[1]] = x @ p['Wo']
            L[:, range(self.Z), range(self.Z)] = np.exp(ld)
            z = mu + np.einsum('bij,bj->bi', L, eps)
            r = (x - z @ p['G']) / np.exp(p['s'])
            nll = (0.5 * r ** 2 + p['s'] + 0.5 * np.log(2 * np.pi)).sum(1)
            kl = 0.5 * ((L ** 2).sum((1, 2)) + (mu ** 2).sum(1) - self.Z) - ld.sum(1)
            return NS(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, mu, ld, L, z, r)

        def backward(self, dobjective, cache):
            x, eps, beta, mu, ld, L, z, r = cache
            p, w = self.params, dobjective[:, None]
            dout = w * r / np.exp(p['s'])
            dz = dout @ p['G'].T
            dL = dz[:, :, None] * eps[:, None, :] - beta * w[:, :, None] * L
            dld = np.einsum('bii->bi', dL) * np.exp(ld) + beta * w
            return dict(Wm=x.T @ (dz - beta * w * mu), Wd=x.T @ dld, Wo=x.T @ dL[:, self.il[0], self.il[1]], G=z.T @ dout,
                        s=np.array([(w * (r ** 2 - 1)).sum()]))
    rng = np.random.default_rng(110)
    return dict(model=CholeskyVAE(rng), x=rng.normal(size=(5, 4)), eps=rng.normal(size=(5, 3)))


def make_sketch_rnn_vae():
    class SeqVAE:
        """a plain RNN reads the sequence, its last state gives q(z); the decoder emits every step from z and the previous value"""
        def __init__(self, T=5, H=4, Z=2, seed=120):
            rng = np.random.default_rng(seed)
            n = lambda *s: rng.normal(size=s) * 0.6
            self.params = {'Wx': n(1, H), 'Wh': n(H, H), 'bh': n(H), 'Wm': n(H, Z), 'Wv': n(H, Z), 'Wz': n(Z, H), 'Wp': n(1, H), 'Wo': n(H, 1)}

        def objective(self, x, eps, beta=1.0):
            p = self.params
            hs = [np.zeros((len(x), len(p['bh'])))]
            for t in range(x.shape[1]):
                hs.append(np.tanh(x[:, t:t + 1] @ p['Wx'] + hs[-1] @ p['Wh'] + p['bh']))
            mu, lv = hs[-1] @ p['Wm'], hs[-1] @ p['Wv']
            z = mu + np.exp(lv / 2) * eps
            prev = np.zeros((len(x), 1))
            dec, nll = [], 0.0
            for t in range(x.shape[1]):
                a = np.tanh(z @ p['Wz'] + prev @ p['Wp'])
                y = a @ p['Wo']
                nll = nll + 0.5 * (x[:, t] - y[:, 0]) ** 2
                dec.append((prev, a, y))
                prev = x[:, t:t + 1]
            kl = 0.5 * (mu ** 2 + np.exp(lv) - 1 - lv).sum(1)
            return NS(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, hs, mu, lv, z, dec)

        def backward(self, dobjective, cache):
            x, eps, beta, hs, mu, lv, z, dec = cache
            p, w = self.params, dobjective[:, None]
            g = {k: np.zeros_like(v) for k, v in p.items()}
            dz = np.zeros_like(z)
            for t, (prev, a, y) in enumerate(dec):
                dy = w * (x[:, t:t + 1] - y)
                g['Wo'] += a.T @ dy
                dpre = dy @ p['Wo'].T * (1 - a * a)
                g['Wz'] += z.T @ dpre
                g['Wp'] += prev.T @ dpre
                dz += dpre @ p['Wz'].T
            dmu = dz - beta * w * mu
            dlv = dz * eps * np.exp(lv / 2) / 2 - beta * w * np.expm1(lv) / 2
            g['Wm'] += hs[-1].T @ dmu
            g['Wv'] += hs[-1].T @ dlv
            dh = dmu @ p['Wm'].T + dlv @ p['Wv'].T
            for t in reversed(range(x.shape[1])):
                da = dh * (1 - hs[t + 1] ** 2)
                g['Wx'] += x[:, t:t + 1].T @ da
                g['Wh'] += hs[t].T @ da
                g['bh'] += da.sum(0)
                dh = da @ p['Wh'].T
            return g
    rng = np.random.default_rng(121)
    return dict(model=SeqVAE(), x=rng.normal(size=(4, 5)), eps=rng.normal(size=(4, 2)))


def make_tied_weights_vae():
    class TiedVAE(object):
        def __init__(self, seed=130):
            r = np.random.RandomState(seed)
            self.params = {'W': r.randn(6, 3) * .5, 'bv': r.randn(6) * .1, 'bh': r.randn(3) * .1, 'logvar': r.randn(3) * .3}

        def encode(self, x):
            mu = x @ self.params['W'] + self.params['bh']
            return mu, np.tile(self.params['logvar'], (len(x), 1))

        def objective(self, x, eps, beta=1.):
            mu, lv = self.encode(x)
            z = mu + np.exp(.5 * lv) * eps
            s = z @ self.params['W'].T + self.params['bv']
            nll = np.logaddexp(0, np.where(x > .5, -s, s)).sum(1)
            kl = .5 * (mu ** 2 + np.exp(lv) - lv - 1).sum(1)
            return NS(objective=-nll - beta * kl, nll=nll, kl=kl), (x, eps, beta, mu, lv, z, s)

        def backward(self, dobj, cache):
            x, eps, beta, mu, lv, z, s = cache
            ds = dobj[:, None] * (x - expit(s))
            dz = ds @ self.params['W']
            dmu = dz - (beta * dobj)[:, None] * mu
            dlv = .5 * dz * (z - mu) + .5 * (beta * dobj)[:, None] * (1 - np.exp(lv))
            return {'W': x.T @ dmu + ds.T @ z, 'bv': ds.sum(0), 'bh': dmu.sum(0), 'logvar': dlv.sum(0)}
    r = np.random.RandomState(131)
    return dict(model=TiedVAE(), x=(r.rand(5, 6) < .4).astype(float), eps=r.randn(5, 3))


def make_sampler_logvar_as_logstd():
    def sampling(z_mean, z_log_var, epsilon):
        return z_mean + np.exp(z_log_var) * epsilon
    return dict(sampler=sampling, mu=np.array([[0.3, -1.2], [1.5, 0.4], [-0.7, 2.0]]), logvar=np.array([[-1.0, 0.6], [0.9, -0.5], [-0.3, 1.1]]))


def make_sampler_precision():
    class DiagonalNormal:
        def __init__(self, loc, log_scale_sq):
            self.loc, self.log_scale_sq = loc, log_scale_sq
        def rsample(self, noise):
            prec = np.exp(self.log_scale_sq)
            return self.loc + noise / np.sqrt(prec)
    return dict(sampler=lambda mu, logvar, eps: DiagonalNormal(mu, logvar).rsample(eps), mu=np.array([[1.0, -2.0, 0.5], [0.0, 0.7, 3.0]]),
                logvar=np.array([[-0.8, 0.5, 1.2], [0.7, -1.4, -0.4]]))


def make_sampler_one_noise_a_row():
    def reparameterize(mu, logvar, eps):
        B, Z = mu.shape
        out = np.empty((B, Z))
        for i in range(B):
            for j in range(Z):
                out[i, j] = mu[i, j] + np.exp(logvar[i, j] / 2) * eps[i, 0]
        return out
    rng = np.random.default_rng(200)
    return dict(sampler=reparameterize, mu=rng.normal(size=(3, 3)), logvar=rng.normal(size=(3, 3)) * 0.8)


def make_sampler_own_noise():
    gen = np.random.default_rng(201)
    def sample_latent(mu, logvar, eps=None):
        std = np.exp(0.5 * logvar)
        eps = gen.standard_normal(mu.shape)
        z = mu + std * eps
        return z, (std, eps)
    return dict(sampler=sample_latent, mu=np.array([[0.2, 1.0], [-1.3, 0.4]]), logvar=np.array([[0.5, -0.7], [-1.1, 0.9]]))


def make_sampler_inplace():
    def draw(mu, logvar, eps):
        std = logvar
        std *= 0.5
        np.exp(std, out=std)
        return std * eps + mu
    return dict(sampler=draw, mu=np.array([[0.2, 1.0, 0.1], [-1.3, 0.4, 2.2]]), logvar=np.array([[0.5, -0.7, 0.2], [-1.1, 0.9, -0.4]]))


def make_sampler_scaled_twice():
    class Reparam:
        def __call__(self, mu, logvar, eps):
            std = np.exp(logvar / 2)
            self.cache = std, eps
            return (mu + eps) * std
    return dict(sampler=Reparam(), mu=np.array([[0.9, 1.0], [-1.3, 0.6], [2.0, -0.8]]), logvar=np.array([[0.5, -0.7], [-1.1, 0.9], [0.4, 1.3]]))


def make_sampler_rotated_noise():
    def sample(mu, logvar, eps):
        n = mu.shape[1]
        v = np.arange(1.0, n + 1)
        Q = np.eye(n) - 2 * np.outer(v, v) / (v @ v)          # a reflection: Q eps is white as well
        return mu + np.sqrt(np.exp(logvar)) * (eps @ Q)
    return dict(sampler=sample, mu=np.array([[0.2, 1.0, 0.1], [-1.3, 0.4, 2.2]]), logvar=np.array([[0.5, -0.7, 0.2], [-1.1, 0.9, -0.4]]))


def make_sampler_minus_noise():
    def sample(mu, logvar, eps):
        vol = np.exp(logvar) ** 0.5
        return mu - vol * eps, {"vol": vol, "eps": eps}
    return dict(sampler=sample, mu=np.array([[0.2, 1.0], [-1.3, 0.4], [0.0, 0.3]]), logvar=np.array([[0.5, -0.7], [-1.1, 0.9], [1.2, -2.0]]))


def make_sampler_cholesky():
    def sample(mu, logvar, eps):
        rows = []
        for m, lv, e in zip(mu, logvar, eps):
            L = np.linalg.cholesky(np.diag(np.exp(lv)))
            rows.append(m + L @ e)
        return np.stack(rows)
    return dict(sampler=sample, mu=np.array([[0.2, 1.0], [-1.3, 0.4]]), logvar=np.array([[0.5, -0.7], [-1.1, 0.9]]))


def make_elbo_kl_half():
    class Model:
        def __init__(self):
            r = np.random.RandomState(300)
            self.We, self.Wl, self.Wd, self.bd = r.randn(4, 2) * .7, r.randn(4, 2) * .4, r.randn(2, 4), r.randn(4) * .3
        def encode(self, x):
            return (x - .5) @ self.We, (x - .5) @ self.Wl - .3
        def decode(self, z):
            return z @ self.Wd + self.bd
        def objective(self, x, eps):
            mu, logvar = self.encode(x)
            logits = self.decode(mu + np.exp(.5 * logvar) * eps)
            bce = (np.logaddexp(0, logits) - x * logits).sum(1)
            kl = -(1 + logvar - mu ** 2 - np.exp(logvar)).sum(1)
            return NS(elbo=-bce - kl, nll=bce, kl=kl), None
    return dict(model=Model(), x=np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1.], [0, 0, 1, 0]]))


def make_elbo_pixel_mean():
    rng = np.random.default_rng(310)
    A, Bm, C = rng.normal(size=(5, 1)), rng.normal(size=(5, 1)) * .4, rng.normal(size=(1, 5)) * 1.5
    class WorldModel:
        def encode(self, obs):
            return np.tanh(obs @ A), obs @ Bm - .5
        def decode(self, latent):
            return latent @ C
        def objective(self, obs, eps):
            m, lv = self.encode(obs)
            out = self.decode(m + eps * np.exp(lv / 2))
            rec = -(obs * log_expit(out) + (1 - obs) * log_expit(-out)).mean(axis=1)
            kl = .5 * (m ** 2 + np.exp(lv) - 1 - lv).sum(axis=1)
            return NS(objective=-(rec + kl), nll=rec, kl=kl), (m, lv)
    return dict(model=WorldModel(), x=(rng.random((5, 5)) < .5).astype(float))


def make_elbo_kl_std():
    class Net:
        def __init__(self, seed=320):
            g = np.random.default_rng(seed)
            self.e1, self.e2, self.e3 = g.normal(size=(4, 3)), g.normal(size=(3, 2)), g.normal(size=(3, 2))
            self.d1, self.d2 = g.normal(size=(2, 3)), g.normal(size=(3, 4))
        def encode(self, x):
            h = np.tanh(x @ self.e1)
            return h @ self.e2, h @ self.e3 * .5 - .4, h
        def decode(self, z):
            h = np.tanh(z @ self.d1)
            return h @ self.d2, h
        def objective(self, x, eps):
            mu, lv, _ = self.encode(x)
            s = np.exp(lv / 2)
            y, _ = self.decode(mu + s * eps)
            nll = (np.maximum(y, 0) - x * y + np.log1p(np.exp(-np.abs(y)))).sum(1)
            kl = 0.5 * (mu ** 2 + s - lv - 1).sum(1)
            return NS(elbo=-nll - kl, nll=nll, kl=kl), ()
    return dict(model=Net(), x=np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1.]]))


def make_elbo_gauss_constant():
    SIGMA = 0.5
    class FixedGaussian:
        n_params, support, name = 1, (-np.inf, np.inf), "gaussian sigma 0.5"
        def nll(self, x, logits):
            return (0.5 * ((x - logits) / SIGMA) ** 2 + np.log(SIGMA) + 0.5 * np.log(2 * np.pi)).sum(1), (x, logits)
        def nll_backward(self, dnll, cache):
            x, logits = cache
            return dnll[:, None] * (logits - x) / SIGMA ** 2
        def mean(self, logits):
            return logits.copy()
        def sample(self, logits, rng):
            return logits + SIGMA * rng.normal(size=logits.shape)
    class AudioVAE:
        likelihood = FixedGaussian()
        def __init__(self):
            g = np.random.default_rng(330)
            self.E, self.V, self.D = g.normal(size=(3, 1)) * .5, g.normal(size=(3, 1)) * .3, g.normal(size=(1, 3))
        def encode(self, x):
            return x @ self.E, x @ self.V - 1.0
        def decode(self, z):
            return np.tanh(z) @ self.D
        def objective(self, x, eps):
            mu, lv = self.encode(x)
            y = self.decode(mu + np.exp(lv / 2) * eps)
            nll = (0.5 * ((x - y) / SIGMA) ** 2 + 0.5 * np.log(2 * np.pi)).sum(1)
            kl = 0.5 * (mu ** 2 + np.exp(lv) - lv - 1).sum(1)
            return NS(elbo=-nll - kl, nll=nll, kl=kl), None
    return dict(model=AudioVAE(), x=np.random.default_rng(331).normal(size=(5, 3)))


def make_iwae_log_k():
    class IW:
        K = 4
        def __init__(self):
            g = np.random.default_rng(340)
            self.Wm, self.Wv, self.Wx = g.normal(size=(4, 2)) * .5, g.normal(size=(4, 2)) * .3, g.normal(size=(2, 4))
        def draw_eps(self, B, rng):
            return rng.standard_normal((self.K, B, 2))
        def encode(self, x):
            return x @ self.Wm, x @ self.Wv - .2
        def decode(self, z):
            return z @ self.Wx
        def objective(self, x, eps):
            mu, lv = self.encode(x)
            z = mu + np.exp(lv / 2) * eps
            a = self.decode(z)
            lw = (x * a - np.logaddexp(0, a)).sum(-1) - .5 * (z ** 2).sum(-1) + .5 * (eps ** 2 + lv).sum(-1)
            return NS(elbo=logsumexp(lw, axis=0)), lw
    return dict(model=IW(), x=np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1.]]))


def make_elbo_kl_batch_mean():
    class VAE:
        def __init__(self, seed):
            rng = np.random.default_rng(seed)
            self.fc21, self.fc22, self.fc3 = rng.normal(size=(5, 2)) * .8, rng.normal(size=(5, 2)) * .5, rng.normal(size=(2, 5))
        def encode(self, x):
            return x @ self.fc21, x @ self.fc22
        def decode(self, z):
            return z @ self.fc3
        def objective(self, x, eps):
            mu, logvar = self.encode(x)
            recon = self.decode(mu + eps * np.exp(0.5 * logvar))
            BCE = (np.logaddexp(0, recon) - x * recon).sum(axis=1)
            KLD = -0.5 * np.mean(np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)) * np.ones(len(x))
            return NS(objective=-BCE - KLD, nll=BCE, kl=KLD), None
    return dict(model=VAE(350), x=np.array([[0, 1, 1, 0, 1], [1, 1, 0, 0, 0], [0, 0, 0, 1, 0], [1, 1, 1, 1, 1.], [0, 0, 0, 0, 0]]))


def make_elbo_monte_carlo_kl():
    rng = np.random.default_rng(360)
    Wm, Wv, Wd = rng.normal(size=(4, 2)) * .6, rng.normal(size=(4, 2)) * .3, rng.normal(size=(2, 4))
    def log_normal(z, m, lv):
        return -.5 * (np.log(2 * np.pi) + lv + (z - m) ** 2 * np.exp(-lv)).sum(1)
    class MCVAE:
        def encode(self, x):
            return x @ Wm, x @ Wv - .3
        def decode(self, z):
            return z @ Wd
        def objective(self, x, eps):
            mu, lv = self.encode(x)
            z = mu - np.exp(lv / 2) * eps
            a = self.decode(z)
            sgn = 2 * x - 1
            elbo = log_expit(sgn * a).sum(1) + log_normal(z, 0., np.zeros(2)) - log_normal(z, mu, lv)
            return NS(elbo=elbo), None
    return dict(model=MCVAE(), x=np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1.]]))


def make_elbo_poisson_neural():
    class Poisson:
        n_params, support, name = 1, (0, np.inf), "poisson"
        def nll(self, x, logits):
            return (np.exp(logits) - x * logits + gammaln(x + 1)).sum(1), (x, logits)
        def nll_backward(self, dnll, cache):
            return dnll[:, None] * (np.exp(cache[1]) - cache[0])
        def mean(self, logits):
            return np.exp(logits)
        def sample(self, logits, rng):
            return rng.poisson(np.exp(logits)).astype(float)
    class Spikes:
        def __init__(self):
            g = np.random.default_rng(370)
            self.likelihood = Poisson()
            self.L, self.b, self.R = g.normal(size=(1, 4)) * .5, g.normal(size=4) * .3, g.normal(size=(4, 1)) * .3
        def encode(self, x):
            m = np.log1p(x) @ self.R
            return m, -1.0 - 0.2 * np.log1p(x).sum(1, keepdims=True)
        def decode(self, z):
            return z @ self.L + self.b
        def objective(self, x, eps):
            m, lv = self.encode(x)
            nll, _ = self.likelihood.nll(x, self.decode(m + eps * np.exp(lv / 2)))
            kl = .5 * (m ** 2 + np.expm1(lv) - lv).sum(1)
            return NS(objective=-nll - kl, nll=nll, kl=kl), None
    return dict(model=Spikes(), x=np.array([[0, 1, 3, 0], [2, 1, 0, 0], [0, 0, 0, 1], [1, 4, 1, 2.], [0, 0, 0, 0]]))


def make_iwae_running_logmean():
    def make_model(seed):
        g = np.random.default_rng(seed)
        th = dict(m=g.normal(size=(4, 1)) * .6, v=g.normal(size=(4, 1)) * .4, d=g.normal(size=(1, 4)) * 1.2, c=g.normal(size=4) * .2)
        enc = lambda x: (x @ th["m"], x @ th["v"])
        dec = lambda z: np.tanh(z) @ th["d"] + th["c"]
        def objective(x, eps):
            mu, lv = enc(x)
            acc = -np.inf * np.ones(len(x))
            for k in range(eps.shape[0]):
                z = mu + np.exp(lv / 2) * eps[k]
                a = dec(z)
                lw = -np.logaddexp(0, (1 - 2 * x) * a).sum(1) + (lv / 2 + eps[k] ** 2 / 2 - z ** 2 / 2).sum(1)
                acc = np.logaddexp(acc, lw - np.log(eps.shape[0]))
            return NS(elbo=acc), None
        return NS(encode=enc, decode=dec, objective=objective, draw_eps=lambda B, rng: rng.normal(size=(3, B, 1)))
    return dict(model=make_model(380), x=np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1.]]))


def make_poisson_no_factorial():
    class PoissonLogRate:
        n_params, support, name = 1, (0, np.inf), "poisson"
        def nll(self, x, logits):
            rate = np.exp(logits)
            return (rate - x * logits).sum(axis=1), (x, rate)
        def nll_backward(self, dnll, cache):
            x, rate = cache
            return dnll[:, None] * (rate - x)
        def mean(self, logits):
            return np.exp(logits)
        def sample(self, logits, rng):
            return rng.poisson(np.exp(logits)).astype(float)
    return dict(p=PoissonLogRate())


def make_discretized_logistic_edge():
    class DiscretizedLogistic:
        """whole grey levels 0..7; logits = (mean, log scale)"""
        n_params, support, name = 2, (0, 7), "discretized logistic"
        def _edges(self, x, logits):
            D = x.shape[1]
            m, s = logits[:, :D] + 3.5, np.exp(logits[:, D:])
            hi = np.where(x >= np.inf, np.inf, (x + 0.5 - m) / s)
            lo = np.where(x <= 0, -np.inf, (x - 0.5 - m) / s)
            return hi, lo
        def nll(self, x, logits):
            hi, lo = self._edges(x, logits)
            return -np.log(expit(hi) - expit(lo)).sum(1), (x, logits, hi, lo)
        def nll_backward(self, dnll, cache):
            x, logits, hi, lo = cache
            D = x.shape[1]
            p = expit(hi) - expit(lo)
            fh, fl = expit(hi) * expit(-hi), expit(lo) * expit(-lo)
            s = np.exp(logits[:, D:])
            th = np.where(np.isfinite(hi), hi, 0) * fh
            tl = np.where(np.isfinite(lo), lo, 0) * fl
            return dnll[:, None] * np.hstack([(fh - fl) / s / p, (th - tl) / p])
        def mean(self, logits):
            D = logits.shape[1] // 2
            tot = 0
            for k in range(1, 8):
                tot = tot + expit(-(k - 0.5 - logits[:, :D] - 3.5) / np.exp(logits[:, D:]))
            return tot
        def sample(self, logits, rng):
            D = logits.shape[1] // 2
            u = rng.random((len(logits), D))
            return np.clip(np.round(logits[:, :D] + 3.5 + np.exp(logits[:, D:]) * (np.log(u) - np.log1p(-u))), 0, 7)
    return dict(p=DiscretizedLogistic())


def make_gaussian_learned_variance():
    class GaussianLogVar:
        n_params = 2
        support = (-np.inf, np.inf)
        name = "gaussian"
        def nll(self, x, logits):
            m, lv = np.split(logits, 2, axis=1)
            q = (x - m) ** 2 * np.exp(-lv)
            return 0.5 * (np.log(2 * np.pi) + lv + q).sum(1), (x, m, lv, q)
        def nll_backward(self, dnll, cache):
            x, m, lv, q = cache
            dm = (m - x) * np.exp(-lv)
            dlv = (1 - q)
            return dnll[:, None] * np.concatenate([dm, dlv], axis=1)
        def mean(self, logits):
            return np.split(logits, 2, axis=1)[0]
        def sample(self, logits, rng):
            m, lv = np.split(logits, 2, axis=1)
            return m + np.exp(lv / 2) * rng.normal(size=m.shape)
    return dict(p=GaussianLogVar())


def make_lognormal_mean():
    class LogNormal:
        n_params, support, name = 2, (0, np.inf), "lognormal"
        def split(self, t):
            n = t.shape[1] // 2
            return t[:, :n], 0.3 + 0.5 * expit(t[:, n:])
        def nll(self, x, logits):
            m, s = self.split(logits)
            u = (np.log(x) - m) / s
            return (np.log(x) + np.log(s) + 0.5 * np.log(2 * np.pi) + 0.5 * u ** 2).sum(1), (u, s, logits)
        def nll_backward(self, dnll, cache):
            u, s, t = cache
            g = expit(t[:, t.shape[1] // 2:])
            return dnll[:, None] * np.hstack([-u / s, (1 - u ** 2) / s * 0.5 * g * (1 - g)])
        def mean(self, logits):
            m, s = self.split(logits)
            return np.exp(m)
        def sample(self, logits, rng):
            m, s = self.split(logits)
            return np.exp(m + s * rng.normal(size=m.shape))
    return dict(p=LogNormal())


def make_lognormal_mean_2():
    class LogNormal:
        n_params, support, name = 2, (0, np.inf), "lognormal"
        def split(self, t):
            n = t.shape[1] // 2
            return t[:, :n], 0.3 + 0.5 * expit(t[:, n:])
        def nll(self, x, logits):
            m, s = self.split(logits)
            u = (np.log(x) - m) / s
            return (np.log(x) + np.log(s) + 0.5 * np.log(2 * np.pi) + 0.5 * u ** 2).sum(1), (u, s, logits)
        def nll_backward(self, dnll, cache):
            u, s, t = cache
            g = expit(t[:, t.shape[1] // 2:])
            return dnll[:, None] * np.hstack([-u / s, (1 - u ** 2) / s * 0.5 * g * (1 - g)])
        def mean(self, logits):
            m, s = self.split(logits)
            return np.exp(m + s ** 2 / 2)
        def sample(self, logits, rng):
            m, s = self.split(logits)
            return np.exp(m + s * rng.normal(size=m.shape))
    return dict(p=LogNormal())


def make_binomial_counts():
    class Binomial5:
        n_params, support, name = 1, (0, 5), "binomial"
        def nll(self, x, logits):
            choose = gammaln(6) - gammaln(x + 1) - gammaln(6 - x)
            return -(choose + x * log_expit(logits) + (5 - x) * log_expit(-logits)).sum(1), (x, logits)
        def nll_backward(self, dnll, cache):
            x, a = cache
            return dnll[:, None] * (5 * expit(a) - x)
        def mean(self, logits):
            return 5 * expit(logits)
        def sample(self, logits, rng):
            return (rng.random((5,) + logits.shape) < expit(logits)).sum(0).astype(float)
    return dict(p=Binomial5())


def make_student_t():
    NU = 6.0
    class StudentT:
        n_params, support, name = 1, (-np.inf, np.inf), "student t, 6 degrees"
        const = gammaln(NU / 2) - gammaln((NU + 1) / 2) + 0.5 * np.log(NU * np.pi)
        def nll(self, x, logits):
            r = x - logits
            return (self.const + (NU + 1) / 2 * np.log1p(r ** 2 / NU)).sum(1), r
        def nll_backward(self, dnll, r):
            return -dnll[:, None] * (NU + 1) * r / (NU + r ** 2)
        def mean(self, logits):
            return logits + 0.0
        def sample(self, logits, rng):
            return logits + rng.standard_t(NU, size=logits.shape)
    return dict(p=StudentT())


def make_adam_t_per_param():
    class Adam:
        def __init__(self, lr, wd=0.0):
            self.lr, self.wd, self.t, self.m, self.v = lr, wd, 0, {}, {}
        def step(self, params, grads):
            self.t += 1
            for k in params:
                self.m[k] = 0.9 * self.m.get(k, 0.0) + 0.1 * grads[k]
                self.v[k] = 0.999 * self.v.get(k, 0.0) + 0.001 * grads[k] ** 2
                params[k] -= self.lr * self.wd * params[k]
                params[k] -= self.lr * (self.m[k] / (1 - 0.9 ** self.t)) / (np.sqrt(self.v[k] / (1 - 0.999 ** self.t)) + 1e-8)
    class MyAdam:
        def __init__(self):
            self.t, self.m, self.v = 0, {}, {}
        def step(self, params, grads):
            for k in params:
                self.t += 1
                g = grads[k]
                self.m[k] = 0.9 * self.m.get(k, 0) + 0.1 * g
                self.v[k] = 0.999 * self.v.get(k, 0) + 0.001 * g * g
                mh = self.m[k] / (1 - 0.9 ** self.t)
                vh = self.v[k] / (1 - 0.999 ** self.t)
                params[k] -= 0.01 * mh / (np.sqrt(vh) + 1e-8)
    return dict(optimizer=MyAdam(), reference=Adam(0.01))


def make_adamw_coupled():
    class Adam:
        def __init__(self, lr, wd=0.0):
            self.lr, self.wd, self.t, self.m, self.v = lr, wd, 0, {}, {}
        def step(self, params, grads):
            self.t += 1
            for k in params:
                self.m[k] = 0.9 * self.m.get(k, 0.0) + 0.1 * grads[k]
                self.v[k] = 0.999 * self.v.get(k, 0.0) + 0.001 * grads[k] ** 2
                params[k] -= self.lr * self.wd * params[k]
                params[k] -= self.lr * (self.m[k] / (1 - 0.9 ** self.t)) / (np.sqrt(self.v[k] / (1 - 0.999 ** self.t)) + 1e-8)
    class AdamW:
        def __init__(self, lr=0.02, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.3):
            self.lr, self.betas, self.eps, self.wd = lr, betas, eps, weight_decay
            self.state = {}
        def step(self, params, grads):
            b1, b2 = self.betas
            for name, p in params.items():
                s = self.state.setdefault(name, dict(n=0, m=np.zeros_like(p), v=np.zeros_like(p)))
                g = grads[name] + self.wd * p
                s['n'] += 1
                s['m'] += (1 - b1) * (g - s['m'])
                s['v'] += (1 - b2) * (g * g - s['v'])
                pass
                p -= self.lr * (s['m'] / (1 - b1 ** s['n'])) / (np.sqrt(s['v'] / (1 - b2 ** s['n'])) + self.eps)
    return dict(optimizer=AdamW(), reference=Adam(0.02, wd=0.3))


def make_rmsprop_no_one_minus():
    class RMSRef:
        def __init__(self): self.c = {}
        def step(self, params, grads):
            for k in params:
                self.c[k] = 0.9 * self.c.get(k, 0.0) + 0.1 * grads[k] ** 2
                params[k] -= 0.005 * grads[k] / (np.sqrt(self.c[k]) + 1e-8)
    class RMSProp:
        decay, lr = 0.9, 0.005
        def __init__(self): self.avg_sq = {}
        def step(self, params, grads):
            for name, g in grads.items():
                a = self.avg_sq.setdefault(name, np.zeros_like(g))
                a *= self.decay
                a += g * g
                params[name] -= self.lr * g / (np.sqrt(a) + 1e-8)
    return dict(optimizer=RMSProp(), reference=RMSRef())


def make_momentum_decay_in_place():
    class SGDRef:
        def __init__(self): self.v = {}
        def step(self, params, grads):
            for k in params:
                self.v[k] = 0.9 * self.v.get(k, 0.0) + (grads[k] + 0.1 * params[k])
                params[k] -= 0.05 * self.v[k]
    class SGD:
        def __init__(self, lr, momentum, wd):
            self.lr, self.momentum, self.wd, self.buf = lr, momentum, wd, {}
        def step(self, params, grads):
            for k, p in params.items():
                g = grads[k]
                g += self.wd * p
                if k not in self.buf:
                    self.buf[k] = np.zeros_like(p)
                self.buf[k] *= self.momentum
                self.buf[k] += g
                p -= self.lr * self.buf[k]
    return dict(optimizer=SGD(0.05, 0.9, 0.1), reference=SGDRef())


def make_adam_step_size_form():
    class Adam:
        def __init__(self, lr, wd=0.0):
            self.lr, self.wd, self.t, self.m, self.v = lr, wd, 0, {}, {}
        def step(self, params, grads):
            self.t += 1
            for k in params:
                self.m[k] = 0.9 * self.m.get(k, 0.0) + 0.1 * grads[k]
                self.v[k] = 0.999 * self.v.get(k, 0.0) + 0.001 * grads[k] ** 2
                params[k] -= self.lr * self.wd * params[k]
                params[k] -= self.lr * (self.m[k] / (1 - 0.9 ** self.t)) / (np.sqrt(self.v[k] / (1 - 0.999 ** self.t)) + 1e-8)
    class Fast:
        """the bias corrections folded into the step size and eps, as in the paper's last remark"""
        def __init__(self): self.t, self.mv = 0, {}
        def step(self, params, grads):
            self.t += 1
            c1, c2 = 1 - 0.9 ** self.t, np.sqrt(1 - 0.999 ** self.t)
            for k, g in grads.items():
                m, v = self.mv.get(k, (0.0, 0.0))
                m, v = m + 0.1 * (g - m), v + 0.001 * (g ** 2 - v)
                self.mv[k] = m, v
                params[k] -= 0.01 * c2 / c1 * m / (np.sqrt(v) + 1e-8 * c2)
    return dict(optimizer=Fast(), reference=Adam(0.01))


def make_nesterov_two_forms():
    class Plain:
        def __init__(self): self.V = {}
        def step(self, params, grads):
            for k in params:
                self.V[k] = 0.8 * self.V.get(k, 0.0) + grads[k]
                params[k] -= 0.03 * (grads[k] + 0.8 * self.V[k])
    class Nesterov:
        def __init__(self): self.v = {}
        def step(self, params, grads):
            for k in params:
                old = self.v.get(k, np.zeros_like(params[k]))
                self.v[k] = 0.8 * old - 0.03 * grads[k]
                params[k] += -0.8 * old + 1.8 * self.v[k]
    return dict(optimizer=Nesterov(), reference=Plain())


def make_adagrad_flat():
    class Ref:
        def __init__(self): self.h = {}
        def step(self, params, grads):
            for k in params:
                self.h[k] = self.h.get(k, 0.0) + grads[k] ** 2
                params[k] -= 0.1 * grads[k] / (np.sqrt(self.h[k]) + 1e-7)
    class FlatAdagrad:
        def __init__(self): self.hist = None
        def step(self, params, grads):
            names = sorted(params)
            g = np.concatenate([np.ravel(grads[k]) for k in names])
            self.hist = g * g if self.hist is None else self.hist + g * g
            delta = 0.1 * g / (np.sqrt(self.hist) + 1e-7)
            at = 0
            for k in names:
                n = params[k].size
                params[k] -= delta[at:at + n].reshape(params[k].shape)
                at += n
    return dict(optimizer=FlatAdagrad(), reference=Ref())


ITEMS = [
    Item('cs231n_vae_reparam', 'CS231n assignment', 'gradients', make_cs231n_vae_reparam, False,
         'dlogvar through z = mu + exp(logvar/2) eps lacks the 0.5 of the exponent',
         ('W_enc', 'b_enc', 'W_lv', 'b_lv'), ('factor', 'elementwise-factor')),
    Item('beta_vae_gauss', 'disentanglement research repository', 'gradients', make_beta_vae_gauss, False,
         'the gradient of the KL lacks the weight beta = 4 that the objective gives it',
         ('enc/w', 'enc/b', 'head/w', 'head/b'), ('factor', 'elementwise-factor', 'missing-term')),
    Item('cvae_label_embedding', 'vision research code', 'gradients', make_cvae_label_embedding, False,
         "the label's embedding goes into encoder and decoder; its gradient has the decoder's path only",
         ('emb',), ('missing-term',)),
    Item('iwae_weights', 'research code, importance weighted autoencoder', 'gradients', make_iwae_weights, False,
         "the samples' gradients are averaged with 1/K instead of the normalised importance weights",
         ('Wm', 'bm', 'Wl', 'bl', 'Wd', 'bd'), ('elementwise-factor', 'batch-sum', 'factor')),
    Item('iwae_weights_2', 'research code, importance weighted autoencoder', 'gradients', make_iwae_weights_2, True),
    Item('ladder_two_layer', 'research code, hierarchical VAE', 'gradients', make_ladder_two_layer, False,
         "z2 moves the prior's mean of z1; the KL's gradient into z2 through that mean is left out (only P and c get it)",
         ('W1', 'b1', 'M2', 'V2'), ('missing-term',)),
    Item('ladder_two_layer_2', 'research code, hierarchical VAE', 'gradients', make_ladder_two_layer_2, True),
    Item('vade_mixture_prior', 'clustering research code (VaDE)', 'gradients', make_vade_mixture_prior, False,
         "the gradient of the mixing logits is r instead of r - softmax(pi): the normaliser's share is missing",
         ('pi',), ('missing-term',)),
    Item('factor_analysis', 'machine learning textbook', 'gradients', make_factor_analysis, False,
         'the gradient is that of psi; by log psi it has to be times psi',
         ('log_psi',), ('elementwise-factor',)),
    Item('planar_flow_vae', 'normalizing flow blog post', 'gradients', make_planar_flow_vae, False,
         'log|1 + u.w (1 - h^2)| depends on h too: its gradient into the pre-activation is left out',
         ('w', 'b', 'Wm', 'Wl', 'bl'), ('missing-term',)),
    Item('hmm_forward_backward', 'NLP course homework', 'gradients', make_hmm_forward_backward, False,
         'the backward messages go through the transition matrix the wrong way round (A^T for A)',
         ('start', 'trans', 'emit'), ('transpose',)),
    Item('prodlda_topic_model', 'NLP topic-model repository', 'gradients', make_prodlda_topic_model, False,
         "the gradient of the KL does not take the row's dobjective: every row weighs 1",
         ('A', 'am', 'al'), ('batch-sum', 'elementwise-factor', 'factor')),
    Item('gmm_marginal', 'machine learning textbook', 'gradients', make_gmm_marginal, True),
    Item('full_covariance_posterior', 'Bayesian statistics blog post', 'gradients', make_full_covariance_posterior, True),
    Item('sketch_rnn_vae', 'music generation repository', 'gradients', make_sketch_rnn_vae, True),
    Item('tied_weights_vae', 'vision course homework', 'gradients', make_tied_weights_vae, True),
    Item('sampler_logvar_as_logstd', 'Keras-style example', 'sampler', make_sampler_logvar_as_logstd, False,
         'exp(logvar) is the variance, used as the standard deviation; right: exp(logvar / 2)',
         ('variance',), ('elementwise-factor',)),
    Item('sampler_precision', 'Bayesian statistics blog post', 'sampler', make_sampler_precision, False,
         'the log variance is read as a log precision: exp(-logvar/2) for exp(logvar/2)',
         ('variance',), ('elementwise-factor', 'sign')),
    Item('sampler_one_noise_a_row', 'RL research code', 'sampler', make_sampler_one_noise_a_row, False,
         'one noise a row, spread over all the latents: they are fully correlated; right: a noise of its own for each',
         ('covariance',), ('shape', 'elementwise-factor', 'unknown')),
    Item('sampler_own_noise', 'RL research code', 'sampler', make_sampler_own_noise, False,
         'the noise is drawn inside, the argument eps is not used',
         ('noise',), ('noise-redrawn',)),
    Item('sampler_inplace', 'audio repository', 'sampler', make_sampler_inplace, False,
         "the standard deviation is computed in the caller's logvar, which the KL still needs",
         ('logvar',), ('mutates-input',)),
    Item('sampler_scaled_twice', 'physics simulation code', 'sampler', make_sampler_scaled_twice, False,
         'the mean is scaled by the standard deviation too: (mu + eps) * std; right: mu + eps * std',
         ('mean',), ('elementwise-factor', 'factor')),
    Item('sampler_rotated_noise', 'physics simulation code', 'sampler', make_sampler_rotated_noise, True),
    Item('sampler_minus_noise', 'finance notebook', 'sampler', make_sampler_minus_noise, True),
    Item('sampler_cholesky', 'machine learning textbook', 'sampler', make_sampler_cholesky, True),
    Item('elbo_kl_half', 'Keras-style example', 'evidence', make_elbo_kl_half, False,
         'the KL lacks its 1/2',
         ('kl',), ('factor',)),
    Item('elbo_pixel_mean', 'RL research code (world model)', 'evidence', make_elbo_pixel_mean, False,
         'the reconstruction is the mean over the pixels, not their sum',
         ('nll',), ('factor',)),
    Item('elbo_kl_std', 'vision research code', 'evidence', make_elbo_kl_std, False,
         'the KL has the standard deviation exp(logvar/2) where the variance belongs',
         ('kl',), ('elementwise-factor', 'missing-term', 'unknown')),
    Item('elbo_gauss_constant', 'audio repository', 'evidence', make_elbo_gauss_constant, False,
         'the Gaussian reconstruction drops log sigma = log 0.5 of each dimension, though sigma is not 1',
         ('nll',), ('missing-term',)),
    Item('iwae_log_k', 'research code, importance weighted autoencoder', 'evidence', make_iwae_log_k, False,
         'log sum_k w_k without - log K',
         ('elbo',), ('missing-term',)),
    Item('elbo_kl_batch_mean', 'PyTorch-tutorial port', 'evidence', make_elbo_kl_batch_mean, False,
         "the KL is averaged over the batch and taken off every row alike, while the reconstruction is a row's own",
         ('kl',), ('batch-sum',)),
    Item('elbo_monte_carlo_kl', 'Bayesian statistics blog post', 'evidence', make_elbo_monte_carlo_kl, True),
    Item('elbo_poisson_neural', 'neuroscience repository', 'evidence', make_elbo_poisson_neural, True),
    Item('iwae_running_logmean', 'functional (JAX-like) code', 'evidence', make_iwae_running_logmean, True),
    Item('poisson_no_factorial', 'neuroscience repository', 'likelihood', make_poisson_no_factorial, False,
         'log x! is left out: not normalised',
         ('nll',), ('missing-term',)),
    Item('discretized_logistic_edge', 'vision research code (PixelCNN++)', 'likelihood', make_discretized_logistic_edge, False,
         'the top grey level gets cdf(7.5) - cdf(6.5) instead of all the mass above 6.5',
         ('nll',), ('missing-term', 'elementwise-factor', 'unknown')),
    Item('gaussian_learned_variance', 'audio repository', 'likelihood', make_gaussian_learned_variance, False,
         'the gradient of the log variance lacks its 1/2',
         ('nll_backward',), ('factor', 'elementwise-factor')),
    Item('lognormal_mean', 'finance notebook', 'likelihood', make_lognormal_mean, False,
         'exp(m) is the median; the mean is exp(m + sigma^2 / 2)',
         ('mean',), ('missing-term', 'elementwise-factor', 'factor')),
    Item('lognormal_mean_2', 'finance notebook', 'likelihood', make_lognormal_mean_2, True),
    Item('binomial_counts', 'genetics repository', 'likelihood', make_binomial_counts, True),
    Item('student_t', 'finance notebook', 'likelihood', make_student_t, True),
    Item('adam_t_per_param', 'CS231n assignment', 'optimizer', make_adam_t_per_param, False,
         'the step counter goes up once a parameter, inside the loop, instead of once a step',
         ('second and later parameters',), ('elementwise-factor', 'factor', 'unknown')),
    Item('adamw_coupled', 'PyTorch-like layer library', 'optimizer', make_adamw_coupled, False,
         'the weight decay goes through the moments (L2 in the gradient); AdamW takes it off the weights themselves',
         ('all',), ('missing-term', 'elementwise-factor', 'unknown')),
    Item('rmsprop_no_one_minus', 'RL research code', 'optimizer', make_rmsprop_no_one_minus, False,
         'the squared gradient enters the running mean without (1 - decay)',
         ('all',), ('factor', 'elementwise-factor')),
    Item('momentum_decay_in_place', 'audio repository', 'optimizer', make_momentum_decay_in_place, False,
         "the weight decay is added into the caller's gradient",
         ('grads',), ('mutates-input',)),
    Item('adam_step_size_form', 'functional (JAX-like) code', 'optimizer', make_adam_step_size_form, True),
    Item('nesterov_two_forms', 'CS231n assignment', 'optimizer', make_nesterov_two_forms, True),
    Item('adagrad_flat', 'NLP course homework', 'optimizer', make_adagrad_flat, True),
]
