"""Correct formulations of the blanks of the last page, where a VAE is written from nothing."""

from itertools import count

import numpy as np
from scipy.special import expit, log_expit, logsumexp
from scipy.stats import sem

from scratchvae import kl_to_standard_normal
from scratchvae.exercises.own import adam, back, halves, kl, layers, likelihood, noise, objective, whole

LAYERS = ("encoder.0", "mu", "logvar", "decoder.0", "logits")


def one_layer_after_the_other(D, H, Z, rng):
    params = {}
    params["encoder.0.W"] = rng.standard_normal((D, H)) / D**0.5
    params["encoder.0.b"] = np.zeros(H)
    params["mu.W"] = rng.standard_normal((H, Z)) / H**0.5
    params["mu.b"] = np.zeros(Z)
    params["logvar.W"] = rng.standard_normal((H, Z)) / H**0.5
    params["logvar.b"] = np.zeros(Z)
    params["decoder.0.W"] = rng.standard_normal((Z, H)) / Z**0.5
    params["decoder.0.b"] = np.zeros(H)
    params["logits.W"] = rng.standard_normal((H, D)) / H**0.5
    params["logits.b"] = np.zeros(D)
    return params


def with_normal(D, H, Z, rng):
    params = {}
    for name, i, o in zip(LAYERS, (D, H, H, Z, H), (H, Z, Z, H, D), strict=True):
        params |= {f"{name}.W": rng.normal(0, np.sqrt(1 / i), (i, o)), f"{name}.b": np.zeros((o,))}
    return params


def with_keywords(D, H, Z, rng):
    weights = {n: rng.normal(scale=1 / np.sqrt(i), size=(i, o)) for n, i, o in triples(D, H, Z)[::-1]}
    return {f"{n}.W": W for n, W in weights.items()} | {f"{n}.b": 0 * W[0] for n, W in weights.items()}


def triples(D, H, Z):
    return list(zip(LAYERS, (D, H, H, Z, H), (H, Z, Z, H, D), strict=True))


def with_one_large_draw(D, H, Z, rng):
    numbers = rng.standard_normal(2 * D * H + 3 * H * Z)
    params = {}
    for n, i, o in triples(D, H, Z):
        W, numbers = numbers[: i * o], numbers[i * o :]
        params[f"{n}.W"], params[f"{n}.b"] = W.reshape(i, o) * i**-0.5, np.zeros(o)
    return params


def in_columns(D, H, Z, rng):
    params = {f"{n}.W": (rng.standard_normal((o, i)) / np.sqrt(i)).T for n, i, o in triples(D, H, Z)}
    return {**params, **{f"{n}.b": np.zeros(o) for n, _, o in triples(D, H, Z)}}


def dense_by_rows(x, W, b):
    return np.stack([row @ W + b for row in x])


def dense_backward_by_rows(dy, x, W):
    dx, dW, db = np.zeros_like(x), np.zeros_like(W), np.zeros(W.shape[1])
    for n in range(len(x)):
        dx[n] = W @ dy[n]
        dW += np.outer(x[n], dy[n])
        db += dy[n]
    return dx, dW, db


def encode_at_once(params, x):
    h = np.tanh(x @ params["encoder.0.W"] + params["encoder.0.b"])
    both = h @ np.concatenate([params["mu.W"], params["logvar.W"]], axis=1)
    mu, logvar = np.split(both + np.concatenate([params["mu.b"], params["logvar.b"]]), 2, axis=1)
    return mu, logvar, h


def encode_with_e(params, x):
    e = np.exp(-2 * (params["encoder.0.b"] + x @ params["encoder.0.W"]))
    h = (1 - e) / (1 + e)
    return [h @ params["mu.W"] + params["mu.b"], h @ params["logvar.W"] + params["logvar.b"], h]


def heads_in_a_loop(params, x):
    h = np.tanh(layers.dense(x, params["encoder.0.W"], params["encoder.0.b"]))
    return (*(layers.dense(h, params[f"{head}.W"], params[f"{head}.b"]) for head in ("mu", "logvar")), h)


