"""Exam items on variational autoencoders: whole models, samplers, evidence, optimizers and pieces (NumPy only).

Every text below is right as it stands; a wrong item replaces one line of it.  Run the module to verify all items
by central differences (gradients), by moments (samplers) and by quadrature over z (evidence).
"""
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


class Terms(NamedTuple):
    nll: np.ndarray
    kl: np.ndarray
    elbo: np.ndarray
    objective: np.ndarray


ITEMS = []


def run_text(text, old="", new=""):
    if old:
        assert text.count(old) == 1, (text.count(old), old)
        text = text.replace(old, new)
    names = {"np": np, "Terms": Terms, "__name__": "exam_text"}
    exec(compile(text, "<exam text>", "exec"), names)
    return names


def item(name, style, check, text, args, old="", new="", slip="", wrong=(), causes=()):
    """One item: right without a slip; old -> new is the one line that differs."""
    ITEMS.append(Item(name, style, check, lambda: args(run_text(text, old, new)), not slip, slip, wrong, causes))


# ------------------------------------------------------------------------------------------------ whole models

FUNCTIONAL = '''
def sigmoid(t):
    return 0.5 * (1.0 + np.tanh(0.5 * t))
def init_params(rng, D, H, Z):
    sizes = {"enc": (D, H), "mu": (H, Z), "lv": (H, Z), "dec": (Z, H), "out": (H, D)}
    p = {}
    for k, (i, o) in sizes.items():
        p["W_" + k] = rng.normal(size=(i, o)) / np.sqrt(i)
        p["b_" + k] = 0.3 * rng.normal(size=o)
    return p
def elbo_terms(p, x, eps, beta):
    h = np.tanh(x @ p["W_enc"] + p["b_enc"])
    mu = h @ p["W_mu"] + p["b_mu"]
    logvar = h @ p["W_lv"] + p["b_lv"]
    eps = np.asarray(eps)
    sigma = np.exp(0.5 * logvar)
    z = mu + sigma * eps
    g = np.tanh(z @ p["W_dec"] + p["b_dec"])
    logits = g @ p["W_out"] + p["b_out"]
    nll = np.sum(np.logaddexp(0.0, logits) - x * logits, axis=1)
    kl = 0.5 * np.sum(mu ** 2 + sigma ** 2 - logvar - 1.0, axis=1)
    cache = dict(x=x, eps=eps, h=h, mu=mu, logvar=logvar, sigma=sigma, z=z, g=g, logits=logits, beta=beta)
    return Terms(nll, kl, -nll - kl, -nll - beta * kl), cache
def elbo_grads(p, c, up):
    up = np.asarray(up)[:, None]
    d = {}
    dlogits = up * (c["x"] - sigmoid(c["logits"]))
    d["W_out"], d["b_out"] = c["g"].T @ dlogits, dlogits.sum(0)
    dg = (dlogits @ p["W_out"].T) * (1.0 - c["g"] ** 2)
    d["W_dec"], d["b_dec"] = c["z"].T @ dg, dg.sum(0)
    dz = dg @ p["W_dec"].T
    dmu = dz - up * c["beta"] * c["mu"]
    dlv = dz * c["eps"] * 0.5 * c["sigma"]
    dlv = dlv - up * c["beta"] * 0.5 * (c["sigma"] ** 2 - 1.0)
    d["W_mu"], d["b_mu"] = c["h"].T @ dmu, dmu.sum(0)
    d["W_lv"], d["b_lv"] = c["h"].T @ dlv, dlv.sum(0)
    dh = (dmu @ p["W_mu"].T + dlv @ p["W_lv"].T) * (1.0 - c["h"] ** 2)
    d["W_enc"], d["b_enc"] = c["x"].T @ dh, dh.sum(0)
    return d
class Model:
    def __init__(self, params):
        self.params = params
    def objective(self, x, eps, beta=1.0):
        return elbo_terms(self.params, x, eps, beta)
    def backward(self, dobjective, cache):
        return elbo_grads(self.params, cache, dobjective)
'''

def functional_args(ns, B=5, D=6, H=4, Z=2):
    rng = np.random.default_rng(11)
    model = ns["Model"](ns["init_params"](rng, D, H, Z))
    return dict(model=model, x=(rng.random((B, D)) < 0.5).astype(float), eps=rng.normal(size=(B, Z)))

S = "functional, parameters and gradients in dicts, batch first"
ENC = ("W_enc", "b_enc")
item("dict_vae_right", S, "gradients", FUNCTIONAL, functional_args)
item("dict_vae_no_half_in_sample", S, "gradients", FUNCTIONAL, functional_args,
     'dlv = dz * c["eps"] * 0.5 * c["sigma"]', 'dlv = dz * c["eps"] * c["sigma"]',
     "the slope of exp(logvar / 2) lacks its half in the sample's part of the log-variance gradient; multiply by 0.5",
     ("W_lv", "b_lv") + ENC, ("factor", "elementwise-factor", "missing-term"))
item("dict_vae_kl_ignores_upstream", S, "gradients", FUNCTIONAL, functional_args,
     'dmu = dz - up * c["beta"] * c["mu"]', 'dmu = dz - c["beta"] * c["mu"]',
     "the KL part of the mean's gradient is not weighted with dobjective; multiply it by up",
     ("W_mu", "b_mu") + ENC, ("elementwise-factor", "missing-term"))
item("dict_vae_redraws_noise", S, "gradients", FUNCTIONAL, functional_args,
     "eps = np.asarray(eps)", "eps = np.random.randn(*eps.shape)",
     "objective draws fresh noise and ignores the eps handed in; use eps", (), ("noise-redrawn",))

FEATURES_FIRST = '''
def relu(Z):
    return np.maximum(Z, 0)
class VAE(object):
    def __init__(self, n_x, n_h, n_z, seed):
        r = np.random.RandomState(seed)
        shapes = [("1", n_h, n_x), ("2", n_z, n_h), ("3", n_z, n_h), ("4", n_h, n_z), ("5", n_x, n_h)]
        self.params = {}
        for l, n_out, n_in in shapes:
            self.params["W" + l] = r.randn(n_out, n_in) * np.sqrt(2. / n_in)
            self.params["b" + l] = r.randn(n_out, 1) * 0.2
    def objective(self, x, eps, beta=1.0):
        W1, W2, W3, W4, W5 = [self.params["W%d" % l] for l in range(1, 6)]
        b1, b2, b3, b4, b5 = [self.params["b%d" % l] for l in range(1, 6)]
        X, E = x.T, eps.T
        Z1 = np.dot(W1, X) + b1
        A1 = relu(Z1)
        MU = np.dot(W2, A1) + b2
        LS = np.dot(W3, A1) + b3                        # log sigma
        S = np.exp(LS)
        ZZ = MU + S * E
        Z4 = np.dot(W4, ZZ) + b4
        A4 = relu(Z4)
        Z5 = np.dot(W5, A4) + b5
        A5 = 1. / (1. + np.exp(-Z5))
        nll = -np.sum(X * np.log(A5) + (1 - X) * np.log(1 - A5), axis=0)
        kl = np.sum(-LS + (S ** 2 + MU ** 2) / 2. - 0.5, axis=0)
        return Terms(nll, kl, -nll - kl, -nll - beta * kl), (X, E, Z1, A1, MU, LS, S, ZZ, Z4, A4, A5, beta)
    def backward(self, dobjective, cache):
        (X, E, Z1, A1, MU, LS, S, ZZ, Z4, A4, A5, beta) = cache
        p = self.params
        dJ = dobjective.reshape(1, -1)
        m = X.shape[1]
        dZ5 = dJ * (X - A5)
        dW5 = np.dot(dZ5, A4.T)
        db5 = np.sum(dZ5, axis=1, keepdims=True)
        dZ4 = np.dot(p["W5"].T, dZ5) * (Z4 > 0)
        dW4 = np.dot(dZ4, ZZ.T)
        db4 = np.sum(dZ4, axis=1, keepdims=True)
        dZZ = np.dot(p["W4"].T, dZ4)
        dMU = dZZ - beta * dJ * MU
        dLS = dZZ * E * S - beta * dJ * (S ** 2 - 1)
        dW2 = np.dot(dMU, A1.T)
        db2 = np.sum(dMU, axis=1, keepdims=True)
        dW3 = np.dot(dLS, A1.T)
        db3 = np.sum(dLS, axis=1, keepdims=True)
        dA1 = np.dot(p["W2"].T, dMU) + np.dot(p["W3"].T, dLS)
        dZ1 = np.multiply(dA1, np.int64(Z1 > 0))
        dW1 = np.dot(dZ1, X.T)
        db1 = np.sum(dZ1, axis=1, keepdims=True)
        return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3,
                "W4": dW4, "b4": db4, "W5": dW5, "b5": db5}
'''

def features_args(ns, B=4):
    rng = np.random.default_rng(5)
    return dict(model=ns["VAE"](5, 6, 3, 2), x=rng.random((B, 5)), eps=rng.normal(size=(B, 3)))

