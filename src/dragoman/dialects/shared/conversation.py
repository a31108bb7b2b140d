"""Images and documents of the OpenAI dialects, as content blocks of the Messages API.

Nothing is fetched here: what comes by URL leaves as a `url` source.

Turns of the Messages API, built message by message: system prompt apart, roles in turn, results behind calls.
"""

import binascii
import re

from dragoman.core.catalog import Model
from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.media import Placed, document_source, image_source
from dragoman.core.messages import Block, Message, Role
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared.tool_calls import ToolCallIds

_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?P<parameters>(?:;[^;,]*)*?)(?P<base64>;base64)?,", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_FETCHED = frozenset({"http", "https"})


def image(url: str, param: str) -> Block:
    """An image block of a data URL, or of an http or https URL.

    Raises:
        InvalidRequest: The URL or the image cannot be read.
        UnsupportedFeature: The URL is of another kind.
    """
    if head := _DATA_URL.match(url):
        return {"type": "image", "source": image_source(_base64(url[head.end() :], head, param), param)}
    if source := _url_source(url, param, "unsupported_image_url"):
        return {"type": "image", "source": source}
    raise InvalidRequest("The image's URL is no URL.", code="invalid_image_url", param=param)


def document(data: str, name: str | None, param: str) -> Block:
    """A document block of a PDF or a plain text, given as a data URL, as bare base64, or by an http or https URL.

    Raises:
        InvalidRequest: The data is no base64, or no PDF and no text.
        UnsupportedFeature: It is a URL of another kind.
    """
    head = _DATA_URL.match(data)
    source = None if head else _url_source(data, param, "unsupported_file_url")
    if source is None:
        source = document_source(_base64(data[head.end() :] if head else data, head, param), param)
    block: Block = {"type": "document", "source": source}
    if name:
        block["title"] = name
    return block


