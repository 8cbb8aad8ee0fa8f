"""NumPy's formats, read as NumPy reads them where the file is honest; refused in one line, fast, where it is not."""

import io
import itertools
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from scratchvae.npz import LONGEST_DIRECTORY, LONGEST_HEADER, Unreadable, brief, names_in, read_npy, read_npz

X = np.arange(24.0).reshape(4, 6)


def npy(array, version=None):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asanyarray(array), version=version)
    return stream.getvalue()


def npz(packed=False, **arrays):
    stream = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(stream, **arrays)
    return stream.getvalue()


def zipped(members, method=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def with_header(header, data=b"", length=None):
    """An .npy of version 2 whose header is this text, said to be of this length."""
    text = header.encode()
    return b"\x93NUMPY\x02\0" + struct.pack("<I", len(text) if length is None else length) + text + data


def refusal(read, content, **options):
    """The message, which takes little time and memory, and one line."""
    began = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable) as caught:
            read(io.BytesIO(content), **options)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20
    assert time.process_time() - began < 1
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500
    return message


# -- what is honest ----------------------------------------------------------------------------------------------------

NUMBERS = ["?", "b", "B", "<i2", ">u2", "<i4", ">i8", "<u8", "<f2", ">f4", "<f8", ">f8", "g", "<U5", ">U5"]
SHAPES = [(), (7,), (0,), (3, 4), (2, 3, 4), (1, 0, 5)]


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_numpy_writes_is_what_is_read(rng, version, order):
    for dtype, shape in itertools.product(NUMBERS, SHAPES):
        array = np.array(rng.integers(0, 99, shape), dtype, order=order)
        read = read_npy(io.BytesIO(npy(array, version)))
        assert read.dtype == array.dtype.newbyteorder("=")
        assert read.dtype.isnative
        assert read.shape == shape
        assert read.flags.c_contiguous
        assert read.flags.writeable
        assert np.array_equal(read, array)


@pytest.mark.parametrize("packed", [True, False])
def test_an_npz_by_name(packed):
    arrays = {"params/encoder.0.W": X, "meta": np.array('{"π": "☃"}'), "empty": np.zeros(0), "ünïcode": X[:0].T}
    content = npz(packed, **arrays)
    read = read_npz(io.BytesIO(content))
    assert list(read) == list(arrays) == names_in(io.BytesIO(content))
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        assert np.array_equal(read[name], array)
    assert str(read["meta"]) == '{"π": "☃"}'
    assert list(read_npz(io.BytesIO(content), ("meta", "elsewhere"))) == ["meta"]


def test_what_is_not_wanted_is_not_looked_at():
    content = zipped([("x.npy", npy(X)), ("notes.txt", b"?"), ("objects.npy", npy(np.array([None])))])
    assert np.array_equal(read_npz(io.BytesIO(content), ("x",))["x"], X)
    assert refusal(read_npz, content) == "notes.txt begins with 3f, and no .npy does"


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (24,), }",
        "{'shape':(24,),'fortran_order':False,'descr':'<f8'}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (24L,), }",
        "  {  'fortran_order' : False , 'shape' : ( 24 , ) , 'descr' : '=f8' , }  \n",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (24,), }" + " " * (LONGEST_HEADER - 58),
    ],
    ids=["numpy", "another order", "python 2", "spaces", "as long as may be"],
)
def test_a_header_may_be_written_in_other_ways(header):
    assert np.array_equal(read_npy(io.BytesIO(with_header(header, X.tobytes()))), X.ravel())


# -- what is not -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([None]), "x is of the type '|O', not of plain numbers"),
        (X + 0j, "x is of the type '<c16', not of plain numbers"),
        (np.array(["2020"], "M8[s]"), "x is of the type '<M8[s]', not of plain numbers"),
        (np.array([b"a"]), "x is of the type '|S1', not of plain numbers"),
        (np.zeros(2, [("a", "f4"), ("b", "O")]), "the header of x is {'descr': [('a', '<f4'), ('b', '|O')], "),
    ],
)
def test_other_things_than_numbers_and_text(array, message):
    assert refusal(read_npz, npz(x=array)).startswith(message)


def describe(shape, descr="'<f8'", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


@pytest.mark.parametrize(
    "header",
    [
        "",
        " " * LONGEST_HEADER,
        "{" + " " * (LONGEST_HEADER - 1),
        "{'descr'" + " " * 9900,
        describe("(24" + " " * 9000),
        describe("(" + "1," * 4000 + "x)"),
        describe("(" + "1" * 9000 + ")"),
        describe("(" + "1," * 4000 + ")"),
        "(" * LONGEST_HEADER,
        describe("(4 6,)"),
        describe("(-24,)"),
        describe("(True, 24)"),
        describe("24"),
        describe("(,)"),
        describe("(24,)", "'<f3'"),
        describe("(24,)", "'<f8', 'descr': '<f8'"),
        describe("(24,)", order="0"),
        describe("(24,)", order="(1,)"),
        describe("(24,)", descr="True"),
        describe("(24,)") + "x",
        "{'descr': '<f8', 'shape': (24,), }",
        "{'descr': '<f8', 'descr': '<f8', 'shape': (24,), }",
        describe("(٢٤,)"),
        describe("(10000000000, 10000000000)"),
        describe("(4294967296, 4294967296)"),  # 2^64 numbers: 0 where a product wraps around
        describe("(0, 10000000000)"),
        describe("(24,)", "'<U0'"),
        describe("(24,)", "'<U99999999999999999999'"),
        describe("(23,)"),
        describe("(25,)"),
    ],
)
def test_headers_that_are_none(header):
    for content in (with_header(header, X.tobytes()), zipped([("x.npy", with_header(header, X.tobytes()))])):
        refusal(read_npy if content[:1] == b"\x93" else read_npz, content)


def test_what_a_header_says_and_what_is_there():
    says = "the header of the array says float64 of shape (23,), and 192 bytes of data are there"
    assert refusal(read_npy, with_header(describe("(23,)"), X.tobytes())) == says
    version_4 = with_header(describe("(24,)"), X.tobytes()).replace(b"NUMPY\x02", b"NUMPY\x04")
    assert refusal(read_npy, version_4) == "the array begins with 93 4e 55 4d 50 59 04 00, and no .npy does"


@pytest.mark.parametrize("length", [LONGEST_HEADER + 1, 2**32 - 1])
def test_a_header_is_not_longer_than_it_may_be(length):
    content = with_header(describe("(24,)").ljust(LONGEST_HEADER + 1), X.tobytes(), length)
    assert refusal(read_npy, content) == f"the header of the array is {length} bytes long, more than {LONGEST_HEADER}"


@pytest.mark.parametrize("make", [npy, lambda x: npz(x=x), lambda x: npz(packed=True, x=x)])
def test_a_file_cut_anywhere(make):
    content = make(X)
    read = read_npy if content[:1] == b"\x93" else read_npz
    for length in range(len(content)):
        refusal(read, content[:length])


def test_a_changed_number_is_noticed():
    content = bytearray(npz(x=X))
    content[content.index(X[1].tobytes())] ^= 1
    assert "CRC" in refusal(read_npz, bytes(content))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("x.npy", "x.npy"), ("x", "x.npy"), ("x\0a", "x\0b")])