S = "features first, numbered W1/b1 with column biases, cache tuple, log sigma"
item("columns_vae_right", S, "gradients", FEATURES_FIRST, features_args)
item("columns_vae_bias_mean", S, "gradients", FEATURES_FIRST, features_args,
     "db5 = np.sum(dZ5, axis=1, keepdims=True)", "db5 = np.sum(dZ5, axis=1, keepdims=True) / m",
     "the output bias alone is averaged over the batch; the objective is summed, so drop the / m", ("b5",), ("factor",))
item("columns_vae_forgets_sigma_head", S, "gradients", FEATURES_FIRST, features_args,
     'dA1 = np.dot(p["W2"].T, dMU) + np.dot(p["W3"].T, dLS)', 'dA1 = np.dot(p["W2"].T, dMU)',
     "the encoder's hidden layer gets no gradient from the log-sigma head; add W3.T dLS", ("W1", "b1"),
     ("missing-term",))

LAYERS = '''
class Linear:
    def __init__(self, net, name, n_in, n_out, rng):
        self.net, self.name = net, name
        net.params[name + ".weight"] = rng.normal(0, 1 / np.sqrt(n_in), (n_in, n_out))
        net.params[name + ".bias"] = rng.normal(0, 0.1, n_out)
        self.dW, self.db = np.zeros((n_in, n_out)), np.zeros(n_out)      # own buffers
    def forward(self, inp):
        out = inp @ self.net.params[self.name + ".weight"] + self.net.params[self.name + ".bias"]
        return out, inp
    def backward(self, grad, inp):
        self.dW[...] = 0.0
        self.dW += inp.T @ grad
        self.db[...] = grad.sum(axis=0)
        return grad @ self.net.params[self.name + ".weight"].T
class Softplus:
    def forward(self, inp):
        return np.logaddexp(0, inp), inp
    def backward(self, grad, inp):
        return grad / (1 + np.exp(-inp))
class GaussianVAE:
    """Encoder trunk, two heads, decoder trunk, mean and log-variance of every pixel."""
    def __init__(self, d, h, k, rng):
        self.params = {}
        self.trunk = [Linear(self, "enc0", d, h, rng), Softplus(), Linear(self, "enc1", h, h, rng), Softplus()]
        self.to_mu, self.to_logvar = Linear(self, "mu", h, k, rng), Linear(self, "logvar", h, k, rng)
        self.decoder = [Linear(self, "dec0", k, h, rng), Softplus()]
        self.to_mean, self.to_s = Linear(self, "mean", h, d, rng), Linear(self, "s", h, d, rng)
    def layers(self):
        every = self.trunk + [self.to_mu, self.to_logvar] + self.decoder + [self.to_mean, self.to_s]
        return [l for l in every if isinstance(l, Linear)]
    def objective(self, x, eps, beta=1.0):
        saved, t = [], x
        for l in self.trunk:
            t, c = l.forward(t); saved.append(c)
        (mu, c1), (lv, c2) = self.to_mu.forward(t), self.to_logvar.forward(t)
        t = mu + np.exp(lv / 2) * eps
        saved_dec = []
        for l in self.decoder:
            t, c = l.forward(t); saved_dec.append(c)
        (m, c3), (s, c4) = self.to_mean.forward(t), self.to_s.forward(t)
        nll = 0.5 * (np.log(2 * np.pi) + s + (x - m) ** 2 * np.exp(-s)).sum(1)
        kl = -0.5 * (1 + lv - mu ** 2 - np.exp(lv)).sum(1)
        cache = x, eps, beta, saved, c1, c2, mu, lv, saved_dec, c3, c4, m, s
        return Terms(nll, kl, -nll - kl, -nll - beta * kl), cache
    def backward(self, dobjective, cache):
        x, eps, beta, saved, c1, c2, mu, lv, saved_dec, c3, c4, m, s = cache
        w = dobjective[:, None]
        gm = w * (x - m) * np.exp(-s)
        gs = -w * 0.5 * (1 - (x - m) ** 2 * np.exp(-s))
        g = self.to_mean.backward(gm, c3) + self.to_s.backward(gs, c4)
        for l, c in zip(reversed(self.decoder), reversed(saved_dec)):
            g = l.backward(g, c)
        gmu = g - w * beta * mu
        glv = g * eps * np.exp(lv / 2) / 2 - w * beta * (np.exp(lv) - 1) / 2
        g = self.to_mu.backward(gmu, c1) + self.to_logvar.backward(glv, c2)
        for l, c in zip(reversed(self.trunk), reversed(saved)):
            g = l.backward(g, c)
        grads = {}
        for l in self.layers():
            grads[l.name + ".weight"], grads[l.name + ".bias"] = l.dW, l.db
        return grads
'''

def layers_args(ns):
    rng = np.random.default_rng(8)
    return dict(model=ns["GaussianVAE"](4, 5, 2, rng), x=rng.normal(size=(6, 4)), eps=rng.normal(size=(6, 2)))

S = "layer objects with forward/backward and own gradient buffers, Gaussian decoder with a learned variance"
item("layers_vae_right", S, "gradients", LAYERS, layers_args)
item("layers_vae_never_zeroed", S, "gradients", LAYERS, layers_args, "        self.dW[...] = 0.0\n", "",
     "the weights' buffers are added to and never zeroed, so a second backward doubles; zero dW first",
     (), ("accumulates",))
item("layers_vae_output_variance_slope", S, "gradients", LAYERS, layers_args,
     "gm = w * (x - m) * np.exp(-s)", "gm = w * (x - m) * np.exp(-0.5 * s)",
     "the pixel mean's gradient is divided by the standard deviation where the variance belongs; use exp(-s)",
     ("enc0.weight", "enc0.bias", "enc1.weight", "enc1.bias", "mu.weight", "mu.bias", "logvar.weight", "logvar.bias",
      "dec0.weight", "dec0.bias", "mean.weight", "mean.bias"), ("elementwise-factor",))

PER_EXAMPLE = '''
def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))
class Network(object):
    """One example at a time, column vectors, nablas added up over the batch; sigma = softplus(rho)."""
    NAMES = ["hidden", "mean", "rho", "decoder"]
    def __init__(self, sizes, seed=0):
        rnd = np.random.RandomState(seed)
        n_in, n_hid, n_lat = sizes
        dims = [(n_hid, n_in), (n_lat, n_hid), (n_lat, n_hid), (n_in, n_lat)]
        self.params = {}
        for name, (y, x) in zip(self.NAMES, dims):
            self.params["w_" + name] = rnd.randn(y, x) / np.sqrt(x)
            self.params["b_" + name] = 0.5 * rnd.randn(y, 1)
    def feedforward(self, x, e):
        (w1, w2, w3, w4), (b1, b2, b3, b4) = [[self.params[t + n] for n in self.NAMES] for t in ("w_", "b_")]
        a = sigmoid(np.dot(w1, x) + b1)
        mean = np.dot(w2, a) + b2
        rho = np.dot(w3, a) + b3
        sd = np.log1p(np.exp(rho))
        z = mean + sd * e
        return a, mean, rho, sd, z, np.dot(w4, z) + b4
    def objective(self, x, eps, beta=1.0):
        acts, nll, kl = [], [], []
        for xi, ei in zip(x, eps):
            xi, ei = xi.reshape(-1, 1), ei.reshape(-1, 1)
            a, mean, rho, sd, z, out = self.feedforward(xi, ei)
            nll.append(0.5 * np.sum((xi - out) ** 2) + 0.5 * len(xi) * np.log(2 * np.pi))
            kl.append(np.sum(0.5 * (sd ** 2 + mean ** 2 - 1) - np.log(sd)))
            acts.append((xi, ei, a, mean, rho, sd, z, out))
        nll, kl = np.array(nll), np.array(kl)
        return Terms(nll, kl, -nll - kl, -nll - beta * kl), (acts, beta)
    def backprop(self, weight, beta, act):
        x, e, a, mean, rho, sd, z, out = act
        p = self.params
        delta = weight * (x - out)
        nb4, nw4 = delta, np.dot(delta, z.transpose())
        dz = np.dot(p["w_decoder"].transpose(), delta)
        dmean = dz - weight * beta * mean
        dsd = dz * e - weight * beta * (sd - 1.0 / sd)
        drho = dsd * sigmoid(rho)
        delta = (np.dot(p["w_mean"].transpose(), dmean) + np.dot(p["w_rho"].transpose(), drho)) * a * (1 - a)
        nabla_b = [delta, dmean, drho, nb4]
        nabla_w = [np.dot(delta, x.transpose()), np.dot(dmean, a.transpose()), np.dot(drho, a.transpose()), nw4]
        return nabla_b, nabla_w
    def backward(self, dobjective, cache):
        acts, beta = cache
        nabla_b = [np.zeros(self.params["b_" + n].shape) for n in self.NAMES]
        nabla_w = [np.zeros(self.params["w_" + n].shape) for n in self.NAMES]
        for weight, act in zip(dobjective, acts):
            delta_b, delta_w = self.backprop(weight, beta, act)
            nabla_b = [nb + dnb for nb, dnb in zip(nabla_b, delta_b)]
            nabla_w = [nw + dnw for nw, dnw in zip(nabla_w, delta_w)]
        grads = dict(("b_" + n, g) for n, g in zip(self.NAMES, nabla_b))
        grads.update(("w_" + n, g) for n, g in zip(self.NAMES, nabla_w))
        return grads
'''

