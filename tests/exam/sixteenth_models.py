"""Models, samplers, bounds, likelihoods and optimizers in the manner of public code."""

from typing import Any, Callable, NamedTuple

import numpy as np
from scipy.special import betaln, digamma, expit, gammaln, logsumexp


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

LOG2PI = np.log(2 * np.pi)


class Terms(NamedTuple):
    objective: Any
    nll: Any = None
    kl: Any = None


class Bound(NamedTuple):
    elbo: Any
    nll: Any = None
    kl: Any = None


def bce_logits(logits, x):
    """Binary cross entropy of logits, entry by entry."""
    return np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits)))


def gauss_kl(mu, logvar):
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)


# ======================================================================================================================
# gradients
# ======================================================================================================================


# --- conditional VAE, label embedding -----------------------------------------------------------------------------


class Ctx:
    def save_for_backward(self, *tensors):
        self.saved_tensors = tensors


class LinearFunction:
    @staticmethod
    def forward(ctx, input, weight, bias):
        ctx.save_for_backward(input, weight)
        return input @ weight.T + bias

    @staticmethod
    def backward(ctx, grad_output):
        input, weight = ctx.saved_tensors
        return grad_output @ weight, grad_output.T @ input, grad_output.sum(0)


class TanhFunction:
    @staticmethod
    def forward(ctx, input):
        output = np.tanh(input)
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx, grad_output):
        (output,) = ctx.saved_tensors
        return grad_output * (1 - output * output)


class EmbeddingFunction:
    @staticmethod
    def forward(ctx, indices, weight):
        ctx.save_for_backward(indices, weight)
        return weight[indices]

    @staticmethod
    def backward(ctx, grad_output):
        indices, weight = ctx.saved_tensors
        grad_weight = np.zeros_like(weight)
        grad_weight[indices] += grad_output
        return None, grad_weight


class ConditionalVAE:
    """q(z | x, c) and p(x | z, c); the labels of the batch are kept in self.labels."""

    def __init__(self, n_in, n_hidden, n_z, n_classes, n_embed, labels, rng):
        def init(n_out, n):
            return rng.normal(0, 1 / np.sqrt(n), (n_out, n))

        self.labels = labels
        self.n_z = n_z
        self.params = {
            "embed.weight": rng.normal(0, 1, (n_classes, n_embed)),
            "enc.weight": init(n_hidden, n_in + n_embed),
            "enc.bias": rng.normal(0, 0.1, n_hidden),
            "mu.weight": init(n_z, n_hidden),
            "mu.bias": rng.normal(0, 0.1, n_z),
            "logvar.weight": init(n_z, n_hidden),
            "logvar.bias": rng.normal(0, 0.1, n_z),
            "dec.weight": init(n_hidden, n_z + n_embed),
            "dec.bias": rng.normal(0, 0.1, n_hidden),
            "out.weight": init(n_in, n_hidden),
            "out.bias": rng.normal(0, 0.1, n_in),
        }

    def _linear(self, ctx, name, x):
        ctx[name] = Ctx()
        return LinearFunction.forward(ctx[name], x, self.params[name + ".weight"], self.params[name + ".bias"])

    def _linear_back(self, ctx, name, grad, grads):
        gx, grads[name + ".weight"], grads[name + ".bias"] = LinearFunction.backward(ctx[name], grad)
        return gx

    def objective(self, x, eps, beta=1.0):
        ctx = {"embed": Ctx(), "tanh_e": Ctx(), "tanh_d": Ctx()}
        emb = EmbeddingFunction.forward(ctx["embed"], self.labels, self.params["embed.weight"])
        h = TanhFunction.forward(ctx["tanh_e"], self._linear(ctx, "enc", np.concatenate([x, emb], 1)))
        mu = self._linear(ctx, "mu", h)
        logvar = self._linear(ctx, "logvar", h)
        std = np.exp(0.5 * logvar)
        z = mu + std * eps
        g = TanhFunction.forward(ctx["tanh_d"], self._linear(ctx, "dec", np.concatenate([z, emb], 1)))
        logits = self._linear(ctx, "out", g)
        nll = bce_logits(logits, x).sum(1)
        kl = gauss_kl(mu, logvar)
        return Terms(nll + beta * kl, nll, kl), (ctx, x, mu, logvar, std, eps, logits, beta)

    def backward(self, dobjective, cache):
        ctx, x, mu, logvar, std, eps, logits, beta = cache
        w = dobjective[:, None]
        grads = {}
        dlogits = w * (expit(logits) - x)
        dg = self._linear_back(ctx, "out", dlogits, grads)
        dcat = self._linear_back(ctx, "dec", TanhFunction.backward(ctx["tanh_d"], dg), grads)
        dz, demb = dcat[:, : self.n_z], dcat[:, self.n_z :]
        dmu = dz + w * beta * mu
        dlogvar = dz * eps * std * 0.5 + w * beta * 0.5 * (np.exp(logvar) - 1)
        dh = self._linear_back(ctx, "mu", dmu, grads) + self._linear_back(ctx, "logvar", dlogvar, grads)
        dcat = self._linear_back(ctx, "enc", TanhFunction.backward(ctx["tanh_e"], dh), grads)
        demb = demb + dcat[:, x.shape[1] :]
        _, grads["embed.weight"] = EmbeddingFunction.backward(ctx["embed"], demb)
        return grads


def make_cvae_embedding():
    rng = np.random.default_rng(101)
    model = ConditionalVAE(5, 4, 2, 3, 2, np.array([0, 2, 2, 1, 0, 2]), rng)
    return {"model": model, "x": rng.random((6, 5)), "eps": rng.normal(size=(6, 2)), "beta": 0.8}


ITEMS.append(
    Item(
        "cvae_embedding",
        "PyTorch autograd.Function port",
        "gradients",
        make_cvae_embedding,
        False,
        slip="the embedding's gradient is written with grad_weight[indices] += grad_output, which keeps one row of"
        " every repeated label; it should be np.add.at(grad_weight, indices, grad_output)",
        wrong=("embed.weight",),
        causes=("batch-sum",),
    )
)


# --- one learned sigma ----------------------------------------------------------------------------------------------


class SigmaVAE:
    """Gaussian decoder with one log sigma, learned with everything else."""

    def __init__(self, in_dim, hid, latent, seed):
        rs = np.random.RandomState(seed)
        self.latent = latent
        self.params = {
            "enc_w": rs.randn(in_dim, hid) * 0.5,
            "enc_b": rs.randn(hid) * 0.1,
            "head_w": rs.randn(hid, 2 * latent) * 0.5,
            "head_b": rs.randn(2 * latent) * 0.1,
            "dec_w1": rs.randn(latent, hid) * 0.5,
            "dec_b1": rs.randn(hid) * 0.1,
            "dec_w2": rs.randn(hid, in_dim) * 0.5,
            "dec_b2": rs.randn(in_dim) * 0.1,
            "log_sigma": np.array([-0.3]),
        }

    def encode(self, x):
        p = self.params
        h = np.tanh(x @ p["enc_w"] + p["enc_b"])
        stats = h @ p["head_w"] + p["head_b"]
        return stats[:, : self.latent], stats[:, self.latent :], h

    def decode(self, z):
        p = self.params
        h = np.tanh(z @ p["dec_w1"] + p["dec_b1"])
        return h @ p["dec_w2"] + p["dec_b2"], h

    def objective(self, x, eps, beta=1.0):
        mu, logvar, h_enc = self.encode(x)
        std = np.exp(logvar / 2)
        z = mu + eps * std
        x_hat, h_dec = self.decode(z)
        log_sigma = self.params["log_sigma"]
        sq = ((x - x_hat) ** 2).sum(1)
        nll = 0.5 * sq / np.exp(2 * log_sigma) + x.shape[1] * (log_sigma + 0.5 * LOG2PI)
        kl = gauss_kl(mu, logvar)
        cache = dict(x=x, eps=eps, beta=beta, mu=mu, logvar=logvar, std=std, z=z, x_hat=x_hat, sq=sq)
        cache.update(h_enc=h_enc, h_dec=h_dec)
        return Terms(nll + beta * kl, nll, kl), cache

    def backward(self, dobjective, c):
        p, g = self.params, {}
        var = np.exp(2 * p["log_sigma"])
        d = dobjective[:, None]
        g["log_sigma"] = np.sum(dobjective * (1.0 - c["sq"] / var), keepdims=True)
        dx_hat = d * (c["x_hat"] - c["x"]) / var
        g["dec_w2"] = c["h_dec"].T @ dx_hat
        g["dec_b2"] = dx_hat.sum(0)
        da = (dx_hat @ p["dec_w2"].T) * (1 - c["h_dec"] ** 2)
        g["dec_w1"] = c["z"].T @ da
        g["dec_b1"] = da.sum(0)
        dz = da @ p["dec_w1"].T
        dmu = dz + d * c["beta"] * c["mu"]
        dlogvar = 0.5 * dz * c["eps"] * c["std"] + 0.5 * d * c["beta"] * (np.exp(c["logvar"]) - 1)
        dstats = np.concatenate([dmu, dlogvar], axis=1)
        g["head_w"] = c["h_enc"].T @ dstats
        g["head_b"] = dstats.sum(0)
        da = (dstats @ p["head_w"].T) * (1 - c["h_enc"] ** 2)
        g["enc_w"] = c["x"].T @ da
        g["enc_b"] = da.sum(0)
        return g


def make_sigma_vae():
    rs = np.random.RandomState(12)
    return {"model": SigmaVAE(6, 5, 2, 11), "x": rs.randn(4, 6), "eps": rs.randn(4, 2), "beta": 1.0}


ITEMS.append(
    Item(
        "sigma_vae",
        "research repository (sigma-VAE)",
        "gradients",
        make_sigma_vae,
        False,
        slip="the log sigma of D pixels counts once: dobjective * (1.0 - sq / var) should be"
        " dobjective * (D - sq / var) with D = x.shape[1]",
        wrong=("log_sigma",),
        causes=("missing-term", "factor"),
    )
)


# --- free bits ------------------------------------------------------------------------------------------------------


class FreeBitsVAE:
    """objective = nll + beta * sum_j max(kl_j, free_bits), per example."""

    def __init__(self, D, H, Z, free_bits, rng):
        self.free_bits = free_bits
        s = 0.6
        self.params = {
            "W_h": s * rng.standard_normal((D, H)),
            "b_h": 0.1 * rng.standard_normal(H),
            "W_mu": s * rng.standard_normal((H, Z)),
            "b_mu": 0.1 * rng.standard_normal(Z),
            "W_lv": s * rng.standard_normal((H, Z)),
            "b_lv": 0.1 * rng.standard_normal(Z),
            "W_g": s * rng.standard_normal((Z, H)),
            "b_g": 0.1 * rng.standard_normal(H),
            "W_x": s * rng.standard_normal((H, D)),
            "b_x": 0.1 * rng.standard_normal(D),
        }

    def encode(self, x):
        p = self.params
        a = x @ p["W_h"] + p["b_h"]
        h = np.where(a > 0, a, np.expm1(a))
        return h @ p["W_mu"] + p["b_mu"], h @ p["W_lv"] + p["b_lv"], (a, h)

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, lv, (a, h) = self.encode(x)
        sig = np.exp(0.5 * lv)
        z = mu + sig * eps
        ag = z @ p["W_g"] + p["b_g"]
        g = np.where(ag > 0, ag, np.expm1(ag))
        logits = g @ p["W_x"] + p["b_x"]
        nll = bce_logits(logits, x).sum(-1)
        kl_dim = 0.5 * (mu**2 + sig**2 - lv - 1.0)
        kl = np.maximum(kl_dim, self.free_bits).sum(-1)
        return Terms(nll + beta * kl, nll, kl), (x, eps, beta, a, h, mu, lv, sig, z, ag, g, logits, kl_dim)

    def backward(self, dobjective, cache):
        x, eps, beta, a, h, mu, lv, sig, z, ag, g, logits, kl_dim = cache
        p = self.params
        out = {}
        dl = dobjective[:, None] * (expit(logits) - x)
        out["W_x"], out["b_x"] = g.T @ dl, dl.sum(0)
        dag = (dl @ p["W_x"].T) * np.where(ag > 0, 1.0, np.exp(ag))
        out["W_g"], out["b_g"] = z.T @ dag, dag.sum(0)
        dz = dag @ p["W_g"].T
        dkl = beta * dobjective[:, None] * np.ones_like(kl_dim)
        dmu = dz + dkl * mu
        dlv = dz * eps * 0.5 * sig + dkl * 0.5 * (sig**2 - 1.0)
        out["W_mu"], out["b_mu"] = h.T @ dmu, dmu.sum(0)
        out["W_lv"], out["b_lv"] = h.T @ dlv, dlv.sum(0)
        da = (dmu @ p["W_mu"].T + dlv @ p["W_lv"].T) * np.where(a > 0, 1.0, np.exp(a))
        out["W_h"], out["b_h"] = x.T @ da, da.sum(0)
        return out


def make_free_bits():
    rng = np.random.default_rng(31)
    model = FreeBitsVAE(6, 5, 3, 0.4, rng)
    return {"model": model, "x": rng.random((5, 6)), "eps": rng.standard_normal((5, 3)), "beta": 1.3}


ITEMS.append(
    Item(
        "free_bits",
        "research repository (inverse autoregressive flow)",
        "gradients",
        make_free_bits,
        False,
        slip="latents under the free bits still get the KL's gradient: np.ones_like(kl_dim) should be the mask"
        " (kl_dim > self.free_bits)",
        wrong=("W_mu", "b_mu", "W_lv", "b_lv", "W_h", "b_h"),
        causes=("elementwise-factor",),
    )
)


# --- single-sample estimate of the bound --------------------------------------------------------------------------


