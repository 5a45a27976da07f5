"""Turns over a WebSocket: `response.create` messages in, the events of a stream out, one JSON object each.

Messages of one lane (`stream_id`; none is a lane as well) are answered one after the other, those of different
lanes at the same time, and every event names its lane. What is wrong with a message is an `error` event and never
the end of the connection. Source: the official SDK's types and guide, and what Codex sends.

Not here: frames, pings and sizes, which are the server's; what a message says (`shim.http.messages`); what a
connection remembers (`shim.exchange.connection`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from shim.errors import ClientFault, Fault
from shim.exchange.connection import ConnectionTurns, LocalTurns
from shim.http.bodies import bounded_object
from shim.http.call import Call, ClientGone, stop
from shim.http.leaving import GOING_AWAY, Leaving, cut_off, shutting_down
from shim.http.logs import log_call
from shim.http.messages import Create, Steer, error_event, lane_of, read_message, steer_failed
from shim.http.replies import internal_fault
from shim.http.services import Services

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import Message, Receive, Scope, Send

    from shim.core.bounds import RequestBounds
    from shim.exchange.connection import LocalTurn
    from shim.http.slots import Slots
    from shim.settings import Settings

CLOSE_SECONDS = 1.0
"""Time for the last messages once the server's time to drain is over: a client that does not read gets none."""

CLOSE_GOING_AWAY = 1001  # RFC 6455, section 7.4.1
SWITCHING_PROTOCOLS = 101

logger = logging.getLogger(__name__)


async def serve_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept the connection and answer on it until one side ends it.

    Raises:
        ClientFault: 401, before the connection is accepted.
        ClientGone: The client left in the middle of a turn.
    """
    services, call = Services.behind(scope), Call.of(scope)
    caller, settings = services.guard.caller(call), services.settings
    local = LocalTurns(settings.websocket_turns, settings.websocket_memory_bytes)
    turns = ConnectionTurns(services.exchange, caller, local)
    terms = Terms(settings, services.bounds, services.slots, caller.identity)
    await send({"type": "websocket.accept", "headers": [(b"x-request-id", call.request_id.encode())]})
    call.status, call.outcome = SWITCHING_PROTOCOLS, "closed"
    await Connection(turns, call.path, send, terms, services.leaving).serve(receive)


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one connection.

    Attributes:
        settings: Its age, its lanes, what may wait, and when a silent turn is said to live.
        bounds: What a message may hold.
        slots: Of which each turn needs one.
        client: Who holds them.
    """

    settings: Settings
    bounds: RequestBounds
    slots: Slots
    client: str


