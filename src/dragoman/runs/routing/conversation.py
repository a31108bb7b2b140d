"""What tells conversations apart where they are to stay with one account: cheap, and the same on every machine."""

from collections.abc import Iterable
from hashlib import blake2b

from dragoman.messages import Block, MessagesRequest

_ENDS = 2000
_BYTES = 8


def conversation_of(body: MessagesRequest) -> bytes:
    """The name of a conversation: by its system prompt and its first message, which all its turns have in common.

    Of long texts the ends are enough. Conversations that begin with the same words share a name, and so the account,
    and so the cached beginning of their prompts.
    """
    name = blake2b(digest_size=_BYTES)
    for blocks in (body.get("system") or (), *(message["content"] for message in body["messages"][:1])):
        for part in _parts(blocks):
            name.update(part.encode(errors="surrogatepass"))
    return name.digest()


def rank_of(account: bytes, conversation: bytes) -> bytes:
    """Where an account stands for a conversation among its equals: each conversation has an order of its own."""
    return blake2b(conversation, key=account, digest_size=_BYTES).digest()


def _parts(blocks: Iterable[Block]) -> Iterable[str]:
    for block in blocks:
        text = block.get("text")
        if isinstance(text, str):
            yield text if len(text) <= 2 * _ENDS else f"{len(text)}{text[:_ENDS]}{text[-_ENDS:]}"
        else:
            source = block.get("source")
            data = source.get("data") or source.get("url") or source.get("file_id") if isinstance(source, dict) else ""
            yield f"{block.get('type')}{str(data)[-_ENDS:]}"
