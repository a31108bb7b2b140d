"""The direct backend on a cloud."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from dragoman.backends.api.backend import ApiBackend
from dragoman.backends.api.call import Call, message_body
from dragoman.backends.api.clouds import refusals
from dragoman.backends.api.clouds.access import Access
from dragoman.backends.api.clouds.binary import BinaryFrames
from dragoman.backends.api.clouds.shapes import Bedrock, Vertex, Where
from dragoman.backends.api.clouds.upstream import Cloud, CloudUpstream
from dragoman.backends.api.options import ApiOptions
from dragoman.backends.api.reader import Reader
from dragoman.backends.base import RunRequest
from dragoman.catalog import MODELS
from dragoman.errors import UnsupportedFeature
from dragoman.events import Event
from dragoman.messages import JSONObject
from dragoman.model_list import ListedModel

if TYPE_CHECKING:
    from dragoman.backends.api.clouds.sdk import Signer


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


class CloudBackend(ApiBackend):
    """Claude on a cloud, through the Messages API as it is there. Owns its connections."""

    def __init__(self, options: ApiOptions, place: CloudOptions) -> None:
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
    from dragoman.backends.api.clouds import sdk  # noqa: PLC0415 - slow, and only where a cloud is asked

    if place.kind == "bedrock":
        return sdk.bedrock(place.region, place.profile, place.api_key, base_url)
    return sdk.vertex(place.region, place.project, base_url)
