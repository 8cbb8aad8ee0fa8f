"""Results as a Markdown table and as JSON, with the machine in words, the date, and the command that repeats them."""

import datetime
import json
import os
import platform
import shlex
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return low, middle, high


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round: the two numbers of a ratio met the same weather."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The median (lower to upper quartile), as text."""
    low, middle, high = quartiles(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def verdict(ratio: float, target: float) -> str:
    """Whether a target was reached, as text."""
    return f"at most {target:g}: {'reached' if ratio <= target else 'NOT reached'}"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; every column but the first is aligned to the right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def machine() -> dict[str, str]:
    """The machine and the libraries, in words: no host name, no path."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index]
    return {
        "processor": processor_name(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "NumPy": f"{np.__version__} with {blas['name']} {blas['version']}",
    }


def processor_name() -> str:
    """The model as the system gives it, with the widest vector instructions that NumPy found."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    simd = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])  # type: ignore[index]
    return f"{names[0] if names else platform.processor() or platform.machine()} ({simd[-1] if simd else 'baseline'})"


def load() -> float:
    """How many processes wanted a core, on average over the last minute."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else float("nan")


def write(out: str | None, title: str, text: str, results: dict[str, Any], before: float, **versions: str) -> None:
    """Print text under its title, and write it to out.md, and with the results to out.json."""
    command = shlex.join(["python", Path(sys.argv[0]).parent.name + "/" + Path(sys.argv[0]).name, *sys.argv[1:]])
    date, words = datetime.date.today().isoformat(), machine() | versions
    stands = ", ".join(f"{name} {value}" for name, value in words.items())
    foot = f"{stands}. Load (processes that wanted a core) before and after: {before} and {load()}. {date}."
    page = f"# {title}\n\n{text}\n\n{textwrap.fill(foot, 120)}\n\n    {command}\n"
    print(page)
    if out is not None:
        file = Path(out)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".md").write_text(page)
        everything = {"command": command, "date": date, "machine": words, "load": [before, load()], **results}
        file.with_suffix(".json").write_text(json.dumps(everything, indent=1) + "\n")
