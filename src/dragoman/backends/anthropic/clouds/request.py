"""A call as each cloud takes it: the model in the path, the version in the body. Also what the clouds cannot do.

Unsupported input is refused by name before the call: the clouds' own messages seldom help.

Sources, of October 2026: https://platform.claude.com/docs/en/about-claude/models/overview,
https://platform.claude.com/docs/en/build-with-claude/claude-on-amazon-bedrock-legacy, and
https://platform.claude.com/docs/en/build-with-claude/overview (what is available on which cloud).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar, Literal, cast
from urllib.parse import quote

from dragoman.backends.anthropic.request import API_VERSION, ApiCall, betas_of_request, encode_json
from dragoman.backends.base import RunRequest
from dragoman.core.errors import UnsupportedFeature
from dragoman.core.known_message import as_sent, spliced
from dragoman.core.messages import JSON, JSONObject, MessagesRequest
from dragoman.core.value_object import value_object

_MODEL_DATES: Mapping[str, str] = MappingProxyType(
    {"claude-opus-4-5": "20251101", "claude-sonnet-4-5": "20250929", "claude-haiku-4-5": "20251001"}
)
"""The dates in the clouds' ids. Newer models have no date."""
_BEDROCK_SUFFIXES: Mapping[str, str] = MappingProxyType({"claude-opus-4-6": "-v1"})
_DATED_MODEL = re.compile(r"(?P<name>claude-.+?)-(?P<date>\d{8})")

_SERVER_TOOLS: Mapping[str, str] = MappingProxyType(
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


@value_object
class CloudLocation:
    """Where calls go. Known once there are credentials.

    Attributes:
        region: The cloud's region.
        project: The Google Cloud project.
    """

    region: str
    project: str | None = None


@value_object(kw_only=True)
class Cloud:
    """A cloud's form of the API.

    Attributes:
        model_ids: The cloud's ids of models, where they differ from the usual ones.
        kind: The cloud's name in settings.
        title: The cloud's name in messages.
        version: Its own `anthropic_version`.
        stream_type: The `content-type` of streamed responses.
        has_web_search: Whether it supports web search.
    """

    model_ids: Mapping[str, str]
    kind: ClassVar[Literal["bedrock", "vertex"]]
    title: ClassVar[str]
    version: ClassVar[str]
    stream_type: ClassVar[str]
    has_web_search: ClassVar[bool]

    def model_id(self, request: RunRequest, default: Callable[[str], str]) -> str:
        """Return the cloud's id of a request's model."""
        return self.model_ids.get(request.model.id) or default(request.model.id)

    def with_version(self, request: RunRequest, body: JSONObject) -> JSONObject:
        """Return a body with the cloud's own version, or with a newer version of the API that the client names."""
        requested = request.request_options.version
        version = self.version if requested is None or requested == API_VERSION else requested
        return {"anthropic_version": version, **body}

    def check(self, body: MessagesRequest) -> None:
        """Refuse what the cloud cannot do.

        Raises:
            UnsupportedFeature: `param` names the field.
        """
        for param, feature in _features(cast("JSONObject", body)):
            if not (feature == _SERVER_TOOLS["web_search_"] and self.has_web_search):
                raise UnsupportedFeature(f"Claude on {self.title} has no {feature}.", param=param)


class Bedrock(Cloud):
    """Amazon Bedrock, by its InvokeModel API."""

    kind: ClassVar[Literal["bedrock", "vertex"]] = "bedrock"
    title = "Bedrock"
    version = "bedrock-2023-05-31"
    stream_type = "application/vnd.amazon.eventstream"
    has_web_search = False

    def message_call(self, request: RunRequest, body: JSONObject) -> ApiCall:
        """Return the call that generates a message. Its response is streamed."""
        model = self.model_id(request, bedrock_id)
        content = self.with_version(request, _without(body, "model", "stream"))
        if betas := betas_of_request(request):
            content["anthropic_beta"] = [*betas]
        # A model may be named by its ARN, whose slashes are part of the name.
        target = f"/model/{quote(model, safe=':')}/invoke-with-response-stream"
        return ApiCall(target.encode(), API_VERSION, (), encode_json(spliced(content)))


class Vertex(Cloud):
    """Google Cloud's Vertex AI."""

    kind: ClassVar[Literal["bedrock", "vertex"]] = "vertex"
    title = "Vertex"
    version = "vertex-2023-10-16"
    stream_type = "text/event-stream"
    has_web_search = True

    def message_call(self, request: RunRequest, body: JSONObject, location: CloudLocation) -> ApiCall:
        """Return the call that generates a message. Its response is streamed."""
        model = quote(self.model_id(request, vertex_id), safe="@:")
        content = self.with_version(request, spliced(_without(body, "model")))
        return self._call(f"{model}:streamRawPredict", request, content, location)

    def count_call(self, request: RunRequest, location: CloudLocation) -> ApiCall:
        """Return the call that counts the tokens of a prompt."""
        content = {**as_sent(request.body), "model": self.model_id(request, vertex_id)}
        return self._call("count-tokens:rawPredict", request, self.with_version(request, content), location)

    def _call(self, action: str, request: RunRequest, body: JSONObject, location: CloudLocation) -> ApiCall:
        project, region = quote(location.project or "", safe=""), quote(location.region, safe="")
        target = f"/projects/{project}/locations/{region}/publishers/anthropic/models/{action}"
        return ApiCall(target.encode(), API_VERSION, betas_of_request(request), encode_json(body))


def bedrock_id(model: str) -> str:
    """Return the id of the inference profile that serves a model from all regions."""
    name, date = _name_and_date(model)
    suffix = f"-{date}-v1:0" if date else _BEDROCK_SUFFIXES.get(name, "")
    return f"global.anthropic.{name}{suffix}"


def vertex_id(model: str) -> str:
    """Return the id of a model's version."""
    name, date = _name_and_date(model)
    return f"{name}@{date}" if date else name


def _name_and_date(model: str) -> tuple[str, str | None]:
    if dated := _DATED_MODEL.fullmatch(model):
        return dated["name"], dated["date"]
    return model, _MODEL_DATES.get(model)


def _without(body: JSONObject, *keys: str) -> JSONObject:
    return {key: value for key, value in body.items() if key not in keys}


def _features(body: JSONObject) -> Iterator[tuple[str, str]]:
    """Yield the features that a body needs and that no cloud or only one has, each with its field."""
    for field, feature in _FIELDS.items():
        if body.get(field):
            yield field, feature
    if body.get("speed") == "fast":
        yield "speed", "fast mode"
    for index, tool in enumerate(_objects(body.get("tools"))):
        kind = str(tool.get("type", ""))
        yield from ((f"tools[{index}]", name) for prefix, name in _SERVER_TOOLS.items() if kind.startswith(prefix))
    for index, message in enumerate(_objects(body.get("messages"))):
        for position, block in enumerate(_objects(message.get("content"))):
            if feature := _source_feature(block):
                yield f"messages[{index}].content[{position}]", feature


def _source_feature(block: JSONObject) -> str:
    if block.get("type") == "container_upload":
        return _SOURCES["file"]
    source = block.get("source")
    return _SOURCES.get(str(source.get("type")), "") if isinstance(source, dict) else ""


def _objects(value: JSON) -> list[JSONObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
