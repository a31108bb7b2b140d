"""Requests that go on from a kept response."""

from starlette.types import Receive

from dragoman.errors import InvalidRequest
from dragoman.runs import Engine
from dragoman.server.catalog import LiveCatalog
from dragoman.server.disconnect import UntilGone
from dragoman.server.exchange import Exchange
from dragoman.server.headers import rate_headers, warning_headers
from dragoman.server.keeping.keep import KeepingComplete
from dragoman.server.keeping.shelf import Shelf
from dragoman.server.options import Options
from dragoman.server.replies import json_reply
from dragoman.wire.base import Decoded
from dragoman.wire.openai_responses import Counted, OpenAIResponses, Past, named


class Respond(KeepingComplete):
    """An ASGI endpoint of `/v1/responses`.

    Args:
        codec: The dialect.
        engine: Runs them.
        catalog: The models.
        options: The server's part of the settings.
    """

    def __init__(self, codec: OpenAIResponses, engine: Engine, catalog: LiveCatalog, options: Options) -> None:
        super().__init__(codec, engine, catalog, options)
        self._responses = codec

    async def _decode(self, raw: bytes, exchange: Exchange) -> Decoded:
        previous = named(raw) if self._shelf else None
        if self._shelf is None or previous is None:
            return await super()._decode(raw, exchange)
        past = await self._past(self._shelf, exchange.client, previous)
        return await self._known(lambda: self._responses.decode_after(raw, past))

    async def _past(self, shelf: Shelf, owner: str, id_: str) -> Past:
        documents = self._responses.documents
        await shelf.entry(owner, id_, documents)  # one that was abandoned is found to have failed
        chain = await shelf.archive.chain(owner, id_)
        if not chain or chain[0].parent is not None or chain[-1].kind != documents.kind:
            raise InvalidRequest(
                f"There is no response `{id_[:80]}` to go on from, or not all of its conversation is kept any more. "
                "Send the earlier items in `input`.",
                code="previous_response_not_found",
                param="previous_response_id",
            )
        return documents.past([entry.body for entry in chain])


class CountInput(Respond):
    """An ASGI endpoint that reads a request for a response, and has its prompt counted instead.

    Args:
        codec: The dialect.
        engine: Has it counted.
        catalog: The models.
        options: The server's part of the settings.
    """

    def __init__(self, codec: Counted, engine: Engine, catalog: LiveCatalog, options: Options) -> None:
        super().__init__(codec, engine, catalog, options)
        self._counting = codec

    async def _serve(self, exchange: Exchange, receive: Receive, decoded: Decoded) -> None:
        async with UntilGone(receive):
            await self._options.fill_media(decoded.media)
            counted = await self._engine.count_tokens(
                decoded.body, decoded.resolved.model, decoded.terms, client=exchange.client
            )
        headers = [*warning_headers(decoded.notices), *rate_headers(self._engine)]
        body = self._counting.counted(counted.get("input_tokens"))
        await json_reply(200, body, headers).send(exchange.send)
