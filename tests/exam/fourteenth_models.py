"""Paper fourteen: models, samplers, bounds, likelihoods, optimizers."""
from collections import namedtuple
from types import SimpleNamespace
from typing import Callable, NamedTuple

import numpy as np
from scipy import special


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


# ----------------------------------------------------------------- gradients
def make_g_torch_examples():
    class VAE:
        def __init__(self, D=6, H=5, Z=2, seed=3):
            r = np.random.default_rng(seed)
            s = lambda *sh: 0.6 * r.standard_normal(sh)
            self.params = {"fc1.weight": s(H, D), "fc1.bias": s(H), "fc21.weight": s(Z, H), "fc21.bias": s(Z),
                           "fc22.weight": s(Z, H), "fc22.bias": s(Z), "fc3.weight": s(H, Z), "fc3.bias": s(H),
                           "fc4.weight": s(D, H), "fc4.bias": s(D)}

        def encode(self, x):
            p = self.params
            h1 = np.maximum(x @ p["fc1.weight"].T + p["fc1.bias"], 0)
            return (h1 @ p["fc21.weight"].T + p["fc21.bias"], h1 @ p["fc22.weight"].T + p["fc22.bias"], h1)

        def objective(self, x, eps, beta=1.0):
            p = self.params
            mu, logvar, h1 = self.encode(x)
            std = np.exp(0.5 * logvar)
            z = mu + eps * std
            h3 = np.maximum(z @ p["fc3.weight"].T + p["fc3.bias"], 0)
            logits = h3 @ p["fc4.weight"].T + p["fc4.bias"]
            bce = (np.logaddexp(0, logits) - x * logits).sum(1)
            kld = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
            terms = SimpleNamespace(objective=bce + beta * kld, nll=bce, kl=kld)
            return terms, (x, eps, beta, mu, logvar, std, h1, z, h3, logits)

        def backward(self, dobjective, cache):
            x, eps, beta, mu, logvar, std, h1, z, h3, logits = cache
            p, g = self.params, {}
            go = dobjective[:, None]
            dlogits = go * (special.expit(logits) - x)
            g["fc4.weight"], g["fc4.bias"] = dlogits.T @ h3, dlogits.sum(0)
            dh3 = dlogits @ p["fc4.weight"] * (h3 > 0)
            g["fc3.weight"], g["fc3.bias"] = dh3.T @ z, dh3.sum(0)
            dz = dh3 @ p["fc3.weight"]
            dkld = beta
            dmu = dz + dkld * mu
            dlogvar = dz * eps * 0.5 * std + dkld * 0.5 * (np.exp(logvar) - 1)
            g["fc21.weight"], g["fc21.bias"] = dmu.T @ h1, dmu.sum(0)
            g["fc22.weight"], g["fc22.bias"] = dlogvar.T @ h1, dlogvar.sum(0)
            dh1 = (dmu @ p["fc21.weight"] + dlogvar @ p["fc22.weight"]) * (h1 > 0)
            g["fc1.weight"], g["fc1.bias"] = dh1.T @ x, dh1.sum(0)
            return g

    r = np.random.default_rng(11)
    return {"model": VAE(), "x": (r.random((4, 6)) < 0.5).astype(float), "eps": r.standard_normal((4, 2)), "beta": 1.5}


ITEMS.append(Item("torch_examples_vae_kld_weight", "PyTorch examples port", "gradients", make_g_torch_examples, False,
                  "the KL part of the gradient is not multiplied by dobjective (dkld = beta; right: beta * dobjective[:, None])",
                  ("fc1.weight", "fc1.bias", "fc21.weight", "fc21.bias", "fc22.weight", "fc22.bias"),
                  ("batch-sum", "elementwise-factor", "missing-term")))


def make_g_two_level():
    Terms = namedtuple("Terms", "objective nll kl")

    class HVAE:
        """q(z1|x) q(z2|z1), p(z2) p(z1|z2) p(x|z1); eps holds both noises side by side."""

        def __init__(self, dx=5, dh=4, d1=3, d2=2, seed=0):
            rng = np.random.RandomState(seed)
            g = lambda a, b: rng.randn(a, b) / np.sqrt(a)
            self.d1 = d1
            self.params = dict(Wh=g(dx, dh), bh=rng.randn(dh) * .1, Wm1=g(dh, d1), Ws1=g(dh, d1) * .5,
                               Wm2=g(d1, d2), Ws2=g(d1, d2) * .5, bs2=rng.randn(d2) * .3,
                               Wp=g(d2, d1), bp=rng.randn(d1) * .3, Wx=g(d1, dx), bx=rng.randn(dx) * .2)

        def objective(self, x, eps, beta=1.0):
            P = self.params
            e1, e2 = eps[:, :self.d1], eps[:, self.d1:]
            h = np.tanh(x.dot(P["Wh"]) + P["bh"])
            m1, s1 = h.dot(P["Wm1"]), h.dot(P["Ws1"])
            z1 = m1 + np.exp(.5 * s1) * e1
            m2, s2 = z1.dot(P["Wm2"]), z1.dot(P["Ws2"]) + P["bs2"]
            z2 = m2 + np.exp(.5 * s2) * e2
            r = z1 - (z2.dot(P["Wp"]) + P["bp"])
            logits = z1.dot(P["Wx"]) + P["bx"]
            nll = -(x * logits - np.logaddexp(0., logits)).sum(1)
            kl1 = .5 * (r ** 2 - e1 ** 2 - s1).sum(1)
            kl2 = .5 * (m2 ** 2 + np.exp(s2) - s2 - 1.).sum(1)
            kl = kl1 + kl2
            return Terms(nll + beta * kl, nll, kl), dict(x=x, e1=e1, e2=e2, h=h, s1=s1, z1=z1, m2=m2, s2=s2, z2=z2,
                                                         r=r, logits=logits, beta=beta)

        def backward(self, dobjective, c):
            P, G = self.params, {}
            d = dobjective[:, None]
            dlog = d * (1. / (1. + np.exp(-c["logits"])) - c["x"])
            G["Wx"], G["bx"] = c["z1"].T.dot(dlog), dlog.sum(0)
            dk = d * c["beta"]
            dr = dk * c["r"]
            G["Wp"], G["bp"] = -c["z2"].T.dot(dr), -dr.sum(0)
            dz2 = -dr.dot(P["Wp"].T)
            dm2 = dz2 + dk * c["m2"]
            ds2 = dz2 * .5 * np.exp(.5 * c["s2"]) * c["e2"] + dk * .5 * (np.exp(c["s2"]) - 1.)
            G["Wm2"], G["Ws2"], G["bs2"] = c["z1"].T.dot(dm2), c["z1"].T.dot(ds2), ds2.sum(0)
            dz1 = dlog.dot(P["Wx"].T) + dr
            ds1 = dz1 * .5 * np.exp(.5 * c["s1"]) * c["e1"] - .5 * dk
            G["Wm1"], G["Ws1"] = c["h"].T.dot(dz1), c["h"].T.dot(ds1)
            da = (dz1.dot(P["Wm1"].T) + ds1.dot(P["Ws1"].T)) * (1. - c["h"] ** 2)
            G["Wh"], G["bh"] = c["x"].T.dot(da), da.sum(0)
            return G

    rng = np.random.RandomState(5)
    return {"model": HVAE(), "x": rng.rand(6, 5).round(2), "eps": rng.randn(6, 5)}


ITEMS.append(Item("two_level_vae_inference_path", "Theano-era research repository", "gradients", make_g_two_level, False,
                  "dz1 misses the path through q(z2|z1); right: + dm2.dot(Wm2.T) + ds2.dot(Ws2.T)",
                  ("Wm1", "Ws1", "Wh", "bh"), ("missing-term",)))


def make_g_free_bits():
    class FreeBitsVAE(object):
        def __init__(self, n_in, n_z, free_bits=0.25):
            rng = np.random.default_rng(8)
            self.free_bits = free_bits
            self.params = {"enc_mu": rng.normal(0, .6, (n_in, n_z)), "enc_lv": rng.normal(0, .5, (n_in, n_z)),
                           "b_mu": rng.normal(0, .3, n_z), "b_lv": rng.normal(0, .3, n_z),
                           "dec": rng.normal(0, .8, (n_z, n_in)), "b_dec": rng.normal(0, .3, n_in)}

        def encode(self, x):
            mu = x @ self.params["enc_mu"] + self.params["b_mu"]
            lv = x @ self.params["enc_lv"] + self.params["b_lv"]
            return mu, lv, None

        def objective(self, x, eps, beta=1.0):
            mu, lv, _ = self.encode(x)
            z = mu + np.exp(lv / 2) * eps
            recon = np.tanh(z) @ self.params["dec"] + self.params["b_dec"]
            nll = 0.5 * np.sum((x - recon) ** 2 + np.log(2 * np.pi), axis=-1)
            kl_dim = 0.5 * (np.exp(lv) + mu ** 2 - 1 - lv)
            kl = np.maximum(kl_dim, self.free_bits).sum(-1)
            out = SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl)
            return out, dict(x=x, eps=eps, mu=mu, lv=lv, z=z, recon=recon, kl=kl, kl_dim=kl_dim, beta=beta)

        def backward(self, dobjective, cache):
            c, p = SimpleNamespace(**cache), self.params
            d = dobjective[:, None]
            drecon = d * (c.recon - c.x)
            t = np.tanh(c.z)
            dz = (drecon @ p["dec"].T) * (1 - t ** 2)
            active = (c.kl > self.free_bits)[:, None]
            dkl = c.beta * d * active
            dmu = dz + dkl * c.mu
            dlv = dz * c.eps * np.exp(c.lv / 2) / 2 + dkl * (np.exp(c.lv) - 1) / 2
            return {"dec": t.T @ drecon, "b_dec": drecon.sum(0), "enc_mu": c.x.T @ dmu, "b_mu": dmu.sum(0),
                    "enc_lv": c.x.T @ dlv, "b_lv": dlv.sum(0)}

    rng = np.random.default_rng(21)
    return {"model": FreeBitsVAE(4, 3), "x": rng.normal(size=(5, 4)), "eps": rng.normal(size=(5, 3)), "beta": 1.0}


