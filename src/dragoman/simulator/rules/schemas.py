"""Rules of JSON schemas: those of tools, `output_config.format`, and schemas that refer to themselves."""

import re
from collections.abc import Iterator
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module

import msgspec

from dragoman.core.messages import JSON, JSONObject
from dragoman.simulator.errors import invalid_request
from dragoman.simulator.json_values import list_of, object_of
from dragoman.simulator.request import ApiRequest

_UNIONS = frozenset({"allOf", "anyOf", "oneOf"})
_PROPERTY_KEY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_OUTPUT_CONFIG_FIELDS = ("effort", "format", "task_budget", "timing")


def output_format(request: ApiRequest) -> None:
    """`output_config.format` is a JSON schema. A root object allows no additional properties."""
    config = object_of(request.body.get("output_config"))
    for name in config:
        if name not in _OUTPUT_CONFIG_FIELDS:
            raise invalid_request(f"output_config.{name}: Extra inputs are not permitted")
    format_ = config.get("format")
    if format_ is None:
        return
    if object_of(format_).get("type") != "json_schema":
        raise invalid_request("output_config.format.type: Input should be 'json_schema'")
    schema = object_of(format_).get("schema")
    if not isinstance(schema, dict):
        raise invalid_request("output_config.format.schema: Field required")
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise invalid_request(
            "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"
        )


def tool_inputs(request: ApiRequest) -> None:
    """The schema of a tool is valid in JSON Schema 2020-12. At its top level, there are no unions and no odd names."""
    for index, tool in enumerate(list_of(request.body.get("tools"))):
        schema = object_of(tool).get("input_schema")
        if not isinstance(schema, dict):
            continue
        path = f"tools.{index}.custom.input_schema"
        if not _UNIONS.isdisjoint(schema):
            raise invalid_request(f"{path}: input_schema does not support oneOf, allOf, or anyOf at the top level")
        if not _is_valid(msgspec.json.encode(schema)):
            raise invalid_request(
                f"{path}: JSON schema is invalid. It must match JSON Schema draft 2020-12 "
                "(https://json-schema.org/draft/2020-12). Learn more about tool use at "
                "https://docs.claude.com/en/docs/tool-use."
            )
        if not all(map(_PROPERTY_KEY.fullmatch, object_of(schema.get("properties")))):
            raise invalid_request(f"{path}.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{{1,64}}$'")


def not_circular(request: ApiRequest) -> None:
    """No schema refers to itself, in the output format or in a strict tool."""
    for schema in _strict_schemas(request):
        references = {"#": {*_references(schema)}}
        while missing := {target for targets in references.values() for target in targets} - references.keys():
            references |= {reference: {*_references(_look_up(schema, reference))} for reference in missing}
        try:
            TopologicalSorter(references).prepare()
        except CycleError as error:
            names = " -> ".join(str(name).rpartition("/")[2] for name in error.args[1])
            raise invalid_request(
                f"Circular reference detected in schema definitions: {names}. Self-referencing or "
                "mutually-referencing definitions are not supported."
            ) from None


@lru_cache(maxsize=1_000)
def _is_valid(schema: bytes) -> bool:
    """Return whether a schema is valid. Clients send the same schemas again and again."""
    # Imported late: the import takes a tenth of a second, and most requests have no tools.
    jsonschema = import_module("jsonschema")
    try:
        jsonschema.Draft202012Validator.check_schema(msgspec.json.decode(schema))
    except jsonschema.SchemaError:
        return False
    return True


def _strict_schemas(request: ApiRequest) -> Iterator[JSON]:
    config = object_of(request.body.get("output_config"))
    yield object_of(config.get("format")).get("schema")
    yield from (tool.get("input_schema") for tool in request.tools if tool.get("strict") is True)


def _references(value: JSON) -> Iterator[str]:
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _references(inner)
    if isinstance(value, dict) and isinstance(reference := value.get("$ref"), str):
        yield reference


def _look_up(schema: JSON, reference: str) -> JSONObject:
    target = object_of(schema)
    for key in reference.removeprefix("#").split("/")[1:]:
        target = object_of(target.get(key.replace("~1", "/").replace("~0", "~")))
    return target
