"""From a canonical request to what the runtime takes: the system prompt, the settings and the messages.

What the runtime cannot pass on unchanged is moved or renamed, with a warning, or refused as the API would refuse it.
The runtime itself would repair such input silently, and the model would answer something else.
"""

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import cast

import msgspec

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code.pool import Prompt
from dragoman.backends.claude_code.protocol import settings_for, unsupported_params
from dragoman.backends.claude_code.rewrites import live_reply, rewrite_messages
from dragoman.backends.claude_code.tools import client_tool_names, to_call_results
from dragoman.core.conversation import ConversationHash, client_scope
from dragoman.core.errors import InvalidRequest, UpstreamFailed
from dragoman.core.messages import JSON, Block, JSONObject, Message, MessagesRequest
from dragoman.core.warnings import RequestWarning

_RUNTIME_MAX_TOKENS = 32_000
"""The smallest `max_tokens` that the runtime sends when the request has none."""
_ONE_CALL_BELOW = 256
"""A response with a smaller `max_tokens` may be cut within milliseconds of its first token. The process cannot be
killed in time, so the request goes to a process that can make only one API call."""

_CACHE_MARK = b'"cache_control"'
_encode = msgspec.json.Encoder().encode

_OPAQUE_KEYS = frozenset({"input", "input_schema", "source", "metadata"})
"""Keys whose values may hold a key `cache_control` that is no cache mark."""


@dataclass(frozen=True)
class RuntimeRequest:
    """A request as the runtime takes it.

    Attributes:
        system: The system prompt.
        tools: Names of the tools that the runtime calls and the client runs.
        settings: For `apply_flag_settings`.
        messages: The conversation without system messages. The last message calls the model.
        model: The model's id.
        max_tokens: Tokens after which the API cuts the response.
        one_call: Whether the process must be one that can make only one API call.
        fixed: What identifies the conversation apart from its messages.
        warnings: What could not be done as requested.
    """

    system: str
    tools: list[str]
    settings: JSONObject
    messages: list[Message]
    model: str
    max_tokens: int
    one_call: bool
    fixed: JSONObject
    warnings: tuple[RequestWarning, ...]

    @property
    def prompt(self) -> Prompt:
        """What the request's process is initialized with."""
        return Prompt(str(self.fixed.get("client", "")), self.system, tuple(self.tools), self.settings)

    @property
    def conversation(self) -> str | None:
        """The hash of the conversation that a live process must hold for this request; None if no process can."""
        if self.messages[-1]["role"] != "user" or len(self.messages) == 1 or self.messages[-2]["role"] != "assistant":
            return None
        if self.call_ids and self.results is None:
            return None
        return self._earlier_hash.name

    @property
    def call_ids(self) -> list[str]:
        """The ids of the calls that the last message must answer."""
        blocks = self.messages[-2]["content"] if len(self.messages) > 1 else []
        return _ids(blocks, "tool_use", "id")

    @property
    def results(self) -> dict[str, JSONObject] | None:
        """The results of the parked calls, by the id of the call; None if they must be replayed."""
        return to_call_results(self.messages[-1]["content"], self.call_ids) if self.call_ids else None

    def conversation_after(self, content: list[Block]) -> str | None:
        """Return the hash of the conversation that the process holds after a response; None if it holds another one."""
        if (held := live_reply(content)) is None:
            return None
        reply = Message(role="assistant", content=held)
        return self._earlier_hash.copy().extend([self.messages[-1], reply]).name

    @cached_property
    def _earlier_hash(self) -> ConversationHash:
        """The hash of all messages but the last. It is computed once: a conversation can be long."""
        return ConversationHash(self.fixed).extend(self.messages[:-1])


def translate_request(request: RunRequest) -> RuntimeRequest:
    """Translate a request.

    Raises:
        InvalidRequest: The API would refuse the request, or there is no message.
        UpstreamFailed: The conversation ends in a state that the runtime cannot continue.
    """
    body, warnings = _without_cache_marks(request.body)
    system, messages, moved = _without_system_messages(body)
    messages, rewritten = rewrite_messages(messages)
    warnings += [*moved, *rewritten, *unsupported_params(request)]
    if not messages:
        raise InvalidRequest("There is no message for the model to answer.", param="messages")
    if messages[-1]["role"] == "assistant" and messages[-1]["content"][-1].get("type") == "server_tool_use":
        # The runtime would send a text of its own ("[Tool use interrupted]") instead.
        raise UpstreamFailed(
            "The API paused in the middle of a search, and the Claude Code runtime cannot continue it. "
            "Send the request again.",
            code="turn_paused",
        )
    prompt = "\n\n".join(str(block["text"]) for block in system)
    max_tokens = body.get("max_tokens")
    one_call = max_tokens is not None and max_tokens < _ONE_CALL_BELOW
    return RuntimeRequest(
        system=prompt,
        # A process for one call must not run the calls: it would end before the response is complete.
        tools=[] if one_call else client_tool_names(body.get("tools") or ()),
        settings=settings_for(body, request.model, request.request_options),
        messages=messages,
        model=request.model.id,
        max_tokens=max_tokens or _RUNTIME_MAX_TOKENS,
        one_call=one_call,
        # Betas too: a process sends those of its first request with every later one.
        fixed={
            "model": request.model.id,
            "betas": [*request.request_options.betas],
            "system": prompt,
            "tools": cast("JSON", body.get("tools")),
            # A client that guesses the conversation of another gets a process of its own.
            **client_scope(request.client),
        },
        warnings=tuple(warnings),
    )


