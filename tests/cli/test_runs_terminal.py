"""`dragoman runs`, `tail` and `cancel` in a terminal, with the real runtime."""

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
LONG: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Count to 9000\nSimulate: pace 0.1"}]
"""A run of 15 minutes: longer than all commands of a test on a busy machine. Each test cancels it."""
FAILING: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Simulate: status 400"}]


def client_of(gateway: BackgroundGateway) -> openai.AsyncOpenAI:
    """Return a client without retries."""
    return openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)


async def begun(client: openai.AsyncOpenAI) -> tuple[str, openai.AsyncStream[ChatCompletionChunk]]:
    """Start a long stream. Return the id of its run, and the stream."""
    raw = await client.chat.completions.with_raw_response.create(model="haiku", messages=LONG, stream=True)
    stream = raw.parse()
    await anext(aiter(stream))
    return raw.headers["x-dragoman-run-id"], stream


async def ids(home: Path, *statuses: str) -> list[str]:
    """Return the ids of the runs with these statuses."""
    filters = [part for status in statuses for part in ("--status", status)]
    return [found["id"] for found in json.loads((await run(home, "runs", "--json", *filters)).out)["runs"]]


def log_of(home: Path) -> list[dict[str, str]]:
    """Return the events in a gateway's log."""
    log = home / "state" / "dragoman" / "gateway-0.log"
    return [json.loads(line) for line in log.read_text().splitlines()]


async def test_every_status(tmp_path: Path) -> None:
    """Each status has a colour, and is found by its filter."""
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
    # The id is the same in the header, in the log and in the records, for every status.
    assert ends[ids_now["succeeded"][0]] == "succeeded"
    assert ends[ids_now["failed"][0]] == "failed"
    assert ends[running] == "cancelled"
    colours = {"succeeded": 32, "failed": 31, "running": 36, "queued": 34}
    for status, colour in colours.items():
        assert f"\x1b[{colour}m{status}\x1b[0m" in table.shown


@pytest.mark.parametrize(("columns", "heads"), [(60, "TOOK"), (80, "TOKENS TOOK AGE"), (110, "PATH CLIENT COST")])
async def test_a_narrow_terminal(tmp_path: Path, columns: int, heads: str) -> None:
    """Lines fit the terminal: ids are shortened and columns left out. Commands accept the short ids."""
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
    """Text appears as it is generated. Ctrl-C ends the command but not the run, and completes the line."""
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


async def test_without_a_gateway(tmp_path: Path) -> None:
    """The records are read from the state directory, with the same filters. Stored text is shown."""
    async with background_gateway(tmp_path, "--simulate", "--runs-content") as gateway, client_of(gateway) as client:
        answer = await client.chat.completions.with_raw_response.create(model="haiku", messages=QUICK)
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="haiku", messages=FAILING)
        live = json.loads((await run(tmp_path, "runs", "--json")).out)
        assert (await run(tmp_path, "stop")).code == 0
    id_ = answer.headers["x-dragoman-run-id"]
    past = await run(tmp_path, "runs", "--json")
    code, table = await in_terminal(tmp_path, "runs", "--status", "succeeded", "--since", "1h")
    _, result = await in_terminal(tmp_path, "tail", id_[4:12])
    missing = await run(tmp_path, "tail", "run_" + "0" * 32)
    elsewhere = await run(tmp_path, "runs", "--port", "1")
    following = await run(tmp_path, "runs", "--follow")
    assert json.loads(past.out) == live
    assert past.err == f"No gateway is running. These are the records in {tmp_path}/state/dragoman/runs.db.\n"
    assert code == 0
    assert [line.split()[0] for line in table.splitlines()[2:]] == [id_[:16]]
    assert "\nPONG\nsucceeded  in " in result
    assert "There is no run `run_000" in missing.err
    assert "No gateway responds at http://127.0.0.1:1 (Connection refused)" in elsewhere.err
    assert "No gateway responds" in following.err


async def test_text_is_not_stored_by_default(tmp_path: Path) -> None:
    """`tail` says how to store text. The state directory and the log contain no text of the request or the response."""
    async with background_gateway(tmp_path, "--simulate") as gateway, client_of(gateway) as client:
        request: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Reply with exactly: PLANTED-WORD"}]
        answer = await client.chat.completions.create(model="haiku", messages=request)
        _, result = await in_terminal(tmp_path, "tail")
        await run(tmp_path, "stop")
        kept = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert answer.choices[0].message.content == "PLANTED-WORD"
    assert (
        "[The text of this run was not stored. Start the gateway with --runs-content to store it.]\nsucceeded  in "
        in result
    )
    assert b"PLANTED" not in kept


async def test_pages_and_clients(tmp_path: Path) -> None:
    """A page names the next one. With the gateway's API key, the runs of each client are found by its name."""
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
    assert (stranger.code, "This path needs the admin key (--admin-key)" in " ".join(stranger.err.split())) == (1, True)
