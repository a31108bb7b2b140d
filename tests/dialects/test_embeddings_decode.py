"""Decoding of embeddings requests."""

import json
from typing import Any

import pytest

from dragoman.core.errors import GatewayError, InvalidRequest, NotFound
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.embeddings.dialect import EmbeddingsDialect
from dragoman.dialects.embeddings.request import EmbeddingsRequest

CODEC = EmbeddingsDialect("org/mini", {"mine": "text-embedding-3-large", "fast": "haiku"}, DialectOptions())


def read(dialect: EmbeddingsDialect = CODEC, **body: Any) -> EmbeddingsRequest:
    """Decode a request."""
    return dialect.decode(json.dumps(body).encode())


def refused(dialect: EmbeddingsDialect = CODEC, **body: Any) -> GatewayError:
    """Return the error of a request."""
    with pytest.raises(GatewayError) as caught:
        read(dialect, **body)
    return caught.value


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("one", ("one",)),
        (["one", "two"], ("one", "two")),
        ([1, 2, 3], ([1, 2, 3],)),
        ([[1, 2], [3]], ([1, 2], [3])),
        (["one", [1]], ("one", [1])),
    ],
)
def test_every_form_of_input(given: object, inputs: object) -> None:
    """Texts and tokens, alone and in lists."""
    assert read(input=given).inputs == inputs


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ("", "input", "invalid_value"),
        ([], "input", "invalid_value"),
        (["one", ""], "input[1]", "invalid_value"),
        ([[1], []], "input[1]", "invalid_value"),
        ([1, "one"], "input[0]", "invalid_type"),
        ([[1, "one"]], "input[0]", "invalid_type"),
        ([[1, -1]], "input[0]", "invalid_type"),
        ([True], "input[0]", "invalid_type"),
        ([None], "input[0]", "invalid_type"),
        (["a"] * 2049, "input", "invalid_value"),
        (7, "input", "invalid_type"),
    ],
)
def test_invalid_input_is_refused_by_path(given: object, param: str, code: str) -> None:
    """The client learns which text is invalid."""
    error = refused(input=given)
    assert isinstance(error, InvalidRequest)
    assert (error.param, error.code) == (param, code)


def test_the_number_of_inputs_is_openais() -> None:
    """2048 texts; the numbers of one token list do not count."""
    assert len(read(input=["a"] * 2048).inputs) == 2048
    assert len(read(input=[1] * 3000).inputs) == 1


@pytest.mark.parametrize(
    "name",
    ["text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002", "org/mini", "mini", "mine"],
)
def test_names_of_the_model(name: str) -> None:
    """OpenAI's names, the model's own with and without its publisher, and the operator's."""
    assert read(input="a", model=name).requested_model == name


def test_the_model_may_be_left_out() -> None:
    """As in chat."""
    assert read(input="a").requested_model == "org/mini"


@pytest.mark.parametrize("name", ["sonnet", "fast", "text-embedding-4"])
def test_other_names_are_not_found(name: str) -> None:
    """The message lists the names that exist."""
    error = refused(input="a", model=name)
    assert isinstance(error, NotFound)
    assert (error.code, error.param) == ("model_not_found", "model")
    assert "`org/mini`" in error.message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": "many"}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_invalid_fields_are_refused_by_name(body: dict[str, Any], param: str) -> None:
    """With the field in `param`."""
    assert refused(**body).param == param


def test_ignored_fields_cause_warnings() -> None:
    """With `strict_parameters`, unknown fields are refused."""
    warnings = read(input="a", user="u", colour="red").warnings
    assert [(warning.code, warning.param) for warning in warnings] == [("ignored", "colour"), ("ignored", "user")]
    strict = EmbeddingsDialect("mini", {}, DialectOptions(strict_parameters=True))
    assert refused(strict, input="a", colour="red").code == "unknown_parameter"
