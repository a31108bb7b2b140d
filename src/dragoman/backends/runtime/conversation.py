"""Putting one request into a process: configure, replay or go on, ask."""

import time
from collections.abc import AsyncGenerator

from dragoman.backends.runtime import frames
from dragoman.backends.runtime.plan import Plan
from dragoman.backends.runtime.session import Session
from dragoman.events import Event
from dragoman.messages import JSONObject


class Conversation:
    """A planned request and the process that serves it.

    Attributes:
        live: Whether the process already holds the conversation up to its last message.
    """

    def __init__(self, plan: Plan, session: Session, *, live: bool) -> None:
        self._plan = plan
        self._session = session
        self._asking: list[JSONObject] = []
        self.live = live

    async def prepare(self) -> dict[str, float]:
        """Bring the process to where only the question is missing.

        Returns:
            Seconds that each stage took: `configure`, `replay`.
        """
        began = time.perf_counter()
        if self.live:
            await self._session.configure(self._plan.settings)
            self._asking = [frames.user(self._plan.messages[-1]["content"], ask=True)]
            return {"configure": time.perf_counter() - began, "replay": 0.0}
        prompt: JSONObject = {"systemPrompt": self._plan.system}
        await self._session.begin(prompt, self._plan.tools, self._plan.settings)
        configured = time.perf_counter()
        *earlier, self._asking = frames.replay(self._plan.messages, self._plan.model)
        await self._session.append(earlier)
        return {"configure": configured - began, "replay": time.perf_counter() - configured}

    def answer(self) -> AsyncGenerator[Event, None]:
        """Ask, and yield the answer's events."""
        results = self._plan.results if self.live else None
        if results is not None:
            return self._session.go_on(results, self._plan.limit)
        return self._session.ask(self._asking, self._plan.limit)
