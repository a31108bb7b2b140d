"""Images and documents."""

from collections.abc import Iterator

from dragoman.core.messages import Block, JSONObject
from dragoman.simulator.faults import refuse
from dragoman.simulator.json_values import object_of, objects_of, text_of
from dragoman.simulator.media import IMAGE_MAGIC, PDF_MAGIC, decoded, image_type
from dragoman.simulator.request import Call
from dragoman.simulator.rules.messages import placed_blocks

_IMAGE_SOURCES = frozenset({"base64", "url", "file"})
_DOCUMENT_SOURCES = frozenset({"base64", "text", "content", "url", "file"})


def images(call: Call) -> None:
    """Base64 that decodes to an image of the type it names; URLs and files are not fetched."""
    for path, block in _media(call, "image"):
        source = _source(path, block, _IMAGE_SOURCES)
        if source["type"] == "base64":
            _check_image(f"{path}.image.source.base64", source)
        elif source["type"] == "url":
            _check_url(f"{path}.image.source.url", source)


def documents(call: Call) -> None:
    """PDF in base64, plain text, blocks, URLs and files."""
    for path, block in _media(call, "document"):
        source = _source(path, block, _DOCUMENT_SOURCES)
        if source["type"] == "base64":
            _check_pdf(f"{path}.document.source.base64", source)
        elif source["type"] == "text" and source.get("media_type") != "text/plain":
            raise refuse(f"{path}.document.source.text.media_type: Input should be 'text/plain'")
        elif source["type"] == "url":
            _check_url(f"{path}.document.source.url", source)


def count(call: Call) -> None:
    """No more images than the model takes."""
    found = sum(1 for _ in _media(call, "image"))
    if found > call.model.max_images:
        raise refuse(f"Too much media: 0 document pages + {found} images > {call.model.max_images}")


def _media(call: Call, kind: str) -> Iterator[tuple[str, Block]]:
    """The blocks of a kind, those inside tool results included."""
    for path, _role, block in placed_blocks(call):
        if block["type"] == kind:
            yield path, block
        elif block["type"] == "tool_result":
            for place, inner in enumerate(objects_of(block.get("content"))):
                if inner.get("type") == kind:
                    yield f"{path}.tool_result.content.{place}", inner


def _source(path: str, block: Block, kinds: frozenset[str]) -> JSONObject:
    source = object_of(block.get("source"))
    if source.get("type") not in kinds:
        tags = ", ".join(f"'{kind}'" for kind in sorted(kinds))
        raise refuse(
            f"{path}.{block['type']}.source: Input tag '{source.get('type')}' found using 'type' does not match any of "
            f"the expected tags: {tags}"
        )
    return source


def _check_image(path: str, source: JSONObject) -> None:
    named = text_of(source.get("media_type"))
    if named not in IMAGE_MAGIC:
        raise refuse(f"{path}.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'")
    data = decoded(text_of(source.get("data")))
    if data is None:
        raise refuse(f"{path}: invalid base64 data")
    found = image_type(data)
    if found is None:
        raise refuse(f"{path}.data: Could not process image")
    if found != named:
        raise refuse(
            f"{path}: The image was specified using the {named} media type, but the image appears to be a {found} image"
        )


def _check_pdf(path: str, source: JSONObject) -> None:
    if source.get("media_type") != "application/pdf":
        raise refuse(f"{path}.media_type: Input should be 'application/pdf'")
    data = decoded(text_of(source.get("data")))
    if data is None:
        raise refuse(f"{path}: invalid base64 data")
    if not data.startswith(PDF_MAGIC):
        raise refuse(f"{path}.data: The PDF specified was not valid.")


def _check_url(path: str, source: JSONObject) -> None:
    if not text_of(source.get("url")).startswith(("https://", "http://")):
        raise refuse(f"{path}.url: Only HTTPS URLs are supported.")
