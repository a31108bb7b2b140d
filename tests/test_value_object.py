"""Small objects that do not change."""

from dataclasses import replace

import pytest

from dragoman.core.value_object import value_object


@value_object
class Place:
    """Somewhere."""

    name: str
    floor: int = 0


@value_object(kw_only=True)
class Named:
    """What is made by names alone."""

    name: str


def test_they_are_told_apart_by_what_they_hold() -> None:
    """As keys, too."""
    assert Place("hall") == Place("hall", 0) != Place("hall", 1)
    assert {Place("hall"): 1}[Place("hall")] == 1
    assert replace(Place("hall"), floor=2) == Place("hall", 2)


def test_they_hold_nothing_else() -> None:
    """A name that is written wrongly is no new field."""
    with pytest.raises(AttributeError):
        Place("hall").flor = 1  # type: ignore[attr-defined]


def test_names_may_be_required() -> None:
    """Where there are many fields."""
    assert Named(name="hall") == Named(name="hall")
    with pytest.raises(TypeError):
        Named("hall")  # type: ignore[call-arg]
