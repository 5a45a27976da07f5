"""From the bytes of an answer to the `data` payloads of its events.

The cutting of the bytes never matters: lines are split here over bytes (only LF, CR and CRLF end one), decoded whole, and
given to httpx-sse; an event of one `data` line, as nearly all are, is read here, at a seventh of the cost. A body that
begins with `{` or `[` is no event stream but one JSON payload, whatever its content type says: some upstreams ignore
`stream: true`.

No I/O, no JSON. Specification: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from httpx_sse._decoders import SSEDecoder

from shim.errors import UpstreamFault

BOM = b"\xef\xbb\xbf"
BLANK = b" \t\r\n"
DONE = "[DONE]"
DATA = b"data: "
END = b"\n\n"
_SEAM = (END + DATA).decode()
_WITHIN = slice(len(DATA), -len(END))
MAX_EVENT_BYTES = 64 << 20
"""Bytes of one line, one event or one JSON answer: more is no answer but a fault, and would fill the memory."""


Taker = Callable[[bytes], bool]
"""Takes bytes ahead of who waits for them; whether it did. If not, nothing is done."""


class Around(NamedTuple):
    """What stands around the one string in which events differ, both its quotes included; an event has `most` bytes at most."""

    begin: bytes
    end: bytes
    most: int


class _Reader(Protocol):
    @property
    def between(self) -> bool: ...
    def feed(self, data: bytes) -> list[str]: ...
    def finish(self) -> list[str]: ...


class PayloadReader:
    """Reads one body, of either kind.

    Attributes:
        between: Whether what comes next begins an event.
    """

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._head = b""
        self._marked = False  # whether a byte order mark could no longer come
        self._begun = False
        self.between = False
        self._reader: _Reader | None = None

    def feed(self, data: bytes) -> list[str]:
        """The payloads that these bytes complete; whole events of one `data` line each, as nearly all are, at once.

        Raises:
            UpstreamFault: A line, event or JSON answer is longer than the limit.
        """
        if self.between and data.startswith(DATA) and data.endswith(END, 0, self._limit):
            text = data[_WITHIN].decode("utf-8", "replace")
            if "\r" not in text:
                if "\n" not in text:  # as there would be, if the end that was found were not the last one
                    return [text] if text else []
                events = text.split(_SEAM)
                if len(data) <= self._limit and "\n" not in "".join(events):
                    return list(filter(None, events))
        return self._read(data)

    def around(self, front: str, back: str) -> Around | None:
        """What a whole event begins and ends with if its payload is a JSON string between two given parts.

        Args:
            front: What stands before it, its first quote included.
            back: What stands after it, its last quote included.

        Returns:
            None if such payloads have several `data` lines.
        """
        if "\n" in front or "\n" in back:
            return None
        return Around(DATA + front.encode(), back.encode() + END, self._limit)

    def _read(self, data: bytes) -> list[str]:
        """The same, whatever the bytes are.

        What ends an event that was begun, and what begins one that is cut, is read by lines; whole events in the middle at once.
        """
        if not self._begun:
            data = self._significant(data)
            if not data:
                return []
            self._begun = True
            if data[:1] not in {b"{", b"["}:
                self.between = True
                return self.feed(data)
            self._reader = JSONReader(self._limit)
        payloads: list[str] = []
        rest = data
        if not self.between:
            begun, end, rest = data.partition(END)
            payloads = self._by_lines(begun + end)
        if self.between:
            whole, end, cut = rest.rpartition(END)
            if end and len(whole) + len(end) < len(data):  # all of it was given to `feed` already
                payloads += self.feed(whole + end)
                rest = cut
        return payloads + self._by_lines(rest)

    def _by_lines(self, data: bytes) -> list[str]:
        if self._reader is None:
            self._reader = EventReader(self._limit)
        payloads = self._reader.feed(data)
        self.between = self._reader.between
        return payloads

    def finish(self) -> list[str]:
        """What the end of the body completes: an event without its blank line, or the JSON answer."""
        return [] if self.between or self._reader is None else self._reader.finish()

    def _significant(self, data: bytes) -> bytes:
        """The bytes without the byte order mark and white space before the first character."""
        if not self._marked:
            data = self._head + data
            if len(data) < len(BOM) and BOM.startswith(data):
                self._head = data
                return b""
            self._marked = True
            data = data.removeprefix(BOM)
        return data.lstrip(BLANK)


class JSONReader:
    """Collects one JSON answer."""

    between = False
    """Whether an event could begin: there are none."""

    def __init__(self, limit: int) -> None:
        self._budget = Budget(limit)
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> list[str]:
        """Nothing yet."""
        self._budget.spend(len(data))
        self._parts.append(data)
        return []

    def finish(self) -> list[str]:
        """The whole answer."""
        return [b"".join(self._parts).decode("utf-8", "replace").strip()]


class EventReader:
    """Reads an event stream.

    The first line of an event, if it is one of data, is kept: followed by a blank line it is the whole event. With
    anything else after it, it goes to the decoder before that.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines = LineSplitter()
        self._budget = Budget(limit)
        self._decoder = SSEDecoder()
        self._between = True
        self._kept = b""

    @property
    def between(self) -> bool:
        """Whether nothing waits for what comes next."""
        return self._between and not self._lines.is_waiting()

    def feed(self, data: bytes) -> list[str]:
        """The data of the events that these bytes complete."""
        payloads = []
        for line in self._lines.feed(data):
            if self._between and line.startswith(DATA) and len(line) <= self._limit:
                self._kept, self._between = line, False
            elif payload := self._take(line):
                payloads.append(payload)
        self._budget.check(len(self._kept) + self._lines.pending)
        return payloads

    def finish(self) -> list[str]:
        """The data of an event that lacks its line end or blank line."""
        payloads = [self._take(line) for line in (self._lines.rest(), b"") if line is not None]
        return [payload for payload in payloads if payload]

    def _take(self, line: bytes) -> str:
        """The event's data if this line ends one, else nothing."""
        kept, self._kept, self._between = self._kept, b"", not line
        if not kept:
            return self._decoded(line)
        if not line:
            return kept[len(DATA) :].decode("utf-8", "replace")
        self._decoded(kept)
        return self._decoded(line)

    def _decoded(self, line: bytes) -> str:
        """What httpx-sse makes of a line.

        An event without data is nothing: httpx-sse makes one of every blank line once an `id` was seen.
        """
        self._budget.spend(len(line))
        event = self._decoder.decode(line.decode("utf-8", "replace"))
        if not line:
            self._budget.reset()
        return event.data if event else ""


