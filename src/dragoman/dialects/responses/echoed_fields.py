"""The request's settings as its response repeats them: the sent values, else OpenAI's defaults."""

from dragoman.core.messages import JSON, JSONObject

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
_CONSTANTS: JSONObject = {
    "service_tier": "default",
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_logprobs": 0,
}
"""Settings with one value, whatever the client sent."""


def echoed_fields(sent: JSONObject, *, stored: bool) -> JSONObject:
    """Return the settings that a response repeats.

    Args:
        sent: The request's body, which fits the schema.
        stored: Whether the response is stored.
    """
    given = {name: value for name, default in _DEFAULTS.items() if (value := sent.get(name, default)) is not None}
    tools = sent.get("tools")
    settings: JSONObject = {
        **_DEFAULTS,
        **given,
        **_CONSTANTS,
        "store": stored,
        "reasoning": _reasoning(_object(sent.get("reasoning"))),
        "text": _text(_object(sent.get("text"))),
        "tools": [_tool(_object(tool)) for tool in tools] if isinstance(tools, list) else [],
    }
    if sent.get("user") is not None:
        settings["user"] = sent["user"]
    return settings


def _reasoning(sent: JSONObject) -> JSONObject:
    return {"effort": sent.get("effort"), "summary": sent.get("summary") or sent.get("generate_summary")}


def _text(sent: JSONObject) -> JSONObject:
    text_format = _object(sent.get("format")) or {"type": "text"}
    if text_format["type"] == "json_schema":
        given = {name: value for name, value in text_format.items() if value is not None}
        text_format = {"name": "answer", "strict": False, **given}
    return {"format": text_format, "verbosity": sent.get("verbosity") or "medium"}


def _tool(sent: JSONObject) -> JSONObject:
    if sent.get("type") != "function":
        return sent
    return {**sent, **{key: sent.get(key) for key in ("description", "parameters")}, "strict": bool(sent.get("strict"))}


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}
