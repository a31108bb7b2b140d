"""Rules of images and documents."""

from collections.abc import Iterator

from dragoman.core.media import is_complete_image
from dragoman.core.messages import Block, JSONObject
from dragoman.simulator.errors import invalid_request
from dragoman.simulator.json_values import object_of, objects_of, text_of
from dragoman.simulator.media import IMAGE_MAGIC, PDF_MAGIC, decode_base64, image_type
from dragoman.simulator.request import ApiRequest
from dragoman.simulator.rules.blocks import locate_blocks

_IMAGE_SOURCES = frozenset({"base64", "url", "file"})
_DOCUMENT_SOURCES = frozenset({"base64", "text", "content", "url", "file"})


def images(request: ApiRequest) -> None:
    """Base64 is an image of the given type. URLs and files are not fetched."""
    for path, block in _media_blocks(request, "image"):
        source = _check_source(path, block, _IMAGE_SOURCES)
        if source["type"] == "base64":
            _check_image(f"{path}.image.source.base64", source)
        elif source["type"] == "url":
            _check_url(f"{path}.image.source.url", source)


def documents(request: ApiRequest) -> None:
    """A document is a PDF in base64, plain text, blocks, a URL or a file."""
    for path, block in _media_blocks(request, "document"):
        source = _check_source(path, block, _DOCUMENT_SOURCES)
        if source["type"] == "base64":
            _check_pdf(f"{path}.document.source.base64", source)
        elif source["type"] == "text" and source.get("media_type") != "text/plain":
            raise invalid_request(f"{path}.document.source.text.media_type: Input should be 'text/plain'")
        elif source["type"] == "url":
            _check_url(f"{path}.document.source.url", source)


def max_images(request: ApiRequest) -> None:
    """There are no more images than the model accepts."""
    count = sum(1 for _ in _media_blocks(request, "image"))
    limit = request.model.max_images
    if count > limit:
        raise invalid_request(f"Too much media: 0 document pages + {count} images > {limit}")


def _media_blocks(request: ApiRequest, kind: str) -> Iterator[tuple[str, Block]]:
    """Yield path and block of each block of a type, also in tool results."""
    for located in locate_blocks(request):
        if located.block["type"] == kind:
            yield located.path, located.block
        elif located.block["type"] == "tool_result":
            for index, inner in enumerate(objects_of(located.block.get("content"))):
                if inner.get("type") == kind:
                    yield f"{located.path}.tool_result.content.{index}", inner


def _check_source(path: str, block: Block, types: frozenset[str]) -> JSONObject:
    source = object_of(block.get("source"))
    if source.get("type") not in types:
        tags = ", ".join(f"'{type_}'" for type_ in sorted(types))
        raise invalid_request(
            f"{path}.{block['type']}.source: Input tag '{source.get('type')}' found using 'type' does not match any of "
            f"the expected tags: {tags}"
        )
    return source


def _check_image(path: str, source: JSONObject) -> None:
    given = text_of(source.get("media_type"))
    if given not in IMAGE_MAGIC:
        raise invalid_request(
            f"{path}.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
        )
    data = _decode(path, source)
    found = image_type(data)
    if found is None or not is_complete_image(data):
        raise invalid_request(f"{path}.data: Could not process image")
    if found != given:
        raise invalid_request(
            f"{path}: The image was specified using the {given} media type, but the image appears to be a {found} image"
        )


def _check_pdf(path: str, source: JSONObject) -> None:
    if source.get("media_type") != "application/pdf":
        raise invalid_request(f"{path}.media_type: Input should be 'application/pdf'")
    if not _decode(path, source).startswith(PDF_MAGIC):
        raise invalid_request(f"{path}.data: The PDF specified was not valid.")


def _decode(path: str, source: JSONObject) -> bytes:
    data = decode_base64(text_of(source.get("data")))
    if data is None:
        raise invalid_request(f"{path}: invalid base64 data")
    return data


def _check_url(path: str, source: JSONObject) -> None:
    if not text_of(source.get("url")).startswith(("https://", "http://")):
        raise invalid_request(f"{path}.url: Only HTTPS URLs are supported.")
