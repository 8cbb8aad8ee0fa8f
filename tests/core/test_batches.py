"""Order, bits, the move to floats and the fingerprint: every row once, and every bit with its exact probability."""

import hashlib
import math
import tracemalloc

import numpy as np
import pytest

from scratchvae import SGD, VAE, Adam, fit
from scratchvae.batches import batches, binarised, check_pixels, fingerprint, to_unit_floats
from scratchvae.training import TEST_SEED


def epoch(x, rng, how="none", batch_size=4, dtype="float32"):
    return list(batches(x, batch_size, how, rng, dtype, np))


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"), [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 4, [3]), (2, 1, [1, 1])]
)
def test_every_row_once_an_epoch(rng, n, batch_size, sizes):
    x = np.arange(3.0 * n).reshape(n, 3)
    got = epoch(x, rng, batch_size=batch_size)
    assert [len(rows) for rows in got] == sizes
    rows = np.concatenate(got)
    assert np.array_equal(rows[np.argsort(rows[:, 0])], x)


def test_the_order_is_drawn_afresh_each_epoch_and_by_the_seed_alone():
    x = np.arange(50.0)[:, None]
    one, other = np.random.default_rng(1), np.random.default_rng(1)
    first, second = np.concatenate(epoch(x, one)), np.concatenate(epoch(x, one))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, x)
    assert np.array_equal(np.concatenate(epoch(x, other)), first)
    assert np.array_equal(np.concatenate(epoch(x, other)), second)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("how", ["none", "threshold", "dynamic"])
@pytest.mark.parametrize("source", ["uint8", "float32", "float64"])
def test_batches_are_floats_of_the_model(rng, source, how, dtype):
    x = np.full((6, 5), 64 if source == "uint8" else 0.25, source)  # 0.25 is exact in every dtype
    x.setflags(write=False)
    grey = np.array(64, dtype) / np.array(255, dtype) if source == "uint8" else 0.25
    for rows in epoch(x, rng, how, dtype=dtype):
        assert rows.dtype == dtype
        assert set(rows.ravel()) <= ({grey} if how == "none" else {0.0, 1.0})


def test_uint8_is_divided_by_255_and_nothing_else_is():
    assert to_unit_floats(np.array([0, 51, 255], "uint8"), "float64", np).tolist() == [0.0, 0.2, 1.0]
    assert to_unit_floats(np.array([0.0, 51.0]), "float64", np).tolist() == [0.0, 51.0]
    assert to_unit_floats(np.array([False, True]), "float64", np).tolist() == [0.0, 1.0]


def test_floats_are_copied_not_handed_on(rng):
    x = rng.random((3, 2))
    assert not np.shares_memory(to_unit_floats(x, "float64", np), x)


# -- binarisation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
def test_dynamic_bits_have_the_probability_of_their_pixel(rng, kind):
    n = 20_000
    pixels = np.arange(256, dtype="uint8") if kind == "uint8" else (np.arange(256) / 255).astype(kind)
    p = np.arange(256) / 255
    bits = binarised(np.broadcast_to(pixels, (n, 256)), "dynamic", rng)
    assert bits.dtype == bool
    mean = bits.mean(axis=0)
    assert mean[0] == 0
    assert mean[255] == 1
    assert (np.abs(mean - p) <= 5 * np.sqrt(p * (1 - p) / n)).all()
    # over all pixels: sharp enough to tell x / 255 from x / 256
    error = 5 * np.sqrt((p * (1 - p)).sum() / n) / 256
    assert error < np.mean(p - np.arange(256) / 256) / 2
    assert abs(mean.mean() - p.mean()) < error


def test_dynamic_bits_are_redrawn(rng):
    x = np.full((20, 30), 128, "uint8")
    first, second = np.concatenate(epoch(x, rng, "dynamic")), np.concatenate(epoch(x, rng, "dynamic"))
    assert (first != second).mean() > 0.3
    assert (binarised(x, "dynamic", rng) != binarised(x, "dynamic", rng)).mean() > 0.3


@pytest.mark.parametrize(
    ("x", "bits"),
    [
        (np.array([0, 1, 127, 128, 255], "uint8"), [0, 0, 0, 1, 1]),
        (np.array([0.0, 0.49, 0.5, 0.51, 1.0]), [0, 0, 0, 1, 1]),
        (np.array([0.0, 0.49, 0.5, 0.51, 1.0], "float32"), [0, 0, 0, 1, 1]),
    ],
)
def test_threshold_asks_whether_the_pixel_is_above_a_half(rng, x, bits):
    before = rng.bit_generator.state
    assert binarised(x, "threshold", rng).tolist() == [bool(bit) for bit in bits]
    assert rng.bit_generator.state == before


def test_none_leaves_grey_as_it_is(rng):
    x = np.array([[0, 7, 255]], "uint8")
    before = rng.bit_generator.state
    assert binarised(x, "none", rng) is x
    assert rng.bit_generator.state == before
    assert np.array_equal(epoch(x, rng, "none")[0], np.float32([[0, 7, 255]]) / np.float32(255))


def test_an_unknown_way_is_named(rng):
    with pytest.raises(ValueError, match="binarise should be one of none, threshold, dynamic, got 'otsu'"):
        binarised(np.zeros((1, 1)), "otsu", rng)


