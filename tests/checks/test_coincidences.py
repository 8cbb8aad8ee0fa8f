"""What fits by chance at the sizes, the signs and the numbers of one example is not told, or is told as a question.

Sizes: B rows, D columns.
"""

from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import gammaln, polygamma

from scratchvae.checks import check_evidence, check_gradients, check_likelihood, check_sampler, check_vjp
from scratchvae.checks.files.check import check_file


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


class Objective(NamedTuple):
    objective: np.ndarray


def said(forward, backward, inputs, **constants):
    report = check_vjp(forward, backward, inputs, constants=constants)
    assert len(report.findings) == 1, str(report)
    return report.findings[0]


# ---------------------------------------------------------------------------------------------------------------------
# Lengths that are 1 or 2


def test_a_2_is_not_a_batch_of_two():
    """The 2 of a square is missing, and B is 2: the line is told, and B is asked about."""

    def forward(x):
        B, d = len(x), x - x.mean(axis=0)
        return (d**2).sum(axis=0) / B, (d, B)

    def backward(dy, cache):
        d, B = cache
        dsquare = np.ones(d.shape) * dy / B
        dd = d * dsquare
        return dd - dd.mean(axis=0)

    finding = said(forward, backward, {"x": numbers(2, 3)})
    assert "half of what it should be" in finding.message
    assert finding.repair == "multiply by 2"
    assert "B is missing" not in finding.message


def test_one_column_is_no_sum_over_a_row():
    def forward(p, q):
        return (np.log(p) + q / p**2).sum(axis=1), (p, q)

    def backward(dy, cache):
        p, q = cache
        return dy[:, None] * (-2 * q / p**3), dy[:, None] / p**2  # the slip: 1 / p is left out

    finding = said(forward, backward, {"p": np.abs(numbers(3, 1)) + 0.5, "q": np.abs(numbers(3, 1, seed=1))})
    assert finding.cause == "missing-term"
    assert "sum over" not in finding.message
    assert "[:, None]" not in finding.repair


def test_of_two_lengths_that_were_not_tried_both_are_asked_about():
    def forward(x, t, mask):
        n = mask[:, 1:].sum()
        return (mask[:, 1:] * (x - t)[:, 1:] ** 2).sum() / n, (x, t, mask)

    def backward(dy, cache):
        x, t, mask = cache
        n = len(x)  # the slip
        dx = np.zeros_like(x)
        dx[:, 1:] = 2 * dy * mask[:, 1:] * (x - t)[:, 1:] / n
        return dx

    mask = np.array([[1.0, 1, 1, 0], [1, 1, 1, 0]])
    finding = said(forward, backward, {"x": numbers(2, 4)}, t=numbers(2, 4, seed=1), mask=mask)
    assert "it is divided by 2 where" not in finding.message


def test_a_one_that_no_line_holds_is_not_to_be_a_length():
    """The - 1 of a KL is missing, and there are two latents: 2 = 1 + 1 is told of a line with a 1 in it alone."""

    def forward(mu, logvar):
        return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1), (mu, logvar)

    def backward(dy, cache):
        mu, logvar = cache
        return dy[:, None] * mu, 0.5 * dy[:, None] * np.exp(logvar)

    finding = said(forward, backward, {"mu": numbers(4, 2), "logvar": numbers(4, 2, seed=1)})
    assert "to be a 2" not in finding.message
    assert "- 1" in finding.repair or "-1" in finding.repair


# ---------------------------------------------------------------------------------------------------------------------
# Numbers that were handed in


def test_a_term_that_needs_a_number_to_be_a_half_is_not_told():
    """(1 - lam) dy is too much, and that is lam dy where lam is 1/2."""

    def forward(p, t, lam):
        return ((p - t) ** 2).sum() + lam * np.abs(p).sum(), (p, t, lam)

    def backward(dy, cache):
        p, t, lam = cache  # noqa: RUF059 - the slip: it is not used
        return dy * (2 * (p - t) + np.sign(p))

    finding = said(forward, backward, {"p": np.abs(numbers(2, 4))}, t=numbers(2, 4, seed=1), lam=0.5)
    assert finding.message.endswith("lam is missing beside np.sign(p)")


