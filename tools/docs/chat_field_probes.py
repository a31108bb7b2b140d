"""The fields and values that `docs/chat-fields.md` covers."""

from dataclasses import dataclass, field

from dragoman.core.messages import JSON, JSONObject


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """One field with one value.

    Attributes:
        name: The field's name.
        value: Its value.
        other_fields: Other fields that the request needs for this one.
        shown: How the page describes the value, if the value itself is too long.
        own: Whether the field, or this use of it, is the gateway's own and not OpenAI's.
    """

    name: str
    value: JSON
    other_fields: JSONObject = field(default_factory=dict)
    shown: str | None = None
    own: bool = False


_PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)
_USER: JSONObject = {"role": "user", "content": "What now?"}
_SCHEMA: JSONObject = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_FUNCTION: JSONObject = {"name": "weather", "parameters": _SCHEMA}
_TOOL: JSONObject = {"type": "function", "function": _FUNCTION}
_TOOLS: JSONObject = {"tools": [_TOOL]}
_CALL: JSONObject = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
}
_RESULT: JSONObject = {"role": "tool", "tool_call_id": "c1", "content": "rain"}
_AUDIO: JSONObject = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}


def _user_message(part: JSONObject) -> list[JSON]:
    return [{"role": "user", "content": [part]}]


def _chat(shown: str, *messages: JSON, own: bool = False) -> Probe:
    return Probe("messages", list(messages), shown=shown, own=own)


_MESSAGES = (
    _chat("a `system` or `developer` message first", {"role": "developer", "content": "Be brief."}, _USER),
    _chat("a `system` or `developer` message later", _USER, {"role": "system", "content": "Be brief."}, _USER),
    _chat("no `user` message", {"role": "system", "content": "Say hello."}),
    _chat("two messages with the same role in a row", _USER, _USER),
    _chat('a call with the text `""`, and its result', _USER, _CALL, _RESULT),
    _chat("a call without its result", _USER, _CALL, _USER),
    _chat("`assistant` last", _USER, {"role": "assistant", "content": "It is"}),
    _chat("a `refusal` part", _USER, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, _USER),
    _chat("`name`", {**_USER, "name": "ann"}),
    _chat("`audio` in an `assistant` message", _USER, {"role": "assistant", "audio": {"id": "audio-1"}}, _USER),
    _chat("`image_url`: a data URL", *_user_message({"type": "image_url", "image_url": {"url": _PNG}})),
    _chat(
        "`image_url`: an https URL", *_user_message({"type": "image_url", "image_url": {"url": "https://a.test/b.png"}})
    ),
    _chat("`image_url`: `detail`", *_user_message({"type": "image_url", "image_url": {"url": _PNG, "detail": "low"}})),
    _chat("`file`: `file_data`, a PDF", *_user_message({"type": "file", "file": {"file_data": "JVBERi0xLjcK"}})),
    _chat("`file`: `file_data`, a text file", *_user_message({"type": "file", "file": {"file_data": "aGVsbG8="}})),
    _chat("`file`: `file_id`", *_user_message({"type": "file", "file": {"file_id": "file-1"}})),
    _chat("`input_audio`", *_user_message(_AUDIO)),
    _chat(
        "`function_call` (deprecated), and a message with role `function`",
        _USER,
        {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
        {"role": "function", "name": "weather", "content": "rain"},
    ),
)

_SAMPLING = (
    Probe("system", "Be brief.", own=True),
    Probe("temperature", 0.5),
    Probe("temperature", 1),
    Probe("temperature", 1.5),
    Probe("top_p", 0.9),
    Probe("top_p", 0.9, {"temperature": 0.5}, shown="`0.9` with a `temperature`"),
    Probe("max_completion_tokens", 1000),
    Probe("max_completion_tokens", 1_000_000),
    Probe("max_tokens", 1000),
    Probe("stop", "END"),
    Probe("stop", ["END", "\n"]),
    Probe("n", 2),
    Probe("n", 9),
    Probe("stream", True),
    Probe("stream_options", {"include_usage": True}, {"stream": True}),
    Probe("stream_options", {"include_obfuscation": True}, {"stream": True}),
)

_TOOL_FIELDS = (
    Probe("tools", [_TOOL], shown="a function"),
    Probe("tools", [{**_TOOL, "function": {**_FUNCTION, "strict": True}}], shown="a function with `strict`"),
    Probe("tools", [{"type": "custom", "custom": {"name": "x"}}], shown="a custom tool"),
    Probe("tool_choice", "auto", _TOOLS),
    Probe("tool_choice", "none", _TOOLS),
    Probe("tool_choice", "required", _TOOLS),
    Probe("tool_choice", {"type": "function", "function": {"name": "weather"}}, _TOOLS, shown="a named function"),
    Probe(
        "tool_choice",
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [_TOOL]}},
        _TOOLS,
        shown="`allowed_tools`",
    ),
    Probe("parallel_tool_calls", False, _TOOLS),
    Probe("functions", [_FUNCTION], shown="a function"),
    Probe("function_call", {"name": "weather"}, {"functions": [_FUNCTION]}),
    Probe("web_search_options", {}),
    Probe("web_search_options", {"search_context_size": "high"}),
)

