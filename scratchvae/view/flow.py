"""The gradient-flow figure: what flows forward through a model, what flows back, and why eps is never updated.

    flow = trace_gradients(vae, x, eps)  # one example: x (1, D), eps (1, Z)
    print(flow)           # a table of every move
    flow.draw()           # the computation graph
    flow.draw(step=15)    # the graph after its first fifteen moves; len(flow.moves) of them in all

One example, one latent, and one entry of every wider array: each arrow carries one number, and where two meet they add.

Sizes: D data, H hidden, Z latent.
"""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from scratchvae.backend import Array, to_numpy
from scratchvae.layers import Chain
from scratchvae.model import Model
from scratchvae.vae import VAE
from scratchvae.view.flow_figure import draw_flow
from scratchvae.view.flow_moves import Move, Sum, backward_moves, forward_moves, sums_at
from scratchvae.view.flow_numbers import printed


class Flow(NamedTuple):
    """One forward and one backward pass of one example: every value and gradient, and the moves in their order.

    entries   which entry of a value's row is drawn, by the value's name.
    """

    values: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    entries: dict[str, int]
    moves: list[Move]
    sums: list[Sum]
    beta: float
    rule: str  # the likelihood's, for its dlogits

    def __str__(self) -> str:
        texts = printed(self)
        head = f"{'from':>10} -> {'to':10} {'what':12} {'number':>10}  rule\n"
        return head + "\n".join(
            f"{m.source:>10} -> {m.target:10} {m.name:12} {texts[m.name]:>10}  {m.rule}" for m in self.moves
        )

    def number(self, name: str) -> float:
        """The one entry of a value that is drawn."""
        return float(self.values[name][0, self.entries[name]])

    def draw(self, step: int | None = None) -> Figure:
        """The computation graph after `step` moves, or after all of them: values in grey, gradients coloured by sign.

        The width of a coloured arrow is proportional to its number, down to a thinnest one; the figure shows the scale.
        """
        return draw_flow(self, len(self.moves) if step is None else step)


def trace_gradients(model: Model, x: Array, eps: Array | None, beta: float = 1.0, latent: int = 0) -> Flow:
    """One example forward and back: the derivatives of its objective, which is to be maximised.

    Training minimises the loss, whose gradients are these with the other sign. Of the latents one is drawn, and of a
    hidden layer and of the logits the entry whose value times gradient is the largest. That the contributions through z
    and from the KL add up to what training uses is asserted here.

    Shapes    x (1, D), eps (1, Z), or None for an autoencoder.
    Raises    ValueError: more than one example, a latent that is not there, shapes that do not fit.
    """
    if len(x) != 1:
        raise ValueError(f"trace_gradients draws one example, x of shape (1, {model.n_x}), got {len(x)}; pass x[:1]")
    if not 0 <= latent < model.n_z:
        raise ValueError(f"latent should be one of 0 to {model.n_z - 1}, got {latent}")
    terms, cache = model.objective(x, eps, beta)
    trace: dict[str, Array] = {}
    grads = model.backward(model.xp.ones(1, dtype=model.dtype), cache, trace=trace)
    if isinstance(model, VAE):
        assert_forks_add(model, x, trace, grads)
        sigma, noise = cache.reparameterize
        trace |= {"dsigma": trace["dz"] * noise, "deps": trace["dz"] * sigma}
    values = {name: np.atleast_2d(to_numpy(value)) for name, value in forward_values(model, x, eps, terms).items()}
    gradients = {name: to_numpy(array) for name, array in trace.items()}
    for part in (model.encoder, model.decoder):
        gradients |= {f"d{name}": gradients[f"{last}.dy"] for name, last in hidden_layers(part).items()}
    entries = {name: largest(values[name], gradients.get(f"d{name}")) for name in values}
    entries |= {name: latent for name in ("mu", "logvar", "sigma", "eps", "z") if name in entries}
    entries["x"] = entries["logits"] % model.n_x  # the pixel that this logit is of
    rule = backward_rule(model.likelihood)
    hidden = [list(hidden_layers(part)) for part in (model.encoder, model.decoder)]
    moves = forward_moves(values, entries, hidden, beta) + backward_moves(gradients, entries, hidden, beta, rule)
    return Flow(values, gradients, entries, moves, sums_at(moves, hidden), beta, rule)


def forward_values(model: Model, x: Array, eps: Array | None, terms: Any) -> dict[str, Array]:
    """Every value on the way, by the name of its box."""
    encoded = hidden_values(model.encoder, x)
    values = {"x": x} | encoded
    if isinstance(model, VAE):
        mu, logvar, _ = model.encode(x)  # (1, Z) each
        sigma, noise = model.xp.exp(0.5 * logvar), model.as_input(eps, "eps", (1, model.n_z))  # (1, Z) each
        z = mu + sigma * noise  # (1, Z)
        values |= {"mu": mu, "logvar": logvar, "sigma": sigma, "eps": noise}
    else:
        z, _ = model.encode(x)  # (1, Z)
    logits, _ = model.decode(z)  # (1, D n_params)
    values |= {"z": z} | hidden_values(model.decoder, z) | {"logits": logits}
    return values | {name: term for name, term in terms._asdict().items() if name != "elbo"}


def hidden_layers(chain: Chain) -> dict[str, str]:
    """The name of every hidden layer, as in "encoder.0", and the name of the last thing that it is made of."""
    return {".".join(name.split(".")[:2]): name for name in chain.layers}  # why: of one key the last entry stays


def hidden_values(chain: Chain, x: Array) -> dict[str, Array]:
    """What every hidden layer returns, (1, H) each."""
    values = {}
    for name, layer in chain.layers.items():
        x, _ = layer.forward(x)
        values[".".join(name.split(".")[:2])] = x
    return values


def largest(value: np.ndarray, gradient: np.ndarray | None) -> int:
    """The entry whose value times gradient is the largest in size: what this layer does, it does there."""
    return 0 if gradient is None or gradient.shape != value.shape else int(np.abs(value * gradient)[0].argmax())


def backward_rule(likelihood: Any) -> str:
    """How a likelihood makes its dlogits: the field Backward of its nll's docstring, or else the name of its method."""
    lines = [line.strip() for line in (likelihood.nll.__doc__ or "").splitlines()]
    told = [line.removeprefix("Backward").strip() for line in lines if line.startswith("Backward ")]
    return told[0].split(", ")[0].rstrip(".") if told else "dlogits = nll_backward(dnll)"


def assert_forks_add(vae: VAE, x: Array, trace: dict[str, Array], grads: dict[str, Array]) -> None:
    """The two parts at mu, at logvar and at the hidden layer below add up to the gradients of the weights."""
    h, _ = vae.encoder.forward(vae.as_input(x, "x", ("B", vae.n_x)))  # (1, H)
    for name in ("mu", "logvar"):
        whole = to_numpy(trace[f"d{name}_z"] + trace[f"d{name}_kl"])  # (1, Z)
        head = to_numpy(h).T @ whole  # (H, Z)  the gradient of the head's weights, once more
        np.testing.assert_allclose(to_numpy(trace[f"d{name}"]), whole, rtol=1e-5, atol=1e-6 * np.abs(whole).max())
        np.testing.assert_allclose(to_numpy(grads[f"{name}.W"]), head, rtol=1e-4, atol=1e-6 * np.abs(head).max())
