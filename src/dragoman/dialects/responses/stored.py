"""Input items as they are kept and shown: each with an id, and in the one form that OpenAI lists them in.

Responses as they are kept: with what was asked, and with the very blocks that Claude answered in.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import cast

import msgspec
from msgspec import Raw, Struct

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.conversation import THINKING_TYPES
from dragoman.core.errors import GatewayError, InvalidRequest
from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.responses.continuation import PARAM, History
from dragoman.dialects.responses.reasoning import PastTurn
from dragoman.dialects.responses.request import ENCRYPTED, ResponsesRequest
from dragoman.dialects.responses.response import Envelope, failure
from dragoman.dialects.shared import json_types, sse
from dragoman.dialects.shared.answers import answer_id
from dragoman.dialects.shared.sealing import ReasoningCipher, Thought

_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
    "web_search_call": "ws",
    "compaction": "cmp",
}
_WITHOUT_STATUS = frozenset({"reasoning", "compaction"})


def resources(given: JSON, digits: str) -> list[JSONObject]:
    """The items of an input.

    Args:
        given: The input: a text, or items that each have their `type`.
        digits: What ids are made from, for items that have none.
    """
    if isinstance(given, str):
        given = [{"type": "message", "role": "user", "content": given}]
    items = [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
    return [_resource(item, f"{digits}{place:04x}") for place, item in enumerate(items)]


def _resource(item: JSONObject, digits: str) -> JSONObject:
    kind = str(item["type"])
    made: JSONObject = {key: value for key, value in item.items() if value is not None}
    made["id"] = item.get("id") or f"{_PREFIXES.get(kind, kind)}_i{digits}"
    if kind not in _WITHOUT_STATUS:
        made["status"] = item.get("status") or "completed"
    if kind == "message":
        made["content"] = _parts(item.get("content"), assistant=item.get("role") == "assistant")
    elif kind == "reasoning":
        made["summary"] = item.get("summary") or []
    elif isinstance(output := item.get("output"), list):
        made["output"] = _parts(output, assistant=False)
    return made


def _parts(content: JSON, *, assistant: bool) -> list[JSON]:
    if isinstance(content, str):
        content = [{"type": "input_text", "text": content}]
    return [_part(part, assistant=assistant) for part in _objects(content)]


def _part(part: JSONObject, *, assistant: bool) -> JSONObject:
    made: JSONObject = {key: value for key, value in part.items() if value is not None}
    if assistant and "text" in part:
        return {**made, "type": "output_text", "annotations": part.get("annotations") or [], "logprobs": []}
    if part.get("type") == "input_image":
        made["detail"] = part.get("detail") or "auto"
    return made


def _objects(content: JSON) -> Iterable[JSONObject]:
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


PREFIX = "resp_"
_UNFINISHED = frozenset({"queued", "in_progress"})


class _Kept(Struct):
    """What is kept.

    Attributes:
        response: The response object, as it was sent.
        items: What the client said.
        tools: Its tools, as it sent them.
        model: Who answered.
        before: The exact name of the conversation that was answered.
        answer: What Claude said.
    """

    response: Raw
    items: list[json_types.JSONObject]
    tools: json_types.JSON = None
    model: str = ""
    before: str = ""
    answer: list[json_types.JSONObject] = []


class StoredResponses:
    """The `Documents` of this dialect.

    Args:
        cipher: Closes thinking for those who ask for it later.
    """

    kind = "response"

    def __init__(self, cipher: ReasoningCipher | None) -> None:
        self._vault = cipher

    def response_id(self, identity: ResponseIdentity) -> str:
        """The response's id."""
        return answer_id(PREFIX, identity)

    def queued(self, request: ResponsesRequest, identity: ResponseIdentity) -> bytes:
        """A response that is queued."""
        return _document(request, identity, _encoded(Envelope(request, identity).begun("queued")), [])

    def in_progress(self, document: bytes) -> bytes:
        """The same, in progress."""
        return _with(document, status="in_progress")

    def completed(
        self, request: ResponsesRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage], body: bytes
    ) -> bytes:
        """A response that is made."""
        return _document(request, identity, body, answers[0].message.get("content", []))

    def failed(self, document: bytes, error: GatewayError) -> bytes:
        """A response that broke off."""
        return _with(document, status="failed", error=failure(error))

    def cancelled(self, document: bytes) -> bytes:
        """A response that nobody wanted any more."""
        return _with(document, status="cancelled")

    def view(self, document: bytes, include: Sequence[str] = ()) -> bytes:
        """The response object; with thinking to be sent back where that is asked for."""
        kept = _read(document)
        if ENCRYPTED not in include or self._vault is None:
            return bytes(kept.response)
        response = _response(kept)
        return _encoded({**response, "output": [*self._output(kept, response, include)]})

    def final_event(self, document: bytes, number: int) -> bytes:
        """What ends the stream of a response that broke off with nobody left to tell.

        Args:
            document: The response, failed.
            number: The number of the event.
        """
        event = {"type": "response.failed", "sequence_number": number, "response": _read(document).response}
        return sse.event(msgspec.json.encode(event), "response.failed")

    def is_background(self, document: bytes) -> bool:
        """Whether its client did not wait for it."""
        return bool(_response(_read(document))["background"])

    def history(self, documents: Sequence[bytes]) -> History:
        """An earlier conversation.

        Args:
            documents: Its responses, the oldest first.

        Raises:
            InvalidRequest: The last is still being made.
        """
        kept = [_read(document) for document in documents]
        status = _response(kept[-1])["status"]
        if status in _UNFINISHED:
            raise InvalidRequest(
                f"That response is still {status}; ask for it until it is completed, then go on from it.",
                code="response_in_progress",
                param=PARAM,
            )
        return History([PastTurn(one.items, one.answer, one.model, one.before) for one in kept], kept[-1].tools)

    def input_items(self, documents: Sequence[bytes], include: Sequence[str]) -> list[JSONObject]:
        """All that the model was given for the last response, item by item, the oldest first.

        Args:
            documents: The responses of its conversation, the oldest first.
            include: What the client wants to see beside the rest.
        """
        kept = [_read(document) for document in documents]
        earlier = (chain(one.items, self._output(one, _response(one), include)) for one in kept[:-1])
        return [*chain.from_iterable(earlier), *kept[-1].items]

    def _output(self, kept: _Kept, response: JSONObject, include: Sequence[str]) -> Iterator[JSONObject]:
        thoughts = iter([block for block in kept.answer if block.get("type") in THINKING_TYPES])
        for item in cast("list[JSONObject]", response["output"]):
            block = next(thoughts, None) if item["type"] == "reasoning" else None
            if block and self._vault and ENCRYPTED in include:
                closed = self._vault.thought(Thought(kept.model, kept.before, block))
                yield {**item, **({"encrypted_content": closed} if closed else {})}
            else:
                yield item


def _document(request: ResponsesRequest, identity: ResponseIdentity, response: bytes, answer: Sequence[Block]) -> bytes:
    thinks = any(block.get("type") in THINKING_TYPES for block in answer)
    return msgspec.json.encode(
        _Kept(
            response=Raw(response),
            items=resources(request.items, answer_id("", identity)),
            tools=request.tools,
            model=request.resolved.model.id,
            before=request.before() if thinks else "",
            answer=[*answer],
        )
    )


def _with(document: bytes, **changed: JSON) -> bytes:
    kept = _read(document)
    kept.response = Raw(_encoded({**_response(kept), **changed}))
    return msgspec.json.encode(kept)


def _read(document: bytes) -> _Kept:
    return msgspec.json.decode(document, type=_Kept)


def _response(kept: _Kept) -> JSONObject:
    return cast("JSONObject", msgspec.json.decode(kept.response))


def _encoded(value: Mapping[str, JSON]) -> bytes:
    return msgspec.json.encode(value)
