"""Where scripts are played: a deterministic source, a chat stream that never waits, and a `Turn` around them."""

import json
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter
from script import TOOLS, Script, Telling
from wireforms import Form, body, payloads, reads

from shim.core.assembler import Assembler, Shape
from shim.core.chunks import parse_chunk
from shim.core.deltas import ChunkReader
from shim.core.echo import response_template
from shim.core.tools import Toolbox
from shim.core.validation import read_request
from shim.exchange import Summary, Turn
from shim.wire.response import Usage
from shim.wire.tools import Tool

PLAIN = Telling()


class Counting:
    """A source without chance: ids are counted, the clock stands still."""

    def __init__(self) -> None:
        self.made = 0

    def now(self) -> int:
        return 1_700_000_000

    def elapsed(self) -> float:
        return 0.0

    def new_id(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}_{self.made:050x}"

    def padding(self, length: int) -> str:
        return "x" * (16 - length % 16)


class FakeChat:
    """A chat stream: gives prepared reads, perhaps then raises, and counts how often it was closed."""

    headers: Mapping[str, str] = MappingProxyType({})
    attempts = 1

    def __init__(self, prepared: Iterable[list[str]], fault: Exception | None = None) -> None:
        self.prepared = prepared
        self.fault = fault
        self.closed = 0
        self.left: Iterator[list[str]] | None = None

    def settle(self) -> None:
        """Nothing more is wanted."""

    def conclude(self) -> None:
        """The model has finished."""

    async def read(self, _ahead: object = None) -> list[str] | None:
        """The next read."""
        self.left = self.left or iter(self.prepared)
        for texts in self.left:
            return texts
        if self.fault is not None:
            raise self.fault
        return None

    async def aclose(self) -> None:
        self.closed += 1


def toolbox(tools: list[dict[str, Any]] = TOOLS) -> Toolbox:
    """The toolbox of these declarations."""
    box = Toolbox()
    box.add(TypeAdapter(list[Tool]).validate_python(tools))
    return box


CHAT_NAMES = {key: tool.chat_name for key, tool in toolbox().by_key.items()}
"""What each tool is called upstream."""

BODY = {"model": "code-prime", "input": "Hello", "stream": True, "tools": TOOLS}


def assembler(
    telling: Telling = PLAIN,
    *,
    compact: bool = False,
    box: Toolbox | None = None,
    spent: Usage | None = None,
    **asked: Any,
) -> Assembler:
    """An assembler for one response."""
    request = {**BODY, **asked}
    template = response_template(read_request(request), request, "resp_1", 1_700_000_000)
    shape = Shape(
        box or toolbox(),
        reasoning="summary" if telling.summary else "content",
        seal=_seal if telling.sealed else None,
        compact=_seal if compact else None,
        obfuscation=telling.obfuscation,
        spent=spent,
    )
    return Assembler(template, shape, Counting())


def _seal(text: str) -> str:
    return f"sealed:{text}"


def turn(chat: FakeChat, telling: Telling = PLAIN, *, names: bool = True, **kinds: Any) -> Turn:
    """A turn that the upstream has accepted."""
    reader = ChunkReader(frozenset(CHAT_NAMES.values()) if names else frozenset())
    return Turn(True, Summary("code-prime"), chat, reader, assembler(telling, **kinds), began=0.0)


def run(awaitable: Coroutine[Any, Any, Any]) -> Any:
    """Run what never really waits, without an event loop."""
    try:
        awaitable.send(None)
    except StopIteration as stop:
        return stop.value
    awaitable.close()
    raise AssertionError("something waited")


async def _collected(played: Turn) -> list[dict[str, Any]]:
    return [event async for batch in played.events() for event in batch]


def events_of(played: Turn) -> list[dict[str, Any]]:
    """All events of a turn."""
    return run(_collected(played))


def play(script: Script, form: Form, telling: Telling = PLAIN) -> list[dict[str, Any]]:
    """The events of a script that came in this wire form."""
    texts = payloads(script, form, CHAT_NAMES)
    return events_of(turn(FakeChat(reads(body(texts, form), form)), telling))


def tell(
    *chunks: dict[str, Any], telling: Telling = PLAIN, names: bool = True, **kinds: Any
) -> list[dict[str, Any]]:
    """The events of hand-written chunks, each in a read of its own."""
    return events_of(turn(FakeChat([[json.dumps(chunk)] for chunk in chunks]), telling, names=names, **kinds))


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk with one delta."""
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def entry(
    index: int | None = None, call_id: str | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    """An entry of `tool_calls`; what is None is left out."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    given = {key: value for key, value in (("index", index), ("id", call_id)) if value is not None}
    return {**given, "function": function}


def final(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The response of the terminal event."""
    return events[-1]["response"]


def feed_all(chunks: Iterable[str], told: Assembler | None = None):
    """Each chunk's events, and whether the finish reason had come by then."""
    reader, told = ChunkReader(frozenset(CHAT_NAMES.values())), told or assembler()
    yield told.start(), False
    for chunk in chunks:
        yield told.feed(reader.read(parse_chunk(chunk))), reader.finished
    yield told.finish(), True
