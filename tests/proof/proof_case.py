"""The cases: what each client asks for, what its API does wrong, and how the client behaves. All by seed."""

import random
from dataclasses import dataclass
from typing import Literal, TypeAlias

from proof_message import FEATURES, Feature

Dialect: TypeAlias = Literal["chat", "responses", "completions", "messages"]
Client: TypeAlias = Literal["reads", "leaves", "leaves early", "cancels", "half-closes", "never reads", "reads slowly"]
Mode: TypeAlias = Literal["plain", "streamed", "background", "stored"]

MODELS = ("claude-sonnet-4-5", "claude-sonnet-5-5")
_DIALECTS: tuple[Dialect, ...] = ("chat", "responses", "completions", "messages")
_CLIENTS: dict[Client, int] = {
    "reads": 84,
    "leaves": 4,
    "leaves early": 3,
    "cancels": 3,
    "half-closes": 3,
    "never reads": 1,
    "reads slowly": 2,
}

FAULTS: dict[str, int] = {
    "none": 16,
    "torn bytes": 4,
    "slow bytes": 2,
    "odd framing": 4,
    "unknown events": 4,
    "status": 12,
    "error event": 4,
    "key echoed": 4,
    "reset": 12,
    "closed": 6,
    "stall": 2,
    "doubled": 6,
    "dropped": 6,
    "out of order": 6,
    "cut UTF-8": 3,
    "half character": 2,
    "wrong type": 8,
    "second message": 4,
    "stop reason": 4,
    "not HTTP": 3,
    "not a stream": 4,
}
"""The kinds of faults, and how often each is chosen."""


@dataclass(frozen=True, slots=True)
class Case:
    """One client.

    Attributes:
        seed: The seed of the program.
        number: Its number. Seed and number determine everything else.
        dialect: The API that it calls.
        mode: How it wants the answer.
        feature: What it asks for.
        model: The model.
        fault: What goes wrong at the API.
        faulted_attempts: How many attempts of its first request have the fault.
        client: How it behaves.
        rounds: How many turns its conversation has.
    """

    seed: int
    number: int
    dialect: Dialect
    mode: Mode
    feature: Feature
    model: str
    fault: str
    faulted_attempts: int
    client: Client
    rounds: int

    @property
    def name(self) -> str:
        """The part of its marks that no other case has."""
        return f"s{self.seed}k{self.number}x"

    def rng(self, *parts: object) -> random.Random:
        """Return a source of random choices for one part of the case."""
        return random.Random(f"{self.seed}/{self.number}/{parts}")  # noqa: S311 - repeatable on purpose


def make_case(seed: int, number: int) -> Case:
    """Return a case by its seed and number."""
    rng = random.Random(f"{seed}/{number}")  # noqa: S311 - repeatable on purpose
    dialect = rng.choice(_DIALECTS)
    modes: list[Mode] = ["plain", "plain", "streamed", "streamed", "streamed"]
    if dialect == "responses":
        modes += ["background", "stored", "stored"]
    if dialect == "chat":
        modes += ["stored"]
    mode = rng.choice(modes)
    feature: Feature = rng.choice(["text", *FEATURES]) if dialect != "completions" else rng.choice(["text", "limit"])
    if dialect == "messages" and feature == "schema":
        feature = "tools"
    [client] = rng.choices(list(_CLIENTS), list(_CLIENTS.values()))
    if mode in {"background", "stored"} and client != "leaves":
        client = "reads"
    if client == "never reads":
        feature, mode = "long", "streamed"
    return Case(
        seed=seed,
        number=number,
        dialect=dialect,
        mode=mode,
        feature=feature,
        model=rng.choice(MODELS),
        fault=rng.choices(list(FAULTS), list(FAULTS.values()))[0],
        faulted_attempts=rng.choice([1, 1, 2, 9]),
        client=client,
        rounds=2 if dialect != "completions" and client == "reads" and rng.random() < 0.4 else 1,
    )
