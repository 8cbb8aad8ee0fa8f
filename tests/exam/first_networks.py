"""Exam paper K: networks of several steps and models from machine learning and statistics (check "vjp")."""
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


ITEMS = []


def add(name, style, src, data, swap=None, slip="", wrong=(), causes=(), seed=0):
    """One item: the text src (with one line replaced for a wrong one), and data(rng) -> inputs, constants."""
    if swap:
        assert src.count(swap[0]) == 1, (name, src.count(swap[0]))
        src = src.replace(*swap)

    def make():
        ns = {"np": np}
        exec(compile(src, name, "exec"), ns)
        inputs, constants = data(np.random.default_rng(seed))
        return {"forward": ns["forward"], "backward": ns["backward"], "inputs": inputs, "constants": constants}
    ITEMS.append(Item(name, style, "vjp", make, not slip, slip, tuple(wrong), tuple(causes)))


# ---------------------------------------------------------------- two-layer net with a loss (cs231n assignment)
CS231N = '''
def forward(params, X, y, reg):
    W1, b1, W2, b2 = params["W1"], params["b1"], params["W2"], params["b2"]
    N = X.shape[0]
    hidden = np.maximum(0, X.dot(W1) + b1)
    scores = hidden.dot(W2) + b2
    probs = np.exp(scores - np.max(scores, axis=1, keepdims=True))
    probs /= np.sum(probs, axis=1, keepdims=True); loss = np.sum(-np.log(probs[np.arange(N), y])) / N
    loss += 0.5 * reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    return loss, (X, y, W1, W2, hidden, probs, reg)
def backward(dout, cache):
    X, y, W1, W2, hidden, probs, reg = cache
    N = X.shape[0]
    grads = {}
    dscores = probs.copy()
    dscores[np.arange(N), y] -= 1; dscores *= dout / N
    grads["W2"] = hidden.T.dot(dscores) + dout * reg * W2
    grads["b2"] = np.sum(dscores, axis=0)
    dhidden = dscores.dot(W2.T)
    dhidden[hidden <= 0] = 0
    grads["W1"] = X.T.dot(dhidden) + dout * reg * W1
    grads["b1"] = np.sum(dhidden, axis=0)
    return {"params": grads}
'''
def cs231n_data(r):
    p = {"W1": r.normal(size=(4, 6)), "b1": r.normal(size=6), "W2": r.normal(size=(6, 3)), "b2": r.normal(size=3)}
    return {"params": p}, {"X": r.normal(size=(5, 4)), "y": np.array([0, 2, 1, 1, 2]), "reg": 0.1}
add("two_layer_net_loss", "cs231n assignment, params dict, averaged softmax loss with L2", CS231N, cs231n_data)
add("two_layer_net_cached_probs", "cs231n assignment, params dict, averaged softmax loss with L2", CS231N, cs231n_data,
    ("dscores = probs.copy()", "dscores = probs"),
    "dscores is the cached probs itself and is written to, so that a second backward starts from spoilt probs; take a copy.",
    (), ("mutates-input", "accumulates"), seed=3)
# ---------------------------------------------------------------- character RNN (min-char-rnn gist)
CHARRNN = '''
def forward(Wxh, Whh, Why, bh, by, hprev, inputs, targets):
    xs, hs, ps = {}, {-1: hprev}, {}; loss = 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((Wxh.shape[1], 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        o = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(o) / np.sum(np.exp(o)); loss += -np.log(ps[t][targets[t], 0])
    return loss, (xs, hs, ps, targets, Wxh, Whh, Why)
def backward(dloss, cache):
    xs, hs, ps, targets, Wxh, Whh, Why = cache
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros((Whh.shape[0], 1)), np.zeros((Why.shape[0], 1))
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(targets))):
        d = np.copy(ps[t]); d[targets[t]] -= 1; d *= dloss
        dWhy += np.dot(d, hs[t].T)
        dby += d
        dh = np.dot(Why.T, d) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh; dbh += dhraw
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh.T, dhraw)
    return dWxh, dWhh, dWhy, dbh, dby, dhnext
'''
def charrnn_data(r):
    g = lambda *s: 0.6 * r.normal(size=s)
    return ({"Wxh": g(4, 5), "Whh": g(4, 4), "Why": g(5, 4), "bh": g(4, 1), "by": g(5, 1), "hprev": g(4, 1)},
            {"inputs": [0, 3, 1, 4, 1, 2], "targets": [3, 1, 4, 1, 2, 0]})
add("min_char_rnn", "min-char-rnn gist, column vectors, summed loss, integer lists", CHARRNN, charrnn_data)
add("min_char_rnn_untransposed", "min-char-rnn gist, column vectors, summed loss, integer lists", CHARRNN, charrnn_data,
    ("dhnext = np.dot(Whh.T, dhraw)", "dhnext = np.dot(Whh, dhraw)"),
    "the gradient is carried to the step before with Whh instead of Whh.T.", ("Wxh", "Whh", "bh", "hprev"), ("transpose", "unknown"), seed=1)
# ---------------------------------------------------------------- tied autoencoder (deep learning tutorial)
TIED = '''
def get_hidden(x, W, bhid): return np.tanh(np.dot(x, W) + bhid)
def forward(W, bhid, bvis, x):
    h = get_hidden(x, W, bhid)
    a = np.dot(h, W.T) + bvis
    L = np.sum(np.logaddexp(0, a) - x * a, axis=1)
    return L, {"x": x, "h": h, "a": a, "W": W}
def backward(dL, c):
    x, h, W = c["x"], c["h"], c["W"]
    da = (1 / (1 + np.exp(-c["a"])) - x) * dL[:, None]
    dpre = np.dot(da, W) * (1 - h ** 2)
    gW = np.dot(x.T, dpre) + np.dot(da.T, h)
    return gW, dpre.sum(0), da.sum(0)
'''
def tied_data(v, n):
    return lambda r: ({"W": r.normal(size=(v, n)), "bhid": r.normal(size=n), "bvis": r.normal(size=v)},
                      {"x": (r.random((5, v)) < 0.5).astype(float)})
add("tied_autoencoder_bce", "deep learning tutorial, tied weights, cross-entropy per example", TIED, tied_data(6, 3))
add("tied_autoencoder_square", "deep learning tutorial, tied weights, cross-entropy per example", TIED, tied_data(4, 4),
    ("np.dot(da.T, h)", "np.dot(h.T, da)"),
    "the decoder uses W.T, so its part of the gradient of W is da.T h, not h.T da.", ("W",), ("transpose", "missing-term"), seed=2)
# ---------------------------------------------------------------- Gaussian mixture by gradient descent
GMM = '''
def log_softmax(a):
    a = a - a.max()
    return a - np.log(np.exp(a).sum())
def forward(pi_logits, means, log_stds, X):
    log_pi = log_softmax(pi_logits)
    z = (X[:, None, :] - means[None]) / np.exp(log_stds)[None]
    log_joint = log_pi - 0.5 * (z ** 2).sum(-1) - log_stds.sum(-1) - 0.5 * X.shape[1] * np.log(2 * np.pi)
    top = log_joint.max(1, keepdims=True); log_px = top[:, 0] + np.log(np.exp(log_joint - top).sum(1))
    resp = np.exp(log_joint - log_px[:, None])
    return -log_px, (resp, z, log_pi, log_stds)
def backward(dnll, cache):
    resp, z, log_pi, log_stds = cache; g = -dnll[:, None] * resp; std = np.exp(log_stds)
    d_pi = g.sum(0) - g.sum() * np.exp(log_pi); d_means = np.einsum("nk,nkd->kd", g, z) / std
    d_log_stds = np.einsum("nk,nkd->kd", g, z ** 2 - 1)
    return {"pi_logits": d_pi, "means": d_means, "log_stds": d_log_stds}
'''
def gmm_data(r):
    return ({"pi_logits": r.normal(size=3), "means": r.normal(size=(3, 2)), "log_stds": 0.5 * r.normal(size=(3, 2))},
            {"X": 1.5 * r.normal(size=(6, 2))})
