"""Chapter layers: the dense layer with and without an activation, what a layer keeps, and forks."""

import numpy as np

from scratchvae.backend import Array, Cache
from scratchvae.layers import dense, dense_backward, sigmoid, softplus, tanh, tanh_backward
from scratchvae.museum.components import Pair, normal
from scratchvae.museum.specimen import Specimen, plant

SPECIMENS: list[Specimen] = []

INPUTS = {"x": normal(5, 4), "W": normal(4, 3, seed=1), "b": normal(3, seed=2)}
DENSE = Pair(dense, dense_backward, INPUTS)
SQUARE = Pair(dense, dense_backward, {"x": normal(5, 4), "W": normal(4, 4, seed=1), "b": normal(4, seed=2)})

# ---------------------------------------------------------------------------------------------------------------------
# The dense layer


@plant(SPECIMENS, DENSE)
def bias_gradient_averaged(correct: Pair) -> Pair:
    """db is the average over the batch, where dW is a sum

    Origin  classic slip
    Effect  The biases learn B times more slowly than the weights; training still works.
    Cause   factor
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        dx, dW, _ = dense_backward(dy, cache)
        return dx, dW, dy.mean(axis=0)  # the slip: dW is a sum over the batch, and so is db
        # right: return dx, dW, dy.sum(axis=0)

    return correct._replace(backward=backward)


@plant(SPECIMENS, DENSE)
def bias_gradient_of_the_last_row(correct: Pair) -> Pair:
    """In a loop over the batch db is overwritten, not added to

    Origin  classic slip
    Effect  The bias learns from the last example of every batch alone. The gradient is noisy, not useless.
    Cause   batch-sum
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        dx, dW, _ = dense_backward(dy, cache)
        db = np.zeros(dy.shape[1])
        for row in dy:
            db = row.copy()  # the slip: each row takes the place of the one before
            # right: db = db + row
        return dx, dW, db

    return correct._replace(backward=backward)


@plant(SPECIMENS, DENSE)
def bias_gradient_not_summed(correct: Pair) -> Pair:
    """db is dy itself, one row an example

    Origin  classic slip
    Effect  b -= lr * db fails at once; b = b - lr * db turns the bias into a matrix, silently, and the next batch of
            another size fails.
    Cause   batch-sum
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        dx, dW, _ = dense_backward(dy, cache)
        return dx, dW, dy  # the slip: not summed over the batch
        # right: return dx, dW, dy.sum(axis=0)

    return correct._replace(backward=backward)


@plant(SPECIMENS, SQUARE)
def weight_gradient_transposed(correct: Pair) -> Pair:
    """dW = dy^T x in a square layer

    Origin  classic slip
    Effect  The shapes agree because the layer is square; only the diagonal is right.
    Cause   transpose
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        x, W = cache
        return dy @ W.T, dy.T @ x, dy.sum(axis=0)  # the slip: dW is (O, I), and W is (I, O)
        # right: return dy @ W.T, x.T @ dy, dy.sum(axis=0)

    return correct._replace(backward=backward)