ITEMS.append(Item("free_bits_mask_per_row", "research repository (free bits)", "gradients", make_g_free_bits, False,
                  "the free-bits mask is taken from the row's summed KL, right: per latent, kl_dim > free_bits",
                  ("enc_mu", "b_mu", "enc_lv", "b_lv"), ("elementwise-factor", "missing-term")))


def make_g_planar():
    class PlanarVAE:
        def __init__(self):
            rs = np.random.RandomState(14)
            self.params = {"W_mu": rs.randn(5, 2) * .4, "W_lv": rs.randn(5, 2) * .3, "b_mu": rs.randn(2) * .2,
                           "b_lv": rs.randn(2) * .2, "u": np.array([0.9, -0.5]), "w": np.array([1.1, -0.7]),
                           "b": np.array([0.35]), "W_dec": rs.randn(2, 5), "b_dec": rs.randn(5) * .3}

        def objective(self, x, eps):
            q = self.params
            mu = x @ q["W_mu"] + q["b_mu"]
            lv = x @ q["W_lv"] + q["b_lv"]
            z0 = mu + np.exp(.5 * lv) * eps
            h = np.tanh(z0 @ q["w"] + q["b"])                       # (B,)
            zK = z0 + h[:, None] * q["u"]
            psi = (1 - h ** 2)[:, None] * q["w"]
            det = 1 + psi @ q["u"]
            log_q0 = -.5 * (np.log(2 * np.pi) + lv + eps ** 2).sum(1)
            log_pz = -.5 * (np.log(2 * np.pi) + zK ** 2).sum(1)
            kl = log_q0 - np.log(np.abs(det)) - log_pz
            logits = zK @ q["W_dec"] + q["b_dec"]
            nll = np.sum(np.logaddexp(0, logits) - x * logits, 1)
            return SimpleNamespace(objective=nll + kl, nll=nll, kl=kl), (x, eps, lv, z0, h, zK, det, logits)

        def backward(self, dobjective, cache):
            x, eps, lv, z0, h, zK, det, logits = cache
            q, d = self.params, dobjective
            dlogits = d[:, None] * (special.expit(logits) - x)
            dzK = dlogits @ q["W_dec"].T + d[:, None] * zK
            # - log|det|
            ddet = -d / det
            wu = q["w"] @ q["u"]
            dh_prime = -2 * h
            da = (dzK @ q["u"]) * (1 - h ** 2) + ddet * wu * dh_prime
            du = dzK.T @ h + (ddet * (1 - h ** 2)).sum() * q["w"]
            dw = z0.T @ da + (ddet * (1 - h ** 2)).sum() * q["u"]
            dz0 = dzK + da[:, None] * q["w"]
            dlv = dz0 * .5 * np.exp(.5 * lv) * eps - .5 * d[:, None]
            return {"W_dec": zK.T @ dlogits, "b_dec": dlogits.sum(0), "u": du, "w": dw, "b": np.array([da.sum()]),
                    "W_mu": x.T @ dz0, "b_mu": dz0.sum(0), "W_lv": x.T @ dlv, "b_lv": dlv.sum(0)}

    rs = np.random.RandomState(2)
    return {"model": PlanarVAE(), "x": (rs.rand(4, 5) > .45).astype(float), "eps": rs.randn(4, 2)}


ITEMS.append(Item("planar_flow_second_derivative", "normalizing-flow blog post", "gradients", make_g_planar, False,
                  "derivative of h' = 1 - tanh^2 taken as -2 h, right: -2 h (1 - h^2)",
                  ("w", "b", "W_mu", "b_mu", "W_lv", "b_lv"), ("elementwise-factor",)))


def make_g_gumbel():
    def softmax(a):
        a = np.exp(a - a.max(-1, keepdims=True))
        return a / a.sum(-1, keepdims=True)

    class GumbelVAE:
        def __init__(self, D=5, H=4, K=3, tau=0.8):
            rng = np.random.default_rng(77)
            self.tau, self.K = tau, K
            self.params = {"w1": rng.standard_normal((D, H)), "b1": 0.1 * rng.standard_normal(H),
                           "w2": rng.standard_normal((H, K)), "b2": 0.1 * rng.standard_normal(K),
                           "w3": rng.standard_normal((K, D)), "b3": 0.1 * rng.standard_normal(D)}

        def objective(self, x, eps, beta=1.0):
            p = self.params
            h = np.tanh(x @ p["w1"] + p["b1"])
            logit = h @ p["w2"] + p["b2"]
            q = softmax(logit)
            y = softmax((logit + eps) / self.tau)
            out = y @ p["w3"] + p["b3"]
            nll = (np.logaddexp(0, out) - x * out).sum(-1)
            kl = (q * np.log(q * self.K)).sum(-1)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (x, h, q, y, out, beta)

        def backward(self, dobjective, cache):
            x, h, q, y, out, beta = cache
            p = self.params
            g = dobjective[:, None]
            dout = g * (special.expit(out) - x)
            dy = dout @ p["w3"].T
            dlogit = y * (1 - y) * dy / self.tau
            t = np.log(q * self.K)
            dlogit = dlogit + beta * g * q * (t - (q * t).sum(-1, keepdims=True))
            dpre = dlogit @ p["w2"].T * (1 - h ** 2)
            return {"w3": y.T @ dout, "b3": dout.sum(0), "w2": h.T @ dlogit, "b2": dlogit.sum(0),
                    "w1": x.T @ dpre, "b1": dpre.sum(0)}

    rng = np.random.default_rng(4)
    return {"model": GumbelVAE(), "x": (rng.random((6, 5)) < .5) * 1.0, "eps": rng.gumbel(size=(6, 3)), "beta": 0.7}


ITEMS.append(Item("gumbel_softmax_diagonal_jacobian", "Gumbel-softmax notebook", "gradients", make_g_gumbel, False,
                  "softmax backward keeps only the diagonal y (1 - y) dy, right: y (dy - sum(y dy))",
                  ("w1", "b1", "w2", "b2"), ("missing-term", "elementwise-factor")))


def make_g_rnn():
    class SentenceVAE:
        """Karpathy's min-char-rnn with a z."""

        def __init__(self, T=5, H=4, Z=2):
            np_rng = np.random.RandomState(9)
            n = np_rng.randn
            self.params = dict(Wem=n(T, Z) * .5, Wel=n(T, Z) * .3, bem=n(Z) * .1, bel=n(Z) * .1, Wxh=n(1, H) * .7,
                               Whh=n(H, H) * .4, Wzh=n(Z, H) * .8, bh=n(H) * .1, Why=n(H, 1) * .9, by=n(1) * .1)

        def objective(self, x, eps, beta=1.0):
            P = self.params
            mu, lv = x @ P["Wem"] + P["bem"], x @ P["Wel"] + P["bel"]
            z = mu + np.exp(.5 * lv) * eps
            B, T = x.shape
            hs, ys, xs = {-1: np.zeros((B, P["bh"].size))}, {}, {}
            nll = np.zeros(B)
            for t in range(T):
                xs[t] = x[:, t - 1:t] if t > 0 else np.zeros((B, 1))
                hs[t] = np.tanh(xs[t] @ P["Wxh"] + hs[t - 1] @ P["Whh"] + z @ P["Wzh"] + P["bh"])
                ys[t] = (hs[t] @ P["Why"] + P["by"])[:, 0]
                nll += np.logaddexp(0, ys[t]) - x[:, t] * ys[t]
            kl = .5 * (mu ** 2 + np.exp(lv) - lv - 1).sum(1)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (x, eps, beta, mu, lv, z, hs, ys, xs)

        def backward(self, dobjective, cache):
            x, eps, beta, mu, lv, z, hs, ys, xs = cache
            P = self.params
            G = {k: np.zeros_like(v) for k, v in P.items()}
            dhnext = np.zeros_like(hs[0])
            dz = np.zeros_like(z)
            for t in reversed(range(x.shape[1])):
                dy = (dobjective * (1 / (1 + np.exp(-ys[t])) - x[:, t]))[:, None]
                G["Why"] += hs[t].T @ dy
                G["by"] += dy.sum(0)
                dh = dy @ P["Why"].T + dhnext
                draw = (1 - hs[t] * hs[t]) * dh
                G["bh"] += draw.sum(0)
                G["Wxh"] += xs[t].T @ draw
                G["Whh"] += hs[t - 1].T @ draw
                G["Wzh"] += z.T @ draw
                dz = draw @ P["Wzh"].T
                dhnext = draw @ P["Whh"].T
            k = beta * dobjective[:, None]
            dmu = dz + k * mu
            dlv = .5 * dz * eps * np.exp(.5 * lv) + .5 * k * (np.exp(lv) - 1)
            G["Wem"], G["bem"], G["Wel"], G["bel"] = x.T @ dmu, dmu.sum(0), x.T @ dlv, dlv.sum(0)
            return G

    r = np.random.RandomState(1)
    return {"model": SentenceVAE(), "x": (r.rand(4, 5) > .5).astype(np.float64), "eps": r.randn(4, 2)}


ITEMS.append(Item("rnn_decoder_dz_overwritten", "Karpathy gist (min-char-rnn)", "gradients", make_g_rnn, False,
                  "dz is overwritten at every time step of the decoder, right: dz += draw @ Wzh.T",
                  ("Wem", "bem", "Wel", "bel"), ("missing-term",)))


