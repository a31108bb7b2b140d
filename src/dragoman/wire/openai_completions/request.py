"""What the text completions dialect remembers of a request until its answer is encoded."""

from dragoman.messages import MessagesRequest
from dragoman.values import unchanging
from dragoman.wire.base import Decoded


@unchanging(kw_only=True)
class CompletionRequest(Decoded):
    """A text completions request, understood.

    Attributes:
        bodies: The canonical requests, one for each prompt.
        prompts: What is continued.
        echo: Whether each answer begins with its prompt.
        include_usage: Whether the stream ends with a chunk that holds the usage.
    """

    bodies: tuple[MessagesRequest, ...]
    prompts: tuple[str, ...]
    echo: bool = False
    include_usage: bool = False

    def body_of(self, choice: int) -> MessagesRequest:
        """The request of the prompt that a choice continues."""
        return self.bodies[self._prompt_of(choice)]

    def opening(self, choice: int) -> str:
        """What a choice's text begins with before the model has said anything."""
        return self.prompts[self._prompt_of(choice)] if self.echo else ""

    def _prompt_of(self, choice: int) -> int:
        """OpenAI counts all answers to the first prompt, then those to the second."""
        return choice // (self.choices // len(self.prompts))
