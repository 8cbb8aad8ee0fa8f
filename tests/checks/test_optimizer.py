"""check_optimizer: one slip, one finding, in all parameters that it moves wrongly."""

import math

import numpy as np
import pytest

from scratchvae import SGD, Adagrad, Adam
from scratchvae.checks import check_optimizer
from scratchvae.optim import slot


class Course:
    """An optimizer as in a course: update(state, g, p, t) returns the move; state is the parameter's own dict."""

    def __init__(self, update, lr=0.01, momentum=0.9, beta1=0.9, beta2=0.999, eps=1e-8):
        self.update, self.lr, self.mu, self.b1, self.b2, self.eps = update, lr, momentum, beta1, beta2, eps
        self.t, self.state = 0, {}

    def step(self, params, grads):
        self.t += 1
        for name, p in params.items():
            p += self.update(self, self.state.setdefault(name, {}), grads[name], p)


def keep(state, key, value):
    state[key] = value
    return value


def momentum(o, s, g, mu=None):
    return keep(s, "v", (o.mu if mu is None else mu) * s.get("v", 0) + g)


def averages(o, s, g):
    """m and v of Adam."""
    m = keep(s, "m", o.b1 * s.get("m", 0) + (1 - o.b1) * g)
    return m, keep(s, "v", o.b2 * s.get("v", 0) + (1 - o.b2) * g * g)


def adam(o, s, g, t=None, tiny_in=False, root=np.sqrt):
    m, v = averages(o, s, g)
    t = o.t if t is None else t
    m, v = m / (1 - o.b1**t), v / (1 - o.b2**t)
    return -o.lr * m / (root(v + o.eps) if tiny_in else root(v) + o.eps)


def without_correction(o, s, g, p):
    m, v = averages(o, s, g)
    return -o.lr * m / (np.sqrt(v) + o.eps)


def swapped(o, s, g, p):
    m, v = averages(o, s, g)
    m, v = m / (1 - o.b1**o.t), v / (1 - o.b2**o.t)
    return -o.lr * v / (np.sqrt(np.abs(m)) + o.eps)


def tiny_uncorrected(o, s, g, p):
    m, v = averages(o, s, g)
    return -o.lr * math.sqrt(1 - o.b2**o.t) / (1 - o.b1**o.t) * m / (np.sqrt(v) + o.eps)


def no_one_minus(o, s, g, p):
    m = keep(s, "m", o.b1 * s.get("m", 0) + g)
    v = keep(s, "v", o.b2 * s.get("v", 0) + g * g)
    return -o.lr * m / (1 - o.b1**o.t) / (np.sqrt(v / (1 - o.b2**o.t)) + o.eps)


def no_memory(o, s, g, p):
    s.pop("m", None)
    return adam(o, s, g)


def squares(o, s, g):
    return keep(s, "s", s.get("s", 0) + g * g)


def last_square(o, s, g, p):
    return -o.lr * g / (np.sqrt(g * g) + o.eps)


def rms(o, s, g, p):
    return -o.lr * g / (np.sqrt(keep(s, "s", 0.9 * s.get("s", 0) + 0.1 * g * g)) + o.eps)


PLAIN = SGD(lr=0.01, momentum=0.0)


class AdamW(Adam):
    weight_decay = 0.02

    def step(self, params, grads):
        for p in params.values():
            p *= 1 - self.lr * self.weight_decay
        super().step(params, grads)


