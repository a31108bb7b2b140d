"""The objects of Open Responses that the gateway sends: their fields, types and required fields.

This is a list of facts from the published description of Open Responses, reduced to the objects, variants and fields
that the gateway sends. It replaces the description in the tests. `responses_spec` also validates against the
description itself, if it is available.

Source: https://www.openresponses.org, version 2.3.0.
"""

from collections.abc import Mapping

from schema_terms import (
    ANY,
    BOOLEAN,
    INTEGER,
    NUMBER,
    OBJECT,
    STRING,
    Schema,
    array,
    either,
    enum,
    fields,
    nullable,
    string_map,
)

_STATUS = enum("in_progress", "completed", "incomplete")
_TOOL_CHOICE_VALUE = enum("none", "auto", "required")
_FUNCTION_CHOICE = fields({"type": enum("function")}, {"name": STRING})
_URL_CITATION = fields(
    {"type": enum("url_citation"), "url": STRING, "start_index": INTEGER, "end_index": INTEGER, "title": STRING}
)
_LOGPROBS = array(
    fields(
        {
            "token": STRING,
            "logprob": NUMBER,
            "bytes": array(INTEGER),
            "top_logprobs": array(fields({"token": STRING, "logprob": NUMBER, "bytes": array(INTEGER)})),
        }
    )
)
_OUTPUT_TEXT = fields(
    {"type": enum("output_text"), "text": STRING, "annotations": array(_URL_CITATION)}, {"logprobs": _LOGPROBS}
)
_CONTENT = either(
    _OUTPUT_TEXT,
    fields({"type": enum("refusal"), "refusal": STRING}),
    fields({"type": enum("input_text", "text", "summary_text", "reasoning_text"), "text": STRING}),
    fields(
        {"type": enum("input_image"), "image_url": nullable(STRING), "detail": enum("low", "high", "auto")},
    ),
    fields({"type": enum("input_file")}, {"filename": STRING, "file_url": STRING}),
)
_ITEM = either(
    fields(
        {
            "type": enum("message"),
            "id": STRING,
            "status": _STATUS,
            "role": enum("user", "assistant", "system", "developer"),
            "content": array(_CONTENT),
        }
    ),
    fields(
        {
            "type": enum("function_call"),
            "id": STRING,
            "call_id": STRING,
            "name": STRING,
            "arguments": STRING,
            "status": _STATUS,
        }
    ),
    fields(
        {"type": enum("reasoning"), "id": STRING, "summary": array(_CONTENT)},
        {"content": array(_CONTENT), "encrypted_content": STRING},
    ),
)
_TOOL = fields(
    {
        "type": enum("function"),
        "name": STRING,
        "description": nullable(STRING),
        "parameters": nullable(OBJECT),
        "strict": nullable(BOOLEAN),
    }
)
_RESPONSE = fields(
    {
        "id": STRING,
        "object": enum("response"),
        "created_at": INTEGER,
        "completed_at": nullable(INTEGER),
        "status": STRING,
        "incomplete_details": nullable(fields({"reason": STRING})),
        "model": STRING,
        "previous_response_id": nullable(STRING),
        "instructions": nullable(STRING),
        "output": array(_ITEM),
        "error": nullable(fields({"code": STRING, "message": STRING})),
        "tools": array(_TOOL),
        "tool_choice": either(
            _TOOL_CHOICE_VALUE,
            _FUNCTION_CHOICE,
            fields({"type": enum("allowed_tools"), "tools": array(_FUNCTION_CHOICE), "mode": _TOOL_CHOICE_VALUE}),
        ),
        "truncation": enum("auto", "disabled"),
        "parallel_tool_calls": BOOLEAN,
        "text": fields(
            {"format": fields({"type": enum("text", "json_object")})}, {"verbosity": enum("low", "medium", "high")}
        ),
        "top_p": NUMBER,
        "presence_penalty": NUMBER,
        "frequency_penalty": NUMBER,
        "top_logprobs": INTEGER,
        "temperature": NUMBER,
        "reasoning": nullable(
            fields(
                {
                    "effort": nullable(enum("none", "low", "medium", "high", "xhigh")),
                    "summary": nullable(enum("concise", "detailed", "auto")),
                }
            )
        ),
        "usage": nullable(
            fields(
                {
                    "input_tokens": INTEGER,
                    "output_tokens": INTEGER,
                    "total_tokens": INTEGER,
                    "input_tokens_details": fields({"cached_tokens": INTEGER}),
                    "output_tokens_details": fields({"reasoning_tokens": INTEGER}),
                }
            )
        ),
        "max_output_tokens": nullable(INTEGER),
        "max_tool_calls": nullable(INTEGER),
        "store": BOOLEAN,
        "background": BOOLEAN,
        "service_tier": STRING,
        "metadata": ANY,
        "safety_identifier": nullable(STRING),
        "prompt_cache_key": nullable(STRING),
    }
)

