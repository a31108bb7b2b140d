"""Anthropic's own dialect: `/v1/messages`, `/v1/messages/count_tokens`, and the list of models."""

from dragoman.wire.anthropic_messages.codec import AnthropicMessages
from dragoman.wire.anthropic_messages.models import model_info, model_page

__all__ = ["AnthropicMessages", "model_info", "model_page"]
