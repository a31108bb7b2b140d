"""What `doctor` tries the runtime with: processes of its own, and a scripted API that tells what reached it."""

import os
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.claude_code.session import Session
from dragoman.backends.claude_code.transcript import TranscriptSeeds
from dragoman.backends.claude_code.translate import translate_request
from dragoman.backends.claude_code.turn import Turn
from dragoman.backends.shared.child_process import ChildProcess
from dragoman.backends.shared.installation import locate, prepare
from dragoman.core.accumulate import MessageAccumulator
from dragoman.core.catalog import Catalog
from dragoman.core.errors import UpstreamFailed
from dragoman.core.messages import Block, FinalMessage, JSONObject, Message, MessagesRequest

MODEL = "claude-sonnet-5-5"
_SILENCE = 30.0


class Wrong(Exception):  # noqa: N818 - what was found, not a fault of ours
    """The runtime did something else than the gateway builds on; the text says what."""


@dataclass(frozen=True, slots=True)
class ScriptedApi:
    """A Messages API on loopback.

    Attributes:
        url: Its address.
        bodies: The requests for a message that have come so far, oldest first.
    """

    url: str
    bodies: Callable[[], Sequence[JSONObject]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request gave.

    Attributes:
        message: The answer.
        bodies: What reached the API for it.
    """

    message: FinalMessage
    bodies: Sequence[JSONObject]

    @property
    def body(self) -> JSONObject:
        """The one request that reached the API.

        Raises:
            Wrong: There was another number of them.
        """
        if len(self.bodies) != 1:
            raise Wrong(f"One request made {len(self.bodies)} API calls.")
        return self.bodies[0]


class Probe:
    """Boots processes and asks through them. Owns every process it boots."""

    def __init__(self, options: ClaudeCodeOptions, api: ScriptedApi) -> None:
        self.options = options
        self._api = api
        self._booted: list[Session] = []

    @property
    def sessions(self) -> Sequence[Session]:
        """Every process so far, ended ones too."""
        return self._booted

    async def boot(self, *, one_call: bool = False, signed_in: bool = False) -> Session:
        """A process that waits for its first `initialize`; with `signed_in`, by a dummy token, on its reminders."""
        options = replace(self.options, signed_in=signed_in, config_dir=self.options.state_dir / "claude")
        argv = [str(locate(options)), *protocol.arguments(one_call=one_call)]
        work = prepare(options)
        if signed_in:
            argv += await TranscriptSeeds(options, work).arguments(MODEL, datetime.now().astimezone().date())
        try:
            process = await ChildProcess.spawn(argv, env=self._environment(options), cwd=work)
        except OSError as error:
            raise UpstreamFailed(f"It cannot be started: {error.strerror}.", code="runtime_missing") from error
        session = Session(process, silence=_SILENCE, base_url=options.base_url)
        self._booted.append(session)
        return session

    async def ask(
        self, messages: Sequence[Message], session: Session | None = None, *, live: bool = False, **body: object
    ) -> Asked:
        """Ask as the gateway does.

        Args:
            messages: The conversation.
            session: A booted process; None boots one.
            live: Whether that process holds the conversation up to its last message.
            body: Further fields of the request.
        """
        whole = cast("MessagesRequest", {"model": MODEL, "messages": list(messages), **body})
        todo = translate_request(RunRequest("doctor", Catalog().resolve(MODEL).model, whole))
        session = session or await self.boot(one_call=todo.one_call)
        before = len(self._api.bodies())
        turn = Turn(todo, session, live=live)
        await turn.prepare()
        folder = MessageAccumulator()
        async with aclosing(turn.events()) as events:
            async for event in events:
                folder.add(event)
        if not session.alive:
            await session.exited
        return Asked(folder.result().message, self._api.bodies()[before:])

    async def aclose(self) -> None:
        """End and reap every process. Idempotent."""
        for session in self._booted:
            session.discard()
            await session.exited

    def _environment(self, options: ClaudeCodeOptions) -> dict[str, str]:
        home = str(options.state_dir / "home")
        return protocol.environment(options, {**os.environ, "HOME": home, "CLAUDE_CODE_OAUTH_TOKEN": "dummy"})


def said(*parts: str | Block) -> list[Block]:
    """Content blocks; a string is a text."""
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]


def user(*parts: str | Block) -> Message:
    """A user message."""
    return Message(role="user", content=said(*parts))


def assistant(*parts: str | Block) -> Message:
    """An assistant message."""
    return Message(role="assistant", content=said(*parts))


def conversation_in(body: JSONObject) -> list[Message]:
    """The client's messages in a request: without the marks and system messages that the runtime adds."""
    messages = cast("list[JSONObject]", body["messages"])
    return [
        Message(role=message["role"], content=_blocks(message["content"]))  # type: ignore[typeddict-item]
        for message in messages
        if message["role"] != "system"
    ]


def _blocks(content: object) -> list[Block]:
    if isinstance(content, str):
        return said(content)
    blocks = [
        {key: value for key, value in block.items() if key != "cache_control"} for block in cast("list[Block]", content)
    ]
    # A live process still has the thinking that no OpenAI client sends back.
    return [block for block in blocks if block["type"] != "thinking"]


def is_gone(pid: int) -> bool:
    """Whether there is no such process, not even one that waits to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