_IN_ITEM: Mapping[str, Schema] = {"item_id": STRING, "output_index": INTEGER}
_IN_CONTENT: Mapping[str, Schema] = {**_IN_ITEM, "content_index": INTEGER}
_IN_SUMMARY: Mapping[str, Schema] = {**_IN_ITEM, "summary_index": INTEGER}
_ITEM_EVENT: Mapping[str, Schema] = {"output_index": INTEGER, "item": nullable(_ITEM)}
_ERROR_PAYLOAD = fields(
    {"type": STRING, "code": nullable(STRING), "message": STRING, "param": nullable(STRING)}, {"headers": string_map()}
)
_EVENTS: Mapping[str, tuple[str, Mapping[str, Schema], Mapping[str, Schema]]] = {
    "Error": ("error", {"error": _ERROR_PAYLOAD}, {}),
    **{
        f"Response{name.title().replace('_', '')}": (f"response.{name}", {"response": _RESPONSE}, {})
        for name in ("created", "queued", "in_progress", "completed", "failed", "incomplete")
    },
    "ResponseOutputItemAdded": ("response.output_item.added", _ITEM_EVENT, {}),
    "ResponseOutputItemDone": ("response.output_item.done", _ITEM_EVENT, {}),
    "ResponseContentPartAdded": ("response.content_part.added", {**_IN_CONTENT, "part": _CONTENT}, {}),
    "ResponseContentPartDone": ("response.content_part.done", {**_IN_CONTENT, "part": _CONTENT}, {}),
    "ResponseOutputTextDelta": (
        "response.output_text.delta",
        {**_IN_CONTENT, "delta": STRING},
        {"logprobs": _LOGPROBS, "obfuscation": STRING},
    ),
    "ResponseOutputTextDone": (
        "response.output_text.done",
        {**_IN_CONTENT, "text": STRING},
        {"logprobs": _LOGPROBS},
    ),
    "ResponseOutputTextAnnotationAdded": (
        "response.output_text.annotation.added",
        {**_IN_CONTENT, "annotation_index": INTEGER, "annotation": nullable(_URL_CITATION)},
        {},
    ),
    "ResponseRefusalDelta": ("response.refusal.delta", {**_IN_CONTENT, "delta": STRING}, {}),
    "ResponseRefusalDone": ("response.refusal.done", {**_IN_CONTENT, "refusal": STRING}, {}),
    "ResponseReasoningSummaryPartAdded": (
        "response.reasoning_summary_part.added",
        {**_IN_SUMMARY, "part": _CONTENT},
        {},
    ),
    "ResponseReasoningSummaryPartDone": (
        "response.reasoning_summary_part.done",
        {**_IN_SUMMARY, "part": _CONTENT},
        {},
    ),
    "ResponseReasoningSummaryDelta": (
        "response.reasoning_summary_text.delta",
        {**_IN_SUMMARY, "delta": STRING},
        {"obfuscation": STRING},
    ),
    "ResponseReasoningSummaryDone": (
        "response.reasoning_summary_text.done",
        {**_IN_SUMMARY, "text": STRING},
        {},
    ),
    "ResponseFunctionCallArgumentsDelta": (
        "response.function_call_arguments.delta",
        {**_IN_ITEM, "delta": STRING},
        {"obfuscation": STRING},
    ),
    "ResponseFunctionCallArgumentsDone": (
        "response.function_call_arguments.done",
        {**_IN_ITEM, "arguments": STRING},
        {},
    ),
}
"""Name, type, required and optional fields of each event, without `type` and `sequence_number`."""

OBJECTS: Mapping[str, Schema] = {
    "ResponseResource": _RESPONSE,
    **{
        f"{name}StreamingEvent": fields(
            {"type": enum(type_), "sequence_number": INTEGER, **required_fields}, optional_fields
        )
        for name, (type_, required_fields, optional_fields) in _EVENTS.items()
    },
}
"""The objects by the names that the description gives them."""