def per_example_args(ns, B=5):
    rng = np.random.default_rng(3)
    return dict(model=ns["Network"]([4, 3, 2], 1), x=rng.normal(size=(B, 4)), eps=rng.normal(size=(B, 2)))

S = "one example at a time, column vectors, nabla lists added up in a loop, softplus sigma"
ALL_BUT_DECODER = ("w_hidden", "b_hidden", "w_mean", "b_mean", "w_rho", "b_rho")
item("loop_vae_right", S, "gradients", PER_EXAMPLE, per_example_args)
item("loop_vae_batch_of_one_right", S, "gradients", PER_EXAMPLE, lambda ns: per_example_args(ns, 1))
item("loop_vae_keeps_last_bias", S, "gradients", PER_EXAMPLE, per_example_args,
     "nabla_b = [nb + dnb for nb, dnb in zip(nabla_b, delta_b)]",
     "nabla_b = [dnb for nb, dnb in zip(nabla_b, delta_b)]",
     "the biases keep the last example's gradient only; add nb + dnb", ("b_hidden", "b_mean", "b_rho", "b_decoder"),
     ("batch-sum",))
item("loop_vae_kl_sign_of_sd", S, "gradients", PER_EXAMPLE, per_example_args,
     "dsd = dz * e - weight * beta * (sd - 1.0 / sd)", "dsd = dz * e + weight * beta * (sd - 1.0 / sd)",
     "the KL part of sigma's gradient has the sign of a loss, but the objective is maximised; subtract it",
     ("w_rho", "b_rho", "w_hidden", "b_hidden"), ("sign", "missing-term"))

TIED_EINSUM = '''
class TiedVAE:
    """x -> tanh(W x) -> latents -> tanh -> W^T: one matrix for both ends; Laplace noise; KL by one sample."""
    def __init__(self, gen, D=5, H=4, K=3):
        self.params = {"W": gen.normal(size=(H, D)) * 0.6, "V": gen.normal(size=(2, K, H)) * 0.5,
                       "c": gen.normal(size=(2, K)) * 0.3, "U": gen.normal(size=(H, K)) * 0.7,
                       "log_b": np.array(gen.normal() * 0.3)}
    def objective(self, x, eps, beta=1.0):
        P = self.params
        h = np.tanh(np.einsum("hd,nd->nh", P["W"], x))
        mu, lv = np.einsum("skh,nh->snk", P["V"], h) + P["c"][:, None, :]
        sd = np.exp(lv / 2)
        z = mu + sd * eps
        t = np.tanh(np.einsum("hk,nk->nh", P["U"], z))
        r = np.einsum("hd,nh->nd", P["W"], t) - x
        b = np.exp(P["log_b"])
        nll = np.abs(r).sum(1) / b + x.shape[1] * (np.log(2.0) + P["log_b"])
        kl = 0.5 * (z ** 2 - eps ** 2 - lv).sum(1)        # log q(z) - log p(z) at the sample
        return Terms(nll, kl, -nll - kl, -nll - beta * kl), (x, eps, beta, h, lv, sd, z, t, r, b)
    def backward(self, dobjective, cache):
        x, eps, beta, h, lv, sd, z, t, r, b = cache
        P, a = self.params, dobjective
        gr = np.einsum("n,nd->nd", -a, np.sign(r)) / b
        glog_b = np.einsum("n,nd->", a, np.abs(r)) / b - x.shape[1] * a.sum()
        gW = np.einsum("nd,nh->hd", gr, t)
        gu = np.einsum("nd,hd->nh", gr, P["W"]) * (1 - t * t)
        gU = np.einsum("nh,nk->hk", gu, z)
        gz = np.einsum("nh,hk->nk", gu, P["U"])
        gz = gz - beta * np.einsum("n,nk->nk", a, z)
        glv = 0.5 * gz * sd * eps + 0.5 * beta * a[:, None]
        g2 = np.stack([gz, glv])
        gh = np.einsum("snk,skh->nh", g2, P["V"]) * (1 - h * h)
        gW += np.einsum("nh,nd->hd", gh, x)
        return {"W": gW, "V": np.einsum("snk,nh->skh", g2, h), "c": g2.sum(1), "U": gU, "log_b": glog_b}
'''

def tied_args(ns):
    gen = np.random.default_rng(21)
    return dict(model=ns["TiedVAE"](gen), x=gen.normal(size=(7, 5)), eps=gen.normal(size=(7, 3)))

S = "einsum, stacked heads, tied encoder/decoder matrix, Laplace likelihood, 0-d scale, sampled KL"
item("tied_vae_right", S, "gradients", TIED_EINSUM, tied_args)
item("tied_vae_overwrites_shared", S, "gradients", TIED_EINSUM, tied_args,
     'gW += np.einsum("nh,nd->hd", gh, x)', 'gW = np.einsum("nh,nd->hd", gh, x)',
     "the tied matrix keeps the encoder's part only, the decoder's part is overwritten; add with +=", ("W",),
     ("missing-term",))
item("tied_vae_residual_for_sign", S, "gradients", TIED_EINSUM, tied_args,
     'np.einsum("n,nd->nd", -a, np.sign(r)) / b', 'np.einsum("n,nd->nd", -a, r) / b',
     "the residual stands where its sign belongs: the slope of a squared error for an absolute one; use np.sign(r)",
     ("W", "V", "c", "U"), ("elementwise-factor",))

TAPE = '''
class Var:
    """A small reverse-mode tape, closures that push gradients to their parents."""
    def __init__(self, data, parents=(), push=None):
        self.data, self.parents, self.push, self.grad = np.asarray(data), parents, push, 0.0
def fit(g, shape):                     # undo broadcasting
    while g.ndim > len(shape):
        g = g.sum(axis=0)
    for i, n in enumerate(shape):
        if n == 1 and g.shape[i] != 1:
            g = g.sum(axis=i, keepdims=True)
    return g
def send(v, g):
    v.grad = v.grad + fit(g, v.data.shape)
def add(a, b):
    return Var(a.data + b.data, (a, b), lambda g: (send(a, g), send(b, g)))
def mul(a, b):
    return Var(a.data * b.data, (a, b), lambda g: (send(a, g * b.data), send(b, g * a.data)))
def matmul(a, b):
    return Var(a.data @ b.data, (a, b), lambda g: (send(a, g @ b.data.T), send(b, a.data.T @ g)))
def exp(a):
    e = np.exp(a.data)
    return Var(e, (a,), lambda g: send(a, g * e))
def softplus(a):
    return Var(np.logaddexp(0.0, a.data), (a,), lambda g: send(a, g * np.exp(-np.logaddexp(0.0, -a.data))))
def rowsum(a):
    return Var(a.data.sum(1), (a,), lambda g: send(a, np.broadcast_to(g[:, None], a.data.shape)))
def run_tape(out, seed):
    order, seen = [], set()
    def visit(v):
        if id(v) not in seen:
            seen.add(id(v))
            for q in v.parents:
                visit(q)
            order.append(v)
    visit(out)
    for v in order:
        v.grad = 0.0
    out.grad = seed
    for v in reversed(order):
        if v.push:
            v.push(v.grad)
class LearnedPriorVAE:
    def __init__(self, rng, D=6, H=4, Z=2):
        f = lambda *s: rng.normal(size=s) * 0.5
        self.params = dict(enc_w=f(D, H), enc_b=f(H), m_w=f(H, Z), m_b=f(Z), v_w=f(H, Z), v_b=f(Z), dec_w=f(Z, D),
                           dec_b=f(D), prior_m=f(1, Z), prior_v=f(1, Z))
    def objective(self, x, eps, beta=1.0):
        p = {k: Var(v) for k, v in self.params.items()}
        x, half, minus = Var(x), Var(0.5), Var(-1.0)
        h = softplus(add(matmul(x, p["enc_w"]), p["enc_b"]))
        m, v = add(matmul(h, p["m_w"]), p["m_b"]), add(matmul(h, p["v_w"]), p["v_b"])
        z = add(m, mul(exp(mul(half, v)), Var(eps)))
        logits = add(matmul(z, p["dec_w"]), p["dec_b"])
        nll = rowsum(add(softplus(logits), mul(minus, mul(x, logits))))
        d = add(m, mul(minus, p["prior_m"]))
        ratio = mul(add(exp(v), mul(d, d)), exp(mul(minus, p["prior_v"])))
        kl = mul(half, rowsum(add(add(ratio, p["prior_v"]), add(mul(minus, v), minus))))
        obj = mul(minus, add(nll, mul(Var(beta), kl)))
        self.last = (obj, p)
        return Terms(nll.data, kl.data, -nll.data - kl.data, obj.data), (obj, p)
    def backward(self, dobjective, cache):
        obj, p = cache
        run_tape(obj, dobjective)
        return {k: v.grad for k, v in p.items()}
'''

