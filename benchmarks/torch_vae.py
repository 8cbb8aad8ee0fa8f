"""The same VAE in PyTorch: the same weights to start from, the same loss, checked before anything is timed."""

from collections.abc import Callable
from itertools import cycle

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from vae_step import build, images

from scratchvae import VAE

LAYERS = ("encoder.0", "mu", "logvar", "decoder.0", "logits")
NATS = 1e-3  # how far the two losses may be apart
PART = 1e-4  # how far two gradients may be apart, as a part of their length


class TorchVAE(nn.Module):
    """784-H-(Z, Z)-H-784 with ReLU, as one writes it in PyTorch, starting from the weights of ours."""

    def __init__(self, ours: VAE) -> None:
        super().__init__()
        self.encoder, self.mu, self.logvar, self.decoder, self.logits = (linear_like(ours, name) for name in LAYERS)

    def forward(self, x: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """The loss: minus our objective, averaged over the examples, in nats."""
        h = torch.relu(self.encoder(x))  # (B, H)
        mu, logvar = self.mu(h), self.logvar(h)  # (B, Z), (B, Z)
        z = mu + torch.exp(0.5 * logvar) * eps  # (B, Z)
        logits = self.logits(torch.relu(self.decoder(z)))  # (B, D)
        nll = binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = 0.5 * torch.sum(mu.pow(2) + logvar.exp() - 1 - logvar)
        return (nll + kl) / len(x)


def linear_like(ours: VAE, name: str) -> nn.Linear:
    """A linear layer with our weights; PyTorch keeps W transposed."""
    W, b = ours.params[f"{name}.W"], ours.params[f"{name}.b"]
    layer = nn.Linear(*W.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(W.T))
        layer.bias.copy_(torch.from_numpy(b))
    return layer


def require_the_same(ours: VAE, theirs: TorchVAE, x: np.ndarray, eps: np.ndarray) -> None:
    """The same loss and the same gradients from the same weights and noise; or the comparison would mean nothing."""
    terms, cache = ours.objective(x, eps)
    grads = ours.backward(np.full(len(x), -1 / len(x)), cache)
    loss = theirs(torch.from_numpy(x), torch.from_numpy(eps))
    loss.backward()
    apart = abs(loss.item() + terms.objective.mean(dtype=float))
    if not apart < NATS:
        raise SystemExit(f"the losses should be the same to {NATS} nats, and are {apart} nats apart")
    for name in LAYERS:
        layer = getattr(theirs, name.removesuffix(".0"))
        for ours_, theirs_ in ((grads[f"{name}.W"].T, layer.weight.grad), (grads[f"{name}.b"], layer.bias.grad)):
            apart = float(np.linalg.norm(ours_ - theirs_.numpy()) / np.linalg.norm(ours_))
            if not apart < PART:
                raise SystemExit(f"the gradients of {name} should be the same to {PART}, and are {apart} apart")
    theirs.zero_grad()


def torch_step(how: str, B: int, H: int, Z: int, threads: int) -> Callable[[], None]:
    """Noise, loss, backward, Adam: "eager" as it comes, "fused" with the fused Adam, "compiled" with both."""
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    ours = build(H, Z)
    theirs = TorchVAE(ours)
    require_the_same(ours, theirs, images(B, 1)[0], ours.draw_eps(B, np.random.default_rng(1)))
    loss = torch.compile(theirs) if how == "compiled" else theirs
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-3, fused=how != "eager")
    x = cycle([torch.from_numpy(rows) for rows in images(B)])

    def step() -> None:
        optimizer.zero_grad()
        loss(next(x), torch.randn(B, Z)).backward()
        optimizer.step()

    return step
