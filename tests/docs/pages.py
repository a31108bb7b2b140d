"""What the docs say, taken apart."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")])
PAGE_IDS = [str(page.relative_to(ROOT)) for page in PAGES]

_FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_SHOWN = re.compile(r"^\$ (?:.*\\\n)*.*$", re.MULTILINE)
_SPAN = re.compile(r"(?<!`)`(?P<code>[^`]+)`(?!`)")


def read(page: Path) -> str:
    """The text of a page."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks in these languages."""
    return [found["body"] for found in _FENCED.finditer(read(page)) if found["language"] in languages]


def spans(page: Path) -> list[str]:
    """The pieces of code in running text, each on one line."""
    return [" ".join(found["code"].split()) for found in _SPAN.finditer(_FENCED.sub("", read(page)))]


def curls(page: Path) -> list[str]:
    """The questions that a reader is told to ask with curl, whole, without what they print."""
    whole = [block for block in blocks(page, "sh") if block.startswith("curl ")]
    shown = [_SHOWN.findall(block) for block in blocks(page, "console")]
    return [*whole, *(command[2:] for commands in shown for command in commands if command.startswith("$ curl "))]


def typed(page: Path) -> list[str]:
    """Everything that a reader is told to type: pieces of code, and shell blocks without output and comments."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    lines += [line[2:] for block in blocks(page, "console") for line in block.splitlines() if line.startswith("$ ")]
    return [*spans(page), *(line.partition(" #")[0].strip() for line in lines)]
