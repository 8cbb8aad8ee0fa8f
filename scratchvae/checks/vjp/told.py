"""A claim to be told, in the parts that a sentence is made of: what it is about, and by how much."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from scratchvae.checks.report import listed
from scratchvae.checks.vjp.case import Claim
from scratchvae.checks.vjp.tried import Tried

EXACT = 1e-6
SMALL = 64  # 1/n is written as such up to here
MOST = 12  # a whole number up to here may stand in a formula
PLAIN_ONE = re.compile(r"(?<![\w.])1(\.0*)?(?![\w.])")
PATHS = "whatever is used twice has two paths, and their gradients add"


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


Sentence = Callable[[Told], tuple[str, str]]  # the message and the repair
