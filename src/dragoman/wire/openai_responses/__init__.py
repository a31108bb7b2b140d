"""The OpenAI responses dialect."""

from dragoman.wire.openai_responses.codec import OpenAIResponses
from dragoman.wire.openai_responses.request import ResponsesRequest

__all__ = ["OpenAIResponses", "ResponsesRequest"]
