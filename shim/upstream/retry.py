"""When to try again, and how long to wait before.

A request is repeated only before the first byte of a good answer: when the upstream refused it with a status of
`RETRIED` (The Grid bills no failed request), or when the connection was never made. What was sent and then lost is not
repeated, since it may be running and billed. That a kept connection broke proves nothing, unless it ended before the
upstream's system had received the whole request (`shim.upstream.http1.Undelivered`): then nobody has read it.
`shim.upstream.troubles` draws that line.

Pure: the clock, the random number and the sleeping come from `shim.upstream.client`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shim.errors import Fault

RETRIED = frozenset({402, 408, 409, 429, 500, 502, 503, 529})
"""Refusals that pass. 504 is none: whoever gave up waiting leaves somebody at work."""

FINAL_CODES = frozenset({"context_length_exceeded", "model_not_found"})
"""Answers that stay the same however often one asks, even with a status of `RETRIED`."""

FIRST_WAIT = 0.5
"""Seconds; the bound of the first wait, doubled for each further one."""
REPLENISHMENT_WAIT = 1.0
"""Seconds; the same for 402 and 503, with which The Grid says that the balance is being topped up."""
LONGEST_WAIT = 8.0


LONGEST_TOLD = 24 * 60 * 60
"""Seconds of waiting that a client is told at most: quotas are reset within a day, and what is more is no number of seconds."""


class Refused(Exception):
    """One attempt failed.

    Attributes:
        fault: What the client is told if it was the last one.
        again: Whether another attempt makes sense and is safe.
        after: Seconds the upstream asked to wait, or None.
        at_once: Whether to try again without waiting, because a kept connection had gone stale.
        status: The HTTP status, or None if there was no answer.
    """

    def __init__(
        self,
        fault: Fault,
        *,
        again: bool,
        after: float | None = None,
        at_once: bool = False,
        status: int | None = None,
    ) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.again = again
        self.after = after
        self.at_once = at_once
        self.status = status


@dataclass(slots=True)
class Patience:
    """What is left of one request's attempts and waiting time.

    Attributes:
        attempts: How many attempts there may be, the first included.
        seconds: How long all waits together may still take.
        jitter: A number from 0 to 1, anew at each call.
        made: Attempts that failed so far.
    """

    attempts: int
    seconds: float
    jitter: Callable[[], float]
    made: int = 0

    def wait(self, refused: Refused) -> float | None:
        """Seconds to wait before the next attempt, or None to give up."""
        self.made += 1
        if not refused.again or self.made >= self.attempts:
            return None
        wait = 0.0 if refused.at_once else self._pause(refused)
        if wait > self.seconds:
            return None
        self.seconds -= wait
        return wait

    def _pause(self, refused: Refused) -> float:
        if refused.after is not None:
            return refused.after
        first = REPLENISHMENT_WAIT if refused.status in {402, 503} else FIRST_WAIT
        return self.jitter() * min(LONGEST_WAIT, first * (1 << (self.made - 1)))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the headers ask to wait; None if they do not or it cannot be read.

    Args:
        headers: With lower-case or case-insensitive names. `retry-after-ms` comes before `retry-after`.
        now: Unix seconds, to which a date is compared.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    return seconds if seconds is not None else _until(value, now)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _until(value: str | None, now: float) -> float | None:
    """Seconds until an HTTP date (RFC 9110, section 5.6.7)."""
    try:
        return max(0.0, parsedate_to_datetime(value or "").timestamp() - now)
    except (ValueError, OverflowError):
        return None
