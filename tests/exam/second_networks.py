"""Exam paper: networks of several steps, models of machine learning and statistics (check "vjp")."""
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

def add(name, style, text, data, old=None, new=None, slip="", wrong=(), causes=()):
    source = text
    if old is not None:
        assert text.count(old) == 1, (name, text.count(old))
        source = text.replace(old, new)
    def make():
        space = {"np": np}
        exec(compile(source, name, "exec"), space)
        inputs, constants = data(np.random.default_rng(sum(map(ord, text)) % 9973))
        return {"forward": space["forward"], "backward": space["backward"], "inputs": inputs, "constants": constants}

    ITEMS.append(Item(name, style, "vjp", make, old is None, slip, tuple(wrong), tuple(causes)))

# ---------------------------------------------------------------- course assignment, TwoLayerNet
CS = "course assignment in the manner of cs231n"
TWO_LAYER = '''
def forward(X, params, y, reg):
    W1, b1, W2, b2 = params["W1"], params["b1"], params["W2"], params["b2"]
    N = X.shape[0]
    hidden = np.maximum(0, X.dot(W1) + b1)
    scores = hidden.dot(W2) + b2
    shifted = scores - scores.max(axis=1, keepdims=True)
    probs = np.exp(shifted)
    probs /= probs.sum(axis=1, keepdims=True)
    loss = -np.log(probs[np.arange(N), y]).mean()
    loss += reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    return loss, (X, hidden, probs, W1, W2, y, reg)
def backward(dout, cache):
    X, hidden, probs, W1, W2, y, reg = cache
    N = X.shape[0]
    dscores = probs.copy()
    dscores[np.arange(N), y] -= 1
    dscores /= N
    grads = {}
    grads["W2"] = dout * (hidden.T.dot(dscores) + 2 * reg * W2)
    grads["b2"] = dout * dscores.sum(axis=0)
    dhidden = dscores.dot(W2.T)
    dhidden[hidden <= 0] = 0
    grads["W1"] = dout * (X.T.dot(dhidden) + 2 * reg * W1)
    grads["b1"] = dout * dhidden.sum(axis=0)
    return {"X": dout * dhidden.dot(W1.T), "params": grads}
'''

def two_layer_data(r):
    p = {"W1": r.normal(size=(4, 5)), "b1": r.normal(size=5), "W2": r.normal(size=(5, 3)), "b2": r.normal(size=3)}
    return {"X": r.normal(size=(6, 4)), "params": p}, {"y": np.array([0, 2, 1, 1, 0, 2]), "reg": 0.05}

add("two_layer_softmax_l2", CS, TWO_LAYER, two_layer_data)
add("two_layer_probs_overwritten", CS, TWO_LAYER, two_layer_data, "dscores = probs.copy()", "dscores = probs",
    "dscores is the cached probs and is changed in place, so a second backward starts from spoilt probabilities; copy it.",
    (), ("mutates-input", "accumulates"))

# ---------------------------------------------------------------- features first, columns are examples
NG = "online-course notebook, examples in columns, 1/m at each parameter"
COLUMNS = '''
def forward(X, W1, b1, W2, b2, Y):
    Z1 = np.dot(W1, X) + b1
    A1 = np.tanh(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = 1 / (1 + np.exp(-Z2))
    m = Y.shape[1]
    cost = -1 / m * np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2))
    cost = np.squeeze(cost)
    return cost, {"X": X, "Z1": Z1, "A1": A1, "Z2": Z2, "A2": A2, "W1": W1, "W2": W2, "Y": Y}
def backward(dcost, cache):
    X, A1, A2, Y = cache["X"], cache["A1"], cache["A2"], cache["Y"]
    m = Y.shape[1]
    dZ2 = dcost * (A2 - Y)
    dW2 = 1 / m * np.dot(dZ2, A1.T)
    db2 = 1 / m * np.sum(dZ2, axis=1, keepdims=True)
    dZ1 = np.dot(cache["W2"].T, dZ2) * (1 - np.power(A1, 2))
    dW1 = 1 / m * np.dot(dZ1, X.T)
    db1 = 1 / m * np.sum(dZ1, axis=1, keepdims=True)
    dX = 1 / m * np.dot(cache["W1"].T, dZ1)
    return {"X": dX, "W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
'''

def columns_data(r):
    return ({"X": r.normal(size=(3, 5)), "W1": r.normal(size=(4, 3)), "b1": r.normal(size=(4, 1)),
             "W2": r.normal(size=(1, 4)), "b2": r.normal(size=(1, 1))}, {"Y": np.array([[1., 0., 1., 1., 0.]])})

add("planar_net_columns", NG, COLUMNS, columns_data)
add("planar_net_bias_axis", NG, COLUMNS, columns_data, "np.sum(dZ1, axis=1, keepdims=True)", "np.sum(dZ1, axis=0, keepdims=True)",
    "db1 is summed over the units (axis 0) and keeps one entry per example; sum over axis 1.", ("b1",), ("shape",))
add("planar_net_first_weight_no_mean", NG, COLUMNS, columns_data, "dW1 = 1 / m * np.dot", "dW1 = np.dot",
    "dW1 lacks the 1/m that the cost has, so it is m times too big.", ("W1",), ("factor",))

# ---------------------------------------------------------------- tied autoencoder, per-example loss
DLT = "Theano-tutorial style autoencoder classes ported to functions"
TIED = '''
def forward(x, W, bvis, bhid):
    pre = x @ W + bhid
    h = 1.0 / (1.0 + np.exp(-pre))
    xhat = h @ W.T + bvis
    err = xhat - x
    return 0.5 * (err ** 2).sum(axis=1), (x, W, h, err)
def backward(dloss, cache):
    x, W, h, err = cache
    dxhat = err * dloss[:, None]
    dpre = (dxhat @ W) * h * (1 - h)
    dW = dxhat.T @ h
    dW += x.T @ dpre
    dx = dpre @ W.T - dxhat
    return dx, dW, dxhat.sum(0), dpre.sum(0)
'''

