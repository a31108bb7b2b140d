"""The real local model: what its vectors mean."""

import asyncio

import pytest
from local_model import likeness, numbers, wants_model

from dragoman.backends.embeddings.library import DEFAULT_MODEL, locate_model
from dragoman.backends.embeddings.local import LocalEmbedder
from dragoman.core.errors import ContextTooLong, InvalidRequest

NEAR = [
    ("A cat sleeps on the sofa.", "A kitten naps on the couch."),
    ("The bank raised its interest rates.", "Borrowing money has become more expensive."),
    ("How do I reset my password?", "I forgot my login and need a new one."),
]
HELLO = [9906, 1917, 11, 25237]
"""`Hello world, dear` in the tokens of OpenAI's embedding models."""

pytestmark = wants_model


async def test_the_model_that_the_extra_brings() -> None:
    """Near sentences are nearer than far ones; tokens mean the text that they stand for; limits are the model's own.

    All in one test, since the model takes seconds to load.
    """
    embedder = LocalEmbedder(locate_model(DEFAULT_MODEL))
    try:
        await _near_sentences_are_nearer(embedder)
        await _the_company_of_a_text_changes_nothing(embedder)
        await _tokens_are_texts(embedder)
        await _limits_are_the_models_own(embedder)
    finally:
        await embedder.aclose()


async def _near_sentences_are_nearer(embedder: LocalEmbedder) -> None:
    made = await embedder.embed([sentence for pair in NEAR for sentence in pair])
    vectors = [numbers(vector) for vector in made.vectors]
    assert {len(vector) for vector in vectors} == {384}
    for place in range(0, len(vectors), 2):
        near = likeness(vectors[place], vectors[place + 1])
        others = [vector for index, vector in enumerate(vectors) if index // 2 != place // 2]
        assert likeness(vectors[place], vectors[place]) == pytest.approx(1, abs=1e-5)
        assert all(near > likeness(vectors[place], other) + 0.2 for other in others)


async def _the_company_of_a_text_changes_nothing(embedder: LocalEmbedder) -> None:
    """Beyond the last digits: batches are padded to their longest text."""
    text = NEAR[0][0]
    alone, many = await asyncio.gather(embedder.embed([text]), embedder.embed([text, "word " * 200, "a"]))
    assert numbers(alone.vectors[0]) == pytest.approx(numbers(many.vectors[0]), abs=1e-4)
    assert alone.tokens == 9  # six words, the full stop, and the model's own two marks


async def _tokens_are_texts(embedder: LocalEmbedder) -> None:
    made = await embedder.embed([HELLO, "Hello world, dear"])
    assert numbers(made.vectors[0]) == pytest.approx(numbers(made.vectors[1]), abs=1e-5)
    with pytest.raises(InvalidRequest, match="200000 in `input") as caught:
        await embedder.embed(["a", [9906, 200000]])
    assert caught.value.param == "input[1]"


async def _limits_are_the_models_own(embedder: LocalEmbedder) -> None:
    assert (await embedder.embed(["word " * 254])).tokens == 256
    with pytest.raises(ContextTooLong, match="257 tokens"):
        await embedder.embed(["word " * 255])
