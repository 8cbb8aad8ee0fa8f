"""VAEs and their relatives, samplers, bounds, likelihoods and optimizers: some right, some with one slip."""
from typing import Callable, NamedTuple

import numpy as np
from scipy.special import digamma, expit, gammaln, log_softmax, logsumexp, ndtr, ndtri, softmax


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
    objective: np.ndarray
    nll: np.ndarray
    kl: np.ndarray


class Bound(NamedTuple):
    elbo: np.ndarray
    nll: np.ndarray
    kl: np.ndarray


class Result:
    """Named values, as attributes."""

    def __init__(self, **values):
        self.__dict__.update(values)


ITEMS = []
LOG_2PI = np.log(2 * np.pi)


def softplus(a):
    return np.logaddexp(0.0, a)


# ---------------------------------------------------------------------------------------------------------------
# gradients
# ---------------------------------------------------------------------------------------------------------------


class TwoLayerVAE:
    """
    A VAE with one hidden ReLU layer in the encoder and one in the decoder. The architecture is
    affine - relu - (affine, affine) - sample - affine - relu - affine, with a unit Gaussian on the pixels.
    """

    def __init__(self, input_dim=5, hidden_dim=6, latent_dim=2, weight_scale=0.6, seed=0):
        rng = np.random.RandomState(seed)
        self.params = {}
        self.params['W1'] = weight_scale * rng.randn(input_dim, hidden_dim)
        self.params['b1'] = 0.1 * rng.randn(hidden_dim)
        self.params['W_mu'] = weight_scale * rng.randn(hidden_dim, latent_dim)
        self.params['b_mu'] = np.zeros(latent_dim)
        self.params['W_lv'] = weight_scale * rng.randn(hidden_dim, latent_dim)
        self.params['b_lv'] = np.zeros(latent_dim)
        self.params['W2'] = weight_scale * rng.randn(latent_dim, hidden_dim)
        self.params['b2'] = 0.1 * rng.randn(hidden_dim)
        self.params['W3'] = weight_scale * rng.randn(hidden_dim, input_dim)
        self.params['b3'] = np.zeros(input_dim)

    def encode(self, x):
        p = self.params
        a1 = x.dot(p['W1']) + p['b1']
        h1 = np.maximum(0, a1)
        mu = h1.dot(p['W_mu']) + p['b_mu']
        logvar = h1.dot(p['W_lv']) + p['b_lv']
        return mu, logvar, (a1, h1)

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, logvar, (a1, h1) = self.encode(x)
        std = np.exp(logvar / 2)
        z = mu + std * eps
        a2 = z.dot(p['W2']) + p['b2']
        h2 = np.maximum(0, a2)
        xhat = h2.dot(p['W3']) + p['b3']
        nll = 0.5 * np.sum((x - xhat) ** 2, axis=1) + 0.5 * x.shape[1] * LOG_2PI
        kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
        cache = (x, eps, beta, a1, h1, mu, logvar, std, z, a2, h2, xhat)
        return Terms(nll + beta * kl, nll, kl), cache

    def backward(self, dout, cache):
        p, grads = self.params, {}
        x, eps, beta, a1, h1, mu, logvar, std, z, a2, h2, xhat = cache
        dout = dout[:, None]
        dxhat = dout * (xhat - x)
        grads['W3'] = h2.T.dot(dxhat)
        grads['b3'] = np.sum(dxhat, axis=0)
        da2 = dxhat.dot(p['W3'].T)
        da2[a1 <= 0] = 0
        grads['W2'] = z.T.dot(da2)
        grads['b2'] = np.sum(da2, axis=0)
        dz = da2.dot(p['W2'].T)
        dmu = dz + dout * beta * mu
        dlogvar = dz * eps * 0.5 * std + dout * beta * 0.5 * (np.exp(logvar) - 1)
        grads['W_mu'] = h1.T.dot(dmu)
        grads['b_mu'] = np.sum(dmu, axis=0)
        grads['W_lv'] = h1.T.dot(dlogvar)
        grads['b_lv'] = np.sum(dlogvar, axis=0)
        da1 = dmu.dot(p['W_mu'].T) + dlogvar.dot(p['W_lv'].T)
        da1[a1 <= 0] = 0
        grads['W1'] = x.T.dot(da1)
        grads['b1'] = np.sum(da1, axis=0)
        return grads


def make_cs231n():
    rng = np.random.RandomState(1)
    return dict(model=TwoLayerVAE(seed=3), x=rng.randn(4, 5), eps=rng.randn(4, 2), beta=1.0)


ITEMS.append(Item(
    "two-layer-vae", "CS231n assignment", "gradients", make_cs231n, False,
    "the ReLU of the decoder is masked with the encoder's pre-activation: da2[a2 <= 0] = 0, not da2[a1 <= 0] = 0",
    ("W2", "b2", "W_mu", "b_mu", "W_lv", "b_lv", "W1", "b1"), ("elementwise-factor",)))


class StructuredCVAE:
    """Conditional VAE with a learned prior: the left columns of a row are the condition, the right ones the target."""

    def __init__(self, n_cond=3, n_out=3, n_hidden=5, n_latent=2, seed=0):
        rng = np.random.RandomState(seed)

        def init(*shape):
            return rng.uniform(-0.8, 0.8, size=shape)

        self.n_cond, self.n_latent = n_cond, n_latent
        self.params = {
            'rec_W': init(n_cond + n_out, n_hidden), 'rec_b': init(n_hidden),
            'rec_V': init(n_hidden, 2 * n_latent), 'rec_c': init(2 * n_latent),
            'pri_W': init(n_cond, n_hidden), 'pri_b': init(n_hidden),
            'pri_V': init(n_hidden, 2 * n_latent), 'pri_c': init(2 * n_latent),
            'gen_W': init(n_cond + n_latent, n_hidden), 'gen_b': init(n_hidden),
            'gen_V': init(n_hidden, n_out), 'gen_c': init(n_out)}

    def _mlp(self, net, inp):
        p = self.params
        hid = np.tanh(np.dot(inp, p[net + '_W']) + p[net + '_b'])
        return np.dot(hid, p[net + '_V']) + p[net + '_c'], (net, inp, hid)

    def _mlp_grad(self, dout, cache, grads):
        net, inp, hid = cache
        grads[net + '_V'] = np.dot(hid.T, dout)
        grads[net + '_c'] = dout.sum(0)
        dpre = np.dot(dout, self.params[net + '_V'].T) * (1 - hid ** 2)
        grads[net + '_W'] = np.dot(inp.T, dpre)
        grads[net + '_b'] = dpre.sum(0)
        return np.dot(dpre, self.params[net + '_W'].T)

    def encode(self, x):
        out, cache = self._mlp('rec', x)
        return out[:, :self.n_latent], out[:, self.n_latent:], cache

    def objective(self, x, eps, beta=1.0):
        cond, target = x[:, :self.n_cond], x[:, self.n_cond:]
        mq, lq, rec = self.encode(x)
        prior, pri = self._mlp('pri', cond)
        mp, lp = prior[:, :self.n_latent], prior[:, self.n_latent:]
        z = mq + np.exp(0.5 * lq) * eps
        logit, gen = self._mlp('gen', np.concatenate([cond, z], axis=1))
        nll = np.sum(softplus(logit) - target * logit, axis=1)
        kl = 0.5 * np.sum(lp - lq + (np.exp(lq) + (mq - mp) ** 2) * np.exp(-lp) - 1, axis=1)
        return Terms(nll + beta * kl, nll, kl), (target, eps, beta, mq, lq, mp, lp, logit, rec, pri, gen)

    def backward(self, dobjective, cache):
        target, eps, beta, mq, lq, mp, lp, logit, rec, pri, gen = cache
        grads = {}
        g = dobjective.reshape(-1, 1)
        dz = self._mlp_grad(g * (expit(logit) - target), gen, grads)[:, self.n_cond:]
        prec = np.exp(-lp)
        dmq = dz + beta * g * (mq - mp) * prec
        dlq = dz * 0.5 * np.exp(0.5 * lq) * eps + 0.5 * beta * g * (np.exp(lq) * prec - 1)
        dmp = beta * g * (mp - mq) * prec
        dlp = 0.5 * beta * g * (1 - np.exp(lq) * prec)
        self._mlp_grad(np.concatenate([dmp, dlp], axis=1), pri, grads)
        self._mlp_grad(np.concatenate([dmq, dlq], axis=1), rec, grads)
        return grads


def make_cvae():
    rng = np.random.RandomState(7)
    x = (rng.rand(4, 6) < 0.5).astype(np.float64)
    return dict(model=StructuredCVAE(seed=5), x=x, eps=rng.randn(4, 2), beta=0.7)


ITEMS.append(Item(
    "cvae-learned-prior", "research repository (structured output CVAE, Theano era)", "gradients", make_cvae, False,
    "the gradient at the prior's log variance lacks the distance of the means: "
    "dlp = 0.5 beta g (1 - (exp(lq) + (mq - mp)^2) exp(-lp))",
    ("pri_W", "pri_b", "pri_V", "pri_c"), ("missing-term",)))


class LadderVAE:
    """x -> z1 -> z2 upwards, z2 -> z1 -> x downwards; the layer z1 is estimated with its sample."""

    def __init__(self, x_dim=5, h_dim=4, z_dims=(3, 2), rng=None):
        self.z1, self.z2 = z_dims
        n = rng.normal
        self.params = {
            'enc1/w': n(0, .5, (x_dim, h_dim)), 'enc1/b': n(0, .1, h_dim),
            'q1/w': n(0, .5, (h_dim, 2 * self.z1)), 'q1/b': n(0, .1, 2 * self.z1),
            'q2/w': n(0, .5, (self.z1, 2 * self.z2)), 'q2/b': n(0, .1, 2 * self.z2),
            'p1/w': n(0, .5, (self.z2, 2 * self.z1)), 'p1/b': n(0, .1, 2 * self.z1),
            'px/w': n(0, .5, (self.z1, x_dim)), 'px/b': n(0, .1, x_dim)}

    def _lin(self, name, v):
        return v @ self.params[name + '/w'] + self.params[name + '/b']

    def _lin_back(self, name, v, d, grads):
        grads[name + '/w'] = v.T @ d
        grads[name + '/b'] = d.sum(axis=0)
        return d @ self.params[name + '/w'].T

    def objective(self, x, eps, beta=1.0):
        e1, e2 = eps[:, :self.z1], eps[:, self.z1:]
        h = np.tanh(self._lin('enc1', x))
        m1, s1 = np.split(self._lin('q1', h), 2, axis=1)
        z1 = m1 + np.exp(s1) * e1
        m2, s2 = np.split(self._lin('q2', z1), 2, axis=1)
        z2 = m2 + np.exp(s2) * e2
        mp, sp = np.split(self._lin('p1', z2), 2, axis=1)
        logits = self._lin('px', z1)
        nll = (np.logaddexp(0, logits) - x * logits).sum(axis=1)
        log_q1 = (-0.5 * e1 ** 2 - s1).sum(axis=1)
        log_p1 = (-0.5 * (z1 - mp) ** 2 * np.exp(-2 * sp) - sp).sum(axis=1)
        kl2 = 0.5 * (m2 ** 2 + np.exp(2 * s2) - 2 * s2 - 1).sum(axis=1)
        kl = log_q1 - log_p1 + kl2
        return Terms(nll + beta * kl, nll, kl), (x, e1, e2, beta, h, s1, z1, m2, s2, z2, mp, sp, logits)

    def backward(self, dobjective, cache):
        x, e1, e2, beta, h, s1, z1, m2, s2, z2, mp, sp, logits = cache
        grads = {}
        g = dobjective[:, None]
        gk = beta * g
        dz1 = self._lin_back('px', z1, g * (expit(logits) - x), grads)
        r = (z1 - mp) * np.exp(-2 * sp)
        dz1 = dz1 + gk * r
        dmp = gk * r
        dsp = gk * (1 - (z1 - mp) * r)
        dz2 = self._lin_back('p1', z2, np.concatenate([dmp, dsp], axis=1), grads)
        dm2 = dz2 + gk * m2
        ds2 = dz2 * np.exp(s2) * e2 + gk * (np.exp(2 * s2) - 1)
        dz1 = dz1 + self._lin_back('q2', z1, np.concatenate([dm2, ds2], axis=1), grads)
        ds1 = dz1 * np.exp(s1) * e1 - gk
        dh = self._lin_back('q1', h, np.concatenate([dz1, ds1], axis=1), grads)
        self._lin_back('enc1', x, dh * (1 - h ** 2), grads)
        return grads


def make_ladder():
    rng = np.random.default_rng(11)
    model = LadderVAE(rng=rng)
    return dict(model=model, x=rng.integers(0, 2, (3, 5)).astype(float), eps=rng.normal(size=(3, 5)), beta=1.0)


