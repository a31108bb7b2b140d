"""HTTP status and OpenAI error body of every kind of error."""

import json

import pytest
from openai_spec import assert_valid

from dragoman.core import errors
from dragoman.core.errors import GatewayError
from dragoman.dialects.shared.errors import STATUSES, openai_error_response, status_of

EXPECTED = [
    (errors.InvalidRequest, 400, "invalid_request_error", "invalid_value"),
    (errors.UnsupportedFeature, 400, "invalid_request_error", "unsupported_parameter"),
    (errors.ContextTooLong, 400, "invalid_request_error", "context_length_exceeded"),
    (errors.Unauthenticated, 401, "authentication_error", "invalid_api_key"),
    (errors.Forbidden, 403, "permission_error", "permission_denied"),
    (errors.NotFound, 404, "invalid_request_error", "not_found"),
    (errors.Conflict, 409, "invalid_request_error", "conflict"),
    (errors.KeyReused, 422, "invalid_request_error", "idempotency_key_reused"),
    (errors.RequestTooLarge, 413, "invalid_request_error", "request_too_large"),
    (errors.RequestTimeout, 408, "invalid_request_error", "request_timeout"),
    (errors.UnsupportedContentEncoding, 415, "invalid_request_error", "unsupported_content_encoding"),
    (errors.NotSignedIn, 401, "authentication_error", "not_signed_in"),
    (errors.QuotaExceeded, 429, "insufficient_quota", "insufficient_quota"),
    (errors.RateLimited, 429, "rate_limit_error", "rate_limit_exceeded"),
    (errors.QueueFull, 429, "rate_limit_error", "queue_full"),
    (errors.Overloaded, 503, "api_error", "overloaded"),
    (errors.UpstreamFailed, 502, "api_error", "upstream_error"),
    (errors.TimedOut, 504, "api_error", "timeout"),
    (errors.RunCancelled, 499, "api_error", "run_cancelled"),
    (errors.ShuttingDown, 503, "api_error", "shutting_down"),
    (errors.NotInstalled, 501, "api_error", "not_installed"),
    (errors.StoreFailed, 503, "api_error", "store_failed"),
    (errors.InternalError, 500, "api_error", "internal_error"),
]


def _causes(cause: type[GatewayError] = GatewayError) -> set[type[GatewayError]]:
    return {
        one for child in cause.__subclasses__() for one in {child, *_causes(child)} if one.__module__ == errors.__name__
    }


def test_the_table_names_every_error() -> None:
    """A new error class must be added here."""
    assert {row[0] for row in EXPECTED} == _causes()


@pytest.mark.parametrize(("cause", "http", "type_", "code"), EXPECTED)
def test_each_error_has_its_response(cause: type[GatewayError], http: int, type_: str, code: str) -> None:
    """Status and body, with all four keys; it matches OpenAI's description."""
    reply = openai_error_response(cause("Said.", param="n"))
    body = json.loads(reply.body)
    assert reply.status == http
    assert body == {"error": {"message": "Said.", "type": type_, "param": "n", "code": code}}
    assert_valid("ErrorResponse", body)


def test_empty_keys_are_null() -> None:
    """Clients read all four keys."""
    assert json.loads(openai_error_response(GatewayError("Said.")).body)["error"] == {
        "message": "Said.",
        "type": "api_error",
        "param": None,
        "code": None,
    }


def test_an_error_without_a_row_is_encoded_like_its_parent() -> None:
    """By its MRO."""

    class New(errors.QueueFull):
        """An error class without a row."""

    assert status_of(New("Said.")) == STATUSES[errors.RateLimited]
