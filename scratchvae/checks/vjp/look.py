"""All inputs of a pair at one point: a row for each, and the evidence against those that are wrong.

Sizes: K upstream gradients, n entries of an input, m of them measured, M entries of y.
"""

from typing import NamedTuple

import numpy as np

from scratchvae.checks.report import Finding, Line, Row
from scratchvae.checks.vjp.call import Pair, Values
from scratchvae.checks.vjp.differences import length
from scratchvae.checks.vjp.function import is_float32, not_finite
from scratchvae.checks.vjp.judge import Judgement, by_directions, evidence, one_by_one
from scratchvae.checks.vjp.subject import Subject, is_of_grains, off_the_kink

FLOAT32 = 1e-6  # the rounding of a gradient that was computed in float32, relative to its largest entry
TINY = 1e-15
GRAINS, LEFT_OVER = 1e3, 1e-8  # so many grains, and so much of the largest output, may be left over of a 0
UNEVEN = 1e3  # the ratio of the largest output to the smallest from which on they are evened out
FLAT = "no slope here on either side: try other inputs"
BESIDE = "x is on a kink: checked a little beside it"


class View(NamedTuple):
    """What was seen at the point x; evidence holds the entries that were measured, (m,), and their columns, (m, M)."""

    x: Values
    rows: dict[str, Row]
    findings: list[Finding]
    evidence: dict[str, tuple[np.ndarray, np.ndarray]]


def look(
    pair: Pair, x: Values, dys: np.ndarray, names: list[str], rng: np.random.Generator, moved: bool = False
) -> View:
    """Directions first, then what they leave open; on a kink all of it a little beside."""
    grads = [pair.grads(x, dy) for dy in dys]
    view = View(x, {}, [], {})
    at, flat = pair.y(x).ravel(), dys.reshape(len(dys), -1)  # (M,), (K, M)
    subjects = []
    for name in names:
        gots = [g[name] for g in grads]
        if bad := next(filter(None, (not_finite(name, f"d{name}", g) for g in gots if g is not None)), None):
            view.findings.append(bad)
            view.rows[name] = Row(name, x[name].shape, np.nan, "wrong", "not finite")
            continue
        fits = all(g is not None and g.shape == x[name].shape for g in gots)
        narrow = fits and any(map(np.any, gots)) and all(map(is_float32, gots))
        claims = np.stack([np.asarray(g, float).ravel() for g in gots]) if fits else None  # (K, n)
        subject = Subject(pair, x, name, at, flat, claims, FLOAT32 * narrow).with_its_witnesses
        subjects.append((subject, gots))
    judgements = [by_directions(subject, rng) for subject, _ in subjects]
    if not moved and any(j.abrupt for j in judgements) and (beside := off_the_kink(pair, x, rng)):
        view = look(pair, beside, dys, names, rng, moved=True)
        rows = {name: row._replace(note=row.note or BESIDE) for name, row in view.rows.items()}
        return view._replace(rows=rows)
    for (subject, gots), judgement in zip(subjects, judgements, strict=True):
        one_by_one(subject, judgement, rng)
        name = subject.name
        wrong = judgement.wrong or any(g is not None and g.shape != x[name].shape for g in gots)
        view.rows[name] = row_of(subject, judgement, wrong, rng)
        if wrong and all(g is not None and g.dtype.kind in "iu" for g in gots):
            text = f"d{name} is an array of {gots[0].dtype}: what is written into it loses all behind the point"
            view.findings.append(
                Finding((name,), "precision", text, "zeros of floats, not zeros_like of whole numbers")
            )
        elif wrong:
            view.evidence[name] = evidence(subject, judgement, rng)
        if subject.rounding and view.rows[name].status != "wrong":
            text = f"d{name} is computed in float32: it has seven digits, and differences want all of float64"
            view.findings.append(Finding((name,), "precision", text, "use float64 throughout"))
    return view


