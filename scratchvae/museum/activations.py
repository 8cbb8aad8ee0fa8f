"""Chapter activations: a curve and its slope, and who may write into an array."""

import math

import numpy as np

from scratchvae.backend import Array, Cache
from scratchvae.layers import (
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
        return y, y >= 0  # the slip: a relu is never negative
        # right: return y, x > 0

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
        # right: dy = dy * positive
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
        y = np.maximum(x, 0, out=x)  # the slip: x belongs to the caller
        # right: y = np.maximum(x, 0)
        return y, y > 0

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
        y, positive = relu(x)
        return x, positive  # the slip: x for y
        # right: return y, positive

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
        dc = dy * first  # the slip: y came out of the second relu
        # right: dc = dy * second
        return dc * second, dc
        # right: return dc * first, dc

    return correct._replace(backward=backward)


@plant(SPECIMENS, SIGMOID)
def sigmoid_slope_before_the_activation(correct: Pair) -> Pair:
    """The slope of the sigmoid, y (1 - y), is computed from x

    Origin  classic slip
    Effect  x (1 - x) is negative below 0 and above 1, without a bound: the steps go anywhere.
    Cause   elementwise-factor
    """

    def forward(x: Array) -> tuple[Array, Cache]:
        y = 1 / (1 + np.exp(-x))
        return y, x  # the slip: the backward is written for y
        # right: return y, y

    def backward(dy: Array, y: Cache) -> Array:
        return dy * y * (1 - y)

    return correct._replace(forward=forward, backward=backward)


@plant(SPECIMENS, TANH)
def tanh_slope_without_the_square(correct: Pair) -> Pair:
    """The slope of tanh, 1 - y^2, is written 1 - y

    Origin  classic slip
    Effect  Too small for y > 0 and too large for y < 0: at y = -1 it is 2, where the true slope is 0. Units that are
            saturated there, which should rest, get the largest steps.
    Cause   elementwise-factor
    """

    def backward(dy: Array, y: Cache) -> Array:
        return dy * (1 - y)  # the slip: y for y * y
        # right: return dy * (1 - y * y)

    return correct._replace(backward=backward)


@plant(SPECIMENS, TANH)
def tanh_slope_is_tanh(correct: Pair) -> Pair:
    """What is called the slope of tanh is tanh itself

    Origin  [andersbll/nnet#4](https://github.com/andersbll/nnet/issues/4): its tanh_d
    Effect  (e^2x - 1) / (e^2x + 1) looks like a derivative and is the function. It is negative for half of all inputs,
            and 0 at 0, where the slope is 1.
    Cause   elementwise-factor
    """

    def forward(x: Array) -> tuple[Array, Cache]:
        return np.tanh(x), np.exp(2 * x)

    def backward(dy: Array, e: Cache) -> Array:
        return dy * (e - 1) / (e + 1)  # the slip: this is tanh(x)
        # right: return dy * (1 - ((e - 1) / (e + 1)) ** 2)

    return correct._replace(forward=forward, backward=backward)


def elu(x: Array) -> tuple[Array, Cache]:
    """y = x above 0, and (exp(x) - 1) / 2 below."""
    return np.where(x > 0, x, 0.5 * np.expm1(np.minimum(x, 0))), x


def elu_backward(dy: Array, x: Cache) -> Array:
    return dy * np.where(x > 0, 1, 0.5 * np.exp(np.minimum(x, 0)))


@plant(SPECIMENS, Pair(elu, elu_backward, {"x": normal(5, 4)}))
def elu_without_its_brackets(correct: Pair) -> Pair:
    """dy * (x > 0) + alpha exp(x) (x <= 0): the brackets around the sum are missing

    Origin  classic slip
    Effect  Below 0 the gradient is the slope itself, whatever comes from above: as if dy were 1 there.
    Cause   elementwise-factor
    """

    def backward(dy: Array, x: Cache) -> Array:
        return dy * (x > 0) + 0.5 * np.exp(x) * (x <= 0)  # the slip: dy multiplies the first term alone
        # right: return dy * ((x > 0) + 0.5 * np.exp(x) * (x <= 0))

    return correct._replace(backward=backward)


C = np.sqrt(2 / np.pi)  # of the tanh formula for gelu


def gelu(x: Array) -> tuple[Array, Cache]:
    """y = x (1 + tanh(C (x + 0.044715 x^3))) / 2, which is close to x Phi(x)."""
    return 0.5 * x * (1 + np.tanh(C * (x + 0.044715 * x**3))), x


def gelu_backward(dy: Array, x: Cache) -> Array:
    t = np.tanh(C * (x + 0.044715 * x**3))
    return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * C * (1 + 0.134145 * x * x))


@plant(SPECIMENS, Pair(gelu, gelu_backward, {"x": normal(5, 4)}))
def gelu_with_the_other_slope(correct: Pair) -> Pair:
    """The forward is the tanh formula of gelu, the backward the slope of the exact one

    Origin  classic slip; [pocket-tts PR 278](https://github.com/kyutai-labs/pocket-tts/pull/278) tells of a model that
            was trained with one of the two and served with the other
    Effect  Right to three digits: no curve will show it. A check with a tolerance of 1e-2 calls it right.
    Cause   elementwise-factor
    """

    def backward(dy: Array, x: Cache) -> Array:
        Phi = 0.5 * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))
        return dy * (Phi + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi))  # the slip: of x Phi(x)
        # right: return gelu_backward(dy, x)

    return correct._replace(backward=backward)


@plant(SPECIMENS, SOFTPLUS)
def softplus_that_overflows(correct: Pair) -> Pair:
    """softplus as log(1 + exp(x)), word for word

    Origin  classic slip
    Effect  Right up to x = 709 in float64 and 88 in float32; beyond that it is infinite, and so is the loss.
    Cause   non-finite
    """

    def forward(x: Array) -> tuple[Array, Cache]:
        return np.log(1 + np.exp(x)), sigmoid(x)[0]  # the slip: exp(x) overflows
        # right: return np.maximum(x, 0) + np.log1p(np.exp(-abs(x))), sigmoid(x)[0]

    return correct._replace(forward=forward)
