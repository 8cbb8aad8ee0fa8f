"""Trained models that come with the package, found by name: `load_checkpoint("mnist-2")`.

    mnist-2     784-200-200-2, relu: the one to draw a latent plane of
    mnist-50    784-200-200-50, tanh: the best VAE of docs/reproduction.md

They are checkpoints as `train` writes them, without the optimizer's averages, so they can be measured, sampled and
drawn, and not trained on. A path of that name that exists is meant before a name is.
"""

from pathlib import Path

HERE = Path(__file__).parent


def shipped() -> list[str]:
    """The names that there are."""
    return sorted(file.stem for file in HERE.glob("*.npz"))


def shipped_file(name: str | Path) -> Path | None:
    """The checkpoint of that name; None where there is no such name, or a path is meant."""
    file = HERE / f"{name}.npz"
    return file if str(name) in shipped() and not Path(name).exists() else None
