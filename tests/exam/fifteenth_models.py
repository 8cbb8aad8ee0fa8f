"""Fifteenth exam: models, samplers, bounds, likelihoods, optimizers (numpy and scipy only)."""
from collections import namedtuple
from types import SimpleNamespace
from typing import Callable, NamedTuple

import numpy as np
from scipy.special import digamma, gammaln, betaln, logsumexp


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


# ------------------------------------------------------------------ gradients, wrong


def make_skip_decoder():
    class SkipVAE(object):
        """
        Encoder: affine - tanh - affine (mu, logvar).
        Decoder: affine - tanh - affine, and z is fed to the output layer again (skip).
        """

        def __init__(self, input_dim=5, hidden_dim=4, z_dim=2, seed=231):
            rs = np.random.RandomState(seed)
            p = self.params = {}
            p["W1"] = 0.5 * rs.randn(input_dim, hidden_dim)
            p["b1"] = 0.1 * rs.randn(hidden_dim)
            p["Wmu"] = 0.5 * rs.randn(hidden_dim, z_dim)
            p["bmu"] = 0.1 * rs.randn(z_dim)
            p["Wlv"] = 0.5 * rs.randn(hidden_dim, z_dim)
            p["blv"] = 0.1 * rs.randn(z_dim)
            p["W2"] = 0.7 * rs.randn(z_dim, hidden_dim)
            p["b2"] = 0.1 * rs.randn(hidden_dim)
            p["W3"] = 0.7 * rs.randn(hidden_dim, input_dim)
            p["Ws"] = 0.7 * rs.randn(z_dim, input_dim)
            p["b3"] = 0.1 * rs.randn(input_dim)

        def encode(self, x):
            p = self.params
            h1 = np.tanh(x.dot(p["W1"]) + p["b1"])
            return h1.dot(p["Wmu"]) + p["bmu"], h1.dot(p["Wlv"]) + p["blv"], h1

        def objective(self, x, eps, beta=1.0):
            p = self.params
            mu, logvar, h1 = self.encode(x)
            z = mu + np.exp(0.5 * logvar) * eps
            h2 = np.tanh(z.dot(p["W2"]) + p["b2"])
            scores = h2.dot(p["W3"]) + z.dot(p["Ws"]) + p["b3"]
            nll = np.sum(np.logaddexp(0, scores) - x * scores, axis=1)
            kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
            cache = (x, eps, beta, mu, logvar, h1, z, h2, scores)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), cache

        def backward(self, dobjective, cache):
            x, eps, beta, mu, logvar, h1, z, h2, scores = cache
            p, grads = self.params, {}
            dscores = (1 / (1 + np.exp(-scores)) - x) * dobjective[:, None]
            grads["W3"] = h2.T.dot(dscores)
            grads["Ws"] = z.T.dot(dscores)
            grads["b3"] = dscores.sum(axis=0)
            dh2 = dscores.dot(p["W3"].T) * (1 - h2 ** 2)
            grads["W2"] = z.T.dot(dh2)
            grads["b2"] = dh2.sum(axis=0)
            dz = dh2.dot(p["W2"].T)
            dkl = beta * dobjective[:, None]
            dmu = dz + dkl * mu
            dlogvar = dz * eps * 0.5 * np.exp(0.5 * logvar) + dkl * 0.5 * (np.exp(logvar) - 1)
            grads["Wmu"], grads["bmu"] = h1.T.dot(dmu), dmu.sum(axis=0)
            grads["Wlv"], grads["blv"] = h1.T.dot(dlogvar), dlogvar.sum(axis=0)
            dh1 = (dmu.dot(p["Wmu"].T) + dlogvar.dot(p["Wlv"].T)) * (1 - h1 ** 2)
            grads["W1"], grads["b1"] = x.T.dot(dh1), dh1.sum(axis=0)
            return grads

    rs = np.random.RandomState(0)
    return dict(model=SkipVAE(), x=(rs.rand(6, 5) > 0.5) * 1.0, eps=rs.randn(6, 2))


ITEMS.append(Item("skip_decoder_dz", "CS231n assignment", "gradients", make_skip_decoder, False,
                  "dz lacks the path of the skip: dh2.dot(W2.T) + dscores.dot(Ws.T)",
                  ("W1", "b1", "Wmu", "bmu", "Wlv", "blv"), ("missing-term",)))


def make_softplus_sigma():
    def softplus(a):
        return np.logaddexp(0.0, a)

    def sigmoid(a):
        return 1.0 / (1.0 + np.exp(-a))

    class Model:
        # sigma = softplus(s) as in the probabilistic-layers tutorial; observation noise fixed to 1
        def __init__(self, d=4, h=5, z=2):
            g = np.random.default_rng(11)
            shapes = {"enc.kernel": (d, h), "enc.bias": (h,), "loc.kernel": (h, z), "loc.bias": (z,),
                      "scale.kernel": (h, z), "scale.bias": (z,), "dec.kernel": (z, d), "dec.bias": (d,)}
            self.params = {k: g.normal(0, 0.6, s) for k, s in shapes.items()}

        def objective(self, x, eps, beta=1.0):
            p = self.params
            a = x @ p["enc.kernel"] + p["enc.bias"]
            h = a * sigmoid(a)  # swish
            loc = h @ p["loc.kernel"] + p["loc.bias"]
            s = h @ p["scale.kernel"] + p["scale.bias"]
            sigma = softplus(s)
            z = loc + sigma * eps
            y = z @ p["dec.kernel"] + p["dec.bias"]
            nll = 0.5 * ((x - y) ** 2 + np.log(2 * np.pi)).sum(-1)
            kl = (0.5 * (loc ** 2 + sigma ** 2 - 1) - np.log(sigma)).sum(-1)
            cache = dict(x=x, eps=eps, beta=beta, a=a, h=h, loc=loc, s=s, sigma=sigma, z=z, y=y)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), cache

        def backward(self, dobjective, cache):
            p, c = self.params, SimpleNamespace(**cache)
            w = dobjective[:, None]
            g_y = w * (c.y - c.x)
            g_z = g_y @ p["dec.kernel"].T
            g_loc = g_z + w * c.beta * c.loc
            g_sigma = g_z * c.eps
            g_s = g_sigma * sigmoid(c.s) + w * c.beta * (c.sigma - 1.0 / c.sigma)
            g_h = g_loc @ p["loc.kernel"].T + g_s @ p["scale.kernel"].T
            sg = sigmoid(c.a)
            g_a = g_h * (sg + c.a * sg * (1 - sg))
            return {
                "enc.kernel": c.x.T @ g_a, "enc.bias": g_a.sum(0),
                "loc.kernel": c.h.T @ g_loc, "loc.bias": g_loc.sum(0),
                "scale.kernel": c.h.T @ g_s, "scale.bias": g_s.sum(0),
                "dec.kernel": c.z.T @ g_y, "dec.bias": g_y.sum(0),
            }

    g = np.random.default_rng(12)
    return dict(model=Model(), x=g.normal(size=(5, 4)), eps=g.normal(size=(5, 2)), beta=0.7)


ITEMS.append(Item("softplus_sigma_kl_slope", "TensorFlow Probability tutorial port", "gradients", make_softplus_sigma, False,
                  "the KL's part of g_s is not multiplied by sigmoid(s), the slope of softplus",
                  ("enc.kernel", "enc.bias", "scale.kernel", "scale.bias"), ("elementwise-factor",)))


def make_free_bits():
    class FreeBitsVAE:
        """Kingma et al. 2016, app. C.8: sum_j max(lambda, KL_j), one draw, one group per latent."""

        def __init__(self, n_in, n_hid, n_lat, lam=0.25, rng=None):
            rng = rng or np.random.default_rng(3)
            self.lam = lam
            init = lambda i, o: rng.normal(size=(i, o)) / np.sqrt(i)
            self.params = dict(
                We=init(n_in, n_hid), be=rng.normal(size=n_hid) * .1,
                Wq=init(n_hid, 2 * n_lat), bq=rng.normal(size=2 * n_lat) * .3,
                Wd=init(n_lat, n_hid), bd=rng.normal(size=n_hid) * .1,
                Wx=init(n_hid, n_in), bx=rng.normal(size=n_in) * .1)

        def encode(self, x):
            P = self.params
            pre = x @ P["We"] + P["be"]
            h = np.where(pre > 0, pre, np.expm1(pre))
            q = h @ P["Wq"] + P["bq"]
            mu, logvar = np.split(q, 2, axis=1)
            return mu, logvar, (pre, h)

        def objective(self, x, eps, beta=1.0):
            P = self.params
            mu, logvar, (pre, h) = self.encode(x)
            std = np.exp(logvar / 2)
            z = mu + std * eps
            pre_d = z @ P["Wd"] + P["bd"]
            hd = np.where(pre_d > 0, pre_d, np.expm1(pre_d))
            logits = hd @ P["Wx"] + P["bx"]
            nll = (np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits)))).sum(1)
            kl_j = 0.5 * (mu ** 2 + np.exp(logvar) - 1 - logvar)
            kl = np.maximum(kl_j, self.lam).sum(1)
            cache = x, eps, beta, mu, logvar, std, pre, h, z, pre_d, hd, logits, kl_j
            return SimpleNamespace(objective=nll + beta * kl), cache

        def backward(self, dobjective, cache):
            x, eps, beta, mu, logvar, std, pre, h, z, pre_d, hd, logits, kl_j = cache
            P, G = self.params, {}
            d = dobjective.reshape(-1, 1)
            dl = d * (1 / (1 + np.exp(-logits)) - x)
            G["Wx"], G["bx"] = hd.T @ dl, dl.sum(0)
            dp = (dl @ P["Wx"].T) * np.where(pre_d > 0, 1.0, np.exp(pre_d))
            G["Wd"], G["bd"] = z.T @ dp, dp.sum(0)
            dz = dp @ P["Wd"].T
            dkl = beta * d * np.ones_like(kl_j)
            dmu = dz + dkl * mu
            dlv = 0.5 * dz * std * eps + dkl * 0.5 * (np.exp(logvar) - 1)
            dq = np.concatenate([dmu, dlv], axis=1)
            G["Wq"], G["bq"] = h.T @ dq, dq.sum(0)
            dp = (dq @ P["Wq"].T) * np.where(pre > 0, 1.0, np.exp(pre))
            G["We"], G["be"] = x.T @ dp, dp.sum(0)
            return G

    rng = np.random.default_rng(21)
    return dict(model=FreeBitsVAE(6, 4, 3), x=rng.integers(0, 2, (5, 6)).astype(float), eps=rng.normal(size=(5, 3)))


ITEMS.append(Item("free_bits_gradient_below_lambda", "paper reimplementation", "gradients", make_free_bits, False,
                  "latents below lambda get the KL's gradient still: dkl must be multiplied by (kl_j > lam)",
                  ("We", "be", "Wq", "bq"), ("elementwise-factor", "missing-term")))


