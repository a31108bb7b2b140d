"""Looks up what a request to `/v1/responses` needs of earlier ones: its conversation, and items that it names."""

from collections.abc import Callable, Mapping, Sequence

from dragoman.core.errors import InvalidRequest, NotFound
from dragoman.dialects.responses.continuation import History, previous_response_id
from dragoman.dialects.responses.dialect import ResponsesDialect
from dragoman.dialects.responses.references import Reference, ReferencedItem, item_references
from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.server.body_budget import BodyBudget
from dragoman.server.context import RequestContext
from dragoman.server.stored.service import StoredResponseService


class ConversationLoader:
    """Loads what a request uses of stored responses: the conversation that it continues, and items that it refers to.

    These are `previous_response_id` and `item_reference`.

    Args:
        service: The stored responses; None: this gateway stores none.
        dialect: The responses dialect.
        bodies: Runs what reads large bodies.
    """

    def __init__(self, service: StoredResponseService | None, dialect: ResponsesDialect, bodies: BodyBudget) -> None:
        self._service = service
        self._dialect = dialect
        self._bodies = bodies

    async def prepare(self, context: RequestContext, raw: bytes) -> Callable[[], ResponsesRequest]:
        """Return the function that decodes a request body, given what it uses of stored responses.

        Raises:
            InvalidRequest: The previous response is not stored, or not all of its conversation is.
            NotFound: An item is not stored.
            StoreFailed: The store failed.
        """
        dialect, service = self._dialect.for_client(context.client), self._service
        if service is None:
            return lambda: dialect.decode(raw, context.headers)
        previous, named_items = await self._bodies.run(
            len(raw), lambda: (previous_response_id(raw), item_references(raw))
        )
        if previous is None and not named_items:
            return lambda: dialect.decode(raw, context.headers)
        history = None if previous is None else await self._load(service, context.client, previous)
        references = await self._find_items(service, context.client, named_items)
        return lambda: dialect.decode_continuation(raw, history, references)

    async def _find_items(
        self, service: StoredResponseService, owner: str, named_items: Sequence[Reference]
    ) -> Mapping[str, ReferencedItem]:
        stored_format = self._dialect.stored_format.for_client(owner)
        documents: dict[str, bytes | None] = {}
        found: dict[str, ReferencedItem] = {}
        for reference in named_items:
            response_id = stored_format.response_of_item(reference.id)
            if response_id and response_id not in documents:
                entry = await service.find(owner, response_id, stored_format)
                documents[response_id] = entry.body if entry else None
            document = documents.get(response_id or "")
            item = stored_format.find_item(document, reference.id) if document else None
            if item is None:
                raise NotFound(
                    f"There is no stored item `{reference.id[:80]}`: its response was not stored, was deleted, or has "
                    "expired. Send the item itself in `input`.",
                    param=reference.param,
                )
            found[reference.id] = item
        return found

    async def _load(self, service: StoredResponseService, owner: str, id_: str) -> History:
        stored_format = self._dialect.stored_format
        await service.find(owner, id_, stored_format)  # marks it as failed if its gateway is gone
        chain = await service.store.chain(owner, id_)
        if not chain or chain[0].parent is not None or chain[-1].kind != stored_format.kind:
            raise InvalidRequest(
                f"There is no stored response `{id_[:80]}` to continue, or a part of its conversation is gone. "
                "Send the earlier items in `input`.",
                code="previous_response_not_found",
                param="previous_response_id",
            )
        return stored_format.history([entry.body for entry in chain])