ITEMS.append(Item(
    "ladder-two-layers", "research repository (ladder VAE)", "gradients", make_ladder, False,
    "the gradient at the prior mean of z1 has the wrong sign: dmp = -gk (z1 - mp) exp(-2 sp)",
    ("p1/w", "p1/b", "q2/w", "q2/b", "q1/w", "q1/b", "enc1/w", "enc1/b"), ("sign",)))


class PlanarFlowVAE:
    """Rezende and Mohamed (2015): a Gaussian posterior pushed through planar maps z + u tanh(w.z + b)."""

    def __init__(self, dim, hidden, latent, n_flows, seed):
        r = np.random.default_rng(seed)
        self.n_flows = n_flows
        self.params = {'We': r.normal(size=(dim, hidden)) / 2, 'be': r.normal(size=hidden) / 10,
                       'Wm': r.normal(size=(hidden, latent)) / 2, 'Ws': r.normal(size=(hidden, latent)) / 2,
                       'Wd': r.normal(size=(latent, dim)), 'bd': r.normal(size=dim) / 10}
        for k in range(n_flows):
            self.params[f'flow{k}.w'] = r.normal(size=latent)
            self.params[f'flow{k}.u'] = 0.4 * r.normal(size=latent)
            self.params[f'flow{k}.b'] = 0.3 * r.normal(size=1)

    def objective(self, x, eps, beta=1.0):
        p = self.params
        h = np.tanh(x @ p['We'] + p['be'])
        mu, log_s = h @ p['Wm'], h @ p['Ws']
        z = mu + np.exp(log_s) * eps
        log_q = np.sum(-0.5 * eps ** 2 - log_s, axis=1)
        steps = []
        for k in range(self.n_flows):
            w, u, b = p[f'flow{k}.w'], p[f'flow{k}.u'], p[f'flow{k}.b']
            t = np.tanh(z @ w + b)
            slope = 1 - t ** 2
            det = 1 + slope * (u @ w)
            log_q = log_q - np.log(np.abs(det))
            steps.append((z, t, slope, det))
            z = z + t[:, None] * u
        logits = z @ p['Wd'] + p['bd']
        nll = np.sum(softplus(logits) - x * logits, axis=1)
        kl = log_q + 0.5 * np.sum(z ** 2, axis=1)
        return Terms(nll + beta * kl, nll, kl), (x, eps, beta, h, log_s, steps, z, logits)

    def backward(self, dobjective, cache):
        p = self.params
        x, eps, beta, h, log_s, steps, z, logits = cache
        grads = {}
        dlogits = dobjective[:, None] * (expit(logits) - x)
        grads['Wd'], grads['bd'] = z.T @ dlogits, dlogits.sum(0)
        dkl = beta * dobjective
        dz = dlogits @ p['Wd'].T + dkl[:, None] * z
        for k in reversed(range(self.n_flows)):
            w, u = p[f'flow{k}.w'], p[f'flow{k}.u']
            z_in, t, slope, det = steps[k]
            ddet = -dkl / det
            dt = dz @ u + ddet * (u @ w) * (-2 * t)
            da = dt * slope
            grads[f'flow{k}.u'] = t @ dz + (ddet @ slope) * w
            grads[f'flow{k}.w'] = da @ z_in
            grads[f'flow{k}.b'] = da.sum(keepdims=True)
            dz = dz + da[:, None] * w
        dlog_s = dz * np.exp(log_s) * eps - dkl[:, None]
        grads['Wm'], grads['Ws'] = h.T @ dz, h.T @ dlog_s
        dpre = (dz @ p['Wm'].T + dlog_s @ p['Ws'].T) * (1 - h ** 2)
        grads['We'], grads['be'] = x.T @ dpre, dpre.sum(0)
        return grads


def make_planar():
    rng = np.random.default_rng(21)
    x = rng.integers(0, 2, (4, 4)).astype(float)
    return dict(model=PlanarFlowVAE(4, 5, 2, 2, seed=22), x=x, eps=rng.normal(size=(4, 2)), beta=0.8)


ITEMS.append(Item(
    "planar-flows", "research repository (normalizing flows)", "gradients", make_planar, False,
    "w gets only its part through the tanh; the determinant has w directly too: "
    "da @ z_in + (ddet @ slope) * u",
    ("flow0.w", "flow1.w"), ("missing-term",)))


def event_sum(a):
    return np.sum(a, axis=-1)


def normal_log_prob(z, loc, log_scale):
    return event_sum(-0.5 * ((z - loc) * np.exp(-log_scale)) ** 2 - log_scale - 0.5 * LOG_2PI)


class IWAE:
    """Importance weighted autoencoder, ported from a vmapped version: noise (K, B, Z), loss -log mean_k w_k."""

    def __init__(self, key, d=4, h=5, z=2):
        self.params = dict(
            enc_kernel=key.normal(size=(d, h)) * 0.7, enc_bias=key.normal(size=h) * 0.1,
            loc_kernel=key.normal(size=(h, z)) * 0.7, scale_kernel=key.normal(size=(h, z)) * 0.5,
            dec_kernel=key.normal(size=(z, h)) * 0.7, dec_bias=key.normal(size=h) * 0.1,
            out_kernel=key.normal(size=(h, d)) * 0.7, out_bias=key.normal(size=d) * 0.1)

    def objective(self, x, eps):
        p = self.params
        h = np.tanh(x @ p['enc_kernel'] + p['enc_bias'])
        loc, log_scale = h @ p['loc_kernel'], h @ p['scale_kernel']
        z = loc + np.exp(log_scale) * eps
        g = np.tanh(z @ p['dec_kernel'] + p['dec_bias'])
        logits = g @ p['out_kernel'] + p['out_bias']
        log_lik = event_sum(x * logits - softplus(logits))
        log_w = log_lik + normal_log_prob(z, 0.0, 0.0 * z) - normal_log_prob(z, loc, log_scale)
        loss = -(logsumexp(log_w, axis=0) - np.log(eps.shape[0]))
        return Result(objective=loss), (x, eps, h, log_scale, z, g, logits, log_w)

    def backward(self, dobjective, cache):
        p = self.params
        x, eps, h, log_scale, z, g, logits, log_w = cache
        w_norm = softmax(log_w, axis=1)
        dlog_w = (-dobjective * w_norm)[..., None]
        dlogits = dlog_w * (x - expit(logits))
        dg = dlogits @ p['out_kernel'].T
        dpre = dg * (1 - g ** 2)
        dz = dpre @ p['dec_kernel'].T - dlog_w * z
        dloc = dz.sum(0)
        dlog_scale = (dz * np.exp(log_scale) * eps + dlog_w).sum(0)
        dh = dloc @ p['loc_kernel'].T + dlog_scale @ p['scale_kernel'].T
        dpre_h = dh * (1 - h ** 2)
        return dict(
            enc_kernel=x.T @ dpre_h, enc_bias=dpre_h.sum(0),
            loc_kernel=h.T @ dloc, scale_kernel=h.T @ dlog_scale,
            dec_kernel=np.einsum('kbz,kbh->zh', z, dpre), dec_bias=dpre.sum((0, 1)),
            out_kernel=np.einsum('kbh,kbd->hd', g, dlogits), out_bias=dlogits.sum((0, 1)))


def make_iwae():
    key = np.random.default_rng(31)
    return dict(model=IWAE(key), x=key.integers(0, 2, (4, 4)).astype(float), eps=key.normal(size=(3, 4, 2)))


ITEMS.append(Item(
    "iwae-loss", "JAX/TFP port", "gradients", make_iwae, False,
    "the weights are normalised over the rows of the batch, not over the draws: softmax(log_w, axis=0)",
    ("enc_kernel", "enc_bias", "loc_kernel", "scale_kernel", "dec_kernel", "dec_bias", "out_kernel", "out_bias"),
    ("shape", "elementwise-factor", "batch-sum")))


class SingleCellVAE:
    """Counts of genes with a negative binomial: the mean is library size times a softmax, a dispersion a gene."""

    def __init__(self, n_genes=5, n_hidden=4, n_latent=2, seed=0):
        rng = np.random.default_rng(seed)
        self.n_latent = n_latent
        self.params = {
            'encoder.weight': rng.normal(0, 0.4, (n_genes, n_hidden)), 'encoder.bias': rng.normal(0, 0.1, n_hidden),
            'mean.weight': rng.normal(0, 0.5, (n_hidden, n_latent)),
            'var.weight': rng.normal(0, 0.5, (n_hidden, n_latent)),
            'decoder.weight': rng.normal(0, 0.7, (n_latent, n_genes)), 'decoder.bias': rng.normal(0, 0.3, n_genes),
            'px_r': rng.normal(0.5, 0.7, n_genes)}

    def encode(self, x):
        p = self.params
        h = np.tanh(np.log1p(x) @ p['encoder.weight'] + p['encoder.bias'])
        return h @ p['mean.weight'], h @ p['var.weight'], h

    def objective(self, x, eps, beta=1.0):
        p = self.params
        qz_m, qz_lv, h = self.encode(x)
        z = qz_m + np.exp(0.5 * qz_lv) * eps
        library = x.sum(axis=1, keepdims=True)
        px_scale = softmax(z @ p['decoder.weight'] + p['decoder.bias'], axis=1)
        px_rate = library * px_scale
        theta = np.exp(p['px_r'])
        log_nb = (gammaln(x + theta) - gammaln(theta) - gammaln(x + 1)
                  + theta * (np.log(theta) - np.log(theta + px_rate))
                  + x * (np.log(px_rate) - np.log(theta + px_rate)))
        nll = -log_nb.sum(axis=1)
        kl = 0.5 * (np.exp(qz_lv) + qz_m ** 2 - 1 - qz_lv).sum(axis=1)
        return Terms(nll + beta * kl, nll, kl), (x, eps, beta, h, qz_m, qz_lv, z, library, px_scale, px_rate, theta)

    def backward(self, dobjective, cache):
        p = self.params
        x, eps, beta, h, qz_m, qz_lv, z, library, px_scale, px_rate, theta = cache
        d = dobjective[:, None]
        dtheta = -(digamma(x + theta) - digamma(theta) + np.log(theta) + 1 - np.log(theta + px_rate)
                   - (x + theta) / (theta + px_rate))
        drate = -d * (x / px_rate - (x + theta) / (theta + px_rate))
        dscale = drate * library
        dlogits = px_scale * (dscale - (dscale * px_scale).sum(axis=1, keepdims=True))
        dz = dlogits @ p['decoder.weight'].T
        dm = dz + d * beta * qz_m
        dlv = 0.5 * dz * eps * np.exp(0.5 * qz_lv) + 0.5 * d * beta * (np.exp(qz_lv) - 1)
        dpre = (dm @ p['mean.weight'].T + dlv @ p['var.weight'].T) * (1 - h ** 2)
        return {
            'encoder.weight': np.log1p(x).T @ dpre, 'encoder.bias': dpre.sum(axis=0),
            'mean.weight': h.T @ dm, 'var.weight': h.T @ dlv,
            'decoder.weight': z.T @ dlogits, 'decoder.bias': dlogits.sum(axis=0),
            'px_r': (d * dtheta).sum(axis=0)}


def make_single_cell():
    rng = np.random.default_rng(42)
    x = rng.poisson(3.0, (4, 5)).astype(float)
    return dict(model=SingleCellVAE(seed=41), x=x, eps=rng.normal(size=(4, 2)), beta=1.0)


ITEMS.append(Item(
    "negative-binomial-vae", "research repository (single cell counts)", "gradients", make_single_cell, False,
    "px_r is the log of the dispersion, its gradient lacks the slope of the exp: (d * dtheta * theta).sum(axis=0)",
    ("px_r",), ("elementwise-factor",)))


class MeanEmbedding:
    """Mean of the embeddings of the tokens of a row."""

    @staticmethod
    def forward(ctx, weight, tokens):
        ctx.saved = (weight.shape, tokens)
        return weight[tokens].mean(axis=1)

    @staticmethod
    def backward(ctx, grad_output):
        shape, tokens = ctx.saved
        grad_weight = np.zeros(shape)
        n = tokens.shape[1]
        grad_weight[tokens] += np.repeat(grad_output[:, None, :] / n, n, axis=1)
        return grad_weight


class Linear:
    @staticmethod
    def forward(ctx, inp, weight, bias):
        ctx.saved = (inp, weight)
        return inp @ weight.T + bias

    @staticmethod
    def backward(ctx, grad_output):
        inp, weight = ctx.saved
        return grad_output @ weight, grad_output.T @ inp, grad_output.sum(0)


