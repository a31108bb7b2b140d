"""The objects of OpenAI's Responses API that the gateway sends: their fields, types and required fields.

See `openai_objects` for the source and the purpose.
"""

from collections.abc import Mapping

from schema_terms import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    OBJECT,
    STRING,
    Schema,
    array,
    either,
    enum,
    extended,
    fields,
    nullable,
    number,
    string_map,
)

# Content and items

_ITEM_STATUS = enum("in_progress", "completed", "incomplete")
_URL_CITATION = fields(
    {"type": enum("url_citation"), "url": STRING, "title": STRING, "start_index": INTEGER, "end_index": INTEGER}
)
_LOGPROB = fields(
    {
        "token": STRING,
        "logprob": NUMBER,
        "bytes": array(INTEGER),
        "top_logprobs": array(fields({"token": STRING, "logprob": NUMBER, "bytes": array(INTEGER)})),
    }
)
_OUTPUT_TEXT = fields(
    {"type": enum("output_text"), "text": STRING, "annotations": array(_URL_CITATION), "logprobs": array(_LOGPROB)}
)
_REFUSAL = fields({"type": enum("refusal"), "refusal": STRING})
_SUMMARY_TEXT = fields({"type": enum("summary_text"), "text": STRING})
_REASONING_TEXT = fields({"type": enum("reasoning_text"), "text": STRING})
_INPUT_CONTENT = either(
    fields({"type": enum("input_text"), "text": STRING}),
    fields(
        {"type": enum("input_image"), "detail": enum("low", "high", "auto", "original")},
        {"image_url": nullable(STRING), "file_id": nullable(STRING)},
    ),
    fields(
        {"type": enum("input_file")},
        {
            "file_id": nullable(STRING),
            "filename": STRING,
            "file_data": STRING,
            "file_url": STRING,
            "detail": enum("auto", "low", "high"),
        },
    ),
)
_OUTPUT_MESSAGE = fields(
    {
        "id": STRING,
        "type": enum("message"),
        "role": enum("assistant"),
        "content": array(either(_OUTPUT_TEXT, _REFUSAL)),
        "status": _ITEM_STATUS,
    }
)
_INPUT_MESSAGE = fields(
    {
        "id": STRING,
        "type": enum("message"),
        "role": enum("user", "system", "developer"),
        "content": array(_INPUT_CONTENT),
    },
    {"status": _ITEM_STATUS},
)
_REASONING = fields(
    {"id": STRING, "type": enum("reasoning"), "summary": array(_SUMMARY_TEXT)},
    {"encrypted_content": nullable(STRING), "content": array(_REASONING_TEXT), "status": _ITEM_STATUS},
)
_FUNCTION_CALL = fields(
    {"type": enum("function_call"), "call_id": STRING, "name": STRING, "arguments": STRING},
    {"id": STRING, "namespace": STRING, "status": _ITEM_STATUS},
)
_CUSTOM_CALL = fields(
    {"type": enum("custom_tool_call"), "call_id": STRING, "name": STRING, "input": STRING},
    {"id": STRING, "namespace": STRING},
)
_CALL_OUTPUT = either(STRING, array(_INPUT_CONTENT))
_FUNCTION_CALL_OUTPUT = fields({"type": enum("function_call_output"), "call_id": STRING, "output": _CALL_OUTPUT})
_CUSTOM_CALL_OUTPUT = fields({"type": enum("custom_tool_call_output"), "call_id": STRING, "output": _CALL_OUTPUT})
_WEB_SEARCH_CALL = fields(
    {
        "id": STRING,
        "type": enum("web_search_call"),
        "status": enum("in_progress", "searching", "completed", "failed"),
        "action": fields(
            {"type": enum("search")},
            {
                "query": STRING,
                "queries": array(STRING),
                "sources": array(fields({"type": enum("url"), "url": STRING})),
            },
        ),
    }
)
_COMPACTION = fields({"id": STRING, "type": enum("compaction"), "encrypted_content": STRING}, {"created_by": STRING})
_CLIENT_CALL = {"id": STRING, "call_id": STRING, "status": _ITEM_STATUS}
_TOOL_SEARCH_CALL = fields(
    {**_CLIENT_CALL, "type": enum("tool_search_call"), "execution": enum("server", "client"), "arguments": OBJECT}
)
_LOCAL_SHELL_CALL = fields(
    {
        **_CLIENT_CALL,
        "type": enum("local_shell_call"),
        "action": fields(
            {"type": enum("exec"), "command": array(STRING), "env": string_map()},
            {"timeout_ms": nullable(INTEGER), "working_directory": nullable(STRING), "user": nullable(STRING)},
        ),
    }
)
_SHELL_CALL = fields(
    {
        **_CLIENT_CALL,
        "type": enum("shell_call"),
        "action": fields(
            {"commands": array(STRING), "timeout_ms": nullable(INTEGER), "max_output_length": nullable(INTEGER)}
        ),
        "environment": nullable(fields({"type": enum("local")})),
    }
)
_PATCH_CALL = fields(
    {
        **_CLIENT_CALL,
        "type": enum("apply_patch_call"),
        "operation": fields(
            {"type": enum("create_file", "update_file", "delete_file"), "path": STRING}, {"diff": STRING}
        ),
    }
)
_OUTPUT_ITEM = either(
    _OUTPUT_MESSAGE,
    _REASONING,
    _FUNCTION_CALL,
    _CUSTOM_CALL,
    _WEB_SEARCH_CALL,
    _COMPACTION,
    _TOOL_SEARCH_CALL,
    _LOCAL_SHELL_CALL,
    _SHELL_CALL,
    _PATCH_CALL,
)
_STORED: Mapping[str, Schema] = {"id": STRING, "status": _ITEM_STATUS}
_STORED_ITEM = either(
    _INPUT_MESSAGE,
    _OUTPUT_MESSAGE,
    _REASONING,
    _WEB_SEARCH_CALL,
    _COMPACTION,
    *(extended(call, _STORED) for call in (_FUNCTION_CALL, _FUNCTION_CALL_OUTPUT, _CUSTOM_CALL, _CUSTOM_CALL_OUTPUT)),
)
_COMPACTED_ITEM = either(
    _COMPACTION,
    fields(
        {
            "id": STRING,
            "type": enum("message"),
            "status": _ITEM_STATUS,
            "role": enum("user", "assistant", "system", "developer"),
            "content": array(either(_INPUT_CONTENT, _OUTPUT_TEXT, _REFUSAL)),
        }
    ),
)

