"""Rules of messages: roles, order, fields, empty content, and a prefill."""

from collections.abc import Mapping
from types import MappingProxyType

from dragoman.simulator.errors import invalid_request
from dragoman.simulator.json_values import blocks_of, list_of, objects_of, text_of
from dragoman.simulator.request import RUNTIME_BETA, ApiRequest

_MAX_MESSAGES = 100_000
_FIELDS_BY_ROLE: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "user": frozenset({"role", "content"}),
        "assistant": frozenset({"role", "content"}),
        "system": frozenset({"role", "content", "clear_at", "output_config"}),
    }
)


def required(request: ApiRequest) -> None:
    """There is at least one message."""
    messages = request.body.get("messages")
    if messages is None:
        raise invalid_request("messages: Field required")
    if not isinstance(messages, list):
        raise invalid_request("messages: Input should be a valid list")
    if not messages:
        raise invalid_request("messages: at least one message is required")


def roles(request: ApiRequest) -> None:
    """A role is `user`, `assistant`, or `system` if the model accepts it."""
    if len(request.messages) > _MAX_MESSAGES:
        raise invalid_request(f"messages: List should have at most {_MAX_MESSAGES} items")
    for index, message in enumerate(list_of(request.body.get("messages"))):
        if not isinstance(message, dict):
            raise invalid_request(
                f"messages.{index}: Input should be a valid dictionary or object to extract fields from"
            )
        role = message.get("role")
        if role is None:
            raise invalid_request(f"messages.{index}.role: Field required")
        if role == "system" and not _accepts_system_messages(request):
            raise invalid_request(
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not '
                '"system" as an input message role.'
            )
        if role not in _FIELDS_BY_ROLE:
            raise invalid_request(f'messages: Unexpected role "{role}". Allowed roles are "user" or "assistant"')


def fields(request: ApiRequest) -> None:
    """Content is a string or a list of blocks. There are no other fields."""
    for index, message in enumerate(request.messages):
        for name in message:
            # `effort` checks `output_config`, by model.
            if name not in _FIELDS_BY_ROLE[text_of(message["role"])] and name != "output_config":
                raise invalid_request(f"messages.{index}.{name}: Extra inputs are not permitted")
        content = message.get("content")
        if content is None:
            raise invalid_request(f"messages.{index}.content: Field required")
        if not isinstance(content, str | list):
            raise invalid_request(f"messages.{index}.content: Input should be a valid list")
        if len(objects_of(content)) != len(list_of(content)):
            raise invalid_request(
                f"messages.{index}.content: Input should be a valid dictionary or object to extract fields from"
            )


def first_is_user(request: ApiRequest) -> None:
    """The first message is the user's. Only system messages can precede it."""
    first = next((message for message in request.messages if message["role"] != "system"), None)
    if first is None or first["role"] != "user":
        raise invalid_request('messages: first message must use the "user" role')


def effort(request: ApiRequest) -> None:
    """A system message can set the effort of the rest, with a beta and a model that supports it."""
    for index, message in enumerate(request.messages):
        if "output_config" not in message:
            continue
        if message["role"] != "system" or not any(beta.startswith("per-turn-control-") for beta in request.betas):
            raise invalid_request(f"messages.{index}.output_config: Extra inputs are not permitted")
        if not request.model.message_effort:
            raise invalid_request(f"messages.{index}.output_config: requires a model that supports per-turn effort")


def not_empty(request: ApiRequest) -> None:
    """Only two messages can be empty: the last one if it is the assistant's, and a system message with a setting."""
    last = len(request.messages) - 1
    for index, message in enumerate(request.messages):
        if message.get("content") or (message["role"] == "system" and "output_config" in message):
            continue
        if message["role"] != "assistant" or index != last:
            raise invalid_request(
                f"messages.{index}: all messages must have non-empty content except for the optional final assistant "
                "message"
            )


def prefill(request: ApiRequest) -> None:
    """An assistant message at the end begins the response, if the model accepts that."""
    last = [message for message in request.messages if message["role"] != "system"][-1]
    if last["role"] != "assistant" or _continues_pause(request):
        return
    if not request.model.prefill:
        raise invalid_request(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    blocks = blocks_of(last.get("content"))
    text = text_of(blocks[-1].get("text")) if blocks else ""
    if text != text.rstrip():
        raise invalid_request("messages: final assistant content cannot end with trailing whitespace")


def _accepts_system_messages(request: ApiRequest) -> bool:
    """By model. A signed-in runtime also sends system messages to Sonnet 5, against the documentation."""
    return request.model.system_messages or (request.model.id == "claude-sonnet-5" and RUNTIME_BETA in request.betas)


def _continues_pause(request: ApiRequest) -> bool:
    """Return whether the last message is a turn that stopped with `pause_turn` and continues with this request."""
    blocks = blocks_of(request.messages[-1].get("content"))
    return bool(blocks) and blocks[-1].get("type") == "server_tool_use"
