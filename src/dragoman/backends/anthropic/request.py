"""Features of a body that the API serves only where their beta is named.

Source: https://platform.claude.com/docs/en/api/beta-headers, and the types of the official SDK, 2.11.

A request as it is sent: the body in bytes, and the header lines that depend on it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import version
from types import MappingProxyType
from typing import cast

import msgspec

from dragoman.backends.anthropic.cache_control import CacheTtl, marked
from dragoman.backends.base import RunRequest
from dragoman.core.catalog import Model
from dragoman.core.messages import JSON, JSONObject, MessagesRequest, as_sent
from dragoman.core.value_object import value_object

_OF_FIELD: Mapping[str, str] = MappingProxyType(
    {
        "context_management": "context-management-2025-06-27",
        "fallbacks": "server-side-fallback-2026-07-01",
        "fallback_credit_token": "fallback-credit-2026-07-01",
        "mcp_servers": "mcp-client-2025-11-20",
        "message_thread": "message-threads-2026-08-12",
        "diagnostics": "cache-diagnosis-2026-04-07",
        "user_profile_id": "user-profiles-2026-09-04",
    }
)
_OF_TOOL: Mapping[str, str] = MappingProxyType(
    {
        "advisor_": "advisor-tool-2026-03-01",
        "code_execution_20250522": "code-execution-2025-05-22",
        "computer_20241022": "computer-use-2024-10-22",
        "computer_20250124": "computer-use-2025-01-24",
        "computer_20251124": "computer-use-2025-11-24",
        "mcp_toolset": "mcp-client-2025-11-20",
    }
)
"""By the beginning of the tool's type."""

_FAST = "fast-mode-2026-02-01"
_FILES = "files-api-2025-04-14"
_SKILLS = "skills-2025-10-02"
_BINDING = "thinking-binding-controls-2026-08-01"
_BUDGET = "task-budgets-2026-03-13"
_MESSAGE_EFFORT = "mid-conversation-output-config-2026-07-01"

_TELLING = frozenset({*_OF_FIELD, "speed", "container", "thinking", "output_config", "tools"})
"""Fields that may need one. Most bodies have none of them."""
_STORED = frozenset({"container_upload", "document", "image"})
"""Blocks that may name a stored file."""


def betas_of(body: MessagesRequest) -> list[str]:
    """The betas that a body needs, each once."""
    return list(dict.fromkeys(_needed(cast("JSONObject", body))))


def _needed(body: JSONObject) -> Iterator[str]:
    if not _TELLING.isdisjoint(body):
        yield from _of_fields(body)
    for message in cast("MessagesRequest", body)["messages"]:
        if "output_config" in message:
            yield _MESSAGE_EFFORT
        for block in message["content"]:
            if block.get("type") in _STORED and _is_stored_file(block):
                yield _FILES


def _of_fields(body: JSONObject) -> Iterator[str]:
    for name in body:
        if beta := _OF_FIELD.get(name):
            yield beta
    if body.get("speed") == "fast":
        yield _FAST
    if "skills" in _object(body.get("container")):
        yield _SKILLS
    if "block_binding" in _object(body.get("thinking")):
        yield _BINDING
    if "task_budget" in _object(body.get("output_config")):
        yield _BUDGET
    for tool in _objects(body.get("tools")):
        yield from (beta for kind, beta in _OF_TOOL.items() if str(tool.get("type", "")).startswith(kind))


def _is_stored_file(block: JSONObject) -> bool:
    return block.get("type") == "container_upload" or _object(block.get("source")).get("type") == "file"


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}


def _objects(value: JSON) -> Iterator[JSONObject]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


API_VERSION = "2023-06-01"
"""The `anthropic-version` that is spoken where the client does not name another."""

SHARED_HEADERS = (
    f"user-agent: dragoman/{version('dragoman')}\r\naccept: text/event-stream, application/json\r\n"
).encode()

