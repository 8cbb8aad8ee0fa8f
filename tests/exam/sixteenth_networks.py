"""Small networks and algorithms, forward and backward by hand."""
from typing import Callable, NamedTuple

import numpy as np
from scipy.special import expit, logsumexp


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


# ---------------------------------------------------------------- two layer net with softmax loss

def two_layer_loss(X, params, y, reg):
    """Softmax loss of affine - relu - affine, with L2 regularization of the weights."""
    N = X.shape[0]
    hidden = np.maximum(0, X.dot(params["W1"]) + params["b1"])
    scores = hidden.dot(params["W2"]) + params["b2"]
    shifted = scores - np.max(scores, axis=1, keepdims=True)
    probs = np.exp(shifted)
    probs /= np.sum(probs, axis=1, keepdims=True)
    data_loss = -np.sum(np.log(probs[np.arange(N), y])) / N
    reg_loss = 0.5 * reg * np.sum(params["W1"] ** 2) + 0.5 * reg * np.sum(params["W2"] ** 2)
    cache = (X, params, hidden, probs, y, reg)
    return data_loss + reg_loss, cache


def two_layer_grads(dloss, cache):
    X, params, hidden, probs, y, reg = cache
    N = X.shape[0]
    grads = {}
    dscores = probs.copy()
    dscores[np.arange(N), y] -= 1
    dscores *= dloss / N
    grads["W2"] = hidden.T.dot(dscores)
    grads["b2"] = np.sum(dscores, axis=0)
    dhidden = dscores.dot(params["W2"].T)
    dhidden[hidden <= 0] = 0
    grads["W1"] = X.T.dot(dhidden)
    grads["b1"] = np.sum(dhidden, axis=0)
    for k in ("W1", "W2"):
        grads[k] += 2 * reg * params[k] * dloss
    return {"X": dhidden.dot(params["W1"].T), "params": grads}


def make_two_layer():
    rng = np.random.RandomState(0)
    params = {"W1": 0.6 * rng.randn(4, 6), "b1": 0.1 * rng.randn(6),
              "W2": 0.6 * rng.randn(6, 3), "b2": 0.1 * rng.randn(3)}
    return dict(forward=two_layer_loss, backward=two_layer_grads,
                inputs={"X": rng.randn(5, 4), "params": params},
                constants={"y": np.array([0, 2, 1, 2, 0]), "reg": 0.25})


ITEMS.append(Item(
    "two_layer_net_reg", "CS231n assignment", "vjp", make_two_layer, False,
    "the loss has 0.5 * reg * sum(W ** 2), so the gradient of a weight is reg * W, not 2 * reg * W",
    ("params.W1", "params.W2"), ("factor", "missing-term")))


# ---------------------------------------------------------------- batched LSTM

def lstm_sequence_forward(X, WLSTM, c0, h0):
    """X is (n, b, input_size); the first row of WLSTM is the bias. Returns all hidden states."""
    n, b, input_size = X.shape
    d = WLSTM.shape[1] // 4
    xphpb = WLSTM.shape[0]
    Hin = np.zeros((n, b, xphpb))
    Hout = np.zeros((n, b, d))
    IFOG = np.zeros((n, b, d * 4))
    IFOGf = np.zeros((n, b, d * 4))
    C = np.zeros((n, b, d))
    Ct = np.zeros((n, b, d))
    for t in range(n):
        prevh = Hout[t - 1] if t > 0 else h0
        Hin[t, :, 0] = 1
        Hin[t, :, 1:input_size + 1] = X[t]
        Hin[t, :, input_size + 1:] = prevh
        IFOG[t] = Hin[t].dot(WLSTM)
        IFOGf[t, :, :3 * d] = 1.0 / (1.0 + np.exp(-IFOG[t, :, :3 * d]))
        IFOGf[t, :, 3 * d:] = np.tanh(IFOG[t, :, 3 * d:])
        prevc = C[t - 1] if t > 0 else c0
        C[t] = IFOGf[t, :, :d] * IFOGf[t, :, 3 * d:] + IFOGf[t, :, d:2 * d] * prevc
        Ct[t] = np.tanh(C[t])
        Hout[t] = IFOGf[t, :, 2 * d:3 * d] * Ct[t]
    cache = dict(WLSTM=WLSTM, IFOGf=IFOGf, C=C, Ct=Ct, Hin=Hin, c0=c0, input_size=input_size)
    return Hout, cache


def lstm_sequence_backward(dHout_in, cache):
    WLSTM, IFOGf, C, Ct = cache["WLSTM"], cache["IFOGf"], cache["C"], cache["Ct"]
    Hin, c0, input_size = cache["Hin"], cache["c0"], cache["input_size"]
    n, b, d = dHout_in.shape
    dIFOG = np.zeros(IFOGf.shape)
    dIFOGf = np.zeros(IFOGf.shape)
    dWLSTM = np.zeros(WLSTM.shape)
    dHin = np.zeros(Hin.shape)
    dC = np.zeros(C.shape)
    dX = np.zeros((n, b, input_size))
    dh0 = np.zeros((b, d))
    dc0 = np.zeros((b, d))
    dHout = dHout_in.copy()
    for t in reversed(range(n)):
        tanhCt = Ct[t]
        dIFOGf[t, :, 2 * d:3 * d] = tanhCt * dHout[t]
        dC[t] += IFOGf[t, :, 2 * d:3 * d] * dHout[t]
        if t > 0:
            dIFOGf[t, :, d:2 * d] = C[t - 1] * dC[t]
            dC[t - 1] += IFOGf[t, :, d:2 * d] * dC[t]
        else:
            dIFOGf[t, :, d:2 * d] = c0 * dC[t]
            dc0 = IFOGf[t, :, d:2 * d] * dC[t]
        dIFOGf[t, :, :d] = IFOGf[t, :, 3 * d:] * dC[t]
        dIFOGf[t, :, 3 * d:] = IFOGf[t, :, :d] * dC[t]
        dIFOG[t, :, 3 * d:] = (1 - IFOGf[t, :, 3 * d:] ** 2) * dIFOGf[t, :, 3 * d:]
        y = IFOGf[t, :, :3 * d]
        dIFOG[t, :, :3 * d] = (y * (1.0 - y)) * dIFOGf[t, :, :3 * d]
        dWLSTM += np.dot(Hin[t].transpose(), dIFOG[t])
        dHin[t] = dIFOG[t].dot(WLSTM.transpose())
        dX[t] = dHin[t, :, 1:input_size + 1]
        if t > 0:
            dHout[t - 1] += dHin[t, :, input_size + 1:]
        else:
            dh0 += dHin[t, :, input_size + 1:]
    return {"X": dX, "WLSTM": dWLSTM, "c0": dc0, "h0": dh0}


def make_lstm():
    rng = np.random.RandomState(1)
    n, b, n_in, d = 4, 2, 3, 3
    return dict(forward=lstm_sequence_forward, backward=lstm_sequence_backward,
                inputs={"X": rng.randn(n, b, n_in), "WLSTM": rng.randn(n_in + d + 1, 4 * d) / np.sqrt(n_in + d),
                        "c0": rng.randn(b, d), "h0": 0.5 * rng.randn(b, d)})


ITEMS.append(Item(
    "lstm_batched", "Karpathy gist", "vjp", make_lstm, False,
    "the slope of tanh(C) is left out on the way into the cell: dC[t] += (1 - tanhCt ** 2) * (o * dHout[t])",
    ("X", "WLSTM", "c0", "h0"), ("elementwise-factor",)))


# ---------------------------------------------------------------- GPT block

def _ln(x, g, b, eps=1e-5):
    mu = x.mean(-1, keepdims=True)
    rstd = 1.0 / np.sqrt(x.var(-1, keepdims=True) + eps)
    xhat = (x - mu) * rstd
    return xhat * g + b, (xhat, rstd, g)


def _ln_backward(dout, cache):
    xhat, rstd, g = cache
    dg = (dout * xhat).sum((0, 1))
    db = dout.sum((0, 1))
    dxhat = dout * g
    dx = rstd * (dxhat - dxhat.mean(-1, keepdims=True) - xhat * (dxhat * xhat).mean(-1, keepdims=True))
    return dx, dg, db


def gpt_block_forward(x, ln1_g, ln1_b, c_attn, c_proj, ln2_g, ln2_b, c_fc, c_out, n_head=2):
    B, T, C = x.shape
    hs = C // n_head
    a, ln1_cache = _ln(x, ln1_g, ln1_b)
    qkv = a @ c_attn
    q, k, v = np.split(qkv, 3, axis=-1)
    q = q.reshape(B, T, n_head, hs).transpose(0, 2, 1, 3)
    k = k.reshape(B, T, n_head, hs).transpose(0, 2, 1, 3)
    v = v.reshape(B, T, n_head, hs).transpose(0, 2, 1, 3)
    att = (q @ k.transpose(0, 1, 3, 2)) / np.sqrt(hs)
    causal = np.tril(np.ones((T, T), dtype=bool))
    att = np.where(causal, att, -np.inf)
    att = np.exp(att - att.max(-1, keepdims=True))
    att = att / att.sum(-1, keepdims=True)
    heads = (att @ v).transpose(0, 2, 1, 3).reshape(B, T, C)
    x1 = x + heads @ c_proj
    m, ln2_cache = _ln(x1, ln2_g, ln2_b)
    pre = m @ c_fc
    act = pre * expit(1.702 * pre)
    y = x1 + act @ c_out
    cache = (a, ln1_cache, q, k, v, att, heads, m, ln2_cache, pre, act, c_attn, c_proj, c_fc, c_out, n_head)
    return y, cache