OF_SGD, OF_ADAM, OF_ADAGRAD = SGD(lr=0.01), Adam(lr=0.01), Adagrad(lr=0.01)
OF_ADAMW = AdamW(lr=0.01)
RIGHT = [
    (lambda o, s, g, p: -o.lr * g, PLAIN),
    (lambda o, s, g, p: -o.lr * momentum(o, s, g), OF_SGD),
    (lambda o, s, g, p: -keep(s, "v", o.mu * s.get("v", 0) + o.lr * g), OF_SGD),
    (lambda o, s, g, p: adam(o, s, g), OF_ADAM),
    (lambda o, s, g, p: -o.lr * g / (np.sqrt(squares(o, s, g)) + o.eps), OF_ADAGRAD),
]
SLIPS = [  # update, reference, cause, words
    (lambda o, s, g, p: o.lr * momentum(o, s, g), OF_SGD, "sign", "every move has the wrong sign"),
    (lambda o, s, g, p: -o.lr * g / 32, PLAIN, "factor", "every move is 0.03125 times"),
    (lambda o, s, g, p: -2 * o.lr * momentum(o, s, g), OF_SGD, "factor", "every move is twice"),
    (lambda o, s, g, p: -o.lr * g / len(g), PLAIN, "factor", "each parameter are multiplied by another number"),
    (lambda o, s, g, p: -o.lr * momentum(o, s, g, 0.0), OF_SGD, "missing-term", "there is no momentum"),
    (lambda o, s, g, p: -o.lr * momentum(o, s, g, -o.mu), OF_SGD, "sign", "the momentum has the wrong sign"),
    (lambda o, s, g, p: -o.lr * momentum(o, s, (1 - o.mu) * g), OF_SGD, "factor", "1 - momentum"),
    (lambda o, s, g, p: -o.lr * (g + o.mu * momentum(o, s, g)), OF_SGD, "missing-term", "Nesterov"),
    (lambda o, s, g, p: -o.lr * momentum(o, s, g, o.mu**2), OF_SGD, "missing-term", "the momentum is applied twice"),
    (lambda o, s, g, p: -o.lr * momentum(o, s, g, 1.0), OF_SGD, "factor", "sums all gradients"),
    (lambda o, s, g, p: -o.lr * momentum(o, s, g, 0.5), OF_SGD, "factor", "with momentum = 0.5"),
    (
        lambda o, s, g, p: -o.lr * (s.get("v", 0 * g), momentum(o, s, g))[0],
        OF_SGD,
        "missing-term",
        "v of the step before",
    ),
    (lambda o, s, g, p: -o.lr * momentum(o, s, g) - 0.001 * p, OF_SGD, "missing-term", "0.001 of itself"),
    (
        lambda o, s, g, p: -o.lr * momentum(o, s, g + 0.01 * p),
        OF_SGD,
        "missing-term",
        "0.01 times the parameter is added",
    ),
    (lambda o, s, g, p: -o.lr / o.t * momentum(o, s, g), OF_SGD, "factor", "multiplied by 1 / t"),
    (lambda o, s, g, p: -o.lr * 0.95**o.t * g, PLAIN, "factor", "lr decays"),
    (lambda o, s, g, p: -o.lr * np.sign(g), PLAIN, "elementwise-factor", "1 / |grad|"),
    (lambda o, s, g, p: -o.lr * g * np.abs(g), PLAIN, "elementwise-factor", "|grad|"),
    (lambda o, s, g, p: -o.lr * np.clip(g, -0.1, 0.1), PLAIN, "elementwise-factor", "clipped"),
    (lambda o, s, g, p: 0 * p, PLAIN, "zero", "does not move W and b"),
    (without_correction, OF_ADAM, "factor", "the bias correction of m and v is missing"),
    (lambda o, s, g, p: adam(o, s, g) * (1 - o.b1**o.t), OF_ADAM, "factor", "the bias correction of m is missing"),
    (lambda o, s, g, p: adam(o, s, g, t=o.t + 1), OF_ADAM, "factor", "one step too many"),
    (lambda o, s, g, p: adam(o, s, g, t=1), OF_ADAM, "factor", "stays at 1"),
    (lambda o, s, g, p: adam(o, s, g, tiny_in=True), OF_ADAM, "elementwise-factor", "tiny stands inside the root"),
    (tiny_uncorrected, OF_ADAM, "elementwise-factor", "tiny is added before the bias correction"),
    (lambda o, s, g, p: adam(o, s, g, root=lambda v: v), OF_ADAM, "elementwise-factor", "the root of v is missing"),
    (swapped, OF_ADAM, "transpose", "m and v have changed places"),
    (no_one_minus, OF_ADAM, "factor", "gradient and square enter without 1 - beta"),
    (no_memory, OF_ADAM, "missing-term", "m forgets all but the last gradient"),
    (lambda o, s, g, p: adam(o, s, g) - o.lr * 0.01 * p, OF_ADAM, "missing-term", "0.0001 of itself"),
    (lambda o, s, g, p: adam(o, s, g + 0.01 * p), OF_ADAM, "missing-term", "0.01 times the parameter"),
    (lambda o, s, g, p: -adam(o, s, g), OF_ADAM, "sign", "every move has the wrong sign"),
    (lambda o, s, g, p: adam(o, s, g), OF_ADAMW, "missing-term", "the weight decay is missing"),
    (lambda o, s, g, p: adam(o, s, g) + o.lr * 0.02 * p, OF_ADAMW, "sign", "decay has the wrong sign"),
    (lambda o, s, g, p: adam(o, s, g + 0.02 * p), OF_ADAMW, "missing-term", "that is L2"),
    (lambda o, s, g, p: adam(o, s, g) - 0.02 * p, OF_ADAMW, "factor", "not multiplied by lr"),
    (lambda o, s, g, p: adam(o, s, g) - 0.01 * o.lr * p, OF_ADAMW, "factor", "halved"),
    (last_square, OF_ADAGRAD, "missing-term", "the last square alone"),
    (rms, OF_ADAGRAD, "missing-term", "RMSprop"),
    (lambda o, s, g, p: -o.lr * g / (squares(o, s, g) + o.eps), OF_ADAGRAD, "elementwise-factor", "the root of s"),
    (lambda o, s, g, p: -o.lr * g / np.sqrt(squares(o, s, g) + o.eps), OF_ADAGRAD, "elementwise-factor", "inside"),
    (lambda o, s, g, p: -o.lr * g / np.sqrt(squares(o, s, g)), OF_ADAGRAD, "missing-term", "tiny is missing"),
    (
        lambda o, s, g, p: -o.lr * g / (np.sqrt(squares(o, s, g) / o.t) + o.eps),
        OF_ADAGRAD,
        "factor",
        "the mean of the squares",
    ),
]