def make_planar():
    class PlanarFlowVAE:
        def __init__(self, D=4, Z=2, H=3, seed=5):
            r = np.random.RandomState(seed)
            self.params = {
                "enc_w": r.randn(D, H) * .6, "enc_b": r.randn(H) * .1,
                "mu_w": r.randn(H, Z) * .6, "mu_b": r.randn(Z) * .1,
                "lv_w": r.randn(H, Z) * .6, "lv_b": r.randn(Z) * .1,
                "flow_u": np.array([0.8, -0.4]), "flow_w": np.array([0.7, 0.5]), "flow_b": np.array([0.3]),
                "dec_w": r.randn(Z, D) * .8, "dec_b": r.randn(D) * .1,
            }

        def objective(self, x, eps, beta=1.0):
            p = self.params
            h = np.tanh(x @ p["enc_w"] + p["enc_b"])
            mu = h @ p["mu_w"] + p["mu_b"]
            lv = h @ p["lv_w"] + p["lv_b"]
            z0 = mu + np.exp(0.5 * lv) * eps
            t = np.tanh(z0 @ p["flow_w"] + p["flow_b"])                 # (B,)
            z1 = z0 + t[:, None] * p["flow_u"]
            det = 1.0 + (1.0 - t ** 2) * (p["flow_u"] @ p["flow_w"])    # (B,)
            logits = z1 @ p["dec_w"] + p["dec_b"]
            nll = np.sum(np.logaddexp(0., logits) - x * logits, 1)
            log_q0 = -0.5 * np.sum(lv + eps ** 2 + np.log(2 * np.pi), 1)
            log_p = -0.5 * np.sum(z1 ** 2 + np.log(2 * np.pi), 1)
            kl = log_q0 - np.log(np.abs(det)) - log_p
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (x, eps, beta, h, lv, z0, t, z1, det, logits)

        def backward(self, dobjective, cache):
            x, eps, beta, h, lv, z0, t, z1, det, logits = cache
            p, g = self.params, {}
            dn = dobjective[:, None]
            dlogits = dn * (1. / (1. + np.exp(-logits)) - x)
            g["dec_w"], g["dec_b"] = z1.T @ dlogits, dlogits.sum(0)
            dz1 = dlogits @ p["dec_w"].T + beta * dn * z1
            # z1 = z0 + u * tanh(w.z0 + b)
            u, w = p["flow_u"], p["flow_w"]
            ddet = -beta * dobjective / det
            dpre = (dz1 @ u) * (1 - t ** 2)
            dpsi = (ddet * (1 - t ** 2)).sum()
            g["flow_u"] = (dz1 * t[:, None]).sum(0) + dpsi * w
            g["flow_w"] = z0.T @ dpre + dpsi * u
            g["flow_b"] = np.array([dpre.sum()])
            dz0 = dz1 + dpre[:, None] * w
            dmu = dz0
            dlv = 0.5 * dz0 * np.exp(0.5 * lv) * eps - 0.5 * beta * dn
            g["mu_w"], g["mu_b"] = h.T @ dmu, dmu.sum(0)
            g["lv_w"], g["lv_b"] = h.T @ dlv, dlv.sum(0)
            dh = (dmu @ p["mu_w"].T + dlv @ p["lv_w"].T) * (1 - h ** 2)
            g["enc_w"], g["enc_b"] = x.T @ dh, dh.sum(0)
            return g

    r = np.random.RandomState(8)
    return dict(model=PlanarFlowVAE(), x=(r.rand(7, 4) < 0.45).astype(np.float64), eps=r.randn(7, 2), beta=1.0)


ITEMS.append(Item("planar_flow_logdet_through_tanh", "research repository", "gradients", make_planar, False,
                  "log|det| depends on z0, w and b by 1 - tanh^2 too: dpre lacks ddet * (u.w) * (-2 t (1 - t^2))",
                  ("flow_w", "flow_b", "enc_w", "enc_b", "mu_w", "mu_b", "lv_w", "lv_b"), ("missing-term",)))


def make_mean_of_upstream():
    Terms = namedtuple("Terms", "objective nll kl")

    class VariationalAutoencoder:
        """Gaussian decoder with one learned noise level (sigma-VAE)."""

        def __init__(self, n_features=5, n_hidden=4, n_latents=2, random_state=0):
            rng = np.random.RandomState(random_state)
            self.params = {"encoder_coefs": rng.normal(scale=.5, size=(n_features, n_hidden)),
                           "encoder_intercepts": rng.normal(scale=.2, size=n_hidden),
                           "latent_coefs": rng.normal(scale=.5, size=(n_hidden, 2 * n_latents)),
                           "latent_intercepts": rng.normal(scale=.2, size=2 * n_latents),
                           "decoder_coefs": rng.normal(scale=.5, size=(n_latents, n_features)),
                           "decoder_intercepts": rng.normal(scale=.2, size=n_features),
                           "log_sigma": np.array(-0.3)}
            self.n_latents = n_latents

        def objective(self, X, eps, beta=1.0):
            P, k = self.params, self.n_latents
            H = np.tanh(X @ P["encoder_coefs"] + P["encoder_intercepts"])
            latent = H @ P["latent_coefs"] + P["latent_intercepts"]
            mean, log_var = latent[:, :k], latent[:, k:]
            Z = mean + np.exp(log_var / 2) * eps
            R = Z @ P["decoder_coefs"] + P["decoder_intercepts"] - X
            ls = P["log_sigma"]
            nll = np.sum(0.5 * R ** 2 * np.exp(-2 * ls) + ls + 0.5 * np.log(2 * np.pi), axis=1)
            kl = 0.5 * np.sum(mean ** 2 + np.exp(log_var) - log_var - 1, axis=1)
            return Terms(nll + beta * kl, nll, kl), (X, eps, beta, H, mean, log_var, Z, R)

        def backward(self, dobjective, cache):
            X, eps, beta, H, mean, log_var, Z, R = cache
            P = self.params
            weight = np.full_like(dobjective, dobjective.mean())[:, None]
            inv_var = np.exp(-2 * P["log_sigma"])
            dR = weight * R * inv_var
            dlog_sigma = np.sum(weight * (1 - R ** 2 * inv_var))
            dZ = dR @ P["decoder_coefs"].T
            dmean = dZ + beta * weight * mean
            dlog_var = 0.5 * dZ * (Z - mean) + 0.5 * beta * weight * (np.exp(log_var) - 1)
            dlatent = np.hstack((dmean, dlog_var))
            dH = dlatent @ P["latent_coefs"].T * (1 - H * H)
            return dict(encoder_coefs=X.T @ dH, encoder_intercepts=dH.sum(0),
                        latent_coefs=H.T @ dlatent, latent_intercepts=dlatent.sum(0),
                        decoder_coefs=Z.T @ dR, decoder_intercepts=dR.sum(0),
                        log_sigma=np.asarray(dlog_sigma))

    rng = np.random.RandomState(42)
    return dict(model=VariationalAutoencoder(), x=rng.normal(size=(6, 5)), eps=rng.normal(size=(6, 2)))


ITEMS.append(Item("sigma_vae_mean_of_dobjective", "scikit-learn-like estimator", "gradients", make_mean_of_upstream, False,
                  "every row is weighted by the mean of dobjective in place of its own dobjective[:, None]",
                  ("encoder_coefs", "encoder_intercepts", "latent_coefs", "latent_intercepts", "decoder_coefs",
                   "decoder_intercepts", "log_sigma"), ("batch-sum",)))


def make_ladder():
    def gaussian_kl(mu_q, lv_q, mu_p, lv_p):
        return 0.5 * np.sum(lv_p - lv_q + (np.exp(lv_q) + (mu_q - mu_p) ** 2) / np.exp(lv_p) - 1, axis=-1)

    class TwoLayerVAE:
        """x -> h -> z2 ~ q(z2|x), z1 ~ q(z1|x); prior p(z2) = N(0, I), p(z1|z2) learned. eps = [eps2, eps1]."""

        def __init__(self, x_dim=4, h_dim=5, z2_dim=1, z1_dim=2):
            rng = np.random.default_rng(77)
            n = lambda *s: rng.normal(0, 0.55, s)
            self.z2_dim = z2_dim
            self.params = {"W_h": n(x_dim, h_dim), "b_h": n(h_dim),
                           "W_q2m": n(h_dim, z2_dim), "W_q2v": n(h_dim, z2_dim),
                           "W_q1m": n(h_dim, z1_dim), "W_q1v": n(h_dim, z1_dim),
                           "W_pm": n(z2_dim, z1_dim), "b_pm": n(z1_dim), "W_pv": n(z2_dim, z1_dim), "b_pv": n(z1_dim),
                           "W_x": n(z1_dim, x_dim), "b_x": n(x_dim)}

        def objective(self, x, eps, beta=1.0):
            p = self.params
            e2, e1 = eps[:, :self.z2_dim], eps[:, self.z2_dim:]
            h = np.tanh(x @ p["W_h"] + p["b_h"])
            m2, v2 = h @ p["W_q2m"], h @ p["W_q2v"]
            m1, v1 = h @ p["W_q1m"], h @ p["W_q1v"]
            z2 = m2 + np.exp(v2 / 2) * e2
            z1 = m1 + np.exp(v1 / 2) * e1
            pm, pv = z2 @ p["W_pm"] + p["b_pm"], z2 @ p["W_pv"] + p["b_pv"]
            a = z1 @ p["W_x"] + p["b_x"]
            nll = np.sum(np.logaddexp(0, a) - x * a, axis=-1)
            kl = gaussian_kl(m2, v2, 0.0, np.zeros_like(v2)) + gaussian_kl(m1, v1, pm, pv)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), \
                (x, e2, e1, beta, h, m2, v2, m1, v1, z2, z1, pm, pv, a)

        def backward(self, dobjective, cache):
            x, e2, e1, beta, h, m2, v2, m1, v1, z2, z1, pm, pv, a = cache
            p = self.params
            g = dobjective[:, None]
            da = g * (1 / (1 + np.exp(-a)) - x)
            dz1 = da @ p["W_x"].T
            diff = m1 - pm
            prec = np.exp(-pv)
            dpm = beta * g * diff * prec
            dpv = beta * g * 0.5 * (1 - (np.exp(v1) + diff ** 2) * prec)
            dz2 = dpm @ p["W_pm"].T + dpv @ p["W_pv"].T
            dm1 = dz1 + beta * g * diff * prec
            dv1 = dz1 * 0.5 * np.exp(v1 / 2) * e1 + beta * g * 0.5 * (np.exp(v1) * prec - 1)
            dm2 = dz2 + beta * g * m2
            dv2 = dz2 * 0.5 * np.exp(v2 / 2) * e2 + beta * g * 0.5 * (np.exp(v2) - 1)
            dh = dm1 @ p["W_q1m"].T + dv1 @ p["W_q1v"].T + dm2 @ p["W_q2m"].T + dv2 @ p["W_q2v"].T
            dh *= 1 - h ** 2
            return {"W_h": x.T @ dh, "b_h": dh.sum(0),
                    "W_q2m": h.T @ dm2, "W_q2v": h.T @ dv2, "W_q1m": h.T @ dm1, "W_q1v": h.T @ dv1,
                    "W_pm": z2.T @ dpm, "b_pm": dpm.sum(0), "W_pv": z2.T @ dpv, "b_pv": dpv.sum(0),
                    "W_x": z1.T @ da, "b_x": da.sum(0)}

    rng = np.random.default_rng(78)
    return dict(model=TwoLayerVAE(), x=(rng.random((5, 4)) < .5) * 1.0, eps=rng.normal(size=(5, 3)), beta=1.3)


ITEMS.append(Item("ladder_prior_mean_sign", "research repository", "gradients", make_ladder, False,
                  "the KL falls with the prior's mean as it rises with the posterior's: dpm = -beta g diff prec",
                  ("W_pm", "b_pm", "W_h", "b_h", "W_q2m", "W_q2v"), ("sign",)))


