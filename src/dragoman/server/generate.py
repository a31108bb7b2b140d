"""Questions to a model, in any dialect: decode, run, encode.

`POST /v1/messages/count_tokens`: what a prompt would cost to read, told by the provider.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Generic

import msgspec
from starlette.types import Receive, Scope, Send

from dragoman.core.errors import Forbidden, GatewayError, NotFound, UnsupportedFeature
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DecodedRequest, Dialect, Request, ResponseIdentity
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


class GenerateHandler(Generic[Request]):
    """An ASGI endpoint that answers questions in one dialect."""

    def __init__(self, dialect: Dialect[Request], engine: Engine, catalog: LiveCatalog, options: ServerOptions) -> None:
        self._codec = dialect
        self._engine = engine
        self._catalog = catalog
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the exchange sends
        """Answer one request."""
        context = get_context(scope)
        try:
            await self._answer(context, receive)
        except ClientGone:
            context.status = context.status or CLIENT_GONE
        except Exception as error:  # noqa: BLE001 - each dialect has its own body for every failure
            if not context.status:
                await self._refuse(context, gateway_error(error, context))

    async def _answer(self, context: RequestContext, receive: Receive) -> None:
        await self._serve(context, receive, await self._read(context, receive))

    async def _read(self, context: RequestContext, receive: Receive) -> Request:
        declared = context.headers.get(b"content-length")
        raw = await read_body(receive, declared, self._options.max_request_bytes)
        if self._options.payloads:
            log_request(context, raw)
        decoded = await self._decode(raw, context)
        if decoded.request_options.agent and not context.agents:
            raise Forbidden(
                "This key may not start agents (--agents, or `agents` of the key).",
                code="agents_not_allowed",
                param="claude",
            )
        self._note(context, decoded)
        return decoded

    def _submission(self, context: RequestContext, decoded: Request) -> Submit:
        def submit(wanted: Iterable[int]) -> list[Run]:
            bodies = [decoded.body_for(choice) for choice in wanted]
            model, request_options = decoded.resolved.model, decoded.request_options
            runs = self._engine.submit_all(bodies, model, client=context.client, request_options=request_options)
            for run in runs:
                run.set_origin(context.id, context.path)
            return runs

        return submit

    async def _serve(self, context: RequestContext, receive: Receive, decoded: Request) -> None:
        choices = RunGroup(trace=self._options.trace)
        context.runs = choices.every
        submit = self._submission(context, decoded)
        try:
            async with CancelOnDisconnect(receive):
                if decoded.media:
                    await self._fill(context, decoded)
                for run in submit(range(decoded.choices)):
                    choices.add(run)
                if decoded.stream:
                    await self._stream(context, decoded, choices)
                else:
                    await self._tell(context, decoded, choices, submit)
        except ClientGone:
            await choices.cancel("client gone")
            raise
        finally:
            await choices.cancel("request over")
            if self._options.payloads:
                log_answers(context)

    async def _fill(self, context: RequestContext, decoded: Request) -> None:
        self._engine.require(decoded.choices)
        began = time.perf_counter()
        try:
            await self._options.fetch_media(decoded.media)
        finally:
            context.stages["fetch"] = time.perf_counter() - began

    async def _decode(self, raw: bytes, context: RequestContext) -> Request:
        return await self._known(lambda: self._codec.decode(raw, context.headers))

    async def _known(self, decode: Callable[[], Request]) -> Request:
        try:
            return decode()
        except NotFound:
            # Perhaps a model so new that only the provider's list knows it.
            if not await self._catalog.refresh():
                raise
            return decode()

    async def _stream(self, context: RequestContext, decoded: Request, choices: RunGroup) -> None:
        first = choices.runs[0]
        encoder = self._codec.encode_stream(decoded, ResponseIdentity(first.id, first.created))

        def headers() -> RawHeaders:
            return self._headers(context, choices.runs)

        await StreamedResponse(context, choices, encoder, self._options.heartbeat, headers).drive()

    async def _tell(self, context: RequestContext, decoded: Request, choices: RunGroup, submit: Submit) -> None:
        whole = CollectedResponse(self._codec, decoded, choices, submit)
        body = await whole.make()
        context.warnings += whole.warnings
        context.asked["warnings"] = short(context.warnings)
        await json_reply(200, body, self._headers(context, choices.runs)).send(context.send)

    def _headers(self, context: RequestContext, runs: Sequence[Run]) -> RawHeaders:
        return [*answer_headers(context, runs), *rate_headers(self._engine)]

    async def _refuse(self, context: RequestContext, error: GatewayError) -> None:
        context.error = error
        headers = self._headers(context, context.runs)
        await error_reply(error, self._codec.encode_error(error), headers).send(context.send)

    def _note(self, context: RequestContext, decoded: Request) -> None:
        """Leave for headers and log what was asked; what people write goes there only where the owner wants it."""
        context.warnings = decoded.warnings
        context.asked = {
            "model": decoded.resolved.asked,
            "stream": decoded.stream,
            "choices": decoded.choices,
            "messages": len(decoded.body["messages"]),
            "warnings": short(decoded.warnings),
        }
        if self._options.payloads:
            log_understood(context, decoded)


def short(warnings: tuple[RequestWarning, ...]) -> list[str] | None:
    """Notices, as the log has them."""
    return [f"{warning.code}:{warning.param}" for warning in warnings] or None


class CountTokens(GenerateHandler[DecodedRequest]):
    """An ASGI endpoint that reads a question as it would be asked, and has it counted instead."""

    async def _serve(self, context: RequestContext, receive: Receive, decoded: DecodedRequest) -> None:
        if decoded.request_options.agent:
            raise UnsupportedFeature("An agent's tokens cannot be counted before it works.", param="claude")
        async with CancelOnDisconnect(receive):
            counted = await self._engine.count_tokens(
                decoded.body, decoded.resolved.model, decoded.request_options, client=context.client
            )
        headers = [*warning_headers(decoded.warnings), *rate_headers(self._engine)]
        await json_reply(200, msgspec.json.encode(counted), headers).send(context.send)
