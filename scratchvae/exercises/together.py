"""Functions of a page that call each other: the reader's where they pass, the course's where they do not."""

from types import FunctionType
from typing import Any

from scratchvae.exercises.check import blank_of, use


class Together:
    """`together = Together("own", globals())`, and then `together.go_on("encode", "decode")`.

    From there on these names mean the reader's function if its check passes, and the course's otherwise. The
    course's finds the page's names, so that it calls the reader's functions where there are some: no line of the
    reader's is passed over. Printed, it says whose functions run.
    """

    def __init__(self, page: str, names: dict[str, Any]) -> None:
        self.page, self.names = page, names
        self.written: dict[str, Any] = {}  # by the reader
        self.running: dict[str, Any] = {}
        self.readers: list[str] = []

    def go_on(self, *blanks: str) -> None:
        """Choose for each of these; a second time, too, after something was written anew."""
        for blank in blanks:
            if self.names[blank] is not self.running.get(blank):
                self.written[blank] = self.names[blank]
            name = f"{self.page}.{blank}"
            chosen = use(name, self.written[blank])
            self.readers = [one for one in self.readers if one != blank]
            if chosen is blank_of(name).solution:
                chosen = FunctionType(chosen.__code__, self.names, blank)
            else:
                self.readers.append(blank)
            self.names[blank] = self.running[blank] = chosen

    def __str__(self) -> str:
        lines = [f"{len(self.readers)} of {len(self.running)} functions that run are yours"]
        course = [blank for blank in self.running if blank not in self.readers]
        if self.readers and course:
            lines.append("the course's: " + ", ".join(course))
        return "; ".join(lines)
