"""How far the reader is: kept while the page runs, and, if asked for, in a small file beside it for tomorrow."""

import json
from pathlib import Path

RANK = ("not written yet", "wrong", "passed")


class Progress:
    """The best state of every blank so far, and how many hints were read."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.hints: dict[str, int] = {}
        self.file: Path | None = None

    def note(self, blank: str, state: str) -> None:
        """A blank that has passed stays passed."""
        if RANK.index(state) > RANK.index(self.states.get(blank, RANK[0])):
            self.states[blank] = state
            self.save()

    def keep(self, file: str | Path) -> None:
        """Go on from what the file says, if it is there, and write to it from now on.

        Raises    ValueError: it is there, and was not written by this.
        """
        path = Path(file)
        if path.exists():
            try:
                earlier = {name: RANK[RANK.index(state)] for name, state in json.loads(path.read_text()).items()}
            except (ValueError, AttributeError):
                raise ValueError(f"{file} should be a file of progress, and is another one: give a new name") from None
            for blank, state in earlier.items():
                self.note(blank, state)
        self.file = path
        self.save()

    def save(self) -> None:
        if self.file is not None:
            self.file.write_text(json.dumps(self.states, indent=1))

    def line(self, page: str, blanks: list[str]) -> str:
        """gradients ●●○ 2 of 3"""
        done = [self.states.get(f"{page}.{blank}") == "passed" for blank in blanks]
        return f"{page} {''.join('●' if one else '○' for one in done)} {sum(done)} of {len(done)}"


PROGRESS = Progress()
