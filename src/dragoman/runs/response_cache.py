"""The response cache: requests that are exactly the same get the response of the first one.

A request is looked up by the hash of all that decides about Claude's response. While the first request is executed, all
others that are the same follow its run. Never cached: agents, tools that run at Claude, images by URL, background
responses, and every response that failed, was refused or was cut.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast

import msgspec

from dragoman.core import log
from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import UpstreamFailed
from dragoman.core.media import Placed, url_of
from dragoman.core.messages import FinalMessage, JSONObject, MessagesRequest, RequestOptions
from dragoman.core.value_object import replace
from dragoman.core.warnings import RequestWarning
from dragoman.runs.run import Run
from dragoman.runs.shared_run import SharedRun, repeated_run
from dragoman.stores.response_cache import ResponseCache

Outcome: TypeAlias = Literal["hit", "joined", "miss", "bypass"]

_COMPLETE = frozenset({"end_turn", "tool_use", "stop_sequence"})
"""The stop reasons of responses that are cached: they are neither refused nor cut."""
_CLIENT_TOOLS = ("custom", "bash_", "text_editor_", "computer_", "memory_")
"""Beginnings of the types of tools that the client runs."""
_NOT_COMPARED = frozenset({"metadata", "stream"})
"""Fields of a request that do not change its response."""
_UNCACHED_FIELDS = frozenset({"mcp_servers", "container"})
"""Fields of requests whose responses depend on more than the request."""


_encoder = msgspec.json.Encoder(order="deterministic")


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    run: str
    message: dict[str, Any]  # as Claude sent it
    arguments: dict[int, str]


_decoder = msgspec.json.Decoder(_Stored)


class CachedRequest:
    """One request whose responses may be cached, each choice under a name of its own.

    Args:
        cache: The cache.
        names: The names, by choice.
        client: The client.
        max_age: Seconds; older responses are not used.

    Attributes:
        outcome: What the cache did for the request, once its runs are started.
        age: Seconds since the oldest of its responses was made, if none is made now.
        failure: Why the cache could not be used; None if it could.
    """

    def __init__(self, cache: "RunCache", names: Sequence[str], client: str, max_age: float) -> None:
        self._cache = cache
        self._names = names
        self._client = client
        self._max_age = max_age
        self._found: dict[int, Run] = {}
        self.outcome: Outcome | None = None
        self.age = 0.0
        self.failure: str | None = None

    @property
    def is_started(self) -> bool:
        """Whether `start` has returned. Responses that are rejected later are requested again."""
        return self.outcome is not None

    async def look_up(self) -> None:
        """Look the responses up. Call it before `start`."""
        if self._max_age > 0:
            for choice, name in enumerate(self._names):
                cached = await self._cache.store.get(name)
                if cached and cached.age <= self._max_age:
                    stored = _decoder.decode(cached.value)
                    answer = AccumulatedMessage(cast("FinalMessage", stored.message), stored.arguments)
                    model = str(stored.message.get("model"))
                    self._found[choice] = repeated_run(answer, client=self._client, model=model, source_id=stored.run)
                    self.age = max(self.age, cached.age)
            self.failure = self._cache.store.failure()

    def missing(self, choices: Iterable[int]) -> list[int]:
        """Return the choices that have no response, and no run that could be followed now."""
        return [choice for choice in choices if choice not in self._found and not self._can_join(choice)]

    def start(self, choices: Iterable[int], submit: Callable[[Iterable[int]], list[Run]]) -> list[Run]:
        """Return a run for each choice: one that repeats a response, or that follows a run.

        Args:
            choices: The choices.
            submit: Starts the runs of choices whose response is not known.

        Raises:
            GatewayError: As `submit` does.
        """
        runs: dict[int, Run] = dict(self._found)
        in_order = [*choices]
        missing = self.missing(in_order)
        for choice in in_order:
            if choice not in runs and choice not in missing:
                runs[choice] = self._cache.shared[self._names[choice]].follow()
        for choice, run in zip(missing, submit(missing) if missing else (), strict=True):
            runs[choice] = self._cache.share(self._names[choice], run).follow(first=True)
        if missing:
            self.outcome = "bypass" if self.failure else "miss"
        else:
            self.outcome = "joined" if len(self._found) < len(self._names) else "hit"
        self._cache.outcomes[self.outcome] += 1
        return [runs[choice] for choice in in_order]

    def _can_join(self, choice: int) -> bool:
        running = self._cache.shared.get(self._names[choice]) if self._max_age > 0 else None
        return running is not None and running.can_be_joined


class RunCache:
    """The response cache of a gateway.

    Args:
        store: Where responses are cached.
        shared_by_clients: Whether all clients share their responses.

    Attributes:
        store: Where responses are cached.
        shared: The runs that can be joined, by name.
        outcomes: How many requests had each outcome.
        count_runs: Counts the runs that were executed, when they end.
    """

    def __init__(self, store: ResponseCache, *, shared_by_clients: bool = False) -> None:
        self.store = store
        self.shared: dict[str, SharedRun] = {}
        self.outcomes: Counter[Outcome] = Counter()
        self.count_runs: Callable[[Sequence[Run]], None] = lambda _: None
        self._shared_by_clients = shared_by_clients
        self._tasks: set[asyncio.Task[None]] = set()

    def request(
        self,
        bodies: Sequence[MessagesRequest],
        options: RequestOptions,
        *,
        client: str,
        media: Sequence[Placed],
        warnings: Sequence[RequestWarning],
        cache_control: bytes,
    ) -> CachedRequest | None:
        """Return how a request uses the cache; None if it does not.

        Args:
            bodies: The canonical request of each choice.
            options: What the client asks for outside the body.
            client: The client.
            media: The images and documents, fetched if the gateway fetches any.
            warnings: The warnings about the request.
            cache_control: The client's header. `no-store` passes the cache by; `no-cache` and `max-age` bound the age.
        """
        max_age = _max_age(cache_control)
        if max_age is None or not _is_cacheable(bodies[0], options, media):
            return None
        owner = None if self._shared_by_clients else client
        shown = [(one.code, one.param, one.detail) for one in warnings] if options.shaping.warnings_in_text else []
        outside = [owner, replace(options, large=False), shown]
        names = [_name([outside, choice], body) for choice, body in enumerate(bodies)]
        return CachedRequest(self, names, client, max_age)

    def share(self, name: str, run: Run) -> SharedRun:
        """Return a run of the engine so that others can follow it. Its response is cached when it has ended."""
        shared = SharedRun(run, lambda ended: self._keep(name, ended), lambda invalid: self._forget(name, invalid))
        self.shared[name] = shared
        return shared

    def stored_bytes(self) -> int:
        """Return the bytes of all cached responses, as far as they are known."""
        return self.store.used() or 0

    async def aclose(self) -> None:
        """Finish what is stored, and close the cache. Idempotent."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self.store.aclose()

    def _keep(self, name: str, shared: SharedRun) -> None:
        shared.keeping = self._start(self._store(name, shared))

    def _forget(self, name: str, shared: SharedRun) -> None:
        self._start(self._delete(name, shared))

    def _start(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work, name="response-cache")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _delete(self, name: str, shared: SharedRun) -> None:
        if shared.keeping is not None:
            await asyncio.wait([shared.keeping])
        await self.store.delete(name)

    async def _store(self, name: str, shared: SharedRun) -> None:
        run = shared.run
        try:
            await run.wait_until_settled()
            self.count_runs([run])
            if (value := _encode(run)) is not None:
                await self.store.put(name, value)
        except Exception:
            log.exception("cache.broke", run=run.id)
        finally:
            if self.shared.get(name) is shared:
                del self.shared[name]
            shared.close()