def tied_data(r):
    return {"x": r.normal(size=(5, 4)), "W": r.normal(size=(4, 3)), "bvis": r.normal(size=4), "bhid": r.normal(size=3)}, {}

add("tied_autoencoder_rows", DLT, TIED, tied_data)
add("tied_autoencoder_decoder_only", DLT, TIED, tied_data, "    dW += x.T @ dpre\n", "",
    "the tied W gets only the decoder's gradient; the encoder's x.T @ dpre is missing.", ("W",), ("missing-term",))

# ---------------------------------------------------------------- siamese net with a contrastive loss
SIAMESE = '''
def forward(xa, xb, W, b, same, margin):
    ea, eb = np.tanh(xa @ W + b), np.tanh(xb @ W + b)
    diff = ea - eb
    dist = np.sqrt((diff ** 2).sum(1) + 1e-9)
    gap = np.maximum(margin - dist, 0.0)
    loss = same * dist ** 2 + (1 - same) * gap ** 2
    return loss.mean(), dict(xa=xa, xb=xb, W=W, ea=ea, eb=eb, diff=diff, dist=dist, gap=gap, same=same)
def backward(g, c):
    n = len(c["dist"])
    ddist = g / n * (2 * c["same"] * c["dist"] - 2 * (1 - c["same"]) * c["gap"])
    ddiff = (ddist / c["dist"])[:, None] * c["diff"]
    da = ddiff * (1 - c["ea"] ** 2)
    db = ddiff * (1 - c["eb"] ** 2)
    return {"xa": da @ c["W"].T, "xb": -db @ c["W"].T,
            "W": c["xa"].T @ da - c["xb"].T @ db, "b": (da - db).sum(0)}
'''

def siamese_data(r):
    return ({"xa": r.normal(size=(6, 3)), "xb": r.normal(size=(6, 3)), "W": r.normal(size=(3, 4)), "b": r.normal(size=4)},
            {"same": np.array([1., 0., 0., 1., 0., 1.]), "margin": 1.9})

add("siamese_second_branch_sign", "hobby face-verification repository", SIAMESE, siamese_data, '"xb": -db @', '"xb": db @',
    "the second branch enters the difference with a minus, which dxb forgets.", ("xb",), ("sign",))

# ---------------------------------------------------------------- char-rnn gist
GIST = "one-file character RNN gist, loops over a text"
CHAR_RNN = '''
def forward(Wxh, Whh, Why, bh, by, hprev, inputs_idx, targets):
    xs, hs, ps = {}, {-1: hprev}, {}
    loss = 0.0
    for t in range(len(inputs_idx)):
        xs[t] = np.zeros((Wxh.shape[1], 1))
        xs[t][inputs_idx[t]] = 1
        hs[t] = np.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
        ys = Why @ hs[t] + by
        ps[t] = np.exp(ys) / np.sum(np.exp(ys))
        loss += -np.log(ps[t][targets[t], 0])
    return loss, (xs, hs, ps, targets, Whh, Why, Wxh)
def backward(dloss, cache):
    xs, hs, ps, targets, Whh, Why, Wxh = cache
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros((len(Whh), 1)), np.zeros((len(Why), 1))
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(targets))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dy = dy * dloss
        dWhy += dy @ hs[t].T
        dby += dy
        dh = Why.T @ dy + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += dhraw @ xs[t].T
        dWhh += dhraw @ hs[t - 1].T
        dhnext = Whh.T @ dhraw
    return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby, "hprev": dhnext}
'''

def char_data(r):
    return ({"Wxh": r.normal(size=(4, 5)), "Whh": r.normal(size=(4, 4)) * 0.6, "Why": r.normal(size=(5, 4)),
             "bh": r.normal(size=(4, 1)) * 0.3, "by": r.normal(size=(5, 1)) * 0.3, "hprev": r.normal(size=(4, 1)) * 0.3},
            {"inputs_idx": [0, 3, 3, 1, 4], "targets": [3, 3, 1, 4, 2]})

add("char_rnn_sum", GIST, CHAR_RNN, char_data)
add("char_rnn_recurrent_not_transposed", GIST, CHAR_RNN, char_data, "dhnext = Whh.T @ dhraw", "dhnext = Whh @ dhraw",
    "the gradient goes back through Whh instead of Whh.T.", ("Wxh", "Whh", "bh", "hprev"), ("transpose", "unknown"))

# ---------------------------------------------------------------- LSTM over a padded sequence
SEQ = "NumPy port of a PyTorch sequence encoder, time first, packed by a mask"
LSTM = '''
def sigmoid(a):
    return 0.5 * (1 + np.tanh(0.5 * a))

def forward(x, w_ih, w_hh, bias, mask):
    T, B, _ = x.shape
    H = w_hh.shape[1]
    h, c = np.zeros((B, H)), np.zeros((B, H))
    tape = []
    for t in range(T):
        gates = x[t] @ w_ih.T + h @ w_hh.T + bias
        i, f, g, o = np.split(gates, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        m = mask[t][:, None]
        c_raw = f * c + i * g
        tc = np.tanh(c_raw)
        tape.append((h, c, i, f, g, o, tc, m))
        h = m * (o * tc) + (1 - m) * h
        c = m * c_raw + (1 - m) * c
    return h, (x, w_ih, w_hh, tape)
def backward(dh, cache):
    x, w_ih, w_hh, tape = cache
    dx = np.zeros_like(x)
    dw_ih, dw_hh, dbias = np.zeros_like(w_ih), np.zeros_like(w_hh), np.zeros(len(w_ih))
    dc = np.zeros_like(dh)
    for t in range(len(tape) - 1, -1, -1):
        h, c, i, f, g, o, tc, m = tape[t]
        dh_new = m * dh
        dc_new = m * dc + dh_new * o * (1 - tc ** 2)
        dgates = np.concatenate([dc_new * g * i * (1 - i), dc_new * c * f * (1 - f),
                                 dc_new * i * (1 - g ** 2), dh_new * tc * o * (1 - o)], axis=1)
        dx[t] = dgates @ w_ih
        dw_ih += dgates.T @ x[t]
        dw_hh += dgates.T @ h
        dbias += dgates.sum(axis=0)
        dh = (1 - m) * dh + dgates @ w_hh
        dc = (1 - m) * dc + dc_new * f
    return dx, dw_ih, dw_hh, dbias
'''

