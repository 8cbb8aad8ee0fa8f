"""The benchmarks run, write what they say, and compare like with like; how fast anything is, they say themselves."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from scratchvae.layers import Params

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
OURS = ["step.py", "--only", "ours", "products", "--hidden=8", "--batch=4", "--rounds=3", "--steps=2", "--threads=1"]


def run(*argv, folder):
    """The results of a benchmark as JSON, and its page."""
    command = [sys.executable, str(BENCHMARKS / argv[0]), *argv[1:], f"--out={folder / 'speed'}"]
    env = {**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)}  # this checkout, whatever is installed
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    page = (folder / "speed.md").read_text()
    assert page in done.stdout
    assert str(folder) not in page.split("\n    python ")[0]  # the command repeats what was typed; nothing else does
    results = json.loads((folder / "speed.json").read_text())
    assert {"command", "date", "machine", "load"} <= results.keys()
    return results, page


@pytest.fixture
def digits(tmp_path, rng):
    """A data set that is quickly trained on."""
    file = tmp_path / "noise.npz"
    np.savez(
        file, x_train=rng.integers(0, 256, (300, 28, 28), np.uint8), x_test=rng.integers(0, 256, (9, 28, 28), np.uint8)
    )
    return str(file)


@pytest.fixture
def benchmark_modules(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_step_times_every_round_and_takes_ratios_round_by_round(tmp_path):
    results, page = run(*OURS, folder=tmp_path)
    raced = results["1 threads"]
    ours, products = (raced["seconds"][name]["wall"] for name in ("ours", "products"))
    assert len(ours) == len(products) == 3
    assert min(ours + products) > 0
    assert raced["ratio"]["products"]["wall"] == pytest.approx(np.median(np.divide(ours, products)))
    assert f"{raced['ratio']['products']['wall']:.3f} of the products (at most 1.6: " in page


def test_a_target_missed_is_said_to_be_missed(benchmark_modules):
    from report import verdict
    from step import targets

    assert verdict(1.61, 1.6) == "at most 1.6: NOT reached"
    ratios = {"eager": 0.7, "fused": 1.2, "compiled": 0.9, "products": 1.6}
    lines = targets({name: {"wall": ratio} for name, ratio in ratios.items()}).splitlines()
    assert [line.endswith(": reached)") for line in lines] == [True, False, True]  # 1.2: the fastest PyTorch


class Recorder(np.ndarray):
    """An array whose matrix products are written down: shapes, and whether each operand is transposed."""

    seen: ClassVar[list] = []

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **keywords):
        plain = [np.asarray(a) for a in inputs]
        if ufunc is np.matmul:
            self.seen.append([(a.shape, a.flags.c_contiguous) for a in plain])
        if out is not None:
            keywords["out"] = tuple(np.asarray(a) for a in out)
        result = np.asarray(getattr(ufunc, method)(*plain, **keywords))
        return result.view(Recorder) if out is None else out[0]


def test_the_products_are_those_of_the_step(benchmark_modules):
    from vae_step import matrix_products, training_step

    def cells(f):
        return dict(zip(f.__code__.co_freevars, f.__closure__, strict=True))

    Recorder.seen.clear()
    products = matrix_products(B=4, H=7, Z=3)
    for cell in cells(products).values():
        cell.cell_contents = cell.cell_contents.view(Recorder)
    products()
    alone = list(Recorder.seen)

    Recorder.seen.clear()
    step = training_step(B=4, H=7, Z=3)
    vae = cells(step)["vae"].cell_contents
    for layer in (*vae.encoder.layers.values(), *vae.heads.values(), *vae.decoder.layers.values(), vae.logits):
        layer.params = Params({name: p.view(Recorder) if name == "W" else p for name, p in layer.params.items()})
    step()
    assert len(alone) == 14
    assert sorted(alone) == sorted(Recorder.seen)


def test_other_benchmarks_run(tmp_path, digits):
    sizes = run("sweep.py", "--largest=16", "--rounds=1", folder=tmp_path)[0]["sizes"]
    assert [(size["batch"], size["hidden"]) for size in sizes] == [(16, 16)]
    epoch, _ = run("epoch.py", "--only", "ours", f"--data={digits}", "--rounds=2", folder=tmp_path)
    assert len(epoch["seconds"]["ours"]["wall"]) == 2
    memory, _ = run("memory.py", f"--data={digits}", folder=tmp_path)
    assert memory["megabytes"]["numpy"] <= memory["megabytes"]["data"] <= memory["megabytes"]["fit"]
    startup, _ = run("startup.py", "--rounds=1", folder=tmp_path)
    assert startup["milliseconds"]["numpy"][0] > 0
    threads, _ = run("threads.py", f"--data={digits}", "--rounds=1", folder=tmp_path)
    assert len(threads) == 6
    busy, page = run("busy.py", f"--data={digits}", "--rounds=1", "--epochs=1", folder=tmp_path)
    (idle_seconds, busy_seconds), ratio = busy["seconds"][0], busy["busy over idle"][0]
    assert ratio == busy_seconds / idle_seconds
    assert f"{ratio:.2f} of the time on the machine as it is (at most 1.3: " in page


def test_latent_space_compares_four_models_seed_by_seed(tmp_path):
    results, page = run("latent_space.py", "--seeds=2", "--epochs=1", "--images=300", folder=tmp_path)
    values = results["values"]
    assert set(values) == {"neither", "noise alone", "KL alone", "both"}
    less = np.subtract(values["both"]["jitter"], values["neither"]["jitter"])
    assert f"{less.mean():.1f} ± {abs(less[0] - less[1]) / 2:.1f} | " in page  # of two values: half their distance


def test_warmup_takes_the_gain_pair_by_pair_and_goes_on_with_one_run(tmp_path):
    short = ["--seeds=2", "--images=300", "--settings", "usual"]
    results, page = run("warmup.py", *short, "--lengths", "4", "5", folder=tmp_path)
    assert results["lengths"] == [4, 5]
    without, with_it = (np.array(results["values"]["usual"][arm]["elbo"]) for arm in ("without", "with"))
    gains = with_it - without  # (seeds, lengths)
    for length, (a, b) in zip((4, 5), gains.T, strict=True):
        assert re.search(
            rf"^\| {length} \|[^|]*\| {re.escape(f'{(a + b) / 2:.2f} ± {abs(a - b) / 2:.2f}')} \|", page, re.M
        )
    alone, _ = run("warmup.py", *short, "--lengths", "5", folder=tmp_path)  # measured once, at its end
    assert np.isclose(alone["values"]["usual"]["without"]["elbo"], without[:, 1:]).all()


def test_lines_names_the_lines_that_cost(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "lines.py"), "--steps=3", "--lines=5"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "y = x @ W" in done.stdout
    assert "layers.py" in done.stdout


def test_pytorch_computes_the_same(benchmark_modules, rng):
    torch = pytest.importorskip("torch")
    from torch_vae import TorchVAE, require_the_same
    from vae_step import build, images

    ours, x = build(H=30, Z=5), images(8, 1)[0]
    theirs, eps = TorchVAE(ours), ours.draw_eps(8, rng)
    require_the_same(ours, theirs, x, eps)
    with torch.no_grad():
        theirs.logvar.bias += 0.01
    with pytest.raises(SystemExit, match=r"the losses should be the same to 0\.001 nats, and are"):
        require_the_same(ours, theirs, x, eps)
