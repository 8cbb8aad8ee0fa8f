"""Items for the check "vjp": layers, losses, normalisations, kernels, attention, convolutions and the like."""
from typing import Callable, NamedTuple

import numpy as np
from scipy.special import expit, logsumexp, log_softmax, softmax


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


def _add(name, style, forward, backward, args, right, slip="", wrong=(), causes=()):
    def make():
        inputs, constants = args()
        given = dict(forward=forward, backward=backward, inputs=inputs)
        if constants:
            given["constants"] = constants
        return given

    ITEMS.append(Item(name, style, "vjp", make, right, slip, tuple(wrong), tuple(causes)))


# ---------------------------------------------------------------- affine layer on flattened input


def affine_forward(x, w, b):
    """x: (N, d_1, ..., d_k), w: (D, M), b: (M,)"""
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    x_flat = x.reshape(x.shape[0], -1)
    dx = dout.dot(w.T)
    dw = x_flat.T.dot(dout)
    db = dout.sum(axis=0)
    return dx, dw, db


def _affine_args():
    rng = np.random.RandomState(231)
    return dict(x=rng.randn(3, 2, 3), w=rng.randn(6, 4), b=rng.randn(4)), {}


_add("affine-flat", "CS231n assignment", affine_forward, affine_backward, _affine_args, False,
     "dx keeps the flattened shape (N, D); it should be dout.dot(w.T).reshape(x.shape).", ("x",), ("shape",))


# ---------------------------------------------------------------- batch normalisation, step by step


def batchnorm_forward(x, gamma, beta, eps):
    mu = x.mean(axis=0)
    xmu = x - mu
    var = np.mean(xmu ** 2, axis=0)
    ivar = 1.0 / np.sqrt(var + eps)
    xhat = xmu * ivar
    return gamma * xhat + beta, (xhat, xmu, ivar, gamma)


def batchnorm_backward(dout, cache):
    xhat, xmu, ivar, gamma = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    dvar = np.sum(dxhat * xmu, axis=0) * -0.5 * ivar ** 3
    dx = dxhat * ivar + dvar * 2.0 * xmu / N
    return {"x": dx, "gamma": dgamma, "beta": dbeta}


def _batchnorm_args():
    rng = np.random.RandomState(7)
    return dict(x=2.0 * rng.randn(5, 4) + 1.0, gamma=rng.randn(4), beta=rng.randn(4)), dict(eps=1e-5)


_add("batchnorm-steps", "CS231n assignment", batchnorm_forward, batchnorm_backward, _batchnorm_args, False,
     "The path through the mean is left out of dx; with dmu = -np.sum(dxhat * ivar, axis=0) it needs + dmu / N.",
     ("x",), ("missing-term",))


# ---------------------------------------------------------------- naive convolution with stride and padding


def conv_forward_naive(x, w, b, stride, pad):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    Ho = 1 + (H + 2 * pad - HH) // stride
    Wo = 1 + (W + 2 * pad - WW) // stride
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = np.zeros((N, F, Ho, Wo))
    for n in range(N):
        for f in range(F):
            for i in range(Ho):
                for j in range(Wo):
                    win = xp[n, :, i * stride:i * stride + HH, j * stride:j * stride + WW]
                    out[n, f, i, j] = np.sum(win * w[f]) + b[f]
    return out, (xp, w, stride, pad, x.shape)


def conv_backward_naive(dout, cache):
    xp, w, stride, pad, xshape = cache
    F, _, HH, WW = w.shape
    N, _, Ho, Wo = dout.shape
    dxp = np.zeros_like(xp)
    dw = np.zeros_like(w)
    db = dout.sum(axis=(0, 2, 3))
    for n in range(N):
        for f in range(F):
            for i in range(Ho):
                for j in range(Wo):
                    win = xp[n, :, i * stride:i * stride + HH, j * stride:j * stride + WW]
                    dw[f] += win * dout[n, f, i, j]
                    dxp[n, :, i:i + HH, j:j + WW] += w[f] * dout[n, f, i, j]
    dx = dxp[:, :, pad:pad + xshape[2], pad:pad + xshape[3]]
    return dx, dw, db


def _conv_args():
    rng = np.random.RandomState(11)
    return dict(x=rng.randn(2, 2, 5, 5), w=rng.randn(2, 2, 3, 3), b=rng.randn(2)), dict(stride=2, pad=1)


_add("conv-naive-stride", "CS231n assignment", conv_forward_naive, conv_backward_naive, _conv_args, False,
     "The window of dxp forgets the stride: dxp[n, :, i*stride:i*stride+HH, j*stride:j*stride+WW] += w[f] * dout.",
     ("x",), ("transpose",))


# ---------------------------------------------------------------- overlapping max pooling


