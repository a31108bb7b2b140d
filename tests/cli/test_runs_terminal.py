"""`runs`, `tail` and `cancel` in a terminal, against a gateway with the real runtime."""

import asyncio
import json
from pathlib import Path

import openai
import pytest
from background_gateway import BackgroundGateway, background_gateway
from commands import run
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from terminals import INTERRUPT, in_terminal, terminal

QUICK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Reply with exactly: PONG"}]
LONG: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Count to 900\nSimulate: pace 0.1"}]
FAILING: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Simulate: status 400"}]


def client_of(gateway: BackgroundGateway) -> openai.AsyncOpenAI:
    """A client that tries once."""
    return openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)


async def begun(client: openai.AsyncOpenAI) -> tuple[str, openai.AsyncStream[ChatCompletionChunk]]:
    """A long answer that has begun: its run's id, and its stream."""
    raw = await client.chat.completions.with_raw_response.create(model="haiku", messages=LONG, stream=True)
    stream = raw.parse()
    await anext(aiter(stream))
    return raw.headers["x-dragoman-run-id"], stream


async def ids(home: Path, *statuses: str) -> list[str]:
    """The ids of the runs of these statuses."""
    filters = [part for status in statuses for part in ("--status", status)]
    return [found["id"] for found in json.loads((await run(home, "runs", "--json", *filters)).out)["runs"]]


def log_of(home: Path) -> list[dict[str, str]]:
    """The lines of a gateway's log."""
    log = home / "state" / "dragoman" / "gateway-0.log"
    return [json.loads(line) for line in log.read_text().splitlines()]


async def test_every_status(tmp_path: Path) -> None:
    """Queued, running, succeeded, failed and cancelled, as they come about, each in its colour; filters find each."""
    async with (
        background_gateway(tmp_path, "--simulate", "--max-concurrency", "1") as gateway,
        client_of(gateway) as client,
    ):
        ok = await client.chat.completions.with_raw_response.create(model="haiku", messages=QUICK)
        with pytest.raises(openai.BadRequestError) as bad:
            await client.chat.completions.create(model="haiku", messages=FAILING)
        running, stream = await begun(client)
        waiting = asyncio.create_task(client.chat.completions.create(model="sonnet", messages=QUICK))
        while not (queued := await ids(tmp_path, "queued")):
            pass
        ids_now = {
            "succeeded": [ok.headers["x-dragoman-run-id"]],
            "failed": [bad.value.response.headers["x-dragoman-run-id"]],
            "running": [running],
            "queued": queued,
            "cancelled": [],
        }
        for status, expected in ids_now.items():
            assert await ids(tmp_path, status) == expected
        async with terminal(tmp_path, "runs") as table:
            assert await table.code() == 0
        assert await in_terminal(tmp_path, "cancel", running[:16]) == (0, f"Cancelled {running}.\n")
        with pytest.raises(openai.APIError):
            [_ async for _ in stream]
        await waiting
        assert await ids(tmp_path, "cancelled") == [running]
        assert await ids(tmp_path, "queued", "running") == []
        ends = {line["run"]: line["status"] for line in log_of(tmp_path) if line["event"] == "run.end"}
    # Under the same id in header, log and records, whatever became of it.
    assert ends[ids_now["succeeded"][0]] == "succeeded"
    assert ends[ids_now["failed"][0]] == "failed"
    assert ends[running] == "cancelled"
    colours = {"succeeded": 32, "failed": 31, "running": 36, "queued": 34}
    for status, colour in colours.items():
        assert f"\x1b[{colour}m{status}\x1b[0m" in table.shown


@pytest.mark.parametrize(("columns", "heads"), [(60, "TOOK"), (80, "TOKENS TOOK AGE"), (110, "PATH CLIENT COST")])
async def test_a_narrow_terminal(tmp_path: Path, columns: int, heads: str) -> None:
    """No line is broken: ids are cut short, and can be given like that, and what is least wanted is left out."""
    async with background_gateway(tmp_path, "--simulate") as gateway, client_of(gateway) as client:
        answer = await client.chat.completions.with_raw_response.create(model="haiku", messages=QUICK)
        id_ = answer.headers["x-dragoman-run-id"]
        code, shown = await in_terminal(tmp_path, "runs", columns=columns)
        head, row = shown.splitlines()
        _, tail = await in_terminal(tmp_path, "tail", row.split()[0], columns=columns)
    assert code == 0
    assert max(len(head), len(row)) <= columns
    assert set(heads.split()) <= set(head.split())
    assert row.split()[:3] == [id_[:16], "succeeded", "claude-haiku-5-5"]
    assert tail.startswith(f"{id_}  succeeded\n")


