"""The direct backend: asks the Messages API, tries again where that is safe, and tells what it answers."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import cast
from urllib.parse import quote

import msgspec

from dragoman.backends.anthropic.errors import Failure
from dragoman.backends.anthropic.options import AnthropicOptions
from dragoman.backends.anthropic.reader import Reader
from dragoman.backends.anthropic.request import API_VERSION, Call, count_call, list_call, message_call
from dragoman.backends.anthropic.upstream import Retries, Upstream
from dragoman.backends.base import RunRequest
from dragoman.backends.shared.api_errors import refuse_agent
from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import Event, MessageEvent, Retrying, Started
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.model_list import ListedModel

_MOST_PAGES = 20
_PAGE = 1000


class AnthropicBackend:
    """Claude through the Messages API. Owns its connections."""

    name = "api"

    def __init__(self, options: AnthropicOptions, upstream: Upstream | None = None) -> None:
        self._options = options
        self._upstream = upstream or Upstream(options)

    async def start(self) -> None:
        """Begin to look for a sign-in, where there is no key."""
        self._upstream.start()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._upstream.aclose()

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Ask; see `dragoman.backends.base.Backend.run`."""
        refuse_agent(request.request_options)
        call = self._call(request)
        retries = self._retries()
        yield Started("api")
        while True:
            reader = self._reader()
            try:
                async with aclosing(self._answer(call, reader)) as batches:
                    async for batch in batches:
                        for event in batch:
                            yield event
            except Failure as failure:
                delay = None if reader.said else retries.delay(failure)
                if delay is None:
                    raise failure.error from None
                yield Retrying(retries.failed, delay, failure.reason)
            else:
                return
            await asyncio.sleep(delay)

    async def count_tokens(self, request: RunRequest) -> JSONObject:
        """The API's own count; see `dragoman.backends.base.CountsTokens`."""
        return await self._asked(b"POST", count_call(request))

    async def models(self) -> Sequence[ListedModel]:
        """The models that this account may use, the newest first."""
        models: list[ListedModel] = []
        after = ""
        for _ in range(_MOST_PAGES):
            page = await self._asked(b"GET", list_call(f"/v1/models?limit={_PAGE}{after}".encode()))
            models += _listed(page)
            last = page.get("last_id")
            if not page.get("has_more") or not isinstance(last, str):
                break
            after = f"&after_id={quote(last, safe='')}"
        return models

    def ready(self) -> str | None:
        """What is missing to ask Claude, and what to type."""
        return self._upstream.trouble

    def status(self) -> JSONObject:
        """Authentication, version and connections."""
        return {
            "authentication": self._upstream.authentication,
            "anthropic_version": API_VERSION,
            "connections": {"busy": self._upstream.busy_count, "idle": self._upstream.idle_count},
        }

    def _call(self, request: RunRequest) -> Call:
        return message_call(request, self._options.cache_ttl)

    def _reader(self) -> Reader:
        return Reader()

    def _retries(self) -> Retries:
        return Retries(self._options.retries, self._options.backoff)

    async def _answer(self, call: Call, reader: Reader) -> AsyncGenerator[list[MessageEvent], None]:
        """The events of one try, those of each read together.

        Raises:
            Failure: It failed; what was given out before stands.
        """
        async with self._upstream.opened(b"POST", call, streamed=True) as response:
            while not reader.whole:
                data = await response.read()
                if data:
                    batch = reader.feed(data)
                    if batch:
                        yield batch
                else:
                    reader.end()
                if reader.failure is not None:
                    raise reader.failure
            response.settled = True

    async def _asked(self, method: bytes, call: Call) -> JSONObject:
        """The answer to a small question, as one JSON object.

        Raises:
            GatewayError: It cannot be had.
        """
        retries = self._retries()
        while True:
            try:
                async with self._upstream.opened(method, call, streamed=False) as response:
                    return _object(await response.body(_MOST_BODY))
            except Failure as failure:
                delay = retries.delay(failure)
                if delay is None:
                    raise failure.error from None
            await asyncio.sleep(delay)


_MOST_BODY = 8 * 1024 * 1024


def _object(body: bytes) -> JSONObject:
    try:
        value: JSON = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = None
    if not isinstance(value, dict):
        raise UpstreamFailed("Claude's answer could not be read.")
    return value


def _listed(page: JSONObject) -> list[ListedModel]:
    data = page.get("data")
    models = [model for model in data if isinstance(model, dict)] if isinstance(data, list) else []
    return [ListedModel(cast("str", m["id"]), str(m.get("display_name") or ""), m) for m in models if m.get("id")]