def _url_source(text: str, param: str, code: str) -> Block | None:
    """The source of what comes by URL, if the text is one."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        return None
    if scheme[0].lower() not in _FETCHED:
        raise UnsupportedFeature(
            f"Images and files come as data URLs or by https, not by `{scheme[0][:20]}`.", code=code, param=param
        )
    return {"type": "url", "url": text}


def _base64(data: str, head: re.Match[str] | None, param: str) -> str:
    if head and not head["base64"]:
        raise InvalidRequest("The data URL must be base64 (`data:…;base64,…`).", code="invalid_data_url", param=param)
    data = "".join(data.split()) if any(c in data for c in "\n\r ") else data
    data += "=" * (-len(data) % 4)
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        raise InvalidRequest("The data is not valid base64.", code="invalid_base64", param=param) from None
    return data


OPENING = "(The conversation begins with the assistant.)"
"""Stands for the user where a conversation begins with the assistant: the API wants the user first."""


def text_blocks(text: str | None) -> list[Block]:
    """A text block, unless there is nothing in it: the API refuses blank ones."""
    return [{"type": "text", "text": text}] if text and not text.isspace() else []


class ConversationBuilder:
    """Builds the system prompt and the turns of one request.

    Args:
        model: Whose rules hold.
        warnings: Where to say what could not stay as it was.
        field: The request's field that holds the conversation.

    Attributes:
        system: The system prompt, as text blocks.
        messages: The turns. Messages of one role that follow each other are one turn of several blocks.
        media: The images and documents in them.
        calls: The tool calls in them.
        field: As given.
    """

    def __init__(self, model: Model, warnings: list[RequestWarning], field: str = "messages") -> None:
        self.system: list[Block] = []
        self.messages: list[Message] = []
        self.media: list[Placed] = []
        self.calls = ToolCallIds(warnings)
        self.field = field
        self._model = model
        self._notices = warnings
        self._begun = False
        self._held: list[tuple[str, Block]] = []

    def say(self, blocks: list[Block], path: str) -> None:
        """Add what the user says.

        Raises:
            InvalidRequest: Results of calls are owed.
        """
        self.calls.require_answers(f"`{path}`")
        if not blocks:
            self._notices.append(RequestWarning("ignored", f"{path}.content", "There is nothing in this message."))
            return
        self._release()
        self._append("user", blocks)
        self._begun = True

    def instruct(self, blocks: list[Block], path: str) -> None:
        """Add instructions."""
        if self.messages:
            # Where it goes is known when the next turn comes: it may not stand between a call and its result.
            self._held += [(path, block) for block in blocks]
        else:
            self.system += blocks

    def begin_answer(self, path: str) -> None:
        """Let the assistant speak; its blocks follow with `answer`.

        Raises:
            InvalidRequest: Results of calls are owed.
        """
        self.calls.require_answers(f"`{path}`")

    def answer(self, blocks: list[Block]) -> None:
        """Add what the assistant says, thinks or calls."""
        if blocks:
            self._release()
        self._append("assistant", blocks)

    def result(self, id_: str, content: list[Block]) -> None:
        """Add a call's result."""
        block: Block = {"type": "tool_result", "tool_use_id": id_}
        if content:
            block["content"] = list(content)
        self._append("user", [block])

    def end(self, path: str) -> None:
        """Close the conversation.

        Args:
            path: The last message's place.

        Raises:
            InvalidRequest: It cannot end or begin as it does.
        """
        self.calls.require_answers("the end")
        self._release(last=True)
        self._ensure_user()
        self._check_last(path)

    def _release(self, *, last: bool = False) -> None:
        """Put held instructions behind the turn that was the last when they came, or into the system prompt."""
        held, self._held = self._held, []
        blocks = [block for _, block in held]
        if not held:
            return
        if last and self.messages and self.messages[-1]["role"] == "assistant":
            # The model is to answer them, not to continue what the assistant said.
            self._append("user", blocks)
            self._move(held, "Instructions that follow the assistant are sent as the user's.")
        elif not self._begun:
            self.system += blocks
        elif self._model.system_messages:
            self._append("system", blocks)
        else:
            self.system += blocks
            name = self._model.name
            self._move(held, f"{name} takes no system message inside the conversation; it joined the system prompt.")

    def _move(self, held: list[tuple[str, Block]], detail: str) -> None:
        self._notices += [RequestWarning("moved", path, detail) for path in dict.fromkeys(path for path, _ in held)]

    def _append(self, role: Role, blocks: list[Block]) -> None:
        if not blocks:
            return
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"] += blocks
        else:
            self.messages.append({"role": role, "content": blocks})

    def _ensure_user(self) -> None:
        if not self.messages:
            self._system_as_user()
        elif self.messages[0]["role"] != "user":
            opening: Block = {"type": "text", "text": OPENING}
            self.messages.insert(0, {"role": "user", "content": [opening]})
            detail = "The API wants the user first: a line was put in front."
            self._notices.append(RequestWarning("mapped", self.field, detail))

    def _system_as_user(self) -> None:
        if not self.system:
            said = "There is no text in any of the messages."
            raise InvalidRequest(said, code="empty_messages", param=self.field)
        self.messages.append({"role": "user", "content": self.system})
        self.system = []
        detail = "Without a user's message the instructions are sent as one."
        self._notices.append(RequestWarning("moved", self.field, detail))

    def _check_last(self, path: str) -> None:
        last = self.messages[-1]
        if last["role"] != "assistant":
            return
        if not self._model.prefill:
            raise UnsupportedFeature(
                f"{self._model.name} cannot continue an assistant message; the last message must be the user's.",
                code="unsupported_prefill",
                param=path,
            )
        self._trim(last["content"], path)

    def _trim(self, content: list[Block], path: str) -> None:
        """The API refuses a prefill that ends in white space."""
        text = content[-1].get("text")
        if isinstance(text, str) and text != text.rstrip():
            content[-1]["text"] = text.rstrip()
            self._notices.append(RequestWarning("trimmed", f"{path}.content", "White space at the end was left out."))
