"""`/conversations` and below: what a client keeps on the server, item by item.

Not here: turns within a conversation, which `shim.exchange` reads, locks and appends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import from_json, to_json

from shim.errors import ClientFault
from shim.exchange.recall import Recall
from shim.http.bodies import BYTE_ORDER_MARK, bounded_object, read_body
from shim.http.call import Call
from shim.http.lists import checked, item_list, window_of
from shim.http.replies import json_reply
from shim.http.services import Services
from shim.store.records import Conversation as StoredConversation
from shim.store.records import Item, item_of
from shim.wire import conversations as wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from shim.store.protocol import Conversations
    from shim.wire.base import Json


async def create_conversation(request: Request) -> Response:
    """`POST /conversations`; an empty body makes an empty conversation."""
    asked = _Asked(request)
    body = await _body(request, optional=True)
    checked(wire.CreateConversation, body)
    items = await asked.new_items(body.get("items") or [])
    source = asked.services.exchange.source
    metadata = to_json(body.get("metadata") or {})
    made = StoredConversation(asked.owner, source.new_id("conv"), source.now(), metadata)
    await asked.kept.create(made, items)
    return json_reply(_shown(made))


async def retrieve_conversation(request: Request) -> Response:
    """`GET /conversations/{id}`."""
    return json_reply(await _Asked(request).conversation())


async def update_conversation(request: Request) -> Response:
    """`POST /conversations/{id}`: the metadata, replaced."""
    asked = _Asked(request)
    update = checked(wire.UpdateConversation, await _body(request))
    now = asked.services.exchange.source.now()
    updated = await asked.kept.update(asked.owner, asked.id, to_json(update.metadata or {}), now)
    if updated is None:
        raise asked.unknown()
    return json_reply(_shown(updated))


async def delete_conversation(request: Request) -> Response:
    """`DELETE /conversations/{id}`, with its items."""
    asked = _Asked(request)
    if not await asked.kept.delete(asked.owner, asked.id):
        raise asked.unknown()
    return json_reply(wire.Deleted(id=asked.id, object="conversation.deleted", deleted=True))


async def create_items(request: Request) -> Response:
    """`POST /conversations/{id}/items`: at most 20 more."""
    asked = _Asked(request)
    body = await _body(request)
    checked(wire.CreateItems, body)
    items = await asked.new_items(body["items"])
    now = asked.services.exchange.source.now()
    if not await asked.kept.append(asked.owner, asked.id, items, now):
        raise asked.unknown()
    return json_reply(item_list(items))


async def list_items(request: Request) -> Response:
    """`GET /conversations/{id}/items`."""
    asked = _Asked(request)
    page = await asked.kept.items(asked.owner, asked.id, window_of(request))
    if page is None:
        raise asked.unknown()
    return json_reply(item_list(page.items, has_more=page.has_more))


async def retrieve_item(request: Request) -> Response:
    """`GET /conversations/{id}/items/{item_id}`."""
    asked = _Asked(request)
    item_id = request.path_params["item_id"]
    found = await asked.kept.item(asked.owner, asked.id, item_id)
    if found is None:
        raise asked.unknown_item(item_id)
    return json_reply(from_json(found.body))


async def delete_item(request: Request) -> Response:
    """`DELETE /conversations/{id}/items/{item_id}`; answers the conversation."""
    asked = _Asked(request)
    item_id = request.path_params["item_id"]
    if not await asked.kept.delete_item(asked.owner, asked.id, item_id):
        raise asked.unknown_item(item_id)
    return json_reply(await asked.conversation())


class _Asked:
    """Who asks for which conversation."""

    def __init__(self, request: Request) -> None:
        self.services = Services.of(request)
        self.owner = self.services.exchange.owner(self.services.guard.caller(Call.of(request.scope)))
        self.id: str = request.path_params.get("id", "")

    @property
    def kept(self) -> Conversations:
        return self.services.exchange.store.conversations

    async def conversation(self) -> wire.Conversation:
        found = await self.kept.get(self.owner, self.id)
        if found is None:
            raise self.unknown()
        return _shown(found)

    async def new_items(self, given: Sequence[Json]) -> list[Item]:
        """Items as they are stored: references replaced, with ids."""
        exchange = self.services.exchange
        recall = Recall(exchange.store, self.owner, exchange.source, exchange.reach)
        return [item_of(recall.identified(item)) for item in await recall.dereferenced(list(given), "items")]

    def unknown(self) -> ClientFault:
        return ClientFault(f"Conversation with id '{self.id}' not found.", status=404)

    def unknown_item(self, item_id: str) -> ClientFault:
        return ClientFault(f"Item with id '{item_id}' not found in conversation '{self.id}'.", status=404)


async def _body(request: Request, *, optional: bool = False) -> Json:
    services = Services.of(request)
    body = await read_body(request.scope, request.receive, services)
    if optional and not body.removeprefix(BYTE_ORDER_MARK).strip():
        return {}
    return bounded_object(body, services.bounds)


def _shown(stored: StoredConversation) -> wire.Conversation:
    return wire.Conversation(
        id=stored.id,
        object="conversation",
        created_at=stored.created_at,
        metadata=from_json(stored.metadata),
    )
