"""Bedrock and Vertex as a client sees them, with the simulator's responses and dummy credentials."""

import asyncio
import hashlib
import hmac
import json
from base64 import b64encode
from binascii import crc32
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

import httpx
import pytest
from api_harness import raw_server, read_request
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dragoman.backends.anthropic.clouds.backend import CloudBackend, CloudOptions
from dragoman.backends.anthropic.options import AnthropicOptions
from dragoman.core.messages import JSONObject
from dragoman.simulator.server import Simulator

ACCESS, SECRET, REGION = "AKIADUMMYDUMMYDUMMY1", "dummy/secret+key", "us-east-1"
_HEADERS = {"x-api-key": "sk-ant-dummy", "anthropic-version": "2023-06-01"}


@dataclass
class CloudRequest:
    """A request that the cloud received."""

    method: str
    target: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> JSONObject:
        """The JSON body."""
        result: JSONObject = json.loads(self.raw)
        return result


@dataclass
class Cloud:
    """A cloud.

    Attributes:
        url: Its URL.
        received: The requests for messages.
        failures: Responses that are sent first: status, headers and body.
        piece_size: The number of bytes written at once.
        tokens: The number of tokens that it issued.
    """

    simulator: Simulator
    url: str = ""
    received: list[CloudRequest] = field(default_factory=list)
    failures: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    piece_size: int = 1 << 20
    tokens: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve requests until the client disconnects."""
        async with httpx.AsyncClient(base_url=self.simulator.url, headers=_HEADERS, timeout=300) as http:
            while True:
                status, headers, body = await self.answer(_parsed(await read_request(reader)), http)
                head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                writer.write(f"HTTP/1.1 {status} Status\r\n{head}content-length: {len(body)}\r\n\r\n".encode())
                for start in range(0, len(body), self.piece_size):
                    writer.write(body[start : start + self.piece_size])
                    await writer.drain()

    async def answer(self, request: CloudRequest, http: httpx.AsyncClient) -> tuple[int, dict[str, str], bytes]:
        """Return the response to a request."""
        raise NotImplementedError

    def record(self, request: CloudRequest) -> tuple[int, dict[str, str], bytes] | None:
        """Remember a request, and return the failure that replaces its response, if there is one."""
        self.received.append(request)
        return self.failures.pop(0) if self.failures else None


class BedrockCloud(Cloud):
    """InvokeModelWithResponseStream: requests are signed, and responses are binary frames."""

    async def answer(self, request: CloudRequest, http: httpx.AsyncClient) -> tuple[int, dict[str, str], bytes]:
        """Return the simulator's stream in frames, or its error in AWS's form."""
        assert request.headers["authorization"] == signature(request)
        if failure := self.record(request):
            return failure
        _, _, model, what = request.target.split("/")
        assert what == "invoke-with-response-stream"
        own = {"anthropic_version", "anthropic_beta"}
        body = {key: value for key, value in request.body.items() if key not in own}
        name = unquote(model).removeprefix("global.anthropic.").removesuffix("-v1:0").removesuffix("-v1")
        answer = await http.post("/v1/messages", json={**body, "model": name, "stream": True})
        if answer.status_code != 200:
            text = json.dumps({"message": answer.json()["error"]["message"]}).encode()
            return answer.status_code, {"content-type": "application/json"}, text
        events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
        kind = {"content-type": "application/vnd.amazon.eventstream"}
        return 200, kind, b"".join(chunk(event.encode()) for event in events)


class VertexCloud(Cloud):
    """streamRawPredict and count-tokens, with tokens that it issues itself."""

    async def answer(self, request: CloudRequest, http: httpx.AsyncClient) -> tuple[int, dict[str, str], bytes]:
        """Return the simulator's own stream, or its error in Google's form."""
        kind = {"content-type": "application/json"}
        if request.target == "/token":
            self.tokens += 1
            token = {"access_token": f"dummy-token-{self.tokens}", "expires_in": 3600, "token_type": "Bearer"}
            return 200, kind, json.dumps(token).encode()
        if failure := self.record(request):
            return failure
        assert request.headers["authorization"] == f"Bearer dummy-token-{self.tokens}"
        location, _, what = request.target.partition("/publishers/anthropic/models/")
        assert location == "/v1/projects/dummy-project/locations/us-east5"
        body = {key: value for key, value in request.body.items() if key != "anthropic_version"}
        if what == "count-tokens:rawPredict":
            answer = await http.post("/v1/messages/count_tokens", json={**body, "model": _plain(str(body["model"]))})
            return answer.status_code, kind, answer.content
        model, _, verb = what.rpartition(":")
        assert verb == "streamRawPredict"
        answer = await http.post("/v1/messages", json={**body, "model": _plain(model)})
        if answer.status_code != 200:
            error = {"code": answer.status_code, "message": answer.json()["error"]["message"], "status": "CONTENT"}
            return answer.status_code, kind, json.dumps([{"error": error}]).encode()
        return 200, {"content-type": "text/event-stream; charset=utf-8"}, answer.content


@asynccontextmanager
async def bedrock(
    monkeypatch: pytest.MonkeyPatch, folder: Path, **options: object
) -> AsyncIterator[tuple[CloudBackend, BedrockCloud]]:
    """A backend in front of a Bedrock."""
    aws_environment(monkeypatch, folder)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    async with Simulator() as simulator:
        cloud = BedrockCloud(simulator)
        async with raw_server(cloud.serve) as cloud.url:
            cloud_options = CloudOptions(kind="bedrock", region=REGION, **options)  # type: ignore[arg-type]
            async with _backend(cloud.url, cloud_options) as backend:
                yield backend, cloud


@asynccontextmanager
async def vertex(
    monkeypatch: pytest.MonkeyPatch, folder: Path, **options: object
) -> AsyncIterator[tuple[CloudBackend, VertexCloud]]:
    """A backend in front of a Vertex, with a new service account."""
    async with Simulator() as simulator:
        cloud = VertexCloud(simulator)
        async with raw_server(cloud.serve) as cloud.url:
            (folder / "account.json").write_text(json.dumps(_service_account(cloud.url)), encoding="utf-8")
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "account.json"))
            monkeypatch.setenv("CLOUD_ML_REGION", "us-east5")
            monkeypatch.delenv("ANTHROPIC_VERTEX_PROJECT_ID", raising=False)
            async with _backend(f"{cloud.url}/v1", CloudOptions(kind="vertex", **options)) as backend:  # type: ignore[arg-type]
                yield backend, cloud


def aws_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Remove this machine's AWS credentials, and the search for others."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_DEFAULT_REGION", "AWS_BEARER_TOKEN_BEDROCK", "ANTHROPIC_BEDROCK_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "no-credentials"))


def signature(request: CloudRequest) -> str:
    """Return the `authorization` that AWS expects: Signature Version 4, from its documentation."""
    stamp = request.headers["x-amz-date"]
    scope = f"{stamp[:8]}/{REGION}/bedrock/aws4_request"
    names = request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    lines = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in names.split(";"))
    hashed = hashlib.sha256(request.raw).hexdigest()
    canonical = f"{request.method}\n{quote(request.target, safe='/-_.~')}\n\n{lines}\n{names}\n{hashed}"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    result = hmac.new(key, text.encode(), "sha256").hexdigest()
    return f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders={names}, Signature={result}"


def chunk(event: bytes) -> bytes:
    """Return a frame with an event."""
    payload = json.dumps({"bytes": b64encode(event).decode(), "p": "abc"}).encode()
    headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, payload)


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Return a frame with its checksums."""
    head = b"".join(
        len(name).to_bytes() + name.encode() + b"\x07" + len(value).to_bytes(2) + value.encode()
        for name, value in headers.items()
    )
    prelude = (16 + len(head) + len(payload)).to_bytes(4) + len(head).to_bytes(4)
    prelude += crc32(prelude).to_bytes(4)
    content = prelude + head + payload
    return content + crc32(content).to_bytes(4)


@asynccontextmanager
async def _backend(base_url: str, cloud_options: CloudOptions) -> AsyncIterator[CloudBackend]:
    backend = CloudBackend(AnthropicOptions(base_url=base_url, retries=1, backoff=0.0), cloud_options)
    await backend.start()
    try:
        yield backend
    finally:
        await backend.aclose()


def _parsed(request: bytes) -> CloudRequest:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.split(": ", 1) for line in lines)
    return CloudRequest(method, target, {name.lower(): value for name, value in pairs}, body)


def _plain(model: str) -> str:
    return unquote(model).replace("@", "-")


def _service_account(url: str) -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "type": "service_account",
        "project_id": "dummy-project",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "user@dummy-project.example",
        "token_uri": f"{url}/token",
    }
