"""`dragoman runs`, `tail` and `cancel`, with the real runtime."""

import asyncio
import json
import os
from pathlib import Path

import httpx
import openai
import pytest
from background_gateway import background_gateway
from commands import TIMEOUT, Process, line, run, started
from openai.types.chat import ChatCompletionMessageParam

QUICK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Reply with exactly: PONG"}]
LONG: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Count to 900\nSimulate: pace 0.1"}]


async def ask(url: str, key: str = "none") -> str:
    """Send a short request, and return the id of its run."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        answer = await client.chat.completions.with_raw_response.create(model="haiku", messages=QUICK, seed=1)
    return answer.headers["x-dragoman-run-id"]


async def event_data(process: Process, name: str) -> dict[str, object]:
    """Return the data of the next event with a name."""
    found: dict[str, object] = json.loads(await line(process, f'"event": "{name}"'))["data"]
    return found


async def test_ended_run(tmp_path: Path) -> None:
    """The run is listed as a table and as JSON, and found by filters. `tail` shows its text if content is stored."""
    async with background_gateway(tmp_path, "--simulate", "--runs-content") as gateway:
        id_ = await ask(gateway.url)
        table = await run(tmp_path, "runs")
        listed = json.loads((await run(tmp_path, "runs", "--json", "--model", "haiku", "--since", "1h")).out)
        none = await run(tmp_path, "runs", "--status", "failed", "--status", "queued")
        shown = await run(tmp_path, "tail", id_[:12])
        record = await run(tmp_path, "runs", "last")
        as_json = json.loads((await run(tmp_path, "runs", id_, "--json")).out)
        wrong = await run(tmp_path, "runs", "--since", "last week")
    head, row = table.out.splitlines()
    assert head.split() == ["RUN", "STATUS", "MODEL", "PATH", "CLIENT", "TOKENS", "COST", "TOOK", "AGE"]
    assert row.startswith(f"{id_}  succeeded  claude-haiku-5-5")
    [found] = listed["runs"]
    assert (found["id"], found["status"], found["path"], found["endpoint"]) == (
        id_,
        "succeeded",
        "cold",
        "/v1/chat/completions",
    )
    assert found["cost"] > 0
    assert found["stages"]["first_token"] > 0
    assert none.out == "No runs.\n"
    assert shown.code == 0, shown.err
    assert "\nPONG\n[ignored seed]  " in shown.out
    assert "\nsucceeded  in " in shown.out
    assert "first_token" in shown.out
    assert record.out.startswith(f"{id_}  succeeded\n")
    assert "[ignored seed]  " in record.out
    assert "PONG" not in record.out
    assert [(one["code"], one["param"]) for one in as_json["warnings"]] == [("ignored", "seed")]
    assert (wrong.code, wrong.out) == (1, "")
    assert "`last week` is not a time" in wrong.err


async def test_running_run(tmp_path: Path) -> None:
    """The run is followed and cancelled. Its client, its followers and the list of runs show that."""
    async with (
        background_gateway(tmp_path, "--simulate") as gateway,
        openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client,
    ):
        stream = await client.chat.completions.create(model="haiku", messages=LONG, stream=True)
        async with started(tmp_path, "tail", "--json") as tail, started(tmp_path, "runs", "-f", "--json") as following:
            first = await event_data(tail, "run")
            delta = await event_data(tail, "content_block_delta")
            assert json.loads(await line(following, str(first["id"])))["status"] == "running"
            running = await run(tmp_path, "runs", "--status", "running")
            cancelled = await run(tmp_path, "cancel", "last")
            end = await event_data(tail, "end")
            assert json.loads(await line(following, str(first["id"])))["status"] == "cancelled"
            await asyncio.wait_for(tail.wait(), TIMEOUT)
        with pytest.raises(openai.APIError) as caught:
            [_ async for _ in stream]
        again = await run(tmp_path, "cancel", str(first["id"]))
        shown = await run(tmp_path, "tail", str(first["id"]))
    assert first["status"] == "running"
    assert delta["type"] == "content_block_delta"
    assert str(first["id"]) in running.out
    assert (cancelled.code, cancelled.out) == (0, f"Cancelled {first['id']}.\n")
    assert (end["status"], tail.returncode) == ("cancelled", 1)
    assert caught.value.code == "run_cancelled"
    assert (again.code, again.err) == (1, "Error: This run has already ended: cancelled.\n")
    assert shown.code == 1
    assert "cancelled  run_cancelled" in shown.out


async def test_after_a_kill(tmp_path: Path) -> None:
    """The next gateway shows the running run as interrupted, and an ended run unchanged."""
    async with background_gateway(tmp_path, "--simulate") as gateway:
        over = await ask(gateway.url)
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
            stream = await client.chat.completions.create(model="haiku", messages=LONG, stream=True)
            await anext(aiter(stream))
            await run(tmp_path, "runs")  # a run that is listed is recorded
            os.kill(gateway.pid, 9)
            with pytest.raises((openai.APIError, httpx.HTTPError)):
                [_ async for _ in stream]
        async with background_gateway(tmp_path, "--simulate"):
            listed = json.loads((await run(tmp_path, "runs", "--json")).out)["runs"]
    assert [(one["status"], one["error"]) for one in listed] == [("failed", "interrupted"), ("succeeded", None)]
    assert listed[1]["id"] == over


async def test_with_a_key(tmp_path: Path) -> None:
    """The commands read the key from the gateway's key file. Otherwise they say how to pass it."""
    (tmp_path / "key").write_text("gateway-secret")
    async with background_gateway(tmp_path, "--simulate", "--api-key-file", "key") as gateway:
        id_ = await ask(gateway.url, "gateway-secret")
        assert id_ in (await run(tmp_path, "runs")).out
    async with background_gateway(tmp_path, "--simulate", "--api-key", "another"):
        refused = await run(tmp_path, "runs")
        given = await run(tmp_path, "runs", added={"DRAGOMAN_API_KEY": "another"})
    assert refused.code == 1
    assert "Pass it with --admin-key-file or --api-key-file, as the gateway has it." in refused.err
    assert id_ in given.out