class Connection:
    """One accepted connection: a reader, and a task for each lane that has something to do."""

    def __init__(self, turns: ConnectionTurns, path: str, send: Send, terms: Terms, leaving: Leaving) -> None:
        """Prepare to answer.

        Args:
            turns: Where turns are opened.
            path: For the log.
            send: Sends to the client; waits for a slow one, and so the upstream waits too.
            terms: What holds here.
            leaving: Whether a cancellation means that the process ends.
        """
        self._turns = turns
        self._path = path
        self._send = send
        self._terms = terms
        self._settings = terms.settings
        self._keepalive = terms.settings.keepalive_seconds
        self._leaving = leaving
        self._lanes: dict[str | None, deque[Create]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._unanswered: set[str] = set()
        self._sending = asyncio.Lock()
        self._going_away = asyncio.Event()
        self._ending = False
        self._gone = False
        self._lost = False

    async def serve(self, receive: Receive) -> None:
        """Answer until the client leaves, the server stops, or the connection is too old.

        Raises:
            ClientGone: The client left in the middle of a turn; every upstream is closed.
        """
        reading = asyncio.create_task(self._read(receive))
        retiring = asyncio.create_task(self._retire())
        try:
            await asyncio.wait((reading, retiring), return_when=asyncio.FIRST_COMPLETED)
            self._gone = reading.done()
            await (reading if self._gone else retiring)
            if self._unanswered:
                raise ClientGone
        except asyncio.CancelledError:  # the time to drain is over
            with contextlib.suppress(ClientGone, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await stop(retiring, *self._running)
                    await self._close()
            raise
        finally:
            await stop(*(task for task in (reading, retiring, *self._running) if not task.done()))

    # -- in ---------------------------------------------------------------------------------------------------

    async def _read(self, receive: Receive) -> None:
        """Take every message at once: whether the client is still there can only be read."""
        while await self._take(await receive()):  # no message is held while the next one is awaited
            pass

    async def _take(self, message: Message) -> bool:
        """Do what one message asks for; whether others may follow."""
        kind: str = message["type"]
        if kind == GOING_AWAY:
            self._going_away.set()
        elif kind == "websocket.receive":
            await self._hear(message.get("bytes") or (message.get("text") or "").encode())
        return kind != "websocket.disconnect"

    async def _hear(self, data: bytes) -> None:
        """Do what one message asks for; JSON in a binary message is as good as in text."""
        lane = None
        try:
            fields = bounded_object(data, self._terms.bounds)
            lane = lane_of(fields)
            match read_message(fields, lane, len(data)):
                case Create() as create:
                    self._line_up(create)
                case Steer() as steer:
                    await self._tell(steer_failed(steer))
        except Fault as fault:
            await self._tell(error_event(fault), lane=lane)

    def _line_up(self, create: Create) -> None:
        """Queue a request in its lane; begin if the lane is idle.

        Raises:
            ClientFault: 429, too much is under way or waiting.
        """
        if self._ending:
            return  # the close frame that follows says so
        if create.lane in self._lanes:
            self._check_room(create)
            self._lanes[create.lane].append(create)
            return
        most = self._settings.websocket_streams
        if len(self._lanes) >= most:
            raise _too_many(f"{most} responses at the same time", "websocket_stream_limit_reached")
        self._lanes[create.lane] = deque([create])
        task = asyncio.create_task(self._run(create.lane))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _check_room(self, create: Create) -> None:
        waiting = [each.size for lane in self._lanes.values() for each in lane]
        most, most_bytes = self._settings.websocket_waiting, self._settings.max_body_bytes
        if len(waiting) >= most or sum(waiting) + create.size > most_bytes:
            raise _too_many("no further requests until some are answered", "websocket_queue_limit_reached")

    async def _run(self, lane: str | None) -> None:
        """Answer what is queued in a lane, one after the other, until nothing is left."""
        queue = self._lanes[lane]
        try:
            while queue and not self._ending:
                await self._answer(queue.popleft())
        except ClientGone:
            pass  # the reader knows as well
        finally:
            del self._lanes[lane]

    # -- one turn ---------------------------------------------------------------------------------------------

    async def _answer(self, create: Create) -> None:
        """Make one response, whatever comes of it, and write its line to the access log."""
        model, lane = create.body.get("model"), create.lane
        call = Call("WS", self._path, model=model if isinstance(model, str) else None)
        making = self._make(create, call)
        del create  # which is held no longer than `_make` holds it
        self._unanswered.add(call.request_id)
        try:
            await making
        except ClientGone:
            call.outcome = "client_gone"
            raise
        except asyncio.CancelledError:
            if not call.complete:
                call.outcome = "client_gone" if self._gone else "cancelled"
            if call.status is None and self._leaving.over and not self._gone:
                await self._refuse(shutting_down(), lane, call)
            raise
        except Fault as fault:
            await self._refuse(fault, lane, call)
        except Exception:
            logger.exception("Request %s failed.", call.request_id)
            await self._refuse(internal_fault(call.request_id), lane, call)
        finally:
            self._unanswered.discard(call.request_id)
            log_call(call)

    async def _make(self, create: Create, call: Call) -> None:
        lane = create.lane
        with self._terms.slots.taken(self._terms.client):
            turn = await self._turns.open(create.body, call.request_id, generate=create.generate)
            del create  # it may be a megabyte, and the answer may take minutes
            call.status, call.summary = 200, turn.summary
            async with contextlib.aclosing(turn):
                try:
                    await self._relay(turn, lane, call)
                except asyncio.CancelledError:
                    if self._leaving.over and not (self._gone or self._lost):
                        await self._tell(*await turn.broken_off(cut_off()), lane=lane)
                    raise

    async def _relay(self, turn: LocalTurn, lane: str | None, call: Call) -> None:
        async with (
            self._heartbeats(turn, lane) as pulse,
            contextlib.aclosing(turn.events()) as batches,
        ):
            async for events in batches:
                await self._tell(*events, lane=lane)
                pulse.beat()
                if turn.told:  # a client that leaves now has its answer
                    call.complete = True
                    self._unanswered.discard(call.request_id)

    async def _refuse(self, fault: Fault, lane: str | None, call: Call) -> None:
        if call.status is None:
            call.status = fault.status
        else:
            call.outcome = "broken"
        call.code = fault.response_code
        await self._tell(error_event(fault), lane=lane)

    @contextlib.asynccontextmanager
    async def _heartbeats(self, turn: LocalTurn, lane: str | None) -> AsyncIterator[Pulse]:
        pulse = Pulse()
        if not self._keepalive:
            yield pulse
            return
        beating = asyncio.create_task(self._beat(turn, lane, pulse))
        try:
            yield pulse
        finally:
            await stop(beating)

    async def _beat(self, turn: LocalTurn, lane: str | None, pulse: Pulse) -> None:
        """Repeat `response.in_progress` in silence; a slow client is not silence."""
        while True:
            await asyncio.sleep(pulse.last + self._keepalive - pulse.now())
            if pulse.now() - pulse.last >= self._keepalive:
                if not self._sending.locked():
                    await self._tell(*turn.heartbeat(), lane=lane)
                pulse.beat()

    # -- out and end ------------------------------------------------------------------------------------------

    async def _tell(self, *events: Mapping[str, Any], lane: str | None = None) -> None:
        """Send events, each as one message, with nothing of another lane between those of one call."""
        try:
            async with self._sending:
                for event in events:
                    named = event if lane is None else {**event, "stream_id": lane}
                    text = to_json(named, inf_nan_mode="null").decode()
                    await self._send({"type": "websocket.send", "text": text})
        except asyncio.CancelledError:
            self._lost = True  # nothing may follow it
            raise

    async def _retire(self) -> None:
        """Wait until the connection is too old or the server stops; then let running turns end, and close."""
        expired = False
        try:
            async with asyncio.timeout(self._settings.websocket_seconds):
                await self._going_away.wait()
        except TimeoutError:
            expired = True
        self._ending = True
        if self._running:
            await asyncio.wait(tuple(self._running))
        if expired:
            await self._tell(error_event(_too_old(self._settings.websocket_seconds)))
        await self._close()

    async def _close(self) -> None:
        """Say goodbye; clients connect again after this code."""
        await self._send({"type": "websocket.close", "code": CLOSE_GOING_AWAY, "reason": "going away"})


class Pulse:
    """When a turn was last heard of, on the event loop's clock."""

    def __init__(self) -> None:
        self.now = asyncio.get_running_loop().time
        self.last = self.now()

    def beat(self) -> None:
        """It was heard of now."""
        self.last = self.now()


def _too_many(limit: str, code: str) -> ClientFault:
    message = f"This connection takes {limit}."
    return ClientFault(message, status=429, param="stream_id", code=code, retry_after=1)


def _too_old(seconds: float) -> ClientFault:
    minutes = round(seconds / 60)
    message = f"This connection has reached its limit of {minutes} minutes. Open a new one to go on."
    return ClientFault(message, code="websocket_connection_limit_reached")
