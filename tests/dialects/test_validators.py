"""Values held to clients' own schemas."""

import pytest

from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.shared.structured_output import schema_error

DRAFT = "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "#/$defs/none"},
        {"$ref": "https://x.test/schema.json"},
        {"$ref": "#"},
        {"properties": []},
    ],
)
def test_a_schema_that_is_none_finds_no_fault_and_fetches_nothing(schema: JSONObject) -> None:
    """The API has judged it already."""
    assert schema_error({"a": 1}, schema) is None


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ("a" * 40 + "!", {"pattern": "^(a+)+$"}),
        ({"x": "a" * 40 + "!"}, {"properties": {"x": {"$schema": DRAFT, "pattern": "^(a+)+$"}}}),
        (
            {"x": {"p": "a" * 40 + "!"}},
            {"$schema": DRAFT, "properties": {"p": {"pattern": "^(a+)+$"}, "x": {"$ref": "#"}}},
        ),
        ({"x1": 5}, {"patternProperties": {"^x": {"type": "string"}}, "additionalProperties": False}),
    ],
)
def test_clients_patterns_are_never_run(value: JSON, schema: JSONObject) -> None:
    """The first ones would take years, also where a part of the schema asks for the rules of another draft."""
    assert schema_error(value, schema) is None


def test_additional_properties_count_where_there_are_no_patterns() -> None:
    """So that the rule above does not open every object."""
    assert schema_error({"x": 1}, {"additionalProperties": False}) is not None
    assert schema_error({"x": 1}, {"additionalProperties": {"type": "integer"}}) is None


def _doubling(steps: int) -> JSONObject:
    """Each definition is either of two that are the same: read to its end, twice the work a step."""
    defs: JSONObject = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(steps)}
    return {"properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": {**defs, f"d{steps}": {"type": "string"}}}


def test_references_are_followed_only_so_often() -> None:
    """A schema of a hundred lines would keep the gateway busy for years; a smaller one is read to its end."""
    assert schema_error({"x": 1}, _doubling(64)) is None
    assert schema_error({"x": 1}, _doubling(4)) is not None
    assert schema_error({"x": "text"}, _doubling(64)) is None


def test_a_number_beyond_all_numbers_is_no_fault_of_ours() -> None:
    """What cannot be divided cannot be checked."""
    assert schema_error({"x": float("inf")}, {"properties": {"x": {"multipleOf": 0.1}}}) is None
