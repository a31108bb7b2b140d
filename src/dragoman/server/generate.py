"""Endpoints that generate: decode the request, admit it, execute its runs, encode the response, send it."""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Generic, Protocol, Self, TypeAlias, TypeVar

from starlette.types import Receive

from dragoman.core.errors import Forbidden, NotFound
from dragoman.core.messages import RequestOptions
from dragoman.core.trace_context import TraceContext
from dragoman.core.value_object import replace
from dragoman.dialects.base import DecodedRequest, Dialect
from dragoman.dialects.shared.validation import MIN_COUNTED_BYTES, check_value_count, with_model
from dragoman.runs.engine import Engine
from dragoman.runs.run import Run
from dragoman.server.body_budget import LARGE_BODY
from dragoman.server.cached import look_up, missing_choices, start_cached
from dragoman.server.catalog import LiveCatalog
from dragoman.server.collect import RequestT, RunGroup, collect
from dragoman.server.context import RawHeaders, RequestContext
from dragoman.server.disconnect import ClientDisconnected, cancel_on_disconnect, read_body
from dragoman.server.endpoint import Endpoint
from dragoman.server.options import ServerOptions
from dragoman.server.payload_log import log_answers, log_decoded, log_request
from dragoman.server.replies import cache_headers, json_reply, rate_headers, run_headers, warning_codes
from dragoman.server.stream import EventSource, RunEvents, StreamedResponse

_RequestT_contra = TypeVar("_RequestT_contra", bound=DecodedRequest, contravariant=True)

PrepareDecode: TypeAlias = Callable[[RequestContext, bytes], Awaitable[Callable[[], RequestT]]]
"""Looks up what decoding a body needs, and returns the function that decodes it."""


class RequestReader(Generic[RequestT]):
    """Reads and decodes the requests of one endpoint.

    Args:
        dialect: The dialect of the endpoint.
        catalog: The models.
        options: The server's options.
        prepare: What to do before a body is decoded, for a dialect that needs more than the body.
    """

    def __init__(
        self,
        dialect: Dialect[RequestT],
        catalog: LiveCatalog,
        options: ServerOptions,
        prepare: PrepareDecode[RequestT] | None = None,
    ) -> None:
        self._dialect = dialect
        self._catalog = catalog
        self._options = options
        self._prepare = prepare

    async def read(self, context: RequestContext, receive: Receive) -> RequestT:
        """Read a request and decode it.

        Raises:
            GatewayError: The request is invalid, or this client may not send it.
            ClientDisconnected: The client disconnected before the end of the body.
        """
        bodies = self._options.bodies
        raw = await read_body(context, receive, self._options.max_request_bytes, bodies)
        sent = raw
        if model := context.deployment:
            raw = await bodies.run(len(raw), partial(with_model, raw, model))
        if self._options.log_payloads:
            log_request(context, raw)
        request = await self._decode(context, raw)
        if self._options.turns is not None or _is_background(request):
            context.body = sent
        del sent
        if not self._options.book.may_use_model(context.client, request.resolved.model.id):
            raise Forbidden(
                f"The key `{context.client}` may not use the model `{request.resolved.model.id}`.",
                code="model_not_allowed",
                param="model",
            )
        if request.request_options.agent and not context.may_start_agents:
            raise Forbidden(
                "This key may not start agents (--agents, or `agents` of the key).",
                code="agents_not_allowed",
                param="claude",
            )
        context.warnings, context.model = request.warnings, request.resolved.model.id
        context.log_fields = {
            "model": request.resolved.requested_name,
            "stream": request.stream,
            "choices": request.choices,
            "messages": len(request.body["messages"]),
            "warnings": warning_codes(request.warnings),
        }
        if self._options.log_payloads:
            log_decoded(context, request)
        return request

    async def _decode(self, context: RequestContext, raw: bytes) -> RequestT:
        is_large = len(raw) > LARGE_BODY
        if len(raw) >= MIN_COUNTED_BYTES:
            await self._options.bodies.run(len(raw), partial(check_value_count, raw))
        if self._prepare is not None:
            decode = await self._prepare(context, raw)
        else:
            dialect = self._dialect

            def decode() -> RequestT:
                return dialect.decode(raw, context.headers)

        try:
            return await self._options.bodies.run(len(raw), decode) if is_large else decode()
        except NotFound:
            # The model may be so new that only the provider's list has it.
            if not await self._catalog.refresh():
                raise
            return await self._options.bodies.run(len(raw), decode)


def _is_background(request: DecodedRequest) -> bool:
    return request.storage is not None and request.storage.background


