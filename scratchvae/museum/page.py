"""The page about the museum, in Markdown: every check on every bug, by chapter."""

import textwrap

import numpy as np

from scratchvae.checks import CAUSES, Report
from scratchvae.museum.source import comparison
from scratchvae.museum.specimen import Specimen, causes, deviations, seen_by

CHECKS = {
    "shapes": "it runs, and every result has the right shape",
    "differences": "every gradient against finite differences: `check_vjp`, `check_gradients`",
    "repeat": "the same call twice gives the same result: `check_vjp`, `check_gradients`",
    "read-only": "nothing is written to that belongs to the caller, and no call disturbs another: all of them",
    "sampler": "moments of the draw against the q that the KL assumes: `check_sampler`",
    "evidence": "log p(x) = ELBO + KL(q ‖ p(z\\|x)), by quadrature: `check_evidence`",
    "likelihood": "`nll` adds up to 1, and its mean, its draws and its backward are the density's: `check_likelihood`",
    "optimizer": "five steps beside a reference: `check_optimizer`",
}
CHAPTERS = {
    "layers": ("Layers", "Derivatives of activations and of the dense layer, and who may write into an array."),
    "gaussian": ("Gaussian", "The draw from q(z|x) and its KL to the prior. Most famous VAE bugs live here."),
    "likelihoods": ("Likelihoods", "What the decoder's output means, with its constants, its mean and its draws."),
    "vae": ("VAE", "Whole models, where the terms meet, and the importance-weighted bound."),
    "optim": ("Optimizers", "What is done with a gradient. There is no derivative to check, but a sequence of steps."),
}

INTRODUCTION = """\
A gradient check compares a backward with its own forward. If the forward computes the wrong thing and the backward is
the derivative of that wrong thing, the check passes, to as many digits as you like. Many bugs in published VAEs are of
this kind: the noise has another scale than the KL assumes, the KL is averaged where it should be summed, a constant is
missing. The loss falls, the pictures look fine, and the number called ELBO is not a bound on log p(x).

So three kinds of mistakes need three kinds of checks. Calculus: finite differences. Probability: the moments of what is
drawn, and the identity that defines the bound. Aliasing, that is, two parts of a program that share an array without
knowing it: inputs that are watched, and calls that are made twice.

The museum holds {n} planted bugs, {found} of them from public code and the threads about it, the others slips that
everybody makes. Each is a few lines beside the correct component, in `scratchvae/museum/`, the wrong line marked
`# the slip`. A bug has a label: what is wrong, where it comes from, what it does to training, and its cause, the word
that a report should say. Below the label the wrong lines (-) stand beside the right ones (+), with what the checks say
of them. `python -m scratchvae.museum` runs every check on every bug and prints this page; the tests do the
same, and also run every check on the correct components, none of which may be accused.
"""

OUTRO = """\
## What is not here

Two findings are no components, so they cannot be planted. A textbook notebook prints the output of a simulation as "the
true value" (udlbook 17.2; for d/dφ E[x² + sin x] with x ~ N(φ³, exp(φ)²), at φ = 0.5, the closed form is 5.728164).
And a course's own gradient checker counted 0/0 as a pass, so that parameters without any gradient went through it: that
is a bug of a check, and the checks here are tested for it.
"""


Exhibit = tuple[Specimen, dict[str, Report]]  # a bug, and what the checks say about it


def page(exhibits: list[Exhibit]) -> str:
    """docs/museum.md: the introduction, what each check saw, and a section for every chapter."""
    found = sum("classic slip" not in s.origin for s, _ in exhibits)
    parts = ["# The museum of bugs\n", INTRODUCTION.format(n=len(exhibits), found=found), *totals(exhibits)]
    for chapter in CHAPTERS:
        parts += section(chapter, [(s, r) for s, r in exhibits if s.chapter == chapter])
    return "\n".join([*parts, OUTRO])


