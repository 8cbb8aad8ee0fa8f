"""Checkpoints made to do harm, by the thousand: each is refused in one line, or is a checkpoint like any other.

The hash is made anew after every edit of what it covers: it is there against accidents, and no protection against
somebody who wants to do harm. What such a file says is checked field by field.
"""

import copy
import io
import json
import os
import random
import resource
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from scratchvae import SGD, VAE, Adam, Autoencoder, fit, load_checkpoint, save_checkpoint
from scratchvae.checkpoint import CheckpointError
from scratchvae.manifest import GENERATORS, content_hash
from scratchvae.resume import restore

PIXELS = np.random.default_rng(7).integers(0, 256, size=(20, 4), dtype=np.uint8)
SECONDS, MEGABYTES = 1.0, 64  # of a processor, and of memory: much more than a refusal takes, much less than harm


def trained(folder, model_class=VAE, optimizer_class=Adam, generator="PCG64"):
    rng = np.random.Generator(getattr(np.random, generator)(7))
    model = model_class(4, (3,), 2, rng=rng)
    how = {"batch_size": 8, "schedule": [(0, 0.01), (1, 0.02)], "config": {"seed": 7}, "progress": False}
    fit(model, PIXELS, PIXELS[:5], epochs=2, optimizer=optimizer_class(), rng=rng, out=folder, **how)
    return folder / "checkpoint.npz"


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda number: None)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("run"))


def contents(file):
    """The manifest, and the arrays that the hash covers but for it."""
    with np.load(file) as stored:
        arrays = {name: stored[name] for name in stored.files if name not in ("meta", "sha256")}
        return json.loads(str(stored["meta"])), arrays


def write(file, manifest, arrays, **more):
    """A checkpoint that says so, with the hash that belongs to it."""
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    arrays = {**arrays, "meta": np.array(text)}
    with open(file, "wb") as stream:
        np.savez(stream, **{"sha256": np.array(content_hash(arrays)), **arrays, **more})
    return file


def refusal(file):
    """The line with which a file is refused, or None if it is read; soon, and without much memory."""
    began = time.process_time()
    try:
        load_checkpoint(file)
    except CheckpointError as error:
        text = str(error)
        assert "\n" not in text
        assert str(file) in text
        assert len(text) < 700
        return text
    finally:
        assert time.process_time() - began < SECONDS or tracemalloc.is_tracing()  # which takes its own time
    return None


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def assert_like_any_other(file, tmp_path):
    """What was read can be written and read again, and training goes on from it, or says why not."""
    got = load_checkpoint(file)
    rng = None
    if got.rng_state is not None:
        rng = np.random.Generator(getattr(np.random, got.rng_state["bit_generator"])())
        rng.bit_generator.state = got.rng_state
        rng.standard_normal(3), rng.integers(0, 9, 3, dtype=np.uint8)
    how = {"optimizer": got.optimizer, "rng": rng, "epoch": got.epoch, "history": got.history}
    again = save_checkpoint(
        tmp_path / "again.npz", got.model, training=got.config["training"], run=got.config["run"], **how
    )
    assert load_checkpoint(again).config == got.config
    with np.errstate(all="ignore"):
        if got.optimizer is not None and rng is not None:
            fresh, optimizer = type(got.model)(4, (3,), 2, rng=rng), type(got.optimizer)()
            training = {key: value for key, value in got.config["training"].items() if key != "schedule"}
            try:
                restore(got, fresh, optimizer, rng, training)
                assert got.schedule is None or all(lr > 0 for epoch, lr in got.schedule)
            except ValueError as error:
                assert str(error).startswith("resume needs ")  # noqa: PT017  either is fine
            grads = {name: np.ones_like(p) for name, p in got.model.params.items()}
            got.optimizer.step(got.model.params, grads)


# -- what it says ------------------------------------------------------------------------------------------------------

ODD = [None, True, -1, 0, 1, 1.5, 1e308, 2**53 + 1, 10**400, "", "a function", [], [1], [[0, 0.5]], {}, {"name": []}]
ODD += [float("nan"), float("inf"), "x" * 1000]
NUMBERS = [None, True, -1, 0, 1.5, 4, 5, 625, 2**32, 2**64, 2**128, [], [0] * 700, {}]


