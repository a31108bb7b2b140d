"""Which names mean the one embedding model that there is."""

from collections.abc import Mapping

from dragoman.errors import NotFound

OPENAI_NAMES = ("text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002")


def check_name(asked: str | None, model: str, aliases: Mapping[str, str]) -> str:
    """The name that the client used, if it means the model; the model's own where it used none.

    Args:
        asked: What the client sent.
        model: The model's own name. What follows its last `/` means it, too.
        aliases: The operator's own names for models.

    Raises:
        NotFound: `model_not_found`.
    """
    if asked is None:
        return model
    if aliases.get(asked, asked) in {*OPENAI_NAMES, model, model.rpartition("/")[2]}:
        return asked
    known = ", ".join(f"`{name}`" for name in (model, *OPENAI_NAMES))
    raise NotFound(
        f"The model `{asked[:100]}` makes no embeddings here. These names do: {known}.",
        code="model_not_found",
        param="model",
    )
