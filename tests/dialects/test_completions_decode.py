"""Decoding of text completions requests."""

import json
from typing import Any

import pytest
from completions_support import decode, dialect, raw, warned

from dragoman.core.catalog import MODELS
from dragoman.core.errors import GatewayError, NotFound
from dragoman.core.messages import JSON
from dragoman.dialects.completions.request import DEFAULT_MAX_TOKENS, INSTRUCTION, MAX_CHOICES
from dragoman.simulator.request import ApiRequest
from dragoman.simulator.rules.table import check


def test_a_prompt_is_a_user_message_with_an_instruction() -> None:
    """White space is kept."""
    request = decode("Once upon a time ")
    assert request.body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Once upon a time "}]}]
    assert request.body["system"] == [{"type": "text", "text": INSTRUCTION}]
    assert request.body["thinking"] == {"type": "disabled"}
    assert request.warnings == ()


def test_each_prompt_of_a_list_is_a_request_of_its_own() -> None:
    """With `n` choices each; those of the first prompt come first."""
    request = decode(["one", "two"], n=3)
    assert request.choices == 6
    prompts = [request.body_for(choice)["messages"][0]["content"][0]["text"] for choice in range(6)]
    assert prompts == ["one"] * 3 + ["two"] * 3


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
@pytest.mark.parametrize("fields", [{}, {"max_tokens": 5, "temperature": 1.5, "stop": ["\n", "END"], "user": "u"}])
def test_the_api_accepts_every_body(model: object, fields: dict[str, Any]) -> None:
    """By the rules of every model."""
    id_ = getattr(model, "id", "")
    request = decode("Say hi", model=id_, suffix="Bye", **fields)
    body = {"max_tokens": 32_000, **json.loads(json.dumps(request.body))}
    check(ApiRequest(body, request.resolved.model, {"anthropic-version": "2023-06-01"}, "key"))


def test_the_default_limit_is_openais() -> None:
    """Unless the model always thinks, which would use it up."""
    assert decode("a").body["max_tokens"] == DEFAULT_MAX_TOKENS == 16
    assert decode("a", max_tokens=7).body["max_tokens"] == 7
    thinks = decode("a", model="claude-sonnet-5-5")
    assert "max_tokens" not in thinks.body
    assert warned(thinks) == [("ignored", "max_tokens")]
    assert thinks.body["thinking"] == {"type": "adaptive"}
    assert thinks.body["output_config"] == {"effort": "low"}
    assert decode("a", model="claude-sonnet-5-5", max_tokens=7).body["max_tokens"] == 7


def test_a_suffix_is_sent_as_an_instruction() -> None:
    """With a warning; with `strict_mapping`, it is refused."""
    request = decode("def f():", suffix="    return x")
    assert request.body["system"][1]["text"] == (
        "What you write will be followed by the text below. End so that it fits, and do not write it yourself."
        "\n\n    return x"
    )
    assert warned(request) == [("mapped", "suffix")]
    with pytest.raises(GatewayError) as caught:
        dialect(strict_mapping=True).decode(raw("a", suffix="b"))
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "suffix")


@pytest.mark.parametrize(
    ("prompt", "fields", "code", "param"),
    [
        ([1, 2], {}, "unsupported_parameter", "prompt"),
        ([[1, 2], [3]], {}, "unsupported_parameter", "prompt"),
        (["a", 5], {}, "unsupported_parameter", "prompt"),
        ([], {}, "empty_prompt", "prompt"),
        ("", {}, "empty_prompt", "prompt"),
        (["a", " \n"], {}, "empty_prompt", "prompt[1]"),
        (5, {}, "invalid_type", "prompt"),
        ("a", {"logprobs": 0}, "unsupported_parameter", "logprobs"),
        ("a", {"best_of": 2}, "unsupported_parameter", "best_of"),
        ("a", {"best_of": 1, "n": 2}, "invalid_value", "best_of"),
        ("a", {"n": 9}, "invalid_value", "n"),
        (["a"] * (MAX_CHOICES + 1), {}, "invalid_value", "prompt"),
        ("a", {"max_tokens": 0}, "invalid_value", "max_tokens"),
        ("a", {"temperature": 3}, "invalid_value", "temperature"),
    ],
)
def test_invalid_and_unsupported_values_are_refused_by_name(
    prompt: JSON, fields: dict[str, Any], code: str, param: str
) -> None:
    """With the field in `param`."""
    with pytest.raises(GatewayError) as caught:
        decode(prompt, **fields)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_prompt_is_required() -> None:
    """OpenAI's default prompt, a token, means nothing to Claude."""
    with pytest.raises(GatewayError) as caught:
        dialect().decode(b'{"model": "sonnet"}')
    assert (caught.value.code, caught.value.param) == ("missing_required_parameter", "prompt")


def test_fields_without_effect_cause_warnings() -> None:
    """Neutral values do not; unknown fields do."""
    fields: dict[str, Any] = {"frequency_penalty": 1, "presence_penalty": 0, "logit_bias": {"5": 1}, "seed": 1}
    request = decode("a", **fields, best_of=1, stream_options={"include_obfuscation": True}, novelty=1)
    assert set(warned(request)) == {
        ("ignored", "frequency_penalty"),
        ("ignored", "logit_bias"),
        ("ignored", "seed"),
        ("ignored", "stream_options.include_obfuscation"),
        ("ignored", "novelty"),
    }
    with pytest.raises(GatewayError, match="novelty"):
        dialect(strict_parameters=True).decode(raw("a", novelty=1))


def test_warnings_are_not_repeated_for_each_prompt() -> None:
    """They are about fields, not about prompts."""
    assert warned(decode(["a", "b"], temperature=2)) == [("clamped", "temperature")]


def test_unknown_models_are_not_found() -> None:
    """As in the other dialects."""
    with pytest.raises(NotFound):
        decode("a", model="text-davinci-003")