_RESPONSE = (
    Probe("response_format", {"type": "text"}),
    Probe("response_format", {"type": "json_object"}),
    Probe(
        "response_format", {"type": "json_schema", "json_schema": {"name": "x", "schema": _SCHEMA}}, shown="a schema"
    ),
    *(Probe("reasoning_effort", effort) for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    Probe("reasoning_effort", "high", {"temperature": 0.5}, shown='`"high"` with a `temperature`'),
    Probe("verbosity", "low"),
    Probe("modalities", ["text"]),
    Probe("modalities", ["text", "audio"]),
    Probe("audio", {"voice": "alloy", "format": "wav"}),
    Probe("logprobs", True),
    Probe("top_logprobs", 3),
)

_REST = (
    Probe("user", "ann"),
    Probe("safety_identifier", "ann"),
    Probe("metadata", {"run": "1"}, other_fields={"store": True}),
    Probe("store", True),
    Probe("frequency_penalty", 0.5),
    Probe("presence_penalty", 0.5),
    Probe("logit_bias", {"50256": -100}),
    Probe("seed", 7),
    Probe("prediction", {"type": "content", "content": "Hello"}),
    Probe("moderation", {"model": "omni-moderation-latest"}),
    Probe("service_tier", "auto"),
    Probe("service_tier", "flex"),
    Probe("prompt_cache_key", "k"),
    Probe("prompt_cache_retention", "24h"),
    Probe("prompt_cache_options", {"mode": "auto"}),
)

_REASONED: JSONObject = {"role": "assistant", "content": "It is Paris.", "reasoning_content": "Capital of France."}
_SIGNED: JSONObject = {"type": "reasoning.text", "text": "Capital of France.", "signature": "c2ln"}
_MARKED: JSONObject = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}

_OWN = (
    Probe("top_k", 5, own=True),
    Probe("claude", {"mode": "agent", "working_directory": "/srv"}, own=True),
    Probe("claude", {"workingDirectory": "/srv", "permissionMode": "plan"}, own=True),
    Probe("claude", {"mode": "chat", "max_turns": 3}, own=True),
    Probe("claude", {"mode": "agent", "sudo": True}, own=True),
    Probe("tools", [_TOOL], {"claude": {"mode": "agent"}}, shown="a function, with `claude`", own=True),
    Probe("model", "sonnet:agent", own=True),
    _chat("`reasoning_content` alone", _USER, _REASONED, _USER, own=True),
    _chat(
        "`reasoning_details` with a signature", _USER, {**_REASONED, "reasoning_details": [_SIGNED]}, _USER, own=True
    ),
    _chat("`cache_control` on a part", *_user_message(_MARKED), own=True),
    Probe("any_other_field", 1, own=True),
)

PROBES: tuple[Probe, ...] = (
    Probe("model", "sonnet"),
    Probe("model", "claude-sonnet-4-5-20250929"),
    Probe("model", None, shown="left out"),
    Probe("model", "claude-3-opus"),
    Probe("model", "gpt-4o"),
    *_MESSAGES,
    *_SAMPLING,
    *_TOOL_FIELDS,
    *_RESPONSE,
    *_REST,
    *_OWN,
)
"""Every field in the published OpenAI schema, in the order of the page, then the gateway's own fields."""
