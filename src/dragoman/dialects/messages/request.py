"""A request of the Messages API to the canonical one: the same JSON, content always as lists of blocks."""

from typing import cast

from dragoman.core.catalog import Catalog
from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import (
    JSON,
    AgentTask,
    BareText,
    Block,
    JSONObject,
    Message,
    MessagesRequest,
    RequestOptions,
)
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DecodedRequest, Headers
from dragoman.dialects.messages import schema
from dragoman.dialects.shared import agent_options, validation
from dragoman.dialects.shared.validation import resolve_model

_ROLES = frozenset({"user", "assistant", "system"})


def decode_message(raw: bytes, headers: Headers, catalog: Catalog) -> DecodedRequest:
    """Understand a request.

    What the gateway itself reads is checked; everything else is passed on, and is Claude's to refuse.

    Raises:
        InvalidRequest: With the field's name in `param`.
        NotFound: The model does not exist.
    """
    data = schema.object_of(validation.parse(raw), "")
    warnings: list[RequestWarning] = []
    model = schema.text_of(data, "model", "")
    messages = schema.list_at(data, "messages", "")
    field = data.pop("claude", None)
    agent = agent_options.agent_terms(
        model, None if field is None else schema.object_of(field, "claude"), warnings
    ).agent
    stream = data.pop("stream", None)
    if not isinstance(stream, bool | None):
        raise schema.wrong("stream", "true or false", stream)
    schema.check_parameters(data)
    made = {key: value for key, value in data.items() if key not in {"messages", "system"}}
    body = cast("MessagesRequest", made)
    body["messages"] = [_message(message, place) for place, message in enumerate(messages)]
    if b"signature" in raw:
        body["messages"] = _signed(body["messages"], warnings)
    if not messages:
        raise InvalidRequest("`messages` must hold at least one message.", code="empty_messages", param="messages")
    if "system" in data:
        body["system"] = _content(data["system"], "system")
    resolved = resolve_model(agent_options.plain_model(model), catalog, warnings)
    body["model"] = resolved.model.id
    request_options = _terms(headers, agent)
    agent_options.check_beside(request_options, _not_of_agents(data), body)
    return DecodedRequest(
        body=body, resolved=resolved, stream=bool(stream), warnings=tuple(warnings), request_options=request_options
    )


def _not_of_agents(data: JSONObject) -> dict[str, object]:
    choice = cast("JSONObject", data.get("tool_choice") or {})
    return {
        "tools": data.get("tools"),
        "tool_choice": choice.get("type") not in (None, "auto", "none"),
        "mcp_servers": data.get("mcp_servers"),
        "output_config.format": cast("JSONObject", data.get("output_config") or {}).get("format"),
    }


def _signed(messages: list[Message], warnings: list[RequestWarning]) -> list[Message]:
    """The conversation without thinking that has an empty signature: what an agent did, which Claude did not think."""
    kept: list[Message] = []
    for place, message in enumerate(messages):
        content = [block for block in message["content"] if not _unsigned(block)]
        if len(content) == len(message["content"]):
            kept.append(message)
            continue
        warnings.append(
            RequestWarning("ignored", f"messages[{place}].content", "What an agent did is not sent to Claude.")
        )
        if content:
            kept.append(cast("Message", {**message, "content": content}))
    return kept


def _unsigned(block: Block) -> bool:
    return block.get("type") == "thinking" and block.get("signature") == ""


def _terms(headers: Headers, agent: AgentTask | None) -> RequestOptions:
    version = headers.get(b"anthropic-version", b"").decode("latin-1").strip()
    betas = headers.get(b"anthropic-beta", b"").decode("latin-1").split(",")
    return RequestOptions(
        version or None, tuple(name for beta in betas if (name := beta.strip())), verbatim=True, agent=agent
    )


def _message(value: JSON, place: int) -> Message:
    path = f"messages[{place}]"
    message = schema.object_of(value, path)
    role = schema.text_of(message, "role", path)
    if role not in _ROLES:
        raise InvalidRequest(
            f"`{path}.role` is `{role}`; it may be `user`, `assistant` or `system`.", param=f"{path}.role"
        )
    if "content" not in message:
        raise schema.missing(f"{path}.content")
    return cast("Message", {**message, "content": _content(message["content"], f"{path}.content")})


def _content(value: JSON, path: str) -> list[Block]:
    if isinstance(value, str):
        return BareText(value)
    if not isinstance(value, list):
        raise schema.wrong(path, "a string or a list of blocks", value)
    for place, block in enumerate(value):
        schema.check_block(block, f"{path}[{place}]")
    return cast("list[JSONObject]", value)
