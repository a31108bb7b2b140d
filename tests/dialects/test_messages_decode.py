"""Decoding of requests of the Messages API: passed on unchanged, or refused if the gateway cannot read them."""

import json

import msgspec
import pytest
from hypothesis import given
from messages_support import ASK, NAMES, bodies, decode, dialect

from dragoman.core.catalog import Catalog
from dragoman.core.conversation import ConversationHash
from dragoman.core.errors import InvalidRequest, NotFound
from dragoman.core.known_message import as_sent
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.messages.dialect import MessagesDialect


@given(bodies)
def test_the_api_receives_what_the_client_sent(body: JSONObject) -> None:
    """Equal JSON, with unknown fields and blocks; only the model's alias is resolved."""
    request = dialect().decode(json.dumps(body).encode())
    sent = json.loads(msgspec.json.encode(as_sent(request.body)))
    assert sent == {**body, "model": Catalog().resolve(str(body["model"])).model.id}


@given(bodies)
def test_the_canonical_request_has_lists_only(body: JSONObject) -> None:
    """Code that reads it never sees bare strings, and can hash every conversation."""
    request = dialect().decode(json.dumps(body).encode()).body
    assert all(isinstance(message["content"], list) for message in request["messages"])
    assert isinstance(request.get("system", []), list)
    assert ConversationHash({}).extend(request["messages"]).name


@pytest.mark.parametrize("name", NAMES)
def test_model_names(name: str) -> None:
    """Aliases and ids have the same models as in chat."""
    assert decode(model=name).resolved.model == Catalog().resolve(name).model


def test_an_unknown_model_is_not_found() -> None:
    """The error suggests existing names."""
    with pytest.raises(NotFound, match="Did you mean"):
        decode(model="claude-sonet")


def test_a_retired_model_is_replaced_with_a_warning() -> None:
    """If the operator allows it."""
    retired = MessagesDialect(lambda: Catalog(map_retired=True))
    request = retired.decode(json.dumps({"model": "claude-3-opus-20240229", "messages": ASK}).encode())
    assert request.body["model"] == "claude-opus-5-5"
    assert [warning.code for warning in request.warnings] == ["mapped"]


def test_version_and_betas_come_from_headers() -> None:
    """One header may hold several betas."""
    request_options = decode({b"anthropic-version": b"2026-10-21", b"anthropic-beta": b"a-1, b-2,,"}).request_options
    assert (request_options.version, request_options.betas, request_options.verbatim) == (
        "2026-10-21",
        ("a-1", "b-2"),
        True,
    )
    assert decode().request_options.version is None


@pytest.mark.parametrize(("value", "streams"), [(True, True), (False, False), (None, False)])
def test_stream_is_not_passed_on(value: JSON, streams: bool) -> None:  # noqa: FBT001 - a value of the table
    """It is between the client and the gateway."""
    request = decode(stream=value)
    assert request.stream is streams
    assert "stream" not in request.body


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("model", None, "model"),
        ("model", 5, "model"),
        ("messages", None, "messages"),
        ("messages", "Hello", "messages"),
        ("messages", [], "messages"),
        ("messages", ["Hello"], "messages[0]"),
        ("messages", [{"content": "Hello"}], "messages[0].role"),
        ("messages", [{"role": "tool", "content": "Hello"}], "messages[0].role"),
        ("messages", [{"role": "user"}], "messages[0].content"),
        ("messages", [{"role": "user", "content": None}], "messages[0].content"),
        ("messages", [{"role": "user", "content": ["Hello"]}], "messages[0].content[0]"),
        ("messages", [{"role": "user", "content": [{"text": "Hello"}]}], "messages[0].content[0].type"),
        ("messages", [{"role": "user", "content": [{"type": "text", "text": 5}]}], "messages[0].content[0].text"),
        (
            "messages",
            [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": 5}]}],
            "messages[0].content[0].content",
        ),
        (
            "messages",
            [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [{}]}]}],
            "messages[0].content[0].content[0].type",
        ),
        ("system", 5, "system"),
        ("stream", "yes", "stream"),
        ("max_tokens", "many", "max_tokens"),
        ("max_tokens", True, "max_tokens"),
        ("max_tokens", -1, "max_tokens"),
        ("tools", {}, "tools"),
        ("tools", [{"description": "A tool"}], "tools[0].name"),
        ("thinking", "hard", "thinking"),
        ("output_config", [1.5], "output_config"),
    ],
)
def test_invalid_fields_are_refused_by_name(field: str, value: JSON, param: str) -> None:
    """With the field in `param`."""
    with pytest.raises(InvalidRequest) as refused:
        decode(**{field: value})
    assert refused.value.param == param


@pytest.mark.parametrize(("raw", "code"), [(b"{", "invalid_json"), (b"[]", "invalid_type")])
def test_a_body_that_is_not_an_object_is_refused(raw: bytes, code: str) -> None:
    """With the code of the kind of error."""
    with pytest.raises(InvalidRequest) as refused:
        dialect().decode(raw)
    assert refused.value.code == code
