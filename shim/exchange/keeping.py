"""What is kept of a turn that has ended: the response, and what was learned of its instrument."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from shim.exchange.recall import Recalled
from shim.store import ResponseStore, StoreFault
from shim.store.records import JOINS_CONVERSATION, ResponseRecord, record_of
from shim.wire.response import Response, Usage

log = logging.getLogger("shim.exchange")


@dataclass(frozen=True, slots=True)
class Keeper:
    """Keeps one response.

    A store that fails takes nothing from the client that asked: the response is told all the same, the log is loud,
    and continuing it will be refused.
    """

    store: ResponseStore
    owner: str
    recalled: Recalled

    async def keep(self, response: Response) -> None:
        """Store a response that has ended well enough to be continued; never raises."""
        try:
            if response["status"] in JOINS_CONVERSATION:
                await self.store.responses.save(self._record(response))
        except StoreFault as fault:
            log.error("response %s could not be stored: %s", response["id"], fault.message)  # noqa: TRY400
        except Exception:
            log.exception("response %s could not be stored", response["id"])

    def _record(self, response: Response) -> ResponseRecord:
        """One that continues what no store has begins a chain of its own, which says everything before it."""
        recalled = self.recalled
        if not recalled.unstored:
            return record_of(self.owner, response, recalled.own, recalled.conversation)
        record = record_of(self.owner, response, (*recalled.earlier, *recalled.own))
        return replace(record, previous_response_id=None)


@dataclass(frozen=True, slots=True)
class Learner:
    """Keeps what an estimate of an instrument's input tokens was worth."""

    store: ResponseStore
    instrument: str
    estimated: int

    async def learn(self, usage: Usage) -> None:
        """Compare with what the upstream reported; after the client has been told, and never raises."""
        try:
            await self.store.calibrations.record(self.instrument, self.estimated, usage["input_tokens"])
        except StoreFault as fault:
            log.warning("an estimate could not be compared: %s", fault.message)
