"""What the store takes and gives: frozen rows, JSON as bytes exactly as given.

Bodies are opaque here: the store looks into none of them. Times are Unix seconds. `owner` is an opaque string, a
keyed hash of the client's key and never the key.

Not here: the wire's shapes (`shim.wire`) and how rows are kept (`shim.store.tables`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic_core import to_json

FORMAT_VERSION = 1
"""The format of stored bodies; a reader that meets a higher one must refuse it."""

LONGEST_SECONDS = 60 * 60
"""How much longer than the claim that asks for it a lease or lock may last: beyond that the clock was wrong when it was
made, and nobody will prolong it."""

UNBOUNDED = (1 << 63) - 1
"""A number of bytes that nothing has."""

TERMINAL = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""Statuses that never change again."""

JOINS_CONVERSATION = frozenset({"completed", "incomplete"})
"""Statuses whose items become part of the conversation."""

UNCONFIRMED = 1_000_000
"""The `attempt` of a job of which its client may not have heard: more than any that is begun, so it never is."""

EventRecord = Literal["none", "whole", "cut"]
"""Whether a response's events are kept: none were, all of them, or only those before the size bound."""

Appended = Literal["kept", "full", "gone"]
"""What became of appended events: kept; past the size bound, as all later ones; or the response or lease is gone."""

Renewal = Literal["held", "cancelled", "lost"]
"""A lease after its renewal: held; held, and the client asked to cancel; or another worker's by now."""

Locking = Literal["locked", "held", "missing"]
"""A conversation's turn lock: ours now, another turn's, or there is no such conversation."""


class TooMuch(Exception):
    """What was asked for has more bytes than the asker takes; none of its bodies was read."""


@dataclass(frozen=True, slots=True)
class Item:
    """An input or output item: its id and the JSON object, which holds the same id."""

    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of a response's stream: its sequence number and the JSON object."""

    number: int
    body: bytes


@dataclass(frozen=True, slots=True)
class ResponseRecord:
    """A response to be saved.

    Attributes:
        owner: Whose it is.
        id: The response's id.
        created_at: Unix seconds; retention counts from here.
        status: As on the wire.
        model: As the client named it.
        served_model: The model behind the instrument, once known.
        previous_response_id: The turn that this one continues.
        conversation_id: The conversation that it belongs to; a completed or incomplete turn's items are appended
            to it in the transaction that saves the response.
        envelope: The response's JSON object without `output`.
        input: This turn's own input items, without instructions and earlier turns.
        output: The output items.
        version: Format of the bodies.
    """

    owner: str
    id: str
    created_at: int
    status: str
    model: str
    envelope: bytes
    input: tuple[Item, ...] = ()
    output: tuple[Item, ...] = ()
    served_model: str | None = None
    previous_response_id: str | None = None
    conversation_id: str | None = None
    version: int = FORMAT_VERSION

    @property
    def size(self) -> int:
        """Bytes of its bodies."""
        return len(self.envelope) + sum(len(item.body) for item in self.input + self.output)


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response as the store gives it; `events` says whether its stream can be replayed."""

    owner: str
    id: str
    created_at: int
    status: str
    model: str
    envelope: bytes
    output: tuple[Item, ...] = ()
    served_model: str | None = None
    previous_response_id: str | None = None
    conversation_id: str | None = None
    version: int = FORMAT_VERSION
    events: EventRecord = "none"

    @property
    def body(self) -> bytes:
        """The whole response object, `output` last."""
        return join_output(self.envelope, self.output)


@dataclass(frozen=True, slots=True)
class ChainTurn:
    """One turn of a chain: what history needs of it, the bodies of its items."""

    id: str
    created_at: int
    status: str
    model: str
    served_model: str | None
    previous_response_id: str | None
    conversation_id: str | None
    input: tuple[bytes, ...]
    output: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """The turns that end in one response, oldest first.

    Attributes:
        turns: At most as many as asked for, the newest ones.
        missing: The id before the oldest turn that is not among them: deleted, expired or past the limit. None if
            the chain is whole. Whoever continues a chain that is not whole must refuse or say so.
    """

    turns: tuple[ChainTurn, ...]
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Which page of a list: at most `limit` items (None for all) after or before an item's id, in `order`."""

    limit: int | None = 20
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page, in the order asked for; `has_more` says whether the list goes on in that direction."""

    items: tuple[Item, ...]
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class EventPage:
    """Stored events in sequence, and the response's state at the same moment.

    Attributes:
        events: In the order of their numbers.
        status: The response's status. The last events are stored together with a terminal status: if it is
            terminal and this page is not full, nothing follows.
        cut: Later events were dropped because of the size bound.
    """

    events: tuple[StoredEvent, ...]
    status: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Queue:
    """What the jobs of one owner may be that have not ended: so many, with so many bytes of requests."""

    jobs: int
    request_bytes: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Who wants something, and until when (Unix seconds) if nothing more is heard of it.

    One that is not confirmed begins nothing yet.
    """

    worker: str
    until: int
    confirmed: bool = True


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job. `attempt` fences: once another worker took the job, the old lease writes nothing.

    That of a job that waits names no worker, and holds until one takes the job.
    """

    owner: str
    response_id: str
    worker: str | None
    attempt: int


@dataclass(frozen=True, slots=True)
class Job:
    """Background work.

    Attributes:
        owner: Whose response it makes.
        response_id: Which response.
        request: The request's JSON, as given.
        sealed_key: The upstream key, sealed by the caller, or None.
        worker: Who holds it; None while it waits.
        until: When the lease runs out, Unix seconds; None while it waits.
        attempt: How often it was claimed; above `UNCONFIRMED` if it never was to be worked on.
        cancelled: The client asked to cancel.
        last_event: The number of the last stored event; None if nothing was streamed yet.
    """

    owner: str
    response_id: str
    request: bytes = field(repr=False)
    sealed_key: bytes | None = field(default=None, repr=False)
    worker: str | None = None
    until: int | None = None
    attempt: int = 0
    cancelled: bool = False
    last_event: int | None = None

    @property
    def lease(self) -> Lease:
        """The lease that the job is under."""
        return Lease(self.owner, self.response_id, self.worker, self.attempt)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation without its items; `metadata` is a JSON object."""

    owner: str
    id: str
    created_at: int
    metadata: bytes = b"{}"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One version of a stored prompt; `template` is the caller's JSON with its variables."""

    owner: str
    id: str
    version: int
    created_at: int
    template: bytes


