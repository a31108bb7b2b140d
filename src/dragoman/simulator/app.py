"""Request headers that are required, and response headers as the API sends them.

`POST /v1/messages` and `POST /v1/messages/count_tokens`.

The routes: the API's own, and `/_simulator` for tests that are not in Python.
"""

from collections.abc import Mapping

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from dragoman.core.messages import JSON, JSONObject
from dragoman.simulator.exchange import ClientGone, Cut, Exchange
from dragoman.simulator.faults import ApiProblem, Fault, fault_in, refuse
from dragoman.simulator.json_values import text_of
from dragoman.simulator.message import draft
from dragoman.simulator.models import find_model, model_info, model_page
from dragoman.simulator.request import VERSIONS, Call, prompt_of
from dragoman.simulator.rules.table import check, check_count
from dragoman.simulator.state import MESSAGES_PATH, Received, State
from dragoman.simulator.stream import Sender, send_json
from dragoman.simulator.tokens import input_tokens

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


_decode = msgspec.json.Decoder().decode


class Endpoint:
    """A POST endpoint as an ASGI application: notes the request and answers problems in the API's shape."""

    def __init__(self, state: State, cut: Cut) -> None:
        self._state = state
        self._cut = cut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        number = self._state.next_number()
        headers = response_headers(f"req_{number:024d}")
        async with Exchange(scope, receive, send, self._cut) as exchange:
            received = Received(scope["path"], exchange.headers, {})
            try:
                await self._serve(exchange, received, headers)
                received.finished = True
            except ClientGone:
                pass
            except ApiProblem as problem:
                received.status = problem.status
                data = msgspec.json.encode(problem.body(headers["request-id"]))
                await send_json(exchange, problem.status, data, {**headers, **problem.headers})
                received.finished = True

    async def _serve(self, exchange: Exchange, received: Received, headers: dict[str, str]) -> None:
        try:
            data = await exchange.body()
            received.body = _parsed(data)
        finally:
            self._state.arrive(received)
        await self._answer(exchange, received, headers)

    async def _answer(self, exchange: Exchange, received: Received, headers: dict[str, str]) -> None:
        raise NotImplementedError


class MessagesEndpoint(Endpoint):
    """Answers with a message, plain or streamed."""

    async def _answer(self, exchange: Exchange, received: Received, headers: dict[str, str]) -> None:
        call = _call(received)
        prompt = prompt_of(call.messages)
        fault = (self._state.next_fault() if received.is_call else None) or fault_in(prompt.text)
        await _before_headers(exchange, fault)
        check(call)
        use = self._state.cache.use(call)
        answer = draft(call, prompt, fault, use, headers["request-id"].replace("req_", "msg_"))
        received.status, received.usage = 200, answer.usage()
        sender = Sender(exchange, self._state, fault, headers)
        await (sender.stream(answer) if call.body.get("stream") is True else sender.plain(answer))


class CountEndpoint(Endpoint):
    """Counts the tokens of a prompt."""

    async def _answer(self, exchange: Exchange, received: Received, headers: dict[str, str]) -> None:
        call = _call(received)
        check_count(call)
        received.status = 200
        await send_json(exchange, 200, msgspec.json.encode({"input_tokens": input_tokens(call.body)}), headers)


async def _before_headers(exchange: Exchange, fault: Fault) -> None:
    """What goes wrong before the first byte."""
    if fault.status is not None:
        raise fault.problem()
    if fault.after is None and fault.action == "silence":
        await exchange.silence()
    if fault.after is None and fault.action == "cut":
        exchange.cut()


def _call(received: Received) -> Call:
    credential = credential_of(received.headers)
    check_version(received.headers)
    asked = received.body.get("model")
    if asked is None:
        raise refuse("model: Field required")
    return Call(received.body, find_model(text_of(asked)), received.headers, credential)


def _parsed(data: bytes) -> JSONObject:
    try:
        value: JSON = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse(f"The request body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise refuse("Input should be a valid dictionary or object to extract fields from")
    return value


class Injection(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /_simulator/inject`.

    Attributes:
        fault: The fields of `Fault`.
        times: How many messages get it.
    """

    fault: Fault
    times: int = 1


def no_cut(_scope: Scope) -> None:
    """Where the server gives no way to cut its sockets: fail, which closes the connection in mid-answer."""
    raise ConnectionAbortedError("simulated")


def create_app(state: State, cut: Cut = no_cut) -> Starlette:
    """The application.

    Args:
        state: Its memory.
        cut: How to abort the connection of a request.
    """
    api = _Api(state)
    routes = [
        Route(MESSAGES_PATH, MessagesEndpoint(state, cut), methods=["POST"]),
        Route(f"{MESSAGES_PATH}/count_tokens", CountEndpoint(state, cut), methods=["POST"]),
        Route("/v1/models", api.models),
        Route("/v1/models/{id}", api.model),
        Route("/_simulator/received", api.received, methods=["GET", "DELETE"]),
        Route("/_simulator/inject", api.inject, methods=["POST"]),
        Route("/_simulator/{action:str}", api.gate, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={ApiProblem: api.problem, HTTPException: api.not_served})


class _Api:
    """The small endpoints."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def models(self, request: Request) -> Response:
        credential_of(request.headers)
        check_version(request.headers)
        query = request.query_params
        limit = query.get("limit", "20")
        if not limit.isdecimal():
            raise refuse("limit: Input should be a valid integer, unable to parse string as an integer")
        return self._json(model_page(int(limit), query.get("after_id"), query.get("before_id")))

    async def model(self, request: Request) -> Response:
        credential_of(request.headers)
        check_version(request.headers)
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
            raise refuse(str(error)) from None
        self._state.inject(injection.fault, injection.times)
        return Response(status_code=204)

    async def gate(self, request: Request) -> Response:
        match request.path_params["action"]:
            case "hold":
                self._state.hold()
            case "release":
                self._state.release()
            case _:
                raise ApiProblem(404)
        return Response(status_code=204)

    def problem(self, _request: Request, error: Exception) -> Response:
        """A refusal in the API's shape."""
        if not isinstance(error, ApiProblem):
            raise error
        headers = {**self._headers(), **error.headers}
        content = msgspec.json.encode(error.body(headers["request-id"]))
        return Response(content, error.status, headers, "application/json")

    def not_served(self, request: Request, error: Exception) -> Response:
        """An unknown path or method, in the API's shape."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        words = {404: "Not found", 405: "Method Not Allowed"}
        return self.problem(request, ApiProblem(status, words.get(status)))

    def _headers(self) -> dict[str, str]:
        return response_headers(f"req_{self._state.next_number():024d}")

    def _json(self, value: JSON) -> Response:
        return Response(msgspec.json.encode(value), headers=self._headers(), media_type="application/json")
