"""Parse requests part by part, and only the messages that are new: an agent sends its whole conversation each time.

A message is kept if it is valid and passed on as it is: it has no field but role and content, no cache marks, and no
thinking that would be left out. The marks of an agent move along with the newest messages. A request that begins with
the same bytes as an earlier one is not read again up to there: see `known_starts`.
"""

import msgspec

from dragoman.core.content_cache import ContentCache
from dragoman.core.errors import InvalidRequest
from dragoman.core.known_message import KnownMessage
from dragoman.core.long_steps import let_others_run
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.messages.schema import check_message, has_unsigned_thinking
from dragoman.dialects.shared.exact import MAX_JSON_DEPTH, is_too_deep
from dragoman.dialects.shared.known_starts import MAX_START_BYTES, KnownStarts

_MAX_MESSAGE_BYTES = 12 * 1024 * 1024

_FIELDS: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_PLAIN_FIELDS = frozenset({"role", "content"})
_MARK = b'"cache_control"'


class KnownMessages:
    """The messages of earlier requests, by the bytes of their JSON.

    Args:
        starts: The beginnings of earlier requests; None: no requests yet.

    Attributes:
        starts: The beginnings.
        messages: The messages.
    """

    def __init__(self, starts: KnownStarts[KnownMessage] | None = None) -> None:
        self.starts: KnownStarts[KnownMessage] = starts or KnownStarts(MAX_START_BYTES)
        self.messages: ContentCache[KnownMessage] = ContentCache(_MAX_MESSAGE_BYTES)


def parse_parts(raw: bytes, known: KnownMessages) -> JSONObject | None:
    """Parse a request. Its known messages are `KnownMessage`; all else is as `parse_json` returns it.

    Args:
        raw: The body.
        known: The messages of earlier requests.

    Returns:
        The request; None if it is no valid request, or is nested too deeply: `parse_json` says what is wrong.
    """
    is_long = len(raw) >= known.starts.step
    start = known.starts.find(raw) if is_long else None
    split = _split(raw if start is None else start.shorten(raw))
    if start is not None and (split is None or not start.is_in(split[1])):
        start, split = None, _split(raw)
    if split is None:
        return None
    fields, contents = split
    mark = None if start is None else start.run.first
    try:
        data: JSONObject = {name: _parsed(bytes(value), 1) for name, value in fields.items()}
        messages: list[JSON] = [
            message if message is not None or index == mark else _new_message(contents[index], known.messages)
            for index, message in enumerate(known.messages.get_all(contents))
        ]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if is_long:
        plain = [one if type(one) is KnownMessage else None for one in messages]
        known.starts.learn(raw, _split, split, plain, start)
    if start is not None:
        messages[start.run.first : start.run.first + 1] = start.messages
    data["messages"] = messages
    return data


def _split(raw: bytes) -> tuple[dict[str, msgspec.Raw], list[bytes]] | None:
    """Return the fields of a request without its messages, and the JSON of these; None if it is no valid request."""
    try:
        fields = _FIELDS.decode(raw)
        let_others_run(len(raw))
        contents = [*map(bytes, _ITEMS.decode(fields.pop("messages")))]
        let_others_run(len(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return None
    return fields, contents


def _parsed(part: bytes, above: int) -> JSON:
    """Parse a part of a request that has some levels above it."""
    value: JSON = msgspec.json.decode(part)
    let_others_run(len(part))
    if is_too_deep(part, value, MAX_JSON_DEPTH - above):
        raise RecursionError
    return value


def _new_message(content: bytes, known: ContentCache[KnownMessage]) -> JSON:
    value = _parsed(content, 2)
    if not isinstance(value, dict) or value.keys() != _PLAIN_FIELDS:
        return value
    try:
        message = check_message(value, "")
    except InvalidRequest:  # the longer way reads it next, and says where it is
        return value
    encoded = msgspec.json.encode(value)
    let_others_run(len(encoded))
    if _MARK in encoded or has_unsigned_thinking(message):
        return value
    plain = KnownMessage(message["role"], message["content"], encoded)
    known.put(content, plain)
    return plain