class MonteCarloVAE:
    """The bound from one draw: -log p(x|z) - beta (log p(z) - log q(z|x)), all three at the same z."""

    def __init__(self, D, H, Z, rng):
        self.params = {}
        sizes = [("phi1", D, H), ("phi_mu", H, Z), ("phi_s", H, Z), ("theta1", Z, H), ("theta2", H, D)]
        for name, n_in, n_out in sizes:
            self.params["W_" + name] = rng.normal(scale=0.6, size=(n_in, n_out))
            self.params["b_" + name] = rng.normal(scale=0.2, size=(n_out,))

    def affine(self, name, x):
        return x @ self.params["W_" + name] + self.params["b_" + name]

    def affine_back(self, name, x, d, grads):
        grads["W_" + name] = x.T @ d
        grads["b_" + name] = np.sum(d, axis=0)
        return d @ self.params["W_" + name].T

    def encode(self, x):
        h = np.tanh(self.affine("phi1", x))
        return self.affine("phi_mu", h), self.affine("phi_s", h), h

    def objective(self, x, eps, beta=1.0):
        mu, logvar, h = self.encode(x)
        var = np.exp(logvar)
        z = mu + np.sqrt(var) * eps
        hd = np.tanh(self.affine("theta1", z))
        logits = self.affine("theta2", hd)
        nll = np.sum(bce_logits(logits, x), axis=1)
        log_prior = -0.5 * np.sum(LOG2PI + z**2, axis=1)
        log_q = -0.5 * np.sum(LOG2PI + logvar + (z - mu) ** 2 / var, axis=1)
        kl = log_q - log_prior
        return Terms(nll + beta * kl, nll, kl), (x, eps, beta, h, mu, logvar, z, hd, logits)

    def backward(self, dobjective, cache):
        x, eps, beta, h, mu, logvar, z, hd, logits = cache
        grads = {}
        var = np.exp(logvar)
        w = dobjective.reshape(-1, 1)
        dlog_q = w * beta
        dlog_prior = -w * beta

        dhd = self.affine_back("theta2", hd, w * (expit(logits) - x), grads)
        dz = self.affine_back("theta1", z, dhd * (1 - hd**2), grads)
        dz = dz - dlog_prior * z
        dz = dz - dlog_q * (z - mu) / var

        dlogvar = -0.5 * dlog_q * (1 - (z - mu) ** 2 / var)
        dmu = dz
        dlogvar = dlogvar + dz * eps * 0.5 * np.sqrt(var)
        dh = self.affine_back("phi_mu", h, dmu, grads)
        dh = dh + self.affine_back("phi_s", h, dlogvar, grads)
        self.affine_back("phi1", x, dh * (1 - h**2), grads)
        return grads


def make_single_sample():
    rng = np.random.default_rng(8)
    model = MonteCarloVAE(4, 4, 3, rng)
    return {"model": model, "x": rng.uniform(size=(4, 4)), "eps": rng.normal(size=(4, 3)), "beta": 0.7}


ITEMS.append(
    Item(
        "single_sample",
        "deep learning book",
        "gradients",
        make_single_sample,
        False,
        slip="log q depends on mu through z and directly, and the direct path is left out: dmu = dz should be"
        " dz + dlog_q * (z - mu) / var",
        wrong=("W_phi_mu", "b_phi_mu", "W_phi1", "b_phi1"),
        causes=("missing-term",),
    )
)


# --- tied weights ---------------------------------------------------------------------------------------------------


class TiedVAE:
    """As a denoising autoencoder with W_prime = W.T, but with a stochastic code in the middle."""

    def __init__(self, numpy_rng, n_visible=6, n_hidden=4, n_code=2):
        bound = 4 * np.sqrt(6.0 / (n_hidden + n_visible)) / 2
        self.params = {
            "W": numpy_rng.uniform(low=-bound, high=bound, size=(n_visible, n_hidden)),
            "bhid": numpy_rng.normal(size=n_hidden) * 0.1,
            "bvis": numpy_rng.normal(size=n_visible) * 0.1,
            "U": numpy_rng.normal(size=(n_hidden, n_code)),
            "V": numpy_rng.normal(size=(n_hidden, n_code)),
            "bu": numpy_rng.normal(size=n_code) * 0.1,
            "bv": numpy_rng.normal(size=n_code) * 0.1,
            "C": numpy_rng.normal(size=(n_code, n_hidden)),
            "c": numpy_rng.normal(size=n_hidden) * 0.1,
        }

    def get_hidden_values(self, x):
        return expit(np.dot(x, self.params["W"]) + self.params["bhid"])

    def get_reconstructed_input(self, hidden):
        return np.dot(hidden, self.params["W"].T) + self.params["bvis"]

    def objective(self, x, eps, beta=1.0):
        p = self.params
        y = self.get_hidden_values(x)
        mu, logvar = np.dot(y, p["U"]) + p["bu"], np.dot(y, p["V"]) + p["bv"]
        code = mu + np.exp(0.5 * logvar) * eps
        y2 = expit(np.dot(code, p["C"]) + p["c"])
        act = self.get_reconstructed_input(y2)
        nll = bce_logits(act, x).sum(axis=1)
        kl = -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=1)
        return Terms(nll + beta * kl, nll, kl), [x, eps, beta, y, mu, logvar, code, y2, act]

    def backward(self, dobjective, cache):
        p = self.params
        x, eps, beta, y, mu, logvar, code, y2, act = cache
        cost = dobjective[:, np.newaxis]
        gparams = {}
        dact = cost * (expit(act) - x)
        gparams["bvis"] = dact.sum(axis=0)
        gparams["W"] = np.dot(dact.T, y2)
        dy2 = np.dot(dact, p["W"]) * y2 * (1 - y2)
        gparams["C"] = np.dot(code.T, dy2)
        gparams["c"] = dy2.sum(axis=0)
        dcode = np.dot(dy2, p["C"].T)
        dmu = dcode + cost * beta * mu
        dlogvar = dcode * eps * 0.5 * np.exp(0.5 * logvar) - 0.5 * cost * beta * (1 - np.exp(logvar))
        gparams["U"] = np.dot(y.T, dmu)
        gparams["bu"] = dmu.sum(axis=0)
        gparams["V"] = np.dot(y.T, dlogvar)
        gparams["bv"] = dlogvar.sum(axis=0)
        dy = (np.dot(dmu, p["U"].T) + np.dot(dlogvar, p["V"].T)) * y * (1 - y)
        gparams["W"] = np.dot(x.T, dy)
        gparams["bhid"] = dy.sum(axis=0)
        return gparams


def make_tied():
    rng = np.random.RandomState(123)
    return {"model": TiedVAE(rng), "x": rng.uniform(size=(5, 6)), "eps": rng.normal(size=(5, 2)), "beta": 1.0}


ITEMS.append(
    Item(
        "tied_weights",
        "Theano tutorial port",
        "gradients",
        make_tied,
        False,
        slip="W is used by the encoder and, transposed, by the decoder, and the second assignment throws the decoder's"
        " part away: gparams['W'] = np.dot(x.T, dy) should be +=",
        wrong=("W",),
        causes=("missing-term",),
    )
)


# --- residual decoder ---------------------------------------------------------------------------------------------


class Layer:
    def __init__(self, name):
        self.name = name

    def build(self, params, rng):
        pass


class Dense(Layer):
    def __init__(self, name, n_in, units):
        super().__init__(name)
        self.n_in, self.units = n_in, units

    def build(self, params, rng):
        limit = np.sqrt(6 / (self.n_in + self.units))
        params[self.name + "/kernel"] = rng.uniform(-limit, limit, (self.n_in, self.units))
        params[self.name + "/bias"] = rng.uniform(-0.2, 0.2, self.units)

    def call(self, params, x):
        return x @ params[self.name + "/kernel"] + params[self.name + "/bias"], x

    def grad(self, params, dy, x, grads):
        grads[self.name + "/kernel"] = x.T @ dy
        grads[self.name + "/bias"] = dy.sum(axis=0)
        return dy @ params[self.name + "/kernel"].T


class ReLU(Layer):
    def call(self, params, x):
        return np.maximum(x, 0), x

    def grad(self, params, dy, x, grads):
        return dy * (x > 0)


class ResidualDense(Dense):
    """y = x + relu(x W + b)"""

    def __init__(self, name, units):
        super().__init__(name, units, units)

    def call(self, params, x):
        pre, _ = super().call(params, x)
        y = x + np.maximum(pre, 0)
        return y, (x, y)

    def grad(self, params, dy, cache, grads):
        x, y = cache
        dpre = dy * (y > 0)
        return dy + super().grad(params, dpre, x, grads)


class Sequential:
    def __init__(self, layers):
        self.layers = layers

    def build(self, params, rng):
        for layer in self.layers:
            layer.build(params, rng)

    def call(self, params, x):
        caches = []
        for layer in self.layers:
            x, cache = layer.call(params, x)
            caches.append(cache)
        return x, caches

    def grad(self, params, dy, caches, grads):
        for layer, cache in zip(reversed(self.layers), reversed(caches)):
            dy = layer.grad(params, dy, cache, grads)
        return dy


class ResidualVAE:
    def __init__(self, n_in, units, n_z, rng):
        self.n_z = n_z
        self.encoder = Sequential([Dense("enc1", n_in, units), ReLU("enc1_relu"), Dense("stats", units, 2 * n_z)])
        self.decoder = Sequential(
            [
                Dense("dec1", n_z, units),
                ResidualDense("res1", units),
                ResidualDense("res2", units),
                Dense("out", units, n_in),
            ]
        )
        self.params = {}
        self.encoder.build(self.params, rng)
        self.decoder.build(self.params, rng)

    def encode(self, x):
        stats, caches = self.encoder.call(self.params, x)
        mu, logvar = np.split(stats, 2, axis=1)
        return mu, logvar, caches

    def objective(self, x, eps, beta=1.0):
        mu, logvar, enc = self.encode(x)
        sigma = np.exp(0.5 * logvar)
        x_hat, dec = self.decoder.call(self.params, mu + sigma * eps)
        nll = 0.5 * np.sum((x - x_hat) ** 2 + LOG2PI, axis=1)
        kl = gauss_kl(mu, logvar)
        return Terms(nll + beta * kl, nll, kl), (x, eps, beta, mu, logvar, sigma, x_hat, enc, dec)

    def backward(self, dobjective, cache):
        x, eps, beta, mu, logvar, sigma, x_hat, enc, dec = cache
        d = dobjective[:, None]
        grads = {}
        dz = self.decoder.grad(self.params, d * (x_hat - x), dec, grads)
        dmu = dz + beta * d * mu
        dlogvar = 0.5 * dz * eps * sigma + 0.5 * beta * d * (sigma**2 - 1)
        self.encoder.grad(self.params, np.hstack([dmu, dlogvar]), enc, grads)
        return grads


def make_residual():
    rng = np.random.default_rng(77)
    model = ResidualVAE(4, 5, 2, rng)
    return {"model": model, "x": rng.normal(size=(5, 4)), "eps": rng.normal(size=(5, 2)), "beta": 0.5}


ITEMS.append(
    Item(
        "residual_decoder",
        "Keras-like library",
        "gradients",
        make_residual,
        False,
        slip="the ReLU of a residual block is masked by the block's output, skip and all: dy * (y > 0) should be"
        " dy * (pre > 0) with pre = x W + b",
        wrong=(
            *("enc1/kernel", "enc1/bias", "stats/kernel", "stats/bias", "dec1/kernel", "dec1/bias"),
            *("res1/kernel", "res1/bias", "res2/kernel", "res2/bias"),
        ),
        causes=("elementwise-factor",),
    )
)


# --- ladder of two --------------------------------------------------------------------------------------------------


