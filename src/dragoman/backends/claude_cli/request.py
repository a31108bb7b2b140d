"""From a canonical request to the input of `claude -p`: one text and a system prompt. All else is refused by name.

Earlier turns are refused too: they could only be flattened into the text.
"""

import re
from collections.abc import Iterator, Sequence

from dragoman.backends.base import RunRequest
from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import Message, MessagesRequest
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning

_ALTERNATIVE = "Use `--backend runtime` or `--backend api`."
_SUPPORTED_FIELDS = frozenset(
    {"model", "messages", "system", "max_tokens", "output_config", "thinking", "metadata", "stream"}
)
_EMPTY_VALUES: tuple[object, ...] = (None, [], {}, {"type": "auto"}, {"type": "none"})
"""Values of other fields that ask for nothing."""

_FILE_REFERENCE = re.compile(r"(?:^|\s)@[\"']?(?:[/~.]|\S*\.\./)")
"""A file that Claude Code would read because the prompt names it. Its working directory itself is empty."""


@value_object
class CliRequest:
    """The input of a process.

    Attributes:
        text: The prompt, for its stdin.
        system: The system prompt.
        model: The model's id.
        effort: The thinking effort.
        max_tokens: The maximum number of output tokens.
        warnings: What the command cannot do as requested.
    """

    text: str
    system: str
    model: str
    effort: str | None
    max_tokens: int | None
    warnings: tuple[RequestWarning, ...]


def build_request(request: RunRequest, flags: frozenset[str]) -> CliRequest:
    """Translate a request.

    Args:
        request: The request.
        flags: The options that the installation supports.

    Raises:
        UnsupportedFeature: The command cannot do it. `param` names the field.
        InvalidRequest: There is no prompt.
    """
    body = request.body
    _refuse_unsupported_fields(body)
    *system_messages, prompt = _split_messages(body["messages"])
    system_blocks = [
        *(body.get("system") or []),
        *(block for message in system_messages for block in message["content"]),
    ]
    text = _prompt_text(prompt, len(body["messages"]) - 1)
    effort = (body.get("output_config") or {}).get("effort")
    if system_blocks and "--system-prompt-file" not in flags:
        raise UnsupportedFeature(
            "This Claude Code cannot read a system prompt from a file, and a command line is visible to other users. "
            "Name a newer one with `--claude-command`.",
            param="system",
        )
    return CliRequest(
        text=text,
        system="\n\n".join(str(block["text"]) for block in system_blocks),
        model=request.model.id,
        effort=effort if "--effort" in flags else None,
        max_tokens=body.get("max_tokens"),
        warnings=tuple(_warnings(request, prompt, flags)),
    )


def _refuse_unsupported_fields(body: MessagesRequest) -> None:
    for name, value in body.items():
        if name not in _SUPPORTED_FIELDS and value not in _EMPTY_VALUES:
            raise UnsupportedFeature(f"The backend `cli` does not support `{name}`. {_ALTERNATIVE}", param=name)
    if (body.get("thinking") or {}).get("type") not in {None, "disabled"}:
        raise UnsupportedFeature(f"The backend `cli` does not support thinking. {_ALTERNATIVE}", param="thinking")
    if "format" in (body.get("output_config") or {}):
        raise UnsupportedFeature(
            f"The backend `cli` does not support structured output. {_ALTERNATIVE}", param="output_config.format"
        )


def _split_messages(messages: Sequence[Message]) -> list[Message]:
    """Return the system messages, and then the only user message."""
    system = [message for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    if not others:
        raise InvalidRequest("There is no message for the model to answer.", param="messages")
    if len(others) > 1 or others[0]["role"] != "user":
        raise UnsupportedFeature(
            f"The backend `cli` supports a single user message, and no earlier turns. {_ALTERNATIVE}",
            param="messages",
        )
    return [*system, others[0]]


def _prompt_text(message: Message, index: int) -> str:
    for position, block in enumerate(message["content"]):
        if block.get("type") != "text":
            raise UnsupportedFeature(
                f"The backend `cli` supports text only. {_ALTERNATIVE}", param=f"messages[{index}].content[{position}]"
            )
    text = "\n\n".join(str(block["text"]) for block in message["content"])
    if not text.strip():
        raise InvalidRequest("There is no text for the model to answer.", param=f"messages[{index}].content")
    if text.lstrip().startswith("/") or _FILE_REFERENCE.search(text):
        raise UnsupportedFeature(
            "The backend `cli` does not support a text that begins with `/` or names a file with `@`: Claude Code "
            f"would run it as a command, or read the file. {_ALTERNATIVE}",
            param=f"messages[{index}].content",
        )
    return text


def _warnings(request: RunRequest, prompt: Message, flags: frozenset[str]) -> Iterator[RequestWarning]:
    body = request.body
    if len(prompt["content"]) > 1:
        yield RequestWarning("joined", "messages", "The parts of the message were joined into one text.")
    if any("cache_control" in block for block in (*(body.get("system") or []), *prompt["content"])):
        yield RequestWarning("ignored", "cache_control", "Claude Code sets the prompt's cache marks itself.")
    if "metadata" in body:
        yield RequestWarning("ignored", "metadata", "Claude Code sends its own metadata.")
    if request.request_options.betas:
        yield RequestWarning("ignored", "anthropic-beta", "Claude Code sends its own betas.")
    if (body.get("output_config") or {}).get("effort") and "--effort" not in flags:
        yield RequestWarning("ignored", "output_config.effort", "This Claude Code does not support it.")
    if body.get("max_tokens") and "--include-partial-messages" not in flags:
        yield RequestWarning("ignored", "max_tokens", "This Claude Code does not support it.")
