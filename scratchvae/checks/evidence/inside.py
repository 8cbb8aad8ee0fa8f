"""What a model does inside its objective: its terms for chosen x and eps, and the z that it hands to its decoder.

Sizes: B rows, D data, Z latents.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from scratchvae.backend import to_numpy
from scratchvae.checks.report import Finding

NAMES = ("nll", "kl", "elbo", "objective")


class Fault(Exception):
    """Something that ends the check."""

    def __init__(self, name: str, cause: str, message: str, repair: str = "", factor: float | None = None) -> None:
        super().__init__(message)
        self.finding = Finding((name,), cause, message, repair, factor)


class Inside(NamedTuple):
    """The terms, (B,) each, as far as the model has them, elbo always; and every z that its decoder was called for."""

    terms: dict[str, np.ndarray]
    heard: list[np.ndarray]

    @property
    def z(self) -> np.ndarray | None:
        """The last that is one a row, (B, Z), heard at once or row by row."""
        B = len(self.terms["elbo"])
        for z in (self.heard[-1:], self.heard[-B:]):
            if z and all(one.ndim == 2 and one.shape[1] == z[0].shape[1] for one in z) and sum(map(len, z)) == B:
                return np.concatenate(z)
        return None


@contextmanager
def listening(model: Any, heard: list[np.ndarray]) -> Iterator[None]:
    """Within this block heard receives every z that the model decodes, if it lets itself be listened to."""
    decode, own = model.decode, "decode" in getattr(model, "__dict__", {})

    def listener(z: Any, *rest: Any, **named: Any) -> Any:
        heard.append(np.array(to_numpy(z), float))
        return decode(z, *rest, **named)

    try:
        model.decode = listener
    except Exception:  # somebody's class may forbid it
        yield
        return
    try:
        yield
    finally:
        if own:
            model.decode = decode
        else:
            del model.decode


def look_inside(model: Any, x: np.ndarray, eps: np.ndarray) -> Inside:
    """The terms and z for x (B, D) and eps (B, Z) or (K, B, Z), of which copies are handed over.

    Raises    Fault: x or eps is written to, the bound is not one number a row.
    """
    heard: list[np.ndarray] = []
    given = {"x": x, "eps": eps}
    handed = {name: a.copy() for name, a in given.items()}
    try:
        with listening(inner(model), heard):
            out = model.objective(*handed.values())
    except NotImplementedError:
        raise
    except Exception as error:  # somebody's code may do anything
        raise failure(error, len(x)) from error
    for name, a in handed.items():
        if not np.array_equal(a, given[name]):
            text = f"objective writes into {name}, which belongs to the caller, and what comes after sees other numbers"
            raise Fault(name, "mutates-input", text, "make a new array")
    found = named_terms(out)
    bound = "elbo" if "elbo" in found else "objective"
    if bound not in found:
        raise Fault("objective", "unknown", "the terms have neither elbo nor objective", "terms.elbo, a number a row")
    if found[bound].shape != (len(x),):
        text = f"{bound} has the shape {found[bound].shape} for {len(x)} rows, where each row has a bound of its own"
        hint = ": did (B,) meet (B, 1)?" if found[bound].ndim == 2 else ""
        raise Fault(bound, "shape", text + hint, f"({len(x)},): the mean over the batch is taken in the loss")
    found.setdefault("elbo", found[bound])
    return Inside({name: term for name, term in found.items() if term.shape == (len(x),)}, heard)


def named_terms(out: Any) -> dict[str, np.ndarray]:
    """What objective returns: terms, or terms and a cache; terms by field, by key, or the bound alone."""
    terms = out if any(hasattr(out, name) for name in NAMES) or not isinstance(out, tuple | list) else out[0]
    if isinstance(terms, Mapping):
        pairs = {name: terms[name] for name in NAMES if name in terms}
    elif hasattr(terms, "dtype"):
        pairs = {"objective": terms}
    else:
        pairs = {name: getattr(terms, name) for name in NAMES if hasattr(terms, name)}
    return {name: np.array(to_numpy(term), float) for name, term in pairs.items()}


def failure(error: Exception, B: int) -> Fault:
    text = f"objective fails for {B} row{'s' * (B > 1)}, with {type(error).__name__}: {' '.join(str(error).split())}"
    axis = "shape" in text or "axis" in text
    repair = "a term is a number a row: summed over axis 1" if axis else ""
    return Fault("objective", "shape" if axis else "unknown", text, repair)


def logits_of(model: Any, z: np.ndarray) -> Any:
    """What decode returns, alone or beside a cache."""
    out = model.decode(z)
    return out[0] if isinstance(out, tuple | list) else out


def inner(model: Any) -> Any:
    """Where encode and decode are: an objective over a model keeps it as .model."""
    return model if hasattr(model, "decode") else model.model


# ---------------------------------------------------------------------------------------------------------------------
# What has to hold before a bound can be judged


def require_rows_apart(model: Any, x: np.ndarray, eps: np.ndarray) -> None:
    """Nothing, if the terms of a row are the same in a batch and alone, and the same again.

    Raises    Fault: they are not.
    """
    together, *again = (look_inside(model, x, eps).terms for _ in range(4))
    for name, term in together.items():
        if not all(np.array_equal(term, other[name], equal_nan=True) for other in again):
            text = f"the same eps gives another {name}: objective draws noise of its own"
            raise Fault(name, "noise-redrawn", text, "use the eps that is given")
        if not np.isfinite(term).all():
            raise Fault(name, "non-finite", f"{name} is not finite, for x and eps that are")
    rows = [look_inside(model, x[[b]], eps[..., [b], :]).terms for b in range(len(x))]
    for name in ("nll", "kl", "objective", "elbo"):
        if name in together:
            alone = np.concatenate([row[name] for row in rows])  # (B,)
            require_same(name, together[name], alone, averaged(name, together))


def averaged(name: str, terms: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the bound of every row is, (B,), if one of its terms is averaged over the rows."""
    if name not in ("elbo", "objective") or not {"nll", "kl"} <= terms.keys():
        return {}
    nll, kl = terms["nll"], terms["kl"]
    return {
        f"in the {name} of a row the kl is the mean over all rows": -nll - kl.mean(),
        f"in the {name} of a row the nll is the mean over all rows": -nll.mean() - kl,
    }


