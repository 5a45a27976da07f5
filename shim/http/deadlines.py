"""Time limits that cost nothing while they hold: one timer watches all that must end within the same time.

`asyncio.timeout` sets and cancels a timer each time it is entered. Here whoever enters stands in line, and as all have
the same time, the one in front is due first.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from types import TracebackType


class Deadlines:
    """The time limit of one kind of work; for one event loop."""

    def __init__(self, seconds: float) -> None:
        """Work of this kind may take so long."""
        self.seconds = seconds
        self._open: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def one(self) -> Deadline:
        """A limit for what is done in its context; it raises `TimeoutError`, as `asyncio.timeout` does."""
        return Deadline(self)

    def begin(self, deadline: Deadline) -> None:
        """Stand in line."""
        loop = asyncio.get_running_loop()
        deadline.due = loop.time() + self.seconds
        self._open[deadline] = None
        if self._timer is None:
            self._timer = loop.call_at(deadline.due, self._check)

    def end(self, deadline: Deadline) -> None:
        """Leave the line."""
        self._open.pop(deadline, None)

    def _check(self) -> None:
        """End what is overdue, and look again when the next one is."""
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._open:
            first = next(iter(self._open))
            if first.due > loop.time():
                self._timer = loop.call_at(first.due, self._check)
                return
            del self._open[first]
            first.expire()


class Deadline:
    """One time limit, as a context for the current task."""

    __slots__ = ("_all", "_cancelled_before", "_expired", "_task", "due")

    def __init__(self, all_of_them: Deadlines) -> None:
        self._all = all_of_them
        self._expired = False
        self.due = 0.0

    def __enter__(self) -> None:
        self._task = cast("asyncio.Task[object]", asyncio.current_task())
        self._cancelled_before = self._task.cancelling()
        self._all.begin(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._all.end(self)
        if (
            self._expired
            and self._task.uncancel() <= self._cancelled_before
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error

    def expire(self) -> None:
        """The time is over: interrupt the task."""
        self._expired = True
        self._task.cancel()
