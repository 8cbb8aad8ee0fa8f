"""Of a pixel on a lattice: at which values alone does exp(-nll) differ from how often the draws have them?

The ends of the support and 0 are the values that have terms of their own: the outer bins of a discretised density take
what lies beyond, and 0 may be inflated.

Sizes: n draws, S values.
"""

import numpy as np

from scratchvae.checks.likelihood.density import Mass
from scratchvae.checks.likelihood.draws import of_the_distribution
from scratchvae.checks.likelihood.elsewhere import rows_of
from scratchvae.checks.likelihood.lattices import attempt
from scratchvae.checks.likelihood.witnesses import OTHER_SEED, drawn, points_of_mass
from scratchvae.checks.report import Finding

DRAWS = 100_000
FEW = 20_000  # of them for a distribution function
EXPECTED = 20  # draws in a group of values, so that their number is nearly normal
OFF = 6.0  # standard errors
REST = 0.05  # of the draws have other values, at ROWS of the logits: those bear witness
ROWS = 2  # of the logits at least, where a value is seen to be off


def values_that_differ(masses: list[Mass]) -> list[float]:
    """The one or two values that are all that is wrong, at all logits that are tried; nothing if there are none."""
    lattice = masses[0].lattice if masses else None
    if lattice is None:
        return []
    everywhere = attempt([masses[0].pixel._replace(logits=row) for row in rows_of(masses)], lattice)
    draws = [drawn([mass.pixel], DRAWS) for mass in everywhere]
    seen = [(mass, x) for mass, x in zip(everywhere, draws, strict=True) if x is not None and mass.settled]
    special = [value for value in dict.fromkeys([*masses[0].pixel.support, 0.0]) if lattice.holds(np.array([value]))[0]]
    for some in [[value] for value in special] + [[a, b] for a in special for b in special if a < b]:
        if len(seen) >= len(masses) and all(differs(seen, value) for value in some):
            others = sum(not_at(x, some).mean() > REST for _, x in seen)
            if others >= ROWS and all(agree_elsewhere(mass, x, some) for mass, x in seen):
                return sorted(some)
    return []


def not_at(x: np.ndarray, values: list[float]) -> np.ndarray:
    """Which x (n, 1) are none of the values, (n,)."""
    return np.asarray(~np.isclose(x.reshape(-1, 1), values, atol=1e-6).any(axis=1))


def differs(seen: list[tuple[Mass, np.ndarray]], value: float) -> bool:
    """Is exp(-nll) of this value not the share of the draws that have it?"""
    off = []
    for mass, x in seen:
        p, share = probability(mass, np.array([value]))[0], float(np.isclose(x, value, atol=1e-6).mean())
        off.append(abs(share - p) > OFF * np.sqrt(max(share, p, 1 / len(x)) / len(x)))
    return sum(off) >= ROWS


def probability(mass: Mass, values: np.ndarray) -> np.ndarray:
    return np.exp(mass.pixel.log_density(values))


def agree_elsewhere(mass: Mass, x: np.ndarray, but: list[float]) -> bool:
    """Have all other values the share that exp(-nll) gives them? Neighbours that are rare are counted together."""
    values = mass.x[not_at(mass.x, but)]  # (S,)
    assert mass.lattice is not None
    n, k = len(x), np.rint((values - mass.lattice.origin) * mass.lattice.levels).astype(np.int64)  # (S,)
    of_the_draws = np.rint((x[:, 0] - mass.lattice.origin) * mass.lattice.levels).astype(np.int64)  # (n,)
    found, counts = np.unique(of_the_draws, return_counts=True)
    place = np.searchsorted(found, k).clip(max=len(found) - 1)  # (S,)
    got, expected = np.where(found[place] == k, counts[place], 0), n * probability(mass, values)  # (S,), (S,)
    group = (np.cumsum(expected) // EXPECTED).astype(np.int64)  # (S,)
    got, expected = (np.bincount(np.unique(group, return_inverse=True)[1], a) for a in (got, expected))
    error = np.sqrt(np.maximum(expected, EXPECTED))
    return bool((np.abs(got - expected) <= OFF * error).all())


def of_a_point(masses: list[Mass]) -> Finding | None:
    """Of a density with one point of mass: is the point all that is wrong, as the draws have it, at all logits?"""
    points = points_of_mass(masses) if masses and masses[0].lattice is None else np.zeros(0)
    if len(points) != 1:
        return None
    seen = [(mass, x) for mass in masses if (x := drawn([mass.pixel], DRAWS)) is not None]
    for mass, x in seen:
        others = x[not_at(x, [*points])]  # (m, 1)
        share = 1 - len(others) / len(x)
        error = OFF * np.sqrt(max(share * (1 - share), 1 / len(x)) / len(x))
        if abs(mass.total - len(others) / len(x)) > error or not follow(mass, others):
            return None
    if len(seen) < len(masses) or not differs(seen, points[0]):
        return None
    text = (
        f"at x = {points[0]:g} exp(-nll) is not the share of the draws that have this value; elsewhere they follow it"
    )
    repair = f"look at the nll of {points[0]:g}: every way to come by it adds to its probability"
    return Finding(("nll",), "missing-term", text, repair)


def follow(mass: Mass, x: np.ndarray) -> bool:
    """Do draws (m, 1) follow the density, divided by its total? A few say nothing against it."""
    if len(x) < EXPECTED:
        return True
    with np.errstate(all="ignore"):
        claims = list(of_the_distribution(x[:FEW], [mass], np.random.default_rng(OTHER_SEED)))
    return all(claim.status == "ok" for claim in claims[:3])
