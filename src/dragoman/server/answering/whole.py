"""Making a plain answer: events folded, and one more try where an answer is not what was asked for."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from dragoman.errors import GatewayError
from dragoman.fold import Folded, counting
from dragoman.notices import Notice
from dragoman.runs import Run
from dragoman.server.answering.choices import Choices
from dragoman.wire.base import Codec, Decoded, Identity

Submit: TypeAlias = Callable[[Iterable[int]], list[Run]]
"""Begins a run for each of these choices of a request."""


class Whole:
    """Makes one plain answer of all choices.

    Attributes:
        notices: What the client is to be warned of in the answer, once it is made.
        answers: What it is made of.
    """

    def __init__(self, codec: Codec, decoded: Decoded, choices: Choices, submit: Submit) -> None:
        self._codec = codec
        self._decoded = decoded
        self._choices = choices
        self._submit = submit
        self.notices: tuple[Notice, ...] = ()
        self.answers: list[Folded] = []

    async def make(self) -> bytes:
        """The answer's body.

        Raises:
            GatewayError: A run failed, or an answer was at fault twice.
        """
        answers = list((await self._told(range(len(self._choices.runs)))).values())
        if faults := self._codec.faults(self._decoded, answers):
            answers = await self._ask_again(answers, faults)
        self.answers = answers
        self.notices += self._codec.review(self._decoded, answers)
        first = self._choices.runs[0]
        return self._codec.encode(self._decoded, Identity(first.id, first.created), answers)

    async def _told(self, awaited: Iterable[int]) -> dict[int, Folded]:
        """The whole answers of the choices that are awaited."""
        await self._choices.finish()
        return {choice: self._choices.runs[choice].said() for choice in awaited}

    async def _ask_again(self, answers: list[Folded], faults: Mapping[int, GatewayError]) -> list[Folded]:
        """Have the faulty answers given once more.

        Raises:
            GatewayError: One is at fault again.
        """
        self._reject(faults)
        await self._choices.cancel("asked again")  # they have ended; now their places are free, too
        for choice, run in zip(faults, self._submit(faults), strict=True):
            self._choices.renew(choice, run)
        told = await self._told(faults)
        answers = [counting(told[place], one) if place in told else one for place, one in enumerate(answers)]
        if still := self._codec.faults(self._decoded, answers):
            self._reject(still)
            raise next(iter(still.values()))
        self.notices += tuple(Notice("retried", fault.param or "", fault.message) for fault in faults.values())
        return answers

    def _reject(self, faults: Mapping[int, GatewayError]) -> None:
        for choice, fault in faults.items():
            self._choices.reject(choice, fault)
