"""A request for each endpoint that takes one, which works as it stands.

The OpenAPI document: paths by hand, the requests from the very types that read them.
"""

from typing import cast

import msgspec

from dragoman import __version__
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.chat.schema import ChatCompletionRequest
from dragoman.dialects.completions.schema import TextCompletionRequest
from dragoman.dialects.embeddings.schema import EmbeddingCreateRequest
from dragoman.dialects.responses.schema import CreateResponse
from dragoman.server.docs.openapi_admin import SCHEMAS, admin_paths
from dragoman.server.docs.openapi_stored import kept_schemas, with_kept

_QUESTION: JSON = [{"role": "user", "content": "Reply with exactly: PONG"}]

EXAMPLES: dict[str, JSONObject] = {
    "/v1/chat/completions": {"model": "sonnet", "messages": _QUESTION, "stream": True},
    "/v1/completions": {"model": "sonnet", "prompt": "Count to 5", "max_tokens": 100},
    "/v1/responses": {"model": "sonnet", "input": "Reply with exactly: PONG"},
    "/v1/embeddings": {"model": "all-MiniLM-L6-v2", "input": ["The word comes from Arabic."]},
    "/v1/messages": {"model": "claude-sonnet-5-5", "max_tokens": 1000, "messages": _QUESTION},
    "/v1/messages/count_tokens": {"model": "claude-sonnet-5-5", "messages": _QUESTION},
}


def with_examples(document: JSONObject) -> JSONObject:
    """Put each example where its path describes the body."""
    paths = cast("dict[str, dict[str, JSONObject]]", document["paths"])
    for path, example in EXAMPLES.items():
        content = cast("dict[str, dict[str, JSONObject]]", paths[path]["post"]["requestBody"])["content"]
        content["application/json"]["example"] = example
    return document


_COMPONENTS = "#/components/schemas/{name}"
_TEXT: JSONObject = {"type": "string"}
_COUNT: JSONObject = {"type": "integer"}
_NULLABLE_TEXT: JSONObject = {"type": ["string", "null"]}

_ABSENT = {"501": "No embedding model is installed; the message says how to install one."}
_VECTOR: JSONObject = {"anyOf": [{"type": "array", "items": {"type": "number"}}, _TEXT]}

_ERRORS = {
    "400": "The request cannot be understood or served; `param` names the field.",
    "401": "No gateway key, a wrong one, or Claude is not signed in (`not_signed_in`).",
    "403": "This host name or web origin may not use the gateway.",
    "404": "No such model or path.",
    "413": "The body is too large.",
    "429": "Too many requests, a full queue, or no quota left at Claude.",
    "500": "The gateway's own fault.",
    "502": "Claude, or the process in between, broke.",
    "503": "Claude is overloaded, or the gateway is stopping.",
    "504": "Claude was silent for too long.",
}


def describe() -> JSONObject:
    """The whole document."""
    return with_examples(_document())


def _document() -> JSONObject:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Dragoman",
            "version": __version__,
            "description": "An OpenAI-compatible gateway in front of Claude. Every path also works without `/v1`.",
        },
        "paths": cast("JSON", with_kept(_paths())),
        "components": {"schemas": _schemas() | SCHEMAS, "securitySchemes": _SECURITY},
        "security": [{"bearer": []}, {"key": []}, {}],
    }


_SECURITY: JSONObject = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
_CHAT = ("ChatCompletionRequest", "ChatCompletion", "ChatCompletionChunk")
_RESPONSE = ("CreateResponse", "Response", "ResponseStreamEvent")
_COMPLETION = ("TextCompletionRequest", "TextCompletion", "TextCompletion")
_ID: JSONObject = {"name": "id", "in": "path", "required": True, "schema": _TEXT}


def _paths() -> dict[str, JSONObject]:
    return {
        "/v1/chat/completions": {"post": _question("Ask a model.", *_CHAT)},
        "/v1/completions": {"post": _question("Have a model continue a text.", *_COMPLETION)},
        "/v1/responses": {"post": _question("Ask a model, by items.", *_RESPONSE)},
        "/v1/embeddings": {"post": _embed()},
        "/v1/messages": {"post": _native("Ask a model, in Anthropic's own form.", _ref("MessagesAnswer"))},
        "/v1/messages/count_tokens": {"post": _native("Count a prompt's tokens.", _object(input_tokens=_COUNT))},
        "/v1/models": {"get": _get("The models, and the aliases of them.", "ModelList", "401")},
        "/v1/models/{id}": {"get": _get("One model or alias.", "Model", "401", "404") | {"parameters": [_ID]}},
        "/health": {"get": _get("Whether the gateway runs.", "Health") | {"security": []}},
        "/health/ready": {"get": _get("Whether a question would be answered.", "Health") | {"security": []}},
        "/metrics": {"get": _plain("Figures for Prometheus.", "text/plain")},
        **cast("dict[str, JSONObject]", admin_paths()),
    }


