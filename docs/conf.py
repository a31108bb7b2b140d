"""The documentation as a site: `make docs-site`.

The source is the whole clone, so that the pages' links to the README, the changelog and the examples lead where they
lead in the repository. The pages stay plain Markdown: the table of contents is made from the links of docs/index.md.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

from dragoman import __version__

project = "Dragoman"
copyright = "the Dragoman contributors"  # noqa: A001 - the name that Sphinx wants
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

_SECTION = re.compile(r"^To (?P<name>.*):\n\n(?P<links>(?:- .*\n?)+)", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]+\]\((?P<target>[^)#:]+)\.md\)")


def with_contents(app: Sphinx, name: str, source: list[str]) -> None:  # noqa: ARG001 - Sphinx's signature
    """Give the index a table of contents, section by section."""
    if name == root_doc:
        begin = _contents("Begin", "[README](../README.md)")
        source[0] += begin + "".join(
            _contents(f"To {found['name']}", found["links"]) for found in _SECTION.finditer(source[0])
        )


def setup(app: Sphinx) -> None:
    """Have it made while the page is read."""
    app.connect("source-read", with_contents)


def _contents(section: str, links: str) -> str:
    targets = "\n".join(f"/{_place(found['target'])}" for found in _LINK.finditer(links))
    return f"\n```{{toctree}}\n:hidden:\n:caption: {section}\n\n{targets}\n```\n"


def _place(target: str) -> str:
    """A page by its place in the clone, as the index links to it from its own."""
    return (Path("/docs") / target).resolve().relative_to("/").as_posix()
