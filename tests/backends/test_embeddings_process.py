"""The process of the local model, with a library in it that loads at once: errors, endings, and nothing left over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from local_model import numbers

from dragoman.backends.embeddings.library import ModelLocation
from dragoman.backends.embeddings.local import LocalEmbedder, LocalOptions
from dragoman.core.errors import ContextTooLong, GatewayError, QueueFull, ShuttingDown, TimedOut, UpstreamFailed

LIBRARY = Path(__file__).parent / "fake_library"


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(LIBRARY))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "planted")


@asynccontextmanager
async def model(path: str = "good", options: LocalOptions | None = None) -> AsyncIterator[LocalEmbedder]:
    """A model that leaves no process behind."""
    embedder = LocalEmbedder(ModelLocation("mini", path, offline=True), options)
    try:
        yield embedder
    finally:
        await embedder.aclose()
        assert workers() == []


def workers() -> list[psutil.Process]:
    """Processes of models that are children of this one."""
    return [child for child in psutil.Process().children() if "dragoman.backends.embeddings.worker" in child.cmdline()]


async def started(embedder: LocalEmbedder) -> psutil.Process:
    """The model's process, once it has given its first vector."""
    await embedder.embed(["one"])
    return workers()[0]


async def test_vectors_and_what_they_cost() -> None:
    """More inputs than a batch holds, in order; and one process for all requests."""
    async with model(options=LocalOptions(batch=2)) as embedder:
        made, _ = await asyncio.gather(embedder.embed(["a b", "c", "d e f"]), embedder.embed(["x"] * 5))
        assert [list(numbers(vector)) for vector in made.vectors] == [[2, 3], [1, 1], [3, 5]]
        assert made.tokens == 6
        assert len(workers()) == 1
        assert embedder.model == "mini"


async def test_the_process_knows_no_key_of_ours() -> None:
    """It runs other people's code."""
    async with model() as embedder:
        environment = (await started(embedder)).environ()
    assert "ANTHROPIC_API_KEY" not in environment
    assert environment["HF_HUB_OFFLINE"] == "1"


async def test_too_long_is_refused_by_place() -> None:
    """Half of a text's vector would be the vector of another text. Others in the batch get theirs."""
    async with model() as embedder:
        long, short = await asyncio.gather(
            embedder.embed(["a", "a b c d e"]), embedder.embed(["a"]), return_exceptions=True
        )
    assert isinstance(long, ContextTooLong)
    assert long.param == "input[1]"
    assert "has 5 tokens; `mini` reads 4 at most" in long.message
    assert not isinstance(short, BaseException)


async def test_too_long_is_cut_where_the_owner_wants_it() -> None:
    """And the answer says which, and counts what was read."""
    async with model(options=LocalOptions(truncate=True)) as embedder:
        made = await embedder.embed(["a", "a b c d e"])
    assert (made.truncated, made.tokens) == ([1], 5)


@pytest.mark.parametrize("word", ["crash", "fail"])
async def test_a_broken_model_is_started_anew(word: str) -> None:
    """The client learns no path, and the next request is answered."""
    async with model() as embedder:
        before = await started(embedder)
        with pytest.raises(UpstreamFailed) as caught:
            await embedder.embed([word])
        assert "secret" not in caught.value.message
        assert await started(embedder) != before


async def test_a_model_that_was_killed_between_requests_is_not_missed() -> None:
    """The next request is answered, by another process."""
    async with model() as embedder:
        before = await started(embedder)
        assert embedder._process
        before.kill()
        await embedder._process._process.wait()
        assert await started(embedder) != before


async def test_a_model_that_cannot_be_loaded() -> None:
    """Said with its name; why is for the log."""
    async with model("missing") as embedder:
        with pytest.raises(UpstreamFailed, match=r"`mini` cannot be loaded\. The gateway's log has the reason"):
            await embedder.embed(["a"])
        assert workers() == []


async def test_a_silent_model_is_given_up() -> None:
    """In the end the process goes, not only the request."""
    async with model() as embedder:
        before = await started(embedder)
        embedder._options = LocalOptions(timeout=0.1)  # short only now: starting may take as long as it likes
        with pytest.raises(TimedOut):
            await embedder.embed(["hang"])
        await asyncio.to_thread(psutil.wait_procs, [before], timeout=10)
        assert not before.is_running()


async def test_the_queue_is_bounded() -> None:
    """Who comes too late is told at once, and a client that leaves makes room."""
    async with model(options=LocalOptions(max_waiting=1)) as embedder:
        await started(embedder)
        hanging = asyncio.create_task(embedder.embed(["hang"]))
        while embedder._current == []:
            await asyncio.wait([hanging], timeout=0.001)
        waiting = asyncio.create_task(embedder.embed(["a"]))
        while len(embedder._jobs) == 0:
            await asyncio.wait([waiting], timeout=0.001)
        with pytest.raises(QueueFull):
            await embedder.embed(["b"])
        waiting.cancel()
        await asyncio.wait([waiting])
        assert len(embedder._jobs) == 0
        hanging.cancel()
        await asyncio.wait([hanging])


async def test_stopping_ends_everything_in_words() -> None:
    """Who is being answered, who waits, and who comes after: all hear that the gateway stops."""
    async with model() as embedder:
        await started(embedder)
        asked = [asyncio.create_task(embedder.embed([word])) for word in ("hang", "a")]
        while embedder._current == []:
            await asyncio.wait(asked, timeout=0.001)
        await embedder.aclose(0.01)
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(error, ShuttingDown) for error in ended)
        with pytest.raises(ShuttingDown):
            await embedder.embed(["b"])


async def test_stopping_lets_what_runs_end() -> None:
    """Within its grace."""
    async with model() as embedder:
        asked = asyncio.create_task(embedder.embed(["a"]))
        while embedder._task is None:
            await asyncio.wait([asked], timeout=0.001)
        await embedder.aclose(30)
        assert (await asked).tokens == 1


async def test_stopping_while_the_model_loads() -> None:
    """No process is left, however early the end comes."""
    async with model() as embedder:
        asked = asyncio.create_task(embedder.embed(["a"]))
        while not workers():
            await asyncio.wait([asked], timeout=0.001)
        await embedder.aclose()
        with pytest.raises(GatewayError):
            await asked
