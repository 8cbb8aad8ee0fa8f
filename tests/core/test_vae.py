"""The VAE and the autoencoder: every parameter's gradient, and the identity that makes the ELBO a bound."""

import copy
import json
from typing import ClassVar

import numpy as np
import pytest
from proof import directional_error, freeze, grid, log_normal

from scratchvae import VAE, Autoencoder, Bernoulli, Gaussian, GaussianLearned
from scratchvae.layers import ACTIVATIONS
from scratchvae.layers import LAYERS as LAYERS_BY_NAME
from scratchvae.likelihoods import LIKELIHOODS

EVERY = [likelihood() for likelihood in LIKELIHOODS.values()] + [Gaussian(sigma=0.3)]
LAYERS = [("dense", activation) for activation in ACTIVATIONS] + [("dense", "layer-norm", "tanh")]


def named(thing):
    return "+".join(thing) if isinstance(thing, tuple) else f"{thing.name}-{getattr(thing, 'sigma', '')}".rstrip("-")


def build(kind, rng, likelihood=None, layers=("dense", "tanh"), n_hidden=(7, 5), n_z=3, **how):
    model = kind(6, n_hidden, n_z, None, likelihood, layers=layers, rng=rng, **{"dtype": "float64", **how})
    for p in model.params.values():  # biases away from zero, or half of the derivatives are never tried
        p += (0.3 * rng.standard_normal(p.shape)).astype(p.dtype)
    return model


def batch(model, rng, B=5):
    return freeze(rng.random((B, model.n_x))), freeze(model.draw_eps(B, rng)), freeze(rng.standard_normal(B))


