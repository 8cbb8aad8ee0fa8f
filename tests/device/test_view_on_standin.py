"""Every picture of a model on the stand-in for CuPy is, in every point and word, that of the same model on NumPy."""

import sys

import numpy as np
import pytest
from matplotlib.collections import Collection
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.text import Text

from scratchvae import VAE, Autoencoder, GaussianLearned
from scratchvae.checkpoint import Checkpoint
from scratchvae.cli import main
from scratchvae.commands import sample
from scratchvae.commands.saved import SavedRun
from scratchvae.data import Dataset
from scratchvae.standin import Cupy
from scratchvae.view import latent, plots, profiles
from scratchvae.view.tiles import as_rows, decoder_means, grey_scale


@pytest.fixture(autouse=True)
def cupy(monkeypatch):
    module = Cupy()
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


def built(kind, backend, D=12):
    likelihood = GaussianLearned() if kind is VAE else None  # two natural parameters a pixel, and one
    return kind(D, (7,), 2, "tanh", likelihood, rng=np.random.default_rng(0), backend=backend)


def content(figure):
    """Everything in a figure that came from the model: images, points, lines and words."""
    images = [np.ma.filled(image.get_array(), -1).tolist() for image in figure.findobj(AxesImage)]
    points = [np.asarray(group.get_offsets()).tolist() for group in figure.findobj(Collection)]
    paths = [[p.vertices.tolist() for p in group.get_paths()] for group in figure.findobj(Collection)]
    lines = [np.asarray(line.get_xydata()).tolist() for line in figure.findobj(Line2D)]
    return repr([images, points, paths, lines, [text.get_text() for text in figure.findobj(Text)]])


X = np.random.default_rng(1).random((9, 12))
Y = np.arange(9) % 3
PICTURES = {
    "reconstructions": lambda model, rng: plots.reconstructions(model, X, (3, 4)),
    "rows": lambda model, rng: profiles.row_reconstructions(model, X),
    "latent_scatter": lambda model, rng: plots.latent_scatter(model, X, Y),
    "interpolation": lambda model, rng: latent.interpolation(model, X[:2], X[2:4], (3, 4)),
}
OF_A_PRIOR = {
    "samples": lambda vae, rng: plots.samples(vae, rng, (3, 4)),
    "row_samples": lambda vae, rng: profiles.row_samples(vae, X, rng),
    "manifold": lambda vae, rng: plots.manifold(vae, (3, 4), n=5),
    "traversal": lambda vae, rng: latent.traversal(vae, X, (3, 4)),
    "sheet": lambda vae, rng: latent.sheet(vae, X, (3, 4), "title"),
}


@pytest.mark.parametrize(
    ("kind", "name"), [*((VAE, name) for name in PICTURES | OF_A_PRIOR), *((Autoencoder, name) for name in PICTURES)]
)
def test_every_picture(kind, name):
    draw = (PICTURES | OF_A_PRIOR)[name]
    host, device = (content(draw(built(kind, backend), np.random.default_rng(2))) for backend in ("numpy", "cupy"))
    assert host == device


def test_what_they_are_made_of(cupy):
    vae = built(VAE, "cupy")
    assert isinstance(as_rows(vae, X), cupy.ndarray)
    assert type(decoder_means(vae, vae.draw_eps(3, np.random.default_rng(0)))) is np.ndarray
    assert grey_scale(vae, X) == grey_scale(built(VAE, "numpy"), X)


@pytest.mark.parametrize("image_shape", [(3, 4), None])
def test_the_pictures_of_a_run(image_shape, tmp_path, monkeypatch):
    data, saved = Dataset("toy", X, X, Y, Y, image_shape), []
    monkeypatch.setattr(plots, "save_png", lambda figure, path: saved.append((path.name, content(figure))))
    for backend in ("numpy", "cupy"):
        plots.write_pictures(built(VAE, backend), data, {}, tmp_path, np.random.default_rng(3), "none")
    half = len(saved) // 2
    assert half >= 3
    assert saved[:half] == saved[half:]


@pytest.mark.parametrize("options", [[], ["--draw"]], ids=len)
def test_the_verb_sample(options, tmp_path, monkeypatch):
    files = {}
    for backend in ("numpy", "cupy"):
        folder = tmp_path / backend
        folder.mkdir()
        checkpoint = Checkpoint(built(VAE, backend), {"run": {"image_shape": [3, 4]}}, {}, 1, None, None)
        monkeypatch.setattr(sample, "open_run", {"run": SavedRun(folder, checkpoint)}.get)
        assert main(["sample", "run", "-n", "5", *options]) == 0
        (picture,), (arrays,) = folder.glob("*.png"), folder.glob("*.npz")
        with np.load(arrays) as content:
            files[backend] = picture.read_bytes(), {name: array.tolist() for name, array in content.items()}
    assert files["numpy"] == files["cupy"]
