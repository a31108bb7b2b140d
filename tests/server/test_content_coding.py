"""Compressed request bodies: every coding, chains of them, bombs, and data that is no such coding."""

import asyncio
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable
from importlib import import_module

import httpx
import pytest
from scripted import MESSAGES, clean, replies, served
from starlette.types import Message, Receive
from zstd_module import zstd

from dragoman.core.errors import (
    GatewayError,
    InvalidRequest,
    RequestTimeout,
    RequestTooLarge,
    UnsupportedContentEncoding,
)
from dragoman.server.content_coding import accept_encoding, body_decoder
from dragoman.server.context import RequestContext
from dragoman.server.disconnect import BodyTimeouts, ClientDisconnected, read_body

_clean = pytest.fixture(autouse=True)(clean)

LIMIT = 1_000_000
brotli = import_module("brotli")  # it has no types


def _raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "zstd": ("zstd", zstd.compress),
    "br": ("br", lambda data: bytes(brotli.compress(data, quality=2))),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", _raw_deflate),
}
NOISE = b"".join(hashlib.sha256(number.to_bytes(4)).digest() for number in range(6000))
DATA = json.dumps({"messages": MESSAGES, "noise": NOISE.hex()}).encode()


def _decoded(coding: str, parts: list[bytes], limit: int = LIMIT) -> bytes:
    decoder = body_decoder(coding.encode(), limit)
    assert decoder is not None
    pieces = [piece for part in parts for piece in decoder.feed(part)]
    decoder.finish()
    assert max(map(len, pieces), default=0) <= 200_000
    return b"".join(pieces)


@pytest.mark.parametrize("name", ENCODERS)
async def test_a_compressed_body_is_answered(name: str) -> None:
    """Like the same body as it is. Upper case and spaces in the header do not matter."""
    coding, encode = ENCODERS[name]
    async with served(replies("Hello")) as gateway:
        for value in (coding, coding.upper(), f"identity ,  {coding},"):
            response = await gateway.http.post(
                "/v1/chat/completions",
                content=encode(json.dumps({"messages": MESSAGES}).encode()),
                headers={"content-encoding": value},
            )
            assert response.status_code == 200, response.text
        assert gateway.backend.requests[0].body["messages"][0]["content"] == [{"type": "text", "text": "Say it"}]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", "/v1/completions", "/v1/messages/count_tokens"])
async def test_every_dialect_reads_compressed_bodies(path: str) -> None:
    """A body that is decoded reaches validation; one that is not would be no JSON."""
    async with served(replies("Hello")) as gateway:
        headers = {"content-encoding": "zstd"}
        response = await gateway.http.post(path, content=zstd.compress(b'{"model": 1}'), headers=headers)
    assert response.status_code == 400
    assert "invalid_type" in response.text


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("size", [1, 7, 10_000, 10**9])
def test_a_body_may_arrive_in_parts_of_any_size(name: str, size: int) -> None:
    """The result is the same."""
    coding, encode = ENCODERS[name]
    data = DATA if size > 7 else DATA[:3000]
    encoded = encode(data)
    assert _decoded(coding, [encoded[at : at + size] for at in range(0, len(encoded), size)]) == data


@pytest.mark.parametrize("first", ENCODERS)
@pytest.mark.parametrize("second", ENCODERS)
def test_codings_are_undone_in_reverse_order(first: str, second: str) -> None:
    """The header lists them as they were applied."""
    (one, encode_one), (two, encode_two) = ENCODERS[first], ENCODERS[second]
    assert _decoded(f"{one}, {two}", [encode_two(encode_one(DATA))]) == DATA


async def test_two_header_lines_are_one_list() -> None:
    """As HTTP has it."""
    async with served(replies("Hello")) as gateway:
        response = await gateway.http.post(
            "/v1/chat/completions",
            content=zstd.compress(gzip.compress(json.dumps({"messages": MESSAGES}).encode())),
            headers=[("content-encoding", "gzip"), ("content-encoding", "zstd")],
        )
    assert response.status_code == 200


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_members_follow_each_other(name: str) -> None:
    """Parallel compressors write several."""
    coding, encode = ENCODERS[name]
    assert _decoded(coding, [encode(b"a") + encode(b""), encode(b"b")]) == b"ab"
    with pytest.raises(InvalidRequest):
        _decoded(coding, [encode(b"") * 1001])


@pytest.mark.parametrize("name", ENCODERS)
def test_a_bomb_is_stopped_while_it_is_inflated(name: str) -> None:
    """Of a body that decodes to a hundred times the limit, little more than the limit is decoded."""
    coding, encode = ENCODERS[name]
    decoder = body_decoder(coding.encode(), 100_000)
    assert decoder is not None
    pieces = decoder.feed(encode(bytes(10_000_000)))
    sizes: list[int] = []
    with pytest.raises(RequestTooLarge):
        sizes.extend(map(len, pieces))
    assert sum(sizes) <= 100_000


