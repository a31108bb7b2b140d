"""One request as the rules and the answers see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from dragoman.catalog import Model
from dragoman.messages import JSONObject
from dragoman.simulator.prefix import Point, points
from dragoman.simulator.shapes import object_of, objects_of, text_of

NEWEST_VERSION = "2026-10-21"
VERSIONS = frozenset({"2023-06-01", NEWEST_VERSION})
"""The `anthropic-version` values that are known."""

RUNTIME_BETA = "claude-code-20250219"
"""The beta by which the Claude Code runtime names itself."""


@dataclass(frozen=True)
class Call:
    """A request for a message.

    Attributes:
        body: The JSON body as it came.
        model: Its model, with the rules that hold for it.
        headers: The request headers, names in lower case.
        credential: The key or token; caches and signatures are its own.
    """

    body: JSONObject
    model: Model
    headers: Mapping[str, str]
    credential: str

    @cached_property
    def betas(self) -> frozenset[str]:
        """The `anthropic-beta` values."""
        listed = self.headers.get("anthropic-beta", "")
        return frozenset(beta for part in listed.split(",") if (beta := part.strip()))

    @property
    def newest_version(self) -> bool:
        """Whether the rules of `anthropic-version: 2026-10-21` hold."""
        return self.headers.get("anthropic-version") == NEWEST_VERSION

    @cached_property
    def messages(self) -> list[JSONObject]:
        """The messages, without what is no object."""
        return objects_of(self.body.get("messages"))

    @cached_property
    def tools(self) -> list[JSONObject]:
        """The tools offered: the client's and the provider's own."""
        return objects_of(self.body.get("tools"))

    @cached_property
    def points(self) -> list[Point]:
        """Every block of the prompt with the hash of what comes before it."""
        return list(points(self.body))

    @property
    def prefix(self) -> bytes:
        """The hash that the first block of the answer has before it."""
        return self.points[-1].through if self.points else b""

    @property
    def thinking(self) -> JSONObject:
        """The `thinking` field."""
        return object_of(self.body.get("thinking"))

    @cached_property
    def effort(self) -> str | None:
        """The effort that holds now: the newest message's own, else the request's, else the model's."""
        for message in reversed(self.messages):
            if effort := text_of(object_of(message.get("output_config")).get("effort")):
                return effort
        return text_of(object_of(self.body.get("output_config")).get("effort")) or self.model.default_effort
