"""Runs: deltas of one part that differ in nothing but their text, told together.

What a model says comes in many small pieces, and each is an event of its own. Those of one read are made and encoded
at once here, around text that was made beforehand, which costs a fraction of one event after the other.

Law: `Run.encoded` is what `shim.core.sse.encode` makes of `Run.events`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from json.encoder import encode_basestring as as_json
from typing import cast

from pydantic_core import to_json

from shim.core.sse import encode, framed, one_line
from shim.wire.events import CallDelta, ContentDelta, Event, OutputTextDelta, SummaryTextDelta

SpeechEvent = OutputTextDelta | ContentDelta | SummaryTextDelta | CallDelta

_TEXT, _NUMBER = '"delta":', '"sequence_number":'


@dataclass(slots=True)
class Frame:
    """What all deltas of one part have in common: an event with an empty text, the number 0 and no padding."""

    fields: SpeechEvent
    _around: tuple[str, str, str] | None = None

    def around(self) -> tuple[str, str, str]:
        """Such an event as it is sent, without its last brace: what stands before the text, up to the number, and after it."""
        if self._around is None:
            event = framed(self.fields["type"], to_json(self.fields)).decode()
            front, _, rest = event.partition(_TEXT + '""')
            middle, _, end = rest.partition(_NUMBER + "0")
            self._around = front + _TEXT, middle + _NUMBER, end.removesuffix("}\n\n")
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
        texts, numbers = map(as_json, self.texts), count(self.number)
        if self.paddings is None:
            told = zip(texts, numbers, strict=False)
            events = [f"{front}{text}{middle}{number}{end}}}\n\n" for text, number in told]
        else:
            events = [
                f'{front}{text}{middle}{number}{end},"obfuscation":"{padding}"}}\n\n'
                for text, number, padding in zip(texts, numbers, self.paddings, strict=False)
            ]
        return one_line("".join(events).encode())


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
