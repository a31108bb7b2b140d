"""Clients' schemas, in the subset that the API takes."""

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
    """The API cannot enforce them; the model can still read them."""
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
def test_closed(schema: JSONObject, expected: JSONObject | None) -> None:
    """Objects are closed at every depth, and only what the API knows stays."""
    made = api_schema(schema)
    assert made == (expected or transform_schema(dict(schema)))


class Address(BaseModel):
    """Where."""

    street: str = Field(min_length=1)
    code: int | None = 5


class Person(BaseModel):
    """Who."""

    name: str
    age: int = Field(ge=0, le=150)
    addresses: list[Address] = Field(min_length=1)


def test_a_pydantic_model_becomes_what_the_vendors_own_client_makes_of_it() -> None:
    """Their transformation is the reference. Defaults go into the description there, too."""
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
def test_closing_is_the_vendors_transformation_and_final(schema: JSONObject) -> None:
    """Any schema of common parts; a second time changes nothing, and the client's own stays as it was."""
    before = repr(schema)
    made = api_schema(schema)
    assert made == transform_schema(schema)
    assert api_schema(made) == made
    assert repr(schema) == before


def test_no_parameters_are_an_empty_object() -> None:
    """The API wants a schema all the same."""
    assert tool_input_schema(None, "p") == {"type": "object", "properties": {}}
    assert tool_input_schema({}, "p") == {"type": "object", "properties": {}}
    assert tool_input_schema({"properties": None}, "p") == {"type": "object", "properties": {}}


def test_an_object_stays_as_it_is() -> None:
    """With everything the client wrote, limits and open objects too."""
    schema: JSONObject = {**CITY, "additionalProperties": {"type": "string", "minLength": 2}, "$defs": {}}
    assert tool_input_schema(schema, "p") == schema


def test_a_reference_at_the_top_is_followed() -> None:
    """The API wants `type: object` right there; the definitions stay for the rest."""
    schema: JSONObject = {"$ref": "#/$defs/a~1b", "$defs": {"a/b": CITY}}
    assert tool_input_schema(schema, "p") == {**CITY, "$defs": {"a/b": CITY}}


@pytest.mark.parametrize("reference", ["#/$defs/none", "https://x.test/schema", "#/$defs/loop"])
def test_a_reference_that_leads_nowhere_does_no_harm(reference: str) -> None:
    """Nothing is fetched, and nothing loops; what it should be is the API's to say."""
    schema: JSONObject = {"$ref": reference, "$defs": {"loop": {"$ref": "#/$defs/loop"}}}
    assert tool_input_schema(schema, "p")["type"] == "object"


@pytest.mark.parametrize("union", ["anyOf", "oneOf"])
def test_alternatives_at_the_top_become_one_object(union: str) -> None:
    """Every property may come; what all of them require stays required."""
    made = tool_input_schema({union: [CITY, {"$ref": "#/$defs/zip"}, {"type": "null"}], "$defs": {"zip": ZIP}}, "p")
    assert made["required"] == ["city"]
    assert made["properties"] == {"city": {"type": "string"}, "zip": {"type": "integer"}}
    assert union not in made


def test_alternatives_of_one_property_stay_alternatives() -> None:
    """A discriminator keeps all of its values."""
    kinds: list[Any] = [{"properties": {"kind": {"const": kind}}, "required": ["kind"]} for kind in "ab"]
    assert tool_input_schema({"anyOf": kinds}, "p") == {
        "type": "object",
        "properties": {"kind": {"anyOf": [{"const": "a"}, {"const": "b"}]}},
        "required": ["kind"],
    }


def test_all_of_at_the_top_requires_all() -> None:
    """Every member holds."""
    made = tool_input_schema({"allOf": [CITY, ZIP], "required": ["city"]}, "p")
    assert made["required"] == ["city", "zip"]


@pytest.mark.parametrize("kind", ["string", ["array", "null"]])
def test_another_type_is_refused(kind: Any) -> None:
    """OpenAI refuses it too."""
    with pytest.raises(InvalidRequest) as caught:
        tool_input_schema({"type": kind}, "tools[0].function.parameters")
    assert (caught.value.code, caught.value.param) == ("invalid_function_parameters", "tools[0].function.parameters")


@given(
    st.lists(st.sampled_from([CITY, ZIP, {"type": "object"}, {"type": "null"}]), max_size=3),
    st.sampled_from(["anyOf", "oneOf", "allOf"]),
)
def test_whatever_comes_out_is_an_object_without_unions_at_the_top(members: list[Any], union: str) -> None:
    """As the API wants it."""
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
def test_objects_with_keys_that_nobody_named(schema: JSONObject, *, is_open: bool) -> None:
    """At any depth. Closed they would be empty for ever; one with properties of its own still says something."""
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
def test_schemas_that_refer_to_themselves(schema: JSONObject, *, itself: bool) -> None:
    """The API holds no model to them, by whichever way they come back."""
    assert (unenforceable_part(schema) == "schemas that refer to themselves") is itself


def _nested(levels: int) -> JSONObject:
    schema: JSONObject = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"x": schema}}
    return schema


def test_a_schema_without_end_is_refused_by_name() -> None:
    """It would be more than the interpreter's own stack can hold."""
    check_depth(_nested(99), "p")
    with pytest.raises(InvalidRequest) as caught:
        tool_input_schema(_nested(400), "p")
    assert caught.value.param == "p"
    assert api_schema(_nested(99))["type"] == "object"
