"""Whole answers as a text completion."""

from collections.abc import Sequence

import msgspec

from dragoman.fold import Folded
from dragoman.messages import JSONObject
from dragoman.wire.answers import answer_id, fingerprint, finish_reason
from dragoman.wire.base import Identity
from dragoman.wire.openai_completions.request import CompletionRequest
from dragoman.wire.usage import usage_of


def head(request: CompletionRequest, identity: Identity) -> JSONObject:
    """What a whole answer and every chunk of a stream begin with."""
    model = request.resolved.model.id
    return {
        "id": answer_id("cmpl-", identity),
        "object": "text_completion",
        "created": identity.created,
        "model": model,
        "system_fingerprint": fingerprint(model),
    }


def encode(request: CompletionRequest, identity: Identity, answers: Sequence[Folded]) -> bytes:
    """The body of a plain answer."""
    body: JSONObject = {
        **head(request, identity),
        "choices": [_choice(request, answer, index) for index, answer in enumerate(answers)],
        "usage": usage_of(answer.message.get("usage", {}) for answer in answers),
    }
    return msgspec.json.encode(body)


def _choice(request: CompletionRequest, answer: Folded, index: int) -> JSONObject:
    blocks = answer.message.get("content", [])
    said = "".join(str(block.get("text") or "") for block in blocks if block.get("type") == "text")
    return {
        "text": request.opening(index) + said,
        "index": index,
        "logprobs": None,
        "finish_reason": finish_reason(answer.message.get("stop_reason")),
    }
