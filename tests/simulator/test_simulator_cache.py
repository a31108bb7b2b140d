"""The prompt cache: written once, read again, each credential its own."""

from typing import Any

from simulator_asking import Ask

LONG = "word " * 4000


def marked(text: str, **ttl: str) -> dict[str, Any]:
    """A text block that ends a prefix to cache."""
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral", **ttl}}


async def usage(ask: Ask, **fields: Any) -> dict[str, Any]:
    """The usage of an answer."""
    answer: Any = await ask("Hello", **fields)
    found: dict[str, Any] = answer["usage"]
    return found


async def test_a_marked_prefix_is_written_then_read(ask: Ask) -> None:
    """The second request reads what the first wrote; the sum stays the same."""
    first = await usage(ask, system=[marked(LONG)])
    again = await usage(ask, system=[marked(LONG)])
    assert first["cache_creation_input_tokens"] > 4000
    assert first["cache_creation"]["ephemeral_5m_input_tokens"] == first["cache_creation_input_tokens"]
    assert again["cache_read_input_tokens"] == first["cache_creation_input_tokens"]
    assert (again["cache_creation_input_tokens"], again["input_tokens"]) == (0, first["input_tokens"])


async def test_an_hour_is_counted_apart(ask: Ask) -> None:
    """Each mark's part by its time."""
    written = await usage(ask, system=[marked(LONG, ttl="1h"), marked(LONG)])
    assert written["cache_creation"]["ephemeral_1h_input_tokens"] > 4000
    assert written["cache_creation"]["ephemeral_5m_input_tokens"] > 4000


async def test_other_keys_and_short_prompts_are_not_cached(ask: Ask) -> None:
    """Nor what bears no mark."""
    await usage(ask, system=[marked(LONG)])
    assert (await usage(ask, system=[marked(LONG)], headers={"x-api-key": "other"}))["cache_read_input_tokens"] == 0
    assert (await usage(ask, system=[marked("short")]))["cache_creation_input_tokens"] == 0
    assert (await usage(ask, system=LONG))["cache_creation_input_tokens"] == 0


async def test_the_next_turn_reads_the_turn_before(ask: Ask) -> None:
    """A mark looks back for what was cached at an earlier one."""
    first: Any = await ask(messages=[{"role": "user", "content": [marked(LONG)]}])
    turns = [
        {"role": "user", "content": LONG},
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": [marked("And now?")]},
    ]
    second: Any = await ask(messages=turns)
    assert second["usage"]["cache_read_input_tokens"] == first["usage"]["cache_creation_input_tokens"]
    assert second["usage"]["cache_creation_input_tokens"] > 0
