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
    (lambda o, s, g, p: -o.lr * 0.95**o.t * g, PLAIN, "factor", "lr decays, 0.95 times from step to step"),
    (lambda o, s, g, p: -o.lr * 1.1**o.t * g, PLAIN, "factor", "lr grows, 1.1 times from step to step"),
    (lambda o, s, g, p: -o.lr * np.sign(g), PLAIN, "elementwise-factor", "every gradient is replaced by its sign"),
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
    assert finding.cause == "factor"
    assert "with momentum = 0.9" in finding.message
    own, reference = OfTheTextbook(unlike_any(0.7)), OfTheTextbook(unlike_any(0.4))
    finding = only(check_optimizer(own, reference))
    assert finding.cause == "missing-term"
    assert "step 1 is right, step 2 is not" in finding.message


def unlike_any(weight):
    """A rule that no check knows."""
    return lambda o, s, g, p: -o.lr * (np.tanh(g) + weight * s.get("g", 0), keep(s, "g", g.copy()))[0]


def average(o, s, key, g, beta):
    return keep(s, key, beta * s.get(key, 0) + (1 - beta) * g)


def decayed(rule, c=0.02):
    """The decay of AdamW."""
    return lambda o, s, g, p: rule(o, s, g, p) - o.lr * c * p


def in_gradient(rule, c=0.02):
    """L2."""
    return lambda o, s, g, p: rule(o, s, g + c * p, p)


def by_lr(rule, schedule):
    return lambda o, s, g, p: schedule(o.t) * rule(o, s, g, p)


def plain(o, s, g, p):
    return -o.lr * g


def heavy(o, s, g, p):
    return -o.lr * momentum(o, s, g)


def of_adam(o, s, g, p):
    return adam(o, s, g)


def lamb(o, s, g, p):
    """A rule that no check knows: as long as the parameter."""
    move = adam(o, s, g)
    return move * np.linalg.norm(p) / np.linalg.norm(move)


def lion(o, s, g, p):
    mixed = o.b1 * s.get("m", 0 * g) + (1 - o.b1) * g
    average(o, s, "m", g, o.b2)
    return -o.lr * np.sign(mixed)


def lion_late(o, s, g, p):
    m = average(o, s, "m", g, o.b2)
    return -o.lr * np.sign(o.b1 * m + (1 - o.b1) * g)


def signs(o, s, g, p):
    return -o.lr * np.sign(g)


@pytest.mark.parametrize("rule", [plain, heavy, of_adam, lamb, lion, looking_ahead, root_mean_square])
@pytest.mark.parametrize(
    ("c", "cause", "words"),
    [
        (0, "missing-term", "the weight decay is missing"),
        (0.01, "factor", "the weight decay is halved"),
        (0.04, "factor", "the weight decay is twice what it should be"),
        (-0.02, "sign", "the weight decay has the wrong sign"),
    ],
)
def test_a_decay_of_the_reference_is_not_told_as_one_too_many(rule, c, cause, words):
    reference = OfTheTextbook(decayed(rule))
    assert check_optimizer(OfTheTextbook(decayed(rule)), OfTheTextbook(decayed(rule))).ok
    finding = only(check_optimizer(OfTheTextbook(decayed(rule, c)), reference))
    assert (finding.cause, finding.message) == (cause, words)
    assert "param -= 0.0002 * param" in finding.repair


@pytest.mark.parametrize("rule", [plain, heavy, of_adam, lamb, lion])
def test_a_decay_that_the_reference_does_not_have(rule):
    finding = only(check_optimizer(OfTheTextbook(decayed(rule)), OfTheTextbook(rule)))
    assert "0.0002 of itself as well, towards 0" in finding.message
    assert finding.repair == "no decay: the reference has none"