def tape_args(ns):
    rng = np.random.default_rng(17)
    return dict(model=ns["LearnedPriorVAE"](rng), x=(rng.random((3, 6)) < 0.4).astype(float),
                eps=rng.normal(size=(3, 2)))

S = "a small reverse-mode tape with closures, learned prior"
item("tape_vae_right", S, "gradients", TAPE, tape_args)
item("tape_vae_grad_overwritten", S, "gradients", TAPE, tape_args,
     "v.grad = v.grad + fit(g, v.data.shape)", "v.grad = fit(g, v.data.shape)",
     "a variable that is used twice keeps the last contribution only; add to v.grad",
     ("enc_w", "enc_b", "m_w", "m_b", "v_w", "v_b", "dec_w", "dec_b", "prior_m", "prior_v"), ("missing-term",))
item("tape_vae_uses_last_graph", S, "gradients", TAPE, tape_args, "obj, p = cache", "obj, p = self.last",
     "backward walks the last graph built, not the one in the cache, so another objective in between spoils it; "
     "use cache", (), ("mutates-input",))
item("tape_vae_sigmoid_for_itself", S, "gradients", TAPE, tape_args,
     "send(a, g * np.exp(-np.logaddexp(0.0, -a.data)))", "send(a, g * np.exp(-np.logaddexp(0.0, a.data)))",
     "softplus' slope is given as 1 - sigmoid; it is sigmoid(a)",
     ("enc_w", "enc_b", "m_w", "m_b", "v_w", "v_b", "dec_w", "dec_b"), ("elementwise-factor", "sign"))

# ------------------------------------------------------------------------------------------------ samplers

def sampler_args(call, B=5, Z=3, seed=2):
    def args(ns):
        rng = np.random.default_rng(seed)
        return dict(sampler=call(ns), mu=rng.normal(size=(B, Z)), logvar=rng.normal(size=(B, Z)) - 0.3)
    return args

PLAIN_SAMPLE = '''
def reparameterize(mu, logvar, eps):
    std = np.exp(0.5 * logvar)
    return mu + std * eps
'''
S = "one plain function, torch-like names"
A = sampler_args(lambda ns: ns["reparameterize"])
item("sample_plain_right", S, "sampler", PLAIN_SAMPLE, A)
item("sample_variance_as_std", S, "sampler", PLAIN_SAMPLE, A, "np.exp(0.5 * logvar)", "np.exp(logvar)",
     "the noise is scaled with the variance; take the root, exp(logvar / 2)", (), ("elementwise-factor",))
item("sample_adds_in_place", S, "sampler", PLAIN_SAMPLE, A, "    return mu + std * eps",
     "    mu += std * eps\n    return mu", "the caller's mu is overwritten with the sample; write mu + std * eps",
     (), ("mutates-input",))
item("sample_own_noise", S, "sampler", PLAIN_SAMPLE, sampler_args(lambda ns: ns["reparameterize"], 4, 2),
     "    return mu + std * eps", "    return mu + std * np.random.normal(size=mu.shape)",
     "the sampler draws its own noise instead of using eps; use eps", (), ("noise-redrawn",))

CLASS_SAMPLE = '''
class Sampling:
    def __init__(self, training=True):
        self.training = training
    def forward(self, mean, log_var, eps):
        if not self.training:
            return mean, None
        self.sigma = np.sqrt(np.exp(log_var))
        z = np.empty_like(mean)
        np.multiply(self.sigma, eps, out=z)
        z += mean
        return z, (self.sigma, eps)
'''
S = "layer class with a training flag and own buffers, returns z and a cache"
A = sampler_args(lambda ns: ns["Sampling"]().forward, 6, 2)
item("sample_layer_right", S, "sampler", CLASS_SAMPLE, A)
item("sample_layer_square_root_twice", S, "sampler", CLASS_SAMPLE, A, "np.sqrt(np.exp(log_var))",
     "np.sqrt(np.exp(0.5 * log_var))", "the root is taken twice (0.5 in the exponent and sqrt); drop one",
     (), ("elementwise-factor",))
item("sample_layer_forgets_mean", S, "sampler", CLASS_SAMPLE, A, "        z += mean\n", "",
     "the mean is never added to the noise; add it", (), ("missing-term",))
item("sample_layer_left_in_eval", S, "sampler", CLASS_SAMPLE, A, "training=True", "training=False",
     "the layer is in evaluation mode and returns the mean without noise; turn training on", (),
     ("zero", "missing-term"))

COLUMN_SAMPLE = '''
def sample_columns(MU, LV, E):
    # (Z, m) everywhere
    return MU + np.exp(LV / 2) * E
def sampler(mu, logvar, eps):
    E = eps.T
    return sample_columns(mu.T, logvar.T, E).T
'''
S = "features-first core with transposes around it"
A = sampler_args(lambda ns: ns["sampler"], 4, 3)
item("sample_columns_right", S, "sampler", COLUMN_SAMPLE, A)
item("sample_columns_reshape_for_transpose", S, "sampler", COLUMN_SAMPLE, A, "E = eps.T", "E = eps.reshape(mu.T.shape)",
     "eps is reshaped to features first where it should be transposed, so entries meet another entry's noise; eps.T",
     (), ("unknown", "shape", "elementwise-factor"))
item("sample_columns_precision", S, "sampler", COLUMN_SAMPLE, A, "np.exp(LV / 2)", "np.exp(-LV / 2)",
     "log-variance is read as log-precision; the exponent's sign should be plus", (), ("sign", "elementwise-factor"))

LOOP_SAMPLE = '''
def draw(mu, logvar, eps):
    out = np.zeros(mu.shape)
    temperature = 1.0
    for b in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            s = np.exp(logvar[b, j]) ** 0.5
            out[b, j] = mu[b, j] + temperature * s * eps[b, j]
    return out
'''
S = "double loop over examples and latents"
item("sample_loop_right", S, "sampler", LOOP_SAMPLE, sampler_args(lambda ns: ns["draw"], 1, 4))
item("sample_loop_cold", S, "sampler", LOOP_SAMPLE, sampler_args(lambda ns: ns["draw"], 3, 4),
     "temperature = 1.0", "temperature = 0.7",
     "a sampling temperature of 0.7, meant for pictures, is left in training; set it to 1", (), ("factor",))

# ------------------------------------------------------------------------------------------------ evidence

EVIDENCE_ROWS = '''
class BernoulliVAE:
    def __init__(self, rng, D, H, Z):
        n = lambda *s: rng.normal(size=s)
        self.params = {"We": n(D, H), "be": n(H), "Wm": n(H, Z), "bm": n(Z), "Wl": 0.4 * n(H, Z),
                       "bl": 0.3 * n(Z) - 0.5, "Wd": n(Z, H), "bd": n(H), "Wo": n(H, D), "bo": n(D)}
    def encode(self, x):
        p = self.params
        h = np.tanh(x @ p["We"] + p["be"])
        return h @ p["Wm"] + p["bm"], h @ p["Wl"] + p["bl"], h
    def decode(self, z):
        p = self.params
        h = np.tanh(z @ p["Wd"] + p["bd"])
        return h @ p["Wo"] + p["bo"], h
    def objective(self, x, eps, beta=1.0):
        mu, logvar, h = self.encode(x)
        z = mu + np.exp(0.5 * logvar) * eps
        logits, g = self.decode(z)
        bce = np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits)))
        nll = bce.sum(axis=1)
        kl = -0.5 * (1 + logvar - mu ** 2 - np.exp(logvar)).sum(axis=1)
        return Terms(nll, kl, -nll - kl, -nll - beta * kl), (x, eps, h, mu, logvar, z, g, logits)
'''

def evidence_rows(Z):
    def args(ns):
        rng = np.random.default_rng(31 + Z)
        return dict(model=ns["BernoulliVAE"](rng, 5, 3, Z), x=(rng.random((3, 5)) < 0.5).astype(float))
    return args

S = "one class, batch first, numerically careful cross-entropy, closed-form KL"
item("evidence_rows_right", S, "evidence", EVIDENCE_ROWS, evidence_rows(2))
item("evidence_kl_no_half", S, "evidence", EVIDENCE_ROWS, evidence_rows(2),
     "kl = -0.5 * (1 + logvar", "kl = -(1 + logvar", "the KL lacks its one half; multiply by 0.5", ("kl",), ("factor",))
