"""Decode request bodies with a `Content-Encoding`, in small pieces and within a size limit.

Sources: RFC 9110 section 8.4 (codings and their order), RFC 1950 to 1952 (deflate, gzip), RFC 7932 (br), RFC 8878 and
RFC 9659 (zstd, and the window that a decoder must support).
"""

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from dragoman.core.errors import InvalidRequest, RequestTooLarge, UnsupportedContentEncoding
from dragoman.core.value_object import value_object

_PIECE = 64 * 1024
"""Bytes that one step decodes: about a tenth of a millisecond."""
_MAX_CODINGS = 4
_MAX_MEMBERS = 1000
"""The gzip members, or zstd frames, in one body. Empty ones would take time without reaching the size limit."""
_ZSTD_WINDOW_LOG = 23
"""8 MiB, the largest window that RFC 9659 allows."""
_ZLIB_METHOD, _ZLIB_CHECK = 8, 31
_HEAD_SIZE = 2

_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
_BROTLI = "brotli"


class _Decoder(Protocol):
    """A decoder with the interface of the standard library's newer ones (`bz2`, `lzma`, `compression.zstd`)."""

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed data was read."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether all output so far was returned."""
        ...

    @property
    def unused_data(self) -> bytes:
        """The input after the end of the compressed data."""
        ...

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Take input, and return at most about `max_length` bytes of output."""
        ...


class _Inflater:
    """A `_Decoder` for gzip, or for a deflate stream with or without its header: clients send both as `deflate`."""

    def __init__(self, *, gzip: bool) -> None:
        self._zlib = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS) if gzip else None
        self._head = b""
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib is not None and self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data if self._zlib else b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if self._zlib is None:
            self._head += data
            if len(self._head) < _HEAD_SIZE:
                return b""
            data = self._head
            self._zlib = zlib.decompressobj(zlib.MAX_WBITS if _has_zlib_header(data) else -zlib.MAX_WBITS)
        piece = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.needs_input = not self._zlib.unconsumed_tail and len(piece) < max_length
        return piece


class _Brotli:
    """A `_Decoder` for br."""

    unused_data = b""  # the library refuses data after the end

    def __init__(self) -> None:
        self._brotli = import_module(_BROTLI).Decompressor()
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return bool(self._brotli.is_finished())

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece: bytes = self._brotli.process(data, output_buffer_limit=max_length)
        # The library itself asks for more input while it still holds output.
        self.needs_input = self._brotli.can_accept_more_data() and len(piece) < max_length
        return piece


def _zstd() -> Any:
    zstd = import_module(_ZSTD)
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})


@value_object
class _Coding:
    """A content coding.

    Attributes:
        create: Creates a decoder.
        has_members: Whether several compressed parts may follow each other.
        module: The module that it needs.
    """

    create: Callable[[], _Decoder]
    has_members: bool = False
    module: str = "zlib"


_GZIP = _Coding(lambda: _Inflater(gzip=True), has_members=True)
_CODINGS: Mapping[str, _Coding] = {
    "zstd": _Coding(_zstd, has_members=True, module=_ZSTD),
    "br": _Coding(_Brotli, module=_BROTLI),
    "gzip": _GZIP,
    "x-gzip": _GZIP,
    "deflate": _Coding(lambda: _Inflater(gzip=False)),
}


def accept_encoding() -> bytes:
    """Return the value of the header that tells clients which codings they may use."""
    return ", ".join(name for name in _CODINGS if name != "x-gzip" and _is_installed(name)).encode()


def body_decoder(content_encoding: bytes, limit: int) -> "BodyDecoder | None":
    """Return a decoder for the value of a `Content-Encoding` header; None if the body is sent as it is.

    Args:
        content_encoding: The codings, in the order in which the client applied them.
        limit: The maximum number of bytes that each coding may decode to.

    Raises:
        UnsupportedContentEncoding: A coding is unknown, or there are too many.
    """
    names = [name for coding in content_encoding.decode("latin-1").split(",") if (name := coding.strip().lower())]
    names = [name for name in names if name != "identity"]
    if len(names) > _MAX_CODINGS:
        raise UnsupportedContentEncoding(f"The body has {len(names)} content codings; {_MAX_CODINGS} are the most.")
    for name in names:
        if not _is_installed(name):
            raise UnsupportedContentEncoding(
                f"The content coding `{name[:40]}` is not supported. Send the body in one of "
                f"{accept_encoding().decode()}, or as it is."
            )
    return BodyDecoder([_CODINGS[name] for name in reversed(names)], limit) if names else None


class BodyDecoder:
    """Decodes one body. See `body_decoder`."""

    def __init__(self, codings: Iterable[_Coding], limit: int) -> None:
        self._stages = [_Stage(coding, limit) for coding in codings]

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take a part of the body, and yield the decoded pieces. Each step takes little time, also without a piece.

        Raises:
            InvalidRequest: `invalid_content_encoding`: the data is corrupt.
            RequestTooLarge: It decodes to more than the limit.
        """
        pieces: Iterator[bytes] = iter((data,))
        for stage in self._stages:
            pieces = stage.decode(pieces)
        return pieces

    def finish(self) -> None:
        """Check that the data is complete.

        Raises:
            InvalidRequest: `invalid_content_encoding`: it is cut off.
        """
        if not all(stage.is_complete for stage in self._stages):
            raise _corrupt("it ends too early")


