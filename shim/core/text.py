"""Text that arrives in pieces: surrogate halves, tags and fences that are cut anywhere."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

REPLACEMENT = "\ufffd"


def scrub(text: str) -> str:
    """Join surrogate pairs and replace lone halves, so that the text can be encoded as UTF-8."""
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


def held_back(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    for length in range(min(len(text), len(tag) - 1), 0, -1):
        if tag.startswith(text[-length:]):
            return length
    return 0


Kind = Literal["text", "reasoning", "call", "unclosed"]
Piece = tuple[Kind, str]

THINK_TAGS = {"<think>": "</think>", "<thinking>": "</thinking>"}
CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"


@dataclass(slots=True)
class TagSplitter:
    """Tells reasoning and tool calls that a supplier left in the content from the answer's text.

    Reasoning stands between think tags at the very front. Tool calls stand between `<tool_call>` tags anywhere, and
    are looked for only if `calls` is set; one that never ends is `unclosed`. White space around the tagged parts and
    at both ends of reasoning is dropped, as is content that is nothing but white space.
    """

    calls: bool
    state: Literal["front", "think", "gap", "body", "call"] = "front"
    buffer: str = ""
    closing: str = ""
    thought: bool = False
    blank: list[str] = field(default_factory=list)
    call: list[str] = field(default_factory=list)

    def feed(self, text: str) -> list[Piece]:
        """Split a piece of content; what may yet turn out to be a tag is held back."""
        if self.state == "body" and not self.calls:
            return [("text", text)] if text else []
        pieces: list[Piece] = []
        self.buffer += text
        while self._step(pieces):
            pass
        return pieces

    def flush(self) -> list[Piece]:
        """Everything held back, once no more text will come."""
        if self.state == "call":
            self.state = "gap"
            return [("unclosed", "".join(self.call) + self._taken())]
        return self.release()

    def release(self) -> list[Piece]:
        """What may yet become a tag, told as what it is now: something other than content comes next."""
        if not self.buffer or self.state == "call":
            return []
        if self.state == "think":
            return [("reasoning", self._taken())]
        self.state = "body"
        return [("text", self._taken())]

    def _taken(self) -> str:
        """The buffer, which is then empty, with the white space that stood at the front."""
        text = "".join(self.blank) + self.buffer
        self.buffer = ""
        self.blank.clear()
        return text

    def _step(self, pieces: list[Piece]) -> bool:
        """Take one step; whether there may be another."""
        return {
            "front": self._front,
            "think": self._think,
            "gap": self._gap,
            "body": self._body,
            "call": self._call,
        }[self.state](pieces)

    def _front(self, _: list[Piece]) -> bool:
        start = self.buffer.lstrip()
        self.blank.append(self.buffer[: len(self.buffer) - len(start)])
        self.buffer = start
        for opening, closing in THINK_TAGS.items():
            if start.startswith(opening):
                self.state, self.closing, self.buffer = "think", closing, start[len(opening) :]
                self.blank.clear()
                return True
        if self.calls and start.startswith(CALL_OPEN):
            self.state = "body"
            self.blank.clear()
            return True
        if any(opening.startswith(start) for opening in (*THINK_TAGS, CALL_OPEN if self.calls else "")):
            return False
        self.state, self.buffer = "body", self._taken()
        return True

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
        told = "".join(self.blank) if bare else ""
        if bare:
            self.thought = True
            self.blank.clear()
        self.blank.append(text[len(bare) :])
        return told

    def _gap(self, _: list[Piece]) -> bool:
        self.buffer = self.buffer.lstrip()
        if self.buffer:
            self.state = "body"
        return bool(self.buffer)

    def _body(self, pieces: list[Piece]) -> bool:
        if not self.calls:
            before, found, after = self.buffer, "", ""
        else:
            before, found, after = self.buffer.partition(CALL_OPEN)
        keep = 0 if found or not self.calls else held_back(before, CALL_OPEN)
        self.buffer = after if found else before[len(before) - keep :]
        before = before[: len(before) - keep]
        if found:
            self.state = "call"
        if before:
            pieces.append(("text", before))
        return bool(found)

    def _call(self, pieces: list[Piece]) -> bool:
        before, found, after = self.buffer.partition(CALL_CLOSE)
        if found:
            pieces.append(("call", "".join(self.call) + before))
            self.call.clear()
            self.state, self.buffer = "gap", after
        else:
            keep = held_back(before, CALL_CLOSE)
            self.call.append(before[: len(before) - keep])
            self.buffer = before[len(before) - keep :]
        return bool(found)


_MAYBE_CLOSING = re.compile(r"\n?(?:`+\s*|[ \t\r]*)\Z")
"""What a closing fence may yet become of the end of a text."""


@dataclass(slots=True)
class Unfence:
    """Takes a Markdown fence off a text that begins with one; other text passes as it is."""

    state: Literal["start", "first line", "inside", "plain"] = "start"
    buffer: str = ""
    line: list[str] = field(default_factory=list)

    def feed(self, text: str) -> str:
        """The text that certainly stands inside the fence, or the text itself if there is none."""
        if self.state == "first line" and "\n" not in text:
            self.line.append(text)
            return ""
        self.buffer += text
        if self.state == "start":
            self._decide()
        if self.state == "first line" and "\n" in self.buffer:
            self.state, self.buffer = "inside", self.buffer.partition("\n")[2]
            self.line.clear()
        if self.state == "inside":
            return self._all_but_closing()
        return self._release() if self.state == "plain" else ""

    def _decide(self) -> None:
        start = self.buffer.lstrip()
        if start.startswith("```"):
            self.state, self.buffer = "first line", start
        elif not "```".startswith(start):
            self.state = "plain"

    def _all_but_closing(self) -> str:
        """Everything up to a last line that may be the closing fence."""
        closing = _MAYBE_CLOSING.search(self.buffer)
        keep = closing.start() if closing else len(self.buffer)
        ready, self.buffer = self.buffer[:keep], self.buffer[keep:]
        return ready

    def _release(self) -> str:
        ready, self.buffer = self.buffer, ""
        return ready

    def flush(self) -> str:
        """The end: without the closing fence, if there was one."""
        rest = self._release() + "".join(self.line)
        if self.state == "inside" and rest.rstrip().endswith("```"):
            return "\n" if rest.startswith("\n") else ""
        return rest