item("evidence_kl_sign_of_mean", S, "evidence", EVIDENCE_ROWS, evidence_rows(1),
     "(1 + logvar - mu ** 2 -", "(1 + logvar + mu ** 2 -",
     "the squared mean enters the KL with the wrong sign; -0.5 (1 + logvar - mu^2 - exp(logvar))", ("kl",),
     ("sign", "missing-term"))
item("evidence_nll_mean_over_pixels", S, "evidence", EVIDENCE_ROWS, evidence_rows(2),
     "nll = bce.sum(axis=1)", "nll = bce.mean(axis=1)",
     "the reconstruction is averaged over the pixels; a log-likelihood is their sum", ("nll",), ("factor",))
item("evidence_samples_with_variance", S, "evidence", EVIDENCE_ROWS, evidence_rows(1),
     "z = mu + np.exp(0.5 * logvar) * eps", "z = mu + np.exp(logvar) * eps",
     "the sample is spread with the variance where the standard deviation belongs; exp(logvar / 2)", ("sampler",),
     ("elementwise-factor",))

EVIDENCE_COLUMNS = '''
def sig(a):
    return 1 / (1 + np.exp(-a))
class Columns(object):
    """Features first inside; the network gives log sigma, encode hands out log sigma^2."""
    def __init__(self, seed, n_x=4, n_h=3, n_z=1):
        r = np.random.RandomState(seed)
        self.params = {}
        for l, (o, i) in enumerate([(n_h, n_x), (n_z, n_h), (n_z, n_h), (n_h, n_z), (n_x, n_h)], 1):
            self.params["W%d" % l], self.params["b%d" % l] = r.randn(o, i) * 0.8, r.randn(o, 1) * 0.5
    def encode(self, x):
        q = self.params
        A1 = sig(np.dot(q["W1"], x.T) + q["b1"])
        MU, LS = np.dot(q["W2"], A1) + q["b2"], np.dot(q["W3"], A1) + q["b3"]
        return MU.T, 2 * LS.T
    def decode(self, z):
        q = self.params
        A4 = sig(np.dot(q["W4"], z.T) + q["b4"])
        return (np.dot(q["W5"], A4) + q["b5"]).T, A4
    def objective(self, x, eps, beta=1.0):
        mu, lv = self.encode(x)
        z = mu + np.sqrt(np.exp(lv)) * eps
        P = sig(self.decode(z)[0])
        loglik = x * np.log(P) + (1 - x) * np.log(1 - P)
        RE = -np.sum(loglik, axis=-1)
        KLD = 0.5 * np.sum(np.exp(lv) + mu ** 2 - 1 - lv, axis=-1)
        elbo = -(RE + KLD)
        return Terms(nll=RE, kl=KLD, elbo=elbo, objective=-(RE + beta * KLD)), None
'''

def evidence_columns(ns):
    x = (np.random.default_rng(6).random((4, 4)) < 0.6).astype(float)
    return dict(model=ns["Columns"](4), x=x)

S = "features first, log sigma inside, probabilities rather than logits"
item("evidence_columns_right", S, "evidence", EVIDENCE_COLUMNS, evidence_columns)
item("evidence_nll_only_ones", S, "evidence", EVIDENCE_COLUMNS, evidence_columns,
     "loglik = x * np.log(P) + (1 - x) * np.log(1 - P)", "loglik = x * np.log(P)",
     "the Bernoulli likelihood forgets the dark pixels; add (1 - x) log(1 - p)", ("nll",), ("missing-term",))
item("evidence_elbo_adds_kl", S, "evidence", EVIDENCE_COLUMNS, evidence_columns,
     "elbo = -(RE + KLD)", "elbo = -(RE - KLD)",
     "the KL is added to the bound where it should be subtracted; elbo = -nll - kl", ("elbo",), ("sign",))

EVIDENCE_LOOP = '''
class LoopVAE:
    """Per-example loop; the KL is one sample's log q(z) - log p(z)."""
    def __init__(self, w):
        self.params = w
    def hidden(self, x):
        return np.maximum(0.0, x @ self.params["enc"] + 0.1)
    def encode(self, x):
        h = self.hidden(x)
        ls = h @ self.params["ls"] - 0.4
        return h @ self.params["mu"], 2.0 * ls
    def decode(self, z):
        return z @ self.params["dec"] + self.params["bias"], None
    def objective(self, x, eps, beta=1.0):
        nll, kl = np.zeros(len(x)), np.zeros(len(x))
        for n in range(len(x)):
            h = self.hidden(x[n])
            mu, ls = h @ self.params["mu"], h @ self.params["ls"] - 0.4
            z = mu + np.exp(ls) * eps[n]
            for d, a in enumerate(self.decode(z)[0]):
                nll[n] += np.logaddexp(0.0, -a) if x[n, d] == 1 else np.logaddexp(0.0, a)
            for j in range(len(z)):
                KL
        return Terms(nll, kl, -nll - kl, -nll - beta * kl), None
'''
CLOSED = EVIDENCE_LOOP.replace("one sample's log q(z) - log p(z)", "summed latent by latent").replace(
    "KL\n", "kl[n] += -ls[j] + 0.5 * (np.exp(2 * ls[j]) + mu[j] ** 2 - 1)\n")
SAMPLED = EVIDENCE_LOOP.replace("KL\n", "kl[n] += -ls[j] - 0.5 * eps[n, j] ** 2 + 0.5 * z[j] ** 2\n")

def evidence_loop(Z):
    def args(ns):
        r = np.random.default_rng(77)
        w = {"enc": r.normal(size=(4, 3)), "mu": r.normal(size=(3, Z)), "ls": 0.3 * r.normal(size=(3, Z)),
             "dec": 1.5 * r.normal(size=(Z, 4)), "bias": r.normal(size=4)}
        return dict(model=ns["LoopVAE"](w), x=(r.random((2, 4)) < 0.5).astype(float))
    return args

S = "loops over examples, pixels and latents, log sigma, ReLU encoder"
item("evidence_loop_right", S, "evidence", CLOSED, evidence_loop(2))
item("evidence_loop_sampled_kl_right", S, "evidence", SAMPLED, evidence_loop(1))
item("evidence_loop_encode_log_sigma", S, "evidence", CLOSED, evidence_loop(2),
     "return h @ self.params[\"mu\"], 2.0 * ls", "return h @ self.params[\"mu\"], ls",
     "encode hands out log sigma where log sigma^2 is asked for; double it", ("encode",), ("factor",))
item("evidence_loop_kl_sigma_for_variance", S, "evidence", CLOSED, evidence_loop(1),
     "np.exp(2 * ls[j])", "np.exp(ls[j])", "sigma stands where sigma^2 belongs in the KL; exp(2 log sigma)", ("kl",),
     ("elementwise-factor",))

# ------------------------------------------------------------------------------------------------ optimizers

ADAM = '''
class Adam:
    def __init__(self, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.t, self.m, self.v = 0, {}, {}
    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            self.m[k] = self.beta1 * self.m.get(k, 0.0) + (1 - self.beta1) * g
            self.v[k] = self.beta2 * self.v.get(k, 0.0) + (1 - self.beta2) * g * g
            m_hat = self.m[k] / (1 - self.beta1 ** self.t)
            v_hat = self.v[k] / (1 - self.beta2 ** self.t)
            params[k] -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)
'''
SIMPLE_OPTIMIZERS = '''
class AdaGrad:
    def __init__(self, lr):
        self.lr, self.h = lr, None
    def step(self, params, grads):
        if self.h is None:
            self.h = {key: np.zeros_like(val) for key, val in params.items()}
        for key in params.keys():
            self.h[key] += grads[key] * grads[key]
            params[key] -= self.lr * grads[key] / (np.sqrt(self.h[key]) + 1e-8)
class SGD:
    def __init__(self, lr):
        self.lr = lr
    def step(self, params, grads):
        for name, p in params.items():
            p -= self.lr * grads[name]
'''

def optimizer_args(name, reference, lr):
    def args(ns):
        import scratchvae.optim
        return dict(optimizer=ns[name](lr), reference=getattr(scratchvae.optim, reference)(lr=lr))
    return args

S = "moments in dicts by parameter name"
A = optimizer_args("Adam", "Adam", 0.02)
item("adam_right", S, "optimizer", ADAM, A)
item("adam_clock_per_parameter", S, "optimizer", ADAM, A, "            g = grads[k]\n",
     "            g = grads[k]\n            self.t += 1\n",
     "the step count also grows with every parameter, so the bias corrections are those of later steps; count once a "
     "step", (), ("factor", "elementwise-factor", "unknown"))
item("adam_no_second_correction", S, "optimizer", ADAM, A, "v_hat = self.v[k] / (1 - self.beta2 ** self.t)",
     "v_hat = self.v[k]", "the second moment is not corrected for its start at zero; divide by 1 - beta2^t",
     (), ("factor", "missing-term"))
