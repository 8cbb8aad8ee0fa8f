"""Pictures of the latent space: the decoder means are those of the latents that the axes name."""

import numpy as np
import pytest
from looking import assert_nothing_is_cut, tiles
from matplotlib.figure import Figure

from scratchvae import VAE, Autoencoder, Gaussian, GaussianLearned
from scratchvae.evaluation import kl_per_latent
from scratchvae.view.latent import interpolation, sheet, traversal


def small(kind=VAE, likelihood=None, n_z=3):
    return kind(8, (5,), n_z, "tanh", likelihood, rng=np.random.default_rng(0), dtype="float64")


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_the_line_starts_and_ends_at_the_reconstructions(kind, rng):
    model, x = small(kind), rng.random((6, 8))
    figure = interpolation(model, x[:3], x[3:], (2, 4), steps=5)
    left, middle, right = figure.axes
    np.testing.assert_array_equal(tiles(left, 3, 1, 2, 4)[:, 0].reshape(3, 8), x[:3])
    np.testing.assert_array_equal(tiles(right, 3, 1, 2, 4)[:, 0].reshape(3, 8), x[3:])
    path = tiles(middle, 3, 5, 2, 4).reshape(3, 5, 8)
    np.testing.assert_allclose(path[:, 0], model.reconstruct(x[:3]), rtol=1e-12)
    np.testing.assert_allclose(path[:, -1], model.reconstruct(x[3:]), rtol=1e-12)
    codes = model.encode(x)[0]
    halfway = model.likelihood.mean(model.decode((codes[:3] + codes[3:]) / 2)[0])
    np.testing.assert_allclose(path[:, 2], halfway, rtol=1e-12)
    assert "decoder means" in middle.get_title()


def test_a_traversal_moves_one_latent_and_orders_by_kl(rng):
    vae, x = small(), rng.random((30, 8))
    vae.params["mu.W"][...] *= [0.1, 5.0, 1.0]  # KLs in the order z2, z3, z1
    figure = traversal(vae, x, (2, 4), steps=7)
    ax = figure.axes[0]
    shown = tiles(ax, 4, 7, 2, 4).reshape(4, 7, 8)
    mu = vae.encode(x[:1])[0][0]
    order = np.argsort(-kl_per_latent(vae, x))
    assert order.tolist() == [1, 2, 0]
    np.testing.assert_array_equal(shown[0, 0], x[0])
    np.testing.assert_allclose(shown[0, 1], vae.reconstruct(x[:1])[0], rtol=1e-12)
    assert np.isnan(shown[0, 2:]).all()
    for row, j in enumerate(order, start=1):
        for column, value in enumerate((-3, -2, -1, 0, 1, 2, 3)):
            z = mu.copy()
            z[j] = value
            np.testing.assert_allclose(shown[row, column], vae.likelihood.mean(vae.decode(z[None])[0])[0], rtol=1e-12)
    labels = [label.get_text().split()[0] for label in ax.get_yticklabels()]
    assert labels == ["KL,", "z2", "z3", "z1"]
    marks = ax.collections[-1].get_offsets()
    np.testing.assert_allclose(marks[:, 0], np.clip(mu[order], -3, 3) + 3.5)


def test_a_traversal_of_many_latents_says_how_many_it_shows(rng):
    vae = small(n_z=60)
    ax = traversal(vae, rng.random((5, 8)), (2, 4)).axes[0]
    assert len(ax.get_yticks()) == 51
    assert "50 of 60" in ax.get_title(loc="left")


@pytest.mark.parametrize("n", [1, 2, 7, 9])
def test_a_sheet_holds_every_image(n, rng):
    x = rng.random((n, 8))
    figure = sheet(small(likelihood=Gaussian()), x, (2, 4), "title")
    assert isinstance(figure, Figure)
    side = int(np.ceil(np.sqrt(n)))
    shown = tiles(figure.axes[0], -(-n // side), side, 2, 4).reshape(-1, 8)
    np.testing.assert_array_equal(shown[:n], x)
    assert np.isnan(shown[n:]).all()


@pytest.mark.parametrize("shape", [(30, 1), (1, 30), (12, 20)], ids=str)
def test_nothing_is_cut(shape, rng):
    D = shape[0] * shape[1]
    vae, x = VAE(D, (5,), 60, likelihood=GaussianLearned(), rng=rng), rng.random((6, D))
    assert_nothing_is_cut(interpolation(vae, x[:3], x[3:], shape))
    assert_nothing_is_cut(sheet(vae, x, shape, "title"))
    assert_nothing_is_cut(traversal(vae, x, shape))


def test_large_images_are_shown_in_part_and_that_is_said(rng):
    vae = VAE(90_000, (), 9, rng=rng)
    assert "(3 of 9, by their KL)" in traversal(vae, rng.random((2, 90_000)), (300, 300)).axes[0].get_title(loc="left")
    figure = sheet(vae, np.zeros((50, 90_000), np.float32), (300, 300), "title")
    assert figure.texts[0].get_text().startswith("the first 44 of 50\n")
