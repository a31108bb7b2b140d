"""The state of a sign-in, by a scripted command."""

import asyncio
from collections import deque
from collections.abc import Mapping

from dragoman.backends.claude_code.sign_in import SignIn
from dragoman.core.messages import JSONObject

OLD: JSONObject = {"state": "signed_in", "method": "claude.ai", "expires": "2026-01-01T00:00:00+00:00"}
NEW: JSONObject = {**OLD, "expires": "2027-01-01T00:00:00+00:00"}
OVER: JSONObject = {**OLD, "state": "expired"}
UNKNOWN: JSONObject = {"state": "unknown"}


class Command:
    """Returns one state after the other, and then the last one for ever."""

    def __init__(self, *states: JSONObject) -> None:
        self.states = deque(states)
        self.reported: list[Mapping[str, str]] = []
        self.lost = asyncio.Event()
        self.renewed = asyncio.Event()
        self.sign_in = SignIn(self, self.lost.set, self.renewed.set, first_pause=0)

    async def __call__(self) -> JSONObject:
        """Return the next state."""
        await asyncio.sleep(0)
        self.reported.append(self.sign_in.failures())
        return self.states.popleft() if len(self.states) > 1 else self.states[0]


async def test_a_refused_sign_in_that_is_renewed() -> None:
    """The new one is found without an API call, even if the command reports no state in between."""
    command = Command(OLD, UNKNOWN, OLD, NEW)
    command.sign_in.refused()
    assert not command.sign_in.usable()
    await asyncio.wait_for(command.renewed.wait(), 60)
    assert command.sign_in.usable()
    assert command.sign_in.refused_since is None
    await command.sign_in.aclose()


async def test_an_expired_sign_in() -> None:
    """The command reports it. Signing in again is enough."""
    command = Command(OVER, OVER, NEW)
    await command.sign_in.check()
    assert not command.sign_in.usable()
    assert command.lost.is_set()
    await asyncio.wait_for(command.renewed.wait(), 60)
    assert command.sign_in.usable()
    await command.sign_in.aclose()


async def test_a_sign_in_that_stays_refused() -> None:
    """It stays unusable while the command reports the same state. An accepted request counts more than the command."""
    command = Command(OLD)
    command.sign_in.refused()
    for _ in range(10):
        await command.sign_in.check()
    assert not command.sign_in.usable()
    assert not command.renewed.is_set()
    command.sign_in.accepted()
    assert command.sign_in.usable()
    assert command.renewed.is_set()
    await command.sign_in.aclose()


async def test_a_sign_in_that_is_refused_twice() -> None:
    """One task checks at a time. The second refusal is of the new sign-in, so a newer one is needed."""
    command = Command(OLD, NEW)
    command.sign_in.refused()
    await asyncio.wait_for(command.renewed.wait(), 60)
    command.renewed.clear()
    command.sign_in.refused()
    command.sign_in.refused()
    for _ in range(10):
        await command.sign_in.check()
    assert not command.sign_in.usable()
    command.states.append(OLD)
    await asyncio.wait_for(command.renewed.wait(), 60)
    await command.sign_in.aclose()


async def test_a_check_that_fails_is_repeated() -> None:
    """A command whose output raises does not end the checks: a new sign-in is found later.

    The failure is reported until a check succeeds.
    """
    command = Command({}, OLD, NEW)  # the first state lacks its only required key
    command.sign_in.refused()
    await asyncio.wait_for(command.renewed.wait(), 60)
    assert command.sign_in.usable()
    assert [list(failures) for failures in command.reported] == [[], ["sign-in"], []]
    await command.sign_in.aclose()
