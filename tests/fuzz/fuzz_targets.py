"""What must hold for any bytes whatever at a boundary: one function each, which returns nothing or raises.

The same functions run under pytest, over the corpus and what Hypothesis draws, and under atheris; see README.md beside this
file. Where a law is about cutting, the places are drawn from the bytes themselves, so that a find can be repeated.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
import re
import sys
import zlib
from pathlib import Path

import httpx
from httpx_sse._decoders import SSEDecoder
from pydantic_core import to_json

TESTS = Path(__file__).resolve().parents[1]
for folder in (".", "laws", "request"):
    sys.path.insert(0, str(TESTS / folder))

from request_asks import target  # noqa: E402
from stage import CHAT_NAMES, FakeChat, events_of, toolbox, turn  # noqa: E402
from test_laws_faults import _sound  # noqa: E402

from shim.core.chunks import parse_chunk  # noqa: E402
from shim.core.deltas import ChunkReader  # noqa: E402
from shim.core.jsonstrings import LONGEST_PATH, StringScanner, parsed  # noqa: E402
from shim.core.profile import PRESETS  # noqa: E402
from shim.core.request import to_chat  # noqa: E402
from shim.core.text import scrub  # noqa: E402
from shim.core.validation import read_request  # noqa: E402
from shim.errors import ClientFault, Fault, UpstreamFault  # noqa: E402
from shim.http.bodies import json_object  # noqa: E402
from shim.http.encodings import DECODERS, decode  # noqa: E402
from shim.http.replies import safe_headers  # noqa: E402
from shim.seal import PREFIX, VERSION, SealKeys  # noqa: E402
from shim.upstream.http1 import Answer, Connection  # noqa: E402
from shim.upstream.sse import LineSplitter, PayloadReader  # noqa: E402


def pieces(data):
    """The data whole, byte by byte (or letter by letter), and cut at places of its own."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    chance = random.Random(
        zlib.crc32(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
    )
    edges = sorted({0, len(data), *(chance.randint(0, len(data)) for _ in range(4))})
    yield [data[start:end] for start, end in itertools.pairwise(edges)]


def same(outcomes):
    """The one outcome that all of them have."""
    first, *others = outcomes
    assert all(other == first for other in others), (first, others)
    return first


# -- the upstream's bytes -------------------------------------------------------------------------------------


def _payloads(parts, limit=1 << 20):
    reader = PayloadReader(limit)
    found = [payload for part in parts for payload in reader.feed(part)]
    return found + reader.finish()


