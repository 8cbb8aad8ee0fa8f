"""gradcheck FILE on the styles of public code: what is found, run and judged. The files are written here."""

import json

import numpy as np
import pytest

from scratchvae.checks.files.check import check_file
from scratchvae.checks.files.examples import Made
from scratchvae.checks.files.layouts import LAYOUTS
from scratchvae.checks.files.sizes import in_other_sizes
from scratchvae.checks.vjp import check
from scratchvae.cli import main

STYLES = {
    "f_forward and f_backward, a cache": """
import numpy as np
def affine_forward(x, w, b):
    out = x.reshape(len(x), -1) @ w + b
    return out, (x, w, b)
def affine_backward(dout, cache):
    x, w, b = cache
    return (dout @ w.T).reshape(x.shape), x.reshape(len(x), -1).T @ dout, dout.sum(axis=0)
def softmax_loss(x, y):
    shifted = x - x.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -logp[np.arange(len(x)), y].mean(), (np.exp(logp), y)
def softmax_loss_backward(dout, cache):
    p, y = cache
    dx = p.copy()
    dx[np.arange(len(p)), y] -= 1
    return dout * dx / len(p)
""",
    "classes that keep dW": """
import numpy as np
class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T
class SoftmaxWithLoss:
    def forward(self, x, t):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.t, self.y = t, e / e.sum(axis=1, keepdims=True)
        return -(t * np.log(self.y)).sum() / len(x)
    def backward(self, dout=1):
        return dout * (self.y - self.t) / len(self.t)
""",
    "params and grads in dicts": """
import numpy as np
class Linear:
    def __init__(self, input_size, output_size):
        rng = np.random.default_rng(3)
        self.params = {"w": rng.standard_normal((input_size, output_size)), "b": np.zeros(output_size)}
        self.grads = {}
    def forward(self, inputs):
        self.inputs = inputs
        return inputs @ self.params["w"] + self.params["b"]
    def backward(self, grad):
        self.grads["b"] = np.sum(grad, axis=0)
        self.grads["w"] = self.inputs.T @ grad
        return grad @ self.params["w"].T
""",
    "features first": """
import numpy as np
def linear_forward(A, W, b):
    return np.dot(W, A) + b, (A, W, b)
def linear_backward(dZ, cache):
    A_prev, W, b = cache
    return np.dot(W.T, dZ), np.dot(dZ, A_prev.T), np.sum(dZ, axis=1, keepdims=True)
def relu_forward(Z):
    return np.maximum(0, Z), Z
def relu_backward(dA, cache):
    dZ = np.array(dA, copy=True)
    dZ[cache <= 0] = 0
    return dZ
""",
    "a ctx that is handed to both": """
import numpy as np
class Mul:
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b
    @staticmethod
    def backward(ctx, d):
        a, b = ctx.saved_values
        return d * b, d * a
""",
    "losses with backward() and derivatives f_prime": """
import numpy as np
class MSE:
    def forward(self, y_pred, y_true):
        self.y_pred, self.y_true = y_pred, y_true
        return np.mean((y_pred - y_true) ** 2)
    def backward(self):
        return 2 * (self.y_pred - self.y_true) / self.y_true.size
def sigmoid(z):
    return 1 / (1 + np.exp(-z))
def sigmoid_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))
""",
}
SLIPS = [
    ("f_forward and f_backward, a cache", "return dout * dx / len(p)", "return dout * dx", "softmax_loss", "factor"),
    ("f_forward and f_backward, a cache", ".T @ dout, dout.sum", ".T @ dout, dout.mean", "affine", "factor"),
    ("classes that keep dW", "self.dW = self.x.T", "self.dW = -self.x.T", "Affine", "sign"),
    ("classes that keep dW", "self.y - self.t", "self.y", "SoftmaxWithLoss", "missing-term"),
    ("params and grads in dicts", "np.sum(grad, axis=0)", "grad", "Linear", "batch-sum"),
    (
        "params and grads in dicts",
        'self.grads["w"] = self.inputs.T @ grad',
        'self.grads["w"] = self.grads.get("w", 0) + self.inputs.T @ grad',
        "Linear",
        "accumulates",
    ),
    ("features first", "np.dot(dZ, A_prev.T)", "np.dot(dZ, A_prev.T) / A_prev.shape[1]", "linear", "factor"),
    ("features first", "dZ = np.array(dA, copy=True)", "dZ = dA", "relu", "mutates-input"),
    ("a ctx that is handed to both", "return d * b, d * a", "return d * a, d * b", "Mul", "transpose"),
    ("losses with backward() and derivatives f_prime", "2 * (self", "(self", "MSE", "factor"),
    ("losses with backward() and derivatives f_prime", "* (1 - sigmoid(z))", "", "sigmoid", "elementwise-factor"),
]


def reports_of(tmp_path, text):
    file = tmp_path / "student.py"
    file.write_text(text)
    return {report.title: report for report in check_file(file)}


@pytest.mark.parametrize("style", STYLES)
def test_right_code_passes_as_it_stands(style, tmp_path):
    reports = reports_of(tmp_path, STYLES[style])
    assert reports
    for report in reports.values():
        assert report.ok, str(report)


