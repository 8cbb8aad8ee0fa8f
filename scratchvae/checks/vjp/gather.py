"""Causes without their consequences: one mistake makes many gradients wrong, and is one thing to repair."""

from scratchvae.checks.report import Finding, Report


def without_consequences(report: Report, in_order: bool = False) -> Report:
    """Leave out what has no cause of its own while something else has one; the rows say so.

    Gradients flow from the output to the first input. in_order says that the rows are in the order of the forward, as
    the parameters of a model are: then what lies after the last named cause is no consequence of it.
    """
    order = [row.name for row in report.rows]
    found = [f for f in report.findings if f.inputs[0] in order]
    roots = [f for f in found if f.cause != "unknown"] or (found[-1:] if in_order else found)
    last = max((order.index(f.inputs[0]) for f in roots), default=-1)
    follows = {
        f.inputs[0]
        for f in found
        if f.cause == "unknown" and f not in roots and (not in_order or order.index(f.inputs[0]) < last)
    }
    report.findings = [f for f in report.findings if f.inputs[0] not in follows]
    note = f"may follow from {order[last]}" if roots else ""
    report.rows = [row._replace(note=note) if row.name in follows else row for row in report.rows]
    return report


def merged(report: Report) -> Report:
    """One finding for the same message about several parameters, the one nearest to the output first."""
    kept: dict[tuple[str, str], list[Finding]] = {}
    for finding in reversed(report.findings):
        kept.setdefault((finding.cause, finding.message.replace(finding.inputs[0], "")), []).append(finding)
    report.findings = [same_in(first, [f.inputs[0] for f in reversed(more)]) for first, *more in kept.values()]
    return report


def same_in(finding: Finding, others: list[str]) -> Finding:
    return finding._replace(message=f"{finding.message} (the same in {', '.join(others)})") if others else finding
