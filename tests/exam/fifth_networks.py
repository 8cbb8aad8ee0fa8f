"""Exam paper: functions with several steps, and whole models."""
from collections import namedtuple
from types import SimpleNamespace
from typing import Callable, NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.special import digamma, gammaln


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


# =====================================================================================
# course assignment, two layer net
# =====================================================================================
def two_layer_loss(X, W1, b1, W2, b2, y, reg):
    N = X.shape[0]
    z1 = X.dot(W1) + b1
    a1 = np.maximum(0, z1)
    scores = a1.dot(W2) + b2
    scores = scores - np.max(scores, axis=1, keepdims=True)
    probs = np.exp(scores)
    probs = probs / np.sum(probs, axis=1, keepdims=True)
    data_loss = -np.sum(np.log(probs[np.arange(N), y])) / N
    reg_loss = reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    return data_loss + reg_loss, (X, W1, W2, z1, a1, probs, y, reg)


def two_layer_grads(dloss, cache):
    X, W1, W2, z1, a1, probs, y, reg = cache
    N = X.shape[0]
    grads = {}
    dscores = probs.copy()
    dscores[np.arange(N), y] -= 1
    dscores /= N
    grads['W2'] = a1.T.dot(dscores)
    grads['b2'] = np.sum(dscores, axis=0)
    dhidden = dscores.dot(W2.T)
    dhidden[z1 <= 0] = 0
    grads['W1'] = X.T.dot(dhidden)
    grads['b1'] = np.sum(dhidden, axis=0)
    grads['X'] = dhidden.dot(W1.T)
    # regularization
    grads['W2'] += reg * W2
    grads['W1'] += reg * W1
    return {k: dloss * g for k, g in grads.items()}


def make_two_layer():
    r = np.random.RandomState(0)
    return dict(forward=two_layer_loss, backward=two_layer_grads,
                inputs=dict(X=r.randn(5, 4), W1=r.randn(4, 6) * .6, b1=r.randn(6) * .3,
                            W2=r.randn(6, 3) * .6, b2=r.randn(3) * .1),
                constants=dict(y=np.array([0, 2, 1, 1, 0]), reg=0.1))


ITEMS.append(Item("two_layer_net_l2", "course assignment, grads dict", "vjp", make_two_layer, False,
                  "The penalty is reg*sum(W*W) but its gradient is added as reg*W; it should be 2*reg*W.",
                  ("W1", "W2"), ("missing-term", "factor")))


# =====================================================================================
# Python layer for a blob framework
# =====================================================================================
class Blob(object):
    def __init__(self, data=None):
        self.data = data
        self.diff = None if data is None else np.zeros_like(data)


class ContrastiveLossLayer(object):
    def setup(self, margin):
        self.margin = margin

    def forward(self, bottom, top):
        a, b, sim = bottom
        self.diff = a.data - b.data
        self.dist_sq = np.sum(self.diff ** 2, axis=1)
        self.dist = np.sqrt(self.dist_sq)
        mdist = np.maximum(self.margin - self.dist, 0.0)
        per = sim.data * self.dist_sq + (1 - sim.data) * mdist ** 2
        top[0].data = np.sum(per) / 2.0 / a.data.shape[0]

    def backward(self, top, bottom):
        num = bottom[0].data.shape[0]
        for i, sgn in ((0, 1.0), (1, -1.0)):
            alpha = sgn * top[0].diff / num
            for j in range(num):
                if int(bottom[2].data[j]):
                    bottom[i].diff[j] = alpha * self.diff[j]
                else:
                    mdist = self.margin - self.dist[j]
                    if mdist > 0:
                        bottom[i].diff[j] = -alpha * mdist * self.diff[j]
                    else:
                        bottom[i].diff[j] = 0


def contrastive_fwd(feat_a, feat_b, label, margin):
    layer = ContrastiveLossLayer()
    layer.setup(margin)
    bottom = [Blob(feat_a), Blob(feat_b), Blob(label)]
    top = [Blob()]
    layer.forward(bottom, top)
    return top[0].data, (layer, bottom, top)


def contrastive_bwd(dloss, cache):
    layer, bottom, top = cache
    top[0].diff = dloss
    layer.backward(top, bottom)
    return bottom[0].diff.copy(), bottom[1].diff.copy()


def make_contrastive():
    r = np.random.RandomState(1)
    return dict(forward=contrastive_fwd, backward=contrastive_bwd,
                inputs=dict(feat_a=r.randn(6, 3), feat_b=r.randn(6, 3)),
                constants=dict(label=np.array([1., 0., 0., 1., 0., 0.]), margin=4.0))


ITEMS.append(Item("blob_contrastive_loss", "Python layer of a blob framework (bottom/top)", "vjp", make_contrastive,
                  False, "For dissimilar pairs the distance (not its square) is in the margin, so the gradient is "
                  "-(m-d)*diff/d; the division by the distance is missing.",
                  ("feat_a", "feat_b"), ("elementwise-factor",)))


