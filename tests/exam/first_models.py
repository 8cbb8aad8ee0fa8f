"""Exam paper J: variational autoencoders and probability, in the manner of student and hobby code. NumPy only."""
import math
from types import SimpleNamespace
from typing import Callable, NamedTuple

import numpy as np

class Item(NamedTuple):
    name: str; style: str; check: str; make: Callable; right: bool; slip: str = ""; wrong: tuple = (); causes: tuple = ()

ITEMS = []

class Base:
    """what the students' models share: it keeps the dict of its parameters"""
    def __init__(self, params): self.params = params

def load(src, edits=()):
    for old, new in edits: assert src.count(old) == 1, (src.count(old), old); src = src.replace(old, new)
    ns = {"np": np, "math": math, "Base": Base, "NS": SimpleNamespace}; exec(compile(src, "<student>", "exec"), ns)
    return ns

def add(name, style, check, make, slip="", wrong=(), causes=()):
    ITEMS.append(Item(name, style, check, make, not slip, slip, wrong, causes))

def weights(seed, scale, **shapes):
    rng = np.random.default_rng(seed)
    return {k.replace("__", "/").replace("_dot_", "."): np.asarray(scale * rng.standard_normal(s)) for k, s in shapes.items()}

# ------------------------------------------------------------------------------------------------ gradients
MOOC = '''
def sigmoid(Z): return 1 / (1 + np.exp(-Z))
def linear_forward(A, W, b): return np.dot(W, A) + b, (A, W, b)
def linear_backward(dZ, cache):
    A_prev, W, b = cache; m = A_prev.shape[1]; dW = np.dot(dZ, A_prev.T); db = np.sum(dZ, axis=1, keepdims=True)
    dA_prev = np.dot(W.T, dZ); return dA_prev, dW, db
class Model(Base):
    """X is (n_x, m): one column for each example."""
    def objective(self, x, eps, beta=1.0):
        p, X, E = self.params, x.T, eps.T; Z1, c1 = linear_forward(X, p["W1"], p["b1"]); A1 = np.tanh(Z1)
        MU, c_mu = linear_forward(A1, p["Wmu"], p["bmu"]); LV, c_lv = linear_forward(A1, p["Wlv"], p["blv"])
        S = np.exp(LV / 2); Z = MU + S * E; Z3, c3 = linear_forward(Z, p["W3"], p["b3"]); A3 = np.tanh(Z3)
        Z4, c4 = linear_forward(A3, p["W4"], p["b4"]); A4 = sigmoid(Z4)
        nll = -np.sum(X * np.log(A4) + (1 - X) * np.log(1 - A4), axis=0)
        kl = -0.5 * np.sum(1 + LV - MU ** 2 - np.exp(LV), axis=0)
        caches = (c1, c_mu, c_lv, c3, c4, A1, A3, A4, X, E, MU, LV, S, beta)
        return NS(objective=-nll - beta * kl, nll=nll, kl=kl), caches
    def backward(self, dobjective, caches):
        c1, c_mu, c_lv, c3, c4, A1, A3, A4, X, E, MU, LV, S, beta = caches; grads = {}; dZ4 = -(A4 - X) * dobjective
        dA3, grads["W4"], grads["b4"] = linear_backward(dZ4, c4); dZ3 = dA3 * (1 - np.power(A3, 2))
        dZ, grads["W3"], grads["b3"] = linear_backward(dZ3, c3); dMU = dZ - beta * dobjective * MU
        dLV = dZ * E * S / 2 - beta * dobjective * 0.5 * (np.exp(LV) - 1)
        dA1, grads["Wmu"], grads["bmu"] = linear_backward(dMU, c_mu)
        dA1_lv, grads["Wlv"], grads["blv"] = linear_backward(dLV, c_lv); dZ1 = (dA1 + dA1_lv) * (1 - np.power(A1, 2))
        _, grads["W1"], grads["b1"] = linear_backward(dZ1, c1); return grads
'''

LOOP = '''
class Model(Base):
    def _encode(self, xi):
        P = self.params; h = np.maximum(xi.dot(P["W_in"]) + P["b_in"], 0); both = h.dot(P["W_stats"]) + P["b_stats"]
        n = len(both) // 2; return h, both[:n], both[n:]
    def objective(self, x, eps, beta=1.0):
        P, tape, nll, kl = self.params, [], [], []
        for xi, e in zip(x, eps):
            h, m, ls = self._encode(xi)          # ls is the LOG OF SIGMA
            z = m + np.exp(ls) * e; out = z.dot(P["W_out"]) + P["b_out"]
            nll.append(np.sum(np.log1p(np.exp(-np.abs(out))) + np.maximum(out, 0) - xi * out))
            kl.append(0.5 * np.sum(np.exp(2 * ls) + m * m - 1) - np.sum(ls))
            tape.append((xi.copy(), e.copy(), h, m, ls, z, out))
        nll, kl = np.array(nll), np.array(kl); return NS(objective=-nll - beta * kl, nll=nll, kl=kl), (tape, beta)
    def backward(self, dobj, cache):
        tape, beta = cache; P = self.params; g = {k: np.zeros_like(v) for k, v in P.items()}
        for w, (xi, e, h, m, ls, z, out) in zip(dobj, tape):
            d_out = w * (xi - 1 / (1 + np.exp(-out))); g["W_out"] += np.outer(z, d_out); g["b_out"] += d_out
            dz = P["W_out"].dot(d_out); dm = dz - w * beta * m; dls = dz * e * np.exp(ls) - w * beta * (np.exp(2 * ls) - 1)
            d_both = np.concatenate([dm, dls]); g["W_stats"] += np.outer(h, d_both); g["b_stats"] += d_both
            dh = P["W_stats"].dot(d_both); dh[h == 0] = 0; g["W_in"] += np.outer(xi, dh); g["b_in"] += dh
        return g
'''

TORCH = '''
def linear(x, p, name): return x @ p[name + ".weight"].T + p[name + ".bias"]
class Model(Base):
    """The VAE of pytorch/examples, weights (out_features, in_features)."""
    def objective(self, x, eps, beta=1.0):
        p = self.params; h1 = linear(x, p, "fc1").clip(min=0); mu, logvar = linear(h1, p, "fc21"), linear(h1, p, "fc22")
        std = np.exp(0.5 * logvar); z = mu + eps * std; h3 = linear(z, p, "fc3").clip(min=0); logits = linear(h3, p, "fc4")
        recon = 1.0 / (1.0 + np.exp(-logits)); BCE = np.logaddexp(0, logits).sum(1) - (x * logits).sum(1)
        KLD = -0.5 * (1 + logvar - mu ** 2 - np.exp(logvar)).sum(1)
        ctx = dict(x=x, eps=eps, h1=h1, mu=mu, logvar=logvar, std=std, z=z, h3=h3, recon=recon, beta=beta)
        return NS(objective=-BCE - beta * KLD, nll=BCE, kl=KLD), ctx
    def backward(self, grad_output, ctx):
        p, g = self.params, {}; w = grad_output[:, None]
        def linear_grad(dy, inp, name):
            g[name + ".weight"] = dy.T @ inp; g[name + ".bias"] = dy.sum(0); return dy @ p[name + ".weight"]
        grad = ctx["recon"] - ctx["x"]; grad = -w * grad; dh3 = linear_grad(grad, ctx["h3"], "fc4") * (ctx["h3"] > 0)
        dz = linear_grad(dh3, ctx["z"], "fc3"); dmu = dz - w * ctx["beta"] * ctx["mu"]
        dlogvar = dz * ctx["eps"] * 0.5 * ctx["std"]
        dlogvar = dlogvar + w * ctx["beta"] * 0.5 * (1 - np.exp(ctx["logvar"]))
        dh1 = linear_grad(dmu, ctx["h1"], "fc21") + linear_grad(dlogvar, ctx["h1"], "fc22")
        linear_grad(dh1 * (ctx["h1"] > 0), ctx["x"], "fc1"); return g
'''

