"""Empty messages, and the answer that the client began."""

from dragoman.simulator.call import Call
from dragoman.simulator.problem import refuse
from dragoman.simulator.shapes import blocks_of, text_of


def not_empty(call: Call) -> None:
    """Only the last message may be empty, if it is the assistant's; a system message, if it sets something."""
    last = len(call.messages) - 1
    for index, message in enumerate(call.messages):
        if message.get("content") or (message["role"] == "system" and "output_config" in message):
            continue
        if message["role"] != "assistant" or index != last:
            raise refuse(
                f"messages.{index}: all messages must have non-empty content except for the optional final assistant "
                "message"
            )


def prefill(call: Call) -> None:
    """An assistant message at the end begins the answer, where the model takes that."""
    spoken = [message for message in call.messages if message["role"] != "system"]
    last = spoken[-1]
    if last["role"] != "assistant" or _is_paused(call):
        return
    if not call.model.prefill:
        raise refuse(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    blocks = blocks_of(last.get("content"))
    text = text_of(blocks[-1].get("text")) if blocks else ""
    if text != text.rstrip():
        raise refuse("messages: final assistant content cannot end with trailing whitespace")


def _is_paused(call: Call) -> bool:
    """Whether the last message is a turn that stopped with `pause_turn`, which is sent back to go on."""
    blocks = blocks_of(call.messages[-1].get("content"))
    return bool(blocks) and blocks[-1].get("type") == "server_tool_use"
