"""Small objects that do not change, of which every request makes dozens."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform, overload

_T = TypeVar("_T")


@overload
def value_object(cls: type[_T]) -> type[_T]: ...


@overload
def value_object(*, kw_only: bool) -> Callable[[type[_T]], type[_T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value_object(cls: type[_T] | None = None, *, kw_only: bool = False) -> type[_T] | Callable[[type[_T]], type[_T]]:
    """A dataclass that the type checker takes for a frozen one.

    One that is frozen while the program runs takes twice as long to make: it sets each of its fields by a call.
    """
    made = dataclass(slots=True, unsafe_hash=True, kw_only=kw_only)
    return made if cls is None else made(cls)
