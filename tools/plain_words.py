"""Find words that are not plain technical English. Run it with `make words`.

They are names that an engineer must look up, and literary phrases. Identifiers and prose have separate lists. Prose is
everything in comments, strings, Markdown and configuration files.
"""

import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

SOURCES = (
    "src/**/*.py",
    "tests/**/*.py",
    "tools/**/*.py",
    "benchmarks/**/*.py",
    "examples/*",
    "docs/*.py",
    "docs/*.md",
    "*.md",
    ".ci/*",
    "container/*",
    ".env.example",
    "Dockerfile",
    "Makefile",
    "compose.yaml",
    "pyproject.toml",
)
"""The files that are checked, as patterns below the root."""

EXEMPT = frozenset({"tools/plain_words.py", "tests/docs/test_plain_words.py"})
"""This file and its test, which contain the words."""

IDENTIFIERS = (
    "asked",
    "at fault",
    "beside",
    "besides",
    "bones",
    "bury",
    "came",
    "came by",
    "codec",
    "codecs",
    "cool down",
    "exchange",
    "gave back",
    "gave",
    "gives back",
    "goes on",
    "happened",
    "holder",
    "holders",
    "in force",
    "journal",
    "keeper",
    "leftovers",
    "longest",
    "looks",
    "misfit",
    "misfits",
    "metered",
    "news",
    "nobody",
    "notice",
    "notices",
    "outlive",
    "outlet",
    "patience",
    "remains",
    "said",
    "shelf",
    "sifter",
    "skeleton",
    "skeletons",
    "so many",
    "stands",
    "tell",
    "tells",
    "told",
    "trouble",
    "unchanging",
    "until gone",
    "usual",
    "vault",
    "wanted",
    "watcher",
    "whoever",
    "whole",
    "wire",
    "wires",
    "workshop",
)
"""Words in identifiers. `came_by` and `CameBy` are both read as `came by`."""

PROSE = (
    "a moment",
    "all the same",
    "anew",
    "as ever",
    "asks for nothing",
    "at fault",
    "at work",
    "beside it",
    "beside them",
    "besides",
    "bones",
    "came by",
    "codec",
    "comes by",
    "comes to nothing",
    "exchange",
    "for good",
    "gave back",
    "give back",
    "gives back",
    "go on",
    "goes on",
    "going on",
    "he",
    "him",
    "himself",
    "his",
    "in force",
    "in the making",
    "is had",
    "is none",
    "is said",
    "are said",
    "be said",
    "was said",
    "keeper",
    "leftovers",
    "looks on",
    "misfit",
    "misfits",
    "nobody",
    "none where",
    "of its own accord",
    "of use",
    "of which",
    "sifter",
    "skeleton",
    "so long",
    "so many",
    "somebody",
    "stand",
    "stands",
    "stood",
    "tells of",
    "that is to be",
    "the runtime says",
    "thereof",
    "to be had",
    "told",
    "what becomes",
    "what became",
    "what came",
    "what is to be",
    "who has it",
    "who holds",
    "whoever",
    "whom",
    "whose it is",
    "workshop",
    "vault",
)
"""Words and phrases in prose."""


class Allowed(NamedTuple):
    """A use of a word that is correct.

    Attributes:
        pattern: A regular expression. Its matches are removed before the search.
        reason: Why the use is correct.
    """

    pattern: str
    reason: str


ALLOWED_IDENTIFIERS = (
    Allowed(r"^codec$", "a parameter of hypothesis.strategies.text"),
    Allowed(r"^codecs$", "the standard library's module for text encodings"),
    Allowed(r"^tell$", "a method of files"),
    Allowed(r"^zip longest$", "a function of itertools"),
)
ALLOWED_PROSE = (
    Allowed(r"exchange rates?", "money"),
    Allowed(r"[Aa]udio codecs?|[Vv]ideo codecs?", "a format of audio or video"),
    Allowed(r"token exchange|exchange(s|d)? (a|the) \w+ for", "the OAuth term"),
    Allowed(r"nobody:nogroup|:nobody\b|\buser nobody\b", "the Unix user"),
    Allowed(r"HashiCorp Vault", "a product"),
    Allowed(r"-hE\b", "options of grep"),
    Allowed(r"there is none\b", "plain English for a thing that does not exist"),
)


