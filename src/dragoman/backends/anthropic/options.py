"""The settings of the Anthropic backend."""

from typing import Literal, TypeAlias

from dragoman.core.value_object import value_object

CacheTtl: TypeAlias = Literal["5m", "1h", "off"]
"""How long the API keeps the beginning of a prompt that the gateway marks for its cache; `off` for no marks."""


@value_object(kw_only=True)
class AnthropicOptions:
    """Settings of the Anthropic backend, on the API itself or on a cloud.

    Attributes:
        api_key: The Messages API key.
        auth_token: A bearer token, used if there is no key.
        base_url: The address of the Messages API; None for the address in the SDK's profile, or the API's own.
        retries: How often a call is repeated that failed before the first part of its response was emitted.
        backoff: Seconds before the first repetition, unless the API reports a time. Doubled each time, with jitter.
        connect_timeout: Seconds until a connection is established.
        silence: Seconds without a byte from the API after which a run fails.
        cache_ttl: The lifetime of cached prompts of clients that set no cache marks.
        max_connections: The maximum number of connections.
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
