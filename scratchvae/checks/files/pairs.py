"""Which forwards and backwards a module holds: functions, static methods, and classes of layers and losses."""

import functools
import inspect
from collections.abc import Callable, Iterator
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from scratchvae.checks.files.names import is_upstream, partners

METHODS: tuple[tuple[str, str], ...] = (
    ("forward", "backward"),
    ("__call__", "backward"),
    ("forward", "gradient"),
    ("forward", "grad"),
)
METHODS += (("__call__", "gradient"), ("__call__", "grad"), ("loss", "gradient"), ("loss", "grad"))
CONTEXT = ("ctx", "context")  # the first argument of a Function, where its forward keeps what its backward needs
CACHES = ("cache", "caches", "saved", "ctx", "context", "tape")


class Written(NamedTuple):
    """A forward and its backward, as somebody wrote them."""

    title: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    kind: str  # function; context: they share an object; layer: they are methods of one
    owner: type | None
    line: int

    @property
    def is_base(self) -> bool:
        """Is it a class that others are made from?"""
        return self.owner is not None and bool(self.owner.__subclasses__())

    @property
    def is_derivative(self) -> bool:
        """Does the backward take what the forward takes: f'(x), not dy f'(x)?"""
        names = list(required(self.backward))
        if any(is_upstream(n) or n.lower() in CACHES for n in names if n not in arguments(self.forward)):
            return False
        return "back" not in self.backward.__name__ and bool(names) and len(names) == len(required(self.forward))


def mentioned(pair: Written) -> set[str]:
    """The names in the code of a pair, of a layer in all its methods, and in what is written inside of them."""
    written = [pair.forward, pair.backward, *(vars(pair.owner).values() if pair.owner else ())]
    codes = [code for each in written if (code := getattr(inspect.unwrap(each), "__code__", None)) is not None]
    found: set[str] = set()
    while codes:
        code = codes.pop()
        found |= set(code.co_names)
        codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
    return found


class Context:
    """What a Function's forward and backward share: save_for_backward, saved_tensors, and attributes."""

    saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *values: Any) -> None:
        self.saved_tensors = values

    @property
    def saved_values(self) -> tuple[Any, ...]:
        return self.saved_tensors


@functools.lru_cache(maxsize=256)
def parameters(function: Callable[..., Any]) -> tuple[inspect.Parameter, ...]:
    """In order; none, if it is compiled."""
    try:
        return tuple(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return ()


def arguments(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """By name, without self and ctx. Of *xs there is one."""
    method = getattr(function, "__func__", None)
    found = parameters(method or function)
    if found and (method or found[0].name in ("self", "cls", *CONTEXT)):
        found = found[1:]
    return {p.name: p for p in found if p.kind is not p.VAR_KEYWORD}


def required(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Those without a default."""
    return {name: p for name, p in arguments(function).items() if p.default is p.empty}


def called(function: Callable[..., Any], values: dict[str, Any]) -> Any:
    """function of these values: by place as far as all are there, the rest by name."""
    front, rest = [], dict(values)
    for name, p in arguments(function).items():
        if name not in rest or p.kind is p.KEYWORD_ONLY:
            break
        front.append(rest.pop(name))
    return function(*front, **rest)


def pairs(module: ModuleType) -> list[Written]:
    """All that can be found, in the order of the file."""
    own = {n: v for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__}
    functions = {n: f for n, f in own.items() if callable(f) and not inspect.isclass(f)}
    found = list(of_functions(functions))
    for owner in [c for c in own.values() if inspect.isclass(c) and not inspect.isabstract(c)]:
        found += of_class(owner)
    return sorted(found, key=lambda pair: pair.line)


def line_of(thing: Any) -> int:
    """Where it is defined."""
    try:
        return inspect.getsourcelines(inspect.unwrap(thing))[1]
    except (OSError, TypeError):
        return 0


def of_functions(functions: dict[str, Callable[..., Any]], owner: type | None = None) -> Iterator[Written]:
    """The pairs among functions. What only looks like a derivative by its name must take what the function takes."""
    for title, forward, backward in partners(functions):
        if owner is not None:
            title = f"{owner.__name__}.{title}" if (forward, backward) != METHODS[0] else owner.__name__
        kind = "context" if takes_context(functions[forward]) else "function"
        pair = Written(title, functions[forward], functions[backward], kind, owner, line_of(functions[forward]))
        sure = "back" in backward.lower() or "bwd" in backward.lower()
        if sure or pair.is_derivative or any(n in CACHES or is_upstream(n) for n in required(pair.backward)):
            yield pair


def takes_context(function: Callable[..., Any]) -> bool:
    return next(iter(inspect.signature(function).parameters), "") in CONTEXT


def of_class(owner: type) -> Iterator[Written]:
    """The static pairs of a class; else its methods, if it has a forward and a backward."""
    attributes = {n: inspect.getattr_static(owner, n) for n in dir(owner) if not n.startswith("_")}
    free = {n: getattr(owner, n) for n, f in attributes.items() if isinstance(f, staticmethod | classmethod)}
    found = list(of_functions(free, owner))
    yield from found
    if found:
        return
    for forward, backward in METHODS:
        methods = getattr(owner, forward, None), getattr(owner, backward, None)
        if all(inspect.isfunction(method) for method in methods):
            yield Written(owner.__name__, *methods, "layer", owner, line_of(owner))  # type: ignore[arg-type]
            return


def looked_for(module: ModuleType) -> str:
    """What a file without pairs holds, for the complaint."""
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__ and callable(v)]
    return ", ".join(own[:8]) or "no functions"