add("gmm_nll", "statistics notebook, Gaussian mixture with log-sum-exp, per example", GMM, gmm_data)
add("gmm_nll_std", "statistics notebook, Gaussian mixture with log-sum-exp, per example", GMM, gmm_data,
    ("z ** 2 - 1)", "z ** 2 - 1) / std"),
    "this is the gradient of the standard deviations, not of their logarithms: multiply by std.", ("log_stds",), ("elementwise-factor",), seed=4)
# ---------------------------------------------------------------- RealNVP (right only)
add("realnvp_nll", "normalising-flow repository, masked couplings, loop over layers, per-example nll", '''
def forward(x, params, masks):
    z, logdet, tape = x, np.zeros(len(x)), []
    for k, m in enumerate(masks):
        h = z * m; th = np.tanh(h @ params["s%d" % k]); s = th * (1 - m); t = (h @ params["t%d" % k]) * (1 - m)
        tape.append((z, h, th, s, m)); z = h + (1 - m) * (z * np.exp(s) + t); logdet = logdet + s.sum(1)
    nll = 0.5 * (z ** 2).sum(1) + 0.5 * z.shape[1] * np.log(2 * np.pi) - logdet
    return nll, {"z": z, "tape": tape, "params": params}
def backward(dnll, cache):
    params, grads = cache["params"], {}; dz = cache["z"] * dnll[:, None]
    for k in reversed(range(len(cache["tape"]))):
        z, h, th, s, m = cache["tape"][k]; du = dz * (1 - m)
        dth = (du * z * np.exp(s) - dnll[:, None]) * (1 - m) * (1 - th ** 2); grads["s%d" % k] = h.T @ dth
        grads["t%d" % k] = h.T @ du
        dz = du * np.exp(s) + m * (dz + dth @ params["s%d" % k].T + du @ params["t%d" % k].T)
    return {"x": dz, "params": grads}
''', lambda r: ({"x": r.normal(size=(4, 4)), "params": {k: 0.7 * r.normal(size=(4, 4)) for k in ("s0", "t0", "s1", "t1", "s2", "t2")}},
                {"masks": [np.array([1.0, 0, 1, 0]), np.array([0.0, 1, 0, 1]), np.array([1.0, 1, 0, 0])]}))
# ---------------------------------------------------------------- a small autograd engine
ENGINE = '''
class Tensor:
    def __init__(self, data, _children=()):
        self.data = np.asarray(data); self.grad = np.zeros(self.data.shape); self._prev = _children
        self._backward = lambda: None
    def __matmul__(self, other):
        out = Tensor(self.data @ other.data, (self, other))
        def _backward(): self.grad += out.grad @ other.data.T; other.grad += self.data.T @ out.grad
        out._backward = _backward
        return out
    def __add__(self, other):
        out = Tensor(self.data + other.data, (self, other))
        def _backward():
            self.grad += out.grad
            other.grad += out.grad.sum(0) if other.data.ndim < out.data.ndim else out.grad
        out._backward = _backward
        return out
    def tanh(self):
        out = Tensor(np.tanh(self.data), (self,))
        def _backward(): self.grad += (1 - out.data ** 2) * out.grad
        out._backward = _backward
        return out
    def mse(self, target):
        out = Tensor(((self.data - target) ** 2).mean(), (self,))
        def _backward(): self.grad += 2 * (self.data - target) / target.size * out.grad
        out._backward = _backward
        return out
    def backward(self, seed):
        topo, visited = [], set()
        def build(v):
            if id(v) not in visited:
                visited.add(id(v))
                for child in v._prev: build(child)
                topo.append(v)
        build(self)
        for v in topo: v.grad = np.zeros(v.data.shape)
        self.grad = self.grad + seed
        for v in reversed(topo): v._backward()
def forward(w_in, w_rec, b, w_out, x, target):
    leaves = [Tensor(a) for a in (w_in, w_rec, b, w_out)]; wi, wr, bb, wo = leaves
    h = (Tensor(x) @ wi + bb).tanh(); h = (h @ wr + bb).tanh() + h; h = (h @ wr + bb).tanh()
    loss = (h @ wo).mse(target)
    return loss.data, (loss, leaves)
def backward(dy, cache):
    loss, leaves = cache; loss.backward(dy)
    return tuple(t.grad.copy() for t in leaves)
'''
def engine_data(r):
    return ({"w_in": r.normal(size=(3, 4)), "w_rec": r.normal(size=(4, 4)), "b": r.normal(size=4), "w_out": r.normal(size=(4, 2))},
            {"x": r.normal(size=(5, 3)), "target": r.normal(size=(5, 2))})
add("tiny_engine_shared_block", "micrograd-like engine with closures, a weight used twice, averaged loss", ENGINE, engine_data)
add("tiny_engine_no_zero_grad", "micrograd-like engine with closures, a weight used twice, averaged loss", ENGINE, engine_data,
    ("v.grad = np.zeros(v.data.shape)", "pass"),
    "the .grad of the graph is never set back to zero, so that a second backward adds to the first; zero it before the sweep.",
    (), ("accumulates",), seed=5)
# ---------------------------------------------------------------- Cox regression (right only)
add("cox_partial_likelihood", "survival-analysis package, Breslow partial likelihood with a ridge penalty", '''
def forward(X, beta, durations, events, penalizer):
    order = np.argsort(-durations); E = events[order]
    eta = (X @ beta)[order]
    shift = eta.max(); w = np.exp(eta - shift); risk = np.cumsum(w)
    loglik = np.sum(E * (eta - shift - np.log(risk))); loss = -loglik / E.sum() + 0.5 * penalizer * beta @ beta
    return loss, (X, beta, order, E, w, risk, penalizer)
def backward(dy, cache):
    X, beta, order, E, w, risk, penalizer = cache
    later = np.cumsum((E / risk)[::-1])[::-1]; deta = np.empty(len(E))
    deta[order] = dy * (w * later - E) / E.sum()
    return np.outer(deta, beta), X.T @ deta + dy * penalizer * beta
''', lambda r: ({"X": r.normal(size=(6, 3)), "beta": r.normal(size=3)},
                {"durations": r.exponential(size=6), "events": np.array([1, 0, 1, 1, 0, 1]), "penalizer": 0.3}))
# ---------------------------------------------------------------- BPR matrix factorisation (right only)
add("bpr_mf_repeated_users", "recommender repository, pairwise ranking with repeated indices, summed, L2 on the rows used", '''
def forward(P, Q, item_bias, u, i, j, lam):
    pu, qi, qj = P[u], Q[i], Q[j]; x_uij = np.sum(pu * (qi - qj), axis=1) + item_bias[i] - item_bias[j]
    reg = 0.5 * lam * (np.sum(pu ** 2) + np.sum(qi ** 2) + np.sum(qj ** 2))
    return np.sum(np.logaddexp(0.0, -x_uij)) + reg, (P, Q, u, i, j, x_uij, lam)
def backward(dy, cache):
    P, Q, u, i, j, x_uij, lam = cache; g = (-1.0 / (1.0 + np.exp(x_uij)))[:, None]
    gP, gQ, gb = np.zeros_like(P), np.zeros_like(Q), np.zeros(len(Q))
    np.add.at(gP, u, g * (Q[i] - Q[j]) + lam * P[u]); np.add.at(gQ, i, g * P[u] + lam * Q[i])
    np.subtract.at(gQ, j, g * P[u] - lam * Q[j]); np.add.at(gb, i, g[:, 0]); np.subtract.at(gb, j, g[:, 0])
    return {"item_bias": dy * gb, "Q": dy * gQ, "P": dy * gP}
''', lambda r: ({"P": r.normal(size=(3, 3)), "Q": r.normal(size=(5, 3)), "item_bias": r.normal(size=5)},
                {"u": np.array([0, 2, 0, 1, 0]), "i": np.array([1, 1, 4, 2, 1]), "j": np.array([3, 0, 3, 1, 0]), "lam": 0.05}))
