"""Events as bytes of a server-sent event stream.

An event is one `event:` line, one `data:` line and a blank line. Whatever a model writes, nothing in the data can
end a line: JSON escapes the control characters, and the line separators beyond ASCII, at which some widely used
readers cut, are escaped here.
"""

from __future__ import annotations

from pydantic_core import to_json

from shim.wire.events import Event

_SEPARATORS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


def encode(event: Event) -> bytes:
    """One event, ready to send."""
    return framed(event["type"], data_of(event))


def data_of(event: Event) -> bytes:
    """An event's JSON in one line, as it is sent and stored."""
    return one_line(to_json(event, inf_nan_mode="null"))


def one_line(data: bytes) -> bytes:
    """JSON without the separators at which some readers end a line."""
    if not data.isascii():
        for separator, escape in _SEPARATORS:
            data = data.replace(separator, escape)
    return data


def framed(kind: str, data: bytes) -> bytes:
    """The JSON of an event of this type, ready to send."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
