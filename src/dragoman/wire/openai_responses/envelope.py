"""The response object around the output."""

from dataclasses import dataclass

from dragoman.errors import GatewayError, InvalidRequest, QuotaExceeded, RateLimited
from dragoman.messages import JSON, JSONObject
from dragoman.wire.answers import answer_id
from dragoman.wire.base import Identity
from dragoman.wire.openai_responses.places import Status
from dragoman.wire.openai_responses.request import ResponsesRequest
from dragoman.wire.usage import Counts

_CUT = {
    "max_tokens": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "refusal": "content_filter",
}
"""Why an answer is incomplete, by the API's `stop_reason`."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended.

    Attributes:
        reason: Why it is incomplete; none where it is whole.
    """

    reason: str | None = None

    @classmethod
    def of(cls, stop_reason: object) -> "Ending":
        """The ending by the API's word."""
        return cls(_CUT.get(str(stop_reason)))

    @property
    def status(self) -> Status:
        """The status of the response."""
        return "incomplete" if self.reason else "completed"

    @property
    def last_item(self) -> Status:
        """The status of the last item: what was refused is cut as well, but said to its end."""
        return "incomplete" if self.reason == "max_output_tokens" else "completed"


class Envelope:
    """Makes the response object, at each state of one answer."""

    def __init__(self, request: ResponsesRequest, identity: Identity) -> None:
        self._fixed: JSONObject = {
            "id": answer_id("resp_", identity),
            "object": "response",
            "created_at": identity.created,
            "model": request.resolved.model.id,
            **request.echo,
        }

    def begun(self, status: str = "in_progress") -> JSONObject:
        """While the answer is being made, or waits for it."""
        return self._made(status, [])

    def ended(self, ending: Ending, output: list[JSON], counts: Counts, now: int) -> JSONObject:
        """Once it is made.

        Args:
            ending: How it ended.
            output: The items.
            counts: Its tokens.
            now: Seconds since 1970.
        """
        details: JSONObject | None = {"reason": ending.reason} if ending.reason else None
        done = None if ending.reason else now
        made = self._made(ending.status, output)
        return {**made, "completed_at": done, "incomplete_details": details, "usage": usage_of(counts)}

    def failed(self, output: list[JSON], error: GatewayError) -> JSONObject:
        """When it broke off."""
        return {**self._made("failed", output), "error": failure(error)}

    def cancelled(self, output: list[JSON]) -> JSONObject:
        """When nobody wanted it any more."""
        return self._made("cancelled", output)

    def _made(self, status: str, output: list[JSON]) -> JSONObject:
        return {
            **self._fixed,
            "status": status,
            "output": output,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "usage": None,
        }


def failure(error: GatewayError) -> JSONObject:
    """An error inside of a response, which has codes of its own: the nearest of them."""
    if isinstance(error, RateLimited | QuotaExceeded):
        nearest = "rate_limit_exceeded"
    else:
        nearest = "invalid_prompt" if isinstance(error, InvalidRequest) else "server_error"
    return {"code": nearest, "message": error.message}


def usage_of(counts: Counts) -> JSONObject:
    """Token counts, as responses say them."""
    return {
        "input_tokens": counts.input,
        "input_tokens_details": {"cached_tokens": counts.read, "cache_write_tokens": counts.written},
        "output_tokens": counts.output,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.input + counts.output,
    }
