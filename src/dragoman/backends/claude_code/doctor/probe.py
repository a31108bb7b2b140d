"""The tools of `doctor`: processes of its own, and a scripted API that records what reaches it."""

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import TypeVar, cast

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.claude_code.resume import FOLDER, TranscriptPipe
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
from dragoman.core.value_object import replace, value_object

T = TypeVar("T")

MODEL = "claude-sonnet-5-5"
_SILENCE = 30.0
_MAX_BOOT_TIMEOUT = 20.0


class CheckFailed(Exception):  # noqa: N818 - a finding, not an error of the gateway
    """The runtime behaves in another way than the gateway needs. The text says how."""


@value_object
class ScriptedApi:
    """A Messages API on loopback.

    Attributes:
        url: Its address.
        bodies: Returns the bodies of the message requests so far, oldest first.
    """

    url: str
    bodies: Callable[[], Sequence[JSONObject]]


@value_object
class ProbeResult:
    """The result of one request.

    Attributes:
        message: The response.
        bodies: The bodies that reached the API.
    """

    message: FinalMessage
    bodies: Sequence[JSONObject]

    @property
    def body(self) -> JSONObject:
        """The body of the one request that reached the API.

        Raises:
            CheckFailed: No request reached the API, or several.
        """
        if len(self.bodies) != 1:
            raise CheckFailed(f"One request made {len(self.bodies)} API calls.")
        return self.bodies[0]


def isolated_options(options: ClaudeCodeOptions, api: ScriptedApi, scratch: Path) -> ClaudeCodeOptions:
    """Return options without the operator's account and directories."""
    return replace(
        options,
        state_dir=scratch / "state",
        config_dir=None,
        api_key="sk-ant-doctor",
        base_url=api.url,
        signed_in=False,
        retries=0,
        boot_timeout=min(options.boot_timeout, _MAX_BOOT_TIMEOUT),
    )


class Probe:
    """Boots processes and sends requests through them. Owns every process that it boots.

    Args:
        options: See `isolated_options`.
        api: Replaces Claude.
        on_boot: Called with each process.
    """

    def __init__(
        self, options: ClaudeCodeOptions, api: ScriptedApi, on_boot: Callable[[Session], None] = lambda _: None
    ) -> None:
        self.options = options
        self._api = api
        self._on_boot = on_boot
        self._booted: list[Session] = []
        self._reminders: dict[int, Sequence[JSONObject]] = {}
        self._made: dict[object, object] = {}

    @property
    def sessions(self) -> Sequence[Session]:
        """Every process so far, ended ones included."""
        return self._booted

    async def boot(self, *, one_call: bool = False, signed_in: bool = False, by_transcript: bool = False) -> Session:
        """Boot a process that waits for `initialize`, or for a transcript.

        With `signed_in` it has a dummy token and the reminders.
        """
        options = replace(self.options, signed_in=signed_in, config_dir=self.options.state_dir / "claude")
        argv = [str(locate(options)), *protocol.arguments(one_call=one_call)]
        work = prepare(options)
        seeds, day = TranscriptSeeds(options, work), datetime.now().astimezone().date()
        pipe = None
        try:
            if by_transcript:
                pipe = TranscriptPipe(options.state_dir / FOLDER)
                argv += pipe.arguments
            elif signed_in:
                argv += await seeds.arguments(MODEL, day)
            process = await ChildProcess.spawn(argv, env=self._environment(options), cwd=work)
        except OSError as error:
            raise UpstreamFailed(f"It cannot be started: {error.strerror}.", code="runtime_missing") from error
        session = Session(process, silence=_SILENCE, base_url=options.base_url, transcript_pipe=pipe)
        self._booted.append(session)
        self._on_boot(session)
        if pipe is not None:
            await pipe.wait_until_opened(lambda: session.alive, options.boot_timeout)
            self._reminders[session.pid] = await seeds.rows(MODEL, day) if signed_in else ()
        return session

    async def ask(
        self, messages: Sequence[Message], session: Session | None = None, *, live: bool = False, **body: object
    ) -> ProbeResult:
        """Send a request as the backend does.

        Args:
            messages: The conversation.
            session: A booted process; None to boot one.
            live: Whether that process holds the conversation up to its last message.
            body: Further fields of the request.
        """
        canonical = cast("MessagesRequest", {"model": MODEL, "messages": list(messages), **body})
        request = translate_request(RunRequest("doctor", Catalog().resolve(MODEL).model, canonical))
        session = session or await self.boot(one_call=request.one_call)
        before = len(self._api.bodies())
        turn = Turn(request, session, live=live, reminders=self._reminders.get(session.pid, ()))
        await turn.prepare()
        accumulator = MessageAccumulator()
        async with aclosing(turn.events()) as events:
            async for event in events:
                accumulator.add(event)
        if not session.alive:
            await session.exited
        return ProbeResult(accumulator.result().message, self._api.bodies()[before:])

    async def once(self, make: Callable[["Probe"], Awaitable[T]]) -> T:
        """Return what `make` returns, made once for all checks that need it: a process takes time to boot."""
        if make not in self._made:
            self._made[make] = await make(self)
        return cast("T", self._made[make])

    async def aclose(self) -> None:
        """End and reap every process. Idempotent."""
        for session in self._booted:
            session.discard()
            await session.exited

    def _environment(self, options: ClaudeCodeOptions) -> dict[str, str]:
        home = str(options.state_dir / "home")
        return protocol.environment(options, {**os.environ, "HOME": home, "CLAUDE_CODE_OAUTH_TOKEN": "dummy"})


def content_of(*parts: str | Block) -> list[Block]:
    """Return content blocks. A string becomes a text block."""
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]


def user(*parts: str | Block) -> Message:
    """Return a user message."""
    return Message(role="user", content=content_of(*parts))


def assistant(*parts: str | Block) -> Message:
    """Return an assistant message."""
    return Message(role="assistant", content=content_of(*parts))


def conversation_in(body: JSONObject) -> list[Message]:
    """Return the client's messages in a body, without the cache marks and system messages that the runtime adds."""
    messages = cast("list[JSONObject]", body["messages"])
    return [
        Message(role=message["role"], content=_blocks(message["content"]))  # type: ignore[typeddict-item] # JSON
        for message in messages
        if message["role"] != "system"
    ]


def _blocks(content: object) -> list[Block]:
    if isinstance(content, str):
        return content_of(content)
    blocks = [
        {key: value for key, value in block.items() if key != "cache_control"} for block in cast("list[Block]", content)
    ]
    # A live process still holds the thinking that OpenAI clients do not send back.
    return [block for block in blocks if block["type"] != "thinking"]


def is_gone(pid: int) -> bool:
    """Return whether there is no such process, not even one that waits to be reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
