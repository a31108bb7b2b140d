"""OpenAI's published description, to validate what the gateway sends."""

import json
import os
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from referencing import Registry
from referencing.jsonschema import DRAFT202012

_NEXT_DOOR = Path(__file__).parents[3] / "shared" / "specs"
SPECS = Path(os.environ.get("DRAGOMAN_SPECS", _NEXT_DOOR))
_PATH = SPECS / "openai-openapi.json"


def assert_valid(schema: str, value: object) -> None:
    """Validate a value against a schema of the description; skip if the description is not available."""
    faults = [f"{error.json_path}: {error.message[:200]}" for error in _validator(schema).iter_errors(value)]
    assert not faults, f"{schema}: {faults[:3]}"


def properties(schema: str) -> set[str]:
    """Return the names of all properties of a schema, with inherited ones; skip as above."""
    schemas = _document()["components"]["schemas"]

    def names(part: Any) -> set[str]:
        part = schemas[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        inner = [one for key in ("allOf", "anyOf", "oneOf") for one in part.get(key, ())]
        return set(part.get("properties", ())).union(*map(names, inner))

    return names(schemas[schema])


def _document() -> Any:
    if not _PATH.exists():
        pytest.skip(f"OpenAI's description is not at {_PATH}; DRAGOMAN_SPECS names its folder")
    return json.loads(_PATH.read_text())


@cache
def _validator(schema: str) -> Any:  # jsonschema brings no types
    jsonschema = import_module("jsonschema")
    reference = {"$ref": f"urn:spec#/components/schemas/{schema}"}
    return jsonschema.Draft202012Validator(reference, registry=_registry())


@cache
def _registry() -> Any:
    document = _with_nulls(_document())
    return Registry().with_resource("urn:spec", DRAFT202012.create_resource(document))


def _with_nulls(schema: Any) -> Any:
    """The description claims OpenAPI 3.1 but uses `nullable`, which 3.1 removed."""
    if isinstance(schema, list):
        return [_with_nulls(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _with_nulls(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [made, {"type": "null"}]} if schema.get("nullable") is True else made
