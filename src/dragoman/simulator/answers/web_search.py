"""The web search server tool: a search that finds one invented page, and a text that cites the page."""

import re

from dragoman.core.messages import Block, JSONObject
from dragoman.simulator.json_values import text_of
from dragoman.simulator.request import ApiRequest, Prompt

_SEARCH = re.compile(r"\bsearch the web for\s+[\"“]?(?P<query>[^\"”\n]+)", re.IGNORECASE)


def web_search(request: ApiRequest, prompt: Prompt) -> list[Block]:
    """Answer with a search, its result, and a text with a citation, if the tool is offered and the prompt asks."""
    is_offered = any(text_of(tool.get("type")).startswith("web_search_") for tool in request.tools)
    match = _SEARCH.search(prompt.text)
    if not is_offered or match is None:
        return []
    query = match["query"].strip(" .")
    id_ = f"srvtoolu_{len(request.messages):024d}"
    page: JSONObject = {
        "type": "web_search_result",
        "title": f"About {query}",
        "url": "https://example.com/found",
        "encrypted_content": "c2ltdWxhdGVk",
        "page_age": "1 November 2026",
    }
    citation: JSONObject = {
        "type": "web_search_result_location",
        "url": page["url"],
        "title": page["title"],
        "encrypted_index": "MA==",
        "cited_text": f"A page about {query}.",
    }
    return [
        {"type": "server_tool_use", "id": id_, "name": "web_search", "input": {"query": query}},
        {"type": "web_search_tool_result", "tool_use_id": id_, "content": [page]},
        {"type": "text", "text": "I searched the web. "},
        {"type": "text", "text": f"One page is about {query}.", "citations": [citation]},
    ]
