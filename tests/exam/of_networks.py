"""Exam items on networks of several steps: hand-written backward passes in the styles of a dozen public code bases.

Each base is one right text; a wrong item is that text with one line replaced.  `python networks.py` verifies all of
them with central differences of its own.
"""
from typing import Callable, NamedTuple

import numpy as np


class Item(NamedTuple):
    """One question of the exam."""

    name: str
    style: str
    check: str
    make: Callable
    right: bool
    slip: str = ""
    wrong: tuple = ()
    causes: tuple = ()


BASES = {}
FILES = {}
ITEMS = []


def _base(name, style, source, points, n=5):
    BASES[name] = (style, source, points, n)


def _patch(source, old, new):
    assert source.count(old) == 1, (source.count(old), old)
    return source.replace(old, new)


def _vjp(source, points, n, seed):
    def make():
        space = {"np": np}
        exec(source, space)
        inputs, constants = points(np.random.default_rng(seed), n)
        return {"forward": space["forward"], "backward": space["backward"], "inputs": inputs, "constants": constants}
    return make


def right(name, base, n=None):
    """A right item of a base, with its own batch size perhaps."""
    style, source, points, size = BASES[base]
    ITEMS.append(Item(name, style, "vjp", _vjp(source, points, n or size, 100 + len(ITEMS)), True))


def wrong(name, base, old, new, slip, bad, causes, n=None):
    """A wrong item: the text of a base with one line replaced."""
    style, source, points, size = BASES[base]
    make = _vjp(_patch(source, old, new), points, n or size, 100 + len(ITEMS))
    ITEMS.append(Item(name, style, "vjp", make, False, slip, tuple(bad.split()), tuple(causes.split())))


def right_file(name, base):
    """A right file."""
    style, source = FILES[base]
    ITEMS.append(Item(name, style, "file", lambda: {"source": source, "pair": None}, True))


def wrong_file(name, base, pair, old, new, slip, bad, causes):
    """A file of which one function or class has a slip."""
    style, source = FILES[base]
    source = _patch(source, old, new)
    ITEMS.append(Item(name, style, "file", lambda: {"source": source, "pair": pair}, False,
                      slip, tuple(bad.split()), tuple(causes.split())))


# ---------------------------------------------------------------- networks for check="vjp"
_base("two_layer", "cs231n assignment: TwoLayerNet.loss, grads dict", """
def forward(W1, b1, W2, b2, X, y, reg):
    N = X.shape[0]
    h1 = np.maximum(0, X.dot(W1) + b1)
    scores = h1.dot(W2) + b2
    scores -= np.max(scores, axis=1, keepdims=True)
    probs = np.exp(scores) / np.sum(np.exp(scores), axis=1, keepdims=True)
    loss = np.sum(-np.log(probs[np.arange(N), y])) / N
    loss += 0.5 * reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    return loss, (X, y, reg, W1, W2, h1, probs)
def backward(dloss, cache):
    X, y, reg, W1, W2, h1, probs = cache
    N = X.shape[0]
    grads = {}
    dscores = probs.copy()
    dscores[np.arange(N), y] -= 1
    dscores *= dloss / N
    grads['W2'] = h1.T.dot(dscores) + dloss * reg * W2
    grads['b2'] = np.sum(dscores, axis=0)
    dh1 = dscores.dot(W2.T)
    dh1[h1 <= 0] = 0
    grads['W1'] = X.T.dot(dh1) + dloss * reg * W1
    grads['b1'] = np.sum(dh1, axis=0)
    return grads
""", lambda r, n: (dict(W1=r.normal(size=(4, 8)), b1=r.normal(size=8), W2=r.normal(size=(8, 3)), b2=r.normal(size=3)),
                   dict(X=r.normal(size=(n, 4)), y=r.integers(0, 3, n), reg=0.3)))
right("two_layer_net_batch_of_one", "two_layer", 1)
wrong("two_layer_mask_after_relu", "two_layer", "dh1[h1 <= 0] = 0", "dh1[h1 < 0] = 0",
      "the mask tests the rectified activations with <, so nothing is ever zeroed; it needs <= 0",
      "W1 b1", "elementwise-factor")
wrong("two_layer_probs_by_reference", "two_layer", "dscores = probs.copy()", "dscores = probs",
      "the probabilities in the cache are overwritten, so a second backward of this cache is wrong; copy them first",
      "", "mutates-input")

_base("coursera", "deeplearning.ai notebooks: features first, 1/m inside dW and db", """
def forward(W1, b1, W2, b2, W3, b3, X, Y):
    m = X.shape[1]
    Z1 = np.dot(W1, X) + b1
    A1 = np.tanh(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = np.maximum(0, Z2)
    Z3 = np.dot(W3, A2) + b3
    A3 = 1 / (1 + np.exp(-Z3))
    logprobs = np.multiply(np.log(A3), Y) + np.multiply(np.log(1 - A3), 1 - Y)
    cost = np.squeeze(-(1. / m) * np.sum(logprobs))
    return cost, (Z1, A1, W1, Z2, A2, W2, Z3, A3, W3, X, Y)
def backward(dcost, cache):
    (Z1, A1, W1, Z2, A2, W2, Z3, A3, W3, X, Y) = cache
    m = X.shape[1]
    dZ3 = dcost * (A3 - Y)
    dW3 = 1. / m * np.dot(dZ3, A2.T)
    db3 = 1. / m * np.sum(dZ3, axis=1, keepdims=True)
    dA2 = np.dot(W3.T, dZ3)
    dZ2 = np.multiply(dA2, np.int64(A2 > 0))
    dW2 = 1. / m * np.dot(dZ2, A1.T)
    db2 = 1. / m * np.sum(dZ2, axis=1, keepdims=True)
    dA1 = np.dot(W2.T, dZ2)
    dZ1 = dA1 * (1 - np.power(A1, 2))
    dW1 = 1. / m * np.dot(dZ1, X.T)
    db1 = 1. / m * np.sum(dZ1, axis=1, keepdims=True)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}
""", lambda r, n: (dict(W1=r.normal(size=(5, 3)), b1=r.normal(size=(5, 1)), W2=r.normal(size=(4, 5)),
                        b2=r.normal(size=(4, 1)), W3=r.normal(size=(1, 4)), b3=r.normal(size=(1, 1))),
                   dict(X=r.normal(size=(3, n)), Y=r.integers(0, 2, (1, n)))), 6)
right("three_layer_features_first", "coursera")
wrong("three_layer_bias_without_m", "coursera", "db2 = 1. / m * np.sum(dZ2", "db2 = np.sum(dZ2",
      "1/m is forgotten in db2 only; divide by m", "b2", "factor")
wrong("three_layer_tanh_of_z", "coursera", "(1 - np.power(A1, 2))", "(1 - np.power(Z1, 2))",
      "the slope of tanh is taken from Z1 where A1 belongs", "W1 b1", "elementwise-factor")

_base("char_rnn", "minimal character rnn: column vectors, dicts by time, summed loss", """
def forward(Wxh, Whh, Why, bh, by, inputs, targets, hprev):
    xs, hs, ps = {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((Wxh.shape[1], 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t-1]) + bh)
        ys = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(ys) / np.sum(np.exp(ys))
        loss += -np.log(ps[t][targets[t], 0])
    return loss, (xs, hs, ps, targets, Wxh, Whh, Why, bh, by)
def backward(dloss, cache):
    xs, hs, ps, targets, Wxh, Whh, Why, bh, by = cache
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(targets))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dy = dy * dloss
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t-1].T)
        dhnext = np.dot(Whh.T, dhraw)
    return dWxh, dWhh, dWhy, dbh, dby
""", lambda r, n: (dict(Wxh=r.normal(size=(4, 5)), Whh=.6 * r.normal(size=(4, 4)), Why=r.normal(size=(5, 4)),
                        bh=r.normal(size=(4, 1)), by=r.normal(size=(5, 1))),
                   dict(inputs=[int(i) for i in r.integers(0, 5, n)], targets=[int(i) for i in r.integers(0, 5, n)],
                        hprev=r.normal(size=(4, 1)))), 7)