def lstm_data(r):
    mask = (np.arange(4)[:, None] < np.array([4, 2, 3])[None]).astype(float)
    return ({"x": r.normal(size=(4, 3, 2)), "w_ih": r.normal(size=(12, 2)), "w_hh": r.normal(size=(12, 3)) * 0.7,
             "bias": r.normal(size=12) * 0.5}, {"mask": mask})

add("lstm_masked_last_state", SEQ, LSTM, lstm_data)
add("lstm_cell_path_without_forget", SEQ, LSTM, lstm_data, "dc_new * f\n", "dc_new\n",
    "the cell's gradient goes back a step without the forget gate f.", ("x", "w_ih", "w_hh", "bias"),
    ("elementwise-factor", "unknown"))

# ---------------------------------------------------------------- sparse autoencoder (tutorial; right only)
SPARSE = '''
def forward(W1, W2, b1, b2, data, lam, rho, beta):
    m = data.shape[1]
    a2 = 1 / (1 + np.exp(-(W1.dot(data) + b1[:, None])))
    a3 = 1 / (1 + np.exp(-(W2.dot(a2) + b2[:, None])))
    rho_hat = a2.mean(axis=1)
    kl = rho * np.log(rho / rho_hat) + (1 - rho) * np.log((1 - rho) / (1 - rho_hat))
    cost = 0.5 / m * np.sum((a3 - data) ** 2) + 0.5 * lam * (np.sum(W1 ** 2) + np.sum(W2 ** 2)) + beta * kl.sum()
    return cost, [W1, W2, data, a2, a3, rho_hat, lam, rho, beta]
def backward(dcost, stack):
    W1, W2, data, a2, a3, rho_hat, lam, rho, beta = stack
    m = data.shape[1]
    delta3 = (a3 - data) * a3 * (1 - a3)
    sparsity = beta * (-rho / rho_hat + (1 - rho) / (1 - rho_hat))
    delta2 = (W2.T.dot(delta3) + sparsity[:, None]) * a2 * (1 - a2)
    return (dcost * (delta2.dot(data.T) / m + lam * W1), dcost * (delta3.dot(a2.T) / m + lam * W2),
            dcost * delta2.mean(axis=1), dcost * delta3.mean(axis=1))
'''

def sparse_data(r):
    return ({"W1": r.normal(size=(3, 5)), "W2": r.normal(size=(5, 3)), "b1": r.normal(size=3), "b2": r.normal(size=5)},
            {"data": r.uniform(0.1, 0.9, size=(5, 6)), "lam": 0.02, "rho": 0.1, "beta": 1.5})

add("sparse_autoencoder_kl", "Stanford tutorial exercise translated from Matlab", SPARSE, sparse_data)

# ---------------------------------------------------------------- statistics: elastic net, Poisson, logistic
SK = "scikit-learn-like linear models, loss and gradient of one coefficient vector"
ELASTIC = '''
def forward(w, X, y, alpha, l1_ratio):
    # last entry of w: the intercept, not penalised
    coef, intercept = w[:-1], w[-1]
    resid = X @ coef + intercept - y
    loss = 0.5 * np.mean(resid ** 2)
    loss += alpha * (l1_ratio * np.abs(coef).sum() + 0.5 * (1 - l1_ratio) * coef @ coef)
    return loss, (w, X, resid, alpha, l1_ratio)
def backward(dloss, cache):
    w, X, resid, alpha, l1_ratio = cache
    grad = np.empty_like(w)
    grad[:-1] = X.T @ resid / len(resid)
    grad[-1] = resid.mean()
    grad[:-1] += alpha * (l1_ratio * np.sign(w[:-1]) + (1 - l1_ratio) * w[:-1])
    return dloss * grad
'''

def elastic_data(r):
    return ({"w": r.choice([-1, 1], 5) * r.uniform(0.3, 1.5, 5)},
            {"X": r.normal(size=(6, 4)), "y": r.normal(size=6), "alpha": 0.4, "l1_ratio": 0.3})

add("elastic_net_intercept_penalised", SK, ELASTIC, elastic_data,
    "grad[:-1] += alpha * (l1_ratio * np.sign(w[:-1]) + (1 - l1_ratio) * w[:-1])",
    "grad += alpha * (l1_ratio * np.sign(w) + (1 - l1_ratio) * w)",
    "the penalty's gradient is added to the intercept too, which the loss does not penalise.", ("w",), ("missing-term",))

POISSON = '''
def forward(beta, offset, X, counts):
    eta = X @ beta + offset
    mu = np.exp(eta)
    return mu - counts * eta, (X, mu, counts)
def backward(dnll, cache):
    X, mu, counts = cache
    score = dnll * (mu - counts)
    dbeta = np.zeros(X.shape[1])
    for xi, si in zip(X, score):
        dbeta += si * xi
    return {"beta": dbeta, "offset": score}
'''

def poisson_data(r):
    return ({"beta": r.normal(size=3), "offset": r.normal(size=5) * 0.5},
            {"X": r.normal(size=(5, 3)), "counts": np.array([0, 2, 1, 4, 3])})

add("poisson_score_in_single_precision", "GLM code of an epidemiology repository", POISSON, poisson_data,
    "np.zeros(X.shape[1])", "np.zeros(X.shape[1], dtype=np.float32)",
    "the score is added up in a float32 array; use float64.", ("beta",), ("precision",))

