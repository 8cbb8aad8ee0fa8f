"""docs/notation.md keeps its word: on every page, and in the core, a reserved name has its one meaning."""

import ast
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from scratchvae import VAE

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "notation.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs" / "derivations").glob("*.md"))
CORE = ["gaussian", "layers", "likelihoods", "model", "autoencoder", "vae", "iwae", "optim", "batches", "training"]
CORE += ["evaluation"]
FILES = [ROOT / "scratchvae" / f"{name}.py" for name in CORE] + sorted((ROOT / "scratchvae" / "exact").glob("*.py"))

GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi"
GREEK = {*GREEK.split(), "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega"}
CONSTANTS = {"e", "pi"}
WORDS = re.compile(r"\\(?:text|mathrm|mathtt|mathbb|begin|end)\{(?:[^{}]|\{[^{}]*\})*\}")  # not letters
SIGMA_X = re.compile(r"\\sigma_(x|\{x(,d)?\})")  # one symbol
SUBSCRIPT = re.compile(r"_(\{(?:[^{}]|\{[^{}]*\})*\}|\\[A-Za-z]+|\w)")
FENCE = re.compile(r"^```math\n(.*?)^```$", re.M | re.S)


def formulas(text):
    """What stands between dollars."""
    return re.findall(r"\$([^$]+)\$", text)


def letters(formula):
    """The letters of a formula, Latin or Greek, in order: those on the line or above it, and those in a subscript."""
    formula = SIGMA_X.sub(r"\\sigmax ", WORDS.sub(" ", formula))
    for part in (SUBSCRIPT.sub(" ", formula), " ".join(SUBSCRIPT.findall(formula))):
        names = [name or letter for name, letter in re.findall(r"\\([A-Za-z]+)|([A-Za-z])", part)]
        yield [name.replace("sigmax", "sigma_x") for name in names if len(name) == 1 or name in {*GREEK, "sigmax"}]


def tables(text):
    """Every row of every table, as a dict from the head of a column to the cell."""
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines()]
        yield from (dict(zip(head, row, strict=True)) for row in rows)


def said(text):
    """The words of a meaning, one or many of a thing being the same word."""
    return {word.rstrip("s") for word in re.findall(r"[a-z-]+", text.lower())}


def heads(cell):
    """The symbols that a cell introduces: of each formula the first letter, unless a word in roman comes before it."""
    starts = (next(letters(formula)) for formula in formulas(cell) if not formula.startswith(r"\mathrm"))
    return [names[0] for names in starts if names]


def listed(pattern):
    """The letters of notation.md in the text that the pattern finds."""
    return set(next(letters(" ".join(formulas(re.search(pattern, TEXT, re.M | re.S)[1])))))


SIZES = {symbol for row in tables(TEXT) for symbol in heads(row.get("size", ""))}
RESERVED = {}  # symbol -> the bold words of its meaning, as sets; where there are several sets, each will do
for row in tables(TEXT):
    for symbol in heads(row.get("size") or row.get("in formulas", "")):
        RESERVED.setdefault(symbol, []).extend(said(bold) for bold in re.findall(r"\*\*(.+?)\*\*", row["meaning"]))
INDICES = listed(r"^Subscripts count:(.*?)\n\n")
LOCAL = listed(r"\*\*local\*\*:(.*?)\.")


def problems(text):
    """Where a page breaks the word, a line for each case."""
    rows = [row for row in tables(re.search(r"^## Symbols\n(.*?)^## ", text, re.M | re.S)[1]) if "symbol" in row]
    declared = [(symbol, row["meaning"]) for row in rows for symbol in heads(row["symbol"])]
    for symbol, meaning in declared:
        if symbol in RESERVED and not any(words <= said(meaning) for words in RESERVED[symbol]):
            yield f"{symbol} is reserved, and here it is: {meaning}"
        if symbol not in RESERVED and symbol not in LOCAL:
            yield f"{symbol} is neither reserved nor local"
    for symbol, count in Counter(symbol for symbol, _ in declared).items():
        if count > 1 and symbol not in RESERVED:
            yield f"{symbol} is declared {count} times"
    on_the_line, below = map(set, letters(" ".join([*FENCE.findall(text), *formulas(FENCE.sub("", text))])))
    told = SIZES | CONSTANTS | {symbol for symbol, _ in declared}
    indices_alone = INDICES - LOCAL - RESERVED.keys()  # they may stand on the line too, as in i = j
    for symbol in sorted((on_the_line - told - indices_alone) | (below - told - INDICES)):
        yield f"{symbol} is used and not declared"


