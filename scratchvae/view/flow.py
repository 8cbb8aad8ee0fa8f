"""The gradient-flow figure: what flows forward through a VAE, what flows back, and why eps is never updated.

    trace = trace_gradients(vae, x, eps)
    print(trace)           # a table of every move
    trace.draw()           # the computation graph
    trace.draw(step=15)    # the graph after its first fifteen moves; len(trace.moves) of them in all

Sizes: B batch, D data, H hidden, Z latent.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from scratchvae.backend import Array, to_numpy
from scratchvae.vae import VAE
from scratchvae.view.flow_figure import Move, draw_moves


class Trace(NamedTuple):
    """One forward and one backward pass: every value, every gradient, and the moves in the order of the passes."""

    values: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    moves: list[Move]

    def __str__(self) -> str:
        head = f"{'from':>8} -> {'to':8} {'what':11} {'size':>9} {'mean':>10}  rule\n"
        return head + "\n".join(
            f"{m.source:>8} -> {m.target:8} {m.name:11} {m.size:9.3g} {m.array.mean():+10.3g}  {m.rule}"
            for m in self.moves
        )

    def draw(self, step: int | None = None) -> Figure:
        """The computation graph after `step` moves, or after all of them: values in grey, gradients coloured by sign.

        The width of a coloured arrow grows with the size (root mean square) of the gradient, on a logarithmic scale.
        """
        return draw_moves(self.values, self.moves, len(self.moves) if step is None else step)


def trace_gradients(vae: VAE, x: Array, eps: Array, beta: float = 1.0) -> Trace:
    """One pass of the model forward and back, with the weights 1 / B: gradients of the mean objective, to be maximised.

    Training minimises the loss, whose gradients are these with the other sign. That the contributions through z and
    from the KL add up to what training uses is asserted here.

    Shapes    x (B, D), eps (B, Z).
    Raises    ValueError: a model without hidden layers, shapes that do not fit.
    """
    if not vae.n_hidden:
        raise ValueError("trace_gradients draws a model with hidden layers, got n_hidden=(); give it one")
    terms, cache = vae.objective(x, eps, beta)
    (h, _), (h_decoder, _) = cache.encode.mu, cache.decode.logits  # (B, H) each: what the heads and logits are given
    (mu, logvar, _), (sigma, eps) = vae.encode(x), cache.reparameterize
    z, logits = mu + sigma * eps, vae.decode(mu + sigma * eps)[0]
    weights = vae.xp.full(len(mu), 1 / len(mu), dtype=mu.dtype)  # (B,)
    gradients: dict[str, Array] = {}
    grads = vae.backward(weights, cache, trace=gradients)
    loss_grads = vae.backward(-weights, cache)
    gradients["dsigma"] = gradients["dz"] * eps
    g = {name: to_numpy(array) for name, array in gradients.items()}
    for whole, parts in (("dmu", ("dmu_z", "dmu_kl")), ("dlogvar", ("dlogvar_z", "dlogvar_kl"))):
        np.testing.assert_allclose(g[whole], g[parts[0]] + g[parts[1]], rtol=1e-5, atol=1e-7 * np.abs(g[whole]).max())
        head = to_numpy(h).T @ g[whole]  # (H, Z)  the gradient of the head's weights, once more
        for used in (grads[f"{whole[1:]}.W"], -loss_grads[f"{whole[1:]}.W"]):
            np.testing.assert_allclose(to_numpy(used), head, rtol=1e-4, atol=1e-6 * np.abs(head).max())
    named = {"x": x, "hidden": h, "mu": mu, "logvar": logvar, "sigma": sigma, "eps": eps, "z": z, "hidden'": h_decoder}
    named |= {"logits": logits, "nll": terms.nll, "kl": terms.kl, "elbo": terms.elbo}
    values = {name: to_numpy(value) for name, value in named.items()}
    dh = f"{list(vae.decoder.layers)[-1]}.dy"  # the gradient of the decoder's last hidden layer
    return Trace(values, g, forward_moves(values) + backward_moves(g, dh, beta))


def forward_moves(v: dict[str, np.ndarray]) -> list[Move]:
    """The values, along the edges of the forward pass, in its order."""
    edges = (
        ("x", "hidden", "layers and their activation"),
        ("hidden", "mu", "mu = hidden W + b"),
        ("hidden", "logvar", "logvar = hidden W' + b'"),
        ("logvar", "sigma", "sigma = exp(logvar / 2)"),
        ("mu", "z", "z = mu + ..."),
        ("sigma", "z", "... sigma * ..."),
        ("eps", "z", "... eps, drawn before the pass and held fixed in it"),
        ("z", "hidden'", "layers and their activation"),
        ("hidden'", "logits", "logits = hidden' W + b"),
        ("logits", "nll", "nll = -log p(x|z)"),
        ("mu", "kl", "kl = sum (mu^2 + sigma^2 - 1 - logvar) / 2"),
        ("logvar", "kl", "the same kl"),
        ("nll", "elbo", "elbo = -nll - kl"),
        ("kl", "elbo", "the same elbo"),
    )
    return [Move(source, target, source, v[source], rule) for source, target, rule in edges]


def backward_moves(g: dict[str, np.ndarray], dh: str, beta: float) -> list[Move]:
    """The gradients, along the same edges the other way round. None reaches eps, and none is computed for x."""
    kl = "" if beta == 1 else f"{beta:g} "
    edges = (
        ("elbo", "kl", "dkl", "dkl", f"-{kl}1/B"),
        ("elbo", "nll", "dnll", "dnll", "-1/B"),
        ("kl", "logvar", "dlogvar_kl", "dlogvar_kl", "dkl (sigma^2 - 1) / 2"),
        ("kl", "mu", "dmu_kl", "dmu_kl", "dkl mu"),
        ("nll", "logits", "dlogits", "dlogits", "dnll (p - x) for Bernoulli"),
        ("logits", "hidden'", "dhidden'", dh, "dlogits W^T"),
        ("hidden'", "z", "dz", "dz", "back through the decoder's layers"),
        ("z", "sigma", "dsigma", "dsigma", "dz * eps: here the noise enters the gradient"),
        ("z", "mu", "dmu_z", "dmu_z", "dz"),
        ("sigma", "logvar", "dlogvar_z", "dlogvar_z", "dsigma * sigma / 2"),
        ("logvar", "hidden", "dh_logvar", "dh_logvar", "(dlogvar_z + dlogvar_kl) W'^T"),
        ("mu", "hidden", "dh_mu", "dh_mu", "(dmu_z + dmu_kl) W^T"),
    )
    return [Move(source, target, name, g[key], rule) for source, target, name, key, rule in edges]
