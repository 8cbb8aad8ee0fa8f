"""Chapter layers: derivatives of activations and of the dense layer, and who may write into an array."""

import numpy as np

from scratchvae.backend import Array, Cache
from scratchvae.layers import (
    dense,
    dense_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    softplus,
    softplus_backward,
    tanh,
    tanh_backward,
)
from scratchvae.museum.components import Pair, normal
from scratchvae.museum.specimen import Specimen, plant

SPECIMENS: list[Specimen] = []

RELU = Pair(relu, relu_backward, {"x": normal(5, 4)})
TANH = Pair(tanh, tanh_backward, {"x": normal(5, 4)})
SIGMOID = Pair(sigmoid, sigmoid_backward, {"x": normal(5, 4)})
SOFTPLUS = Pair(softplus, softplus_backward, {"x": np.array([[-800.0, -1.0, 0.5], [0.1, 2.0, 800.0]])})
DENSE = Pair(dense, dense_backward, {"x": normal(5, 4), "W": normal(4, 3, seed=1), "b": normal(3, seed=2)})
SQUARE = Pair(dense, dense_backward, {"x": normal(5, 4), "W": normal(4, 4, seed=1), "b": normal(4, seed=2)})


@plant(SPECIMENS, RELU)
def relu_slope_from_its_output(correct: Pair) -> Pair:
    """The slope of relu is asked of its output: y >= 0

    Origin  [NumPy's tutorial on MNIST](https://numpy.org/numpy-tutorials/content/tutorial-deep-learning-on-mnist.html)
    Effect  A relu is never negative, so the mask is true everywhere and the backward lets every gradient through:
            78 % off in the tutorial's network. The accuracy rises all the same.
    Cause   elementwise-factor
    """

    def forward(x: Array) -> tuple[Array, Cache]:
        y = np.maximum(x, 0)
        return y, y >= 0  # the slip: x > 0 was meant

    return correct._replace(forward=forward)


@plant(SPECIMENS, RELU)
def relu_writes_into_the_gradient(correct: Pair) -> Pair:
    """Relu.backward writes into the gradient that it was given

    Origin  [deep-learning-from-scratch](https://github.com/oreilly-japan/deep-learning-from-scratch/blob/master/common/layers.py)
    Effect  The derivative is right. But at a fork (two heads, a skip path) the next branch gets a gradient with holes
            in it. A sequential net never shares a gradient, so nobody notices.
    Cause   mutates-input
    """

    def backward(dy: Array, positive: Cache) -> Array:
        dy[~positive] = 0  # the slip: dy belongs to the caller
        return dy

    return correct._replace(backward=backward)


@plant(SPECIMENS, RELU)
def relu_writes_into_its_input(correct: Pair) -> Pair:
    """A relu in place, on an input that others still need

    Origin  classic slip
    Effect  Value and derivative are right here. Whoever else looks at x (a skip path, the cache of the layer before, a
            plot of pre-activations) sees zeros where negative numbers were.
    Cause   mutates-input
    """

    def forward(x: Array) -> tuple[Array, Cache]:
        np.maximum(x, 0, out=x)  # the slip: x belongs to the caller
        return x, x > 0

    return correct._replace(forward=forward)


@plant(SPECIMENS, RELU)
def forward_skips_the_relu(correct: Pair) -> Pair:
    """The forward hands on x where the backward believes in relu(x)

    Origin  [danielkurniadi/Numpy-Variational-Autoencoder](https://github.com/danielkurniadi/Numpy-Variational-Autoencoder)
    Effect  The activation is computed, and the next layer gets the number before it. The decoder is linear, and half of
            its gradient is thrown away.
    Cause   elementwise-factor
    """

    def forward(x: Array) -> tuple[Array, Cache]:
        _, positive = relu(x)
        return x, positive  # the slip: x for y

    return correct._replace(forward=forward)


def relu_twice(x: Array, c: Array) -> tuple[Array, Cache]:
    """y = relu(relu(x) + c): two activations, two masks."""
    h, first = relu(x)
    y, second = relu(h + c)
    return y, (first, second)


def relu_twice_backward(dy: Array, cache: Cache) -> tuple[Array, Array]:
    first, second = cache
    dc = dy * second
    return dc * first, dc


