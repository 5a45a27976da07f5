"""Background responses: made here whether or not anyone waits, and by another replica if this one dies.

A job lies in the store with a lease. Whoever holds the lease makes the response, renews the lease and stores every
event; a process that dies renews no more, and another one takes the job. There:

- nothing that the model said was stored yet (at most created, queued and in_progress): the job is run again, and
  the stream goes on with the same numbers. The upstream may have been asked twice; the client is answered once;
- otherwise the response ends as failed and says why: a second answer would not continue the first.

A job is stored in two steps: first as one that nobody begins, then, once it is certain that it is stored, as one to be made.
If the connection breaks while the first step commits, the client hears 503, and whoever finds the job ends it as failed:
nothing is made, and billed, that no client was told of.

A process makes so many responses at a time; further jobs wait in the store, unclaimed, for the first process that
has a place. A cancelled response ends without a terminal event: the API has none for it, so the stream just ends.

Not here: what is told (`shim.exchange.story`), to whom (`shim.exchange.following`), and HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeVar

from pydantic_core import from_json, to_json

from shim.ambient import monotonic
from shim.errors import ClientFault, Fault, invalid
from shim.exchange.caller import Caller
from shim.exchange.exchange import Asked, Exchange
from shim.exchange.following import POLL_SECONDS, Following, Here
from shim.exchange.locking import CONVERSATION_LOCKED
from shim.exchange.places import Places
from shim.exchange.steady import Steady
from shim.exchange.story import Gone, Order, Story, is_over
from shim.exchange.turn import Turn
from shim.seal import Sealer
from shim.settings import Settings
from shim.store import StoreFault
from shim.store.records import Claim, Job, Queue, ResponseRecord, StoredResponse, item_of
from shim.wire.base import Json
from shim.wire.events import Event
from shim.wire.response import Response

log = logging.getLogger("shim.background")

Verdict = Literal["cancelled", "lost", "leaving"]
"""Why a job is stopped: the client's wish; another process has it, or it was deleted; this process ends."""

Written = TypeVar("Written")
"""What a write gives."""

ROUNDS_PER_LEASE = 3
"""How often within a lease it is renewed, a cancellation noticed, and the store searched for work."""

MOST_ATTEMPTS = 3
"""How often a job is begun: one that takes its process down must not take down every replica."""

ENDED = "The process that was making this response ended before the response was complete."
SEALED_ELSEWHERE = (
    "The process that took this response over cannot open its key: the replicas need one seal_key, or "
    "the former one in seal_keys_accepted."
)
REVOKED = "The token that asked for this response is not accepted any more."
BROKE = "The server had an error while making this response."


@dataclass(eq=False)
class Running:
    """A job that this process works on."""

    story: Story
    verdict: asyncio.Future[Verdict]
    until: int
    """When the lease runs out, as far as this process knows; Unix seconds."""
    task: asyncio.Task[None] = field(init=False)

    def settle(self, verdict: Verdict) -> None:
        """Stop the work; the first verdict counts."""
        if not self.verdict.done():
            self.verdict.set_result(verdict)


