"""What is told of a line of a backward: as in `sentences`, of which this is a part."""

from scratchvae.checks.vjp.case import EVERY
from scratchvae.checks.vjp.told import PATHS, Sentence, Told


def another_value(t: Told) -> tuple[str, str]:
    value, formula = t.claim.detail
    if value == formula:
        return f"{t.it}: {value} belongs there{t.constant}, and not this", t.c + value
    return f"{t.it}: what belongs there is made of {value} in another way", f"{t.c}{formula} belongs there"


def operand_alone(t: Told) -> tuple[str, str]:
    value = t.claim.detail[0]
    return f"{t.it}: {value} alone belongs there{t.constant}; something is multiplied or added too much", t.c + value


def operand_times(t: Told) -> tuple[str, str]:
    value, formula = t.claim.detail
    wrong = "lacks a term, or has one too many" if t.claim.cause == "missing-term" else "is wrong"
    text = f"{t.it}: what {value} is multiplied by there {wrong}"
    if value == formula and (n := t.one_more):
        return f"{text}: is a 1 in it to be a {n}?", f"{n.split()[0]} in place of 1"
    return text, f"{t.c}{formula} more than that"


def another_sum(t: Told) -> tuple[str, str]:
    (value,) = t.claim.detail
    if value.startswith(EVERY):
        step = value.removeprefix(EVERY)
        return f"{t.it}: what belongs there is the sum of {step} over all steps{t.constant}", "+= in place of ="
    text = f"{t.it}: what belongs there is the sum of {value} over all its rows{t.constant}"
    return text, f"{t.c}{value}.sum(axis=0)"


def another_factor(t: Told) -> tuple[str, str]:
    (value,) = t.claim.detail
    text = f"{t.it}: what belongs there is {value} times {t.u}{t.constant}, and it is times something else"
    return text, f"{t.c}{value} * {t.claim.words[0].formula}"


def fixed_term(t: Told) -> tuple[str, str]:
    word = t.claim.words[0]
    return f"{t.it}: a term is missing or wrong there, {word.name}", f"add {t.c}{word.formula} there"


def value_forgotten(t: Told) -> tuple[str, str]:
    value, formula = t.claim.detail
    if t.claim.factor < 0:
        text = f"{t.it}: a term is missing{t.there}, or one too many, what comes from {value} with a minus"
        return text, f"add {t.c}{formula}{t.there}"
    text = f"{t.it}: a path is missing or wrong{t.there}, what comes from {value}; {PATHS}"
    return text, f"add {t.c}{formula}{t.there}"


def value_forgotten_by_all(t: Told) -> tuple[str, str]:
    (value,) = t.claim.detail
    text = f"{t.it}: a path is missing or wrong, what comes from {value}; {PATHS}"
    return text, f"add what comes from {value}, where each of them gets the rest of it"


def softmax_sum(t: Told) -> tuple[str, str]:
    A, value, axis = t.claim.detail
    over = "each row" if axis else "its rows"
    text = f"{t.it}: in the gradient of the softmax {A} the sum over {over} is wrong or missing"
    return text, f"{t.c}{A} * ({value} - ({A} * {value}).sum(axis={axis}, keepdims=True))"


def norm(t: Told) -> tuple[str, str]:
    value, axis, formula = t.claim.detail
    over = "its rows" if axis == 0 else "each row"
    text = f"{t.it}: a term with a sum over {over} of {value} is wrong or missing, as of a mean, a norm or a variance"
    return text, f"add {t.c}{formula}{t.there}"


# ---------------------------------------------------------------------------------------------------------------------
# A small change of one operation


def changed(text: str) -> Sentence:
    """What is to be written in place of what, and a text that says why, in terms of the two and of the word."""

    def sentence(t: Told) -> tuple[str, str]:
        old, word, new = t.claim.detail
        return f"{t.it}: {text.format(old=old, word=word, new=new)}", f"{new} in place of {old}"

    return sentence


def along(t: Told) -> tuple[str, str]:
    own, other, _ = t.claim.detail
    return f"{t.it}: it goes along axis {own}, and axis {other} is meant", f"axis={other} in place of axis={own}"


def running_sum(t: Told) -> tuple[str, str]:
    text = "the adjoint of a cumulative sum runs the other way: each entry counts in all sums that come after it"
    return f"{t.it}: {text}", t.claim.detail[2]