# =====================================================================================
# self-supervised: NT-Xent
# =====================================================================================
def nt_xent(h, W, temperature):
    proj = h @ W
    norm = np.linalg.norm(proj, axis=1, keepdims=True)
    z = proj / norm
    n2 = len(z)
    sim = z @ z.T / temperature
    np.fill_diagonal(sim, -np.inf)
    sim -= sim.max(1, keepdims=True)
    p = np.exp(sim)
    p /= p.sum(1, keepdims=True)
    pos = (np.arange(n2) + n2 // 2) % n2
    loss = -np.mean(np.log(p[np.arange(n2), pos]))
    return loss, dict(h=h, W=W, norm=norm, z=z, p=p, pos=pos, t=temperature)


def nt_xent_backward(dloss, c):
    z, p, pos, t = c["z"], c["p"], c["pos"], c["t"]
    n2 = len(z)
    dsim = p.copy()
    dsim[np.arange(n2), pos] -= 1.0
    dsim *= dloss / n2
    dz = dsim @ z / t
    dproj = (dz - z * np.sum(dz * z, axis=1, keepdims=True)) / c["norm"]
    return {"h": dproj @ c["W"].T, "W": c["h"].T @ dproj}


def make_nt_xent():
    r = np.random.RandomState(2)
    return dict(forward=nt_xent, backward=nt_xent_backward,
                inputs=dict(h=r.randn(6, 4), W=r.randn(4, 3)), constants=dict(temperature=0.5))


ITEMS.append(Item("nt_xent_projection", "self-supervised research code", "vjp", make_nt_xent, False,
                  "sim = z z' holds z on both sides; dz = (dsim + dsim.T) @ z / t, only the anchor side is there.",
                  ("h", "W"), ("missing-term",)))


# =====================================================================================
# blog notebook: mixture density head
# =====================================================================================
def mdn_loss(h, W, b, t):
    out = h @ W + b
    K = out.shape[1] // 3
    logit, mu, log_sigma = out[:, :K], out[:, K:2 * K], out[:, 2 * K:]
    e = np.exp(logit - logit.max(axis=1, keepdims=True))
    pi = e / e.sum(axis=1, keepdims=True)
    sigma = np.exp(log_sigma)
    u = (t - mu) / sigma
    phi = np.exp(-0.5 * u ** 2) / (sigma * np.sqrt(2 * np.pi))
    joint = pi * phi
    total = joint.sum(axis=1, keepdims=True)
    gamma = joint / total
    return -np.log(total).mean(), (h, W, pi, gamma, mu, sigma, u, t)


def mdn_loss_grad(dloss, cache):
    h, W, pi, gamma, mu, sigma, u, t = cache
    d_logit = pi - gamma
    d_mu = pi * (mu - t) / sigma ** 2
    d_log_sigma = gamma * (1 - u ** 2)
    d_out = np.concatenate([d_logit, d_mu, d_log_sigma], axis=1) * (dloss / len(h))
    return d_out @ W.T, h.T @ d_out, d_out.sum(axis=0)


def make_mdn():
    r = np.random.RandomState(3)
    return dict(forward=mdn_loss, backward=mdn_loss_grad,
                inputs=dict(h=np.tanh(r.randn(5, 4)), W=r.randn(4, 6) * .7, b=r.randn(6) * .5),
                constants=dict(t=r.randn(5, 1)))


ITEMS.append(Item("mixture_density_head", "blog notebook", "vjp", make_mdn, False,
                  "The gradient of the component means is weighed with the prior pi; it should be the posterior gamma.",
                  ("h", "W", "b"), ("elementwise-factor", "missing-term")))


# =====================================================================================
# RL baselines: PPO surrogate, gaussian policy
# =====================================================================================
LOG2PI = float(np.log(2.0 * np.pi))


class DiagGaussianPD:
    def __init__(self, mean, logstd):
        self.mean, self.logstd = mean, logstd
        self.std = np.exp(logstd)

    def logp(self, x):
        return (-0.5 * np.square((x - self.mean) / self.std).sum(axis=-1)
                - 0.5 * LOG2PI * x.shape[-1] - self.logstd.sum(axis=-1))


def ppo_pg_loss(W, logstd, obs, act, adv, old_logp, cliprange):
    pd = DiagGaussianPD(obs @ W, logstd)
    ratio = np.exp(pd.logp(act) - old_logp)
    pg_losses = -adv * ratio
    pg_losses2 = -adv * np.clip(ratio, 1.0 - cliprange, 1.0 + cliprange)
    pg_loss = np.maximum(pg_losses, pg_losses2).mean()
    return pg_loss, (pd, obs, act, adv, ratio, cliprange)


def ppo_pg_loss_bwd(g, cache):
    pd, obs, act, adv, ratio, cliprange = cache
    n = obs.shape[0]
    unclipped = np.abs(ratio - 1.0) < cliprange
    d_ratio = -adv * unclipped * g / n
    d_logp = d_ratio * ratio
    zscore = (act - pd.mean) / pd.std
    d_mean = d_logp[:, None] * zscore / pd.std
    d_logstd = (d_logp[:, None] * (zscore ** 2 - 1.0)).sum(axis=0)
    return {"W": obs.T @ d_mean, "logstd": d_logstd}


def make_ppo():
    r = np.random.RandomState(4)
    obs, W, logstd = r.randn(6, 3), r.randn(3, 2) * .5, np.array([-.3, .2])
    act = obs @ W + r.randn(6, 2) * np.exp(logstd)
    lp = DiagGaussianPD(obs @ W, logstd).logp(act)
    return dict(forward=ppo_pg_loss, backward=ppo_pg_loss_bwd, inputs=dict(W=W, logstd=logstd),
                constants=dict(obs=obs, act=act, adv=np.array([1.2, -.7, .9, -1.1, .5, -.4]),
                               old_logp=lp - np.array([-.5, .4, .05, -.1, .6, -.45]), cliprange=0.2))


ITEMS.append(Item("ppo_clip_surrogate", "reinforcement-learning baselines", "vjp", make_ppo, False,
                  "The gradient is cut wherever the ratio is outside the clip range; it should be cut only where the "
                  "clipped branch wins the max (mask pg_losses >= pg_losses2).",
                  ("W", "logstd"), ("elementwise-factor", "batch-sum", "missing-term", "zero")))


# =====================================================================================
# RL: generalised advantage estimates
# =====================================================================================
def gae(rewards, values, dones, gamma, lam):
    T = len(rewards)
    adv = np.zeros(T)
    lastgaelam = 0.0
    for t in reversed(range(T)):
        nonterminal = 1.0 - dones[t]
        delta = rewards[t] + gamma * values[t + 1] * nonterminal - values[t]
        adv[t] = lastgaelam = delta + gamma * lam * nonterminal * lastgaelam
    return adv, (T, dones, gamma, lam)


def gae_backward(dadv, cache):
    T, dones, gamma, lam = cache
    drewards = np.zeros(T)
    dvalues = np.zeros(T + 1)
    carry = 0.0
    for t in reversed(range(T)):
        nonterminal = 1.0 - dones[t]
        ddelta = carry = dadv[t] + gamma * lam * nonterminal * carry
        drewards[t] += ddelta
        dvalues[t] -= ddelta
        dvalues[t + 1] += gamma * nonterminal * ddelta
    return drewards, dvalues


def make_gae():
    r = np.random.RandomState(5)
    return dict(forward=gae, backward=gae_backward, inputs=dict(rewards=r.randn(6), values=r.randn(7)),
                constants=dict(dones=np.array([0., 0., 1., 0., 0., 0.]), gamma=0.97, lam=0.9))


ITEMS.append(Item("gae_recurrence", "reinforcement-learning rollout buffer", "vjp", make_gae, False,
                  "The backward recurrence runs over time in the same direction as the forward one; its carry must "
                  "run from the first step to the last.",
                  ("rewards", "values"), ("transpose", "unknown")))


# =====================================================================================
# gist: character RNN
# =====================================================================================
def char_rnn_loss(Wxh, Whh, Why, bh, by, hprev, inputs, targets):
    xs, hs, ps = {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((Wxh.shape[1], 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        y = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(y) / np.sum(np.exp(y))
        loss += -np.log(ps[t][targets[t], 0])
    return loss, (xs, hs, ps, targets, Wxh, Whh, Why, bh, by)


def char_rnn_bptt(dloss, cache):
    xs, hs, ps, targets, Wxh, Whh, Why, bh, by = cache
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(targets))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dy *= dloss
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh, dhraw)
    return dWxh, dWhh, dWhy, dbh, dby, dhnext


def make_char_rnn():
    r = np.random.RandomState(6)
    return dict(forward=char_rnn_loss, backward=char_rnn_bptt,
                inputs=dict(Wxh=r.randn(3, 4) * .6, Whh=r.randn(3, 3) * .8, Why=r.randn(4, 3), bh=r.randn(3, 1) * .2,
                            by=r.randn(4, 1) * .2, hprev=r.randn(3, 1) * .5),
                constants=dict(inputs=[1, 0, 3, 2], targets=[0, 3, 2, 2]))


ITEMS.append(Item("char_rnn_bptt", "gist with column vectors and dicts over time", "vjp", make_char_rnn, False,
                  "The gradient is carried back through time with Whh; it should be Whh.T.",
                  ("Wxh", "Whh", "bh", "hprev"), ("transpose", "unknown")))


# =====================================================================================
# NLP: causal self-attention, closure style
# =====================================================================================
def causal_attention(x, Wq, Wk, Wv):
    T, d = x.shape[0], Wq.shape[1]
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    scale = 1.0 / np.sqrt(d)
    scores = np.einsum("id,jd->ij", q, k) * scale
    scores = np.where(np.tril(np.ones((T, T), dtype=bool)), scores, -1e9)
    att = np.exp(scores - scores.max(-1, keepdims=True))
    att /= att.sum(-1, keepdims=True)
    out = np.einsum("ij,jd->id", att, v)

    def pullback(dout):
        datt = np.einsum("id,jd->ij", dout, v)
        dv = np.einsum("ij,id->jd", att, dout)
        dscores = att * (datt - np.sum(att * datt, axis=-1, keepdims=True))
        dq = np.einsum("ij,jd->id", dscores, k) * scale
        dk = np.einsum("ij,id->jd", dscores, q)
        dx = dq @ Wq.T + dk @ Wk.T + dv @ Wv.T
        return dx, x.T @ dq, x.T @ dk, x.T @ dv

    return out, pullback


def causal_attention_bwd(dout, pullback):
    return pullback(dout)


def make_attention():
    r = np.random.RandomState(7)
    return dict(forward=causal_attention, backward=causal_attention_bwd,
                inputs=dict(x=r.randn(5, 4), Wq=r.randn(4, 3), Wk=r.randn(4, 3), Wv=r.randn(4, 2)))


ITEMS.append(Item("causal_self_attention", "functional, pullback closures with einsum", "vjp", make_attention, False,
                  "The 1/sqrt(d) of the scores is missing from the gradient of the keys.",
                  ("x", "Wk"), ("factor", "missing-term")))


# =====================================================================================
# NLP course: skip-gram with negative sampling
# =====================================================================================
def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def sgns_forward(center_vecs, outside_vecs, centers, contexts, negatives):
    loss = 0.0
    for c, o, negs in zip(centers, contexts, negatives):
        vc = center_vecs[c]
        loss -= np.log(sigmoid(outside_vecs[o].dot(vc)))
        loss -= np.sum(np.log(sigmoid(-outside_vecs[negs].dot(vc))))
    return loss, (center_vecs, outside_vecs, centers, contexts, negatives)


def sgns_backward(dloss, cache):
    center_vecs, outside_vecs, centers, contexts, negatives = cache
    gradCenterVecs = np.zeros(center_vecs.shape)
    gradOutsideVecs = np.zeros(outside_vecs.shape)
    for c, o, negs in zip(centers, contexts, negatives):
        vc = center_vecs[c]
        s_pos = sigmoid(outside_vecs[o].dot(vc))
        gradCenterVecs[c] += (s_pos - 1.0) * outside_vecs[o]
        gradOutsideVecs[o] += (s_pos - 1.0) * vc
        for k in negs:
            s_neg = sigmoid(-outside_vecs[k].dot(vc))
            gradCenterVecs[c] += s_neg * outside_vecs[k]
            gradOutsideVecs[k] += s_neg * vc
    return {"center_vecs": dloss * gradCenterVecs, "outside_vecs": dloss * gradOutsideVecs}


def make_sgns():
    r = np.random.RandomState(8)
    return dict(forward=sgns_forward, backward=sgns_backward,
                inputs=dict(center_vecs=r.randn(5, 3), outside_vecs=r.randn(5, 3)),
                constants=dict(centers=[0, 2, 2, 4], contexts=[1, 3, 0, 2],
                               negatives=[np.array([2, 4]), np.array([0, 0]), np.array([1, 3]), np.array([1, 3])]))


ITEMS.append(Item("skipgram_negative_sampling", "NLP course assignment", "vjp", make_sgns, False,
                  "d(-log sigmoid(-a))/da = 1 - sigmoid(-a); for the negative words sigmoid(-a) stands in its place.",
                  ("center_vecs", "outside_vecs"), ("elementwise-factor", "missing-term")))


# =====================================================================================
# statistics: HMM with gaussian emissions
# =====================================================================================
def _softmax(a, axis=-1):
    e = np.exp(a - a.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def hmm_loglik(start_logits, trans_logits, means, obs):
    """Scaled forward pass (Rabiner)."""
    pi, A = _softmax(start_logits), _softmax(trans_logits)
    B = np.exp(-0.5 * (obs[:, None] - means[None, :]) ** 2) / np.sqrt(2 * np.pi)
    T, S = B.shape
    alpha, c = np.empty((T, S)), np.empty(T)
    for t in range(T):
        a = pi * B[0] if t == 0 else (alpha[t - 1] @ A) * B[t]
        c[t] = a.sum()
        alpha[t] = a / c[t]
    return np.log(c).sum(), (pi, A, B, alpha, c, means, obs)


def hmm_score(g, cache):
    pi, A, B, alpha, c, means, obs = cache
    T, S = B.shape
    beta = np.ones((T, S))
    for t in range(T - 2, -1, -1):
        beta[t] = A @ (B[t + 1] * beta[t + 1]) / c[t + 1]
    post = alpha * beta
    xi = np.zeros((S, S))
    for t in range(T - 1):
        xi += np.outer(alpha[t], B[t + 1] * beta[t + 1] / c[t + 1]) * A
    d_start = post[0] - pi
    d_trans = xi - A
    d_means = (post * (obs[:, None] - means[None, :])).sum(axis=0)
    return g * d_start, g * d_trans, g * d_means


def make_hmm():
    r = np.random.RandomState(9)
    return dict(forward=hmm_loglik, backward=hmm_score,
                inputs=dict(start_logits=r.randn(3), trans_logits=r.randn(3, 3), means=np.array([-1., .4, 1.7])),
                constants=dict(obs=np.array([-.8, .3, 1.5, 1.9, -.2, .6])))


ITEMS.append(Item("hmm_forward_backward", "statistics, scaled Baum-Welch", "vjp", make_hmm, False,
                  "The softmax of a transition row has weight xi.sum(1), not 1: d_trans = xi - A*xi.sum(1, keepdims).",
                  ("trans_logits",), ("missing-term", "elementwise-factor")))


# =====================================================================================
# variational inference: planar flow
# =====================================================================================
def planar_flow(z, u, w, b):
    a = z @ w + b
    h = np.tanh(a)
    f = z + h[:, None] * u
    hprime = 1.0 - h ** 2
    wu = w @ u
    det = 1.0 + hprime * wu
    logp = -0.5 * np.sum(f ** 2, axis=1) + np.log(np.abs(det))
    return logp, (z, u, w, h, f, hprime, wu, det)


def planar_flow_vjp(dlogp, cache):
    z, u, w, h, f, hprime, wu, det = cache
    df = -dlogp[:, None] * f
    ddet = dlogp / det
    dwu = np.sum(ddet * hprime)
    dh = df @ u
    da = dh * hprime
    dz = df + np.outer(da, w)
    du = h @ df + dwu * w
    dw = da @ z + dwu * u
    db = np.sum(da, keepdims=True)
    return dict(z=dz, u=du, w=dw, b=db)


def make_planar():
    r = np.random.RandomState(10)
    return dict(forward=planar_flow, backward=planar_flow_vjp,
                inputs=dict(z=r.randn(5, 2), u=np.array([.9, .6]), w=np.array([.8, 1.1]), b=np.array([.3])))


ITEMS.append(Item("planar_flow_logdensity", "variational-inference research code", "vjp", make_planar, False,
                  "The log-determinant holds tanh'(a), which depends on a; da lacks ddet*wu*(-2 h)*hprime.",
                  ("z", "w", "b"), ("missing-term",)))


# =====================================================================================
# flow as a class with state
# =====================================================================================
class AffineCoupling:
    """z1 = x1, z2 = x2 * exp(s(x1)) + t(x1)"""

    def log_likelihood_loss(self, x, Ws, bs, Wt, bt):
        k = x.shape[1] // 2
        self.k, self.Ws, self.Wt = k, Ws, Wt
        self.x1, self.x2 = x[:, :k], x[:, k:]
        self.s = np.tanh(self.x1 @ Ws + bs)
        self.t = self.x1 @ Wt + bt
        self.z2 = self.x2 * np.exp(self.s) + self.t
        nll = 0.5 * (self.x1 ** 2).sum(1) + 0.5 * (self.z2 ** 2).sum(1) - self.s.sum(1)
        return nll, self

    def gradients(self, dnll):
        d = dnll[:, None]
        dz2 = d * self.z2
        dt = dz2
        ds = dz2 * self.x2 - d
        dx2 = dz2 * np.exp(self.s)
        dpre = ds * (1 - self.s ** 2)
        dx1 = d * self.x1 + dpre @ self.Ws.T + dt @ self.Wt.T
        return (np.hstack([dx1, dx2]), self.x1.T @ dpre, dpre.sum(0), self.x1.T @ dt, dt.sum(0))


def make_coupling():
    r = np.random.RandomState(11)
    return dict(forward=lambda **kw: AffineCoupling().log_likelihood_loss(**kw),
                backward=lambda dnll, flow: flow.gradients(dnll),
                inputs=dict(x=r.randn(5, 4), Ws=r.randn(2, 2), bs=r.randn(2) * .3 + .4, Wt=r.randn(2, 2),
                            bt=r.randn(2)))


ITEMS.append(Item("affine_coupling_nll", "flow class with state", "vjp", make_coupling, False,
                  "z2 = x2*exp(s)+t, so ds = dz2*x2*exp(s) - d; the exp(s) is missing.",
                  ("x", "Ws", "bs"), ("elementwise-factor", "missing-term")))


# =====================================================================================
# optimization layer: ridge solve, autograd.Function manner
# =====================================================================================
class RidgeSolve:
    @staticmethod
    def forward(ctx, A, b, lam):
        K = A.T @ A + lam[0] * np.eye(A.shape[1])
        w = np.linalg.solve(K, A.T @ b)
        ctx.saved = (A, b, K, w)
        return w

    @staticmethod
    def backward(ctx, grad_w):
        A, b, K, w = ctx.saved
        g = np.linalg.solve(K, grad_w)
        grad_K = -np.outer(g, w)
        grad_A = np.outer(b, g) + 2 * A @ grad_K
        grad_b = A @ g
        grad_lam = np.array([np.trace(grad_K)])
        return grad_A, grad_b, grad_lam


def ridge_apply(A, b, lam):
    ctx = SimpleNamespace()
    return RidgeSolve.forward(ctx, A, b, lam), ctx


def make_ridge():
    r = np.random.RandomState(12)
    return dict(forward=ridge_apply, backward=lambda g, ctx: RidgeSolve.backward(ctx, g),
                inputs=dict(A=r.randn(5, 3), b=r.randn(5), lam=np.array([.4])))


ITEMS.append(Item("ridge_solve_layer", "autograd.Function with ctx", "vjp", make_ridge, False,
                  "grad_K is not symmetric: A'A gives A @ (grad_K + grad_K.T), not 2 A @ grad_K.",
                  ("A",), ("transpose", "missing-term")))


# =====================================================================================
# optimal transport: unrolled Sinkhorn
# =====================================================================================
def sinkhorn_cost(C, a, b, reg, n_iter):
    K = np.exp(-C / reg)
    v = np.ones(C.shape[1])
    us, vs = [], [v]
    for _ in range(n_iter):
        u = a / (K @ v)
        v = b / (K.T @ u)
        us.append(u)
        vs.append(v)
    P = u[:, None] * K * v[None, :]
    return np.sum(P * C), (C, K, P, us, vs, a, b, reg, n_iter)


def sinkhorn_cost_backward(dcost, cache):
    C, K, P, us, vs, a, b, reg, n_iter = cache
    u, v = us[-1], vs[-1]
    dC = dcost * P
    dP = dcost * C
    dK = u[:, None] * dP * v[None, :]
    du = (dP * K) @ v
    dv = (dP * K).T @ u
    for i in range(n_iter - 1, 0, -1):
        ds = -dv * vs[i + 1] ** 2 / b
        dK += np.outer(us[i], ds)
        du = du + K @ ds
        dr = -du * us[i] ** 2 / a
        dK += np.outer(dr, vs[i])
        dv = K.T @ dr
        du = np.zeros_like(du)
    dC += dK * (-K / reg)
    return dC


def make_sinkhorn():
    r = np.random.RandomState(13)
    return dict(forward=sinkhorn_cost, backward=sinkhorn_cost_backward, inputs=dict(C=r.rand(3, 4)),
                constants=dict(a=np.array([.5, .3, .2]), b=np.array([.1, .2, .3, .4]), reg=0.15, n_iter=3))


ITEMS.append(Item("unrolled_sinkhorn", "optimal transport research code", "vjp", make_sinkhorn, False,
                  "The backward loop stops before iteration 0: range(n_iter-1, -1, -1) is meant.",
                  ("C",), ("missing-term", "unknown")))


# =====================================================================================
# graphics: volume rendering
# =====================================================================================
def composite_rays(raw_density, rgb, deltas):
    sigma = np.logaddexp(0.0, raw_density)
    tau = sigma * deltas
    trans = np.exp(-np.concatenate([np.zeros((tau.shape[0], 1)), np.cumsum(tau[:, :-1], axis=1)], axis=1))
    alpha = -np.expm1(-tau)
    weights = trans * alpha
    color = np.einsum("rs,rsc->rc", weights, rgb)
    return color, dict(raw=raw_density, rgb=rgb, deltas=deltas, tau=tau, trans=trans, w=weights)


def composite_rays_grad(dcolor, s):
    drgb = s["w"][..., None] * dcolor[:, None, :]
    dw = np.einsum("rc,rsc->rs", dcolor, s["rgb"])
    contrib = s["w"] * dw
    behind = np.cumsum(contrib[:, ::-1], axis=1)[:, ::-1]
    dtau = s["trans"] * np.exp(-s["tau"]) * dw - behind
    dsigma = dtau * s["deltas"]
    draw = dsigma / (1.0 + np.exp(-s["raw"]))
    return draw, drgb


def make_render():
    r = np.random.RandomState(14)
    return dict(forward=composite_rays, backward=composite_rays_grad,
                inputs=dict(raw_density=r.randn(3, 4), rgb=r.rand(3, 4, 3)),
                constants=dict(deltas=np.array([[.5, .6, .4, .9]])))


ITEMS.append(Item("volume_render_composite", "neural rendering", "vjp", make_render, False,
                  "The suffix sum of what lies behind a sample includes the sample itself; it should be behind - contrib.",
                  ("raw_density",), ("missing-term",)))


# =====================================================================================
# physics: Lennard-Jones
# =====================================================================================
def lj_energy(pos, epsilon, sigma):
    n = len(pos)
    E = 0.0
    pairs = []
    for i in range(n):
        for j in range(i + 1, n):
            rij = pos[i] - pos[j]
            r = np.sqrt(rij @ rij)
            s6 = (sigma[0] / r) ** 6
            E += 4 * epsilon[0] * (s6 * s6 - s6)
            pairs.append((i, j, rij, r, s6))
    return E, (pos.shape, epsilon, sigma, E, pairs)


def lj_gradient(dE, cache):
    shape, epsilon, sigma, E, pairs = cache
    grad = np.zeros(shape)
    dsig = 0.0
    for i, j, rij, r, s6 in pairs:
        dEdr = 4 * epsilon[0] * (6 * s6 - 12 * s6 * s6) / r
        grad[i] += dEdr * rij
        grad[j] -= dEdr * rij
        dsig += 4 * epsilon[0] * (12 * s6 * s6 - 6 * s6) / sigma[0]
    return {"pos": dE * grad, "epsilon": np.array([dE * E / epsilon[0]]), "sigma": np.array([dE * dsig])}


def make_lj():
    pos = np.array([[0., 0., 0.], [1.3, .2, -.1], [.3, 1.5, .4], [-.5, .6, 1.6]])
    return dict(forward=lj_energy, backward=lj_gradient,
                inputs=dict(pos=pos, epsilon=np.array([.8]), sigma=np.array([1.1])))


ITEMS.append(Item("lennard_jones_energy", "molecular dynamics script", "vjp", make_lj, False,
                  "The force direction is the unit vector rij/r; it is multiplied by rij and not divided by r.",
                  ("pos",), ("elementwise-factor", "missing-term")))


# =====================================================================================
# physics: symplectic Euler pendulum
# =====================================================================================
def pendulum_rollout(q0, p0, k, dt, nsteps):
    q, p = q0.copy(), p0.copy()
    traj = []
    for _ in range(nsteps):
        traj.append(q)
        p -= dt * k * np.sin(q)
        q += dt * p
    return np.stack([q, p]), (traj, k, dt)


def pendulum_adjoint(dstate, cache):
    traj, k, dt = cache
    lam_q, lam_p = dstate[0].copy(), dstate[1].copy()
    dk = np.zeros_like(k)
    for q in reversed(traj):
        lam_p += dt * lam_q
        dk -= dt * np.sin(q) * lam_p
        lam_q -= dt * k * np.cos(q) * lam_p
    return lam_q, lam_p, dk


def make_pendulum():
    r = np.random.RandomState(15)
    return dict(forward=pendulum_rollout, backward=pendulum_adjoint,
                inputs=dict(q0=r.randn(4), p0=r.randn(4), k=1.0 + r.rand(4)), constants=dict(dt=0.3, nsteps=5))


ITEMS.append(Item("pendulum_symplectic_euler", "physics simulation with adjoint", "vjp", make_pendulum, False,
                  "traj.append(q) keeps a reference and q is moved in place, so every stored state is the last one; "
                  "append q.copy().",
                  ("q0", "p0", "k"), ("elementwise-factor", "unknown")))


# =====================================================================================
# statistics: negative binomial regression
# =====================================================================================
class NegativeBinomialModel:
    def __init__(self, endog, exog):
        self.endog, self.exog = endog, exog

    def nloglike(self, beta, log_r):
        y, r = self.endog, np.exp(log_r[0])
        mu = np.exp(self.exog @ beta)
        ll = (gammaln(y + r) - gammaln(r) - gammaln(y + 1)
              + r * np.log(r / (r + mu)) + y * np.log(mu / (r + mu)))
        return -ll.sum(), (mu, r)

    def score(self, g, cache):
        mu, r = cache
        y = self.endog
        dbeta = -self.exog.T @ (r * (y - mu) / (r + mu))
        dr = -np.sum(digamma(y + r) - digamma(r) + np.log(r / (r + mu)) + 1 - (r + y) / (r + mu))
        return g * dbeta, np.array([g * dr])


def make_negbin():
    r = np.random.RandomState(16)
    X = np.column_stack([np.ones(6), r.randn(6, 2)])
    m = NegativeBinomialModel(np.array([0, 3, 1, 7, 2, 12]), X)
    return dict(forward=m.nloglike, backward=m.score,
                inputs=dict(beta=np.array([.8, .3, -.5]), log_r=np.array([.9])))


ITEMS.append(Item("negative_binomial_regression", "econometrics model class (endog/exog)", "vjp", make_negbin, False,
                  "The gradient is with respect to r; the parameter is log r, so it lacks the factor r.",
                  ("log_r",), ("factor", "elementwise-factor")))


# =====================================================================================
# statistics: Cox partial likelihood
# =====================================================================================
def cox_npl(X, beta, event):
    """Rows sorted by decreasing survival time."""
    eta = X @ beta
    theta = np.exp(eta)
    risk = np.cumsum(theta)
    npl = -np.sum(event * (eta - np.log(risk)))
    return npl, (X, beta, event, theta, risk)


def cox_npl_grad(g, cache):
    X, beta, event, theta, risk = cache
    hazard = np.cumsum(event / risk)
    deta = g * (theta * hazard - event)
    return np.outer(deta, beta), X.T @ deta


def make_cox():
    r = np.random.RandomState(17)
    return dict(forward=cox_npl, backward=cox_npl_grad,
                inputs=dict(X=r.randn(6, 3), beta=np.array([.5, -.7, .9])),
                constants=dict(event=np.array([1., 0., 1., 1., 0., 1.])))


ITEMS.append(Item("cox_partial_likelihood", "survival analysis", "vjp", make_cox, False,
                  "A row is in the risk sets of the rows after it: the cumulative sum of event/risk must run from the "
                  "end (reversed cumsum).",
                  ("X", "beta"), ("transpose", "batch-sum", "missing-term", "elementwise-factor")))


# =====================================================================================
# Gaussian process regression
# =====================================================================================
def gp_nlml(y, log_ell, log_sf, log_sn, X):
    ell, sf2, sn2 = np.exp(log_ell), np.exp(2 * log_sf), np.exp(2 * log_sn)
    sq = np.sum((X[:, None, :] - X[None, :, :]) ** 2, axis=-1)
    Kf = sf2 * np.exp(-0.5 * sq / ell ** 2)
    K = Kf + sn2 * np.eye(len(X))
    L = cho_factor(K, lower=True)
    alpha = cho_solve(L, y)
    nlml = 0.5 * y @ alpha + np.sum(np.log(np.diag(L[0]))) + 0.5 * len(y) * np.log(2 * np.pi)
    return nlml, (L, alpha, Kf, sq, ell, sn2)


def gp_nlml_grad(g, cache):
    L, alpha, Kf, sq, ell, sn2 = cache
    n = len(alpha)
    Kinv = cho_solve(L, np.eye(n))
    Q = 0.5 * (Kinv - np.outer(alpha, alpha))
    d_ell = np.sum(Q * Kf * sq) / ell ** 3
    d_sf = np.sum(Q * 2 * Kf)
    d_sn = 2 * sn2 * np.trace(Q)
    return {"y": g * alpha, "log_ell": g * d_ell, "log_sf": g * d_sf, "log_sn": g * d_sn}


def make_gp():
    r = np.random.RandomState(18)
    return dict(forward=gp_nlml, backward=gp_nlml_grad,
                inputs=dict(y=r.randn(6), log_ell=np.array(.45), log_sf=np.array(.2), log_sn=np.array(-.9)),
                constants=dict(X=r.randn(6, 2)))


ITEMS.append(Item("gp_marginal_likelihood", "Gaussian process toolbox port", "vjp", make_gp, False,
                  "dK/d log_ell = Kf*sq/ell**2; the derivative with respect to ell itself (ell**3) is returned.",
                  ("log_ell",), ("factor", "elementwise-factor")))


# =====================================================================================
# ranking: Bradley-Terry with home advantage
# =====================================================================================
def match_loss(ratings, home_adv, home, away, home_won):
    diff = ratings[home] - ratings[away] + home_adv
    p_home = 1 / (1 + 10 ** (-diff / 400))
    loss = -np.mean(home_won * np.log(p_home) + (1 - home_won) * np.log(1 - p_home))
    return loss, (ratings, home, away, home_won, p_home)


def match_loss_backward(dloss, cache):
    ratings, home, away, home_won, p_home = cache
    ddiff = dloss * (home_won - p_home) * np.log(10) / 400 / len(home)
    dratings = np.zeros_like(ratings)
    np.add.at(dratings, home, ddiff)
    np.subtract.at(dratings, away, ddiff)
    return dratings, ddiff.sum(keepdims=True)


def make_elo():
    return dict(forward=match_loss, backward=match_loss_backward,
                inputs=dict(ratings=np.array([1510., 1390., 1620., 1475.]), home_adv=np.array([65.])),
                constants=dict(home=np.array([0, 1, 2, 3, 0, 1]), away=np.array([1, 2, 3, 0, 2, 3]),
                               home_won=np.array([1., 0., 0., 1., 1., 0.])))


ITEMS.append(Item("elo_match_loss", "sports ranking script", "vjp", make_elo, False,
                  "The gradient of the cross-entropy is p - won; won - p (the step uphill) is returned.",
                  ("ratings", "home_adv"), ("sign",)))


# =====================================================================================
# features-first course code
# =====================================================================================
def propagate(X, W1, b1, W2, b2, Y):
    m = X.shape[1]
    Z1 = np.dot(W1, X) + b1
    A1 = np.tanh(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = 1 / (1 + np.exp(-Z2))
    cost = -(1. / m) * np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2))
    cache = {"X": X, "Y": Y, "A1": A1, "A2": A2, "W1": W1, "W2": W2}
    return cost, cache


def backward_propagation(dcost, cache):
    X, Y, A1, A2 = cache["X"], cache["Y"], cache["A1"], cache["A2"]
    m = X.shape[1]
    dZ2 = dcost * (A2 - Y)
    dW2 = 1. / m * np.dot(dZ2, A1.T)
    db2 = 1. / m * np.sum(dZ2, axis=1, keepdims=True)
    dZ1 = np.dot(cache["W2"].T, dZ2) * (1 - np.power(A1, 2))
    dW1 = 1. / m * np.dot(dZ1, X.T)
    db1 = np.sum(dZ1, axis=1, keepdims=True)
    dX = 1. / m * np.dot(cache["W1"].T, dZ1)
    return {"X": dX, "W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


def make_planar_classifier():
    r = np.random.RandomState(19)
    return dict(forward=propagate, backward=backward_propagation,
                inputs=dict(X=r.randn(2, 5), W1=r.randn(4, 2), b1=r.randn(4, 1) * .1, W2=r.randn(1, 4),
                            b2=np.array([[.2]])),
                constants=dict(Y=np.array([[1, 0, 0, 1, 1]])))


ITEMS.append(Item("features_first_two_layer", "features-first lecture code (dW1, db1)", "vjp", make_planar_classifier,
                  False, "db1 lacks the 1/m that the other gradients have.", ("b1",), ("factor",)))


# =====================================================================================
# conditioning: FiLM with layer norm
# =====================================================================================
class FiLM:
    def __call__(self, x, cond, W_scale, W_shift, b_shift):
        mu = x.mean(axis=-1, keepdims=True)
        inv = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        xhat = (x - mu) * inv
        scale = 1 + cond @ W_scale
        shift = cond @ W_shift + b_shift
        self.saved = xhat, inv, scale, cond, W_scale, W_shift
        return scale * xhat + shift

    def grad(self, dy):
        xhat, inv, scale, cond, W_scale, W_shift = self.saved
        dscale = dy * xhat
        dxhat = dy * scale
        dx = inv * (dxhat - dxhat.mean(-1, keepdims=True) - xhat * (dxhat * xhat).mean(-1, keepdims=True))
        dcond = dscale @ W_scale.T + dy @ W_shift.T
        return dict(x=dx, cond=dcond, W_scale=cond.T @ dscale, W_shift=cond.T @ dy, b_shift=dy.sum(axis=-1))


def film_fwd(**kw):
    f = FiLM()
    return f(**kw), f


def make_film():
    r = np.random.RandomState(20)
    return dict(forward=film_fwd, backward=lambda dy, f: f.grad(dy),
                inputs=dict(x=r.randn(4, 4), cond=r.randn(4, 2), W_scale=r.randn(2, 4), W_shift=r.randn(2, 4),
                            b_shift=r.randn(4)))


ITEMS.append(Item("film_layernorm", "callable modules, keyword arguments", "vjp", make_film, False,
                  "b_shift is summed along the features (axis -1) and not along the batch (axis 0); the batch is as "
                  "large as the features, so the shape fits.",
                  ("b_shift",), ("shape", "batch-sum")))


# =====================================================================================
# residual block
# =====================================================================================
def resblock_forward(x, W1, b1, W2, b2):
    h = np.tanh(x @ W1 + b1)
    out = x + h @ W2 + b2
    return out, (x, W1, W2, h)


def resblock_backward(dout, cache):
    x, W1, W2, h = cache
    dW2 = h.T @ dout
    da = (dout @ W2.T) * (1 - h * h)
    dW1 = x.T @ da
    db1 = da.sum(0)
    dx = dout
    dx += da @ W1.T
    db2 = dout.sum(0)
    return dx, dW1, db1, dW2, db2


def make_resblock():
    r = np.random.RandomState(21)
    return dict(forward=resblock_forward, backward=resblock_backward,
                inputs=dict(x=r.randn(4, 3), W1=r.randn(3, 5), b1=r.randn(5), W2=r.randn(5, 3), b2=r.randn(3)))


ITEMS.append(Item("tanh_residual_block", "functional forward/backward pairs", "vjp", make_resblock, False,
                  "dx = dout is no copy: += writes into dout, and db2 is summed from the changed array. "
                  "dx = dout + da @ W1.T.",
                  ("b2",), ("mutates-input", "missing-term")))


# =====================================================================================
# multidimensional scaling
# =====================================================================================
def mds_stress(X, scale, delta):
    diff = X[:, np.newaxis, :] - X[np.newaxis, :, :]
    dist = np.sqrt((diff ** 2).sum(-1))
    resid = scale * dist - delta
    return 0.5 * (resid ** 2).sum(), (diff, dist, resid, scale)


def mds_stress_gradient(g, cache):
    diff, dist, resid, scale = cache
    ddist = g * scale * resid
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = diff / dist[:, :, np.newaxis]
    dX = 2 * (ddist[:, :, np.newaxis] * unit).sum(axis=1)
    dscale = g * np.sum(resid * dist)
    return dX, np.array([dscale])


def make_mds():
    r = np.random.RandomState(22)
    d = r.rand(5, 5) + .5
    d = d + d.T
    np.fill_diagonal(d, 0)
    return dict(forward=mds_stress, backward=mds_stress_gradient,
                inputs=dict(X=r.randn(5, 2), scale=np.array([1.2])), constants=dict(delta=d))


ITEMS.append(Item("mds_stress", "data analysis, broadcast pair differences", "vjp", make_mds, False,
                  "The diagonal has distance 0 and diff/dist is 0/0; the diagonal must be left out (divide by 1 there).",
                  ("X",), ("non-finite",)))


# =====================================================================================
# memory-saving dropout network
# =====================================================================================
def dropnet_forward(x, W1, W2, W3, keep, seed):
    rng = np.random.RandomState(seed)
    t1 = np.tanh(x @ W1)
    h1 = t1 * (rng.rand(*t1.shape) < keep) / keep
    t2 = np.tanh(h1 @ W2)
    h2 = t2 * (rng.rand(*t2.shape) < keep) / keep
    return h2 @ W3, (x, t1, h1, t2, h2, W1, W2, W3, keep, seed)


def dropnet_backward(dout, cache):
    x, t1, h1, t2, h2, W1, W2, W3, keep, seed = cache
    rng = np.random.RandomState(seed)  # masks are not stored
    dW3 = h2.T @ dout
    dh2 = dout @ W3.T
    dt2 = dh2 * (rng.rand(*t2.shape) < keep) / keep
    da2 = dt2 * (1 - t2 ** 2)
    dW2 = h1.T @ da2
    dh1 = da2 @ W2.T
    dt1 = dh1 * (rng.rand(*t1.shape) < keep) / keep
    da1 = dt1 * (1 - t1 ** 2)
    dW1 = x.T @ da1
    return da1 @ W1.T, dW1, dW2, dW3


def make_dropnet():
    r = np.random.RandomState(23)
    return dict(forward=dropnet_forward, backward=dropnet_backward,
                inputs=dict(x=r.randn(4, 3), W1=r.randn(3, 5), W2=r.randn(5, 5), W3=r.randn(5, 2)),
                constants=dict(keep=0.6, seed=11))


ITEMS.append(Item("seeded_dropout_net", "memory-saving training code, masks from a seed", "vjp", make_dropnet, False,
                  "The masks are drawn anew in the backward in the order of the layers from the top, so the two masks "
                  "are exchanged; keep the masks in the cache.",
                  ("x", "W1", "W2"), ("noise-redrawn", "elementwise-factor")))


# =====================================================================================
# recurrent layer class with gradient buffers
# =====================================================================================
class ElmanLayer:
    def __init__(self, n_in, n_hidden):
        self.Wx = np.zeros((n_in, n_hidden))
        self.Wh = np.zeros((n_hidden, n_hidden))
        self.b = np.zeros(n_hidden)
        self.dWx = np.zeros_like(self.Wx)
        self.dWh = np.zeros_like(self.Wh)
        self.db = np.zeros_like(self.b)

    def load(self, Wx, Wh, b):
        self.Wx[...], self.Wh[...], self.b[...] = Wx, Wh, b

    def forward(self, x):
        B, T, _ = x.shape
        self.x = x
        self.h = np.zeros((T + 1, B, len(self.b)))
        for t in range(T):
            self.h[t + 1] = np.tanh(x[:, t] @ self.Wx + self.h[t] @ self.Wh + self.b)
        return self.h[T].copy()

    def backward(self, dh):
        B, T, _ = self.x.shape
        dx = np.zeros_like(self.x)
        for t in range(T - 1, -1, -1):
            da = dh * (1 - self.h[t + 1] ** 2)
            self.dWx += self.x[:, t].T @ da
            self.dWh += self.h[t].T @ da
            self.db += da.sum(axis=0)
            dx[:, t] = da @ self.Wx.T
            dh = da @ self.Wh.T
        return dx


def make_elman():
    r = np.random.RandomState(24)
    layer = ElmanLayer(2, 3)

    def fwd(x, Wx, Wh, b):
        layer.load(Wx, Wh, b)
        return layer.forward(x), (x.copy(), Wx.copy(), Wh.copy(), b.copy())

    def bwd(dh, cache):
        x, Wx, Wh, b = cache
        layer.load(Wx, Wh, b)
        layer.forward(x)
        dx = layer.backward(dh)
        return dx, layer.dWx.copy(), layer.dWh.copy(), layer.db.copy()

    inputs = dict(x=r.randn(3, 3, 2), Wx=r.randn(2, 3), Wh=r.randn(3, 3) * .7, b=r.randn(3) * .3)
    # one training step has been made before
    _, c = fwd(**inputs)
    bwd(np.ones((3, 3)), c)
    return dict(forward=fwd, backward=bwd, inputs=inputs)


ITEMS.append(Item("elman_layer_buffers", "layer class with gradient buffers", "vjp", make_elman, False,
                  "The buffers dWx, dWh, db are set to zero only in __init__ and keep what earlier backward calls left; "
                  "set them to zero at the start of backward.",
                  ("Wx", "Wh", "b"), ("accumulates", "missing-term")))


# =====================================================================================
# RIGHT vjp items
# =====================================================================================
def _lse(a, axis):
    m = a.max(axis=axis, keepdims=True)
    return np.squeeze(m, axis) + np.log(np.exp(a - m).sum(axis=axis))


def crf_nll(emissions, transitions, start, end, tags):
    T, S = emissions.shape
    alpha = np.empty((T, S))
    alpha[0] = start + emissions[0]
    for t in range(1, T):
        alpha[t] = _lse(alpha[t - 1][:, None] + transitions, 0) + emissions[t]
    logZ = _lse(alpha[-1] + end, 0)
    gold = start[tags[0]] + end[tags[-1]] + emissions[np.arange(T), tags].sum()
    gold += transitions[tags[:-1], tags[1:]].sum()
    return float(logZ - gold), (emissions, transitions, end, alpha, logZ, tags)


def crf_nll_backward(dnll, cache):
    emissions, transitions, end, alpha, logZ, tags = cache
    T, S = emissions.shape
    beta = end.copy()
    marg = np.empty((T, S))
    dtrans = np.zeros((S, S))
    marg[T - 1] = np.exp(alpha[T - 1] + beta - logZ)
    for t in range(T - 1, 0, -1):
        msg = emissions[t] + beta
        dtrans += np.exp(alpha[t - 1][:, None] + transitions + msg[None, :] - logZ)
        beta = _lse(transitions + msg[None, :], 1)
        marg[t - 1] = np.exp(alpha[t - 1] + beta - logZ)
    demit = marg.copy()
    demit[np.arange(T), tags] -= 1
    np.subtract.at(dtrans, (tags[:-1], tags[1:]), 1)
    onehot = np.eye(S)
    return (dnll * demit, dnll * dtrans, dnll * (marg[0] - onehot[tags[0]]), dnll * (marg[-1] - onehot[tags[-1]]))


def make_crf():
    r = np.random.RandomState(30)
    return dict(forward=crf_nll, backward=crf_nll_backward,
                inputs=dict(emissions=r.randn(5, 3) * 2, transitions=r.randn(3, 3), start=r.randn(3), end=r.randn(3)),
                constants=dict(tags=np.array([0, 2, 2, 2, 1])))


ITEMS.append(Item("crf_sequence_nll", "NLP tagger, marginals minus counts", "vjp", make_crf, True))


def peephole_lstm(x, W, b, peep, h0, c0):
    """x (T, B, D); W (D+H, 4H) in the order i f g o; peep rows: i f o"""
    H = h0.shape[1]
    sig = lambda a: 0.5 * (1 + np.tanh(0.5 * a))
    h, c, tape, hs = h0, c0, [], []
    for xt in x:
        xh = np.concatenate([xt, h], 1)
        a = xh @ W + b
        i = sig(a[:, :H] + peep[0] * c)
        f = sig(a[:, H:2 * H] + peep[1] * c)
        g = np.tanh(a[:, 2 * H:3 * H])
        cn = f * c + i * g
        o = sig(a[:, 3 * H:] + peep[2] * cn)
        tc = np.tanh(cn)
        h = o * tc
        tape.append((xh, i, f, g, o, c, cn, tc))
        c = cn
        hs.append(h)
    return np.array(hs), (tape, W, peep, x.shape)


def peephole_lstm_grad(dhs, cache):
    tape, W, peep, shape = cache
    D = shape[2]
    dW, dpeep, db = np.zeros_like(W), np.zeros_like(peep), np.zeros(W.shape[1])
    dx = np.empty(shape)
    dh_next, dc_next = 0.0, 0.0
    for t in range(len(tape) - 1, -1, -1):
        xh, i, f, g, o, c, cn, tc = tape[t]
        dh = dhs[t] + dh_next
        dao = dh * tc * o * (1 - o)
        dcn = dc_next + dh * o * (1 - tc * tc) + dao * peep[2]
        dai = dcn * g * i * (1 - i)
        daf = dcn * c * f * (1 - f)
        dag = dcn * i * (1 - g * g)
        da = np.concatenate([dai, daf, dag, dao], 1)
        dW += xh.T @ da
        db += da.sum(0)
        dpeep[0] += (dai * c).sum(0)
        dpeep[1] += (daf * c).sum(0)
        dpeep[2] += (dao * cn).sum(0)
        dxh = da @ W.T
        dx[t], dh_next = dxh[:, :D], dxh[:, D:]
        dc_next = dcn * f + dai * peep[0] + daf * peep[1]
    return dict(x=dx, W=dW, b=db, peep=dpeep, h0=dh_next, c0=dc_next)


def make_lstm():
    r = np.random.RandomState(31)
    return dict(forward=peephole_lstm, backward=peephole_lstm_grad,
                inputs=dict(x=r.randn(4, 3, 2), W=r.randn(4, 8), b=r.randn(8), peep=r.randn(3, 2), h0=r.randn(3, 2),
                            c0=r.randn(3, 2)))


ITEMS.append(Item("peephole_lstm", "tape of tuples, lambdas", "vjp", make_lstm, True))


def _lv(u, th):
    x, y = u
    return np.array([th[0] * x - th[1] * x * y, th[3] * x * y - th[2] * y])


def _lv_vjp(u, th, g):
    x, y = u
    du = np.array([(th[0] - th[1] * y) * g[0] + th[3] * y * g[1], -th[1] * x * g[0] + (th[3] * x - th[2]) * g[1]])
    dth = np.array([x * g[0], -x * y * g[0], -y * g[1], x * y * g[1]])
    return du, dth


def lotka_volterra_rk4(u0, theta, h, n):
    u, traj, stages = u0, [u0], []
    for _ in range(n):
        s1 = u
        k1 = _lv(s1, theta)
        s2 = u + .5 * h * k1
        k2 = _lv(s2, theta)
        s3 = u + .5 * h * k2
        k3 = _lv(s3, theta)
        s4 = u + h * k3
        k4 = _lv(s4, theta)
        u = u + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        stages.append((s1, s2, s3, s4))
        traj.append(u)
    return np.vstack(traj), (stages, theta, h)


def lotka_volterra_rk4_adjoint(dtraj, cache):
    stages, th, h = cache
    lam = dtraj[-1].copy()
    dth = np.zeros(4)
    for n in reversed(range(len(stages))):
        s1, s2, s3, s4 = stages[n]
        v4, t4 = _lv_vjp(s4, th, h / 6 * lam)
        v3, t3 = _lv_vjp(s3, th, h / 3 * lam + h * v4)
        v2, t2 = _lv_vjp(s2, th, h / 3 * lam + .5 * h * v3)
        v1, t1 = _lv_vjp(s1, th, h / 6 * lam + .5 * h * v2)
        lam += v1 + v2 + v3 + v4
        lam += dtraj[n]
        dth += t1 + t2 + t3 + t4
    return lam, dth


def make_lv():
    return dict(forward=lotka_volterra_rk4, backward=lotka_volterra_rk4_adjoint,
                inputs=dict(u0=np.array([1.5, .8]), theta=np.array([1.1, .6, .9, .4])), constants=dict(h=.2, n=5))


ITEMS.append(Item("lotka_volterra_rk4", "scientific computing, discrete adjoint", "vjp", make_lv, True))


def sparsemax(z):
    zs = -np.sort(-z, axis=1)
    k = np.arange(1, z.shape[1] + 1)
    cs = np.cumsum(zs, axis=1) - 1
    K = np.count_nonzero(k * zs > cs, axis=1)
    tau = cs[np.arange(len(z)), K - 1] / K
    return np.maximum(z - tau[:, None], 0), tau


def sparsemax_loss(x, W, y):
    z = x @ W
    p, tau = sparsemax(z)
    rows = np.arange(len(z))
    loss = -z[rows, y] + .5 * np.sum(np.where(p > 0, z ** 2 - tau[:, None] ** 2, 0), axis=1) + .5
    return loss, (x, W, y, p)


def sparsemax_loss_grad(dloss, cache):
    x, W, y, p = cache
    dz = p
    dz = dz - np.eye(W.shape[1])[y]
    dz *= dloss[:, None]
    return dz @ W.T, x.T @ dz


def make_sparsemax():
    r = np.random.RandomState(33)
    return dict(forward=sparsemax_loss, backward=sparsemax_loss_grad,
                inputs=dict(x=r.randn(5, 3), W=r.randn(3, 4)), constants=dict(y=np.array([0, 3, 1, 1, 2])))


ITEMS.append(Item("sparsemax_loss", "research code, projection onto the simplex", "vjp", make_sparsemax, True))


def affine_sample(img, theta, grid):
    H, W = img.shape
    px, py = theta @ grid
    x0, y0 = np.floor(px).astype(int), np.floor(py).astype(int)
    x1, y1 = np.minimum(x0 + 1, W - 1), np.minimum(y0 + 1, H - 1)
    fx, fy = px - x0, py - y0
    out = (img[y0, x0] * (1 - fx) * (1 - fy) + img[y0, x1] * fx * (1 - fy)
           + img[y1, x0] * (1 - fx) * fy + img[y1, x1] * fx * fy)
    return out, (img, grid, x0, x1, y0, y1, fx, fy)


def affine_sample_backward(dout, cache):
    img, grid, x0, x1, y0, y1, fx, fy = cache
    dimg = np.zeros_like(img)
    np.add.at(dimg, (y0, x0), dout * (1 - fx) * (1 - fy))
    np.add.at(dimg, (y0, x1), dout * fx * (1 - fy))
    np.add.at(dimg, (y1, x0), dout * (1 - fx) * fy)
    np.add.at(dimg, (y1, x1), dout * fx * fy)
    dpx = dout * ((img[y0, x1] - img[y0, x0]) * (1 - fy) + (img[y1, x1] - img[y1, x0]) * fy)
    dpy = dout * ((img[y1, x0] - img[y0, x0]) * (1 - fx) + (img[y1, x1] - img[y0, x1]) * fx)
    return dimg, np.stack([dpx, dpy]) @ grid.T


def make_stn():
    r = np.random.RandomState(34)
    gx, gy = np.meshgrid([-.8, .1, .9], [-.7, .6])
    grid = np.stack([gx.ravel(), gy.ravel(), np.ones(6)])
    return dict(forward=affine_sample, backward=affine_sample_backward,
                inputs=dict(img=r.rand(5, 5), theta=np.array([[1.1, .3, 2.23], [-.2, 1.2, 1.87]])),
                constants=dict(grid=grid))


ITEMS.append(Item("affine_bilinear_sampler", "computer vision, gather and scatter", "vjp", make_stn, True))


def double_dqn_loss(W1, b1, W2, b2, obs, actions, targets, is_weights):
    pre = obs @ W1 + b1
    feat = np.where(pre > 0, pre, 0.01 * pre)
    q = feat @ W2 + b2
    td = q[np.arange(len(obs)), actions] - targets
    a = np.abs(td)
    huber = np.where(a <= 1.0, 0.5 * td ** 2, a - 0.5)
    return np.mean(is_weights * huber), (obs, actions, is_weights, pre, feat, q, td, W2)


def double_dqn_loss_bwd(dl, cache):
    obs, actions, is_weights, pre, feat, q, td, W2 = cache
    dq = np.zeros(q.shape)
    dq[np.arange(len(obs)), actions] = np.clip(td, -1, 1)
    dq *= is_weights[:, None] * (dl / len(obs))
    dpre = dq @ W2.T
    dpre[pre <= 0] *= 0.01
    return [obs.T @ dpre, dpre.sum(0), feat.T @ dq, dq.sum(0)]


def _listed(names, f):
    return lambda dy, cache: dict(zip(names, f(dy, cache)))


def make_dqn():
    r = np.random.RandomState(35)
    return dict(forward=double_dqn_loss, backward=_listed(("W1", "b1", "W2", "b2"), double_dqn_loss_bwd),
                inputs=dict(W1=r.randn(3, 5), b1=r.randn(5), W2=r.randn(5, 3), b2=r.randn(3)),
                constants=dict(obs=r.randn(6, 3), actions=np.array([0, 1, 1, 0, 1, 0]), targets=r.randn(6) * 2,
                               is_weights=r.rand(6) + .2))


ITEMS.append(Item("double_dqn_huber", "reinforcement learning, prioritised replay", "vjp", make_dqn, True))


def vicreg(za, zb, lam, mu, nu):
    N, D = za.shape
    loss = lam * np.mean((za - zb) ** 2)
    aux = []
    for z in (za, zb):
        zc = z - z.mean(0)
        std = np.sqrt((zc ** 2).sum(0) / (N - 1) + 1e-4)
        cov = zc.T @ zc / (N - 1)
        off = cov - np.diag(np.diag(cov))
        loss = loss + mu * np.mean(np.maximum(0, 1 - std)) + nu * np.sum(off ** 2) / D
        aux.append((zc, std, off))
    return loss, (za - zb, aux, lam, mu, nu)


def vicreg_grad(g, cache):
    diff, aux, lam, mu, nu = cache
    N, D = diff.shape
    res = []
    for sgn, (zc, std, off) in zip((1, -1), aux):
        d = zc * ((std < 1) * -mu / (D * std * (N - 1)))
        d += 4 * nu / (D * (N - 1)) * zc @ off
        d -= d.mean(0)
        d += sgn * 2 * lam / diff.size * diff
        res.append(g * d)
    return tuple(res)


def make_vicreg():
    r = np.random.RandomState(36)
    za = r.randn(6, 4) * np.array([.4, 1.5, .7, 2.])
    return dict(forward=vicreg, backward=vicreg_grad, inputs=dict(za=za, zb=za + .3 * r.randn(6, 4)),
                constants=dict(lam=25., mu=25., nu=1.))


ITEMS.append(Item("vicreg_loss", "self-supervised research code, terse", "vjp", make_vicreg, True))


def student_t_nll(beta, log_scale, log_df, X, y):
    s = np.exp(log_scale)
    nu = 2.0 + np.exp(log_df)
    z = (y - X @ beta) / s
    ll = (gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi) - log_scale
          - (nu + 1) / 2 * np.log1p(z ** 2 / nu))
    return -ll.sum(), (X, s, nu, z)


def student_t_nll_score(g, cache):
    X, s, nu, z = cache
    psi = (nu + 1) * z / (nu + z ** 2)
    dbeta = -(X.T @ psi) / s
    dlog_scale = np.sum(1 - z * psi)
    dnu = np.sum(0.5 * (digamma(nu / 2) - digamma((nu + 1) / 2) + 1 / nu + np.log1p(z ** 2 / nu)
                        - z * psi / nu))
    return {"beta": g * dbeta, "log_scale": g * dlog_scale, "log_df": g * dnu * (nu - 2.0)}


def make_student():
    r = np.random.RandomState(37)
    X = np.column_stack([np.ones(6), r.randn(6, 2)])
    return dict(forward=student_t_nll, backward=student_t_nll_score,
                inputs=dict(beta=np.array([.2, -.4, 1.]), log_scale=np.array(-.3), log_df=np.array(.7)),
                constants=dict(X=X, y=X @ np.array([.1, -.5, 1.2]) + np.array([.2, -.4, 3., .1, -.3, .5])))


ITEMS.append(Item("student_t_regression", "robust statistics, 0-d parameters", "vjp", make_student, True))


def local_level_loglik(y, m0, log_q, log_r):
    m, P, q, r = m0, 1.0, np.exp(log_q), np.exp(log_r)
    ll, tape = 0.0, []
    for yt in y:
        Pp = P + q
        S = Pp + r
        v = yt - m
        K = Pp / S
        ll = ll - 0.5 * (np.log(2 * np.pi * S) + v * v / S)
        tape.append((Pp, S, v, K))
        m, P = m + K * v, (1 - K) * Pp
    return ll, (tape, q, r)


def local_level_score(g, cache):
    tape, q, r = cache
    bm = bP = bq = br = 0.0
    by = np.zeros(len(tape))
    for t in range(len(tape))[::-1]:
        Pp, S, v, K = tape[t]
        bK = v * bm - Pp * bP
        bv = K * bm - g * v / S
        bS = -bK * Pp / S ** 2 - 0.5 * g * (1 / S - v * v / S ** 2)
        bPp = (1 - K) * bP + bK / S + bS
        by[t] = bv
        bm = bm - bv
        br += bS
        bq += bPp
        bP = bPp
    return by, np.asarray(bm), np.asarray(bq * q), np.asarray(br * r)


def make_kalman():
    return dict(forward=local_level_loglik, backward=local_level_score,
                inputs=dict(y=np.array([.3, .9, 1.4, .2, -.5, .8]), m0=np.array(.1), log_q=np.array(-1.2),
                            log_r=np.array(-.4)))


ITEMS.append(Item("local_level_kalman", "state-space statistics, bars for adjoints", "vjp", make_kalman, True))


def soft_dtw(a, b, gamma):
    n, m = len(a), len(b)
    D = ((a[:, None] - b[None]) ** 2).sum(2)
    R = np.full((n + 1, m + 1), np.inf)
    R[0, 0] = 0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            prev = np.array([R[i - 1, j - 1], R[i - 1, j], R[i, j - 1]])
            lo = prev.min()
            R[i, j] = D[i - 1, j - 1] + lo - gamma * np.log(np.exp((lo - prev) / gamma).sum())
    return R[n, m], (a, b, D, R, gamma)


def soft_dtw_grad(g, cache):
    a, b, D, R, gamma = cache
    n, m = D.shape
    E = np.zeros((n + 2, m + 2))
    Rp = np.full((n + 2, m + 2), -np.inf)
    Rp[:-1, :-1] = R
    Rp[0, 1:] = Rp[1:, 0] = -np.inf
    Rp[n + 1, m + 1] = R[n, m]
    Dp = np.zeros((n + 2, m + 2))
    Dp[1:-1, 1:-1] = D
    E[n + 1, m + 1] = 1
    for j in range(m, 0, -1):
        for i in range(n, 0, -1):
            for di, dj in ((1, 0), (0, 1), (1, 1)):
                nxt = Rp[i + di, j + dj] - Rp[i, j] - Dp[i + di, j + dj]
                E[i, j] += E[i + di, j + dj] * np.exp(nxt / gamma)
    E = g * E[1:-1, 1:-1]
    da = 2 * (E.sum(1)[:, None] * a - E @ b)
    db = 2 * (E.sum(0)[:, None] * b - E.T @ a)
    return {"a": da, "b": db}


def make_sdtw():
    r = np.random.RandomState(39)
    return dict(forward=soft_dtw, backward=soft_dtw_grad, inputs=dict(a=r.randn(4, 2), b=r.randn(5, 2)),
                constants=dict(gamma=0.7))


ITEMS.append(Item("soft_dtw", "time series, dynamic programme with borders", "vjp", make_sdtw, True))


def mvn_nll(x, loc, tril_params):
    d = len(loc)
    L = np.zeros((d, d))
    L[np.tril_indices(d)] = tril_params
    di = np.diag_indices(d)
    logdiag = L[di].copy()
    L[di] = np.exp(logdiag)
    white = solve_triangular(L, (x - loc).T, lower=True)
    nll = 0.5 * np.sum(white ** 2, axis=0) + logdiag.sum() + 0.5 * d * np.log(2 * np.pi)
    return nll, (L, white)


def mvn_nll_vjp(dnll, cache):
    L, white = cache
    d = len(L)
    dres = solve_triangular(L, white * dnll, lower=True, trans=1)
    dL = -dres @ white.T
    di = np.diag_indices(d)
    dL[di] *= L[di]
    dL[di] += dnll.sum()
    return dres.T, -dres.sum(axis=1), dL[np.tril_indices(d)]


def make_mvn():
    r = np.random.RandomState(40)
    return dict(forward=mvn_nll, backward=mvn_nll_vjp,
                inputs=dict(x=np.array([2.1e4, -3e3, 150.]) + r.randn(5, 3) * np.array([900., 300., 20.]),
                            loc=np.array([2.1e4, -3e3, 150.]),
                            tril_params=np.array([6.8, 110., 5.4, -4., 7., 2.9])))


ITEMS.append(Item("mvn_cholesky_nll", "statistics in natural units, packed triangle", "vjp", make_mvn, True))


def stick_breaking_poisson(sticks, log_rate, exposure, counts):
    beta = sigmoid(sticks)
    log_pi = np.append(np.log(beta), 0.0) + np.append(0.0, np.cumsum(np.log1p(-beta)))
    lam = exposure[:, None] * np.exp(log_rate)
    lp = log_pi + counts[:, None] * np.log(lam) - lam - gammaln(counts + 1)[:, None]
    m = lp.max(axis=1)
    ev = m + np.log(np.exp(lp - m[:, None]).sum(axis=1))
    resp = np.exp(lp - ev[:, None])
    return ev, (beta, lam, resp, exposure, counts)


def stick_breaking_poisson_grad(dev, cache):
    beta, lam, resp, exposure, counts = cache
    R = dev[:, None] * resp
    n = R.sum(axis=0)
    rest = n[::-1].cumsum()[::-1][1:]
    dsticks = n[:-1] * (1 - beta) - beta * rest
    slack = R * (counts[:, None] - lam)
    return {"exposure": slack.sum(axis=1) / exposure, "log_rate": slack.sum(axis=0), "sticks": dsticks}


def make_stick():
    return dict(forward=stick_breaking_poisson, backward=stick_breaking_poisson_grad,
                inputs=dict(sticks=np.array([-.3, .5, .1]), log_rate=np.array([-1., .2, 1.1, 2.]),
                            exposure=np.array([1., .5, 2., 1.5, .8])),
                constants=dict(counts=np.array([0, 1, 5, 14, 2])))


ITEMS.append(Item("stick_breaking_poisson_mixture", "Bayesian nonparametrics", "vjp", make_stick, True))


def deq_forward(x, W, U, b):
    inj = x @ U.T + b
    z = np.zeros_like(inj)
    for _ in range(500):
        z_new = np.tanh(z @ W.T + inj)
        done = np.max(np.abs(z_new - z)) < 1e-15
        z = z_new
        if done:
            break
    return z, {"x": x, "W": W, "U": U, "z": z}


def deq_backward(dz, c):
    z, W = c["z"], c["W"]
    gain = 1 - z ** 2
    da = np.empty_like(z)
    for n in range(len(z)):
        J = gain[n][:, None] * W
        da[n] = gain[n] * np.linalg.solve(np.eye(len(W)) - J.T, dz[n])
    return {"W": da.T @ z, "U": da.T @ c["x"], "b": da.sum(0), "x": da @ c["U"]}


def make_deq():
    r = np.random.RandomState(42)
    return dict(forward=deq_forward, backward=deq_backward,
                inputs=dict(x=r.randn(4, 2), W=.3 * r.randn(3, 3), U=r.randn(3, 2), b=r.randn(3)))


ITEMS.append(Item("deep_equilibrium_layer", "implicit layer, fixed point", "vjp", make_deq, True))


# =====================================================================================
# whole models
# =====================================================================================
Terms = namedtuple("Terms", "objective nll kl")


class BernoulliVAE:
    def __init__(self, D, H, Z, seed):
        r = np.random.RandomState(seed)
        g = lambda *s: r.randn(*s) * .5
        self.params = dict(We=g(D, H), be=g(H), Wm=g(H, Z), bm=g(Z), Wl=g(H, Z), bl=g(Z),
                           Wd=g(Z, H), bd=g(H), Wo=g(H, D), bo=g(D))

    def encode(self, x):
        p = self.params
        h = np.tanh(x @ p["We"] + p["be"])
        return h @ p["Wm"] + p["bm"], h @ p["Wl"] + p["bl"], h

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, logvar, h = self.encode(x)
        std = np.exp(0.5 * logvar)
        z = mu + std * eps
        hd = np.tanh(z @ p["Wd"] + p["bd"])
        logits = hd @ p["Wo"] + p["bo"]
        nll = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
        kl = -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar), axis=1)
        return Terms(-nll - beta * kl, nll, kl), (x, eps, beta, mu, logvar, h, std, z, hd, logits)

    def backward(self, dobjective, cache):
        x, eps, beta, mu, logvar, h, std, z, hd, logits = cache
        p, g = self.params, {}
        d = dobjective[:, None]
        dlogits = d * (x - 1 / (1 + np.exp(-logits)))
        g["Wo"], g["bo"] = hd.T @ dlogits, dlogits.sum(0)
        dhd = dlogits @ p["Wo"].T * (1 - hd ** 2)
        g["Wd"], g["bd"] = z.T @ dhd, dhd.sum(0)
        dz = dhd @ p["Wd"].T
        dmu = dz - d * beta * mu
        dlogvar = 0.5 * eps * dz - 0.5 * d * beta * (np.exp(logvar) - 1)
        g["Wm"], g["bm"] = h.T @ dmu, dmu.sum(0)
        g["Wl"], g["bl"] = h.T @ dlogvar, dlogvar.sum(0)
        dh = (dmu @ p["Wm"].T + dlogvar @ p["Wl"].T) * (1 - h ** 2)
        g["We"], g["be"] = x.T @ dh, dh.sum(0)
        return g


