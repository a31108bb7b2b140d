"""Schemas that the model is held to."""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from dragoman.messages import JSON, JSONObject
from dragoman.simulator.call import Call
from dragoman.simulator.problem import refuse
from dragoman.simulator.shapes import object_of


def circular(call: Call) -> None:
    """None refers to itself, in the format of the answer or in a strict tool."""
    for schema in _schemas(call):
        leads = {"#": {*_references(schema)}}
        while missing := {reference for found in leads.values() for reference in found} - leads.keys():
            leads |= {reference: {*_references(_at(schema, reference))} for reference in missing}
        try:
            TopologicalSorter(leads).prepare()
        except CycleError as error:
            names = " -> ".join(str(name).rpartition("/")[2] for name in error.args[1])
            raise refuse(
                f"Circular reference detected in schema definitions: {names}. Self-referencing or "
                "mutually-referencing definitions are not supported."
            ) from None


def _schemas(call: Call) -> Iterator[JSON]:
    config = object_of(call.body.get("output_config"))
    yield object_of(config.get("format")).get("schema")
    yield from (tool.get("input_schema") for tool in call.tools if tool.get("strict") is True)


def _references(value: JSON) -> Iterator[str]:
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _references(inner)
    if isinstance(value, dict) and isinstance(reference := value.get("$ref"), str):
        yield reference


def _at(schema: JSON, reference: str) -> JSONObject:
    place = object_of(schema)
    for step in reference.removeprefix("#").split("/")[1:]:
        place = object_of(place.get(step.replace("~1", "/").replace("~0", "~")))
    return place
