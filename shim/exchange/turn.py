"""An accepted turn, to its last event: that of a model, chunk -> delta -> event, or one that only prepares.

Every fault from here on is an event. Streamed or not, the same pump makes the response. What must be kept is kept
before the terminal event is told, so that a client that goes on at once finds it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, TypeVar

from shim.ambient import monotonic
from shim.core.assembler import Assembler
from shim.core.deltas import DONE, ChunkReader, Finish, Used
from shim.core.runs import Told, encoded, one_by_one
from shim.core.strides import Put, Stride, stride_of
from shim.errors import Fault, cut_stream
from shim.exchange.locking import Release, release_nothing
from shim.upstream import ChatStream, Taker
from shim.wire.base import Json
from shim.wire.events import Event
from shim.wire.response import Response, Usage

Form = TypeVar("Form")
"""In which what is told is wanted."""


Keep = Callable[[Response], Awaitable[None]]
"""Stores a response that has ended, whatever its status; never raises."""


Learn = Callable[[Usage], Awaitable[None]]
"""Takes what the upstream reported; never raises."""


_WAITING = frozenset({"new", "queued"})
"""States of an assembler before anything is told of an answer."""


async def keep_nothing(_: Response) -> None:
    """For responses that are not stored."""


async def learn_nothing(_: Usage) -> None:
    """For turns whose input was not estimated."""


@dataclass
class Summary:
    """What the log says of one request. Token counts are None until upstream has told them."""

    model: str
    served_model: str | None = None
    items: int = 0
    outcome: str = "in_progress"
    error_code: str | None = None
    first_token_ms: float | None = None
    total_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    attempts: int = 1
    notes: tuple[str, ...] = ()


@dataclass
class Turn:
    """One model turn that the upstream has accepted (it answered 2xx).

    Its input is not held, but for what `keep` or `remembered` needs: it may be a megabyte, and the turn may take minutes.
    """

    stream: bool
    summary: Summary
    chat: ChatStream
    reader: ChunkReader
    assembler: Assembler
    began: float
    headers: Mapping[str, str] = field(default_factory=dict)
    keep: Keep = keep_nothing
    learn: Learn = learn_nothing
    release: Release = release_nothing
    remembered: tuple[Json, ...] | None = None
    """The items up to the answer, where only a connection remembers them."""
    told_at_once: bool = True
    """Whether events are told as they are given; else whoever stores them first lets go of the turn."""
    scrub: Callable[[Fault], Fault] = lambda fault: fault
    """Takes the upstream's key out of what the upstream said."""
    untold: Sequence[Told] = ()
    """The last events, while what must be kept first is being kept."""
    broken: bool = False
    """Whether the upstream's stream broke: then nothing more is read from it."""
    stride: Stride | None = None
    """What tells more of the same, as long as nothing else comes and bytes are wanted."""
    outlet: Put | None = None
    """Where that is put out as soon as it comes, if anywhere."""
    passage: Taker | None = None
    """What `chat.read` is given, so that it goes there; None if no stride is under way."""

    @property
    def fault(self) -> Fault | None:
        """Why the response failed, if it did."""
        return self.assembler.fault

    @property
    def final(self) -> Response | None:
        """The response once it has ended."""
        return self.assembler.final

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """`created` and `in_progress` at once, then the events of one upstream read after the other.

        Ends after exactly one terminal event; never raises but for cancellation. After the terminal event it waits a
        moment for the end of the upstream's body, which saves the connection.
        """
        while (told := await self.tell()) is not None:
            yield one_by_one(told)

    def read(self) -> Coroutine[Any, Any, bytes | None]:
        """The next of the same as bytes of a server-sent event stream, whole events only; None after the last."""
        return self._next(encoded, self._step)

    def ahead(self, outlet: Put) -> None:
        """Have what is told in strides put out where it is made, as far as that can be, instead of given to who awaits `read`."""
        self.outlet = outlet

    def tell(self) -> Coroutine[Any, Any, Sequence[Told] | None]:
        """What is told next, at first `created` and `in_progress`; None after the last, and where nothing is told at all."""
        return self._next(tuple)

    async def _next(
        self, form: Callable[[Sequence[Told]], Form], step: Callable[[str], Form | None] | None = None
    ) -> Form | None:
        """What is told next, in some form; with `step` in strides where it only goes on."""
        assembler = self.assembler
        if assembler.state in _WAITING:
            return form(assembler.start())
        told: Sequence[Told] = ()
        try:
            while not told:
                payloads = None if self.broken else await self.chat.read(self.passage)
                if payloads is None:
                    told = assembler.finish() if assembler.final is None else ()
                    break
                if step is not None and len(payloads) == 1 and (one := step(payloads[0])) is not None:
                    return one
                told = self._told(payloads, strides=step is not None)
                if assembler.final is not None and self.summary.total_ms is None:
                    break  # it is kept before the end of the upstream's body is awaited
        except Fault as fault:
            told = self._broken(fault) if assembler.final is None else ()
        if assembler.final is not None and self.summary.total_ms is None:
            await self._kept(told)
            self._notice()
        return form(told) if told else None

    def _step(self, payload: str) -> bytes | None:
        """The event of a payload that only goes on, if a stride is under way."""
        return None if self.stride is None else self.stride.step(payload)

    def _told(self, payloads: list[str], *, strides: bool) -> Sequence[Told]:
        """What is told of one read; what only goes on after a single chunk is told in strides, if it may be."""
        self.stride = self.passage = None
        if self.assembler.final is not None:
            return ()
        told = self._read(payloads)
        if self.summary.first_token_ms is None and self.assembler.output and self.assembler.final is None:
            self._notice()
        if strides and len(payloads) == 1:
            self._stride()
        return told

    def _stride(self) -> None:
        """Tell what only goes on in strides from now on, if that may be."""
        self.stride = stride = stride_of(self.reader, self.assembler)
        if stride is not None and self.outlet is not None:
            around = self.chat.around(stride.front, stride.back)
            self.passage = (
                None if around is None else stride.taker(around.begin, around.end, around.most, self.outlet)
            )

    async def _kept(self, events: Sequence[Told]) -> None:
        """Keep the response, before its end, which is in `events`, is told."""
        if self.final is not None:
            self.untold = events
            await self.keep(self.final)
            if self.told_at_once:
                await self.let_go()
            self.untold = ()

    def _read(self, payloads: list[str]) -> list[Told]:
        """The events of one read; `[DONE]` ends the response, and so does a fault, after what came before it."""
        told: list[Told] = []
        reader, assembler = self.reader, self.assembler
        at, most = 0, len(payloads)
        try:
            while at < most and assembler.final is None:
                if more := reader.more(payloads, at):
                    told += assembler.more(more)
                    at += len(more.texts)
                else:
                    told += self._heard(payloads[at])
                    at += 1
        except Fault as fault:
            told += self._broken(fault)
        return told

    def _heard(self, payload: str) -> list[Event]:
        """The events of one payload; with the last one come those of the end."""
        if payload == DONE:
            return self.assembler.finish()
        reader = self.reader
        deltas = reader.hear(payload)
        events = self.assembler.feed(deltas) if deltas else []
        if reader.finished:
            if deltas and isinstance(deltas[-1], Used):
                self.chat.settle()  # nothing else can come, though some upstreams do not end the body
                return events + self.assembler.finish()
            self.chat.conclude()
        return events

    def _broken(self, fault: Fault) -> list[Event]:
        """The end of a stream that broke.

        After the finish reason only usage can be missing, and clients run the calls already: they would run them
        twice if they were told of a failure.
        """
        self.broken = True
        if self.assembler.reason is not None:
            return self.assembler.finish()
        return self.assembler.fail(self.scrub(fault))

    def heartbeat(self) -> bytes:
        """A further `response.in_progress`, numbered in sequence; empty before the start or after the end."""
        return encoded(self.assembler.heartbeat())

    async def broken_off(self, fault: Fault) -> list[Event]:
        """What is left to tell of a turn whose `events` were cancelled; nothing before the start or after the end.

        An end that was being stored is told without waiting for the store again.
        """
        if self.final is not None or self.assembler.state == "new":
            return one_by_one(self.untold)
        events = self._broken(fault)
        await self._kept(events)
        self._notice()
        return events

    async def cut_off(self, fault: Fault) -> bytes:
        """The same as bytes."""
        return encoded(await self.broken_off(fault))

    async def response(self) -> Response:
        """The whole response of a request that was not streamed.

        Raises:
            Fault: The upstream failed.
        """
        self.assembler.silent = True
        self.assembler.start()
        await self.tell()  # until the response is there, and kept
        await self.tell()  # until the upstream's body ends, which saves the connection
        if self.fault is not None:
            raise copy(self.fault)  # what is raised leads to us by its traceback
        if self.final is None:
            raise cut_stream()
        return self.final

    async def aclose(self) -> None:
        """Close the upstream at once; safe to call twice."""
        if self.told_at_once:  # else what was said may still be stored
            self.assembler.let_go()
        self.outlet = self.passage = None  # both refer back here: no cycle is left to the garbage collector
        try:
            await self.chat.aclose()
        finally:
            await self.let_go()
        learn, self.learn = self.learn, learn_nothing
        if self.final is not None and self.assembler.usage is not None:
            await learn(self.assembler.usage)

    async def let_go(self) -> None:
        """Give back the conversation's turn: the next one may begin as soon as the end of this one is told."""
        release, self.release = self.release, release_nothing
        await release()

    def _notice(self) -> None:
        """Keep what the log says."""
        elapsed = round((monotonic() - self.began) * 1000, 1)
        if self.summary.first_token_ms is None:
            self.summary.first_token_ms = elapsed
        if self.final is not None and self.summary.total_ms is None:
            self._sum_up(self.final, elapsed)

    def _sum_up(self, response: Response, elapsed: float) -> None:
        self.summary.outcome = response["status"]
        self.summary.total_ms = elapsed
        self.summary.served_model = response.get("served_model")
        error, usage = response["error"], response["usage"]
        self.summary.error_code = error["code"] if error else None
        if usage is not None and self.assembler.usage is not None:
            self.summary.input_tokens = usage["input_tokens"]
            self.summary.output_tokens = usage["output_tokens"]
            self.summary.cached_tokens = usage["input_tokens_details"]["cached_tokens"]


@dataclass(slots=True)
class Preparation:
    """A turn in which no model speaks: complete at once, empty, and there to be continued."""

    summary: Summary
    assembler: Assembler
    keep: Keep = keep_nothing
    remembered: tuple[Json, ...] | None = None

    @property
    def final(self) -> Response | None:
        """The response once it has ended."""
        return self.assembler.final

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """The events of an empty response."""
        events = self.assembler.start()
        events += self.assembler.feed([Finish("stop")])
        events += self.assembler.finish()
        self.summary.outcome = "completed"
        if self.final is not None:
            await self.keep(self.final)
        yield events

    async def broken_off(self, _: Fault) -> list[Event]:
        """Nothing: its only events are told at once."""
        return []

    async def aclose(self) -> None:
        """Nothing is open."""