KERAS = '''
EPSILON = 1e-7
def binary_crossentropy(target, output):
    output = np.clip(output, EPSILON, 1 - EPSILON)
    return np.mean(-target * np.log(output) - (1 - target) * np.log(1 - output), axis=-1)
class Model:
    def __init__(self, w): self.params = w; self.original_dim = w["decoder/out/kernel"].shape[1]
    def objective(self, x, eps, beta=1.0):
        w = self.params; pre = x @ w["encoder/hidden/kernel"] + w["encoder/hidden/bias"]
        h = np.where(pre > 0, pre, 0.2 * pre)                                   # LeakyReLU(0.2)
        z_mean = h @ w["encoder/z_mean/kernel"] + w["encoder/z_mean/bias"]
        z_log_var = h @ w["encoder/z_log_var/kernel"] + w["encoder/z_log_var/bias"]
        z = z_mean + np.exp(0.5 * z_log_var) * eps
        d = 1 / (1 + np.exp(-(z @ w["decoder/hidden/kernel"] + w["decoder/hidden/bias"])))
        y = 1 / (1 + np.exp(-(d @ w["decoder/out/kernel"] + w["decoder/out/bias"])))
        reconstruction_loss = self.original_dim * binary_crossentropy(x, y)
        kl_loss = -0.5 * np.sum(1 + z_log_var - np.square(z_mean) - np.exp(z_log_var), axis=-1)
        cache = {"inputs": x, "eps": eps, "pre": pre, "h": h, "z_mean": z_mean, "z_log_var": z_log_var, "z": z,
                 "d": d, "y": y, "beta": beta}
        return NS(objective=-(reconstruction_loss + beta * kl_loss), nll=reconstruction_loss, kl=kl_loss), cache
    def backward(self, dobjective, c):
        w = self.params; up = -dobjective.reshape(-1, 1); dy = up * (c["y"] - c["inputs"])
        dd = dy @ w["decoder/out/kernel"].T * c["d"] * (1 - c["d"]); dz = dd @ w["decoder/hidden/kernel"].T
        dmean = dz + up * c["beta"] * c["z_mean"]
        dlog = 0.5 * (dz * c["eps"] * np.exp(0.5 * c["z_log_var"]) + up * c["beta"] * (np.exp(c["z_log_var"]) - 1))
        dpre = (dmean @ w["encoder/z_mean/kernel"].T + dlog @ w["encoder/z_log_var/kernel"].T)
        dpre *= np.where(c["pre"] > 0, 1.0, 0.2); out = {}
        for name, a, d in (("decoder/out", c["d"], dy), ("decoder/hidden", c["z"], dd), ("encoder/z_mean", c["h"], dmean),
                           ("encoder/z_log_var", c["h"], dlog), ("encoder/hidden", c["inputs"], dpre)):
            out[name + "/kernel"], out[name + "/bias"] = a.T @ d, d.sum(axis=0)
        return out
'''

BLOG = '''
def sigmoid(x, derivative=False):
    """derivative=True: x is already the output of the sigmoid"""
    if derivative: return x * (1 - x)
    return 1 / (1 + np.exp(-x))
class Model(Base):
    def objective(self, x, eps, beta=1.0):
        p = self.params; hidden = sigmoid(np.dot(x, p["e_W0"]) + p["e_b0"]); mu = np.dot(hidden, p["e_W_mu"]) + p["e_b_mu"]
        logvar = np.dot(hidden, p["e_W_logvar"]) + p["e_b_logvar"]; z = mu + np.exp(logvar * .5) * eps
        x_hat = sigmoid(np.dot(z, p["d_W0"]) + p["d_b0"]); rec = -np.sum(x * np.log(x_hat) + (1 - x) * np.log(1 - x_hat), 1)
        kl = -.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), 1)
        return NS(objective=-rec - beta * kl, nll=rec, kl=kl), (x, eps, hidden, mu, logvar, z, x_hat, beta)
    def backward(self, dobjective, cache):
        x, eps, hidden, mu, logvar, z, x_hat, beta = cache; p, d = self.params, dobjective[:, None]
        d_xhat = d * (x / x_hat - (1 - x) / (1 - x_hat)); d_l0 = d_xhat * sigmoid(x_hat, derivative=True)
        dz = np.dot(d_l0, p["d_W0"].T); dmu = dz - d * beta * mu
        dlv = dz * eps * .5 * np.exp(logvar * .5) - d * beta * .5 * (np.exp(logvar) - 1)
        dh = np.dot(dmu, p["e_W_mu"].T) + np.dot(dlv, p["e_W_logvar"].T); dh = dh * sigmoid(hidden, derivative=True)
        return {"d_W0": np.dot(z.T, d_l0), "d_b0": d_l0.sum(0), "e_W_mu": np.dot(hidden.T, dmu), "e_b_mu": dmu.sum(0),
                "e_W_logvar": np.dot(hidden.T, dlv), "e_b_logvar": dlv.sum(0), "e_W0": np.dot(x.T, dh), "e_b0": dh.sum(0)}
'''

THESIS = '''
LOG_2PI = np.log(2 * np.pi)
class Model:
    """unit Gaussian decoder, free bits (Kingma et al. 2016): no latent pays less than `lam` nats"""
    def __init__(self, theta, lam=0.5): self.params, self.lam = theta, lam
    def objective(self, x, eps, beta=1.0):
        t = self.params; a = x @ t["A"] + t["a"]; h = np.logaddexp(0.0, a); m, v = h @ t["M"] + t["m"], h @ t["V"] + t["v"]
        s = np.exp(v / 2); z = m + s * eps; r = x - (np.sin(z @ t["C"]) @ t["D"] + t["d"])
        nll = 0.5 * np.einsum("bi,bi->b", r, r) + 0.5 * r.shape[1] * LOG_2PI; per_latent = 0.5 * (m * m + np.exp(v) - 1 - v)
        kl = np.maximum(per_latent, self.lam).sum(axis=1)
        cache = dict(x=x, a=a, h=h, m=m, v=v, s=s, z=z, r=r, eps=eps, pays=per_latent > self.lam, beta=beta)
        return NS(objective=-nll - beta * kl, nll=nll, kl=kl), cache
    def backward(self, dobjective, cache):
        t, c = self.params, NS(**cache); g = dobjective[:, np.newaxis]; dx_hat = g * c.r; q = c.z @ t["C"]
        dq = (dx_hat @ t["D"].T) * np.cos(q); dz = dq @ t["C"].T; dkl = -c.beta * g * c.pays; dm = dz + dkl * c.m
        dv = dz * c.eps * c.s / 2 + dkl * (np.exp(c.v) - 1) / 2; da = (dm @ t["M"].T + dv @ t["V"].T) / (1 + np.exp(-c.a))
        return {"D": np.sin(q).T @ dx_hat, "d": dx_hat.sum(0), "C": c.z.T @ dq, "M": c.h.T @ dm, "m": dm.sum(0),
                "V": c.h.T @ dv, "v": dv.sum(0), "A": c.x.T @ da, "a": da.sum(0)}
'''

MINI = '''
class Linear:
    def __init__(self, net, name): self.net, self.name = net, name
    def forward(self, x, tape):
        tape.append(x); return x @ self.net.params[self.name + "_w"] + self.net.params[self.name + "_b"]
    def backward(self, dout, tape):
        x = tape.pop(); self.net.grads[self.name + "_w"] += x.T @ dout; self.net.grads[self.name + "_b"] += dout.sum(axis=0)
        return dout @ self.net.params[self.name + "_w"].T
class ELU:
    def forward(self, x, tape): y = np.where(x > 0, x, np.expm1(np.minimum(x, 0))); tape.append(y); return y
    def backward(self, dout, tape): return dout * np.minimum(tape.pop() + 1, 1)
class Model:
    def __init__(self, params):
        self.params = params; self.grads = {k: np.zeros_like(v) for k, v in params.items()}
        self.encoder = [Linear(self, "enc1"), ELU(), Linear(self, "enc2")]
        self.decoder = [Linear(self, "dec1"), ELU(), Linear(self, "dec2")]
    def zero_grad(self):
        for k in self.grads: self.grads[k] = np.zeros_like(self.params[k])
    def objective(self, x, eps, beta=1.0):
        tape, out = [], x
        for layer in self.encoder: out = layer.forward(out, tape)
        mu, logvar = np.split(out, 2, axis=1); out = mu + np.exp(logvar / 2) * eps
        for layer in self.decoder: out = layer.forward(out, tape)
        nll = np.sum(np.logaddexp(0, out) - x * out, axis=1)
        kl = 0.5 * np.sum(mu ** 2 + np.exp(logvar) - logvar - 1, axis=1)
        return NS(objective=-nll - beta * kl, nll=nll, kl=kl), (tuple(tape), x, eps, mu, logvar, out, beta)
    def backward(self, dobjective, cache):
        tape, x, eps, mu, logvar, logits, beta = cache; tape = list(tape); self.zero_grad(); up = dobjective[:, None]
        dout = up * (x - 1 / (1 + np.exp(-logits)))
        for layer in reversed(self.decoder): dout = layer.backward(dout, tape)
        dmu = dout - up * beta * mu; dlogvar = dout * eps * np.exp(logvar / 2) / 2 - up * beta * (np.exp(logvar) - 1) / 2
        dout = np.hstack([dmu, dlogvar])
        for layer in reversed(self.encoder): dout = layer.backward(dout, tape)
        return {k: v.copy() for k, v in self.grads.items()}
'''

BOLTS = '''
class Model(Base):
    """Lightning-style VAE: a learned log_scale of the decoder, and the KL of one sample, log q(z|x) - log p(z)."""
    def objective(self, x, eps, beta=1.0):
        p = self.params; feat = np.tanh(x @ p["encoder.W"]); mu = feat @ p["fc_mu.W"] + p["fc_mu.b"]
        log_var = feat @ p["fc_var.W"] + p["fc_var.b"]; std = np.exp(log_var / 2); z = mu + std * eps
        x_hat = z @ p["decoder.W"] + p["decoder.b"]; scale = np.exp(p["log_scale"])
        log_pxz = (-0.5 * ((x - x_hat) / scale) ** 2 - p["log_scale"] - 0.5 * np.log(2 * np.pi)).sum(-1)
        log_qzx = (-0.5 * ((z - mu) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum(-1)
        log_pz = (-0.5 * z ** 2 - 0.5 * np.log(2 * np.pi)).sum(-1); kl = log_qzx - log_pz
        return NS(objective=log_pxz - beta * kl, nll=-log_pxz, kl=kl), (x, eps, feat, std, z, x_hat, beta)
    def backward(self, dobjective, cache):
        x, eps, feat, std, z, x_hat, beta = cache; p, d = self.params, dobjective[:, None]
        precision = np.exp(-2 * p["log_scale"]); dx_hat = d * (x - x_hat) * precision
        d_log_scale = np.sum(d * ((x - x_hat) ** 2 * precision - 1)); dz = dx_hat @ p["decoder.W"].T - beta * d * z
        dlv = 0.5 * (dz * eps * std + beta * d); dfeat = (dz @ p["fc_mu.W"].T + dlv @ p["fc_var.W"].T) * (1 - feat ** 2)
        return {"log_scale": np.array([d_log_scale]), "decoder.W": z.T @ dx_hat, "decoder.b": dx_hat.sum(0),
                "fc_mu.W": feat.T @ dz, "fc_mu.b": dz.sum(0), "fc_var.W": feat.T @ dlv, "fc_var.b": dlv.sum(0),
                "encoder.W": x.T @ dfeat}
'''

