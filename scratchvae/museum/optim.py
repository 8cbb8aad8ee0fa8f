"""Chapter optim: what is done with a gradient. There is no derivative to check here, but a sequence of steps."""

from collections.abc import Mapping

import numpy as np

from scratchvae.backend import Array
from scratchvae.museum.components import Stepper
from scratchvae.museum.specimen import Specimen, plant
from scratchvae.optim import SGD, Adagrad, Adam, slot

SPECIMENS: list[Specimen] = []
Arrays = Mapping[str, Array]

SGD_STEPS = Stepper(SGD, SGD)
PLAIN_STEPS = Stepper(lambda: SGD(momentum=0.0), lambda: SGD(momentum=0.0))
ADAGRAD_STEPS = Stepper(Adagrad, Adagrad)
ADAM_STEPS = Stepper(Adam, Adam)


@plant(SPECIMENS, ADAM_STEPS)
def adam_without_memory(correct: Stepper) -> Stepper:
    """m = (1 - beta1) g: the term beta1 m is dropped

    Origin  an early [danielkurniadi/Numpy-Variational-Autoencoder](https://github.com/danielkurniadi/Numpy-Variational-Autoencoder)
    Effect  No averaging of gradients, and the bias correction then shrinks the steps: to a tenth, for beta1 = 0.9.
    Cause   missing-term
    """

    class Broken(Adam):
        def step(self, params: Arrays, grads: Arrays) -> None:
            self.steps += 1
            for name, theta in params.items():
                g, m, v = grads[name], slot(self.state, f"m.{name}", theta), slot(self.state, f"v.{name}", theta)
                m[...] = (1 - self.beta1) * g  # the slip: an average remembers
                # right: m[...] = self.beta1 * m + (1 - self.beta1) * g
                v[...] = self.beta2 * v + (1 - self.beta2) * g * g
                m_hat, v_hat = m / (1 - self.beta1**self.steps), v / (1 - self.beta2**self.steps)
                theta -= self.lr * m_hat / (np.sqrt(v_hat) + self.tiny)

    return correct._replace(make=Broken)


@plant(SPECIMENS, ADAM_STEPS)
def adam_without_bias_correction(correct: Stepper) -> Stepper:
    """Adam takes m and v as they are

    Origin  classic slip
    Effect  Both start at zero, and v stays small for longer: the first step is sqrt(10) times too large.
    Cause   factor
    """

    class Broken(Adam):
        def step(self, params: Arrays, grads: Arrays) -> None:
            self.steps += 1
            for name, theta in params.items():
                g, m, v = grads[name], slot(self.state, f"m.{name}", theta), slot(self.state, f"v.{name}", theta)
                m[...] = self.beta1 * m + (1 - self.beta1) * g
                v[...] = self.beta2 * v + (1 - self.beta2) * g * g
                m_hat, v_hat = m, v  # the slip: both started at 0
                # right: m_hat, v_hat = m / (1 - self.beta1**self.steps), v / (1 - self.beta2**self.steps)
                theta -= self.lr * m_hat / (np.sqrt(v_hat) + self.tiny)

    return correct._replace(make=Broken)


@plant(SPECIMENS, ADAM_STEPS)
def adam_that_corrects_the_wrong_way(correct: Stepper) -> Stepper:
    """The bias correction multiplies where it should divide

    Origin  [convnetjs](https://github.com/karpathy/convnetjs), found in
            [PR 70](https://github.com/karpathy/convnetjs/pull/70) because Adam did worse than Adadelta on MNIST
    Effect  v suffers more than m: the first step is ten times too large, the twelfth more than forty times, and the
            mistake fades only as beta2^t does, in thousands of steps.
    Cause   elementwise-factor
    """

    class Broken(Adam):
        def step(self, params: Arrays, grads: Arrays) -> None:
            self.steps += 1
            for name, theta in params.items():
                g, m, v = grads[name], slot(self.state, f"m.{name}", theta), slot(self.state, f"v.{name}", theta)
                m[...] = self.beta1 * m + (1 - self.beta1) * g
                v[...] = self.beta2 * v + (1 - self.beta2) * g * g
                m_hat, v_hat = m * (1 - self.beta1**self.steps), v * (1 - self.beta2**self.steps)  # the slip
                # right: m_hat, v_hat = m / (1 - self.beta1**self.steps), v / (1 - self.beta2**self.steps)
                theta -= self.lr * m_hat / (np.sqrt(v_hat) + self.tiny)

    return correct._replace(make=Broken)