LOGIT = '''
def forward(w, b, X, y):
    margin = y * (X @ w + b)
    return np.logaddexp(0.0, -margin).mean(), (X, y, margin)
def backward(d, cache):
    X, y, margin = cache
    p = 0.5 * (1 - np.tanh(0.5 * margin))
    r = -d * y * p / len(y)
    return {"w": X.T @ r, "b": r.sum()}
'''

def logit_data(r):
    X = r.normal(size=(5, 3))
    X[1] *= 4000 / abs(X[1, 0])
    w = np.array([1.0, 0.2, -0.1])
    y = np.array([1., 0., -1., 1., -1.])
    y[1] = -np.sign(X[1] @ w)
    return {"w": w, "b": np.array(0.3)}, {"X": X, "y": y}

add("logistic_overflowing_slope", "blog post on logistic regression with +-1 labels", LOGIT, logit_data,
    "p = 0.5 * (1 - np.tanh(0.5 * margin))", "p = np.exp(-margin) / (1 + np.exp(-margin))",
    "exp(-margin) overflows for a badly misclassified outlier and gives inf/inf; use a stable sigmoid(-margin).",
    ("w", "b"), ("non-finite",))

# ---------------------------------------------------------------- factorisation and ranking
RECSYS = "recommender-system repository, user and item indices"
MF = '''
def forward(P, Q, bu, bi, users, items, ratings, mu):
    p, q = P[users], Q[items]
    err = mu + bu[users] + bi[items] + np.einsum("nk,nk->n", p, q) - ratings
    return np.sum(err ** 2), (p, q, err, users, items, P.shape, Q.shape)
def backward(dloss, cache):
    p, q, err, users, items, p_shape, q_shape = cache
    g = 2 * err * dloss
    dP, dQ = np.zeros(p_shape), np.zeros(q_shape)
    np.add.at(dP, users, g[:, None] * q)
    np.add.at(dQ, items, g[:, None] * p)
    dbu = np.bincount(users, weights=g, minlength=p_shape[0])
    dbi = np.bincount(items, weights=g, minlength=q_shape[0])
    return {"P": dP, "Q": dQ, "bu": dbu, "bi": dbi}
'''

def mf_data(r):
    return ({"P": r.normal(size=(4, 3)), "Q": r.normal(size=(5, 3)), "bu": r.normal(size=4), "bi": r.normal(size=5)},
            {"users": np.array([0, 1, 1, 3, 0, 2]), "items": np.array([4, 2, 0, 2, 1, 2]),
             "ratings": r.uniform(1, 5, 6), "mu": 3.1})

add("biased_mf_items_rated_twice", RECSYS, MF, mf_data, "np.add.at(dQ, items, g[:, None] * p)", "dQ[items] += g[:, None] * p",
    "dQ[items] += ... keeps only one rating of an item rated several times; use np.add.at.", ("Q",), ("batch-sum", "missing-term"))

BPR = '''
class BPRLoss:
    """keeps what it needs on itself; indices are (user, liked, other)"""
    def __call__(self, U, V, triples):
        self.u, self.i, self.j = triples.T
        self.U, self.V = U, V
        self.x = np.sum(U[self.u] * (V[self.i] - V[self.j]), axis=-1)
        return np.logaddexp(0, -self.x)
    def grad(self, dloss):
        s = 1 / (1 + np.exp(self.x))
        g = (-s * dloss)[:, None]
        dU, dV = np.zeros_like(self.U), np.zeros_like(self.V)
        np.add.at(dU, self.u, g * (self.V[self.i] - self.V[self.j]))
        np.add.at(dV, self.i, g * self.U[self.u])
        np.subtract.at(dV, self.j, g * self.U[self.u])
        return dU, dV

def forward(U, V, triples):
    loss = BPRLoss()
    y = loss(U, V, triples)
    return y, {"loss": loss, "x": loss.x}
def backward(dy, cache):
    return cache["loss"].grad(dy)
'''

def bpr_data(r):
    return ({"U": r.normal(size=(4, 3)), "V": r.normal(size=(6, 3))},
            {"triples": np.array([[0, 1, 2], [1, 4, 5], [2, 1, 0], [3, 3, 5]])})

add("bpr_triples_kept_state", RECSYS, BPR, bpr_data)
add("bpr_sigmoid_of_the_wrong_sign", RECSYS, BPR, bpr_data, "np.exp(self.x))", "np.exp(-self.x))",
    "the slope is sigmoid(x) where log sigmoid(x) has sigmoid(-x).", ("U", "V"), ("elementwise-factor",))

RESCAL = '''
def forward(S, R, O, labels):
    SR = S @ R
    score = np.sum(SR * O, axis=1)
    p = 1 / (1 + np.exp(-score))
    loss = -(labels * np.log(p) + (1 - labels) * np.log(1 - p))
    return loss, (S, R, O, SR, p, labels)
def backward(dloss, saved):
    S, R, O, SR, p, labels = saved
    ds = (dloss * (p - labels))[:, None]
    return {"S": (ds * O) @ R.T, "R": S.T @ (ds * O), "O": ds * SR}
'''

def rescal_data(r):
    return ({"S": r.normal(size=(5, 3)), "R": r.normal(size=(3, 3)), "O": r.normal(size=(5, 3))},
            {"labels": np.array([1., 0., 0., 1., 1.])})

add("rescal_relation_turned", "knowledge-graph embedding repository", RESCAL, rescal_data, "S.T @ (ds * O)", "O.T @ (ds * S)",
    "the relation's gradient is object x subject, the transpose of subject x object.", ("R",), ("transpose",))

