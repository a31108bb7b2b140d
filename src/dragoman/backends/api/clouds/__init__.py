"""Claude on Bedrock and Vertex: the same Messages API, in their shapes, signed by the official SDK's clients for them.

`shapes` writes a call as the cloud takes it, `access` signs it by `sdk`, `upstream` sends it; `binary` reads Bedrock's
streams, and `refusals` says what a cloud cannot do.
"""

from dragoman.backends.api.clouds.backend import CloudBackend, CloudOptions

__all__ = ["CloudBackend", "CloudOptions"]
