"""What is kept of a turn that has ended: the response, and what was learned of its instrument."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial

from shim.ambient import monotonic
from shim.core.estimate import estimate_tokens
from shim.exchange.recall import Recalled
from shim.exchange.turn import Learn, learn_nothing
from shim.store import ResponseStore, StoreFault
from shim.store.records import JOINS_CONVERSATION, Item, ResponseRecord, item_of, record_of
from shim.wire.chat import ChatRequest
from shim.wire.response import Response, Usage

log = logging.getLogger("shim.exchange")


@dataclass(frozen=True, slots=True)
class Keeper:
    """Keeps one response.

    A store that fails takes nothing from the client that asked: the response is told all the same, with `store` false,
    the log is loud, and continuing it will be refused.

    Attributes:
        store: Where.
        owner: For whom.
        input: The items to keep with it, serialised: parsed they take more room, and the turn may take minutes.
        conversation: What it belongs to.
        begins_chain: Whether it is stored as the first of a chain, since no store has what it continues.
    """

    store: ResponseStore
    owner: str
    input: tuple[Item, ...]
    conversation: str | None
    begins_chain: bool

    @classmethod
    def of(cls, store: ResponseStore, owner: str, recalled: Recalled) -> Keeper:
        """Of the response to a request; if no store has the earlier items, they are kept with it."""
        items = recalled.whole if recalled.unstored else recalled.own
        return cls(store, owner, tuple(map(item_of, items)), recalled.conversation, recalled.unstored)

    async def keep(self, response: Response) -> None:
        """Store a response that has ended well enough to be continued; never raises."""
        try:
            if response["status"] in JOINS_CONVERSATION:
                await self.store.responses.save(self._record(response))
        except StoreFault as fault:
            response["store"] = False
            log.error("response %s could not be stored: %s", response["id"], fault.message)  # noqa: TRY400
        except Exception:
            response["store"] = False
            log.exception("response %s could not be stored", response["id"])

    def _record(self, response: Response) -> ResponseRecord:
        record = record_of(self.owner, response, self.input, self.conversation)
        return replace(record, previous_response_id=None) if self.begins_chain else record


MOST_REMEMBERED = 1000
"""Instruments whose last lesson is remembered: an upstream that takes any name for a model makes as many as clients make up."""

LESSON_SECONDS = 1.0
"""Time between two lessons on one instrument: the next ones say the same, and each is a transaction."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """Keeps what estimates of input tokens were worth.

    `last` is when, by the hash of an instrument's name, which a client can make very long.
    """

    store: ResponseStore
    last: dict[int, float] = field(default_factory=dict)

    def on(self, instrument: str, chat: ChatRequest) -> Learn:
        """What compares an estimate, made at once, with the upstream's own count, after the client has been told; never raises."""
        now, name = monotonic(), hash(instrument)
        if now - self.last.get(name, -LESSON_SECONDS) < LESSON_SECONDS:
            return learn_nothing
        if len(self.last) >= MOST_REMEMBERED:
            self.last.clear()
        self.last[name] = now
        estimated = estimate_tokens(chat)
        return partial(self._learn, instrument, estimated)

    async def ratio(self, instrument: str) -> float:
        """What an estimate is to be multiplied by; as it is while the store, which no request must need, is away."""
        try:
            calibration = await self.store.calibrations.get(instrument)
        except StoreFault as fault:
            log.warning("an estimate could not be corrected: %s", fault.message)
            return 1.0
        return calibration.ratio if calibration else 1.0

    async def _learn(self, instrument: str, estimated: int, usage: Usage) -> None:
        try:
            await self.store.calibrations.record(instrument, estimated, usage["input_tokens"])
        except StoreFault as fault:
            log.warning("an estimate could not be compared: %s", fault.message)