class _Stage:
    """One coding of a body."""

    def __init__(self, coding: _Coding, limit: int) -> None:
        self._coding = coding
        self._limit = limit
        self._size = 0
        self._members = 0
        self._decoder: _Decoder | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the data ends here. An empty body is complete."""
        return self._decoder is None or self._decoder.eof

    def decode(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the decoded pieces of some encoded parts."""
        for part in parts:
            try:
                yield from self._steps(part)
            except _errors() as error:
                raise _corrupt(str(error)[:100]) from None

    def _steps(self, data: bytes) -> Iterator[bytes]:
        while data:
            decoder = self._current()
            yield self._counted(decoder.decompress(data, _PIECE))
            while not (decoder.eof or decoder.needs_input):
                yield self._counted(decoder.decompress(b"", _PIECE))
            data = decoder.unused_data if decoder.eof else b""

    def _current(self) -> _Decoder:
        if self._decoder is None or self._decoder.eof:
            if self._members == (_MAX_MEMBERS if self._coding.has_members else 1):
                raise _corrupt("data follows after its end")
            self._decoder = self._coding.create()
            self._members += 1
        return self._decoder

    def _counted(self, piece: bytes) -> bytes:
        self._size += len(piece)
        if self._size > self._limit:
            raise too_large(self._limit)
        return piece


def too_large(limit: int) -> RequestTooLarge:
    """Return the error for a body over the size limit. The caller raises it."""
    return RequestTooLarge(f"The request body is larger than {limit} bytes (--max-request-bytes).")


def _corrupt(reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"The request body does not match its `Content-Encoding`: {reason}.", code="invalid_content_encoding"
    )


def _has_zlib_header(head: bytes) -> bool:
    return head[0] & 0x0F == _ZLIB_METHOD and int.from_bytes(head[:_HEAD_SIZE], "big") % _ZLIB_CHECK == 0


@cache
def _is_installed(name: str) -> bool:
    coding = _CODINGS.get(name)
    try:
        return coding is not None and find_spec(coding.module) is not None
    except ModuleNotFoundError:  # the package around the module is missing
        return False


@cache
def _errors() -> tuple[type[Exception], ...]:
    """Return what the decoders raise for corrupt data."""
    loaded: list[type[Exception]] = [zlib.error, EOFError]
    if _is_installed("zstd"):
        loaded.append(import_module(_ZSTD).ZstdError)
    if _is_installed("br"):
        loaded.append(import_module(_BROTLI).error)
    return tuple(loaded)
