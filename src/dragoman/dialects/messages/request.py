"""Decode a request of the Messages API to the canonical one: the same JSON, with every content as a list of blocks."""

from typing import cast

from dragoman.core.catalog import Catalog
from dragoman.core.errors import InvalidRequest
from dragoman.core.known_message import KnownMessage
from dragoman.core.messages import (
    AgentTask,
    JSONObject,
    Message,
    MessagesRequest,
    RequestOptions,
)
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DecodedRequest, Headers
from dragoman.dialects.messages.known import KnownMessages, parse_parts
from dragoman.dialects.messages.schema import (
    check_content,
    check_message,
    check_parameters,
    has_unsigned_thinking,
    is_unsigned,
    require_list,
    require_object,
    require_text,
    wrong_type,
)
from dragoman.dialects.shared.agent_options import parse_agent_options, refuse_fields_with_agent, strip_agent_suffix
from dragoman.dialects.shared.unset_values import without_unset_values
from dragoman.dialects.shared.validation import parse_json, resolve_model

_BETA_FIELDS = ("betas", "anthropic_beta")
"""The SDK's own parameter, and the field of the clouds."""


def decode_message(raw: bytes, headers: Headers, catalog: Catalog, known: KnownMessages | None) -> DecodedRequest:
    """Decode a request.

    Only the fields that the gateway itself reads are checked. Everything else is passed on, and Claude may refuse it.

    Args:
        raw: The body.
        headers: The headers.
        catalog: The models.
        known: The messages of earlier requests. None: take the longer way, which gives the same result.

    Raises:
        InvalidRequest: With the field's name in `param`.
        NotFound: The model does not exist.
    """
    warnings: list[RequestWarning] = []
    parsed = (parse_parts(raw, known) if known is not None else None) or parse_json(raw, warnings)
    data = require_object(without_unset_values(parsed, warnings, ("top_k",)), "")
    model = require_text(data, "model", "")
    messages = require_list(data, "messages", "")
    agent_field = data.pop("claude", None)
    agent_fields = None if agent_field is None else require_object(agent_field, "claude")
    agent = parse_agent_options(model, agent_fields, warnings).agent
    stream = data.pop("stream", None)
    if not isinstance(stream, bool | None):
        raise wrong_type("stream", "true or false", stream)
    betas = _betas(headers, data)
    check_parameters(data)
    body = cast("MessagesRequest", {key: value for key, value in data.items() if key not in {"messages", "system"}})
    body["messages"] = [
        cast("Message", message) if type(message) is KnownMessage else check_message(message, f"messages[{index}]")
        for index, message in enumerate(messages)
    ]
    if any(type(message) is not KnownMessage and has_unsigned_thinking(message) for message in body["messages"]):
        body["messages"] = _without_unsigned_thinking(body["messages"], warnings)
    if not messages:
        raise InvalidRequest("`messages` must hold at least one message.", code="empty_messages", param="messages")
    if "system" in data:
        body["system"] = check_content(data["system"], "system")
    resolved = resolve_model(strip_agent_suffix(model), catalog, warnings)
    body["model"] = resolved.model.id
    request_options = _request_options(headers, betas, agent)
    if agent is not None:
        refuse_fields_with_agent(request_options, _fields_refused_with_agent(data), body)
    return DecodedRequest(
        body=body, resolved=resolved, stream=bool(stream), warnings=tuple(warnings), request_options=request_options
    )


def _without_unsigned_thinking(messages: list[Message], warnings: list[RequestWarning]) -> list[Message]:
    """Remove thinking with an empty signature. It reports what an agent did; Claude did not write it."""
    signed: list[Message] = []
    for index, message in enumerate(messages):
        if not has_unsigned_thinking(message):
            signed.append(message)
            continue
        content = [block for block in message["content"] if not is_unsigned(block)]
        detail = "Reports of an agent's work were left out: Claude did not write them."
        warnings.append(RequestWarning("ignored", f"messages[{index}].content", detail))
        if content:
            signed.append(cast("Message", {**message, "content": content}))
    return signed


def _betas(headers: Headers, data: JSONObject) -> tuple[str, ...]:
    """Return all betas, each once: those of the header and those of the body, where some clients write them.

    They are taken out of the body, in which the API refuses them.
    """
    named = headers.get(b"anthropic-beta", b"").decode("latin-1").split(",")
    for field in _BETA_FIELDS:
        if data.get(field) is not None:
            for index, beta in enumerate(require_list(data, field, "")):
                if not isinstance(beta, str):
                    raise wrong_type(f"{field}[{index}]", "a string", beta)
                named.append(beta)
        data.pop(field, None)
    return tuple(dict.fromkeys(name for beta in named if (name := beta.strip())))


def _request_options(headers: Headers, betas: tuple[str, ...], agent: AgentTask | None) -> RequestOptions:
    version = headers.get(b"anthropic-version", b"").decode("latin-1").strip()
    return RequestOptions(version or None, betas, verbatim=True, agent=agent)


def _fields_refused_with_agent(data: JSONObject) -> dict[str, object]:
    choice = cast("JSONObject", data.get("tool_choice") or {})
    return {
        "tools": data.get("tools"),
        "tool_choice": choice.get("type") not in (None, "auto", "none"),
        "mcp_servers": data.get("mcp_servers"),
        "output_config.format": cast("JSONObject", data.get("output_config") or {}).get("format"),
    }
