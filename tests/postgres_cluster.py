"""A private PostgreSQL on loopback in a temporary folder, for as long as a test session.

Stops only what it started. As root it runs the server as the user `postgres`, for the server refuses root.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from processes import children, still
from served import free_port

START_SECONDS = 60
SUPERUSER = "shim"
PLACES = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql*/bin")


def server_binaries():
    """The folder of `initdb` and `pg_ctl`, or None."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += [one for place in PLACES for one in sorted(Path("/").glob(place), reverse=True)]
    return next((one for one in folders if (one / "initdb").exists() and (one / "pg_ctl").exists()), None)


def missing():
    """Why there can be no cluster, or None."""
    if server_binaries() is None:
        return "PostgreSQL's server is not installed (initdb was not found)"
    if os.geteuid() == 0 and not (_has_user("postgres") and shutil.which("runuser")):
        return "PostgreSQL does not run as root, and there is no user postgres to run it"
    return None


def needed():
    """Skip the test where there can be no cluster, or nothing speaks to it."""
    import pytest  # noqa: PLC0415 -- the benchmarks, which share this file, need none

    if reason := missing():
        pytest.skip(reason)
    pytest.importorskip("asyncpg", reason="asyncpg is not installed: it speaks to PostgreSQL")


def _has_user(name):
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _run(*command):
    prefix = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*prefix, *map(str, command)],
        check=False,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        cwd="/",
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Server:
    """A server that can be stopped and started; `url.format(database=...)` names a database in it."""

    def __init__(self, folder, binaries, port):
        self.url = f"postgresql://{SUPERUSER}:unused@127.0.0.1:{port}/{{database}}"
        self._control = binaries / "pg_ctl"
        self._data = folder / "data"
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off -c full_page_writes=off"
        self._start = ("-l", folder / "log", "-t", START_SECONDS, "-w", "-o", options, "start")

    def start(self):
        _run(self._control, "-D", self._data, *self._start)

    def stop(self):
        _run(self._control, "-D", self._data, "-m", "immediate", "-w", "stop")

    @contextmanager
    def silent(self):
        """While the context is open the server's processes stand still: it takes connections and says nothing."""
        main = int((self._data / "postmaster.pid").read_text().split()[0])
        with still(main, *children(main)):
            yield


@contextmanager
def cluster():
    """`with cluster() as url`: a server; `url.format(database=...)` names a database in it."""
    with server() as running:
        yield running.url


@contextmanager
def server():
    """`with server() as running`: a `Server`, started, and whatever became of it stopped in the end."""
    folder = Path(tempfile.mkdtemp(prefix="shim-pg-"))
    binaries, data, port = server_binaries(), folder / "data", free_port()
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    try:
        _run(
            binaries / "initdb",
            "-D",
            data,
            "-U",
            SUPERUSER,
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
        )
        running = Server(folder, binaries, port)
        running.start()
        try:
            yield running
        finally:
            if (data / "postmaster.pid").exists():
                running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
