"""Values that are built for a schema fit the schema."""

from typing import Any

import jsonschema
import pytest
from simulator_support import Ask

from dragoman.simulator.answers.schema import value_for_schema
from dragoman.simulator.request import Prompt

SCHEMAS: list[dict[str, Any]] = [
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    },
    {"enum": ["red", "blue"]},
    {"const": 4},
    {"type": ["string", "null"], "minLength": 12, "maxLength": 14},
    {"type": "number", "exclusiveMinimum": 10, "maximum": 11},
    {"type": "integer", "maximum": -3},
    {"type": "integer", "multipleOf": 7, "minimum": 6},
    {"type": "array", "items": {"type": "string"}, "minItems": 3},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}], "items": False},
    {"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "boolean"}}]},
    {"oneOf": [{"type": "object", "properties": {"k": {"const": "a"}}, "required": ["k"]}, {"type": "null"}]},
    {
        "allOf": [
            {"properties": {"a": {"type": "integer"}}},
            {"properties": {"b": {"type": "string"}}, "required": ["b"]},
        ]
    },
    {"type": "string", "format": "date"},
    {"type": "string", "format": "uuid"},
    {"type": "string", "pattern": "^Par"},
    {
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {
                    "value": {"type": "string"},
                    "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                },
                "required": ["value", "next"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/Node",
    },
    {
        "$defs": {
            "Tree": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}}
        },
        "$ref": "#/$defs/Tree",
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(sorted(schema)))
def test_the_value_fits(schema: dict[str, Any]) -> None:
    """An independent validator accepts the value."""
    value = value_for_schema(schema, Prompt('"Paris" "blue" 3 42 10.5'))
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(value)


def test_values_of_the_prompt_are_used_in_order() -> None:
    """Strings and numbers of the prompt are used where they fit."""
    schema: dict[str, Any] = SCHEMAS[0]
    assert value_for_schema(schema, Prompt('"Ada" 36')) == {"name": "Ada", "age": 36}


@pytest.mark.parametrize("as_tool", [True, False])
async def test_structured_output(ask: Ask, *, as_tool: bool) -> None:
    """The API's own field and the runtime's tool get an object that fits."""
    schema = {**SCHEMAS[0], "additionalProperties": False}
    text = 'The person is "Ada", aged 36.'
    if as_tool:
        answer: Any = await ask(text, tools=[{"name": "StructuredOutput", "input_schema": schema}])
        assert answer["content"][0]["input"] == {"name": "Ada", "age": 36}
    else:
        answer = await ask(text, output_config={"format": {"type": "json_schema", "schema": schema}})
        assert answer["content"][0]["text"] == '{"name":"Ada","age":36}'