# The response

_RESPONSE_USAGE = fields(
    {
        "input_tokens": INTEGER,
        "input_tokens_details": fields({"cached_tokens": INTEGER, "cache_write_tokens": INTEGER}),
        "output_tokens": INTEGER,
        "output_tokens_details": fields({"reasoning_tokens": INTEGER}),
        "total_tokens": INTEGER,
    }
)
_TEXT_FORMAT = either(
    fields({"type": enum("text", "json_object")}),
    fields(
        {"type": enum("json_schema"), "name": STRING, "schema": OBJECT},
        {"description": STRING, "strict": nullable(BOOLEAN)},
    ),
)
_CUSTOM_TOOL = fields(
    {"type": enum("custom"), "name": STRING},
    {
        "description": STRING,
        "format": either(
            fields({"type": enum("text")}),
            fields({"type": enum("grammar"), "syntax": enum("lark", "regex"), "definition": STRING}),
        ),
    },
)
_TOOL = either(
    fields(
        {"type": enum("function"), "name": STRING, "parameters": nullable(OBJECT), "strict": nullable(BOOLEAN)},
        {"description": nullable(STRING)},
    ),
    _CUSTOM_TOOL,
    fields(
        {
            "type": enum("namespace"),
            "name": STRING,
            "description": STRING,
            "tools": array(
                either(
                    fields(
                        {"type": enum("function"), "name": STRING},
                        {
                            "description": nullable(STRING),
                            "parameters": nullable(OBJECT),
                            "strict": nullable(BOOLEAN),
                            "defer_loading": BOOLEAN,
                        },
                    ),
                    _CUSTOM_TOOL,
                )
            ),
        }
    ),
    fields(
        {"type": enum("tool_search")},
        {
            "execution": enum("server", "client"),
            "description": nullable(STRING),
            "parameters": nullable(OBJECT),
        },
    ),
    fields({"type": enum("local_shell", "apply_patch")}),
    fields({"type": enum("shell")}, {"environment": nullable(OBJECT)}),
    fields(
        {"type": enum("web_search", "web_search_2025_08_26")},
        {"search_context_size": enum("low", "medium", "high"), "filters": nullable(OBJECT)},
    ),
    fields({"type": enum("web_search_preview", "web_search_preview_2025_03_11")}),
)
_TOOL_CHOICE = either(
    enum("none", "auto", "required"),
    fields({"type": enum("function", "custom"), "name": STRING}),
    fields({"type": enum("allowed_tools"), "mode": enum("auto", "required"), "tools": array(OBJECT)}),
    fields({"type": enum("web_search_preview", "web_search_preview_2025_03_11")}),
)
_RESPONSE_ERROR_CODE = enum("server_error", "rate_limit_exceeded", "invalid_prompt")
_RESPONSE = fields(
    {
        "id": STRING,
        "object": enum("response"),
        "created_at": NUMBER,
        "model": STRING,
        "error": nullable(fields({"code": _RESPONSE_ERROR_CODE, "message": STRING})),
        "incomplete_details": nullable(fields({}, {"reason": enum("max_output_tokens", "content_filter")})),
        "instructions": nullable(either(STRING, array(OBJECT))),
        "metadata": nullable(string_map()),
        "output": array(_OUTPUT_ITEM),
        "parallel_tool_calls": BOOLEAN,
        "temperature": nullable(number(0, 2)),
        "tool_choice": _TOOL_CHOICE,
        "tools": array(_TOOL),
        "top_p": nullable(number(0, 1)),
    },
    {
        "background": nullable(BOOLEAN),
        "completed_at": nullable(NUMBER),
        "max_output_tokens": nullable(INTEGER),
        "max_tool_calls": nullable(INTEGER),
        "previous_response_id": nullable(STRING),
        "prompt_cache_key": nullable(STRING),
        "reasoning": nullable(
            fields(
                {},
                {
                    "effort": nullable(enum("none", "minimal", "low", "medium", "high", "xhigh", "max")),
                    "summary": nullable(enum("auto", "concise", "detailed")),
                },
            )
        ),
        "safety_identifier": nullable({"type": "string", "maxLength": 64}),
        "service_tier": nullable(enum("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")),
        "status": enum("completed", "failed", "in_progress", "cancelled", "queued", "incomplete"),
        "text": fields({}, {"format": _TEXT_FORMAT, "verbosity": nullable(enum("low", "medium", "high"))}),
        "top_logprobs": nullable({"type": "integer", "minimum": 0, "maximum": 20}),
        "truncation": nullable(enum("auto", "disabled")),
        "usage": _RESPONSE_USAGE,
        "user": STRING,
    },
)

