"""`docs/chat-fields.md`: every field of a chat request, and what becomes of it, found out by asking the decoder."""

from dragoman.cli.pages.fields.page import chat_fields_page
from dragoman.cli.pages.fields.probes import PROBES, Probe

__all__ = ["PROBES", "Probe", "chat_fields_page"]
