"""Hostile files: whatever a file holds, reading it gives a data set or a DataError, in bounded time and memory."""

import bz2
import gzip
import io
import json
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scratchvae.data import DataError, Dataset, load_data
from scratchvae.data.idx import read_idx

KEYS = ("x_train", "x_test", "y_train", "y_test")

# -- files in memory ---------------------------------------------------------------------------------------------------


def to_npy(array, version=None):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asanyarray(array), version=version)
    return stream.getvalue()


def with_header(header, data=b"", version=1):
    """An .npy whose header is this text."""
    text = (header if isinstance(header, bytes) else header.encode("utf-8", "replace")) + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def describe(descr, shape, fortran=False):
    return f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape!r}, }}"


def to_zip(members, method=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def to_idx(shape, body):
    return b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + body


def assert_read_or_refused(path, reader=load_data):
    """True if it was read."""
    try:
        data = reader(path)
    except DataError as error:
        message = str(error)
        assert " should " in message, message
        assert message.isprintable(), message
        assert len(message) < 1500, message
        return False
    assert isinstance(data, Dataset | np.ndarray)
    return True


# -- what is unusual and fine ------------------------------------------------------------------------------------------

X = np.arange(96.0).reshape(12, 8) / 96


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: to_npy(X.astype(">f8")),
        lambda: to_npy(np.asfortranarray(X)),
        lambda: to_npy(np.asfortranarray(X.astype(">f8"))),
        lambda: to_npy(X, version=(2, 0)),
        lambda: to_npy(X, version=(3, 0)),
        lambda: with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (12L, 8L), }", X.tobytes()),  # Python 2
    ],
    ids=["big-endian", "fortran", "both", "version-2", "version-3", "python-2"],
)
def test_unusual_files_that_hold_plain_numbers(tmp_path, make, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(make() if suffix == ".npy" else to_zip({"x_train.npy": make(), "ünïcode ☃\n.npy": b"?"}))
    data = load_data(path)
    assert data.x_train.dtype == data.x_test.dtype == np.dtype("<f8" if sys.byteorder == "little" else ">f8")
    assert data.x_train.dtype.isnative
    assert data.x_train.flags.c_contiguous
    assert data.x_train.flags.writeable
    rows = np.concatenate([data.x_train, data.x_test])
    assert np.array_equal(rows[rows[:, 0].argsort()], X)


def test_big_endian_labels_come_out_native(tmp_path):
    np.savez(tmp_path / "x.npz", x_train=X, y_train=np.arange(12, dtype=">i8"))
    data = load_data(tmp_path / "x.npz")
    assert data.y_train.dtype.isnative
    assert sorted([*data.y_train, *data.y_test]) == list(range(12))


def test_images_in_fortran_order_keep_their_axes(tmp_path):
    images = np.arange(120, dtype="uint8").reshape(6, 4, 5)
    np.savez(tmp_path / "x.npz", x_train=np.asfortranarray(images), x_test=images)
    data = load_data(tmp_path / "x.npz")
    assert data.image_shape == (4, 5)
    assert np.array_equal(data.x_train, images.reshape(6, 20))


# -- thousands of mutated files ----------------------------------------------------------------------------------------

U8 = np.arange(96, dtype="uint8").reshape(6, 4, 4)
ARRAYS = [U8, X, X.astype(">f4"), np.asfortranarray(X), U8[:, 0].astype("float16"), np.array(["a", "bc"]), X > 0.5]
NPYS = [to_npy(array) for array in ARRAYS]
NPYS += [to_npy(X, (2, 0)), to_npy(X, (3, 0)), to_npy(np.zeros(3, [("ä", "f4"), ("b", "i2", 3)]), (3, 0))]
IDXS = [to_idx((6, 4, 4), U8.tobytes()), to_idx((96,), U8.tobytes()), to_idx((12, 8), U8.tobytes())]
LABELS = to_npy(np.arange(6))
NUMBERS = [b"9" * 18, b"1000000000000000000", b"-1", b"0", b"1e9", b"9" * 4000, b"0x7fffffffffffffff", b"True", b"(1,)"]
HEADERS = [
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"\x93NUMPY\x01\0",
    b"\x93NUMPY\x03\0",
    b"\0\0\x08\x03",
    b"\x1f\x8b\x08\0",
]


def mutate(content, rng, others):
    """Content with one to four things wrong."""
    b = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(len(b) + 1))
        kind = rng.integers(8)
        if kind == 0 and b:  # flip a bit
            b[at % len(b)] ^= 1 << int(rng.integers(8))
        elif kind == 1:  # cut
            del b[at:]
        elif kind == 2:  # cut out
            del b[at : at + int(rng.integers(1, 20))]
        elif kind == 3:  # the largest number, in 4 or 8 bytes
            b[at : at + 4] = b"\xff" * 4 if rng.random() < 0.5 else b"\xff\xff\xff\x7f\xff\xff\xff\xff"
        elif kind == 4:  # a piece of another file
            other = others[rng.integers(len(others))]
            begin = int(rng.integers(len(other)))
            b[at:at] = other[begin : begin + int(rng.integers(1, 200))]
        elif kind == 5:  # the header of some format, in the middle or at the front
            header = HEADERS[rng.integers(len(HEADERS))]
            at = at if rng.random() < 0.5 else 0
            b[at : at + len(header)] = header
        elif kind == 6:  # a number in the text of a header becomes another
            digits = [i for i, c in enumerate(b[:200]) if chr(c).isdigit()]
            if digits:
                at = digits[rng.integers(len(digits))]
                b[at : at + 1] = NUMBERS[rng.integers(len(NUMBERS))]
        else:  # random bytes
            b[at : at + 8] = rng.bytes(8)
    return bytes(b)


