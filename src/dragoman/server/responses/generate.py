"""Questions whose answers are kept.

Requests that go on from a kept response.
"""

from functools import partial

from starlette.types import Receive

from dragoman.core.errors import InvalidRequest
from dragoman.dialects.base import Request, ResponseIdentity, StorageOptions, StoringDialect
from dragoman.dialects.responses.continuation import History, previous_response_id
from dragoman.dialects.responses.dialect import InputTokensDialect, ResponsesDialect
from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.runs.engine import Engine
from dragoman.server.catalog import LiveCatalog
from dragoman.server.collect import RunGroup
from dragoman.server.context import RequestContext
from dragoman.server.disconnect import CancelOnDisconnect, ClientGone
from dragoman.server.generate import GenerateHandler, short
from dragoman.server.options import ServerOptions
from dragoman.server.payload_log import log_answers
from dragoman.server.replies import json_reply, rate_headers, warning_headers
from dragoman.server.responses.follow import StreamFollower
from dragoman.server.responses.job import Job, JobSpec
from dragoman.server.responses.shelf import StoredResponseService
from dragoman.server.responses.store import Lease, ResponseWriter


class StoringHandler(GenerateHandler[Request]):
    """An ASGI endpoint that answers questions in one dialect, and keeps those answers that are to be kept.

    Args:
        dialect: The dialect.
        engine: Runs them.
        catalog: The models.
        options: The server's part of the settings.
    """

    def __init__(
        self, dialect: StoringDialect[Request], engine: Engine, catalog: LiveCatalog, options: ServerOptions
    ) -> None:
        super().__init__(dialect, engine, catalog, options)
        self._keeping_codec = dialect
        self._shelf = options.shelf

    async def _serve(self, context: RequestContext, receive: Receive, decoded: Request) -> None:
        shelf, keeping = self._shelf, decoded.storage
        if shelf is None or keeping is None:
            await super()._serve(context, receive, decoded)
            return
        job: Job[Request] | None = None
        try:
            async with CancelOnDisconnect(receive):
                if decoded.media:
                    await self._fill(context, decoded)
                job = await self._begin(context, decoded, keeping, shelf)
                await self._show(context, decoded, keeping, job)
        except ClientGone:
            if job is not None and keeping.requested:
                context.runs = ()  # they are counted when they end
                await job.outlive()
            raise
        finally:
            if job is not None and not job.lasting:
                await job.cancel()
            if self._options.payloads:
                log_answers(context)

    async def _begin(
        self, context: RequestContext, decoded: Request, keeping: StorageOptions, shelf: StoredResponseService
    ) -> Job[Request]:
        submit = self._submission(context, decoded)
        choices = RunGroup(trace=self._options.trace)
        for run in submit(range(decoded.choices)):
            choices.add(run)
        first = choices.runs[0]
        identity, hands = ResponseIdentity(first.id, first.created), Lease(context.client, shelf.jobs.holder)
        keeper = ResponseWriter(shelf.archive, self._keeping_codec.stored_format, decoded, identity, hands)
        try:
            if keeping.background:
                await keeper.begin()
            else:
                context.runs = choices.every
        except BaseException:
            await choices.cancel("cannot be kept")
            raise
        job = Job(JobSpec(self._keeping_codec, decoded, submit), choices, keeper, lasting=keeping.background)
        shelf.jobs.start(job)
        return job

    async def _show(
        self, context: RequestContext, decoded: Request, keeping: StorageOptions, job: Job[Request]
    ) -> None:
        if decoded.stream:
            context.warnings = job.warnings
            headers = partial(self._headers, context, job.choices.runs)
            await StreamFollower(context, self._options.heartbeat, headers).job(job)
            return
        body = (
            self._keeping_codec.stored_format.view(job.begun) if keeping.background and job.begun else await job.made()
        )
        context.warnings = job.warnings
        context.asked["warnings"] = short(context.warnings)
        await json_reply(200, body, self._headers(context, job.choices.runs)).send(context.send)


class ResponsesHandler(StoringHandler[ResponsesRequest]):
    """An ASGI endpoint of `/v1/responses`.

    Args:
        dialect: The dialect.
        engine: Runs them.
        catalog: The models.
        options: The server's part of the settings.
    """

    def __init__(self, dialect: ResponsesDialect, engine: Engine, catalog: LiveCatalog, options: ServerOptions) -> None:
        super().__init__(dialect, engine, catalog, options)
        self._responses = dialect

    async def _decode(self, raw: bytes, context: RequestContext) -> ResponsesRequest:
        previous = previous_response_id(raw) if self._shelf else None
        if self._shelf is None or previous is None:
            return await super()._decode(raw, context)
        past = await self._past(self._shelf, context.client, previous)
        return await self._known(lambda: self._responses.decode_continuation(raw, past))

    async def _past(self, shelf: StoredResponseService, owner: str, id_: str) -> History:
        documents = self._responses.stored_format
        await shelf.entry(owner, id_, documents)  # one that was abandoned is found to have failed
        chain = await shelf.archive.chain(owner, id_)
        if not chain or chain[0].parent is not None or chain[-1].kind != documents.kind:
            raise InvalidRequest(
                f"There is no response `{id_[:80]}` to go on from, or not all of its conversation is kept any more. "
                "Send the earlier items in `input`.",
                code="previous_response_not_found",
                param="previous_response_id",
            )
        return documents.history([entry.body for entry in chain])


class InputTokensHandler(ResponsesHandler):
    """An ASGI endpoint that reads a request for a response, and has its prompt counted instead.

    Args:
        dialect: The dialect.
        engine: Has it counted.
        catalog: The models.
        options: The server's part of the settings.
    """

    def __init__(
        self, dialect: InputTokensDialect, engine: Engine, catalog: LiveCatalog, options: ServerOptions
    ) -> None:
        super().__init__(dialect, engine, catalog, options)
        self._counting = dialect

    async def _serve(self, context: RequestContext, receive: Receive, decoded: ResponsesRequest) -> None:
        async with CancelOnDisconnect(receive):
            await self._options.fetch_media(decoded.media)
            counted = await self._engine.count_tokens(
                decoded.body, decoded.resolved.model, decoded.request_options, client=context.client
            )
        headers = [*warning_headers(decoded.warnings), *rate_headers(self._engine)]
        body = self._counting.encode_count(counted.get("input_tokens"))
        await json_reply(200, body, headers).send(context.send)
