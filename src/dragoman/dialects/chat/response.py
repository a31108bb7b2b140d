"""Encode a chat completion, and check it. Plain and streamed responses share the parts here."""

from collections.abc import Sequence

import msgspec

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import GatewayError
from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.chat.messages import reasoning_detail
from dragoman.dialects.chat.request import ChatRequest
from dragoman.dialects.shared.response_parts import (
    arguments_json,
    cited_pages,
    fingerprint,
    finish_reason,
    refusal_text,
    response_id,
)
from dragoman.dialects.shared.structured_output import arguments_warning, format_mismatch
from dragoman.dialects.shared.usage import completion_usage

ID_PREFIX = "chatcmpl-"


def encode_chat(request: ChatRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage]) -> bytes:
    """Encode the whole response."""
    body = {
        **common_fields(request, identity, "chat.completion"),
        "choices": [
            {
                "index": index,
                "message": _message(request, answer),
                "logprobs": None,
                "finish_reason": chat_finish_reason(request, answer),
            }
            for index, answer in enumerate(answers)
        ],
        "usage": completion_usage(answer.message.get("usage", {}) for answer in answers),
    }
    return msgspec.json.encode(body)


def common_fields(request: ChatRequest, identity: ResponseIdentity, kind: str) -> JSONObject:
    """Return the fields with which the response and each chunk of its stream begin."""
    model = request.resolved.model.id
    return {
        "id": response_id(ID_PREFIX, identity),
        "object": kind,
        "created": identity.created,
        "model": model,
        "system_fingerprint": fingerprint(model),
    }


def chat_finish_reason(request: ChatRequest, answer: AccumulatedMessage) -> str:
    """Return the `finish_reason`; calls in the legacy form have their own."""
    reason = finish_reason(answer.message.get("stop_reason"))
    return "function_call" if request.legacy_functions and reason == "tool_calls" else reason


def annotations(block: Block, start: int) -> list[JSON]:
    """Return the citations of a text block.

    Args:
        block: A finished text block.
        start: The position of its text in the message's content, in characters.
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


def argument_warnings(request: ChatRequest, answers: Sequence[AccumulatedMessage]) -> tuple[RequestWarning, ...]:
    """Warn of tool arguments that do not match the client's schemas. The client gets them unchanged."""
    warnings = []
    for choice, answer in enumerate(answers):
        calls = [block for block in answer.message.get("content", []) if block.get("type") == "tool_use"]
        for index, block in enumerate(calls):
            param = f"choices[{choice}].message.tool_calls[{index}].function.arguments"
            warnings.append(arguments_warning(str(block.get("name")), block.get("input"), request.tool_schemas, param))
    return tuple(warning for warning in warnings if warning)


def invalid_choices(request: ChatRequest, answers: Sequence[AccumulatedMessage]) -> dict[int, GatewayError]:
    """Return the error of each choice whose text does not match `response_format`, by choice."""
    errors = ((index, format_mismatch(answer, request.output_format)) for index, answer in enumerate(answers))
    return {index: error for index, error in errors if error}


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
            arguments = arguments_json(block, answer.arguments.get(index))
            function: JSONObject = {"name": block.get("name"), "arguments": arguments}
            calls.append({"id": block.get("id"), "type": "function", "function": function})
        elif detail := reasoning_detail(block, len(details)):
            details.append(detail)
            reasoning += str(detail.get("text") or "")
    message: JSONObject = {
        "role": "assistant",
        "content": text or None,
        "refusal": refusal_text(answer.message),
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
