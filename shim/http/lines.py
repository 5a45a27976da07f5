"""Log lines to standard error, without ever waiting for whoever reads it.

A pipe that nobody empties, or a terminal that was stopped, blocks whoever writes to it, and with it the loop that serves
everyone. So lines wait here instead, up to a bound, and go out with a later one.

Not here: what is logged, and how (`shim.http.logs`).
"""

from __future__ import annotations

import logging
import os
import select
import sys
from collections import deque

MOST_LINES = 10_000
"""Lines that may wait; further ones are lost, and their number is told."""

AT_ONCE = 4096
"""Bytes that a pipe which can be written to takes without blocking: Linux's PIPE_BUF."""


class Lines(logging.Handler):
    """Writes to a file descriptor as it takes them. One that is broken or full loses lines, and nothing else."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._lost = 0
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, after those that wait; called under the handler's lock."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 -- as every handler does
            self.handleError(record)
            return
        if len(self._waiting) >= MOST_LINES:
            self._lost += 1
        else:
            self._waiting.append(f"{line}\n".encode(errors="backslashreplace"))
        self._write()

    def flush(self) -> None:
        """Write what can be written now."""
        self.acquire()
        try:
            self._write()
        finally:
            self.release()

    def _write(self) -> None:
        while self._waiting and self._poll.poll(0):
            line = self._waiting.popleft()
            try:
                written = os.write(self._descriptor, line[:AT_ONCE])
            except OSError:
                continue
            if rest := line[written:]:
                self._waiting.appendleft(rest)
            elif not self._waiting and self._lost:
                self._waiting.append(b"%d lines of the log were lost: nobody read it\n" % self._lost)
                self._lost = 0


def to_standard_error() -> logging.Handler:
    """A handler for standard error, whatever it is."""
    try:
        return Lines(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # no poll on Windows; replaced by something that is no file
        return logging.StreamHandler(sys.stderr)
