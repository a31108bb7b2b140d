"""Answers in plain words.

The web search server tool: a search that finds one invented page, and a text that cites it.

Whether the model thinks first, and what it shows of it.
"""

import re

import msgspec

from dragoman.core.messages import Block, JSONObject
from dragoman.simulator.json_values import object_of, text_of
from dragoman.simulator.request import Call, Prompt
from dragoman.simulator.signing import binding_of, sign

_EXACTLY = re.compile(r"reply with exactly:[ \t]*(?P<said>[^\n]*)", re.IGNORECASE)
_COUNT = re.compile(r"\bcount to (?P<n>\d{1,6})\b", re.IGNORECASE)
_REPEAT = re.compile(r"\brepeat (?P<n>\d{1,6}) times:[ \t]*(?P<what>[^\n]+)", re.IGNORECASE)
_JSON = re.compile(r"\b(?:a|one|valid)\s+(?:single\s+|valid\s+|small\s+)?JSON object\b", re.IGNORECASE)


def say(prompt: Prompt) -> str:
    """The words that follow the prompt's plain request, or an echo."""
    if m := _EXACTLY.search(prompt.text):
        return m["said"].strip()
    if m := _COUNT.search(prompt.text):
        return " ".join(str(i) for i in range(1, int(m["n"]) + 1))
    if m := _REPEAT.search(prompt.text):
        return " ".join([m["what"].strip()] * int(m["n"]))
    if _JSON.search(prompt.text):
        return json_object(prompt)
    return _echo(prompt)


def json_object(prompt: Prompt) -> str:
    """A small JSON object: the prompt's quoted strings as values, or the prompt itself."""
    quoted = prompt.quoted()
    fields = {f"value_{i}": value for i, value in enumerate(quoted, 1)} if quoted else {"answer": prompt.text}
    return msgspec.json.encode(fields).decode()


def _echo(prompt: Prompt) -> str:
    said = " ".join(filter(None, (prompt.text, *prompt.attachments)))
    return f"You said: {said}" if said else "You said nothing."


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


_SHORT = 60
_SENTENCES = {"low": 0, "medium": 1, "high": 2, "xhigh": 3, "max": 4}
_REDACTED = "Simulate: redacted thinking"


def thoughts(call: Call, prompt: Prompt) -> str:
    """What the model thinks; empty where it does not."""
    if not _thinks(call, prompt):
        return ""
    asked = prompt.text[:_SHORT].replace("\n", " ") or "nothing"
    more = _SENTENCES.get(call.effort or "medium", 1)
    return f"The user asks: {asked}." + " I consider it once more." * more


def is_redacted(prompt: Prompt) -> bool:
    """Whether the prompt asks for thinking that may not be shown."""
    return _REDACTED in prompt.text


def is_shown(call: Call) -> bool:
    """Whether the thinking text is answered: by `display`, which is `omitted` on models that always think."""
    display = call.thinking.get("display")
    return display != "omitted" if display else not call.model.always_thinks


def thinking_block(call: Call, text: str, *, redacted: bool) -> Block:
    """The signed block, its text as it is shown."""
    binding = binding_of(call.model, call.prefix, call.credential)
    if redacted:
        return {"type": "redacted_thinking", "data": sign("", binding)}
    return {"type": "thinking", "thinking": text, "signature": sign(text, binding)}


def _thinks(call: Call, prompt: Prompt) -> bool:
    """Adaptive thinking thinks from medium effort on, or where the prompt says so."""
    if _forced(call):
        return False
    match call.thinking.get("type"):
        case "enabled":
            return True
        case "adaptive":
            return call.effort != "low" or call.model.always_thinks or "think" in prompt.text.lower()
        case None:
            return call.model.always_thinks
        case _:
            return False


def _forced(call: Call) -> bool:
    return object_of(call.body.get("tool_choice")).get("type") in ("any", "tool")
