"""The strings inside JSON text that is still being written.

A call's arguments arrive as pieces of JSON, cut anywhere, even within an escape. `StringScanner` gives the decoded
text of each string value as it grows, with the path at which it stands. It never raises: at the first character
that cannot be JSON, or is nested too deeply, it is `broken` and says no more. Its pieces hold no half of a surrogate
pair but as escapes (`shim.core.text.Joiner` sees to that). Not a validator; `parsed` reads text that is whole.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from shim.core.text import REPLACEMENT, is_high_surrogate, scrub

Path = tuple[str | int, ...]

_PLAIN = re.compile(r'[^"\\]+')
_LITERAL = re.compile(r"[-+.0-9A-Za-z]+")
_SPACE = re.compile(r"[ \t\r\n]+")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX = re.compile(r"[0-9a-fA-F]{4}")

LONGEST_PATH = 4
"""Steps of a path that are told: what stands deeper is nobody's argument, and each string has a path of its own."""

DEEPEST = 1000
"""Objects and arrays within each other: no parser reads more, and each is held as long as it is open."""

_UNICODE_ESCAPE = 6
"""Characters of an escape such as `\\u00e9`."""


def parsed(text: str) -> Any:
    """The value of whole JSON text, lone surrogates replaced; None if it is no JSON."""
    try:
        return from_json(text)
    except (ValueError, TypeError):  # the latter for half a surrogate pair in the text itself
        pass
    try:
        return scrubbed(json.loads(text))
    except (ValueError, RecursionError):
        return None


def scrubbed(value: Any) -> Any:
    """A JSON value whose strings can be encoded."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, list):
        return [scrubbed(sub) for sub in value]
    if isinstance(value, dict):
        return {scrub(key): scrubbed(sub) for key, sub in value.items()}
    return value


@dataclass(slots=True)
class StringPiece:
    """More of the string at `path`, of which the first steps are told; `done` with its last piece."""

    path: Path
    text: str
    done: bool = False


@dataclass(slots=True)
class _Container:
    """An open object (`key` is None before its first key) or array (`index`)."""

    is_object: bool
    key: str | None = None
    index: int = 0
    wants_key: bool = False


@dataclass(slots=True)
class StringScanner:
    """Reads JSON text piece by piece."""

    broken: bool = False
    complete: bool = False
    _stack: list[_Container] = field(default_factory=list)
    _in_string: bool = False
    _in_key: bool = False
    _escape: str = ""
    _high: str = ""
    _text: list[str] = field(default_factory=list)
    _place: Path = ()

    def feed(self, piece: str) -> list[StringPiece]:
        """Read more; the pieces of string values in it."""
        if self._is_plain(piece):
            return [StringPiece(self._place, piece)]
        found: list[StringPiece] = []
        at = 0
        while at < len(piece) and not self.broken and not self.complete:
            at = self._string(piece, at, found) if self._in_string else self._structure(piece, at)
        if self._in_string and not self._in_key:
            self._report(found, done=False)
        return found

    @property
    def path(self) -> Path:
        """Where the reader stands, or the first steps to it."""
        return tuple(
            (container.key or "") if container.is_object else container.index
            for container in self._stack[:LONGEST_PATH]
        )

    def _is_plain(self, piece: str) -> bool:
        """Whether a piece is part of a string value to the letter, and changes nothing here."""
        if not self._in_string or self._in_key or self._escape or self._high or not piece:
            return False
        return '"' not in piece and "\\" not in piece

    # -- strings ----------------------------------------------------------------------------------------------

    def _string(self, piece: str, at: int, found: list[StringPiece]) -> int:
        if self._escape:
            return self._escaped(piece[at], at)
        if plain := _PLAIN.match(piece, at):
            self._append(plain.group())
            return plain.end()
        if piece[at] == "\\":
            self._escape = "\\"
        else:
            self._end_string(found)
        return at + 1

    def _escaped(self, character: str, at: int) -> int:
        self._escape += character
        if self._escape[1] != "u":
            self._finish_escape(_ESCAPES.get(character, self._escape))
        elif len(self._escape) == _UNICODE_ESCAPE:
            code = self._escape[2:]
            self._finish_escape(chr(int(code, 16)) if _HEX.fullmatch(code) else REPLACEMENT)
        return at + 1

    def _finish_escape(self, character: str) -> None:
        self._escape = ""
        if self._high and "\udc00" <= character <= "\udfff":
            pair = (self._high + character).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
            self._high = ""
            self._text.append(pair)
        elif is_high_surrogate(character):
            self._lose_half()
            self._high = character
        else:
            self._append(REPLACEMENT if "\udc00" <= character <= "\udfff" else character)

    def _append(self, text: str) -> None:
        self._lose_half()
        self._text.append(text)

    def _lose_half(self) -> None:
        if self._high:
            self._text.append(REPLACEMENT)
            self._high = ""

    def _end_string(self, found: list[StringPiece]) -> None:
        self._lose_half()
        self._in_string = False
        if self._in_key:
            self._stack[-1].key = "".join(self._text)
            self._stack[-1].wants_key = self._in_key = False
            self._text.clear()
        else:
            self._report(found, done=True)

    def _report(self, found: list[StringPiece], *, done: bool) -> None:
        text = "".join(self._text)
        self._text.clear()
        if text or done:
            found.append(StringPiece(self._place, text, done))

    # -- structure --------------------------------------------------------------------------------------------

    def _structure(self, piece: str, at: int) -> int:
        if space := _SPACE.match(piece, at):
            return space.end()
        character = piece[at]
        top = self._stack[-1] if self._stack else None
        if character not in ("{[" if top is None else '"}' if top.wants_key else character):
            self.broken = True
        elif character == '"':
            self._in_string = True
            self._in_key = top is not None and top.wants_key
            self._place = self.path
        elif character in "{[":
            self._open(is_object=character == "{")
        elif character in "}]":
            self._close(is_object=character == "}")
        elif character == "," and top is not None:
            top.wants_key = top.is_object
            top.index += 1
        elif character != ":":
            return self._literal(piece, at)
        return at + 1

    def _literal(self, piece: str, at: int) -> int:
        literal = _LITERAL.match(piece, at)
        if literal is None:
            self.broken = True
            return at
        return literal.end()

    def _open(self, *, is_object: bool) -> None:
        if len(self._stack) == DEEPEST:
            self.broken = True
        else:
            self._stack.append(_Container(is_object=is_object, wants_key=is_object))

    def _close(self, *, is_object: bool) -> None:
        if self._stack[-1].is_object != is_object:
            self.broken = True
            return
        self._stack.pop()
        self.complete = not self._stack