class TokenNLL:
    """-sum_t log softmax(logits)[x_t], the order of the words plays no role."""

    @staticmethod
    def forward(ctx, logits, counts):
        logp = log_softmax(logits, axis=1)
        ctx.saved = (logp, counts)
        return -(counts * logp).sum(1)

    @staticmethod
    def backward(ctx, grad_output):
        logp, counts = ctx.saved
        return grad_output[:, None] * (counts.sum(1, keepdims=True) * np.exp(logp) - counts)


class DocumentVAE:
    def __init__(self, vocab=6, emb=4, latent=2, seed=0):
        rng = np.random.default_rng(seed)
        self.vocab = vocab
        self.params = {
            'emb': rng.standard_normal((vocab, emb)),
            'fc_mu.weight': 0.7 * rng.standard_normal((latent, emb)), 'fc_mu.bias': 0.1 * rng.standard_normal(latent),
            'fc_lv.weight': 0.7 * rng.standard_normal((latent, emb)), 'fc_lv.bias': 0.1 * rng.standard_normal(latent),
            'out.weight': rng.standard_normal((vocab, latent)), 'out.bias': 0.1 * rng.standard_normal(vocab)}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        tokens = np.asarray(x).astype(int)
        counts = np.stack([np.bincount(row, minlength=self.vocab) for row in tokens]).astype(float)
        ctx = [Result() for _ in range(5)]
        h = MeanEmbedding.forward(ctx[0], p['emb'], tokens)
        mu = Linear.forward(ctx[1], h, p['fc_mu.weight'], p['fc_mu.bias'])
        logvar = Linear.forward(ctx[2], h, p['fc_lv.weight'], p['fc_lv.bias'])
        std = np.exp(0.5 * logvar)
        logits = Linear.forward(ctx[3], mu + eps * std, p['out.weight'], p['out.bias'])
        nll = TokenNLL.forward(ctx[4], logits, counts)
        kl = -0.5 * (1 + logvar - mu ** 2 - std ** 2).sum(1)
        return Terms(nll + beta * kl, nll, kl), (ctx, eps, beta, mu, std)

    def backward(self, dobjective, cache):
        ctx, eps, beta, mu, std = cache
        grads = {}
        dlogits = TokenNLL.backward(ctx[4], dobjective)
        dz, grads['out.weight'], grads['out.bias'] = Linear.backward(ctx[3], dlogits)
        dkl = beta * dobjective[:, None]
        dlogvar = 0.5 * dz * eps * std + 0.5 * dkl * (std ** 2 - 1)
        dh1, grads['fc_lv.weight'], grads['fc_lv.bias'] = Linear.backward(ctx[2], dlogvar)
        dh2, grads['fc_mu.weight'], grads['fc_mu.bias'] = Linear.backward(ctx[1], dz + dkl * mu)
        grads['emb'] = MeanEmbedding.backward(ctx[0], dh1 + dh2)
        return grads


def make_document():
    rng = np.random.default_rng(52)
    x = np.array([[0, 3, 3, 1, 5], [2, 2, 4, 0, 3], [5, 1, 0, 0, 2], [4, 3, 1, 1, 1]])
    return dict(model=DocumentVAE(seed=51), x=x, eps=rng.standard_normal((4, 2)), beta=1.0)


ITEMS.append(Item(
    "document-vae", "PyTorch autograd.Function port", "gradients", make_document, False,
    "a token that stands more than once in the batch gets only one of its rows: np.add.at(grad_weight, tokens, ...), "
    "not grad_weight[tokens] += ...",
    ("emb",), ("batch-sum", "missing-term")))


class MinimalVAE:
    """Minimal VAE with a two-layer encoder. BSD License. tanh everywhere, sigmoid outputs."""

    def __init__(self, D, H, Z, seed):
        rs = np.random.RandomState(seed)
        model = {}
        model['Wx1'] = rs.randn(D, H) / np.sqrt(D)
        model['Wh1'] = rs.randn(H, H) / np.sqrt(H)
        model['Wmu'] = rs.randn(H, Z) / np.sqrt(H)
        model['Wlv'] = rs.randn(H, Z) / np.sqrt(H)
        model['Wzh'] = rs.randn(Z, H) / np.sqrt(Z)
        model['Why'] = rs.randn(H, D) / np.sqrt(H)
        self.params = model

    def objective(self, x, eps, beta=1.0):
        m = self.params
        h1 = np.tanh(np.dot(x, m['Wx1']))
        h2 = np.tanh(np.dot(h1, m['Wh1']))
        mu = np.dot(h2, m['Wmu'])
        lv = np.dot(h2, m['Wlv'])
        s = np.exp(lv / 2)
        z = mu + s * eps
        h3 = np.tanh(np.dot(z, m['Wzh']))
        y = 1.0 / (1.0 + np.exp(-np.dot(h3, m['Why'])))
        nll = -np.sum(x * np.log(y) + (1 - x) * np.log(1 - y), axis=1)
        kl = -0.5 * np.sum(1 + lv - mu * mu - s * s, axis=1)
        return Terms(nll + beta * kl, nll, kl), (x, eps, beta, h1, h2, mu, s, z, h3, y)

    def backward(self, dobjective, cache):
        m = self.params
        x, eps, beta, h1, h2, mu, s, z, h3, y = cache
        d = {}
        g = dobjective[:, np.newaxis]
        dy = g * (y - x)  # sigmoid and cross entropy in one
        d['Why'] = np.dot(h3.T, dy)
        dh3 = np.dot(dy, m['Why'].T) * (1 - h3 * h3)
        d['Wzh'] = np.dot(z.T, dh3)
        dz = np.dot(dh3, m['Wzh'].T)
        dmu = dz + g * beta * mu
        dlv = 0.5 * dz * s * eps + 0.5 * g * beta * (s * s - 1)
        d['Wmu'] = np.dot(h2.T, dmu)
        d['Wlv'] = np.dot(h2.T, dlv)
        dh2 = (np.dot(dmu, m['Wmu'].T) + np.dot(dlv, m['Wlv'].T)) * (1 - h2 * h2)
        d['Wh1'] = np.dot(h1.T, dh2)
        dh1 = np.dot(dh2, m['Wh1']) * (1 - h1 * h1)
        d['Wx1'] = np.dot(x.T, dh1)
        return d


def make_minimal():
    rs = np.random.RandomState(62)
    return dict(model=MinimalVAE(6, 4, 2, 61), x=(rs.rand(5, 6) > 0.5) * 1.0, eps=rs.randn(5, 2), beta=1.0)


ITEMS.append(Item(
    "minimal-vae", "Karpathy gist", "gradients", make_minimal, False,
    "the square matrix of the encoder is not transposed on the way back: np.dot(dh2, m['Wh1'].T)",
    ("Wx1",), ("transpose",)))


class SigmaVAE:
    """Gaussian decoder with one noise level for all pixels, learnt as log_sigma."""

    def __init__(self, d, k, rng):
        self.params = {
            'A': rng.normal(size=(d, k)) * 0.5, 'a': rng.normal(size=k) * 0.1,
            'C': rng.normal(size=(d, k)) * 0.3, 'c': rng.normal(size=k) * 0.1,
            'V': rng.normal(size=(k, d)), 'v': rng.normal(size=d) * 0.1,
            'log_sigma': np.array([-0.4])}

    def encode(self, x):
        p = self.params
        return x @ p['A'] + p['a'], x @ p['C'] + p['c'], x

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, logvar, _ = self.encode(x)
        z = mu + np.exp(logvar / 2) * eps
        mean = z @ p['V'] + p['v']
        log_sigma = p['log_sigma'][0]
        residual = (x - mean) / np.exp(log_sigma)
        d = x.shape[1]
        nll = 0.5 * (residual ** 2).sum(axis=1) + d * log_sigma + 0.5 * d * LOG_2PI
        kl = 0.5 * (mu ** 2 + np.exp(logvar) - logvar - 1).sum(axis=1)
        return Terms(nll + beta * kl, nll, kl), (x, eps, beta, mu, logvar, z, residual, log_sigma)

    def backward(self, dobjective, cache):
        p = self.params
        x, eps, beta, mu, logvar, z, residual, log_sigma = cache
        delta = dobjective[:, None]
        grad_mean = -delta * residual / np.exp(log_sigma)
        grad_log_sigma = dobjective @ (1 - (residual ** 2).sum(axis=1))
        grad_z = grad_mean @ p['V'].T
        grad_mu = grad_z + beta * delta * mu
        grad_logvar = grad_z * eps * np.exp(logvar / 2) / 2 + beta * delta * (np.exp(logvar) - 1) / 2
        return {
            'A': x.T @ grad_mu, 'a': grad_mu.sum(axis=0), 'C': x.T @ grad_logvar, 'c': grad_logvar.sum(axis=0),
            'V': z.T @ grad_mean, 'v': grad_mean.sum(axis=0), 'log_sigma': np.array([grad_log_sigma])}


def make_sigma():
    rng = np.random.default_rng(71)
    return dict(model=SigmaVAE(5, 2, rng), x=rng.normal(size=(3, 5)), eps=rng.normal(size=(3, 2)), beta=1.0)


ITEMS.append(Item(
    "sigma-vae", "deep learning book", "gradients", make_sigma, False,
    "log sigma stands in the objective once a pixel: x.shape[1] - (residual ** 2).sum(axis=1), not 1 - ...",
    ("log_sigma",), ("factor", "missing-term")))


class Dense:
    def __init__(self, units_in, units, activation=None, rng=None):
        limit = np.sqrt(6.0 / (units_in + units))
        self.kernel = rng.uniform(-limit, limit, (units_in, units))
        self.bias = rng.uniform(-0.1, 0.1, units)
        self.activation = activation

    def call(self, inputs):
        outputs = inputs @ self.kernel + self.bias
        if self.activation == 'elu':
            outputs = np.where(outputs > 0, outputs, np.expm1(np.minimum(outputs, 0)))
        return outputs, (inputs, outputs)

    def gradient(self, upstream, cache):
        inputs, outputs = cache
        if self.activation == 'elu':
            upstream = upstream * np.where(outputs > 0, 1.0, outputs + 1)
        return upstream @ self.kernel.T, inputs.T @ upstream, upstream.sum(axis=0)


class Sampling:
    """Uses (z_mean, z_log_var) to sample z and adds the KL divergence as an activity loss."""

    def call(self, z_mean, z_log_var, noise, beta):
        sigma = np.exp(0.5 * z_log_var)
        kl_loss = -0.5 * np.sum(1 + z_log_var - z_mean ** 2 - np.exp(z_log_var), axis=-1)
        return z_mean + sigma * noise, kl_loss, (z_mean, z_log_var, sigma, noise, beta)

    def gradient(self, dz, dloss, cache):
        z_mean, z_log_var, sigma, noise, beta = cache
        dloss = dloss[:, None]
        d_mean = dz + beta * dloss * z_mean
        d_log_var = dz * noise * 0.5 * sigma + 0.5 * dloss * (np.exp(z_log_var) - 1)
        return d_mean, d_log_var


class BetaVAE:
    def __init__(self, original_dim, intermediate_dim, latent_dim, seed):
        rng = np.random.default_rng(seed)
        self.layers = {
            'encoder_hidden': Dense(original_dim, intermediate_dim, 'elu', rng),
            'z_mean': Dense(intermediate_dim, latent_dim, None, rng),
            'z_log_var': Dense(intermediate_dim, latent_dim, None, rng),
            'decoder_hidden': Dense(latent_dim, intermediate_dim, 'elu', rng),
            'decoder_out': Dense(intermediate_dim, original_dim, None, rng)}
        self.sampling = Sampling()
        self.params = {}
        for name, layer in self.layers.items():
            self.params[name + '/kernel'] = layer.kernel
            self.params[name + '/bias'] = layer.bias

    def _call(self, name, inputs, caches):
        layer = self.layers[name]
        layer.kernel, layer.bias = self.params[name + '/kernel'], self.params[name + '/bias']
        outputs, caches[name] = layer.call(inputs)
        return outputs

    def _gradient(self, name, upstream, caches, grads):
        down, grads[name + '/kernel'], grads[name + '/bias'] = self.layers[name].gradient(upstream, caches[name])
        return down

    def objective(self, x, eps, beta):
        caches = {}
        h = self._call('encoder_hidden', x, caches)
        z_mean, z_log_var = self._call('z_mean', h, caches), self._call('z_log_var', h, caches)
        z, kl_loss, caches['sampling'] = self.sampling.call(z_mean, z_log_var, eps, beta)
        logits = self._call('decoder_out', self._call('decoder_hidden', z, caches), caches)
        nll = np.sum(np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits))), axis=-1)
        caches['loss'] = (x, logits)
        return Terms(nll + beta * kl_loss, nll, kl_loss), caches

    def backward(self, dobjective, caches):
        grads = {}
        x, logits = caches['loss']
        upstream = dobjective[:, None] * (expit(logits) - x)
        upstream = self._gradient('decoder_out', upstream, caches, grads)
        dz = self._gradient('decoder_hidden', upstream, caches, grads)
        d_mean, d_log_var = self.sampling.gradient(dz, dobjective, caches['sampling'])
        dh = self._gradient('z_mean', d_mean, caches, grads) + self._gradient('z_log_var', d_log_var, caches, grads)
        self._gradient('encoder_hidden', dh, caches, grads)
        return grads