@pytest.mark.parametrize(
    ("own", "reference", "words"),
    [
        (of_adam, in_gradient(of_adam), "the weight decay is missing"),
        (in_gradient(of_adam, 0.01), in_gradient(of_adam), "the weight decay is halved"),
        (in_gradient(of_adam, -0.02), in_gradient(of_adam), "the weight decay has the wrong sign"),
        (decayed(of_adam), in_gradient(of_adam), "the weight decay stands beside the step"),
        (in_gradient(of_adam), decayed(of_adam), "the decay is added to the gradient"),
        (heavy, in_gradient(heavy), "the weight decay is missing"),
        (decayed(of_adam, 0.0002), decayed(of_adam), "0.01 times what it should be, which is lr once more"),
        (lambda o, s, g, p: adam(o, s, g) - 0.0002 * np.sign(p), decayed(of_adam), "(that is L1)"),
        (
            lambda o, s, g, p: adam(o, s, g) - 0.0002 * np.sign(p),
            of_adam,
            "every entry by 0.0002 as well, towards 0",
        ),
        (decayed(without_correction), decayed(of_adam), "the bias correction of m and v is missing"),
        (in_gradient(without_correction), in_gradient(of_adam), "the bias correction of m and v is missing"),
    ],
)
def test_a_decay_in_the_gradient_and_slips_beside_a_decay(own, reference, words):
    assert words in only(check_optimizer(OfTheTextbook(own), OfTheTextbook(reference))).message


def test_what_no_copy_tells_is_not_claimed():
    """An optimizer that cannot be copied keeps to itself which of the two decays."""

    class Alone(OfTheTextbook):
        def __deepcopy__(self, memo):
            raise TypeError

    finding = only(check_optimizer(Alone(lamb), Alone(decayed(lamb))))
    assert "away from 0: the decays of the weights differ" in finding.message
    assert not finding.repair


@pytest.mark.parametrize("rule", [plain, of_adam])
@pytest.mark.parametrize(
    ("own", "reference", "words"),
    [
        (lambda t: 1, lambda t: 0.9**t, "lr stays the same, and that of the reference decays, 0.9 times"),
        (lambda t: 1, lambda t: min(1, t / 5), "lr stays the same, and that of the reference is multiplied by t"),
        (lambda t: 1, lambda t: 1 / t, "lr stays the same, and that of the reference is multiplied by 1 / t"),
        (lambda t: 1.1**t, lambda t: 1, "lr grows, 1.1 times from step to step, and that of the reference stays"),
        (lambda t: 0.9**t, lambda t: 1, "lr decays, 0.9 times from step to step, and that of the reference stays"),
        (lambda t: 0.99**t, lambda t: 0.9**t, "lr decays, 0.99 times from step to step, and that of the reference"),
        (lambda t: 1, lambda t: 1 if t < 3 else 0.1, "step 3 as a whole is 10 times as long as meant"),
    ],
)
def test_the_schedule_of_lr_is_told_of_the_one_that_has_it(rule, own, reference, words):
    finding = only(check_optimizer(OfTheTextbook(by_lr(rule, own)), OfTheTextbook(by_lr(rule, reference))))
    assert finding.cause == "factor"
    assert words in finding.message


def test_which_lr_changes_is_not_claimed_of_an_unknown_rule():
    for own, reference in ((lambda t: 0.9**t, lambda t: 1), (lambda t: 1, lambda t: 1 / 0.9**t)):
        finding = only(check_optimizer(OfTheTextbook(by_lr(lamb, own)), OfTheTextbook(by_lr(lamb, reference))))
        assert "beside the reference the length of a step decays, 0.9 times" in finding.message


@pytest.mark.parametrize("beta2", [0.99, 0.999])
@pytest.mark.parametrize(
    ("own", "words"),
    [(lion_late, "m takes in the new gradient before the step"), (signs, "there is no memory")],
)
def test_a_sign_shows_its_memory(own, words, beta2):
    for seed in range(4):
        own_one, reference = Course(own, beta2=beta2), Course(lion, beta2=beta2)
        assert words in only(check_optimizer(own_one, reference, rng=np.random.default_rng(seed))).message
        assert check_optimizer(Course(lion, beta2=beta2), Course(lion, beta2=beta2)).ok


def rounded_to(kind):
    return lambda o, s, g, p: adam(o, s, g.astype(kind).astype(float))


class Rounds(Course):
    """Its parameters are float32."""

    def step(self, params, grads):
        super().step(params, grads)
        for p in params.values():
            p[...] = p.astype(np.float32)


