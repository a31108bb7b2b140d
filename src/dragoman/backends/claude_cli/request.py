"""A canonical request as `claude -p` takes it: one text, and a system prompt beside it. All else is refused by name.

Earlier turns could only be flattened into the text, which is never done.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from dragoman.backends.base import RunRequest
from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import Block, JSONObject, Message, MessagesRequest
from dragoman.core.warnings import RequestWarning

_OTHER = "`--backend runtime` and `--backend api` can."
_TAKEN = frozenset({"model", "messages", "system", "max_tokens", "output_config", "thinking", "metadata", "stream"})
_EMPTY: tuple[object, ...] = (None, [], {}, {"type": "auto"}, {"type": "none"})

_FILE_OF_THIS_MACHINE = re.compile(r"(?:^|\s)@[\"']?(?:[/~.]|\S*\.\./)")
"""What Claude Code would read where it stands in a prompt of its own user; where it works there is no file."""


@dataclass(frozen=True, slots=True)
class CliRequest:
    """What a process is asked.

    Attributes:
        text: Written to its stdin.
        system: The system prompt.
        model: The model's id.
        effort: How hard it should think.
        max_tokens: Where the answer is cut.
        warnings: What could not be done as asked.
    """

    text: str
    system: str
    model: str
    effort: str | None
    max_tokens: int | None
    warnings: tuple[RequestWarning, ...]


def build_request(request: RunRequest, flags: frozenset[str]) -> CliRequest:
    """Put a request into words.

    Args:
        request: The request.
        flags: The options that the installation has.

    Raises:
        UnsupportedFeature: Something of it cannot be put so; `param` names it.
        InvalidRequest: There is nothing to ask.
    """
    body = request.body
    _refuse_fields(body)
    *system, last = _messages(body["messages"])
    prompt = [*(body.get("system") or []), *(block for message in system for block in message["content"])]
    text, effort = _text(last, len(body["messages"]) - 1), (body.get("output_config") or {}).get("effort")
    if prompt and "--system-prompt-file" not in flags:
        raise UnsupportedFeature(
            "This Claude Code takes no system prompt from a file, and nobody's words are put on a command line. Name a "
            "newer one with `--claude-command`.",
            param="system",
        )
    return CliRequest(
        text=text,
        system="\n\n".join(str(block["text"]) for block in prompt),
        model=request.model.id,
        effort=effort if "--effort" in flags else None,
        max_tokens=body.get("max_tokens"),
        warnings=tuple(_notices(request, last, flags)),
    )


def _refuse_fields(body: MessagesRequest) -> None:
    for name, value in body.items():
        if name not in _TAKEN and value not in _EMPTY:
            raise UnsupportedFeature(f"The backend `cli` cannot pass on `{name}`; {_OTHER}", param=name)
    if (body.get("thinking") or {}).get("type") not in {None, "disabled"}:
        raise UnsupportedFeature(f"The backend `cli` cannot ask for thinking; {_OTHER}", param="thinking")
    if "format" in (body.get("output_config") or {}):
        raise UnsupportedFeature(f"The backend `cli` has no structured output; {_OTHER}", param="output_config.format")


def _messages(messages: Sequence[Message]) -> list[Message]:
    """System messages, and the one of the user's."""
    spoken = [message for message in messages if message["role"] != "system"]
    if not spoken:
        raise InvalidRequest("There is no message for the model to answer.", param="messages")
    if len(spoken) > 1 or spoken[0]["role"] != "user":
        raise UnsupportedFeature(
            "The backend `cli` passes on a single user message: earlier turns it could only flatten into text. "
            + _OTHER,
            param="messages",
        )
    return [*(message for message in messages if message["role"] == "system"), spoken[0]]


def _text(message: Message, place: int) -> str:
    for number, block in enumerate(message["content"]):
        if block.get("type") != "text":
            param = f"messages[{place}].content[{number}]"
            raise UnsupportedFeature(f"The backend `cli` passes on text alone; {_OTHER}", param=param)
    text = "\n\n".join(str(block["text"]) for block in message["content"])
    if not text.strip():
        raise InvalidRequest("There is no text for the model to answer.", param=f"messages[{place}].content")
    if text.lstrip().startswith("/") or _FILE_OF_THIS_MACHINE.search(text):
        raise UnsupportedFeature(
            "The backend `cli` cannot pass on a text that begins with `/` or names a file with `@`: the command would "
            f"act on it. {_OTHER}",
            param=f"messages[{place}].content",
        )
    return text


def _notices(request: RunRequest, message: Message, flags: frozenset[str]) -> Iterator[RequestWarning]:
    body = request.body
    if len(message["content"]) > 1:
        yield RequestWarning("joined", "messages", "The parts of the message were joined to one text.")
    if _marked([*(body.get("system") or []), *message["content"]]):
        yield RequestWarning("ignored", "cache_control", "Claude Code marks the prompt for caching by itself.")
    if "metadata" in body:
        yield RequestWarning("ignored", "metadata", "Claude Code sends its own metadata.")
    if request.request_options.betas:
        yield RequestWarning("ignored", "anthropic-beta", "Claude Code names its betas itself.")
    if cast("JSONObject", body.get("output_config") or {}).get("effort") and "--effort" not in flags:
        yield RequestWarning("ignored", "output_config.effort", "This Claude Code has no option for it.")
    if body.get("max_tokens") and "--include-partial-messages" not in flags:
        yield RequestWarning("ignored", "max_tokens", "This Claude Code cannot be stopped there.")


def _marked(blocks: Sequence[Block]) -> bool:
    return any("cache_control" in block for block in blocks)
