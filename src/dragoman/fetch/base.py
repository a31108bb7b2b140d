"""What filling a request's media is, and how fetching fails."""

from collections.abc import Sequence
from typing import Protocol

from dragoman.media import Placed


class FillMedia(Protocol):
    """Makes the images and documents of a request ready for the API.

    Sources that are URLs may be replaced in the blocks themselves, so the body must be the request's own. Call it once,
    before the run; where it raises or is cancelled, nothing stays open and the body is not to be used.
    """

    async def __call__(self, media: Sequence[Placed], /) -> None:
        """Fill the media.

        Raises:
            InvalidRequest: One cannot be had; `param` names its field.
        """
        ...


class FetchFailed(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A URL cannot be had.

    Attributes:
        message: A sentence for the client. Holds no address and nothing of what a server said.
        code: A short machine-readable word.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
