"""One client of the mixed load: how it asks, what it checks of every answer, and what an answer may end in.

Every request ends in one word: a response's status, an HTTP status (with the code of a 4xx), or how it was cut short. Which
words are allowed depends on how it was asked and on what the upstream does to it (`bench.faults`): `allowed` is that table.
"""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
from httpx_sse import EventSource

from bench.load import TOOLS

Json = dict[str, Any]

HEADERS = {"authorization": "Bearer bench", "content-type": "application/json"}
TERMINAL = ("response.completed", "response.incomplete", "response.failed")

# -- what may come of it ------------------------------------------------------------------------------------------

BEFORE = dict.fromkeys(("refused", "dropped", "noise", "gateway", "page"), 502) | {
    "mute": 504,
    "broken": 500,
    "unknown": 400,
}
"""Faults before an answer, with the status that a client gets."""

WITHIN = {"reset": 502, "cut": 502, "half": 502, "garbage": 502, "error": 502, "silent": 504}
"""Faults within a stream, with the status of the same request if it was not streamed."""

PASSED_ON = {"page": "ok", **dict.fromkeys(("cut", "half", "garbage", "error"), "ok")}
"""What pass-through gives on as it is."""


def allowed(how: str, model: str) -> frozenset[str]:
    """The words in which a request may end.

    Args:
        how: `stream`, `whole`, `background`, `websocket` or `chat`; anything else is never touched by a fault.
        model: The name of a good answer or of a fault.
    """
    if how == "chat":
        return frozenset(_chat(model))
    if model in BEFORE:
        status = BEFORE[model]
        coded = "400 model_not_found" if status == 400 else str(status)
        return frozenset({"background": {"failed"}, "websocket": {"error"}}.get(how, {coded}))
    if model in WITHIN:
        told = {"whole": {str(WITHIN[model])}}.get(how, {"failed"})
        early = {"websocket": "error", "background": "failed"}.get(how, "502")
        return frozenset(
            told | {early} if model == "reset" else told
        )  # a reset may overtake the words before it
    return frozenset({"completed"})


def _chat(model: str) -> set[str]:
    if model in PASSED_ON:
        return {PASSED_ON[model]}
    if model in BEFORE:
        return {"400 model_not_found" if BEFORE[model] == 400 else str(BEFORE[model])}
    return {"unfinished", "502"} if model in WITHIN else {"ok"}


@dataclass
class Ledger:
    """What all clients saw."""

    ended: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    stored: int = 0
    """Responses and conversations that must have been stored."""
    uncertain: int = 0
    """Those that may have been: their clients left before the end."""
    deleted: int = 0

    def note(self, how: str, model: str, word: str, also: Iterable[str] = ()) -> None:
        """One request has ended; `also` are words that are allowed besides those of the table."""
        self.ended[how, model, word] += 1
        if word not in allowed(how, model) and word not in also:
            self.object(f"{how} {model}: {word}")

    def tell(self, how: str, word: str, *wanted: str) -> None:
        """One request that no fault of the upstream can touch has ended."""
        self.ended[how, "", word] += 1
        if word not in wanted:
            self.object(f"{how}: {word} in place of {' or '.join(wanted)}")

    def object(self, what: str) -> None:
        """Something must not be."""
        self.wrong[what] += 1

    @property
    def requests(self) -> int:
        """How many there were."""
        return self.ended.total()


# -- one stream ---------------------------------------------------------------------------------------------------


