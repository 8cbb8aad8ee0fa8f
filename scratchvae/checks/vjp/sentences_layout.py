"""What is told of the right numbers in the wrong place: as in `sentences`, of which this is a part."""

import numpy as np

from scratchvae.checks.report import listed
from scratchvae.checks.vjp.told import Sentence, Told
from scratchvae.checks.vjp.word import ONE


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
    text = f"{shapes(t)}: one {t.names[0]} serves several entries of y, and what they contribute adds up"
    return text + t.constant, f"sum over the axes that {t.names[0]} does not have"


def broadcast(t: Told) -> str:
    """What happens to an update: nothing good, or nothing at all."""
    try:
        np.broadcast_shapes(t.got[0], t.shapes[0])
    except ValueError:
        return ""
    return ", but an update would broadcast silently"


def axis_of_length_1(t: Told) -> tuple[str, str]:
    return (
        f"{shapes(t)}: the numbers are right{broadcast(t)}{t.constant}",
        f"return the shape of {t.names[0]}",
    )


def summed_away(t: Told) -> tuple[str, str]:
    return f"{shapes(t)}: it is summed over an axis too many", f"keep the axes of {t.names[0]}"


def another_order(t: Told) -> tuple[str, str]:
    return (
        f"the gradients come back in another order: that of {listed(t.names)} is returned for another input",
        "return the gradients in the order of the inputs",
    )


def anothers(t: Told) -> tuple[str, str]:
    (other,) = t.claim.detail
    text = f"{t.it} {t.be} the gradient of {other}: it is returned twice, or summed along the axis of {other}"
    return text, f"work out {t.it} by its own indices"


def upstream_averaged(t: Told) -> tuple[str, str]:
    (what,) = t.claim.detail
    text = f"{t.it}: every row counts alike, whatever its own dy is: dy is {what} before it meets the rows"
    return text, "multiply each row by its own dy"


def coupled_rows(t: Told) -> tuple[str, str]:
    rows, other = ("rows", "columns") if t.claim.detail[0] == 0 else ("columns", "rows")
    text = f"{t.it}: something of dy goes to other {rows}, and no {rows[:-1]} of y depends on another one"
    over = f"the {other}" if len(t.shapes[0]) == 2 else "the other axes"
    return f"{text} (a sum over a wrong axis, or without keepdims?)", f"does a sum belong over {over}?"


def transposed(t: Told) -> tuple[str, str]:
    text = f"{t.it} {t.be} the transpose of what {t.they} should be; the matrix is square, so the shapes do not tell"
    return text + t.constant, "transpose it, or swap the two factors of the product"


def part_transposed(t: Told) -> tuple[str, str]:
    text = f"{t.it}: what is off is a matrix less its transpose, which is square, so the shapes do not tell"
    return f"{text}: is one of several terms transposed, or a keepdims missing?", "look at each term by its indices"


def summed_too_little(t: Told) -> tuple[str, str]:
    text = f"{shapes(t)}: it is summed over an axis too few"
    return text + t.constant, f"sum over all axes that {t.names[0]} does not have"


def sum_of_the_units(t: Told) -> tuple[str, str]:
    text = f"{t.it}: dy is summed along the wrong axis: there are as many rows as entries, so the shapes do not tell"
    return text, "sum over the other axis"


def another_product(t: Told) -> tuple[str, str]:
    wrong, right = t.claim.detail
    if t.called:
        return f"{t.it} is the wrong product{t.constant}", f"{t.c}{right} belongs there"
    return f"{t.it} {t.be} {wrong}, which is the wrong product", f"{t.it} = {t.c}{right}"


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
    axis, B, used, _, names = t.claim.detail
    of_all = f"of {listed(list(names))}" if names else "in the batch"
    of_what = "row" if axis == 0 or names else "column"
    if axis and not names:
        of_all = "of y"
    which = f"{of_what}{'s' * (len(used) > 1)} {', '.join(map(str, used))}"
    if used in ((0,), (B - 1,)):
        which = f"the {'first' if used == (0,) else 'last'} {of_what}"
    return f"{t.it}: only {which} of the {B} {of_all} {'count' if len(used) > 1 else 'counts'}", "sum over all of them"


