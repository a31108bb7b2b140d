"""What plain and streamed chat completions say alike: the reason for the end, citations.

Whole answers as a chat completion.
"""

from collections.abc import Sequence

import msgspec

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import GatewayError, UpstreamFailed
from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.chat.messages import detail
from dragoman.dialects.chat.request import ChatRequest
from dragoman.dialects.shared import answers
from dragoman.dialects.shared.answers import answer_id, arguments_text, cited_pages, fingerprint, refusal_of
from dragoman.dialects.shared.structured_output import check_arguments, text_fault
from dragoman.dialects.shared.usage import usage_of

ID = "chatcmpl-"


def finish_reason(stop_reason: object, *, legacy: bool) -> str:
    """Why the answer ended, in OpenAI's words.

    Args:
        stop_reason: The API's word.
        legacy: Whether the client speaks of functions, not of tools.
    """
    reason = answers.finish_reason(stop_reason)
    return "function_call" if legacy and reason == "tool_calls" else reason


def annotations(block: Block, start: int) -> list[JSON]:
    """The web pages that a text block cites.

    Args:
        block: A whole text block.
        start: Where its text begins in the message's content, in characters.
    """
    text = block.get("text")
    end = start + (len(text) if isinstance(text, str) else 0)
    return [
        {
            "type": "url_citation",
            "url_citation": {"start_index": start, "end_index": end, "url": url, "title": title},
        }
        for url, title in cited_pages(block).items()
    ]


def encode(request: ChatRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage]) -> bytes:
    """The body of a plain answer."""
    model = request.resolved.model.id
    body: JSONObject = {
        "id": answer_id(ID, identity),
        "object": "chat.completion",
        "created": identity.created,
        "model": model,
        "system_fingerprint": fingerprint(model),
        "choices": [_choice(request, answer, index) for index, answer in enumerate(answers)],
        "usage": usage_of(answer.message.get("usage", {}) for answer in answers),
    }
    return msgspec.json.encode(body)


def response_warnings(request: ChatRequest, answers: Sequence[AccumulatedMessage]) -> tuple[RequestWarning, ...]:
    """Tool arguments that do not fit the client's own schemas. The client gets them all the same."""
    found = []
    for choice, answer in enumerate(answers):
        calls = [block for block in answer.message.get("content", []) if block.get("type") == "tool_use"]
        for place, block in enumerate(calls):
            param = f"choices[{choice}].message.tool_calls[{place}].function.arguments"
            found.append(check_arguments(str(block.get("name")), block.get("input"), request.tool_schemas, param))
    return tuple(warning for warning in found if warning)


def invalid_choices(request: ChatRequest, answers: Sequence[AccumulatedMessage]) -> dict[int, GatewayError]:
    """Return the error of each choice whose text does not match `response_format`."""
    errors = ((index, format_error(request, answer)) for index, answer in enumerate(answers))
    return {index: error for index, error in errors if error}


def format_error(request: ChatRequest, answer: AccumulatedMessage) -> UpstreamFailed | None:
    """Return an error if the text does not match `response_format`. With tool calls, the text comes in a later turn."""
    if request.answer_format is None:
        return None
    blocks = answer.message.get("content", [])
    if any(block.get("type") == "tool_use" for block in blocks):
        return None
    text = "".join(str(block.get("text") or "") for block in blocks if block.get("type") == "text")
    return text_fault(text, answer.message.get("stop_reason"), request.answer_format)


def _choice(request: ChatRequest, answer: AccumulatedMessage, index: int) -> JSONObject:
    stop_reason = answer.message.get("stop_reason")
    return {
        "index": index,
        "message": _message(request, answer),
        "logprobs": None,
        "finish_reason": finish_reason(stop_reason, legacy=request.legacy_functions),
    }


def _message(request: ChatRequest, answer: AccumulatedMessage) -> JSONObject:
    text, reasoning = "", ""
    cited: list[JSON] = []
    details: list[JSON] = []
    calls: list[JSONObject] = []
    for index, block in enumerate(answer.message.get("content", [])):
        kind = block.get("type")
        if kind == "text":
            cited += annotations(block, len(text))
            text += str(block.get("text") or "")
        elif kind == "tool_use":
            calls.append(_call(block, answer.arguments.get(index)))
        elif entry := detail(block, len(details)):
            details.append(entry)
            reasoning += str(entry.get("text") or "")
    message: JSONObject = {
        "role": "assistant",
        "content": text or None,
        "refusal": refusal_of(answer.message),
        "annotations": cited,
    }
    if reasoning:
        message["reasoning_content"] = reasoning
    if details:
        message["reasoning_details"] = details
    if calls and request.legacy_functions:
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = [*calls]
    return message


def _call(block: JSONObject, written: str | None) -> JSONObject:
    return {
        "id": block.get("id"),
        "type": "function",
        "function": {"name": block.get("name"), "arguments": arguments_text(block, written)},
    }
