"""Clients' JSON schemas, in the subset that the API takes."""

from typing import Any

import pytest
from anthropic.lib._parse._transform import transform_schema
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSONObject
from dragoman.dialects.shared.schemas import (
    api_schema,
    check_depth,
    has_open_objects,
    tool_input_schema,
    unenforceable_part,
)

CITY: JSONObject = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ZIP: JSONObject = {
    "type": "object",
    "properties": {"zip": {"type": "integer"}, "city": {"type": "string"}},
    "required": ["zip", "city"],
}


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


def test_no_parameters_are_an_empty_object() -> None:
    """The API requires a schema."""
    assert tool_input_schema(None, "p") == {"type": "object", "properties": {}}
    assert tool_input_schema({}, "p") == {"type": "object", "properties": {}}
    assert tool_input_schema({"properties": None}, "p") == {"type": "object", "properties": {}}


def test_an_object_is_unchanged() -> None:
    """With everything the client wrote, limits and open objects too."""
    schema: JSONObject = {**CITY, "additionalProperties": {"type": "string", "minLength": 2}, "$defs": {}}
    assert tool_input_schema(schema, "p") == schema


def test_a_reference_at_the_top_level_is_resolved() -> None:
    """The API requires `type: object` there; the definitions remain for the rest."""
    schema: JSONObject = {"$ref": "#/$defs/a~1b", "$defs": {"a/b": CITY}}
    assert tool_input_schema(schema, "p") == {**CITY, "$defs": {"a/b": CITY}}


@pytest.mark.parametrize("reference", ["#/$defs/none", "https://x.test/schema", "#/$defs/loop"])
def test_unresolvable_references_are_harmless(reference: str) -> None:
    """Nothing is fetched, and nothing loops; the API decides."""
    schema: JSONObject = {"$ref": reference, "$defs": {"loop": {"$ref": "#/$defs/loop"}}}
    assert tool_input_schema(schema, "p")["type"] == "object"


@pytest.mark.parametrize("union", ["anyOf", "oneOf"])
def test_alternatives_at_the_top_level_become_one_object(union: str) -> None:
    """Every property is allowed; what all of them require stays required."""
    made = tool_input_schema({union: [CITY, {"$ref": "#/$defs/zip"}, {"type": "null"}], "$defs": {"zip": ZIP}}, "p")
    assert made["required"] == ["city"]
    assert made["properties"] == {"city": {"type": "string"}, "zip": {"type": "integer"}}
    assert union not in made


def test_alternatives_of_one_property_stay_alternatives() -> None:
    """A discriminator keeps all its values."""
    kinds: list[Any] = [{"properties": {"kind": {"const": kind}}, "required": ["kind"]} for kind in "ab"]
    assert tool_input_schema({"anyOf": kinds}, "p") == {
        "type": "object",
        "properties": {"kind": {"anyOf": [{"const": "a"}, {"const": "b"}]}},
        "required": ["kind"],
    }


def test_all_of_at_the_top_level_requires_all() -> None:
    """Every member applies."""
    made = tool_input_schema({"allOf": [CITY, ZIP], "required": ["city"]}, "p")
    assert made["required"] == ["city", "zip"]


@pytest.mark.parametrize("kind", ["string", ["array", "null"]])
def test_another_type_is_refused(kind: Any) -> None:
    """OpenAI refuses it, too."""
    with pytest.raises(InvalidRequest) as caught:
        tool_input_schema({"type": kind}, "tools[0].function.parameters")
    assert (caught.value.code, caught.value.param) == ("invalid_function_parameters", "tools[0].function.parameters")


@given(
    st.lists(st.sampled_from([CITY, ZIP, {"type": "object"}, {"type": "null"}]), max_size=3),
    st.sampled_from(["anyOf", "oneOf", "allOf"]),
)
def test_the_result_is_always_an_object_without_unions_at_the_top_level(members: list[Any], union: str) -> None:
    """As the API requires."""
    made = tool_input_schema({union: members}, "p")
    assert made["type"] == "object"
    assert isinstance(made["properties"], dict)
    assert not {"anyOf", "oneOf", "allOf", "$ref"} & made.keys()


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


def _nested(levels: int) -> JSONObject:
    schema: JSONObject = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"x": schema}}
    return schema


def test_a_deeply_nested_schema_is_refused_by_name() -> None:
    """It could exceed the interpreter's stack."""
    check_depth(_nested(99), "p")
    with pytest.raises(InvalidRequest) as caught:
        tool_input_schema(_nested(400), "p")
    assert caught.value.param == "p"
    assert api_schema(_nested(99))["type"] == "object"
