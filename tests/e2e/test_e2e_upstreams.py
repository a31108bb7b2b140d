"""Several upstreams behind the whole gateway: faults of the real simulator, and what clients and operators see."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import cast

import httpx
import openai
import pytest
from cloud_harness import bedrock
from structlog.testing import capture_logs
from upstream_gateways import upstreams

from dragoman.core.messages import Message
from dragoman.simulator.faults import Action, Fault
from dragoman.simulator.server import Simulator

PONG = "Reply with exactly: PONG"
ONE: dict[str, object] = {"name": "one"}
TWO: dict[str, object] = {"name": "two"}


def said(response: httpx.Response) -> str:
    """What an answer says."""
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


def thought(simulator: Simulator) -> list[list[object]]:
    """The blocks of each answer that the last call sent along."""
    messages = cast("list[Message]", simulator.calls[-1].body["messages"])
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    return [[block["type"] for block in content] for content in answers]


async def test_who_answered_stands_in_a_header_and_in_the_log(tmp_path: Path) -> None:
    """On every answer, streamed or not; the key that was sent is that upstream's."""
    async with upstreams(tmp_path, ONE, TWO) as gateway:
        with capture_logs() as log:
            answer = await gateway.chat(PONG)
        assert said(answer) == "PONG"
        assert answer.headers["x-dragoman-upstream"] == "one"
        assert [line["upstream"] for line in log if line["event"] == "run.end"] == ["one"]
        streamed = await gateway.openai.chat.completions.with_raw_response.create(
            model="sonnet", messages=[{"role": "user", "content": PONG}], stream=True
        )
        assert streamed.headers["x-dragoman-upstream"] == "one"
        assert [call.headers["x-api-key"] for call in gateway.simulators["one"].calls] == ["sk-ant-one"] * 2
    assert gateway.calls() == [2, 0]


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
async def test_a_fault_before_the_first_byte_leads_to_the_next_upstream(tmp_path: Path, fault: Fault) -> None:
    """The client gets one answer, and its header says whose."""
    async with upstreams(tmp_path, ONE, TWO) as gateway:
        gateway.simulators["one"].inject(fault)
        answer = await gateway.chat(PONG)
        assert (said(answer), answer.headers["x-dragoman-upstream"]) == ("PONG", "two")
        assert gateway.calls() == [1, 1]


async def test_an_upstream_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    """A refused connection is an outage."""
    async with upstreams(tmp_path, {**ONE, "base_url": "http://127.0.0.1:1"}, TWO) as gateway:
        assert said(await gateway.chat(PONG)) == "PONG"
        ready = (await gateway.http.get("/health/ready")).json()
    assert ready["backend"]["name"] == "router"
    one, two = ready["backend"]["upstreams"]["one"], ready["backend"]["upstreams"]["two"]
    assert (one["state"], one["reason"], one["failures"]) == ("resting", "upstream_error", 1)
    assert 0 < one["rests_for_seconds"] <= 5
    assert (two["state"], two["authentication"]) == ("ready", "api_key")


@pytest.mark.parametrize("action", ["cut", "error", "garbage"])
async def test_after_the_first_byte_the_answer_is_not_begun_anew(tmp_path: Path, action: Action) -> None:
    """The stream ends in an error, and nobody else is asked."""
    async with upstreams(tmp_path, ONE, TWO) as gateway:
        gateway.simulators["one"].inject(Fault(action=action, after=2))
        stream = await gateway.openai.chat.completions.create(
            model="sonnet", messages=[{"role": "user", "content": "Count to 9"}], stream=True
        )
        with pytest.raises(openai.APIError):
            [chunk async for chunk in stream]
        assert gateway.calls() == [1, 0]


async def test_without_fallback_the_fault_is_the_clients(tmp_path: Path) -> None:
    """The owner has not allowed it; the header still says who was asked."""
    async with upstreams(tmp_path, ONE, TWO, fallback=False, retries=0) as gateway:
        gateway.simulators["one"].inject(Fault(status=529))
        answer = await gateway.chat(PONG)
        assert answer.status_code == 503
        assert answer.headers["x-dragoman-upstream"] == "one"
        assert gateway.calls() == [1, 0]