# ---------------------------------------------------------------- PPO
PPO = '''
def forward(logits, values, actions, old_logp, adv, returns, clip, vf_coef, ent_coef):
    idx = np.arange(len(actions)); logp_all = logits - logits.max(1, keepdims=True)
    logp_all = logp_all - np.log(np.exp(logp_all).sum(1, keepdims=True))
    ratio = np.exp(logp_all[idx, actions] - old_logp); surr1 = ratio * adv
    surr2 = np.clip(ratio, 1 - clip, 1 + clip) * adv; entropy = -(np.exp(logp_all) * logp_all).sum(1)
    loss = -np.minimum(surr1, surr2).mean() + vf_coef * ((returns - values) ** 2).mean() - ent_coef * entropy.mean()
    return loss, dict(logp_all=logp_all, ratio=ratio, surr1=surr1, surr2=surr2, entropy=entropy, actions=actions, adv=adv,
                      td=returns - values, clip=clip, vf_coef=vf_coef, ent_coef=ent_coef)
def backward(dloss, c):
    n = len(c["actions"]); p = np.exp(c["logp_all"])
    active = c["surr1"] <= c["surr2"]
    dlogp = -c["adv"] * c["ratio"] * active / n; onehot = np.eye(p.shape[1])[c["actions"]]
    dlogits = dlogp[:, None] * (onehot - p)
    dlogits += c["ent_coef"] / n * p * (c["logp_all"] + c["entropy"][:, None])
    dvalues = -2 * c["vf_coef"] * c["td"] / n
    return dloss * dlogits, dloss * dvalues
'''
def ppo_data(ent):
    def data(r):
        logits, actions = r.normal(size=(6, 3)), np.array([0, 2, 1, 1, 0, 2])
        logp = (logits - np.log(np.exp(logits).sum(1, keepdims=True)))[np.arange(6), actions]
        old = logp - np.log(np.array([1.5, 0.5, 1.08, 1.6, 0.93, 0.6]))
        return ({"logits": logits, "values": r.normal(size=6)},
                {"actions": actions, "old_logp": old, "adv": np.array([-1.2, 0.8, 1.1, 0.9, -0.7, -1.4]), "returns": r.normal(size=6),
                 "clip": 0.2, "vf_coef": 0.5, "ent_coef": ent})
    return data
add("ppo_full_loss", "reinforcement-learning baselines, clipped surrogate, value loss and entropy bonus, averaged", PPO, ppo_data(0.05))
add("ppo_clip_mask", "reinforcement-learning baselines, clipped surrogate and value loss, averaged", PPO, ppo_data(0.0),
    ('active = c["surr1"] <= c["surr2"]', 'active = np.abs(c["ratio"] - 1) < c["clip"]'),
    "rows with a ratio outside the clip range are always cut off, also where the minimum takes the unclipped term; mask by surr1 <= surr2.",
    ("logits",), ("elementwise-factor", "zero"), seed=6)
# ---------------------------------------------------------------- message passing on an edge list (right only)
add("mpnn_graph_readout", "graph-network repository, features first, edge list with scatter-add and a mean readout per graph", '''
def forward(h, e, W_msg, W_edge, W_upd, src, dst, graph):
    n = h.shape[1]
    m = np.tanh(W_msg @ h[:, src] + W_edge @ e)
    agg = np.zeros((m.shape[0], n)); np.add.at(agg, (slice(None), dst), m)
    deg = np.maximum(np.bincount(dst, minlength=n), 1)
    pre = W_upd @ h + agg / deg
    out = np.where(pre > 0, pre, 0.1 * pre); size = np.bincount(graph)
    pool = (graph[:, None] == np.arange(len(size))) / size
    return out @ pool, (h, e, W_msg, W_edge, W_upd, src, dst, m, deg, pre, pool)
def backward(dy, cache):
    h, e, W_msg, W_edge, W_upd, src, dst, m, deg, pre, pool = cache
    dpre = dy @ pool.T; dpre *= np.where(pre > 0, 1.0, 0.1); dm = (dpre / deg)[:, dst] * (1 - m * m)
    dh = W_upd.T @ dpre
    np.add.at(dh.T, src, (W_msg.T @ dm).T)
    return {"h": dh, "e": W_edge.T @ dm, "W_msg": dm @ h[:, src].T, "W_edge": dm @ e.T, "W_upd": dpre @ h.T}
''', lambda r: ({"h": r.normal(size=(3, 6)), "e": r.normal(size=(2, 7)), "W_msg": r.normal(size=(4, 3)), "W_edge": r.normal(size=(4, 2)),
                 "W_upd": r.normal(size=(4, 3))},
                {"src": np.array([0, 1, 2, 0, 3, 4, 4]), "dst": np.array([1, 2, 1, 2, 4, 5, 3]), "graph": np.array([0, 0, 0, 1, 1, 1])}), seed=28)
# ---------------------------------------------------------------- Gaussian process evidence (right only)
add("gp_marginal_likelihood", "kernel-methods textbook code, Cholesky, squared exponential with a length for each dimension, scalar", '''
def forward(log_len, log_amp, log_noise, t, X):
    D2 = (X[:, None] - X[None]) ** 2 / np.exp(2 * log_len)
    Kf = np.exp(2 * log_amp) * np.exp(-0.5 * D2.sum(-1))
    L = np.linalg.cholesky(Kf + np.exp(2 * log_noise) * np.eye(len(t)))
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, t))
    nll = 0.5 * t @ alpha + np.log(np.diag(L)).sum() + 0.5 * len(t) * np.log(2 * np.pi)
    return nll, (D2, Kf, L, alpha, log_noise)
def backward(dy, cache):
    D2, Kf, L, alpha, log_noise = cache; Linv = np.linalg.inv(L)
    G = 0.5 * dy * (Linv.T @ Linv - np.outer(alpha, alpha)); GK = G * Kf
    return {"log_len": np.tensordot(GK, D2, 2), "log_amp": 2 * GK.sum(keepdims=True)[0],
            "log_noise": np.array([2 * np.exp(2 * log_noise[0]) * np.trace(G)]), "t": dy * alpha}
''', lambda r: ({"log_len": 0.4 * r.normal(size=2), "log_amp": np.array([0.3]), "log_noise": np.array([-0.7]), "t": r.normal(size=6)},
                {"X": r.normal(size=(6, 2))}))
# ---------------------------------------------------------------- linear-chain CRF (right only)
add("crf_sequence_nll", "sequence-tagging repository, time first, padded, forward-backward, per sequence", '''
def lse(a, axis):
    m = a.max(axis=axis, keepdims=True)
    return np.squeeze(m, axis) + np.log(np.exp(a - m).sum(axis=axis))
def forward(emissions, transitions, start, tags, lengths):
    B = emissions.shape[1]; llh, saved = np.zeros(B), []
    for b in range(B):
        n = lengths[b]; e, y = emissions[:n, b], tags[:n, b]; alpha = np.zeros_like(e); alpha[0] = start + e[0]
        for t in range(1, n): alpha[t] = e[t] + lse(alpha[t - 1][:, None] + transitions, 0)
        gold = start[y[0]] + e[np.arange(n), y].sum() + transitions[y[:-1], y[1:]].sum()
        logz = lse(alpha[-1], 0); llh[b] = gold - logz; saved.append((e, y, alpha, logz))
    return -llh, (emissions.shape, transitions, saved)
def backward(dnll, cache):
    shape, transitions, saved = cache; demit, dtrans = np.zeros(shape), np.zeros_like(transitions)
    dstart = np.zeros(shape[2])
    for b, (e, y, alpha, logz) in enumerate(saved):
        n = len(e); beta = np.zeros_like(e)
        for t in range(n - 2, -1, -1):
            beta[t] = lse(transitions + e[t + 1] + beta[t + 1], 1)
            pair = np.exp(alpha[t][:, None] + transitions + e[t + 1] + beta[t + 1] - logz)
            dtrans += dnll[b] * pair; dtrans[y[t], y[t + 1]] -= dnll[b]
        node = np.exp(alpha + beta - logz); node[np.arange(n), y] -= 1; demit[:n, b] = dnll[b] * node
        dstart += dnll[b] * node[0]
    return demit, dtrans, dstart
''', lambda r: ({"emissions": r.normal(size=(5, 3, 3)), "transitions": r.normal(size=(3, 3)), "start": r.normal(size=3)},
                {"tags": r.integers(0, 3, size=(5, 3)), "lengths": [5, 3, 4]}))
