"""Strides: a chunk that only says more of the same becomes its event in one step.

Most reads of a stream bring one chunk, and most chunks differ from the one before in nothing but their text. While that is so, and
the part in which it is told stays open, a stride has at hand what reading, telling and encoding would find out each time.

Law: what a stride takes becomes the bytes that `ChunkReader.more`, `Assembler.more` and `encoded` give, and leaves both as these do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from json.encoder import encode_basestring as as_json
from math import inf

from pydantic_core import from_json

from shim.core.assembler import Assembler
from shim.core.deltas import ChunkReader, size_of
from shim.core.sse import one_line
from shim.core.text import JOINED_AT, Pieces

TABLED_NUMBERS = 1000
"""Sequence numbers whose digits are at hand: most responses have fewer events."""

Put = Callable[[bytes], bool]
"""Takes a piece at once and says so; or does nothing."""

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
        before, middle, after, end: The event, cut where its text (between its quotes), its number and its padding stand; with
            no padding the last two simply follow each other.
        noise: Makes the padding that hides the length of a text; None if nothing does.
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
    noise: Callable[[int], str] | None
    _made: list[bytes] = field(default_factory=list, init=False)
    _take: Callable[[bytes], bool] | None = field(default=None, init=False)

    def step(self, payload: str) -> bytes | None:
        """The event of a payload; None, with nothing done, if it has to be read."""
        if not payload.startswith(self.front):
            return None
        if self._take is None:
            made = self._made

            def keep(event: bytes) -> bool:
                made.append(event)
                return True

            self._take = self.taker(self.front.encode(), self.back.encode(), inf, keep)
        return self._made.pop() if self._take(payload.encode(errors="surrogatepass")) else None

    def taker(self, begin: bytes, end: bytes, most: float, put: Put) -> Callable[[bytes], bool]:
        """What makes an event of bytes that are a text as JSON between two given parts, and puts it out.

        It says whether it did; if not, nothing is done, but that some noise may be used up, and what came has to be read.
        Most of what a stream costs is spent here, so whatever does not change is at hand.

        Args:
            begin: What stands before the text, its first quote included.
            end: What stands after it, its last quote included.
            most: Bytes that there may be in all.
            put: Where the event goes.
        """
        reader, assembler, barred, noise = self.reader, self.assembler, self.barred, self.noise
        before, middle, after, last = self.before, self.middle, self.after, self.end
        heard, told, loose = self.heard, self.told, self.told.loose
        around = len(begin) + len(end)
        longest = most - around

        def take(data: bytes) -> bool:
            said = data.removeprefix(begin).removesuffix(end)
            size = len(said)
            if size != len(data) - around or size > longest:
                return False
            try:
                text = said.decode()
                if not text.isprintable() or "\\" in text or '"' in text:  # else it is what it says
                    text = from_json(b'"%b"' % said)
                    size, said = size_of(text), one_line(as_json(text).encode())[1:-1]
            except ValueError:
                return False
            room = reader.room - size
            if room < 0 or not text or (barred is not None and barred(text)):
                return False
            number = assembler.number
            padding = b"" if noise is None else noise(len(text)).encode()
            digits = _NUMERALS[number] if number < TABLED_NUMBERS else b"%d" % number
            if not put(b"".join((before, said, middle, digits, after, padding, last))):
                return False
            reader.room = room
            assembler.number = number + 1
            if (
                heard is not None
            ):  # all is kept to the end, and for the same word the parser gives the same string
                heard.append(from_json(b'"%b"' % said))
            loose.append(text)
            if len(loose) >= JOINED_AT:
                told.join()
            return True

        return take


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
        after, end, noise = after + b',"obfuscation":"', b'"' + end, assembler.source.padding
    return Stride(
        reader,
        assembler,
        form.front,
        form.back,
        None if barred is None else barred.search,
        None if call is None else call.arguments,
        item.text,
        before + b'"',
        b'"' + middle,
        after,
        end,
        noise,
    )