@pytest.mark.parametrize(("style", "right", "wrong", "title", "cause"), SLIPS)
def test_one_slip_is_one_finding_in_its_pair(style, right, wrong, title, cause, tmp_path):
    assert right in STYLES[style]
    reports = reports_of(tmp_path, STYLES[style].replace(right, wrong, 1))
    assert [f.cause for f in reports[title].findings] == [cause], str(reports[title])
    assert all(report.ok for name, report in reports.items() if name != title)


PARAMETERS = """
import numpy as np
class Parameter:
    def __init__(self, data):
        self.data, self.grad = data, np.zeros_like(data)
class Linear:
    def __init__(self, n_in, n_out):
        rng = np.random.default_rng(0)
        self.weight, self.bias = Parameter(rng.standard_normal((n_in, n_out))), Parameter(np.zeros(n_out))
    def zero_grad(self):
        self.weight.grad[...] = 0
        self.bias.grad[...] = 0
    def forward(self, x):
        self.x = x
        return x @ self.weight.data + self.bias.data
    def backward(self, dy):
        self.weight.grad += self.x.T @ dy
        self.bias.grad += dy.sum(axis=0)
        return dy @ self.weight.data.T
"""


@pytest.mark.parametrize(
    ("right", "wrong", "inputs", "cause"),
    [
        ("", "", (), ""),
        ("self.bias.grad += dy", "bias_grad = dy", ("bias",), "zero"),
        ("self.x.T @ dy", "self.x.T @ dy / len(dy)", ("weight",), "factor"),
        ("self.weight.grad[...] = 0", "pass", ("weight",), "accumulates"),
    ],
)
def test_parameters_that_hold_their_gradients(tmp_path, right, wrong, inputs, cause):
    """They add up until they are emptied, which is no fault."""
    report = reports_of(tmp_path, PARAMETERS.replace(right, wrong) if right else PARAMETERS)["Linear"]
    assert {row.name for row in report.rows} == {"x", "weight", "bias"}
    assert [(finding.inputs, finding.cause) for finding in report.findings] == ([(inputs, cause)] if cause else [])


def test_a_parameter_without_a_gradient_is_not_passed_over(tmp_path):
    text = PARAMETERS.replace("self.weight.grad +=", "self.sums =").replace("self.bias.grad +=", "self.total =")
    text = text.replace("self.data, self.grad = data, np.zeros_like(data)", "self.data = data")
    text = text.split("    def zero_grad")[0] + "    def forward" + text.split("    def forward")[1]
    report = reports_of(tmp_path, text)["Linear"]
    assert {row.name: row.status for row in report.rows} == {"x": "ok", "weight": "untested", "bias": "untested"}
    assert "weight and bias untested" in report.state


LOSSES = """
import numpy as np
def bce(y_hat, y): return -np.sum(y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat))
def bce_backward(y_hat, y): return -y / y_hat + (1 - y) / (1 - y_hat)
def mse(y_hat, y): return np.mean((y_hat - y) ** 2)
def mse_backward(y_hat, y): return 2 * (y_hat - y) / y.size
def kl(mu, logvar): return -0.5 * np.sum(1 + logvar - mu ** 2 - np.exp(logvar))
def kl_backward(mu, logvar): return mu, 0.5 * (np.exp(logvar) - 1)
class CrossEntropy:
    def forward(self, logits, y):
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        self.p, self.y = e / e.sum(axis=1, keepdims=True), y
        return -np.mean(np.sum(y * np.log(self.p), axis=1))
    def backward(self): return (self.p - self.y) / len(self.y)
class Dense:
    def __init__(self, n_in, n_out):
        self.W, self.b = np.random.randn(n_in, n_out), np.zeros(n_out)
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dout, learning_rate):
        dx = dout @ self.W.T
        self.W -= learning_rate * self.x.T @ dout
        self.b -= learning_rate * dout.sum(axis=0)
        return dx
"""


def test_losses_without_an_upstream_gradient_and_layers_that_take_their_step(tmp_path):
    reports = reports_of(tmp_path, LOSSES)
    assert all(report.ok for report in reports.values()), "\n".join(map(str, reports.values()))
    wrong = LOSSES.replace("return 2 * (y_hat - y)", "return (y_hat - y)").replace(
        "self.x.T @ dout", "2 * self.x.T @ dout"
    )
    findings = {
        title: report.findings[0].cause for title, report in reports_of(tmp_path, wrong).items() if not report.ok
    }
    assert findings == {"mse": "factor", "Dense": "factor"}


def test_the_layout_and_the_convention_are_said(tmp_path):
    reports = reports_of(tmp_path, STYLES["features first"])
    assert "features-first (W @ x)" in reports["linear"].rows[0].note
    slip = STYLES["features first"].replace("np.dot(dZ, A_prev.T)", "np.dot(dZ, A_prev.T) / A_prev.shape[1]")
    assert "leave 1/m out of the loss" not in reports_of(tmp_path, slip)["linear"].findings[0].repair  # dW alone
    both = slip.replace("keepdims=True)", "keepdims=True) / A_prev.shape[1]", 1)
    assert "leave 1/m out of the loss" in reports_of(tmp_path, both)["linear"].findings[0].repair


