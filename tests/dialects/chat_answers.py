"""Responses of every kind, as blocks of the Messages API, each with its stop reason."""

from dragoman.core.messages import JSONObject

THINKING: JSONObject = {"type": "thinking", "thinking": "Let me see.", "signature": "sig=="}
REDACTED: JSONObject = {"type": "redacted_thinking", "data": "b64=="}
TEXT: JSONObject = {"type": "text", "text": 'Hé "there"\n\u2028 🦊'}
PARIS: JSONObject = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
NOW: JSONObject = {"type": "tool_use", "id": "toolu_2", "name": "get_time", "input": {}}
CUT: JSONObject = {"type": "tool_use", "id": "toolu_3", "name": "get_weather", "input": '{"city": "Pa'}
CITED: JSONObject = {
    "type": "text",
    "text": "It rains.",
    "citations": [
        {"type": "web_search_result_location", "url": "https://a.test/", "title": "A", "cited_text": "rain"},
        {"type": "web_search_result_location", "url": "https://b.test/", "title": None, "cited_text": "rain"},
        {"type": "web_search_result_location", "url": "https://a.test/", "title": "A", "cited_text": "again"},
        {"type": "char_location", "document_index": 0, "cited_text": "no page"},
    ],
}
SEARCH: JSONObject = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "rain"}}
FOUND: JSONObject = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
UNKNOWN: JSONObject = {"type": "hologram", "data": "?"}

ANSWERS: dict[str, tuple[list[JSONObject], str]] = {
    "text": ([TEXT], "end_turn"),
    "stopped": ([TEXT], "stop_sequence"),
    "cut": ([TEXT], "max_tokens"),
    "window": ([TEXT], "model_context_window_exceeded"),
    "nothing": ([], "end_turn"),
    "empty": ([{"type": "text", "text": ""}], "end_turn"),
    "thought": ([THINKING, TEXT], "end_turn"),
    "thought_twice": ([THINKING, REDACTED, {**THINKING, "thinking": ""}, TEXT], "end_turn"),
    "called": ([PARIS], "tool_use"),
    "called_twice": ([THINKING, TEXT, PARIS, NOW], "tool_use"),
    "call_cut": ([CUT], "max_tokens"),
    "searched": ([TEXT, SEARCH, FOUND, CITED, CITED], "end_turn"),
    "refused": ([TEXT], "refusal"),
    "refused_at_once": ([], "refusal"),
    "of_tomorrow": ([UNKNOWN, TEXT], "a_new_reason"),
}
