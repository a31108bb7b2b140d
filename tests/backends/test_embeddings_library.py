"""Finding the local model and OpenAI's vocabulary, and the embedder without a model."""

from pathlib import Path

import pytest
from local_model import wants_model

from dragoman.backends.embeddings.library import AbsentEmbedder, locate_model
from dragoman.backends.embeddings.model import UnknownToken, Vocabulary
from dragoman.core.errors import NotInstalled


def test_model_in_a_directory(tmp_path: Path) -> None:
    """The model's name is the last part of the path, so clients do not see the path."""
    (tmp_path / "bge-small").mkdir()
    location = locate_model(str(tmp_path / "bge-small"))
    assert (location.name, location.path, location.offline) == ("bge-small", str(tmp_path / "bge-small"), True)


def test_model_on_the_hub() -> None:
    """Any other name is a model on the hub, which the library may have to download."""
    location = locate_model("BAAI/bge-small-en-v1.5")
    assert (location.name, location.path, location.offline) == (
        "BAAI/bge-small-en-v1.5",
        "BAAI/bge-small-en-v1.5",
        False,
    )


@wants_model
@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_packaged_model_needs_no_network(name: str) -> None:
    """The extra's model is found in its package, by its short and its long name."""
    location = locate_model(name)
    assert location.offline
    assert (Path(location.path) / "model.safetensors").exists()


@wants_model
def test_openai_vocabulary() -> None:
    """The vocabulary has all tokens except control tokens. Incomplete characters are replaced."""
    vocabulary = Vocabulary.installed()
    assert vocabulary
    assert vocabulary.text([9906, 1917, 11, 25237]) == "Hello world, dear"
    assert vocabulary.text([100255])
    assert vocabulary.text([94]) == "\ufffd"
    with pytest.raises(UnknownToken):
        vocabulary.text([100257])


async def test_without_the_extra() -> None:
    """Requests are refused, and the error has the command that installs the extra."""
    embedder = AbsentEmbedder("all-MiniLM-L6-v2")
    with pytest.raises(NotInstalled, match=r'pip install "dragoman\[embeddings\]"'):
        await embedder.embed(["a"])
    await embedder.aclose()