# Events

_IN_ITEM: Mapping[str, Schema] = {"item_id": STRING, "output_index": INTEGER}
_IN_CONTENT: Mapping[str, Schema] = {**_IN_ITEM, "content_index": INTEGER}
_IN_SUMMARY: Mapping[str, Schema] = {**_IN_ITEM, "summary_index": INTEGER}
_ITEM_EVENT: Mapping[str, Schema] = {"output_index": INTEGER, "item": _OUTPUT_ITEM}
_PART_EVENT: Mapping[str, Schema] = {**_IN_CONTENT, "part": either(_OUTPUT_TEXT, _REFUSAL, _REASONING_TEXT)}
_EVENTS: Mapping[str, Mapping[str, Schema]] = {
    "error": {"code": nullable(STRING), "message": STRING, "param": nullable(STRING)},
    **{
        f"response.{name}": {"response": _RESPONSE}
        for name in ("created", "queued", "in_progress", "completed", "failed", "incomplete")
    },
    "response.output_item.added": _ITEM_EVENT,
    "response.output_item.done": _ITEM_EVENT,
    "response.content_part.added": _PART_EVENT,
    "response.content_part.done": _PART_EVENT,
    "response.output_text.delta": {**_IN_CONTENT, "delta": STRING, "logprobs": array(OBJECT)},
    "response.output_text.done": {**_IN_CONTENT, "text": STRING, "logprobs": array(OBJECT)},
    "response.output_text.annotation.added": {
        **_IN_CONTENT,
        "annotation_index": INTEGER,
        "annotation": nullable(_URL_CITATION),
    },
    "response.refusal.delta": {**_IN_CONTENT, "delta": STRING},
    "response.refusal.done": {**_IN_CONTENT, "refusal": STRING},
    "response.reasoning_summary_part.added": {**_IN_SUMMARY, "part": _SUMMARY_TEXT},
    "response.reasoning_summary_part.done": {**_IN_SUMMARY, "part": _SUMMARY_TEXT},
    "response.reasoning_summary_text.delta": {**_IN_SUMMARY, "delta": STRING},
    "response.reasoning_summary_text.done": {**_IN_SUMMARY, "text": STRING},
    "response.function_call_arguments.delta": {**_IN_ITEM, "delta": STRING},
    "response.function_call_arguments.done": {**_IN_ITEM, "name": STRING, "arguments": STRING},
    "response.custom_tool_call_input.delta": {**_IN_ITEM, "delta": STRING},
    "response.custom_tool_call_input.done": {**_IN_ITEM, "input": STRING},
    **{f"response.web_search_call.{status}": _IN_ITEM for status in ("in_progress", "searching", "completed")},
}
"""The fields of each event, without `type` and `sequence_number`."""

RESPONSES_OBJECTS: Mapping[str, Schema] = {
    "CompactResource": fields(
        {
            "id": STRING,
            "object": enum("response.compaction"),
            "output": array(_COMPACTED_ITEM),
            "created_at": INTEGER,
            "usage": _RESPONSE_USAGE,
        }
    ),
    "Response": _RESPONSE,
    "ResponseItemList": fields(
        {
            "object": enum("list"),
            "data": array(_STORED_ITEM),
            "has_more": BOOLEAN,
            "first_id": STRING,
            "last_id": STRING,
        }
    ),
    "ResponseStreamEvent": either(
        *(
            fields({"type": enum(type_), "sequence_number": INTEGER, **event_fields})
            for type_, event_fields in _EVENTS.items()
        )
    ),
    "TokenCountsResource": fields({"object": enum("response.input_tokens"), "input_tokens": INTEGER}),
}
"""The objects by the names that the description gives them."""
