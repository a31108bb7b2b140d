"""What is known of a sign-in, by a scripted command."""

import asyncio
from collections import deque

from dragoman.backends.claude_code.sign_in import SignIn
from dragoman.core.messages import JSONObject

OLD: JSONObject = {"state": "signed_in", "method": "claude.ai", "expires": "2026-01-01T00:00:00+00:00"}
NEW: JSONObject = {**OLD, "expires": "2027-01-01T00:00:00+00:00"}
OVER: JSONObject = {**OLD, "state": "expired"}
UNKNOWN: JSONObject = {"state": "unknown"}


class Command:
    """Says one thing after the other, and the last one for ever; takes note when a new sign-in is told of."""

    def __init__(self, *says: JSONObject) -> None:
        self.says = deque(says)
        self.lost = asyncio.Event()
        self.renewed = asyncio.Event()
        self.sign_in = SignIn(self, self.lost.set, self.renewed.set, first_pause=0)

    async def __call__(self) -> JSONObject:
        """How the sign-in stands."""
        await asyncio.sleep(0)
        return self.says.popleft() if len(self.says) > 1 else self.says[0]


async def test_one_that_was_refused_and_then_renewed() -> None:
    """It is found without a question to Claude, whatever the command failed to say meanwhile."""
    command = Command(OLD, UNKNOWN, OLD, NEW)
    command.sign_in.refused()
    assert not command.sign_in.usable()
    await asyncio.wait_for(command.renewed.wait(), 60)
    assert command.sign_in.usable()
    assert command.sign_in.refused_since is None
    await command.sign_in.aclose()


async def test_one_that_is_over() -> None:
    """The command alone says so; signing in is enough."""
    command = Command(OVER, OVER, NEW)
    await command.sign_in.check()
    assert not command.sign_in.usable()
    assert command.lost.is_set()
    await asyncio.wait_for(command.renewed.wait(), 60)
    assert command.sign_in.usable()
    await command.sign_in.aclose()


async def test_one_that_stays_refused() -> None:
    """As long as the command tells of the same, it is not tried; an answer of Claude's counts more than the command."""
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


async def test_refused_twice() -> None:
    """One looks on at a time; the second refusal is of the new sign-in, and needs a newer one."""
    command = Command(OLD, NEW)
    command.sign_in.refused()
    await asyncio.wait_for(command.renewed.wait(), 60)
    command.renewed.clear()
    command.sign_in.refused()
    command.sign_in.refused()
    for _ in range(10):
        await command.sign_in.check()
    assert not command.sign_in.usable()
    command.says.append(OLD)
    await asyncio.wait_for(command.renewed.wait(), 60)
    await command.sign_in.aclose()


async def test_a_check_that_fails_is_repeated() -> None:
    """A command whose output raises does not end the checks: a new sign-in is found later."""
    command = Command({}, OLD, NEW)  # the first state lacks its only required key
    command.sign_in.refused()
    await asyncio.wait_for(command.renewed.wait(), 60)
    assert command.sign_in.usable()
    await command.sign_in.aclose()
