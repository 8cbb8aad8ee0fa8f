"""Constants in words: how many times what it should be something is, and where such a number comes from."""

from collections.abc import Mapping

CLOSE = 1e-5  # relative: two constants are the same
PERHAPS = "perhaps "
SIMPLE = {2.0: "twice", 0.5: "half of", 0.25: "a quarter of", 1 / 3: "a third of"}


def number(c: float) -> str:
    """Six digits, and none that says nothing."""
    return f"{c:.6g}"


def same(a: float, b: float) -> bool:
    return abs(a - b) <= CLOSE * abs(b)


def times(c: float) -> str:
    """The front of "... what it should be": twice, half of, 1/7 of, 10 times, -1 times."""
    for value, text in SIMPLE.items():
        if same(c, value):
            return text
    n = round(1 / c) if c else 0
    if 1 < n <= 12 and same(c * n, 1.0):
        return f"1/{n} of"
    for m in range(2, 13):
        if same(c * c * m, 1.0) and m not in (4, 9):
            return f"1/sqrt({m}) of" if c > 0 else f"-1/sqrt({m}) of"
        if same(c * c, m) and m not in (4, 9):
            return f"sqrt({m}) times" if c > 0 else f"-sqrt({m}) times"
    return f"{number(c)} times"


def off_by(c: float, sizes: Mapping[str, int] | None = None, sure: bool = False) -> tuple[str, str]:
    """What is wrong with something that is c times what it should be, and what to write; sizes are those in play.

    sure: c was seen to follow them. Otherwise it may be a number that is the same by chance.
    """
    if same(c, -1.0):
        return "has the wrong sign", "turn the sign"
    if abs(c - 1) < 1e-3:
        text = f"is off by {c - 1:.2g} of itself, nearly right: look for a small constant inside a root or a division"
        return text, "leave the small constant out"
    where, repair = origin(abs(c), sizes or {}, sure)
    repair = repair or f"multiply by {number(1 / abs(c))}"
    return f"is {times(c)} what it should be{where}", f"turn the sign, and {repair}" if c < 0 else repair


def origin(c: float, sizes: Mapping[str, int], sure: bool = False) -> tuple[str, str]:
    """Which size a factor may be, and what to do about it; twice nothing if it is none."""
    maybe = "" if sure else PERHAPS
    for name, n in sizes.items():
        if n > 1 and same(c * n, 1.0):
            return f" ({name} is {n}): {maybe}a mean where a sum belongs", f"sum over {name}, do not average"
        if n > 2 and same(c, n):
            return f" ({name} is {n}): {maybe}a sum too many", f"divide by {name}"
    return "", ""


def nats(c: float) -> str:
    """1 nat, 2.5 nats."""
    return f"{number(abs(c))} nat{'' if number(abs(c)) == '1' else 's'}"