def decode_by_rows(params, z):
    g = np.stack([np.tanh(params["decoder.0.b"] + row @ params["decoder.0.W"]) for row in z])
    return np.stack([params["logits.b"] + row @ params["logits.W"] for row in g]), g


def decode_in_place(params, z):
    g = z @ params["decoder.0.W"]
    g += params["decoder.0.b"]
    np.tanh(g, out=g)
    return np.dot(g, params["logits.W"]) + params["logits.b"], g


def nll_with_where(x, logits):
    return np.where(x > 0.5, np.logaddexp(0, -logits), np.logaddexp(0, logits)).sum(axis=1)


def draw_by_loop(mu, logvar, eps):
    z = np.empty_like(mu)
    for index in np.ndindex(mu.shape):
        z[index] = mu[index] + np.sqrt(np.exp(logvar[index])) * eps[index]
    return z


def kl_by_loop(mu, logvar):
    return [
        sum(0.5 * (m * m + np.exp(v) - 1 - v) for m, v in zip(*row, strict=True))
        for row in zip(mu, logvar, strict=True)
    ]


def forward_in_another_order(params, x, eps, beta):
    mu, logvar, h = halves.encode(params, x)
    divergence = kl.kl_to_prior(mu, logvar)
    z = mu + np.sqrt(np.exp(logvar)) * eps
    logits, g = halves.decode(params, z)
    nll = likelihood.bernoulli_nll(x, logits)
    names = ("objective", "kl", "nll", "logits", "g", "z", "logvar", "mu", "h", "eps", "x")
    return dict(
        zip(names, (-(nll + beta * divergence), divergence, nll, logits, g, z, logvar, mu, h, eps, x), strict=True)
    )


def forward_entry_by_entry(params, x, eps, beta):
    c = {"x": x.copy(), "eps": eps.copy()}
    c["mu"], c["logvar"], c["h"] = halves.encode(params, x)
    c["z"] = halves.reparameterize(c["mu"], c["logvar"], eps)
    c["logits"], c["g"] = halves.decode(params, c["z"])
    c["nll"], c["kl"] = nll_with_where(x, c["logits"]), kl_to_standard_normal(c["mu"], c["logvar"])[0]
    c["objective"] = -c["nll"] - c["kl"] * beta
    return c


def forward_inline(params, x, eps, beta):
    P = params
    h = np.tanh(x @ P["encoder.0.W"] + P["encoder.0.b"])
    mu, logvar = h @ P["mu.W"] + P["mu.b"], h @ P["logvar.W"] + P["logvar.b"]
    z = mu + np.exp(0.5 * logvar) * eps
    g = np.tanh(z @ P["decoder.0.W"] + P["decoder.0.b"])
    logits = g @ P["logits.W"] + P["logits.b"]
    nll = (np.logaddexp(0, logits) - x * logits).sum(1)
    kl = (mu**2 + np.exp(logvar) - logvar).sum(1) / 2 - mu.shape[1] / 2
    objective = -nll - beta * kl
    return {name: value for name, value in locals().items() if name not in ("params", "P", "beta")}


def decoder_backward_inline(dlogits, params, cache):
    z, g = cache["z"], cache["g"]
    da = (dlogits @ params["logits.W"].T) * (1 - g) * (1 + g)
    grads = {"decoder.0.W": z.T @ da, "decoder.0.b": da.sum(0), "logits.W": g.T @ dlogits, "logits.b": dlogits.sum(0)}
    return da @ params["decoder.0.W"].T, grads