# ---------------------------------------------------------------- small conv net
CONVNET = '''
def forward(x, k, b, W, target):
    win = np.lib.stride_tricks.sliding_window_view(x, k.shape[2:], axis=(2, 3))
    conv = np.einsum("nchwij,fcij->nfhw", win, k) + b[:, None, None]; act = np.maximum(conv, 0)
    n, f, h, w = act.shape; blocks = act.reshape(n, f, h // 2, 2, w // 2, 2); pooled = blocks.max(axis=(3, 5))
    flat = pooled.reshape(n, -1)
    out = flat @ W
    loss = 0.5 * np.sum((out - target) ** 2) / n
    return loss, (x.shape, win, k, conv, blocks, pooled, flat, W, out - target)
def backward(dy, cache):
    xshape, win, k, conv, blocks, pooled, flat, W, diff = cache
    dout = dy * diff / len(diff)
    dW = flat.T @ dout
    dpool = (dout @ W.T).reshape(pooled.shape)[:, :, :, None, :, None]
    dact = ((blocks == pooled[:, :, :, None, :, None]) * dpool).reshape(conv.shape); dconv = dact * (conv > 0)
    dk = np.einsum("nchwij,nfhw->fcij", win, dconv)
    dx = np.zeros(xshape); h, w = dconv.shape[2:]
    for i in range(k.shape[2]):
        for j in range(k.shape[3]):
            dx[:, :, i:i + h, j:j + w] += np.einsum("nfhw,fc->nchw", dconv, k[:, :, i, j])
    return {"x": dx, "k": dk, "b": dconv.sum(axis=(0, 2, 3)), "W": dW}
'''
def conv_data(r):
    return ({"x": r.normal(size=(3, 2, 6, 6)), "k": r.normal(size=(3, 2, 3, 3)), "b": r.normal(size=3), "W": 0.5 * r.normal(size=(12, 2))},
            {"target": r.normal(size=(3, 2))})
add("small_convnet_mse", "conv net from scratch, sliding windows, max pool, half squared error averaged", CONVNET, conv_data, seed=7)
add("small_convnet_flipped_kernel", "conv net from scratch, sliding windows, max pool, half squared error averaged", CONVNET, conv_data,
    ('dk = np.einsum("nchwij,nfhw->fcij", win, dconv)', 'dk = np.einsum("nchwij,nfhw->fcij", win, dconv)[:, :, ::-1, ::-1]'),
    "the kernel gradient is flipped as for a true convolution, but forward is a cross-correlation: leave the flip out.",
    ("k",), ("transpose",), seed=30)
# ---------------------------------------------------------------- CP tensor factorisation (right only)
add("cp_decomposition_weighted", "tensor package, CP factors by einsum, weights and missing entries, ridge penalty", '''
def forward(factors, scale, tensor, weight, ridge):
    A, B, C = factors["A"], factors["B"], factors["C"]
    est = np.einsum("r,ir,jr,kr->ijk", scale, A, B, C, optimize=True)
    resid = np.where(weight > 0, est - np.nan_to_num(tensor), 0.0)
    loss = 0.5 * np.vdot(weight, resid ** 2) / np.count_nonzero(weight)
    for f in factors.values(): loss += 0.5 * ridge * np.vdot(f, f)
    return loss, (factors, scale, weight, resid, ridge)
def backward(dy, cache):
    factors, scale, weight, resid, ridge = cache; A, B, C = factors["A"], factors["B"], factors["C"]
    G = dy * weight * resid / np.count_nonzero(weight); gA = np.einsum("ijk,jr,kr->ir", G, B, C)
    dscale = (gA * A).sum(axis=0)
    out = {"A": gA * scale,
           "B": np.einsum("ijk,ir,kr->jr", G, A, C) * scale,
           "C": np.einsum("ijk,ir,jr->kr", G, A, B) * scale}
    for name in out: out[name] += dy * ridge * factors[name]
    return {"factors": out, "scale": dscale}
''', lambda r: ({"factors": {"A": r.normal(size=(3, 2)), "B": r.normal(size=(4, 2)), "C": r.normal(size=(2, 2))}, "scale": r.normal(size=2)},
                {"tensor": np.where(r.random((3, 4, 2)) < 0.2, np.nan, r.normal(size=(3, 4, 2))),
                 "weight": 0.0 + r.random((3, 4, 2)) * (np.arange(24).reshape(3, 4, 2) % 5 > 0) , "ridge": 0.02}), seed=9)

# ================================================================ wrong only
add("logistic_regression_intercept", "first machine-learning course, cost over 2m, theta with an intercept", '''
def sigmoid(z): return 1.0 / (1.0 + np.exp(-z))
def forward(theta, X, y, lam):
    m = y.size
    h = sigmoid(X.dot(theta))
    J = (-y.dot(np.log(h)) - (1 - y).dot(np.log(1 - h))) / m + lam / (2 * m) * np.sum(theta[1:] ** 2)
    return J, (theta, X, y, h, lam)
def backward(dJ, cache):
    theta, X, y, h, lam = cache
    m = y.size
    grad = X.T.dot(h - y) / m
    grad[1:] += lam / m * theta[1:]
    return dJ * grad
''', lambda r: ({"theta": np.array([0.9, -0.4, 0.7, -1.1])},
                {"X": np.c_[np.ones(6), r.normal(size=(6, 3))], "y": np.array([0.0, 1, 1, 0, 1, 0]), "lam": 1.5}),
    ("grad[1:] += lam / m * theta[1:]", "grad += lam / m * theta"),
    "the intercept theta[0] is not penalised in the cost but gets the penalty's gradient: add it to grad[1:] only.",
    ("theta",), ("missing-term",))
add("siamese_contrastive", "siamese-network repository, class with two branches, contrastive loss, averaged", '''
class Siamese:
    def __init__(self, W1, b1, W2, margin): self.p, self.margin = {"W1": W1, "b1": b1, "W2": W2}, margin
    def branch(self, x):
        h = np.tanh(x @ self.p["W1"] + self.p["b1"])
        return h @ self.p["W2"], (x, h)
    def branch_backward(self, de, saved, grads):
        x, h = saved
        da = (de @ self.p["W2"].T) * (1 - h ** 2)
        for name, g in (("W1", x.T @ da), ("b1", da.sum(0)), ("W2", h.T @ de)): grads[name] = grads[name] + g
def forward(W1, b1, W2, xa, xb, same, margin):
    net = Siamese(W1, b1, W2, margin)
    ea, sa = net.branch(xa); eb, sb = net.branch(xb); d = np.sqrt(((ea - eb) ** 2).sum(1))
    loss = np.mean(same * d ** 2 + (1 - same) * np.maximum(0, margin - d) ** 2)
    return loss, (net, sa, sb, ea - eb, d, same)
def backward(dloss, cache):
    net, sa, sb, diff, d, same = cache
    dd = dloss / len(d) * (2 * same * d - 2 * (1 - same) * np.maximum(0, net.margin - d))
    de = (dd / d)[:, None] * diff; grads = {name: np.zeros_like(v) for name, v in net.p.items()}
    net.branch_backward(de, sa, grads); net.branch_backward(-de, sb, grads)
    return grads
''', lambda r: ({"W1": r.normal(size=(3, 4)), "b1": r.normal(size=4), "W2": r.normal(size=(4, 2))},
                {"xa": r.normal(size=(5, 3)), "xb": r.normal(size=(5, 3)), "same": np.array([1, 0, 0, 1, 0]), "margin": 4.0}),
    ("grads[name] = grads[name] + g", "grads[name] = g"),
    "the second branch's gradients replace those of the first instead of being added to them.", ("W1", "b1", "W2"), ("missing-term",), seed=10)