def row_of(subject: Subject, judgement: Judgement, wrong: bool, rng: np.random.Generator) -> Row:
    """What a report says of one input."""
    value, claims = subject.value, subject.claims
    row = Row(subject.name, value.shape, judgement.error, "ok", "", line_of(subject, rng), judgement.second)
    if wrong:
        return row._replace(status="wrong", error=error_of(subject, judgement))
    unseen, n = int((~judgement.agreed).sum()), value.size
    if claims is None or not claims.any():
        return row._replace(status="untested", error=0.0, note=FLAT, second=None)
    if not unseen:
        return row
    which = "all entries are" if unseen == n else f"{unseen} of {n} entries {'is' if unseen == 1 else 'are'}"
    why = "y changes too abruptly there for any step" if judgement.abrupt else "their share in y is below its rounding"
    return row._replace(status="untested", note=f"{which} not to be seen: {why}")


def error_of(subject: Subject, judgement: Judgement) -> float:
    """The largest error of a wrong gradient, in units of its largest entry; NaN for one of another shape, or none."""
    if subject.claims is None:
        return np.nan
    entries = [entry for entry in judgement.entries.values() if np.isfinite(entry.column).all()]
    sizes = [np.abs(subject.dys @ entry.column) for entry in entries]  # (K,) each
    off = max((float(entry.off.max()) for entry in entries), default=np.nan)
    return off / (max((float(size.max()) for size in sizes), default=0.0) or 1.0)


def line_of(subject: Subject, rng: np.random.Generator) -> Line:
    """f along a random direction, and the slope that was claimed: for the figure."""
    value, dy = subject.value, subject.dys[0]
    u = rng.choice([-1.0, 1.0], value.shape) * rng.uniform(0.5, 1.5, value.shape)
    g = np.zeros(value.size) if subject.claims is None else subject.claims[0]
    scale = float(length(g, np.ones(g.size)) * length(u.ravel(), np.ones(u.size))) / max(1, u.size) ** 0.5
    return Line(lambda h: float((dy * subject.y(value + h * u).ravel()).sum()), float(g @ u.ravel()), scale or 1.0)


def upstreams(pair: Pair, x: Values, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two random upstream gradients, (2, *y.shape); the second evens out outputs of very different sizes.

    What rounding leaves of an output that is 0, as of the distance of a point to itself, is not to be made larger.
    """
    dys = rng.standard_normal((2, *y.shape))
    seen = [y]
    for _ in range(2):  # why: an output may be near 0 by chance
        try:
            moved = pair.y({name: a * (1 + 0.1 * rng.standard_normal(a.shape)) for name, a in x.items()})
        except Exception:  # somebody's function may refuse what it does not like
            continue
        if moved.shape == y.shape:
            seen.append(np.where(np.isfinite(moved), moved, 0.0))
    sizes = [np.where(is_nothing(each), 0.0, np.abs(each)) for each in seen]
    size = np.where(is_left_over(np.stack(seen)), 0.0, np.max(sizes, axis=0))
    there = size[size > 0]
    if there.size and there.max() > UNEVEN * there.min():
        dys[1] *= there.min() / np.where(size > 0, size, there.max())
    return dys


def is_left_over(ys: np.ndarray) -> np.ndarray:
    """Which outputs (n, *y.shape) are tiny at all points, and a few grains each time: what rounding leaves of 0."""
    size = np.abs(ys)
    grain = np.where(size > 0, size, np.inf).min(axis=0)  # (*y.shape)
    grains = np.where(np.isfinite(grain), size / np.where(np.isfinite(grain), grain, 1.0), 0.0)
    whole = (np.abs(grains - np.round(grains)) < 1e-6).all(axis=0) & (grains.max(axis=0) < GRAINS)
    return np.asarray(whole & (len(ys) > 2) & (size.max(axis=0) < LEFT_OVER * size.max(initial=0.0)))


def is_nothing(y: np.ndarray) -> np.ndarray:
    """Which outputs are what rounding leaves of 0, or so small that the rounding of others may hide their slopes."""
    size = np.abs(y)
    return is_of_grains(y) | ((size < TINY) & (size < TINY * size.max(initial=0.0)))
