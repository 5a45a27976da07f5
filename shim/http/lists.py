"""Pages of stored items, as the API gives them.

Not here: whose items they are and where they are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from shim.core.validation import fault_of
from shim.store.records import Item, Window
from shim.wire.conversations import ItemList, Paging

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from starlette.requests import Request

Shape = TypeVar("Shape", bound=BaseModel)


def checked(shape: type[Shape], given: Any) -> Shape:
    """A body or a query, checked.

    Raises:
        ClientFault: 400, with the path of the first wrong field.
    """
    try:
        return shape.model_validate(given)
    except ValidationError as error:
        raise fault_of(error.errors(include_url=False)[0]) from None


def window_of(request: Request) -> Window:
    """The page that a request asks for.

    Raises:
        ClientFault: 400, a wrong limit or order.
    """
    paging = checked(Paging, dict(request.query_params))
    return Window(paging.limit, paging.order, paging.after or None, paging.before or None)


def item_list(items: Sequence[Item], *, has_more: bool = False) -> ItemList:
    """Items as a page, whose ends are named as in their bodies: the store's own ids may be shortened."""
    data = [from_json(item.body) for item in items]
    return ItemList(
        object="list",
        data=data,
        first_id=data[0]["id"] if data else None,
        last_id=data[-1]["id"] if data else None,
        has_more=has_more,
    )
