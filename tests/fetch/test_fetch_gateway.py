"""Images by URL, from the client's request to the run, through a real server."""

import asyncio

import pytest
from fetch_site import TIMEOUT, Page, png, site
from openai import BadRequestError
from openai.types.chat import ChatCompletionMessageParam
from scripted import ScriptedBackend, clean, replies, served

from dragoman.config.loading import BadSettings, load
from dragoman.wiring.gateway import build

_clean = pytest.fixture(autouse=True)(clean)


def _looking_at(url: str) -> list[ChatCompletionMessageParam]:
    return [
        {
            "role": "user",
            "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}],
        }
    ]


async def test_the_run_gets_the_bytes() -> None:
    """All choices of a request by one fetch."""
    async with site() as place:
        place.pages["/a"] = Page(png())
        async with served(replies("A square"), fetch_urls=f"127.0.0.1:{place.port}") as gateway:
            await gateway.openai.chat.completions.create(model="sonnet", messages=_looking_at(place.url("/a")), n=2)
            asked = [request.body["messages"][0]["content"][1]["source"] for request in gateway.backend.requests]
    assert [found["media_type"] for found in asked if isinstance(found, dict)] == ["image/png"] * 2
    assert len(place.asked) == 1


async def test_the_time_it_takes_is_told() -> None:
    """Before the stages of the run, in the answer and in a refusal."""
    async with site() as place:
        place.pages["/a"] = Page(png())
        async with served(replies("A square"), fetch_urls=f"127.0.0.1:{place.port}") as gateway:
            for path, status in (("/a", 200), ("/nowhere", 400)):
                body = {"messages": _looking_at(place.url(path))}
                answer = await gateway.http.post("/v1/chat/completions", json=body)
                assert answer.status_code == status
                assert answer.headers["server-timing"].startswith("fetch;dur=")


@pytest.mark.parametrize("setting", ["off", "on", "a.example"])
async def test_a_refused_url_never_runs(setting: str) -> None:
    """The field is named, and nothing was fetched."""
    async with site() as place, served(replies("A square"), fetch_urls=setting) as gateway:
        with pytest.raises(BadRequestError) as caught:
            await gateway.openai.chat.completions.create(model="sonnet", messages=_looking_at(place.url("/a")))
        assert not gateway.backend.requests
    assert (caught.value.code, caught.value.param) == ("url_not_allowed", "messages[0].content[1].image_url.url")
    assert "--fetch-urls" in str(caught.value) or setting == "on"
    assert place.asked == []


@pytest.mark.parametrize("store", [True, False])
async def test_nothing_is_fetched_for_what_is_turned_away(*, store: bool) -> None:
    """Whoever asks too much does not get the gateway to fetch for him."""
    async with site() as place:
        place.pages["/a"] = Page(png())
        where = f"127.0.0.1:{place.port}"
        async with served(replies("A square"), fetch_urls=where, requests_per_minute=1) as gateway:
            body = {"messages": _looking_at(place.url("/a")), "store": store}
            answers = [await gateway.http.post("/v1/chat/completions", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert len(place.asked) == 1


async def test_a_client_that_leaves_ends_the_fetching() -> None:
    """Nothing is fetched for nobody, and nothing runs."""
    async with site() as place, served(replies("A square"), fetch_urls=f"127.0.0.1:{place.port}") as gateway:
        page = place.pages["/a"] = Page(b"x", length=100, held=True)
        body = {"messages": _looking_at(place.url("/a"))}
        asking = asyncio.create_task(gateway.http.post("/v1/chat/completions", json=body))
        await asyncio.wait_for(page.entered.wait(), TIMEOUT)
        asking.cancel()
        await asyncio.wait_for(page.left.wait(), TIMEOUT)
        assert not gateway.backend.requests


@pytest.mark.parametrize("setting", ["http://a.example", "*"])
async def test_hosts_that_are_none(setting: str) -> None:
    """Said at the start, with the setting's name."""
    with pytest.raises(BadSettings, match=r"--fetch-urls, DRAGOMAN_FETCH_URLS"):
        async with build(load({"fetch_urls": setting}, env_file=None), ScriptedBackend(replies(""))):
            pass


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (True, ("on",)),
        ("TRUE", ("on",)),
        ("0", ("off",)),
        (["off"], ("off",)),
        (["a.example", "b.example"], ("a.example", "b.example")),
    ],
)
def test_ways_to_write_it(given: object, read: tuple[str, ...]) -> None:
    """As a switch of TOML or of a variable, or as a list."""
    assert load({"fetch_urls": given}, env_file=None).fetch_urls == read


def test_what_is_neither() -> None:
    """A number."""
    with pytest.raises(BadSettings, match="--fetch-urls"):
        load({"fetch_urls": 5}, env_file=None)


@pytest.mark.parametrize("setting", ["on,a.example", "a.example,off"])
async def test_a_switch_is_no_host(setting: str) -> None:
    """Either the one or the other."""
    with pytest.raises(BadSettings, match="a list of hosts"):
        async with build(load({"fetch_urls": setting}, env_file=None), ScriptedBackend(replies(""))):
            pass