def paths(thing, at=()):
    """The way to every entry of nested dicts and lists, the outermost thing included; of long lists to the ends."""
    yield at
    items = thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list) else ()
    for key, value in items:
        if not isinstance(thing, list) or key in (0, 1, len(thing) - 1):
            yield from paths(value, (*at, key))


def edited(manifest, path, change):
    """A copy of the manifest in which change(holder, key) was called for the entry at the end of a path."""
    whole = {"manifest": copy.deepcopy(manifest)}
    holder = whole
    for key in ("manifest", *path)[:-1]:
        holder = holder[key]
    change(holder, ("manifest", *path)[-1])
    return whole.get("manifest")


def edits(manifest, under=()):
    """Every entry replaced by every odd value, left out, and given a neighbour: about a thousand."""
    for path in [path for path in paths(manifest) if path[: len(under)] == under]:
        for odd in ODD if not under else NUMBERS:
            yield path, odd, edited(manifest, path, lambda holder, key, odd=odd: holder.__setitem__(key, odd))
        yield path, "left out", edited(manifest, path, lambda holder, key: holder.pop(key))
        yield path, "a neighbour", edited(manifest, path, add_neighbour)


def add_neighbour(holder, key):
    if isinstance(holder, dict):
        holder["neighbour"] = holder[key]
    else:
        holder.insert(0, holder[key])


MAY_CHANGE = {  # what is data and no structure: there another value is another run, as good as this one
    ("config", "training"),
    ("config", "run"),
    ("config", "model", "layers"),  # without its relu it is a model too
    ("history",),
    ("optimizer", "lr"),
    ("optimizer", "steps"),
    ("optimizer", "config"),
    ("rng",),
    ("epoch",),
}


@pytest.mark.parametrize("generator", GENERATORS)
def test_every_field_is_checked(tmp_path, generator):
    original = trained(tmp_path / "run", Autoencoder, SGD, generator)
    manifest, arrays = contents(original)
    read, before = [], peak_megabytes()
    changes = list(edits(manifest, () if generator == GENERATORS[0] else ("rng",)))
    for n, (path, odd, edit) in enumerate(changes):
        file = write(tmp_path / f"{n % 4}.npz", edit, arrays)
        line = refusal(file)
        if line is None and edit != manifest:
            read.append((path, odd))
            assert any(path[: len(may)] == may for may in MAY_CHANGE), (path, odd)
            assert_like_any_other(file, tmp_path)
    assert len(changes) > (600 if generator == GENERATORS[0] else 100)
    assert peak_megabytes() < before + MEGABYTES
    assert read or generator == "SFC64"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("epoch",), 1.5, "epoch should be a whole number from 0 to 9007199254740992, got 1.5"),
        (("epoch",), -1, "epoch should be a whole number from 0 to 9007199254740992, got -1"),
        (("epoch",), 1, "a column should have a name and 1 entries, got 2 in epoch"),
        (("history",), None, "history should have named entries, got None"),
        (("history", "test_elbo"), [1.0, "x"], "an entry of the column test_elbo should be a finite number, got 'x'"),
        (("history", "test_elbo"), [1.0, float("nan")], "an entry of the column test_elbo should be a finite number"),
        (("history", "a,b"), [1.0, 2.0], "a column should have a name and 2 entries, got 2 in a,b"),
        (("rng",), {}, "bit_generator should be one of PCG64, PCG64DXSM, MT19937, Philox, SFC64, got None"),
        (("rng", "state", "state"), 2**128, "state should be a whole number from 0 to "),
        (("rng", "has_uint32"), 7, "has_uint32 should be a whole number from 0 to 1, got 7"),
        (("optimizer", "steps"), 0, "the optimizer's running averages are not those of its steps: m.decoder.0.W, "),
        (("optimizer", "steps"), True, "steps should be a whole number from 0 to 9007199254740992, got True"),
        (("optimizer", "lr"), True, "lr should be a finite number, got True"),
        (("history", "test_elbo"), [1.0, True], "an entry of the column test_elbo should be a finite number, got True"),
        (("rng", "state", "inc"), 1.5, "inc should be a whole number from 0 to "),
        (("optimizer", "lr"), 0, "lr should be a positive finite number, got 0"),
        (("optimizer", "config", "beta1"), 1.0, "beta1 should lie in [0, 1), got 1.0"),
        (("optimizer", "config", "name"), "sgd", "SGD.__init__() got an unexpected keyword argument 'beta1'"),
        (("config", "model", "n_x"), 5, "encoder.0.W should be of shape (5, 3), and it is of shape (4, 3)"),
        (("config", "model", "n_hidden"), 3, "n_hidden should be a list, got 3"),
        (("config", "model", "n_hidden"), [3, 3], "encoder.1.W should be of shape (3, 3), and it is missing"),
        (("config", "model", "layers"), ["relu"], "layers should begin with one that makes the width, such as dense"),
        (("config", "model", "dtype"), "float64", "encoder.0.W should be of dtype float64, got float32"),
        (("config", "model", "kind"), "autoencoder", "z.W should be of shape (3, 2), and it is missing"),
        (("config", "model", "likelihood"), {"name": "gaussian", "sigma": -1}, "sigma should be a positive finite n"),
        (("config", "training", "batch_size"), 0, "batch_size should be a whole number from 1 to "),
        (("config", "training", "binarise"), "no", "binarise should be one of none, threshold, dynamic, got 'no'"),
        (("config", "training", "schedule"), [[0, -1]], "an entry of an entry of schedule should be a positive "),
        (("config", "run"), [], "run should have named entries, got []"),
        (("format",), "scratchvae", "its format is scratchvae"),
        (("more",), 1, "the manifest should have the entries format, config, epoch, history, optimizer, rng, got "),
    ],
)
def test_the_line_names_the_field(file, tmp_path, path, value, message):
    manifest, arrays = contents(file)
    edit = edited(manifest, path, lambda holder, key: holder.__setitem__(key, value))
    line = refusal(write(tmp_path / "edited.npz", edit, arrays))
    assert f"cannot be read as one ({message}" in line.replace("TypeError: ", "")
    assert line.endswith("; copy it again, or train again")


