"""Token counts, from the API's own figures."""

from collections.abc import Iterable, Mapping

from dragoman.messages import JSONObject


def usage_of(answers: Iterable[Mapping[str, object]]) -> JSONObject:
    """The usage of one request, added up over its choices.

    Args:
        answers: `usage` of each final message. Its `input_tokens` are the uncached ones only.

    Returns:
        OpenAI's usage: `prompt_tokens` counts uncached, cache-read and cache-written tokens.
    """
    fresh = read = written = output = reasoning = 0
    for usage in answers:
        fresh += _count(usage, "input_tokens")
        read += _count(usage, "cache_read_input_tokens")
        written += _count(usage, "cache_creation_input_tokens")
        output += _count(usage, "output_tokens")
        details = usage.get("output_tokens_details")
        reasoning += _count(details, "thinking_tokens") if isinstance(details, Mapping) else 0
    prompt = fresh + read + written
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _count(usage: Mapping[str, object], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) else 0
