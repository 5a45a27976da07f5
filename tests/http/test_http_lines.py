"""Lines of the log never wait for whoever reads them."""

import io
import logging
import os

import pytest

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