def hostile(rng):
    """One mutated file: its name and its content. Often the damage lies inside a container that is itself whole."""
    form = rng.integers(6)
    pool = NPYS + IDXS
    npy, idx = NPYS[rng.integers(len(NPYS))], IDXS[rng.integers(len(IDXS))]
    method = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED][rng.integers(2)]
    if form == 0:
        return "x.npy", mutate(npy, rng, pool)
    if form == 1:
        return "x.npz", mutate(to_zip({"x_train.npy": npy, "y_train.npy": LABELS}, method), rng, pool)
    if form == 2:
        key = KEYS[rng.integers(4)]
        return "x.npz", to_zip({"x_train.npy": NPYS[0], f"{key}.npy": mutate(npy, rng, pool)}, method)
    if form == 3:
        return "x-ubyte", mutate(idx, rng, pool)
    if form == 4:
        return "x-ubyte", mutate(gzip.compress(idx, 1), rng, pool)
    return "x-ubyte", gzip.compress(mutate(idx, rng, pool), 1)


def fuzz(folder, n, seed):
    """How many of n mutated files were read, and how many refused, by form; and the longest time for one."""
    rng, outcome, longest = np.random.default_rng(seed), {}, 0.0
    for _ in range(n):
        name, content = hostile(rng)
        path = folder / name
        path.write_bytes(content)
        began = time.process_time()
        read = assert_read_or_refused(path, read_idx if name == "x-ubyte" else load_data)
        longest = max(longest, time.process_time() - began)
        outcome[name, read] = outcome.get((name, read), 0) + 1
    return outcome, longest


