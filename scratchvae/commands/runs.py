"""Run folders on the command line: which folder a run gets, and what a stopped run was started with."""

import argparse
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scratchvae.npz import brief
from scratchvae.run_folder import CHECKPOINT, CONFIG, LOCK, RunFolder, holds_a_run

MAY_CHANGE = ("epochs", "lr", "backend", "threads", "data")  # on resuming; of data the place, their fingerprint may not
MAY_BE_NONE = ("sigma", "activation", "layers")  # where they have no part in the run
LONGEST = 200  # bytes of a name; most file systems hold 255, and a number comes behind


@contextmanager
def claimed(out: str | None, options: dict[str, Any]) -> Iterator[RunFolder]:
    """The folder of a new run, for as long as it is written to. If nothing comes of it, what was made for it goes too.

    Raises    ValueError: out is no free folder, or in use.
    """
    path = Path("runs" if out is None else out)
    made = [parent for parent in (path, *path.parents) if not parent.exists()]  # the deepest first
    with claim(out, options) as folder:
        try:
            yield folder
        finally:
            made = made if out is not None else [folder.path, *made]
            if made and not folder.holds_a_run():
                with suppress(OSError):  # why: somebody may have put something there meanwhile; then it stays
                    (folder.path / LOCK).unlink()
                    for empty in made:
                        empty.rmdir()


def claim(out: str | None, options: dict[str, Any]) -> RunFolder:
    """The folder of a new run, held: out, or the next free one of its default names, which nobody else gets.

    Raises    ValueError: out is no free folder, or in use.
    """
    if out is not None:
        folder = RunFolder(out)
        try:
            require_free(Path(out))  # why: once more, now that it is held; another run may have been faster
        except ValueError:
            folder.close()
            raise
        return folder
    number = 1 + max(numbered_runs(base := default_name(options)), default=0)
    while True:
        path = Path("runs") / (base if number == 1 else f"{base}-run{number}")
        try:
            path.mkdir(parents=True)  # why: of many processes that ask at once, mkdir tells one only that it made it
        except FileExistsError:
            number += 1
        else:
            return RunFolder(path)


def require_free(path: Path) -> None:
    """A new run may have a folder that is not there yet, or holds nothing but what a run stopped at once leaves.

    Raises    ValueError: a file, a folder with a run in it, one with other files.
    """
    if not path.is_dir():
        if path.exists() or path.is_symlink():
            raise ValueError(f"--out should be a folder, got the file {path}; choose another")
        return
    names = sorted(entry.name for entry in path.iterdir())
    if holds_a_run(path):
        raise ValueError(
            f"--out should be a folder without a run in it, got {path}; choose another, or go on with that by --resume"
        )
    others = [name for name in names if not name.startswith(".") and not name.endswith(".part")]
    if others:
        raise ValueError(
            f"--out should be a new or an empty folder, got {path}, which holds {others[0]}; choose another"
        )


def default_name(options: dict[str, Any]) -> str:
    """<data>-<model>-<latent>, with a long name of data cut short, and what no terminal shows replaced."""
    stem = Path(os.path.abspath(options["data"])).stem or "data"
    stem = "".join(character if character.isprintable() else "_" for character in stem)
    stem = stem.encode()[:LONGEST].decode(errors="ignore")
    return f"{stem}-{options['model']}-{options['latent']}"


def numbered_runs(base: str) -> dict[int, Path]:
    """The folders called base, base-run2, base-run3, ... by their number."""
    paths = list(Path("runs").iterdir()) if Path("runs").is_dir() else []
    matches = [(re.fullmatch(rf"{re.escape(base)}(?:-run(\d+))?", path.name), path) for path in paths]
    return {1 if match[1] is None else int(match[1]): path for match, path in matches if match}


def stopped_folder(out: str | None, options: dict[str, Any]) -> Path:
    """The folder of the run that is to go on: out, or the last one of its default names.

    Raises    ValueError: there is none.
    """
    if out is None:
        base = default_name(options)
        runs = {number: path for number, path in numbered_runs(base).items() if holds_a_run(path)}
        if not runs:
            raise ValueError(f"--resume goes on with a run, and there is none called runs/{base}; say which with --out")
        return runs[max(runs)]
    path = Path(out).parent if Path(out).name == CHECKPOINT and Path(out).is_file() else Path(out)
    if not path.is_dir() or not holds_a_run(path):
        what = "holds none" if path.is_dir() else "is a file" if path.exists() else "is not there"
        raise ValueError(f"--resume needs the folder of a run, and {path} {what}; check --out")
    return path


# -- what it was started with ------------------------------------------------------------------------------------------


def read_config(folder: Path) -> dict[str, Any] | None:
    """The options in config.json; None where there is no such file, or another one."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8")) if (folder / CONFIG).is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(config, dict) or not {"scratchvae", "data", "seed"} <= config.keys():
        return None
    return {name: value for name, value in config.items() if name != "scratchvae"}


def config_differs(folder: Path, options: dict[str, Any]) -> str:
    """How config.json departs from the options of the checkpoint, in words; nothing if it does not."""
    config = read_config(folder)
    if config is None:
        return "is missing" if not (folder / CONFIG).exists() else "is not that of a run"
    names = [name for name in {**options, **config} if config.get(name) != options.get(name)]
    said = [f"{name} {in_words(config.get(name))}, not {in_words(options.get(name))}" for name in names]
    return f"says {brief('; '.join(said))}" if names else ""


def checked_options(
    stored: dict[str, Any], file: Path, add_arguments: Callable[[argparse.ArgumentParser], None]
) -> dict[str, Any]:
    """Stored options through the same checks as those of the command line.

    Raises    ValueError: something that train cannot have written.
    """
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    known = {name: stored[name] for name in vars(parser.parse_args([])) if name in stored}
    words = [
        f"--{name.replace('_', '-')}={in_words(value)}"
        for name, value in known.items()
        if value is not None or name not in MAY_BE_NONE
    ]
    try:
        options = vars(parser.parse_args(words))
    except argparse.ArgumentError as error:
        raise ValueError(
            f"--resume needs the options that train wrote, and {file} was changed: {brief(error)}; train again"
        ) from None
    return {name: options[name] for name in known} | {"data_path": stored.get("data_path")}


def require_the_same(given: dict[str, Any], stored: dict[str, Any]) -> None:
    """What is said again on resuming has to be what it was.

    Raises    ValueError: an option that makes it another run.
    """
    for name, value in given.items():
        if name not in MAY_CHANGE and value != stored.get(name):
            was = "not given" if stored.get(name) is None else in_words(stored[name])
            raise ValueError(
                f"--resume needs the options of the stopped run: --{name.replace('_', '-')} was {was}, "
                f"got {in_words(value)}; leave it out, or train into a new folder"
            )


def in_words(value: Any) -> str:
    """A value as it is written on the command line."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
