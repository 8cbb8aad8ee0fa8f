"""Single layers and losses, right and wrong, in the habits of several well-known kinds of teaching code.

Every text is a right function (or class) as a plain string; a wrong item is that text with one line replaced.
A point is drawn by ``point(rng, B)`` and gives the differentiated inputs and the constants.
Run the module to verify every item by central differences.
"""
import inspect
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


def _edited(text, edit):
    old, new = edit or (text, text)
    assert text.count(old) == 1, (text.count(old), old)
    return text.replace(old, new)


def _run(text):
    space = {"np": np, "__name__": "exam_layer"}
    exec(compile(text, "<exam>", "exec"), space)
    return space


def _p(spec, constants=lambda r, B: {}, scale=1.0):
    """ "x:B,2 b:3" -> a point: normal draws (scale: of the matrices x, logits, a, b) and the constants"""
    def point(r, B):
        shapes = [part.split(":") for part in spec.split()]
        shapes = {n: [B if k == "B" else int(k) for k in shape.split(",") if k] for n, shape in shapes}
        return {n: np.asarray((scale if n[0] in "xXlba" and len(s) > 1 else 1.0) * r.normal(size=s))
                for n, s in shapes.items()}, constants(r, B)
    return point


def _layer(cls, init, names, constants=None):
    """forward(point), backward(dy, layer) of a class: arguments by name, gradients where the class keeps them"""
    def forward(values):
        values = {**values, **(constants or {})}
        layer = cls(**{n: a for n, a in values.items() if n in init})
        return layer.forward(**{n: a for n, a in values.items() if n not in init}), layer

    def backward(dy, layer):
        dx = layer.backward(dy)
        kept = getattr(layer, "grads", {})
        kept = dict(zip(init, kept)) if isinstance(kept, list) else kept
        return {n: (kept[n] if n in kept else getattr(layer, "d" + n)) if n in init else dx for n in names}
    return forward, backward


def _v(name, style, text, point, edit=None, slip="", wrong=(), causes=(), batch=5):
    source = "import numpy as np\n" + _edited(text, edit)

    def make(batch=batch, seed=sum(map(ord, name))):
        space = _run(source)
        inputs, constants = point(np.random.default_rng(seed), batch)
        forward, backward = space.get("forward"), space.get("backward")
        if forward is None:
            cls = [c for c in space.values() if isinstance(c, type) and hasattr(c, "backward")][-1]
            layer_forward, backward = _layer(cls, list(inspect.signature(cls).parameters), list(inputs))

            def forward(**values):
                return layer_forward(values)
        return {"forward": forward, "backward": backward, "inputs": inputs, "constants": constants}

    ITEMS.append(Item(name, style, "vjp", make, edit is None, slip, wrong, causes))


def _f(name, style, text, pair=None, edit=None, slip="", wrong=(), causes=()):
    source = _edited(text, edit)
    ITEMS.append(Item(name, style, "file", lambda: {"source": source, "pair": pair}, edit is None, slip, wrong, causes))


def _file(title, examples, _names="{0}_forward {0}_backward", **texts):
    """the texts in one file, their functions called by the pair's name, with examples at the end"""
    text = f'"""{title}"""\nimport numpy as np\n'
    for name, part in texts.items():
        forward, backward = _names.format(name).split()
        text += part.replace("def forward(", f"def {forward}(").replace("def backward(", f"def {backward}(") \
            if "\ndef forward(" in part else part
    return text + "\nrng = np.random.default_rng(3)\nexamples = {" + examples + "}\n"


AFFINE = '''
def forward(x, w, b):
    out = x.reshape(x.shape[0], -1).dot(w) + b
    return out, (x, w, b)

def backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db
'''
affine_point = _p("x:B,2,3 w:6,4 b:4")
_v("affine_dx_left_flat", "course notes, cache tuples", AFFINE, affine_point,
   ("dout.dot(w.T).reshape(x.shape)", "dout.dot(w.T)"),
   "dx keeps the flattened shape; reshape it to x.shape.", ("x",), ("shape",))

BATCHNORM = '''
def forward(x, gamma, beta, bn_param):
    eps = bn_param.get("eps", 1e-5)
    mu = x.mean(axis=0)
    xmu = x - mu
    var = np.mean(xmu ** 2, axis=0)
    sqrtvar = np.sqrt(var + eps)
    ivar = 1. / sqrtvar
    xhat = xmu * ivar
    out = gamma * xhat + beta
    return out, (xhat, gamma, xmu, ivar, sqrtvar, var, eps)

def backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1. / (sqrtvar ** 2) * divar
    dvar = 0.5 / np.sqrt(var + eps) * dsqrtvar
    dsq = np.ones((N, D)) / N * dvar
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -np.sum(dx1, axis=0)
    dx2 = np.ones((N, D)) / N * dmu
    dx = dx1 + dx2
    return dx, dgamma, dbeta
'''
bn_point = _p("x:B,4 gamma:4 beta:4", lambda r, B: {"bn_param": {"mode": "train", "eps": 1e-3}})
_v("batchnorm_staged_mean_term_of_first_path_only", "course notes, cache tuples",
   BATCHNORM.replace("dmu = -np.sum(dx1, axis=0)", "dmu = -np.sum(dxmu1, axis=0)  # the xmu2 part sums to zero"),
   bn_point, batch=7)
_v("batchnorm_staged_inverse_root_sign", "course notes, cache tuples", BATCHNORM, bn_point,
   ("dsqrtvar = -1. /", "dsqrtvar = 1. /"),
   "the derivative of 1/sqrtvar lacks its minus; the path through the variance has the wrong sign.",
   ("x",), ("sign", "missing-term"), batch=6)

HINGE = '''
def forward(x, y):
    N = x.shape[0]
    correct = x[np.arange(N), y]
    margins = np.maximum(0, x - correct[:, None] + 1.0)
    margins[np.arange(N), y] = 0
    return margins.sum() / N, (margins, y)

def backward(dloss, cache):
    margins, y = cache
    N = margins.shape[0]
    num_pos = np.sum(margins > 0, axis=1)
    dx = np.zeros_like(margins)
    dx[margins > 0] = 1
    dx[np.arange(N), y] -= num_pos
    return dloss * dx / N
'''
hinge_point = _p("x:B,5", lambda r, B: {"y": r.integers(5, size=B)}, 2)
_v("multiclass_hinge", "course notes, cache tuples", HINGE, hinge_point, batch=7)

