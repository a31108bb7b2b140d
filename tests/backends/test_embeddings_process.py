"""The local model's process, with a fake library that loads at once: errors, timeouts, the queue and shutdown."""

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
    """Let the process import the fake library, and set an API key that it must not inherit."""
    monkeypatch.setenv("PYTHONPATH", str(LIBRARY))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "planted")


@asynccontextmanager
async def local_embedder(path: str = "good", options: LocalOptions | None = None) -> AsyncIterator[LocalEmbedder]:
    """Open an embedder. At the end, close it and check that no process is left."""
    embedder = LocalEmbedder(ModelLocation("mini", path, offline=True), options)
    try:
        yield embedder
    finally:
        await embedder.aclose()
        assert workers() == []


def workers() -> list[psutil.Process]:
    """Return the model processes that are children of this process."""
    return [child for child in psutil.Process().children() if "dragoman.backends.embeddings.worker" in child.cmdline()]


async def start_worker(embedder: LocalEmbedder) -> psutil.Process:
    """Return the model's process after its first response."""
    await embedder.embed(["one"])
    return workers()[0]


async def test_vectors_and_token_counts() -> None:
    """Requests that are larger than a batch get their vectors in order. All requests share one process."""
    async with local_embedder(options=LocalOptions(batch=2)) as embedder:
        result, _ = await asyncio.gather(embedder.embed(["a b", "c", "d e f"]), embedder.embed(["x"] * 5))
        assert [list(numbers(vector)) for vector in result.vectors] == [[2, 3], [1, 1], [3, 5]]
        assert result.tokens == 6
        assert len(workers()) == 1
        assert embedder.model == "mini"


async def test_process_does_not_inherit_keys() -> None:
    """The process runs third-party code, so its environment has no key. Downloads from the hub are disabled."""
    async with local_embedder() as embedder:
        environment = (await start_worker(embedder)).environ()
    assert "ANTHROPIC_API_KEY" not in environment
    assert environment["HF_HUB_OFFLINE"] == "1"


async def test_long_input_is_refused() -> None:
    """The error names the input, its size and the limit. Other requests in the batch succeed."""
    async with local_embedder() as embedder:
        long, short = await asyncio.gather(
            embedder.embed(["a", "a b c d e"]), embedder.embed(["a"]), return_exceptions=True
        )
    assert isinstance(long, ContextTooLong)
    assert long.param == "input[1]"
    assert "has 5 tokens; `mini` reads 4 at most" in long.message
    assert not isinstance(short, BaseException)


async def test_long_input_is_truncated_if_allowed() -> None:
    """The result lists the truncated inputs, and counts only the tokens that were read."""
    async with local_embedder(options=LocalOptions(truncate=True)) as embedder:
        result = await embedder.embed(["a", "a b c d e"])
    assert (result.truncated, result.tokens) == ([1], 5)


@pytest.mark.parametrize("word", ["crash", "fail"])
async def test_process_is_restarted_after_an_error(word: str) -> None:
    """The request fails without a path in its error. The next request succeeds in a new process."""
    async with local_embedder() as embedder:
        before = await start_worker(embedder)
        with pytest.raises(UpstreamFailed) as caught:
            await embedder.embed([word])
        assert "secret" not in caught.value.message
        assert await start_worker(embedder) != before


async def test_process_is_restarted_if_it_died_while_idle() -> None:
    """If the process is killed between requests, the next request succeeds in a new process."""
    async with local_embedder() as embedder:
        before = await start_worker(embedder)
        assert embedder._process
        before.kill()
        await embedder._process._process.wait()
        assert await start_worker(embedder) != before


async def test_model_that_cannot_be_loaded() -> None:
    """The error has the model's name. The reason is only in the log."""
    async with local_embedder("missing") as embedder:
        with pytest.raises(UpstreamFailed, match=r"`mini` cannot be loaded\. The gateway's log has the reason"):
            await embedder.embed(["a"])
        assert workers() == []


async def test_timeout_ends_the_process() -> None:
    """If the model does not respond in time, the request fails and the process ends."""
    async with local_embedder() as embedder:
        before = await start_worker(embedder)
        embedder._options = LocalOptions(timeout=0.1)  # only now, because loading the model may take longer
        with pytest.raises(TimedOut):
            await embedder.embed(["hang"])
        await asyncio.to_thread(psutil.wait_procs, [before], timeout=300)
        assert not before.is_running()


async def test_queue_limit() -> None:
    """A request is refused at once if the queue is full. A cancelled request leaves the queue."""
    async with local_embedder(options=LocalOptions(max_waiting=1)) as embedder:
        await start_worker(embedder)
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


async def test_shutdown_fails_all_requests() -> None:
    """Running, queued and later requests fail with `ShuttingDown`."""
    async with local_embedder() as embedder:
        await start_worker(embedder)
        tasks = [asyncio.create_task(embedder.embed([word])) for word in ("hang", "a")]
        while embedder._current == []:
            await asyncio.wait(tasks, timeout=0.001)
        await embedder.aclose(0.01)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(error, ShuttingDown) for error in results)
        with pytest.raises(ShuttingDown):
            await embedder.embed(["b"])


async def test_shutdown_waits_for_running_requests() -> None:
    """A request that ends within the grace period succeeds."""
    async with local_embedder() as embedder:
        task = asyncio.create_task(embedder.embed(["a"]))
        while embedder._task is None:
            await asyncio.wait([task], timeout=0.001)
        await embedder.aclose(30)
        assert (await task).tokens == 1


async def test_shutdown_while_the_model_loads() -> None:
    """The request fails, and no process is left."""
    async with local_embedder() as embedder:
        task = asyncio.create_task(embedder.embed(["a"]))
        while not workers():
            await asyncio.wait([task], timeout=0.001)
        await embedder.aclose()
        with pytest.raises(GatewayError):
            await task
