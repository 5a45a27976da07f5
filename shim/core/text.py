"""Text that arrives in pieces: surrogate halves, tags and fences that are cut anywhere."""

from __future__ import annotations

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


Kind = Literal["text", "reasoning", "call"]
Piece = tuple[Kind, str]

THINK_TAGS = {"<think>": "</think>", "<thinking>": "</thinking>"}
CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"


@dataclass(slots=True)
class TagSplitter:
    """Tells reasoning and tool calls that a supplier left in the content from the answer's text.

    Reasoning stands between think tags at the very front. Tool calls stand between `<tool_call>` tags anywhere, and
    are looked for only if `calls` is set. White space between the tagged parts is dropped, as is content that is
    nothing but white space.
    """

    calls: bool
    state: Literal["front", "think", "gap", "body", "call"] = "front"
    buffer: str = ""
    closing: str = ""
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
        buffer, self.buffer = self.buffer, ""
        if self.state == "call":
            self.state = "gap"
            return [("call", "".join(self.call) + buffer)]
        if self.state == "think":
            return [("reasoning", buffer)] if buffer else []
        return [("text", buffer)] if buffer.strip() else []

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
        for opening, closing in THINK_TAGS.items():
            if start.startswith(opening):
                self.state, self.closing, self.buffer = "think", closing, start[len(opening) :]
                return True
        if any(opening.startswith(start) for opening in (*THINK_TAGS, CALL_OPEN if self.calls else "")):
            return False
        self.state = "body"
        return True

    def _think(self, pieces: list[Piece]) -> bool:
        before, found, after = self.buffer.partition(self.closing)
        if found:
            self.state, self.buffer = "gap", after
        else:
            keep = held_back(before, self.closing)
            before, self.buffer = before[: len(before) - keep], before[len(before) - keep :]
        if before:
            pieces.append(("reasoning", before))
        return bool(found)

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
            before = before.rstrip()
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


@dataclass(slots=True)
class Unfence:
    """Takes a Markdown fence off a text that begins with one; other text passes as it is."""

    state: Literal["start", "first line", "inside", "plain"] = "start"
    buffer: str = ""

    def feed(self, text: str) -> str:
        """The text that certainly stands inside the fence, or the text itself if there is none."""
        self.buffer += text
        if self.state == "start":
            self._decide()
        if self.state == "first line" and "\n" in self.buffer:
            self.state, self.buffer = "inside", self.buffer.partition("\n")[2]
        if self.state == "inside":
            return self._all_but_closing()
        return self._release() if self.state == "plain" else ""

    def _decide(self) -> None:
        start = self.buffer.lstrip()
        if start.startswith("```"):
            self.state = "first line"
        elif not "```".startswith(start):
            self.state = "plain"

    def _all_but_closing(self) -> str:
        """Everything up to a last line that may be the closing fence."""
        bare = self.buffer.rstrip()
        fence = bare.rstrip("`")
        keep = len(fence.rstrip("\n"))
        ready, self.buffer = self.buffer[:keep], self.buffer[keep:]
        return ready

    def _release(self) -> str:
        ready, self.buffer = self.buffer, ""
        return ready

    def flush(self) -> str:
        """The end: without the closing fence, if there was one."""
        rest = self._release()
        if self.state == "inside" and rest.rstrip().endswith("```"):
            return "\n" if rest.startswith("\n") else ""
        return rest
