"""Small immutable objects."""

import pytest

from dragoman.core.value_object import replace, value_object


@value_object
class Place:
    """A place."""

    name: str
    floor: int = 0


@value_object(kw_only=True)
class Named:
    """An object with keyword arguments only."""

    name: str


def test_objects_with_equal_fields_are_equal() -> None:
    """Also as keys of a dictionary."""
    assert Place("hall") == Place("hall", 0) != Place("hall", 1)
    assert {Place("hall"): 1}[Place("hall")] == 1
    assert replace(Place("hall"), floor=2) == Place("hall", 2)


def test_objects_have_no_other_fields() -> None:
    """A misspelled name does not create a field."""
    with pytest.raises(AttributeError):
        Place("hall").flor = 1  # type: ignore[attr-defined]


def test_keyword_arguments_may_be_required() -> None:
    """For objects with many fields."""
    assert Named(name="hall") == Named(name="hall")
    with pytest.raises(TypeError):
        Named("hall")  # type: ignore[call-arg]
