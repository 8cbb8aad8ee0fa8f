"""The rows of the ledger: a folder each, with config.json, and beside it measured.json once it has been run."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from scratchvae.run_folder import write_whole

ROWS = Path("results/reproduction")  # in a checkout, seen from its root
CONFIG, MEASURED = "config.json", "measured.json"


class Row(NamedTuple):
    """One row: its folder and what stands in config.json."""

    folder: Path
    config: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def measured(self) -> dict[str, Any] | None:
        """What the last run of it found; None if there was none."""
        file = self.folder / MEASURED
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    def write(self, measured: dict[str, Any]) -> Path:
        """Keep what a run found, in place of what an earlier one did."""
        file, text = self.folder / MEASURED, json.dumps(measured, indent=2) + "\n"
        write_whole(file, lambda stream: stream.write(text.encode()))
        return file


def rows(where: Path = ROWS) -> list[Row]:
    """Every row, in the order of the ledger.

    Raises    ValueError: no ledger there.
    """
    if not where.is_dir():
        raise ValueError(f"the rows are in {where} of a checkout, and it is not here; change to the checkout's root")
    found = [Row(file.parent, json.loads(file.read_text(encoding="utf-8"))) for file in where.glob(f"*/{CONFIG}")]
    return sorted(found, key=lambda row: (row.config["place"], row.name))


def row(name: str, where: Path = ROWS) -> Row:
    """The row of that name.

    Raises    ValueError: there is none, with those that there are.
    """
    every = {row.name: row for row in rows(where)}
    if name not in every:
        raise ValueError(f"NAME should be one of {', '.join(every)}, got {name!r}")
    return every[name]
