"""The routes: the API's own, and `/_simulator` for tests that are not in Python."""

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from dragoman.messages import JSON
from dragoman.simulator.endpoints import CountEndpoint, MessagesEndpoint
from dragoman.simulator.exchange import Cut
from dragoman.simulator.fault import Fault
from dragoman.simulator.headers import check_version, credential_of, response_headers
from dragoman.simulator.models import find_model, model_info, model_page
from dragoman.simulator.problem import ApiProblem, refuse
from dragoman.simulator.state import MESSAGES_PATH, State


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
