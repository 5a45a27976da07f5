"""Once nobody asks any more, memory goes back to the system.

The C library keeps what is freed between pieces that are still in use: after some histories of a megabyte that may be more than
the whole process needs. Python's own arenas, in which small objects lie, go back by themselves, each when nothing of it is used.
"""

from __future__ import annotations

import math
import sys
from contextlib import suppress

QUIET_SECONDS = 5.0
"""After the last answer: whoever asks again sooner finds memory at hand."""


class Quiet:
    """Notices, if it is told often, that a busy time is over."""

    def __init__(self) -> None:
        self._asked = 0
        self._since = math.inf

    def notice(self, asked: int, now: float, *, busy: bool) -> bool:
        """Take note of a moment; true once when a busy time has been over for `QUIET_SECONDS`.

        Args:
            asked: Requests so far.
            now: On a monotonic clock, in seconds.
            busy: Whether one is under way.
        """
        if busy or asked != self._asked:
            self._asked, self._since = asked, now
        elif now - self._since >= QUIET_SECONDS:
            self._since = math.inf
            return True
        return False


def give_back() -> None:
    """Have the C library give back what is free."""
    if sys.platform == "linux":
        # musl has no such function, some interpreters no ctypes, and there may be no file descriptor left to import it with
        with suppress(AttributeError, ImportError, OSError):
            import ctypes  # noqa: PLC0415 -- not needed to start

            ctypes.CDLL(None).malloc_trim(0)
