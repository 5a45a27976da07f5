"""Text that arrives in pieces: surrogate halves, tags and fences that are cut anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, Self, assert_never

REPLACEMENT = "\ufffd"

JOINED_AT = 32
"""Pieces that are kept as they came."""


def scrub(text: str) -> str:
    """Join surrogate pairs and replace lone halves, so that the text can be encoded as UTF-8."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def is_high_surrogate(character: str) -> bool:
    """Whether a character is the first half of a pair."""
    return "\ud800" <= character <= "\udbff"


@dataclass(slots=True)
class Joiner:
    """Joins surrogate halves over pieces: upstreams written in JavaScript cut an emoji in two."""

    held: str = ""

    def feed(self, piece: str) -> str:
        """The text that is whole so far."""
        if not self.held and piece.isascii():
            return piece
        text = self.held + piece if self.held else piece
        if text and is_high_surrogate(text[-1]):
            self.held, text = text[-1], text[:-1]
        else:
            self.held = ""
        return scrub(text)

    def flush(self) -> str:
        """What is left: the sign of a lost half, or nothing."""
        held, self.held = self.held, ""
        return REPLACEMENT if held else ""


class Pieces:
    """Text said so far, piece by piece; `"".join` makes one of it.

    A piece of some letters takes more than ten times their room, for as long as its stream is open: many at once are
    what a thousand streams would mostly consist of. So they are joined, some at a time.

    Attributes:
        loose: Those that came last; whoever adds to them joins them in time.
    """

    __slots__ = ("_joined", "loose")

    def __init__(self) -> None:
        self._joined: list[str] = []
        self.loose: list[str] = []

    def append(self, piece: str) -> None:
        """One more."""
        self.loose.append(piece)
        if len(self.loose) >= JOINED_AT:
            self.join()

    def __iadd__(self, pieces: Iterable[str]) -> Self:
        self.loose += pieces
        if len(self.loose) >= JOINED_AT:
            self.join()
        return self

    def join(self) -> None:
        """Make one of the loose ones."""
        self._joined.append("".join(self.loose))
        self.loose.clear()

    def __iter__(self) -> Iterator[str]:
        return chain(self._joined, self.loose)


