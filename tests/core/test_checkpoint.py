"""A run on disk: all of it or nothing, the same bytes for the same run, and nothing foreign is ever believed."""

import errno
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from scratchvae import (
    SGD,
    VAE,
    Adagrad,
    Adam,
    Autoencoder,
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    fit,
    load_checkpoint,
    save_checkpoint,
)
from scratchvae import run_folder as run_folder_module
from scratchvae.checkpoint import CheckpointError


def trained(out=None, model_class=VAE, optimizer=None, epochs=2, **how):
    rng = np.random.default_rng(7)
    x = rng.integers(0, 256, size=(20, 16), dtype=np.uint8)
    model = model_class(16, how.pop("n_hidden", (6,)), 2, rng=rng, **how)
    optimizer = optimizer or Adam()
    history = fit(model, x, x[:5], epochs=epochs, optimizer=optimizer, rng=rng, batch_size=8, out=out, progress=False)
    return model, optimizer, rng, history


@pytest.fixture(scope="module")
def run_of_two_epochs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    trained(folder)
    return folder


@pytest.fixture
def file(tmp_path, run_of_two_epochs):
    """A checkpoint in a run folder, for a test to spoil."""
    return shutil.copytree(run_of_two_epochs, tmp_path / "run") / "checkpoint.npz"


def same_arrays(one, other):
    return one.keys() == other.keys() and all(
        one[k].dtype == other[k].dtype and np.array_equal(one[k], other[k]) for k in one
    )


@pytest.mark.parametrize("model_class", [VAE, Autoencoder])
@pytest.mark.parametrize("optimizer", [SGD(0.01, momentum=0.5), Adagrad(0.02, tiny=1e-6), Adam(0.003, beta1=0.8)])
@pytest.mark.parametrize(
    "how",
    [
        {"likelihood": Bernoulli(), "activation": "relu", "n_hidden": (6,)},
        {"likelihood": Gaussian(0.25), "activation": "tanh", "n_hidden": (6, 5), "dtype": "float64"},
        {"likelihood": ContinuousBernoulli(), "activation": "softplus", "n_hidden": ()},
    ],
)
def test_everything_comes_back(tmp_path, model_class, optimizer, how):
    optimizer.state, optimizer.steps = {}, 0
    model, optimizer, rng, history = trained(tmp_path, model_class, optimizer, **how)
    for path in (tmp_path, str(tmp_path), tmp_path / "checkpoint.npz"):
        got = load_checkpoint(path)
        assert type(got.model) is model_class
        assert got.model.config == got.config["model"] == model.config
        assert same_arrays(got.model.params, model.params)
        assert type(got.optimizer) is type(optimizer)
        assert (got.optimizer.config, got.optimizer.lr) == (optimizer.config, optimizer.lr)
        assert got.optimizer.steps == optimizer.steps == 6
        assert same_arrays(got.optimizer.state, optimizer.state)
        assert got.rng_state == rng.bit_generator.state
        assert got.history == history
        assert got.epoch == 2
        training = dict(got.config["training"])
        assert len(training.pop("data")) == 64
        recipe = {"batch_size": 8, "beta": 1.0, "warmup": 0, "binarise": "dynamic"}
        assert training == recipe | {"objective": None, "schedule": None}
        assert got.schedule is None


def test_a_model_alone_can_be_kept(tmp_path, rng):
    vae = VAE(4, (3,), 2, rng=rng)
    file = save_checkpoint(tmp_path / "new" / "vae.npz", vae)
    assert file == tmp_path / "new" / "vae.npz"
    got = load_checkpoint(file)
    assert same_arrays(got.model.params, vae.params)
    assert (got.optimizer, got.rng_state, got.history, got.epoch) == (None, None, {}, 0)


@pytest.mark.parametrize("generator", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_every_generator_of_numpy_can_be_kept(tmp_path, rng, generator):
    kept = np.random.Generator(generator(5))
    kept.random(3)
    save_checkpoint(tmp_path, VAE(4, (3,), 2, rng=rng), rng=kept)
    fresh = np.random.Generator(generator(6))
    fresh.bit_generator.state = load_checkpoint(tmp_path).rng_state
    assert np.array_equal(fresh.random(10), kept.random(10))


def test_the_loaded_model_is_its_own(tmp_path):
    model, *_ = trained(tmp_path)
    got = load_checkpoint(tmp_path)
    before = model.params["mu.W"].copy()
    got.model.params["mu.W"][...] = 0
    assert np.array_equal(model.params["mu.W"], before)
    assert np.array_equal(load_checkpoint(tmp_path).model.params["mu.W"], before)


def test_no_clock_is_in_it(tmp_path, monkeypatch):
    trained(tmp_path / "now")
    clock, counter = time.time, time.perf_counter
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: clock() + 400 * 86400)
        later.setattr(time, "perf_counter", lambda: 2 * counter())
        trained(tmp_path / "later")
    now, then = (tmp_path / name / "checkpoint.npz" for name in ("now", "later"))
    assert now.read_bytes() == then.read_bytes()
    with zipfile.ZipFile(now) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_nothing_in_it_is_pickled(file):
    with np.load(file, allow_pickle=False) as stored:
        assert all(not stored[key].dtype.hasobject for key in stored.files)