def decoder_backward_by_rows(dlogits, params, cache):
    grads = {name: np.zeros_like(params[name]) for name in whole.DECODER}
    dz = np.zeros_like(cache["z"])
    for n, (d, g, z) in enumerate(zip(dlogits, cache["g"], cache["z"], strict=True)):
        da = params["logits.W"] @ d * (1 - g * g)
        dz[n] = params["decoder.0.W"] @ da
        grads["logits.W"] += np.outer(g, d)
        grads["logits.b"] += d
        grads["decoder.0.W"] += np.outer(z, da)
        grads["decoder.0.b"] += da
    return dz, grads


def decoder_backward_with_einsum(dlogits, params, cache):
    dg = np.einsum("bd,hd->bh", dlogits, params["logits.W"])
    da = dg / np.cosh(np.arctanh(cache["g"])) ** 2
    grads = {"logits.W": np.einsum("bh,bd->hd", cache["g"], dlogits), "logits.b": np.einsum("bd->d", dlogits)}
    grads |= {"decoder.0.W": np.einsum("bz,bh->zh", cache["z"], da), "decoder.0.b": np.einsum("bh->h", da)}
    return [np.einsum("bh,zh->bz", da, params["decoder.0.W"]), grads]


def decoder_backward_and_more(dlogits, params, cache):
    dg, dW_l, db_l = layers.dense_backward(dlogits, cache["g"], params["logits.W"])
    dz, dW, db = layers.dense_backward(dg - dg * cache["g"] ** 2, cache["z"], params["decoder.0.W"])
    return dz, {"logits.b": db_l.tolist(), "logits.W": dW_l.tolist(), "decoder.0.b": db, "decoder.0.W": dW}


def encoder_backward_inline(dmu, dlogvar, params, cache):
    h, x = cache["h"], cache["x"]
    da = (dmu @ params["mu.W"].T + dlogvar @ params["logvar.W"].T) * (1 - h * h)
    found = {"mu.W": h.T @ dmu, "mu.b": dmu.sum(0), "logvar.W": h.T @ dlogvar, "logvar.b": dlogvar.sum(0)}
    return {**found, "encoder.0.W": x.T @ da, "encoder.0.b": da.sum(0)}


def encoder_backward_at_once(dmu, dlogvar, params, cache):
    both = np.concatenate([dmu, dlogvar], axis=1)
    dh, dW, db = layers.dense_backward(both, cache["h"], np.concatenate([params["mu.W"], params["logvar.W"]], axis=1))
    n = dmu.shape[1]
    grads = {"mu.W": dW[:, :n], "logvar.W": dW[:, n:], "mu.b": db[:n], "logvar.b": db[n:]}
    da = layers.tanh_backward(dh, cache["h"])
    return grads | {"encoder.0.W": (da.T @ cache["x"]).T, "encoder.0.b": np.ones(len(da)) @ da}


def encoder_backward_in_two_parts(dmu, dlogvar, params, cache):
    zero = np.zeros_like(dmu)
    parts = [encoder_backward_inline(*pair, params, cache) for pair in ((dmu, zero), (zero, dlogvar))]
    return {name: parts[0][name] + parts[1][name] for name in parts[0]}


def encoder_backward_in_a_loop(dmu, dlogvar, params, cache):
    grads, dh = {}, 0
    for name, d in (("mu", dmu), ("logvar", dlogvar)):
        dx, grads[f"{name}.W"], grads[f"{name}.b"] = layers.dense_backward(d, cache["h"], params[f"{name}.W"])
        dh = dh + dx
    da = dh * (1 - cache["h"] ** 2)
    return {**grads, "encoder.0.W": np.einsum("bd,bh->dh", cache["x"], da), "encoder.0.b": da.sum(axis=0)}


def backward_inline(dobjective, params, cache, beta):
    w = dobjective[:, None]
    dlogits = w * (cache["x"] - expit(cache["logits"]))
    dz, grads = decoder_backward_inline(dlogits, params, cache)
    dmu = dz - beta * w * cache["mu"]
    var = np.exp(cache["logvar"])
    dlogvar = (dz * (cache["z"] - cache["mu"]) + beta * w * (1 - var)) / 2
    return grads | encoder_backward_inline(dmu, dlogvar, params, cache)