class Story:
    """The events of one stream, checked: numbers without gaps, one response, one end, and nothing after it."""

    def __init__(self, ledger: Ledger, after: int = -1) -> None:
        self._ledger = ledger
        self.last = after
        self.events = 0
        self.id: str | None = None
        self.word = "cut short"
        self.final: Json | None = None

    @property
    def over(self) -> bool:
        """Whether the end was told."""
        return self.word != "cut short"

    def take(self, event: Json) -> None:
        """The next event."""
        kind, number = event["type"], event.get("sequence_number")
        if self.over:
            self._ledger.object(f"{kind} after the end")
        if kind == "error" and not self.events:  # a WebSocket's refusal is no part of a stream
            self.word = "error"
            return
        if number != self.last + 1:
            self._ledger.object(f"{kind}: number {number} after {self.last}")
        self.last, self.events = number, self.events + 1
        if response := event.get("response"):
            self._same(response["id"])
        if kind in TERMINAL:
            self.word, self.final = kind.removeprefix("response."), event["response"]
            if self.final["status"] != self.word:
                self._ledger.object(f"{kind} with status {self.final['status']}")

    def _same(self, response_id: str) -> None:
        if self.id not in (None, response_id):
            self._ledger.object("another response's id in a stream")
        self.id = response_id


# -- asking -------------------------------------------------------------------------------------------------------


@dataclass
class Client:
    """One client with connections of its own."""

    number: int
    base: str
    ledger: Ledger
    chance: Random
    http: httpx.AsyncClient

    @classmethod
    def of(cls, number: int, base: str, ledger: Ledger, *, receive_buffer: int | None = None) -> Client:
        """A client of `http://host:port/v1`; a small buffer makes its slowness felt at the other end."""
        options = [(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)] if receive_buffer else []
        transport = httpx.AsyncHTTPTransport(verify=False, socket_options=options)
        http = httpx.AsyncClient(transport=transport, headers=HEADERS, timeout=None, trust_env=False)
        return cls(number, base, ledger, Random(number), http)

    def body(self, model: str, **fields: Any) -> Json:
        """A request; no two are the same, so that the upstream can tell a repeated one."""
        asked = {
            "model": model,
            "input": f"Say hello, please. {self.chance.random()}",
            "store": False,
            **fields,
        }
        return {**asked, "tools": TOOLS} if model == "call" else asked

    async def plain(self, method: str, path: str, body: object = None, **more: Any) -> tuple[str, Json]:
        """Any request: its status, with the error's code, and what was said."""
        content = json.dumps(body).encode() if body is not None else None
        answer = await self.http.request(method, self.base + path, **{"content": content, **more})
        return word_of(answer), _json(answer)

    async def whole(self, body: Json, also: Iterable[str] = ()) -> Json | None:
        """A request that is not streamed; the response if there is one."""
        word, said = await self.plain("POST", "/responses", body)
        if word == "200":
            word = said["status"]
        self.ledger.note("whole", body["model"], word, also)
        return self._kept(body, said) if word in ("completed", "incomplete") else None

    async def stream(self, body: Json, also: Iterable[str] = ()) -> Json | None:
        """A streamed one, to its end; the response if it is a good one."""
        story = Story(self.ledger)
        word = await self.read(story, "POST", "/responses", {**body, "stream": True})
        self.ledger.note("stream", body["model"], word, also)
        return self._kept(body, story.final) if word in ("completed", "incomplete") else None

    async def either(self, body: Json, also: Iterable[str] = ()) -> Json | None:
        """Streamed or not."""
        ask = self.stream if self.chance.random() < 0.5 else self.whole
        return await ask(body, also)

    def _kept(self, body: Json, response: Json | None) -> Json | None:
        self.ledger.stored += bool(body["store"])
        return response

    async def read(
        self, story: Story, method: str, path: str, body: Json | None = None, most: int | None = None
    ) -> str:
        """Read a stream, at most so many events of it; how it ended, or the status if there is none."""
        content = json.dumps(body).encode() if body is not None else None
        async with self.http.stream(method, self.base + path, content=content) as answer:
            if answer.status_code != 200:
                await answer.aread()
                return word_of(answer)
            async for event in EventSource(answer).aiter_sse():
                story.take(event.json())
                if most is not None and story.events >= most:
                    return "left"
        return story.word


def word_of(answer: httpx.Response) -> str:
    """An answer's status; with the code, if the request was at fault."""
    code = (_json(answer).get("error") or {}).get("code") if 400 <= answer.status_code < 500 else None
    return f"{answer.status_code} {code}" if code else str(answer.status_code)


def _json(answer: httpx.Response) -> Json:
    said = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    return said if isinstance(said, dict) else {}
