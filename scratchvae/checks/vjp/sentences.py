"""What is told: for every kind of claim one sentence that says what is wrong and where to look, and one that mends it.

Each function takes a Told and returns the message and the repair.
"""

from collections.abc import Callable

from scratchvae.checks.report import listed
from scratchvae.checks.vjp.told import EXACT, Told, constant_words, gradients
from scratchvae.checks.vjp.words import ONE

PATHS = "whatever is used twice has two paths, and their gradients add"


def told(t: Told) -> tuple[str, str]:
    """The message and the repair."""
    return SENTENCES[t.claim.kind](t)


# ---------------------------------------------------------------------------------------------------------------------
# A constant


def scaled(t: Told) -> tuple[str, str]:
    how, why, repair = constant_words(t.claim.factor, t.sizes)
    return f"{t.it} {t.be} {how} what {t.they} should be: {why}", repair


def scaled_of(t: Told) -> tuple[str, str]:
    how, why, repair = constant_words(t.claim.factor, t.sizes)
    return f"{t.it}: the part that comes from {t.claim.detail[0]} is {how} what it should be: {why}", repair


def nearly_right(t: Told) -> tuple[str, str]:
    text = f"{t.it} {t.be} nearly right: a small constant inside a log, a square root or a division"
    return f"{text}, or a term that is small here", "use the same small constant in both, and try larger inputs"


# ---------------------------------------------------------------------------------------------------------------------
# An array


def where_it_enters(t: Told) -> str:
    """Where to look, for a word at its place."""
    if t.claim.place == "out":
        return "where dy enters"
    if t.claim.place == "mid":
        return "in the gradient that arrives there"
    return "entry by entry"


def of(t: Told) -> str:
    """The beginning of a sentence about a gradient, or about one term's part in it."""
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
    return (
        f"{of(t)}{v.name} is a factor too many {where_it_enters(t)}, or a division by it is missing{t.constant}",
        f"multiply {what_to_multiply(t)} by {t.c}1 / {v.formula}",
    )


def in_place_of(t: Told) -> tuple[str, str]:
    return (
        f"{of(t)}{t.v} stands in place of {t.u} {where_it_enters(t)}{t.constant}",
        f"multiply {what_to_multiply(t)} by {t.c}{t.claim.words[0].formula} instead",
    )


def some_array(t: Told) -> tuple[str, str]:
    where = {
        "in": "every entry has a factor of its own, whatever dy is",
        "out": "dy is multiplied by a wrong array where it enters, or by none",
        "mid": "the gradient that arrives there is wrong, and what is made of it is right; look further back",
    }[t.claim.place]
    return f"{t.it}: {where}", ""


def paths(t: Told) -> tuple[str, str]:
    text = f"{t.it} {t.be} right as far as {t.they} {'go' if len(t.names) > 1 else 'goes'}, but some paths are missing"
    return (
        f"{text}: from some entries of y nothing arrives (is something overwritten, or skipped?)",
        "add all of them up",
    )


def slope(t: Told) -> tuple[str, str]:
    return f"{t.it}: what multiplies dy is not the slope of the forward", "differentiate the forward once more"


def upstream_forgotten(t: Told) -> tuple[str, str]:
    c = t.claim.factor
    mean = next(
        (f" (it is the gradient of a mean over {n})" for n in t.sizes.values() if n > 1 and abs(c - n) < EXACT * n), ""
    )
    return f"{t.it} {t.be} the same whatever dy is: dy, the upstream gradient, is forgotten{mean}", "multiply by dy"


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
    return f"{text}; is dy clipped, squared, or its sign taken?", ""


# ---------------------------------------------------------------------------------------------------------------------
# The wrong place


def none(t: Told) -> tuple[str, str]:
    return (
        f"backward returns no gradient for {listed(t.names)}, which would never be trained",
        "return one (does a zip stop short, is a key missing?); what is no input but a constant is handed in as one",
    )


def zeros(t: Told) -> tuple[str, str]:
    return f"{t.it} {t.be} zero everywhere, but y does depend on {listed(t.names)}", ""


def shapes(t: Told) -> str:
    pairs = zip(t.names, t.got, t.shapes, strict=True)
    return "; ".join(f"d{name} has the shape {got}, but {name} has {expected}" for name, got, expected in pairs)


def shape(t: Told) -> tuple[str, str]:
    return shapes(t), "return the shape of what the gradient belongs to"


def transposed_shape(t: Told) -> tuple[str, str]:
    return f"{shapes(t)}: it is transposed{t.constant}", "transpose it, or swap the two factors of the product"


