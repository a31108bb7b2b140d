"""Decode chats part by part, and only the parts that are new.

An agent sends its whole conversation and all its tools with every request. All of them but the last messages were in
the request before. So the parts are kept by the bytes of their JSON: lists of tools, decoded; and plain messages,
translated. The translation of a plain message depends on nothing but the message itself. A request that begins with the
same bytes as an earlier one is not read again up to there: see `known_starts`.

A message is plain if its translation gives no warning, contains no media and no cache marks, and needs
no other ids. A plain message that does not fit into its conversation is translated as any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias, cast

import msgspec
from msgspec import Meta

from dragoman.core.content_cache import ContentCache
from dragoman.core.errors import InvalidRequest
from dragoman.core.known_message import KnownMessage
from dragoman.core.media import Placed
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.chat.content import user_blocks
from dragoman.dialects.chat.messages import AnyMessage, PlainMessage, assistant_blocks
from dragoman.dialects.chat.parts import ToolResultPart
from dragoman.dialects.chat.schema import (
    AssistantMessage,
    ChatCompletionRequest,
    ChatMessage,
    CustomTool,
    FunctionTool,
    ToolMessage,
    UserMessage,
)
from dragoman.dialects.chat.tools import KnownTools
from dragoman.dialects.shared.conversation import PlainRun, text_blocks, tool_result
from dragoman.dialects.shared.exact import MAX_JSON_DEPTH, MIN_DEEP_BYTES, ExactDecoder, is_too_deep
from dragoman.dialects.shared.known_starts import MAX_START_BYTES, KnownStart, KnownStarts
from dragoman.dialects.shared.tool_calls import ToolCallIds

_Tools: TypeAlias = list[FunctionTool | CustomTool]

_MAX_MESSAGE_BYTES = 12 * 1024 * 1024
"""The conversations of some hundred agents. With what is made from them, they take four times as much memory."""
_MAX_TOOL_BYTES = 2 * 1024 * 1024

_MARK = b'"cache_control"'
_NO_TOOLS = msgspec.Raw(b"null")


class _OuterRequest(ChatCompletionRequest):
    """A request whose largest parts are still JSON."""

    messages: Annotated[list[msgspec.Raw], Meta(min_length=1)]  # type: ignore[assignment] # decoded one by one
    tools: msgspec.Raw = _NO_TOOLS  # type: ignore[assignment] # decoded after the rest


_OUTER: ExactDecoder[_OuterRequest] = ExactDecoder(_OuterRequest)
_MESSAGE: ExactDecoder[ChatMessage] = ExactDecoder(ChatMessage)
_TOOLS: ExactDecoder[_Tools] = ExactDecoder(_Tools)


class KnownParts:
    """The parts of earlier requests, by the bytes of their JSON.

    Args:
        starts: Their beginnings; None: no requests yet.

    Attributes:
        starts: Their beginnings.
        messages: Plain messages.
        tools: Lists of tools.
    """

    def __init__(self, starts: KnownStarts[PlainMessage] | None = None) -> None:
        self.starts: KnownStarts[PlainMessage] = starts or KnownStarts(MAX_START_BYTES)
        self.messages: ContentCache[PlainMessage] = ContentCache(_MAX_MESSAGE_BYTES)
        self.tools: ContentCache[KnownTools] = ContentCache(_MAX_TOOL_BYTES)


@dataclass(slots=True)
class DecodedParts:
    """A request that was decoded part by part.

    Attributes:
        request: The request, without its messages.
        messages: Its messages.
        special: Those of them that are not plain, with their indexes.
        runs: Those of them that the next request is likely to begin with, the shortest run first.
    """

    request: ChatCompletionRequest
    messages: list[AnyMessage]
    special: list[tuple[int, ChatMessage]]
    runs: Sequence[PlainRun] = ()


def decode_parts(raw: bytes, known: KnownParts) -> DecodedParts | None:
    """Decode a request that has only known fields, as far as its parts are new.

    Returns:
        The request; None if it does not fit exactly, or is nested too deeply.
    """
    is_long = len(raw) >= known.starts.step
    start = known.starts.find(raw) if is_long else None
    shortened = raw if start is None else start.shorten(raw)
    split = _split(shortened)
    if start is not None and (split is None or not start.is_in(split[1])):
        start, shortened, split = None, raw, _split(raw)
    if split is None:
        return None
    request, contents = split
    tool_content = bytes(request.tools)
    if len(shortened) - len(tool_content) - sum(map(len, contents)) > MIN_DEEP_BYTES and _is_rest_too_deep(request):
        return None
    mark = -1 if start is None else start.run.first
    messages: list[AnyMessage | None] = [*known.messages.get_all(contents)]
    special: list[tuple[int, ChatMessage]] = []
    for index in [index for index, one in enumerate(messages) if one is None and index != mark]:
        messages[index] = message = _new_message(contents[index], known)
        if message is None:
            return None
        if type(message) is not PlainMessage:
            special.append((index, message))
    decoded = DecodedParts(cast("ChatCompletionRequest", request), cast("list[AnyMessage]", messages), special)
    if is_long:
        plain = [one if type(one) is PlainMessage else None for one in messages]
        _add_known(decoded, start, known.starts.learn(raw, _split, split, plain, start))
    tools = None
    if request.tools != _NO_TOOLS:
        tools = known.tools.get(tool_content) or _new_tools(tool_content, known)
        if tools is None:
            return None
    decoded.request.tools = tools
    return decoded


def _add_known(
    decoded: DecodedParts, start: KnownStart[PlainMessage] | None, longer: KnownStart[PlainMessage] | None
) -> None:
    """Replace the mark by the messages of a start, and add the runs of both starts."""
    decoded.runs = [one.run for one in (start, longer) if one is not None]
    if start is not None:
        mark, more = start.run.first, len(start.messages) - 1
        decoded.messages[mark : mark + 1] = start.messages
        decoded.special = [(index + more if index > mark else index, one) for index, one in decoded.special]


def _split(raw: bytes) -> tuple[_OuterRequest, list[bytes]] | None:
    """Return a request without its messages, and their JSON; None if it does not fit exactly."""
    request = _OUTER.decode(raw)
    if request is None:
        return None
    contents = list(map(bytes, request.messages))
    request.messages = []
    return request, contents


def _is_rest_too_deep(request: _OuterRequest) -> bool:
    """Return whether a request is nested too deeply outside of its messages and tools."""
    try:
        return is_too_deep(msgspec.json.encode(msgspec.structs.replace(request, tools=_NO_TOOLS)))
    except RecursionError:
        return True


def _new_message(content: bytes, known: KnownParts) -> AnyMessage | None:
    message = None if is_too_deep(content, levels=MAX_JSON_DEPTH - 2) else _MESSAGE.decode(content)
    plain = message and _plain(message)
    if plain:
        known.messages.put(content, plain)
        return plain
    return message


def _new_tools(content: bytes, known: KnownParts) -> KnownTools | None:
    decoded = None if is_too_deep(content, levels=MAX_JSON_DEPTH - 1) else _TOOLS.decode(content)
    if decoded is None:
        return None
    tools = KnownTools(decoded)
    if tools:
        known.tools.put(content, tools)
    return tools


def _plain(message: ChatMessage) -> PlainMessage | None:
    """Return a message with its translation; None if it is not plain."""
    try:
        if isinstance(message, ToolMessage):
            plain = _plain_result(message)
        elif message.name:
            return None
        elif isinstance(message, UserMessage):
            plain = _plain_user(message)
        elif isinstance(message, AssistantMessage):
            plain = _plain_assistant(message)
        else:
            return None
    except InvalidRequest:
        return None
    # A text alone has no mark. In the JSON of anything else, the quotes of a text are escaped, and those of a key not.
    if plain and (plain.calls or not isinstance(message.content, str)) and _MARK in bytes(plain.translated.raw):
        return None
    return plain


def _plain_user(message: UserMessage) -> PlainMessage | None:
    given = message.content
    if isinstance(given, list) and any(isinstance(part, ToolResultPart) for part in given):
        return None
    media: list[Placed] = []
    blocks = user_blocks(given, "", media)  # type: ignore[arg-type] # no results
    return PlainMessage(KnownMessage("user", blocks), message=message) if blocks and not media else None


def _plain_assistant(message: AssistantMessage) -> PlainMessage | None:
    if message.function_call or message.audio is not None:
        return None
    warnings: list[RequestWarning] = []
    if isinstance(message.content, str) and not (
        message.tool_calls or message.refusal or message.reasoning_details or message.reasoning_content
    ):
        blocks = text_blocks(message.content)  # as most are
    else:
        blocks = assistant_blocks(message, 0, ToolCallIds(warnings), warnings)
    if warnings or not blocks:  # another id or name gives a warning, too
        return None
    named = tuple([(str(block["id"]), str(block["name"])) for block in blocks if block["type"] == "tool_use"])
    return PlainMessage(KnownMessage("assistant", blocks), named, message=message)


def _plain_result(message: ToolMessage) -> PlainMessage | None:
    media: list[Placed] = []
    content = user_blocks(message.content, "", media)
    if media or not message.tool_call_id:
        return None
    block = tool_result(message.tool_call_id, content)
    return PlainMessage(KnownMessage("user", [block]), result_of=message.tool_call_id, message=message)
