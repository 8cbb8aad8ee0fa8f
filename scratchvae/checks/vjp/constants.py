"""Where a constant comes from: a length, a root of one, a setting, a half, a ratio; and how it is mended.

Each asks of one origin whether it explains the number by which a gradient has to be multiplied. The first that does is
told. What was moved and changed with the number is stated; what could not be moved is a question.
"""

import itertools
import math
from collections.abc import Mapping
from fractions import Fraction

from scratchvae.checks.report import listed
from scratchvae.checks.vjp.told import EXACT, SMALL, Told, number
from scratchvae.checks.vjp.tried import Tried

FEW = 5  # so small a length may be a plain number
MANY = 7  # rows or entries: of fewer too many things are a half
HALVES = {
    2.0: ("half of", "a factor 2 is missing, or there is a 1/2 too many"),
    0.5: ("twice", "a factor 1/2 is missing"),
    4.0: ("a quarter of", "a factor 4 is missing, or there are two 1/2 too many"),
    0.25: ("four times", "a factor 1/4 is missing"),
}


def constant_words(t: Told) -> tuple[str, str, str]:
    """How large, why, and the repair, for a gradient that has to be multiplied by a constant."""
    c = t.claim.factor
    sizes = {} if t.claim.kind in ("constant in part", "constant in places") else t.sizes
    if abs(c + 1) < EXACT:
        return "the negative of", "a minus is missing, or is there twice", "change the sign"
    size, minus = abs(c), "minus " if c < 0 else ""
    sure, roots = ({name: n for name, n in sizes.items() if n in known} for known in (t.sure, t.roots))
    maybe = {name: n for name, n in sizes.items() if n not in t.sure | t.roots}
    origins = (
        of_settings(size, t.tried),
        of_a_size(size, sure, t.sure),
        of_a_root(size, roots, t.roots),
        of_two_sizes(size, sizes, t.sure),
        of_a_half(size, maybe, t.unproven),
        of_a_size(size, maybe),
        of_a_root(size, maybe),
        of_an_amount(size, t.means),
        of_a_size_and_2(size, sizes),
        of_an_open_amount(size, t.unproven),
        of_one_less(size, sizes),
        of_a_ratio(size),
        of_some_root(size),
    )
    found = next(filter(None, origins), None)
    look = "look for a constant that only the forward or only the backward has"
    how, why, repair = found or (f"{1 / size:.6g} times", look, "")
    parts = t.tried.formula() if t.tried.names else None
    numbers = [*t.amounts.items(), *t.means.items(), *t.unproven.items(), *((name, a) for name, a, _ in parts or ())]
    signed = any(a < 0 and name in f"{why} {repair}" for name, a in numbers)  # why: its own sign may be the minus
    if minus and not signed:
        why, repair = f"the sign is wrong, and {why}", repair and f"{repair}, and change the sign"
    return minus + how, why, repair or f"multiply by {number(c).removesuffix(' * ')}"


Words = tuple[str, str, str]  # the same three; an empty repair is a multiplication


def of_a_size(size: float, sizes: Mapping[str, int], sure: frozenset[int] = frozenset()) -> Words | None:
    for name, n in sizes.items():
        if n < 2 or (n == 2 and n not in sure):
            continue  # why: 2 and 1/2 have better reasons than an axis of two
        if abs(size - n) < EXACT * n:
            maybe = f"is a division by it too many{', or a factor {n} missing' * (n <= FEW)}?"
            a_mean = "a mean was taken where a sum belongs, or twice" if n in sure else maybe.format(n=n)
            return f"1/{n} of", f"{name}; {a_mean}", ""
        if abs(size * n - 1) < EXACT:
            maybe = f"is a division by it missing{', or a factor {n} too many' * (n <= FEW)}?"
            a_mean = "a division by it is missing" if n in sure else maybe.format(n=n)
            return f"{n} times", f"{name}; {a_mean}", f"divide by {n}"
    return None


def of_a_half(size: float, sizes: Mapping[str, int], unproven: Mapping[str, float]) -> Words | None:
    """Plain numbers, and what else is such a number here."""
    here = [f"; {name}: is it that?" for name, n in sizes.items() if n > 2 and abs(n - max(size, 1 / size)) < EXACT]
    here += [
        f"; {name} is {a:g} here: is it that?"
        for name, a in unproven.items()
        if a > 0 and min(abs(a - size), abs(a - 1 / size)) < EXACT * a
    ]
    found = (words for value, words in HALVES.items() if abs(size - value) < EXACT * value)
    return next(((how, why + "".join(here[:1]), "") for how, why in found), None)


def of_two_sizes(size: float, sizes: Mapping[str, int], sure: frozenset[int]) -> Words | None:
    """A mean over one of two axes in place of the other; one of them was seen to change the constant."""
    for (one, n), (other, m) in itertools.permutations(sizes.items(), 2):
        if n > 1 and m > 1 and {n, m} & sure and abs(size * n - m) < EXACT * m:
            how = f"{n // m} times" if n % m == 0 else f"{Fraction(n, m)} of"
            both = f"divided by {m} where a division by {n} belongs ({one}; {other})"
            return how, f"it is {both}" if {n, m} <= sure else f"is it {both}?", f"multiply by {m}/{n}"
    return None


