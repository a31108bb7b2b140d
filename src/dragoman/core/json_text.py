r"""Repair JSON that contains half of a character. Strict decoders refuse it, and clients send it.

JSON writes characters outside the basic plane as two escapes (`\ud83d\ude00`). A client that cuts a text between them
leaves half of a character, which UTF-8 cannot encode.
"""

import re

_ESCAPES = re.compile(
    rb"\\(?:"  # all begin with one literal: then the search for it is fast
    rb"\\"  # an escaped backslash: what follows is no escape
    rb"|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole character
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb")"
)
_ENCODED_HALF = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_REPLACEMENT_ESCAPE = rb"\ufffd"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def replace_half_characters(text: bytes) -> bytes:
    """Return JSON with each half of a character replaced by U+FFFD. Everything else stays as it is."""
    escaped = _ESCAPES.sub(lambda match: _REPLACEMENT_ESCAPE if match["half"] else match[0], text)
    return _ENCODED_HALF.sub(_REPLACEMENT, escaped)
