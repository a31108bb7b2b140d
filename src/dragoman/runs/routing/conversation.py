"""What tells conversations apart where they are to stay with one account: cheap, and the same on every machine."""

from collections.abc import Iterable
from hashlib import blake2b

from dragoman.messages import Block, MessagesRequest

_ENDS = 2000
_BYTES = 8
_MASK = (1 << 64) - 1


def conversation_of(body: MessagesRequest) -> int:
    """The name of a conversation: by its system prompt and its first message, which all its turns have in common.

    Of long texts the ends are enough. Conversations that begin with the same words share a name, and so the account,
    and so the cached beginning of their prompts.
    """
    name = blake2b(digest_size=_BYTES)
    for blocks in (body.get("system") or (), *(message["content"] for message in body["messages"][:1])):
        for part in _parts(blocks):
            name.update(part.encode(errors="surrogatepass"))
    return int.from_bytes(name.digest())


def seed_of(account: str) -> int:
    """What `rank_of` needs to know of an account: the same for its name everywhere."""
    return int.from_bytes(blake2b(account.encode(), digest_size=_BYTES).digest()) | 1


def rank_of(seed: int, conversation: int) -> int:
    """Where an account stands for a conversation among its equals: each conversation has an order of its own."""
    return (conversation * seed) & _MASK


def _parts(blocks: Iterable[Block]) -> Iterable[str]:
    for block in blocks:
        text = block.get("text")
        if isinstance(text, str):
            yield text if len(text) <= 2 * _ENDS else f"{len(text)}{text[:_ENDS]}{text[-_ENDS:]}"
        else:
            source = block.get("source")
            data = source.get("data") or source.get("url") or source.get("file_id") if isinstance(source, dict) else ""
            yield f"{block.get('type')}{str(data)[-_ENDS:]}"
