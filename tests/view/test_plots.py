"""The pictures show what they say: the right images in the right places, means and draws apart, units on the axes."""

from statistics import NormalDist

import numpy as np
import pytest
from PIL import Image

from scratchvae import VAE, Adam, Autoencoder, Gaussian, fit
from scratchvae.data import Dataset
from scratchvae.data.toy import circle
from scratchvae.view.plots import (
    PALETTE,
    latent_scatter,
    learning_curves,
    manifold,
    reconstructions,
    samples,
    write_pictures,
)
from scratchvae.view.png import save_png

HISTORY = {
    "epoch": [1, 2],
    "train_elbo": [-9.0, -8.0],
    "test_elbo": [-9.5, -8.5],
    "test_nll": [9.0, 8.0],
    "test_kl": [0.5, 0.5],
}


@pytest.fixture
def vae(rng):
    return VAE(16, (8,), 2, "tanh", rng=rng)


def tiles(ax, rows, columns):
    """The images of a sheet, (rows, columns, 4, 4), without the gaps between them."""
    sheet = ax.images[0].get_array().filled(np.nan)
    h, w = sheet.shape[0] // rows, sheet.shape[1] // columns
    return sheet.reshape(rows, h, columns, w).transpose(0, 2, 1, 3)[:, :, :4, :4]


def test_learning_curves_have_a_panel_a_term_with_its_unit():
    axes = learning_curves(HISTORY, "binarise dynamic").axes
    assert [ax.get_title()[:4] for ax in axes] == ["nll ", "kl =", "elbo"]
    assert {ax.get_ylabel() for ax in axes} == {"nats per image"}
    assert {ax.get_xlabel() for ax in axes} == {"epoch"}
    for ax, term in zip(axes, ("nll", "kl", "elbo"), strict=True):
        np.testing.assert_array_equal(ax.lines[-1].get_ydata(), HISTORY[f"test_{term}"])
    assert len(axes[2].lines) == 2  # train beside test


def test_the_autoencoder_has_one_panel():
    (ax,) = learning_curves({"epoch": [1], "train_nll": [5.0], "test_nll": [6.0]}).axes
    assert len(ax.lines) == 2


def test_manifold_puts_each_quantile_of_the_prior_where_its_axis_says(vae):
    n = 5
    ax = manifold(vae, (4, 4), n=n).axes[0]
    images = tiles(ax, n, n)
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
    means, draws = tiles(left, 3, 3), tiles(right, 3, 3)
    assert "means" in left.get_title()
    assert "Draws" in right.get_title()
    np.testing.assert_allclose(means.reshape(9, 16), vae.sample(9, np.random.default_rng(1)), rtol=1e-6)
    assert set(np.unique(draws)) == {0.0, 1.0}


def test_reconstructions_stand_below_their_inputs(vae, rng):
    x = rng.integers(0, 256, (6, 16), dtype=np.uint8)
    ax = reconstructions(vae, x, (4, 4)).axes[0]
    images = tiles(ax, 2, 6).reshape(2, 6, 16)
    np.testing.assert_allclose(images[0], x / 255, rtol=1e-6)
    np.testing.assert_allclose(images[1], vae.reconstruct((x / 255).astype("float32")), rtol=1e-5)
    assert [label.get_text()[:5] for label in ax.get_yticklabels()] == ["input", "E[x|z"]


def test_scatter_draws_every_row_as_its_label(vae, rng):
    x, y = rng.random((30, 16)), np.arange(30) % 3
    ax = latent_scatter(vae, x, y).axes[0]
    mu, _, _ = vae.encode(x)
    for label, points in enumerate(ax.collections):
        np.testing.assert_allclose(points.get_offsets(), mu[y == label], rtol=1e-6)
    assert len({tuple(points.get_facecolor()[0]) for points in ax.collections}) == 3
    assert "σ of the prior" in ax.get_xlabel()


def test_a_saved_picture_keeps_the_colours_that_tell_ten_labels_apart(vae, rng, tmp_path):
    save_png(latent_scatter(vae, rng.random((400, 16)), np.arange(400) % 10), tmp_path / "scatter.png")
    with Image.open(tmp_path / "scatter.png") as saved:
        shown = np.unique(np.asarray(saved.convert("RGB")).reshape(-1, 3), axis=0).astype(int)
    for colour in PALETTE:
        ink = 0.8 * np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) + 0.2 * 255  # drawn with alpha 0.8
        assert np.abs(shown - ink).max(axis=1).min() <= 24, colour


def test_images_without_bounds_say_what_black_and_white_stand_for(rng):
    vae = VAE(16, (8,), 2, "tanh", Gaussian(), rng=rng)
    left, right = samples(vae, rng, (4, 4), n=3).axes
    low, high = left.images[0].get_clim()
    assert right.images[0].get_clim() == (low, high)
    expected = f"pixel values from {low:.2g} (black) to {high:.2g} (white)".replace("-", "−")
    assert {left.get_xlabel(), right.get_xlabel()} == {expected}


def test_scatter_of_many_rows_says_how_many_it_shows(vae, rng):
    x = rng.random((3000, 16))
    ax = latent_scatter(vae, x).axes[0]
    assert ax.get_title().endswith("2,500 of 3,000 inputs")
    shown, (mu, _, _) = ax.collections[0].get_offsets(), vae.encode(x)
    assert len(shown) == 2500
    assert {tuple(point) for point in np.float32(shown)} <= {tuple(point) for point in mu}


@pytest.mark.parametrize("draw", [manifold, latent_scatter])
def test_a_plane_needs_two_latents(draw, rng):
    with pytest.raises(ValueError, match=r"needs a model with n_z = 2, got n_z = 3$"):
        draw(VAE(16, (8,), 3, rng=rng), np.zeros((2, 16)) if draw is latent_scatter else (4, 4))


IMAGES = {"reconstructions"}
EXPECTED = [
    (VAE, 2, (4, 4), IMAGES | {"samples", "manifold", "latent_scatter"}),
    (VAE, 3, (4, 4), IMAGES | {"samples"}),
    (Autoencoder, 2, (4, 4), IMAGES | {"latent_scatter"}),
    (Autoencoder, 3, (4, 4), IMAGES),
    (VAE, 2, None, {"latent_scatter"}),
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
