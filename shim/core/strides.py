"""Strides: a chunk that only says more of the same becomes its event in one step.

Most reads of a stream bring one chunk, and most chunks differ from the one before in nothing but their text. While that is so, and
the part in which it is told stays open, a stride has at hand what reading, telling and encoding would find out each time.

Law: a step gives the bytes that `ChunkReader.more`, `Assembler.more` and `encoded` give, and leaves both as these do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from json.encoder import encode_basestring as as_json

from pydantic_core import from_json

from shim.core.assembler import Assembler
from shim.core.deltas import ChunkReader, size_of
from shim.core.source import Source
from shim.core.sse import one_line
from shim.core.text import JOINED_AT, Pieces

TABLED_NUMBERS = 1000
"""Sequence numbers whose digits are at hand: most responses have fewer events."""

_NUMERALS = tuple(b"%d" % number for number in range(TABLED_NUMBERS))


@dataclass(slots=True)
class Stride:
    """Goes on as long as nothing else is heard or told; heartbeats may come between.

    Attributes:
        front: What each chunk begins with, up to its text and the quote before it.
        back: What it ends with, from the quote after its text on.
        barred: Finds what the texts may not hold.
        heard: Where the reader keeps the texts, if it does.
        told: Where the open item keeps them.
        before, middle, after, end: The event, cut where its text (quotes included), its number and its padding stand; with no
            padding the last two simply follow each other.
        noise: Where the padding comes from that hides the length of a text; None if nothing does.
    """

    reader: ChunkReader
    assembler: Assembler
    front: str
    back: str
    barred: Callable[[str], object] | None
    heard: list[str] | None
    told: Pieces
    before: bytes
    middle: bytes
    after: bytes
    end: bytes
    noise: Source | None

    def step(self, payload: str) -> bytes | None:
        """The event of a payload; None, with nothing done, if it has to be read."""
        if not (payload.startswith(self.front) and payload.endswith(self.back)):
            return None
        said = slice(len(self.front) - 1, 1 - len(self.back))  # no string where both parts overlap
        return self.tell(payload[said].encode())

    def tell(self, said: bytes) -> bytes | None:
        """The event of a text; None, with nothing done, if its payload has to be read.

        Args:
            said: The text as JSON, or what is no JSON: it begins and ends with a quote.
        """
        try:
            text: str = from_json(said)
        except ValueError:
            return None
        reader, assembler = self.reader, self.assembler
        length = size = len(text)
        if length != len(said) - 2:  # something in it is escaped or not ASCII; else it can be told as it came
            size, said = size_of(text), one_line(as_json(text).encode())
        if not text or size > reader.room or (self.barred is not None and self.barred(text)):
            return None
        reader.room -= size
        if self.heard is not None:
            self.heard.append(text)
        told = self.told.loose
        told.append(text)
        if len(told) >= JOINED_AT:
            self.told.join()
        number = assembler.number
        assembler.number = number + 1
        noise = self.noise
        padding = b"" if noise is None else noise.padding(length).encode()
        digits = _NUMERALS[number] if number < TABLED_NUMBERS else b"%d" % number
        return b"".join((self.before, said, self.middle, digits, self.after, padding, self.end))


def stride_of(reader: ChunkReader, assembler: Assembler) -> Stride | None:
    """The stride that may begin now, if one may."""
    if (steady := reader.steady()) is None:
        return None
    form, barred, call = steady
    item = assembler.speaking(form.kind, None if call is None else call.key)
    if item is None or item.frame is None:
        return None
    before, middle, after = map(str.encode, item.frame.around())
    end, noise = b"}\n\n", None
    if assembler.shape.obfuscation:
        after, end, noise = after + b',"obfuscation":"', b'"' + end, assembler.source
    return Stride(
        reader,
        assembler,
        form.front,
        form.back,
        None if barred is None else barred.search,
        None if call is None else call.arguments,
        item.text,
        before,
        middle,
        after,
        end,
        noise,
    )