def make_bvae():
    r = np.random.RandomState(51)
    m = BernoulliVAE(5, 4, 2, 50)
    m.params["bl"] += np.array([-1.2, .9])
    return dict(model=m, x=(r.rand(5, 5) < .5).astype(float), eps=r.randn(5, 2))


ITEMS.append(Item("bernoulli_vae_mlp", "VAE class with params dict", "gradients", make_bvae, False,
                  "z = mu + std*eps with std = exp(logvar/2): dlogvar = 0.5*std*eps*dz; std is missing.",
                  ("We", "be", "Wl", "bl"), ("elementwise-factor", "missing-term")))


class GaussianDecoderVAE:
    """linear encoder, linear decoder, one learned noise level for all pixels"""

    def __init__(self, rng, n_pix, n_lat):
        self.params = {"enc_mu/w": rng.normal(size=(n_pix, n_lat)) * .4, "enc_mu/b": np.zeros(n_lat),
                       "enc_lv/w": rng.normal(size=(n_pix, n_lat)) * .2, "enc_lv/b": np.full(n_lat, -.5),
                       "dec/w": rng.normal(size=(n_lat, n_pix)), "dec/b": rng.normal(size=n_pix) * .1,
                       "log_noise": np.array(-.35)}

    def objective(self, x, eps, beta=1.0):
        P = self.params
        mu = x @ P["enc_mu/w"] + P["enc_mu/b"]
        lv = x @ P["enc_lv/w"] + P["enc_lv/b"]
        z = mu + np.exp(lv / 2) * eps
        recon = z @ P["dec/w"] + P["dec/b"]
        ls = P["log_noise"]
        err = (x - recon) * np.exp(-ls)
        nll = 0.5 * (err ** 2).sum(1) + x.shape[1] * (ls + 0.5 * np.log(2 * np.pi))
        kl = 0.5 * (mu ** 2 + np.exp(lv) - lv - 1).sum(1)
        terms = SimpleNamespace(objective=-nll - beta * kl, nll=nll, kl=kl)
        return terms, SimpleNamespace(x=x, eps=eps, beta=beta, mu=mu, lv=lv, z=z, err=err, inv=np.exp(-ls))

    def backward(self, dobjective, c):
        P = self.params
        w = dobjective.reshape(-1, 1)
        d_recon = w * c.err * c.inv
        d_noise = np.sum(dobjective * (np.sum(c.err ** 2, axis=1) - 1.0))
        dz = d_recon @ P["dec/w"].T
        dmu = dz - c.beta * w * c.mu
        dlv = dz * c.eps * 0.5 * np.exp(c.lv / 2) - c.beta * w * 0.5 * (np.exp(c.lv) - 1)
        return {"enc_mu/w": c.x.T @ dmu, "enc_mu/b": dmu.sum(0), "enc_lv/w": c.x.T @ dlv, "enc_lv/b": dlv.sum(0),
                "dec/w": c.z.T @ d_recon, "dec/b": d_recon.sum(0), "log_noise": d_noise}


