"""Compare a part of a JSON value, as a case describes it, with the value itself."""

import json
from collections.abc import Callable, Iterator
from typing import cast

from dragoman.core.messages import JSON


class _Absent:
    """What is found where a field is not there."""

    def __repr__(self) -> str:
        return "nothing"


_ABSENT = _Absent()


def differences(expected: JSON, actual: object, path: str = "$") -> list[str]:
    """Return where a value differs from its description, in one line each.

    An object of a description names the fields that count: others may be there as well. An array has the same number
    of items. An object with a single key is a test if the key is one of these:

    - `{"$any": true}`: the field is there.
    - `{"$absent": true}`: the field is not there, or null.
    - `{"$contains": "words"}`: a string that contains the words.
    - `{"$lacks": "words"}`: a string that does not contain the words.
    - `{"$json": ...}`: a string that contains JSON of this description.
    - `{"$only": {...}}`: an object with these fields and no others.
    """
    return list(_differences(expected, actual, path))


def _differences(expected: JSON, actual: object, path: str) -> Iterator[str]:
    if isinstance(expected, dict) and len(expected) == 1 and (test := _TESTS.get(next(iter(expected)))):
        yield from test(next(iter(expected.values())), actual, path)
    elif isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items():
            yield from _differences(value, actual.get(key, _ABSENT), f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{path}: {len(expected)} items expected, found {actual!r}"
        for index, (item, found) in enumerate(zip(expected, actual, strict=False)):
            yield from _differences(item, found, f"{path}[{index}]")
    elif expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
        yield f"{path}: expected {expected!r}, found {actual!r}"


def _any(_: JSON, actual: object, path: str) -> Iterator[str]:
    if actual is _ABSENT:
        yield f"{path}: not there"


def _absent(_: JSON, actual: object, path: str) -> Iterator[str]:
    if actual is not _ABSENT and actual is not None:
        yield f"{path}: nothing expected, found {actual!r}"


def _contains(words: JSON, actual: object, path: str) -> Iterator[str]:
    if not isinstance(actual, str) or str(words) not in actual:
        yield f"{path}: {words!r} expected in {actual!r}"


def _lacks(words: JSON, actual: object, path: str) -> Iterator[str]:
    if not isinstance(actual, str) or str(words) in actual:
        yield f"{path}: {words!r} not expected in {actual!r}"


def _json(expected: JSON, actual: object, path: str) -> Iterator[str]:
    try:
        value = json.loads(cast("str", actual))
    except (TypeError, ValueError):
        yield f"{path}: JSON expected, found {actual!r}"
    else:
        yield from _differences(expected, value, f"{path}.$json")


def _only(expected: JSON, actual: object, path: str) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(actual, dict) and (extra := actual.keys() - expected.keys()):
        yield f"{path}: not expected: {sorted(extra)}"
    yield from _differences(expected, actual, path)


_TESTS: dict[str, Callable[[JSON, object, str], Iterator[str]]] = {
    "$any": _any,
    "$absent": _absent,
    "$contains": _contains,
    "$lacks": _lacks,
    "$json": _json,
    "$only": _only,
}