def backward_of_the_two_terms(dobjective, params, cache, beta):
    """Each term by itself, and then the sum over all names."""
    dz, decoder = whole.decoder_backward(
        likelihood.bernoulli_nll_backward(-dobjective, cache["x"], cache["logits"]), params, cache
    )
    of_nll = whole.encoder_backward(*noise.reparameterize_backward(dz, cache["logvar"], cache["eps"]), params, cache)
    of_kl = whole.encoder_backward(*kl.kl_backward(-beta * dobjective, cache["mu"], cache["logvar"]), params, cache)
    return {**decoder, **{name: of_nll[name] + of_kl[name] for name in of_nll}}


def backward_with_the_sign_last(dobjective, params, cache, beta):
    grads = back.backward(-dobjective, params, cache, beta)
    return {name: -grad for name, grad in grads.items()}


def backward_by_examples(dobjective, params, cache, beta):
    total = {name: np.zeros_like(p) for name, p in params.items()}
    for n in range(len(dobjective)):
        one = {name: value[n : n + 1] for name, value in cache.items()}
        for name, grad in back.backward(dobjective[n : n + 1], params, one, beta).items():
            total[name] = total[name] + grad
    return total


def backward_in_the_order_of_params(dobjective, params, cache, beta):
    grads = back.backward(dobjective, params, cache, beta)
    return {name: grads[name] for name in sorted(params)}


def adam_of_the_paper(param, grad, m, v, t, lr):
    beta1, beta2, tiny = 0.9, 0.999, 1e-8
    m, v = beta1 * m + (1 - beta1) * grad, beta2 * v + (1 - beta2) * grad * grad
    return param - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + tiny), m, v


def adam_in_place_of_copies(param, grad, m, v, t, lr):
    param, m, v = param.copy(), m.copy(), v.copy()
    m += 0.1 * (grad - m)
    v += 0.001 * (grad**2 - v)
    param -= lr * m / (1 - 0.9**t) / (1e-8 + (v / (1 - 0.999**t)) ** 0.5)
    return param, m, v


def adam_with_one_factor(param, grad, m, v, t, lr):
    m, v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * np.square(grad)
    root = np.sqrt(1 - 0.999**t)
    return [param - lr * root / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8 * root), m, v]


def adam_by_entries(param, grad, m, v, t, lr):
    out = [np.empty_like(param) for _ in range(3)]
    for index in np.ndindex(param.shape):
        one = adam_of_the_paper(param[index], grad[index], m[index], v[index], t, lr)
        for array, number in zip(out, one, strict=True):
            array[index] = number
    return tuple(out)


def adam_as_a_move(param, grad, m, v, t, lr):
    m, v = np.average([m, grad], axis=0, weights=[0.9, 0.1]), np.average([v, grad**2], axis=0, weights=[0.999, 0.001])
    move = -lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return param + move, m, v


def train_with_a_state(params, batches, lr):
    state = {name: (p, 0 * p, 0 * p) for name, p in params.items()}
    for t, (x, eps) in zip(count(1), batches, strict=False):
        now = {name: one[0] for name, one in state.items()}
        grads = back.backward(-np.ones(len(x)) / len(x), now, objective.forward(now, x, eps, 1), 1)
        state = {name: adam.adam(p, grads[name], m, v, t, lr) for name, (p, m, v) in state.items()}
    return {name: one[0] for name, one in state.items()}


def train_in_place(params, batches, lr):
    params = {name: p.copy() for name, p in params.items()}
    m, v = ({name: np.zeros(p.shape) for name, p in params.items()} for _ in range(2))
    for i, (x, eps) in enumerate(batches):
        grads = back.backward(np.repeat(-1 / len(x), len(x)), params, objective.forward(params, x, eps, 1.0), 1.0)
        for name in params:
            new, m[name], v[name] = adam.adam(params[name], grads[name], m[name], v[name], i + 1, lr)
            params[name][...] = new
    return params


