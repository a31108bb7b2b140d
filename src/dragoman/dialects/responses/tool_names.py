"""The names that Claude knows tools by: one flat, short name for each name of a client.

A tool in a namespace is named by two texts, and OpenAI allows longer names than Claude. Each pair gets a name that
Claude accepts. The names do not depend on the order of the tools.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias

from dragoman.core.value_object import value_object

ToolName: TypeAlias = tuple[str | None, str]
"""Namespace and name of a tool, as the client knows it."""

_VALID_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONG_NAME = re.compile(r"[A-Za-z0-9_-]{65,128}")
_INVALID_CHARACTER = re.compile(r"[^A-Za-z0-9_-]")
_SEPARATOR = "__"
_DEFAULT_NAMESPACE = "functions"
"""The namespace of tools without one, as Codex calls it."""
_MAX_LENGTH = 64
_DIGEST_LENGTH = 8


@value_object
class ToolNames:
    """The names of the tools of one request.

    Attributes:
        reserved: The flat names that only one tool may have: those of the tools without a namespace.
        shared: How many tools of a namespace have the same joined name, by joined name.
    """

    reserved: frozenset[str]
    shared: Counter[str]

    @classmethod
    def of(cls, tools: Iterable[ToolName]) -> "ToolNames":
        """Return the names for a request with these tools."""
        names = frozenset(tools)
        joined = Counter(_joined(namespace, name) for namespace, name in names if namespace)
        return cls(frozenset(name for namespace, name in names if not namespace), joined)

    def flat(self, namespace: str | None, name: str) -> str:
        """Return the name that Claude knows a tool by.

        A tool without a namespace keeps its name if Claude accepts it; an invalid one is returned unchanged, for the
        error.
        """
        if not namespace:
            return _digested("", name) if _LONG_NAME.fullmatch(name) else name
        joined = _joined(namespace, name)
        if self.shared[joined] > 1 or joined in self.reserved or not _VALID_NAME.fullmatch(joined):
            return _digested(namespace, name)
        return joined

    def flat_of_call(self, namespace: str | None, name: str) -> str:
        """Return the name of a tool that the conversation called. It may be any text, and its tool may be gone."""
        flat = self.flat(namespace, name)
        return flat if _VALID_NAME.fullmatch(flat) else _digested(namespace or "", name)


def _joined(namespace: str, name: str) -> str:
    """Join the names as Codex does where it has no namespaces."""
    if namespace == _DEFAULT_NAMESPACE:
        return name
    return f"{namespace.rstrip('_')}{_SEPARATOR}{name.lstrip('_')}"


def _digested(namespace: str, name: str) -> str:
    """Return a name with a digest of both texts, which no other pair has."""
    digest = hashlib.sha256(json.dumps([namespace, name]).encode()).hexdigest()[:_DIGEST_LENGTH]
    readable = _INVALID_CHARACTER.sub("_", _joined(namespace, name) if namespace else name)
    return f"{readable[: _MAX_LENGTH - 1 - _DIGEST_LENGTH]}_{digest}"
