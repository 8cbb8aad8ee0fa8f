"""Single layers, losses, norms, kernels, attention scores and convolutions: a forward and a backward by hand."""

from typing import Callable, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular
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


def _wrong(name, style, make, slip, wrong, causes):
    ITEMS.append(Item(name, style, "vjp", make, False, slip, tuple(wrong), tuple(causes)))


def _right(name, style, make):
    ITEMS.append(Item(name, style, "vjp", make, True))


# ---------------------------------------------------------------- wrong ones


def batchnorm_forward(x, gamma, beta, eps):
    N, D = x.shape
    # step 1: mean
    mu = 1.0 / N * np.sum(x, axis=0)
    # step 2: subtract mean
    xmu = x - mu
    # step 3 and 4: variance
    sq = xmu**2
    var = 1.0 / N * np.sum(sq, axis=0)
    # step 5 and 6
    sqrtvar = np.sqrt(var + eps)
    ivar = 1.0 / sqrtvar
    # step 7 to 9
    xhat = xmu * ivar
    out = gamma * xhat + beta
    return out, (xhat, gamma, xmu, ivar, sqrtvar, var, eps)


def batchnorm_backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1.0 / (sqrtvar**2) * divar
    dvar = 0.5 * 1.0 / np.sqrt(var + eps) * dsqrtvar
    dsq = 1.0 / N * np.ones((N, D)) * dvar
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = np.sum(dxmu1 + dxmu2, axis=0)
    dx2 = 1.0 / N * np.ones((N, D)) * dmu
    return dx1 + dx2, dgamma, dbeta


def make_batchnorm():
    rng = np.random.default_rng(231)
    return dict(
        forward=batchnorm_forward,
        backward=batchnorm_backward,
        inputs={
            "x": 2.0 * rng.standard_normal((5, 4)) + 1.0,
            "gamma": rng.uniform(0.5, 1.5, 4),
            "beta": rng.standard_normal(4),
        },
        constants={"eps": 1e-5},
    )


_wrong(
    "bn_staged",
    "CS231n assignment",
    make_batchnorm,
    "The mean is subtracted, so its gradient is negative: dmu should be -1 * np.sum(dxmu1 + dxmu2, axis=0).",
    ["x"],
    ["sign"],
)


def layer_norm_fwd(x, weight, bias, eps):
    mean = x.mean(axis=-1, keepdims=True)
    rstd = 1.0 / np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    x_hat = (x - mean) * rstd
    return x_hat * weight + bias, (x_hat, rstd, weight)


def layer_norm_bwd(dy, saved):
    x_hat, rstd, weight = saved

    def avg(t):
        return t.mean(axis=0, keepdims=True)

    wdy = dy * weight
    c1 = avg(x_hat * wdy)
    c2 = avg(wdy)
    dx = (wdy - (x_hat * c1 + c2)) * rstd
    return {"x": dx, "weight": (dy * x_hat).sum(axis=0), "bias": dy.sum(axis=0)}


def make_layer_norm():
    rng = np.random.default_rng(7)
    return dict(
        forward=layer_norm_fwd,
        backward=layer_norm_bwd,
        inputs={
            "x": rng.standard_normal((4, 6)),
            "weight": 1.0 + 0.3 * rng.standard_normal(6),
            "bias": 0.1 * rng.standard_normal(6),
        },
        constants={"eps": 1e-5},
    )


_wrong(
    "layernorm_avg",
    "Triton tutorial port",
    make_layer_norm,
    "The two averages run over the rows as in batch norm; it should be t.mean(axis=-1,"
    " keepdims=True), over the features.",
    ["x"],
    ["shape"],
)


def conv_forward_naive(x, w, b, stride, pad):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    Ho = 1 + (H + 2 * pad - HH) // stride
    Wo = 1 + (W + 2 * pad - WW) // stride
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="constant")
    out = np.zeros((N, F, Ho, Wo))
    for n in range(N):
        for f in range(F):
            for i in range(Ho):
                for j in range(Wo):
                    hs, ws = i * stride, j * stride
                    out[n, f, i, j] = np.sum(x_pad[n, :, hs : hs + HH, ws : ws + WW] * w[f]) + b[f]
    return out, (x_pad, w, stride, pad)


def conv_backward_naive(dout, cache):
    x_pad, w, stride, pad = cache
    N, F, Ho, Wo = dout.shape
    _, _, HH, WW = w.shape
    dx_pad = np.zeros_like(x_pad)
    dw = np.zeros_like(w)
    db = np.zeros(F)
    for n in range(N):
        for f in range(F):
            db[f] += np.sum(dout[n, f])
            for i in range(Ho):
                for j in range(Wo):
                    hs, ws = i * stride, j * stride
                    dw[f] += x_pad[n, :, hs : hs + HH, ws : ws + WW] * dout[n, f, i, j]
                    dx_pad[n, :, hs : hs + HH, ws : ws + WW] = w[f] * dout[n, f, i, j]
    dx = dx_pad[:, :, pad:-pad, pad:-pad]
    return dx, dw, db


def make_conv_naive():
    np_random = np.random.RandomState(231)
    return dict(
        forward=conv_forward_naive,
        backward=conv_backward_naive,
        inputs={"x": np_random.randn(2, 2, 4, 4), "w": np_random.randn(3, 2, 3, 3), "b": np_random.randn(3)},
        constants={"stride": 1, "pad": 1},
    )


_wrong(
    "conv_naive",
    "CS231n assignment",
    make_conv_naive,
    "The windows overlap and the filters share them, so dx_pad[window] must be added to"
    " (+= w[f] * dout), not overwritten.",
    ["x"],
    ["missing-term"],
)


class AvgPool2D:
    def __init__(self, pool_size=3, strides=2):
        self.pool_size = pool_size
        self.strides = strides

    def call(self, inputs):
        k, s = self.pool_size, self.strides
        batch, rows, cols, channels = inputs.shape
        out_r, out_c = (rows - k) // s + 1, (cols - k) // s + 1
        outputs = np.empty((batch, out_r, out_c, channels))
        for r in range(out_r):
            for c in range(out_c):
                outputs[:, r, c, :] = inputs[:, r * s : r * s + k, c * s : c * s + k, :].mean(axis=(1, 2))
        return outputs, inputs.shape

    def grad(self, upstream, input_shape):
        k, s = self.pool_size, self.strides
        d_inputs = np.zeros(input_shape)
        for r in range(upstream.shape[1]):
            for c in range(upstream.shape[2]):
                share = upstream[:, r, c, :] / (s * s)
                d_inputs[:, r * s : r * s + k, c * s : c * s + k, :] += share[:, None, None, :]
        return d_inputs


def make_avg_pool():
    rng = np.random.default_rng(3)
    layer = AvgPool2D(pool_size=3, strides=2)
    return dict(forward=layer.call, backward=layer.grad, inputs={"inputs": rng.standard_normal((2, 5, 5, 2))})


_wrong(
    "avgpool_nhwc",
    "Keras-like library",
    make_avg_pool,
    "The share of a pixel is one over the window's size, upstream / (k * k), and not over the strides' s * s.",
    ["inputs"],
    ["factor"],
)


def sdpa_forward(q, k, v):
    scale = 1.0 / np.sqrt(q.shape[-1])
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) * scale
    scores = scores - scores.max(axis=-1, keepdims=True)
    p = np.exp(scores)
    p /= p.sum(axis=-1, keepdims=True)
    return np.matmul(p, v), (q, k, v, p, scale)


def sdpa_backward(do, ctx):
    q, k, v, p, scale = ctx
    dv = np.matmul(np.swapaxes(p, -1, -2), do)
    dp = np.matmul(do, np.swapaxes(v, -1, -2))
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
    dq = np.matmul(ds, k) * scale
    dk = np.matmul(np.swapaxes(ds, -1, -2), q)
    return dq, dk, dv


def make_sdpa():
    rng = np.random.default_rng(17)
    q, k, v = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 5, 4)), rng.standard_normal((2, 5, 3))
    return dict(forward=sdpa_forward, backward=sdpa_backward, inputs={"q": q, "k": k, "v": v})


_wrong(
    "sdpa",
    "research repository (flash attention reference)",
    make_sdpa,
    "The scores were scaled by 1/sqrt(d), and dk lacks that scale: dk = np.matmul(ds.T, q) * scale.",
    ["k"],
    ["factor"],
)


def relative_scores(q, k, bias_table, rel_index):
    # q, k: (heads, T, d); bias_table: (2 T - 1, heads)
    d = q.shape[-1]
    attn = (q * d**-0.5) @ k.transpose(0, 2, 1)
    attn = attn + bias_table[rel_index].transpose(2, 0, 1)
    return attn, (q, k, bias_table, rel_index)


def relative_scores_grad(d_attn, cache):
    q, k, bias_table, rel_index = cache
    scale = q.shape[-1] ** -0.5
    d_table = np.zeros_like(bias_table)
    d_table[rel_index] += d_attn.transpose(1, 2, 0)
    return {"q": d_attn @ k * scale, "k": d_attn.transpose(0, 2, 1) @ q * scale, "bias_table": d_table}