def held_back(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    for length in range(min(len(text), len(tag) - 1), 0, -1):
        if tag.startswith(text[-length:]):
            return length
    return 0


Kind = Literal["text", "reasoning", "call"]
Piece = tuple[Kind, str]
State = Literal["front", "think", "gap", "body", "peek", "call"]

THINK_TAGS = {"<think>": "</think>", "<thinking>": "</thinking>"}
CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
FUNCTION_OPEN = "<function="
FENCE = "```"
_MARKS = re.compile("[<`]")

SLICE = 8192
"""Characters that are looked at together: each tag among them copies what follows it."""


@dataclass(slots=True)
class TagSplitter:
    """Tells reasoning and tool calls that a supplier left in the content from the answer's text.

    Reasoning stands between think tags at the very front, in one block or several; a closing tag without an opening
    one is text. Tool calls stand between `<tool_call>` tags anywhere but in a Markdown code fence, and are looked for
    only if `is_call` is given, which judges what stands between the tags; the closing tag may be missing. White
    space around the tagged parts and at both ends of reasoning is dropped, as is content that is nothing but white
    space. What only looks like a call is text to the letter.
    """

    is_call: Callable[[str], bool] | None = None
    state: State = "front"
    buffer: str = ""
    closing: str = ""
    thought: bool = False
    seam: str = ""
    blank: list[str] = field(default_factory=list)
    call: list[str] = field(default_factory=list)
    fenced: bool = False
    ticks: int = 0

    def is_steady(self) -> bool:
        """Whether content is text to the letter and changes nothing here, unless it holds one of the `barred` characters."""
        return self.state == "body" and (self.is_call is None or not (self.buffer or self.ticks))

    def barred(self) -> re.Pattern[str] | None:
        """What may begin something else than text."""
        return None if self.is_call is None else _MARKS

    def passes(self, text: str) -> bool:
        """Whether a piece of content need not be fed, as it is text to the letter.

        The first character of all ends the front if nothing tagged can begin with it.
        """
        if self.state == "front" and text and not (self.buffer or self.blank):
            first = text[0]
            if first != "<" and not first.isspace():
                self.state = "body"
        return self.is_steady() and bool(text) and not (self.is_call and _MARKS.search(text))

    def feed(self, text: str) -> list[Piece]:
        """Split a piece of content; what may yet turn out to be a tag is held back."""
        pieces: list[Piece] = []
        for start in range(0, len(text), SLICE):
            self.buffer += text[start : start + SLICE]
            while self._step(pieces):
                pass
        return pieces

    def flush(self) -> list[Piece]:
        """Everything held back, once no more text will come."""
        pieces: list[Piece] = []
        if self.state == "call":
            self._end_call(self._taken(), "", pieces)
            return pieces
        return self.release()

    def release(self) -> list[Piece]:
        """What may yet become a tag, told as what it is now: something other than content comes next."""
        pieces: list[Piece] = []
        if self.state == "peek":
            self._end_call(self._taken(), "", pieces)
        elif self.state == "think" and self.buffer:
            pieces.append(("reasoning", self._with_blank()))
        elif self.buffer and self.state != "call":
            self.state = "body"
            self._tell(self._with_blank(), pieces)
        return pieces

    def _taken(self) -> str:
        text, self.buffer = self.buffer, ""
        return text

    def _with_blank(self) -> str:
        """The buffer, which is then empty, with the white space that stood at the front."""
        text = "".join(self.blank) + self._taken()
        self.blank.clear()
        return text

    def _tell(self, text: str, pieces: list[Piece]) -> None:
        """Text of the answer; code fences in it are counted, however they are cut."""
        if not text:
            return
        pieces.append(("text", text))
        seen = "`" * self.ticks + text
        self.fenced ^= bool(seen.count(FENCE) % 2)
        self.ticks = (len(seen) - len(seen.rstrip("`"))) % len(FENCE)

    def _step(self, pieces: list[Piece]) -> bool:
        """Take one step; whether there may be another."""
        match self.state:
            case "body":
                return self._body(pieces)
            case "front":
                return self._front()
            case "think":
                return self._think(pieces)
            case "gap":
                return self._gap()
            case "peek":
                return self._peek(pieces)
            case "call":
                return self._call(pieces)
            case _:
                assert_never(self.state)

    def _front(self) -> bool:
        start = self.buffer.lstrip()
        self.blank.append(self.buffer[: len(self.buffer) - len(start)])
        self.buffer = start
        if self._opens_thought():
            return True
        if self.is_call and start.startswith(CALL_OPEN):
            self.state = "body"
            return True
        if any(opening.startswith(start) for opening in (*THINK_TAGS, CALL_OPEN if self.is_call else "")):
            return False
        self.state, self.buffer = "body", self._with_blank()
        return True

    def _opens_thought(self) -> bool:
        for opening, closing in THINK_TAGS.items():
            if self.buffer.startswith(opening):
                self.state, self.closing, self.buffer = "think", closing, self.buffer[len(opening) :]
                self.blank.clear()
                self.seam, self.thought = "\n\n" if self.thought else self.seam, False
                return True
        return False

    def _think(self, pieces: list[Piece]) -> bool:
        before, found, after = self.buffer.partition(self.closing)
        keep = 0 if found else held_back(before, self.closing)
        self.buffer = after if found else before[len(before) - keep :]
        if thought := self._thought(before[: len(before) - keep]):
            pieces.append(("reasoning", thought))
        if found:
            self.state = "gap"
            self.blank.clear()
        return bool(found)

    def _thought(self, text: str) -> str:
        """More reasoning, without the white space at its front; what may be that at its end waits in `blank`."""
        text = text if self.thought else text.lstrip()
        bare = text.rstrip()
        self.blank.append(text[: len(bare)])
        told = self.seam + "".join(self.blank) if bare else ""
        if bare:
            self.thought, self.seam = True, ""
            self.blank.clear()
        self.blank.append(text[len(bare) :])
        return told

    def _gap(self) -> bool:
        self.buffer = self.buffer.lstrip()
        if self._opens_thought():
            return True
        if any(opening.startswith(self.buffer) for opening in THINK_TAGS):
            return False
        self.state = "body"
        return True

    def _body(self, pieces: list[Piece]) -> bool:
        if self.is_call is None:
            self._tell(self._taken(), pieces)
            return False
        before, found, after = self.buffer.partition(CALL_OPEN)
        keep = 0 if found else held_back(before, CALL_OPEN)
        self.buffer = after if found else before[len(before) - keep :]
        self._tell(before[: len(before) - keep], pieces)
        if found and self.fenced:
            self._tell(CALL_OPEN, pieces)
        elif found:
            self.state = "peek"
        return bool(found)

    def _peek(self, pieces: list[Piece]) -> bool:
        """Look at what follows the opening tag: a call begins in one of three ways."""
        start = self.buffer.lstrip()
        self.call.append(self.buffer[: len(self.buffer) - len(start)])
        self.buffer = start
        if start.startswith(("{", "[", FUNCTION_OPEN)):
            self.state = "call"
            return True
        if FUNCTION_OPEN.startswith(start):
            return False
        self._end_call("", "", pieces)
        return True

    def _call(self, pieces: list[Piece]) -> bool:
        before, found, after = self.buffer.partition(CALL_CLOSE)
        if found:
            self.buffer = after
            self._end_call(before, CALL_CLOSE, pieces)
        else:
            keep = held_back(before, CALL_CLOSE)
            self.call.append(before[: len(before) - keep])
            self.buffer = before[len(before) - keep :]
        return bool(found)

    def _end_call(self, rest: str, closing: str, pieces: list[Piece]) -> None:
        """A call, if it is one; else text, with its tags and the white space before it."""
        said = "".join(self.call) + rest
        front = "".join(self.blank)
        self.call.clear()
        self.blank.clear()
        if self.is_call and self.state == "call" and self.is_call(said):
            self.state = "gap"
            pieces.append(("call", said))
        else:
            self.state = "body"
            self._tell(f"{front}{CALL_OPEN}{said}{closing}", pieces)


@dataclass(slots=True)
class Unfence:
    """Takes a Markdown fence off a text that begins with one; other text passes as it is.

    A piece that settles nothing is put with the others and not looked at again: a long run of white space or
    backticks costs no more than other text.
    """

    state: Literal["start", "first line", "inside", "plain"] = "start"
    held: list[str] = field(default_factory=list)
    closing: bool = False

    def feed(self, text: str) -> str:
        """The text that certainly stands inside the fence, or the text itself if there is none."""
        if not text:
            return ""
        waits = self._settles_nothing(text)
        self.held.append(text)
        if waits:
            return ""
        if self.state == "start":
            self._decide()
        if self.state == "first line":
            self._skip_line()
        if self.state == "inside":
            return self._all_but_closing()
        return self._release() if self.state == "plain" else ""

    def _settles_nothing(self, text: str) -> bool:
        if self.state == "first line":
            return "\n" not in text
        if self.state == "inside" and self.closing and self.held[-1].endswith("`") and not text.strip("`"):
            return True
        return (self.state == "start" or self.closing) and text.isspace()

    def _decide(self) -> None:
        start = "".join(self.held).lstrip()
        if start.startswith(FENCE):
            self.state, self.held = "first line", [start]
        elif not FENCE.startswith(start):
            self.state = "plain"

    def _skip_line(self) -> None:
        line, end, rest = self._release().partition("\n")
        self.state, self.held = ("inside", [rest]) if end else ("first line", [line])

    def _all_but_closing(self) -> str:
        """Everything up to what may be the closing fence, with the line end before it."""
        text = self._release()
        bare = text.rstrip()
        ready = bare.rstrip("`")
        self.closing = len(ready) < len(bare)
        ready = (ready if self.closing else text).removesuffix("\n")
        self.held.append(text[len(ready) :])
        return ready

    def _release(self) -> str:
        ready = "".join(self.held)
        self.held.clear()
        return ready

    def flush(self) -> str:
        """The end: without the closing fence, if there was one."""
        rest = self._release()
        if self.state == "inside" and rest.rstrip().endswith(FENCE):
            return "\n" if rest.startswith("\n") else ""
        return rest