right("char_rnn_integers", "char_rnn")
wrong("char_rnn_untransposed", "char_rnn", "dhnext = np.dot(Whh.T, dhraw)", "dhnext = np.dot(Whh, dhraw)",
      "the gradient goes back in time through Whh instead of its transpose", "Wxh Whh bh", "transpose")
wrong("char_rnn_clipped", "char_rnn", "    return dWxh, dWhh, dWhy, dbh, dby\n",
      "    return tuple(np.clip(dparam, -0.25, 0.25) for dparam in (dWxh, dWhh, dWhy, dbh, dby))\n",
      "the gradients are clipped inside the backward pass; clip in the optimiser", "Wxh Whh Why bh by",
      "unknown elementwise-factor")

_base("nielsen", "introductory book: lists of biases and weights, nabla_b / nabla_w, one sample at a time", """
def sigmoid(z):
    return 1.0/(1.0+np.exp(-z))
def sigmoid_prime(z):
    return sigmoid(z)*(1-sigmoid(z))
def feedforward(a, weights, biases):
    activations, zs = [a], []
    for b, w in zip(biases, weights):
        zs.append(np.dot(w, activations[-1])+b)
        activations.append(sigmoid(zs[-1]))
    return activations, zs
def forward(w2, b2, w3, b3, batch):
    weights, biases = [w2, w3], [b2, b3]
    cost = 0.0
    for x, y in batch:
        a = feedforward(x, weights, biases)[0][-1]
        cost += 0.5*np.linalg.norm(a-y)**2/len(batch)
    return cost, (weights, biases, batch)
def backward(dcost, cache):
    weights, biases, batch = cache
    nabla_b = [np.zeros(b.shape) for b in biases]
    nabla_w = [np.zeros(w.shape) for w in weights]
    for x, y in batch:
        activations, zs = feedforward(x, weights, biases)
        delta = dcost*(activations[-1]-y)*sigmoid_prime(zs[-1])/len(batch)
        delta_b, delta_w = [None, delta], [None, np.dot(delta, activations[-2].T)]
        delta = np.dot(weights[-1].T, delta)*sigmoid_prime(zs[-2])
        delta_b[0], delta_w[0] = delta, np.dot(delta, activations[-3].T)
        nabla_b = [nb+dnb for nb, dnb in zip(nabla_b, delta_b)]
        nabla_w = [nw+dnw for nw, dnw in zip(nabla_w, delta_w)]
    return {"w2": nabla_w[0], "b2": nabla_b[0], "w3": nabla_w[1], "b3": nabla_b[1]}
""", lambda r, n: (dict(w2=r.normal(size=(4, 3)), b2=r.normal(size=(4, 1)), w3=r.normal(size=(2, 4)),
                        b3=r.normal(size=(2, 1))),
                   dict(batch=[(r.normal(size=(3, 1)), r.random((2, 1))) for _ in range(n)])), 4)
right("quadratic_cost_sample_by_sample", "nielsen")
wrong("nabla_b_of_last_sample", "nielsen", "nabla_b = [nb+dnb for", "nabla_b = [dnb for",
      "nabla_b keeps only the last sample of the batch; add to nb", "b2 b3", "batch-sum missing-term")
wrong("sigmoid_prime_of_activation", "nielsen", "sigmoid_prime(zs[-2])", "sigmoid_prime(activations[-2])",
      "sigmoid_prime expects z but gets the activation", "w2 b2", "elementwise-factor")

_base("lstm", "cs231n rnn_layers: (N, T, D) sequences, gates stacked along columns", """
def sigmoid(x):
    return 1 / (1 + np.exp(-x))
def forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    H = h0.shape[1]
    h = np.zeros((N, T, H))
    prev_h, prev_c, caches = h0, np.zeros((N, H)), []
    for t in range(T):
        a = x[:, t].dot(Wx) + prev_h.dot(Wh) + b
        i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H:2*H]), sigmoid(a[:, 2*H:3*H])
        g = np.tanh(a[:, 3*H:])
        next_c = f * prev_c + i * g
        caches.append((x[:, t], prev_h, prev_c, i, f, o, g, next_c))
        prev_h, prev_c = o * np.tanh(next_c), next_c
        h[:, t, :] = prev_h
    return h, (caches, Wx, Wh, b, D)
def backward(dh, cache):
    caches, Wx, Wh, b, D = cache
    N, T, H = dh.shape
    dx, dWx, dWh, db = np.zeros((N, T, D)), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dprev_h, dprev_c = np.zeros((N, H)), np.zeros((N, H))
    for t in reversed(range(T)):
        xt, prev_h, prev_c, i, f, o, g, next_c = caches[t]
        dnext_h = dh[:, t] + dprev_h
        do = dnext_h * np.tanh(next_c)
        dnext_c = dprev_c + dnext_h * o * (1 - np.tanh(next_c) ** 2)
        di, df, dg = dnext_c * g, dnext_c * prev_c, dnext_c * i
        da = np.hstack((di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)))
        dx[:, t] = da.dot(Wx.T)
        dprev_h = da.dot(Wh.T)
        dprev_c = dnext_c * f
        dWx += xt.T.dot(da)
        dWh += prev_h.T.dot(da)
        db += da.sum(axis=0)
    return dx, dprev_h, dWx, dWh, db
""", lambda r, n: (dict(x=r.normal(size=(n, 4, 3)), h0=r.normal(size=(n, 5)), Wx=r.normal(size=(3, 20)),
                        Wh=r.normal(size=(5, 20)), b=r.normal(size=20)), {}), 3)
right("lstm_sequence", "lstm")
wrong("lstm_no_cell_path", "lstm", "dnext_c = dprev_c + dnext_h * o", "dnext_c = dnext_h * o",
      "the gradient of the cell that comes from the next step is dropped; add dprev_c", "x h0 Wx Wh b", "missing-term")

_base("gru", "blog post on recurrent units: one dict of gradients, row vectors, @", """
def sigm(a):
    return .5 * (np.tanh(.5 * a) + 1)
def forward(x, h, Wz, Uz, bz, Wr, Ur, br, Wn, Un, bn):
    z = sigm(x @ Wz + h @ Uz + bz)
    r = sigm(x @ Wr + h @ Ur + br)
    hu = h @ Un
    n = np.tanh(x @ Wn + r * hu + bn)
    return (1 - z) * n + z * h, dict(locals())
def backward(dout, c):
    z, r, n, x, h = c['z'], c['r'], c['n'], c['x'], c['h']
    dn = dout * (1 - z) * (1 - n**2)
    dr = dn * c['hu'] * r * (1 - r)
    dz = dout * (h - n) * z * (1 - z)
    dhu = dn * r
    g = {'Wz': x.T @ dz, 'Uz': h.T @ dz, 'bz': dz.sum(0)}
    g.update(Wr=x.T @ dr, Ur=h.T @ dr, br=dr.sum(0))
    g.update(Wn=x.T @ dn, Un=h.T @ dhu, bn=dn.sum(0))
    g['x'] = dz @ c['Wz'].T + dr @ c['Wr'].T + dn @ c['Wn'].T
    g['h'] = dout * z + dz @ c['Uz'].T + dr @ c['Ur'].T + dhu @ c['Un'].T
    return g
""", lambda r, n: (dict(x=r.normal(size=(n, 3)), h=r.normal(size=(n, 4)),
                        **{k + g: r.normal(size=s) for g in "zrn" for k, s in
                           (("W", (3, 4)), ("U", (4, 4)), ("b", (4,)))}), {}), 4)