def make_relative_scores():
    rng = np.random.default_rng(2103)
    T, heads, d = 4, 2, 3
    return dict(
        forward=relative_scores,
        backward=relative_scores_grad,
        inputs={
            "q": rng.standard_normal((heads, T, d)),
            "k": rng.standard_normal((heads, T, d)),
            "bias_table": 0.2 * rng.standard_normal((2 * T - 1, heads)),
        },
        constants={"rel_index": np.arange(T)[:, None] - np.arange(T)[None, :] + T - 1},
    )


_wrong(
    "swin_bias",
    "research repository (window attention)",
    make_relative_scores,
    "An offset occurs many times and d_table[rel_index] += keeps only the last;"
    " np.add.at(d_table, rel_index, ...) sums.",
    ["bias_table"],
    ["missing-term"],
)


class EmbeddingBagMean:
    @staticmethod
    def forward(weight, input, offsets):
        ends = np.append(offsets[1:], len(input))
        lengths = ends - offsets
        output = np.stack([weight[input[a:b]].mean(axis=0) for a, b in zip(offsets, ends)])
        return output, (weight.shape, input, offsets, lengths)

    @staticmethod
    def backward(grad_output, saved):
        shape, input, offsets, lengths = saved
        bag = np.repeat(np.arange(len(lengths)), lengths)
        grad_per_index = (grad_output / lengths.max())[bag]
        grad_weight = np.zeros(shape)
        np.add.at(grad_weight, input, grad_per_index)
        return grad_weight


def make_embedding_bag():
    rng = np.random.default_rng(41)
    return dict(
        forward=EmbeddingBagMean.forward,
        backward=EmbeddingBagMean.backward,
        inputs={"weight": rng.standard_normal((6, 3))},
        constants={"input": np.array([1, 4, 4, 0, 2, 5, 1, 3]), "offsets": np.array([0, 3, 4])},
    )


_wrong(
    "embedding_bag",
    "PyTorch autograd.Function port",
    make_embedding_bag,
    "Each bag is averaged over its own tokens: grad_output / lengths[:, None], not over the longest bag's number.",
    ["weight"],
    ["elementwise-factor", "batch-sum"],
)

GELU_SCALING_FACTOR = np.sqrt(2.0 / np.pi)


def gelu_forward(inp):
    cube = 0.044715 * inp * inp * inp
    return 0.5 * inp * (1.0 + np.tanh(GELU_SCALING_FACTOR * (inp + cube))), inp


def gelu_backward(dout, inp):
    x = inp
    cube = 0.044715 * x * x * x
    tanh_arg = GELU_SCALING_FACTOR * (x + cube)
    tanh_out = np.tanh(tanh_arg)
    sech_out = 1.0 - tanh_out * tanh_out
    local_grad = 0.5 * (1.0 + tanh_out) + x * 0.5 * sech_out * GELU_SCALING_FACTOR * (1.0 + 0.044715 * x * x)
    return local_grad * dout


def make_gelu():
    rng = np.random.default_rng(124)
    return dict(forward=gelu_forward, backward=gelu_backward, inputs={"inp": rng.standard_normal((3, 5))})


_wrong(
    "gelu_tanh",
    "Karpathy llm.c port",
    make_gelu,
    "The cube's slope lacks its 3: the last bracket should be (1.0 + 3.0 * 0.044715 * x * x).",
    ["inp"],
    ["factor", "elementwise-factor"],
)


def swish(x, beta):
    s = expit(beta * x)
    return x * s, (x, beta, s)


def swish_grad(dy, cache):
    x, beta, s = cache
    dx = dy * (s + beta * x * s * (1 - s))
    dbeta = np.sum(dy * x * s * (1 - s), axis=0)
    return dx, dbeta


def make_swish():
    rng = np.random.default_rng(1710)
    return dict(
        forward=swish,
        backward=swish_grad,
        inputs={"x": 1.5 * rng.standard_normal((4, 3)), "beta": rng.uniform(0.5, 2.0, 3)},
    )


_wrong(
    "swish_beta",
    "JAX/TFP port",
    make_swish,
    "dbeta has only one x, but one comes from the product and one from beta * x:"
    " np.sum(dy * x**2 * s * (1 - s), axis=0).",
    ["beta"],
    ["elementwise-factor"],
)


def smoothed_xent(logits, labels, smoothing):
    n, k = logits.shape
    z = logits - logits.max(axis=1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    target = np.eye(k)[labels] * (1.0 - smoothing) + smoothing / k
    loss = -(target * logp).sum() / n
    return loss, (logp, labels)


def smoothed_xent_backward(dloss, cache):
    logp, labels = cache
    n = len(labels)
    grad = np.exp(logp)
    grad[np.arange(n), labels] -= 1.0
    return dloss * grad / n


def make_smoothed_xent():
    rng = np.random.default_rng(512)
    return dict(
        forward=smoothed_xent,
        backward=smoothed_xent_backward,
        inputs={"logits": rng.standard_normal((4, 5))},
        constants={"labels": np.array([2, 0, 4, 1]), "smoothing": 0.2},
    )


_wrong(
    "label_smoothing",
    "Kaggle notebook",
    make_smoothed_xent,
    "The gradient subtracts the hard labels where the loss has smoothed ones: it should be np.exp(logp) - target, with"
    " target = (1 - smoothing) * onehot + smoothing / k.",
    ["logits"],
    ["missing-term"],
)


class TripletLoss:
    def __init__(self, margin=1.0):
        self.margin = margin

    def forward(self, anchor, positive, negative):
        d_pos = np.sum((anchor - positive) ** 2, axis=1)
        d_neg = np.sum((anchor - negative) ** 2, axis=1)
        losses = d_pos - d_neg + self.margin
        active = losses > 0
        return np.mean(np.maximum(losses, 0)), (anchor, positive, negative, active)

    def backward(self, dout, cache):
        anchor, positive, negative, active = cache
        coef = dout * active[:, None] / anchor.shape[0]
        grad_a = coef * 2 * (negative - positive)
        grad_p = coef * 2 * (positive - anchor)
        grad_n = coef * 2 * (negative - anchor)
        return {"anchor": grad_a, "positive": grad_p, "negative": grad_n}


def make_triplet():
    rng = np.random.default_rng(1503)
    layer = TripletLoss(margin=2.0)
    a = rng.standard_normal((5, 3))
    return dict(
        forward=layer.forward,
        backward=layer.backward,
        inputs={
            "anchor": a,
            "positive": a + 0.6 * rng.standard_normal((5, 3)),
            "negative": a + 0.9 * rng.standard_normal((5, 3)),
        },
    )


_wrong(
    "triplet",
    "research repository (face embeddings)",
    make_triplet,
    "The distance to the negative enters with a minus: grad_n = coef * 2 * (anchor - negative).",
    ["negative"],
    ["sign"],
)


def clip_loss(image, text, logit_scale):
    n = image.shape[0]
    logits = np.exp(logit_scale) * image @ text.T
    logp_i = logits - logsumexp(logits, axis=1, keepdims=True)
    logp_t = logits - logsumexp(logits, axis=0, keepdims=True)
    loss_i = -np.mean(np.diag(logp_i))
    loss_t = -np.mean(np.diag(logp_t))
    return (loss_i + loss_t) / 2, (image, text, logit_scale, logits, np.exp(logp_i), np.exp(logp_t), n)


def clip_loss_backward(dloss, cache):
    image, text, logit_scale, logits, p_i, p_t, n = cache
    eye = np.eye(n)
    dlogits = dloss * (p_i - eye) / (2 * n)
    scale = np.exp(logit_scale)
    dimage = scale * dlogits @ text
    dtext = scale * dlogits.T @ image
    dscale = np.sum(dlogits * logits)
    return dimage, dtext, dscale


def make_clip():
    rng = np.random.default_rng(2021)
    image, text = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    return dict(
        forward=clip_loss,
        backward=clip_loss_backward,
        inputs={"image": image, "text": text, "logit_scale": np.array(0.7)},
    )


_wrong(
    "clip_symmetric",
    "research repository (image-text contrast)",
    make_clip,
    "Only the image-to-text half goes back; dlogits should be dloss * ((p_i - eye) + (p_t - eye)) / (2 * n).",
    ["image", "text", "logit_scale"],
    ["missing-term"],
)


def cosine_similarity_fwd(x1, x2, eps):
    dot = (x1 * x2).sum(1)
    n1 = np.sqrt((x1 * x1).sum(1) + eps)
    n2 = np.sqrt((x2 * x2).sum(1) + eps)
    cos = dot / (n1 * n2)
    return cos, (x1, x2, n1, n2, cos)


def cosine_similarity_bwd(grad, saved):
    x1, x2, n1, n2, cos = saved
    g = grad[:, None]
    inv = (1.0 / (n1 * n2))[:, None]
    grad_x1 = g * (x2 * inv - cos[:, None] * x1 / n1[:, None])
    grad_x2 = g * (x1 * inv - cos[:, None] * x2 / (n2**2)[:, None])
    return grad_x1, grad_x2


def make_cosine():
    rng = np.random.default_rng(12)
    return dict(
        forward=cosine_similarity_fwd,
        backward=cosine_similarity_bwd,
        inputs={"x1": 1.7 * rng.standard_normal((4, 5)), "x2": rng.standard_normal((4, 5))},
        constants={"eps": 1e-8},
    )


_wrong(
    "cosine_sim",
    "PyTorch autograd.Function port",
    make_cosine,
    "In grad_x1 the norm should be squared, cos * x1 / n1**2, as it is for x2.",
    ["x1"],
    ["elementwise-factor"],
)


def compute_distances_no_loops(X, Y):
    XX = np.sum(X**2, axis=1)[:, np.newaxis]
    YY = np.sum(Y**2, axis=1)[np.newaxis, :]
    dists = XX + YY - 2 * X.dot(Y.T)
    return dists, (X, Y)


def distances_backward(ddists, cache):
    X, Y = cache
    dX = 2 * X * np.sum(ddists, axis=1)[:, np.newaxis] - 2 * ddists.dot(Y)
    dY = 2 * Y * np.sum(ddists, axis=1)[:, np.newaxis] - 2 * ddists.T.dot(X)
    return {"X": dX, "Y": dY}


def make_distances():
    rng = np.random.RandomState(5)
    return dict(
        forward=compute_distances_no_loops,
        backward=distances_backward,
        inputs={"X": rng.randn(4, 3), "Y": rng.randn(4, 3)},
    )


_wrong(
    "knn_distances",
    "CS231n assignment",
    make_distances,
    "The rows of Y belong to the columns of the distances: dY needs np.sum(ddists, axis=0)[:, np.newaxis].",
    ["Y"],
    ["shape", "transpose"],
)


class RBF:
    def K(self, X, X2, variance, lengthscale):
        r2 = np.sum(np.square(X), 1)[:, None] + np.sum(np.square(X2), 1)[None, :] - 2.0 * np.dot(X, X2.T)
        r2 = np.clip(r2, 0, np.inf)
        K_exp = np.exp(-0.5 * r2 / lengthscale**2)
        return variance * K_exp, (X, X2, variance, lengthscale, r2, K_exp)

    def update_gradients_full(self, dL_dK, cache):
        X, X2, variance, lengthscale, r2, K_exp = cache
        K = variance * K_exp
        d_variance = np.sum(dL_dK * K_exp)
        d_lengthscale = np.sum(dL_dK * K * r2) / lengthscale**2
        tmp = -dL_dK * K / lengthscale**2
        d_X = tmp.sum(1)[:, None] * X - np.dot(tmp, X2)
        d_X2 = tmp.sum(0)[:, None] * X2 - np.dot(tmp.T, X)
        return dict(X=d_X, X2=d_X2, variance=d_variance, lengthscale=d_lengthscale)


def make_rbf():
    rng = np.random.default_rng(29)
    kern = RBF()
    return dict(
        forward=kern.K,
        backward=kern.update_gradients_full,
        inputs={
            "X": rng.standard_normal((4, 2)),
            "X2": rng.standard_normal((3, 2)),
            "variance": np.array(1.3),
            "lengthscale": np.array(0.6),
        },
    )


_wrong(
    "rbf_lengthscale",
    "GPy-like library",
    make_rbf,
    "The slope of -r2 / (2 l^2) is r2 / l^3: d_lengthscale = np.sum(dL_dK * K * r2) / lengthscale**3.",
    ["lengthscale"],
    ["factor"],
)


def rmsnorm(x, weight, eps):
    """x: (B, T, D)"""
    inv_rms = 1.0 / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + eps)
    return x * inv_rms * weight, (x, weight, inv_rms)