@dataclass(frozen=True, slots=True)
class Calibration:
    """What estimates of one instrument's input were worth: recent sums, older samples fading out."""

    samples: int
    estimated: int
    reported: int

    @property
    def ratio(self) -> float:
        """Reported tokens for one estimated."""
        return self.reported / self.estimated


@dataclass(frozen=True, slots=True)
class Stats:
    """How much is kept. `size` counts bodies in bytes, `file_size` the database's own files, where it knows."""

    kind: str
    responses: int = 0
    items: int = 0
    events: int = 0
    jobs: int = 0
    conversations: int = 0
    conversation_items: int = 0
    prompts: int = 0
    size: int = 0
    file_size: int | None = None
    oldest: int | None = None


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge deleted; `more` says that it stopped at its own bound and should be called again."""

    responses: int = 0
    conversations: int = 0
    more: bool = False


def join_output(envelope: bytes, output: Iterable[Item]) -> bytes:
    """Put the items into a response object as its last key, `output`."""
    head = envelope.rstrip()[:-1].rstrip()
    comma = b"" if head == b"{" else b","
    return head + comma + b'"output":[' + b",".join(item.body for item in output) + b"]}"


def item_of(item: Mapping[str, Any]) -> Item:
    """An item with its id, which it must have."""
    return Item(item["id"], to_json(item))


def record_of(
    owner: str,
    response: Mapping[str, Any],
    input_items: Iterable[Item],
    conversation_id: str | None = None,
) -> ResponseRecord:
    """A record from a response object as on the wire and the items of its input."""
    return ResponseRecord(
        owner=owner,
        id=response["id"],
        created_at=response["created_at"],
        status=response["status"],
        model=response["model"],
        envelope=to_json({key: value for key, value in response.items() if key != "output"}),
        input=tuple(input_items),
        output=tuple(map(item_of, response["output"])),
        served_model=response.get("served_model"),
        previous_response_id=response["previous_response_id"],
        conversation_id=conversation_id,
    )