def fresh(optimizer):
    return type(optimizer)(**{k: v for k, v in optimizer.config.items() if k != "name"}, lr=optimizer.lr)


def only(report):
    assert len(report.findings) == 1, str(report)
    return report.findings[0]


@pytest.mark.parametrize(("update", "reference"), RIGHT)
def test_what_is_right_passes(update, reference):
    for seed in range(20):
        report = check_optimizer(Course(update), fresh(reference), rng=np.random.default_rng(seed), steps=1 + seed % 8)
        assert report.ok, str(report)


@pytest.mark.parametrize("kind", [SGD, Adagrad, Adam])
def test_the_optimizers_agree_with_themselves(kind):
    assert check_optimizer(kind(), kind()).ok


@pytest.mark.parametrize(("update", "reference", "cause", "words"), SLIPS, ids=[words for *_, words in SLIPS])
def test_a_slip_is_one_finding_in_all_parameters(update, reference, cause, words):
    for seed in range(5):
        report = check_optimizer(Course(update), fresh(reference), rng=np.random.default_rng(seed))
        finding = only(report)
        assert (finding.inputs, finding.cause) == (("W", "b"), cause), str(report)
        assert words in finding.message, str(report)
        assert {row.status for row in report.rows} == {"wrong"}
        assert f"{finding.expected:.6g}" not in finding.message
        assert not finding.repair or finding.repair not in finding.message


class OfTheTextbook(Course):
    """With one more number, RMSprop's."""

    def __init__(self, update):
        super().__init__(update)
        self.rho = 0.9


def looking_ahead(o, s, g, p):
    return -o.lr * (g + o.mu * momentum(o, s, g))


def mean_square(o, s, g):
    return keep(s, "s", o.rho * s.get("s", 0) + (1 - o.rho) * g * g)


def root_mean_square(o, s, g, p):
    return -o.lr * g / (np.sqrt(mean_square(o, s, g)) + o.eps)


