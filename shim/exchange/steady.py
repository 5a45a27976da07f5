"""Whether the wall clock can be trusted to tell how much time has passed.

Leases, locks and ages are counted in Unix seconds, which processes share. When an administrator or NTP sets the clock, all of
them look run out at once, or never again. So a jump is noticed against the monotonic clock, and believed only once it
has lasted: those who are alive have then told the new time, and a mistake may have been mended.

Not here: what is done or left meanwhile.
"""

from __future__ import annotations

import logging
from typing import Protocol

from shim.core.source import Source

log = logging.getLogger("shim.exchange")

SLACK_SECONDS = 2.0
"""What is no jump: the wall clock is read in whole seconds."""


class Clocked(Source, Protocol):
    """A source with both clocks."""

    def elapsed(self) -> float:
        """Seconds that never jump."""
        ...


class Steady:
    """The wall clock under watch; each call looks."""

    def __init__(self, source: Clocked, believed_after: float) -> None:
        """Begin to watch; a jump is taken for the truth after so many seconds."""
        self.source = source
        self._believed_after = believed_after
        self._offset = self._believed = source.now() - source.elapsed()
        self._jumped_at: float | None = None

    def settled(self) -> bool:
        """Whether the clock has not jumped of late, in either direction."""
        elapsed = self.source.elapsed()
        offset = self.source.now() - elapsed
        if abs(offset - self._offset) > SLACK_SECONDS:
            log.warning("the clock jumped by %d s", offset - self._offset)
            self._jumped_at = elapsed
        self._offset = offset
        if self._jumped_at is not None and elapsed - self._jumped_at >= self._believed_after:
            self._jumped_at = None
        if self._jumped_at is None:
            self._believed = offset
        return self._jumped_at is None

    def now(self) -> int:
        """Unix seconds; after a jump forward that is not believed yet, by the clock as it was before."""
        now = self.source.now()
        return now if self.settled() else min(now, int(self.source.elapsed() + self._believed))
