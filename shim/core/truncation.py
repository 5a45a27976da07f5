"""`truncation: auto`: the oldest items go when a conversation does not fit.

Calls and their outputs go together. Instructions and the last words of the user stay.
"""

from __future__ import annotations

from collections.abc import Sequence

from shim.wire.items import AdditionalTools, InputItem, Message

MOST_ATTEMPTS = 5
"""How often a conversation is shortened for one request: by half each time, so to a thirtieth at the most."""


def shortened(items: Sequence[InputItem]) -> list[InputItem] | None:
    """The conversation without its older half; None if nothing may go.

    What stays in any case: system and developer messages, added tools, and everything from the user's last
    message on.
    """
    last = last_user(items)
    removable = [index for index, item in enumerate(items[:last]) if not stays(item)]
    if not removable:
        return None
    gone = set(removable[: (len(removable) + 1) // 2])
    calls = {call_id for index in gone if (call_id := _call_id(items[index]))}
    return [
        item for index, item in enumerate(items) if index not in gone and (_call_id(item) or "") not in calls
    ]


def last_user(items: Sequence[InputItem]) -> int:
    """Where the user spoke last; the last item if nowhere."""
    for index in range(len(items) - 1, -1, -1):
        item = items[index]
        if isinstance(item, Message) and item.role == "user":
            return index
    return max(len(items) - 1, 0)


def stays(item: InputItem) -> bool:
    """Whether an item is an instruction or a tool, which no shortening takes away."""
    return isinstance(item, AdditionalTools) or (
        isinstance(item, Message) and item.role in ("system", "developer")
    )


def _call_id(item: InputItem) -> str | None:
    call_id = getattr(item, "call_id", None)
    return call_id if isinstance(call_id, str) else None