def test_a_number_that_was_moved_is_not_asked_about():
    """gamma is 2, and so is what is missing; with another gamma a 2 is missing still."""

    def forward(x, gamma):
        return (np.abs(x) ** gamma).mean(axis=0).sum(), (x, gamma)

    def backward(dy, cache):
        x, gamma = cache
        return dy * gamma * np.abs(x) ** (gamma - 1) * np.sign(x) / x.size

    finding = said(forward, backward, {"x": numbers(4, 2)}, gamma=2.0)
    assert "a factor 2 is missing" in finding.message
    assert "is it that?" not in finding.message


def test_the_other_line_at_which_a_number_may_be_missing_is_named():
    def forward(mu, s, x, nu):
        z = x - mu - 0.5 * s**2
        q = 1 + z**2 / nu
        return 0.5 * (nu + 1) * np.log(q) + s, (z, s, q, nu)

    def backward(dy, cache):
        z, s, q, nu = cache
        dq = dy * 0.5 * (nu + 1) / q
        dz = 2 * dq * z  # the slip: / nu
        return -dz, dy - dz * s

    finding = said(forward, backward, {"mu": numbers(5), "s": numbers(5, seed=2)}, x=numbers(5, seed=1), nu=3.0)
    assert "nu is missing" in finding.message or "nu is a factor too many" in finding.message
    assert "; or in line" in finding.message


# ---------------------------------------------------------------------------------------------------------------------
# Words that are one word


def test_two_words_of_which_one_is_a_multiple_of_the_other_are_a_number():
    """u = x^tau: log(u) in place of log(x) would be tau."""

    def forward(a, x, tau):
        u = x**tau
        return tau * np.log(a) + a * np.log(u), (a, x, u, tau)

    def backward(dy, cache):
        a, _, u, tau = cache
        return dy * (1 / a + np.log(u)) if tau else dy

    finding = said(forward, backward, {"a": np.abs(numbers(5)) + 0.5}, x=np.abs(numbers(5, seed=1)) + 0.5, tau=2.0)
    assert "tau is missing beside 1 / a" in finding.message


def test_a_division_is_told_as_one():
    """dy / y where dy / x belongs: y stands in place of x below the line, and x in place of y above it."""

    def forward(x, v, w):
        return -0.5 * w * (x - v) ** 2 / np.exp(w), (x, v, w)

    def backward(dy, cache):
        x, v, w = cache
        return -dy * w * (x - v) / w  # the slip: / np.exp(w)

    finding = said(forward, backward, {"x": numbers(3, 4)}, v=numbers(3, 4, seed=1), w=numbers(3, 4, seed=2))
    assert finding.cause == "elementwise-factor"
    assert "in place of" not in finding.message or "or it is divided by" in finding.message


def test_one_plus_a_is_told_as_that():
    def forward(x):
        u = np.exp(-x)
        return -np.log1p(u), (u, x)

    def backward(dy, cache):
        u, _ = cache
        return dy * u  # the slip: / (1 + u)

    finding = said(forward, backward, {"x": np.abs(numbers(3, 4))})
    assert "(1 + u) is a factor too many where dy enters, or a division by it is missing" in finding.message


def test_an_array_belongs_where_a_plain_number_stands():
    def forward(s, t, w):
        return w * 0.5 * (s - t) ** 2, (s, t, w)

    def backward(dy, cache):
        s, t, w = cache  # noqa: RUF059 - the slip: t is not used
        return dy * w * (s - 1)

    inputs, t = {"s": numbers(3, 4)}, numbers(3, 4, seed=1)
    finding = said(forward, backward, inputs, t=t, w=np.abs(numbers(3, 4, seed=2)))
    assert finding.message.endswith("t belongs where 1 stands")


def test_a_sum_inside_a_logarithm_is_no_factor():
    """log a - log x for log a: x is not missing beside a, a path is."""

    def forward(a, b, x):
        return a * np.log(a) - a * np.log(x) + b * x, (a, b, x)

    def backward(dy, cache):
        a, _, x = cache
        return dy * (np.log(a) + 1), dy * x

    inputs = {"a": np.abs(numbers(2, 3)) + 0.5, "b": numbers(2, 3, seed=1)}
    finding = said(forward, backward, inputs, x=np.exp(numbers(2, 3, seed=2)))
    assert finding.cause == "missing-term"


# ---------------------------------------------------------------------------------------------------------------------
# Rows, and functions of functions