def gpt_block_backward(dy, cache):
    a, ln1_cache, q, k, v, att, heads, m, ln2_cache, pre, act, c_attn, c_proj, c_fc, c_out, n_head = cache
    B, T, C = dy.shape
    flat = lambda z: z.reshape(B * T, -1)
    # mlp
    dc_out = flat(act).T @ flat(dy)
    dact = dy @ c_out.T
    s = expit(1.702 * pre)
    dpre = dact * (s + 1.702 * pre * s * (1 - s))
    dc_fc = flat(m).T @ flat(dpre)
    dm = dpre @ c_fc.T
    dx1, dln2_g, dln2_b = _ln_backward(dm, ln2_cache)
    dx1 = dx1 + dy
    # attention
    dc_proj = flat(heads).T @ flat(dx1)
    dheads = (dx1 @ c_proj.T).reshape(B, T, n_head, C // n_head).transpose(0, 2, 1, 3)
    dv = att.transpose(0, 1, 3, 2) @ dheads
    datt = dheads @ v.transpose(0, 1, 3, 2)
    datt = att * (datt - (datt * att).sum(-1, keepdims=True))
    datt = datt / np.sqrt(C)
    dq = datt @ k
    dk = datt.transpose(0, 1, 3, 2) @ q
    merge = lambda z: z.transpose(0, 2, 1, 3).reshape(B, T, C)
    dqkv = np.concatenate([merge(dq), merge(dk), merge(dv)], axis=-1)
    dc_attn = flat(a).T @ flat(dqkv)
    da = dqkv @ c_attn.T
    dx, dln1_g, dln1_b = _ln_backward(da, ln1_cache)
    dx = dx + dx1
    return dx, dln1_g, dln1_b, dc_attn, dc_proj, dln2_g, dln2_b, dc_fc, dc_out


def make_gpt_block():
    rng = np.random.default_rng(2)
    B, T, C = 2, 3, 4
    return dict(forward=gpt_block_forward, backward=gpt_block_backward, inputs={
        "x": rng.normal(size=(B, T, C)),
        "ln1_g": 1 + 0.2 * rng.normal(size=C), "ln1_b": 0.2 * rng.normal(size=C),
        "c_attn": 0.8 * rng.normal(size=(C, 3 * C)), "c_proj": 0.5 * rng.normal(size=(C, C)),
        "ln2_g": 1 + 0.2 * rng.normal(size=C), "ln2_b": 0.2 * rng.normal(size=C),
        "c_fc": 0.5 * rng.normal(size=(C, 6)), "c_out": 0.5 * rng.normal(size=(6, C))},
        constants={"n_head": 2})


ITEMS.append(Item(
    "gpt_block_scale", "research repository (minGPT in NumPy)", "vjp", make_gpt_block, False,
    "the scores are divided by the root of the head size, so datt / np.sqrt(C // n_head), not datt / np.sqrt(C)",
    ("x", "ln1_g", "ln1_b", "c_attn"), ("factor",)))


# ---------------------------------------------------------------- three layer ConvNet

def im2col(x, k, pad):
    N, C, H, W = x.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    oh, ow = H + 2 * pad - k + 1, W + 2 * pad - k + 1
    cols = np.zeros((N, C, k, k, oh, ow))
    for i in range(k):
        for j in range(k):
            cols[:, :, i, j] = xp[:, :, i:i + oh, j:j + ow]
    return cols.transpose(1, 2, 3, 4, 5, 0).reshape(C * k * k, -1), (oh, ow)


def col2im(cols, x_shape, k, pad):
    N, C, H, W = x_shape
    oh, ow = H + 2 * pad - k + 1, W + 2 * pad - k + 1
    cols = cols.reshape(C, k, k, oh, ow, N).transpose(5, 0, 1, 2, 3, 4)
    xp = np.zeros((N, C, H + 2 * pad, W + 2 * pad))
    for i in range(k):
        for j in range(k):
            xp[:, :, i:i + oh, j:j + ow] += cols[:, :, i, j]
    return xp[:, :, pad:pad + H, pad:pad + W]


def convnet_forward(x, W1, b1, W2, b2, pad=1):
    """conv - relu - 2x2 max pool - affine"""
    F, C, k, _ = W1.shape
    cols, (oh, ow) = im2col(x, k, pad)
    conv = W1.reshape(F, -1).dot(cols) + b1.reshape(-1, 1)
    conv = conv.reshape(F, oh, ow, x.shape[0]).transpose(3, 0, 1, 2)
    relu = np.maximum(conv, 0)
    N = x.shape[0]
    windows = relu.reshape(N, F, oh // 2, 2, ow // 2, 2)
    pool = windows.max(axis=3).max(axis=4)
    scores = pool.reshape(N, -1).dot(W2) + b2
    cache = (x, W1, W2, cols, conv, windows, pool, pad)
    return scores, cache


def convnet_backward(dscores, cache):
    x, W1, W2, cols, conv, windows, pool, pad = cache
    N = x.shape[0]
    F, C, k, _ = W1.shape
    db2 = dscores.sum(axis=0)
    dW2 = pool.reshape(N, -1).T.dot(dscores)
    dpool = dscores.dot(W2.T).reshape(pool.shape)
    mask = windows == pool[:, :, :, None, :, None]
    dwindows = mask * dpool[:, :, :, None, :, None]
    dconv = dwindows.reshape(conv.shape) * (conv > 0)
    db1 = dconv.sum(axis=(0, 2, 3))
    dout = dconv.transpose(1, 0, 2, 3).reshape(F, -1)
    dW1 = dout.dot(cols.T).reshape(W1.shape)
    dx = col2im(W1.reshape(F, -1).T.dot(dout), x.shape, k, pad)
    return {"x": dx, "W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


def make_convnet():
    rng = np.random.RandomState(123)
    return dict(forward=convnet_forward, backward=convnet_backward, inputs={
        "x": rng.randn(2, 2, 4, 4), "W1": 0.3 * rng.randn(3, 2, 3, 3), "b1": 0.8 + 0.1 * rng.randn(3),
        "W2": 0.5 * rng.randn(12, 3), "b2": 0.1 * rng.randn(3)}, constants={"pad": 1})


ITEMS.append(Item(
    "convnet_im2col", "CS231n assignment", "vjp", make_convnet, False,
    "the columns have the image as their last index, so dconv.transpose(1, 2, 3, 0).reshape(F, -1), "
    "not transpose(1, 0, 2, 3)", ("x", "W1"), ("transpose",)))


# ---------------------------------------------------------------- residual net of layer objects

class Dense:
    def forward(self, x, W, b):
        self.x, self.W = x, W
        return x @ W + b

    def backward(self, grad):
        self.grad_W = self.x.T @ grad
        self.grad_b = grad.sum(axis=0)
        return grad @ self.W.T


class Activation:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, grad):
        return grad * self.mask


class ResidualBlock:
    """relu(x + dense(relu(dense(x))))"""

    def __init__(self):
        self.dense1, self.act1 = Dense(), Activation()
        self.dense2, self.act2 = Dense(), Activation()

    def forward(self, x, W1, b1, W2, b2):
        h = self.act1.forward(self.dense1.forward(x, W1, b1))
        h = self.dense2.forward(h, W2, b2)
        return self.act2.forward(x + h)

    def backward(self, grad):
        grad_sum = self.act2.backward(grad)
        grad_h = self.dense2.backward(grad_sum)
        grad_h = self.dense1.backward(self.act1.backward(grad_h))
        return grad_h + grad

    def gradients(self):
        return self.dense1.grad_W, self.dense1.grad_b, self.dense2.grad_W, self.dense2.grad_b


class ResNet:
    def __init__(self):
        self.blocks = [ResidualBlock(), ResidualBlock()]
        self.head = Dense()

    def forward(self, x, W11, b11, W12, b12, W21, b21, W22, b22, Wo, bo):
        h = self.blocks[0].forward(x, W11, b11, W12, b12)
        h = self.blocks[1].forward(h, W21, b21, W22, b22)
        return self.head.forward(h, Wo, bo), None

    def backward(self, grad, _):
        grad = self.head.backward(grad)
        for block in reversed(self.blocks):
            grad = block.backward(grad)
        return (grad, *self.blocks[0].gradients(), *self.blocks[1].gradients(), self.head.grad_W, self.head.grad_b)


def make_resnet():
    rng = np.random.default_rng(5)
    net = ResNet()
    d = 4
    inputs = {"x": rng.normal(size=(4, d))}
    for i in "12":
        for j in "12":
            inputs["W" + i + j] = 0.6 * rng.normal(size=(d, d))
            inputs["b" + i + j] = 0.2 * rng.normal(size=d)
    inputs["Wo"] = rng.normal(size=(d, 2))
    inputs["bo"] = rng.normal(size=2)
    return dict(forward=net.forward, backward=net.backward, inputs=inputs)


ITEMS.append(Item(
    "resnet_skip_mask", "Keras-like library", "vjp", make_resnet, False,
    "the skip carries the gradient of the sum before the last relu: grad_h + grad_sum, not grad_h + grad",
    ("x", "W11", "b11", "W12", "b12"), ("elementwise-factor",)))


# ---------------------------------------------------------------- autoencoder with tied weights

def tied_autoencoder_cost(x, W, b, b_prime):
    """Cross-entropy of a reconstruction with W.T as the decoder's matrix, mean over the examples."""
    hidden = expit(np.dot(x, W) + b)
    z = expit(np.dot(hidden, W.T) + b_prime)
    L = -np.sum(x * np.log(z) + (1 - x) * np.log(1 - z), axis=1)
    return np.mean(L), (x, W, hidden, z)


def tied_autoencoder_grads(dcost, cache):
    x, W, hidden, z = cache
    n = x.shape[0]
    L_vbias = dcost * (z - x) / n
    L_h = np.dot(L_vbias, W)
    L_hbias = L_h * hidden * (1 - hidden)
    gW = np.dot(x.T, L_hbias)
    g_logit = dcost * (np.log(1 - z) - np.log(z)) / n
    gx = np.dot(L_hbias, W.T) + g_logit
    return {"x": gx, "W": gW, "b": L_hbias.sum(axis=0), "b_prime": L_vbias.sum(axis=0)}


def make_tied_autoencoder():
    rng = np.random.RandomState(6)
    return dict(forward=tied_autoencoder_cost, backward=tied_autoencoder_grads, inputs={
        "x": rng.uniform(0.1, 0.9, size=(4, 5)), "W": 0.7 * rng.randn(5, 3),
        "b": 0.2 * rng.randn(3), "b_prime": 0.2 * rng.randn(5)})


ITEMS.append(Item(
    "tied_autoencoder", "deep learning tutorial (denoising autoencoder)", "vjp", make_tied_autoencoder, False,
    "the shared W is used twice: gW lacks the decoder's part, np.dot(L_vbias.T, hidden)",
    ("W",), ("missing-term",)))


# ---------------------------------------------------------------- generator's loss of a GAN

def generator_loss(z, G1, g1, G2, g2, D1, d1, D2, d2, alpha=0.2):
    """Non-saturating loss -mean log D(G(z))."""
    gh = np.tanh(z @ G1 + g1)
    fake = np.tanh(gh @ G2 + g2)
    pre = fake @ D1 + d1
    dh = np.where(pre > 0, pre, alpha * pre)
    logit = dh @ D2 + d2
    p_fake = 1.0 / (1.0 + np.exp(-logit))
    loss = -np.log(p_fake + 1e-12).mean()
    return loss, (z, gh, fake, pre, dh, p_fake, G1, G2, D1, D2, alpha)


def generator_loss_backward(dloss, cache):
    z, gh, fake, pre, dh, p_fake, G1, G2, D1, D2, alpha = cache
    m = z.shape[0]
    dlogit = dloss * (1.0 - p_fake) / m
    dD2 = dh.T @ dlogit
    dd2 = dlogit.sum(0)
    dpre = (dlogit @ D2.T) * np.where(pre > 0, 1.0, alpha)
    dD1 = fake.T @ dpre
    dd1 = dpre.sum(0)
    dfake = (dpre @ D1.T) * (1 - fake ** 2)
    dG2 = gh.T @ dfake
    dg2 = dfake.sum(0)
    dgh = (dfake @ G2.T) * (1 - gh ** 2)
    dG1 = z.T @ dgh
    dg1 = dgh.sum(0)
    dz = dgh @ G1.T
    return dz, dG1, dg1, dG2, dg2, dD1, dd1, dD2, dd2


def make_generator_loss():
    rng = np.random.default_rng(7)
    n = rng.normal
    return dict(forward=generator_loss, backward=generator_loss_backward, inputs={
        "z": n(size=(5, 2)), "G1": n(size=(2, 4)), "g1": 0.3 * n(size=4), "G2": 0.7 * n(size=(4, 3)),
        "g2": 0.3 * n(size=3), "D1": n(size=(3, 4)), "d1": 0.3 * n(size=4), "D2": n(size=(4, 1)),
        "d2": 0.3 * n(size=1)}, constants={"alpha": 0.2})


ITEMS.append(Item(
    "gan_generator_loss", "research repository (GAN in NumPy)", "vjp", make_generator_loss, False,
    "the derivative of -log sigmoid(logit) is p - 1: dlogit = dloss * (p_fake - 1.0) / m",
    ("z", "G1", "g1", "G2", "g2", "D1", "d1", "D2", "d2"), ("sign",)))


# ---------------------------------------------------------------- RealNVP log-probability

def _shift_and_log_scale(xa, Ws, bs, Wt, bt):
    return np.tanh(xa @ Ws + bs), xa @ Wt + bt


def realnvp_log_prob(x, layers):
    """Log-density of x under two affine couplings of a standard normal; layers has a1.. and a2.."""
    half = x.shape[-1] // 2
    x1, x2 = x[:, :half], x[:, half:]
    s_b, t_b = _shift_and_log_scale(x1, layers["Ws1"], layers["bs1"], layers["Wt1"], layers["bt1"])
    z2 = (x2 - t_b) * np.exp(-s_b)
    s_a, t_a = _shift_and_log_scale(z2, layers["Ws2"], layers["bs2"], layers["Wt2"], layers["bt2"])
    z1 = (x1 - t_a) * np.exp(-s_a)
    ildj = -s_b.sum(-1) - s_a.sum(-1)
    base = -0.5 * (z1 ** 2 + z2 ** 2).sum(-1) - half * np.log(2 * np.pi)
    return base + ildj, (x1, z1, z2, s_a, s_b, layers)


def realnvp_log_prob_vjp(g, res):
    x1, z1, z2, s_a, s_b, layers = res
    g = g[:, None]
    grads = {}
    # second coupling
    dz1 = -g * z1
    dx1 = dz1 * np.exp(-s_a)
    dt_a = -dz1 * np.exp(s_a)
    ds_a = -dz1 * z1 - g
    du = ds_a * (1 - s_a ** 2)
    grads["Ws2"], grads["bs2"] = z2.T @ du, du.sum(0)
    grads["Wt2"], grads["bt2"] = z2.T @ dt_a, dt_a.sum(0)
    dz2 = -g * z2 + du @ layers["Ws2"].T + dt_a @ layers["Wt2"].T
    # first coupling
    dx2 = dz2 * np.exp(-s_b)
    dt_b = -dz2 * np.exp(-s_b)
    ds_b = -dz2 * z2 - g
    du = ds_b * (1 - s_b ** 2)
    grads["Ws1"], grads["bs1"] = x1.T @ du, du.sum(0)
    grads["Wt1"], grads["bt1"] = x1.T @ dt_b, dt_b.sum(0)
    dx1 = dx1 + du @ layers["Ws1"].T + dt_b @ layers["Wt1"].T
    return {"x": np.concatenate([dx1, dx2], axis=-1), "layers": grads}


def make_realnvp():
    rng = np.random.default_rng(8)
    layers = {}
    for i in "12":
        for w in "st":
            layers["W" + w + i] = 0.7 * rng.normal(size=(2, 2))
            layers["b" + w + i] = 0.3 * rng.normal(size=2)
    return dict(forward=realnvp_log_prob, backward=realnvp_log_prob_vjp,
                inputs={"x": rng.normal(size=(4, 4)), "layers": layers})


ITEMS.append(Item(
    "realnvp_log_prob", "JAX/TFP port", "vjp", make_realnvp, False,
    "z1 = (x1 - t_a) * exp(-s_a), so dt_a = -dz1 * np.exp(-s_a), not np.exp(s_a)",
    ("x", "layers.Wt2", "layers.bt2", "layers.Ws1", "layers.bs1", "layers.Wt1", "layers.bt1"),
    ("elementwise-factor",)))


# ---------------------------------------------------------------- neural ODE with RK4

def ode_func(x, W1, b1, W2, b2):
    h = np.tanh(x @ W1 + b1)
    return h @ W2 + b2, (x, h, W1, W2)


def ode_func_vjp(a, cache):
    x, h, W1, W2 = cache
    dpre = (a @ W2.T) * (1 - h * h)
    return dpre @ W1.T, [x.T @ dpre, dpre.sum(0), h.T @ a, a.sum(0)]


def odeint_rk4(x0, W1, b1, W2, b2, t1=1.0, n_steps=2):
    theta = (W1, b1, W2, b2)
    h = t1 / n_steps
    x = x0
    tape = []
    for _ in range(n_steps):
        k1, c1 = ode_func(x, *theta)
        k2, c2 = ode_func(x + 0.5 * h * k1, *theta)
        k3, c3 = ode_func(x + 0.5 * h * k2, *theta)
        k4, c4 = ode_func(x + h * k3, *theta)
        x = x + h / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
        tape.append((c1, c2, c3, c4))
    return x, (tape, h, theta)


def odeint_rk4_backward(a, cache):
    tape, h, theta = cache
    gtheta = [np.zeros_like(p) for p in theta]

    def stage(ak, c):
        ax, gp = ode_func_vjp(ak, c)
        for total, g in zip(gtheta, gp):
            total += g
        return ax

    for c1, c2, c3, c4 in reversed(tape):
        s4 = stage(h / 6.0 * a, c4)
        s3 = stage(h / 3.0 * a + 0.5 * h * s4, c3)
        s2 = stage(h / 3.0 * a + 0.5 * h * s3, c2)
        s1 = stage(h / 6.0 * a + 0.5 * h * s2, c1)
        a = a + s1 + s2 + s3 + s4
    return (a, *gtheta)


def make_neural_ode():
    rng = np.random.default_rng(9)
    return dict(forward=odeint_rk4, backward=odeint_rk4_backward, inputs={
        "x0": rng.normal(size=(3, 2)), "W1": rng.normal(size=(2, 5)), "b1": 0.3 * rng.normal(size=5),
        "W2": rng.normal(size=(5, 2)), "b2": 0.3 * rng.normal(size=2)},
        constants={"t1": 1.0, "n_steps": 2})


ITEMS.append(Item(
    "neural_ode_rk4", "research repository (neural ODE)", "vjp", make_neural_ode, False,
    "the fourth stage is at x + h * k3, so k3 gets h * s4, not 0.5 * h * s4",
    ("x0", "W1", "b1", "W2", "b2"), ("factor",)))


# ---------------------------------------------------------------- mass-spring simulation

def _spring_force(pos, k, springs, rest):
    f = np.zeros_like(pos)
    for n, (i, j) in enumerate(springs):
        d = pos[i] - pos[j]
        length = np.sqrt(d @ d)
        push = -k[n] * (length - rest[n]) * d / length
        f[i] += push
        f[j] -= push
    return f


def _spring_force_grad(pos, k, springs, rest, f_adj):
    pos_adj = np.zeros_like(pos)
    k_adj = np.zeros_like(k)
    for n, (i, j) in enumerate(springs):
        d = pos[i] - pos[j]
        length = np.sqrt(d @ d)
        u = d / length
        g = f_adj[i] - f_adj[j]
        k_adj[n] += -(length - rest[n]) * (g @ u)
        along = (g @ u) * u
        d_adj = -k[n] * (along + (1 - rest[n] / length) * (g - along))
        pos_adj[i] += d_adj
        pos_adj[j] -= d_adj
    return pos_adj, k_adj


def simulate(x0, v0, stiffness, springs, rest, target, steps=4, dt=0.1, drag=0.95):
    x, v = x0.copy(), v0.copy()
    trajectory = []
    for _ in range(steps):
        trajectory.append(x)
        v = drag * v + dt * _spring_force(x, stiffness, springs, rest)
        x = x + dt * v
    loss = np.sum((x - target) ** 2)
    return loss, (trajectory, x, stiffness, springs, rest, target, dt, drag)


def simulate_grad(loss_adj, cache):
    trajectory, x, stiffness, springs, rest, target, dt, drag = cache
    x_adj = loss_adj * 2 * (x - target)
    v_adj = np.zeros_like(x)
    stiffness_adj = np.zeros_like(stiffness)
    for pos in reversed(trajectory):
        f_adj = dt * v_adj
        v_adj = v_adj + dt * x_adj
        pos_adj, k_adj = _spring_force_grad(pos, stiffness, springs, rest, f_adj)
        x_adj = x_adj + pos_adj
        stiffness_adj += k_adj
        v_adj = drag * v_adj
    return {"x0": x_adj, "v0": v_adj, "stiffness": stiffness_adj}


def make_mass_spring():
    rng = np.random.default_rng(10)
    x0 = np.array([[0.0, 0.0], [1.0, 0.1], [1.1, 1.0], [0.1, 0.9]]) + 0.1 * rng.normal(size=(4, 2))
    springs = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]
    return dict(forward=simulate, backward=simulate_grad,
                inputs={"x0": x0, "v0": rng.normal(size=(4, 2)), "stiffness": rng.uniform(2.0, 6.0, size=5)},
                constants={"springs": springs, "rest": np.array([0.8, 0.9, 1.1, 1.0, 1.3]),
                           "target": rng.normal(size=(4, 2)), "steps": 4, "dt": 0.1, "drag": 0.95})


ITEMS.append(Item(
    "mass_spring", "differentiable simulator (DiffTaichi manner)", "vjp", make_mass_spring, False,
    "f_adj is taken from the stale v_adj: v_adj = v_adj + dt * x_adj must stand before f_adj = dt * v_adj",
    ("x0", "v0", "stiffness"), ("missing-term",)))


# ---------------------------------------------------------------- volume rendering along rays

def render_rays(raw_sigma, raw_rgb, deltas, background):
    """raw_sigma (R, S), raw_rgb (R, S, 3), deltas (R, S): colour of every ray (R, 3)."""
    sigma = np.logaddexp(0.0, raw_sigma)
    rgb = expit(raw_rgb)
    alpha = 1.0 - np.exp(-sigma * deltas)
    trans = np.cumprod(1.0 - alpha, axis=-1)
    trans_before = np.concatenate([np.ones_like(trans[:, :1]), trans[:, :-1]], axis=-1)
    weights = alpha * trans_before
    colour = (weights[..., None] * rgb).sum(-2) + trans[:, -1:] * background
    return colour, (raw_sigma, rgb, trans, weights, deltas, background)


def render_rays_backward(grad_colour, cache):
    raw_sigma, rgb, trans, weights, deltas, background = cache
    grad_rgb = weights[..., None] * grad_colour[:, None, :]
    grad_raw_rgb = grad_rgb * rgb * (1.0 - rgb)
    grad_w = (grad_colour[:, None, :] * rgb).sum(-1)
    gw = grad_w * weights
    behind = np.cumsum(gw[:, ::-1], axis=-1)[:, ::-1]
    behind = behind + (grad_colour * background).sum(-1, keepdims=True) * trans[:, -1:]
    grad_tau = grad_w * trans - behind
    grad_raw_sigma = grad_tau * deltas * expit(raw_sigma)
    return {"raw_sigma": grad_raw_sigma, "raw_rgb": grad_raw_rgb}


def make_render_rays():
    rng = np.random.default_rng(11)
    R, S = 3, 5
    return dict(forward=render_rays, backward=render_rays_backward,
                inputs={"raw_sigma": rng.normal(size=(R, S)), "raw_rgb": rng.normal(size=(R, S, 3))},
                constants={"deltas": rng.uniform(0.2, 0.6, size=(R, S)), "background": np.array([1.0, 0.9, 0.8])})


ITEMS.append(Item(
    "nerf_compositing", "research repository (NeRF)", "vjp", make_render_rays, False,
    "behind sums the samples after this one only: np.cumsum(gw[:, ::-1], axis=-1)[:, ::-1] - gw",
    ("raw_sigma",), ("missing-term",)))


# ---------------------------------------------------------------- graph convolutional network

class GraphConvolution:
    """A_hat X W + b with A_hat = D^-1 (A + I)"""

    def forward(self, features, weight, bias, adj):
        self.features, self.weight, self.adj = features, weight, adj
        return adj.dot(features.dot(weight)) + bias

    def backward(self, grad_output):
        grad_support = self.adj.dot(grad_output)
        grad_weight = self.features.T.dot(grad_support)
        grad_bias = grad_output.sum(axis=0)
        return grad_support.dot(self.weight.T), grad_weight, grad_bias


class GCN:
    def __init__(self, adj):
        adj = adj + np.eye(len(adj))
        self.adj = adj / adj.sum(axis=1, keepdims=True)
        self.gc1 = GraphConvolution()
        self.gc2 = GraphConvolution()

    def forward(self, x, w1, b1, w2, b2):
        self.h = np.maximum(self.gc1.forward(x, w1, b1, self.adj), 0)
        out = self.gc2.forward(self.h, w2, b2, self.adj)
        self.log_softmax = out - logsumexp(out, axis=1, keepdims=True)
        return self.log_softmax, None

    def backward(self, grad, _cache):
        grad = grad - np.exp(self.log_softmax) * grad.sum(axis=1, keepdims=True)
        grad, grad_w2, grad_b2 = self.gc2.backward(grad)
        grad = grad * (self.h > 0)
        grad_x, grad_w1, grad_b1 = self.gc1.backward(grad)
        return {"x": grad_x, "w1": grad_w1, "b1": grad_b1, "w2": grad_w2, "b2": grad_b2}


def make_gcn():
    rng = np.random.RandomState(12)
    adj = np.array([[0, 1, 0, 0, 1], [1, 0, 1, 1, 0], [0, 1, 0, 0, 0], [0, 1, 0, 0, 0], [1, 0, 0, 0, 0]], dtype=float)
    net = GCN(adj)
    return dict(forward=net.forward, backward=net.backward, inputs={
        "x": rng.randn(5, 3), "w1": rng.randn(3, 4), "b1": 0.2 * rng.randn(4), "w2": rng.randn(4, 3),
        "b2": 0.2 * rng.randn(3)})


ITEMS.append(Item(
    "gcn_row_normalized", "research repository (GCN)", "vjp", make_gcn, False,
    "D^-1 (A + I) is not symmetric: grad_support = self.adj.T.dot(grad_output)",
    ("x", "w1", "b1", "w2"), ("transpose",)))


# ---------------------------------------------------------------- Kalman filter, scalar state

def kalman_nll(obs, a, log_q, log_r, m0=0.0, p0=1.0):
    """x_t = a x_{t-1} + N(0, q), y_t = x_t + N(0, r); obs (B, T), a, log_q, log_r of shape (1,). NLL (B,)."""
    q, r = np.exp(log_q), np.exp(log_r)
    B, T = obs.shape
    m = np.full(B, m0)
    P = np.full(1, p0)
    nll = np.zeros(B)
    steps = []
    for t in range(T):
        m_pred = a * m
        P_pred = a * a * P + q
        v = obs[:, t] - m_pred
        S = P_pred + r
        K = P_pred / S
        nll = nll + 0.5 * (np.log(2 * np.pi * S) + v ** 2 / S)
        steps.append((m, P, P_pred, v, S, K))
        m = m_pred + K * v
        P = (1 - K) * P_pred
    return nll, (steps, a, q, r, obs.shape)


def kalman_nll_grad(dnll, cache):
    steps, a, q, r, shape = cache
    dobs = np.zeros(shape)
    da, dq, dr = np.zeros(1), np.zeros(1), np.zeros(1)
    dm = np.zeros(shape[0])
    dP = np.zeros(1)
    for t in reversed(range(shape[1])):
        m, P, P_pred, v, S, K = steps[t]
        # update
        dK = np.sum(dm * v) - dP * P_pred
        dP_pred = (1 - K) * dP
        dm_pred = dm
        dv = dm * K + dnll * v / S
        dS = np.sum(dnll * 0.5 * (1.0 / S + v ** 2 / S ** 2))
        # gain
        dP_pred = dP_pred + dK / S
        dS = dS - dK * P_pred / S ** 2
        # innovation
        dP_pred = dP_pred + dS
        dr = dr + dS
        dobs[:, t] = dv
        dm_pred = dm_pred - dv
        # prediction
        da = da + np.sum(dm_pred * m) + 2 * a * P * dP_pred
        dq = dq + dP_pred
        dm = a * dm_pred
        dP = a * a * dP_pred
    return {"obs": dobs, "a": da, "log_q": dq * q, "log_r": dr * r}


def make_kalman():
    rng = np.random.default_rng(13)
    return dict(forward=kalman_nll, backward=kalman_nll_grad, inputs={
        "obs": rng.normal(size=(3, 5)), "a": np.array([0.8]), "log_q": np.array([-0.7]), "log_r": np.array([-0.3])},
        constants={"m0": 0.2, "p0": 1.5})


ITEMS.append(Item(
    "kalman_filter_nll", "JAX/TFP port (linear Gaussian state space model)", "vjp", make_kalman, False,
    "the quadratic term's derivative in S is negative: 0.5 * (1.0 / S - v ** 2 / S ** 2)",
    ("a", "log_q", "log_r"), ("sign",)))


# ---------------------------------------------------------------- Gaussian process marginal likelihood

def gp_nlml(hyp, X, y):
    """hyp = log of (ell, sf, sn). Negative log marginal likelihood, as in GPML's algorithm 2.1."""
    ell, sf, sn = np.exp(hyp)
    n = len(y)
    sq = np.sum((X[:, None, :] - X[None, :, :]) ** 2, axis=-1)
    K = sf ** 2 * np.exp(-0.5 * sq / ell ** 2)
    L = np.linalg.cholesky(K + sn ** 2 * np.eye(n))
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, y))
    nlml = 0.5 * y.dot(alpha) + np.sum(np.log(np.diag(L))) + 0.5 * n * np.log(2 * np.pi)
    return nlml, (ell, sf, sn, X, sq, K, L, alpha)


