"""Chat completions as they are kept: with the messages that were asked."""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import msgspec
from msgspec import Raw, Struct

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.chat.request import ChatRequest
from dragoman.dialects.chat.response import ID
from dragoman.dialects.shared import json_types
from dragoman.dialects.shared.answers import answer_id

_PARTS = frozenset({"text", "image_url"})


class _Kept(Struct):
    """What is kept.

    Attributes:
        completion: The completion, as it was sent.
        metadata: The client's own words about it.
        messages: What it answers.
    """

    completion: Raw
    metadata: dict[str, str]
    messages: list[json_types.JSONObject]


class StoredChats:
    """The `Documents` of this dialect. Only whole completions are kept: there is no form for others."""

    kind = "chat"

    def response_id(self, identity: ResponseIdentity) -> str:
        """The completion's id."""
        return answer_id(ID, identity)

    def completed(
        self,
        request: ChatRequest,
        identity: ResponseIdentity,  # noqa: ARG002 - the protocol's
        answers: Sequence[AccumulatedMessage],  # noqa: ARG002 - the protocol's
        body: bytes,
    ) -> bytes:
        """A completion that is made."""
        labels = dict(request.storage.metadata) if request.storage else {}
        messages = cast("list[JSONObject]", request.messages or [])
        return msgspec.json.encode(_Kept(Raw(body), labels, messages))

    def view(self, document: bytes, include: Sequence[str] = ()) -> bytes:  # noqa: ARG002 - there is nothing to include
        """The completion, with its metadata."""
        kept = _read(document)
        completion = cast("JSONObject", msgspec.json.decode(kept.completion))
        return msgspec.json.encode({**completion, "metadata": kept.metadata})

    def with_metadata(self, document: bytes, labels: Mapping[str, str]) -> bytes:
        """The same completion under other words."""
        kept = _read(document)
        kept.metadata = dict(labels)
        return msgspec.json.encode(kept)

    def messages(self, document: bytes, id_: str) -> list[JSONObject]:
        """The messages that it answers, as OpenAI lists them.

        Args:
            document: The document.
            id_: The completion's id, from which theirs are made.
        """
        return [_message(message, f"{id_}-{place}") for place, message in enumerate(_read(document).messages)]


def _message(sent: JSONObject, id_: str) -> JSONObject:
    content = sent.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else None
    said = "".join(_texts(parts)) or None if parts is not None else content
    shown: JSON = None if parts is None else [part for part in parts if part.get("type") in _PARTS]
    return {"name": None, "refusal": None, **sent, "id": id_, "content": said, "content_parts": shown}


def _texts(parts: Sequence[JSONObject]) -> Iterator[str]:
    return (str(part["text"]) for part in parts if part.get("type") == "text")


def _read(document: bytes) -> _Kept:
    return msgspec.json.decode(document, type=_Kept)