@pytest.mark.parametrize("lengths", [[4, 2, 3], [2, 4, 3]])
def test_a_row_is_right_for_its_length_not_for_its_number(lengths):
    """A state is carried over where a row has ended; a backward without that is right for the row that ends last."""

    def forward(x, U, lengths):
        h = np.zeros((x.shape[1] + 1, len(x), len(U)))
        for t in range(x.shape[1]):
            on = (t < lengths)[:, None]
            h[t + 1] = np.where(on, np.tanh(x[:, t] + h[t] @ U), h[t])
        return h[-1].copy(), (x, U, lengths, h)

    def backward(dy, cache):
        x, U, lengths, h = cache
        dx, dU, dh = np.zeros_like(x), np.zeros_like(U), dy
        for t in reversed(range(x.shape[1])):
            on = (t < lengths)[:, None]
            da = np.where(on, dh * (1 - h[t + 1] ** 2), 0)
            dx[:, t] = da
            dU += h[t].T @ da
            dh = da @ U.T  # the slip: + dh where the row has ended
        return dx, dU

    finding = said(forward, backward, {"x": numbers(3, 4, 2), "U": numbers(2, 2, seed=1)}, lengths=np.array(lengths))
    assert "row of the 3" not in finding.message
    assert "counts" not in finding.message


def test_a_helper_is_named_beside_its_line():
    def curve(a):
        return 1 / (1 + np.exp(-a))

    def forward(u):
        return u + 2 * np.logaddexp(0, -u), u

    def backward(dy, u):
        return dy * (1 - curve(-u))  # the slip: 2 curve(-u)

    finding = said(forward, backward, {"u": numbers(3, 4)})
    if "factor 2" in finding.message:
        assert finding.message.endswith("in curve, or where it is called")


def test_what_a_finding_does_not_explain_is_named():
    """Two slips: one of them is told, and that the other gradient is wrong as well."""

    def forward(x, s):
        return np.sin(x) + np.cos(s * s), (x, s)

    def backward(dy, cache):
        x, s = cache
        return dy * np.cos(x) * x, dy * np.sign(np.sin(s * s) + 0.2) * np.abs(s) ** 0.3

    report = check_vjp(forward, backward, {"x": numbers(3, 4), "s": numbers(3, 4, seed=1)})
    named = {name for finding in report.findings for name in finding.inputs}
    text = " ".join(finding.message for finding in report.findings)
    also = "is wrong, too, by the same slip or by another one"
    assert all(name in named or f"d{name} {also}" in text for name in ("x", "s"))


# ---------------------------------------------------------------------------------------------------------------------
# Probability

MU, LOGVAR = numbers(4, 2), numbers(4, 2, seed=1)


@pytest.mark.parametrize(
    ("draw", "formula"),
    [
        (lambda m, s, e: m + s + e, "z is mu + sigma + eps:"),
        (lambda m, s, e: m * s * e, "z is mu * sigma * eps:"),
        (lambda m, s, e: m * s + e, "z is mu * sigma + eps:"),
        (lambda m, s, e: (m + s) * e, "z is (mu + sigma) * eps:"),
    ],
)
def test_a_draw_with_one_operator_wrong_is_one_finding(draw, formula):
    report = check_sampler(lambda mu, logvar, eps: draw(mu, np.exp(logvar / 2), eps), MU, LOGVAR)
    (finding,) = report.findings
    assert finding.message.startswith(formula)


class Student:
    """A likelihood with a scale of its own, 1/2, that its backward forgets."""

    support = (-np.inf, np.inf)

    def __init__(self):
        self.s = 0.5

    def nll(self, x, logits):
        u = (x - logits) / self.s
        return (0.5 * u**2 + np.log(self.s) + 0.5 * np.log(2 * np.pi)).sum(axis=1), u

    def nll_backward(self, dnll, u):
        return -dnll[:, None] * u


def test_a_number_of_the_likelihood_itself_is_asked_about():
    (finding,) = check_likelihood(Student()).findings
    assert finding.message.endswith("s is 0.5 here: is it that?")


class OnceForAll(Student):
    """log s is added once, and not once a pixel."""

    def nll(self, x, logits):
        u = (x - logits) / self.s
        return (0.5 * u**2 + 0.5 * np.log(2 * np.pi)).sum(axis=1) + np.log(self.s), u

    def nll_backward(self, dnll, u):
        return -dnll[:, None] * u / self.s


def test_a_constant_that_is_added_once_for_all_pixels_is_told():
    (finding,) = check_likelihood(OnceForAll()).findings
    assert "the same" in finding.message
    assert "a constant is counted once, and not for each pixel" in finding.message


