"""A training step of the 784-H-Z-H-784 VAE beside the same step in PyTorch, and beside its own matrix products.

    python benchmarks/step.py --out results/speed-step

The step is forward, backward and Adam, in float32. PyTorch runs on the CPU: as it comes, with its fused Adam, and
compiled with the fused Adam. The products are the fourteen of the step, with nothing between them.
"""

import argparse
import sys
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from statistics import median
from typing import Any

from report import load, ratios, spread, table, verdict, write
from turns import Contestant, Times, compete, serve

TORCH = ("eager", "fused", "compiled")
NAMES = {"ours": "scratchvae", "products": "its matrix products", **{how: f"PyTorch, {how}" for how in TORCH}}
TARGETS = {"eager": 0.72, "best": 1.0, "products": 1.6}  # of the time of ours over theirs, with one thread


def ready(name: str, B: int, H: int, Z: int, threads: int) -> Callable[[], None]:
    """The step of a contestant."""
    if name in TORCH:
        from torch_vae import torch_step

        return torch_step(name, B, H, Z, threads)
    from vae_step import matrix_products, training_step

    return training_step(B, H, Z) if name == "ours" else matrix_products(B, H, Z)


def race(names: list[str], rounds: int, steps: int, B: int, H: int, Z: int, threads: int) -> Times:
    """The seconds of every contestant, round by round."""
    sizes = [f"--batch={B}", f"--hidden={H}", f"--latent={Z}", f"--threads={threads}"]
    contestants = {name: Contestant([__file__, f"--serve={name}", *sizes], threads) for name in names}
    return compete(contestants, rounds, steps)


def compare(times: Times) -> tuple[str, dict[str, Any]]:
    """The table of a race, and the medians of its ratios."""
    ours = times["ours"]
    rows, medians = [], {}
    for name, theirs in times.items():
        wall, processor = (ratios(ours[clock], theirs[clock]) for clock in ("wall", "processor"))
        medians[name] = {"wall": median(wall), "processor": median(processor)}
        beside = ["", ""] if name == "ours" else [spread(wall), spread(processor)]
        rows.append([NAMES[name], spread([1e3 * s for s in theirs["wall"]]), *beside])
    header = ["", "ms a step", "scratchvae / it, elapsed", "scratchvae / it, processor time"]
    return table(header, rows), medians


def targets(medians: dict[str, dict[str, float]]) -> str:
    """Each target and whether it was reached, by the elapsed time."""
    of = {name: ratio["wall"] for name, ratio in medians.items() if name != "ours"}
    torch = [of[name] for name in TORCH if name in of]
    of |= {"best": max(torch)} if torch else {}
    words = {"eager": "of PyTorch as it comes", "best": "of the fastest PyTorch", "products": "of the products"}
    lines = [f"- {of[name]:.3f} {words[name]} ({verdict(of[name], t)})" for name, t in TARGETS.items() if name in of]
    return "\n".join(lines)


def main() -> None:
    """Race, or be one of those who race."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--steps", type=int, default=12, help="in a turn")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--hidden", type=int, default=400)
    parser.add_argument("--latent", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), help="some of the contestants")
    parser.add_argument("--out", help="write OUT.md and OUT.json")
    parser.add_argument("--serve", choices=NAMES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(ready(args.serve, args.batch, args.hidden, args.latent, args.threads[0]))
        return
    names = ["ours"] + [name for name in NAMES if name in args.only and name != "ours"]
    torch = bool(set(names) & set(TORCH))
    if torch and find_spec("torch") is None:
        sys.exit("PyTorch is not here; pip install torch, or leave it out with --only ours products")

    before = load()
    texts, results = [], {}
    for threads in args.threads:
        times = race(names, args.rounds, args.steps, args.batch, args.hidden, args.latent, threads)
        text, medians = compare(times)
        texts.append(f"## {threads} thread{'s' if threads > 1 else ', the one that counts'}\n\n{text}")
        if threads == 1:
            texts.append(targets(medians))
        results[f"{threads} threads"] = {"ratio": medians, "seconds": times}
    intro = (
        f"Forward, backward and Adam of the 784-{args.hidden}-{args.latent}-{args.hidden}-784 ReLU VAE at batch "
        f"{args.batch}, float32.\n{args.rounds} rounds; in each round everybody has a turn of {args.steps} steps, "
        "of which the median counts; elapsed time.\nThe middle one of the rounds (lower to upper quartile); "
        "ratios are taken round by round."
    )
    versions = {"PyTorch": version("torch")} if torch else {}
    write(args.out, "A training step", "\n\n".join([intro, *texts]), results, before, **versions)


if __name__ == "__main__":
    main()
