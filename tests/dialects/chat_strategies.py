"""Hypothesis strategies for valid chat requests."""

from typing import Any

from chat_support import PNG, WEATHER_SCHEMA
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from dragoman.core.messages import JSON, JSONObject
from dragoman.simulator.signing import Binding, sign

UNBOUND = Binding(bytes(16), bytes(16), bytes(16))
"""What thinking belongs to that is bound to nothing."""

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
names = st.sampled_from(["get_weather", "get_time", "a-b_C9", "x" * 64])
marks: SearchStrategy[JSONObject] = st.sampled_from(
    [{}, {}, {"cache_control": {"type": "ephemeral"}}, {"prompt_cache_breakpoint": {}}]
)

_URLS = [f"data:image/png;base64,{PNG}", f"data:image/jpeg;base64,{PNG}", "https://a.test/b.png"]
_FILES = ["aGk=", "data:text/plain;base64,aGk=", "JVBERi0xLjcK", "data:application/pdf;base64,JVBERi0xLjcK"]

text_parts: SearchStrategy[JSON] = st.builds(lambda t, mark: {"type": "text", "text": t, **mark}, texts, marks)
images: SearchStrategy[JSON] = st.builds(
    lambda url, mark: {"type": "image_url", "image_url": url, **mark},
    st.sampled_from([*_URLS, *({"url": url, "detail": "low"} for url in _URLS)]),
    marks,
)
files: SearchStrategy[JSON] = st.builds(
    lambda data, mark: {"type": "file", "file": {"file_data": data, "filename": "a"}, **mark},
    st.sampled_from(_FILES),
    marks,
)
contents: SearchStrategy[JSON] = texts | st.lists(text_parts | images | files, max_size=3)
instructions = st.builds(
    lambda role, content: [{"role": role, "content": content}],
    st.sampled_from(["system", "developer"]),
    texts | st.lists(text_parts, max_size=2),
)
users = st.builds(
    lambda content, name: [{"role": "user", "content": content, **name}],
    contents,
    st.sampled_from([{}, {"name": "ann"}]),
)
spoken: SearchStrategy[JSON] = (
    st.none() | texts | st.lists(text_parts | st.just({"type": "refusal", "refusal": "No."}), max_size=2)
)


def _thought(words: str) -> list[JSONObject]:
    """Return the forms in which clients send thinking back: signed, unsigned, redacted, or as text only."""
    signed: JSONObject = {"type": "reasoning.text", "text": words, "signature": sign(words, UNBOUND)}
    redacted: JSONObject = {"type": "reasoning.encrypted", "data": sign("", UNBOUND)}
    return [
        {},
        {"reasoning_content": words},
        {"reasoning_content": words, "reasoning_details": [signed, redacted]},
        {"reasoning_details": [{**signed, "signature": None}]},
        {"reasoning_details": [signed]},
    ]


thoughts: SearchStrategy[JSONObject] = texts.flatmap(lambda words: st.sampled_from(_thought(words)))
answers = st.builds(lambda content, thought: [{"role": "assistant", "content": content, **thought}], spoken, thoughts)
functions_called: SearchStrategy[JSONObject] = st.builds(
    lambda name, arguments: {"name": name, "arguments": arguments},
    names,
    st.sampled_from(["", " ", "{}", '{"city":"Paris","deep":{"cache_control":[1]}}']),
)
calls: SearchStrategy[JSONObject] = st.builds(
    lambda id_, function: {"id": id_, "type": "function", "function": function},
    st.sampled_from(["c1", "c2", "call:3", "call_3", "ü", ""]),
    functions_called,
)


@st.composite
def tool_turns(draw: st.DrawFn) -> list[JSON]:
    """A message with calls, and their results in any order, with or without instructions between."""
    made = draw(st.lists(calls, min_size=1, max_size=3, unique_by=lambda call: str(call["id"])))
    results: list[JSON] = [
        {"role": "tool", "tool_call_id": call["id"], "content": draw(contents)} for call in draw(st.permutations(made))
    ]
    if draw(st.booleans()):
        results.insert(1, {"role": "system", "content": draw(texts)})
    content: JSON = draw(spoken)
    return [{"role": "assistant", "content": content, "tool_calls": [*made], **draw(thoughts)}, *results]


