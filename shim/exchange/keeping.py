"""What is kept of a turn that has ended."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from shim.exchange.recall import Recalled
from shim.store import ResponseStore, StoreFault
from shim.store.records import JOINS_CONVERSATION, record_of
from shim.wire.response import Response

log = logging.getLogger("shim.exchange")


@dataclass(frozen=True, slots=True)
class Keeper:
    """Keeps one response, if the client wants it kept, and what was learned of the instrument's tokens.

    A store that fails takes nothing from the client that asked: the response is told all the same, the log is loud,
    and continuing it will be refused.
    """

    store: ResponseStore
    owner: str
    recalled: Recalled
    instrument: str
    estimated: int
    stored: bool

    async def keep(self, response: Response) -> None:
        """Store a response that has ended well enough to be continued; never raises."""
        try:
            if self.stored and response["status"] in JOINS_CONVERSATION:
                record = record_of(self.owner, response, self.recalled.own, self.recalled.conversation)
                await self.store.responses.save(record)
        except StoreFault as fault:
            log.error("response %s could not be stored: %s", response["id"], fault.message)  # noqa: TRY400
        except Exception:
            log.exception("response %s could not be stored", response["id"])

    async def learn(self, response: Response) -> None:
        """Keep how many tokens the estimate was worth; after the client has been told, and never raises."""
        if response["usage"] is None:
            return
        try:
            reported = response["usage"]["input_tokens"]
            await self.store.calibrations.record(self.instrument, self.estimated, reported)
        except StoreFault as fault:
            log.warning("an estimate could not be compared: %s", fault.message)
