"""Log lines to standard error, without ever waiting for whoever reads it.

A pipe that nobody empties, or a terminal that was stopped, blocks whoever writes to it, and with it the loop that serves
everyone. So lines wait here instead, up to a bound, and go out with a later one.

Not here: what is logged, and how (`shim.http.logs`).
"""

from __future__ import annotations

import errno
import logging
import os
import select
import stat
import sys
from collections import deque

from shim.ambient import monotonic

MOST_LINES = 10_000
"""Lines that may wait; further ones are lost, and their number is told."""

MOST_BYTES = 16 << 20
"""Bytes of lines that may wait, likewise: what a line quotes of a request may be long."""

AT_ONCE = 4096
"""Bytes that a pipe which can be written to takes without blocking: Linux's PIPE_BUF."""

LAST_SECONDS = 2.0
"""Time that lines which still wait at the end of the process get to be read."""

UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS)
"""What older kernels say to a write that must not block."""


class Lines(logging.Handler):
    """Writes to a file descriptor as it takes them. One that is broken or full loses lines, and nothing else."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._waiting: deque[bytes | memoryview] = deque()
        self._waiting_bytes = 0
        self._lost = 0
        self._put = _put_at_once if _is_pipe(descriptor) else os.write
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, after those that wait; called under the handler's lock."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 -- as every handler does
            self.handleError(record)
            return
        self._say(line)

    def say(self, line: str) -> None:
        """Write a line of which there is no record, after those that wait."""
        self.acquire()
        try:
            self._say(line)
        finally:
            self.release()

    def _say(self, line: str) -> None:
        data = f"{line}\n".encode(errors="backslashreplace")
        if not self._waiting and len(data) <= AT_ONCE and self._poll.poll(0):
            data = data[self._written(data) :]
            if not data:
                return
        if len(self._waiting) >= MOST_LINES or (
            self._waiting and self._waiting_bytes + len(data) > MOST_BYTES
        ):
            self._lost += 1
        else:
            self._wait(data)
        self._write()

    def flush(self) -> None:
        """Write what can be written now."""
        self.acquire()
        try:
            self._write()
        finally:
            self.release()

    def finish(self, seconds: float = LAST_SECONDS) -> None:
        """Write all that waits, as long as somebody reads it within so many seconds."""
        deadline = monotonic() + seconds
        while True:
            self.flush()
            left = deadline - monotonic()
            if not self._waiting or left <= 0:
                return
            self._poll.poll(left * 1000)

    def _wait(self, line: bytes) -> None:
        self._waiting.append(line)
        self._waiting_bytes += len(line)

    def _written(self, line: bytes | memoryview) -> int:
        """Write what is taken at once; how much of the line is done with, which a broken descriptor is with all of it."""
        try:
            return self._put(self._descriptor, line[:AT_ONCE])
        except BlockingIOError:
            return 0
        except OSError:
            return len(line)

    def _write(self) -> None:
        while self._waiting and self._poll.poll(0):
            line = self._waiting[0]
            written = self._written(line)
            if not written:
                return
            self._waiting_bytes -= written
            if rest := memoryview(line)[written:]:  # no copy, however long the line
                self._waiting[0] = rest
                continue
            self._waiting.popleft()
            if not self._waiting and self._lost:
                self._wait(b"%d lines of the log were lost: nobody read it\n" % self._lost)
                self._lost = 0


def _put_at_once(descriptor: int, data: bytes | memoryview) -> int:
    """Write to a pipe that other processes write to as well: the room that was there may be taken."""
    try:
        return os.pwritev(descriptor, [data], -1, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return os.write(descriptor, data)


def _is_pipe(descriptor: int) -> bool:
    """Whether it is a pipe, on a system that may write to one without blocking."""
    return hasattr(os, "RWF_NOWAIT") and stat.S_ISFIFO(os.fstat(descriptor).st_mode)


def to_standard_error() -> logging.Handler:
    """A handler for standard error, whatever it is."""
    try:
        return Lines(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # no poll on Windows; replaced by something that is no file
        return logging.StreamHandler(sys.stderr)