def train_on_the_negative(params, batches, lr):
    params, moments, t = dict(params), {}, 1
    for x, eps in batches:
        grads = back.backward(np.full(len(x), 1 / len(x)), params, objective.forward(params, x, eps, 1.0), 1.0)
        for name in list(params):
            m, v = moments.get(name, (0.0, 0.0))
            params[name], *moments[name] = adam.adam(params[name], -grads[name], m, v, t, lr)
        t += 1
    return params


def train_with_a_division(params, batches, lr):
    params = dict(params)
    m = v = {name: np.zeros_like(p) for name, p in params.items()}
    for t, batch in enumerate(batches, 1):
        grads = back.backward(-np.ones(len(batch[0])), params, objective.forward(params, *batch, 1.0), 1.0)
        new = {name: adam.adam(params[name], grads[name] / len(batch[0]), m[name], v[name], t, lr) for name in params}
        params, m, v = ({name: one[k] for name, one in new.items()} for k in range(3))
    return params


def train_by_recursion(params, batches, lr, t=1, m=None, v=None):
    batches = list(batches)
    m, v = m or dict.fromkeys(params, 0), v or dict.fromkeys(params, 0)
    if not batches:
        return params
    (x, eps), *rest = batches
    grads = back.backward(np.full(len(x), -1 / len(x)), params, objective.forward(params, x, eps, 1.0), 1.0)
    new = {name: adam.adam(p, grads[name], m[name], v[name], t, lr) for name, p in params.items()}
    parts = [{name: one[k] for name, one in new.items()} for k in range(3)]
    return train_by_recursion(parts[0], rest, lr, t + 1, *parts[1:])


def elbo_of(params, x, eps):
    return objective.forward(params, x, eps, 1.0)["objective"]


def evaluate_in_parts(params, x, eps):
    elbo = np.concatenate([elbo_of(params, x[i : i + 500], eps[i : i + 500]) for i in range(0, len(x), 500)])
    return np.mean(elbo), np.sqrt(np.var(elbo) / len(elbo))


def evaluate_from_the_terms(params, x, eps):
    cache = objective.forward(params, x, eps, 3.0)
    elbo = -cache["nll"] - cache["kl"]
    return [elbo.mean(), elbo.std(ddof=1) / len(elbo) ** 0.5]


def sample_by_loop(params, z, u):
    p = np.exp(log_expit(halves.decode(params, z)[0]))
    return p, [[1 if u[n, d] < p[n, d] else 0 for d in range(u.shape[1])] for n in range(len(u))]


def with_probabilities(form):
    def answer(params, z, u):
        logits, _ = halves.decode(params, z)
        return form(logits, u)

    return answer


def sheet_by_loop(x, rows, columns, side):
    large = np.zeros((rows * side, columns * side))
    for n in range(rows * columns):
        i, j = divmod(n, columns)
        large[i * side : (i + 1) * side, j * side : (j + 1) * side] = x[n].reshape(side, side)
    return large