async def test_a_conversation_stays_with_the_upstream_that_took_it_and_its_cache(tmp_path: Path) -> None:
    """Its next turn goes where its prompt is cached; and its thinking was not carried over."""
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
        assert thought(gateway.simulators["two"]) == [["text"]]
        turns += [
            {"role": "assistant", "content": second.json()["choices"][0]["message"]["content"]},
            {"role": "user", "content": "Think: still more"},
        ]
        third = await gateway.http.post("/v1/chat/completions", json={"model": "opus", "messages": turns})
        assert third.headers["x-dragoman-upstream"] == "two"
        # What this account thought is put back; what the other did is not.
        assert thought(gateway.simulators["two"]) == [["text"], ["thinking", "text"]]


async def test_a_conversation_whose_account_is_forgotten_goes_on_without_its_thinking(tmp_path: Path) -> None:
    """The real refusal, of a model that binds thinking to its account: a client that sends it back itself."""
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
    """What was seen of an upstream that may spend nothing more."""

    answer: httpx.Response
    calls: int
    ready: httpx.Response
    metrics: str


async def used_up(folder: Path, *, first: bool) -> Refusal:
    """Ask one with next to no budget, which the first answer uses up."""
    async with upstreams(folder, {**ONE, "daily_budget": "0.000001"}) as gateway:
        if first:
            await gateway.chat(PONG)
        refused, ready = await gateway.chat(PONG), await gateway.http.get("/health/ready")
        [calls] = gateway.calls()
        return Refusal(refused, calls, ready, (await gateway.http.get("/metrics")).text)


async def test_a_daily_budget_ends_runs_until_midnight_also_after_a_restart(tmp_path: Path) -> None:
    """429 `insufficient_quota`, by the upstream's name, and clients are told not to try again."""
    for attempt in count():
        day = datetime.now(UTC).date()
        before = await used_up(tmp_path / str(attempt), first=True)
        after = await used_up(tmp_path / str(attempt), first=False)
        if datetime.now(UTC).date() == day:  # otherwise it was midnight, and the budget a new one
            break
    assert (before.calls, after.calls) == (1, 0)
    for seen in (before, after):
        error = seen.answer.json()["error"]
        assert (seen.answer.status_code, error["code"]) == (429, "insufficient_quota")
        assert "`one` ($0.000001) is used up" in error["message"]
        assert "00:00 UTC" in error["message"]
        assert seen.answer.headers["x-should-retry"] == "false"
        assert 0 < int(seen.answer.headers["retry-after"]) <= 86400
        assert seen.ready.status_code == 503
        assert seen.ready.json()["backend"]["upstreams"]["one"]["budget"]["left_dollars"] == "0.0000"
        assert 'dragoman_upstream_ready{upstream="one"} 0.0' in seen.metrics
        assert 'dragoman_upstream_spent_dollars{upstream="one"} 0.0002' in seen.metrics


async def test_models_have_their_upstreams(tmp_path: Path) -> None:
    """And lists and counts are theirs."""
    small, large = {**ONE, "models": ["haiku"]}, {**TWO, "models": ["claude-opus-*", "sonnet"]}
    async with upstreams(tmp_path, small, large) as gateway:
        for model, upstream in (("haiku", "one"), ("opus", "two"), ("sonnet", "two")):
            assert (await gateway.chat(PONG, model)).headers["x-dragoman-upstream"] == upstream
        nobody = await gateway.chat(PONG, "claude-sonnet-4-5")
        assert (nobody.status_code, nobody.json()["error"]["code"]) == (404, "model_not_found")
        listed = {model["id"] for model in (await gateway.http.get("/v1/models")).json()["data"]}
        assert {"claude-haiku-5-5", "claude-opus-5", "claude-sonnet-5-5"} <= listed
        assert "claude-sonnet-4-5" not in listed
        body = {"model": "haiku", "messages": [{"role": "user", "content": PONG}]}
        counted = await gateway.http.post("/v1/messages/count_tokens", json=body)
        assert counted.json()["input_tokens"] > 0


