"""Requests in the shape of another API: editors send Claude's tools, or the input of the Responses API, as a chat.

The request is rewritten to the shape of a chat before it is validated. The response is a chat completion. Parts of
messages need no rewriting: see `parts`.
"""

from collections.abc import Iterator
from typing import cast

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.warnings import RequestWarning

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
"""Claude's `tool_choice` types without a name, as OpenAI writes them."""
_FUNCTION_FIELDS = ("name", "description", "parameters", "strict")
_MESSAGE_FIELDS = ("role", "content", "name")
_RENAMED_FIELDS = {"max_output_tokens": "max_completion_tokens", "stop_sequences": "stop"}


def as_chat(data: JSON, warnings: list[RequestWarning]) -> JSON:
    """Return a request in the shape of a chat. One that has it already is returned as it is.

    Raises:
        InvalidRequest: An item of `input` cannot be understood.
    """
    if not isinstance(data, dict):
        return data
    changes: JSONObject = {}
    if data.get("messages") is None and data.get("input") is not None:
        changes |= _from_responses(data, warnings)
    for name, chat_name in _RENAMED_FIELDS.items():
        if data.get(name) is not None and data.get(chat_name) is None:
            changes |= {chat_name: data[name], name: None}
    if isinstance(tools := data.get("tools"), list):
        changes["tools"] = [_tool(tool) for tool in tools]
    if (choice := data.get("tool_choice")) is not None:
        changes |= _choice(choice, data)
    return {**data, **changes} if changes else data


def _tool(tool: JSON) -> JSON:
    """Return a tool as OpenAI writes it: `{"type": "function", "function": {…}}`."""
    if not isinstance(tool, dict):
        return tool
    function = tool.get("function")
    if isinstance(function, dict):
        return {"type": "function", **tool, "function": _definition(function)}
    if tool.get("type") == "function" or (tool.get("type") in (None, "custom") and "input_schema" in tool):
        others = {name: value for name, value in tool.items() if name not in (*_FUNCTION_FIELDS, "input_schema")}
        own = {name: tool[name] for name in (*_FUNCTION_FIELDS, "input_schema") if name in tool}
        return {**others, "type": "function", "function": _definition(own)} if own else tool
    return tool


def _definition(function: JSONObject) -> JSONObject:
    """Return a function's definition with its schema under OpenAI's name."""
    if "input_schema" not in function:
        return function
    schema = function["input_schema"]
    return {"parameters": schema, **{name: value for name, value in function.items() if name != "input_schema"}}


def _choice(choice: JSON, data: JSONObject) -> JSONObject:
    """Return `tool_choice` as OpenAI writes it, and the field for one call at a time if Claude's form sets it."""
    if choice == "any":
        return {"tool_choice": "required"}
    if not isinstance(choice, dict):
        return {}
    kind, name = choice.get("type"), choice.get("name")
    changes: JSONObject = {}
    if isinstance(kind, str) and kind in _CHOICES:
        changes["tool_choice"] = _CHOICES[kind]
    elif kind in ("tool", "function") and isinstance(name, str):
        changes["tool_choice"] = {"type": "function", "function": {"name": name}}
    if changes and choice.get("disable_parallel_tool_use") is True and data.get("parallel_tool_calls") is None:
        changes["parallel_tool_calls"] = False
    return changes


def _from_responses(data: JSONObject, warnings: list[RequestWarning]) -> JSONObject:
    """Return the fields of a chat for those of a request for a response. The latter are set to null."""
    changes: JSONObject = {"input": None, "messages": list(_messages(data["input"], warnings))}
    instructions = data.get("instructions")
    if instructions is not None and data.get("system") is None:
        changes |= {"instructions": None, "system": instructions}
    reasoning, text = data.get("reasoning"), data.get("text")
    if isinstance(reasoning, dict) and data.get("reasoning_effort") is None:
        changes |= {"reasoning": None, "reasoning_effort": reasoning.get("effort")}
    if isinstance(text, dict):
        changes["text"] = None
        if data.get("verbosity") is None:
            changes["verbosity"] = text.get("verbosity")
        if data.get("response_format") is None:
            changes["response_format"] = _format(text.get("format"))
    return changes


def _format(given: JSON) -> JSON:
    """Return a text format of the Responses API as a `response_format`: its schema is one level deeper."""
    if not isinstance(given, dict) or given.get("type") != "json_schema":
        return given
    return {"type": "json_schema", "json_schema": {name: value for name, value in given.items() if name != "type"}}


def _messages(given: JSON, warnings: list[RequestWarning]) -> Iterator[JSON]:
    """Yield the messages for the items of `input`. The calls after a message of the assistant belong to it."""
    if not isinstance(given, list):
        yield {"role": "user", "content": given}
        return
    open_message: JSONObject | None = None
    for index, item in enumerate(given):
        path = f"input[{index}]"
        if not isinstance(item, dict):
            raise InvalidRequest(f"`{path}` must be an object.", code="invalid_type", param=path)
        kind = item.get("type")
        if kind == "function_call":
            if open_message is None:
                open_message = {"role": "assistant", "content": None}
            calls = cast("list[JSON]", open_message.setdefault("tool_calls", []))
            calls.append(_call(item))
            continue
        if kind == "reasoning":
            detail = "Reasoning of the Responses API was left out: a chat has no place for it."
            warnings.append(RequestWarning("ignored", path, detail))
            continue
        if open_message is not None:
            yield open_message
            open_message = None
        message = _message(item, path)
        if message.get("role") == "assistant":
            open_message = message
        else:
            yield message
    if open_message is not None:
        yield open_message


def _call(item: JSONObject) -> JSONObject:
    function: JSONObject = {"name": item.get("name"), "arguments": item.get("arguments")}
    return {"id": item.get("call_id") or item.get("id"), "type": "function", "function": function}


def _message(item: JSONObject, path: str) -> JSONObject:
    kind = item.get("type")
    if kind == "function_call_output":
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")}
    if kind in (None, "message") or "role" in item:
        return {name: item[name] for name in _MESSAGE_FIELDS if name in item}
    raise UnsupportedFeature(
        f"Items of type `{str(kind)[:60]}` are not supported in a chat. Send them to `/v1/responses`.",
        param=f"{path}.type",
    )
