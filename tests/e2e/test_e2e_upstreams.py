"""Several upstreams behind the whole gateway: failures, fallback, budgets, and what clients and operators see."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import cast

import httpx
import openai
import pytest
from cloud_harness import bedrock
from upstream_gateways import upstreams

from dragoman.core.messages import Message
from dragoman.simulator.faults import Action, Fault
from dragoman.simulator.server import Simulator
from log_lines import log_lines

PONG = "Reply with exactly: PONG"
ONE: dict[str, object] = {"name": "one"}
TWO: dict[str, object] = {"name": "two"}


def text_of(response: httpx.Response) -> str:
    """Return the text of a response."""
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


def answer_block_types(simulator: Simulator) -> list[list[object]]:
    """Return the block types of each assistant message in the last call."""
    messages = cast("list[Message]", simulator.calls[-1].body["messages"])
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    return [[block["type"] for block in content] for content in answers]


async def test_upstream_is_in_a_header_and_in_the_log(tmp_path: Path) -> None:
    """On every response, plain or streamed; the API key is that of the upstream."""
    with log_lines() as log:
        async with upstreams(tmp_path, ONE, TWO) as gateway:
            answer = await gateway.chat(PONG)
            assert text_of(answer) == "PONG"
            assert answer.headers["x-dragoman-upstream"] == "one"
    assert [line["upstream"] for line in log if line["event"] == "run.end"] == ["one"]
    async with upstreams(tmp_path, ONE, TWO) as gateway:
        streamed = await gateway.openai.chat.completions.with_raw_response.create(
            model="sonnet", messages=[{"role": "user", "content": PONG}], stream=True
        )
        assert streamed.headers["x-dragoman-upstream"] == "one"
        assert [call.headers["x-api-key"] for call in gateway.simulators["one"].calls] == ["sk-ant-one"]
    assert gateway.calls() == [1, 0]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers={"retry-after": "30"}),
        Fault(status=529),
        Fault(status=500),
        Fault(status=401),
        Fault(status=400, message="Your credit balance is too low"),
        Fault(action="cut"),
    ],
    ids=["429", "529", "500", "401", "credit", "cut"],
)
async def test_failure_before_the_first_byte_falls_back(tmp_path: Path, fault: Fault) -> None:
    """The client gets one response, and its header names the upstream."""
    async with upstreams(tmp_path, ONE, TWO) as gateway:
        gateway.simulators["one"].inject(fault)
        answer = await gateway.chat(PONG)
        assert (text_of(answer), answer.headers["x-dragoman-upstream"]) == ("PONG", "two")
        assert gateway.calls() == [1, 1]


async def test_unreachable_upstream_is_skipped(tmp_path: Path) -> None:
    """A refused connection is an outage."""
    async with upstreams(tmp_path, {**ONE, "base_url": "http://127.0.0.1:1"}, TWO) as gateway:
        assert text_of(await gateway.chat(PONG)) == "PONG"
        ready = (await gateway.http.get("/health/ready")).json()
    assert ready["backend"]["name"] == "router"
    one, two = ready["backend"]["upstreams"]["one"], ready["backend"]["upstreams"]["two"]
    assert (one["state"], one["reason"], one["failures"]) == ("resting", "upstream_error", 1)
    assert 0 < one["rests_for_seconds"] <= 5
    assert (two["state"], two["authentication"]) == ("ready", "api_key")


@pytest.mark.parametrize("action", ["cut", "error", "garbage"])
async def test_failure_after_the_first_byte_ends_the_stream(tmp_path: Path, action: Action) -> None:
    """No other upstream is asked."""
    async with upstreams(tmp_path, ONE, TWO) as gateway:
        gateway.simulators["one"].inject(Fault(action=action, after=2))
        stream = await gateway.openai.chat.completions.create(
            model="sonnet", messages=[{"role": "user", "content": "Count to 9"}], stream=True
        )
        with pytest.raises(openai.APIError):
            [chunk async for chunk in stream]
        assert gateway.calls() == [1, 0]


async def test_without_fallback_the_client_gets_the_error(tmp_path: Path) -> None:
    """The header still names the upstream."""
    async with upstreams(tmp_path, ONE, TWO, fallback=False, retries=0) as gateway:
        gateway.simulators["one"].inject(Fault(status=529))
        answer = await gateway.chat(PONG)
        assert answer.status_code == 503
        assert answer.headers["x-dragoman-upstream"] == "one"
        assert gateway.calls() == [1, 0]


async def test_conversation_stays_with_its_upstream(tmp_path: Path) -> None:
    """The next turn goes where its prompt is cached; thinking of another upstream is not sent."""
    turns: list[dict[str, object]] = [{"role": "user", "content": "Think: hello"}]
    async with upstreams(tmp_path, ONE, TWO) as gateway:
        first = await gateway.http.post("/v1/chat/completions", json={"model": "opus", "messages": turns})
        assert first.headers["x-dragoman-upstream"] == "one"
        turns += [
            {"role": "assistant", "content": first.json()["choices"][0]["message"]["content"]},
            {"role": "user", "content": "Think: more"},
        ]
        gateway.simulators["one"].inject(Fault(status=529))
        second = await gateway.http.post("/v1/chat/completions", json={"model": "opus", "messages": turns})
        assert second.headers["x-dragoman-upstream"] == "two"
        assert answer_block_types(gateway.simulators["two"]) == [["text"]]
        turns += [
            {"role": "assistant", "content": second.json()["choices"][0]["message"]["content"]},
            {"role": "user", "content": "Think: still more"},
        ]
        third = await gateway.http.post("/v1/chat/completions", json={"model": "opus", "messages": turns})
        assert third.headers["x-dragoman-upstream"] == "two"
        # This upstream's thinking is restored; that of the other is not.
        assert answer_block_types(gateway.simulators["two"]) == [["text"], ["thinking", "text"]]


async def test_thinking_of_an_unknown_upstream_is_left_out(tmp_path: Path) -> None:
    """The API refuses thinking that is bound to another account; the retry leaves it out."""
    ask = {"model": "sonnet", "max_tokens": 5000, "messages": [{"role": "user", "content": "Think: hello"}]}
    headers = {"anthropic-version": "2023-06-01"}
    async with upstreams(tmp_path, ONE, TWO) as gateway:
        gateway.simulators["one"].inject(Fault(status=529))
        first = await gateway.http.post("/v1/messages", json=ask, headers=headers)
        assert first.headers["x-dragoman-upstream"] == "two"
    answer = first.json()["content"]
    assert answer[0]["type"] == "thinking"
    more = [*ask["messages"], {"role": "assistant", "content": answer}, {"role": "user", "content": "More"}]  # type: ignore[misc]
    async with upstreams(tmp_path, ONE, TWO) as gateway:
        second = await gateway.http.post("/v1/messages", json={**ask, "messages": more}, headers=headers)
        assert (second.status_code, second.headers["x-dragoman-upstream"]) == (200, "one")
        assert "left_out" in second.headers["x-dragoman-warnings"]
        assert gateway.calls() == [2, 0]


@dataclass
class Refusal:
    """What a client and an operator see of an upstream without budget."""

    answer: httpx.Response
    calls: int
    ready: httpx.Response
    metrics: str


async def exhaust_budget(folder: Path, *, first: bool) -> Refusal:
    """Send a request to an upstream whose budget suffices for one, which was sent here or before."""
    async with upstreams(folder, {**ONE, "daily_budget": "0.0247"}) as gateway:
        if first:
            await gateway.chat(PONG)
        refused, ready = await gateway.chat(PONG), await gateway.http.get("/health/ready")
        [calls] = gateway.calls()
        return Refusal(refused, calls, ready, (await gateway.http.get("/metrics")).text)


async def test_daily_budget_refuses_requests_until_midnight(tmp_path: Path) -> None:
    """Also after a restart: 429 `insufficient_quota` names the upstream, and clients do not retry."""
    for attempt in count():
        day = datetime.now(UTC).date()
        before = await exhaust_budget(tmp_path / str(attempt), first=True)
        after = await exhaust_budget(tmp_path / str(attempt), first=False)
        if datetime.now(UTC).date() == day:  # otherwise the budget was renewed at midnight
            break
    assert (before.calls, after.calls) == (1, 0)
    for refusal in (before, after):
        error = refusal.answer.json()["error"]
        assert (refusal.answer.status_code, error["code"]) == (429, "insufficient_quota")
        assert "The budget of the upstream `one` ($0.024700 a day) does not suffice" in error["message"]
        assert "00:00 UTC" in error["message"]
        assert refusal.answer.headers["x-should-retry"] == "false"
        assert 0 < int(refusal.answer.headers["retry-after"]) <= 86400
        assert refusal.ready.json()["backend"]["upstreams"]["one"]["budget"]["left_dollars"] == "0.0245"
        assert 'dragoman_upstream_spent_dollars{upstream="one"} 0.0002' in refusal.metrics


async def test_model_selects_the_upstream(tmp_path: Path) -> None:
    """For responses, lists and token counts."""
    small, large = {**ONE, "models": ["haiku"]}, {**TWO, "models": ["claude-opus-*", "sonnet"]}
    async with upstreams(tmp_path, small, large) as gateway:
        for model, upstream in (("haiku", "one"), ("opus", "two"), ("sonnet", "two")):
            assert (await gateway.chat(PONG, model)).headers["x-dragoman-upstream"] == upstream
        unserved = await gateway.chat(PONG, "claude-sonnet-4-5")
        assert (unserved.status_code, unserved.json()["error"]["code"]) == (404, "model_not_found")
        listed = {model["id"] for model in (await gateway.http.get("/v1/models")).json()["data"]}
        assert {"claude-haiku-5-5", "claude-opus-5", "claude-sonnet-5-5"} <= listed
        assert "claude-sonnet-4-5" not in listed
        body = {"model": "haiku", "messages": [{"role": "user", "content": PONG}]}
        counted = await gateway.http.post("/v1/messages/count_tokens", json=body)
        assert counted.json()["input_tokens"] > 0


async def test_upstreams_may_have_different_backends(tmp_path: Path) -> None:
    """Claude Code for one model, the API for the others; each has its own files."""
    runtime = {**ONE, "backend": "runtime", "models": ["haiku"]}
    async with upstreams(tmp_path, runtime, TWO) as gateway:
        cold = await gateway.chat(PONG, "haiku")
        assert (text_of(cold), cold.headers["x-dragoman-path"]) == ("PONG", "cold")
        direct = await gateway.chat(PONG)
        assert (text_of(direct), direct.headers["x-dragoman-path"]) == ("PONG", "api")
        assert (tmp_path / "state" / "upstreams" / "one").is_dir()
        metrics = (await gateway.http.get("/metrics")).text
        assert 'dragoman_processes{state="live"} 1.0' in metrics
        assert 'dragoman_upstream_runs{upstream="two"} 0.0' in metrics
    assert gateway.calls() == [1, 1]


@pytest.mark.parametrize("fallback", [True, False])
async def test_key_replaces_a_used_up_sign_in_only_with_fallback(tmp_path: Path, *, fallback: bool) -> None:
    """The plan of the sign-in is used up; the operator decides whether an API key may pay instead."""
    signed_in = {**ONE, "api_key": None, "backend": "runtime", "signed_in": True}
    settings: dict[str, object] = {"claude_config_dir": tmp_path / "owner", "retries": 0}
    async with upstreams(tmp_path, signed_in, TWO, fallback=fallback, **settings) as gateway:
        gateway.simulators["one"].inject(Fault(status=429, message="You've hit your limit"), times=9)
        answer = await gateway.chat(PONG)
        if fallback:
            assert (text_of(answer), answer.headers["x-dragoman-upstream"]) == ("PONG", "two")
        else:
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
        assert gateway.calls()[1] == fallback
        assert not any(call.headers.get("authorization") for call in gateway.simulators["two"].calls)


async def test_runtime_that_cannot_start_falls_back(tmp_path: Path) -> None:
    """A process that cannot be started is an outage."""
    runtime = {**ONE, "backend": "runtime"}
    broken = tmp_path / "broken"
    broken.write_text("#!/nowhere/sh\n")
    broken.chmod(0o755)
    async with upstreams(tmp_path, runtime, TWO, claude_command=broken) as gateway:
        answer = await gateway.chat(PONG)
        assert (text_of(answer), answer.headers["x-dragoman-upstream"]) == ("PONG", "two")
        assert gateway.calls() == [0, 1]


async def test_cloud_upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does not support is refused by name; after a failure the next upstream answers."""
    async with bedrock(monkeypatch, tmp_path) as (_, cloud):
        aws = {**ONE, "api_key": None, "cloud": "bedrock", "region": "us-east-1", "base_url": cloud.url}
        async with upstreams(tmp_path, aws, TWO) as gateway:
            answer = await gateway.chat(PONG)
            assert (text_of(answer), answer.headers["x-dragoman-upstream"]) == ("PONG", "one")
            searching = {"model": "sonnet", "messages": [{"role": "user", "content": PONG}], "web_search_options": {}}
            refused = await gateway.http.post("/v1/chat/completions", json=searching)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_parameter")
            assert "Claude on Bedrock has no web search" in refused.json()["error"]["message"]
            cloud.failures = [(429, {"content-type": "application/json"}, b'{"message":"Too many tokens"}')]
            moved = await gateway.chat(f"{PONG}\nNow.")
            assert (text_of(moved), moved.headers["x-dragoman-upstream"]) == ("PONG", "two")
            ready = (await gateway.http.get("/health/ready")).json()["backend"]["upstreams"]["one"]
            assert (ready["cloud"], ready["region"], ready["authentication"]) == ("bedrock", "us-east-1", "bedrock")
