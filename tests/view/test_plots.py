"""The pictures show what they say: the right images in the right places, means and draws apart, units on the axes."""

from statistics import NormalDist

import numpy as np
import pytest
from looking import pixels, tiles
from matplotlib.figure import Figure
from PIL import Image

from scratchvae import VAE, Adam, Autoencoder, Gaussian, fit
from scratchvae.batches import binarised
from scratchvae.data import Dataset
from scratchvae.data.toy import circle
from scratchvae.training import TEST_SEED
from scratchvae.view import plots
from scratchvae.view.plots import latent_scatter, manifold, reconstructions, samples, write_pictures
from scratchvae.view.png import save_png
from scratchvae.view.style import PALETTE
from scratchvae.view.tiles import Greys, grey_scale


@pytest.fixture
def vae(rng):
    return VAE(16, (8,), 2, "tanh", rng=rng)


def test_manifold_puts_each_quantile_of_the_prior_where_its_axis_says(vae):
    n = 5
    ax = manifold(vae, (4, 4), n=n).axes[0]
    images = tiles(ax, n, n, 4, 4, gap=0)
    quantile = [NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)]
    for row in range(n):
        for column in range(n):
            z = np.array([[quantile[column], quantile[n - 1 - row]]])  # z1 to the right, z2 upwards
            mean = vae.likelihood.mean(vae.decode(z)[0])
            np.testing.assert_allclose(images[row, column].ravel(), mean[0], rtol=1e-5)
    middle = ax.get_xticks()[[label.get_text() for label in ax.get_xticklabels()].index("0")]
    assert middle == n / 2


def test_samples_show_means_and_draws_of_the_same_latents_and_say_which_is_which(vae):
    left, right = samples(vae, np.random.default_rng(1), (4, 4), n=3).axes
    means, draws = tiles(left, 3, 3, 4, 4), tiles(right, 3, 3, 4, 4)
    assert "means" in left.get_title()
    assert "Draws" in right.get_title()
    np.testing.assert_allclose(means.reshape(9, 16), vae.sample(9, np.random.default_rng(1)), rtol=1e-6)
    assert set(np.unique(draws)) == {0.0, 1.0}


def test_reconstructions_stand_below_their_inputs(vae, rng):
    x = rng.integers(0, 256, (6, 16), dtype=np.uint8)
    ax = reconstructions(vae, x, (4, 4)).axes[0]
    images = tiles(ax, 2, 6, 4, 4).reshape(2, 6, 16)
    np.testing.assert_allclose(images[0], x / 255, rtol=1e-6)
    np.testing.assert_allclose(images[1], vae.reconstruct((x / 255).astype("float32")), rtol=1e-5)
    assert [label.get_text()[:5] for label in ax.get_yticklabels()] == ["input", "E[x|z"]


def test_a_saved_picture_keeps_the_colours_that_tell_ten_labels_apart(vae, rng, tmp_path):
    figure = latent_scatter(vae, rng.random((400, 16)), np.arange(400) % 10)
    save_png(figure, tmp_path / "scatter.png")
    with Image.open(tmp_path / "scatter.png") as saved:
        image = np.asarray(saved.convert("RGB")).astype(int)
    assert np.abs(image - pixels(figure)).max() <= 40  # every pixel has about the colour that was drawn
    shown = np.unique(image.reshape(-1, 3), axis=0)
    for colour in PALETTE:
        ink = 0.8 * np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) + 0.2 * 255  # drawn with alpha 0.8
        assert np.abs(shown - ink).max(axis=1).min() <= 24, colour


def test_a_saved_picture_keeps_black_white_and_the_greys_between(tmp_path):
    figure = Figure(figsize=(1, 1))
    figure.add_axes((0, 0, 1, 1)).imshow([[0.0, 0.5, 1.0]], cmap="gray", aspect="auto")
    save_png(figure, tmp_path / "grey.png", dpi=90)
    with Image.open(tmp_path / "grey.png") as saved:
        assert saved.mode == "P"
        shown = np.asarray(saved.convert("RGB")).astype(int)[45, 15::30]
    assert np.abs(shown - [[0] * 3, [128] * 3, [255] * 3]).max() <= 4