right("gru_cell_batch_of_one", "gru", 1)
wrong("gru_update_gate_sign", "gru", "dz = dout * (h - n) *", "dz = dout * (n - h) *",
      "the update gate's gradient has the wrong sign: z multiplies h, so it is h - n", "x h Wz Uz bz",
      "sign missing-term")
wrong("gru_reset_not_applied", "gru", "Un=h.T @ dhu", "Un=h.T @ dn",
      "the reset gate is forgotten in the gradient of Un; use dhu = dn * r", "Un", "elementwise-factor")

_base("word2vec", "cs224n assignment: negSamplingLossAndGradient", """
def sigmoid(x):
    return 1 / (1 + np.exp(-x))
def forward(centerWordVec, outsideVectors, outsideWordIdx, negSampleWordIndices):
    uo = outsideVectors[outsideWordIdx]
    uk = outsideVectors[negSampleWordIndices]
    pos, neg = sigmoid(uo @ centerWordVec), sigmoid(-uk @ centerWordVec)
    loss = -np.log(pos) - np.sum(np.log(neg))
    return loss, (centerWordVec, outsideVectors, outsideWordIdx, negSampleWordIndices, pos, neg)
def backward(dloss, cache):
    vc, U, o, negs, pos, neg = cache
    gradCenterVec = dloss * ((pos - 1) * U[o] + (1 - neg) @ U[negs])
    gradOutsideVecs = np.zeros_like(U)
    gradOutsideVecs[o] += dloss * (pos - 1) * vc
    np.add.at(gradOutsideVecs, negs, dloss * np.outer(1 - neg, vc))
    return gradCenterVec, gradOutsideVecs
""", lambda r, n: (dict(centerWordVec=r.normal(size=4), outsideVectors=r.normal(size=(6, 4))),
                   dict(outsideWordIdx=0, negSampleWordIndices=r.integers(1, 6, n))), 9)
right("negative_sampling", "word2vec")
wrong("negative_sampling_repeats", "word2vec", "np.add.at(gradOutsideVecs, negs, dloss * np.outer(1 - neg, vc))",
      "gradOutsideVecs[negs] += dloss * np.outer(1 - neg, vc)",
      "a word drawn twice as a negative is counted once by fancy indexing; use np.add.at", "outsideVectors",
      "batch-sum missing-term elementwise-factor")

_base("softmax_regression", "machine learning course homework: design matrix with a column of ones, one-hot T", """
def forward(W, Phi, T, lam):
    A = Phi @ W
    A = A - A.max(1)[:, None]
    Y = np.exp(A) / np.exp(A).sum(1)[:, None]
    E = -np.sum(T * np.log(Y)) + lam / 2 * np.sum(W[1:] ** 2)
    return E, {"Phi": Phi, "T": T, "Y": Y, "W": W, "lam": lam}
def backward(dE, c):
    dW = c["Phi"].T @ (c["Y"] - c["T"])
    dW[1:] += c["lam"] * c["W"][1:]
    return dE * dW
""", lambda r, n: (dict(W=r.normal(size=(4, 3))),
                   dict(Phi=np.hstack([np.ones((n, 1)), r.normal(size=(n, 3))]), T=np.eye(3)[r.integers(0, 3, n)],
                        lam=.7)))
right("softmax_regression_penalty", "softmax_regression")
wrong("softmax_penalises_bias", "softmax_regression", 'dW[1:] += c["lam"] * c["W"][1:]', 'dW += c["lam"] * c["W"]',
      "the row of biases is penalised in the gradient but not in the loss; leave it out", "W", "missing-term")

_base("svm", "cs231n assignment: svm_loss_vectorized", """
def forward(W, X, y, reg):
    num_train = X.shape[0]
    scores = X.dot(W)
    margins = np.maximum(0, scores - scores[np.arange(num_train), y][:, np.newaxis] + 1)
    margins[np.arange(num_train), y] = 0
    loss = margins.sum() / num_train + reg * np.sum(W * W)
    return loss, (margins, W, X, y, reg)
def backward(dout, cache):
    margins, W, X, y, reg = cache
    binary = (margins > 0).astype(float)
    binary[np.arange(len(y)), y] = -binary.sum(axis=1)
    dW = X.T.dot(binary) / len(y)
    dW += 2 * reg * W
    return dout * dW
""", lambda r, n: (dict(W=r.normal(size=(5, 4))), dict(X=r.normal(size=(n, 5)), y=r.integers(0, 4, n), reg=.2)), 6)
right("svm_loss_kinks", "svm", 3)
wrong("svm_counts_one_violation", "svm", "y] = -binary.sum(axis=1)", "y] = -1",
      "the correct class loses one x a sample, whatever the number of violated margins; subtract their count", "W",
      "missing-term elementwise-factor unknown")

_base("saturated", "logits loss in the manner of BCEWithLogits, huge scores", """
def forward(w, b, X, t):
    z = X @ w + b
    loss = np.mean(np.logaddexp(0, z) - t * z)
    return loss, (X, t, z)
def backward(dloss, ctx):
    X, t, z = ctx
    p = 1 / (1 + np.exp(-z))
    dz = dloss * (p - t) / z.size
    return {'w': X.T @ dz, 'b': dz.sum()}
""", lambda r, n: (dict(w=30 * r.normal(size=3), b=np.array(r.normal())),
                   dict(X=3 * r.normal(size=(n, 3)), t=r.integers(0, 2, n))), 7)
right("logistic_saturated", "saturated")
wrong("logistic_zero_over_zero", "saturated", "dz = dloss * (p - t) / z.size",
      "dz = dloss * ((1 - t) / (1 - p) - t / p) * p * (1 - p) / z.size",
      "for a saturated probability the chain through 1 / (1 - p) is 0 / 0; use p - t", "w b", "non-finite")

_base("factorisation", "recommender library: loop over ratings, biases, per-rating penalty", """
def forward(bu, bi, p, q, ratings, mean, reg):
    loss, errs = 0., []
    for u, i, r_ui in ratings:
        err = r_ui - (mean + bu[u] + bi[i] + np.dot(q[i], p[u]))
        loss += err ** 2 + reg * (bu[u] ** 2 + bi[i] ** 2 + p[u] @ p[u] + q[i] @ q[i])
        errs.append(err)
    return loss / len(ratings), (bu, bi, p, q, ratings, reg, errs)
def backward(dloss, cache):
    bu, bi, p, q, ratings, reg, errs = cache
    gbu, gbi, gp, gq = (np.zeros_like(a) for a in (bu, bi, p, q))
    for (u, i, _), err in zip(ratings, errs):
        gbu[u] += reg * bu[u] - err
        gbi[i] += reg * bi[i] - err
        gp[u] += reg * p[u] - err * q[i]
        gq[i] += reg * q[i] - err * p[u]
    return tuple(2 * dloss / len(ratings) * g for g in (gbu, gbi, gp, gq))
""", lambda r, n: (dict(bu=r.normal(size=4), bi=r.normal(size=5), p=r.normal(size=(4, 3)), q=r.normal(size=(5, 3))),
                   dict(ratings=[(int(r.integers(4)), int(r.integers(5)), float(r.integers(1, 6))) for _ in range(n)],
                        mean=3.2, reg=.1)), 12)
right("matrix_factorisation_loops", "factorisation")
wrong("factorisation_item_for_user", "factorisation", "gq[i] += reg * q[i] - err * p[u]",
      "gq[i] += reg * q[i] - err * q[i]", "the item's gradient takes the item's own factors; the user's belong there",
      "q", "elementwise-factor missing-term unknown")