def test_rounding_is_not_told_as_a_wrong_memory():
    for own in (Course(rounded_to(np.float32)), Rounds(of_adam)):
        finding = only(check_optimizer(own, Course(of_adam)))
        assert finding.cause == "precision"
        assert "rounded" in finding.message
    finding = only(check_optimizer(Course(of_adam, lr=float(np.float32(0.01))), Course(of_adam)))
    assert (finding.cause, finding.message) == ("precision", "lr is rounded to float32, and every move with it")
    finding = only(check_optimizer(Course(heavy, momentum=0.9 + 1e-7), Course(heavy)))
    assert finding.cause != "precision"


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (lambda o, s, g, p: adam(o, s, np.clip(g, -0.1, 0.1)), "clipped at 0.1, entry by entry"),
        (lambda o, s, g, p: adam(o, s, g * min(1, 0.5 / np.linalg.norm(g))), "shortened to the norm 0.5"),
    ],
)
def test_a_gradient_that_is_changed_is_not_told_as_a_wrong_memory(own, words):
    assert words in only(check_optimizer(Course(own), Course(of_adam))).message


def test_a_constant_that_is_lr():
    finding = only(check_optimizer(Course(lambda o, s, g, p: -o.lr * momentum(o, s, o.lr * g)), Course(heavy)))
    assert finding.message == "every move is 0.01 times what it should be, which is lr"
    finding = only(check_optimizer(SGD(lr=0.01), SGD(lr=0.1)))
    assert finding.message == "every move is 1/10 of what it should be, as lr is: 0.01, not 0.1"


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


def adamax(o, s, g, p, corrected=True, decay=True, pick=np.maximum, divided=True):
    m = average(o, s, "m", g, o.b1)
    u = keep(s, "u", pick((o.b2 if decay else 1) * s["u"], np.abs(g)) if "u" in s else np.abs(g))
    return -o.lr / ((1 - o.b1**o.t) if corrected else 1) * m / (u + o.eps if divided else 1)


def nadam(o, s, g, p, late=1, divided=True):
    m, v = averages(o, s, g)
    m = o.b1 * m / (1 - o.b1 ** (o.t + late)) + (1 - o.b1) * g / (1 - o.b1**o.t)
    return -o.lr * m / (np.sqrt(v / (1 - o.b2**o.t)) + o.eps if divided else 1)


def amsgrad(o, s, g, p, pick=np.maximum, kept=True, root=np.sqrt):
    m, v = averages(o, s, g)
    v = v / (1 - o.b2**o.t)
    largest = pick(s.get("largest", v), v)
    s["largest"] = largest if kept else v
    return -o.lr * m / (1 - o.b1**o.t) / (root(largest) + o.eps)


def adadelta(o, s, g, p, late=False, of="step", power=0.5, tiny=1e-6):
    a, x = average(o, s, "a", g * g, o.rho), s.get("x", 0 * g)
    step = ((x + tiny) / (a + tiny)) ** power * g
    new = average(o, s, "x", (step if of == "step" else g) ** 2, o.rho)
    return -o.lr * (((new + tiny) / (a + tiny)) ** power * g if late else step)


def centred(o, s, g, p):
    square, m = mean_square(o, s, g), average(o, s, "m", g, o.rho)
    return -o.lr * g / (np.sqrt(square - m * m) + o.eps)


def bare_delta(o, s, g, p):
    return -o.lr * g / np.sqrt(average(o, s, "a", g * g, o.rho) + 1e-6)


def lion_swapped(o, s, g, p):
    mixed = o.b2 * s.get("m", 0 * g) + (1 - o.b2) * g
    average(o, s, "m", g, o.b1)
    return -o.lr * np.sign(mixed)


def changed(rule, **what):
    return lambda o, s, g, p: rule(o, s, g, p, **what)


def mixed_squares(o, s, g, p):
    m = average(o, s, "m", g, o.b1)
    v = average(o, s, "v", m * m, o.b2)
    return -o.lr * m / (1 - o.b1**o.t) / (np.sqrt(v / (1 - o.b2**o.t)) + o.eps)


def adam_with(correct_m, correct_v):
    def rule(o, s, g, p):
        m, v = averages(o, s, g)
        return -o.lr * m * correct_m(o) / (np.sqrt(v * correct_v(o)) + o.eps)

    return rule


def other_sums(o, s, g, p):
    m = keep(s, "m", o.mu * s.get("m", 0) + g)
    return -o.lr * np.sign(m)


