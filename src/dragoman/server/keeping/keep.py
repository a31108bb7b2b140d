"""Questions whose answers are kept."""

from functools import partial

from starlette.types import Receive

from dragoman.runs import Engine
from dragoman.server.answering.choices import Choices
from dragoman.server.catalog import LiveCatalog
from dragoman.server.chat import Complete, short
from dragoman.server.disconnect import ClientGone, UntilGone
from dragoman.server.exchange import Exchange
from dragoman.server.keeping.following import Following
from dragoman.server.keeping.job import Job, Order
from dragoman.server.keeping.keeper import Hands, Keeper
from dragoman.server.keeping.shelf import Shelf
from dragoman.server.options import Options
from dragoman.server.payloads import log_answers
from dragoman.server.replies import json_reply
from dragoman.wire.base import Decoded, Identity, Keeping, KeepingCodec


class KeepingComplete(Complete):
    """An ASGI endpoint that answers questions in one dialect, and keeps those answers that are to be kept.

    Args:
        codec: The dialect.
        engine: Runs them.
        catalog: The models.
        options: The server's part of the settings.
    """

    def __init__(self, codec: KeepingCodec, engine: Engine, catalog: LiveCatalog, options: Options) -> None:
        super().__init__(codec, engine, catalog, options)
        self._keeping_codec = codec
        self._shelf = options.shelf

    async def _serve(self, exchange: Exchange, receive: Receive, decoded: Decoded) -> None:
        shelf, keeping = self._shelf, decoded.keeping
        if shelf is None or keeping is None:
            await super()._serve(exchange, receive, decoded)
            return
        job: Job | None = None
        try:
            async with UntilGone(receive):
                if decoded.media:
                    await self._fill(exchange, decoded)
                job = await self._begin(exchange, decoded, keeping, shelf)
                await self._show(exchange, decoded, keeping, job)
        except ClientGone:
            if job is not None and keeping.asked:
                exchange.runs = ()  # they are counted when they end
                await job.outlive()
            raise
        finally:
            if job is not None and not job.lasting:
                await job.cancel()
            if self._options.payloads:
                log_answers(exchange)

    async def _begin(self, exchange: Exchange, decoded: Decoded, keeping: Keeping, shelf: Shelf) -> Job:
        submit = self._submission(exchange, decoded)
        choices = Choices(trace=self._options.trace)
        for run in submit(range(decoded.choices)):
            choices.add(run)
        first = choices.runs[0]
        identity, hands = Identity(first.id, first.created), Hands(exchange.client, shelf.jobs.holder)
        keeper = Keeper(shelf.archive, self._keeping_codec.documents, decoded, identity, hands)
        try:
            if keeping.background:
                await keeper.begin()
            else:
                exchange.runs = choices.every
        except BaseException:
            await choices.cancel("cannot be kept")
            raise
        job = Job(Order(self._keeping_codec, decoded, submit), choices, keeper, lasting=keeping.background)
        shelf.jobs.start(job)
        return job

    async def _show(self, exchange: Exchange, decoded: Decoded, keeping: Keeping, job: Job) -> None:
        if decoded.stream:
            exchange.notices = job.notices
            headers = partial(self._headers, exchange, job.choices.runs)
            await Following(exchange, self._options.heartbeat, headers).job(job)
            return
        body = self._keeping_codec.documents.shown(job.begun) if keeping.background and job.begun else await job.made()
        exchange.notices = job.notices
        exchange.asked["warnings"] = short(exchange.notices)
        await json_reply(200, body, self._headers(exchange, job.choices.runs)).send(exchange.send)