add("lstm_last_state", "recurrent-net notebook, batch first, gates in one matrix, summed squared error on the last state", '''
def sig(a): return 1 / (1 + np.exp(-a))
def forward(Wx, Wh, b, Wo, x, y):
    N, T, _ = x.shape
    H = Wh.shape[0]
    h, c, steps = np.zeros((N, H)), np.zeros((N, H)), []
    for t in range(T):
        a = x[:, t] @ Wx + h @ Wh + b
        i, f, o, g = sig(a[:, :H]), sig(a[:, H:2 * H]), sig(a[:, 2 * H:3 * H]), np.tanh(a[:, 3 * H:])
        c_new = f * c + i * g; steps.append((x[:, t], h, c, i, f, o, g, np.tanh(c_new)))
        c, h = c_new, o * np.tanh(c_new)
    err = h @ Wo - y
    return np.sum(err ** 2), (steps, h, err, Wx, Wh, Wo)
def backward(dy, cache):
    steps, h, err, Wx, Wh, Wo = cache
    derr = 2 * dy * err
    dWo = h.T @ derr
    dh, dc_next = derr @ Wo.T, np.zeros_like(h)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wx.shape[1])
    for xt, hp, cp, i, f, o, g, tc in reversed(steps):
        dc = dh * o * (1 - tc ** 2) + dc_next
        da = np.hstack([dc * g * i * (1 - i), dc * cp * f * (1 - f), dh * tc * o * (1 - o), dc * i * (1 - g ** 2)])
        dWx += xt.T @ da
        dWh += hp.T @ da
        db += da.sum(0)
        dh = da @ Wh.T
        dc_next = dc * f
    return {"Wx": dWx, "Wh": dWh, "b": db, "Wo": dWo}
''', lambda r: ({"Wx": 0.7 * r.normal(size=(2, 12)), "Wh": 0.7 * r.normal(size=(3, 12)), "b": r.normal(size=12), "Wo": r.normal(size=(3, 2))},
                {"x": r.normal(size=(4, 4, 2)), "y": r.normal(size=(4, 2))}),
    ("dc_next = dc * f", "dc_next = dc"),
    "the cell's gradient goes to the step before without the forget gate: dc * f.", ("Wx", "Wh", "b"), ("elementwise-factor", "unknown"), seed=11)
add("seq2seq_encoder_decoder", "sequence-to-sequence tutorial, two plain RNNs, teacher forcing, summed cross-entropy", '''
def step(tok, h, Wx, Wh, b): return np.tanh(Wx[tok] + h @ Wh + b)
def forward(enc_Wx, enc_Wh, enc_b, dec_Wx, dec_Wh, dec_b, Wo, source, target):
    h = np.zeros((source.shape[0], enc_Wh.shape[0]))
    enc, dec, loss = [h], [], 0.0
    for t in range(source.shape[1]): enc.append(step(source[:, t], enc[-1], enc_Wx, enc_Wh, enc_b))
    dec, probs = [enc[-1]], []; rows = np.arange(len(target))
    for t in range(target.shape[1] - 1):
        dec.append(step(target[:, t], dec[-1], dec_Wx, dec_Wh, dec_b))
        e = np.exp(dec[-1] @ Wo)
        probs.append(e / e.sum(1, keepdims=True)); loss -= np.log(probs[-1][rows, target[:, t + 1]]).sum()
    return loss, (enc, dec, probs, source, target, enc_Wx, enc_Wh, dec_Wx, dec_Wh, Wo)
def step_backward(dh, h, hp, tok, Wh, gWx, gWh, gb):
    da = dh * (1 - h ** 2)
    np.add.at(gWx, tok, da)
    gWh += hp.T @ da
    gb += da.sum(0)
    return da @ Wh.T
def backward(dy, cache):
    enc, dec, probs, source, target, enc_Wx, enc_Wh, dec_Wx, dec_Wh, Wo = cache
    genc = [np.zeros_like(enc_Wx), np.zeros_like(enc_Wh), np.zeros(len(enc_Wh))]
    gdec = [np.zeros_like(dec_Wx), np.zeros_like(dec_Wh), np.zeros(len(dec_Wh))]
    gWo = np.zeros_like(Wo)
    dh = np.zeros_like(dec[0])
    for t in reversed(range(len(probs))):
        d = dy * (probs[t] - np.eye(Wo.shape[1])[target[:, t + 1]])
        gWo += dec[t + 1].T @ d
        dh = step_backward(dh + d @ Wo.T, dec[t + 1], dec[t], target[:, t], dec_Wh, *gdec)
    dh_enc = dh
    for t in reversed(range(source.shape[1])):
        dh_enc = step_backward(dh_enc, enc[t + 1], enc[t], source[:, t], enc_Wh, *genc)
    return (*genc, *gdec, gWo)
''', lambda r: ({k: 0.7 * r.normal(size=s) for k, s in (("enc_Wx", (4, 3)), ("enc_Wh", (3, 3)), ("enc_b", (3,)), ("dec_Wx", (5, 3)),
                                                         ("dec_Wh", (3, 3)), ("dec_b", (3,)), ("Wo", (3, 5)))},
                {"source": np.array([[0, 3, 1], [2, 2, 0], [1, 3, 3]]), "target": np.array([[0, 2, 4, 1], [0, 3, 3, 1], [0, 4, 2, 1]])}),
    ("dh_enc = dh\n", "dh_enc = np.zeros_like(dh)\n"),
    "the decoder's gradient of its first state is dropped, so nothing reaches the encoder: start the encoder's sweep from dh.",
    ("enc_Wx", "enc_Wh", "enc_b"), ("zero",), seed=12)
add("masked_attention_tagger", "transformer from scratch, one attention head, labels of -100 left out, averaged over the tokens kept", '''
def softmax(a):
    a = np.exp(a - a.max(-1, keepdims=True))
    return a / a.sum(-1, keepdims=True)
def forward(emb, Wq, Wk, Wv, Wo, pad, labels):
    q, k, v = emb @ Wq, emb @ Wk, emb @ Wv
    s = q @ k.transpose(0, 2, 1) / np.sqrt(Wq.shape[1])
    att = softmax(np.where(pad[:, None, :], -1e9, s)); ctx = att @ v
    probs = softmax(ctx @ Wo)
    keep = labels != -100; n, t = np.nonzero(keep); loss = -np.log(probs[n, t, labels[keep]]).sum() / keep.sum()
    return loss, (emb, Wq, Wk, Wv, Wo, q, k, v, att, ctx, probs, labels, keep)
def backward(dloss, cache):
    emb, Wq, Wk, Wv, Wo, q, k, v, att, ctx, probs, labels, keep = cache
    T = lambda a: a.transpose(0, 2, 1); n, t = np.nonzero(keep); dlog = probs * keep[:, :, None]
    dlog[n, t, labels[keep]] -= 1
    dlog *= dloss / keep.sum()
    dctx = dlog @ Wo.T
    datt = dctx @ T(v)
    ds = att * (datt - (datt * att).sum(-1, keepdims=True)) / np.sqrt(Wq.shape[1])
    dq, dk, dv = ds @ k, T(ds) @ q, T(att) @ dctx; grad = lambda a, g: np.einsum("btd,bth->dh", a, g)
    return {"emb": dq @ Wq.T + dk @ Wk.T + dv @ Wv.T, "Wq": grad(emb, dq), "Wk": grad(emb, dk), "Wv": grad(emb, dv),
            "Wo": grad(ctx, dlog)}
''', lambda r: ({"emb": r.normal(size=(3, 4, 3)), "Wq": r.normal(size=(3, 3)), "Wk": r.normal(size=(3, 3)), "Wv": r.normal(size=(3, 3)),
                 "Wo": r.normal(size=(3, 4))},
                {"pad": np.array([[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 1]], bool),
                 "labels": np.array([[1, 0, -100, 3], [2, 2, 1, -100], [0, 3, -100, -100]])}),
    ("dlog *= dloss / keep.sum()", "dlog *= dloss / labels.size"),
    "backward divides by all tokens, forward by those that are not ignored: divide by keep.sum().",
    ("emb", "Wq", "Wk", "Wv", "Wo"), ("factor",), seed=13)
add("triplet_margin_loss", "face-recognition repository, squared distances, hinge, averaged", '''
def forward(anchor, positive, negative, margin):
    d_ap = np.sum(np.square(anchor - positive), axis=-1); d_an = np.sum(np.square(anchor - negative), axis=-1)
    hinge = np.maximum(d_ap - d_an + margin, 0.0)
    return hinge.mean(), (anchor, positive, negative, hinge)
def backward(dout, cache):
    anchor, positive, negative, hinge = cache; scale = (2.0 * dout / len(hinge)) * (hinge > 0)[:, None]
    d_anchor = scale * (negative - positive)
    d_positive = scale * (positive - anchor)
    d_negative = scale * (anchor - negative)
    return d_anchor, d_positive, d_negative
''', lambda r: ({k: r.normal(size=(5, 3)) for k in ("anchor", "positive", "negative")}, {"margin": 3.0}),
    ("scale * (positive - anchor)", "scale * (anchor - positive)"),
    "the positive is pushed away: its gradient is scale * (positive - anchor).", ("positive",), ("sign",), seed=14)
