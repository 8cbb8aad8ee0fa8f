"""A page of tiles has the size that it was meant to have, whatever the images are, and says what it did to them."""

import re
from itertools import pairwise

import numpy as np
import pytest
from looking import assert_nothing_is_cut, pixels, tiles
from matplotlib.colors import to_rgb

from scratchvae import VAE, Bernoulli, ContinuousBernoulli, Gaussian, GaussianLearned
from scratchvae.view.plots import manifold, reconstructions, samples
from scratchvae.view.tiles import TINT, Greys, as_rows, decoder_means, fewer, grey_scale, page, resized

GREYS = Greys(0.0, 1.0, "grey: 0 is black, 1 is white")
TINT_RGB = np.round(np.multiply(to_rgb(TINT), 255)).astype(int)


def model(likelihood, n_x=16):
    return VAE(n_x, (4,), 2, "tanh", likelihood, rng=np.random.default_rng(0))


# -- which grey is which value -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", [Bernoulli(), ContinuousBernoulli()])
def test_a_support_with_two_ends_is_the_scale(likelihood, rng):
    assert grey_scale(model(likelihood), rng.random((3, 16)) / 2) == GREYS


def test_without_such_ends_the_run_has_one_scale_and_says_which(rng):
    x = rng.normal(5, 2, (400, 16))
    black, white, caption = grey_scale(model(Gaussian()), x)
    assert np.mean((x >= black) & (x <= white)) == pytest.approx(0.99, abs=1e-3)
    assert f"{white:.2g} is white" in caption
    assert "99 % of the pixels of 400 held-out images of this run lie between" in caption
    assert grey_scale(model(GaussianLearned()), x) == (black, white, caption)


def test_a_support_with_one_end_has_the_scale_of_the_data(rng, monkeypatch):
    x = rng.exponential(size=(40, 16))
    unbounded = grey_scale(model(Gaussian()), x)
    for support in ((0.0, np.inf), (-np.inf, 20.0)):
        monkeypatch.setattr(Gaussian, "support", support)
        assert grey_scale(model(Gaussian()), x) == unbounded


def test_the_scale_of_bytes_is_that_of_what_the_model_sees():
    x = np.array([[0, 255] * 8], dtype=np.uint8)
    assert grey_scale(model(Gaussian()), x)[:2] == (0.0, 1.0)


def test_few_lit_pixels_and_none():
    x = np.zeros((100, 16))
    assert grey_scale(model(Gaussian()), x)[:2] == (-0.5, 0.5)
    x[3, 3] = 7.0
    assert grey_scale(model(Gaussian()), x)[:2] == (0.0, 7.0)


def test_the_pictures_of_a_run_share_its_scale(rng):
    x = rng.normal(5, 2, (40, 16))
    vae = model(Gaussian())
    greys = grey_scale(vae, x)
    for figure in (reconstructions(vae, x[:5], (4, 4), greys), samples(vae, rng, (4, 4), greys=greys)):
        assert {ax.images[0].get_clim() for ax in figure.axes} == {greys[:2]}
        assert greys.caption.split("\n")[1] in figure.texts[0].get_text()
    own = manifold(vae, (4, 4))
    assert own.axes[0].images[0].get_clim() != greys[:2]
    assert "of 400 decoder means lie between" in own.texts[0].get_text()


def test_a_decoder_that_returns_two_numbers_a_pixel_shows_its_mean(rng):
    vae = model(GaussianLearned())
    z = rng.standard_normal((5, 2))
    assert decoder_means(vae, z).shape == (5, 16)
    np.testing.assert_array_equal(decoder_means(vae, z), vae.likelihood.mean(vae.decode(z)[0]))


def test_rows_are_what_the_encoder_takes(rng):
    vae = model(Bernoulli())
    assert as_rows(vae, np.full((1, 16), 255, np.uint8)).tolist() == [[1.0] * 16]
    assert as_rows(vae, np.ones((1, 16), bool)).tolist() == [[1.0] * 16]
    assert as_rows(vae, rng.random((1, 16))).dtype == np.float32


# -- size --------------------------------------------------------------------------------------------------------------

