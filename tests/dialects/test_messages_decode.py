"""Requests of the Messages API: passed on as they are, and refused where the gateway itself could not read them."""

import json

import pytest
from hypothesis import given
from messages_support import ASK, NAMES, bodies, decode, dialect

from dragoman.core.catalog import Catalog
from dragoman.core.conversation import fingerprint
from dragoman.core.errors import InvalidRequest, NotFound
from dragoman.core.messages import JSON, JSONObject, as_sent
from dragoman.dialects.messages.dialect import MessagesDialect


@given(bodies)
def test_what_reaches_the_api_is_what_was_sent(body: JSONObject) -> None:
    """Equal JSON, unknown fields and blocks included; only the model's alias is resolved."""
    request = dialect().decode(json.dumps(body).encode())
    sent = json.loads(json.dumps(as_sent(request.body)))
    assert sent == {**body, "model": Catalog().resolve(str(body["model"])).model.id}


@given(bodies)
def test_inside_there_are_lists_only(body: JSONObject) -> None:
    """Whoever reads the canonical request need not know bare strings, and can name every conversation."""
    request = dialect().decode(json.dumps(body).encode()).body
    assert all(isinstance(message["content"], list) for message in request["messages"])
    assert isinstance(request.get("system", []), list)
    assert fingerprint({}, request["messages"])


@pytest.mark.parametrize("name", NAMES)
def test_model(name: str) -> None:
    """Aliases and ids lead to the same models as in chat."""
    assert decode(model=name).resolved.model == Catalog().resolve(name).model


def test_unknown_model() -> None:
    """A model that does not exist is not found, with names that do."""
    with pytest.raises(NotFound, match="Did you mean"):
        decode(model="claude-sonet")


def test_retired_model() -> None:
    """The successor answers where the operator wants that, with a warning."""
    retired = MessagesDialect(lambda: Catalog(map_retired=True))
    request = retired.decode(json.dumps({"model": "claude-3-opus-20240229", "messages": ASK}).encode())
    assert request.body["model"] == "claude-opus-5-5"
    assert [warning.code for warning in request.warnings] == ["mapped"]


def test_version_and_betas() -> None:
    """They come in headers, betas perhaps several in one."""
    request_options = decode({b"anthropic-version": b"2026-10-21", b"anthropic-beta": b"a-1, b-2,,"}).request_options
    assert (request_options.version, request_options.betas, request_options.verbatim) == (
        "2026-10-21",
        ("a-1", "b-2"),
        True,
    )
    assert decode().request_options.version is None


@pytest.mark.parametrize(("value", "streams"), [(True, True), (False, False), (None, False)])
def test_stream(value: JSON, streams: bool) -> None:  # noqa: FBT001 - a value of the table
    """Whether to stream is between the client and the gateway, and not in what is passed on."""
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
def test_refused(field: str, value: JSON, param: str) -> None:
    """What the gateway cannot read is refused, and the field named."""
    with pytest.raises(InvalidRequest) as refused:
        decode(**{field: value})
    assert refused.value.param == param


@pytest.mark.parametrize(("raw", "code"), [(b"{", "invalid_json"), (b"[]", "invalid_type")])
def test_no_request(raw: bytes, code: str) -> None:
    """A body that is no JSON object."""
    with pytest.raises(InvalidRequest) as refused:
        dialect().decode(raw)
    assert refused.value.code == code
