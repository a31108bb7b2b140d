"""A call of the Messages API: its body in bytes, and the headers that depend on the body, `anthropic-beta` above all.

Sources: https://platform.claude.com/docs/en/api/beta-headers, and the types of the official SDK, 2.11.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import version
from types import MappingProxyType
from typing import cast

import msgspec

from dragoman.backends.anthropic.cache_control import BYTES_PER_TOKEN, with_cache_marks
from dragoman.backends.anthropic.options import CacheTtl
from dragoman.backends.base import RunRequest
from dragoman.core.catalog import Model
from dragoman.core.known_message import KnownMessage, as_sent, spliced
from dragoman.core.messages import JSON, JSONObject, Message, MessagesRequest
from dragoman.core.value_object import value_object

API_VERSION = "2023-06-01"
"""The `anthropic-version` of calls, unless the client names another."""

SHARED_HEADERS = (
    f"user-agent: dragoman/{version('dragoman')}\r\naccept: text/event-stream, application/json\r\n"
).encode()
"""Header lines of every call."""

_DEFAULT_MAX_TOKENS = 64_000
_DEFAULT_MAX_TOKENS_WITH_BUDGET = 32_000
"""More than the largest thinking budget. The models with thinking budgets have the smaller context."""

_BETA_OF_FIELD: Mapping[str, str] = MappingProxyType(
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
_BETA_OF_TOOL: Mapping[str, str] = MappingProxyType(
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

_FAST_MODE_BETA = "fast-mode-2026-02-01"
_FILES_BETA = "files-api-2025-04-14"
_SKILLS_BETA = "skills-2025-10-02"
_BLOCK_BINDING_BETA = "thinking-binding-controls-2026-08-01"
_TASK_BUDGET_BETA = "task-budgets-2026-03-13"
_MESSAGE_EFFORT_BETA = "mid-conversation-output-config-2026-07-01"

_FIELDS_WITH_BETAS = frozenset({*_BETA_OF_FIELD, "speed", "container", "thinking", "output_config", "tools"})
"""Fields that may need a beta. Most bodies have none of them."""
_TYPES_WITH_FILES = frozenset({"container_upload", "document", "image"})
"""Types of blocks that may refer to a file of the Files API."""

_UNCHECKED_ARGUMENTS = "fine-grained-tool-streaming"

encode_json = msgspec.json.Encoder().encode


@value_object
class ApiCall:
    """A call without its credentials.

    Attributes:
        target: Path and query.
        version: The `anthropic-version`.
        betas: The betas that the body needs, or the client names.
        body: The JSON body; empty for none.
        trace: The header `traceparent`; empty for none.
    """

    target: bytes
    version: str
    betas: tuple[str, ...]
    body: bytes
    trace: str = ""

    def header_lines(self, further_betas: tuple[str, ...] = ()) -> bytes:
        """Return the header lines, without those of the credentials.

        Args:
            further_betas: Betas that the credentials need.
        """
        lines = _header_lines(self.version, (*self.betas, *further_betas))
        return lines + f"traceparent: {self.trace}\r\n".encode() if self.trace else lines


def message_call(request: RunRequest, cache_ttl: CacheTtl) -> ApiCall:
    """Return the call that generates a message. Its response is streamed.

    Args:
        request: The request.
        cache_ttl: The lifetime of cached prompts, for clients that set no cache marks.
    """
    body, encoded = message_body(request, cache_ttl)
    return _call(b"/v1/messages", request, encoded or encode_json(spliced(body)))


def message_body(request: RunRequest, cache_ttl: CacheTtl) -> tuple[JSONObject, bytes | None]:
    """Return the body of the call that generates a message, and its JSON if that was needed to build the body.

    A client of the Messages API itself gets exactly what it sent: no default and no cache marks.
    """
    if request.request_options.verbatim:
        return {**as_sent(request.body), "stream": True}, None
    body: JSONObject = {**cast("JSONObject", request.body), "stream": True}
    if body.get("max_tokens") is None:
        body["max_tokens"] = default_max_tokens(request.model)
    cacheable = request.model.cacheable_tokens * BYTES_PER_TOKEN
    known_bytes, unknown = _sizes(cast("MessagesRequest", body), cacheable)
    encoded = None if known_bytes else unknown
    if cache_ttl == "off" or known_bytes + len(unknown) < cacheable:
        return body, encoded  # most prompts are too small to cache, and the bytes show it at once
    marked = cast(
        "JSONObject", with_cache_marks(cast("MessagesRequest", body), request.model, cache_ttl, unknown, known_bytes)
    )
    return marked, encoded if marked is body else None


def count_call(request: RunRequest) -> ApiCall:
    """Return the call that counts the tokens of a prompt."""
    return _call(b"/v1/messages/count_tokens", request, encode_json(as_sent(request.body)))


def models_call(query: str) -> ApiCall:
    """Return the call that lists models."""
    return ApiCall(f"/v1/models?{query}".encode(), API_VERSION, (), b"")


def default_max_tokens(model: Model) -> int:
    """Return `max_tokens` for clients that set none: the API requires it."""
    limit = _DEFAULT_MAX_TOKENS_WITH_BUDGET if "enabled" in model.thinking else _DEFAULT_MAX_TOKENS
    return min(model.output_tokens, limit)


def betas_of_request(request: RunRequest) -> tuple[str, ...]:
    """Return the betas that the client names, and those that its body needs.

    A client of the Messages API itself names all its betas itself.
    """
    named = [_header_value(beta) for beta in request.request_options.betas]
    if request.request_options.verbatim:
        return tuple(named)
    return tuple(dict.fromkeys([*named, *betas_of_body(request.body)]))


def betas_of_body(body: MessagesRequest) -> list[str]:
    """Return the betas that a body needs, each once."""
    return list(dict.fromkeys(_betas_needed(cast("JSONObject", body))))


def _sizes(body: MessagesRequest, enough: int) -> tuple[int, bytes]:
    """Return how many bytes the known messages of a body take, and the JSON of the body without them.

    Args:
        body: The body.
        enough: Bytes from which on it makes no difference how many there are: the others are not counted.
    """
    messages = cast("list[Message | KnownMessage]", body["messages"])
    unknown = [message for message in messages if type(message) is not KnownMessage]
    known_bytes = 0
    for message in messages if len(unknown) < len(messages) else ():
        if type(message) is KnownMessage:
            known_bytes += message.size
            if known_bytes >= enough:
                break
    rest = cast("JSONObject", {**body, "messages": unknown} if known_bytes else body)
    return known_bytes, encode_json(spliced(rest) if "tools" in rest else rest)


def _call(target: bytes, request: RunRequest, encoded: bytes) -> ApiCall:
    api_version, trace = request.request_options.version, request.request_options.trace
    return ApiCall(
        target,
        _header_value(api_version) if api_version else API_VERSION,
        betas_of_request(request),
        encoded,
        trace.header if trace and trace.parent_id else "",  # a trace that begins here is no concern of the API
    )


def has_checked_arguments(request: RunRequest) -> bool:
    """Return whether the API promises that the arguments of each call are JSON.

    A client of the Messages API may ask for arguments that stream before they are checked. Source:
    https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming
    """
    options = request.request_options
    return not options.verbatim or not (
        any(beta.startswith(_UNCHECKED_ARGUMENTS) for beta in options.betas)
        or any(tool.get("eager_input_streaming") for tool in request.body.get("tools", ()))
    )


@lru_cache(maxsize=256)
def _header_lines(api_version: str, betas: tuple[str, ...]) -> bytes:
    names = ",".join(dict.fromkeys(betas))
    beta = f"anthropic-beta: {names}\r\n" if names else ""
    return f"content-type: application/json\r\nanthropic-version: {api_version}\r\n{beta}".encode("latin-1")


def _header_value(text: str) -> str:
    """Return a client's text without characters that would end a header line."""
    return "".join(character for character in text if character.isascii() and character.isprintable())


