"""What every endpoint shares: one place that turns errors into responses, query parameters, and pages of lists."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from dragoman.core.errors import GatewayError, InvalidRequest, NotFound
from dragoman.core.messages import JSONObject
from dragoman.dialects.base import ErrorResponse
from dragoman.dialects.shared.validation import parse_digits
from dragoman.server.context import CLIENT_CLOSED_REQUEST, RawHeaders, RequestContext, get_context
from dragoman.server.disconnect import ClientDisconnected
from dragoman.server.replies import Reply, client_error, error_reply, json_reply

EncodeError: TypeAlias = Callable[[GatewayError], ErrorResponse]
MAX_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 20


class Endpoint(ABC):
    """An ASGI endpoint that answers every error in its dialect.

    Args:
        encode_error: Encodes an error in the dialect of the endpoint.
    """

    def __init__(self, encode_error: EncodeError) -> None:
        self._encode_error = encode_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the context sends
        """Handle one request."""
        context = get_context(scope)
        try:
            await self.handle(context, receive)
        except ClientDisconnected:
            context.status = context.status or CLIENT_CLOSED_REQUEST
            context.log_fields["disconnect"] = context.disconnect_reason
        except Exception as error:  # noqa: BLE001 - the last place that can answer in the dialect
            if not context.status:
                context.error = client_error(error, context)
                reply = error_reply(context.error, self._encode_error(context.error), self.error_headers(context))
                await reply.send(context.send)
        finally:
            if context.reservation is not None:
                context.reservation.release()

    @abstractmethod
    async def handle(self, context: RequestContext, receive: Receive) -> None:
        """Answer one request.

        Raises:
            GatewayError: The request is refused, or failed before a response was started.
            ClientDisconnected: The client disconnected.
        """

    def error_headers(self, context: RequestContext) -> RawHeaders:  # noqa: ARG002 - for those who have some
        """Return headers for an error response, in addition to those of the error."""
        return []


Handler: TypeAlias = Callable[[RequestContext, Receive], Awaitable[Reply | None]]
"""Answers a request. Returns None when it has sent its response itself."""


class FunctionEndpoint(Endpoint):
    """An endpoint that is one function.

    Args:
        handler: Returns the reply.
        encode_error: See `Endpoint`.
    """

    def __init__(self, handler: Handler, encode_error: EncodeError) -> None:
        super().__init__(encode_error)
        self._handler = handler

    async def handle(self, context: RequestContext, receive: Receive) -> None:
        """See `Endpoint.handle`."""
        if reply := await self._handler(context, receive):
            await reply.send(context.send)


class Query:
    """The query parameters of a request. OpenAI's clients write lists as `name[]=value`, others as `name=value`."""

    def __init__(self, context: RequestContext) -> None:
        self._pairs = parse_qsl(context.scope["query_string"].decode("latin-1"), keep_blank_values=True)

    def text(self, name: str) -> str | None:
        """Return the first value of a parameter."""
        return next((value for key, value in self._pairs if key == name), None)

    def texts(self, name: str) -> list[str]:
        """Return all values of a list parameter."""
        return [value for key, value in self._pairs if key in (name, f"{name}[]")]

    def flag(self, name: str) -> bool:
        """Return whether a parameter is `true` or `1`."""
        return (self.text(name) or "").lower() in ("true", "1")

    def number(self, name: str, default: int, *, maximum: int | None = None) -> int:
        """Return a whole number; from 1 to `maximum` if that is given.

        Raises:
            InvalidRequest: The value is not a number, or is out of range.
        """
        text = self.text(name)
        if text is None:
            return default
        value = parse_digits(text)
        if value is None or (maximum is not None and not 1 <= value <= maximum):
            bounds = f" from 1 to {maximum}" if maximum is not None else ""
            raise InvalidRequest(f"`{name}` must be a whole number{bounds}.", param=name)
        return value

    def mapping(self, name: str) -> dict[str, str]:
        """Return an object parameter, written as `name[key]=value`."""
        pairs = [(key, value) for key, value in self._pairs if key.startswith(f"{name}[") and key.endswith("]")]
        return {key[len(name) + 1 : -1]: value for key, value in pairs}

    def is_descending(self, default: str) -> bool:
        """Return whether `order` asks for the newest first.

        Raises:
            InvalidRequest: `order` is neither `asc` nor `desc`.
        """
        order = self.text("order") or default
        if order not in ("asc", "desc"):
            raise InvalidRequest("`order` must be `asc` or `desc`.", param="order")
        return order == "desc"


def list_reply(page: Sequence[JSONObject], *, has_more: bool) -> Reply:
    """Build a page of a list in OpenAI's form."""
    first, last = (page[0]["id"], page[-1]["id"]) if page else ("", "")
    body = {"object": "list", "data": page, "first_id": first, "last_id": last, "has_more": has_more}
    return json_reply(200, msgspec.json.encode(body))


def page_reply(items: Sequence[JSONObject], query: Query, default_order: str) -> Reply:
    """Build the page that `query` asks for, from a complete list.

    Args:
        items: The list, oldest first.
        query: `limit`, `order` and `after`.
        default_order: `asc` or `desc`.

    Raises:
        InvalidRequest: A parameter is invalid.
        NotFound: `after` is not in the list.
    """
    limit = query.number("limit", DEFAULT_PAGE_SIZE, maximum=MAX_PAGE_SIZE)
    ordered = list(reversed(items)) if query.is_descending(default_order) else list(items)
    start = 0
    if (after := query.text("after")) is not None:
        start = next((index + 1 for index, item in enumerate(ordered) if item["id"] == after), 0)
        if not start:
            raise NotFound(f"There is no `{after[:80]}` in this list.", param="after")
    return list_reply(ordered[start : start + limit], has_more=len(ordered) > start + limit)
