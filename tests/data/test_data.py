"""The embedded digits, files of your own, the IDX reader, and toy sets whose moments are promised."""

import gzip
import hashlib
import os
import struct
import sys

import numpy as np
import pytest

from scratchvae import load_data
from scratchvae.data import DataError, make_sample
from scratchvae.data.idx import read_idx
from scratchvae.data.toy import circle, linear_gaussian, mixture

# -- the embedded sample -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample():
    return load_data("mnist-sample")


def test_the_sample_has_the_counts_it_promises(sample):
    assert sample.name == "mnist-sample"
    assert sample.image_shape == (28, 28)
    for x, y, n in ((sample.x_train, sample.y_train, 1000), (sample.x_test, sample.y_test, 200)):
        assert x.shape == (10 * n, 784)
        assert x.dtype == y.dtype == np.uint8
        assert (x.min(), x.max()) == (0, 255)
        assert np.bincount(y).tolist() == [n] * 10


def test_the_sample_shows_digits(sample):
    """Nobody's nearest class mean gets four in five right by accident: the labels belong to the images."""
    means = np.stack([sample.x_train[sample.y_train == digit].mean(axis=0) for digit in range(10)])
    x = sample.x_test.astype(float)
    distance = (means**2).sum(axis=1) - 2 * x @ means.T
    assert (distance.argmin(axis=1) == sample.y_test).mean() > 0.75


IDX_TYPES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def write_idx(path, array):
    """An IDX file, gzipped: numbers in big-endian order, their type in the third byte."""
    header = bytes([0, 0, IDX_TYPES[array.dtype.name], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(array.dtype.newbyteorder(">")).tobytes(), compresslevel=1))


def test_the_sample_is_what_its_script_makes(sample, tmp_path, monkeypatch, capsys):
    """From IDX files that begin with the sample's rows and go on with others, which are to be left out."""
    for part, x, y in (("train", sample.x_train, sample.y_train), ("t10k", sample.x_test, sample.y_test)):
        images = np.concatenate([x, 255 - x[:300]]).reshape(-1, 28, 28)
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", np.concatenate([y, y[:300]]))
    monkeypatch.setattr(make_sample, "SAMPLE", tmp_path / "sample.npz")
    make_sample.main(str(tmp_path))
    assert capsys.readouterr().out == "wrote sample.npz: 10000 + 2000 images\n"
    made = load_data(tmp_path / "sample.npz")
    assert made.image_shape == sample.image_shape
    for name in ("x_train", "y_train", "x_test", "y_test"):
        assert np.array_equal(getattr(made, name), getattr(sample, name)), name


def test_first_of_each_class_keeps_the_order_of_the_file():
    y = np.concatenate([np.arange(10), np.arange(10)[::-1], np.arange(10)]).astype("uint8")
    x = np.arange(30, dtype="uint8").repeat(4).reshape(30, 2, 2)
    rows, labels = make_sample.first_of_each_class(x, y, 2)
    assert rows[:, 0, 0].tolist() == list(range(20))
    assert labels.tolist() == y[:20].tolist()


# -- IDX ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", IDX_TYPES)
@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (2, 3, 4), (2, 3, 4, 3)])
@pytest.mark.parametrize("zipped", [True, False])
def test_idx_is_read_as_it_was_written(tmp_path, rng, dtype, shape, zipped):
    info = np.iinfo(dtype) if dtype.lstrip("u").startswith("int") else None
    array = np.asarray(rng.integers(info.min, info.max, shape) if info else rng.standard_normal(shape), dtype)
    file = tmp_path / "x-ubyte.gz"
    write_idx(file, array)
    if not zipped:
        file.write_bytes(gzip.decompress(file.read_bytes()))
    read = read_idx(file)
    assert read.dtype == dtype
    assert read.dtype.isnative
    assert read.flags.writeable
    assert np.array_equal(read, array)


