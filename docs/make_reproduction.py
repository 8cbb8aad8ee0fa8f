"""Write docs/reproduction.md: the ledger of published numbers, from the recorded runs in results/reproduction.

    python docs/make_reproduction.py

A row is a folder with config.json, which `python -m scratchvae reproduce NAME` runs, and measured.json, which it wrote.
The words stand in docs/reproduction_page.txt; every number is filled in from there.
"""

from pathlib import Path
from typing import Any

from scratchvae.reproduction.rows import Row, rows

ROOT = Path(__file__).parent.parent
PAGE, WORDS = ROOT / "docs" / "reproduction.md", ROOT / "docs" / "reproduction_page.txt"


def table(head: list[str], lines: list[list[str]]) -> str:
    """A table in Markdown: words to the left, numbers to the right."""
    rule = ["---" if i == 0 else "--:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *lines])


def with_error(value: dict[str, float]) -> str:
    return f"{value['mean']:.2f} ± {value['standard_error']:.2f}"


def trained_row(row: Row) -> list[str]:
    """A line of the table of bounds."""
    found, published = row.measured, row.config.get("published")
    said = f"{published:.2f}" if published else ""
    if found is None:
        return [row.config["title"], said, "not run yet", "", "", "", f"`{row.name}`"]
    units = found["active_units"]
    return [
        row.config["title"],
        said,
        with_error(found["minus_log_px"]["5000"]),
        with_error(found["minus_elbo"]),
        f"{units['by_variance']} / {units['by_kl']}",
        f"{found['minutes_of_training']:.0f}",
        f"`{row.name}`",
    ]


def bounds(every: list[Row]) -> str:
    head = ["what", "published", "−log p(x), K = 5,000", "−ELBO", "units: variance / KL", "minutes", "NAME"]
    return table(head, [trained_row(row) for row in every if row.config["kind"] == "trained"])


def linear(found: dict[str, Any]) -> str:
    head = ["σ²", "epochs", "latents in use: predicted", "found", "ELBO: best", "reached"]
    lines = [
        [
            f"{run['sigma_x^2']:g}",
            f"{run['epochs']}",
            f"{run['active']['predicted']}",
            f"{run['active']['found']}",
            f"{run['elbo']['best']:.3f}",
            f"{run['elbo']['reached']:.3f}",
        ]
        for run in found["runs"]
    ]
    return table(head, lines)


def signal_to_noise(found: dict[str, Any]) -> str:
    head = ["estimator", "slope in mu", "in logvar", *(f"K = {K}" for K in found["draws"]), "spread at the posterior"]
    lines = [
        [
            name,
            f"{slope['mu']:.2f}",
            f"{slope['logvar']:.2f}",
            *(f"{mu:.3g}" for mu, _ in found["signal_over_noise"][name]),
            f"{found['spread_at_the_posterior'][name]:.1g}",
        ]
        for name, slope in found["slopes"].items()
    ]
    return table(head, lines)


def score_function(found: dict[str, Any]) -> str:
    head = ["f", "derivative", "variance: pathwise", "score", "score / pathwise", "by draws"]
    lines = [
        [
            name,
            f"{each['derivative']['pathwise']:.4f}",
            f"{each['variance']['pathwise']:.3f}",
            f"{each['variance']['score']:.3f}",
            f"{each['ratio']:.3f}",
            f"{each['variance_by_draws']['score'] / each['variance_by_draws']['pathwise']:.3f}",
        ]
        for name, each in found.items()
        if isinstance(each, dict)
    ]
    return table(head, lines)


TABLES = {"linear": linear, "signal-to-noise": signal_to_noise, "score-function": score_function}


def page() -> str:
    """The whole ledger."""
    every = rows(ROOT / "results" / "reproduction")
    filled = {"bounds": bounds(every)}
    for row in every:
        if row.config["kind"] in TABLES:
            filled[row.name] = TABLES[row.config["kind"]](row.measured) if row.measured else "not run yet"
    text = WORDS.read_text(encoding="utf-8")
    for name, made in filled.items():
        text = text.replace(f"{{{name}}}", made)
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.name}")
