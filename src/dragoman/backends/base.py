"""The interfaces of backends and embedders, and the request that a backend gets."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol, runtime_checkable

from dragoman.core.catalog import Model
from dragoman.core.errors import GatewayError
from dragoman.core.events import Event
from dragoman.core.messages import DEFAULT_REQUEST_OPTIONS, JSONObject, MessagesRequest, RequestOptions
from dragoman.core.model_list import ListedModel
from dragoman.core.value_object import value_object


class ReservedCall(Protocol):
    """One call of the model that an agent makes."""

    max_tokens: int | None
    """A lower limit of the response, which must be sent; None: the call may be sent as it is."""

    def note(self, usage: JSONObject) -> None:
        """Note what the API has counted until now, or about that. It replaces what was noted before."""
        ...

    def end(self) -> None:
        """End the call. Idempotent."""
        ...


class CallMeter(Protocol):
    """Reserves each call of an agent's run under limits and budgets, and charges what it has used.

    Attributes:
        refusal: Why a call was refused: the error that the run must end with.
    """

    refusal: GatewayError | None

    async def begin(self, body: JSONObject) -> ReservedCall:
        """Reserve what a call may cost. The caller ends the call.

        Args:
            body: The body of the call, as the Messages API takes it.

        Raises:
            GatewayError: The call must not be made.
        """
        ...

    async def end_turn(self, usage: JSONObject) -> None:
        """Note a call that could not be seen before it was made, and reserve for the next one.

        Args:
            usage: What the API has counted.

        Raises:
            GatewayError: The next call must not be made.
        """
        ...


@value_object
class RunRequest:
    """One request to a backend. It makes exactly one API call, apart from the backend's retries.

    Attributes:
        id: The run's id, for the log.
        model: The model whose rules apply. Its id is `body["model"]`.
        body: The canonical request. It respects the model's rules already, unless the options are `verbatim`.
        request_options: What the client may set apart from the body. A backend warns of what it cannot pass on.
        client: The name of the client.
        calls: What an agent's run asks before each call of the model; None: its calls are not limited.
    """

    id: str
    model: Model
    body: MessagesRequest
    request_options: RequestOptions = DEFAULT_REQUEST_OPTIONS
    client: str = "local"
    calls: CallMeter | None = None


class ManagedBackend(Protocol):
    """One backend or several: what is started, watched and closed."""

    name: str

    async def start(self) -> None:
        """Get ready. Call this once, before anything else. It returns soon; slow work continues in a task."""
        ...

    async def aclose(self) -> None:
        """End every process, task and connection, and return when they are gone. Idempotent."""
        ...

    async def models(self) -> Sequence[ListedModel]:
        """Return the provider's current list of models.

        Raises:
            GatewayError: The list is not available.
        """
        ...

    def ready(self) -> str | None:
        """Return why a run would fail now, as a sentence for the operator; None if it would not."""
        ...

    def status(self) -> JSONObject:
        """Return the authentication, processes and versions for the operator. Contains no secret."""
        ...


@runtime_checkable
class ReportsStatus(Protocol):
    """A backend with a further report, which takes time to make."""

    async def inquire(self) -> JSONObject:
        """Return versions and the state of a sign-in. Contains no secret. Unknown values are named so, or left out."""
        ...


class Backend(ManagedBackend, Protocol):
    """One way to call Claude."""

    def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Run a request, and yield events in the order that `dragoman.core.events` defines.

        Nothing happens before the first `anext`. The caller closes the generator (`contextlib.aclosing`), also after a
        failure. Closing or cancelling it interrupts the model. When `aclose` returns, everything that the run held is
        gone or reusable.

        Raises:
            GatewayError: The run failed. Events that were yielded before remain valid.
        """
        ...


@runtime_checkable
class YieldsGroups(Protocol):
    """A backend that reads several events at once. Passing them on together costs less."""

    def run_in_groups(self, request: RunRequest) -> AsyncGenerator[Sequence[Event], None]:
        """Run a request, and yield the events of `Backend.run` as they arrive, those that arrive together as one."""
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """A backend that can count the tokens of a prompt without calling the model."""

    async def count_tokens(self, request: RunRequest) -> JSONObject:
        """Return the provider's own count: `input_tokens`, and whatever else its API returns. A retry is safe.

        Raises:
            UnsupportedFeature: The account cannot count tokens.
            GatewayError: The count is not available.
        """
        ...


@runtime_checkable
class HoldsConversations(Protocol):
    """A backend whose idle processes each hold a conversation for its next turn."""

    def conversation_of(self, request: RunRequest) -> str | None:
        """Return the name of the conversation that a process must hold for a request; None if no process can.

        Raises:
            GatewayError: The request cannot be run.
        """
        ...

    def on_held(self, report: Callable[[str, bool], None]) -> None:
        """Set what is called with the name of a conversation when a process holds it, and when none does any more."""
        ...


@value_object
class Embedded:
    """Vectors, in the order of the inputs.

    Attributes:
        vectors: One for each input, all of the same size: 32-bit floats, little endian.
        tokens: The number of tokens, by the model's own tokenizer; None if a remote model does not report it.
        truncated: The indexes of the inputs whose end the model did not read.
    """

    vectors: Sequence[bytes]
    tokens: int | None
    truncated: Sequence[int] = ()


class Embedder(Protocol):
    """A model that makes vectors of texts. Takes any number of requests at once."""

    model: str
    """The model's name, as clients see it. Contains no path."""

    async def embed(self, inputs: Sequence[str | list[int]]) -> Embedded:
        """Embed texts, or lists of token ids as OpenAI's embedding models count them (`cl100k_base`).

        All inputs succeed or none. Cancelling the call removes it from the queue, and does not affect other requests.
        The call is not retried; a retry is safe.

        Args:
            inputs: At least one; none may be empty.

        Raises:
            GatewayError: There are no vectors. `param` is `input[3]` if the fourth input is invalid.
        """
        ...

    async def aclose(self, grace: float = 0) -> None:
        """Refuse new requests, wait `grace` seconds for running ones, and end every process, task and connection.

        Returns when they are gone. Idempotent.
        """
        ...
