"""What the clouds call the models.

Sources, of October 2026: https://platform.claude.com/docs/en/about-claude/models/overview and
https://platform.claude.com/docs/en/build-with-claude/claude-on-amazon-bedrock-legacy
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

_DATES: Mapping[str, str] = MappingProxyType(
    {"claude-opus-4-5": "20251101", "claude-sonnet-4-5": "20250929", "claude-haiku-4-5": "20251001"}
)
"""Of the models whose ids have a date there; newer ones have none."""
_BEDROCK_VERSIONS: Mapping[str, str] = MappingProxyType({"claude-opus-4-6": "-v1"})

_DATED = re.compile(r"(?P<name>claude-.+?)-(?P<date>\d{8})")


def bedrock_id(model: str) -> str:
    """The id of the inference profile that serves a model from anywhere in the world."""
    name, date = _parts(model)
    ending = f"-{date}-v1:0" if date else _BEDROCK_VERSIONS.get(name, "")
    return f"global.anthropic.{name}{ending}"


def vertex_id(model: str) -> str:
    """The id of a model's version."""
    name, date = _parts(model)
    return f"{name}@{date}" if date else name


def _parts(model: str) -> tuple[str, str | None]:
    if dated := _DATED.fullmatch(model):
        return dated["name"], dated["date"]
    return model, _DATES.get(model)