def gp_nlml_grad(dnlml, cache):
    ell, sf, sn, X, sq, K, L, alpha = cache
    n = len(alpha)
    Linv = np.linalg.solve(L, np.eye(n))
    dK = 0.5 * dnlml * (Linv.T.dot(Linv) - np.outer(alpha, alpha))
    dhyp = np.zeros(3)
    dhyp[0] = np.sum(dK * K * sq / ell ** 3)
    dhyp[1] = 2 * np.sum(dK * K)
    dhyp[2] = 2 * sn ** 2 * np.trace(dK)
    G = -dK * K / ell ** 2
    dX = 2 * (G.sum(axis=1)[:, None] * X - G.dot(X))
    return {"hyp": dhyp, "X": dX, "y": dnlml * alpha}


def make_gp():
    rng = np.random.RandomState(14)
    X = rng.uniform(-2, 2, size=(6, 2))
    return dict(forward=gp_nlml, backward=gp_nlml_grad, inputs={
        "hyp": np.log([1.5, 1.2, 0.4]), "X": X, "y": np.sin(X[:, 0]) + 0.3 * rng.randn(6)})


ITEMS.append(Item(
    "gp_marginal_likelihood", "GPML book, MATLAB port", "vjp", make_gp, False,
    "with respect to log ell the derivative is dK * K * sq / ell ** 2; ell ** 3 is that for ell itself",
    ("hyp",), ("factor", "elementwise-factor")))