def not_summed(t: Told) -> tuple[str, str]:
    text = f"{shapes(t)}: every row uses the same {t.names[0]}, so what the rows contribute adds up"
    return text + t.constant, "sum over the batch, .sum(axis=0)" if len(t.shapes[0]) < 2 else "sum over the batch"


def axis_of_length_1(t: Told) -> tuple[str, str]:
    return (
        f"{shapes(t)}: the numbers are right, but an update would broadcast silently{t.constant}",
        f"return the shape of {t.names[0]}",
    )


def summed_away(t: Told) -> tuple[str, str]:
    return f"{shapes(t)}: it is summed over an axis too many", f"keep the axes of {t.names[0]}"


def another_order(t: Told) -> tuple[str, str]:
    return (
        f"the gradients come back in another order: that of {listed(t.names)} is returned for another input",
        "return the gradients in the order of the inputs",
    )


def transposed(t: Told) -> tuple[str, str]:
    text = f"{t.it} {t.be} the transpose of what {t.they} should be; the matrix is square, so the shapes do not tell"
    return text + t.constant, "transpose it, or swap the two factors of the product"


def another_product(t: Told) -> tuple[str, str]:
    wrong, right = t.claim.detail
    return f"{t.it} {t.be} {wrong}, which is the wrong product", f"{t.it} = {right}"


def jacobian(t: Told) -> tuple[str, str]:
    return (
        f"{t.it} {t.be} the Jacobian times dy, and should be its transpose times dy{t.constant}",
        "W^T for W, or the sum in reversed order",
    )


def diagonal(t: Told) -> tuple[str, str]:
    return (
        f"{t.it}: each output is taken for a function of its own entry of {t.names[0]} alone; the others count too",
        "add the sum over the other outputs",
    )


def wrong_axis(t: Told) -> tuple[str, str]:
    text = f"{t.it}: the {t.claim.detail[0]} numbers of dy, one a row, meet the columns and broadcast"
    return text, "write dy[:, None]"


def some_rows(t: Told) -> tuple[str, str]:
    axis, B, used, _ = t.claim.detail
    of_what = "row" if axis == 0 else "column"
    which = f"{of_what}{'s' * (len(used) > 1)} {', '.join(map(str, used))}"
    return f"{t.it}: only {which} of the {B} in the batch {'count' if len(used) > 1 else 'counts'}", "sum over all rows"


def weighted_rows(t: Told) -> tuple[str, str]:
    return f"{t.it}: the rows of the batch count with different weights", "sum over all rows, each with weight 1"


# ---------------------------------------------------------------------------------------------------------------------
# A term


def not_added_up(t: Told) -> tuple[str, str]:
    text = f"{t.it} {t.be} right for a batch of one row, and for several not the sum over them"
    return f"{text}: does one row overwrite another?", "add up what every row contributes"


def not_passed_on(t: Told) -> tuple[str, str]:
    text = f"{t.it} {t.be} right for a single row or step, and wrong for several: look at what one passes on to the"
    return f"{text} others (a state, a statistic of the batch), and at its path back", "add the path through it"


def untransposed(t: Told) -> tuple[str, str]:
    (W,), (slope,) = t.claim.detail, t.claim.words
    where = "" if slope == ONE else f", before {slope.name}"
    text = f"{t.it}: what arrives there went through {W} where its transpose belongs{where}, or the other way round"
    return f"{text}; {W} is square, so the shapes do not tell", f"transpose {W} in that product"


def turned_inside(t: Told) -> tuple[str, str]:
    text = f"{t.it}: what multiplies {t.claim.detail[0]} is the transpose of what it should be"
    return (
        f"{text}; it is square, so the shapes do not tell",
        f"transpose it before the product with {t.claim.detail[0]}",
    )


def repeated_rows(t: Told) -> tuple[str, str]:
    ids = t.claim.detail[0]
    text = f"{t.it}: only the rows are wrong whose number occurs more than once in {ids}"
    return f"{text}: += by an index keeps one of them", f"np.add.at({t.it}, {ids}, ...)"


def shuffled(t: Told) -> tuple[str, str]:
    what = "dy enters" if t.claim.place == "out" else f"{t.it} {t.be} returned"
    text = f"{t.it}: the right numbers in another order, from where {what}"
    return text, "look for a reshape without its transpose, a flip, or an index"


def term(t: Told) -> tuple[str, str]:
    word = t.claim.words[0]
    product = "dy" if word == ONE else f"dy * {word.formula}"
    what = "dy itself" if word == ONE else f"dy times {word.name}"
    return f"{t.it}: a term is missing, or has the wrong sign: {what}; {PATHS}", f"add {t.c}{product}"


