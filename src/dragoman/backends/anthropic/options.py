"""What the direct backend is built from."""

from dataclasses import dataclass

from dragoman.backends.anthropic.cache_control import CacheTtl


@dataclass(frozen=True, slots=True, kw_only=True)
class AnthropicOptions:
    """Settings of the direct backend.

    Attributes:
        api_key: The Messages API key.
        auth_token: A bearer token to use where there is no key.
        base_url: Where the Messages API is; None: where the profile says, or its own address.
        retries: How often a call that failed before its first byte is tried again.
        backoff: Seconds before the first of them, where the API does not say; doubled each time, with some chance.
        connect_timeout: Seconds until a connection stands.
        silence: Seconds without a byte from the API after which a run is given up.
        cache_ttl: How long the API keeps a prompt in its cache whose client set no marks.
        max_connections: Connections at once.
    """

    api_key: str | None = None
    auth_token: str | None = None
    base_url: str | None = None
    retries: int = 2
    backoff: float = 0.5
    connect_timeout: float = 10.0
    silence: float = 300.0
    cache_ttl: CacheTtl = "5m"
    max_connections: int = 1000
