"""A cloud as the place to send calls to.

The direct backend on a cloud.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from dragoman.backends.anthropic.backend import AnthropicBackend
from dragoman.backends.anthropic.clouds import request as refusals
from dragoman.backends.anthropic.clouds.access import Access
from dragoman.backends.anthropic.clouds.event_stream import BinaryFrames
from dragoman.backends.anthropic.clouds.request import Bedrock, Vertex, Where
from dragoman.backends.anthropic.errors import Failure, from_response
from dragoman.backends.anthropic.options import AnthropicOptions
from dragoman.backends.anthropic.reader import Reader
from dragoman.backends.anthropic.request import Call, message_body
from dragoman.backends.anthropic.upstream import Upstream
from dragoman.backends.base import RunRequest
from dragoman.core.catalog import MODELS
from dragoman.core.errors import NotSignedIn, UnsupportedFeature
from dragoman.core.events import Event
from dragoman.core.messages import JSONObject
from dragoman.core.model_list import ListedModel
from dragoman.http.client import HttpResponse

Cloud: TypeAlias = Bedrock | Vertex

_OK = 200
_REFUSED = frozenset({401, 403})


class CloudUpstream(Upstream):
    """Signs each call by itself, and sends it by a client of our own."""

    def __init__(self, options: AnthropicOptions, cloud: Cloud, access: Access) -> None:
        super().__init__(options, access)
        self._cloud = cloud
        self._access = access

    async def _sent(self, method: bytes, call: Call, signature: bytes, *, streamed: bool) -> HttpResponse:  # noqa: ARG002 - see `Access`
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


if TYPE_CHECKING:
    from dragoman.backends.anthropic.clouds.sdk import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudOptions:
    """Which cloud, and where; what is None is for its own variables and files to say.

    Attributes:
        kind: Which.
        region: Its region.
        project: The Google Cloud project.
        profile: The profile of the AWS configuration.
        model_ids: What it calls models, where that is not what it usually is.
        api_key: A key of Bedrock's own.
    """

    kind: Literal["bedrock", "vertex"]
    region: str | None = None
    project: str | None = None
    profile: str | None = None
    model_ids: Mapping[str, str] = field(default_factory=dict)
    api_key: str | None = None


class CloudBackend(AnthropicBackend):
    """Claude on a cloud, through the Messages API as it is there. Owns its connections."""

    def __init__(self, options: AnthropicOptions, place: CloudOptions) -> None:
        bedrock = place.kind == "bedrock"
        self._cloud: Cloud = (Bedrock if bedrock else Vertex)(model_ids=place.model_ids)
        self._access = Access(place.kind, lambda: _signer(place, options.base_url))
        super().__init__(options, CloudUpstream(options, self._cloud, self._access))
        self._place = place
        self._where = Where("")

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Ask; see `dragoman.backends.base.Backend.run`."""
        refusals.check(request.body, self._cloud.title)
        self._where = await self._access.where()
        async with aclosing(super().run(request)) as events:
            async for event in events:
                yield event

    async def count_tokens(self, request: RunRequest) -> JSONObject:
        """The cloud's own count, where it counts."""
        if isinstance(self._cloud, Bedrock):
            raise UnsupportedFeature("Claude on Bedrock cannot count tokens.", code="cannot_count")
        refusals.check(request.body, self._cloud.title)
        return await self._asked(b"POST", self._cloud.count_call(request, await self._access.where()))

    async def models(self) -> Sequence[ListedModel]:
        """The models that we know: the clouds list none in the API's way."""
        return [ListedModel(model.id, model.name) for model in MODELS]

    def status(self) -> JSONObject:
        """The cloud, and what the API itself would say."""
        place: JSONObject = {"cloud": self._cloud.kind, "region": self._where.region or self._place.region}
        return {**place, **super().status(), "anthropic_version": self._cloud.version}

    def _call(self, request: RunRequest) -> Call:
        return self._cloud.call(request, message_body(request, self._options.cache_ttl), self._where)

    def _reader(self) -> Reader:
        return Reader(BinaryFrames() if isinstance(self._cloud, Bedrock) else None)


def _signer(place: CloudOptions, base_url: str | None) -> "Signer":
    from dragoman.backends.anthropic.clouds import sdk  # noqa: PLC0415 - slow, and only where a cloud is asked

    if place.kind == "bedrock":
        return sdk.bedrock(place.region, place.profile, place.api_key, base_url)
    return sdk.vertex(place.region, place.project, base_url)