TIED = '''
class Model(Base):
    def objective(self, x, eps, beta=1.0):
        W, b, M, L, c, d = (self.params[k] for k in ("W", "b", "M", "L", "c", "d")); h = np.tanh(x @ W + b)
        mu, lv = h @ M, np.broadcast_to(L, eps.shape)      # one log-variance for all rows
        z = mu + np.exp(0.5 * lv) * eps
        g = np.tanh(z @ M.T + c)                           # decoder: the encoder's matrices, transposed
        logits = g @ W.T + d; nll = (np.logaddexp(0, logits) - x * logits).sum(1)
        kl = 0.5 * (mu * mu + np.exp(lv) - lv - 1).sum(1)
        return NS(objective=-nll - beta * kl, nll=nll, kl=kl), [x, eps, h, mu, lv, z, g, logits, beta]
    def backward(self, dobjective, cache):
        x, eps, h, mu, lv, z, g, logits, beta = cache; W, M, grads = self.params["W"], self.params["M"], {}
        up = dobjective[:, None]; dlogits = up * (x - 0.5 * (1 + np.tanh(logits / 2))); grads["d"] = dlogits.sum(0)
        grads["W"] = dlogits.T @ g; dg = (dlogits @ W) * (1 - g * g); grads["c"] = dg.sum(0); grads["M"] = dg.T @ z
        dz = dg @ M; grads["L"] = (dz * eps * np.exp(lv / 2) / 2 - up * beta * (np.exp(lv) - 1) / 2).sum(0)
        dmu = dz - up * beta * mu; grads["M"] += h.T @ dmu; dh = (dmu @ M.T) * (1 - h * h); grads["W"] += x.T @ dh
        grads["b"] = dh.sum(0); return grads
'''

FLOW = '''
def encoder(p, x):
    h1 = np.tanh(x @ p["w1"] + p["b1"]); h2 = np.arctan(h1 @ p["w2"] + p["b2"])
    return h1, h2, h2 @ p["w_mu"], h2 @ p["w_lv"]
def planar(p, z):
    t = np.tanh(z @ p["flow_w"] + p["flow_b"])
    return t, z + t[:, None] * p["flow_u"], 1 + (1 - t ** 2) * (p["flow_u"] @ p["flow_w"])
def loss_fwd(p, x, eps, beta):
    h1, h2, mu, lv = encoder(p, x); z0 = mu + np.exp(lv / 2) * eps; t, z1, det = planar(p, z0)
    logits = z1 @ p["w_dec"] + p["b_dec"]; nll = jnp_sum(np.logaddexp(0, logits) - x * logits)
    kl = jnp_sum(-0.5 * eps ** 2 - lv / 2 + 0.5 * z1 ** 2) - np.log(np.abs(det))
    return nll, kl, (x, eps, beta, h1, h2, lv, z0, t, z1, det, logits)
def jnp_sum(a): return a.sum(-1)
def loss_bwd(p, res, g):
    x, eps, beta, h1, h2, lv, z0, t, z1, det, logits = res; G = g[:, None]; dlogits = G * (x - 1 / (1 + np.exp(-logits)))
    dz1 = dlogits @ p["w_dec"].T - beta * G * z1; dlogdet = beta * g / det; slope = 1 - t ** 2
    dt = dz1 @ p["flow_u"] - 2 * t * dlogdet * (p["flow_u"] @ p["flow_w"]); da = dt * slope; ds = (dlogdet * slope).sum()
    dz0 = dz1 + da[:, None] * p["flow_w"]; dlv = 0.5 * (dz0 * eps * np.exp(lv / 2) + beta * G)
    dh2 = dz0 @ p["w_mu"].T + dlv @ p["w_lv"].T; da2 = dh2 / (1 + np.square(h1 @ p["w2"] + p["b2"])); dh1 = da2 @ p["w2"].T
    da1 = dh1 * (1 - h1 ** 2)
    return dict(w_dec=z1.T @ dlogits, b_dec=dlogits.sum(0), flow_u=t @ dz1 + ds * p["flow_w"],
                flow_w=da @ z0 + ds * p["flow_u"], flow_b=np.array(da.sum()), w_mu=h2.T @ dz0, w_lv=h2.T @ dlv,
                w2=h1.T @ da2, b2=da2.sum(0), w1=x.T @ da1, b1=da1.sum(0))
class Model(Base):
    def objective(self, x, eps, beta=1.0):
        nll, kl, res = loss_fwd(self.params, x, eps, beta); return NS(objective=-nll - beta * kl, nll=nll, kl=kl), res
    def backward(self, dobjective, res): return loss_bwd(self.params, res, dobjective)
'''

def model(src, seed, B, D, Z, shapes, edits=(), binary=True, scale=0.6):
    def make():
        rng = np.random.default_rng(100 + seed)
        x = (rng.random((B, D)) < 0.5) * 1.0 if binary else rng.standard_normal((B, D))
        return {"model": load(src, edits)["Model"](weights(seed, scale, **shapes)), "x": x, "eps": rng.standard_normal((B, Z))}
    return make

S_MOOC = dict(W1=(4, 5), b1=(4, 1), Wmu=(2, 4), bmu=(2, 1), Wlv=(2, 4), blv=(2, 1), W3=(3, 2), b3=(3, 1), W4=(5, 3), b4=(5, 1))
S_LOOP = dict(W_in=(6, 5), b_in=(5,), W_stats=(5, 4), b_stats=(4,), W_out=(2, 6), b_out=(6,))
S_TORCH = {f"{n}_dot_{k}": s[:1] if k == "bias" else s for n, s in dict(
    fc1=(5, 6), fc21=(3, 5), fc22=(3, 5), fc3=(4, 3), fc4=(6, 4)).items() for k in ("weight", "bias")}
S_KERAS = {f"{n}__{k}": s[1:] if k == "bias" else s for n, s in dict(
    encoder__hidden=(5, 4), encoder__z_mean=(4, 2), encoder__z_log_var=(4, 2), decoder__hidden=(2, 3),
    decoder__out=(3, 5)).items() for k in ("kernel", "bias")}
S_BLOG = dict(e_W0=(6, 4), e_b0=(4,), e_W_mu=(4, 3), e_b_mu=(3,), e_W_logvar=(4, 3), e_b_logvar=(3,), d_W0=(3, 6), d_b0=(6,))
S_THESIS = dict(A=(4, 5), a=(5,), M=(5, 3), m=(3,), V=(5, 3), v=(3,), C=(3, 4), D=(4, 4), d=(4,))
S_MINI = dict(enc1_w=(5, 4), enc1_b=(4,), enc2_w=(4, 6), enc2_b=(6,), dec1_w=(3, 4), dec1_b=(4,), dec2_w=(4, 5), dec2_b=(5,))
S_BOLTS = dict(encoder_dot_W=(6, 4), fc_mu_dot_W=(4, 2), fc_mu_dot_b=(2,), fc_var_dot_W=(4, 2), fc_var_dot_b=(2,),
               decoder_dot_W=(2, 6), decoder_dot_b=(6,), log_scale=(1,))
S_TIED = dict(W=(6, 4), b=(4,), M=(4, 2), L=(2,), c=(4,), d=(6,))
S_FLOW = dict(w1=(5, 4), b1=(4,), w2=(4, 4), b2=(4,), w_mu=(4, 2), w_lv=(4, 2), flow_u=(2,), flow_w=(2,), flow_b=(),
              w_dec=(2, 5), b_dec=(5,))

add("loop_logsigma_ok", "gist, one sample at a time", "gradients", model(LOOP, 1, 4, 6, 2, S_LOOP))
add("keras_port_ok", "port of the Keras VAE example", "gradients", model(KERAS, 2, 3, 5, 2, S_KERAS))
add("thesis_free_bits_ok", "thesis code, free bits", "gradients", model(THESIS, 3, 5, 4, 3, S_THESIS, binary=False, scale=0.4))
add("tied_ok", "hobby repository, tied weights", "gradients", model(TIED, 4, 4, 6, 2, S_TIED))
add("planar_flow_ok", "functional research code (JAX)", "gradients", model(FLOW, 5, 4, 5, 2, S_FLOW))
add("bolts_log_scale_ok", "Lightning VAE ported", "gradients", model(BOLTS, 6, 5, 6, 2, S_BOLTS, binary=False))

