"""Stored chat completions, with the messages that they respond to."""

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec
from msgspec import Raw, Struct

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.chat.request import ChatRequest
from dragoman.dialects.chat.response import ID_PREFIX
from dragoman.dialects.shared import json_types
from dragoman.dialects.shared.response_parts import response_id

_LISTED_PART_TYPES = frozenset({"text", "image_url"})


class _Document(Struct):
    """The stored document.

    Attributes:
        completion: The completion, as it was sent.
        metadata: The client's metadata.
        messages: The messages that it responds to.
    """

    completion: Raw
    metadata: dict[str, str]
    messages: list[json_types.JSONObject]


class StoredChats:
    """The `StoredFormat` of chat completions. Only completed ones are stored: OpenAI has no form for others."""

    kind = "chat"

    def response_id(self, identity: ResponseIdentity) -> str:
        """Return the completion's id."""
        return response_id(ID_PREFIX, identity)

    def completed(
        self,
        request: ChatRequest,
        identity: ResponseIdentity,  # noqa: ARG002 - the protocol's
        answers: Sequence[AccumulatedMessage],  # noqa: ARG002 - the protocol's
        body: bytes,
    ) -> bytes:
        """Return the document of a completion."""
        metadata = dict(request.storage.metadata) if request.storage else {}
        messages = cast("list[JSONObject]", request.messages or [])
        return msgspec.json.encode(_Document(Raw(body), metadata, messages))

    def view(self, document: bytes, include: Sequence[str] = ()) -> bytes:  # noqa: ARG002 - there is nothing to include
        """Return the completion, with its metadata."""
        stored = _read(document)
        completion = cast("JSONObject", msgspec.json.decode(stored.completion))
        return msgspec.json.encode({**completion, "metadata": stored.metadata})

    def with_metadata(self, document: bytes, metadata: Mapping[str, str]) -> bytes:
        """Return the document with other metadata."""
        stored = _read(document)
        stored.metadata = dict(metadata)
        return msgspec.json.encode(stored)

    def messages(self, document: bytes, id_: str) -> list[JSONObject]:
        """Return the messages that the completion responds to, as OpenAI lists them.

        Args:
            document: The document.
            id_: The completion's id; the ids of its messages are made from it.
        """
        return [_listed(message, f"{id_}-{index}") for index, message in enumerate(_read(document).messages)]


def _listed(message: JSONObject, id_: str) -> JSONObject:
    content: JSON = message.get("content")
    parts: JSON = None
    if isinstance(content, list):
        objects = [part for part in content if isinstance(part, dict)]
        content = "".join(str(part["text"]) for part in objects if part.get("type") == "text") or None
        parts = [part for part in objects if part.get("type") in _LISTED_PART_TYPES]
    return {"name": None, "refusal": None, **message, "id": id_, "content": content, "content_parts": parts}


def _read(document: bytes) -> _Document:
    return msgspec.json.decode(document, type=_Document)
