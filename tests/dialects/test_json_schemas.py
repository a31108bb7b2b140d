"""Clients' JSON schemas, in the subset that the API takes."""

import pytest
from anthropic.lib._parse._transform import transform_schema
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSONObject
from dragoman.dialects.shared.output_schemas import (
    api_schema,
    check_depth,
    has_open_objects,
    unenforceable_part,
)

CITY: JSONObject = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def test_limits_go_into_the_description() -> None:
    """The API cannot enforce them; the model can read them."""
    schema: JSONObject = {"type": "integer", "minimum": 1, "maximum": 10, "description": "A number"}
    assert api_schema(schema) == {"type": "integer", "description": "A number\n\n{minimum: 1, maximum: 10}"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"properties": {}}, {"type": "object", "properties": {}, "additionalProperties": False}),
        ({"type": ["object", "null"]}, {"type": ["object", "null"], "additionalProperties": False}),
        ({"type": "object", "additionalProperties": True}, {"type": "object", "additionalProperties": False}),
        ({"oneOf": [{"type": "null"}]}, {"anyOf": [{"type": "null"}]}),
        ({"allOf": [CITY]}, {"allOf": [{**CITY, "additionalProperties": False}]}),
        ({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {}, "title": "A"}, {"$ref": "#/$defs/a", "$defs": {}}),
        ({"type": "array", "minItems": 1, "items": CITY}, None),
        ({"type": "array", "minItems": 2}, {"type": "array", "description": "{minItems: 2}"}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "phone"}, {"type": "string", "description": '{format: "phone"}'}),
        ({"$ref": "#/$defs/a", "$defs": {"a": CITY}, "title": "A"}, None),
        ({"$schema": "https://x.test", "type": "string", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        ({"type": "array", "items": True}, {"type": "array", "items": True}),
    ],
)
def test_api_schema(schema: JSONObject, expected: JSONObject | None) -> None:
    """Objects are closed at every depth, and only supported keywords remain."""
    made = api_schema(schema)
    assert made == (expected or transform_schema(dict(schema)))


class Address(BaseModel):
    """An address."""

    street: str = Field(min_length=1)
    code: int | None = 5


class Person(BaseModel):
    """A person."""

    name: str
    age: int = Field(ge=0, le=150)
    addresses: list[Address] = Field(min_length=1)


def test_a_pydantic_model_equals_the_vendors_transformation() -> None:
    """The vendor's transformation is the reference. It puts defaults into the description, too."""
    assert api_schema(Person.model_json_schema()) == transform_schema(Person)


_leaves: st.SearchStrategy[JSONObject] = st.sampled_from(
    [{"type": "string"}, {"type": "integer", "minimum": 3}, {"type": "boolean"}]
)
_schemas: st.SearchStrategy[JSONObject] = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(
            lambda parts, extra: {"type": "object", "properties": parts, "additionalProperties": extra},
            st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
            st.booleans(),
        ),
        st.builds(lambda item: {"type": "array", "items": item, "maxItems": 4}, inner),
        st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=8,
)


@given(_schemas)
def test_api_schema_is_the_vendors_transformation_and_idempotent(schema: JSONObject) -> None:
    """For any schema of common parts. The client's own schema is not changed."""
    before = repr(schema)
    made = api_schema(schema)
    assert made == transform_schema(schema)
    assert api_schema(made) == made
    assert repr(schema) == before


@pytest.mark.parametrize(
    ("schema", "is_open"),
    [
        ({"type": "object"}, True),
        ({"type": "object", "additionalProperties": True}, True),
        ({"type": "object", "additionalProperties": {"type": "string"}}, True),
        ({"type": ["object", "null"], "properties": {}, "additionalProperties": True}, True),
        ({"type": "object", "patternProperties": {"^x": {"type": "string"}}}, True),
        ({**CITY, "additionalProperties": {}}, True),
        ({"type": "array", "items": {"type": "object"}}, True),
        ({"type": "object", "properties": {"a": {"anyOf": [{"type": "null"}, {"type": "object"}]}}}, True),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}, True),
        (CITY, False),
        ({**CITY, "additionalProperties": True}, False),
        ({"type": "object", "additionalProperties": False}, False),
        ({"type": "object", "properties": {}}, False),
        ({"type": "array", "items": {"type": "string"}}, False),
    ],
)
def test_open_objects(schema: JSONObject, *, is_open: bool) -> None:
    """At any depth. Closed, they would always be empty; one with properties of its own would not."""
    assert has_open_objects(schema) is is_open