def make_keras_beta():
    rng = np.random.default_rng(82)
    x = rng.integers(0, 2, (4, 6)).astype(float)
    return dict(model=BetaVAE(6, 5, 2, seed=81), x=x, eps=rng.normal(size=(4, 2)), beta=4.0)


ITEMS.append(Item(
    "beta-vae-layers", "Keras-like library", "gradients", make_keras_beta, False,
    "beta is forgotten in the KL's gradient at the log variance: 0.5 * beta * dloss * (np.exp(z_log_var) - 1)",
    ("z_log_var/kernel", "z_log_var/bias", "encoder_hidden/kernel", "encoder_hidden/bias"), ("factor",)))


# right ones

class FreeBitsVAE:
    """Bernoulli VAE with free bits: each latent pays at least lam nats."""

    def __init__(self, D=5, H=4, Z=3, lam=0.15, seed=0):
        rs = np.random.RandomState(seed)
        self.lam = lam
        self.params = dict(W1=rs.randn(H, D) * .6, b1=rs.randn(H) * .1,
                           W2=rs.randn(2 * Z, H) * .6, b2=rs.randn(2 * Z) * .1,
                           W3=rs.randn(H, Z) * .6, b3=rs.randn(H) * .1, W4=rs.randn(D, H) * .6, b4=rs.randn(D) * .1)

    def objective(self, x, eps, beta=1.0):
        p = self.params
        pre1 = x @ p['W1'].T + p['b1']
        h1 = np.where(pre1 > 0, pre1, 0.1 * pre1)
        stats = h1 @ p['W2'].T + p['b2']
        Z = eps.shape[1]
        mu, logvar = stats[:, :Z], stats[:, Z:]
        z = mu + np.exp(0.5 * logvar) * eps
        pre3 = z @ p['W3'].T + p['b3']
        h3 = np.where(pre3 > 0, pre3, 0.1 * pre3)
        logits = h3 @ p['W4'].T + p['b4']
        nll = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
        kl_dim = 0.5 * (mu ** 2 + np.exp(logvar) - 1 - logvar)
        kl = np.maximum(kl_dim, self.lam).sum(axis=1)
        return Terms(nll + beta * kl, nll, kl), (x, eps, beta, pre1, h1, mu, logvar, z, pre3, h3, logits, kl_dim)

    def backward(self, dobjective, cache):
        p = self.params
        x, eps, beta, pre1, h1, mu, logvar, z, pre3, h3, logits, kl_dim = cache
        dl = dobjective[:, None] * (expit(logits) - x)
        d3 = (dl @ p['W4']) * np.where(pre3 > 0, 1, 0.1)
        dz = d3 @ p['W3']
        dkl = dobjective[:, None] * beta * (kl_dim > self.lam)
        dmu = dz + dkl * mu
        dlv = 0.5 * (dz * eps * np.exp(0.5 * logvar) + dkl * (np.exp(logvar) - 1))
        ds = np.hstack([dmu, dlv])
        d1 = (ds @ p['W2']) * np.where(pre1 > 0, 1, 0.1)
        return dict(W1=d1.T @ x, b1=d1.sum(0), W2=ds.T @ h1, b2=ds.sum(0),
                    W3=d3.T @ z, b3=d3.sum(0), W4=dl.T @ h3, b4=dl.sum(0))


def make_free_bits():
    rs = np.random.RandomState(92)
    return dict(model=FreeBitsVAE(seed=91), x=(rs.rand(4, 5) > 0.4).astype(float), eps=rs.randn(4, 3), beta=1.0)


ITEMS.append(Item("free-bits", "blog post", "gradients", make_free_bits, True))


class RobustVAE:
    """Student-t pixels with a softplus scale each, softplus posterior scales, layer norm in the encoder."""

    def __init__(self, num_inputs=4, num_hidden=5, num_latent=2, df=3.0, seed=0):
        r = np.random.default_rng(seed)
        self.df = df
        self.params = {
            'enc_w': r.normal(size=(num_inputs, num_hidden)), 'enc_b': r.normal(size=num_hidden),
            'gain': 1 + 0.2 * r.normal(size=num_hidden), 'shift': 0.2 * r.normal(size=num_hidden),
            'loc_w': 0.5 * r.normal(size=(num_hidden, num_latent)),
            'rho_w': 0.5 * r.normal(size=(num_hidden, num_latent)),
            'dec_w': r.normal(size=(num_latent, num_inputs)), 'dec_b': r.normal(size=num_inputs),
            'scale_w': 0.5 * r.normal(size=(num_latent, num_inputs)), 'scale_b': r.normal(size=num_inputs)}

    def objective(self, x, eps):
        p, nu = self.params, self.df
        a = x @ p['enc_w'] + p['enc_b']
        centred = a - a.mean(axis=1, keepdims=True)
        inv = 1 / np.sqrt((centred ** 2).mean(axis=1, keepdims=True) + 1e-5)
        xhat = centred * inv
        n = xhat * p['gain'] + p['shift']
        h = n * expit(n)
        loc, rho = h @ p['loc_w'], h @ p['rho_w']
        scale = softplus(rho)
        z = loc + scale * eps
        m, q = z @ p['dec_w'] + p['dec_b'], z @ p['scale_w'] + p['scale_b']
        s = softplus(q) + 0.05
        t = (x - m) / s
        const = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
        nll = np.sum(0.5 * (nu + 1) * np.log1p(t ** 2 / nu) + np.log(s) - const, axis=1)
        kl = np.sum(0.5 * (scale ** 2 + loc ** 2 - 1) - np.log(scale), axis=1)
        return Terms(nll + kl, nll, kl), (x, eps, inv, xhat, n, h, loc, rho, scale, z, q, s, t)

    def backward(self, dobjective, cache):
        p, nu = self.params, self.df
        x, eps, inv, xhat, n, h, loc, rho, scale, z, q, s, t = cache
        g = dobjective[:, None]
        dt = g * (nu + 1) * t / (nu + t ** 2)
        dm = -dt / s
        dq = (g / s - dt * t / s) * expit(q)
        dz = dm @ p['dec_w'].T + dq @ p['scale_w'].T
        dloc = dz + g * loc
        drho = (dz * eps + g * (scale - 1 / scale)) * expit(rho)
        dh = dloc @ p['loc_w'].T + drho @ p['rho_w'].T
        sig = expit(n)
        dn = dh * (sig + n * sig * (1 - sig))
        dxhat = dn * p['gain']
        da = inv * (dxhat - dxhat.mean(axis=1, keepdims=True) - xhat * (dxhat * xhat).mean(axis=1, keepdims=True))
        return {
            'enc_w': x.T @ da, 'enc_b': da.sum(axis=0), 'gain': (dn * xhat).sum(axis=0), 'shift': dn.sum(axis=0),
            'loc_w': h.T @ dloc, 'rho_w': h.T @ drho, 'dec_w': z.T @ dm, 'dec_b': dm.sum(axis=0),
            'scale_w': z.T @ dq, 'scale_b': dq.sum(axis=0)}


def make_robust():
    r = np.random.default_rng(102)
    return dict(model=RobustVAE(seed=101), x=r.normal(size=(4, 4)), eps=r.normal(size=(4, 2)))


ITEMS.append(Item("student-t-layer-norm", "Pyro-like library", "gradients", make_robust, True))


class FilmCVAE:
    """The last n_cls columns of x are a one-hot label; it scales and shifts the decoder's hidden layer (FiLM)."""

    def __init__(self, n_pix=4, n_cls=3, n_hid=5, n_z=2, seed=0):
        g = np.random.RandomState(seed)
        self.n_pix, self.n_z = n_pix, n_z
        self.params = {'W_xh': g.randn(n_pix, n_hid) * .5, 'W_yh': g.randn(n_cls, n_hid) * .5,
                       'W_hm': g.randn(n_hid, n_z) * .5, 'W_hs': g.randn(n_hid, n_z) * .5,
                       'W_zd': g.randn(n_z, n_hid) * .7, 'gamma': 1 + g.randn(n_cls, n_hid) * .3,
                       'delta': g.randn(n_cls, n_hid) * .3, 'W_dx': g.randn(n_hid, n_pix) * .7,
                       'b_x': g.randn(n_pix) * .1}

    def objective(self, x, eps, beta=1.0):
        P = self.params
        pix, y = x[:, :self.n_pix], x[:, self.n_pix:]
        h = np.tanh(pix @ P['W_xh'] + y @ P['W_yh'])
        mu, ls = h @ P['W_hm'], h @ P['W_hs']
        sd = np.exp(ls)
        z = mu + sd * eps
        u = z @ P['W_zd']
        film = y @ P['gamma']
        d = np.tanh(film * u + y @ P['delta'])
        rate_log = d @ P['W_dx'] + P['b_x']
        rate = np.exp(rate_log)
        nll = (rate - pix * rate_log + gammaln(pix + 1)).sum(1)
        kl = (0.5 * (mu ** 2 + sd ** 2 - 1) - ls).sum(1)
        return Terms(nll + beta * kl, nll, kl), dict(pix=pix, y=y, eps=eps, beta=beta, h=h, mu=mu, sd=sd, z=z, u=u,
                                                     film=film, d=d, rate=rate)

    def backward(self, dobjective, c):
        P, G = self.params, {}
        w = dobjective[:, None]
        d_log = w * (c['rate'] - c['pix'])
        G['W_dx'], G['b_x'] = c['d'].T @ d_log, d_log.sum(0)
        d_pre = d_log @ P['W_dx'].T * (1 - c['d'] ** 2)
        G['gamma'] = c['y'].T @ (d_pre * c['u'])
        G['delta'] = c['y'].T @ d_pre
        d_u = d_pre * c['film']
        G['W_zd'] = c['z'].T @ d_u
        d_z = d_u @ P['W_zd'].T
        d_mu = d_z + c['beta'] * w * c['mu']
        d_ls = d_z * c['eps'] * c['sd'] + c['beta'] * w * (c['sd'] ** 2 - 1)
        G['W_hm'], G['W_hs'] = c['h'].T @ d_mu, c['h'].T @ d_ls
        d_h = (d_mu @ P['W_hm'].T + d_ls @ P['W_hs'].T) * (1 - c['h'] ** 2)
        G['W_xh'], G['W_yh'] = c['pix'].T @ d_h, c['y'].T @ d_h
        return G


def make_film():
    g = np.random.RandomState(112)
    x = np.hstack([g.poisson(2.0, (5, 4)).astype(float), np.eye(3)[[0, 2, 1, 1, 0]]])
    return dict(model=FilmCVAE(seed=111), x=x, eps=g.randn(5, 2), beta=0.5)


ITEMS.append(Item("film-poisson-cvae", "research repository (conditional generation)", "gradients", make_film, True))


class IAFVAE:
    """One step of inverse autoregressive flow, gated as in an LSTM: z = s * z0 + (1 - s) * m."""

    def __init__(self, d=4, h=5, n=3, seed=0):
        rng = np.random.default_rng(seed)
        self.mask = np.triu(np.ones((n, n)), 1)
        self.params = {
            'enc': rng.normal(size=(d, h)) * 0.5, 'mean': rng.normal(size=(h, n)) * 0.5,
            'logsd': rng.normal(size=(h, n)) * 0.3, 'ar_m': rng.normal(size=(n, n)),
            'ar_s': rng.normal(size=(n, n)), 'ar_s_bias': 1.0 + rng.normal(size=n) * 0.2,
            'ctx': rng.normal(size=(h, n)) * 0.5, 'dec': rng.normal(size=(n, d)), 'dec_bias': rng.normal(size=d) * 0.1}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        h = np.tanh(x @ p['enc'])
        mean, logsd = h @ p['mean'], h @ p['logsd']
        z0 = mean + np.exp(logsd) * eps
        logqs = -0.5 * (eps ** 2 + LOG_2PI) - logsd
        m = z0 @ (p['ar_m'] * self.mask) + h @ p['ctx']
        s_pre = z0 @ (p['ar_s'] * self.mask) + p['ar_s_bias']
        s = expit(s_pre)
        z = s * z0 + (1 - s) * m
        logqs = logqs + softplus(-s_pre)
        logps = -0.5 * (z ** 2 + LOG_2PI)
        logits = z @ p['dec'] + p['dec_bias']
        nll = (softplus(logits) - x * logits).sum(1)
        kl = (logqs - logps).sum(1)
        return Terms(nll + beta * kl, nll, kl), (x, eps, beta, h, logsd, z0, m, s, z, logits)

    def backward(self, dobjective, cache):
        p, mask = self.params, self.mask
        x, eps, beta, h, logsd, z0, m, s, z, logits = cache
        g = dobjective[:, None]
        dlogits = g * (expit(logits) - x)
        dz = dlogits @ p['dec'].T + beta * g * z
        dm = dz * (1 - s)
        ds_pre = dz * (z0 - m) * s * (1 - s) - beta * g * (1 - s)
        dz0 = dz * s + dm @ (p['ar_m'] * mask).T + ds_pre @ (p['ar_s'] * mask).T
        dlogsd = dz0 * eps * np.exp(logsd) - beta * g
        dh = dz0 @ p['mean'].T + dlogsd @ p['logsd'].T + dm @ p['ctx'].T
        return {
            'enc': x.T @ (dh * (1 - h ** 2)), 'mean': h.T @ dz0, 'logsd': h.T @ dlogsd,
            'ar_m': z0.T @ dm * mask, 'ar_s': z0.T @ ds_pre * mask, 'ar_s_bias': ds_pre.sum(0),
            'ctx': h.T @ dm, 'dec': z.T @ dlogits, 'dec_bias': dlogits.sum(0)}


