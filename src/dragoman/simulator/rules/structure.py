"""Messages: their roles, their order and the shape of their content."""

from collections.abc import Mapping
from types import MappingProxyType

from dragoman.simulator.call import RUNTIME_BETA, Call
from dragoman.simulator.problem import refuse
from dragoman.simulator.shapes import list_of, objects_of, text_of

_MOST_MESSAGES = 100_000
_FIELDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "user": frozenset({"role", "content"}),
        "assistant": frozenset({"role", "content"}),
        "system": frozenset({"role", "content", "clear_at", "output_config"}),
    }
)


def roles(call: Call) -> None:
    """`user`, `assistant`, and `system` where the model takes it."""
    if len(call.messages) > _MOST_MESSAGES:
        raise refuse(f"messages: List should have at most {_MOST_MESSAGES} items")
    for index, message in enumerate(list_of(call.body.get("messages"))):
        if not isinstance(message, dict):
            raise refuse(f"messages.{index}: Input should be a valid dictionary or object to extract fields from")
        role = message.get("role")
        if role is None:
            raise refuse(f"messages.{index}.role: Field required")
        if role == "system" and not _takes_system(call):
            raise refuse(
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not '
                '"system" as an input message role.'
            )
        if role not in _FIELDS:
            raise refuse(f'messages: Unexpected role "{role}". Allowed roles are "user" or "assistant"')


def shapes(call: Call) -> None:
    """Content is a string or a list of blocks; nothing else stands beside it."""
    for index, message in enumerate(call.messages):
        for name in message:
            # The effort of a message has its own rule, by model.
            if name not in _FIELDS[text_of(message["role"])] and name != "output_config":
                raise refuse(f"messages.{index}.{name}: Extra inputs are not permitted")
        content = message.get("content")
        if content is None:
            raise refuse(f"messages.{index}.content: Field required")
        if not isinstance(content, str | list):
            raise refuse(f"messages.{index}.content: Input should be a valid list")
        if len(objects_of(content)) != len(list_of(content)):
            raise refuse(
                f"messages.{index}.content: Input should be a valid dictionary or object to extract fields from"
            )


def first_message(call: Call) -> None:
    """The user begins; system messages may stand before."""
    first = next((message for message in call.messages if message["role"] != "system"), None)
    if first is None or first["role"] != "user":
        raise refuse('messages: first message must use the "user" role')


def message_effort(call: Call) -> None:
    """A system message may set the effort from there on, on models that can change it."""
    for index, message in enumerate(call.messages):
        if "output_config" not in message:
            continue
        if message["role"] != "system" or not any(beta.startswith("per-turn-control-") for beta in call.betas):
            raise refuse(f"messages.{index}.output_config: Extra inputs are not permitted")
        if not call.model.message_effort:
            raise refuse(f"messages.{index}.output_config: requires a model that supports per-turn effort")


def _takes_system(call: Call) -> bool:
    """By model; but the runtime, signed in, sends them to Sonnet 5 too, where the documentation says no."""
    return call.model.system_messages or (call.model.id == "claude-sonnet-5" and RUNTIME_BETA in call.betas)
