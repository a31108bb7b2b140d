"""Warnings to the client: parameters that were ignored, clamped or mapped."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestWarning:
    """A warning about a request.

    Attributes:
        code: A short word, stable between versions: `ignored`, `clamped`, `mapped`, `moved`, ...
        param: The request field.
        detail: A sentence for people.
    """

    code: str
    param: str
    detail: str
