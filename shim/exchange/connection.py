"""The turns of one connection: what it remembers between them, and turns that only prepare.

A chain of `store: false` turns lives nowhere but here and ends with its connection. What is remembered is bounded;
whatever was let go of, or belongs to a turn that failed, is `previous_response_not_found`, upon which clients send
the whole conversation again.

Not here: the wire (`shim.http.websocket`) and what outlives the connection (`shim.store`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from pydantic_core import to_json

from shim.ambient import monotonic
from shim.errors import Fault, invalid
from shim.exchange.caller import Caller
from shim.exchange.exchange import Asked, Exchange
from shim.exchange.turn import Preparation, Summary, Turn
from shim.wire.base import Json
from shim.wire.events import Event
from shim.wire.response import Response

CONTINUABLE = frozenset({"completed", "incomplete"})
"""Statuses of responses that can be continued."""


class LocalTurns(Mapping[str, tuple[Json, ...]]):
    """Response ids with every item up to the response's end; the oldest turn goes first."""

    def __init__(self, most_turns: int, most_bytes: int) -> None:
        """Remember nothing yet.

        Args:
            most_turns: Turns that may be remembered.
            most_bytes: Bytes of JSON; each turn counts with its whole history, though they share it.
        """
        self._most_turns = most_turns
        self._most_bytes = most_bytes
        self._turns: dict[str, tuple[Json, ...]] = {}
        self._sizes: dict[str, int] = {}
        self.size = 0

    def __getitem__(self, response_id: str) -> tuple[Json, ...]:
        return self._turns[response_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._turns)

    def __len__(self) -> int:
        return len(self._turns)

    def keep(self, response_id: str, items: tuple[Json, ...]) -> None:
        """Remember a turn, as far as the limits allow."""
        self._turns[response_id] = items
        self._sizes[response_id] = len(to_json(items, inf_nan_mode="null"))
        self.size += self._sizes[response_id]
        while len(self._turns) > self._most_turns or self.size > self._most_bytes:
            self.evict(next(iter(self._turns)))

    def evict(self, response_id: str) -> None:
        """Forget a turn, if it is there."""
        if response_id in self._turns:
            del self._turns[response_id]
            self.size -= self._sizes.pop(response_id)


@dataclass(slots=True)
class ConnectionTurns:
    """Opens the turns of one connection.

    Attributes:
        exchange: Where turns are opened.
        caller: Who asked for the connection; every turn is theirs.
        local: What this connection remembers.
    """

    exchange: Exchange
    caller: Caller
    local: LocalTurns

    async def open(self, body: Json, request_id: str, *, generate: bool = True) -> LocalTurn:
        """Accept a turn; with `generate` false one that only takes the input in.

        Raises:
            Fault: The request is wrong, or the upstream refused. A previous turn of this connection is forgotten then.
        """
        began = monotonic()
        previous = body.get("previous_response_id")
        try:
            asked = await self.exchange.ask(body, self.caller, request_id, self.local)
            lives_here = self._lives_here(asked)
            made: Turn | Preparation
            if generate:
                made = await self.exchange.accept(asked, began, remembered=lives_here)
            else:
                made = await self._prepared(asked, lives_here=lives_here)
        except Fault:
            self.evict(previous)
            raise
        return LocalTurn(self, made)

    def evict(self, response_id: object) -> None:
        """Forget the turn that a failed one wanted to continue."""
        if isinstance(response_id, str):
            self.local.evict(response_id)

    def _lives_here(self, asked: Asked) -> bool:
        """Whether a turn can be continued on this connection only, since no store has it."""
        return asked.request.store is False or self.exchange.store.kind == "off"

    async def _prepared(self, asked: Asked, *, lives_here: bool) -> Preparation:
        if asked.recalled.conversation:
            message = "'generate' must not be false for a response that belongs to a conversation."
            raise invalid(message, "generate", "unsupported_parameter")
        return await self.exchange.prepare(asked, remembered=lives_here)


@dataclass(slots=True)
class LocalTurn:
    """An accepted turn that its connection remembers."""

    turns: ConnectionTurns
    turn: Turn | Preparation
    _settled: bool = False

    @property
    def summary(self) -> Summary:
        """What the log says of it."""
        return self.turn.summary

    @property
    def told(self) -> bool:
        """Whether the last event is among those that were told."""
        return self._settled

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """The turn's events; it is remembered, or its predecessor forgotten, before the last one is told."""
        async with aclosing(self.turn.events()) as batches:
            async for events in batches:
                if self.turn.final is not None and not self._settled:
                    self._settled = True
                    self._settle(self.turn.final)
                yield events

    def heartbeat(self) -> list[Event]:
        """A further `response.in_progress`, numbered in sequence; nothing before the start or after the end."""
        return self.turn.assembler.heartbeat()

    async def broken_off(self, fault: Fault) -> list[Event]:
        """What is left to tell of a turn whose `events` were cancelled."""
        return await self.turn.broken_off(fault)

    async def aclose(self) -> None:
        """Close the upstream at once; safe to call twice."""
        await self.turn.aclose()

    def _settle(self, response: Response) -> None:
        if response["status"] not in CONTINUABLE:
            self.turns.evict(response["previous_response_id"])
        elif (remembered := self.turn.remembered) is not None:
            output = cast("list[Json]", response["output"])
            self.turns.local.keep(response["id"], (*remembered, *output))
