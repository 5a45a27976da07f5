"""Out of file descriptors, or of somebody who reads the log: what runs goes on, what cannot be done is said."""

import contextlib
import os
import resource
import signal
from pathlib import Path

import pytest
from process_stage import Stream, held, raw_connection, text_of
from waiting import until

from shim.simulator import Turn


def open_files(process):
    return len(list(Path(f"/proc/{process.process.pid}/fd").iterdir()))


def cpu_seconds(process):
    fields = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def limited(process, more=0):
    """The process may open so many files more than it has open."""
    pid = process.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(process) + more, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def ready_over(client, process):
    """`/readyz` over a connection that is there."""
    answer = client.get(f"http://127.0.0.1:{process.port}/readyz")
    return answer.status_code, {check["name"]: check["ok"] for check in answer.json()["checks"]}


@pytest.fixture
def process(serve):
    return serve(retry_attempts=2, retry_seconds=1, connect_seconds=2)


def test_at_the_limit_what_runs_goes_on_and_all_is_well_afterwards(process, grid):
    turn, release = held()
    grid.turns.append(turn)
    stream = Stream(process).spoke()
    process.ask()  # opens the connection that is used below, and one to the upstream
    assert ready_over(process.http, process)[0] == 200
    with limited(process), contextlib.ExitStack() as crowd:
        before = cpu_seconds(process)
        for _ in range(20):
            sock = crowd.enter_context(raw_connection(process))
            sock.settimeout(5)
            with contextlib.suppress(OSError):
                sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
                sock.recv(1)  # turned away, or left to wait
        status, checks = ready_over(process.http, process)
        assert (status, checks["descriptors"], checks["process"], checks["upstream"]) == (
            503,
            False,
            True,
            True,
        )
        assert text_of(process.ask().json())  # over connections that are there
        assert cpu_seconds(process) - before < 4  # 20 connections waited for up to 100 s: no busy loop
        release()
        assert stream.whole()[-1]["type"] == "response.completed"
    until(lambda: process.ready()[0] == 200)
    assert process.ask().json()["store"] is True
    assert "Traceback" not in process.said()


def test_an_upstream_that_cannot_be_connected_to_is_a_clear_fault(process, grid):
    turn, release = held()
    process.ask()
    grid.turns.append(turn)
    process.http.get(f"http://127.0.0.1:{process.port}/healthz")
    stream = Stream(process).spoke()  # has the only connection to the upstream
    asked = len(grid.journal.served)
    with limited(process):
        answer = process.ask()
        assert answer.status_code in (502, 503)
        error = answer.json()["error"]
        assert error["type"] == "server_error"
        assert "Too many open files" in error["message"]
        assert len(grid.journal.served) == asked
        release()
        assert stream.whole()[-1]["type"] == "response.completed"
    grid.turns.append(Turn(text="again"))
    assert text_of(process.ask().json()) == "again"
    assert "Traceback" not in process.said()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_log_that_nobody_reads_any_more_takes_no_request_down(tmp_path, serve, grid, log_format):
    reading, writing = os.pipe()
    process = serve(log_format=log_format, stderr=writing)
    os.close(writing)
    assert process.ask().status_code == 200
    os.close(reading)
    for _ in range(3):
        assert process.ask().json()["store"] is True
        assert process.ask(temperature=-1).status_code == 400
    assert Stream(process).whole()[-1]["type"] == "response.completed"
    assert process.ready()[0] == 200
    process.stop()
    assert process.ended() == -15


def test_a_log_on_a_full_disk_takes_no_request_down(serve):
    with open("/dev/full", "wb") as full:  # noqa: PTH123 -- a device
        process = serve(stderr=full)
    for _ in range(3):
        assert process.ask().json()["store"] is True
    assert Stream(process).whole()[-1]["type"] == "response.completed"
    process.stop()
    assert process.ended() == -15


def test_a_log_whose_reader_has_stopped_reading_takes_no_request_down(serve):
    """A full pipe blocks whoever writes to it: that must not be what serves the requests."""
    reading, writing = os.pipe()
    process = serve(stderr=writing)
    fill(writing)
    try:
        for _ in range(3):
            assert process.ask().json()["store"] is True
    finally:
        os.close(reading)


def fill(writing):
    """Leave no room in a pipe, and to others to write to it."""
    with contextlib.suppress(BlockingIOError):
        os.set_blocking(writing, False)
        while True:
            os.write(writing, b"x" * 1000)
    os.set_blocking(writing, True)
    os.close(writing)


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one-process", "two-workers"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_lines_that_wait_when_the_process_is_asked_to_end_are_read_by_who_goes_on_reading(
    serve, options, number
):
    reading, writing = os.pipe()
    process = serve(*options, stderr=writing)
    fill(writing)
    asked = [process.ask().headers["x-request-id"] for _ in range(3)]
    process.stop(number)
    with open(reading, "rb") as log:  # noqa: PTH123 -- a pipe
        said = log.read().decode()
    assert all(said.count(f"request_id={one}") == 1 for one in asked)
    process.ended()


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one-process", "two-workers"])
def test_lines_that_nobody_reads_do_not_keep_a_process_from_its_end(serve, options):
    reading, writing = os.pipe()
    process = serve(*options, stderr=writing)
    fill(writing)
    assert process.ask().status_code == 200
    process.stop()
    try:
        assert process.ended() == -signal.SIGTERM
    finally:
        os.close(reading)
