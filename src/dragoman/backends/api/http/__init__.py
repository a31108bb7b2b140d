"""A small HTTP/1.1 client on asyncio and httptools, for one server: what the hot path needs, and nothing else.

`client` sends, `pool` keeps connections, `dial` makes them (through a proxy and TLS where wanted), `connection` is one
of them, and `incoming` is one response as it comes.
"""

from dragoman.backends.api.http.client import Client, Patience, Response
from dragoman.backends.api.http.errors import Broken, Malformed, Silent, TransportError, Unreachable

__all__ = ["Broken", "Client", "Malformed", "Patience", "Response", "Silent", "TransportError", "Unreachable"]