def test_an_idx_file_cut_at_any_length_is_refused(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    write_idx(whole, np.arange(24, dtype="uint8").reshape(2, 3, 4))
    zipped = whole.read_bytes()
    for content in (zipped, gzip.decompress(zipped)):
        for length in range(len(content)):
            cut.write_bytes(content[:length])
            with pytest.raises(DataError, match=r"^cut should ") as caught:
                read_idx(cut)
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"\x89PNG\r\n\x1a\n", "89 50 4e.*; fetch it again$"),
        (b"\0\0\x0a\x01\0\0\0\x01\0", "00 00 0a, not with 00 00 and one of 08, 09, 0b, 0c, 0d, 0e; fetch it again$"),
        (b"\0\1\x08\x01\0\0\0\x01\0", "00 01 08, not with 00 00 and one of"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0", r"promises 4 bytes of data, .* at most 3; fetch it again$"),
        (b"\0\0\x08\x01\0\0\0\x02\x01", r"\b2 bytes\b.*\b1\b.*; fetch it again$"),
        (b"\0\0\x08\x01\0\0\0\x02\x01\x01\x01", r"\b2 bytes\b.*; fetch it again$"),
        (b"\x1f\x8b\x08\0" + bytes(30), "cannot be read"),
        (gzip.compress(bytes(100))[:10] + b"\xff" * 30, "cannot be read"),
    ],
    ids=[
        "missing",
        "png",
        "no type",
        "no zeros",
        "three bytes of a float",
        "short",
        "long",
        "damaged-gzip",
        "more-damaged-gzip",
    ],
)
def test_a_foreign_idx_file_is_refused(tmp_path, content, message):
    file = tmp_path / "x.idx"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=rf"^x\.idx should .*{message}") as caught:
        read_idx(file)
    assert "\n" not in str(caught.value)


# -- files of your own -------------------------------------------------------------------------------------------------

KINDS = {"uint8": lambda x: (255 * x).astype("uint8"), "float32": np.float32, "float64": np.float64}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(40, 16), (40, 10), (40, 4, 5)])
@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_a_tenth_is_held_out_by_seed(tmp_path, rng, kind, shape, suffix):
    x = KINDS[kind](rng.random(shape))
    file = tmp_path / f"mine{suffix}"
    np.save(file, x) if suffix == ".npy" else np.savez(file, x_train=x)
    data = load_data(file, seed=1)
    rows = x.reshape(40, -1)
    assert data.name == "mine"
    assert (len(data.x_train), len(data.x_test)) == (36, 4)
    assert data.x_train.dtype == data.x_test.dtype == x.dtype
    assert data.y_train is None
    assert data.y_test is None
    assert data.image_shape == {(40, 16): (4, 4), (40, 10): None, (40, 4, 5): (4, 5)}[shape]
    together = np.concatenate([data.x_train, data.x_test])
    assert np.array_equal(np.unique(together, axis=0), np.unique(rows, axis=0))
    again, other = load_data(file, seed=1), load_data(file, seed=2)
    assert np.array_equal(again.x_test, data.x_test)
    assert not np.array_equal(other.x_test, data.x_test)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_rows_of_both_parts_keep_their_order(tmp_path, seed):
    np.save(tmp_path / "x.npy", np.arange(60.0).reshape(30, 2))
    data = load_data(tmp_path / "x.npy", seed)
    for x in (data.x_train, data.x_test):
        assert len(x) >= 3
        assert (np.diff(x[:, 0]) > 0).all()


@pytest.mark.parametrize(("n", "held_out"), [(2, 1), (9, 1), (19, 1), (20, 2), (105, 10)])
def test_how_many_are_held_out(tmp_path, n, held_out):
    np.save(tmp_path / "x.npy", np.zeros((n, 3)))
    data = load_data(tmp_path / "x.npy")
    assert (len(data.x_train), len(data.x_test)) == (n - held_out, held_out)


def test_labels_stay_with_their_rows(tmp_path):
    y = np.arange(30)
    np.savez(tmp_path / "x.npz", x_train=np.repeat(y[:, None] / 30.0, 3, axis=1), y_train=y)
    data = load_data(tmp_path / "x.npz")
    for x, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert np.array_equal(x[:, 0], labels / 30.0)
    assert sorted([*data.y_train, *data.y_test]) == y.tolist()


