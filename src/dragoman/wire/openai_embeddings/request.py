"""What the embeddings dialect remembers of a request until its answer is encoded."""

from dataclasses import dataclass

from dragoman.notices import Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingsRequest:
    """An embeddings request, understood.

    Attributes:
        inputs: Texts and lists of token ids; none is empty.
        asked: The name that the client used for the model.
        dimensions: The size of vectors that it wants; none for the model's own.
        base64: Whether it wants them packed.
        notices: What was ignored or mapped on the way.
    """

    inputs: tuple[str | list[int], ...]
    asked: str
    dimensions: int | None = None
    base64: bool = False
    notices: tuple[Notice, ...] = ()