def make_grad_tape():
    class Parameter:
        def __init__(self, store, name, data):
            self.store, self.name = store, name
            store[name] = data
            self.grad = np.zeros_like(data)

        @property
        def data(self):
            return self.store[self.name]

    class Linear:
        def __init__(self, store, name, n_in, n_out, rng):
            self.w = Parameter(store, name + ".w", rng.uniform(-1, 1, (n_in, n_out)) / n_in ** 0.5)
            self.b = Parameter(store, name + ".b", rng.uniform(-1, 1, n_out) / n_in ** 0.5)

        def __call__(self, x):
            return x @ self.w.data + self.b.data

        def backprop(self, x, out_grad):
            self.w.grad += x.T @ out_grad
            self.b.grad += out_grad.sum(0)
            return out_grad @ self.w.data.T

        def parameters(self):
            return [self.w, self.b]

    class TinyVAE:
        def __init__(self):
            rng = np.random.default_rng(1337)
            self.params = {}
            self.enc = Linear(self.params, "enc", 5, 4, rng)
            self.mu = Linear(self.params, "mu", 4, 2, rng)
            self.logvar = Linear(self.params, "logvar", 4, 2, rng)
            self.dec = Linear(self.params, "dec", 2, 5, rng)

        def parameters(self):
            return [q for layer in (self.enc, self.mu, self.logvar, self.dec) for q in layer.parameters()]

        def zero_grad(self):
            for q in self.parameters():
                q.grad = np.zeros_like(q.data)

        def encode(self, x):
            h = np.maximum(self.enc(x), 0)
            return self.mu(h), self.logvar(h), h

        def objective(self, x, eps, beta=1.0):
            mu, logvar, h = self.encode(x)
            z = mu + np.exp(0.5 * logvar) * eps
            y = self.dec(z)
            nll = (np.maximum(y, 0) - y * x + np.log1p(np.exp(-abs(y)))).sum(1)
            kl = 0.5 * (np.exp(logvar) + mu ** 2 - 1 - logvar).sum(1)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (x, eps, beta, mu, logvar, h, z, y)

        def backward(self, dobjective, cache):
            x, eps, beta, mu, logvar, h, z, y = cache
            d = dobjective[:, None]
            dz = self.dec.backprop(z, d * (1 / (1 + np.exp(-y)) - x))
            dmu = dz + d * beta * mu
            dlogvar = 0.5 * (dz * eps * np.exp(0.5 * logvar) + d * beta * (np.exp(logvar) - 1))
            dh = self.mu.backprop(h, dmu) + self.logvar.backprop(h, dlogvar)
            self.enc.backprop(x, dh * (h > 0))
            return {q.name: q.grad.copy() for q in self.parameters()}

    rng = np.random.default_rng(4)
    return dict(model=TinyVAE(), x=(rng.random((6, 5)) > .4).astype(float), eps=rng.normal(size=(6, 2)))


ITEMS.append(Item("tiny_vae_never_zeroes_grad", "micrograd-style blog post", "gradients", make_grad_tape, False,
                  "backward adds to .grad of the call before: self.zero_grad() is never called",
                  ("enc.w", "enc.b", "mu.w", "mu.b", "logvar.w", "logvar.b", "dec.w", "dec.b"), ("accumulates",)))


def make_gmm():
    class GaussianMixtureSGD:
        """Mixture of diagonal Gaussians fitted by gradient: -log sum_k pi_k N(x; mu_k, exp(logvar_k)). No noise."""

        def __init__(self, n_components=3, n_features=2, seed=9):
            rs = np.random.RandomState(seed)
            self.params = dict(weight_logits_=rs.randn(n_components),
                               means_=1.5 * rs.randn(n_components, n_features),
                               log_vars_=0.4 * rs.randn(n_components, n_features))

        def _estimate_log_prob(self, X):
            P = self.params
            diff = X[:, None, :] - P["means_"]
            maha = diff ** 2 * np.exp(-P["log_vars_"])
            return -0.5 * (maha + P["log_vars_"] + np.log(2 * np.pi)).sum(-1), diff

        def objective(self, X, eps=None, beta=1.0):
            logits = self.params["weight_logits_"]
            log_pi = logits - logsumexp(logits)
            log_prob, diff = self._estimate_log_prob(X)
            weighted = log_prob + log_pi
            log_norm = logsumexp(weighted, axis=1)
            log_resp = weighted - log_norm[:, None]
            return SimpleNamespace(objective=-log_norm), (np.exp(log_resp), diff, np.exp(log_pi))

        def backward(self, dobjective, cache):
            resp, diff, pi = cache
            r = resp * dobjective[:, None]
            inv = np.exp(-self.params["log_vars_"])
            return {"weight_logits_": -r.sum(axis=0),
                    "means_": -(r[:, :, None] * diff * inv).sum(0),
                    "log_vars_": 0.5 * (r[:, :, None] * (1 - diff ** 2 * inv)).sum(0)}

    rs = np.random.RandomState(10)
    return dict(model=GaussianMixtureSGD(), x=1.3 * rs.randn(7, 2), eps=rs.randn(7, 1))


ITEMS.append(Item("gmm_logits_without_softmax_term", "scikit-learn-like estimator", "gradients", make_gmm, False,
                  "the logits' gradient lacks the normaliser's part: sum_b dobjective_b (pi - resp)",
                  ("weight_logits_",), ("missing-term",)))


def make_ppca():
    class PPCA:
        # Tipping & Bishop: x ~ N(m, W W' + s2 I), marginal likelihood in closed form
        def __init__(self, D=5, q=2):
            rng = np.random.default_rng(99)
            self.params = {"W": rng.normal(size=(D, q)), "m": rng.normal(size=D) * 0.3, "log_s2": np.array([-0.4])}

        def objective(self, x, eps=None, beta=1.0):
            W, m, s2 = self.params["W"], self.params["m"], np.exp(self.params["log_s2"][0])
            D = W.shape[0]
            C = W @ W.T + s2 * np.eye(D)
            Cinv = np.linalg.inv(C)
            xc = x - m
            a = xc @ Cinv
            _, logdet = np.linalg.slogdet(C)
            nll = 0.5 * (D * np.log(2 * np.pi) + logdet + np.sum(a * xc, axis=1))
            return SimpleNamespace(objective=nll), (a, Cinv, s2)

        def backward(self, dobjective, cache):
            a, Cinv, s2 = cache
            dC = 0.5 * (dobjective.sum() * Cinv - (a * dobjective[:, None]).T @ a)
            return {"W": dC @ self.params["W"],
                    "m": -(a * dobjective[:, None]).sum(0),
                    "log_s2": np.array([np.trace(dC) * s2])}

    return dict(model=PPCA(), x=np.random.default_rng(100).normal(size=(6, 5)) * 1.4, eps=np.random.default_rng(101).normal(size=(6, 2)))


ITEMS.append(Item("ppca_gradient_of_WWt", "lecture notebook", "gradients", make_ppca, False,
                  "C = W W' holds W twice: dW = 2 dC W (dC is symmetric)", ("W",), ("factor",)))


def make_full_covariance():
    class FullCovVAE:
        """q(z|x) = N(mu, L L'), L lower triangular with exp on its diagonal; Poisson decoder."""

        def __init__(self, nx=4, nh=4, nz=3):
            rs = np.random.RandomState(1312)
            self.nz = nz
            self.rows, self.cols = np.tril_indices(nz)
            nl = len(self.rows)
            self.params = {"enc/W": 0.3 * rs.randn(nx, nh), "enc/b": 0.2 * rs.randn(nh),
                           "mu/W": 0.5 * rs.randn(nh, nz), "mu/b": 0.2 * rs.randn(nz),
                           "chol/W": 0.4 * rs.randn(nh, nl), "chol/b": 0.3 * rs.randn(nl),
                           "dec/W": 0.5 * rs.randn(nz, nx), "dec/b": 0.2 * rs.randn(nx)}

        def _posterior(self, x):
            p = self.params
            h = np.tanh(x @ p["enc/W"] + p["enc/b"])
            mu = h @ p["mu/W"] + p["mu/b"]
            raw = h @ p["chol/W"] + p["chol/b"]
            L = np.zeros((len(x), self.nz, self.nz))
            L[:, self.rows, self.cols] = raw
            k = np.arange(self.nz)
            L[:, k, k] = np.exp(L[:, k, k])
            return h, mu, L

        def objective(self, x, eps, beta=1.0):
            p = self.params
            h, mu, L = self._posterior(x)
            z = mu + np.einsum("bij,bj->bi", L, eps)
            log_rate = z @ p["dec/W"] + p["dec/b"]
            nll = (np.exp(log_rate) - x * log_rate + gammaln(x + 1)).sum(1)
            logdiag = np.log(np.einsum("bii->bi", L)).sum(1)
            kl = 0.5 * ((L ** 2).sum((1, 2)) + (mu ** 2).sum(1) - self.nz) - logdiag
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (x, eps, beta, h, mu, L, z, log_rate)

        def backward(self, dobjective, cache):
            x, eps, beta, h, mu, L, z, log_rate = cache
            p, k = self.params, np.arange(self.nz)
            d_lr = (np.exp(log_rate) - x) * dobjective[:, None]
            dz = d_lr @ p["dec/W"].T
            dmu = dz + beta * dobjective[:, None] * mu
            dL = np.einsum("bi,bj->bij", eps, dz)
            dL = dL + beta * dobjective[:, None, None] * L
            diag = L[:, k, k]
            dL[:, k, k] = dL[:, k, k] * diag - beta * dobjective[:, None]
            draw = dL[:, self.rows, self.cols]
            dh = dmu @ p["mu/W"].T + draw @ p["chol/W"].T
            da = dh * (1 - h ** 2)
            return {"enc/W": x.T @ da, "enc/b": da.sum(0), "mu/W": h.T @ dmu, "mu/b": dmu.sum(0),
                    "chol/W": h.T @ draw, "chol/b": draw.sum(0), "dec/W": z.T @ d_lr, "dec/b": d_lr.sum(0)}

    rs = np.random.RandomState(1313)
    return dict(model=FullCovVAE(), x=rs.poisson(1.5, size=(5, 4)).astype(float), eps=rs.randn(5, 3))


ITEMS.append(Item("full_covariance_outer_product", "TF1 port with slashed names", "gradients", make_full_covariance, False,
                  "dL is the outer product the other way round: einsum('bi,bj->bij', dz, eps)",
                  ("chol/W", "chol/b", "enc/W", "enc/b"), ("transpose",)))


# ------------------------------------------------------------------ gradients, right


