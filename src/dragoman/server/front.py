"""The door: every request comes in here, passes the gates, and leaves a line in the log and the metrics."""

from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from dragoman.errors import GatewayError, InvalidRequest, NotFound
from dragoman.server.exchange import NO_SUCH_METHOD, Exchange
from dragoman.server.replies import Reply, error_reply, gateway_error
from dragoman.wire.base import ErrorReply


class Gate(Protocol):
    """Decides whether a request may come in. Does no I/O."""

    def __call__(self, exchange: Exchange) -> Reply | None:
        """Let it pass (None), or answer it here.

        Raises:
            GatewayError: It may not come in.
        """
        ...


class Front:
    """Pure ASGI middleware around the routes; the one place that answers what nothing inside answered."""

    def __init__(
        self,
        app: ASGIApp,
        gates: Sequence[Gate],
        observers: Sequence[Callable[[Exchange], None]],
        encode_error: Callable[[GatewayError, Exchange], ErrorReply],
    ) -> None:
        self._app = app
        self._gates = gates
        self._observers = observers
        self._encode_error = encode_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request from its first byte to its line in the log."""
        if scope["type"] != "http":  # no websockets here, and the composition root owns the life of all parts
            return
        exchange = Exchange(scope, send)
        try:
            await self._admit(exchange, receive)
        except Exception as error:  # noqa: BLE001 - the last place where one can still be answered
            await self._apologise(exchange, error)
        finally:
            for observe in self._observers:
                observe(exchange)

    async def _admit(self, exchange: Exchange, receive: Receive) -> None:
        for gate in self._gates:
            if reply := gate(exchange):
                await reply.send(exchange.send)
                return
        await self._app(exchange.scope, receive, exchange.send)

    async def _apologise(self, exchange: Exchange, error: Exception) -> None:
        status = error.status_code if isinstance(error, HTTPException) else None
        told = _routing_error(error, exchange) if isinstance(error, HTTPException) else gateway_error(error, exchange)
        exchange.error = told
        told.request_id = exchange.id
        if exchange.status:  # headers are out, and whoever sent them ends what he began
            return
        encoded = self._encode_error(told, exchange)
        allow = (error.headers or {}).get("Allow") if isinstance(error, HTTPException) else None
        headers = [(b"allow", allow.encode())] if allow else []
        await error_reply(told, ErrorReply(status or encoded.status, encoded.body), headers).send(exchange.send)


def _routing_error(error: HTTPException, exchange: Exchange) -> GatewayError:
    method, path = exchange.method, exchange.path
    if error.status_code == NO_SUCH_METHOD:
        return InvalidRequest(f"{path} does not take {method}.", code="method_not_allowed")
    return NotFound(f"There is no {method} {path}. `GET /` lists what there is.", code="unknown_url")