def _encode(run: Run) -> bytes | None:
    """Return the stored form of a response; None if it is not cached."""
    if run.status != "succeeded":
        return None
    try:
        answer = run.result()
    except UpstreamFailed:
        return None
    message = cast("Mapping[str, Any]", answer.message)
    if message.get("stop_reason") not in _COMPLETE or any(_is_server_block(block) for block in message["content"]):
        return None
    return msgspec.json.encode(_Stored(run.id, dict(message), dict(answer.arguments)))


def _is_server_block(block: JSONObject) -> bool:
    kind = str(block.get("type"))
    return kind in {"server_tool_use", "mcp_tool_use"} or kind.endswith("_tool_result")


def _is_cacheable(body: MessagesRequest, options: RequestOptions, media: Sequence[Placed]) -> bool:
    tools = body.get("tools") or ()
    return (
        options.agent is None
        and not _UNCACHED_FIELDS & body.keys()
        and all(str(tool.get("type") or "custom").startswith(_CLIENT_TOOLS) for tool in tools)
        and not any(url_of(one.block) for one in media)
    )


def _name(outside: object, body: MessagesRequest) -> str:
    compared = {field: value for field, value in body.items() if field not in _NOT_COMPARED}
    return hashlib.sha256(_encoder.encode([outside, compared])).hexdigest()


def _max_age(cache_control: bytes) -> float | None:
    """Return how old a response may be: 0 for `no-cache`, infinity without a bound; None for `no-store`."""
    age = float("inf")
    for part in cache_control.decode("latin-1").lower().split(","):
        name, _, value = part.strip().partition("=")
        if name == "no-store":
            return None
        if name == "no-cache":
            age = 0.0
        elif name == "max-age" and value.isdecimal():
            age = min(age, float(value))
    return age
