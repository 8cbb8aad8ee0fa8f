"""Run folders: what they are called, and what a stopped run was started with."""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scratchvae import __version__

CONFIG = "config.json"
MAY_CHANGE = ("epochs", "lr", "backend")  # on resuming; anything else would make it another run


def default_folder(options: dict[str, Any], resume: bool) -> Path:
    """runs/<data>-<model>-<latent>, then the same with -run2, -run3, ...: the first free one, or the last there is."""
    base = f"{Path(options['data']).stem}-{options['model']}-{options['latent']}"
    taken = [1 if match[1] is None else int(match[1]) for match in numbered_runs(base)]
    number = max(taken, default=1 if resume else 0) + (0 if resume else 1)
    return Path("runs") / (base if number == 1 else f"{base}-run{number}")


def numbered_runs(base: str) -> list[re.Match[str]]:
    names = [path.name for path in Path("runs").iterdir()] if Path("runs").is_dir() else []
    return [match for name in names if (match := re.fullmatch(rf"{re.escape(base)}(?:-run(\d+))?", name))]


def save_config(out: Path, options: dict[str, Any]) -> None:
    """Write the options of a run into its folder, made if need be."""
    out.mkdir(parents=True, exist_ok=True)
    (out / CONFIG).write_text(json.dumps({"scratchvae": __version__, **options}, indent=2) + "\n")


def stored_options(
    out: Path, given: dict[str, Any], add_arguments: Callable[[argparse.ArgumentParser], None]
) -> dict[str, Any]:
    """What the run in out was started with, through the same checks as the command line; nothing if there is no run.

    Raises    ValueError: a config.json of something else, or an option given that makes it another run.
    """
    file = out / CONFIG
    if not file.exists():
        return {}
    try:
        stored = json.loads(file.read_text())
    except ValueError:
        stored = None
    if not isinstance(stored, dict) or "scratchvae" not in stored:
        raise ValueError(f"--resume needs the {CONFIG} of a run, and {file} is not one; choose another --out")
    words = {name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in stored.items()}
    argv = [f"--{name.replace('_', '-')}={word}" for name, word in words.items() if name != "scratchvae"]
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    try:
        options = {name: value for name, value in vars(parser.parse_args(argv)).items() if name in stored}
    except argparse.ArgumentError as error:
        raise ValueError(f"--resume needs the {CONFIG} that train wrote, and {file} was changed: {error}") from None
    for name, value in given.items():
        if name not in MAY_CHANGE and value != options.get(name):
            raise ValueError(
                f"--resume needs the options of the stopped run: --{name.replace('_', '-')} was {options.get(name)}, "
                f"got {value}; leave it out, or train into a new folder"
            )
    return options
