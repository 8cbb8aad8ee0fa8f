"""The page about the museum, in Markdown: every check on every bug, by chapter."""

import re
import textwrap

import numpy as np

from scratchvae.checks import CAUSES, Report
from scratchvae.museum.components import Model, Several
from scratchvae.museum.source import comparison
from scratchvae.museum.specimen import Specimen, causes, deviations, seen_by

CHECKS = {
    "shapes": "it runs, and every result has the right shape",
    "differences": "every gradient against finite differences: `check_vjp`, `check_gradients`",
    "repeat": "the same call twice gives the same result: `check_vjp`, `check_gradients`",
    "read-only": "nothing is written to that belongs to the caller, and no call disturbs another: all of them",
    "sampler": "mean, spread and shape of the draw against the q that the KL assumes: `check_sampler`",
    "evidence": "log p(x) = ELBO + KL(q ‖ p(z\\|x)), by quadrature: `check_evidence`",
    "likelihood": "`nll` adds up to 1, and its mean, its draws and its backward are the density's: `check_likelihood`",
    "optimizer": "step by step beside a reference: `check_optimizer`",
}
CHAPTERS = {
    "activations": ("Activations", "A curve and its slope, and who may write into an array."),
    "layers": ("Layers", "The dense layer with and without an activation, what a layer keeps, and forks."),
    "blocks": ("Blocks", "What other networks are made of; often one output depends on many inputs."),
    "gaussian": ("Gaussian", "The draw from q(z|x) and its KL to the prior. Most famous VAE bugs live here."),
    "likelihoods": ("Likelihoods", "What the decoder's output means, with its constants, its mean and its draws."),
    "vae": ("VAE", "Whole models, where the terms meet, and the importance-weighted bound."),
    "optim": ("Optimizers", "What is done with a gradient. There is no derivative to check, but a sequence of steps."),
}

FUNCTIONS = {  # by the name of the check
    "differences": "check_vjp",
    "sampler": "check_sampler",
    "evidence": "check_evidence",
    "likelihood": "check_likelihood",
    "optimizer": "check_optimizer",
}

INTRODUCTION = """\
A gradient check compares a backward with its own forward. If the forward computes the wrong thing and the backward is
the derivative of that wrong thing, the check passes, to as many digits as you like. Many bugs in published VAEs are of
this kind: the noise has another scale than the KL assumes, the KL is averaged where it should be summed, a constant is
missing. The loss falls, the pictures look fine, and the number called ELBO is not a bound on log p(x).

So three kinds of mistakes need three kinds of checks. Calculus: finite differences. Probability: the law of what is
drawn, and the identity that defines the bound. Aliasing, that is, two parts of a program that share an array without
knowing it: inputs that are watched, and calls that are made twice.

The museum holds {n} planted bugs, {found} of them from public code and the threads about it, the others slips that
everybody makes. Each is a few lines beside the correct component, in `scratchvae/museum/`. The command `python -m
scratchvae.museum` runs every check on every bug and prints this page. The tests do the same; and they put every right
line in the place of its wrong one, and run every check on what comes out: nothing that is right may be accused.
"""

LABELS = """\
## How to read a label

Each bug has a label, written by hand: its title; its **effect**, that is, what it does to the numbers; where it was
seen (its **origin**); and the **cause** that a report should name. What is *off here* was measured on the museum's own
small example. How fast something learns is said of plain gradient descent. Below each label, folded, stand the wrong
line (-) and the right one (+), and the report that the check really gives, with fewer digits: a row that is ok stands
without its numbers, which are rounding and differ from one machine to the other.
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
    parts += [LABELS, *causes_defined(exhibits)]
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
        lines += [*label(i, specimen, reports), *fold(specimen, reports)]
    return lines


def causes_defined(exhibits: list[Exhibit]) -> list[str]:
    """Every word that a report may use for a cause."""
    lines = ["| cause | what it means | bugs |", "|---|---|---:|"]
    for cause, meaning in CAUSES.items():
        lines.append(f"| {cause} | {meaning} | {sum(s.cause == cause for s, _ in exhibits)} |")
    return [*lines, ""]


def label(i: int, specimen: Specimen, reports: dict[str, Report]) -> list[str]:
    """The label of a bug, and what is off."""
    text = f"**{i}. {specimen.title}.** {specimen.effect} {measured(specimen, reports)}"
    text += f" Origin: {specimen.origin}. Cause: {specimen.cause}. Code: `{specimen.chapter}.{specimen.name}`."
    return [wrap(text), ""]


def fold(specimen: Specimen, reports: dict[str, Report]) -> list[str]:
    """Its lines, and the reports that found something."""
    lines = ["<details>", "<summary>wrong line, right line, report</summary>", ""]
    lines += ["```diff", comparison(specimen.bug), "```", ""]
    for check, report in reports.items():
        if report.findings and check != "shapes":
            lines += [f"`{function_of(check, specimen)}` says:", "", "```text", steady(report), "```", ""]
    return [*lines, "</details>", ""]


def function_of(check: str, specimen: Specimen) -> str:
    """The name of the function that checks."""
    whole = isinstance(specimen.correct, Model | Several)
    return "check_gradients" if whole and check == "differences" else FUNCTIONS[check.split()[0]]


def steady(report: Report) -> str:
    """A report as every machine prints it: without the digits that are rounding, which differ from one to the other."""
    ok = [row._replace(error=np.nan, second=None) if row.status == "ok" else row for row in report.rows]
    text = str(Report(report.title, ok, report.findings, report.unit))

    def digits(match: re.Match[str]) -> str:
        expected, got = (f"{float(number):.3g}" for number in match.groups())
        return match[0] if expected == got else f"expected {expected}, got {got},"

    text = re.sub(r"expected (\S+), got (\S+),", digits, text)
    text = re.sub(r"to within \de-\d\d", "to within rounding", text)
    return re.sub(r"\d\.\de-(?:0[7-9]|[1-9]\d\d?)\b", " < 1e-6", text)


def applies(check: str, reports: dict[str, Report]) -> bool:
    """Repeating and read-only inputs are part of the checks of gradients and of optimizers."""
    if check in ("repeat", "read-only"):
        return "differences" in reports or (check == "read-only" and "optimizer" in reports)
    return check in {name.split()[0] for name in reports}


def measured(specimen: Specimen, reports: dict[str, Report]) -> str:
    """What is off on the museum's own small example: the worst results, and the nats of the identity."""
    if "repeat" in seen_by(reports):
        return "What is off here changes from call to call."
    off = sorted(deviations(specimen).items(), key=lambda item: (-round(item[1], 6), item[0]))
    parts = [f"{name} {percent(error)}" for name, error in off[:3]]
    if len(off) > 3:
        parts[2:] = [f"{len(off) - 2} more results"]
    rows = reports["evidence"].rows if "evidence" in reports else []
    if gaps := [row.error for row in rows if row.name.startswith("x[") and row.status == "wrong"]:
        parts.append(f"the identity of the evidence by {round(max(gaps), 6):.2g} nats")
    if parts:
        return f"Off here: {', '.join(parts)}."
    off_shape = "shapes" in seen_by(reports)
    return "No number is off here, but a shape is." if off_shape else "Nothing is off here by a millionth or more."


def percent(error: float) -> str:
    """Rounded twice, so that a half is a half on every machine."""
    if not np.isfinite(error):
        return "is not finite"
    share = round(100 * error, 6)
    return f"by {share:.0f} %" if share >= 10 else f"by {share:.2g} %"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def wrap(text: str, indent: int = 0) -> str:
    return textwrap.fill(text, 120, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
