"""The OpenAI text completions dialect, the one before chats."""

from dragoman.wire.openai_completions.codec import OpenAICompletions
from dragoman.wire.openai_completions.request import CompletionRequest

__all__ = ["CompletionRequest", "OpenAICompletions"]
