"""Run cases against a gateway, and judge every outcome."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from proof_answers import Malformed, Result, read_reply
from proof_api import ScriptedApi
from proof_case import Case
from proof_client import Behaviour, Reply, send
from proof_faults import API_KEY
from proof_gateway import ProvedGateway, lines_about, read_log
from proof_message import Answer, Judgement, Object
from proof_requests import PATHS, long_body, next_body, request_body

_POLL_SECONDS = 0.1
_OPEN = ("queued", "in_progress")
_BACKGROUND_HEADERS = 200
_CACHED_CONVERSATIONS = 16
_REFUSED = 400
_SHOWN = 1000
"""Characters of a finding, and of each line of the log about it, that are shown."""
FAILURES = ("wrong", "doubled", "silently cut", "hung", "malformed", "refused", "key shown", "calls", "log")
"""The kinds of findings. `refused`: an error without a cause. `calls`: not one call and its counted retries."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One failure of the gateway.

    Attributes:
        kind: One of `FAILURES`.
        case: The case; None if no case is known.
        detail: What was seen.
    """

    kind: str
    case: Case | None
    detail: str


@dataclass
class Tally:
    """What all cases came to.

    Attributes:
        outcomes: The number of requests by outcome.
        faults: The number of cases by the kind of fault that the API made.
        requests: The number of requests that reached the gateway's runs.
        calls: The number of calls at the API.
        retries: The number of retries that the gateway counted.
        findings: The failures.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    calls: int = 0
    retries: int = 0
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request that was sent, whether its gateway was disturbed meanwhile, and when it ended."""

    case: Case
    round_: int
    disturbed: bool
    ended: float


class Prover:
    """Runs cases.

    Args:
        gateway: The gateway.
        api: Its API.
        limit: Seconds after which a request hangs.
        excused: Error codes that need no cause in this phase.
    """

    def __init__(
        self, gateway: ProvedGateway, api: ScriptedApi, limit: float, excused: frozenset[str] = frozenset()
    ) -> None:
        self._gateway = gateway
        self._api = api
        self._limit = limit
        self._excused = excused
        self._requests: dict[str, _Sent] = {}
        self._stored: dict[str, tuple[Case, Answer]] = {}
        self.tally = Tally()

    async def run_all(self, cases: Iterable[Case], at_once: int, seconds: float) -> None:
        """Run cases, some at a time, and no new ones after this many seconds."""
        remaining = iter(cases)
        deadline = time.monotonic() + seconds

        async def client() -> None:
            for case in remaining:
                if time.monotonic() > deadline:
                    return
                await self._gateway.is_up.wait()
                await self.run(case)

        async with asyncio.TaskGroup() as clients:
            for _ in range(at_once):
                clients.create_task(client())

    async def fill_caches(self) -> None:
        """Send conversations until the gateway's caches of messages are full. It refuses them, and makes no call."""
        for number in range(_CACHED_CONVERSATIONS):
            for path in (PATHS["chat"], PATHS["messages"]):
                reply = await send(self._gateway.port, "POST", path, long_body(path, number))
                self.expect(reply.status == _REFUSED, "wrong", f"status {reply.status} for an invalid request")

    async def run(self, case: Case) -> None:
        """Run one case, and delete what the API remembers of it."""
        self.tally.faults[case.fault] += 1
        body = request_body(case)
        try:
            result = await self._round(case, 0, body)
            if result is not None and case.rounds > 1:
                await self._round(case, 1, next_body(case, body, result.document))
        finally:
            self._api.calls.pop(case.name, None)

    async def _round(self, case: Case, round_: int, body: Object) -> Result | None:
        """Send one request, and judge it. Return the result if it was a success."""
        start = time.monotonic()
        request_id = f"{case.name}{round_}-{len(self._requests)}"
        cancels: list[asyncio.Task[Reply]] = []
        behaviour = self._behaviour(case, cancels) if round_ == 0 else Behaviour()
        reply = Reply()
        try:
            async with asyncio.timeout(self._limit):
                reply = await send(self._gateway.port, "POST", PATHS[case.dialect], body, request_id, behaviour)
                result = await self._result(case, reply, start)
        except TimeoutError:
            self._find("hung", case, f"round {round_}: no end after {self._limit:g} s")
            return None
        except Malformed as error:
            self._malformed(case, round_, str(error), start, reply)
            return None
        finally:
            for cancel in cancels:
                await cancel
            sent = self._api.calls[case.name].judgements[round_]
            disturbed = self._gateway.was_disturbed_since(start)
            self._requests[request_id] = _Sent(case, round_, disturbed=disturbed, ended=time.monotonic())
        if API_KEY.encode() in reply.body or API_KEY in str(reply.headers):
            self._find("key shown", case, f"round {round_}: {bytes(reply.body)[:300]!r}")
        if result is None:
            self.tally.outcomes["client left"] += 1
            return None
        disturbed = bool(cancels) or self._gateway.was_disturbed_since(start)
        return result if self._judge(case, round_, result, sent, disturbed=disturbed) else None

    def _behaviour(self, case: Case, cancels: list[asyncio.Task[Reply]]) -> Behaviour:
        rng = case.rng("client")

        def cancel(reply: Reply) -> None:
            path = f"/admin/runs/{reply.headers.get('x-dragoman-run-id', 'none')}/cancel"
            cancels.append(asyncio.ensure_future(send(self._gateway.port, "POST", path, {})))

        return {
            "reads": Behaviour(),
            "reads slowly": Behaviour(slowly=True),
            "never reads": Behaviour(reads=False),
            "half-closes": Behaviour(half_closes=True),
            "leaves": Behaviour(leaves_after=rng.randrange(1, 3000)),
            "leaves early": Behaviour(early=rng.uniform(0, 0.3)),
            "cancels": Behaviour(on_start=cancel),
        }[case.client]

    async def _result(self, case: Case, reply: Reply, start: float) -> Result | None:
        """Return how a request ended, and read what was stored of it. None: the client left."""
        if reply.left:
            return None
        if case.mode == "background" and reply.status == _BACKGROUND_HEADERS and reply.is_complete:
            return await self._poll(reply.json()["id"], start)
        result = read_reply(case.dialect, reply)
        if case.mode == "stored" and not result.error:
            path = f"{PATHS[case.dialect]}/{result.document['id']}"
            stored = await send(self._gateway.port, "GET", path)
            again = read_reply(case.dialect, stored)
            if "store_failed" in self._excused and again.error == "not_found" and _is_warned_of(reply):
                return result
            if again.error or again.answer != result.answer:
                raise Malformed(f"stored {path} differs: {again.error or again.answer}")
            if case.rounds == 1 and case.number % 2:
                await send(self._gateway.port, "DELETE", path)
            else:
                self._stored[path] = (case, result.answer)
        return result

    async def _poll(self, id_: str, start: float) -> Result:
        """Return how a background response ended. A gateway that was killed is asked again when it is back."""
        while True:
            reply = await send(self._gateway.port, "GET", f"/v1/responses/{id_}")
            if reply.is_complete:
                document = reply.json()
                if document.get("status") not in _OPEN:
                    return read_reply("responses", reply)
            elif not self._gateway.was_disturbed_since(start):
                raise Malformed(f"broken: {reply.error} while polling")
            await asyncio.sleep(_POLL_SECONDS)

    def _malformed(self, case: Case, round_: int, reason: str, start: float, reply: Reply) -> None:
        if self._gateway.was_disturbed_since(start) and reason.startswith("broken"):
            self.tally.outcomes["cut by a kill"] += 1
            return
        kind = "silently cut" if reason.startswith(("broken", "cut")) else "malformed"
        self._find(kind, case, f"round {round_}: {reason}; status {reply.status}, {bytes(reply.body)[-300:]!r}")

    def _judge(self, case: Case, round_: int, result: Result, sent: list[Judgement], *, disturbed: bool) -> bool:
        """Compare a result with what the API sent. Return whether it is a success.

        The runtime repeats a call that broke off, also when the client's stream has a part of the first response. Then
        an error is right, though the second response is complete. A success must be one whole response. If a further
        call was made after it, that is found by `check_log`.
        """
        last = sent[-1] if sent else Judgement("invalid")
        if result.error:
            self.tally.outcomes[f"error {result.error}"] += 1
            is_again = self._api.through_runtime and case.mode != "plain" and len(sent) > 1
            if last.kind == "valid" and not is_again and not disturbed and result.error not in self._excused:
                self._find("refused", case, f"round {round_}: {result.error}, but the stream was valid")
            if result.error == "internal_error" or (not sent and not disturbed and result.error not in self._excused):
                self._find("refused", case, f"round {round_}: {result.error} after {len(sent)} calls")
            return False
        if any(one.kind in {"valid", "either"} and _as_shown(one.answer, case) == result.answer for one in sent):
            self.tally.outcomes["answered"] += 1
            return True
        self.tally.outcomes["not judged" if last.kind == "unknown" else "answered"] += 1
        expected = _as_shown(last.answer, case)
        if last.kind == "unknown":
            return True
        if last.kind == "invalid":
            shown = f"{result.answer.ending} {result.answer.text[-60:]!r}"
            self._find("wrong", case, f"round {round_}: a success of {len(sent)} calls, the last one invalid: {shown}")
        else:
            kind, detail = _difference(expected, result.answer)
            self._find(kind, case, f"round {round_}: {detail}")
        return True

    def _find(self, kind: str, case: Case | None, detail: str) -> None:
        """Record a finding. Report it at once with lines of the log: the table comes late, and the log is deleted."""
        number = f" (case {case.number} of seed {case.seed})" if case else ""
        print(f"{kind}{number}: {detail[:_SHOWN]}", file=sys.stderr, flush=True)
        for line in lines_about(self._gateway.log, f'"{case.name}') if case else ():
            print(f"    {line[:_SHOWN]}", file=sys.stderr, flush=True)
        self.tally.findings.append(Finding(kind, case, detail))

    def expect(self, holds: object, kind: str, detail: str) -> None:
        """Record a finding about the gateway itself, unless the condition holds."""
        if not holds:
            self._find(kind, None, detail)

    async def check_stored(self) -> None:
        """Read everything again that was stored and not deleted."""
        for path, (case, answer) in self._stored.items():
            try:
                again = read_reply(case.dialect, await send(self._gateway.port, "GET", path))
            except Malformed as error:
                self._find("malformed", case, f"stored {path}: {error}")
                continue
            if again.error or again.answer != answer:
                self._find("wrong", case, f"stored {path} is now {again.error or again.answer}")
        self.tally.outcomes["stored, read again"] += len(self._stored)
        self._stored.clear()

    def check_log(self, *, allow_errors: bool = False) -> None:
        """Compare the calls at the API with the requests and the retries in the log, and look for tracebacks.

        Args:
            allow_errors: Whether the log may have lines of the level `error`, as on a full disk.
        """
        log = read_log(self._gateway.log)
        for request_id, sent in self._requests.items():
            if sent.disturbed or self._gateway.has_lost_log_of(sent.ended):
                continue  # a killed gateway does not log the end of its runs
            runs = log.runs_of[request_id]
            retries = sum(log.retries_of.get(id_, 0) for id_ in runs)
            self.tally.requests += len(runs)
            calls = self._api.counts[sent.case.name, sent.round_]
            self.tally.calls += calls
            self.tally.retries += retries
            allowed = len(runs) + retries
            # A process of the runtime that is killed may not have made its call yet.
            may_be_fewer = not log.cancelled.isdisjoint(runs) or "runtime_failed" in self._excused
            if calls > allowed or (calls < allowed and not may_be_fewer):
                self._find("calls", sent.case, f"{request_id}: {calls} for {len(runs)} runs and {retries} retries")
        self.expect(not self._api.unknown, "calls", f"{self._api.unknown} calls without a mark, which no client sent")
        for line in log.broken:
            if not allow_errors or "Traceback" in line:
                self._find("log", None, line)
        self._requests.clear()


