"""The OpenAI chat completions dialect."""

from dragoman.wire.openai_chat.codec import OpenAIChat
from dragoman.wire.openai_chat.kept import KeptChats
from dragoman.wire.openai_chat.request import ChatRequest

__all__ = ["ChatRequest", "KeptChats", "OpenAIChat"]