add("mooc_one_over_m", "MOOC notebook, features first", "gradients", model(MOOC, 7, 4, 5, 2, S_MOOC, [
    ("dW = np.dot(dZ, A_prev.T)", "dW = 1 / m * np.dot(dZ, A_prev.T)")]),
    "linear_backward divides dW by m though the rows' weights already come with dZ: drop 1 / m.",
    ("W1", "Wmu", "Wlv", "W3", "W4"), ("factor",))
add("loop_last_sample_bias", "gist, one sample at a time", "gradients", model(LOOP, 8, 5, 6, 2, S_LOOP, [
    ('g["b_out"] += d_out', 'g["b_out"] = d_out')]),
    "The output bias keeps the last sample's gradient only: += in place of =.", ("b_out",), ("batch-sum",))
add("torch_half_of_std", "port of pytorch/examples", "gradients", model(TORCH, 9, 4, 6, 3, S_TORCH, [
    ('ctx["eps"] * 0.5 * ctx["std"]', 'ctx["eps"] * ctx["std"]')]),
    "d std / d logvar is std / 2: the half is missing in the sample's path to logvar.",
    ("fc1.weight", "fc1.bias", "fc22.weight", "fc22.bias"), ("factor", "missing-term"))
add("torch_recon_in_place", "port of pytorch/examples", "gradients", model(TORCH, 10, 4, 6, 3, S_TORCH, [
    ('grad = ctx["recon"] - ctx["x"]', 'grad = ctx["recon"]; grad -= ctx["x"]')]),
    "grad -= x writes into the saved reconstruction, so a second backward is wrong: grad = recon - x.", (), ("mutates-input",))
add("keras_mean_over_pixels", "port of the Keras VAE example", "gradients", model(KERAS, 11, 4, 5, 2, S_KERAS, [
    ('up * (c["y"] - c["inputs"])', 'up * (c["y"] - c["inputs"]) / self.original_dim')]),
    "The loss multiplies the mean over pixels by original_dim, the backward does not: dy must not be divided by it.",
    tuple(weights(0, 1, **S_KERAS)), ("factor", "missing-term"))
add("blog_sigmoid_twice", "blog post, sigmoid(x, derivative)", "gradients", model(BLOG, 12, 4, 6, 3, S_BLOG, [
    ("return x * (1 - x)", "return sigmoid(x) * (1 - sigmoid(x))")]),
    "The derivative takes the sigmoid of an array that is one already: it should be x * (1 - x).",
    tuple(S_BLOG), ("elementwise-factor",))
add("free_bits_unmasked", "thesis code, free bits", "gradients", model(THESIS, 13, 5, 4, 3, S_THESIS, [
    ("dkl = -c.beta * g * c.pays", "dkl = -c.beta * g")], binary=False, scale=0.4),
    "Latents below the free-bits floor still get the KL's gradient: multiply by the mask per_latent > lam.",
    ("A", "a", "M", "m", "V", "v"), ("elementwise-factor", "missing-term"))
add("mini_no_zero_grad", "class-based mini framework", "gradients", model(MINI, 14, 4, 5, 3, S_MINI, [
    ("self.zero_grad()", "pass")]),
    "The layers add to grads and nobody clears them: call zero_grad first.", (), ("accumulates",))
add("log_scale_no_normaliser", "Lightning VAE ported", "gradients", model(BOLTS, 15, 5, 6, 2, S_BOLTS, [
    ("** 2 * precision - 1)", "** 2 * precision)")], binary=False),
    "The gradient of log_scale lacks the -1 a pixel of the normaliser.", ("log_scale",), ("missing-term",))
add("tied_encoder_overwrites", "hobby repository, tied weights", "gradients", model(TIED, 16, 4, 6, 2, S_TIED, [
    ('grads["W"] += x.T', 'grads["W"] = x.T')]),
    "W is used in encoder and decoder; the encoder's share overwrites the decoder's: += in place of =.", ("W",), ("missing-term",))
add("flow_square_weight", "functional research code (JAX)", "gradients", model(FLOW, 17, 4, 5, 2, S_FLOW, [
    ('dh1 = da2 @ p["w2"].T', 'dh1 = da2 @ p["w2"]')]),
    "The square w2 must be transposed on the way back to h1.", ("w1", "b1"), ("transpose",))

# ------------------------------------------------------------------------------------------------ sampler
def sampler(text, seed, B=4, Z=3):
    def make():
        rng = np.random.default_rng(200 + seed)
        return {"sampler": load(text)["sample"], "mu": rng.standard_normal((B, Z)), "logvar": 0.9 * rng.standard_normal((B, Z))}
    return make

add("float32_cache_ok", "PyTorch habit: float32", "sampler", sampler('''
def sample(mu, logvar, eps):
    std = np.exp(np.float32(0.5) * logvar.astype(np.float32)); z = mu.astype(np.float32) + eps.astype(np.float32) * std
    return z, (std, eps)
''', 1))
add("cholesky_loop_ok", "textbook: full covariance, row by row", "sampler", sampler('''
def sample(mu, logvar, eps):
    rows = []
    for m, s, e in zip(mu, logvar, eps): Sigma = np.diag(np.exp(s)); L = np.linalg.cholesky(Sigma); rows.append(m + L @ e)
    return np.vstack(rows)
''', 2, 5, 2))
add("householder_ok", "research code: noise reflected first", "sampler", sampler('''
def sample(mu, logvar, eps):
    v = np.arange(1.0, mu.shape[1] + 1)
    eps = eps - 2 * np.outer(eps @ v, v) / (v @ v)     # Householder: still N(0, I)
    return mu + np.sqrt(np.exp(logvar)) * eps, None
''', 3, 4, 4))
add("features_first_minus_ok", "MOOC: columns are examples", "sampler", sampler('''
def sample(mu, logvar, eps):
    MU, LV, E = mu.T, logvar.T, eps[:, ::-1].T.copy(); E *= np.exp(0.5 * LV)
    np.subtract(MU, E, out=E)        # -E has the same distribution
    return E.T, {"MU": MU, "LV": LV}
''', 4, 6, 2))
add("half_outside_exp", "blog post", "sampler", sampler('''
def sample(z_mean, z_log_var, eps): return z_mean + np.exp(z_log_var) / 2 * eps
''', 5), "The half belongs into the exponent: exp(logvar / 2).", (), ("elementwise-factor",))
add("own_randn", "Keras Sampling layer ported", "sampler", sampler('''
def sample(mu, logvar, eps):
    batch, dim = mu.shape; epsilon = np.random.normal(size=(batch, dim))
    return mu + np.exp(0.5 * logvar) * epsilon, epsilon
''', 6), "It draws its own noise and ignores eps: use the argument.", (), ("noise-redrawn",))
add("one_noise_for_the_batch", "gist", "sampler", sampler('''
def sample(mu, logvar, eps):
    sigma = np.exp(logvar / 2); return np.array([mu[i] + sigma[i] * eps[0] for i in range(len(mu))])
''', 7), "All rows share the first row's noise: eps[i].", (), ("batch-sum", "shape"))
add("eps_scaled_in_place", "optimised hobby code", "sampler", sampler('''
def sample(mu, logvar, eps): z = eps; z *= np.exp(0.5 * logvar); z += mu; return z
''', 8), "z is the caller's eps, which is overwritten: z = eps * std + mu.", (), ("mutates-input",))
add("bracket_round_mu", "thesis code", "sampler", sampler('''
def sample(mu, logvar, eps): sigma = np.sqrt(np.exp(logvar)); z = (mu + eps) * sigma; return z, (mu, sigma, eps)
''', 9), "sigma multiplies the mean too: mu + eps * sigma.", (), ("elementwise-factor",))
add("reshape_for_transpose", "MOOC: columns are examples", "sampler", sampler('''
def sample(mu, logvar, eps):
    n, m = mu.shape[1], mu.shape[0]; E = eps.reshape(n, m); Z = mu.T + np.exp(0.5 * logvar.T) * E; return Z.T, (E,)
''', 10), "reshape(n, m) mixes the noise of the rows: eps.T.", (), ("transpose", "shape"))

# ------------------------------------------------------------------------------------------------ evidence
EV_A = '''
class Model(Base):
    def encode(self, x):
        h = np.tanh(x @ self.params["We"] + self.params["be"])
        return h @ self.params["Wm"], h @ self.params["Ws"] + self.params["bs"], h
    def decode(self, z): h = np.tanh(z @ self.params["Wd"] + self.params["bd"]); return h @ self.params["Wo"], h
    def objective(self, x, eps, beta=1.0):
        mu, logvar, h = self.encode(x); z = mu + np.exp(0.5 * logvar) * eps; logits, hd = self.decode(z)
        bce = np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits))); nll = np.sum(bce, axis=1)
        kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1); elbo = -nll - kl
        return NS(elbo=elbo, nll=nll, kl=kl, objective=-nll - beta * kl), (x, eps, mu, logvar, h, z, hd)
'''

