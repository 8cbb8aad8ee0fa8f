"""evaluate, sample and plot: numbers that are the library's, files that say what they hold, complaints of one line."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from scratchvae import VAE, Adam, fit, load_checkpoint, load_data
from scratchvae.batches import binarised
from scratchvae.cli import main
from scratchvae.commands import plot, saved
from scratchvae.evaluation import active_units, estimate, evaluate_terms, kl_per_latent, log_evidence
from scratchvae.likelihoods import LIKELIHOODS
from scratchvae.training import TEST_SEED

RUN = "runs/tiny"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with tiny.npz in it: 4 x 4 images of three kinds."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = np.clip(80 * y[:, None] + rng.integers(0, 60, size=(60, 16)), 0, 255).astype("uint8")
    np.savez("tiny.npz", x_train=x[:40], x_test=x[40:], y_train=y[:40], y_test=y[40:])
    return tmp_path


@pytest.fixture
def train(folder, monkeypatch, capsys):
    """Training into a folder, without its pictures: they have their own tests, and take longer than all the rest."""
    monkeypatch.setattr("scratchvae.view.plots.write_pictures", lambda *args: [])

    def train(*options, out=RUN, data="tiny.npz"):
        argv = ["train", "--data", data, "--hidden", "6", "--batch-size", "8", "--epochs", "2", "--out", out]
        assert main([*argv, *options]) == 0
        capsys.readouterr()

    return train


def seen_by_training(run=RUN, data="tiny.npz", seed=0):
    checkpoint = load_checkpoint(run)
    how = checkpoint.config["training"]["binarise"]
    return checkpoint.model, binarised(load_data(data, seed).x_test, how, np.random.default_rng(TEST_SEED))


# -- evaluate ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 3])
def test_evaluate_looks_at_the_rows_that_the_seed_of_the_run_held_out(train, capsys, seed):
    """Where the data come without an x_test: other rows, and the run would be judged by what it was trained on."""
    x = np.random.default_rng(1).integers(0, 256, size=(60, 16), dtype=np.uint8)
    np.save("whole.npy", x)
    train("--seed", str(seed), data="whole.npy")
    assert main(["evaluate", RUN, "--samples", "5", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    vae, held_out = seen_by_training(data="whole.npy", seed=seed)
    terms = evaluate_terms(vae, held_out, np.random.default_rng(TEST_SEED))
    assert report["images"] == len(held_out) == 6
    assert report["nll"]["mean"] == terms["nll"].mean


@pytest.mark.parametrize("binarise", ["dynamic", "threshold", "none"])
def test_evaluate_gives_the_numbers_of_the_library_for_the_images_of_training(train, capsys, binarise):
    train("--binarise", binarise, "--latent", "3")
    assert main(["evaluate", RUN, "--samples", "30", "--json"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert err == ""

    vae, x = seen_by_training()
    rng = np.random.default_rng(TEST_SEED)
    terms = evaluate_terms(vae, x, rng)
    expected = {**terms, "minus_log_px": estimate(-log_evidence(vae, x, 30, rng))}
    for name, value in expected.items():
        assert report[name] == {"mean": value.mean, "standard_error": value.standard_error}
    assert report["kl_per_latent"] == kl_per_latent(vae, x).tolist()
    assert report["active_units"] == active_units(vae, x).tolist()
    assert report["elbo"]["mean"] < -report["minus_log_px"]["mean"]
    told = {name: report[name] for name in ("run", "data", "images", "binarise", "test_seed", "units", "samples")}
    assert told == {
        "run": RUN,
        "data": "tiny",
        "images": 20,
        "binarise": binarise,
        "test_seed": TEST_SEED,
        "units": "nats per image",
        "samples": 30,
    }


def test_evaluate_meets_the_last_row_of_the_metrics(train, capsys):
    """The same images, the same bits, the same noise as at the end of training."""
    train()
    assert main(["evaluate", RUN, "--samples", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    with open(Path(RUN) / "metrics.csv") as file:
        last = list(csv.DictReader(file))[-1]
    for name in ("elbo", "nll", "kl"):
        assert report[name]["mean"] == pytest.approx(float(last[f"test_{name}"]), abs=1e-4)


def test_the_table_is_the_json_in_words(train, capsys):
    train("--latent", "7", "--binarise", "threshold")
    model, _ = seen_by_training()
    assert main(["evaluate", RUN, "--samples", "30", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert main(["evaluate", RUN, "--samples", "30"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert lines[0] == f"vae 16-6-7-6-16, relu, {model.likelihood.name}, 2 epochs"
    assert lines[1] == "20 held-out rows of tiny, binarise threshold, pixel > 1/2"
    for label, name in (
        ("elbo, one draw an image", "elbo"),
        ("  nll", "nll"),
        ("  kl", "kl"),
        ("-log p(x), 30 draws", "minus_log_px"),
    ):
        row = next(line for line in lines if line.startswith(f"{label} "))
        assert row.removeprefix(label).split() == [f"{value:.2f}" for value in report[name].values()]
    shown = re.findall(r"z(\d+) +(\d+\.\d\d)(\*?)", out)
    assert sorted(int(j) for j, _, _ in shown) == list(range(1, 8))
    values = [float(value) for _, value, _ in shown]
    assert values == sorted(values, reverse=True)
    for j, value, star in shown:
        assert value == f"{report['kl_per_latent'][int(j) - 1]:.2f}"
        assert (star == "") == report["active_units"][int(j) - 1]
    active = sum(report["active_units"])
    assert f"active latents: {active} of 7 (variance of mu over the images above 0.01)" in lines[-1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--binarise", "none"], True),
        (["--binarise", "dynamic"], False),
        (["--binarise", "none", "--likelihood", "continuous-bernoulli"], False),
    ],
)
def test_grey_pixels_under_a_bernoulli_are_told(train, capsys, options, said):
    train(*options)
    assert main(["evaluate", RUN, "--samples", "2"]) == 0
    assert ("p(x) is not a normalised density" in capsys.readouterr().out) == said


def test_one_held_out_image_has_no_standard_error_and_the_json_is_valid(train, capsys):
    np.savez("one.npz", x_train=np.zeros((30, 16), "uint8"), x_test=np.full((1, 16), 200, "uint8"))
    train(data="one.npz")
    assert main(["evaluate", RUN, "--samples", "3", "--json"]) == 0

    def refuse(constant):
        raise AssertionError(constant)

    report = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert report["elbo"]["standard_error"] is None
    assert np.isfinite(report["elbo"]["mean"])


def test_more_samples_lower_minus_log_px(train, capsys):
    train("--epochs", "30", "--likelihood", "gaussian")
    seen = []
    for K in (1, 10, 1000):
        assert main(["evaluate", RUN, "--samples", str(K), "--json"]) == 0
        seen.append(json.loads(capsys.readouterr().out)["minus_log_px"]["mean"])
    assert seen[0] > seen[1] > seen[2]


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("options", [[], ["--samples", "3"], ["--layers", "dense,layer-norm,tanh"]])
def test_whatever_train_trains_the_other_verbs_understand(train, capsys, likelihood, options):
    """Every likelihood that is registered, however many parameters a pixel it has."""
    train("--likelihood", likelihood, *options)
    assert main(["evaluate", RUN, "--samples", "20", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["model"].split(", ")[2].split()[0] == likelihood
    assert report["elbo"]["mean"] == pytest.approx(-report["nll"]["mean"] - report["kl"]["mean"], rel=1e-6)
    assert report["elbo"]["mean"] < -report["minus_log_px"]["mean"]
    for argv in (["sample", RUN, "-n", "3"], ["sample", RUN, "-n", "3", "--draw"], ["plot", RUN]):
        assert main(argv) == 0
    with np.load(f"{RUN}/sample-draws.npz") as draws:
        assert draws["x_sample"].shape == (3, 16)
    assert capsys.readouterr().err == ""


def test_the_title_tells_what_a_likelihood_is_set_to(train, capsys):
    train("--likelihood", "gaussian", "--sigma", "0.25", "--layers", "dense,layer-norm,relu")
    assert main(["evaluate", RUN, "--samples", "1"]) == 0
    title = "vae 16-6-2-6-16, layer-norm+relu, gaussian sigma 0.25, 2 epochs"
    assert capsys.readouterr().out.splitlines()[0] == title


# -- sample ------------------------------------------------------------------------------------------------------------


def test_sample_writes_means_or_draws_and_calls_them_that(train, capsys):
    train()
    assert main(["sample", RUN, "-n", "10"]) == 0
    means_told = capsys.readouterr().out
    assert main(["sample", RUN, "-n", "10", "--draw", "--seed", "3"]) == 0
    draws_told = capsys.readouterr().out
    assert means_told.splitlines() == [
        "10 decoder means E[x|z], z ~ N(0, I), seed 0",
        f"wrote {RUN}/sample-means.npz: x_mean (10, 16), and the latents that they were made of: z (10, 2)",
        f"wrote {RUN}/sample-means.png",
    ]
    assert draws_told.splitlines() == [
        "10 draws x ~ p(x|z), z ~ N(0, I), seed 3",
        f"wrote {RUN}/sample-draws.npz: x_sample (10, 16), and the latents that they were made of: z (10, 2)",
        f"wrote {RUN}/sample-draws.png",
    ]
    vae = load_checkpoint(RUN).model
    with np.load(f"{RUN}/sample-means.npz") as means, np.load(f"{RUN}/sample-draws.npz") as draws:
        assert (means.files, draws.files) == (["x_mean", "z"], ["x_sample", "z"])
        np.testing.assert_array_equal(means["x_mean"], vae.sample(10, np.random.default_rng(0)))
        np.testing.assert_array_equal(draws["x_sample"], vae.sample(10, np.random.default_rng(3), draw=True))
        assert set(np.unique(draws["x_sample"])) == {0.0, 1.0}
        np.testing.assert_array_equal(means["x_mean"], vae.likelihood.mean(vae.decode(means["z"])[0]))
        assert not np.allclose(means["z"], draws["z"])
    for name in ("means", "draws"):
        assert Path(f"{RUN}/sample-{name}.png").read_bytes().startswith(b"\x89PNG")


def test_sample_overwrites_nothing(train):
    train()
    assert main(["sample", RUN, "-n", "2"]) == 0
    before = {path: path.read_bytes() for path in Path(RUN).iterdir()}
    Path(RUN, "sample-means-2.png").write_text("mine")  # one of the pair is enough to keep the number
    assert main(["sample", RUN, "-n", "3", "--seed", "1"]) == 0
    for path, content in before.items():
        assert path.read_bytes() == content
    assert Path(RUN, "sample-means-2.png").read_text() == "mine"
    assert not Path(RUN, "sample-means-2.npz").exists()
    with np.load(f"{RUN}/sample-means-3.npz") as arrays:
        assert arrays["x_mean"].shape == (3, 16)


def test_one_is_one(train, capsys):
    train()
    assert main(["sample", RUN, "-n", "1"]) == 0
    assert capsys.readouterr().out.startswith("1 decoder mean E[x|z], ")
    assert main(["sample", RUN, "-n", "1", "--draw"]) == 0
    assert capsys.readouterr().out.startswith("1 draw x ~ p(x|z), ")


def test_the_picture_of_a_sample_has_the_greys_of_the_run_while_its_data_are_there(train, folder, monkeypatch):
    train("--likelihood", "gaussian")
    figures = []
    monkeypatch.setattr("scratchvae.view.png.save_png", lambda figure, path: figures.append(figure))
    assert main(["plot", RUN]) == 0
    assert main(["sample", RUN, "--draw"]) == 0
    assert len({ax.images[0].get_clim() for figure in figures for ax in figure.axes}) == 1
    assert "the grain is the noise of p(x|z)" in figures[-1].texts[0].get_text()
    Path("tiny.npz").unlink()
    assert main(["sample", RUN]) == 0
    assert figures[-1].axes[0].images[0].get_clim() != figures[0].axes[0].images[0].get_clim()
    assert "of 64 images shown lie between" in figures[-1].texts[0].get_text()


def test_samples_of_points_have_no_picture(train, capsys):
    np.save("points.npy", np.random.default_rng(0).standard_normal((30, 5)))
    train("--likelihood", "gaussian", data="points.npy")
    assert main(["sample", RUN, "-n", "4", "--draw"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"wrote {RUN}/sample-draws.npz: x_sample (4, 5), ")
    assert not list(Path(RUN).glob("*.png"))


# -- plot --------------------------------------------------------------------------------------------------------------


def test_plot_draws_what_train_drew_and_more(folder, train, capsys, monkeypatch):
    train()
    monkeypatch.undo()  # with the pictures of train
    monkeypatch.chdir(folder)
    before = {path.name for path in Path(RUN).iterdir()}
    assert main(["plot", RUN]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"20 held-out rows of tiny, binarise dynamic, once, from the test seed {TEST_SEED}"
    named = re.fullmatch(rf"pictures in {RUN}/: (.*)", out[1])[1].split(", ")
    of_train = {"learning_curves.png", "reconstructions.png", "samples.png", "manifold.png", "latent_scatter.png"}
    assert set(named) == of_train | {"interpolation.png", "traversal.png"}
    assert {path.name for path in Path(RUN).iterdir()} == before | set(named)
    assert all(Path(RUN, name).read_bytes().startswith(b"\x89PNG") for name in named)


def new_pictures(train, capsys, *options, **where):
    train(*options, **where)
    run = where.get("out", RUN)
    assert main(["plot", run]) == 0
    named = re.search(rf"^pictures in {run}/: (.*)$", capsys.readouterr().out, re.MULTILINE)
    pictures = {path.name: path.read_bytes() for path in sorted(Path(run).glob("*.png"))}
    assert sorted(named[1].split(", ") if named[1] else []) == list(pictures)
    return pictures


def test_plot_twice_replaces_its_pictures_with_the_same(train, capsys):
    first = new_pictures(train, capsys, "--latent", "3")
    assert list(first) == ["interpolation.png", "traversal.png"]
    assert main(["plot", RUN]) == 0
    assert {name: Path(RUN, name).read_bytes() for name in first} == first


def test_plot_draws_only_what_makes_sense(train, capsys):
    rng = np.random.default_rng(0)
    assert list(new_pictures(train, capsys, "--model", "autoencoder")) == ["interpolation.png"]
    np.save("points.npy", rng.standard_normal((30, 5)))
    assert list(new_pictures(train, capsys, "--likelihood", "gaussian", data="points.npy", out="points")) == []
    np.save("unlabelled.npy", rng.random((40, 4, 4)))
    pictures = new_pictures(train, capsys, data="unlabelled.npy", out="unlabelled")
    assert list(pictures) == ["interpolation.png", "traversal.png"]


def test_pairs_join_different_classes(train):
    train()
    seen = saved.held_out(saved.open_run(RUN))
    starts, ends = plot.pairs(seen)
    assert seen.data.y_test[starts].tolist() == [0]
    assert seen.data.y_test[ends].tolist() == [1]
    ten = seen._replace(data=load_data("mnist-sample"))
    starts, ends = plot.pairs(ten)
    assert ten.data.y_test[starts].tolist() == [0, 1, 2, 3, 4]
    assert ten.data.y_test[ends].tolist() == [5, 6, 7, 8, 9]


# -- complaints --------------------------------------------------------------------------------------------------------


def complaint(capsys, *argv):
    """The one line on standard error of a command that ends with exit code 2."""
    try:
        code = main(list(argv))
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"scratchvae {argv[0]}: ")
    return err.removeprefix(f"scratchvae {argv[0]}: ").rstrip("\n")


VERBS = ["evaluate", "sample", "plot"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_run_that_is_not_there(folder, capsys, verb):
    text = complaint(capsys, verb, "runs/nothing")
    assert text == "RUN should be a folder that train has written, and runs/nothing is not there; check the path"


@pytest.mark.parametrize("verb", VERBS)
def test_a_file_instead_of_a_run(folder, capsys, verb):
    Path("notes.txt").write_text("mine")
    text = complaint(capsys, verb, "notes.txt")
    assert text == "RUN should be a folder that train has written, and notes.txt is a file; check the path"
    assert "tiny.npz should hold a scratchvae checkpoint" in complaint(capsys, verb, "tiny.npz")


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_of_something_else(folder, capsys, verb):
    Path("other").mkdir()
    assert "there is no file other/checkpoint.npz" in complaint(capsys, verb, "other")
    Path("other/checkpoint.npz").write_bytes(b"no zip at all")
    assert "other/checkpoint.npz should hold a scratchvae checkpoint" in complaint(capsys, verb, "other")


def told(capsys, *argv):
    """What a command prints that succeeds."""
    capsys.readouterr()
    assert main(list(argv)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("verb", VERBS)
def test_the_checkpoint_stands_for_its_folder(train, capsys, verb):
    train()
    expected = told(capsys, verb, RUN)
    for path in Path(RUN).glob("sample*"):
        path.unlink()
    assert told(capsys, verb, f"{RUN}/checkpoint.npz") == expected


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("config", [None, "{", '{"data": "other.npz", "seed": 3}'])
def test_config_json_is_for_people(train, capsys, verb, config):
    """The checkpoint knows: whoever deletes or edits config.json changes nothing."""
    train()
    Path(RUN, "config.json").unlink() if config is None else Path(RUN, "config.json").write_text(config)
    told(capsys, verb, RUN)


def test_sample_needs_no_data(train, capsys):
    train()
    before = told(capsys, "sample", RUN)
    Path("tiny.npz").unlink()
    Path(RUN, "sample-means.npz").unlink()
    Path(RUN, "sample-means.png").unlink()
    assert told(capsys, "sample", RUN) == before  # with its picture, since the run knows the shape of its images


@pytest.mark.parametrize("verb", ["evaluate", "plot"])
def test_data_that_were_moved_are_asked_for_in_one_line(train, folder, capsys, verb):
    train()
    expected = told(capsys, verb, RUN)
    Path("tiny.npz").rename("moved.npz")
    text = f"the data of this run should be at {folder / 'tiny.npz'}, and nothing is there; "
    assert complaint(capsys, verb, RUN) == f"{text}put them back, or say with --data where they are now"
    assert told(capsys, verb, RUN, "--data", "moved.npz") == expected.replace("rows of tiny", "rows of moved")


@pytest.mark.parametrize("verb", ["evaluate", "plot"])
def test_other_data_are_refused(train, folder, capsys, verb):
    """One bit of one pixel that was trained on, which the numbers on held-out rows would not even show."""
    train()
    was = load_checkpoint(RUN).config["training"]["data"][:12]
    with np.load("tiny.npz") as arrays:
        content = dict(arrays)
    content["x_train"][0, 0] ^= 1
    np.savez("tiny.npz", **content)
    text = f"expected the data that the run was trained on, with the fingerprint {was}, and {folder / 'tiny.npz'} holds"
    assert complaint(capsys, verb, RUN).startswith(text)
    assert complaint(capsys, verb, RUN, "--data", "mnist-sample").startswith("expected the data that the run was train")


@pytest.mark.parametrize("verb", VERBS)
def test_from_another_folder(train, folder, capsys, monkeypatch, verb):
    train()
    expected = told(capsys, verb, RUN)
    for path in Path(RUN).glob("sample*"):
        path.unlink()
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    np.savez("tiny.npz", x_train=np.zeros((30, 16), "uint8"))  # others, which only happen to have the same name
    assert told(capsys, verb, f"../{RUN}") == expected.replace(RUN, f"../{RUN}")


def test_the_rows_that_were_held_out_are_those_of_the_seed(train, capsys):
    """A file without x_test: a tenth of it, chosen by the seed of the run."""
    np.save("rows.npy", np.random.default_rng(1).integers(0, 256, size=(60, 16), dtype="uint8"))
    train("--seed", "5", "--binarise", "none", data="rows.npy")
    seen = saved.held_out(saved.open_run(RUN))
    np.testing.assert_array_equal(seen.x, load_data("rows.npy", seed=5).x_test)
    assert not np.array_equal(seen.x, load_data("rows.npy").x_test)
    told(capsys, "evaluate", RUN)


def test_a_run_from_python_has_weights_but_no_word_about_its_data(folder, capsys):
    rng, x = np.random.default_rng(0), np.random.default_rng(1).random((20, 16))
    fit(VAE(16, (6,), 2, rng=rng), x, x, epochs=1, optimizer=Adam(), rng=rng, out=RUN, progress=False)
    with np.errstate(all="raise"):
        told(capsys, "sample", RUN, "-n", "2")
    for verb in ("evaluate", "plot"):
        text = f"expected a run of the command train, and that in {RUN} was trained from Python, which does not say on "
        assert complaint(capsys, verb, RUN) == f"{text}which data; go on in Python"


@pytest.mark.parametrize(
    ("shape", "drawn"),
    [([4, 4], True), (None, False), ([3, 5], False), ("4x4", False), ([-4, -4], False), ([4.0, 4.0], False)],
)
def test_a_shape_of_images_is_believed_if_it_fits(train, capsys, shape, drawn):
    from scratchvae import save_checkpoint

    train()
    checkpoint = load_checkpoint(RUN)
    save_checkpoint(RUN, checkpoint.model, run={**checkpoint.config["run"], "image_shape": shape})
    told(capsys, "sample", RUN)
    assert Path(RUN, "sample-means.png").exists() == drawn


@pytest.mark.parametrize("verb", ["evaluate", "sample"])
def test_an_autoencoder_has_no_prior(train, capsys, verb):
    train("--model", "autoencoder")
    text = complaint(capsys, verb, RUN)
    assert text == f"RUN should hold a vae, and {RUN} holds an autoencoder, which has no prior"


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["evaluate", RUN, "--samples", "0"], "argument --samples: expected a whole number of at least 1, got '0'"),
        (["evaluate", RUN, "--samples", "2.5"], "argument --samples: expected a whole number of at least 1, got '2.5'"),
        (["sample", RUN, "-n", "0"], "argument -n: expected a whole number of at least 1, got '0'"),
        (["sample", RUN, "--seed", "-1"], "argument --seed: expected a whole number of at least 0, got '-1'"),
        (["plot"], "the following arguments are required: RUN"),
    ],
)
def test_options_out_of_range(folder, capsys, argv, text):
    assert complaint(capsys, *argv).startswith(text)