def rmsnorm_backward(dout, cache):
    x, weight, inv_rms = cache
    dnorm = dout * weight
    dweight = np.sum(dout * x * inv_rms, axis=(0, 1))
    dx = dnorm * inv_rms
    return {"x": dx, "weight": dweight}


def make_rmsnorm():
    rng = np.random.default_rng(2302)
    return dict(
        forward=rmsnorm,
        backward=rmsnorm_backward,
        inputs={"x": rng.standard_normal((2, 3, 4)), "weight": rng.uniform(0.5, 1.5, 4)},
        constants={"eps": 1e-6},
    )


_wrong(
    "rmsnorm",
    "research repository (LLaMA in NumPy)",
    make_rmsnorm,
    "The path through the root mean square is left out: dx lacks"
    " - x * inv_rms**3 * np.mean(dnorm * x, axis=-1, keepdims=True).",
    ["x"],
    ["missing-term"],
)


def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    eps = gn_param.get("eps", 1e-5)
    N, C, H, W = x.shape
    xg = x.reshape(N, G, C // G * H * W)
    mu = xg.mean(axis=2, keepdims=True)
    std = np.sqrt(xg.var(axis=2, keepdims=True) + eps)
    x_norm = ((xg - mu) / std).reshape(N, C, H, W)
    out = gamma * x_norm + beta
    return out, (x_norm, gamma, std, G)


def spatial_groupnorm_backward(dout, cache):
    x_norm, gamma, std, G = cache
    N, C, H, W = dout.shape
    dbeta = dout.sum(axis=(0, 2, 3), keepdims=True)
    dgamma = (dout * x_norm).sum(axis=(0, 2, 3), keepdims=True)
    m = C // G * H
    dxn = (dout * gamma).reshape(N, G, -1)
    xn = x_norm.reshape(N, G, -1)
    s1 = dxn.sum(axis=2, keepdims=True)
    s2 = (dxn * xn).sum(axis=2, keepdims=True)
    dx = (dxn - s1 / m - xn * s2 / m) / std
    return dx.reshape(N, C, H, W), dgamma, dbeta


def make_groupnorm():
    rng = np.random.RandomState(18)
    return dict(
        forward=spatial_groupnorm_forward,
        backward=spatial_groupnorm_backward,
        inputs={"x": rng.randn(2, 4, 2, 3), "gamma": 1 + 0.2 * rng.randn(1, 4, 1, 1), "beta": rng.randn(1, 4, 1, 1)},
        constants={"G": 2, "gn_param": {"eps": 1e-5}},
    )


_wrong(
    "groupnorm_count",
    "CS231n assignment",
    make_groupnorm,
    "The number of values in a group forgets the width: m should be C // G * H * W.",
    ["x"],
    ["factor"],
)


def weight_norm(v, g):
    norm = np.sqrt(np.sum(v**2, axis=1, keepdims=True))
    w = g[:, None] * v / norm
    return w, (v, g, norm)


def weight_norm_backward(dw, cache):
    v, g, norm = cache
    dg = np.sum(dw * v, axis=1) / norm[:, 0]
    dv = g[:, None] / norm * dw - dg[:, None] / norm**2 * v
    return {"v": dv, "g": dg}


def make_weight_norm():
    rng = np.random.default_rng(1602)
    return dict(
        forward=weight_norm,
        backward=weight_norm_backward,
        inputs={"v": rng.standard_normal((3, 5)), "g": np.array([0.4, 1.6, -2.2])},
    )


_wrong(
    "weight_norm",
    "research repository (weight normalization)",
    make_weight_norm,
    "The second term of dv lacks the gain: - g[:, None] * dg[:, None] / norm**2 * v.",
    ["v"],
    ["elementwise-factor"],
)


def smooth_l1_loss(input, target, beta, reduction):
    diff = input - target
    a = np.abs(diff)
    loss = np.where(a < beta, 0.5 * a**2 / beta, a - 0.5 * beta)
    if reduction == "mean":
        return loss.mean(), (diff, beta, reduction)
    return loss.sum(), (diff, beta, reduction)


def smooth_l1_loss_backward(grad_output, saved):
    diff, beta, reduction = saved
    norm = 1.0 / diff.size if reduction == "mean" else 1.0
    grad_input = np.where(np.abs(diff) < beta, diff, np.sign(diff)) * norm * grad_output
    return {"input": grad_input, "target": -grad_input}


def make_smooth_l1():
    rng = np.random.default_rng(99)
    target = rng.standard_normal((4, 3))
    size = np.array([[0.1, 0.9, 0.3], [1.2, 0.2, 0.05], [0.4, 0.7, 0.25], [2.0, 0.1, 0.33]])
    off = rng.choice([-1.0, 1.0], (4, 3)) * size
    return dict(
        forward=smooth_l1_loss,
        backward=smooth_l1_loss_backward,
        inputs={"input": target + off, "target": target},
        constants={"beta": 0.5, "reduction": "mean"},
    )


_wrong(
    "smooth_l1",
    "PyTorch autograd.Function port",
    make_smooth_l1,
    "The quadratic part of the loss is divided by beta, its slope is not:"
    " np.where(np.abs(diff) < beta, diff / beta, np.sign(diff)).",
    ["input", "target"],
    ["factor", "elementwise-factor"],
)


def softmax_focal_loss(logits, labels, gamma):
    z = logits - np.max(logits, axis=1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    pt = p[np.arange(len(labels)), labels]
    loss = np.mean(-((1 - pt) ** gamma) * np.log(pt))
    return loss, (p, pt, labels, gamma)


def softmax_focal_loss_backward(dloss, cache):
    p, pt, labels, gamma = cache
    n = len(labels)
    onehot = np.zeros_like(p)
    onehot[np.arange(n), labels] = 1
    dpt = -((1 - pt) ** gamma) / pt
    dpt = dpt * dloss / n
    return (dpt * pt)[:, None] * (onehot - p)


def make_focal():
    rng = np.random.default_rng(1708)
    return dict(
        forward=softmax_focal_loss,
        backward=softmax_focal_loss_backward,
        inputs={"logits": rng.standard_normal((5, 4))},
        constants={"labels": np.array([0, 3, 1, 1, 2]), "gamma": 2.0},
    )


_wrong(
    "focal_loss",
    "research repository (dense detection)",
    make_focal,
    "The modulating power is taken for a constant: dpt lacks + gamma * (1 - pt) ** (gamma - 1) * np.log(pt).",
    ["logits"],
    ["missing-term"],
)


def kl_normal_normal(loc_a, logvar_a, loc_b, logvar_b):
    """KL(a || b), summed over the event dimension."""
    diff_log = logvar_a - logvar_b
    sq = np.square(loc_a - loc_b) * np.exp(-logvar_b)
    kl = 0.5 * np.sum(sq + np.expm1(diff_log) - diff_log, axis=-1)
    return kl, (loc_a, logvar_a, loc_b, logvar_b)


def kl_normal_normal_vjp(ct, residuals):
    loc_a, logvar_a, loc_b, logvar_b = residuals
    ct = ct[..., None]
    ratio = np.exp(logvar_a - logvar_b)
    delta = (loc_a - loc_b) * np.exp(-logvar_b)
    d_loc_a = ct * delta
    d_logvar_a = ct * 0.5 * ratio
    d_logvar_b = ct * 0.5 * (1.0 - ratio - delta * (loc_a - loc_b))
    return d_loc_a, d_logvar_a, -d_loc_a, d_logvar_b


def make_kl_normal():
    rng = np.random.default_rng(64)
    return dict(
        forward=kl_normal_normal,
        backward=kl_normal_normal_vjp,
        inputs={
            "loc_a": rng.standard_normal((4, 3)),
            "logvar_a": 0.5 * rng.standard_normal((4, 3)),
            "loc_b": rng.standard_normal((4, 3)),
            "logvar_b": 0.5 * rng.standard_normal((4, 3)),
        },
    )


_wrong(
    "kl_two_normals",
    "JAX/TFP port",
    make_kl_normal,
    "The -diff_log of the divergence gives no slope to logvar_a: it should be ct * 0.5 * (ratio - 1.0).",
    ["logvar_a"],
    ["missing-term"],
)


def increasing_knots(raw, left):
    """Knots that increase: left + cumsum(softplus(raw))."""
    widths = np.logaddexp(0.0, raw)
    knots = left[:, None] + np.cumsum(widths, axis=1)
    return knots, raw


def increasing_knots_backward(d_knots, raw):
    d_left = d_knots.sum(axis=1)
    # every width moves all knots to its right
    d_widths = np.cumsum(d_knots[:, ::-1], axis=1)
    d_raw = d_widths * expit(raw)
    return {"raw": d_raw, "left": d_left}


def make_knots():
    rng = np.random.default_rng(1906)
    return dict(
        forward=increasing_knots,
        backward=increasing_knots_backward,
        inputs={"raw": rng.standard_normal((3, 5)), "left": rng.standard_normal(3)},
    )


_wrong(
    "spline_knots",
    "research repository (neural spline flows)",
    make_knots,
    "The reversed cumulative sum is not turned back: d_widths = np.cumsum(d_knots[:, ::-1], axis=1)[:, ::-1].",
    ["raw"],
    ["transpose"],
)


def merge_heads_proj(ctx, Wo, bo):
    B, H, T, dh = ctx.shape
    merged = ctx.transpose(0, 2, 1, 3).reshape(B, T, H * dh)
    return merged @ Wo + bo, (merged, Wo, (B, H, T, dh))


def merge_heads_proj_backward(dout, cache):
    merged, Wo, (B, H, T, dh) = cache
    E = H * dh
    dWo = merged.reshape(-1, E).T @ dout.reshape(-1, dout.shape[-1])
    dbo = dout.sum(axis=(0, 1))
    dmerged = dout @ Wo.T
    dctx = dmerged.reshape(B, H, T, dh)
    return {"ctx": dctx, "Wo": dWo, "bo": dbo}


def make_merge_heads():
    rng = np.random.default_rng(706)
    return dict(
        forward=merge_heads_proj,
        backward=merge_heads_proj_backward,
        inputs={
            "ctx": rng.standard_normal((2, 2, 3, 2)),
            "Wo": rng.standard_normal((4, 5)),
            "bo": rng.standard_normal(5),
        },
    )


_wrong(
    "merge_heads",
    "fast.ai-style notebook",
    make_merge_heads,
    "The heads are reshaped without the transpose: dmerged.reshape(B, T, H, dh).transpose(0, 2, 1, 3).",
    ["ctx"],
    ["transpose"],
)


class BilinearScore:
    """score_n = left_n^T A right_n + b"""

    def forward(self, left, right, A, b):
        Ar = right @ A.T
        return np.sum(left * Ar, axis=1) + b, (left, right, A, Ar)

    def backward(self, gy, retained):
        left, right, A, Ar = retained
        g = gy[:, None]
        gleft = g * Ar
        gright = (g * left) @ A
        gA = (g * right).T @ left
        return gleft, gright, gA, gy.sum()


def make_bilinear():
    rng = np.random.default_rng(51)
    f = BilinearScore()
    return dict(
        forward=f.forward,
        backward=f.backward,
        inputs={
            "left": rng.standard_normal((5, 3)),
            "right": rng.standard_normal((5, 3)),
            "A": rng.standard_normal((3, 3)),
            "b": np.array(0.2),
        },
    )


_wrong(
    "bilinear_score",
    "Chainer-like library",
    make_bilinear,
    "The gradient of A is transposed: left_i right_j belongs to A_ij, so gA = (g * left).T @ right.",
    ["A"],
    ["transpose"],
)


def apply_rotary(x, positions, base):
    half = x.shape[-1] // 2
    freqs = base ** (-np.arange(half) / half)
    angles = positions[:, None] * freqs
    cos, sin = np.cos(angles), np.sin(angles)
    x1, x2 = x[..., :half], x[..., half:]
    out = np.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], axis=-1)
    return out, (cos, sin)