def make_layernorm_right():
    class LayerNormVAE:
        """Keras-like: Dense -> LayerNormalization -> gelu -> two heads; heteroscedastic Gaussian decoder."""

        def __init__(self, d=4, h=5, z=2, epsilon=1e-3):
            r = np.random.default_rng(2024)
            glorot = lambda a, b: r.uniform(-1, 1, (a, b)) * np.sqrt(6 / (a + b))
            self.epsilon = epsilon
            self.params = {"dense/kernel": glorot(d, h), "dense/bias": r.normal(size=h) * .2,
                           "ln/gamma": 1 + .3 * r.normal(size=h), "ln/beta": .2 * r.normal(size=h),
                           "z_mean/kernel": glorot(h, z), "z_log_var/kernel": glorot(h, z),
                           "out/kernel": .6 * glorot(z, 2 * d), "out/bias": .2 * r.normal(size=2 * d)}

        def encode(self, x):
            p = self.params
            a = x @ p["dense/kernel"] + p["dense/bias"]
            c = a - a.mean(-1, keepdims=True)
            inv = 1 / np.sqrt((c ** 2).mean(-1, keepdims=True) + self.epsilon)
            n = c * inv
            y = n * p["ln/gamma"] + p["ln/beta"]
            s = 1 / (1 + np.exp(-1.702 * y))
            h = y * s
            return h @ p["z_mean/kernel"], h @ p["z_log_var/kernel"], (inv, n, y, s, h)

        def objective(self, x, eps, beta=1.0):
            p, d = self.params, x.shape[1]
            m, lv, enc = self.encode(x)
            z = m + np.exp(.5 * lv) * eps
            o = z @ p["out/kernel"] + p["out/bias"]
            rec, rlv = o[:, :d], o[:, d:]
            nll = .5 * ((x - rec) ** 2 * np.exp(-rlv) + rlv + np.log(2 * np.pi)).sum(-1)
            kl = -.5 * (1 + lv - m ** 2 - np.exp(lv)).sum(-1)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (x, eps, beta, m, lv, enc, z, rec, rlv)

        def backward(self, dobjective, cache):
            x, eps, beta, m, lv, (inv, n, y, s, h), z, rec, rlv = cache
            p, g = self.params, {}
            w = dobjective[:, None]
            e = (rec - x) * np.exp(-rlv)
            do = np.concatenate([w * e, .5 * w * (1 - e * (rec - x))], -1)
            g["out/kernel"], g["out/bias"] = z.T @ do, do.sum(0)
            dz = do @ p["out/kernel"].T
            dm = dz + w * beta * m
            dlv = .5 * (dz * (z - m) - w * beta * (1 - np.exp(lv)))
            g["z_mean/kernel"], g["z_log_var/kernel"] = h.T @ dm, h.T @ dlv
            dy = (dm @ p["z_mean/kernel"].T + dlv @ p["z_log_var/kernel"].T) * s * (1 + 1.702 * y * (1 - s))
            g["ln/gamma"], g["ln/beta"] = (dy * n).sum(0), dy.sum(0)
            dn = dy * p["ln/gamma"]
            da = inv * (dn - dn.mean(-1, keepdims=True) - n * (dn * n).mean(-1, keepdims=True))
            g["dense/kernel"], g["dense/bias"] = x.T @ da, da.sum(0)
            return g

    r = np.random.default_rng(2025)
    return dict(model=LayerNormVAE(), x=r.normal(size=(6, 4)), eps=r.normal(size=(6, 2)), beta=0.6)


ITEMS.append(Item("layernorm_vae", "Keras layer port", "gradients", make_layernorm_right, True))


def make_mixture_prior_right():
    def init(seed=0, D=4, H=4, Z=2, K=3):
        r = np.random.RandomState(seed)
        return {"W0": r.randn(D, H) * .5, "b0": r.randn(H) * .1, "W1": r.randn(H, 2 * Z) * .5, "b1": r.randn(2 * Z) * .1,
                "W2": r.randn(Z, D) * .8, "b2": r.randn(D) * .1,
                "prior_logits": r.randn(K), "prior_mu": r.randn(K, Z), "prior_logvar": .4 * r.randn(K, Z)}

    def forward(params, x, eps, beta):
        h = np.tanh(x @ params["W0"] + params["b0"])
        mu, logvar = np.split(h @ params["W1"] + params["b1"], 2, axis=-1)
        z = mu + np.exp(logvar / 2) * eps
        logits = z @ params["W2"] + params["b2"]
        nll = np.sum(np.logaddexp(0, logits) - x * logits, -1)
        delta = z[:, None] - params["prior_mu"]
        comp = params["prior_logits"] - .5 * np.sum(
            params["prior_logvar"] + delta ** 2 * np.exp(-params["prior_logvar"]) + np.log(2 * np.pi), -1)
        log_p = logsumexp(comp, axis=-1) - logsumexp(params["prior_logits"])
        log_q = -.5 * np.sum(logvar + eps ** 2 + np.log(2 * np.pi), -1)
        kl = log_q - log_p
        return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (x, eps, beta, h, mu, logvar, z, logits, delta, comp)

    def vjp(params, ct, res):
        x, eps, beta, h, mu, logvar, z, logits, delta, comp = res
        ct_kl = beta * ct
        r = np.exp(comp - logsumexp(comp, axis=-1, keepdims=True)) * ct_kl[:, None]
        iv = np.exp(-params["prior_logvar"])
        pi = np.exp(params["prior_logits"] - logsumexp(params["prior_logits"]))
        scaled = r[..., None] * delta * iv
        g_logits = ct[:, None] * (1 / (1 + np.exp(-logits)) - x)
        g_z = g_logits @ params["W2"].T + scaled.sum(1)
        # log q(z) along the path of the sample is -logvar / 2 + a constant
        g_logvar = .5 * g_z * (z - mu) - .5 * ct_kl[:, None]
        g_out = np.concatenate([g_z, g_logvar], -1)
        g_h = g_out @ params["W1"].T * (1 - h ** 2)
        return {"W0": x.T @ g_h, "b0": g_h.sum(0), "W1": h.T @ g_out, "b1": g_out.sum(0),
                "W2": z.T @ g_logits, "b2": g_logits.sum(0),
                "prior_logits": ct_kl.sum() * pi - r.sum(0), "prior_mu": -scaled.sum(0),
                "prior_logvar": .5 * (r[..., None] * (1 - delta ** 2 * iv)).sum(0)}

    params = init()
    model = SimpleNamespace(params=params,
                            objective=lambda x, eps, beta=1.0: forward(params, x, eps, beta),
                            backward=lambda dobjective, cache: vjp(params, dobjective, cache))
    r = np.random.RandomState(2)
    return dict(model=model, x=(r.rand(6, 4) > .5) * 1., eps=r.randn(6, 2), beta=1.0)


ITEMS.append(Item("mixture_prior_vae", "JAX-style pure functions", "gradients", make_mixture_prior_right, True))


def make_topic_model_right():
    class ProdLDA:
        """Logistic-normal topic model: theta = softmax(z), word probabilities softmax(theta B)."""

        def __init__(self, vocab=6, topics=3, hidden=4):
            g = np.random.default_rng(17)
            self.params = {"fc.weight": g.normal(size=(hidden, vocab)) * .3, "fc.bias": g.normal(size=hidden) * .1,
                           "mean.weight": g.normal(size=(topics, hidden)) * .5, "mean.bias": g.normal(size=topics) * .1,
                           "lvar.weight": g.normal(size=(topics, hidden)) * .5, "lvar.bias": g.normal(size=topics) * .1,
                           "beta.weight": g.normal(size=(vocab, topics))}
            a = 0.7
            # Laplace approximation of the Dirichlet prior (Srivastava & Sutton)
            self.prior_var = 1 / a * (1 - 2 / topics) + 1 / (a * topics)

        def objective(self, x, eps, beta=1.0):
            w = self.params
            h = np.logaddexp(0, x @ w["fc.weight"].T + w["fc.bias"])
            m = h @ w["mean.weight"].T + w["mean.bias"]
            lv = h @ w["lvar.weight"].T + w["lvar.bias"]
            z = m + np.exp(.5 * lv) * eps
            theta = np.exp(z - logsumexp(z, axis=1, keepdims=True))
            s = theta @ w["beta.weight"].T
            logp = s - logsumexp(s, axis=1, keepdims=True)
            nll = -(x * logp).sum(1)
            v = self.prior_var
            kl = .5 * ((np.exp(lv) + m ** 2) / v - 1 + np.log(v) - lv).sum(1)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (x, eps, beta, h, m, lv, z, theta, logp)

        def backward(self, dobjective, cache):
            x, eps, beta, h, m, lv, z, theta, logp = cache
            w, d = self.params, dobjective[:, None]
            ds = d * (np.exp(logp) * x.sum(1, keepdims=True) - x)
            dtheta = ds @ w["beta.weight"]
            dz = theta * (dtheta - (theta * dtheta).sum(1, keepdims=True))
            dm = dz + beta * d * m / self.prior_var
            dlv = .5 * dz * np.exp(.5 * lv) * eps + .5 * beta * d * (np.exp(lv) / self.prior_var - 1)
            dh = dm @ w["mean.weight"] + dlv @ w["lvar.weight"]
            dpre = dh * (1 - np.exp(-h))   # the slope of softplus out of its value
            return {"fc.weight": dpre.T @ x, "fc.bias": dpre.sum(0), "mean.weight": dm.T @ h, "mean.bias": dm.sum(0),
                    "lvar.weight": dlv.T @ h, "lvar.bias": dlv.sum(0), "beta.weight": ds.T @ theta}

    g = np.random.default_rng(18)
    return dict(model=ProdLDA(), x=g.poisson(1.0, (5, 6)).astype(float), eps=g.normal(size=(5, 3)))


ITEMS.append(Item("prodlda", "PyTorch port", "gradients", make_topic_model_right, True))


def make_tied_right():
    class TiedVAE(object):
        def __init__(self):
            rng = np.random.RandomState(123)
            self.params = {"W": rng.uniform(-.8, .8, (5, 3)), "hbias": rng.uniform(-.3, .3, 3), "vbias": rng.uniform(-.3, .3, 5),
                           "V": rng.uniform(-.8, .8, (3, 2)), "S": rng.uniform(-.8, .8, (3, 2))}

        def objective(self, v, eps, beta=1.0):
            W, V, S = self.params["W"], self.params["V"], self.params["S"]
            h = np.tanh(np.dot(v, W) + self.params["hbias"])
            mu, logvar = np.dot(h, V), np.dot(h, S)
            z = mu + np.exp(.5 * logvar) * eps
            # decoder shares V and W with the encoder
            k = np.tanh(np.dot(z, V.T))
            act = np.dot(k, W.T) + self.params["vbias"]
            nll = np.sum(np.logaddexp(0, act) - v * act, axis=1)
            kl = -.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), (v, eps, beta, h, mu, logvar, z, k, act)

        def backward(self, dobjective, cache):
            v, eps, beta, h, mu, logvar, z, k, act = cache
            W, V, S = self.params["W"], self.params["V"], self.params["S"]
            c = dobjective.reshape((-1, 1))
            delta = c * (1. / (1. + np.exp(-act)) - v)
            gW = np.dot(delta.T, k)
            gvbias = delta.sum(axis=0)
            dk = np.dot(delta, W) * (1. - k ** 2)
            gV = np.dot(dk.T, z)
            dz = np.dot(dk, V)
            dmu = dz + beta * c * mu
            dlv = .5 * (dz * np.exp(.5 * logvar) * eps + beta * c * np.expm1(logvar))
            gV += np.dot(h.T, dmu)
            dh = (np.dot(dmu, V.T) + np.dot(dlv, S.T)) * (1. - h ** 2)
            gW += np.dot(v.T, dh)
            return {"W": gW, "hbias": dh.sum(axis=0), "vbias": gvbias, "V": gV, "S": np.dot(h.T, dlv)}

    rng = np.random.RandomState(124)
    return dict(model=TiedVAE(), x=rng.binomial(1, .5, (7, 5)).astype(float), eps=rng.normal(size=(7, 2)), beta=2.0)


ITEMS.append(Item("tied_weights_vae", "Theano deep-learning tutorial port", "gradients", make_tied_right, True))


