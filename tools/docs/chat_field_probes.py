"""What the decoder is asked: each field of a chat request with values that show what becomes of it."""

from dataclasses import dataclass, field

from dragoman.core.messages import JSON, JSONObject


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """One field with one value.

    Attributes:
        name: The field's name.
        value: What is sent in it.
        beside: Fields that must stand beside it.
        shown: How the page writes the value, where the value itself would be too long.
        own: Whether the field, or this use of it, is the gateway's own and not OpenAI's.
    """

    name: str
    value: JSON
    beside: JSONObject = field(default_factory=dict)
    shown: str | None = None
    own: bool = False


_PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)
_ASK: JSONObject = {"role": "user", "content": "What now?"}
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


def _of_user(part: JSONObject) -> list[JSON]:
    return [{"role": "user", "content": [part]}]


def _chat(shown: str, *messages: JSON, own: bool = False) -> Probe:
    return Probe("messages", list(messages), shown=shown, own=own)


_MESSAGES = (
    _chat("a `system` or `developer` message first", {"role": "developer", "content": "Be brief."}, _ASK),
    _chat(
        "a `system` or `developer` message in mid-conversation", _ASK, {"role": "system", "content": "Be brief."}, _ASK
    ),
    _chat("no `user` message", {"role": "system", "content": "Say hello."}),
    _chat("two of one role in a row", _ASK, _ASK),
    _chat('a call with `""` beside it, and its result', _ASK, _CALL, _RESULT),
    _chat("a call without its result", _ASK, _CALL, _ASK),
    _chat("`assistant` last", _ASK, {"role": "assistant", "content": "It is"}),
    _chat("a `refusal` part", _ASK, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, _ASK),
    _chat("`name`", {**_ASK, "name": "ann"}),
    _chat("`audio` of an assistant", _ASK, {"role": "assistant", "audio": {"id": "audio-1"}}, _ASK),
    _chat("`image_url`: a data URL", *_of_user({"type": "image_url", "image_url": {"url": _PNG}})),
    _chat("`image_url`: an https URL", *_of_user({"type": "image_url", "image_url": {"url": "https://a.test/b.png"}})),
    _chat("`image_url`: `detail`", *_of_user({"type": "image_url", "image_url": {"url": _PNG, "detail": "low"}})),
    _chat("`file`: `file_data`, a PDF", *_of_user({"type": "file", "file": {"file_data": "JVBERi0xLjcK"}})),
    _chat("`file`: `file_data`, a text", *_of_user({"type": "file", "file": {"file_data": "aGVsbG8="}})),
    _chat("`file`: `file_id`", *_of_user({"type": "file", "file": {"file_id": "file-1"}})),
    _chat("`input_audio`", *_of_user(_AUDIO)),
    _chat(
        "the old `function_call`, and a message of role `function`",
        _ASK,
        {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
        {"role": "function", "name": "weather", "content": "rain"},
    ),
)

_SAMPLING = (
    Probe("temperature", 0.5),
    Probe("temperature", 1),
    Probe("temperature", 1.5),
    Probe("top_p", 0.9),
    Probe("top_p", 0.9, {"temperature": 0.5}, shown="`0.9` beside a `temperature`"),
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

_ANSWER = (
    Probe("response_format", {"type": "text"}),
    Probe("response_format", {"type": "json_object"}),
    Probe(
        "response_format", {"type": "json_schema", "json_schema": {"name": "x", "schema": _SCHEMA}}, shown="a schema"
    ),
    *(Probe("reasoning_effort", effort) for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    Probe("reasoning_effort", "high", {"temperature": 0.5}, shown='`"high"` beside a `temperature`'),
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
    Probe("metadata", {"run": "1"}, beside={"store": True}),
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
    Probe("tools", [_TOOL], {"claude": {"mode": "agent"}}, shown="a function, beside `claude`", own=True),
    Probe("model", "sonnet:agent", own=True),
    _chat("`reasoning_content` sent back alone", _ASK, _REASONED, _ASK, own=True),
    _chat("`reasoning_details` sent back, signed", _ASK, {**_REASONED, "reasoning_details": [_SIGNED]}, _ASK, own=True),
    _chat("`cache_control` on a part", *_of_user(_MARKED), own=True),
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
    *_ANSWER,
    *_REST,
    *_OWN,
)
"""Every field of the published request, in the page's order, and the gateway's own after them."""