async def test_backends_of_several_kinds_stand_side_by_side(tmp_path: Path) -> None:
    """Claude Code for one model, the API itself for the rest; each has its own files."""
    through = {**ONE, "backend": "runtime", "models": ["haiku"]}
    async with upstreams(tmp_path, through, TWO) as gateway:
        cold = await gateway.chat(PONG, "haiku")
        assert (said(cold), cold.headers["x-dragoman-path"]) == ("PONG", "cold")
        direct = await gateway.chat(PONG)
        assert (said(direct), direct.headers["x-dragoman-path"]) == ("PONG", "api")
        assert (tmp_path / "state" / "upstreams" / "one").is_dir()
        metrics = (await gateway.http.get("/metrics")).text
        assert 'dragoman_processes{state="live"} 1.0' in metrics
        assert 'dragoman_upstream_runs{upstream="two"} 0.0' in metrics
    assert gateway.calls() == [1, 1]


@pytest.mark.parametrize("fallback", [True, False])
async def test_a_sign_in_is_left_for_a_key_only_with_leave(tmp_path: Path, *, fallback: bool) -> None:
    """Claude Code says that its plan is used up: the owner has said whether a key may pay instead."""
    mine = {**ONE, "api_key": None, "backend": "runtime", "signed_in": True}
    given: dict[str, object] = {"claude_config_dir": tmp_path / "owner", "retries": 0}
    async with upstreams(tmp_path, mine, TWO, fallback=fallback, **given) as gateway:
        gateway.simulators["one"].inject(Fault(status=429, message="You've hit your limit"), times=9)
        answer = await gateway.chat(PONG)
        if fallback:
            assert (said(answer), answer.headers["x-dragoman-upstream"]) == ("PONG", "two")
        else:
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
        assert gateway.calls()[1] == fallback
        assert not any(call.headers.get("authorization") for call in gateway.simulators["two"].calls)


async def test_a_fault_of_claude_code_leads_to_the_next_upstream(tmp_path: Path) -> None:
    """Also a process that cannot be started is an outage."""
    through = {**ONE, "backend": "runtime"}
    broken = tmp_path / "broken"
    broken.write_text("#!/nowhere/sh\n")
    broken.chmod(0o755)
    async with upstreams(tmp_path, through, TWO, claude_command=broken) as gateway:
        answer = await gateway.chat(PONG)
        assert (said(answer), answer.headers["x-dragoman-upstream"]) == ("PONG", "two")
        assert gateway.calls() == [0, 1]


async def test_a_cloud_is_an_upstream_like_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it cannot do is refused by name; where it fails, the next one answers."""
    async with bedrock(monkeypatch, tmp_path) as (_, cloud):
        aws = {**ONE, "api_key": None, "cloud": "bedrock", "region": "us-east-1", "base_url": cloud.url}
        async with upstreams(tmp_path, aws, TWO) as gateway:
            answer = await gateway.chat(PONG)
            assert (said(answer), answer.headers["x-dragoman-upstream"]) == ("PONG", "one")
            searching = {"model": "sonnet", "messages": [{"role": "user", "content": PONG}], "web_search_options": {}}
            refused = await gateway.http.post("/v1/chat/completions", json=searching)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_parameter")
            assert "Claude on Bedrock has no web search" in refused.json()["error"]["message"]
            cloud.instead = [(429, {"content-type": "application/json"}, b'{"message":"Too many tokens"}')]
            moved = await gateway.chat(f"{PONG}\nNow.")
            assert (said(moved), moved.headers["x-dragoman-upstream"]) == ("PONG", "two")
            ready = (await gateway.http.get("/health/ready")).json()["backend"]["upstreams"]["one"]
            assert (ready["cloud"], ready["region"], ready["authentication"]) == ("bedrock", "us-east-1", "bedrock")
