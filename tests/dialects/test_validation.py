"""Validation errors name the field as the client writes it."""

from typing import cast

import pytest
from msgspec import Struct

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSONObject
from dragoman.dialects.shared.validation import convert, parse_json, unknown_fields


class Part(Struct, tag_field="type", tag="part"):
    """A part."""

    text: str


class Other(Struct, tag_field="type", tag="other"):
    """Another kind of part."""


class Item(Struct):
    """An item."""

    content: str | list[Part | Other]
    number: int | None = None


class Body(Struct):
    """A body."""

    items: list[Item]
    free: dict[str, int] | None = None


@pytest.mark.parametrize(
    ("raw", "code", "param", "words"),
    [
        (b"{", "invalid_json", None, "not valid JSON"),
        (b"\xff", "invalid_json", None, "not valid JSON"),
        (b"[" * 100_000, "invalid_json", None, "nested too deeply"),
        (b"[" * 900 + b"]" * 900, "invalid_json", None, "nested too deeply"),
        (b"[]", "invalid_type", None, "Invalid request body: expected `object`, got `array`"),
        (b"{}", "missing_required_parameter", "items", "Missing required parameter: `items`"),
        (b'{"items":"x"}', "invalid_type", "items", "expected `array`, got `string`"),
        (b'{"items":[{}]}', "missing_required_parameter", "items[0].content", "`items[0].content`"),
        (b'{"items":[{"content":[{"type":"x"}]}]}', "invalid_value", "items[0].content[0].type", "'x'"),
        (b'{"items":[{"content":"", "number":"1"}]}', "invalid_type", "items[0].number", "`integer | null`"),
    ],
)
def test_errors_name_the_field(raw: bytes, code: str, param: str | None, words: str) -> None:
    """Each kind of error has its code, its field and a plain sentence."""
    with pytest.raises(InvalidRequest) as caught:
        convert(parse_json(raw), Body)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert words in caught.value.message
    assert "$" not in caught.value.message


def test_unknown_fields_are_found_at_any_depth() -> None:
    """But not in free objects; nulls do not count."""
    data = parse_json(
        b'{"items":[{"content":"","b":2},{"content":[{"type":"part","text":"","c":3}]}],"a":1,"z":null,"free":{"x":1}}'
    )
    assert sorted(unknown_fields(cast("JSONObject", data), convert(data, Body))) == [
        "a",
        "items[0].b",
        "items[1].content[0].c",
    ]
