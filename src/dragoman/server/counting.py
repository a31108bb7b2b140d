"""`POST /v1/messages/count_tokens`: what a prompt would cost to read, told by the provider."""

import msgspec
from starlette.types import Receive

from dragoman.errors import UnsupportedFeature
from dragoman.server.chat import Complete
from dragoman.server.disconnect import UntilGone
from dragoman.server.exchange import Exchange
from dragoman.server.headers import rate_headers, warning_headers
from dragoman.server.replies import json_reply
from dragoman.wire.base import Decoded


class CountTokens(Complete):
    """An ASGI endpoint that reads a question as it would be asked, and has it counted instead."""

    async def _serve(self, exchange: Exchange, receive: Receive, decoded: Decoded) -> None:
        if decoded.terms.agent:
            raise UnsupportedFeature("An agent's tokens cannot be counted before it works.", param="claude")
        async with UntilGone(receive):
            counted = await self._engine.count_tokens(
                decoded.body, decoded.resolved.model, decoded.terms, client=exchange.client
            )
        headers = [*warning_headers(decoded.notices), *rate_headers(self._engine)]
        await json_reply(200, msgspec.json.encode(counted), headers).send(exchange.send)
