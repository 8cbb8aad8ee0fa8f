"""The figures of a page as files for slides: all of them, in both kinds, each with its text."""

import html

import nbformat
import pytest
from build import HERE, SOURCES
from figures import save


@pytest.mark.slow
def test_every_figure_of_a_page_is_saved_with_its_text(tmp_path):
    (source,) = (path for path in SOURCES if path.stem.startswith("05_"))
    notebook = nbformat.read(HERE / f"{source.stem}.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    told = [output.metadata["image/png"]["alt"] for output in outputs if "image/png" in output.get("data", {})]
    assert save(source, tmp_path) == len(told) > 0
    names = [tmp_path / f"{source.stem}-{i}" for i in range(1, len(told) + 1)]
    assert sorted(tmp_path.iterdir()) == sorted(
        f for n in names for f in (n.with_suffix(".pdf"), n.with_suffix(".svg"))
    )
    for name, alt in zip(names, told, strict=True):
        assert (
            f"<dc:description>{html.escape(alt, quote=False)}</dc:description>" in name.with_suffix(".svg").read_text()
        )
        assert name.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert b"/Subject" in name.with_suffix(".pdf").read_bytes()