def _schemas() -> JSONObject:
    asked = [ChatCompletionRequest, TextCompletionRequest, CreateResponse, EmbeddingCreateRequest]
    _, requests = msgspec.json.schema_components(asked, ref_template=_COMPONENTS)
    return (
        cast("JSONObject", requests)
        | kept_schemas()
        | {
            "ChatCompletion": _object(
                id=_TEXT,
                object={"const": "chat.completion"},
                created=_COUNT,
                model=_TEXT,
                choices=_list(_object(index=_COUNT, message=_ref("AnswerMessage"), finish_reason=_TEXT)),
                usage=_ref("Usage"),
            ),
            "ChatCompletionChunk": _object(
                id=_TEXT,
                object={"const": "chat.completion.chunk"},
                created=_COUNT,
                model=_TEXT,
                choices=_list(_object(index=_COUNT, delta={"type": "object"}, finish_reason=_NULLABLE_TEXT)),
            ),
            "TextCompletion": _object(
                id=_TEXT,
                object={"const": "text_completion"},
                created=_COUNT,
                model=_TEXT,
                choices=_list(_object(index=_COUNT, text=_TEXT, finish_reason=_NULLABLE_TEXT)),
            ),
            "Response": _object(
                id=_TEXT,
                object={"const": "response"},
                created_at=_COUNT,
                status={"enum": ["completed", "incomplete", "in_progress", "queued", "failed", "cancelled"]},
                model=_TEXT,
                output=_list({"type": "object"}),
            ),
            "ResponseStreamEvent": _object(type=_TEXT, sequence_number=_COUNT),
            "AnswerMessage": _object(role={"const": "assistant"}, content=_NULLABLE_TEXT, refusal=_NULLABLE_TEXT),
            "Usage": _object(prompt_tokens=_COUNT, completion_tokens=_COUNT, total_tokens=_COUNT),
            "EmbeddingList": _object(
                object={"const": "list"},
                model=_TEXT,
                data=_list(_object(object={"const": "embedding"}, index=_COUNT, embedding=_VECTOR)),
                usage=_object(prompt_tokens=_COUNT, total_tokens=_COUNT),
            ),
            "Model": _object(id=_TEXT, object={"const": "model"}, created=_COUNT, owned_by=_TEXT),
            "ModelList": _object(object={"const": "list"}, data=_list(_ref("Model"))),
            "MessagesRequest": _object(model=_TEXT, messages=_list({"type": "object"}))
            | {"additionalProperties": True},
            "MessagesAnswer": _object(id=_TEXT, type={"const": "message"}, content=_list({"type": "object"})),
            "MessagesError": _object(type={"const": "error"}, error=_object(type=_TEXT, message=_TEXT)),
            "Health": _object(status=_TEXT),
            "Error": _object(
                error=_object(message=_TEXT, type=_TEXT, param=_NULLABLE_TEXT, code=_NULLABLE_TEXT),
            ),
        }
    )


def _question(summary: str, request: str, answer: str, chunk: str) -> JSONObject:
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(request)}}},
        "responses": {
            "200": {
                "description": "The answer, or with `stream` its chunks as server-sent events.",
                "content": {
                    "application/json": {"schema": _ref(answer)},
                    "text/event-stream": {"schema": _ref(chunk)},
                },
            },
            **_errors(*_ERRORS),
        },
    }


def _embed() -> JSONObject:
    found = {"description": "The vectors.", "content": {"application/json": {"schema": _ref("EmbeddingList")}}}
    asked = {"required": True, "content": {"application/json": {"schema": _ref("EmbeddingCreateRequest")}}}
    responses = {"200": found, **_errors(*_ERRORS, "501")}
    return cast("JSONObject", {"summary": "Make vectors of texts.", "requestBody": asked, "responses": responses})


def _native(summary: str, answer: JSONObject) -> JSONObject:
    """A path of the Messages API. Its requests are passed on, so that their description is Anthropic's."""
    json: JSONObject = {"application/json": {"schema": answer}}
    error: JSON = {"application/json": {"schema": _ref("MessagesError")}}
    return {
        "summary": summary,
        "externalDocs": {"url": "https://platform.claude.com/docs/en/api/messages"},
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("MessagesRequest")}}},
        "responses": {
            "200": {"description": "The answer, or with `stream` its events.", "content": json},
            "default": {"description": "Refused, or failed.", "content": error},
        },
    }


def _get(summary: str, schema: str, *errors: str) -> JSONObject:
    found = {"description": summary, "content": {"application/json": {"schema": _ref(schema)}}}
    return cast("JSONObject", {"summary": summary, "responses": {"200": found, **_errors(*errors)}})


def _plain(summary: str, media_type: str) -> JSONObject:
    found = {"description": summary, "content": {media_type: {"schema": _TEXT}}}
    return cast("JSONObject", {"summary": summary, "responses": {"200": found, **_errors("401")}})


def _errors(*statuses: str) -> JSONObject:
    content: JSON = {"application/json": {"schema": _ref("Error")}}
    return {status: {"description": (_ERRORS | _ABSENT)[status], "content": content} for status in statuses}


def _ref(name: str) -> JSONObject:
    return {"$ref": _COMPONENTS.format(name=name)}


def _list(items: JSONObject) -> JSONObject:
    return {"type": "array", "items": items}


def _object(**properties: JSONObject) -> JSONObject:
    return {"type": "object", "properties": cast("JSON", properties), "required": list(properties)}
