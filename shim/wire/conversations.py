"""The bodies of `/v1/conversations` and below, and the lists that stored items are given in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from shim.wire.base import Inbound, Json, exact
from shim.wire.items import InputItem
from shim.wire.request import Metadata

MOST_ITEMS = 20
"""Items that may be added at one time."""

Items = Annotated[list[InputItem], Field(max_length=MOST_ITEMS)]


class CreateConversation(Inbound):
    """`POST /v1/conversations`."""

    items: Items | None = None
    metadata: Metadata | None = None


class UpdateConversation(Inbound):
    """`POST /v1/conversations/{id}`; null takes the metadata away."""

    metadata: Metadata | None


class CreateItems(Inbound):
    """`POST /v1/conversations/{id}/items`."""

    items: Items


class Paging(BaseModel):
    """The query of a list: at most `limit` items after or before an item's id, the newest first by default."""

    limit: int = Field(20, ge=1, le=100)
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None
    before: str | None = None


@exact
class Conversation(TypedDict):
    """A conversation without its items."""

    id: str
    object: Literal["conversation"]
    created_at: int
    metadata: dict[str, str]


@exact
class Deleted(TypedDict):
    """What a deletion answers."""

    id: str
    object: Literal["response", "conversation.deleted"]
    deleted: Literal[True]


@exact
class ItemList(TypedDict):
    """A page of items; the ids are null if it is empty."""

    object: Literal["list"]
    data: list[Json]
    first_id: str | None
    last_id: str | None
    has_more: bool
