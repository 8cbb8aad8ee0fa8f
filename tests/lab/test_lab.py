"""The estimators in expectation, against the exact gradient of the linear-Gaussian oracle; and as objectives of fit."""

import numpy as np
import pytest

from scratchvae import VAE, Adam, Autoencoder, Gaussian, ImportanceWeighted, fit, load_checkpoint
from scratchvae.exact import LinearGaussian
from scratchvae.lab import (
    DReG,
    Pathwise,
    ScoreFunction,
    StickingTheLanding,
    exact_elbo_gradient,
    gradient_moments,
)

ELBO = {
    "pathwise": lambda vae: Pathwise(vae, 2),
    "score-function": lambda vae: ScoreFunction(vae, 4),
    "score-function, no baseline": lambda vae: ScoreFunction(vae, 4, baseline=False),
    "sticking-the-landing": lambda vae: StickingTheLanding(vae, 1),
    "dreg": lambda vae: DReG(vae, 1),
    "importance-weighted": lambda vae: ImportanceWeighted(vae, 1),
}


@pytest.fixture
def vae(rng):
    model = VAE(4, (), 2, likelihood=Gaussian(0.8), rng=rng, dtype="float64")
    for p in model.params.values():
        p += 0.4 * rng.standard_normal(p.shape)
    return model


@pytest.fixture
def x(rng):
    return rng.standard_normal((3, 4))


def worst(moments, expected):
    """The largest distance of a mean from what it should be, in standard errors, over all entries."""
    off = [np.abs(moments.mean[name] - expected[name]) / moments.standard_error[name] for name in expected]
    return max(float(part.max()) for part in off)


@pytest.mark.parametrize("name", ELBO)
def test_no_bias_against_the_exact_gradient(name, vae, x, rng):
    exact = exact_elbo_gradient(vae, x)
    assert exact.keys() == vae.params.keys()
    moments = gradient_moments(ELBO[name](vae), x, 4000, rng)
    assert worst(moments, exact) < 5


def test_the_comparison_sees_a_bias(vae, x, rng):
    """A score function whose baseline holds its own draw loses a K-th of the encoder's gradient: that is seen."""

    class OwnBaseline(ScoreFunction):
        def backward(self, dobjective, cache, trace=None):
            with_own = cache._replace(bound=(cache.bound - cache.bound.mean(axis=0)) * (self.K - 1) / self.K)
            return super().backward(dobjective, with_own, trace)

    exact = exact_elbo_gradient(vae, x)
    assert worst(gradient_moments(OwnBaseline(vae, 4), x, 4000, rng), exact) > 10
    assert worst(gradient_moments(StickingTheLanding(vae, 4), x, 4000, rng), exact) > 10  # of another bound


def test_the_exact_gradient_is_that_of_the_exact_elbo(vae, x):
    def elbo():
        mu, logvar, _ = vae.encode(x)
        exact = LinearGaussian(vae.params["logits.W"].T, vae.params["logits.b"], 0.8)
        return exact.elbo(x, mu, np.exp(logvar)[:, :, None] * np.eye(2)).sum()

    for name, grad in exact_elbo_gradient(vae, x).items():
        p = vae.params[name]
        for index in np.ndindex(p.shape):
            before, values = p[index], []
            for h in (1e-6, -1e-6):
                p[index] = before + h
                values.append(elbo())
            p[index] = before
            assert abs((values[0] - values[1]) / 2e-6 - grad[index]) < 1e-6 * (1 + abs(grad[index]))


def test_means_of_iwae_and_dreg_agree_and_stl_is_biased(vae, x, rng):
    found = {
        kind: gradient_moments(kind(vae, 8), x, 8000, rng) for kind in (ImportanceWeighted, DReG, StickingTheLanding)
    }

    def apart(a, b):
        names = [name for name in vae.params if name.startswith(("mu", "logvar"))]
        errors = {n: np.hypot(found[a].standard_error[n], found[b].standard_error[n]) for n in names}
        return max(float((np.abs(found[a].mean[n] - found[b].mean[n]) / errors[n]).max()) for n in names)

    assert apart(ImportanceWeighted, DReG) < 5
    assert apart(DReG, StickingTheLanding) > 10


