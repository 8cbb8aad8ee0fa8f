"""A claim to be told, in the parts that a sentence is made of: what it is about, by how much, and why that number."""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from scratchvae.checks.report import listed
from scratchvae.checks.vjp.case import Claim
from scratchvae.checks.vjp.tried import Tried

EXACT = 1e-6
SMALL = 64  # 1/n is written as such up to here
MOST = 12  # a whole number up to here may stand in a formula
PLAIN_ONE = re.compile(r"(?<![\w.])1(\.0*)?(?![\w.])")
FEW = 5  # so small a length may be a plain number
MANY = 7  # rows or entries: of fewer too many things are a half
PATHS = "whatever is used twice has two paths, and their gradients add"
HALVES = {
    2.0: ("half of", "a factor 2 is missing, or there is a 1/2 too many"),
    0.5: ("twice", "a factor 1/2 is missing"),
    4.0: ("a quarter of", "a factor 4 is missing, or there are two 1/2 too many"),
    0.25: ("four times", "a factor 1/4 is missing"),
}


class Told(NamedTuple):
    """A claim, the inputs that it is about, and the sizes in play by name."""

    claim: Claim
    names: list[str]
    shapes: list[tuple[int, ...]]  # of the inputs
    got: list[tuple[int, ...]]  # of the gradients
    sizes: Mapping[str, int]
    amounts: Mapping[str, float]  # other numbers in play, to write a factor with
    means: Mapping[str, float] = {}  # those of them that are means and sums
    sure: frozenset[int] = frozenset()  # sizes with which the constant changes
    roots: frozenset[int] = frozenset()  # and those with whose roots it does
    tried: Tried = Tried()  # and how it changes with numbers that were handed in
    unproven: Mapping[str, float] = {}  # settings of which another one was not tried
    front: str = ""  # the constant in terms of them, with a star behind it
    called: str = ""  # what it is about, if that is no gradient: a line of the backward

    @property
    def it(self) -> str:
        return self.called or gradients(self.names)

    @property
    def one_more(self) -> str:
        """2 (y has 2 columns), where a 1 that is to be a length would explain a term as large as this one."""
        if not PLAIN_ONE.search(self.called):
            return ""
        n = 1 + abs(self.claim.factor)
        return next((f"{size} ({what})" for what, size in self.sizes.items() if abs(size - n) < 1e-5), "")

    @property
    def there(self) -> str:
        """At that line; nothing of a gradient."""
        return " there" if self.called.startswith(("line", "a value")) else ""

    @property
    def be(self) -> str:
        return "are" if len(self.names) > 1 else "is"

    @property
    def they(self) -> str:
        return "they" if len(self.names) > 1 else "it"

    @property
    def u(self) -> str:
        return self.claim.words[0].name

    @property
    def v(self) -> str:
        return self.claim.words[1].name

    @property
    def c(self) -> str:
        front = self.front or number(self.claim.factor, self.sizes, self.amounts)
        return f"(plus or minus) {front.removeprefix('-')}" if self.claim.either else front

    def lacking(self, what: str, product: str) -> tuple[str, str]:
        """That a term is missing, and the repair; a factor that nobody knows is that of these numbers alone."""
        c = abs(self.claim.factor)
        if product == "1":
            return f"a term is missing or wrong, {what}", f"add {self.claim.factor:.6g}"
        if self.front or (c <= MOST and abs(c - round(c)) < EXACT) or not self.c.startswith((f"{c:.6g}", f"-{c:.6g}")):
            return f"a term is missing or wrong, {what}", f"add {self.c}{product}"
        return f"a term is missing or wrong, {what}", f"work out the factor of {product}"

    @property
    def constant(self) -> str:
        """The constant beside an array, for a message; nothing if there is none."""
        c = self.claim.factor
        if abs(c - 1) < EXACT and not self.front:
            return ""
        if abs(c + 1) < EXACT and not self.front:
            return ", and a minus"
        return f", and a factor {self.c[:-3]}"


def size_in(repair: str, t: Told) -> str:
    """Of a number in a repair that is the length of something, or a setting: a question, since no other was tried."""
    c = abs(t.claim.factor)
    size = max(c, 1 / c)
    written = f"{c:.6g} * " in repair or f"1/{size:.0f} * " in repair
    if t.claim.kind.startswith(("constant", "changed")) or t.front or not written:
        return ""
    if phrase := next((name for name, n in t.sizes.items() if n > 2 and abs(n - size) < EXACT), ""):
        return f" ({phrase}: is that the {size:.0f}?)"
    if name := next((text for text, a in multiples(t.unproven) if abs(c - a) < EXACT * c), ""):
        return f" ({name} is as much here: is it that?)"
    if phrase := next((name for name, n in t.sizes.items() if n > 3 and abs(n - 1 - size) < EXACT), ""):
        return f" ({phrase}: is it one less than that, or a 1 that is to be a {size + 1:.0f}?)"
    is_usual = size < 2 + EXACT and abs(size - round(size)) < EXACT
    return "" if is_usual or c < EXACT else f" ({c:.6g} is the number of this example)"


def multiples(settings: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """A setting, its square, one over it, and twice or half of these."""
    for name, a in settings.items():
        for text, value in ((name, a), (f"{name}**2", a * a), (f"1 / {name}", 1 / a if a else 0.0)):
            if a not in (0, 1, -1):
                yield from ((text, abs(value)), (f"2 * {text}", 2 * abs(value)), (f"{text} / 2", abs(value) / 2))


def gradients(names: list[str]) -> str:
    """dx, dW and db; the gradients of encoder.0.W and encoder.0.b, since those are no names in Python."""
    if all(name.isidentifier() for name in names):
        return listed([f"d{name}" for name in names])
    return f"the gradient{'s' * (len(names) > 1)} of {listed(names)}"


def number(c: float, sizes: Mapping[str, int] = {}, amounts: Mapping[str, float] = {}) -> str:
    """c as the front of a product: nothing for 1, a minus for -1, else the number and a star."""
    if abs(abs(c) - 1) < EXACT:
        return "" if c > 0 else "-"
    size, sign = abs(c), "-" if c < 0 else ""
    n = round(1 / size)
    if 1 < n <= max(SMALL, *sizes.values(), 0) and abs(size * n - 1) < EXACT:
        return f"{sign}1/{n} * "
    for name, value in amounts.items():
        if abs(size - abs(value)) < EXACT * size:
            return f"{sign}({name}) * " if " " in name else f"{sign}{name} * "
    return f"{c:.6g} * "


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


Sentence = Callable[[Told], tuple[str, str]]  # the message and the repair