add("ntxent_projection", "self-supervised repository, normalised temperature-scaled cross-entropy over 2N views", '''
def forward(z, tau):
    norm = np.linalg.norm(z, axis=1, keepdims=True); u = z / norm; sim = u @ u.T / tau
    np.fill_diagonal(sim, -np.inf); m = sim.max(1, keepdims=True); p = np.exp(sim - m)
    lse = m[:, 0] + np.log(p.sum(1)); p /= p.sum(1, keepdims=True); n2 = len(z)
    partner = (np.arange(n2) + n2 // 2) % n2
    return np.mean(lse - sim[np.arange(n2), partner]), {"u": u, "norm": norm, "p": p, "partner": partner, "tau": tau}
def backward(dy, cache):
    u, n2 = cache["u"], len(cache["u"]); dsim = cache["p"] - np.eye(n2)[cache["partner"]]; dsim = dsim * dy / n2
    du = (dsim + dsim.T) @ u / cache["tau"]
    dz = (du - u * np.sum(u * du, axis=1, keepdims=True)) / cache["norm"]
    return dz
''', lambda r: ({"z": r.normal(size=(6, 4))}, {"tau": 0.5}),
    ("dz = (du - u * np.sum(u * du, axis=1, keepdims=True)) / cache[\"norm\"]", "dz = du / cache[\"norm\"]"),
    "the normalisation is taken back with the norm held constant: the part along u is to be subtracted.", ("z",), ("missing-term",), seed=15)
add("clip_logit_scale", "image-text repository, symmetric cross-entropy with a learned log temperature", '''
def xent(logits):
    p = np.exp(logits - logits.max(1, keepdims=True)); p /= p.sum(1, keepdims=True)
    return -np.log(np.diag(p)).mean(), (p - np.eye(len(p))) / len(p)
def forward(image_emb, text_emb, logit_scale):
    scale = np.exp(logit_scale)
    sim = image_emb @ text_emb.T
    loss_i, gi = xent(scale * sim); loss_t, gt = xent(scale * sim.T)
    return (loss_i + loss_t) / 2, (image_emb, text_emb, scale, sim, (gi + gt.T) / 2)
def backward(dy, cache):
    image_emb, text_emb, scale, sim, g = cache
    dlogits = dy * g; dscale = np.sum(dlogits * sim)
    dlogit_scale = dscale * scale
    dsim = scale * dlogits
    return {"image_emb": dsim @ text_emb, "text_emb": dsim.T @ image_emb, "logit_scale": np.reshape(dlogit_scale, (1,))}
''', lambda r: ({"image_emb": r.normal(size=(4, 3)), "text_emb": r.normal(size=(4, 3)), "logit_scale": np.array([0.8])}, {}),
    ("dlogit_scale = dscale * scale", "dlogit_scale = dscale"),
    "logit_scale is the logarithm of the scale: its gradient is dscale * exp(logit_scale).",
    ("logit_scale",), ("factor", "elementwise-factor"), seed=16)
add("glow_step_nll", "flow repository, actnorm and an invertible 1x1 convolution, per-example nll", '''
def forward(x, bias, logs, W):
    n, c, h, w = x.shape; a = (x + bias[:, None, None]) * np.exp(logs)[:, None, None]
    z = np.einsum("oc,nchw->nohw", W, a)
    logdet = h * w * (logs.sum() + np.linalg.slogdet(W)[1])
    nll = 0.5 * (z ** 2 + np.log(2 * np.pi)).sum(axis=(1, 2, 3)) - logdet
    return nll, (a, logs, W, z)
def backward(dnll, cache):
    a, logs, W, z = cache
    pixels = z.shape[2] * z.shape[3]; dz = dnll[:, None, None, None] * z; dlogdet = -pixels * dnll.sum()
    dW = np.einsum("nohw,nchw->oc", dz, a) + dlogdet * np.linalg.inv(W).T
    da = np.einsum("oc,nohw->nchw", W, dz)
    dlogs = (da * a).sum(axis=(0, 2, 3)) + dlogdet; dx = da * np.exp(logs)[:, None, None]
    return dx, dx.sum(axis=(0, 2, 3)), dlogs, dW
''', lambda r: ({"x": r.normal(size=(3, 3, 2, 2)), "bias": r.normal(size=3), "logs": 0.4 * r.normal(size=3), "W": r.normal(size=(3, 3))}, {}),
    ("dlogdet * np.linalg.inv(W).T", "dlogdet * np.linalg.inv(W)"),
    "the gradient of log|det W| is the transpose of the inverse of W.", ("W",), ("transpose", "missing-term"), seed=17)
add("reinforce_with_baseline", "policy-gradient homework, separate policy and value heads, advantages given", '''
class Agent:
    def loss(self, Wp, bp, Wv, bv, obs, acts, rets, adv):
        logits = obs @ Wp + bp
        logits = logits - logits.max(1, keepdims=True)
        self_p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        v = obs @ Wv + bv
        chosen = self_p[np.arange(len(acts)), acts]
        return -(adv * np.log(chosen)).mean() + 0.5 * ((rets - v) ** 2).mean(), (obs, acts, rets, adv, self_p, v)
    def grads(self, dy, cache):
        obs, acts, rets, adv, p, v = cache; n = len(acts); g = p * adv[:, None]; g[np.arange(n), acts] -= adv
        g *= dy / n
        gv = dy * (v - rets) / n
        return {"Wp": obs.T @ g, "bp": g.sum(0), "Wv": obs.T @ gv, "bv": gv.sum(keepdims=True)}
agent = Agent()
forward, backward = agent.loss, agent.grads
''', lambda r: ({"Wp": r.normal(size=(3, 4)), "bp": r.normal(size=4), "Wv": r.normal(size=3), "bv": r.normal(size=1)},
                {"obs": r.normal(size=(6, 3)), "acts": np.array([1, 0, 3, 2, 1, 1]), "rets": r.normal(size=6), "adv": r.normal(size=6)}),
    ("gv = dy * (v - rets) / n", "gv = dy * (rets - v) / n"),
    "the value head's gradient points uphill: it is v - rets.", ("Wv", "bv"), ("sign",), seed=18)
add("gcn_two_layers", "graph convolution repository, row-normalised adjacency, masked cross-entropy", '''
def forward(X, W1, W2, A, y, train):
    A_hat = A + np.eye(len(A)); A_hat = A_hat / A_hat.sum(axis=1, keepdims=True)
    AX = A_hat @ X
    H = np.maximum(AX @ W1, 0)
    AH = A_hat @ H
    S = AH @ W2
    P = np.exp(S - S.max(1, keepdims=True)); P /= P.sum(1, keepdims=True)
    loss = -np.mean(np.log(P[train, y[train]]))
    return loss, (A_hat, AX, H, AH, P, W1, W2, y, train)
def backward(dloss, cache):
    A_hat, AX, H, AH, P, W1, W2, y, train = cache
    dS = np.zeros_like(P); dS[train] = P[train]; dS[train, y[train]] -= 1; dS *= dloss / len(train)
    dZ = (A_hat.T @ dS @ W2.T) * (H > 0)
    dX = A_hat.T @ (dZ @ W1.T)
    return {"X": dX, "W1": AX.T @ dZ, "W2": AH.T @ dS}
''', lambda r: ({"X": r.normal(size=(5, 3)), "W1": r.normal(size=(3, 4)), "W2": r.normal(size=(4, 3))},
                {"A": np.array([[0, 1, 0, 0, 1], [1, 0, 1, 1, 0], [0, 1, 0, 0, 0], [0, 1, 0, 0, 1], [1, 0, 0, 1, 0.0]]),
                 "y": np.array([0, 2, 1, 1, 0]), "train": np.array([0, 1, 3])}),
    ("dX = A_hat.T @ (dZ @ W1.T)", "dX = A_hat @ (dZ @ W1.T)"),
    "A_hat is normalised by rows and not symmetric: the gradient of X takes A_hat.T.", ("X",), ("transpose",), seed=19)