class Ladder2:
    """x -> d1 -> d2; q(z2|d2), q(z1|d1); p(z2) = N(0, I), p(z1|z2) Gaussian, p(x|z1) Bernoulli. eps: (B, z1 + z2)."""

    def __init__(self, x_dim, h_dim, z1_dim, z2_dim, rng):
        self.z1_dim = z1_dim
        sizes = {
            "d1": (x_dim, h_dim),
            "q1_mu": (h_dim, z1_dim),
            "q1_lv": (h_dim, z1_dim),
            "d2": (h_dim, h_dim),
            "q2_mu": (h_dim, z2_dim),
            "q2_lv": (h_dim, z2_dim),
            "p1_mu": (z2_dim, z1_dim),
            "p1_lv": (z2_dim, z1_dim),
            "dx": (z1_dim, h_dim),
            "x": (h_dim, x_dim),
        }
        self.params = {}
        for k, (m, n) in sizes.items():
            self.params[k + "_w"] = rng.normal(0, 0.7 / np.sqrt(m), (m, n))
            self.params[k + "_b"] = rng.normal(0, 0.1, n)

    def lin(self, k, x):
        return x @ self.params[k + "_w"] + self.params[k + "_b"]

    def lin_b(self, k, x, d, g):
        g[k + "_w"], g[k + "_b"] = x.T @ d, d.sum(0)
        return d @ self.params[k + "_w"].T

    def objective(self, x, eps, beta=1.0):
        c = {"x": x, "beta": beta}
        c["e1"], c["e2"] = eps[:, : self.z1_dim], eps[:, self.z1_dim :]
        c["d1"] = d1 = np.tanh(self.lin("d1", x))
        c["d2"] = d2 = np.tanh(self.lin("d2", d1))
        c["m1"], c["v1"] = m1, v1 = self.lin("q1_mu", d1), self.lin("q1_lv", d1)
        c["m2"], c["v2"] = m2, v2 = self.lin("q2_mu", d2), self.lin("q2_lv", d2)
        c["z2"] = z2 = m2 + np.exp(v2 / 2) * c["e2"]
        c["mp"], c["vp"] = mp, vp = self.lin("p1_mu", z2), self.lin("p1_lv", z2)
        c["z1"] = z1 = m1 + np.exp(v1 / 2) * c["e1"]
        c["hx"] = hx = np.tanh(self.lin("dx", z1))
        c["logits"] = logits = self.lin("x", hx)
        nll = bce_logits(logits, x).sum(1)
        kl2 = gauss_kl(m2, v2)
        kl1 = 0.5 * (vp - v1 + (np.exp(v1) + (m1 - mp) ** 2) / np.exp(vp) - 1).sum(1)
        kl = kl1 + kl2
        return Terms(nll + beta * kl, nll, kl), c

    def backward(self, dobjective, c):
        g = {}
        w = dobjective[:, None]
        wb = w * c["beta"]
        # p(x|z1)
        dhx = self.lin_b("x", c["hx"], w * (expit(c["logits"]) - c["x"]), g)
        dz1 = self.lin_b("dx", c["z1"], dhx * (1 - c["hx"] ** 2), g)
        # KL(q(z1|x) || p(z1|z2))
        ivp = np.exp(-c["vp"])
        diff = c["m1"] - c["mp"]
        dm1 = dz1 + wb * diff * ivp
        dv1 = dz1 * c["e1"] * 0.5 * np.exp(c["v1"] / 2) + wb * 0.5 * (np.exp(c["v1"]) * ivp - 1)
        dmp = wb * diff * ivp
        dvp = wb * 0.5 * (1 - (np.exp(c["v1"]) + diff**2) * ivp)
        dz2 = self.lin_b("p1_mu", c["z2"], dmp, g) + self.lin_b("p1_lv", c["z2"], dvp, g)
        # KL(q(z2|x) || N(0, I))
        dm2 = dz2 + wb * c["m2"]
        dv2 = dz2 * c["e2"] * 0.5 * np.exp(c["v2"] / 2) + wb * 0.5 * (np.exp(c["v2"]) - 1)
        dd2 = self.lin_b("q2_mu", c["d2"], dm2, g) + self.lin_b("q2_lv", c["d2"], dv2, g)
        dd1 = self.lin_b("d2", c["d1"], dd2 * (1 - c["d2"] ** 2), g)
        dd1 = dd1 + self.lin_b("q1_mu", c["d1"], dm1, g) + self.lin_b("q1_lv", c["d1"], dv1, g)
        self.lin_b("d1", c["x"], dd1 * (1 - c["d1"] ** 2), g)
        return g


def make_ladder():
    rng = np.random.default_rng(2016)
    model = Ladder2(5, 4, 3, 2, rng)
    return {"model": model, "x": rng.random((4, 5)), "eps": rng.normal(size=(4, 5)), "beta": 1.0}


ITEMS.append(
    Item(
        "ladder_of_two",
        "research repository (ladder VAE)",
        "gradients",
        make_ladder,
        False,
        slip="the KL falls as the prior's mean nears q's: dmp = wb * diff * ivp should be -wb * diff * ivp",
        wrong=("d1_w", "d1_b", "d2_w", "d2_b", "q2_mu_w", "q2_mu_b", "q2_lv_w", "q2_lv_b", "p1_mu_w", "p1_mu_b"),
        causes=("sign",),
    )
)


# --- VampPrior --------------------------------------------------------------------------------------------------------


class VampVAE:
    """Prior: mixture of q(z|u_k) over learned pseudo-inputs u_k. KL by one draw."""

    def __init__(self, input_size, hidden, z1_size, number_components, rng):
        self.params = {
            "q_z_layers": rng.normal(0, 0.6, (input_size, hidden)),
            "q_z_mean": rng.normal(0, 0.6, (hidden, z1_size)),
            "q_z_logvar": rng.normal(0, 0.6, (hidden, z1_size)),
            "p_x_layers": rng.normal(0, 0.6, (z1_size, hidden)),
            "p_x_mean": rng.normal(0, 0.6, (hidden, input_size)),
            "means": rng.uniform(0, 1, (number_components, input_size)),
        }

    def q_z(self, x):
        p = self.params
        h = np.tanh(x @ p["q_z_layers"])
        return h @ p["q_z_mean"], h @ p["q_z_logvar"], (x, h)

    encode = q_z

    def q_z_backward(self, dmean, dlogvar, cache, grads):
        p = self.params
        x, h = cache
        grads["q_z_mean"] += h.T @ dmean
        grads["q_z_logvar"] += h.T @ dlogvar
        da = (dmean @ p["q_z_mean"].T + dlogvar @ p["q_z_logvar"].T) * (1 - h * h)
        grads["q_z_layers"] += x.T @ da
        return da @ p["q_z_layers"].T

    def log_p_z(self, z):
        m, lv, cache_u = self.q_z(self.params["means"])
        diff = z[:, None, :] - m[None]
        a = -0.5 * np.sum(LOG2PI + lv[None] + diff**2 * np.exp(-lv)[None], axis=2) - np.log(len(m))
        a_max = a.max(axis=1, keepdims=True)
        log_prior = a_max[:, 0] + np.log(np.exp(a - a_max).sum(axis=1))
        return log_prior, (a, diff, lv, cache_u)

    def log_p_z_backward(self, dlog, cache, grads):
        a, diff, lv, cache_u = cache
        r = np.exp(a - a.max(axis=0, keepdims=True))
        r = r / r.sum(axis=0, keepdims=True)
        da = (dlog[:, None] * r)[:, :, None]
        iv = np.exp(-lv)[None]
        dz = np.sum(-da * diff * iv, axis=1)
        dm = np.sum(da * diff * iv, axis=0)
        dlv = np.sum(-0.5 * da * (1 - diff**2 * iv), axis=0)
        grads["means"] += self.q_z_backward(dm, dlv, cache_u, grads)
        return dz

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mean, logvar, cache_q = self.q_z(x)
        z = mean + eps * np.exp(0.5 * logvar)
        hd = np.tanh(z @ p["p_x_layers"])
        logits = hd @ p["p_x_mean"]
        RE = bce_logits(logits, x).sum(axis=1)
        log_q = -0.5 * np.sum(LOG2PI + logvar + eps**2, axis=1)
        log_prior, cache_p = self.log_p_z(z)
        KL = log_q - log_prior
        return Terms(RE + beta * KL, RE, KL), (x, eps, beta, logvar, z, hd, logits, cache_q, cache_p)

    def backward(self, dobjective, cache):
        x, eps, beta, logvar, z, hd, logits, cache_q, cache_p = cache
        p = self.params
        grads = {k: np.zeros_like(v) for k, v in p.items()}
        d = dobjective[:, None]
        dlogits = d * (expit(logits) - x)
        grads["p_x_mean"] += hd.T @ dlogits
        dhd = (dlogits @ p["p_x_mean"].T) * (1 - hd * hd)
        grads["p_x_layers"] += z.T @ dhd
        dz = dhd @ p["p_x_layers"].T
        dz = dz + self.log_p_z_backward(-beta * dobjective, cache_p, grads)
        dlogvar = 0.5 * dz * eps * np.exp(0.5 * logvar) - 0.5 * beta * d
        self.q_z_backward(dz, dlogvar, cache_q, grads)
        return grads


def make_vamp():
    rng = np.random.default_rng(1705)
    model = VampVAE(5, 4, 2, 3, rng)
    return {"model": model, "x": rng.random((5, 5)), "eps": rng.normal(size=(5, 2)), "beta": 1.0}


ITEMS.append(
    Item(
        "vamp_prior",
        "research repository (VampPrior)",
        "gradients",
        make_vamp,
        False,
        slip="the responsibilities of the mixture are normalised over the batch: r / r.sum(axis=0) (and the max) should"
        " be over the components, r / r.sum(axis=1, keepdims=True)",
        wrong=("means", "q_z_layers", "q_z_mean", "q_z_logvar"),
        causes=("shape", "elementwise-factor"),
    )
)


# --- Student-t decoder --------------------------------------------------------------------------------------------


def _dense_vjp(x, w, b):
    def pullback(ct):
        return ct @ w.T, x.T @ ct, ct.sum(0)

    return x @ w + b, pullback


def _softsign_vjp(x):
    den = 1 + np.abs(x)

    def pullback(ct):
        return ct / den**2

    return x / den, pullback


def _student_t_log_prob_vjp(x, df, loc, log_scale):
    """Summed over the last axis, as tfd.Independent(tfd.StudentT(df, loc, scale), 1)."""
    scale = np.exp(log_scale)
    y = (x - loc) / scale
    norm = log_scale + 0.5 * np.log(df) + 0.5 * np.log(np.pi) + gammaln(0.5 * df) - gammaln(0.5 * (df + 1))
    log_prob = np.sum(-0.5 * (df + 1) * np.log1p(y**2 / df) - norm, axis=-1)

    def pullback(ct):
        ct = ct[:, None]
        d_loc = ct * 0.5 * (df + 1) * y / (df + y**2) / scale
        d_log_scale = np.sum(ct * ((df + 1) * y**2 / (df + y**2) - 1), axis=0)
        return d_loc, d_log_scale

    return log_prob, pullback


def _reparam_vjp(mu, logvar, eps):
    sigma = np.exp(0.5 * logvar)

    def pullback(ct):
        return ct, 0.5 * ct * sigma * eps

    return mu + sigma * eps, pullback


def _kl_vjp(mu, logvar):
    def pullback(ct):
        return ct[:, None] * mu, 0.5 * ct[:, None] * np.expm1(logvar)

    return 0.5 * np.sum(mu**2 + np.expm1(logvar) - logvar, axis=-1), pullback


class StudentTVAE:
    def __init__(self, key, features, hidden, latent, df):
        rng = np.random.default_rng(key)
        self.df = df
        self.params = {"log_scale": rng.normal(-0.5, 0.2, features)}
        for name, m, n in [("e", features, hidden), ("mu", hidden, latent), ("lv", hidden, latent)]:
            self.params["w_" + name] = rng.normal(0, 1 / np.sqrt(m), (m, n))
            self.params["b_" + name] = rng.normal(0, 0.1, n)
        for name, m, n in [("d", latent, hidden), ("o", hidden, features)]:
            self.params["w_" + name] = rng.normal(0, 1 / np.sqrt(m), (m, n))
            self.params["b_" + name] = rng.normal(0, 0.1, n)

    def objective(self, x, eps, beta=1.0):
        p, vjp = self.params, {}

        def dense(name, h):
            out, vjp[name] = _dense_vjp(h, p["w_" + name], p["b_" + name])
            return out

        h, vjp["act_e"] = _softsign_vjp(dense("e", x))
        mu, logvar = dense("mu", h), dense("lv", h)
        z, vjp["sample"] = _reparam_vjp(mu, logvar, eps)
        h, vjp["act_d"] = _softsign_vjp(dense("d", z))
        log_prob, vjp["log_prob"] = _student_t_log_prob_vjp(x, self.df, dense("o", h), p["log_scale"])
        kl, vjp["kl"] = _kl_vjp(mu, logvar)
        return Terms(-log_prob + beta * kl, -log_prob, kl), (vjp, beta)

    def backward(self, dobjective, cache):
        vjp, beta = cache
        grads = {}

        def dense_t(name, ct):
            ct, grads["w_" + name], grads["b_" + name] = vjp[name](ct)
            return ct

        ct, grads["log_scale"] = vjp["log_prob"](-dobjective)
        dmu, dlv = vjp["sample"](dense_t("d", vjp["act_d"](dense_t("o", ct))))
        kmu, klv = vjp["kl"](beta * dobjective)
        ct = dense_t("mu", dmu + kmu) + dense_t("lv", dlv + klv)
        dense_t("e", vjp["act_e"](ct))
        return grads


def make_student_t():
    rng = np.random.default_rng(55)
    model = StudentTVAE(3, 4, 5, 2, 3.0)
    return {"model": model, "x": rng.normal(size=(4, 4)), "eps": rng.normal(size=(4, 2)), "beta": 2.0}


ITEMS.append(
    Item(
        "student_t_decoder",
        "JAX/TFP port",
        "gradients",
        make_student_t,
        False,
        slip="the 2 of the derivative of y**2 is lost: d_loc = ct * 0.5 * (df + 1) * y / (df + y**2) / scale should"
        " have (df + 1) without 0.5",
        wrong=("w_e", "b_e", "w_mu", "b_mu", "w_lv", "b_lv", "w_d", "b_d", "w_o", "b_o"),
        causes=("factor",),
    )
)


# --- features first -------------------------------------------------------------------------------------------------