def totals(exhibits: list[Exhibit]) -> list[str]:
    """What each check saw of the bugs that it could be tried on, and how often the cause was named."""
    lines = ["## Which check sees what\n", "| check | what it asks | bugs seen | of |", "|---|---|---:|---:|"]
    for check, asks in CHECKS.items():
        tried = [reports for _, reports in exhibits if applies(check, reports)]
        lines.append(f"| {check} | {asks} | {sum(check in seen_by(r) for r in tried)} | {len(tried)} |")
    seen = sum(bool(seen_by(r) - {"shapes"}) for _, r in exhibits)
    named = sum(s.cause in causes(r) for s, r in exhibits)
    lines.append(f"| **all of them** | | **{seen}** | **{len(exhibits)}** |\n")
    lines += [
        "| cause | meaning |",
        "|---|---|",
        *(f"| {cause} | {meaning} |" for cause, meaning in CAUSES.items()),
        "",
    ]
    lines.append(
        wrap(
            f"The cause that the label gives is among those that the reports name for {named} of the {len(exhibits)}. "
            "The checks grew up beside the museum: this says what they know, not how they do on a bug new to them. "
            "In the tables ● means seen, a dot passed, and an empty cell that the check does not apply; "
            "the label's cause is set in bold."
        )
    )
    return [*lines, ""]


def section(chapter: str, exhibits: list[Exhibit]) -> list[str]:
    """A chapter: the table check x bug, and the labels."""
    checks = [c for c in CHECKS if any(applies(c, r) for _, r in exhibits)]
    title, about = CHAPTERS[chapter]
    lines = [f"## {title}\n", about + "\n"]
    lines.append(f"| | bug | {' | '.join(checks)} | cause named |")
    lines.append(f"|---:|---|{':-:|' * len(checks)}---|")
    for i, (specimen, reports) in enumerate(exhibits, start=1):
        seen = seen_by(reports)
        marks = ["" if not applies(c, reports) else "●" if c in seen else "·" for c in checks]
        named = ", ".join(f"**{c}**" if c == specimen.cause else c for c in sorted(causes(reports)))
        lines.append(f"| {i} | {cell(specimen.title)} | {' | '.join(marks)} | {named} |")
    lines.append("")
    for i, (specimen, reports) in enumerate(exhibits, start=1):
        text = f"{i}. **{specimen.title}.** {specimen.effect} {measured(specimen, reports)}"
        text += f" Origin: {specimen.origin}. Code: `{chapter}.{specimen.name}`."
        lines.append(wrap(text, indent=len(f"{i}. ")))
        lines.append(textwrap.indent(fold(specimen, reports), " " * len(f"{i}. ")))
    return [*lines, ""]


def fold(specimen: Specimen, reports: dict[str, Report]) -> str:
    """The lines, and what every check says that finds something; without numbers, whose last digits are a machine's."""
    said = []
    for check, report in reports.items():
        if check != "shapes" and report.findings:
            findings = [str(finding._replace(expected=None, got=None)) for finding in report.findings]
            said.append("\n".join([f"{report.title}: {report.state}", *findings]))
    code = ["```diff", comparison(specimen.bug), "```", "", "```text", "\n\n".join(said) or "nothing", "```"]
    return "\n".join(["", "<details>", "<summary>the lines, and the report</summary>", "", *code, "", "</details>", ""])


def applies(check: str, reports: dict[str, Report]) -> bool:
    """Repeating and read-only inputs are part of the checks of gradients and of optimizers."""
    if check in ("repeat", "read-only"):
        return "differences" in reports or (check == "read-only" and "optimizer" in reports)
    return check in reports


def measured(specimen: Specimen, reports: dict[str, Report]) -> str:
    """What is off on the museum's own small example: the worst results, and the nats of the identity."""
    if "repeat" in seen_by(reports):
        return "What is off here changes from call to call."
    off = sorted(deviations(specimen).items(), key=lambda item: -item[1])
    parts = [f"{name} {percent(error)}" for name, error in off[:3]]
    if len(off) > 3:
        parts[2:] = [f"{len(off) - 2} more results"]
    rows = reports["evidence"].rows if "evidence" in reports else []
    if gaps := [row.error for row in rows if row.name.startswith("x[") and row.status == "wrong"]:
        parts.append(f"the identity of the evidence by {max(gaps):.2g} nats")
    if parts:
        return f"Off here: {', '.join(parts)}."
    return "No number is off here, but a shape is." if "shapes" in seen_by(reports) else "No number is off here."


def percent(error: float) -> str:
    if not np.isfinite(error):
        return "is not finite"
    return f"by {100 * error:.0f} %" if error >= 0.1 else f"by {100 * error:.2g} %"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def wrap(text: str, indent: int = 0) -> str:
    return textwrap.fill(text, 120, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