def make_scvi_right():
    class CountVAE:
        """scVI-like: log1p input, library size, softmax frequencies, negative binomial with gene-wise dispersion."""

        def __init__(self, n_genes=4, n_hidden=4, n_latent=2):
            r = np.random.default_rng(31)
            self.params = {"px_r": r.normal(size=n_genes) * .4,
                           "enc_w": r.normal(size=(n_genes, n_hidden)) * .4, "enc_b": r.normal(size=n_hidden) * .1,
                           "qz_m": r.normal(size=(n_hidden, n_latent)) * .5, "qz_v": r.normal(size=(n_hidden, n_latent)) * .5,
                           "px_w": r.normal(size=(n_latent, n_genes)), "px_b": r.normal(size=n_genes) * .3}

        def objective(self, x, eps, beta=1.0):
            p = self.params
            library = x.sum(1, keepdims=True)
            x_ = np.log1p(x)
            pre = x_ @ p["enc_w"] + p["enc_b"]
            h = np.where(pre > 0, pre, 0.1 * pre)
            qm, qv = h @ p["qz_m"], h @ p["qz_v"]
            z = qm + np.sqrt(np.exp(qv)) * eps
            s = z @ p["px_w"] + p["px_b"]
            scale = np.exp(s - logsumexp(s, axis=1, keepdims=True))
            rate, theta = library * scale, np.exp(p["px_r"])
            ll = (gammaln(x + theta) - gammaln(theta) - gammaln(x + 1)
                  + theta * np.log(theta / (theta + rate)) + x * np.log(rate / (theta + rate)))
            nll = -ll.sum(1)
            kl = .5 * (np.exp(qv) + qm ** 2 - 1 - qv).sum(1)
            return SimpleNamespace(objective=nll + beta * kl, nll=nll, kl=kl), \
                dict(x=x, x_=x_, eps=eps, beta=beta, pre=pre, h=h, qm=qm, qv=qv, z=z, scale=scale, rate=rate, theta=theta)

        def backward(self, dobjective, cache):
            c, p = SimpleNamespace(**cache), self.params
            w = dobjective[:, None]
            tot = c.theta + c.rate
            dtheta = -(digamma(c.x + c.theta) - digamma(c.theta) + np.log(c.theta / tot) + 1 - (c.theta + c.x) / tot)
            # (x + theta) / tot - x / rate, times rate: the softmax's logits next
            drate_rate = (c.x + c.theta) / tot * c.rate - c.x
            ds = w * (drate_rate - c.scale * drate_rate.sum(1, keepdims=True))
            dz = ds @ p["px_w"].T
            dqm = dz + w * c.beta * c.qm
            dqv = .5 * (dz * (c.z - c.qm) + w * c.beta * (np.exp(c.qv) - 1))
            dpre = (dqm @ p["qz_m"].T + dqv @ p["qz_v"].T) * np.where(c.pre > 0, 1, 0.1)
            return {"px_r": (w * dtheta).sum(0) * c.theta, "enc_w": c.x_.T @ dpre, "enc_b": dpre.sum(0),
                    "qz_m": c.h.T @ dqm, "qz_v": c.h.T @ dqv, "px_w": c.z.T @ ds, "px_b": ds.sum(0)}

    r = np.random.default_rng(32)
    return dict(model=CountVAE(), x=1.0 + r.poisson(3.0, (6, 4)), eps=r.normal(size=(6, 2)))


ITEMS.append(Item("scvi_negative_binomial", "single-cell research package", "gradients", make_scvi_right, True))


def make_factor_analysis_right():
    class FactorAnalysis:
        """Marginal likelihood by the Woodbury identity, noise psi per feature."""

        def __init__(self):
            rng = np.random.default_rng(55)
            self.params = {"Lambda": rng.normal(size=(6, 2)), "log_psi": .3 * rng.normal(size=6), "mean": .4 * rng.normal(size=6)}

        def objective(self, x, eps=None, beta=1.0):
            Lam, psi = self.params["Lambda"], np.exp(self.params["log_psi"])
            r = x - self.params["mean"]
            A = Lam / psi[:, None]
            M = np.eye(Lam.shape[1]) + Lam.T @ A
            Ez = np.linalg.solve(M, A.T @ r.T).T
            quad = (r ** 2 / psi).sum(1) - ((r @ A) * Ez).sum(1)
            logdet = np.linalg.slogdet(M)[1] + self.params["log_psi"].sum()
            nll = .5 * (quad + logdet + x.shape[1] * np.log(2 * np.pi))
            return SimpleNamespace(objective=nll), (r, Ez, A, M, psi)

        def backward(self, dobjective, cache):
            r, Ez, A, M, psi = cache
            Lam = self.params["Lambda"]
            a = (r - Ez @ Lam.T) / psi                   # C^-1 r
            d = dobjective[:, None]
            Minv_At = np.linalg.solve(M, A.T)
            CinvLam = Minv_At.T                          # C^-1 Lam = Psi^-1 Lam M^-1
            Cinv_diag = 1 / psi - (A * CinvLam).sum(1)
            return {"Lambda": dobjective.sum() * CinvLam - a.T @ (d * Ez),
                    "log_psi": .5 * psi * (dobjective.sum() * Cinv_diag - (d * a ** 2).sum(0)),
                    "mean": -(d * a).sum(0)}

    rng = np.random.default_rng(56)
    return dict(model=FactorAnalysis(), x=rng.normal(size=(7, 6)), eps=rng.normal(size=(7, 2)))


ITEMS.append(Item("factor_analysis_woodbury", "lecture notebook", "gradients", make_factor_analysis_right, True))


# ------------------------------------------------------------------ sampler


def _posterior(seed, B, Z):
    r = np.random.RandomState(seed)
    return dict(mu=r.randn(B, Z), logvar=0.8 * r.randn(B, Z) - 0.3)


def make_sampler_softplus():
    def reparameterize(mu, logvar, eps):
        sigma = np.log1p(np.exp(logvar))
        return mu + sigma * eps

    return dict(sampler=reparameterize, **_posterior(1, 5, 3))


ITEMS.append(Item("reparameterize_softplus", "TensorFlow Probability tutorial port", "sampler", make_sampler_softplus, False,
                  "softplus of a log-variance is no standard deviation: exp(logvar / 2)", ("z",), ("elementwise-factor",)))


def make_sampler_redrawn():
    class Sampling:
        """Uses (z_mean, z_log_var) to sample z, the vector encoding a digit."""

        def __init__(self, seed=None):
            self.rng = np.random.default_rng(seed)

        def call(self, z_mean, z_log_var, epsilon=None):
            batch, dim = z_mean.shape
            epsilon = self.rng.normal(size=(batch, dim))
            return z_mean + np.exp(0.5 * z_log_var) * epsilon

    return dict(sampler=Sampling().call, **_posterior(2, 4, 2))


ITEMS.append(Item("keras_sampling_redraws", "Keras layer port", "sampler", make_sampler_redrawn, False,
                  "epsilon is drawn anew though it is an argument: only if epsilon is None", ("z",), ("noise-redrawn",)))


def make_sampler_shared_row():
    def sample_latent(mu, logvar, eps):
        """mu, logvar: (N, Z). Returns z (N, Z) and the cache of the backward."""
        N, Z = mu.shape
        std = np.exp(logvar / 2)
        noise = eps[0].reshape(1, Z)
        z = mu + std * noise
        return z, (std, noise)

    return dict(sampler=sample_latent, **_posterior(3, 6, 2))


ITEMS.append(Item("one_noise_for_the_batch", "CS231n assignment", "sampler", make_sampler_shared_row, False,
                  "the first row's noise serves the whole batch: noise = eps", ("z",), ("batch-sum", "shape", "elementwise-factor")))


def make_sampler_inplace():
    def rsample(mu, logvar, eps):
        std = np.exp(logvar * 0.5)
        # eps.mul(std).add_(mu)
        eps *= std
        eps += mu
        return eps

    return dict(sampler=rsample, **_posterior(4, 5, 2))


ITEMS.append(Item("rsample_inplace", "PyTorch port", "sampler", make_sampler_inplace, False,
                  "mul is written as *=: the caller's eps is overwritten; return eps * std + mu", ("eps",), ("mutates-input",)))


def make_sampler_eval_mode():
    class LatentSampler:
        def __init__(self):
            self.training = False

        def train(self, mode=True):
            self.training = mode
            return self

        def __call__(self, mu, logvar, eps):
            if not self.training:
                return mu.copy()
            return mu + np.exp(.5 * logvar) * eps

    return dict(sampler=LatentSampler(), **_posterior(5, 4, 3))


ITEMS.append(Item("sampler_left_in_eval_mode", "original VAE example in PyTorch, ported", "sampler", make_sampler_eval_mode, False,
                  "training starts as False, so the noise never enters: self.training = True", ("z",), ("zero", "missing-term")))


def make_sampler_temperature():
    def encode_sample(m, log_v, e, temperature=0.7):
        s = np.sqrt(np.exp(log_v))
        return m + temperature * s * e

    return dict(sampler=encode_sample, **_posterior(6, 5, 2))


ITEMS.append(Item("generation_temperature_kept", "research repository", "sampler", make_sampler_temperature, False,
                  "the temperature for generating pictures stays on in training: temperature=1.0", ("z",),
                  ("factor", "elementwise-factor")))


def make_sampler_precision_right():
    def gaussian_sample(mean, logvar, unit_noise):
        precision = np.exp(-logvar)
        return mean + unit_noise / np.sqrt(precision), {"precision": precision}

    return dict(sampler=gaussian_sample, **_posterior(7, 5, 2))


ITEMS.append(Item("sampler_by_precision", "lecture notebook", "sampler", make_sampler_precision_right, True))


def make_sampler_cholesky_right():
    def mvn_diag_sample(mu, logvar, eps):
        B, Z = mu.shape
        scale_tril = np.zeros((B, Z, Z))
        idx = np.arange(Z)
        scale_tril[:, idx, idx] = np.exp(logvar) ** 0.5
        return (scale_tril @ eps[..., None])[..., 0] + mu

    return dict(sampler=mvn_diag_sample, **_posterior(8, 4, 3))


ITEMS.append(Item("sampler_by_cholesky", "TensorFlow Probability tutorial port", "sampler", make_sampler_cholesky_right, True))


def make_sampler_layer_right():
    class Reparameterize:
        def forward(self, mu, logvar, eps):
            self.std = np.exp(logvar)
            np.sqrt(self.std, out=self.std)
            self.eps = eps
            z = np.empty_like(mu)
            np.multiply(self.std, eps, out=z)
            z += mu
            return z

        def backward(self, dz):
            return dz, 0.5 * dz * self.eps * self.std

        __call__ = forward

    return dict(sampler=Reparameterize(), **_posterior(9, 6, 2))


ITEMS.append(Item("sampler_layer_with_out", "numpy layer library", "sampler", make_sampler_layer_right, True))


# ------------------------------------------------------------------ evidence, wrong


def make_evidence_pixel_mean():
    class VAE:
        def __init__(self, x_dim=4, z_dim=2):
            rng = np.random.default_rng(61)
            self.We, self.be = rng.normal(size=(x_dim, 2 * z_dim)) * .5, rng.normal(size=2 * z_dim) * .2
            self.Wd, self.bd = rng.normal(size=(z_dim, x_dim)), rng.normal(size=x_dim) * .4

        def encode(self, x):
            h = x @ self.We + self.be
            return h[:, :h.shape[1] // 2], h[:, h.shape[1] // 2:], None

        def decode(self, z):
            return z @ self.Wd + self.bd, None

        def objective(self, x, eps):
            mu, logvar, _ = self.encode(x)
            logits, _ = self.decode(mu + np.exp(.5 * logvar) * eps)
            bce = np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits)))
            nll = bce.mean(axis=-1)
            kl = -.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=-1)
            return SimpleNamespace(elbo=-(nll + kl), nll=nll, kl=kl), None

    return dict(model=VAE(), x=np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1], [0, 1, 0, 1.]]))