def make_g_log_scale():
    def init_net_params(layer_sizes, scale, rs):
        return {f"{k}{i}": v for i, (m, n) in enumerate(layer_sizes)
                for k, v in (("W", scale * rs.randn(m, n)), ("b", scale * rs.randn(n)))}

    class GaussianVAE:
        def __init__(self, data_dim=4, latent=2, hidden=3):
            self.params = init_net_params([(data_dim, 2 * latent), (latent, hidden), (hidden, data_dim)], 0.6,
                                          np.random.RandomState(0))
            self.params["log_scale"] = np.array([-0.3, 0.2, 0.05, -0.15])
            self.latent = latent

        def objective(self, x, eps, beta=1.0):
            p, L = self.params, self.latent
            stats = np.dot(x, p["W0"]) + p["b0"]
            mean, log_std = stats[:, :L], stats[:, L:]                 # log of sigma
            z = mean + np.exp(log_std) * eps
            h = np.tanh(np.dot(z, p["W1"]) + p["b1"])
            out = np.dot(h, p["W2"]) + p["b2"]
            resid = (x - out) / np.exp(p["log_scale"])
            nll = np.sum(.5 * resid ** 2 + p["log_scale"] + .5 * np.log(2 * np.pi), axis=1)
            kl = np.sum(.5 * (mean ** 2 + np.exp(2 * log_std)) - .5 - log_std, axis=1)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (x, eps, beta, mean, log_std, z, h, resid)

        def backward(self, dobjective, cache):
            x, eps, beta, mean, log_std, z, h, resid = cache
            p = self.params
            g = dobjective.reshape(-1, 1)
            grad = {"log_scale": np.sum(g * (1 - resid ** 2))}
            dout = -g * resid / np.exp(p["log_scale"])
            grad["W2"], grad["b2"] = np.dot(h.T, dout), np.sum(dout, axis=0)
            da = np.dot(dout, p["W2"].T) * (1 - h ** 2)
            grad["W1"], grad["b1"] = np.dot(z.T, da), np.sum(da, axis=0)
            dz = np.dot(da, p["W1"].T)
            dstats = np.hstack([dz + beta * g * mean,
                                dz * eps * np.exp(log_std) + beta * g * (np.exp(2 * log_std) - 1)])
            grad["W0"], grad["b0"] = np.dot(x.T, dstats), np.sum(dstats, axis=0)
            return grad

    rs = np.random.RandomState(3)
    return {"model": GaussianVAE(), "x": rs.randn(7, 4), "eps": rs.randn(7, 2), "beta": 2.0}


ITEMS.append(Item("gaussian_vae_log_scale_axis", "HIPS autograd example", "gradients", make_g_log_scale, False,
                  "the gradient of log_scale (D,) is summed over rows and pixels to one number, right: axis=0",
                  ("log_scale",), ("shape",)))


def make_g_layers():
    class Linear:
        def __init__(self, n_in, n_out, rng):
            self.params = {"W": rng.normal(size=(n_in, n_out)) * 0.5, "b": rng.normal(size=n_out) * 0.2}
            self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}

        def zero_grad(self):
            for k in self.grads:
                self.grads[k] = np.zeros_like(self.params[k])

        def forward(self, x):
            return x @ self.params["W"] + self.params["b"]

        def backward(self, x, dout):
            self.grads["W"] = self.grads["W"] + x.T @ dout
            self.grads["b"] = self.grads["b"] + dout.sum(axis=0)
            return dout @ self.params["W"].T

    class VAE:
        def __init__(self):
            rng = np.random.default_rng(31)
            self.layers = {"enc": Linear(5, 4, rng), "mean": Linear(4, 2, rng), "logvar": Linear(4, 2, rng),
                           "dec": Linear(2, 5, rng)}
            self.params = {f"{n}.{k}": v for n, l in self.layers.items() for k, v in l.params.items()}

        def zero_grad(self):
            for layer in self.layers.values():
                layer.zero_grad()

        def encode(self, x):
            h = special.expit(self.layers["enc"].forward(x))
            return self.layers["mean"].forward(h), self.layers["logvar"].forward(h), h

        def objective(self, x, eps, beta=1.0):
            mu, logvar, h = self.encode(x)
            z = mu + np.exp(0.5 * logvar) * eps
            logits = self.layers["dec"].forward(z)
            nll = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
            kl = 0.5 * np.sum(np.exp(logvar) + mu ** 2 - 1 - logvar, axis=1)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (x, eps, beta, mu, logvar, h, z, logits)

        def backward(self, dobjective, cache):
            x, eps, beta, mu, logvar, h, z, logits = cache
            g = dobjective[:, None]
            dz = self.layers["dec"].backward(z, g * (special.expit(logits) - x))
            dmu = dz + beta * g * mu
            dlogvar = dz * eps * 0.5 * np.exp(0.5 * logvar) + beta * g * 0.5 * (np.exp(logvar) - 1)
            dh = self.layers["mean"].backward(h, dmu) + self.layers["logvar"].backward(h, dlogvar)
            self.layers["enc"].backward(x, dh * h * (1 - h))
            return {f"{n}.{k}": l.grads[k].copy() for n, l in self.layers.items() for k in l.grads}

    rng = np.random.default_rng(6)
    return {"model": VAE(), "x": (rng.random((5, 5)) > .5).astype(float)[:4], "eps": rng.normal(size=(4, 2))}


ITEMS.append(Item("layer_objects_never_zeroed", "deep learning from scratch (layer classes)", "gradients", make_g_layers, False,
                  "the layers add to their grads and backward never zeroes them, right: self.zero_grad() at the top of backward",
                  ("enc.W", "enc.b", "mean.W", "mean.b", "logvar.W", "logvar.b", "dec.W", "dec.b"), ("accumulates",)))


def make_g_fa():
    class FactorAnalysis:
        """Maximum likelihood by gradient: x ~ N(mean_, W W^T + diag(psi)). No noise is needed."""

        def __init__(self, n_features=5, n_components=2, random_state=0):
            rng = np.random.RandomState(random_state)
            self.params = {"components": rng.randn(n_features, n_components), "mean": rng.randn(n_features) * .5,
                           "log_psi": rng.randn(n_features) * .4}

        def get_covariance(self):
            W = self.params["components"]
            return W @ W.T + np.diag(np.exp(self.params["log_psi"]))

        def objective(self, X, eps=None):
            C = self.get_covariance()
            precision = np.linalg.inv(C)
            Xc = X - self.params["mean"]
            nll = 0.5 * (np.einsum("ni,ij,nj->n", Xc, precision, Xc) + np.linalg.slogdet(C)[1]
                         + X.shape[1] * np.log(2 * np.pi))
            return SimpleNamespace(objective=nll), (Xc, precision)

        def backward(self, dobjective, cache):
            Xc, precision = cache
            A = Xc @ precision
            dC = 0.5 * (dobjective.sum() * precision - A.T @ (dobjective[:, None] * A))
            return {"components": dC @ self.params["components"],
                    "mean": -(dobjective[:, None] * A).sum(axis=0),
                    "log_psi": np.diag(dC) * np.exp(self.params["log_psi"])}

    rng = np.random.RandomState(12)
    return {"model": FactorAnalysis(), "x": 1.5 * rng.randn(8, 5), "eps": rng.randn(8, 2)}


ITEMS.append(Item("factor_analysis_components", "scikit-learn style", "gradients", make_g_fa, False,
                  "d(W W^T) counts W once: dC @ W, right: (dC + dC.T) @ W = 2 dC @ W", ("components",), ("factor",)))


def make_g_chol():
    class FullCovVAE:
        def __init__(self, x_dim=4, z_dim=3):
            rng = np.random.default_rng(50)
            self.il = np.tril_indices(z_dim, -1)
            n_off = len(self.il[0])
            self.z_dim = z_dim
            self.params = {"loc/w": rng.normal(size=(x_dim, z_dim)) * .5, "loc/b": rng.normal(size=z_dim) * .2,
                           "logdiag/w": rng.normal(size=(x_dim, z_dim)) * .3, "logdiag/b": rng.normal(size=z_dim) * .2,
                           "off/w": rng.normal(size=(x_dim, n_off)) * .6, "off/b": rng.normal(size=n_off) * .5,
                           "dec/w": rng.normal(size=(z_dim, x_dim)), "dec/b": rng.normal(size=x_dim) * .2}

        def objective(self, x, eps, beta=1.0):
            p = self.params
            loc = x @ p["loc/w"] + p["loc/b"]
            logdiag = x @ p["logdiag/w"] + p["logdiag/b"]
            off = x @ p["off/w"] + p["off/b"]
            L = np.zeros((len(x), self.z_dim, self.z_dim))
            L[:, self.il[0], self.il[1]] = off
            L[:, np.arange(self.z_dim), np.arange(self.z_dim)] = np.exp(logdiag)
            z = loc + np.einsum("bij,bj->bi", L, eps)
            a = np.sin(z)
            logits = a @ p["dec/w"] + p["dec/b"]
            nll = np.sum(np.logaddexp(0, logits) - x * logits, -1)
            kl = 0.5 * ((L ** 2).sum((1, 2)) + (loc ** 2).sum(1) - self.z_dim) - logdiag.sum(1)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (x, eps, beta, loc, L, z, a, logits)

        def backward(self, dobjective, cache):
            x, eps, beta, loc, L, z, a, logits = cache
            p, g = self.params, dobjective[:, None]
            dlogits = g * (special.expit(logits) - x)
            dz = (dlogits @ p["dec/w"].T) * np.cos(z)
            dL = np.einsum("bj,bi->bij", dz, eps) + beta * g[:, :, None] * L
            doff = dL[:, self.il[0], self.il[1]]
            diag = np.diagonal(L, axis1=1, axis2=2)
            dlogdiag = np.diagonal(dL, axis1=1, axis2=2) * diag - beta * g
            dloc = dz + beta * g * loc
            return {"dec/w": a.T @ dlogits, "dec/b": dlogits.sum(0), "loc/w": x.T @ dloc, "loc/b": dloc.sum(0),
                    "off/w": x.T @ doff, "off/b": doff.sum(0), "logdiag/w": x.T @ dlogdiag, "logdiag/b": dlogdiag.sum(0)}

    rng = np.random.default_rng(51)
    return {"model": FullCovVAE(), "x": (rng.random((5, 4)) < .55).astype(float), "eps": rng.normal(size=(5, 3)), "beta": 1.0}


ITEMS.append(Item("cholesky_posterior_outer_product", "TensorFlow Probability port", "gradients", make_g_chol, False,
                  "outer product for dL is transposed, eps_i dz_j; right: einsum('bi,bj->bij', dz, eps)",
                  ("off/w", "off/b"), ("transpose",)))


