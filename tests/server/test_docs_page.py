"""The page that shows the API: its content and its content security policy."""

import base64
import hashlib
import re

import jsonschema
import pytest
from scripted import clean, replies, served

from dragoman.backends.embeddings.library import AbsentEmbedder
from dragoman.core.messages import JSONObject
from dragoman.server.docs.page import render_page
from dragoman.server.routes import ROUTES

_clean = pytest.fixture(autouse=True)(clean)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_page_loads_nothing(path: str) -> None:
    """The page works without a network. Its policy allows only its own script and style."""
    async with served(replies("Hello")) as gateway:
        page = await gateway.http.get(path)
    assert not re.search(r"<(script|link|img|iframe)[^>]* (src|href)=\"(?!data:)", page.text)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    for tag in ("script", "style"):
        [text] = re.findall(f"<{tag}>(.*?)</{tag}>", page.text, re.DOTALL)
        hashed = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{hashed}'" in policy


async def test_everything_of_the_document_is_shown() -> None:
    """Each operation has its section, and each schema that is named can be gone to."""
    async with served(replies("Hello")) as gateway:
        page = (await gateway.http.get("/docs")).text
        reading = (await gateway.http.get("/redoc")).text
        document = (await gateway.http.get("/openapi.json")).json()
    shown = set(re.findall(r'data-method="(\w+)" data-path="([^"]+)"', page))
    assert shown == {
        (method, path) for path, operations in document["paths"].items() for method in operations.keys() & METHODS
    }
    targets, anchors = set(re.findall(r'href="#([^"]+)"', page)), re.findall(r' id="([^"]+)"', page)
    assert targets <= set(anchors)
    assert len(anchors) == len(set(anchors))
    assert "dragoman.dialects" not in page
    assert "<form" not in reading
    assert anchors == [name for name in re.findall(r' id="([^"]+)"', reading) if name != "reading"]


EXAMPLES = {
    route.canonical_path: route.operation.example for route in ROUTES if route.operation and route.operation.example
}
METHODS = {"get", "post", "put", "delete", "patch"}


async def test_examples() -> None:
    """Each request that the page offers to send fits its schema, and is answered, where this gateway has the means."""
    async with served(replies("Hello"), embedder=AbsentEmbedder("all-MiniLM-L6-v2")) as gateway:
        document = (await gateway.http.get("/openapi.json")).json()
        responses = {path: await gateway.http.post(path, json=example) for path, example in EXAMPLES.items()}
    for path, example in EXAMPLES.items():
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert content["example"] == example
        jsonschema.validate(example, content["schema"] | {"components": document["components"]})
    refused = {path: response.text for path, response in responses.items() if not response.is_success}
    assert refused.keys() == {"/v1/embeddings", "/v1/messages/count_tokens"}
    assert "not_installed" in refused["/v1/embeddings"]
    assert "cannot_count" in refused["/v1/messages/count_tokens"]


def test_document_text_is_escaped() -> None:
    """No text of the document becomes markup, except code in backquotes."""
    operation: JSONObject = {"summary": "<b>Bold</b> and `code`", "responses": {"200": {"description": "<i>"}}}
    document: JSONObject = {
        "info": {"title": "<t>", "version": "1", "description": "<d>"},
        "paths": {"/x": {"get": operation}},
        "components": {"schemas": {"a.b.Shape": {"type": "object", "description": "<s>", "properties": {"<f>": {}}}}},
    }
    html = render_page(document).html
    assert "&lt;b&gt;Bold&lt;/b&gt; and <code>code</code>" in html
    assert not any(f"<{tag}>" in html for tag in ("t", "d", "i", "s", "f"))
    assert 'id="schema-Shape"' in html