def make_iaf():
    rng = np.random.default_rng(122)
    x = rng.integers(0, 2, (4, 4)).astype(float)
    return dict(model=IAFVAE(seed=121), x=x, eps=rng.normal(size=(4, 3)), beta=1.0)


ITEMS.append(Item("iaf-step", "research repository (inverse autoregressive flow)", "gradients", make_iaf, True))


class GumbelVAE:
    """N categorical latents of K classes, relaxed with temperature tau; eps is the Gumbel noise, (B, N K)."""

    def __init__(self, D=5, N=2, K=3, tau=0.7, seed=0):
        rng = np.random.default_rng(seed)
        self.N, self.K, self.tau = N, K, tau
        self.params = {'fc1.weight': rng.normal(size=(N * K, D)), 'fc1.bias': 0.1 * rng.normal(size=N * K),
                       'fc2.weight': rng.normal(size=(D, N * K)), 'fc2.bias': 0.1 * rng.normal(size=D)}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        q_y = x @ p['fc1.weight'].T + p['fc1.bias']
        q_y = q_y.reshape(-1, self.N, self.K)
        log_q = log_softmax(q_y, axis=-1)
        y = softmax((q_y + eps.reshape(q_y.shape)) / self.tau, axis=-1)
        flat = y.reshape(len(x), -1)
        logits = flat @ p['fc2.weight'].T + p['fc2.bias']
        nll = (softplus(logits) - x * logits).sum(-1)
        kl = (np.exp(log_q) * (log_q + np.log(self.K))).sum((1, 2))
        return Terms(nll + beta * kl, nll, kl), (x, beta, log_q, y, flat, logits)

    def backward(self, dobjective, cache):
        p = self.params
        x, beta, log_q, y, flat, logits = cache
        grad_logits = dobjective[:, None] * (expit(logits) - x)
        grad_y = (grad_logits @ p['fc2.weight']).reshape(y.shape)
        grad_q = y * (grad_y - (grad_y * y).sum(-1, keepdims=True)) / self.tau
        q = np.exp(log_q)
        entropy = -(q * log_q).sum(-1, keepdims=True)
        grad_q = grad_q + beta * dobjective[:, None, None] * q * (log_q + entropy)
        grad_q = grad_q.reshape(len(x), -1)
        return {'fc1.weight': grad_q.T @ x, 'fc1.bias': grad_q.sum(0),
                'fc2.weight': grad_logits.T @ flat, 'fc2.bias': grad_logits.sum(0)}


def make_gumbel():
    rng = np.random.default_rng(132)
    x = rng.integers(0, 2, (4, 5)).astype(float)
    return dict(model=GumbelVAE(seed=131), x=x, eps=rng.gumbel(size=(4, 6)), beta=0.9)


ITEMS.append(Item("gumbel-softmax-vae", "PyTorch tutorial port", "gradients", make_gumbel, True))


class ResidualHierarchy:
    """Top-down hierarchy; the lower group's posterior is given relative to its prior (delta mu, delta log sigma)."""

    def __init__(self, rng, x_dim=5, h_dim=4, top=2, low=3):
        self.top, self.low = top, low
        shapes = dict(stem=(x_dim, h_dim), post_top=(h_dim, 2 * top), prior_low=(top, 2 * low),
                      post_low=(h_dim + top, 2 * low), out=(top + low, x_dim))
        self.params = {}
        for name, shape in shapes.items():
            self.params[name + '_w'] = rng.normal(0, 0.5, shape)
            self.params[name + '_b'] = rng.normal(0, 0.1, shape[1])

    def _affine(self, name, inp, tape):
        tape.append((name, inp))
        return inp @ self.params[name + '_w'] + self.params[name + '_b']

    def objective(self, x, eps, beta=1.0):
        tape = []
        e2, e1 = eps[:, :self.top], eps[:, self.top:]
        h = np.tanh(self._affine('stem', x, tape))
        m2, s2 = np.split(self._affine('post_top', h, tape), 2, axis=1)
        z2 = m2 + np.exp(s2) * e2
        mp, sp = np.split(self._affine('prior_low', z2, tape), 2, axis=1)
        dm, ds = np.split(self._affine('post_low', np.hstack([h, z2]), tape), 2, axis=1)
        scale = np.exp(sp + ds)
        z1 = mp + dm + scale * e1
        mean = self._affine('out', np.hstack([z2, z1]), tape)
        nll = 0.5 * ((x - mean) ** 2 + LOG_2PI).sum(1)
        kl = 0.5 * (m2 ** 2 + np.exp(2 * s2) - 1 - 2 * s2).sum(1)
        kl = kl + 0.5 * (dm ** 2 * np.exp(-2 * sp) + np.exp(2 * ds) - 1 - 2 * ds).sum(1)
        return Terms(nll + beta * kl, nll, kl), (tape, x, e1, e2, beta, h, m2, s2, sp, dm, ds, scale, mean)

    def backward(self, dobjective, cache):
        tape, x, e1, e2, beta, h, m2, s2, sp, dm, ds, scale, mean = cache
        tape, grads = list(tape), {}

        def back(d):
            name, inp = tape.pop()
            grads[name + '_w'], grads[name + '_b'] = inp.T @ d, d.sum(0)
            return d @ self.params[name + '_w'].T

        g = dobjective[:, None]
        k = beta * g
        d_in = back(g * (mean - x))
        dz2, dz1 = d_in[:, :self.top], d_in[:, self.top:]
        d_scale = dz1 * e1 * scale
        d_dm = dz1 + k * dm * np.exp(-2 * sp)
        d_ds = d_scale + k * (np.exp(2 * ds) - 1)
        d_hz = back(np.hstack([d_dm, d_ds]))
        dh, dz2 = d_hz[:, :h.shape[1]], dz2 + d_hz[:, h.shape[1]:]
        dz2 = dz2 + back(np.hstack([dz1, d_scale - k * dm ** 2 * np.exp(-2 * sp)]))
        dh = dh + back(np.hstack([dz2 + k * m2, dz2 * e2 * np.exp(s2) + k * (np.exp(2 * s2) - 1)]))
        back(dh * (1 - h ** 2))
        return grads


def make_residual():
    rng = np.random.default_rng(141)
    return dict(model=ResidualHierarchy(rng), x=rng.normal(size=(3, 5)), eps=rng.normal(size=(3, 5)), beta=1.3)


ITEMS.append(Item("residual-hierarchy", "research repository (deep hierarchical VAE)", "gradients",
                  make_residual, True))


# ---------------------------------------------------------------------------------------------------------------
# samplers
# ---------------------------------------------------------------------------------------------------------------


def posterior(seed, b, z):
    rng = np.random.default_rng(seed)
    return dict(mu=rng.normal(0, 1.0, (b, z)), logvar=rng.normal(-0.4, 0.9, (b, z)))


def reparametrize(mu, logvar, eps):
    """Reparametrization trick: z = mu + std * eps."""
    std = np.exp(logvar)
    return mu + eps * std


ITEMS.append(Item(
    "reparametrize", "PyTorch examples port", "sampler",
    lambda: dict(sampler=reparametrize, **posterior(201, 4, 3)), False,
    "the variance stands for the standard deviation: std = np.exp(0.5 * logvar)",
    ("z",), ("elementwise-factor", "factor")))


class SamplingLayer:
    def __init__(self, seed=1337):
        self.random = np.random.default_rng(seed)

    def __call__(self, z_mean, z_log_var, epsilon=None):
        batch, dim = z_mean.shape
        epsilon = self.random.normal(0.0, 1.0, size=(batch, dim))
        return z_mean + np.exp(0.5 * z_log_var) * epsilon


ITEMS.append(Item(
    "sampling-layer", "Keras-like library", "sampler",
    lambda: dict(sampler=SamplingLayer(), **posterior(202, 3, 2)), False,
    "the layer draws its own noise at each call and drops the one it is given: draw only if epsilon is None",
    ("z",), ("noise-redrawn",)))


def gaussian_sample(mean, log_variance, noise):
    """Scales standard normal noise to each coordinate of the latent code."""
    scale = np.sqrt(np.exp(log_variance))
    sample = mean + scale * noise[:, :1]
    cache = {'scale': scale, 'noise': noise}
    return sample, cache


ITEMS.append(Item(
    "gaussian-sample", "deep learning book", "sampler",
    lambda: dict(sampler=gaussian_sample, **posterior(203, 4, 3)), False,
    "the first coordinate's noise is spread over all latents, which so are fully correlated: noise, not noise[:, :1]",
    ("z",), ("shape", "elementwise-factor")))


def sample_z(mu, log_var, eps):
    # mu, log_var: (N, Z) from the encoder
    sigma = np.exp(log_var / 2.)
    z = sigma * (mu + eps)
    return z, (sigma, eps)


ITEMS.append(Item(
    "sample-z", "Karpathy gist", "sampler",
    lambda: dict(sampler=sample_z, **posterior(204, 3, 4)), False,
    "the bracket is in the wrong place, the mean is multiplied with sigma too: mu + sigma * eps",
    ("z",), ("elementwise-factor",)))


def vae_reparam(mu, logvar, noise):
    """mu, logvar, noise are N x nz; the work is done with examples in columns, as in the original script."""
    nz = mu.shape[1]
    M, S, E = mu.T, np.exp(0.5 * logvar).reshape(nz, -1), noise.T
    Z = M + S * E
    return Z.T


ITEMS.append(Item(
    "columns-reparam", "MATLAB port", "sampler",
    lambda: dict(sampler=vae_reparam, **posterior(205, 4, 3)), False,
    "the standard deviations are reshaped where they should be transposed: np.exp(0.5 * logvar).T",
    ("z",), ("transpose",)))


class DiagonalGaussianDistribution:
    def __init__(self, mean, logvar):
        self.mean = mean
        logvar *= 0.5
        self.std = np.exp(logvar)

    def sample(self, noise):
        return self.mean + self.std * noise


def sample_posterior(mu, logvar, eps):
    return DiagonalGaussianDistribution(mu, logvar).sample(eps)


ITEMS.append(Item(
    "diagonal-gaussian", "research repository (latent diffusion)", "sampler",
    lambda: dict(sampler=sample_posterior, **posterior(206, 3, 3)), False,
    "the caller's logvar is halved in place: self.std = np.exp(0.5 * logvar) without logvar *= 0.5",
    ("logvar",), ("mutates-input",)))


def mvn_tril_sample(loc, log_diag, eps):
    """MultivariateNormalTriL with a diagonal covariance: the factor is found anew for each row."""
    cov = np.exp(log_diag)[:, :, None] * np.eye(loc.shape[1])
    chol = np.linalg.cholesky(cov)
    return loc + np.einsum('bij,bj->bi', chol, eps), {'scale_tril': chol}


ITEMS.append(Item("mvn-tril", "JAX/TFP port", "sampler",
                  lambda: dict(sampler=mvn_tril_sample, **posterior(207, 4, 3)), True))


def icdf_sample(mu, logvar, eps):
    """Draws by the inverse distribution function from u = Phi(eps)."""
    u = ndtr(eps)
    return mu + np.sqrt(np.exp(logvar)) * ndtri(u)


ITEMS.append(Item("inverse-cdf", "blog post", "sampler",
                  lambda: dict(sampler=icdf_sample, **posterior(208, 3, 2)), True))


