"""What is told of one background response, stored before anyone hears of it.

A `Story` belongs to whoever holds the job's lease. It numbers nothing itself: the assembler does, from the first
event on, so that a second attempt at a response makes the same first events again, and those that are stored
already are passed over. What may not have reached the store yet is kept and offered again with whatever comes next;
the store takes each number once.

Not here: who runs a job, and when (`shim.exchange.background`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pydantic_core import from_json, to_json

from shim.core.assembler import Assembler, Shape
from shim.core.source import Source
from shim.core.sse import data_of
from shim.core.tools import Toolbox
from shim.errors import Fault
from shim.exchange.following import News
from shim.store import ResponseStore
from shim.store.records import TERMINAL, Item, Job, ResponseRecord, StoredEvent, item_of, record_of
from shim.wire.base import Json
from shim.wire.events import Event
from shim.wire.output import OutputItem
from shim.wire.response import Response

IN_PROGRESS = 2
"""The number of `response.in_progress`, after `created` and `queued`: nothing the model said has a lower one."""

PAGE_EVENTS = 1000


class Gone(Exception):
    """The response was deleted, or another process has taken the job: nothing more is to be written."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a job is to do, as the store keeps it.

    Attributes:
        body: The request as it was given.
        input: Its own input items, as they are stored with the response.
        response: The response before anything was answered.
    """

    body: Json
    input: tuple[Item, ...]
    response: Response

    @classmethod
    def of(cls, job: Job) -> Order:
        """Read it from a job."""
        order = from_json(job.request)
        return cls(order["body"], tuple(map(item_of, order["input"])), order["response"])

    def packed(self) -> bytes:
        """As the store keeps it."""
        items = b",".join(item.body for item in self.input)
        body, response = to_json(self.body), to_json(self.response)
        return b"".join((b'{"body":', body, b',"input":[', items, b'],"response":', response, b"}"))

    @property
    def conversation(self) -> str | None:
        """The conversation that the response belongs to."""
        conversation = self.response.get("conversation")
        return conversation["id"] if conversation else None

    def record(self, owner: str, response: Response) -> ResponseRecord:
        """The response at some moment, to be stored."""
        return record_of(owner, response, self.input, self.conversation)


class Story:
    """Tells one response. `assembler` is whoever makes its events at the moment."""

    def __init__(self, store: ResponseStore, job: Job, source: Source) -> None:
        self.job = job
        self.order = Order.of(job)
        self.news = News()
        self.last = -1 if job.last_event is None else job.last_event
        self.assembler = Assembler(self.order.response, Shape(Toolbox()), source)
        self._store = store
        self._source = source
        self._pending: list[StoredEvent] = []
        self._add(self.assembler.queue())
        if self.last >= IN_PROGRESS:
            self.assembler.start()

    def accepted(self) -> None:
        """The upstream has the request, which is not needed any more: it may be a megabyte, and the answer may take minutes."""
        self.order = replace(self.order, body={})
        self.job = replace(self.job, request=b"")

    @property
    def streamed(self) -> bool:
        """Whether anything that the model said was told: then the story cannot begin again."""
        return self.last > IN_PROGRESS

    async def tell(self, events: Iterable[Event] = ()) -> None:
        """Store events, then wake those who follow.

        Raises:
            Gone: The job is no longer ours.
        """
        self._add(events)
        if self._pending:
            owner, response_id = self.job.owner, self.job.response_id
            told = await self._store.events.append(
                owner, response_id, tuple(self._pending), lease=self.job.lease
            )
            self._told(kept=told != "gone")

    async def become(self, response: Response, events: Iterable[Event] = ()) -> None:
        """Store a change of the response together with the events that tell of it; a terminal one ends the job.

        Raises:
            Gone: The job is no longer ours.
        """
        self._add(events)
        record = self.order.record(self.job.owner, response)
        kept = await self._store.responses.save(record, lease=self.job.lease, events=tuple(self._pending))
        self._told(kept=kept)

    async def fail(self, fault: Fault) -> None:
        """End as failed, after whatever was told."""
        if self.streamed and self.assembler.number <= self.last:
            self.assembler = await self._recovered()
        events = [] if self.assembler.final else self.assembler.fail(fault)
        await self._end(events)

    async def cancel(self) -> None:
        """End as cancelled, unless the end has come already."""
        if self.streamed and self.assembler.number <= self.last:
            self.assembler = await self._recovered()
        if self.assembler.final is None:
            self.assembler.cancel()
        await self._end([])

    async def _end(self, events: Iterable[Event]) -> None:
        assert self.assembler.final is not None  # noqa: S101 -- for the type checker: both callers made it
        await self.become(self.assembler.final, events)

    async def _recovered(self) -> Assembler:
        """Go on where a process that is gone stopped: after its last event, with the items that were whole."""
        output: list[OutputItem] = []
        after = -1
        while page := await self._store.events.read(self.job.owner, self.job.response_id, after, PAGE_EVENTS):
            told = (from_json(event.body) for event in page.events)
            output += (event["item"] for event in told if event["type"] == "response.output_item.done")
            if len(page.events) < PAGE_EVENTS:
                break
            after = page.events[-1].number
        return Assembler(
            self.order.response,
            Shape(Toolbox()),
            self._source,
            state="open",
            output=output,
            number=self.last + 1,
        )

    def _add(self, events: Iterable[Event]) -> None:
        self._pending += (
            StoredEvent(event["sequence_number"], data_of(event))
            for event in events
            if event["sequence_number"] > self.last
        )

    def _told(self, *, kept: bool) -> None:
        if not kept:
            raise Gone
        if self._pending:
            self.last = self._pending[-1].number
            self._pending.clear()
        self.news.spread()


def is_over(status: str) -> bool:
    """Whether a response has ended for good."""
    return status in TERMINAL
