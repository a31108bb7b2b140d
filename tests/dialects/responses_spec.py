"""Two published descriptions as judges of responses and their events: OpenAI's own, and Open Responses'."""

import json
from functools import cache
from importlib import import_module
from typing import Any

import pytest
from openai_spec import SPECS, assert_valid
from referencing import Registry
from referencing.jsonschema import DRAFT202012

_ITEMS = frozenset({"message", "function_call", "reasoning"})
"""Open Responses knows of no other output."""


def assert_response(response: Any) -> None:
    """Hold a response to both."""
    assert_valid("Response", _for_openai(response))
    if _is_plain(response):
        _assert_open("ResponseResource", response)


def assert_event(event: Any) -> None:
    """Hold an event to both."""
    kind, known = event["type"], dict(event)
    if "response" in event:
        known["response"] = _for_openai(event["response"])
    assert_valid("ResponseStreamEvent", known)
    if "custom_tool" in kind or "web_search" in kind or not _is_plain(event.get("response", {})):
        return
    if event.get("item", {"type": "message"})["type"] in _ITEMS:
        words = [word.title() for part in kind.removeprefix("response.").split(".") for word in part.split("_")]
        name = "".join(words).replace("SummaryText", "Summary")
        _assert_open(f"{'' if kind == 'error' else 'Response'}{name}StreamingEvent", event)


def _for_openai(response: Any) -> Any:
    """OpenAI's document does not know that its own responses have no usage before they end."""
    return {key: value for key, value in response.items() if key != "usage" or value is not None}


def _is_plain(response: Any) -> bool:
    """Whether all of it is in Open Responses, which lets no schema be repeated in a response."""
    tools = [*response.get("tools", ()), *(item for item in [response.get("tool_choice")] if isinstance(item, dict))]
    return (
        all(item["type"] in _ITEMS for item in response.get("output", ()))
        and all(tool["type"] == "function" for tool in tools)
        and response.get("text", {}).get("format", {}).get("type") != "json_schema"
    )


def _assert_open(schema: str, value: object) -> None:
    faults = [f"{error.json_path}: {error.message[:200]}" for error in _validator(schema).iter_errors(value)]
    assert not faults, f"{schema}: {faults[:3]}"


@cache
def _validator(schema: str) -> Any:  # jsonschema brings no types
    path = SPECS / "openresponses-openapi.json"
    if not path.exists():
        pytest.skip(f"Open Responses' description is not at {path}; DRAGOMAN_SPECS names its folder")
    document = json.loads(path.read_text())
    registry = Registry().with_resource("urn:open", DRAFT202012.create_resource(document))
    reference = {"$ref": f"urn:open#/components/schemas/{schema}"}
    return import_module("jsonschema").Draft202012Validator(reference, registry=registry)
