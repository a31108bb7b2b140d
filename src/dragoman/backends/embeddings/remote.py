"""An `Embedder` that calls a remote endpoint: any that is OpenAI-compatible, or Voyage's."""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.metadata import version

from yarl import URL

from dragoman.backends.base import Embedded
from dragoman.backends.embeddings.remote_api import Batch, batch_of, refusal, request_body
from dragoman.core.errors import ShuttingDown, TimedOut, UnsupportedFeature, UpstreamFailed
from dragoman.http.client import HttpClient, Timeouts
from dragoman.http.errors import ConnectFailed, TransportError

_VOYAGE = "voyageai.com"
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
_PARALLEL = 4
_MAX_RESPONSE_BYTES = 128 * 2**20
"""No batch of vectors is larger."""

_NO_TIMEOUTS = Timeouts(connect=None, head=None, silence=None)
"""`RemoteOptions.timeout` limits the whole request."""


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """The endpoint, and how it is called.

    Attributes:
        url: The base URL (`https://api.openai.com/v1`), with or without `/embeddings` at its end.
        model: The model of the endpoint. Clients see the same name.
        key: Sent as a bearer token.
        batch: The maximum number of inputs of one call.
        truncate: Whether the endpoint may truncate inputs that are too long, if it has a switch for that.
        timeout: Seconds for a request.
        voyage: Whether it speaks Voyage's dialect. None: if the host is Voyage's.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    batch: int = 64
    truncate: bool = False
    timeout: float = 120.0
    voyage: bool | None = None


class RemoteEmbedder:
    """The `Embedder` of a remote endpoint. It connects at the first request.

    Args:
        options: The endpoint, and how it is called.
    """

    def __init__(self, options: RemoteOptions) -> None:
        self.model = options.model
        self._options = options
        base = URL(options.url)
        self._url = base if base.path.rstrip("/").endswith("/embeddings") else base / "embeddings"
        host = base.host or ""
        self._voyage = host == _VOYAGE or host.endswith(f".{_VOYAGE}") if options.voyage is None else options.voyage
        self._client: HttpClient | None = None
        self._calls: set[asyncio.Task[Batch]] = set()
        self._closing = False

    async def embed(self, inputs: Sequence[str | list[int]]) -> Embedded:
        """Embed the inputs, one call for each batch. See `Embedder`."""
        if self._closing:
            raise ShuttingDown("The gateway is stopping.", retry_after=5)
        self._refuse_tokens(inputs)
        try:
            async with asyncio.timeout(self._options.timeout):
                batches = await self._embed_batches(inputs)
        except TimeoutError:
            seconds = f"{self._options.timeout:g}"
            raise TimedOut(
                f"The embeddings endpoint took longer than {seconds} seconds (--embeddings-timeout)."
            ) from None
        return _joined(batches)

    async def aclose(self, grace: float = 0) -> None:
        """See `Embedder`."""
        self._closing = True
        if self._calls:
            await asyncio.wait(set(self._calls), timeout=grace)
        for task in list(self._calls):
            task.cancel()
        if self._calls:
            await asyncio.wait(set(self._calls))
        if self._client:
            await self._client.aclose()

    async def _embed_batches(self, inputs: Sequence[str | list[int]]) -> list[Batch]:
        slots = asyncio.Semaphore(_PARALLEL)
        starts = range(0, len(inputs), self._options.batch)
        tasks = [
            asyncio.create_task(self._call(inputs[start : start + self._options.batch], slots)) for start in starts
        ]
        self._calls.update(tasks)
        try:
            return await asyncio.gather(*tasks)
        except asyncio.CancelledError:
            if self._closing:
                raise ShuttingDown("The gateway stopped before the vectors were ready.", retry_after=5) from None
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._calls.difference_update(tasks)

    async def _call(self, inputs: Sequence[str | list[int]], slots: asyncio.Semaphore) -> Batch:
        body = request_body(self.model, inputs, voyage=self._voyage, truncate=self._options.truncate)
        async with slots:
            try:
                response = await self._connected().send(b"POST", self._url.raw_path_qs.encode("ascii"), b"", body)
                try:
                    raw = await response.body(_MAX_RESPONSE_BYTES)
                finally:
                    await response.aclose()
            except ConnectFailed as error:
                raise UpstreamFailed(f"The embeddings endpoint cannot be reached: {error.reason}.") from None
            except TransportError as error:
                raise UpstreamFailed(f"The call of the embeddings endpoint failed: {error.reason}.") from None
        if response.status != HTTPStatus.OK:
            raise refusal(response.status, raw, response.headers.get("retry-after"), self._options.key)
        return batch_of(raw, len(inputs))

    def _connected(self) -> HttpClient:
        """Return the client. It is created at the first call, since the environment may name no usable proxy.

        Raises:
            ConnectFailed: The URL, or that of the proxy, cannot be used.
        """
        if self._client is None:
            lines = ["accept: application/json", "content-type: application/json"]
            lines.append(f"user-agent: dragoman/{version('dragoman')}")
            if self._options.key:
                lines.append(f"authorization: Bearer {self._options.key}")
            elif self._url.user is not None:
                pair = f"{self._url.user}:{self._url.password or ''}".encode()
                lines.append(f"authorization: Basic {base64.b64encode(pair).decode()}")
            self._client = HttpClient(
                str(self._url.origin()),
                "".join(f"{line}\r\n" for line in lines).encode("latin-1", "replace"),
                timeouts=_NO_TIMEOUTS,
                limit=2 * _PARALLEL,
                proxied=self._url.host not in _THIS_MACHINE,
            )
        return self._client

    def _refuse_tokens(self, inputs: Sequence[str | list[int]]) -> None:
        if not self._voyage:
            return
        for index, value in enumerate(inputs):
            if not isinstance(value, str):
                param = f"input[{index}]"
                raise UnsupportedFeature(f"`{param}`: Voyage takes text, and no lists of tokens.", param=param)


def _joined(batches: Sequence[Batch]) -> Embedded:
    vectors = [vector for batch in batches for vector in batch.vectors]
    if len({len(vector) for vector in vectors}) != 1:
        raise UpstreamFailed("The embeddings endpoint sent vectors of different sizes.")
    counts = [batch.tokens for batch in batches if batch.tokens is not None]
    return Embedded(vectors, sum(counts) if len(counts) == len(batches) else None)
