"""The pages of the docs, and the parts of their text."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")])
PAGE_IDS = [str(page.relative_to(ROOT)) for page in PAGES]

_FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_SHOWN = re.compile(r"^\$ (?:.*\\\n)*.*$", re.MULTILINE)
_SPAN = re.compile(r"(?<!`)`(?P<code>[^`]+)`(?!`)")


def read(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the fenced blocks in these languages."""
    return [found["body"] for found in _FENCED.finditer(read(page)) if found["language"] in languages]


def spans(page: Path) -> list[str]:
    """Return the inline code of a page, each piece on one line."""
    return [" ".join(found["code"].split()) for found in _SPAN.finditer(_FENCED.sub("", read(page)))]


def curls(page: Path) -> list[str]:
    """Return the curl commands of a page, without their output."""
    scripts = [block for block in blocks(page, "sh") if block.startswith("curl ")]
    shown = [_SHOWN.findall(block) for block in blocks(page, "console")]
    return [*scripts, *(command[2:] for commands in shown for command in commands if command.startswith("$ curl "))]


def typed(page: Path) -> list[str]:
    """Return everything that a reader may type: inline code, and shell blocks without output and comments."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    lines += [line[2:] for block in blocks(page, "console") for line in block.splitlines() if line.startswith("$ ")]
    return [*spans(page), *(line.partition(" #")[0].strip() for line in lines)]