def _is_warned_of(reply: Reply) -> bool:
    """Return whether the response itself reports that it is not stored, as on a full disk."""
    return any(warning["param"] == "store" for warning in json.loads(reply.headers.get("x-dragoman-warnings", "[]")))


def _as_shown(answer: Answer, case: Case) -> Answer:
    """Return an answer as the dialect shows it: completions have no thinking."""
    if case.dialect == "completions":
        return Answer(answer.text, "", (), answer.ending)
    return answer


def _difference(expected: Answer, got: Answer) -> tuple[str, str]:
    """Return the kind of a difference, and its first place."""
    for name in ("text", "thinking"):
        want, have = getattr(expected, name), getattr(got, name)
        if want != have:
            words = Counter(have.split())
            is_more = any(count > want.split().count(word) for word, count in words.items() if word in want)
            kind = "silently cut" if want.startswith(have) else "doubled" if is_more else "wrong"
            at = next((at for at, (a, b) in enumerate(zip(want, have, strict=False)) if a != b), len(have))
            places = f"{have[at : at + 60]!r} for {want[at : at + 60]!r}"
            return kind, f"{name} of {len(have)} for {len(want)} characters, at {at}: {places}"
    return "wrong", f"{got.calls, got.ending} for {expected.calls, expected.ending}"
