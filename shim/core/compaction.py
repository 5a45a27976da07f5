"""Compaction: a conversation answered with one item that holds its summary.

Clients ask for it with a `compaction_trigger` as the last input item (Codex does, with a provider named OpenAI), by
`POST /responses/compact`, or for any request that grows too long, with `context_management`. The model writes the
summary; `encrypted_content` carries it, sealed, and the fold opens it again on replay.

Not here: asking the model, and sealing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shim.core.truncation import last_user, stays
from shim.errors import invalid
from shim.wire.base import Json
from shim.wire.items import Compaction, CompactionTrigger, InputItem

COMPACTIONS = frozenset({"compaction", "context_compaction", "compaction_summary"})
"""Types of the item, as different clients call it."""

LEAST_THRESHOLD = 1000
"""Tokens below which no conversation is worth a summary, as in the API."""

COMPACTION_PROMPT = """\
The conversation up to here is about to be removed and replaced by what you write now. Write a hand-over for
yourself, so that the work can go on without the conversation. Include:
- what the user asked for, with every requirement, preference and limit that still holds, in the user's own words
  where the wording matters;
- what has been done and decided, and why; which files, commands, functions, names and values matter, spelled exactly;
- what was found out, errors and their causes included;
- what is under way now, and the next steps.
Leave out greetings and anything that no longer matters. Do not call tools. Answer with the hand-over alone."""


def wants_compaction(items: Sequence[InputItem]) -> bool:
    """Whether the last item asks for a compaction."""
    return bool(items) and type(items[-1]) is CompactionTrigger


def compact_threshold(management: Any) -> int | None:
    """The estimated tokens above which a request is compacted first; None if it never is.

    Args:
        management: The request's `context_management`.

    Raises:
        ClientFault: It is no list of objects, or a compaction without a usable threshold.
    """
    if management is None:
        return None
    if not isinstance(management, list) or not all(isinstance(entry, dict) for entry in management):
        raise invalid(
            "Invalid type for 'context_management': expected an array of objects.",
            "context_management",
            "invalid_type",
        )
    for index, entry in enumerate(management):
        if entry.get("type") == "compaction" and entry.get("compact_threshold") is not None:
            return _threshold(entry["compact_threshold"], f"context_management[{index}].compact_threshold")
    return None


def _threshold(value: Any, where: str) -> int:
    if type(value) is not int:
        raise invalid(f"Invalid type for '{where}': expected an integer.", where, "invalid_type")
    if value < LEAST_THRESHOLD:
        message = (
            f"Invalid '{where}': integer below minimum value. "
            f"Expected a value >= {LEAST_THRESHOLD}, but got {value} instead."
        )
        raise invalid(message, where, "integer_below_min_value")
    return value


def worth_compacting(conversation: Sequence[InputItem]) -> bool:
    """Whether there is more than one thing to summarise, and nobody asked for a summary already."""
    return not wants_compaction(conversation) and sum(not stays(item) for item in conversation) > 1


def around_summary(
    conversation: Sequence[InputItem], summary: Compaction, *, shortest: bool = False
) -> list[InputItem]:
    """A conversation whose past is its summary.

    Instructions stay, and so does everything from the user's last words on; of that only the words themselves if it
    must be the `shortest`.
    """
    last = last_user(conversation)
    kept = [item for item in conversation[:last] if stays(item)]
    rest = [item for item in conversation[last:] if not isinstance(item, Compaction)]
    if shortest:
        rest = rest[:1] + [item for item in rest[1:] if stays(item)]
    return [*kept, summary, *rest]


def since_compaction(items: Sequence[Json], *, answered: bool = False) -> list[Json]:
    """A stored or sent conversation without what its last compaction stands for.

    System and developer messages and added tools stay. If nothing but the user's words stands before the compaction,
    they stay as well, for that is what `compact` returns; unless the compaction `answered` them.
    """
    last = max((index for index, item in enumerate(items) if item.get("type") in COMPACTIONS), default=None)
    if last is None:
        return list(items)
    before = [item for item in items[:last] if not _instructs(item)]
    if not answered and all(item.get("role") == "user" for item in before):
        return list(items)
    return [*filter(_instructs, items[:last]), *items[last:]]


def _instructs(item: Json) -> bool:
    return item.get("type") == "additional_tools" or item.get("role") in ("system", "developer")