def test_a_name_comes_once(names):
    content = zipped([(name, npy(X)) for name in names])
    assert refusal(read_npz, content) == refusal(names_in, content) == "it holds x twice"


def by_hand(entries, body, method=0):
    """A zip file with these entries: name, where its local header lies, the two sizes; it claims no checksum."""
    central = b"".join(
        b"PK\x01\x02\x14\0"
        + struct.pack("<HHHHHIIIHHHHHII", 20, 0, method, 0, 33, 0, packed, size, len(name), 0, 0, 0, 0, 0, at)
        + name
        for name, at, packed, size in entries
    )
    end = struct.pack("<HHHHIIH", 0, 0, len(entries) % 2**16, len(entries) % 2**16, len(central), len(body), 0)
    return body + central + b"PK\x05\x06" + end


def test_members_may_not_overlap():
    """A hundred names for the same bytes: each fits into the file, all together do not."""
    content = by_hand([(b"%d" % i, 0, 1000, 1000) for i in range(100)], bytes(1100))
    assert "bytes of data, and a file of its size holds at most" in refusal(read_npz, content)


@pytest.mark.parametrize("size", [2**20, 2**32 - 2])
def test_a_stored_member_is_no_longer_than_its_file(size):
    content = by_hand([(b"x", 0, 1000, size)], bytes(1100))
    assert f"promises {size} bytes of data, and a file of its size" in refusal(read_npz, content, stored_only=True)


def test_stored_only():
    assert (
        refusal(read_npz, npz(packed=True, x=X), stored_only=True) == "x is compressed, and should be stored as it is"
    )
    assert np.array_equal(read_npz(io.BytesIO(npz(x=X)), stored_only=True)["x"], X)
    bomb = npz(packed=True, x=np.zeros(2**21))  # 16 MB in 16 kB: packed it is data, stored it cannot be
    assert read_npz(io.BytesIO(bomb))["x"].size == 2**21
    assert refusal(read_npz, bomb, stored_only=True) == "x is compressed, and should be stored as it is"


def test_a_long_list_of_members():
    few, many = (zipped([(f"{i}", b"") for i in range(n)]) for n in (5_000, 100_000))
    assert len(names_in(io.BytesIO(few))) == 5_000
    assert refusal(read_npz, many) == f"its list of what it holds is longer than {LONGEST_DIRECTORY} bytes"


def test_thousands_of_arrays_are_read_or_refused_in_time():
    content = zipped([(f"{i}.npy", npy(np.float32(i))) for i in range(5_000)])
    began = time.process_time()
    assert len(read_npz(io.BytesIO(content), stored_only=True)) == 5_000
    assert time.process_time() - began < 2


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_unpacks_in_one_go_is_not_unpacked(method):
    content = zipped([("x.npy", npy(X))], method)
    assert refusal(read_npz, content) == "x is compressed as NumPy never does it"


def test_mutated_files_are_read_in_bounds_or_refused():
    """Random damage, in the file or in a member of it: whatever is read is no larger than the file."""
    rng, read = np.random.default_rng(3), 0
    for i in range(1500):
        inner = i % 2
        content = bytearray(npy(X) if inner else npz(x=X, meta=np.array("text")))
        for at in rng.integers(0, len(content), rng.integers(1, 4)):
            content[at] = rng.integers(256)
        content = zipped([("x.npy", bytes(content))]) if inner else bytes(content)
        try:
            arrays = read_npz(io.BytesIO(content), stored_only=True)
        except Unreadable:
            continue
        read += 1
        assert sum(array.nbytes for array in arrays.values()) <= len(content)
        assert all(array.dtype.kind in "biufU" for array in arrays.values())
    assert 50 < read < 1450


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("two\nlines\t and  spaces", "two lines and spaces"),
        ("\x1b[31mred\x07\x00", "?[31mred??"),
        ("\udcff \u202egnp.exe", "? ?gnp.exe"),
        ("é ☃ 𝒳", "é ☃ 𝒳"),
        ("a" * 400, "a" * 296 + " ..."),
    ],
)
def test_words_out_of_a_file_are_fit_to_be_quoted(text, quoted):
    assert brief(text) == quoted
