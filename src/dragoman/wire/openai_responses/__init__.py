"""The OpenAI responses dialect."""

from dragoman.wire.openai_responses.codec import OpenAIResponses
from dragoman.wire.openai_responses.kept import KeptResponses
from dragoman.wire.openai_responses.past import Past, named
from dragoman.wire.openai_responses.request import ResponsesRequest
from dragoman.wire.openai_responses.variants import Compacted, Counted

__all__ = ["Compacted", "Counted", "KeptResponses", "OpenAIResponses", "Past", "ResponsesRequest", "named"]
