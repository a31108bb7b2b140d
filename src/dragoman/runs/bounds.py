"""The upper bound of what a run may use: what it reserves under limits on tokens and under budgets.

A token is at least one byte of text. So the bytes of a prompt bound its tokens, at the price of a rough figure: English
text has four bytes for each token. Images and documents are bounded by their size, and every prompt by the context
window of its model.
"""

from collections.abc import Iterable, Mapping
from typing import cast

import msgspec

from dragoman.core.catalog import Model
from dragoman.core.known_message import KnownMessage
from dragoman.core.messages import Block, Message, MessagesRequest
from dragoman.core.pricing import WEB_SEARCH, max_nanodollars
from dragoman.core.value_object import replace, value_object
from dragoman.limits.rules import NANODOLLARS, Unit

MIN_OUTPUT = 1024
"""The lowest limit of a response that the gateway sets when a budget does not suffice for the usual one."""

_OVERHEAD = 3_000
"""Tokens that the API and the runtime add to a prompt, such as the instructions for tools."""
_MESSAGE_OVERHEAD = 10
_IMAGE = 5_000
"""Tokens of the largest image: larger ones are scaled down."""
_MIN_PDF = 5_000
_SEARCHES = 10
"""Web searches of a request that sets no limit."""
_SEARCH_NANODOLLARS = int(WEB_SEARCH.scaleb(9))


@value_object
class Bound:
    """The upper bound of one run.

    Attributes:
        model: The model's id.
        input: Input tokens, at most.
        output: Output tokens, at most.
        fast: Whether it asks for fast mode.
        extra: Nanodollars for the API's own tools.
        is_default: Whether the client set no limit of the response.
    """

    model: str
    input: int
    output: int
    fast: bool
    extra: int
    is_default: bool

    @property
    def tokens(self) -> int:
        """Tokens, at most."""
        return self.input + self.output

    @property
    def nanodollars(self) -> int:
        """The cost, at most."""
        return max_nanodollars(self.model, self.input, self.output, fast=self.fast) + self.extra


def bound_of(body: MessagesRequest, model: Model) -> Bound:
    """Return the upper bound of a run."""
    limit = body.get("max_tokens")
    tools = body.get("tools") or ()
    searches = sum(_searches(tool) for tool in tools)
    if searches:
        input_ = model.context_tokens  # the pages that are found are input, too
    else:
        input_ = _OVERHEAD + _json(body.get("output_config")) + (_json(tools) if tools else 0)
        input_ += _blocks(body.get("system") or (), model)
        messages = cast("list[Message | KnownMessage]", body["messages"])
        tokens = [
            one.tokens if type(one) is KnownMessage and one.tokens is not None else _message(one, model)
            for one in messages
        ]
        input_ += sum(tokens)
    output = model.output_tokens if limit is None else limit
    fast = body.get("speed") == "fast"
    return Bound(
        model.id, min(input_, model.context_tokens), output, fast, searches * _SEARCH_NANODOLLARS, limit is None
    )


def affordable_output(bound: Bound, unit: Unit, left: int) -> int | None:
    """Return a lower limit of the response that should fit; None if there is none, or the client chose its own.

    Args:
        bound: The bound of the run.
        unit: The unit of the rule that refused it.
        left: How much of that is left for the run.
    """
    if not bound.is_default:
        return None
    if unit is Unit.TOKENS:
        output = left - bound.input
    elif unit is Unit.DOLLARS:
        output = (left - replace(bound, output=0).nanodollars) * NANODOLLARS // _price_of_output(bound)
    else:
        return None
    return output if MIN_OUTPUT <= output < bound.output else None


def _price_of_output(bound: Bound) -> int:
    """Return the price of a billion tokens, rounded up."""
    without = replace(bound, output=0).nanodollars
    return (replace(bound, output=1_000_000).nanodollars - without + 1) * (NANODOLLARS // 1_000_000)


def estimated_output(content: Iterable[Block]) -> int:
    """Return about how many tokens a response has that was cut off before the API counted them."""
    characters = sum(
        len(value) if isinstance(value, str) else _json(value)
        for block in content
        for key, value in block.items()
        if key in {"text", "thinking", "input"}
    )
    return -(-characters // 4)


def _message(message: Message | KnownMessage, model: Model) -> int:
    content = message["content"]
    tokens = _MESSAGE_OVERHEAD + _blocks(content, model)
    if type(message) is KnownMessage and not _has_document(content):
        message.tokens = tokens
    return tokens


def _has_document(blocks: Iterable[Block]) -> bool:
    """Return whether there is a document, whose tokens depend on the model."""
    return any(
        block.get("type") == "document" or (isinstance(inner := block.get("content"), list) and _has_document(inner))  # type: ignore[arg-type] # blocks of the API
        for block in blocks
    )


def _blocks(blocks: Iterable[Block] | str, model: Model) -> int:
    if isinstance(blocks, str):  # of an agent's runtime; the gateway's own requests have blocks
        return _text(blocks)
    tokens = 0
    for block in blocks:
        kind = block.get("type")
        if kind == "text":
            tokens += _text(block["text"])
        elif kind == "image":
            tokens += _IMAGE
        elif kind == "document":
            tokens += _document(block, model)
        elif kind == "tool_result" and isinstance(content := block.get("content"), list):
            tokens += _MESSAGE_OVERHEAD + _blocks(content, model)  # type: ignore[arg-type] # blocks of the API
        else:
            tokens += _json(block)
    return tokens


def _document(block: Block, model: Model) -> int:
    source = block.get("source")
    if not isinstance(source, Mapping):
        return model.context_tokens
    data, content = source.get("data"), source.get("content")
    around = _json({key: value for key, value in block.items() if key != "source"})
    if source.get("type") == "base64" and isinstance(data, str):
        return around + max(_MIN_PDF, len(data))
    if source.get("type") == "text" and isinstance(data, str):
        return around + _text(data)
    if source.get("type") == "content" and isinstance(content, list):
        return around + _blocks(content, model)  # type: ignore[arg-type] # blocks of the API
    return model.context_tokens  # a URL or a file: the API knows its size


def _searches(tool: Mapping[str, object]) -> int:
    if not str(tool.get("type", "")).startswith("web_"):
        return 0
    limit = tool.get("max_uses")
    return limit if isinstance(limit, int) and limit > 0 else _SEARCHES


def _text(text: object) -> int:
    if not isinstance(text, str):
        return _json(text)
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _json(value: object) -> int:
    return len(msgspec.json.encode(value)) if value else 0
