"""Token counts, from the API's own figures."""

from collections.abc import Iterable, Mapping

from dragoman.core.messages import JSONObject
from dragoman.core.value_object import value_object


@value_object
class Counts:
    """The tokens of one request.

    Attributes:
        fresh: Input that no cache held.
        read: Input from the cache.
        written: Input that was put into the cache.
        output: All that was written, thinking included.
        reasoning: The thinking among it.
    """

    fresh: int = 0
    read: int = 0
    written: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def input(self) -> int:
        """All that was read."""
        return self.fresh + self.read + self.written


def counts_of(answers: Iterable[Mapping[str, object]]) -> Counts:
    """The tokens of one request, added up over its choices.

    Args:
        answers: `usage` of each final message. Its `input_tokens` are the uncached ones only.
    """
    fresh = read = written = output = reasoning = 0
    for usage in answers:
        fresh += _count(usage, "input_tokens")
        read += _count(usage, "cache_read_input_tokens")
        written += _count(usage, "cache_creation_input_tokens")
        output += _count(usage, "output_tokens")
        details = usage.get("output_tokens_details")
        reasoning += _count(details, "thinking_tokens") if isinstance(details, Mapping) else 0
    return Counts(fresh, read, written, output, reasoning)


def usage_of(answers: Iterable[Mapping[str, object]]) -> JSONObject:
    """The usage of one request, as chat and text completions say it.

    Args:
        answers: `usage` of each final message.

    Returns:
        OpenAI's usage: `prompt_tokens` counts uncached, cache-read and cache-written tokens.
    """
    counts = counts_of(answers)
    return {
        "prompt_tokens": counts.input,
        "completion_tokens": counts.output,
        "total_tokens": counts.input + counts.output,
        "prompt_tokens_details": {
            "cached_tokens": counts.read,
            "cache_write_tokens": counts.written,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _count(usage: Mapping[str, object], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) else 0
