"""The web search server tool: a search that finds one invented page, and a text that cites it."""

import re

from dragoman.messages import Block, JSONObject
from dragoman.simulator.call import Call
from dragoman.simulator.prompts import Prompt
from dragoman.simulator.shapes import text_of

_SEARCH = re.compile(r"\bsearch the web for\s+[\"“]?(?P<query>[^\"”\n]+)", re.IGNORECASE)


def search(call: Call, prompt: Prompt) -> list[Block]:
    """`server_tool_use`, `web_search_tool_result` and a text with citations, where the prompt asks for a search."""
    offered = any(text_of(tool.get("type")).startswith("web_search_") for tool in call.tools)
    asked = _SEARCH.search(prompt.text)
    if not offered or asked is None:
        return []
    query = asked["query"].strip(" .")
    id_ = f"srvtoolu_{len(call.messages):024d}"
    page = _page(query)
    return [
        {"type": "server_tool_use", "id": id_, "name": "web_search", "input": {"query": query}},
        {"type": "web_search_tool_result", "tool_use_id": id_, "content": [page]},
        {"type": "text", "text": "I searched the web. "},
        {"type": "text", "text": f"One page is about {query}.", "citations": [_citation(query, page)]},
    ]


def _page(query: str) -> JSONObject:
    return {
        "type": "web_search_result",
        "title": f"About {query}",
        "url": "https://example.com/found",
        "encrypted_content": "c2ltdWxhdGVk",
        "page_age": "1 November 2026",
    }


def _citation(query: str, page: JSONObject) -> JSONObject:
    return {
        "type": "web_search_result_location",
        "url": page["url"],
        "title": page["title"],
        "encrypted_index": "MA==",
        "cited_text": f"A page about {query}.",
    }
