"""What a meter is given: which rules cover the runs of a client, and the clocks."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo
from typing import Protocol

from dragoman.core.value_object import value_object
from dragoman.limits.rules import Rule


class Policy(Protocol):
    """Knows which rules cover the runs of a client."""

    def rules(self, client: str, model: str) -> tuple[Rule, ...]:
        """Return the rules for runs of a client and a model, the same object as long as nothing changes."""
        ...

    def all_rules(self) -> Sequence[Rule]:
        """Return the rules of all scopes."""
        ...

    def team(self, client: str) -> str:
        """Return the team of a client; "" if it has none."""
        ...


class NoPolicy:
    """A `Policy` without rules."""

    def rules(self, client: str, model: str) -> tuple[Rule, ...]:  # noqa: ARG002 - a `Policy`
        """See `Policy.rules`."""
        return ()

    def all_rules(self) -> Sequence[Rule]:
        """See `Policy.all_rules`."""
        return ()

    def team(self, client: str) -> str:  # noqa: ARG002 - a `Policy`
        """See `Policy.team`."""
        return ""


@value_object
class Clock:
    """The clocks of a meter.

    Attributes:
        ms: Milliseconds of a clock that all processes of the machine share, and that is never set.
        wall: Seconds since 1970.
        zone: The time zone of budgets.
    """

    ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000
    wall: Callable[[], float] = time.time
    zone: tzinfo = UTC
