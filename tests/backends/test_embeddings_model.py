"""The real local model: its vectors, token inputs and limits."""

import asyncio

import pytest
from local_model import likeness, numbers, wants_model

from dragoman.backends.embeddings.library import DEFAULT_MODEL, locate_model
from dragoman.backends.embeddings.local import LocalEmbedder
from dragoman.core.errors import ContextTooLong, InvalidRequest

SIMILAR = [
    ("A cat sleeps on the sofa.", "A kitten naps on the couch."),
    ("The bank raised its interest rates.", "Borrowing money has become more expensive."),
    ("How do I reset my password?", "I forgot my login and need a new one."),
]
HELLO = [9906, 1917, 11, 25237]
"""`Hello world, dear` in the tokens of OpenAI's embedding models."""

pytestmark = wants_model


async def test_default_model() -> None:
    """Similar sentences have similar vectors, token lists are read as text, and the model's limits apply.

    This is one test, because the model takes seconds to load.
    """
    embedder = LocalEmbedder(locate_model(DEFAULT_MODEL))
    try:
        await _check_similar_sentences(embedder)
        await _check_independence_of_batches(embedder)
        await _check_token_inputs(embedder)
        await _check_limits(embedder)
    finally:
        await embedder.aclose()


async def _check_similar_sentences(embedder: LocalEmbedder) -> None:
    result = await embedder.embed([sentence for pair in SIMILAR for sentence in pair])
    vectors = [numbers(vector) for vector in result.vectors]
    assert {len(vector) for vector in vectors} == {384}
    for first in range(0, len(vectors), 2):
        similarity = likeness(vectors[first], vectors[first + 1])
        others = [vector for index, vector in enumerate(vectors) if index // 2 != first // 2]
        assert likeness(vectors[first], vectors[first]) == pytest.approx(1, abs=1e-5)
        assert all(similarity > likeness(vectors[first], other) + 0.2 for other in others)


async def _check_independence_of_batches(embedder: LocalEmbedder) -> None:
    """Check that other texts of a batch do not change a vector, except for rounding: batches are padded."""
    text = SIMILAR[0][0]
    alone, many = await asyncio.gather(embedder.embed([text]), embedder.embed([text, "word " * 200, "a"]))
    assert numbers(alone.vectors[0]) == pytest.approx(numbers(many.vectors[0]), abs=1e-4)
    assert alone.tokens == 9  # six words, the full stop, and two special tokens of the model


async def _check_token_inputs(embedder: LocalEmbedder) -> None:
    result = await embedder.embed([HELLO, "Hello world, dear"])
    assert numbers(result.vectors[0]) == pytest.approx(numbers(result.vectors[1]), abs=1e-5)
    with pytest.raises(InvalidRequest, match="200000 in `input") as caught:
        await embedder.embed(["a", [9906, 200000]])
    assert caught.value.param == "input[1]"


async def _check_limits(embedder: LocalEmbedder) -> None:
    assert (await embedder.embed(["word " * 254])).tokens == 256
    with pytest.raises(ContextTooLong, match="257 tokens"):
        await embedder.embed(["word " * 255])