# ---------------------------------------------------------------- mixture of Gaussians

class GaussianMixtureLogProb:
    """log p(x) under a mixture of diagonal Gaussians; weights are softmax(logits)."""

    @staticmethod
    def forward(x, logits, means, log_scales):
        log_pi = logits - logsumexp(logits)
        z = (x[:, None, :] - means) * np.exp(-log_scales)
        comp = -0.5 * np.sum(z ** 2 + np.log(2 * np.pi), axis=-1) - np.sum(log_scales, axis=-1)
        joint = log_pi + comp
        log_prob = logsumexp(joint, axis=1)
        resp = np.exp(joint - log_prob[:, None])
        return log_prob, (z, resp, log_pi, log_scales)

    @staticmethod
    def backward(grad_out, ctx):
        z, resp, log_pi, log_scales = ctx
        g = grad_out[:, None] * resp
        grad_logits = g.sum(axis=0)
        gz = -g[:, :, None] * z
        grad_x = np.sum(gz * np.exp(-log_scales), axis=1)
        grad_means = -np.sum(gz * np.exp(-log_scales), axis=0)
        grad_log_scales = np.sum(-gz * z - g[:, :, None], axis=0)
        return grad_x, grad_logits, grad_means, grad_log_scales


def make_gmm():
    rng = np.random.default_rng(15)
    return dict(forward=GaussianMixtureLogProb.forward, backward=GaussianMixtureLogProb.backward, inputs={
        "x": rng.normal(size=(5, 2)), "logits": rng.normal(size=3), "means": rng.normal(size=(3, 2)),
        "log_scales": 0.4 * rng.normal(size=(3, 2))})


ITEMS.append(Item(
    "gmm_log_prob", "PyTorch autograd.Function port", "vjp", make_gmm, False,
    "the log-softmax of the weights is passed over: grad_logits = g.sum(axis=0) - np.exp(log_pi) * g.sum()",
    ("logits",), ("missing-term",)))


# ---------------------------------------------------------------- word2vec

def skipgram_ns_loss(W_in, W_out, center, context, negatives):
    """Skip-gram with negative sampling; loss of every pair (B,)."""
    v = W_in[center]
    u_pos = W_out[context]
    u_neg = W_out[negatives]
    s_pos = np.sum(v * u_pos, axis=1)
    s_neg = np.einsum("bd,bkd->bk", v, u_neg)
    loss = np.logaddexp(0, -s_pos) + np.logaddexp(0, s_neg).sum(axis=1)
    return loss, (W_in, W_out, center, context, negatives, v, u_pos, u_neg, s_pos, s_neg)


def skipgram_ns_grad(dloss, cache):
    W_in, W_out, center, context, negatives, v, u_pos, u_neg, s_pos, s_neg = cache
    g_pos = (expit(s_pos) - 1) * dloss
    g_neg = expit(s_neg) * dloss[:, None]
    dv = g_pos[:, None] * u_pos + np.einsum("bk,bkd->bd", g_neg, u_neg)
    dW_in = np.zeros_like(W_in)
    np.add.at(dW_in, center, dv)
    dW_out = np.zeros_like(W_out)
    np.add.at(dW_out, context, g_pos[:, None] * v)
    dW_out[negatives] += g_neg[:, :, None] * v[:, None, :]
    return {"W_in": dW_in, "W_out": dW_out}


def make_skipgram():
    rng = np.random.RandomState(16)
    return dict(forward=skipgram_ns_loss, backward=skipgram_ns_grad,
                inputs={"W_in": rng.randn(7, 3), "W_out": rng.randn(7, 3)},
                constants={"center": np.array([0, 2, 2, 5]), "context": np.array([1, 3, 1, 4]),
                           "negatives": np.array([[4, 6, 5], [6, 0, 4], [6, 2, 0], [0, 3, 6]])})


ITEMS.append(Item(
    "word2vec_negative_sampling", "CS224n assignment", "vjp", make_skipgram, False,
    "a word drawn several times counts once: np.add.at(dW_out, negatives, g_neg[:, :, None] * v[:, None, :])",
    ("W_out",), ("batch-sum", "missing-term")))


# ---------------------------------------------------------------- additive attention of a decoder

def attention_step(enc, h, Wa, Ua, va, Wc):
    """enc (B, T, H), decoder state h (B, H): attentional state tanh([context, h] Wc)."""
    proj = np.tanh(enc @ Wa + (h @ Ua)[:, None, :])
    e = proj @ va
    w = np.exp(e - e.max(axis=1, keepdims=True))
    w = w / w.sum(axis=1, keepdims=True)
    context = np.einsum("bt,bth->bh", w, enc)
    cat = np.concatenate([context, h], axis=1)
    out = np.tanh(cat @ Wc)
    return out, (enc, h, Wa, Ua, va, Wc, proj, w, cat, out)


def attention_step_backward(dout, cache):
    enc, h, Wa, Ua, va, Wc, proj, w, cat, out = cache
    H = h.shape[1]
    dpre = dout * (1 - out ** 2)
    dWc = cat.T @ dpre
    dcat = dpre @ Wc.T
    dcontext, dh = dcat[:, :H], dcat[:, H:]
    dw = np.einsum("bh,bth->bt", dcontext, enc)
    denc = w[:, :, None] * dcontext[:, None, :]
    de = w * (dw - (dw * w).sum(axis=0, keepdims=True))
    dva = np.einsum("bt,bth->h", de, proj)
    dproj = de[:, :, None] * va * (1 - proj ** 2)
    dWa = np.einsum("bti,btj->ij", enc, dproj)
    denc = denc + dproj @ Wa.T
    dquery = dproj.sum(axis=1)
    dUa = h.T @ dquery
    dh = dh + dquery @ Ua.T
    return denc, dh, dWa, dUa, dva, dWc


def make_attention_step():
    rng = np.random.default_rng(17)
    B, T, H, A = 3, 4, 3, 4
    n = rng.normal
    return dict(forward=attention_step, backward=attention_step_backward, inputs={
        "enc": n(size=(B, T, H)), "h": n(size=(B, H)), "Wa": n(size=(H, A)), "Ua": n(size=(H, A)),
        "va": n(size=A), "Wc": 0.5 * n(size=(2 * H, H))})


ITEMS.append(Item(
    "bahdanau_attention", "research repository (machine translation)", "vjp", make_attention_step, False,
    "the softmax is over the words, axis 1: de = w * (dw - (dw * w).sum(axis=1, keepdims=True)), not axis=0",
    ("enc", "h", "Wa", "Ua", "va"), ("shape",)))


# ---------------------------------------------------------------- PPO

def ppo_policy_loss(params, obs, actions, old_logp, advantages, clip_ratio):
    h = np.tanh(obs @ params["w1"] + params["b1"])
    logits = h @ params["w2"] + params["b2"]
    logp_all = logits - logsumexp(logits, axis=1, keepdims=True)
    logp = logp_all[np.arange(len(actions)), actions]
    ratio = np.exp(logp - old_logp)
    clipped = np.clip(ratio, 1 - clip_ratio, 1 + clip_ratio)
    loss = -np.minimum(ratio * advantages, clipped * advantages).mean()
    return loss, (params, obs, actions, advantages, clip_ratio, h, logp_all, ratio, clipped)


def ppo_policy_loss_backward(dloss, cache):
    params, obs, actions, advantages, clip_ratio, h, logp_all, ratio, clipped = cache
    n = len(actions)
    unclipped = np.abs(ratio - 1) < clip_ratio
    dratio = -dloss / n * advantages * unclipped
    dlogp = dratio * ratio
    onehot = np.zeros_like(logp_all)
    onehot[np.arange(n), actions] = 1.0
    dlogits = dlogp[:, None] * (onehot - np.exp(logp_all))
    dh = dlogits @ params["w2"].T
    dz = dh * (1 - h ** 2)
    return {"params": {"w1": obs.T @ dz, "b1": dz.sum(0), "w2": h.T @ dlogits, "b2": dlogits.sum(0)}}


def make_ppo():
    rng = np.random.default_rng(18)
    params = {"w1": rng.normal(size=(3, 4)), "b1": 0.2 * rng.normal(size=4),
              "w2": rng.normal(size=(4, 3)), "b2": 0.2 * rng.normal(size=3)}
    obs, actions = rng.normal(size=(6, 3)), np.array([0, 1, 2, 2, 1, 0])
    logits = np.tanh(obs @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]
    logp = (logits - logsumexp(logits, axis=1, keepdims=True))[np.arange(6), actions]
    old_logp = logp - np.log([0.6, 1.5, 1.1, 1.4, 0.9, 0.7])
    advantages = np.array([1.2, -0.8, 0.5, 0.9, -1.1, -0.6])
    return dict(forward=ppo_policy_loss, backward=ppo_policy_loss_backward, inputs={"params": params},
                constants={"obs": obs, "actions": actions, "old_logp": old_logp, "advantages": advantages,
                           "clip_ratio": 0.2})


ITEMS.append(Item(
    "ppo_clip_loss", "reinforcement learning library (Spinning Up manner)", "vjp", make_ppo, False,
    "a ratio out of the interval still counts where ratio * A is the smaller one: "
    "the mask is ratio * advantages <= clipped * advantages",
    ("params.w1", "params.b1", "params.w2", "params.b2"), ("elementwise-factor", "zero")))


# ---------------------------------------------------------------- SoftSort

def soft_sort(s, tau):
    """Relaxed descending sort of every row of s (B, n): P s, P = softmax(-|sorted_i - s_j| / tau)."""
    order = np.argsort(-s, axis=1)
    ranked = np.take_along_axis(s, order, axis=1)
    diff = ranked[:, :, None] - s[:, None, :]
    logits = -np.abs(diff) / tau
    P = np.exp(logits - logits.max(axis=2, keepdims=True))
    P = P / P.sum(axis=2, keepdims=True)
    return np.einsum("bij,bj->bi", P, s), (s, order, diff, P, tau)


def soft_sort_backward(dy, cache):
    s, order, diff, P, tau = cache
    ds = np.einsum("bij,bi->bj", P, dy)
    dP = dy[:, :, None] * s[:, None, :]
    dlogits = P * (dP - np.sum(dP * P, axis=2, keepdims=True))
    ddiff = -dlogits * np.sign(diff) / tau
    ds = ds - ddiff.sum(axis=1)
    ds = ds + np.take_along_axis(ddiff.sum(axis=2), order, axis=1)
    return {"s": ds}