def make_gvae():
    r = np.random.default_rng(52)
    return dict(model=GaussianDecoderVAE(r, 4, 2), x=r.normal(size=(5, 4)), eps=r.normal(size=(5, 2)))


ITEMS.append(Item("gaussian_vae_learned_noise", "VAE, slash-named parameters, namespaces", "gradients", make_gvae, False,
                  "log_noise stands once for every pixel in the normaliser: the sum of squares minus D, not minus 1.",
                  ("log_noise",), ("missing-term", "factor")))


class TiedAutoencoder:
    def __init__(self, seed=0):
        rs = np.random.RandomState(seed)
        self.params = {"W": rs.randn(5, 3) * .6, "b": rs.randn(3) * .2, "c": rs.randn(5) * .2}

    def objective(self, x, eps=None, beta=1.0):
        W, b, c = self.params["W"], self.params["b"], self.params["c"]
        y = sigmoid(x @ W + b)
        r = sigmoid(y @ W.T + c)
        ll = np.sum(x * np.log(r) + (1 - x) * np.log(1 - r), axis=1)
        return SimpleNamespace(objective=ll), (x, y, r)

    def backward(self, dobjective, cache):
        x, y, r = cache
        W = self.params["W"]
        L_r = (x - r) * dobjective[:, None]
        L_h = (L_r @ W) * y * (1 - y)
        return {"W": x.T @ L_h, "b": L_h.sum(axis=0), "c": L_r.sum(axis=0)}