def rows_left_out(t: Told) -> tuple[str, str]:
    _, B, missing, names = t.claim.detail
    rows = f"row{'s' * (len(missing) > 1)} {listed(list(map(str, missing)))} of the {B} of {listed(list(names))}"
    return f"{t.it}: {rows} should count, and {'do' if len(missing) > 1 else 'does'} not", "let them count as well"


def weighted_rows(t: Told) -> tuple[str, str]:
    of_what = "rows of the batch" if t.claim.detail[0] == 0 else "columns of y"
    text = f"{t.it}: some {of_what} count for more than they should, or for less"
    return text, "weigh them as the forward does"


def not_added_up(t: Told) -> tuple[str, str]:
    text = f"{t.it} {t.be} right for a batch of one row, and for several not the sum over them"
    why = "is something overwritten, or counted once that belongs to every row?"
    return f"{text}: {why}", "add up what every row contributes"


def not_passed_on(t: Told) -> tuple[str, str]:
    text = f"{t.it} {t.be} right for a single row or step, and wrong for several: look at how they meet"
    what = (
        "a state that one passes on to the others, a statistic or a weight over all of them, an index that comes "
        "twice, axes that change places in a reshape"
    )
    return f"{text} ({what})", "work it out by hand for two"


def flat_rows(t: Told) -> tuple[str, str]:
    axis, flat = t.claim.detail
    which = f"{'row' if axis == 0 else 'column'}{'s' * (len(flat) > 1)} {', '.join(map(str, flat))}"
    text = f"{t.it}: {which} of the batch {'have' if len(flat) > 1 else 'has'} no share in the output"
    repair = "let nothing pass where the forward is flat"
    return f"{text}, and something arrives all the same: a mask is missing", repair


def wrong_rows(t: Told) -> tuple[str, str]:
    axis, some = t.claim.detail
    which = f"{'row' if axis == 0 else 'column'}{'s' * (len(some) > 1)} {', '.join(map(str, some))}"
    text = f"{t.it} {t.be} wrong in {which} of the batch, if not everywhere there, and right in the others"
    return f"{text}: look for what tells them apart, a mask, a clip or a branch", "work it out by hand for one of these"


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
    why = "look at how they add up (an assignment, or += by an index, keeps one of them)"
    return f"{text}: {why}", f"np.add.at({t.it}, {ids}, ...) adds all of them"


def shuffled(t: Told) -> tuple[str, str]:
    what = "dy enters" if t.claim.place == "out" else f"{t.it} {t.be} returned"
    from_where = "" if t.called else f", from where {what}"
    text = f"{t.it}: the right numbers in another order{from_where}"
    return text, "look for a reshape without its transpose, a flip, or an index"


LAYOUT: dict[str, Sentence] = {
    "none": none,
    "zeros": zeros,
    "shape": shape,
    "transposed shape": transposed_shape,
    "not summed": not_summed,
    "axis of length 1": axis_of_length_1,
    "summed away": summed_away,
    "another order": another_order,
    "another's": anothers,
    "upstream averaged": upstream_averaged,
    "coupled rows": coupled_rows,
    "transposed": transposed,
    "part transposed": part_transposed,
    "summed too little": summed_too_little,
    "sum of the units": sum_of_the_units,
    "another product": another_product,
    "jacobian": jacobian,
    "diagonal": diagonal,
    "wrong axis": wrong_axis,
    "some rows": some_rows,
    "rows left out": rows_left_out,
    "not added up": not_added_up,
    "not passed on": not_passed_on,
    "flat rows": flat_rows,
    "wrong rows": wrong_rows,
    "shuffled": shuffled,
    "weighted rows": weighted_rows,
    "untransposed": untransposed,
    "turned inside": turned_inside,
    "repeated rows": repeated_rows,
}