CONV1D = '''
def forward(x, w, b, conv_param):
    s, p = conv_param["stride"], conv_param["pad"]
    N, C, L = x.shape
    F, _, K = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (p, p)))
    T = 1 + (L + 2 * p - K) // s
    out = np.zeros((N, F, T))
    for n in range(N):
        for f in range(F):
            for t in range(T):
                out[n, f, t] = np.sum(xp[n, :, t * s:t * s + K] * w[f]) + b[f]
    return out, (x, w, b, conv_param)

def backward(dout, cache):
    x, w, b, conv_param = cache
    s, p = conv_param["stride"], conv_param["pad"]
    K = w.shape[2]
    xp = np.pad(x, ((0, 0), (0, 0), (p, p)))
    dxp, dw, db = np.zeros_like(xp), np.zeros_like(w), np.zeros_like(b)
    for n in range(dout.shape[0]):
        for f in range(dout.shape[1]):
            for t in range(dout.shape[2]):
                g = dout[n, f, t]
                dxp[n, :, t * s:t * s + K] += g * w[f]
                dw[f] += g * xp[n, :, t * s:t * s + K]
            db[f] += dout[n, f].sum()
    return dxp[:, :, p:p + x.shape[2]], dw, db
'''
conv1d_point = _p("x:B,2,7 w:3,2,3 b:3", lambda r, B: {"conv_param": {"stride": 2, "pad": 1}})
_v("conv1d_strided_loops", "course notes, cache tuples", CONV1D, conv1d_point, batch=3)
_v("conv1d_bias_of_last_row", "course notes, cache tuples", CONV1D, conv1d_point,
   ("db[f] += dout", "db[f] = dout"),
   "the bias gradient is overwritten by each sequence of the batch, only the last one stays; write +=.",
   ("b",), ("batch-sum",), batch=4)

RELU = '''
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
'''
x_point = _p("x:B,6")
_v("relu_mask_on_a_copy", "from-scratch book, classes", RELU, x_point)
_v("relu_mask_on_the_upstream_gradient", "from-scratch book, classes", RELU, x_point,
   ("dx = dout.copy()", "dx = dout"),
   "backward zeroes entries of the caller's dout; work on a copy.", (), ("mutates-input",))

AFFINE_BUFFERS = '''
class Affine:
    def __init__(self, W, b):
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x):
        W, b = self.params
        self.x = x
        return np.dot(x, W) + b

    def backward(self, dout):
        W, b = self.params
        dx = np.dot(dout, W.T)
        dW = np.dot(self.x.T, dout)
        db = np.sum(dout, axis=0)
        self.grads[0][...] = dW
        self.grads[1][...] = db
        return dx
'''
dense_point = _p("x:B,4 W:4,3 b:3")
_v("affine_own_buffers", "from-scratch book, classes", AFFINE_BUFFERS, dense_point, batch=1)
_v("affine_buffer_never_cleared", "from-scratch book, classes", AFFINE_BUFFERS, dense_point,
   ("self.grads[0][...] = dW", "self.grads[0] += dW"),
   "the weight gradient is added to the buffer, so a second backward doubles it; assign it.",
   (), ("accumulates",), batch=3)

SOFTMAX_LOSS = '''
class SoftmaxWithLoss:
    def forward(self, x, t):
        self.t = t
        x = x - np.max(x, axis=1, keepdims=True)
        self.y = np.exp(x) / np.sum(np.exp(x), axis=1, keepdims=True)
        batch_size = self.y.shape[0]
        self.loss = -np.sum(np.log(self.y[np.arange(batch_size), t])) / batch_size
        return self.loss

    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        dx = self.y.copy()
        dx[np.arange(batch_size), self.t] -= 1
        dx = dx / batch_size
        return dx * dout
'''
labels_point = _p("x:B,4", lambda r, B: {"t": r.integers(4, size=B)}, 2)
_v("softmax_with_loss_not_averaged", "from-scratch book, classes", SOFTMAX_LOSS, labels_point,
   ("dx = dx / batch_size", "dx = dx / 1.0"),
   "the loss is a mean over the batch and the gradient that of the sum; divide by batch_size.",
   ("x",), ("factor",), batch=6)
_v("softmax_with_loss_probabilities_spoilt", "from-scratch book, classes", SOFTMAX_LOSS, labels_point,
   ("dx = self.y.copy()", "dx = self.y"),
   "backward subtracts the one-hot labels from the kept probabilities, so a second backward is wrong; copy them.",
   (), ("mutates-input", "accumulates"), batch=4)

EMBEDDING = '''
class Embedding:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]

    def forward(self, idx):
        W, = self.params
        self.idx = idx
        return W[idx]

    def backward(self, dout):
        dW, = self.grads
        dW[...] = 0
        np.add.at(dW, self.idx, dout)
        return None
'''
embedding_point = _p("W:5,3", lambda r, B: {"idx": r.integers(5, size=(B, 2))})
_v("embedding_add_at", "from-scratch book, classes", EMBEDDING, embedding_point, batch=6)
_v("embedding_repeated_words_counted_once", "from-scratch book, classes", EMBEDDING, embedding_point,
   ("np.add.at(dW, self.idx, dout)", "dW[self.idx] += dout"),
   "fancy += counts a repeated index once only; use np.add.at.", ("W",), ("batch-sum", "missing-term"), batch=6)