def make_tied():
    r = np.random.RandomState(54)
    return dict(model=TiedAutoencoder(53), x=r.rand(6, 5))


ITEMS.append(Item("tied_denoising_autoencoder", "tutorial code, tied weights", "gradients", make_tied, False,
                  "W is used in the encoder and, transposed, in the decoder; L_r.T @ y is missing from its gradient.",
                  ("W",), ("missing-term",)))


class Dense:
    def __init__(self, n, m, rs, act):
        self.W, self.b, self.act = rs.randn(n, m) / np.sqrt(n), rs.randn(m) * .1, act

    def forward(self, x):
        self.x = x
        self.a = x @ self.W + self.b
        return np.logaddexp(0, self.a) if self.act else self.a

    def backward(self, g):
        if self.act:
            g = g * sigmoid(self.a)
        self.dW, self.db = self.x.T @ g, g.sum(0)
        return g @ self.W.T


class Sequential:
    """last column of x is the class"""

    def __init__(self, sizes, seed):
        rs = np.random.RandomState(seed)
        self.layers = [Dense(n, m, rs, i < len(sizes) - 2) for i, (n, m) in enumerate(zip(sizes, sizes[1:]))]
        self.params = {f"{k}{i}": getattr(l, k) for i, l in enumerate(self.layers) for k in "Wb"}

    def objective(self, x, eps=None, beta=1.0):
        h, y = x[:, :-1], x[:, -1].astype(int)
        for layer in self.layers:
            h = layer.forward(h)
        logp = h - _lse(h, 1)[:, None]
        return SimpleNamespace(objective=logp[np.arange(len(y)), y]), (logp, y)

    def backward(self, dobjective, cache):
        logp, y = cache
        g = -np.exp(logp)
        g[np.arange(len(y)), y] += 1
        g *= np.mean(dobjective)
        for layer in reversed(self.layers):
            g = layer.backward(g)
        return {f"{k}{i}": getattr(l, "d" + k) for i, l in enumerate(self.layers) for k in "Wb"}