def antithetic_sample(mu, logvar, eps):
    """The second of an antithetic pair: mu - sigma * eps, with sigma = 1 / sqrt(precision)."""
    precision = np.exp(-logvar)
    z = np.array(mu)
    z -= eps / np.sqrt(precision)
    return z


ITEMS.append(Item("antithetic", "research repository (variance reduction)", "sampler",
                  lambda: dict(sampler=antithetic_sample, **posterior(209, 5, 2)), True))


# ---------------------------------------------------------------------------------------------------------------
# evidence
# ---------------------------------------------------------------------------------------------------------------


class GaussianPixels:
    """Normal pixels with a mean and a log variance each."""

    n_params = 2
    support = (-np.inf, np.inf)

    def _split(self, logits):
        d = logits.shape[-1] // 2
        return logits[..., :d], logits[..., d:]

    def nll(self, x, logits):
        m, lv = self._split(logits)
        return 0.5 * ((x - m) ** 2 * np.exp(-lv) + lv + LOG_2PI).sum(axis=-1), (x, m, lv)

    def nll_backward(self, dnll, cache):
        x, m, lv = cache
        r = (x - m) * np.exp(-lv)
        return np.asarray(dnll)[..., None] * np.concatenate([-r, 0.5 * (1 - (x - m) * r)], axis=-1)

    def mean(self, logits):
        return self._split(logits)[0]

    def sample(self, logits, rng):
        m, lv = self._split(logits)
        return m + np.exp(0.5 * lv) * rng.standard_normal(m.shape)


class PoissonPixels:
    """Counts with a log rate each."""

    n_params = 1
    support = (0.0, np.inf)

    def nll(self, x, logits):
        return (np.exp(logits) - x * logits + gammaln(x + 1)).sum(axis=-1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        return np.asarray(dnll)[..., None] * (np.exp(logits) - x)

    def mean(self, logits):
        return np.exp(logits)

    def sample(self, logits, rng):
        return rng.poisson(np.exp(logits)).astype(float)


def binary(seed, b, d):
    return np.random.default_rng(seed).integers(0, 2, (b, d)).astype(float)


class TinyVAE:
    def __init__(self, D, H, Z, seed=0):
        rs = np.random.RandomState(seed)
        self.params = {'W1': rs.randn(D, H) * .7, 'Wm': rs.randn(H, Z) * .8, 'Ws': rs.randn(H, Z) * .6,
                       'W2': rs.randn(Z, H), 'W3': rs.randn(H, D), 'b3': rs.randn(D) * .3}

    def encode(self, x):
        h = np.tanh(np.dot(x, self.params['W1']))
        return np.dot(h, self.params['Wm']), np.dot(h, self.params['Ws']), h

    def decode(self, z):
        h = np.tanh(np.dot(z, self.params['W2']))
        return np.dot(h, self.params['W3']) + self.params['b3'], h

    def objective(self, x, eps):
        mu, lv, h = self.encode(x)
        z = mu + np.exp(lv / 2) * eps
        logits, hd = self.decode(z)
        nll = np.sum(np.log(1 + np.exp(logits)) - x * logits, axis=1)
        kl = -0.5 * np.sum(1 + lv - mu ** 2 - np.exp(lv), axis=1)
        elbo = -nll + kl
        return Bound(elbo, nll, kl), (x, eps, mu, lv, z, h, hd)


ITEMS.append(Item(
    "tiny-vae-elbo", "Karpathy gist", "evidence",
    lambda: dict(model=TinyVAE(5, 4, 2, seed=301), x=binary(302, 5, 5)), False,
    "the KL is added to the bound instead of subtracted: elbo = -nll - kl", ("elbo",), ("sign",)))


class TutorialVAE:
    """Encoder and decoder of one dense layer each; the losses are summed over the features."""

    def __init__(self, original_dim, latent_dim, seed):
        rng = np.random.default_rng(seed)
        self.params = {
            'z_mean': rng.normal(0, 0.8, (original_dim, latent_dim)), 'z_mean_bias': rng.normal(0, 0.5, latent_dim),
            'z_log_sigma2': rng.normal(0, 0.6, (original_dim, latent_dim)),
            'z_log_sigma2_bias': np.full(latent_dim, -0.8),
            'decoder': rng.normal(0, 1.2, (latent_dim, original_dim)), 'decoder_bias': rng.normal(0, 0.4, original_dim)}

    def encode(self, x):
        p = self.params
        return x @ p['z_mean'] + p['z_mean_bias'], x @ p['z_log_sigma2'] + p['z_log_sigma2_bias'], None

    def decode(self, z):
        return z @ self.params['decoder'] + self.params['decoder_bias'], None

    def objective(self, x, eps):
        z_mean, z_log_var, _ = self.encode(x)
        sigma = np.exp(0.5 * z_log_var)
        logits, _ = self.decode(z_mean + sigma * eps)
        reconstruction_loss = np.sum(np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits))), axis=-1)
        kl_loss = 1 + z_log_var - np.square(z_mean) - sigma
        kl_loss = -0.5 * np.sum(kl_loss, axis=-1)
        elbo = -(reconstruction_loss + kl_loss)
        return Bound(elbo, reconstruction_loss, kl_loss), (x, eps, z_mean, z_log_var, logits)


ITEMS.append(Item(
    "tutorial-vae-elbo", "Keras-like library", "evidence",
    lambda: dict(model=TutorialVAE(5, 2, seed=311), x=binary(312, 6, 5)), False,
    "the KL takes the standard deviation for the variance: 1 + z_log_var - z_mean^2 - np.exp(z_log_var)",
    ("elbo", "kl"), ("elementwise-factor", "factor")))


class HeteroscedasticVAE:
    """The decoder gives a mean and a log variance for each column of the table."""

    def __init__(self, n_in, n_hidden, seed):
        rng = np.random.default_rng(seed)
        n = rng.normal
        self.n_in = n_in
        self.params = {'We': n(0, .6, (n_in, n_hidden)), 'Wm': n(0, .6, (n_hidden, 1)), 'Wv': n(0, .6, (n_hidden, 1)),
                       'Wd': n(0, .9, (1, n_hidden)), 'bd': n(0, .5, n_hidden),
                       'Wo': n(0, .6, (n_hidden, 2 * n_in)), 'bo': n(-0.3, .4, 2 * n_in)}

    def encode(self, x):
        h = np.maximum(x @ self.params['We'], 0)
        return h @ self.params['Wm'], h @ self.params['Wv'] - 0.5, h

    def decode(self, z):
        h = np.tanh(z @ self.params['Wd'] + self.params['bd'])
        return h @ self.params['Wo'] + self.params['bo'], h

    def objective(self, x, eps):
        mu, logvar, _ = self.encode(x)
        z = mu + eps * np.exp(0.5 * logvar)
        out, _ = self.decode(z)
        x_mu, x_logvar = out[:, :self.n_in], out[:, self.n_in:]
        nll = 0.5 * np.sum((x - x_mu) ** 2 / np.exp(x_logvar) + np.log(2 * np.pi), axis=1)
        kl = 0.5 * np.sum(np.exp(logvar) + mu ** 2 - 1. - logvar, axis=1)
        return Bound(-nll - kl, nll, kl), (x, eps, mu, logvar, z, out)


ITEMS.append(Item(
    "tabular-vae-elbo", "research repository (anomaly detection)", "evidence",
    lambda: dict(model=HeteroscedasticVAE(4, 5, seed=321), x=np.random.default_rng(322).normal(size=(5, 4)),
                 likelihood=GaussianPixels()), False,
    "the log variance of the normal density is missing: "
    "0.5 * sum((x - x_mu)^2 / exp(x_logvar) + x_logvar + log(2 pi))",
    ("elbo", "nll"), ("missing-term",)))


class ImportanceWeightedBound:
    def __init__(self, d, h, z, num_samples, seed):
        key = np.random.default_rng(seed)
        self.num_samples, self.z_dim = num_samples, z
        self.params = {'w_enc': key.normal(size=(d, h)), 'w_loc': key.normal(size=(h, z)) * .5,
                       'w_lv': key.normal(size=(h, z)) * .4, 'w_dec': key.normal(size=(z, d)),
                       'b_dec': key.normal(size=d) * .3}

    def draw_eps(self, batch, rng):
        return rng.standard_normal((self.num_samples, batch, self.z_dim))

    def encode(self, x):
        h = np.tanh(x @ self.params['w_enc'])
        return h @ self.params['w_loc'], h @ self.params['w_lv'], h

    def decode(self, z):
        return z @ self.params['w_dec'] + self.params['b_dec'], z

    def log_weights(self, x, eps):
        loc, lv, _ = self.encode(x)
        z = loc + np.exp(0.5 * lv) * eps
        logits, _ = self.decode(z)
        log_px = np.sum(x * logits - softplus(logits), axis=-1)
        log_pz = np.sum(-0.5 * z ** 2 - 0.5 * LOG_2PI, axis=-1)
        log_qz = np.sum(-0.5 * eps ** 2 - 0.5 * lv - 0.5 * LOG_2PI, axis=-1)
        return log_px + log_pz - log_qz

    def objective(self, x, eps):
        log_w = self.log_weights(x, eps)
        peak = log_w.max(axis=0)
        elbo = peak + np.log(np.sum(np.exp(log_w - peak), axis=0))
        return Result(elbo=elbo), (x, eps, log_w)


ITEMS.append(Item(
    "iwae-bound", "JAX/TFP port", "evidence",
    lambda: dict(model=ImportanceWeightedBound(5, 4, 2, 5, seed=331), x=binary(332, 4, 5)), False,
    "the weights are summed, not averaged, log K is not taken off: np.log(np.mean(np.exp(log_w - peak), axis=0))",
    ("elbo",), ("missing-term", "factor")))


class CountVAE:
    """Poisson counts; the encoder reads log1p of them."""

    likelihood = PoissonPixels()

    def __init__(self, n_items, n_latent, seed):
        r = np.random.RandomState(seed)
        self.params = {'phi_mu': .5 * r.randn(n_items, n_latent), 'phi_lv': .5 * r.randn(n_items, n_latent),
                       'theta': .6 * r.randn(n_latent, n_items), 'bias': .3 + .3 * r.randn(n_items)}

    def encode(self, x):
        y = np.log1p(x)
        return y @ self.params['phi_mu'], y @ self.params['phi_lv'] - .5, y

    def decode(self, z):
        return z @ self.params['theta'] + self.params['bias'], z

    def objective(self, x, eps):
        mu, lv, _ = self.encode(x)
        log_rate, _ = self.decode(mu + np.exp(.5 * lv) * eps)
        neg_ll, _ = self.likelihood.nll(x, log_rate)
        KLD = (-.5 * np.sum(1 + lv - mu ** 2 - np.exp(lv), axis=1)).mean()
        elbo = -neg_ll - KLD
        return Result(elbo=elbo, nll=neg_ll), (x, eps, mu, lv)


ITEMS.append(Item(
    "count-vae-elbo", "research repository (recommender)", "evidence",
    lambda: dict(model=CountVAE(5, 2, seed=341),
                 x=np.random.RandomState(342).poisson(1.5, (5, 5)).astype(float)), False,
    "every row is charged the batch's mean KL, not its own: elbo = -neg_ll - KLD with KLD (B,), without .mean()",
    ("elbo",), ("batch-sum", "shape")))


class VariationalAutoencoder:
    """A VAE for the exercises of the chapter: x -> h -> (m, log s^2) -> z -> g -> logits."""

    def __init__(self, rng, inputs=6, hidden=4, latents=1):
        self.params = {
            'U': rng.normal(size=(inputs, hidden)) * 0.6, 'M': rng.normal(size=(hidden, latents)) * 0.6,
            'S': rng.normal(size=(hidden, latents)) * 0.4, 'G': rng.normal(size=(latents, hidden)) * 1.5,
            'O': rng.normal(size=(hidden, inputs)) * 1.2, 'o': rng.normal(size=inputs) * 0.2}

    def encode(self, x):
        h = np.tanh(x @ self.params['U'])
        return h @ self.params['M'], h @ self.params['S'], h

    def reparameterize(self, m, log_s2, eps):
        return m + np.exp(0.5 * log_s2) * eps

    def decode(self, z):
        g = np.tanh(z @ self.params['G'])
        return g @ self.params['O'] + self.params['o'], g

    def objective(self, x, eps):
        m, log_s2, h = self.encode(x)
        z = self.reparameterize(m, log_s2, eps)
        logits, g = self.decode(m)
        nll = np.sum(softplus(logits) - x * logits, axis=1)
        kl = 0.5 * np.sum(m ** 2 + np.exp(log_s2) - log_s2 - 1, axis=1)
        return Bound(-nll - kl, nll, kl), (x, eps, m, log_s2, h, z, g, logits)


