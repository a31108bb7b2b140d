"""Build the documentation as a site: `make docs-site`.

The source directory is the whole clone, so that links from the pages to the README, the changelog and the examples have
the same targets as in the repository. The pages stay plain Markdown: the table of contents is built from the links in
docs/index.md.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

from dragoman import __version__

project = "Dragoman"
copyright = "the Dragoman contributors"  # noqa: A001 - Sphinx requires this name
release = __version__
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["docs/*.md", "examples/*.md", "*.md"]
html_theme = "furo"
html_title = f"Dragoman {release}"
html_extra_path = ["root"]
html_show_sphinx = False
html_copy_source = False
myst_heading_anchors = 3

_SECTION = re.compile(r"^## (?P<name>.*)\n\n(?P<links>(?:- .*\n?)+)", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]+\]\((?P<target>[^)#:]+)\.md\)")


def add_contents(app: Sphinx, name: str, source: list[str]) -> None:  # noqa: ARG001 - Sphinx's signature
    """Append a table of contents to the index page: one toctree for each of its sections."""
    if name == root_doc:
        start = _toctree("Start", "[README](../README.md)")
        source[0] += start + "".join(_toctree(found["name"], found["links"]) for found in _SECTION.finditer(source[0]))


def setup(app: Sphinx) -> None:
    """Register `add_contents` with Sphinx."""
    app.connect("source-read", add_contents)


def _toctree(caption: str, links: str) -> str:
    targets = "\n".join(f"/{_document(found['target'])}" for found in _LINK.finditer(links))
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{targets}\n```\n"


def _document(target: str) -> str:
    """Return a page's path from the root of the clone, for a link target relative to docs/."""
    return (Path("/docs") / target).resolve().relative_to("/").as_posix()