def make_sequential():
    r = np.random.RandomState(56)
    x = np.column_stack([r.randn(6, 3), [0, 2, 1, 1, 0, 2]])
    return dict(model=Sequential((3, 4, 4, 3), 55), x=x)


ITEMS.append(Item("sequential_classifier", "small framework: Dense, Sequential", "gradients", make_sequential, False,
                  "Every row is weighed with the mean of dobjective; it should be its own, g *= dobjective[:, None].",
                  ("W0", "b0", "W1", "b1", "W2", "b2"), ("batch-sum", "elementwise-factor")))


class MatrixFactorization:
    """x rows: user, item, rating"""

    def __init__(self, n_users, n_items, rank, seed):
        rng = np.random.default_rng(seed)
        self.params = {"P": rng.normal(size=(n_users, rank)), "Q": rng.normal(size=(n_items, rank)),
                       "bu": rng.normal(size=n_users) * .3, "bi": rng.normal(size=n_items) * .3,
                       "mean": np.array([3.2])}

    def objective(self, x, eps=None, beta=1.0):
        p = self.params
        u, i = x[:, 0].astype(int), x[:, 1].astype(int)
        pred = p["mean"] + p["bu"][u] + p["bi"][i] + np.einsum("nk,nk->n", p["P"][u], p["Q"][i])
        e = x[:, 2] - pred
        return SimpleNamespace(objective=-0.5 * e ** 2), (u, i, e)

    def backward(self, dobjective, cache):
        u, i, e = cache
        p = self.params
        g = {k: np.zeros_like(v) for k, v in p.items()}
        d = dobjective * e
        np.add.at(g["bu"], u, d)
        np.add.at(g["bi"], i, d)
        g["P"][u] += d[:, None] * p["Q"][i]
        np.add.at(g["Q"], i, d[:, None] * p["P"][u])
        g["mean"] += d.sum()
        return g