def apply_rotary_backward(dout, cache):
    cos, sin = cache
    half = dout.shape[-1] // 2
    d1, d2 = dout[..., :half], dout[..., half:]
    return np.concatenate([d1 * cos - d2 * sin, d2 * cos + d1 * sin], axis=-1)


def make_rotary():
    rng = np.random.default_rng(2104)
    return dict(
        forward=apply_rotary,
        backward=apply_rotary_backward,
        inputs={"x": rng.standard_normal((2, 4, 6))},
        constants={"positions": np.arange(4.0), "base": 100.0},
    )


_wrong(
    "rotary",
    "research repository (RoPE)",
    make_rotary,
    "The gradient must be rotated back, with -sin: [d1 * cos + d2 * sin, d2 * cos - d1 * sin].",
    ["x"],
    ["sign", "transpose"],
)


def _columns(x, k):
    length = x.shape[-1] - k + 1
    return np.stack([x[:, i : i + length] for i in range(k)], axis=1).reshape(-1, length)


def conv1d_forward(x, W, b):
    N, C, L = x.shape
    F, _, k = W.shape
    out = np.zeros((N, F, L - k + 1))
    for n in range(N):
        out[n] = W.reshape(F, -1) @ _columns(x[n], k) + b[:, None]
    return out, (x, W)


def conv1d_backward(dout, cache):
    x, W = cache
    N, C, L = x.shape
    F, _, k = W.shape
    length = L - k + 1
    dx = np.zeros_like(x)
    for n in range(N):
        dW = (dout[n] @ _columns(x[n], k).T).reshape(W.shape)
        dcols = (W.reshape(F, -1).T @ dout[n]).reshape(C, k, length)
        for i in range(k):
            dx[n, :, i : i + length] += dcols[:, i]
    db = dout.sum(axis=(0, 2))
    return {"x": dx, "W": dW, "b": db}


def make_conv1d():
    rng = np.random.default_rng(77)
    return dict(
        forward=conv1d_forward,
        backward=conv1d_backward,
        inputs={
            "x": rng.standard_normal((3, 2, 6)),
            "W": rng.standard_normal((2, 2, 3)),
            "b": rng.standard_normal(2),
        },
    )


