"""Tests that hold for every backend: failures of the API, from one list."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from any_backend import WITH_TEXT, Either, either
from api_harness import Api
from backend_harness import Runtime, user

from dragoman.core import errors
from dragoman.core.events import Event, MessageStop, Retrying
from dragoman.simulator.faults import Fault

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHARED = pytest.mark.parametrize("shared", ["runtime", "api", "cli"], indirect=True)

FAULTS: list[tuple[Fault, type[errors.GatewayError]]] = [
    (Fault(status=400, message="something is off"), errors.InvalidRequest),
    (Fault(status=400, message="prompt is too long: 9 tokens > 8 maximum"), errors.ContextTooLong),
    (Fault(status=400, message="Your credit balance is too low"), errors.QuotaExceeded),
    (Fault(status=400, message="tool_choice: Tool 'look_up_billing' not found"), errors.InvalidRequest),
    (Fault(status=401), errors.NotSignedIn),
    (Fault(status=402, error_type="billing_error", message="pay first"), errors.QuotaExceeded),
    (Fault(status=403), errors.Forbidden),
    (Fault(status=404), errors.NotFound),
    (Fault(status=413), errors.RequestTooLarge),
    (Fault(status=429), errors.RateLimited),
    (Fault(status=429, message="Third-party apps now draw from your extra usage"), errors.QuotaExceeded),
    (Fault(status=500), errors.UpstreamFailed),
    (Fault(status=529), errors.Overloaded),
    (Fault(action="cut"), errors.UpstreamFailed),
    (Fault(action="cut", after=2), errors.UpstreamFailed),
    (Fault(action="error", after=2), errors.Overloaded),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Either]:
    """Yield a backend of a kind for all its failures: each has a process of its own."""
    async with either(request.param, tmp_path_factory.mktemp(request.param)) as harness:
        yield harness


@pytest.fixture
def failing(shared: Either) -> Either:
    """Return the shared backend, without the faults and calls of other tests."""
    shared.simulator.clear()
    return shared


@SHARED
@pytest.mark.parametrize(("fault", "cause"), FAULTS, ids=lambda value: str(value)[:60])
async def test_a_failure_is_the_right_error_and_never_a_response(
    failing: Either, fault: Fault, cause: type[errors.GatewayError]
) -> None:
    """The error has the right cause and a text for the client. No end of a message comes before it.

    The runtime's synthetic message about the failure is not passed on, and its process is not used again.
    """
    failing.simulator.inject(fault, times=10)
    seen: list[Event] = []
    with pytest.raises(cause) as caught:
        await failing.read([user("Count to 9")], into=seen)
    assert type(caught.value) is cause
    assert cause is not errors.InvalidRequest or caught.value.code == "invalid_value"
    assert caught.value.message.endswith((".", "--signed-in`.", ">=2.11'`."))
    assert not any(isinstance(event, MessageStop) for event in seen)
    if isinstance(failing, Runtime):
        assert failing.processes == {"spare": 0, "live": 0, "agents": 0, "all": 0}


RUNTIMES_WORDS = "prompt is too long"
"""The runtime reports no more about a prompt that does not fit together with `max_tokens`."""

API_WORDS = [
    (400, "prompt is too long: 209 tokens > 200 maximum", "209 tokens, and the maximum context length is 200"),
    (
        400,
        "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length and retry",
        "188240 + 21333 tokens, and the maximum context length is 200000",
    ),
    (400, "messages.1.content.0.thinking.signature: Field required", "signature: Field required."),
]


@SHARED
@pytest.mark.parametrize(("status", "words", "message"), API_WORDS, ids=["prompt", "sum", "field"])
async def test_the_words_of_the_api_are_kept(failing: Either, status: int, words: str, message: str) -> None:
    """Agents read figures from them. Clients of OpenAI's API get a sentence with the words that they look for."""
    failing.simulator.inject(Fault(status=status, message=words), times=10)
    with pytest.raises(errors.InvalidRequest) as caught:
        await failing.read([user("Count to 9")], into=[])
    if "188240" in words and not isinstance(failing, Api):
        words, message = RUNTIMES_WORDS, "maximum context length"
    assert caught.value.upstream_message == words
    assert message in caught.value.message


@SHARED
async def test_the_words_about_the_gateways_account_are_not_for_clients(failing: Either) -> None:
    """A client would look for the fault in its own key."""
    failing.simulator.inject(Fault(status=401, message="invalid x-api-key"), times=10)
    with pytest.raises(errors.NotSignedIn) as caught:
        await failing.read([user("Count to 9")], into=[])
    assert caught.value.upstream_message is None


@WITH_TEXT
async def test_an_overload_is_repeated_and_answered_once(tmp_path: Path, kind: str) -> None:
    """The run yields `Retrying`."""
    async with either(kind, tmp_path, retries=2) as harness:
        harness.simulator.inject(Fault(status=529))
        answer = await harness.ask([user("Reply with exactly: PONG")])
        assert answer.text == "PONG"
        assert [event.attempt for event in answer.events if isinstance(event, Retrying)] == [1]
        assert len(harness.calls) == 2
