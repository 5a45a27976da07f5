"""Runs: deltas of one part that differ in nothing but their text, told together.

What a model says comes in many small pieces, and each is an event of its own. Those of one read are made and encoded
at once here, around bytes that were made beforehand, which costs a fraction of one event after the other.

Law: `Run.encoded` is what `shim.core.sse.encode` makes of `Run.events`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import cast

from pydantic_core import to_json

from shim.core.sse import encode, framed, one_line
from shim.wire.events import ContentDelta, Event, OutputTextDelta, SummaryTextDelta

SpeechEvent = OutputTextDelta | ContentDelta | SummaryTextDelta

_TEXT, _NUMBER = b'"delta":', b'"sequence_number":'


@dataclass(slots=True)
class Frame:
    """What all deltas of one part have in common: an event with an empty text, the number 0 and no padding."""

    fields: SpeechEvent
    _around: tuple[bytes, bytes, bytes] | None = None

    def around(self) -> tuple[bytes, bytes, bytes]:
        """The bytes of such an event before the text, those up to the number, and those after it."""
        if self._around is None:
            event = framed(self.fields["type"], to_json(self.fields))
            front, _, rest = event.partition(_TEXT + b'""')
            middle, _, end = rest.partition(_NUMBER + b"0")
            self._around = front + _TEXT, middle + _NUMBER, end.removesuffix(b"}\n\n")
        return self._around


@dataclass(slots=True)
class Run:
    """Some deltas of one part.

    Attributes:
        frame: What they have in common.
        number: The sequence number of the first.
        texts: What each says.
        paddings: What hides the length of each; None if nothing does.
    """

    frame: Frame
    number: int
    texts: Sequence[str]
    paddings: Sequence[str] | None

    def events(self) -> list[SpeechEvent]:
        """One event after the other."""
        events = [
            {**self.frame.fields, "delta": text, "sequence_number": number}
            for number, text in enumerate(self.texts, self.number)
        ]
        for event, padding in zip(events, self.paddings or (), strict=False):
            event["obfuscation"] = padding
        return cast("list[SpeechEvent]", events)

    def encoded(self) -> bytes:
        """The same as bytes of a server-sent event stream."""
        front, middle, end = self.frame.around()
        number = self.number
        pieces: list[bytes] = []
        for text, padding in zip(self.texts, self.paddings or repeat(None), strict=False):
            hidden = b"" if padding is None else b',"obfuscation":"%b"' % padding.encode()
            pieces += front, to_json(text), b"%b%d%b%b}\n\n" % (middle, number, end, hidden)
            number += 1
        data = b"".join(pieces)
        return data if data.isascii() else one_line(data)


Told = Event | Run
"""What is told: an event, or several as one."""


def encoded(told: Sequence[Told]) -> bytes:
    """All of it as bytes of a server-sent event stream."""
    return b"".join([each.encoded() if isinstance(each, Run) else encode(each) for each in told])


def one_by_one(told: Sequence[Told]) -> list[Event]:
    """All of it, one event after the other."""
    events: list[Event] = []
    for each in told:
        if isinstance(each, Run):
            events += each.events()
        else:
            events.append(each)
    return events
