"""Content parts of one item, as content blocks.

Requests in the one form that the schema reads: every item and tool with its `type`.

The input of a request, item by item, as turns of the Messages API.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never, cast

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.media import Placed
from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.responses import tools
from dragoman.dialects.responses.reasoning import Thoughts
from dragoman.dialects.responses.schema import (
    ITEM_TYPES,
    WEB_SEARCHES,
    Compaction,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputFile,
    InputImage,
    InputItem,
    InputText,
    ItemReference,
    Message,
    OutputText,
    Part,
    Reasoning,
    Refusal,
    WebSearchCall,
)
from dragoman.dialects.responses.schema import TOOL_TYPES as TOOL_KINDS
from dragoman.dialects.shared.conversation import ConversationBuilder, document, image, text_blocks
from dragoman.dialects.shared.sealing import ReasoningCipher
from dragoman.dialects.shared.tool_calls import arguments_of


def blocks_of(content: str | Sequence[Part], path: str, media: list[Placed]) -> list[Block]:
    """What somebody says, or what a tool gave.

    Args:
        content: Text or parts.
        path: Where it stands in the request, for errors.
        media: Takes the images and documents among it.

    Raises:
        InvalidRequest: A part cannot be read; `param` names it.
    """
    if isinstance(content, str):
        return text_blocks(content)
    return [block for index, part in enumerate(content) for block in _part(part, f"{path}[{index}]", media)]


def words_of(content: str | Sequence[Part], path: str) -> list[Block]:
    """What the assistant said, or instructions: words only.

    Raises:
        UnsupportedFeature: There is an image or a file among it.
    """
    media: list[Placed] = []
    blocks = blocks_of(content, path, media)
    if media:
        raise UnsupportedFeature("Images and files may stand in a user's message only.", param=media[0].param)
    return blocks


def _part(part: Part, path: str, media: list[Placed]) -> list[Block]:
    match part:
        case InputText():
            return _marked(text_blocks(part.text), part)
        case OutputText():
            return text_blocks(part.text)
        case Refusal():
            return text_blocks(part.refusal)
        case InputImage():
            placed = _image(part, path)
        case InputFile():
            placed = _file(part, path)
        case InputAudio():
            raise UnsupportedFeature("Claude takes no audio.", param=f"{path}.input_audio")
        case _:
            assert_never(part)
    media.append(placed)
    return _marked([placed.block], part)


def _image(part: InputImage, path: str) -> Placed:
    where = f"{path}.image_url"
    if part.image_url is not None:
        return Placed(where, image(part.image_url, where))
    _refuse_id(part.file_id, path, "send the image itself in `image_url`")
    raise InvalidRequest("An image needs `image_url`.", code="missing_required_parameter", param=where)


def _file(part: InputFile, path: str) -> Placed:
    where = f"{path}.file_url" if part.file_data is None else f"{path}.file_data"
    if (data := part.file_url if part.file_data is None else part.file_data) is not None:
        return Placed(where, document(data, part.filename, where))
    _refuse_id(part.file_id, path, "send the file itself in `file_data`")
    raise InvalidRequest("A file needs `file_data`.", code="missing_required_parameter", param=f"{path}.file_data")


def _refuse_id(file_id: str | None, path: str, instead: str) -> None:
    if file_id is not None:
        raise UnsupportedFeature(f"There is no store of files; {instead}.", param=f"{path}.file_id")


def _marked(blocks: list[Block], part: InputText | InputImage | InputFile) -> list[Block]:
    """The blocks with the client's cache mark."""
    if part.prompt_cache_breakpoint is None:
        return blocks
    return [{**block, "cache_control": {"type": "ephemeral"}} for block in blocks]


def normal(data: JSON) -> JSON:
    """The same request, in that form. What is no request at all stays as it is, for the schema to refuse.

    Raises:
        UnsupportedFeature: An item is of a kind that means nothing here; `param` names it.
    """
    if not isinstance(data, dict):
        return data
    made = dict(data)
    if isinstance(items := data.get("input"), list):
        made["input"] = [_item(item, index) for index, item in enumerate(items)]
    if isinstance(tools := data.get("tools"), list):
        made["tools"] = [_tool(tool) for tool in tools]
    return made


def _item(item: JSON, index: int) -> JSON:
    if not isinstance(item, dict):
        return item
    kind = item.get("type")
    if kind is None and "role" in item:
        return {**item, "type": "message"}
    if kind is None and "id" in item:
        return {**item, "type": "item_reference"}
    if isinstance(kind, str) and kind not in ITEM_TYPES:
        raise UnsupportedFeature(f"Items of type `{kind[:60]}` are not supported.", param=f"input[{index}].type")
    return item