ITEMS.append(Item("binary_crossentropy_mean_over_pixels", "Keras example port", "evidence", make_evidence_pixel_mean, False,
                  "binary_crossentropy takes the mean over the pixels; the bound needs their sum: bce.sum(axis=-1)",
                  ("nll", "elbo"), ("factor",)))


def make_evidence_iwae_log_k():
    class IWAE:
        """Burda et al.: log 1/K sum_k p(x, z_k) / q(z_k | x)."""

        def __init__(self, K=5, seed=0):
            rs = np.random.RandomState(seed)
            self.K = K
            self.enc_w1, self.enc_w2 = .7 * rs.randn(5, 3), .7 * rs.randn(3, 2)
            self.dec_w, self.dec_b = 1.2 * rs.randn(1, 5), .5 * rs.randn(5)

        def draw_eps(self, B, rng):
            return rng.standard_normal((self.K, B, 1))

        def encode(self, x):
            h = np.tanh(x @ self.enc_w1)
            out = h @ self.enc_w2
            return out[:, :1], out[:, 1:], h

        def decode(self, z):
            return z @ self.dec_w + self.dec_b, z

        def objective(self, x, eps):
            mu, logvar, _ = self.encode(x)
            z = mu + np.exp(logvar / 2) * eps
            logits, _ = self.decode(z)
            log_px = np.sum(x * logits - np.logaddexp(0, logits), -1)
            log_pz = -.5 * np.sum(z ** 2 + np.log(2 * np.pi), -1)
            log_qz = -.5 * np.sum(eps ** 2 + logvar + np.log(2 * np.pi), -1)
            log_w = log_px + log_pz - log_qz
            m = log_w.max(axis=0)
            bound = m + np.log(np.sum(np.exp(log_w - m), axis=0))
            return SimpleNamespace(elbo=bound), log_w

    return dict(model=IWAE(), x=np.array([[1, 0, 0, 1, 1], [0, 1, 0, 1, 0], [1, 1, 1, 0, 0], [0, 0, 1, 0, 1.]]))


ITEMS.append(Item("iwae_without_log_k", "paper reimplementation", "evidence", make_evidence_iwae_log_k, False,
                  "the mean of the K weights became their sum: - np.log(K) is missing", ("elbo",), ("missing-term",)))


def make_evidence_kl_log_sigma():
    def kl_to_standard_normal(mu, log_sigma):
        return np.sum(-log_sigma + 0.5 * (np.exp(2 * log_sigma) + mu ** 2) - 0.5, axis=1)

    class BernoulliVAE:
        def __init__(self):
            g = np.random.default_rng(64)
            self.w = dict(enc=g.normal(size=(3, 4)) * .6, enc_b=np.array([.2, -.1, -.9, .4]),
                          dec=g.normal(size=(2, 3)), dec_b=g.normal(size=3) * .3)

        def encode(self, x):
            a = x @ self.w["enc"] + self.w["enc_b"]
            mu, logvar = a[:, :2], a[:, 2:]
            return mu, logvar

        def decode(self, z):
            return z @ self.w["dec"] + self.w["dec_b"], z

        def objective(self, x, eps):
            mu, logvar = self.encode(x)
            z = mu + np.exp(0.5 * logvar) * eps
            logits, _ = self.decode(z)
            rec = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
            kl = kl_to_standard_normal(mu, logvar)
            return SimpleNamespace(elbo=-rec - kl, nll=rec, kl=kl), z

    return dict(model=BernoulliVAE(), x=np.array([[0, 0, 1], [1, 0, 1], [1, 1, 0], [0, 1, 0.], [1, 1, 1]]))


ITEMS.append(Item("kl_of_log_sigma_given_logvar", "research repository", "evidence", make_evidence_kl_log_sigma, False,
                  "the KL expects log sigma and gets the log-variance: kl_to_standard_normal(mu, 0.5 * logvar)",
                  ("kl", "elbo"), ("elementwise-factor", "factor")))


def make_evidence_decodes_mean():
    class AutoEncoder(object):
        def __init__(self, seed=7):
            rs = np.random.RandomState(seed)
            self.p = {"W_enc": rs.normal(0, .7, (4, 3)), "W_mu": rs.normal(0, .8, (3, 1)), "W_lv": rs.normal(0, .8, (3, 1)),
                      "W_dec": rs.normal(0, 2., (1, 4)), "b_dec": rs.normal(0, .5, 4)}

        def encode(self, x):
            h = np.tanh(x.dot(self.p["W_enc"]))
            return h.dot(self.p["W_mu"]), h.dot(self.p["W_lv"]), h

        def decode(self, z):
            return z.dot(self.p["W_dec"]) + self.p["b_dec"], None

        def objective(self, x, eps):
            mu, logvar, h = self.encode(x)
            z = mu + np.exp(.5 * logvar) * eps
            scores, _ = self.decode(mu)
            nll = np.sum(np.logaddexp(0, scores) - x * scores, axis=1)
            kl = .5 * np.sum(np.exp(logvar) + mu ** 2 - 1. - logvar, axis=1)
            return SimpleNamespace(elbo=-(nll + kl), nll=nll, kl=kl), (x, h, z, scores)

    return dict(model=AutoEncoder(), x=np.array([[1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0], [0, 1, 1, 1.], [0, 0, 0, 0]]))


ITEMS.append(Item("decodes_the_mean", "CS231n assignment", "evidence", make_evidence_decodes_mean, False,
                  "the decoder is given mu, the sample z is never used: self.decode(z)", ("nll", "elbo"),
                  ("zero", "missing-term")))


def make_evidence_log_q_normaliser():
    class Normal:
        name = "normal with unit variance"

        def nll(self, x, logits):
            return 0.5 * np.sum((x - logits) ** 2 + np.log(2 * np.pi), axis=-1), None

    def log_normal_diag(z, mu, logvar):
        return -0.5 * np.sum(np.log(2 * np.pi) + (z - mu) ** 2 / np.exp(logvar), axis=-1)

    class LinearVAE:
        likelihood = Normal()

        def __init__(self):
            r = np.random.default_rng(66)
            self.A, self.a = r.normal(size=(3, 2)) * .4, np.array([0.1, -0.2])
            self.S, self.s = r.normal(size=(3, 2)) * .2, np.array([-0.9, -0.6])
            self.C, self.c = r.normal(size=(2, 3)), r.normal(size=3) * .2

        def encode(self, x):
            return x @ self.A + self.a, np.tanh(x @ self.S) + self.s

        def decode(self, z):
            return z @ self.C + self.c, None

        def objective(self, x, eps):
            mu, logvar = self.encode(x)
            z = mu + np.exp(0.5 * logvar) * eps
            mean, _ = self.decode(z)
            nll, _ = self.likelihood.nll(x, mean)
            # one-sample estimate of the KL
            kl = log_normal_diag(z, mu, logvar) - log_normal_diag(z, np.zeros_like(z), np.zeros_like(z))
            return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), z

    return dict(model=LinearVAE(), x=np.random.default_rng(67).normal(size=(5, 3)))


ITEMS.append(Item("log_normal_diag_without_logvar", "normalizing-flow tutorial", "evidence", make_evidence_log_q_normaliser, False,
                  "log_normal_diag lacks the normaliser of the scale: + logvar inside the sum", ("kl", "elbo"),
                  ("missing-term",)))


def make_evidence_kl_batch_mean():
    class ConditionalPixelVAE:
        def __init__(self, D=5, Z=1):
            rng = np.random.default_rng(68)
            self.params = {"fc1": rng.normal(size=(D, 4)) * .6, "fc21": rng.normal(size=(4, Z)), "fc22": rng.normal(size=(4, Z)),
                           "fc3": rng.normal(size=(Z, 4)), "fc4": rng.normal(size=(4, D))}

        def encode(self, x):
            h1 = np.tanh(x @ self.params["fc1"])
            return h1 @ self.params["fc21"], h1 @ self.params["fc22"], h1

        def decode(self, z):
            h3 = np.tanh(z @ self.params["fc3"])
            return h3 @ self.params["fc4"], h3

        def objective(self, x, eps):
            mu, logvar, _ = self.encode(x)
            recon_logits, _ = self.decode(mu + np.exp(0.5 * logvar) * eps)
            BCE = (np.logaddexp(0, recon_logits) - x * recon_logits).sum(1)
            KLD = (-0.5 * (1 + logvar - mu ** 2 - np.exp(logvar)).sum(1)).mean()
            loss = BCE + KLD
            return SimpleNamespace(elbo=-loss, nll=BCE, kl=loss - BCE), None

    return dict(model=ConditionalPixelVAE(),
                x=np.array([[1, 1, 0, 0, 1], [0, 0, 1, 0, 0], [1, 0, 1, 1, 0], [0, 1, 1, 1, 1], [0, 0, 0, 1, 0], [1, 1, 1, 1, 0.]]))


ITEMS.append(Item("kld_mean_added_to_every_row", "original VAE example in PyTorch, ported", "evidence", make_evidence_kl_batch_mean, False,
                  "the batch's mean KL is added to every row: no .mean()", ("kl", "elbo"), ("batch-sum", "shape")))


# ------------------------------------------------------------------ evidence, right


def make_evidence_iwae_right():
    class ImportanceWeighted:
        def __init__(self, num_particles=4):
            rng = np.random.default_rng(70)
            self.num_particles = num_particles
            self.theta = rng.normal(size=(1, 4)) * 1.3, rng.normal(size=4) * .4
            self.phi = rng.normal(size=(4, 2)) * .5, np.array([0.2, -0.7])

        def draw_eps(self, B, rng):
            return rng.normal(size=(self.num_particles, B, 1))

        def encode(self, x):
            out = x @ self.phi[0] + self.phi[1]
            return out[..., :1], out[..., 1:], {}

        def decode(self, z):
            return z @ self.theta[0] + self.theta[1], {}

        def objective(self, x, eps):
            mu, logvar, _ = self.encode(x)
            sd = np.exp(logvar / 2)
            z = mu + sd * eps
            logits, _ = self.decode(z)
            log_lik = -(np.logaddexp(0, -logits) * x + np.logaddexp(0, logits) * (1 - x)).sum(-1)
            log_ratio = (.5 * eps ** 2 - .5 * z ** 2 + np.log(sd)).sum(-1)
            return SimpleNamespace(elbo=logsumexp(log_lik + log_ratio, axis=0, b=1 / eps.shape[0])), {}

    return dict(model=ImportanceWeighted(), x=np.array([[1, 0, 0, 1], [0, 1, 0, 1], [1, 1, 1, 0], [0, 0, 1, 0], [0, 1, 1, 1.]]))


ITEMS.append(Item("iwae_bound", "probabilistic-programming library", "evidence", make_evidence_iwae_right, True))


