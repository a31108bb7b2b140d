"""The pictures of `docs/performance.md`, which are drawn from its tables."""

import re
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from pages import ROOT

from tools.docs.plots import PLOTS, plots, write_plots

PAGE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PLOTS)
def test_picture_is_current(name: str) -> None:
    """Each picture shows the figures of the page, and the page shows each picture; `make docs` draws them."""
    image = plots(PAGE)[name]
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == image
    assert f"]({name})" in PAGE
    assert fromstring(image).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - made by the line above


def test_figures_of_the_table() -> None:
    """A picture has the figures as text, and `fails` for a peer that has none."""
    peers, first_token = plots(PAGE).values()
    *_, row = re.findall(r"^\| requests/s, 16 connections \|(.*)$", PAGE, re.MULTILINE)
    _, dragoman, litellm, *_ = (cell.strip() for cell in row.split("|"))
    assert f">{dragoman}<" in peers
    assert f">{litellm}<" in peers
    [median] = re.findall(r"^\| 400 earlier messages for the first time \| (\d+)", PAGE, re.MULTILINE)
    assert f">{median}<" in first_token
    failing = PAGE.replace(f"| {dragoman} | {litellm} |", f"| fails | {litellm} |")
    assert plots(failing)["peers.svg"].count(">fails<") == peers.count(">fails<") + 1


def test_pictures_are_drawn_from_the_page(tmp_path: Path) -> None:
    """The command reads the page and writes the pictures next to it."""
    (tmp_path / "performance.md").write_text(PAGE, encoding="utf-8")
    write_plots(tmp_path)
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.svg")} == plots(PAGE)


def test_missing_rows() -> None:
    """A page without a table or a row is an error that names it."""
    with pytest.raises(ValueError, match="medians of"):
        plots("# Performance\n")
    with pytest.raises(ValueError, match="times to the first token"):
        plots(PAGE.replace("| the next turn of a live conversation |", "| another |"))