_base("mixture", "pattern recognition notebooks: responsibilities, log sum exp", """
def forward(a, mu, log_sigma, X):
    N, D = X.shape
    diff = X[:, None, :] - mu[None]
    sq = (diff ** 2).sum(-1) / np.exp(2 * log_sigma)
    log_pi = a - np.logaddexp.reduce(a)
    joint = log_pi - D * log_sigma - .5 * sq - .5 * D * np.log(2 * np.pi)
    evidence = np.logaddexp.reduce(joint, axis=1)
    resp = np.exp(joint - evidence[:, None])
    return -evidence.mean(), (diff, sq, log_pi, resp, log_sigma)
def backward(dloss, cache):
    diff, sq, log_pi, resp, log_sigma = cache
    N, K, D = diff.shape
    R = -dloss * resp / N
    da = R.sum(0) - R.sum() * np.exp(log_pi)
    dmu = np.einsum('nk,nkd->kd', R, diff) / np.exp(2 * log_sigma)[:, None]
    dlog_sigma = np.sum(R * (sq - D), axis=0)
    return da, dmu, dlog_sigma
""", lambda r, n: (dict(a=r.normal(size=3), mu=r.normal(size=(3, 2)), log_sigma=.3 * r.normal(size=3)),
                   dict(X=1.5 * r.normal(size=(n, 2)))), 7)
right("gaussian_mixture_nll", "mixture")
wrong("mixture_weights_unnormalised", "mixture", "da = R.sum(0) - R.sum() * np.exp(log_pi)", "da = R.sum(0)",
      "the logits' gradient forgets that the mixing weights are normalised; subtract R.sum() * pi", "a", "missing-term")

_base("ppo", "policy gradient repository: clipped surrogate with an entropy bonus", """
def forward(W, b, obs, act, adv, logp_old, clip_ratio, ent_coef):
    logits = obs @ W + b
    logits = logits - logits.max(axis=-1, keepdims=True)
    logp_all = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    pi = np.exp(logp_all)
    ratio = np.exp(logp_all[np.arange(len(act)), act] - logp_old)
    clip_adv = np.clip(ratio, 1 - clip_ratio, 1 + clip_ratio) * adv
    entropy = -(pi * logp_all).sum(-1)
    loss = -np.minimum(ratio * adv, clip_adv).mean() - ent_coef * entropy.mean()
    return loss, (obs, act, adv, ratio, clip_adv, pi, logp_all, entropy, ent_coef)
def backward(dloss, saved):
    obs, act, adv, ratio, clip_adv, pi, logp_all, entropy, ent_coef = saved
    n, k = pi.shape
    active = ratio * adv <= clip_adv
    dlogp = -dloss * adv * ratio * active / n
    dlogits = dlogp[:, None] * (np.eye(k)[act] - pi)
    dlogits += dloss * ent_coef / n * pi * (logp_all + entropy[:, None])
    return {"W": obs.T @ dlogits, "b": dlogits.sum(axis=0)}
""", lambda r, n: (dict(W=r.normal(size=(4, 3)), b=r.normal(size=3)),
                   dict(obs=r.normal(size=(n, 4)), act=r.integers(0, 3, n), adv=r.normal(size=n),
                        logp_old=-r.random(n) * 2, clip_ratio=.2, ent_coef=.5)), 7)
right("ppo_clip_entropy", "ppo")
wrong("ppo_entropy_plus_one", "ppo", "(logp_all + entropy[:, None])", "(logp_all + 1)",
      "the entropy is differentiated as if the probabilities were free; through the softmax it is logp + entropy",
      "W b", "missing-term elementwise-factor")
wrong("ppo_ratio_without_clip_mask", "ppo", "adv * ratio * active / n", "adv * ratio / n",
      "samples whose ratio is clipped still get a gradient; multiply by the mask of active ones", "W b",
      "elementwise-factor missing-term")
_base("coupling", "normalising flow tutorial: affine coupling, nll a sample", """
def forward(x, Ws, bs, Wt, bt):
    d = Ws.shape[0]
    x1, x2 = x[:, :d], x[:, d:]
    s, t = np.tanh(x1 @ Ws + bs), x1 @ Wt + bt
    z2 = x2 * np.exp(s) + t
    log_det = s.sum(axis=1)
    nll = .5 * (x1 ** 2).sum(axis=1) + .5 * (z2 ** 2).sum(axis=1) - log_det
    return nll, (x1, x2, s, z2, Ws, Wt)
def backward(dnll, saved):
    x1, x2, s, z2, Ws, Wt = saved
    dnll = dnll[:, None]
    dz2 = dnll * z2
    ds = dz2 * x2 * np.exp(s) - dnll
    da = ds * (1 - s ** 2)
    dx1 = dnll * x1 + da @ Ws.T + dz2 @ Wt.T
    dx2 = dz2 * np.exp(s)
    return np.concatenate([dx1, dx2], axis=1), x1.T @ da, da.sum(axis=0), x1.T @ dz2, dz2.sum(axis=0)
""", lambda r, n: (dict(x=r.normal(size=(n, 5)), Ws=r.normal(size=(2, 3)), bs=r.normal(size=3),
                        Wt=r.normal(size=(2, 3)), bt=r.normal(size=3)), {}), 4)
right("coupling_nll", "coupling")
wrong("coupling_without_log_det", "coupling", "* np.exp(s) - dnll\n", "* np.exp(s)\n",
      "the log-determinant sends no gradient to the scale network; subtract dnll", "x Ws bs", "missing-term")

_base("gcn", "graph convolution repository: row-normalised adjacency, masked cross entropy", """
def forward(X, W0, W1, adj, labels, train_mask):
    support = adj @ X
    hidden = np.maximum(support @ W0, 0.)
    out = adj @ hidden @ W1
    logp = out - np.logaddexp.reduce(out, axis=1, keepdims=True)
    loss = -(logp[np.arange(len(labels)), labels] * train_mask).sum() / train_mask.sum()
    return loss, (support, hidden, logp, W0, W1, adj, labels, train_mask)
def backward(grad, ctx):
    support, hidden, logp, W0, W1, adj, labels, train_mask = ctx
    dout = np.exp(logp) - np.eye(W1.shape[1])[labels]
    dout *= grad * train_mask[:, None] / train_mask.sum()
    dW1 = (adj @ hidden).T @ dout
    dhidden = adj.T @ dout @ W1.T
    dpre = dhidden * (hidden > 0)
    return {'X': adj.T @ dpre @ W0.T, 'W0': support.T @ dpre, 'W1': dW1}
""", lambda r, n: (dict(X=r.normal(size=(n, 4)), W0=r.normal(size=(4, 6)), W1=r.normal(size=(6, 3))),
                   dict(adj=(lambda a: a / a.sum(1, keepdims=True))((r.random((n, n)) < .5) + np.eye(n)),
                        labels=r.integers(0, 3, n), train_mask=np.r_[1., r.integers(0, 2, n - 1)])), 6)
wrong("gcn_adjacency_not_transposed", "gcn", "dhidden = adj.T @ dout", "dhidden = adj @ dout",
      "the row-normalised adjacency is not symmetric, so its transpose carries the gradient back", "X W0", "transpose")

_base("denoising", "theano-style tutorial: denoising autoencoder with tied weights, corruption level", """
def sigmoid(a):
    return 1. / (1. + np.exp(-a))
def forward(W, hbias, vbias, x, mask):
    tilde_x = x * mask
    y = sigmoid(np.dot(tilde_x, W) + hbias)
    z = sigmoid(np.dot(y, W.T) + vbias)
    cost = -np.mean(np.sum(x * np.log(z) + (1 - x) * np.log(1 - z), axis=1))
    return cost, (tilde_x, y, z, x, W)
def backward(gcost, cache):
    tilde_x, y, z, x, W = cache
    L_vbias = gcost * (z - x) / len(x)
    L_hbias = np.dot(L_vbias, W) * y * (1 - y)
    L_W = np.dot(tilde_x.T, L_hbias) + np.dot(L_vbias.T, y)
    return {"W": L_W, "hbias": L_hbias.sum(0), "vbias": L_vbias.sum(0)}
""", lambda r, n: (dict(W=r.normal(size=(6, 4)), hbias=r.normal(size=4), vbias=r.normal(size=6)),
                   dict(x=r.random((n, 6)), mask=r.binomial(1, .7, (n, 6)))))
