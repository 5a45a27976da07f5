"""Output items while they grow, one builder per kind: it opens, it grows, it closes.

A builder knows the events of its kind and nothing of the stream around it: numbers, order and the place in the
output belong to the assembler, which passes a `Door`. Calls are in `shim.core.calls`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from shim.core.chunks import Kind
from shim.core.runs import Frame
from shim.core.text import Pieces
from shim.wire.events import (
    AnnotationAdded,
    ContentDelta,
    Event,
    ItemEvent,
    OutputTextDelta,
    OutputTextDone,
    PartEvent,
    ReasoningTextDone,
    RefusalDone,
    SummaryPartEvent,
    SummaryTextDelta,
    SummaryTextDone,
)
from shim.wire.output import (
    ItemStatus,
    Logprob,
    OutputItem,
    OutputMessage,
    OutputPart,
    OutputReasoning,
    OutputRefusal,
    OutputText,
    Phase,
    ReasoningText,
    SummaryText,
    UrlCitation,
)

Door = Callable[[Event], None]
"""Takes an event; the assembler numbers and keeps it."""

UNNUMBERED = 0
"""Stands for `sequence_number` until the door has numbered the event."""


class Builder(Protocol):
    """What the assembler needs of an item."""

    output_index: int

    def open(self) -> None:
        """Tell that the item begins, as soon as enough of it is known."""

    def close(self, status: ItemStatus) -> None:
        """Tell that the item is complete."""

    def snapshot(self, status: ItemStatus) -> OutputItem:
        """The item as it stands."""


@dataclass(slots=True)
class Item:
    """What every builder has."""

    item_id: str
    output_index: int
    door: Door

    def added(self, item: OutputItem) -> None:
        """The item begins."""
        self._announce("response.output_item.added", item)

    def done(self, item: OutputItem) -> None:
        """The item is complete."""
        self._announce("response.output_item.done", item)

    def _announce(
        self, kind: Literal["response.output_item.added", "response.output_item.done"], item: OutputItem
    ) -> None:
        self.door(ItemEvent(type=kind, item=item, output_index=self.output_index, sequence_number=UNNUMBERED))


@dataclass(slots=True)
class Speech(Item):
    """An item in which a model says one thing bit by bit: in `text`, in a `frame` as long as more is told as it comes."""

    says: ClassVar[Kind]
    text: Pieces = field(default_factory=Pieces, init=False)
    frame: Frame | None = field(default=None, init=False)


# -- messages -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class MessageBuilder(Speech):
    """A message: text, or a refusal, or text and then a refusal.

    Of a `silent` one nobody hears: of its events only those count that give it its place, and the frequent others are not made.
    """

    says = "text"
    silent: bool = False
    phase: Phase | None = field(default=None, init=False)
    parts: list[OutputPart] = field(default_factory=list, init=False)
    part: Literal["output_text", "refusal"] | None = field(default=None, init=False)
    logprobs: list[Logprob] = field(default_factory=list, init=False)
    annotations: list[UrlCitation] = field(default_factory=list, init=False)

    def open(self) -> None:
        """Tell that the message begins."""
        self.added(self.snapshot("in_progress"))

    def grow_text(self, text: str, logprobs: list[Logprob]) -> None:
        """More text."""
        if self.part != "output_text":
            self._enter("output_text")
        self.text.append(text)
        if logprobs:
            self.logprobs.extend(logprobs)
        if not self.silent:
            self.door(self._delta(text, logprobs))

    def _delta(self, text: str, logprobs: list[Logprob]) -> OutputTextDelta:
        return {
            "type": "response.output_text.delta",
            "content_index": len(self.parts),
            "delta": text,
            "item_id": self.item_id,
            "logprobs": logprobs,
            "output_index": self.output_index,
            "sequence_number": UNNUMBERED,
        }

    def grow_refusal(self, text: str) -> None:
        """More of a refusal."""
        self._enter("refusal")
        self.text.append(text)
        event: ContentDelta = {
            "type": "response.refusal.delta",
            "content_index": len(self.parts),
            "delta": text,
            "item_id": self.item_id,
            "output_index": self.output_index,
            "sequence_number": UNNUMBERED,
        }
        self.door(event)

    def annotate(self, annotation: UrlCitation) -> None:
        """A source for a span of the text."""
        self._enter("output_text")
        self.door(
            AnnotationAdded(
                type="response.output_text.annotation.added",
                annotation=annotation,
                annotation_index=len(self.annotations),
                content_index=len(self.parts),
                item_id=self.item_id,
                output_index=self.output_index,
                sequence_number=UNNUMBERED,
            )
        )
        self.annotations.append(annotation)

    def close(self, status: ItemStatus) -> None:
        """Tell that the last part and the message are complete."""
        self._leave()
        self.done(self.snapshot(status))

    def snapshot(self, status: ItemStatus) -> OutputMessage:
        """The message as it stands."""
        parts = [*self.parts, self._current()] if self.part else list(self.parts)
        message = OutputMessage(
            id=self.item_id, type="message", status=status, content=parts, role="assistant"
        )
        if self.phase:
            message["phase"] = self.phase
        return message

    def _enter(self, part: Literal["output_text", "refusal"]) -> None:
        if self.part == part:
            return
        self._leave()
        self.part = part
        if not self.silent:
            self._part_event("response.content_part.added", self._current())
        if part == "output_text":
            self.frame = Frame(self._delta("", []))

    def _current(self) -> OutputPart:
        text = "".join(self.text)
        if self.part == "refusal":
            return OutputRefusal(type="refusal", refusal=text)
        return OutputText(
            type="output_text", annotations=list(self.annotations), logprobs=list(self.logprobs), text=text
        )

    def _leave(self) -> None:
        """Close the open part."""
        if self.part is None:
            return
        current = self._current()
        if not self.silent:
            self._text_done(current)
            self._part_event("response.content_part.done", current)
        self.parts.append(current)
        self.part = self.frame = None
        self.text, self.logprobs, self.annotations = Pieces(), [], []

    def _text_done(self, part: OutputPart) -> None:
        if part["type"] == "refusal":
            self.door(
                RefusalDone(
                    type="response.refusal.done",
                    content_index=len(self.parts),
                    item_id=self.item_id,
                    output_index=self.output_index,
                    refusal=part["refusal"],
                    sequence_number=UNNUMBERED,
                )
            )
            return
        self.door(
            OutputTextDone(
                type="response.output_text.done",
                content_index=len(self.parts),
                item_id=self.item_id,
                logprobs=part["logprobs"],
                output_index=self.output_index,
                sequence_number=UNNUMBERED,
                text=part["text"],
            )
        )

    def _part_event(
        self, kind: Literal["response.content_part.added", "response.content_part.done"], part: OutputPart
    ) -> None:
        self.door(
            PartEvent(
                type=kind,
                content_index=len(self.parts),
                item_id=self.item_id,
                output_index=self.output_index,
                part=part,
                sequence_number=UNNUMBERED,
            )
        )


# -- reasoning ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ReasoningBuilder(Speech):
    """Raw reasoning, shown as content. `seal` makes `encrypted_content`, if the client wants it."""

    says = "reasoning"
    seal: Callable[[str], str] | None = None

    def open(self) -> None:
        """Tell that reasoning begins."""
        self.added(self._item(text=None, sealed=False))
        self._part_event("response.content_part.added", "")
        self.frame = Frame(self._delta(""))

    def grow(self, text: str) -> None:
        """More reasoning."""
        self.text.append(text)
        self.door(self._delta(text))

    def _delta(self, text: str) -> ContentDelta:
        return {
            "type": "response.reasoning_text.delta",
            "content_index": 0,
            "delta": text,
            "item_id": self.item_id,
            "output_index": self.output_index,
            "sequence_number": UNNUMBERED,
        }

    def close(self, status: ItemStatus) -> None:
        """Tell that reasoning is complete; it has no status."""
        text = "".join(self.text)
        self.door(
            ReasoningTextDone(
                type="response.reasoning_text.done",
                content_index=0,
                item_id=self.item_id,
                output_index=self.output_index,
                sequence_number=UNNUMBERED,
                text=text,
            )
        )
        self._part_event("response.content_part.done", text)
        self.done(self.snapshot(status))

    def snapshot(self, status: ItemStatus) -> OutputReasoning:
        """The item as it stands; sealed once it is complete."""
        return self._item("".join(self.text), sealed=status != "in_progress")

    def _item(self, text: str | None, *, sealed: bool) -> OutputReasoning:
        content = [] if text is None else [ReasoningText(type="reasoning_text", text=text)]
        item = OutputReasoning(id=self.item_id, type="reasoning", summary=[], content=content)
        if self.seal and sealed:
            item["encrypted_content"] = self.seal(text or "")
        return item

    def _part_event(
        self, kind: Literal["response.content_part.added", "response.content_part.done"], text: str
    ) -> None:
        self.door(
            PartEvent(
                type=kind,
                content_index=0,
                item_id=self.item_id,
                output_index=self.output_index,
                part=ReasoningText(type="reasoning_text", text=text),
                sequence_number=UNNUMBERED,
            )
        )


@dataclass(slots=True)
class SummaryBuilder(Speech):
    """Reasoning shown as a summary of one part, for clients that asked for one."""

    says = "reasoning"
    seal: Callable[[str], str] | None = None

    def open(self) -> None:
        """Tell that reasoning begins."""
        self.added(OutputReasoning(id=self.item_id, type="reasoning", summary=[]))
        self._part_event("response.reasoning_summary_part.added", "")
        self.frame = Frame(self._delta(""))

    def grow(self, text: str) -> None:
        """More reasoning."""
        self.text.append(text)
        self.door(self._delta(text))

    def _delta(self, text: str) -> SummaryTextDelta:
        return {
            "type": "response.reasoning_summary_text.delta",
            "delta": text,
            "item_id": self.item_id,
            "output_index": self.output_index,
            "sequence_number": UNNUMBERED,
            "summary_index": 0,
        }

    def close(self, status: ItemStatus) -> None:
        """Tell that reasoning is complete; it has no status."""
        text = "".join(self.text)
        self.door(
            SummaryTextDone(
                type="response.reasoning_summary_text.done",
                item_id=self.item_id,
                output_index=self.output_index,
                sequence_number=UNNUMBERED,
                summary_index=0,
                text=text,
            )
        )
        self._part_event("response.reasoning_summary_part.done", text)
        self.done(self.snapshot(status))

    def snapshot(self, status: ItemStatus) -> OutputReasoning:
        """The item as it stands; sealed once it is complete."""
        text = "".join(self.text)
        summary = [SummaryText(type="summary_text", text=text)]
        item = OutputReasoning(id=self.item_id, type="reasoning", summary=summary)
        if self.seal and status != "in_progress":
            item["encrypted_content"] = self.seal(text)
        return item

    def _part_event(
        self,
        kind: Literal["response.reasoning_summary_part.added", "response.reasoning_summary_part.done"],
        text: str,
    ) -> None:
        self.door(
            SummaryPartEvent(
                type=kind,
                item_id=self.item_id,
                output_index=self.output_index,
                part=SummaryText(type="summary_text", text=text),
                sequence_number=UNNUMBERED,
                summary_index=0,
            )
        )