EV_B = '''
def log_normal(x, mean, log_var):
    return np.sum(-0.5 * np.log(2 * np.pi) - 0.5 * log_var - 0.5 * (x - mean) ** 2 / np.exp(log_var), axis=-1)
def log_standard_normal(x): return np.sum(-0.5 * np.log(2 * np.pi) - 0.5 * x ** 2, axis=-1)
def log_bernoulli(x, p): p = np.clip(p, 1e-12, 1 - 1e-12); return np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=-1)
class Model(Base):
    def encode(self, x):
        h = np.maximum(x @ self.params["We"] + self.params["be"], 0)
        s = np.logaddexp(0, h @ self.params["Ws"] + self.params["bs"])      # sigma by softplus
        return h @ self.params["Wm"], 2 * np.log(s)
    def decode(self, z): return (np.tanh(z @ self.params["Wd"] + self.params["bd"]) @ self.params["Wo"],)
    def objective(self, x, eps, beta=1.0):
        mu_e, log_var_e = self.encode(x); z = mu_e + np.exp(log_var_e / 2) * eps; logits, = self.decode(z)
        RE = log_bernoulli(x, 1 / (1 + np.exp(-logits))); KL = log_normal(z, mu_e, log_var_e) - log_standard_normal(z)
        return NS(elbo=RE - KL, objective=RE - beta * KL), (z, logits)
'''

EV_C = '''
def logsumexp(a, axis):
    top = a.max(axis=axis, keepdims=True); return np.log(np.exp(a - top).sum(axis=axis)) + top.squeeze(axis)
class Model(Base):
    K = 4
    def draw_eps(self, B, rng): return rng.standard_normal((self.K, B, self.params["Wm"].shape[1]))
    def encode(self, x):
        h = np.tanh(x @ self.params["We"] + self.params["be"])
        return h @ self.params["Wm"], h @ self.params["Ws"] + self.params["bs"]
    def decode(self, z): return np.tanh(z @ self.params["Wd"] + self.params["bd"]) @ self.params["Wo"], None
    def objective(self, x, eps, beta=1.0):
        mu, lv = self.encode(x); z = mu[None] + np.exp(lv / 2)[None] * eps; k, b, d = z.shape
        logits = self.decode(z.reshape(k * b, d))[0].reshape(k, b, -1)
        log_px = (x * logits - np.logaddexp(0, logits)).sum(-1)
        log_w = log_px - 0.5 * (z ** 2).sum(-1) + 0.5 * (eps ** 2 + lv).sum(-1); bound = logsumexp(log_w, 0) - np.log(k)
        return NS(elbo=bound, objective=bound), (log_w,)
'''

EV_D = '''
class UnitGaussian:
    support, n_params = (-np.inf, np.inf), 1
    def nll(self, x, logits): return 0.5 * ((x - logits) ** 2 + np.log(2 * np.pi)).sum(1), (x, logits)
    def nll_backward(self, dnll, cache): return dnll[:, None] * (cache[1] - cache[0])
    def mean(self, logits): return logits.copy()
    def sample(self, logits, rng): return logits + rng.standard_normal(logits.shape)
class Model(Base):
    likelihood = UnitGaussian()
    def encode(self, x):
        h = x @ self.params["We"] + self.params["be"]
        return np.sin(h) @ self.params["Wm"], np.clip(np.cos(h) @ self.params["Ws"] + self.params["bs"], -6, 6)
    def decode(self, z): return np.tanh(z @ self.params["Wd"] + self.params["bd"]) @ self.params["Wo"], z
    def objective(self, x, eps, beta=1.0):
        m, lv = self.encode(x); std = np.exp(0.5 * lv); y, _ = self.decode(m + std * eps)
        nll, _ = self.likelihood.nll(x, y); kl = np.zeros(len(x))
        for j in range(m.shape[1]): kl += 0.5 * (std[:, j] ** 2 + m[:, j] ** 2 - 1) - np.log(std[:, j])
        return NS(elbo=-(nll + kl), nll=nll, kl=kl), None
'''

def evidence(src, seed, D=4, H=4, Z=2, edits=()):
    def make():
        shapes = dict(We=(D, H), be=(H,), Wm=(H, Z), Ws=(H, Z), bs=(Z,), Wd=(Z, H), bd=(H,), Wo=(H, D))
        rng = np.random.default_rng(300 + seed); rows = rng.choice(2 ** D, 5, replace=False)
        x = ((rows[:, None] >> np.arange(D)) & 1).astype(float)
        return {"model": load(src, edits)["Model"](weights(seed, 0.7, **shapes)), "x": x}
    return make

add("elbo_analytic_ok", "class with tuple cache", "evidence", evidence(EV_A, 1, Z=1))
add("elbo_sampled_kl_ok", "research tutorial (log-densities)", "evidence", evidence(EV_B, 2, D=5))
add("iwae_ok", "functional IWAE port", "evidence", evidence(EV_C, 3))
add("elbo_own_gaussian_ok", "thesis code with likelihood objects", "evidence", evidence(EV_D, 4, Z=1))
add("kl_with_sigma", "PyTorch port", "evidence", evidence(EV_A, 5, D=5, edits=[
    ("- mu ** 2 - np.exp(logvar)", "- mu ** 2 - np.exp(0.5 * logvar)")]),
    "The KL takes sigma where the variance belongs: exp(logvar).", (), ("missing-term", "elementwise-factor"))
add("nll_mean_over_pixels", "Keras port", "evidence", evidence(EV_A, 6, Z=1, edits=[
    ("nll = np.sum(bce, axis=1)", "nll = np.mean(bce, axis=-1)")]),
    "The reconstruction term is the mean over pixels, not the sum.", (), ("factor",))
add("kl_of_the_whole_batch", "gist", "evidence", evidence(EV_A, 7, edits=[
    ("- np.exp(logvar), axis=1)", "- np.exp(logvar))")]),
    "The KL is summed over the batch as well: axis=1.", (), ("batch-sum", "shape"))
add("kl_added", "blog post", "evidence", evidence(EV_A, 8, D=6, Z=1, edits=[
    ("elbo = -nll - kl", "elbo = -nll + kl")]),
    "The KL is added to the bound; it is subtracted.", (), ("sign",))
add("prior_without_2pi", "research tutorial (log-densities)", "evidence", evidence(EV_B, 9, Z=1, edits=[
    ("return np.sum(-0.5 * np.log(2 * np.pi) - 0.5 * x ** 2, axis=-1)", "return -0.5 * np.sum(x ** 2, axis=-1)")]),
    "log p(z) lacks the log 2 pi that log q(z|x) has.", (), ("missing-term",))
add("iwae_without_log_k", "functional IWAE port", "evidence", evidence(EV_C, 10, Z=1, edits=[
    ("logsumexp(log_w, 0) - np.log(k)", "logsumexp(log_w, 0)")]),
    "The sum over the K samples is no mean: subtract log K.", (), ("missing-term",))

# ------------------------------------------------------------------------------------------------ likelihood
LOC_SCALE = '''
class P:
    support, n_params = (-np.inf, np.inf), 2
    def _split(self, logits): d = logits.shape[1] // 2; return logits[:, :d], logits[:, d:]
    def nll(self, x, logits):
        loc, log_s = self._split(logits); r = (x - loc) * np.exp(-log_s); return (NLL + log_s).sum(axis=1), (r, log_s)
    def nll_backward(self, dnll, cache):
        r, log_s = cache; dr = dnll[:, None] * (SLOPE); dloc = -dr * np.exp(-log_s); dlog_s = dnll[:, None] - dr * r
        return np.concatenate([dloc, dlog_s], axis=1)
    def mean(self, logits): loc, log_s = self._split(logits); return loc + MEAN * np.exp(log_s)
    def sample(self, logits, rng): loc, log_s = self._split(logits); return loc + np.exp(log_s) * DRAW
'''
LAPLACE = [("NLL", "np.abs(r) + np.log(2)"), ("SLOPE", "np.sign(r)"), ("MEAN", "0"), ("DRAW", "rng.laplace(size=loc.shape)")]
LOGISTIC = [("NLL", "r + 2 * np.logaddexp(0, -r)"), ("SLOPE", "np.tanh(r / 2)"), ("MEAN", "0"), ("DRAW", "rng.logistic(size=loc.shape)")]
GUMBEL = [("NLL", "r + np.exp(-r)"), ("SLOPE", "-np.expm1(-r)"), ("MEAN", "0.5772156649015329"), ("DRAW", "rng.gumbel(size=loc.shape)")]
STUDENT = [("NLL", "4 * np.log1p(r * r / 7) + 0.5 * math.log(7 * math.pi) + math.lgamma(3.5) - math.lgamma(4.0)"),
           ("SLOPE", "8 * r / (7 + r * r)"), ("MEAN", "0"), ("DRAW", "rng.standard_t(7, size=loc.shape)")]

CONTINUOUS_BERNOULLI = '''
class P:
    """Loaiza-Ganem and Cunningham (2019), in the logit."""
    support = (0.0, 1.0); n_params = 1
    def nll(self, x, logits):
        a = np.abs(logits) / 2; small = a < 1e-2; b = np.where(small, 1.0, a)
        log_c = np.where(small, np.log(2) + a * a / 3 - 7 * a ** 4 / 90, np.log(2 * b) - np.log(np.tanh(b)))
        nll = np.logaddexp(0, logits) - x * logits - log_c; return nll.sum(1), (x, logits)
    def nll_backward(self, dnll, cache): x, logits = cache; return dnll[:, None] * (self.mean(logits) - x)
    def mean(self, logits):
        a = logits / 2; small = np.abs(a) < 1e-2; b = np.where(small, 1.0, a)
        return 0.5 + 0.5 * np.where(small, a / 3 - a ** 3 / 45, 1 / np.tanh(b) - 1 / b)
    def sample(self, logits, rng):
        u = rng.random(logits.shape); safe = np.where(np.abs(logits) < 1e-6, 1e-6, logits); t = np.abs(safe)
        v = 1 + np.log(u + (1 - u) * np.exp(-t)) / t; return np.where(safe > 0, v, 1 - v)
'''