@pytest.mark.equation("vae-mu", "vae-logvar", "vae-heads", "vae-latent")
@pytest.mark.parametrize("n_hidden", [(), (7,), (7, 5)])
@pytest.mark.parametrize("layers", LAYERS, ids=named)
@pytest.mark.parametrize("likelihood", EVERY, ids=named)
@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_every_parameter_against_differences(kind, likelihood, layers, n_hidden, rng):
    model = build(kind, rng, likelihood, layers, n_hidden)
    x, eps, w = batch(model, rng)  # w: a random upstream gradient
    _, cache = model.objective(x, eps, beta=0.7)
    grads = model.backward(w, cache)
    assert grads.keys() == model.params.keys()
    for name, p in model.params.items():

        def f(value, p=p):
            before = p.copy()
            p[...] = value
            terms, _ = model.objective(x, eps, beta=0.7)
            p[...] = before
            return (w * terms.objective).sum()

        assert directional_error(f, p.copy(), grads[name], rng) < 1e-7, name


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_backward_twice_on_one_read_only_cache_gives_the_same(kind, rng):
    model = build(kind, rng)
    x, eps, w = batch(model, rng)
    terms, cache = model.objective(x, eps)
    freeze(cache)  # the parameters in it too
    first, second = model.backward(w, cache), model.backward(w, cache)
    for name in model.params:
        np.testing.assert_array_equal(first[name], second[name])
    again, _ = model.objective(x, eps)
    for a, b in zip(terms, again, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.equation("elbo-identity")
@pytest.mark.parametrize("likelihood", EVERY, ids=named)
@pytest.mark.parametrize("n_z", [1, 2])
def test_evidence_is_elbo_plus_kl_to_the_posterior(n_z, likelihood, rng):
    """log p(x) = ELBO + KL(q(z|x) || p(z|x)), each side by quadrature, for a decoder with no closed form."""
    vae = build(VAE, rng, likelihood, n_hidden=(8,), n_z=n_z)
    x = rng.random((1, 6))
    n = {1: 4001, 2: 401}[n_z]

    # The left side: log p(x) = log of the integral of p(x|z) p(z), and the posterior p(z|x) with it.
    z, cell = grid(n_z, 12, n)
    logits, _ = vae.decode(z)
    nll, _ = vae.likelihood.nll(np.repeat(x, len(z), axis=0), logits)
    log_joint = -nll + log_normal(z)
    log_px = np.log(np.exp(log_joint).sum() * cell)
    log_posterior = log_joint - log_px

    # The right side: the objective that training uses, averaged over its noise, and KL(q || posterior).
    eps, eps_cell = grid(n_z, 9, n)
    terms, _ = vae.objective(np.repeat(x, len(eps), axis=0), eps)
    elbo = (np.exp(log_normal(eps)) * terms.elbo).sum() * eps_cell
    mu, logvar, _ = vae.encode(x)
    log_q = log_normal(z, mu, np.exp(logvar))
    kl_posterior = (np.exp(log_q) * (log_q - log_posterior)).sum() * cell

    assert kl_posterior > 1e-3  # the gap is there to be seen
    assert abs(log_px - (elbo + kl_posterior)) < 1e-6


def test_terms_are_per_example_and_the_objective_is_their_sum(rng):
    vae = build(VAE, rng)
    x, eps, _ = batch(vae, rng)
    terms, _ = vae.objective(x, eps, beta=2.5)
    assert {term.shape for term in terms} == {(5,)}
    np.testing.assert_allclose(terms.elbo, -terms.nll - terms.kl, rtol=1e-15)
    np.testing.assert_allclose(terms.objective, -terms.nll - 2.5 * terms.kl, rtol=1e-15)
    one_by_one = [vae.objective(x[b : b + 1], eps[b : b + 1])[0].elbo[0] for b in range(5)]
    np.testing.assert_allclose(terms.elbo, one_by_one, rtol=1e-13)


def test_trace_names_every_intermediate_gradient_and_its_parts_add_up(rng):
    vae = build(VAE, rng)
    x, eps, w = batch(vae, rng)
    _, cache = vae.objective(x, eps, beta=0.5)
    trace = {}
    traced, plain = vae.backward(w, cache, trace=trace), vae.backward(w, cache)
    for name in plain:
        np.testing.assert_array_equal(traced[name], plain[name])
    np.testing.assert_array_equal(trace["dmu"], trace["dmu_z"] + trace["dmu_kl"])
    np.testing.assert_array_equal(trace["dlogvar"], trace["dlogvar_z"] + trace["dlogvar_kl"])
    mu, logvar, _ = vae.encode(x)
    sigma = np.exp(0.5 * logvar)
    np.testing.assert_array_equal(trace["encoder.1.tanh.dy"], trace["dh_mu"] + trace["dh_logvar"])
    np.testing.assert_allclose(trace["dmu_kl"], -0.5 * w[:, None] * mu, rtol=1e-13)
    np.testing.assert_allclose(trace["dlogvar_z"], trace["dz"] * eps * sigma / 2, rtol=1e-13)
    np.testing.assert_allclose(traced["mu.b"], trace["dmu"].sum(axis=0), rtol=1e-13)
    np.testing.assert_allclose(traced["decoder.1.b"], trace["decoder.1.dy"].sum(axis=0), rtol=1e-13)
    names = {"dnll", "dkl", "dlogits", "dz", "dmu_z", "dlogvar_z", "dmu_kl", "dlogvar_kl", "dmu", "dlogvar"}
    names |= {"dh_mu", "dh_logvar"}
    names |= {f"{half}.{i}.{what}" for half in ("encoder", "decoder") for i in (0, 1) for what in ("tanh.dy", "dy")}
    assert set(trace) == names


def test_autoencoder_trace_and_protocol(rng):
    model = build(Autoencoder, rng)
    x, eps, w = batch(model, rng)
    assert eps is None
    terms, cache = model.objective(x, eps=None, beta=3.0)
    np.testing.assert_array_equal(terms.objective, -terms.nll)
    trace = {}
    model.backward(w, cache, trace=trace)
    assert {"dnll", "dlogits", "dz", "encoder.0.dy", "decoder.1.tanh.dy"} <= set(trace)


def test_parameter_names_and_shapes_are_the_documented_ones(rng):
    vae = VAE(784, (400, 200), 20, rng=rng)
    shapes = {name: p.shape for name, p in vae.params.items()}
    assert shapes == {
        "encoder.0.W": (784, 400),
        "encoder.0.b": (400,),
        "encoder.1.W": (400, 200),
        "encoder.1.b": (200,),
        "mu.W": (200, 20),
        "mu.b": (20,),
        "logvar.W": (200, 20),
        "logvar.b": (20,),
        "decoder.0.W": (20, 200),
        "decoder.0.b": (200,),
        "decoder.1.W": (200, 400),
        "decoder.1.b": (400,),
        "logits.W": (400, 784),
        "logits.b": (784,),
    }


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_float64_noise_and_weights_do_not_widen_float32_work(kind, rng):
    model = build(kind, rng, dtype="float32")
    x = rng.random((5, 6))  # float64
    eps = rng.standard_normal((5, 3))
    terms, cache = model.objective(x, eps, beta=np.float64(0.5))
    grads = model.backward(np.full(5, -1 / 5), cache)
    for array in (*terms, *grads.values(), *model.params.values(), model.reconstruct(x)):
        assert array.dtype == np.float32


def test_draw_eps_is_the_same_noise_in_both_dtypes():
    draws = [
        VAE(4, (3,), 2, rng=np.random.default_rng(0), dtype=dtype).draw_eps(3, np.random.default_rng(1))
        for dtype in ("float32", "float64")
    ]
    np.testing.assert_array_equal(draws[0], draws[1].astype("float32"))


def test_sampling_and_reconstruction_return_means_unless_draws_are_asked_for(rng):
    vae = build(VAE, rng)
    x = rng.random((5, 6))
    means, draws = vae.sample(50, np.random.default_rng(3)), vae.sample(50, np.random.default_rng(3), draw=True)
    assert ((means > 0) & (means < 1)).all()
    assert set(np.unique(draws)) == {0.0, 1.0}
    np.testing.assert_array_equal(vae.reconstruct(x), vae.reconstruct(x))
    assert set(np.unique(vae.reconstruct(x, rng=rng))) <= {0.0, 1.0}
    mu, _, _ = vae.encode(x)
    np.testing.assert_array_equal(vae.reconstruct(x), vae.likelihood.mean(vae.decode(mu)[0]))


def test_output_bias_starts_once(rng):
    vae = VAE(3, (4,), 2, rng=rng, dtype="float64")
    vae.start_output_bias(np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(Bernoulli().mean(vae.params["logits.b"]), [0.01, 0.5, 0.99])
    vae.start_output_bias(np.array([0.5, 0.5, 0.5]))  # trained by now, perhaps: left alone
    np.testing.assert_allclose(Bernoulli().mean(vae.params["logits.b"]), [0.01, 0.5, 0.99])


def test_output_bias_is_as_wide_as_the_likelihood_asks(rng):
    vae = VAE(3, (4,), 2, likelihood=GaussianLearned(), rng=rng, dtype="float64")
    vae.start_output_bias(np.array([0.0, 0.5, 1.0]))
    np.testing.assert_array_equal(vae.params["logits.b"], [0.0, 0.5, 1.0, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(vae.likelihood.mean(vae.params["logits.b"][None]), [[0.0, 0.5, 1.0]])


def test_params_are_built_once_and_read_only(rng):
    vae = build(VAE, rng)
    assert vae.params is vae.params
    assert vae.params["encoder.0.W"] is vae.encoder.layers["encoder.0"].params["W"]
    with pytest.raises(TypeError, match=r"write params\['mu\.W'\]\[\.\.\.\] = "):
        vae.params["mu.W"] = np.zeros((5, 3))
    twin = copy.deepcopy(vae)
    for p in twin.params.values():
        p[...] = 0
    x, eps, _ = batch(vae, rng)
    mu, logvar, _ = twin.encode(x)
    assert not mu.any()
    assert not logvar.any()
    assert not twin.decode(eps)[0].any()
    assert vae.encode(x)[0].all()


def test_the_models_are_siblings_with_their_array_library(rng):
    vae, autoencoder = build(VAE, rng), build(Autoencoder, rng)
    assert not isinstance(vae, Autoencoder)
    assert vae.xp is np
    assert autoencoder.xp is np
    assert len(autoencoder.encode(np.zeros((1, 6)))) == 2
    assert len(vae.encode(np.zeros((1, 6)))) == 3


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_layer_norm_between_the_dense_layer_and_its_activation(kind, rng):
    model = kind(6, (7, 5), 2, layers=("dense", "layer-norm", "relu"), rng=rng)
    extra = {f"{half}.{i}.layer-norm.{p}" for half in ("encoder", "decoder") for i in (0, 1) for p in ("gain", "b")}
    assert set(model.params) - set(kind(6, (7, 5), 2, rng=rng).params) == extra
    assert model.config["layers"] == ["dense", "layer-norm", "relu"]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda v: v.objective(np.zeros((5, 6), np.uint8), np.zeros((5, 3))), "x should hold floats, got uint8; scale"),
        (lambda v: v.objective(np.zeros((5, 2, 3)), np.zeros((5, 3))), "x should have the shape .B, 6., .* flatten it"),
        (lambda v: v.objective(np.zeros((5, 7)), np.zeros((5, 3))), "x should have the shape .B, 6., .*got .5, 7."),
        (lambda v: v.encode({"x": 1.0}), "x should hold floats, got object"),
        (lambda v: v.objective(np.zeros((0, 6)), np.zeros((0, 3))), "B at least 1, got .0, 6."),
        (lambda v: v.objective(np.zeros((5, 6)), np.zeros((1, 3))), "eps should have the shape .5, 3.,"),
        (lambda v: v.objective(np.zeros((5, 6)), np.zeros((5, 3)), beta=-1.0), "beta should be zero or a positive"),
        (lambda v: v.decode(np.zeros((5, 6))), "z should have the shape .B, 3."),
        (lambda v: v.encode(np.zeros(6)), "x should have the shape .B, 6."),
        (lambda v: v.sample(0, np.random.default_rng(0)), "n should be a whole number of at least 1, got 0"),
        (
            lambda v: v.backward(np.ones(4), v.objective(np.zeros((5, 6)), np.zeros((5, 3)))[1]),
            "dobjective should have the shape .5,., ",
        ),
    ],
)
def test_the_model_says_what_it_expected(call, text, rng):
    with pytest.raises(ValueError, match=text):
        call(build(VAE, rng))


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_sizes_and_dtype_may_be_numpys_and_the_config_is_for_json(kind, rng):
    model = kind(np.int64(6), np.array([4, 3]), np.int32(2), rng=rng, dtype=np.dtype("float64"))
    plain = kind(6, (4, 3), 2, rng=rng, dtype="float64")
    assert json.loads(json.dumps(model.config)) == plain.config
    assert {p.dtype.name for p in model.params.values()} == {"float64"}


def test_a_masked_array_is_refused_since_its_mask_would_be_lost(rng):
    with pytest.raises(ValueError, match=r"x should hold plain numbers, got a masked array; fill .* x\.filled\(0\)"):
        build(VAE, rng).encode(np.ma.masked_less(np.zeros((5, 6)), 1))


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"n_x": 0}, "n_x should be a whole number of at least 1, got 0"),
        ({"n_z": 0}, "n_z should be a whole number of at least 1, got 0"),
        ({"n_z": True}, "n_z should be a whole number of at least 1, got True"),
        ({"n_hidden": (400, -1)}, "every width in n_hidden should be a whole number of at least 1, got -1"),
        ({"n_hidden": 400}, r"n_hidden should be a sequence of widths such as \(400,\), got 400"),
        ({"likelihood": "bernoulli"}, r"likelihood should be an object such as Bernoulli\(\), got 'bernoulli'"),
        ({"likelihood": Bernoulli}, r"likelihood should be an object such as Bernoulli\(\), got <class"),
        ({"activation": "swish"}, "activation should be one of relu, tanh, sigmoid, softplus, got 'swish'"),
        ({"layers": ("dense", "swish")}, "layers should be some of dense, .*, got .'dense', 'swish'."),
        ({"layers": "dense"}, "layers should be several names, such as .*, got 'dense'"),
        ({"layers": ("dense",), "activation": "tanh"}, "layers should name the activation too, got activation='tanh'"),
        ({"rng": 0}, r"rng should be a generator such as np\.random\.default_rng\(0\), got 0"),
        ({"dtype": "int8"}, "dtype should be one of float32, float64, got 'int8'"),
        ({"backend": "jax"}, "backend should be one of numpy, cupy, got 'jax'"),
    ],
)
@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_building_with_an_option_out_of_range(kind, how, text, rng):
    with pytest.raises(ValueError, match=text):
        kind(**{"n_x": 6, "rng": rng, **how})


