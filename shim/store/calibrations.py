"""How estimates of input tokens compare with what upstream reported: one row of sums an instrument.

A new instrument takes the place of the one of which least is known, so made-up names push out each other.

Not here: the estimate.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, case, delete, select

from shim.store.database import Database
from shim.store.dialect import insert_into, upsert
from shim.store.records import Calibration
from shim.store.tables import calibrations

FADES_AT = 1024
"""Samples at which the sums are halved, so that a supplier's new tokenizer shows soon."""

MOST_INSTRUMENTS = 1000
"""Instruments that are kept: an upstream that takes any name for a model makes as many as clients make up."""

MOST_AT_ONCE = 10_000
"""Instruments that give way at once, where more were kept before."""

_ADDED = bindparam("added", type_=calibrations.c.instrument.type)
_RANKED = (
    select(calibrations.c.instrument)
    .where(calibrations.c.instrument != _ADDED)
    .order_by(calibrations.c.samples.desc(), calibrations.c.instrument)
)


class SqlCalibrations:
    """`shim.store.protocol.Calibrations`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        adding = insert_into(database.kind, calibrations)
        sums = {
            name: case(
                (calibrations.c.samples >= FADES_AT, calibrations.c[name] // 2), else_=calibrations.c[name]
            )
            + adding.excluded[name]
            for name in ("samples", "estimated", "reported")
        }
        others = _RANKED.limit(MOST_AT_ONCE).offset(MOST_INSTRUMENTS - 1)
        self._forget = delete(calibrations).where(calibrations.c.instrument.in_(others))
        self._add = upsert(adding, ("instrument",), sums, (calibrations.c.samples,))

    async def record(self, instrument: str, estimated: int, reported: int) -> None:
        """See the protocol."""
        if estimated <= 0 or reported <= 0:
            return
        row = {"instrument": instrument, "samples": 1, "estimated": estimated, "reported": reported}

        def work(connection: Connection) -> None:
            if connection.scalar(self._add, row) == 1:
                connection.execute(self._forget, {"added": instrument})

        await self._database.write(work)

    async def get(self, instrument: str) -> Calibration | None:
        """See the protocol."""
        query = select(calibrations).where(calibrations.c.instrument == instrument)

        def work(connection: Connection) -> Calibration | None:
            row = connection.execute(query).first()
            return Calibration(row.samples, row.estimated, row.reported) if row else None

        return await self._database.read(work)