@pytest.mark.parametrize(("n", "seed"), [(2000, 0), pytest.param(40_000, 1, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_mutated_files(tmp_path, n, seed):
    outcome, longest = fuzz(tmp_path, n, seed)
    print(outcome, f"longest {longest:.3f} s")
    assert sum(outcome.values()) == n
    for name in ("x.npy", "x.npz", "x-ubyte"):
        assert outcome[name, False] > n // 10, "the mutations bite"
        assert outcome[name, True] > n // 200, "and some are harmless: the readers do not just refuse everything"
    assert longest < 1


# -- headers written by hypothesis -------------------------------------------------------------------------------------

FAST = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
SIZES = st.one_of(
    st.integers(-2, 12),
    st.sampled_from([2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**18, 10**400, -(2**63)]),
    st.booleans(),
)
DESCRS = st.one_of(
    st.sampled_from(
        ["<f8", ">f4", "|u1", "<i8", "|b1", "<U0", "|V0", "|S1000000000", "|O", "<M8[s]", "<c16", "<f2", "g"]
    ),
    st.text(max_size=12),
    st.lists(st.tuples(st.text(max_size=5), st.sampled_from(["<f8", "|O", "<f4", "|V0"])), max_size=4),
    st.tuples(st.sampled_from(["<f8", "|u1"]), st.tuples(SIZES, SIZES)),
)


@FAST
@given(
    DESCRS, st.lists(SIZES, max_size=5).map(tuple), st.booleans(), st.binary(max_size=100), st.sampled_from([1, 2, 3])
)
def test_any_npy_header(tmp_path, descr, shape, fortran, data, version):
    content = with_header(describe(descr, shape, fortran), data, version)
    for path, whole in ((tmp_path / "x.npy", content), (tmp_path / "x.npz", to_zip({"x_train.npy": content}))):
        path.write_bytes(whole)
        assert_read_or_refused(path)


@FAST
@given(
    st.one_of(st.text(max_size=200), st.sampled_from(["(" * 9000, "-" * 9900 + "1", "[" * 90 + "]" * 90, "{1:" * 3000]))
)
def test_any_text_as_a_header(tmp_path, text):
    (tmp_path / "x.npy").write_bytes(with_header(text))
    assert not assert_read_or_refused(tmp_path / "x.npy")


@FAST
@given(st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 9), max_size=300), st.binary(max_size=100), st.booleans())
def test_any_idx_header(tmp_path, sizes, body, zipped):
    content = b"\0\0\x08" + bytes([len(sizes) % 256]) + struct.pack(f">{len(sizes)}I", *sizes) + body
    (tmp_path / "x").write_bytes(gzip.compress(content, 1) if zipped else content)
    assert_read_or_refused(tmp_path / "x", read_idx)


@FAST
@given(
    st.dictionaries(
        st.sampled_from(KEYS) | st.text(min_size=1, max_size=9), st.sampled_from(NPYS) | st.binary(), max_size=5
    )
)
def test_any_members(tmp_path, members):
    names = {f"{name}.npy".replace("\0", ""): content for name, content in members.items()}
    (tmp_path / "x.npz").write_bytes(to_zip(names))
    read = assert_read_or_refused(tmp_path / "x.npz")
    assert not (read and "x_train" not in members)


@FAST
@given(st.binary(max_size=300), st.sampled_from(["x.npy", "x.npz", "x"]))
def test_any_bytes(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    assert not assert_read_or_refused(tmp_path / name, read_idx if name == "x" else load_data)


# -- bombs: what a few bytes may ask for -------------------------------------------------------------------------------

BLOCK = 2**20


def deflated_zeros(n_blocks, start=b""):
    """Raw deflate of start and then n_blocks MiB of zeros, without compressing them one by one."""
    once = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = once.compress(start) + once.flush(zlib.Z_FULL_FLUSH)
    block = once.compress(bytes(BLOCK)) + once.flush(zlib.Z_FULL_FLUSH)
    return first + block * n_blocks + once.flush(zlib.Z_FINISH)


def zip_of_raw(name, raw, size, crc=0, method=8, entries=("x_train.npy",)):
    """A zip file made by hand: one stream, and as many entries as you like that all point to it."""
    fields = struct.pack("<HHHHHIII", 20, 0, method, 0, 33, crc, len(raw), size)
    local = b"PK\x03\x04" + fields + struct.pack("<HH", len(name), 0) + name + raw
    central = b"".join(
        b"PK\x01\x02\x14\0" + fields + struct.pack("<HHHHHII", len(e), 0, 0, 0, 0, 0, 0) + e.encode() for e in entries
    )
    end = struct.pack("<HHHHIIH", 0, 0, len(entries), len(entries), len(central), len(local), 0)
    return local + central + b"PK\x05\x06" + end


def bombs():
    """Name, what it is, and content of files that are small and ask for much."""
    big = 2**30
    npy = with_header(describe("|u1", (1024, BLOCK)))  # 1 GiB
    zeros = deflated_zeros(1024, npy)
    yield "x.npy", "10^18 numbers", with_header(describe("<f8", (10**9, 10**9)), bytes(100))
    yield "x.npy", "10^18 numbers of no bytes", with_header(describe("|V0", (10**9, 10**9)))
    yield "x.npy", "negative sizes", with_header(describe("|u1", (-10, -10)), bytes(100))
    yield "x.npy", "one number of 4 GB", with_header(describe("<U1000000000", (1, 1)))
    yield "x.npy", "10^18 columns of no rows", with_header(describe("<f8", (0, 10**18)))
    yield "x.npy", "a header of 4 GB", b"\x93NUMPY\x02\0" + b"\xff\xff\xff\xff" + bytes(100)
    yield "x.npy", "a header of 9 MB that is there", with_header("0" * 9_000_000, version=2)
    yield "x.npy", "deep nesting", with_header("(" * 9900)
    yield "x.npy", "deeper nesting", with_header("-" * 9900 + "1")
    yield "x.npz", "1 GiB of zeros, honestly described", zip_of_raw(b"x_train.npy", zeros, len(npy) + big)
    yield "x.npz", "1 GiB of zeros behind a small size", zip_of_raw(b"x_train.npy", zeros, len(npy) + 1000)
    yield "x.npz", "nothing behind 4 GB", zip_of_raw(b"x_train.npy", b"", 2**32 - 2)
    small = with_header(describe("|u1", (60, BLOCK)))
    four = [f"{key}.npy" for key in KEYS]
    raw = deflated_zeros(60, small)
    yield "x.npz", "four times one stream", zip_of_raw(b"x_train.npy", raw, len(small) + 60 * BLOCK, entries=four)
    yield "x.npz", "bzip2", zip_of_raw(b"x_train.npy", bz2.compress(npy + bytes(50 * BLOCK)), 51 * BLOCK, method=12)
    yield "x.npz", "lzma", zip_of_raw(b"x_train.npy", bytes(100), 2**25, method=14)
    yield (
        "x.npz",
        "an encrypted member",
        zip_of_raw(b"x_train.npy", raw, 100).replace(b"\x14\0\0\0\x08\0", b"\x14\0\1\0\x08\0"),
    )
    yield "x.npz", "a zip in a zip", to_zip({"x_train.npy": to_zip({"x_train.npy": to_npy(X)})})
    yield "x.npz", "60,000 members", zip_of_raw(b"a", b"", 0, method=0, entries=[f"{i}" for i in range(60_000)])
    yield "x", "an IDX header of 2^96 bytes", to_idx((2**32 - 1,) * 3, bytes(100))
    yield "x", "the same, zipped", gzip.compress(to_idx((2**32 - 1,) * 3, bytes(100)))
    head = gzip.compress(to_idx((1024, 1024, 1024), b""))
    yield "x", "1 GiB of zeros, honestly described", head + gzip.compress(bytes(BLOCK)) * 1024
    yield (
        "x",
        "1 GiB of zeros behind a small size",
        gzip.compress(to_idx((10,), b"")) + gzip.compress(bytes(BLOCK)) * 1024,
    )
    yield "x", "50,000 empty gzip members", gzip.compress(to_idx((10,), b"")) + gzip.compress(b"") * 50_000
    yield "x", "a gzip name without end", b"\x1f\x8b\x08\x08" + b"a" * 1_000_000
    yield "x", "255 axes", b"\0\0\x08\xff" + b"\xff" * 1020


BOMBS = """
import json, resource, sys, time
from scratchvae.data import DataError, load_data
from scratchvae.data.idx import read_idx
from pathlib import Path

more = int(sys.argv[2])
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + more, now + more))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = []
for path in sorted(Path(sys.argv[1]).rglob("x*")):
    if not path.is_file():
        continue
    began, outcome = time.process_time(), "read"
    try:
        (read_idx if path.name == "x" else load_data)(path)
    except DataError as error:
        outcome = str(error)
    report.append([str(path.parent.name), outcome, time.process_time() - began])
print(json.dumps([report, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024]))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits the memory of a process as Linux does")
def test_bombs_are_refused_in_little_memory_and_time(tmp_path):
    """In a process that may take 200 MiB more than it has; and it takes far less."""
    what = []
    for i, (name, text, content) in enumerate(bombs()):
        (tmp_path / f"{i:02d}").mkdir()
        (tmp_path / f"{i:02d}" / name).write_bytes(content)
        assert len(content) < 10_000_000
        what.append(text)
    command = [sys.executable, "-c", BOMBS, str(tmp_path), str(200 * 2**20)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    report, mebibytes = json.loads(done.stdout)
    assert len(report) == len(what)
    for (_, outcome, seconds), text in zip(report, what, strict=True):
        print(f"{seconds:.3f} s  {text}: {outcome}")
        assert " should " in outcome, text
        assert "compressed as NumPy never does it" in outcome or text not in ("bzip2", "lzma")
        assert "MemoryError" not in outcome or "nesting" in text, text  # Python's parser calls it that
        assert seconds < 1, text
    print(f"{mebibytes:.0f} MiB")
    assert mebibytes < 100


def test_a_file_whose_hash_is_known_may_not_unpack_to_more_than_any_such_file(tmp_path):
    """65 MiB of zeros: fine as somebody's own file, and too much for what a mirror should have sent."""
    head, block = gzip.compress(to_idx((65, BLOCK), b"")), gzip.compress(bytes(BLOCK))
    (tmp_path / "x").write_bytes(head + block * 65)
    assert read_idx(tmp_path / "x").shape == (65, BLOCK)
    with pytest.raises(DataError, match=f"promises {65 * BLOCK} bytes of data, .* holds at most {64 * BLOCK}; fetch"):
        read_idx(tmp_path / "x", sha256="0" * 64)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ""])
