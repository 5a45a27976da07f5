"""Deltas as the events of a response: every rule of the Responses stream lives here.

One item is open at a time. `_door` is the only place where events are numbered and padded and where items take
their place in the output. A call is told as it grows, but it is released (`output_item.done`) only once the
upstream has given its finish reason, since clients run a call when they see it whole; until then everything after
the first call waits in line. A call that was cut is never released, whatever ended the answer: it stands in the
output as incomplete.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar, assert_never, cast

from shim.core.calls import CALL_BUILDERS, CallBuilder, CompactedBuilder, CompactionBuilder, flaw_of
from shim.core.chunks import Kind, More
from shim.core.deltas import (
    CallArguments,
    CallStart,
    Citation,
    Delta,
    Finish,
    ReasoningText,
    RefusalText,
    Served,
    Text,
    Used,
    deltas_of,
)
from shim.core.fields import FinishReason
from shim.core.items import (
    UNNUMBERED,
    Builder,
    Door,
    MessageBuilder,
    ReasoningBuilder,
    Speech,
    SummaryBuilder,
)
from shim.core.runs import Run, Told
from shim.core.source import Source
from shim.core.tools import Toolbox
from shim.core.usage import NO_USAGE, together
from shim.errors import Fault, UpstreamFault, cut_stream
from shim.wire.events import DeltaEvent, ErrorEvent, Event, Lifecycle
from shim.wire.output import ItemStatus, OutputCompaction, OutputItem
from shim.wire.response import (
    IncompleteDetails,
    Response,
    ResponseError,
    ResponseStatus,
    Usage,
)

AnyBuilder = TypeVar("AnyBuilder", bound=Builder)

State = Literal["new", "queued", "open", "finished", "ended"]
Act = Literal["queue", "start", "feed", "finish", "fail", "cancel"]

TRANSITIONS: dict[tuple[State, Act], State] = {
    ("new", "queue"): "queued",
    ("new", "start"): "open",
    ("queued", "start"): "open",
    ("queued", "fail"): "ended",
    ("queued", "cancel"): "ended",
    ("open", "feed"): "open",
    ("open", "finish"): "ended",
    ("open", "fail"): "ended",
    ("open", "cancel"): "ended",
    ("finished", "feed"): "finished",
    ("finished", "finish"): "ended",
    ("finished", "fail"): "ended",
    ("finished", "cancel"): "ended",
}
"""What may be done when. `feed` with a finish reason leads from open to finished; anything else is an error.

Only background responses are queued and cancelled.
"""


class IllegalTransitionError(AssertionError):
    """The assembler was driven wrongly: our fault, never the upstream's."""


MOST_OUTPUT_ITEMS = 10_000
"""Items of one output, unless another bound is given."""


class Shape(NamedTuple):
    """How a response is to be told.

    `reasoning` says where reasoning appears; `seal` makes `encrypted_content` where the client asked for it;
    `compact` seals the summary if the answer is to be one compaction item; `compacted` is one that stands before the
    model's own items, since the conversation was compacted before it was answered, and `spent` what that cost.
    `refusals_as_text` is for clients that show nothing of a refusal (Codex). `most_items` bounds the output.
    """

    toolbox: Toolbox
    reasoning: Literal["content", "summary"] = "content"
    seal: Callable[[str], str] | None = None
    compact: Callable[[str], str] | None = None
    obfuscation: bool = True
    compacted: OutputCompaction | None = None
    spent: Usage | None = None
    refusals_as_text: bool = False
    most_items: int = MOST_OUTPUT_ITEMS


_INCOMPLETE: dict[FinishReason, IncompleteDetails] = {
    "length": IncompleteDetails(reason="max_output_tokens"),
    "content_filter": IncompleteDetails(reason="content_filter"),
}


