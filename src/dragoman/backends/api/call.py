"""A request as it is sent: the body in bytes, and the header lines that depend on it."""

from dataclasses import replace
from functools import lru_cache
from importlib.metadata import version
from typing import cast

import msgspec

from dragoman.backends.api.betas import betas_of
from dragoman.backends.api.caching import CacheTtl, marked
from dragoman.backends.base import RunRequest
from dragoman.catalog import Model
from dragoman.messages import JSONObject, MessagesRequest, as_sent
from dragoman.values import unchanging

API_VERSION = "2023-06-01"
"""The `anthropic-version` that is spoken where the client does not name another."""

SHARED_HEADERS = (
    f"user-agent: dragoman/{version('dragoman')}\r\naccept: text/event-stream, application/json\r\n"
).encode()

_MOST = 64_000
_MOST_WITH_BUDGET = 32_000
"""Above the largest budget that a client's effort becomes; the models with budgets have the smaller context."""

_BYTES_A_TOKEN = 4
"""At least: what has fewer bytes is not counted for more tokens by `caching` either."""

encoded = msgspec.json.Encoder().encode
"""JSON in bytes."""


@unchanging
class Call:
    """A request, all but its signature.

    Attributes:
        target: The path it is sent to.
        version: The `anthropic-version` it speaks.
        betas: The betas it asks for.
        body: The JSON body.
    """

    target: bytes
    version: str
    betas: tuple[str, ...]
    body: bytes

    def headers(self, signature: bytes, betas: tuple[str, ...]) -> bytes:
        """The header lines.

        Args:
            signature: The line with the key or token.
            betas: Those that it needs.
        """
        return _lines(self.version, (*self.betas, *betas)) + signature


@lru_cache(maxsize=256)
def _lines(version: str, betas: tuple[str, ...]) -> bytes:
    named = ",".join(dict.fromkeys(betas))
    beta = f"anthropic-beta: {named}\r\n" if named else ""
    return f"content-type: application/json\r\nanthropic-version: {version}\r\n{beta}".encode("latin-1")


def message_call(request: RunRequest, cache_ttl: CacheTtl) -> Call:
    """The call that asks a question, streamed in any case.

    Args:
        request: The question.
        cache_ttl: What is asked of the API's cache for clients that do not speak of it. Who speaks the Messages API
            itself does so itself.
    """
    if request.terms.verbatim:
        return _call(b"/v1/messages", request, {**as_sent(request.body), "stream": True})
    body: JSONObject = {**cast("JSONObject", request.body), "stream": True}
    if body.get("max_tokens") is None:
        body["max_tokens"] = usual_limit(request.model)
    call = _call(b"/v1/messages", request, body)
    if cache_ttl == "off" or len(call.body) < request.model.cacheable_tokens * _BYTES_A_TOKEN:
        return call  # most are too small, which is sooner seen in bytes
    asked = marked(cast("MessagesRequest", body), request.model, cache_ttl, call.body)
    return call if asked is body else replace(call, body=encoded(asked))


def message_body(request: RunRequest, cache_ttl: CacheTtl) -> JSONObject:
    """The body of the call that asks a question, for those who make another call of it."""
    if request.terms.verbatim:
        return as_sent(request.body)
    body = cast("MessagesRequest", dict(request.body))
    if body.get("max_tokens") is None:
        body["max_tokens"] = usual_limit(request.model)
    return cast("JSONObject", marked(body, request.model, cache_ttl, encoded(cast("JSONObject", body))))


def count_call(request: RunRequest) -> Call:
    """The call that has a question's tokens counted."""
    return _call(b"/v1/messages/count_tokens", request, as_sent(request.body))


def list_call(target: bytes) -> Call:
    """A call without a body."""
    return Call(target, API_VERSION, (), b"")


def usual_limit(model: Model) -> int:
    """`max_tokens` where the client set none: the API wants one."""
    return min(model.output_tokens, _MOST_WITH_BUDGET if "enabled" in model.thinking else _MOST)


def _call(target: bytes, request: RunRequest, body: JSONObject) -> Call:
    terms = request.terms
    version = _header_value(terms.version) if terms.version else API_VERSION
    return Call(target, version, needed_betas(request), encoded(body))


def needed_betas(request: RunRequest) -> tuple[str, ...]:
    """The betas that the client names, and those that its request needs."""
    terms = request.terms
    named = [_header_value(beta) for beta in terms.betas]
    # Who speaks the Messages API itself names its betas itself.
    return tuple(named) if terms.verbatim else tuple(dict.fromkeys([*named, *betas_of(request.body)]))


def _header_value(text: str) -> str:
    """A client's words without what would end a header line."""
    return "".join(sign for sign in text if sign.isascii() and sign.isprintable())
