"""Values checked against clients' own schemas."""

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
def test_an_invalid_schema_has_no_errors_and_fetches_nothing(schema: JSONObject) -> None:
    """The API has checked it already."""
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
    """The first ones would take years, also in parts of a schema that name another draft."""
    assert schema_error(value, schema) is None


def test_additional_properties_are_checked_without_patterns() -> None:
    """The rule above does not open every object."""
    assert schema_error({"x": 1}, {"additionalProperties": False}) is not None
    assert schema_error({"x": 1}, {"additionalProperties": {"type": "integer"}}) is None


def _doubling(steps: int) -> JSONObject:
    """Return a schema whose definitions each refer to the next twice: each step doubles the work."""
    defs: JSONObject = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(steps)}
    return {"properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": {**defs, f"d{steps}": {"type": "string"}}}


def test_the_number_of_followed_references_is_limited() -> None:
    """A schema of a hundred lines could take years; a smaller one is checked completely."""
    assert schema_error({"x": 1}, _doubling(64)) is None
    assert schema_error({"x": 1}, _doubling(4)) is not None
    assert schema_error({"x": "text"}, _doubling(64)) is None


def test_infinity_is_not_an_error() -> None:
    """It cannot be divided, so it is not checked."""
    assert schema_error({"x": float("inf")}, {"properties": {"x": {"multipleOf": 0.1}}}) is None


_ITEMS = list(range(2000))


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ([1] * 2000, {"items": {"allOf": [{"type": "string"}] * 200}}),
        (["x"] * 2000, {"items": {"enum": [str(index) for index in _ITEMS]}}),
        ([{}] * 2000, {"allOf": [{"items": {}}] * 200, "minItems": 3000}),
        ({str(index): 1 for index in _ITEMS}, {"allOf": [{"propertyNames": {}}] * 200, "required": ["x"]}),
        (["x" * 100] * 2000, {"allOf": [{"minItems": 3000}] * 1000}),
    ],
)
def test_a_check_of_too_many_steps_is_given_up(value: JSON, schema: JSONObject) -> None:
    """A schema and a value multiply each other: the check would take seconds."""
    assert schema_error(value, schema) is None


def test_a_long_value_is_checked() -> None:
    """A thousand rows of an ordinary schema have fewer steps."""
    row: JSONObject = {"id": 1, "name": "a", "tags": ["x", "y"]}
    properties: JSONObject = {
        "id": {"type": "integer"},
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
    }
    schema: JSONObject = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": properties,
            "required": ["id", "name"],
            "additionalProperties": False,
        },
    }
    assert schema_error([row] * 1000, schema) is None
    assert schema_error([*[row] * 999, {**row, "id": "1"}], schema) == "[999].id: '1' is not of type 'integer'"


@pytest.mark.parametrize("items", [[{"a": 1, "b": 2}, {"b": 2, "a": 1}], [1, 1], ["x", "x"], [[1], [1]]])
def test_equal_items_are_not_unique(items: list[JSON]) -> None:
    """Objects are equal in any order of their keys."""
    assert schema_error(items, {"uniqueItems": True}) == "the value: the items are not unique"
    assert schema_error(items, {"uniqueItems": False}) is None


def test_different_items_are_unique() -> None:
    """Thousands of objects are compared by their JSON, not one by one."""
    assert schema_error([{"a": index} for index in range(5000)], {"uniqueItems": True}) is None
    assert schema_error([1, True, "1", None, [1], {"a": 1}], {"uniqueItems": True}) is None
