"""What is told: for every kind of claim one sentence that says what is wrong and where to look, and one that mends it.

Each function takes a Told and returns the message and the repair.
"""

import math

import numpy as np

from scratchvae.checks.report import listed
from scratchvae.checks.vjp.constants import constant_words
from scratchvae.checks.vjp.sentences_layout import LAYOUT
from scratchvae.checks.vjp.sentences_lines import OF_LINES
from scratchvae.checks.vjp.sentences_terms import OF_TERMS
from scratchvae.checks.vjp.told import EXACT, PATHS, Sentence, Told, gradients


def told(t: Told) -> tuple[str, str]:
    """The message and the repair."""
    return SENTENCES[t.claim.kind](t)


# ---------------------------------------------------------------------------------------------------------------------
# A constant


def scaled(t: Told) -> tuple[str, str]:
    how, why, repair = constant_words(t)
    return f"{t.it} {t.be} {how} what {t.they} should be: {why}", repair


def scaled_in_part(t: Told) -> tuple[str, str]:
    how, why, repair = constant_words(t)
    return f"{t.it}: in {t.claim.detail[0]} alone {t.they} {t.be} {how} what {t.they} should be: {why}", repair


def scaled_in_places(t: Told) -> tuple[str, str]:
    how, why, repair = constant_words(t)
    if t.claim.detail:
        (where,) = t.claim.detail
        return f"{t.it}: where {where}, and there alone, {t.they} {t.be} {how} what {t.they} should be: {why}", repair
    return f"{t.it} {t.be} right in some entries, and in the others {how} what {t.they} should be: {why}", repair


def scaled_by_column(t: Told) -> tuple[str, str]:
    numbers = listed([f"{c:g}" for c in t.claim.detail])
    text = f"{t.it}: each column has a factor of its own, {numbers}, and it is missing, or there is one too many"
    return text, f"multiply the columns by {numbers}, in the terms that they come from"


def scaled_of(t: Told) -> tuple[str, str]:
    how, why, repair = constant_words(t)
    return f"{t.it}: the part that comes from {t.claim.detail[0]} is {how} what it should be: {why}", repair


def nearly_right(t: Told) -> tuple[str, str]:
    text = f"{t.it} {t.be} nearly right: a small constant inside a log, a square root or a division"
    return (
        f"{text}, a term that is small here, a loop that stops early, or a number with few digits",
        "the same numbers in both",
    )


# ---------------------------------------------------------------------------------------------------------------------
# An array


def where_it_enters(t: Told) -> str:
    """Where to look, for a word at its place."""
    if t.claim.place == "out":
        return "where dy enters"
    if t.claim.place == "mid":
        return "in the gradient that arrives there"
    return "entry by entry" if any(np.prod(shape) > 1 for shape in t.shapes) else "in it"


def of(t: Told) -> str:
    """The beginning of a sentence about a gradient, or about one term's part in it, or one of its parts."""
    if t.claim.kind.endswith("in part"):
        return f"{t.it}, in {t.claim.detail[0]} alone: "
    return f"{t.it}: in the part that comes from {t.claim.detail[0]}, " if t.claim.detail else f"{t.it}: "


def what_to_multiply(t: Told) -> str:
    return {"out": "dy", "mid": "that gradient"}.get(t.claim.place, "it")


def lacks(t: Told) -> tuple[str, str]:
    return (
        f"{of(t)}{t.u} is missing {where_it_enters(t)}{t.constant}",
        f"multiply {what_to_multiply(t)} by {t.c}{t.claim.words[0].formula}",
    )


def too_many(t: Told) -> tuple[str, str]:
    v = t.claim.words[1]
    if v.name.startswith("mask"):
        return f"{of(t)}{v.name} is a factor too many {where_it_enters(t)}{t.constant}", f"leave {v.formula} out there"
    return (
        f"{of(t)}{v.name} is a factor too many {where_it_enters(t)}, or a division by it is missing{t.constant}",
        f"multiply {what_to_multiply(t)} by {t.c}1 / {as_a_part(v.formula)}",
    )


def hides(t: Told) -> tuple[str, str]:
    v = t.claim.words[1]
    where = v.name.removeprefix("mask ") + " does not hold" if v.name.startswith("mask") else f"{v.name} is 0"
    text = f"{of(t)}where {where} nothing comes back, and something should; elsewhere it is right"
    return f"{text}: all that belongs there is missing, or {v.name} is a factor too many", "work it out for these alone"


def as_a_part(formula: str) -> str:
    """A formula as a part of a larger one."""
    name, _, rest = formula.partition("(")
    whole = formula.isidentifier() or (
        formula.count("(") == 1 and rest.endswith(")") and (not name or name.isidentifier())
    )
    return formula if whole else f"({formula})"


def in_place_of(t: Told) -> tuple[str, str]:
    u, v = t.claim.words
    text = f"{of(t)}{t.v} stands in place of {t.u} {where_it_enters(t)}{t.constant}"
    if (u.is_plain and v.is_plain) or " " not in u.name + v.name:  # why: they may stand below a line as well as above
        text = f"{text}, or it is divided by {t.u} where a division by {t.v} belongs"
        return text, f"multiply {what_to_multiply(t)} by {t.c}{as_a_part(u.formula)} / {as_a_part(v.formula)}"
    return text, f"multiply {what_to_multiply(t)} by {t.c}{t.claim.words[0].formula} instead"