def make_mf():
    x = np.array([[0, 1, 4.], [1, 0, 3.], [0, 2, 5.], [2, 3, 1.], [0, 3, 2.], [1, 2, 4.]])
    return dict(model=MatrixFactorization(3, 4, 2, 57), x=x)


ITEMS.append(Item("matrix_factorization_biases", "recommender", "gradients", make_mf, False,
                  "g['P'][u] += writes a repeated user only once; np.add.at is needed as for the others.",
                  ("P",), ("batch-sum", "missing-term")))


class SharedWeightVAE:
    """decoder is the encoder transposed; sigma by softplus"""

    def __init__(self):
        r = np.random.RandomState(60)
        self.params = {"W": r.randn(5, 4) * .5, "A": r.randn(4, 2) * .6, "S": r.randn(4, 2) * .4,
                       "b": r.randn(4) * .1, "c": r.randn(5) * .1}

    def objective(self, x, eps, beta=1.0):
        p = self.params
        h = np.maximum(x @ p["W"] + p["b"], 0)
        mu, rho = h @ p["A"], h @ p["S"]
        sd = np.logaddexp(0, rho)
        z = mu + sd * eps
        k = np.maximum(z @ p["A"].T + p["b"], 0)
        lo = k @ p["W"].T + p["c"]
        nll = (np.logaddexp(0, lo) - x * lo).sum(1)
        kl = (0.5 * (mu * mu + sd * sd - 1) - np.log(sd)).sum(1)
        return Terms(-(nll + beta * kl), nll, kl), (x, eps, beta, h, mu, rho, sd, z, k, lo)

    def backward(self, dobjective, cache):
        x, eps, beta, h, mu, rho, sd, z, k, lo = cache
        p = self.params
        out = {n: np.zeros_like(v) for n, v in p.items()}
        up = dobjective[:, None]
        e = up * (x - sigmoid(lo))
        out["c"] += e.sum(0)
        out["W"] += e.T @ k
        dk = e @ p["W"]
        dk *= k > 0
        out["A"] += dk.T @ z
        out["b"] += dk.sum(0)
        dz = dk @ p["A"]
        dmu = dz - beta * up * mu
        drho = (dz * eps - beta * up * (sd - 1 / sd)) * sigmoid(rho)
        out["A"] += h.T @ dmu
        out["S"] += h.T @ drho
        dh = dmu @ p["A"].T + drho @ p["S"].T
        dh[h <= 0] = 0
        out["W"] += x.T @ dh
        out["b"] += dh.sum(0)
        return out