def _tool(tool: JSON) -> JSON:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(kind, str):
        return tool
    if kind in WEB_SEARCHES:
        return {**cast("JSONObject", tool), "type": "web_search"}
    return tool if kind in TOOL_KINDS else {"type": "other", "kind": kind}


SUMMARY = "This is a summary of the conversation so far; the messages themselves are not shown any more.\n\n"
"""What Claude is told in front of what stands for a conversation that was compacted."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What items are read into.

    Attributes:
        turns: The conversation.
        thoughts: The thinking in it.
        cipher: Opens what clients carry for us, if anything does.
        warnings: Where to say what could not stay as it was.
    """

    turns: ConversationBuilder
    thoughts: Thoughts
    cipher: ReasoningCipher | None
    warnings: list[RequestWarning]

    def take(self, given: str | list[InputItem]) -> None:
        """Build the turns of a whole input.

        Raises:
            InvalidRequest: An item cannot stand where it stands, or cannot be read; `param` names it.
        """
        if isinstance(given, str):
            self.turns.say(text_blocks(given), "input")
            self.turns.end("input")
            return
        self.add(given, "input")
        self.turns.end(f"input[{len(given) - 1}]" if given else "input")

    def add(self, items: Sequence[InputItem], field: str) -> None:
        """Add items.

        Args:
            items: The items.
            field: The field that holds them.

        Raises:
            InvalidRequest: As `take` does.
        """
        for index, item in enumerate(items):
            self._add(item, f"{field}[{index}]")

    def _add(self, item: InputItem, path: str) -> None:
        turns = self.turns
        match item:
            case Message():
                _say(item, path, turns)
            case FunctionCall():
                _call(item, arguments_of(item.arguments, f"{path}.arguments", self.warnings), path, turns)
            case CustomToolCall():
                _call(item, tools.as_input(item.input), path, turns)
            case FunctionCallOutput() | CustomToolCallOutput():
                id_ = turns.calls.answered(item.call_id, f"{path}.call_id")
                turns.result(id_, blocks_of(item.output, f"{path}.output", turns.media))
            case Reasoning():
                blocks = self._thinking(item, path)
                _answer(turns, path)
                turns.answer(blocks)
            case Compaction():
                self._summary(item, path)
            case WebSearchCall():
                detail = "What a search found is not in it; Claude searches again if it wants to."
                self.warnings.append(RequestWarning("ignored", path, detail))
            case ItemReference():
                raise UnsupportedFeature("Items are not kept by themselves; send the item itself.", param=f"{path}.id")
            case _:
                assert_never(item)

    def _thinking(self, item: Reasoning, path: str) -> list[Block]:
        if not item.encrypted_content:
            detail = "Reasoning can be sent back as `encrypted_content` only, which `include` asks for."
            self.warnings.append(RequestWarning("ignored", path, detail))
            return []
        param = f"{path}.encrypted_content"
        if self.cipher and (thought := self.cipher.thought_in(item.encrypted_content)):
            return self.thoughts.taken(thought, param)
        detail = "This was not made by this gateway, or was changed since; Claude could not read it."
        self.warnings.append(RequestWarning("left_out", param, detail))
        return []

    def _summary(self, item: Compaction, path: str) -> None:
        summary = self.cipher.summary_in(item.encrypted_content) if self.cipher else None
        if summary is None:
            detail = "This was not made by this gateway, or was changed since: there is no going on from it."
            raise InvalidRequest(detail, param=f"{path}.encrypted_content")
        self.turns.say(text_blocks(SUMMARY + summary), path)


def _call(item: FunctionCall | CustomToolCall, input_: JSONObject, path: str, turns: ConversationBuilder) -> None:
    _answer(turns, path)
    turns.answer([turns.calls.made(item.call_id, item.name, input_, id_=item.call_id, path=f"{path}.call_id")])


def _say(item: Message, path: str, turns: ConversationBuilder) -> None:
    content = f"{path}.content"
    if item.role == "user":
        turns.say(blocks_of(item.content, content, turns.media), path)
    elif item.role == "assistant":
        _answer(turns, path)
        turns.answer(words_of(item.content, content))
    else:
        turns.instruct(words_of(item.content, content), path)


def _answer(turns: ConversationBuilder, path: str) -> None:
    """Let the assistant speak, or speak on: one answer of several calls comes as several items."""
    if not (turns.calls.open and turns.messages[-1]["role"] == "assistant"):
        turns.calls.path = path
        turns.begin_answer(path)
