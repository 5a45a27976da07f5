"""How many requests are answered at one time: so many in all, and so many for each client.

A request holds a slot from its head to the last byte of its answer, a turn on a WebSocket from its message to its
last event; work in the background holds none. Whoever finds none is told to come back: nobody waits here.

Not here: connections, which are the server's and the upstream's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shim.errors import Fault

if TYPE_CHECKING:
    from types import TracebackType

RETRY_AFTER = 1
"""Seconds: a slot is free as soon as any answer ends."""


class Slots:
    """The slots of one process."""

    def __init__(self, most: int, most_of_one: int) -> None:
        """Begin with all slots free.

        Args:
            most: Slots in all.
            most_of_one: Those that one client may hold.
        """
        self._most = most
        self._most_of_one = most_of_one
        self._held: dict[str, int] = {}
        self._busy = 0
        self._total = 0

    @property
    def busy(self) -> int:
        """Slots that are held."""
        return self._busy

    @property
    def total(self) -> int:
        """Slots that were taken since the start."""
        return self._total

    @property
    def full(self) -> bool:
        """Whether nobody would find one."""
        return self._busy >= self._most

    def taken(self, client: str) -> Slot:
        """A slot for this client, held as long as the context is open; entering raises if there is none."""
        return Slot(self, client)

    def take(self, client: str) -> None:
        """Hold one more slot.

        Raises:
            Fault: 503, there is none.
        """
        if self.full:
            raise _none_free("The server answers as many requests as it can at one time; try again soon.")
        held = self._held.get(client, 0)
        if held >= self._most_of_one:
            raise _none_free(
                f"You have {held:,} requests under way, as many as a client may; try again soon."
            )
        self._held[client] = held + 1
        self._busy += 1
        self._total += 1

    def free(self, client: str) -> None:
        """Give one slot back."""
        self._busy -= 1
        left = self._held[client] - 1
        if left:
            self._held[client] = left
        else:
            del self._held[client]


class Slot:
    """One slot, as a context."""

    __slots__ = ("_client", "_slots")

    def __init__(self, slots: Slots, client: str) -> None:
        self._slots = slots
        self._client = client

    def __enter__(self) -> None:
        self._slots.take(self._client)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._slots.free(self._client)


def _none_free(message: str) -> Fault:
    # Not the API's `server_is_overloaded`: Codex then tells its user to take another model.
    return Fault(message, status=503, code="concurrency_limit_exceeded", retry_after=RETRY_AFTER)
