"""Images that the runtime makes smaller before it sends them; those in results of tools it leaves as they are.

What the API refuses, and the runtime would put right in silence: then the model would answer something else.

Calls without results and results without calls get words of the runtime's own; blank texts are left out.

Ids of tool calls, as the runtime tells them apart.

An id that is another one before it and a number (`call_1`, then `call_1_2`) is a copy to the runtime: it would put
words of its own in the place of that call's result.

A canonical request, as the runtime takes it: what holds for the conversation, what for this turn, and the messages.

What the runtime cannot pass on as asked is moved, with a notice.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import cast

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code.protocol import settings_for, unsupported_params
from dragoman.backends.claude_code.tools import as_call_results, names_of
from dragoman.core.conversation import fingerprint
from dragoman.core.errors import InvalidRequest, UpstreamFailed
from dragoman.core.media import size_of
from dragoman.core.messages import JSON, Block, JSONObject, Message, MessagesRequest
from dragoman.core.warnings import RequestWarning

MOST_PIXELS = 2000
"""The longest side that it leaves; of a longer one it says in a text of its own how it was scaled."""

MOST_BYTES = 512_000
"""The largest file that it leaves; a larger one it writes anew, as a JPEG."""


def downscaled_images(messages: Iterable[Message]) -> list[RequestWarning]:
    """Say how many images will not arrive as the client sent them, if any will not.

    Raises:
        InvalidRequest: One is damaged. The API would refuse it, and the runtime put words of its own in its place.
    """
    blocks = [block for message in messages if message["role"] == "user" for block in message["content"]]
    count = sum(_is_large(block) for block in blocks if block.get("type") == "image")
    if not count:
        return []
    limits = f"{MOST_PIXELS} pixels a side or {MOST_BYTES} bytes"
    detail = f"The Claude Code runtime makes images over {limits} smaller: {count} here."
    return [RequestWarning("resized", "messages", detail)]


def _is_large(block: Block) -> bool:
    source = block.get("source")
    data = source.get("data") if isinstance(source, dict) else None
    if not isinstance(data, str):
        return False
    size = size_of(block)
    if size is None:
        said = "An image is cut short or damaged: its size cannot be read."
        raise InvalidRequest(said, code="invalid_image", param="messages")
    return max(size) > MOST_PIXELS or len(data) // 4 * 3 - data[-2:].count("=") > MOST_BYTES


def validate_messages(messages: Sequence[Message]) -> None:
    """Check a conversation in which the roles take turns.

    Raises:
        InvalidRequest: As the API would.
    """
    owed: list[str] = []
    made: set[str] = set()
    for message in messages:
        content = message["content"]
        if any(block.get("type") == "text" and not str(block.get("text")).strip() for block in content):
            raise _refusal("Text blocks must hold more than white space.")
        _check_results(content, owed)
        owed = _ids(content, "tool_use", "id") if message["role"] == "assistant" else []
        if len({*made, *owed}) < len(made) + len(owed):
            raise _refusal("The ids of `tool_use` blocks must be unique.")
        made.update(owed)
    _check_results([], owed)


def _check_results(content: Sequence[Block], owed: Sequence[str]) -> None:
    """The results stand in front, one for each call of the message before."""
    given = _ids(content, "tool_result", "tool_use_id")
    front = _ids(takewhile(lambda block: block.get("type") == "tool_result", content), "tool_result", "tool_use_id")
    if missing := [id_ for id_ in owed if id_ not in front]:
        raise _refusal(
            f"The results of calls must be the first blocks of the next message; missing: {_list(missing)}.",
            "missing_tool_result",
        )
    if strange := [id_ for id_ in given if id_ not in owed]:
        raise _refusal(f"There are results of calls that the message before did not make: {_list(strange)}.")
    if len(set(given)) < len(given):
        raise _refusal("A call may have one result only.")


def _ids(blocks: Iterable[Block], kind: str, key: str) -> list[str]:
    return [str(block.get(key)) for block in blocks if block.get("type") == kind]


def _list(ids: Sequence[str]) -> str:
    return ", ".join(f"`{id_}`" for id_ in ids)


def _refusal(words: str, code: str | None = None) -> InvalidRequest:
    return InvalidRequest(words, code=code, param="messages")


_COPY = re.compile(r"(?P<of>.+)_(?P<number>\d+)")


def dedupe_call_ids(messages: list[Message]) -> tuple[list[Message], list[RequestWarning]]:
    """The messages, with other ids where one looks like a copy, in calls and results alike.

    What was renamed stays so as the conversation grows: only what stands before an id counts.
    """
    names = _names([str(block.get("id")) for message in messages for block in _calls(message)])
    if not names:
        return messages, []
    renamed = [Message(role=m["role"], content=[_renamed(b, names) for b in m["content"]]) for m in messages]
    said = ", ".join(f"`{old}` as `{new}`" for old, new in names.items())
    return renamed, [
        RequestWarning("renamed", "messages", f"Ids of calls that look like copies were sent anew: {said}.")
    ]


def _calls(message: Message) -> list[Block]:
    return [block for block in message["content"] if block.get("type") == "tool_use"]


def _names(ids: Sequence[str]) -> dict[str, str]:
    """The new name of each id that needs one."""
    names: dict[str, str] = {}
    taken, before = set(ids), set[str]()
    for id_ in ids:
        copy = _COPY.fullmatch(id_)
        if copy and copy["of"] in before and id_ not in before:
            name = f"{copy['of']}-{copy['number']}"
            while name in taken:
                name = f"{name}-"
            taken.add(name)
            names[id_] = name
        before.add(id_)
    return names


def _renamed(block: Block, names: dict[str, str]) -> Block:
    key = {"tool_use": "id", "tool_result": "tool_use_id"}.get(str(block.get("type")))
    name = names.get(str(block.get(key))) if key else None
    return {**block, key: name} if key and name else block


_OPAQUE = frozenset({"input", "input_schema", "source", "metadata"})

_RUNTIME_LIMIT = 32_000
"""The smallest `max_tokens` that the runtime sends where none is asked for."""

_ONE_CALL_BELOW = 256
"""An answer with a smaller `max_tokens` may be cut within milliseconds of its first token: too soon to stop the runtime
from asking on. It goes to a process that can make a single call only."""


@dataclass(frozen=True, slots=True)
class RuntimeRequest:
    """What to do with a process for one request.

    Attributes:
        system: The system prompt.
        tools: Names of the tools that the client runs.
        settings: For `apply_flag_settings`.
        messages: The conversation, system messages moved out of it, ending with what asks.
        model: The model's id.
        limit: Tokens after which the answer is cut.
        one_call: Whether a process is wanted that makes a single API call.
        fixed: What names the conversation beside its messages.
        warnings: What could not be done as asked.
    """

    system: str
    tools: list[str]
    settings: JSONObject
    messages: list[Message]
    model: str
    limit: int
    one_call: bool
    fixed: JSONObject
    warnings: tuple[RequestWarning, ...]

    @property
    def held(self) -> str | None:
        """The name of the conversation that a live process must hold for this request; None if none would do."""
        *earlier, last = self.messages
        if last["role"] != "user" or not earlier or earlier[-1]["role"] != "assistant":
            return None
        if self.calls and self.results is None:
            return None
        return fingerprint(self.fixed, earlier)

    @property
    def calls(self) -> list[str]:
        """The ids of the calls that the last message must answer."""
        blocks = self.messages[-2]["content"] if len(self.messages) > 1 else []
        return [str(block["id"]) for block in blocks if block.get("type") == "tool_use"]

    @property
    def results(self) -> dict[str, JSONObject] | None:
        """The results that parked calls take, by the id of the call; None where they must be replayed."""
        return as_call_results(self.messages[-1]["content"], self.calls) if self.calls else None

    def after(self, answer: list[Block]) -> str:
        """The name of the conversation once it was answered."""
        return fingerprint(self.fixed, [*self.messages, Message(role="assistant", content=answer)])


def translate_request(request: RunRequest) -> RuntimeRequest:
    """Plan a request.

    Raises:
        InvalidRequest: There is nothing to ask.
        UpstreamFailed: The runtime cannot go on from where the conversation stands.
    """
    body, warnings = _without_marks(request.body)
    system, messages, moved = _without_system_messages(body)
    messages, renamed = dedupe_call_ids(messages)
    warnings += [*moved, *renamed, *downscaled_images(messages), *unsupported_params(request)]
    if not messages:
        raise InvalidRequest("There is no message for the model to answer.", param="messages")
    if messages[-1]["role"] == "assistant" and messages[-1]["content"][-1].get("type") == "server_tool_use":
        # The runtime would send words of its own ("[Tool use interrupted]") in its place.
        raise UpstreamFailed(
            "The API paused in the middle of a search, and the Claude Code runtime cannot go on from there. Ask again.",
            code="turn_paused",
        )
    prompt = "\n\n".join(str(block["text"]) for block in system)
    max_tokens = body.get("max_tokens")
    return RuntimeRequest(
        system=prompt,
        tools=names_of(body.get("tools") or ()),
        settings=settings_for(body, request.model, request.request_options),
        messages=messages,
        model=request.model.id,
        limit=max_tokens or _RUNTIME_LIMIT,
        one_call=max_tokens is not None and max_tokens < _ONE_CALL_BELOW,
        # Betas too: a process asks with those of its first request for ever.
        fixed={
            "model": request.model.id,
            "betas": [*request.request_options.betas],
            "system": prompt,
            "tools": cast("JSON", body.get("tools")),
        },
        warnings=tuple(warnings),
    )


def _without_marks(body: MessagesRequest) -> tuple[MessagesRequest, list[RequestWarning]]:
    """The runtime sets cache marks of its own, and the API refuses more than four in all, or some orders of them."""
    bare = cast("MessagesRequest", _bare(cast("JSON", body)))
    if bare == body:
        return body, []
    return bare, [
        RequestWarning("ignored", "cache_control", "The Claude Code runtime marks the prompt for caching by itself.")
    ]


def _bare(value: JSON) -> JSON:
    if isinstance(value, list):
        return [_bare(item) for item in value]
    if isinstance(value, dict):
        # A tool's input or schema may have a key of that name that is no mark.
        return {k: v if k in _OPAQUE else _bare(v) for k, v in value.items() if k != "cache_control"}
    return value


def _without_system_messages(body: MessagesRequest) -> tuple[list[Block], list[Message], list[RequestWarning]]:
    """The runtime takes no system message in mid-conversation: it joins the system prompt."""
    system = list(body.get("system") or [])
    messages: list[Message] = []
    warnings: list[RequestWarning] = []
    for message in _speaking(body["messages"]):
        if message["role"] == "system":
            system += message["content"]
            warnings = [RequestWarning("moved", "messages", "Later system messages were joined to the system prompt.")]
        elif messages and messages[-1]["role"] == message["role"]:
            joined = [*messages[-1]["content"], *message["content"]]
            messages[-1] = Message(role=message["role"], content=joined)
        else:
            messages.append(message)
    validate_messages(messages)
    return system, [_in_order(message, messages[:number]) for number, message in enumerate(messages)], warnings


def _speaking(messages: list[Message]) -> Iterator[Message]:
    """The messages, without an empty one of the assistant's at the end: it begins nothing.

    Raises:
        InvalidRequest: One is empty that may not be, neither here nor at the API.
    """
    last = len(messages) - 1
    for place, message in enumerate(messages):
        if message["content"] or message["role"] == "system":
            yield message
        elif message["role"] == "user" or place != last:
            raise InvalidRequest(f"`messages[{place}]` has no content.", param=f"messages[{place}].content")


def _in_order(message: Message, earlier: list[Message]) -> Message:
    """Tool results in the order of their calls, as the runtime itself puts them in a live conversation."""
    calls = [block.get("id") for block in earlier[-1]["content"]] if earlier else []
    if message["role"] != "user" or message["content"][0].get("type") != "tool_result":
        return message

    def place(block: Block) -> int:
        call = block.get("tool_use_id")
        return calls.index(call) if call in calls else len(calls)

    return Message(role="user", content=sorted(message["content"], key=place))
