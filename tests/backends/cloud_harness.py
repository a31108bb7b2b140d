"""Bedrock and Vertex as far as a client sees them, in front of the simulator's answers, with dummy credentials."""

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

ACCESS, SECRET, REGION = "AKIADUMMYDUMMYDUMMY1", "dummy/secret+of/nobody", "us-east-1"
_HEADERS = {"x-api-key": "sk-ant-dummy", "anthropic-version": "2023-06-01"}


@dataclass
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> JSONObject:
        """Its JSON."""
        made: JSONObject = json.loads(self.raw)
        return made


@dataclass
class Cloud:
    """What a cloud was asked, and what it says instead of an answer.

    Attributes:
        url: Its address.
        asked: The requests for answers.
        instead: Responses that are given first: status, headers and body.
        pieces: Bytes written at once.
        tokens: How many tokens were handed out.
    """

    simulator: Simulator
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    instead: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    pieces: int = 1 << 20
    tokens: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the client goes."""
        async with httpx.AsyncClient(base_url=self.simulator.url, headers=_HEADERS, timeout=30) as http:
            while True:
                status, headers, body = await self.answer(_parsed(await read_request(reader)), http)
                head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                writer.write(f"HTTP/1.1 {status} Said\r\n{head}content-length: {len(body)}\r\n\r\n".encode())
                for start in range(0, len(body), self.pieces):
                    writer.write(body[start : start + self.pieces])
                    await writer.drain()

    async def answer(self, asked: Asked, http: httpx.AsyncClient) -> tuple[int, dict[str, str], bytes]:
        """What the cloud says."""
        raise NotImplementedError

    def record(self, asked: Asked) -> tuple[int, dict[str, str], bytes] | None:
        """Remember a request, and give what is said instead of an answer to it."""
        self.asked.append(asked)
        return self.instead.pop(0) if self.instead else None


class BedrockCloud(Cloud):
    """InvokeModelWithResponseStream: signed, and answered in binary frames."""

    async def answer(self, asked: Asked, http: httpx.AsyncClient) -> tuple[int, dict[str, str], bytes]:
        """A stream of the simulator's, framed; its errors in AWS's shape."""
        assert asked.headers["authorization"] == signature(asked)
        if instead := self.record(asked):
            return instead
        _, _, model, what = asked.target.split("/")
        assert what == "invoke-with-response-stream"
        own = {"anthropic_version", "anthropic_beta"}
        body = {key: value for key, value in asked.body.items() if key not in own}
        name = unquote(model).removeprefix("global.anthropic.").removesuffix("-v1:0").removesuffix("-v1")
        answer = await http.post("/v1/messages", json={**body, "model": name, "stream": True})
        if answer.status_code != 200:
            words = json.dumps({"message": answer.json()["error"]["message"]}).encode()
            return answer.status_code, {"content-type": "application/json"}, words
        events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
        kind = {"content-type": "application/vnd.amazon.eventstream"}
        return 200, kind, b"".join(chunk(event.encode()) for event in events)


class VertexCloud(Cloud):
    """streamRawPredict and count-tokens, behind tokens that it hands out itself."""

    async def answer(self, asked: Asked, http: httpx.AsyncClient) -> tuple[int, dict[str, str], bytes]:
        """The simulator's own stream; its errors in Google's shape."""
        kind = {"content-type": "application/json"}
        if asked.target == "/token":
            self.tokens += 1
            token = {"access_token": f"dummy-token-{self.tokens}", "expires_in": 3600, "token_type": "Bearer"}
            return 200, kind, json.dumps(token).encode()
        if instead := self.record(asked):
            return instead
        assert asked.headers["authorization"] == f"Bearer dummy-token-{self.tokens}"
        place, _, what = asked.target.partition("/publishers/anthropic/models/")
        assert place == "/v1/projects/dummy-project/locations/us-east5"
        body = {key: value for key, value in asked.body.items() if key != "anthropic_version"}
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
    """A backend before a Bedrock of its own."""
    aws_environment(monkeypatch, folder)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    async with Simulator() as simulator:
        cloud = BedrockCloud(simulator)
        async with raw_server(cloud.serve) as cloud.url:
            place = CloudOptions(kind="bedrock", region=REGION, **options)  # type: ignore[arg-type]
            async with _backend(cloud.url, place) as backend:
                yield backend, cloud


@asynccontextmanager
async def vertex(
    monkeypatch: pytest.MonkeyPatch, folder: Path, **options: object
) -> AsyncIterator[tuple[CloudBackend, VertexCloud]]:
    """A backend before a Vertex of its own, with a service account that nobody else knows."""
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
    """Nothing of this machine's AWS, and no asking around for it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_DEFAULT_REGION", "AWS_BEARER_TOKEN_BEDROCK", "ANTHROPIC_BEDROCK_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "no-credentials"))


def signature(asked: Asked) -> str:
    """What AWS would find the `authorization` of a request to be: Signature Version 4, from its own description."""
    stamp = asked.headers["x-amz-date"]
    scope = f"{stamp[:8]}/{REGION}/bedrock/aws4_request"
    names = asked.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    lines = "".join(f"{name}:{' '.join(asked.headers[name].split())}\n" for name in names.split(";"))
    hashed = hashlib.sha256(asked.raw).hexdigest()
    canonical = f"{asked.method}\n{quote(asked.target, safe='/-_.~')}\n\n{lines}\n{names}\n{hashed}"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    made = hmac.new(key, text.encode(), "sha256").hexdigest()
    return f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders={names}, Signature={made}"


def chunk(event: bytes) -> bytes:
    """An event in a frame."""
    payload = json.dumps({"bytes": b64encode(event).decode(), "p": "abc"}).encode()
    headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, payload)


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A frame with its checksums."""
    head = b"".join(
        len(name).to_bytes() + name.encode() + b"\x07" + len(value).to_bytes(2) + value.encode()
        for name, value in headers.items()
    )
    prelude = (16 + len(head) + len(payload)).to_bytes(4) + len(head).to_bytes(4)
    prelude += crc32(prelude).to_bytes(4)
    whole = prelude + head + payload
    return whole + crc32(whole).to_bytes(4)


@asynccontextmanager
async def _backend(base_url: str, place: CloudOptions) -> AsyncIterator[CloudBackend]:
    backend = CloudBackend(AnthropicOptions(base_url=base_url, retries=1, backoff=0.0), place)
    await backend.start()
    try:
        yield backend
    finally:
        await backend.aclose()


def _parsed(request: bytes) -> Asked:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.split(": ", 1) for line in lines)
    return Asked(method, target, {name.lower(): value for name, value in pairs}, body)


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
        "client_email": "nobody@dummy-project.example",
        "token_uri": f"{url}/token",
    }
