"""One account that can be asked: a backend, and the thinking that is kept for what it answered."""

from contextlib import aclosing
from dataclasses import replace
from typing import Protocol, runtime_checkable

from dragoman.backends.base import Backend, Operated, RunRequest
from dragoman.errors import InvalidRequest
from dragoman.runs.pauses import whole
from dragoman.runs.run import Run
from dragoman.runs.thinking import Thinking, changed, is_foreign, settled


@runtime_checkable
class Asks(Operated, Protocol):
    """What asks for a whole answer, at one account or another."""

    async def ask(self, request: RunRequest, run: Run) -> None:
        """Ask, and let the run have the events as they come.

        Raises:
            GatewayError: There is no answer, or only the beginning of one.
        """
        ...


class Account:
    """Asks at one account: with thinking put back where the client left it out, and on where the API paused.

    Clients that speak the Messages API themselves do both themselves. So do agents: what they thought belongs to the
    many calls that they made, and is nothing to a later request.

    Args:
        backend: How Claude is asked. Whoever made it starts and closes it.
        thinking: Keeps thinking between the requests of a conversation, if anything does.
        alone: Whether there is no other account: then what is refused as another's thinking is asked without it.
    """

    def __init__(self, backend: Backend, thinking: Thinking | None = None, *, alone: bool = False) -> None:
        self.backend = backend
        self._thinking = thinking
        self._alone = alone

    async def ask(self, request: RunRequest, run: Run) -> None:
        """See `Asks.ask`."""
        if request.terms.verbatim or request.terms.agent:
            async with aclosing(self.backend.run(request)) as events:
                async for event in events:
                    run.happened(event)
            return
        thinking = self._thinking
        restored = await thinking.restore(request.body, request.model) if thinking else settled(request.body)
        run.noted(restored.notices)
        if restored.body is not request.body:
            request = replace(request, body=restored.body)
        request = await self._asked(request, run)
        if thinking:
            await thinking.remember(request.body, run.said().message)

    async def _asked(self, request: RunRequest, run: Run) -> RunRequest:
        """Ask, and return what was asked in the end."""
        try:
            await whole(self.backend.run, request, run)
        except InvalidRequest as error:
            if not self._alone or run.begun or not is_foreign(error):
                raise
            bare = changed(request.body)
            run.noted(bare.notices)
            request = replace(request, body=bare.body)
            await whole(self.backend.run, request, run)
        return request