_wrong(
    "conv1d_loop",
    "deep learning book",
    make_conv1d,
    "In the loop over the examples dW is set anew, so only the last one counts: dW += ... from zeros.",
    ["W"],
    ["batch-sum"],
)


def weighted_logistic_loss(X, w, b, y, sample_weight):
    z = X @ w + b
    nll = np.logaddexp(0.0, z) - y * z
    return np.average(nll, weights=sample_weight), (X, w, z, y, sample_weight)


def weighted_logistic_grad(dloss, cache):
    X, w, z, y, sample_weight = cache
    residual = expit(z) - y
    weights = sample_weight / sample_weight.sum()
    grad_w = X.T @ (weights * residual)
    grad_b = np.mean(residual)
    grad_X = np.outer(weights * residual, w)
    return {"X": dloss * grad_X, "w": dloss * grad_w, "b": dloss * grad_b}


def make_weighted_logistic():
    rng = np.random.default_rng(8)
    return dict(
        forward=weighted_logistic_loss,
        backward=weighted_logistic_grad,
        inputs={"X": rng.standard_normal((5, 3)), "w": rng.standard_normal(3), "b": np.array(-0.3)},
        constants={
            "y": np.array([1.0, 0.0, 1.0, 1.0, 0.0]),
            "sample_weight": np.array([0.5, 3.0, 1.0, 0.2, 1.5]),
        },
    )


_wrong(
    "weighted_logistic",
    "scikit-learn-like library",
    make_weighted_logistic,
    "The intercept's gradient ignores the sample weights: grad_b = np.sum(weights * residual).",
    ["b"],
    ["batch-sum", "elementwise-factor"],
)


def position_wise_ffn(x, params):
    h_pre = x @ params["W1"] + params["b1"]
    h = np.maximum(h_pre, 0.0)
    y = h @ params["W2"] + params["b2"]
    return y, (x, h_pre, h, params)


def position_wise_ffn_backward(dy, cache):
    x, h_pre, h, params = cache
    grads = {}
    grads["W2"] = np.einsum("bti,bto->io", h, dy)
    grads["b2"] = dy.sum(axis=(0, 1))
    dh = (dy @ params["W2"].T) * (h_pre > 0)
    grads["W1"] = np.einsum("bti,bto->io", x, dh)
    grads["b1"] = dh.sum(axis=0)
    return {"x": dh @ params["W1"].T, "params": grads}


def make_ffn():
    rng = np.random.default_rng(1706)
    return dict(
        forward=position_wise_ffn,
        backward=position_wise_ffn_backward,
        inputs={
            "x": rng.standard_normal((2, 3, 4)),
            "params": {
                "W1": rng.standard_normal((4, 6)),
                "b1": 0.3 * rng.standard_normal(6),
                "W2": rng.standard_normal((6, 4)),
                "b2": 0.3 * rng.standard_normal(4),
            },
        },
    )


_wrong(
    "ffn_bias",
    "annotated transformer notebook",
    make_ffn,
    "With (batch, time, features) the bias is shared by the time steps too: dh.sum(axis=(0, 1)), not axis=0.",
    ["b1"],
    ["shape", "batch-sum"],
)


def residual_relu(x, W, b):
    a = x.dot(W) + b
    out = x + np.maximum(0, a)
    return out, (x, W, a)


def residual_relu_backward(dout, cache):
    x, W, a = cache
    da = dout
    da[a <= 0] = 0
    dW = x.T.dot(da)
    db = da.sum(axis=0)
    dx = da.dot(W.T) + dout
    return dx, dW, db


def make_residual_relu():
    rng = np.random.RandomState(1512)
    return dict(
        forward=residual_relu,
        backward=residual_relu_backward,
        inputs={"x": rng.randn(4, 5), "W": rng.randn(5, 5), "b": 0.1 * rng.randn(5)},
    )


_wrong(
    "residual_relu",
    "Karpathy gist",
    make_residual_relu,
    "da is dout itself, so the mask is written into the caller's dout and the skip path gets it too: da = dout.copy().",
    ["x"],
    ["mutates-input", "elementwise-factor"],
)

_gumbel_rng = np.random.RandomState(0)


def gumbel_softmax(logits, tau):
    u = _gumbel_rng.uniform(1e-10, 1.0, size=logits.shape)
    g = -np.log(-np.log(u))
    z = (logits + g) / tau
    z -= z.max(axis=-1, keepdims=True)
    y = np.exp(z)
    y /= y.sum(axis=-1, keepdims=True)
    return y, (y, tau)


def gumbel_softmax_backward(dy, cache):
    y, tau = cache
    dz = y * (dy - np.sum(dy * y, axis=-1, keepdims=True))
    return dz / tau


def make_gumbel():
    rng = np.random.default_rng(1611)
    return dict(
        forward=gumbel_softmax,
        backward=gumbel_softmax_backward,
        inputs={"logits": rng.standard_normal((3, 4))},
        constants={"tau": 0.8},
    )


_wrong(
    "gumbel_softmax",
    "research repository (categorical relaxation)",
    make_gumbel,
    "The Gumbel noise is drawn inside the forward, so each call gives another y; u (or g) should be an argument.",
    ["logits"],
    ["noise-redrawn"],
)


class Dense:
    def __init__(self, n_in, n_out):
        self.dW = np.zeros((n_in, n_out))
        self.db = np.zeros(n_out)

    def forward(self, x, W, b):
        y = np.tanh(x @ W + b)
        return y, (x, W, y)

    def backward(self, dy, cache):
        x, W, y = cache
        dz = dy * (1 - y**2)
        self.dW += x.T @ dz
        self.db = dz.sum(axis=0)
        return {"x": dz @ W.T, "W": self.dW.copy(), "b": self.db.copy()}


def make_dense():
    rng = np.random.default_rng(55)
    layer = Dense(4, 3)
    return dict(
        forward=layer.forward,
        backward=layer.backward,
        inputs={"x": rng.standard_normal((5, 4)), "W": rng.standard_normal((4, 3)), "b": rng.standard_normal(3)},
    )


_wrong(
    "dense_layer",
    "Keras-like library",
    make_dense,
    "The layer keeps adding to its gradient from call to call: self.dW = x.T @ dz, as for the bias.",
    ["W"],
    ["accumulates"],
)


def center_loss(features, centers, labels):
    diff = features - centers[labels]
    return 0.5 * np.sum(diff**2) / len(labels), (features, centers, labels)


def center_loss_backward(dloss, cache):
    features, centers, labels = cache
    m = len(labels)
    dfeatures = dloss * (features - centers[labels]) / m
    dcenters = np.zeros_like(centers)
    for c in range(centers.shape[0]):
        rows = dcenters[[c]]
        rows += (centers[c] - features[labels == c]).sum(axis=0) * dloss / m
    return {"features": dfeatures, "centers": dcenters}


def make_center_loss():
    rng = np.random.default_rng(33)
    return dict(
        forward=center_loss,
        backward=center_loss_backward,
        inputs={"features": rng.standard_normal((6, 3)), "centers": rng.standard_normal((3, 3))},
        constants={"labels": np.array([0, 1, 2, 1, 0, 1])},
    )


_wrong(
    "center_loss",
    "research repository (face recognition)",
    make_center_loss,
    "dcenters[[c]] is a copy, what is added to it is lost and dcenters stays zero: dcenters[c] += ...",
    ["centers"],
    ["zero"],
)


def self_cdist(x):
    diff = x[:, None, :] - x[None, :, :]
    dist = np.sqrt(np.sum(diff**2, axis=-1))
    return dist, (diff, dist)


def self_cdist_backward(ddist, cache):
    diff, dist = cache
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = diff / dist[:, :, None]
    contrib = ddist[:, :, None] * unit
    return contrib.sum(axis=1) - contrib.sum(axis=0)


def make_self_cdist():
    rng = np.random.default_rng(20)
    return dict(forward=self_cdist, backward=self_cdist_backward, inputs={"x": rng.standard_normal((4, 2))})


_wrong(
    "self_cdist",
    "research repository (metric learning)",
    make_self_cdist,
    "On the diagonal the distance is 0 and 0 / 0 makes every row NaN; divide by np.where(dist > 0, dist, 1.0).",
    ["x"],
    ["non-finite"],
)