right("denoising_tied_weights", "denoising")
wrong("denoising_draws_inside", "denoising", "tilde_x = x * mask", "tilde_x = x * np.random.binomial(1, 0.7, x.shape)",
      "the corruption is drawn anew at every forward; take the mask handed in", "", "noise-redrawn")
wrong("denoising_corrupt_for_clean", "denoising", "L_vbias = gcost * (z - x)", "L_vbias = gcost * (z - tilde_x)",
      "the error is measured against the corrupted input, the loss against the clean one", "W hbias vbias",
      "missing-term elementwise-factor unknown")

_base("sparse", "UFLDL exercise: features first, KL sparsity penalty, weight decay lambda", """
def forward(W1, b1, W2, b2, data, lambda_, sparsity_param, beta):
    m = data.shape[1]
    a2 = 1 / (1 + np.exp(-(W1.dot(data) + b1[:, None])))
    a3 = 1 / (1 + np.exp(-(W2.dot(a2) + b2[:, None])))
    rho_hat = a2.mean(axis=1)
    rho = sparsity_param
    kl = np.sum(rho * np.log(rho / rho_hat) + (1 - rho) * np.log((1 - rho) / (1 - rho_hat)))
    cost = np.sum((a3 - data) ** 2) / (2 * m) + lambda_ / 2 * ((W1 ** 2).sum() + (W2 ** 2).sum()) + beta * kl
    return cost, (W1, W2, data, a2, a3, rho_hat, lambda_, rho, beta)
def backward(dcost, cache):
    W1, W2, data, a2, a3, rho_hat, lambda_, rho, beta = cache
    m = data.shape[1]
    delta3 = (a3 - data) * a3 * (1 - a3)
    penalty = beta * (-rho / rho_hat + (1 - rho) / (1 - rho_hat))
    delta2 = (W2.T.dot(delta3) + penalty[:, None]) * a2 * (1 - a2)
    W1grad = delta2.dot(data.T) / m + lambda_ * W1
    W2grad = delta3.dot(a2.T) / m + lambda_ * W2
    b1grad, b2grad = delta2.sum(axis=1) / m, delta3.sum(axis=1) / m
    return dcost * W1grad, dcost * b1grad, dcost * W2grad, dcost * b2grad
""", lambda r, n: (dict(W1=r.normal(size=(3, 5)), b1=r.normal(size=3), W2=r.normal(size=(5, 3)), b2=r.normal(size=5)),
                   dict(data=r.random((5, n)), lambda_=.01, sparsity_param=.1, beta=.5)), 6)
wrong("sparse_penalty_outside_slope", "sparse", "+ penalty[:, None]) * a2 * (1 - a2)",
      ") * a2 * (1 - a2) + penalty[:, None]",
      "the sparsity penalty is added after the sigmoid's slope; it belongs inside the bracket", "W1 b1",
      "missing-term elementwise-factor unknown")

_base("highway", "residual and highway stack: list of layers, weights shared by depth", """
def forward(x, W, T, bt, scale, depth):
    saved, out = [], x
    for _ in range(depth):
        h = np.maximum(out @ W, 0)
        t = 1 / (1 + np.exp(-(out @ T + bt)))
        saved.append((out, h, t))
        out = t * h + (1 - t) * out
    out = out * scale
    return out, (saved, W, T, scale)
def backward(dout, cache):
    saved, W, T, scale = cache
    dW, dT, dbt = np.zeros_like(W), np.zeros_like(T), 0.
    dout = dout * scale
    for inp, h, t in saved[::-1]:
        dh = dout * t * (h > 0)
        dt = dout * (h - inp) * t * (1 - t)
        dW += inp.T @ dh
        dT += inp.T @ dt
        dbt = dbt + dt.sum(0)
        dout = dout * (1 - t) + dh @ W.T + dt @ T.T
    return dict(x=dout, W=dW, T=dT, bt=dbt)
""", lambda r, n: (dict(x=r.normal(size=(n, 4)), W=r.normal(size=(4, 4)), T=r.normal(size=(4, 4)), bt=r.normal(size=4)),
                   dict(scale=2., depth=3)), 4)
right("highway_shared_weights", "highway")
wrong("highway_scales_dout_in_place", "highway", "    dout = dout * scale\n", "    dout *= scale\n",
      "the caller's upstream gradient is multiplied in place; make a new array", "", "mutates-input")
wrong("highway_gate_in_float32", "highway", "t = 1 / (1 + np.exp(-(out @ T + bt)))",
      "t = (1 / (1 + np.exp(-(out @ T + bt)))).astype('float32')",
      "the gate is rounded to float32 in the forward pass; leave the dtype alone", "", "precision")

_base("experts", "mixture of experts: einsum, softmax gate", """
def forward(x, Wg, We):
    a = x @ Wg
    gate = np.exp(a - a.max(1, keepdims=True))
    gate /= gate.sum(1, keepdims=True)
    expert = np.tanh(np.einsum('ni,eio->neo', x, We))
    return np.einsum('ne,neo->no', gate, expert), (x, Wg, We, gate, expert)
def backward(dy, cache):
    x, Wg, We, gate, expert = cache
    dgate = np.einsum('no,neo->ne', dy, expert)
    da = gate * (dgate - (gate * dgate).sum(1, keepdims=True))
    dexp = gate[:, :, None] * dy[:, None, :] * (1 - expert ** 2)
    dWg = x.T @ da
    dWe = np.einsum('ni,neo->eio', x, dexp)
    dx = da @ Wg.T + np.einsum('neo,eio->ni', dexp, We)
    return dx, dWg, dWe
""", lambda r, n: (dict(x=r.normal(size=(n, 4)), Wg=r.normal(size=(4, 3)), We=r.normal(size=(3, 4, 2))), {}))
wrong("experts_gate_never_learns", "experts", "dWg = x.T @ da", "dWg = np.zeros_like(Wg)",
      "the gate's weights get no gradient at all; it is x.T @ da", "Wg", "zero")

_base("sequential", "joel-style library: Layer, Linear, Tanh, NeuralNet, params and grads dicts", """
class Linear:
    def __init__(self, w, b):
        self.params, self.grads = {"w": w, "b": b}, {"w": np.zeros_like(w), "b": np.zeros_like(b)}
    def forward(self, inputs):
        self.inputs = inputs
        return inputs @ self.params["w"] + self.params["b"]
    def backward(self, grad):
        self.grads["b"] = np.sum(grad, axis=0)
        self.grads["w"] = self.inputs.T @ grad
        return grad @ self.params["w"].T
class Tanh:
    def forward(self, inputs):
        self.out = np.tanh(inputs)
        return self.out
    def backward(self, grad):
        return (1 - self.out ** 2) * grad
def forward(inputs, w1, b1, w2, b2):
    layers = [Linear(w1, b1), Tanh(), Linear(w2, b2)]
    for layer in layers:
        inputs = layer.forward(inputs)
    return inputs, layers
def backward(grad, layers):
    for layer in reversed(layers):
        grad = layer.backward(grad)
    one, two = layers[0].grads, layers[2].grads
    return {"inputs": grad, "w1": one["w"], "b1": one["b"], "w2": two["w"], "b2": two["b"]}
""", lambda r, n: (dict(inputs=r.normal(size=(n, 3)), w1=r.normal(size=(3, 4)), b1=r.normal(size=4),
                        w2=r.normal(size=(4, 1)), b2=r.normal(size=1)), {}), 6)
