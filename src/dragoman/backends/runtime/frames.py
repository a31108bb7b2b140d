"""The frames written to the runtime's stdin for a conversation.

Each user frame is `client_composed`: its text is delivered as written, no file is read and no command run for it.
"""

from collections.abc import Iterator, Sequence

from dragoman.messages import JSON, Block, JSONObject, Message

_NO_USAGE: JSONObject = {"input_tokens": 0, "output_tokens": 0}


def user(content: Sequence[Block], *, ask: bool) -> JSONObject:
    """A user message; with `ask` the model is called, without it the message is only appended."""
    frame: JSONObject = {
        "type": "user",
        "message": {"role": "user", "content": list[JSON](content)},
        "parent_tool_use_id": None,
        "session_id": "default",
        "client_composed": True,
    }
    if not ask:
        frame["shouldQuery"] = False
    return frame


def assistant(content: Sequence[Block], model: str, number: int) -> JSONObject:
    """An assistant message of earlier, appended as it is. `number` tells it from the others of its conversation."""
    calls = any(block.get("type") == "tool_use" for block in content)
    return {
        "type": "assistant",
        "message": {
            "id": f"msg_replayed_{number}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": list[JSON](content),
            "stop_reason": "tool_use" if calls else "end_turn",
            "stop_sequence": None,
            "usage": dict(_NO_USAGE),
        },
        "parent_tool_use_id": None,
        "session_id": "default",
    }


def replay(messages: Sequence[Message], model: str) -> Iterator[list[JSONObject]]:
    """The batches that put a conversation into a fresh process; the last one asks.

    Write a batch, wait for its `result`, write the next: without the wait, assistant messages overtake the user
    messages that the runtime has queued. An assistant message travels with the user message behind it, which saves a
    wait. A conversation that ends with the assistant (a prefill) is asked by an empty user message, which the runtime
    leaves out of the request.
    """
    last = len(messages) - 1
    batch: list[JSONObject] = []
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            batch.append(assistant(message["content"], model, number))
        else:
            batch.append(user(message["content"], ask=number == last))
            yield batch
            batch = []
    if batch:
        yield [*batch, user([], ask=True)]
