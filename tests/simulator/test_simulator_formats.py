"""Answers in a format that the prompt describes."""

import json
from typing import cast

import pytest
from simulator_support import Ask

from dragoman.core.messages import Block

SCHEMA = '{"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}'


async def answer_text(ask: Ask, text: str, system: str) -> str:
    """Return the text of the response."""
    answer = await ask(text, system=system)
    [block] = cast("list[Block]", answer["content"])
    return str(block["text"])


@pytest.mark.parametrize("field", ["system", "user"])
async def test_schema_in_a_text(ask: Ask, field: str) -> None:
    """The schema can be in the system prompt or in the user's text. The values are from the prompt."""
    person, demand = 'The person "Ann" is 41.', f"Answer as JSON by this json_schema: {SCHEMA}"
    answer = (
        await answer_text(ask, person, demand)
        if field == "system"
        else await answer_text(ask, f"{demand}\n{person}", "Be brief.")
    )
    assert json.loads(answer).keys() == {"name", "age"}
    assert field == "user" or json.loads(answer) == {"name": "Ann", "age": 41}


async def test_fence(ask: Ask) -> None:
    """The object is fenced if the prompt asks for a code block."""
    answer = await answer_text(
        ask, 'The person "Ann" is 41. Answer within a ```json codeblock.', f"JSON schema: {SCHEMA}"
    )
    assert answer.startswith("```json\n{")
    assert answer.endswith("}\n```")


async def test_demand_in_the_system_prompt(ask: Ask) -> None:
    """The system prompt alone can demand an object."""
    assert isinstance(json.loads(await answer_text(ask, "Hello", "Answer with a single valid JSON object.")), dict)


@pytest.mark.parametrize(
    ("system", "text", "expected"),
    [
        ("Be brief.", 'Give a JSON object with the keys name and age for "Ann", 41.', {"name": "Ann", "age": 41}),
        (
            "Be brief.",
            "A JSON object with fields: `city`, `zip`, and `country`.",
            {"city": "city", "zip": "zip", "country": "country"},
        ),
        ('One JSON object, in the form {"city": "..."}.', 'Where is "Paris"?', {"city": "Paris"}),
        ("Answer with a single JSON object that has a 'town' key.", "Hello", {"town": "town"}),
        ("Answer with a single JSON object.", "The keys of my house", {"answer": "The keys of my house"}),
    ],
)
async def test_keys_that_a_text_names(ask: Ask, system: str, text: str, expected: dict[str, object]) -> None:
    """The object has them, with the values of the prompt."""
    assert json.loads(await answer_text(ask, text, system)) == expected


async def test_mention_of_json(ask: Ask) -> None:
    """A mention of JSON is not a demand. The text is echoed."""
    assert await answer_text(ask, "Do you like JSON?", "Be brief.") == "You said: Do you like JSON?"


async def test_search_replace_edit(ask: Ask) -> None:
    """A new file is a SEARCH/REPLACE block if the prompt describes that format."""
    answer = await answer_text(ask, "Create hello.py that prints 'hello'.", "Every edit is a *SEARCH/REPLACE block*.")
    assert answer.splitlines()[0] == "hello.py"
    assert "print('hello')" in answer
    assert await answer_text(ask, "Create hello.py that prints 'hello'.", "Be brief.") != answer
