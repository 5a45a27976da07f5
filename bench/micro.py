"""What single steps cost, without any I/O: reading and translating a request, and the way of a delta to bytes.

`python -m bench.micro` takes some 30 seconds. Each figure is the median of several runs in this process, with the garbage
collector off and run before each (`--gc` leaves it on, as a server does). The functions are those that the server calls,
chained as `shim.exchange` chains them; histories are like Codex's: messages, reasoning, calls and their outputs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic_core import from_json, to_json

from bench.chunks import chunk, ending, opening, pieces
from shim.ambient import Ambient
from shim.core.assembler import Assembler, Shape
from shim.core.chunks import More
from shim.core.deltas import DONE, ChunkReader, Delta
from shim.core.echo import response_template
from shim.core.estimate import estimate_tokens
from shim.core.profile import PRESETS, Instrument
from shim.core.request import Target, Translation, to_chat
from shim.core.runs import Told, encoded
from shim.core.strides import stride_of
from shim.core.validation import read_request
from shim.exchange import Caller, Exchange
from shim.exchange.exchange import callable_names
from shim.http.bodies import json_object
from shim.settings import Settings
from shim.store import open_store
from shim.upstream import Upstream
from shim.upstream.sse import PayloadReader
from shim.wire.base import Json

Said = More | list[Delta]
"""What `ChunkReader` says: more of the same, or deltas."""

RUNS = 5
DELTAS = 5000
BEGINNING = 5
"""Events of a stream after which what follows only goes on."""
READ_EVENTS = 20
"""Events of one network read, where it is not one."""

TOOLS: list[Json] = [
    {
        "type": "function",
        "name": "shell_command",
        "description": "Run a command. " * 20,
        "strict": False,
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}, "workdir": {"type": "string"}},
            "required": ["command"],
        },
    },
    {"type": "custom", "name": "apply_patch", "description": "Edit files. " * 20},
    {
        "type": "function",
        "name": "write_file",
        "description": "Write a file.",
        "parameters": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]},
    },
]


def timed(work: Callable[[], Any]) -> float:
    """Median seconds."""
    took = []
    for _ in range(RUNS):
        gc.collect()
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


# -- requests -----------------------------------------------------------------------------------------------------


def history(items: int, size: int) -> bytes:
    """A request with so many items and about so many bytes."""
    text = "def total(rows):\n    return sum(row[3] for row in rows)  # \u20ac, as sold\n"
    filler = (text * (size // items // len(text) + 1))[: size // items]
    given: list[Json] = []
    for turn in range(items // 5):
        given += turn_items(turn, filler)
    request = {"model": "nonstream", "instructions": "You are a coding agent. " * 400, "input": given}
    return to_json({**request, "tools": TOOLS, "stream": True, "store": False, "parallel_tool_calls": True})


def turn_items(turn: int, filler: str) -> list[Json]:
    """A question, a thought, two calls' worth of items; the outputs are the long ones."""
    arguments = json.dumps({"command": "cat src/table.py", "workdir": "/src"})
    call = {
        "type": "function_call",
        "call_id": f"call_{turn}",
        "name": "shell_command",
        "arguments": arguments,
    }
    thought = [{"type": "reasoning_text", "text": filler[: len(filler) // 2]}]
    return [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": filler}]},
        {"type": "reasoning", "id": f"rs_{turn}", "summary": [], "content": thought},
        call,
        {"type": "function_call_output", "call_id": f"call_{turn}", "output": filler * 2},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": filler}]},
    ]


async def exchange() -> Exchange:
    """One that stores nothing and asks nobody."""
    chosen = {"upstream": "http://127.0.0.1:9/v1", "profile": "openai-compatible"}
    settings = Settings.model_validate({**chosen, "store": "off", "seal_key": "bench"})
    return Exchange(settings, Upstream(settings), await open_store(settings))


def target() -> Target:
    """A plain upstream."""
    return Target(PRESETS["openai-compatible"], Instrument("nonstream"), lambda _: None)


def request_phases(body: bytes) -> list[tuple[str, float]]:
    """Seconds of each step from a request's bytes to the bytes for the upstream."""
    parsed = json_object(body)
    request = read_request(parsed)
    chat = to_chat(request, target()).chat
    loop = asyncio.new_event_loop()  # no Runner: its signal handler writes out the result in full
    made = loop.run_until_complete(exchange())
    phases = [
        ("parse the JSON (bodies.json_object)", timed(lambda: json_object(body))),
        ("  of which from_json", timed(lambda: from_json(body, allow_inf_nan=False))),
        (
            "all of Exchange.ask (validates, recalls)",
            timed(lambda: loop.run_until_complete(made.ask(parsed, Caller(), "req_1"))),
        ),
        ("  of which one validation (read_request)", timed(lambda: read_request(parsed))),
        ("translate (request.to_chat)", timed(lambda: to_chat(request, target()))),
        ("encode the chat request (to_json)", timed(lambda: to_json(chat))),
        ("  apart, once a second at most: estimate_tokens", timed(lambda: estimate_tokens(chat))),
        ("the template (echo.response_template)", timed(lambda: response_template(request, parsed, "r", 1))),
    ]
    loop.close()
    parts = sum(seconds for name, seconds in phases if name.startswith(" "))
    return [*phases, ("sum of the whole steps", sum(seconds for _, seconds in phases) - parts)]


# -- deltas -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stream:
    """A stream to read: its events as they come, and whether tools were declared."""

    name: str
    events: list[bytes]
    tools: bool = False

    @property
    def translation(self) -> Translation:
        """The request that it answers."""
        body: Json = {"model": "paced", "input": "Hello", "stream": True}
        return to_chat(read_request({**body, "tools": TOOLS} if self.tools else body), target())


def texts(kind: str) -> list[bytes]:
    """So many deltas of one kind."""
    return [chunk("paced", {kind: f" word{number % 100:02d}"}) for number in range(DELTAS)]


def call(name: str, arguments: Iterable[str]) -> list[bytes]:
    """A call, its arguments as they are cut."""
    start = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
    more = [
        chunk("paced", {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        for piece in arguments
    ]
    return [chunk("paced", {"tool_calls": [start]}), *more]


def streams() -> list[Stream]:
    """One of each kind."""
    arguments = pieces(DELTAS * 4)
    return [
        Stream("text, no tools declared", texts("content")),
        Stream("text, tools declared", texts("content"), tools=True),
        Stream("reasoning", texts("reasoning_content"), tools=True),
        Stream("function arguments", call("write_file", arguments), tools=True),
        Stream("custom tool input", call("apply_patch", arguments), tools=True),
    ]


def fresh(stream: Stream) -> tuple[ChunkReader, Assembler]:
    """What reads and tells one answer, as `Exchange` makes them."""
    translation = stream.translation
    template = response_template(read_request({"model": "paced", "input": "Hello"}), {}, "resp_1", 1)
    assembler = Assembler(template, Shape(translation.toolbox), Ambient())
    assembler.start()
    return ChunkReader(callable_names(translation.chat)), assembler


def delta_phases(stream: Stream, each: int) -> list[float]:
    """Seconds of each step over all deltas: split, read, tell, encode."""
    reads = [b"".join(stream.events[at : at + each]) for at in range(0, len(stream.events), each)]

    def split() -> list[list[str]]:
        reader = PayloadReader()
        return [reader.feed(data) for data in reads]

    batches = [[payload for payload in batch if payload != DONE] for batch in split()]

    def read() -> list[list[Said]]:
        reader = fresh(stream)[0]
        return [list(said(reader, payloads)) for payloads in batches]

    heard = read()

    def tell() -> list[list[Told]]:
        assembler = fresh(stream)[1]
        return [tell_of(assembler, batch) for batch in heard]

    told = tell()
    return [timed(work) for work in (split, read, tell, lambda: list(map(encoded, told)))]


def stride_seconds(stream: Stream) -> float | None:
    """Seconds of the way of all deltas that come alone and only go on, from the event that came to the one that goes out.

    None where they are told otherwise.
    """
    splitter, (reader, assembler) = PayloadReader(), fresh(stream)
    for event in stream.events[:BEGINNING]:
        tell_of(assembler, list(said(reader, splitter.feed(event))))
    stride = stride_of(reader, assembler)
    if stride is None:
        return None
    around = splitter.around(stride.front, stride.back)
    assert around is not None
    take, events = stride.taker(around.begin, around.end, around.most, bool), stream.events[BEGINNING:]
    assert all(map(take, events))  # `bool` takes whatever is something
    return timed(lambda: list(map(take, events)))


def said(reader: ChunkReader, payloads: list[str]) -> Iterator[Said]:
    """What the payloads of one read say, taken as `Turn` takes them."""
    at = 0
    while at < len(payloads):
        if more := reader.more(payloads, at):
            at += len(more.texts)
            yield more
        else:
            at += 1
            yield reader.hear(payloads[at - 1])


def tell_of(assembler: Assembler, heard: list[Said]) -> list[Told]:
    """What is told of it."""
    told: list[Told] = []
    for one in heard:
        told += assembler.more(one) if isinstance(one, More) else assembler.feed(one)
    return told


def answered(stream: Stream, each: int) -> int:
    """The whole way of a stream as the server goes it; bytes told."""
    splitter, (reader, assembler), size = PayloadReader(), fresh(stream), 0
    for at in range(0, len(stream.events), each):
        payloads = splitter.feed(b"".join(stream.events[at : at + each]))
        told = tell_of(assembler, list(said(reader, [one for one in payloads if one != DONE])))
        size += len(encoded([*told, *assembler.finish()] if DONE in payloads else told))
    return size


def long_call(size: int) -> Stream:
    """A call with so many bytes of arguments in deltas of four characters, to its end."""
    events = [opening("paced"), *call("write_file", pieces(size)), ending("paced", "tool_calls")]
    return Stream(f"{size >> 10} KB of arguments", events, tools=True)


# -- the whole ----------------------------------------------------------------------------------------------------


def show_requests(large: int) -> None:
    """Requests of 1 MB and more."""
    for items, size in ((500, 1 << 20), (5000, large)):
        body = history(items, size)
        print(f"\nrequest of {len(body) / 1e6:.1f} MB, {items} items: ms")
        for name, seconds in request_phases(body):
            print(f"  {seconds * 1000:8.2f}  {name}")


def show_deltas() -> None:
    """The way of one delta."""
    for each in (1, READ_EVENTS):
        print(f"\nus a delta, {each} a read:   split    read    tell  encode     sum")
        for stream in streams():
            parts = [seconds / len(stream.events) * 1e6 for seconds in delta_phases(stream, each)]
            print(f"  {stream.name:24}" + "".join(f"{part:8.2f}" for part in (*parts, sum(parts))))


def show_strides() -> None:
    """The way of one delta that comes alone and only goes on, which is how most come."""
    print("\nus a delta, told in strides")
    for stream in streams():
        if (seconds := stride_seconds(stream)) is not None:
            print(f"  {stream.name:24}{seconds / (len(stream.events) - BEGINNING) * 1e6:8.2f}")


def show_long_calls() -> None:
    """Whether time grows with size, and no faster."""
    print("\nlong calls, 4 characters a delta, whole way: ms, us a delta")
    for size in (250 << 10, 1 << 20):
        stream = long_call(size)
        seconds = timed(partial(answered, stream, READ_EVENTS))
        print(f"  {stream.name:24}{seconds * 1000:8.0f}{seconds / len(stream.events) * 1e6:8.2f}")


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gc", action="store_true", help="leave the garbage collector on")
    parser.add_argument("--large", type=int, default=10, metavar="MB", help="size of the large request (10)")
    given = parser.parse_args()
    if not given.gc:
        gc.disable()
    print(
        f"{platform.python_implementation()} {platform.python_version()}, garbage collector "
        f"{'on' if given.gc else 'off'}, median of {RUNS}, load {os.getloadavg()[0]:.1f}"
    )
    show_requests(given.large << 20)
    show_deltas()
    show_strides()
    show_long_calls()


if __name__ == "__main__":
    main()
