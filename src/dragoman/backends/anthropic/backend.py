"""The Anthropic backend: calls the Messages API, repeats calls where that is safe, and reads the streamed responses."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from urllib.parse import quote

import msgspec

from dragoman.backends.anthropic.account import Account
from dragoman.backends.anthropic.failures import Failure, Retries
from dragoman.backends.anthropic.options import AnthropicOptions
from dragoman.backends.anthropic.reader import StreamReader
from dragoman.backends.anthropic.request import (
    API_VERSION,
    ApiCall,
    count_call,
    has_checked_arguments,
    message_call,
    models_call,
)
from dragoman.backends.base import RunRequest
from dragoman.backends.shared.api_errors import refuse_agent
from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import Event, Retrying, Started
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.model_list import ListedModel

_MAX_BODY_BYTES = 8 * 1024 * 1024
_MAX_PAGES = 20
_PAGE_SIZE = 1000


class AnthropicBackend:
    """Claude through the Messages API. Owns its connections.

    A cloud's backend is a subclass. It overrides `build_call` and `create_reader`.
    """

    name = "api"
    stream_type = "text/event-stream"
    """The `content-type` of streamed responses."""

    def __init__(self, options: AnthropicOptions, account: Account | None = None) -> None:
        self._options = options
        self._account = account or Account(options)

    async def start(self) -> None:
        """Begin to search for a sign-in, if there is no key."""
        self._account.start()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._account.aclose()

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Run a request; see `dragoman.backends.base.Backend.run`."""
        async with aclosing(self.run_in_groups(request)) as groups:
            async for events in groups:
                for event in events:
                    yield event

    async def run_in_groups(self, request: RunRequest) -> AsyncGenerator[Sequence[Event], None]:
        """Run a request; see `dragoman.backends.base.YieldsGroups`. What one read completes is a group."""
        refuse_agent(request.request_options)
        call = await self.build_call(request)
        retries = self._new_retries()
        yield (Started("api"),)
        while True:
            reader = self.create_reader(request)
            sent = self._account.send(b"POST", call, self.stream_type)
            try:
                async with sent as response:
                    if repeats := sent.repeats():
                        yield repeats
                    while not reader.is_complete:
                        if events := reader.feed(await response.read()):
                            yield events
                        if reader.failure is not None:
                            raise reader.failure
                    response.settled = True
            except Failure as failure:
                if repeats := sent.repeats():
                    yield repeats
                delay = retries.delay_after(failure, has_emitted=reader.has_emitted)
                reason = failure.reason
            else:
                return
            yield (Retrying(retries.failed_attempts, delay, reason),)
            await asyncio.sleep(delay)

    async def build_call(self, request: RunRequest) -> ApiCall:
        """Return the call that generates a message.

        Raises:
            GatewayError: The request cannot be served.
        """
        if request.request_options.large:
            return await asyncio.to_thread(message_call, request, self._options.cache_ttl)
        return message_call(request, self._options.cache_ttl)

    def create_reader(self, request: RunRequest) -> StreamReader:
        """Return a reader for one response."""
        return StreamReader(checks_arguments=has_checked_arguments(request))

    async def count_tokens(self, request: RunRequest) -> JSONObject:
        """Return the API's own count; see `dragoman.backends.base.CountsTokens`."""
        return await self.request_json(b"POST", count_call(request))

    async def models(self) -> Sequence[ListedModel]:
        """Return the models that this account may use, the newest first."""
        models: list[ListedModel] = []
        query = f"limit={_PAGE_SIZE}"
        for _ in range(_MAX_PAGES):
            page = await self.request_json(b"GET", models_call(query))
            models += _parse_models(page)
            last = page.get("last_id")
            if not page.get("has_more") or not isinstance(last, str):
                break
            query = f"limit={_PAGE_SIZE}&after_id={quote(last, safe='')}"
        return models

    async def request_json(self, method: bytes, call: ApiCall) -> JSONObject:
        """Make a call whose response is one JSON object, with retries.

        Raises:
            GatewayError: The call failed.
        """
        retries = self._new_retries()
        while True:
            try:
                async with self._account.send(method, call, "application/json") as response:
                    return _decode_object(await response.body(_MAX_BODY_BYTES))
            except Failure as failure:
                delay = retries.delay_after(failure)
            await asyncio.sleep(delay)

    def ready(self) -> str | None:
        """Return what is missing to call Claude, and what the operator can do; None if nothing is."""
        return self._account.missing_credentials()

    def failures(self) -> Mapping[str, str]:
        """Return why its tasks failed; see `dragoman.core.supervise.ReportsFailures`."""
        return self._account.failures()

    def status(self) -> JSONObject:
        """Return the kind of authentication, the API's version, and the number of connections."""
        return {
            "authentication": self._account.authentication,
            "anthropic_version": API_VERSION,
            "connections": {"busy": self._account.busy_count, "idle": self._account.idle_count},
        }

    def _new_retries(self) -> Retries:
        return Retries(self._options.retries, self._options.backoff)


def _decode_object(body: bytes) -> JSONObject:
    try:
        value: JSON = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = None
    if not isinstance(value, dict):
        raise UpstreamFailed("Claude's response could not be read.")
    return value


def _parse_models(page: JSONObject) -> list[ListedModel]:
    data = page.get("data")
    entries = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
    return [
        ListedModel(str(entry["id"]), str(entry.get("display_name") or ""), entry)
        for entry in entries
        if entry.get("id")
    ]