CONV_IM2COL = '''
def im2col(img, fh, fw, stride):
    N, C, H, W = img.shape
    out_h, out_w = (H - fh) // stride + 1, (W - fw) // stride + 1
    col = np.zeros((N, C, fh, fw, out_h, out_w))
    for y in range(fh):
        for x in range(fw):
            col[:, :, y, x] = img[:, :, y:y + stride * out_h:stride, x:x + stride * out_w:stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(N * out_h * out_w, -1), out_h, out_w

def col2im(col, shape, fh, fw, stride):
    N, C, H, W = shape
    out_h, out_w = (H - fh) // stride + 1, (W - fw) // stride + 1
    col = col.reshape(N, out_h, out_w, C, fh, fw).transpose(0, 3, 4, 5, 1, 2)
    img = np.zeros((N, C, H + stride - 1, W + stride - 1))
    for y in range(fh):
        for x in range(fw):
            img[:, :, y:y + stride * out_h:stride, x:x + stride * out_w:stride] += col[:, :, y, x]
    return img[:, :, :H, :W]

class Convolution:
    def __init__(self, W, b, stride=1):
        self.W, self.b, self.stride = W, b, stride

    def forward(self, x):
        FN, C, FH, FW = self.W.shape
        self.x = x
        self.col, out_h, out_w = im2col(x, FH, FW, self.stride)
        self.col_W = self.W.reshape(FN, -1).T
        out = np.dot(self.col, self.col_W) + self.b
        return out.reshape(x.shape[0], out_h, out_w, FN).transpose(0, 3, 1, 2)

    def backward(self, dout):
        FN, C, FH, FW = self.W.shape
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
        self.db = np.sum(dout, axis=0)
        self.dW = np.dot(self.col.T, dout)
        self.dW = self.dW.transpose(1, 0).reshape(FN, C, FH, FW)
        dcol = np.dot(dout, self.col_W.T)
        return col2im(dcol, self.x.shape, FH, FW, self.stride)
'''
conv_point = _p("x:B,2,6,5 W:3,2,3,3 b:3", lambda r, B: {"stride": 2})
_v("conv_im2col_strided", "from-scratch book, classes", CONV_IM2COL, conv_point, batch=3)
_v("conv_col2im_overlaps_overwritten", "from-scratch book, classes", CONV_IM2COL, _p("x:B,2,5,4 W:3,2,3,3 b:3"),
   ("x:x + stride * out_w:stride] += col[", "x:x + stride * out_w:stride] = col["),
   "col2im overwrites where windows overlap; add the windows up with +=.",
   ("x",), ("missing-term",), batch=2)

RMSNORM = '''
class RMSNorm1D:
    """y = scaler * X / sqrt(mean(X ** 2) + epsilon), the mean over the features of a row"""

    def __init__(self, scaler, epsilon=1e-5):
        self.X = []
        self.params = {"scaler": scaler}
        self.grads = {"scaler": np.zeros_like(scaler)}
        self.hyperparameters = {"epsilon": epsilon}

    def forward(self, X, retain_derived=True):
        rms = np.sqrt(np.mean(X ** 2, axis=1, keepdims=True) + self.hyperparameters["epsilon"])
        if retain_derived:
            self.X.append((X, rms))
        return self.params["scaler"] * X / rms

    def backward(self, dLdy):
        X, rms = self.X[-1]
        n_in = X.shape[1]
        N = X / rms
        dN = dLdy * self.params["scaler"]
        self.grads["scaler"] = np.sum(dLdy * N, axis=0)
        dX = dN / rms - N * np.sum(dN * N, axis=1, keepdims=True) / (n_in * rms)
        return dX
'''
rms_point = _p("X:B,5 scaler:5")
_v("rmsnorm_tiny_rows", "library of papers", RMSNORM, _p("X:B,5 scaler:5", scale=1e-2), batch=4)
_v("rmsnorm_scale_taken_as_constant", "library of papers", RMSNORM, rms_point,
   ("dX = dN / rms - N * np.sum(dN * N, axis=1, keepdims=True) / (n_in * rms)", "dX = dN / rms"),
   "the root mean square depends on X as well; subtract N * mean(dN * N) / rms.", ("X",), ("missing-term",), batch=4)

POOL = '''
def forward(x, k, s):
    """Max pooling with a square window; the winners' places are kept"""
    n_ex, chans, rows, cols = x.shape
    y = np.empty((n_ex, chans, (rows - k) // s + 1, (cols - k) // s + 1))
    winner = np.empty(y.shape, dtype=int)
    for m, c, i, j in np.ndindex(*y.shape):
        window = x[m, c, i * s:i * s + k, j * s:j * s + k]
        a, b = np.unravel_index(np.argmax(window), window.shape)
        y[m, c, i, j] = window[a, b]
        winner[m, c, i, j] = np.ravel_multi_index((m, c, i * s + a, j * s + b), x.shape)
    return y, (winner, x.shape)

def backward(dLdY, derived):
    winner, shape = derived
    dX = np.zeros(shape)
    np.add.at(dX.reshape(-1), winner.ravel(), dLdY.ravel())
    return dX
'''
pool_point = _p("x:B,2,5,7", lambda r, B: {"k": 3, "s": 2})
_v("maxpool_overlapping_windows", "library of papers", POOL, pool_point, batch=2)
_v("maxpool_written_to_a_copy", "library of papers", POOL, pool_point,
   ("np.add.at(dX.reshape(-1), winner", "np.add.at(dX.flatten(), winner"),
   "flatten() copies, so the gradient is scattered into a throw-away array; use reshape(-1) or ravel().",
   ("x",), ("zero",), batch=2)