class Execution(Protocol):
    """The execution of one request. As a context manager it owns its runs, and ends them with the request."""

    @property
    def runs(self) -> Sequence[Run]:
        """Return the current run of each choice."""
        ...

    async def start(self) -> None:
        """Start the runs.

        Raises:
            GatewayError: They are not admitted; then none was started.
        """
        ...

    def events(self) -> EventSource:
        """Return the events of the streamed response."""
        ...

    async def body(self) -> bytes:
        """Return the plain response, encoded.

        Raises:
            GatewayError: A run failed, or a response is invalid.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class DirectExecution(Generic[RequestT]):
    """The execution of a request whose response is not stored. See `Execution`."""

    def __init__(self, dialect: Dialect[RequestT], context: RequestContext, request: RequestT, group: RunGroup) -> None:
        self._dialect = dialect
        self._context = context
        self._request = request
        self._group = group

    @property
    def runs(self) -> Sequence[Run]:
        """See `Execution.runs`."""
        return self._group.runs

    async def start(self) -> None:
        """See `Execution.start`."""
        self._context.runs = self._group.all_runs
        await self._group.start(self._request.choices)

    def events(self) -> EventSource:
        """See `Execution.events`."""
        return RunEvents(self._group, self._dialect.encode_stream(self._request, self._group.identity))

    async def body(self) -> bytes:
        """See `Execution.body`."""
        collected = await collect(self._dialect, self._request, self._group)
        self._context.warnings += collected.warnings
        return collected.body

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        gone = isinstance(error, ClientDisconnected)
        await self._group.cancel(self._context.disconnect_reason if gone else "request over")


class ExecutionStorage(Protocol[_RequestT_contra]):
    """Makes executions whose responses are stored."""

    def execution(self, context: RequestContext, request: _RequestT_contra, group: RunGroup) -> Execution | None:
        """Return the execution of a request; None when its response is not stored."""
        ...


class GenerateHandler(Endpoint, Generic[RequestT]):
    """The endpoint that generates responses in one dialect.

    Args:
        dialect: The dialect.
        engine: Executes runs.
        reader: Reads and decodes requests.
        options: The server's options.
        storage: Stores responses; None: this endpoint stores none.
    """

    def __init__(
        self,
        dialect: Dialect[RequestT],
        engine: Engine,
        reader: RequestReader[RequestT],
        options: ServerOptions,
        storage: ExecutionStorage[RequestT] | None = None,
    ) -> None:
        super().__init__(dialect.encode_error)
        self._dialect = dialect
        self._engine = engine
        self._reader = reader
        self._options = options
        self._storage = storage

    async def handle(self, context: RequestContext, receive: Receive) -> None:
        """Decode, admit, execute, encode, respond. See `Endpoint.handle`."""
        request = await self._reader.read(context, receive)
        turns = self._options.turns if context.identity is None else None
        if turns is not None and await turns.forward(context, receive, request, context.body):
            return
        if not _is_background(request):
            context.body = b""
        try:
            async with self._execution(context, request) as execution, cancel_on_disconnect(receive):
                await self._admit(context, request, execution)
                response = execution.events() if request.stream else await execution.body()
                await self._respond(context, execution, response)
        finally:
            if self._options.log_payloads:
                log_answers(context)

    def _execution(self, context: RequestContext, request: RequestT) -> Execution:
        model, request_options = request.resolved.model, self._with_warnings(request.request_options)
        if context.reservation is not None:
            request_options = replace(request_options, large=True)
        trace = TraceContext.of(context.headers.get(b"traceparent"))
        if trace is None and self._options.traces:
            trace = TraceContext.new()
        if trace is not None:
            context.log_fields["trace"] = trace.id
            request_options = replace(request_options, trace=trace)

        async def start_runs(choices: Iterable[int]) -> list[Run]:
            bodies = {choice: request.body_for(choice) for choice in choices}
            while True:
                missing = missing_choices(context, bodies)
                admitted = await self._engine.reserve(
                    [bodies[choice] for choice in missing],
                    model,
                    client=context.client,
                    request_options=request_options,
                )
                if set(missing_choices(context, bodies)) <= set(missing):
                    break
                self._engine.release(admitted.holds)  # a run that this request would have joined has failed meanwhile
            context.warnings += admitted.warnings
            reserved = dict(zip(missing, zip(admitted.bodies, admitted.holds, strict=True), strict=True))

            def submit(needed: Iterable[int]) -> list[Run]:
                taken = [reserved.pop(choice) for choice in needed]
                runs = self._engine.submit_all(
                    [body for body, _ in taken],
                    model,
                    client=context.client,
                    request_options=admitted.options,
                    holds=[hold for _, hold in taken],
                )
                for run in runs:
                    run.set_origin(context.id, context.path, request.warnings + admitted.warnings)
                return runs

            try:
                return start_cached(context, bodies, submit) if self._options.cache else submit(bodies)
            finally:
                self._engine.release([hold for _, hold in reserved.values()])

        group = RunGroup(start_runs, trace=self._options.trace)
        if self._storage and (stored := self._storage.execution(context, request, group)):
            return stored
        return DirectExecution(self._dialect, context, request, group)

    def _with_warnings(self, request_options: RequestOptions) -> RequestOptions:
        """Return the options of a request whose response shows its warnings, if the operator wants that."""
        if not self._options.warnings_in_text:
            return request_options
        return replace(request_options, shaping=replace(request_options.shaping, warnings_in_text=True))

    async def _admit(self, context: RequestContext, request: RequestT, execution: Execution) -> None:
        """Fetch the media that the request names, and start its runs."""
        if request.media:
            await self._engine.check(request.choices, request.resolved.model, client=context.client)
            started = time.perf_counter()
            try:
                await self._options.fetch_media(request.media)
            finally:
                context.stages["fetch"] = time.perf_counter() - started
        if self._options.cache:
            await look_up(self._options.cache, context, request, self._with_warnings(request.request_options))
        await execution.start()

    def _respond(self, context: RequestContext, execution: Execution, response: EventSource | bytes) -> Awaitable[None]:
        def headers() -> RawHeaders:
            return [
                *run_headers(context, execution.runs),
                *rate_headers(self._engine, context),
                *cache_headers(self._engine, context, execution.runs),
            ]

        if isinstance(response, bytes):
            context.log_fields["warnings"] = warning_codes(context.warnings)
            return json_reply(200, response, headers()).send(context.send)
        return StreamedResponse(context, response, self._options.heartbeat, headers).send()

    def error_headers(self, context: RequestContext) -> RawHeaders:
        """See `Endpoint.error_headers`."""
        return [*run_headers(context, context.runs), *rate_headers(self._engine, context)]
