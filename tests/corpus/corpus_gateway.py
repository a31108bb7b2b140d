"""A gateway that all cases of one backend share, in front of a simulator, and what it answers."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx
from corpus_cases import CorpusRequest
from corpus_streams import collect_stream

from dragoman.config.loading import load
from dragoman.core.messages import JSON, JSONObject
from dragoman.server.http_server import Server, listen
from dragoman.simulator.server import Simulator
from dragoman.wiring.gateway import build

_TIMEOUT = 300
_SETTINGS: Mapping[str, Mapping[str, object]] = {
    # One live process: the conversation of one case cannot be continued by another case.
    "runtime": {"backend": "runtime", "spares": 0, "max_live": 1},
    "api": {"backend": "api"},
}
_EARLIER_VALUE = re.compile(r"\$before\[(?P<index>\d+)\](?P<path>(?:\.\w+|\[\d+\])*)")


@dataclass(frozen=True)
class Reply:
    """What the client got.

    Attributes:
        status: The HTTP status.
        headers: The headers, by lower-case name.
        body: The JSON body, or the body that a stream amounts to.
    """

    status: int
    headers: Mapping[str, str]
    body: JSON

    @property
    def warnings(self) -> list[str]:
        """The warnings of the header, as `code:param`."""
        return [f"{one['code']}:{one['param']}" for one in json.loads(self.headers.get("x-dragoman-warnings", "[]"))]

    @property
    def path(self) -> str | None:
        """The kind of process that served the request."""
        return self.headers.get("x-dragoman-path")


@dataclass(frozen=True)
class CorpusGateway:
    """A listening gateway."""

    backend: str
    http: httpx.AsyncClient
    simulator: Simulator

    async def send(self, request: CorpusRequest, model: str, *, stream: bool = False) -> Reply:
        """Send a request, and read the response to its end."""
        headers = {"content-type": "application/json", **request.headers}
        response = await self.http.post(request.path, content=_content(request, model, stream=stream), headers=headers)
        is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        if is_stream:
            body: JSON = collect_stream(request.path, response.content.decode())
        else:
            body = cast("JSON", json.loads(response.content or b"null"))
        return Reply(response.status_code, response.headers, body)


@asynccontextmanager
async def corpus_gateway(backend: str, folder: Path) -> AsyncIterator[CorpusGateway]:
    """Serve on a free port, with one of the backends."""
    async with Simulator() as simulator:
        upstream = {"anthropic_api_key": "sk-ant-dummy", "anthropic_base_url": simulator.url}
        common = {"port": 0, "log_level": "off", "state_dir": folder / "state"}
        settings = load({**upstream, **common, **_SETTINGS[backend]}, env_file=None)
        sock = listen(settings.host, 0)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        async with build(settings) as built:
            server = Server(built.app, built, 5.0)
            serving = asyncio.create_task(server.serve([sock]))
            async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT) as http:
                try:
                    yield CorpusGateway(backend, http, simulator)
                finally:
                    server.stop()
                    await serving


def with_earlier_values(request: CorpusRequest, replies: list[Reply]) -> CorpusRequest:
    """Return a request in which `$before[0].id` is replaced by the `id` in the first reply."""
    text = json.dumps([request.path, request.body])

    def value_of(match: re.Match[str]) -> str:
        value: object = replies[int(match["index"])].body
        for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", match["path"]):
            value = cast("JSONObject", value)[name] if name else cast("list[JSON]", value)[int(index)]
        return json.dumps(value)[1:-1] if isinstance(value, str) else json.dumps(value)

    path, body = json.loads(_EARLIER_VALUE.sub(value_of, text))
    return CorpusRequest(path, body, request.raw, request.headers, request.streams)


def _content(request: CorpusRequest, model: str, *, stream: bool) -> bytes:
    if request.raw is not None:
        return request.raw.replace("MODEL", model).encode(errors="surrogatepass")
    body = {"model": model, **(request.body or {})}
    # Escaped, so that half a character arrives as the case wrote it.
    return json.dumps({**body, "stream": True} if stream else body).encode()