def test_reading_takes_the_memory_of_what_is_read(tmp_path, suffix, rng):
    """10 MB of pixels: not much more at the peak, however they are packed."""
    x = rng.integers(0, 4, (100, 100, 1000), dtype=np.uint8)
    path = tmp_path / f"x{suffix}"
    if suffix == ".npz":
        path.write_bytes(to_zip({"x_train.npy": to_npy(x), "x_test.npy": to_npy(x[:1])}))
    else:
        path.write_bytes(to_npy(x) if suffix else gzip.compress(to_idx(x.shape, x.tobytes()), 1))
    tracemalloc.start()
    try:
        rows = read_idx(path) if suffix == "" else load_data(path).x_train
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(rows) >= 90
    copies = 2 if suffix == ".npy" else 1  # since it is split
    assert peak < copies * x.nbytes + 3 * 2**20


@pytest.mark.parametrize(("mebibytes", "fine"), [(70, True), (130, False)])
def test_how_well_a_file_may_compress(tmp_path, mebibytes, fine):
    """Zeros, which deflate packs about 1,000 to 1: up to 64 MiB and 400 times its size they are data, then a bomb."""
    file, x = tmp_path / "x.npz", np.zeros((mebibytes - 1, BLOCK), np.uint8)
    np.savez_compressed(file, x_train=x, x_test=x[:1])
    if fine:
        assert load_data(file).x_train.shape == x.shape
        return
    with pytest.raises(DataError, match="a file of its size holds at most") as caught:
        load_data(file)
    np.savez(file, x_train=x, x_test=x[:1])  # what the message says to do
    assert "save it again with np.savez(file, x_train=array)" in str(caught.value)
    assert load_data(file).x_train.shape == x.shape
