"""What a client reads in a response: a document, an error, or neither. One reader for each dialect."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from proof_client import Reply
from proof_message import Answer, Object, sorted_arguments

_FINISH = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}
_ERROR_KEYS = {"message", "type", "param", "code"}
_OK = 200


class Malformed(Exception):  # noqa: N818 - named by what happened
    """A response that its dialect does not allow."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a request ended for its client.

    Attributes:
        error: The code of the error. Empty: success.
        answer: The answer, if it was a success.
        document: The whole response as if it were not streamed, if it was a success.
    """

    error: str
    answer: Answer
    document: Object


def read_reply(dialect: str, reply: Reply) -> Result:
    """Return how a request ended.

    Raises:
        Malformed: It ended in a way that the dialect does not allow. The text begins with `broken` if the
            connection ended too early, and with `cut` if the end is missing.
    """
    try:
        if not reply.is_complete:
            raise Malformed(f"broken: {reply.error or 'the response has no end'}")
        if reply.is_stream:
            return _STREAMS[dialect](list(_events(reply)))
        document = reply.json()
        if reply.status != _OK or document.get("error"):
            return _refused(dialect, reply.status, document)
        return read_document(dialect, document)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise Malformed(f"{type(error).__name__}: {error}") from error


def read_document(dialect: str, document: Object) -> Result:
    """Return how a response that is not streamed ended."""
    if dialect == "responses" and document["status"] == "failed":
        return _failed(document)
    return Result("", _DOCUMENTS[dialect](document), document)


def _refused(dialect: str, status: int, document: Object) -> Result:
    if dialect == "responses" and status == _OK and document.get("object") == "response":
        return _failed(document)
    if status < 400:
        raise Malformed(f"an error with status {status}")
    return _anthropic_error(document) if dialect == "messages" else _openai_error(document)


def _failed(document: Object) -> Result:
    error = document["error"]
    _require(isinstance(error["code"], str) and isinstance(error["message"], str) and error["message"], "error")
    return Result(error["code"], Answer(), {})


def _openai_error(document: Object) -> Result:
    error = document["error"]
    _require(set(error) >= _ERROR_KEYS and error["message"] and error["type"], "an error without its keys")
    return Result(str(error["code"]), Answer(), {})


def _anthropic_error(document: Object) -> Result:
    error = document["error"]
    _require(document["type"] == "error" and error["type"] and error["message"], "an error without its keys")
    return Result(str(error["details"]["code"]), Answer(), {})


def _events(reply: Reply) -> Iterable[Any]:
    """Yield the data of each event; the end of a chat stream is the text `[DONE]`."""
    text = bytes(reply.body).decode()
    _require(not text or text.endswith("\n\n"), "cut: the last event has no end")
    for event in text.split("\n\n"):
        lines = [line.removeprefix("data: ") for line in event.split("\n") if line.startswith("data: ")]
        if lines:
            yield lines[0] if lines == ["[DONE]"] else json.loads("\n".join(lines))


def _chat_document(document: Object) -> Answer:
    [choice] = document["choices"]
    message = choice["message"]
    calls = [call["function"] for call in message.get("tool_calls") or []]
    return Answer(
        message["content"] or "",
        message.get("reasoning_content") or "",
        tuple(_call(call["name"], call["arguments"]) for call in calls),
        _FINISH.get(choice["finish_reason"], str(choice["finish_reason"])),
    )


def _call(name: str, arguments: str) -> tuple[str, str]:
    return name, sorted_arguments(json.loads(arguments))


def _completions_document(document: Object) -> Answer:
    [choice] = document["choices"]
    return Answer(choice["text"], "", (), _FINISH.get(choice["finish_reason"], str(choice["finish_reason"])))


def _messages_document(document: Object) -> Answer:
    blocks = document["content"]
    return Answer(
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        "".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        tuple(
            (block["name"], sorted_arguments(block["input"]))
            for block in blocks
            if block["type"] == "tool_use" and isinstance(block["input"], dict)
        ),
        document["stop_reason"],
    )


def _responses_document(document: Object) -> Answer:
    items = document["output"]
    parts = [part for item in items if item["type"] == "message" for part in item["content"]]
    summaries = [part["text"] for item in items if item["type"] == "reasoning" for part in item["summary"]]
    calls = tuple(_call(item["name"], item["arguments"]) for item in items if item["type"] == "function_call")
    _require(document["status"] in {"completed", "incomplete"}, f"the status {document['status']}")
    ending = "tool_use" if calls else "end_turn"
    if document["status"] == "incomplete":
        ending = {"max_output_tokens": "max_tokens"}[document["incomplete_details"]["reason"]]
    return Answer("".join(part["text"] for part in parts), "".join(summaries), calls, ending)


def _chat_stream(events: list[Any]) -> Result:
    if failed := _error_at_end(events, _openai_error):
        return failed
    _require(events and events.pop() == "[DONE]", "cut: no [DONE]")
    message: Object = {"role": "assistant", "content": "", "reasoning_content": ""}
    calls: list[Object] = []
    finish = None
    for choice in (choice for event in events for choice in event["choices"]):
        _require(finish is None, "a part after the end")
        finish, delta = choice["finish_reason"], choice["delta"]
        message["content"] += delta.get("content") or ""
        message["reasoning_content"] += delta.get("reasoning_content") or ""
        if delta.get("reasoning_details"):
            message.setdefault("reasoning_details", []).extend(delta["reasoning_details"])
        for call in delta.get("tool_calls") or []:
            if call["index"] == len(calls):
                calls.append({"id": call["id"], "type": "function", "function": {**call["function"]}})
            else:
                _require(call["index"] == len(calls) - 1, "a call out of order")
                calls[-1]["function"]["arguments"] += call["function"]["arguments"]
    message |= {"tool_calls": calls} if calls else {}
    _require(finish is not None, "cut: no finish_reason")
    document = {"id": events[0]["id"], "choices": [{"message": message, "finish_reason": finish}]}
    return Result("", _chat_document(document), document)


def _completions_stream(events: list[Any]) -> Result:
    if failed := _error_at_end(events, _openai_error):
        return failed
    _require(events and events.pop() == "[DONE]", "cut: no [DONE]")
    choices = [choice for event in events for choice in event["choices"]]
    _require([choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1), "two ends")
    document = {"choices": [{**choices[-1], "text": "".join(choice["text"] for choice in choices)}]}
    return Result("", _completions_document(document), document)


def _error_at_end(events: list[Any], read: Callable[[Object], Result]) -> Result | None:
    """Return the error that ends a stream. It may be nowhere else."""
    failed = [index for index, event in enumerate(events) if isinstance(event, dict) and event.get("error")]
    _require(failed in ([], [len(events) - 1]), "an event after the error")
    return read(events[-1]) if failed else None


def _messages_stream(events: list[Any]) -> Result:
    if failed := _error_at_end(events, _anthropic_error):
        return failed
    _require(events[-1]["type"] == "message_stop", "cut: no message_stop")
    message = {**events[0]["message"], "content": []}
    blocks: list[Object] = message["content"]
    for event in events[1:-1]:
        match event["type"]:
            case "content_block_start":
                _require(event["index"] == len(blocks), "a block out of order")
                blocks.append({**event["content_block"], "json": ""})
            case "content_block_delta":
                _require(event["index"] == len(blocks) - 1, "a delta out of order")
                _extend(blocks[-1], event["delta"])
            case "message_delta":
                message["stop_reason"] = event["delta"]["stop_reason"]
    for block in blocks:
        text = block.pop("json")
        if block["type"] == "tool_use":
            block["input"] = json.loads(text or "{}")
    return Result("", _messages_document(message), message)


def _extend(block: Object, delta: Object) -> None:
    key = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "json"}.get(delta["type"])
    if key is not None:
        block[key] += delta[delta["type"].removesuffix("_delta") if key != "json" else "partial_json"]
    elif delta["type"] == "signature_delta":
        block["signature"] = delta["signature"]


def _responses_stream(events: list[Any]) -> Result:
    """Read the document at the end of a stream. Its texts must be those of the deltas, each once."""
    _require(events and isinstance(events[-1], dict), "cut: no event")
    if events[-1]["type"] == "error":
        _require(isinstance(events[-1]["message"], str), "an error without its keys")
        return Result(str(events[-1]["code"]), Answer(), {})
    ends = ("response.completed", "response.incomplete", "response.failed")
    _require(events[-1]["type"] in ends, f"cut: {events[-1]['type']} at the end")
    _require([event["sequence_number"] for event in events] == list(range(len(events))), "numbers with a gap")
    document = events[-1]["response"]
    result = read_document("responses", document)
    if not result.error:
        for kind, text in (("output_text", result.answer.text), ("reasoning_summary_text", result.answer.thinking)):
            deltas = (event["delta"] for event in events if event["type"] == f"response.{kind}.delta")
            _require("".join(deltas) == text, f"the deltas of {kind} are not the text of the document")
    return result


def _require(holds: object, reason: str) -> None:
    if not holds:
        raise Malformed(reason)


_DOCUMENTS: Mapping[str, Callable[[Object], Answer]] = {
    "chat": _chat_document,
    "completions": _completions_document,
    "messages": _messages_document,
    "responses": _responses_document,
}
_STREAMS: Mapping[str, Callable[[list[Any]], Result]] = {
    "chat": _chat_stream,
    "completions": _completions_stream,
    "messages": _messages_stream,
    "responses": _responses_stream,
}