async def test_tail_follows(tmp_path: Path) -> None:
    """What is said appears as it is said; Ctrl-C ends the looking on and not the run, and leaves a whole line."""
    async with background_gateway(tmp_path, "--simulate") as gateway, client_of(gateway) as client:
        id_, stream = await begun(client)
        async with terminal(tmp_path, "tail") as tail:
            await tail.until("1 2 3 4 5 6 7")
            tail.type(INTERRUPT)
            assert await tail.code() == 0
        assert tail.plain.startswith(f"{id_}  running\n")
        assert "endpoint=/v1/chat/completions  request_id=req_" in tail.plain
        assert tail.plain.endswith("\n")
        async with terminal(tmp_path, "tail", id_) as tail:
            await tail.until("1 2 3")
            await run(tmp_path, "cancel", id_)
            assert await tail.code() == 1
        assert "\ncancelled  run_cancelled  in " in tail.plain
        await stream.close()


async def test_runs_follow(tmp_path: Path) -> None:
    """Each run appears when it begins and when it ends, until Ctrl-C."""
    async with (
        background_gateway(tmp_path, "--simulate") as gateway,
        client_of(gateway) as client,
        terminal(tmp_path, "runs", "--follow") as following,
    ):
        await following.until("RUN ")
        id_, stream = await begun(client)
        await following.until(f"{id_[:16]}  running ")
        await stream.close()
        await following.until(f"{id_[:16]}  cancelled ")
        following.type(INTERRUPT)
        assert await following.code() == 0


async def test_when_no_gateway_runs(tmp_path: Path) -> None:
    """The records are read from the state directory, with the same filters; what was kept of an answer is shown."""
    async with background_gateway(tmp_path, "--simulate", "--runs-content") as gateway, client_of(gateway) as client:
        answer = await client.chat.completions.with_raw_response.create(model="haiku", messages=QUICK)
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="haiku", messages=FAILING)
        live = json.loads((await run(tmp_path, "runs", "--json")).out)
        assert (await run(tmp_path, "stop")).code == 0
    id_ = answer.headers["x-dragoman-run-id"]
    past = await run(tmp_path, "runs", "--json")
    code, table = await in_terminal(tmp_path, "runs", "--status", "succeeded", "--since", "1h")
    _, told = await in_terminal(tmp_path, "tail", id_[4:12])
    missing = await run(tmp_path, "tail", "run_" + "0" * 32)
    elsewhere = await run(tmp_path, "runs", "--port", "1")
    following = await run(tmp_path, "runs", "--follow")
    assert json.loads(past.out) == live
    assert past.err == f"No gateway is running. These are the records in {tmp_path}/state/dragoman/runs.db.\n"
    assert code == 0
    assert [line.split()[0] for line in table.splitlines()[2:]] == [id_[:16]]
    assert "\nPONG\nsucceeded  in " in told
    assert "There is no run `run_000" in missing.err
    assert "No gateway responds at http://127.0.0.1:1 (Connection refused)" in elsewhere.err
    assert "No gateway responds" in following.err


async def test_what_was_said_is_not_kept_by_itself(tmp_path: Path) -> None:
    """`tail` says so, and how to have it; no word of question and answer is in the state directory or the log."""
    async with background_gateway(tmp_path, "--simulate") as gateway, client_of(gateway) as client:
        asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Reply with exactly: PLANTED-WORD"}]
        answer = await client.chat.completions.create(model="haiku", messages=asked)
        _, told = await in_terminal(tmp_path, "tail")
        await run(tmp_path, "stop")
        kept = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert answer.choices[0].message.content == "PLANTED-WORD"
    assert (
        "[The text of this run was not stored. Start the gateway with --runs-content to store it.]\nsucceeded  in "
        in told
    )
    assert b"PLANTED" not in kept


async def test_pages_and_clients(tmp_path: Path) -> None:
    """A page names the next one; each client's runs are found by its name, by whoever holds the gateway's own key."""
    (tmp_path / "dragoman.toml").write_text(
        'api_key = "of-the-owner"\n\n[keys.ann]\napi_key = "of-ann"\n\n[keys.bob]\napi_key = "of-bob"\n'
    )
    owner = {"DRAGOMAN_API_KEY": "of-the-owner"}
    async with background_gateway(tmp_path, "--simulate", "--config", "dragoman.toml") as gateway:
        ids_of: dict[str, list[str]] = {"ann": [], "bob": []}
        for name in ("ann", "bob", "ann"):
            async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=f"of-{name}", max_retries=0) as client:
                answer = await client.chat.completions.with_raw_response.create(model="haiku", messages=QUICK)
            ids_of[name].insert(0, answer.headers["x-dragoman-run-id"])
        for name, expected in ids_of.items():
            listed = json.loads((await run(tmp_path, "runs", "--json", "--client", name, added=owner)).out)["runs"]
            assert [one["id"] for one in listed] == expected
        first = await run(tmp_path, "runs", "--limit", "1", "--client", "ann", added=owner)
        _, after = first.err.strip().split("--after ")
        second = await run(tmp_path, "runs", "--after", after, "--client", "ann", added=owner)
        stranger = await run(tmp_path, "runs", "--api-key", "of-ann")
    assert [line.split()[0] for line in (first.out + second.out).splitlines() if not line.startswith("RUN")] == ids_of[
        "ann"
    ]
    assert second.err == ""
    assert (stranger.code, "This is for the gateway's own key (--api-key)." in stranger.err) == (1, True)