class ColumnVAE:
    """Examples are columns: Z1 = W1 X + b1 with X of shape (n_x, m). The caller's x is (m, n_x)."""

    def __init__(self, layers_dims, n_z):
        np_rng = np.random.RandomState(1)
        n_x, n_h = layers_dims
        shapes = {1: (n_h, n_x), 2: (n_h, n_h), 3: (2 * n_z, n_h), 4: (n_h, n_z), 5: (n_x, n_h)}
        self.n_z = n_z
        self.params = {}
        for l, shape in shapes.items():
            self.params["W" + str(l)] = np_rng.randn(*shape) / np.sqrt(shape[1])
            self.params["b" + str(l)] = np_rng.randn(shape[0], 1) * 0.1

    def objective(self, x, eps, beta=1.0):
        W1, b1, W2, b2, W3, b3, W4, b4, W5, b5 = [self.params[k + l] for l in "12345" for k in "Wb"]
        X, E = x.T, eps.T
        A1 = np.tanh(np.dot(W1, X) + b1)
        A2 = np.tanh(np.dot(W2, A1) + b2)
        Z3 = np.dot(W3, A2) + b3
        MU, LV = Z3[: self.n_z], Z3[self.n_z :]
        S = np.exp(LV / 2)
        Z = MU + S * E
        A4 = np.tanh(np.dot(W4, Z) + b4)
        A5 = expit(np.dot(W5, A4) + b5)
        nll = -np.sum(X * np.log(A5) + (1 - X) * np.log(1 - A5), axis=0)
        kl = -0.5 * np.sum(1 + LV - np.square(MU) - np.exp(LV), axis=0)
        return Terms(nll + beta * kl, nll, kl), (X, E, beta, A1, A2, MU, LV, S, Z, A4, A5)

    def backward(self, dobjective, cache):
        X, E, beta, A1, A2, MU, LV, S, Z, A4, A5 = cache
        W2, W3, W4, W5 = [self.params["W" + l] for l in "2345"]
        d = dobjective.reshape(1, -1)
        dZ5 = d * (A5 - X)
        dW5 = np.dot(dZ5, A4.T)
        db5 = np.sum(dZ5, axis=1, keepdims=True)
        dZ4 = np.dot(W5.T, dZ5) * (1 - np.power(A4, 2))
        dW4 = np.dot(dZ4, Z.T)
        db4 = np.sum(dZ4, axis=1, keepdims=True)
        dZ = np.dot(W4.T, dZ4)
        dMU = dZ + d * beta * MU
        dLV = 0.5 * dZ * E * S + 0.5 * d * beta * (np.exp(LV) - 1)
        dZ3 = np.vstack([dMU, dLV])
        dW3 = np.dot(dZ3, A2.T)
        db3 = np.sum(dZ3, axis=1, keepdims=True)
        dZ2 = np.dot(W3.T, dZ3) * (1 - np.power(A2, 2))
        dW2 = np.dot(A1, dZ2.T)
        db2 = np.sum(dZ2, axis=1, keepdims=True)
        dZ1 = np.dot(W2.T, dZ2) * (1 - np.power(A1, 2))
        dW1 = np.dot(dZ1, X.T)
        db1 = np.sum(dZ1, axis=1, keepdims=True)
        grads = {"W1": dW1, "W2": dW2, "W3": dW3, "W4": dW4, "W5": dW5}
        grads.update({"b1": db1, "b2": db2, "b3": db3, "b4": db4, "b5": db5})
        return grads


def make_columns():
    rng = np.random.RandomState(2)
    return {"model": ColumnVAE((6, 4), 2), "x": rng.rand(5, 6), "eps": rng.randn(5, 2), "beta": 1.0}


ITEMS.append(
    Item(
        "features_first",
        "Coursera notebook",
        "gradients",
        make_columns,
        False,
        slip="the gradient of the square W2 comes out transposed: np.dot(A1, dZ2.T) should be np.dot(dZ2, A1.T)",
        wrong=("W2",),
        causes=("transpose",),
    )
)


# --- learned prior, ReLU --------------------------------------------------------------------------------------------


def affine_forward(x, w, b):
    return x.dot(w) + b, (x, w)


def affine_backward(dout, cache):
    x, w = cache
    return dout.dot(w.T), x.T.dot(dout), np.sum(dout, axis=0)


def relu_forward(x):
    return np.maximum(0, x), x


def relu_backward(dout, cache):
    return np.where(cache > 0, dout, 0)


class TwoLayerVAE:
    """{affine - relu} - affine on both sides; the prior N(prior_mu, exp(prior_logvar)) is learned too."""

    def __init__(self, input_dim, hidden_dim, latent_dim, weight_scale, seed):
        rs = np.random.RandomState(seed)
        self.params = {}
        dims = [input_dim, hidden_dim, 2 * latent_dim]
        for i in range(2):
            self.params["We%d" % (i + 1)] = weight_scale * rs.randn(dims[i], dims[i + 1])
            self.params["be%d" % (i + 1)] = 0.1 * rs.randn(dims[i + 1])
        dims = [latent_dim, hidden_dim, input_dim]
        for i in range(2):
            self.params["Wd%d" % (i + 1)] = weight_scale * rs.randn(dims[i], dims[i + 1])
            self.params["bd%d" % (i + 1)] = 0.1 * rs.randn(dims[i + 1])
        self.params["prior_mu"] = 0.3 * rs.randn(latent_dim)
        self.params["prior_logvar"] = 0.3 * rs.randn(latent_dim)

    def encode(self, x):
        p = self.params
        h, c1 = affine_forward(x, p["We1"], p["be1"])
        h, c2 = relu_forward(h)
        scores, c3 = affine_forward(h, p["We2"], p["be2"])
        Z = scores.shape[1] // 2
        return scores[:, :Z], scores[:, Z:], (c1, c2, c3)

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, logvar, enc_cache = self.encode(x)
        z = mu + np.exp(0.5 * logvar) * eps
        h, c1 = affine_forward(z, p["Wd1"], p["bd1"])
        h, c2 = relu_forward(h)
        logits, c3 = affine_forward(h, p["Wd2"], p["bd2"])
        nll = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
        dist = mu - p["prior_mu"]
        ratio = np.exp(logvar - p["prior_logvar"])
        kl = 0.5 * np.sum(p["prior_logvar"] - logvar + ratio + dist**2 * np.exp(-p["prior_logvar"]) - 1, axis=1)
        return Terms(nll + beta * kl, nll, kl), (x, eps, beta, logvar, logits, dist, ratio, enc_cache, (c1, c2, c3))

    def backward(self, dobjective, cache):
        x, eps, beta, logvar, logits, dist, ratio, enc_cache, dec_cache = cache
        grads = {}
        prec = np.exp(-self.params["prior_logvar"])
        dnll = dobjective[:, np.newaxis]
        dkl = beta * dobjective[:, np.newaxis]
        dout = dnll * (1 / (1 + np.exp(-logits)) - x)
        dout, grads["Wd2"], grads["bd2"] = affine_backward(dout, dec_cache[2])
        dout = relu_backward(dout, dec_cache[1])
        dz, grads["Wd1"], grads["bd1"] = affine_backward(dout, dec_cache[0])
        dmu_kl = dkl * dist * prec
        grads["prior_mu"] = -np.sum(dmu_kl, axis=0)
        grads["prior_logvar"] = 0.5 * np.sum(dkl * (1 - ratio - dist**2 * prec), axis=0)
        dmu = dz + dmu_kl
        dlogvar = 0.5 * dz * np.exp(0.5 * logvar) * eps + 0.5 * dkl * (ratio - 1)
        dout, grads["We2"], grads["be2"] = affine_backward(np.hstack((dmu, dlogvar)), enc_cache[2])
        dout = relu_backward(dout, enc_cache[1])
        _, grads["We1"], grads["be1"] = affine_backward(dout, enc_cache[0])
        return grads


def make_learned_prior():
    model = TwoLayerVAE(6, 5, 2, 0.5, 231)
    rng = np.random.default_rng(232)
    return {"model": model, "x": rng.random((4, 6)), "eps": rng.standard_normal((4, 2)), "beta": 4.0}


ITEMS.append(Item("learned_prior", "CS231n assignment", "gradients", make_learned_prior, True))


# --- Laplace decoder with a scale per pixel -----------------------------------------------------------------------


class LaplaceVAE:
    """p(x|z) = Laplace(loc(z), softplus(rho(z)) + floor); one affine head gives both, loc first."""

    def __init__(self, n_x, n_h, n_z, rng, floor=0.05):
        self.floor = floor
        self.params = {
            "enc/w0": rng.normal(0, 0.5, (n_x, n_h)),
            "enc/b0": rng.normal(0, 0.1, n_h),
            "enc/gain": rng.uniform(0.5, 1.5, n_h),
            "enc/w_mu": rng.normal(0, 0.5, (n_h, n_z)),
            "enc/w_lv": rng.normal(0, 0.5, (n_h, n_z)),
            "dec/w0": rng.normal(0, 0.5, (n_z, n_h)),
            "dec/b0": rng.normal(0, 0.1, n_h),
            "dec/w1": rng.normal(0, 0.5, (n_h, 2 * n_x)),
            "dec/b1": rng.normal(0, 0.1, 2 * n_x),
        }

    def encode(self, x):
        p = self.params
        a = x @ p["enc/w0"] + p["enc/b0"]
        t = np.tanh(p["enc/gain"] * a)
        return t @ p["enc/w_mu"], t @ p["enc/w_lv"], (a, t)

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, lv, (a, t) = self.encode(x)
        z = mu + np.exp(lv * 0.5) * eps
        u = z @ p["dec/w0"] + p["dec/b0"]
        h = u * expit(u)
        out = h @ p["dec/w1"] + p["dec/b1"]
        loc, rho = np.hsplit(out, 2)
        b = np.logaddexp(0, rho) + self.floor
        nll = (np.abs(x - loc) / b + np.log(2 * b)).sum(-1)
        kl = gauss_kl(mu, lv)
        return Terms(nll + beta * kl, nll, kl), (x, eps, beta, mu, lv, a, t, z, u, h, loc, rho, b)

    def backward(self, dobjective, cache):
        x, eps, beta, mu, lv, a, t, z, u, h, loc, rho, b = cache
        p = self.params
        w = dobjective[:, None]
        r = x - loc
        dloc = -w * np.sign(r) / b
        drho = w * (b - np.abs(r)) / b**2 * expit(rho)
        dout = np.hstack([dloc, drho])
        s = expit(u)
        du = (dout @ p["dec/w1"].T) * (s + h * (1 - s))
        dz = du @ p["dec/w0"].T
        dmu = dz + w * beta * mu
        dlv = 0.5 * (dz * eps * np.exp(lv * 0.5) + w * beta * np.expm1(lv))
        dpre = (dmu @ p["enc/w_mu"].T + dlv @ p["enc/w_lv"].T) * (1 - t**2)
        da = dpre * p["enc/gain"]
        return {
            "dec/w1": h.T @ dout,
            "dec/b1": dout.sum(0),
            "dec/w0": z.T @ du,
            "dec/b0": du.sum(0),
            "enc/w_mu": t.T @ dmu,
            "enc/w_lv": t.T @ dlv,
            "enc/gain": np.einsum("bh,bh->h", dpre, a),
            "enc/w0": x.T @ da,
            "enc/b0": da.sum(0),
        }


def make_laplace():
    rng = np.random.default_rng(1812)
    model = LaplaceVAE(5, 4, 2, rng)
    return {"model": model, "x": rng.normal(size=(4, 5)), "eps": rng.normal(size=(4, 2)), "beta": 0.25}


ITEMS.append(Item("laplace_decoder", "research repository (robust VAE)", "gradients", make_laplace, True))


# --- planar flows -----------------------------------------------------------------------------------------------------


class PlanarVAE:
    """q(z|x): a Gaussian pushed through planar flows f(z) = z + u tanh(w z + b), the same for every x."""

    def __init__(self, D, H, Z, n_flows, seed):
        rs = np.random.RandomState(seed)
        self.n_flows = n_flows
        self.params = {"W1": rs.randn(D, H) * 0.5, "Wm": rs.randn(H, Z) * 0.5, "Wv": rs.randn(H, Z) * 0.5}
        self.params.update({"V1": rs.randn(Z, H) * 0.5, "V2": rs.randn(H, D) * 0.5, "c": rs.randn(D) * 0.1})
        for k in range(n_flows):
            self.params["u%d" % k] = rs.randn(Z) * 0.4
            self.params["w%d" % k] = rs.randn(Z) * 0.4
            self.params["b%d" % k] = rs.randn(1) * 0.4

    def objective(self, x, eps, beta=1.0):
        p = self.params
        h = np.tanh(x @ p["W1"])
        m, v = h @ p["Wm"], h @ p["Wv"]
        z = m + np.exp(0.5 * v) * eps
        log_q = -0.5 * (v + eps**2 + LOG2PI).sum(1)
        steps = []
        for k in range(self.n_flows):
            u, w = p["u%d" % k], p["w%d" % k]
            t = np.tanh(z @ w + p["b%d" % k])
            det = 1 + (1 - t**2) * (u @ w)
            steps.append((z, t, det))
            z = z + t[:, None] * u
            log_q = log_q - np.log(np.abs(det))
        log_p = -0.5 * (z**2 + LOG2PI).sum(1)
        g = np.tanh(z @ p["V1"])
        logits = g @ p["V2"] + p["c"]
        nll = bce_logits(logits, x).sum(1)
        kl = log_q - log_p
        return Terms(nll + beta * kl, nll, kl), (x, eps, beta, h, v, steps, z, g, logits)

    def backward(self, dobjective, cache):
        x, eps, beta, h, v, steps, z, g, logits = cache
        p, grads = self.params, {}
        dl = dobjective[:, None] * (expit(logits) - x)
        grads["V2"], grads["c"] = g.T @ dl, dl.sum(0)
        dg = (dl @ p["V2"].T) * (1 - g**2)
        grads["V1"] = z.T @ dg
        dkl = beta * dobjective
        dz = dg @ p["V1"].T + dkl[:, None] * z
        for k in range(self.n_flows - 1, -1, -1):
            u, w = p["u%d" % k], p["w%d" % k]
            z_in, t, det = steps[k]
            ddet = -dkl / det
            slope = 1 - t**2
            duw = (ddet * slope).sum()
            da = (dz @ u - 2 * t * ddet * (u @ w)) * slope
            grads["u%d" % k] = t @ dz + duw * w
            grads["w%d" % k] = da @ z_in + duw * u
            grads["b%d" % k] = da.sum(keepdims=True)
            dz = dz + da[:, None] * w
        dv = 0.5 * dz * eps * np.exp(0.5 * v) - 0.5 * dkl[:, None]
        grads["Wm"], grads["Wv"] = h.T @ dz, h.T @ dv
        grads["W1"] = x.T @ ((dz @ p["Wm"].T + dv @ p["Wv"].T) * (1 - h**2))
        return grads


def make_planar():
    rs = np.random.RandomState(1506)
    return {"model": PlanarVAE(5, 4, 2, 3, 5), "x": rs.rand(4, 5), "eps": rs.randn(4, 2), "beta": 1.0}


