"""One function for each fact that the backend relies on. `report` runs them."""

from typing import cast

from dragoman.backends.claude_code.doctor.probe import (
    CheckFailed,
    Probe,
    ProbeResult,
    assistant,
    conversation_in,
    is_gone,
    user,
)
from dragoman.core.errors import GatewayError
from dragoman.core.messages import Block, JSONObject, Message

_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # one red dot
_IMAGE: Block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PNG}}
_TOOL: JSONObject = {"name": "look_up", "description": "Looks up.", "input_schema": {"type": "object"}}
_CONVERSATION: list[Message] = [
    user("One", _IMAGE),
    assistant("Two"),
    user("Three"),
    assistant("Four", {"type": "tool_use", "id": "call_1", "name": "look_up", "input": {"key": 1}}),
    user({"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "Found"}]}),
    assistant("Five"),
    user("Six"),
]
_SYSTEM = "Answer in few words."
_REMINDER = "<system-reminder>"


async def starts(probe: Probe) -> str:
    """The runtime answers control requests before it is configured, so warm processes can be booted."""
    session = await probe.boot()
    answer = await session.control("list_models", {}, probe.options.boot_timeout)
    models = cast("list[JSONObject]", answer.get("models") or [])
    if not models:
        raise CheckFailed("It lists no models before it is configured.")
    return f"It answers before it is configured, and lists {len(models)} models"


async def system_prompt(probe: Probe) -> str:
    """`initialize` sets the system prompt of a process that has booted."""
    session = await probe.boot()
    await session.control("list_models", {}, probe.options.boot_timeout)
    result = await probe.ask([user("One")], session, system=[{"type": "text", "text": _SYSTEM}])
    blocks = cast("list[JSONObject]", result.body.get("system") or [])
    if not blocks or blocks[-1].get("text") != _SYSTEM:
        raise CheckFailed("The system prompt did not reach the API as it was given.")
    return "It is set on a process that has booted"


async def parameters(probe: Probe) -> str:
    """`apply_flag_settings` sets the model and the body, and removes what an earlier turn set."""
    first, second = await probe.once(_two_turns)
    body = first.body
    if (body["model"], body["max_tokens"], body.get("stop_sequences")) != ("claude-sonnet-5-5", 9000, ["END"]):
        raise CheckFailed("Model, max_tokens and stop sequences did not reach the API.")
    if "stop_sequences" in second.body or second.body["max_tokens"] == body["max_tokens"]:
        raise CheckFailed("A parameter of one request is sent with the next.")
    return "They reach the API, and only for their own request"


async def next_turn(probe: Probe) -> str:
    """A live process takes the next message of its conversation."""
    first, second = await probe.once(_two_turns)
    _check_same(second, [user("One"), _answer(first), user("Two")])
    return "A live process takes the next message, and the API gets the whole conversation"


async def replay(probe: Probe) -> str:
    """A new process takes earlier messages unchanged: texts, images, calls, results."""
    _check_same(await probe.once(_replayed), _CONVERSATION)
    return f"{len(_CONVERSATION)} messages with an image, a call and its result arrive message for message"


async def transcript_arrives(probe: Probe) -> ProbeResult:
    """A process that waits for a transcript takes the conversation unchanged."""
    result = await probe.ask(_CONVERSATION, await probe.boot(by_transcript=True), tools=[_TOOL])
    _check_same(result, _CONVERSATION)
    return result


async def transcript(probe: Probe) -> str:
    """A transcript and replayed messages make the same request, with a key and with a sign-in."""
    by_transcript = await transcript_arrives(probe)
    _check_equal(by_transcript, await probe.once(_replayed))
    by_transcript, by_frames = [
        await probe.ask(_CONVERSATION, await probe.boot(signed_in=True, by_transcript=way), tools=[_TOOL])
        for way in (True, False)
    ]
    _check_equal(by_transcript, by_frames)
    return f"{len(_CONVERSATION)} messages in one transcript make the request that replayed messages make"


async def plain_text(probe: Probe) -> str:
    """A user's text is only text: no file is read and no command is run for it."""
    secret = probe.options.state_dir / "secret.txt"
    secret.write_text("a secret")
    texts = (f"Look at @{secret}", "/help", f"@{secret}", "/clear")
    messages = [user(texts[0]), assistant("Yes?"), user(texts[1]), assistant("Yes?"), user(texts[2])]
    _check_same(await probe.ask(messages), messages)
    messages = [user(texts[3])]
    _check_same(await probe.ask(messages), messages)
    return "File mentions and commands in a prompt stay text"


async def tools(probe: Probe) -> str:
    """A call of a client's tool waits for its result, in the same process."""
    session = await probe.boot()
    prompt = [user('Call look_up with {"key": 1}')]
    first = await probe.ask(prompt, session, tools=[_TOOL])
    calls = [block for block in first.message["content"] if block["type"] == "tool_use"]
    if first.message["stop_reason"] != "tool_use" or [call["name"] for call in calls] != ["look_up"]:
        raise CheckFailed("A call of an offered tool did not come through.")
    result: Block = {"type": "tool_result", "tool_use_id": calls[0]["id"], "content": [{"type": "text", "text": "42"}]}
    second = await probe.ask([*prompt, _answer(first), user(result)], session, live=True, tools=[_TOOL])
    last = conversation_in(second.body)[-1]["content"]
    if [block.get("tool_use_id") for block in last] != [calls[0]["id"]] or "42" not in str(last):
        raise CheckFailed("The result of a call did not reach the API as it was given.")
    return "A call waits for its result, and the same process continues with it"


async def one_call(probe: Probe) -> str:
    """One request is one API call. The runtime makes no further calls."""
    results = [await probe.ask([user("One")]), await probe.ask([user("One"), assistant("Two"), user("Three")])]
    if not all(result.body for result in results):
        raise CheckFailed("An empty request reached the API.")
    return "One request, fresh or replayed, is one API call"


async def cut_answers(probe: Probe) -> str:
    """The runtime makes no further call after a cut response."""
    # The egress block must take effect before the cut, also on a busy machine: no model is as fast as the simulator.
    short = await probe.ask([user("Count to 9\nSimulate: pace 0.1")], max_tokens=3)
    long = await probe.ask([user("Count to 400\nSimulate: pace 0.003")], max_tokens=300)
    for result in (short, long):
        if result.body and result.message["stop_reason"] != "max_tokens":
            raise CheckFailed(f"A cut response ended with {result.message['stop_reason']}.")
    return "A response cut by max_tokens is one API call"


async def errors(probe: Probe) -> str:
    """The runtime's own message about a failure is recognised, and not taken for a response."""
    for text in ("Simulate: status 400 invalid_request_error: planted words", "Simulate: error after 2"):
        try:
            result = await probe.ask([user(text)])
        except GatewayError:
            continue
        raise CheckFailed(f"A failure of the API became a response that ended with {result.message['stop_reason']}.")
    return "A failure of the API is an error, before and within a response"


async def signed_in(probe: Probe) -> str:
    """With a sign-in, the runtime's reminders come first: live and replayed requests are the same."""
    session = await probe.boot(signed_in=True)
    first = await probe.ask([user("One")], session)
    messages = [user("One"), _answer(first), user("Two")]
    live = await probe.ask(messages, session, live=True)
    replayed = await probe.ask(messages, await probe.boot(signed_in=True))
    for result in (live, replayed):
        *_, last = conversation_in(result.body)
        if _REMINDER in str(last):
            raise CheckFailed("The runtime's reminders came with a later message than the first.")
    if conversation_in(live.body) != conversation_in(replayed.body):
        raise CheckFailed("A replayed conversation reaches the API in another form than a live one.")
    return "Reminders stay with the first message (tried with a dummy token)"


async def processes(probe: Probe) -> str:
    """A process ends when its input closes, as it does when the gateway is killed. Every process is reaped."""
    session = await probe.boot()
    await session.control("list_models", {}, probe.options.boot_timeout)
    await session.finish()
    await probe.aclose()
    remaining = [session.pid for session in probe.sessions if not is_gone(session.pid)]
    if remaining:
        raise CheckFailed(f"Processes remain: {', '.join(map(str, remaining))}.")
    return f"All {len(probe.sessions)} processes of this check are gone"


async def _two_turns(probe: Probe) -> tuple[ProbeResult, ProbeResult]:
    """Send a request with parameters, and the next turn without them to the same process."""
    session = await probe.boot()
    first = await probe.ask([user("One")], session, max_tokens=9000, stop_sequences=["END"])
    return first, await probe.ask([user("One"), _answer(first), user("Two")], session, live=True)


async def _replayed(probe: Probe) -> ProbeResult:
    """Replay the conversation by messages."""
    return await probe.ask(_CONVERSATION, tools=[_TOOL])


def _answer(result: ProbeResult) -> Message:
    """Return a response as a client sends it back: without thinking."""
    return assistant(*(block for block in result.message["content"] if block["type"] != "thinking"))


def _check_same(result: ProbeResult, messages: list[Message]) -> None:
    arrived = conversation_in(result.body)
    if arrived != messages:
        index = next((n for n, (a, b) in enumerate(zip(arrived, messages, strict=False)) if a != b), len(messages))
        raise CheckFailed(f"Of {len(messages)} messages {len(arrived)} arrived, and message {index} differs.")


def _check_equal(one: ProbeResult, other: ProbeResult) -> None:
    names = {name for name in one.body.keys() | other.body.keys() if one.body.get(name) != other.body.get(name)}
    if names := names - {"metadata"}:
        raise CheckFailed(f"A transcript and replayed messages differ in: {', '.join(sorted(names))}.")