def require_same(name: str, together: np.ndarray, alone: np.ndarray, known: Mapping[str, np.ndarray]) -> None:
    """Nothing, if a term of the rows of a batch is what each of them has alone, (B,) each."""
    B = len(alone)
    tolerance = 1e-5 * np.maximum(np.abs(alone), 1)
    if (np.abs(together - alone) <= tolerance).all():
        return
    slips: dict[str, tuple[np.ndarray, str, float | None]] = {
        f"the {name} of a row is divided by the number of rows": (alone / B, "factor", 1.0 * B),
        f"the {name} of a row is multiplied by the number of rows": (alone * B, "factor", 1.0 / B),
        f"the logarithm of the number of rows is taken from the {name} of a row": (
            alone - math.log(B),
            "missing-term",
            None,
        ),
        f"the {name} of every row is the mean over all rows": (np.full(B, alone.mean()), "batch-sum", None),
        f"the {name} of every row is the sum over all rows": (np.full(B, alone.sum()), "batch-sum", None),
        **{text: (value, "batch-sum", None) for text, value in known.items()},
    }
    repair = (
        "a term is summed over the pixels or the latents of its row, axis 1; the mean over rows belongs in the loss"
    )
    for text, (value, cause, factor) in slips.items():
        if (np.abs(together - value) <= tolerance * max(1, B)).all():
            raise Fault(name, cause, text, "log K, K the number of draws" if "logarithm" in text else repair, factor)
    if B > 2 and abs(together.sum() - alone.sum()) <= tolerance.sum():
        raise Fault(name, "batch-sum", f"in the {name} of a row a term is the mean over all rows", repair)
    text = f"the {name} of a row changes with the other rows of the batch"
    raise Fault(name, "shape", text, "keep the rows apart: look for a sum, a repeat or a reshape in which they meet")
