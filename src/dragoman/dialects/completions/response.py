"""Whole answers as a text completion."""

from collections.abc import Sequence

import msgspec

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.messages import JSONObject
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.completions.request import CompletionRequest
from dragoman.dialects.shared.answers import answer_id, fingerprint, finish_reason
from dragoman.dialects.shared.usage import usage_of


def head(request: CompletionRequest, identity: ResponseIdentity) -> JSONObject:
    """What a whole answer and every chunk of a stream begin with."""
    model = request.resolved.model.id
    return {
        "id": answer_id("cmpl-", identity),
        "object": "text_completion",
        "created": identity.created,
        "model": model,
        "system_fingerprint": fingerprint(model),
    }


def encode(request: CompletionRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage]) -> bytes:
    """The body of a plain answer."""
    body: JSONObject = {
        **head(request, identity),
        "choices": [_choice(request, answer, index) for index, answer in enumerate(answers)],
        "usage": usage_of(answer.message.get("usage", {}) for answer in answers),
    }
    return msgspec.json.encode(body)


def _choice(request: CompletionRequest, answer: AccumulatedMessage, index: int) -> JSONObject:
    blocks = answer.message.get("content", [])
    said = "".join(str(block.get("text") or "") for block in blocks if block.get("type") == "text")
    return {
        "text": request.opening(index) + said,
        "index": index,
        "logprobs": None,
        "finish_reason": finish_reason(answer.message.get("stop_reason")),
    }