LOGNORMAL = '''
class P:
    support = (0.0, np.inf); n_params = 2
    def nll(self, x, logits):
        m, t = np.hsplit(logits, 2); r = (np.log(x) - m) / np.exp(t)
        nll = np.log(x) + t + 0.5 * np.log(2 * np.pi) + 0.5 * r ** 2; return nll.sum(-1), {"r": r, "t": t}
    def nll_backward(self, dnll, cache):
        r, t = cache["r"], cache["t"]; return dnll.reshape(-1, 1) * np.hstack([-r / np.exp(t), 1 - r * r])
    def mean(self, logits): m, t = np.hsplit(logits, 2); return np.exp(m + 0.5 * np.exp(2 * t))
    def sample(self, logits, rng): m, t = np.hsplit(logits, 2); return rng.lognormal(m, np.exp(t))
'''

GAMMA2 = '''
class P:
    """Gamma of shape 2 and rate exp(logit), as for intensities."""
    n_params, shape = 1, 2.0
    @property
    def support(self): return 0.0, float("inf")
    def nll(self, x, logits):
        rate = np.exp(logits); out = np.empty(len(x))
        for i in range(len(x)):
            out[i] = rate[i] @ x[i] - np.sum(self.shape * logits[i] + (self.shape - 1) * np.log(x[i]) - math.lgamma(self.shape))
        return out, (x, rate)
    def nll_backward(self, dnll, cache): x, rate = cache; return (rate * x - self.shape) * dnll[:, None]
    def mean(self, logits): return self.shape * np.exp(-logits)
    def sample(self, logits, rng): return rng.exponential(np.exp(-logits)) + rng.exponential(np.exp(-logits))
'''

GAUSS = '''
class P:
    support = (-np.inf, np.inf); n_params = 2
    def nll(self, x, logits):
        D = x.shape[1]; mu, logvar = logits[:, :D], logits[:, D:]; inv = np.exp(-logvar)
        nll = 0.5 * (D * np.log(2 * np.pi) + logvar.sum(1) + ((x - mu) ** 2 * inv).sum(1)); return nll, (x - mu, inv)
    def nll_backward(self, dnll, cache):
        diff, inv = cache; B, D = diff.shape; dlogits = np.empty((B, 2 * D)); dlogits[:, :D] = -diff * inv
        dlogits[:, D:] = 0.5 * (1 - diff ** 2 * inv); dlogits *= dnll[:, None]; return dlogits
    def mean(self, logits): return logits[:, :logits.shape[1] // 2]
    def sample(self, logits, rng): D = logits.shape[1] // 2; return rng.normal(logits[:, :D], np.exp(0.5 * logits[:, D:]))
'''

def likelihood(src, edits=()): return lambda: {"p": load(src, edits)["P"]()}

add("laplace_ok", "Pyro-like distribution class", "likelihood", likelihood(LOC_SCALE, LAPLACE))
add("student_t_ok", "thesis code, robust decoder", "likelihood", likelihood(LOC_SCALE, STUDENT))
add("continuous_bernoulli_ok", "paper's code ported", "likelihood", likelihood(CONTINUOUS_BERNOULLI))
add("gamma_two_ok", "hobby code with a loop", "likelihood", likelihood(GAMMA2))
add("logistic_scale_normaliser", "PixelCNN-like code", "likelihood", likelihood(LOC_SCALE, LOGISTIC + [
    ("dlog_s = dnll[:, None] - dr * r", "dlog_s = -dr * r")]),
    "The gradient of log_s lacks the 1 of the normaliser + log_s.", ("logits",), ("missing-term",))
add("gumbel_columns_swapped", "Pyro-like distribution class", "likelihood", likelihood(LOC_SCALE, GUMBEL + [
    ("np.concatenate([dloc, dlog_s], axis=1)", "np.concatenate([dlog_s, dloc], axis=1)")]),
    "The two halves of dlogits are exchanged: the location comes first.", ("logits",), ("transpose",))
add("bce_on_grey_values", "MNIST notebook", "likelihood", likelihood(CONTINUOUS_BERNOULLI, [
    ("np.logaddexp(0, logits) - x * logits - log_c", "np.logaddexp(0, logits) - x * logits"),
    ("dnll[:, None] * (self.mean(logits) - x)", "dnll[:, None] * (1 / (1 + np.exp(-logits)) - x)")]),
    "Binary cross-entropy on [0, 1] is no density: the log normaliser log C is missing.", (), ("missing-term",))
add("lognormal_median", "thesis code", "likelihood", likelihood(LOGNORMAL, [
    ("return np.exp(m + 0.5 * np.exp(2 * t))", "return np.exp(m)")]),
    "exp(m) is the median; the mean is exp(m + s^2 / 2).", (), ("missing-term", "elementwise-factor"))
add("gauss_sample_variance", "gist", "likelihood", likelihood(GAUSS, [
    ("np.exp(0.5 * logits[:, D:])", "np.exp(logits[:, D:])")]),
    "rng.normal takes the standard deviation, it gets the variance: exp(0.5 * logvar).", (), ("elementwise-factor",))

# ------------------------------------------------------------------------------------------------ optimizer
OPT = '''
class RefAdam:
    def __init__(self, lr=1e-2, b1=0.9, b2=0.999, eps=1e-8):
        self.lr, self.b1, self.b2, self.eps, self.t, self.m, self.v = lr, b1, b2, eps, 0, {}, {}
    def step(self, params, grads):
        self.t += 1
        for k, g in grads.items():
            self.m[k] = self.b1 * self.m.get(k, 0) + (1 - self.b1) * g
            self.v[k] = self.b2 * self.v.get(k, 0) + (1 - self.b2) * g * g
            mhat, vhat = self.m[k] / (1 - self.b1 ** self.t), self.v[k] / (1 - self.b2 ** self.t)
            params[k] -= self.lr * mhat / (np.sqrt(vhat) + self.eps)
class FlatAdam:
    """all parameters in one long vector"""
    def __init__(self, lr=1e-2): self.lr, self.m, self.p1, self.p2 = lr, None, 1.0, 1.0
    def step(self, params, grads):
        keys = sorted(params); g = np.concatenate([np.ravel(grads[k]) for k in keys])
        if self.m is None: self.m, self.v = np.zeros_like(g), np.zeros_like(g)
        self.m += 0.1 * (g - self.m); self.v += 0.001 * (g ** 2 - self.v); self.p1 *= 0.9; self.p2 *= 0.999
        d = self.lr * (self.m / (1 - self.p1)) / (np.sqrt(self.v / (1 - self.p2)) + 1e-8); at = 0
        for k in keys: params[k] -= d[at:at + params[k].size].reshape(params[k].shape); at += params[k].size
class LoopAdam:
    def __init__(self, alpha=0.02): self.alpha, self.t = alpha, 0; self.m, self.v = {}, {}
    def step(self, params, grads):
        for key in params:
            self.t += 1; m = self.m[key] = 0.9 * self.m.get(key, np.zeros_like(params[key])) + 0.1 * grads[key]
            v = self.v[key] = 0.999 * self.v.get(key, np.zeros_like(params[key])) + 0.001 * grads[key] ** 2
            params[key] -= self.alpha * (m / (1 - 0.9 ** self.t)) / (np.sqrt(v / (1 - 0.999 ** self.t)) + 1e-8)
class TorchNesterov:
    def __init__(self, lr=0.05, mu=0.8): self.lr, self.mu, self.buf = lr, mu, {}
    def step(self, params, grads):
        for k, p in params.items():
            self.buf[k] = self.mu * self.buf.get(k, 0) + grads[k]; p -= self.lr * (grads[k] + self.mu * self.buf[k])
class CsNesterov:
    def __init__(self, lr=0.05, mu=0.8): self.lr, self.mu, self.v = lr, mu, {}
    def step(self, params, grads):
        for k in params:
            v_prev = self.v.get(k, np.zeros_like(params[k])); v = self.mu * v_prev - self.lr * grads[k]
            params[k] += -self.mu * v_prev + (1 + self.mu) * v; self.v[k] = v
class RefClip:
    def step(self, params, grads):
        norm = math.sqrt(sum(float((g * g).sum()) for g in grads.values()))
        for k in params: params[k] -= 0.1 * grads[k] * min(1.0, 1.0 / norm)
class ClipSGD:
    """clip_grad_norm_(1.0), then SGD, with the norms of the parameters' norms"""
    def step(self, params, grads):
        total = np.linalg.norm([np.linalg.norm(g) for g in grads.values()]); rate = 0.1 / total if total > 1.0 else 0.1
        for name, p in params.items(): np.subtract(p, rate * grads[name], out=p)
class RefDecay:
    def __init__(self): self.v = {}
    def step(self, params, grads):
        for k in params: self.v[k] = 0.9 * self.v.get(k, 0) + grads[k] + 0.05 * params[k]; params[k] -= 0.02 * self.v[k]
class Decay:
    def __init__(self, lr=0.02, momentum=0.9, weight_decay=0.05):
        self.lr, self.momentum, self.weight_decay, self.v = lr, momentum, weight_decay, {}
    def step(self, params, grads):
        for k in params:
            d_p = grads[k]; d_p += self.weight_decay * params[k]; self.v[k] = self.momentum * self.v.get(k, 0) + d_p
            params[k] -= self.lr * self.v[k]
class RefAdagrad:
    def __init__(self): self.seen = []
    def step(self, params, grads):
        self.seen.append({k: g.copy() for k, g in grads.items()})
        for k in params: params[k] -= 0.1 * grads[k] / (np.sqrt(sum(g[k] ** 2 for g in self.seen)) + 1e-7)
class Adagrad:
    def __init__(self, lr=0.1): self.lr, self.h = lr, None
    def step(self, params, grads):
        if self.h is None: self.h = {key: np.zeros_like(val) for key, val in params.items()}
        for key in params.keys():
            self.h[key] = grads[key] * grads[key]; params[key] -= self.lr * grads[key] / (np.sqrt(self.h[key]) + 1e-7)
class RefRMS:
    def __init__(self): self.s = {}
    def step(self, params, grads):
        for k in params:
            self.s[k] = 0.9 * self.s.get(k, 0) + 0.1 * grads[k] ** 2
            params[k] -= 0.01 * grads[k] / (np.sqrt(self.s[k]) + 1e-6)
class RMSProp:
    def __init__(self, lr=0.01, decay_rate=0.9): self.lr, self.rho, self.h = lr, decay_rate, {}
    def step(self, params, grads):
        for k, g in grads.items():
            h = self.h.setdefault(k, np.zeros_like(g)); h *= self.rho; h += (1 - self.rho) * g * g
            params[k] -= self.lr * g / (h + 1e-6)
'''

