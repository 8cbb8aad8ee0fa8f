"""The map shows where the encoder puts what: every input once, every class by its name, in units that it states."""

import numpy as np
import pytest
from looking import assert_nothing_is_cut
from matplotlib.figure import Figure

from scratchvae import VAE, Autoencoder, Gaussian
from scratchvae.view.scatter import CLASSES, latent_scatter, map_limits, write_names
from scratchvae.view.style import BLUE, PALETTE


@pytest.fixture
def vae(rng):
    return VAE(16, (8,), 2, "tanh", rng=rng)


def assert_drawn(collection, places):
    """The same places in any order: rows in another order are rounded differently."""
    drawn, places = (np.array(sorted(map(tuple, each))) for each in (collection.get_offsets(), places))
    np.testing.assert_allclose(drawn, places, atol=1e-6)


def colours(collection):
    return {tuple(np.round(np.multiply(colour[:3], 255)).astype(int)) for colour in collection.get_facecolor()}


def rgb(colour):
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def test_every_input_stands_on_the_map_and_alone_with_its_class_beside(vae, rng):
    x, y = rng.random((30, 16)), np.arange(30) % 3 + 5
    figure = latent_scatter(vae, x, y)
    ax, *small = figure.axes
    mu, _, _ = vae.encode(x)
    assert_drawn(ax.collections[0], mu)
    assert [one.get_title() for one in small] == ["5", "6", "7"]
    for k, one in enumerate(small):
        others, own = one.collections
        assert_drawn(own, mu[y == k + 5])
        assert_drawn(others, mu[y != k + 5])
        assert colours(own) == {rgb(PALETTE[k])}
        assert one.get_xlim() == ax.get_xlim()
        assert one.get_ylim() == ax.get_ylim()
    for place, colour in zip(ax.collections[0].get_offsets(), ax.collections[0].get_facecolor(), strict=True):
        k = y[np.abs(mu - place).sum(axis=1).argmin()] - 5
        assert tuple(np.round(colour[:3] * 255)) == rgb(PALETTE[k])
    assert "σ of the prior" in ax.get_xlabel()
    assert {text.get_text() for text in ax.texts} <= {"5", "6", "7"}
    assert_nothing_is_cut(figure)


def test_the_circles_are_those_of_the_prior_and_their_shares_are_right(vae, rng):
    figure = latent_scatter(vae, rng.random((30, 16)))
    assert [circle.radius for circle in figure.axes[0].patches] == [1, 2]
    said = figure.texts[0].get_text()
    for radius in (1, 2):
        assert f"{1 - np.exp(-(radius**2) / 2):.0%}".replace("%", " %") in said
    ae = Autoencoder(16, (8,), 2, "tanh", rng=rng)
    figure = latent_scatter(ae, rng.random((30, 16)), np.zeros(30))
    assert not figure.axes[0].patches
    assert "no unit" in figure.axes[0].get_xlabel()
    assert "σ" not in figure.texts[0].get_text()


def test_more_classes_than_colours_have_one_colour_and_a_small_map_each(vae, rng):
    figure = latent_scatter(vae, rng.random((250, 16)), np.arange(250) % 25)
    ax, *small = figure.axes
    assert colours(ax.collections[0]) == {rgb(BLUE)}
    assert [one.get_title() for one in small] == [str(k) for k in range(25)]
    boxes = [one.get_position() for one in figure.axes]
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])
    assert_nothing_is_cut(figure)


def test_of_too_many_classes_the_largest_are_shown_and_that_is_said(vae, rng):
    y = np.concatenate([np.arange(70), np.arange(6, 70)])  # 0 to 5 are rare
    figure = latent_scatter(vae, rng.random((len(y), 16)), y)
    assert [one.get_title() for one in figure.axes[1:]] == [str(k) for k in range(6, 70)]
    assert f"{CLASSES} of 70 classes, the largest" in figure.texts[0].get_text()
    assert len(figure.axes[0].collections[0].get_offsets()) == len(y)


def test_many_rows_are_thinned_and_that_is_said(vae, rng):
    x = rng.random((3000, 16))
    ax = latent_scatter(vae, x).axes[0]
    assert ax.get_title().endswith("2,500 of 3,000 inputs")
    shown, (mu, _, _) = ax.collections[0].get_offsets(), vae.encode(x)
    of = np.abs(shown[:, None] - mu[None]).max(axis=2)  # (2500, 3000)  how far each point is from each mean
    assert of.min(axis=1).max() < 1e-6
    assert len(set(of.argmin(axis=1))) == len(shown) == 2500


def test_no_class_covers_the_others(vae, rng):
    """Points are drawn in their order: one that depends on the class would bury the first one."""
    ax = latent_scatter(vae, rng.random((400, 16)), np.repeat([0, 1], 200)).axes[0]
    first = np.array([tuple(colour[:3]) == (0, 0, 0) for colour in ax.collections[0].get_facecolor()])
    assert 60 < first[:200].sum() < 140  # 100 expected, standard deviation 5


