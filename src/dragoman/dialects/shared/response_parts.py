"""Parts of responses that the OpenAI dialects share: ids, finish reasons, refusals, citations, arguments."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from dragoman.core.messages import Block
from dragoman.dialects.base import ResponseIdentity

FINISH_REASONS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""`finish_reason` by the API's `stop_reason`. Any other stop reason is `stop`."""

DEFAULT_REFUSAL = "Claude declined to answer this request."


def finish_reason(stop_reason: object) -> str:
    """Return the `finish_reason` of chat and text completions."""
    return FINISH_REASONS.get(str(stop_reason), "stop")


def refusal_text(message: Mapping[str, object]) -> str | None:
    """Return why Claude declined; None if it did not.

    Args:
        message: The accumulated message.
    """
    if message.get("stop_reason") != "refusal":
        return None
    details = message.get("stop_details")
    explanation = details.get("explanation") if isinstance(details, Mapping) else None
    return explanation if isinstance(explanation, str) and explanation else DEFAULT_REFUSAL


def response_id(prefix: str, identity: ResponseIdentity) -> str:
    """Return an id: the dialect's prefix and the digits of the run's id."""
    return prefix + identity.run_id.removeprefix("run_")


@lru_cache(maxsize=256)
def fingerprint(model: str) -> str:
    """Return the `system_fingerprint`. It changes only with the model."""
    return f"fp_{hashlib.sha256(model.encode()).hexdigest()[:10]}"


def arguments_json(block: Block, written: str | None) -> str:
    """Return a call's arguments as JSON text.

    Args:
        block: The `tool_use` block.
        written: The arguments as the model wrote them, if it wrote any.
    """
    return written or msgspec.json.encode(block.get("input") or {}).decode()


def cited_pages(block: Block) -> dict[str, str]:
    """Return the web pages that a text block cites: title by URL, in order, without duplicates."""
    citations = block.get("citations")
    pages: dict[str, str] = {}
    for citation in citations if isinstance(citations, list) else ():
        if isinstance(citation, dict) and isinstance(url := citation.get("url"), str):
            title = citation.get("title")
            pages.setdefault(url, title if isinstance(title, str) else url)
    return pages