def optimizer(cls, ref, **kw):
    def make(): ns = load(OPT); return {"optimizer": ns[cls](), "reference": ns[ref](**kw)}
    return make

add("flat_adam_ok", "thesis code, one flat vector", "optimizer", optimizer("FlatAdam", "RefAdam"))
add("nesterov_ok", "course assignment form", "optimizer", optimizer("CsNesterov", "TorchNesterov"))
add("clip_sgd_ok", "PyTorch port", "optimizer", optimizer("ClipSGD", "RefClip"))
add("adam_counts_parameters", "gist", "optimizer", optimizer("LoopAdam", "RefAdam", lr=0.02),
    "t grows with every parameter instead of every step: move it out of the loop.", (), ("factor", "elementwise-factor"))
add("decay_into_grads", "PyTorch port", "optimizer", optimizer("Decay", "RefDecay"),
    "d_p is the caller's gradient, += writes the decay into it: d_p = grads + decay.", (), ("mutates-input",))
add("adagrad_forgets", "from-scratch book", "optimizer", optimizer("Adagrad", "RefAdagrad"),
    "h keeps the last square only: += in place of =.", (), ("missing-term", "elementwise-factor"))
add("rmsprop_no_root", "course assignment form", "optimizer", optimizer("RMSProp", "RefRMS"),
    "The square root of the mean square is missing in the denominator.", (), ("elementwise-factor",))

# ------------------------------------------------------------------------------------------------ vjp
VJP = '''
def planar_logdet(z, w, u, b):
    t = np.tanh(z @ w + b); s = u @ w; det = 1 + s * (1 - t * t); return np.log(np.abs(det)), (z, w, u, t, s, det)
def planar_logdet_bwd(dy, cache):
    z, w, u, t, s, det = cache; q = dy / det; da = q * s * (-2 * t) * (1 - t * t); ds = np.dot(q, 1 - t * t)
    return {"z": da[:, None] * w[None, :], "w": da @ z + ds * u, "u": ds * w, "b": da.sum()}
def kl_two(mu_q, lv_q, mu_p, lv_p):
    """KL(q || p) of the batch, summed, as the scalar loss of a VAE with a learned prior (one for all rows)"""
    ratio = np.exp(lv_q - lv_p); gap = (mu_q - mu_p) / np.exp(lv_p)
    return 0.5 * np.sum(lv_p - lv_q + ratio + gap * (mu_q - mu_p) - 1), (ratio, gap, mu_q - mu_p)
def kl_two_bwd(dout, saved):
    ratio, gap, diff = saved; d_lv_p = 0.5 * (1 - ratio - gap * diff)
    return dout * gap, dout * 0.5 * (ratio - 1), dout * -gap.sum(0), dout * d_lv_p.sum(0)
def vamp(z, prior):
    m, lv, pi = prior["means"], prior["logvars"], prior["weights"]; diff = z[:, None, :] - m[None]
    comp = -0.5 * (diff ** 2 / np.exp(lv) + lv + np.log(2 * np.pi)).sum(2); logits = comp + pi - np.log(np.exp(pi).sum())
    top = logits.max(1, keepdims=True); e = np.exp(logits - top)
    return np.log(e.sum(1)) + top[:, 0], {"resp": e / e.sum(1, keepdims=True), "diff": diff, "lv": lv, "pi": pi}
def vamp_bwd(dy, c):
    r = c["resp"] * dy[:, None]; scaled = r[:, :, None] * c["diff"] / np.exp(c["lv"])
    mix = np.exp(c["pi"]) / np.exp(c["pi"]).sum(); dlv = 0.5 * ((scaled * c["diff"]).sum(0) - r.sum(0)[:, None])
    return {"z": -scaled.sum(1), "prior": {"means": scaled.sum(0), "logvars": dlv, "weights": r.sum(0) - mix * dy.sum()}}
def quantize(codebook, idx): return codebook[idx], (codebook.shape, idx)
def quantize_bwd(dy, cache): shape, idx = cache; dcodebook = np.zeros(shape); dcodebook[idx] += dy; return dcodebook
def iw_bound(logw):
    """logw (K, B)"""
    top = logw.max(axis=0); return top + np.log(np.mean(np.exp(logw - top), axis=0)), logw
def iw_bound_bwd(dy, logw):
    e = np.exp(logw - logw.max()); weights = e / e.sum(axis=1, keepdims=True); return {"logw": weights * dy}
def full_cov(mu, A, eps):
    """z = mu + L eps, L lower triangular with a positive diagonal exp(diag A)"""
    L = np.tril(A, -1); i = np.arange(mu.shape[1]); L[:, i, i] = np.exp(A[:, i, i])
    return mu + np.einsum("bij,bj->bi", L, eps), (L, eps)
def full_cov_bwd(dz, cache):
    L, eps = cache; dA = dz[:, :, None] * eps[:, None, :]; i = np.arange(dz.shape[1]); dA[:, i, i] *= L[:, i, i]
    return dz, dA
def deconv1d(x, kernel, stride=2):
    n, k = x.shape[1], len(kernel); out = np.zeros((x.shape[0], stride * (n - 1) + k))
    for i in range(n): out[:, i * stride:i * stride + k] += x[:, i, None] * kernel
    return out, (x, kernel, stride)
def deconv1d_bwd(dout, cache):
    x, kernel, stride = cache; k, dx, dk = len(kernel), np.zeros_like(x), np.zeros_like(kernel)
    for i in range(x.shape[1]):
        window = dout[:, i * stride:i * stride + k]; dx[:, i] = window @ kernel[::-1]; dk += x[:, i] @ window
    return {"x": dx, "kernel": dk}
'''

def vjp(fn, seed, constants=None, **shapes):
    def make():
        ns, rng = load(VJP), np.random.default_rng(400 + seed)
        draw = lambda s: {k: draw(v) for k, v in s.items()} if isinstance(s, dict) else np.asarray(rng.standard_normal(s))
        return {"forward": ns[fn], "backward": ns[fn + "_bwd"], "inputs": draw(shapes),
                "constants": constants(rng) if constants else {}}
    return make

add("planar_logdet_ok", "functional research code", "vjp", vjp("planar_logdet", 1, z=(5, 3), w=(3,), u=(3,), b=()))
add("kl_learned_prior_ok", "thesis code, scalar loss", "vjp", vjp("kl_two", 2, mu_q=(4, 3), lv_q=(4, 3), mu_p=(3,), lv_p=(3,)))
add("vamp_prior_ok", "VampPrior port, dict of arrays", "vjp", vjp(
    "vamp", 3, z=(4, 2), prior={"means": (3, 2), "logvars": (3, 2), "weights": (3,)}))
add("codebook_fancy_index", "VQ-VAE from scratch", "vjp", vjp(
    "quantize", 4, lambda rng: {"idx": np.array([2, 0, 2, 4, 0, 2])}, codebook=(5, 3)),
    "dcodebook[idx] += dy keeps one row of each repeated code: np.add.at.", ("codebook",), ("batch-sum",))
add("iw_softmax_over_batch", "functional IWAE port", "vjp", vjp("iw_bound", 5, logw=(5, 4)),
    "The weights are normalised over the batch (axis 1), not over the samples (axis 0).", ("logw",), ("shape", "elementwise-factor"))
add("full_cov_no_tril", "hobby repository", "vjp", vjp(
    "full_cov", 6, lambda rng: {"eps": rng.standard_normal((4, 3))}, mu=(4, 3), A=(4, 3, 3)),
    "The entries above the diagonal do not reach z: np.tril of dA.", ("A",), ("elementwise-factor",))
add("deconv_flipped", "conv decoder, class assignment", "vjp", vjp("deconv1d", 7, x=(4, 3), kernel=(4,)),
    "dx correlates the window with the kernel as it is, it must not be flipped.", ("x",), ("transpose",))