@pytest.mark.parametrize("labels", [(), ("y_train",), ("y_test",), ("y_train", "y_test")])
@pytest.mark.parametrize("shape", [(16,), (4, 4)])
def test_a_test_set_of_your_own_is_kept(tmp_path, rng, shape, labels):
    arrays = {"x_train": rng.random((12, *shape)), "x_test": rng.random((5, *shape))}
    arrays |= {name: np.arange(12 if name == "y_train" else 5) for name in labels}
    np.savez(tmp_path / "x.npz", **arrays, notes=np.zeros(3))
    data = load_data(str(tmp_path / "x.npz"))
    assert data.image_shape == (4, 4)
    for name in ("x_train", "x_test"):
        assert np.array_equal(getattr(data, name), arrays[name].reshape(-1, 16))
    for name in ("y_train", "y_test"):
        assert np.array_equal(getattr(data, name), arrays[name]) if name in labels else getattr(data, name) is None


@pytest.mark.parametrize(("width", "image_shape"), [(9, None), (16, (4, 4)), (25, (5, 5)), (24, None), (784, (28, 28))])
def test_square_images_are_recognised(tmp_path, width, image_shape):
    np.save(tmp_path / "x.npy", np.zeros((4, width)))
    assert load_data(tmp_path / "x.npy").image_shape == image_shape


# -- paths and names ---------------------------------------------------------------------------------------------------


def test_data_of_your_own_know_their_path(tmp_path, monkeypatch):
    """Absolute, however it was given; a set that has a name has no path."""
    (tmp_path / "sub").mkdir()
    np.save(tmp_path / "x.npy", np.zeros((4, 3)))
    monkeypatch.chdir(tmp_path / "sub")
    for path in ("../x.npy", tmp_path / "x.npy", "../sub/../x.npy"):
        data = load_data(path)
        assert data.path.is_absolute()
        assert data.path.samefile(tmp_path / "x.npy")
    assert load_data("mnist-sample").path is None


STRANGE = {
    "umlauts": "dätä-☃-数字",
    "lines": "two\nlines\rand\ttabs",
    "colours": "\x1b[31mred\x1b[0m\x07",
    "no utf-8": os.fsdecode(b"caf\xe9 \xff"),
    "right to left": "\u202egpj.exe",
    "dollars": "$x_1$ {braces} %s",
    "quotes": 'it\'s "quoted" `here`',
    "long": "a" * 240,
}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems forbid such names")
@pytest.mark.parametrize("name", STRANGE)
def test_any_name_makes_a_printable_message_of_one_line(tmp_path, name):
    word = STRANGE[name]
    x = np.zeros((4, 16), "uint8")
    np.savez(tmp_path / f"{word}.npz", x_train=x)
    data = load_data(tmp_path / f"{word}.npz")
    assert data.name.isprintable()
    assert data.name == word or not word.isprintable()
    assert os.fspath(data.path) == os.fspath(tmp_path / f"{word}.npz")

    folder = tmp_path / word
    folder.mkdir()
    messages = []
    for path in (f"{folder}.npy", folder, folder / "x.npz", word):  # not there, empty, not there, not there
        with pytest.raises(DataError) as caught:
            load_data(path)
        messages.append(str(caught.value))
    if len(word) < 200:
        for key, file in IDX_FILES.items():
            write_idx(folder / f"{word}-{file}.gz", np.zeros(7 if key[0] == "y" else (7, 4, 4), "uint8"))
        data = load_data(folder)
        assert data.name.isprintable()
        (folder / f"{word}-{IDX_FILES['x_test']}.gz").write_bytes(b"?")
        with pytest.raises(DataError) as caught:
            load_data(folder)
        messages.append(str(caught.value))
    contents = [b"?", b"PK\x05\x06", (tmp_path / f"{word}.npz").read_bytes()[:-30]]
    for arrays in ({"x_train": x[0]}, {word.encode("utf-8", "replace").decode(): x}, {"x_train": np.array([word])}):
        np.savez(tmp_path / "made.npz", **arrays)
        contents.append((tmp_path / "made.npz").read_bytes())
    for content in contents:
        (tmp_path / f"{word}.npz").write_bytes(content)
        with pytest.raises(DataError) as caught:
            load_data(tmp_path / f"{word}.npz")
        messages.append(str(caught.value))
    for message in messages:
        assert message.isprintable()
        message.encode()
        assert " should " in message