TANH_NET = '''
from typing import Callable, Dict

Tensor = np.ndarray

class Layer:
    def __init__(self) -> None:
        self.params: Dict[str, Tensor] = {}
        self.grads: Dict[str, Tensor] = {}

class Linear(Layer):
    def __init__(self, w: Tensor, b: Tensor) -> None:
        super().__init__()
        self.params["w"], self.params["b"] = w, b

    def forward(self, inputs: Tensor) -> Tensor:
        self.inputs = inputs
        return inputs @ self.params["w"] + self.params["b"]

    def backward(self, grad: Tensor) -> Tensor:
        self.grads["b"] = np.sum(grad, axis=0)
        self.grads["w"] = self.inputs.T @ grad
        return grad @ self.params["w"].T

class Activation(Layer):
    f: Callable
    f_prime: Callable

    def forward(self, inputs: Tensor) -> Tensor:
        self.inputs = inputs
        return self.f(inputs)

    def backward(self, grad: Tensor) -> Tensor:
        return self.f_prime(self.inputs) * grad

def tanh(x: Tensor) -> Tensor:
    return np.tanh(x)

def tanh_prime(x: Tensor) -> Tensor:
    y = tanh(x)
    return 1 - y ** 2

class Tanh(Activation):
    f, f_prime = staticmethod(tanh), staticmethod(tanh_prime)

def forward(inputs, w, b):
    layers = [Linear(w, b), Tanh()]
    for layer in layers:
        inputs = layer.forward(inputs)
    return inputs, layers

def backward(grad, layers):
    for layer in reversed(layers):
        grad = layer.backward(grad)
    return {"inputs": grad, **layers[0].grads}
'''
net_point = _p("inputs:B,3 w:3,4 b:4")
_v("tanh_prime_of_the_preactivation", "small layered library, grads dict", TANH_NET, net_point,
   ("return 1 - y ** 2", "return 1 - x ** 2"),
   "the derivative 1 - y**2 is taken with the input x instead of the output tanh(x).",
   ("inputs", "w", "b"), ("elementwise-factor",), batch=4)

CTX = '''
class Context:
    def save_for_backward(self, *values):
        self.saved_values = values

def sigmoid(x):
    return np.where(x >= 0, 1.0 / (1.0 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1.0 + np.exp(-np.abs(x))))

def forward(**values):
    ctx = Context()
    return Fn.forward(ctx, *values.values()), ctx

def backward(grad_output, ctx):
    return Fn.backward(ctx, grad_output)
'''
GATE = CTX + '''
class Fn:
    """a * sigmoid(b)"""

    @staticmethod
    def forward(ctx, a, b):
        s = sigmoid(b)
        ctx.save_for_backward(a, s)
        return a * s

    @staticmethod
    def backward(ctx, grad_output):
        a, s = ctx.saved_values
        grad_a = grad_output * s
        grad_b = grad_output * a * s * (1.0 - s)
        return grad_a, grad_b
'''
gate_point = _p("a:B,4 b:B,4", scale=40)
_v("gated_linear_saturated", "autograd functions with a context", GATE, gate_point, batch=3)
_v("gated_linear_outputs_swapped", "autograd functions with a context", GATE, gate_point,
   ("return grad_a, grad_b", "return grad_b, grad_a"),
   "the two gradients are returned in the other order.", ("a", "b"), ("transpose",), batch=4)

DISTANCE = CTX + '''
class Fn:
    """Euclidean distances between all pairs of rows of x"""

    @staticmethod
    def forward(ctx, x):
        diff = x[:, None, :] - x[None, :, :]
        d = np.sqrt(np.sum(diff * diff, axis=-1))
        ctx.save_for_backward(diff, d)
        return d

    @staticmethod
    def backward(ctx, grad_output):
        diff, d = ctx.saved_values
        safe = np.where(d > 0, d, 1.0)
        g = (grad_output / safe)[:, :, None] * diff
        return g.sum(axis=1) - g.sum(axis=0)
'''
rows_point = _p("x:B,3")
_v("pairwise_distances_with_their_diagonal", "autograd functions with a context", DISTANCE, rows_point, batch=5)
_v("pairwise_distances_divide_by_the_diagonal", "autograd functions with a context", DISTANCE, rows_point,
   ("safe = np.where(d > 0, d, 1.0)", "safe = d"),
   "each row's distance to itself is 0 and 0/0 gives nan; guard the division.", ("x",), ("non-finite",), batch=4)

RESIDUAL = '''
class T(np.ndarray):
    g = None
def t(a): return np.array(a, dtype=float).view(T)
def lin(x, w, b): return t(x @ w + b)
def relu(x): return t(x.clip(0.))
def relu_grad(inp, out): inp.g = (inp > 0) * out.g
def lin_grad(inp, out, w, b):
    inp.g = out.g @ w.T
    w.g = (inp[:, :, None] * out.g[:, None, :]).sum(0)
    b.g = out.g.sum(0)

def forward(x, w1, b1, w2, b2):
    x, w1, b1, w2, b2 = map(t, (x, w1, b1, w2, b2))
    l1 = lin(x, w1, b1)
    l2 = relu(l1)
    l3 = lin(l2, w2, b2)
    out = t(l3 + x)
    return np.asarray(out), (x, w1, b1, w2, b2, l1, l2, l3, out)

def backward(dout, saved):
    x, w1, b1, w2, b2, l1, l2, l3, out = saved
    out.g = np.asarray(dout)
    l3.g = out.g
    lin_grad(l2, l3, w2, b2)
    relu_grad(l1, l2)
    lin_grad(x, l1, w1, b1)
    x.g = x.g + out.g
    return {n: np.asarray(a.g) for n, a in dict(x=x, w1=w1, b1=b1, w2=w2, b2=b2).items()}
'''
residual_point = _p("x:B,4 w1:4,6 b1:6 w2:6,4 b2:4")
_v("residual_relu_passes_one_for_the_upstream", "gradients hung on the arrays", RESIDUAL, residual_point,
   ("inp.g = (inp > 0) * out.g", "inp.g = (inp > 0) * 1."),
   "relu_grad returns the slope alone; multiply by out.g.", ("x", "w1", "b1"), ("elementwise-factor",), batch=4)

DROPOUT = '''
class Dropout():
    def __init__(self, p): self.p = p

    def forward(self, inp, noise):
        self.mask = (noise >= self.p).astype(float)
        return inp * self.mask / (1 - self.p)

    def backward(self, outg):
        return outg * self.mask / (1 - self.p)
'''
dropout_point = _p("inp:B,8", lambda r, B: {"noise": r.random((B, 8)), "p": 0.4})
_v("dropout_draws_its_own_mask", "gradients hung on the arrays", DROPOUT, dropout_point,
   ("(noise >= self.p)", "(np.random.rand(*inp.shape) >= self.p)"),
   "a new mask is drawn at every call though the noise is handed in; use it.", (), ("noise-redrawn",), batch=4)

