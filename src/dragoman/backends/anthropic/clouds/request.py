"""What the clouds call the models.

Sources, of October 2026: https://platform.claude.com/docs/en/about-claude/models/overview and
https://platform.claude.com/docs/en/build-with-claude/claude-on-amazon-bedrock-legacy

A question as each cloud takes it: the model in the path, the version in the body.

What a cloud cannot do, refused by name before it is asked: its own words for it are seldom any help.

Source, of October 2026: https://platform.claude.com/docs/en/build-with-claude/overview (what is available where).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, cast
from urllib.parse import quote

from dragoman.backends.anthropic.request import API_VERSION, Call, encoded, needed_betas
from dragoman.backends.base import RunRequest
from dragoman.core.errors import UnsupportedFeature
from dragoman.core.messages import JSON, JSONObject, MessagesRequest, as_sent

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


@dataclass(frozen=True, slots=True)
class Where:
    """What is known once there are credentials.

    Attributes:
        region: The cloud's region.
        project: The Google Cloud project.
    """

    region: str
    project: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What the clouds have in common.

    Attributes:
        model_ids: What it calls models, where that is not what it usually is.
        version: Its own version of the API.
    """

    model_ids: Mapping[str, str]
    version: ClassVar[str]

    def _named(self, request: RunRequest, usual: Callable[[str], str]) -> str:
        return self.model_ids.get(request.model.id) or usual(request.model.id)

    def _versioned(self, request: RunRequest, body: JSONObject) -> JSONObject:
        """The body with the cloud's own version, or the newer one of the API that a client speaks."""
        asked = request.request_options.version
        version = self.version if asked is None or asked == API_VERSION else asked
        return {"anthropic_version": version, **body}


class Bedrock(_Shape):
    """Amazon Bedrock, by its InvokeModel API."""

    __slots__ = ()
    title: ClassVar[str] = "Bedrock"
    version: ClassVar[str] = "bedrock-2023-05-31"
    kind: ClassVar[Literal["bedrock"]] = "bedrock"
    stream_type: ClassVar[str] = "application/vnd.amazon.eventstream"

    def call(self, request: RunRequest, body: JSONObject, where: Where) -> Call:  # noqa: ARG002 - its address says it
        """The call that asks a question; the answer is streamed."""
        model = self._named(request, bedrock_id)
        betas = needed_betas(request)
        made = self._versioned(request, _bare(body))
        if betas:
            made["anthropic_beta"] = [*betas]
        # A model may be named by its ARN, whose slashes are part of the name.
        target = f"/model/{quote(model, safe=':')}/invoke-with-response-stream"
        return Call(target.encode(), API_VERSION, (), encoded(made))


class Vertex(_Shape):
    """Google Cloud's Vertex AI."""

    __slots__ = ()
    title: ClassVar[str] = "Vertex"
    version: ClassVar[str] = "vertex-2023-10-16"
    kind: ClassVar[Literal["vertex"]] = "vertex"
    stream_type: ClassVar[str] = "text/event-stream"

    def call(self, request: RunRequest, body: JSONObject, where: Where) -> Call:
        """The call that asks a question; the answer is streamed."""
        model = quote(self._named(request, vertex_id), safe="@:")
        made = self._versioned(request, {**_bare(body), "stream": True})
        return self._at(f"{model}:streamRawPredict", request, made, where)

    def count_call(self, request: RunRequest, where: Where) -> Call:
        """The call that has a question's tokens counted."""
        made = self._versioned(request, {**as_sent(request.body), "model": self._named(request, vertex_id)})
        return self._at("count-tokens:rawPredict", request, made, where)

    def _at(self, what: str, request: RunRequest, body: JSONObject, where: Where) -> Call:
        place = f"/projects/{quote(where.project or '', safe='')}/locations/{quote(where.region, safe='')}"
        target = f"{place}/publishers/anthropic/models/{what}"
        return Call(target.encode(), API_VERSION, needed_betas(request), encoded(body))


def _bare(body: JSONObject) -> JSONObject:
    return {key: value for key, value in body.items() if key not in {"model", "stream"}}


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
