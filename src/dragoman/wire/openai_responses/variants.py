"""Requests that are read like one for a response, and answered otherwise: counted, or summed up."""

from collections.abc import Sequence
from typing import cast

import msgspec

from dragoman.errors import InvalidRequest
from dragoman.fold import Folded
from dragoman.messages import JSON, JSONObject
from dragoman.wire import validation
from dragoman.wire.answers import answer_id
from dragoman.wire.base import NO_HEADERS, Decoded, Headers, Identity
from dragoman.wire.openai_responses import decode
from dragoman.wire.openai_responses.codec import OpenAIResponses
from dragoman.wire.openai_responses.envelope import usage_of
from dragoman.wire.openai_responses.kept import PREFIX
from dragoman.wire.openai_responses.normal import normal
from dragoman.wire.openai_responses.past import Past, going_on
from dragoman.wire.openai_responses.request import ResponsesRequest
from dragoman.wire.openai_responses.resources import resources
from dragoman.wire.usage import counts_of

_NOT_KEPT: JSONObject = {"store": False, "background": None, "stream": None}
_RULES = frozenset({"system", "developer"})
_SUM_UP = (
    "Sum up this conversation, so that it can be gone on with from your summary alone: nobody will be able to look at "
    "the messages again. Keep what was asked for, what was decided and why, what was done and how it turned out, "
    "names, figures, paths and code that still matter, and what is to be done next. If the last message has not been "
    "answered yet, repeat it in full. Write nothing but the summary."
)


class Counted(OpenAIResponses):
    """The codec of `/v1/responses/input_tokens`: the prompt counts, and nothing is answered."""

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> ResponsesRequest:  # noqa: ARG002 - all is in the body
        """See `OpenAIResponses.decode`."""
        return self._read(raw, None)

    def decode_after(self, raw: bytes, past: Past) -> ResponsesRequest:
        """See `OpenAIResponses.decode_after`."""
        return self._read(raw, past)

    def counted(self, tokens: JSON) -> bytes:
        """The answer."""
        return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": tokens})

    def _read(self, raw: bytes, past: Past | None) -> ResponsesRequest:
        sent = {"input": [], **_object(raw), **_NOT_KEPT}
        return decode.read(going_on(sent, past), self._catalog(), self._options, past)


class Compacted(OpenAIResponses):
    """The codec of `/v1/responses/compact`: Claude sums the conversation up; the client carries the summary, sealed.

    Instructions that stand in the conversation are not summed up but stay as they are.
    """

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> ResponsesRequest:  # noqa: ARG002 - all is in the body
        """See `OpenAIResponses.decode`."""
        return self._read(raw, None)

    def decode_after(self, raw: bytes, past: Past) -> ResponsesRequest:
        """See `OpenAIResponses.decode_after`."""
        return self._read(raw, past)

    def encode(self, decoded: Decoded, identity: Identity, answers: Sequence[Folded]) -> bytes:
        """The compacted conversation.

        Raises:
            InvalidRequest: Claude wrote no summary.
        """
        request, message = cast("ResponsesRequest", decoded), answers[0].message
        blocks = [block for block in message.get("content", []) if block.get("type") == "text"]
        summary = "".join(str(block.get("text") or "") for block in blocks)
        if not summary.strip() or self._options.vault is None:
            raise InvalidRequest("Claude did not sum this conversation up.", code="not_compacted", param="input")
        digits = answer_id("", identity)
        stands: JSONObject = {
            "id": f"cmp_{digits}",
            "type": "compaction",
            "encrypted_content": self._options.vault.summary(summary),
        }
        body: JSONObject = {
            "id": answer_id(PREFIX, identity),
            "object": "response.compaction",
            "created_at": identity.created,
            "output": [*_rules(request, digits), stands],
            "usage": usage_of(counts_of([message.get("usage", {})])),
        }
        return msgspec.json.encode(body)

    def _read(self, raw: bytes, past: Past | None) -> ResponsesRequest:
        sent = cast("JSONObject", normal(_object(raw)))
        given = resources(sent.get("input") or [], "0")
        last: JSONObject = {"type": "message", "role": "user", "content": _SUM_UP}
        asked = going_on({**sent, **_NOT_KEPT, "input": [*given, last]}, past)
        return decode.read({**cast("JSONObject", asked), "tools": None}, self._catalog(), self._options, past)


def _rules(request: ResponsesRequest, digits: str) -> list[JSONObject]:
    items = [*(item for turn in request.past for item in turn.items), *resources(request.items, digits)]
    return [item for item in items if item["type"] == "message" and item["role"] in _RULES]


def _object(raw: bytes) -> JSONObject:
    sent = validation.parse(raw)
    if not isinstance(sent, dict):
        raise InvalidRequest("The request body must be a JSON object.", code="invalid_type")
    return sent
