"""Which of several accounts is asked, and what happens when it cannot answer.

A conversation stays with its account, because that is where its cached prompt, its process and its kept thinking are.
It leaves only where the owner allowed it, only before the first word of an answer, and for a reason: the account is
rate limited, out, or over its budget. Then it stays where it went.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog

from dragoman.backends.base import CountsTokens, ReportsStatus, RunRequest
from dragoman.core.errors import (
    GatewayError,
    InvalidRequest,
    NotSignedIn,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    TimedOut,
    UnsupportedFeature,
    UpstreamFailed,
)
from dragoman.core.messages import JSONObject
from dragoman.core.model_list import ListedModel
from dragoman.routing.selection import Candidate, UpstreamSelector
from dragoman.routing.upstream import Upstream
from dragoman.runs.reasoning_store import is_thinking_rejected, without_foreign_thinking
from dragoman.runs.run import Run

_OF_THE_ACCOUNT = (RateLimited, QuotaExceeded, Overloaded, UpstreamFailed, TimedOut, NotSignedIn)
"""Failures that another account may not have. All others are the request's own."""

log = structlog.get_logger("dragoman.routing")


class Router:
    """Asks at one of several accounts. Owns their backends.

    Args:
        upstreams: The accounts, each with a name of its own.
        fallback: Whether a run may go on to the next one where the first cannot answer.
    """

    name = "router"

    def __init__(self, upstreams: Sequence[Upstream], *, fallback: bool) -> None:
        self._upstreams = tuple(upstreams)
        self._fallback = fallback
        self._choices = UpstreamSelector(upstreams, fallback=fallback)

    async def start(self) -> None:
        """Get every account ready."""
        for upstream in self._upstreams:
            await upstream.backend.start()

    async def aclose(self) -> None:
        """End what every account holds."""
        await asyncio.gather(*(upstream.backend.aclose() for upstream in self._upstreams))

    async def ask(self, request: RunRequest, run: Run) -> None:
        """See `dragoman.runs.account.Asks.ask`."""
        choice = self._choices.of(request)
        failures: list[GatewayError] = []
        for upstream in choice.candidates:
            try:
                await self._ask_at(upstream, choice, request, run)
            except _OF_THE_ACCOUNT as error:
                failures.append(error)
                if run.begun:
                    raise
            else:
                self._choices.stay(choice, upstream)
                return
        raise _told(failures) from None

    async def count_tokens(self, request: RunRequest) -> JSONObject:
        """The provider's own count, by the account that the conversation is with."""
        upstream = self._choices.home_of(request)
        if not isinstance(upstream.backend, CountsTokens):
            raise UnsupportedFeature(f"The upstream `{upstream.name}` cannot count tokens.", code="cannot_count")
        return await upstream.backend.count_tokens(request)

    async def models(self) -> Sequence[ListedModel]:
        """What the accounts list and serve, each model once.

        Raises:
            GatewayError: No list can be had.
        """
        lists = await asyncio.gather(*(_listed(upstream) for upstream in self._upstreams))
        failures = [found for found in lists if isinstance(found, GatewayError)]
        if len(failures) == len(lists):
            raise failures[0]
        found: dict[str, ListedModel] = {}
        for listed in lists:
            for model in () if isinstance(listed, GatewayError) else listed:
                found.setdefault(model.id, model)
        return list(found.values())

    def serves(self, client: str, model: str) -> bool:
        """Whether anybody serves a model to a client."""
        return any(upstream.is_for(client) and upstream.serves(model) for upstream in self._upstreams)

    def ready(self) -> str | None:
        """Why nobody could answer now; nothing if somebody could."""
        troubles = {upstream.name: upstream.trouble() for upstream in self._upstreams}
        if None in troubles.values():
            return None
        return " ".join(f"{name}: {trouble}" for name, trouble in troubles.items())

    def status(self) -> JSONObject:
        """How each account does."""
        upstreams: JSONObject = {upstream.name: upstream.status() for upstream in self._upstreams}
        return {"fallback": self._fallback, "upstreams": upstreams}

    async def inquire(self) -> JSONObject:
        """What the accounts have to tell besides, one of them after the other."""
        backends = {upstream.name: upstream.backend for upstream in self._upstreams}
        return {
            name: await backend.inquire() for name, backend in backends.items() if isinstance(backend, ReportsStatus)
        }

    async def _ask_at(self, upstream: Upstream, choice: Candidate, request: RunRequest, run: Run) -> None:
        """Ask at one account, and learn how it does."""
        began = upstream.rest.now()
        run.set_upstream(upstream.name)
        try:
            await self._ask_fitly(upstream, choice, request, run)
        except _OF_THE_ACCOUNT as error:
            if not upstream.used_up:  # then it is at rest until tomorrow, and nothing is wrong with it
                upstream.rest.failed(began, error.code, error.retry_after)
                rests = round(upstream.rest.left, 1)
                log.warning("upstream.failed", run=run.id, upstream=upstream.name, error=error.code, rests=rests)
            raise
        upstream.rest.worked(began)

    async def _ask_fitly(self, upstream: Upstream, choice: Candidate, request: RunRequest, run: Run) -> None:
        """Ask, without the thinking of another account."""
        if choice.mixed if upstream is choice.home else choice.grown:
            await upstream.ask(_without_thinking(request, run), run)
            return
        try:
            await upstream.ask(request, run)
        except InvalidRequest as error:
            if run.begun or not is_thinking_rejected(error):
                raise
            # Where the conversation was before is forgotten, by a new start or on another machine.
            self._choices.mix(choice, upstream)
            await upstream.ask(_without_thinking(request, run), run)


def _without_thinking(request: RunRequest, run: Run) -> RunRequest:
    """The request without what another account thought, where that would be refused; the client is told."""
    if not request.model.bound_thinking:
        return request
    bare = without_foreign_thinking(request.body)
    run.add_warnings(bare.warnings)
    return replace(request, body=bare.body)


async def _listed(upstream: Upstream) -> Sequence[ListedModel] | GatewayError:
    try:
        return [model for model in await upstream.backend.models() if upstream.serves(model.id)]
    except GatewayError as error:
        return error


def _told(failures: Sequence[GatewayError]) -> GatewayError:
    """What the client is told: what its own account said, and when the first of all may answer again."""
    waits = [failure.retry_after for failure in failures if failure.retry_after is not None]
    first = failures[0]
    if waits and first.retry_after is not None:
        return first.replace(retry_after=min(waits))
    return first