add("skipgram_negative_sampling", "word2vec from scratch, embedding rows by index, summed over pairs", '''
def sigmoid(x): return 1 / (1 + np.exp(-x))
def forward(W_in, W_out, center, context, negatives):
    v = W_in[center]
    u = W_out[np.concatenate([context[:, None], negatives], axis=1)]
    label = np.zeros(u.shape[:2]); label[:, 0] = 1; score = np.einsum("nd,nkd->nk", v, u)
    loss = -np.log(sigmoid(np.where(label == 1, score, -score))).sum()
    return loss, (W_in, W_out, center, context, negatives, v, u, score, label)
def backward(dy, cache):
    W_in, W_out, center, context, negatives, v, u, score, label = cache
    g = dy * (sigmoid(score) - label)
    dW_in, dW_out = np.zeros_like(W_in), np.zeros_like(W_out)
    np.add.at(dW_in, center, np.einsum("nk,nkd->nd", g, u))
    np.add.at(dW_out, context, g[:, :1] * v)
    np.add.at(dW_out, negatives, g[:, 1:, None] * v[:, None])
    return dW_in, dW_out
''', lambda r: ({"W_in": r.normal(size=(5, 3)), "W_out": r.normal(size=(5, 3))},
                {"center": np.array([2, 2, 0, 3, 2]), "context": np.array([1, 3, 1, 2, 0]),
                 "negatives": np.array([[4, 0], [4, 4], [2, 3], [0, 1], [1, 4]])}),
    ('np.add.at(dW_in, center, np.einsum("nk,nkd->nd", g, u))', 'dW_in[center] += np.einsum("nk,nkd->nd", g, u)'),
    "dW_in[center] += keeps only one of the pairs with the same centre word: use np.add.at.", ("W_in",), ("batch-sum", "missing-term"), seed=20)
add("function_graph_row_bias", "toy framework with Function objects and a context, biases kept as rows (1, H), activations out", '''
def unbroadcast(grad, shape):
    axes = tuple(i for i, (g, s) in enumerate(zip(grad.shape, shape)) if s == 1 and g != 1)
    return grad.sum(axis=axes, keepdims=True) if axes else grad
class Function:
    def __call__(self, *args):
        self.saved = args; self.out = self.forward(*args)
        return self.out
class Add(Function):
    def forward(self, a, b): return a + b
    def backward(self, g): return [unbroadcast(g, s.shape) for s in self.saved]
class MatMul(Function):
    def forward(self, a, b): return a @ b
    def backward(self, g):
        a, b = self.saved
        return [g @ b.T, a.T @ g]
class Softplus(Function):
    def forward(self, a): return np.logaddexp(0, a)
    def backward(self, g): return [g * (1 - np.exp(-self.out))]
def forward(x, w1, b1, w2, b2):
    ops = [MatMul(), Add(), Softplus(), MatMul(), Add()]
    z = ops[2](ops[1](ops[0](x, w1), b1))
    return ops[4](ops[3](z, w2), b2), ops
def backward(dy, ops):
    g, db2 = ops[4].backward(dy); g, dw2 = ops[3].backward(g); g, = ops[2].backward(g)
    g, db1 = ops[1].backward(g)
    dx, dw1 = ops[0].backward(g)
    return {"x": dx, "w1": dw1, "b1": db1, "w2": dw2, "b2": db2}
''', lambda r: ({"x": r.normal(size=(5, 3)), "w1": r.normal(size=(3, 4)), "b1": r.normal(size=(1, 4)), "w2": r.normal(size=(4, 2)),
                 "b2": r.normal(size=(1, 2))}, {}),
    ("grad.sum(axis=axes, keepdims=True)", "grad.sum(axis=axes)"),
    "the sum over the broadcast axis drops the axis, so that biases of shape (1, H) get gradients of shape (H,): keepdims=True.",
    ("b1", "b2"), ("shape",), seed=21)
add("denoising_autoencoder", "deep learning tutorial, masking noise on the input, squared error per example", '''
def corrupt(x, level): return x * (np.random.random_sample(x.shape) > level)
def forward(W, b, V, c, x, level):
    x_tilde = corrupt(x, level)
    h = 1 / (1 + np.exp(-(x_tilde @ W + b)))
    r = h @ V + c
    return ((r - x) ** 2).sum(axis=1), (x, x_tilde, h, r, V)
def backward(dL, cache):
    x, x_tilde, h, r, V = cache; dr = 2 * (r - x) * dL[:, None]; da = (dr @ V.T) * h * (1 - h)
    return x_tilde.T @ da, da.sum(0), h.T @ dr, dr.sum(0)
''', lambda r: ({"W": r.normal(size=(5, 3)), "b": r.normal(size=3), "V": r.normal(size=(3, 5)), "c": r.normal(size=5)},
                {"x": r.normal(size=(4, 5)), "level": 0.4}),
    None, "the masking noise is drawn inside forward, so that two calls are two functions: hand the mask in as an argument.",
    (), ("noise-redrawn",), seed=22)
add("glove_cooccurrence", "word vectors from scratch, weighted least squares on log counts", '''
def forward(W, C, bw, bc, X, x_max, alpha):
    f = np.minimum((X / x_max) ** alpha, 1.0)
    err = np.where(X > 0, W @ C.T + bw[:, None] + bc[None, :] - np.log(np.maximum(X, 1)), 0.0)
    return np.sum(f * err ** 2), (W, C, f, err)
def backward(dJ, cache):
    W, C, f, err = cache
    g = 2 * dJ * f * err
    return {"W": g @ C, "C": g.T @ W, "bw": g.sum(axis=1), "bc": g.sum(axis=0)}
''', lambda r: ({"W": r.normal(size=(5, 3)), "C": r.normal(size=(5, 3)), "bw": r.normal(size=5), "bc": r.normal(size=5)},
                {"X": r.integers(0, 12, size=(5, 5)).astype(float), "x_max": 10.0, "alpha": 0.75}),
    ("g = 2 * dJ * f * err\n", "g = (2 * dJ * f * err).astype(np.float32)\n"),
    "the residuals are cast to float32 in backward, and every gradient keeps only seven digits: leave the cast out.",
    ("W", "C", "bw", "bc"), ("precision",), seed=23)
add("pairwise_distance_embedding", "metric-learning repository, all pairs of the batch, Euclidean distances, averaged", '''
def forward(X, W, labels, margin):
    E = np.tanh(X @ W)
    diff = E[:, None] - E[None]; dist = np.sqrt((diff ** 2).sum(-1)); off = 1.0 - np.eye(len(E))
    same = (labels[:, None] == labels) * off; other = off - same
    loss = (same * dist + other * np.maximum(margin - dist, 0)).sum() / off.sum()
    return loss, (X, W, E, diff, dist, same, other, margin)
def backward(dy, cache):
    X, W, E, diff, dist, same, other, margin = cache
    ddist = dy * (same - other * (dist < margin)) / (same + other).sum()
    with np.errstate(all="ignore"):
        g = (ddist / (dist + (dist == 0)))[:, :, None] * diff
    dE = g.sum(1) - g.sum(0); da = dE * (1 - E ** 2)
    return da @ W.T, X.T @ da
''', lambda r: ({"X": r.normal(size=(5, 3)), "W": r.normal(size=(3, 3))}, {"labels": np.array([0, 1, 0, 1, 1]), "margin": 3.0}),
    ("ddist / (dist + (dist == 0))", "ddist / dist"),
    "the distance of a point to itself is zero and the slope of the root there is 0/0: guard the diagonal.", ("X", "W"), ("non-finite",), seed=24)