S = "small optimizer classes, state made at the first step"
item("adagrad_right", S, "optimizer", SIMPLE_OPTIMIZERS, optimizer_args("AdaGrad", "Adagrad", 0.05))
item("adagrad_forgets_history", S, "optimizer", SIMPLE_OPTIMIZERS, optimizer_args("AdaGrad", "Adagrad", 0.05),
     "self.h[key] += grads[key]", "self.h[key] = grads[key]",
     "the squares are not accumulated, only the last one is kept; write +=", (),
     ("missing-term", "elementwise-factor"))
item("sgd_scales_callers_gradients", S, "optimizer", SIMPLE_OPTIMIZERS, optimizer_args("SGD", "SGD", 0.1),
     "            p -= self.lr * grads[name]\n", "            grads[name] *= self.lr\n            p -= grads[name]\n",
     "the caller's gradients are scaled in place; keep them: p -= lr * grads[name]", (), ("mutates-input",))

# ------------------------------------------------------------------------------------------------ pieces (vjp)

def vjp_args(seed, make_inputs, make_constants=lambda r: {}, cls=None):
    def args(ns):
        r = np.random.default_rng(seed)
        owner = ns[cls]() if cls else None
        forward = owner.forward if cls else ns["forward"]
        backward = owner.backward if cls else ns["backward"]
        return dict(forward=forward, backward=backward, inputs=make_inputs(r), constants=make_constants(r))
    return args

def two(b, z, *names):
    return lambda r: {n: r.normal(size=(b, z)) for n in names}

KL_CLIPPED = '''
LOW, HIGH = -1.5, 1.0
def forward(mu, logvar):
    lv = np.clip(logvar, LOW, HIGH)
    kl = 0.5 * (mu ** 2 + np.exp(lv) - 1.0 - lv).sum(axis=1)
    return kl, (mu, logvar, lv)
def backward(dy, cache):
    mu, logvar, lv = cache
    dmu = dy[:, None] * mu
    dlv = dy[:, None] * 0.5 * (np.exp(lv) - 1.0)
    inside = (logvar > LOW) & (logvar < HIGH)
    return dmu, dlv * inside
'''
S = "functions returning a tuple, clipped log-variance"
A = vjp_args(1, two(6, 4, "mu", "logvar"))
item("kl_clipped_right", S, "vjp", KL_CLIPPED, A)
item("kl_forgets_entropy_part", S, "vjp", KL_CLIPPED, A, "(np.exp(lv) - 1.0)\n", "np.exp(lv)\n",
     "the slope of -logvar / 2 is missing; 0.5 (exp(logvar) - 1)", ("logvar",), ("missing-term",))
item("kl_clip_not_in_backward", S, "vjp", KL_CLIPPED, A, "return dmu, dlv * inside", "return dmu, dlv",
     "clipped log-variances still get a gradient; multiply by the mask of those inside", ("logvar",),
     ("elementwise-factor",))

KL_TWO = '''
class GaussianKL:
    def forward(self, mu_q, ls_q, mu_p, ls_p):
        self.n = mu_q.shape[0]
        v = np.exp(2 * (ls_q - ls_p))
        diff = (mu_q - mu_p) * np.exp(-ls_p)
        loss = np.sum(ls_p - ls_q + 0.5 * (v + diff ** 2 - 1)) / self.n
        return loss, {"v": v, "diff": diff, "ls_p": ls_p, "n": self.n}
    def backward(self, dout, cache):
        s = dout / cache["n"]
        grads = {}
        grads["mu_q"] = s * cache["diff"] * np.exp(-cache["ls_p"])
        grads["mu_p"] = -grads["mu_q"]
        grads["ls_q"] = s * (cache["v"] - 1)
        grads["ls_p"] = s * (1 - cache["v"] - cache["diff"] ** 2)
        return grads
'''
S = "loss class, scalar mean over the batch, grads dict, log sigma"
A = vjp_args(2, two(5, 3, "mu_q", "ls_q", "mu_p", "ls_p"), cls="GaussianKL")
item("kl_two_gaussians_right", S, "vjp", KL_TWO, A)
item("kl_two_gaussians_prior_mean_sign", S, "vjp", KL_TWO, A, 'grads["mu_p"] = -grads["mu_q"]',
     'grads["mu_p"] = grads["mu_q"].copy()', "the prior's mean gets the posterior mean's gradient; its sign is minus",
     ("mu_p",), ("sign",))
item("kl_two_gaussians_prior_detached", S, "vjp", KL_TWO, A, "= s * (1 - cache[\"v\"] - cache[\"diff\"] ** 2)",
     "= np.zeros_like(cache[\"v\"])", "the prior's log sigma is treated as a constant; s (1 - v - diff^2)", ("ls_p",),
     ("zero",))
item("kl_two_gaussians_float32", S, "vjp", KL_TWO, A, "v = np.exp(2 * (ls_q - ls_p))",
     "v = np.exp(2 * (ls_q - ls_p)).astype(np.float32)",
     "the variance ratio is rounded to float32 inside; keep float64", (), ("precision",))

SOFTPLUS_SAMPLE = '''
def forward(mu, rho, eps):
    sigma = np.maximum(rho, 0) + np.log1p(np.exp(-np.abs(rho)))
    return mu + sigma * eps, (rho, eps)
def backward(dz, cache):
    rho, eps = cache
    drho = dz * eps
    drho *= 0.5 * (1 + np.tanh(rho / 2))
    return {"mu": dz, "rho": drho}
'''
S = "functions with in-place arithmetic, sigma = softplus(rho)"
A = vjp_args(3, lambda r: {"mu": 1e3 * r.normal(size=(1, 5)), "rho": np.array([[-30.0, -2.0, 0.3, 4.0, 60.0]])},
             lambda r: {"eps": r.normal(size=(1, 5))})
item("softplus_sample_saturated_right", S, "vjp", SOFTPLUS_SAMPLE, A)
item("softplus_sample_scales_dz", S, "vjp", SOFTPLUS_SAMPLE,
     vjp_args(3, two(4, 3, "mu", "rho"), lambda r: {"eps": r.normal(size=(4, 3))}),
     "    drho = dz * eps\n", "    drho = dz.copy()\n    dz *= eps\n    drho *= eps\n",
     "the upstream gradient is multiplied by eps in place, which also spoils the mean's gradient; leave dz alone",
     ("mu",), ("mutates-input", "elementwise-factor"))

BERNOULLI_PROBS = '''
def forward(logits, x):
    p = 1.0 / (1.0 + np.exp(-logits))
    loss = -(x * np.log(p + 1e-12) + (1 - x) * np.log(1 - p + 1e-12)).sum(-1)
    return loss, (p, x)
def backward(dloss, cache):
    p, x = cache
    dp = (1 - x) / (1 - p + 1e-12) - x / (p + 1e-12)
    dp = dp * dloss[..., None]
    return dp * p * (1 - p)
'''
S = "probabilities with 1e-12 inside the logarithm, gradient returned bare"
A = vjp_args(4, lambda r: {"logits": 2 * r.normal(size=(3, 7))}, lambda r: {"x": (r.random((3, 7)) < 0.5).astype(int)})
item("bernoulli_probabilities_right", S, "vjp", BERNOULLI_PROBS, A)
item("bernoulli_probabilities_no_slope", S, "vjp", BERNOULLI_PROBS, A, "return dp * p * (1 - p)", "return dp",
     "the gradient stops at the probabilities; multiply by the sigmoid's slope p (1 - p)", ("logits",),
     ("elementwise-factor",))

PRECISION_NLL = '''
def forward(mean, log_prec, x):
    # log_prec: one number for the whole decoder
    r = x - mean
    tau = np.exp(log_prec)
    nll = 0.5 * np.mean(np.sum(tau * r * r - log_prec + np.log(2 * np.pi), axis=0))
    return nll, (r, tau)
def backward(dy, cache):
    r, tau = cache
    d, m = r.shape
    dmean = -dy * tau * r / m
    dlog_prec = dy * 0.5 * (tau * np.sum(r * r) - d * m) / m
    return {"mean": dmean, "log_prec": dlog_prec}
'''
S = "features first, one 0-d log-precision, mean over the columns"
A = vjp_args(5, lambda r: {"mean": r.normal(size=(4, 6)), "log_prec": np.array(0.4)},
             lambda r: {"x": r.normal(size=(4, 6))})
item("precision_nll_right", S, "vjp", PRECISION_NLL, A)
item("precision_nll_ignores_upstream", S, "vjp", PRECISION_NLL, A, "dmean = -dy * tau * r / m", "dmean = -tau * r / m",
     "the loss is taken to be the end of the graph: dy is ignored for the mean; multiply by dy", ("mean",),
     ("elementwise-factor",))

