"""Connections between the processes of the gateway: messages of MessagePack, each with its length in four bytes.

Between processes of one machine they are on a Unix socket that only the gateway's user can open. Between nodes they are
on TCP, and every message is encrypted with a key that is derived from `encryption_key`. So a program without the key
can neither ask nor answer, also one that got the address of a node that is gone.
"""

import asyncio
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from dragoman.core.value_object import value_object
from dragoman.stores.crypto import Cipher

CONNECT_SECONDS = 1.0
"""How long another node may take to accept a connection."""
HELLO_SECONDS = 3.0
"""How long a program that connects may take to show that it has the key."""
_MAX_AGE = 30.0
"""Seconds for which the first message of a connection is valid."""
_MAX_HELLO = 1024
_MAX_PORT = 0xFFFF
_SESSION_BYTES = 16
_LENGTH = struct.Struct(">I")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

LOST = (OSError, EOFError, TimeoutError)
"""What is raised if the other process has ended, or is not one of the gateway's."""


class WrongKeyError(ConnectionError):
    """A message was not encrypted with the key of the nodes, or not for this connection."""


@value_object
class _Session:
    """The keys of one connection. Each message is bound to its connection, direction and number.

    Attributes:
        cipher: Encrypts with the key of the nodes.
        id: Chosen by the side that connects, and never used again.
        sent: The name of the direction in which this side sends.
        received: The name of the other direction.
    """

    cipher: Cipher
    id: str
    sent: str
    received: str


class Channel:
    """A connection to another process. Both sides may send at any time.

    Args:
        reader: Its reader.
        writer: Its writer. It is closed with this.
        session: How messages are encrypted; None: they are not.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: _Session | None = None
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._session = session
        self._sent = self._received = 0

    async def read(self) -> Any:
        """Return the next message, whose types are those that the other side has sent.

        Raises:
            OSError: The connection was lost, or the other side does not have the key.
            EOFError: The other side has closed the connection.
        """
        data = await _read_frame(self._reader)
        if self._session is not None:
            data = _opened(self._session.cipher, data, f"{self._session.id} {self._session.received} {self._received}")
            self._received += 1
        return _decode(data)

    def write(self, message: object) -> None:
        """Send a message, without waiting."""
        data = _encode(message)
        if self._session is not None:
            data = self._session.cipher.encrypt(data, f"{self._session.id} {self._session.sent} {self._sent}")
            self._sent += 1
        self._writer.write(_LENGTH.pack(len(data)) + data)

    async def drain(self) -> None:
        """Wait until the other side has read enough for more to be sent."""
        await self._writer.drain()

    async def wait_closed_by_peer(self) -> None:
        """Wait until the other side closes the connection."""
        await self._reader.read()

    @property
    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._writer.is_closing() or self._reader.at_eof()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._writer.close()


class NodeKey:
    """Opens and accepts encrypted connections between nodes.

    Args:
        cipher: Encrypts with a key that all nodes have.
        process: The name of this process.
        clock: Returns seconds since 1970, the same on all nodes.
    """

    def __init__(self, cipher: Cipher, process: str, clock: Callable[[], float] = time.time) -> None:
        self._cipher = cipher
        self._process = process
        self._clock = clock
        self._seen: dict[str, float] = {}

    async def connect(self, address: str, process: str, seconds: float = CONNECT_SECONDS) -> Channel:
        """Connect to a process of another node.

        Args:
            address: Its host and port.
            process: Its name. A process of another name will not answer.
            seconds: How long it may take to accept the connection.

        Raises:
            OSError: It cannot be reached.
            TimeoutError: It does not accept in time.
        """
        host, port = split_address(address)
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port)
        session = os.urandom(_SESSION_BYTES).hex()
        hello = self._cipher.encrypt(_encode([session, process, self._clock()]), "hello")
        writer.write(_LENGTH.pack(len(hello)) + hello)
        return Channel(reader, writer, _Session(self._cipher, session, "question", "answer"))

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Channel:
        """Return the connection of a process that has the key.

        Raises:
            OSError: It has not, or it means another process, or the connection was used before.
            EOFError: It has closed the connection.
            TimeoutError: It sends nothing.
        """
        async with asyncio.timeout(HELLO_SECONDS):
            hello = _opened(self._cipher, await _read_frame(reader, _MAX_HELLO), "hello")
        session, process, sent_at = _decode(hello)
        now = self._clock()
        self._seen = {id_: at for id_, at in self._seen.items() if now - at <= _MAX_AGE}
        if process != self._process or abs(now - sent_at) > _MAX_AGE or session in self._seen:
            raise WrongKeyError("a connection that was meant for another process, or used before")
        self._seen[session] = sent_at
        return Channel(reader, writer, _Session(self._cipher, session, "answer", "question"))


async def connect_local(path: Path) -> Channel:
    """Connect to a process of this machine.

    Raises:
        OSError: It does not run.
    """
    return Channel(*await asyncio.open_unix_connection(path))


def split_address(address: str) -> tuple[str, int]:
    """Return the host and the port of an address such as `10.0.0.1:8901` or `[::1]:8901`.

    Raises:
        ValueError: It is no address.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > _MAX_PORT:
        raise ValueError(f"{address!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _opened(cipher: Cipher, data: bytes, name: str) -> bytes:
    decrypted = cipher.decrypt(data, name)
    if decrypted is None:
        raise WrongKeyError("a message that was not encrypted with the key of the nodes")
    return decrypted


async def _read_frame(reader: asyncio.StreamReader, limit: int | None = None) -> bytes:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if limit is not None and length > limit:
        raise WrongKeyError("a message of a program that is no node")
    return await reader.readexactly(length)
