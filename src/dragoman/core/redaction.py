"""Taking secrets out of what is written down: by their key, by their shape, and those that we hold ourselves."""

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

REDACTED = "[redacted]"

_LONGEST = 100_000
_WIDEST_SECRET = 8192
"""What is cut off is searched so far beyond the cut, so that no part of a secret is left before it."""
_SHORTEST_SECRET = 6
"""Shorter ones would be found in words that have nothing to do with them."""

_TELLING = ("password", "passwd", "passphrase", "secret", "apikey", "authorization", "cookie", "privatekey")
"""Whatever stands under a key that has one of these in it is secret."""
_TELLING_ENDS = ("token", "credential", "credentials", "accesskey", "accesskeyid", "signingkey", "pwd")
"""The same for keys that end so: `max_tokens` is none."""
_OUR_FIGURE = "firsttoken"
"""The time that passes until the first token."""

_KEYS = (
    r"authorization|api[-_ ]?keys?|access[-_ ]?key(?:[-_ ]?id)?|private[-_ ]?key|signing[-_ ]?key|(?:set-)?cookie"
    r"|token|secret|password|passwd|passphrase|pwd|credentials?"
)
_BY_KEY = re.compile(
    rf"(?P<key>(?:{_KEYS})(?:\\*[\"'])?\s*(?:=>|[:=])\s*)"
    r"(?:(?P<quote>\\*[\"'])[^\n]*?(?:(?<!\\)(?P=quote)|$)"
    r"|(?![{\[]|(?:null|none|true|false)\b)(?:(?:bearer|basic|token)\s+)?[^\s,;&\"'\\}\])]+(?:;[^\n\"'\\]+)?)",
    re.IGNORECASE | re.MULTILINE,
)
"""`key: value`, `key=value` and `"key": "value"` in running text, however often its quotes are escaped."""

_SHAPES = re.compile(
    r"(?P<url>\b[a-z][a-z0-9+.-]{0,30}://)[^\s/@\"'<>]{0,500}@"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?P<scheme>bearer|basic)\s+(?=[\w.~+/=-]{0,200}[\d_.=~+/])[\w.~+/=-]{8,}"
    r"|(?P<flag>(?<!\w)--(?:[a-z]{1,30}-){0,4}(?:key|token|password|secret)[ =]+)\S+"
    r"|\b(?:sk|rk|pk)[-_][\w-]{10,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"
    r"|\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}"
    r"|\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|hf_|npm_|pypi-|AIza|ya29\.)[\w.-]{16,}",
    re.IGNORECASE | re.DOTALL,
)
"""What is a secret wherever it stands: API keys, bearer tokens, JWTs, AWS key ids, private keys, passwords in URLs."""


class Redactor:
    """Takes secrets out.

    Args:
        secrets: Those that we hold ourselves, and know to the letter.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if len(secret) >= _SHORTEST_SECRET for form in _forms(secret)}
        self._held = sorted(forms, key=len, reverse=True)

    def text(self, text: str) -> str:
        """A text without its secrets; a very long one is cut, and says so."""
        if len(text) > _LONGEST:
            begun = self._searched(text[: _LONGEST + _WIDEST_SECRET])[:-_WIDEST_SECRET]
            return f"{begun[:_LONGEST]}… ({len(text)} characters in all)"
        return self._searched(text)

    def _searched(self, text: str) -> str:
        for form in self._held:
            if form in text:
                text = text.replace(form, REDACTED)
        return _SHAPES.sub(_shape, _BY_KEY.sub(_keyed, text))

    def data(self, value: object) -> object:
        """A value of any shape, down to its last text, without its secrets."""
        match value:
            case str():
                return self.text(value)
            case bytes():
                return self.text(value.decode(errors="replace"))
            case Mapping():
                return self._mapping(value)
            case list() | tuple() | set() | frozenset():
                return [self.data(item) for item in value]
            case None | bool() | int() | float():
                return value
            case _:
                return self.text(repr(value))

    def _mapping(self, value: Mapping[object, object]) -> dict[str, object]:
        named = value.get("name", value.get("key"))  # `{"name": "Authorization", "value": "…"}`
        telling = isinstance(named, str) and tells(named)
        return {
            self.text(str(key)): REDACTED
            if item not in (None, "") and (tells(str(key)) or (telling and key == "value"))
            else self.data(item)
            for key, item in value.items()
        }


def tells(key: str) -> bool:
    """Whether a secret stands under a key of this name."""
    plain = key.lower().replace("-", "").replace("_", "").replace(" ", "")
    return (plain.endswith(_TELLING_ENDS) and plain != _OUR_FIGURE) or any(part in plain for part in _TELLING)


def _forms(secret: str) -> set[str]:
    """A secret as it stands in text, in JSON, in JSON inside of JSON, in Python's own writing, and in an address."""
    forms, last = {secret, repr(secret)[1:-1], quote(secret), quote(secret, safe="")}, {secret}
    for _ in ("JSON", "JSON inside of it"):
        last = {json.dumps(form, ensure_ascii=ascii_alone)[1:-1] for form in last for ascii_alone in (True, False)}
        forms |= last
    return forms


def _keyed(found: re.Match[str]) -> str:
    quote = found["quote"] or ""
    return f"{found['key']}{quote}{REDACTED}{quote}"


def _shape(found: re.Match[str]) -> str:
    if found["url"]:
        return f"{found['url']}{REDACTED}@"
    if found["flag"]:
        return f"{found['flag']}{REDACTED}"
    return f"{found['scheme']} {REDACTED}" if found["scheme"] else REDACTED
