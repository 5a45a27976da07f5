"""Background work, given to workers by leases.

A worker claims a job until a time and keeps it by renewing. One that dies renews no more, and another takes the
job. `attempt` counts the claims and fences: a worker that was only slow writes nothing once it was replaced.
PostgreSQL hands jobs out with FOR UPDATE SKIP LOCKED, SQLite one writer at a time.

Not here: what a job does, and when anyone looks for work.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    BindParameter,
    Connection,
    Row,
    Select,
    Update,
    bindparam,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from shim.store import leases
from shim.store.database import Database
from shim.store.faults import QueueFull
from shim.store.records import (
    LONGEST_SECONDS,
    UNBOUNDED,
    UNCONFIRMED,
    Claim,
    Job,
    Lease,
    Queue,
    Renewal,
    ResponseRecord,
)
from shim.store.responses import SqlResponses
from shim.store.tables import jobs, responses, streams

_KEY = select(responses.c.key).where(
    responses.c.owner == bindparam("of"), responses.c.id == bindparam("named")
)
_ENQUEUE = insert(jobs)
_NAMED = (jobs.c.owner == bindparam("of"), jobs.c.response_id == bindparam("named"))
_CANCEL = update(jobs).where(*_NAMED).values(cancelled=True).returning(jobs.c.response_key)
_WAITING = select(jobs).where(*_NAMED, jobs.c.worker.is_(None))
_CANCELLED = select(jobs.c.cancelled).where(*_NAMED)
_REACHED = select(streams.c.response_key, streams.c.last_number).where(
    streams.c.response_key.in_(bindparam("keys", expanding=True))
)
_HELD = select(
    func.count().label("jobs"), func.sum(func.length(jobs.c.request)).label("request_bytes")
).where(jobs.c.owner == bindparam("of"))
_RENEW = update(jobs).where(*leases.OURS).values(until=bindparam("later")).returning(jobs.c.cancelled)

_MOST_OF_ONE: BindParameter[int] = bindparam("most_of_one", type_=BigInteger)

_CONFIRM = (
    update(jobs)
    .where(*_NAMED, jobs.c.worker == bindparam("held_by"))
    .values(worker=bindparam("by"), until=bindparam("later"), attempt=bindparam("counted"))
    .returning(jobs.c.response_key)
)


def _claiming(found: Select[Any]) -> Update:
    """Take the first of these jobs that nobody is taking right now.

    The locked rows come from a WITH of their own, which PostgreSQL evaluates once; as a plain subquery it might
    run again for each row and lock more than the limit.
    """
    picked = found.limit(bindparam("limit")).with_for_update(of=jobs, skip_locked=True).cte("picked")
    return (
        update(jobs)
        .where(jobs.c.response_key.in_(select(picked.c.response_key)))
        .values(worker=bindparam("by"), until=bindparam("later"), attempt=jobs.c.attempt + 1)
        .returning(*jobs.c)
    )


SPARE_TURNS = 64
"""Jobs of one owner that are looked at beyond those that are wanted: others may be taking the first ones."""

_WAITS = jobs.c.worker.is_(None)


def _owners_that_wait() -> CTE:
    """Each owner of a job that waits, then NULL."""
    first = select(func.min(jobs.c.owner).label("owner")).where(_WAITS).cte("owners", recursive=True)
    after = select(func.min(jobs.c.owner)).where(_WAITS, jobs.c.owner > first.c.owner).scalar_subquery()
    return first.union_all(select(after).where(first.c.owner.is_not(None)))


def _turns() -> CTE:
    """The jobs that wait, of each owner in order as many as can be wanted, and the turn of each; then one without a key."""
    owners = _owners_that_wait()
    had = (
        select(jobs.c.owner, func.count().label("jobs"))
        .where(jobs.c.worker == bindparam("by"))
        .group_by(jobs.c.owner)
        .subquery("had")
    )
    one = select(func.min(jobs.c.response_key)).where(_WAITS)
    first = (
        select(
            owners.c.owner,
            (func.coalesce(had.c.jobs, 0) + 1).label("turn"),
            literal_column("1").label("place"),
            one.where(jobs.c.owner == owners.c.owner).scalar_subquery().label("key"),
        )
        .join_from(owners, had, had.c.owner == owners.c.owner, isouter=True)
        .where(owners.c.owner.is_not(None))
        .cte("turns", recursive=True)
    )
    after = one.where(jobs.c.owner == first.c.owner, jobs.c.response_key > first.c.key).scalar_subquery()
    wanted = bindparam("limit", type_=BigInteger) + SPARE_TURNS
    return first.union_all(
        select(first.c.owner, first.c.turn + 1, first.c.place + 1, after).where(
            first.c.key.is_not(None), first.c.turn < _MOST_OF_ONE, first.c.place < wanted
        )
    )


def _in_turn() -> Select[Any]:
    """Jobs that wait, the owners taking turns; of none more than one worker may have.

    An owner's first turn comes after those that the worker's jobs of his have had. Owner after owner, and of each one job after
    the other, is found by a look into an index: it takes no longer however many jobs an owner has waiting.
    """
    turns = _turns()
    return (
        select(jobs.c.response_key)
        .join(turns, turns.c.key == jobs.c.response_key)
        .where(_WAITS, turns.c.turn <= _MOST_OF_ONE)
        .order_by(turns.c.turn, jobs.c.response_key)
    )


_CLAIM = _claiming(_in_turn())
_CLAIM_ABANDONED = _claiming(
    select(jobs.c.response_key)
    .where(
        or_(
            jobs.c.until <= bindparam("now"),
            jobs.c.until > bindparam("later", type_=BigInteger) + LONGEST_SECONDS,
        )
    )
    .order_by(jobs.c.response_key + 0)  # in the order of the table SQLite would go through all of it
)


def _first_attempt(claim: Claim | None) -> int:
    if claim is None:
        return 0
    return 1 if claim.confirmed else UNCONFIRMED


def _check_room(connection: Connection, job: Job, queue: Queue) -> None:
    """Whether one more job finds room; two that are stored in the same moment may both find the last.

    Raises:
        QueueFull: It does not.
    """
    held = connection.execute(_HELD, {"of": job.owner}).one()
    if held.jobs >= queue.jobs:
        raise QueueFull(
            f"You have {held.jobs:,} background responses that wait or are made, as many as a client may."
        )
    if (held.request_bytes or 0) + len(job.request) > queue.request_bytes:
        raise QueueFull(
            f"The requests of your background responses that wait or are made would have more than {queue.request_bytes:,} bytes."
        )


class SqlJobs:
    """`shim.store.protocol.Jobs`."""

    def __init__(self, database: Database, responses: SqlResponses) -> None:
        self._database = database
        self._responses = responses

    async def enqueue(
        self,
        record: ResponseRecord,
        request: bytes,
        *,
        sealed_key: bytes | None = None,
        claim: Claim | None = None,
        queue: Queue | None = None,
    ) -> Job:
        """See the protocol."""
        job = Job(
            record.owner,
            record.id,
            request,
            sealed_key,
            worker=claim.worker if claim else None,
            until=claim.until if claim else None,
            attempt=_first_attempt(claim),
        )

        def work(connection: Connection) -> None:
            if queue is not None:
                _check_room(connection, job, queue)
            self._responses.put(connection, record)
            key = connection.scalar(_KEY, {"of": record.owner, "named": record.id})
            connection.execute(_ENQUEUE, {"response_key": key} | _row(job))

        await self._database.write(work)
        return job

    async def confirm(self, job: Job, claim: Claim | None = None) -> Job | None:
        """See the protocol."""
        worker, until, attempt = (claim.worker, claim.until, 1) if claim else (None, None, 0)
        names = {"of": job.owner, "named": job.response_id, "held_by": job.worker}
        values = {"by": worker, "later": until, "counted": attempt}

        def work(connection: Connection) -> bool:
            return connection.execute(_CONFIRM, names | values).first() is not None

        if not await self._database.write(work):
            return None
        return replace(job, worker=worker, until=until, attempt=attempt)

    async def claim(self, claim: Claim, limit: int = 1, most_of_one: int = UNBOUNDED) -> tuple[Job, ...]:
        """See the protocol."""
        taking = {"by": claim.worker, "later": claim.until, "limit": limit, "most_of_one": most_of_one}
        return await self._claim(_CLAIM, taking)

    async def claim_abandoned(self, claim: Claim, now: int, limit: int = 1) -> tuple[Job, ...]:
        """See the protocol."""
        taking = {"by": claim.worker, "later": claim.until, "limit": limit, "now": now}
        return await self._claim(_CLAIM_ABANDONED, taking)

    async def _claim(self, statement: Update, taking: dict[str, Any]) -> tuple[Job, ...]:
        def work(connection: Connection) -> tuple[Job, ...]:
            rows = {row.response_key: row for row in connection.execute(statement, taking)}
            if not rows:
                return ()
            streamed = connection.execute(_REACHED, {"keys": list(rows)})
            reached = {row.response_key: row.last_number for row in streamed}
            return tuple(_job(rows[key], reached.get(key)) for key in sorted(rows))

        return await self._database.write(work)

    async def waiting(self, owner: str, response_id: str) -> Job | None:
        """See the protocol."""

        def work(connection: Connection) -> Job | None:
            row = connection.execute(_WAITING, {"of": owner, "named": response_id}).first()
            return _job(row, None) if row else None

        return await self._database.read(work)

    async def renew(self, lease: Lease, until: int) -> Renewal:
        """See the protocol."""

        def work(connection: Connection) -> Renewal:
            row = connection.execute(_RENEW, leases.names(lease) | {"later": until}).first()
            if row is None:
                return "lost"
            return "cancelled" if row.cancelled else "held"

        return await self._database.write(work)

    async def finish(self, lease: Lease) -> bool:
        """See the protocol."""

        def work(connection: Connection) -> bool:
            return leases.finish(connection, lease) is not None

        return await self._database.write(work)

    async def cancel(self, owner: str, response_id: str) -> bool:
        """See the protocol."""

        def work(connection: Connection) -> bool:
            asked = connection.execute(_CANCEL, {"of": owner, "named": response_id})
            return asked.first() is not None

        return await self._database.write(work)

    async def cancelled(self, owner: str, response_id: str) -> bool:
        """See the protocol."""

        def work(connection: Connection) -> bool:
            said = connection.scalar(_CANCELLED, {"of": owner, "named": response_id})
            return said is None or bool(said)

        return await self._database.read(work)


def _row(job: Job) -> dict[str, Any]:
    return {
        "owner": job.owner,
        "response_id": job.response_id,
        "worker": job.worker,
        "until": job.until,
        "attempt": job.attempt,
        "cancelled": job.cancelled,
        "sealed_key": job.sealed_key,
        "request": job.request,
    }


def _job(row: Row[Any], last_event: int | None) -> Job:
    return Job(
        owner=row.owner,
        response_id=row.response_id,
        request=row.request,
        sealed_key=row.sealed_key,
        worker=row.worker,
        until=row.until,
        attempt=row.attempt,
        cancelled=row.cancelled,
        last_event=last_event,
    )