LAPLACE = '''
def forward(loc, log_scale, target):
    # log_scale (D,) is shared by all rows
    u = (target - loc) / np.exp(log_scale)
    return np.abs(u) + log_scale + np.log(2.0), (u, log_scale)
def backward(dy, cache):
    u, log_scale = cache
    dloc = -dy * np.sign(u) * np.exp(-log_scale)
    dlog_scale = np.einsum("bd,bd->d", dy, 1.0 - np.abs(u))
    return dloc, dlog_scale
'''
S = "unreduced elementwise likelihood, einsum over the batch, per-pixel scale"
item("laplace_scale_not_summed", S, "vjp", LAPLACE,
     vjp_args(6, lambda r: {"loc": r.normal(size=(5, 3)), "log_scale": 0.3 * r.normal(size=3)},
              lambda r: {"target": r.normal(size=(5, 3))}),
     '"bd,bd->d"', '"bd,bd->bd"', "the scale shared by all rows gets a gradient a row; sum over the batch",
     ("log_scale",), ("batch-sum", "shape"))

CATEGORICAL = '''
def forward(scores, y):
    N, D, C = scores.shape
    shifted = scores - scores.max(axis=-1, keepdims=True)
    probs = np.exp(shifted)
    probs /= probs.sum(axis=-1, keepdims=True)
    i, j = np.ogrid[:N, :D]
    return -np.log(probs[i, j, y]).sum(axis=1), (probs, y)
def backward(dout, cache):
    probs, y = cache
    i, j = np.ogrid[:probs.shape[0], :probs.shape[1]]
    dscores = probs.copy()
    dscores[i, j, y] -= 1
    dscores = dscores * dout[:, None, None]
    return {"scores": dscores}
'''
S = "softmax over pixel classes, integer labels, probs[i, y] -= 1"
A = vjp_args(7, lambda r: {"scores": r.normal(size=(4, 3, 5))}, lambda r: {"y": r.integers(0, 5, size=(4, 3))})
item("categorical_right", S, "vjp", CATEGORICAL, A)
item("categorical_subtracts_in_cache", S, "vjp", CATEGORICAL, A, "dscores = probs.copy()", "dscores = probs",
     "the one is subtracted in the cached probabilities, so a second backward is wrong; copy them first", (),
     ("mutates-input", "accumulates"))

DECODER_LOSS = '''
class Decoder:
    def forward(self, z, W1, b1, W2, b2, x):
        a = z @ W1 + b1
        h = np.where(a > 0, a, 0.1 * a)
        o = h @ W2 + b2
        loss = np.mean(np.sum(np.logaddexp(0, o) - x * o, axis=1))
        return loss, [z, W1, W2, x, a, h, o]
    def backward(self, dloss, saved):
        z, W1, W2, x, a, h, o = saved
        do = dloss * (1 / (1 + np.exp(-o)) - x) / len(x)
        db2 = do.sum(axis=0)
        dW2 = h.T @ do
        da = (do @ W2.T) * np.where(a > 0, 1.0, 0.1)
        return [da @ W1.T, z.T @ da, da.sum(axis=0), dW2, db2]
'''.replace("return [da @ W1.T, z.T @ da, da.sum(axis=0), dW2, db2]",
            "dz = da @ W1.T\n        return dz, z.T @ da, da.sum(axis=0), dW2, db2")

def decoder_inputs(r):
    shapes = {"z": (6, 4), "W1": (4, 4), "b1": (4,), "W2": (4, 1), "b2": (1,)}
    return {k: r.normal(size=s) for k, s in shapes.items()}

S = "decoder and scalar loss in one class, leaky ReLU, one output unit"
A = vjp_args(8, decoder_inputs, lambda r: {"x": r.random((6, 1))}, "Decoder")
item("decoder_loss_right", S, "vjp", DECODER_LOSS, A)
item("decoder_loss_untransposed", S, "vjp", DECODER_LOSS, A, "dz = da @ W1.T", "dz = da @ W1",
     "a square matrix hides that the product should be with its transpose; da @ W1.T", ("z",), ("transpose",))

IWAE = '''
def forward(mu, logvar, W, x, eps):
    # eps (K, B, Z): K draws an example; returns the bound of every example
    sd = np.exp(0.5 * logvar)
    z = mu[None] + sd[None] * eps
    o = np.einsum("kbz,zd->kbd", z, W)
    logw = (x * o - np.logaddexp(0, o)).sum(-1) - 0.5 * (z ** 2 - eps ** 2 - logvar).sum(-1)
    top = logw.max(axis=0)
    w = np.exp(logw - top)
    return top + np.log(w.mean(axis=0)), (W, x, eps, sd, z, o, w)
def backward(dL, cache):
    W, x, eps, sd, z, o, w = cache
    alpha = w / w.sum(axis=0)
    do = (alpha * dL)[:, :, None] * (x - 1 / (1 + np.exp(-o)))
    dW = np.einsum("kbz,kbd->zd", z, do)
    dz = np.einsum("kbd,zd->kbz", do, W) - (alpha * dL)[:, :, None] * z
    dlv = 0.5 * (dz * eps * sd).sum(0) + 0.5 * dL[:, None]
    return {"mu": dz.sum(0), "logvar": dlv, "W": dW}
'''
S = "importance-weighted bound, einsum with a sample axis in front"
A = vjp_args(9, lambda r: {"mu": r.normal(size=(4, 2)), "logvar": r.normal(size=(4, 2)), "W": r.normal(size=(2, 5))},
             lambda r: {"x": r.random((4, 5)), "eps": r.normal(size=(3, 4, 2))})
item("iwae_right", S, "vjp", IWAE, A)
item("iwae_equal_weights", S, "vjp", IWAE, A, "alpha = w / w.sum(axis=0)", "alpha = np.ones_like(w) / len(w)",
     "the draws are weighted equally, the gradient of the ELBO; use the normalised importance weights",
     ("mu", "logvar", "W"), ("elementwise-factor",))

LOG_MEAN_EXP = '''
def forward(logw):
    m = np.max(logw, axis=1, keepdims=True)
    return np.mean(m[:, 0] + np.log(np.mean(np.exp(logw - m), axis=1))), (logw, m)
def backward(dy, cache):
    logw, m = cache
    w = np.exp(logw - m)
    return dy * w / w.sum(axis=1, keepdims=True) / len(w)
'''
S = "log-mean-exp of log-weights as they come from whole pictures"
item("log_mean_exp_underflow", S, "vjp", LOG_MEAN_EXP,
     vjp_args(10, lambda r: {"logw": -900 + 3 * r.normal(size=(3, 5))}), "w = np.exp(logw - m)", "w = np.exp(logw)",
     "backward exponentiates without taking the maximum off, 0 / 0 for real log-likelihoods; subtract m", ("logw",),
     ("non-finite",))

FREE_BITS = '''
def forward(mu, logvar, free_bits=0.45):
    kl = 0.5 * (mu ** 2 + np.exp(logvar) - logvar - 1)
    per_dim = kl.mean(axis=0)
    return np.maximum(per_dim, free_bits).sum(), (mu, logvar, per_dim > free_bits)
def backward(dy, cache):
    mu, logvar, active = cache
    B = mu.shape[0]
    g = dy * active / B
    return {"mu": g * mu, "logvar": g * 0.5 * (np.exp(logvar) - 1)}
'''
S = "free bits a latent, batch mean before the maximum"
A = vjp_args(12, lambda r: {"mu": r.normal(size=(5, 4)) * [1.5, 0.1, 1.0, 0.2], "logvar": 0.4 * r.normal(size=(5, 4))},
             lambda r: {"free_bits": 0.45})
item("free_bits_right", S, "vjp", FREE_BITS, A)
item("free_bits_sum_for_mean", S, "vjp", FREE_BITS, A, "g = dy * active / B", "g = dy * active",
     "forward averages the KL over the batch, backward sums; divide by B", ("mu", "logvar"), ("factor",))

CONDITIONAL = '''
def forward(z, E, W, labels):
    h = np.tanh(z @ W + E[labels])
    return h, (z, W, E.shape, labels, h)
def backward(dh, cache):
    z, W, shape, labels, h = cache
    da = dh * (1 - h * h)
    dE = np.zeros(shape)
    np.add.at(dE, labels, da)
    return {"z": da @ W.T, "E": dE, "W": z.T @ da}
'''
S = "conditional decoder, a row of an embedding a label"
A = vjp_args(13, lambda r: {"z": r.normal(size=(6, 2)), "E": r.normal(size=(4, 3)), "W": r.normal(size=(2, 3))},
             lambda r: {"labels": np.array([2, 0, 2, 3, 2, 0])})
item("conditional_embedding_right", S, "vjp", CONDITIONAL, A)
item("conditional_embedding_repeats_lost", S, "vjp", CONDITIONAL, A, "np.add.at(dE, labels, da)", "dE[labels] += da",
     "fancy indexing with += keeps one row of a repeated label; np.add.at", ("E",), ("batch-sum", "missing-term"))

# ------------------------------------------------------------------------------------------------ verification

def rel(a, b):
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape:
        return np.inf
    return np.max(np.abs(a - b)) / (np.max(np.abs(b)) + 1e-12) if np.all(np.isfinite(a)) else np.inf