# ---------------------------------------------------------------- contrastive
NCE = '''
def forward(z1, z2, tau):
    n1, n2 = np.linalg.norm(z1, axis=1, keepdims=True), np.linalg.norm(z2, axis=1, keepdims=True)
    u, v = z1 / n1, z2 / n2
    logits = u @ v.T / tau
    logits = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return -np.log(np.diag(p)).mean(), (u, v, n1, n2, p, tau)
def backward(grad_out, ctx):
    u, v, n1, n2, p, tau = ctx
    dsim = grad_out * (p - np.eye(len(p))) / (len(p) * tau)
    du, dv = dsim @ v, dsim.T @ u
    dz1 = (du - u * np.sum(u * du, axis=1, keepdims=True)) / n1
    dz2 = (dv - v * np.sum(v * dv, axis=1, keepdims=True)) / n2
    return dz1, dz2
'''

def nce_data(r):
    return {"z1": r.normal(size=(4, 3)), "z2": r.normal(size=(4, 3))}, {"tau": 0.4}

add("info_nce_unit_norm_as_constant", "self-supervised learning repository (SimCLR-like)", NCE, nce_data,
    "dz2 = (dv - v * np.sum(v * dv, axis=1, keepdims=True)) / n2", "dz2 = dv / n2",
    "the norm of z2 is taken for a constant; the projection - v (v . dv) is missing.", ("z2",), ("missing-term",))

# ---------------------------------------------------------------- policy gradients
RL = "reinforcement-learning baselines in NumPy"
PPO = '''
def forward(obs, W, b, act, adv, logp_old, clip):
    logits = obs @ W + b
    logits = logits - logits.max(-1, keepdims=True)
    logp_all = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    logp = np.take_along_axis(logp_all, act[:, None], 1)[:, 0]
    ratio = np.exp(logp - logp_old)
    surr = np.minimum(ratio * adv, np.clip(ratio, 1 - clip, 1 + clip) * adv)
    return -surr.mean(), {"obs": obs, "W": W, "act": act, "adv": adv, "ratio": ratio, "p": np.exp(logp_all), "clip": clip}
def backward(dloss, c):
    ratio, adv = c["ratio"], c["adv"]
    live = np.where(adv > 0, ratio < 1 + c["clip"], ratio > 1 - c["clip"])
    dlogp = -dloss / len(adv) * live * ratio * adv
    onehot = np.eye(c["p"].shape[1])[c["act"]]
    dlogits = dlogp[:, None] * (onehot - c["p"])
    return {"obs": dlogits @ c["W"].T, "W": c["obs"].T @ dlogits, "b": dlogits.sum(0)}
'''

def ppo_data(r):
    obs, W, b = r.normal(size=(6, 3)), r.normal(size=(3, 4)), r.normal(size=4)
    act = np.array([0, 3, 1, 2, 2, 1])
    lg = obs @ W + b
    lp = (lg - np.log(np.exp(lg).sum(1, keepdims=True)))[np.arange(6), act]
    ratio = np.array([0.6, 1.05, 1.5, 0.7, 1.6, 0.9])
    return ({"obs": obs, "W": W, "b": b},
            {"act": act, "adv": np.array([1.3, -0.8, 0.9, -1.1, -0.6, 0.7]), "logp_old": lp - np.log(ratio), "clip": 0.2})

add("ppo_clipped_surrogate", RL, PPO, ppo_data)
add("ppo_clip_ignores_the_minimum", RL, PPO, ppo_data,
    'live = np.where(adv > 0, ratio < 1 + c["clip"], ratio > 1 - c["clip"])', 'live = np.abs(ratio - 1) < c["clip"]',
    "every ratio outside the clip range is cut, though the minimum picks the unclipped term where it is the worse one.",
    ("obs", "W", "b"), ("elementwise-factor", "batch-sum", "zero"))

A2C = '''
def forward(s, W, Wp, Wv, a, ret, adv, c_v, c_e):
    h = np.tanh(s @ W)
    logits = h @ Wp
    logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    p = np.exp(logp)
    H = -(p * logp).sum(1, keepdims=True)
    v = (h @ Wv)[:, 0]
    pick = logp[np.arange(len(a)), a]
    loss = np.sum(-adv * pick + c_v * (v - ret) ** 2 - c_e * H[:, 0])
    return loss, (s, W, Wp, Wv, h, p, logp, H, v, a, ret, adv, c_v, c_e)
def backward(d, cache):
    s, W, Wp, Wv, h, p, logp, H, v, a, ret, adv, c_v, c_e = cache
    dlogits = adv[:, None] * (p - np.eye(p.shape[1])[a])
    dlogits += c_e * p * (logp + H)
    dlogits *= d
    dv = (2 * c_v * d * (v - ret))[:, None]
    dh = dlogits @ Wp.T + dv @ Wv.T
    dW = s.T @ (dh * (1 - h * h))
    return {"W": dW, "Wp": h.T @ dlogits, "Wv": h.T @ dv}
'''

def a2c_data(r):
    return ({"W": r.normal(size=(3, 4)), "Wp": r.normal(size=(4, 3)), "Wv": r.normal(size=(4, 1))},
            {"s": r.normal(size=(5, 3)), "a": np.array([0, 2, 1, 1, 0]), "ret": r.normal(size=5), "adv": r.normal(size=5),
             "c_v": 0.5, "c_e": 0.3})

add("actor_critic_entropy_pushed_down", RL, A2C, a2c_data, "dlogits += c_e", "dlogits -= c_e",
    "the entropy bonus's gradient is added with the wrong sign to the policy logits.", ("W", "Wp"),
    ("sign", "missing-term", "unknown"))

# ---------------------------------------------------------------- mixtures
GMM = '''
def forward(x, pi_logits, means, log_sd):
    diff = x[:, None, :] - means[None]
    prec = np.exp(-2 * log_sd)
    log_pi = pi_logits - np.log(np.exp(pi_logits).sum())
    comp = log_pi - 0.5 * (diff ** 2 * prec).sum(-1) - log_sd.sum(-1)
    top = comp.max(1, keepdims=True)
    ll = top[:, 0] + np.log(np.exp(comp - top).sum(1))
    resp = np.exp(comp - ll[:, None])
    const = 0.5 * x.shape[1] * np.log(2 * np.pi)
    return -(ll - const), (diff, prec, np.exp(log_pi), resp)
def backward(dnll, cache):
    diff, prec, pi, resp = cache
    r = resp * dnll[:, None]
    pull = r[:, :, None] * diff * prec
    d_pi = dnll.sum() * pi - r.sum(0)
    d_sd = (r[:, :, None] * (1 - diff ** 2 * prec)).sum(0)
    return {"x": pull.sum(1), "pi_logits": d_pi, "means": -pull.sum(0), "log_sd": d_sd}
'''