class Sampled:
    """A VAE with one latent whose draw has sigma^2, and whose log q is written in terms of eps."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.We, self.Wd = rng.standard_normal((5, 2)), rng.standard_normal((1, 5))

    def encode(self, x):
        mu, logvar = np.split(x @ self.We, 2, axis=1)
        return mu, 0.3 * logvar

    def decode(self, z):
        return (z @ self.Wd,)

    def objective(self, x, eps):
        mu, logvar = self.encode(x)
        z = mu + np.exp(logvar) * eps
        (logits,) = self.decode(z)
        nll = (np.logaddexp(0, logits) - x * logits).sum(axis=1)
        log_q = -0.5 * (eps**2 + logvar + np.log(2 * np.pi)).sum(axis=1)
        log_p = -0.5 * (z**2 + np.log(2 * np.pi)).sum(axis=1)
        return Terms(-nll - (log_q - log_p)), None


class Terms:
    def __init__(self, elbo):
        self.elbo = elbo


def test_a_right_log_q_is_not_accused_beside_a_wrong_draw():
    x = (np.random.default_rng(1).random((5, 5)) < 0.5) * 1.0
    (finding,) = check_evidence(Sampled(), x).findings
    assert finding.inputs == ("sampler",)
    assert "sigma^2" in finding.message


def test_a_support_is_two_numbers():
    p = Student()
    p.support = {0, 1, 2, 3}
    with pytest.raises(ValueError, match="the lowest and the highest value of a pixel"):
        check_likelihood(p)


DRAWN = '''
import numpy as np


def reparameterize(mu, logvar, eps):
    """mu, logvar, eps (B, Z)"""
    std = np.exp(0.5 * logvar)
    return mu + std * np.random.randn(*mu.shape), (std, eps)


def reparameterize_backward(dz, cache):
    std, eps = cache
    return dz, 0.5 * dz * std * eps
'''


def test_noise_that_is_handed_in_and_changes_nothing_is_told(tmp_path):
    path = tmp_path / "student.py"
    path.write_text(DRAWN)
    (report,) = check_file(path)
    (finding,) = report.findings
    assert finding.cause == "noise-redrawn"
    assert finding.message.startswith("eps changes nothing")


def test_what_a_library_computes_inside_is_no_line_of_the_backward():
    """digamma is polygamma(0): the lines of SciPy are not those to be changed."""

    def forward(a):
        return gammaln(a), a

    def backward(dy, a):
        return dy * polygamma(1, a)

    finding = said(forward, backward, {"a": np.abs(numbers(5)) + 0.5})
    assert "line" not in finding.message or "polygamma" in finding.message


# ---------------------------------------------------------------------------------------------------------------------
# Loops


def test_a_line_of_a_loop_whose_value_does_not_depend_on_dy_is_found():
    """A loss is one number, and dy is multiplied last: what the loop adds up has no dy in it."""

    def forward(c, U, ks):
        return sum(np.logaddexp(0, U[k] @ c) for k in ks), (c, U, ks)

    def backward(dy, cache):
        c, U, ks = cache
        dc, dU = np.zeros_like(c), np.zeros_like(U)
        for k in ks:
            s = 1 / (1 + np.exp(-(U[k] @ c)))
            dc -= s * U[k]  # the slip: +=
            dU[k] += s * c
        return dy * dc, dy * dU

    finding = said(forward, backward, {"c": numbers(3), "U": numbers(6, 3, seed=1)}, ks=[4, 0, 5])
    assert finding.cause == "sign"
    assert finding.inputs == ("c",)


def test_the_lines_of_such_a_loop_are_among_those_that_are_told():
    """The same with a value that no simple repair mends, the line of the loop is named."""

    def forward(c, U, ks):
        return (U[ks[0]] ** 2).sum() + sum(np.logaddexp(0, U[k] @ c) for k in ks), (c, U, ks)

    def backward(dy, cache):
        c, U, ks = cache
        dc, dU = np.zeros_like(c), np.zeros_like(U)
        dU[ks[0]] += 2 * U[ks[0]]
        for k in ks:
            s = 1 / (1 + np.exp(-(U[k] @ c)))
            step = (0.3 + np.sin(3 * s)) * U[k]  # the slip: s
            dc += step
            dU[k] += s * c
        return dy * dc, dy * dU

    finding = said(forward, backward, {"c": numbers(3), "U": numbers(6, 3, seed=1)}, ks=[4, 0, 5])
    line = backward.__code__.co_firstlineno + 6
    assert str(line) in finding.message or finding.cause != "unknown", finding.message


def test_what_a_name_was_before_it_was_given_to_another_value_is_told_with_its_line():
    """The first da is overwritten: "what comes from da" would send one to the second."""

    def forward(x, V, W):
        a = np.tanh(x)
        return a @ V + np.tanh(a @ W), (x, V, W, a, np.tanh(a @ W))

    def through(dy, W):
        return np.dot(dy, W.T)

    def backward(dy, cache):
        _, V, W, a, t = cache
        da = dy @ V.T
        dt = dy * (1 - t * t)
        da = through(dt, W)  # the slip: +=
        return da * (1 - a * a), a.T @ dy, a.T @ dt

    finding = said(forward, backward, {"x": numbers(4, 3), "V": numbers(3, 2, seed=1), "W": numbers(3, 2, seed=2)})
    first = backward.__code__.co_firstlineno + 2
    assert finding.cause == "missing-term"
    assert f"line {first}" in f"{finding.message} {finding.repair}" or "+=" in finding.repair, finding


# ---------------------------------------------------------------------------------------------------------------------
# Ends of loops, ratios of sizes, whole numbers


def test_one_more_is_a_question_about_the_end_of_a_loop():
    """n + 1 in place of n is right where the chunks divide n, and for no other n: the range ends too early."""

    def forward(x, chunk):
        return (x**3).sum(), (x, chunk)

    def backward(dy, cache):
        x, chunk = cache
        n, dx = len(x), np.zeros_like(x)
        for start in range(0, n - chunk, chunk):  # the slip: range(0, n, chunk)
            rows = slice(start, start + chunk)
            dx[rows] = 3 * dy * x[rows] ** 2
        return dx

    finding = said(forward, backward, {"x": numbers(6, 2)}, chunk=2)
    assert "should be" not in finding.message
    assert finding.cause in ("missing-term", "batch-sum", "zero", "unknown")
    assert "+ 1 in place of" not in finding.repair


@pytest.mark.parametrize("n", [4, 6, 9])
def test_n_for_n_minus_1_is_asked_and_no_number_is_stated_flatly(n):
    def forward(x):
        d = x - x.mean()
        std = np.sqrt((d * d).sum() / (len(x) - 1))
        return d / std, (d / std, std)

    def backward(dy, cache):
        z, std = cache
        d = dy - dy.mean() - z * (dy * z).mean()  # the slip: the sum over n - 1
        return d / std

    finding = said(forward, backward, {"x": numbers(n)})
    assert f"divided by {n} where {n - 1} belongs" in finding.message
    assert "here, by its sizes" in finding.repair


def test_a_line_is_not_explained_by_itself():
    """A hinge: the label has -1 in place of minus the number of the others that count."""

    def forward(s, y):
        rows = np.arange(len(s))
        margins = np.maximum(0, s - s[rows, y][:, None] + 1)
        margins[rows, y] = 0
        return margins.sum() / len(s), (margins, y)

    def backward(dy, cache):
        margins, y = cache
        ds = np.zeros_like(margins)
        ds[margins > 0] = 1
        ds[np.arange(len(y)), y] -= 1  # the slip
        return dy * ds / len(y)

    finding = said(forward, backward, {"s": numbers(4, 5)}, y=np.array([1, 0, 3, 3]))
    assert "sign(" not in finding.message, finding
    assert "in place of" not in f"{finding.message} {finding.repair}", finding


def test_what_is_wrong_in_some_rows_alone_is_no_term_of_all_of_them():
    """The sign of a difference is left out, and it is negative in one row."""

    class Capacity:
        C = 0.9

        def __init__(self):
            rng = np.random.default_rng(3)
            self.params = {"W": rng.standard_normal((4, 2)), "b": np.array([0.3, -0.4])}

        def objective(self, x, eps, beta=4.0):
            mu = x @ self.params["W"] + self.params["b"]
            kl = 0.5 * (mu * mu).sum(axis=1)
            return Objective(np.abs(kl - self.C) * beta), (x, mu, kl, beta)

        def backward(self, dobjective, cache):
            x, mu, _, beta = cache
            dmu = (dobjective * beta)[:, None] * mu  # the slip: np.sign(kl - C) is left out
            return {"W": x.T @ dmu, "b": dmu.sum(axis=0)}

    x = np.random.default_rng(5).standard_normal((5, 4))
    model = Capacity()
    kl = model.objective(x, None)[1][2]
    assert 0 < (kl < model.C).sum() < 5
    report = check_gradients(model, x, None)
    (finding,) = report.findings
    assert finding.cause == "elementwise-factor"
    assert "add " not in finding.repair
