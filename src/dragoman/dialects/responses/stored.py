"""Stored responses: the document that is stored, and what is read from it.

A document holds the response as it was sent, the request's input items, and Claude's own content blocks.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import cast

import msgspec
from msgspec import Raw, Struct

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.conversation import THINKING_TYPES
from dragoman.core.errors import GatewayError, InvalidRequest
from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.responses.continuation import PREVIOUS_RESPONSE_ID, History, StoredTurn
from dragoman.dialects.responses.input_items import listed_items
from dragoman.dialects.responses.references import ReferencedItem, blocks_of_item, response_digits
from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.dialects.responses.response import RESPONSE_ID_PREFIX, ResponseObject, error_object
from dragoman.dialects.responses.schema import INCLUDE_ENCRYPTED_REASONING
from dragoman.dialects.shared import json_types, sse
from dragoman.dialects.shared.response_parts import response_id
from dragoman.dialects.shared.sealing import ReasoningCipher, Thought


class _Document(Struct, rename={"input_items": "items", "conversation_hash": "before", "content": "answer"}):
    """A stored response.

    Attributes:
        response: The response object, as it was sent.
        input_items: The request's input items.
        tools: The request's tools, as the client sent them.
        model: The id of the model that answered.
        conversation_hash: The exact hash of the conversation before the message; empty without thinking.
        content: The content blocks of Claude's message.
    """

    response: Raw
    input_items: list[json_types.JSONObject]
    tools: json_types.JSON = None
    model: str = ""
    conversation_hash: str = ""
    content: list[json_types.JSONObject] = []


class StoredResponses:
    """The stored format of responses.

    Args:
        cipher: Encrypts thinking for clients that ask for it later; None if the gateway has no key.
    """

    kind = "response"

    def __init__(self, cipher: ReasoningCipher | None) -> None:
        self._cipher = cipher

    def for_client(self, client: str) -> "StoredResponses":
        """Return the format for one client, which gets thinking that only this client can send back."""
        return StoredResponses(self._cipher.for_client(client)) if self._cipher else self

    def response_id(self, identity: ResponseIdentity) -> str:
        """Return the response's id."""
        return response_id(RESPONSE_ID_PREFIX, identity)

    def queued(self, request: ResponsesRequest, identity: ResponseIdentity) -> bytes:
        """Return the document of a queued response."""
        return _encode_document(
            request, identity, msgspec.json.encode(ResponseObject(request, identity).pending("queued")), []
        )

    def in_progress(self, document: bytes) -> bytes:
        """Return the document of the response in progress."""
        return _with_fields(document, status="in_progress")

    def completed(
        self, request: ResponsesRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage], body: bytes
    ) -> bytes:
        """Return the document of a response that has ended.

        Args:
            request: The request.
            identity: The response's id and time.
            answers: Claude's message, in a list of one.
            body: The response, as it was sent.
        """
        return _encode_document(request, identity, body, answers[0].message.get("content", []))

    def failed(self, document: bytes, error: GatewayError, body: bytes | None = None) -> bytes:
        """Return the document of a response that failed.

        Args:
            document: Its earlier document.
            error: Why it failed.
            body: The response, as it was sent; None: nothing was sent since the earlier document.
        """
        if body is None:
            return _with_fields(document, status="failed", error=error_object(error))
        stored = _decode_document(document)
        stored.response = Raw(body)
        return msgspec.json.encode(stored)

    def cancelled(self, document: bytes) -> bytes:
        """Return the document of a response that was cancelled."""
        return _with_fields(document, status="cancelled")

    def view(self, document: bytes, include: Sequence[str] = ()) -> bytes:
        """Return the response object.

        Args:
            document: The document.
            include: Values of OpenAI's `include`; encrypted reasoning is added if it is asked for.
        """
        stored = _decode_document(document)
        if INCLUDE_ENCRYPTED_REASONING not in include or self._cipher is None:
            return bytes(stored.response)
        return msgspec.json.encode({**_response(stored), "output": list(self._output(stored, include))})

    def final_event(self, document: bytes, number: int) -> bytes:
        """Return the event that ends the stream of a response that failed without an encoder.

        Args:
            document: The document of the failed response.
            number: The event's sequence number.
        """
        response = _decode_document(document).response
        event = {"type": "response.failed", "sequence_number": number, "response": response}
        return sse.event(msgspec.json.encode(event), "response.failed")

    def is_background(self, document: bytes) -> bool:
        """Whether the response was requested with `background`."""
        return bool(_response(_decode_document(document))["background"])

    def history(self, documents: Sequence[bytes]) -> History:
        """Return the conversation of stored responses.

        Args:
            documents: The documents, oldest first; at least one.

        Raises:
            InvalidRequest: The last response has not ended.
        """
        stored = [_decode_document(document) for document in documents]
        status = _response(stored[-1])["status"]
        if status in ("queued", "in_progress"):
            raise InvalidRequest(
                f"The response is still {status}. Retrieve it until its status is `completed`, then continue it.",
                code="response_in_progress",
                param=PREVIOUS_RESPONSE_ID,
            )
        turns: list[StoredTurn] = []
        for one in stored:
            if summary := _summary_items(one):
                turns = [StoredTurn(summary, [], one.model, "")]  # it replaces the conversation before it
            else:
                turns.append(StoredTurn(one.input_items, one.content, one.model, one.conversation_hash))
        return History(turns, stored[-1].tools)

    def response_of_item(self, item_id: str) -> str | None:
        """Return the id of the response that an item belongs to; None if no response has an item of that id."""
        digits = response_digits(item_id)
        return digits and f"{RESPONSE_ID_PREFIX}{digits}"

    def find_item(self, document: bytes, item_id: str) -> ReferencedItem | None:
        """Return an item of a response or of its input; None if it has no such item.

        Args:
            document: The document.
            item_id: The id of the item.
        """
        stored = _decode_document(document)
        output = list(self._output(stored, [INCLUDE_ENCRYPTED_REASONING]))
        for index, item in enumerate(output):
            if item["id"] == item_id:
                blocks = blocks_of_item(stored.content, output, index)
                return ReferencedItem(item, blocks, stored.model, stored.conversation_hash)
        found = next((item for item in stored.input_items if item["id"] == item_id), None)
        return ReferencedItem(found) if found else None

    def input_items(self, documents: Sequence[bytes], include: Sequence[str]) -> list[JSONObject]:
        """Return the whole input of the last response, oldest item first: the conversation before it, and its input.

        Args:
            documents: The documents of its conversation, oldest first.
            include: Values of OpenAI's `include`.
        """
        stored = [_decode_document(document) for document in documents]
        earlier = (chain(one.input_items, self._output(one, include)) for one in stored[:-1])
        return [*chain.from_iterable(earlier), *stored[-1].input_items]

    def _output(self, stored: _Document, include: Sequence[str]) -> Iterator[JSONObject]:
        thinking = iter([block for block in stored.content if block.get("type") in THINKING_TYPES])
        for item in cast("list[JSONObject]", _response(stored)["output"]):
            block = next(thinking, None) if item["type"] == "reasoning" else None
            if block and self._cipher and INCLUDE_ENCRYPTED_REASONING in include:
                encrypted = self._cipher.encrypt_thought(Thought(stored.model, stored.conversation_hash, block))
                yield {**item, "encrypted_content": encrypted} if encrypted else item
            else:
                yield item


def _encode_document(
    request: ResponsesRequest, identity: ResponseIdentity, response: bytes, content: Sequence[Block]
) -> bytes:
    has_thinking = any(block.get("type") in THINKING_TYPES for block in content)
    return msgspec.json.encode(
        _Document(
            response=Raw(response),
            input_items=listed_items(request.input_items, response_id("", identity)),
            tools=request.tools,
            model=request.resolved.model.id,
            conversation_hash=request.conversation_hash() if has_thinking else "",
            content=[*content],
        )
    )


def _summary_items(stored: _Document) -> list[JSONObject]:
    """Return the output of a response to a `compaction_trigger`; nothing for any other response."""
    output = cast("list[JSONObject]", _response(stored)["output"])
    return output if any(item["type"] == "compaction" for item in output) else []


def _with_fields(document: bytes, **fields: JSON) -> bytes:
    stored = _decode_document(document)
    stored.response = Raw(msgspec.json.encode({**_response(stored), **fields}))
    return msgspec.json.encode(stored)


def _decode_document(document: bytes) -> _Document:
    return msgspec.json.decode(document, type=_Document)


def _response(stored: _Document) -> Mapping[str, JSON]:
    return cast("JSONObject", msgspec.json.decode(stored.response))