def test_what_the_noise_of_the_draws_is_stands_below_them(rng):
    vae = VAE(16, (8,), 2, "tanh", Gaussian(0.3), rng=rng)
    figure = samples(vae, rng, (4, 4), n=30, greys=Greys(-1.0, 3.0, "grey"))
    assert "the noise of p(x|z), here 0.3 a pixel, where black to white is 4" in figure.texts[0].get_text()


def test_the_manifold_needs_two_latents(rng):
    with pytest.raises(ValueError, match=r"needs a model with n_z = 2, got n_z = 3$"):
        manifold(VAE(16, (8,), 3, rng=rng), (4, 4))


def test_the_pictures_of_a_run_share_one_grey_scale(rng, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(plots, "save_png", lambda figure, path: figures.append(figure))
    data = Dataset("toy", rng.random((9, 16)), rng.normal(3, 2, (60, 16)), image_shape=(4, 4))
    write_pictures(VAE(16, (8,), 2, "tanh", Gaussian(), rng=rng), data, {}, tmp_path, rng, "none")
    assert len(figures) == 4
    scales = {ax.images[0].get_clim() for figure in figures for ax in figure.axes if ax.images}
    assert scales == {grey_scale(VAE(16, (), 2, likelihood=Gaussian(), rng=rng), data.x_test)[:2]}


def test_the_inputs_that_are_shown_are_one_of_each_class_as_training_saw_them(rng, tmp_path, monkeypatch):
    figures = {}
    monkeypatch.setattr(plots, "save_png", lambda figure, path: figures.update({path.stem: figure}))
    x, y = rng.integers(0, 256, (36, 16), dtype=np.uint8), np.arange(36) // 3  # twelve classes
    data = Dataset("toy", x, x, y, y, (4, 4))
    write_pictures(VAE(16, (8,), 3, rng=rng), data, {}, tmp_path, rng, "dynamic")
    shown = tiles(figures["reconstructions"].axes[0], 2, 10, 4, 4)[0].reshape(10, 16)
    bits = binarised(x, "dynamic", np.random.default_rng(TEST_SEED))
    np.testing.assert_array_equal(shown, bits[:30:3])


IMAGES = {"reconstructions"}
EXPECTED = [
    (VAE, 2, (4, 4), IMAGES | {"samples", "manifold", "latent_scatter"}),
    (VAE, 3, (4, 4), IMAGES | {"samples"}),
    (Autoencoder, 2, (4, 4), IMAGES | {"latent_scatter"}),
    (Autoencoder, 3, (4, 4), IMAGES),
    (VAE, 2, None, {"reconstructions", "samples", "latent_scatter"}),
    (Autoencoder, 3, None, {"reconstructions"}),
]


@pytest.mark.parametrize(("kind", "n_z", "image_shape", "names"), EXPECTED)
def test_a_run_gets_the_pictures_that_make_sense_for_it(kind, n_z, image_shape, names, rng, tmp_path):
    x = rng.random((40, 16)) if image_shape else circle(40, rng)
    data = Dataset("toy", x[:30], x[30:], np.arange(30) % 2, np.arange(10) % 2, image_shape)
    model = kind(x.shape[1], (8,), n_z, "tanh", Gaussian(), rng=rng)
    how = {"optimizer": Adam(), "rng": rng, "binarise": "none", "progress": False}
    history = fit(model, data.x_train, data.x_test, epochs=1, **how)
    paths = write_pictures(model, data, history, tmp_path, rng, "none")
    assert {path.stem for path in paths} == names | {"learning_curves"}
    assert sorted(paths) == sorted(tmp_path.iterdir())
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
