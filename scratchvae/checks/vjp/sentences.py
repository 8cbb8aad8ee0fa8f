"""A constant factor, in words: where it usually comes from and what to do."""

from collections.abc import Mapping

from scratchvae.checks.vjp.case import EXPLAINED, Verdict

USUAL = {
    2.0: ("half of what it should be", "a factor 2 is missing, or there is a 1/2 too many"),
    0.5: ("twice what it should be", "a factor 1/2 is missing"),
    4.0: ("a quarter of what it should be", "look for two factors 1/2 too many"),
    0.25: ("four times what it should be", "look for two missing factors 1/2"),
}
WRONG_SIGN = "has the wrong sign: somewhere a minus is missing, or is there twice"


def number(c: float) -> str:
    """c as the front of a product: nothing for 1, a minus for -1, else the number and a star."""
    for value, text in ((1.0, ""), (-1.0, "-"), (0.5, "1/2 * "), (-0.5, "-1/2 * ")):
        if abs(c - value) < EXPLAINED:
            return text
    return f"{c:.6g} * "


def factor_sentence(c: float, sizes: Mapping[str, int]) -> str:
    """What is wrong with something, if it has to be multiplied by c, given the sizes in play by name."""
    if abs(c + 1) < EXPLAINED:
        return WRONG_SIGN
    size, front = abs(c), "has the wrong sign, and is " if c < 0 else "is "
    for value, (text, why) in USUAL.items():
        if abs(size - value) < EXPLAINED * value:
            return f"{front}{text}: {why}{also_a_size(size, sizes)}"
    for name, n in sizes.items():
        if n > 1 and abs(size - n) < EXPLAINED * n:
            why = "a mean was taken where a sum belongs"
            if name == "B":
                why = "the mean over the batch was taken once too often; take it in the loss only"
            return f"{front}1/{name} of what it should be ({name} = {n}): {why}"
        if n > 1 and abs(size * n - 1) < EXPLAINED:
            why = "a division by B is missing" if name == "B" else "a sum was taken where a mean belongs"
            return f"{front}{name} times what it should be ({name} = {n}): {why}"
    for name, n in sizes.items():
        if abs(size * n - 2) < EXPLAINED:
            return f"{front}{name} / 2 times what it should be ({name} = {n}): a mean is missing, and a factor 2"
        if abs(size / n - 0.5) < EXPLAINED:
            return f"{front}2 / {name} of what it should be ({name} = {n}): a mean too many, and a factor 2 too many"
    return f"{front}{1 / size:.6g} times what it should be, in every entry: look for a constant {number(size)[:-3]}"


def also_a_size(size: float, sizes: Mapping[str, int]) -> str:
    """The batch size is sometimes 2 or 4: then both readings fit."""
    B = sizes.get("B", 0)
    if B in (2, 4) and min(abs(size - B), abs(size * B - 1)) < EXPLAINED:
        return f" (or it is the batch size, which is {B} here; check with another)"
    return ""


def times(verdict: Verdict, c: float) -> Verdict:
    """A verdict that holds up to a constant: the constant becomes its second cause."""
    if abs(c - 1) < EXPLAINED:
        return verdict
    also = "sign" if abs(c + 1) < EXPLAINED else "factor"
    return verdict._replace(also=also, factor=c, message=f"{verdict.message}; and multiply by {c:.6g}")
