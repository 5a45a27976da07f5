"""How many background jobs a process makes at one time: so many in all, and so many of each owner.

Not here: which of the jobs that wait is next (`shim.store.jobs`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from shim.store.records import Job

Claiming = Callable[[int], Awaitable[tuple[Job, ...]]]
"""Claims so many jobs from the store, at most."""


class Places:
    """The places of one process."""

    def __init__(self, most: int, most_of_one: int) -> None:
        """Begin with all places free.

        Args:
            most: Places in all.
            most_of_one: Those that one owner's jobs may have.
        """
        self._left = most
        self._most_of_one = most_of_one
        self._held: Counter[str] = Counter()

    @property
    def free(self) -> int:
        """How many are."""
        return max(0, self._left)

    def take(self, owner: str) -> bool:
        """Take a place for a job of this owner, if there is one for it."""
        if not self.free or self._held[owner] >= self._most_of_one:
            return False
        self._take(owner)
        return True

    def give(self, owner: str) -> None:
        """Give one back."""
        self._left += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]

    async def fill(self, claim: Claiming) -> tuple[Job, ...]:
        """Claim jobs for the free places, which nobody else takes meanwhile."""
        places = self.free
        if not places:
            return ()
        self._left -= places
        jobs: tuple[Job, ...] = ()
        try:
            jobs = await claim(places)
        finally:
            self._left += places
            for job in jobs:
                self._take(job.owner)
        return jobs

    def _take(self, owner: str) -> None:
        self._left -= 1
        self._held[owner] += 1