LOGISTIC = '''
def forward(w, b, X, Y):
    m = X.shape[1]
    A = 1 / (1 + np.exp(-(np.dot(w.T, X) + b)))
    cost = -1 / m * np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A))
    return cost, (A, X, Y)

def backward(dcost, cache):
    A, X, Y = cache
    m = X.shape[1]
    dZ = A - Y
    dw = 1 / m * np.dot(X, dZ.T)
    db = 1 / m * np.sum(dZ)
    return {"w": dcost * dw, "b": dcost * db}
'''
logistic_point = _p("w:3,1 b:", lambda r, B: {"X": r.normal(size=(3, B)), "Y": r.integers(2, size=(1, B))})
_v("logistic_cost_scalar_bias", "features first, grads dict", LOGISTIC, logistic_point, batch=7)
_v("logistic_cost_residual_reversed", "features first, grads dict", LOGISTIC, logistic_point,
   ("dZ = A - Y", "dZ = Y - A"),
   "the residual is taken the wrong way round; dZ is A - Y.", ("w", "b"), ("sign",), batch=6)

ATTENTION = '''
def masked_softmax(scores, valid_lens):
    keep = np.arange(scores.shape[-1])[None, None, :] < valid_lens[:, None, None]
    scores = np.where(keep, scores, -1e6)
    E = np.exp(scores - scores.max(-1, keepdims=True))
    return E / E.sum(-1, keepdims=True)

def forward(queries, keys, values, valid_lens):
    d = queries.shape[-1]
    scores = queries @ keys.transpose(0, 2, 1) / np.sqrt(d)
    attention_weights = masked_softmax(scores, valid_lens)
    return attention_weights @ values, (queries, keys, values, attention_weights)

def backward(dY, cache):
    queries, keys, values, attention_weights = cache
    d = queries.shape[-1]
    dvalues = attention_weights.transpose(0, 2, 1) @ dY
    dA = dY @ values.transpose(0, 2, 1)
    dscores = attention_weights * (dA - (dA * attention_weights).sum(-1, keepdims=True))
    dqueries = dscores @ keys / np.sqrt(d)
    dkeys = dscores.transpose(0, 2, 1) @ queries / np.sqrt(d)
    return dqueries, dkeys, dvalues
'''
attention_point = _p("queries:B,4,3 keys:B,4,3 values:B,4,2", lambda r, B: {"valid_lens": r.integers(1, 5, size=B)})
_v("masked_attention", "textbook functions", ATTENTION, attention_point, batch=3)
_v("masked_attention_weights_untransposed", "textbook functions", ATTENTION, attention_point,
   ("dvalues = attention_weights.transpose(0, 2, 1) @ dY", "dvalues = attention_weights @ dY"),
   "the values' gradient needs the attention weights transposed.", ("values",), ("transpose",), batch=3)
_v("masked_attention_keys_unscaled", "textbook functions", ATTENTION, attention_point,
   ("@ queries / np.sqrt(d)", "@ queries"),
   "the scores' 1/sqrt(d) is missing from the keys' gradient.", ("keys",), ("factor",), batch=2)

TRANS_CONV = '''
def forward(X, K):
    h, w = K.shape
    Y = np.zeros((X.shape[0] + h - 1, X.shape[1] + w - 1))
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            Y[i:i + h, j:j + w] += X[i, j] * K
    return Y, (X, K)

def backward(dY, cache):
    X, K = cache
    (h, w), dX, dK = K.shape, np.zeros_like(X), np.zeros_like(K)
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            window = dY[i:i + h, j:j + w]
            dX[i, j] = (window * K).sum()
            dK += X[i, j] * window
    return dX, dK
'''
trans_point = _p("X:B,3 K:2,2")
_v("transposed_convolution_kernel_turned", "textbook functions", TRANS_CONV, trans_point,
   ("(window * K).sum()", "(window * K[::-1, ::-1]).sum()"),
   "the kernel is turned by 180 degrees in the input's gradient; use it as it stands.",
   ("X",), ("transpose", "unknown"), batch=4)

FOCAL = '''
def forward(logits, labels, gamma=2.0):
    P = np.exp(logits - logits.max(1, keepdims=True))
    P /= P.sum(1, keepdims=True)
    pt = P[np.arange(len(P)), labels]
    return -(1 - pt) ** gamma * np.log(pt), (P, pt, labels, gamma)

def backward(dL, cache):
    P, pt, labels, gamma = cache
    dpt = -(1 - pt) ** gamma / pt
    dpt += gamma * (1 - pt) ** (gamma - 1) * np.log(pt)
    onehot = np.eye(P.shape[1])[labels]
    return (dL * dpt * pt)[:, None] * (onehot - P)
'''
focal_point = _p("logits:B,3", lambda r, B: {"labels": r.integers(3, size=B)})
_v("focal_loss_weight_held_constant", "textbook functions", FOCAL, focal_point,
   ("dpt += gamma * (1 - pt) ** (gamma - 1) * np.log(pt)", "pass"),
   "the modulating weight (1-pt)**gamma depends on the logits too; its term is dropped.",
   ("logits",), ("missing-term",), batch=4)

DEPTHWISE = '''
from numpy.lib.stride_tricks import sliding_window_view as windows

def forward(x, w):
    kh, kw = w.shape[1:]
    win = windows(x, (kh, kw), axis=(2, 3))
    out = np.zeros(win.shape[:4], dtype=x.dtype)
    np.einsum("bchwij,cij->bchw", win, w, out=out, casting="same_kind")
    return out, (x.shape, win, w)

def backward(dy, cache):
    shape, win, w = cache
    oh, ow = dy.shape[2:]
    dw = np.einsum("bchw,bchwij->cij", dy, win)
    dx = np.zeros(shape)
    for i, j in np.ndindex(*w.shape[1:]):
        dx[:, :, i:i + oh, j:j + ow] += dy * w[:, i, j][:, None, None]
    return dx, dw
'''
depthwise_point = _p("x:B,3,4,5 w:3,2,3")
_v("depthwise_conv_single_precision_output", "tensor library, strided views", DEPTHWISE, depthwise_point,
   ("dtype=x.dtype", "dtype=np.float32"),
   "the output buffer is float32 while the inputs are float64; allocate it in the inputs' dtype.",
   (), ("precision",), batch=2)

