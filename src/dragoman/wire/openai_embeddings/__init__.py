"""The OpenAI embeddings dialect."""

from dragoman.wire.openai_embeddings.codec import OpenAIEmbeddings
from dragoman.wire.openai_embeddings.request import EmbeddingsRequest

__all__ = ["EmbeddingsRequest", "OpenAIEmbeddings"]