@pytest.mark.parametrize(
    ("update", "reference", "cause", "words"),
    [
        (lambda o, s, g, p: -o.lr * momentum(o, s, g), looking_ahead, "missing-term", "does not look ahead"),
        (lambda o, s, g, p: -o.lr * o.mu * momentum(o, s, g), looking_ahead, "missing-term", "without the gradient"),
        (lambda o, s, g, p: -o.lr * g / (mean_square(o, s, g) + o.eps), root_mean_square, "elementwise-factor", "root"),
        (lambda o, s, g, p: -o.lr * g / np.sqrt(mean_square(o, s, g)), root_mean_square, "missing-term", "tiny is"),
        (lambda o, s, g, p: -o.lr * g / (np.sqrt(squares(o, s, g)) + o.eps), root_mean_square, "missing-term", "sums"),
    ],
)
def test_references_that_the_package_does_not_have(update, reference, cause, words):
    assert check_optimizer(OfTheTextbook(reference), OfTheTextbook(reference)).ok
    finding = only(check_optimizer(OfTheTextbook(update), OfTheTextbook(reference)))
    assert finding.cause == cause
    assert words in finding.message


def test_a_reference_of_another_make_is_enough():
    """Without numbers that can be read, what is known is said: constants, steps, curves."""

    class Nameless(Course):
        def __init__(self, update):
            super().__init__(update)
            self.hidden = (self.lr, self.mu)
            del self.lr

    def plain(o, s, g, p):
        return -o.hidden[0] * g

    finding = only(check_optimizer(Course(lambda o, s, g, p: -3 * o.lr * g), Nameless(plain)))
    assert finding.cause == "factor"
    finding = only(check_optimizer(Course(lambda o, s, g, p: -o.lr * momentum(o, s, g)), Nameless(plain)))
    assert finding.cause == "missing-term"
    assert "the first 1 steps are right" in finding.message


def test_an_optimizer_that_counts_in_the_loop():
    class Counts(Adam):
        def step(self, params, grads):
            for name in params:
                super().step({name: params[name]}, {name: grads[name]})

    finding = only(check_optimizer(Counts(), Adam()))
    assert finding.cause == "factor"
    assert "grows with every parameter" in finding.message


def test_a_parameter_that_is_left_out():
    class OnlyWeights(Adam):
        def step(self, params, grads):
            super().step({"W": params["W"]}, {"W": grads["W"]})

    finding = only(check_optimizer(OnlyWeights(), Adam()))
    assert (finding.inputs, finding.cause) == (("b",), "zero")


def test_gradients_belong_to_the_caller():
    class Squares(Adagrad):
        def step(self, params, grads):
            super().step(params, grads)
            for g in grads.values():
                g *= g

    report = check_optimizer(Squares(), Adagrad())
    finding = only(report)
    assert finding.cause == "mutates-input"
    assert {row.status for row in report.rows} == {"ok"}


def test_a_gradient_of_a_step_before_belongs_to_the_caller_too():
    class Aliased:
        """Its velocity is the first gradient itself."""

        def __init__(self):
            self.v = {}

        def step(self, params, grads):
            for name, p in params.items():
                if name in self.v:
                    self.v[name] *= 0.9
                    self.v[name] += grads[name]
                p -= 0.1 * self.v.setdefault(name, grads[name])

    finding = only(check_optimizer(Aliased(), SGD(lr=0.1, momentum=0.9)))
    assert finding.cause == "mutates-input"


def test_a_step_that_fails():
    """One v for all parameters does not have the shape of the second."""

    class Shared(SGD):
        def step(self, params, grads):
            for name, p in params.items():
                v = slot(self.state, "v", p)
                v += grads[name]
                p -= self.lr * v

    finding = only(check_optimizer(Shared(), SGD()))
    assert finding.cause == "unknown"
    assert "step fails, with ValueError" in finding.message


def test_an_empty_cell_is_not_written_yet():
    class Blank:
        def step(self, params, grads):
            raise NotImplementedError

    report = check_optimizer(Blank(), SGD())
    assert not report.findings
    assert {row.status for row in report.rows} == {"not written yet"}


def test_only_gradients_are_drawn():
    with pytest.raises(ValueError, match="plot draws the differences behind a gradient"):
        check_optimizer(SGD(), SGD()).plot()