def of_a_root(size: float, sizes: Mapping[str, int], sure: frozenset[int] = frozenset()) -> Words | None:
    for name, n in sizes.items():
        root = n**0.5
        if n not in sure and (root == round(root) or n == 2):
            continue  # why: these have other reasons
        if abs(size * root - 1) < EXACT:
            return f"sqrt({n}) times", f"{name}; a division by the root is missing", f"divide by sqrt({n})"
        if abs(size - root) < EXACT * root:
            return (
                f"1/sqrt({n}) of",
                f"{name}; a division by the root is there once too often",
                f"multiply by sqrt({n})",
            )
    return None


def of_some_root(size: float) -> Words | None:
    """A root that no size explains."""
    why = "look for a root of a size that only the forward or only the backward has"
    n, m = round(1 / size**2), round(size**2)
    if 2 <= n <= SMALL and n**0.5 % 1 and abs(size * n**0.5 - 1) < EXACT:
        return f"sqrt({n}) times", why, f"divide by sqrt({n})"
    if 2 <= m <= SMALL and m**0.5 % 1 and abs(size / m**0.5 - 1) < EXACT:
        return f"1/sqrt({m}) of", why, f"multiply by sqrt({m})"
    return None


def of_settings(size: float, tried: Tried) -> Words | None:
    """Numbers that were handed in, with which the constant changes as it should."""
    if not tried.names:
        return None
    parts, names = tried.formula(), listed(tried.names)
    if parts is None:
        how = f"it changes with {names}: something made of that is missing, or there once too often"
        return f"{1 / size:.6g} times", how, ""
    rest = size / math.prod(abs(value) ** p for _, value, p in parts)
    if abs(rest - 1) < EXACT and len(parts) == 1 and abs(parts[0][2]) == 1:
        name, value, p = parts[0]
        return of_an_amount(abs(value) ** p, {name: value})
    up, down = ([power_of(name, abs(p)) for name, _, p in parts if p * sign > 0] for sign in (1, -1))
    front = [] if abs(rest - 1) < EXACT else [number(rest).removesuffix(" * ")]
    text = " / ".join([" * ".join([*front, *up]) or "1", *down])
    return (
        f"{1 / size:.6g} times",
        f"{text} is missing, or what undoes it is there once too often",
        f"multiply by {text}",
    )


def power_of(name: str, p: float) -> str:
    base = f"({name})" if " " in name else name
    return base if p == 1 else f"sqrt({name})" if p == 0.5 else f"{base}**{p:g}"


def of_an_amount(size: float, amounts: Mapping[str, float]) -> Words | None:
    for name, value in amounts.items():
        if abs(size - abs(value)) < EXACT * size:
            return f"{1 / size:.6g} times", f"{value:.6g} is {name}, and it is missing", f"multiply by {name}"
        if abs(size * abs(value) - 1) < EXACT:
            why = f"{value:.6g} is {name}, and it is a factor too many, or a division by it is missing"
            return f"{1 / size:.6g} times", why, f"divide by {name}"
    return None


def of_an_open_amount(size: float, amounts: Mapping[str, float]) -> Words | None:
    """Numbers of which another one was not tried: a question."""
    near = {a for a in amounts.values() if a > 0 and a != 1 and min(abs(size - a) / size, abs(size * a - 1)) < EXACT}
    for value in near if abs(size - 1) > EXACT else ():
        names = [name for name, a in amounts.items() if a == value]
        return f"{1 / size:.6g} times", f"{' or '.join(names[:3])} is {value:g} here: is it that?", ""
    return None


def of_a_size_and_2(size: float, sizes: Mapping[str, int]) -> Words | None:
    for name, n in sizes.items():
        if n >= MANY and abs(size * n - 2) < EXACT:
            return f"{n / 2:g} times", f"{name}; a mean is missing, and a factor 2", f"multiply by 2/{n}"
        if n >= MANY and abs(size / n - 0.5) < EXACT:
            return f"2/{n} of", f"{name}; a mean where a sum belongs, and a factor 2 too many", ""
    return None


def of_one_less(size: float, sizes: Mapping[str, int]) -> Words | None:
    """n where n - 1 belongs, as under the root of an unbiased spread, or the other way round: a question."""
    for name, n in sizes.items():
        for wrong, right in ((n, n - 1), (n - 1, n)) if n > 2 else ():
            if abs(size * right - wrong) < EXACT * wrong:
                why = f"{name}: is it divided by {wrong} where {right} belongs, n - 1 for n or the other way round?"
                return f"{right}/{wrong} of", why, f"look for what is {wrong}/{right} here, by its sizes"
    return None


def of_a_ratio(size: float) -> Words | None:
    p, q = Fraction(1 / size).limit_denominator(12).as_integer_ratio()
    if q < 2 or p > 60 or abs(p / q * size - 1) > EXACT:
        return None
    why = "look for a constant, or a ratio of two sizes, that is missing, or there once too often"
    return f"{p}/{q} of", why, f"multiply by what is {size:.6g} here"
