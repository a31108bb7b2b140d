"""Put a streamed response together again, so that one description holds for both forms."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from dragoman.core.messages import Block, JSONObject

_DELTA_FIELDS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


def collect_stream(path: str, content: str) -> JSONObject:
    """Return the body that a stream amounts to; `{"error": ...}` if it ends in an error."""
    events = [cast("JSONObject", json.loads(data)) for data in _data(content) if data != "[DONE]"]
    failed = next((event for event in events if event.get("error") or event.get("type") == "error"), None)
    if failed is not None:
        return failed if failed.get("error") else {"error": failed}
    endpoint = next((name for name in _COLLECTORS if path.partition("?")[0].rstrip("/").endswith(name)), None)
    if endpoint is None:
        raise AssertionError(f"the corpus cannot read the stream of {path}")
    return _COLLECTORS[endpoint](events)


def _data(content: str) -> Iterable[str]:
    """Yield the data of each event. Only line feeds end a line: JSON may contain other separators."""
    for line in content.split("\n"):
        if line.startswith("data:"):
            yield line.removeprefix("data:").strip(" \r")


def _chat(events: list[JSONObject]) -> JSONObject:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for event in events:
        state.handle_chunk(ChatCompletionChunk.model_validate(event))
    body = cast("JSONObject", state.current_completion_snapshot.model_dump(mode="json", exclude_unset=True))
    for choice in cast("list[JSONObject]", body["choices"]):
        for call in cast("list[JSONObject]", cast("JSONObject", choice["message"]).get("tool_calls") or []):
            call.pop("index", None)
            cast("JSONObject", call.get("function") or {}).pop("parsed_arguments", None)
    return body


def _completion(events: list[JSONObject]) -> JSONObject:
    texts: dict[object, JSONObject] = {}
    for event in events:
        for choice in cast("list[JSONObject]", event["choices"]):
            joined = texts.setdefault(choice["index"], {**choice, "text": ""})
            joined |= {**choice, "text": f"{joined['text']}{choice['text']}"}
    return {**events[0], "choices": list(texts.values())}


def _response(events: list[JSONObject]) -> JSONObject:
    return cast("JSONObject", events[-1]["response"])


def _message(events: list[JSONObject]) -> JSONObject:
    message: JSONObject = {}
    blocks: dict[object, Block] = {}
    arguments: dict[object, str] = {}
    for event in events:
        index = event.get("index")
        match event["type"]:
            case "message_start":
                message = dict(cast("JSONObject", event["message"]))
            case "content_block_start":
                blocks[index] = dict(cast("Block", event["content_block"]))
            case "content_block_delta":
                delta = cast("JSONObject", event["delta"])
                if field := _DELTA_FIELDS.get(str(delta["type"])):
                    blocks[index][field] = f"{blocks[index].get(field) or ''}{delta[field]}"
                elif delta["type"] == "input_json_delta":
                    arguments[index] = f"{arguments.get(index, '')}{delta['partial_json']}"
            case "message_delta":
                message |= cast("JSONObject", event["delta"])
            case _:
                pass
    for position, text in arguments.items():
        if text:
            blocks[position]["input"] = json.loads(text)
    return {**message, "content": list(blocks.values())}


_COLLECTORS: Mapping[str, Callable[[list[JSONObject]], JSONObject]] = {
    "/chat/completions": _chat,
    "/completions": _completion,
    "/responses": _response,
    "/messages": _message,
}
"""By the end of the path, the longest first."""