def gmm_data(r):
    return ({"x": r.normal(size=(5, 2)), "pi_logits": r.normal(size=3), "means": r.normal(size=(3, 2)),
             "log_sd": 0.3 * r.normal(size=(3, 2))}, {})

add("gmm_weights_without_normaliser", "machine-learning textbook companion code (mixtures by gradient)", GMM, gmm_data,
    "d_pi = dnll.sum() * pi - r.sum(0)", "d_pi = -r.sum(0)",
    "the softmax normaliser of the mixture weights is forgotten: + sum(dnll) * pi is missing.", ("pi_logits",), ("missing-term",))

MDN = '''
def forward(x, W, b, V, c, target):
    K = V.shape[1] // 3
    h = np.tanh(x @ W + b)
    out = h @ V + c
    a, mu, ls = out[:, :K], out[:, K:2 * K], out[:, 2 * K:]
    la = a - np.logaddexp.reduce(a, axis=1)[:, None]
    z = (target[:, None] - mu) * np.exp(-ls)
    comp = la - ls - 0.5 * z * z - 0.5 * np.log(2 * np.pi)
    ll = np.logaddexp.reduce(comp, axis=1)
    return -ll, {"x": x, "W": W, "V": V, "h": h, "alpha": np.exp(la), "z": z, "ls": ls, "gamma": np.exp(comp - ll[:, None])}
def backward(dy, k):
    gamma, z = k["gamma"], k["z"]
    dout = np.hstack([k["alpha"] - gamma, -gamma * z * np.exp(-k["ls"]), gamma * (1 - z * z)])
    dout *= dy[:, None]
    dh = dout @ k["V"].T
    dh *= 1 - k["h"] ** 2
    return dh @ k["W"].T, k["x"].T @ dh, dh.sum(0), k["h"].T @ dout, dout.sum(0)
'''

def mdn_data(r):
    return ({"x": r.normal(size=(4, 2)), "W": r.normal(size=(2, 4)), "b": r.normal(size=4), "V": 0.5 * r.normal(size=(4, 6)),
             "c": 0.5 * r.normal(size=6)}, {"target": r.normal(size=4)})

add("mixture_density_network", "blog notebook on mixture density networks", MDN, mdn_data)

# ---------------------------------------------------------------- flow
FLOW = "normalizing-flow repository, nested parameter dict"
COUPLING = '''
def forward(x, params):
    k = x.shape[1] // 2
    x1, x2 = x[:, :k], x[:, k:]
    s = np.tanh(x1 @ params["s_w"] + params["s_b"])
    t = x1 @ params["t_w"] + params["t_b"]
    z2 = (x2 - t) * np.exp(-s)
    nll = 0.5 * (x1 ** 2).sum(1) + 0.5 * (z2 ** 2).sum(1) + s.sum(1) + 0.5 * x.shape[1] * np.log(2 * np.pi)
    return nll, (x1, s, z2, params)
def backward(dnll, cache):
    x1, s, z2, params = cache
    w = dnll[:, None]
    dz2 = w * z2
    ds = (w - dz2 * z2) * (1 - s ** 2)
    dt = -dz2 * np.exp(-s)
    dx2 = dz2 * np.exp(-s)
    dx1 = w * x1 + ds @ params["s_w"].T + dt @ params["t_w"].T
    return {"x": np.concatenate([dx1, dx2], axis=1),
            "params": {"s_w": x1.T @ ds, "s_b": ds.sum(0), "t_w": x1.T @ dt, "t_b": dt.sum(0)}}
'''

def coupling_data(r):
    return ({"x": r.normal(size=(5, 4)), "params": {"s_w": r.normal(size=(2, 2)), "s_b": r.normal(size=2),
                                                    "t_w": r.normal(size=(2, 2)), "t_b": r.normal(size=2)}}, {})

add("affine_coupling_nll", FLOW, COUPLING, coupling_data)
add("affine_coupling_scale_inverted", FLOW, COUPLING, coupling_data, "dx2 = dz2 * np.exp(-s)", "dx2 = dz2 * np.exp(s)",
    "x2 is scaled by exp(-s) in the forward pass but by exp(s) in its gradient.", ("x",), ("elementwise-factor",))

# ---------------------------------------------------------------- graph net
GNN = "graph-network course project, row-normalised adjacency of a directed graph"
GCN = '''
def forward(X, W1, b1, W2, b2, A, labels, train_idx):
    AX = A @ X
    H = np.maximum(AX @ W1 + b1, 0)
    AH = A @ H
    Z = AH @ W2 + b2
    E = np.exp(Z - Z.max(1, keepdims=True))
    P = E / E.sum(1, keepdims=True)
    loss = -np.mean(np.log(P[train_idx, labels[train_idx]]))
    return loss, (A, AX, H, AH, P, W1, W2, labels, train_idx)
def backward(dloss, cache):
    A, AX, H, AH, P, W1, W2, labels, train_idx = cache
    dZ = np.zeros_like(P)
    dZ[train_idx] = P[train_idx]
    dZ[train_idx, labels[train_idx]] -= 1
    dZ *= dloss / len(train_idx)
    dH = A.T @ (dZ @ W2.T)
    dpre = dH * (H > 0)
    dX = A.T @ (dpre @ W1.T)
    return dX, AX.T @ dpre, dpre.sum(0), AH.T @ dZ, dZ.sum(0)
'''

