"""Answers of the admin API."""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response


def json_response(body: Mapping[str, object]) -> Response:
    """An answer that is JSON."""
    return Response(msgspec.json.encode(body), media_type="application/json")