@plant(SPECIMENS, ADAM_STEPS)
def adam_that_corrects_as_in_the_first_step(correct: Stepper) -> Stepper:
    """The bias correction divides by 1 - beta, for ever, where 1 - beta^t belongs

    Origin  [ML-From-Scratch#35](https://github.com/eriklindernoren/ML-From-Scratch/issues/35); a lecture's slide,
            mended in [ufal/npfl114 PR 79](https://github.com/ufal/npfl114/pull/79)
    Effect  Right in the first step alone. Later m is ten times and v a thousand times too large, and their ratio leaves
            steps of a third of the size.
    Cause   factor
    """

    class Broken(Adam):
        def step(self, params: Arrays, grads: Arrays) -> None:
            self.steps += 1
            for name, theta in params.items():
                g, m, v = grads[name], slot(self.state, f"m.{name}", theta), slot(self.state, f"v.{name}", theta)
                m[...] = self.beta1 * m + (1 - self.beta1) * g
                v[...] = self.beta2 * v + (1 - self.beta2) * g * g
                m_hat, v_hat = m / (1 - self.beta1), v / (1 - self.beta2)  # the slip: the power of the step
                # right: m_hat, v_hat = m / (1 - self.beta1**self.steps), v / (1 - self.beta2**self.steps)
                theta -= self.lr * m_hat / (np.sqrt(v_hat) + self.tiny)

    return correct._replace(make=Broken)


@plant(SPECIMENS, Stepper(lambda: Adam(tiny=1e-2), lambda: Adam(tiny=1e-2)))
def tiny_inside_the_root(correct: Stepper) -> Stepper:
    """sqrt(v + tiny) for sqrt(v) + tiny

    Origin  [danielkurniadi/Numpy-Variational-Autoencoder](https://github.com/danielkurniadi/Numpy-Variational-Autoencoder)
    Effect  tiny = 1e-8 then acts as 1e-4: weights with gradients below that hardly move. Here it is 1e-2.
    Cause   elementwise-factor
    """

    class Broken(Adam):
        def step(self, params: Arrays, grads: Arrays) -> None:
            self.steps += 1
            for name, theta in params.items():
                g, m, v = grads[name], slot(self.state, f"m.{name}", theta), slot(self.state, f"v.{name}", theta)
                m[...] = self.beta1 * m + (1 - self.beta1) * g
                v[...] = self.beta2 * v + (1 - self.beta2) * g * g
                m_hat, v_hat = m / (1 - self.beta1**self.steps), v / (1 - self.beta2**self.steps)
                theta -= self.lr * m_hat / np.sqrt(v_hat + self.tiny)  # the slip: inside the root
                # right: theta -= self.lr * m_hat / (np.sqrt(v_hat) + self.tiny)

    return correct._replace(make=lambda: Broken(tiny=1e-2))


@plant(SPECIMENS, ADAM_STEPS)
def steps_counted_by_the_parameter(correct: Stepper) -> Stepper:
    """The step counter stands inside the loop over the parameters

    Origin  classic slip
    Effect  The correction fades too soon: with ten arrays the second array believes that it is the second step, and the
            second step begins at eleven.
    Cause   factor
    """

    class Broken(Adam):
        def step(self, params: Arrays, grads: Arrays) -> None:
            for name, theta in params.items():
                # right: self.steps += 1
                # right: for name, theta in params.items():
                self.steps += 1  # the slip: once a parameter
                # right: no such line
                g, m, v = grads[name], slot(self.state, f"m.{name}", theta), slot(self.state, f"v.{name}", theta)
                m[...] = self.beta1 * m + (1 - self.beta1) * g
                v[...] = self.beta2 * v + (1 - self.beta2) * g * g
                m_hat, v_hat = m / (1 - self.beta1**self.steps), v / (1 - self.beta2**self.steps)
                theta -= self.lr * m_hat / (np.sqrt(v_hat) + self.tiny)

    return correct._replace(make=Broken)


