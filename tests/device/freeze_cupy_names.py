"""Freeze the names and the keywords of CuPy's interface into cupy_names.json, from an installed CuPy; no GPU is needed.

    pip install cupy-cuda12x
    python tests/device/freeze_cupy_names.py

The lint (test_cupy_names.py) and the stand-in (scratchvae/standin) both read that file.
"""

import inspect
import json
import re
import types
from pathlib import Path

FILE = Path(__file__).parents[2] / "scratchvae" / "standin" / "cupy_names.json"
REFUSED = {"astype": {"casting", "subok"}}  # in the signature, but "not supported yet" when given


def keywords(function):
    """The names of a function's parameters, from its signature or, for compiled code, from its docstring's first line.

    "**" stands for any keyword.

    Example
        >>> def f(self, a, *, b=(1, 2), **others): ...
        >>> keywords(f)
        ['a', 'b', '**']
        >>> f.__signature__, f.__doc__ = "unreadable", "K.f(self, int axis=-1, /, out=None, *, kind='x') -> K"
        >>> keywords(f)
        ['axis', 'out', 'kind']
    """
    try:
        parameters = inspect.signature(function).parameters.values()
        names = ["**" if p.kind is p.VAR_KEYWORD else p.name for p in parameters if p.kind is not p.VAR_POSITIONAL]
    except (TypeError, ValueError):
        first = (function.__doc__ or "").strip().splitlines()[0]
        inside = re.search(r"\((.*)\)", first)
        if inside is None:
            raise ValueError(f"no signature to be read for {function}") from None
        parts = (part.split("=")[0].strip(" \\") for part in inside[1].split(","))
        names = ["**" if p.startswith("**") else p.split()[-1] for p in parts if p == "**" or re.search(r"\w", p)]
        names = [name for name in names if name == "**" or not name.startswith("*")]
    return [name for name in names if name != "self"]


def functions_of(module):
    """name -> keywords of the public functions, and the other public names that are not modules."""
    public = {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}
    public = {name: value for name, value in public.items() if not isinstance(value, types.ModuleType)}
    called = {name: keywords(f) for name, f in public.items() if callable(f) and not isinstance(f, type)}
    return called, sorted(public.keys() - called.keys())


def methods_of(cls):
    """name -> keywords of the public methods, and the other public attributes."""
    public = {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_")}
    called = {
        name: [key for key in keywords(f) if key not in REFUSED.get(name, ())]
        for name, f in public.items()
        if callable(f)
    }
    return called, sorted(public.keys() - called.keys())


def frozen():
    """The interface of the CuPy that is installed here, as the JSON file holds it."""
    import cupy

    functions, others = functions_of(cupy)
    methods, attributes = methods_of(cupy.ndarray)
    return {
        "version": cupy.__version__,
        "functions": functions,
        "others": others,
        "linalg": functions_of(cupy.linalg)[0],
        "methods": methods,
        "attributes": attributes,
        "generator": methods_of(cupy.random.Generator)[0],
    }


def as_text(names):
    """JSON with one function a line, so that a refresh can be read as a difference."""
    parts = []
    for part, value in names.items():
        if isinstance(value, dict):
            lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(keys)}" for name, keys in sorted(value.items()))
            parts.append(f"{json.dumps(part)}: {{\n{lines}\n }}")
        else:
            parts.append(f"{json.dumps(part)}: {json.dumps(value)}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"


if __name__ == "__main__":
    names = frozen()
    FILE.write_text(as_text(names))
    print(f"{FILE.name}: CuPy {names['version']}, {len(names['functions'])} functions, {len(names['methods'])} methods")
