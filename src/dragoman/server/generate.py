"""Questions to a model, in any dialect: decode, run, encode.

`POST /v1/messages/count_tokens`: what a prompt would cost to read, told by the provider.
"""

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec
from starlette.types import Receive, Scope, Send

from dragoman.core.errors import Forbidden, GatewayError, NotFound, UnsupportedFeature
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DecodedRequest, Dialect, ResponseIdentity
from dragoman.runs.engine import Engine
from dragoman.runs.run import Run
from dragoman.server.catalog import LiveCatalog
from dragoman.server.collect import CollectedResponse, RunGroup, Submit
from dragoman.server.context import CLIENT_GONE, RawHeaders, RequestContext, get_context
from dragoman.server.disconnect import CancelOnDisconnect, ClientGone, read_body
from dragoman.server.options import ServerOptions
from dragoman.server.payload_log import log_answers, log_request, log_understood
from dragoman.server.replies import (
    answer_headers,
    error_reply,
    gateway_error,
    json_reply,
    rate_headers,
    warning_headers,
)
from dragoman.server.stream import StreamedResponse


class GenerateHandler:
    """An ASGI endpoint that answers questions in one dialect."""

    def __init__(self, codec: Dialect, engine: Engine, catalog: LiveCatalog, options: ServerOptions) -> None:
        self._codec = codec
        self._engine = engine
        self._catalog = catalog
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the exchange sends
        """Answer one request."""
        exchange = get_context(scope)
        try:
            await self._answer(exchange, receive)
        except ClientGone:
            exchange.status = exchange.status or CLIENT_GONE
        except Exception as error:  # noqa: BLE001 - each dialect has its own body for every failure
            if not exchange.status:
                await self._refuse(exchange, gateway_error(error, exchange))

    async def _answer(self, exchange: RequestContext, receive: Receive) -> None:
        await self._serve(exchange, receive, await self._read(exchange, receive))

    async def _read(self, exchange: RequestContext, receive: Receive) -> DecodedRequest:
        declared = exchange.headers.get(b"content-length")
        raw = await read_body(receive, declared, self._options.max_request_bytes)
        if self._options.payloads:
            log_request(exchange, raw)
        decoded = await self._decode(raw, exchange)
        if decoded.terms.agent and not exchange.agents:
            raise Forbidden(
                "This key may not start agents (--agents, or `agents` of the key).",
                code="agents_not_allowed",
                param="claude",
            )
        self._note(exchange, decoded)
        return decoded

    def _submission(self, exchange: RequestContext, decoded: DecodedRequest) -> Submit:
        def submit(wanted: Iterable[int]) -> list[Run]:
            bodies = [decoded.body_of(choice) for choice in wanted]
            model, terms = decoded.resolved.model, decoded.terms
            runs = self._engine.submit_all(bodies, model, client=exchange.client, terms=terms)
            for run in runs:
                run.came_by(exchange.id, exchange.path)
            return runs

        return submit

    async def _serve(self, exchange: RequestContext, receive: Receive, decoded: DecodedRequest) -> None:
        choices = RunGroup(trace=self._options.trace)
        exchange.runs = choices.every
        submit = self._submission(exchange, decoded)
        try:
            async with CancelOnDisconnect(receive):
                if decoded.media:
                    await self._fill(exchange, decoded)
                for run in submit(range(decoded.choices)):
                    choices.add(run)
                if decoded.stream:
                    await self._stream(exchange, decoded, choices)
                else:
                    await self._tell(exchange, decoded, choices, submit)
        except ClientGone:
            await choices.cancel("client gone")
            raise
        finally:
            await choices.cancel("request over")
            if self._options.payloads:
                log_answers(exchange)

    async def _fill(self, exchange: RequestContext, decoded: DecodedRequest) -> None:
        self._engine.require(decoded.choices)
        began = time.perf_counter()
        try:
            await self._options.fill_media(decoded.media)
        finally:
            exchange.stages["fetch"] = time.perf_counter() - began

    async def _decode(self, raw: bytes, exchange: RequestContext) -> DecodedRequest:
        return await self._known(lambda: self._codec.decode(raw, exchange.headers))

    async def _known(self, decode: Callable[[], DecodedRequest]) -> DecodedRequest:
        try:
            return decode()
        except NotFound:
            # Perhaps a model so new that only the provider's list knows it.
            if not await self._catalog.refresh():
                raise
            return decode()

    async def _stream(self, exchange: RequestContext, decoded: DecodedRequest, choices: RunGroup) -> None:
        first = choices.runs[0]
        encoder = self._codec.encode_stream(decoded, ResponseIdentity(first.id, first.created))

        def headers() -> RawHeaders:
            return self._headers(exchange, choices.runs)

        await StreamedResponse(exchange, choices, encoder, self._options.heartbeat, headers).drive()

    async def _tell(self, exchange: RequestContext, decoded: DecodedRequest, choices: RunGroup, submit: Submit) -> None:
        whole = CollectedResponse(self._codec, decoded, choices, submit)
        body = await whole.make()
        exchange.notices += whole.notices
        exchange.asked["warnings"] = short(exchange.notices)
        await json_reply(200, body, self._headers(exchange, choices.runs)).send(exchange.send)

    def _headers(self, exchange: RequestContext, runs: Sequence[Run]) -> RawHeaders:
        return [*answer_headers(exchange, runs), *rate_headers(self._engine)]

    async def _refuse(self, exchange: RequestContext, error: GatewayError) -> None:
        exchange.error = error
        headers = self._headers(exchange, exchange.runs)
        await error_reply(error, self._codec.encode_error(error), headers).send(exchange.send)

    def _note(self, exchange: RequestContext, decoded: DecodedRequest) -> None:
        """Leave for headers and log what was asked; what people write goes there only where the owner wants it."""
        exchange.notices = decoded.notices
        exchange.asked = {
            "model": decoded.resolved.asked,
            "stream": decoded.stream,
            "choices": decoded.choices,
            "messages": len(decoded.body["messages"]),
            "warnings": short(decoded.notices),
        }
        if self._options.payloads:
            log_understood(exchange, decoded)


def short(notices: tuple[RequestWarning, ...]) -> list[str] | None:
    """Notices, as the log has them."""
    return [f"{notice.code}:{notice.param}" for notice in notices] or None


class CountTokens(GenerateHandler):
    """An ASGI endpoint that reads a question as it would be asked, and has it counted instead."""

    async def _serve(self, exchange: RequestContext, receive: Receive, decoded: DecodedRequest) -> None:
        if decoded.terms.agent:
            raise UnsupportedFeature("An agent's tokens cannot be counted before it works.", param="claude")
        async with CancelOnDisconnect(receive):
            counted = await self._engine.count_tokens(
                decoded.body, decoded.resolved.model, decoded.terms, client=exchange.client
            )
        headers = [*warning_headers(decoded.notices), *rate_headers(self._engine)]
        await json_reply(200, msgspec.json.encode(counted), headers).send(exchange.send)