wrong("sequential_weights_accumulate", "sequential", 'self.grads["w"] = self', 'self.grads["w"] += self',
      "the weights' gradient is added to the last one and never zeroed; assign it", "", "accumulates")
wrong("sequential_bias_summed_whole", "sequential", "np.sum(grad, axis=0)", "np.sum(grad)",
      "the bias gradient is summed over the units as well; sum over axis 0 only", "b1 b2", "shape batch-sum")

_base("micrograd", "micrograd-like engine: Value with operators, children and slopes, topological sort", """
class Value:
    def __init__(self, data, *children):
        self.data, self.children = data, children
    def __add__(self, other):
        return Value(self.data + other.data, (self, 1.0), (other, 1.0))
    def __mul__(self, other):
        return Value(self.data * other.data, (self, other.data), (other, self.data))
    def tanh(self):
        t = np.tanh(self.data)
        return Value(t, (self, 1 - t ** 2))
def topo(v, order):
    if v not in order:
        for child, _ in v.children:
            topo(child, order)
        order.append(v)
    return order
def forward(a, b, c):
    a, b, c = leaves = Value(a), Value(b), Value(c)
    h = (a * b + c).tanh()
    y = h * h + h * a + c
    return y.data, (y, leaves)
def backward(dy, cache):
    y, leaves = cache
    order = topo(y, [])
    for v in order:
        v.grad = np.zeros_like(v.data)
    y.grad = dy
    for v in reversed(order):
        for child, slope in v.children:
            child.grad = child.grad + slope * v.grad
    return tuple(v.grad for v in leaves)
""", lambda r, n: ({k: r.normal(size=n) for k in "abc"}, {}), 4)
right("micrograd_shared_nodes", "micrograd")
wrong("micrograd_overwrites", "micrograd", "child.grad = child.grad + slope", "child.grad = slope",
      "a node used twice keeps the gradient of one use only; add to what it has", "a b c",
      "missing-term")

