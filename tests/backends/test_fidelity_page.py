"""docs/fidelity.md says what reaches the API; here the real runtime is asked whether that is still so."""

import json
import re
from pathlib import Path
from typing import cast

import pytest
from backend_harness import runtime, user

from dragoman.core.messages import JSON, JSONObject, Message

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"
CASES = [
    (auth, model)
    for auth in ("key", "signed-in")
    for model in ("claude-sonnet-4-5", "claude-opus-5", "claude-opus-5-5")
]
SHAPED = (
    (re.compile(r"cc_version=[\w.]+"), "cc_version=<version>"),
    (re.compile(r"# Environment\n.*?(?=\n\n|\n</system-reminder>)", re.DOTALL), "# Environment\n<this machine>"),
    (re.compile(r"You are powered by the model named [^\n]*"), "You are powered by <model>"),
    (re.compile(r"Today's date is [\d-]+"), "Today's date is <date>"),
)


def shown(auth: str, model: str) -> JSONObject:
    """The request that the page shows for a case."""
    page = PAGE.read_text()
    found = re.search(rf"<!-- {auth} {model} -->\n```json\n(.*?)```", page, re.DOTALL)
    assert found, f"docs/fidelity.md shows nothing for {auth} {model}"
    return cast("JSONObject", json.loads(found[1]))


def shaped(value: JSON) -> JSON:
    """A request without what differs from one machine or day to another, and without thinking signatures."""
    if isinstance(value, dict):
        made = {key: shaped(item) for key, item in value.items()}
        return {**made, "signature": "<signature>"} if "signature" in made else made
    if isinstance(value, list):
        return [shaped(item) for item in value]
    if isinstance(value, str):
        for pattern, name in SHAPED:
            value = pattern.sub(name, value)
    return value


def request_of(body: JSONObject) -> JSONObject:
    """What the page shows of a request: all of it but the runtime's ids."""
    return cast("JSONObject", shaped({**body, "metadata": "<the runtime's own>"}))


def unthought(request: JSONObject) -> JSONObject:
    """The same request without what the model thought, which only a live process still has by itself."""
    messages = cast("list[JSONObject]", request["messages"])
    return {**request, "messages": [{**message, "content": _unthought(message["content"])} for message in messages]}


def _unthought(content: JSON) -> JSON:
    if not isinstance(content, list):
        return content
    return [block for block in content if not (isinstance(block, dict) and block["type"] == "thinking")]


@pytest.mark.parametrize(("auth", "model"), CASES)
async def test_the_page_shows_what_reaches_the_api_live_and_replayed(tmp_path: Path, auth: str, model: str) -> None:
    """The second turn of a conversation, in its own process and in another."""
    system = [{"type": "text", "text": "Be brief."}]
    async with runtime(tmp_path, signed_in=auth == "signed-in") as harness:
        first = await harness.ask([user("Hello")], model, system=system, max_tokens=4096)
        messages: list[Message] = [user("Hello"), first.message, user("And now?")]
        second = await harness.ask(messages, model, system=system, max_tokens=4096)
        assert second.path == "live"
        harness.backend._live.clear()
        third = await harness.ask(messages, model, system=system, max_tokens=4096)
        assert third.path != "live"
        live, replayed = (request_of(harness.calls[number].body) for number in (1, 2))
    assert live == shown(auth, model)
    assert unthought(replayed) == unthought(live)
