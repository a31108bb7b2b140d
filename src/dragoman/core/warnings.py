"""What the client is told beside its answer: parameters that were ignored, clamped or mapped."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestWarning:
    """One warning.

    Attributes:
        code: A short stable word: `ignored`, `clamped`, `mapped`, `moved`, …
        param: The request field it is about.
        detail: A sentence for a person.
    """

    code: str
    param: str
    detail: str
