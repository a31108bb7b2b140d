"""Failures in the log: their level, code, field and words, without what people wrote."""

import pytest
from scripted import KEY, clean, fails, opening, served, text

from dragoman.core.errors import GatewayError, InvalidRequest, QuotaExceeded, RateLimited, UpstreamFailed, facts_of
from dragoman.core.log import Fields
from log_lines import log_lines

_clean = pytest.fixture(autouse=True)(clean)

HELLO = {"messages": [{"role": "user", "content": "my private words"}]}
AUTHORIZED = {"x-api-key": KEY}


async def logged(
    error: GatewayError, body: object, headers: dict[str, str], *, after: bool = False
) -> tuple[int, Fields]:
    """Return the status of one request, and its line in the log."""
    events = [*opening(), text("Hel")] if after else []
    with log_lines() as log:
        async with served(fails(error, after=events), api_key=KEY, retries=0) as gateway:
            response = await gateway.http.post("/v1/chat/completions", json=body, headers=headers)
    [line] = [line for line in log if line["event"] == "http.request"]
    return response.status_code, line


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (QuotaExceeded("Your credit balance is too low."), 429),
        (RateLimited("Too many requests."), 429),
        (UpstreamFailed("Claude failed."), 502),
    ],
)
async def test_failures_of_the_account_are_warnings(error: GatewayError, status: int) -> None:
    """They have the words of the error."""
    found, line = await logged(error, HELLO, AUTHORIZED)
    assert (found, line["level"], line["error"], line["message"]) == (status, "warning", error.code, error.message)


async def test_a_wrong_key_is_a_warning() -> None:
    """An operator sees who tries keys, and not the key."""
    status, line = await logged(UpstreamFailed("-"), HELLO, {"x-api-key": "guessed-key"})
    assert (status, line["level"], line["error"]) == (401, "warning", "invalid_api_key")
    assert "guessed" not in str(line)


async def test_a_failure_inside_a_stream_is_a_warning() -> None:
    """Its status is 200: the response had begun."""
    status, line = await logged(UpstreamFailed("Claude failed."), HELLO | {"stream": True}, AUTHORIZED, after=True)
    assert (status, line["level"], line["message"]) == (200, "warning", "Claude failed.")


async def test_a_wrong_request_has_its_field_and_message() -> None:
    """It is the client's own matter, so it stays at info. The line says which field, and quotes no sentence."""
    body = {"messages": [{"role": "my private words", "content": "x"}], "temperature": "my private words"}
    status, line = await logged(UpstreamFailed("-"), body, AUTHORIZED)
    assert (status, line["level"]) == (400, "info")
    assert line["param"] in {"temperature", "messages[0].role"}
    assert line["message"]
    assert "private" not in str(line)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("`max_tokens` must be positive.", "`max_tokens` must be positive."),
        ("The model `gpt-9` does not exist.", "The model `gpt-9` does not exist."),
        ("The host name `a secret sentence` is not allowed.", "The host name … is not allowed."),
        ("Invalid enum value 'my words'.", "Invalid enum value …."),
        ("The user's name isn't the key's.", "The user's name isn't the key's."),
        ('"it\'s mine" is not of type integer', "… is not of type integer"),
        ("It ends in `an open quote", "It ends in …"),
        ("x" * 400, "x" * 300 + "…"),
    ],
)
def test_quotes_are_left_out(message: str, words: str) -> None:
    """A quoted name is kept. Any other quoted text may be a person's."""
    assert facts_of(InvalidRequest(message))["message"] == words


def test_a_field_that_is_a_sentence_is_left_out() -> None:
    """Clients choose the names of unknown fields."""
    assert facts_of(InvalidRequest("No.", param="my words"))["param"] == "…"
    assert facts_of(InvalidRequest("No.", param="messages[2].content"))["param"] == "messages[2].content"
    assert facts_of(None) == {}