ITEMS.append(Item(
    "chapter-vae-elbo", "deep learning book", "evidence",
    lambda: dict(model=VariationalAutoencoder(np.random.default_rng(351)), x=binary(352, 5, 6)), False,
    "the posterior's mean is decoded and not its sample: self.decode(z)",
    ("elbo", "nll"), ("missing-term", "elementwise-factor", "zero")))


class SampledKLVAE:
    """Estimates the KL with the sample as well: log q(z|x) - log p(z)."""

    def __init__(self, seed, d=5, z=2):
        r = np.random.default_rng(seed)
        self.params = {'loc': r.normal(size=(d, z)) * .7, 'raw': r.normal(size=(d, z)) * .5,
                       'dec': r.normal(size=(z, d)) * 1.1, 'bias': r.normal(size=d) * .3}

    def encode(self, x):
        sigma = softplus(x @ self.params['raw']) + 0.1
        return x @ self.params['loc'], 2 * np.log(sigma), sigma

    def decode(self, z):
        return z @ self.params['dec'] + self.params['bias'], z

    def objective(self, x, eps):
        mu, _, sigma = self.encode(x)
        z = mu + sigma * eps
        logits, _ = self.decode(z)
        log_px = np.sum(x * logits - softplus(logits), axis=-1)
        log_pz = -0.5 * np.sum(z ** 2 + LOG_2PI, axis=-1)
        log_qz = -0.5 * np.sum(((z - mu) / sigma) ** 2 + 2 * np.log(sigma) + LOG_2PI, axis=-1)
        return Bound(log_px + log_pz - log_qz, -log_px, log_qz - log_pz), (x, eps, mu, sigma, z, logits)


ITEMS.append(Item("sampled-kl-elbo", "Pyro-like library", "evidence",
                  lambda: dict(model=SampledKLVAE(361), x=binary(362, 5, 5)), True))


class GaussianIWAE:
    """K importance samples, normal pixels with their own scales; the noise is (K, B, Z)."""

    likelihood = GaussianPixels()
    K = 4

    def __init__(self, seed, d=3, h=4, z=1):
        r = np.random.RandomState(seed)
        self.z = z
        self.params = {'W': r.randn(d, h) * .5, 'Wm': r.randn(h, z) * .5, 'Wl': r.randn(h, z) * .5,
                       'V': r.randn(z, h), 'Vx': r.randn(h, 2 * d) * .4, 'vx': r.randn(2 * d) * .2}

    def draw_eps(self, B, rng):
        return rng.standard_normal((self.K, B, self.z))

    def encode(self, x):
        h = np.tanh(x @ self.params['W'])
        return h @ self.params['Wm'], h @ self.params['Wl'], h

    def decode(self, z):
        h = np.tanh(z @ self.params['V'])
        return h @ self.params['Vx'] + self.params['vx'], h

    def objective(self, x, eps):
        mu, lv, _ = self.encode(x)
        z = mu[None] + np.exp(0.5 * lv)[None] * eps
        nll = np.stack([self.likelihood.nll(x, self.decode(zk)[0])[0] for zk in z])
        log_w = -nll + 0.5 * (eps ** 2 + lv - z ** 2).sum(-1)
        return Result(elbo=logsumexp(log_w, axis=0, b=1.0 / len(eps))), (x, eps, log_w)


ITEMS.append(Item("gaussian-iwae-bound", "research repository (importance weighted autoencoders)", "evidence",
                  lambda: dict(model=GaussianIWAE(371), x=np.random.RandomState(372).randn(4, 3)), True))


class GreyVAE:
    """Grey values in [0, 1] under the cross entropy, computed with logits."""

    def __init__(self, D=6, H=5, Z=2, seed=0):
        rs = np.random.RandomState(seed)
        p = self.params = {}
        p['W_enc'], p['b_enc'] = rs.randn(D, H) * .8, rs.randn(H) * .1
        p['W_lat'], p['b_lat'] = rs.randn(H, 2 * Z) * .5, rs.randn(2 * Z) * .1
        p['W_dec'], p['b_dec'] = rs.randn(Z, H), rs.randn(H) * .1
        p['W_out'], p['b_out'] = rs.randn(H, D), rs.randn(D) * .1

    def encode(self, x):
        p = self.params
        h = np.maximum(0, x.dot(p['W_enc']) + p['b_enc'])
        lat = h.dot(p['W_lat']) + p['b_lat']
        mu, logvar = np.array_split(lat, 2, axis=1)
        return mu, logvar, h

    def decode(self, z):
        p = self.params
        h = np.maximum(0, z.dot(p['W_dec']) + p['b_dec'])
        return h.dot(p['W_out']) + p['b_out'], h

    def objective(self, x, eps):
        mu, logvar, _ = self.encode(x)
        sigma = np.exp(logvar / 2)
        logits, _ = self.decode(mu + sigma * eps)
        nll = np.sum(x * softplus(-logits) + (1 - x) * softplus(logits), axis=1)
        kl = np.sum((mu ** 2 + sigma ** 2) / 2 - np.log(sigma) - 0.5, axis=1)
        return Bound(-(nll + kl), nll, kl), (x, eps, mu, logvar, logits)


ITEMS.append(Item("grey-vae-elbo", "CS231n assignment", "evidence",
                  lambda: dict(model=GreyVAE(seed=381), x=np.random.RandomState(382).rand(6, 6)), True))


# ---------------------------------------------------------------------------------------------------------------
# likelihoods
# ---------------------------------------------------------------------------------------------------------------


class LaplaceLikelihood:
    """p(x) with location m and log scale s, an L1 loss with a scale that is learnt."""

    n_params = 2

    def nll(self, x, logits):
        m, s = np.split(logits, 2, axis=1)
        diff = (x - m) / np.exp(s)
        return np.sum(np.abs(diff) + s, axis=1), (diff, s)

    def nll_backward(self, dnll, cache):
        diff, s = cache
        dm = -np.sign(diff) / np.exp(s)
        ds = 1 - np.abs(diff)
        return dnll[:, None] * np.concatenate([dm, ds], axis=1)

    def mean(self, logits):
        return np.split(logits, 2, axis=1)[0]

    def sample(self, logits, rng):
        m, s = np.split(logits, 2, axis=1)
        return rng.laplace(m, np.exp(s))


ITEMS.append(Item(
    "laplace", "PyTorch distributions port", "likelihood", lambda: dict(p=LaplaceLikelihood()), False,
    "the density's constant lacks the 2: np.abs(diff) + s + np.log(2)", ("nll",), ("missing-term", "factor")))


class GammaLikelihood:
    """Positive data: concentration exp(first), rate exp(second)."""

    n_params = 2
    support = (0.0, np.inf)

    def _params(self, logits):
        d = logits.shape[1] // 2
        return np.exp(logits[:, :d]), np.exp(logits[:, d:])

    def nll(self, x, logits):
        concentration, rate = self._params(logits)
        log_prob = (concentration * np.log(rate) + (concentration - 1) * np.log(x)
                    - rate * x - gammaln(concentration))
        return -log_prob.sum(axis=1), (x, concentration, rate)

    def nll_backward(self, dnll, cache):
        x, concentration, rate = cache
        d_conc = digamma(concentration) - np.log(rate) - np.log(x)
        d_rate = x - concentration / rate
        return dnll[:, None] * np.hstack([d_conc * concentration, d_rate * rate])

    def mean(self, logits):
        concentration, rate = self._params(logits)
        return concentration / rate

    def sample(self, logits, rng):
        concentration, rate = self._params(logits)
        return rng.gamma(concentration, rate)


ITEMS.append(Item(
    "gamma", "JAX/TFP port", "likelihood", lambda: dict(p=GammaLikelihood()), False,
    "NumPy's gamma takes the scale and is given the rate: rng.gamma(concentration, 1 / rate)",
    ("sample",), ("elementwise-factor",)))


class LogNormal:
    """log x is normal with mean m and standard deviation exp(t)."""

    n_params = 2
    support = (0., np.inf)

    def nll(self, x, logits):
        D = x.shape[1]
        m, t = logits[:, :D], logits[:, D:]
        r = (np.log(x) - m) * np.exp(-t)
        return np.sum(0.5 * r ** 2 + t + np.log(x) + 0.5 * LOG_2PI, axis=1), (r, t)

    def nll_backward(self, dnll, cache):
        r, t = cache
        return np.hstack([-r * np.exp(-t), 1 - r ** 2]) * dnll[:, None]

    def mean(self, logits):
        m, t = np.hsplit(logits, 2)
        return np.exp(m)

    def sample(self, logits, rng):
        m, t = np.hsplit(logits, 2)
        return np.exp(m + np.exp(t) * rng.standard_normal(m.shape))


ITEMS.append(Item(
    "log-normal", "research repository (audio envelopes)", "likelihood", lambda: dict(p=LogNormal()), False,
    "that is the median, the mean has half the variance in the exponent too: np.exp(m + 0.5 * np.exp(2 * t))",
    ("mean",), ("missing-term", "elementwise-factor")))