def term_inside(t: Told) -> tuple[str, str]:
    word = t.claim.words[0]
    what = "dy itself" if word == ONE else f"dy times {word.name}"
    text = f"{t.it}: in the gradient that arrives there a term is missing, or has the wrong sign: {what}"
    return text, f"add {t.c}dy" if word == ONE else f"add {t.c}dy * {word.formula}"


def product(t: Told) -> tuple[str, str]:
    (formula,) = t.claim.detail
    return f"{t.it}: a path is missing, or has the wrong sign: {formula}; {PATHS}", f"add {t.c}{formula}"


def two_factors(t: Told) -> tuple[str, str]:
    u, v = t.claim.words
    text = f"{t.it}: a term is missing, or has the wrong sign: dy times {u.name} times {v.name}"
    return text, f"add {t.c}dy * {u.formula} * {v.formula}"


def missing_sum(t: Told) -> tuple[str, str]:
    (axis,), word = t.claim.detail, t.claim.words[0]
    over = "the entries of its row" if axis == 1 else "the rows of the batch"
    times = "" if word == ONE else f" times {word.name}" if word.name else " times something"
    text = f"{t.it}: a term with a sum over {over} is wrong or missing, the sum of dy{times}"
    return (
        text,
        "every output of that sum depends on every entry in it: look for the mean or the norm that was kept fixed",
    )


def projection(t: Told) -> tuple[str, str]:
    word = t.claim.words[0]
    what = f"a multiple of {word.name}" if word != ONE else "the same number for all entries"
    text = f"{t.it}: a term is missing or wrong, {what}"
    return text, "a norm, a mean or a sum depends on every entry: differentiate it as well"


def one_use_of_two(t: Told) -> tuple[str, str]:
    text = f"{t.it}: {listed(t.names)} {t.be} used twice in the forward, and the gradient of one use is missing"
    return f"{text} (does one overwrite the other?)", "add them up: whatever is used twice has two paths"


def objective(t: Told) -> tuple[str, str]:
    return (
        f"the gradient of {t.claim.detail[0]} never reaches {listed(t.names)}",
        "add it: at a fork gradients add",
    )


def fork(t: Told) -> tuple[str, str]:
    return f"{t.it}: the path through {t.claim.detail[0]} is missing", "add it: at a fork gradients add"


def unknown(t: Told) -> tuple[str, str]:
    few, right = t.claim.detail
    text = f"{t.it} {t.be} wrong, and no simple repair explains {'all of them' if len(t.names) > 1 else 'it'}"
    if few:
        ((wrong, of_all, where),) = few
        one = f"in one entry alone, [{', '.join(map(str, where))}]"
        text += f"; it is wrong {one if wrong == 1 else f'in {wrong} of {of_all} entries alone'}"
    if right:
        text += f"; {gradients(right)} {'are' if len(right) > 1 else 'is'} right"
    return text, "work out one entry by hand"


SENTENCES: dict[str, Callable[[Told], tuple[str, str]]] = {
    "constant": scaled,
    "constant of": scaled_of,
    "nearly": nearly_right,
    "lacks": lacks,
    "lacks of": lacks,
    "too many": too_many,
    "too many of": too_many,
    "in place of": in_place_of,
    "in place of of": in_place_of,
    "some array": some_array,
    "paths": paths,
    "slope": slope,
    "upstream forgotten": upstream_forgotten,
    "upstream forgotten in part": upstream_forgotten_in_part,
    "upstream decides": upstream_decides,
    "offset": offset,
    "not linear": not_linear,
    "none": none,
    "zeros": zeros,
    "shape": shape,
    "transposed shape": transposed_shape,
    "not summed": not_summed,
    "axis of length 1": axis_of_length_1,
    "summed away": summed_away,
    "another order": another_order,
    "transposed": transposed,
    "another product": another_product,
    "jacobian": jacobian,
    "diagonal": diagonal,
    "wrong axis": wrong_axis,
    "some rows": some_rows,
    "not added up": not_added_up,
    "not passed on": not_passed_on,
    "shuffled": shuffled,
    "weighted rows": weighted_rows,
    "untransposed": untransposed,
    "turned inside": turned_inside,
    "repeated rows": repeated_rows,
    "term": term,
    "term inside": term_inside,
    "product": product,
    "two factors": two_factors,
    "sum": missing_sum,
    "projection": projection,
    "one use of two": one_use_of_two,
    "objective": objective,
    "fork": fork,
    "unknown": unknown,
}
