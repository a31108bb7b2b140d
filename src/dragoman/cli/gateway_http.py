"""A small HTTP client for the commands that call a running gateway."""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, urlencode

import click

from dragoman.cli.instances import InstanceRecord, InstanceRegistry, connect_host, format_url
from dragoman.cli.select_instance import SELECTION_SETTINGS, select_instance
from dragoman.config.settings import Settings
from dragoman.config.values import read_key_file
from dragoman.core.value_object import value_object

GATEWAY_SETTINGS = (*SELECTION_SETTINGS, "api_key", "api_key_file", "admin_key", "admin_key_file")
"""The settings of a command that calls a gateway."""

_CONNECT_TIMEOUT = 5
_RESPONSE_TIMEOUT = 60
_NOT_A_GATEWAY = "another program listens there"


@value_object
class GatewayResponse:
    """A JSON response of a gateway.

    Attributes:
        status: The HTTP status.
        body: The JSON object.
    """

    status: int
    body: dict[str, object]

    def require_ok(self) -> dict[str, object]:
        """Return the body.

        Raises:
            ClickException: The status is not 200.
        """
        if self.status != HTTPStatus.OK:
            raise self.error()
        return self.body

    def error(self) -> click.ClickException:
        """Return the gateway's error message as an exception, with a hint where the API key is wrong."""
        error = self.body.get("error")
        message = str(error.get("message")) if isinstance(error, dict) else f"The gateway returned {self.status}."
        if self.status == HTTPStatus.UNAUTHORIZED:
            message += (
                " Pass it with --admin-key-file or --api-key-file, as the gateway has it. If it has only keys of "
                "clients, start it with --admin-key-file FILE."
            )
        return click.ClickException(message)


@value_object
class GatewayHttp:
    """A client for one gateway.

    Attributes:
        host: The address to connect to.
        port: The port.
        key: The API key, if known.
    """

    host: str
    port: int
    key: str | None

    @classmethod
    def select(cls, settings: Settings, flags: Mapping[str, object]) -> "GatewayHttp":
        """Return a client for the running gateway, or for the address in the settings if none is registered.

        Raises:
            ClickException: Several gateways run, or the key file cannot be read.
        """
        own = settings.admin_key or settings.api_key
        key = own.get_secret_value() if own else None
        if (record := select_instance(settings, flags)) is None:
            return cls(connect_host(settings.host), settings.port, key)
        return cls(connect_host(record.host), record.port, key or _key_of(record))

    @property
    def address(self) -> str:
        """The gateway's URL."""
        return format_url(self.host, self.port)

    def is_listening(self) -> bool:
        """Return whether any program accepts connections there."""
        try:
            socket.create_connection((self.host, self.port), timeout=_CONNECT_TIMEOUT).close()
        except OSError:
            return False
        return True

    def get(self, path: str, **query: object) -> GatewayResponse:
        """Send a GET request. Query values that are None are left out.

        Raises:
            ClickException: No gateway responds.
        """
        given = {name: value for name, value in query.items() if value is not None}
        return self._request("GET", f"{path}?{urlencode(given)}" if given else path)

    def post(self, path: str) -> GatewayResponse:
        """Send a POST request without a body.

        Raises:
            ClickException: No gateway responds.
        """
        return self._request("POST", path)

    def events(self, path: str) -> Iterator[tuple[str, dict[str, object]]]:
        """Yield the server-sent events of a stream: each event's name and data.

        Raises:
            ClickException: No gateway responds, it returns an error, or the connection breaks.
        """
        with closing(self._connection(timeout=None)) as connection:
            try:
                response = self._send(connection, "GET", path)
                if response.status != HTTPStatus.OK:
                    raise GatewayResponse(response.status, _parse_object(response.read())).error()
            except ValueError:
                raise self._unreachable(_NOT_A_GATEWAY) from None
            except (OSError, http.client.HTTPException) as error:
                raise self._unreachable(_reason(error)) from None
            try:
                yield from _parse_events(response)
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise click.ClickException(
                    f"The connection to the gateway at {self.address} broke ({_reason(error)}). "
                    "Run `dragoman status` to check it."
                ) from None

    def _request(self, method: str, path: str) -> GatewayResponse:
        with closing(self._connection(_RESPONSE_TIMEOUT)) as connection:
            try:
                response = self._send(connection, method, path)
                return GatewayResponse(response.status, _parse_object(response.read()))
            except ValueError:
                raise self._unreachable(_NOT_A_GATEWAY) from None
            except (OSError, http.client.HTTPException) as error:
                raise self._unreachable(_reason(error)) from None

    def _connection(self, timeout: float | None) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def _send(self, connection: http.client.HTTPConnection, method: str, path: str) -> http.client.HTTPResponse:
        connection.request(method, path, headers={"x-api-key": self.key} if self.key else {})
        return connection.getresponse()

    def _unreachable(self, reason: str) -> click.ClickException:
        return click.ClickException(
            f"No gateway responds at {self.address} ({reason}). Start one with `dragoman serve`, or choose another "
            "address with --host and --port."
        )


def is_healthy(record: InstanceRecord) -> bool:
    """Return whether a gateway responds to `/health`."""
    host = connect_host(record.host)
    with closing(http.client.HTTPConnection(host, record.port, timeout=_CONNECT_TIMEOUT)) as connection:
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False


def find_healthy(registry: InstanceRegistry, pid: int, previous: InstanceRecord | None = None) -> InstanceRecord | None:
    """Return the gateway with this process id once it responds. Return None before.

    Args:
        registry: Where to look.
        pid: The process id.
        previous: The record from before a restart, which does not count.
    """
    records = (record for record in registry.running() if record.pid == pid and record != previous)
    return next((record for record in records if is_healthy(record)), None)


def path_segment(text: str) -> str:
    """Return a text escaped as one segment of a URL path."""
    return quote(text, safe="")


def _reason(error: Exception) -> str:
    """Return an error's text without the error number."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _parse_object(body: bytes) -> dict[str, object]:
    """Parse a JSON object.

    Raises:
        ValueError: The body is not a JSON object.
    """
    value = json.loads(body)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - handled like any text that is not JSON
    return value


def _parse_events(response: http.client.HTTPResponse) -> Iterator[tuple[str, dict[str, object]]]:
    name = "message"
    while line := response.readline():
        field, _, value = line.decode().rstrip("\r\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, _parse_object(value.encode())


def _key_of(record: InstanceRecord) -> str | None:
    try:
        return read_key_file(Path(record.key_file)) if record.key_file else None
    except ValueError as error:
        raise click.ClickException(str(error)) from None
