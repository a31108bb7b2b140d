"""Validate what the gateway sends against OpenAI's objects, and against OpenAI's description if it is available."""

import json
import os
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from openai_objects import OBJECTS
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from schema_terms import Schema

SPECS = Path(os.environ.get("DRAGOMAN_SPECS") or Path(__file__).parents[3] / "shared" / "specs")
"""The folder of the published descriptions. They are not part of this repository."""
_DESCRIPTION = SPECS / "openai-openapi.json"


def assert_valid(name: str, value: object) -> None:
    """Validate a value against an object of OpenAI's API."""
    assert errors_in(value, object_validator(name, OBJECTS)) == [], name
    if _DESCRIPTION.exists():
        assert errors_in(value, description_validator(name, _DESCRIPTION)) == [], name


def errors_in(value: object, validator: Any) -> list[str]:
    """Return the first errors of a value, with their JSON locations."""
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)][:3]


def object_validator(name: str, objects: Mapping[str, Schema]) -> Any:
    """Return a validator for a listed object."""
    return _validator_class()(objects[name])


@cache
def description_validator(name: str, path: Path) -> Any:
    """Return a validator for a schema of a published description."""
    registry = Registry().with_resource("urn:description", DRAFT202012.create_resource(_description(path)))
    return _validator_class()({"$ref": f"urn:description#/components/schemas/{name}"}, registry=registry)


@cache
def _description(path: Path) -> Any:
    return _with_nulls(json.loads(path.read_text(encoding="utf-8")))


def _with_nulls(schema: Any) -> Any:
    """Replace `nullable`. OpenAI's description claims OpenAPI 3.1, which removed it."""
    if isinstance(schema, list):
        return [_with_nulls(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    replaced = {key: _with_nulls(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [replaced, {"type": "null"}]} if schema.get("nullable") is True else replaced


def _validator_class() -> Any:
    return import_module("jsonschema").Draft202012Validator  # without types
