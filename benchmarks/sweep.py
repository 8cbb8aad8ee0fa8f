"""How much of a training step is matrix products, over widths 100 to 4,000 and batches 16 to 4,096.

python benchmarks/sweep.py --out results/speed-sweep
"""

import argparse
from statistics import median

from report import load, ratios, spread, table, write
from step import race

WIDTHS = [(128, H) for H in (100, 200, 400, 1000, 2000, 4000)]
BATCHES = [(B, 400) for B in (16, 64, 256, 1024, 4096)]
BOTH = [(B, B) for B in (16, 64, 256, 1024, 4096)]
TURN = 40 * 128 * 400  # examples times hidden units in a turn: about as long a turn for every size


def main() -> None:
    """Race our step against its products, size by size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--largest", type=int, default=4096, help="leave out sizes above this")
    parser.add_argument("--out", help="write OUT.md and OUT.json")
    args = parser.parse_args()

    before = load()
    texts, results = [], []
    for title, sizes in (("Width, at batch 128", WIDTHS), ("Batch, at width 400", BATCHES), ("Both at once", BOTH)):
        rows = []
        for B, H in sizes:
            if max(B, H) > args.largest:
                continue
            steps = min(200, max(3, TURN // (B * H)))
            times = race(["ours", "products"], args.rounds, steps, B, H, Z=20, threads=1)
            wall, processor = (ratios(times["ours"][c], times["products"][c]) for c in ("wall", "processor"))
            rows.append([B, H, f"{1e3 * median(times['ours']['wall']):.3g}", spread(wall), spread(processor)])
            results.append({"batch": B, "hidden": H, "ratio": median(wall), "seconds": times})
        header = ["batch", "width", "ms a step", "scratchvae / products, elapsed", "the same, processor time"]
        texts.append(f"## {title}\n\n{table(header, rows)}")
    intro = (
        "The whole step of the 784-width-20-width-784 VAE, float32, one thread, over the time of its matrix products.\n"
        f"The middle one of {args.rounds} rounds (lower to upper quartile); ratios are taken round by round."
    )
    text = "\n\n".join([intro, *texts])
    write(args.out, "What a step costs beside its matrix products", text, {"sizes": results}, before)


if __name__ == "__main__":
    main()