class Sine:
    """A layer without a width of its own; and what may be wrong with one."""

    params: ClassVar[dict] = {}

    def __init__(self, n_in, n_out, **_):
        pass

    def forward(self, x):
        return np.sin(x), x

    def backward(self, dy, cache):
        return dy * np.cos(cache), {}


class Widens(Sine):
    def forward(self, x):
        return np.sin(x.astype("float64")), x


class Transposes(Sine):
    def forward(self, x):
        return x.T, x


@pytest.mark.parametrize(
    ("layer", "layers", "text"),
    [
        (
            Sine,
            ("sine",),
            r"turn float32 .B, 6. into .B, 4., each a row by itself; .'sine',. make float32 of shape .2, 6.",
        ),
        (Widens, ("dense", "sine"), "make float64 of shape .2, 4. of two rows"),
        (Transposes, ("dense", "sine"), "make float32 of shape .4, 2. of two rows"),
    ],
)
def test_layers_that_do_not_make_rows_of_the_width_are_refused_when_the_model_is_built(
    layer, layers, text, monkeypatch, rng
):
    monkeypatch.setitem(LAYERS_BY_NAME, "sine", layer)
    VAE(6, (4,), 2, layers=("dense", "tanh"), rng=rng)
    with pytest.raises(ValueError, match=text):
        VAE(6, (4,), 2, layers=layers, rng=rng)