def max_pool_forward(x, size, stride):
    N, C, H, W = x.shape
    Ho, Wo = 1 + (H - size) // stride, 1 + (W - size) // stride
    out = np.zeros((N, C, Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            out[:, :, i, j] = x[:, :, i * stride:i * stride + size, j * stride:j * stride + size].max(axis=(2, 3))
    return out, (x, size, stride)


def max_pool_backward(dout, cache):
    x, size, stride = cache
    N, C, Ho, Wo = dout.shape
    dx = np.zeros_like(x)
    for n in range(N):
        for c in range(C):
            for i in range(Ho):
                for j in range(Wo):
                    r, s = i * stride, j * stride
                    win = x[n, c, r:r + size, s:s + size]
                    k, m = np.unravel_index(np.argmax(win), win.shape)
                    dx[n, c, r + k, s + m] = dout[n, c, i, j]
    return dx


def _max_pool_args():
    rng = np.random.RandomState(5)
    return dict(x=rng.permutation(50).reshape(2, 1, 5, 5) / 10.0 - 2.5), dict(size=3, stride=1)


_add("maxpool-overlap", "CS231n assignment", max_pool_forward, max_pool_backward, _max_pool_args, False,
     "A pixel that wins in several windows keeps only the last dout: dx[n, c, r + k, s + m] += dout[n, c, i, j].",
     ("x",), ("missing-term",))


# ---------------------------------------------------------------- multiclass hinge


def svm_loss_forward(scores, y):
    N = scores.shape[0]
    correct = scores[np.arange(N), y]
    margins = np.maximum(0, scores - correct[:, None] + 1.0)
    margins[np.arange(N), y] = 0
    return np.sum(margins) / N, (margins, y)


def svm_loss_backward(dloss, cache):
    margins, y = cache
    N = margins.shape[0]
    dscores = np.zeros_like(margins)
    dscores[margins > 0] = 1
    dscores[np.arange(N), y] -= 1
    return dloss * dscores / N


def _svm_args():
    rng = np.random.RandomState(3)
    return dict(scores=rng.randn(4, 5)), dict(y=np.array([0, 3, 1, 4]))


_add("svm-hinge", "CS231n assignment", svm_loss_forward, svm_loss_backward, _svm_args, False,
     "The right class gets -1 whatever the number of violated margins: dscores[np.arange(N), y] -= "
     "np.sum(margins > 0, axis=1).", ("scores",), ("elementwise-factor", "missing-term"))


# ---------------------------------------------------------------- one LSTM step


def lstm_step(x, hprev, cprev, WLSTM):
    d = hprev.shape[1]
    hin = np.concatenate([np.ones((x.shape[0], 1)), x, hprev], axis=1)
    ifog = hin.dot(WLSTM)
    ifogf = np.empty_like(ifog)
    ifogf[:, :3 * d] = 1.0 / (1.0 + np.exp(-ifog[:, :3 * d]))
    ifogf[:, 3 * d:] = np.tanh(ifog[:, 3 * d:])
    c = ifogf[:, :d] * ifogf[:, 3 * d:] + ifogf[:, d:2 * d] * cprev
    ct = np.tanh(c)
    h = ifogf[:, 2 * d:3 * d] * ct
    return np.concatenate([h, c], axis=1), (hin, ifogf, cprev, ct, WLSTM, d, x.shape[1])


def lstm_step_back(dhc, cache):
    hin, ifogf, cprev, ct, WLSTM, d, n = cache
    dh = dhc[:, :d]
    dc = dhc[:, d:] + (1 - ct ** 2) * ifogf[:, 2 * d:3 * d] * dh
    difogf = np.zeros_like(ifogf)
    difogf[:, 2 * d:3 * d] = ct * dh
    difogf[:, d:2 * d] = cprev * dc
    difogf[:, :d] = ifogf[:, 3 * d:] * dc
    difogf[:, 3 * d:] = ifogf[:, :d] * dc
    dcprev = ifogf[:, :d] * dc
    difog = np.zeros_like(ifogf)
    difog[:, 3 * d:] = (1 - ifogf[:, 3 * d:] ** 2) * difogf[:, 3 * d:]
    s = ifogf[:, :3 * d]
    difog[:, :3 * d] = s * (1.0 - s) * difogf[:, :3 * d]
    dW = hin.T.dot(difog)
    dhin = difog.dot(WLSTM.T)
    return {"x": dhin[:, 1:1 + n], "hprev": dhin[:, 1 + n:], "cprev": dcprev, "WLSTM": dW}


def _lstm_args():
    rng = np.random.RandomState(42)
    return dict(x=rng.randn(3, 2), hprev=rng.randn(3, 3), cprev=rng.randn(3, 3), WLSTM=0.6 * rng.randn(6, 12)), {}


_add("lstm-step", "Karpathy gist", lstm_step, lstm_step_back, _lstm_args, False,
     "dcprev is multiplied by the input gate; it should be the forget gate: dcprev = ifogf[:, d:2 * d] * dc.",
     ("cprev",), ("elementwise-factor",))


# ---------------------------------------------------------------- layer normalisation


class LayerNormFunction:
    @staticmethod
    def forward(input, weight, bias, eps):
        mean = input.mean(-1, keepdims=True)
        rstd = 1.0 / np.sqrt(input.var(-1, keepdims=True) + eps)
        normed = (input - mean) * rstd
        return normed * weight + bias, (normed, rstd, weight)

    @staticmethod
    def backward(grad_output, ctx):
        normed, rstd, weight = ctx
        grad_weight = (grad_output * normed).sum(0)
        grad_bias = grad_output.sum(0)
        g = grad_output * weight
        c1 = (g * normed).mean(0, keepdims=True)
        c2 = g.mean(0, keepdims=True)
        grad_input = (g - c2 - normed * c1) * rstd
        return grad_input, grad_weight, grad_bias


def _layernorm_args():
    rng = np.random.default_rng(12)
    return dict(input=rng.normal(size=(4, 5)), weight=rng.normal(1, 0.4, 5), bias=rng.normal(size=5)), dict(eps=1e-5)


_add("layernorm-function", "PyTorch autograd.Function port", LayerNormFunction.forward, LayerNormFunction.backward,
     _layernorm_args, False,
     "c1 and c2 are averaged over the batch; they belong to the features: .mean(-1, keepdims=True).",
     ("input",), ("shape",))


# ---------------------------------------------------------------- GELU, tanh form


class GELUTanh:
    @staticmethod
    def forward(x):
        k = np.sqrt(2.0 / np.pi)
        t = np.tanh(k * (x + 0.044715 * x ** 3))
        return 0.5 * x * (1.0 + t), (x, t)

    @staticmethod
    def backward(grad_output, saved):
        x, t = saved
        k = np.sqrt(2.0 / np.pi)
        dinner = k * (1.0 + 0.044715 * x ** 2)
        return grad_output * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * dinner)


_add("gelu-tanh", "PyTorch autograd.Function port", GELUTanh.forward, GELUTanh.backward,
     lambda: (dict(x=1.2 * np.random.default_rng(8).normal(size=(3, 5))), {}), False,
     "The slope of the cube loses its 3: dinner = k * (1.0 + 3 * 0.044715 * x ** 2).",
     ("x",), ("factor", "elementwise-factor"))


# ---------------------------------------------------------------- cosine similarity


class CosineSimilarity:
    @staticmethod
    def forward(x1, x2):
        n1 = np.linalg.norm(x1, axis=1, keepdims=True)
        n2 = np.linalg.norm(x2, axis=1, keepdims=True)
        cos = np.sum(x1 * x2, axis=1, keepdims=True) / (n1 * n2)
        return cos[:, 0], (x1, x2, n1, n2, cos)

    @staticmethod
    def backward(grad_output, saved):
        x1, x2, n1, n2, cos = saved
        g = grad_output[:, None]
        grad_x1 = g * (x2 / (n1 * n2) - cos * x1 / n1)
        grad_x2 = g * (x1 / (n1 * n2) - cos * x2 / n2 ** 2)
        return grad_x1, grad_x2


def _cosine_args():
    rng = np.random.default_rng(21)
    return dict(x1=rng.normal(size=(4, 3)), x2=rng.normal(size=(4, 3))), {}


_add("cosine-similarity", "PyTorch autograd.Function port", CosineSimilarity.forward, CosineSimilarity.backward,
     _cosine_args, False, "The second term of grad_x1 divides by the norm once only: cos * x1 / n1 ** 2.",
     ("x1",), ("elementwise-factor",))


# ---------------------------------------------------------------- inverted dropout


def dropout_call(inputs, keep_mask, rate):
    scale = 1.0 / (1.0 - rate)
    return inputs * keep_mask * scale, (keep_mask, rate)


def dropout_grad(upstream, cache):
    keep_mask, rate = cache
    return {"inputs": upstream * keep_mask}


def _dropout_args():
    rng = np.random.default_rng(77)
    return dict(inputs=rng.normal(size=(4, 6))), dict(keep_mask=(rng.random((4, 6)) > 0.3).astype(float), rate=0.3)


_add("dropout-inverted", "Keras-like library", dropout_call, dropout_grad, _dropout_args, False,
     "The scale of inverted dropout is left out of the backward: upstream * keep_mask / (1.0 - rate).",
     ("inputs",), ("factor",))


# ---------------------------------------------------------------- embedding lookup


def embedding_call(embeddings, ids):
    return embeddings[ids], (ids, embeddings.shape)


def embedding_grad(upstream, cache):
    ids, shape = cache
    grad = np.zeros(shape)
    grad[ids] += upstream
    return grad


def _embedding_args():
    rng = np.random.default_rng(31)
    return dict(embeddings=rng.normal(size=(6, 3))), dict(ids=np.array([[1, 4, 1], [5, 1, 0]]))


_add("embedding-lookup", "Keras-like library", embedding_call, embedding_grad, _embedding_args, False,
     "grad[ids] += upstream counts a repeated id once only; it should be np.add.at(grad, ids, upstream).",
     ("embeddings",), ("missing-term", "batch-sum"))


# ---------------------------------------------------------------- PReLU


def prelu_call(x, alpha):
    return np.where(x > 0, x, alpha * x), (x, alpha)


def prelu_grad(upstream, cache):
    x, alpha = cache
    dx = upstream * np.where(x > 0, 1.0, alpha)
    dalpha = np.sum(upstream * x, axis=0)
    return {"x": dx, "alpha": dalpha}


def _prelu_args():
    rng = np.random.default_rng(41)
    return dict(x=rng.normal(size=(5, 3)), alpha=rng.uniform(0.1, 0.4, size=3)), {}


_add("prelu-slope", "Keras-like library", prelu_call, prelu_grad, _prelu_args, False,
     "dalpha counts the positive inputs too: np.sum(upstream * np.where(x > 0, 0.0, x), axis=0).",
     ("alpha",), ("elementwise-factor",))


# ---------------------------------------------------------------- Huber loss of a Q-network


def huber_td_forward(q, target, delta):
    err = q - target
    small = np.abs(err) <= delta
    loss = np.where(small, 0.5 * err ** 2, delta * (np.abs(err) - 0.5 * delta))
    return loss.mean(), (err, small, delta)


def huber_td_backward(dloss, cache):
    err, small, delta = cache
    derr = np.where(small, err, np.sign(err))
    return dloss * derr / err.size


def _huber_args():
    rng = np.random.default_rng(51)
    return dict(q=rng.normal(size=(4, 3))), dict(target=2.0 * rng.normal(size=(4, 3)), delta=0.6)


_add("huber-td", "research repository (DQN)", huber_td_forward, huber_td_backward, _huber_args, False,
     "The slope of the linear part is delta * np.sign(err), not np.sign(err).",
     ("q",), ("elementwise-factor", "factor"))


# ---------------------------------------------------------------- triplet loss


def triplet_forward(anchor, positive, negative, margin):
    dp = anchor - positive
    dn = anchor - negative
    hinge = np.sum(dp ** 2, axis=1) - np.sum(dn ** 2, axis=1) + margin
    return np.mean(np.maximum(hinge, 0.0)), (anchor, positive, negative, hinge > 0)


def triplet_backward(g, cache):
    anchor, positive, negative, active = cache
    w = (2.0 * g / len(active)) * active[:, None]
    danchor = w * (positive - negative)
    dpositive = w * (positive - anchor)
    dnegative = w * (anchor - negative)
    return danchor, dpositive, dnegative


def _triplet_args():
    rng = np.random.default_rng(61)
    a = rng.normal(size=(5, 3))
    p, n = a + 0.8 * rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    return dict(anchor=a, positive=p, negative=n), dict(margin=1.0)


_add("triplet-margin", "research repository (face embeddings)", triplet_forward, triplet_backward, _triplet_args, False,
     "The gradient of the anchor has the wrong sign: w * (negative - positive).", ("anchor",), ("sign",))


# ---------------------------------------------------------------- symmetric contrastive loss


def clip_loss_forward(image, text, log_scale):
    scale = np.exp(log_scale)
    logits = scale * image @ text.T
    labels = np.arange(len(image))
    loss_i = -log_softmax(logits, axis=1)[labels, labels].mean()
    loss_t = -log_softmax(logits.T, axis=1)[labels, labels].mean()
    return 0.5 * (loss_i + loss_t), (image, text, scale, logits)


def clip_loss_backward(dloss, cache):
    image, text, scale, logits = cache
    n = len(image)
    eye = np.eye(n)
    d_i = (softmax(logits, axis=1) - eye) / n
    d_t = (softmax(logits.T, axis=1) - eye) / n
    dlogits = 0.5 * dloss * (d_i + d_t)
    dimage = scale * dlogits @ text
    dtext = scale * dlogits.T @ image
    dlog_scale = np.sum(dlogits * logits)
    return dimage, dtext, dlog_scale


def _clip_args():
    rng = np.random.default_rng(71)
    return dict(image=rng.normal(size=(4, 3)), text=rng.normal(size=(4, 3)), log_scale=np.array(0.2)), {}


_add("clip-symmetric", "research repository (CLIP)", clip_loss_forward, clip_loss_backward, _clip_args, False,
     "The gradient of the text direction stays in the frame of logits.T: dlogits = 0.5 * dloss * (d_i + d_t.T).",
     ("image", "text", "log_scale"), ("transpose",))


# ---------------------------------------------------------------- scaled dot-product attention


def sdpa_forward(Q, K, V):
    scale = 1.0 / np.sqrt(Q.shape[-1])
    S = scale * Q @ K.transpose(0, 2, 1)
    A = softmax(S, axis=-1)
    return A @ V, (Q, K, V, A, scale)


def sdpa_backward(dO, cache):
    Q, K, V, A, scale = cache
    dV = A.transpose(0, 2, 1) @ dO
    dA = dO @ V.transpose(0, 2, 1)
    dS = A * (dA - np.sum(dA * A, axis=-1, keepdims=True))
    dQ = scale * dS @ K
    dK = dS.transpose(0, 2, 1) @ Q
    return {"Q": dQ, "K": dK, "V": dV}


def _sdpa_args():
    rng = np.random.default_rng(81)
    return dict(Q=rng.normal(size=(2, 3, 4)), K=rng.normal(size=(2, 5, 4)), V=rng.normal(size=(2, 5, 3))), {}


_add("dot-product-attention", "research repository (transformer)", sdpa_forward, sdpa_backward, _sdpa_args, False,
     "dK forgets the scale of the scores: dK = scale * dS.transpose(0, 2, 1) @ Q.", ("K",), ("factor",))


# ---------------------------------------------------------------- additive attention


def additive_attention_forward(query, keys, Wq, Wk, v):
    u = np.tanh((query @ Wq)[:, None, :] + keys @ Wk)
    scores = u @ v
    alpha = softmax(scores, axis=1)
    context = np.einsum("bt,btd->bd", alpha, keys)
    return context, (query, keys, Wq, Wk, v, u, alpha)


def additive_attention_backward(dcontext, cache):
    query, keys, Wq, Wk, v, u, alpha = cache
    dkeys = alpha[:, :, None] * dcontext[:, None, :]
    dalpha = np.einsum("bd,btd->bt", dcontext, keys)
    dscores = alpha * (dalpha - np.sum(dalpha, axis=1, keepdims=True))
    dv = np.einsum("bt,bth->h", dscores, u)
    dpre = dscores[:, :, None] * v * (1 - u ** 2)
    dWk = np.einsum("btd,bth->dh", keys, dpre)
    dkeys = dkeys + dpre @ Wk.T
    dq = dpre.sum(axis=1)
    return {"query": dq @ Wq.T, "keys": dkeys, "Wq": query.T @ dq, "Wk": dWk, "v": dv}


def _additive_args():
    rng = np.random.default_rng(91)
    return dict(query=rng.normal(size=(2, 3)), keys=rng.normal(size=(2, 4, 3)), Wq=rng.normal(size=(3, 5)),
                Wk=rng.normal(size=(3, 5)), v=rng.normal(size=5)), {}


_add("additive-attention", "research repository (neural translation)", additive_attention_forward,
     additive_attention_backward, _additive_args, False,
     "The weights are left out of the sum in the softmax backward: np.sum(dalpha * alpha, axis=1, keepdims=True).",
     ("query", "keys", "Wq", "Wk", "v"), ("elementwise-factor",))


# ---------------------------------------------------------------- RMSNorm


def rms_norm(hidden, weight, eps):
    r = 1.0 / np.sqrt(np.mean(hidden ** 2, axis=-1, keepdims=True) + eps)
    return weight * (hidden * r), (hidden, weight, r)


def rms_norm_vjp(ct, res):
    hidden, weight, r = res
    ct_weight = np.sum(ct * hidden * r, axis=(0, 1))
    inner = np.mean(ct * hidden, axis=-1, keepdims=True)
    ct_hidden = r * weight * ct - hidden * r ** 3 * inner
    return ct_hidden, ct_weight


def _rms_args():
    rng = np.random.default_rng(101)
    return dict(hidden=rng.normal(size=(2, 3, 4)), weight=rng.normal(1.0, 0.5, size=4)), dict(eps=1e-6)


_add("rmsnorm-llama", "Hugging Face port", rms_norm, rms_norm_vjp, _rms_args, False,
     "The inner mean lacks the weight: np.mean(ct * weight * hidden, axis=-1, keepdims=True).",
     ("hidden",), ("elementwise-factor",))


# ---------------------------------------------------------------- RBF kernel matrix of one set of points


def rbf_K(X, variance, lengthscale):
    diff = X[:, None, :] - X[None, :, :]
    r2 = np.sum(diff ** 2, axis=-1) / lengthscale ** 2
    K = variance * np.exp(-0.5 * r2)
    return K, (diff, r2, K, variance, lengthscale)


def rbf_update_gradients(dL_dK, cache):
    diff, r2, K, variance, lengthscale = cache
    dvariance = np.sum(dL_dK * K) / variance
    dlengthscale = np.sum(dL_dK * K * r2) / lengthscale
    tmp = -dL_dK * K / lengthscale ** 2
    dX = np.sum(tmp[:, :, None] * diff, axis=1)
    return {"X": dX, "variance": dvariance, "lengthscale": dlengthscale}


def _rbf_args():
    rng = np.random.default_rng(111)
    return dict(X=rng.normal(size=(5, 2)), variance=np.array(1.4), lengthscale=np.array(0.9)), {}


_add("rbf-gram", "GPy-like library", rbf_K, rbf_update_gradients, _rbf_args, False,
     "A point stands in a row and in a column of K, the column is left out: tmp should be made from dL_dK + dL_dK.T.",
     ("X",), ("missing-term",))


# ---------------------------------------------------------------- log-sum-exp over the classes


def reduce_logsumexp(x):
    m = np.max(x, axis=1, keepdims=True)
    e = np.exp(x - m)
    s = np.sum(e, axis=1, keepdims=True)
    return (m + np.log(s))[:, 0], e / s


def reduce_logsumexp_vjp(g, p):
    return g * p


_add("logsumexp-rows", "JAX/TFP port", reduce_logsumexp, reduce_logsumexp_vjp,
     lambda: (dict(x=np.random.default_rng(121).normal(size=(4, 4))), {}), False,
     "g of one number per row is spread along the columns; it should be g[:, None] * p.",
     ("x",), ("shape", "transpose"))


# ---------------------------------------------------------------- distillation


def distill_forward(student, teacher, T):
    pt = softmax(teacher / T, axis=1)
    log_ps = log_softmax(student / T, axis=1)
    kl = np.sum(pt * (np.log(pt) - log_ps), axis=1)
    return T ** 2 * kl.mean(), (pt, np.exp(log_ps), T)


def distill_backward(dloss, cache):
    pt, ps, T = cache
    dscaled = dloss * T ** 2 * (ps - pt) / len(ps)
    return {"student": dscaled}


def _distill_args():
    rng = np.random.default_rng(131)
    return dict(student=rng.normal(size=(3, 5))), dict(teacher=2.0 * rng.normal(size=(3, 5)), T=3.0)


_add("distillation-kl", "research repository (distillation)", distill_forward, distill_backward, _distill_args, False,
     "The gradient stops at student / T; the student's is dscaled / T.", ("student",), ("factor",))


# ---------------------------------------------------------------- Gaussian noise on a layer


def noisy_forward(x, log_sigma):
    noise = np.random.standard_normal(x.shape)
    sigma = np.exp(log_sigma)
    return np.tanh(x + sigma * noise), (x, sigma, noise)


def noisy_backward(dout, cache):
    x, sigma, noise = cache
    dpre = dout * (1.0 - np.tanh(x + sigma * noise) ** 2)
    return {"x": dpre, "log_sigma": np.sum(dpre * noise * sigma, axis=0)}


def _noisy_args():
    rng = np.random.default_rng(141)
    return dict(x=rng.normal(size=(4, 3)), log_sigma=rng.normal(-0.5, 0.3, size=3)), {}


_add("gaussian-noise", "Keras-like library", noisy_forward, noisy_backward, _noisy_args, False,
     "The noise is drawn inside forward by np.random.standard_normal; it should be an argument.",
     ("x", "log_sigma"), ("noise-redrawn",))


# ---------------------------------------------------------------- residual block


def residual_forward(x, W, b):
    a = x @ W + b
    return x + np.maximum(a, 0.0), (x, W, a)


def residual_backward(dout, cache):
    x, W, a = cache
    da = dout
    da[a <= 0] = 0.0
    dW = x.T @ da
    db = da.sum(axis=0)
    dx = dout + da @ W.T
    return dx, dW, db


def _residual_args():
    rng = np.random.default_rng(151)
    return dict(x=rng.normal(size=(4, 3)), W=rng.normal(size=(3, 3)), b=rng.normal(size=3)), {}


_add("residual-relu", "tinygrad-like course library", residual_forward, residual_backward, _residual_args, False,
     "da is dout itself, so the mask is written into dout and into the skip path; it should be da = dout.copy().",
     ("x",), ("mutates-input", "elementwise-factor"))


# ---------------------------------------------------------------- a layer with gradient buffers


class Dense:
    def __init__(self):
        self.grads = {}

    def forward(self, x, W, b):
        if not self.grads:
            self.grads = {"W": np.zeros_like(W), "b": np.zeros_like(b)}
        return x @ W + b, (x, W)

    def backward(self, dy, cache):
        x, W = cache
        self.grads["W"] += x.T @ dy
        self.grads["b"] += dy.sum(axis=0)
        return {"x": dy @ W.T, "W": self.grads["W"].copy(), "b": self.grads["b"].copy()}


def _dense_make():
    rng = np.random.default_rng(161)
    layer = Dense()
    return dict(forward=layer.forward, backward=layer.backward,
                inputs=dict(x=rng.normal(size=(4, 3)), W=rng.normal(size=(3, 2)), b=rng.normal(size=2)))


ITEMS.append(Item("dense-buffers", "Keras-like library", "vjp", _dense_make, False,
                  "The buffers are never set to zero: self.grads['W'] = x.T @ dy (and b alike) instead of +=.",
                  ("W", "b"), ("accumulates",)))


# ---------------------------------------------------------------- Fourier features


def fourier_features(coords, freqs):
    coords32 = np.asarray(coords, dtype=np.float32)
    proj = 2.0 * np.pi * coords32 @ freqs
    return np.concatenate([np.cos(proj), np.sin(proj)], axis=-1), (coords, freqs, proj)


def fourier_features_vjp(ct, res):
    coords, freqs, proj = res
    k = freqs.shape[1]
    ct_proj = 2.0 * np.pi * (ct[:, k:] * np.cos(proj) - ct[:, :k] * np.sin(proj))
    return ct_proj @ freqs.T, coords.T @ ct_proj


def _fourier_args():
    rng = np.random.default_rng(171)
    return dict(coords=rng.uniform(1.0, 4.0, size=(4, 2)), freqs=rng.normal(size=(2, 3))), {}


_add("fourier-features", "research repository (NeRF)", fourier_features, fourier_features_vjp, _fourier_args, False,
     "coords are rounded to float32 in forward; it should be np.asarray(coords, dtype=np.float64).",
     ("coords",), ("precision",))


# ---------------------------------------------------------------- distances of all pairs


def pdist_forward(X):
    diff = X[:, None, :] - X[None, :, :]
    D = np.sqrt(np.sum(diff ** 2, axis=-1))
    return D, (diff, D)


def pdist_backward(dD, cache):
    diff, D = cache
    W = (dD + dD.T) / D
    return np.sum(W[:, :, None] * diff, axis=1)


_add("pairwise-distances", "research repository (metric learning)", pdist_forward, pdist_backward,
     lambda: (dict(X=np.random.default_rng(181).normal(size=(4, 3))), {}), False,
     "The diagonal of D is zero and 0 / 0 spreads NaN; divide by np.where(D > 0, D, 1.0).",
     ("X",), ("non-finite",))


# ---------------------------------------------------------------- conv1d, same padding


def conv1d_forward(x, w, b):
    k = w.shape[2]
    p = k // 2
    T = x.shape[2]
    xp = np.pad(x, ((0, 0), (0, 0), (p, p)))
    y = sum(np.einsum("oc,nct->not", w[:, :, j], xp[:, :, j:j + T]) for j in range(k))
    return y + b[:, None], (xp, w, T)


def conv1d_backward(dy, cache):
    xp, w, T = cache
    k = w.shape[2]
    p = k // 2
    dw = np.stack([np.einsum("not,nct->oc", dy, xp[:, :, j:j + T]) for j in range(k)], axis=2)
    dyp = np.pad(dy, ((0, 0), (0, 0), (p, p)))
    dx = sum(np.einsum("oc,not->nct", w[:, :, j], dyp[:, :, j:j + T]) for j in range(k))
    return dx, dw, dy.sum(axis=(0, 2))


def _conv1d_args():
    rng = np.random.default_rng(191)
    return dict(x=rng.normal(size=(2, 2, 6)), w=rng.normal(size=(3, 2, 3)), b=rng.normal(size=3)), {}


_add("conv1d-same", "deep learning book", conv1d_forward, conv1d_backward, _conv1d_args, False,
     "dx correlates dy with the kernel as it stands; it must be flipped: w[:, :, k - 1 - j] with dyp[:, :, j:j + T].",
     ("x",), ("transpose",))


# ---------------------------------------------------------------- focal loss on logits


class SigmoidFocalLoss:
    @staticmethod
    def forward(logits, target, gamma, alpha):
        p = expit(logits)
        pt = np.where(target == 1, p, 1.0 - p)
        at = np.where(target == 1, alpha, 1.0 - alpha)
        mod = (1.0 - pt) ** gamma
        loss = -at * mod * np.log(pt)
        return loss.sum(), (pt, at, mod, target, gamma)

    @staticmethod
    def backward(grad_output, saved):
        pt, at, mod, target, gamma = saved
        grad_pt = -at * mod / pt
        sgn = np.where(target == 1, 1.0, -1.0)
        return grad_output * grad_pt * sgn * pt * (1.0 - pt)


def _focal_args():
    rng = np.random.default_rng(201)
    return dict(logits=rng.normal(size=(3, 4))), dict(target=rng.integers(0, 2, size=(3, 4)), gamma=2.0, alpha=0.25)


_add("sigmoid-focal", "PyTorch autograd.Function port", SigmoidFocalLoss.forward, SigmoidFocalLoss.backward,
     _focal_args, False,
     "The modulating factor counts as a constant: grad_pt needs "
     "+ at * gamma * (1 - pt) ** (gamma - 1) * np.log(pt).",
     ("logits",), ("missing-term",))


# ---------------------------------------------------------------- weight normalisation


def weight_norm_linear(x, v, g, b):
    norm = np.sqrt(np.sum(v ** 2, axis=0))
    w = g * v / norm
    return x @ w + b, dict(x=x, v=v, g=g, b=b, norm=norm, w=w)


def weight_norm_linear_grad(dy, cache):
    grads = {name: np.zeros_like(cache[name]) for name in ("x", "v", "g", "b")}
    v, g, norm = cache["v"], cache["g"], cache["norm"]
    dw = cache["x"].T @ dy
    unit = v / norm
    proj = np.sum(dw * unit, axis=0)
    grads["x"] += dy @ cache["w"].T
    grads["v"] += g / norm * (dw - proj * unit)
    grads["b"] += dy.sum(axis=0)
    return grads


def _weight_norm_args():
    rng = np.random.default_rng(211)
    return dict(x=rng.normal(size=(4, 3)), v=rng.normal(size=(3, 2)), g=rng.uniform(0.5, 2, 2),
                b=rng.normal(size=2)), {}


_add("weight-norm", "tinygrad-like course library", weight_norm_linear, weight_norm_linear_grad,
     _weight_norm_args, False, "The gradient of g is never filled in: grads['g'] += proj.", ("g",), ("zero",))


# ---------------------------------------------------------------- a sigmoid layer, one example at a time


def sigmoid_layer(batch, w, b):
    outputs = []
    for x in batch:
        outputs.append(1.0 / (1.0 + np.exp(-(np.dot(w, x) + b))))
    return np.array(outputs), (batch, w, np.array(outputs))


def sigmoid_layer_backprop(delta, cache):
    batch, w, activations = cache
    nabla_b = np.zeros(w.shape[0])
    nabla_w = np.zeros(w.shape)
    nabla_x = np.zeros(batch.shape)
    for i, (x, a) in enumerate(zip(batch, activations)):
        dz = delta[i] * a * (1 - a)
        nabla_b = nabla_b + dz
        nabla_w = np.outer(dz, x)
        nabla_x[i] = np.dot(w.T, dz)
    return {"batch": nabla_x, "w": nabla_w, "b": nabla_b}


def _sigmoid_layer_args():
    rng = np.random.default_rng(221)
    return dict(batch=rng.normal(size=(3, 4)), w=rng.normal(size=(2, 4)), b=rng.normal(size=2)), {}


_add("sigmoid-per-example", "deep learning book", sigmoid_layer, sigmoid_layer_backprop, _sigmoid_layer_args, False,
     "Only the last example is left in nabla_w: nabla_w = nabla_w + np.outer(dz, x).", ("w",), ("batch-sum",))


# ---------------------------------------------------------------- normalised advantages


def normalize_advantages(adv, eps):
    n = adv.shape[0]
    centred = adv - adv.mean()
    std = np.sqrt(np.sum(centred ** 2) / (n - 1))
    return centred / (std + eps), (centred, std, eps)


def normalize_advantages_backward(dout, cache):
    centred, std, eps = cache
    n = len(centred)
    dstd = -np.sum(dout * centred) / (std + eps) ** 2
    dcentred = dout / (std + eps) + dstd * centred / (n * std)
    return dcentred - dcentred.mean()


_add("advantage-normalise", "research repository (PPO)", normalize_advantages, normalize_advantages_backward,
     lambda: (dict(adv=2.0 * np.random.default_rng(231).normal(size=6) + 1.0), dict(eps=1e-8)), False,
     "The spread is the unbiased one, its slope is centred / ((n - 1) * std), not centred / (n * std).",
     ("adv",), ("factor",))


# ---------------------------------------------------------------- one GRU step


def gru_step(x, h_prev, W, U, b):
    H = h_prev.shape[1]
    gx = x @ W + b
    gh = h_prev @ U[:, :2 * H]
    r = expit(gx[:, :H] + gh[:, :H])
    z = expit(gx[:, H:2 * H] + gh[:, H:])
    n = np.tanh(gx[:, 2 * H:] + (r * h_prev) @ U[:, 2 * H:])
    h = (1 - z) * n + z * h_prev
    return h, (x, h_prev, W, U, r, z, n, h)


def gru_step_backward(dh, cache):
    x, h_prev, W, U, r, z, n, h = cache
    H = h.shape[1]
    dn = dh * (1 - z) * (1 - n ** 2)
    dz = dh * (h_prev - n) * z * (1 - z)
    drh = dn @ U[:, 2 * H:].T
    dr = drh * h * r * (1 - r)
    dgates = np.concatenate([dr, dz], axis=1)
    da = np.concatenate([dgates, dn], axis=1)
    dU = np.concatenate([h_prev.T @ dgates, (r * h_prev).T @ dn], axis=1)
    dh_prev = dh * z + drh * r + dgates @ U[:, :2 * H].T
    return {"x": da @ W.T, "h_prev": dh_prev, "W": x.T @ da, "U": dU, "b": da.sum(axis=0)}


def _gru_args():
    rng = np.random.default_rng(241)
    return dict(x=rng.normal(size=(3, 2)), h_prev=rng.normal(size=(3, 3)), W=rng.normal(size=(2, 9)),
                U=rng.normal(size=(3, 9)), b=rng.normal(size=9)), {}


_add("gru-step", "Karpathy gist", gru_step, gru_step_backward, _gru_args, False,
     "The reset gate's gradient takes the new state: dr = drh * h_prev * r * (1 - r).",
     ("x", "h_prev", "W", "U", "b"), ("elementwise-factor",))


# ---------------------------------------------------------------- discounted returns


def discounted_returns(rewards, gamma):
    returns = np.zeros_like(rewards)
    running = np.zeros(rewards.shape[0])
    for t in reversed(range(rewards.shape[1])):
        running = rewards[:, t] + gamma * running
        returns[:, t] = running
    return returns, gamma


def discounted_returns_backward(dreturns, gamma):
    drewards = np.zeros_like(dreturns)
    running = np.zeros(dreturns.shape[0])
    for t in reversed(range(dreturns.shape[1])):
        running = dreturns[:, t] + gamma * running
        drewards[:, t] = running
    return {"rewards": drewards}


_add("discounted-returns", "research repository (policy gradients)", discounted_returns, discounted_returns_backward,
     lambda: (dict(rewards=np.random.default_rng(251).normal(size=(2, 6))), dict(gamma=0.9)), False,
     "The backward runs from the end like the forward; it must run the other way: for t in range(dreturns.shape[1]).",
     ("rewards",), ("transpose",))


# ---------------------------------------------------------------- KL of two diagonal Gaussians


def kl_diag_normal(loc_q, log_scale_q, loc_p, log_scale_p):
    ratio = np.exp(2.0 * (log_scale_q - log_scale_p))
    z = (loc_q - loc_p) * np.exp(-log_scale_p)
    kl = 0.5 * (ratio + z ** 2 - 1.0) + log_scale_p - log_scale_q
    return kl.sum(axis=-1), (ratio, z, log_scale_p)


def kl_diag_normal_vjp(ct, res):
    ratio, z, log_scale_p = res
    ct = ct[..., None]
    ct_loc_q = ct * z * np.exp(-log_scale_p)
    ct_loc_p = ct * z * np.exp(-log_scale_p)
    ct_log_scale_q = ct * (ratio - 1.0)
    ct_log_scale_p = ct * (1.0 - ratio - z ** 2)
    return ct_loc_q, ct_log_scale_q, ct_loc_p, ct_log_scale_p


def _kl_args():
    rng = np.random.default_rng(261)
    return dict(loc_q=rng.normal(size=(3, 4)), log_scale_q=0.4 * rng.normal(size=(3, 4)),
                loc_p=rng.normal(size=(3, 4)), log_scale_p=0.4 * rng.normal(size=(3, 4))), {}


_add("kl-two-normals", "JAX/TFP port", kl_diag_normal, kl_diag_normal_vjp, _kl_args, False,
     "ct_loc_p is a copy of ct_loc_q; it should be -ct * z * np.exp(-log_scale_p).", ("loc_p",), ("sign",))


# ---------------------------------------------------------------- batch normalisation, compact form


def bn_compact_forward(x, gamma, beta, eps):
    std = np.sqrt(x.var(axis=0) + eps)
    xn = (x - x.mean(axis=0)) / std
    return gamma * xn + beta, (xn, std, gamma)


def bn_compact_backward(dout, cache):
    xn, std, gamma = cache
    N = dout.shape[0]
    dgamma = (dout * xn).sum(axis=0)
    dbeta = dout.sum(axis=0)
    dx = gamma / (N * std) * (N * dout - dbeta - xn * dgamma)
    return dx, dgamma, dbeta


def _bn_compact_args():
    rng = np.random.RandomState(19)
    return dict(x=3.0 * rng.randn(6, 3) - 1.0, gamma=rng.randn(3), beta=rng.randn(3)), dict(eps=1e-5)


_add("batchnorm-compact", "CS231n assignment", bn_compact_forward, bn_compact_backward, _bn_compact_args, True)


# ---------------------------------------------------------------- convolution by im2col


def _col_indices(C, H, W, kh, kw, stride, pad):
    ho, wo = (H + 2 * pad - kh) // stride + 1, (W + 2 * pad - kw) // stride + 1
    i0 = np.tile(np.repeat(np.arange(kh), kw), C)
    j0 = np.tile(np.arange(kw), kh * C)
    i1 = stride * np.repeat(np.arange(ho), wo)
    j1 = stride * np.tile(np.arange(wo), ho)
    chan = np.repeat(np.arange(C), kh * kw)[:, None]
    return chan, i0[:, None] + i1[None, :], j0[:, None] + j1[None, :], ho, wo


def conv_im2col_forward(x, w, b, stride, pad):
    N, C, H, W = x.shape
    F, _, kh, kw = w.shape
    k, i, j, ho, wo = _col_indices(C, H, W, kh, kw, stride, pad)
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    cols = xp[:, k, i, j]
    out = w.reshape(F, -1) @ cols + b[:, None]
    return out.reshape(N, F, ho, wo), (xp.shape, w, cols, (k, i, j), pad)


def conv_im2col_backward(dout, cache):
    xp_shape, w, cols, (k, i, j), pad = cache
    N, F = dout.shape[:2]
    d2 = dout.reshape(N, F, -1)
    db = dout.sum(axis=(0, 2, 3))
    dw = np.einsum("nfp,nqp->fq", d2, cols).reshape(w.shape)
    dcols = w.reshape(F, -1).T @ d2
    dxp = np.zeros(xp_shape)
    np.add.at(dxp, (slice(None), k, i, j), dcols)
    return dxp[:, :, pad:-pad, pad:-pad], dw, db


def _im2col_args():
    rng = np.random.RandomState(29)
    return dict(x=rng.randn(2, 2, 5, 4), w=rng.randn(3, 2, 3, 2), b=rng.randn(3)), dict(stride=2, pad=1)


_add("conv-im2col", "CS231n assignment", conv_im2col_forward, conv_im2col_backward, _im2col_args, True)


# ---------------------------------------------------------------- max pooling by reshape


def max_pool_reshape_forward(x, size):
    N, C, H, W = x.shape
    xr = x.reshape(N, C, H // size, size, W // size, size)
    out = xr.max(axis=3).max(axis=4)
    return out, (xr, out, x.shape)


def max_pool_reshape_backward(dout, cache):
    xr, out, shape = cache
    mask = xr == out[:, :, :, None, :, None]
    dxr = np.where(mask, dout[:, :, :, None, :, None], 0.0)
    dxr /= mask.sum(axis=(3, 5), keepdims=True)
    return {"x": dxr.reshape(shape)}


_add("maxpool-reshape", "CS231n assignment", max_pool_reshape_forward, max_pool_reshape_backward,
     lambda: (dict(x=np.random.RandomState(2).randn(2, 2, 4, 6)), dict(size=2)), True)


# ---------------------------------------------------------------- a character RNN with its loss


def char_rnn(Wxh, Whh, Why, bh, by, hprev, ids, targets):
    xs, hs, ps = {}, {-1: hprev}, {}
    loss = 0.0
    for t in range(len(ids)):
        xs[t] = np.zeros((Wxh.shape[1], 1))
        xs[t][ids[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        y = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(y) / np.sum(np.exp(y))
        loss += -np.log(ps[t][targets[t], 0])
    return loss, (xs, hs, ps, Wxh, Whh, Why, bh, by, targets)


def char_rnn_back(dloss, cache):
    xs, hs, ps, Wxh, Whh, Why, bh, by, targets = cache
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
        dhnext = np.dot(Whh.T, dhraw)
    return dWxh, dWhh, dWhy, dbh, dby, dhnext


def _char_rnn_args():
    rng = np.random.RandomState(33)
    inputs = dict(Wxh=rng.randn(4, 3), Whh=0.5 * rng.randn(4, 4), Why=rng.randn(3, 4), bh=rng.randn(4, 1),
                  by=rng.randn(3, 1), hprev=rng.randn(4, 1))
    return inputs, dict(ids=np.array([0, 2, 1, 0]), targets=np.array([2, 1, 0, 0]))


_add("char-rnn", "Karpathy gist", char_rnn, char_rnn_back, _char_rnn_args, True)


# ---------------------------------------------------------------- Mish


class Mish:
    @staticmethod
    def forward(x):
        t = np.tanh(np.logaddexp(0.0, x))
        return x * t, (x, t)

    @staticmethod
    def backward(grad_output, saved):
        x, t = saved
        return grad_output * (t + x * expit(x) * (1.0 - t * t))


_add("mish", "PyTorch autograd.Function port", Mish.forward, Mish.backward,
     lambda: (dict(x=2.0 * np.random.default_rng(301).normal(size=(3, 6))), {}), True)


# ---------------------------------------------------------------- weighted cross-entropy with an ignored label


class WeightedNLL:
    @staticmethod
    def forward(logits, target, weight, ignore_index, label_smoothing):
        valid = target != ignore_index
        safe = np.where(valid, target, 0)
        logp = log_softmax(logits, axis=1)
        w = np.where(valid, weight[safe], 0.0)
        C = logits.shape[1]
        q = (1.0 - label_smoothing) * np.eye(C)[safe] + label_smoothing / C
        loss = -np.sum(w[:, None] * q * logp) / w.sum()
        return loss, (logp, q, w)

    @staticmethod
    def backward(grad_output, saved):
        logp, q, w = saved
        return (grad_output * (np.exp(logp) - q) * (w / w.sum())[:, None],)


def _nll_args():
    rng = np.random.default_rng(311)
    return dict(logits=rng.normal(size=(5, 3))), dict(target=np.array([2, -100, 0, 1, 2]), ignore_index=-100,
                                                      weight=np.array([0.5, 1.0, 2.5]), label_smoothing=0.1)


_add("nll-weighted-ignore", "PyTorch autograd.Function port", WeightedNLL.forward, WeightedNLL.backward,
     _nll_args, True)


# ---------------------------------------------------------------- causal multi-head self-attention


def causal_self_attention(x, params, n_head):
    B, T, C = x.shape
    hs = C // n_head
    qkv = x @ params["c_attn"] + params["b_attn"]
    q, k, v = [a.reshape(B, T, n_head, hs).transpose(0, 2, 1, 3) for a in np.split(qkv, 3, axis=2)]
    att = q @ k.transpose(0, 1, 3, 2) / np.sqrt(hs)
    att = np.where(np.tril(np.ones((T, T), dtype=bool)), att, -np.inf)
    att = softmax(att, axis=-1)
    y = (att @ v).transpose(0, 2, 1, 3).reshape(B, T, C)
    return y @ params["c_proj"], (x, params, q, k, v, att, y)


def causal_self_attention_back(dout, cache):
    x, params, q, k, v, att, y = cache
    B, nh, T, hs = q.shape
    C = nh * hs
    d_proj = np.einsum("btc,btd->cd", y, dout)
    dy = (dout @ params["c_proj"].T).reshape(B, T, nh, hs).transpose(0, 2, 1, 3)
    datt = dy @ v.transpose(0, 1, 3, 2)
    dv = att.transpose(0, 1, 3, 2) @ dy
    ds = att * (datt - (datt * att).sum(-1, keepdims=True)) / np.sqrt(hs)
    dq = ds @ k
    dk = ds.transpose(0, 1, 3, 2) @ q
    dqkv = np.concatenate([a.transpose(0, 2, 1, 3).reshape(B, T, C) for a in (dq, dk, dv)], axis=2)
    grads = {"c_attn": x.reshape(-1, C).T @ dqkv.reshape(-1, 3 * C), "b_attn": dqkv.sum((0, 1)), "c_proj": d_proj}
    return {"x": dqkv @ params["c_attn"].T, "params": grads}


def _csa_args():
    rng = np.random.default_rng(321)
    params = dict(c_attn=0.6 * rng.normal(size=(4, 12)), b_attn=rng.normal(size=12), c_proj=rng.normal(size=(4, 4)))
    return dict(x=rng.normal(size=(2, 3, 4)), params=params), dict(n_head=2)


_add("causal-self-attention", "Karpathy gist", causal_self_attention, causal_self_attention_back, _csa_args, True)


# ---------------------------------------------------------------- masked mean of embeddings


def bag_call(table, ids, pad_id):
    mask = (ids != pad_id).astype(float)
    length = np.maximum(mask.sum(axis=1, keepdims=True), 1.0)
    pooled = np.sum(table[ids] * mask[:, :, None], axis=1) / length
    return pooled, (ids, mask / length, table.shape)


def bag_grad(upstream, cache):
    ids, weight, shape = cache
    grad = np.zeros(shape)
    np.add.at(grad, ids, weight[:, :, None] * upstream[:, None, :])
    return {"table": grad}


def _bag_args():
    rng = np.random.default_rng(331)
    return dict(table=rng.normal(size=(5, 3))), dict(ids=np.array([[1, 2, 2, 0], [3, 0, 0, 0], [1, 3, 2, 1]]), pad_id=0)


_add("embedding-bag-mean", "Keras-like library", bag_call, bag_grad, _bag_args, True)


# ---------------------------------------------------------------- group normalisation


def group_norm_call(x, gamma, beta, groups, eps):
    N, C, H, W = x.shape
    xg = x.reshape(N, groups, -1)
    rstd = 1.0 / np.sqrt(xg.var(axis=2, keepdims=True) + eps)
    xhat = ((xg - xg.mean(axis=2, keepdims=True)) * rstd).reshape(x.shape)
    return xhat * gamma[:, None, None] + beta[:, None, None], (xhat, rstd, gamma, groups)


def group_norm_grad(upstream, cache):
    xhat, rstd, gamma, groups = cache
    N = xhat.shape[0]
    dgamma = np.einsum("nchw,nchw->c", upstream, xhat)
    dbeta = np.einsum("nchw->c", upstream)
    dxhat = (upstream * gamma[:, None, None]).reshape(N, groups, -1)
    xh = xhat.reshape(N, groups, -1)
    m = xh.shape[2]
    dx = rstd / m * (m * dxhat - dxhat.sum(2, keepdims=True) - xh * np.sum(dxhat * xh, 2, keepdims=True))
    return {"x": dx.reshape(xhat.shape), "gamma": dgamma, "beta": dbeta}


def _group_norm_args():
    rng = np.random.default_rng(341)
    return dict(x=rng.normal(size=(2, 4, 2, 3)), gamma=rng.normal(size=4), beta=rng.normal(size=4)), \
        dict(groups=2, eps=1e-3)


_add("group-norm", "Keras-like library", group_norm_call, group_norm_grad, _group_norm_args, True)


# ---------------------------------------------------------------- bilinear layer


def bilinear(left, right, W, b):
    return np.einsum("ni,kij,nj->nk", left, W, right) + b, (left, right, W)


def bilinear_vjp(ct, res):
    left, right, W = res
    ct_left = np.einsum("nk,kij,nj->ni", ct, W, right)
    ct_right = np.einsum("nk,kij,ni->nj", ct, W, left)
    ct_W = np.einsum("nk,ni,nj->kij", ct, left, right)
    return ct_left, ct_right, ct_W, ct.sum(axis=0)


def _bilinear_args():
    rng = np.random.default_rng(351)
    return dict(left=rng.normal(size=(3, 4)), right=rng.normal(size=(3, 4)), W=rng.normal(size=(2, 4, 4)),
                b=rng.normal(size=2)), {}


_add("bilinear", "JAX/TFP port", bilinear, bilinear_vjp, _bilinear_args, True)


# ---------------------------------------------------------------- Matern 3/2 kernel with one lengthscale a dimension


def matern32_K(X, Z, log_variance, log_lengthscales):
    ls = np.exp(log_lengthscales)
    diff = (X[:, None, :] - Z[None, :, :]) / ls
    r = np.sqrt(3.0 * np.sum(diff ** 2, axis=-1) + 1e-12)
    var = np.exp(log_variance)
    e = var * np.exp(-r)
    return (1.0 + r) * e, (diff, ls, r, e)


def matern32_grads(dK, cache):
    diff, ls, r, e = cache
    # d/dr (1 + r) exp(-r) = -r exp(-r), and dr/ddiff = 3 diff / r
    ddiff = (-3.0 * dK * e)[:, :, None] * diff
    dX = np.sum(ddiff / ls, axis=1)
    dZ = -np.sum(ddiff / ls, axis=0)
    dlog_ls = -np.sum(ddiff * diff, axis=(0, 1))
    dlog_var = np.sum(dK * (1.0 + r) * e)
    return {"X": dX, "Z": dZ, "log_variance": dlog_var, "log_lengthscales": dlog_ls}


def _matern_args():
    rng = np.random.default_rng(361)
    return dict(X=rng.normal(size=(4, 2)), Z=rng.normal(size=(3, 2)), log_variance=np.array(0.3),
                log_lengthscales=0.4 * rng.normal(size=2)), {}


_add("matern32-ard", "GPy-like library", matern32_K, matern32_grads, _matern_args, True)


# ---------------------------------------------------------------- softmax with a learned temperature


def temperature_softmax(logits, log_temp):
    scaled = logits * np.exp(-log_temp)
    return softmax(scaled, axis=-1), (softmax(scaled, axis=-1), scaled, log_temp)


def temperature_softmax_vjp(ct, res):
    p, scaled, log_temp = res
    ct_scaled = p * (ct - np.einsum("...k,...k->...", ct, p)[..., None])
    return ct_scaled * np.exp(-log_temp), -np.sum(ct_scaled * scaled)


def _temperature_args():
    rng = np.random.default_rng(371)
    return dict(logits=rng.normal(size=(3, 4)), log_temp=np.array(-0.4)), {}


_add("softmax-temperature", "JAX/TFP port", temperature_softmax, temperature_softmax_vjp, _temperature_args, True)


# ---------------------------------------------------------------- NT-Xent loss


def nt_xent_forward(z_i, z_j, tau):
    z = np.concatenate([z_i, z_j])
    norm = np.linalg.norm(z, axis=1, keepdims=True)
    u = z / norm
    sim = u @ u.T / tau
    n = len(z)
    sim[np.arange(n), np.arange(n)] = -np.inf
    partner = np.roll(np.arange(n), n // 2)
    loss = np.mean(logsumexp(sim, axis=1) - sim[np.arange(n), partner])
    return loss, (u, norm, softmax(sim, axis=1), partner, tau)


def nt_xent_backward(dloss, cache):
    u, norm, p, partner, tau = cache
    n = len(u)
    dsim = p.copy()
    dsim[np.arange(n), partner] -= 1.0
    dsim *= dloss / n
    du = (dsim + dsim.T) @ u / tau
    dz = (du - u * np.sum(du * u, axis=1, keepdims=True)) / norm
    return dz[:n // 2], dz[n // 2:]


def _nt_xent_args():
    rng = np.random.default_rng(381)
    return dict(z_i=rng.normal(size=(3, 4)), z_j=rng.normal(size=(3, 4))), dict(tau=0.5)


_add("nt-xent", "research repository (SimCLR)", nt_xent_forward, nt_xent_backward, _nt_xent_args, True)


# ---------------------------------------------------------------- soft Dice loss


def dice_forward(logits, target, smooth):
    p = expit(logits)
    inter = np.sum(p * target, axis=(1, 2))
    total = np.sum(p ** 2, axis=(1, 2)) + np.sum(target, axis=(1, 2))
    score = (2.0 * inter + smooth) / (total + smooth)
    return np.mean(1.0 - score), (p, target, score, total + smooth)


def dice_backward(dloss, cache):
    p, target, score, den = cache
    dscore = -dloss / len(p)
    dp = dscore * 2.0 * (target - score[:, None, None] * p) / den[:, None, None]
    return dp * p * (1.0 - p)


def _dice_args():
    rng = np.random.default_rng(391)
    return dict(logits=rng.normal(size=(2, 3, 4))), dict(target=(rng.random((2, 3, 4)) > 0.5).astype(float), smooth=1.0)


_add("soft-dice", "research repository (segmentation)", dice_forward, dice_backward, _dice_args, True)


# ---------------------------------------------------------------- quantile Huber loss


def quantile_huber_forward(theta, target, kappa):
    n = theta.shape[1]
    tau = (np.arange(n) + 0.5) / n
    u = target[:, None, :] - theta[:, :, None]
    huber = np.where(np.abs(u) <= kappa, 0.5 * u ** 2, kappa * (np.abs(u) - 0.5 * kappa))
    rho = np.abs(tau[None, :, None] - (u < 0)) * huber / kappa
    return rho.mean(axis=2).sum(axis=1), (u, tau, kappa)


def quantile_huber_backward(dloss, cache):
    u, tau, kappa = cache
    slope = np.abs(tau[None, :, None] - (u < 0)) * np.clip(u, -kappa, kappa) / kappa
    return {"theta": -dloss[:, None] * slope.mean(axis=2)}


def _quantile_args():
    rng = np.random.default_rng(401)
    return dict(theta=rng.normal(size=(3, 4))), dict(target=1.5 * rng.normal(size=(3, 5)), kappa=0.7)


_add("quantile-huber", "research repository (QR-DQN)", quantile_huber_forward, quantile_huber_backward,
     _quantile_args, True)


# ---------------------------------------------------------------- squeeze and excitation


def se_block_forward(x, params):
    s = x.mean(axis=(2, 3))
    a = s @ params["W1"] + params["b1"]
    h = np.maximum(a, 0.0)
    gate = expit(h @ params["W2"] + params["b2"])
    return x * gate[:, :, None, None], (x, params, s, a, h, gate)


def se_block_backward(dout, cache):
    x, params, s, a, h, gate = cache
    dgate = np.sum(dout * x, axis=(2, 3))
    do = dgate * gate * (1.0 - gate)
    da = (do @ params["W2"].T) * (a > 0)
    ds = da @ params["W1"].T
    dx = dout * gate[:, :, None, None] + ds[:, :, None, None] / (x.shape[2] * x.shape[3])
    grads = {"W1": s.T @ da, "b1": da.sum(0), "W2": h.T @ do, "b2": do.sum(0)}
    return {"x": dx, "params": grads}


def _se_args():
    rng = np.random.default_rng(411)
    params = dict(W1=rng.normal(size=(3, 4)), b1=rng.normal(size=4), W2=rng.normal(size=(4, 3)), b2=rng.normal(size=3))
    return dict(x=rng.normal(size=(3, 3, 2, 3)) + 0.3, params=params), {}


_add("squeeze-excitation", "research repository (image classifiers)", se_block_forward, se_block_backward,
     _se_args, True)


# ---------------------------------------------------------------- gated causal convolution


def gated_causal_conv(x, w_f, w_g, dilation):
    K, T = w_f.shape[1], x.shape[2]
    lag = (K - 1) * dilation
    xp = np.pad(x, ((0, 0), (0, 0), (lag, 0)))
    taps = np.stack([xp[:, :, k * dilation:k * dilation + T] for k in range(K)], axis=3)
    f = np.tanh(np.einsum("nctk,ck->nct", taps, w_f))
    g = expit(np.einsum("nctk,ck->nct", taps, w_g))
    return f * g, (taps, w_f, w_g, f, g, dilation)


def gated_causal_conv_backward(dout, cache):
    taps, w_f, w_g, f, g, dilation = cache
    T, K = taps.shape[2:]
    df = dout * g * (1.0 - f ** 2)
    dg = dout * f * g * (1.0 - g)
    dw_f = np.einsum("nctk,nct->ck", taps, df)
    dw_g = np.einsum("nctk,nct->ck", taps, dg)
    dx = np.zeros(taps.shape[:3])
    for k in range(K):
        d = (K - 1 - k) * dilation
        dtap = df * w_f[:, k, None] + dg * w_g[:, k, None]
        dx[:, :, :T - d] += dtap[:, :, d:]
    return {"x": dx, "w_f": dw_f, "w_g": dw_g}


def _gated_args():
    rng = np.random.default_rng(421)
    return dict(x=rng.normal(size=(2, 2, 7)), w_f=rng.normal(size=(2, 3)), w_g=rng.normal(size=(2, 3))), \
        dict(dilation=2)


_add("gated-causal-conv", "research repository (WaveNet)", gated_causal_conv, gated_causal_conv_backward,
     _gated_args, True)


# ---------------------------------------------------------------- maximum mean discrepancy


def mmd_forward(x, y, bandwidths):
    n, m = len(x), len(y)
    z = np.concatenate([x, y])
    s = np.concatenate([np.full(n, 1.0 / n), np.full(m, -1.0 / m)])
    diff = z[:, None] - z[None]
    d2 = (diff ** 2).sum(-1)
    K, slope = np.zeros_like(d2), np.zeros_like(d2)
    for h in bandwidths:
        k = np.exp(-d2 / (2.0 * h ** 2))
        K += k
        slope += -k / (2.0 * h ** 2)
    return s @ K @ s, (diff, slope, s, n)


def mmd_backward(g, cache):
    diff, slope, s, n = cache
    dd2 = g * np.outer(s, s) * slope
    dz = 4.0 * np.einsum("ij,ijd->id", dd2, diff)
    return dz[:n], dz[n:]


def _mmd_args():
    rng = np.random.default_rng(431)
    return dict(x=rng.normal(size=(4, 2)), y=0.5 + rng.normal(size=(3, 2))), dict(bandwidths=(0.5, 1.0, 2.0))


_add("mmd-rbf", "research repository (MMD networks)", mmd_forward, mmd_backward, _mmd_args, True)


# ---------------------------------------------------------------- rotary position embedding


def apply_rotary(q, positions, base):
    half = q.shape[-1] // 2
    angle = positions[:, None] * base ** (-np.arange(half) / half)
    cos, sin = np.cos(angle), np.sin(angle)
    q1, q2 = q[..., :half], q[..., half:]
    return np.concatenate([q1 * cos - q2 * sin, q2 * cos + q1 * sin], axis=-1), (cos, sin)


def apply_rotary_vjp(ct, res):
    cos, sin = res
    half = cos.shape[-1]
    c1, c2 = ct[..., :half], ct[..., half:]
    return np.concatenate([c1 * cos + c2 * sin, c2 * cos - c1 * sin], axis=-1)


_add("rotary-embedding", "Hugging Face port", apply_rotary, apply_rotary_vjp,
     lambda: (dict(q=np.random.default_rng(441).normal(size=(2, 3, 6))),
              dict(positions=np.arange(3.0), base=100.0)), True)


# ---------------------------------------------------------------- mixture density loss


def mixture_density_loss(a_pi, a_mu, a_sigma, t):
    log_pi = log_softmax(a_pi, axis=1)
    sigma = np.exp(a_sigma)
    sq = np.sum((t[:, None, :] - a_mu) ** 2, axis=2)
    D = t.shape[1]
    log_phi = -0.5 * D * np.log(2.0 * np.pi) - D * a_sigma - 0.5 * sq / sigma ** 2
    joint = log_pi + log_phi
    logp = logsumexp(joint, axis=1)
    gamma = np.exp(joint - logp[:, None])
    return -logp, (np.exp(log_pi), gamma, a_mu, sigma, sq, t)


def mixture_density_grad(dE, cache):
    pi, gamma, a_mu, sigma, sq, t = cache
    D = t.shape[1]
    dE = dE[:, None]
    d_pi = dE * (pi - gamma)
    d_mu = (dE * gamma / sigma ** 2)[:, :, None] * (a_mu - t[:, None, :])
    d_sigma = -dE * gamma * (sq / sigma ** 2 - D)
    return {"a_pi": d_pi, "a_mu": d_mu, "a_sigma": d_sigma}


def _mdn_args():
    rng = np.random.default_rng(451)
    return dict(a_pi=rng.normal(size=(4, 3)), a_mu=rng.normal(size=(4, 3, 2)),
                a_sigma=0.3 * rng.normal(size=(4, 3))), dict(t=rng.normal(size=(4, 2)))


_add("mixture-density", "deep learning book", mixture_density_loss, mixture_density_grad, _mdn_args, True)