ITEMS.append(Item("planar_flows", "research repository (normalizing flows)", "gradients", make_planar, True))


# --- a recurrent decoder --------------------------------------------------------------------------------------------


class RecurrentVAE:
    """
    minimal recurrent decoder: z is shown at every tick, the canvas is a sum of what every tick writes.
    """

    def __init__(self, vocab, hidden_size, z_size, ticks, seed):
        rs = np.random.RandomState(seed)
        self.ticks = ticks
        self.params = dict(
            Wxe=rs.randn(hidden_size, vocab) * 0.4,
            Wmu=rs.randn(z_size, hidden_size) * 0.6,
            Wls=rs.randn(z_size, hidden_size) * 0.6,
            Wzh=rs.randn(hidden_size, z_size) * 0.6,
            Whh=rs.randn(hidden_size, hidden_size) * 0.6,
            Why=rs.randn(vocab, hidden_size) * 0.6,
            bh=rs.randn(hidden_size) * 0.1,
            by=rs.randn(vocab) * 0.1,
        )

    def objective(self, x, eps, beta=1.0):
        p = self.params
        he = np.tanh(x @ p["Wxe"].T)
        mu, ls = he @ p["Wmu"].T, he @ p["Wls"].T  # ls: log sigma
        z = mu + np.exp(ls) * eps
        hs = {-1: np.zeros((len(x), p["bh"].size))}
        canvas = np.zeros_like(x)
        for t in range(self.ticks):
            hs[t] = np.tanh(z @ p["Wzh"].T + hs[t - 1] @ p["Whh"].T + p["bh"])
            canvas = canvas + hs[t] @ p["Why"].T + p["by"]
        nll = bce_logits(canvas, x).sum(axis=1)
        kl = (0.5 * (mu**2 + np.exp(2 * ls) - 1) - ls).sum(axis=1)
        return Terms(nll + beta * kl, nll, kl), (x, eps, beta, he, mu, ls, z, hs, canvas)

    def backward(self, dobjective, cache):
        x, eps, beta, he, mu, ls, z, hs, canvas = cache
        p = self.params
        d = {k: np.zeros_like(v) for k, v in p.items()}
        w = dobjective[:, None]
        dy = w * (expit(canvas) - x)  # the same at every tick
        dz = np.zeros_like(z)
        dhnext = np.zeros_like(hs[-1])
        for t in reversed(range(self.ticks)):
            d["Why"] += dy.T @ hs[t]
            d["by"] += dy.sum(axis=0)
            dh = dy @ p["Why"] + dhnext
            draw = (1 - hs[t] * hs[t]) * dh
            d["bh"] += draw.sum(axis=0)
            d["Wzh"] += draw.T @ z
            d["Whh"] += draw.T @ hs[t - 1]
            dz += draw @ p["Wzh"]
            dhnext = draw @ p["Whh"]
        dmu = dz + w * beta * mu
        dls = dz * eps * np.exp(ls) + w * beta * (np.exp(2 * ls) - 1)
        d["Wmu"] += dmu.T @ he
        d["Wls"] += dls.T @ he
        dhe = dmu @ p["Wmu"] + dls @ p["Wls"]
        d["Wxe"] += ((1 - he * he) * dhe).T @ x
        return d


def make_recurrent():
    model = RecurrentVAE(5, 4, 2, 3, 0)
    rng = np.random.default_rng(4)
    return {"model": model, "x": rng.random((3, 5)), "eps": rng.normal(size=(3, 2)), "beta": 1.0}


ITEMS.append(Item("recurrent_decoder", "Karpathy gist", "gradients", make_recurrent, True))


# --- layer normalisation, skip of z -------------------------------------------------------------------------------


class Module:
    """Holds names only; the values live in the model's dictionary, and so do the gradients while going back."""

    def __init__(self, scope):
        self.scope = scope

    def get(self, store, key):
        return store[self.scope + "." + key]

    def add(self, grads, key, value):
        name = self.scope + "." + key
        grads[name] = grads[name] + value if name in grads else value


class Affine(Module):
    def forward(self, params, x):
        self.x = x
        return x @ self.get(params, "W") + self.get(params, "b")

    def backward(self, params, grads, dy):
        self.add(grads, "W", self.x.T @ dy)
        self.add(grads, "b", dy.sum(0))
        return dy @ self.get(params, "W").T


class LayerNorm(Module):
    eps = 1e-5

    def forward(self, params, x):
        centred = x - x.mean(-1, keepdims=True)
        self.inv = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + self.eps)
        self.xhat = centred * self.inv
        return self.get(params, "gamma") * self.xhat + self.get(params, "beta")

    def backward(self, params, grads, dy):
        self.add(grads, "gamma", (dy * self.xhat).sum(0))
        self.add(grads, "beta", dy.sum(0))
        dx = dy * self.get(params, "gamma")
        mean, corr = dx.mean(-1, keepdims=True), (dx * self.xhat).mean(-1, keepdims=True)
        return self.inv * (dx - mean - self.xhat * corr)


class Softplus(Module):
    def forward(self, params, x):
        self.slope = expit(x)
        return np.logaddexp(0, x)

    def backward(self, params, grads, dy):
        return dy * self.slope


class NormVAE:
    """The layer norm of the encoder is used again in the decoder; z is fed to both decoder layers."""

    def __init__(self, n_in, n_h, n_z, rng):
        self.n_z, self.n_h = n_z, n_h
        p = self.params = {}
        sizes = {"e": (n_in, n_h), "m": (n_h, n_z), "s": (n_h, n_z), "d": (n_z, n_h), "o": (n_h + n_z, n_in)}
        for scope, (m, n) in sizes.items():
            p[scope + ".W"] = rng.normal(0, 0.7, (m, n))
            p[scope + ".b"] = rng.normal(0, 0.1, n)
        p["norm.gamma"] = rng.uniform(0.7, 1.3, n_h)
        p["norm.beta"] = rng.normal(0, 0.2, n_h)

    def objective(self, x, eps, beta=1.0):
        p = self.params
        enc = [Affine("e"), LayerNorm("norm"), Softplus("act")]
        dec = [Affine("d"), LayerNorm("norm"), Softplus("act")]
        m, s, o = Affine("m"), Affine("s"), Affine("o")
        h = x
        for layer in enc:
            h = layer.forward(p, h)
        mu, raw = m.forward(p, h), s.forward(p, h)
        sigma = np.logaddexp(0, raw)
        z = mu + sigma * eps
        h = z
        for layer in dec:
            h = layer.forward(p, h)
        x_hat = o.forward(p, np.concatenate([h, z], axis=1))
        nll = 0.5 * ((x - x_hat) ** 2).sum(1)
        kl = (0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma)).sum(1)
        return Terms(nll + beta * kl, nll, kl), (x, eps, beta, enc, dec, m, s, o, mu, raw, sigma, x_hat)

    def backward(self, dobjective, cache):
        x, eps, beta, enc, dec, m, s, o, mu, raw, sigma, x_hat = cache
        p, grads = self.params, {}
        w = dobjective[:, None]
        dcat = o.backward(p, grads, w * (x_hat - x))
        dh, dz = dcat[:, : self.n_h], dcat[:, self.n_h :]
        for layer in reversed(dec):
            dh = layer.backward(p, grads, dh)
        dz = dz + dh
        dmu = dz + beta * w * mu
        dsigma = dz * eps + beta * w * (sigma - 1 / sigma)
        dh = m.backward(p, grads, dmu) + s.backward(p, grads, dsigma * expit(raw))
        for layer in reversed(enc):
            dh = layer.backward(p, grads, dh)
        return grads


def make_norm():
    rng = np.random.default_rng(1607)
    return {"model": NormVAE(4, 5, 2, rng), "x": rng.normal(size=(5, 4)), "eps": rng.normal(size=(5, 2)), "beta": 0.1}


ITEMS.append(Item("shared_layer_norm", "NumPy framework (modules)", "gradients", make_norm, True))


# --- columns, tied, one draw --------------------------------------------------------------------------------------


class TiedColumnVAE:
    """Columns are examples. W1 and the hidden bias serve the encoder and the decoder; KL from one draw."""

    def __init__(self, n_x, n_h, n_z, gen):
        self.params = {
            "W1": gen.normal(0, 0.5, (n_h, n_x)),
            "b1": gen.normal(0, 0.2, (n_h, 1)),
            "Wm": gen.normal(0, 0.5, (n_z, n_h)),
            "Wv": gen.normal(0, 0.5, (n_z, n_h)),
            "bx": gen.normal(0, 0.2, (n_x, 1)),
        }

    def encode(self, x):
        p = self.params
        H = np.tanh(p["W1"] @ x.T + p["b1"])
        return (p["Wm"] @ H).T, (p["Wv"] @ H).T, H

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, logvar, H = self.encode(x)
        M, V, E = mu.T, logvar.T, eps.T
        Z = M + np.exp(V / 2) * E
        G = np.tanh(p["Wm"].T @ Z + p["b1"])
        L = p["W1"].T @ G + p["bx"]
        nll = bce_logits(L, x.T).sum(0)
        # (z - mu) / sigma is eps: log q depends on the parameters through the log variance alone
        kl = 0.5 * (Z**2 - E**2 - V).sum(0)
        return Terms(nll + beta * kl, nll, kl), (x, E, beta, H, V, Z, G, L)

    def backward(self, dobjective, cache):
        x, E, beta, H, V, Z, G, L = cache
        p = self.params
        dL = (expit(L) - x.T) * dobjective
        dA = (p["W1"] @ dL) * (1 - G**2)
        dZ = p["Wm"] @ dA + beta * dobjective * Z
        dV = 0.5 * dZ * np.exp(V / 2) * E - 0.5 * beta * dobjective
        dB = (p["Wm"].T @ dZ + p["Wv"].T @ dV) * (1 - H**2)
        return {
            "W1": G @ dL.T + dB @ x,
            "b1": (dA + dB).sum(1, keepdims=True),
            "Wm": Z @ dA.T + dZ @ H.T,
            "Wv": dV @ H.T,
            "bx": dL.sum(1, keepdims=True),
        }


def make_tied_columns():
    gen = np.random.default_rng(90)
    return {"model": TiedColumnVAE(6, 4, 2, gen), "x": gen.random((5, 6)), "eps": gen.normal(size=(5, 2)), "beta": 1.5}


ITEMS.append(Item("tied_columns", "deep learning book", "gradients", make_tied_columns, True))


# ======================================================================================================================
# sampler
# ======================================================================================================================


def posterior(seed, B, Z, scale=1.0):
    rng = np.random.default_rng(seed)
    return {"mu": rng.normal(0, 1, (B, Z)), "logvar": scale * rng.uniform(-1.6, 1.2, (B, Z))}


class SampleLayer:
    """Keras calls this layer Sampling; inputs are z_mean and z_log_var."""

    def call(self, inputs, epsilon):
        z_mean, z_log_var = inputs
        return z_mean + np.exp(z_log_var) * epsilon

    def __call__(self, z_mean, z_log_var, epsilon):
        return self.call((z_mean, z_log_var), epsilon)


ITEMS.append(
    Item(
        "sampling_layer",
        "Keras-like library",
        "sampler",
        lambda: {"sampler": SampleLayer(), **posterior(1, 4, 3)},
        False,
        slip="the log variance is taken for a log standard deviation: np.exp(z_log_var) should be"
        " np.exp(0.5 * z_log_var)",
        wrong=("z",),
        causes=("factor", "elementwise-factor"),
    )
)


def sample_z(mu, logvar, eps):
    batch, dim = mu.shape
    noise = eps[:, :1]
    assert len(noise) == batch and logvar.shape[1] == dim
    return mu + np.exp(logvar / 2) * noise


ITEMS.append(
    Item(
        "one_noise_per_row",
        "research repository (VAE for molecules)",
        "sampler",
        lambda: {"sampler": sample_z, **posterior(2, 3, 3)},
        False,
        slip="one number of noise a row is spread over all the latents: eps[:, :1] should be eps",
        wrong=("z",),
        causes=("shape",),
    )
)


def reparameterize(mu, logvar, eps):
    std = np.exp(0.5 * logvar)
    eps = np.random.standard_normal(std.shape)
    return eps * std + mu


ITEMS.append(
    Item(
        "randn_like",
        "PyTorch examples port",
        "sampler",
        lambda: {"sampler": reparameterize, **posterior(3, 4, 2)},
        False,
        slip="the noise that is given is thrown away: eps = np.random.standard_normal(std.shape) is drawn at every call"
        " and should be the argument eps",
        wrong=("z",),
        causes=("noise-redrawn",),
    )
)


class NormalDiag:
    def __init__(self, loc, log_var):
        self.loc = loc
        self.scale_diag = np.sqrt(np.exp(log_var))

    def sample(self, base_sample):
        return self.scale_diag * (base_sample + self.loc)


def tfp_sampler(mu, logvar, eps):
    return NormalDiag(mu, logvar).sample(eps)


ITEMS.append(
    Item(
        "normal_diag",
        "JAX/TFP port",
        "sampler",
        lambda: {"sampler": tfp_sampler, **posterior(4, 5, 2)},
        False,
        slip="the mean is scaled with the noise: self.scale_diag * (base_sample + self.loc) should be self.scale_diag *"
        " base_sample + self.loc",
        wrong=("z",),
        causes=("elementwise-factor",),
    )
)


def sample_from_precision(mu, logvar, eps):
    precision = np.exp(-logvar)
    z = mu + np.sqrt(precision) * eps
    return z, (precision, eps)


ITEMS.append(
    Item(
        "sqrt_precision",
        "deep learning book",
        "sampler",
        lambda: {"sampler": sample_from_precision, **posterior(5, 4, 3)},
        False,
        slip="the noise is multiplied by the root of the precision: np.sqrt(precision) * eps should be eps /"
        " np.sqrt(precision), that is exp(+logvar / 2) * eps",
        wrong=("z",),
        causes=("sign", "elementwise-factor"),
    )
)


