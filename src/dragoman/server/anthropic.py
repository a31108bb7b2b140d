"""Which requests are answered in Anthropic's form, where the path alone does not say, and the name they know theirs by.

Anthropic's clients send `anthropic-version` with everything, and nobody else does.
"""

from dragoman.server.exchange import Exchange
from dragoman.server.replies import Reply

VERSION = b"anthropic-version"
_PATHS = ("/v1/messages", "/messages")


def speaks_anthropic(exchange: Exchange) -> bool:
    """Whether the client reads Anthropic's form of errors."""
    return VERSION in exchange.headers or exchange.path.startswith(_PATHS)


def name_request(exchange: Exchange) -> Reply | None:
    """Let everything pass; Anthropic's clients find their request's id under the name that the API gives it."""
    if speaks_anthropic(exchange):
        exchange.extra.append((b"request-id", exchange.id.encode()))
    return None
