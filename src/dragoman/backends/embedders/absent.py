"""What stands in for the local model where the `embeddings` extra is not installed."""

from collections.abc import Sequence
from typing import NoReturn

from dragoman.backends.embedders.places import INSTALL
from dragoman.errors import NotInstalled


class AbsentEmbedder:
    """The `Embedder` that has no model: it makes up nothing, and says what to do.

    Args:
        model: The model that would answer.
    """

    def __init__(self, model: str) -> None:
        self.model = model

    async def embed(self, inputs: Sequence[str | list[int]]) -> NoReturn:  # noqa: ARG002 - none of them
        """Refuse.

        Raises:
            NotInstalled: With the command that installs the model.
        """
        raise NotInstalled(
            f"Claude makes no embeddings, and no local model is installed. Install one: {INSTALL} - or name an "
            "endpoint that has one: --embeddings-url."
        )

    async def aclose(self, grace: float = 0) -> None:
        """Nothing is held."""