def test_a_few_far_points_do_not_squeeze_the_others_and_are_counted(rng):
    z = rng.standard_normal((1000, 2))
    far = z.copy()
    far[:3] = 1000
    box = map_limits(far, 2.1)
    assert np.ptp(box, axis=0).max() < 20
    for some, least in ((z, 2.1), (3 * z, 0.0)):  # where none is far, all of them are on the map
        box = map_limits(some, least)
        assert (box[0] < some.min(axis=0)).all()
        assert (box[1] > some.max(axis=0)).all()
    assert (np.abs(map_limits(0.01 * z, 2.1)) > 2).all()  # and the circles


def test_points_off_the_map_are_counted(rng):
    ae = Autoencoder(2, (), 2, likelihood=Gaussian(), rng=rng)
    ae.params["z.W"][...] = np.eye(2)
    x = rng.standard_normal((1000, 2))
    x[:3] = 1000
    figure = latent_scatter(ae, x)
    assert figure.texts[0].get_text() == "3 of the inputs lie outside"
    assert_nothing_is_cut(figure)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e6])
def test_codes_of_any_size_have_a_map(scale, rng):
    ae = Autoencoder(16, (), 2, rng=rng)
    ae.params["z.W"][...] *= scale
    assert_nothing_is_cut(latent_scatter(ae, rng.random((20, 16)), np.arange(20) % 2))


def test_names_stand_where_their_class_is_and_not_on_each_other():
    rng, box = np.random.default_rng(0), np.array([[-4.0, -4.0], [4.0, 4.0]])
    centres = np.array([[-2.0, -2.0], [2.0, 2.0], [0.0, 0.0], [0.1, 0.0]])
    y = np.repeat(range(4), 100)
    z = centres[y] + 0.3 * rng.standard_normal((400, 2))
    z[::100] = [[-3.9, y] for y in (-3.9, -1, 1, 3.9)]  # one of each is far from its own, and alone there
    figure = Figure(figsize=(5, 5))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(-4, 4), ylim=(-4, 4))
    names = ["left", "right", "middle", "beside"]
    write_names(ax, names, z, [y == k for k in range(4)], box)
    places = {text.get_text(): np.array(text.get_position()) for text in ax.texts}
    assert set(places) == set(names)
    for name, centre in zip(names, centres, strict=True):
        assert np.abs(places[name] - centre).max() < 1.2
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[i + 1 :])


def test_names_of_classes_in_one_place_keep_a_cell_between_them(rng):
    box = np.array([[-4.0, -4.0], [4.0, 4.0]])  # cells of a third
    ax = Figure(figsize=(5, 5)).add_axes((0, 0, 1, 1))
    y = np.arange(900) % 9
    write_names(ax, list("abcdefghi"), 0.5 * rng.standard_normal((900, 2)), [y == k for k in range(9)], box)
    places = [np.array(text.get_position()) for text in ax.texts]
    assert len(places) >= 4
    assert all(np.abs(a - b).max() > 0.6 for i, a in enumerate(places) for b in places[i + 1 :])


def test_a_long_name_stays_on_the_map():
    box = np.array([[-4.0, -4.0], [4.0, 4.0]])
    figure = Figure(figsize=(5, 5))
    ax = figure.add_axes((0.2, 0.2, 0.6, 0.6), xlim=(-4, 4), ylim=(-4, 4))
    z = np.linspace([-3.9, -3], [3.9, -3], 50)
    write_names(ax, ["12 letters .", "another one."], z, [np.arange(50) < 10, np.arange(50) >= 40], box)
    z = z[20:30] - [0, -5]  # in the middle, as far up
    write_names(ax, ["12 letters ."], z, [np.ones(10, bool)], box)
    write_names(ax, ["i" * 100], z, [np.ones(10, bool)], box)
    figure.draw_without_rendering()
    assert len(ax.texts) == 4
    for text in ax.texts[:3]:
        assert text.get_window_extent().x0 >= ax.bbox.x0
        assert text.get_window_extent().x1 <= ax.bbox.x1


def test_a_class_without_a_place_left_has_no_name_on_the_map():
    ax = Figure().add_subplot()
    z = np.zeros((6, 2))
    write_names(ax, list("abc"), z, [np.arange(6) % 3 == k for k in range(3)], np.array([[-1.0, -1], [1, 1]]))
    assert len(ax.texts) == 1
    write_names(ax, [], z, [], np.array([[-1.0, -1], [1, 1]]))


def test_other_than_two_latents(rng):
    with pytest.raises(ValueError, match=r"latent_scatter draws a plane and needs .* n_z = 2, got n_z = 3$"):
        latent_scatter(VAE(16, (8,), 3, rng=rng), np.zeros((2, 16)))