def make_soft_sort():
    # |0| stands where an entry meets itself; both of its sides cancel there
    s = np.array([[0.3, -0.9, 1.4, 0.8, -0.2], [1.1, 0.1, -0.7, 0.6, 2.0]])
    return dict(forward=soft_sort, backward=soft_sort_backward, inputs={"s": s}, constants={"tau": 0.7})


ITEMS.append(Item(
    "softsort", "research repository (differentiable sorting)", "vjp", make_soft_sort, False,
    "the way back from ranked to s is the inverse permutation: take_along_axis(..., np.argsort(order, axis=1), 1)",
    ("s",), ("transpose",)))


# ---------------------------------------------------------------- Morse potential of a cluster

def morse_energy(positions, depth, width, r0):
    """Energy of a cluster, every pair once; depth, width and r0 of shape (1,)."""
    n = positions.shape[0]
    disp = positions[:, None, :] - positions[None, :, :]
    dist = np.sqrt((disp ** 2).sum(-1))
    off = 1.0 - np.eye(n)
    u = np.exp(-width * (dist - r0))
    pair = depth * (1.0 - u) ** 2 * off
    return 0.5 * pair.sum(), (disp, dist, off, u, depth, width, r0)


def morse_energy_grad(denergy, cache):
    disp, dist, off, u, depth, width, r0 = cache
    dpair = 0.5 * denergy * off
    ddepth = np.array([(dpair * (1.0 - u) ** 2).sum()])
    du = -2.0 * dpair * depth * (1.0 - u)
    dwidth = np.array([(-du * u * (dist - r0)).sum()])
    dr0 = np.array([(du * u * width).sum()])
    ddist = -du * u * width
    ddisp = (ddist / dist)[:, :, None] * disp
    dpositions = ddisp.sum(axis=1) - ddisp.sum(axis=0)
    return {"positions": dpositions, "depth": ddepth, "width": dwidth, "r0": dr0}


def make_morse():
    rng = np.random.default_rng(20)
    return dict(forward=morse_energy, backward=morse_energy_grad, inputs={
        "positions": rng.normal(size=(5, 3)), "depth": np.array([1.3]), "width": np.array([0.9]),
        "r0": np.array([1.2])})


ITEMS.append(Item(
    "morse_cluster", "research repository (JAX-MD port)", "vjp", make_morse, False,
    "0 / 0 on the diagonal, where an atom meets itself: ddist / (dist + np.eye(n))",
    ("positions",), ("non-finite",)))


# ---------------------------------------------------------------- Elman network

class ElmanRNN:
    def __init__(self):
        self.cache = None

    def forward(self, x, h0, w_ih, w_hh, b):
        B, T, _ = x.shape
        hs = np.zeros((B, T + 1, h0.shape[1]))
        hs[:, 0] = h0
        for t in range(T):
            hs[:, t + 1] = np.tanh(x[:, t] @ w_ih + hs[:, t] @ w_hh + b)
        self.cache = (x, w_ih, w_hh, hs)
        return hs[:, 1:].copy(), self.cache

    def backward(self, dhs, cache):
        x, w_ih, w_hh, hs = cache
        dx = np.zeros_like(x)
        dw_ih, dw_hh = np.zeros_like(w_ih), np.zeros_like(w_hh)
        db = np.zeros(w_hh.shape[0])
        dh_next = np.zeros_like(hs[:, 0])
        for t in reversed(range(x.shape[1])):
            dh = dhs[:, t]
            dh += dh_next
            da = dh * (1 - hs[:, t + 1] ** 2)
            dx[:, t] = da @ w_ih.T
            dw_ih += x[:, t].T @ da
            dw_hh += hs[:, t].T @ da
            db += da.sum(axis=0)
            dh_next = da @ w_hh.T
        return {"x": dx, "h0": dh_next, "w_ih": dw_ih, "w_hh": dw_hh, "b": db}


def make_elman():
    rng = np.random.default_rng(21)
    rnn = ElmanRNN()
    return dict(forward=rnn.forward, backward=rnn.backward, inputs={
        "x": rng.normal(size=(3, 4, 2)), "h0": rng.normal(size=(3, 3)), "w_ih": rng.normal(size=(2, 3)),
        "w_hh": 0.7 * rng.normal(size=(3, 3)), "b": 0.3 * rng.normal(size=3)})


# the gradients of the first call are right; wrong are those of a second call with the same dhs
ITEMS.append(Item(
    "elman_rnn_view", "machine learning from scratch repository", "vjp", make_elman, False,
    "dh is a view of the caller's dhs and is added to in place: dh = dhs[:, t] + dh_next",
    ("x", "h0", "w_ih", "w_hh", "b"), ("mutates-input", "accumulates")))


# ---------------------------------------------------------------- recurrent language model of layers

class TimeEmbedding:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]

    def forward(self, xs):
        self.xs = xs
        return self.params[0][xs]

    def backward(self, dout):
        dW, = self.grads
        dW[...] = 0
        np.add.at(dW, self.xs, dout)


class TimeRNN:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]

    def forward(self, xs):
        Wx, Wh, b = self.params
        N, T, _ = xs.shape
        h = np.zeros((N, Wh.shape[0]))
        self.xs, self.hs = xs, [h]
        for t in range(T):
            h = np.tanh(np.dot(h, Wh) + np.dot(xs[:, t, :], Wx) + b)
            self.hs.append(h)
        return np.stack(self.hs[1:], axis=1)

    def backward(self, dhs):
        Wx, Wh, b = self.params
        dxs = np.empty_like(self.xs)
        dh = 0
        for t in reversed(range(dhs.shape[1])):
            dt = (dhs[:, t, :] + dh) * (1 - self.hs[t + 1] ** 2)
            self.grads[0] += np.dot(self.xs[:, t, :].T, dt)
            self.grads[1] += np.dot(self.hs[t].T, dt)
            self.grads[2] += np.sum(dt, axis=0)
            dxs[:, t, :] = np.dot(dt, Wx.T)
            dh = np.dot(dt, Wh.T)
        return dxs


class TimeAffine:
    def __init__(self, W, b):
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x):
        self.x = x
        return np.dot(x, self.params[0]) + self.params[1]

    def backward(self, dout):
        rows = dout.reshape(-1, dout.shape[-1])
        self.grads[0][...] = np.dot(self.x.reshape(len(rows), -1).T, rows)
        self.grads[1][...] = np.sum(rows, axis=0)
        return np.dot(dout, self.params[0].T)


class SimpleRnnlm:
    def __init__(self, vocab_size, wordvec_size, hidden_size):
        V, D, H = vocab_size, wordvec_size, hidden_size
        self.layers = [TimeEmbedding(np.zeros((V, D))),
                       TimeRNN(np.zeros((D, H)), np.zeros((H, H)), np.zeros(H)),
                       TimeAffine(np.zeros((H, V)), np.zeros(V))]

    def forward(self, embed_W, rnn_Wx, rnn_Wh, rnn_b, affine_W, affine_b, xs, ts):
        given = iter([embed_W, rnn_Wx, rnn_Wh, rnn_b, affine_W, affine_b])
        for layer in self.layers:
            for param in layer.params:
                param[...] = next(given)
        for layer in self.layers:
            xs = layer.forward(xs)
        logp = xs - logsumexp(xs, axis=-1, keepdims=True)
        self.ts = ts
        self.ys = np.exp(logp)
        return -np.take_along_axis(logp, ts[:, :, None], axis=-1).mean(), None

    def backward(self, dout, cache=None):
        N, T = self.ts.shape
        d = self.ys.copy()
        d[np.arange(N)[:, None], np.arange(T), self.ts] -= 1
        d *= dout / (N * T)
        for layer in reversed(self.layers):
            d = layer.backward(d)
        return tuple(g.copy() for layer in self.layers for g in layer.grads)


def make_rnnlm():
    rng = np.random.RandomState(22)
    V, D, H = 5, 3, 4
    net = SimpleRnnlm(V, D, H)
    return dict(forward=net.forward, backward=net.backward, inputs={
        "embed_W": rng.randn(V, D), "rnn_Wx": rng.randn(D, H) / np.sqrt(D), "rnn_Wh": rng.randn(H, H) / np.sqrt(H),
        "rnn_b": 0.1 * rng.randn(H), "affine_W": rng.randn(H, V) / np.sqrt(H), "affine_b": 0.1 * rng.randn(V)},
        constants={"xs": np.array([[0, 1, 2, 1], [3, 4, 0, 2]]), "ts": np.array([[1, 2, 1, 3], [4, 0, 2, 2]])})


# the gradients of the first backward are right; wrong are those of a second one
ITEMS.append(Item(
    "rnnlm_time_layers", "deep learning book (from scratch)", "vjp", make_rnnlm, False,
    "TimeRNN adds to self.grads from call to call: it should begin its backward with grad[...] = 0",
    ("rnn_Wx", "rnn_Wh", "rnn_b"), ("accumulates",)))


# ---------------------------------------------------------------- Bayes by backprop

def softplus(x):
    return np.logaddexp(0.0, x)


def bayes_mlp_forward(x, mu1, rho1, mu2, rho2):
    """Two layers with weights drawn as mu + softplus(rho) * eps."""
    eps1 = np.random.standard_normal(mu1.shape)
    eps2 = np.random.standard_normal(mu2.shape)
    w1 = mu1 + softplus(rho1) * eps1
    w2 = mu2 + softplus(rho2) * eps2
    h = np.maximum(x @ w1, 0.0)
    return h @ w2, (x, h, w1, w2, eps1, eps2, rho1, rho2)


def bayes_mlp_backward(dy, cache):
    x, h, w1, w2, eps1, eps2, rho1, rho2 = cache
    dw2 = h.T @ dy
    dh = (dy @ w2.T) * (h > 0)
    dw1 = x.T @ dh
    return {"x": dh @ w1.T, "mu1": dw1, "rho1": dw1 * eps1 * expit(rho1),
            "mu2": dw2, "rho2": dw2 * eps2 * expit(rho2)}


def make_bayes_mlp():
    rng = np.random.default_rng(23)
    return dict(forward=bayes_mlp_forward, backward=bayes_mlp_backward, inputs={
        "x": rng.normal(size=(4, 3)), "mu1": rng.normal(size=(3, 5)), "rho1": rng.normal(size=(3, 5)) - 1,
        "mu2": rng.normal(size=(5, 2)), "rho2": rng.normal(size=(5, 2)) - 1})


ITEMS.append(Item(
    "bayes_by_backprop_mlp", "research repository (Bayes by Backprop)", "vjp", make_bayes_mlp, False,
    "eps1 and eps2 are drawn anew inside of the forward; they should be arguments",
    ("x", "mu1", "rho1", "mu2", "rho2"), ("noise-redrawn",)))


# ---------------------------------------------------------------- encoder and decoder

def seq2seq_forward(src, tgt, enc_Wx, enc_Wh, enc_b, dec_Wx, dec_Wh, dec_b, V, c):
    """src (B, S, D) is read into a state that starts the decoder on tgt (B, T, D). Logits (B, T, K)."""
    h = np.zeros((src.shape[0], enc_Wh.shape[0]))
    enc_h = [h]
    for t in range(src.shape[1]):
        h = np.tanh(src[:, t] @ enc_Wx + h @ enc_Wh + enc_b)
        enc_h.append(h)
    dec_h = [h]
    for t in range(tgt.shape[1]):
        h = np.tanh(tgt[:, t] @ dec_Wx + h @ dec_Wh + dec_b)
        dec_h.append(h)
    logits = np.stack(dec_h[1:], axis=1) @ V + c
    return logits, (src, tgt, enc_h, dec_h, enc_Wx, enc_Wh, dec_Wx, dec_Wh, V)


def seq2seq_backward(dlogits, cache):
    src, tgt, enc_h, dec_h, enc_Wx, enc_Wh, dec_Wx, dec_Wh, V = cache
    grads = {"src": np.zeros_like(src), "tgt": np.zeros_like(tgt),
             "enc_Wx": np.zeros_like(enc_Wx), "enc_Wh": np.zeros_like(enc_Wh), "enc_b": np.zeros(enc_Wh.shape[0]),
             "dec_Wx": np.zeros_like(dec_Wx), "dec_Wh": np.zeros_like(dec_Wh), "dec_b": np.zeros(dec_Wh.shape[0])}
    grads["V"] = np.einsum("bth,btk->hk", np.stack(dec_h[1:], axis=1), dlogits)
    grads["c"] = dlogits.sum(axis=(0, 1))
    # decoder
    dh = np.zeros_like(dec_h[0])
    for t in reversed(range(tgt.shape[1])):
        da = (dh + dlogits[:, t] @ V.T) * (1 - dec_h[t + 1] ** 2)
        grads["dec_Wx"] += tgt[:, t].T @ da
        grads["dec_Wh"] += dec_h[t].T @ da
        grads["dec_b"] += da.sum(axis=0)
        grads["tgt"][:, t] = da @ dec_Wx.T
        dh = da @ dec_Wh.T
    # encoder
    dh = np.zeros_like(enc_h[0])
    for t in reversed(range(src.shape[1])):
        da = dh * (1 - enc_h[t + 1] ** 2)
        grads["enc_Wx"] += src[:, t].T @ da
        grads["enc_Wh"] += enc_h[t].T @ da
        grads["enc_b"] += da.sum(axis=0)
        grads["src"][:, t] = da @ enc_Wx.T
        dh = da @ enc_Wh.T
    return grads