@pytest.mark.parametrize(
    "name", ["a" * 300, "a" * 5000, "a/" * 3000, "a\0b", "a\0b.npz", "", " ", ("b" * 300) + ".npz"]
)
def test_a_path_that_no_file_can_have(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        load_data(name)
    assert str(caught.value).isprintable()


# -- a folder of IDX files ---------------------------------------------------------------------------------------------

IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


@pytest.fixture
def idx_folder(tmp_path, rng):
    """The four files, two of them gzipped, and the arrays in them."""
    arrays = {"x_train": rng.integers(0, 256, (9, 4, 5)), "y_train": rng.integers(0, 10, 9)}
    arrays |= {"x_test": rng.integers(0, 256, (3, 4, 5)), "y_test": rng.integers(0, 10, 3)}
    folder = tmp_path / "digits"
    folder.mkdir()
    for key, array in arrays.items():
        arrays[key] = array.astype("uint8")
        file = folder / f"{IDX_FILES[key]}.gz"
        write_idx(file, arrays[key])
        if key[0] == "y":
            (folder / IDX_FILES[key]).write_bytes(gzip.decompress(file.read_bytes()))
            file.unlink()
    return folder, arrays


def test_a_folder_of_idx_files(idx_folder, monkeypatch):
    folder, arrays = idx_folder
    monkeypatch.chdir(folder)
    for path in (folder, str(folder), "."):
        data = load_data(path)
        assert data.name == "digits"
        assert data.image_shape == (4, 5)
        for key, array in arrays.items():
            assert np.array_equal(getattr(data, key), array.reshape(len(array), -1) if key[0] == "x" else array)


FOUR = ", ".join(IDX_FILES.values())


@pytest.mark.parametrize("key", IDX_FILES)
def test_a_folder_without_one_of_the_files_is_refused(idx_folder, key):
    folder, _ = idx_folder
    for file in folder.glob(f"{IDX_FILES[key]}*"):
        file.unlink()
    there = ", ".join(sorted(file.name for file in folder.iterdir()))
    missing = f"there is no {IDX_FILES[key]} among {there}; check the path"
    with pytest.raises(DataError) as caught:
        load_data(folder)
    assert str(caught.value) == f"the folder {folder} should hold {FOUR}, each plain or .gz, and {missing}"


def test_an_empty_folder_is_called_empty(tmp_path):
    with pytest.raises(
        DataError, match=r", and there is no train-images-idx3-ubyte in it: it is empty; check the path$"
    ):
        load_data(tmp_path)


NAMES = {
    "dots": "{part}-{what}.idx{n}-ubyte",
    "EMNIST": "emnist-letters-{part}-{what}-idx{n}-ubyte",
    "underscores": "my set_{part}_{what}_idx{n}_ubyte",
    "capitals": "Train-{part}-{what}.IDX{n}",
    "another type": "{part}-{what}-idx{n}-float",
}


@pytest.mark.parametrize("test", ["test", "t10k"])
@pytest.mark.parametrize("form", NAMES)
def test_idx_files_go_by_many_names(idx_folder, form, test):
    folder, arrays = idx_folder
    for key, name in IDX_FILES.items():
        (file,) = folder.glob(f"{name}*")
        words = {"part": "train" if key.endswith("train") else test, "what": "images" if key[0] == "x" else "labels"}
        file.rename(folder / (NAMES[form].format(**words, n=3 if key[0] == "x" else 1) + file.suffix))
    for stray in ("notes.txt", "train-images-idx3-ubyte.gz.part", "train-images-idx3.npz"):
        (folder / stray).write_bytes(b"?")
    for name in IDX_FILES.values():
        (folder / f"._{name}").write_bytes(b"?")  # what macOS puts into archives
    (folder / "train-images-idx3-ubyte").mkdir()
    data = load_data(folder)
    for key, array in arrays.items():
        assert np.array_equal(getattr(data, key), array.reshape(len(array), -1) if key[0] == "x" else array)


def test_where_a_file_is_there_twice_the_zipped_one_counts(idx_folder):
    folder, arrays = idx_folder
    (folder / IDX_FILES["x_train"]).write_bytes(b"?")
    assert np.array_equal(load_data(folder).x_train, arrays["x_train"].reshape(9, 20))


def test_another_set_that_is_not_whole_does_no_harm(idx_folder):
    folder, arrays = idx_folder
    for key in ("x_train", "y_train", "x_test"):
        (folder / f"emnist-letters-{IDX_FILES[key]}").write_bytes(b"?")
    assert np.array_equal(load_data(folder).x_train, arrays["x_train"].reshape(9, 20))
    (folder / f"{IDX_FILES['y_test']}").unlink()
    with pytest.raises(
        DataError, match=r"there is no (emnist-letters-)?t10k-labels-idx1-ubyte among emnist-letters-t10k-im"
    ):
        load_data(folder)


@pytest.mark.parametrize("prefix", ["emnist-letters-", None])
def test_two_sets_in_a_folder_are_told_apart_by_nobody(idx_folder, prefix):
    """Two sets, or one with a file under two names: the message lists them."""
    folder, _ = idx_folder
    for name in IDX_FILES.values():
        (folder / (name.replace("-idx", ".idx") if prefix is None else prefix + name)).write_bytes(b"?")
    with pytest.raises(DataError) as caught:
        load_data(folder)
    message = str(caught.value)
    assert message.startswith(
        f"the folder {folder} should hold {FOUR}, each plain or .gz, of one data set, and it holds "
    )
    for file in folder.iterdir():
        assert file.name in message
    assert message.endswith("; put those to be used into a folder of their own")


def test_an_idx_file_is_given_by_its_folder(idx_folder):
    folder, _ = idx_folder
    file = folder / "train-images-idx3-ubyte.gz"
    with pytest.raises(DataError, match=rf"given by the folder that holds all four, got the file {file}$"):
        load_data(file)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_in_idx_files_are_data(idx_folder, dtype):
    folder, arrays = idx_folder
    for key in ("x_train", "x_test"):
        write_idx(folder / f"{IDX_FILES[key]}.gz", (arrays[key] / 255).astype(dtype))
    data = load_data(folder)
    assert data.x_train.dtype == data.x_test.dtype == dtype
    assert np.array_equal(data.x_train, (arrays["x_train"] / 255).astype(dtype).reshape(9, 20))


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint16", "uint64", "bool"])
@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (0, 0), (0, 100), (0, 127), (-128, 127), (-1, 1), (0, 255), (7, 300), (-30000, 30000), (0, 999)],
)
def test_the_conversion_that_a_message_names_makes_data_of_whole_numbers(tmp_path, dtype, low, high):
    info = np.iinfo("uint8" if dtype == "bool" else dtype)
    if low < info.min or high > (1 if dtype == "bool" else info.max):
        return
    x = np.linspace(low, high, 24).round().astype(dtype).reshape(4, 6)
    np.savez(tmp_path / "x.npz", x_train=x)
    with pytest.raises(
        DataError, match=rf"got {dtype} from {low} to {high}; save .* in its place, in an \.npz$"
    ) as caught:
        load_data(tmp_path / "x.npz")
    advice = str(caught.value).split("; save ")[1].removesuffix(" in its place, in an .npz")
    np.savez(tmp_path / "x.npz", x_train=eval(advice, {"x": x}))
    data = load_data(tmp_path / "x.npz")
    rows = np.concatenate([data.x_train, data.x_test])
    low_got, high_got = float(rows.min()), float(rows.max())
    if high <= 1 and low == 0:
        assert (rows.dtype, low_got, high_got) == (np.float32, low, high)  # bits
    elif low >= 0 and high <= 255:
        assert (rows.dtype, low_got, high_got) == (np.uint8, low, high)
    else:
        assert (rows.dtype, low_got, high_got) == (np.float32, 0, 1)


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        ("x_train", (9,), r"x_train in digits should have the shape \(N, D\) or \(N, h, w\)"),
        (
            "x_test",
            (3, 5, 4),
            r"x_train and x_test in digits should agree in the shape of an image, got \(4, 5\) and \(5, 4",
        ),
        ("x_test", (3, 5, 5), "x_train and x_test in digits should agree in width and kind, got 20 uint8 and 25 uint8"),
        ("y_train", (8,), "y_train in digits should hold one whole number for each of the 9 rows, got uint8 of shape"),
        ("y_test", (3, 1), "y_test in digits should hold one whole number for each of the 3 rows"),
    ],
)
def test_idx_files_that_do_not_belong_together_are_refused(idx_folder, key, shape, message):
    folder, _ = idx_folder
    (folder / IDX_FILES[key]).unlink(missing_ok=True)
    write_idx(folder / f"{IDX_FILES[key]}.gz", np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match=message):
        load_data(folder)


