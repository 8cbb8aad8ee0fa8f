"""Fifteenth exam, paper "layers": single layers, activations, losses and small functions, all for the check "vjp"."""
from typing import Callable, NamedTuple

import numpy as np
import scipy.linalg
import scipy.signal
import scipy.special


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


def item(name, style, right=True, slip="", wrong=(), causes=()):
    def add(make):
        ITEMS.append(Item(name, style, "vjp", make, right, slip, tuple(wrong), tuple(causes)))
        return make
    return add


# ---------------------------------------------------------------- one


@item("temporal_groupnorm", "CS231n assignment", False,
      "the means over a group are divided by T alone; a group has (C // G) * T numbers", ("x",),
      ("factor", "missing-term", "elementwise-factor"))
def make_temporal_groupnorm():
    def temporal_groupnorm_forward(x, gamma, beta, G, gn_param):
        eps = gn_param.get("eps", 1e-5)
        N, C, T = x.shape
        xg = x.reshape(N, G, C // G, T)
        mu = xg.mean(axis=(2, 3), keepdims=True)
        var = xg.var(axis=(2, 3), keepdims=True)
        inv_std = 1.0 / np.sqrt(var + eps)
        x_hat = ((xg - mu) * inv_std).reshape(N, C, T)
        out = gamma * x_hat + beta
        cache = (x_hat, inv_std, gamma, G)
        return out, cache

    def temporal_groupnorm_backward(dout, cache):
        x_hat, inv_std, gamma, G = cache
        N, C, T = dout.shape
        dbeta = dout.sum(axis=(0, 2), keepdims=True)
        dgamma = (dout * x_hat).sum(axis=(0, 2), keepdims=True)
        dx_hat = (dout * gamma).reshape(N, G, C // G, T)
        xg = x_hat.reshape(N, G, C // G, T)
        M = T
        sum1 = dx_hat.sum(axis=(2, 3), keepdims=True)
        sum2 = (dx_hat * xg).sum(axis=(2, 3), keepdims=True)
        dx = inv_std * (dx_hat - sum1 / M - xg * sum2 / M)
        return {"x": dx.reshape(N, C, T), "gamma": dgamma, "beta": dbeta}

    rng = np.random.default_rng(231)
    return dict(forward=temporal_groupnorm_forward, backward=temporal_groupnorm_backward,
                inputs=dict(x=rng.normal(0.3, 1.5, (3, 4, 5)), gamma=rng.normal(size=(1, 4, 1)), beta=rng.normal(size=(1, 4, 1))),
                constants=dict(G=2, gn_param={"eps": 1e-5}))


@item("peephole_lstm_step", "Karpathy gist", False,
      "the cell's gradient lacks the way through the output gate's peephole: dC += dao * po", ("x", "hprev", "cprev", "WLSTM", "peep"),
      ("missing-term",))
def make_peephole_lstm_step():
    def sigmoid(a):
        return 1.0 / (1.0 + np.exp(-a))

    def forward(x, hprev, cprev, WLSTM, peep):
        n, d = cprev.shape
        Hin = np.hstack([np.ones((n, 1)), x, hprev])
        IFOG = Hin.dot(WLSTM)
        pi, pf, po = peep
        IFOGf = np.zeros_like(IFOG)
        IFOGf[:, :d] = sigmoid(IFOG[:, :d] + pi * cprev)
        IFOGf[:, d:2 * d] = sigmoid(IFOG[:, d:2 * d] + pf * cprev)
        IFOGf[:, 3 * d:] = np.tanh(IFOG[:, 3 * d:])
        C = IFOGf[:, :d] * IFOGf[:, 3 * d:] + IFOGf[:, d:2 * d] * cprev
        IFOGf[:, 2 * d:3 * d] = sigmoid(IFOG[:, 2 * d:3 * d] + po * C)
        Ct = np.tanh(C)
        Hout = IFOGf[:, 2 * d:3 * d] * Ct
        return Hout, (Hin, IFOGf, C, Ct, cprev, WLSTM, peep)

    def backward(dHout, cache):
        Hin, IFOGf, C, Ct, cprev, WLSTM, peep = cache
        d = C.shape[1]
        i, f, o, g = IFOGf[:, :d], IFOGf[:, d:2 * d], IFOGf[:, 2 * d:3 * d], IFOGf[:, 3 * d:]
        dIFOG = np.zeros_like(IFOGf)
        dIFOG[:, 2 * d:3 * d] = dHout * Ct * o * (1 - o)
        dC = dHout * o * (1 - Ct ** 2)
        dIFOG[:, :d] = dC * g * i * (1 - i)
        dIFOG[:, d:2 * d] = dC * cprev * f * (1 - f)
        dIFOG[:, 3 * d:] = dC * i * (1 - g ** 2)
        dcprev = dC * f + dIFOG[:, :d] * peep[0] + dIFOG[:, d:2 * d] * peep[1]
        dpeep = np.stack([(dIFOG[:, :d] * cprev).sum(0), (dIFOG[:, d:2 * d] * cprev).sum(0),
                          (dIFOG[:, 2 * d:3 * d] * C).sum(0)])
        dWLSTM = Hin.T.dot(dIFOG)
        dHin = dIFOG.dot(WLSTM.T)
        nx = Hin.shape[1] - d - 1
        return {"x": dHin[:, 1:1 + nx], "hprev": dHin[:, 1 + nx:], "cprev": dcprev, "WLSTM": dWLSTM, "peep": dpeep}

    rng = np.random.default_rng(5)
    return dict(forward=forward, backward=backward,
                inputs=dict(x=rng.normal(size=(4, 3)), hprev=rng.normal(size=(4, 2)), cprev=rng.normal(size=(4, 2)),
                            WLSTM=rng.normal(size=(6, 8)) * 0.6, peep=rng.normal(size=(3, 2))))


@item("std_ddof", "HIPS autograd-like", False,
      "the vjp of std takes no heed of ddof: the denominator should be (n - ddof) * ans", ("x",), ("factor",))
def make_std_ddof():
    def repeat_to_match_shape(g, shape, axis):
        n = shape[axis]
        return np.repeat(np.expand_dims(g, axis), n, axis=axis), n

    def std(x, axis, ddof):
        ans = np.std(x, axis=axis, ddof=ddof)
        return ans, (ans, x, axis, ddof)

    def grad_np_std(g, tape):
        ans, x, axis, ddof = tape
        g_repeated, num_reps = repeat_to_match_shape(g, x.shape, axis)
        ans_repeated, _ = repeat_to_match_shape(ans, x.shape, axis)
        x_minus_mean = x - np.mean(x, axis=axis, keepdims=True)
        return g_repeated * x_minus_mean / (num_reps * ans_repeated)

    rng = np.random.default_rng(17)
    return dict(forward=std, backward=grad_np_std, inputs=dict(x=rng.normal(size=(4, 6))), constants=dict(axis=0, ddof=1))


@item("weight_norm_linear", "PyTorch autograd.Function port", False,
      "the part along v is divided by ||v||^2; with v not normalised it is g (dW . v) v / ||v||^3", ("v",),
      ("elementwise-factor", "factor", "missing-term"))
def make_weight_norm_linear():
    class Ctx:
        def save_for_backward(self, *tensors):
            self.saved_tensors = tensors

    class WeightNormLinear:
        @staticmethod
        def forward(ctx, input, v, g, bias):
            norm = np.linalg.norm(v, axis=1, keepdims=True)
            weight = v * (g / norm)
            ctx.save_for_backward(input, v, g, norm, weight)
            return input @ weight.T + bias

        @staticmethod
        def backward(ctx, grad_output):
            input, v, g, norm, weight = ctx.saved_tensors
            grad_input = grad_output @ weight
            grad_weight = grad_output.T @ input
            grad_bias = grad_output.sum(0)
            dot = (grad_weight * v).sum(1, keepdims=True)
            grad_g = dot / norm
            grad_v = g / norm * grad_weight - g * dot * v / norm ** 2
            return grad_input, grad_v, grad_g, grad_bias

    def forward(input, v, g, bias):
        ctx = Ctx()
        return WeightNormLinear.forward(ctx, input, v, g, bias), ctx

    def backward(grad_output, ctx):
        return WeightNormLinear.backward(ctx, grad_output)

    rng = np.random.default_rng(8)
    return dict(forward=forward, backward=backward,
                inputs=dict(input=rng.normal(size=(5, 4)), v=rng.normal(size=(3, 4)), g=rng.normal(size=(3, 1)), bias=rng.normal(size=3)))


@item("batchnorm_one_line", "CS231n assignment")
def make_batchnorm_one_line():
    def batchnorm_forward(x, gamma, beta, eps):
        mu = x.mean(axis=0)
        var = x.var(axis=0)
        std = np.sqrt(var + eps)
        x_norm = (x - mu) / std
        return gamma * x_norm + beta, (x_norm, gamma, std)

    def batchnorm_backward_alt(dout, cache):
        x_norm, gamma, std = cache
        dbeta = dout.sum(axis=0)
        dgamma = (dout * x_norm).sum(axis=0)
        N = dout.shape[0]
        dx = gamma / (N * std) * (N * dout - dbeta - x_norm * dgamma)
        return dx, dgamma, dbeta

    rng = np.random.default_rng(1)
    return dict(forward=batchnorm_forward, backward=batchnorm_backward_alt,
                inputs=dict(x=rng.normal(1, 2, (6, 4)), gamma=rng.normal(size=4), beta=rng.normal(size=4)), constants=dict(eps=1e-5))


@item("conv_pool_tanh_1d", "Theano-era repository", False,
      "T.nnet.conv flips the filters, so the gradient of W has to be flipped along the last axis as well", ("W",), ("transpose",))
def make_conv_1d_flip():
    class ConvLayer(object):
        """ W : (nkerns, nin, width); input : (batch, nin, length); true convolution, border_mode='valid' """
        def __init__(self, W, b):
            self.W, self.b = W, b

        def fprop(self, input):
            self.input = input
            B, nin, L = input.shape
            K, _, w = self.W.shape
            lin = np.zeros((B, K, L - w + 1))
            for n in range(B):
                for k in range(K):
                    for c in range(nin):
                        lin[n, k] += np.convolve(input[n, c], self.W[k, c], mode="valid")
            self.output = np.tanh(lin + self.b[None, :, None])
            return self.output

        def bprop(self, gout):
            glin = gout * (1 - self.output ** 2)
            B, nin, L = self.input.shape
            K, _, w = self.W.shape
            gW = np.zeros_like(self.W)
            gin = np.zeros_like(self.input)
            for n in range(B):
                for k in range(K):
                    for c in range(nin):
                        gW[k, c] += np.correlate(self.input[n, c], glin[n, k], mode="valid")
                        gin[n, c] += np.correlate(glin[n, k], self.W[k, c], mode="full")
            return gin, gW, glin.sum(axis=(0, 2))

    def forward(input, W, b):
        layer = ConvLayer(W, b)
        return layer.fprop(input), layer

    def backward(gout, layer):
        gin, gW, gb = layer.bprop(gout)
        return {"input": gin, "W": gW, "b": gb}

    rng = np.random.default_rng(2012)
    return dict(forward=forward, backward=backward,
                inputs=dict(input=rng.normal(size=(3, 2, 7)), W=rng.normal(size=(4, 2, 3)) * 0.5, b=rng.normal(size=4) * 0.3))


@item("embedding_bag_mean", "object style, self.dW", False,
      "the backward divides by the padded length; the forward divides by the number of tokens that are no padding", ("W",),
      ("elementwise-factor", "batch-sum", "factor"))
def make_embedding_bag_mean():
    class EmbeddingBag:
        def __init__(self, padding_idx=0):
            self.padding_idx = padding_idx

        def forward(self, W, tokens):
            self.W = W
            self.tokens = tokens
            self.mask = (tokens != self.padding_idx).astype(float)
            self.lengths = np.maximum(self.mask.sum(axis=1, keepdims=True), 1)
            emb = W[tokens] * self.mask[:, :, None]
            return emb.sum(axis=1) / self.lengths

        def backward(self, dout):
            self.dW = np.zeros_like(self.W)
            n, L = self.tokens.shape
            d = np.repeat(dout[:, None, :] / L, L, axis=1)
            np.add.at(self.dW, self.tokens, d * self.mask[:, :, None])
            return self.dW

    layer = EmbeddingBag()
    rng = np.random.default_rng(33)
    tokens = np.array([[3, 1, 4, 1, 5], [2, 6, 0, 0, 0], [5, 3, 5, 0, 0], [4, 0, 0, 0, 0]])
    return dict(forward=lambda W, tokens: (layer.forward(W, tokens), None), backward=lambda dout, cache: {"W": layer.backward(dout)},
                inputs=dict(W=rng.normal(size=(7, 3))), constants=dict(tokens=tokens))


@item("softmax_regression_cost", "Andrew Ng features first")
def make_softmax_regression_cost():
    def propagate(W, b, X, Y, lambd):
        m = X.shape[1]
        Z = np.dot(W, X) + b
        Z = Z - np.max(Z, axis=0, keepdims=True)
        A = np.exp(Z) / np.sum(np.exp(Z), axis=0, keepdims=True)
        cross_entropy_cost = -np.sum(Y * np.log(A)) / m
        L2_cost = lambd / (2 * m) * np.sum(np.square(W))
        return cross_entropy_cost + L2_cost, (W, X, Y, A, lambd)

    def propagate_backward(dcost, cache):
        W, X, Y, A, lambd = cache
        m = X.shape[1]
        dZ = (A - Y) / m
        dW = np.dot(dZ, X.T) + lambd / m * W
        db = np.sum(dZ, axis=1, keepdims=True)
        dX = np.dot(W.T, dZ)
        return {"W": dcost * dW, "b": dcost * db, "X": dcost * dX}

    rng = np.random.default_rng(4)
    Y = np.eye(3)[:, [0, 2, 1, 2, 0, 1]]
    return dict(forward=propagate, backward=propagate_backward,
                inputs=dict(W=rng.normal(size=(3, 5)), b=rng.normal(size=(3, 1)), X=rng.normal(size=(5, 6))), constants=dict(Y=Y, lambd=0.7))


@item("attention_scaled", "blog post, short names", False,
      "dk lacks the division by sqrt(d) that dq has", ("k",), ("factor",))
def make_attention_scaled():
    def attn(q, k, v):
        d = q.shape[-1]
        s = q @ k.T / np.sqrt(d)
        e = np.exp(s - s.max(1, keepdims=True))
        a = e / e.sum(1, keepdims=True)
        return a @ v, (q, k, v, a)

    def attn_grad(do, c):
        q, k, v, a = c
        d = q.shape[-1]
        dv = a.T @ do
        da = do @ v.T
        ds = a * (da - (da * a).sum(1, keepdims=True))
        dq = ds @ k / np.sqrt(d)
        dk = ds.T @ q
        return dq, dk, dv

    rng = np.random.default_rng(21)
    return dict(forward=attn, backward=attn_grad,
                inputs=dict(q=rng.normal(size=(4, 3)), k=rng.normal(size=(5, 3)), v=rng.normal(size=(5, 2))))


@item("inverted_dropout_relu", "Andrew Ng features first", False,
      "the backward multiplies by the mask D but does not divide by keep_prob", ("A_prev", "W", "b"), ("factor",))
def make_inverted_dropout_relu():
    def linear_relu_dropout_forward(A_prev, W, b, D, keep_prob):
        Z = np.dot(W, A_prev) + b
        A = np.maximum(0, Z)
        A = np.multiply(A, D)
        A = A / keep_prob
        return A, ((A_prev, W, b), Z, D, keep_prob)

    def linear_relu_dropout_backward(dA, cache):
        (A_prev, W, b), Z, D, keep_prob = cache
        dA = np.multiply(dA, D)
        dZ = np.multiply(dA, np.int64(Z > 0))
        dW = np.dot(dZ, A_prev.T)
        db = np.sum(dZ, axis=1, keepdims=True)
        dA_prev = np.dot(W.T, dZ)
        return dA_prev, dW, db

    rng = np.random.default_rng(16)
    return dict(forward=linear_relu_dropout_forward, backward=linear_relu_dropout_backward,
                inputs=dict(A_prev=rng.normal(size=(4, 6)), W=rng.normal(size=(3, 4)), b=rng.normal(size=(3, 1))),
                constants=dict(D=rng.random((3, 6)) < 0.75, keep_prob=0.75))


@item("rms_norm", "functional tuple caches", False,
      "the gain is missing in the sum of the second term: mean(dy * g * x), not mean(dy * x)", ("x",),
      ("elementwise-factor", "missing-term"))
def make_rms_norm():
    def rmsnorm_fwd(x, g, eps):
        ms = np.mean(x * x, axis=-1, keepdims=True)
        r = 1.0 / np.sqrt(ms + eps)
        return g * x * r, (x, g, r)

    def rmsnorm_bwd(dy, cache):
        x, g, r = cache
        dg = np.sum(dy * x * r, axis=tuple(range(x.ndim - 1)))
        dx = dy * g * r - x * r ** 3 * np.mean(dy * x, axis=-1, keepdims=True)
        return dx, dg

    rng = np.random.default_rng(1910)
    return dict(forward=rmsnorm_fwd, backward=rmsnorm_bwd,
                inputs=dict(x=rng.normal(size=(3, 2, 5)), g=rng.normal(size=5)), constants=dict(eps=1e-6))


@item("cholesky_vjp", "HIPS autograd-like")
def make_cholesky_vjp():
    T = lambda x: np.swapaxes(x, -1, -2)

    def cholesky(A):
        L = np.linalg.cholesky((A + T(A)) / 2)
        return L, L

    def grad_cholesky(g, L):
        def phi(x):
            return np.tril(x) / (1.0 + np.eye(x.shape[-1]))

        def conjugate_solve(L, X):
            return scipy.linalg.solve_triangular(L, scipy.linalg.solve_triangular(L, X, lower=True, trans="T").T, lower=True, trans="T").T
        S = conjugate_solve(L, phi(T(L) @ g))
        return (S + T(S)) / 2.0

    rng = np.random.default_rng(12)
    M = rng.normal(size=(4, 5))
    return dict(forward=cholesky, backward=grad_cholesky, inputs=dict(A=M @ M.T + 0.5 * np.eye(4)))


# ---------------------------------------------------------------- two


@item("planar_flow_logdet", "research repository, flows", False,
      "w enters log|1 + u.psi| also directly through psi = h'(a) w; only the way through a is taken", ("w",), ("missing-term",))
def make_planar_flow_logdet():
    def log_det(z, u, w, b):
        a = z @ w + b
        h = np.tanh(a)
        psi = (1 - h ** 2)[:, None] * w[None, :]
        det = 1 + psi @ u
        return np.log(np.abs(det)), (z, u, w, h, psi, det)

    def log_det_backward(grad, cache):
        z, u, w, h, psi, det = cache
        g = grad / det
        grad_u = psi.T @ g
        grad_psi = g[:, None] * u[None, :]
        grad_hprime = grad_psi @ w
        grad_a = grad_hprime * (-2 * h * (1 - h ** 2))
        grad_w = z.T @ grad_a
        grad_b = grad_a.sum()
        grad_z = grad_a[:, None] * w[None, :]
        return {"z": grad_z, "u": grad_u, "w": grad_w, "b": np.array(grad_b)}

    rng = np.random.default_rng(1505)
    return dict(forward=log_det, backward=log_det_backward,
                inputs=dict(z=rng.normal(size=(5, 3)), u=rng.normal(size=3), w=rng.normal(size=3), b=np.array(0.3)))


@item("gcn_row_normalised", "object style, self.dW", False,
      "the adjacency is normalised by rows and so not symmetric: A_hat.T has to stand in the backward", ("X", "W"), ("transpose",))
def make_gcn_row_normalised():
    class GraphConvolution:
        def __init__(self, adj):
            A = adj + np.eye(adj.shape[0])
            self.A_hat = A / A.sum(axis=1, keepdims=True)

        def forward(self, X, W):
            self.X, self.W = X, W
            self.XW = X @ W
            self.out = np.maximum(self.A_hat @ self.XW, 0.0)
            return self.out

        def backward(self, grad):
            grad = grad * (self.out > 0)
            dXW = self.A_hat @ grad
            self.dW = self.X.T @ dXW
            return dXW @ self.W.T

    adj = np.zeros((6, 6))
    for i, j in [(0, 1), (1, 2), (1, 3), (1, 4), (4, 5)]:
        adj[i, j] = adj[j, i] = 1
    gc = GraphConvolution(adj)

    def backward(grad, cache):
        dX = gc.backward(grad)
        return {"X": dX, "W": gc.dW}

    rng = np.random.default_rng(1609)
    return dict(forward=lambda X, W: (gc.forward(X, W), None), backward=backward,
                inputs=dict(X=rng.normal(size=(6, 4)), W=rng.normal(size=(4, 3))))


@item("gat_head", "research repository, graphs", False,
      "the softmax runs over the neighbours (axis 1), but its backward sums along axis 0", ("h", "W", "a_src", "a_dst"), ("shape", "transpose"))
def make_gat_head():
    def gat_forward(h, W, a_src, a_dst, adj, slope):
        Wh = h @ W
        e_lin = (Wh @ a_src)[:, None] + (Wh @ a_dst)[None, :]
        e = np.where(e_lin > 0, e_lin, slope * e_lin)
        e = np.where(adj > 0, e, -1e9)
        e = e - e.max(axis=1, keepdims=True)
        alpha = np.exp(e)
        alpha /= alpha.sum(axis=1, keepdims=True)
        return alpha @ Wh, (h, W, a_src, a_dst, adj, slope, Wh, e_lin, alpha)

    def gat_backward(dout, cache):
        h, W, a_src, a_dst, adj, slope, Wh, e_lin, alpha = cache
        dalpha = dout @ Wh.T
        dWh = alpha.T @ dout
        de = alpha * (dalpha - (dalpha * alpha).sum(axis=0, keepdims=True))
        de = np.where(adj > 0, de, 0.0)
        de_lin = de * np.where(e_lin > 0, 1.0, slope)
        ds, dd = de_lin.sum(1), de_lin.sum(0)
        dWh = dWh + np.outer(ds, a_src) + np.outer(dd, a_dst)
        return {"h": dWh @ W.T, "W": h.T @ dWh, "a_src": Wh.T @ ds, "a_dst": Wh.T @ dd}

    rng = np.random.default_rng(1710)
    adj = np.eye(5)
    for i, j in [(0, 1), (0, 2), (1, 3), (3, 4), (2, 4), (4, 0)]:
        adj[i, j] = 1
    return dict(forward=gat_forward, backward=gat_backward,
                inputs=dict(h=rng.normal(size=(5, 4)), W=rng.normal(size=(4, 3)), a_src=rng.normal(size=3), a_dst=rng.normal(size=3)),
                constants=dict(adj=adj, slope=0.2))


@item("rbf_ard_kernel", "GP library, log parameters", False,
      "the gradient is that of the lengthscale; for log_ell it has to be multiplied by ell", ("log_ell",), ("elementwise-factor",))
def make_rbf_ard_kernel():
    class RBF:
        def K(self, X, Z, log_ell, log_sf):
            ell = np.exp(log_ell)
            diff = X[:, None, :] - Z[None, :, :]
            K = np.exp(2 * log_sf) * np.exp(-0.5 * ((diff / ell) ** 2).sum(-1))
            return K, (diff, ell, K)

        def update_gradients(self, dL_dK, cache):
            diff, ell, K = cache
            tmp = dL_dK * K
            dlog_sf = 2 * np.sum(tmp)
            dlog_ell = np.einsum("ij,ijd->d", tmp, diff ** 2) / ell ** 3
            S = tmp[:, :, None] * diff / ell ** 2
            return -S.sum(1), S.sum(0), dlog_ell, np.array(dlog_sf)

    k = RBF()
    rng = np.random.default_rng(6)
    return dict(forward=k.K, backward=k.update_gradients,
                inputs=dict(X=rng.normal(size=(4, 3)), Z=rng.normal(size=(5, 3)), log_ell=np.array([0.4, -0.5, 0.9]), log_sf=np.array(-0.2)))


@item("sparsemax", "PyTorch autograd.Function port", False,
      "the mean of the incoming gradient is over the support only: divide by its size, not by the number of classes", ("z",),
      ("factor", "missing-term", "elementwise-factor"))
def make_sparsemax():
    def sparsemax(z):
        K = z.shape[1]
        zs = -np.sort(-z, axis=1)
        cs = np.cumsum(zs, axis=1)
        rho = np.arange(1, K + 1)
        k = ((1 + rho * zs) > cs).sum(axis=1)
        tau = (cs[np.arange(len(z)), k - 1] - 1) / k
        output = np.maximum(z - tau[:, None], 0)
        return output, output

    def sparsemax_backward(grad_output, output):
        nonzeros = (output != 0).astype(grad_output.dtype)
        K = output.shape[1]
        v_hat = (grad_output * nonzeros).sum(axis=1, keepdims=True) / K
        return nonzeros * (grad_output - v_hat)

    rng = np.random.default_rng(1602)
    return dict(forward=sparsemax, backward=sparsemax_backward, inputs=dict(z=rng.normal(size=(5, 6)) * 0.8))


@item("deep_equilibrium", "research repository, implicit layers")
def make_deep_equilibrium():
    def deq_forward(x, W, U, b):
        inj = x @ U.T + b
        z = np.zeros_like(inj)
        for _ in range(400):
            z_new = np.tanh(z @ W.T + inj)
            if np.max(np.abs(z_new - z)) < 1e-15:
                z = z_new
                break
            z = z_new
        return z, (x, W, U, z)

    def deq_backward(dz, cache):
        x, W, U, z = cache
        D = 1 - z ** 2
        I = np.eye(W.shape[0])
        g = np.stack([np.linalg.solve(I - W.T * D[n][None, :], dz[n]) for n in range(len(z))])
        ga = g * D
        return {"x": ga @ U, "W": ga.T @ z, "U": ga.T @ x, "b": ga.sum(0)}

    rng = np.random.default_rng(1909)
    return dict(forward=deq_forward, backward=deq_backward,
                inputs=dict(x=rng.normal(size=(4, 2)), W=rng.normal(size=(3, 3)) * 0.3, U=rng.normal(size=(3, 2)), b=rng.normal(size=3)))


@item("linear_solve", "HIPS autograd-like", False,
      "d(A^-1) = -A^-1 dA A^-1: the gradient of A lacks its minus", ("A",), ("sign",))
def make_linear_solve():
    T = lambda x: np.swapaxes(x, -1, -2)

    def solve(A, b):
        ans = np.linalg.solve(A, b)
        return ans, (A, ans)

    def grad_solve(g, tape):
        A, ans = tape
        updim = lambda x: x if x.ndim == A.ndim else x[..., None]
        gb = np.linalg.solve(T(A), g)
        gA = np.dot(updim(gb), T(updim(ans)))
        return gA, gb

    rng = np.random.default_rng(11)
    return dict(forward=solve, backward=grad_solve,
                inputs=dict(A=rng.normal(size=(4, 4)) + 2 * np.eye(4), b=rng.normal(size=(4, 3))))


@item("quaternion_rotate", "geometry / SLAM code", False,
      "q is normalised first; the gradient has to go through the normalisation too (project and divide by |q|)", ("q",),
      ("missing-term", "elementwise-factor"))
def make_quaternion_rotate():
    def rotate(q, p):
        n = np.linalg.norm(q)
        u = q / n
        w, x, y, z = u
        R = np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                      [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                      [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]])
        return p @ R.T, (u, n, p, R)

    def rotate_vjp(dout, cache):
        u, n, p, R = cache
        w, x, y, z = u
        dR = dout.T @ p
        dp = dout @ R
        J = 2 * np.array([
            [[0, -z, y], [z, 0, -x], [-y, x, 0]],
            [[0, y, z], [y, -2 * x, -w], [z, w, -2 * x]],
            [[-2 * y, x, w], [x, 0, z], [-w, z, -2 * y]],
            [[-2 * z, -w, x], [w, -2 * z, y], [x, y, 0]]])
        dq = np.tensordot(J, dR, axes=([1, 2], [0, 1]))
        return {"q": dq, "p": dp}

    rng = np.random.default_rng(3)
    return dict(forward=rotate, backward=rotate_vjp, inputs=dict(q=np.array([1.1, -0.4, 0.7, 0.3]), p=rng.normal(size=(5, 3))))


@item("power_spectrum", "signal processing blog", False,
      "irfft counts the inner bins twice (once for the mirror image), so they have to be halved before it", ("x",),
      ("factor", "elementwise-factor"))
def make_power_spectrum():
    def pspec(x, win):
        X = np.fft.rfft(x * win, axis=-1)
        return X.real ** 2 + X.imag ** 2, (X, win, x.shape[-1])

    def pspec_back(dP, c):
        X, win, n = c
        G = 2 * dP * X
        dxw = np.fft.irfft(G, n=n, axis=-1) * n
        return dxw * win

    rng = np.random.default_rng(44)
    return dict(forward=pspec, backward=pspec_back, inputs=dict(x=rng.normal(size=(3, 8)) + 0.4), constants=dict(win=np.hanning(10)[1:9]))


@item("fft_circular_conv", "signal processing blog")
def make_fft_circular_conv():
    def cconv(x, h):
        n = x.shape[-1]
        X, H = np.fft.rfft(x), np.fft.rfft(h, n)
        return np.fft.irfft(X * H, n), (X, H, n, len(h))

    def cconv_back(dy, c):
        X, H, n, m = c
        D = np.fft.rfft(dy)
        dx = np.fft.irfft(D * H.conj(), n)
        dh = np.fft.irfft((D * X.conj()).sum(0), n)[:m]
        return dx, dh

    rng = np.random.default_rng(45)
    return dict(forward=cconv, backward=cconv_back, inputs=dict(x=rng.normal(size=(3, 9)), h=rng.normal(size=4)))


@item("student_t_nll", "probabilistic forecasting repository", False,
      "the derivative by nu lacks the part of -log(nu)/2 in the normaliser, 1 / (2 nu)", ("nu",), ("missing-term",))
def make_student_t_nll():
    def nll(mu, sigma, nu, y):
        z = (y - mu) / sigma
        q = 1 + z ** 2 / nu
        ll = (scipy.special.gammaln((nu + 1) / 2) - scipy.special.gammaln(nu / 2) - 0.5 * np.log(np.pi * nu)
              - np.log(sigma) - (nu + 1) / 2 * np.log(q))
        return -ll.sum(axis=-1), (z, q, sigma, nu)

    def nll_grad(dout, cache):
        z, q, sigma, nu = cache
        d = dout[:, None]
        dz = (nu + 1) * z / (nu * q)
        dmu = -dz / sigma
        dsigma = (1 - dz * z) / sigma
        psi = scipy.special.psi
        dnu = -0.5 * psi((nu + 1) / 2) + 0.5 * psi(nu / 2) + 0.5 * np.log(q) - 0.5 * (nu + 1) * z ** 2 / (nu ** 2 * q)
        return {"mu": d * dmu, "sigma": d * dsigma, "nu": d * dnu}

    rng = np.random.default_rng(9)
    return dict(forward=nll, backward=nll_grad,
                inputs=dict(mu=rng.normal(size=(4, 3)), sigma=0.5 + rng.random((4, 3)), nu=2.2 + 3 * rng.random((4, 3))),
                constants=dict(y=rng.normal(size=(4, 3)) * 2))


@item("gelu_tanh", "PyTorch autograd.Function port")
def make_gelu_tanh():
    class GeLUFunction:
        @staticmethod
        def forward(ctx, x, bias):
            ctx["saved"] = (x, bias)
            x = x + bias
            return x * 0.5 * (1.0 + np.tanh(0.79788456 * x * (1 + 0.044715 * x * x)))

        @staticmethod
        def backward(ctx, g):
            x, bias = ctx["saved"]
            x = x + bias
            tanh_out = np.tanh(0.79788456 * x * (1 + 0.044715 * x * x))
            # 3 * 0.79788456 * 0.044715 = 0.1070322244...
            ff = 0.5 * x * ((1 - tanh_out * tanh_out) * (0.79788456 + 3 * 0.79788456 * 0.044715 * x * x)) + 0.5 * (1 + tanh_out)
            tmp = ff * g
            return tmp, tmp.sum(axis=0)

    def forward(x, bias):
        ctx = {}
        return GeLUFunction.forward(ctx, x, bias), ctx

    rng = np.random.default_rng(1606)
    return dict(forward=forward, backward=lambda g, ctx: GeLUFunction.backward(ctx, g),
                inputs=dict(x=rng.normal(size=(4, 6)) * 1.5, bias=rng.normal(size=6)))


# ---------------------------------------------------------------- three


@item("mixture_density_nll", "blog post, short names", False,
      "y has D dimensions, so log sigma stands D times in log N: D - d2 / sigma^2, not 1 - d2 / sigma^2", ("s",), ("missing-term",))
def make_mixture_density_nll():
    def mdn(a, mu, s, y):
        D = y.shape[1]
        lp = a - scipy.special.logsumexp(a, axis=1, keepdims=True)
        d2 = ((y[:, None, :] - mu) ** 2).sum(-1)
        ln = -0.5 * d2 * np.exp(-2 * s) - D * s - 0.5 * D * np.log(2 * np.pi)
        l = scipy.special.logsumexp(lp + ln, axis=1)
        gam = np.exp(lp + ln - l[:, None])
        return -l, (lp, mu, s, y, d2, gam)

    def mdn_back(g, c):
        lp, mu, s, y, d2, gam = c
        g = g[:, None]
        da = g * (np.exp(lp) - gam)
        dmu = (g * gam * np.exp(-2 * s))[:, :, None] * (mu - y[:, None, :])
        ds = g * gam * (1 - d2 * np.exp(-2 * s))
        return {"a": da, "mu": dmu, "s": ds}

    rng = np.random.default_rng(1994)
    return dict(forward=mdn, backward=mdn_back,
                inputs=dict(a=rng.normal(size=(5, 3)), mu=rng.normal(size=(5, 3, 2)), s=rng.normal(size=(5, 3)) * 0.4),
                constants=dict(y=rng.normal(size=(5, 2))))


@item("max_pool_overlapping", "CS231n assignment", False,
      "the windows overlap (stride 1), so a pixel may be the maximum of several: += instead of =", ("x",), ("missing-term",))
def make_max_pool_overlapping():
    def max_pool_forward_naive(x, pool_param):
        N, C, H, W = x.shape
        hh, ww, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
        Ho, Wo = 1 + (H - hh) // s, 1 + (W - ww) // s
        out = np.zeros((N, C, Ho, Wo))
        for i in range(Ho):
            for j in range(Wo):
                out[:, :, i, j] = x[:, :, i * s:i * s + hh, j * s:j * s + ww].max(axis=(2, 3))
        return out, (x, pool_param)

    def max_pool_backward_naive(dout, cache):
        x, pool_param = cache
        N, C, Ho, Wo = dout.shape
        hh, ww, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
        dx = np.zeros_like(x)
        for n in range(N):
            for c in range(C):
                for i in range(Ho):
                    for j in range(Wo):
                        window = x[n, c, i * s:i * s + hh, j * s:j * s + ww]
                        r, q = np.unravel_index(np.argmax(window), window.shape)
                        dx[n, c, i * s + r, j * s + q] = dout[n, c, i, j]
        return dx

    rng = np.random.default_rng(232)
    return dict(forward=max_pool_forward_naive, backward=max_pool_backward_naive, inputs=dict(x=rng.normal(size=(3, 1, 4, 5))),
                constants=dict(pool_param={"pool_height": 2, "pool_width": 3, "stride": 1}))


@item("gem_pooling", "research repository, image retrieval", False,
      "x is clamped at eps before the power; below eps nothing should come back (the clamp's mask is missing)", ("x",), ("elementwise-factor",))
def make_gem_pooling():
    class GeM:
        def forward(self, x, p, eps):
            self.xc = np.maximum(x, eps)
            self.p = p
            self.m = (self.xc ** p).mean(axis=-1)
            self.x, self.eps = x, eps
            self.y = self.m ** (1.0 / p)
            return self.y

        def backward(self, dy):
            p, L = self.p, self.xc.shape[-1]
            dm = dy * self.y / (p * self.m)
            dxc = dm[..., None] * p * self.xc ** (p - 1) / L
            dp = np.sum(dm * (self.xc ** p * np.log(self.xc)).mean(axis=-1)) - np.sum(dy * self.y * np.log(self.m)) / p ** 2
            dx = dxc
            return {"x": dx, "p": np.array(dp)}

    pool = GeM()
    rng = np.random.default_rng(1711)
    return dict(forward=lambda x, p, eps: (pool.forward(x, p, eps), pool), backward=lambda dy, layer: layer.backward(dy),
                inputs=dict(x=rng.normal(0.4, 1.0, size=(3, 4, 5)), p=np.array(2.4)), constants=dict(eps=0.2))


@item("gru_cell_torch_layout", "PyTorch port, cell by hand", False,
      "in the candidate b_hh stands inside r * (...): its third part needs the reset gate (dgh, not dgi)", ("b_hh",), ("elementwise-factor",))
def make_gru_cell_torch_layout():
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def gru_cell(x, h, w_ih, w_hh, b_ih, b_hh):
        gi = x @ w_ih.T + b_ih
        gh = h @ w_hh.T + b_hh
        i_r, i_z, i_n = np.split(gi, 3, axis=1)
        h_r, h_z, h_n = np.split(gh, 3, axis=1)
        r = sigmoid(i_r + h_r)
        z = sigmoid(i_z + h_z)
        n = np.tanh(i_n + r * h_n)
        return n + z * (h - n), (x, h, w_ih, w_hh, r, z, n, h_n)

    def gru_cell_backward(grad_hy, saved):
        x, h, w_ih, w_hh, r, z, n, h_n = saved
        dz = grad_hy * (h - n) * z * (1 - z)
        dn = grad_hy * (1 - z) * (1 - n * n)
        dr = dn * h_n * r * (1 - r)
        dgi = np.concatenate([dr, dz, dn], axis=1)
        dgh = np.concatenate([dr, dz, dn * r], axis=1)
        return {"x": dgi @ w_ih, "h": grad_hy * z + dgh @ w_hh, "w_ih": dgi.T @ x, "w_hh": dgh.T @ h,
                "b_ih": dgi.sum(0), "b_hh": dgi.sum(0)}

    rng = np.random.default_rng(14)
    return dict(forward=gru_cell, backward=gru_cell_backward,
                inputs=dict(x=rng.normal(size=(4, 2)), h=rng.normal(size=(4, 3)), w_ih=rng.normal(size=(9, 2)), w_hh=rng.normal(size=(9, 3)),
                            b_ih=rng.normal(size=9), b_hh=rng.normal(size=9)))


@item("focal_loss_logits", "reimplementation from a paper", False,
      "the modulating factor (1 - pt)^gamma is held constant; its own derivative, with log(pt), is missing", ("logits",),
      ("missing-term", "elementwise-factor"))
def make_focal_loss_logits():
    def focal_loss(logits, targets, gamma, alpha):
        p = 1 / (1 + np.exp(-logits))
        pt = np.where(targets == 1, p, 1 - p)
        at = np.where(targets == 1, alpha, 1 - alpha)
        loss = -at * (1 - pt) ** gamma * np.log(pt)
        return loss.mean(), (p, pt, at, targets, gamma)

    def focal_loss_backward(dloss, cache):
        p, pt, at, targets, gamma = cache
        sgn = np.where(targets == 1, 1.0, -1.0)
        w = (1 - pt) ** gamma
        dlogits = -at * sgn * w * (1 - pt)
        return dloss * dlogits / p.size

    rng = np.random.default_rng(1708)
    return dict(forward=focal_loss, backward=focal_loss_backward, inputs=dict(logits=rng.normal(size=(5, 4)) * 1.5),
                constants=dict(targets=(rng.random((5, 4)) < 0.4).astype(int), gamma=2.0, alpha=0.25))


@item("triplet_mean_nonzero", "research repository, face recognition", False,
      "the forward averages over the triplets that are active, the backward divides by the whole batch", ("anchor", "positive", "negative"),
      ("factor", "batch-sum"))
def make_triplet_mean_nonzero():
    def triplet_loss(anchor, positive, negative, margin):
        d_ap = ((anchor - positive) ** 2).sum(1)
        d_an = ((anchor - negative) ** 2).sum(1)
        hinge = np.maximum(d_ap - d_an + margin, 0.0)
        active = hinge > 0
        num_positive_triplets = max(active.sum(), 1)
        return hinge.sum() / num_positive_triplets, (anchor, positive, negative, active)

    def triplet_loss_grad(dloss, cache):
        anchor, positive, negative, active = cache
        w = dloss * active[:, None] / len(anchor)
        d_anchor = 2 * w * (negative - positive)
        d_positive = 2 * w * (positive - anchor)
        d_negative = 2 * w * (anchor - negative)
        return d_anchor, d_positive, d_negative

    rng = np.random.default_rng(1503)
    a = rng.normal(size=(6, 3))
    return dict(forward=triplet_loss, backward=triplet_loss_grad,
                inputs=dict(anchor=a, positive=a + 1.2 * rng.normal(size=(6, 3)), negative=a + 1.2 * rng.normal(size=(6, 3))), constants=dict(margin=0.3))


@item("clip_symmetric_loss", "reimplementation from a paper", False,
      "the text-to-image softmax is taken over logits.T, so its gradient has to be transposed back before it is added",
      ("image_features", "text_features", "logit_scale"), ("transpose",))
def make_clip_symmetric_loss():
    def cross_entropy(logits, labels):
        lse = scipy.special.logsumexp(logits, axis=1)
        n = len(labels)
        grad = np.exp(logits - lse[:, None])
        grad[np.arange(n), labels] -= 1
        return (lse - logits[np.arange(n), labels]).mean(), grad / n

    def clip_loss(image_features, text_features, logit_scale):
        sim = image_features @ text_features.T
        logits_per_image = np.exp(logit_scale) * sim
        labels = np.arange(len(sim))
        loss_i, g_i = cross_entropy(logits_per_image, labels)
        loss_t, g_t = cross_entropy(logits_per_image.T, labels)
        return (loss_i + loss_t) / 2, (image_features, text_features, logit_scale, sim, g_i, g_t)

    def clip_loss_backward(dloss, cache):
        image_features, text_features, logit_scale, sim, g_i, g_t = cache
        dlogits = dloss * (g_i + g_t) / 2
        dsim = np.exp(logit_scale) * dlogits
        return {"image_features": dsim @ text_features, "text_features": dsim.T @ image_features,
                "logit_scale": np.array(np.sum(dsim * sim))}

    rng = np.random.default_rng(2103)
    return dict(forward=clip_loss, backward=clip_loss_backward,
                inputs=dict(image_features=rng.normal(size=(5, 3)), text_features=rng.normal(size=(5, 3)), logit_scale=np.array(0.35)))


@item("linear_chain_crf", "NLP repository", False,
      "the pairwise marginals of the steps have to be summed; the assignment in the loop keeps those of the last step alone", ("trans",),
      ("missing-term", "batch-sum"))
def make_linear_chain_crf():
    lse = scipy.special.logsumexp

    def crf_nll(emissions, trans, start, tags):
        T, K = emissions.shape
        alpha = np.zeros((T, K))
        alpha[0] = start + emissions[0]
        for t in range(1, T):
            alpha[t] = lse(alpha[t - 1][:, None] + trans, axis=0) + emissions[t]
        logZ = lse(alpha[-1])
        score = start[tags[0]] + emissions[np.arange(T), tags].sum() + trans[tags[:-1], tags[1:]].sum()
        return logZ - score, (emissions, trans, tags, alpha, logZ)

    def crf_nll_backward(dloss, cache):
        emissions, trans, tags, alpha, logZ = cache
        T, K = emissions.shape
        beta = np.zeros((T, K))
        for t in range(T - 2, -1, -1):
            beta[t] = lse(trans + (emissions[t + 1] + beta[t + 1])[None, :], axis=1)
        d_em = np.exp(alpha + beta - logZ)
        d_start = d_em[0].copy()
        d_trans = np.zeros_like(trans)
        for t in range(1, T):
            d_trans = np.exp(alpha[t - 1][:, None] + trans + (emissions[t] + beta[t])[None, :] - logZ)
        d_em[np.arange(T), tags] -= 1
        d_start[tags[0]] -= 1
        np.add.at(d_trans, (tags[:-1], tags[1:]), -1)
        return {"emissions": dloss * d_em, "trans": dloss * d_trans, "start": dloss * d_start}

    rng = np.random.default_rng(2001)
    return dict(forward=crf_nll, backward=crf_nll_backward,
                inputs=dict(emissions=rng.normal(size=(6, 4)), trans=rng.normal(size=(4, 4)), start=rng.normal(size=4)),
                constants=dict(tags=np.array([0, 2, 2, 1, 3, 2])))


@item("lstm_three_steps", "functional tuple caches")
def make_lstm_three_steps():
    sig = lambda a: 0.5 * (1 + np.tanh(0.5 * a))

    def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
        H = prev_h.shape[1]
        a = x @ Wx + prev_h @ Wh + b
        i, f, o, g = sig(a[:, :H]), sig(a[:, H:2 * H]), sig(a[:, 2 * H:3 * H]), np.tanh(a[:, 3 * H:])
        c = f * prev_c + i * g
        tc = np.tanh(c)
        return o * tc, c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, tc)

    def lstm_step_backward(dh, dc, cache):
        x, prev_h, prev_c, Wx, Wh, i, f, o, g, tc = cache
        dc = dc + dh * o * (1 - tc * tc)
        da = np.hstack([dc * g * i * (1 - i), dc * prev_c * f * (1 - f), dh * tc * o * (1 - o), dc * i * (1 - g * g)])
        return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(0)

    def lstm_forward(x, h0, Wx, Wh, b):
        h, c, hs, caches = h0, np.zeros_like(h0), [], []
        for t in range(x.shape[1]):
            h, c, cache = lstm_step_forward(x[:, t], h, c, Wx, Wh, b)
            hs.append(h)
            caches.append(cache)
        return np.stack(hs, axis=1), caches

    def lstm_backward(dhs, caches):
        dx = []
        dWx = dWh = db = dh = dc = 0.0
        for t, cache in reversed(list(enumerate(caches))):
            dxt, dh, dc, dWxt, dWht, dbt = lstm_step_backward(dhs[:, t] + dh, dc, cache)
            dx.insert(0, dxt)
            dWx, dWh, db = dWx + dWxt, dWh + dWht, db + dbt
        return np.stack(dx, axis=1), dh, dWx, dWh, db

    rng = np.random.default_rng(1997)
    return dict(forward=lstm_forward, backward=lstm_backward,
                inputs=dict(x=rng.normal(size=(5, 3, 4)), h0=rng.normal(size=(5, 2)), Wx=rng.normal(size=(4, 8)) * 0.6,
                            Wh=rng.normal(size=(2, 8)), b=rng.normal(size=8)))


@item("highway_layer", "Theano-era repository")
def make_highway_layer():
    class HighwayLayer(object):
        def __init__(self, params):
            self.params = params

        def fprop(self, input):
            p = self.params
            self.input = input
            self.H = np.tanh(np.dot(input, p["W_H"]) + p["b_H"])
            self.T = 1.0 / (1.0 + np.exp(-(np.dot(input, p["W_T"]) + p["b_T"])))
            self.output = self.T * (self.H - input) + input
            return self.output

        def bprop(self, gout):
            p = self.params
            gH = gout * self.T * (1.0 - self.H ** 2)
            gT = gout * (self.H - self.input) * self.T * (1.0 - self.T)
            gparams = {"W_H": np.dot(self.input.T, gH), "b_H": np.sum(gH, axis=0),
                       "W_T": np.dot(self.input.T, gT), "b_T": np.sum(gT, axis=0)}
            ginput = np.dot(gH, p["W_H"].T) + np.dot(gT, p["W_T"].T) + gout * (1.0 - self.T)
            return ginput, gparams

    def forward(input, params):
        layer = HighwayLayer(params)
        return layer.fprop(input), layer

    def backward(gout, layer):
        ginput, gparams = layer.bprop(gout)
        return {"input": ginput, "params": gparams}

    rng = np.random.default_rng(1505)
    return dict(forward=forward, backward=backward,
                inputs=dict(input=rng.normal(size=(5, 3)),
                            params={"W_H": rng.normal(size=(3, 3)), "b_H": rng.normal(size=3), "W_T": rng.normal(size=(3, 3)), "b_T": rng.normal(size=3) - 1}))


# ---------------------------------------------------------------- four


@item("pre_emphasis", "signal processing blog", False,
      "the filter is written into the caller's x, which the cache holds too: work on a copy (and keep the old x for the gradient of a)",
      ("a",), ("mutates-input",))
def make_pre_emphasis():
    def preemph(x, a):
        out = x
        out[:, 1:] -= a * x[:, :-1]
        return out, (x, a)

    def preemph_back(dy, cache):
        x, a = cache
        dx = dy.copy()
        dx[:, :-1] -= a * dy[:, 1:]
        da = -np.sum(dy[:, 1:] * x[:, :-1])
        return {"x": dx, "a": np.array(da)}

    rng = np.random.default_rng(97)
    return dict(forward=preemph, backward=preemph_back, inputs=dict(x=rng.normal(size=(3, 8)), a=np.array(0.93)))


@item("maxout_layer", "object style, self.dW", False,
      "self.dW and self.db are made once, in the constructor, and += adds every backward to the one before", ("W", "b"), ("accumulates",))
def make_maxout_layer():
    class Maxout:
        def __init__(self, pieces, n_in, n_out):
            self.pieces = pieces
            self.dW = np.zeros((pieces, n_in, n_out))
            self.db = np.zeros((pieces, n_out))

        def forward(self, x, W, b):
            self.x, self.W = x, W
            z = np.einsum("ni,kio->kno", x, W) + b[:, None, :]
            self.idx = z.argmax(axis=0)
            return z.max(axis=0)

        def backward(self, dout):
            dx = np.zeros_like(self.x)
            for k in range(self.pieces):
                dz = dout * (self.idx == k)
                self.dW[k] += self.x.T @ dz
                self.db[k] += dz.sum(axis=0)
                dx += dz @ self.W[k].T
            return dx

    layer = Maxout(3, 4, 2)

    def backward(dout, cache):
        dx = layer.backward(dout)
        return {"x": dx, "W": layer.dW, "b": layer.db}

    rng = np.random.default_rng(1302)
    return dict(forward=lambda x, W, b: (layer.forward(x, W, b), None), backward=backward,
                inputs=dict(x=rng.normal(size=(5, 4)), W=rng.normal(size=(3, 4, 2)), b=rng.normal(size=(3, 2))))


@item("gumbel_softmax", "blog post, short names", False,
      "the Gumbel noise is drawn inside the forward; it should be handed in", ("logits", "tau"), ("noise-redrawn",))
def make_gumbel_softmax():
    def gumbel_softmax(logits, tau):
        g = -np.log(-np.log(np.random.uniform(size=logits.shape)))
        z = (logits + g) / tau
        y = np.exp(z - z.max(axis=1, keepdims=True))
        y = y / y.sum(axis=1, keepdims=True)
        return y, (y, z, tau)

    def gumbel_softmax_back(dy, c):
        y, z, tau = c
        dz = y * (dy - (dy * y).sum(axis=1, keepdims=True))
        return {"logits": dz / tau, "tau": np.array(-(dz * z).sum() / tau)}

    rng = np.random.default_rng(1611)
    return dict(forward=gumbel_softmax, backward=gumbel_softmax_back, inputs=dict(logits=rng.normal(size=(4, 5)), tau=np.array(0.7)))


@item("log_mel", "audio front end, port", False,
      "spectra and filters are cast to float32, as in the audio library; float64 has to be kept for a check by differences", ("mag", "fbank"),
      ("precision",))
def make_log_mel():
    def log_mel(mag, fbank, floor):
        mag = np.asarray(mag, dtype=np.float32)
        fbank = np.asarray(fbank, dtype=np.float32)
        power = mag ** 2
        mel = power @ fbank.T
        return np.log(mel + np.float32(floor)), (mag, fbank, power, mel, floor)

    def log_mel_backward(dout, cache):
        mag, fbank, power, mel, floor = cache
        dmel = dout / (mel + floor)
        dfbank = dmel.T @ power
        dmag = 2 * mag * (dmel @ fbank)
        return dmag, dfbank

    rng = np.random.default_rng(16000)
    return dict(forward=log_mel, backward=log_mel_backward,
                inputs=dict(mag=np.abs(rng.normal(size=(5, 7))) * 3, fbank=rng.random((3, 7))), constants=dict(floor=1e-2))


@item("laplacian_gram", "GP library, log parameters", False,
      "the distance is 0 on the diagonal and dK/dD diff / D is 0 / 0 there; those entries should give 0", ("X",), ("non-finite",))
def make_laplacian_gram():
    def gram(X, log_ell, log_var):
        diff = X[:, None, :] - X[None, :, :]
        D = np.sqrt((diff ** 2).sum(-1))
        K = np.exp(log_var - D / np.exp(log_ell))
        return K, (diff, D, K, log_ell)

    def gram_grad(dK, cache):
        diff, D, K, log_ell = cache
        ell = np.exp(log_ell)
        dD = -dK * K / ell
        with np.errstate(divide="ignore", invalid="ignore"):
            S = dD[:, :, None] * diff / D[:, :, None]
        dX = S.sum(axis=1) - S.sum(axis=0)
        return {"X": dX, "log_ell": np.array(np.sum(dK * K * D) / ell), "log_var": np.array(np.sum(dK * K))}

    rng = np.random.default_rng(28)
    return dict(forward=gram, backward=gram_grad,
                inputs=dict(X=rng.normal(size=(5, 3)), log_ell=np.array(0.5), log_var=np.array(-0.3)))


@item("relative_position_bias", "vision transformer port", False,
      "dtable[rel][keep] += ... adds to a copy that indexing made, and the table's gradient stays 0: np.add.at(dtable, rel[keep], ...)",
      ("table",), ("zero",))
def make_relative_position_bias():
    def rel_attention(scores, table, v, rel, keep):
        s = scores + table[rel]
        s = np.where(keep, s, -np.inf)
        s = s - s.max(axis=-1, keepdims=True)
        p = np.exp(s)
        p = p / p.sum(axis=-1, keepdims=True)
        return p @ v, (p, v, table, rel, keep)

    def rel_attention_backward(dout, cache):
        p, v, table, rel, keep = cache
        dv = np.swapaxes(p, 1, 2) @ dout
        dp = dout @ np.swapaxes(v, 1, 2)
        ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
        dtable = np.zeros_like(table)
        db = ds.sum(axis=0)
        dtable[rel][keep] += db[keep]
        return {"scores": ds, "table": dtable, "v": dv}

    rng = np.random.default_rng(2103)
    T = 4
    rel = np.arange(T)[:, None] - np.arange(T)[None, :] + T - 1
    return dict(forward=rel_attention, backward=rel_attention_backward,
                inputs=dict(scores=rng.normal(size=(3, T, T)), table=rng.normal(size=2 * T - 1), v=rng.normal(size=(3, T, 2))),
                constants=dict(rel=rel, keep=rel >= T - 2))


@item("prelu_shared", "Keras / Chainer custom layer", False,
      "one slope is shared by all channels: its gradient has to be summed over the channels too, into shape (1,)", ("alpha",), ("shape",))
def make_prelu_shared():
    class PReLU:
        def forward(self, x, alpha):
            self.x, self.alpha = x, alpha
            return np.where(x >= 0, x, alpha * x)

        def backward(self, gy):
            neg = self.x < 0
            gx = np.where(neg, self.alpha * gy, gy)
            galpha = np.sum(gy * self.x * neg, axis=0)
            return gx, galpha

    layer = PReLU()
    rng = np.random.default_rng(1502)
    return dict(forward=lambda x, alpha: (layer.forward(x, alpha), layer), backward=lambda gy, l: l.backward(gy),
                inputs=dict(x=rng.normal(size=(5, 4)), alpha=np.array([0.22])))


@item("min_char_rnn_loss", "Karpathy gist", False,
      "reversed(range(1, T)) stops before step 0, so the first character's step is left out of every sum",
      ("hprev", "params.Wxh", "params.Whh", "params.Why", "params.bh", "params.by"), ("missing-term", "batch-sum"))
def make_min_char_rnn_loss():
    def lossFun(hprev, params, inputs, targets):
        Wxh, Whh, Why, bh, by = (params[k] for k in ("Wxh", "Whh", "Why", "bh", "by"))
        xs, hs, ps = {}, {}, {}
        hs[-1] = hprev
        loss = 0
        for t in range(len(inputs)):
            xs[t] = np.zeros((Wxh.shape[1], 1))
            xs[t][inputs[t]] = 1
            hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
            y = np.dot(Why, hs[t]) + by
            ps[t] = np.exp(y) / np.sum(np.exp(y))
            loss += -np.log(ps[t][targets[t], 0])
        return loss, (xs, hs, ps, targets, params)

    def lossFun_backward(dloss, cache):
        xs, hs, ps, targets, params = cache
        grads = {k: np.zeros_like(v) for k, v in params.items()}
        dhnext = np.zeros_like(hs[0])
        for t in reversed(range(1, len(targets))):
            dy = np.copy(ps[t])
            dy[targets[t]] -= 1
            grads["Why"] += np.dot(dy, hs[t].T)
            grads["by"] += dy
            dh = np.dot(params["Why"].T, dy) + dhnext
            dhraw = (1 - hs[t] * hs[t]) * dh
            grads["bh"] += dhraw
            grads["Wxh"] += np.dot(dhraw, xs[t].T)
            grads["Whh"] += np.dot(dhraw, hs[t - 1].T)
            dhnext = np.dot(params["Whh"].T, dhraw)
        return {"hprev": dloss * dhnext, "params": {k: dloss * g for k, g in grads.items()}}

    rng = np.random.default_rng(2015)
    V, H = 5, 3
    params = {"Wxh": rng.normal(size=(H, V)) * 0.8, "Whh": rng.normal(size=(H, H)) * 0.8, "Why": rng.normal(size=(V, H)) * 0.8,
              "bh": rng.normal(size=(H, 1)) * 0.3, "by": rng.normal(size=(V, 1)) * 0.3}
    return dict(forward=lossFun, backward=lossFun_backward, inputs=dict(hprev=rng.normal(size=(H, 1)) * 0.7, params=params),
                constants=dict(inputs=[2, 0, 4, 1], targets=[0, 4, 1, 3]))


@item("conv2d_strided_windows", "CS231n assignment")
def make_conv2d_strided_windows():
    def conv_forward_fast(x, w, b, conv_param):
        s, p = conv_param["stride"], conv_param["pad"]
        F, C, HH, WW = w.shape
        xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        win = np.lib.stride_tricks.sliding_window_view(xp, (HH, WW), axis=(2, 3))[:, :, ::s, ::s]
        out = np.einsum("nchwij,fcij->nfhw", win, w) + b[None, :, None, None]
        return out, (x.shape, xp.shape, win, w, conv_param)

    def conv_backward_fast(dout, cache):
        x_shape, xp_shape, win, w, conv_param = cache
        s, p = conv_param["stride"], conv_param["pad"]
        F, C, HH, WW = w.shape
        Ho, Wo = dout.shape[2:]
        db = dout.sum(axis=(0, 2, 3))
        dw = np.einsum("nfhw,nchwij->fcij", dout, win)
        dxp = np.zeros(xp_shape)
        for i in range(HH):
            for j in range(WW):
                dxp[:, :, i:i + s * Ho:s, j:j + s * Wo:s] += np.einsum("nfhw,fc->nchw", dout, w[:, :, i, j])
        dx = dxp[:, :, p:p + x_shape[2], p:p + x_shape[3]]
        return dx, dw, db

    rng = np.random.default_rng(2016)
    return dict(forward=conv_forward_fast, backward=conv_backward_fast,
                inputs=dict(x=rng.normal(size=(3, 1, 4, 5)), w=rng.normal(size=(2, 1, 3, 2)), b=rng.normal(size=2)),
                constants=dict(conv_param={"stride": 2, "pad": 1}))


@item("causal_self_attention", "Karpathy gist")
def make_causal_self_attention():
    def split(t, nh):
        B, T, C = t.shape
        return t.reshape(B, T, nh, C // nh).transpose(0, 2, 1, 3)

    def merge(t):
        B, nh, T, hs = t.shape
        return t.transpose(0, 2, 1, 3).reshape(B, T, nh * hs)

    def csa_forward(x, c_attn, b_attn, c_proj, n_head):
        B, T, C = x.shape
        q, k, v = (split(t, n_head) for t in np.split(x @ c_attn + b_attn, 3, axis=2))
        att = q @ k.swapaxes(-1, -2) * (1.0 / np.sqrt(k.shape[-1]))
        att[:, :, np.triu(np.ones((T, T), bool), 1)] = -np.inf
        att = np.exp(att - att.max(-1, keepdims=True))
        att /= att.sum(-1, keepdims=True)
        y = merge(att @ v)
        return y @ c_proj, (x, c_attn, c_proj, n_head, q, k, v, att, y)

    def csa_backward(dout, cache):
        x, c_attn, c_proj, n_head, q, k, v, att, y = cache
        dc_proj = np.einsum("btc,btd->cd", y, dout)
        dyh = split(dout @ c_proj.T, n_head)
        datt = dyh @ v.swapaxes(-1, -2)
        dv = att.swapaxes(-1, -2) @ dyh
        # sum_j att_ij datt_ij = <dy_i, y_i>, a head at a time
        ds = att * (datt - np.einsum("bhti,bhti->bht", dyh, split(y, n_head))[..., None]) / np.sqrt(k.shape[-1])
        dqkv = np.concatenate([merge(ds @ k), merge(ds.swapaxes(-1, -2) @ q), merge(dv)], axis=2)
        return dqkv @ c_attn.T, np.einsum("btc,btd->cd", x, dqkv), dqkv.sum((0, 1)), dc_proj

    rng = np.random.default_rng(2023)
    return dict(forward=csa_forward, backward=csa_backward,
                inputs=dict(x=rng.normal(size=(5, 3, 4)), c_attn=rng.normal(size=(4, 12)) * 0.6, b_attn=rng.normal(size=12) * 0.3,
                            c_proj=rng.normal(size=(4, 4))), constants=dict(n_head=2))


# ---------------------------------------------------------------- five


@item("mish_complex_step", "blog post, short names")
def make_mish_complex_step():
    def f(x, b):
        return x * np.tanh(np.log(1 + np.exp(b * x)))

    def mish(x, b):
        return f(x, b), (x, b)

    def mish_back(dy, c):
        x, b = c
        h = 1e-30
        dx = dy * f(x + 1j * h, b).imag / h
        db = (dy * f(x, b + 1j * h).imag / h).sum(0)
        return dx, db

    rng = np.random.default_rng(1908)
    return dict(forward=mish, backward=mish_back, inputs=dict(x=rng.normal(size=(4, 5)) * 2, b=0.6 + rng.random(5)))


@item("sinkhorn_unrolled", "micrograd-like tape")
def make_sinkhorn_unrolled():
    class Var:
        def __init__(self, data, parents=()):
            self.data, self.parents = data, parents

    def sub_logsumexp(v, axis):
        out = v.data - scipy.special.logsumexp(v.data, axis=axis, keepdims=True)
        p = np.exp(out)
        return Var(out, [(v, lambda g: g - p * g.sum(axis=axis, keepdims=True))])

    def scale(v, s):
        return Var(v.data / s.data, [(v, lambda g: g / s.data), (s, lambda g: -np.sum(g * v.data) / s.data ** 2)])

    def exp(v):
        e = np.exp(v.data)
        return Var(e, [(v, lambda g: g * e)])

    def sinkhorn(cost, temp, n_iters):
        c, t = Var(cost), Var(temp)
        order = [c, t]
        z = scale(c, t)
        order.append(z)
        for _ in range(n_iters):
            for axis in (1, 0):
                z = sub_logsumexp(z, axis)
                order.append(z)
        out = exp(z)
        order.append(out)
        return out.data, order

    def sinkhorn_backward(g, order):
        grads = {id(v): np.zeros_like(v.data) for v in order}
        grads[id(order[-1])] = g
        for v in reversed(order):
            for parent, pull in v.parents:
                grads[id(parent)] = grads[id(parent)] + pull(grads[id(v)])
        return {"cost": grads[id(order[0])], "temp": np.asarray(grads[id(order[1])])}

    rng = np.random.default_rng(1802)
    return dict(forward=sinkhorn, backward=sinkhorn_backward, inputs=dict(cost=rng.normal(size=(4, 4)), temp=np.array(0.6)),
                constants=dict(n_iters=4))


@item("svm_loss_crammer_singer", "CS231n assignment")
def make_svm_loss_crammer_singer():
    def svm_loss(W, X, y, reg):
        scores = X.dot(W)
        n = X.shape[0]
        margins = scores - scores[np.arange(n), y][:, None] + 1.0
        margins[np.arange(n), y] = 0
        j = margins.argmax(axis=1)
        hinge = np.maximum(margins[np.arange(n), j], 0)
        return hinge.mean() + reg * np.sum(W * W), (W, X, y, j, hinge, reg)

    def svm_loss_backward(dloss, cache):
        W, X, y, j, hinge, reg = cache
        n, C = X.shape[0], W.shape[1]
        S = (np.eye(C)[j] - np.eye(C)[y]) * (hinge > 0)[:, None] / n
        return dloss * (X.T.dot(S) + 2 * reg * W), dloss * S.dot(W.T)

    rng = np.random.default_rng(2017)
    return dict(forward=svm_loss, backward=svm_loss_backward, inputs=dict(W=rng.normal(size=(4, 3)), X=rng.normal(size=(7, 4))),
                constants=dict(y=np.array([0, 2, 1, 1, 0, 2, 0]), reg=0.1))


@item("affine_coupling_reversible", "research repository, flows")
def make_affine_coupling_reversible():
    def coupling(x, Ws, bs, Wt, bt):
        d = x.shape[1] // 2
        x1, x2 = x[:, :d], x[:, d:]
        s = np.tanh(x1 @ Ws + bs)
        t = x1 @ Wt + bt
        y2 = x2 * np.exp(s) + t
        y = np.concatenate([x1, y2, s.sum(1, keepdims=True)], axis=1)
        return y, (y[:, :-1].copy(), Ws, bs, Wt, bt)

    def coupling_backward(grad, cache):
        """ the input is not kept: it is won back from the output """
        y, Ws, bs, Wt, bt = cache
        d = Ws.shape[0]
        g1, g2, gl = grad[:, :d], grad[:, d:-1], grad[:, -1:]
        x1 = y[:, :d]
        s = np.tanh(x1 @ Ws + bs)
        x2_scaled = y[:, d:] - (x1 @ Wt + bt)
        gs = (g2 * x2_scaled + gl) * (1 - s ** 2)
        gx = np.concatenate([g1 + gs @ Ws.T + g2 @ Wt.T, g2 * np.exp(s)], axis=1)
        return {"x": gx, "Ws": x1.T @ gs, "bs": gs.sum(0), "Wt": x1.T @ g2, "bt": g2.sum(0)}

    rng = np.random.default_rng(1605)
    return dict(forward=coupling, backward=coupling_backward,
                inputs=dict(x=rng.normal(size=(5, 5)), Ws=rng.normal(size=(2, 3)), bs=rng.normal(size=3), Wt=rng.normal(size=(2, 3)), bt=rng.normal(size=3)))


@item("beta_nll_mean_precision", "probabilistic forecasting repository")
def make_beta_nll_mean_precision():
    dg = scipy.special.digamma

    def beta_nll(eta, log_phi, y):
        mu = scipy.special.expit(eta)
        phi = np.exp(log_phi)
        a, b = mu * phi, (1 - mu) * phi
        ll = -scipy.special.betaln(a, b) + (a - 1) * np.log(y) + (b - 1) * np.log1p(-y)
        return -ll.sum(axis=1), (mu, phi, a, b, y)

    def beta_nll_backward(g, cache):
        mu, phi, a, b, y = cache
        da = dg(a) - dg(a + b) - np.log(y)
        db = dg(b) - dg(a + b) - np.log1p(-y)
        g = g[:, None]
        return {"eta": g * phi * mu * (1 - mu) * (da - db), "log_phi": (g * (a * da + b * db)).sum(0)}

    rng = np.random.default_rng(2004)
    return dict(forward=beta_nll, backward=beta_nll_backward,
                inputs=dict(eta=rng.normal(size=(5, 3)), log_phi=rng.normal(1.0, 0.5, size=3)), constants=dict(y=rng.uniform(0.05, 0.95, (5, 3))))


@item("bilinear_upsample_matrices", "PyTorch autograd.Function port")
def make_bilinear_upsample_matrices():
    def interp_matrix(n_in, n_out):
        """ align_corners=False """
        M = np.zeros((n_out, n_in))
        for i in range(n_out):
            src = max((i + 0.5) * n_in / n_out - 0.5, 0.0)
            lo = int(src)
            hi = min(lo + 1, n_in - 1)
            M[i, lo] += 1 - (src - lo)
            M[i, hi] += src - lo
        return M

    def upsample(input, size):
        U, V = interp_matrix(input.shape[2], size[0]), interp_matrix(input.shape[3], size[1])
        return U @ input @ V.T, (U, V)

    def upsample_backward(grad_output, saved):
        U, V = saved
        return U.T @ grad_output @ V

    rng = np.random.default_rng(224)
    return dict(forward=upsample, backward=upsample_backward, inputs=dict(input=rng.normal(size=(3, 2, 2, 3))), constants=dict(size=(5, 7)))


@item("layernorm_full_jacobian", "HIPS autograd-like")
def make_layernorm_full_jacobian():
    def layer_norm(x, scale, eps):
        c = x - np.mean(x, axis=-1, keepdims=True)
        s = np.sqrt(np.mean(c * c, axis=-1, keepdims=True) + eps)
        return scale * c / s, (c, s, scale)

    def layer_norm_vjp(g, tape):
        c, s, scale = tape
        n = c.shape[-1]
        P = np.eye(n) - 1.0 / n
        h = c / s
        J = (P[None] - np.einsum("bi,bj->bij", h, h) / n) / s[:, :, None]
        return np.einsum("bi,bij->bj", g * scale, J), np.einsum("bi,bi->i", g, h)

    rng = np.random.default_rng(1607)
    return dict(forward=layer_norm, backward=layer_norm_vjp,
                inputs=dict(x=rng.normal(0.5, 1.3, size=(4, 6)), scale=rng.normal(size=6)), constants=dict(eps=1e-5))


@item("squeeze_excite", "object style, self.dW")
def make_squeeze_excite():
    class SEBlock:
        def __init__(self):
            self.grads = {}

        def forward(self, x, W1, W2):
            self.x, self.W1, self.W2 = x, W1, W2
            self.s = x.mean(axis=2)
            self.h = np.maximum(self.s @ W1, 0)
            self.g = 1 / (1 + np.exp(-(self.h @ W2)))
            return x * self.g[:, :, None]

        def zero_grad(self):
            self.grads = {"W1": np.zeros_like(self.W1), "W2": np.zeros_like(self.W2)}

        def backward(self, dout):
            self.zero_grad()
            dg = (dout * self.x).sum(axis=2)
            da = dg * self.g * (1 - self.g)
            self.grads["W2"] += self.h.T @ da
            dh = (da @ self.W2.T) * (self.h > 0)
            self.grads["W1"] += self.s.T @ dh
            ds = dh @ self.W1.T
            dx = dout * self.g[:, :, None]
            dx += ds[:, :, None] / self.x.shape[2]
            return dx

    block = SEBlock()

    def backward(dout, cache):
        dx = block.backward(dout)
        return {"x": dx, **block.grads}

    rng = np.random.default_rng(1709)
    return dict(forward=lambda x, W1, W2: (block.forward(x, W1, W2), None), backward=backward,
                inputs=dict(x=rng.normal(0.4, 1.0, size=(3, 4, 5)), W1=rng.normal(size=(4, 2)), W2=rng.normal(size=(2, 4))))


@item("poincare_distance", "geometry / SLAM code")
def make_poincare_distance():
    def dist(u, v):
        au, av = 1 - (u * u).sum(1), 1 - (v * v).sum(1)
        d2 = ((u - v) ** 2).sum(1)
        gamma = 1 + 2 * d2 / (au * av)
        return np.arccosh(gamma), (u, v, au, av, d2, gamma)

    def dist_grad(g, cache):
        u, v, au, av, d2, gamma = cache
        k = (g * 4 / np.sqrt(gamma ** 2 - 1) / (au * av))[:, None]

        def one(p, q, ap):
            return k * ((p - q) + (d2 / ap)[:, None] * p)
        return {"u": one(u, v, au), "v": one(v, u, av)}

    rng = np.random.default_rng(1705)
    return dict(forward=dist, backward=dist_grad, inputs=dict(u=rng.uniform(-0.5, 0.5, (6, 3)), v=rng.uniform(-0.5, 0.5, (6, 3))))


@item("iir_filter", "signal processing blog")
def make_iir_filter():
    def iir(x, b, a):
        A = np.r_[1.0, a]
        y = scipy.signal.lfilter(b, A, x, axis=-1)
        return y, (x, y, b, A)

    def iir_back(dy, cache):
        x, y, b, A = cache
        lam = scipy.signal.lfilter([1.0], A, dy[:, ::-1], axis=-1)[:, ::-1]
        n = x.shape[1]
        db = np.array([np.sum(lam[:, k:] * x[:, :n - k]) for k in range(len(b))])
        da = np.array([-np.sum(lam[:, k:] * y[:, :n - k]) for k in range(1, len(A))])
        dx = scipy.signal.lfilter(b, [1.0], lam[:, ::-1], axis=-1)[:, ::-1]
        return dx, db, da

    rng = np.random.default_rng(48)
    return dict(forward=iir, backward=iir_back, inputs=dict(x=rng.normal(size=(3, 9)), b=rng.normal(size=3), a=np.array([-0.6, 0.3])))
