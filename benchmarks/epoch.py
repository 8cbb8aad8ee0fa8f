"""An epoch over all of MNIST from end to end: our `fit` beside the same epoch in PyTorch with its DataLoader.

    python benchmarks/epoch.py --out results/speed-epoch

End to end: rows in a new order, grey pixels to bits drawn afresh, forward, backward, Adam, and at the end the ELBO of
the 10,000 held-out images. PyTorch runs on the CPU with its fused Adam.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from report import load, ratios, spread, table, write
from turns import Contestant, compete, serve

NAMES = {
    "ours": "scratchvae, fit",
    "loader0": "PyTorch, DataLoader",
    "loader2": "PyTorch, DataLoader with 2 workers",
    "indexed": "PyTorch, rows by index, without DataLoader",
}
B, TEST_BATCH = 128, 500


def our_epoch(data_name: str, Z: int) -> Callable[[], None]:
    """One epoch of `fit`."""
    import numpy as np
    from vae_step import build

    from scratchvae import Adam, fit, load_data

    data, vae, optimizer, rng = load_data(data_name), build(Z=Z), Adam(), np.random.default_rng(1)
    return lambda: fit(vae, data.x_train, data.x_test, epochs=1, optimizer=optimizer, rng=rng, progress=False)


def torch_epoch(name: str, data_name: str, Z: int, threads: int) -> Callable[[], None]:
    """The same in PyTorch, as one writes it there."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset
    from torch_vae import TorchVAE
    from vae_step import build

    from scratchvae import load_data

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    data, vae = load_data(data_name), TorchVAE(build(Z=Z))
    x_train, x_test = torch.from_numpy(data.x_train), torch.from_numpy(data.x_test)  # uint8
    x_test = torch.bernoulli(x_test.float() / 255)
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3, fused=True)

    def batches() -> Iterator[torch.Tensor]:
        if name == "indexed":
            yield from (x_train[rows] for rows in torch.randperm(len(x_train)).split(B))
        else:
            workers = int(name.removeprefix("loader"))
            loader = DataLoader(TensorDataset(x_train), batch_size=B, shuffle=True, num_workers=workers)
            yield from (rows for (rows,) in loader)

    def epoch() -> None:
        total = 0.0
        for rows in batches():
            x = torch.bernoulli(rows.float() / 255)
            optimizer.zero_grad()
            loss = vae(x, torch.randn(len(x), Z))
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        with torch.no_grad():
            for x in x_test.split(TEST_BATCH):
                total += vae(x, torch.randn(len(x), Z)).item()

    return epoch


def main() -> None:
    """Race, or be one of those who race."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--latent", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), help="some of the contestants")
    parser.add_argument("--out", help="write OUT.md and OUT.json")
    parser.add_argument("--serve", choices=NAMES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        how = (args.data, args.latent)
        serve(our_epoch(*how) if args.serve == "ours" else torch_epoch(args.serve, *how, args.threads), rehearse=False)
        return
    names = ["ours"] + [name for name in NAMES if name in args.only and name != "ours"]
    if len(names) > 1 and find_spec("torch") is None:
        sys.exit("PyTorch is not here; pip install torch, or leave it out with --only ours")

    before = load()
    options = [f"--data={args.data}", f"--latent={args.latent}", f"--threads={args.threads}"]
    contestants = {name: Contestant([__file__, f"--serve={name}", *options], args.threads) for name in names}
    times = compete(contestants, args.rounds, steps=1)
    rows = []
    for name, theirs in times.items():
        wall, processor = (ratios(times["ours"][clock], theirs[clock]) for clock in ("wall", "processor"))
        rows.append([NAMES[name], spread(theirs["wall"]), spread(wall), spread(processor)])
    header = ["", "seconds an epoch", "scratchvae / it, elapsed", "scratchvae / it, processor time"]
    text = (
        f"{Path(args.data).stem}, the 784-400-{args.latent}-400-784 VAE, batch {B}, pixels binarised afresh, and the\n"
        f"held-out images at the end; threads: {args.threads}. PyTorch with its fused Adam, not compiled.\n"
        f"The middle one of {args.rounds} rounds (lower to upper quartile); ratios are taken round by round.\n\n"
        f"{table(header, rows)}"
    )
    results = {"ratio": {name: median(ratios(times["ours"]["wall"], t["wall"])) for name, t in times.items()}}
    versions = {"PyTorch": version("torch")} if len(names) > 1 else {}
    write(args.out, "An epoch from end to end", text, {**results, "seconds": times}, before, **versions)


if __name__ == "__main__":
    main()