class Logistic:
    """Logistic density, location and log scale."""

    n_params = 2

    def nll(self, x, logits):
        loc, log_scale = np.split(logits, 2, axis=-1)
        u = (x - loc) * np.exp(-log_scale)
        return (u + log_scale + 2 * softplus(-u)).sum(-1), (u, log_scale)

    def nll_backward(self, dnll, cache):
        u, log_scale = cache
        du = np.tanh(0.5 * u)
        dloc = -du * np.exp(-log_scale)
        dlog_scale = 1 - du
        return dnll[:, None] * np.concatenate([dloc, dlog_scale], axis=-1)

    def mean(self, logits):
        return logits[:, :logits.shape[1] // 2]

    def sample(self, logits, rng):
        loc, log_scale = np.split(logits, 2, axis=-1)
        q = rng.uniform(size=loc.shape)
        return loc + np.exp(log_scale) * (np.log(q) - np.log1p(-q))


ITEMS.append(Item(
    "logistic", "research repository (PixelCNN++ without bins)", "likelihood", lambda: dict(p=Logistic()), False,
    "the gradient at the log scale lacks the u that the chain rule brings: 1 - du * u",
    ("dlogits",), ("elementwise-factor",)))


class StudentT:
    n_params = 2

    def __init__(self, df=6.0):
        self.df = df

    def nll(self, x, logits):
        loc, raw = np.split(logits, 2, axis=1)
        scale = softplus(raw) + 0.1
        y = (x - loc) / scale
        v = self.df
        norm = 0.5 * np.log(v * np.pi) + gammaln(0.5 * v) - gammaln(0.5 * (v + 1))
        nll = np.sum(0.5 * (v + 1) * np.log1p(y ** 2 / v) + np.log(scale) + norm, axis=1)
        return nll, (y, scale, raw)

    def nll_backward(self, dnll, cache):
        y, scale, raw = cache
        dy = (self.df + 1) * y / (self.df + y ** 2)
        dscale = (1 - dy * y) / scale
        return np.concatenate([-dy / scale, dscale * expit(raw)], axis=1) * dnll[:, None]

    def mean(self, logits):
        return np.split(logits, 2, axis=1)[0]

    def sample(self, logits, rng):
        loc, raw = np.split(logits, 2, axis=1)
        return loc + (softplus(raw) + 0.1) * rng.standard_t(self.df, size=loc.shape)


ITEMS.append(Item("student-t", "Pyro-like library", "likelihood", lambda: dict(p=StudentT()), True))


class BetaLikelihood:
    """Grey values in (0, 1): alpha = 1 + softplus, beta = 1 + softplus, so that the density stays bounded."""

    n_params = 2
    support = (0.0, 1.0)

    def nll(self, x, logits):
        d = x.shape[1]
        a, b = 1 + softplus(logits[:, :d]), 1 + softplus(logits[:, d:])
        log_b = gammaln(a) + gammaln(b) - gammaln(a + b)
        return (log_b - (a - 1) * np.log(x) - (b - 1) * np.log1p(-x)).sum(axis=1), (x, logits, a, b)

    def nll_backward(self, dnll, cache):
        x, logits, a, b = cache
        common = digamma(a + b)
        da = digamma(a) - common - np.log(x)
        db = digamma(b) - common - np.log1p(-x)
        return dnll[:, None] * np.concatenate([da, db], axis=1) * expit(logits)

    def mean(self, logits):
        a, b = np.split(1 + softplus(logits), 2, axis=1)
        return a / (a + b)

    def sample(self, logits, rng):
        a, b = np.split(1 + softplus(logits), 2, axis=1)
        ga = rng.gamma(a)
        return ga / (ga + rng.gamma(b))


ITEMS.append(Item("beta-density", "Keras-like library", "likelihood", lambda: dict(p=BetaLikelihood()), True))


class TruncatedExponential:
    """The continuous Bernoulli by its natural parameter: p(x) = eta exp(eta x) / (exp(eta) - 1) on [0, 1]."""

    n_params = 1
    support = (0.0, 1.0)

    @staticmethod
    def _safe(eta):
        return np.where(np.abs(eta) < 1e-3, 1e-3, eta)

    def _log_norm(self, eta):
        e = self._safe(eta)
        exact = np.maximum(e, 0) + np.log(-np.expm1(-np.abs(e))) - np.log(np.abs(e))
        return np.where(np.abs(eta) < 1e-3, eta / 2 + eta ** 2 / 24, exact)

    def nll(self, x, logits):
        return np.sum(self._log_norm(logits) - x * logits, axis=1), (x, logits)

    def nll_backward(self, dnll, cache):
        x, logits = cache
        return dnll[:, None] * (self.mean(logits) - x)

    def mean(self, logits):
        e = self._safe(logits)
        return np.where(np.abs(logits) < 1e-3, 0.5 + logits / 12, -1 / np.expm1(-e) - 1 / e)

    def sample(self, logits, rng):
        u = rng.uniform(size=logits.shape)
        e = self._safe(logits)
        return np.where(np.abs(logits) < 1e-3, u, np.log1p(u * np.expm1(e)) / e)


ITEMS.append(Item("continuous-bernoulli", "research repository (continuous Bernoulli)", "likelihood",
                  lambda: dict(p=TruncatedExponential()), True))


# ---------------------------------------------------------------------------------------------------------------
# optimizers
# ---------------------------------------------------------------------------------------------------------------


class PlainAdam:
    """Reference: Kingma and Ba, algorithm 1; with amsgrad the largest corrected second moment so far."""

    def __init__(self, lr=0.01, b1=0.9, b2=0.999, eps=1e-8, amsgrad=False):
        self.lr, self.b1, self.b2, self.eps, self.amsgrad = lr, b1, b2, eps, amsgrad
        self.t, self.m, self.v, self.top = 0, {}, {}, {}

    def step(self, params, grads):
        self.t += 1
        for k in params:
            g = grads[k]
            self.m[k] = self.b1 * self.m.get(k, 0.0) + (1 - self.b1) * g
            self.v[k] = self.b2 * self.v.get(k, 0.0) + (1 - self.b2) * g * g
            v = self.v[k] / (1 - self.b2 ** self.t)
            if self.amsgrad:
                v = self.top[k] = np.maximum(self.top.get(k, 0.0), v)
            params[k] -= self.lr * self.m[k] / (1 - self.b1 ** self.t) / (np.sqrt(v) + self.eps)


class Adam:
    def __init__(self, learning_rate=0.01, beta1=0.9, beta2=0.999, epsilon=1e-8):
        self.learning_rate = learning_rate
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.iter = 0
        self.m = None
        self.v = None

    def step(self, params, grads):
        if self.m is None:
            self.m = {key: np.zeros_like(val) for key, val in params.items()}
            self.v = {key: np.zeros_like(val) for key, val in params.items()}

        for key in params.keys():
            self.iter += 1
            self.m[key] = self.beta1 * self.m[key] + (1 - self.beta1) * grads[key]
            self.v[key] = self.beta2 * self.v[key] + (1 - self.beta2) * grads[key] ** 2
            m_hat = self.m[key] / (1 - self.beta1 ** self.iter)
            v_hat = self.v[key] / (1 - self.beta2 ** self.iter)
            params[key] -= self.learning_rate * m_hat / (np.sqrt(v_hat) + self.epsilon)


ITEMS.append(Item(
    "adam-counter", "deep learning book", "optimizer", lambda: dict(optimizer=Adam(), reference=PlainAdam()), False,
    "the step counter goes up once an array, not once a step, and the bias corrections 1 - beta^t with it: "
    "self.iter += 1 belongs before the loop", ("params",), ("factor", "elementwise-factor")))


class PlainNesterov:
    """Reference: look ahead along the velocity, in the form with the gradient at the parameters kept."""

    def __init__(self, lr, mu):
        self.lr, self.mu, self.v = lr, mu, {}

    def step(self, params, grads):
        for k in params:
            self.v[k] = self.mu * self.v.get(k, 0.0) - self.lr * grads[k]
            params[k] += self.mu * self.v[k] - self.lr * grads[k]


class NesterovSGD:
    def __init__(self, learning_rate=0.05, momentum=0.9):
        self.config = {'learning_rate': learning_rate, 'momentum': momentum}
        self.velocity = {}

    def step(self, params, grads):
        mu, lr = self.config['momentum'], self.config['learning_rate']
        for p, w in params.items():
            dw = grads[p]
            v = self.velocity.get(p, np.zeros_like(w))
            v_prev = v
            v = mu * v - lr * dw
            w += mu * v_prev + (1 + mu) * v
            self.velocity[p] = v


ITEMS.append(Item(
    "nesterov", "CS231n assignment", "optimizer",
    lambda: dict(optimizer=NesterovSGD(), reference=PlainNesterov(0.05, 0.9)), False,
    "the previous velocity is added where it is taken back: w += -mu * v_prev + (1 + mu) * v", ("params",), ("sign",)))


class PlainMomentum:
    """Reference: heavy ball with an L2 penalty in the gradient."""

    def __init__(self, lr, momentum, weight_decay):
        self.lr, self.momentum, self.weight_decay, self.buf = lr, momentum, weight_decay, {}

    def step(self, params, grads):
        for k in params:
            d = grads[k] + self.weight_decay * params[k]
            self.buf[k] = self.momentum * self.buf.get(k, 0.0) + d
            params[k] -= self.lr * self.buf[k]


class SGD:
    def __init__(self, lr=0.1, momentum=0.9, weight_decay=0.05):
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.state = {}

    def step(self, params, grads):
        for name, p in params.items():
            d_p = grads[name]
            if self.weight_decay != 0:
                d_p += self.weight_decay * p
            if name not in self.state:
                buf = self.state[name] = np.copy(d_p)
            else:
                buf = self.state[name]
                buf *= self.momentum
                buf += d_p
            p -= self.lr * buf


ITEMS.append(Item(
    "sgd-weight-decay", "PyTorch optimizer port", "optimizer",
    lambda: dict(optimizer=SGD(), reference=PlainMomentum(0.1, 0.9, 0.05)), False,
    "the decay is added into the caller's gradients: d_p = d_p + self.weight_decay * p",
    ("grads",), ("mutates-input",)))


class PlainAdadelta:
    """Reference: Zeiler (2012), algorithm 1."""

    def __init__(self, rho=0.9, eps=1e-6):
        self.rho, self.eps, self.eg, self.ed = rho, eps, {}, {}

    def step(self, params, grads):
        for k in params:
            self.eg[k] = self.rho * self.eg.get(k, 0.0) + (1 - self.rho) * grads[k] ** 2
            delta = -np.sqrt((self.ed.get(k, 0.0) + self.eps) / (self.eg[k] + self.eps)) * grads[k]
            self.ed[k] = self.rho * self.ed.get(k, 0.0) + (1 - self.rho) * delta ** 2
            params[k] += delta


class Adadelta:
    def __init__(self, rho=0.9, epsilon=1e-6):
        self.rho, self.epsilon = rho, epsilon
        self.accumulators, self.delta_accumulators = {}, {}

    def step(self, params, grads):
        for name in params:
            g = grads[name]
            a = self.accumulators.setdefault(name, np.zeros_like(g))
            d_a = self.delta_accumulators.setdefault(name, np.zeros_like(g))
            new_a = self.rho * a + (1.0 - self.rho) * np.square(g)
            update = g * np.sqrt(d_a + self.epsilon) / np.sqrt(new_a + self.epsilon)
            params[name] -= update
            self.accumulators[name] = new_a
            self.delta_accumulators[name] = self.rho * d_a + (1.0 - self.rho) * np.square(g)


ITEMS.append(Item(
    "adadelta", "Keras-like library", "optimizer",
    lambda: dict(optimizer=Adadelta(), reference=PlainAdadelta()), False,
    "the second accumulator takes the squared gradient, not the squared update: np.square(update)",
    ("params",), ("elementwise-factor",)))


class AmsAdam:
    """Adam with the long-term memory of the largest second moment, all in place."""

    def __init__(self, lr=0.02, betas=(0.9, 0.95), eps=1e-8):
        self.lr, self.betas, self.eps = lr, betas, eps
        self.state = {}

    def step(self, params, grads):
        beta1, beta2 = self.betas
        for name, p in params.items():
            st = self.state.setdefault(name, {'step': 0, 'exp_avg': np.zeros_like(p), 'exp_avg_sq': np.zeros_like(p),
                                              'max_sq': np.zeros_like(p)})
            st['step'] += 1
            st['exp_avg'] *= beta1
            st['exp_avg'] += (1 - beta1) * grads[name]
            st['exp_avg_sq'] *= beta2
            st['exp_avg_sq'] += (1 - beta2) * np.square(grads[name])
            np.maximum(st['max_sq'], st['exp_avg_sq'] / (1 - beta2 ** st['step']), out=st['max_sq'])
            step_size = self.lr / (1 - beta1 ** st['step'])
            p -= step_size * st['exp_avg'] / (np.sqrt(st['max_sq']) + self.eps)


ITEMS.append(Item(
    "ams-adam", "PyTorch optimizer port", "optimizer",
    lambda: dict(optimizer=AmsAdam(), reference=PlainAdam(0.02, 0.9, 0.95, 1e-8, amsgrad=True)), True))


class PlainRMSprop:
    """Reference: RMSprop with momentum on the scaled gradient."""

    def __init__(self, lr, rho, momentum, eps):
        self.lr, self.rho, self.momentum, self.eps, self.s, self.b = lr, rho, momentum, eps, {}, {}

    def step(self, params, grads):
        for k in params:
            self.s[k] = self.rho * self.s.get(k, 0.0) + (1 - self.rho) * grads[k] ** 2
            self.b[k] = self.momentum * self.b.get(k, 0.0) + grads[k] / (np.sqrt(self.s[k]) + self.eps)
            params[k] -= self.lr * self.b[k]


class RMSprop:
    def __init__(self, learning_rate=1e-2, decay_rate=0.9, momentum=0.5, epsilon=1e-8):
        self.learning_rate, self.decay_rate = learning_rate, decay_rate
        self.momentum, self.epsilon = momentum, epsilon
        self.cache = None
        self.velocity = None

    def step(self, params, grads):
        if self.cache is None:
            self.cache = {k: np.zeros(v.shape) for k, v in params.items()}
            self.velocity = {k: np.zeros(v.shape) for k, v in params.items()}
        for k, v in params.items():
            g = grads[k]
            self.cache[k] += (1 - self.decay_rate) * (g * g - self.cache[k])
            scaled = g / (np.sqrt(self.cache[k]) + self.epsilon)
            self.velocity[k] = self.momentum * self.velocity[k] + self.learning_rate * scaled
            v -= self.velocity[k]


ITEMS.append(Item("rmsprop-momentum", "Karpathy gist", "optimizer",
                  lambda: dict(optimizer=RMSprop(), reference=PlainRMSprop(1e-2, 0.9, 0.5, 1e-8)), True))


class PlainLion:
    """Reference: sign of the interpolated momentum, decoupled decay."""

    def __init__(self, lr, b1, b2, wd):
        self.lr, self.b1, self.b2, self.wd, self.m = lr, b1, b2, wd, {}

    def step(self, params, grads):
        for k in params:
            m = self.m.get(k, np.zeros_like(params[k]))
            c = self.b1 * m + (1 - self.b1) * grads[k]
            params[k] -= self.lr * (np.sign(c) + self.wd * params[k])
            self.m[k] = self.b2 * m + (1 - self.b2) * grads[k]


class Lion:
    """scale_by_lion, add_decayed_weights and scale(-lr) in a chain."""

    def __init__(self, learning_rate=3e-3, b1=0.9, b2=0.99, weight_decay=0.1):
        self.hyper = (learning_rate, b1, b2, weight_decay)
        self.mu = None

    def step(self, params, grads):
        lr, b1, b2, decay = self.hyper
        mu = self.mu or {k: np.zeros_like(p) for k, p in params.items()}
        updates = {k: np.sign((1 - b1) * grads[k] + b1 * mu[k]) for k in params}
        self.mu = {k: (1 - b2) * grads[k] + b2 * mu[k] for k in params}
        for k, p in params.items():
            np.add(p, -lr * (updates[k] + decay * p), out=p)


ITEMS.append(Item("lion", "JAX/Optax port", "optimizer",
                  lambda: dict(optimizer=Lion(), reference=PlainLion(3e-3, 0.9, 0.99, 0.1)), True))
