"""The ASGI application: the API's endpoints, and `/_simulator` for tests that are not in Python."""

import time
from collections.abc import Mapping

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from dragoman.core.messages import JSON, JSONObject
from dragoman.simulator.context import AbortConnection, ClientDisconnected, RequestContext
from dragoman.simulator.errors import ApiError, invalid_request
from dragoman.simulator.faults import Fault, parse_fault
from dragoman.simulator.json_values import text_of
from dragoman.simulator.message import build_message
from dragoman.simulator.models import find_model, model_info, model_page
from dragoman.simulator.request import VERSIONS, ApiRequest, read_prompt
from dragoman.simulator.rules.table import check, check_count
from dragoman.simulator.state import MESSAGES_PATH, ReceivedRequest, State
from dragoman.simulator.stream import ResponseWriter
from dragoman.simulator.tokens import input_tokens

_ORGANIZATION_ID = "00000000-0000-4000-8000-000000000001"
_RATE_LIMITS = (("requests", 4_000), ("input-tokens", 2_000_000), ("output-tokens", 400_000))
_PLAN_WINDOWS = (("5h", 0.42, 2 * 3600), ("7d", 0.17, 3 * 86_400))
"""Limits of the plan of a sign-in: the part of the header that names one, its used share, and seconds until its end."""
_NOT_SERVED = {404: "Not found", 405: "Method Not Allowed"}

_decode = msgspec.json.Decoder().decode