def _as_the_specification_says(body):
    """The payloads of an event stream, by httpx-sse, of lines that a regular expression splits."""
    decoder, found = SSEDecoder(), []
    for line in [*re.split(rb"\r\n|\r|\n", body.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")), b""]:
        event = decoder.decode(line.decode("utf-8", "replace"))
        if event and event.data:
            found.append(event.data)
    return found


def sse(data: bytes) -> None:
    """The payloads are the specification's, however the bytes are cut; a small limit gives a fault and nothing else."""
    found = same(_payloads(parts) for parts in pieces(data))
    if data.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")[:1] not in (b"{", b"["):
        assert found == _as_the_specification_says(data)
    splitter = LineSplitter()
    whole = [*splitter.feed(data), *([rest] if (rest := splitter.rest()) is not None else [])]
    assert b"\n".join(whole).count(b"\r") == 0
    for parts in pieces(data):
        try:
            assert _payloads(parts, limit=16) == found
        except UpstreamFault:
            assert len(data) > 16


_TOOLS = toolbox()


def chunks(data: bytes) -> None:
    """Payloads, one a line: a sound stream with one terminal event, whatever they are; no exception but the declared.

    Those that repeat the one before are read in a short way, which says what the long way says.
    """
    payloads = data.decode("utf-8", "replace").split("\n")
    for names in (frozenset(CHAT_NAMES.values()), frozenset()):
        _sound(events_of(turn(FakeChat([[payload] for payload in payloads]), names=bool(names), box=_TOOLS)))
        short, long = ChunkReader(names), ChunkReader(names)
        same(
            [
                _deltas(short.hear, payloads),
                _deltas(lambda one, long=long: long.read(parse_chunk(one)), payloads),
            ]
        )
    _sound(events_of(turn(FakeChat([payloads]), box=_TOOLS)))


def _deltas(read, payloads):
    """What is read from each, up to the first fault."""
    said = []
    for payload in payloads:
        try:
            said.append(repr(read(payload)))
        except Fault as fault:
            return said, fault.message
    return said


class _Wire(asyncio.Transport):
    """A transport that goes nowhere."""

    def __init__(self):
        super().__init__()
        self.aborted = False

    def abort(self):
        self.aborted = True

    def is_closing(self):
        return self.aborted

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def get_write_buffer_size(self):
        return 0


_LOOP = asyncio.new_event_loop()


def _answer(parts):
    connection, wire = Connection(_LOOP), _Wire()
    connection.connection_made(wire)
    answer = connection._answer = Answer(connection, 300.0)
    body = b""
    for part in parts:
        if not wire.aborted and part:
            connection.data_received(part)
        if answer._parts:
            body += answer.take()
    connection.connection_lost(None)
    trouble = answer.head.exception() if answer.head.done() else None
    assert answer.head.done()
    assert answer.over
    assert answer._trouble is None or isinstance(answer._trouble, httpx.TransportError), answer._trouble
    assert trouble is None or isinstance(trouble, httpx.TransportError), trouble
    if trouble is not None:
        return type(trouble)
    assert 200 <= answer.status <= 999
    return answer.status, answer.headers, body, answer._complete, type(answer._trouble)


def http1(data: bytes) -> None:
    """An answer, or one of httpx's transport errors; the same however the bytes are cut."""
    same(_answer(parts) for parts in pieces(data))


# -- the client's bytes ---------------------------------------------------------------------------------------


def _translated(data):
    body = json_object(data)
    to_json(body)
    request = read_request(body)
    for profile in PRESETS.values():
        translation = to_chat(request, target(profile, replay="all"))
        chat = to_json(translation.chat, inf_nan_mode="constants")
        assert json.loads(chat, parse_constant=_refuse)["messages"]
        assert all(
            name == "x-shim-notes" for name in safe_headers({"x-shim-notes": "; ".join(translation.notes)})
        )
        yield chat, translation.notes


def _refuse(constant):
    raise AssertionError(constant)


def request(data: bytes) -> None:
    """A 400 that names what is wrong, or a chat request of plain JSON; the same each time."""
    outcomes = []
    for _ in range(2):
        try:
            outcomes.append(list(_translated(data)))
        except ClientFault as fault:
            outcomes.append((fault.status, fault.message))
    outcome = same(outcomes)
    assert isinstance(outcome, list) or outcome[0] == 400
    to_json(outcome)


LIMIT = 4096


def encodings(data: bytes) -> None:
    """A chain of content encodings (the first two bytes choose it) gives no more than the limit, or a 400 or 413."""
    if len(data) < 2:
        return
    names = sorted(DECODERS)
    chain = tuple(names[number % len(names)] for number in data[: 1 + data[1] % 2])
    try:
        status, decoded = 200, decode(data[2:], chain, LIMIT)
    except ClientFault as fault:
        status, decoded = fault.status, b""
    assert status in (200, 400, 413)
    assert len(decoded) <= LIMIT


_KEYS = SealKeys.of([b"secret", b"former"])
_OURS = _KEYS.sealer("content", "alice")
_SEALED = base64.urlsafe_b64decode(_OURS.seal("thought").removeprefix(PREFIX))


def seal(data: bytes) -> None:
    """Nothing that we have not sealed opens, in whatever it is wrapped; and what has our key but not our form is none."""
    text = data.decode("utf-8", "replace")
    assert _OURS.unseal(_OURS.seal(text)) == text
    heads = [b"", VERSION, *(VERSION + key.id for key in _KEYS.all), _SEALED[:20], _SEALED[:-16]]
    for forged in (
        text,
        PREFIX + text,
        *(PREFIX + base64.urlsafe_b64encode(head + data).decode() for head in heads),
    ):
        assert _OURS.unseal(forged) in (None, "thought")
    changed = bytes(a ^ b for a, b in zip(_SEALED, data.ljust(len(_SEALED), b"\0"), strict=False))
    assert (_OURS.unseal(PREFIX + base64.urlsafe_b64encode(changed).decode()) is None) == (changed != _SEALED)
    key, nonce = _KEYS.all[1], bytes(12)
    inner = VERSION + key.id + nonce + key.cipher.encrypt(nonce, data, VERSION + key.id + _OURS.bound)
    opened = _OURS.unseal(PREFIX + base64.urlsafe_b64encode(inner).decode())
    assert opened is None or zlib.decompressobj().decompress(data) == opened.encode()


# -- JSON that grows ------------------------------------------------------------------------------------------


def _strings(parts):
    scanner = StringScanner()
    found = []
    for part in parts:
        for piece in scanner.feed(part):
            if found and not found[-1][2] and found[-1][0] == piece.path:
                found[-1] = (piece.path, found[-1][1] + piece.text, piece.done)
            else:
                found.append((piece.path, piece.text, piece.done))
    return found, scanner.broken, scanner.complete


def _values(value, path=()):
    """The strings of a JSON value and the first steps to them, in the order of its text; objects are lists of pairs."""
    if isinstance(value, str):
        yield path[:LONGEST_PATH], scrub(value), True
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _values(inner, (*path, index))
    elif isinstance(value, _Pairs):
        for key, inner in value.pairs:
            yield from _values(inner, (*path, scrub(key)))


class _Pairs:
    def __init__(self, pairs):
        self.pairs = pairs


def jsonstrings(data: bytes) -> None:
    """The strings of growing JSON are the same however it is cut, and those that the whole has."""
    text = data.decode("utf-8", "surrogatepass") if _is_text(data) else data.decode("utf-8", "replace")
    to_json(parsed(text))
    text = scrub(text)  # as all text from outside
    found, broken, complete = same(_strings(parts) for parts in pieces(text))
    for _, value, _ in found:
        value.encode()
    try:
        value = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return
    if isinstance(value, list | _Pairs):
        assert (broken, complete) == (False, True)
        assert found == list(_values(value))


def _is_text(data):
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


# -- JSON spelled otherwise -----------------------------------------------------------------------------------

ODD = (
    None,
    "",
    "x",
    0,
    -1,
    1.5,
    10**30,
    True,
    [],
    {},
    [None],
    {"type": "x"},
    "\ud83d",
    "\0",
    "data:,",
    "é" * 70,
)


def respelled(data, chance):
    """Lines of JSON in which one value is missing, another, or that of another place, or a line comes twice."""
    lines = data.split(b"\n")
    read = {
        index: value
        for index, line in enumerate(lines)
        if isinstance(value := _read(line), dict | list) and value
    }
    if not read:
        return None
    index = chance.choice(list(read))
    places = list(_places(read[index]))
    owner, key = chance.choice(places)
    act = chance.randrange(4)
    if act == 3:
        lines.insert(index, lines[index])
    elif act == 0:
        del owner[key]
    elif act == 1:
        owner[key] = chance.choice(ODD)
    else:
        other, where = chance.choice(places)
        owner[key] = json.loads(json.dumps(other[where]))
    if act != 3:
        lines[index] = json.dumps(read[index]).encode()
    return b"\n".join(lines)


def _read(line):
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _places(value):
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


JSON = ("request", "chunks")
"""Boundaries to which nearly every byte string is no JSON and therefore dull."""

TARGETS = {
    function.__name__: function for function in (sse, chunks, http1, request, encodings, seal, jsonstrings)
}