UPSAMPLE = '''
def forward(x, scale):
    y = x.repeat(scale, axis=2).repeat(scale, axis=3)
    return y, (x.shape, scale)

def backward(dy, cache):
    (b, c, h, w), s = cache
    return dy.reshape(b, c, h, s, w, s).sum(axis=(3, 5))
'''
upsample_point = _p("x:B,2,3,2", lambda r, B: {"scale": 2})
_v("upsample_one_copy_of_four", "tensor library, strided views", UPSAMPLE, upsample_point,
   ("dy.reshape(b, c, h, s, w, s).sum(axis=(3, 5))", "dy[:, :, ::s, ::s]"),
   "each input pixel fills s*s outputs and only the first is read back; sum over the copies.",
   ("x",), ("missing-term",), batch=2)

WEIGHTNORM = '''
def forward(x, v, g):
    norm = np.sqrt(np.einsum("oi,oi->o", v, v))
    u = v / norm[:, None]
    w = g[:, None] * u
    return np.einsum("bi,oi->bo", x, w), (x, w, u, g, norm)

def backward(dy, cache):
    x, w, u, g, norm = cache
    dx = np.einsum("bo,oi->bi", dy, w)
    dw = np.einsum("bo,bi->oi", dy, x)
    dg = np.einsum("oi,oi->o", dw, u)
    dv = (g / norm)[:, None] * (dw - dg[:, None] * u)
    return dx, dv, dg
'''
weightnorm_point = _p("x:B,4 v:3,4 g:3")
_v("weight_normalisation", "tensor library, strided views", WEIGHTNORM, weightnorm_point, batch=1)
_v("weight_normalisation_gain_forgotten", "tensor library, strided views", WEIGHTNORM, weightnorm_point,
   ("(g / norm)[:, None] * (dw", "(1 / norm)[:, None] * (dw"),
   "the direction's gradient lacks the gain g of each unit.", ("v",), ("elementwise-factor",), batch=5)

BERNOULLI = '''
def forward(logits, targets):
    loss = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    return loss.sum(axis=1).mean(), (logits, targets)

def backward(dy, cache):
    logits, targets = cache
    p = 0.5 * (1 + np.tanh(0.5 * logits))
    return dy * (p - targets) / len(logits)
'''
bernoulli_point = _p("logits:B,4", lambda r, B: {"targets": r.integers(2, size=(B, 4))}, 900)
_v("bernoulli_logits_saturated", "tensor library, strided views", BERNOULLI, bernoulli_point, batch=4)
_v("bernoulli_logits_overflow_in_backward", "tensor library, strided views", BERNOULLI, bernoulli_point,
   ("p = 0.5 * (1 + np.tanh(0.5 * logits))", "p = np.exp(logits) / (1 + np.exp(logits))"),
   "exp overflows at large logits and inf/inf gives nan; use the stable sigmoid.",
   ("logits",), ("non-finite",), batch=6)

TRIPLET = '''
def forward(anchor, positive, negative, margin=1.5):
    dp = ((anchor - positive) ** 2).sum(1)
    dn = ((anchor - negative) ** 2).sum(1)
    active = (dp - dn + margin > 0)
    return np.where(active, dp - dn + margin, 0.0), (anchor, positive, negative, active)

def backward(dy, cache):
    anchor, positive, negative, active = cache
    g = (dy * active)[:, None]
    da = g * 2 * (negative - positive)
    dp = g * 2 * (positive - anchor)
    dn = g * 2 * (anchor - negative)
    return {"anchor": da, "positive": dp, "negative": dn}
'''
triplet_point = _p("anchor:B,4 positive:B,4 negative:B,4")
_v("triplet_negative_attracted", "tensor library, strided views", TRIPLET, triplet_point,
   ("dn = g * 2 * (anchor - negative)", "dn = g * 2 * (negative - anchor)"),
   "the negative's gradient has the wrong sign.", ("negative",), ("sign",), batch=6)

LAYERNORM = '''
def forward(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    inv = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    xhat = (x - mean) * inv
    return gamma * xhat + beta, (xhat, inv, gamma)

def backward(dy, cache):
    xhat, inv, gamma = cache
    rows = tuple(range(dy.ndim - 1))
    g = dy * gamma
    dx = inv * (g - g.mean(-1, keepdims=True) - xhat * (g * xhat).mean(-1, keepdims=True))
    return dx, (dy * xhat).sum(rows), dy.sum(rows)
'''
layernorm_point = _p("x:B,2,5 gamma:5 beta:5")
_v("layernorm_huge_rows", "tensor library, strided views", LAYERNORM, _p("x:B,2,5 gamma:5 beta:5", scale=1e6), batch=3)
_v("layernorm_gains_of_first_row", "tensor library, strided views", LAYERNORM, layernorm_point,
   ("(dy * xhat).sum(rows)", "(dy * xhat)[0].sum(0)"),
   "the gain's gradient sums over the first example only; sum over all leading axes.",
   ("gamma",), ("batch-sum",), batch=4)

# ------------------------------------------------------------------------------------------------------- whole files
NOTES = _file("layers of an assignment", '''
    "affine": {"x": rng.normal(size=(4, 2, 3)), "w": rng.normal(size=(6, 5)), "b": rng.normal(size=5)},
    "batchnorm": {"x": rng.normal(size=(6, 3)), "gamma": rng.normal(size=3), "beta": rng.normal(size=3),
                  "bn_param": {"mode": "train", "eps": 1e-4}},
    "conv1d": {"x": rng.normal(size=(3, 2, 6)), "w": rng.normal(size=(2, 2, 3)), "b": rng.normal(size=2),
               "conv_param": {"stride": 1, "pad": 1}},
    "svm": {"x": rng.normal(size=(5, 4)), "y": rng.integers(4, size=5)},
''', affine=AFFINE, batchnorm=BATCHNORM, conv1d=CONV1D, svm=HINGE)
_f("notes_file", "course notes, cache tuples", NOTES)
_f("notes_file_conv1d_returns_inside_the_loop", "course notes, cache tuples", NOTES, "conv1d",
   ("    return dxp[:, :, p:p + x.shape[2]], dw, db", "        return dxp[:, :, p:p + x.shape[2]], dw, db"),
   "the return is indented into the loop over the batch, so only the first row counts; dedent it.",
   ("x", "w", "b"), ("batch-sum",))