def gcn_data(r):
    A = (np.array([[1, 1, 0, 0, 1, 0], [0, 1, 1, 0, 0, 0], [1, 0, 1, 1, 0, 1], [0, 0, 0, 1, 1, 0], [0, 1, 0, 0, 1, 1],
                   [1, 0, 0, 1, 0, 1]])).astype(float)
    return ({"X": r.normal(size=(6, 3)), "W1": r.normal(size=(3, 5)), "b1": 0.3 + 0.2 * r.normal(size=5),
             "W2": r.normal(size=(5, 3)), "b2": r.normal(size=3)},
            {"A": A / A.sum(1, keepdims=True), "labels": np.array([0, 1, 2, 0, 1, 2]), "train_idx": np.array([0, 2, 3])})

add("gcn_semi_supervised", GNN, GCN, gcn_data)
add("gcn_features_along_the_edges", GNN, GCN, gcn_data, "dX = A.T @", "dX = A @",
    "the features' gradient flows along A instead of A.T, and the graph is directed.", ("X",), ("transpose",))
add("gcn_bias_of_labelled_nodes", GNN, GCN, gcn_data, "dpre.sum(0)", "dpre[train_idx].sum(0)",
    "db1 is summed over the labelled nodes only; the hidden layer of their neighbours counts too.", ("b1",), ("batch-sum", "missing-term"))

# ---------------------------------------------------------------- autograd tape
MICRO = "micrograd-like tape with closures"
TAPE = '''
class Tensor:
    def __init__(self, data, parents=()):
        self.data, self.parents = data, parents
        self.grad, self.push = np.zeros_like(data), lambda: None
    def __add__(self, other):
        out = Tensor(self.data + other.data, (self, other))
        def push():
            self.grad += out.grad
            other.grad += out.grad
        out.push = push
        return out
    def __matmul__(self, other):
        out = Tensor(self.data @ other.data, (self, other))
        def push():
            self.grad += out.grad @ other.data.T
            other.grad += self.data.T @ out.grad
        out.push = push
        return out
    def tanh(self):
        out = Tensor(np.tanh(self.data), (self,))
        def push():
            self.grad += out.grad * (1 - out.data ** 2)
        out.push = push
        return out
    def order(self):
        seen, topo = set(), []
        def visit(v):
            if id(v) not in seen:
                seen.add(id(v))
                for q in v.parents:
                    visit(q)
                topo.append(v)
        visit(self)
        return topo

def forward(x, W1, W2):
    leaves = [Tensor(x), Tensor(W1), Tensor(W2)]
    h = (leaves[0] @ leaves[1]).tanh()
    out = h + (h @ leaves[2]).tanh()      # residual block
    return out.data, {"leaves": leaves, "out": out, "h": h.data}
def backward(dy, cache):
    topo = cache["out"].order()
    for v in topo:
        v.grad = np.zeros_like(v.data)
    cache["out"].grad = np.array(dy)
    for v in reversed(topo):
        v.push()
    return tuple(leaf.grad for leaf in cache["leaves"])
'''

def tape_data(r):
    return {"x": r.normal(size=(5, 3)), "W1": r.normal(size=(3, 4)), "W2": r.normal(size=(4, 4))}, {}

add("tape_residual_block", MICRO, TAPE, tape_data)
add("tape_matmul_overwrites", MICRO, TAPE, tape_data, "self.grad += out.grad @ other.data.T", "self.grad = out.grad @ other.data.T",
    "matmul sets its left operand's gradient instead of adding, so the skip path's share of h is lost.", ("x", "W1"),
    ("missing-term", "unknown"))

# ---------------------------------------------------------------- layer objects
LAYERS = '''
class Linear:
    def __init__(self, w, b):
        self.w, self.b = w, b
        self.dw, self.db = np.zeros_like(w), np.zeros_like(b)
    def forward(self, x):
        self.x = x
        return x @ self.w + self.b
    def backward(self, g):
        self.dw[...] = self.x.T @ g
        self.db = g.sum(axis=0)
        return g @ self.w.T

class Softplus:
    def forward(self, x):
        self.x = x
        return np.logaddexp(0, x)
    def backward(self, g):
        return g / (1 + np.exp(-self.x))

def forward(x, params):
    net = [Linear(params["w0"], params["b0"]), Softplus(), Linear(params["w1"], params["b1"])]
    for layer in net:
        x = layer.forward(x)
    return x, net
def backward(dy, net):
    for layer in reversed(net):
        dy = layer.backward(dy)
    return {"x": dy, "params": {"w0": net[0].dw.copy(), "b0": net[0].db, "w1": net[2].dw.copy(), "b1": net[2].db}}
'''

def layers_data(r):
    return ({"x": r.normal(size=(4, 3)), "params": {"w0": r.normal(size=(3, 5)), "b0": r.normal(size=5),
                                                    "w1": r.normal(size=(5, 2)), "b1": r.normal(size=2)}}, {})

add("sequential_without_zero_grad", "home-made deep-learning framework with layer objects", LAYERS, layers_data,
    "self.dw[...] = self.x.T @ g", "self.dw += self.x.T @ g",
    "the layers add to dw and nobody zeroes it, so a second backward returns the sum of both; assign it.", (), ("accumulates",))

# ---------------------------------------------------------------- bag of embeddings
BAG = '''
def forward(E, W, b, docs, labels):
    bag = np.stack([E[d].mean(axis=0) for d in docs])
    s = bag @ W + b
    logZ = np.log(np.exp(s).sum(axis=1))
    nll = logZ - s[np.arange(len(docs)), labels]
    return nll.mean(), (E, W, bag, np.exp(s - logZ[:, None]), docs, labels)
def backward(dloss, cache):
    E, W, bag, p, docs, labels = cache
    ds = p - np.eye(W.shape[1])[labels]
    ds = ds * dloss / len(docs)
    dbag = ds @ W.T
    dE = np.zeros_like(E)
    for d, g in zip(docs, dbag):
        np.add.at(dE, d, g / len(d))
    return {"E": dE, "W": bag.T @ ds, "b": ds.sum(axis=0)}
'''

