"""The requests of a case, in each dialect."""

from proof_api import mark_text
from proof_case import Case
from proof_message import PARAMETERS, TOOL, Object

PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "completions": "/v1/completions",
    "messages": "/v1/messages",
}
_MAX_TOKENS = 8000
_BUDGET = 2000
_WORDS = 40
_LONG_MESSAGES = 500
_SCHEMA = {**PARAMETERS, "properties": {name: {"type": "string"} for name in PARAMETERS["properties"]}}


def request_body(case: Case) -> Object:
    """Return the body of a case's first request."""
    prompt = f"{mark_text(case, 0)} Answer in many words."
    body: Object = {"model": case.model, "stream": _is_streamed(case)}
    if case.dialect == "completions":
        return {**body, "prompt": prompt, "max_tokens": _MAX_TOKENS}
    if case.dialect == "responses":
        return {**body, "input": [_user(prompt)], **_stored(case), **_responses_fields(case)}
    messages = {"messages": [_user(prompt)]}
    if case.dialect == "messages":
        return {**body, **messages, "max_tokens": _MAX_TOKENS, **_messages_fields(case)}
    return {**body, **messages, **_stored(case), **_chat_fields(case)}


def long_body(path: str, number: int) -> Object:
    """Return the body of a request that is refused after it was decoded: a megabyte of messages with a number."""
    text = "".join(f"{word} words of a message that no other request has. " for word in range(_WORDS))
    messages = [_user(f"{number}.{index} {text}") for index in range(_LONG_MESSAGES)]
    invalid: Object = {"max_tokens": "many"} if path == PATHS["messages"] else {"tools": [{}]}
    return {"model": "claude-sonnet-4-5", "messages": messages, **invalid}


def next_body(case: Case, first: Object, document: Object) -> Object:
    """Return the body of a case's second request, which continues the conversation.

    Args:
        case: The case.
        first: The body of the first request.
        document: The response to it, without a stream.
    """
    mark = mark_text(case, 1)
    if case.dialect == "responses":
        items = document["output"]
        results = [
            {"type": "function_call_output", "call_id": item["call_id"], "output": f"{mark} found"}
            for item in items
            if item["type"] == "function_call"
        ]
        following: list[Object] = results or [_user(f"{mark} And then?")]
        if case.mode in {"stored", "background"}:
            return {**first, "previous_response_id": document["id"], "input": following}
        return {**first, "input": [*first["input"], *items, *following]}
    if case.dialect == "messages":
        blocks = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": f"{mark} found"}
            for block in document["content"]
            if block["type"] == "tool_use"
        ]
        earlier = {"role": "assistant", "content": document["content"]}
        question: Object = {"role": "user", "content": blocks or f"{mark} And then?"}
        return {**first, "messages": [*first["messages"], earlier, question]}
    message = document["choices"][0]["message"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"{mark} found"}
        for call in message.get("tool_calls") or []
    ]
    return {**first, "messages": [*first["messages"], message, *(results or [_user(f"{mark} And then?")])]}


def _is_streamed(case: Case) -> bool:
    return case.mode == "streamed" or (case.mode == "stored" and case.number % 2 == 0)


def _stored(case: Case) -> Object:
    return {"store": case.mode in {"stored", "background"}} | (
        {"background": True} if case.mode == "background" else {}
    )


def _user(text: str) -> Object:
    return {"role": "user", "content": text}


def _chat_fields(case: Case) -> Object:
    match case.feature:
        case "tools":
            return {"tools": [{"type": "function", "function": {"name": TOOL, "parameters": PARAMETERS}}]}
        case "thinking":
            return {"reasoning_effort": "low"}
        case "schema":
            return {"response_format": {"type": "json_schema", "json_schema": {"name": "words", "schema": _SCHEMA}}}
        case _:
            return {}


def _responses_fields(case: Case) -> Object:
    match case.feature:
        case "tools":
            return {"tools": [{"type": "function", "name": TOOL, "parameters": PARAMETERS, "strict": False}]}
        case "thinking":
            return {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
        case "schema":
            return {"text": {"format": {"type": "json_schema", "name": "words", "schema": _SCHEMA}}}
        case _:
            return {}


def _messages_fields(case: Case) -> Object:
    match case.feature:
        case "tools":
            return {"tools": [{"name": TOOL, "input_schema": PARAMETERS}]}
        case "thinking" if case.model == "claude-sonnet-4-5":
            return {"thinking": {"type": "enabled", "budget_tokens": _BUDGET}}
        case "thinking":
            return {"thinking": {"type": "adaptive", "display": "summarized"}}
        case _:
            return {}