# ---------------------------------------------------------------- texts for check="file"
FILES["layers"] = "deep-learning-from-scratch: layers.py, self.dW, in-place masks, loss layer with t", """
import numpy as np
class Relu:
    def forward(self, x):
        self.mask = (x <= 0)
        out = x.copy()
        out[self.mask] = 0
        return out
    def backward(self, dout):
        dx = dout.copy()
        dx[self.mask] = 0
        return dx
class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, x):
        self.original_x_shape = x.shape
        self.x = x.reshape(x.shape[0], -1)
        return np.dot(self.x, self.W) + self.b
    def backward(self, dout):
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx.reshape(*self.original_x_shape)
class SoftmaxWithLoss:
    def forward(self, x, t):
        self.t = t
        self.y = np.exp(x - np.max(x, axis=-1, keepdims=True))
        self.y /= np.sum(self.y, axis=-1, keepdims=True)
        return -np.sum(np.log(self.y[np.arange(t.size), t])) / t.size
    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(self.t.size), self.t] -= 1
        return dx * dout / self.t.size

r = np.random.default_rng(0)
examples = {
    "Relu": {"init": {}, "x": r.normal(size=(3, 5))},
    "Affine": {"init": {"W": r.normal(size=(6, 4)), "b": r.normal(size=4)}, "x": r.normal(size=(3, 2, 3))},
    "SoftmaxWithLoss": {"init": {}, "x": r.normal(size=(5, 4)), "t": r.integers(0, 4, 5)},
}
"""
FILES["assignment"] = "cs231n: layers.py, cache tuples, naive loops, batch norm by the computation graph", """
import numpy as np
def batchnorm_forward(x, gamma, beta):
    mu, var = x.mean(axis=0), x.var(axis=0)
    std = np.sqrt(var + 1e-5)
    xhat = (x - mu) / std
    return gamma * xhat + beta, (xhat, x - mu, std, gamma)
def batchnorm_backward(dout, cache):
    xhat, xmu, std, gamma = cache
    N = dout.shape[0]
    dgamma, dbeta = np.sum(dout * xhat, axis=0), dout.sum(axis=0)
    dxhat = dout * gamma
    dvar = np.sum(dxhat * xmu, axis=0) * -0.5 * std ** -3
    dmu = -np.sum(dxhat / std, axis=0)
    dx = dxhat / std + dvar * 2 * xmu / N + dmu / N
    return dx, dgamma, dbeta
def conv_forward(x, w, b):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    out = np.zeros((N, F, H - HH + 1, W - WW + 1))
    for n, f, i, j in np.ndindex(*out.shape):
        out[n, f, i, j] = np.sum(x[n, :, i:i+HH, j:j+WW] * w[f]) + b[f]
    return out, (x, w, b)
def conv_backward(dout, cache):
    x, w, b = cache
    HH, WW = w.shape[2:]
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros_like(b)
    for n, f, i, j in np.ndindex(*dout.shape):
        db[f] += dout[n, f, i, j]
        dw[f] += x[n, :, i:i+HH, j:j+WW] * dout[n, f, i, j]
        dx[n, :, i:i+HH, j:j+WW] += w[f] * dout[n, f, i, j]
    return dx, dw, db
r = np.random.default_rng(1)
examples = {
    "batchnorm": {"x": r.normal(size=(5, 3)), "gamma": r.normal(size=3), "beta": r.normal(size=3)},
    "conv": {"x": r.normal(size=(2, 2, 4, 3)), "w": r.normal(size=(3, 2, 2, 2)), "b": r.normal(size=3)},
}
"""
FILES["notebook"] = "deeplearning.ai helper file: columns are samples, gradients dict with d-names", '''
import numpy as np
def linear_forward(A_prev, W, b):
    return np.dot(W, A_prev) + b, (A_prev, W, b)
def linear_backward(dZ, cache):
    """dZ already carries the 1/m of the cost."""
    A_prev, W, b = cache
    m = A_prev.shape[1]
    dW = np.dot(dZ, A_prev.T)
    db = np.sum(dZ, axis=1, keepdims=True)
    return np.dot(W.T, dZ), dW, db
def rnn_cell_forward(xt, a_prev, Wax, Waa, ba):
    a_next = np.tanh(np.dot(Waa, a_prev) + np.dot(Wax, xt) + ba)
    return a_next, (a_next, a_prev, xt, Wax, Waa)
def rnn_cell_backward(da_next, cache):
    (a_next, a_prev, xt, Wax, Waa) = cache
    dtanh = (1 - a_next ** 2) * da_next
    dxt, dWax = np.dot(Wax.T, dtanh), np.dot(dtanh, xt.T)
    da_prev, dWaa = np.dot(Waa.T, dtanh), np.dot(dtanh, a_prev.T)
    dba = np.sum(dtanh, axis=1, keepdims=True)
    return {"dxt": dxt, "da_prev": da_prev, "dWax": dWax, "dWaa": dWaa, "dba": dba}
g = np.random.RandomState(1)
examples = {
    "linear": {"A_prev": g.randn(4, 6), "W": g.randn(3, 4), "b": g.randn(3, 1)},
    "rnn_cell": {"xt": g.randn(3, 5), "a_prev": g.randn(4, 5), "Wax": g.randn(4, 3), "Waa": g.randn(4, 4),
                 "ba": g.randn(4, 1)},
}
'''
FILES["time_layers"] = "deep-learning-from-scratch 2: params and grads lists, own buffers written with [...]", """
import numpy as np
class Embedding:
    def __init__(self, W):
        self.params, self.grads = [W], [np.zeros_like(W)]
    def forward(self, idx):
        W, = self.params
        self.idx = idx
        return W[idx]
    def backward(self, dout):
        dW, = self.grads
        dW[...] = 0
        np.add.at(dW, self.idx, dout)
        return None
class RNN:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
    def forward(self, x, h_prev):
        Wx, Wh, b = self.params
        h_next = np.tanh(np.dot(h_prev, Wh) + np.dot(x, Wx) + b)
        self.cache = (x, h_prev, h_next)
        return h_next
    def backward(self, dh_next):
        Wx, Wh, b = self.params
        x, h_prev, h_next = self.cache
        dt = dh_next * (1 - h_next ** 2)
        self.grads[0][...] = np.dot(x.T, dt)
        self.grads[1][...] = np.dot(h_prev.T, dt)
        self.grads[2][...] = np.sum(dt, axis=0)
        return np.dot(dt, Wx.T), np.dot(dt, Wh.T)

rng = np.random.default_rng(2)
examples = {
    "Embedding": {"init": {"W": rng.normal(size=(5, 3))}, "idx": np.array([1, 4, 1, 0, 4, 1])},
    "RNN": {"init": {"Wx": rng.normal(size=(3, 4)), "Wh": rng.normal(size=(4, 4)), "b": rng.normal(size=4)},
            "x": rng.normal(size=(2, 3)), "h_prev": rng.normal(size=(2, 4))},
}
"""
FILES["ops"] = "tinygrad-like: one small Function class an op, saved on self", """
import numpy as np
class Div:
    def forward(self, x, y):
        self.x, self.y = x, y
        return x / y
    def backward(self, grad_output):
        return grad_output / self.y, -grad_output * self.x / self.y ** 2
class LogSoftmax:
    def forward(self, x):
        self.out = x - np.logaddexp.reduce(x, axis=1)[:, None]
        return self.out
    def backward(self, grad_output):
        return grad_output - np.exp(self.out) * grad_output.sum(axis=1)[:, None]

rs = np.random.RandomState(3)
examples = {"Div": {"init": {}, "x": rs.randn(3, 4), "y": 1 + rs.rand(3, 4)},
            "LogSoftmax": {"init": {}, "x": rs.randn(4, 5)}}
"""
FILES["gpt"] = "small GPT in plain NumPy: layernorm and causal attention, (B, T, C), names as in C", """
import numpy as np

def layernorm(inp, weight, bias):
    mean = inp.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt(inp.var(-1, keepdims=True) + 1e-5)
    norm = (inp - mean) * rstd
    return norm * weight + bias, (norm, rstd, weight)

def layernorm_backward(dout, cache):
    norm, rstd, weight = cache
    dnorm = dout * weight
    dinp = dnorm - dnorm.mean(-1, keepdims=True) - norm * (dnorm * norm).mean(-1, keepdims=True)
    return dinp * rstd, (dout * norm).sum((0, 1)), dout.sum((0, 1))

def attention(q, k, v):
    T, hs = q.shape[1:]
    scale = 1 / np.sqrt(hs)
    preatt = np.where(np.tril(np.ones((T, T))), q @ k.transpose(0, 2, 1) * scale, -np.inf)
    att = np.exp(preatt - preatt.max(-1, keepdims=True))
    att /= att.sum(-1, keepdims=True)
    return att @ v, (q, k, v, att, scale)

def attention_backward(dout, cache):
    q, k, v, att, scale = cache
    dv = att.transpose(0, 2, 1) @ dout
    datt = dout @ v.transpose(0, 2, 1)
    dpreatt = att * (datt - (att * datt).sum(-1, keepdims=True))
    dq = dpreatt @ k * scale
    dk = dpreatt.transpose(0, 2, 1) @ q * scale
    return dq, dk, dv

rng = np.random.default_rng(4)
examples = {
    "layernorm": {"inp": rng.normal(size=(2, 3, 5)), "weight": rng.normal(size=5), "bias": rng.normal(size=5)},
    "attention": {n: rng.normal(size=(2, 4, 3)) for n in "qkv"},
}
"""
FILES["model"] = "bootcamp: a whole model as one class, random init from sizes, params and grads dicts", """
import numpy as np

class Net:
    def __init__(self, n_in, n_hidden, n_out):
        gen = np.random.default_rng(5)
        self.params = {"W1": gen.normal(0, 1, (n_in, n_hidden)), "b1": gen.normal(0, 1, n_hidden),
                       "W2": gen.normal(0, 1, (n_hidden, n_out)), "b2": np.zeros(n_out)}
        self.grads = {}
    def forward(self, X):
        self.X = X
        self.Z = X @ self.params["W1"] + self.params["b1"]
        self.A = np.where(self.Z > 0, self.Z, 0.01 * self.Z)
        return self.A @ self.params["W2"] + self.params["b2"]
    def backward(self, dY):
        self.grads["W2"], self.grads["b2"] = self.A.T @ dY, dY.sum(0)
        dZ = (dY @ self.params["W2"].T) * np.where(self.Z > 0, 1, 0.01)
        self.grads["W1"] = self.X.T @ dZ
        self.grads["b1"] = dZ.sum(0)
        return dZ @ self.params["W1"].T

class Normalize:
    def forward(self, X):
        self.X, self.norm = X, np.sqrt((X ** 2).sum(1, keepdims=True))
        return X / self.norm
    def backward(self, dY):
        radial = (self.X * dY).sum(1, keepdims=True)
        return dY / self.norm - self.X * radial / self.norm ** 3

X = np.random.default_rng(6).normal(size=(6, 4))
examples = {"Net": {"init": {"n_in": 4, "n_hidden": 7, "n_out": 2}, "X": X}, "Normalize": {"init": {}, "X": X}}
"""
for _name in FILES:
    right_file("file_%s_as_it_stands" % _name, _name)
wrong_file("file_layers_relu_writes_dout", "layers", "Relu", "dx = dout.copy()", "dx = dout",
           "the gradient handed in is overwritten; copy it first", "", "mutates-input")
wrong_file("file_layers_bias_mean", "layers", "Affine", "self.db = np.sum(dout", "self.db = np.mean(dout",
           "the bias gradient is averaged over the batch; sum it", "b", "factor")
wrong_file("file_layers_loss_ignores_dout", "layers", "SoftmaxWithLoss", "dx * dout / self", "dx / self",
           "the loss layer ignores the gradient from above; multiply by dout", "x", "elementwise-factor factor")
wrong_file("file_assignment_batchnorm_mean", "assignment", "batchnorm", "/ N + dmu / N", "/ N",
           "the path through the batch mean is dropped; add dmu / N", "x", "missing-term")
wrong_file("file_assignment_conv_overlap", "assignment", "conv", "j:j+WW] += w[f]", "j:j+WW] = w[f]",
           "overlapping windows overwrite dx; add to it", "x", "missing-term batch-sum unknown")
wrong_file("file_notebook_twice_m", "notebook", "linear", "dW = np.dot(dZ", "dW = 1/m * np.dot(dZ",
           "1/m enters dW a second time; the cost has it already", "W", "factor")
wrong_file("file_notebook_previous_state", "notebook", "rnn_cell", "np.dot(Waa.T, dtanh)", "np.dot(Waa, dtanh)",
           "the gradient of the previous state needs the transpose of Waa", "a_prev", "transpose")
wrong_file("file_embedding_repeats", "time_layers", "Embedding", "np.add.at(dW, self.idx, dout)",
           "dW[self.idx] = dout", "a word that occurs twice keeps its last gradient only; use np.add.at", "0",
           "batch-sum missing-term elementwise-factor")
wrong_file("file_rnn_accumulates", "time_layers", "RNN", "self.grads[1][...] =", "self.grads[1][...] +=",
           "the buffer of the recurrent weights is added to and never zeroed; assign", "", "accumulates")
