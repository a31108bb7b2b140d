"""What a cloud cannot do, refused by name before it is asked: its own words for it are seldom any help.

Source, of October 2026: https://platform.claude.com/docs/en/build-with-claude/overview (what is available where).
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import cast

from dragoman.errors import UnsupportedFeature
from dragoman.messages import JSON, JSONObject, MessagesRequest

_TOOLS: Mapping[str, str] = MappingProxyType(
    {
        "web_search_": "web search",
        "web_fetch_": "fetching web pages",
        "code_execution_": "running code",
        "mcp_toolset": "MCP servers",
        "advisor_": "the advisor tool",
    }
)
"""Tools that the API runs itself, by the beginning of their types."""
_FIELDS: Mapping[str, str] = MappingProxyType(
    {"mcp_servers": "MCP servers", "container": "containers and skills", "inference_geo": "a choice of geography"}
)
_SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "url": "reading images and documents by their URL (start the gateway with `--fetch-urls on`)",
        "file": "files of the Files API",
    }
)
_HAS_WEB_SEARCH = frozenset({"Vertex"})


def check(body: MessagesRequest, cloud: str) -> None:
    """Refuse what the cloud cannot do.

    Args:
        body: The request.
        cloud: The cloud, as people call it.

    Raises:
        UnsupportedFeature: There is something, by the name of its field.
    """
    for param, what in _wanted(cast("JSONObject", body)):
        if not (what == "web search" and cloud in _HAS_WEB_SEARCH):
            raise UnsupportedFeature(f"Claude on {cloud} has no {what}.", param=param)


def _wanted(body: JSONObject) -> Iterator[tuple[str, str]]:
    for field, what in _FIELDS.items():
        if body.get(field):
            yield field, what
    if body.get("speed") == "fast":
        yield "speed", "fast mode"
    for number, tool in enumerate(_objects(body.get("tools"))):
        kind = str(tool.get("type", ""))
        yield from ((f"tools[{number}]", what) for start, what in _TOOLS.items() if kind.startswith(start))
    for number, message in enumerate(_objects(body.get("messages"))):
        for place, block in enumerate(_objects(message.get("content"))):
            if missing := _source(block):
                yield f"messages[{number}].content[{place}]", missing


def _source(block: JSONObject) -> str | None:
    if block.get("type") == "container_upload":
        return _SOURCES["file"]
    source = block.get("source")
    return _SOURCES.get(str(source.get("type"))) if isinstance(source, dict) else None


def _objects(value: JSON) -> list[JSONObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
