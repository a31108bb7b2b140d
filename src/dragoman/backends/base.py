"""What a backend promises."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dragoman.core.catalog import Model
from dragoman.core.events import Event
from dragoman.core.messages import DEFAULT_REQUEST_OPTIONS, JSONObject, MessagesRequest, RequestOptions
from dragoman.core.model_list import ListedModel
from dragoman.core.value_object import value_object


@value_object
class RunRequest:
    """One question to a backend: exactly one API call, the backend's retries apart.

    Attributes:
        id: The run's id, for the log.
        model: Whose rules hold. `body["model"]` is its id.
        body: The canonical request, already within the model's rules unless the terms are `verbatim`.
        request_options: What the client said beside it. A backend says in a notice which of it it cannot pass on.
        client: Who asks.
    """

    id: str
    model: Model
    body: MessagesRequest
    request_options: RequestOptions = DEFAULT_REQUEST_OPTIONS
    client: str = "local"


class ManagedBackend(Protocol):
    """What is started, watched and closed: a way to ask Claude, or several of them."""

    name: str

    async def start(self) -> None:
        """Get ready. Returns at once; what takes time goes on behind. Called once, before anything else."""
        ...

    async def aclose(self) -> None:
        """End every process, task and connection. Returns when they are gone. Idempotent."""
        ...

    async def models(self) -> Sequence[ListedModel]:
        """The provider's list of models now.

        Raises:
            GatewayError: It cannot be had.
        """
        ...

    def ready(self) -> str | None:
        """Why a run would fail now, as a sentence for the operator; nothing if it would not."""
        ...

    def status(self) -> JSONObject:
        """What the operator wants to see: authentication, processes, versions. Holds no secret."""
        ...


@runtime_checkable
class ReportsStatus(Protocol):
    """What some offer besides that has more to tell its operator, which takes a moment to find out."""

    async def inquire(self) -> JSONObject:
        """Versions, and how a sign-in stands. Holds no secret; of what cannot be found out it says so, or nothing."""
        ...


class Backend(ManagedBackend, Protocol):
    """A way to ask Claude."""

    def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Ask, and yield events in the order that `dragoman.events` gives.

        Nothing happens before the first `anext`. The caller closes the generator (`contextlib.aclosing`), also after a
        failure; closing or cancelling it interrupts the model, and whatever the run held is gone or reusable when
        `aclose` returns.

        Raises:
            GatewayError: The run failed. Events that were yielded before stand.
        """
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """What a backend offers besides that can tell the tokens of a prompt without asking the model."""

    async def count_tokens(self, request: RunRequest) -> JSONObject:
        """The provider's own count, as its API answers: `input_tokens` and what else stands there.

        Trying again is safe.

        Raises:
            UnsupportedFeature: Not with this account.
            GatewayError: It cannot be had.
        """
        ...


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors, in the order of what was asked for.

    Attributes:
        vectors: One for each input, all of the same size: 32-bit floats, little endian.
        tokens: How many tokens the model read, by its own tokenizer; None where a remote one does not say.
        truncated: The places of inputs of which the model read the beginning only.
    """

    vectors: Sequence[bytes]
    tokens: int | None
    truncated: Sequence[int] = ()


class Embedder(Protocol):
    """A model that makes vectors of texts. Any number of requests may ask at once."""

    model: str
    """What clients are told it is called. Holds no path."""

    async def embed(self, inputs: Sequence[str | list[int]]) -> Embedded:
        """Embed texts, or lists of token ids as OpenAI's embedding models count them (`cl100k_base`).

        All or nothing. Cancelling it takes its place in the queue away, and does nothing to other requests. It makes no
        second try by itself; trying again is safe.

        Args:
            inputs: At least one, none of them empty.

        Raises:
            GatewayError: There are no vectors. `param` is `input[3]` where the fourth of the inputs is at fault.
        """
        ...

    async def aclose(self, grace: float = 0) -> None:
        """Take nothing new, let what runs end for so many seconds, and end every process, task and connection.

        Returns when they are gone. Idempotent.
        """
        ...