@pytest.mark.parametrize(
    ("path", "what", "table"),
    [
        (("kind",), "model", "MODELS"),
        (("likelihood", "name"), "likelihood", "LIKELIHOODS"),
        (("layers", 1), "layer", "LAYERS"),
    ],
)
def test_a_name_that_is_not_known_here_says_what_to_do(file, tmp_path, path, what, table):
    manifest, arrays = contents(file)
    edit = edited(manifest, ("config", "model", *path), lambda holder, key: holder.__setitem__(key, "mine"))
    line = refusal(write(tmp_path / "edited.npz", edit, arrays))
    assert line.endswith(
        f".npz: a checkpoint names the {what}, and 'mine' is not in {table}; import the module that puts it there"
    )


# -- what it claims ----------------------------------------------------------------------------------------------------


def claims(manifest):
    """Small files that promise large things: what they say, and what is changed of their arrays."""
    model = ("config", "model")
    zeros = {"params/logits.W": np.zeros((3, 4), "float32")}
    yield "two wide layers", (*model, "n_hidden"), [30_000, 30_000], zeros
    bias = {"params/encoder.0.b": np.zeros(30_000, "float32")}
    yield "two wide layers, one bias", (*model, "n_hidden"), [30_000, 30_000], bias
    yield "many pixels", (*model, "n_x"), 2**40, zeros
    yield "many latents", (*model, "n_z"), 2**40, zeros
    yield "many layers", (*model, "n_hidden"), [1] * 20_000, bias
    yield "many epochs", ("epoch",), 2**53, {}
    yield "a deep nest", ("config", "run"), None, {}
    yield "many names of layers", (*model, "layers"), ["relu"] * 50_000, {}
    yield "many columns", ("history",), {f"c{i}": [] for i in range(20_000)}, {}
    yield "a long word", ("format",), "x" * 10**6, {}
    yield "a long number", ("epoch",), 10**4000, {}


CLAIMS = [name for name, *_ in claims({})]


@pytest.mark.parametrize("claim", CLAIMS)
def test_nothing_is_taken_at_its_word(file, tmp_path, claim):
    """In memory that the length of the file accounts for."""
    manifest, arrays = contents(file)
    path, value, changed = next((path, value, changed) for name, path, value, changed in claims({}) if name == claim)
    text = json.dumps(edited(manifest, path, lambda holder, key: holder.__setitem__(key, value)))
    if claim == "a deep nest":
        text = text.replace('"run": null', '"run": ' + "[" * 10**5 + "]" * 10**5)
    evil = write(tmp_path / "evil.npz", text, arrays | changed)
    assert refusal(evil) is not None
    tracemalloc.start()
    try:
        assert refusal(evil) is not None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * 2**20 + 8 * evil.stat().st_size


