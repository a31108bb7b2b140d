"""Asking a running gateway over HTTP, as one of its clients."""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, urlencode

import click

from dragoman.cli.instances import InstanceRecord, reachable
from dragoman.cli.select_instance import WHICH, chosen
from dragoman.config.settings import Settings
from dragoman.config.values import read_key_file

ASKING = (*WHICH, "api_key", "api_key_file")
"""The settings that a command needs which asks a gateway."""

_SECONDS = 5
_PATIENCE = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """What a gateway answered.

    Attributes:
        status: The HTTP status.
        body: What it says.
    """

    status: int
    body: dict[str, object]


@dataclass(frozen=True, slots=True)
class GatewayHttp:
    """A gateway, perhaps.

    Attributes:
        host: The address to connect to.
        port: Its port.
        key: Its key, if we have one.
    """

    host: str
    port: int
    key: str | None

    @classmethod
    def found(cls, settings: Settings, flags: Mapping[str, object]) -> "GatewayHttp":
        """The one that runs with this state directory, or else the one at the address of the settings.

        Raises:
            ClickException: There are several, or the key cannot be read.
        """
        key = settings.api_key.get_secret_value() if settings.api_key else None
        if (record := chosen(settings, flags)) is None:
            return cls(reachable(settings.host), settings.port, key)
        return cls(reachable(record.host), record.port, key or _key_of(record))

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    def listens(self) -> bool:
        """Whether anything does, there."""
        try:
            socket.create_connection((self.host, self.port), timeout=_SECONDS).close()
        except OSError:
            return False
        return True

    def get(self, path: str, **query: object) -> Answer:
        """Ask, and read the whole answer.

        Raises:
            ClickException: No gateway answers.
        """
        return self._ask("GET", _with(path, query))

    def post(self, path: str) -> Answer:
        """Have something done.

        Raises:
            ClickException: No gateway answers.
        """
        return self._ask("POST", path)

    def events(self, path: str) -> Iterator[tuple[str, dict[str, object]]]:
        """The events of a stream as they come, each with its name.

        Raises:
            ClickException: No gateway answers, or it refuses.
        """
        with closing(self._connection(None)) as connection:
            try:
                response = self._response(connection, "GET", path)
                if response.status != HTTPStatus.OK:
                    raise refused(Answer(response.status, _read(response.read())))
                yield from _events(response)
            except (OSError, http.client.HTTPException) as error:
                raise self._absent(_reason(error)) from None

    def _ask(self, method: str, path: str) -> Answer:
        with closing(self._connection(_PATIENCE)) as connection:
            try:
                response = self._response(connection, method, path)
                return Answer(response.status, _read(response.read()))
            except ValueError:
                raise self._absent("something else answers there") from None
            except (OSError, http.client.HTTPException) as error:
                raise self._absent(_reason(error)) from None

    def _connection(self, timeout: float | None) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def _response(self, connection: http.client.HTTPConnection, method: str, path: str) -> http.client.HTTPResponse:
        connection.request(method, path, headers={"x-api-key": self.key} if self.key else {})
        return connection.getresponse()

    def _absent(self, reason: str) -> click.ClickException:
        return click.ClickException(
            f"No gateway answers at {self.address} ({reason}). `dragoman serve` starts one; "
            "--host and --port say where to look."
        )


def answers(record: InstanceRecord) -> bool:
    """Whether a gateway answers there by now."""
    with closing(http.client.HTTPConnection(reachable(record.host), record.port, timeout=_SECONDS)) as connection:
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False


def succeeded(answer: Answer) -> dict[str, object]:
    """What a gateway said.

    Raises:
        ClickException: It refused.
    """
    if answer.status != HTTPStatus.OK:
        raise refused(answer)
    return answer.body


def refused(answer: Answer) -> click.ClickException:
    """A refusal in its own words, and what to do where a command can know that."""
    error = answer.body.get("error")
    said = str(error.get("message")) if isinstance(error, dict) else f"It answers {answer.status}."
    if answer.status == HTTPStatus.UNAUTHORIZED:
        said += " Give it with --api-key-file, DRAGOMAN_API_KEY or --api-key."
    return click.ClickException(said)


def _reason(error: Exception) -> str:
    """Without the number that the system gives it."""
    return getattr(error, "strerror", None) or str(error)


def segment(word: str) -> str:
    """A word as one part of a path."""
    return quote(word, safe="")


def _with(path: str, query: Mapping[str, object]) -> str:
    told = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(told)}" if told else path


def _read(body: bytes) -> dict[str, object]:
    """JSON of a gateway.

    Raises:
        ValueError: It is none.
    """
    read = json.loads(body)
    if not isinstance(read, dict):
        raise ValueError("no object")  # noqa: TRY004 - like what is no JSON at all
    return read


def _events(response: http.client.HTTPResponse) -> Iterator[tuple[str, dict[str, object]]]:
    name = "message"
    while line := response.readline():
        field, _, value = line.decode().rstrip("\r\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def _key_of(record: InstanceRecord) -> str | None:
    try:
        return read_key_file(Path(record.key_file)) if record.key_file else None
    except ValueError as error:
        raise click.ClickException(str(error)) from None
