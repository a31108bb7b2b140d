"""What the OpenAI dialects say alike of an answer: ids, the reason for its end, refusals, citations, arguments."""

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
"""By the API's `stop_reason`; what is not here is `stop`."""

DECLINED = "Claude declined to answer this request."


def finish_reason(stop_reason: object) -> str:
    """Why the answer ended, in the words of chat and text completions.

    Args:
        stop_reason: The API's word.
    """
    return FINISH_REASONS.get(str(stop_reason), "stop")


def refusal_of(message: Mapping[str, object]) -> str | None:
    """Why Claude declined, if it did.

    Args:
        message: The final message, or the delta that ends one.
    """
    if message.get("stop_reason") != "refusal":
        return None
    details = message.get("stop_details")
    said = details.get("explanation") if isinstance(details, Mapping) else None
    return said if isinstance(said, str) and said else DECLINED


def answer_id(prefix: str, identity: ResponseIdentity) -> str:
    """The dialect's prefix and the digits of the run's id."""
    return prefix + identity.run_id.removeprefix("run_")


@lru_cache(maxsize=256)
def fingerprint(model: str) -> str:
    """Stands for what answers; changes only with the model."""
    return f"fp_{hashlib.sha256(model.encode()).hexdigest()[:10]}"


def arguments_text(block: Block, written: str | None) -> str:
    """A call's arguments as JSON text: as the model wrote them, or as they stand in the block."""
    return written or msgspec.json.encode(block.get("input") or {}).decode()


def cited_pages(block: Block) -> dict[str, str]:
    """The web pages that a text block cites: title by URL, each once, in order."""
    citations = block.get("citations")
    found: dict[str, str] = {}
    for citation in citations if isinstance(citations, list) else ():
        if isinstance(citation, dict) and isinstance(url := citation.get("url"), str):
            title = citation.get("title")
            found.setdefault(url, title if isinstance(title, str) else url)
    return found