@pytest.mark.parametrize("first", ["layer-norm", "mine"])
def test_a_first_layer_that_is_not_dense_is_not_taken_at_its_word_either(tmp_path, file, monkeypatch, first):
    """Of it no shapes are known, so it is counted: a number for each output, an array a layer."""
    from scratchvae.layers import LAYERS, LayerNorm

    built = []
    monkeypatch.setitem(LAYERS, first, lambda *sizes, **how: built.append(sizes) or LayerNorm(*sizes, **how))
    manifest, arrays = contents(file)
    for n_hidden in ([2**40], [1] * 1000, [200] * 4):
        manifest["config"]["model"] |= {"layers": [first, "relu"], "n_hidden": n_hidden}
        assert "weights that are there" in refusal(write(tmp_path / "evil.npz", manifest, arrays))
    assert built == []


def test_a_bomb_is_not_unpacked(file, tmp_path):
    """Zeros, packed a thousand to one, where np.savez stores as many bytes as there are."""
    evil, chunk = tmp_path / "evil.npz", bytes(2**20)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**29,)})
    manifest, arrays = contents(file)
    with zipfile.ZipFile(write(evil, manifest, arrays), "a", zipfile.ZIP_DEFLATED) as archive:  # noqa: SIM117
        with archive.open("params/bomb.npy", "w", force_zip64=True) as stream:
            stream.write(header.getvalue())
            for _ in range(2 * MEGABYTES):  # of the two gigabytes that it says
                stream.write(chunk)
    before = peak_megabytes()
    assert "bomb is compressed, and should be stored as it is" in refusal(evil)
    assert peak_megabytes() < before + MEGABYTES


# -- its arrays --------------------------------------------------------------------------------------------------------


def test_the_arrays_are_those_of_the_model(file, tmp_path):
    manifest, arrays = contents(file)
    for name in arrays:
        plain, optimizers = name.removeprefix("params/"), name.startswith("optimizer/")
        plain = plain.removeprefix("optimizer/")
        changed = {
            "missing": {key: a for key, a in arrays.items() if key != name},
            "twice as long": arrays | {name: np.concatenate([arrays[name]] * 2)},
            "turned": arrays | {name: arrays[name][None]},
            "wider": arrays | {name: arrays[name].astype("f8")},
            "whole": arrays | {name: arrays[name].astype("i4")},
            "a word": arrays | {name: np.full(arrays[name].shape, "1.0")},
            "not a number": arrays | {name: arrays[name] * np.float32("nan")},
            "renamed": {key if key != name else f"{name}x": a for key, a in arrays.items()},
            "elsewhere": {key if key != name else plain: a for key, a in arrays.items()},
            "one more": arrays | {f"{name}x": arrays[name]},
        }
        for what, others in changed.items():
            line = refusal(write(tmp_path / "edited.npz", manifest, others))
            assert line is not None, (name, what)
            named = what in ("twice as long", "turned", "wider", "whole", "a word", "not a number")
            assert not (named and optimizers) or plain in line, line
    other = arrays | {"more": np.zeros(1)}
    line = refusal(write(tmp_path / "e.npz", manifest, other))
    assert "it holds arrays that belong neither to the parameters nor to the optimizer" in line
    inf = arrays | {"params/mu.b": np.full(2, np.inf, "f4")}
    assert "mu.b should hold finite numbers, got NaN or infinity" in refusal(write(tmp_path / "e.npz", manifest, inf))
    imaginary = arrays | {"params/mu.b": np.full(2, 1j, "c8")}
    assert "not of plain numbers" in refusal(write(tmp_path / "e.npz", manifest, imaginary))


def test_another_order_in_memory_is_the_same_checkpoint(file, tmp_path):
    manifest, arrays = contents(file)
    other = {name: np.asfortranarray(a.astype(a.dtype.newbyteorder(">"))) for name, a in reversed(arrays.items())}
    covered = {**arrays, "meta": np.array(json.dumps(manifest))}
    assert refusal(write(tmp_path / "other.npz", manifest, other, sha256=np.array(content_hash(covered)))) is None
    got, expected = load_checkpoint(tmp_path / "other.npz"), load_checkpoint(file)
    for name, p in expected.model.params.items():
        assert np.array_equal(got.model.params[name], p)
        assert got.model.params[name].dtype == p.dtype


