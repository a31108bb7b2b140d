"""The simulator refuses what the API refuses, with its messages, by model and version. It accepts the rest."""

from typing import Any

import httpx
import pytest
from simulator_support import Ask, png

HI = [{"role": "user", "content": "Hello"}]
TOOL = {"name": "look", "input_schema": {"type": "object"}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "seen"}
TEXT = [{"type": "text", "text": "b"}]
MARK = {"type": "ephemeral"}
TREE = {
    "type": "object",
    "properties": {"left": {"$ref": "#/$defs/node"}},
    "additionalProperties": False,
    "$defs": {"node": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/leaf"}]}, "leaf": {"$ref": "#/$defs/node"}},
}


def turns(*contents: Any) -> list[dict[str, Any]]:
    """Return a conversation that begins with the user."""
    return [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]


def image(**source: str) -> list[dict[str, Any]]:
    """Return a conversation of one image."""
    return turns([{"type": "image", "source": source}])


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("no messages", {}, "messages: Field required"),
    ("empty", {"messages": []}, "at least one message"),
    ("unknown field", {"foo": 1, "messages": HI}, "foo: Extra inputs are not permitted"),
    ("beta field", {"context_management": {}, "messages": HI}, "context_management: Extra inputs are not permitted"),
    ("too many tokens", {"max_tokens": 64_001, "messages": HI}, "max_tokens: 64001 > 64000, which is the maximum"),
    ("no tokens", {"max_tokens": None, "messages": HI}, "max_tokens: Field required"),
    ("assistant first", {"messages": turns("a", "b")[1:]}, 'first message must use the "user" role'),
    ("role", {"messages": [{"role": "tool", "content": "a"}]}, 'Unexpected role "tool"'),
    ("system role", {"messages": [*HI, {"role": "system", "content": "x"}]}, 'Unexpected role "system"'),
    ("empty content", {"messages": turns("", "b", "c")}, "messages.0: all messages must have non-empty content"),
    ("empty text", {"messages": turns([{"type": "text", "text": ""}])}, "text content blocks must be non-empty"),
    ("blank text", {"messages": turns("  ")}, "must contain non-whitespace text"),
    ("trailing space", {"messages": turns("a", "b ")}, "cannot end with trailing whitespace"),
    (
        "unknown block",
        {"messages": turns([{"type": "foo"}])},
        "messages.0.content.0: Input tag 'foo' found using 'type'",
    ),
    ("message field", {"messages": [{**HI[0], "name": "x"}]}, "messages.0.name: Extra inputs are not permitted"),
    ("call by user", {"messages": turns([CALL])}, "`tool_use` blocks can only be in `assistant` messages"),
    ("result by assistant", {"messages": turns("a", [RESULT], "b")}, "`tool_result` blocks can only be in `user`"),
    (
        "no result",
        {"messages": turns("a", [CALL], "b")},
        "messages.1: `tool_use` ids were found without `tool_result`",
    ),
    ("no result at the end", {"messages": turns("a", [CALL])}, "`tool_use` ids were found without"),
    (
        "result behind text",
        {"messages": turns("a", [CALL], [{"type": "text", "text": "b"}, RESULT])},
        "`tool_use` ids were found without",
    ),
    (
        "image before a result",
        {
            "messages": turns(
                "a", [CALL], [image(type="base64", media_type="image/png", data=png(1, 1))[0]["content"][0], RESULT]
            )
        },
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. Each",
    ),
    (
        "text between results",
        {
            "messages": turns(
                "a", [CALL, {**CALL, "id": "toolu_2"}], [RESULT, *TEXT, {**RESULT, "tool_use_id": "toolu_2"}]
            )
        },
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_2. Each",
    ),
    (
        "message before the result's",
        {"messages": [*turns("a", [CALL], "b"), {"role": "user", "content": [RESULT]}]},
        "`tool_use` ids were found without",
    ),
    (
        "circular format",
        {"messages": HI, "output_config": {"format": {"type": "json_schema", "schema": TREE}}},
        "Circular reference detected in schema definitions",
    ),
    (
        "circular strict tool",
        {"messages": HI, "tools": [{**TOOL, "input_schema": {**TOOL["input_schema"], "$ref": "#"}, "strict": True}]},  # type: ignore[dict-item]
        "Circular reference detected in schema definitions: # -> #",
    ),
    (
        "result without call",
        {"messages": turns("a", "b", [RESULT])},
        "messages.2.content.0: unexpected `tool_use_id` found",
    ),
    ("two results", {"messages": turns("a", [CALL], [RESULT, RESULT])}, "each tool_use must have a single result"),
    ("same ids", {"messages": turns("a", [CALL, CALL], [RESULT])}, "`tool_use` ids must be unique"),
    ("odd id", {"messages": turns("a", [{**CALL, "id": "a b"}], "c")}, "should match pattern '^[a-zA-Z0-9_-]+$'"),
    ("tool name", {"tools": [{**TOOL, "name": "a b"}], "messages": HI}, "tools.0.custom.name: String should match"),
    (
        "id that is a number",
        {"messages": turns("a", [{**CALL, "id": 1}], "c")},
        "tool_use.id: Input should be a valid string",
    ),
    (
        "name of a call",
        {"messages": turns("a", [{**CALL, "name": "a.b"}], [RESULT])},
        "messages.1.content.0.tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
    ),
    (
        "id of a result",
        {"messages": turns("a", [CALL], [{**RESULT, "tool_use_id": "a b"}])},
        "messages.2.content.0.tool_result.tool_use_id: String should match",
    ),
    (
        "id of a server's call",
        {"messages": turns("a", [{**CALL, "type": "server_tool_use"}], "c")},
        "messages.1.content.0.server_tool_use.id: String should match pattern '^srvtoolu_[a-zA-Z0-9_]+$'",
    ),
    (
        "input that is a string",
        {"messages": turns("a", [{**CALL, "input": "{}"}], [RESULT])},
        "messages.1.content.0.tool_use.input: Input should be a valid dictionary",
    ),
    (
        "input of a server's call",
        {"messages": turns("a", [{**CALL, "type": "server_tool_use", "id": "srvtoolu_1", "input": []}], "c")},
        "server_tool_use.input: Input should be a valid dictionary",
    ),
    (
        "union at the top level",
        {"tools": [{**TOOL, "input_schema": {"type": "object", "oneOf": [{}]}}], "messages": HI},
        "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
    ),
    (
        "old schema",
        {"tools": [{**TOOL, "input_schema": {"type": "object", "required": None}}], "messages": HI},
        "tools.0.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12",
    ),
    (
        "name of a property",
        {"tools": [{**TOOL, "input_schema": {"type": "object", "properties": {"a[b]": {}}}}], "messages": HI},
        "tools.0.custom.input_schema.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'",
    ),
    ("tool names", {"tools": [TOOL, TOOL], "messages": HI}, "Tool names must be unique"),
    ("no schema", {"tools": [{"name": "look"}], "messages": HI}, "tools.0.custom.input_schema: Field required"),
    ("schema", {"tools": [{**TOOL, "input_schema": {"type": "array"}}], "messages": HI}, "Input should be 'object'"),
    ("tool type", {"tools": [{"type": "magic", "name": "x"}], "messages": HI}, "Input tag 'magic'"),
    ("choice without tools", {"tool_choice": {"type": "auto"}, "messages": HI}, "tool_choice may only be specified"),
    ("choice type", {"tool_choice": {"type": "some"}, "tools": [TOOL], "messages": HI}, "Input tag 'some'"),
    (
        "choice name",
        {"tool_choice": {"type": "tool", "name": "x"}, "tools": [TOOL], "messages": HI},
        "Tool 'x' not found in provided tools",
    ),
    ("temperature", {"temperature": 1.5, "messages": HI}, "temperature: range: 0..1"),
    ("two samplings", {"temperature": 0.5, "top_p": 0.5, "messages": HI}, "cannot both be specified"),
    ("adaptive", {"thinking": {"type": "adaptive"}, "messages": HI}, "adaptive thinking is not supported"),
    ("small budget", {"thinking": {"type": "enabled", "budget_tokens": 10}, "messages": HI}, "equal to 1024"),
    (
        "large budget",
        {"thinking": {"type": "enabled", "budget_tokens": 4096}, "messages": HI},
        "`max_tokens` must be greater than `thinking.budget_tokens`",
    ),
    (
        "forced and thinking",
        {
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "tools": [TOOL],
            "tool_choice": {"type": "any"},
            "messages": HI,
        },
        "Thinking may not be enabled when tool_choice forces tool use",
    ),
    (
        "warm and thinking",
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "temperature": 0, "messages": HI},
        "`temperature` may only be set to 1 when thinking is enabled",
    ),
    (
        "loop without thinking",
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "messages": turns("a", [CALL], [RESULT])},
        "Expected `thinking` or `redacted_thinking`, but found `tool_use`",
    ),
    (
        "forged thinking",
        {"messages": turns("a", [{"type": "thinking", "thinking": "x", "signature": "AAAA"}], "b")},
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    (
        "five marks",
        {"messages": turns([{"type": "text", "text": "a", "cache_control": MARK} for _ in range(5)])},
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    (
        "long after short",
        {
            "system": [{"type": "text", "text": "a", "cache_control": MARK}],
            "messages": turns([{"type": "text", "text": "a", "cache_control": {**MARK, "ttl": "1h"}}]),
        },
        "a ttl='1h' cache_control block must not come after a ttl='5m'",
    ),
    ("stop", {"stop_sequences": [" "], "messages": HI}, "each stop sequence must contain non-whitespace"),
    ("effort", {"output_config": {"effort": "low"}, "messages": HI}, "does not support the effort parameter"),
    ("bad base64", {"messages": image(type="base64", media_type="image/png", data="%%")}, "invalid base64 data"),
    (
        "image that is cut",
        {"messages": image(type="base64", media_type="image/png", data=png(1, 1)[:40])},
        "Could not process image",
    ),
    (
        "wrong media type",
        {"messages": image(type="base64", media_type="image/jpeg", data=png(1, 1))},
        "image/jpeg media type, but the image appears to be a image/png image",
    ),
    (
        "media type",
        {"messages": image(type="base64", media_type="image/bmp", data="AAAA")},
        "Input should be 'image/jpeg'",
    ),
    (
        "no pdf",
        {
            "messages": turns(
                [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}]
            )
        },
        "The PDF specified was not valid",
    ),
    (
        "too many images",
        {"messages": turns([{"type": "image", "source": {"type": "url", "url": "https://a.b/c"}}] * 101)},
        "Too much media: 0 document pages + 101 images > 100",
    ),
    ("too long", {"messages": turns("word " * 161_000)}, "tokens > 200000 maximum"),
]