@pytest.mark.parametrize(("sha256", "fits"), [(hashlib.sha256, True), (hashlib.sha512, False)])
def test_idx_is_compared_with_the_hash_of_its_content(tmp_path, sha256, fits):
    """The content, so that it does not matter how it is packed."""
    file = tmp_path / "x"
    write_idx(file, np.arange(6, dtype="uint8"))
    zipped = file.read_bytes()
    wanted = sha256(gzip.decompress(zipped)).hexdigest()
    for content in (zipped, gzip.compress(gzip.decompress(zipped), 9), gzip.decompress(zipped)):
        file.write_bytes(content)
        if fits:
            assert np.array_equal(read_idx(file, wanted), np.arange(6))
        else:
            with pytest.raises(DataError, match=r"^x should .* the sha256 of its content is \w{64}, not \w+; fetch it"):
                read_idx(file, wanted)


# -- toy sets: moments within 5 standard errors ------------------------------------------------------------------------

N = 40_000


def assert_mean(values, expected, what):
    """The mean of values (n, ...) is expected, within 5 of its standard errors."""
    values = np.asarray(values, float)
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - expected) <= 5 * error).all(), what


@pytest.mark.parametrize(("radius", "sigma"), [(1.0, 0.05), (3.0, 0.5)])
def test_circle(rng, radius, sigma):
    x = circle(N, rng, radius, sigma)
    assert x.shape == (N, 2)
    assert_mean(x, [0, 0], "centre")
    assert_mean(x**2, [radius**2 / 2 + sigma**2] * 2, "second moments")
    assert_mean(x[:, 0] * x[:, 1], 0, "no correlation")
    r2 = (x**2).sum(axis=1)  # E r^4 = R^4 + 8 R^2 sigma^2 + 8 sigma^4: tells a ring from a blob of the same variance
    assert_mean(r2**2, radius**4 + 8 * radius**2 * sigma**2 + 8 * sigma**4, "fourth moment")
    angle = np.arctan2(x[:, 1], x[:, 0])
    for k in (1, 2, 3):
        assert_mean(np.stack([np.cos(k * angle), np.sin(k * angle)], axis=1), [0, 0], "uniform angle")


