"""Values held to schemas that clients wrote, which may not keep the event loop busy.

Their regular expressions are never run, and references, by which a few lines can ask for any amount of work, are
followed only so often.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from typing import Any, cast

from dragoman.messages import JSON, JSONObject

_MOST_REFERENCES = 10_000
"""Followed in one check: half a second's work. A list of as many things that each are described elsewhere has fewer."""

_followed: ContextVar[Iterator[int]] = ContextVar("followed")

_Check = Callable[..., Iterable[object] | None]


class _Endless(Exception):  # noqa: N818 - named by what happened
    """The schema asks for more work than it is worth."""


def first_fault(value: JSON, schema: JSONObject) -> str | None:
    """What is wrong with a value, in one line; none where nothing is, or where the schema is none or asks too much."""
    # Imported late: it takes a tenth of a second, and most answers are free text.
    exceptions = import_module("jsonschema.exceptions")
    referencing = import_module("referencing")
    _followed.set(itertools.count())
    try:
        _validator().check_schema(schema)
        # An empty registry: no reference of a client's makes us fetch anything.
        faults = _validator()(schema, registry=referencing.Registry()).iter_errors(value)
        worst = exceptions.best_match(faults)
    except (exceptions.SchemaError, referencing.exceptions.Unresolvable, ArithmeticError, RecursionError, _Endless):
        return None
    if worst is None:
        return None
    place = worst.json_path.removeprefix("$").lstrip(".")
    return f"{place or 'the value'}: {worst.message[:200]}"


@cache
def _validator() -> Any:  # a class that jsonschema makes at run time
    jsonschema = import_module("jsonschema")
    standard = jsonschema.Draft202012Validator
    known = standard.VALIDATORS
    own: dict[str, _Check] = dict.fromkeys(("pattern", "patternProperties"), _unchecked)
    own |= {key: _beside_patterns(known[key]) for key in ("additionalProperties", "unevaluatedProperties")}
    own |= {key: _counted(known[key]) for key in ("$ref", "$dynamicRef")}
    made = jsonschema.validators.extend(standard, own)
    made.evolve = _evolve(made.evolve)
    return made


def _unchecked(*_: object) -> tuple[()]:
    return ()


def _beside_patterns(checked: _Check) -> _Check:
    def check(validator: object, keyword: JSON, instance: JSON, schema: JSONObject) -> Iterable[object]:
        return () if "patternProperties" in schema else checked(validator, keyword, instance, schema) or ()

    return check


def _counted(checked: _Check) -> _Check:
    def check(validator: object, keyword: JSON, instance: JSON, schema: JSONObject) -> Iterable[object]:
        if next(_followed.get()) >= _MOST_REFERENCES:
            raise _Endless
        return checked(validator, keyword, instance, schema) or ()

    return check


def _evolve(evolve: Callable[..., object]) -> Callable[..., object]:
    """A part of a schema that names a draft (`$schema`) would be held to that one's own rules, patterns included."""

    def evolved(validator: object, **changes: object) -> object:
        schema = changes.get("schema")
        if isinstance(schema, dict) and "$schema" in schema:
            changes["schema"] = {key: value for key, value in cast("JSONObject", schema).items() if key != "$schema"}
        return evolve(validator, **changes)

    return evolved