@pytest.mark.parametrize(("fields", "message"), [(f, m) for _, f, m in REFUSED], ids=[name for name, _, _ in REFUSED])
async def test_refused_by_every_model(ask: Ask, fields: dict[str, Any], message: str) -> None:
    """Rules of every model are checked, here with Sonnet 4.5."""
    answer: Any = await ask(**fields)
    assert answer["type"] == "error"
    assert answer["error"]["type"] == "invalid_request_error"
    assert message in answer["error"]["message"]


REFUSED_BY_MODEL: list[tuple[str, dict[str, Any], str]] = [
    ("claude-opus-4-7", {"temperature": 0.2}, "`temperature` is deprecated for this model."),
    ("claude-sonnet-5", {"top_k": 5}, "`top_k` is deprecated for this model."),
    ("claude-opus-4-6", {"messages": turns("a", "b")}, "does not support assistant message prefill"),
    ("claude-opus-5-5", {"thinking": {"type": "disabled"}}, '"thinking.type.disabled" is not supported for this model'),
    (
        "claude-opus-5-5",
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        '"thinking.type.enabled" is not supported for this model',
    ),
    ("claude-opus-5-5", {"tools": [TOOL], "tool_choice": {"type": "any"}}, "'any' is not supported on this model"),
    (
        "claude-opus-5",
        {"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}},
        'not supported for this model at effort "max"',
    ),
    ("claude-opus-4-5", {"output_config": {"effort": "max"}}, "does not support effort level 'max'"),
    ("claude-opus-5", {"output_config": {"effort": "huge"}}, "output_config.effort: Input should be"),
    ("claude-sonnet-5", {"messages": [*HI, {"role": "system", "content": "x"}]}, 'Unexpected role "system"'),
]


@pytest.mark.parametrize(("model", "fields", "message"), REFUSED_BY_MODEL)
async def test_refused_by_model(ask: Ask, model: str, fields: dict[str, Any], message: str) -> None:
    """Rules of some models are checked by the catalog."""
    answer: Any = await ask(model=model, **{"messages": HI, **fields})
    assert message in answer["error"]["message"]


ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("claude-sonnet-4-5", {"temperature": 0}),
    ("claude-sonnet-4-5", {"messages": turns("a", "b")}),
    ("claude-sonnet-4-5", {"messages": [*HI, *HI, {"role": "assistant", "content": "x"}, *HI]}),
    ("claude-sonnet-4-5", {"messages": turns("a", [CALL], [RESULT, {"type": "text", "text": "b"}]), "tools": [TOOL]}),
    ("claude-sonnet-4-5-20250929", {}),
    ("claude-opus-4-6", {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
    ("claude-opus-5", {"temperature": 1}),
    ("claude-opus-5", {"thinking": {"type": "disabled"}}),
    ("claude-opus-5-5", {"messages": [{"role": "system", "content": "x"}, *HI]}),
    ("claude-sonnet-5-5", {"thinking": {"type": "between_tools"}}),
    ("claude-haiku-5-5", {"tools": [TOOL], "tool_choice": {"type": "any"}}),
    ("claude-opus-4-5", {"output_config": {"effort": "high"}}),
    ("claude-opus-5-5", {"service_tier": "auto", "metadata": {"user_id": "x"}, "container": None}),
]


@pytest.mark.parametrize(("model", "fields"), ACCEPTED)
async def test_accepted(ask: Ask, model: str, fields: dict[str, Any]) -> None:
    """A request that the model accepts gets a message."""
    answer: Any = await ask(model=model, **{"messages": HI, **fields})
    assert answer["type"] == "message", answer


async def test_message_effort_needs_a_beta(ask: Ask) -> None:
    """An empty system message can set the effort, as the runtime sends it."""
    messages = [*HI, {"role": "system", "content": [], "output_config": {"effort": "low"}}]
    beta = {"anthropic-beta": "per-turn-control-2026-07-01"}
    assert (await ask(model="claude-opus-5-5", messages=messages, headers=beta))["type"] == "message"
    without: Any = await ask(model="claude-opus-5-5", messages=messages)
    assert without["error"]["message"] == "messages.1.output_config: Extra inputs are not permitted"
    other: Any = await ask(model="claude-opus-5", messages=messages, headers=beta)
    assert "requires a model that supports per-turn effort" in other["error"]["message"]


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
async def test_newest_version_has_no_sampling(ask: Ask, name: str) -> None:
    """Even the defaults are refused."""
    answer: Any = await ask("Hello", headers={"anthropic-version": "2026-10-21"}, **{name: 1})
    assert answer["error"]["message"] == f"{name}: Extra inputs are not permitted"


async def test_newest_version_on_documents_and_citations(ask: Ask) -> None:
    """The assistant's documents and the user's citations are refused."""
    newest = {"anthropic-version": "2026-10-21"}
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
    for messages in (turns("a", [document], "b"), turns([{"type": "text", "text": "a", "citations": [{"type": "x"}]}])):
        assert (await ask(messages=messages))["type"] == "message"
        assert (await ask(messages=messages, headers=newest))["type"] == "error"


@pytest.mark.parametrize(
    ("headers", "status", "type_"),
    [
        ({"anthropic-version": "2023-06-01"}, 401, "authentication_error"),
        ({"anthropic-version": "2023-06-01", "x-api-key": "sk-invalid"}, 401, "authentication_error"),
        ({"x-api-key": "k"}, 400, "invalid_request_error"),
        ({"x-api-key": "k", "anthropic-version": "2020-01-01"}, 400, "invalid_request_error"),
        ({"authorization": "Bearer t", "anthropic-version": "2026-10-21"}, 200, None),
    ],
)
async def test_headers(client: httpx.AsyncClient, headers: dict[str, str], status: int, type_: str | None) -> None:
    """Key and version are required."""
    body = {"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": HI}
    async with httpx.AsyncClient(base_url=client.base_url, timeout=300) as bare:
        answer = await bare.post("/v1/messages", json=body, headers=headers)
    assert answer.status_code == status
    assert answer.json().get("error", {}).get("type") == type_


async def test_unknown_models_invalid_json_and_large_bodies(client: httpx.AsyncClient, ask: Ask) -> None:
    """The statuses are 404, 400 and 413, each with the API's type."""
    for name in ("gpt-4o", "sonnet", "claude-3-opus-20240229", "claude-opus-9"):
        unknown: Any = await ask("Hello", model=name)
        assert unknown["error"] == {"type": "not_found_error", "message": f"model: {name}"}
    bad = await client.post("/v1/messages", content=b"{")
    assert bad.status_code == 400
    assert "The request body is not valid JSON" in bad.json()["error"]["message"]
    large = await client.post("/v1/messages", content=b" " * (32 * 1024 * 1024 + 1))
    assert (large.status_code, large.json()["error"]["type"]) == (413, "request_too_large")
