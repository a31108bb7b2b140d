"""A request for each endpoint that takes one, which works as it stands."""

from typing import cast

from dragoman.messages import JSON, JSONObject

_QUESTION: JSON = [{"role": "user", "content": "Reply with exactly: PONG"}]

EXAMPLES: dict[str, JSONObject] = {
    "/v1/chat/completions": {"model": "sonnet", "messages": _QUESTION, "stream": True},
    "/v1/completions": {"model": "sonnet", "prompt": "Count to 5", "max_tokens": 100},
    "/v1/responses": {"model": "sonnet", "input": "Reply with exactly: PONG"},
    "/v1/embeddings": {"model": "all-MiniLM-L6-v2", "input": ["The word comes from Arabic."]},
    "/v1/messages": {"model": "claude-sonnet-5-5", "max_tokens": 1000, "messages": _QUESTION},
    "/v1/messages/count_tokens": {"model": "claude-sonnet-5-5", "messages": _QUESTION},
}


def with_examples(document: JSONObject) -> JSONObject:
    """Put each example where its path describes the body."""
    paths = cast("dict[str, dict[str, JSONObject]]", document["paths"])
    for path, example in EXAMPLES.items():
        content = cast("dict[str, dict[str, JSONObject]]", paths[path]["post"]["requestBody"])["content"]
        content["application/json"]["example"] = example
    return document