def sample_forward(mu, logvar, eps):
    sigma = np.exp(0.5 * logvar)
    eps *= sigma
    eps += mu
    cache = (mu, sigma)
    return eps, cache


ITEMS.append(
    Item(
        "noise_in_place",
        "CS231n assignment",
        "sampler",
        lambda: {"sampler": sample_forward, **posterior(6, 3, 4)},
        False,
        slip="eps *= sigma and eps += mu write the sample over the caller's noise; it should be z = mu + sigma * eps",
        wrong=("eps",),
        causes=("mutates-input",),
    )
)


def draw(mu, logvar, eps):
    # log sigma = logvar / 2, kept within what exp can take; the sign of the noise is of no matter
    log_sigma = np.clip(0.5 * logvar, -15.0, 15.0)
    z = mu - eps * np.exp(log_sigma)
    return z, (eps, log_sigma)


ITEMS.append(Item("minus_eps", "Karpathy gist", "sampler", lambda: {"sampler": draw, **posterior(7, 4, 3)}, True))


def sample_tril(mu, logvar, eps):
    cov = np.einsum("bi,ij->bij", np.exp(logvar), np.eye(mu.shape[1]))
    scale_tril = np.linalg.cholesky(cov)
    return mu + np.einsum("bij,bj->bi", scale_tril, eps)


ITEMS.append(
    Item("scale_tril", "JAX/TFP port", "sampler", lambda: {"sampler": sample_tril, **posterior(8, 5, 2)}, True)
)


class GaussianSample:
    """Lasagne-like merge layer; the rows of the batch are put together one by one, the variance by np.power."""

    def get_output_for(self, input, noise):
        mean, log_var = input
        rows = []
        for m, v, e in zip(mean, log_var, noise):
            rows.append(np.add(m, np.power(np.exp(v), 0.5) * e))
        return np.array(rows)

    def __call__(self, mu, logvar, eps):
        return self.get_output_for([mu, logvar], eps)


def make_merge_layer():
    return {"sampler": GaussianSample(), **posterior(9, 4, 2)}


ITEMS.append(Item("merge_layer", "Lasagne-like library", "sampler", make_merge_layer, True))


# ======================================================================================================================
# evidence
# ======================================================================================================================


class KerasVAE:
    """784-64-2 in small: intermediate layer with ReLU, z_mean, z_log_var, decoder to logits."""

    def __init__(self, original_dim, intermediate_dim, latent_dim, seed=0):
        rs = np.random.RandomState(seed)

        def glorot(m, n):
            return rs.uniform(-1, 1, (m, n)) * np.sqrt(6 / (m + n)), rs.uniform(-0.3, 0.3, n)

        self.latent_dim = latent_dim
        self.h = glorot(original_dim, intermediate_dim)
        self.z_mean = glorot(intermediate_dim, latent_dim)
        self.z_log_var = glorot(intermediate_dim, latent_dim)
        self.decoder_h = glorot(latent_dim, intermediate_dim)
        self.decoder_mean = glorot(intermediate_dim, original_dim)

    def encode(self, x):
        h = np.maximum(x @ self.h[0] + self.h[1], 0)
        return h @ self.z_mean[0] + self.z_mean[1], h @ self.z_log_var[0] + self.z_log_var[1], h

    def decode(self, z):
        h = np.maximum(z @ self.decoder_h[0] + self.decoder_h[1], 0)
        return h @ self.decoder_mean[0] + self.decoder_mean[1], h

    def objective(self, x, eps):
        z_mean, z_log_var, _ = self.encode(x)
        z = z_mean + np.exp(0.5 * z_log_var) * eps
        logits, _ = self.decode(z)
        xent_loss = np.mean(bce_logits(logits, x), axis=-1)
        kl_loss = -0.5 * np.sum(1 + z_log_var - np.square(z_mean) - np.exp(z_log_var), axis=-1)
        return Bound(-(xent_loss + kl_loss), xent_loss, kl_loss), (z_mean, z_log_var, z, logits)


def make_pixel_mean():
    rng = np.random.default_rng(21)
    return {"model": KerasVAE(6, 5, 2, 3), "x": (rng.random((5, 6)) < 0.5).astype(float)}


ITEMS.append(
    Item(
        "mean_over_pixels",
        "Keras-like library",
        "evidence",
        make_pixel_mean,
        False,
        slip="the cross entropy is a mean over the pixels: np.mean(..., axis=-1) should be np.sum(..., axis=-1), or"
        " times original_dim",
        wrong=("nll", "elbo"),
        causes=("factor",),
    )
)


class TorchVAE:
    def __init__(self, d, h, z, rng):
        self.fc1 = rng.normal(0, 0.6, (h, d))
        self.fc21 = rng.normal(0, 0.8, (z, h))
        self.fc22 = rng.normal(0, 0.8, (z, h))
        self.fc3 = rng.normal(0, 0.8, (h, z))
        self.fc4 = rng.normal(0, 0.8, (d, h))
        self.b4 = rng.normal(0, 0.3, d)

    def encode(self, x):
        h1 = np.tanh(x @ self.fc1.T)
        return h1 @ self.fc21.T, h1 @ self.fc22.T

    def reparameterize(self, mu, logvar, eps):
        return mu + np.exp(0.5 * logvar) * eps

    def decode(self, z):
        h3 = np.tanh(z @ self.fc3.T)
        return h3 @ self.fc4.T + self.b4, h3

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar, eps)
        logits, h3 = self.decode(z)
        BCE = bce_logits(logits, x).sum(1)
        # 0.5 * sum(1 + log(sigma^2) - mu^2 - sigma^2), Kingma and Welling, appendix B
        KLD = -0.5 * np.sum(1 + logvar - mu - np.exp(logvar), axis=1)
        return Bound(-BCE - KLD, BCE, KLD), (x, mu, logvar, z, logits)


def make_kl_square():
    rng = np.random.default_rng(22)
    return {"model": TorchVAE(5, 4, 2, rng), "x": rng.random((4, 5))}


ITEMS.append(
    Item(
        "kl_without_square",
        "PyTorch examples port",
        "evidence",
        make_kl_square,
        False,
        slip="the KL has the mean without its square: 1 + logvar - mu - np.exp(logvar) should be 1 + logvar - mu**2 -"
        " np.exp(logvar)",
        wrong=("kl", "elbo"),
        causes=("elementwise-factor",),
    )
)


class FixedGaussian:
    """p(x|z) = N(logits, sigma**2), one number a pixel."""

    n_params = 1

    def __init__(self, sigma):
        self.sigma = sigma

    def nll(self, x, logits):
        r = (x - logits) / self.sigma
        return (0.5 * r**2 + np.log(self.sigma) + 0.5 * LOG2PI).sum(axis=-1), r

    def nll_backward(self, dnll, cache):
        return -dnll[:, None] * cache / self.sigma

    def mean(self, logits):
        return logits

    def sample(self, logits, rng):
        return logits + self.sigma * rng.standard_normal(logits.shape)


class FlaxVAE:
    """Encoder and decoder as pure functions of a dictionary."""

    def __init__(self, rng, features, hidden, latents):
        def kernel(m, n):
            return {"kernel": rng.normal(0, 1 / np.sqrt(m), (m, n)), "bias": rng.normal(0, 0.2, n)}

        self.variables = {
            "fc1": kernel(features, hidden),
            "fc2_mean": kernel(hidden, latents),
            "fc2_logvar": kernel(hidden, latents),
            "fc3": kernel(latents, hidden),
            "fc4": kernel(hidden, features),
        }
        self.likelihood = FixedGaussian(0.6)

    def apply(self, name, x):
        layer = self.variables[name]
        return x @ layer["kernel"] + layer["bias"]

    def encode(self, x):
        h = np.sin(self.apply("fc1", x))
        return self.apply("fc2_mean", h), self.apply("fc2_logvar", h), h

    def decode(self, z):
        h = np.sin(self.apply("fc3", z))
        return self.apply("fc4", h), h

    def objective(self, x, eps):
        mean, logvar, _ = self.encode(x)
        std = np.exp(logvar)
        logits, _ = self.decode(mean + std * eps)
        nll, _ = self.likelihood.nll(x, logits)
        kl = -0.5 * np.sum(1 + logvar - np.square(mean) - np.exp(logvar), axis=-1)
        return Bound(-nll - kl, nll, kl), (mean, std, logits)


def make_std_of_logvar():
    rng = np.random.default_rng(23)
    return {"model": FlaxVAE(rng, 4, 5, 1), "x": rng.normal(size=(4, 4))}


ITEMS.append(
    Item(
        "std_of_logvar",
        "JAX/TFP port",
        "evidence",
        make_std_of_logvar,
        False,
        slip="the draw takes logvar for a log standard deviation: std = np.exp(logvar) should be np.exp(0.5 * logvar)",
        wrong=("nll", "elbo"),
        causes=("factor", "elementwise-factor"),
    )
)


class ConvexVAE:
    """A small model for binary data; the loss is put together in losses()."""

    def __init__(self, D, Z, seed):
        rng = np.random.default_rng(seed)
        self.W_mu, self.W_lv = rng.normal(0, 0.7, (D, Z)), rng.normal(0, 0.5, (D, Z))
        self.b_lv = -0.4 * np.ones(Z)
        self.W_out, self.b_out = rng.normal(0, 1.2, (Z, D)), rng.normal(0, 0.3, D)

    def encode(self, x):
        return x @ self.W_mu, x @ self.W_lv + self.b_lv, None

    def decode(self, z):
        return z @ self.W_out + self.b_out, None

    def losses(self, x, logits, mu, logvar):
        rec_loss = bce_logits(logits, x).sum(axis=1).mean()
        kl_loss = 0.5 * (np.exp(logvar) + mu**2 - 1.0 - logvar).sum(axis=1)
        return rec_loss, kl_loss

    def objective(self, x, eps):
        mu, logvar, _ = self.encode(x)
        z = mu + np.exp(0.5 * logvar) * eps
        logits, _ = self.decode(z)
        rec_loss, kl_loss = self.losses(x, logits, mu, logvar)
        return Bound(elbo=-(rec_loss + kl_loss), kl=kl_loss), (x, mu, logvar, z)


def make_batch_mean():
    rng = np.random.default_rng(24)
    return {"model": ConvexVAE(6, 2, 5), "x": (rng.random((6, 6)) < 0.4).astype(float)}


ITEMS.append(
    Item(
        "batch_mean_in_rows",
        "research repository (disentanglement)",
        "evidence",
        make_batch_mean,
        False,
        slip="every row's bound has the batch's mean of the reconstruction in place of its own: .sum(axis=1).mean()"
        " should be .sum(axis=1)",
        wrong=("elbo",),
        causes=("batch-sum", "shape"),
    )
)


class IWAE:
    """log mean_k p(x, z_k) / q(z_k|x), z_k ~ q(z|x), k = 1..n_samples."""

    def __init__(self, in_dim, hid, latent, n_samples, seed):
        rs = np.random.RandomState(seed)
        self.n_samples, self.latent = n_samples, latent
        self.enc = rs.randn(in_dim, hid) * 0.6, rs.randn(hid) * 0.2
        self.mu = rs.randn(hid, latent) * 0.7, rs.randn(latent) * 0.2
        self.lv = rs.randn(hid, latent) * 0.7, rs.randn(latent) * 0.2
        self.dec = rs.randn(latent, hid), rs.randn(hid) * 0.2
        self.out = rs.randn(hid, in_dim), rs.randn(in_dim) * 0.2

    def draw_eps(self, batch, rng):
        return rng.standard_normal((self.n_samples, batch, self.latent))

    def encode(self, x):
        h = np.tanh(x @ self.enc[0] + self.enc[1])
        return h @ self.mu[0] + self.mu[1], h @ self.lv[0] + self.lv[1], h

    def decode(self, z):
        h = np.tanh(z @ self.dec[0] + self.dec[1])
        return h @ self.out[0] + self.out[1], h

    def objective(self, x, eps):
        mu, lv, _ = self.encode(x)
        z = mu + np.exp(0.5 * lv) * eps
        logits, _ = self.decode(z)
        log_px = -bce_logits(logits, x).sum(-1)
        log_pz = -0.5 * (z**2 + LOG2PI).sum(-1)
        log_qz = -0.5 * ((z - mu) ** 2 / np.exp(lv) + lv + LOG2PI).sum(-1)
        log_w = log_px + log_pz - log_qz
        m = log_w.max(axis=0)
        log_mean = m + np.log(np.exp(log_w - m).sum(axis=0))
        return Bound(log_mean), (x, log_w, z)


def make_iwae_sum():
    rng = np.random.default_rng(25)
    return {"model": IWAE(5, 4, 1, 5, 6), "x": (rng.random((4, 5)) < 0.5).astype(float)}


ITEMS.append(
    Item(
        "iwae_sum",
        "research repository (IWAE)",
        "evidence",
        make_iwae_sum,
        False,
        slip="the weights are summed where their mean is meant: np.exp(log_w - m).sum(axis=0) should be .mean(axis=0),"
        " that is minus log K",
        wrong=("elbo",),
        causes=("missing-term", "factor"),
    )
)


def normal_logpdf(z, mean, log_var):
    return -0.5 * (LOG2PI + log_var + (z - mean) ** 2 * np.exp(-log_var))


