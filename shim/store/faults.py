"""What can go wrong with the store, as the client is told. Messages name neither URL nor credentials."""

from __future__ import annotations

from dataclasses import dataclass

from shim.errors import ClientFault, Fault

RETRY_AFTER = 2
"""Seconds: a database that restarts is back in a few."""

QUEUE_RETRY_AFTER = 5
"""Seconds in which one of many jobs may well have ended."""


@dataclass
class StoreFault(Fault):
    """The database is away, locked, full, or of another version: ours to mend, worth a retry."""

    status: int = 503
    code: str | None = "store_unavailable"
    retry_after: int | None = RETRY_AFTER
    cause: str = ""
    """The driver's word for it, such as an exception's name and an SQLSTATE: for operators, not for clients."""

    __hash__ = Exception.__hash__


@dataclass
class QueueFull(Fault):
    """The owner has as many jobs, or as much in them, as one may."""

    status: int = 503
    code: str | None = "concurrency_limit_exceeded"
    retry_after: int | None = QUEUE_RETRY_AFTER

    __hash__ = Exception.__hash__


@dataclass
class StoreOff(ClientFault):
    """The request needs storage and this endpoint keeps nothing."""

    message: str = (
        "This endpoint stores nothing (its setting 'store' is 'off'), and the request needs storage."
    )
    code: str | None = "store_off"

    __hash__ = Exception.__hash__
