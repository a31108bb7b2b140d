"""The official SDK's clients for the clouds, as signers: they know regions, credentials, signatures and tokens.

Importing this takes most of a second, so it is done beside the event loop, and only where a cloud is asked. All of it
blocks: credentials may have to be fetched.
"""

from collections.abc import Mapping
from typing import Protocol

import httpx2
from anthropic import AnthropicBedrock, AnthropicVertex, not_given

from dragoman.backends.anthropic.clouds.request import Where


class Signer(Protocol):
    """Signs requests."""

    @property
    def address(self) -> str:
        """Where the cloud is."""
        ...

    @property
    def where(self) -> Where:
        """Region and project; for certain once something was signed."""
        ...

    def signed(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """The headers of a request, with what proves whose it is."""
        ...

    def renew(self) -> bool:
        """Forget a token that was refused; False where each request is signed by itself."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class BedrockSigner(AnthropicBedrock):
    """AWS: `AWS_…` variables, the AWS configuration and its profiles, roles, or a Bedrock API key."""

    @property
    def address(self) -> str:
        """See `Signer`."""
        return str(self.base_url).rstrip("/")

    @property
    def where(self) -> Where:
        """See `Signer`."""
        return Where(self.aws_region)

    def signed(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """See `Signer`."""
        request = httpx2.Request(method, url, headers=dict(headers), content=body)
        self._prepare_request(request)
        return dict(request.headers)

    def renew(self) -> bool:
        """Its credentials are renewed by themselves before they end."""
        return False


class VertexSigner(AnthropicVertex):
    """Google Cloud: application default credentials."""

    @property
    def address(self) -> str:
        """See `Signer`."""
        return str(self.base_url).rstrip("/")

    @property
    def where(self) -> Where:
        """See `Signer`."""
        return Where(self.region, self.project_id)

    def signed(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """See `Signer`."""
        request = httpx2.Request(method, url, headers=dict(headers), content=body)
        self._prepare_request(request)
        return dict(request.headers)

    def renew(self) -> bool:
        """See `Signer`."""
        self.credentials = None
        return True


def bedrock(region: str | None, profile: str | None, api_key: str | None, base_url: str | None) -> BedrockSigner:
    """A signer for Bedrock.

    Raises:
        ValueError: No region is known.
    """
    return BedrockSigner(aws_region=region, aws_profile=profile, api_key=api_key, base_url=base_url)


def vertex(region: str | None, project: str | None, base_url: str | None) -> VertexSigner:
    """A signer for Vertex.

    Raises:
        ValueError: No region is known.
    """
    return VertexSigner(region=region or not_given, project_id=project or not_given, base_url=base_url)
