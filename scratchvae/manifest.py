"""What a checkpoint says beside its arrays, in words and numbers: written as JSON, and believed field by field.

    format              which edition of this list; a file of another edition says so
    config              model: its sizes, layers and likelihood; training: how it was trained; run: what it was told
    epoch, history      how far it has come: epochs done, and a list a column with an entry an epoch
    optimizer, rng      what it takes to go on, or null

A checkpoint may have been edited, cut, or made to do harm: a field that cannot be true is a ValueError that names it.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scratchvae.arguments import require_positive
from scratchvae.backend import DTYPES
from scratchvae.batches import BINARISE
from scratchvae.npz import brief

NAME, EDITION = "scratchvae checkpoint", 2
FORMAT = f"{NAME} {EDITION}"
A_FUNCTION = "a function"  # what is kept of a schedule that is one
MOST = 2**53  # of anything counted here: up to there a whole number is a float too

GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")  # NumPy's
POSITIONS = {"pos": 624, "buffer_pos": 4, "has_uint32": 1}  # largest; NumPy reads beyond its buffer if it is told to


def as_plain(value: Any, name: str) -> Any:
    """value as JSON will give it back: NumPy's numbers and arrays become Python's, tuples become lists.

    Raises    ValueError: something that JSON has no word for.
    """
    try:
        return json.loads(json.dumps(value, default=lambda array: array.tolist(), allow_nan=False))
    except (TypeError, ValueError, AttributeError, RecursionError):
        raise ValueError(
            f"{name} should be words and finite numbers, which JSON can hold, got {brief(repr(value))}"
        ) from None


def content_hash(arrays: Mapping[str, np.ndarray]) -> str:
    """The sha256 of names, dtypes, shapes and bytes, in hex: one changed number makes it another."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)  # in C's order, wherever they lie
    return digest.hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# What a field must be: each of these raises a ValueError if it is not


def whole(value: Any, name: str, least: int = 0, most: int = MOST) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} should be a whole number from {least} to {most}, got {brief(repr(value), 60)}")


def count(value: Any, name: str) -> None:
    whole(value, name, least=1)


def positive(value: Any, name: str) -> None:
    finite(value, name)
    require_positive(value, name)


def finite(value: Any, name: str) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{name} should be a finite number, got {brief(repr(value), 60)}")


def text(value: Any, name: str) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name} should be a word, got {brief(repr(value), 60)}")


def entries(value: Any, name: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{name} should have named entries, got {brief(repr(value), 60)}")


def named(value: Any, name: str) -> None:
    entries(value, name)
    text(value.get("name"), f"the name of the {name}")


def one_of(words: tuple[str, ...]) -> Callable[[Any, str], None]:
    def check(value: Any, name: str) -> None:
        if value not in words:
            raise ValueError(f"{name} should be one of {', '.join(words)}, got {brief(repr(value), 60)}")

    return check


def or_null(like: Any) -> Callable[[Any, str], None]:
    def check(value: Any, name: str) -> None:
        if value is not None:
            require_like(value, like, name)

    return check


def steps_or_function(value: Any, name: str) -> None:
    if value != A_FUNCTION:
        or_null([(whole, positive)])(value, name)


def require_like(value: Any, like: Any, name: str) -> None:
    """What like, a function from above, lets pass; where like is a dict, one with its fields, each like there.

    [count] stands for a list of any length, (whole, positive) for a list of two.
    """
    if isinstance(like, dict):
        entries(value, name)
        if value.keys() != like.keys():
            raise ValueError(f"{name} should have the entries {', '.join(like)}, got {brief(', '.join(value))}")
        for field in like:
            require_like(value[field], like[field], field)
    elif isinstance(like, list | tuple):
        if not isinstance(value, list) or (isinstance(like, tuple) and len(value) != len(like)):
            length = f" of {len(like)}" if isinstance(like, tuple) else ""
            raise ValueError(f"{name} should be a list{length}, got {brief(repr(value), 60)}")
        for entry, entry_like in zip(value, like if isinstance(like, tuple) else like * len(value), strict=True):
            require_like(entry, entry_like, f"an entry of {name}")
    else:
        like(value, name)


# ---------------------------------------------------------------------------------------------------------------------
# What it all must be

MODEL = {
    "kind": text,  # whether a name is known is for `checkpoint` to say
    "n_x": count,
    "n_hidden": [count],
    "n_z": count,
    "layers": [text],
    "likelihood": named,
    "dtype": one_of(DTYPES),
}
TRAINING = {  # as far as it is there: a model that was saved by hand has none of it
    "batch_size": count,
    "beta": finite,
    "warmup": whole,
    "binarise": one_of(BINARISE),
    "objective": or_null(entries),
    "data": text,
    "schedule": steps_or_function,
}
MANIFEST = {
    "format": text,
    "config": {"model": MODEL, "training": entries, "run": entries},
    "epoch": whole,
    "history": entries,
    "optimizer": or_null({"config": named, "lr": positive, "steps": whole}),
    "rng": or_null(entries),
}


def check_manifest(manifest: Any) -> None:
    """A ValueError, in one line, for the first field that cannot be true."""
    require_like(manifest, MANIFEST, "the manifest")
    training, epoch = manifest["config"]["training"], manifest["epoch"]
    for name in [name for name in TRAINING if name in training]:
        require_like(training[name], TRAINING[name], name)
    for name, column in manifest["history"].items():
        require_like(column, [finite], f"the column {brief(name, 60)}")
        if not name.isidentifier() or len(column) != epoch:
            raise ValueError(f"a column should have a name and {epoch} entries, got {len(column)} in {brief(name, 60)}")
    if manifest["rng"] is not None:
        check_generator(manifest["rng"])
    as_plain(manifest["config"], "config")  # NaN and infinity, which Python's JSON reads, in entries without a pattern
    as_plain(manifest["optimizer"], "optimizer")


def check_generator(state: dict[str, Any]) -> None:
    """One of NumPy's generators takes this state, whose fields and lists, which NumPy trusts, are like its own."""
    one_of(GENERATORS)(state.get("bit_generator"), "bit_generator")
    generator = getattr(np.random, state["bit_generator"])()
    require_like(state, as_state(generator.state), "rng")
    generator.state = state


def as_state(example: Any, name: str = "rng") -> Any:
    """What a generator's state must be like: the example's fields, lists of the same lengths, positions in range."""
    if isinstance(example, Mapping):
        return {key: as_state(value, key) for key, value in example.items()}
    if isinstance(example, np.ndarray):
        return tuple(as_state(entry) for entry in example)
    if isinstance(example, str):
        return text
    return lambda value, name_: whole(value, name_, most=POSITIONS.get(name, 2**128 - 1))
