"""The store that keeps nothing: reads find nothing, and what needs a store says that there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from shim.store.faults import StoreOff
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


class NoResponses:
    """Forgets."""

    async def save(
        self,
        record: ResponseRecord,  # noqa: ARG002 -- the protocol's signatures, here and below
        *,
        lease: Lease | None = None,  # noqa: ARG002
        existing: bool = False,  # noqa: ARG002
        events: Sequence[StoredEvent] = (),  # noqa: ARG002
    ) -> bool:
        """Nothing is written."""
        return False

    async def get(self, owner: str, response_id: str) -> StoredResponse | None:  # noqa: ARG002
        """Unknown."""
        return None

    async def delete(self, owner: str, response_id: str) -> bool:  # noqa: ARG002
        """Unknown."""
        return False

    async def chain(
        self,
        owner: str,  # noqa: ARG002
        response_id: str,  # noqa: ARG002
        limit: int,  # noqa: ARG002
        most_bytes: int = UNBOUNDED,  # noqa: ARG002
    ) -> Chain | None:
        """Unknown."""
        return None

    async def input_items(self, owner: str, response_id: str, window: Window) -> Page | None:  # noqa: ARG002
        """Unknown."""
        return None

    async def items_by_id(
        self,
        owner: str,  # noqa: ARG002
        ids: Iterable[str],  # noqa: ARG002
        most_bytes: int = UNBOUNDED,  # noqa: ARG002
    ) -> Mapping[str, bytes]:
        """None of them."""
        return {}


class NoEvents:
    """Forgets."""

    async def append(
        self,
        owner: str,  # noqa: ARG002
        response_id: str,  # noqa: ARG002
        events: Sequence[StoredEvent],  # noqa: ARG002
        *,
        lease: Lease | None = None,  # noqa: ARG002
    ) -> Appended:
        """There is no such response."""
        return "gone"

    async def read(self, owner: str, response_id: str, after: int, limit: int) -> EventPage | None:  # noqa: ARG002
        """Unknown."""
        return None


class NoJobs:
    """No background work."""

    async def enqueue(
        self,
        record: ResponseRecord,  # noqa: ARG002
        request: bytes,  # noqa: ARG002
        *,
        sealed_key: bytes | None = None,  # noqa: ARG002
        claim: Claim | None = None,  # noqa: ARG002
        queue: Queue | None = None,  # noqa: ARG002
    ) -> Job:
        """Needs a store."""
        raise StoreOff

    async def confirm(self, job: Job, claim: Claim | None = None) -> Job | None:  # noqa: ARG002
        """Unknown."""
        return None

    async def claim(self, claim: Claim, limit: int = 1, most_of_one: int = UNBOUNDED) -> tuple[Job, ...]:  # noqa: ARG002
        """None."""
        return ()

    async def claim_abandoned(self, claim: Claim, now: int, limit: int = 1) -> tuple[Job, ...]:  # noqa: ARG002
        """None."""
        return ()

    async def waiting(self, owner: str, response_id: str) -> Job | None:  # noqa: ARG002
        """Unknown."""
        return None

    async def renew(self, lease: Lease, until: int) -> Renewal:  # noqa: ARG002
        """Unknown."""
        return "lost"

    async def finish(self, lease: Lease) -> bool:  # noqa: ARG002
        """Unknown."""
        return False

    async def cancel(self, owner: str, response_id: str) -> bool:  # noqa: ARG002
        """Unknown."""
        return False

    async def cancelled(self, owner: str, response_id: str) -> bool:  # noqa: ARG002
        """The job is not there."""
        return True


class NoConversations:
    """No conversations."""

    async def create(self, conversation: Conversation, items: Sequence[Item] = ()) -> None:  # noqa: ARG002
        """Needs a store."""
        raise StoreOff

    async def get(self, owner: str, conversation_id: str) -> Conversation | None:  # noqa: ARG002
        """Unknown."""
        return None

    async def update(
        self,
        owner: str,  # noqa: ARG002
        conversation_id: str,  # noqa: ARG002
        metadata: bytes,  # noqa: ARG002
        now: int,  # noqa: ARG002
    ) -> Conversation | None:
        """Unknown."""
        return None

    async def delete(self, owner: str, conversation_id: str) -> bool:  # noqa: ARG002
        """Unknown."""
        return False

    async def append(self, owner: str, conversation_id: str, items: Sequence[Item], now: int) -> bool:  # noqa: ARG002
        """Unknown."""
        return False

    async def items(self, owner: str, conversation_id: str, window: Window) -> Page | None:  # noqa: ARG002
        """Unknown."""
        return None

    async def history(
        self,
        owner: str,  # noqa: ARG002
        conversation_id: str,  # noqa: ARG002
        most_bytes: int = UNBOUNDED,  # noqa: ARG002
        *,
        before: str | None = None,  # noqa: ARG002
    ) -> tuple[bytes, ...] | None:
        """Unknown."""
        return None

    async def item(self, owner: str, conversation_id: str, item_id: str) -> Item | None:  # noqa: ARG002
        """Unknown."""
        return None

    async def delete_item(self, owner: str, conversation_id: str, item_id: str) -> bool:  # noqa: ARG002
        """Unknown."""
        return False

    async def lock(self, owner: str, conversation_id: str, claim: Claim, now: int) -> Locking:  # noqa: ARG002
        """Unknown."""
        return "missing"

    async def unlock(self, owner: str, conversation_id: str, worker: str) -> bool:  # noqa: ARG002
        """Unknown."""
        return False


class NoPrompts:
    """No prompts."""

    async def put(
        self,
        owner: str,  # noqa: ARG002
        prompt_id: str,  # noqa: ARG002
        template: bytes,  # noqa: ARG002
        now: int,  # noqa: ARG002
        version: int | None = None,  # noqa: ARG002
    ) -> Prompt:
        """Needs a store."""
        raise StoreOff

    async def get(self, owner: str, prompt_id: str, version: int | None = None) -> Prompt | None:  # noqa: ARG002
        """Unknown."""
        return None

    async def list(self, owner: str, prompt_id: str | None = None) -> tuple[Prompt, ...]:  # noqa: ARG002
        """None."""
        return ()

    async def delete(self, owner: str, prompt_id: str, version: int | None = None) -> int:  # noqa: ARG002
        """Unknown."""
        return 0


class NoCalibrations:
    """Forgets."""

    async def record(self, instrument: str, estimated: int, reported: int) -> None:
        """Nothing is written."""

    async def get(self, instrument: str) -> Calibration | None:  # noqa: ARG002
        """Nothing was observed."""
        return None


class NoOwnerKeys:
    """Nothing has an owner."""

    async def get(self, key_ids: Iterable[str]) -> Mapping[str, bytes]:  # noqa: ARG002
        """None of them."""
        return {}

    async def add(self, notes: Mapping[str, bytes]) -> bool:  # noqa: ARG002
        """Nothing is written."""
        return False

    async def put(self, notes: Mapping[str, bytes]) -> None:
        """Nothing is written."""


class OffStore:
    """`shim.store.protocol.ResponseStore` that keeps nothing."""

    kind = "off"

    def __init__(self) -> None:
        self.responses = NoResponses()
        self.events = NoEvents()
        self.jobs = NoJobs()
        self.conversations = NoConversations()
        self.prompts = NoPrompts()
        self.calibrations = NoCalibrations()
        self.owner_keys = NoOwnerKeys()

    async def purge(self, now: int) -> Purged:  # noqa: ARG002
        """Nothing to delete."""
        return Purged()

    async def stats(self) -> Stats:
        """Nothing is kept."""
        return Stats(self.kind)

    async def check(self) -> None:
        """Nothing can fail."""

    async def aclose(self) -> None:
        """Nothing is open."""