def test_the_same_run_gives_the_same_bytes_in_every_process(tmp_path):
    """Whatever the order in which sets and dicts of strings come, and whenever."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import test_checkpoint as t; t.trained(sys.argv[2])"
    for seed in ("0", "1", "2"):
        argv = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / seed)]
        subprocess.run(argv, check=True, env={**os.environ, "PYTHONHASHSEED": seed, "TZ": f"UTC+{seed}"})
    assert len({(tmp_path / seed / "checkpoint.npz").read_bytes() for seed in ("0", "1", "2")}) == 1
    trained(tmp_path / "here")
    assert (tmp_path / "here" / "checkpoint.npz").read_bytes() == (tmp_path / "0" / "checkpoint.npz").read_bytes()


# -- all of it or nothing ----------------------------------------------------------------------------------------------


def half_written(stream, **arrays):
    stream.write(b"PK\x03\x04 and then the disk was full")
    raise OSError(errno.ENOSPC, "No space left on device")


def refuse(*args):
    raise OSError(errno.EIO, "the rename failed")


def interrupt(*args, **arrays):
    raise KeyboardInterrupt


class FullDisk(io.FileIO):
    """A file on a disk with room for so many bytes."""

    room = 2000

    def write(self, data):
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize(
    ("where", "name", "fault", "error"),
    [
        (np, "savez", half_written, OSError),
        (np, "savez", interrupt, KeyboardInterrupt),
        (run_folder_module, "open", FullDisk, OSError),
        (os, "fsync", refuse, OSError),
        (os, "replace", refuse, OSError),
        (os, "replace", interrupt, KeyboardInterrupt),
    ],
)
def test_a_write_that_fails_leaves_the_old_checkpoint(file, monkeypatch, rng, where, name, fault, error):
    before = {path.name: path.read_bytes() for path in file.parent.iterdir()}
    with monkeypatch.context() as broken:
        broken.setattr(where, name, fault, raising=False)
        with pytest.raises(error) as caught:
            save_checkpoint(file.parent, VAE(16, (6,), 2, rng=rng), epoch=9)
    assert {path.name: path.read_bytes() for path in file.parent.iterdir()} == before
    assert load_checkpoint(file).epoch == 2
    if error is OSError:
        reason = "the rename failed" if fault is refuse else "No space left on device"
        kept = f"{file} cannot be written ({reason}), and what was there is kept; make room or take the right to write "
        assert str(caught.value) == kept + "there, and try again"


def test_a_first_write_that_fails_leaves_nothing(tmp_path, monkeypatch, rng):
    with monkeypatch.context() as broken:
        broken.setattr(np, "savez", half_written)
        with pytest.raises(OSError, match="No space left on device"):
            save_checkpoint(tmp_path, VAE(4, (3,), 2, rng=rng))
    assert list(tmp_path.iterdir()) == []


def test_the_old_file_is_there_until_the_new_one_is_whole(file, monkeypatch, rng):
    """At the moment of the rename the new file is complete on disk, and the old one has not been touched."""
    before, seen = file.read_bytes(), []
    real = os.replace

    def replace(part, target):
        assert Path(part).parent == file.parent  # a rename across file systems would not be atomic
        with np.load(part, allow_pickle=False) as stored:
            seen.append(len([stored[key] for key in stored.files]))
        assert file.read_bytes() == before
        real(part, target)

    monkeypatch.setattr(os, "replace", replace)
    save_checkpoint(file, VAE(16, (6,), 2, rng=rng), epoch=9)
    assert seen == [2 + 10]  # meta and sha256; W and b of encoder, mu, logvar, decoder and logits
    assert load_checkpoint(file).epoch == 9


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda vae, how: vae.params["mu.W"].fill(np.nan), "^mu.W should hold finite numbers, got NaN or infinity$"),
        (lambda vae, how: vae.params["mu.b"].fill(np.inf), "^mu.b should hold finite numbers, got NaN or infinity$"),
        (
            lambda vae, how: how.update(epoch=1.5),
            "^epoch should be a whole number from 0 to 9.*, got 1.5$",
        ),
        (lambda vae, how: how.update(epoch=3), "^a column should have a name and 3 entries, got 2 in epoch$"),
        (
            lambda vae, how: how["history"]["epoch"].append(3),
            "^a column should have a name and 2 entries, got 3 in epoch$",
        ),
        (
            lambda vae, how: how.update(history={"a": [np.nan] * 2}),
            "^history should be words and finite numbers, w",
        ),
        (
            lambda vae, how: how.update(run={"f": print}),
            "^run should be words and finite numbers, which",
        ),
        (lambda vae, how: how["optimizer"].state.pop("m.mu.W"), "^the optimizer's running averages .*: m.mu.W$"),
        (lambda vae, how: setattr(how["optimizer"], "lr", -1.0), "^lr should be a positive finite number, got -1.0$"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, spoil, message):
    """The old checkpoint stays."""
    model, optimizer, rng, history = trained(tmp_path)
    before = (tmp_path / "checkpoint.npz").read_bytes()
    how = {"optimizer": optimizer, "rng": rng, "epoch": 2, "history": history}
    save_checkpoint(tmp_path / "copy", model, **how)
    spoil(model, how)
    with pytest.raises(ValueError, match=message):
        save_checkpoint(tmp_path, model, **how)
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


# -- nothing foreign is believed ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_no_refused_file_stays_open(file):
    """np.load alone forgets to close a zip that it could not read; Windows then refuses to delete or replace it."""
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(file)
    opened = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
    assert str(file.resolve()) not in opened, caught.value  # the error is still alive, and so is what it refers to


def assert_refused(file, message=r"should hold a scratchvae checkpoint 2, and it cannot be read.* train again$"):
    content = file.read_bytes() if file.is_file() else None
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(file)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)
    assert content is None or file.read_bytes() == content


@pytest.mark.parametrize("part", range(50))
def test_a_checkpoint_cut_short_is_refused(file, part):
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * part // 50])
    assert_refused(file)


@pytest.mark.parametrize("short", [1, 2, 21, 22, 100])
def test_a_checkpoint_without_its_last_bytes_is_refused(file, short):
    file.write_bytes(file.read_bytes()[:-short])
    assert_refused(file)


def test_a_flipped_byte_in_the_weights_is_noticed(file):
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        place = archive.getinfo("params/encoder.0.W.npy").header_offset + 300
    content[place] ^= 0xFF
    file.write_bytes(bytes(content))
    assert_refused(file)


def png():
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [b"", b"epoch,test_elbo\n1,-166\n", png(), b"PK\x03\x04", b"PK\x05\x06" + bytes(18), bytes(1000), b"\x80\x04."],
    ids=["empty", "text", "png", "zip-head", "empty-zip", "zeros", "pickle"],
)
def test_a_foreign_file_is_refused(tmp_path, content):
    (tmp_path / "checkpoint.npz").write_bytes(content)
    assert_refused(tmp_path / "checkpoint.npz")


@pytest.mark.parametrize(
    "arrays",
    [
        {"x_train": np.zeros((3, 4))},
        {"meta": np.array("not json")},
        {"meta": np.array("[1, 2]")},
        {"meta": np.array("{}")},
        {"meta": np.array("{}"), "sha256": np.array("0")},
        {"meta": np.arange(3), "sha256": np.array("0")},
    ],
)
def test_an_npz_of_something_else_is_refused(tmp_path, arrays):
    np.savez(tmp_path / "checkpoint.npz", **arrays)
    assert_refused(tmp_path / "checkpoint.npz")


def test_a_single_array_is_refused(tmp_path):
    with open(tmp_path / "checkpoint.npz", "wb") as stream:
        np.save(stream, np.zeros(3))
    assert_refused(tmp_path / "checkpoint.npz")


def test_another_edition_says_so(tmp_path):
    """Before anything else is asked of it: what a newer one holds nobody knows here."""
    for edition, todo in [(1, "train again"), (3, "install a newer scratchvae"), (10, "install a newer scratchvae")]:
        meta = np.array(json.dumps({"format": f"scratchvae checkpoint {edition}", "new": []}))
        np.savez(tmp_path / "checkpoint.npz", meta=meta, sha256=np.array("another way to hash"), more=np.arange(3))
        assert_refused(
            tmp_path / "checkpoint.npz",
            rf"checkpoint.npz: it is a scratchvae checkpoint {edition}, and this scratchvae reads 2; {todo}$",
        )


class Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("how", ["array-in-npz", "npy", "raw"])
def test_a_pickle_is_refused_and_never_run(tmp_path, how):
    sprung, file = tmp_path / "sprung", tmp_path / "checkpoint.npz"
    trap = np.array([Trap(sprung)], dtype=object)
    with open(file, "wb") as stream:
        if how == "array-in-npz":
            np.savez(stream, meta=trap)
        elif how == "npy":
            np.save(stream, trap, allow_pickle=True)
        else:
            pickle.dump(Trap(sprung), stream)
    assert_refused(file)
    assert not sprung.exists()
    loaded = np.load(file, allow_pickle=True)  # the trap does work
    if how == "array-in-npz":
        with loaded:
            assert loaded["meta"].shape == (1,)
    assert sprung.exists()


@pytest.mark.parametrize("name", ["nothing", "nothing.npz"])
def test_a_path_with_nothing_there_is_named(tmp_path, name):
    assert_refused(
        tmp_path / name, "expected a run folder or a checkpoint .npz, and there is no file .*; check the path$"
    )


def test_an_unknown_backend_is_no_fault_of_the_file(file):
    with pytest.raises(ValueError, match="backend should be one of numpy, cupy, got 'torch'") as caught:
        load_checkpoint(file, backend="torch")
    assert not isinstance(caught.value, CheckpointError)
