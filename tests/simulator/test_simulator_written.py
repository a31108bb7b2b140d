"""Answers in a form that the prompt describes in words."""

import json
from typing import cast

import pytest
from simulator_asking import Ask

from dragoman.core.messages import Block

SCHEMA = '{"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}'


async def said(ask: Ask, text: str, system: str) -> str:
    """The answer's text."""
    answer = await ask(text, system=system)
    [block] = cast("list[Block]", answer["content"])
    return str(block["text"])


@pytest.mark.parametrize("place", ["system", "user"])
async def test_a_schema_in_the_text_is_followed(ask: Ask, place: str) -> None:
    """Wherever it stands; values come from the prompt."""
    words, demand = 'The person "Ann" is 41.', f"Answer as JSON by this json_schema: {SCHEMA}"
    made = await said(ask, words, demand) if place == "system" else await said(ask, f"{demand}\n{words}", "Be brief.")
    assert json.loads(made).keys() == {"name", "age"}
    assert place == "user" or json.loads(made) == {"name": "Ann", "age": 41}


async def test_a_fence_comes_where_it_is_asked(ask: Ask) -> None:
    """As some clients read it."""
    made = await said(ask, 'The person "Ann" is 41. Answer within a ```json codeblock.', f"JSON schema: {SCHEMA}")
    assert made.startswith("```json\n{")
    assert made.endswith("}\n```")


async def test_a_system_prompt_alone_can_demand_an_object(ask: Ask) -> None:
    """Any small one."""
    assert isinstance(json.loads(await said(ask, "Hello", "Answer with a single valid JSON object.")), dict)


async def test_a_word_about_json_is_no_demand(ask: Ask) -> None:
    """It is echoed."""
    assert await said(ask, "Do you like JSON?", "Be brief.") == "You said: Do you like JSON?"


async def test_edits_are_written_as_the_prompt_wants_them(ask: Ask) -> None:
    """A SEARCH/REPLACE block for a new file."""
    made = await said(ask, "Create hello.py that prints 'hello'.", "Every edit is a *SEARCH/REPLACE block*.")
    assert made.splitlines()[0] == "hello.py"
    assert "print('hello')" in made
    assert await said(ask, "Create hello.py that prints 'hello'.", "Be brief.") != made