@plant(SPECIMENS, Pair(relu_twice, relu_twice_backward, {"x": normal(5, 4), "c": normal(5, 4, seed=1)}))
def mask_of_the_wrong_layer(correct: Pair) -> Pair:
    """Two relus, and the backward of one uses the mask of the other

    Origin  classic slip
    Effect  With layers of one width every shape agrees. Half of the entries are kept that should be dropped, and the
            other way round.
    Cause   elementwise-factor
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array]:
        first, second = cache
        dc = dy * first  # the slip: second
        return dc * second, dc

    return correct._replace(backward=backward)


@plant(SPECIMENS, SIGMOID)
def sigmoid_slope_before_the_activation(correct: Pair) -> Pair:
    """The slope of the sigmoid, y (1 - y), is computed from x

    Origin  classic slip
    Effect  x (1 - x) is negative for half of all inputs and has no bound: the steps go anywhere.
    Cause   elementwise-factor
    """

    def forward(x: Array) -> tuple[Array, Cache]:
        y, _ = sigmoid(x)
        return y, x  # the slip: the backward is written for y

    return correct._replace(forward=forward)


@plant(SPECIMENS, TANH)
def tanh_slope_without_the_square(correct: Pair) -> Pair:
    """The slope of tanh, 1 - y^2, is written 1 - y

    Origin  classic slip
    Effect  Too small for y > 0 and too large for y < 0: at y = -1 it is 2, where the true slope is 0. Saturated units,
            which should rest, get the largest steps.
    Cause   elementwise-factor
    """
    return correct._replace(backward=lambda dy, y: dy * (1 - y))  # the slip: y for y * y


@plant(SPECIMENS, SOFTPLUS)
def softplus_that_overflows(correct: Pair) -> Pair:
    """softplus as log(1 + exp(x)), word for word

    Origin  classic slip
    Effect  Right up to x = 709 in float64 and 88 in float32; beyond that it is infinite, and the next loss is NaN.
    Cause   non-finite
    """

    def forward(x: Array) -> tuple[Array, Cache]:
        return np.log(1 + np.exp(x)), sigmoid(x)[0]  # the slip: exp(x) overflows

    return correct._replace(forward=forward)


@plant(SPECIMENS, DENSE)
def bias_gradient_averaged(correct: Pair) -> Pair:
    """db is the average over the batch, where dW is a sum

    Origin  classic slip
    Effect  The biases learn B times more slowly than the weights; training still works.
    Cause   factor
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        dx, dW, _ = dense_backward(dy, cache)
        return dx, dW, dy.mean(axis=0)  # the slip: sum was meant

    return correct._replace(backward=backward)


@plant(SPECIMENS, DENSE)
def bias_gradient_of_the_last_row(correct: Pair) -> Pair:
    """In a loop over the batch db is overwritten, not added to

    Origin  classic slip
    Effect  The bias learns from the last example of every batch alone. The gradient is noisy, not useless.
    Cause   batch-sum
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        dx, dW, db = dense_backward(dy, cache)
        for row in dy:
            db = row  # the slip: db += row was meant
        return dx, dW, db.copy()

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

    return correct._replace(backward=backward)


@plant(SPECIMENS, SQUARE)
def weight_gradient_transposed(correct: Pair) -> Pair:
    """dW = dy^T x in a square layer

    Origin  classic slip
    Effect  The shapes agree because the layer is square; only the diagonal is right.
    Cause   transpose
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        dx, dW, db = dense_backward(dy, cache)
        return dx, dW.T, db  # the slip: (O, I)

    return correct._replace(backward=backward)


@plant(SPECIMENS, SQUARE)
def input_gradient_through_the_wrong_transpose(correct: Pair) -> Pair:
    """dx = dy W in a square layer, without the transpose

    Origin  classic slip
    Effect  The shapes agree because the layer is square. Every layer below learns from a wrong direction.
    Cause   transpose
    """

    def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
        _, dW, db = dense_backward(dy, cache)
        return dy @ cache[1], dW, db  # the slip: W.T was meant

    return correct._replace(backward=backward)


@plant(SPECIMENS, DENSE)
def stale_cache(correct: Pair) -> Pair:
    """The layer remembers its last input on itself, and forgets the one before

    Origin  classic slip
    Effect  Right in a plain loop of forward and backward. With another forward in between (a test batch, the second
            use of a shared layer) dW is computed from the wrong batch.
    Cause   mutates-input
    """
    memory = {}

    def forward(x: Array, W: Array, b: Array) -> tuple[Array, Cache]:
        y, memory["cache"] = dense(x, W, b)  # the slip: one place for the caches of all calls
        return y, None

    return correct._replace(forward=forward, backward=lambda dy, _: dense_backward(dy, memory["cache"]))


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
    return correct._replace(backward=tanh_backward)  # the slip: dy + ... was meant


@plant(SPECIMENS, DENSE)
def float32_inside(correct: Pair) -> Pair:
    """A layer that computes in float32 whatever it is given

    Origin  [pytorch#5351](https://github.com/pytorch/pytorch/issues/5351)
    Effect  Seven digits are left. Nothing is wrong with the formula, but no difference quotient can confirm it.
    Cause   precision
    """

    def forward(x: Array, W: Array, b: Array) -> tuple[Array, Cache]:
        return dense(*(a.astype("float32") for a in (x, W, b)))  # the slip: a check wants float64

    return correct._replace(forward=forward)