def _betas_needed(body: JSONObject) -> Iterator[str]:
    if not _FIELDS_WITH_BETAS.isdisjoint(body):
        yield from _betas_of_fields(body)
    has_no_file = _TYPES_WITH_FILES.isdisjoint
    messages = cast("list[Message | KnownMessage]", body["messages"])
    for message in [one for one in messages if type(one) is not KnownMessage or not has_no_file(one.types)]:
        if "output_config" in message:
            yield _MESSAGE_EFFORT_BETA
        for block in message["content"]:
            if block.get("type") in _TYPES_WITH_FILES and _refers_to_file(block):
                yield _FILES_BETA


def _betas_of_fields(body: JSONObject) -> Iterator[str]:
    for name in body:
        if beta := _BETA_OF_FIELD.get(name):
            yield beta
    if body.get("speed") == "fast":
        yield _FAST_MODE_BETA
    if "skills" in _object(body.get("container")):
        yield _SKILLS_BETA
    if "block_binding" in _object(body.get("thinking")):
        yield _BLOCK_BINDING_BETA
    if "task_budget" in _object(body.get("output_config")):
        yield _TASK_BUDGET_BETA
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        if kind := _object(tool).get("type"):  # functions have none
            yield from (beta for prefix, beta in _BETA_OF_TOOL.items() if str(kind).startswith(prefix))


def _refers_to_file(block: JSONObject) -> bool:
    return block.get("type") == "container_upload" or _object(block.get("source")).get("type") == "file"


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}