# -- the hash ----------------------------------------------------------------------------------------------------------


def test_one_changed_number_is_noticed(file, tmp_path):
    """In the weights, in the running averages and in the words, with all checksums of the zip file made anew."""
    with np.load(file) as stored:
        arrays = {name: stored[name] for name in stored.files}
    text = str(arrays["meta"])
    changed = [arrays | {"meta": np.array(text.replace('"steps": 6', '"steps": 7'))}]
    changed += [arrays | {"meta": np.array(text.replace('"epoch": 2', '"epoch":2'))}]
    for name in arrays.keys() - {"meta", "sha256"}:
        for i in range(arrays[name].size):
            other = arrays[name].copy()
            other.flat[i] = np.nextafter(other.flat[i], np.float32(1))
            changed.append(arrays | {name: other})
    for others in changed:
        np.savez(tmp_path / "changed.npz", **others)
        assert "what it holds is not what was written: its sha256 is another" in refusal(tmp_path / "changed.npz")
    assert len(changed) > 150


def test_the_hash_is_of_names_shapes_types_and_bytes():
    a = np.arange(6, dtype="f4")
    same = [{"a": a, "b": a}, {"b": a, "a": a.copy()}]
    other = [{"a": a, "c": a}, {"a": a}, {"a": a, "b": -a}, {"a": a, "b": a.view("i4")}, {"a": a, "b": a[None]}]
    other += [{"a": a, "b": a.reshape(2, 3)}, {"a": a, "b": a.reshape(3, 2)}, {"a": a, "b": np.array("x")}, {}]
    other += [{"a": np.array(1.0)}, {"a": np.array([1.0])}, {"a": np.zeros((0, 2))}, {"a": np.zeros((2, 0))}]
    assert len({content_hash(arrays) for arrays in same}) == 1
    assert len({content_hash(arrays) for arrays in same[:1] + other}) == 1 + len(other)
    square = np.arange(4.0).reshape(2, 2)
    assert content_hash({"a": square.T}) == content_hash({"a": square.T.copy()}) != content_hash({"a": square})


# -- its bytes ---------------------------------------------------------------------------------------------------------


def mutated(content, rng):
    """One of the ways in which a file goes wrong on its way."""
    data, at = bytearray(content), rng.randrange(len(content))
    match rng.randrange(6):
        case 0:
            data[at] ^= 1 << rng.randrange(8)
        case 1:
            data[at] = rng.randrange(256)
        case 2:
            del data[at : at + rng.randrange(1, 50)]
        case 3:
            data[at:at] = rng.randbytes(rng.randrange(1, 50))
        case 4:
            there = rng.randrange(len(content))
            data[at : at + 40] = data[there : there + 40]
        case _:
            data[at : at + 8] = rng.choice([b"\xff" * 8, bytes(8), b"\xff\xff\xff\x7f" * 2, b"PK\x01\x02" * 2])
    return bytes(data)


def same(got, expected):
    return (
        all(np.array_equal(got.model.params[name], p) for name, p in expected.model.params.items())
        and all(np.array_equal(got.optimizer.state[name], s) for name, s in expected.optimizer.state.items())
        and (got.config, got.history, got.epoch, got.rng_state)
        == (expected.config, expected.history, expected.epoch, expected.rng_state)
    )


@pytest.mark.parametrize("model_class", [VAE, Autoencoder])
def test_hundreds_of_damaged_files(tmp_path, model_class):
    """Refused, or, where a byte has no meaning such as the year in a zip file, the very same checkpoint."""
    original = trained(tmp_path / "run", model_class)
    content, expected = original.read_bytes(), load_checkpoint(original)
    rng, refused, before = random.Random(5), 0, peak_megabytes()
    for i in range(600):
        file = tmp_path / f"{i % 4}.npz"
        file.write_bytes(mutated(content, rng))
        if refusal(file) is None:
            assert same(load_checkpoint(file), expected)
        else:
            refused += 1
    assert refused > 300
    assert peak_megabytes() < before + MEGABYTES
