"""What a page is made of, in its Markdown and in the HTML that a reader gets: formulas, items of lists, the rest."""

import re
from html.parser import HTMLParser

FENCE = re.compile(r"^(?P<in>[> ]*)```(\w*)\n(.*?)\n(?P=in)```$", re.M | re.S)
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.S)
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$", re.S)
ITEM = re.compile(r"^(?:> ?)*\s*(?:[-+*]|\d{1,9}[.)]) ")
RAW = re.compile(r"\$|\\[A-Za-z]+|\\[\\{},;!|]|[_^]\{")  # what only a formula has


def plain(text: str, swallow: str = "") -> str:
    """The Markdown without its code; formulas in ```math fences as $$."""
    text = FENCE.sub(lambda fence: f"$${fence[3]}$$" if fence[2] == "math" else swallow, text)
    return CODE.sub(swallow, text)


def squeezed(formula: str) -> str:
    """A formula without what may differ between renderers: blanks, and the wrapper that Sphinx puts around lines."""
    return re.sub(r"\s+|\\(?:begin|end)\{split\}", "", formula)


def formulas(text: str) -> list[str]:
    """Every formula of a text that has no code in it, in order."""
    return [squeezed(display or inline) for display, inline in FORMULA.findall(text)]


def items(text: str) -> int:
    """How many lines of a Markdown text, outside its formulas, begin an item of a list."""
    return sum(bool(ITEM.match(line)) for line in FORMULA.sub("f", plain(text)).splitlines())


def accidents(text: str) -> list[str]:
    """Lines inside a paragraph that begin like an item: `1. ` or `- ` at the start of a line that was wrapped there.

    A list may follow a line without a blank one between them where that line ends with : or with **.
    """
    found, before = [], ""
    for line in FORMULA.sub("f", plain(text)).splitlines():
        bare = before.removeprefix(">").strip()
        if ITEM.match(line) and bare and not bare.endswith((":", "**")) and not inside(before):
            found.append(line)
        before = f"- {line}" if line.strip() and not ITEM.match(line) and inside(before) else line
    return found


def inside(line: str) -> bool:
    """Whether a line belongs to an item: it begins one, or goes on with one."""
    return bool(ITEM.match(line))


class Shown(HTMLParser):
    """The text of a page outside its code, its formulas, and how many items its lists have."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.items, self.skipped, self.math = "", 0, [], ""
        self.formulas: list[str] = []  # of those that an element marks
        self.feed(html)
        self.formulas += formulas(self.text)
        self.rest = FORMULA.sub("", self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = (dict(attrs).get("class") or "").split()
        self.items += tag == "li"
        if self.skipped or tag in ("pre", "code", "script", "style") or "math" in classes:
            if not self.skipped:
                self.math = "" if "math" in classes else None
            self.skipped.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.skipped and self.skipped[-1] == tag:
            self.skipped.pop()
            if not self.skipped and self.math is not None:
                self.formulas.append(squeezed(re.sub(r"^\\[(\[]|\\[)\]]$", "", self.math.strip())))

    def handle_data(self, data: str) -> None:
        if not self.skipped:
            self.text += data
        elif self.math is not None:
            self.math += data
