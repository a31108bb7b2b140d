"""The router: chooses between upstreams, and falls back to another one when the first cannot answer.

A conversation stays at its upstream: its cached prompt, its process and its stored thinking are there. It moves only if
the operator allows it, only before the first output of a response, and only if the upstream is rate limited, fails, or
has used up its budget. Then it stays at the new upstream.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from dragoman.backends.base import CountsTokens, HoldsConversations, ReportsStatus, RunRequest
from dragoman.core import log
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
from dragoman.core.supervise import failures_of
from dragoman.core.value_object import replace
from dragoman.routing.selection import Selection, UpstreamSelector
from dragoman.routing.upstream import Upstream
from dragoman.runs.reasoning_store import is_thinking_rejected, without_foreign_thinking
from dragoman.runs.run import Run

_UPSTREAM_ERRORS = (RateLimited, QuotaExceeded, Overloaded, UpstreamFailed, TimedOut, NotSignedIn)
"""Errors that another upstream may not have. All others are errors of the request."""


class Router:
    """Executes runs on one of several upstreams. Owns their backends.

    Args:
        upstreams: The upstreams, each with its own name.
        fallback: Whether a run may continue at another upstream if the first cannot answer.
    """

    name = "router"

    def __init__(self, upstreams: Sequence[Upstream], *, fallback: bool) -> None:
        self._upstreams = tuple(upstreams)
        self._fallback = fallback
        self._selector = UpstreamSelector(upstreams, fallback=fallback)

    async def start(self) -> None:
        """Start every backend."""
        for upstream in self._upstreams:
            if upstream.budget is not None:
                await upstream.budget.start()
            await upstream.backend.start()

    async def aclose(self) -> None:
        """Close every backend."""
        await asyncio.gather(*(upstream.backend.aclose() for upstream in self._upstreams))

    async def execute(self, request: RunRequest, run: Run) -> None:
        """Execute a run; see `dragoman.runs.executor.Dispatcher.execute`."""
        selection = self._selector.select(request)
        errors: list[GatewayError] = []
        for upstream in selection.candidates:
            try:
                await self._try(upstream, selection, request, run)
            except _UPSTREAM_ERRORS as error:
                errors.append(error)
                if run.has_output:
                    raise
            else:
                self._selector.move(selection, upstream)
                return
        raise _combined_error(errors) from None

    async def count_tokens(self, request: RunRequest) -> JSONObject:
        """Return the provider's count of a prompt's tokens, from the home of its conversation.

        Raises:
            UnsupportedFeature: Its backend cannot count tokens.
            GatewayError: The count is not available now.
        """
        upstream = self._selector.home_of(request)
        if not isinstance(upstream.backend, CountsTokens):
            raise UnsupportedFeature(f"The upstream `{upstream.name}` cannot count tokens.", code="cannot_count")
        return await upstream.backend.count_tokens(request)

    def conversation_of(self, request: RunRequest) -> str | None:
        """Return the name of a conversation; see `dragoman.backends.base.HoldsConversations`."""
        backend = self._selector.home_of(request).backend
        return backend.conversation_of(request) if isinstance(backend, HoldsConversations) else None

    def on_held(self, report: Callable[[str, bool], None]) -> None:
        """Report which conversations are held; see `dragoman.backends.base.HoldsConversations`."""
        for upstream in self._upstreams:
            if isinstance(upstream.backend, HoldsConversations):
                upstream.backend.on_held(report)

    async def models(self) -> Sequence[ListedModel]:
        """Return the models that the upstreams list and serve, each once.

        Raises:
            GatewayError: No upstream returns a list.
        """
        lists = await asyncio.gather(*(_served_models(upstream) for upstream in self._upstreams))
        errors = [listed for listed in lists if isinstance(listed, GatewayError)]
        if len(errors) == len(lists):
            raise errors[0]
        models: dict[str, ListedModel] = {}
        for listed in lists:
            if not isinstance(listed, GatewayError):
                for model in listed:
                    models.setdefault(model.id, model)
        return list(models.values())

    def serves(self, client: str, model: str) -> bool:
        """Return whether any upstream serves the model to the client."""
        return any(upstream.serves_client(client) and upstream.serves(model) for upstream in self._upstreams)

    def ready(self) -> str | None:
        """Return why every upstream would fail now; None if one would not."""
        reasons = {upstream.name: upstream.not_ready() for upstream in self._upstreams}
        if None in reasons.values():
            return None
        return " ".join(f"{name}: {reason}" for name, reason in reasons.items())

    def failures(self) -> Mapping[str, str]:
        """Return why tasks failed, by upstream and task; see `dragoman.core.supervise.ReportsFailures`."""
        return {
            f"{upstream.name}: {name}": failure
            for upstream in self._upstreams
            for name, failure in failures_of(upstream.backend).items()
        }

    def status(self) -> JSONObject:
        """Return the status of every upstream."""
        upstreams: JSONObject = {upstream.name: upstream.status() for upstream in self._upstreams}
        return {"fallback": self._fallback, "upstreams": upstreams}

    async def inquire(self) -> JSONObject:
        """Return what the backends have to report in addition to `status`. They are asked one after the other."""
        backends = {upstream.name: upstream.backend for upstream in self._upstreams}
        return {
            name: await backend.inquire() for name, backend in backends.items() if isinstance(backend, ReportsStatus)
        }

    async def _try(self, upstream: Upstream, selection: Selection, request: RunRequest, run: Run) -> None:
        """Execute a run on one upstream, and record the outcome in its circuit breaker.

        An upstream whose budget does not suffice has not failed.
        """
        run.set_upstream(upstream.name)
        if upstream.budget is not None:
            request = await upstream.budget.reserve(request, run)
        started_at = upstream.breaker.now()
        try:
            await self._execute_at(upstream, selection, request, run)
        except _UPSTREAM_ERRORS as error:
            if request.calls is None or request.calls.refusal is not error:
                upstream.breaker.record_failure(started_at, error.code, error.retry_after)
                rests = round(upstream.breaker.remaining, 1)
                log.warning("upstream.failed", run=run.id, upstream=upstream.name, error=error.code, rests=rests)
            if upstream.budget is not None and not run.has_output:
                upstream.budget.release(run)
            raise
        upstream.breaker.record_success(started_at)

    async def _execute_at(self, upstream: Upstream, selection: Selection, request: RunRequest, run: Run) -> None:
        """Execute a run on one upstream, without the thinking of another."""
        if selection.mixed if upstream is selection.home else selection.has_history:
            await upstream.execute(_without_foreign_thinking(request, run), run)
            return
        try:
            await upstream.execute(request, run)
        except InvalidRequest as error:
            if run.has_output or not is_thinking_rejected(error):
                raise
            # The conversation's move is not known here, after a restart or on another machine.
            self._selector.mark_mixed(selection, upstream)
            await upstream.execute(_without_foreign_thinking(request, run), run)


def _without_foreign_thinking(request: RunRequest, run: Run) -> RunRequest:
    """Return the request without another upstream's thinking, if the model would reject that, and warn the client."""
    if not request.model.bound_thinking:
        return request
    stripped = without_foreign_thinking(request.body)
    run.add_warnings(stripped.warnings)
    return replace(request, body=stripped.body)


async def _served_models(upstream: Upstream) -> Sequence[ListedModel] | GatewayError:
    try:
        return [model for model in await upstream.backend.models() if upstream.serves(model.id)]
    except GatewayError as error:
        return error


def _combined_error(errors: Sequence[GatewayError]) -> GatewayError:
    """Return the error of the first upstream, with the shortest wait of all."""
    waits = [error.retry_after for error in errors if error.retry_after is not None]
    first = errors[0]
    return first if not waits or first.retry_after is None else first.replace(retry_after=min(waits))
