"""The pulls on mu and on logvar: their arrows, their sums and their histogram are those of backward."""

import re

import numpy as np
import pytest

from scratchvae import VAE
from scratchvae.view.pulls import gather_pulls


@pytest.fixture(params=range(5))
def pulls(request):
    rng = np.random.default_rng(request.param)
    vae = VAE(6, (7,), 2, "tanh", rng=rng, dtype="float64")
    for p in vae.params.values():
        p += 0.5 * rng.standard_normal(p.shape)
    return gather_pulls(vae, rng.random(6), rng.standard_normal((300, 2)))


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def pairs(text):
    return [[float(n.replace("−", "-")) for n in pair.split(", ")] for pair in re.findall(r"\(([^)]*)\)", text)]


def test_the_arrows_have_one_scale_and_it_is_told(pulls):
    ax = pulls.plane().axes[0]
    unit = 1 / float(re.search(r"stands for ([\d.e+-]+) nats", ax.get_xlabel())[1])
    through_z, from_kl = pulls.dmu_z.mean(axis=0), -pulls.mu
    ends = {text.get_gid(): np.array(text.xy) for text in ax.texts if text.get_gid()}
    for name, pull in (("z", through_z), ("kl", from_kl), ("sum", through_z + from_kl)):
        np.testing.assert_allclose((ends[name] - pulls.mu) / unit, pull, rtol=1e-5, atol=1e-9)


def test_what_is_printed_of_the_arrows_adds(pulls):
    (first,), (second,), (total,) = map(pairs, labels(pulls.plane().axes[0]))
    np.testing.assert_allclose(np.add(first, second), total, atol=1e-9)
    np.testing.assert_allclose(first, pulls.dmu_z.mean(axis=0), atol=0.00501)
    np.testing.assert_allclose(second, -pulls.mu, atol=0.00501)


def test_the_histogram_counts_every_draw_and_tells_shares_by_sign(pulls):
    figure = pulls.histogram()
    for k, ax in enumerate(figure.axes):
        values = pulls.dlogvar_z[:, k]
        assert sum(patch.get_height() for patch in ax.patches) == len(values)
        right = sum(patch.get_height() for patch in ax.patches if patch.get_x() > -1e-9)
        assert right == (values > 0).sum()
        assert f"{(values > 0).mean():.0%}" in ax.get_title()
        told = [float(label.split()[-1].replace("−", "-")) for label in labels(ax)]
        np.testing.assert_allclose(told, [values.mean(), pulls.dlogvar_kl[0, k]], atol=0.00501)


def test_a_plane_has_two_latents():
    rng = np.random.default_rng(0)
    vae = VAE(6, (7,), 3, rng=rng)
    pulls = gather_pulls(vae, rng.random(6), rng.standard_normal((10, 3)))
    with pytest.raises(ValueError, match="draws two latents, got 3"):
        pulls.plane()
    assert len(pulls.histogram().axes) == 3