def make_g_right_gist():
    class Model:
        def __init__(self):
            rng = np.random.RandomState(41)
            D, H, Z = 6, 5, 2
            self.params = {"W1": rng.randn(D, H) / np.sqrt(D), "b1": rng.randn(H) * .2, "W2": rng.randn(H, 2 * Z) / np.sqrt(H),
                           "b2": rng.randn(2 * Z) * .1, "W3": rng.randn(Z, H), "b3": rng.randn(H) * .2,
                           "W4": rng.randn(H, D) / np.sqrt(H), "b4": rng.randn(D) * .1}

        def objective(self, x, eps, beta=1.0):
            p = self.params
            h = x @ p["W1"] + p["b1"]
            h[h < 0] *= 0.1                                            # leaky
            mu, logvar = np.split(h @ p["W2"] + p["b2"], 2, axis=1)
            z = mu + eps * np.exp(logvar) ** 0.5
            h2 = z @ p["W3"] + p["b3"]
            h2[h2 < 0] *= 0.1
            s = h2 @ p["W4"] + p["b4"]
            nll = (np.maximum(s, 0) - s * x + np.log1p(np.exp(-np.abs(s)))).sum(1)
            kl = -0.5 * (1 + logvar - mu * mu - np.exp(logvar)).sum(1)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (x, beta, h, mu, logvar, z, h2, s)

        def backward(self, dobjective, cache):
            x, beta, h, mu, logvar, z, h2, s = cache
            p, grads = self.params, {}
            d = dobjective[:, np.newaxis]
            ds = d * (1 / (1 + np.exp(-s)) - x)
            grads["W4"], grads["b4"] = h2.T @ ds, ds.sum(0)
            dh2 = ds @ p["W4"].T
            dh2[h2 < 0] *= 0.1
            grads["W3"], grads["b3"] = z.T @ dh2, dh2.sum(0)
            dz = dh2 @ p["W3"].T
            # eps * sigma is z - mu
            dstats = np.concatenate([dz + beta * d * mu,
                                     0.5 * (dz * (z - mu) + beta * d * np.expm1(logvar))], axis=1)
            grads["W2"], grads["b2"] = h.T @ dstats, dstats.sum(0)
            dh = dstats @ p["W2"].T
            dh[h < 0] *= 0.1
            grads["W1"], grads["b1"] = x.T @ dh, dh.sum(0)
            return grads

    rng = np.random.RandomState(42)
    return {"model": Model(), "x": (rng.rand(4, 6) > .5) * 1., "eps": rng.randn(4, 2), "beta": 0.5}


ITEMS.append(Item("leaky_gist_vae", "Karpathy gist (min-char-rnn)", "gradients", make_g_right_gist, True))


def make_g_right_gmm():
    class GaussianMixture:
        def __init__(self, n_components=3, n_features=2):
            rng = np.random.default_rng(1)
            self.params = {"weights_logits": rng.normal(size=n_components) * .5,
                           "means": rng.normal(size=(n_components, n_features)) * 1.5,
                           "log_stds": rng.normal(size=(n_components, n_features)) * .3}

        def objective(self, X, eps=None):
            p = self.params
            log_w = special.log_softmax(p["weights_logits"])
            t = (X[:, None, :] - p["means"]) * np.exp(-p["log_stds"])
            log_prob = -0.5 * (t ** 2 + np.log(2 * np.pi)).sum(-1) - p["log_stds"].sum(-1)
            wl = log_prob + log_w
            norm = special.logsumexp(wl, axis=1)
            return SimpleNamespace(objective=-norm), (t, np.exp(wl - norm[:, None]))

        def backward(self, dobjective, cache):
            t, resp = cache
            p = self.params
            r = dobjective[:, None] * resp
            return {"weights_logits": dobjective.sum() * special.softmax(p["weights_logits"]) - r.sum(0),
                    "means": -(r[..., None] * t).sum(0) * np.exp(-p["log_stds"]),
                    "log_stds": (r[..., None] * (1 - t ** 2)).sum(0)}

    rng = np.random.default_rng(2)
    return {"model": GaussianMixture(), "x": rng.normal(size=(7, 2)) * 1.5, "eps": rng.normal(size=(7, 2))}


ITEMS.append(Item("gaussian_mixture_gradient", "scikit-learn style", "gradients", make_g_right_gmm, True))


def make_g_right_tied():
    class TiedVAE:
        """Decoder is the encoder's matrix, transposed (Theano deep learning tutorial's dA)."""

        def __init__(self, n_visible=6, n_hidden=3):
            rng = np.random.RandomState(123)
            b = 4 * np.sqrt(6. / (n_hidden + n_visible)) / 3
            self.params = {"W": rng.uniform(-b, b, (n_visible, n_hidden)), "bhid": rng.randn(n_hidden) * .1,
                           "bvis": rng.randn(n_visible) * .1, "log_sigma": rng.randn(n_hidden) * .4}

        def objective(self, x, eps, beta=1.0):
            p = self.params
            mu = x.dot(p["W"]) + p["bhid"]
            sigma = np.exp(p["log_sigma"])
            z = mu + sigma * eps
            a = z.dot(p["W"].T) + p["bvis"]
            nll = np.sum(np.logaddexp(0, a) - x * a, axis=1)
            kl = np.sum(0.5 * (mu ** 2 + sigma ** 2 - 1) - p["log_sigma"], axis=1)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), dict(x=x, eps=eps, mu=mu, z=z, a=a, beta=beta)

        def backward(self, dobjective, cache):
            p = self.params
            w = dobjective[:, None]
            da = w * (special.expit(cache["a"]) - cache["x"])
            dz = da.dot(p["W"])
            dmu = dz + cache["beta"] * w * cache["mu"]
            sigma = np.exp(p["log_sigma"])
            dlog = np.sum(dz * cache["eps"] * sigma + cache["beta"] * w * (sigma ** 2 - 1), axis=0)
            return {"W": cache["x"].T.dot(dmu) + da.T.dot(cache["z"]), "bhid": dmu.sum(0), "bvis": da.sum(0), "log_sigma": dlog}

    rng = np.random.RandomState(7)
    return {"model": TiedVAE(), "x": rng.rand(5, 6), "eps": rng.randn(5, 3), "beta": 1.0}


ITEMS.append(Item("tied_weights_vae", "Theano-era research repository", "gradients", make_g_right_tied, True))


def make_g_right_bn():
    class BatchNormVAE:
        def __init__(self):
            rng = np.random.default_rng(17)
            n = lambda *s: rng.normal(size=s)
            self.params = {"W1": n(4, 3), "gamma1": 1 + .3 * n(3), "beta1": .4 * n(3), "Wm": .7 * n(3, 2), "bm": .2 * n(2),
                           "Wv": .4 * n(3, 2), "bv": .2 * n(2), "Wd": n(2, 4), "bd": .2 * n(4)}

        def objective(self, x, eps, beta=1.0):
            p = self.params
            a = x @ p["W1"]
            ivar = 1 / np.sqrt(a.var(axis=0) + 1e-5)
            xhat = (a - a.mean(axis=0)) * ivar
            h = np.tanh(p["gamma1"] * xhat + p["beta1"])
            mu, lv = h @ p["Wm"] + p["bm"], h @ p["Wv"] + p["bv"]
            std = np.exp(lv / 2)
            z = mu + std * eps
            out = z @ p["Wd"] + p["bd"]
            nll = .5 * ((out - x) ** 2 + np.log(2 * np.pi)).sum(1)
            kl = .5 * (mu ** 2 + std ** 2 - 1 - lv).sum(1)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (x, eps, beta, ivar, xhat, h, mu, std, z, out)

        def backward(self, dobjective, cache):
            x, eps, beta, ivar, xhat, h, mu, std, z, out = cache
            p, d, N = self.params, dobjective[:, None], x.shape[0]
            dout = d * (out - x)
            dz = dout @ p["Wd"].T
            dmu = dz + beta * d * mu
            dlv = .5 * (dz * eps * std + beta * d * (std ** 2 - 1))
            dpre = (dmu @ p["Wm"].T + dlv @ p["Wv"].T) * (1 - h ** 2)
            dgamma, dbeta = (dpre * xhat).sum(0), dpre.sum(0)
            da = p["gamma1"] * ivar / N * (N * dpre - dbeta - xhat * dgamma)
            return {"Wd": z.T @ dout, "bd": dout.sum(0), "Wm": h.T @ dmu, "bm": dmu.sum(0), "Wv": h.T @ dlv,
                    "bv": dlv.sum(0), "gamma1": dgamma, "beta1": dbeta, "W1": x.T @ da}

    rng = np.random.default_rng(18)
    return {"model": BatchNormVAE(), "x": rng.normal(size=(6, 4)), "eps": rng.normal(size=(6, 2)), "beta": 1.3}


ITEMS.append(Item("batchnorm_encoder_vae", "CS231n assignment", "gradients", make_g_right_bn, True))


def make_g_right_mixture_prior():
    class MixturePriorVAE:
        """KL by one sample against a prior with learned centres."""

        def __init__(self, D=5, Z=2, K=3):
            rng = np.random.RandomState(60)
            self.params = {"enc": rng.randn(D, 2 * Z) * .5, "enc_b": rng.randn(2 * Z) * .2, "centres": rng.randn(K, Z),
                           "dec": rng.randn(Z, D), "dec_b": rng.randn(D) * .2}

        def objective(self, x, eps, beta=1.0):
            P, Z = self.params, eps.shape[1]
            stat = x @ P["enc"] + P["enc_b"]
            mu, lv = stat[:, :Z], stat[:, Z:]
            z = mu + np.exp(.5 * lv) * eps
            diff = z[:, None] - P["centres"][None]                     # B, K, Z
            comp = -.5 * (diff ** 2).sum(2)
            log_p = special.logsumexp(comp, axis=1) - np.log(len(P["centres"]))
            log_q = -.5 * (eps ** 2 + lv).sum(1)                       # the 2 pi's cancel
            kl = log_q - log_p
            out = np.cos(z) @ P["dec"] + P["dec_b"]
            nll = (np.logaddexp(0, out) - x * out).sum(1)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (x, eps, beta, lv, z, diff, comp, out)

        def backward(self, dobjective, cache):
            x, eps, beta, lv, z, diff, comp, out = cache
            P, g = self.params, dobjective[:, None]
            dout = g * (special.expit(out) - x)
            post = special.softmax(comp, axis=1)[:, :, None] * diff * (beta * g)[:, :, None]
            dz = -np.sin(z) * (dout @ P["dec"].T) + post.sum(1)
            dstat = np.hstack((dz, .5 * dz * eps * np.exp(.5 * lv) - .5 * beta * g))
            return {"enc": x.T @ dstat, "enc_b": dstat.sum(0), "centres": -post.sum(0), "dec": np.cos(z).T @ dout,
                    "dec_b": dout.sum(0)}

    rng = np.random.RandomState(61)
    return {"model": MixturePriorVAE(), "x": (rng.rand(4, 5) > .4) * 1., "eps": rng.randn(4, 2), "beta": 0.8}


