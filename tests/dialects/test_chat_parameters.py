"""Fields without an equivalent, and those that only the gateway reads."""

import hashlib
from typing import Any

import pytest
from chat_support import NEWEST, OLD, PING, PNG, decode, dialect, raw, said

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import StorageOptions
from dragoman.dialects.chat.request import IGNORED

SPOKEN: JSONObject = {"role": "assistant", "audio": {"id": "audio-1"}}


def test_the_user_is_told_to_claude_as_a_hash() -> None:
    """Never by name; the safety identifier goes first."""
    hashed = {"user_id": hashlib.sha256(b"ann").hexdigest()}
    assert decode(user="ann").body["metadata"] == hashed
    assert decode(user="bob", safety_identifier="ann").body["metadata"] == hashed


def test_what_chunks_and_images_cannot_be_told() -> None:
    """Padding and detail: said, since nothing comes of them; `auto` is what happens anyway."""

    def image(detail: str) -> JSONObject:
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": detail}}

    chat: list[JSON] = [{"role": "user", "content": [image("auto"), image("low")]}]
    request = decode(chat, stream=True, stream_options={"include_obfuscation": True})
    assert said(request) == [
        ("ignored", "stream_options.include_obfuscation"),
        ("ignored", "messages[0].content[1].image_url.detail"),
    ]


def test_what_is_kept_with_the_run() -> None:
    """Labels, and the wish to read it back; none of it is sent."""
    kept = dialect(stores_responses=True).decode(raw(store=True, metadata={"run": "1"}))
    assert (kept.storage, kept.messages, kept.warnings) == (
        StorageOptions(requested=True, metadata={"run": "1"}),
        PING,
        (),
    )
    passing = decode(metadata={"run": "1"})
    assert (passing.storage, passing.messages) == (None, None)
    assert said(passing) == [("ignored", "metadata")]
    assert kept.body == passing.body == decode().body


def test_what_cannot_be_kept_is_refused_by_name() -> None:
    """With what to do."""
    with pytest.raises(UnsupportedFeature, match="--no-store") as caught:
        decode(store=True)
    assert caught.value.param == "store"


@pytest.mark.parametrize(
    ("verbosity", "fields", "effort", "code"),
    [
        ("low", {"model": NEWEST}, "low", "mapped"),
        ("high", {"model": NEWEST}, "high", "mapped"),
        ("medium", {"model": NEWEST}, None, None),
        ("low", {"model": NEWEST, "reasoning_effort": "high"}, "high", "ignored"),
        ("low", {"model": OLD}, None, "ignored"),
    ],
)
def test_verbosity_is_effort(verbosity: str, fields: Any, effort: str | None, code: str | None) -> None:
    """Where the model has effort and the client asked for none: it governs all that is written."""
    request = decode(verbosity=verbosity, **fields)
    assert request.body.get("output_config", {}).get("effort") == effort
    assert said(request) == ([(code, "verbosity")] if code else [])


FULL: dict[str, Any] = {
    "frequency_penalty": 1,
    "presence_penalty": -1,
    "logit_bias": {"5": 1},
    "seed": 7,
    "prediction": {"type": "content", "content": "a"},
    "moderation": {"model": "m"},
    "service_tier": "flex",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"ttl": "1h"},
}


def test_every_ignored_field_is_tried_here() -> None:
    """A new row needs a value."""
    assert FULL.keys() == IGNORED.keys()


@pytest.mark.parametrize("name", FULL)
def test_fields_without_an_equivalent_are_ignored_and_said(name: str) -> None:
    """Unless they hold what means nothing."""
    request = decode(**{name: FULL[name]})
    assert request.body == decode().body
    assert said(request) == [("ignored", name)]
    neutral: list[dict[str, Any]] = [{name: value} for value in IGNORED[name]]
    assert all(decode(**fields).warnings == () for fields in neutral)


def test_neutral_values_say_nothing() -> None:
    """What OpenAI's clients send of themselves."""
    request = decode(logprobs=False, top_logprobs=0, modalities=["text"], n=1, store=False, stream=False, top_p=1)
    assert request.warnings == ()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}, "audio"),
        ({"messages": [*PING, SPOKEN, *PING]}, "messages[1].audio"),
    ],
)
def test_what_an_answer_without_would_be_wrong_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    """As `unsupported_parameter`."""
    with pytest.raises(UnsupportedFeature) as caught:
        dialect().decode(raw(**fields))
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", param)


def test_more_choices_where_the_operator_allows_them() -> None:
    """`max_choices` is the bound."""
    assert dialect(max_choices=9).decode(raw(n=9)).choices == 9


def test_unknown_fields_are_ignored_and_said_once_a_name() -> None:
    """At any depth."""
    messages: list[JSON] = [{"role": "user", "content": "a", "mood": 1}, {"role": "user", "content": "b", "mood": 2}]
    assert said(decode(messages, speed="fast", empty=None)) == [("ignored", "messages[0].mood"), ("ignored", "speed")]


def test_unknown_fields_are_refused_where_the_operator_wants_it() -> None:
    """By their path."""
    with pytest.raises(InvalidRequest) as caught:
        dialect(strict_parameters=True).decode(raw(speed="fast"))
    assert (caught.value.code, caught.value.param) == ("unknown_parameter", "speed")
