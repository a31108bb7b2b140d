"""Run one case: send what the client sends, and check what reached the API and what the client got."""

from dataclasses import dataclass
from typing import cast

from corpus_cases import Case, CorpusRequest, fault_of
from corpus_conversation import api_view, assistant_turns, client_view, earlier_bodies, expected_view, mentions_thinking
from corpus_gateway import CorpusGateway, Reply, with_earlier_values
from corpus_match import differences

from dragoman.core.messages import JSON, JSONObject
from dragoman.simulator.faults import Fault

_OK = 200
_FIRST_ERROR = 400


@dataclass(frozen=True)
class CaseRun:
    """A case on one backend and one model.

    Attributes:
        gateway: The gateway of the backend.
        case: The case.
        model: The model.
    """

    gateway: CorpusGateway
    case: Case
    model: str

    async def run(self) -> None:
        """Send the request as the client does, and as a stream, and continue the conversation in a live process.

        On the runtime each conversation costs a process. So there the stream is sent to the live process, if the
        conversation can have one.
        """
        case = self.case
        request = await self._after_earlier_requests()
        bodies = [*self._compared(await self._send(request, stream=False), streamed=False)]
        if self.gateway.backend == "api":
            if request.streams:
                self._compared(await self._send(request, stream=True), streamed=True)
        elif case.live and bodies and (earlier := [*earlier_bodies(request.body or {})]):
            await self._run_live(request, earlier, bodies[-1])

    async def _after_earlier_requests(self) -> CorpusRequest:
        replies: list[Reply] = []
        for earlier in self.case.before:
            self._script(fault_of(earlier.claude))
            request = with_earlier_values(earlier.request, replies)
            replies.append(await self.gateway.send(request, self.model))
            assert replies[-1].status == _OK, f"an earlier request failed: {replies[-1].body}"
        return with_earlier_values(self.case.request, replies)

    async def _run_live(self, request: CorpusRequest, earlier: list[JSONObject], replayed: JSONObject) -> None:
        """Have the conversation turn by turn, so that the last request finds a live process.

        Claude gives the answers that the client has in its history: what reached the API of them in the replay.
        """
        turns = assistant_turns(api_view(replayed, thinking=False))
        assert len(turns) == len(earlier), "the history has more or fewer turns of the assistant than reached the API"
        for body, content in zip(earlier, turns, strict=True):
            self._script(Fault(content=content))
            reply = await self.gateway.send(CorpusRequest(request.path, body, headers=request.headers), self.model)
            assert reply.status == _OK, f"an earlier turn failed: {reply.body}"
        live = await self._send(request, stream=request.streams)
        assert live.path == "live", "the conversation did not continue in its process"
        [*_, body] = self._compared(live, streamed=request.streams)
        again, before = (api_view(one, thinking=False)["messages"] for one in (body, replayed))
        assert again == before, "a live process sends something else than a replay"

    async def _send(self, request: CorpusRequest, *, stream: bool) -> Reply:
        self._script(fault_of(self.case.claude))
        reply = await self.gateway.send(request, self.model, stream=stream)
        if self.gateway.backend == "runtime" and not self.case.before:
            assert stream or reply.path != "live", "the conversation of another case was continued"
        return reply

    def _script(self, fault: Fault | None) -> None:
        self.gateway.simulator.clear()
        if fault is not None:
            self.gateway.simulator.inject(fault)

    def _compared(self, reply: Reply, *, streamed: bool) -> list[JSONObject]:
        """Compare a reply and the calls behind it with the case. Return the bodies of the calls."""
        case, calls = self.case, self.gateway.simulator.calls
        bodies = [call.body for call in calls]
        # An error after the first event is an event.
        statuses = (
            {case.answer.status, _OK} if streamed and case.answer.status >= _FIRST_ERROR else {case.answer.status}
        )
        found = [] if reply.status in statuses else [f"status {case.answer.status} expected, found {reply.status}"]
        if case.answer.body is not None:
            found += differences(case.answer.body, client_view(reply.body, case.answer.body), "answer")
        found += differences(cast("JSON", case.answer.headers), dict(reply.headers), "headers")
        found += self._warnings(reply, streamed=streamed)
        expected_calls = 0 if case.api is None else case.calls
        if len(bodies) != expected_calls:
            found.append(f"{expected_calls} calls to the API expected, found {len(bodies)}")
        elif case.api is not None:
            view = api_view(bodies[-1], thinking=mentions_thinking(case.api))
            found += differences(expected_view(case.api), view, "api")
        assert not found, "\n".join([*found, f"the client got: {reply.status} {reply.body}"])
        return bodies

    def _warnings(self, reply: Reply, *, streamed: bool) -> list[str]:
        """Compare the warnings. The headers of a stream are sent before Claude has answered, so they may lack some."""
        expected, found = sorted(self.case.answer.warnings), sorted(reply.warnings)
        if found == expected or (streamed and set(found) <= set(expected)):
            return []
        return [f"warnings: expected {expected}, found {found}"]