def make_shared_vae():
    r = np.random.RandomState(61)
    return dict(model=SharedWeightVAE(), x=(r.rand(5, 5) < .6) * 1.0, eps=r.randn(5, 2))


ITEMS.append(Item("shared_weight_vae", "VAE with parameters shared by both halves", "gradients", make_shared_vae, True))


class PoissonFactorAutoencoder:
    def __init__(self, rng):
        self.params = {"E": rng.normal(size=(4, 3)), "e": rng.normal(size=(1, 3)), "D": rng.normal(size=(3, 4)) * .5,
                       "log_depth": np.array(0.4)}

    def objective(self, x, eps=None, beta=1.0):
        p = self.params
        feat = np.log1p(x)
        pre = feat @ p["E"] + p["e"]
        code = _softmax(pre, 1)
        load = np.exp(p["D"])
        load /= load.sum(axis=1, keepdims=True)
        share = code @ load
        depth = np.exp(p["log_depth"]) * x.sum(axis=1, keepdims=True)
        rate = depth * share
        nll = (rate - x * np.log(rate) + gammaln(x + 1)).sum(axis=1)
        return SimpleNamespace(objective=-nll, nll=nll), (x, feat, code, load, share, depth, rate)

    def backward(self, dobjective, cache):
        x, feat, code, load, share, depth, rate = cache
        resid = (x - rate) * dobjective[:, None]
        dshare = resid / share
        dcode = dshare @ load.T
        dload = code.T @ dshare
        dpre = code * (dcode - np.einsum("bk,bk->b", code, dcode)[:, None])
        dD = load * (dload - np.einsum("kv,kv->k", load, dload)[:, None])
        return {"log_depth": resid.sum(), "D": dD, "E": feat.T @ dpre, "e": dpre.sum(axis=0, keepdims=True)}


def make_poisson_ae():
    return dict(model=PoissonFactorAutoencoder(np.random.default_rng(62)),
                x=np.array([[3, 0, 1, 7], [0, 2, 2, 1], [11, 4, 0, 0], [1, 1, 1, 5], [0, 0, 6, 2]]))


ITEMS.append(Item("poisson_topic_autoencoder", "topic model, integer counts, 0-d parameter", "gradients",
                  make_poisson_ae, True))


class IWAE:
    """eps (K, B, Z); importance-weighted bound, unit-variance gaussian pixels"""

    def __init__(self, rs):
        self.params = {"V": rs.randn(4, 2) * .5, "v0": rs.randn(2) * .2, "s0": np.array([-.4, .2]),
                       "G": rs.randn(2, 4), "g0": rs.randn(4) * .2}

    def encode(self, x):
        p = self.params
        mu = x @ p["V"] + p["v0"]
        return mu, np.broadcast_to(p["s0"], mu.shape)

    def objective(self, x, eps, beta=1.0):
        p = self.params
        mu, lv = self.encode(x)
        z = mu + np.exp(.5 * lv) * eps
        t = np.tanh(z)
        res = x - (t @ p["G"] + p["g0"])
        logw = -.5 * (res ** 2).sum(-1) - 2 * np.log(2 * np.pi)
        logw = logw + beta * .5 * (eps ** 2 + lv - z ** 2).sum(-1)
        bound = _lse(logw, 0) - np.log(len(eps))
        return SimpleNamespace(objective=bound), (x, eps, beta, lv, z, t, res, np.exp(logw - _lse(logw, 0)))

    def backward(self, dobjective, cache):
        x, eps, beta, lv, z, t, res, wn = cache
        p = self.params
        q = (wn * dobjective)[..., None]
        r = q * res
        dz = (r @ p["G"].T) * (1 - t ** 2) - beta * q * z
        dlv = .5 * dz * np.exp(.5 * lv) * eps + .5 * beta * q
        dmu = dz.sum(0)
        return {"V": x.T @ dmu, "v0": dmu.sum(0), "s0": dlv.sum((0, 1)),
                "G": np.tensordot(t, r, axes=([0, 1], [0, 1])), "g0": r.sum((0, 1))}


def make_iwae():
    r = np.random.RandomState(63)
    return dict(model=IWAE(r), x=r.randn(4, 4), eps=r.randn(3, 4, 2))


ITEMS.append(Item("iwae_gaussian", "research code, importance-weighted bound", "gradients", make_iwae, True))
