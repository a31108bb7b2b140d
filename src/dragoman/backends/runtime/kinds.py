"""What sets one booted process apart from another before it is configured."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of spare process.

    Attributes:
        one_call: It makes a single API call and is spent then.
        model: With a sign-in, the model that its reminders name; None with an API key, where one kind serves all.
        day: With a sign-in, the day that its reminders name.
    """

    one_call: bool = False
    model: str | None = None
    day: date | None = None
