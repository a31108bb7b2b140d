"""The Anthropic backend on a cloud: Bedrock or Vertex."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Literal

from dragoman.backends.anthropic.account import Account
from dragoman.backends.anthropic.backend import AnthropicBackend
from dragoman.backends.anthropic.clouds.credentials import CloudCredentials
from dragoman.backends.anthropic.clouds.event_stream import EventStreamDecoder
from dragoman.backends.anthropic.clouds.request import Bedrock, CloudLocation, Vertex
from dragoman.backends.anthropic.options import AnthropicOptions
from dragoman.backends.anthropic.reader import StreamReader
from dragoman.backends.anthropic.request import ApiCall, has_checked_arguments, message_body
from dragoman.backends.base import RunRequest
from dragoman.core.catalog import MODELS
from dragoman.core.errors import UnsupportedFeature
from dragoman.core.messages import JSONObject
from dragoman.core.model_list import ListedModel
from dragoman.core.value_object import value_object

if TYPE_CHECKING:
    from dragoman.backends.anthropic.clouds.sdk import Signer


@value_object(kw_only=True)
class CloudOptions:
    """The cloud, and the place in it. A value of None means that the cloud's own variables and files decide.

    Attributes:
        kind: The cloud.
        region: Its region.
        project: The Google Cloud project.
        profile: The profile of the AWS configuration.
        model_ids: The cloud's ids of models, where they differ from the usual ones.
        api_key: An API key of Bedrock.
    """

    kind: Literal["bedrock", "vertex"]
    region: str | None = None
    project: str | None = None
    profile: str | None = None
    model_ids: Mapping[str, str] = field(default_factory=dict)
    api_key: str | None = None


class CloudBackend(AnthropicBackend):
    """Claude on a cloud, through its form of the Messages API. Owns its connections."""

    def __init__(self, options: AnthropicOptions, cloud_options: CloudOptions) -> None:
        create_cloud = Bedrock if cloud_options.kind == "bedrock" else Vertex
        self._cloud: Bedrock | Vertex = create_cloud(model_ids=cloud_options.model_ids)
        self._credentials = CloudCredentials(
            cloud_options.kind, lambda: _create_signer(cloud_options, options.base_url)
        )
        super().__init__(options, Account(options, self._credentials))
        self.stream_type = self._cloud.stream_type
        self._region = cloud_options.region

    async def build_call(self, request: RunRequest) -> ApiCall:
        """Return the call that generates a message, in the cloud's form."""
        self._cloud.check(request.body)
        location = await self._locate()
        if request.request_options.large:
            return await asyncio.to_thread(self._encode, request, location)
        return self._encode(request, location)

    def _encode(self, request: RunRequest, location: CloudLocation) -> ApiCall:
        body, _ = message_body(request, self._options.cache_ttl)
        if isinstance(self._cloud, Bedrock):
            return self._cloud.message_call(request, body)
        return self._cloud.message_call(request, body, location)

    def create_reader(self, request: RunRequest) -> StreamReader:
        """Return a reader for one response. Bedrock's streams are binary."""
        decoder = EventStreamDecoder() if isinstance(self._cloud, Bedrock) else None
        return StreamReader(decoder, checks_arguments=has_checked_arguments(request))

    async def count_tokens(self, request: RunRequest) -> JSONObject:
        """Return the cloud's own count. Bedrock has none."""
        if isinstance(self._cloud, Bedrock):
            raise UnsupportedFeature("Claude on Bedrock cannot count tokens.", code="cannot_count")
        self._cloud.check(request.body)
        return await self.request_json(b"POST", self._cloud.count_call(request, await self._locate()))

    async def models(self) -> Sequence[ListedModel]:
        """Return the models in the catalog: the clouds have no list in the API's form."""
        return [ListedModel(model.id, model.name) for model in MODELS]

    def status(self) -> JSONObject:
        """Return the cloud and its region, and the status of the Anthropic backend."""
        place: JSONObject = {"cloud": self._cloud.kind, "region": self._region}
        return {**place, **super().status(), "anthropic_version": self._cloud.version}

    async def _locate(self) -> CloudLocation:
        location = await self._credentials.location()
        self._region = location.region
        return location


def _create_signer(options: CloudOptions, base_url: str | None) -> "Signer":
    """Create the signer. Blocks."""
    from dragoman.backends.anthropic.clouds import sdk  # noqa: PLC0415 - slow, and needed only on a cloud

    if options.kind == "bedrock":
        return sdk.bedrock_signer(options.region, options.profile, options.api_key, base_url)
    return sdk.vertex_signer(options.region, options.project, base_url)