class MaxPool:
    """Max pooling by loops, one channel at a time."""

    def __init__(self, size):
        self.size = size

    def forward(self, x):
        n, c, h, w = x.shape
        s = self.size
        out = np.zeros((n, c, h // s, w // s))
        where = {}
        for idx in np.ndindex(*out.shape):
            b, ch, i, j = idx
            window = x[b, ch, i * s : (i + 1) * s, j * s : (j + 1) * s]
            di, dj = np.unravel_index(np.argmax(window), window.shape)
            out[idx] = window[di, dj]
            where[idx] = (b, ch, i * s + di, j * s + dj)
        return out, (x.shape, where)

    def backward(self, d_out, cache):
        shape, where = cache
        d_x = np.full(shape, 0)
        for idx, pos in where.items():
            d_x[pos] += d_out[idx]
        return d_x


def make_maxpool_loops():
    rng = np.random.default_rng(28)
    pool = MaxPool(2)
    return dict(forward=pool.forward, backward=pool.backward, inputs={"x": rng.standard_normal((2, 2, 4, 4))})


_wrong(
    "maxpool_full",
    "CNN from scratch blog",
    make_maxpool_loops,
    "np.full(shape, 0) is an array of integers and cuts the gradient's decimals off; it should be np.zeros(shape).",
    ["x"],
    ["precision", "zero"],
)


# ---------------------------------------------------------------- right ones


class CrossEntropyIgnore:
    @staticmethod
    def forward(input, target, weight, ignore_index):
        keep = target != ignore_index
        safe = np.where(keep, target, 0)
        logp = input - logsumexp(input, axis=1, keepdims=True)
        w = weight[safe] * keep
        total = w.sum()
        loss = -(w * logp[np.arange(len(target)), safe]).sum() / total
        return loss, (logp, safe, w, total)

    @staticmethod
    def backward(grad_output, saved):
        logp, safe, w, total = saved
        grad = np.exp(logp)
        grad[np.arange(len(safe)), safe] -= 1
        return grad * (grad_output * w / total)[:, None]


def make_ce_ignore():
    rng = np.random.default_rng(100)
    return dict(
        forward=CrossEntropyIgnore.forward,
        backward=CrossEntropyIgnore.backward,
        inputs={"input": rng.standard_normal((5, 4))},
        constants={
            "target": np.array([1, -100, 3, 0, 3]),
            "weight": np.array([0.5, 1.0, 2.0, 1.7]),
            "ignore_index": -100,
        },
    )


_right("ce_ignore_index", "PyTorch autograd.Function port", make_ce_ignore)


def spatial_bn_forward(x, gamma, beta, eps):
    mu = x.mean(axis=(0, 2, 3), keepdims=True)
    v = x.var(axis=(0, 2, 3), keepdims=True)
    x_hat = (x - mu) / np.sqrt(v + eps)
    out = gamma[None, :, None, None] * x_hat + beta[None, :, None, None]
    return out, (x_hat, gamma, v + eps)


def spatial_bn_backward_alt(dout, cache):
    x_hat, gamma, v = cache
    N, C, H, W = dout.shape
    m = N * H * W
    axes = (0, 2, 3)
    dbeta = dout.sum(axis=axes)
    dgamma = (dout * x_hat).sum(axis=axes)
    k = (gamma / m)[None, :, None, None] / np.sqrt(v)
    dx = k * (m * dout - dbeta[None, :, None, None] - x_hat * dgamma[None, :, None, None])
    return dx, dgamma, dbeta


def make_spatial_bn():
    rng = np.random.RandomState(232)
    return dict(
        forward=spatial_bn_forward,
        backward=spatial_bn_backward_alt,
        inputs={"x": 3 * rng.randn(2, 3, 3, 2) + 4, "gamma": rng.rand(3) + 0.5, "beta": rng.randn(3)},
        constants={"eps": 1e-5},
    )


_right("spatial_bn_alt", "CS231n assignment", make_spatial_bn)


def im2col(img, fh, fw, stride, pad):
    N, C, H, W = img.shape
    oh, ow = (H + 2 * pad - fh) // stride + 1, (W + 2 * pad - fw) // stride + 1
    img = np.pad(img, [(0, 0), (0, 0), (pad, pad), (pad, pad)], "constant")
    col = np.zeros((N, C, fh, fw, oh, ow))
    for y in range(fh):
        for x in range(fw):
            col[:, :, y, x] = img[:, :, y : y + stride * oh : stride, x : x + stride * ow : stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(N * oh * ow, -1)


def col2im(col, shape, fh, fw, stride, pad):
    N, C, H, W = shape
    oh, ow = (H + 2 * pad - fh) // stride + 1, (W + 2 * pad - fw) // stride + 1
    col = col.reshape(N, oh, ow, C, fh, fw).transpose(0, 3, 4, 5, 1, 2)
    img = np.zeros((N, C, H + 2 * pad + stride - 1, W + 2 * pad + stride - 1))
    for y in range(fh):
        for x in range(fw):
            img[:, :, y : y + stride * oh : stride, x : x + stride * ow : stride] += col[:, :, y, x]
    return img[:, :, pad : H + pad, pad : W + pad]


def convolution_forward(x, W, b, stride, pad):
    FN, C, FH, FW = W.shape
    N, _, H, Wd = x.shape
    oh, ow = (H + 2 * pad - FH) // stride + 1, (Wd + 2 * pad - FW) // stride + 1
    col = im2col(x, FH, FW, stride, pad)
    col_W = W.reshape(FN, -1).T
    out = (col @ col_W + b).reshape(N, oh, ow, FN).transpose(0, 3, 1, 2)
    return out, (x.shape, W.shape, col, col_W, stride, pad)


def convolution_backward(dout, cache):
    x_shape, (FN, C, FH, FW), col, col_W, stride, pad = cache
    dout = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
    db = np.sum(dout, axis=0)
    dW = (col.T @ dout).transpose(1, 0).reshape(FN, C, FH, FW)
    dx = col2im(dout @ col_W.T, x_shape, FH, FW, stride, pad)
    return dx, dW, db


def make_convolution():
    rng = np.random.default_rng(214)
    return dict(
        forward=convolution_forward,
        backward=convolution_backward,
        inputs={
            "x": rng.standard_normal((2, 2, 5, 4)),
            "W": rng.standard_normal((3, 2, 3, 2)),
            "b": rng.standard_normal(3),
        },
        constants={"stride": 2, "pad": 1},
    )


_right("conv_im2col", "deep learning book", make_convolution)


def max_pooling_forward_cpu(bottom, kernel, stride):
    num, height, width = bottom.shape
    ph, pw = (height - kernel) // stride + 1, (width - kernel) // stride + 1
    top = np.full((num, ph, pw), -np.inf)
    mask = np.zeros((num, ph, pw), dtype=int)
    for n in range(num):
        for i in range(ph):
            for j in range(pw):
                for h in range(i * stride, i * stride + kernel):
                    for w in range(j * stride, j * stride + kernel):
                        if bottom[n, h, w] > top[n, i, j]:
                            top[n, i, j] = bottom[n, h, w]
                            mask[n, i, j] = h * width + w
    return top, (bottom.shape, mask)


def max_pooling_backward_cpu(top_diff, cache):
    (num, height, width), mask = cache
    bottom_diff = np.zeros((num, height * width))
    for n in range(num):
        np.add.at(bottom_diff[n], mask[n].ravel(), top_diff[n].ravel())
    return bottom_diff.reshape(num, height, width)


def make_max_pooling():
    rng = np.random.default_rng(2012)
    return dict(
        forward=max_pooling_forward_cpu,
        backward=max_pooling_backward_cpu,
        inputs={"bottom": rng.standard_normal((3, 5, 5))},
        constants={"kernel": 3, "stride": 1},
    )


_right("maxpool_overlap", "Caffe layer port", make_max_pooling)


class LogSoftmax:
    axis = 1

    def forward(self, x):
        y = x - logsumexp(x, axis=self.axis, keepdims=True)
        return y, y

    def backward(self, gy, y):
        return gy - np.exp(y) * gy.sum(axis=self.axis, keepdims=True)


def make_log_softmax():
    rng = np.random.default_rng(61)
    f = LogSoftmax()
    return dict(forward=f.forward, backward=f.backward, inputs={"x": rng.standard_normal((3, 4, 2))})


_right("log_softmax_axis1", "Chainer-like library", make_log_softmax)


class MaxoutDense:
    def __init__(self, units, nb_feature):
        self.units, self.nb_feature = units, nb_feature

    def call(self, x, kernel, bias):
        # kernel: (nb_feature, n_in, units)
        z = np.einsum("bi,kiu->kbu", x, kernel) + bias[:, None, :]
        winner = z.argmax(axis=0)
        return z.max(axis=0), (x, kernel, winner)

    def grad(self, dy, cache):
        x, kernel, winner = cache
        gate = np.arange(self.nb_feature)[:, None, None] == winner
        dz = gate * dy
        return {
            "x": np.einsum("kbu,kiu->bi", dz, kernel),
            "kernel": np.einsum("bi,kbu->kiu", x, dz),
            "bias": dz.sum(axis=1),
        }


def make_maxout():
    rng = np.random.default_rng(1302)
    layer = MaxoutDense(3, 2)
    return dict(
        forward=layer.call,
        backward=layer.grad,
        inputs={
            "x": rng.standard_normal((4, 3)),
            "kernel": rng.standard_normal((2, 3, 3)),
            "bias": rng.standard_normal((2, 3)),
        },
    )


_right("maxout", "Keras-like library", make_maxout)


def causal_attention(qkv):
    B, T, C3 = qkv.shape
    C = C3 // 3
    q, k, v = qkv[:, :, :C], qkv[:, :, C : 2 * C], qkv[:, :, 2 * C :]
    att = q @ k.transpose(0, 2, 1) / np.sqrt(C)
    mask = np.tril(np.ones((T, T))) == 0
    att = np.where(mask, -1e10, att)
    att = np.exp(att - att.max(-1, keepdims=True))
    att = att / att.sum(-1, keepdims=True)
    return att @ v, (q, k, v, att)


def causal_attention_backward(dout, cache):
    q, k, v, att = cache
    C = q.shape[-1]
    dv = att.transpose(0, 2, 1) @ dout
    datt = dout @ v.transpose(0, 2, 1)
    dpre = att * (datt - np.sum(att * datt, axis=-1, keepdims=True)) / np.sqrt(C)
    dq = dpre @ k
    dk = dpre.transpose(0, 2, 1) @ q
    return np.concatenate([dq, dk, dv], axis=-1)


def make_causal():
    rng = np.random.default_rng(1337)
    return dict(
        forward=causal_attention,
        backward=causal_attention_backward,
        inputs={"qkv": rng.standard_normal((2, 4, 9))},
    )


_right("causal_qkv", "Karpathy gist", make_causal)


def spatial_soft_argmax(features, temperature):
    B, C, H, W = features.shape
    gx, gy = np.meshgrid(np.linspace(-1, 1, W), np.linspace(-1, 1, H))
    pos = np.stack([gx.ravel(), gy.ravel()], axis=1)
    flat = features.reshape(B, C, H * W) / temperature
    prob = np.exp(flat - flat.max(axis=2, keepdims=True))
    prob /= prob.sum(axis=2, keepdims=True)
    return prob @ pos, (features, prob, pos, temperature)


def spatial_soft_argmax_backward(d_xy, cache):
    features, prob, pos, temperature = cache
    d_prob = d_xy @ pos.T
    d_flat = prob * (d_prob - np.sum(d_prob * prob, axis=2, keepdims=True))
    d_features = d_flat.reshape(features.shape) / temperature
    d_temperature = -np.sum(d_features * features) / temperature
    return {"features": d_features, "temperature": d_temperature}


def make_soft_argmax():
    rng = np.random.default_rng(1504)
    return dict(
        forward=spatial_soft_argmax,
        backward=spatial_soft_argmax_backward,
        inputs={"features": rng.standard_normal((2, 2, 3, 4)), "temperature": np.array(0.7)},
    )


_right("soft_argmax", "research repository (visuomotor policies)", make_soft_argmax)


def rational_quadratic(X, Z, alpha, lengthscales):
    diff = (X[:, None, :] - Z[None, :, :]) / lengthscales
    base = 1.0 + 0.5 * np.sum(diff**2, axis=2) / alpha
    K = base**-alpha
    return K, (diff, base, K, alpha, lengthscales)


def rational_quadratic_grad(dK, cache):
    diff, base, K, alpha, lengthscales = cache
    half_r2 = (base - 1.0) * alpha
    d_alpha = np.sum(dK * K * (half_r2 / (alpha * base) - np.log(base)))
    d_half_r2 = -dK * K / base
    d_diff = d_half_r2[:, :, None] * diff
    d_X = d_diff.sum(axis=1) / lengthscales
    d_Z = -d_diff.sum(axis=0) / lengthscales
    d_ls = -np.sum(d_diff * diff, axis=(0, 1)) / lengthscales
    return d_X, d_Z, d_alpha, d_ls


def make_rational_quadratic():
    rng = np.random.default_rng(4)
    return dict(
        forward=rational_quadratic,
        backward=rational_quadratic_grad,
        inputs={
            "X": rng.standard_normal((4, 2)),
            "Z": rng.standard_normal((3, 2)),
            "alpha": np.array(1.4),
            "lengthscales": np.array([0.7, 1.9]),
        },
    )


_right("rational_quadratic_ard", "GPy-like library", make_rational_quadratic)


def bahdanau(query, values, params):
    proj = np.tanh((query @ params["W_q"])[:, None, :] + values @ params["W_v"])
    score = proj @ params["v"]
    e = np.exp(score - score.max(axis=1, keepdims=True))
    alpha = e / e.sum(axis=1, keepdims=True)
    context = np.einsum("bt,btd->bd", alpha, values)
    return context, (query, values, params, proj, alpha)


def bahdanau_backward(dcontext, cache):
    query, values, params, proj, alpha = cache
    dalpha = np.einsum("bd,btd->bt", dcontext, values)
    dvalues = alpha[:, :, None] * dcontext[:, None, :]
    dscore = alpha * (dalpha - (alpha * dalpha).sum(axis=1, keepdims=True))
    dv = np.einsum("bt,bth->h", dscore, proj)
    dpre = dscore[:, :, None] * params["v"] * (1 - proj**2)
    dvalues += dpre @ params["W_v"].T
    dq_proj = dpre.sum(axis=1)
    return {
        "query": dq_proj @ params["W_q"].T,
        "values": dvalues,
        "params": {"W_q": query.T @ dq_proj, "W_v": np.einsum("btd,bth->dh", values, dpre), "v": dv},
    }


def make_bahdanau():
    rng = np.random.default_rng(1409)
    return dict(
        forward=bahdanau,
        backward=bahdanau_backward,
        inputs={
            "query": rng.standard_normal((3, 2)),
            "values": rng.standard_normal((3, 4, 3)),
            "params": {
                "W_q": rng.standard_normal((2, 5)),
                "W_v": rng.standard_normal((3, 5)),
                "v": rng.standard_normal(5),
            },
        },
    )


_right("additive_attention", "Coursera sequence models assignment", make_bahdanau)


def mixture_log_prob(value, mixture_logits, locs, log_scales):
    log_w = mixture_logits - logsumexp(mixture_logits)
    z = (value[:, None] - locs) * np.exp(-log_scales)
    comp = log_w - 0.5 * z**2 - log_scales - 0.5 * np.log(2 * np.pi)
    log_prob = logsumexp(comp, axis=1)
    return log_prob, (log_w, z, log_scales, np.exp(comp - log_prob[:, None]))


def mixture_log_prob_vjp(ct, residuals):
    log_w, z, log_scales, resp = residuals
    r = ct[:, None] * resp
    d_logits = r.sum(axis=0) - np.exp(log_w) * r.sum()
    d_z = -r * z
    d_value = np.sum(d_z * np.exp(-log_scales), axis=1)
    d_locs = -np.sum(d_z, axis=0) * np.exp(-log_scales)
    d_log_scales = np.sum(-d_z * z - r, axis=0)
    return d_value, d_logits, d_locs, d_log_scales


def make_mixture():
    rng = np.random.default_rng(1994)
    return dict(
        forward=mixture_log_prob,
        backward=mixture_log_prob_vjp,
        inputs={
            "value": rng.standard_normal(5),
            "mixture_logits": rng.standard_normal(3),
            "locs": rng.standard_normal(3),
            "log_scales": 0.4 * rng.standard_normal(3),
        },
    )


_right("mixture_log_prob", "JAX/TFP port", make_mixture)


def dice_loss(logits, masks, smooth):
    p = expit(logits).reshape(len(logits), -1)
    t = masks.reshape(len(masks), -1)
    inter = (p * t).sum(axis=1)
    total = p.sum(axis=1) + t.sum(axis=1)
    dice = (2 * inter + smooth) / (total + smooth)
    return 1 - dice.mean(), (logits.shape, p, t, inter, total, smooth)


def dice_loss_backward(dloss, cache):
    shape, p, t, inter, total, smooth = cache
    den = (total + smooth)[:, None]
    num = (2 * inter + smooth)[:, None]
    ddice = -dloss / shape[0]
    dp = ddice * (2 * t * den - num) / den**2
    return (dp * p * (1 - p)).reshape(shape)


def make_dice():
    rng = np.random.default_rng(2016)
    return dict(
        forward=dice_loss,
        backward=dice_loss_backward,
        inputs={"logits": rng.standard_normal((3, 3, 4))},
        constants={"masks": (rng.random((3, 3, 4)) < 0.4).astype(float), "smooth": 1.0},
    )


_right("dice", "Kaggle notebook", make_dice)


def spectral_norm(W, u, v):
    """u and v come from the power iteration and are held fixed."""
    sigma = u @ W @ v
    return W / sigma, (W, u, v, sigma)


def spectral_norm_backward(dW_bar, cache):
    W, u, v, sigma = cache
    lam = np.sum(dW_bar * W) / sigma
    return (dW_bar - lam * np.outer(u, v)) / sigma


def make_spectral_norm():
    rng = np.random.default_rng(1802)
    W = rng.standard_normal((4, 3))
    u = rng.standard_normal(4)
    for _ in range(2):
        v = W.T @ u
        v /= np.linalg.norm(v)
        u = W @ v
        u /= np.linalg.norm(u)
    return dict(
        forward=spectral_norm, backward=spectral_norm_backward, inputs={"W": W}, constants={"u": u, "v": v}
    )


_right("spectral_norm", "research repository (GAN)", make_spectral_norm)


def instance_norm_film(x, gamma, beta, eps):
    """x: (B, L, C); gamma, beta: (B, C), one pair for each example."""
    mean = x.mean(axis=1, keepdims=True)
    inv = 1.0 / np.sqrt(x.var(axis=1, keepdims=True) + eps)
    xhat = (x - mean) * inv
    return (1.0 + gamma[:, None]) * xhat + beta[:, None], (xhat, inv, gamma)


def instance_norm_film_backward(dy, cache):
    xhat, inv, gamma = cache
    dxhat = (1.0 + gamma[:, None]) * dy
    dx = inv * (
        dxhat - dxhat.mean(axis=1, keepdims=True) - xhat * (dxhat * xhat).mean(axis=1, keepdims=True)
    )
    return {"x": dx, "gamma": np.sum(dy * xhat, axis=1), "beta": np.sum(dy, axis=1)}


def make_film():
    rng = np.random.default_rng(1709)
    return dict(
        forward=instance_norm_film,
        backward=instance_norm_film_backward,
        inputs={
            "x": rng.standard_normal((2, 5, 3)),
            "gamma": 0.4 * rng.standard_normal((2, 3)),
            "beta": rng.standard_normal((2, 3)),
        },
        constants={"eps": 1e-5},
    )


_right("adaptive_instance_norm", "research repository (style transfer)", make_film)


def deconv1d(X, W, b, s):
    """X: (n, l, c_in), W: (k, c_in, c_out)"""
    n, length, _ = X.shape
    k, _, c_out = W.shape
    Y = np.zeros((n, s * (length - 1) + k, c_out))
    for i in range(k):
        Y[:, i : i + s * (length - 1) + 1 : s, :] += X @ W[i]
    return Y + b, (X, W, s)


def deconv1d_backward(dLdY, cache):
    X, W, s = cache
    length = X.shape[1]
    dX, dW = np.zeros_like(X), np.zeros_like(W)
    for i in range(W.shape[0]):
        part = dLdY[:, i : i + s * (length - 1) + 1 : s, :]
        dX += part @ W[i].T
        dW[i] = np.tensordot(X, part, axes=([0, 1], [0, 1]))
    return dX, dW, dLdY.sum(axis=(0, 1))


def make_deconv1d():
    rng = np.random.default_rng(12345)
    return dict(
        forward=deconv1d,
        backward=deconv1d_backward,
        inputs={
            "X": rng.standard_normal((2, 4, 2)),
            "W": rng.standard_normal((3, 2, 3)),
            "b": rng.standard_normal(3),
        },
        constants={"s": 2},
    )


_right("deconv1d", "numpy-ml-like library", make_deconv1d)


def bce_with_logits(input, target, pos_weight):
    log_weight = (pos_weight - 1) * target + 1
    loss = (1 - target) * input + log_weight * np.logaddexp(0, -input)
    return loss.mean(), (input, target, pos_weight)


def bce_with_logits_backward(grad_output, saved):
    input, target, pos_weight = saved
    t = pos_weight * target
    grad = (t + 1 - target) * expit(input) - t
    return grad * grad_output / input.size


def make_bce():
    rng = np.random.default_rng(88)
    return dict(
        forward=bce_with_logits,
        backward=bce_with_logits_backward,
        inputs={"input": rng.standard_normal((4, 3))},
        constants={"target": rng.integers(0, 2, (4, 3)).astype(float), "pos_weight": np.array([2.0, 0.5, 3.0])},
    )


_right("bce_pos_weight", "PyTorch autograd.Function port", make_bce)


def lrn_forward(bottom, n, alpha, beta, k):
    C = bottom.shape[1]
    half = n // 2
    sq = np.pad(bottom**2, ((0, 0), (half, half), (0, 0)))
    window = sum(sq[:, i : i + C] for i in range(n))
    scale = k + alpha / n * window
    return bottom * scale**-beta, (bottom, scale, n, alpha, beta)


def lrn_backward(top_diff, cache):
    bottom, scale, n, alpha, beta = cache
    C = bottom.shape[1]
    half = n // 2
    ratio = top_diff * bottom * scale ** (-beta - 1)
    padded = np.pad(ratio, ((0, 0), (half, half), (0, 0)))
    accum = sum(padded[:, i : i + C] for i in range(n))
    return top_diff * scale**-beta - 2 * alpha * beta / n * bottom * accum


def make_lrn():
    rng = np.random.default_rng(2013)
    return dict(
        forward=lrn_forward,
        backward=lrn_backward,
        inputs={"bottom": rng.standard_normal((2, 6, 3))},
        constants={"n": 3, "alpha": 0.9, "beta": 0.75, "k": 1.0},
    )


_right("lrn", "Caffe layer port", make_lrn)


def mvn_tril_log_prob(x, loc, scale_tril):
    d = x.shape[1]
    L = np.tril(scale_tril)
    z = solve_triangular(L, (x - loc).T, lower=True)
    half_log_det = np.log(np.diag(L)).sum()
    log_prob = -0.5 * np.sum(z**2, axis=0) - half_log_det - 0.5 * d * np.log(2 * np.pi)
    return log_prob, (L, z)


def mvn_tril_log_prob_vjp(ct, residuals):
    L, z = residuals
    whitened = solve_triangular(L, z * ct, lower=True, trans="T")
    d_x = -whitened.T
    d_L = whitened @ z.T - ct.sum() * np.diag(1.0 / np.diag(L))
    return {"x": d_x, "loc": -d_x.sum(axis=0), "scale_tril": np.tril(d_L)}


def make_mvn():
    rng = np.random.default_rng(2718)
    L = np.tril(0.4 * rng.standard_normal((3, 3)))
    L[np.diag_indices(3)] = [0.8, 1.3, 0.6]
    return dict(
        forward=mvn_tril_log_prob,
        backward=mvn_tril_log_prob_vjp,
        inputs={"x": rng.standard_normal((4, 3)), "loc": rng.standard_normal(3), "scale_tril": L},
    )


_right("mvn_tril", "JAX/TFP port", make_mvn)


def prelu_dropout(A_prev, slope, D, keep_prob):
    """Channel-wise PReLU, then inverted dropout with a given mask D."""
    pos = A_prev > 0
    A = np.where(pos, A_prev, slope * A_prev)
    return A * D / keep_prob, (A_prev, slope, pos, D, keep_prob)


def prelu_dropout_backward(dA, cache):
    A_prev, slope, pos, D, keep_prob = cache
    dZ = dA * D / keep_prob
    dslope = np.sum(np.where(pos, 0.0, dZ * A_prev), axis=0)
    return {"A_prev": np.where(pos, dZ, slope * dZ), "slope": dslope}


def make_prelu_dropout():
    rng = np.random.RandomState(1)
    return dict(
        forward=prelu_dropout,
        backward=prelu_dropout_backward,
        inputs={"A_prev": rng.randn(5, 4), "slope": np.array([0.25, 0.1, 0.4, 0.2])},
        constants={"D": (rng.rand(5, 4) < 0.7).astype(float), "keep_prob": 0.7},
    )


_right("prelu_dropout", "Coursera deep learning assignment", make_prelu_dropout)


def arcface_logits(embedding, weight, label, s, m):
    nx = np.linalg.norm(embedding, axis=1, keepdims=True)
    nw = np.linalg.norm(weight, axis=1, keepdims=True)
    x, w = embedding / nx, weight / nw
    cosine = x @ w.T
    sine = np.sqrt(1.0 - cosine**2)
    phi = cosine * np.cos(m) - sine * np.sin(m)
    onehot = np.eye(weight.shape[0])[label]
    out = s * (onehot * phi + (1 - onehot) * cosine)
    return out, (x, w, nx, nw, cosine, sine, onehot, s, m)


def arcface_logits_backward(dout, cache):
    x, w, nx, nw, cosine, sine, onehot, s, m = cache
    slope = onehot * (np.cos(m) + cosine / sine * np.sin(m)) + (1 - onehot)
    dcos = s * dout * slope
    dx = dcos @ w
    dw = dcos.T @ x
    dembedding = (dx - x * np.sum(dx * x, axis=1, keepdims=True)) / nx
    dweight = (dw - w * np.sum(dw * w, axis=1, keepdims=True)) / nw
    return dembedding, dweight


def make_arcface():
    rng = np.random.default_rng(1801)
    return dict(
        forward=arcface_logits,
        backward=arcface_logits_backward,
        inputs={"embedding": rng.standard_normal((4, 5)), "weight": rng.standard_normal((3, 5))},
        constants={"label": np.array([2, 0, 1, 2]), "s": 4.0, "m": 0.3},
    )


_right("arcface", "research repository (margin softmax)", make_arcface)
