"""Build the documentation as a site: `make docs-site`.

The source directory is the whole clone, so that links from the pages to the README, the changelog and the examples have
the same targets as in the repository. The pages stay plain Markdown. The front page is docs/site/front.md in place of
docs/index.md, whose links make the table of contents.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

from dragoman import __version__
from dragoman.cli.connect import CLIENTS
from dragoman.cli.connect.client import Client, Target

project = "Dragoman"
copyright = "the Dragoman contributors"  # noqa: A001 - Sphinx requires this name
release = __version__
extensions = ["myst_parser", "sphinx_copybutton", "sphinx_design"]
root_doc = "docs/index"
include_patterns = ["docs/*.md", "examples/*.md", "*.md"]
html_theme = "furo"
html_title = f"Dragoman {release}"
html_extra_path = ["root"]
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_favicon = "site/static/favicon.svg"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#a84d00", "color-brand-content": "#a84d00"},
    "dark_css_variables": {"color-brand-primary": "#f5a05a", "color-brand-content": "#f5a05a"},
}
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# For `make links`. Examples have addresses on this machine.
linkcheck_ignore = [r"http://(127\.0\.0\.1|localhost):8\d{3}(/|$)"]
linkcheck_anchors = False
linkcheck_timeout = 15
linkcheck_retries = 2
linkcheck_workers = 4
linkcheck_rate_limit_timeout = 60
linkcheck_allow_unauthorized = False

_DOCS = Path(__file__).parent
_SECTION = re.compile(r"^## (?P<name>.*)\n\n(?P<links>(?:- .*\n?)+)", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]+\]\((?P<target>[^)#:]+)\.md\)")
_DRAWING = re.compile(r"<!-- (\w+\.svg) -->")
_PICTURE = re.compile(r"<picture>.*?</picture>", re.DOTALL)
_IMAGE = re.compile(r'(?:srcset|src)="(?P<path>[^"]+)"')
_TABS = ("codex", "claude-code", "cursor", "opencode", "cline", "continue", "aider", "open-webui")
_MORE_TABS = ("openai-python", "openai-node", "langchain", "curl")
_GATEWAY = Target("http://127.0.0.1:8787", "sonnet", needs_key=False, context=1_000_000, output=128_000)


def write_front_page(app: Sphinx, name: str, source: list[str]) -> None:  # noqa: ARG001 - Sphinx's signature
    """Put the front page in place of the index, with a toctree for each section of the index."""
    if name == "README":  # what the front page says, for the repository
        source[0] = f"---\norphan: true\n---\n{_PICTURE.sub(_schemes, source[0])}"
    if name != root_doc:
        return
    sections = _SECTION.finditer(source[0])
    contents = "".join(_toctree(found["name"], found["links"]) for found in sections)
    front = (_DOCS / "site" / "front.md").read_text(encoding="utf-8").replace("](../", "](")
    front = front.replace("<!-- clients -->", _tabs([CLIENTS[name] for name in (*_TABS, *_MORE_TABS)]))
    source[0] = _DRAWING.sub(_drawing, front) + contents


def setup(app: Sphinx) -> None:
    """Register `write_front_page` with Sphinx."""
    app.connect("source-read", write_front_page)


def _tabs(clients: list[Client]) -> str:
    """Return a set of tabs with what `dragoman connect` prints for each client."""
    return "\n".join(["::::{tab-set}", "", *map(_tab, clients), "::::"])


def _tab(client: Client) -> str:
    lines = [f":::{{tab-item}} {client.title.removeprefix('the ')}", ""]
    for part in client.parts(_GATEWAY):
        where = f"`{part.where}`" if part.file else part.where.capitalize()
        lines += [f"{where}:", "", f"```{part.language}", part.text, "```", ""]
    return "\n".join([*lines, ":::", ""])


def _drawing(found: re.Match[str]) -> str:
    """Return a drawing as part of the page."""
    svg = (_DOCS / "images" / found[1]).read_text(encoding="utf-8").strip()
    return f'```{{raw}} html\n<div class="drawing">{svg}</div>\n```'


def _schemes(found: re.Match[str]) -> str:
    """Return the pictures for dark and light. The theme shows one of them."""
    dark, light = (image["path"] for image in _IMAGE.finditer(found[0]))
    pictures = zip((dark, light), ("only-dark", "only-light"), strict=True)
    return "\n".join(f"```{{image}} {path}\n:class: {name}\n:alt: The dashboard\n```" for path, name in pictures)


def _toctree(caption: str, links: str) -> str:
    targets = "\n".join(f"/{_document(found['target'])}" for found in _LINK.finditer(links))
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{targets}\n```\n"


def _document(target: str) -> str:
    """Return a page's path from the root of the clone, for a link target relative to docs/."""
    return (Path("/docs") / target).resolve().relative_to("/").as_posix()