ITEMS.append(Item("mixture_prior_vae", "research repository (VampPrior)", "gradients", make_g_right_mixture_prior, True))


def make_g_right_scvi():
    class SCVI:
        def __init__(self, n_genes=5, n_latent=2):
            rng = np.random.default_rng(71)
            self.params = {"px_r": rng.normal(size=n_genes) * .4, "z_mean": rng.normal(size=(n_genes, n_latent)) * .4,
                           "z_var": rng.normal(size=(n_genes, n_latent)) * .3, "factor": rng.normal(size=(n_latent, n_genes)),
                           "offset": rng.normal(size=n_genes) * .3}

        def objective(self, x, eps, beta=1.0):
            p = self.params
            x_ = np.log1p(x)
            qm, qlv = x_ @ p["z_mean"], x_ @ p["z_var"]
            z = qm + np.sqrt(np.exp(qlv)) * eps
            scale = special.softmax(z @ p["factor"] + p["offset"], axis=-1)
            mu = x.sum(-1, keepdims=True) * scale
            theta = np.exp(p["px_r"])
            ll = (special.gammaln(x + theta) - special.gammaln(theta) - special.gammaln(x + 1)
                  + theta * (p["px_r"] - np.log(theta + mu)) + x * (np.log(mu) - np.log(theta + mu)))
            nll = -ll.sum(-1)
            kl = .5 * (qm ** 2 + np.exp(qlv) - 1 - qlv).sum(-1)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (x, x_, eps, beta, qm, qlv, z, scale, mu, theta)

        def backward(self, dobjective, cache):
            x, x_, eps, beta, qm, qlv, z, scale, mu, theta = cache
            p, d = self.params, dobjective[:, None]
            dtheta = -(special.digamma(x + theta) - special.digamma(theta) + np.log(theta) - np.log(theta + mu)
                       + 1 - (theta + x) / (theta + mu))
            dmu = -d * (x / mu - (x + theta) / (theta + mu))
            dls = mu * dmu                                             # through log mu
            dlogit = dls - scale * dls.sum(-1, keepdims=True)
            dz = dlogit @ p["factor"].T
            dqm = dz + d * beta * qm
            dqlv = .5 * dz * eps * np.exp(.5 * qlv) + .5 * d * beta * (np.exp(qlv) - 1)
            return {"px_r": (d * dtheta).sum(0) * theta, "factor": z.T @ dlogit, "offset": dlogit.sum(0),
                    "z_mean": x_.T @ dqm, "z_var": x_.T @ dqlv}

    rng = np.random.default_rng(72)
    return {"model": SCVI(), "x": rng.poisson(3., size=(6, 5)).astype(float), "eps": rng.normal(size=(6, 2))}


ITEMS.append(Item("negative_binomial_scvi", "scVI port", "gradients", make_g_right_scvi, True))


# ------------------------------------------------------------------- sampler
def _stats(seed, B=4, Z=3):
    r = np.random.default_rng(seed)
    return {"mu": r.normal(size=(B, Z)), "logvar": r.normal(size=(B, Z)) - 0.2}


def make_s_softplus():
    def rsample(loc, raw_scale, eps):
        scale = np.logaddexp(raw_scale, 0.0) + 1e-6
        return loc + scale * eps
    return {"sampler": rsample, **_stats(1)}


ITEMS.append(Item("softplus_scale_rsample", "Pyro / torch.distributions port", "sampler", make_s_softplus, False,
                  "the log-variance is read as a raw scale (softplus), right: exp(logvar / 2)", ("z",), ("elementwise-factor",)))


def make_s_shared():
    class Sampling:
        def call(self, inputs, eps):
            z_mean, z_log_var = inputs
            epsilon = np.reshape(eps[0], (1, -1))
            return z_mean + np.exp(0.5 * z_log_var) * epsilon

        def __call__(self, z_mean, z_log_var, eps):
            return self.call((z_mean, z_log_var), eps)
    return {"sampler": Sampling(), **_stats(2, 5, 2)}


ITEMS.append(Item("keras_sampling_one_draw", "Keras example", "sampler", make_s_shared, False,
                  "one row of noise is used for the whole batch (eps[0]), right: eps",
                  ("z",), ("zero", "shape", "batch-sum", "elementwise-factor")))


def make_s_redrawn():
    def reparameterize(mu, logvar, eps=None):
        std = np.exp(0.5 * logvar)
        eps = np.random.standard_normal(std.shape)
        return mu + eps * std
    return {"sampler": reparameterize, **_stats(3)}


ITEMS.append(Item("reparameterize_randn_like", "PyTorch examples port", "sampler", make_s_redrawn, False,
                  "noise is drawn inside and the argument thrown away, right: use eps", ("z",), ("noise-redrawn", "zero")))


def make_s_clip():
    def sample_z(mu, log_sigma_sq, eps):
        log_sigma_sq = np.clip(log_sigma_sq, 0.0, 10.0)                # keep exp in range
        sigma = np.sqrt(np.exp(log_sigma_sq))
        return mu + sigma * eps, (sigma, eps)
    return {"sampler": sample_z, **_stats(4)}


ITEMS.append(Item("clipped_log_sigma_sq", "TensorFlow 1 blog post", "sampler", make_s_clip, False,
                  "log variances are clipped from below at 0, so sigma is never under 1, right: clip at -10",
                  ("z",), ("elementwise-factor", "zero")))


def make_s_inplace():
    def sample(mu, logvar, eps):
        z = mu
        z += np.exp(logvar / 2) * eps
        return z
    return {"sampler": sample, **_stats(5)}


ITEMS.append(Item("inplace_add_sampler", "Karpathy gist", "sampler", make_s_inplace, False,
                  "z is another name for mu and += writes into the caller's array, right: z = mu.copy()",
                  ("z", "mu"), ("mutates-input",)))


def make_s_eval():
    class Reparam:
        training = False

        def train(self, mode=True):
            self.training = mode
            return self

        def __call__(self, mu, logvar, eps):
            if self.training:
                return mu + eps * np.exp(logvar * 0.5)
            return mu
    return {"sampler": Reparam(), **_stats(6, 4, 2)}


ITEMS.append(Item("eval_mode_by_default", "fast.ai notebook", "sampler", make_s_eval, False,
                  "the sampler starts in evaluation mode and returns mu, right: training = True", ("z",), ("zero", "missing-term")))


def make_s_right_base2():
    def reparam(key_noise, mean, logvar):
        return mean + np.exp2(logvar / (2 * np.log(2))) * key_noise
    return {"sampler": lambda mu, logvar, eps: reparam(eps, mu, logvar), **_stats(7)}


ITEMS.append(Item("exp2_reparam", "JAX functional style", "sampler", make_s_right_base2, True))


def make_s_right_chol():
    class MultivariateNormalDiag:
        def __init__(self, loc, cov):
            self.loc, self.scale_tril = loc, np.linalg.cholesky(cov)

        def sample(self, noise):
            return self.loc + np.squeeze(self.scale_tril @ noise[..., None], -1)

    def sampler(mu, logvar, eps):
        cov = np.exp(logvar)[:, :, None] * np.eye(mu.shape[1])
        return MultivariateNormalDiag(mu, cov).sample(eps)
    return {"sampler": sampler, **_stats(8, 5, 3)}


ITEMS.append(Item("cholesky_of_diagonal", "TensorFlow Probability port", "sampler", make_s_right_chol, True))


def make_s_right_precision():
    def draw(mu, logvar, eps):
        tau = np.exp(-logvar)                                          # precision
        z = np.divide(eps, np.sqrt(tau))
        z += mu
        return z, {"tau": tau, "eps": eps}
    return {"sampler": draw, **_stats(9)}


ITEMS.append(Item("precision_sampler", "Theano-era research repository", "sampler", make_s_right_precision, True))


# ------------------------------------------------------------------ evidence
def make_e_half_bce():
    class VAE:
        def __init__(self):
            r = np.random.RandomState(0)
            self.We, self.Ws, self.Wd, self.bd = r.randn(4, 2) * .6, r.randn(4, 2) * .4, r.randn(2, 4), r.randn(4) * .3

        def encode(self, x):
            return x @ self.We, x @ self.Ws - 0.3

        def decode(self, z):
            return (z @ self.Wd + self.bd,)

        def objective(self, x, eps):
            mu, logvar = self.encode(x)
            z = mu + np.exp(logvar / 2) * eps
            y = special.expit(self.decode(z)[0])
            nll = -np.sum(x * np.log(y + 1e-12), axis=1)
            kl = -0.5 * np.sum(1 + logvar - np.square(mu) - np.exp(logvar), axis=1)
            return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), None

    return {"model": VAE(), "x": np.array([[1., 0, 0, 1], [0, 1, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0]])}


ITEMS.append(Item("cross_entropy_of_ones_only", "TensorFlow 1 blog post", "evidence", make_e_half_bce, False,
                  "the zeros' part (1 - x) log(1 - y) of the cross entropy is missing, right: both parts", ("nll", "elbo"),
                  ("missing-term",)))


