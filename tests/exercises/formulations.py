"""Correct formulations of every blank, as different as people write them."""

import formulations_autoencoders
import formulations_backprop
import formulations_bayes
import formulations_collapse
import formulations_elbo
import formulations_estimating
import formulations_evidence
import formulations_gpu
import formulations_latent
import formulations_museum
import formulations_own
import formulations_start
import formulations_training
import numpy as np
from scipy.integrate import trapezoid
from scipy.special import rel_entr
from scipy.stats import entropy, sem

from scratchvae import kl_to_standard_normal, reparameterize
from scratchvae.layers import sigmoid


def looped_kl(mu, logvar):
    kl = []
    for m, v in zip(mu, logvar, strict=True):
        total = 0.0
        for j in range(len(m)):
            total += 0.5 * (m[j] ** 2 + np.exp(v[j]) - 1 - v[j])
        kl.append(total)
    return kl


def kl_from_sigma(mu, logvar):
    sigma = np.exp(0.5 * logvar)
    return 0.5 * np.sum(np.square(mu) + np.square(sigma) - np.log(np.square(sigma)) - 1, axis=-1)


def looped_draw(mu, logvar, eps):
    z = np.empty_like(mu)
    for b in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            z[b, j] = mu[b, j] + np.sqrt(np.exp(logvar[b, j])) * eps[b, j]
    return z


def looped_dlogits(dnll, logits, x):
    d = np.zeros_like(logits)
    for b in range(len(dnll)):
        d[b] = dnll[b] / (1 + np.exp(-logits[b])) - dnll[b] * x[b]
    return d


def in_place(dnll, logits, x):
    d = 1 / (1 + np.exp(-logits))
    d -= x
    d *= dnll.reshape(-1, 1)
    return d


def looped_from_the_kl(dkl, mu, sigma):
    dmu, dlogvar = np.zeros_like(mu), np.zeros_like(mu)
    for b in range(mu.shape[0]):
        dmu[b] = dkl[b] * mu[b]
        dlogvar[b] = 0.5 * dkl[b] * (sigma[b] - 1) * (sigma[b] + 1)
    return dmu, dlogvar


def through_sigma(dkl, mu, sigma):
    dsigma = dkl[:, None] * (sigma - 1 / sigma)
    return mu * dkl[:, None], dsigma * sigma / 2


def fork_in_steps(dz, mu, logvar, eps, w, beta):
    dkl = (-beta * w)[:, None]
    dmu = dz.copy()
    dmu += dkl * mu
    dvar = dz * eps / (2 * np.exp(logvar / 2)) + dkl * 0.5 * (1 - np.exp(-logvar))
    return dmu, dvar * np.exp(logvar)


def fork_by_rows(dz, mu, logvar, eps, w, beta):
    dmu, dlogvar = np.zeros_like(mu), np.zeros_like(mu)
    for b in range(len(w)):
        dmu[b] = dz[b] - w[b] * beta * mu[b]
        dlogvar[b] = 0.5 * (dz[b] * eps[b] * np.exp(logvar[b] / 2) - w[b] * beta * (np.exp(logvar[b]) - 1))
    return tuple(np.stack([dmu, dlogvar]))


def encoder_by_outer_products(dh, h, x):
    dW, db = np.zeros((x.shape[1], h.shape[1])), np.zeros(h.shape[1])
    for b in range(len(x)):
        da = dh[b] * (1 - h[b] ** 2)
        dW += np.outer(x[b], da)
        db += da
    return dW, db


def looped_table(q, p):
    total = 0.0
    for a, b in zip(q, p, strict=True):
        if a != 0:
            total += a * (np.log(a) - np.log(b))
    return total


def normals_by_hand(mu, sigma, m, s):
    expected_log_q = -0.5 * (1 + np.log(2 * np.pi * sigma**2))
    expected_log_p = -0.5 * ((sigma**2 + (mu - m) ** 2) / s**2 + np.log(2 * np.pi * s**2))
    return expected_log_q - expected_log_p