@pytest.mark.parametrize("command", ["runs", "tail", "cancel"])
async def test_without_a_gateway(tmp_path: Path, command: str) -> None:
    """The error says that no gateway responds."""
    arguments = [] if command == "runs" else ["run_0123"]
    ended = await run(tmp_path, command, *arguments, "--port", "1")
    assert ended.code == 1
    assert "No gateway responds at http://127.0.0.1:1" in ended.err


async def test_invalid_ids(tmp_path: Path) -> None:
    """An id that matches no run, or several runs, is an error."""
    async with background_gateway(tmp_path, "--simulate") as gateway:
        nothing = await run(tmp_path, "tail")
        await ask(gateway.url)
        await ask(gateway.url)
        several = await run(tmp_path, "cancel", "run_")
        unknown = await run(tmp_path, "tail", "run_" + "x" * 32)
    assert "There are no runs yet." in nothing.err
    assert "Several runs begin with `run_`" in several.err
    assert "There is no run" in unknown.err


async def test_a_run_of_another_gateway(tmp_path: Path) -> None:
    """Two gateways with one state directory list each other's runs. Only its own gateway follows or cancels a run."""
    async with (
        background_gateway(tmp_path, "--simulate") as first,
        background_gateway(tmp_path, "--simulate") as second,
    ):
        elsewhere, here = (("--port", gateway.url.rpartition(":")[2]) for gateway in (second, first))
        async with openai.AsyncOpenAI(base_url=f"{first.url}/v1", api_key="none", max_retries=0) as client:
            raw = await client.chat.completions.with_raw_response.create(model="haiku", messages=LONG, stream=True)
            id_ = raw.headers["x-dragoman-run-id"]
            await run(tmp_path, "runs", *here)  # a run that is listed is recorded
            listed = json.loads((await run(tmp_path, "runs", "--json", *elsewhere)).out)["runs"]
            refused = [await run(tmp_path, command, id_, *elsewhere) for command in ("tail", "cancel")]
            cancelled = await run(tmp_path, "cancel", id_, *here)
            while (shown := await run(tmp_path, "tail", id_, *elsewhere)).out == "":  # its end is not recorded yet
                assert "belongs to another gateway" in shown.err
    assert [(one["id"], one["status"]) for one in listed] == [(id_, "running")]
    for ended in refused:
        assert (ended.code, ended.out) == (1, "")
        assert "This run belongs to another gateway. Use that one: `--port` selects it." in ended.err
    assert cancelled.out == f"Cancelled {id_}.\n"
    assert "cancelled  run_cancelled" in shown.out
