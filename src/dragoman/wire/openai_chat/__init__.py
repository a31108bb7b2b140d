"""The OpenAI chat completions dialect."""

from dragoman.wire.openai_chat.codec import OpenAIChat
from dragoman.wire.openai_chat.request import ChatOptions, ChatRequest

__all__ = ["ChatOptions", "ChatRequest", "OpenAIChat"]