class Injection(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /_simulator/inject`.

    Attributes:
        fault: The fields of `Fault`.
        times: How many messages get it.
    """

    fault: Fault
    times: int = 1


def fail_connection(_scope: Scope) -> None:
    """Fail the request, so that a server that cannot abort its sockets closes the connection."""
    raise ConnectionAbortedError("simulated")


def create_app(state: State, abort: AbortConnection = fail_connection) -> Starlette:
    """Return the application.

    Args:
        state: Its state.
        abort: Aborts the connection of a request.
    """
    small = _SmallEndpoints(state)
    routes = [
        Route(MESSAGES_PATH, MessagesEndpoint(state, abort), methods=["POST"]),
        Route(f"{MESSAGES_PATH}/count_tokens", CountEndpoint(state, abort), methods=["POST"]),
        Route("/v1/models", small.list_models),
        Route("/v1/models/{id}", small.get_model),
        Route("/_simulator/received", small.received, methods=["GET", "DELETE"]),
        Route("/_simulator/inject", small.inject, methods=["POST"]),
        Route("/_simulator/hold", small.hold, methods=["POST"]),
        Route("/_simulator/release", small.release, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={ApiError: small.on_api_error, HTTPException: small.not_served})


class _RecordedEndpoint:
    """A POST endpoint as an ASGI application. It records each request, and sends errors in the API's format."""

    def __init__(self, state: State, abort: AbortConnection) -> None:
        self._state = state
        self._abort = abort

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        headers = _response_headers(self._state)
        async with RequestContext(scope, receive, send, self._abort) as context:
            received = ReceivedRequest(scope["path"], context.headers, {})
            try:
                try:
                    received.body = _parse_body(await context.read_body())
                finally:
                    self._state.record(received)
                await self._respond(context, received, headers)
                received.finished = True
            except ClientDisconnected:
                pass
            except ApiError as error:
                received.status = error.status
                data = msgspec.json.encode(error.body(headers["request-id"]))
                await context.write_json(error.status, data, {**headers, **error.headers})
                received.finished = True

    async def _respond(self, context: RequestContext, received: ReceivedRequest, headers: dict[str, str]) -> None:
        raise NotImplementedError


class MessagesEndpoint(_RecordedEndpoint):
    """`POST /v1/messages`."""

    async def _respond(self, context: RequestContext, received: ReceivedRequest, headers: dict[str, str]) -> None:
        request = _parse_request(received)
        prompt = read_prompt(request.messages)
        fault = (self._state.next_fault() if received.is_call else None) or parse_fault(prompt.text)
        await _fail_before_headers(context, fault)
        check(request)
        cache = self._state.cache.apply(request)
        message = build_message(request, prompt, fault, cache, headers["request-id"].replace("req_", "msg_"))
        received.status, received.usage = 200, message.usage()
        if "authorization" in received.headers:
            headers |= _plan_headers()
        writer = ResponseWriter(context, self._state, fault, headers)
        await (writer.stream(message) if request.body.get("stream") is True else writer.send(message))


class CountEndpoint(_RecordedEndpoint):
    """`POST /v1/messages/count_tokens`."""

    async def _respond(self, context: RequestContext, received: ReceivedRequest, headers: dict[str, str]) -> None:
        request = _parse_request(received)
        check_count(request)
        received.status = 200
        await context.write_json(200, msgspec.json.encode({"input_tokens": input_tokens(request.body)}), headers)


class _SmallEndpoints:
    """The other endpoints, and the error handlers."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def list_models(self, request: Request) -> Response:
        _check_headers(request.headers)
        query = request.query_params
        limit = query.get("limit", "20")
        if not limit.isdecimal():
            raise invalid_request("limit: Input should be a valid integer, unable to parse string as an integer")
        return self._json(model_page(int(limit), query.get("after_id"), query.get("before_id")))

    async def get_model(self, request: Request) -> Response:
        _check_headers(request.headers)
        return self._json(model_info(find_model(request.path_params["id"])))

    async def received(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._state.clear()
            return Response(status_code=204)
        return Response(msgspec.json.encode(self._state.received), media_type="application/json")

    async def inject(self, request: Request) -> Response:
        try:
            injection = msgspec.json.decode(await request.body(), type=Injection)
        except msgspec.DecodeError as error:
            raise invalid_request(str(error)) from None
        self._state.inject(injection.fault, injection.times)
        return Response(status_code=204)

    async def hold(self, _request: Request) -> Response:
        self._state.hold()
        return Response(status_code=204)

    async def release(self, _request: Request) -> Response:
        self._state.release()
        return Response(status_code=204)

    def on_api_error(self, _request: Request, error: Exception) -> Response:
        """Return an error in the API's format."""
        if not isinstance(error, ApiError):
            raise error
        headers = {**_response_headers(self._state), **error.headers}
        content = msgspec.json.encode(error.body(headers["request-id"]))
        return Response(content, error.status, headers, "application/json")

    def not_served(self, request: Request, error: Exception) -> Response:
        """Return the error of an unknown path or method in the API's format."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        return self.on_api_error(request, ApiError(status, _NOT_SERVED.get(status)))

    def _json(self, value: JSON) -> Response:
        return Response(
            msgspec.json.encode(value), headers=_response_headers(self._state), media_type="application/json"
        )


def _response_headers(state: State) -> dict[str, str]:
    """Return the headers of every response, with a new request id."""
    headers = {
        "request-id": f"req_{state.next_request_number():024d}",
        "anthropic-organization-id": _ORGANIZATION_ID,
    }
    for kind, limit in _RATE_LIMITS:
        headers[f"anthropic-ratelimit-{kind}-limit"] = str(limit)
        headers[f"anthropic-ratelimit-{kind}-remaining"] = str(limit - 1)
        headers[f"anthropic-ratelimit-{kind}-reset"] = "2026-11-01T12:00:00Z"
    return headers


def _plan_headers() -> dict[str, str]:
    """Return what the API sends with a response to a signed-in client, in place of the limits of a key."""
    unified = {"status": "allowed", "representative-claim": "five_hour"}
    for window, used, seconds in _PLAN_WINDOWS:
        unified |= {
            f"{window}-status": "allowed",
            f"{window}-utilization": str(used),
            f"{window}-reset": str(int(time.time()) + seconds),
        }
    unified["reset"] = unified["5h-reset"]
    return {f"anthropic-ratelimit-unified-{name}": value for name, value in unified.items()}


def _parse_body(data: bytes) -> JSONObject:
    try:
        value: JSON = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid_request(f"The request body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise invalid_request("Input should be a valid dictionary or object to extract fields from")
    return value


def _parse_request(received: ReceivedRequest) -> ApiRequest:
    credential = _check_headers(received.headers)
    name = received.body.get("model")
    if name is None:
        raise invalid_request("model: Field required")
    return ApiRequest(received.body, find_model(text_of(name)), received.headers, credential)


def _check_headers(headers: Mapping[str, str]) -> str:
    """Check the required headers. Return the key or token.

    Raises:
        ApiError: 401, if there is no key or token, or it contains "invalid". 400, if `anthropic-version` is missing or
            unknown.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    key = headers.get("x-api-key", "").strip()
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    if not key and not bearer:
        raise ApiError(401, "x-api-key header is required")
    if "invalid" in (key or bearer).lower():
        raise ApiError(401, "invalid x-api-key" if key else "Invalid bearer token")
    version = headers.get("anthropic-version")
    if version is None:
        raise invalid_request("anthropic-version: header is required")
    if version not in VERSIONS:
        raise invalid_request(f"anthropic-version: {version!r} is not a valid version")
    return key or bearer


async def _fail_before_headers(context: RequestContext, fault: Fault) -> None:
    """Apply a fault that happens before the first byte."""
    if fault.status is not None:
        raise fault.error()
    if fault.after is None and fault.action == "silence":
        await context.wait_for_disconnect()
    if fault.after is None and fault.action == "cut":
        context.abort_connection()
