"""What the server remembers, as its callers see it: one `ResponseStore` of six small parts.

The promises, whatever the database:

- Everything belongs to an `owner`; asked by another one, the answer is the same as for what never existed (None, False
  or an empty result).
- A write is one transaction and durable when the call returns; a reader never sees half of it.
- Time is an argument, Unix seconds; the store asks no clock.
- A caller that is cancelled breaks nothing: the transaction under way is finished first.
- The database away, full or locked: `shim.store.faults.StoreFault`, a 503 that shows no URL.
- With storage off, writes of responses and events do nothing, reads find nothing, and what needs a store
  (jobs, conversations, prompts) raises `shim.store.faults.StoreOff`.

Not here: who may do what, ids, sealing of keys, and what bodies mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from shim.store.records import (
    UNBOUNDED,
    Appended,
    Calibration,
    Chain,
    Claim,
    Conversation,
    EventPage,
    Item,
    Job,
    Lease,
    Locking,
    Page,
    Prompt,
    Purged,
    Queue,
    Renewal,
    ResponseRecord,
    Stats,
    StoredEvent,
    StoredResponse,
    Window,
)


class Responses(Protocol):
    """Responses with their own items."""

    async def save(
        self,
        record: ResponseRecord,
        *,
        lease: Lease | None = None,
        existing: bool = False,
        events: Sequence[StoredEvent] = (),
    ) -> bool:
        """Insert or replace a response with its items, atomically.

        Args:
            record: The response.
            lease: The worker's right to write. A terminal status then also finishes the job.
            existing: Only replace, so that a response deleted meanwhile stays deleted. A lease implies it.
            events: Last events of its stream, stored in the same transaction.

        Returns:
            False if nothing was written: the lease is lost, or the response is gone.
        """
        ...

    async def get(self, owner: str, response_id: str) -> StoredResponse | None:
        """A response with its output."""
        ...

    async def delete(self, owner: str, response_id: str) -> bool:
        """Delete a response with its items, events and job, and give back its turn; False if there is none."""
        ...

    async def chain(
        self, owner: str, response_id: str, limit: int, most_bytes: int = UNBOUNDED
    ) -> Chain | None:
        """The newest `limit` turns that end in this response, by one query; None if the response is unknown.

        Raises:
            TooMuch: Their items have more than `most_bytes`.
        """
        ...

    async def input_items(self, owner: str, response_id: str, window: Window) -> Page | None:
        """A page of the turn's own input; None if the response is unknown.

        Raises:
            ClientFault: `after` or `before` names no item of it.
        """
        ...

    async def items_by_id(
        self, owner: str, ids: Iterable[str], most_bytes: int = UNBOUNDED
    ) -> Mapping[str, bytes]:
        """Bodies of input, output and conversation items by id; unknown ids are absent, and what comes long after one may be.

        Where several items have one id, output wins over input and the newest over older ones.

        Raises:
            TooMuch: They have more than `most_bytes`, each counted as often as its id is given.
        """
        ...


class Events(Protocol):
    """The stored streams of responses."""

    async def append(
        self, owner: str, response_id: str, events: Sequence[StoredEvent], *, lease: Lease | None = None
    ) -> Appended:
        """Append events in one transaction; numbers must rise. With a lease only while it is held."""
        ...

    async def read(self, owner: str, response_id: str, after: int, limit: int) -> EventPage | None:
        """At most `limit` events with a number above `after` (-1 for all); None if the response is unknown."""
        ...


class Jobs(Protocol):
    """Background work and who does it."""

    async def enqueue(
        self,
        record: ResponseRecord,
        request: bytes,
        *,
        sealed_key: bytes | None = None,
        claim: Claim | None = None,
        queue: Queue | None = None,
    ) -> Job:
        """Save the response and its job in one transaction, claimed at once if `claim` is given.

        With a claim that is not confirmed it counts as attempted too often already. So if it is not known whether it was
        stored, whoever finds it when its lease has run out ends it.

        Raises:
            QueueFull: With it the owner would have more than `queue` allows; nothing is saved.
        """
        ...

    async def confirm(self, job: Job, claim: Claim | None = None) -> Job | None:
        """Let an unconfirmed job be worked on, under a claim or by whoever takes it; it may be said again.

        Returns:
            The job as it is then; None if it waits already, or is not its worker's any more.
        """
        ...

    async def claim(self, claim: Claim, limit: int = 1, most_of_one: int = UNBOUNDED) -> tuple[Job, ...]:
        """Take waiting jobs; no job goes to two workers.

        Owners take turns, who has fewest with this worker first, and of an owner's jobs the oldest. No worker takes more
        than `most_of_one` of one owner, those counted that it has already.
        """
        ...

    async def claim_abandoned(self, claim: Claim, now: int, limit: int = 1) -> tuple[Job, ...]:
        """Take jobs whose lease ran out at `now` or before; `last_event` says whether anything was streamed."""
        ...

    async def waiting(self, owner: str, response_id: str) -> Job | None:
        """A job that nobody has claimed; its lease names no worker and ends with the first claim."""
        ...

    async def renew(self, lease: Lease, until: int) -> Renewal:
        """Keep a job until a later time. A late renewal holds if nobody took the job meanwhile."""
        ...

    async def finish(self, lease: Lease) -> bool:
        """Delete a job, its request and its key with it; False if the lease is lost. The response stays."""
        ...

    async def cancel(self, owner: str, response_id: str) -> bool:
        """Ask for an end; the worker learns of it from `renew` or `cancelled`. False if there is no such job."""
        ...

    async def cancelled(self, owner: str, response_id: str) -> bool:
        """Whether an end was asked for; also True when the job is gone."""
        ...


class Conversations(Protocol):
    """Conversations, their items, and the lock that lets one turn run at a time."""

    async def create(self, conversation: Conversation, items: Sequence[Item] = ()) -> None:
        """Create a conversation with its first items.

        Raises:
            ClientFault: An id occurs twice among the items.
        """
        ...

    async def get(self, owner: str, conversation_id: str) -> Conversation | None:
        """A conversation without its items."""
        ...

    async def update(
        self, owner: str, conversation_id: str, metadata: bytes, now: int
    ) -> Conversation | None:
        """Replace the metadata."""
        ...

    async def delete(self, owner: str, conversation_id: str) -> bool:
        """Delete it with its items; True once, False ever after."""
        ...

    async def append(self, owner: str, conversation_id: str, items: Sequence[Item], now: int) -> bool:
        """Append items in order, all or none; False if there is no conversation.

        Raises:
            ClientFault: The id of one of them is there already.
        """
        ...

    async def items(self, owner: str, conversation_id: str, window: Window) -> Page | None:
        """A page of its items; None if there is no conversation.

        Raises:
            ClientFault: `after` or `before` names no item of it.
        """
        ...

    async def history(
        self, owner: str, conversation_id: str, most_bytes: int = UNBOUNDED, *, before: str | None = None
    ) -> tuple[bytes, ...] | None:
        """Bodies of its items in order, by one query; None if there is no conversation.

        Args:
            owner: Whose it is.
            conversation_id: Which.
            most_bytes: What they may have together.
            before: A response: only what stands before the first item that the conversation shares with it; None if it
                shares none.

        Raises:
            TooMuch: They have more than `most_bytes`.
        """
        ...

    async def item(self, owner: str, conversation_id: str, item_id: str) -> Item | None:
        """One item."""
        ...

    async def delete_item(self, owner: str, conversation_id: str, item_id: str) -> bool:
        """Delete one item; False if there is none."""
        ...

    async def lock(self, owner: str, conversation_id: str, claim: Claim, now: int) -> Locking:
        """Take the turn for `claim.worker`, or prolong it if it has it already; a lock run out at `now` is free."""
        ...

    async def unlock(self, owner: str, conversation_id: str, worker: str) -> bool:
        """Give the turn back; False if it was not the worker's."""
        ...