add("mixture_density_network", "mixture density network notebook, three Gaussians in one output layer, averaged", '''
def forward(W1, b1, W2, b2, x, t):
    h = np.tanh(x @ W1 + b1)
    out = h @ W2 + b2
    a, mu, ls = np.split(out, 3, axis=1); a = a - a.max(1, keepdims=True)
    log_mix = a - np.log(np.exp(a).sum(1, keepdims=True)); z = (t[:, None] - mu) / np.exp(ls)
    lp = log_mix - 0.5 * z ** 2 - ls - 0.5 * np.log(2 * np.pi); ll = np.log(np.exp(lp).sum(1))
    return -ll.mean(), {"x": x, "h": h, "W2": W2, "mix": np.exp(log_mix), "gamma": np.exp(lp - ll[:, None]), "z": z, "ls": ls}
def backward(dy, s):
    gam, z = s["gamma"], s["z"]
    dout = np.concatenate([s["mix"] - gam, -gam * z / np.exp(s["ls"]), gam * (1 - z ** 2)], axis=1) * dy / len(z)
    dpre = (dout @ s["W2"].T) * (1 - s["h"] ** 2)
    grads = {"W2": s["h"].T @ dout, "W1": s["x"].T @ dpre}
    grads["b2"] = dout.sum(axis=0)
    grads["b1"] = dpre.sum(axis=0)
    return grads
''', lambda r: ({"W1": r.normal(size=(2, 4)), "b1": r.normal(size=4), "W2": 0.6 * r.normal(size=(4, 9)), "b2": 0.5 * r.normal(size=9)},
                {"x": r.normal(size=(5, 2)), "t": r.normal(size=5)}),
    ('grads["b2"] = dout.sum(axis=0)', 'grads["b2"] = dout'),
    "the gradient of the output bias is not summed over the batch.", ("b2",), ("batch-sum", "shape"), seed=25)
add("plsa_document_nll", "topic-model notebook, softmax weights for documents and words, per-document loss", '''
def softmax(a):
    e = np.exp(a - a.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
def forward(doc_logits, word_logits, counts):
    theta, phi = softmax(doc_logits), softmax(word_logits)
    prob = theta @ phi; nll = -np.sum(counts * np.log(prob), axis=1)
    return nll, (theta, phi, prob, counts)
def backward(dnll, cache):
    theta, phi, prob, counts = cache
    dprob = -counts / prob * dnll[:, None]
    dtheta, dphi = dprob @ phi.T, theta.T @ dprob
    jac = lambda p, g: p * (g - (p * g).sum(axis=1, keepdims=True))
    return jac(theta, dtheta), jac(phi, dphi)
''', lambda r: ({"doc_logits": r.normal(size=(4, 3)), "word_logits": r.normal(size=(3, 6))}, {"counts": r.integers(0, 5, size=(4, 6))}),
    ("dprob = -counts / prob * dnll[:, None]", "dprob = -counts / prob"),
    "backward does not use the gradient handed to it: every document counts with weight one instead of dnll.",
    ("doc_logits", "word_logits"), ("elementwise-factor", "batch-sum"), seed=26)
add("sigmoid_network_columns", "neural-networks book, columns of examples, sigmoid_prime, quadratic cost over 2n", '''
def sigmoid(z): return 1.0 / (1.0 + np.exp(-z))
def sigmoid_prime(z): return sigmoid(z) * (1 - sigmoid(z))
def forward(w1, b1, w2, b2, x, y):
    z1 = np.dot(w1, x) + b1
    a1 = sigmoid(z1); z2 = np.dot(w2, a1) + b2; a2 = sigmoid(z2)
    return np.sum((a2 - y) ** 2) / (2 * x.shape[1]), (x, y, z1, a1, z2, a2, w2)
def backward(dC, cache):
    x, y, z1, a1, z2, a2, w2 = cache; delta2 = dC * (a2 - y) * sigmoid_prime(z2) / x.shape[1]
    delta1 = np.dot(w2.T, delta2) * sigmoid_prime(z1)
    return (np.dot(delta1, x.T), delta1.sum(axis=1, keepdims=True),
            np.dot(delta2, a1.T), delta2.sum(axis=1, keepdims=True))
''', lambda r: ({"w1": 2 * r.normal(size=(4, 3)), "b1": r.normal(size=(4, 1)), "w2": 2 * r.normal(size=(2, 4)), "b2": r.normal(size=(2, 1))},
                {"x": r.normal(size=(3, 5)), "y": r.random((2, 5))}),
    ("* sigmoid_prime(z1)", "* sigmoid_prime(a1)"),
    "sigmoid_prime takes the pre-activation, and is given the activation a1 in the hidden layer.",
    ("w1", "b1"), ("elementwise-factor", "unknown"), seed=27)


# ================================================================ verification
def _leaves(d, pre=""):
    for k, v in d.items():
        if isinstance(v, dict):
            yield from _leaves(v, pre + k + ".")
        else:
            yield pre + k, v


def _named(g, inputs):
    if not isinstance(g, dict):
        g = dict(zip(inputs, g if isinstance(g, tuple) else (g,)))
    assert set(g) == set(inputs)
    return {k: np.array(v) for k, v in _leaves(g)}


def _numeric(case, dy, h):
    out = {}
    value = lambda: np.sum(dy * case["forward"](**case["inputs"], **case["constants"])[0])
    for name, a in _leaves(case["inputs"]):
        g = out[name] = np.zeros(a.shape)
        for i in np.ndindex(a.shape):
            old = a[i]
            vals = []
            for s in (1, -1, 2, -2):
                a[i] = old + s * h
                vals.append(value())
            a[i] = old
            g[i] = (8 * (vals[0] - vals[1]) - (vals[2] - vals[3])) / (12 * h)
    return out


def _far(got, want):
    """The largest error against the size of the gradient; infinite for another shape or NaN."""
    if got.shape != want.shape or not np.isfinite(got).all():
        return np.inf
    return np.abs(got - want).max() / max(1e-3, np.abs(want).max())


def verify(item):
    case = item.make()
    if "noise-redrawn" in item.causes:
        a, b = (case["forward"](**case["inputs"], **case["constants"])[0] for _ in range(2))
        assert not np.array_equal(a, b)
        state = np.random.get_state()
        inner = case["forward"]
        case["forward"] = lambda **kw: (np.random.set_state(state), inner(**kw))[1]
    before = {k: np.copy(v) for k, v in [*_leaves(case["inputs"]), *_leaves(case["constants"])]}
    y, cache = case["forward"](**case["inputs"], **case["constants"])
    dy = np.random.default_rng(99).normal(size=np.shape(y)) + 0.3
    kept, dy = dy, np.copy(dy) if np.ndim(y) else float(dy)
    first, second = (_named(case["backward"](dy, cache), case["inputs"]) for _ in range(2))
    assert np.array_equal(dy, kept)
    assert all(np.array_equal(before[k], v, equal_nan=np.asarray(v).dtype.kind == "f")
               for k, v in [*_leaves(case["inputs"]), *_leaves(case["constants"])])
    want, coarse = _numeric(case, dy, 1e-4), _numeric(case, dy, 2e-3)
    for k in want:   # no kink near by
        assert _far(coarse[k], want[k]) < 1e-5, (item.name, "kink", k, _far(coarse[k], want[k]))
    err = {k: _far(first[k], want[k]) for k in want}
    again = any(not np.array_equal(first[k], second[k], equal_nan=True) for k in first)
    assert again == bool({"mutates-input", "accumulates"} & set(item.causes)), item.name
    for k, e in err.items():
        small = any(np.abs(v).max() < 1e-4 for v in (want[k],))
        assert not small, (item.name, k, "tiny gradient")
        if k not in item.wrong:
            assert e < 1e-8, (item.name, k, e)
        elif "precision" in item.causes:
            assert first[k].dtype == np.float64 or first[k].dtype == np.float32
            assert 1e-9 < e < 1e-5, (item.name, k, e)
        elif "non-finite" in item.causes:
            assert np.isnan(first[k]).any()
        else:
            assert e > 2e-2, (item.name, k, e)
    assert item.right == (not item.causes) and set(item.wrong) <= set(want)


if __name__ == "__main__":
    assert len({i.name for i in ITEMS}) == len(ITEMS)
    bad = 0
    for item in ITEMS:
        try:
            verify(item)
        except Exception as e:
            bad += 1
            print("FAILED", item.name, type(e).__name__, e)
    print(sum(not i.right for i in ITEMS), "wrong,", sum(i.right for i in ITEMS), "right,", bad, "failed")
