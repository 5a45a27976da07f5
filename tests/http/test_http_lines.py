"""Lines of the log never wait for whoever reads them."""

import errno
import io
import logging
import os
import select
import threading
from types import SimpleNamespace

import pytest
from waiting import PATIENCE

from shim.http import lines
from shim.http.lines import Lines, to_standard_error


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    ends = [reading, writing]
    yield ends
    for end in ends:
        os.close(end)


def log(handler, text):
    handler.emit(logging.LogRecord("shim", logging.INFO, "", 0, text, (), None))


def fill(writing):
    os.set_blocking(writing, False)
    size = 0
    while True:
        try:
            size += os.write(writing, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    return size


def drained(handler, reading, size):
    """Everything that comes out, in the order it went in."""
    os.set_blocking(reading, False)
    said = b""
    while True:
        try:
            said += os.read(reading, 65536)
        except BlockingIOError:
            return said[size:].decode()
        handler.flush()


def test_lines_wait_for_a_reader_who_stopped_and_come_whole_and_in_order(pipe):
    reading, writing = pipe
    handler = Lines(writing)
    size = fill(writing)
    said = [
        f"{number} {'y' * (number * 1000)}" for number in range(30)
    ]  # longer than what a pipe takes at once
    for line in said:
        log(handler, line)
    assert drained(handler, reading, size).splitlines() == said


def test_lines_beyond_the_bound_are_lost_and_counted(pipe, monkeypatch):
    monkeypatch.setattr(lines, "MOST_LINES", 3)
    reading, writing = pipe
    handler = Lines(writing)
    size = fill(writing)
    for number in range(10):
        log(handler, str(number))
    told = drained(handler, reading, size).splitlines()
    assert told == ["0", "1", "2", "7 lines of the log were lost: nobody read it"]
    log(handler, "again")
    assert os.read(reading, 100) == b"again\n"


def test_lines_beyond_the_bytes_that_may_wait_are_lost_and_counted(pipe, monkeypatch):
    monkeypatch.setattr(lines, "MOST_BYTES", 1000)
    reading, writing = pipe
    handler = Lines(writing)
    size = fill(writing)
    said = ["a" * 600, "b" * 600, "c" * 300]
    for line in said:
        log(handler, line)
    told = drained(handler, reading, size).splitlines()
    assert told == [said[0], said[2], "1 lines of the log were lost: nobody read it"]
    for line in said[:2]:  # the room is there again
        log(handler, line)
    assert drained(handler, reading, 0).splitlines() == said[:2]


def test_lines_that_wait_at_the_end_are_written_as_they_are_read(pipe):
    reading, writing = pipe
    handler = Lines(writing)
    size = fill(writing)
    said = [f"{number} {'y' * 1000}" for number in range(1000)]  # many times what a pipe holds
    for line in said:
        log(handler, line)
    read = []
    whole = size + sum(len(line) + 1 for line in said)
    reader = threading.Thread(target=lambda: read.append(read_all(reading, whole)), daemon=True)
    reader.start()
    handler.finish(PATIENCE)
    reader.join(PATIENCE)
    assert read[0][size:].decode().splitlines() == said


def read_all(descriptor, size):
    data = b""
    while len(data) < size:
        data += os.read(descriptor, 65536)
    return data


@pytest.mark.parametrize("seconds", [0, 0.01])
def test_lines_that_nobody_reads_hold_the_end_up_for_a_moment_only(pipe, seconds):
    handler = Lines(pipe[1])
    fill(pipe[1])
    log(handler, "to nobody")
    handler.finish(seconds)
    assert handler._waiting


def test_room_that_another_process_takes_first_is_not_waited_for(pipe):
    reading, writing = pipe
    handler = Lines(writing)
    size = fill(writing)
    polled = handler._poll
    handler._poll = SimpleNamespace(poll=lambda _: [(writing, select.POLLOUT)])  # there was room a moment ago
    log(handler, "later")
    handler._poll = polled
    assert drained(handler, reading, size) == "later\n"


def test_a_system_that_cannot_write_so_takes_lines(pipe, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "pwritev", unsupported)
    reading, writing = pipe
    log(Lines(writing), "hello")
    assert os.read(reading, 100) == b"hello\n"


def test_a_file_takes_lines(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        log(Lines(file.fileno()), "hello")
    assert (tmp_path / "log").read_text() == "hello\n"


def test_a_reader_who_left_costs_the_lines_only(pipe):
    reading, writing = pipe
    handler = Lines(writing)
    os.close(reading)
    pipe.remove(reading)
    for _ in range(3):
        log(handler, "to nobody")
    handler.flush()


def test_a_line_that_cannot_be_written_out_is_reported_as_by_any_handler(pipe, capsys):
    handler = Lines(pipe[1])
    handler.emit(logging.LogRecord("shim", logging.INFO, "", 0, "%d", ("no number",), None))
    assert "Logging error" in capsys.readouterr().err


def test_standard_error_may_be_no_file(monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert type(to_standard_error()) is logging.StreamHandler
