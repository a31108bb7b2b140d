"""One request in one process: configure, replay or continue, send."""

import time
from collections.abc import AsyncGenerator, Sequence

from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.resume import TranscriptPipe, encode_transcript, split_conversation
from dragoman.backends.claude_code.session import Session
from dragoman.backends.claude_code.translate import RuntimeRequest
from dragoman.core.events import Event
from dragoman.core.messages import JSONObject


class Turn:
    """A translated request and the process that serves it.

    Args:
        request: The request.
        session: The process.
        live: Whether the process holds the conversation up to the last message.
        reminders: The rows that begin the transcript of a process that waits for one.
    """

    def __init__(
        self, request: RuntimeRequest, session: Session, *, live: bool, reminders: Sequence[JSONObject] = ()
    ) -> None:
        self._request = request
        self._session = session
        self._live = live
        self._reminders = reminders
        self._last_frames: list[JSONObject] = []

    async def prepare(self) -> dict[str, float]:
        """Bring the process to the point where only the last message is missing.

        Returns:
            Seconds of each stage: `configure`, `replay`.
        """
        request, session = self._request, self._session
        began = time.perf_counter()
        if self._live:
            await session.configure(request.settings)
            self._last_frames = [protocol.user_frame(request.messages[-1]["content"], query=True)]
            return {"configure": time.perf_counter() - began, "replay": 0.0}
        if session.transcript_pipe is not None:
            self._write_transcript(session.transcript_pipe)
            written = time.perf_counter()
            await self._initialize()
            return {"configure": time.perf_counter() - written, "replay": written - began}
        await self._initialize()
        configured = time.perf_counter()
        *earlier, self._last_frames = protocol.replay_batches(request.messages, request.model)
        await session.append(earlier)
        return {"configure": configured - began, "replay": time.perf_counter() - configured}

    def _write_transcript(self, pipe: TranscriptPipe) -> None:
        earlier, self._last_frames = split_conversation(self._request.messages)
        pipe.write(encode_transcript(earlier, self._request.model, pipe.last_row, self._reminders))

    async def _initialize(self) -> None:
        request = self._request
        await self._session.initialize({"systemPrompt": request.system}, request.tools, request.settings)

    def events(self) -> AsyncGenerator[Event, None]:
        """Send the last message, or the results of the parked calls, and yield the events of the response."""
        results = self._request.results if self._live else None
        if results is not None:
            return self._session.resume_turn(results, self._request.max_tokens)
        return self._session.run_turn(self._last_frames, self._request.max_tokens)