def bag_data(r):
    return ({"E": r.normal(size=(6, 4)), "W": r.normal(size=(4, 3)), "b": r.normal(size=3)},
            {"docs": [np.array([0, 2, 2]), np.array([5]), np.array([1, 3]), np.array([4, 0, 1, 5])], "labels": np.array([2, 0, 1, 1])})

add("fasttext_embedding_of_a_copy", "text-classification hobby project (fastText-like)", BAG, bag_data,
    "np.add.at(dE, d, g / len(d))", "dE[d][:] += g / len(d)",
    "dE[d] with an index array is a copy, so nothing is ever added to dE; use np.add.at.", ("E",), ("zero",))

# ---------------------------------------------------------------- denoising autoencoder
DAE = '''
def forward(x, We, Wd, sd, noise=None):
    noisy = x + sd * noise
    h = np.tanh(noisy @ We)
    err = h @ Wd - x
    return (err ** 2).sum() / len(x), (noisy, We, Wd, h, err)
def backward(dl, cache):
    noisy, We, Wd, h, err = cache
    de = 2 * dl * err / len(err)
    dpre = (de @ Wd.T) * (1 - h ** 2)
    return {"x": dpre @ We.T - de, "We": noisy.T @ dpre, "Wd": h.T @ de}
'''

def dae_data(r):
    return {"x": r.normal(size=(5, 4)), "We": r.normal(size=(4, 3)), "Wd": r.normal(size=(3, 4))}, {"sd": 0.3}

add("denoising_autoencoder_fresh_noise", "script of a denoising-autoencoder tutorial", DAE, dae_data,
    "x + sd * noise", "x + sd * np.random.randn(*x.shape)",
    "the corruption is drawn inside forward, so each call is another function; hand the noise in.", (), ("noise-redrawn",))

# ---------------------------------------------------------------- Gaussian process evidence (right only)
GP = '''
def forward(theta, targets, X):
    ell, sf, sn = np.exp(theta)
    sq = ((X[:, None] - X[None]) ** 2).sum(-1)
    Kf = sf ** 2 * np.exp(-0.5 * sq / ell ** 2)
    L = np.linalg.cholesky(Kf + sn ** 2 * np.eye(len(X)))
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, targets))
    nlml = 0.5 * targets @ alpha + np.log(np.diag(L)).sum() + 0.5 * len(X) * np.log(2 * np.pi)
    return nlml, (Kf, L, alpha, sq / ell ** 2, sn)
def backward(dnlml, cache):
    Kf, L, alpha, scaled, sn = cache
    Linv = np.linalg.inv(L)
    Q = Linv.T @ Linv - np.outer(alpha, alpha)
    dtheta = np.array([0.5 * np.sum(Q * Kf * scaled), np.sum(Q * Kf), sn ** 2 * np.trace(Q)])
    return dnlml * dtheta, dnlml * alpha
'''

def gp_data(r):
    return {"theta": np.array([0.2, 0.1, -0.7]), "targets": r.normal(size=6)}, {"X": r.normal(size=(6, 2))}

add("gp_log_marginal_likelihood", "Gaussian-process toolbox, log hyperparameters", GP, gp_data)

# ---------------------------------------------------------------- verification
def _flat(tree, prefix=""):
    for k, v in tree.items():
        yield from _flat(v, prefix + k + ".") if isinstance(v, dict) else [(prefix + k, v)]

def _verify():
    import copy
    np.seterr(all="ignore")
    ok = True
    for it in ITEMS:
        a = it.make()
        f, b, inp, con = a["forward"], a["backward"], a["inputs"], a["constants"]
        before = copy.deepcopy((inp, con))
        np.random.seed(0)
        y, cache = f(**inp, **con)
        dy = np.random.default_rng(3).normal(size=np.shape(y)) if np.ndim(y) else 1.7
        dy0 = np.copy(dy)

        def grads():
            out = b(dy, cache)
            if not isinstance(out, dict):
                out = dict(zip(inp, out if isinstance(out, tuple) else (out,)))
            return {k: np.array(v) for k, v in _flat(out)}

        g = grads()
        again = grads()
        bad, small = set(), 0.0
        for name, arr in _flat(inp):
            num = np.zeros_like(arr)
            for i in np.ndindex(arr.shape):
                old, val = arr[i], []
                for h in (1e-5, -1e-5):
                    arr[i] = old + h
                    np.random.seed(0)
                    val.append(np.sum(dy * f(**inp, **con)[0]))
                arr[i] = old
                num[i] = (val[0] - val[1]) / 2e-5
            err = np.inf if g[name].shape != num.shape else np.max(np.abs(g[name] - num)) / max(1, np.max(np.abs(num)))
            if np.isnan(err) or err > 1e-3:
                bad.add(name)
            else:
                small = max(small, err)
        same = all(np.array_equal(g[k], again[k], equal_nan=True) for k in g)
        clean = np.array_equal(dy, dy0) and all(np.array_equal(p, q) for (_, p), (_, q) in zip(_flat(before[0]), _flat(inp)))
        special = {"mutates-input", "accumulates"} & set(it.causes)
        want = set() if it.causes == ("precision",) else {n for n, _ in _flat(inp) if n.split(".")[0] in it.wrong}
        good = bad == want and small < 1e-6 * (1 if it.causes != ("precision",) else 10) and clean and same != bool(special)
        good = good and (it.right == (not it.causes)) and (it.causes != ("precision",) or g["beta"].dtype == np.float32)
        if not good:
            ok = False
            print("BAD", it.name, bad, small, same, clean)
    assert len({i.name for i in ITEMS}) == len(ITEMS)
    print("wrong", sum(not i.right for i in ITEMS), "right", sum(i.right for i in ITEMS), "ok" if ok else "NOT OK")

if __name__ == "__main__":
    _verify()