_f("notes_file_svm_margin_counted_everywhere", "course notes, cache tuples", NOTES, "svm",
   ("dx[margins > 0] = 1", "dx[margins > 0] = margins[margins > 0]"),
   "a violated margin's slope is 1, not the margin itself.", ("x",), ("elementwise-factor", "missing-term"))

BOOK = _file("layers of a book's chapter", '''
    "Relu": {"x": rng.normal(size=(4, 3))},
    "Affine": {"init": {"W": rng.normal(size=(4, 3)), "b": rng.normal(size=3)}, "x": rng.normal(size=(5, 4))},
    "Embedding": {"init": {"W": rng.normal(size=(6, 2))}, "idx": rng.integers(6, size=7)},
    "SoftmaxWithLoss": {"x": rng.normal(size=(5, 4)), "t": rng.integers(4, size=5)},
    "Convolution": {"init": {"W": rng.normal(size=(2, 3, 2, 2)), "b": rng.normal(size=2), "stride": 1},
                    "x": rng.normal(size=(2, 3, 4, 5))},
''', relu=RELU, affine=AFFINE_BUFFERS, embedding=EMBEDDING, softmax=SOFTMAX_LOSS, conv=CONV_IM2COL)
_f("book_file", "from-scratch book, classes", BOOK)
_f("book_file_affine_dx_of_swapped_product", "from-scratch book, classes", BOOK, "Affine",
   ("dx = np.dot(dout, W.T)", "dx = np.dot(W, dout.T)"),
   "the product is swapped and dx comes out as its own transpose.", ("x",), ("transpose", "shape"))
_f("book_file_embedding_buffer_never_cleared", "from-scratch book, classes", BOOK, "Embedding",
   ("        dW[...] = 0\n", ""),
   "rows are added to the gradient buffer without zeroing it first, so a second backward doubles it.",
   (), ("accumulates",))

PAPERS = _file("layers of a library of papers", '''
    "RMSNorm1D": {"init": {"scaler": rng.normal(size=4)}, "X": rng.normal(size=(3, 4))},
    "maxpool": {"x": rng.normal(size=(2, 1, 5, 4)), "k": 2, "s": 1},
''', rmsnorm=RMSNORM, maxpool=POOL)
_f("papers_file", "library of papers", PAPERS)
_f("papers_file_rmsnorm_scaler_times_raw_rows", "library of papers", PAPERS, "RMSNorm1D",
   ("np.sum(dLdy * N, axis=0)", "np.sum(dLdy * X, axis=0)"),
   "the scaler multiplies the normalised rows, not X.", ("scaler",), ("elementwise-factor",))

TENSORS = _file("functions of a tensor library", '''
    "depthwise": {"x": rng.normal(size=(2, 2, 4, 3)), "w": rng.normal(size=(2, 2, 2))},
    "upsample": {"x": rng.normal(size=(2, 1, 2, 3)), "scale": 3},
    "weightnorm": {"x": rng.normal(size=(3, 4)), "v": rng.normal(size=(2, 4)), "g": rng.normal(size=2)},
    "triplet": {"anchor": rng.normal(size=(4, 3)), "positive": rng.normal(size=(4, 3)),
                "negative": rng.normal(size=(4, 3))},
    "layernorm": {"x": rng.normal(size=(3, 4, 5)), "gamma": rng.normal(size=5), "beta": rng.normal(size=5)},
''', "{0} {0}_backward", depthwise=DEPTHWISE, upsample=UPSAMPLE, weightnorm=WEIGHTNORM, triplet=TRIPLET,
    layernorm=LAYERNORM)
_f("tensor_file", "tensor library, strided views", TENSORS)
_f("tensor_file_upsample_averages", "tensor library, strided views", TENSORS, "upsample",
   (".sum(axis=(3, 5))", ".mean(axis=(3, 5))"),
   "the copies' gradients are averaged instead of summed.", ("x",), ("factor",))
_f("tensor_file_weightnorm_radial_part_kept", "tensor library, strided views", TENSORS, "weightnorm",
   ("(dw - dg[:, None] * u)", "dw"),
   "the part of dw along the direction u is not removed; the norm of v is treated as a constant.",
   ("v",), ("missing-term",))

CHAPTER = _file("functions of a textbook chapter", '''
    "attention": {"queries": rng.normal(size=(2, 3, 4)), "keys": rng.normal(size=(2, 5, 4)),
                  "values": rng.normal(size=(2, 5, 2)), "valid_lens": np.array([3, 5])},
    "trans_conv": {"X": rng.normal(size=(3, 4)), "K": rng.normal(size=(2, 3))},
    "focal_loss": {"logits": rng.normal(size=(4, 3)), "labels": rng.integers(3, size=4)},
''', attention=ATTENTION, trans_conv=TRANS_CONV, focal_loss=FOCAL)
_f("chapter_file", "textbook functions", CHAPTER)
_f("chapter_file_attention_softmax_sum_dropped", "textbook functions", CHAPTER, "attention",
   ("(dA - (dA * attention_weights).sum(-1, keepdims=True))", "dA"),
   "the softmax's backward lacks the row sum of dA * weights.", ("queries", "keys"), ("missing-term",))
_f("chapter_file_focal_loss_probabilities_minus_labels", "textbook functions", CHAPTER, "focal_loss",
   ("(onehot - P)", "(P - onehot)"),
   "pt grows with its own logit: the log-softmax's slope is onehot - P.", ("logits",), ("sign",))

