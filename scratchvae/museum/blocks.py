"""Chapter blocks: what other networks are made of, where one output depends on many inputs."""

import numpy as np

from scratchvae.backend import Array, Cache
from scratchvae.layers import layer_norm, layer_norm_backward, sigmoid
from scratchvae.museum.components import Pair, normal
from scratchvae.museum.specimen import Specimen, plant

SPECIMENS: list[Specimen] = []

LABELS = np.array([0, 2, 1, 1, 2])
WORDS = np.array([3, 0, 3, 1, 3])
MASK = (normal(5, 4, seed=5) > -0.5) * 1.0
KEEP = 0.75

# ---------------------------------------------------------------------------------------------------------------------
# Softmax, and the loss on top of it


def softmax(x: Array) -> tuple[Array, Cache]:
    """p = exp(x) / sum exp(x), row by row."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return p, p


def softmax_backward(dp: Array, p: Cache) -> Array:
    return p * (dp - (dp * p).sum(axis=1, keepdims=True))


@plant(SPECIMENS, Pair(softmax, softmax_backward, {"x": normal(5, 4)}))
def softmax_slope_of_one_class(correct: Pair) -> Pair:
    """The slope of softmax is p (1 - p), class by class

    Origin  [libnd4j#440](https://github.com/deeplearning4j/libnd4j/issues/440),
            [Neural-Network-Experiments PR 5](https://github.com/SebLague/Neural-Network-Experiments/pull/5),
            [DeepLearningFrameworkFromScratchCpp#1](https://github.com/Apiquet/DeepLearningFrameworkFromScratchCpp/issues/1)
    Effect  Every probability depends on every score: what raises one class lowers the others, and that is forgotten.
            Behind a sigmoid the same formula would be right.
    Cause   missing-term
    """

    def backward(dp: Array, p: Cache) -> Array:
        return dp * p * (1 - p)  # the slip: only the diagonal of the Jacobian
        # right: return p * (dp - (dp * p).sum(axis=1, keepdims=True))

    return correct._replace(backward=backward)


def cross_entropy(x: Array, labels: Array) -> tuple[Array, Cache]:
    """The mean over the batch of -log p at the label, p = softmax(x)."""
    p, _ = softmax(x)
    return -np.log(p[np.arange(len(x)), labels]).mean(), (p, labels)


def cross_entropy_backward(dloss: Array, cache: Cache) -> Array:
    p, labels = cache
    return dloss * (p - np.eye(p.shape[1])[labels]) / len(p)


CROSS_ENTROPY = Pair(cross_entropy, cross_entropy_backward, {"x": normal(5, 3)}, {"labels": LABELS})


@plant(SPECIMENS, CROSS_ENTROPY)
def constant_inside_the_logarithm(correct: Pair) -> Pair:
    """log(p + 1e-7) in the forward, and a backward that knows nothing of the constant

    Origin  [deep-learning-from-scratch](https://github.com/oreilly-japan/deep-learning-from-scratch/blob/master/common/functions.py)
    Effect  Harmless while p is large, and a check has to say so. At p = 1e-7 the gradient is twice what it should be.
    Cause   elementwise-factor
    """

    def forward(x: Array, labels: Array) -> tuple[Array, Cache]:
        p, _ = softmax(x)
        return -np.log(p[np.arange(len(x)), labels] + 1e-7).mean(), (p, labels)  # the slip: another function
        # right: return -np.log(p[np.arange(len(x)), labels]).mean(), (p, labels)

    return correct._replace(forward=forward)


def centre_loss(x: Array, centres: Array, labels: Array) -> tuple[Array, Cache]:
    """The mean over the batch of half of the squared distance to the centre of the label."""
    d = x - centres[labels]
    return 0.5 * (d * d).sum() / len(x), (d, labels, len(centres))


def centre_loss_backward(dloss: Array, cache: Cache) -> tuple[Array, Array]:
    d, labels, C = cache
    return dloss * d / len(d), -dloss * np.eye(C)[labels].T @ d / len(d)


@plant(
    SPECIMENS,
    Pair(centre_loss, centre_loss_backward, {"x": normal(5, 2), "centres": normal(3, 2, seed=1)}, {"labels": LABELS}),
)
def loss_averaged_and_gradient_not(correct: Pair) -> Pair:
    """The loss is a mean over the batch, its gradient a sum

    Origin  [MNIST_center_loss_pytorch#9](https://github.com/jxgu1016/MNIST_center_loss_pytorch/issues/9)
    Effect  The step size grows with the batch, and the weight of this loss beside another one is B times what it says.
    Cause   factor
    """

    def backward(dloss: Array, cache: Cache) -> tuple[Array, Array]:
        d, labels, C = cache
        dx = dloss * d  # the slip: the mean over the batch
        # right: dx = dloss * d / len(d)
        return dx, -np.eye(C)[labels].T @ dx

    return correct._replace(backward=backward)


def ridge(W: Array, x: Array, t: Array) -> tuple[Array, Cache]:
    """A squared error and a price on large weights: sum (x W - t)^2 / B + 0.1 sum W^2."""
    r = x @ W - t
    return (r * r).sum() / len(x) + 0.1 * (W * W).sum(), (x, r, W)


def ridge_backward(dloss: Array, cache: Cache) -> Array:
    x, r, W = cache
    return dloss * (2 * x.T @ r / len(x) + 0.2 * W)


@plant(
    SPECIMENS, Pair(ridge, ridge_backward, {"W": normal(4, 2)}, {"x": normal(5, 4, seed=1), "t": normal(5, 2, seed=2)})
)
def weight_decay_without_its_two(correct: Pair) -> Pair:
    """The gradient of reg sum W^2 is written reg W

    Origin  [CS231n-Spring-2017#3](https://github.com/jingtinghuang/CS231n-Spring-2017/issues/3)
    Effect  Half of the decay that the loss announces. With the decay so small beside the data, a loose check passes.
    Cause   factor
    """

    def backward(dloss: Array, cache: Cache) -> Array:
        x, r, W = cache
        return dloss * (2 * x.T @ r / len(x) + 0.1 * W)  # the slip: the slope of W^2 is 2 W
        # right: return dloss * (2 * x.T @ r / len(x) + 0.2 * W)

    return correct._replace(backward=backward)


# ---------------------------------------------------------------------------------------------------------------------
# Dropout and gates


def dropout(x: Array, mask: Array) -> tuple[Array, Cache]:
    """y = x mask / KEEP: inverted dropout, with a mask that the caller has drawn."""
    return x * mask / KEEP, mask


def dropout_backward(dy: Array, mask: Cache) -> Array:
    return dy * mask / KEEP


DROPOUT = Pair(dropout, dropout_backward, {"x": normal(5, 4)}, {"mask": MASK})


@plant(SPECIMENS, DROPOUT)
def dropout_without_its_mask(correct: Pair) -> Pair:
    """The backward of dropout scales, and lets everything through

    Origin  [numpy-ml#94](https://github.com/ddbourgin/numpy-ml/issues/94)
    Effect  Units that had no say in the output are corrected for it.
    Cause   elementwise-factor
    """

    def backward(dy: Array, mask: Cache) -> Array:
        return dy / KEEP  # the slip: the same units are off
        # right: return dy * mask / KEEP

    return correct._replace(backward=backward)


@plant(SPECIMENS, DROPOUT)
def dropout_without_its_scale(correct: Pair) -> Pair:
    """The backward of dropout has the mask, and forgets the division by the share that is kept

    Origin  classic slip; seen in the review of
            [a course's PR 17](https://github.com/rohitg00/ai-engineering-from-scratch/pull/17)
    Effect  Everything below learns at KEEP times the step size, and nothing looks wrong.
    Cause   factor
    """

    def backward(dy: Array, mask: Cache) -> Array:
        return dy * mask  # the slip: the forward divides by KEEP
        # right: return dy * mask / KEEP

    return correct._replace(backward=backward)


def gate(a: Array, c: Array) -> tuple[Array, Cache]:
    """y = sigmoid(a) c: how a gate of an LSTM lets c through."""
    f, _ = sigmoid(a)
    return f * c, (f, c)


def gate_backward(dy: Array, cache: Cache) -> tuple[Array, Array]:
    f, c = cache
    return dy * c * f * (1 - f), dy * f


@plant(SPECIMENS, Pair(gate, gate_backward, {"a": normal(5, 4), "c": normal(5, 4, seed=1)}))
def gate_for_its_slope(correct: Pair) -> Pair:
    """The gradient of an LSTM's gate is multiplied by the gate, where its slope belongs

    Origin  [RNN-LSTM-in-numpy#1](https://github.com/CaptainE/RNN-LSTM-in-numpy/issues/1)
    Effect  An open gate, f = 1, should rest, and is pushed with full force.
    Cause   elementwise-factor
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array]:
        f, c = cache
        return dy * c * f, dy * f  # the slip: the slope of a sigmoid is f (1 - f)
        # right: return dy * c * f * (1 - f), dy * f

    return correct._replace(backward=backward)


# ---------------------------------------------------------------------------------------------------------------------
# Normalisation, rows of a table, and time


def batch_norm(x: Array, gain: Array) -> tuple[Array, Cache]:
    """y = gain u with u = (x - mean) / sd: mean and sd over the batch."""
    sd = np.sqrt(x.var(axis=0) + 1e-5)
    u = (x - x.mean(axis=0)) / sd
    return gain * u, (u, sd, gain)


def batch_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Array]:
    u, sd, gain = cache
    du = dy * gain
    return (du - du.mean(axis=0) - u * (du * u).mean(axis=0)) / sd, (dy * u).sum(axis=0)


BATCH_NORM = Pair(batch_norm, batch_norm_backward, {"x": normal(6, 3), "gain": 1 + 0.5 * normal(3, seed=1)})


@plant(SPECIMENS, BATCH_NORM)
def variance_taken_for_a_constant(correct: Pair) -> Pair:
    """Batch normalisation whose gradient does not go through the variance

    Origin  [abhiskk/ladder#2](https://github.com/abhiskk/ladder/issues/2), where it was cut off from the graph
    Effect  The part that keeps a row from stretching the whole batch is missing. Training is less stable, and works.
    Cause   missing-term
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array]:
        u, sd, gain = cache
        du = dy * gain
        dx = (du - du.mean(axis=0)) / sd  # the slip: sd depends on x as well
        # right: dx = (du - du.mean(axis=0) - u * (du * u).mean(axis=0)) / sd
        return dx, (dy * u).sum(axis=0)

    return correct._replace(backward=backward)


@plant(SPECIMENS, BATCH_NORM)
def gain_forgotten_on_the_way_down(correct: Pair) -> Pair:
    """The gain of batch normalisation is trained, and left out of dx

    Origin  [Knet.jl#288](https://github.com/denizyuret/Knet.jl/issues/288)
    Effect  Right as long as the gain is 1, where it starts and where tests start it.
    Cause   elementwise-factor
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array]:
        u, sd, gain = cache
        du = dy  # the slip: y = gain * u
        # right: du = dy * gain
        return (du - du.mean(axis=0) - u * (du * u).mean(axis=0)) / sd, (dy * u).sum(axis=0)

    return correct._replace(backward=backward)


@plant(
    SPECIMENS,
    Pair(layer_norm, layer_norm_backward, {"x": normal(5, 4), "gain": normal(4, seed=1), "b": normal(4, seed=2)}),
)
def gain_and_shift_change_places(correct: Pair) -> Pair:
    """The gradients of gain and shift are returned in the wrong order

    Origin  [oneflow PR 6149](https://github.com/Oneflow-Inc/oneflow/pull/6149)
    Effect  Both have the shape (H,), so nothing fails: each is trained with the gradient of the other.
    Cause   transpose
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        dx, dgain, db = layer_norm_backward(dy, cache)
        return dx, db, dgain  # the slip: the order of the inputs
        # right: return dx, dgain, db

    return correct._replace(backward=backward)


def embedding(table: Array, words: Array) -> tuple[Array, Cache]:
    """y_t = table[word_t]: a row for every word."""
    return table[words], (words, table.shape)


def embedding_backward(dy: Array, cache: Cache) -> Array:
    words, shape = cache
    dtable = np.zeros(shape)
    np.add.at(dtable, words, dy)
    return dtable


@plant(SPECIMENS, Pair(embedding, embedding_backward, {"table": normal(4, 3)}, {"words": WORDS}))
def words_that_come_twice(correct: Pair) -> Pair:
    """dtable[words] += dy: a word that comes twice is counted once

    Origin  [HIPS/autograd#39](https://github.com/HIPS/autograd/issues/39),
            [pytorch#1528](https://github.com/pytorch/pytorch/issues/1528),
            [nn-zero-to-hero#57](https://github.com/karpathy/nn-zero-to-hero/issues/57)
    Effect  With a list of places += writes to each place once: of a word's gradients the last one is kept. The
            commonest words, which have the most, lose the most.
    Cause   batch-sum
    """

    def backward(dy: Array, cache: Cache) -> Array:
        words, shape = cache
        dtable = np.zeros(shape)
        dtable[words] += dy  # the slip: += with a list of places
        # right: np.add.at(dtable, words, dy)
        return dtable

    return correct._replace(backward=backward)


def recurrence(x: Array, W: Array, U: Array) -> tuple[Array, Cache]:
    """h_t = tanh(x_t W + h_{t-1} U) for every t, h_{-1} = 0.

    Shapes    x (T, B, I), W (I, H), U (H, H), h (T, B, H).
    """
    h = [np.zeros((x.shape[1], U.shape[0]))]
    for x_t in x:
        h.append(np.tanh(x_t @ W + h[-1] @ U))
    return np.stack(h[1:]), (x, W, U, h)


def recurrence_backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
    x, W, U, h = cache
    dx, dW, dU, later = np.zeros(x.shape), np.zeros(W.shape), np.zeros(U.shape), 0.0
    for t in reversed(range(len(x))):
        da = (dy[t] + later) * (1 - h[t + 1] ** 2)
        dx[t], later = da @ W.T, da @ U.T
        dW += x[t].T @ da
        dU += h[t].T @ da
    return dx, dW, dU


@plant(
    SPECIMENS,
    Pair(recurrence, recurrence_backward, {"x": normal(3, 2, 2), "W": normal(2, 3, seed=1), "U": normal(3, 3, seed=2)}),
)
def no_path_through_time(correct: Pair) -> Pair:
    """Each step of a recurrent network is differentiated as if it were the last one

    Origin  [qixianbiao/RNN#2](https://github.com/qixianbiao/RNN/issues/2)
    Effect  No gradient reaches a step from the later ones: the network has a memory, and nobody trains what goes in.
    Cause   missing-term
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        x, W, U, h = cache
        dx, dW, dU, later = np.zeros(x.shape), np.zeros(W.shape), np.zeros(U.shape), 0.0
        for t in reversed(range(len(x))):
            da = dy[t] * (1 - h[t + 1] ** 2)  # the slip: h_t is used twice, by y_t and by h_{t+1}
            # right: da = (dy[t] + later) * (1 - h[t + 1] ** 2)
            dx[t], later = da @ W.T, da @ U.T
            dW += x[t].T @ da
            dU += h[t].T @ da
        return dx, dW, dU

    return correct._replace(backward=backward)