_MOST = 64_000
_MOST_WITH_BUDGET = 32_000
"""Above the largest budget that a client's effort becomes; the models with budgets have the smaller context."""

_BYTES_A_TOKEN = 4
"""At least: what has fewer bytes is not counted for more tokens by `caching` either."""

encoded = msgspec.json.Encoder().encode
"""JSON in bytes."""


@value_object
class Call:
    """A request, all but its signature.

    Attributes:
        target: The path it is sent to.
        version: The `anthropic-version` it speaks.
        betas: The betas it asks for.
        body: The JSON body.
    """

    target: bytes
    version: str
    betas: tuple[str, ...]
    body: bytes

    def headers(self, signature: bytes, betas: tuple[str, ...]) -> bytes:
        """The header lines.

        Args:
            signature: The line with the key or token.
            betas: Those that it needs.
        """
        return _lines(self.version, (*self.betas, *betas)) + signature


@lru_cache(maxsize=256)
def _lines(version: str, betas: tuple[str, ...]) -> bytes:
    named = ",".join(dict.fromkeys(betas))
    beta = f"anthropic-beta: {named}\r\n" if named else ""
    return f"content-type: application/json\r\nanthropic-version: {version}\r\n{beta}".encode("latin-1")


def message_call(request: RunRequest, cache_ttl: CacheTtl) -> Call:
    """The call that asks a question, streamed in any case.

    Args:
        request: The question.
        cache_ttl: What is asked of the API's cache for clients that do not speak of it. Who speaks the Messages API
            itself does so itself.
    """
    if request.request_options.verbatim:
        return _call(b"/v1/messages", request, {**as_sent(request.body), "stream": True})
    body: JSONObject = {**cast("JSONObject", request.body), "stream": True}
    if body.get("max_tokens") is None:
        body["max_tokens"] = usual_limit(request.model)
    call = _call(b"/v1/messages", request, body)
    if cache_ttl == "off" or len(call.body) < request.model.cacheable_tokens * _BYTES_A_TOKEN:
        return call  # most are too small, which is sooner seen in bytes
    asked = marked(cast("MessagesRequest", body), request.model, cache_ttl, call.body)
    return call if asked is body else replace(call, body=encoded(asked))


def message_body(request: RunRequest, cache_ttl: CacheTtl) -> JSONObject:
    """The body of the call that asks a question, for those who make another call of it."""
    if request.request_options.verbatim:
        return as_sent(request.body)
    body = cast("MessagesRequest", dict(request.body))
    if body.get("max_tokens") is None:
        body["max_tokens"] = usual_limit(request.model)
    return cast("JSONObject", marked(body, request.model, cache_ttl, encoded(cast("JSONObject", body))))


def count_call(request: RunRequest) -> Call:
    """The call that has a question's tokens counted."""
    return _call(b"/v1/messages/count_tokens", request, as_sent(request.body))


def list_call(target: bytes) -> Call:
    """A call without a body."""
    return Call(target, API_VERSION, (), b"")


def usual_limit(model: Model) -> int:
    """`max_tokens` where the client set none: the API wants one."""
    return min(model.output_tokens, _MOST_WITH_BUDGET if "enabled" in model.thinking else _MOST)


def _call(target: bytes, request: RunRequest, body: JSONObject) -> Call:
    request_options = request.request_options
    version = _header_value(request_options.version) if request_options.version else API_VERSION
    return Call(target, version, needed_betas(request), encoded(body))


def needed_betas(request: RunRequest) -> tuple[str, ...]:
    """The betas that the client names, and those that its request needs."""
    request_options = request.request_options
    named = [_header_value(beta) for beta in request_options.betas]
    # Who speaks the Messages API itself names its betas itself.
    return tuple(named) if request_options.verbatim else tuple(dict.fromkeys([*named, *betas_of(request.body)]))


def _header_value(text: str) -> str:
    """A client's words without what would end a header line."""
    return "".join(sign for sign in text if sign.isascii() and sign.isprintable())
