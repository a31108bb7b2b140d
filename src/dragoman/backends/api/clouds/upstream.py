"""A cloud as the place to send calls to."""

from typing import TypeAlias

from dragoman.backends.api.call import Call
from dragoman.backends.api.clouds.access import Access
from dragoman.backends.api.clouds.shapes import Bedrock, Vertex
from dragoman.backends.api.failures import Failure, from_response
from dragoman.backends.api.http import Response
from dragoman.backends.api.options import ApiOptions
from dragoman.backends.api.upstream import Upstream
from dragoman.errors import NotSignedIn

Cloud: TypeAlias = Bedrock | Vertex

_OK = 200
_REFUSED = frozenset({401, 403})


class CloudUpstream(Upstream):
    """Signs each call by itself, and sends it by a client of our own."""

    def __init__(self, options: ApiOptions, cloud: Cloud, access: Access) -> None:
        super().__init__(options, access)
        self._cloud = cloud
        self._access = access

    async def _sent(self, method: bytes, call: Call, signature: bytes, *, streamed: bool) -> Response:  # noqa: ARG002 - see `Access`
        headers = {"content-type": "application/json"}
        if call.betas:
            headers["anthropic-beta"] = ",".join(call.betas)
        lines = await self._access.lines(method, call.target, headers, call.body)
        response = await self._ready_client().send(method, call.target, lines, call.body)
        kind = self._cloud.stream_type if streamed else "application/json"
        if response.status == _OK and response.headers.get("content-type", "").startswith(kind):
            return response
        try:
            raise self._refusal(response.status, await from_response(response))
        finally:
            await response.aclose()

    def _refusal(self, status: int, failure: Failure) -> Failure:
        """The same, where it is not for its credentials; else with what to do about them here."""
        if status not in _REFUSED:
            return failure
        words = failure.error.message.removeprefix("Claude says: ") if status != min(_REFUSED) else "they are refused."
        said = f"{self._cloud.title} does not take the credentials of this gateway: {words} {self._access.advice}"
        refused = Failure(NotSignedIn(said), failure.reason)
        refused.unauthorized = status == min(_REFUSED)  # a token that is not taken, not a right that is missing
        return refused