class Prompts(Protocol):
    """Stored prompts, by id and version."""

    async def put(
        self, owner: str, prompt_id: str, template: bytes, now: int, version: int | None = None
    ) -> Prompt:
        """Store a version, replacing the same one; without a number, the next one."""
        ...

    async def get(self, owner: str, prompt_id: str, version: int | None = None) -> Prompt | None:
        """A version, or the latest."""
        ...

    async def list(self, owner: str, prompt_id: str | None = None) -> tuple[Prompt, ...]:
        """The latest version of each prompt, or all versions of one; by id, then version."""
        ...

    async def delete(self, owner: str, prompt_id: str, version: int | None = None) -> int:
        """Delete one version, or all; how many there were."""
        ...


class Calibrations(Protocol):
    """How estimates of input tokens compare with what upstream reported. Sums only, one row an instrument."""

    async def record(self, instrument: str, estimated: int, reported: int) -> None:
        """Add one observation; one that is not positive is passed over. The instrument may take another one's place."""
        ...

    async def get(self, instrument: str) -> Calibration | None:
        """The recent sums, with their ratio; None if nothing was observed."""
        ...


class OwnerKeys(Protocol):
    """Notes by the ids of seal keys, of no owner and opaque: what tells owners apart, whichever key is at hand."""

    async def get(self, key_ids: Iterable[str]) -> Mapping[str, bytes]:
        """The notes of those keys that have one."""
        ...

    async def add(self, notes: Mapping[str, bytes]) -> bool:
        """Write notes of keys that have none; False, and not one is written, if any of the keys has."""
        ...

    async def put(self, notes: Mapping[str, bytes]) -> None:
        """Write notes, in place of former ones."""
        ...


class ResponseStore(Protocol):
    """All of it. Made by `shim.store.open_store`."""

    @property
    def kind(self) -> str:
        """`sqlite`, `memory`, `postgresql` or `off`."""
        ...

    @property
    def responses(self) -> Responses:
        """Responses and items."""
        ...

    @property
    def events(self) -> Events:
        """Streams."""
        ...

    @property
    def jobs(self) -> Jobs:
        """Background work."""
        ...

    @property
    def conversations(self) -> Conversations:
        """Conversations."""
        ...

    @property
    def prompts(self) -> Prompts:
        """Stored prompts."""
        ...

    @property
    def calibrations(self) -> Calibrations:
        """Token estimates."""
        ...

    @property
    def owner_keys(self) -> OwnerKeys:
        """What tells owners apart."""
        ...

    async def purge(self, now: int) -> Purged:
        """Delete what is past retention, then above the size bound the oldest of those who keep most, in batches."""
        ...

    async def stats(self) -> Stats:
        """How much is kept, of all owners."""
        ...

    async def check(self) -> None:
        """Whether a write would be kept now: a small one is tried, and a failure that is fresh counts as well.

        Raises:
            StoreFault: It would not, or nobody knows in time.
        """
        ...

    async def aclose(self) -> None:
        """Finish what is under way and close the connections."""
        ...
