"""The objects of OpenAI's API that the gateway sends: their fields, types and required fields.

This is a list of facts from OpenAI's published API description, reduced to the objects, variants and fields that the
gateway sends. It replaces the description in the tests. `openai_spec` also validates against the description itself, if
it is available.

Source: https://github.com/openai/openai-openapi at f85dbe2.
"""

from collections.abc import Mapping

from openai_responses_objects import RESPONSES_OBJECTS
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
    fields,
    nullable,
    string_map,
)

CHAT_REQUEST_FIELDS = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)
"""The fields of a chat request."""

_METADATA = nullable(string_map())
_CHAT_SERVICE_TIER = nullable(enum("auto", "default", "flex", "scale", "priority", "fast"))
_ERROR = fields({"code": nullable(STRING), "message": STRING, "param": nullable(STRING), "type": STRING})

# Chat and text completions

_TOKEN_COUNTS = fields(
    {"completion_tokens": INTEGER, "prompt_tokens": INTEGER, "total_tokens": INTEGER},
    {
        "completion_tokens_details": fields(
            {},
            {
                "accepted_prediction_tokens": INTEGER,
                "audio_tokens": INTEGER,
                "reasoning_tokens": INTEGER,
                "rejected_prediction_tokens": INTEGER,
                "text_tokens": INTEGER,
            },
        ),
        "prompt_tokens_details": fields(
            {},
            {
                "audio_tokens": INTEGER,
                "cache_write_tokens": INTEGER,
                "cached_tokens": INTEGER,
                "image_tokens": INTEGER,
                "text_tokens": INTEGER,
            },
        ),
    },
)
_TOKEN_LOGPROB = fields(
    {
        "token": STRING,
        "logprob": NUMBER,
        "bytes": nullable(array(INTEGER)),
        "top_logprobs": array(fields({"token": STRING, "logprob": NUMBER, "bytes": nullable(array(INTEGER))})),
    }
)
_CHAT_LOGPROBS = nullable(
    fields({"content": nullable(array(_TOKEN_LOGPROB)), "refusal": nullable(array(_TOKEN_LOGPROB))})
)
_CHAT_FINISH_REASON = enum("stop", "length", "tool_calls", "content_filter", "function_call")
_CHAT_TOOL_CALL = either(
    fields({"id": STRING, "type": enum("function"), "function": fields({"name": STRING, "arguments": STRING})}),
    fields({"id": STRING, "type": enum("custom"), "custom": fields({"name": STRING, "input": STRING})}),
)
_CHAT_ANNOTATION = fields(
    {
        "type": enum("url_citation"),
        "url_citation": fields({"end_index": INTEGER, "start_index": INTEGER, "url": STRING, "title": STRING}),
    }
)
_CHAT_MESSAGE = fields(
    {"role": enum("assistant"), "content": nullable(STRING), "refusal": nullable(STRING)},
    {
        "tool_calls": array(_CHAT_TOOL_CALL),
        "annotations": array(_CHAT_ANNOTATION),
        "function_call": fields({"arguments": STRING, "name": STRING}),
        "audio": nullable(fields({"id": STRING, "expires_at": INTEGER, "data": STRING, "transcript": STRING})),
    },
)
_CHAT_DELTA = fields(
    {},
    {
        "role": enum("developer", "system", "user", "assistant", "tool"),
        "content": nullable(STRING),
        "refusal": nullable(STRING),
        "function_call": fields({}, {"arguments": STRING, "name": STRING}),
        "tool_calls": array(
            fields(
                {"index": INTEGER},
                {
                    "id": STRING,
                    "type": enum("function"),
                    "function": fields({}, {"name": STRING, "arguments": STRING}),
                },
            )
        ),
    },
)
_CHAT_RESPONSE = fields(
    {
        "id": STRING,
        "object": enum("chat.completion"),
        "created": INTEGER,
        "model": STRING,
        "choices": array(
            fields(
                {
                    "finish_reason": _CHAT_FINISH_REASON,
                    "index": INTEGER,
                    "message": _CHAT_MESSAGE,
                    "logprobs": _CHAT_LOGPROBS,
                }
            )
        ),
    },
    {
        "metadata": _METADATA,
        "service_tier": _CHAT_SERVICE_TIER,
        "system_fingerprint": STRING,
        "usage": _TOKEN_COUNTS,
    },
)
_CHAT_CHUNK = fields(
    {
        "id": STRING,
        "object": enum("chat.completion.chunk"),
        "created": INTEGER,
        "model": STRING,
        "choices": array(
            fields(
                {"delta": _CHAT_DELTA, "finish_reason": nullable(_CHAT_FINISH_REASON), "index": INTEGER},
                {"logprobs": _CHAT_LOGPROBS},
            )
        ),
    },
    {
        "service_tier": _CHAT_SERVICE_TIER,
        "system_fingerprint": STRING,
        "usage": nullable(_TOKEN_COUNTS),
        "obfuscation": STRING,
    },
)
_TEXT_COMPLETION = fields(
    {
        "id": STRING,
        "object": enum("text_completion"),
        "created": INTEGER,
        "model": STRING,
        "choices": array(
            fields(
                {
                    "finish_reason": enum("stop", "length", "content_filter"),
                    "index": INTEGER,
                    "text": STRING,
                    "logprobs": nullable(
                        fields(
                            {},
                            {
                                "text_offset": array(INTEGER),
                                "token_logprobs": array(NUMBER),
                                "tokens": array(STRING),
                                "top_logprobs": array(OBJECT),
                            },
                        )
                    ),
                }
            )
        ),
    },
    {"system_fingerprint": STRING, "usage": _TOKEN_COUNTS},
)

# Embeddings

_EMBEDDINGS = fields(
    {
        "object": enum("list"),
        "model": STRING,
        "data": array(fields({"object": enum("embedding"), "index": INTEGER, "embedding": array(NUMBER)})),
        "usage": fields({"prompt_tokens": INTEGER, "total_tokens": INTEGER}),
    }
)

OBJECTS: Mapping[str, Schema] = {
    "ChatCompletionDeleted": fields({"object": enum("chat.completion.deleted"), "id": STRING, "deleted": BOOLEAN}),
    "ChatCompletionList": fields(
        {
            "object": enum("list"),
            "data": array(_CHAT_RESPONSE),
            "first_id": STRING,
            "last_id": STRING,
            "has_more": BOOLEAN,
        }
    ),
    "CreateChatCompletionResponse": _CHAT_RESPONSE,
    "CreateChatCompletionStreamResponse": _CHAT_CHUNK,
    "CreateCompletionResponse": _TEXT_COMPLETION,
    "CreateEmbeddingResponse": _EMBEDDINGS,
    "ErrorResponse": fields({"error": _ERROR}),
    **RESPONSES_OBJECTS,
}
"""The objects by the names that the description gives them."""
