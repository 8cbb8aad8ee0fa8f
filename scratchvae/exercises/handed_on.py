"""What a page goes on with: the reader's values, in the form in which the solution has them."""

from collections.abc import Callable, Mapping
from functools import wraps
from numbers import Number
from typing import Any

import numpy as np

from scratchvae.exercises.blank import Blank, in_order


def as_the_solution(answer: Callable[..., Any], blank: Blank, rng: np.random.Generator) -> Callable[..., Any]:
    """The answer, with lists made arrays, several values made a tuple, and a tuple of one value taken apart."""
    model = blank.solution(*blank.arguments(rng))
    models = list(model) if isinstance(model, tuple) else [model]

    @wraps(answer)
    def handed_on(*arguments: Any, **named: Any) -> Any:
        values = in_order(answer(*arguments, **named), len(models))
        if len(values) != len(models):
            return tuple(values)
        formed = [in_the_form_of(*pair) for pair in zip(models, values, strict=True)]
        return tuple(formed) if isinstance(model, tuple) else formed[0]

    return handed_on


def in_the_form_of(model: Any, value: Any) -> Any:
    """An array or a number of the kind that model is of, or several by name; another library's stays as it is."""
    if isinstance(model, Mapping) and isinstance(value, Mapping):
        return {name: in_the_form_of(one, value[name]) if name in value else one for name, one in model.items()}
    if not isinstance(value, list | tuple | np.ndarray | Number):
        return value
    try:
        array, kind = np.asarray(value), np.asarray(model).dtype.kind
    except (TypeError, ValueError):  # why: a list of arrays that lie on a device
        return value
    if array.dtype.kind == "c":
        array = array.real
    if array.dtype.kind != kind and (kind in "fb" or array.dtype.kind == "O"):
        array = array.astype(np.asarray(model).dtype)
    if array.ndim:
        return array
    return array[()] if isinstance(model, np.ndarray | np.generic) else array.item()