def test_the_tables_are_read_as_they_are_meant():
    assert RESERVED["sigma"] == [{"standard", "deviation", "of", "q"}]
    assert RESERVED["sigma_x"] == [{"standard", "deviation", "of", "a", "pixel"}]
    assert {"likelihood"} in RESERVED["p"]
    assert all(RESERVED.values())  # every reserved symbol has words in bold
    assert set("BNDHZKIOG") == SIZES
    assert set("bdigjko") == INDICES
    assert not LOCAL & RESERVED.keys()
    assert {"t", "Sigma"} < LOCAL


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_gives_a_symbol_its_reserved_meaning_and_declares_every_symbol_that_it_uses(page):
    found = list(problems(page.read_text(encoding="utf-8")))
    assert not found, "\n".join(found)


PAGE = r"""# A page

## Symbols

| symbol | meaning | shape |
|---|---|---|
| $\mu$, $\sigma$ | mean and standard deviation of $q(t)$ | a number |
| $q(t)$ | a density | a number |
| $u$ | distance from $\mu$ in standard deviations | a number |
| $t$ | any number | a number |

## A section

```math
N(t; \mu, \sigma^2) = \frac{1}{\sqrt{2 \pi}\, \sigma}\, e^{-u^2 / 2} \qquad \text{(definition, with a word)}
```
"""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("", "", None),
        ("standard deviation of $q(t)$", "standard deviation of the pixels", "sigma is reserved, and here it is"),
        ("standard deviation of", "variance of", "sigma is reserved, and here it is"),
        ("| $t$ | any number |", "| $v$ | volume of a cell |", "v is reserved, and here it is: volume of a cell"),
        ("| $t$ | any number |", "| $Q$ | any number |", "Q is neither reserved nor local"),
        ("any number | a number |\n", "any number | |\n| $t$ | a time | |\n", "t is declared 2 times"),
        ("| $t$ | any number | a number |\n", "", "t is used and not declared"),
        ("u^2", "v^2", "v is used and not declared"),
        ("u^2", "u_b^2 + b", "b is used and not declared"),
        ("u^2", "u_b^2 + u_M", "M is used and not declared"),
        ("u^2", r"\kappa^2", "kappa is used and not declared"),
        ("## A section\n", "## A section\n\nHere $M$ is the largest.\n", "M is used and not declared"),
        (r"\sigma$ |", r"\sigma_x$ |", "sigma_x is reserved, and here it is"),
    ],
)
def test_a_planted_conflict_is_found(old, new, problem):
    assert old in PAGE
    found = list(problems(PAGE.replace(old, new)))
    assert not found if problem is None else any(line.startswith(problem) for line in found), found


def short_names(file):
    """Every name of one letter that a function of the file binds, with the docstrings around it and its own line."""
    lines = file.read_text(encoding="utf-8").splitlines()

    def inside(node, docs):
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, ast.ClassDef | ast.FunctionDef)
            around = docs + (ast.get_docstring(child) or "") if named else docs
            bound = getattr(child, "arg", None) if isinstance(child, ast.arg) else getattr(child, "id", None)
            if bound and len(bound) == 1 and not isinstance(getattr(child, "ctx", None), ast.Load):
                yield bound, docs + lines[child.lineno - 1].partition("#")[2], child.lineno
            yield from inside(child, around)

    return list(inside(ast.parse("\n".join(lines)), ""))


def strange_names(file):
    """Those that are neither reserved nor, if they are local, told by a docstring or on their line."""
    known = RESERVED.keys() | INDICES | {"_"}
    return [
        f"line {line}: {name}"
        for name, told, line in short_names(file)
        if name not in known and not (name in LOCAL and re.search(rf"\b{name}\b", told))
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_short_name_in_the_core_is_reserved_or_told(file):
    assert not strange_names(file)


def test_a_planted_name_is_found(tmp_path):
    file = tmp_path / "planted.py"
    file.write_text('''def f(x, t):
    """The sum of x and t."""
    Q = x + t
    r = Q
    s = r  # s is told here
    return [s for c in x], lambda e: e
''')
    assert strange_names(file) == ["line 3: Q", "line 4: r", "line 6: c", "line 6: e"]


def test_names_in_quotes_are_names_of_the_code(rng):
    """Parameters and entries of a trace, of a model with more than one parametrised layer for a width."""
    vae = VAE(4, (3,), 2, layers=("dense", "layer-norm", "relu"), rng=rng)
    trace = {}
    _, cache = vae.objective(rng.random((5, 4)), vae.draw_eps(5, rng))
    vae.backward(np.ones(5), cache, trace=trace)
    quoted = set(re.findall(r"`'(.+?)'`", TEXT))
    assert len(quoted) > 8
    assert quoted <= vae.params.keys() | trace.keys()