class ImportanceBound:
    """Chapter on importance sampling: K proposals for every row."""

    def __init__(self, K, D, Z, rng):
        self.K, self.Z = K, Z
        self.A, self.a = rng.normal(0, 0.6, (D, Z)), rng.normal(0, 0.3, Z)
        self.S, self.s = rng.normal(0, 0.4, (D, Z)), rng.normal(-0.8, 0.3, Z)
        self.C, self.c = rng.normal(0, 1.0, (Z, D)), rng.normal(0, 0.3, D)

    def draw_eps(self, B, rng):
        return rng.normal(size=(self.K, B, self.Z))

    def encode(self, x):
        return x @ self.A + self.a, x @ self.S + self.s, None

    def decode(self, z):
        return 2 * np.tanh(z @ self.C) + self.c, None

    def objective(self, x, eps):
        mean, log_var, _ = self.encode(x)
        z = mean[None] + np.exp(0.5 * log_var)[None] * eps
        logits, _ = self.decode(z)
        log_lik = -np.sum(x * np.logaddexp(0, -logits) + (1 - x) * np.logaddexp(0, logits), axis=2)
        log_prior = np.sum(normal_logpdf(z, 0.0, np.zeros_like(z)), axis=2)
        log_proposal = np.sum(-0.5 * eps**2 - 0.5 * LOG2PI + 0.5 * log_var[None], axis=2)
        log_weights = log_lik + log_prior - log_proposal
        bound = logsumexp(log_weights, axis=0) - np.log(self.K)
        return Terms(objective=bound), (z, log_weights)


def make_proposal_sign():
    rng = np.random.default_rng(26)
    return {"model": ImportanceBound(4, 5, 2, rng), "x": rng.random((5, 5))}


ITEMS.append(
    Item(
        "proposal_log_det",
        "deep learning book",
        "evidence",
        make_proposal_sign,
        False,
        slip="the density of the proposal has its log determinant with the wrong sign: + 0.5 * log_var should be"
        " - 0.5 * log_var",
        wrong=("objective",),
        causes=("sign",),
    )
)


class SGVB:
    """Estimator A: the bound as log p(x, z) - log q(z|x) at one draw, nothing in closed form."""

    def __init__(self, D, Z, gen):
        self.theta = gen.normal(0, 1.0, (Z, D)), gen.normal(0, 0.4, D)
        self.phi = gen.normal(0, 0.7, (D, 2 * Z)), gen.normal(0, 0.4, 2 * Z)

    def encode(self, x):
        out = np.tanh(x @ self.phi[0] + self.phi[1])
        Z = out.shape[1] // 2
        return 1.5 * out[:, :Z], 1.5 * out[:, Z:], out

    def decode(self, z):
        return np.arctan(z) @ self.theta[0] * 1.5 + self.theta[1], z

    def objective(self, x, eps):
        mu, logvar, _ = self.encode(x)
        z = mu + np.exp(logvar / 2) * eps
        logits, _ = self.decode(z)
        log_p = np.sum(x * logits - np.logaddexp(0, logits), axis=1) - 0.5 * np.sum(z**2, axis=1)
        log_q = -0.5 * np.sum(eps**2 + logvar, axis=1)  # log(2 pi) falls out of the difference
        return Bound(elbo=log_p - log_q), (mu, logvar, z)


def make_sgvb():
    gen = np.random.default_rng(27)
    return {"model": SGVB(5, 2, gen), "x": (gen.random((5, 5)) < 0.5).astype(float)}


ITEMS.append(Item("sgvb_one_draw", "deep learning book", "evidence", make_sgvb, True))


class GaussianIWAE:
    """K draws folded into the batch, and unfolded again for the log of the mean."""

    def __init__(self, D, H, Z, K, rng):
        self.K, self.Z = K, Z
        self.likelihood = FixedGaussian(0.8)
        self.p = {
            "e": rng.normal(0, 0.7, (D, H)),
            "m": rng.normal(0, 0.7, (H, Z)),
            "s": rng.normal(0, 0.7, (H, Z)),
            "d": rng.normal(0, 0.9, (Z, H)),
            "o": rng.normal(0, 0.9, (H, D)),
        }

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, self.Z))

    def encode(self, x):
        h = np.tanh(x @ self.p["e"])
        return h @ self.p["m"], h @ self.p["s"], h

    def decode(self, z):
        h = np.tanh(z @ self.p["d"])
        return h @ self.p["o"], h

    def objective(self, x, eps):
        K, B, Z = eps.shape
        mu, logvar, _ = self.encode(x)
        eps = eps.reshape(K * B, Z)
        z = np.tile(mu, (K, 1)) + np.exp(0.5 * np.tile(logvar, (K, 1))) * eps
        nll, _ = self.likelihood.nll(np.tile(x, (K, 1)), self.decode(z)[0])
        log_ratio = 0.5 * np.sum(eps**2 + np.tile(logvar, (K, 1)) - z**2, axis=1)
        log_w = (log_ratio - nll).reshape(K, B)
        top = log_w.max(axis=0)
        return Bound(top + np.log(np.mean(np.exp(log_w - top), axis=0))), (log_w, z)


def make_gaussian_iwae():
    rng = np.random.default_rng(28)
    return {"model": GaussianIWAE(4, 5, 1, 6, rng), "x": rng.normal(size=(4, 4))}


ITEMS.append(Item("gaussian_iwae", "research repository (IWAE)", "evidence", make_gaussian_iwae, True))


class SigmaHeadVAE:
    """The encoder's second head gives sigma = softplus(s) + 0.1; encode returns its log variance, 2 log sigma."""

    def __init__(self, n_x, n_h, n_z):
        rs = np.random.RandomState(4)
        self.W1, self.b1 = rs.randn(n_h, n_x) * 0.7, rs.randn(n_h, 1) * 0.1
        self.W2, self.b2 = rs.randn(2 * n_z, n_h) * 0.7, rs.randn(2 * n_z, 1) * 0.1
        self.W3, self.b3 = rs.randn(n_x, n_z) * 1.2, rs.randn(n_x, 1) * 0.1
        self.n_z = n_z

    def heads(self, X):
        A1 = np.tanh(self.W1 @ X + self.b1)
        Z2 = self.W2 @ A1 + self.b2
        return Z2[: self.n_z], np.logaddexp(0, Z2[self.n_z :]) + 0.1

    def encode(self, x):
        MU, SIGMA = self.heads(x.T)
        return MU.T, 2 * np.log(SIGMA).T

    def decode(self, z):
        return (self.W3 @ z.T + self.b3).T, z

    def objective(self, x, eps):
        MU, SIGMA = self.heads(x.T)
        Z = MU + SIGMA * eps.T
        ZL, _ = self.decode(Z.T)
        nll = np.sum(np.logaddexp(0, ZL) - x * ZL, axis=1)
        kl = np.sum((MU**2 + SIGMA**2 - 1) / 2 - np.log(SIGMA), axis=0)
        return Bound(-nll - kl, nll, kl), (MU, SIGMA, Z, ZL)


def make_sigma_head():
    rs = np.random.RandomState(29)
    return {"model": SigmaHeadVAE(5, 4, 2), "x": rs.rand(5, 5)}


ITEMS.append(Item("sigma_head", "Coursera notebook", "evidence", make_sigma_head, True))


# ======================================================================================================================
# likelihood
# ======================================================================================================================


class BinomialPixels:
    """Counts 0..n of every pixel, logit of the probability of one."""

    n_params = 1

    def __init__(self, total_count):
        self.total_count = total_count
        self.support = (0.0, float(total_count))

    def nll(self, x, logits):
        n = self.total_count
        log_prob = x * logits - n * np.logaddexp(0, logits)
        return -log_prob.sum(axis=1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        return dnll[:, None] * (self.total_count * expit(logits) - x)

    def mean(self, logits):
        return self.total_count * expit(logits)

    def sample(self, logits, rng):
        return rng.binomial(self.total_count, expit(logits)).astype(float)


ITEMS.append(
    Item(
        "binomial",
        "JAX/TFP port",
        "likelihood",
        lambda: {"p": BinomialPixels(4)},
        False,
        slip="the log of the binomial coefficient is left out: log_prob should have + gammaln(n + 1) - gammaln(x + 1) -"
        " gammaln(n - x + 1)",
        wrong=("nll",),
        causes=("missing-term",),
    )
)


class LaplacePixels:
    """Location and log scale of every pixel."""

    n_params = 2
    support = (-np.inf, np.inf)

    def split(self, logits):
        D = logits.shape[1] // 2
        return logits[:, :D], logits[:, D:]

    def nll(self, x, logits):
        loc, log_b = self.split(logits)
        u = (x - loc) * np.exp(-log_b)
        return np.sum(np.abs(u) + log_b + np.log(2.0), axis=1), (u, log_b)

    def nll_backward(self, dnll, cache):
        u, log_b = cache
        dloc = -np.sign(u) * np.exp(-log_b)
        dlog_b = 1 + np.abs(u)
        return np.concatenate([dloc, dlog_b], axis=1) * dnll.reshape(-1, 1)

    def mean(self, logits):
        return self.split(logits)[0].copy()

    def sample(self, logits, rng):
        loc, log_b = self.split(logits)
        return rng.laplace(loc, np.exp(log_b))


ITEMS.append(
    Item(
        "laplace_pixels",
        "CS231n assignment",
        "likelihood",
        lambda: {"p": LaplacePixels()},
        False,
        slip="u falls as log_b grows: dlog_b = 1 + np.abs(u) should be 1 - np.abs(u)",
        wrong=("dlogits",),
        causes=("sign",),
    )
)


class GammaPixels:
    """Log concentration and log rate: p(x) = rate**a x**(a - 1) exp(-rate x) / Gamma(a)."""

    n_params = 2
    support = (0.0, np.inf)

    def nll(self, x, logits):
        log_a, log_rate = np.split(logits, 2, axis=1)
        a, rate = np.exp(log_a), np.exp(log_rate)
        log_prob = a * log_rate + (a - 1) * np.log(x) - rate * x - gammaln(a)
        return -log_prob.sum(axis=1), (x, a, rate, log_rate)

    def nll_backward(self, dnll, cache):
        x, a, rate, log_rate = cache
        dlog_a = a * (digamma(a) - log_rate - np.log(x))
        dlog_rate = rate * x - a
        return dnll[:, None] * np.hstack([dlog_a, dlog_rate])

    def mean(self, logits):
        log_a, log_rate = np.split(logits, 2, axis=1)
        return np.exp(log_a - log_rate)

    def sample(self, logits, rng):
        log_a, log_rate = np.split(logits, 2, axis=1)
        return rng.gamma(np.exp(log_a), np.exp(log_rate))


ITEMS.append(
    Item(
        "gamma_pixels",
        "research repository (single-cell VAE)",
        "likelihood",
        lambda: {"p": GammaPixels()},
        False,
        slip="NumPy's gamma wants a scale and gets the rate: rng.gamma(a, np.exp(log_rate)) should be"
        " rng.gamma(a, np.exp(-log_rate))",
        wrong=("sample",),
        causes=("elementwise-factor", "sign"),
    )
)


class DiscretizedLogistic:
    """Logistic over grey levels 0, 1/(L-1), ..., 1: a level has the mass of its bin, the outer bins are open."""

    n_params = 2

    def __init__(self, levels=8):
        self.levels = levels
        self.support = (0.0, 1.0)

    def params_of(self, logits):
        D = logits.shape[1] // 2
        return logits[:, :D], logits[:, D:]

    def nll(self, x, logits):
        means, log_scales = self.params_of(logits)
        inv_stdv = np.exp(-log_scales)
        half = 1.0 / (self.levels - 1)
        plus_in = inv_stdv * (x - means + half)
        min_in = inv_stdv * (x - means - half)
        last, first = x > 1 - 0.25 / self.levels, x < 0.25 / self.levels
        cdf_plus = np.where(last, 1.0, expit(plus_in))
        cdf_min = np.where(first, 0.0, expit(min_in))
        prob = cdf_plus - cdf_min
        return -np.log(prob).sum(axis=1), (plus_in, min_in, cdf_plus, cdf_min, prob, inv_stdv)

    def nll_backward(self, dnll, cache):
        plus_in, min_in, cdf_plus, cdf_min, prob, inv_stdv = cache
        dprob = -dnll[:, None] / prob
        dplus = dprob * cdf_plus * (1 - cdf_plus)
        dmin = -dprob * cdf_min * (1 - cdf_min)
        dmeans = -inv_stdv * (dplus + dmin)
        dlog_scales = -(dplus * plus_in + dmin * min_in)
        return np.concatenate([dmeans, dlog_scales], axis=1)

    def mean(self, logits):
        means, log_scales = self.params_of(logits)
        n = self.levels - 1
        edges = (np.arange(1, self.levels) - 0.5) / n
        above = expit((means[..., None] - edges) * np.exp(-log_scales)[..., None])
        return above.sum(axis=-1) / n

    def sample(self, logits, rng):
        means, log_scales = self.params_of(logits)
        u = rng.uniform(1e-9, 1 - 1e-9, means.shape)
        v = means + np.exp(log_scales) * (np.log(u) - np.log1p(-u))
        n = self.levels - 1
        return np.clip(np.round(v * n), 0, n) / n


ITEMS.append(
    Item(
        "discretized_logistic",
        "research repository (PixelCNN++)",
        "likelihood",
        lambda: {"p": DiscretizedLogistic(8)},
        False,
        slip="half a bin is a whole one, so that the bins overlap: half = 1.0 / (self.levels - 1) should be 0.5 /"
        " (self.levels - 1)",
        wrong=("nll",),
        causes=("factor",),
    )
)


class StudentTPixels:
    """Location and log scale; the degrees of freedom are the same everywhere."""

    n_params = 2
    support = (-np.inf, np.inf)

    def __init__(self, nu):
        self.nu = nu

    def nll(self, x, logits):
        loc, log_s = np.hsplit(logits, 2)
        nu = self.nu
        y = (x - loc) / np.exp(log_s)
        const = gammaln(nu / 2) - gammaln((nu + 1) / 2) + 0.5 * np.log(nu * np.pi)
        out = log_s + const + 0.5 * (nu + 1) * np.log1p(y * y / nu)
        return out.sum(axis=1), (y, log_s)

    def nll_backward(self, dnll, cache):
        y, log_s = cache
        k = (self.nu + 1) * y / (self.nu + y * y)
        return np.hstack([-k * np.exp(-log_s), 1 - k * y]) * dnll[:, None]

    def mean(self, logits):
        return np.hsplit(logits, 2)[0]

    def sample(self, logits, rng):
        loc, log_s = np.hsplit(logits, 2)
        normal = rng.standard_normal(loc.shape)
        chi2 = rng.chisquare(self.nu, loc.shape)
        return loc + np.exp(log_s) * normal * np.sqrt(self.nu / chi2)


ITEMS.append(Item("student_t_pixels", "JAX/TFP port", "likelihood", lambda: {"p": StudentTPixels(5.0)}, True))


class BetaPixels:
    """Two log concentrations of every pixel."""

    n_params = 2
    support = (0.0, 1.0)

    def nll(self, x, logits):
        d = x.shape[1]
        a, b = np.exp(logits[:, :d]), np.exp(logits[:, d:])
        lx, l1x = np.log(x), np.log1p(-x)
        return np.sum(betaln(a, b) - (a - 1) * lx - (b - 1) * l1x, axis=1), (a, b, lx, l1x)

    def nll_backward(self, dnll, cache):
        a, b, lx, l1x = cache
        both = digamma(a + b)
        da = digamma(a) - both - lx
        db = digamma(b) - both - l1x
        return dnll[:, None] * np.concatenate([a * da, b * db], axis=1)

    def mean(self, logits):
        d = logits.shape[1] // 2
        return expit(logits[:, :d] - logits[:, d:])

    def sample(self, logits, rng):
        d = logits.shape[1] // 2
        return rng.beta(np.exp(logits[:, :d]), np.exp(logits[:, d:]))


ITEMS.append(Item("beta_pixels", "research repository (robust VAE)", "likelihood", lambda: {"p": BetaPixels()}, True))


class CategoricalPixels:
    """Softmax over the grey levels 0..L-1; the logits of level 0 of all the pixels come first, then level 1."""

    def __init__(self, levels):
        self.n_params = levels
        self.support = (0.0, levels - 1.0)

    def log_probs(self, logits):
        a = logits.reshape(len(logits), self.n_params, -1)
        return a - logsumexp(a, axis=1, keepdims=True)

    def nll(self, x, logits):
        lp = self.log_probs(logits)
        onehot = (np.arange(self.n_params)[None, :, None] == np.rint(x)[:, None, :]).astype(float)
        return -(onehot * lp).sum(axis=(1, 2)), (onehot, lp)

    def nll_backward(self, dnll, cache):
        onehot, lp = cache
        return (dnll[:, None, None] * (np.exp(lp) - onehot)).reshape(len(dnll), -1)

    def mean(self, logits):
        return np.einsum("bld,l->bd", np.exp(self.log_probs(logits)), np.arange(self.n_params))

    def sample(self, logits, rng):
        lp = self.log_probs(logits)
        gumbel = -np.log(-np.log(rng.uniform(1e-12, 1, lp.shape)))
        return np.argmax(lp + gumbel, axis=1).astype(float)


ITEMS.append(
    Item(
        "categorical_pixels",
        "research repository (PixelVAE)",
        "likelihood",
        lambda: {"p": CategoricalPixels(4)},
        True,
    )
)


# ======================================================================================================================
# optimizer
# ======================================================================================================================


class PlainAdam:
    """Kingma and Ba, algorithm 1."""

    def __init__(self, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8):
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.t, self.m, self.v = 0, {}, {}

    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            self.m[k] = self.beta1 * self.m.get(k, 0) + (1 - self.beta1) * g
            self.v[k] = self.beta2 * self.v.get(k, 0) + (1 - self.beta2) * g**2
            m_hat = self.m[k] / (1 - self.beta1**self.t)
            v_hat = self.v[k] / (1 - self.beta2**self.t)
            params[k] -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)


