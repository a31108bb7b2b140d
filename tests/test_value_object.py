"""Small immutable objects."""

from dataclasses import field

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


@value_object(kw_only=True)
class Base:
    """An object with a part that is made for each."""

    names: dict[str, int] = field(default_factory=dict)

    def count(self) -> int:
        """Return how many names there are."""
        return len(self.names)


@value_object(kw_only=True)
class Derived(Base):
    """An object with more fields."""

    others: list[str] = field(default_factory=list)
    first: str = ""


def test_a_subclass_adds_fields() -> None:
    """Also those without a default, and methods of the base class see its own."""
    one, two = Derived(first="x", names={"a": 1}), Derived(first="x")
    assert (one.count(), two.count(), one.others, two.first) == (1, 0, [], "x")
    assert one.others is not two.others
    assert replace(one, names={}) == two
    assert isinstance(one, Base)


def test_other_options_of_fields_are_refused() -> None:
    """They would have no effect."""
    with pytest.raises(TypeError, match=r"Odd\.name"):

        @value_object
        class Odd:
            """An object whose name does not count."""

            name: str = field(default="", compare=False)
