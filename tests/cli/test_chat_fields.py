"""`docs/chat-fields.md` is current, complete and correct."""

from pathlib import Path

from openai_objects import CHAT_REQUEST_FIELDS

from dragoman.core.catalog import MODELS
from dragoman.dialects.chat.schema import ChatCompletionRequest
from tools.docs.chat_field_probes import PROBES, Probe
from tools.docs.chat_fields import FAMILIES, chat_fields_page, effect

PAGE = Path(__file__).parents[2] / "docs" / "chat-fields.md"
OPENAI = {probe.name for probe in PROBES if not probe.own}
OLD = next(model for model in MODELS if model.id == "claude-sonnet-4-5")
NEW = next(model for model in MODELS if model.id == "claude-sonnet-5-5")


def test_the_page_is_current() -> None:
    """The page matches the decoder. If not, run `make docs`."""
    assert PAGE.read_text(encoding="utf-8") == chat_fields_page()


def test_every_published_field_is_on_it() -> None:
    """The page lists exactly the fields of the published schema as OpenAI's."""
    assert CHAT_REQUEST_FIELDS == OPENAI


def test_every_field_that_is_read_is_on_it() -> None:
    """The page contains every field that the decoder reads."""
    assert set(ChatCompletionRequest.__struct_fields__) <= {probe.name for probe in PROBES}


def test_every_family_has_a_column() -> None:
    """Every model family in the catalog has a column."""
    assert {model.family for model in MODELS} == {family for families in FAMILIES.values() for family in families}


def test_no_field_is_ignored_silently() -> None:
    """A value without effect and without a warning is the default."""
    silent = {(probe.name, probe.shown or str(probe.value)) for probe in PROBES if effect(probe, OLD) == "no effect"}
    assert silent == {
        ("response_format", "{'type': 'text'}"),
        ("modalities", "['text']"),
        ("service_tier", "auto"),
    }


def test_effects() -> None:
    """The page distinguishes fields that are sent, clamped, ignored, refused, and handled by the gateway."""
    assert effect(Probe("stop", "END"), NEW) == 'sends `stop_sequences: ["END"]`'
    assert effect(Probe("temperature", 1.5), OLD) == "sends `temperature: 1`; warning `clamped`"
    assert effect(Probe("temperature", 1.5), NEW) == "warning `ignored`"
    assert effect(Probe("logprobs", value=True), NEW) == "400 `unsupported_parameter`"
    assert effect(Probe("stream", value=True), NEW) == "the response is a stream of server-sent events"
    assert effect(Probe("model", "gpt-4o"), NEW) == "404 `model_not_found`"
