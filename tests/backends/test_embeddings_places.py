"""Where models and vocabularies are."""

from pathlib import Path

import pytest
from local_model import wants_model

from dragoman.backends.embeddings.library import AbsentEmbedder, locate_model
from dragoman.backends.embeddings.model import UnknownToken, Vocabulary
from dragoman.core.errors import NotInstalled


def test_a_directory_is_called_by_its_last_name(tmp_path: Path) -> None:
    """Its path is nobody's business."""
    (tmp_path / "bge-small").mkdir()
    place = locate_model(str(tmp_path / "bge-small"))
    assert (place.name, place.path, place.offline) == ("bge-small", str(tmp_path / "bge-small"), True)


def test_other_names_are_the_hubs() -> None:
    """The library finds them, over the network if it has to."""
    place = locate_model("BAAI/bge-small-en-v1.5")
    assert (place.name, place.path, place.offline) == ("BAAI/bge-small-en-v1.5", "BAAI/bge-small-en-v1.5", False)


@wants_model
@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_the_packaged_model_needs_no_network(name: str) -> None:
    """By either of its names."""
    place = locate_model(name)
    assert place.offline
    assert (Path(place.path) / "model.safetensors").exists()


@wants_model
def test_openais_vocabulary() -> None:
    """All of it, checked by the hash that OpenAI publishes; halves of letters do no harm."""
    vocabulary = Vocabulary.installed()
    assert vocabulary
    assert vocabulary.text([9906, 1917, 11, 25237]) == "Hello world, dear"
    assert vocabulary.text([100255])
    assert vocabulary.text([94]) == "\ufffd"
    with pytest.raises(UnknownToken):
        vocabulary.text([100257])


async def test_without_the_extra() -> None:
    """No vector is made up; the one command that helps is named."""
    embedder = AbsentEmbedder("all-MiniLM-L6-v2")
    with pytest.raises(NotInstalled, match=r'pip install "dragoman\[embeddings\]"'):
        await embedder.embed(["a"])
    await embedder.aclose()
