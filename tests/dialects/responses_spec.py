"""Validate responses and their events against OpenAI's objects and against those of Open Responses."""

from typing import Any

from open_responses_objects import OBJECTS
from openai_spec import SPECS, assert_valid, description_validator, errors_in, object_validator

_DESCRIPTION = SPECS / "openresponses-openapi.json"
_ITEMS = frozenset({"message", "function_call", "reasoning"})
"""The output items of Open Responses."""


def assert_response(response: Any) -> None:
    """Validate a response against both."""
    assert_valid("Response", _for_openai(response))
    if _is_open(response):
        _assert_open("ResponseResource", response)


def assert_event(event: Any) -> None:
    """Validate an event against both."""
    kind, for_openai = event["type"], dict(event)
    if "response" in event:
        for_openai["response"] = _for_openai(event["response"])
    assert_valid("ResponseStreamEvent", for_openai)
    if "custom_tool" in kind or "web_search" in kind or not _is_open(event.get("response", {})):
        return
    if event.get("item", {"type": "message"})["type"] in _ITEMS:
        words = [word.title() for part in kind.removeprefix("response.").split(".") for word in part.split("_")]
        name = "".join(words).replace("SummaryText", "Summary")
        _assert_open(f"{'' if kind == 'error' else 'Response'}{name}StreamingEvent", event)


def _for_openai(response: Any) -> Any:
    """Remove `usage` if it is null: OpenAI's own responses have no usage before they end, but its description does."""
    return {key: value for key, value in response.items() if key != "usage" or value is not None}


def _is_open(response: Any) -> bool:
    """Return whether Open Responses describes all parts of a response. It does not allow a schema in a response."""
    tools = [*response.get("tools", ()), *(item for item in [response.get("tool_choice")] if isinstance(item, dict))]
    return (
        all(item["type"] in _ITEMS for item in response.get("output", ()))
        and all(tool["type"] == "function" for tool in tools)
        and response.get("text", {}).get("format", {}).get("type") != "json_schema"
    )


def _assert_open(name: str, value: object) -> None:
    assert errors_in(value, object_validator(name, OBJECTS)) == [], name
    if _DESCRIPTION.exists():
        assert errors_in(value, description_validator(name, _DESCRIPTION)) == [], name
