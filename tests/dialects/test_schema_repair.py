"""Schemas in the style of older versions and of other providers are repaired."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from dragoman.core.messages import JSONObject
from dragoman.dialects.shared.schema_repair import KNOWN_KEYWORDS, SchemaRepair


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"required": None}, {}),
        ({"required": "city"}, {"required": ["city"]}),
        ({"required": ["a", None, "a"]}, {"required": ["a"]}),
        (
            {"properties": {"a": {"required": True}, "b": {"required": False}}},
            {"properties": {"a": {}, "b": {}}, "required": ["a"]},
        ),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"maximum": 5, "exclusiveMaximum": False}, {"maximum": 5}),
        ({"exclusiveMinimum": True}, {}),
        ({"items": [{"type": "string"}, True]}, {"prefixItems": [{"type": "string"}, True]}),
        ({"items": [{}], "additionalItems": False}, {"prefixItems": [{}], "items": False}),
        ({"items": []}, {}),
        ({"items": None}, {}),
        ({"type": "any"}, {}),
        ({"type": ["string", "any"]}, {}),
        ({"type": ["string", None]}, {"type": ["string", "null"]}),
        ({"type": ["int", "integer"]}, {"type": "integer"}),
        ({"type": "OBJECT"}, {"type": "object"}),
        ({"type": "float"}, {"type": "number"}),
        ({"type": None}, {}),
        ({"type": []}, {}),
        ({"properties": {"a": None, "b": "string", "c": []}}, {"properties": {"a": {}, "b": {}, "c": {}}}),
        ({"properties": []}, {}),
        ({"anyOf": []}, {}),
        ({"anyOf": [{"type": "str"}, None]}, {"anyOf": [{"type": "string"}, {}]}),
        ({"enum": None, "description": None, "minLength": -1, "uniqueItems": "yes"}, {}),
        ({"dependencies": {"a": ["b"], "c": None}}, {"dependencies": {"a": ["b"], "c": {}}}),
        ({"multipleOf": 0, "$anchor": "1", "$id": "#a"}, {}),
        ({"not": {"items": {"type": "any"}}}, {"not": {"items": {}}}),
    ],
)
def test_repairs(schema: JSONObject, expected: JSONObject) -> None:
    """Keywords of other versions are converted. A keyword whose value means nothing is left out."""
    before = json.dumps(schema)
    repair = SchemaRepair()
    assert repair.repair(schema) == expected
    assert repair.repairs
    assert json.dumps(schema) == before
    Draft202012Validator.check_schema(expected)


def test_a_valid_schema_is_the_same_object() -> None:
    """With keywords that no version knows, and what is not enforced."""
    schema: JSONObject = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": ["object", "null"],
        "properties": {"a": {"type": "string", "nullable": True, "maxLength": 3.0}, "b": True},
        "x-order": [None],
        "const": None,
    }
    repair = SchemaRepair()
    assert repair.repair(schema) is schema
    assert not repair.repairs


def test_the_summary_is_one_short_sentence() -> None:
    """It names the first three."""
    repair = SchemaRepair()
    repair.repair({"properties": {name: {"type": "any"} for name in "abcde"}})
    assert repair.summary() == (
        "The schema is not valid JSON Schema 2020-12, and was repaired: `properties.a.type`, `properties.b.type`, "
        "`properties.c.type` and 2 more."
    )


_scalars = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.just(2.5) | st.sampled_from(["any", "string", "", "#a", "é"])
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KNOWN_KEYWORDS, "a", "b"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KNOWN_KEYWORDS), _values, max_size=4))
def test_any_repaired_schema_is_valid(schema: JSONObject) -> None:
    """Whatever the keywords hold. A schema that was valid stays as it was."""
    repair = SchemaRepair()
    repaired = repair.repair(schema)
    Draft202012Validator.check_schema(repaired)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        assert repair.repairs
    else:
        assert repaired is schema