def make_seq2seq():
    rng = np.random.default_rng(24)
    n = rng.normal
    B, S, T, D, H, K = 3, 3, 2, 2, 4, 3
    return dict(forward=seq2seq_forward, backward=seq2seq_backward, inputs={
        "src": n(size=(B, S, D)), "tgt": n(size=(B, T, D)),
        "enc_Wx": n(size=(D, H)), "enc_Wh": 0.5 * n(size=(H, H)), "enc_b": 0.2 * n(size=H),
        "dec_Wx": n(size=(D, H)), "dec_Wh": 0.5 * n(size=(H, H)), "dec_b": 0.2 * n(size=H),
        "V": n(size=(H, K)), "c": n(size=K)})


ITEMS.append(Item(
    "seq2seq_encoder", "research repository (seq2seq)", "vjp", make_seq2seq, False,
    "dh is set to zero between decoder and encoder; the decoder's dh should go on into the encoder",
    ("src", "enc_Wx", "enc_Wh", "enc_b"), ("zero", "missing-term")))


# ---------------------------------------------------------------- GRU over time, gates in PyTorch's order

class GRUFunction:
    """x (T, B, I), weights (3H, I) and (3H, H), gates r, z, n; n = tanh(W x + b + r * (U h + c))."""

    @staticmethod
    def forward(x, h0, weight_ih, weight_hh, bias_ih, bias_hh):
        T = x.shape[0]
        h = h0
        outputs, saved = [], []
        for t in range(T):
            gi = x[t] @ weight_ih.T + bias_ih
            gh = h @ weight_hh.T + bias_hh
            i_r, i_z, i_n = np.split(gi, 3, axis=1)
            h_r, h_z, h_n = np.split(gh, 3, axis=1)
            r = expit(i_r + h_r)
            z = expit(i_z + h_z)
            n = np.tanh(i_n + r * h_n)
            saved.append((h, r, z, n, h_n))
            h = n + z * (h - n)
            outputs.append(h)
        return np.stack(outputs), (x, weight_ih, weight_hh, saved)

    @staticmethod
    def backward(grad_output, ctx):
        x, weight_ih, weight_hh, saved = ctx
        grad_x = np.empty_like(x)
        grad_wih, grad_whh = np.zeros_like(weight_ih), np.zeros_like(weight_hh)
        grad_bih, grad_bhh = np.zeros(weight_ih.shape[0]), np.zeros(weight_hh.shape[0])
        grad_h = np.zeros_like(saved[0][0])
        for t in range(len(x) - 1, -1, -1):
            h, r, z, n, h_n = saved[t]
            grad_h = grad_h + grad_output[t]
            d_n = grad_h * (1 - z) * (1 - n * n)
            d_z = grad_h * (h - n) * z * (1 - z)
            d_r = d_n * h_n * r * (1 - r)
            d_gi = np.concatenate([d_r, d_z, d_n], axis=1)
            d_gh = np.concatenate([d_r, d_z, d_n * r], axis=1)
            grad_wih += d_gi.T @ x[t]
            grad_whh += d_gh.T @ h
            grad_bih += d_gi.sum(0)
            grad_bhh += d_gh.sum(0)
            grad_x[t] = d_gi @ weight_ih
            grad_h = grad_h * z + d_gh @ weight_hh
        return grad_x, grad_h, grad_wih, grad_whh, grad_bih, grad_bhh


def make_gru():
    rng = np.random.default_rng(30)
    T, B, n_in, H = 4, 2, 3, 3
    n = rng.normal
    return dict(forward=GRUFunction.forward, backward=GRUFunction.backward, inputs={
        "x": n(size=(T, B, n_in)), "h0": n(size=(B, H)), "weight_ih": 0.7 * n(size=(3 * H, n_in)),
        "weight_hh": 0.7 * n(size=(3 * H, H)), "bias_ih": 0.2 * n(size=3 * H), "bias_hh": 0.2 * n(size=3 * H)})


ITEMS.append(Item("gru_over_time", "PyTorch autograd.Function port", "vjp", make_gru, True))


# ---------------------------------------------------------------- factorization machine

def fm_loss(X, w0, w, V, y, reg_v):
    """Logistic loss of a second order factorization machine, y in {-1, 1}; sum over rows plus reg_v |V|^2."""
    XV = X @ V
    pred = w0 + X @ w + 0.5 * (XV ** 2 - (X ** 2) @ (V ** 2)).sum(axis=1)
    loss = np.logaddexp(0, -y * pred).sum() + reg_v * (V ** 2).sum()
    return loss, (X, w, V, XV, pred, y, reg_v)


def fm_grad(dloss, cache):
    X, w, V, XV, pred, y, reg_v = cache
    g = -dloss * y * expit(-y * pred)
    grad_V = X.T @ (g[:, None] * XV) - V * ((X ** 2).T @ g)[:, None] + 2 * reg_v * dloss * V
    grad_X = g[:, None] * (w + XV @ V.T - X * (V ** 2).sum(axis=1))
    return {"X": grad_X, "w0": np.array([g.sum()]), "w": X.T @ g, "V": grad_V}


def make_fm():
    rng = np.random.RandomState(31)
    return dict(forward=fm_loss, backward=fm_grad, inputs={
        "X": rng.randn(6, 4), "w0": np.array([0.1]), "w": 0.5 * rng.randn(4), "V": 0.5 * rng.randn(4, 3)},
        constants={"y": np.array([1.0, -1.0, -1.0, 1.0, 1.0, -1.0]), "reg_v": 0.05})


ITEMS.append(Item("factorization_machine", "research repository (libFM port)", "vjp", make_fm, True))


# ---------------------------------------------------------------- linear chain CRF

def crf_nll(emissions, transitions, start, end, tags, mask):
    """emissions (B, T, K); mask (B, T) with ones first; transitions[i, j] from i to j. NLL (B,)."""
    B, T, K = emissions.shape
    rows = np.arange(B)
    last = mask.sum(axis=1).astype(int) - 1
    alphas = np.zeros((B, T, K))
    alphas[:, 0] = start + emissions[:, 0]
    score = start[tags[:, 0]] + emissions[rows, 0, tags[:, 0]]
    for t in range(1, T):
        m = mask[:, t]
        step = logsumexp(alphas[:, t - 1, :, None] + transitions, axis=1) + emissions[:, t]
        alphas[:, t] = np.where(m[:, None] > 0, step, alphas[:, t - 1])
        score = score + m * (transitions[tags[:, t - 1], tags[:, t]] + emissions[rows, t, tags[:, t]])
    score = score + end[tags[rows, last]]
    log_z = logsumexp(alphas[:, -1] + end, axis=1)
    return log_z - score, (emissions, transitions, end, alphas, log_z, tags, mask, last)


def crf_nll_backward(dnll, cache):
    emissions, transitions, end, alphas, log_z, tags, mask, last = cache
    B, T, K = emissions.shape
    rows = np.arange(B)
    d_em, d_tr = np.zeros_like(emissions), np.zeros_like(transitions)
    d_start = np.zeros(K)
    # partition function
    d_alpha = dnll[:, None] * np.exp(alphas[:, -1] + end - log_z[:, None])
    d_end = d_alpha.sum(axis=0)
    for t in range(T - 1, 0, -1):
        on = mask[:, t][:, None]
        d_step = on * d_alpha
        d_em[:, t] += d_step
        scores = alphas[:, t - 1, :, None] + transitions
        p = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
        pair = p * d_step[:, None, :]
        d_tr += pair.sum(axis=0)
        d_alpha = (1 - on) * d_alpha + pair.sum(axis=2)
    d_em[:, 0] += d_alpha
    d_start += d_alpha.sum(axis=0)
    # gold path
    np.add.at(d_start, tags[:, 0], -dnll)
    d_em[rows, 0, tags[:, 0]] -= dnll
    for t in range(1, T):
        g = mask[:, t] * dnll
        np.add.at(d_tr, (tags[:, t - 1], tags[:, t]), -g)
        d_em[rows, t, tags[:, t]] -= g
    np.add.at(d_end, tags[rows, last], -dnll)
    return {"emissions": d_em, "transitions": d_tr, "start": d_start, "end": d_end}


def make_crf():
    rng = np.random.default_rng(32)
    B, T, K = 3, 4, 3
    return dict(forward=crf_nll, backward=crf_nll_backward, inputs={
        "emissions": rng.normal(size=(B, T, K)), "transitions": rng.normal(size=(K, K)),
        "start": rng.normal(size=K), "end": rng.normal(size=K)},
        constants={"tags": np.array([[0, 2, 1, 1], [1, 1, 0, 0], [2, 0, 2, 1]]),
                   "mask": np.array([[1.0, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])})


ITEMS.append(Item("crf_nll_masked", "research repository (sequence tagging)", "vjp", make_crf, True))


# ---------------------------------------------------------------- siamese net

class SiameseNet:
    """Contrastive loss of two inputs through the same layer, label 1 for a pair that belongs together."""

    def __init__(self, margin=1.0):
        self.margin = margin

    def embed(self, x, W, b):
        return np.tanh(x @ W + b)

    def forward(self, left, right, W, b, label):
        e1, e2 = self.embed(left, W, b), self.embed(right, W, b)
        diff = e1 - e2
        dist = np.sqrt(np.sum(diff ** 2, axis=1))
        gap = np.maximum(self.margin - dist, 0)
        loss = np.mean(label * dist ** 2 + (1 - label) * gap ** 2)
        return loss, (left, right, W, e1, e2, diff, dist, gap, label)

    def backward(self, grad, cache):
        left, right, W, e1, e2, diff, dist, gap, label = cache
        grad_dist = grad * 2 * (label * dist - (1 - label) * gap) / len(label)
        grad_diff = (grad_dist / dist)[:, None] * diff
        grad_a1 = grad_diff * (1 - e1 ** 2)
        grad_a2 = -grad_diff * (1 - e2 ** 2)
        return {"left": grad_a1 @ W.T, "right": grad_a2 @ W.T,
                "W": left.T @ grad_a1 + right.T @ grad_a2, "b": (grad_a1 + grad_a2).sum(axis=0)}


def make_siamese():
    rng = np.random.RandomState(33)
    net = SiameseNet(margin=2.0)
    return dict(forward=net.forward, backward=net.backward, inputs={
        "left": rng.randn(5, 3), "right": rng.randn(5, 3), "W": rng.randn(3, 4), "b": 0.3 * rng.randn(4)},
        constants={"label": np.array([1.0, 0.0, 0.0, 1.0, 0.0])})


ITEMS.append(Item("siamese_contrastive", "Keras-like library", "vjp", make_siamese, True))


# ---------------------------------------------------------------- spatial transformer

def spatial_transform(image, theta):
    """image (B, H, W, C), theta (B, 2, 3): affine grid (align_corners) and bilinear sampling, zeros outside."""
    B, H, W, C = image.shape
    ys, xs = np.meshgrid(np.linspace(-1, 1, H), np.linspace(-1, 1, W), indexing="ij")
    base = np.stack([xs.ravel(), ys.ravel(), np.ones(H * W)])
    grid = theta @ base
    px = 0.5 * (grid[:, 0] + 1) * (W - 1)
    py = 0.5 * (grid[:, 1] + 1) * (H - 1)
    x0, y0 = np.floor(px).astype(int), np.floor(py).astype(int)
    fx, fy = px - x0, py - y0
    b = np.arange(B)[:, None]
    corners = []
    out = np.zeros((B, H * W, C))
    for dy in (0, 1):
        for dx in (0, 1):
            xi, yi = x0 + dx, y0 + dy
            inside = (xi >= 0) & (xi < W) & (yi >= 0) & (yi < H)
            xc, yc = np.clip(xi, 0, W - 1), np.clip(yi, 0, H - 1)
            value = image[b, yc, xc] * inside[..., None]
            wx = fx if dx else 1 - fx
            wy = fy if dy else 1 - fy
            out += (wx * wy)[..., None] * value
            corners.append((dy, dx, inside, xc, yc, value, wx, wy))
    return out.reshape(B, H, W, C), (image.shape, base, corners)


def spatial_transform_backward(dout, cache):
    (B, H, W, C), base, corners = cache
    dout = dout.reshape(B, H * W, C)
    b = np.arange(B)[:, None]
    dimage = np.zeros((B, H, W, C))
    dpx = np.zeros((B, H * W))
    dpy = np.zeros((B, H * W))
    for dy, dx, inside, xc, yc, value, wx, wy in corners:
        np.add.at(dimage, (b, yc, xc), dout * (wx * wy * inside)[..., None])
        along = (dout * value).sum(-1)
        dpx += (1 if dx else -1) * wy * along
        dpy += (1 if dy else -1) * wx * along
    dgrid = np.stack([dpx * 0.5 * (W - 1), dpy * 0.5 * (H - 1)], axis=1)
    return {"image": dimage, "theta": dgrid @ base.T}


def make_spatial_transform():
    rng = np.random.default_rng(105)
    theta = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]) * 0.8 + 0.2 * rng.normal(size=(2, 2, 3))
    return dict(forward=spatial_transform, backward=spatial_transform_backward,
                inputs={"image": rng.normal(size=(2, 4, 5, 2)), "theta": theta})


