"""What is told of a term of a sum, a path, a product: as in `sentences`, of which this is a part."""

from scratchvae.checks.report import listed
from scratchvae.checks.vjp.told import PATHS, Sentence, Told
from scratchvae.checks.vjp.word import ONE


def the_product(t: Told) -> tuple[str, str]:
    """dy times the word of a term: in words, and as a formula."""
    word = t.claim.words[0]
    if t.claim.place == "fixed":
        return ("a number", "1") if word == ONE else (word.name, word.formula)
    return ("dy itself", "dy") if word == ONE else (f"dy times {word.name}", f"dy * {word.formula}")


def term(t: Told) -> tuple[str, str]:
    text, repair = t.lacking(*the_product(t))
    if t.claim.place == "fixed" and t.claim.words[0] == ONE and (n := t.one_more):
        return f"{t.it}: {text}: is a 1 there to be a {n}?", f"{n.split()[0]} in place of 1"
    return f"{t.it}: {text}", repair


def own_term(t: Told) -> tuple[str, str]:
    names = listed(t.names)
    if t.claim.place == "fixed":
        return f"{t.it}: a term is missing or wrong, the parameter itself", "add it"
    text, repair = t.lacking(
        f"dy times {names if len(t.names) == 1 else 'the weights themselves'}", f"dy * {t.names[0]}"
    )
    return f"{t.it}: {text}, as of a penalty", repair if len(t.names) == 1 else f"{repair}, and so on"


def other_half(t: Told) -> tuple[str, str]:
    what, product = the_product(t)
    text = f"{t.it}: {what} is taken where it should be left out, and left out where it belongs: the mask is inverted"
    return text, f"{product} with the other mask"


def term_in_part(t: Told) -> tuple[str, str]:
    text, repair = t.lacking(*the_product(t))
    return f"{t.it}: in {t.claim.detail[0]} alone {text}", f"{repair} there"


def term_inside(t: Told) -> tuple[str, str]:
    text, repair = t.lacking(*the_product(t))
    return f"{t.it}: in the gradient that arrives there {text}", repair


def multiple_inside(t: Told) -> tuple[str, str]:
    word = t.claim.words[0]
    what = "the same number for all of them" if word == ONE else f"a multiple of {word.name}"
    text = f"{t.it}: in the gradient that arrives there a term is missing or wrong, {what}"
    return text, f"work out the factor of {word.formula}" if word != ONE else "work out that number"


def product(t: Told) -> tuple[str, str]:
    (formula,) = t.claim.detail
    return f"{t.it}: a path is missing or wrong, {formula}; {PATHS}", f"add {t.c}{formula}"


def sum_inside(t: Told) -> tuple[str, str]:
    (A,) = t.claim.detail
    text = f"{t.it}: in the gradient of the scores a term is wrong or missing, the sum over each row of the softmax {A}"
    return text, f"{A} * (g - ({A} * g).sum(axis=-1, keepdims=True)), where g is what arrives at {A}"


def inside(t: Told) -> tuple[str, str]:
    name, lacks, *S = t.claim.detail
    if S:
        text = f"{t.it}: what is multiplied by {name} is wrong where {t.u} is 1"
        return f"{text}: a mask or a weight of {S[0]} is missing", "the mask, or the weight, of the forward"
    if lacks:
        return (
            f"{t.it}: {t.u} is missing in what is multiplied by {name}",
            f"multiply that by {t.claim.words[0].formula}",
        )
    text = f"{t.it}: {t.u} is a factor too many in what is multiplied by {name}"
    return text, f"leave {t.claim.words[0].formula} out there"


def path_above(t: Told) -> tuple[str, str]:
    W, above, how = t.claim.detail
    slope = t.claim.words[0]
    behind = "" if slope == ONE else f", times {slope.name}"
    text = f"{t.it}: what comes back through {W}, from the layer with {above}, is {how}"
    return f"{text}; {PATHS}", f"add what arrives there, through {W} transposed{behind}"


def two_factors(t: Told) -> tuple[str, str]:
    u, v = t.claim.words
    dy, times = ("", "") if t.claim.place == "fixed" else ("dy times ", "dy * ")
    text, repair = t.lacking(f"{dy}{u.name} times {v.name}", f"{times}{u.formula} * {v.formula}")
    return f"{t.it}: {text}", repair


def missing_sum(t: Told) -> tuple[str, str]:
    (axis,), word = t.claim.detail, t.claim.words[0]
    before = "the rows of the batch" if all(len(shape) < 3 for shape in t.shapes) else "the axes before the last"
    over = "the entries of its row" if axis == 1 else before
    times = "" if word == ONE else f" times {word.name}" if word.name else " times something"
    text = f"{t.it}: a term with a sum over {over} is wrong or missing, the sum of dy{times}"
    return (
        text,
        "every output of that sum depends on every entry in it: differentiate it too, be it a mean, a norm or a gate",
    )


def projection(t: Told) -> tuple[str, str]:
    word = t.claim.words[0]
    where = {"row": " of a row", "column": " of a column"}.get(t.claim.place, "")
    what = f"a multiple of {word.name}" if word != ONE else f"the same number for all entries{where}"
    text = f"{t.it}: a term is missing or wrong, {what}"
    return text, f"work out what multiplies {word.formula}: a norm, a sum, another path?"


def one_use_of_two(t: Told) -> tuple[str, str]:
    text = f"{t.it}: {listed(t.names)} {t.be} used twice in the forward, and the gradient of one use is missing"
    return f"{text} (does one overwrite the other?)", "add them up: whatever is used twice has two paths"


def objective(t: Told) -> tuple[str, str]:
    return (
        f"the gradient of {t.claim.detail[0]} never reaches {listed(t.names)}",
        "add it: at a fork gradients add",
    )


def other_side(t: Told) -> tuple[str, str]:
    text = f"{t.it}: what should come back along the path through {t.claim.detail[0]} comes along another one"
    return f"{text}: do the weights of another head stand there?", "each head goes back through weights of its own"


def fork(t: Told) -> tuple[str, str]:
    return f"{t.it}: the path through {t.claim.detail[0]} is missing", "add it: at a fork gradients add"


OF_TERMS: dict[str, Sentence] = {
    "term": term,
    "term of its own": own_term,
    "other half": other_half,
    "term in part": term_in_part,
    "term inside": term_inside,
    "multiple inside": multiple_inside,
    "product": product,
    "inside": inside,
    "path above": path_above,
    "sum inside": sum_inside,
    "two factors": two_factors,
    "sum": missing_sum,
    "projection": projection,
    "one use of two": one_use_of_two,
    "objective": objective,
    "fork": fork,
    "other side of a fork": other_side,
}