def some_array(t: Told) -> tuple[str, str]:
    where = {
        "in": "every entry has a factor of its own, whatever dy is",
        "out": "dy is multiplied by a wrong array where it enters, or by none",
        "mid": "the gradient that arrives there is wrong, and what is made of it is right; look further back",
    }[t.claim.place]
    return f"{t.it}: {where}", ""


def paths(t: Told) -> tuple[str, str]:
    text = f"{t.it} {t.be} right as far as {t.they} {'go' if len(t.names) > 1 else 'goes'}, but some paths are missing"
    where = "some entries of y send nothing where they should" if t.claim.detail else "some entries get nothing"
    return f"{text}: {where} (is something overwritten, skipped, or hidden?)", "let all that counts in the forward pass"


def paths_in_a_row(t: Told) -> tuple[str, str]:
    text = f"{t.it}: a row of the batch alone is right in some entries of {t.it}, and sends nothing to others"
    return f"{text}; {PATHS} (is one end, one branch, one index left out?)", "let all that counts in the forward pass"


def rows_masked(t: Told) -> tuple[str, str]:
    text = f"{t.it}: some rows get nothing, and should; the others are right"
    return f"{text}: a mask hides too much, or something is skipped", "let all that counts in the forward pass"


def mask_missing(t: Told) -> tuple[str, str]:
    text = f"{t.it} {t.be} right where y depends on {listed(t.names)}, but something arrives also where it does not"
    if t.claim.detail:
        text = f"{t.it}: some entries of y do not depend on {listed(t.names)}, and something comes back from them"
    return f"{text}: a mask is missing (of a clip, a margin, a maximum?)", "let nothing pass where the forward is flat"


def slope(t: Told) -> tuple[str, str]:
    return f"{t.it}: what multiplies dy is not the slope of the forward", "differentiate the forward once more"


def upstream_forgotten(t: Told) -> tuple[str, str]:
    c = t.claim.factor
    size = next((n for n in t.sizes.values() if n > 1 and abs(c - n) < EXACT * n), 0)
    mean = f" (it is the gradient of a mean over {size})" if size else ""
    return f"{t.it} {t.be} the same whatever dy is: dy, the upstream gradient, is forgotten{mean}", "multiply by dy"


def upstream_lost(t: Told) -> tuple[str, str]:
    text = f"{t.it} {t.be} the same whatever dy is: on the way back what arrives from above is forgotten"
    return text, "multiply by the gradient that arrives, layer by layer"


def upstream_forgotten_in_part(t: Told) -> tuple[str, str]:
    text = f"{t.it}: one term is the same whatever dy is: there dy, the upstream gradient, is forgotten"
    return text, "multiply that term by dy as well"


def upstream_decides(t: Told) -> tuple[str, str]:
    text = f"{t.it}: the sign of dy decides what passes"
    return f"{text}; a mask belongs to what went into the forward", "take the mask from the forward"


def offset(t: Told) -> tuple[str, str]:
    what = f"{t.c}{t.u}" if t.claim.words else "something"
    text = f"{t.it} {t.be} right but for {what} that is added whatever dy is"
    return f"{text}: the gradient of a term (a weight decay?) that the forward does not have", "leave it to the loss"


def not_linear(t: Told) -> tuple[str, str]:
    text = f"{t.it} {t.be} not proportional to dy, and a gradient is: twice dy gives twice as much"
    return f"{text}; is dy clipped, squared, its sign taken, or a weight stepped before it is used?", ""


def unknown(t: Told) -> tuple[str, str]:
    few, right, lines = t.claim.detail
    all_ = "all of them" if len(t.names) > 1 else "it"
    text = f"{t.it} {t.be} wrong, and no simple repair was found that explains {all_}"
    if few and few[0][0]:
        ((wrong, of_all, where),) = few
        sample = f", of {of_all}{' that were measured' if of_all < math.prod(t.shapes[0]) else ''}"
        one = f"in one entry alone, [{', '.join(map(str, where))}]"
        text += f"; it is wrong {one if wrong == 1 else f'in {wrong} entries alone'}{sample}"
    if right:
        text += f"; {gradients(right)} {'are' if len(right) > 1 else 'is'} right"
    if lines:
        text += f"; a single slip may be in {lines}, or in what is used there"
    return text, "work out one entry by hand"


SENTENCES: dict[str, Sentence] = {
    **LAYOUT,
    **OF_LINES,
    **OF_TERMS,
    "constant": scaled,
    "constant in part": scaled_in_part,
    "constant in places": scaled_in_places,
    "constant a column": scaled_by_column,
    "constant of": scaled_of,
    "nearly": nearly_right,
    "lacks": lacks,
    "lacks of": lacks,
    "lacks in part": lacks,
    "too many": too_many,
    "hides": hides,
    "hides of": hides,
    "hides in part": hides,
    "too many of": too_many,
    "too many in part": too_many,
    "in place of": in_place_of,
    "in place of of": in_place_of,
    "in place of in part": in_place_of,
    "some array": some_array,
    "paths": paths,
    "mask missing": mask_missing,
    "rows masked": rows_masked,
    "paths in a row": paths_in_a_row,
    "slope": slope,
    "upstream forgotten": upstream_forgotten,
    "upstream lost": upstream_lost,
    "upstream forgotten in part": upstream_forgotten_in_part,
    "upstream decides": upstream_decides,
    "offset": offset,
    "not linear": not_linear,
    "unknown": unknown,
}