KIN = [  # own, reference, words
    (changed(adamax, corrected=False), adamax, "the bias correction of m is missing"),
    (changed(adamax, decay=False), adamax, "beta2 is missing in u"),
    (changed(adamax, pick=np.minimum), adamax, "the smallest |grad|"),
    (changed(adamax, divided=False), adamax, "m is not divided by u"),
    (changed(nadam, late=0), nadam, "where beta1^(t+1) belongs"),
    (nadam, changed(nadam, late=0), "where beta1^t belongs"),
    (of_adam, nadam, "it is Adam, which does not look ahead"),
    (changed(nadam, divided=False), nadam, "not divided by the root of v_hat"),
    (of_adam, amsgrad, "there is no maximum: it is Adam"),
    (changed(amsgrad, pick=np.minimum), amsgrad, "the smallest v is kept"),
    (changed(amsgrad, kept=False), amsgrad, "it is not kept"),
    (changed(amsgrad, root=lambda v: v), amsgrad, "the root of v is missing"),
    (changed(adadelta, late=True), adadelta, "x takes in the new step before it is used"),
    (changed(adadelta, of="grad"), adadelta, "of the gradient, not of the step"),
    (changed(adadelta, power=1), adadelta, "both roots are missing"),
    (bare_delta, adadelta, "the size of the steps before, is missing"),
    (root_mean_square, centred, "s is not centred"),
    (centred, root_mean_square, "s is centred"),
    (lion_swapped, lion, "beta1 and beta2 have changed places"),
    (plain, signs, "the sign is missing"),
    (signs, other_sums, "there is no memory: each step is the sign"),
    (lion, other_sums, "the rule is Lion, where that of the reference is the sign of a running average"),
    (lion, plain, "the rule is Lion, where that of the reference is SGD"),
    (lambda o, s, g, p: -o.lr * momentum(o, s, g * np.abs(g)), heavy, "in step 1 a move has a factor too many, |grad|"),
    (
        lambda o, s, g, p: -o.lr * (o.mu * g + momentum(o, s, g)),
        looking_ahead,
        "the momentum stands before the gradient",
    ),
    (
        lambda o, s, g, p: -o.lr * (keep(s, "v", o.mu * s["v"] + (1 - o.mu) * g) if "v" in s else keep(s, "v", g)),
        heavy,
        "from step 2 on the gradient enters v times 1 - momentum",
    ),
    (
        lambda o, s, g, p: -o.lr * g / (np.sqrt(mean_square(o, s, g) / (1 - o.rho**o.t)) + o.eps),
        root_mean_square,
        "s is corrected for its bias",
    ),
    (
        lambda o, s, g, p: -o.lr * g / (np.sqrt(keep(s, "s", o.rho * s.get("s", 1) + (1 - o.rho) * g * g)) + o.eps),
        root_mean_square,
        "s starts at 1, not at 0",
    ),
    (mixed_squares, of_adam, "v averages m^2"),
    (
        lambda o, s, g, p: -o.lr * g / (np.sqrt(average(o, s, "s", (g * g).mean(), o.rho)) + o.eps),
        root_mean_square,
        "one number for a whole parameter, their average",
    ),
    (
        adam_with(lambda o: 1 / (1 - o.b1**o.t), lambda o: 1 / (1 - o.b1**o.t)),
        of_adam,
        "v is corrected with beta1^t, which belongs to m",
    ),
    (
        adam_with(lambda o: 1 / (1 - o.b1) ** o.t, lambda o: 1 / (1 - o.b2) ** o.t),
        of_adam,
        "the bias correction takes (1 - beta)^t",
    ),
    (
        adam_with(lambda o: 1 - o.b1**o.t, lambda o: 1 - o.b2**o.t),
        of_adam,
        "the bias correction multiplies, where it should divide",
    ),
    (adamax, of_adam, "the rule is Adamax, where that of the reference is Adam"),
    (lion, of_adam, "the rule is Lion, where that of the reference is Adam"),
    (of_adam, lamb, "the rule is Adam, and the reference makes other moves"),
]


@pytest.mark.parametrize(("own", "reference", "words"), KIN, ids=[words for *_, words in KIN])
def test_more_rules_and_their_slips(own, reference, words):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        assert words in only(check_optimizer(OfTheTextbook(own), OfTheTextbook(reference), rng=rng)).message


# ---------------------------------------------------------------------------------------------------------------------
# What is right, written otherwise


