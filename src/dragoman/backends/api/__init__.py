"""Claude by the Messages API itself, with nothing in between.

A request's road: `call` writes it, `credentials` sign it, `http` sends it, `reader` makes events of the answer, and
`retries` says whether a failure (`failures`) is worth another try.
"""

from dragoman.backends.api.backend import ApiBackend
from dragoman.backends.api.options import ApiOptions

__all__ = ["ApiBackend", "ApiOptions"]
