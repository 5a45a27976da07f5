"""Several processes on one port: a parent, which serves nothing, keeps so many workers alive.

Workers are forked from a parent that has imported everything and opened nothing: they share its memory, its settings
and the listening socket, and begin at once. The first starts alone, so that what is wrong is told once and a schema is
upgraded once. A worker that dies, or ends since it alone was asked to, is replaced; one whose parent died ends by itself, as
if asked to.

Not here: what a worker does (`shim.cli.server`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from shim.cli import server
from shim.cli.problem import Problem
from shim.cli.process import settle
from shim.seal_keys import with_its_secrets
from shim.settings import Settings

if TYPE_CHECKING:
    import socket
    from types import FrameType

log = logging.getLogger("shim.workers")

PAUSE_SECONDS = 1.0
"""Time between two attempts to replace a worker that does not start."""

SPARE_SECONDS = 5.0
"""What a worker gets to end beyond the time that it gives its streams and background work; then it is killed."""

Work = Callable[[Callable[[], None]], None]
"""What a worker does; it calls what it is given once clients are answered."""


def serve(settings: Settings, listening: socket.socket, announce: Callable[[], None]) -> None:
    """Serve with `settings.workers` processes until asked to end; `announce` is called once clients are answered.

    Raises:
        Problem: The settings do not go together.
    """
    from shim.http.logs import configure_logging, finish_logging  # noqa: PLC0415 -- slow to import

    check(settings)
    configure_logging(settings)
    settings = server.with_named_secrets(settings)  # says what is wrong with a file that they name
    settings = with_its_secrets(settings)  # where they name none, all workers have the same
    server.prepare(settings)  # tells what is wrong, and imports what workers share
    settle()
    patience = settings.drain_seconds + settings.background_drain_seconds + SPARE_SECONDS

    def work(ready: Callable[[], None]) -> None:
        server.serve_forever(settings, listening, ready, alone=workers.others_go_on)

    workers = Workers(work, announce, patience)
    try:
        ended_by = workers.run(settings.workers, listening)
    finally:
        finish_logging()
    if ended_by != signal.SIGINT:  # as one process does: whoever asked sees what it ended of
        signal.signal(ended_by, signal.SIG_DFL)
        signal.raise_signal(ended_by)


def check(settings: Settings) -> None:
    """Refuse what several processes cannot do.

    Raises:
        Problem: It says which setting is in the way.
    """
    if not hasattr(os, "fork"):
        raise Problem("Several workers need fork, which this system does not have.", "set workers to 1.")
    if settings.store == "memory" or settings.store.rstrip("/") in ("sqlite:", "sqlite:///:memory:"):
        raise Problem(
            f"A store in memory belongs to one process, and there would be {settings.workers}.",
            "take another store, such as --store sqlite, or set workers to 1.",
        )


@dataclass
class Worker:
    """A running worker; `ready` is the end of a pipe that it writes to, None once it has."""

    pid: int
    ready: int | None


class Workers:
    """The parent's view of its workers."""

    def __init__(self, work: Work, announce: Callable[[], None], patience: float) -> None:
        self._work = work
        self._announce = announce
        self._patience = patience
        self._alive: dict[int, Worker] = {}
        self._announced = False
        self._failed = False
        self._not_before = 0.0
        self._asked: int | None = None
        self._hurried = False
        self._all_end = mmap.mmap(-1, 1)  # one byte, which workers see change
        self._lifeline, self._life = os.pipe()
        self._alarm, self._bell = os.pipe()
        os.set_blocking(self._alarm, False)
        os.set_blocking(self._bell, False)

    def run(self, count: int, listening: socket.socket) -> int:
        """Keep so many alive until a signal asks to end; that signal.

        Raises:
            Problem: The first worker could not start; it has told why.
        """
        with self._signals():
            self._fork()
            while self._asked is None and not self._failed:
                self._wait(PAUSE_SECONDS)
                self._bury()
                if self._announced and len(self._alive) < count and time.monotonic() >= self._not_before:
                    self._fork()
            listening.close()
            self._end()
        if self._asked is None:
            sys.exit(1)
        return self._asked

    # -- in the parent ---------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Signals wake `_wait`, and are told by `_asked`."""
        ours = [signal.SIGINT, signal.SIGTERM, signal.SIGCHLD]
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # and not ignored: nohup
            ours.append(signal.SIGHUP)
        before = [signal.signal(number, self._heard) for number in ours]
        signal.set_wakeup_fd(self._bell, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in zip(ours, before, strict=True):
                signal.signal(number, handler)

    def _heard(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGCHLD:
            return
        self._hurried = self._asked is not None
        self._asked = self._asked or number

    def _wait(self, seconds: float) -> None:
        """Until a signal comes, a worker is ready, or this time has passed."""
        waiting = {worker.ready: worker for worker in self._alive.values() if worker.ready is not None}
        heard, _, _ = select.select([self._alarm, *waiting], [], [], seconds)
        for end in heard:
            if end == self._alarm:
                os.read(end, 4096)
            elif os.read(end, 1):
                self._is_ready(waiting[end])

    def _is_ready(self, worker: Worker) -> None:
        assert worker.ready is not None  # noqa: S101 -- it was waited for
        os.close(worker.ready)
        worker.ready = None
        if not self._announced:
            self._announced = True
            self._announce()

    def _bury(self) -> None:
        """Take note of those that have ended."""
        for worker in list(self._alive.values()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if not pid:
                continue
            del self._alive[pid]
            if worker.ready is not None:
                os.close(worker.ready)
                self._not_before = time.monotonic() + PAUSE_SECONDS
                self._failed = not self._announced
            if self._announced and self._asked is None:
                code = os.waitstatus_to_exitcode(status)
                log.warning("worker %d ended (%d); another takes its place", pid, code)

    def _fork(self) -> None:
        ready, tell = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._be_worker(tell)
        os.close(tell)
        self._alive[pid] = Worker(pid, ready)

    def _end(self) -> None:
        """Ask all to end, and make them if they do not."""
        self._all_end[0] = 1
        self._tell(signal.SIGTERM)
        deadline = time.monotonic() + self._patience
        hurrying = False
        while self._alive and (left := deadline - time.monotonic()) > 0:
            self._wait(left)
            self._bury()
            if self._hurried and not hurrying:
                hurrying = True
                self._tell(signal.SIGUSR1)
        self._tell(signal.SIGKILL)
        for pid in self._alive:
            os.waitpid(pid, 0)

    def _tell(self, number: int) -> None:
        for pid in self._alive:
            os.kill(pid, number)

    # -- in a worker -----------------------------------------------------------------------------------------------

    def others_go_on(self) -> bool:
        """Whether a worker that ends does so without the others, as far as the parent knows, or without a parent."""
        return not self._all_end[0]

    def _be_worker(self, tell: int) -> NoReturn:
        """Nothing of the parent's stack is ever returned to."""
        code = 1
        try:
            self._own_signals()
            os.close(self._life)
            if self._asked is None:  # a signal may have come before it was the child's own
                self._work(lambda: self._ready(tell))
            code = 0
        except KeyboardInterrupt:
            code = 0
        except Problem as problem:
            problem.show()
        except BaseException:
            log.exception("a worker failed")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    @staticmethod
    def _own_signals() -> None:
        """As in a process that was started by itself, but Ctrl-C, which all hear, is the parent's to pass on."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)

    def _ready(self, tell: int) -> None:
        """On its loop: tell the parent, and end when the parent does."""
        os.write(tell, b"1")
        os.close(tell)
        loop = asyncio.get_running_loop()

        def orphaned() -> None:
            loop.remove_reader(self._lifeline)
            os.kill(os.getpid(), signal.SIGTERM)

        loop.add_reader(self._lifeline, orphaned)