@st.composite
def function_turns(draw: st.DrawFn) -> list[JSON]:
    """A call and its result in the legacy form."""
    made = draw(functions_called)
    result: JSONObject = {"role": "function", "name": made["name"], "content": draw(st.none() | texts)}
    return [{"role": "assistant", "content": None, "function_call": made}, result]


chats: SearchStrategy[list[JSON]] = st.lists(
    st.one_of(instructions, users, answers, tool_turns(), function_turns()), min_size=1, max_size=7
).map(lambda turns: [message for turn in turns for message in turn])

_PLACE: JSONObject = {"type": "object", "properties": {"at": {"$ref": "#/$defs/at"}}, "$defs": {"at": WEATHER_SCHEMA}}
schemas: SearchStrategy[JSONObject] = st.sampled_from(
    [
        WEATHER_SCHEMA,
        _PLACE,
        {"type": "object"},
        {"properties": {"n": {"type": "integer", "minimum": 1, "enum": [1, 2]}}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": ["object", "null"], "properties": {}},
        {"anyOf": [WEATHER_SCHEMA, {"type": "object", "properties": {"city": {"type": "integer"}}}, {"type": "null"}]},
        {"$ref": "#/$defs/me", "$defs": {"me": {"type": "object", "properties": {"me": {"$ref": "#/$defs/me"}}}}},
    ]
)
functions: SearchStrategy[list[JSONObject]] = st.lists(
    st.fixed_dictionaries(
        {"name": names},
        optional={"parameters": schemas | st.just({}), "description": texts, "strict": st.booleans()},
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda function: str(function["name"]),
)


@st.composite
def tool_fields(draw: st.DrawFn) -> dict[str, Any]:
    """Functions and a tool choice, as tools or in the legacy form; or neither."""
    form = draw(st.sampled_from(["tools", "functions", "none"]))
    if form == "none":
        return {}
    defined = draw(functions)
    named: JSONObject = {"name": draw(st.sampled_from(defined))["name"]}
    if form == "functions":
        return {
            "functions": defined,
            **draw(st.sampled_from([{}, {"function_call": "auto"}, {"function_call": named}])),
        }
    tool: JSONObject = {"type": "function", "function": named}
    allowed: list[JSON] = [
        {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [tool]}} for mode in ("auto", "required")
    ]
    choice = draw(st.sampled_from([None, "auto", "none", "required", tool, *allowed]))
    tools = [{"type": "function", "function": function, **draw(marks)} for function in defined]
    return {"tools": tools, "tool_choice": choice}


limits = st.integers(1, 3000) | st.integers(1, 200_000)
fields: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(0, 500),
        "max_tokens": limits,
        "max_completion_tokens": limits,
        "stop": texts | st.lists(texts, max_size=4),
        "n": st.integers(1, 8),
        "stream": st.booleans(),
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        "verbosity": st.sampled_from(["low", "medium", "high"]),
        "parallel_tool_calls": st.booleans(),
        "web_search_options": st.sampled_from([{}, {"user_location": {"approximate": {"city": "Oslo"}}}]),
        "response_format": st.sampled_from(["text", "json_object"]).map(lambda kind: {"type": kind})
        | schemas.map(lambda schema: {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}),
        "user": texts,
        "seed": st.integers(),
        "metadata": st.dictionaries(texts, texts, max_size=2),
    },
)

blocks: SearchStrategy[JSONObject] = st.one_of(
    st.builds(lambda t: {"type": "text", "text": t}, texts | st.just('{"a":1}')),
    st.builds(
        lambda t, urls: {"type": "text", "text": t, "citations": [{"url": url, "title": None} for url in urls]},
        texts,
        st.lists(st.sampled_from(["https://a.test", "https://b.test"]), max_size=3),
    ),
    st.builds(lambda t: {"type": "thinking", "thinking": t, "signature": "s"}, texts),
    st.just({"type": "redacted_thinking", "data": "x"}),
    st.builds(
        lambda name, given: {"type": "tool_use", "id": "t", "name": name, "input": given},
        names,
        st.dictionaries(texts, texts | st.integers(-5, 5), max_size=2) | st.just('{"cut": "o'),
    ),
    st.just({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}),
    st.just({"type": "web_search_tool_result", "tool_use_id": "s", "content": []}),
    st.just({"type": "hologram", "data": "?"}),
)
"""What a model may say."""
