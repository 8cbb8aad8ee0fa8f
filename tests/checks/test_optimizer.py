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
        (decayed(of_adam, 0.0002), decayed(of_adam), "0.01 times what it should be: is it lr once more?"),
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
        (
            lambda t: 1,
            lambda t: min(1, t / 5),
            "lr stays the same, and that of the reference is multiplied by min(t, 5)",
        ),
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
    assert finding.message == "every move is 0.01 times what it should be: is it lr?"
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


# ---------------------------------------------------------------------------------------------------------------------
# Clips by the norm of all gradients, parameters that stay at 0, rules that change after some steps


class Whole:
    """An optimizer whose rule(o, params, grads) sees all parameters at once."""

    def __init__(self, rule, **numbers):
        self.rule, self.t, self.state = rule, 0, {}
        vars(self).update(numbers)

    def step(self, params, grads):
        self.t += 1
        self.rule(self, params, grads)


def norm_of(grads):
    return math.sqrt(sum((g * g).sum() for g in grads.values()))


def shortened(factor, mu=0.0):
    """factor(o, norm of all gradients) before every gradient."""

    def rule(o, params, grads):
        for name, p in params.items():
            v = o.state[name] = mu * o.state.get(name, 0) + factor(o, norm_of(grads)) * grads[name]
            p -= o.lr * v

    return rule


def by_norm(o, n):
    return min(1, o.c / n)


def by_value(o, params, grads):
    for name, p in params.items():
        p -= o.lr * np.clip(grads[name], -o.c, o.c)


def of_the_whole_vector(o, params, grads):
    flat = np.concatenate([g.ravel() for g in grads.values()])
    n = np.linalg.norm(flat)
    for name, p in params.items():
        p -= o.lr * (grads[name] if n <= o.c else grads[name] / n * o.c)


@pytest.mark.parametrize("bound", [0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 40.0])
def test_a_clip_by_the_norm_is_seen_at_every_usual_bound(bound):
    def found(rule, mu=0.0):
        reference = Whole(shortened(by_norm, mu), lr=0.1, c=bound)
        return only(check_optimizer(Whole(rule, lr=0.1, c=bound), reference)).message

    assert check_optimizer(Whole(of_the_whole_vector, lr=0.1, c=bound), Whole(shortened(by_norm), lr=0.1, c=bound)).ok
    assert "gradients are not clipped" in found(shortened(lambda o, n: 1))
    assert "are lengthened to it" in found(shortened(lambda o, n: o.c / n))
    assert "entry by entry: in the reference all gradients" in found(by_value)
    assert "there is no momentum" in found(shortened(by_norm), 0.9)


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (lambda o, n: max(1, 1 / n), "the larger one of 1 and bound / norm"),
        (lambda o, n: min(1, n), "upside down"),
        (lambda o, n: min(1, 1 / n**2), "the norm lacks its root"),
        (lambda o, n: min(1, 5 / n), "shortened to the norm 5, not 1"),
        (lambda o, n: min(1, 0.37 / n), "the norm of all gradients is 0.43 or more, and right below"),
    ],
)
def test_a_wrong_clip_is_not_told_as_a_step_count(factor, words):
    own, reference = Whole(shortened(factor), lr=0.1, c=1.0), Whole(shortened(by_norm), lr=0.1, c=1.0)
    message = only(check_optimizer(own, reference)).message
    assert words in message or "0.37" in words
    assert "step count" not in message


def test_a_clip_is_not_told_as_a_division_by_the_norm():
    class Clips(Adam):
        def step(self, params, grads):
            super().step(params, {name: g * min(1, 1 / norm_of(grads)) for name, g in grads.items()})

    assert "shortened to the norm 1" in only(check_optimizer(Clips(), Adam())).message


@pytest.mark.parametrize(
    "projection",
    [
        lambda p: np.maximum(p, 0),
        lambda p: np.sign(p) * np.maximum(np.abs(p) - 0.5, 0),
        lambda p: p * (np.abs(p) > 0.3),
        lambda p: (p + np.pi) % (2 * np.pi) - np.pi,
        lambda p: p - p.mean() + 1.0,
    ],
)
def test_parameters_that_are_put_back_agree_with_themselves(projection):
    def rule(o, params, grads):
        for name, p in params.items():
            p[...] = projection(p - 0.1 * grads[name])

    for seed in range(5):
        assert check_optimizer(Whole(rule), Whole(rule), rng=np.random.default_rng(seed)).ok


def test_angles_may_be_wrapped_or_not():
    def wrapped(o, params, grads):
        for name, p in params.items():
            p -= 1e-3 * grads[name]
            p[...] = (p + 16 * np.pi) % (32 * np.pi) - 16 * np.pi if np.abs(p).max() > 16 else p

    assert check_optimizer(Whole(wrapped), SGD(lr=1e-3, momentum=0.0)).ok