@dataclass(slots=True)
class Assembler:
    """Tells one response, or goes on telling one from a `state`, its `output` so far and the next event's `number`.

    `template` is the response as it begins; `source` gives ids, time and padding. A `silent` one makes the same response, and
    no events of it.
    """

    template: Response
    shape: Shape
    source: Source
    state: State = "new"
    usage: Usage | None = None
    served: Served | None = None
    reason: FinishReason | None = None
    output: list[OutputItem] = field(default_factory=list)
    final: Response | None = None
    fault: Fault | None = None
    number: int = 0
    silent: bool = False
    _events: list[Event] = field(default_factory=list, init=False)
    _next_index: int = 0
    _open: Builder | None = None
    _open_key: int | None = None
    _line: dict[int | str, list[Delta]] = field(default_factory=dict, init=False)
    _call_ids: set[str] = field(default_factory=set, init=False)
    _called: bool = False

    # -- acts -------------------------------------------------------------------------------------------------

    def queue(self) -> list[Event]:
        """A background response waits for its turn: `created` and `queued`."""
        self._enter("queue")
        self._lifecycle("response.created", self._response("queued"))
        self._lifecycle("response.queued", self._response("queued"))
        return self._take()

    def start(self) -> list[Event]:
        """The upstream has accepted: `created`, unless it was queued before, and `in_progress`."""
        new = self.state == "new"
        self._enter("start")
        if new and not self.silent:
            self._lifecycle("response.created", self._response("in_progress"))
        if not self.silent:
            self._lifecycle("response.in_progress", self._response("in_progress"))
        if compacted := self.shape.compacted:
            self._begin(CompactedBuilder(compacted["id"], self._next_index, self._door, compacted))
            self._close("completed")
        return self._take()

    def feed(self, deltas: list[Delta]) -> list[Event]:
        """The model said more."""
        if TRANSITIONS.get((self.state, "feed")) != self.state:
            self._enter("feed")
        for delta in deltas:
            self._feed(delta)
        return self._take()

    def more(self, more: More) -> list[Told]:
        """The model said more of the same: what `feed` tells of it, as one run where an item of this kind is open."""
        item, texts = self.speaking(more.kind, more.key), more.texts
        if item is None or item.frame is None:
            return [*self.feed(deltas_of(more))]
        item.text += texts
        if self.silent:
            return []
        number = self.number
        self.number = number + len(texts)
        paddings = [*map(self.source.padding, map(len, texts))] if self.shape.obfuscation else None
        return [Run(item.frame, number, texts, paddings)]

    def speaking(self, kind: Kind, key: int | None) -> Speech | None:
        """The open item in which more of this kind, or of the call of this key, is told; None if there is none."""
        item = self._open
        if isinstance(item, Speech) and item.says == kind and key == self._open_key and self.state == "open":
            return item
        return None

    def finish(self) -> list[Event]:
        """The upstream's stream has ended: well if there was a finish reason, else it was cut."""
        ended = self._after("finish")
        if self.reason is None:
            return self.fail(cut_stream())
        if self.shape.compact and not self.output:
            return self.fail(UpstreamFault("The model wrote no summary to compact the conversation into."))
        self.state = ended
        details = _INCOMPLETE.get(self.reason)
        response = self._response("incomplete" if details else "completed")
        response["incomplete_details"] = details
        response["completed_at"] = None if details else self.source.now()
        return self._end("response.incomplete" if details else "response.completed", response)

    def fail(self, fault: Fault) -> list[Event]:
        """Something went wrong after the start: an `error` event, then `response.failed`."""
        self._enter("fail")
        self.fault = copy(fault)  # without its traceback, which leads back to here: a cycle
        self._door(ErrorEvent(type="error", error=fault.body, sequence_number=UNNUMBERED))
        response = self._response("failed")
        response["usage"] = None
        response["error"] = ResponseError(code=fault.response_code, message=fault.message)
        return self._end("response.failed", response)

    def cancel(self) -> Response:
        """The client wants no more: what was told so far stands. The API has no event for this."""
        self._enter("cancel")
        self.final = self._response("cancelled")
        self.final["usage"] = None
        self.let_go()
        return self.final

    def let_go(self) -> None:
        """Nothing more is told: forget the open item, which leads back to here and would stay until the collector comes by."""
        self._open = None
        self._line.clear()

    def heartbeat(self) -> list[Event]:
        """A further `in_progress`, to show that the stream lives; nothing before the start or after the end.

        It holds everything told so far: the Node SDK goes on from the response that it finds there.
        """
        if self.state not in ("open", "finished"):
            return []
        self._lifecycle("response.in_progress", self._response("in_progress"))
        return self._take()

    def _enter(self, act: Act) -> None:
        self.state = self._after(act)

    def _after(self, act: Act) -> State:
        """The state to which an act leads, if it is legal now."""
        state = TRANSITIONS.get((self.state, act))
        if state is None:
            raise IllegalTransitionError(f"{act} in state {self.state}")
        return state

    # -- deltas -----------------------------------------------------------------------------------------------

    def _feed(self, delta: Delta) -> None:
        match delta:
            case Text() if self._open_key is None and self.shape.compact is None:
                self._message().grow_text(delta.text, delta.logprobs)
            case Served():
                self.served = delta
            case Used():
                self.usage = delta.usage
            case Finish():
                self._finish(delta.reason)
            case _ if self.shape.compact and not isinstance(delta, Text):
                pass  # only the summary counts, whatever else the model does
            case _ if self._open_key is not None and not self._belongs(delta):
                self._line.setdefault(_place(delta), []).append(delta)
            case _:
                self._grow(delta)

    def _belongs(self, delta: Delta) -> bool:
        """Whether a delta belongs to the open call."""
        return isinstance(delta, CallArguments) and delta.key == self._open_key

    def _grow(self, delta: Text | ReasoningText | RefusalText | Citation | CallStart | CallArguments) -> None:
        match delta:
            case CallArguments():
                if isinstance(self._open, CallBuilder):
                    self._open.grow(delta.text)
            case Text() if self.shape.compact:
                self._compaction(self.shape.compact).grow(delta.text)
            case Text():
                self._message().grow_text(delta.text, delta.logprobs)
            case ReasoningText():
                self._reasoning().grow(delta.text)
            case RefusalText() if self.shape.refusals_as_text:
                self._message().grow_text(delta.text, [])
            case RefusalText():
                self._message().grow_refusal(delta.text)
            case Citation():
                self._annotate(delta)
            case CallStart():
                self._start_call(delta)
            case _:
                assert_never(delta)

    def _finish(self, reason: FinishReason) -> None:
        """Release what waited; what was cut by a limit is incomplete, and after a filter no further call is told.

        Raises:
            UpstreamFault: A finished call says nothing that a client could run; then none is released.
        """
        if self._called and reason == "stop":
            self._check_calls()
        waiting = [deltas for place, deltas in self._line.items() if _is_told(place, deltas, reason)]
        self._check_room(len(waiting))  # before the first of them is released
        self.reason, self.state, self._open_key = reason, "finished", None
        for deltas in waiting:
            for delta in deltas:
                self._grow(delta)  # type: ignore[arg-type]  # only these wait in line
        self._line.clear()
        self._close("incomplete" if reason in _INCOMPLETE else "completed", last=True)

    def _check_room(self, more: int) -> None:
        """Whether `more` items find room.

        Raises:
            UpstreamFault: There would be too many.
        """
        if self._next_index + more > self.shape.most_items:
            told = f"The answer has more than {self.shape.most_items:,} items, the most that a response may have."
            raise UpstreamFault(told, code="server_error")

    def _check_calls(self) -> None:
        flaws = [self._open.flaw()] if isinstance(self._open, CallBuilder) else []
        for start, *more in self._line.values():
            if isinstance(start, CallStart):
                arguments = [delta.text for delta in more if isinstance(delta, CallArguments)]
                flaws.append(flaw_of(self.shape.toolbox.declared(start.name), arguments))
        if flaw := next(filter(None, flaws), None):
            raise UpstreamFault(flaw, code="server_error")

    # -- items ------------------------------------------------------------------------------------------------

    def _message(self) -> MessageBuilder:
        if isinstance(self._open, MessageBuilder):
            return self._open
        return self._begin(MessageBuilder(*self._place("msg"), silent=self.silent))

    def _annotate(self, citation: Citation) -> None:
        """A source belongs to the text being written; one that comes elsewhere is dropped."""
        if isinstance(self._open, MessageBuilder) and self._open.part == "output_text":
            self._open.annotate(citation.annotation)

    def _reasoning(self) -> ReasoningBuilder | SummaryBuilder:
        if isinstance(self._open, ReasoningBuilder | SummaryBuilder):
            return self._open
        builder = SummaryBuilder if self.shape.reasoning == "summary" else ReasoningBuilder
        return self._begin(builder(*self._place("rs"), seal=self.shape.seal))

    def _compaction(self, seal: Callable[[str], str]) -> CompactionBuilder:
        if isinstance(self._open, CompactionBuilder):
            return self._open
        return self._begin(CompactionBuilder(*self._place("cmp"), seal))

    def _start_call(self, start: CallStart) -> None:
        self._called = True
        tool = self.shape.toolbox.declared(start.name)
        prefix, builder = CALL_BUILDERS[tool.kind]
        self._begin(builder(*self._place(prefix), self._call_id(start.call_id), tool))
        self._open_key = None if self.state == "finished" else start.key

    def _call_id(self, given: str | None) -> str:
        """The upstream's id; one of our own where it is missing or taken."""
        call_id = given if given and given not in self._call_ids else self.source.new_id("call")
        self._call_ids.add(call_id)
        return call_id

    def _place(self, prefix: str) -> tuple[str, int, Door]:
        """What a new item needs: its id, its place in the output, the door. The open item ends before it."""
        self._close("completed")
        return self.source.new_id(prefix), self._next_index, self._door

    def _begin(self, builder: AnyBuilder) -> AnyBuilder:
        self._check_room(1)
        self._next_index += 1
        self._open = builder
        builder.open()
        return builder

    def _close(self, status: ItemStatus, *, last: bool = False) -> None:
        item, self._open = self._open, None
        if item is None:
            return
        if isinstance(item, CallBuilder):
            if self._was_cut(item, last=last):
                self._abandon(item)
            else:
                item.close("completed")
            return
        if isinstance(item, MessageBuilder):
            item.phase = "final_answer" if last and not self._called else "commentary"
        item.close(status)

    def _was_cut(self, call: CallBuilder, *, last: bool) -> bool:
        """Whether a call must not run: after a filter none, after a limit those that are not whole.

        A call without any arguments is whole if more came after it.
        """
        if self.reason == "length":
            return not (call.whole() or (call.blank() and not last))
        return self.reason == "content_filter"

    def _abandon(self, call: CallBuilder) -> None:
        """Leave a call as it stands: it is never told to be done."""
        call.cut()
        if call.output_index < len(self.output):
            self.output[call.output_index] = call.snapshot("incomplete")
        self._next_index = len(self.output)

    # -- events -----------------------------------------------------------------------------------------------

    def _door(self, event: Event) -> None:
        """Give items their place in the output; number, pad and keep an event."""
        if event["type"] == "response.output_item.added":
            self.output.append(event["item"])
        elif event["type"] == "response.output_item.done":
            self.output[event["output_index"]] = event["item"]
        if self.silent:
            return
        event["sequence_number"] = self.number
        self.number += 1
        if "delta" in event and self.shape.obfuscation:
            padded = cast("DeltaEvent", event)
            padded["obfuscation"] = self.source.padding(len(padded["delta"]))
        self._events.append(event)

    def _take(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _lifecycle(
        self,
        kind: Literal[
            "response.created",
            "response.queued",
            "response.in_progress",
            "response.completed",
            "response.incomplete",
            "response.failed",
        ],
        response: Response,
    ) -> None:
        self._door(Lifecycle(type=kind, response=response, sequence_number=UNNUMBERED))

    def _end(
        self,
        kind: Literal["response.completed", "response.incomplete", "response.failed"],
        response: Response,
    ) -> list[Event]:
        self.final = response
        if not self.silent:
            self._lifecycle(kind, response)
        self.let_go()
        return self._take()

    def _response(self, status: ResponseStatus) -> Response:
        """The response as it stands: a copy, since events outlive the moment."""
        output = self._told("in_progress" if status == "in_progress" else "incomplete")
        response: Response = {**self.template, "status": status, "output": output}
        if status in ("queued", "in_progress"):
            return response
        usage = self.usage or NO_USAGE
        response["usage"] = together(usage, self.shape.spent) if self.shape.spent else usage
        if self.served and self.served.model:
            response["served_model"] = self.served.model
        if response["service_tier"] == "auto":
            response["service_tier"] = (self.served and self.served.service_tier) or "default"
        return response

    def _told(self, status: ItemStatus) -> list[OutputItem]:
        """The output so far, with the open item as it stands if it has been told."""
        output = list(self.output)
        if self._open is not None and self._open.output_index < len(output):
            output[self._open.output_index] = self._open.snapshot(status)
        return output


def _is_told(place: int | str, deltas: list[Delta], reason: FinishReason) -> bool:
    """Whether what waited in line is released: after a filter no call is."""
    return not (reason == "content_filter" and isinstance(place, int)) and not _is_blank(deltas)


def _is_blank(deltas: list[Delta]) -> bool:
    """Whether nothing but white space was said: some models end their calls with a line break."""
    return all(isinstance(delta, Text) and not delta.text.strip() for delta in deltas)


def _place(delta: Delta) -> int | str:
    """Where a delta waits in line: with its call, or with the others of its kind."""
    return delta.key if isinstance(delta, CallStart | CallArguments) else type(delta).__name__
