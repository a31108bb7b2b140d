"""Endpoints that answer at once, without a run."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from dragoman.errors import GatewayError, InvalidRequest
from dragoman.server.disconnect import ClientGone
from dragoman.server.exchange import CLIENT_GONE, Exchange, exchange_of
from dragoman.server.replies import Reply, error_reply, gateway_error
from dragoman.wire.base import ErrorReply
from dragoman.wire.validation import whole_number

Handler: TypeAlias = Callable[[Exchange, Receive], Awaitable[Reply | None]]
"""Answers a request; None where it has sent its answer itself."""


class Plain:
    """An ASGI endpoint around a handler: every failure is said in the dialect.

    Args:
        handler: Answers.
        encode_error: Says what failed.
    """

    def __init__(self, handler: Handler, encode_error: Callable[[GatewayError], ErrorReply]) -> None:
        self._handler = handler
        self._encode_error = encode_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the exchange sends
        """Answer one request."""
        exchange = exchange_of(scope)
        try:
            if reply := await self._handler(exchange, receive):
                await reply.send(exchange.send)
        except ClientGone:
            exchange.status = exchange.status or CLIENT_GONE
        except Exception as error:  # noqa: BLE001 - the last place where one can be answered
            if not exchange.status:
                exchange.error = gateway_error(error, exchange)
                await error_reply(exchange.error, self._encode_error(exchange.error)).send(exchange.send)


class Query:
    """The parameters in a request's address. OpenAI's clients write lists as `name[]=value`, others as `name=value`."""

    def __init__(self, exchange: Exchange) -> None:
        self._pairs = parse_qsl(exchange.scope["query_string"].decode("latin-1"), keep_blank_values=True)

    def text(self, name: str) -> str | None:
        """One value."""
        return next((value for key, value in self._pairs if key == name), None)

    def texts(self, name: str) -> list[str]:
        """All values of a list."""
        return [value for key, value in self._pairs if key in (name, f"{name}[]")]

    def flag(self, name: str) -> bool:
        """Whether something is wanted."""
        return (self.text(name) or "").lower() in ("true", "1")

    def number(self, name: str, otherwise: int, *, most: int | None = None) -> int:
        """A number.

        Raises:
            InvalidRequest: It is none, or out of bounds.
        """
        given = self.text(name)
        if given is None:
            return otherwise
        value = whole_number(given)
        if value is None or (most is not None and not 1 <= value <= most):
            bounds = f" from 1 to {most}" if most is not None else ""
            raise InvalidRequest(f"`{name}` must be a whole number{bounds}.", param=name)
        return value

    def inner(self, name: str) -> dict[str, str]:
        """An object, as `name[key]=value`."""
        found = [(key, value) for key, value in self._pairs if key.startswith(f"{name}[") and key.endswith("]")]
        return {key[len(name) + 1 : -1]: value for key, value in found}

    def descending(self, otherwise: str) -> bool:
        """Whether the newest is wanted first.

        Raises:
            InvalidRequest: The order is neither.
        """
        order = self.text("order") or otherwise
        if order not in ("asc", "desc"):
            raise InvalidRequest("`order` must be `asc` or `desc`.", param="order")
        return order == "desc"