def make_evidence_gaussian_right():
    class Gaussian:
        name = "gaussian, sigma 0.6"
        log_sigma = np.log(0.6)

        def nll(self, x, logits):
            r = (x - logits) / np.exp(self.log_sigma)
            return (.5 * r * r + self.log_sigma + .5 * np.log(2 * np.pi)).sum(1), r

    class PcaVAE:
        def __init__(self):
            r = np.random.RandomState(71)
            self.likelihood = Gaussian()
            self.V, self.U, self.m = .4 * r.randn(3, 2), r.randn(2, 3), .3 * r.randn(3)
            self.lv = np.array([-1.2, -0.5])

        def encode(self, x):
            mu = (x - self.m) @ self.V
            return mu, np.broadcast_to(self.lv, mu.shape).copy(), None

        def decode(self, z):
            return z @ self.U + self.m, None

        def objective(self, x, eps):
            mu, logvar, _ = self.encode(x)
            z = mu + np.exp(logvar / 2) * eps
            nll, _ = self.likelihood.nll(x, self.decode(z)[0])
            kl = .5 * (mu ** 2 + np.exp(logvar) - 1 - logvar).sum(1)
            return SimpleNamespace(elbo=-nll - kl, nll=nll, kl=kl), None

    return dict(model=PcaVAE(), x=np.random.RandomState(72).randn(5, 3))


ITEMS.append(Item("linear_gaussian_vae", "lecture notebook", "evidence", make_evidence_gaussian_right, True))


def make_evidence_joint_right():
    class ELBO:
        """log p(x, z) plus the entropy of q, entropy in closed form."""

        def __init__(self):
            rng = np.random.default_rng(73)
            self.enc = [rng.normal(size=(4, 3)) * .7, rng.normal(size=(3, 4)) * .6]
            self.dec = [rng.normal(size=(2, 3)), rng.normal(size=(3, 4))]

        def encode(self, x):
            out = np.tanh(x @ self.enc[0]) @ self.enc[1]
            return out[:, 0::2], out[:, 1::2], None

        def decode(self, z):
            return np.tanh(z @ self.dec[0]) @ self.dec[1], None

        def objective(self, x, eps):
            m, lv, _ = self.encode(x)
            z = m + np.exp(.5 * lv) * eps
            logits, _ = self.decode(z)
            sign = 2 * x - 1
            log_px_z = -np.logaddexp(0, -sign * logits).sum(1)
            expected_log_pz = -.5 * (np.log(2 * np.pi) + m ** 2 + np.exp(lv)).sum(1)
            entropy = .5 * (np.log(2 * np.pi) + 1 + lv).sum(1)
            return SimpleNamespace(elbo=log_px_z + expected_log_pz + entropy, nll=-log_px_z, kl=-expected_log_pz - entropy), None

    return dict(model=ELBO(), x=np.array([[0, 1, 1, 0], [1, 0, 0, 1], [1, 1, 1, 0], [0, 0, 0, 1.]]))


ITEMS.append(Item("elbo_by_entropy", "variational-inference blog post", "evidence", make_evidence_joint_right, True))


# ------------------------------------------------------------------ likelihood, wrong


def make_laplace():
    class LaplaceLikelihood:
        name, n_params, support = "laplace", 2, (-np.inf, np.inf)

        def _split(self, logits):
            D = logits.shape[1] // 2
            return logits[:, :D], logits[:, D:]

        def nll(self, x, logits):
            loc, log_b = self._split(logits)
            r = (x - loc) * np.exp(-log_b)
            return np.sum(np.abs(r) + log_b, axis=1), (r, log_b)

        def nll_backward(self, dnll, cache):
            r, log_b = cache
            d = dnll[:, None]
            return np.concatenate([-d * np.sign(r) * np.exp(-log_b), d * (1 - np.abs(r))], axis=1)

        def mean(self, logits):
            return self._split(logits)[0].copy()

        def sample(self, logits, rng):
            loc, log_b = self._split(logits)
            return rng.laplace(loc, np.exp(log_b))

    return dict(p=LaplaceLikelihood())


ITEMS.append(Item("laplace_without_log_2", "research repository", "likelihood", make_laplace, False,
                  "the density is |r| + log(2 b): log 2 a pixel is missing from the nll", ("nll",), ("missing-term",)))