class LineSplitter:
    """Splits bytes into lines at LF, CR and CRLF, and at nothing else, in linear time."""

    def __init__(self) -> None:
        self.pending = 0
        self._parts: list[bytes] = []
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that these bytes complete; a CR at the end counts at once, a LF after it no more."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if not data:
            return []
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *others = data.split(b"\n")
        self._keep(first)
        if not others:
            return []
        line = self._whole()
        self._keep(others.pop())
        return [line, *others]

    def is_waiting(self) -> bool:
        """Whether what comes next may belong to what came before."""
        return self._after_cr or bool(self.pending)

    def rest(self) -> bytes | None:
        """The line that was not ended, if there is one."""
        return self._whole() if self.pending else None

    def _keep(self, part: bytes) -> None:
        self._parts.append(part)
        self.pending += len(part)

    def _whole(self) -> bytes:
        line = b"".join(self._parts)
        self._parts = []
        self.pending = 0
        return line


class Budget:
    """Bytes that may still come before something has to end."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._spent = 0

    def spend(self, count: int) -> None:
        """Count bytes that are kept."""
        self._spent += count
        self.check(0)

    def check(self, pending: int) -> None:
        """Raise if these would be too many."""
        if self._spent + pending > self._limit:
            raise UpstreamFault(f"The upstream sent an event of more than {self._limit:,} bytes.")

    def reset(self) -> None:
        """Begin anew."""
        self._spent = 0