# ------------------------------------------------------------------------------------------------ verification
def leaves(tree, pre=""):
    for k, v in tree.items(): yield from leaves(v, pre + k + "/") if isinstance(v, dict) else [(pre + k, v)]

def numeric(f, a, h=1e-5):
    g = np.zeros_like(a)
    for i in np.ndindex(a.shape):
        old = a[i]; vals = []
        for s in (h, -h): a[i] = old + s; vals.append(f())
        a[i] = old; g[i] = (vals[0] - vals[1]) / (2 * h)
    return g

def compare(got, want):
    """name -> relative error (infinite for another shape)"""
    return {k: np.inf if np.shape(got[k]) != v.shape else np.max(np.abs(got[k] - v)) / (1e-9 + np.max(np.abs(v)) + 1e-3)
            for k, v in want.items()}

def grads_report(run, back, params, times=2):
    """run() -> (scalar, cache); back(cache) -> grads; errors of each call of backward"""
    cache = run()[1]; kept = {k: v.copy() for k, v in leaves(params)}
    got = [{k: np.array(v) for k, v in leaves(back(cache))} for _ in range(times)]
    assert all(np.array_equal(v, kept[k]) for k, v in leaves(params))
    want = {k: numeric(lambda: run()[0], v) for k, v in leaves(params)}
    assert set(got[0]) == set(want), set(got[0]) ^ set(want); return [compare(g, want) for g in got]

def bad(err):
    for k, e in err.items(): assert e < 1e-6 or e > 1e-3, (k, e)
    return {k for k, e in err.items() if e > 1e-3}

def v_gradients(it):
    a, rng, out = it.make(), np.random.default_rng(1), []; m, x, eps = a["model"], a["x"], a["eps"]
    x0, e0 = x.copy(), eps.copy()
    for beta in (1.0, 0.4):
        d = rng.standard_normal(len(x)) + 0.3; terms = m.objective(x, eps, beta)[0]
        assert np.allclose(terms.objective, -terms.nll - beta * terms.kl) and terms.objective.shape == (len(x),)

        def run(): t, c = m.objective(x, eps, beta); return d @ t.objective, c
        out += grads_report(run, lambda c: m.backward(d, c), m.params)
    assert np.array_equal(x, x0) and np.array_equal(eps, e0); sets = [bad(e) for e in out]
    if it.causes in (("mutates-input",), ("accumulates",)): return not sets[0] and bool(sets[1]), sets
    return all(s == set(it.wrong) for s in sets), sets

def v_vjp(it):
    a = it.make(); f, b, inp, con = a["forward"], a["backward"], a["inputs"], a["constants"]; y = f(**inp, **con)[0]
    dy = np.random.default_rng(2).standard_normal(np.shape(y)); dy = dy if dy.shape else float(dy)

    def back(c): g = b(dy, c); return g if isinstance(g, dict) else dict(zip(inp, g if isinstance(g, tuple) else (g,)))

    def run(): y, c = f(**inp, **con); return np.sum(y * dy), c
    sets = [bad(e) for e in grads_report(run, back, inp)]; return all(s == set(it.wrong) for s in sets), sets

def v_sampler(it):
    """all samplers here are affine in eps: their matrix, exactly"""
    a = it.make(); s, mu, lv = a["sampler"], a["mu"], a["logvar"]; B, Z = mu.shape
    z = lambda e: (lambda r: r[0] if isinstance(r, tuple) else r)(s(mu.copy(), lv.copy(), e))
    e = np.random.default_rng(3).standard_normal((B, Z)); kept = e.copy()
    z1, same = np.array(z(e)), np.array_equal(e, kept); redrawn = not np.array_equal(z(kept.copy()), z1)
    base = np.array(z(np.zeros((B, Z))))
    J = np.array([np.array(z(row.reshape(B, Z).copy())) - base for row in np.eye(B * Z)]).reshape(B, Z, B, Z)
    cov, cross = np.zeros((B, Z, Z)), 0.0
    for b in range(B):
        cov[b] = J[b, :, b].T @ J[b, :, b]; cross = max([cross] + [np.abs(J[c, :, b]).max() for c in range(B) if c != b])
    off = max(np.abs(base - mu).max(), cross, max(np.abs(cov[b] - np.diag(np.exp(lv[b]))).max() for b in range(B)))
    if it.causes == ("mutates-input",): return not same and off < 1e-5, (same, off)
    if it.causes == ("noise-redrawn",): return redrawn, redrawn
    return same and not redrawn and (off < 1e-5 if it.right else off > 1e-3), off

def v_evidence(it):
    a = it.make(); m, x = a["model"], a["x"]; mu, lv = m.encode(x)[:2]; sd, Z = np.exp(lv / 2), mu.shape[1]

    def log_px(z):
        out = m.decode(z)[0]
        return -m.likelihood.nll(x, out)[0] if hasattr(m, "likelihood") else (x * out - np.logaddexp(0, out)).sum(1)
    if hasattr(m, "draw_eps"):
        eps = m.draw_eps(len(x), np.random.default_rng(4))
        lw = np.array([log_px(mu + sd * e) - 0.5 * ((mu + sd * e) ** 2).sum(1) + 0.5 * (e ** 2 + lv).sum(1) for e in eps])
        off = np.abs(m.objective(x, eps)[0].elbo - np.log(np.exp(lw).mean(0)))
    else:
        t, w = np.polynomial.hermite_e.hermegauss(24); w = w / w.sum()
        nodes = [(np.array(n), v) for n, v in (zip([(a,) for a in t], w) if Z == 1 else
                 [((p, q), u * v) for p, u in zip(t, w) for q, v in zip(t, w)])]
        true = sum(v * log_px(mu + sd * n) for n, v in nodes) - 0.5 * (mu ** 2 + np.exp(lv) - 1 - lv).sum(1)
        got = sum(v * m.objective(x, np.tile(n, (len(x), 1)))[0].elbo for n, v in nodes); assert got.shape == (len(x),)
        off = np.abs(got - true)
    return (off.max() < 1e-6 if it.right else off.min() > 1e-3), off

def v_likelihood(it):
    p, rng = it.make()["p"], np.random.default_rng(5); n, (lo, hi) = p.n_params, p.support
    logits = 0.7 * rng.standard_normal((3, 2 * n))
    x = p.mean(logits) * 0.6 + (0.1 if lo == 0 else rng.standard_normal((3, 2))); d = rng.standard_normal(3)
    grad = bad(compare({"logits": p.nll_backward(d, p.nll(x, logits)[1])}, {"logits": numeric(lambda: d @ p.nll(x, logits)[0], logits)}))
    if lo == 0 and hi == 1: t, w = np.polynomial.legendre.leggauss(60); xs, jac = (t + 1) / 2, w / 2
    else:
        u = np.linspace(-30, 30, 60001)
        xs, jac = (np.exp(u), np.exp(u) * (u[1] - u[0])) if lo == 0 else (np.sinh(u / 3), np.cosh(u / 3) / 3 * (u[1] - u[0]))
    one = logits[:1, ::2]; q = np.exp(-p.nll(xs[:, None], np.repeat(one, len(xs), 0))[0]) * jac
    draws = p.sample(np.repeat(one, 200000, 0), rng)[:, 0]; cdf = np.cumsum(q)
    ks = max(abs(np.mean(draws <= xs[i]) - cdf[i] + q[i] / 2) for i in np.searchsorted(cdf, cdf[-1] * np.arange(0.1, 1, 0.1)))
    ks = ks if len(xs) > 100 else 0.0
    facts = {"mass": abs(q.sum() - 1) > 1e-5, "mean": abs(q @ xs - p.mean(one)[0, 0]) > 1e-4, "draws": ks > 6e-3,
             "draw-mean": abs(draws.mean() - q @ xs) > 6 * draws.std() / 447, "grad": bool(grad)}
    return grad == set(it.wrong) and any(facts.values()) != it.right, [k for k, v in facts.items() if v]

def v_optimizer(it):
    a, rng = it.make(), np.random.default_rng(6); P = {"W": rng.standard_normal((3, 2)), "b": rng.standard_normal(2)}
    Q = {k: v.copy() for k, v in P.items()}; off, same = 0.0, True
    for i in range(6):
        g = {k: (0.2 + i % 3) * rng.standard_normal(v.shape) for k, v in P.items()}; h = {k: v.copy() for k, v in g.items()}
        a["optimizer"].step(P, g); a["reference"].step(Q, {k: v.copy() for k, v in h.items()})
        same &= all(np.array_equal(g[k], h[k]) for k in g); off = max([off] + [np.abs(P[k] - Q[k]).max() for k in P])
    if "mutates-input" in it.causes: return not same and off < 1e-9, off
    return same and (off < 1e-9 if it.right else off > 1e-3), off

if __name__ == "__main__":
    import collections
    import time
    np.seterr(over="ignore"); assert len({it.name for it in ITEMS}) == len(ITEMS); counts, failed = collections.Counter(), 0
    for it in ITEMS:
        start = time.time(); ok, info = globals()["v_" + it.check](it); counts[it.check, it.right] += 1; failed += not ok
        if not ok: print("FAIL", it.check, it.name, info)
        if time.time() - start > 5: print("slow", it.name)
    print({f"{c} {'right' if r else 'wrong'}": n for (c, r), n in counts.items()}, "failed:", failed)