def _without_cache_marks(body: MessagesRequest) -> tuple[MessagesRequest, list[RequestWarning]]:
    """Remove cache marks: the runtime sets its own, and the API allows four in all and only in some orders."""
    messages = [cast("Message", _without_marks(cast("JSON", message))) for message in body["messages"]]
    others = cast("JSONObject", {**body, "messages": None})
    fields = _without_marks(others)
    if fields is others and all(map(operator.is_, messages, body["messages"])):
        return body, []
    return cast("MessagesRequest", {**cast("JSONObject", fields), "messages": messages}), [
        RequestWarning("ignored", "cache_control", "The Claude Code runtime sets the prompt's cache marks itself.")
    ]


def _without_marks(value: JSON) -> JSON:
    """Return a part of a request without its cache marks: the part itself if it has none.

    Most messages have none. That is seen in their JSON many times sooner than by a walk.
    """
    try:
        if _CACHE_MARK not in _encode(value):
            return value
    except UnicodeEncodeError:  # half of a character: only the walk can tell
        pass
    stripped = _strip_cache_marks(value)
    return value if stripped == value else stripped


def _strip_cache_marks(value: JSON) -> JSON:
    if isinstance(value, list):
        return [_strip_cache_marks(item) for item in value]
    if isinstance(value, dict):
        return {k: v if k in _OPAQUE_KEYS else _strip_cache_marks(v) for k, v in value.items() if k != "cache_control"}
    return value


def _without_system_messages(body: MessagesRequest) -> tuple[list[Block], list[Message], list[RequestWarning]]:
    """Append later system messages to the system prompt, because the runtime takes none between messages.

    Returns:
        The blocks of the system prompt; the messages, in alternating roles; the warnings.
    """
    system = list(body.get("system") or [])
    messages: list[Message] = []
    warnings: list[RequestWarning] = []
    for message in _without_empty_prefill(body["messages"]):
        if message["role"] == "system":
            system += message["content"]
            warnings = [RequestWarning("moved", "messages", "Later system messages were joined to the system prompt.")]
        elif messages and messages[-1]["role"] == message["role"]:
            joined = [*messages[-1]["content"], *message["content"]]
            messages[-1] = Message(role=message["role"], content=joined)
        else:
            messages.append(message)
    validate_messages(messages)
    before: Iterable[Message | None] = (None, *messages)
    return system, list(map(_with_ordered_results, messages, before)), warnings


def _without_empty_prefill(messages: list[Message]) -> Iterator[Message]:
    """Yield the messages, except an empty assistant message at the end.

    Raises:
        InvalidRequest: Another message is empty.
    """
    last = len(messages) - 1
    for index, message in enumerate(messages):
        if message["content"] or message["role"] == "system":
            yield message
        elif message["role"] == "user" or index != last:
            raise InvalidRequest(f"`messages[{index}]` has no content.", param=f"messages[{index}].content")


def _with_ordered_results(message: Message, before: Message | None) -> Message:
    """Return the message with its leading tool results in the order of their calls, as the runtime sends them live.

    Blocks after the results stay after them.
    """
    content = message["content"]
    if message["role"] != "user" or content[0].get("type") != "tool_result":
        return message
    results = list(takewhile(lambda block: block.get("type") == "tool_result", content))
    call_ids = _ids(before["content"], "tool_use", "id") if before else []
    order = {call_id: index for index, call_id in enumerate(call_ids)}
    results.sort(key=lambda block: order.get(str(block.get("tool_use_id")), len(order)))
    return Message(role="user", content=[*results, *content[len(results) :]])


def validate_messages(messages: Sequence[Message]) -> None:
    """Check messages in alternating roles as the API does. The runtime would fill gaps with texts of its own.

    Raises:
        InvalidRequest: A text is blank, or calls and results do not match.
    """
    unanswered: list[str] = []
    known: set[str] = set()
    for message in messages:
        content = message["content"]
        if any(block.get("type") == "text" and not str(block.get("text")).strip() for block in content):
            raise _invalid("Text blocks must hold more than white space.")
        _check_results(content, unanswered)
        unanswered = _ids(content, "tool_use", "id") if message["role"] == "assistant" else []
        if len(set(unanswered)) < len(unanswered) or not known.isdisjoint(unanswered):
            raise _invalid("The ids of `tool_use` blocks must be unique.")
        known.update(unanswered)
    _check_results([], unanswered)


def _check_results(content: Sequence[Block], call_ids: Sequence[str]) -> None:
    """Check that the results come first in the message, one for each call of the message before."""
    result_ids = _ids(content, "tool_result", "tool_use_id")
    leading = takewhile(lambda block: block.get("type") == "tool_result", content)
    leading_ids = _ids(leading, "tool_result", "tool_use_id")
    if missing := [id_ for id_ in call_ids if id_ not in leading_ids]:
        raise _invalid(
            f"The results of calls must be the first blocks of the next message; missing: {_quoted(missing)}.",
            "missing_tool_result",
        )
    if unknown := [id_ for id_ in result_ids if id_ not in call_ids]:
        raise _invalid(f"There are results of calls that the message before did not make: {_quoted(unknown)}.")
    if len(set(result_ids)) < len(result_ids):
        raise _invalid("A call may have one result only.")


def _ids(blocks: Iterable[Block], kind: str, key: str) -> list[str]:
    return [str(block.get(key)) for block in blocks if block.get("type") == kind]


def _quoted(ids: Sequence[str]) -> str:
    return ", ".join(f"`{id_}`" for id_ in ids)


def _invalid(text: str, code: str | None = None) -> InvalidRequest:
    return InvalidRequest(text, code=code, param="messages")
