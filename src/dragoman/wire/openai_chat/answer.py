"""What plain and streamed answers say alike: ids, the reason for the end, refusals, citations, arguments."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from dragoman.messages import JSON, Block, JSONObject
from dragoman.wire.base import Identity

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


def finish_reason(stop_reason: object, *, legacy: bool) -> str:
    """Why the answer ended, in OpenAI's words.

    Args:
        stop_reason: The API's word.
        legacy: Whether the client speaks of functions, not of tools.
    """
    reason = FINISH_REASONS.get(str(stop_reason), "stop")
    return "function_call" if legacy and reason == "tool_calls" else reason


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


def completion_id(identity: Identity) -> str:
    """`chatcmpl-` and the digits of the run's id."""
    return f"chatcmpl-{identity.run_id.removeprefix('run_')}"


@lru_cache(maxsize=256)
def fingerprint(model: str) -> str:
    """Stands for what answers; changes only with the model."""
    return f"fp_{hashlib.sha256(model.encode()).hexdigest()[:10]}"


def arguments_text(block: Block, written: str | None) -> str:
    """A call's arguments as JSON text: as the model wrote them, or as they stand in the block."""
    return written or msgspec.json.encode(block.get("input") or {}).decode()


def annotations(block: Block, start: int) -> list[JSON]:
    """The web pages that a text block cites.

    Args:
        block: A whole text block.
        start: Where its text begins in the message's content, in characters.
    """
    text, citations = block.get("text"), block.get("citations")
    end = start + (len(text) if isinstance(text, str) else 0)
    found: dict[str, JSON] = {}
    for citation in citations if isinstance(citations, list) else ():
        if isinstance(citation, dict) and isinstance(url := citation.get("url"), str):
            found.setdefault(url, _annotation(citation, url, start, end))
    return list(found.values())


def _annotation(citation: JSONObject, url: str, start: int, end: int) -> JSONObject:
    title = citation.get("title")
    return {
        "type": "url_citation",
        "url_citation": {
            "start_index": start,
            "end_index": end,
            "url": url,
            "title": title if isinstance(title, str) else url,
        },
    }