SHAPES = [(28, 28), (4, 4), (1, 1), (30, 1), (1, 30), (3000, 1), (1, 3000), (12, 20), (40, 5), (5, 40), (400, 300)]
GRIDS = [[(2, 10)], [(2, 1)], [(8, 8), (8, 8)], [(5, 1), (5, 9), (5, 1)], [(20, 20)], [(51, 13)]]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("grids", GRIDS, ids=str)
def test_a_page_is_bounded_and_its_sheets_stand_apart(shape, grids):
    figure, axes, _, tile, _ = sheets = page(shape, grids, GREYS, most=28.0 if grids[0][0] == 51 else 10.0)
    assert figure.get_figwidth() == 8.0
    assert figure.get_figheight() <= 29.5
    boxes = [ax.get_position() for ax in axes]
    assert boxes[0].x0 > 0
    assert boxes[-1].x1 < 1
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))
    assert all(0 < box.y0 < box.y1 < 1 for box in boxes)
    assert min(tile) >= 18  # pixels: what is smaller could not be seen
    for i, (R, C) in enumerate(grids):
        if fewer(R * C, shape[0] * shape[1]) != R * C:
            continue  # no picture shows so many
        sheets.show(i, np.broadcast_to(0.5, (R, C, *shape)))
        paper = figure.get_figheight() * 120 * 960
        assert axes[i].images[0].get_array().size <= 1.1 * paper


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pixels_are_square_or_the_caption_says_how_they_are_not(shape):
    (h, w), sheets = shape, page(shape, [(2, 10)], GREYS)
    width, height = sheets.axes[0].get_position().size * sheets.figure.get_size_inches()
    stretch = (width / 10 / w) / (height / 2 / h)
    said = re.search(r"pixels are drawn (\S+) times as (.*)$", sheets.figure.texts[0].get_text())
    assert (said is None) == (0.9 < stretch < 1.1)
    if said:
        assert float(said[1]) == pytest.approx(max(stretch, 1 / stretch), rel=0.02, abs=0.05)
        assert said[2] == ("wide as high" if stretch > 1 else "high as wide")
    assert (said is None) == (0.2 < h / w <= 8)


def test_high_images_become_small_before_they_become_wide():
    for R in (2, 4, 8):
        assert "pixels are drawn" not in page((40, 5), [(R, R)], GREYS).figure.texts[0].get_text()


def test_what_is_too_large_is_averaged_and_the_caption_says_so():
    sheets = page((400, 300), [(2, 10)], GREYS)
    images = np.random.default_rng(0).random((2, 10, 400, 300))
    sheets.show(0, images)
    assert "images of 400 x 300: averages over blocks of 4 x 4 pixels are shown" in sheets.figure.texts[0].get_text()
    sheet = sheets.axes[0].images[0].get_array()
    np.testing.assert_allclose(sheet[2, 2], images[0, 0, :4, :4].mean())
    assert "averages" not in page((40, 30), [(2, 10)], GREYS).figure.texts[0].get_text()


def test_resizing_repeats_or_averages():
    x = np.arange(10.0).reshape(2, 5)
    np.testing.assert_array_equal(resized(x, 5, 1), x)
    np.testing.assert_array_equal(resized(x, 14, 1), x.repeat(2, axis=1))
    np.testing.assert_array_equal(resized(x, 3, 1), [[0.5, 2.5, 4], [5.5, 7.5, 9]])
    np.testing.assert_array_equal(resized(x, 1, 0), x.mean(axis=0, keepdims=True))


def test_a_picture_asks_for_no_more_than_it_can_show():
    assert fewer(400, 784) == 400
    assert fewer(400, 160_000) == 25
    assert fewer(400, 10**9) == 2
    assert fewer(1, 10**9) == 1
    vae = VAE(160_000, (), 2, rng=np.random.default_rng(0))
    assert samples(vae, np.random.default_rng(0), (400, 400)).axes[0].images[0].get_array().shape[0] < 500


@pytest.mark.parametrize("shape", [(30, 1), (1, 30), (12, 20), (3000, 1)], ids=str)
def test_no_caption_is_cut(shape, rng):
    vae = model(Gaussian(), shape[0] * shape[1])
    x = rng.random((4, shape[0] * shape[1]))
    for figure in (reconstructions(vae, x, shape), samples(vae, rng, shape), manifold(vae, shape)):
        image = assert_nothing_is_cut(figure)
        assert image.shape[0] < 1500


# -- frames ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_no_tile_melts_into_the_page_or_its_neighbour(grey):
    sheets = page((8, 8), [(3, 4)], GREYS)
    images = np.full((3, 4, 8, 8), grey)
    images[2, 3] = np.nan
    sheets.show(0, images)
    image = pixels(sheets.figure).astype(int)
    tint = np.abs(image - TINT_RGB).max(axis=2) < 40
    box = sheets.axes[0].get_position()
    height, width = image.shape[:2]
    far_y, far_x = sheets.tile[0] // 2 + 6, sheets.tile[1] // 2 + 6  # from the middle of a tile to beyond its frame

    def at(row, column):
        """The pixel there, in tiles from the upper left corner of the sheet."""
        return round((1 - box.y1 + row * box.height / 3) * height), round((box.x0 + column * box.width / 4) * width)

    for row in range(3):
        for column in range(4):
            y, x = at(row + 0.5, column + 0.5)
            before = tint[y, x - far_x : x].any(), tint[y - far_y : y, x].any()
            assert all(before)  # a frame to the left and above
            empty = (row, column) == (2, 3)
            after = tint[y, x : x + far_x].any(), tint[y : y + far_y, x].any()
            assert all(after) != empty  # and to the right and below, but for the place that is empty
            assert (image[y, x] == (255 if empty else round(grey * 255))).all() or grey == 0.5


def test_a_sheet_holds_its_images_in_their_order(rng):
    images = rng.random((3, 4, 6, 5))
    for gap in (0, 2):
        sheets = page((6, 5), [(3, 4)], GREYS, gap=gap)
        sheets.show(0, images)
        np.testing.assert_array_equal(tiles(sheets.axes[0], 3, 4, 6, 5, gap), images)