def test_what_is_remembered_under_the_id_of_a_parameter():
    def rule(o, params, grads):
        for name, p in params.items():
            v = o.state[id(p)] = 0.9 * o.state.get(id(p), 0) + grads[name]
            p -= 0.1 * v

    assert check_optimizer(SGD(lr=0.1, momentum=0.9), Whole(rule)).ok


def test_a_new_array_in_the_dict_is_a_move():
    def rule(o, params, grads):
        for name in params:
            params[name] = params[name] - 0.1 * grads[name]

    assert check_optimizer(Whole(rule), SGD(lr=0.1, momentum=0.0)).ok


def lookahead(k):
    def rule(o, params, grads):
        for name, p in params.items():
            slow = o.state.setdefault(name, p.copy())
            p -= 0.1 * grads[name]
            if o.t % k == 0:
                slow += 0.5 * (p - slow)
                p[...] = slow

    return rule


def test_a_rule_that_changes_after_some_steps():
    assert check_optimizer(Whole(lookahead(6)), Whole(lookahead(6))).ok
    message = only(check_optimizer(Whole(lookahead(12)), Whole(lookahead(6)))).message
    assert "steps 1 to 5 are right, step 6 is not" in message


def test_two_numbers_of_one_value_are_both_named():
    def averaged(o, s, g, p):
        return -o.lr * (1 - o.mu) * momentum(o, s, g)

    for lr, words in (
        (0.1, "what it should be: is it lr or 1 - momentum?"),
        (0.05, "what it should be: is it 1 - momentum?"),
    ):
        own, reference = Course(averaged, lr=lr), Course(heavy, lr=lr)
        assert only(check_optimizer(own, reference)).message.endswith(words)
    assert only(check_optimizer(Course(heavy), Course(averaged))).message.endswith("is it 1 / (1 - momentum)?")


def from_before(own):
    def rule(o, s, g, p):
        old = s.get("v", 0 * g)
        return own(o.mu, old, keep(s, "v", o.mu * old - o.lr * g))

    return rule


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (lambda mu, old, v: old, "v of the step before alone: it is 0 at first"),
        (lambda mu, old, v: (1 + mu) * old - mu * old, "v of the step before alone: it is 0 at first"),
        (lambda mu, old, v: (1 + mu) * v, "from which momentum * v of the step before is not taken away"),
        (lambda mu, old, v: (1 + mu) * old - mu * v, "have changed places"),
        (lambda mu, old, v: -np.sign(old) * old**2, ""),
    ],
)
def test_nesterov_from_the_v_of_the_step_before(own, words):
    message = only(check_optimizer(OfTheTextbook(from_before(own)), OfTheTextbook(looking_ahead))).message
    assert words in message
    assert "|grad|" not in message  # of a step that is 0


@pytest.mark.parametrize("which", ["m", "v"])
def test_a_bias_correction_that_forgets_the_power(which):
    own = adam_with(
        lambda o: 1 / (1 - o.b1 ** (1 if which == "m" else o.t)),
        lambda o: 1 / (1 - o.b2 ** (1 if which == "v" else o.t)),
    )
    assert (
        f"the bias correction of {which} divides by 1 - beta"
        in only(check_optimizer(Course(own), Course(of_adam))).message
    )


def test_a_decay_by_the_exponential():
    class Exponential(Adam):
        def step(self, params, grads):
            for p in params.values():
                p *= math.exp(-self.lr * 0.02)
            super().step(params, grads)

    finding = only(check_optimizer(Exponential(lr=0.01), AdamW(lr=0.01)))
    assert finding.message == "the decay multiplies the parameter by exp(-0.0002), where 1 - 0.0002 belongs"
    assert "also" not in finding.repair


def test_a_schedule_that_counts_in_the_loop():
    def once(o, params, grads):
        for name, p in params.items():
            p -= o.lr * 0.9**o.t * grads[name]

    def often(o, params, grads):
        for i, (name, p) in enumerate(params.items()):
            p -= o.lr * 0.9 ** (2 * (o.t - 1) + i + 1) * grads[name]

    finding = only(check_optimizer(Whole(often, lr=0.1), Whole(once, lr=0.1)))
    assert (finding.cause, finding.message) == (
        "factor",
        "the step count grows with every parameter, not with every step",
    )


def test_an_lr_that_vanishes_is_told_of_the_steps_before():
    own, reference = by_lr(plain, lambda t: math.exp(-0.9 * t)), by_lr(plain, lambda t: 0.9**t)
    assert "lr decays, 0.40657 times" in only(check_optimizer(Course(own), Course(reference))).message
    cosine = by_lr(plain, lambda t: max(0.0, math.cos(math.pi / 20 * t)))
    assert "as a whole" in only(check_optimizer(Course(by_lr(plain, lambda t: 0.5)), Course(cosine))).message
