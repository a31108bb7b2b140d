"""Text completions through the server, with OpenAI's own client."""

import pytest
from scripted import clean, in_sequence, replies, served

_clean = pytest.fixture(autouse=True)(clean)


async def test_text_is_continued() -> None:
    """Plain and streamed, with and without `/v1`."""
    async with served(replies("there was a fox.")) as gateway:
        completion = await gateway.openai.completions.create(model="sonnet", prompt="Once ", max_tokens=9, echo=True)
        stream = await gateway.openai.completions.create(model="sonnet", prompt="Once ", max_tokens=9, stream=True)
        streamed = "".join([chunk.choices[0].text async for chunk in stream])
        bare = await gateway.http.post("/completions", json={"model": "sonnet", "prompt": "Once "})
    assert completion.choices[0].text == "Once there was a fox."
    assert streamed == bare.json()["choices"][0]["text"] == "there was a fox."


async def test_each_prompt_gets_its_own_choices() -> None:
    """Each run gets its own prompt. The choices are in the order of the prompts."""
    async with served(in_sequence(replies("1"), replies("2"), replies("3"), replies("4"))) as gateway:
        completion = await gateway.openai.completions.create(model="sonnet", prompt=["a", "b"], n=2)
        prompts = [str(request.body["messages"][0]["content"][0]["text"]) for request in gateway.backend.requests]
    assert [choice.index for choice in completion.choices] == [0, 1, 2, 3]
    assert sorted(prompts) == ["a", "a", "b", "b"]


async def test_refused_token_list() -> None:
    """A list of tokens is refused, with the name of the field."""
    async with served(replies("")) as gateway:
        refused = await gateway.http.post("/v1/completions", json={"prompt": [1, 2, 3]})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "prompt"
