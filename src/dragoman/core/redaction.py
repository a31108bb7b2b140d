"""Redact secrets in logs and output: by the name of their key, by their shape, and those that the gateway holds."""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

REDACTED = "[redacted]"

_MAX_TEXT = 100_000
_MAX_SECRET = 8192
"""A long text is searched this far beyond the place where it is cut, so that no part of a secret remains."""
_MIN_HELD_SECRET = 6
"""Characters. Shorter secrets would be found in unrelated words."""
_MAX_PART = 16
"""Characters at the start of a secret that are not taken for it: `sk-ant-api03-` begins many keys."""

_SECRET_KEY_PARTS = ("password", "passwd", "passphrase", "secret", "apikey", "authorization", "cookie", "privatekey")
"""A key that contains one of these has a secret value."""
_SECRET_KEY_ENDS = ("token", "credential", "credentials", "accesskey", "accesskeyid", "signingkey", "pwd")
"""A key that ends with one of these has a secret value. `max_tokens` does not."""
_METRIC_KEY = "firsttoken"
"""The time until the first token, which is not secret."""

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
"""`key: value`, `key=value` and `"key": "value"` in text, however often the quotes are escaped."""

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
"""Secrets without a key: API keys, bearer tokens, JWTs, AWS key ids, private keys, passwords in URLs."""


class Redactor:
    """Replaces secrets with `REDACTED`.

    Args:
        secrets: Secrets that the gateway holds. They are found wherever they are.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        secrets = [secret for secret in secrets if len(secret) >= _MIN_HELD_SECRET]
        encodings = {encoding for secret in secrets for encoding in _encodings(secret)}
        self._held = sorted(encodings, key=len, reverse=True)
        self._disguised = sorted(
            encodings.union(*map(_disguises, secrets)),
            key=len,
            reverse=True,
        )

    def reply(self, text: str) -> str:
        """Return a text for a client without the secrets that the gateway holds, also encoded or cut off.

        Nothing is removed by its form alone: an error may quote the client's own names.
        """
        for secret in self._disguised:
            start = min(max(_MIN_HELD_SECRET + 2, len(secret) // 2), _MAX_PART, len(secret))
            position = text.find(secret[:start])
            while position >= 0:
                end = position + start
                while end - position < len(secret) and text[end : end + 1] == secret[end - position]:
                    end += 1
                text = text[:position] + REDACTED + text[end:]
                position = text.find(secret[:start], position + len(REDACTED))
        return text

    def reply_data(self, value: object) -> object:
        """Return JSON for the operator without the secrets that the gateway holds."""
        match value:
            case str():
                return self.reply(value)
            case Mapping():
                return {self.reply(str(key)): self.reply_data(item) for key, item in value.items()}
            case list() | tuple():
                return [self.reply_data(item) for item in value]
            case _:
                return value

    def text(self, text: str) -> str:
        """Return a text without its secrets. A very long text is cut, with a note."""
        if len(text) > _MAX_TEXT:
            start = self._redact(text[: _MAX_TEXT + _MAX_SECRET])[:-_MAX_SECRET]
            return f"{start[:_MAX_TEXT]}… ({len(text)} characters in all)"
        return self._redact(text)

    def _redact(self, text: str) -> str:
        for secret in self._held:
            if secret in text:
                text = text.replace(secret, REDACTED)
        return _SHAPES.sub(_redact_shape, _BY_KEY.sub(_redact_value, text))

    def data(self, value: object) -> object:
        """Return a value of any shape without its secrets, at any depth."""
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
        name = value.get("name", value.get("key"))  # `{"name": "Authorization", "value": "…"}`
        has_secret_name = isinstance(name, str) and is_secret_key(name)
        return {
            self.text(str(key)): REDACTED
            if item not in (None, "") and (is_secret_key(str(key)) or (has_secret_name and key == "value"))
            else self.data(item)
            for key, item in value.items()
        }


def is_secret_key(key: str) -> bool:
    """Return whether the value of a key is secret by its name."""
    plain = key.lower().replace("-", "").replace("_", "").replace(" ", "")
    return (plain.endswith(_SECRET_KEY_ENDS) and plain != _METRIC_KEY) or any(
        part in plain for part in _SECRET_KEY_PARTS
    )


def _encodings(secret: str) -> set[str]:
    """Return a secret as it appears in text, in JSON, in JSON inside of JSON, in a Python literal, and in a URL."""
    encodings, latest = {secret, repr(secret)[1:-1], quote(secret), quote(secret, safe="")}, {secret}
    for _ in ("JSON", "JSON inside of it"):
        latest = {json.dumps(text, ensure_ascii=ascii_only)[1:-1] for text in latest for ascii_only in (True, False)}
        encodings |= latest
    return encodings


def _disguises(secret: str) -> set[str]:
    """Return a secret in base64, at any place in a longer text, in hexadecimal, and with every byte escaped."""
    data = secret.encode()
    found = {data.hex(), data.hex().upper()}
    found |= {"".join(f"{mark}{byte:{form}}" for byte in data) for mark, form in (("%", "02x"), ("%", "02X"))}
    found |= {"".join(f"\\u{ord(sign):04x}" for sign in secret)}
    found |= {
        quote(secret, safe="").replace(upper, upper.lower()) for upper in re.findall("%..", quote(secret, safe=""))
    }
    for shift in range(3):  # a character of base64 is six bits: those with bits of other bytes are left out
        encoded = base64.b64encode(b"\0" * shift + data)
        inner = encoded[-(-shift * 8 // 6) : (shift + len(data)) * 8 // 6].decode()
        found |= {inner, inner.translate(str.maketrans("+/", "-_"))}
    return found


def _redact_value(found: re.Match[str]) -> str:
    quote = found["quote"] or ""
    return f"{found['key']}{quote}{REDACTED}{quote}"


def _redact_shape(found: re.Match[str]) -> str:
    if found["url"]:
        return f"{found['url']}{REDACTED}@"
    if found["flag"]:
        return f"{found['flag']}{REDACTED}"
    return f"{found['scheme']} {REDACTED}" if found["scheme"] else REDACTED


NO_SECRETS = Redactor()
"""For a gateway that holds none."""