class Listener(VAE):
    """A VAE that notes the rows it is asked about."""

    def objective(self, x, eps, beta=1.0):
        self.heard = [*getattr(self, "heard", []), x.copy()]
        return super().objective(x, eps, beta)


@pytest.mark.parametrize("seed", [0, 1])
def test_held_out_images_are_binarised_once_and_from_their_own_seed(seed):
    rng = np.random.default_rng(5)
    x = rng.integers(60, 200, size=(20, 16), dtype=np.uint8)
    rng = np.random.default_rng(seed)
    model = Listener(16, (4,), 2, rng=rng)
    fit(model, x[:12], x[12:], epochs=2, optimizer=Adam(), rng=rng, batch_size=12, progress=False)
    _, train_1, test_1, train_2, test_2 = model.heard  # the first pass only tries the objective
    assert np.array_equal(test_1, test_2)
    assert np.array_equal(test_1, binarised(x[12:], "dynamic", np.random.default_rng(TEST_SEED)))
    assert not np.array_equal(np.sort(train_1, axis=0), np.sort(train_2, axis=0))


def test_training_starts_from_the_mean_pixel_in_0_to_1(rng):
    """The bias of the output is the logit of the mean pixel, for bytes as for the same images as floats."""
    x = rng.integers(30, 225, size=(40, 6), dtype=np.uint8)
    mean = x.mean(axis=0) / 255
    for images in (x, x / 255):
        model = VAE(6, (4,), 2, rng=rng)
        fit(model, images, images, epochs=1, optimizer=SGD(lr=1e-9), rng=rng, binarise="none", progress=False)
        np.testing.assert_allclose(model.params["logits.b"], np.log(mean / (1 - mean)), rtol=1e-4, atol=1e-5)


# -- the fingerprint ---------------------------------------------------------------------------------------------------

PIXELS = np.random.default_rng(7).integers(0, 256, size=(300, 500), dtype=np.uint8)  # more than one block


def test_a_fingerprint_is_the_sha256_of_dtype_shape_and_numbers():
    x, y = np.arange(6, dtype="<f4").reshape(2, 3), np.uint8([7])
    content = b"<f4(2, 3)" + x.tobytes() + b"|u1(1,)" + b"\x07"
    assert fingerprint(x, y) == hashlib.sha256(content).hexdigest()
    assert fingerprint(PIXELS) == hashlib.sha256(b"|u1(300, 500)" + PIXELS.tobytes()).hexdigest()


@pytest.mark.parametrize("dtype", ["uint8", "<f2", "<f4", "<f8", "longdouble"])
@pytest.mark.parametrize("shape", [(300, 500), (150_000,), (30, 50, 100), (1, 150_000), (150_000, 1)])
def test_however_the_numbers_lie_the_fingerprint_is_the_same(tmp_path, dtype, shape):
    x = PIXELS.reshape(shape).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "f.npy", np.asfortranarray(x))
    wide = np.zeros((*shape[:-1], 2 * shape[-1]), dtype)
    wide[..., ::2] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    same = [
        np.asfortranarray(x),
        x.astype(x.dtype.newbyteorder(">")),
        np.asfortranarray(x.astype(x.dtype.newbyteorder(">"))),
        wide[..., ::2],
        np.ascontiguousarray(x[::-1])[::-1],
        np.ascontiguousarray(x.T).T,
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        np.load(tmp_path / "f.npy", mmap_mode="r"),
        frozen,
    ]
    assert {fingerprint(other) for other in same} == {fingerprint(x)}
    assert np.array_equal(x, PIXELS.reshape(shape).astype(dtype)), "nothing was written to"


def test_other_data_have_another_fingerprint():
    x = PIXELS.copy()
    x[-1, -1] ^= 1
    swapped = PIXELS[np.r_[1, 0, 2 : len(PIXELS)]]
    others = [(x,), (swapped,), (PIXELS.reshape(500, 300),), (PIXELS.T,), (PIXELS.astype("int8"),), (PIXELS[:-1],)]
    others += [(PIXELS / 1.0,), (PIXELS.astype("f4"),), (PIXELS[:9], PIXELS[9:]), (PIXELS[:10], PIXELS[10:])]
    others += [(PIXELS[9:], PIXELS[:9]), (PIXELS[:0],), (PIXELS[:0, :9],), ()]
    prints = [fingerprint(*other) for other in [*others, (PIXELS,)]]
    assert len(set(prints)) == len(prints)
    assert all(len(text) == 64 for text in prints)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f8"])
def test_a_fingerprint_takes_no_memory_to_speak_of(order, dtype):
    x = np.ones((1000, 2000), dtype, order)  # 16 MB
    tracemalloc.start()
    try:
        fingerprint(x[:, ::2])
        fingerprint(x)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**21


def test_bits_are_refused_where_a_likelihood_is_not_one_of_bits():
    x = np.array([[1, 255]], np.uint8)
    check_pixels(x, "x", 2, (1e-3, math.inf), "none")
    with pytest.raises(ValueError, match=r"^binarise should be none, .* got 'dynamic'$"):
        check_pixels(x, "x", 2, (1e-3, math.inf), "dynamic")
    with pytest.raises(ValueError, match=r"^x should lie in \[0.5, inf\] for this likelihood, got values from 0.0039"):
        check_pixels(x, "x", 2, (0.5, math.inf), "none")
