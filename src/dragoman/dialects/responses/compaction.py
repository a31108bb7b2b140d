"""Compaction: Claude summarizes a conversation, and the client gets the summary as one encrypted item.

`POST /v1/responses/compact` asks for it, and so does a `compaction_trigger` as the last item of `input`.
"""

from collections.abc import Callable
from typing import TypeAlias, cast

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import InvalidRequest, UpstreamFailed
from dragoman.core.messages import JSON, Block, JSONObject, RequestOptions
from dragoman.core.value_object import replace
from dragoman.dialects.responses.items import ItemEvents, SendEvent
from dragoman.dialects.shared.sealing import ReasoningCipher

EncryptSummary: TypeAlias = Callable[[str], str]

SUMMARIZE = (
    "Summarize this conversation so that it can be continued from your summary alone: the messages will not be "
    "available any more. Include the requests, the decisions and the reasons for them, the work done and its results, "
    "the names, figures, paths and code that still matter, and the next steps. If the last message has not been "
    "answered yet, repeat it in full. Write only the summary."
)
"""The last message of the conversation that Claude summarizes."""

_NO_SUMMARY = "Claude did not summarize this conversation. Send it again, or shorten it yourself."
_TRIGGER = "compaction_trigger"
_WITHOUT_FORMAT: JSONObject = {"tools": None, "tool_choice": None, "text": None}
"""The fields of a request that do not hold for its summary."""


def summary_request(data: JSONObject, items: JSON) -> JSONObject:
    """Return the request that asks Claude for a summary.

    Args:
        data: The client's request.
        items: The input items to summarize.
    """
    prompt: JSONObject = {"type": "message", "role": "user", "content": SUMMARIZE}
    return {**data, **_WITHOUT_FORMAT, "input": [*(items if isinstance(items, list) else []), prompt]}


def summary_options(options: RequestOptions) -> RequestOptions:
    """Return the options of a request for a summary: only Claude reads it, so the gateway adds no words of its own."""
    return replace(options, shaping=replace(options.shaping, for_program=True))


def items_before_trigger(data: JSON) -> list[JSON] | None:
    """Return the items of a request without the `compaction_trigger` at their end; None if there is no trigger."""
    items = data.get("input") if isinstance(data, dict) else None
    if not isinstance(items, list) or not items:
        return None
    last = items[-1]
    return items[:-1] if isinstance(last, dict) and last.get("type") == _TRIGGER else None


def require_cipher(cipher: ReasoningCipher | None) -> EncryptSummary:
    """Return the function that encrypts a summary.

    Raises:
        InvalidRequest: The gateway has no key.
    """
    if cipher is None:
        detail = "This gateway has no key to encrypt a summary with. Shorten the conversation yourself."
        raise InvalidRequest(detail, code="not_compacted", param="input")
    return cipher.encrypt_summary


def summary_of(message: AccumulatedMessage) -> str | None:
    """Return Claude's summary; None if it wrote none."""
    blocks = message.message.get("content", [])
    summary = "".join(str(block.get("text") or "") for block in blocks if block.get("type") == "text")
    return summary if summary.strip() else None


def missing_summary(message: AccumulatedMessage) -> UpstreamFailed | None:
    """Return the error of a message that is no summary."""
    return None if summary_of(message) else UpstreamFailed(_NO_SUMMARY, code="not_compacted", param="input")


def compaction_item(id_: str, message: AccumulatedMessage, encrypt: EncryptSummary | None) -> JSONObject:
    """Return the item that holds Claude's summary.

    Raises:
        InvalidRequest: Claude wrote no summary, or the gateway has no key.
    """
    summary = summary_of(message)
    if summary is None or encrypt is None:
        raise InvalidRequest(_NO_SUMMARY, code="not_compacted", param="input")
    return {"id": id_, "type": "compaction", "encrypted_content": encrypt(summary)}


class CompactionOutput:
    """The output of a response to a `compaction_trigger`: one item, and nothing else that Claude wrote.

    See `Output`, whose methods it has.

    Args:
        encrypt: Encrypts the summary.
        id_digits: The digits that the id of the item is made from.
        send: Takes each event; None for a plain response.

    Attributes:
        items: The item, once the message has ended.
    """

    def __init__(self, encrypt: EncryptSummary, id_digits: str, send: SendEvent | None = None) -> None:
        self._encrypt = encrypt
        self._events = ItemEvents(f"cmp_{id_digits}0000", 0, send)
        self.items: list[JSON] = []

    def add_block(self, block: Block, arguments: str | None) -> None:
        """Do nothing: only the complete message is the summary."""

    def start_block(self, block: Block) -> None:
        """Do nothing."""

    def add_text(self, text: str) -> None:
        """Do nothing."""

    def add_thinking(self, text: str) -> None:
        """Do nothing."""

    def add_arguments(self, text: str) -> None:
        """Do nothing."""

    def end_block(self, block: Block) -> None:
        """Do nothing."""

    def break_off(self) -> None:
        """Do nothing: there is no item before the message has ended."""

    def end(self, message: AccumulatedMessage) -> None:
        """Build the item from the message."""
        item = compaction_item(self._events.id, message, self._encrypt)
        self._events.item("added", item)
        self._events.item("done", item)
        self.items.append(cast("JSON", item))