@pytest.mark.parametrize("centres", [None, np.array([[0.0, 0.0, 5.0], [1.0, -5.0, 0.0]])])
def test_mixture(rng, centres):
    x, y = mixture(N, rng, centres, sigma=0.3)
    if centres is None:
        centres = np.array([[0.0, 1.5], [-1.3, -0.75], [1.3, -0.75]])
    C, D = centres.shape
    assert x.shape == (N, D)
    assert y.shape == (N,)
    assert_mean(y[:, None] == np.arange(C), [1 / C] * C, "equal weights")
    noise = (x - centres[y]) / 0.3
    assert_mean(noise, np.zeros(D), "noise around each centre")
    assert_mean(noise[:, :, None] * noise[:, None, :], np.eye(D), "its covariance")
    assert_mean((noise**2) ** 2, [3] * D, "its kurtosis")


@pytest.mark.parametrize(("n_x", "n_z", "sigma"), [(8, 2, 0.5), (3, 1, 1.5)])
def test_linear_gaussian(rng, n_x, n_z, sigma):
    cloud = linear_gaussian(N, rng, n_x, n_z, sigma)
    assert (cloud.x.shape, cloud.z.shape) == ((N, n_x), (N, n_z))
    assert (cloud.W.shape, cloud.mean.shape, cloud.sigma) == ((n_x, n_z), (n_x,), sigma)
    centred = cloud.x - cloud.mean
    assert_mean(cloud.x, cloud.mean, "mean")
    assert_mean(centred[:, :, None] * centred[:, None, :], cloud.W @ cloud.W.T + sigma**2 * np.eye(n_x), "covariance")
    assert_mean(cloud.z[:, :, None] * cloud.z[:, None, :], np.eye(n_z), "z ~ N(0, I)")
    noise = centred - cloud.z @ cloud.W.T
    assert_mean(noise[:, :, None] * cloud.z[:, None, :], np.zeros((n_x, n_z)), "the noise knows nothing of z")
    assert_mean(noise**2, np.full(n_x, sigma**2), "its variance")


@pytest.mark.parametrize("make", [circle, lambda n, rng: mixture(n, rng)[0], lambda n, rng: linear_gaussian(n, rng).x])
def test_toy_sets_come_from_the_generator_alone(make):
    first, again, other = (make(5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
