"""Images by URL, from a client's request to the run, through a real server. Also the setting `fetch_urls`."""

import asyncio

import pytest
from fetch_site import TIMEOUT, Page, png, serve_site
from openai import BadRequestError
from openai.types.chat import ChatCompletionMessageParam
from scripted import ScriptedBackend, clean, replies, served

from dragoman.config.loading import BadSettings, load
from dragoman.wiring.gateway import build

_clean = pytest.fixture(autouse=True)(clean)


def _image_messages(url: str) -> list[ChatCompletionMessageParam]:
    """Return the messages of a request with an image."""
    return [
        {
            "role": "user",
            "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}],
        }
    ]


async def test_run_gets_the_bytes() -> None:
    """Each choice of a request gets the image's bytes. The URL is fetched once."""
    async with serve_site() as site:
        site.pages["/a"] = Page(png())
        async with served(replies("A square"), fetch_urls=f"127.0.0.1:{site.port}") as gateway:
            await gateway.openai.chat.completions.create(model="sonnet", messages=_image_messages(site.url("/a")), n=2)
            sources = [request.body["messages"][0]["content"][1]["source"] for request in gateway.backend.requests]
    assert [found["media_type"] for found in sources if isinstance(found, dict)] == ["image/png"] * 2
    assert len(site.requests) == 1


async def test_server_timing_has_the_fetch_time() -> None:
    """`Server-Timing` begins with the time of fetching, in a response and in an error."""
    async with serve_site() as site:
        site.pages["/a"] = Page(png())
        async with served(replies("A square"), fetch_urls=f"127.0.0.1:{site.port}") as gateway:
            for path, status in (("/a", 200), ("/nowhere", 400)):
                body = {"messages": _image_messages(site.url(path))}
                response = await gateway.http.post("/v1/chat/completions", json=body)
                assert response.status_code == status
                assert response.headers["server-timing"].startswith("fetch;dur=")


@pytest.mark.parametrize("setting", ["off", "on", "a.example"])
async def test_refused_url_starts_no_run(setting: str) -> None:
    """The error names the field. Nothing is fetched, and no run starts."""
    async with serve_site() as site, served(replies("A square"), fetch_urls=setting) as gateway:
        with pytest.raises(BadRequestError) as caught:
            await gateway.openai.chat.completions.create(model="sonnet", messages=_image_messages(site.url("/a")))
        assert not gateway.backend.requests
    assert (caught.value.code, caught.value.param) == ("url_not_allowed", "messages[0].content[1].image_url.url")
    assert "--fetch-urls" in str(caught.value) or setting == "on"
    assert site.requests == []


@pytest.mark.parametrize("store", [True, False])
async def test_rate_limited_requests_fetch_nothing(*, store: bool) -> None:
    """A request over the rate limit is refused before its URLs are fetched."""
    async with serve_site() as site:
        site.pages["/a"] = Page(png())
        host = f"127.0.0.1:{site.port}"
        async with served(replies("A square"), fetch_urls=host, requests_per_minute=1) as gateway:
            body = {"messages": _image_messages(site.url("/a")), "store": store}
            responses = [await gateway.http.post("/v1/chat/completions", json=body) for _ in range(2)]
    assert [response.status_code for response in responses] == [200, 429]
    assert len(site.requests) == 1


async def test_disconnect_cancels_fetching() -> None:
    """If the client disconnects, the download is cancelled and no run starts."""
    async with serve_site() as site, served(replies("A square"), fetch_urls=f"127.0.0.1:{site.port}") as gateway:
        page = site.pages["/a"] = Page(b"x", length=100, stays_open=True)
        body = {"messages": _image_messages(site.url("/a"))}
        request_task = asyncio.create_task(gateway.http.post("/v1/chat/completions", json=body))
        await asyncio.wait_for(page.sent.wait(), TIMEOUT)
        request_task.cancel()
        await asyncio.wait_for(page.closed.wait(), TIMEOUT)
        assert not gateway.backend.requests


@pytest.mark.parametrize("setting", ["http://a.example", "*"])
async def test_invalid_hosts(setting: str) -> None:
    """The gateway does not start. The error names the setting."""
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
def test_forms_of_the_setting(given: object, read: tuple[str, ...]) -> None:
    """The setting may be a boolean of TOML, a switch as text, or a list."""
    assert load({"fetch_urls": given}, env_file=None).fetch_urls == read


def test_setting_of_the_wrong_type() -> None:
    """A number is refused."""
    with pytest.raises(BadSettings, match="--fetch-urls"):
        load({"fetch_urls": 5}, env_file=None)


@pytest.mark.parametrize("setting", ["on,a.example", "a.example,off"])
async def test_switch_in_a_list_of_hosts(setting: str) -> None:
    """`on` and `off` are refused in a list of hosts."""
    with pytest.raises(BadSettings, match="a list of hosts"):
        async with build(load({"fetch_urls": setting}, env_file=None), ScriptedBackend(replies(""))):
            pass
