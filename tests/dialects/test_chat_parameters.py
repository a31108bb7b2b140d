"""Chat fields without an equivalent, and those that only the gateway uses."""

import hashlib
from typing import Any

import pytest
from chat_support import NEWEST, OLD, PING, PNG, decode, dialect, raw, warned

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import StorageOptions
from dragoman.dialects.chat.request import IGNORED

SPOKEN: JSONObject = {"role": "assistant", "audio": {"id": "audio-1"}}


def test_the_user_is_sent_as_a_hash() -> None:
    """Never in plain text; `safety_identifier` takes precedence."""
    hashed = {"user_id": hashlib.sha256(b"ann").hexdigest()}
    assert decode(user="ann").body["metadata"] == hashed
    assert decode(user="bob", safety_identifier="ann").body["metadata"] == hashed


def test_padding_and_image_detail_are_ignored_with_a_warning() -> None:
    """`auto` causes no warning."""

    def image(detail: str) -> JSONObject:
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": detail}}

    chat: list[JSON] = [{"role": "user", "content": [image("auto"), image("low")]}]
    request = decode(chat, stream=True, stream_options={"include_obfuscation": True})
    assert warned(request) == [
        ("ignored", "stream_options.include_obfuscation"),
        ("ignored", "messages[0].content[1].image_url.detail"),
    ]


def test_store_and_metadata_are_not_sent() -> None:
    """They are kept for the stored response."""
    kept = dialect(stores_responses=True).decode(raw(store=True, metadata={"run": "1"}))
    assert (kept.storage, kept.messages, kept.warnings) == (
        StorageOptions(requested=True, metadata={"run": "1"}),
        PING,
        (),
    )
    passing = decode(metadata={"run": "1"})
    assert (passing.storage, passing.messages) == (None, None)
    assert warned(passing) == [("ignored", "metadata")]
    assert kept.body == passing.body == decode().body


def test_store_is_refused_without_a_store() -> None:
    """The error names the flag."""
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
def test_verbosity_is_sent_as_effort(verbosity: str, fields: Any, effort: str | None, code: str | None) -> None:
    """If the model has effort and the client set none: effort governs all output."""
    request = decode(verbosity=verbosity, **fields)
    assert request.body.get("output_config", {}).get("effort") == effort
    assert warned(request) == ([(code, "verbosity")] if code else [])


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
    "audio": {"voice": "alloy", "format": "wav"},
}


def test_every_ignored_field_has_a_test_value() -> None:
    """A new field needs a value here."""
    assert FULL.keys() == IGNORED.neutral_values.keys()


@pytest.mark.parametrize("name", FULL)
def test_fields_without_an_equivalent_are_ignored_with_a_warning(name: str) -> None:
    """Without a warning for values that have no effect."""
    request = decode(**{name: FULL[name]})
    assert request.body == decode().body
    assert warned(request) == [("ignored", name)]
    neutral: list[dict[str, Any]] = [{name: value} for value in IGNORED.neutral_values[name]]
    assert all(decode(**fields).warnings == () for fields in neutral)


def test_settings_of_audio_ask_for_none() -> None:
    """`modalities` does: clients send the settings of another model with every request."""
    request = decode(modalities=["text"], audio={"voice": "alloy", "format": "wav"})
    assert request.body == decode().body
    assert warned(request) == [("ignored", "audio")]


@pytest.mark.parametrize("name", ["top_k", "max_tokens", "max_completion_tokens"])
def test_minus_one_means_that_a_field_is_not_set(name: str) -> None:
    """As local model servers have it. The field is left out, with a warning."""
    fields: dict[str, Any] = {name: -1}
    request = decode(**fields)
    assert request.body == decode().body
    assert warned(request) == [("ignored", name)]


@pytest.mark.parametrize("name", ["tool_choice", "reasoning_effort", "verbosity", "response_format"])
def test_an_empty_choice_means_that_a_field_is_not_set(name: str) -> None:
    """As forms send it."""
    fields: dict[str, Any] = {name: ""}
    request = decode(**fields)
    assert request.body == decode().body
    assert warned(request) == [("ignored", name)]


def test_neutral_values_cause_no_warnings() -> None:
    """OpenAI's clients send them by default."""
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
def test_unsupported_features_are_refused_by_name(fields: dict[str, Any], param: str) -> None:
    """With the code `unsupported_parameter`."""
    with pytest.raises(UnsupportedFeature) as caught:
        dialect().decode(raw(**fields))
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", param)


def test_max_choices_is_a_setting() -> None:
    """The operator's limit applies."""
    assert dialect(max_choices=9).decode(raw(n=9)).choices == 9


def test_unknown_fields_are_ignored_with_one_warning_per_name() -> None:
    """At any depth."""
    messages: list[JSON] = [{"role": "user", "content": "a", "mood": 1}, {"role": "user", "content": "b", "mood": 2}]
    assert warned(decode(messages, speed="fast", empty=None)) == [("ignored", "messages[0].mood"), ("ignored", "speed")]


def test_unknown_fields_are_refused_with_strict_parameters() -> None:
    """With their path."""
    with pytest.raises(InvalidRequest) as caught:
        dialect(strict_parameters=True).decode(raw(speed="fast"))
    assert (caught.value.code, caught.value.param) == ("unknown_parameter", "speed")
