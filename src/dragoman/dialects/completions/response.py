"""Encode a text completion."""

from collections.abc import Sequence

import msgspec

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.messages import JSONObject
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.completions.request import CompletionRequest
from dragoman.dialects.shared.response_parts import fingerprint, finish_reason, response_id
from dragoman.dialects.shared.usage import completion_usage


def encode_completion(
    request: CompletionRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage]
) -> bytes:
    """Encode the whole response."""
    body: JSONObject = {
        **common_fields(request, identity),
        "choices": [_choice(request, answer, index) for index, answer in enumerate(answers)],
        "usage": completion_usage(answer.message.get("usage", {}) for answer in answers),
    }
    return msgspec.json.encode(body)


def common_fields(request: CompletionRequest, identity: ResponseIdentity) -> JSONObject:
    """Return the fields with which the response and each chunk of its stream begin."""
    model = request.resolved.model.id
    return {
        "id": response_id("cmpl-", identity),
        "object": "text_completion",
        "created": identity.created,
        "model": model,
        "system_fingerprint": fingerprint(model),
    }


def _choice(request: CompletionRequest, answer: AccumulatedMessage, index: int) -> JSONObject:
    blocks = answer.message.get("content", [])
    text = "".join(str(block.get("text") or "") for block in blocks if block.get("type") == "text")
    return {
        "text": request.echoed_prompt(index) + text,
        "index": index,
        "logprobs": None,
        "finish_reason": finish_reason(answer.message.get("stop_reason")),
    }
