"""Schemas of tools: the API's rules for their top level, kept with a warning."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.shared.tool_schemas import MAX_PARTS, MAX_UNION_DEPTH, tool_schema
from dragoman.dialects.shared.tools import Function, Functions, tools_by_name

CITY: JSONObject = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ZIP: JSONObject = {
    "type": "object",
    "properties": {"zip": {"type": "integer"}, "city": {"type": "string"}},
    "required": ["zip", "city"],
}
UPDATE: JSONObject = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "text": {"type": "string"}},
    "anyOf": [{"required": ["title"]}, {"required": ["text"]}],
}


def rule(sentence: str) -> JSON:
    """Return the schemas in a rule."""
    value: JSON = json.loads(sentence[sentence.index("[") :])
    return value


def test_no_parameters_are_an_empty_object() -> None:
    """The API requires a schema."""
    assert tool_schema(None, "p").schema == {"type": "object", "properties": {}}
    assert tool_schema({}, "p").schema == {"type": "object", "properties": {}}
    assert tool_schema({"properties": None}, "p").schema == {"type": "object", "properties": {}}


def test_an_object_is_unchanged() -> None:
    """With everything the client wrote, limits and open objects too."""
    schema: JSONObject = {**CITY, "additionalProperties": {"type": "string", "minLength": 2}, "$defs": {}}
    assert tool_schema(schema, "p").schema == schema


def test_a_reference_at_the_top_level_is_resolved() -> None:
    """The API requires `type: object` there; the definitions remain for the rest."""
    schema: JSONObject = {"$ref": "#/$defs/a~1b", "$defs": {"a/b": CITY}}
    assert tool_schema(schema, "p").schema == {**CITY, "$defs": {"a/b": CITY}}


@pytest.mark.parametrize("reference", ["#/$defs/none", "https://x.test/schema", "#/$defs/loop"])
def test_unresolvable_references_are_harmless(reference: str) -> None:
    """Nothing is fetched, and nothing loops; the API decides."""
    schema: JSONObject = {"$ref": reference, "$defs": {"loop": {"$ref": "#/$defs/loop"}}}
    assert tool_schema(schema, "p").schema["type"] == "object"


@pytest.mark.parametrize("union", ["anyOf", "oneOf"])
def test_alternatives_at_the_top_level_become_one_object(union: str) -> None:
    """Every property is allowed; what all of them require stays required."""
    made = tool_schema({union: [CITY, {"$ref": "#/$defs/zip"}, {"type": "null"}], "$defs": {"zip": ZIP}}, "p").schema
    assert made["required"] == ["city"]
    assert made["properties"] == {"city": {"type": "string"}, "zip": {"type": "integer"}}
    assert union not in made


def test_alternatives_of_one_property_stay_alternatives() -> None:
    """A discriminator keeps all its values."""
    kinds: list[Any] = [{"properties": {"kind": {"const": kind}}, "required": ["kind"]} for kind in "ab"]
    assert tool_schema({"anyOf": kinds}, "p").schema == {
        "type": "object",
        "properties": {"kind": {"anyOf": [{"const": "a"}, {"const": "b"}]}},
        "required": ["kind"],
    }


def test_all_of_at_the_top_level_requires_all() -> None:
    """Every member applies."""
    made = tool_schema({"allOf": [CITY, ZIP], "required": ["city"]}, "p").schema
    assert made["required"] == ["city", "zip"]


@pytest.mark.parametrize("kind", ["string", ["array", "null"]])
def test_another_type_is_refused(kind: Any) -> None:
    """OpenAI refuses it, too."""
    with pytest.raises(InvalidRequest) as caught:
        tool_schema({"type": kind}, "tools[0].function.parameters")
    assert (caught.value.code, caught.value.param) == ("invalid_function_parameters", "tools[0].function.parameters")


@given(
    st.lists(st.sampled_from([CITY, ZIP, {"type": "object"}, {"type": "null"}]), max_size=3),
    st.sampled_from(["anyOf", "oneOf", "allOf"]),
)
def test_the_result_is_always_an_object_without_unions_at_the_top_level(members: list[Any], union: str) -> None:
    """As the API requires."""
    made = tool_schema({union: members}, "p").schema
    assert made["type"] == "object"
    assert isinstance(made["properties"], dict)
    assert not {"anyOf", "oneOf", "allOf", "$ref"} & made.keys()


def test_unions_inside_of_unions_are_merged() -> None:
    """Every property of every member is offered, however deep the member is."""
    letters: list[JSON] = [
        {
            "type": "object",
            "properties": {name: {"type": "string"}, "kind": {"const": name}},
            "required": ["kind", name],
        }
        for name in "abc"
    ]
    made = tool_schema({"oneOf": [{"anyOf": letters[:2]}, letters[2]]}, "p")
    assert made.schema["required"] == ["kind"]
    assert set(made.schema["properties"]) == {"a", "b", "c", "kind"}  # type: ignore[arg-type]
    assert [*made.changes] == ["Alternatives at the top level of the schema were merged into one object."]


def test_a_merged_union_says_its_rule() -> None:
    """In words that the model reads, with what the merged object does not say."""
    made = tool_schema(UPDATE, "p")
    assert "anyOf" not in made.schema
    assert made.rules == (
        'The input must match at least one of these JSON schemas: [{"required":["title"]},{"required":["text"]}]',
    )
    kinds: list[JSON] = [
        {**CITY, "properties": {"kind": {"const": name}, "city": {"type": "string"}}, "title": name} for name in "ab"
    ]
    [sentence] = tool_schema({"oneOf": kinds}, "p").rules
    assert sentence.startswith("The input must match exactly one of these JSON schemas: ")
    assert rule(sentence) == [
        {"properties": {"kind": {"const": name}, "city": True}, "required": ["city"]} for name in "ab"
    ]


@pytest.mark.parametrize(
    "schema",
    [
        CITY,
        {"allOf": [CITY, {"$ref": "#/$defs/zip"}], "$defs": {"zip": ZIP}},
        {"anyOf": [CITY, {"type": "null"}]},
    ],
)
def test_a_union_without_a_rule_says_nothing(schema: JSONObject) -> None:
    """Where the merged object says the same."""
    assert tool_schema(schema, "p").rules == ()


def test_a_reference_to_a_union_is_merged_like_the_union() -> None:
    """With the same warning and the same rule."""
    made = tool_schema({"$ref": "#/$defs/update", "$defs": {"update": UPDATE}}, "p")
    assert made.schema["properties"] == UPDATE["properties"]
    assert made.rules == tool_schema(UPDATE, "p").rules
    assert made.changes == tool_schema(UPDATE, "p").changes


def test_a_member_that_contains_itself_ends() -> None:
    """It adds nothing to the object that it describes."""
    loop: JSONObject = {"properties": {"next": {"$ref": "#/$defs/loop"}}, "anyOf": [{"$ref": "#/$defs/loop"}, CITY]}
    made = tool_schema({"$ref": "#/$defs/loop", "$defs": {"loop": loop}}, "p").schema
    assert set(made["properties"]) == {"next", "city"}  # type: ignore[arg-type]


def test_alternatives_that_are_no_objects_are_left_out() -> None:
    """The input of a tool is always an object."""
    assert tool_schema({"anyOf": [{"type": "string"}, CITY]}, "p").schema == CITY


def test_members_that_double_are_refused() -> None:
    """A small schema must not take seconds to read."""
    definitions: JSONObject = {"a0": CITY}
    for index in range(30):
        members: list[JSON] = [{"$ref": f"#/$defs/a{index}", "title": title} for title in "xy"]
        definitions[f"a{index + 1}"] = {"allOf": members}
    with pytest.raises(InvalidRequest, match=f"more than {MAX_PARTS:,}"):
        tool_schema({"$ref": "#/$defs/a30", "$defs": definitions}, "p")


def test_the_tools_of_a_request_share_one_limit() -> None:
    """Many tools of schemas that are just small enough would take seconds, too."""
    wide: JSONObject = {"anyOf": [{"properties": {f"p{index}": {}}} for index in range(MAX_PARTS // 25)]}
    functions = [Function(f"tools[{index}]", f"t{index}", wide) for index in range(20)]
    assert len(tools_by_name(Functions(functions[:10]), [], {})) == 10
    with pytest.raises(InvalidRequest, match=f"more than {MAX_PARTS:,}") as error:
        tools_by_name(Functions(functions), [], {})
    assert error.value.param == "tools[12].parameters"


def test_required_names_count_as_parts() -> None:
    """A reference repeats a long list of them in a few bytes."""
    names: JSONObject = {"required": [f"p{index}" for index in range(100)]}
    members: list[JSON] = [{"$ref": "#/$defs/names", "title": str(index)} for index in range(MAX_PARTS // 100)]
    with pytest.raises(InvalidRequest, match=f"more than {MAX_PARTS:,}"):
        tool_schema({"allOf": members, "$defs": {"names": names}}, "p")


def test_thousands_of_names_become_one() -> None:
    """Each gets a number of its own, without trying all numbers before it."""
    names = [chr(0x4E00 + index) for index in range(10_000)]
    renamed = tool_schema({"properties": dict.fromkeys(names, True)}, "p").names
    assert list(renamed.values()) == names
    assert list(renamed)[:3] == ["_", "__2", "__3"]


def test_a_long_chain_of_unions_is_refused() -> None:
    """References make a schema deeper than it is written."""
    definitions: JSONObject = {"a0": CITY}
    for index in range(MAX_UNION_DEPTH + 2):
        definitions[f"a{index + 1}"] = {"anyOf": [{"$ref": f"#/$defs/a{index}"}]}
    with pytest.raises(InvalidRequest, match=f"more than {MAX_UNION_DEPTH} unions"):
        tool_schema({"$ref": f"#/$defs/a{MAX_UNION_DEPTH + 2}", "$defs": definitions}, "p")


def test_property_names_that_the_api_refuses_are_renamed() -> None:
    """The new names are valid and differ from all others. The client's names are known by them."""
    properties: JSONObject = {"filter[id]": {"type": "string"}, "filter_id_": {}, "größe": {}, "x" * 70: {}, "": {}}
    made = tool_schema({"properties": properties, "required": ["filter[id]", "filter_id_"]}, "p")
    assert made.names == {"filter_id__2": "filter[id]", "gr__e": "größe", "x" * 64: "x" * 70, "_": ""}
    assert [*made.schema["properties"]] == ["filter_id__2", "filter_id_", "gr__e", "x" * 64, "_"]  # type: ignore[misc]
    assert made.schema["required"] == ["filter_id__2", "filter_id_"]
    assert "`filter[id]` as `filter_id__2`" in made.changes[0]


def test_names_inside_of_properties_stay() -> None:
    """The API checks the top level only."""
    schema: JSONObject = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b[]": {}}}}}
    assert tool_schema(schema, "p").schema == schema


def test_a_schema_of_an_older_version_is_repaired() -> None:
    """With a warning that names what was changed."""
    made = tool_schema({"properties": {"n": {"type": "any"}}, "required": None}, "p")
    assert made.schema == {"type": "object", "properties": {"n": {}}}
    assert made.changes == (
        "The schema is not valid JSON Schema 2020-12, and was repaired: `properties.n.type`, `required`.",
    )