def test_what_is_not_written_and_what_cannot_be_run_are_counted_apart(tmp_path, capsys):
    text = """
print("this is not for machines")
def square(x): return x * x, x
def square_backward(dy, x): return 2 * dy * x
def blank(x): return x + 1, x
def blank_backward(dy, x): raise NotImplementedError
def empty_forward(x): ...
def empty_backward(dy, cache): ...
def odd(table): return table["key"], None
def odd_backward(dy, cache): return dy
"""
    (tmp_path / "student.py").write_text(text)
    assert main(["gradcheck", str(tmp_path / "student.py")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 checked, none wrong, 2 not written yet, 1 not run"
    assert main(["gradcheck", str(tmp_path / "student.py"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"ok": 1, "not written yet": 2, "not run": 1}
    assert told["exit_code"] == 0
    assert [report["title"] for report in told["reports"]] == ["square", "blank", "empty", "odd"]
    (tmp_path / "student.py").write_text(
        text.split("def blank(")[0].split("def square")[0] + text[text.index("def blank") :]
    )
    assert main(["gradcheck", str(tmp_path / "student.py")]) == 2  # nothing was checked


def test_a_loop_without_end_is_ended(tmp_path, capsys):
    text = """
def slow_forward(x): return x * x, x
def slow_backward(dy, x):
    while True:
        try:
            pass
        except Exception:
            pass
def fine(x): return x * x, x
def fine_backward(dy, x): return 2 * dy * x
"""
    (tmp_path / "student.py").write_text(text)
    assert main(["gradcheck", str(tmp_path / "student.py"), "--timeout", "0.3"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "does a loop there never end?" in printed
    assert "1 checked, none wrong, 1 not run" in printed


def test_a_layer_is_left_as_it_was(tmp_path):
    """The parameters that a file's own objects hold are copied, and the shared generators put back."""
    before = np.random.get_state()[1].tolist()  # noqa: NPY002  what is looked at is that nobody else uses it
    text = STYLES["classes that keep dW"] + "np.random.seed(4)\nlayer = Affine(np.ones((4, 3)), np.zeros(3))\n"
    assert all(report.ok for report in reports_of(tmp_path, text).values())
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


NUMBERS = """
import numpy as np
class PReLU:
    def __init__(self):
        self.alpha = 0.25
    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.alpha * x)
    def backward(self, dy):
        self.dalpha = np.sum(dy * (self.x <= 0) * self.x)
        return dy * np.where(self.x > 0, 1, self.alpha)
class Scaled:
    def __init__(self, n):
        self.params, self.grads = {"g": np.array(1.0), "b": 0.5}, {}
    def forward(self, x):
        self.x = x
        return self.params["g"] * x + self.params["b"]
    def backward(self, dy):
        self.grads = {"g": (dy * self.x).sum(), "b": dy.sum()}
        return dy * self.params["g"]
class Step:
    def __init__(self):
        self.b = 0.0
    def forward(self, x):
        return x + self.b
    def backward(self, dy, learning_rate):
        self.b -= learning_rate * dy.sum()
        return dy
"""


@pytest.mark.parametrize(
    ("right", "wrong", "inputs"),
    [
        ("(self.x <= 0)", "2 * (self.x <= 0)", ("alpha",)),
        ('"b": dy.sum()', '"b": dy.mean()', ("b",)),
        ('"g": (dy * self.x).sum()', '"g": dy.sum()', ("g",)),
        ("learning_rate * dy.sum()", "learning_rate * dy.mean()", ("b",)),
    ],
)
def test_a_parameter_may_be_a_plain_number(tmp_path, right, wrong, inputs):
    path = tmp_path / "numbers.py"
    path.write_text(NUMBERS)
    assert [report.ok for report in check_file(path)] == [True] * 3
    path.write_text(NUMBERS.replace(right, wrong))
    ((finding,),) = (report.findings for report in check_file(path) if report.findings)
    assert finding.inputs == inputs


NO_UPSTREAM = """
import numpy as np
class SoftmaxWithLoss:
    def forward(self, inputs, y_true):
        e = np.exp(inputs - inputs.max(axis=1, keepdims=True))
        self.output = e / e.sum(axis=1, keepdims=True)
        return -np.log(self.output[range(len(inputs)), y_true]).mean()
    def backward(self, dvalues, y_true):
        self.dinputs = dvalues.copy()
        self.dinputs[range(len(dvalues)), y_true] -= 1
        self.dinputs = self.dinputs / len(dvalues)
def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()
def softmax_derivative(z):
    s = softmax(z)
    return np.diag(s) - np.outer(s, s)
def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))
def cosine_backward(dy, a, b):
    c = cosine(a, b)
    root = np.sqrt((a @ a) * (b @ b))
    return dy * (b / root - c * a / (a @ a)), dy * (a / root - c * b / (b @ b))
"""
NETWORK = """
class Network:
    def __init__(self, n):
        self.W = np.ones((n, 3))
    def forward(self, x):
        self.x, self.y = x, x @ self.W
        return self.y, self.y**2
    def backward(self):
        self.dW = self.x.T @ (self.y - 1)
"""


def test_what_is_handed_to_a_backward_that_takes_no_upstream(tmp_path):
    """nnfs hands the shares back; a derivative may be a Jacobian; and of a network the loss is not known."""
    path = tmp_path / "alone.py"
    path.write_text(NO_UPSTREAM + NETWORK)
    loss, softmax, cosine, network = check_file(path)
    assert loss.ok, str(loss)
    assert softmax.ok, str(softmax)
    assert cosine.ok, str(cosine)
    assert "of which loss" in network.rows[0].note
    for right, wrong in [("/ len(dvalues)", "* 1"), ("np.diag(s) - ", "np.diag(s) + "), ("* a /", "* b /")]:
        path.write_text(NO_UPSTREAM.replace(right, wrong))
        assert len([report for report in check_file(path) if report.findings]) == 1, wrong


LOSS_DATA = """
import numpy as np
def surrogate(logp, logp_old, adv, weights, clip=0.2):
    r = np.exp(logp - logp_old)
    low, high = r * adv, np.clip(r, 1 - clip, 1 + clip) * adv
    return -(weights * np.minimum(low, high)).mean(), (r, adv, weights, low <= high)
def surrogate_backward(dy, cache):
    r, adv, weights, use = cache
    return -dy * weights * use * r * adv / r.size
def vae_loss(x, x_hat, mu, prior_mu):
    return ((x - x_hat) ** 2).sum() + 0.5 * ((mu - prior_mu) ** 2).sum(), (x, x_hat, mu, prior_mu)
def vae_loss_backward(dy, cache):
    x, x_hat, mu, prior_mu = cache
    dx_hat = 2 * dy * (x_hat - x)
    return dx_hat, dy * (mu - prior_mu)
def logistic(x, W, b, t):
    p = 1 / (1 + np.exp(-(x @ W + b)))
    return -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p)), (x, W, p, t)
def logistic_backward(dy, cache):
    x, W, p, t = cache
    d = dy * (p - t) / p.size
    return d @ W.T, x.T @ d, d.sum(axis=0)
"""
GIVEN = """
a, b = np.random.default_rng(0).uniform(0.2, 0.8, (2, 5))
examples = {"surrogate": {"logp": a, "logp_old": b, "adv": a - b, "weights": a + b}}
"""


@pytest.mark.parametrize("more", ["", GIVEN])
def test_data_beside_a_prediction_are_no_inputs_of_a_loss(tmp_path, more):
    """Old probabilities, advantages, weights of the samples: nobody trains them. Parameters are asked for as ever."""
    reports = reports_of(tmp_path, LOSS_DATA + more)
    assert all(report.ok for report in reports.values()), "\n".join(map(str, reports.values()))
    assert [[row.name for row in report.rows] for report in reports.values()] == [
        ["logp"],
        ["x_hat", "mu"],
        ["x", "W", "b"],
    ]
    for right, wrong, title, inputs, cause in [
        ("-dy * weights", "dy * weights", "surrogate", ("logp",), "sign"),
        ("2 * dy * (x_hat", "dy * (x_hat", "vae_loss", ("x_hat",), "factor"),
        ("d @ W.T, x.T @ d, d.sum(axis=0)", "d @ W.T, x.T @ d", "logistic", ("b",), "zero"),
        ("d @ W.T, x.T @ d, d.sum(axis=0)", "{'x': d @ W.T, 'b': d.sum(axis=0)}", "logistic", ("W",), "zero"),
    ]:
        assert right in LOSS_DATA
        (finding,) = reports_of(tmp_path, LOSS_DATA.replace(right, wrong) + more)[title].findings
        assert (finding.inputs, finding.cause) == (inputs, cause)


KEPT = """
import numpy as np
def squares(p, t):
    err = p - t
    return np.mean(err**2), err
def squares_backward(dloss, err):
    return dloss * 2 * err / len(err)
def logistic(z, y):
    p = 1 / (1 + np.exp(-z))
    return -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)), p - y
def logistic_backward(dloss, delta):
    return dloss * delta
"""


def test_what_a_forward_keeps_is_no_upstream_and_a_loss_that_counts_rows_is_for_vectors(tmp_path):
    reports = reports_of(tmp_path, KEPT)
    assert all(report.ok for report in reports.values()), "\n".join(map(str, reports.values()))
    assert "vectors" in reports["squares"].rows[0].note or "(6,)" in reports["squares"].rows[0].note
    (finding,) = reports_of(tmp_path, KEPT.replace(" / len(err)", ""))["squares"].findings
    assert finding.cause == "factor"


SHAPES = """
import numpy as np
def turn(p, theta, t):
    # p (N, 2) points, theta angle, t (2,)
    c, s = np.cos(theta), np.sin(theta)
    R = np.array([[c, s], [-s, c]])
    return p @ R + t, (p, R, c, s)
def turn_backward(dy, cache):
    p, R, c, s = cache
    return dy @ R.T, np.sum(dy * (p @ np.array([[-s, c], [-c, -s]]))), dy.sum(axis=0)
def loud(x, gain_db):
    k = 10 ** (gain_db / 20)
    return k * x, (x, k)
def loud_backward(dy, cache):
    x, k = cache
    return k * dy, np.sum(dy * x) * k * np.log(10) / 20
def soften(logits, T):
    e = np.exp(logits / T)
    return e.sum(), (logits, T, e)
def soften_backward(dy, cache):
    logits, T, e = cache
    return dy * e / T, -dy * (e * logits).sum() / T**2
def rms(x, g):
    k = 1 / np.sqrt((x * x).mean(axis=1, keepdims=True))
    return g * x * k, (x, g, k)
def rms_backward(dy, cache):
    x, g, k = cache
    dn = dy * g
    return k * dn - x * k**3 * (dn * x).mean(axis=1, keepdims=True), (dy * x * k).sum(axis=0)
def center(x, weight, bias):
    n = x - x.mean(axis=1, keepdims=True)
    return n * weight + bias, (n, weight)
def center_backward(dy, cache):
    n, weight = cache
    dn = dy * weight
    return dn - dn.mean(axis=1, keepdims=True), (dy * n).sum(axis=0), dy.sum(axis=0)
def mixed(A, x, b):
    return A @ x + b, (A, x)
def mixed_backward(dy, cache):
    A, x = cache
    return np.outer(dy, x), A.T @ dy, dy
def ode(y0, W):
    return y0 + np.tanh(y0 @ W), (y0, W)
def ode_backward(dy, cache):
    y0, W = cache
    d = dy * (1 - np.tanh(y0 @ W) ** 2)
    return dy + d @ W.T, y0.T @ d
def pulls(pos, charge):
    U = 0.0
    for i in range(len(charge)):
        for j in range(i):
            U += charge[i] * charge[j] * ((pos[i] - pos[j]) ** 2).sum()
    return U, (pos, charge)
def pulls_backward(dU, cache):
    pos, charge = cache
    dp, dq = np.zeros_like(pos), np.zeros_like(charge)
    for i in range(len(charge)):
        for j in range(i):
            d, q = pos[i] - pos[j], charge[i] * charge[j]
            dq[i] += dU * charge[j] * (d**2).sum()
            dq[j] += dU * charge[i] * (d**2).sum()
            dp[i] += 2 * dU * q * d
            dp[j] -= 2 * dU * q * d
    return dp, dq
"""


def test_shapes_that_are_told_or_that_the_gradients_have(tmp_path):
    reports = reports_of(tmp_path, SHAPES)
    assert all(report.ok for report in reports.values()), "\n".join(map(str, reports.values()))
    for right, wrong, title, inputs in [
        ("np.sum(dy * (p", "-np.sum(dy * (p", "turn", ("theta",)),
        ("k * np.log(10)", "k * np.log(20)", "loud", ("gain_db",)),
        ("-dy * (e", "dy * (e", "soften", ("T",)),
        ("(dy * x * k).sum(axis=0)", "3 * (dy * x * k).sum(axis=0)", "rms", ("g",)),
        ("(dy * n).sum(axis=0)", "-(dy * n).sum(axis=0)", "center", ("weight",)),
        ("dp[j] -=", "dp[j] +=", "pulls", ("pos",)),
    ]:
        assert right in SHAPES
        (finding,) = reports_of(tmp_path, SHAPES.replace(right, wrong))[title].findings
        assert finding.inputs == inputs, str(finding)


def test_examples_may_be_tuples_and_targets_any_shape(tmp_path):
    text = """
import numpy as np
def scaled(x, w): return x * w, (x, w)
def scaled_backward(dy, cache): return dy * cache[1], (dy * cache[0]).sum(axis=0)
class Square:
    def forward(self, x):
        self.x = x
        return x * x
    def backward(self, dy): return 2 * dy * self.x
def chosen(q, a, target):
    e = q[np.arange(len(a)), a] - target
    return 0.5 * (e**2).mean(), (q, a, e)
def chosen_backward(dy, cache):
    q, a, e = cache
    d = np.zeros_like(q)
    d[np.arange(len(a)), a] = dy * e / len(e)
    return d
def table(ids, rows): return rows[ids], (ids, rows)
def table_backward(dy, cache):
    g = np.zeros_like(cache[1])
    np.add.at(g, cache[0], dy)
    return g
def gauss(mean, log_std, action):
    z = (action - mean) * np.exp(-log_std)
    return (0.5 * z**2 + log_std).sum(axis=1), (z, log_std)
def gauss_backward(dy, cache):
    z, log_std = cache
    d = dy[:, None] * np.exp(-log_std) * z
    return -d, dy[:, None] * (1 - z**2), d
examples = {"scaled": (np.ones((2, 3)), np.array([1.0, 2, 3])), "Square": (np.array([[1.0, 2]]),)}
"""
    reports = reports_of(tmp_path, text)
    assert all(report.ok for report in reports.values()), "\n".join(map(str, reports.values()))


def test_a_reason_that_takes_too_long_does_not_take_the_verdict_with_it(tmp_path, monkeypatch):
    def endless(*given):
        while True:
            pass

    monkeypatch.setattr(check, "explain", endless)
    path = tmp_path / "student.py"
    path.write_text("def square(x): return x * x, x\ndef square_backward(dy, x): return dy * x\n")
    (report,) = check_file(path, seconds=3.0)
    assert not report.ok
    (finding,) = report.findings
    assert (finding.cause, finding.message) == ("unknown", "dx: wrong, and no reason was found in time")


TWO_LAYERS = """
import numpy as np
class Affine:
    def __init__(self, W, b): self.W, self.b = W, b
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dout):
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T
class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y
    def backward(self, dout): return dout * (1 - self.y ** 2)
class Net:
    def __init__(self):
        r = np.random.RandomState(0)
        self.params = {"W1": r.randn(4, 5), "b1": r.randn(5), "W2": r.randn(5, 3), "b2": r.randn(3)}
        self.grads = {}
    def forward(self, x):
        p = self.params
        self.first, self.act, self.last = Affine(p["W1"], p["b1"]), Tanh(), Affine(p["W2"], p["b2"])
        return self.last.forward(self.act.forward(self.first.forward(x)))
    def backward(self, dout):
        dx = self.first.backward(self.act.backward(self.last.backward(dout)))
        self.grads = {"W1": self.first.dW, "b1": self.first.db, "W2": self.last.dW, "b2": self.last.db}
        return dx
r = np.random.RandomState(1)
examples = {"Affine": {"W": r.randn(3, 2), "b": r.randn(2), "x": r.randn(4, 3)}, "Net": {"x": r.randn(6, 4)}}
"""


def test_a_network_of_layers_may_have_a_slip_of_its_own_or_one_of_its_layers(tmp_path):
    """Its backward is called as theirs are. What its examples call W is for the constructor of Affine."""
    assert all(report.ok for report in reports_of(tmp_path, TWO_LAYERS).values())
    skips = TWO_LAYERS.replace("self.act.backward(self.last.backward(dout))", "self.last.backward(dout)")
    *layers, net = reports_of(tmp_path, skips).values()
    assert all(report.ok for report in layers)
    assert len(net.findings) == 1
    inherits = TWO_LAYERS.replace("1 - self.y ** 2", "1 - self.y")
    affine, tanh, net = reports_of(tmp_path, inherits).values()
    assert affine.ok
    assert len(tanh.findings) == 1
    assert not net.ok
    assert not net.findings
    assert any("may follow from what Tanh does" in row.note for row in net.rows)


GRAPH = """
import numpy as np
class GraphLayer:
    def forward(self, H, W, A):
        self.H, self.W, self.S = H, W, A / A.sum(axis=1, keepdims=True)
        return self.S @ H @ W
    def backward(self, grad):
        G = self.S.T @ grad
        return G @ self.W.T, self.H.T @ G
r = np.random.RandomState(0)
examples = {"GraphLayer": {"H": r.randn(4, 3), "W": r.randn(3, 2), "A": np.eye(4) + r.rand(4, 4)}}
"""


def test_gradients_belong_to_what_has_their_shapes_and_data_without_one_are_untested(tmp_path):
    (report,) = reports_of(tmp_path, GRAPH).values()
    assert report.ok, str(report)
    assert {row.name: row.status for row in report.rows} == {"H": "ok", "W": "ok", "A": "untested"}
    forgotten = GRAPH.replace("return G", "dA = grad @ (self.H @ self.W).T\n        return G")
    (report,) = reports_of(tmp_path, forgotten).values()
    assert [finding.cause for finding in report.findings] == ["zero"]  # it is computed, and not returned


RECURRENT = """
import numpy as np
class Recurrent:
    def __init__(self, D=3, H=5):
        r = np.random.RandomState(0)
        self.Wx, self.Wh, self.b = r.randn(D, H), r.randn(H, H), r.randn(H)
    def forward(self, x):
        T, N, D = x.shape
        self.x, self.h = x, np.zeros((T + 1, N, self.b.size))
        for t in range(T):
            self.h[t + 1] = np.tanh(x[t] @ self.Wx + self.h[t] @ self.Wh + self.b)
        return self.h[1:].copy()
    def backward(self, dh):
        self.dWx, self.dWh, self.db = np.zeros_like(self.Wx), np.zeros_like(self.Wh), np.zeros_like(self.b)
        dx, after = np.zeros_like(self.x), np.zeros_like(dh[0])
        for t in reversed(range(len(dh))):
            dz = (dh[t] + after) * (1 - self.h[t + 1] ** 2)
            self.dWx += self.x[t].T @ dz
            self.dWh += self.h[t].T @ dz
            self.db += dz.sum(axis=0)
            dx[t], after = dz @ self.Wx.T, dz @ self.Wh.T
        return dx
"""


def test_sequences_are_as_wide_as_the_matrices_of_the_layer(tmp_path):
    (report,) = reports_of(tmp_path, RECURRENT).values()
    assert report.ok, str(report)
    (report,) = reports_of(tmp_path, RECURRENT.replace("(dh[t] + after)", "dh[t]")).values()
    assert len(report.findings) == 1


NAMELESS = """
import numpy as np
def decoder_forward(z, V1, c1, V2, c2):
    h = np.maximum(z.dot(V1) + c1, 0)
    return h.dot(V2) + c2, (z, h, V1, V2)
def decoder_backward(dy, cache):
    z, h, V1, V2 = cache
    da = dy.dot(V2.T)
    da[h <= 0] = 0
    return da.dot(V1.T), z.T.dot(da), da.sum(axis=0), h.T.dot(dy), dy.sum(axis=0)
def words_forward(signal, first, shift, second, offset):
    h = np.tanh(signal @ first + shift)
    return h @ second + offset, (signal, h, first, second)
def words_backward(dy, cache):
    x, h, first, second = cache
    da = dy @ second.T * (1 - h * h)
    return da @ first.T, x.T @ da, da.sum(axis=0), h.T @ dy, dy.sum(axis=0)
def columns_forward(z, V1, c1, V2, c2):
    h = np.maximum(0, np.dot(V1, z) + c1)
    return V2.dot(h) + c2, (z, h, V1, V2)
def columns_backward(dy, cache):
    z, h, V1, V2 = cache
    da = V2.T.dot(dy)
    da[h <= 0] = 0
    dc1, dc2 = da.sum(axis=1, keepdims=True), dy.sum(axis=1, keepdims=True)
    return V1.T.dot(da), da.dot(z.T), dc1, dy.dot(h.T), dc2
def heads_forward(x, P, p, M, m, L, l):
    h = np.maximum(x @ P + p, 0)
    return h @ M + m, h @ L + l, (x, h, P, M, L)
def heads_backward(dmu, dlogvar, cache):
    x, h, P, M, L = cache
    da = dmu @ M.T + dlogvar @ L.T
    da[h <= 0] = 0
    return da @ P.T, x.T @ da, da.sum(axis=0), h.T @ dmu, dmu.sum(axis=0), h.T @ dlogvar, dlogvar.sum(axis=0)
def skip_forward(x, A, a, B, b):
    h = np.tanh(x @ A + a)
    return x + h @ B + b, (x, h, A, B)
def skip_backward(dy, cache):
    x, h, A, B = cache
    da = dy @ B.T * (1 - h * h)
    return dy + da @ A.T, x.T @ da, da.sum(axis=0), h.T @ dy, dy.sum(axis=0)
def tied_forward(x, V, c, d):
    h = np.tanh(x.dot(V) + c)
    return h.dot(V.T) + d, (x, V, h)
def tied_backward(dy, cache):
    x, V, h = cache
    da = dy.dot(V) * (1 - h * h)
    return da.dot(V.T), x.T.dot(da) + dy.T.dot(h), da.sum(axis=0), dy.sum(axis=0)
class Decoder:
    def __init__(self, V1, c1, V2, c2):
        self.V1, self.c1, self.V2, self.c2 = V1, c1, V2, c2
    def forward(self, z):
        self.z = z
        self.h = np.maximum(z.dot(self.V1) + self.c1, 0)
        return self.h.dot(self.V2) + self.c2
    def backward(self, dy):
        da = dy.dot(self.V2.T)
        da[self.h <= 0] = 0
        self.dV2, self.dc2, self.dV1, self.dc1 = self.h.T.dot(dy), dy.sum(axis=0), self.z.T.dot(da), da.sum(axis=0)
        return da.dot(self.V1.T)
"""


def test_shapes_follow_from_the_products_where_the_names_say_nothing(tmp_path):
    reports = reports_of(tmp_path, NAMELESS)
    assert {title: (report.ok, len(report.rows)) for title, report in reports.items()} == {
        "decoder": (True, 5),
        "words": (True, 5),
        "columns": (True, 5),
        "heads": (True, 7),
        "skip": (True, 5),
        "tied": (True, 4),
        "Decoder": (True, 5),
    }


@pytest.mark.parametrize(("slip", "cause"), [("sum(axis=1)", "shape"), ("mean(axis=0)", "factor")])
def test_the_slip_is_found_in_its_bias_where_the_names_say_nothing(tmp_path, slip, cause):
    wrong = NAMELESS.replace("da.sum(axis=0)", f"da.{slip}")
    found = {title: report.findings for title, report in reports_of(tmp_path, wrong).items() if report.findings}
    assert {title: [(f.inputs, f.cause) for f in findings] for title, findings in found.items()} == {
        title: [((name,), cause)]
        for title, name in zip(
            ("decoder", "words", "heads", "skip", "tied", "Decoder"), ("c1", "shift", "p", "a", "c", "c1"), strict=True
        )
    }


WIDE = """
import numpy as np
class Dense:
    def __init__(self, n_in=3, n_out=2):
        self.params = {"W": np.random.default_rng(0).normal(size=(n_in, n_out)), "b": np.zeros(n_out)}
        self.grads = {name: np.zeros_like(a) for name, a in self.params.items()}
    def zero_grad(self):
        for g in self.grads.values():
            g[...] = 0
    def forward(self, x):
        self.x = x
        return x @ self.params["W"] + self.params["b"]
    def backward(self, dy):
        self.grads["W"] += self.x.T @ dy
        self.grads["b"] += dy.sum(axis=0)
        return dy @ self.params["W"].T
class FirstAxis:
    def __init__(self):
        self.W = np.random.default_rng(0).normal(size=(2, 7))
    def forward(self, x):
        self.x = x
        return self.W @ x
    def backward(self, dy):
        self.dW = dy @ self.x.T
        return self.W.T @ dy
class Gated:
    def __init__(self, n_in, n_h):
        r = np.random.default_rng(1)
        self.Wz, self.Wn = r.normal(size=(n_in, n_h)), r.normal(size=(n_in, n_h))
        self.Uz, self.Un = r.normal(size=(n_h, n_h)), r.normal(size=(n_h, n_h))
    def forward(self, x, h):
        z = 1 / (1 + np.exp(-(x @ self.Wz + h @ self.Uz)))
        n = np.tanh(x @ self.Wn + h @ self.Un)
        self.cache = x, h, z, n
        return (1 - z) * n + z * h
    def backward(self, dy):
        x, h, z, n = self.cache
        dn, dz = dy * (1 - z) * (1 - n * n), dy * (h - n) * z * (1 - z)
        self.dWz, self.dWn, self.dUz, self.dUn = x.T @ dz, x.T @ dn, h.T @ dz, h.T @ dn
        return dz @ self.Wz.T + dn @ self.Wn.T, dy * z + dz @ self.Uz.T + dn @ self.Un.T
class Cell(Gated):
    pass
class NarrowCell(Gated):
    def __init__(self, n_in=5, n_h=2):
        super().__init__(n_in, n_h)
"""


def test_inputs_and_states_are_as_wide_as_what_a_layer_holds(tmp_path):
    reports = reports_of(tmp_path, WIDE)
    assert {title: {row.name for row in report.rows} for title, report in reports.items()} == {
        "Dense": {"x", "W", "b"},
        "FirstAxis": {"x", "W"},
        "Cell": {"x", "h", "Wz", "Wn", "Uz", "Un"},
        "NarrowCell": {"x", "h", "Wz", "Wn", "Uz", "Un"},
    }
    assert all(row.status == "ok" for report in reports.values() for row in report.rows), reports
    wrong = reports_of(tmp_path, WIDE.replace("h.T @ dz, h.T @ dn", "h.T @ dz, 2 * h.T @ dn"))
    assert {title: report.findings[0].inputs for title, report in wrong.items() if report.findings} == {
        "Cell": ("Un",),
        "NarrowCell": ("Un",),
    }


DIVIDED = """
import numpy as np
def square(x):
    return x * x, x
def square_backward(dy, x):
    return 2 * dy * x / N(x)
def times(x):
    return len(x) * x * x, x
def times_backward(dy, x):
    return len(x) * 2 * dy * x / N(x)
def linear_forward(x, W, b):
    return x @ W + b, (x, W, b)
def linear_backward(dy, cache):
    x, W, b = cache
    return dy @ W.T, x.T @ dy / N(x), dy.sum(axis=0) / N(x)
class Linear:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dy):
        self.dW, self.db = self.x.T @ dy / N(self.x), dy.sum(axis=0) / N(self.x)
        return dy @ self.W.T
"""


@pytest.mark.parametrize("n", [4, 5, 6, 12])
def test_a_number_in_the_code_is_not_taken_for_a_length(tmp_path, n):
    """It is the same in other sizes."""
    for report in reports_of(tmp_path, DIVIDED.replace("N(x)", f"{n}").replace("N(self.x)", f"{n}")).values():
        (finding,) = report.findings
        assert finding.factor == pytest.approx(n)
        for claim in ("rows", "entries", "columns", "1/m", "/12", "/20"):
            assert claim not in (finding.message + finding.repair).replace("1/12", ""), finding


def test_what_divides_by_the_rows_is_told_as_that(tmp_path):
    for report in reports_of(tmp_path, DIVIDED.replace("N(", "len(")).values():
        (finding,) = report.findings
        assert f"the batch has {report.rows[0].shape[0]} rows" in finding.message
        assert ("put 1/m into the loss" in finding.repair) == (len(report.rows[0].shape) > 1)


def test_the_arguments_in_other_sizes_are_of_the_same_kind():
    layout = LAYOUTS[0]
    call = {"x": np.full((5, 4), 0.5), "ids": np.arange(5) % 3, "t": np.eye(3)[[0, 1, 2, 0, 1]], "n": 4, "on": True}
    made = in_other_sizes(Made(layout, {"n_out": 3, "shape": (5, 4)}, call), {4.0})
    assert made.init == {"n_out": 11, "shape": (7, 14)}
    assert {name: np.shape(a) for name, a in made.call.items()} == {
        "x": (7, 14),
        "ids": (7,),
        "t": (7, 11),
        "n": (),
        "on": (),
    }
    assert made.call["n"] == 14
    assert made.call["on"] is True
    assert (made.call["t"].sum(axis=1) == 1).all()
    assert set(made.call["ids"]) == {0, 1, 2}
    assert len(np.unique(made.call["x"])) == 98  # no ties, which would be kinks of a maximum
    assert np.shape(in_other_sizes(Made(layout, {}, call), {5.0}).call["x"]) == (7, 4)
    assert in_other_sizes(Made(None, {}, call), {5.0}) is None