def differences(f, arrays, h=1e-6):
    """Central differences of the scalar f() in every entry of every array, written in place and restored."""
    out = {}
    for k, a in arrays.items():
        g = np.zeros(a.shape)
        for i in np.ndindex(*a.shape):
            old = a[i]
            a[i] = old + h; up = f()
            a[i] = old - h; down = f()
            a[i] = old
            g[i] = (up - down) / (2 * h)
        out[k] = g
    return out

def probe_gradients(args):
    """What is wrong, found by own differences: (set of names, set of other findings)."""
    model, x, eps = args["model"], args["x"], args["eps"]
    other, w = set(), np.random.default_rng(0).normal(size=len(x))
    keep = x.copy(), eps.copy()
    if rel(model.objective(x, eps)[0].objective, model.objective(x, eps)[0].objective) > 1e-9:
        return set(), {"noise-redrawn"}
    terms, cache = model.objective(x, eps)
    assert rel(terms.objective, -terms.nll - terms.kl) < 1e-12 and rel(terms.elbo, terms.objective) < 1e-12
    g = {k: np.array(v) for k, v in model.backward(w, cache).items()}
    true = differences(lambda: float(w @ model.objective(x, eps)[0].objective), model.params)
    assert set(g) == set(model.params)
    bad = {k for k in g if rel(g[k], true[k]) > 1e-3}
    assert all(rel(g[k], true[k]) < 1e-6 for k in g if k not in bad), {k: rel(g[k], true[k]) for k in g}
    again = model.backward(w, model.objective(x, eps)[1])
    if any(rel(again[k], g[k]) > 1e-9 for k in g):
        other.add("accumulates")
    cache = model.objective(x, eps)[1]
    model.objective(x[::-1] * 0.5, eps + 1)
    if any(rel(v, g[k]) > 1e-9 for k, v in model.backward(w, cache).items()) and not other:
        other.add("mutates-input")
    if not (np.array_equal(x, keep[0]) and np.array_equal(eps, keep[1])):
        other.add("mutates-input")
    return bad, other

def probe_sampler(args):
    f, mu, logvar = args["sampler"], args["mu"], args["logvar"]
    eps = np.random.default_rng(0).normal(size=mu.shape)
    first = lambda r: np.array(r[0] if isinstance(r, tuple) else r)
    want, keep, lv = mu + np.exp(logvar / 2) * eps, mu.copy(), logvar.copy()
    z = first(f(mu, logvar, eps))
    spoilt = not (np.array_equal(mu, keep) and np.array_equal(logvar, lv))
    if rel(z, first(f(keep.copy(), lv, eps))) > 1e-9:
        return set(), {"noise-redrawn"}
    return ({"z"} if rel(z, want) > 1e-3 else set()), ({"mutates-input"} if spoilt else set())

def probe_evidence(args):
    """log p(x), the ELBO and KL(q || p(z|x)) each by quadrature, then who is at fault."""
    model, x = args["model"], args["x"]
    mu, logvar = model.encode(x)[:2]
    Z = mu.shape[1]
    line = np.linspace(-11, 11, 2201 if Z == 1 else 221)
    grid = np.stack(np.meshgrid(*[line] * Z, indexing="ij"), -1).reshape(-1, Z)
    cell = (line[1] - line[0]) ** Z
    a = model.decode(grid)[0]
    loglik = x @ a.T - np.logaddexp(0, a).sum(1)                                        # (B, G)
    logprior = -0.5 * (grid ** 2 + np.log(2 * np.pi)).sum(1)
    joint = loglik + logprior
    logp = np.log(np.exp(joint).sum(1) * cell)
    logq = -0.5 * ((grid - mu[:, None]) ** 2 / np.exp(logvar)[:, None] + logvar[:, None] + np.log(2 * np.pi)).sum(2)
    q = np.exp(logq) * cell
    post = (q * (logq - joint)).sum(1) + logp
    kl = (q * (logq - logprior)).sum(1)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60 if Z == 1 else 36)
    pairs = np.stack(np.meshgrid(*[nodes] * Z, indexing="ij"), -1).reshape(-1, Z)
    ws = np.stack(np.meshgrid(*[weights / weights.sum()] * Z, indexing="ij"), -1).reshape(-1, Z).prod(1)
    got = [model.objective(x, np.tile(e, (len(x), 1)))[0] for e in pairs]
    mean = lambda k: sum(w * getattr(t, k) for w, t in zip(ws, got))
    gap = np.max(np.abs(mean("elbo") + post - logp))
    bad = set()
    if np.max(np.abs(mean("kl") - kl)) > 1e-3:
        bad.add("kl")
    if np.max(np.abs(mean("nll") + (q * loglik).sum(1))) > 1e-3:
        zero = model.objective(x, np.zeros_like(mu))[0].nll
        a = model.decode(mu)[0]
        bad.add("sampler" if np.allclose(zero, (np.logaddexp(0, a) - x * a).sum(1)) else "nll")
    if bad == {"kl", "sampler"}:
        bad = {"encode"}
    if any(np.max(np.abs(t.elbo + t.nll + t.kl)) > 1e-3 for t in got):
        bad.add("elbo")
    assert (gap > 1e-3) == bool(bad) and (bad or gap < 1e-6), (gap, bad)
    return bad, set()

def probe_vjp(args):
    f, b, inputs, constants = (args[k] for k in ("forward", "backward", "inputs", "constants"))

    def call(dy, cache):
        g = b(dy, cache)
        g = g if isinstance(g, dict) else dict(zip(inputs, g if isinstance(g, (tuple, list)) else (g,)))
        return {k: np.array(v) for k, v in g.items()}
    keep = {k: np.array(v) for k, v in {**inputs, **constants}.items()}
    y, cache = f(**inputs, **constants)
    seed = np.random.default_rng(0).normal(size=np.shape(y))
    seed = seed if np.shape(y) else np.array(1.7)
    dy, bad, other = seed.copy(), set(), set()
    with np.errstate(all="ignore"):
        g = call(dy, cache)
        now = {**inputs, **constants}
        if not np.array_equal(dy, seed) or any(not np.array_equal(v, keep[k]) for k, v in now.items()):
            other.add("mutates-input")
        second = call(seed.copy(), cache)
    if any(rel(second[k], g[k]) > 1e-9 for k in g if np.all(np.isfinite(g[k]))) and not other:
        other.add("mutates-input")
    assert set(g) == set(inputs)
    scalar = lambda: float(np.sum(seed * f(**inputs, **constants)[0], dtype=float))
    true, coarse = differences(scalar, inputs), differences(scalar, inputs, 1e-3)
    for k in g:
        if rel(g[k], true[k]) > 1e-3:
            if rel(g[k], coarse[k]) < 1e-3:
                other.add("precision")
            else:
                bad.add(k)
        else:
            assert rel(g[k], true[k]) < 1e-6 or other or "float32" in str(g[k].dtype) + str(np.asarray(y).dtype), (
                k, rel(g[k], true[k]))
    return bad, other

def probe_optimizer(args):
    rng, findings = np.random.default_rng(1), set()
    mine = {"W": rng.normal(size=(3, 2)), "b": rng.normal(size=2)}
    theirs = {k: v.copy() for k, v in mine.items()}
    for _ in range(4):
        grads = {k: rng.normal(size=v.shape) for k, v in mine.items()}
        keep = {k: v.copy() for k, v in grads.items()}
        args["optimizer"].step(mine, grads)
        args["reference"].step(theirs, {k: v.copy() for k, v in keep.items()})
        if any(not np.array_equal(grads[k], keep[k]) for k in keep):
            findings.add("mutates-input")
    return {k for k in mine if rel(mine[k], theirs[k]) > 1e-6}, findings

PROBES = {"gradients": probe_gradients, "sampler": probe_sampler, "evidence": probe_evidence, "vjp": probe_vjp,
          "optimizer": probe_optimizer}

def verify():
    assert len({i.name for i in ITEMS}) == len(ITEMS)
    failed = 0
    for it in ITEMS:
        bad, other = PROBES[it.check](it.make())
        ok = not bad and not other if it.right else (bool(it.causes) and bool(bad or other) and (
            bad == set(it.wrong) if it.check in ("vjp", "gradients", "evidence") else True)
            and (not other or it.causes[0] in other))
        failed += not ok
        if not ok:
            print("FAILED", it.name, sorted(bad), other, it.wrong, it.causes)
    for check in PROBES:
        rights = [i.right for i in ITEMS if i.check == check]
        print(f"{check:10s} right {sum(rights):3d}  wrong {len(rights) - sum(rights):3d}")
    first = [i.causes[0] for i in ITEMS if not i.right]
    print({c: first.count(c) for c in sorted(set(first))}, "failed:", failed, "items:", len(ITEMS))
    return failed

if __name__ == "__main__":
    raise SystemExit(verify())