def make_e_reverse_kl():
    def kl_normal(m1, lv1, m2, lv2):
        """KL(N1 || N2), summed over the last axis."""
        return 0.5 * np.sum(lv2 - lv1 + (np.exp(lv1) + (m1 - m2) ** 2) / np.exp(lv2) - 1, axis=-1)

    class Net:
        def __init__(self):
            g = np.random.default_rng(3)
            self.p = {"a": g.normal(size=(3, 1)) * .7, "s": g.normal(size=(3, 1)) * .5, "d": g.normal(size=(1, 3)),
                      "c": g.normal(size=3) * .3}

        def encode(self, x):
            return np.tanh(x @ self.p["a"]), x @ self.p["s"] - .4, {}

        def decode(self, z):
            return z @ self.p["d"] + self.p["c"], {}

        def objective(self, x, eps):
            qm, qlv, _ = self.encode(x)
            pm, plv = np.zeros_like(qm), np.zeros_like(qlv)
            logits, _ = self.decode(qm + np.exp(.5 * qlv) * eps)
            nll = np.sum(np.logaddexp(0, logits) - x * logits, -1)
            kl = kl_normal(pm, plv, qm, qlv)
            return SimpleNamespace(objective=-nll - kl, nll=nll, kl=kl), {}

    return {"model": Net(), "x": np.array([[1., 0, 1], [0, 1, 1], [0, 0, 1], [1, 1, 0]])}


ITEMS.append(Item("kl_normal_arguments_swapped", "PyTorch research repository (ladder VAE)", "evidence", make_e_reverse_kl, False,
                  "KL(p || q) stands where KL(q || p) belongs: arguments swapped, right: kl_normal(qm, qlv, pm, plv)",
                  ("kl", "objective"), ("transpose", "elementwise-factor", "unknown")))


def make_e_iwae_log_k():
    class IWAE:
        def __init__(self, k=3):
            r = np.random.RandomState(10)
            self.k = k
            self.W, self.b, self.V, self.c = r.randn(4, 2) * .6, r.randn(2) * .3, r.randn(1, 4) * 1.2, r.randn(4) * .3

        def draw_eps(self, B, rng):
            return rng.standard_normal((self.k, B, 1))

        def encode(self, x):
            h = x.dot(self.W) + self.b
            return h[:, :1], h[:, 1:]

        def decode(self, z):
            return z.dot(self.V) + self.c

        def objective(self, x, eps):
            mu, lv = self.encode(x)
            z = mu + np.exp(lv / 2) * eps
            a = self.decode(z)
            log_px = np.sum(x * a - np.logaddexp(0, a), axis=-1)
            log_pz = -0.5 * np.sum(z ** 2 + np.log(2 * np.pi), axis=-1)
            log_q = -0.5 * np.sum(eps ** 2 + lv + np.log(2 * np.pi), axis=-1)
            log_w = log_px + log_pz - log_q
            m = log_w.max(axis=0)
            elbo = m + np.log(np.sum(np.exp(log_w - m), axis=0))
            return SimpleNamespace(elbo=elbo), log_w

    return {"model": IWAE(), "x": np.array([[1., 0, 0, 1], [0, 1, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]])}


ITEMS.append(Item("iwae_log_sum_exp", "Theano IWAE port", "evidence", make_e_iwae_log_k, False,
                  "the log of the sum of the K weights, - log K is missing, right: np.mean(np.exp(log_w - m), axis=0)", ("elbo",),
                  ("missing-term",)))


def make_e_log_q_const():
    def log_normal_diag(z, mean, log_var):
        return -0.5 * (np.log(2 * np.pi) + np.sum(log_var + (z - mean) ** 2 / np.exp(log_var), axis=1))

    def log_standard_normal(z):
        return -0.5 * np.sum(np.log(2 * np.pi) + z ** 2, axis=1)

    class VAE:
        def __init__(self):
            r = np.random.default_rng(40)
            self.E, self.S, self.D = r.normal(size=(3, 2)) * .6, r.normal(size=(3, 2)) * .4, r.normal(size=(2, 3))

        def encode(self, x):
            return x @ self.E + .2, x @ self.S - .5

        def decode(self, z):
            return (np.tanh(z) @ self.D, z)

        def objective(self, x, eps):
            mu, log_var = self.encode(x)
            z = mu + np.exp(.5 * log_var) * eps
            logits, _ = self.decode(z)
            RE = np.sum(x * logits - np.logaddexp(0., logits), axis=1)
            KL = log_normal_diag(z, mu, log_var) - log_standard_normal(z)
            return SimpleNamespace(elbo=RE - KL, nll=-RE, kl=KL), z

    return {"model": VAE(), "x": np.array([[1., 0, 1], [0, 1, 1], [0, 0, 1], [1, 1, 0]])}


ITEMS.append(Item("log_q_constant_once", "research repository (VampPrior)", "evidence", make_e_log_q_const, False,
                  "log 2 pi stands outside the sum over latents in log q (once instead of Z times), right: inside the sum",
                  ("kl", "elbo"), ("missing-term",)))


def make_e_mean_decoded():
    class GaussianLik:
        name, n_params = "gaussian", 1

        def nll(self, x, logits):
            r = x - logits
            return 0.5 * np.sum(r * r / 0.25 + np.log(2 * np.pi * 0.25), axis=1), r

    class VAE:
        def __init__(self):
            r = np.random.RandomState(33)
            self.likelihood = GaussianLik()
            self.enc, self.lv, self.dec = r.randn(3, 1) * .5, r.randn(3, 1) * .4, r.randn(1, 3)

        def encode(self, x):
            return x @ self.enc, x @ self.lv - 0.6, x

        def reparameterize(self, mu, logvar, eps):
            return mu + np.exp(0.5 * logvar) * eps

        def decode(self, z):
            return z @ self.dec + 0.1, z

        def objective(self, x, eps):
            mu, logvar, _ = self.encode(x)
            z = self.reparameterize(mu, logvar, eps)
            out, _ = self.decode(mu)
            nll, _ = self.likelihood.nll(x, out)
            kl = 0.5 * np.sum(mu ** 2 + np.exp(logvar) - logvar - 1, axis=1)
            return SimpleNamespace(objective=-nll - kl, nll=nll, kl=kl), z

    return {"model": VAE(), "x": np.random.RandomState(34).randn(5, 3)}


ITEMS.append(Item("decodes_the_mean", "PyTorch examples port", "evidence", make_e_mean_decoded, False,
                  "the bound decodes mu, z is drawn and never used, right: self.decode(z)", ("nll", "objective"),
                  ("zero", "missing-term")))


def make_e_kl_mean():
    class KerasVAE:
        def __init__(self):
            r = np.random.default_rng(55)
            self.k_mean, self.k_lv, self.k_out = r.normal(size=(4, 2)) * .8, r.normal(size=(4, 2)) * .5, r.normal(size=(2, 4))

        def encode(self, x):
            return x @ self.k_mean, x @ self.k_lv

        def decode(self, z):
            return z @ self.k_out - .2, None

        def objective(self, x, eps):
            z_mean, z_log_var = self.encode(x)
            logits, _ = self.decode(z_mean + np.exp(0.5 * z_log_var) * eps)
            reconstruction_loss = np.sum(np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits))), axis=1)
            kl_loss = -0.5 * (1 + z_log_var - np.square(z_mean) - np.exp(z_log_var))
            kl_loss = np.mean(np.sum(kl_loss, axis=1))
            total_loss = reconstruction_loss + kl_loss
            return SimpleNamespace(objective=total_loss, nll=reconstruction_loss, kl=np.full(len(x), kl_loss)), None

    return {"model": KerasVAE(), "x": np.array([[1., 0, 0, 1], [0, 1, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0]])}


ITEMS.append(Item("kl_loss_batch_mean", "Keras example", "evidence", make_e_kl_mean, False,
                  "the KL is averaged over the batch before it is added to each row's loss, right: np.sum(kl_loss, axis=1)",
                  ("kl", "objective"), ("batch-sum", "shape")))


def make_e_right_gauss():
    class HeteroscedasticLik:
        name, n_params = "gaussian with its own precision", 2

        def nll(self, x, logits):
            D = x.shape[1]
            m, log_prec = logits[:, :D], logits[:, D:]
            return 0.5 * np.sum(np.log(2 * np.pi) - log_prec + np.exp(log_prec) * (x - m) ** 2, axis=1), m

    class VAE:
        likelihood = HeteroscedasticLik()

        def __init__(self):
            r = np.random.default_rng(81)
            self.A, self.S = r.normal(size=(2, 1)) * .6, r.normal(size=(2, 1)) * .3
            self.D, self.s = np.hstack([r.normal(size=(1, 2)), .2 * r.normal(size=(1, 2))]), np.array([.1, -.2, .3, .5])

        def encode(self, x):
            return x @ self.A, x @ self.S - .5

        def decode(self, z):
            return z @ self.D + self.s, None

        def objective(self, x, eps):
            mu, lv = self.encode(x)
            nll, _ = self.likelihood.nll(x, self.decode(mu + np.exp(lv / 2) * eps)[0])
            kl = np.sum(mu ** 2 + np.expm1(lv) - lv, axis=1) / 2
            return SimpleNamespace(objective=-nll - kl, nll=nll, kl=kl), None

    return {"model": VAE(), "x": np.random.default_rng(82).normal(size=(4, 2))}


ITEMS.append(Item("heteroscedastic_vae_bound", "Pyro tutorial port", "evidence", make_e_right_gauss, True))


def make_e_right_mc():
    class VAE:
        def __init__(self):
            r = np.random.RandomState(91)
            self.w = [r.randn(3, 4), r.randn(4, 2) * .6, r.randn(4, 2) * .3, r.randn(2, 3)]

        def encode(self, x):
            h = np.tanh(x @ self.w[0])
            return h @ self.w[1], h @ self.w[2], h

        def decode(self, z):
            return np.sin(z) @ self.w[3], z

        def objective(self, x, eps):
            mu, logvar, _ = self.encode(x)
            z = mu + eps * np.exp(0.5 * logvar)
            logits, _ = self.decode(z)
            logp = np.where(x == 1, -np.logaddexp(0, -logits), -np.logaddexp(0, logits)).sum(1)
            logq_minus_logpz = 0.5 * np.sum(z ** 2 - eps ** 2 - logvar, axis=1)
            return SimpleNamespace(elbo=logp - logq_minus_logpz), None

    return {"model": VAE(), "x": np.array([[1., 0, 1], [0, 1, 1], [0, 0, 1], [1, 1, 0], [0, 1, 0]])}


