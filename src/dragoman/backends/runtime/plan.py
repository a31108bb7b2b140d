"""A canonical request, as the runtime takes it: what holds for the conversation, what for this turn, and the messages.

What the runtime cannot pass on as asked is moved, with a notice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from dragoman.backends.base import RunRequest
from dragoman.backends.runtime.call_ids import told_apart
from dragoman.backends.runtime.images import made_smaller
from dragoman.backends.runtime.misfits import refuse_misfits
from dragoman.backends.runtime.parameters import left_behind, settings_for
from dragoman.backends.runtime.tools import as_call_results, names_of
from dragoman.errors import InvalidRequest, UpstreamFailed
from dragoman.messages import JSON, Block, JSONObject, Message, MessagesRequest
from dragoman.notices import Notice
from dragoman.prefix import fingerprint

_OPAQUE = frozenset({"input", "input_schema", "source", "metadata"})

_RUNTIME_LIMIT = 32_000
"""The smallest `max_tokens` that the runtime sends where none is asked for."""

_ONE_CALL_BELOW = 256
"""An answer with a smaller `max_tokens` may be cut within milliseconds of its first token: too soon to stop the runtime
from asking on. It goes to a process that can make a single call only."""


@dataclass(frozen=True, slots=True)
class Plan:
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
        notices: What could not be done as asked.
    """

    system: str
    tools: list[str]
    settings: JSONObject
    messages: list[Message]
    model: str
    limit: int
    one_call: bool
    fixed: JSONObject
    notices: tuple[Notice, ...]

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


def plan(request: RunRequest) -> Plan:
    """Plan a request.

    Raises:
        InvalidRequest: There is nothing to ask.
        UpstreamFailed: The runtime cannot go on from where the conversation stands.
    """
    body, notices = _without_marks(request.body)
    system, messages, moved = _without_system_messages(body)
    messages, renamed = told_apart(messages)
    notices += [*moved, *renamed, *made_smaller(messages), *left_behind(request)]
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
    return Plan(
        system=prompt,
        tools=names_of(body.get("tools") or ()),
        settings=settings_for(body, request.model, request.terms),
        messages=messages,
        model=request.model.id,
        limit=max_tokens or _RUNTIME_LIMIT,
        one_call=max_tokens is not None and max_tokens < _ONE_CALL_BELOW,
        # Betas too: a process asks with those of its first request for ever.
        fixed={
            "model": request.model.id,
            "betas": [*request.terms.betas],
            "system": prompt,
            "tools": cast("JSON", body.get("tools")),
        },
        notices=tuple(notices),
    )


def _without_marks(body: MessagesRequest) -> tuple[MessagesRequest, list[Notice]]:
    """The runtime sets cache marks of its own, and the API refuses more than four in all, or some orders of them."""
    bare = cast("MessagesRequest", _bare(cast("JSON", body)))
    if bare == body:
        return body, []
    return bare, [Notice("ignored", "cache_control", "The Claude Code runtime marks the prompt for caching by itself.")]


def _bare(value: JSON) -> JSON:
    if isinstance(value, list):
        return [_bare(item) for item in value]
    if isinstance(value, dict):
        # A tool's input or schema may have a key of that name that is no mark.
        return {k: v if k in _OPAQUE else _bare(v) for k, v in value.items() if k != "cache_control"}
    return value


def _without_system_messages(body: MessagesRequest) -> tuple[list[Block], list[Message], list[Notice]]:
    """The runtime takes no system message in mid-conversation: it joins the system prompt."""
    system = list(body.get("system") or [])
    messages: list[Message] = []
    notices: list[Notice] = []
    for message in _speaking(body["messages"]):
        if message["role"] == "system":
            system += message["content"]
            notices = [Notice("moved", "messages", "Later system messages were joined to the system prompt.")]
        elif messages and messages[-1]["role"] == message["role"]:
            joined = [*messages[-1]["content"], *message["content"]]
            messages[-1] = Message(role=message["role"], content=joined)
        else:
            messages.append(message)
    refuse_misfits(messages)
    return system, [_in_order(message, messages[:number]) for number, message in enumerate(messages)], notices


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
