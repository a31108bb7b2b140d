"""`POST /v1/messages` and `POST /v1/messages/count_tokens`."""

import msgspec
from starlette.types import Receive, Scope, Send

from dragoman.messages import JSON, JSONObject
from dragoman.simulator.call import Call
from dragoman.simulator.draft import draft
from dragoman.simulator.exchange import ClientGone, Cut, Exchange
from dragoman.simulator.fault import Fault, fault_in
from dragoman.simulator.headers import check_version, credential_of, response_headers
from dragoman.simulator.models import find_model
from dragoman.simulator.problem import ApiProblem, refuse
from dragoman.simulator.prompts import prompt_of
from dragoman.simulator.rules import check, check_count
from dragoman.simulator.shapes import text_of
from dragoman.simulator.state import Received, State
from dragoman.simulator.stream import Sender, send_json
from dragoman.simulator.tokens import input_tokens

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