class Finding(NamedTuple):
    """One use of a word.

    Attributes:
        path: The file, relative to the root.
        line: The line number, from 1.
        word: The word or phrase of the list.
        text: The identifier or the line.
    """

    path: str
    line: int
    word: str
    text: str


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Print the findings, or with `--summary` their counts by word and by directory. Return 1 if there are any."""
    findings = [finding for path in source_files(root) for finding in check_file(path, root)]
    if "--summary" in arguments:
        for title, counts in (
            ("word", Counter(finding.word for finding in findings)),
            ("directory", Counter(directory_of(finding.path) for finding in findings)),
        ):
            print(f"Findings by {title}:")
            print("".join(f"{count:7}  {name}\n" for name, count in counts.most_common()) or "      0\n")
    else:
        for finding in findings:
            print(f"{finding.path}:{finding.line}: {finding.word!r} in {finding.text}")
    if findings:
        print(f"{len(findings)} words that are not plain English. tools/plain_words.py lists them.", file=sys.stderr)
    return 1 if findings else 0


def source_files(root: Path) -> list[Path]:
    """Return the files to check."""
    found = {path for pattern in SOURCES for path in root.glob(pattern) if path.is_file()}
    return sorted(path for path in found if path.relative_to(root).as_posix() not in EXEMPT)


def check_file(path: Path, root: Path) -> Iterator[Finding]:
    """Yield the findings in a file."""
    text, name = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
    return check_python(text, name) if path.suffix == ".py" else check_prose(text, name)


def check_python(text: str, path: str) -> Iterator[Finding]:
    """Yield the findings in Python source: identifiers by one list, strings and comments by the other one."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            words = split_identifier(token.string)
            yield from (
                Finding(path, token.start[0], word, token.string)
                for word in _search(_IDENTIFIERS, words, ALLOWED_IDENTIFIERS)
            )
        elif token.type in _PROSE_TOKENS:
            yield from check_prose(token.string, path, token.start[0])


def check_prose(text: str, path: str, first_line: int = 1) -> Iterator[Finding]:
    """Yield the findings in a text. A phrase may continue on the next line; it is reported at its first line."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        # The first word of the next line completes a phrase that is broken there.
        following = lines[number + 1] if number + 1 < len(lines) else ""
        joined = f"{line.rstrip()} {_LINE_START.sub('', following)}" if following.strip() else line
        for match in _matches(_PROSE, joined, ALLOWED_PROSE):
            if match.start() < len(line.rstrip()):
                yield Finding(path, first_line + number, match[0].lower(), line.strip())


def split_identifier(name: str) -> str:
    """Return the words of an identifier in lower case, separated by spaces."""
    return " ".join(_WORD.findall(name)).lower()


def directory_of(path: str) -> str:
    """Return the first directories of a path: three below `src`, else one."""
    parts = path.split("/")
    return "/".join(parts[:-1][: 3 if parts[0] == "src" else 2]) or "."


def _search(pattern: re.Pattern[str], text: str, allowed: Iterable[Allowed]) -> Iterator[str]:
    return (match[0] for match in _matches(pattern, text, allowed))


def _matches(pattern: re.Pattern[str], text: str, allowed: Iterable[Allowed]) -> Iterator[re.Match[str]]:
    if not pattern.search(text):
        return iter(())
    for use in allowed:
        text = re.sub(use.pattern, lambda match: "·" * len(match[0]), text)
    return pattern.finditer(text)


def _compile(words: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for any of these words. The longest one wins, and the spaces may be any."""
    longest_first = sorted(words, key=len, reverse=True)
    choices = "|".join(word.replace(" ", r"\s+") for word in longest_first)
    return re.compile(rf"\b(?:{choices})\b", re.IGNORECASE)


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_LINE_START = re.compile(r"^[\s#>*-]*")
_IDENTIFIERS, _PROSE = _compile(IDENTIFIERS), _compile(PROSE)
_PROSE_TOKENS = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
