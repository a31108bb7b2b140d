"""`POST /v1/embeddings`: decode, embed, encode, respond."""

import asyncio
from collections.abc import Iterator

from starlette.types import Receive

from dragoman.backends.base import Embedder
from dragoman.core import log
from dragoman.dialects.embeddings.dialect import EmbeddingsDialect
from dragoman.dialects.embeddings.request import EmbeddingsRequest
from dragoman.dialects.shared.validation import check_value_count, with_model
from dragoman.runs.engine import Engine
from dragoman.server.context import RawHeaders, RequestContext
from dragoman.server.disconnect import cancel_on_disconnect, read_body
from dragoman.server.endpoint import Endpoint
from dragoman.server.options import ServerOptions
from dragoman.server.replies import json_reply, rate_headers, warning_headers

_MAX_VALUES = 1_000_000
"""Values of a large body: an input may be a list of tokens."""

_VECTORS_PER_STEP = 32
"""Vectors that are encoded before other requests get a turn: one or two milliseconds."""


class EmbeddingsHandler(Endpoint):
    """The endpoint that returns vectors. They are not runs: Claude is not involved.

    Args:
        dialect: The dialect.
        embedder: Computes the vectors.
        engine: Its limit of requests per minute holds here too.
        options: The server's options.
    """

    def __init__(self, dialect: EmbeddingsDialect, embedder: Embedder, engine: Engine, options: ServerOptions) -> None:
        super().__init__(dialect.encode_error)
        self._dialect = dialect
        self._embedder = embedder
        self._engine = engine
        self._options = options

    async def handle(self, context: RequestContext, receive: Receive) -> None:
        """See `Endpoint.handle`."""
        bodies = self._options.bodies
        raw = await read_body(context, receive, self._options.max_request_bytes, bodies)

        def decode() -> EmbeddingsRequest:
            check_value_count(raw, _MAX_VALUES)
            return self._dialect.decode(with_model(raw, context.deployment) if context.deployment else raw)

        request = await bodies.run(len(raw), decode)
        context.log_fields = {"model": request.requested_model, "inputs": len(request.inputs)}
        if self._options.log_payloads:
            log.debug("embeddings.body", request=context.id, inputs=request.inputs)
        await self._engine.take_request(context.client)
        async with cancel_on_disconnect(receive):
            embedded = await self._embedder.embed(request.inputs)
            body = await _join(self._dialect.encode(request, embedded.vectors, embedded.tokens))
        warnings = (*request.warnings, *self._dialect.response_warnings(embedded.truncated, embedded.tokens))
        context.log_fields |= {
            "tokens": embedded.tokens,
            "warnings": [warning.code for warning in warnings] or None,
        }
        headers = [*warning_headers(warnings, context), *rate_headers(self._engine, context)]
        await json_reply(200, body, headers).send(context.send)

    def error_headers(self, context: RequestContext) -> RawHeaders:
        """See `Endpoint.error_headers`."""
        return rate_headers(self._engine, context)


async def _join(pieces: Iterator[bytes]) -> bytes:
    encoded = []
    for count, piece in enumerate(pieces, 1):
        encoded.append(piece)
        if count % _VECTORS_PER_STEP == 0:
            await asyncio.sleep(0)
    return b"".join(encoded)