def make_logistic():
    class Logistic:
        """x = m + s log(u / (1 - u)); logits = [m, log s]."""
        name = "logistic"
        n_params = 2
        support = (-np.inf, np.inf)

        def nll(self, x, logits):
            m, log_s = np.split(logits, 2, axis=-1)
            inv_s = np.exp(-log_s)
            t = (x - m) * inv_s
            return (t + log_s + 2 * np.logaddexp(0, -t)).sum(-1), (t, inv_s)

        def nll_backward(self, dnll, cache):
            t, inv_s = cache
            dt = np.tanh(t / 2) * dnll[:, None]
            dm = -dt
            dlog_s = dnll[:, None] - dt * t
            return np.concatenate([dm, dlog_s], axis=-1)

        def mean(self, logits):
            return logits[:, :logits.shape[1] // 2]

        def sample(self, logits, rng):
            m, log_s = np.split(logits, 2, axis=-1)
            u = rng.uniform(1e-12, 1 - 1e-12, size=m.shape)
            return m + np.exp(log_s) * (np.log(u) - np.log1p(-u))

    return dict(p=Logistic())


ITEMS.append(Item("logistic_location_slope", "pixel-model repository", "likelihood", make_logistic, False,
                  "t = (x - m) / s, so dm = -dt * inv_s", ("nll_backward",), ("elementwise-factor",)))


def make_negative_binomial():
    class NegativeBinomial:
        """mean mu = exp(first), inverse dispersion r = exp(second), as in scVI."""
        name = "negative binomial"
        n_params = 2
        support = (0, np.inf)

        def _mu_r(self, logits):
            D = logits.shape[-1] // 2
            return np.exp(logits[:, :D]), np.exp(logits[:, D:])

        def nll(self, x, logits):
            mu, r = self._mu_r(logits)
            log_tot = np.log(r + mu)
            ll = gammaln(x + r) - gammaln(r) - gammaln(x + 1) + r * (np.log(r) - log_tot) + x * (np.log(mu) - log_tot)
            return -ll.sum(-1), (x, mu, r)

        def nll_backward(self, dnll, cache):
            x, mu, r = cache
            dmu = (x + r) / (r + mu) - x / mu
            dr = -(digamma(x + r) - digamma(r) + np.log(r / (r + mu)) + 1 - (r + x) / (r + mu))
            return np.hstack([dmu * mu, dr * r]) * dnll[:, None]

        def mean(self, logits):
            return self._mu_r(logits)[0]

        def sample(self, logits, rng):
            mu, r = self._mu_r(logits)
            p = mu / (r + mu)
            return rng.negative_binomial(r, p).astype(float)

    return dict(p=NegativeBinomial())


ITEMS.append(Item("negative_binomial_p_of_success", "single-cell research package", "likelihood", make_negative_binomial, False,
                  "numpy's p is the other probability than torch's: p = r / (r + mu)", ("sample",),
                  ("elementwise-factor", "transpose")))


def make_continuous_bernoulli():
    class ContinuousBernoulli:
        """Loaiza-Ganem & Cunningham 2019."""
        name, n_params, support = "continuous bernoulli", 1, (0.0, 1.0)

        @staticmethod
        def _log_c(l):
            # C(lambda) = 2 artanh(1 - 2 lambda) / (1 - 2 lambda) = l / tanh(l / 2)
            small = np.abs(l) < 1e-2
            safe = np.where(small, 1.0, l)
            return np.where(small, np.log(2.0) + l ** 2 / 12, np.log(safe / np.tanh(safe / 2)))

        @staticmethod
        def _true_mean(l):
            small = np.abs(l) < 1e-2
            safe = np.where(small, 1.0, l)
            return np.where(small, 0.5 + l / 12 - l ** 3 / 720, 1 / -np.expm1(-safe) - 1 / safe)

        def nll(self, x, logits):
            return np.sum(np.logaddexp(0, logits) - x * logits - self._log_c(logits), axis=1), (x, logits)

        def nll_backward(self, dnll, cache):
            x, logits = cache
            return (self._true_mean(logits) - x) * dnll[:, None]

        def mean(self, logits):
            return 1 / (1 + np.exp(-logits))

        def sample(self, logits, rng):
            u = rng.uniform(size=logits.shape)
            small = np.abs(logits) < 1e-2
            safe = np.where(small, 1.0, logits)
            return np.where(small, u + logits * u * (1 - u) / 2, np.log1p(u * np.expm1(safe)) / safe)

    return dict(p=ContinuousBernoulli())


ITEMS.append(Item("continuous_bernoulli_mean_is_lambda", "paper reimplementation", "likelihood", make_continuous_bernoulli, False,
                  "lambda = sigmoid(logits) is not the mean: return self._true_mean(logits)", ("mean",),
                  ("elementwise-factor",)))


# ------------------------------------------------------------------ likelihood, right


def make_poisson_right():
    class PoissonSoftplus:
        name = "poisson"
        n_params = 1
        support = (0, np.inf)

        def nll(self, x, logits):
            rate = np.logaddexp(0, logits)
            return (rate - x * np.log(rate) + gammaln(x + 1)).sum(axis=1), (x, rate)

        def nll_backward(self, dnll, cache):
            x, rate = cache
            # sigmoid(logits) = 1 - exp(-softplus(logits))
            return dnll[:, None] * (1 - x / rate) * -np.expm1(-rate)

        def mean(self, logits):
            return np.logaddexp(0, logits)

        def sample(self, logits, rng):
            return rng.poisson(np.logaddexp(0, logits)).astype(np.float64)

    return dict(p=PoissonSoftplus())


ITEMS.append(Item("poisson_softplus", "neural-data toolbox", "likelihood", make_poisson_right, True))


def make_gumbel_right():
    class Gumbel:
        name, n_params, support = "gumbel", 2, (-np.inf, np.inf)

        def nll(self, x, logits):
            loc, log_scale = np.split(logits, 2, axis=1)
            z = (x - loc) / np.exp(log_scale)
            ez = np.exp(-z)
            return (z + ez + log_scale).sum(1), (z, ez, log_scale)

        def nll_backward(self, dnll, cache):
            z, ez, log_scale = cache
            dz = 1 - ez
            return np.concatenate([-dz / np.exp(log_scale), 1 - dz * z], axis=1) * dnll.reshape(-1, 1)

        def mean(self, logits):
            loc, log_scale = np.split(logits, 2, axis=1)
            return loc + np.euler_gamma * np.exp(log_scale)

        def sample(self, logits, rng):
            loc, log_scale = np.split(logits, 2, axis=1)
            return loc - np.exp(log_scale) * np.log(rng.standard_exponential(loc.shape))

    return dict(p=Gumbel())


ITEMS.append(Item("gumbel", "probabilistic-programming library", "likelihood", make_gumbel_right, True))


def make_beta_right():
    class BetaModeConcentration:
        """a = 1 + m e, b = 1 + (1 - m) e with m = sigmoid(first), e = exp(second): one mode, at m."""
        name, n_params, support = "beta", 2, (0.0, 1.0)

        def _ab(self, logits):
            k = logits.shape[1] // 2
            m = 1 / (1 + np.exp(-logits[:, :k]))
            e = np.exp(logits[:, k:])
            return m, e, 1 + m * e, 1 + (1 - m) * e

        def nll(self, x, logits):
            m, e, a, b = self._ab(logits)
            ll = (a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - betaln(a, b)
            return -ll.sum(1), (x, m, e, a, b)

        def nll_backward(self, dnll, cache):
            x, m, e, a, b = cache
            psi = digamma(a + b)
            da = digamma(a) - psi - np.log(x)
            db = digamma(b) - psi - np.log1p(-x)
            dm = (da - db) * e
            de = da * m + db * (1 - m)
            return dnll[:, None] * np.concatenate([dm * m * (1 - m), de * e], 1)

        def mean(self, logits):
            _, _, a, b = self._ab(logits)
            return a / (a + b)

        def sample(self, logits, rng):
            _, _, a, b = self._ab(logits)
            g1, g2 = rng.standard_gamma(a), rng.standard_gamma(b)
            return np.clip(g1 / (g1 + g2), 1e-12, 1 - 1e-12)

    return dict(p=BetaModeConcentration())


ITEMS.append(Item("beta_mode_concentration", "statistics package", "likelihood", make_beta_right, True))


# ------------------------------------------------------------------ optimizer, wrong


def make_adam_t():
    class Adam:
        def __init__(self, lr=0.02, beta1=0.9, beta2=0.99, eps=1e-8):
            self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
            self.m, self.v, self.t = {}, {}, 0

        def step(self, params, grads):
            for key in params:
                self.t += 1
                g = grads[key]
                self.m[key] = self.beta1 * self.m.get(key, 0) + (1 - self.beta1) * g
                self.v[key] = self.beta2 * self.v.get(key, 0) + (1 - self.beta2) * g * g
                m_hat = self.m[key] / (1 - self.beta1 ** self.t)
                v_hat = self.v[key] / (1 - self.beta2 ** self.t)
                params[key] -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)

    class Reference:
        def __init__(self):
            self.n, self.state = 0, {}

        def step(self, params, grads):
            self.n += 1
            scale = 0.02 * np.sqrt(1 - 0.99 ** self.n) / (1 - 0.9 ** self.n)
            for k, g in grads.items():
                s = self.state.setdefault(k, [np.zeros_like(g), np.zeros_like(g)])
                s[0] += 0.1 * (g - s[0])
                s[1] += 0.01 * (g ** 2 - s[1])
                params[k] = params[k] - scale * s[0] / (np.sqrt(s[1]) + 1e-8 * np.sqrt(1 - 0.99 ** self.n))

    return dict(optimizer=Adam(), reference=Reference())


ITEMS.append(Item("adam_counts_parameters_as_steps", "deep-learning-from-scratch book", "optimizer", make_adam_t, False,
                  "t grows once a parameter in place of once a step: self.t += 1 before the loop", ("step",),
                  ("factor", "elementwise-factor")))


def make_nesterov_alias():
    class NesterovMomentum:
        def __init__(self, learning_rate=0.05, mu=0.9):
            self.learning_rate, self.mu = learning_rate, mu
            self.v = None

        def step(self, params, grads):
            if self.v is None:
                self.v = {k: np.zeros_like(w) for k, w in params.items()}
            for k in params:
                v = self.v[k]
                v_prev = v  # back this up
                v *= self.mu
                v -= self.learning_rate * grads[k]
                params[k] += -self.mu * v_prev + (1 + self.mu) * v

    class Reference:
        def __init__(self):
            self.buf = {}

        def step(self, params, grads):
            for k, g in grads.items():
                b = 0.9 * self.buf[k] + g if k in self.buf else g.copy()
                self.buf[k] = b
                params[k] = params[k] - 0.05 * (g + 0.9 * b)

    return dict(optimizer=NesterovMomentum(), reference=Reference())


ITEMS.append(Item("nesterov_v_prev_is_v", "CS231n assignment", "optimizer", make_nesterov_alias, False,
                  "v_prev is the same array as v, which is changed in place: v_prev = v.copy()", ("step",),
                  ("mutates-input", "missing-term", "elementwise-factor", "factor")))


def make_adadelta():
    class AdaDelta:
        """Zeiler 2012, algorithm 1."""

        def __init__(self, rho=0.9, epsilon=1e-4):
            self.rho, self.epsilon = rho, epsilon
            self.Eg2, self.Edx2 = {}, {}

        def step(self, params, grads):
            rho, eps = self.rho, self.epsilon
            for name, g in grads.items():
                if name not in self.Eg2:
                    self.Eg2[name] = np.zeros_like(g)
                    self.Edx2[name] = np.zeros_like(g)
                self.Eg2[name] = rho * self.Eg2[name] + (1 - rho) * g ** 2
                dx = -np.sqrt(self.Edx2[name] + eps) / np.sqrt(self.Eg2[name] + eps) * g
                self.Edx2[name] = rho * self.Edx2[name] + (1 - rho) * g ** 2
                params[name] += dx

    class Reference:
        def __init__(self):
            self.sq, self.acc = {}, {}

        def step(self, params, grads):
            for k in params:
                g = grads[k]
                self.sq[k] = self.sq.get(k, 0.0) * 0.9 + 0.1 * g * g
                delta = g * ((self.acc.get(k, 0.0) + 1e-4) / (self.sq[k] + 1e-4)) ** 0.5
                params[k] = params[k] - delta
                self.acc[k] = self.acc.get(k, 0.0) * 0.9 + 0.1 * delta * delta

    return dict(optimizer=AdaDelta(), reference=Reference())


ITEMS.append(Item("adadelta_accumulates_gradients_twice", "paper reimplementation", "optimizer", make_adadelta, False,
                  "E[dx^2] is fed the gradient's square: (1 - rho) * dx ** 2", ("step",), ("elementwise-factor",)))


def make_clip_inplace():
    class SGDClipped:
        """SGD with momentum and clipping of the global norm."""

        def __init__(self, lr=0.1, momentum=0.8, max_norm=0.5):
            self.lr, self.momentum, self.max_norm = lr, momentum, max_norm
            self.velocity = {}

        def clip_grad_norm(self, grads):
            total_norm = np.sqrt(sum(np.sum(g ** 2) for g in grads.values()))
            clip_coef = self.max_norm / (total_norm + 1e-6)
            if clip_coef < 1:
                for g in grads.values():
                    g *= clip_coef
            return grads

        def step(self, params, grads):
            grads = self.clip_grad_norm(grads)
            for k, p in params.items():
                v = self.momentum * self.velocity.get(k, 0.0) + grads[k]
                self.velocity[k] = v
                p -= self.lr * v

    class Reference:
        def __init__(self):
            self.v = {}

        def step(self, params, grads):
            flat = np.concatenate([g.ravel() for g in grads.values()])
            c = min(1.0, 0.5 / (np.linalg.norm(flat) + 1e-6))
            for k in params:
                self.v[k] = 0.8 * self.v[k] + c * grads[k] if k in self.v else c * grads[k]
                params[k] = params[k] - 0.1 * self.v[k]

    return dict(optimizer=SGDClipped(), reference=Reference())


ITEMS.append(Item("clip_writes_into_grads", "PyTorch port", "optimizer", make_clip_inplace, False,
                  "the clipping scales the caller's gradients in place: a new dict, g * clip_coef", ("grads",), ("mutates-input",)))


# ------------------------------------------------------------------ optimizer, right


def make_adamw_right():
    class AdamW:
        def __init__(self, lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1):
            self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
            self.state = {}

        def step(self, params, grads):
            b1, b2 = self.betas
            for k, p in params.items():
                st = self.state.setdefault(k, {"step": 0, "exp_avg": np.zeros_like(p), "exp_avg_sq": np.zeros_like(p)})
                st["step"] += 1
                p *= 1 - self.lr * self.weight_decay
                st["exp_avg"] *= b1
                st["exp_avg"] += (1 - b1) * grads[k]
                st["exp_avg_sq"] *= b2
                st["exp_avg_sq"] += (1 - b2) * grads[k] ** 2
                denom = np.sqrt(st["exp_avg_sq"]) / np.sqrt(1 - b2 ** st["step"]) + self.eps
                p -= self.lr / (1 - b1 ** st["step"]) * st["exp_avg"] / denom

    class Reference:
        def __init__(self):
            self.t, self.m, self.v = 0, {}, {}

        def step(self, params, grads):
            self.t += 1
            for k, g in grads.items():
                self.m[k] = 0.9 * self.m.get(k, 0) + 0.1 * g
                self.v[k] = 0.95 * self.v.get(k, 0) + 0.05 * g * g
                mh, vh = self.m[k] / (1 - 0.9 ** self.t), self.v[k] / (1 - 0.95 ** self.t)
                params[k] = params[k] - 0.01 * (mh / (vh ** 0.5 + 1e-8) + 0.1 * params[k])

    return dict(optimizer=AdamW(), reference=Reference())


ITEMS.append(Item("adamw_decoupled", "PyTorch port", "optimizer", make_adamw_right, True))


def make_centered_rmsprop_right():
    class RMSprop:
        """Graves 2013: centred, with momentum."""

        def __init__(self, lr=0.01, alpha=0.95, momentum=0.9, eps=1e-4):
            self.hp = lr, alpha, momentum, eps
            self.slots = {}

        def step(self, params, grads):
            lr, alpha, momentum, eps = self.hp
            for var in params:
                n, gbar, delta = self.slots.get(var, (0., 0., 0.))
                n = alpha * n + (1 - alpha) * grads[var] ** 2
                gbar = alpha * gbar + (1 - alpha) * grads[var]
                delta = momentum * delta - lr * grads[var] / np.sqrt(n - gbar ** 2 + eps)
                self.slots[var] = n, gbar, delta
                params[var] = params[var] + delta

    class Reference:
        def __init__(self):
            self.ms, self.mg, self.mom = {}, {}, {}

        def step(self, params, grads):
            for k, g in grads.items():
                if k not in self.ms:
                    self.ms[k], self.mg[k], self.mom[k] = np.zeros_like(g), np.zeros_like(g), np.zeros_like(g)
                self.ms[k] += 0.05 * (g * g - self.ms[k])
                self.mg[k] += 0.05 * (g - self.mg[k])
                self.mom[k] = 0.9 * self.mom[k] + 0.01 * g * (self.ms[k] + 1e-4 - self.mg[k] * self.mg[k]) ** -0.5
                params[k] -= self.mom[k]

    return dict(optimizer=RMSprop(), reference=Reference())


ITEMS.append(Item("rmsprop_centred_momentum", "TF1 port with slots", "optimizer", make_centered_rmsprop_right, True))


def make_adamax_right():
    def adamax(step_size, b1=0.9, b2=0.98, eps=1e-8):
        state = {"i": 0, "m": {}, "u": {}}

        def step(params, grads):
            state["i"] += 1
            for k, g in grads.items():
                state["m"][k] = (1 - b1) * g + b1 * state["m"].get(k, np.zeros_like(g))
                state["u"][k] = np.maximum(np.abs(g), b2 * state["u"].get(k, np.zeros_like(g)))
                params[k] = params[k] - step_size / (1 - b1 ** state["i"]) * state["m"][k] / (state["u"][k] + eps)

        return SimpleNamespace(step=step, state=state)

    class Reference:
        def __init__(self):
            self.history = {}

        def step(self, params, grads):
            for k in params:
                h = self.history.setdefault(k, [])
                h.append(grads[k].copy())
                n = len(h)
                w = 0.1 * 0.9 ** np.arange(n - 1, -1, -1)
                m = sum(a * g for a, g in zip(w, h)) / w.sum()
                u = np.max([0.98 ** (n - 1 - j) * np.abs(g) for j, g in enumerate(h)], axis=0)
                params[k] -= 0.02 * m / (u + 1e-8)

    return dict(optimizer=adamax(0.02), reference=Reference())


ITEMS.append(Item("adamax", "JAX-style pure functions", "optimizer", make_adamax_right, True))
