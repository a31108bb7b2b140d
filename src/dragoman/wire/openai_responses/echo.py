"""The settings that a response repeats, as the client sent them; what was not sent, at OpenAI's defaults."""

from dragoman.messages import JSON, JSONObject

_DEFAULTS: JSONObject = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "temperature": 1.0,
    "top_p": 1.0,
    "truncation": "disabled",
    "tool_choice": "auto",
    "metadata": {},
}
_FIXED: JSONObject = {
    "service_tier": "default",
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_logprobs": 0,
}
"""What is so whatever the client sent."""


def echo(sent: JSONObject, *, kept: bool) -> JSONObject:
    """The settings of one request.

    Args:
        sent: The request's body, which is known to fit the schema.
        kept: Whether the response is kept.
    """
    given = {key: value for key, default in _DEFAULTS.items() if (value := sent.get(key, default)) is not None}
    tools = sent.get("tools")
    made: JSONObject = {
        **_DEFAULTS,
        **given,
        **_FIXED,
        "store": kept,
        "reasoning": _reasoning(_object(sent.get("reasoning"))),
        "text": _text(_object(sent.get("text"))),
        "tools": [_tool(_object(tool)) for tool in tools] if isinstance(tools, list) else [],
    }
    if sent.get("user") is not None:
        made["user"] = sent["user"]
    return made


def _reasoning(sent: JSONObject) -> JSONObject:
    return {"effort": sent.get("effort"), "summary": sent.get("summary") or sent.get("generate_summary")}


def _text(sent: JSONObject) -> JSONObject:
    wanted = _object(sent.get("format")) or {"type": "text"}
    if wanted["type"] == "json_schema":
        wanted = {"name": "answer", "strict": False, **_given(wanted)}
    return {"format": wanted, "verbosity": sent.get("verbosity") or "medium"}


def _tool(sent: JSONObject) -> JSONObject:
    if sent.get("type") != "function":
        return sent
    return {**sent, **{key: sent.get(key) for key in ("description", "parameters")}, "strict": bool(sent.get("strict"))}


def _given(sent: JSONObject) -> JSONObject:
    return {key: value for key, value in sent.items() if value is not None}


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}
