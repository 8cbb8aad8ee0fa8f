"""Rows that are not images: what is drawn is x and E[x|z], feature by feature, and an error that one can recompute."""

import numpy as np
import pytest
from looking import assert_nothing_is_cut

from scratchvae import VAE, Autoencoder, Gaussian, GaussianLearned
from scratchvae.view.profiles import row_reconstructions, row_samples


def model(D, kind=VAE, likelihood=None):
    return kind(D, (5,), 3, "tanh", likelihood or Gaussian(0.5), rng=np.random.default_rng(0), dtype="float64")


@pytest.mark.parametrize("D", [3, 30, 60])
@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_six_rows_and_what_the_decoder_expects(D, kind, rng):
    m, x = model(D, kind), rng.standard_normal((20, D))
    figure = row_reconstructions(m, x)
    means = m.reconstruct(x)
    *panels, last = figure.axes
    assert len(panels) == 6
    for i, ax in enumerate(panels):
        of_input, of_mean = ax.lines
        np.testing.assert_array_equal(of_input.get_xdata(), np.arange(1, D + 1))
        np.testing.assert_allclose(of_input.get_ydata(), x[i])
        np.testing.assert_allclose(of_mean.get_ydata(), means[i])
        assert of_input.get_color() != of_mean.get_color()
        assert (of_input.get_linestyle() == "None") == (D <= 40)
    error = [np.linalg.norm(x[:, d] - means[:, d]) / np.linalg.norm(x[:, d] - x[:, d].mean()) for d in range(D)]
    np.testing.assert_allclose(last.lines[0].get_ydata(), error)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["input x", f"decoder mean E[x|z] at z = {'mu' if kind is VAE else 'f'}(x)"]
    if kind is VAE:
        assert_nothing_is_cut(figure)


def test_few_rows(rng):
    assert len(row_reconstructions(model(4), rng.random((2, 4))).axes) == 2 + 1


def test_two_features_are_a_plane_and_each_row_is_joined_to_its_mean(rng):
    m, x = model(2), rng.standard_normal((30, 2))
    figure = row_reconstructions(m, x)
    (ax,) = figure.axes
    means = m.reconstruct(x)
    for collection, points in zip(ax.collections, (x, means), strict=True):
        np.testing.assert_allclose(collection.get_offsets(), points)
    for line, a, b in zip(ax.lines, x, means, strict=True):
        np.testing.assert_allclose(line.get_xydata(), [a, b])
    assert_nothing_is_cut(figure)


def test_one_feature_is_drawn_against_itself(rng):
    m, x = model(1), rng.standard_normal((30, 1))
    figure = row_reconstructions(m, x)
    np.testing.assert_allclose(figure.axes[0].collections[0].get_offsets(), np.hstack([x, m.reconstruct(x)]))
    assert_nothing_is_cut(figure)
    assert_nothing_is_cut(row_samples(m, x, rng))


def test_more_features_than_paper_holds_are_thinned_and_that_is_said(rng):
    m, x = model(1200), rng.standard_normal((8, 1200))
    figure = row_reconstructions(m, x)
    line = figure.axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 1201, 3))
    np.testing.assert_allclose(line.get_ydata(), x[0, ::3])
    assert figure.axes[-1].get_xlabel() == "feature (one in 3 is drawn)"
    (band,) = {ax.get_xlabel() for ax in row_samples(m, x, rng).axes}
    assert band == "feature (one in 3 is drawn)"


def test_unlike_features_are_standardised_and_that_is_said(rng):
    x = rng.standard_normal((20, 4)) * [1, 1, 1, 1000] + [0, 0, 0, 5000]
    ax = row_reconstructions(model(4), x).axes[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), ((x - x.mean(axis=0)) / x.std(axis=0))[0])
    assert ax.get_ylabel() == "standardised"
    assert row_reconstructions(model(4), x[:, :3].repeat(2, axis=1)[:, :4]).axes[0].get_ylabel() == "value"


def test_features_that_do_not_vary_have_no_error_to_compare(rng):
    x = rng.standard_normal((20, 4)) * [1, 0, 1, 0]
    error = row_reconstructions(model(4), x).axes[-1].lines[0].get_ydata()
    assert np.isnan(error).tolist() == [False, True, False, True]
    assert row_reconstructions(model(4), x).axes[0].get_ylabel() == "value"  # nor do they make the others unlike
    row_reconstructions(model(4), np.zeros((3, 4))).draw_without_rendering()


@pytest.mark.parametrize("D", [3, 60])
def test_samples_stand_beside_the_rows_with_the_same_quantiles(D, rng):
    m, x = model(D), rng.standard_normal((50, D))
    figure = row_samples(m, x, np.random.default_rng(3))
    draws = m.sample(50, np.random.default_rng(3), draw=True)
    (ax,) = figure.axes
    for line, spread, rows in zip(ax.lines, ax.collections, (x, draws), strict=True):
        np.testing.assert_allclose(line.get_ydata(), rows.mean(axis=0))
        low, high = np.quantile(rows, (0.05, 0.95), axis=0)
        drawn = np.concatenate([path.vertices for path in spread.get_paths()])[:, 1]
        np.testing.assert_allclose([drawn.min(), drawn.max()], [low.min(), high.max()])
    assert_nothing_is_cut(figure)


def test_samples_in_the_plane_have_the_axes_of_the_rows(rng):
    m, x = model(2), rng.standard_normal((30, 2))
    figure = row_samples(m, x, np.random.default_rng(3))
    left, right = figure.axes
    np.testing.assert_allclose(left.collections[0].get_offsets(), x)
    draws = m.sample(30, np.random.default_rng(3), draw=True)
    np.testing.assert_allclose(right.collections[0].get_offsets(), draws)
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    assert "draws" in right.get_title()
    assert_nothing_is_cut(figure)


@pytest.mark.parametrize("D", [2, 5])
def test_a_decoder_that_returns_two_numbers_a_feature(D, rng):
    m, x = model(D, likelihood=GaussianLearned()), rng.standard_normal((10, D))
    row_reconstructions(m, x)
    row_samples(m, x, rng)