@pytest.mark.parametrize(
    ("schema", "itself"),
    [
        ({"$ref": "#"}, True),
        ({"type": "object", "properties": {"next": {"$ref": "#"}}}, True),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#/$defs/a"}}}, True),
        ({"properties": {"x": {"anyOf": [{"type": "null"}, {"$ref": "#/properties/x"}]}}}, True),
        ({"properties": {"x": {"$ref": "#/$defs/a"}, "y": {"$ref": "#/$defs/a"}}, "$defs": {"a": CITY}}, False),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": CITY}}, False),
        ({"$ref": "#/$defs/none"}, False),
        ({"$ref": "https://x.test/schema.json"}, False),
    ],
)
def test_recursive_schemas(schema: JSONObject, *, itself: bool) -> None:
    """The API cannot enforce them, directly or indirectly recursive."""
    assert (unenforceable_part(schema) == "schemas that refer to themselves") is itself


BASE: JSONObject = {"$defs": {"a/b": CITY, "Base": CITY, "Other": {"type": "string"}}}


_UNENFORCEABLE: list[tuple[JSONObject, str | None]] = [
    ({"$ref": "#/$defs/Base", **BASE, "properties": {"more": {"type": "string"}}, "required": ["more"]}, "next to"),
    ({"type": "array", "items": {"$ref": "#/$defs/Other", "enum": ["a"]}, **BASE}, "next to"),
    ({"$ref": "https://x.test/schema.json"}, "references"),
    ({"$ref": "#/$defs/none", **BASE}, "references"),
    ({"properties": {"a": CITY, "b": {"$ref": "#/properties/a"}}}, "references"),
    ({"allOf": [CITY, {"properties": {"zip": {"type": "string"}}}]}, "allOf"),
    ({**BASE, "allOf": [{"$ref": "#/$defs/Base"}], "properties": {"zip": {"type": "string"}}}, "allOf"),
    ({"properties": {"x": {"anyOf": [{"items": {"$ref": "#/properties/x/anyOf/0"}}]}}}, "themselves"),
    ({"$ref": "#/$defs/Base", **BASE, "title": "A base", "description": "Of all."}, None),
    ({"properties": {"a": {"$ref": "#/$defs/a~1b"}, "b": {"$ref": "#/$defs/a%7E1b"}}, **BASE}, None),
    ({"allOf": [{"$ref": "#/$defs/Base"}], **BASE, "description": "Of all."}, None),
    ({"allOf": [{"$ref": "#/$defs/Base"}, {"minLength": 1}], **BASE}, "allOf"),
    ({"allOf": [CITY, {"description": "A city."}]}, None),
]


@pytest.mark.parametrize(("schema", "part"), _UNENFORCEABLE)
def test_what_the_api_cannot_enforce_is_sent_as_an_instruction(schema: JSONObject, part: str | None) -> None:
    """A schema that would lose a rule, contradict itself, or be refused is not sent as a format."""
    reason = unenforceable_part(schema)
    assert (reason is None) == (part is None)
    assert part is None or part in str(reason)


def _nested(levels: int) -> JSONObject:
    schema: JSONObject = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"x": schema}}
    return schema


def test_a_deeply_nested_schema_is_refused_by_name() -> None:
    """It could exceed the interpreter's stack."""
    check_depth(_nested(99), "p")
    with pytest.raises(InvalidRequest) as caught:
        check_depth(_nested(400), "p")
    assert caught.value.param == "p"
    assert api_schema(_nested(99))["type"] == "object"
