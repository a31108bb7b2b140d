"""The official SDK's clients for the clouds, as signers. They know regions, credentials, signatures and tokens.

The import takes most of a second, so it happens off the event loop, and only if a cloud is used. All functions block:
credentials may have to be fetched.
"""

from collections.abc import Mapping
from typing import Protocol

import httpx2
from anthropic import AnthropicBedrock, AnthropicVertex, not_given

from dragoman.backends.anthropic.clouds.request import CloudLocation


class Signer(Protocol):
    """Signs requests to a cloud."""

    @property
    def address(self) -> str:
        """The cloud's URL."""
        ...

    @property
    def location(self) -> CloudLocation:
        """The region and the project. Complete once a request was signed."""
        ...

    def sign(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """Return the headers of a request, with its signature."""
        ...

    def renew(self) -> bool:
        """Drop a token that was refused. Return False if there are no tokens: each request has its own signature."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


class BedrockSigner(AnthropicBedrock):
    """AWS: `AWS_…` variables, the AWS configuration and its profiles, roles, or a Bedrock API key."""

    @property
    def address(self) -> str:
        """See `Signer`."""
        return str(self.base_url).rstrip("/")

    @property
    def location(self) -> CloudLocation:
        """See `Signer`."""
        return CloudLocation(self.aws_region)

    def sign(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """See `Signer`."""
        request = httpx2.Request(method, url, headers=dict(headers), content=body)
        self._prepare_request(request)
        return dict(request.headers)

    def renew(self) -> bool:
        """Do nothing: the SDK renews credentials before they expire."""
        return False


class VertexSigner(AnthropicVertex):
    """Google Cloud: application default credentials."""

    @property
    def address(self) -> str:
        """See `Signer`."""
        return str(self.base_url).rstrip("/")

    @property
    def location(self) -> CloudLocation:
        """See `Signer`."""
        return CloudLocation(self.region, self.project_id)

    def sign(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """See `Signer`."""
        request = httpx2.Request(method, url, headers=dict(headers), content=body)
        self._prepare_request(request)
        return dict(request.headers)

    def renew(self) -> bool:
        """See `Signer`."""
        self.credentials = None
        return True


def bedrock_signer(region: str | None, profile: str | None, api_key: str | None, base_url: str | None) -> BedrockSigner:
    """Return a signer for Bedrock.

    Raises:
        ValueError: The region is not known.
    """
    return BedrockSigner(aws_region=region, aws_profile=profile, api_key=api_key, base_url=base_url)


def vertex_signer(region: str | None, project: str | None, base_url: str | None) -> VertexSigner:
    """Return a signer for Vertex.

    Raises:
        ValueError: The region is not known.
    """
    return VertexSigner(region=region or not_given, project_id=project or not_given, base_url=base_url)