ITEMS.append(Item("spatial_transformer", "TensorFlow port (spatial transformer)", "vjp", make_spatial_transform, True))


# ---------------------------------------------------------------- character RNN

def lossFun(Wxh, Whh, Why, bh, by, hprev, inputs, targets):
    """inputs, targets are lists of integers; columns are vectors."""
    vocab_size = Wxh.shape[1]
    xs, hs, ps = {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((vocab_size, 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        y = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(y) / np.sum(np.exp(y))
        loss += -np.log(ps[t][targets[t], 0])
    return loss, (Whh, Why, xs, hs, ps, inputs, targets, Wxh.shape)


def lossFun_backward(dloss, cache):
    Whh, Why, xs, hs, ps, inputs, targets, wxh_shape = cache
    dWxh, dWhh, dWhy = np.zeros(wxh_shape), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros((Whh.shape[0], 1)), np.zeros((Why.shape[0], 1))
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
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
        dhnext = np.dot(Whh.T, dhraw)
    return dWxh, dWhh, dWhy, dbh, dby, dhnext


def make_char_rnn():
    rng = np.random.RandomState(35)
    V, H = 4, 5
    return dict(forward=lossFun, backward=lossFun_backward, inputs={
        "Wxh": 0.6 * rng.randn(H, V), "Whh": 0.5 * rng.randn(H, H), "Why": 0.6 * rng.randn(V, H),
        "bh": 0.1 * rng.randn(H, 1), "by": 0.1 * rng.randn(V, 1), "hprev": 0.5 * rng.randn(H, 1)},
        constants={"inputs": [0, 3, 1, 1, 2], "targets": [3, 1, 1, 2, 0]})


ITEMS.append(Item("char_rnn", "Karpathy gist", "vjp", make_char_rnn, True))


# ---------------------------------------------------------------- fully connected net with batch normalization

def affine_bn_relu_forward(x, w, gamma, beta, eps):
    a = x.dot(w)
    mu = a.mean(axis=0)
    xmu = a - mu
    ivar = 1.0 / np.sqrt((xmu ** 2).mean(axis=0) + eps)
    xhat = xmu * ivar
    out = np.maximum(0, gamma * xhat + beta)
    return out, (x, w, gamma, xhat, ivar, out)


def affine_bn_relu_backward(dout, cache):
    x, w, gamma, xhat, ivar, out = cache
    N = x.shape[0]
    dout = dout * (out > 0)
    dgamma = np.sum(dout * xhat, axis=0)
    dbeta = np.sum(dout, axis=0)
    da = gamma * ivar / N * (N * dout - dbeta - xhat * dgamma)
    return da.dot(w.T), x.T.dot(da), dgamma, dbeta


def fc_net_loss(X, params, y, reg, eps=1e-5):
    caches = []
    h = X
    for i in ("1", "2"):
        h, c = affine_bn_relu_forward(h, params["W" + i], params["gamma" + i], params["beta" + i], eps)
        caches.append(c)
    scores = h.dot(params["W3"]) + params["b3"]
    logp = scores - logsumexp(scores, axis=1, keepdims=True)
    loss = -logp[np.arange(len(y)), y].mean()
    for i in ("1", "2", "3"):
        loss += 0.5 * reg * np.sum(params["W" + i] ** 2)
    return loss, (caches, h, logp, params, y, reg)


def fc_net_grads(dloss, cache):
    caches, h, logp, params, y, reg = cache
    grads = {}
    dscores = np.exp(logp)
    dscores[np.arange(len(y)), y] -= 1
    dscores *= dloss / len(y)
    grads["W3"], grads["b3"] = h.T.dot(dscores), dscores.sum(axis=0)
    dh = dscores.dot(params["W3"].T)
    for i, c in (("2", caches[1]), ("1", caches[0])):
        dh, grads["W" + i], grads["gamma" + i], grads["beta" + i] = affine_bn_relu_backward(dh, c)
    for i in ("1", "2", "3"):
        grads["W" + i] += dloss * reg * params["W" + i]
    return {"X": dh, "params": grads}


def make_fc_net():
    rng = np.random.RandomState(37)
    dims = [4, 5, 4]
    params = {}
    for i in (1, 2):
        params["W%d" % i] = 0.6 * rng.randn(dims[i - 1], dims[i])
        params["gamma%d" % i] = 1 + 0.2 * rng.randn(dims[i])
        params["beta%d" % i] = 0.4 * rng.randn(dims[i])
    params["W3"], params["b3"] = 0.6 * rng.randn(dims[2], 3), 0.1 * rng.randn(3)
    return dict(forward=fc_net_loss, backward=fc_net_grads, inputs={"X": rng.randn(6, 4), "params": params},
                constants={"y": np.array([1, 0, 2, 2, 1, 0]), "reg": 0.1})


ITEMS.append(Item("fc_net_batchnorm", "CS231n assignment", "vjp", make_fc_net, True))


# ---------------------------------------------------------------- transformer encoder layer, norm after the sum

def layer_norm(x, gain, shift, eps=1e-6):
    centred = x - x.mean(-1, keepdims=True)
    std = np.sqrt((centred ** 2).mean(-1, keepdims=True) + eps)
    return gain * centred / std + shift, (centred / std, std, gain)


def layer_norm_backward(dy, cache):
    n, std, gain = cache
    dn = dy * gain
    dx = (dn - dn.mean(-1, keepdims=True) - n * (dn * n).mean(-1, keepdims=True)) / std
    return dx, np.einsum("btd,btd->d", dy, n), np.einsum("btd->d", dy)


def encoder_layer(x, p, mask, heads):
    """x (B, T, D); mask (B, T) is one for a word and zero for padding."""
    d_k = x.shape[-1] // heads
    q = np.einsum("btd,dhk->bhtk", x, p["wq"])
    k = np.einsum("btd,dhk->bhtk", x, p["wk"])
    v = np.einsum("btd,dhk->bhtk", x, p["wv"])
    scores = np.einsum("bhtk,bhsk->bhts", q, k) / np.sqrt(d_k)
    scores = np.where(mask[:, None, None, :] > 0, scores, -1e9)
    attn = np.exp(scores - logsumexp(scores, axis=-1, keepdims=True))
    ctx = np.einsum("bhts,bhsk->bhtk", attn, v)
    sub = np.einsum("bhtk,hkd->btd", ctx, p["wo"])
    x1, norm1 = layer_norm(x + sub, p["g1"], p["s1"])
    pre = x1 @ p["w1"] + p["c1"]
    inner = np.sqrt(2 / np.pi) * (pre + 0.044715 * pre ** 3)
    th = np.tanh(inner)
    act = 0.5 * pre * (1 + th)
    y, norm2 = layer_norm(x1 + act @ p["w2"] + p["c2"], p["g2"], p["s2"])
    return y, (x, p, q, k, v, attn, ctx, norm1, x1, pre, th, act, norm2, d_k)


def encoder_layer_backward(dy, cache):
    x, p, q, k, v, attn, ctx, norm1, x1, pre, th, act, norm2, d_k = cache
    g = {}
    dsum2, g["g2"], g["s2"] = layer_norm_backward(dy, norm2)
    g["w2"] = np.einsum("bti,btj->ij", act, dsum2)
    g["c2"] = dsum2.sum((0, 1))
    dact = dsum2 @ p["w2"].T
    dinner = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * pre ** 2)
    dpre = dact * (0.5 * (1 + th) + 0.5 * pre * (1 - th ** 2) * dinner)
    g["w1"] = np.einsum("bti,btj->ij", x1, dpre)
    g["c1"] = dpre.sum((0, 1))
    dsum1, g["g1"], g["s1"] = layer_norm_backward(dsum2 + dpre @ p["w1"].T, norm1)
    g["wo"] = np.einsum("bhtk,btd->hkd", ctx, dsum1)
    dctx = np.einsum("btd,hkd->bhtk", dsum1, p["wo"])
    dattn = np.einsum("bhtk,bhsk->bhts", dctx, v)
    dv = np.einsum("bhts,bhtk->bhsk", attn, dctx)
    dscores = attn * (dattn - np.einsum("bhts,bhts->bht", attn, dattn)[..., None]) / np.sqrt(d_k)
    dq = np.einsum("bhts,bhsk->bhtk", dscores, k)
    dk = np.einsum("bhts,bhtk->bhsk", dscores, q)
    dx = dsum1.copy()
    for name, d in (("wq", dq), ("wk", dk), ("wv", dv)):
        g[name] = np.einsum("btd,bhtk->dhk", x, d)
        dx += np.einsum("bhtk,dhk->btd", d, p[name])
    return {"x": dx, "p": g}


def make_encoder_layer():
    rng = np.random.default_rng(37)
    n = rng.normal
    B, T, D, heads, F = 2, 3, 4, 2, 5
    p = {w: 0.6 * n(size=(D, heads, D // heads)) for w in ("wq", "wk", "wv")}
    p.update(wo=0.6 * n(size=(heads, D // heads, D)), w1=0.6 * n(size=(D, F)), c1=0.2 * n(size=F),
             w2=0.6 * n(size=(F, D)), c2=0.2 * n(size=D))
    for i in "12":
        p["g" + i], p["s" + i] = 1 + 0.2 * n(size=D), 0.2 * n(size=D)
    return dict(forward=encoder_layer, backward=encoder_layer_backward, inputs={"x": n(size=(B, T, D)), "p": p},
                constants={"mask": np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]), "heads": heads})


ITEMS.append(Item("encoder_layer_post_norm", "Annotated Transformer port", "vjp", make_encoder_layer, True))


# ---------------------------------------------------------------- HMM, scaled forward algorithm

def hmm_log_likelihood(logit_pi, logit_A, logit_B, seqs):
    """seqs (N, T) of symbols; rows of softmax(logit_A) and softmax(logit_B) are distributions. (N,)"""
    pi = np.exp(logit_pi - logsumexp(logit_pi))
    A = np.exp(logit_A - logsumexp(logit_A, axis=1, keepdims=True))
    Bm = np.exp(logit_B - logsumexp(logit_B, axis=1, keepdims=True))
    a = pi * Bm[:, seqs[:, 0]].T
    saved = []
    ll = np.zeros(len(seqs))
    for t in range(seqs.shape[1]):
        if t > 0:
            a = (alpha @ A) * Bm[:, seqs[:, t]].T
        scale = a.sum(axis=1, keepdims=True)
        alpha = a / scale
        ll = ll + np.log(scale[:, 0])
        saved.append((alpha, scale))
    return ll, (pi, A, Bm, saved, seqs)


def hmm_log_likelihood_vjp(g, res):
    pi, A, Bm, saved, seqs = res
    g_A, g_B = np.zeros_like(A), np.zeros_like(Bm)
    g_alpha = np.zeros_like(saved[0][0])
    for t in range(seqs.shape[1] - 1, -1, -1):
        alpha, scale = saved[t]
        g_a = (g_alpha + g[:, None] - (g_alpha * alpha).sum(axis=1, keepdims=True)) / scale
        emit = Bm[:, seqs[:, t]].T
        before = saved[t - 1][0] @ A if t > 0 else np.broadcast_to(pi, emit.shape)
        np.add.at(g_B.T, seqs[:, t], g_a * before)
        g_pred = g_a * emit
        if t > 0:
            g_A += saved[t - 1][0].T @ g_pred
            g_alpha = g_pred @ A.T
        else:
            g_pi = g_pred.sum(axis=0)

    def softmax_vjp(p, gp):
        return p * (gp - (gp * p).sum(axis=-1, keepdims=True))

    return {"logit_pi": softmax_vjp(pi, g_pi), "logit_A": softmax_vjp(A, g_A), "logit_B": softmax_vjp(Bm, g_B)}


def make_hmm():
    rng = np.random.default_rng(38)
    return dict(forward=hmm_log_likelihood, backward=hmm_log_likelihood_vjp, inputs={
        "logit_pi": rng.normal(size=3), "logit_A": rng.normal(size=(3, 3)), "logit_B": rng.normal(size=(3, 4))},
        constants={"seqs": np.array([[0, 2, 1, 3, 3], [1, 1, 0, 2, 1]])})


ITEMS.append(Item("hmm_scaled_forward", "JAX/TFP port", "vjp", make_hmm, True))


# ---------------------------------------------------------------- advantage actor critic

class ActorCritic:
    """Shared body, policy and value heads; the advantage counts as a constant of the policy's term."""

    def __init__(self, vf_coef=0.5, ent_coef=0.05):
        self.vf_coef, self.ent_coef = vf_coef, ent_coef

    def loss(self, obs, W, Wp, bp, Wv, bv, actions, returns, advantages):
        n = len(actions)
        h = np.tanh(obs @ W)
        logits = h @ Wp + bp
        logp = logits - logsumexp(logits, axis=1, keepdims=True)
        p = np.exp(logp)
        value = h @ Wv + bv
        entropy = -(p * logp).sum(axis=1)
        pg_loss = -(logp[np.arange(n), actions] * advantages).mean()
        vf_loss = ((value - returns) ** 2).mean()
        total = pg_loss + self.vf_coef * vf_loss - self.ent_coef * entropy.mean()
        return total, (obs, W, Wp, Wv, h, logp, p, value, entropy, actions, returns, advantages)

    def grads(self, dloss, cache):
        obs, W, Wp, Wv, h, logp, p, value, entropy, actions, returns, advantages = cache
        n = len(actions)
        d_logits = p * advantages[:, None]
        d_logits[np.arange(n), actions] -= advantages
        d_logits += self.ent_coef * p * (logp + entropy[:, None])
        d_logits *= dloss / n
        d_value = dloss * self.vf_coef * 2 * (value - returns) / n
        dh = d_logits @ Wp.T + np.outer(d_value, Wv)
        dz = dh * (1 - h * h)
        return {"obs": dz @ W.T, "W": obs.T @ dz, "Wp": h.T @ d_logits, "bp": d_logits.sum(axis=0),
                "Wv": h.T @ d_value, "bv": np.array([d_value.sum()])}


def make_actor_critic():
    rng = np.random.RandomState(39)
    net = ActorCritic()
    return dict(forward=net.loss, backward=net.grads, inputs={
        "obs": rng.randn(5, 3), "W": rng.randn(3, 4), "Wp": rng.randn(4, 3), "bp": 0.2 * rng.randn(3),
        "Wv": rng.randn(4), "bv": 0.2 * rng.randn(1)},
        constants={"actions": np.array([2, 0, 1, 1, 0]), "returns": rng.randn(5), "advantages": rng.randn(5)})


ITEMS.append(Item("actor_critic_loss", "reinforcement learning library (baselines manner)", "vjp",
                  make_actor_critic, True))


# ---------------------------------------------------------------- mixture density network

def mdn_nll(x, W1, b1, W2, b2, t, K=3):
    """Bishop's mixture density network for a scalar target: mean negative log-likelihood."""
    h = np.tanh(np.dot(x, W1) + b1)
    out = np.dot(h, W2) + b2
    logit, mu, log_sigma = out[:, :K], out[:, K:2 * K], out[:, 2 * K:]
    log_pi = logit - logsumexp(logit, axis=1, keepdims=True)
    sigma = np.exp(log_sigma)
    log_phi = -0.5 * ((t[:, None] - mu) / sigma) ** 2 - log_sigma - 0.5 * np.log(2 * np.pi)
    log_p = logsumexp(log_pi + log_phi, axis=1)
    gamma = np.exp(log_pi + log_phi - log_p[:, None])
    return -np.mean(log_p), (x, W1, W2, h, log_pi, mu, sigma, gamma, t)


def mdn_nll_grad(dE, cache):
    x, W1, W2, h, log_pi, mu, sigma, gamma, t = cache
    err = mu - t[:, None]
    delta = np.concatenate([
        np.exp(log_pi) - gamma,
        gamma * err / sigma ** 2,
        -gamma * (err ** 2 / sigma ** 2 - 1),
    ], axis=1) * dE / len(t)
    delta_h = np.dot(delta, W2.T) * (1 - h ** 2)
    return (np.dot(delta_h, W1.T), np.dot(x.T, delta_h), np.sum(delta_h, axis=0),
            np.dot(h.T, delta), np.sum(delta, axis=0))


def make_mdn():
    rng = np.random.RandomState(40)
    return dict(forward=mdn_nll, backward=mdn_nll_grad, inputs={
        "x": rng.randn(6, 2), "W1": rng.randn(2, 4), "b1": 0.3 * rng.randn(4), "W2": 0.5 * rng.randn(4, 9),
        "b2": 0.3 * rng.randn(9)}, constants={"t": rng.randn(6), "K": 3})


ITEMS.append(Item("mixture_density_network", "machine learning book (Bishop)", "vjp", make_mdn, True))


# ---------------------------------------------------------------- Sinkhorn distance

def sinkhorn_cost(x, y, a, b, eps=0.5, iters=4):
    """Transport cost <P, C> after some log-domain iterations between clouds x (n, d) and y (m, d)."""
    delta = x[:, None, :] - y[None, :, :]
    C = (delta ** 2).sum(-1)
    f, g = np.zeros(len(x)), np.zeros(len(y))
    tape = []
    for _ in range(iters):
        u = (g[None, :] - C) / eps
        f = eps * (np.log(a) - logsumexp(u, axis=1))
        v = (f[:, None] - C) / eps
        g = eps * (np.log(b) - logsumexp(v, axis=0))
        tape.append((np.exp(u - logsumexp(u, axis=1, keepdims=True)),
                     np.exp(v - logsumexp(v, axis=0, keepdims=True))))
    P = np.exp((f[:, None] + g[None, :] - C) / eps)
    return (P * C).sum(), (delta, C, P, tape, eps)


def sinkhorn_cost_backward(dcost, cache):
    delta, C, P, tape, eps = cache
    gP = dcost * C * P / eps
    gC = dcost * P - gP
    gf, gg = gP.sum(axis=1), gP.sum(axis=0)
    for softmax_u, softmax_v in tape[::-1]:
        # g = eps log b - eps lse(v), v = (f - C) / eps
        gv = -softmax_v * gg[None, :]
        gf = gf + gv.sum(axis=1)
        gC = gC - gv
        # f = eps log a - eps lse(u), u = (g - C) / eps
        gu = -softmax_u * gf[:, None]
        gg = gu.sum(axis=0)
        gC = gC - gu
        gf = np.zeros_like(gf)
    gdelta = 2 * gC[:, :, None] * delta
    return gdelta.sum(axis=1), -gdelta.sum(axis=0)


def make_sinkhorn():
    rng = np.random.default_rng(41)
    return dict(forward=sinkhorn_cost, backward=sinkhorn_cost_backward,
                inputs={"x": rng.normal(size=(4, 2)), "y": rng.normal(size=(3, 2))},
                constants={"a": np.array([0.1, 0.4, 0.3, 0.2]), "b": np.array([0.5, 0.2, 0.3]), "eps": 0.5,
                           "iters": 4})


ITEMS.append(Item("sinkhorn_unrolled", "research repository (optimal transport)", "vjp", make_sinkhorn, True))


# ---------------------------------------------------------------- Catmull-Rom curve

_CATMULL_ROM = 0.5 * np.array([[0.0, 2.0, 0.0, 0.0], [-1.0, 0.0, 1.0, 0.0],
                               [2.0, -5.0, 4.0, -1.0], [-1.0, 3.0, -3.0, 1.0]])


def catmull_rom(points, t):
    """Curve through control points (P, D) at parameters t (N,) in [0, P - 1], ends repeated."""
    n = len(points)
    seg = np.clip(np.floor(t).astype(int), 0, n - 2)
    u = t - seg
    idx = np.clip(seg[:, None] + np.arange(-1, 3), 0, n - 1)
    powers = np.stack([np.ones_like(u), u, u ** 2, u ** 3], axis=1)
    ctrl = points[idx]
    curve = np.einsum("nk,nkd->nd", powers @ _CATMULL_ROM, ctrl)
    return curve, (points.shape, u, idx, powers, ctrl)


def catmull_rom_backward(dcurve, cache):
    shape, u, idx, powers, ctrl = cache
    weights = powers @ _CATMULL_ROM
    dpoints = np.zeros(shape)
    np.add.at(dpoints, idx, weights[:, :, None] * dcurve[:, None, :])
    dpowers = np.einsum("nd,nkd->nk", dcurve, ctrl) @ _CATMULL_ROM.T
    dt = dpowers[:, 1] + 2 * u * dpowers[:, 2] + 3 * u ** 2 * dpowers[:, 3]
    return {"points": dpoints, "t": dt}


def make_catmull_rom():
    rng = np.random.default_rng(42)
    return dict(forward=catmull_rom, backward=catmull_rom_backward,
                inputs={"points": rng.normal(size=(6, 2)), "t": np.array([0.3, 1.7, 2.2, 3.9, 4.6])})


ITEMS.append(Item("catmull_rom_spline", "graphics repository (animation curves)", "vjp", make_catmull_rom, True))


# ---------------------------------------------------------------- critic's loss with gradient penalty

def critic_loss(W, b, v, real, fake, mix, lam=10.0):
    """WGAN-GP of the critic tanh(x W + b) v; mix (B, 1) blends real and fake for the penalty."""
    blend = mix * real + (1 - mix) * fake
    h_real, h_fake, h_mid = np.tanh(real @ W + b), np.tanh(fake @ W + b), np.tanh(blend @ W + b)
    slope = 1 - h_mid ** 2
    grad_x = (slope * v) @ W.T
    norm = np.sqrt((grad_x ** 2).sum(axis=1))
    loss = (h_fake @ v).mean() - (h_real @ v).mean() + lam * ((norm - 1) ** 2).mean()
    return loss, (W, v, real, fake, blend, h_real, h_fake, h_mid, slope, grad_x, norm, lam)


def critic_loss_backward(dloss, cache):
    W, v, real, fake, blend, h_real, h_fake, h_mid, slope, grad_x, norm, lam = cache
    m = len(real)
    dW, db, dv = np.zeros_like(W), np.zeros(W.shape[1]), np.zeros_like(v)
    for x, h, sign in ((fake, h_fake, 1.0), (real, h_real, -1.0)):
        dv += sign * dloss * h.mean(axis=0)
        dpre = sign * dloss / m * v * (1 - h ** 2)
        dW += x.T @ dpre
        db += dpre.sum(axis=0)
    # penalty, differentiated a second time
    dnorm = dloss * lam * 2 * (norm - 1) / m
    dgrad_x = (dnorm / norm)[:, None] * grad_x
    dW += dgrad_x.T @ (slope * v)
    dsv = dgrad_x @ W
    dv += (dsv * slope).sum(axis=0)
    dh = -2 * h_mid * dsv * v
    dpre = dh * slope
    dW += blend.T @ dpre
    db += dpre.sum(axis=0)
    return {"W": dW, "b": db, "v": dv}


def make_critic():
    rng = np.random.default_rng(43)
    return dict(forward=critic_loss, backward=critic_loss_backward, inputs={
        "W": rng.normal(size=(3, 5)), "b": 0.3 * rng.normal(size=5), "v": rng.normal(size=5)},
        constants={"real": rng.normal(size=(4, 3)), "fake": rng.normal(size=(4, 3)) + 0.5,
                   "mix": rng.uniform(size=(4, 1)), "lam": 10.0})


ITEMS.append(Item("wgan_gp_critic", "research repository (WGAN-GP)", "vjp", make_critic, True))


# ---------------------------------------------------------------- CLIP

def clip_loss(image_emb, text_emb, W_image, W_text, log_scale):
    """Symmetric contrastive loss of normalized projections; log_scale of shape (1,)."""
    a, b = image_emb @ W_image, text_emb @ W_text
    na, nb = np.linalg.norm(a, axis=1, keepdims=True), np.linalg.norm(b, axis=1, keepdims=True)
    ua, ub = a / na, b / nb
    logits = np.exp(log_scale) * ua @ ub.T
    rows = logits - logsumexp(logits, axis=1, keepdims=True)
    cols = logits - logsumexp(logits, axis=0, keepdims=True)
    loss = -0.5 * (np.diag(rows).mean() + np.diag(cols).mean())
    return loss, (image_emb, text_emb, W_image, W_text, log_scale, ua, ub, na, nb, logits, rows, cols)


def clip_loss_backward(dloss, cache):
    image_emb, text_emb, W_image, W_text, log_scale, ua, ub, na, nb, logits, rows, cols = cache
    n = len(ua)
    dlogits = 0.5 * dloss / n * (np.exp(rows) + np.exp(cols) - 2 * np.eye(n))
    scale = np.exp(log_scale)
    dua, dub = scale * dlogits @ ub, scale * dlogits.T @ ua
    da = (dua - ua * (dua * ua).sum(axis=1, keepdims=True)) / na
    db = (dub - ub * (dub * ub).sum(axis=1, keepdims=True)) / nb
    return {"image_emb": da @ W_image.T, "text_emb": db @ W_text.T, "W_image": image_emb.T @ da,
            "W_text": text_emb.T @ db, "log_scale": np.array([(dlogits * logits).sum()])}


def make_clip():
    rng = np.random.default_rng(44)
    n = rng.normal
    return dict(forward=clip_loss, backward=clip_loss_backward, inputs={
        "image_emb": n(size=(4, 3)), "text_emb": n(size=(4, 5)), "W_image": n(size=(3, 4)),
        "W_text": n(size=(5, 4)), "log_scale": np.array([0.7])})


ITEMS.append(Item("clip_contrastive", "research repository (CLIP)", "vjp", make_clip, True))