def test_moments_are_those_of_numpy(vae, x):
    objective, grads = Pathwise(vae, 2), []
    rng = np.random.default_rng(3)
    for _ in range(30):
        _, cache = objective.objective(x, objective.draw_eps(3, rng))
        grads.append(objective.backward(np.ones(3), cache)["mu.W"])
    moments = gradient_moments(objective, x, 30, np.random.default_rng(3))
    np.testing.assert_allclose(moments.mean["mu.W"], np.mean(grads, axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance["mu.W"], np.var(grads, axis=0, ddof=1), rtol=1e-9)
    np.testing.assert_allclose(moments.standard_error["mu.W"], np.std(grads, axis=0, ddof=1) / 30**0.5, rtol=1e-9)


@pytest.mark.parametrize("kind", [StickingTheLanding, DReG, Pathwise, ScoreFunction])
def test_each_trains_saves_and_goes_on_as_an_objective(kind, tmp_path, rng):
    images = rng.integers(0, 2, (64, 12)).astype(np.uint8) * 255
    make = lambda: VAE(12, (6,), 2, rng=np.random.default_rng(1))  # noqa: E731
    how = {"optimizer": Adam(lr=1e-2), "batch_size": 16, "progress": False}
    whole = make()
    history = fit(whole, images, images, epochs=3, rng=np.random.default_rng(2), objective=kind(whole, 3), **how)
    assert history["test_elbo"][-1] > history["test_elbo"][0]
    model, how["optimizer"] = make(), Adam(lr=1e-2)
    fit(model, images, images, epochs=2, rng=np.random.default_rng(2), objective=kind(model, 3), out=tmp_path, **how)
    assert load_checkpoint(tmp_path).config["training"]["objective"] == kind(model, 3).config
    model, how["optimizer"] = make(), Adam(lr=1e-2)
    again = fit(
        model,
        images,
        images,
        epochs=3,
        rng=np.random.default_rng(0),
        objective=kind(model, 3),
        out=tmp_path,
        resume=True,
        **how,
    )
    assert again == history
    for name, p in whole.params.items():
        np.testing.assert_array_equal(p, model.params[name])


def test_the_same_forward_whatever_the_way_back(vae, x, rng):
    eps = rng.standard_normal((4, 3, 2))
    bound = ImportanceWeighted(vae, 4).objective(x, eps)[0].objective
    for kind in (StickingTheLanding, DReG):
        np.testing.assert_array_equal(kind(vae, 4).objective(x, eps)[0].objective, bound)
    elbo = Pathwise(vae, 4).objective(x, eps)[0]
    np.testing.assert_array_equal(elbo.objective, ScoreFunction(vae, 4).objective(x, eps)[0].objective)
    assert (elbo.objective <= bound).all()


def test_what_they_refuse(vae, x):
    with pytest.raises(ValueError, match="K should be at least 2 with a baseline"):
        ScoreFunction(vae, 1)
    with pytest.raises(ValueError, match="beta should be 1"):
        Pathwise(vae, 2).objective(x, np.zeros((2, 3, 2)), beta=0.5)
    with pytest.raises(ValueError, match="needs a VAE"):
        DReG(Autoencoder(4, (), 2, rng=np.random.default_rng(0)), 2)
    with pytest.raises(ValueError, match="no hidden layers and Gaussian"):
        exact_elbo_gradient(VAE(4, (3,), 2, likelihood=Gaussian(1.0), rng=np.random.default_rng(0)), x)
    with pytest.raises(ValueError, match="no hidden layers and Gaussian"):
        exact_elbo_gradient(VAE(4, (), 2, rng=np.random.default_rng(0)), x)


def test_the_baseline_takes_noise_away(vae, x, rng):
    with_it, without = (gradient_moments(ScoreFunction(vae, 4, baseline), x, 2000, rng) for baseline in (True, False))
    for name in ("mu.b", "logvar.b"):
        assert with_it.variance[name].sum() < 0.7 * without.variance[name].sum()