def draws_by_sums(log_q, log_p):
    v = [a - b for a, b in zip(log_q, log_p, strict=True)]
    mean = sum(v) / len(v)
    return mean, (sum((a - mean) ** 2 for a in v) / len(v)) ** 0.5 / len(v) ** 0.5


def matched_by_loop(z, density, step):
    mean = 0.0
    for a, b in zip(z, density, strict=True):
        mean += a * b * step
    variance = sum((a - mean) ** 2 * b * step for a, b in zip(z, density, strict=True))
    return mean, variance**0.5


FORMULATIONS = {
    **formulations_autoencoders.FORMULATIONS,
    **formulations_backprop.FORMULATIONS,
    **formulations_bayes.FORMULATIONS,
    **formulations_collapse.FORMULATIONS,
    **formulations_elbo.FORMULATIONS,
    **formulations_estimating.FORMULATIONS,
    **formulations_evidence.FORMULATIONS,
    **formulations_gpu.FORMULATIONS,
    **formulations_latent.FORMULATIONS,
    **formulations_museum.FORMULATIONS,
    **formulations_own.FORMULATIONS,
    **formulations_start.FORMULATIONS,
    **formulations_training.FORMULATIONS,
    "kl.table": [
        looped_table,
        lambda q, p: entropy(q, p),
        lambda q, p: rel_entr(q, p).sum(),
        lambda q, p: np.sum(np.where(q > 0, q * np.log(np.where(q > 0, q, 1) / p), 0)),
        lambda q, p: np.nansum(q * np.log(q / p)),
        lambda q, p: sum(a * np.log(a / b) for a, b in zip(q, p, strict=True) if a),
    ],
    "kl.normals": [
        normals_by_hand,
        lambda mu, sigma, m, s: np.log(s / sigma) + (sigma**2 + (mu - m) ** 2) / (2 * s**2) - 0.5,
        lambda mu, sigma, m, s: kl_to_standard_normal(np.array([[(mu - m) / s]]), 2 * np.log([[sigma / s]]))[0][0],
        lambda mu, sigma, m, s: 0.5 * (sigma / s) ** 2 + 0.5 * ((m - mu) / s) ** 2 - 0.5 + np.log(s) - np.log(sigma),
        lambda mu, sigma, m, s: -0.5 * (1 + np.log(sigma**2 / s**2) - (sigma**2 + (mu - m) ** 2) / s**2),
    ],
    "kl.draws": [
        draws_by_sums,
        lambda q, p: (np.mean(q) - np.mean(p), np.std(q - p) / len(q) ** 0.5),
        lambda q, p: [np.average(q - p), np.sqrt(np.var(q - p) / q.size)],
        lambda q, p: (np.log(np.exp(q) / np.exp(p)).mean(), sem(q - p, ddof=0)),
        lambda q, p: ((q - p).sum() / len(q), np.linalg.norm((q - p) - (q - p).mean()) / len(q)),
        lambda q, p: ((q - p).mean(), (q - p).std(ddof=1) / np.sqrt(len(q))),
    ],
    "kl.matched": [
        matched_by_loop,
        lambda z, p, step: (z @ p * step, np.sqrt(z**2 @ p * step - (z @ p * step) ** 2)),
        lambda z, p, step: (
            np.average(z, weights=p),
            np.sqrt(np.average((z - np.average(z, weights=p)) ** 2, weights=p)),
        ),
        lambda z, p, step: (trapezoid(z * p, z), trapezoid((z - trapezoid(z * p, z)) ** 2 * p, z) ** 0.5),
        lambda z, p, step: [np.dot(z, p) * step, np.sqrt(np.dot((z - np.dot(z, p) * step) ** 2, p) * step)],
    ],
    "reparameterization.average": [
        lambda f, mu, sigma, eps: np.mean([f(mu + sigma * e) for e in eps]),
        lambda f, mu, sigma, eps: sum(map(f, mu + eps * sigma)) / len(eps),
        lambda f, mu, sigma, eps: np.average(f(np.add(mu, np.multiply(sigma, eps)))),
        lambda f, mu, sigma, eps: f(sigma * eps + mu).sum() / eps.size,
        lambda f, mu, sigma, eps: float(np.mean(f(mu + np.sqrt(sigma**2) * eps))),
    ],
    "reparameterization.path": [
        lambda d, e: (d * 1, e * d),
        lambda d, e: [d, np.multiply(d, e)],
        lambda d, e: (d.copy(), [a * b for a, b in zip(d, e, strict=True)]),
        lambda d, e: tuple(np.stack([d, d * e])),
        lambda d, e: (d * np.ones_like(e), np.einsum("k,k->k", d, e)),
    ],
    "reparameterization.score": [
        lambda z, m, s: ((z - m) / s**2, (z - m) ** 2 / s**3 - 1 / s),
        lambda z, m, s: [-(m - z) / s**2, -(1 - ((z - m) / s) ** 2) / s],
        lambda z, m, s: (np.array([(a - m) / s / s for a in z]), np.array([((a - m) ** 2 - s**2) / s**3 for a in z])),
        lambda z, m, s: ((z - m) * s**-2, ((z - m) / s - 1) * ((z - m) / s + 1) / s),
        lambda z, m, s: tuple(np.stack([(z - m) / s, ((z - m) / s) ** 2 - 1]) / s),
    ],
    "reparameterization.score_estimate": [
        lambda y, a, b: (a * y, b * y),
        lambda y, a, b: [np.multiply(y, a), np.multiply(y, b)],
        lambda y, a, b: tuple(y * np.stack([a, b])),
        lambda y, a, b: ([u * v for u, v in zip(y, a, strict=True)], [u * v for u, v in zip(y, b, strict=True)]),
        lambda y, a, b: (np.einsum("k,k->k", y, a), np.einsum("k,k->k", y, b)),
    ],
    "gradients.sigma": [
        lambda v: np.sqrt(np.exp(v)),
        lambda v: np.exp(0.5 * v),
        lambda v: np.exp(v) ** 0.5,
        lambda logvar: np.e ** (logvar / 2),
        lambda v: [[float(np.exp(a / 2)) for a in row] for row in v],
    ],
    "gradients.draw": [
        lambda m, v, e: m + np.sqrt(np.exp(v)) * e,
        lambda m, v, e: reparameterize(m, v, e)[0],
        lambda m, v, e: np.exp(0.5 * v) * e + m,
        lambda m, v, e: np.add(m, np.multiply(e, np.exp(v) ** 0.5)),
        looped_draw,
    ],
    "gradients.slopes": [
        lambda e: (np.ones(e.shape), e),
        lambda e: (np.full_like(e, 1.0), e.copy()),
        lambda e: (e * 0 + 1, 1 * e),
        lambda e: (np.ones_like(e).tolist(), e.tolist()),
        lambda e: [np.ones_like(e), e],
    ],
    "gradients.kl": [
        looped_kl,
        kl_from_sigma,
        lambda m, v: kl_to_standard_normal(m, v)[0],
        lambda m, v: -0.5 * np.sum(1 + v - m**2 - np.exp(v), axis=1),
        lambda m, v: ((m * m + np.expm1(v) - v) / 2).sum(-1),
    ],
    "gradients.dlogits": [
        looped_dlogits,
        in_place,
        lambda d, a, x: d[:, None] * (sigmoid(a)[0] - x),
        lambda d, a, x: (np.exp(a) / (1 + np.exp(a)) - x) * d[:, np.newaxis],
        lambda d, a, x: np.einsum("b,bd->bd", d, 0.5 * (1 + np.tanh(a / 2)) - x),
    ],
    "gradients.dmu": [
        lambda dz, eps, sigma: dz * 1.0,
        lambda dz, eps, sigma: dz.copy(),
        lambda dz, eps, sigma: dz * np.ones_like(eps),
        lambda dz, eps, sigma: dz + 0,
        lambda *arguments: arguments[0],
    ],
    "gradients.dsigma": [
        lambda dz, eps, sigma: eps * dz,
        lambda dz, eps, sigma: np.multiply(dz, eps),
        lambda dz, eps, sigma: dz * eps * sigma / sigma,
        lambda dz, eps, sigma: np.einsum("bz,bz->bz", dz, eps),
        lambda dz, eps, sigma: np.array([[d * e for d, e in zip(*r, strict=True)] for r in zip(dz, eps, strict=True)]),
    ],
    "gradients.dlogvar": [
        lambda dz, eps, sigma: 0.5 * sigma * eps * dz,
        lambda dz, eps, sigma: dz * (sigma * eps) / 2,
        lambda dz, eps, sigma: dz * eps / (2 * sigma) * sigma**2,
        lambda dz, eps, sigma: (dz * eps) * (sigma / 2),
        lambda dz, eps, sigma: np.stack([d * e * s / 2 for d, e, s in zip(dz, eps, sigma, strict=True)]),
    ],
    "gradients.from_kl": [
        looped_from_the_kl,
        through_sigma,
        lambda d, m, s: (d[:, None] * m, 0.5 * d[:, None] * (s**2 - 1)),
        lambda d, m, s: ((d * m.T).T, (d * (np.exp(2 * np.log(s)) - 1).T).T / 2),
        lambda d, m, s: {"mu": d[:, None] * m, "logvar": d[:, None] * (s * s - 1) * 0.5},
    ],
    "gradients.fork": [
        fork_in_steps,
        fork_by_rows,
        lambda dz, m, v, e, w, beta: (
            dz - (beta * w * m.T).T,
            (dz * e * np.exp(v / 2) - (beta * w * np.expm1(v).T).T) / 2,
        ),
        lambda dz, m, v, e, w, beta: [
            dz - beta * w[:, None] * m,
            0.5 * dz * e * np.sqrt(np.exp(v)) - 0.5 * beta * w[:, None] * (np.exp(v) - 1),
        ],
        lambda dz, mu, logvar, eps, w, beta: (
            dz + w[:, None] * (-beta * mu),
            dz * (reparameterize(mu, logvar, eps)[0] - mu) / 2 + beta * w[:, None] * (1 - np.exp(logvar)) / 2,
        ),
    ],
    "gradients.dh": [
        lambda m, v, Wm, Wv: v @ Wv.T + m @ Wm.T,
        lambda m, v, Wm, Wv: np.concatenate([m, v], axis=1) @ np.concatenate([Wm, Wv], axis=1).T,
        lambda m, v, Wm, Wv: np.einsum("bz,hz->bh", m, Wm) + np.einsum("bz,hz->bh", v, Wv),
        lambda m, v, Wm, Wv: (Wm @ m.T + Wv @ v.T).T,
        lambda m, v, Wm, Wv: np.stack([Wm @ a + Wv @ b for a, b in zip(m, v, strict=True)]),
    ],
    "gradients.encoder": [
        encoder_by_outer_products,
        lambda dh, h, x: (x.T @ (dh - dh * h * h), (dh - dh * h * h).sum(0)),
        lambda dh, h, x: (((dh * (1 - h**2)).T @ x).T, np.ones(len(x)) @ (dh * (1 - h**2))),
        lambda dh, h, x: (np.einsum("bd,bh->dh", x, dh * (1 - h**2)), np.einsum("bh->h", dh * (1 + h) * (1 - h))),
        lambda dh, h, x: [x.T.dot(dh / np.cosh(np.arctanh(h)) ** 2), np.sum(dh / np.cosh(np.arctanh(h)) ** 2, axis=0)],
    ],
}
