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
            for name in params:
                slot(self.state, f"m.{name}", params[name])[...] = 0  # the slip: m starts anew at every step
            super().step(params, grads)

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
            for name, theta in params.items():
                m, v = slot(self.state, f"m.{name}", theta), slot(self.state, f"v.{name}", theta)
                m += (1 - self.beta1) * (grads[name] - m)
                v += (1 - self.beta2) * (grads[name] ** 2 - v)
                theta -= self.lr * m / (np.sqrt(v) + self.tiny)  # the slip: m_hat and v_hat

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
                m, v = slot(self.state, f"m.{name}", theta), slot(self.state, f"v.{name}", theta)
                m += (1 - self.beta1) * (grads[name] - m)
                v += (1 - self.beta2) * (grads[name] ** 2 - v)
                m_hat, v_hat = m / (1 - self.beta1**self.steps), v / (1 - self.beta2**self.steps)
                theta -= self.lr * m_hat / np.sqrt(v_hat + self.tiny)  # the slip: outside the root

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
            for name in params:
                super().step({name: params[name]}, {name: grads[name]})  # the slip: each call counts

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
            self.state.clear()  # the slip: s = g * g, where s += g * g was meant
            super().step(params, grads)

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
            super().step(params, {name: -g for name, g in grads.items()})  # the slip: the sign

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
            super().step(params, {name: g.copy() for name, g in grads.items()})
            for g in grads.values():
                g *= g  # the slip: the gradients belong to the caller

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
                theta = theta - self.lr * grads[name]  # the slip: theta -= ...

    return correct._replace(make=lambda: Broken(momentum=0.0))
