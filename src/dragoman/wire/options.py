"""The operator's choices for the dialects."""

from dataclasses import dataclass

from dragoman.wire.sealing import Vault


@dataclass(frozen=True, slots=True)
class WireOptions:
    """How strictly requests are read.

    Attributes:
        strict_parameters: Refuse unknown fields instead of ignoring them.
        max_choices: The largest `n`.
        strict_mapping: Refuse what could only be mapped to something near it.
        keeps: Whether answers can be kept.
        vault: Closes what clients carry for us; without it they are given nothing to carry.
    """

    strict_parameters: bool = False
    max_choices: int = 8
    strict_mapping: bool = False
    keeps: bool = False
    vault: Vault | None = None