def test_a_bomb_inside_of_a_bomb_is_stopped() -> None:
    """The limit holds for each coding: the inner data may be endless and decode to nothing."""
    empty_block = b"\0\0\0\xff\xff"
    inner = gzip.compress(b"")[:10] + empty_block * 500_000
    with pytest.raises(RequestTooLarge):
        _decoded("gzip, zstd", [zstd.compress(inner)])


async def test_a_bomb_is_413() -> None:
    """With the code of every body that is too large."""
    async with served(replies("Hello"), max_request_bytes=10_000) as gateway:
        headers = {"content-encoding": "gzip"}
        body = gzip.compress(bytes(1_000_000))
        response = await gateway.http.post("/v1/chat/completions", content=body, headers=headers)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"


@pytest.mark.parametrize("coding", ["foo", "gzip, foo", "compress", ", ".join(["gzip"] * 5)])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_an_unknown_coding_is_415(coding: str, path: str) -> None:
    """The response says which ones are known, in a header, as HTTP has it."""
    async with served(replies("Hello")) as gateway:
        response = await gateway.http.post(path, json={"messages": MESSAGES}, headers={"content-encoding": coding})
    assert response.status_code == 415
    assert response.headers["accept-encoding"] == "zstd, br, gzip, deflate"
    assert "unsupported_content_encoding" in response.text
    assert accept_encoding() == b"zstd, br, gzip, deflate"


@pytest.mark.parametrize("name", ENCODERS)
def test_corrupt_data_is_refused(name: str) -> None:
    """Data of no coding, data that is cut, and data with something behind it."""
    coding, encode = ENCODERS[name]
    encoded = encode(DATA)
    for parts in (
        [b'{"messages": []}'],
        [encoded[:-1]],
        [encoded[:100]],
        [encoded[:1]],
        [encoded, b"x"],
        [encoded + b"x"],
    ):
        with pytest.raises(InvalidRequest) as caught:
            _decoded(coding, parts)
        assert caught.value.code == "invalid_content_encoding"


@pytest.mark.parametrize("name", ENCODERS)
def test_damaged_data_gives_an_error_or_data(name: str) -> None:
    """Never another exception, whichever byte is wrong."""
    coding, encode = ENCODERS[name]
    encoded = encode(DATA[:2000])
    for at in range(0, len(encoded), 7):
        damaged = bytearray(encoded)
        damaged[at] ^= 0xA5
        try:
            _decoded(coding, [bytes(damaged)])
        except GatewayError as error:
            assert error.code in {"invalid_content_encoding", "request_too_large"}  # noqa: PT017 - others pass, too


def test_no_body_has_no_coding() -> None:
    """An empty body is left to validation."""
    assert _decoded("gzip", [b""]) == b""
    assert body_decoder(b"", LIMIT) is None
    assert body_decoder(b"identity", LIMIT) is None
    with pytest.raises(UnsupportedContentEncoding):
        body_decoder(b"gzip;q=1", LIMIT)


def _context(*headers: tuple[bytes, bytes]) -> RequestContext:
    async def send(_message: Message) -> None:
        raise AssertionError

    return RequestContext({"type": "http", "method": "POST", "path": "/", "headers": list(headers)}, send)


def _receive(*messages: Message) -> Receive:
    remaining = list(messages)

    async def receive() -> Message:
        if not remaining:
            await asyncio.Event().wait()
        return remaining.pop(0)

    return receive


async def test_others_get_a_turn_while_a_body_is_decoded() -> None:
    """A compressed body of many megabytes is decoded in steps."""
    turns, done = 0, asyncio.Event()

    async def count() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    message = {"type": "http.request", "body": gzip.compress(bytes(10_000_000))}
    body = await read_body(_context((b"content-encoding", b"gzip")), _receive(message), 20_000_000)
    done.set()
    await counting
    assert len(body) == 10_000_000
    assert turns > 100


@pytest.mark.parametrize("timeouts", [BodyTimeouts(silence=0.01), BodyTimeouts(total=0.01)])
async def test_a_body_that_does_not_arrive_is_ended(timeouts: BodyTimeouts) -> None:
    """Half a body, and then nothing."""
    half = {"type": "http.request", "body": b'{"mess', "more_body": True}
    with pytest.raises(RequestTimeout):
        await read_body(_context(), _receive(half), LIMIT, timeouts=timeouts)


async def test_a_client_that_leaves_within_its_body() -> None:
    """It is gone, and that is no error."""
    half = {"type": "http.request", "body": b'{"mess', "more_body": True}
    with pytest.raises(ClientDisconnected):
        await read_body(_context(), _receive(half, {"type": "http.disconnect"}), LIMIT)


async def test_the_size_limit_holds_for_the_encoded_body_too() -> None:
    """Noise does not get smaller."""
    async with served(replies("Hello"), max_request_bytes=1000) as gateway:
        body = gzip.compress(NOISE[:5000])
        headers = {"content-encoding": "gzip"}
        response = await gateway.http.post("/v1/chat/completions", content=body, headers=headers)
    assert response.status_code == 413
    assert isinstance(response, httpx.Response)
