"""The routes of kept answers, with and without `/v1`."""

from collections.abc import Callable, Iterator

from starlette.routing import Route

from dragoman.errors import GatewayError
from dragoman.server.keeping.chats import Chats
from dragoman.server.keeping.responses import Responses
from dragoman.server.plain import Handler, Plain
from dragoman.wire.base import ErrorReply

_CHAT, _RESPONSE = "/chat/completions", "/responses/{id}"


def kept_routes(
    chats: Chats, responses: Responses, encode_error: Callable[[GatewayError], ErrorReply]
) -> Iterator[Route]:
    """All of them.

    Args:
        chats: The endpoints of chat completions.
        responses: The endpoints of responses.
        encode_error: Says what failed.
    """
    handlers: list[tuple[str, str, Handler]] = [
        ("GET", _RESPONSE, responses.get),
        ("DELETE", _RESPONSE, responses.delete),
        ("POST", f"{_RESPONSE}/cancel", responses.cancel),
        ("GET", f"{_RESPONSE}/input_items", responses.items),
        ("GET", _CHAT, chats.all),
        ("GET", f"{_CHAT}/{{id}}", chats.get),
        ("POST", f"{_CHAT}/{{id}}", chats.label),
        ("DELETE", f"{_CHAT}/{{id}}", chats.delete),
        ("GET", f"{_CHAT}/{{id}}/messages", chats.messages),
    ]
    for method, path, handler in handlers:
        endpoint = Plain(handler, encode_error)
        for prefix in ("/v1", ""):
            yield Route(prefix + path, endpoint, methods=[method])