class Background:
    """Makes background responses; one for each process."""

    def __init__(self, exchange: Exchange, settings: Settings) -> None:
        self._exchange = exchange
        self._store = exchange.store
        self._source = exchange.source
        self._worker = self._source.new_id("worker")
        self._tokens = frozenset(settings.tokens)
        self._lease = settings.background_lease_seconds
        self._drain = settings.background_drain_seconds
        self._places = Places(settings.background_jobs, settings.background_client_jobs)
        self._most_of_one = settings.background_client_jobs
        self._queue = Queue(settings.background_client_queue, settings.background_client_queue_bytes)
        self._running: dict[tuple[str, str], Running] = {}
        self._leaving: asyncio.Task[None] | None = None
        self._left = False
        self._hurried = asyncio.Event()
        self._looking = asyncio.Lock()
        self._steady = Steady(self._source, self._lease)
        self._chores: set[asyncio.Task[None]] = set()

    # -- the process ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to look for jobs that others left."""
        if self._store.kind != "off":
            self._chore(self._watch())

    @property
    def drain_seconds(self) -> float:
        """How long what runs may go on once the process is asked to end."""
        return self._drain

    @property
    def busy(self) -> bool:
        """Whether a response is being made here."""
        return bool(self._running)

    def leave(self) -> asyncio.Task[None]:
        """The process was asked to end: begin no more, and give what runs its time; at once, and once only."""
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave())
        return self._leaving

    def hurry(self) -> None:
        """Give what runs no more time."""
        self._hurried.set()

    async def stop(self) -> None:
        """Leave, and end also what a request that was under way still began."""
        await self.leave()
        await self._end()

    async def _leave(self) -> None:
        """Let what runs come to its end, for a while; leave the rest to other processes, or fail it honestly."""
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        if self._running:
            ended = asyncio.gather(*(one.task for one in self._running.values()))
            hurried = asyncio.create_task(self._hurried.wait())
            await asyncio.wait((ended, hurried), timeout=self._drain, return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
        await self._end()
        self._left = True

    async def _end(self) -> None:
        """Stop what still runs."""
        running = list(self._running.values())
        for one in running:
            one.settle("leaving")
        await asyncio.gather(*(one.task for one in running))

    async def look(self) -> None:
        """Take jobs that others left and jobs that wait, as many as there are places for.

        Raises:
            StoreFault: The store is away.
        """
        async with self._looking:
            now = self._source.now()
            for running in [one for one in self._running.values() if one.until <= now]:
                await self._hold(running)  # else what is made here would be taken from here
            if self._leaving:
                return
            if self._steady.settled():
                for job in await self._places.fill(
                    lambda limit: self._store.jobs.claim_abandoned(self._claim(), now, limit)
                ):
                    log.info("response %s was left behind: attempt %d", job.response_id, job.attempt)
                    self._begin(job)
            for job in await self._places.fill(
                lambda limit: self._store.jobs.claim(self._claim(), limit, self._most_of_one)
            ):
                self._begin(job)

    # -- clients ----------------------------------------------------------------------------------------------

    async def create(self, body: Json, caller: Caller, request_id: str) -> Response:
        """Queue a response; it is stored, and made from now on.

        Raises:
            Fault: The request is wrong, the store is away, or the client has as many jobs as it may.
        """
        asked = await self._exchange.ask(body, caller, request_id)
        if self._store.kind == "off" or asked.request.store is False:
            raise invalid("Background responses must be stored: 'background' requires 'store'.", "store")
        template = self._exchange.template(asked, self._source.new_id("resp"), self._source.now())
        order = Order(body, tuple(map(item_of, asked.recalled.own)), {**template, "status": "queued"})
        record = order.record(asked.owner, order.response)
        claimed = not self._leaving and self._places.take(asked.owner)
        try:
            job = await self._enqueued(record, order, caller)
            await self._set_going(job, asked, record, claimed=claimed)
        except BaseException:
            if claimed:
                self._places.give(asked.owner)
            raise
        return order.response

    async def _enqueued(self, record: ResponseRecord, order: Order, caller: Caller) -> Job:
        """The job in the store, where nobody works on it yet; nor ever, if it is not known whether it is there.

        Raises:
            StoreFault: The store is away.
            QueueFull: The client has as many jobs as it may.
        """
        sealed = self._sealed(caller, record.owner, record.id)
        writing = self._store.jobs.enqueue(
            record,
            order.packed(),
            sealed_key=sealed,
            claim=replace(self._claim(), confirmed=False),
            queue=self._queue,
        )
        return await self._carried(writing, record)

    async def _carried(self, writing: Coroutine[Any, Any, Written], record: ResponseRecord) -> Written:
        """What a write gives. If the process ends meanwhile the job is taken back: its client hears so, and asks elsewhere."""
        task = asyncio.create_task(writing)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:  # the store carries it through all the same
            with suppress(Fault):
                await task
                await self._store.responses.delete(record.owner, record.id)
            raise

    async def _set_going(self, job: Job, asked: Asked, record: ResponseRecord, *, claimed: bool) -> None:
        """Let a job that is stored for certain be worked on; at once, or when the store is back: its client is told of it."""
        try:
            confirmed = await self._carried(self._confirmed(job, claimed=claimed), record)
        except StoreFault as fault:
            log.warning("response %s waits for the store: %s", job.response_id, fault.message)
            self._chore(self._confirm_later(job, asked, claimed=claimed))
        else:
            self._go(confirmed, asked, claimed=claimed)

    async def _confirm_later(self, job: Job, asked: Asked, *, claimed: bool) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            with suppress(StoreFault):
                self._go(await self._confirmed(job, claimed=claimed), asked, claimed=claimed)
                return

    async def _confirmed(self, job: Job, *, claimed: bool) -> Job | None:
        return await self._store.jobs.confirm(job, self._claim() if claimed else None)

    def _go(self, confirmed: Job | None, asked: Asked, *, claimed: bool) -> None:
        """Work on a job that has its place, unless it was deleted or ended by another process; else see to those that wait."""
        if confirmed is not None and claimed:
            self._begin(confirmed, asked)
        else:
            if claimed:
                self._places.give(asked.owner)
            self._chore(self._look_safely())  # a place may be free by now

    async def get(self, owner: str, response_id: str) -> StoredResponse:
        """A response that was made in the background, or is being made.

        Raises:
            Fault: There is no such response.
        """
        stored = await self._store.responses.get(owner, response_id)
        if stored is None:
            raise ClientFault(f"Response with id '{response_id}' not found.", status=404)
        return stored

    async def cancel(self, owner: str, response_id: str) -> StoredResponse:
        """Stop a response, wherever it is made; the response as it is then. One that has ended stays as it is.

        One that waits for a place is cancelled at once. One that another process makes is stopped when that process
        renews its lease; this waits for it, but not longer than a lease lasts.

        Raises:
            Fault: There is no such response, or it is no background response.
        """
        stored = await self.get(owner, response_id)
        if not is_background(stored):
            raise invalid("Only responses created with background=true can be cancelled.", None)
        if is_over(stored.status) or await self._cancel_waiting(owner, response_id):
            return await self.get(owner, response_id)
        if not await self._store.jobs.cancel(owner, response_id):
            return await self.get(owner, response_id)
        if running := self._running.get((owner, response_id)):
            running.settle("cancelled")
            await asyncio.wait([running.task])
            return await self.get(owner, response_id)
        for _ in range(int(self._lease / POLL_SECONDS)):
            stored = await self.get(owner, response_id)
            if is_over(stored.status):
                break
            await asyncio.sleep(POLL_SECONDS)
        return stored

    async def delete(self, owner: str, response_id: str) -> bool:
        """Delete a stored response, and stop at once if it is being made here; False if there is none.

        Another process that makes it stops when it next stores an event or renews its lease.

        Raises:
            StoreFault: The store is away.
        """
        deleted = await self._store.responses.delete(owner, response_id)
        if running := self._running.get((owner, response_id)):
            running.settle("lost")
            await asyncio.wait([running.task])
        return deleted

    def follow(self, owner: str, response_id: str, after: int = -1) -> Following:
        """The stream of a response after a number, to its end."""

        def news() -> asyncio.Event | None:
            running = self._running.get((owner, response_id))
            return running.story.news.next if running else None

        return Following(self._store, owner, response_id, after, Here(news, lambda: self._left))

    # -- jobs -------------------------------------------------------------------------------------------------

    async def _cancel_waiting(self, owner: str, response_id: str) -> bool:
        """Cancel a job that nobody has claimed; False if there is none, or somebody claims it meanwhile."""
        job = await self._store.jobs.waiting(owner, response_id)
        if job is None:
            return False
        try:
            await Story(self._store, job, self._source).cancel()
        except Gone:
            return False
        return True

    def _begin(self, job: Job, asked: Asked | None = None) -> None:
        """Work on a claimed job; its place is taken already."""
        key = owner, _ = job.owner, job.response_id
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        running = Running(Story(self._store, job, self._source), verdict, job.until or 0)
        running.task = asyncio.create_task(self._work(running, asked))
        self._running[key] = running

        def ended(_: asyncio.Task[None]) -> None:
            if self._running.get(key) is running:
                del self._running[key]
            self._places.give(owner)
            running.story.news.spread()
            if not self._leaving:
                self._chore(self._look_safely())

        running.task.add_done_callback(ended)

    async def _work(self, running: Running, asked: Asked | None) -> None:
        """One job from its claim to its end, or to a verdict; never raises but for cancellation."""
        making = asyncio.create_task(self._make(running.story, asked))
        del asked  # which is held no longer than `making` holds it
        renewing = asyncio.create_task(self._renew(running))
        try:
            await asyncio.wait((making, running.verdict), return_when=asyncio.FIRST_COMPLETED)
        finally:
            making.cancel()
            renewing.cancel()
            await asyncio.wait((making, renewing))
        story = running.story
        try:
            if making.cancelled():
                await self._settle(story, running.verdict.result())
            else:
                making.result()
        except Gone:
            log.info("response %s: deleted, or made by another process", story.job.response_id)
        except StoreFault as fault:
            log.error("response %s waits for the store: %s", story.job.response_id, fault.message)  # noqa: TRY400
        except Exception:
            log.exception("response %s failed", story.job.response_id)
            with suppress(Gone, StoreFault):
                await story.fail(Fault(BROKE))

    async def _settle(self, story: Story, verdict: Verdict) -> None:
        """What becomes of a job whose making was stopped."""
        if verdict == "cancelled":
            await story.cancel()
        elif verdict == "leaving" and story.streamed:
            await story.fail(Fault(ENDED))
        elif verdict == "leaving":
            await self._store.jobs.renew(story.job.lease, self._source.now())

    async def _renew(self, running: Running) -> None:
        """Hold the lease; learn of cancellations made elsewhere."""
        while True:
            await asyncio.sleep(self._lease / ROUNDS_PER_LEASE)
            with suppress(StoreFault):  # a lease that runs out meanwhile fences us, whatever happens here
                await self._hold(running)

    async def _hold(self, running: Running) -> None:
        until = self._source.now() + self._lease
        renewal = await self._store.jobs.renew(running.story.job.lease, until)
        running.until = until
        if renewal != "held":
            running.settle(renewal)

    async def _make(self, story: Story, asked: Asked | None) -> None:
        """Make the response, or end what another process began."""
        if story.job.cancelled:
            await story.cancel()
            await self._unlock(story)
        elif story.streamed or story.job.attempt > MOST_ATTEMPTS:
            await story.fail(Fault(ENDED))
            await self._unlock(story)
        else:
            await story.tell()
            answering = self._answer(story, asked)
            del asked
            await answering
        final = story.assembler.final
        log.info("response %s is %s", story.job.response_id, final and final["status"])

    async def _answer(self, story: Story, asked: Asked | None) -> None:
        try:
            asked = asked or await self._asked_again(story)
            turn = await self._accepted(asked, story)
        except StoreFault:
            raise
        except Fault as fault:
            await story.fail(fault)
            return
        del asked
        story.accepted()
        async with aclosing(turn):
            await self._relay(turn, story)

    async def _accepted(self, asked: Asked, story: Story) -> Turn:
        """The turn, once no other one of its conversation is under way: nobody is there to try again."""
        while True:
            try:
                return await self._exchange.accept(asked, monotonic(), story.order.response)
            except ClientFault as fault:
                if fault.code != CONVERSATION_LOCKED:
                    raise
            await asyncio.sleep(POLL_SECONDS)

    async def _relay(self, turn: Turn, story: Story) -> None:
        """Store what the turn says, one upstream read at a time; what a store that is away misses comes with the next."""
        turn.assembler.queue()  # told already
        story.assembler = turn.assembler
        async with aclosing(turn.events()) as batches:
            async for events in batches:
                first = events[0]
                if turn.final is not None:
                    await self._finished(turn.final, events, story)
                    await turn.let_go()
                    continue
                try:
                    if first["type"] == "response.in_progress":
                        await story.become(first["response"], events)
                    else:
                        await story.tell(events)
                except StoreFault as fault:
                    _log_waiting(story, fault)

    async def _finished(self, response: Response, events: list[Event], story: Story) -> None:
        """Store the end, as soon as the store takes it; another process that took the job meanwhile ends this."""
        while True:
            try:
                await story.become(response, events)
            except StoreFault as fault:
                _log_waiting(story, fault)
            else:
                return
            events = []  # they wait in the story
            await asyncio.sleep(POLL_SECONDS)

    async def _asked_again(self, story: Story) -> Asked:
        """The request of a job that was not begun by whoever took it.

        Raises:
            Fault: Its key cannot be opened, its client is not let in any more, or the request is wrong by now.
        """
        job = story.job
        sealer = self._sealer(job.owner, job.response_id)
        opened = sealer.unseal(job.sealed_key.decode("ascii", "replace")) if job.sealed_key else None
        if opened is None:
            raise Fault(SEALED_ELSEWHERE)
        caller = Caller(**from_json(opened))
        if self._tokens and caller.identity.encode("latin-1") not in self._tokens:
            raise ClientFault(REVOKED, status=401, code="invalid_api_key")
        return await self._exchange.ask(story.order.body, caller, self._source.new_id("req"))

    async def _unlock(self, story: Story) -> None:
        """Give back the conversation that the process which is gone had locked."""
        job, conversation = story.job, story.order.conversation
        if conversation:
            await self._store.conversations.unlock(job.owner, conversation, job.response_id)

    # -- work in the store ------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await self._look_safely()
            await asyncio.sleep(self._lease / ROUNDS_PER_LEASE)

    async def _look_safely(self) -> None:
        try:
            await self.look()
        except StoreFault as fault:
            log.warning("looking for background work: %s", fault.message)

    def _claim(self) -> Claim:
        return Claim(self._worker, self._source.now() + self._lease)

    def _sealed(self, caller: Caller, owner: str, response_id: str) -> bytes:
        """Who asked, for whichever process takes the job; never in clear."""
        opened = to_json(asdict(caller)).decode()
        return self._sealer(owner, response_id).seal(opened).encode()

    def _sealer(self, owner: str, response_id: str) -> Sealer:
        """What seals one job's key: it opens in no other job, and not as `encrypted_content`."""
        return self._exchange.seal_keys.sealer("job", f"{owner} {response_id}")

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        chore = asyncio.create_task(work)
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)


def is_background(stored: StoredResponse) -> bool:
    """Whether a stored response was made in the background."""
    return bool(from_json(stored.envelope).get("background"))


def _log_waiting(story: Story, fault: StoreFault) -> None:
    log.warning("response %s waits for the store: %s", story.job.response_id, fault.message)
