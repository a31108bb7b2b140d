"""Token counts, from the API's own figures to OpenAI's."""

from collections.abc import Iterable, Mapping

from dragoman.core.messages import JSONObject
from dragoman.core.usage_counts import counts_of
from dragoman.core.value_object import value_object


@value_object
class TokenCounts:
    """The tokens of one request.

    Attributes:
        uncached: Input that was not in the cache.
        cache_read: Input read from the cache.
        cache_write: Input written to the cache.
        output: All output, thinking included.
        reasoning: The thinking in it.
    """

    uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def input(self) -> int:
        """All input."""
        return self.uncached + self.cache_read + self.cache_write


def count_tokens(usages: Iterable[Mapping[str, object]]) -> TokenCounts:
    """Add up the tokens of one request over its choices.

    Args:
        usages: `usage` of each accumulated message. Its `input_tokens` are the uncached ones only.
    """
    uncached = cache_read = cache_write = output = reasoning = 0
    for usage in usages:
        counts = counts_of(usage)
        uncached += counts.input_tokens
        cache_read += counts.cache_read_input_tokens
        cache_write += counts.cache_creation_input_tokens
        output += counts.output_tokens
        reasoning += counts.thinking
    return TokenCounts(uncached, cache_read, cache_write, output, reasoning)


def completion_usage(usages: Iterable[Mapping[str, object]]) -> JSONObject:
    """Return the `usage` object of chat and text completions.

    Args:
        usages: `usage` of each accumulated message.

    Returns:
        OpenAI's object. `prompt_tokens` counts uncached, cache-read and cache-written tokens.
    """
    counts = count_tokens(usages)
    return {
        "prompt_tokens": counts.input,
        "completion_tokens": counts.output,
        "total_tokens": counts.input + counts.output,
        "prompt_tokens_details": {
            "cached_tokens": counts.cache_read,
            "cache_write_tokens": counts.cache_write,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
