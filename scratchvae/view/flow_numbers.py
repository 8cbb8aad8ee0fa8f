"""Numbers that add by eye: both parts of a sum in as many digits, and their sum made of what is printed.

A part is within half a unit of its last digit of what was computed, a sum of two within a whole one.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scratchvae.view.flow import Flow

DIGITS = 3  # of the largest number in a sum
MOST = 6  # decimals


def decimals(numbers: Sequence[float], digits: int = DIGITS) -> int:
    """How many decimals show so many digits of the largest of the numbers."""
    size = max(map(abs, numbers))
    return min(MOST, max(0, digits - 1 - math.floor(math.log10(size)))) if size > 0 else 0


def fixed(number: float, places: int, sign: bool = False) -> str:
    """The number in so many decimals, with a minus as wide as a plus; what rounds to zero has no sign."""
    text = f"{number:+.{places}f}" if sign else f"{number:.{places}f}"
    if float(text) == 0:
        return text.lstrip("+-")
    return text.replace("-", "−")


def alone(number: float, sign: bool = False) -> str:
    """A number that is part of no sum: in three digits, or all before the point; in two and a power of ten if long."""
    if number != 0 and not 1e-3 <= abs(number) < 1e6:
        return f"{number:{'+' * sign}.1e}".replace("-", "−")
    return fixed(number, decimals([number]), sign)


def added(parts: Sequence[float], places: int) -> tuple[str, str]:
    """The parts as they stand in a sum, as in "+4.32 - 2.71", and the sum of what is printed."""
    rounded = [round(part, places) for part in parts]
    first, *others = rounded
    terms = [fixed(first, places, sign=True)]
    terms += [f"{'−' if other < 0 else '+'} {abs(other):.{places}f}" for other in others]
    return " ".join(terms), fixed(round(sum(rounded), places), places, sign=True)


def places_of(flow: "Flow") -> dict[str, int]:
    """The decimals of everything that stands in a sum, by its name: those of one sum agree."""
    numbers = {move.name: move.number for move in flow.moves}
    places: dict[str, int] = {}
    for one in flow.sums:
        count = decimals([numbers[part] for part in one.parts])
        places |= dict.fromkeys((one.name, *one.parts), count)
    if "mu" in numbers:
        places |= dict.fromkeys(("dz", "mu"), places["dmu"])  # dz is dmu_z, and without beta dmu_kl is -mu
    terms = [float(flow.values[name][0, 0]) for name in ("nll", "kl", "objective") if name in flow.values]
    return places | dict.fromkeys(("nll", "kl", "objective"), decimals(terms, DIGITS + 1))


def printed(flow: "Flow") -> dict[str, str]:
    """What stands at every arrow, by the name of the move."""
    places = places_of(flow)
    return {
        m.name: fixed(m.number, places[m.name], not m.forward) if m.name in places else alone(m.number, not m.forward)
        for m in flow.moves
    }


def printed_value(flow: "Flow", name: str) -> str:
    """What stands in a box; the objective and a draw are the sums of what is printed of their parts."""
    if name == "objective":
        return objective_equation(flow).rpartition(" = ")[2]
    if name == "z" and "mu" in flow.values:
        return draw_equation(flow).rpartition(" = ")[2]
    places = places_of(flow)
    return fixed(flow.number(name), places[name]) if name in places else alone(flow.number(name))


def equation(flow: "Flow", name: str) -> str:
    """A sum of gradients, as in "dmu = +4.32 - 2.71 = +1.61"."""
    numbers = {move.name: move.number for move in flow.moves}
    (parts,) = [one.parts for one in flow.sums if one.name == name]
    terms, total = added([numbers[part] for part in parts], places_of(flow)[name])
    return f"{terms} = {total}"


def objective_equation(flow: "Flow") -> str:
    """The objective from its terms, as in "-109.1 - 6.1 = -115.2"."""
    places = places_of(flow)["objective"]
    parts = [-float(flow.values["nll"][0, 0])]
    if "kl" in flow.values:
        parts.append(-flow.beta * float(flow.values["kl"][0, 0]))
    if len(parts) == 1:
        return fixed(parts[0], places)
    return unsigned(*added(parts, places))


def draw_equation(flow: "Flow") -> str:
    """The draw from its parts, as in "0.590 - 2.823 = -2.233"."""
    parts = [flow.number("mu"), flow.number("sigma") * flow.number("eps")]
    return unsigned(*added(parts, places_of(flow)["mu"]))


def unsigned(terms: str, total: str) -> str:
    """A sum of values, which are not written with a plus."""
    return f"{terms.removeprefix('+')} = {total.removeprefix('+')}"