def factor_beside(text: str) -> Sentence:
    """The same of a length that is 2: it may be just that."""
    plainly = changed(text)

    def sentence(t: Told) -> tuple[str, str]:
        message, repair = plainly(t)
        return f"{message}; {t.claim.detail[1]} is 2 here: is it that, or a plain 2?", repair

    return sentence


def term_beside(t: Told) -> tuple[str, str]:
    old, word, new = t.claim.detail
    text = f"a term is missing beside {old}, or one too many: {word.removeprefix('+')}"
    return f"{t.it}: {text}", f"{new} in place of {old}"


# ---------------------------------------------------------------------------------------------------------------------
# A name that stands for something else


def name_instead(t: Told) -> tuple[str, str]:
    old, new, own, _ = t.claim.detail
    text = f"{old} should be {new} there" if own else f"{new} belongs where {old} stands"
    return f"{t.it}: {text}", f"{new} in place of {old}"


def another_count(t: Told) -> tuple[str, str]:
    old, new, own, formula = t.claim.detail
    text = f"{old} should be {new} there" if own else f"{new} belongs where {old} stands"
    return f"{t.it}: {text}; {formula} is as much here: is it that?", f"{new} in place of {old}, by its sizes"


def another_end(t: Told) -> tuple[str, str]:
    """One more or less is right at these sizes: where a loop has longer steps it may be an end beside it."""
    old, new, _, _ = t.claim.detail
    far = "stops too early" if new.endswith("+ 1") else "goes too far"
    text = f"with {new} for {old} all is right here: is it that, or a loop, a slice or a sum by {old} that {far}?"
    return f"{t.it}: {text}", f"look at every range and slice that {old} ends"


def names_exchanged(t: Told) -> tuple[str, str]:
    old, new, _, _ = t.claim.detail
    return f"{t.it}: {old} and {new} are exchanged: each stands where the other belongs", f"exchange {old} and {new}"


def name_set_anew(t: Told) -> tuple[str, str]:
    old, new, _, _ = t.claim.detail
    return f"{t.it}: {old} is set anew each time, and the sum over all times belongs in it", new


def path_held_constant(t: Told) -> tuple[str, str]:
    place, name = t.claim.detail
    what = f"{name}, {place} of the forward," if name else f"what {place} of the forward computes"
    return f"{t.it}: a path is missing, {what} is held constant", f"add what comes back through {name or 'it'}"


def index_added_once(t: Told) -> tuple[str, str]:
    text = f"{t.it}: += by an index adds only once where a number occurs in it more than once"
    return text, "np.add.at adds all of them"


OF_LINES: dict[str, Sentence] = {
    "another value": another_value,
    "operand alone": operand_alone,
    "operand times": operand_times,
    "another factor": another_factor,
    "another sum": another_sum,
    "fixed term": fixed_term,
    "value forgotten": value_forgotten,
    "value forgotten by all": value_forgotten_by_all,
    "softmax": softmax_sum,
    "norm": norm,
    "changed: operator": changed("{old} stands where {word} belongs"),
    "changed: swapped": changed("its two sides stand the other way round"),
    "changed: axis": along,
    "changed: number": changed("{word} belongs where {old} stands"),
    "changed: alone": changed("{new} alone belongs there, {word} is too much"),
    "changed: turned": changed("{old} belongs there {word}"),
    "changed: mask": changed("the mask {old} is the other way round"),
    "changed: symmetric": changed("that is right for a symmetric {old} alone; its transpose counts as well"),
    "changed: running sum": running_sum,
    "changed: beside": changed("{word} is missing beside {old}"),
    "changed: beside or 2": factor_beside("{word} is missing beside {old}"),
    "changed: too many": changed("{word} is a factor too many beside {old}, or a division by it is missing"),
    "changed: too many or 2": factor_beside("{word} is a factor too many beside {old}, or a division by it is missing"),
    "changed: term": term_beside,
    "changed: instead": changed("{word} belongs where {old} stands"),
    "index added once": index_added_once,
    "detached": path_held_constant,
    "named: turned": name_instead,
    "named: instead": name_instead,
    "named: mask": name_instead,
    "named: count": another_count,
    "named: end": another_end,
    "named: exchanged": names_exchanged,
    "named: set anew": name_set_anew,
}