@plant(SPECIMENS, SQUARE)
def input_gradient_through_the_wrong_transpose(correct: Pair) -> Pair:
    """dx = dy W in a square layer, without the transpose

    Origin  classic slip
    Effect  The shapes agree because the layer is square. Every layer below learns from a wrong direction.
    Cause   transpose
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        x, W = cache
        return dy @ W, x.T @ dy, dy.sum(axis=0)  # the slip: W takes x to y, and its transpose takes dy back
        # right: return dy @ W.T, x.T @ dy, dy.sum(axis=0)

    return correct._replace(backward=backward)


@plant(SPECIMENS, DENSE)
def stale_cache(correct: Pair) -> Pair:
    """The layer remembers its last input on itself, and forgets the one before

    Origin  classic slip
    Effect  Right in a plain loop of forward and backward. With another forward in between (a test batch, the second
            use of a shared layer) dW is computed from the wrong batch.
    Cause   mutates-input
    """
    memory: dict[str, Cache] = {}

    def forward(x: Array, W: Array, b: Array) -> tuple[Array, Cache]:
        y, memory["cache"] = dense(x, W, b)  # the slip: one place for the caches of all calls
        # right: y, cache = dense(x, W, b)
        return y, "in memory"
        # right: return y, cache

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        cache = memory["cache"]
        # right: no such line
        return dense_backward(dy, cache)

    return correct._replace(forward=forward, backward=backward)


def skip(x: Array) -> tuple[Array, Cache]:
    """y = x + tanh(x): a path around the activation."""
    t, cache = tanh(x)
    return x + t, cache


def skip_backward(dy: Array, cache: Cache) -> Array:
    return dy + tanh_backward(dy, cache)


@plant(SPECIMENS, Pair(skip, skip_backward, {"x": normal(5, 4)}))
def skip_path_forgotten(correct: Pair) -> Pair:
    """x is used twice, and the backward follows one of the two paths

    Origin  classic slip
    Effect  At a fork gradients add. The part that is left out is the larger one here.
    Cause   missing-term
    """

    def backward(dy: Array, cache: Cache) -> Array:
        return tanh_backward(dy, cache)  # the slip: x is used twice
        # right: return dy + tanh_backward(dy, cache)

    return correct._replace(backward=backward)


@plant(SPECIMENS, DENSE)
def float32_inside(correct: Pair) -> Pair:
    """A layer that computes in float32 whatever it is given

    Origin  [pytorch#5351](https://github.com/pytorch/pytorch/issues/5351)
    Effect  Seven digits are left. Nothing is wrong with the formula, but no difference quotient can confirm it.
    Cause   precision
    """

    def forward(x: Array, W: Array, b: Array) -> tuple[Array, Cache]:
        x, W, b = (a.astype("float32") for a in (x, W, b))  # the slip: whatever it is given
        # right: no such line
        return dense(x, W, b)

    return correct._replace(forward=forward)


@plant(SPECIMENS, DENSE)
def weights_averaged_and_inputs_not(correct: Pair) -> Pair:
    """dW and db are divided by the number of rows, dx is not

    Origin  a convention of many courses, whose loss is a mean over the batch and whose dy forgets it
    Effect  Right for the weights of a whole network, as long as dy leaves the mean out. Beside any other layer, or
            under a loss that has its own mean, the weights learn B times more slowly.
    Cause   factor
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        (x, W), B = cache, len(dy)
        return dy @ W.T, x.T @ dy / B, dy.sum(axis=0) / B  # the slip: the mean belongs to the loss, and to dy
        # right: return dy @ W.T, x.T @ dy, dy.sum(axis=0)

    return correct._replace(backward=backward)


@plant(SPECIMENS, DENSE)
def input_gradient_added_twice(correct: Pair) -> Pair:
    """dx is added up in two places

    Origin  [miniMNIST-c#7](https://github.com/itskonrad/miniMNIST-c/issues/7)
    Effect  Every layer doubles what the layers below it get: 2, 4, 8, ... times the gradient. A small step hides it.
    Cause   factor
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        x, W = cache
        dx, dW, db = dy @ W.T, np.zeros(W.shape), dy.sum(axis=0)
        for i in range(W.shape[0]):
            dW[i] = x[:, i] @ dy
            dx[:, i] += dy @ W[i]  # the slip: it is there already
            # right: no such line
        return dx, dW, db

    return correct._replace(backward=backward)


@plant(SPECIMENS, DENSE)
def weights_moved_before_dx(correct: Pair) -> Pair:
    """The backward takes the step, and then sends dy through the new weights

    Origin  [data-science-from-scratch#31](https://github.com/joelgrus/data-science-from-scratch/issues/31),
            [zero_to_gpt#12](https://github.com/VikParuchuri/zero_to_gpt/issues/12),
            [Toy-Neural-Network-JS#72](https://github.com/CodingTrain/Toy-Neural-Network-JS/issues/72)
    Effect  dx is that of weights which the forward never saw. With small steps the difference is small, too.
    Cause   mutates-input
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        x, W = cache
        dW = x.T @ dy
        W -= 0.1 * dW  # the slip: whoever needs W after this gets another one
        # right: no such line
        return dy @ W.T, dW, dy.sum(axis=0)

    return correct._replace(backward=backward)


@plant(SPECIMENS, DENSE)
def bias_gradient_added_to_itself(correct: Pair) -> Pair:
    """db += db, where db += dy was meant

    Origin  [RNN-from-scratch#2](https://github.com/javaidnabi31/RNN-from-scratch/issues/2)
    Effect  Twice nothing is nothing: the bias is never trained.
    Cause   zero
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        x, W = cache
        db = np.zeros(dy.shape[1])
        for row in dy:
            db += db  # the slip: the name of the wrong one
            # right: db += row
        return dy @ W.T, x.T @ dy, db

    return correct._replace(backward=backward)


@plant(SPECIMENS, DENSE)
def gradients_that_pile_up(correct: Pair) -> Pair:
    """The layer adds to its own dW and db, and nobody sets them to zero

    Origin  classic slip; in PyTorch, which adds by design, the forgotten zero_grad
    Effect  Right in the first step. From then on every gradient is the sum of all before it, a momentum of 1.
    Cause   accumulates
    """
    own = {"dW": np.zeros((4, 3)), "db": np.zeros(3)}

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        x, W = cache
        own["dW"] = own["dW"] + x.T @ dy  # the slip: what the last call left is still there
        # right: own["dW"] = x.T @ dy
        own["db"] = own["db"] + dy.sum(axis=0)
        # right: own["db"] = dy.sum(axis=0)
        return dy @ W.T, own["dW"], own["db"]

    return correct._replace(backward=backward)


@plant(SPECIMENS, DENSE)
def decay_in_the_layer(correct: Pair) -> Pair:
    """A weight decay is added to dW, and the forward knows nothing of it

    Origin  classic slip
    Effect  No derivative of this forward. With Adam the decay is divided by the gradient's size: where that
            is large, hardly anything decays.
    Cause   missing-term
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        x, W = cache
        return dy @ W.T, x.T @ dy + 0.01 * W, dy.sum(axis=0)  # the slip: the loss has no such term
        # right: return dy @ W.T, x.T @ dy, dy.sum(axis=0)

    return correct._replace(backward=backward)


# ---------------------------------------------------------------------------------------------------------------------
# With an activation: one forgotten slope makes all three gradients wrong


def dense_tanh(x: Array, W: Array, b: Array) -> tuple[Array, Cache]:
    """y = tanh(a) with a = x W + b."""
    a = x @ W + b
    return np.tanh(a), (x, W, a, np.tanh(a))


def dense_tanh_backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
    x, W, _, y = cache
    da = dy * (1 - y * y)
    return da @ W.T, x.T @ da, da.sum(axis=0)


@plant(SPECIMENS, Pair(dense_tanh, dense_tanh_backward, INPUTS))
def tanh_slope_before_the_activation(correct: Pair) -> Pair:
    """In a layer with tanh the slope 1 - y^2 is computed from the number before the tanh

    Origin  [apache/horn PR 4](https://github.com/apache/incubator-retired-horn/pull/4)
    Effect  Right near 0. From |a| = 1 on it has the wrong sign, and it grows without bound.
    Cause   elementwise-factor
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        x, W, a, y = cache
        da = dy * (1 - a * a)  # the slip: 1 - y * y is written for the output
        # right: da = dy * (1 - y * y)
        return da @ W.T, x.T @ da, da.sum(axis=0)

    return correct._replace(backward=backward)


def dense_sigmoid(x: Array, W: Array, b: Array) -> tuple[Array, Cache]:
    """y = sigmoid(x W + b)."""
    y, _ = sigmoid(x @ W + b)
    return y, (x, W, y)


def dense_sigmoid_backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
    x, W, y = cache
    da = dy * y * (1 - y)
    return da @ W.T, x.T @ da, da.sum(axis=0)


@plant(SPECIMENS, Pair(dense_sigmoid, dense_sigmoid_backward, INPUTS))
def slope_forgotten_in_a_layer(correct: Pair) -> Pair:
    """The backward of a layer with a sigmoid leaves its slope out

    Origin  [NeuralNetworkFromScratch PR 3](https://github.com/Bot-Academy/NeuralNetworkFromScratch/pull/3)
    Effect  The slope is positive, so every da has the right sign, and the network still learns. But da is at least four
            times too large, most of all where units are saturated and should rest.
    Cause   elementwise-factor
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        x, W, y = cache
        da = dy  # the slip: the activation has a slope
        # right: da = dy * y * (1 - y)
        return da @ W.T, x.T @ da, da.sum(axis=0)

    return correct._replace(backward=backward)


def dense_softplus(x: Array, W: Array, b: Array) -> tuple[Array, Cache]:
    """y = softplus(a) with a = x W + b."""
    a = x @ W + b
    y, _ = softplus(a)
    return y, (x, W, a, y)


def dense_softplus_backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
    x, W, a, _ = cache
    da = dy * sigmoid(a)[0]
    return da @ W.T, x.T @ da, da.sum(axis=0)


@plant(SPECIMENS, Pair(dense_softplus, dense_softplus_backward, INPUTS))
def softplus_slope_at_its_output(correct: Pair) -> Pair:
    """The slope of softplus, a sigmoid, is computed from the output

    Origin  [zserge/nanonn#4](https://github.com/zserge/nanonn/issues/4)
    Effect  A softplus is positive, so this slope is never below 1/2: a unit that is nearly off is pushed as if it were
            half on.
    Cause   elementwise-factor
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        x, W, a, y = cache
        da = dy * sigmoid(y)[0]  # the slip: in terms of y it would be 1 - exp(-y)
        # right: da = dy * sigmoid(a)[0]
        return da @ W.T, x.T @ da, da.sum(axis=0)

    return correct._replace(backward=backward)