class CourseraAdam:
    def __init__(self, learning_rate=0.02, beta1=0.9, beta2=0.999, epsilon=1e-8):
        self.learning_rate, self.beta1, self.beta2, self.epsilon = learning_rate, beta1, beta2, epsilon
        self.v, self.s, self.t = {}, {}, 0

    def step(self, params, grads):
        if not self.v:
            for name, p in params.items():
                self.v[name] = np.zeros(p.shape)
                self.s[name] = np.zeros(p.shape)
        self.t = self.t + 1
        for name in params:
            self.v[name] = self.beta1 * self.v[name] + (1 - self.beta1) * grads[name]
            v_corrected = self.v[name] / (1 - np.power(self.beta1, self.t))
            self.s[name] = self.beta2 * self.s[name] + (1 - self.beta2) * np.power(grads[name], 2)
            s_corrected = self.s[name] / (1 - np.power(self.beta1, self.t))
            params[name] -= self.learning_rate * v_corrected / (np.sqrt(s_corrected) + self.epsilon)


ITEMS.append(
    Item(
        "adam_beta_pasted",
        "Coursera notebook",
        "optimizer",
        lambda: {"optimizer": CourseraAdam(0.02), "reference": PlainAdam(0.02)},
        False,
        slip="the second moment is corrected with the first one's rate: 1 - np.power(self.beta1, self.t) should be"
        " 1 - np.power(self.beta2, self.t)",
        wrong=("params",),
        causes=("factor",),
    )
)


class PlainAdamW:
    """Decoupled decay: Loshchilov and Hutter, algorithm 2, with the decay times the rate."""

    def __init__(self, lr, weight_decay):
        self.lr, self.weight_decay = lr, weight_decay
        self.adam = PlainAdam(lr)

    def step(self, params, grads):
        for p in params.values():
            p -= self.lr * self.weight_decay * p
        self.adam.step(params, grads)


class AdamW:
    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        self.defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self.state = {}

    def step(self, params, grads):
        lr, (beta1, beta2), eps, weight_decay = self.defaults.values()
        for name, p in params.items():
            grad = grads[name]
            state = self.state.setdefault(name, {"step": 0, "exp_avg": 0.0 * p, "exp_avg_sq": 0.0 * p})
            state["step"] += 1
            if weight_decay != 0:
                grad = grad + weight_decay * p
            state["exp_avg"] = state["exp_avg"] * beta1 + (1 - beta1) * grad
            state["exp_avg_sq"] = state["exp_avg_sq"] * beta2 + (1 - beta2) * grad * grad
            bias_correction1 = 1 - beta1 ** state["step"]
            bias_correction2 = 1 - beta2 ** state["step"]
            denom = np.sqrt(state["exp_avg_sq"]) / np.sqrt(bias_correction2) + eps
            p -= lr / bias_correction1 * state["exp_avg"] / denom


ITEMS.append(
    Item(
        "adamw_coupled",
        "PyTorch optimizer port",
        "optimizer",
        lambda: {"optimizer": AdamW(0.05, weight_decay=0.3), "reference": PlainAdamW(0.05, 0.3)},
        False,
        slip="the decay is added to the gradient, as in Adam with L2, and goes through the moments: grad + weight_decay"
        " * p should be p -= lr * weight_decay * p",
        wrong=("params",),
        causes=("missing-term",),
    )
)


class PlainNesterov:
    """Look ahead: v = mu v - lr g, and a step of mu v - lr g."""

    def __init__(self, lr, momentum):
        self.lr, self.momentum, self.v = lr, momentum, {}

    def step(self, params, grads):
        for k in params:
            self.v[k] = self.momentum * self.v.get(k, 0) - self.lr * grads[k]
            params[k] += self.momentum * self.v[k] - self.lr * grads[k]


class NesterovUpdate:
    def __init__(self, learning_rate=1e-2, momentum=0.9):
        self.config = {"learning_rate": learning_rate, "momentum": momentum, "velocity": {}}

    def step(self, params, grads):
        mu, lr = self.config["momentum"], self.config["learning_rate"]
        for k, w in params.items():
            v = self.config["velocity"].setdefault(k, np.zeros_like(w))
            v_prev = v
            v *= mu
            v -= lr * grads[k]
            w += -mu * v_prev + (1 + mu) * v


ITEMS.append(
    Item(
        "nesterov_alias",
        "CS231n assignment",
        "optimizer",
        lambda: {"optimizer": NesterovUpdate(0.05, 0.9), "reference": PlainNesterov(0.05, 0.9)},
        False,
        slip="v_prev is the same array as v, which is then changed in place: v_prev = v should be v.copy(), and what is"
        " left is plain momentum",
        wrong=("params",),
        causes=("missing-term", "elementwise-factor"),
    )
)


class PlainClippedSGD:
    def __init__(self, lr, max_norm):
        self.lr, self.max_norm = lr, max_norm

    def step(self, params, grads):
        norm = np.linalg.norm(np.concatenate([grads[k].ravel() for k in params]))
        scale = min(1.0, self.max_norm / norm)
        for k in params:
            params[k] -= self.lr * scale * grads[k]


class ClippedSGD:
    def __init__(self, lr, max_grad_norm):
        self.lr = lr
        self.max_grad_norm = max_grad_norm

    def clip_by_global_norm(self, grads):
        global_norm = 0.0
        for g in grads.values():
            global_norm += np.sum(g**2)
        if global_norm > self.max_grad_norm:
            return {k: g * (self.max_grad_norm / global_norm) for k, g in grads.items()}
        return grads

    def step(self, params, grads):
        clipped = self.clip_by_global_norm(grads)
        for k, p in params.items():
            p -= self.lr * clipped[k]


ITEMS.append(
    Item(
        "clip_squared_norm",
        "Keras-like library",
        "optimizer",
        lambda: {"optimizer": ClippedSGD(0.5, 0.05), "reference": PlainClippedSGD(0.5, 0.05)},
        False,
        slip="the global norm lacks its root: the sum of the squares should go through np.sqrt before it is compared"
        " and divided by",
        wrong=("params",),
        causes=("factor",),
    )
)


class EfficientAdam:
    """The order of the remark at the end of section 2: one rate for the step, eps corrected along with it."""

    def __init__(self, lr, b1=0.9, b2=0.999, eps=1e-8):
        self.hyper = (lr, b1, b2, eps)
        self.slots = {}
        self.b1_power = self.b2_power = 1.0

    def step(self, params, grads):
        lr, b1, b2, eps = self.hyper
        self.b1_power *= b1
        self.b2_power *= b2
        root = np.sqrt(1 - self.b2_power)
        lr_t = lr * root / (1 - self.b1_power)
        for k, p in params.items():
            m, v = self.slots.setdefault(k, (np.zeros_like(p), np.zeros_like(p)))
            m += (1 - b1) * (grads[k] - m)
            v += (1 - b2) * (np.square(grads[k]) - v)
            p -= lr_t * m / (np.sqrt(v) + eps * root)


ITEMS.append(
    Item(
        "adam_one_rate",
        "Keras-like library",
        "optimizer",
        lambda: {"optimizer": EfficientAdam(0.03), "reference": PlainAdam(0.03)},
        True,
    )
)


class FlatNesterov:
    """All the parameters as one vector; buf as PyTorch keeps it, without the rate in it."""

    def __init__(self, lr, momentum):
        self.lr, self.momentum, self.buf = lr, momentum, None

    def step(self, params, grads):
        names = sorted(params)
        g = np.concatenate([grads[k].reshape(-1) for k in names])
        self.buf = g.copy() if self.buf is None else self.momentum * self.buf + g
        move = self.lr * (g + self.momentum * self.buf)
        at = 0
        for k in names:
            params[k] -= move[at : at + params[k].size].reshape(params[k].shape)
            at += params[k].size


ITEMS.append(
    Item(
        "nesterov_flat",
        "PyTorch optimizer port",
        "optimizer",
        lambda: {"optimizer": FlatNesterov(0.05, 0.8), "reference": PlainNesterov(0.05, 0.8)},
        True,
    )
)


class PlainCosineRMSProp:
    """RMSProp with a cosine schedule: rate lr (1 + cos(pi t / total)) / 2 at step t = 0, 1, ..., then 0."""

    def __init__(self, lr, total, decay=0.9, eps=1e-8):
        self.lr, self.total, self.decay, self.eps = lr, total, decay, eps
        self.t, self.cache = 0, {}

    def step(self, params, grads):
        rate = self.lr * 0.5 * (1 + np.cos(np.pi * min(self.t, self.total) / self.total))
        self.t += 1
        for k in params:
            self.cache[k] = self.decay * self.cache.get(k, 0) + (1 - self.decay) * grads[k] ** 2
            params[k] -= rate * grads[k] / (np.sqrt(self.cache[k]) + self.eps)


def cosine_schedule(init_value, decay_steps):
    def schedule(count):
        return init_value * np.cos(0.5 * np.pi * np.minimum(count, decay_steps) / decay_steps) ** 2

    return schedule


def scale_by_rms(decay, eps):
    def update(grads, nu):
        nu = {k: (1 - decay) * g**2 + decay * (nu[k] if nu else 0.0) for k, g in grads.items()}
        return {k: g / (np.sqrt(nu[k]) + eps) for k, g in grads.items()}, nu

    return update


class Chain:
    def __init__(self, transform, schedule):
        self.transform, self.schedule = transform, schedule
        self.state, self.count = None, 0

    def step(self, params, grads):
        updates, self.state = self.transform(grads, self.state)
        rate = self.schedule(self.count)
        self.count += 1
        for k in params:
            params[k] += -rate * updates[k]


ITEMS.append(
    Item(
        "rmsprop_cosine",
        "JAX/Optax port",
        "optimizer",
        lambda: {
            "optimizer": Chain(scale_by_rms(0.9, 1e-8), cosine_schedule(0.05, 40)),
            "reference": PlainCosineRMSProp(0.05, 40),
        },
        True,
    )
)
