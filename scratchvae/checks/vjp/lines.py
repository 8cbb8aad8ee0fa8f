"""Where in the backward it goes wrong: a line whose value, were it another one, would make all gradients right.

The gradients are linear in a value that a backward computes. So the value that would make them right can be solved
for; and what is to be said of it, beside the value that is there, is what is said of a gradient. The same hypotheses
speak about it.

Sizes: n entries of a value, m of all gradients that were measured, M entries of y, K upstream gradients.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from scratchvae.checks.vjp.call import Pair, copied
from scratchvae.checks.vjp.case import EXPLAINED, LEFT, Case, Claim, Hypothesis, Seen
from scratchvae.checks.vjp.changes import Change, Changed, Operation
from scratchvae.checks.vjp.cover import VAGUE, opinions, simpler
from scratchvae.checks.vjp.tape import ORDINALS, Site, Tape, plain, returned
from scratchvae.checks.vjp.told import gradients
from scratchvae.checks.vjp.word import without_twins
from scratchvae.checks.vjp.words import vocabulary

FEW, MANY = 4, 99  # lines that are told
ODD = 0.7
LARGEST = 100  # entries of a value that is solved for, in all the rounds of a loop
SITES = 120  # of more the first
OUTPUTS = 24  # so many entries of y are asked; of more a sample
MIXED = 3  # random upstream gradients, for a value that does not depend on dy
CHEAP = 2.2  # a claim that costs more may not be the best
TRIALS = 1000  # changes of what runs several times
MIXES = 2
EVIDENCE = 12  # numbers that a claim has to explain, in all points

Added = Mapping[Site, np.ndarray]  # what is added to the values of a site, (times, *shape)


class Run(NamedTuple):
    """A backward that was followed: its gradients, one after the other (m,), and the values of every site."""

    grads: np.ndarray
    values: dict[Site, np.ndarray]  # (times, *shape) each, before anything was added


class Point(NamedTuple):
    """A point, and the upstream gradients that are asked there, with what the gradients should be for each of them."""

    pair: Pair
    case: Case
    entries: Mapping[str, np.ndarray]  # of all inputs, of those that are right too
    wrong: int  # how many of the m entries are of those that are not
    dys: np.ndarray  # (K + 1, *y.shape), one that is random after those that are asked
    wanted: np.ndarray  # (K, m)
    runs: list[Run]  # of the backward as it is, for each dy
    mixed: bool  # asked for values that do not depend on dy, with random ones


class Held(NamedTuple):
    """A site at which a single slip may be, with the value that would make all right, at every point."""

    site: Site
    points: list[Point]
    solutions: "list[Solved]"

    @property
    def is_telling(self) -> bool:
        """Does it say something that a value there makes all right? With more unknowns than equations any would."""
        return any(first.spare > 0 or bool(first.known.all()) for first in self.solutions[:1])

    @property
    def runs_once(self) -> bool:
        return self.site.time is None and bool(self.solutions) and len(self.solutions[0].got[0]) == 1


class Found(NamedTuple):
    """A claim about a value of this shape, and where it is; None if there is none. lines: where a single slip is."""

    claim: Claim | None = None
    where: str = ""
    shape: tuple[int, ...] = ()
    lines: str = ""


def by_lines(
    pair: Pair,
    cases: Iterable[Case],
    general: Mapping[str, Hypothesis],
    own: Mapping[str, Hypothesis],
    changes: Mapping[str, Callable[[Operation], Changed]],
) -> Found:
    """The simplest claim about one value that explains all wrong gradients at once, at every point.

    general: hypotheses about any gradient; own: those about what lines compute; changes: of one operation.
    """
    cases = list(cases)
    if not all(seen.fits and seen.linear for seen in cases[0].seen.values()):
        return Found()
    found, held = claims_at_sites(pair, cases, ((general, True), (own, False)))
    sites = [each.site for each in held]
    if not found and not sites and len(cases[0].seen) > 1:
        return forgotten_by_all(pair, cases, own)
    found += [(claim_of(change), site, ()) for change, site in changes_of_one(held, changes)]
    if not found or min(claim.cost for claim, _, _ in found) > CHEAP:
        found += [(claim_of(change), site, ()) for change, site in changes_of_several(held, changes)]
    if not found or min(claim.cost for claim, _, _ in found) > CHEAP:
        found += [(claim_of(change), site, ()) for change, site in changes_of_an_axis(pair, cases, changes)]
    if not found:
        return Found(lines=lines_of([each.site for each in held if each.is_telling]))
    claim, site, shape = min(found, key=lambda each: (simpler(each[0]), each[1].line, each[1].instruction))
    alike = [other for c, other, _ in found if c.same_as(claim)]  # why: a minus may be on any line of a path
    own = getattr(inspect.unwrap(pair.backward), "__code__", None)
    alike = [other for other in alike if other.code is own] or alike
    where = site.place if len({other.line for other in alike}) == 1 else f"a value of {lines_of(alike, MANY)}"
    return Found(claim, where, shape)


def claims_at_sites(
    pair: Pair, cases: list[Case], families: Sequence[tuple[Mapping[str, Hypothesis], bool]]
) -> tuple[list[tuple[Claim, Site, tuple[int, ...]]], list[Held]]:
    """All that families of hypotheses say about the values that would explain it; and where these are.

    A family speaks of entries that are known, or (False) of all of them, seen through what is known.
    """
    said: list[tuple[Claim, Site, tuple[int, ...]]] = []
    held: list[Held] = []
    for mixed in (False, True):
        try:
            points = [point_at(pair, case, mixed, n) for n, case in enumerate(cases)]
            solutions = [{site: s for site in leading(points[0]) if (s := solved(points[0], site))}]
            solutions += [{site: s for site in solutions[0] if (s := solved(point, site))} for point in points[1:]]
        except Exception:  # somebody's function may refuse arrays that are followed
            continue
        hold = [site for site in solutions[0] if all(site in each for each in solutions)]
        alone = len(cases[0].seen) == 1  # why: with as many unknowns as equations any line would do
        lines = [site for site in hold if not site.is_returned]
        spare = [site for site in lines if alone or solutions[0][site].spare > 0]
        held += [Held(site, points, [each[site] for each in solutions]) for site in spare]
        held += [Held(site, points, []) for site in (leading(points[0], bent=True) if mixed else ())]
        every = hold
        for hypotheses, whole in families:
            hold = lines if whole else every  # why: of gradients that come back all was said before
            there = [at_sites(*each, hold, whole) for each in zip(points, solutions, strict=True)]
            names = [name for name in there[0].seen if all(name in case.seen for case in there)]
            there = [case._replace(seen={name: case.seen[name] for name in names}) for case in there]
            for about in opinions(there, hypotheses).values():
                for name, claims in about.items():
                    numbers = sum(np.count_nonzero(case.seen[name].right) for case in there)
                    site, shape = hold[int(name)], there[0].seen[name].shape
                    said += [(at(site, c), site, shape) for c in claims if numbers >= EVIDENCE and speaks_of_it(c)]
    return said, held


def forgotten_by_all(pair: Pair, cases: list[Case], own: Mapping[str, Hypothesis]) -> Found:
    """The value that every wrong gradient lacks, each in its own way: what is used twice, and passed on once."""
    lacked: list[dict[str, Claim]] = []  # for every input: by value, the simplest claim
    for name in cases[0].seen:
        said, _ = claims_at_sites(pair, [only(case, name) for case in cases], ((own, False),))
        claims = sorted((c for c, _, _ in said if c.kind == "value forgotten"), key=simpler, reverse=True)
        lacked.append({claim.detail[0]: claim for claim in claims})
    common = [value for value in lacked[0] if all(value in each for each in lacked)]
    if not common:
        return Found()
    value = min(common, key=lambda value: (sum(each[value].cost for each in lacked), value))
    formulas = tuple(each[value].detail[1] for each in lacked)
    return Found(Claim("missing-term", "value forgotten by all", detail=(value, formulas), cost=2.5))


def only(case: Case, name: str) -> Case:
    """The case of one wrong input; the others are neither right nor asked."""
    asked = tuple(n for n in case.weights if n == name or n not in case.seen)
    return case._replace(seen={name: case.seen[name]}, asked=asked)


def speaks_of_it(claim: Claim) -> bool:
    """Is a claim about the value of a line clear, and about this line, not about one before it?"""
    return claim.cost < VAGUE and claim.place not in ("out", "mid")


def at(site: Site, claim: Claim) -> Claim:
    """Among so many lines a curve is easily the inverse of another one: exp, log, a root or a quotient costs more.

    Where a value of two alone belongs, the other one is a term or a factor; and what lacks a part of one is times that.
    """
    curved = any(word.name.startswith(("exp(", "log(", "sqrt(", "tanh(", "sigmoid(", "1 /")) for word in claim.words)
    if curved or claim.kind in ("some rows", "weighted rows", "shuffled") or claim.cause == "sign":
        claim = claim._replace(cost=claim.cost + ODD)
    value = claim.detail[0] if claim.kind in ("another value", "value forgotten") else ""
    operand = bool(value) and value.removeprefix("(").removesuffix(")") in site.text
    if claim.kind == "value forgotten" and operand and site.does.startswith("multiply"):
        claim = claim._replace(cause="elementwise-factor", kind="operand times")
    if claim.kind == "another value" and len(set(claim.detail)) == 1:
        adds = site.does.startswith(("add", "sub"))
        cause = "missing-term" if operand and adds else claim.cause
        claim = claim._replace(cause=cause, kind="operand alone" if operand else claim.kind)
    return claim


def lines_of(sites: Sequence[Site], most: int = FEW) -> str:
    """line 14 (dz @ W), or line 14 or 15: those of some sites, if they are few."""
    numbers = sorted({site.line for site in sites})
    if not numbers or len(numbers) > most:
        return ""
    if len(numbers) > 1:
        return f"line {', '.join(map(str, numbers[:-1]))} or {numbers[-1]}"
    return max((site._replace(time=None).place for site in sites), key=len)


def followed(tape: Tape, pair: Pair, x: Mapping[str, np.ndarray], dy: np.ndarray) -> dict[str, Any]:
    """The forward, and then the backward on a tape: the gradients."""
    _, cache = pair.run({name: tape.wrapped(a) for name, a in copied(dict(x)).items()})
    tape.runs = True
    return dict(plain(pair.pull(tape.wrapped(dy.copy()), tape.within(cache))))


def run(pair: Pair, x: Mapping[str, np.ndarray], dy: np.ndarray, index: Mapping[str, np.ndarray], added: Added) -> Run:
    """The same, with something added to the values of some sites."""
    tape = Tape(added)
    found = followed(tape, pair, x, dy)
    values: dict[Site, np.ndarray] = {}
    for name in index:
        site, g = returned(gradients([name])), np.array(found[name], float)
        values[site] = g[None]
        found[name] = g + added[site][0] if site in added else g
    for site, times in tape.values.items():
        if len({a.shape for a in times}) == 1:
            values[site] = np.stack(times)
        if 1 < len(times) <= len(ORDINALS) and sum(a.size for a in times) > LARGEST:
            values |= {site._replace(time=n): a[None] for n, a in enumerate(times)}
    return Run(flat(found, index), values)


def flat(found: Mapping[str, Any], index: Mapping[str, np.ndarray]) -> np.ndarray:
    """These entries of the gradients, one after the other, (m,)."""
    return np.concatenate([np.asarray(found[name], float).ravel()[entries] for name, entries in index.items()])


def point_at(pair: Pair, case: Case, mixed: bool, number: int) -> Point:
    """What the gradients should be: as measured where they are wrong, as they are elsewhere.

    number: of the point, since each has upstream gradients of its own.
    """
    rng = np.random.default_rng(number)
    index = {name: seen.entries for name, seen in case.seen.items()}
    right_ones = case.asked or case.weights
    others = {n: np.arange(case.weights[n].size)[:LARGEST] for n in right_ones if n not in index}
    some = np.arange(len(case.outs))
    if mixed:
        weights = rng.standard_normal((MIXED if case.shape else 1, len(some)))  # (K, M)
    else:
        some = some if len(some) <= OUTPUTS else np.sort(rng.choice(some, OUTPUTS, replace=False))
        weights = np.eye(len(case.outs))[some] * rng.uniform(0.5, 2.0, (len(some), 1))
    dys = np.tensordot([*weights, rng.standard_normal(len(case.outs))], case.dys, 1)  # (K + 1, *y.shape)
    runs = [run(pair, case.weights, dy, {**index, **others}, {}) for dy in dys]
    right = weights @ np.concatenate([seen.right for seen in case.seen.values()]).T  # (K, wrong)
    wrong = right.shape[1]
    wanted = np.stack([np.concatenate([w, r.grads[wrong:]]) for w, r in zip(right, runs, strict=False)])
    seen = {name: s._replace(right=s.right[:, some]) for name, s in case.seen.items()}
    case = case._replace(outs=case.outs[some], around={n: a[some] for n, a in case.around.items()}, seen=seen)
    return Point(pair, case, {**index, **others}, wrong, dys, wanted, runs, mixed)


def leading(point: Point, bent: bool = False) -> Iterator[Site]:
    """The sites on whose value all wrong gradients depend, and linearly; those that have dy in them, or the others.

    bent: not linearly, and no right gradient depends on it, as in a loop where it meets itself.
    """
    rng = np.random.default_rng(0)
    twice = run(point.pair, point.case.weights, 2 * point.dys[-1], point.entries, {}).values
    for site, values in list(point.runs[-1].values.items())[:SITES]:
        with_dy = same(twice.get(site), 2 * values)
        without = same(twice.get(site), values)
        if not values.any() or values.size > LARGEST or not (without if point.mixed else with_dy):
            continue
        more = np.abs(values).max() * rng.standard_normal(values.shape)
        once, again = (changed(point, -1, site, c * more) for c in (1, 2))
        ends = np.cumsum([len(seen.entries) for seen in point.case.seen.values()])[:-1]
        right_ones = not bent or not once[point.wrong :].any()
        if (
            all(part.any() for part in np.split(once[: point.wrong], ends))
            and same(again, 2 * once) != bent
            and right_ones
        ):
            yield site


def same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None or a.shape != b.shape:
        return False
    return bool(np.abs(a - b).max() <= 1e-9 * np.abs(b).max())


def changed(point: Point, k: int, site: Site, more: np.ndarray) -> np.ndarray:
    """By how much the gradients change, (m,), if so much is added to the value of a site."""
    return run(point.pair, point.case.weights, point.dys[k], point.entries, {site: more}).grads - point.runs[k].grads


class Solved(NamedTuple):
    """The value that would make all gradients right, and the one that is there, for every dy, (K, times, *shape)."""

    right: np.ndarray
    got: np.ndarray
    through: np.ndarray  # (rank, n) what of it the gradients tell, in directions of length 1
    values: list[dict[Site, np.ndarray]]  # of all sites then, for every dy
    spare: int  # gradients that depend on it, less what of it they tell

    @property
    def known(self) -> np.ndarray:
        """The entries, (n,), that the gradients tell."""
        return np.abs((self.through**2).sum(axis=0) - 1) < 1e-9


def solved(point: Point, site: Site) -> Solved | None:
    """What has to be added for the gradients to be right, the same for every dy if they are mixed; None if nothing."""
    values = point.runs[-1].values[site]
    K, n, size = len(point.wanted), values.size, np.abs(values).max()
    units = size * np.eye(n).reshape(n, *values.shape)
    ks = range(K) if point.mixed else (-1,)
    table = np.concatenate([np.stack([changed(point, k, site, u) for u in units], axis=1) for k in ks])  # (any, n)
    left = point.wanted - np.stack([r.grads for r in point.runs[:K]])  # (K, m)
    left = left.reshape(-1, 1) if point.mixed else left.T  # (any, 1 or K)
    U, s, Vt = np.linalg.svd(table, full_matrices=False)
    rank = int((s > 1e-9 * s[0]).sum())
    delta = Vt[:rank].T @ ((U[:, :rank].T @ left) / s[:rank, None])  # (n, 1 or K)
    if np.abs(left - table @ delta).max() > EXPLAINED * np.abs(left).max():
        return None
    added = np.broadcast_to((size * delta).T, (K, n)).reshape(K, *values.shape)
    pair, x = point.pair, point.case.weights
    runs = [run(pair, x, dy, point.entries, {site: more}) for dy, more in zip(point.dys[:K], added, strict=True)]
    if not all(same_to_six(r.grads, w) for r, w in zip(runs, point.wanted, strict=True)):
        return None
    got = np.stack([r.values[site] for r in runs])
    spare = int((np.abs(table).max(axis=1) > 0).sum()) - rank
    return Solved(got + added, got, Vt[:rank], [r.values for r in runs], spare)


def same_to_six(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() <= EXPLAINED * np.abs(b).max())


def at_sites(point: Point, solutions: Mapping[Site, Solved], sites: list[Site], whole: bool) -> Case:
    """The case of these values: each is an input, by its number, whose gradient is wrong.

    whole: only the entries that are known; else all of them, seen through what is known.
    """
    case, first = point.case, point.runs[-1].values
    scale = np.array([dy.flat[o] for dy, o in zip(point.dys, case.outs, strict=False)])
    if point.mixed:
        case, scale = case._replace(shape=(), outs=np.zeros(1, int), around={}, fixed=True), np.ones(1)
    seen = {}
    for number, site in enumerate(sites):
        solution = solutions[site]
        shape = first[site].shape[1:] if len(first[site]) == 1 else first[site].shape
        right, got = (a[: len(scale)].reshape(len(scale), -1) for a in (solution.right, solution.got))  # (K, n)
        entries = np.flatnonzero(solution.known) if whole else np.arange(right.shape[1])
        through = None if whole or solution.known.all() else solution.through
        one = Seen(str(number), shape, entries, right, list(got.reshape(-1, *shape)), scale, True, True, None, {}, {})
        one = one._replace(through=through)
        if entries.size:
            seen[str(number)] = one._replace(
                right=one.picked(right.reshape(-1, *shape)),
                beside={} if whole or len(first[site]) > 1 else others(point, solution.values[: len(scale)], site),
            )
    names = {site.variable: a[0] for site, a in first.items() if len(a) == 1 and site.variable}
    arrays = {**names, **case.weights, **case.arrays}
    known = vocabulary(arrays, case.weights)
    values = {word.name: a for word, a in known.items()}
    return case._replace(seen=seen, words=list(known), values=values, arrays=arrays)


def others(point: Point, after: list[dict[Site, np.ndarray]], site: Site) -> dict[str, np.ndarray]:
    """dy, or the arrays in play, and what the other lines compute, if it does not depend on this one; (K, *shape)."""
    found = {name: a[None] for name, a in point.case.arrays.items()} if point.mixed else {"dy": point.dys[: len(after)]}
    for other, times in point.runs[-1].values.items():
        unmoved = (same(one.values.get(other), two.get(other)) for one, two in zip(point.runs, after, strict=False))
        if other != site and len(times) == 1 and all(unmoved):
            value = np.stack([each[other][0] for each in after])
            if not any(same(value, known) for known in found.values()):
                found[other.value] = value
    return found


def changes_of_one(
    held: list[Held], changes: Mapping[str, Callable[[Operation], Changed]]
) -> Iterator[tuple[Change, Site]]:
    """The small changes of an operation that runs once with which all gradients are right, at every point."""
    for each in held if changes else ():
        site, points, solutions = each
        if each.runs_once:
            left: set[Change] | None = None  # those that explained all so far
            for point, solution in zip(points, solutions, strict=True):
                left = of_these(left, (site, point, solution), changes) if left is None or left else left
            yield from ((change, site) for change in left or ())


def changes_of_several(
    held: list[Held], changes: Mapping[str, Callable[[Operation], Changed]]
) -> Iterator[tuple[Change, Site]]:
    """The simplest of what may be changed where an operation runs several times: put in, each time, and run again."""
    tried: dict[tuple[Change, Site], tuple[str, list[Point]]] = {}
    for each in held if changes else ():
        site, points, _ = each
        if not each.runs_once:
            every = site._replace(time=None)
            tried |= {(change, every): (name, points) for change, name in first_tried(every, points[0], changes)}
    for (change, site), (name, points) in sorted(tried.items(), key=lambda each: each[0][0].cost)[:TRIALS]:
        if all(is_right_with(point, site, change, changes[name]) for point in points):
            yield change, site
            return


def changes_of_an_axis(
    pair: Pair, cases: list[Case], changes: Mapping[str, Callable[[Operation], Changed]]
) -> Iterator[tuple[Change, Site]]:
    """Sums along another axis, which may give another shape: put in, wherever there is one, and run again."""
    if "another_axis" not in changes:
        return
    only_this = {"another_axis": changes["another_axis"]}
    try:
        points = [point_at(pair, case, False, n) for n, case in enumerate(cases)]
    except Exception:  # somebody's function may refuse arrays that are followed
        return
    for site in [site for site in points[0].runs[-1].values if site.time is None and not site.is_returned][:SITES]:
        for change, name in first_tried(site, points[0], only_this):
            if all(is_right_with(point, site, change, only_this[name]) for point in points):
                yield change, site


def first_tried(
    site: Site, point: Point, changes: Mapping[str, Callable[[Operation], Changed]]
) -> Iterator[tuple[Change, str]]:
    """What may be changed where an operation runs several times, and the hypothesis that says so."""
    found: list[tuple[Change, str]] = []

    def noted(operation: Operation) -> dict[Change, np.ndarray]:
        operation = operation._replace(names=without_twins(operation.names))
        found.extend((change, name) for name, hypothesis in changes.items() for change, _ in hypothesis(operation))
        return {}

    followed(Tape({}, (site, noted)), point.pair, point.case.weights, point.dys[0])
    yield from dict.fromkeys(found)


def mixes(point: Point) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weights (K,) of the upstream gradients, and those together: what holds for a few sums of all holds for all."""
    K = len(point.wanted)
    for weights in np.random.default_rng(3).standard_normal((1 if K == 1 else MIXES, K)):
        yield weights, np.tensordot(weights, point.dys[:K], 1)