FORMULATIONS = {
    "own.initial_params": [one_layer_after_the_other, with_normal, with_keywords, with_one_large_draw, in_columns],
    "own.dense": [
        dense_by_rows,
        lambda x, W, b: np.dot(x, W) + b[None, :],
        lambda x, W, b: np.einsum("bi,io->bo", x, W) + b,
        lambda x, W, b: np.concatenate([x, np.ones((len(x), 1))], axis=1) @ np.vstack([W, b]),
        lambda x, W, b: np.add(b, (W.T @ x.T).T),
    ],
    "own.dense_backward": [
        dense_backward_by_rows,
        lambda d, x, W: (np.einsum("bo,io->bi", d, W), np.einsum("bi,bo->io", x, d), np.einsum("bo->o", d)),
        lambda d, x, W: ((W @ d.T).T, (d.T @ x).T, d.T.sum(axis=1)),
        lambda d, x, W: [d.dot(W.T), x.T.dot(d), np.ones(len(d)) @ d],
        lambda d, x, W: (np.inner(d, W), sum(map(np.outer, x, d)), sum(d)),
    ],
    "own.tanh_backward": [
        lambda d, h: d * (1 - h * h),
        lambda d, h: d - d * h**2,
        lambda d, h: d * (1 - h) * (1 + h),
        lambda d, h: d / np.cosh(np.arctanh(h)) ** 2,
        lambda d, h: np.multiply(d, 1 - np.square(h)),
    ],
    "own.encode": [
        encode_at_once,
        encode_with_e,
        heads_in_a_loop,
        lambda p, x: tuple(np.stack([encode_at_once(p, row[None])[k][0] for row in x]) for k in range(3)),
        lambda p, x: [np.asarray(one).tolist() for one in halves.encode(p, x)],
    ],
    "own.reparameterize": [
        draw_by_loop,
        lambda m, v, e: m + np.sqrt(np.exp(v)) * e,
        lambda m, v, e: np.exp(0.5 * v) * e + m,
        lambda m, v, e: np.add(m, np.multiply(np.exp(v) ** 0.5, e)),
        lambda m, v, e: m + e / np.exp(-v / 2),
    ],
    "own.decode": [
        decode_by_rows,
        decode_in_place,
        lambda p, z: halves.decode(p, z),
        lambda p, z: [np.asarray(one).tolist() for one in halves.decode(p, z)],
        lambda p, z: (
            np.tanh(z @ p["decoder.0.W"] + p["decoder.0.b"]) @ p["logits.W"] + p["logits.b"],
            2 * expit(2 * (z @ p["decoder.0.W"] + p["decoder.0.b"])) - 1,
        ),
    ],
    "own.bernoulli_nll": [
        nll_with_where,
        lambda x, a: (np.logaddexp(0, a) - x * a).sum(axis=1),
        lambda x, a: -(x * log_expit(a) + (1 - x) * log_expit(-a)).sum(1),
        lambda x, a: np.sum(np.maximum(a, 0) + np.log(1 + np.exp(-abs(a))) - x * a, axis=-1),
        lambda x, a: (logsumexp(np.stack([a, 0 * a]), axis=0) - a * x).sum(axis=1),
        lambda x, a: np.logaddexp(0, (1 - 2 * x) * a).sum(axis=1),
    ],
    "own.bernoulli_nll_backward": [
        lambda d, x, a: d[:, None] * (expit(a) - x),
        lambda d, x, a: (d * (expit(a) - x).T).T,
        lambda d, x, a: np.einsum("b,bd->bd", d, 0.5 * (1 + np.tanh(a / 2)) - x),
        lambda d, x, a: d.reshape(-1, 1) / (1 + np.exp(-a)) - d.reshape(-1, 1) * x,
        lambda d, x, a: np.stack([w * (np.exp(b) / (1 + np.exp(b)) - y) for w, y, b in zip(d, x, a, strict=True)]),
    ],
    "own.kl_to_prior": [
        kl_by_loop,
        lambda m, v: kl_to_standard_normal(m, v)[0],
        lambda m, v: -0.5 * np.sum(1 + v - m**2 - np.exp(v), axis=1),
        lambda m, v: ((m * m + np.expm1(v) - v) / 2).sum(-1),
        lambda m, v: 0.5 * (m**2).sum(1) + 0.5 * np.exp(v).sum(1) - 0.5 * v.sum(1) - m.shape[1] / 2,
    ],
    "own.kl_backward": [
        lambda d, m, v: (d[:, None] * m, 0.5 * d[:, None] * np.expm1(v)),
        lambda d, m, v: ((d * m.T).T, (d * (np.exp(v) - 1).T).T / 2),
        lambda d, m, v: [np.einsum("b,bz->bz", d, m), np.einsum("b,bz->bz", d / 2, np.exp(v) - 1)],
        lambda d, m, v: (np.diag(d) @ m, np.diag(d) @ (np.exp(v) - 1) / 2),
        lambda d, m, v: tuple(np.stack([m, (np.exp(v) - 1) / 2]) * d[None, :, None]),
    ],
    "own.reparameterize_backward": [
        lambda d, v, e: (d.copy(), 0.5 * d * np.exp(0.5 * v) * e),
        lambda d, v, e: (1 * d, d * e * np.sqrt(np.exp(v)) / 2),
        lambda d, v, e: [d, d * (e / 2) * np.exp(v) ** 0.5],
        lambda d, v, e: tuple(np.stack([d, d * e * np.exp(v / 2) / 2])),
        lambda d, v, e: (d * np.ones_like(e), np.einsum("bz,bz,bz->bz", d, e, np.exp(v / 2 - np.log(2)))),
    ],
    "own.forward": [
        forward_in_another_order,
        forward_entry_by_entry,
        forward_inline,
        lambda p, x, eps, beta: {k: np.asarray(v).tolist() for k, v in objective.forward(p, x, eps, beta).items()},
        lambda p, x, eps, beta: dict(sorted(forward_inline(p, x, eps, beta).items())),
    ],
    "own.decoder_backward": [
        decoder_backward_inline,
        decoder_backward_by_rows,
        decoder_backward_with_einsum,
        decoder_backward_and_more,
        lambda d, p, c: list(decoder_backward_inline(d, p, c)),
    ],
    "own.encoder_backward": [
        encoder_backward_inline,
        encoder_backward_at_once,
        encoder_backward_in_two_parts,
        encoder_backward_in_a_loop,
        lambda m, v, p, c: {k: g.tolist() for k, g in encoder_backward_inline(m, v, p, c).items()},
    ],
    "own.backward": [
        backward_inline,
        backward_of_the_two_terms,
        backward_with_the_sign_last,
        backward_by_examples,
        backward_in_the_order_of_params,
    ],
    "own.adam": [
        adam_of_the_paper,
        adam_in_place_of_copies,
        adam_with_one_factor,
        adam_by_entries,
        adam_as_a_move,
    ],
    "own.train": [
        train_with_a_state,
        train_in_place,
        train_on_the_negative,
        train_with_a_division,
        train_by_recursion,
    ],
    "own.evaluate": [
        evaluate_in_parts,
        evaluate_from_the_terms,
        lambda p, x, e: (float(elbo_of(p, x, e).mean()), float(sem(elbo_of(p, x, e)))),
        lambda p, x, e: (np.average(elbo_of(p, x, e)), np.std(elbo_of(p, x, e)) / len(x) ** 0.5),
        lambda p, x, e: np.array([elbo_of(p, x, e).sum() / len(x), elbo_of(p, x, e).std() / np.sqrt(len(x))]),
    ],
    "own.sample": [
        sample_by_loop,
        with_probabilities(lambda a, u: (expit(a), u < expit(a))),
        with_probabilities(lambda a, u: (0.5 + 0.5 * np.tanh(a / 2), np.where(u < expit(a), 1.0, 0.0))),
        with_probabilities(lambda a, u: [np.exp(a) / (1 + np.exp(a)), (expit(a) > u).astype(int)]),
        with_probabilities(lambda a, u: (expit(a), np.heaviside(expit(a) - u, 0))),
    ],
    "own.sheet": [
        sheet_by_loop,
        lambda x, r, c, s: np.block([[x[i * c + j].reshape(s, s) for j in range(c)] for i in range(r)]),
        lambda x, r, c, s: np.vstack([np.hstack(row) for row in x.reshape(r, c, s, s)]),
        lambda x, r, c, s: np.einsum("rcij->ricj", x.reshape(r, c, s, s)).reshape(r * s, c * s),
        lambda x, r, c, s: np.moveaxis(x.reshape(r, c, s, s), 2, 1).reshape(r * s, -1),
    ],
}
