"""Strides: a chunk that only says more of the same becomes its event in one step.

Most reads of a stream bring one chunk, and most chunks differ from the one before in nothing but their text. While that is so, and
the part in which it is told stays open, a stride has at hand what reading, telling and encoding would find out each time.

Law: a step gives the bytes that `ChunkReader.more`, `Assembler.more` and `encoded` give, and leaves both as these do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from json.encoder import encode_basestring as as_json

from pydantic_core import from_json

from shim.core.assembler import Assembler
from shim.core.deltas import ChunkReader, size_of
from shim.core.sse import one_line
from shim.core.text import JOINED_AT, Pieces


@dataclass(slots=True)
class Stride:
    """Goes on as long as nothing else is heard or told; heartbeats may come between.

    Attributes:
        front: What each chunk begins with, up to its text.
        back: What it ends with.
        barred: What the texts may not hold.
        heard: Where the reader keeps the texts, if it does.
        told: Where the open item keeps them.
        around: The event without its text, its number and its padding.
        padding: Gives what hides the length of a text; None if nothing does.
    """

    reader: ChunkReader
    assembler: Assembler
    front: str
    back: str
    barred: re.Pattern[str] | None
    heard: list[str] | None
    told: Pieces
    around: tuple[str, str, str]
    padding: Callable[[int], str] | None

    def step(self, payload: str) -> bytes | None:
        """The event of a payload; None, with nothing done, if it has to be read."""
        front, back, barred = self.front, self.back, self.barred
        if not (payload.startswith(front) and payload.endswith(back)):
            return None
        try:  # empty where both parts overlap
            text: str = from_json(f'"{payload[len(front) : -len(back)]}"')
        except ValueError:
            return None
        size = len(text) if text.isascii() else size_of(text)
        if not text or size > self.reader.room or (barred is not None and barred.search(text)):
            return None
        self.reader.room -= size
        if self.heard is not None:
            self.heard.append(text)
        told = self.told.loose
        told.append(text)
        if len(told) >= JOINED_AT:
            self.told.join()
        number = self.assembler.number
        self.assembler.number = number + 1
        before, middle, after = self.around
        hidden = f',"obfuscation":"{self.padding(len(text))}"' if self.padding else ""
        return one_line(f"{before}{as_json(text)}{middle}{number}{after}{hidden}}}\n\n".encode())


def stride_of(reader: ChunkReader, assembler: Assembler) -> Stride | None:
    """The stride that may begin now, if one may."""
    if (steady := reader.steady()) is None:
        return None
    form, barred, call = steady
    item = assembler.speaking(form.kind, None if call is None else call.key)
    if item is None or item.frame is None:
        return None
    padding = assembler.source.padding if assembler.shape.obfuscation else None
    heard = None if call is None else call.arguments
    around = item.frame.around()
    return Stride(reader, assembler, form.front, form.back, barred, heard, item.text, around, padding)