ITEMS.append(Item("single_sample_bound", "TensorFlow tutorial (CVAE)", "evidence", make_e_right_mc, True))


def make_e_right_iwae():
    class IWAE:
        def __init__(self, K=2):
            r = np.random.default_rng(95)
            self.K, self.a, self.s, self.d = K, r.normal(size=(4, 1)), r.normal(size=(4, 1)) * .4, r.normal(size=(1, 4))

        def draw_eps(self, B, rng):
            return rng.normal(size=(self.K, B, 1))

        def encode(self, x):
            return (x - .5) @ self.a, (x - .5) @ self.s

        def decode(self, z):
            return 1.5 * z @ self.d - .3, None

        def objective(self, x, eps):
            mu, logvar = self.encode(x)
            z = mu[None] + np.exp(logvar / 2)[None] * eps
            logits, _ = self.decode(z)
            log_w = (np.sum(x[None] * logits - np.logaddexp(0, logits), -1)
                     + .5 * np.sum(eps ** 2 + logvar[None] - z ** 2, -1))
            return SimpleNamespace(objective=special.logsumexp(log_w, axis=0, b=1. / len(eps))), None

    return {"model": IWAE(), "x": np.array([[1., 0, 0, 1], [0, 1, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0]])}


ITEMS.append(Item("iwae_two_samples", "JAX functional style", "evidence", make_e_right_iwae, True))


# ---------------------------------------------------------------- likelihood
def make_l_gauss():
    class GaussianLogvar:
        name, n_params, support = "gaussian_logvar", 2, (-np.inf, np.inf)

        def nll(self, x, logits):
            m, lv = np.split(logits, 2, axis=-1)
            d = x - m
            return 0.5 * (np.log(2 * np.pi) + lv + d ** 2 / np.exp(lv)).sum(-1), (d, lv)

        def nll_backward(self, dnll, cache):
            d, lv = cache
            w = np.exp(-lv)
            return dnll[:, None] * np.concatenate([-d * w, 0.5 * (1 - d * d * w)], axis=-1)

        def mean(self, logits):
            return np.split(logits, 2, axis=-1)[0]

        def sample(self, logits, rng):
            m, lv = np.split(logits, 2, axis=-1)
            return rng.normal(m, np.exp(lv))

    return {"p": GaussianLogvar()}


ITEMS.append(Item("gaussian_sample_variance_as_std", "PyTorch research repository (ladder VAE)", "likelihood", make_l_gauss, False,
                  "the variance is given to rng.normal as its scale, right: np.exp(0.5 * lv)", ("sample",), ("elementwise-factor",)))


def make_l_beta():
    class Beta:
        name, n_params, support = "beta", 2, (0.0, 1.0)

        def _ab(self, logits):
            D = logits.shape[1] // 2
            return 1 + np.logaddexp(0, logits[:, :D]), 1 + np.logaddexp(0, logits[:, D:])

        def nll(self, x, logits):
            a, b = self._ab(logits)
            out = special.betaln(a, b) - special.xlogy(a - 1, x) - special.xlog1py(b - 1, -x)
            return out.sum(axis=1), (x, logits, a, b)

        def nll_backward(self, dnll, cache):
            x, logits, a, b = cache
            da = special.digamma(a) - np.log(x)
            db = special.digamma(b) - np.log1p(-x)
            return dnll[:, None] * np.hstack([da, db]) * special.expit(logits)

        def mean(self, logits):
            a, b = self._ab(logits)
            return a / (a + b)

        def sample(self, logits, rng):
            return rng.beta(*self._ab(logits))

    return {"p": Beta()}


ITEMS.append(Item("beta_backward_digamma_sum", "torch.distributions port", "likelihood", make_l_beta, False,
                  "the derivative of log B(a, b) misses - digamma(a + b), right: digamma(a) - digamma(a + b), and so for b",
                  ("nll_backward",), ("missing-term",)))


def make_l_lognormal():
    class LogNormal:
        name = "lognormal"
        n_params = 2
        support = (0.0, np.inf)

        def nll(self, x, logits):
            mu, ls = np.hsplit(logits, 2)
            ls = 0.5 * np.tanh(ls)                                     # bounded log sigma
            t = (np.log(x) - mu) / np.exp(ls)
            nll = 0.5 * t ** 2 + ls + 0.5 * np.log(2 * np.pi)
            return nll.sum(1), (t, ls)

        def nll_backward(self, dnll, cache):
            t, ls = cache
            return dnll[:, None] * np.hstack([-t / np.exp(ls), (1 - t ** 2) * 0.5 * (1 - (2 * ls) ** 2)])

        def mean(self, logits):
            mu, ls = np.hsplit(logits, 2)
            return np.exp(mu + 0.5 * np.exp(np.tanh(ls)))

        def sample(self, logits, rng):
            mu, ls = np.hsplit(logits, 2)
            return np.exp(mu + np.exp(0.5 * np.tanh(ls)) * rng.standard_normal(mu.shape))

    return {"p": LogNormal()}


ITEMS.append(Item("lognormal_without_jacobian", "blog post (VAE for positive data)", "likelihood", make_l_lognormal, False,
                  "the density of log x is given as that of x: + log x (the Jacobian) is missing in nll", ("nll",), ("missing-term",)))


def make_l_gumbel():
    class Gumbel:
        name, n_params, support = "gumbel", 2, (-np.inf, np.inf)

        def nll(self, x, logits):
            loc, log_scale = np.split(logits, 2, axis=1)
            z = (x - loc) * np.exp(-log_scale)
            return np.sum(z + np.exp(-z) + log_scale, axis=1), (z, log_scale)

        def nll_backward(self, dnll, cache):
            z, log_scale = cache
            dz = -np.expm1(-z)
            return dnll[:, None] * np.concatenate([-dz * np.exp(-log_scale), 1 - z * dz], axis=1)

        def mean(self, logits):
            loc, log_scale = np.split(logits, 2, axis=1)
            return loc

        def sample(self, logits, rng):
            loc, log_scale = np.split(logits, 2, axis=1)
            u = rng.uniform(size=loc.shape)
            return loc - np.exp(log_scale) * np.log(-np.log(u))

    return {"p": Gumbel()}


ITEMS.append(Item("gumbel_mean_is_mode", "Gumbel-softmax notebook", "likelihood", make_l_gumbel, False,
                  "the mode is returned as the mean, right: loc + euler_gamma * scale", ("mean",), ("missing-term",)))


