"""A report in a notebook: the finding first, its repair and its numbers folded, a small table.

Text takes the colour of the page around it, and tints are see-through: it looks at home on a light page and on a dark
one. Without any style, as where a site strips it, the same elements still read in the same order.
"""

from collections.abc import Iterable
from html import escape

from scratchvae.checks.report import CAUSES, Finding, Report, Row, listed

TINTS = {"ok": "0, 158, 115", "wrong": "213, 94, 0", "untested": "128, 128, 128"}  # red, green, blue
MANY = 10  # of more rows those that are ok are folded
SMALL = "font-size: 0.88em"
CELL = "padding: 0.15em 1.2em 0.15em 0; border: none; background: none; font-weight: normal; vertical-align: top"
COLUMNS = (  # name, shape, error, complex step, status, note
    "text-align: left; max-width: 20em; overflow-wrap: anywhere",
    *("text-align: right; white-space: nowrap",) * 3,
    "text-align: left; white-space: nowrap",
    "text-align: left; min-width: 10em; opacity: 0.8",
)


def page(report: Report) -> str:
    """The report as a piece of HTML that needs nothing from outside."""
    tint = TINTS["ok" if report.ok else "wrong" if report.findings or said(report, "wrong") else "untested"]
    parts = [f"<strong>{escape(report.title.strip())}</strong>: {escape(report.state)}", *map(finding, report.findings)]
    parts += [table(report)] if report.rows else []
    return framed(tint, parts)


def framed(tint: str, parts: Iterable[str]) -> str:
    """Parts below each other, in a box with a coloured edge."""
    frame = f"border-left: 0.3em solid rgb({tint}); background: rgba({tint}, 0.08); border-radius: 0 4px 4px 0"
    style = f"{frame}; padding: 0.6em 1em; margin: 0.4em 0; max-width: 52em; line-height: 1.5; color: inherit"
    return f'<div style="{style}">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def said(report: Report, status: str) -> list[Row]:
    return [row for row in report.rows if row.status == status]


def finding(f: Finding) -> str:
    """What is wrong; below it, folded, the repair and the numbers."""
    kinds = " and ".join(f'<abbr title="{escape(CAUSES[c])}">{c}</abbr>' for c in (f.cause, f.also) if c)
    label = f"{kinds} in {escape(listed(list(f.inputs)))}"
    folded = [f"<div>{escape(text)}</div>" for text in (f.repair, f.numbers) if text]
    if not folded:
        below = f'<div style="{SMALL}; opacity: 0.8">{label}</div>'
    else:
        what = " and ".join(word for word, text in (("repair", f.repair), ("numbers", f.numbers)) if text)
        summary = f'<summary style="cursor: pointer; opacity: 0.8">{label}: {what}</summary>'
        below = f'<details style="{SMALL}">{summary}<div style="padding-left: 1.1em">{"".join(folded)}</div></details>'
    return f'<div style="margin: 0.6em 0 0">{escape(f.message)}</div>{below}'


def table(report: Report) -> str:
    """The rows; of many only those that are not ok, the others folded."""
    heading, *cells = report.cells()
    shown = [i for i in range(len(heading)) if any(row[i] for row in (heading, *cells))]
    fold = len(cells) > MANY
    head = tr([heading[i] for i in shown], shown, "th")
    open_rows: list[str] = []
    ok_rows: list[str] = []
    for row, texts in zip(report.rows, cells, strict=True):
        line = tr([texts[i] for i in shown], shown, "td", row.status)
        (ok_rows if fold and row.status == "ok" else open_rows).append(line)
    parts = [grid(head, open_rows)] if open_rows else []
    if ok_rows:
        summary = f'<summary style="cursor: pointer; opacity: 0.8">{len(ok_rows)} rows are ok</summary>'
        parts.append(f'<details style="{SMALL}; margin-top: 0.4em">{summary}{grid(head, ok_rows)}</details>')
    return "".join(parts)


def grid(head: str, rows: list[str]) -> str:
    style = f"border-collapse: collapse; margin: 0.6em 0 0; border: none; {SMALL}; color: inherit"
    body = f'<table style="{style}"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div style="overflow-x: auto">{body}</div>'


def tr(texts: list[str], columns: list[int], tag: str, status: str = "") -> str:
    """A row, in the columns of these numbers; the first cell of a body row is its heading."""
    cells = []
    for text, i in zip(texts, columns, strict=True):
        name, scope = ("th", "col") if tag == "th" else ("th", "row") if i == 0 else ("td", "")
        style = f"{CELL}; {COLUMNS[i]}"
        style += "; opacity: 0.7" if scope == "col" else ""
        style += "; font-weight: bold" if i == 4 and status == "wrong" else ""
        attribute = f' scope="{scope}"' if scope else ""
        cells.append(f'<{name}{attribute} style="{style}">{escape(text)}</{name}>')
    tint = f"rgba({TINTS['wrong']}, 0.14)" if status == "wrong" else "none"
    return f'<tr style="background: {tint}; border: none">{"".join(cells)}</tr>'