LAYERED = _file("a small layered library", '''
    "Linear": {"init": {"w": rng.normal(size=(3, 2)), "b": rng.normal(size=2)}, "inputs": rng.normal(size=(4, 3))},
    "Tanh": {"inputs": rng.normal(size=(3, 5))},
''', linear=TANH_NET[:TANH_NET.index("\ndef forward(")])
_f("layered_file", "small layered library, grads dict", LAYERED)
_f("layered_file_linear_bias_averaged", "small layered library, grads dict", LAYERED, "Linear",
   ('np.sum(grad, axis=0)', 'np.mean(grad, axis=0)'),
   "the bias gradient is a mean over the batch while the weight's is a sum.", ("b",), ("factor",))


# ---------------------------------------------------------------------------------------------------- own verification
def _differences(f, inputs, name, dy):
    """sum of dy * y differentiated by central differences, entry by entry"""
    x = np.array(inputs[name], dtype=float)
    grad = np.zeros_like(x)
    scale = np.median(np.abs(x)) + 1e-12 if np.abs(x).max() < 0.1 or np.median(np.abs(x)) > 100 else 1.0
    for i in np.ndindex(*x.shape):
        h = 1e-5 * scale
        values = []
        for step in (h, -h):
            moved = {n: np.array(a, copy=True) for n, a in inputs.items()}
            moved[name][i] = x[i] + step
            values.append(np.asarray(f(moved), dtype=float))
        grad[i] = np.sum(dy * (values[0] - values[1])) / (2 * h)
    return grad


def _as_dict(grads, names):
    if isinstance(grads, dict):
        return grads
    return dict(zip(names, grads if isinstance(grads, (tuple, list)) else (grads,)))


def _judge(forward, backward, inputs, seed=0):
    """(names whose gradient is wrong, set of the other troubles) for one pair at one point"""
    inputs = {n: np.array(a, dtype=float) for n, a in inputs.items()}
    trouble = set()
    copies = {n: a.copy() for n, a in inputs.items()}
    y, cache = forward(inputs)
    y = np.array(y, copy=True)
    if any(not np.array_equal(inputs[n], copies[n]) for n in inputs):
        trouble.add("mutates-input")
    inputs = {n: a.copy() for n, a in copies.items()}
    if not np.array_equal(y, forward({n: a.copy() for n, a in inputs.items()})[0]):
        return (), {"noise-redrawn"}
    if y.dtype != np.float64:
        return (), {"precision"}
    dy = np.random.default_rng(seed).normal(size=y.shape)
    y, cache = forward({n: a.copy() for n, a in inputs.items()})
    given = dy.copy()
    grads = {n: np.array(g, copy=True) for n, g in _as_dict(backward(given, cache), list(inputs)).items()}
    if not np.array_equal(given, dy):
        trouble.add("mutates-input")
    again = {n: np.array(g, copy=True) for n, g in _as_dict(backward(dy.copy(), cache), list(inputs)).items()}
    if any(not np.array_equal(again[n], grads[n], equal_nan=True) for n in grads):
        trouble.add("accumulates")
    wrong = []
    for n in inputs:
        g = grads[n]
        want = _differences(lambda point: forward(point)[0], inputs, n, dy)
        if g.shape != want.shape or not np.isfinite(g).all():
            wrong.append(n)
            continue
        size = max(np.abs(want).max(initial=0), np.abs(g).max(initial=0))
        noise = 1e-9 * np.abs(y).max(initial=0) / max(np.abs(inputs[n]).max(initial=0), 1e-3)
        error = np.abs(g - want).max(initial=0)
        if error > 1e-5 * size + noise:
            assert error > 1e-3 * size, (n, error, size)
            wrong.append(n)
    return tuple(wrong), trouble


def _judge_file(source):
    """the same for every pair and class of a file that its examples name: {name: (wrong, trouble)}"""
    space, result = _run(source), {}
    for name, example in space["examples"].items():
        example = dict(example)
        init = example.pop("init", {})
        fixed = {n: a for n, a in example.items() if not np.issubdtype(np.asarray(a).dtype, np.floating)}
        inputs = {n: a for n, a in example.items() if n not in fixed}
        if isinstance(space.get(name), type):
            rest = {n: a for n, a in init.items() if not isinstance(a, np.ndarray)}
            inputs = {**inputs, **{n: a for n, a in init.items() if n not in rest}}
            forward, backward = _layer(space[name], list(init), list(inputs), {**fixed, **rest})
        else:
            fwd, backward = space.get(name + "_forward") or space[name], space[name + "_backward"]

            def forward(point, fwd=fwd, fixed=fixed):
                return fwd(**point, **fixed)
        result[name] = _judge(forward, backward, inputs)
    return result


def verify():
    from collections import Counter
    assert len({item.name for item in ITEMS}) == len(ITEMS)
    for item in ITEMS:
        if item.check == "file":
            bad = {n: found for n, found in _judge_file(item.make()["source"]).items() if found != ((), set())}
            assert set(bad) == ({item.make()["pair"]} - {None}), (item.name, bad)
            found = [bad.get(item.make()["pair"], ((), set()))]
        else:
            points = [{}] + [{"batch": B, "seed": s} for s, B in enumerate((1, 3, 4, 7)) if item.right]
            found = []
            for at in points:
                call = item.make(**at)
                found.append(_judge(lambda p: call["forward"](**p, **call["constants"]),
                                    call["backward"], call["inputs"]))
        for wrong, trouble in found:
            assert set(wrong) == set(item.wrong), (item.name, wrong, trouble)
            assert bool(wrong or trouble) != item.right, (item.name, wrong, trouble)
            assert not trouble or trouble & set(item.causes), (item.name, trouble)
        assert item.right == (not item.causes) == (not item.slip), item.name
    print(len(ITEMS), "items hold;", Counter((item.check, "right" if item.right else "wrong") for item in ITEMS))
    print(Counter(item.causes[0] for item in ITEMS if not item.right), len({item.style for item in ITEMS}), "styles")


if __name__ == "__main__":
    with np.errstate(all="ignore"):
        verify()
