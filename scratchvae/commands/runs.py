"""Run folders: what they are called, and what a stopped run was started with."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

CONFIG = "config.json"
MAY_CHANGE = ("epochs", "lr", "backend")  # on resuming; anything else would make it another run


def default_folder(options: dict[str, Any], resume: bool) -> Path:
    """runs/<data>-<model>-<latent>, then the same with -run2, -run3, ...: the first free one, or the last there is."""
    base = f"{Path(options['data']).stem}-{options['model']}-{options['latent']}"
    taken = [1 if match[1] is None else int(match[1]) for match in numbered_runs(base)]
    number = max(taken, default=1 if resume else 0) + (0 if resume else 1)
    return Path("runs") / (base if number == 1 else f"{base}-run{number}")


def numbered_runs(base: str) -> list[re.Match[str]]:
    names = [path.name for path in Path("runs").glob(f"{base}*")] if Path("runs").is_dir() else []
    return [match for name in names if (match := re.fullmatch(rf"{re.escape(base)}(?:-run(\d+))?", name))]


def stored_options(out: Path, given: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """What the run in out was started with; none if there is no run yet.

    Raises    ValueError: a config.json of something else, or an option given that makes it another run.
    """
    file = out / CONFIG
    if not file.exists():
        return {}
    try:
        stored = json.loads(file.read_text())
        options = {name: stored[name] for name in names}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"--resume needs the {CONFIG} of a run, and {file} is not one; choose another --out") from None
    for name, value in given.items():
        if name not in MAY_CHANGE and value != options[name]:
            raise ValueError(
                f"--resume needs the options of the stopped run: --{name.replace('_', '-')} was {options[name]}, "
                f"got {value}; leave it out, or train into a new folder"
            )
    return options