class Flat:
    """Adam, with all parameters in one vector, and powers of beta that are multiplied on."""

    def __init__(self):
        self.m, self.v, self.b1, self.b2 = 0.0, 0.0, 1.0, 1.0

    def step(self, params, grads):
        g = np.concatenate([grads[name].ravel() for name in params])
        self.b1, self.b2 = self.b1 * 0.9, self.b2 * 0.999
        self.m, self.v = self.m + 0.1 * (g - self.m), self.v + 0.001 * (g**2 - self.v)
        moves = -0.01 * (self.m / (1 - self.b1)) / (np.sqrt(self.v / (1 - self.b2)) + 1e-8)
        for p in params.values():
            p += moves[: p.size].reshape(p.shape)
            moves = moves[p.size :]


class Defaults:
    """Adam, with its numbers in a dict and the bias correction in the step size."""

    def __init__(self):
        self.defaults, self.state = {"lr": 0.01, "betas": (0.9, 0.999)}, {}

    def step(self, params, grads):
        b1, b2 = self.defaults["betas"]
        for name, p in params.items():
            state = self.state.setdefault(name, {"t": 0, "m": np.zeros_like(p), "v": np.zeros_like(p)})
            state["t"] += 1
            state["m"] += (grads[name] - state["m"]) * (1 - b1)
            state["v"] *= b2
            state["v"] += (1 - b2) * grads[name] * grads[name]
            root = np.sqrt(state["v"]) / math.sqrt(1 - b2 ** state["t"]) + 1e-8
            p -= self.defaults["lr"] / (1 - b1 ** state["t"]) * state["m"] / root


class Entries:
    """Lion with a decay, entry by entry."""

    def __init__(self):
        self.m = {}

    def step(self, params, grads):
        for name, p in params.items():
            m, g = self.m.setdefault(name, np.zeros(p.shape)), grads[name]
            for i in np.ndindex(p.shape):
                mixed = m[i] + (g[i] - m[i]) * (1 - 0.9)
                p[i] = p[i] * (1 - 0.01 * 0.02) - 0.01 * ((mixed > 0) * 1.0 - (mixed < 0) * 1.0)
                m[i] += (g[i] - m[i]) * (1 - 0.999)


class History:
    """Momentum from all gradients so far."""

    def __init__(self):
        self.past = []

    def step(self, params, grads):
        self.past.append({name: g.copy() for name, g in grads.items()})
        for name, p in params.items():
            p -= 0.01 * sum(0.9**age * past[name] for age, past in enumerate(reversed(self.past)))


class Hypot:
    """Adagrad, with the root of the sum kept."""

    def __init__(self):
        self.root = {}

    def step(self, params, grads):
        for name, p in params.items():
            self.root[name] = np.hypot(self.root.get(name, 0), grads[name])
            p[:] = p - 0.01 * (grads[name] / (self.root[name] + 1e-8))


def roots_kept(o, s, g, p):
    m, v = averages(o, s, g)
    root = keep(s, "root", np.maximum(s.get("root", 0), np.sqrt(v / (1 - o.b2**o.t))))
    return -(o.lr / (1 - o.b1**o.t)) * m / (root + o.eps)


def velocity_of_lr(o, s, g, p):
    old = s.get("v", 0 * g)
    return (1 + o.mu) * keep(s, "v", o.mu * old - o.lr * g) - o.mu * old


@pytest.mark.parametrize(
    ("own", "reference"),
    [
        (Flat, of_adam),
        (Defaults, of_adam),
        (Entries, decayed(lion)),
        (History, heavy),
        (Hypot, lambda o, s, g, p: -o.lr * g / (np.sqrt(squares(o, s, g)) + o.eps)),
        (lambda: OfTheTextbook(roots_kept), amsgrad),
        (lambda: OfTheTextbook(velocity_of_lr), looking_ahead),
        (lambda: OfTheTextbook(other_sums), lambda o, s, g, p: -o.lr * np.sign(average(o, s, "m", g, o.mu))),
        (lambda: OfTheTextbook(lambda o, s, g, p: p * (1 - o.lr * 0.02) - o.lr * g - p), in_gradient(plain)),
        (lambda: OfTheTextbook(lambda o, s, g, p: 0.9**o.t * adam(o, s, g)), by_lr(of_adam, lambda t: 0.9**t)),
        (lambda: OfTheTextbook(lamb), lamb),
    ],
)
def test_what_is_right_in_another_style_passes(own, reference):
    for seed in range(10):
        report = check_optimizer(own(), OfTheTextbook(reference), rng=np.random.default_rng(seed))
        assert report.ok, str(report)
