"""`POST /v1/embeddings`: decode, embed, encode."""

import asyncio
from collections.abc import Iterator

import structlog
from starlette.types import Receive, Scope, Send

from dragoman.backends.base import Embedder
from dragoman.core.errors import GatewayError
from dragoman.dialects.embeddings.dialect import EmbeddingsDialect
from dragoman.dialects.embeddings.request import EmbeddingsRequest
from dragoman.runs.engine import Engine
from dragoman.server.context import CLIENT_GONE, RequestContext, get_context
from dragoman.server.disconnect import CancelOnDisconnect, ClientGone, read_body
from dragoman.server.options import ServerOptions
from dragoman.server.replies import error_reply, gateway_error, json_reply, rate_headers, warning_headers

log = structlog.get_logger("dragoman.server")

_AT_ONCE = 32
"""Vectors written between two chances for other requests: a millisecond or two."""


class EmbeddingsHandler:
    """An ASGI endpoint that answers with vectors. They are no runs: Claude has no part in them.

    Args:
        dialect: The dialect.
        embedder: What makes the vectors.
        engine: Whose limit of requests a minute holds here, too.
        options: The server's part of the settings.
    """

    def __init__(self, dialect: EmbeddingsDialect, embedder: Embedder, engine: Engine, options: ServerOptions) -> None:
        self._codec = dialect
        self._embedder = embedder
        self._engine = engine
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the exchange sends
        """Answer one request."""
        context = get_context(scope)
        try:
            await self._answer(context, receive)
        except ClientGone:
            context.status = context.status or CLIENT_GONE
        except Exception as error:  # noqa: BLE001 - every failure is said in the dialect
            if not context.status:
                await self._refuse(context, gateway_error(error, context))

    async def _answer(self, context: RequestContext, receive: Receive) -> None:
        declared = context.headers.get(b"content-length")
        request = self._codec.decode(await read_body(receive, declared, self._options.max_request_bytes))
        self._note(context, request)
        self._engine.rate.take(asyncio.get_running_loop().time())
        async with CancelOnDisconnect(receive):
            made = await self._embedder.embed(request.inputs)
            body = await _joined(self._codec.encode(request, made.vectors, made.tokens))
        warnings = (*request.warnings, *self._codec.response_warnings(made.truncated, made.tokens))
        context.asked |= {"tokens": made.tokens, "warnings": [warning.code for warning in warnings] or None}
        headers = [*warning_headers(warnings), *rate_headers(self._engine)]
        await json_reply(200, body, headers).send(context.send)

    async def _refuse(self, context: RequestContext, error: GatewayError) -> None:
        context.error = error
        await error_reply(error, self._codec.encode_error(error), rate_headers(self._engine)).send(context.send)

    def _note(self, context: RequestContext, request: EmbeddingsRequest) -> None:
        """Leave for the log what was asked; what people write goes there only where the owner wants it."""
        context.asked = {"model": request.requested_model, "inputs": len(request.inputs)}
        if self._options.payloads:
            log.debug("embeddings.body", request=context.id, inputs=request.inputs)


async def _joined(pieces: Iterator[bytes]) -> bytes:
    written = []
    for place, piece in enumerate(pieces, 1):
        written.append(piece)
        if place % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return b"".join(written)
