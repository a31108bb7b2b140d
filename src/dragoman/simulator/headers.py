"""Request headers that are required, and response headers as the API sends them."""

from collections.abc import Mapping

from dragoman.simulator.call import VERSIONS
from dragoman.simulator.problem import ApiProblem, refuse

ORGANIZATION = "00000000-0000-4000-8000-000000000001"


def credential_of(headers: Mapping[str, str]) -> str:
    """The key or token of a request.

    Raises:
        ApiProblem: 401, where there is none or it holds the word "invalid".
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    key = headers.get("x-api-key", "").strip()
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    if not key and not bearer:
        raise ApiProblem(401, "x-api-key header is required")
    if "invalid" in (key or bearer).lower():
        raise ApiProblem(401, "invalid x-api-key" if key else "Invalid bearer token")
    return key or bearer


def check_version(headers: Mapping[str, str]) -> None:
    """Refuse a missing or unknown `anthropic-version`.

    Raises:
        ApiProblem: 400.
    """
    version = headers.get("anthropic-version")
    if version is None:
        raise refuse("anthropic-version: header is required")
    if version not in VERSIONS:
        raise refuse(f"anthropic-version: {version!r} is not a valid version")


def response_headers(request_id: str) -> dict[str, str]:
    """What every answer carries."""
    headers = {"request-id": request_id, "anthropic-organization-id": ORGANIZATION}
    for kind, limit in (("requests", 4_000), ("input-tokens", 2_000_000), ("output-tokens", 400_000)):
        headers[f"anthropic-ratelimit-{kind}-limit"] = str(limit)
        headers[f"anthropic-ratelimit-{kind}-remaining"] = str(limit - 1)
        headers[f"anthropic-ratelimit-{kind}-reset"] = "2026-11-01T12:00:00Z"
    return headers