@plant(SPECIMENS, ADAGRAD_STEPS)
def squares_replaced(correct: Stepper) -> Stepper:
    """Adagrad keeps the last square, not the sum

    Origin  classic slip
    Effect  g / |g|: every step has the size lr, and no step size ever shrinks.
    Cause   missing-term
    """

    class Broken(Adagrad):
        def step(self, params: Arrays, grads: Arrays) -> None:
            for name, theta in params.items():
                g, s = grads[name], slot(self.state, f"s.{name}", theta)
                s[...] = g * g  # the slip: the last square alone
                # right: s += g * g
                theta -= self.lr * g / (np.sqrt(s) + self.tiny)

    return correct._replace(make=Broken)


@plant(SPECIMENS, SGD_STEPS)
def momentum_twice(correct: Stepper) -> Stepper:
    """The momentum is applied when v is read and when it is written

    Origin  classic slip
    Effect  The memory is 0.81 where 0.9 was asked for: half as long.
    Cause   missing-term
    """

    class Broken(SGD):
        def step(self, params: Arrays, grads: Arrays) -> None:
            for name, theta in params.items():
                v = slot(self.state, f"v.{name}", theta)
                v[...] = self.momentum * (self.momentum * v) + grads[name]  # the slip: once
                # right: v[...] = self.momentum * v + grads[name]
                theta -= self.lr * v

    return correct._replace(make=Broken)


@plant(SPECIMENS, SGD_STEPS)
def uphill(correct: Stepper) -> Stepper:
    """theta += lr g

    Origin  classic slip
    Effect  The loss is maximised. With a second slip, the gradient of the ELBO where that of the loss was meant, all
            is well again, until one of the two is mended.
    Cause   sign
    """

    class Broken(SGD):
        def step(self, params: Arrays, grads: Arrays) -> None:
            for name, theta in params.items():
                v = slot(self.state, f"v.{name}", theta)
                v[...] = self.momentum * v + grads[name]
                theta += self.lr * v  # the slip: an optimizer minimises
                # right: theta -= self.lr * v

    return correct._replace(make=Broken)


@plant(SPECIMENS, ADAGRAD_STEPS)
def squares_the_gradient_in_place(correct: Stepper) -> Stepper:
    """The step squares the gradient in place

    Origin  classic slip
    Effect  The step itself is right. Whoever looks at the gradients afterwards (clipping, a plot of their norms, a
            second step) sees squares.
    Cause   mutates-input
    """

    class Broken(Adagrad):
        def step(self, params: Arrays, grads: Arrays) -> None:
            for name, theta in params.items():
                g, s = grads[name], slot(self.state, f"s.{name}", theta)
                sign = np.sign(g)
                g *= g  # the slip: the gradients belong to the caller
                # right: g = g * g
                s += g
                theta -= self.lr * sign * np.sqrt(g) / (np.sqrt(s) + self.tiny)

    return correct._replace(make=Broken)


@plant(SPECIMENS, PLAIN_STEPS)
def parameters_left_out_by_zip(correct: Stepper) -> Stepper:
    """A zip over parameters and too few gradients stops short

    Origin  a course template of KIT
    Effect  The biases are never trained, and nothing is raised: zip stops with the shorter of the two.
    Cause   zero
    """

    class Broken(SGD):
        def step(self, params: Arrays, grads: Arrays) -> None:
            weights = [g for g in grads.values() if g.ndim == 2]
            for theta, g in zip(params.values(), weights, strict=False):  # the slip: strict=True would have told
                # right: for theta, g in zip(params.values(), grads.values(), strict=True):
                theta -= self.lr * g

    return correct._replace(make=lambda: Broken(momentum=0.0))


@plant(SPECIMENS, PLAIN_STEPS)
def step_on_a_copy(correct: Stepper) -> Stepper:
    """theta = theta - lr g gives a new array to a local name

    Origin  classic slip
    Effect  The model's own array never moves: the loss stays where it is, noise apart.
    Cause   zero
    """

    class Broken(SGD):
        def step(self, params: Arrays, grads: Arrays) -> None:
            for name, theta in params.items():
                theta = theta - self.lr * grads[name]  # the slip: a new array, which nobody keeps
                # right: theta -= self.lr * grads[name]

    return correct._replace(make=lambda: Broken(momentum=0.0))
