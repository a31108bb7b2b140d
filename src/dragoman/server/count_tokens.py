"""Endpoints that count the tokens of a request instead of answering it: `/v1/messages/count_tokens` and its like."""

from collections.abc import Callable
from typing import Generic

from starlette.types import Receive

from dragoman.core.errors import UnsupportedFeature
from dragoman.core.messages import JSONObject
from dragoman.runs.engine import Engine
from dragoman.server.collect import RequestT
from dragoman.server.context import RawHeaders, RequestContext
from dragoman.server.disconnect import cancel_on_disconnect
from dragoman.server.endpoint import EncodeError, Endpoint
from dragoman.server.generate import RequestReader
from dragoman.server.options import ServerOptions
from dragoman.server.replies import json_reply, rate_headers, run_headers, warning_headers


class CountTokensHandler(Endpoint, Generic[RequestT]):
    """The endpoint that decodes a request like its generating twin, and has the provider count its tokens.

    Args:
        engine: Counts.
        reader: Reads and decodes requests.
        options: The server's options.
        encode: Encodes the count, given the provider's own answer (`{"input_tokens": 12}`).
        encode_error: See `Endpoint`.
    """

    def __init__(
        self,
        engine: Engine,
        reader: RequestReader[RequestT],
        options: ServerOptions,
        encode: Callable[[JSONObject], bytes],
        encode_error: EncodeError,
    ) -> None:
        super().__init__(encode_error)
        self._engine = engine
        self._reader = reader
        self._options = options
        self._encode = encode

    async def handle(self, context: RequestContext, receive: Receive) -> None:
        """See `Endpoint.handle`."""
        request = await self._reader.read(context, receive)
        if request.request_options.agent:
            raise UnsupportedFeature("The tokens of an agent's work cannot be counted in advance.", param="claude")
        async with cancel_on_disconnect(receive):
            await self._options.fetch_media(request.media)
            counted = await self._engine.count_tokens(
                request.body, request.resolved.model, request.request_options, client=context.client
            )
        headers = [*warning_headers(request.warnings, context), *rate_headers(self._engine, context)]
        await json_reply(200, self._encode(counted), headers).send(context.send)

    def error_headers(self, context: RequestContext) -> RawHeaders:
        """See `Endpoint.error_headers`."""
        return [*run_headers(context, ()), *rate_headers(self._engine, context)]
