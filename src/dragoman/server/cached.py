"""A request's use of the response cache, and the headers that say what the cache did."""

from collections.abc import Callable, Iterable

from dragoman.core.messages import RequestOptions
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DecodedRequest
from dragoman.runs.response_cache import Outcome, RunCache
from dragoman.runs.run import Run
from dragoman.server.context import RequestContext

_HEADER = b"x-dragoman-cache"
_SHOWN = {"hit": b"hit", "joined": b"hit", "miss": b"miss", "bypass": b"bypass"}


async def look_up(
    cache: RunCache, context: RequestContext, request: DecodedRequest, request_options: RequestOptions
) -> None:
    """Look a request up in the response cache, before its runs are started.

    Args:
        cache: The cache.
        context: The request's context. Gets the result.
        request: The request, with its media fetched.
        request_options: What the client asks for outside the body, as the runs get it.
    """
    if request.storage is not None and request.storage.background:
        cached = None
    else:
        cached = cache.request(
            [request.body_for(choice) for choice in range(request.choices)],
            request_options,
            client=context.client,
            media=request.media,
            warnings=request.warnings,
            cache_control=context.headers.get(b"cache-control", b""),
        )
    if cached is None:
        cache.outcomes["bypass"] += 1
        context.response_headers.append((_HEADER, b"bypass"))
        return
    await cached.look_up()
    if cached.failure:
        context.warnings += (RequestWarning("not_kept", "cache", "The response cache cannot be used now."),)
    context.cached = cached


def missing_choices(context: RequestContext, choices: Iterable[int]) -> list[int]:
    """Return the choices whose runs must be started now: the cache has no response, and no run to join."""
    cached = context.cached
    return [*choices] if cached is None or cached.is_started else cached.missing(choices)


def start_cached(
    context: RequestContext, choices: Iterable[int], submit: Callable[[Iterable[int]], list[Run]]
) -> list[Run]:
    """Start the runs of a request that was looked up: those whose response is not known.

    Raises:
        GatewayError: As `submit` does.
    """
    cached = context.cached
    if cached is None or cached.is_started:
        return submit(choices)
    try:
        return cached.start(choices, submit)
    finally:
        outcome: Outcome = cached.outcome or "miss"
        context.response_headers.append((_HEADER, _SHOWN[outcome]))
        context.log_fields["cache"] = outcome
        if outcome in {"hit", "joined"}:
            context.response_headers.append((b"age", str(int(cached.age)).encode()))
