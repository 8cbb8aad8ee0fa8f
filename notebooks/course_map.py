"""Makes docs/course-map.md, which sends each misconception and each stumbling block to the cell that settles it.

    python notebooks/course_map.py

A cell that settles an item carries its name as a tag: `# %% tags=["claim-02"]`.
"""

from pathlib import Path
from urllib.parse import quote

import jupytext

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "course-map.md"

ITEMS = {
    "claim-01": "q(x|z) approximates p(x|z). No: q(z|x) approximates the posterior p(z|x).",
    "claim-02": "KL measures similarity. No: a dissimilarity, not symmetric, not a metric.",
    "claim-03": "There is one KL. No: KL(q ‖ p(z|x)) is the gap, KL(q ‖ p(z)) stands in the objective.",
    "claim-04": "The first term is the likelihood. No: the expected log-likelihood under q.",
    "claim-05": "Maximise one term or minimise the other. They pull apart, and a weight decides: 1 is the ELBO.",
    "claim-06": "The bound needs no name. It is the ELBO, by Jensen and by an exact identity.",
    "claim-07": "Give q the distribution of the posterior. Exact, but a diagonal family seldom holds it.",
    "claim-08": "Variational inference is all. Half: theta is learned by the same bound; phi is shared by all x.",
    "claim-09": "The integral is hard because of the dimension. Only together with a joint that is bent.",
    "claim-10": "Sampling is random, so not differentiable. The expectation is differentiable.",
    "claim-11": "Mean and standard deviation are trained. They are outputs; the weights are trained.",
    "claim-12": "Epsilon is fixed. Drawn afresh for each pass, and constant within it.",
    "claim-13": "sigma, variance and log-variance are the same. Say which; the covariance is diagonal.",
    "claim-14": "Sample the latent distribution to generate. z from the prior, then x from p(x|z).",
    "claim-15": "Smooth because it has a mean and a standard deviation. Not by noise alone: it takes the KL.",
    "claim-16": "p(x) is the data's distribution. The model's, p_theta(x), is not the data's.",
    "claim-17": "A bottleneck must be narrow. Not so; and a linear one spans PCA's subspace.",
    "claim-18": "The loss is a matter of taste. The choice of likelihood is the choice of loss.",
    "claim-19": "VAEs have one origin. Two, in the same months.",
    "stumble-01": "Mean or sum, and what weight on the KL.",
    "stumble-02": "logvar, log sigma or sigma; the missing 1/2.",
    "stumble-03": "The signs of KL and ELBO.",
    "stumble-04": "Where the transpose comes from; why gradients add at a fork.",
    "stumble-05": "Steps that a derivation skips.",
    "stumble-06": "Binarisation, and grey pixels under a Bernoulli.",
    "stumble-07": "NaN, and an unbounded log-variance.",
    "stumble-08": "Posterior collapse.",
    "stumble-09": "Noise at test time; a mean shown for a draw.",
    "stumble-10": "log p(x): why log-sum-exp, and which way importance weights go.",
    "stumble-11": "Gradient checks on kinks, in float32, with noise that changes.",
    "stumble-12": "Setting up.",
    "stumble-13": "Reproducibility: what to promise.",
    "stumble-14": "Checks that show the answer.",
}


def places() -> dict[str, list[tuple[Path, int, str]]]:
    """For every tag the cells that carry it: the source, the cell's number and the heading above it."""
    found: dict[str, list[tuple[Path, int, str]]] = {}
    for source in sorted((HERE / "source").glob("[0-9][0-9]_*.py")):
        heading = ""
        for i, cell in enumerate(jupytext.read(source).cells):
            titles = [line for line in cell.source.splitlines() if line.startswith("#")]
            if cell.cell_type == "markdown" and titles:
                heading = titles[-1].lstrip("# ")
            for tag in cell.metadata.get("tags", []):
                found.setdefault(tag, []).append((source, i, heading))
    return found


def page() -> str:
    """The page as text: a table of what is often said, and a table of where people stumble."""
    found = places()
    lines = [
        "# Course map",
        "",
        "Where the notebooks settle what is often said, and where people often stumble. Each entry names the section",
        "whose cell settles it. This page is made by `python notebooks/course_map.py`.",
    ]
    for prefix, title in (
        ("claim", "Often said, and what is true"),
        ("stumble", "Where people stumble"),
    ):
        lines += ["", f"## {title}", "", "| | item | settled in |", "|---|---|---|"]
        for name, text in ITEMS.items():
            if name.startswith(prefix):
                links = [
                    f"[{source.stem[:2]}, {heading}]"
                    f"(../notebooks/{source.stem}.ipynb#{quote(heading.replace(' ', '-'))})"
                    for source, _, heading in found.get(name, [])
                ]
                cells = "; ".join(dict.fromkeys(links))  # each section once
                item = text.replace("|", chr(92) + "|")
                lines.append(f"| {int(name[-2:])} | {item} | {cells} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"wrote {PAGE.name}")
