"""Makes derivations/NN_title.ipynb of docs/derivations/NN_title.md: python notebooks/derivations.py

Why twice: a Git host takes backslashes from a formula between dollars, so the derivations have theirs in ```math
fences, which a Git host and Sphinx set, and which JupyterLab shows as code. In a notebook both set what stands between
double dollars. The files to edit are those of docs/derivations.
"""

import re
from pathlib import Path

import nbformat

HERE = Path(__file__).parent
PAGES = sorted((HERE.parent / "docs" / "derivations").glob("*.md"))
FENCE = re.compile(r"^```math\n(.*?)\n```$", re.M | re.S)
LINK = re.compile(r"\]\((?!https?:|#)([^)\s]+)\)")


def target(page: Path) -> Path:
    """The notebook of a derivation."""
    return HERE / "derivations" / f"{page.stem}.ipynb"


def led(link: re.Match[str]) -> str:
    """A link of a derivation, as its notebook has it: both lie two folders deep."""
    to = link[1]
    if to.startswith("../../"):
        return link[0]
    if to.startswith("../"):
        return f"](../../docs/{to[3:]})"
    name, mark, place = to.partition("#")
    return f"]({name.removesuffix('.md')}.ipynb{mark}{place})"


def notebook(page: Path) -> nbformat.NotebookNode:
    """The derivation as a notebook: a cell for each section, and nothing to run."""
    text = LINK.sub(led, page.read_text().strip())
    text = FENCE.sub(lambda fence: f"$$\n{fence[1]}\n$$", text)
    made = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(section.strip(), id=f"section-{i}")
            for i, section in enumerate(re.split(r"^(?=## )", text, flags=re.M))
        ]
    )
    made.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    return made


def main() -> None:
    (HERE / "derivations").mkdir(exist_ok=True)
    for page in PAGES:
        nbformat.write(notebook(page), target(page))
        print(target(page).relative_to(HERE))


if __name__ == "__main__":
    main()
