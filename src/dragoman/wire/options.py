"""The operator's choices for the dialects."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WireOptions:
    """How strictly requests are read.

    Attributes:
        strict_parameters: Refuse unknown fields instead of ignoring them.
        max_choices: The largest `n`.
        strict_mapping: Refuse what could only be mapped to something near it.
    """

    strict_parameters: bool = False
    max_choices: int = 8
    strict_mapping: bool = False