wrong_file("file_ops_quotient_sign", "ops", "Div", "-grad_output * self.x", "grad_output * self.x",
           "the derivative by the divisor lacks its minus", "y", "sign")
wrong_file("file_ops_log_softmax_sum", "ops", "LogSoftmax", "grad_output.sum(axis=1)[:, None]", "grad_output",
           "the upstream gradient must be summed over the classes before it meets the softmax", "x",
           "missing-term elementwise-factor unknown")
wrong_file("file_gpt_key_scale", "gpt", "attention", "1) @ q * scale", "1) @ q",
           "the key's gradient lacks the scale 1 / sqrt(hs)", "k", "factor")
wrong_file("file_gpt_layernorm_projection", "gpt", "layernorm", "- norm * (dnorm * norm).mean(-1, keepdims=True)", "",
           "the path through the variance is dropped; subtract norm * mean(dnorm * norm)", "inp", "missing-term")
wrong_file("file_model_normalise_power", "model", "Normalize", "self.norm ** 3", "self.norm ** 2",
           "the radial term is divided by norm squared; it is the cube", "X", "elementwise-factor missing-term unknown")
wrong_file("file_model_leaky_slope", "model", "Net", "np.where(self.Z > 0, 1, 0.01)", "np.where(self.Z > 0, 1, 0)",
           "the slope of the leaky unit is taken as 0 for negative values; it is 0.01", "X W1 b1",
           "elementwise-factor")


# ---------------------------------------------------------------- verification
def _differences(f, array, step=1e-6):
    grad = np.zeros(array.shape)
    for index in np.ndindex(*array.shape):
        kept = array[index]
        h = step * max(1.0, abs(float(kept)))
        array[index] = kept + h
        up = f()
        array[index] = kept - h
        down = f()
        array[index] = kept
        grad[index] = (up - down) / (2 * h)
    return grad


def _far(given, grad):
    if given is None or np.shape(given) != grad.shape or not np.all(np.isfinite(given)):
        return np.inf
    size = max(np.max(np.abs(grad), initial=0), np.max(np.abs(given), initial=0), 1e-9)
    return float(np.max(np.abs(given - grad), initial=0) / size)


def _named(given, names):
    if isinstance(given, dict):
        return {k: given.get(k, given.get("d" + k)) for k in names}
    if not isinstance(given, (tuple, list)):
        given = (given,)
    assert len(given) == len(names), (len(given), names)
    return dict(zip(names, given))


def verify_vjp(args):
    """Relative errors by input, and the side effects seen."""
    forward, backward, inputs, constants = (args[k] for k in ("forward", "backward", "inputs", "constants"))
    before = {k: np.array(v, copy=True) for k, v in inputs.items()}

    def run():
        return forward(**{k: v.copy() for k, v in before.items()}, **constants)
    y, cache = forward(**inputs, **constants)
    dy = np.random.default_rng(7).normal(size=np.shape(y)) + 0.5
    kept = dy.copy()
    dy = dy if np.ndim(y) else float(dy)
    first = {k: np.array(v, copy=True) for k, v in _named(backward(dy, cache), list(inputs)).items()}
    second = _named(backward(dy, cache), list(inputs))
    seen = set()
    if np.any(np.asarray(y) != np.asarray(run()[0])):
        seen.add("noise-redrawn")
    if any(np.any(before[k] != v) for k, v in inputs.items()) or np.any(kept != dy):
        seen.add("mutates-input")
    if any(_far(second[k], first[k]) > 1e-9 for k in inputs if np.all(np.isfinite(first[k]))):
        seen.add("twice")
    point = {k: v.copy() for k, v in before.items()}

    def total():
        return float(np.sum(kept * forward(**{k: v.copy() for k, v in point.items()}, **constants)[0]))
    return {k: _far(first[k], _differences(total, point[k])) for k in inputs}, seen


def _params(layer):
    """Parameter name -> (array, getter of its gradient), once a backward has run."""
    params, own = getattr(layer, "params", None), vars(layer)
    if params is None:
        return {k: (p, lambda k=k: own["d" + k]) for k, p in own.items() if "d" + k in own}
    keys = params if isinstance(params, dict) else range(len(params))
    return {str(k): (params[k], lambda k=k: layer.grads[k]) for k in keys}


def verify_file(source):
    """Relative errors by pair and array, and the side effects seen."""
    space, errors, seen = {}, {}, {}
    exec(source, space)
    for name, example in space["examples"].items():
        example, box, params = dict(example), {}, {}
        layer = space[name](**example.pop("init")) if isinstance(space.get(name), type) else None

        def run():
            fresh = {k: np.array(v) for k, v in example.items()}
            if layer:
                return layer.forward(**fresh)
            y, box["cache"] = space.get(name + "_forward", space.get(name))(**fresh)
            return y

        def grads():
            up = np.copy(dy) if np.ndim(y) else dy
            given = layer.backward(up) if layer else space[name + "_backward"](up, box["cache"])
            if np.any(up != dy):
                seen[name] = {"mutates-input"}
            params.update(_params(layer) if layer else {})
            out = _named(given, floats) if floats else {}
            return {k: np.array(v) for k, v in {**out, **{k: g() for k, (_, g) in params.items()}}.items()}
        y = run()
        dy = np.random.default_rng(3).normal(size=np.shape(y)) + 0.5
        dy = dy if np.ndim(y) else float(dy)
        floats = [k for k, v in example.items() if v.dtype == np.float64]
        first = grads()
        if any(_far(v, first[k]) > 1e-9 for k, v in grads().items()):
            seen.setdefault(name, set()).add("twice")
        arrays = {**{k: example[k] for k in floats}, **{k: p for k, (p, _) in params.items()}}
        assert arrays and (not layer or params or not vars(layer).keys() & {"W", "params"})
        errors[name] = {k: _far(first[k], _differences(lambda: float(np.sum(dy * run())), a))
                        for k, a in arrays.items()}
    return errors, seen


def verify(item):
    """None where the item is what it says, or a complaint."""
    args = item.make()
    with np.errstate(all="ignore"):
        if item.check == "vjp":
            errors, seen = verify_vjp(args)
        else:
            found, effects = verify_file(args["source"])
            errors, seen = found.pop(args["pair"], {}), effects.pop(args["pair"], set())
            rest = [e for pair in found.values() for e in pair.values()]
            if effects or rest and max(rest) > 2e-6:
                return "other pairs: %s %s" % (found, effects)
    far = {k for k, e in errors.items() if e > 1e-3}
    near = all(e < 2e-6 for e in errors.values())
    if item.right:
        return None if near and not seen else "not right: %s %s" % (errors, seen)
    if item.wrong:
        clean = far == set(item.wrong) and not seen and all(e < 2e-6 for k, e in errors.items() if k not in far)
        return None if clean else "wrong are %s %s: %s" % (far, seen, errors)
    return None if seen or item.causes[0] == "precision" and not near else "no slip seen: %s" % errors


if __name__ == "__main__":
    assert len({item.name for item in ITEMS}) == len(ITEMS)
    counts = {}
    for item in ITEMS:
        complaint = verify(item)
        if complaint:
            print(item.name, complaint)
        key = (item.check, item.causes[0] if item.causes else "right")
        counts[key] = counts.get(key, 0) + 1
    for style, source, points, size in BASES.values():
        for n, seed in ((1, 0), (3, 1), (6, 2)):
            with np.errstate(all="ignore"):
                errors, seen = verify_vjp(_vjp(source, points, n, seed)())
            if seen or max(errors.values()) > 2e-6:
                print("base", style, n, errors, seen)
    for key in sorted(counts):
        print(*key, counts[key])
    print(len(ITEMS), "items")
