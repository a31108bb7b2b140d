"""Images and documents of the OpenAI dialects."""

import base64
from urllib.parse import quote

import pytest
from chat_support import PNG

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.dialects.shared.media_blocks import document_block, image_block


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0....", "image/jpeg"),
        (b"GIF87a....", "image/gif"),
        (b"GIF89a....", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
    ],
)
def test_an_images_type_comes_from_its_bytes(data: bytes, media_type: str) -> None:
    """Not from the data URL."""
    block = image_block(f"data:image/x-wrong;name=a;base64,{_b64(data)}", "p")
    assert block == {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": _b64(data)}}


def test_line_breaks_and_missing_padding_are_corrected() -> None:
    """OpenAI accepts them; the API does not."""
    broken = PNG[:20] + "\r\n" + PNG[20:].rstrip("=")
    source = image_block(f"data:image/png;base64,{broken}", "p")["source"]
    assert isinstance(source, dict)
    assert source["data"] == PNG


@pytest.mark.parametrize(
    "url",
    [
        PNG,
        f"data:image/jpg;base64,{PNG}",
        f"data:image/png;base64,{PNG.replace('+', '-').replace('/', '_').rstrip('=')}",
        f"data:image/png;base64,{quote(PNG, safe='')}",
        f"data:;base64,{PNG}",
        quote(PNG, safe=""),
    ],
)
def test_every_form_of_base64_is_understood(url: str) -> None:
    """Bare, url-safe, percent-encoded, and with a media type that does not exist."""
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    assert image_block(url, "p") == {"type": "image", "source": source}


@pytest.mark.parametrize("url", ["https://x.test/a.png", "http://x.test/a.png", "HTTPS://x.test/a.png"])
def test_urls_are_not_fetched_by_the_dialect(url: str) -> None:
    """It does no I/O, and does not decide whether http is allowed."""
    source = {"type": "url", "url": url}
    assert image_block(url, "p") == {"type": "image", "source": source}
    assert document_block(url, "a.pdf", "p") == {"type": "document", "source": source, "title": "a.pdf"}


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://x.test/a.png", "unsupported_image_url"),
        ("file:///etc/passwd", "unsupported_image_url"),
        ("no address", "invalid_image_url"),
        ("", "invalid_image_url"),
        ("data:image/png,abc", "invalid_data_url"),
        ("data:image/png;base64,!!!!", "invalid_base64"),
        (f"data:image/png;base64,{_b64(b'BM bitmap')}", "unsupported_image"),
        ("data:image/png;base64,", "unsupported_image"),
    ],
)
def test_invalid_images_are_refused_by_name(url: str, code: str) -> None:
    """With the field and the reason."""
    with pytest.raises(InvalidRequest) as caught:
        image_block(url, "messages[0].content[1].image_url.url")
    assert (caught.value.code, caught.value.param) == (code, "messages[0].content[1].image_url.url")


@pytest.mark.parametrize("prefix", ["", "data:application/octet-stream;base64,"])
def test_a_pdf_is_recognized_by_its_bytes(prefix: str) -> None:
    """As data URL or plain base64, with its name as title."""
    data = _b64(b"%PDF-1.1\n%%EOF")
    assert document_block(prefix + data, "a.pdf", "p") == {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": data},
        "title": "a.pdf",
    }


def test_plain_text_becomes_a_text_document() -> None:
    """Decoded: the API requires text as text."""
    assert document_block(_b64("héllo".encode()), None, "p") == {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "héllo"},
    }


def test_a_byte_order_mark_is_removed() -> None:
    """Some editors on Windows write one."""
    assert document_block(_b64("\ufeffhéllo".encode()), None, "p")["source"] == {
        "type": "text",
        "media_type": "text/plain",
        "data": "héllo",
    }


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xff\xfe\x00", "unsupported_file"),
        (b"PK\x03\x04\x00\x00", "unsupported_file"),
        (b"  ", "invalid_file"),
        (b"", "invalid_file"),
    ],
)
def test_invalid_files_are_refused_by_name(data: bytes, code: str) -> None:
    """With the reason as code."""
    with pytest.raises(InvalidRequest) as caught:
        document_block(_b64(data), "a.bin", "p")
    assert (caught.value.code, caught.value.param) == (code, "p")


def test_an_unsupported_image_is_an_unsupported_feature() -> None:
    """The request is valid; the gateway does not support it."""
    with pytest.raises(UnsupportedFeature):
        image_block("ftp://x.test/a.png", "p")
    with pytest.raises(UnsupportedFeature) as caught:
        document_block("file:///etc/passwd", None, "p")
    assert caught.value.code == "unsupported_file_url"
