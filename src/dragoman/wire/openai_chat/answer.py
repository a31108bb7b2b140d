"""What plain and streamed chat completions say alike: the reason for the end, citations."""

from dragoman.messages import JSON, Block
from dragoman.wire import answers
from dragoman.wire.answers import cited_pages

ID = "chatcmpl-"


def finish_reason(stop_reason: object, *, legacy: bool) -> str:
    """Why the answer ended, in OpenAI's words.

    Args:
        stop_reason: The API's word.
        legacy: Whether the client speaks of functions, not of tools.
    """
    reason = answers.finish_reason(stop_reason)
    return "function_call" if legacy and reason == "tool_calls" else reason


def annotations(block: Block, start: int) -> list[JSON]:
    """The web pages that a text block cites.

    Args:
        block: A whole text block.
        start: Where its text begins in the message's content, in characters.
    """
    text = block.get("text")
    end = start + (len(text) if isinstance(text, str) else 0)
    return [
        {
            "type": "url_citation",
            "url_citation": {"start_index": start, "end_index": end, "url": url, "title": title},
        }
        for url, title in cited_pages(block).items()
    ]