def make_l_right_logistic():
    class Logistic:
        name, n_params, support = "logistic", 2, (-np.inf, np.inf)

        def nll(self, x, logits):
            m, s = np.split(logits, 2, axis=1)
            t = (x - m) / np.exp(s)
            return np.sum(t + s + 2 * np.logaddexp(0, -t), axis=1), (t, s)

        def nll_backward(self, dnll, cache):
            t, s = cache
            dt = np.tanh(t / 2)
            return dnll[:, None] * np.concatenate((-dt / np.exp(s), 1 - t * dt), axis=1)

        def mean(self, logits):
            return logits[:, :logits.shape[1] // 2].copy()

        def sample(self, logits, rng):
            m, s = np.split(logits, 2, axis=1)
            return rng.logistic(m, np.exp(s))

    return {"p": Logistic()}


ITEMS.append(Item("logistic_likelihood", "PixelCNN++ port", "likelihood", make_l_right_logistic, True))


def make_l_right_gamma():
    class Gamma:
        """Mean parameterization: mean m = exp(a), shape k = 1 + softplus(c)."""
        name, n_params, support = "gamma", 2, (0.0, np.inf)

        def _split(self, logits):
            a, c = np.hsplit(logits, 2)
            return np.exp(a), 1.0 + np.logaddexp(0.0, c), special.expit(c)

        def nll(self, x, logits):
            m, k, dk = self._split(logits)
            rate = k / m
            out = special.gammaln(k) - k * np.log(rate) - special.xlogy(k - 1, x) + rate * x
            return out.sum(1), (x, m, k, dk)

        def nll_backward(self, dnll, cache):
            x, m, k, dk = cache
            d_a = k - k * x / m
            d_k = special.digamma(k) - np.log(k / m) - 1 - np.log(x) + x / m
            return np.hstack([d_a, d_k * dk]) * dnll[:, None]

        def mean(self, logits):
            return self._split(logits)[0]

        def sample(self, logits, rng):
            m, k, _ = self._split(logits)
            return rng.gamma(k, m / k)

    return {"p": Gamma()}


ITEMS.append(Item("gamma_mean_parameterization", "statsmodels / GLM style", "likelihood", make_l_right_gamma, True))


def make_l_right_cb():
    class ContinuousBernoulli:
        name, n_params, support = "continuous_bernoulli", 1, (0.0, 1.0)

        def _log_norm(self, a):                                       # log of int_0^1 exp(a x) dx
            small = np.abs(a) < 1e-2
            b = np.where(small, 1.0, a)
            return a / 2 + np.where(small, a ** 2 / 24 - a ** 4 / 2880, np.log(2 * np.sinh(np.abs(b) / 2) / np.abs(b)))

        def mean(self, logits):
            small = np.abs(logits) < 1e-2
            b = np.where(small, 1.0, logits)
            return 0.5 + np.where(small, logits / 12 - logits ** 3 / 720, 0.5 / np.tanh(b / 2) - 1 / b)

        def nll(self, x, logits):
            return (self._log_norm(logits) - x * logits).sum(1), (x, logits)

        def nll_backward(self, dnll, cache):
            x, logits = cache
            return dnll[:, None] * (self.mean(logits) - x)

        def sample(self, logits, rng):
            u = rng.random(logits.shape)
            small = np.abs(logits) < 1e-6
            b = np.where(small, 1.0, logits)
            return np.where(small, u, np.log1p(u * np.expm1(b)) / b)

    return {"p": ContinuousBernoulli()}


ITEMS.append(Item("continuous_bernoulli", "torch.distributions port", "likelihood", make_l_right_cb, True))


# ----------------------------------------------------------------- optimizer
def make_o_adam_t():
    class Adam:
        def __init__(self, lr=0.01, betas=(0.9, 0.999), eps=1e-8):
            self.lr, self.betas, self.eps, self.t, self.m, self.v = lr, betas, eps, 0, {}, {}

        def step(self, params, grads):
            b1, b2 = self.betas
            for k in params:
                self.t += 1
                self.m[k] = b1 * self.m.get(k, 0.) + (1 - b1) * grads[k]
                self.v[k] = b2 * self.v.get(k, 0.) + (1 - b2) * grads[k] ** 2
                mhat = self.m[k] / (1 - b1 ** self.t)
                vhat = self.v[k] / (1 - b2 ** self.t)
                params[k] = params[k] - self.lr * mhat / (np.sqrt(vhat) + self.eps)

    class AdamReference:
        def __init__(self, lr, b1, b2, eps):
            self.h, self.hist = (lr, b1, b2, eps), []

        def step(self, params, grads):
            lr, b1, b2, eps = self.h
            self.hist.append({k: g.copy() for k, g in grads.items()})
            n = len(self.hist)
            w1, w2 = b1 ** np.arange(n)[::-1], b2 ** np.arange(n)[::-1]
            for k, p in params.items():
                G = np.stack([g[k] for g in self.hist])
                p -= lr * (np.tensordot(w1, G, 1) / w1.sum()) / (np.sqrt(np.tensordot(w2, G * G, 1) / w2.sum()) + eps)

    return {"optimizer": Adam(), "reference": AdamReference(0.01, 0.9, 0.999, 1e-8)}


ITEMS.append(Item("adam_t_per_parameter", "deep learning from scratch (layer classes)", "optimizer", make_o_adam_t, False,
                  "t is raised once per parameter array instead of once per step, right: before the loop", (),
                  ("factor", "elementwise-factor")))


def make_o_centered():
    class RMSprop:
        def __init__(self, lr=0.01, alpha=0.9, eps=1e-3):
            self.lr, self.alpha, self.eps, self.state = lr, alpha, eps, {}

        def step(self, params, grads):
            for name, p in params.items():
                g = grads[name]
                st = self.state.setdefault(name, {"square_avg": np.zeros_like(p), "grad_avg": np.zeros_like(p)})
                st["square_avg"] = self.alpha * st["square_avg"] + (1 - self.alpha) * g * g
                st["grad_avg"] = self.alpha * st["grad_avg"] + (1 - self.alpha) * g
                avg = np.sqrt(np.abs(st["square_avg"] - st["grad_avg"])) + self.eps
                p -= self.lr * g / avg

    class Reference:
        def __init__(self):
            self.s, self.m = {}, {}

        def step(self, params, grads):
            for k in params:
                s, m = self.s.get(k, 0.0), self.m.get(k, 0.0)
                self.s[k] = s + 0.1 * (grads[k] ** 2 - s)
                self.m[k] = m + 0.1 * (grads[k] - m)
                params[k] = params[k] - 0.01 * grads[k] / ((self.s[k] - self.m[k] ** 2) ** 0.5 + 1e-3)

    return {"optimizer": RMSprop(), "reference": Reference()}


ITEMS.append(Item("centered_rmsprop_mean_not_squared", "PyTorch optimizer port", "optimizer", make_o_centered, False,
                  "the variance is E g^2 - E g, right: E g^2 - (E g)^2", (), ("elementwise-factor",)))


def make_o_nesterov():
    class NesterovMomentum:
        def __init__(self, learning_rate=0.05, mu=0.9):
            self.learning_rate, self.mu, self.v = learning_rate, mu, {}

        def step(self, params, grads):
            for k in params:
                v = self.v.setdefault(k, np.zeros_like(params[k]))
                v_prev = v
                v *= self.mu
                v -= self.learning_rate * grads[k]
                params[k] += -self.mu * v_prev + (1 + self.mu) * v

    class Reference:
        def __init__(self):
            self.buf = {}

        def step(self, params, grads):
            for k in params:
                self.buf[k] = 0.9 * self.buf.get(k, 0.0) + grads[k]
                params[k] = params[k] - 0.05 * (grads[k] + 0.9 * self.buf[k])

    return {"optimizer": NesterovMomentum(), "reference": Reference()}


ITEMS.append(Item("nesterov_v_prev_alias", "CS231n assignment", "optimizer", make_o_nesterov, False,
                  "v_prev is the same array as v and moves with it, so plain momentum is left, right: v_prev = v.copy()", (),
                  ("mutates-input", "elementwise-factor", "missing-term")))


def make_o_clip():
    class SGDClip:
        def __init__(self, lr=0.1, max_norm=0.5, momentum=0.8):
            self.lr, self.max_norm, self.momentum, self.velocity = lr, max_norm, momentum, {}

        def step(self, params, grads):
            total_norm = np.sqrt(sum((g ** 2).sum() for g in grads.values()))
            clip_coef = min(1.0, self.max_norm / (total_norm + 1e-6))
            for k in params:
                g = grads[k]
                g *= clip_coef
                self.velocity[k] = self.momentum * self.velocity.get(k, 0) - self.lr * g
                params[k] += self.velocity[k]

    class Reference:
        def __init__(self):
            self.u = {}

        def step(self, params, grads):
            n = np.linalg.norm(np.concatenate([g.ravel() for g in grads.values()])) + 1e-6
            c = 0.5 / n if n > 0.5 else 1.0
            for k in params:
                self.u[k] = 0.8 * self.u.get(k, 0.0) + c * grads[k]
                params[k] = params[k] - 0.1 * self.u[k]

    return {"optimizer": SGDClip(), "reference": Reference()}


ITEMS.append(Item("clip_grad_norm_in_step", "Karpathy gist (nanoGPT port)", "optimizer", make_o_clip, False,
                  "the caller's gradients are scaled in place (g *= clip_coef), right: g = g * clip_coef", (), ("mutates-input",)))


def make_o_right_amsgrad():
    class AMSGrad:
        def __init__(self, lr=2e-3, b1=0.9, b2=0.99, eps=1e-8):
            self.lr, self.b1, self.b2, self.eps, self.t = lr, b1, b2, eps, 0
            self.m, self.v, self.vmax = {}, {}, {}

        def step(self, params, grads):
            self.t += 1
            for k, g in grads.items():
                if k not in self.m:
                    self.m[k], self.v[k], self.vmax[k] = (np.zeros_like(g) for _ in range(3))
                self.m[k] += (1 - self.b1) * (g - self.m[k])
                self.v[k] += (1 - self.b2) * (g * g - self.v[k])
                np.maximum(self.vmax[k], self.v[k], out=self.vmax[k])
                step_size = self.lr / (1 - self.b1 ** self.t)
                denom = np.sqrt(self.vmax[k]) / np.sqrt(1 - self.b2 ** self.t) + self.eps
                params[k] -= step_size * self.m[k] / denom

    class Reference:
        def __init__(self):
            self.n, self.s = 0, {}

        def step(self, params, grads):
            self.n += 1
            for k in params:
                m, v, top = self.s.get(k, (0.0, 0.0, 0.0))
                m, v = 0.9 * m + 0.1 * grads[k], 0.99 * v + 0.01 * grads[k] ** 2
                top = np.where(v > top, v, top)
                self.s[k] = (m, v, top)
                mh = m / (1 - 0.9 ** self.n)
                params[k] = params[k] - 2e-3 * mh / ((top / (1 - 0.99 ** self.n)) ** 0.5 + 1e-8)

    return {"optimizer": AMSGrad(), "reference": Reference()}


ITEMS.append(Item("amsgrad", "PyTorch optimizer port", "optimizer", make_o_right_amsgrad, True))


def make_o_right_lion():
    class Lion:
        def __init__(self, lr=1e-2, b1=0.9, b2=0.99, wd=0.1):
            self.lr, self.b1, self.b2, self.wd, self.exp_avg = lr, b1, b2, wd, {}

        def step(self, params, grads):
            for k, p in params.items():
                m = self.exp_avg.setdefault(k, np.zeros_like(p))
                p *= 1 - self.lr * self.wd
                update = m * self.b1 + grads[k] * (1 - self.b1)
                p -= self.lr * np.sign(update)
                m *= self.b2
                m += (1 - self.b2) * grads[k]

    class Reference:
        def __init__(self):
            self.m = {}

        def step(self, params, grads):
            for k in params:
                g, m = grads[k], self.m.get(k, 0.0 * grads[k])
                c = 0.9 * m + 0.1 * g
                params[k] = params[k] - 0.01 * (np.where(c > 0, 1.0, np.where(c < 0, -1.0, 0.0)) + 0.1 * params[k])
                self.m[k] = 0.99 * m + 0.01 * g

    return {"optimizer": Lion(), "reference": Reference()}


ITEMS.append(Item("lion", "lucidrains repository", "optimizer", make_o_right_lion, True))


def make_o_right_adadelta():
    class Adadelta:
        def __init__(self, rho=0.95, eps=1e-5):
            self.rho, self.eps, self.cache, self.delta = rho, eps, {}, {}

        def step(self, params, grads):
            for k, g in grads.items():
                self.cache[k] = self.rho * self.cache.get(k, 0.) + (1 - self.rho) * g ** 2
                d_old = self.delta.get(k, 0.)
                update = g * np.sqrt(d_old + self.eps) / np.sqrt(self.cache[k] + self.eps)
                params[k] = params[k] - update
                self.delta[k] = self.rho * d_old + (1 - self.rho) * update ** 2

    class Reference:
        def __init__(self):
            self.acc = {}

        def step(self, params, grads):
            for k, p in params.items():
                if k not in self.acc:
                    self.acc[k] = [np.zeros_like(p), np.zeros_like(p)]
                eg, ex = self.acc[k]
                eg += 0.05 * (grads[k] ** 2 - eg)
                dx = -((ex + 1e-5) / (eg + 1e-5)) ** 0.5 * grads[k]
                ex += 0.05 * (dx ** 2 - ex)
                p += dx

    return {"optimizer": Adadelta(), "reference": Reference()}


ITEMS.append(Item("adadelta", "Keras from-scratch reimplementation", "optimizer", make_o_right_adadelta, True))
