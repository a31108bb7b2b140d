"""One line for each request. Nothing of what people write, and no key, ever stands in it."""

import structlog

from dragoman.server.exchange import Exchange

log = structlog.get_logger("dragoman.http")


def log_exchange(exchange: Exchange) -> None:
    """Write the line of a request that is over."""
    peer = exchange.scope.get("client")
    log.info(
        "http.request",
        request=exchange.id,
        method=exchange.method,
        path=exchange.path[:200],
        status=exchange.status,
        ms=round(exchange.seconds * 1000, 2),
        peer=peer[0] if peer else None,
        error=exchange.error.code if exchange.error else None,
        runs=[run.id for run in exchange.runs] or None,
        **exchange.asked,
    )
    if exchange.error:  # its words may quote what people wrote
        told = exchange.error
        log.debug("http.error", request=exchange.id, code=told.code, param=told.param, message=told.message)
