"""The API's limits on images, and image sizes from their headers."""

import base64
import struct

import pytest
from chat_support import NEWEST, OLD, PNG, decode

from dragoman.core.errors import InvalidRequest
from dragoman.core.media import image_size, size_of
from dragoman.core.messages import JSON

SOF = b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", 300, 400)


def _png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height)


@pytest.mark.parametrize(
    "head",
    [
        _png(400, 300),
        b"GIF87a" + struct.pack("<HH", 400, 300),
        b"\xff\xd8" + SOF,
        b"\xff\xd8\xff\xe1\x00\x06....\xff\xff\xc4\x00\x02" + SOF,
        b"RIFF....WEBPVP8 " + bytes(10) + struct.pack("<HH", 400 | 0x4000, 300),
        b"RIFF....WEBPVP8L...." + b"\x2f" + struct.pack("<I", 399 | 299 << 14),
        b"RIFF....WEBPVP8X" + bytes(8) + struct.pack("<HBHB", 399, 0, 299, 0),
    ],
)
def test_image_sizes(head: bytes) -> None:
    """For each format; a cut header has no size."""
    assert image_size(head) == (400, 300)
    assert image_size(head + bytes(8)) == (400, 300)
    for end in range(len(head)):
        assert image_size(head[:end]) is None


@pytest.mark.parametrize("head", [b"", b"BM", b"\xff\xd8\xff\xd9", b"RIFF....WEBPXXXX" + bytes(20), b"\xff\xd8rubbish"])
def test_unreadable_headers_have_no_size(head: bytes) -> None:
    """They are not images, or are damaged."""
    assert image_size(head) is None


def _image(data: bytes) -> JSON:
    """Return a part with an image that begins with these bytes and has an end."""
    return _part(data + b"IEND\xff\xd9")


def _part(data: bytes) -> JSON:
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(data).decode()}"}}


def _parts(*sizes: tuple[int, int]) -> list[JSON]:
    return [_image(_png(*size)) for size in sizes]


def test_a_jpeg_of_countless_markers_is_given_up() -> None:
    """Millions of fill bytes would take seconds to skip."""
    frame = b"\xff\xc0\x00\x0b\x08\x00\x10\x00\x20\x01\x01\x11\x00"
    assert image_size(b"\xff\xd8" + b"\xff" * 100 + frame) == (32, 16)
    assert image_size(b"\xff\xd8" + b"\xff" * 1_000_000 + frame) is None


def test_a_jpeg_size_far_from_the_start() -> None:
    """Cameras write long segments before it. Decoders skip data between segments, and so does the gateway."""
    segment = b"\xff\xe1\xff\xff" + bytes(0xFFFD)
    far = b"\xff\xd8" + 4 * segment + b"rubbish" + SOF
    [placed] = decode([{"role": "user", "content": [_image(far)]}]).media
    assert size_of(placed.block) == (400, 300)


@pytest.mark.parametrize(
    ("parts", "where", "code"),
    [
        (_parts((8000, 1), (1, 8001)), 1, "image_too_large"),
        (_parts(*[(2000, 2000)] * 20, (2001, 1)), 20, "image_too_large"),
        (_parts((5, 5), (0, 5)), 1, "invalid_image"),
        ([_part(_png(5, 5)[:-1])], 0, "invalid_image"),
    ],
)
def test_too_large_or_damaged_images_are_refused(parts: list[JSON], where: int, code: str) -> None:
    """The error names the first one. Some backends would refuse a damaged image, others describe it."""
    with pytest.raises(InvalidRequest) as caught:
        decode([{"role": "user", "content": parts}])
    assert (caught.value.code, caught.value.param) == (code, f"messages[0].content[{where}].image_url.url")


@pytest.mark.parametrize("sizes", [[(8000, 8000)] * 20, [(2000, 2000)] * 21])
def test_images_at_the_limits_are_accepted(sizes: list[tuple[int, int]]) -> None:
    """All of them are reported as media."""
    assert len(decode([{"role": "user", "content": _parts(*sizes)}]).media) == len(sizes)


@pytest.mark.parametrize(("model", "most"), [(OLD, 100), (NEWEST, 600)])
def test_too_many_images_are_refused(model: str, most: int) -> None:
    """By URL or inline; files do not count."""
    inline: JSON = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    linked: JSON = {"type": "image_url", "image_url": "https://x.test/a.png"}
    file: JSON = {"type": "file", "file": {"file_data": "aGk="}}
    parts = [file, inline, *[linked] * (most - 1)]
    assert len(decode([{"role": "user", "content": parts}], model=model).media) == most + 1
    with pytest.raises(InvalidRequest, match=str(most)) as caught:
        decode([{"role": "user", "content": [*parts, inline]}], model=model)
    assert (caught.value.code, caught.value.param) == (
        "too_many_images",
        f"messages[0].content[{most + 1}].image_url.url",
    )


@pytest.mark.parametrize(
    ("image", "end"),
    [
        (base64.b64decode(PNG), 30),
        (_png(400, 300) + bytes(9000) + b"IEND\xaeB`\x82", -8),
        (b"\xff\xd8" + SOF + bytes(9000) + b"\xff\xd9", -1),
        (b"GIF89a" + struct.pack("<HH", 400, 300) + bytes(9000) + b"\x00;", -1),
        (b"RIFF" + struct.pack("<I", 9022) + b"WEBPVP8 " + bytes(10) + struct.pack("<HH", 400, 300) + bytes(9000), -1),
    ],
    ids=["small png", "png", "jpeg", "gif", "webp"],
)
def test_an_image_that_is_cut_behind_its_header_is_refused(image: bytes, end: int) -> None:
    """By its path. The complete image is accepted, also with bytes after its end."""
    for complete in (image, image + bytes(9000)):
        decode([{"role": "user", "content": [_part(complete)]}])
    with pytest.raises(InvalidRequest) as caught:
        decode([{"role": "user", "content": [_part(image[:end])]}])
    assert (caught.value.code, caught.value.param) == ("invalid_image", "messages[0].content[0].image_url.url")
