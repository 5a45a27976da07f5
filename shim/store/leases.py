"""Leases on jobs inside a transaction: held until it ends, so that nobody takes the job meanwhile.

Not here: giving leases out (`shim.store.jobs`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from shim.store.records import Lease
from shim.store.tables import jobs

OURS = (
    jobs.c.owner == bindparam("of"),
    jobs.c.response_id == bindparam("named"),
    jobs.c.worker.is_not_distinct_from(bindparam("held_by")),  # nobody's, while it waits
    jobs.c.attempt == bindparam("at_attempt"),
)
"""The job that a lease is for, if it still is."""

_HOLD = select(jobs.c.response_key).where(*OURS).with_for_update()
_FINISH = delete(jobs).where(*OURS).returning(jobs.c.response_key)


def names(lease: Lease) -> dict[str, Any]:
    """The parameters of `OURS`."""
    return {
        "of": lease.owner,
        "named": lease.response_id,
        "held_by": lease.worker,
        "at_attempt": lease.attempt,
    }


def hold(connection: Connection, lease: Lease) -> int | None:
    """Lock the job's row; its response's key, or None if the lease is lost."""
    key: int | None = connection.scalar(_HOLD, names(lease))
    return key


def finish(connection: Connection, lease: Lease) -> int | None:
    """Delete the job; its response's key, or None if the lease is lost."""
    key: int | None = connection.execute(_FINISH, names(lease)).scalar()
    return key
