"""`docs/chat-fields.md`: current, whole, and true."""

from pathlib import Path

from openai_spec import properties

from dragoman.core.catalog import MODELS
from dragoman.dialects.chat.schema import ChatCompletionRequest
from tools.docs.chat_field_probes import PROBES, Probe
from tools.docs.chat_fields import FAMILIES, chat_fields_page, effect

PAGE = Path(__file__).parents[2] / "docs" / "chat-fields.md"
OPENAI = {probe.name for probe in PROBES if not probe.own}
OLD = next(model for model in MODELS if model.id == "claude-sonnet-4-5")
NEW = next(model for model in MODELS if model.id == "claude-sonnet-5-5")


def test_the_page_is_current() -> None:
    """It is what the decoder does: `make docs`."""
    assert PAGE.read_text(encoding="utf-8") == chat_fields_page()


def test_every_published_field_is_on_it() -> None:
    """And nothing that is not OpenAI's is called so."""
    assert properties("CreateChatCompletionRequest") == OPENAI


def test_every_field_that_is_read_is_on_it() -> None:
    """The gateway's own too."""
    assert set(ChatCompletionRequest.__struct_fields__) <= {probe.name for probe in PROBES}


def test_every_family_has_a_column() -> None:
    """A new one cannot be forgotten."""
    assert {model.family for model in MODELS} == {family for families in FAMILIES.values() for family in families}


def test_nothing_is_dropped_in_silence() -> None:
    """What does nothing says so, or is what happens anyway."""
    silent = {(probe.name, probe.shown or str(probe.value)) for probe in PROBES if effect(probe, OLD) == "no effect"}
    assert silent == {
        ("response_format", "{'type': 'text'}"),
        ("modalities", "['text']"),
        ("service_tier", "auto"),
    }


def test_effects() -> None:
    """Of each kind: sent, clamped, left out, refused, done here."""
    assert effect(Probe("stop", "END"), NEW) == 'sends `stop_sequences: ["END"]`'
    assert effect(Probe("temperature", 1.5), OLD) == "sends `temperature: 1`; warning `clamped`"
    assert effect(Probe("temperature", 1.5), NEW) == "warning `ignored`"
    assert effect(Probe("logprobs", value=True), NEW) == "400 `unsupported_parameter`"
    assert effect(Probe("stream", value=True), NEW) == "the response is a stream of server-sent events"
    assert effect(Probe("model", "gpt-4o"), NEW) == "404 `model_not_found`"