def computed(make: Callable[[], Any]) -> np.ndarray | None:
    """A copy of the value, since the memory may be written to; None if the shapes do not fit."""
    try:
        return np.array(make(), float)
    except (ValueError, TypeError):
        return None


def is_right_with(point: Point, site: Site, change: Change, hypothesis: Callable[[Operation], Changed]) -> bool:
    """Are all gradients right if the operation is changed each time that it runs?"""

    def changed(operation: Operation) -> dict[Change, np.ndarray]:
        makes = (make for each, make in hypothesis(operation.only(change)) if each == change)
        return {change: value for make in makes if (value := computed(make)) is not None}

    for weights, dy in mixes(point):
        try:
            found = followed(Tape({}, (site, changed), puts=True), point.pair, point.case.weights, dy)
            grads = flat(found, point.entries)
        except Exception:  # somebody's function may refuse what it does not like, or return another shape
            return False
        if not same_to_six(grads, weights @ point.wanted):
            return False
    return True


def of_these(
    left: set[Change] | None,
    held: tuple[Site, Point, Solved],
    changes: Mapping[str, Callable[[Operation], Changed]],
) -> set[Change]:
    """Those of the changes that are left, or of all, that give a value that makes all gradients right at a point."""
    site, point, solution = held

    def asked(operation: Operation) -> dict[Change, np.ndarray]:
        made = (each for change in changes.values() for each in change(operation))
        values = ((change, computed(make)) for change, make in made if left is None or change in left)
        return {change: value for change, value in values if value is not None}

    for weights, dy in mixes(point):
        tape = Tape({}, (site, asked))
        followed(tape, point.pair, point.case.weights, dy)
        both = solution.right, solution.got
        right, got = (a[0] if point.mixed else np.tensordot(weights, a[: len(weights)], 1) for a in both)
        wanted, off = solution.through @ right.ravel(), solution.through @ (right - got).ravel()  # (rank,)
        most = min(EXPLAINED * np.abs(wanted).max(), LEFT * np.abs(off).max())
        fitting = {change: a for change, a in tape.changed[0].items() if a.shape == right.shape[1:]}
        left = {c for c, a in fitting.items() if np.abs(solution.through @ a.ravel() - wanted).max() <= most}
    return left or set()


def claim_of(change: Change) -> Claim:
    return Claim(
        change.cause, f"changed: {change.kind}", detail=(change.old, change.word, change.new), cost=change.cost
    )
