"""Redaction by key, by pattern, and of the secrets that the gateway knows."""

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.redaction import REDACTED, Redactor, is_secret_key

KNOWN_SECRET = 'held-"secret"-1'
REDACTOR = Redactor([KNOWN_SECRET, "k", ""])

SECRETS = {
    "an API key": "sk-ant-api03-Pl4nted_key-0123456789",
    "a key of another provider": "sk-proj-Pl4nted0123456789",
    "a bearer token": "Bearer Pl4nted0123456789",
    "a basic sign-in": "Basic UGw0bnRlZDpzZWNyZXQ=",
    "a JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJQbDRudGVkIn0.Pl4ntedSignature",
    "an AWS key id": "AKIAPL4NTEDPL4NTED00",
    "a token of a forge": "ghp_Pl4nted0123456789abcdefghij",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\nPl4nted\n-----END RSA PRIVATE KEY-----",
    "a flag": "--api-key Pl4nted",
    "a held secret": KNOWN_SECRET,
    "a URL": "postgres://owner:Pl4nted@db.example/x",
}
KEYS = [
    *("authorization", "Authorization", "Proxy-Authorization", "x-api-key", "api_key", "apiKey", "ANTHROPIC_API_KEY"),
    *("token", "access_token", "refreshToken", "password", "db_password", "client_secret", "Cookie", "Set-Cookie"),
    *("aws_secret_access_key", "private_key", "passphrase", "credentials"),
]
HARMLESS = [
    "max_tokens: 100",
    '{"input_tokens": 3, "first_token": null}',
    "The token is on the table; Bearer of good news.",
    "https://example.com/a@b?page=2",
    "see scikit: sk-learn",
    "2026-11-24T10:00:00Z run_0123456789abcdef0123456789abcdef",
]


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("around", ["{}", "She wrote {}, and left.", '{{"text": "{}"}}', "a\n{}\nb"])
def test_patterns(secret: str, around: str) -> None:
    """A secret is redacted by its pattern, anywhere in a text."""
    redacted = REDACTOR.text(around.format(secret))
    assert REDACTED in redacted
    assert "Pl4nted" not in redacted
    assert KNOWN_SECRET not in redacted


@pytest.mark.parametrize("key", KEYS)
def test_keys_of_data(key: str) -> None:
    """The value of a secret key is redacted at any depth and of any type, except for None."""
    for value in ("x", 12345, ["x"], {"a": {"b": "x"}}):
        assert REDACTOR.data({"a": [{key: value, "model": "sonnet"}]}) == {"a": [{key: REDACTED, "model": "sonnet"}]}
    assert REDACTOR.data({"name": key, "value": "x"}) == {"name": key, "value": REDACTED}
    assert REDACTOR.data({key: None}) == {key: None}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "form",
    [
        "{}: hush-1",
        "{} = hush-1",
        "{}=hush-1&a=b",
        "'{}': 'hush-1'",
        "-H '{}: Bearer hush-1'",
        '"{}": "hush-1',  # truncated
    ],
)
def test_keys_in_text(key: str, form: str) -> None:
    """The value of a secret key is redacted in text, quoted or not, and also if the text is truncated."""
    redacted = REDACTOR.text(form.format(key))
    assert "hush-1" not in redacted
    assert key in redacted


@given(
    key=st.sampled_from(KEYS), secret=st.text(min_size=8).filter(lambda text: "\n" not in text), depth=st.integers(1, 4)
)
def test_json_in_json(key: str, secret: str, depth: int) -> None:
    """Secrets are redacted in nested JSON: tool arguments are JSON in JSON, and logs encode them again."""
    encoded = json.dumps({key: f"<{secret}>", "after": 1})
    for _ in range(depth - 1):
        encoded = json.dumps(encoded)
    redacted = REDACTOR.text(encoded)
    for _ in range(depth - 1):
        redacted = json.loads(redacted)
    assert json.loads(redacted) == {key: REDACTED, "after": 1}


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text(text: str) -> None:
    """Text without a secret is not changed."""
    assert REDACTOR.text(text) == text


def test_harmless_data() -> None:
    """Numbers whose names resemble secrets stay. Objects of other types are replaced by their `repr`."""
    data = {"max_tokens": 5, "usage": {"input_tokens": 3}, "stages": {"first_token": 0.1}, "done": True}
    assert REDACTOR.data(data) == data
    assert not is_secret_key("max_tokens")
    assert REDACTOR.data({"at": {1: (b"x", 2.0)}, "kind": range(2)}) == {"at": {"1": ["x", 2.0]}, "kind": "range(0, 2)"}


def test_long_texts() -> None:
    """A very long text is truncated, and a note has its length."""
    redacted = REDACTOR.text("a" * 200_000)
    assert len(redacted) < 101_000
    assert redacted.endswith("(200000 characters in all)")


@pytest.mark.parametrize("write", [str, repr, json.dumps, lambda text: json.dumps(json.dumps(text)), quote])
def test_known_secrets_in_every_encoding(write: Callable[[str], str]) -> None:
    """Known secrets are also redacted in JSON, in nested JSON, in Python literals and in URLs."""
    secret = "p\\a\"ss' wörd\t100%/?"
    assert Redactor([secret]).text(f"<{write(secret)}>").strip("<>\"'\\") == REDACTED


@pytest.mark.parametrize("before", range(99_980, 100_001))
def test_secrets_where_a_text_is_truncated(before: int) -> None:
    """No part of a secret remains at the end of a truncated text, also after earlier redactions."""
    secret = "abcdefghij" * 2
    padded = f"{secret} " * 1000
    text = f"{padded}{'-' * (before - len(padded))}{secret}{'-' * 100_000}"
    redacted = Redactor([secret]).text(text)
    assert "abc" not in redacted
    assert redacted.endswith("(200020 characters in all)" if before == 100_000 else " characters in all)")
