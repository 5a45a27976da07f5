"""The connections under httpx's interface: what travels on them, who has them, and how they end.

The upstream is a peer on loopback that is scripted byte for byte; TLS and proxies are real.
"""

import asyncio
import gc
import gzip
import logging
import socket
import ssl
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import uvloop
from hypothesis import example, given, settings
from hypothesis import strategies as st
from self_signed import Authority
from upstream_loopback import KEY, Naps, chunk, reply, reset, serving, silent, sse, upstream
from waiting import eventually

from shim.errors import UpstreamFault
from shim.settings import Settings
from shim.upstream import http1, pool
from shim.upstream.dialing import HandshakeFailed, ProxyAway, Route, Unresolved, Untrusted, tls_context
from shim.upstream.http1 import Dropped, Overdue, TooLong
from shim.upstream.transport import Connections, fields_of, head_of_request

SOON = 5
"""Seconds after which a test fails that waits for what must happen."""


def connections(**settings_) -> Connections:
    return Connections(Settings(**settings_))


def request(url: str, body: bytes = b"{}", **headers: str) -> httpx.Request:
    return httpx.Request("POST", url, headers=headers, content=body)


async def got(over: Connections, url: str, body: bytes = b"{}", **headers: str) -> httpx.Response:
    """The answer, read to its end."""
    async with asyncio.timeout(SOON):
        response = await over.handle_async_request(request(url, body, **headers))
        try:
            await response.aread()
        finally:
            await response.aclose()
    return response


async def held(over: Connections, url: str) -> httpx.Response:
    """The answer, read to its end but not closed."""
    response = await over.handle_async_request(request(url))
    while await response.stream.read():
        pass
    return response


@asynccontextmanager
async def over(**settings_):
    it = connections(**settings_)
    try:
        yield it
    finally:
        await it.aclose()
        await asyncio.sleep(0)


def bare(transport_socket) -> socket.socket:
    """A socket of asyncio's as it is, to use without the event loop."""
    return socket.fromfd(transport_socket.fileno(), transport_socket.family, transport_socket.type)


@asynccontextmanager
async def peer(talk, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"):
    """A server whose connections are each given to `talk(reader, writer)`; yields its port."""
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def writes(*parts: bytes, ends: bool = True):
    """Reads one request, then writes the parts, each in a packet of its own."""

    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if not ends:
            await reader.read()

    return talk


async def answered(*parts: bytes, ends: bool = True) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    async with peer(writes(*parts, ends=ends)) as port, over() as it:
        async with asyncio.timeout(SOON):
            response = await got(it, f"http://127.0.0.1:{port}/")
        return response.status_code, response.headers.raw, response.content


# -- answers -------------------------------------------------------------------------------------------------------


class Wire:
    """A transport that only remembers."""

    def __init__(self) -> None:
        self.aborted = False
        self.held = False

    def writelines(self, parts) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.held = True

    def resume_reading(self) -> None:
        self.held = False


async def fed(parts: list[bytes]) -> tuple[object, ...]:
    """What comes of bytes that arrive in parts, followed by the end; and whether the connection could go on."""
    loop, wire, kept = asyncio.get_running_loop(), Wire(), []
    connection = http1.Connection(loop)
    connection.on_idle = kept.append
    connection.connection_made(wire)
    asking = asyncio.ensure_future(connection.ask(b"", b"", SOON))
    await asyncio.sleep(0)
    for part in parts:
        if not wire.aborted:
            connection.data_received(part)
    whole = connection._answer is not None and connection._answer.over
    if not whole:
        connection.connection_lost(None)
    try:
        answer = await asking
        body = b"".join([data async for data in answer])
    except httpx.HTTPError as error:
        return type(error), str(error), False
    await answer.aclose()
    return answer.status, tuple(answer.headers), body, bool(kept)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(marks) if a < b]


ANSWERS = {
    "length": (b"HTTP/1.1 200 OK\r\nX-A: b\r\ncontent-length: 11\r\n\r\nhello world", b"hello world", True),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"  # noqa: ISC004
        b'5;x=y;z="a b"\r\nhello\r\n06\r\n world\r\n0;last\r\nX-Trailer: t\r\n\r\n',
        b"hello world",
        True,
    ),
    "until the end": (b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nhello world", b"hello world", False),
    "interim": (
        b"HTTP/1.1 100 Continue\r\nx-i: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"  # noqa: ISC004
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        b"hi",
        True,
    ),
    "close": (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi", b"hi", False),
    "1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"hi", False),
    "1.0 kept": (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi", b"hi", True),
    "204": (b"HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n", b"", True),
    "304": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", b"", True),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nhi", b"hi", True),
    "empty": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", True),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_the_same_however_it_is_cut(name):
    wire, body, keeps = ANSWERS[name]
    whole = asyncio.run(fed([wire]))
    assert whole[2:] == (body, keeps)
    assert not {b"x-i", b"X-Trailer"} & {header for header, _ in whole[1]}

    @given(st.lists(st.integers(0, 1 << 20), max_size=20))
    @example(list(range(1 << 9)))
    @settings(max_examples=30)
    def law(places):
        assert asyncio.run(fed(cut(wire, places))) == whole

    law()


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_cut_answer_is_the_same_on_a_socket(name):
    wire, body, _ = ANSWERS[name]
    parts = [wire[at : at + 7] for at in range(0, len(wire), 7)]
    one, other = await answered(*parts), await answered(wire)
    assert one == other
    assert one[2] == body


BROKEN = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi!",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\nhi\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffffff\r\nhi\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi!\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx: a\x00b\r\ncontent-length: 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nx y: b\r\ncontent-length: 2\r\n\r\nhi",
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhi",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\nhi",
    b"SSH-2.0-OpenSSH\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-",
]


@pytest.mark.parametrize("wire", BROKEN)
async def test_what_is_no_answer_is_an_error_and_ends_the_connection(wire):
    with pytest.raises(httpx.TransportError):
        await answered(wire, ends=False) if wire.endswith(b"hi") and b"12" not in wire else await answered(
            wire
        )


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nhi",
        b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nhi",
        b"\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\nhi\n0\n\n",
    ],
)
async def test_what_is_doubtful_is_refused_or_read_as_meant(wire):
    try:
        status, _, body = await answered(wire)
    except httpx.TransportError:
        return
    assert (status, body) == (200, b"hi")


pieces = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 101 X\r\n\r\n",
            b"HTTP/1.0 204 X\r\n",
            b"content-length: 3\r\n",
            b"transfer-encoding: chunked\r\n",
            b"connection: upgrade\r\nupgrade: h2c\r\n",
            b"\r\n",
            b"3\r\nabc\r\n",
            b"0\r\n\r\n",
            b"abc",
        ]
    ),
)


@given(st.lists(pieces, max_size=12), st.lists(st.integers(0, 400), max_size=8))
@settings(max_examples=300)
def test_any_bytes_are_an_answer_or_an_error(parts, places):
    found = asyncio.run(fed(cut(b"".join(parts), places)))
    assert issubclass(found[0], httpx.TransportError) if isinstance(found[0], type) else found[0] >= 200


@given(st.lists(pieces, min_size=1, max_size=6))
def test_what_follows_an_answer_never_changes_it_and_always_ends_the_connection(parts):
    rest = b"".join(parts)
    found = asyncio.run(fed([ANSWERS["length"][0] + rest]))
    assert found[:1] + found[2:3] == (200, b"hello world")
    assert found[3] is not bool(rest.strip(b"\r\n"))


def test_two_answers_in_one_packet_end_the_connection():
    wire = ANSWERS["length"][0]
    assert asyncio.run(fed([wire + wire]))[2:] == (b"hello world", False)
    assert asyncio.run(fed([wire + wire[:20]]))[2:] == (b"hello world", False)
    assert asyncio.run(fed([wire, wire]))[2:] == (b"hello world", False)


@pytest.mark.parametrize("status", [100, 104, 199])
@pytest.mark.parametrize("body", [b"", b"he", b"hello", b"hello" + ANSWERS["length"][0]])
async def test_an_interim_answer_has_no_body(status, body):
    head = b"HTTP/1.1 %d X\r\ncontent-length: 5\r\n\r\n" % status
    for parts in ([head + body], [head, body], [head, body[:1], body[1:]]):
        found = await fed([part for part in parts if part])
        assert found[0] is (httpx.RemoteProtocolError if body else httpx.ReadError)


async def test_a_long_head_is_taken_and_a_longer_one_refused():
    def head(size):
        return b"HTTP/1.1 200 OK\r\nx: %b\r\ncontent-length: 2\r\n\r\nhi" % (b"a" * size)

    assert (await answered(head(100_000)))[2] == b"hi"
    with pytest.raises(httpx.RemoteProtocolError, match="too long"):
        await answered(head(300_000))
    for parts in ([head(300_000)], cut(head(300_000), [256 << 10])):
        assert (await fed(parts))[1] == "its headers are too long"


@pytest.mark.parametrize("between", [b"0\r\nx: ", b"2;", b"0\r\n" + b"x: y\r\n" * 1000])
async def test_what_stands_between_the_parts_of_a_body_is_bounded(between):
    found = await fed([ANSWERS["chunked"][0][:70] + b"", *[between, *[b"x" * 9999] * 40]])
    assert found[0] is httpx.RemoteProtocolError


async def test_a_large_body_arrives_whole():
    size = 50 << 20

    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(50):
            writer.write(bytes(1 << 20))
            await writer.drain()

    async with peer(talk) as port, over() as it:
        response = await it.handle_async_request(request(f"http://127.0.0.1:{port}/"))
        assert sum([len(data) async for data in response.stream]) == size
        await response.aclose()


# -- reuse ---------------------------------------------------------------------------------------------------------


async def test_the_rest_of_an_answer_is_never_the_next_one():
    """The surplus waits in the kernel while the next request is made, without a turn of the event loop."""
    body = b"a" * (1 << 10)
    first = reply(200, body)
    served = []

    async def talk(reader, writer):
        served.append(len(served))
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(
            (first if len(served) == 1 else reply(200, b"good")) + reply(200, b"evil") * (len(served) == 1)
        )
        await reader.read()

    async with peer(talk) as port, over() as it:
        url = f"http://127.0.0.1:{port}/"
        for _ in range(2):
            assert (await got(it, url)).content != b"evil"
    assert len(served) == 2


async def test_a_connection_on_which_something_waits_unread_is_not_used_again():
    sockets = []

    async def talk(reader, writer):
        sockets.append(writer.get_extra_info("socket"))
        while await reader.readuntil(b"\r\n\r\n{}"):
            writer.write(reply(200, b"good"))

    async with peer(talk) as port, over() as it:
        url = f"http://127.0.0.1:{port}/"
        response = await held(it, url)
        with bare(sockets[0]) as sock:
            sock.send(reply(200, b"evil"))  # no turn of the event loop from here to the next request
        await response.aclose()
        assert (await got(it, url)).content == b"good"
    assert len(sockets) == 2


async def test_an_early_answer_is_heard_and_its_connection_not_used_again():
    served = []

    async def talk(reader, writer):
        served.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(413, b"too long"))
        await reader.read() if len(served) > 1 else await asyncio.sleep(SOON)

    async with peer(talk) as port, over() as it:
        url = f"http://127.0.0.1:{port}/"
        for _ in range(2):
            response = await got(it, url, bytes(20 << 20))
            assert (response.status_code, response.content) == (413, b"too long")
    assert len(served) == 2


async def test_an_early_answer_without_a_length_ends_though_the_body_is_unsent():
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 X\r\n\r\ntoo long")
        writer.write_eof()
        await asyncio.sleep(SOON)

    async with peer(talk) as port, over() as it, asyncio.timeout(SOON / 2):
        assert (await got(it, f"http://127.0.0.1:{port}/", bytes(20 << 20))).content == b"too long"


@pytest.mark.parametrize("tls", [False, True])
async def test_a_peer_that_never_reads_is_left_on_cancellation(tls, authority):
    began = asyncio.Event()

    async def talk(reader, writer):
        writer.transport.pause_reading()
        began.set()
        await asyncio.sleep(SOON)

    async with peer(talk, authority.server() if tls else None) as port, over(max_connections=1) as it:
        trust(it, authority)
        url = f"http{'s' * tls}://localhost:{port}/"
        await cancelled(it, url, began, body=bytes(20 << 20))


@pytest.mark.parametrize("error", [httpx.ReadError, Dropped])
async def test_a_peer_that_resets_within_the_upload_is_an_error(error):
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        if error is httpx.ReadError:
            writer.write(b"HTTP/1.1 ")
            await writer.drain()
            await asyncio.sleep(0.02)
        await reset(None, writer)

    async with peer(talk) as port, over() as it:
        with pytest.raises(error):
            await got(it, f"http://127.0.0.1:{port}/", bytes(20 << 20))


# -- cancellation --------------------------------------------------------------------------------------------------


async def cancelled(it: Connections, url: str, began: asyncio.Event, body: bytes = b"{}") -> None:
    """Cancel a request once `began`; its only place in the pool is free again at once."""
    asking = asyncio.create_task(got(it, url, body))
    await asyncio.wait_for(began.wait(), SOON)
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await eventually(lambda: it._pool._turns == 1)
    assert not it._pool._taken


@pytest.mark.parametrize("addresses", [1, 2])
async def test_cancelling_while_connecting_closes_the_socket(addresses):
    with blackhole(addresses) as url:
        async with over(max_connections=1) as it:
            for _ in range(2):  # after the first a loop may keep what it opened for itself
                before = open_files()
                connecting = asyncio.create_task(got(it, url))
                await eventually(lambda before=before: open_files() > before)
                connecting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await connecting
                await eventually(lambda: it._pool._turns == 1)
            await eventually(lambda: open_files() == before)


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_cancelling_a_handshake_or_a_wait_for_the_head_closes_the_socket(scheme):
    began, left = asyncio.Event(), asyncio.Event()

    async def talk(reader, writer):
        await reader.read(1)
        began.set()
        try:
            await reader.read()
        finally:
            left.set()

    async with peer(talk) as port, over(max_connections=1) as it:
        await cancelled(it, f"{scheme}://127.0.0.1:{port}/", began)
        await asyncio.wait_for(left.wait(), SOON)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_cancelling_a_tunnel_closes_the_socket(monkeypatch, answer):
    began, left = asyncio.Event(), asyncio.Event()

    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if answer:
            await reader.read(1)
        began.set()
        await reader.read()
        left.set()

    async with peer(talk) as port, over(max_connections=1) as it:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        await cancelled(it, "https://upstream.example/", began)
        await asyncio.wait_for(left.wait(), SOON)


async def test_cancelling_a_read_and_closing_frees_the_place():
    left = asyncio.Event()

    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
        await reader.read()
        left.set()

    async with peer(talk) as port, over(max_connections=1) as it:
        response = await it.handle_async_request(request(f"http://127.0.0.1:{port}/"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await response.stream.read()
        await response.aclose()
        await asyncio.wait_for(left.wait(), SOON)
        assert it._pool._turns == 1


# -- the pool ------------------------------------------------------------------------------------------------------


class Gate:
    """Answers when told to; counts who is there."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.now = self.most = self.served = 0
        self.order: list[bytes] = []

    async def __call__(self, reader, writer):
        self.now += 1
        self.served += 1
        self.most = max(self.most, self.now)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n{}")
                self.order.append(head.split()[1])
                await self.open.wait()
                writer.write(reply(200, b"x"))
        finally:
            self.now -= 1


async def test_the_bound_is_kept_and_who_waits_is_served_in_order():
    gate = Gate()
    async with peer(gate) as port, over(max_connections=2) as it:
        asking = []
        for number in range(12):
            asking.append(asyncio.create_task(got(it, f"http://127.0.0.1:{port}/{number}")))
            await asyncio.sleep(0)
        await eventually(lambda: len(gate.order) == 2)
        gate.open.set()
        await asyncio.gather(*asking)
    assert (gate.most, gate.served) == (2, 2)
    assert sorted(gate.order[:2]) == [b"/0", b"/1"]
    assert [int(path[1:]) // 2 for path in gate.order] == [number // 2 for number in range(12)]


async def test_who_has_a_kept_connection_has_a_turn():
    gate = Gate()
    gate.open.set()
    async with peer(gate) as port, over(max_connections=2) as it:
        url = f"http://127.0.0.1:{port}/"
        await got(it, url)
        connection = it._pool.kept(it._route(httpx.URL(url)))
        assert it._pool._turns == 1
        assert it._pool._taken == {connection}
        connection.abort()
        await eventually(lambda: connection.closed)
        assert it._pool._turns == 2
    assert gate.served == 1


async def test_who_comes_later_does_not_overtake_who_waits():
    gate = Gate()
    gate.open.set()
    async with peer(gate) as port, over(max_connections=1) as it:
        url = f"http://127.0.0.1:{port}/"
        response = await held(it, url + "first")
        waiting = asyncio.create_task(got(it, url + "waiting"))
        await asyncio.sleep(0)
        await response.aclose()
        await got(it, url + "late")
        await waiting
    assert gate.order == [b"/first", b"/waiting", b"/late"]


async def test_a_waiter_that_is_cancelled_passes_its_turn_on():
    gate = Gate()
    gate.open.set()
    async with peer(gate) as port, over(max_connections=1) as it:
        url = f"http://127.0.0.1:{port}/"
        response = await held(it, url)
        waiting = [asyncio.create_task(got(it, f"{url}{number}")) for number in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await response.aclose()
        waiting[0].cancel()  # after it was given its turn
        await asyncio.wait_for(waiting[2], SOON)
        await asyncio.gather(*waiting, return_exceptions=True)
        assert it._pool._turns == 1
    assert gate.order == [b"/", b"/2"]


async def test_an_idle_connection_of_another_route_makes_room():
    one, other = Gate(), Gate()
    one.open.set()
    other.open.set()
    async with peer(one) as port, peer(other) as elsewhere, over(max_connections=1) as it:
        for _ in range(2):
            await got(it, f"http://127.0.0.1:{port}/")
            await got(it, f"http://127.0.0.1:{elsewhere}/")
            await eventually(lambda: one.now + other.now == 1)
        assert (one.served, other.served) == (2, 2)


async def test_an_idle_connection_goes_after_its_time(monkeypatch):
    monkeypatch.setattr(pool, "KEEPALIVE_SECONDS", 0.02)
    gate = Gate()
    gate.open.set()
    async with peer(gate) as port, over() as it:
        await got(it, f"http://127.0.0.1:{port}/")
        await eventually(lambda: gate.now == 0)
        monkeypatch.setattr(pool, "KEEPALIVE_SECONDS", 0.0)
        await got(it, f"http://127.0.0.1:{port}/")
        await got(it, f"http://127.0.0.1:{port}/")
    assert gate.served == 3


async def test_idle_connections_go_when_their_own_time_is_over():
    gate = Gate()
    gate.open.set()
    async with peer(gate) as port, over() as it:
        url = f"http://127.0.0.1:{port}/"
        await asyncio.gather(got(it, url), got(it, url))
        old, younger = it._pool._idle
        old.idle_since -= pool.KEEPALIVE_SECONDS
        younger.idle_since -= pool.KEEPALIVE_SECONDS / 4
        it._pool._sweeper.cancel()
        it._pool._sweep()
        assert [*it._pool._idle] == [younger]
        due = younger.idle_since + pool.KEEPALIVE_SECONDS
        assert it._pool._sweeper.when() == pytest.approx(due, abs=0.01)


@pytest.mark.parametrize("turns", [0, 1, 5])
async def test_a_connection_closed_while_idle_is_not_handed_out(turns):
    served = []

    async def talk(reader, writer):
        served.append(writer)
        while await reader.readuntil(b"\r\n\r\n{}"):
            writer.write(reply(200, b"x"))

    async with peer(talk) as port, over() as it:
        await got(it, f"http://127.0.0.1:{port}/")
        with bare(served[0].get_extra_info("socket")) as sock:
            sock.shutdown(socket.SHUT_RDWR)
        for _ in range(turns):
            await asyncio.sleep(0)
        asked = request(f"http://127.0.0.1:{port}/")
        response = await it.handle_async_request(asked)
        await response.aclose()
        assert not asked.extensions["reused"]
    assert len(served) == 2


async def test_closing_ends_running_answers_and_wakes_their_readers():
    async with (
        peer(writes(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", ends=False)) as port,
        over() as it,
    ):
        response = await it.handle_async_request(request(f"http://127.0.0.1:{port}/"))
        reading = asyncio.create_task(response.stream.read())
        waiting = asyncio.create_task(it.handle_async_request(request(f"http://127.0.0.1:{port}/")))
        await asyncio.sleep(0)
        await it.aclose()
        for task in (reading, waiting):
            with pytest.raises(httpx.TransportError):
                await asyncio.wait_for(task, SOON)
        await response.aclose()
        # a connection's end is told in the loop's next turn
        await eventually(lambda: not (it._pool._taken or it._pool._idle))


@given(st.randoms(use_true_random=False))
@settings(max_examples=8)
def test_whatever_happens_no_place_is_lost_and_the_bound_is_kept(chance):
    now, most = [], 0

    async def talk(reader, writer):
        nonlocal most
        now.append(1)
        most = max(most, len(now))
        try:
            while await reader.readuntil(b"\r\n\r\n{}"):
                await asyncio.sleep(chance.choice([0, 0, 0.001]))
                writer.write(
                    chance.choice([reply(200, b"x"), reply(200, b"x", connection="close"), b"?", chunk(b"")])
                )
                if not chance.randrange(4):
                    return
        finally:
            now.pop()

    async def ask(it, port):
        with suppress(httpx.TransportError, TimeoutError):
            async with asyncio.timeout(chance.choice([0, 0.001, 0.002, 0.01, SOON])):
                await got(it, f"http://{chance.choice(['127.0.0.1', 'localhost'])}:{port}/")

    async def scene():
        async with peer(talk) as port, over(max_connections=3) as it:
            await asyncio.gather(*[ask(it, port) for _ in range(40)])
            await eventually(lambda: it._pool._turns == 3)
            assert not it._pool._taken
            assert not any(not waiting.done() for waiting in it._pool._queue)
            assert len(it._pool._idle) <= 3

    asyncio.run(scene())
    assert most <= 3 + 3  # one that is closed is still there for its peer for a moment


async def test_a_request_that_cannot_be_sent_takes_no_place():
    async with serving(sse("a")) as server, over(max_connections=1) as it:
        for _ in range(3):
            with pytest.raises(httpx.LocalProtocolError):
                await got(it, server.url(), evil="a\r\nb")
        assert (await got(it, server.url())).status_code == 200


async def test_no_reference_cycles_and_no_tasks_are_left():
    async with serving(sse("a", "[DONE]"), reply(404), sse("b")) as server, over() as it:
        await got(it, server.url())
        gc.collect()
        gc.disable()
        try:
            for _ in range(100):
                await got(it, server.url())
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = [thing for thing in gc.garbage if type(thing).__module__.startswith(("shim", "http"))]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert left == []
        assert len(asyncio.all_tasks()) <= 2  # this one and the server's


# -- pace ----------------------------------------------------------------------------------------------------------


async def test_a_reader_that_stops_holds_the_upstream_back():
    written = 0

    async def talk(reader, writer):
        nonlocal written
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (40 << 20))
        for _ in range(40 << 4):
            writer.write(bytes(1 << 16))
            await writer.drain()
            written += 1 << 16

    async with peer(talk) as port, over(read_seconds=0.05) as it:
        response = await it.handle_async_request(request(f"http://127.0.0.1:{port}/"))
        total, before = 0, -1
        while before != written or not written:  # longer than the upstream's silence may last
            before = written
            await asyncio.sleep(0.1)
        assert written < 20 << 20
        assert response.stream._waiting_bytes < 1 << 20
        while data := await response.stream.read():
            total += len(data)
        await response.aclose()
    assert total == 40 << 20


async def test_a_trickle_lives_and_silence_ends_it():
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(8):
            writer.write(chunk(b"a"))
            await asyncio.sleep(0.03)
        await reader.read()

    async with peer(talk) as port, over(read_seconds=0.12) as it:
        response = await it.handle_async_request(request(f"http://127.0.0.1:{port}/"))
        found = b""
        while len(found) < 8:
            found += await response.stream.read()
        with pytest.raises(httpx.ReadTimeout):
            await response.stream.read()
        await response.aclose()


async def test_an_answer_that_was_given_up_never_looks_whole():
    """After a timeout the connection ends, as an answer without a length does."""
    async with peer(writes(b"HTTP/1.1 200 OK\r\n\r\nhal", ends=False)) as port, over(read_seconds=0.01) as it:
        response = await it.handle_async_request(request(f"http://127.0.0.1:{port}/"))
        assert await response.stream.read() == b"hal"
        for _ in range(2):
            with pytest.raises(httpx.ReadTimeout):
                await response.stream.read()
            await asyncio.sleep(0.02)
        await response.aclose()


@asynccontextmanager
async def begun(*parts: bytes, **settings_):
    """The stream of an answer of which no more will come."""
    async with peer(writes(*parts, ends=False)) as port, over(**settings_) as it:
        response = await it.handle_async_request(request(f"http://127.0.0.1:{port}/"))
        async with asyncio.timeout(SOON):
            yield response.stream
        await response.aclose()


BEGUN = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"


async def test_the_time_of_an_answer_ends_though_nobody_has_to_wait():
    async with begun(BEGUN) as stream:
        stream.allow(0, 100)
        with pytest.raises(Overdue):
            await stream.read()


async def test_the_time_of_an_answer_ends_while_someone_waits():
    async with begun(BEGUN) as stream:
        assert await stream.read() == b"half"
        stream.allow(0.02, 100)
        with pytest.raises(Overdue):
            await stream.read()


async def test_who_waits_already_is_hurried_too():
    async with begun(BEGUN) as stream:
        assert await stream.read() == b"half"
        stream.allow(100, 100)
        waiting = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        stream.hurry(0.02)
        with pytest.raises(Overdue):
            await waiting


async def test_a_longer_hurry_is_none():
    async with begun(BEGUN) as stream:
        assert await stream.read() == b"half"
        stream.hurry(0.02)
        stream.hurry(100)
        with pytest.raises(Overdue):
            await stream.read()


@pytest.mark.parametrize("most", [3, 4])
async def test_the_bytes_of_a_body_are_bounded(most):
    async with begun(BEGUN) as stream:
        stream.allow(100, most)
        if most == 4:
            assert await stream.read() == b"half"
        else:
            with pytest.raises(TooLong):
                await stream.read()


async def test_who_gives_up_waiting_misses_nothing():
    """What came in the very moment in which a read was cancelled is the next one's."""

    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(BEGUN)
        await reader.read()

    async with peer(talk) as port, over() as it:
        response = await it.handle_async_request(request(f"http://127.0.0.1:{port}/"))
        stream = response.stream
        assert await stream.read() == b"half"
        for before in (True, False):
            reading = asyncio.create_task(stream.read())
            await asyncio.sleep(0)
            if before:
                reading.cancel()
            stream._connection.data_received(b"x")
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert await stream.read() == b"x"
        await response.aclose()


async def test_who_leaves_as_an_interim_answer_comes_leaves_no_connection_on_which_an_answer_is_owed():
    """The next one on it would be given that answer."""
    asked = asyncio.Event()

    async def talk(reader, _):
        await reader.readuntil(b"\r\n\r\n{}")
        asked.set()
        await reader.read()

    async with peer(talk) as port, over() as it:
        asking = asyncio.create_task(it.handle_async_request(request(f"http://127.0.0.1:{port}/")))
        async with asyncio.timeout(SOON):
            await asked.wait()
        (connection,) = it._pool._taken
        asking.cancel()
        connection.data_received(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not it._pool._idle


@asynccontextmanager
async def awaited(refused=(), answer=BEGUN, **allowed):
    """An answer that somebody waits for, and who does; what comes is taken ahead into a list."""
    async with begun(answer) as stream:
        assert await stream.read() == b"half"
        taken = []

        def take(data):
            if data in refused:
                return False
            taken.append(data)
            return True

        async def read():
            await stream.wait(take)
            return stream.take()

        if allowed:
            stream.allow(**allowed)
        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        yield stream, stream._connection.data_received, reading, taken
        reading.cancel()


async def test_what_is_taken_ahead_wakes_nobody():
    async with awaited() as (_, comes, reading, taken):
        comes(b"x")
        comes(b"y")
        await asyncio.sleep(0)
        assert (taken, reading.done()) == ([b"x", b"y"], False)


async def test_what_is_not_taken_ahead_is_read():
    async with awaited(refused=[b"y"]) as (_, comes, reading, taken):
        comes(b"x")
        comes(b"y")
        comes(b"z")
        assert (await reading, taken) == (b"yz", [b"x"])


async def test_what_comes_in_several_parts_is_not_taken_ahead():
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    async with awaited(answer=head + b"4\r\nhalf\r\n") as (_, comes, reading, taken):
        comes(b"1\r\nx\r\n")
        comes(b"1\r\ny\r\n1\r\nz\r\n")
        assert (await reading, taken) == (b"yz", [b"x"])


@pytest.mark.parametrize(
    ("allowed", "data", "read"),
    [
        ({"seconds": 100, "most_bytes": 2}, [b"x", b"yz"], TooLong),
        ({"seconds": 0.03, "most_bytes": 9}, [b"x"], Overdue),
        ({"seconds": 100, "most_bytes": 9}, [b"x", b"abcd"], b"abcd"),
    ],
)
async def test_bounds_hold_for_what_is_taken_ahead_and_the_end_of_an_answer_is_read(allowed, data, read):
    async with awaited(**allowed) as (_, comes, reading, taken):
        for piece in data:
            comes(piece)
        assert taken == [b"x"]
        if isinstance(read, bytes):
            assert await reading == read
        else:
            with pytest.raises(read):
                await reading


async def test_nothing_is_taken_ahead_after_the_time_of_an_answer():
    async with awaited() as (stream, comes, reading, taken):
        stream._until = 0.0
        comes(b"x")
        assert (await reading, taken) == (b"x", [])


async def test_silence_begins_anew_with_what_is_taken_ahead():
    async with awaited() as (stream, comes, _, _):
        before = stream._asked
        await asyncio.sleep(0.01)
        comes(b"x")
        assert stream._asked > before


async def test_an_answer_that_is_closed_is_taken_ahead_no_more():
    async with awaited() as (stream, _, _, _):
        pass
    assert stream._ahead is None


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_the_time_for_the_head_is_none_of_the_body(encoding):
    body = gzip.compress(b"data: late\n\n") if encoding == "gzip" else b"data: late\n\n"

    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(reply(200, body, content_encoding=encoding).removesuffix(body))
        await asyncio.sleep(0.15)
        writer.write(body)

    async with peer(talk) as port:
        up = upstream(f"http://127.0.0.1:{port}/v1", header_seconds=0.1)
        async with await up.open(b"{}", KEY) as stream:
            assert [read async for read in stream] == [["late"]]
        await up.aclose()


# -- TLS -----------------------------------------------------------------------------------------------------------


def trust(it, authority):
    it._pool._dialer._tls = tls_context()
    it._pool._dialer._tls.load_verify_locations(cadata=authority.certificate.decode())


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


async def several(reader, writer):
    while await reader.readuntil(b"\r\n\r\n{}"):
        writer.write(reply(200, b"over tls"))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "localhost."])
async def test_tls_works_and_is_kept(authority, host):
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo
    loop.getaddrinfo = lambda name, *rest, **more: resolve(name.rstrip("."), *rest, **more)
    async with peer(several, authority.server()) as port, over() as it:
        trust(it, authority)
        reused = []
        for _ in range(3):
            response = await got(it, f"https://{host}:{port}/")
            assert response.content == b"over tls"
            reused.append(response.request.extensions["reused"])
    assert reused == [False, True, True]


async def test_an_early_answer_over_tls_is_not_kept(authority):
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(413, b"too long"))
        await asyncio.sleep(SOON)

    async with peer(talk, authority.server()) as port, over() as it:
        trust(it, authority)
        for _ in range(2):
            response = await got(it, f"https://localhost:{port}/", bytes(20 << 20))
            assert response.status_code == 413
            assert not response.request.extensions["reused"]


@pytest.mark.parametrize(
    ("certificate", "trusted", "message"),
    [
        (("localhost", 1), False, "self-signed certificate"),
        (("other.example", 1), True, "mismatch"),
        (("localhost", -1), True, "expired"),
    ],
)
async def test_a_certificate_that_proves_nothing_is_not_trusted(tmp_path, certificate, trusted, message):
    authority = Authority(tmp_path, *certificate)
    async with peer(several, authority.server()) as port, over(max_connections=1) as it:
        if trusted:
            trust(it, authority)
        for _ in range(2):
            with pytest.raises(Untrusted, match=message):
                await got(it, f"https://localhost:{port}/")
        assert it._pool._turns == 1


async def test_a_server_without_tls_fails_the_handshake():
    async def talk(reader, writer):
        await reader.read(1)
        writer.write(reply(400, b"plain HTTP"))
        await reader.read()

    async with peer(talk) as port, over(max_connections=1) as it:
        for _ in range(2):
            with pytest.raises(HandshakeFailed):
                await got(it, f"https://127.0.0.1:{port}/")


async def test_a_server_that_hangs_up_in_the_handshake_was_sent_nothing():
    async def talk(reader, writer):
        await reader.read(1)

    async with peer(talk) as port, over(max_connections=1) as it:
        with pytest.raises(httpx.ConnectError):
            await got(it, f"https://127.0.0.1:{port}/")


async def test_tls_cut_within_a_chunked_answer_is_an_error(authority):
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"half"))
        await asyncio.sleep(0.01)
        with bare(writer.get_extra_info("socket")) as sock:
            sock.shutdown(socket.SHUT_WR)  # without a close_notify
        await reader.read()

    async with peer(talk, authority.server()) as port, over() as it:
        trust(it, authority)
        response = await it.handle_async_request(request(f"https://localhost:{port}/"))
        assert await response.stream.read() == b"half"
        with pytest.raises(httpx.ReadError):
            await response.stream.read()
        await response.aclose()


# -- proxies -------------------------------------------------------------------------------------------------------


class Proxy:
    """A proxy that tunnels everything to one port, or refuses."""

    def __init__(self, to: int = 0, status: bytes = b"200 OK", headers: bytes = b"") -> None:
        self.to, self.status, self.headers = to, status, headers
        self.heads: list[str] = []

    async def __call__(self, reader, writer):
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 %b\r\n%b\r\n" % (self.status, self.headers))
        if not self.to:
            return
        there, back = await asyncio.open_connection("127.0.0.1", self.to)
        try:
            await asyncio.gather(self.pump(reader, back), self.pump(there, writer))
        finally:
            back.close()

    async def pump(self, reader, writer):
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()


@pytest.fixture
def proxied(monkeypatch):
    """Whatever is asked for goes through the proxy, loopback too."""
    monkeypatch.setattr("shim.upstream.transport.is_loopback", lambda _: False)

    def through(port: int, user: str = "", scheme: str = "http") -> None:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"{scheme}://{user}127.0.0.1:{port}")

    return through


@pytest.mark.parametrize(
    ("user", "header"), [("", None), ("us%C3%A9r:p%40ss@", "proxy-authorization: Basic dXPDqXI6cEBzcw==")]
)
@pytest.mark.parametrize("host", ["localhost", "[::1]"])
@pytest.mark.parametrize("headers", [b"", b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n"])
async def test_a_tunnel_through_a_proxy(proxied, authority, user, header, host, headers):
    async with peer(several, authority.server()) as port:
        proxy = Proxy(port, headers=headers)
        async with peer(proxy) as at, over() as it:
            trust(it, authority)
            proxied(at, user)
            for _ in range(2):
                assert (await got(it, f"https://{host}:{port}/")).content == b"over tls"
    lines = proxy.heads[0].split("\r\n")
    assert len(proxy.heads) == 1
    assert lines[:2] == [f"CONNECT {host}:{port} HTTP/1.1", f"host: {host}:{port}"]
    assert lines[2:] == ([header] if header else []) + ["", ""]


async def test_a_tunnel_through_a_proxy_that_speaks_tls(proxied, authority):
    tls = authority.server()
    async with peer(several, tls) as port, peer(Proxy(port), tls) as at, over() as it:
        trust(it, authority)
        proxied(at, scheme="https")
        for _ in range(2):
            assert (await got(it, f"https://localhost:{port}/")).content == b"over tls"


@pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"502 Bad Gateway", b"302 Found"])
async def test_a_proxy_that_refuses_is_named_without_its_password(proxied, status, caplog):
    caplog.set_level(logging.DEBUG)
    naps = Naps()
    async with peer(Proxy(status=status)) as at:
        proxied(at, "user:passw0rd@")
        up = upstream("https://upstream.example/v1", naps, max_connections=1)
        with pytest.raises(UpstreamFault, match=f"proxy refused: HTTP {status[:3].decode()}") as caught:
            await up.open(b"{}", KEY)
        await eventually(lambda: up._transport._pool._turns == 1)
        await up.aclose()
    assert "passw0rd" not in f"{caught.value} {caplog.text} {caught.value.__cause__!r}"
    assert "dXNlcjpwYXNzdzByZA" not in f"{caught.value} {caplog.text}"


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 20", b"garbage\r\n\r\n"])
async def test_a_proxy_that_gives_up_before_the_tunnel_was_sent_nothing(proxied, said):
    proxy = writes(said)
    naps = Naps()
    async with peer(proxy) as at:
        proxied(at)
        async with over(max_connections=1) as it:
            for _ in range(2):
                with pytest.raises(ProxyAway):
                    await got(it, "https://upstream.example/")
        up = upstream("https://upstream.example/v1", naps)
        with pytest.raises(UpstreamFault, match=r"Cannot reach .*the proxy cannot be reached"):
            await up.open(b"{}", KEY)
        await up.aclose()
    assert len(naps.taken) == 3


async def test_a_proxy_that_is_away_is_named(proxied, unused_port):
    proxied(unused_port)
    async with over() as it:
        for scheme in ("http", "https"):
            with pytest.raises(ProxyAway):
                await got(it, f"{scheme}://upstream.example/")


async def test_a_proxy_that_forwards_gets_the_whole_url(proxied):
    async with serving(reply(200, b"x")) as proxy, over() as it:
        proxied(proxy.port, "user:passw0rd@")
        for _ in range(2):
            await got(it, "http://upstream.example:81/a%20b?c=d#e")
    assert {(asked.method, asked.path, asked.connection) for asked in proxy.requests} == {
        ("POST", "http://upstream.example:81/a%20b?c=d", 1)
    }
    assert proxy.requests[0].headers["host"] == "upstream.example:81"
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwYXNzdzByZA=="


async def test_what_needs_no_proxy_goes_without(proxied, monkeypatch, unused_port):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    proxied(unused_port)
    async with serving(reply(200, b"x")) as server, over() as it:
        assert (await got(it, server.url())).content == b"x"


# -- names ---------------------------------------------------------------------------------------------------------


@contextmanager
def blackhole(addresses, scheme="http"):
    """The URL of a name that resolves to so many addresses, all of a port whose queue is full: connecting there never ends."""
    with socket.socket() as listening, socket.socket() as first:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        first.connect(listening.getsockname())
        found = (socket.AF_INET, socket.SOCK_STREAM, 6, "", listening.getsockname())

        async def resolved(*_, **__):
            return [found] * addresses

        asyncio.get_running_loop().getaddrinfo = resolved
        yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/"


def open_files():
    return len([*Path("/dev/fd").iterdir()])


@pytest.fixture
def unused_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


async def test_a_name_with_one_dead_address_connects():
    async with serving(reply(200, b"x")) as server, over() as it:
        found = [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", server.port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port)),
        ]

        async def both(*_, **__):
            return found

        asyncio.get_running_loop().getaddrinfo = both
        assert (await got(it, server.url(host="localhost"))).content == b"x"


async def test_an_address_of_ipv6_is_reached():
    async with peer(several, host="::1") as port, over() as it:
        assert (await got(it, f"http://[::1]:{port}/")).content == b"over tls"


@pytest.mark.parametrize("host", ["upstream.invalid", "a..b", "a" * 70 + ".example"])
async def test_a_name_that_cannot_be_resolved_says_so(host):
    async with over(max_connections=1) as it:
        for _ in range(2):
            with pytest.raises(Unresolved):
                await got(it, f"http://{host}/")


async def test_a_port_that_there_is_not_is_no_other_one():
    async with serving(reply(200)) as server, over() as it:
        with pytest.raises(httpx.ConnectError, match="no port"):
            await got(it, f"http://127.0.0.1:{server.port + (1 << 16)}/")
    assert not server.requests


@pytest.mark.parametrize("addresses", [1, 2])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_connecting_takes_no_longer_than_it_may(scheme, addresses):
    with blackhole(addresses, scheme) as url:
        async with over(connect_seconds=0.01, max_connections=1) as it:
            for _ in range(2):
                with pytest.raises(httpx.ConnectTimeout):
                    await got(it, url)


async def test_a_handshake_takes_no_longer_than_it_may():
    async with peer(writes(ends=False)) as port, over(connect_seconds=0.02, max_connections=1) as it:
        for _ in range(2):
            with pytest.raises(httpx.ConnectTimeout):
                await got(it, f"https://127.0.0.1:{port}/")


# -- injection -----------------------------------------------------------------------------------------------------

ROUTE = Route("http", "host", 80)


@given(
    st.text(st.characters(max_codepoint=0x17F), max_size=20), st.sampled_from(["", "\r", "\n", "\r\n", "\0"])
)
def test_no_header_or_url_ends_its_line(text, evil):
    try:
        asked = request(f"http://host/{text}{evil}x", x=f"{text}{evil}y")
        head = head_of_request(asked, ROUTE)
    except (httpx.LocalProtocolError, httpx.InvalidURL, UnicodeEncodeError):
        return
    assert not evil
    lines = head.split(b"\r\n")
    assert len(lines) == len(asked.headers.raw) + 3
    assert not set(b"\r\n\0") & set(b"".join(lines))


@given(st.lists(st.tuples(st.sampled_from([b"A", b"a", b"x-B", b"c"]), st.binary(max_size=4)), max_size=6))
def test_headers_are_those_that_httpx_reads(pairs):
    assert fields_of(pairs) == dict(httpx.Headers(pairs))


# -- what was sent -------------------------------------------------------------------------------------------------


async def hang_up(_, writer):
    writer.close()
    await asyncio.sleep(SOON)


def says(data: bytes):
    async def talk(_, writer):
        writer.write(data)
        await writer.drain()
        await hang_up(_, writer)

    return talk


@pytest.mark.parametrize(
    ("talk", "told"),
    [
        (hang_up, "Lost the upstream"),
        (reset, "Lost the upstream"),
        (says(b"H"), "Lost the upstream"),
        (says(b"HTTP/1.1 100 Continue\r\n\r\n"), "Lost the upstream"),
        (says(b"garbage"), "Lost the upstream"),
        (says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"), "broke off"),
        (says(b"HTTP/1.1 101 X\r\n\r\n"), "Lost the upstream"),
        (silent, "Lost the upstream"),
    ],
)
@pytest.mark.parametrize("kept", [False, True])
async def test_what_may_have_arrived_is_sent_once(talk, told, kept):
    """Also where a kept connection breaks at once and without a byte: the model may be at work."""
    turns = []

    async def first_well(reader, writer):
        turns.append(1)
        if kept and len(turns) == 1:
            writer.write(sse("a"))
            return
        if talk is silent:
            await hang_up(reader, writer)
        await talk(reader, writer)

    arrived = []

    async def counting(reader, writer):
        while True:
            await reader.readuntil(b"\r\n\r\n{}")
            arrived.append(1)
            await first_well(reader, writer)

    async with peer(counting) as port:
        up = upstream(f"http://127.0.0.1:{port}/v1")
        if kept:
            async with await up.open(b"{}", KEY) as stream:
                assert [read async for read in stream] == [["a"]]
        with pytest.raises(UpstreamFault, match=told):
            async with await up.open(b"{}", KEY) as stream:
                await stream.read()
        await up.aclose()
    assert len(arrived) == 1 + kept


def answering(listener: socket.socket, payload: str) -> socket.socket:
    """Take a connection and answer one request on it; blocks."""
    connection, _ = listener.accept()
    connection.settimeout(SOON)
    while b"\r\n\r\n{}" not in connection.recv(1 << 16):
        pass
    connection.sendall(sse(payload))
    return connection


async def crossing(end) -> tuple[list[list[str]], list[float]]:
    """A second request is sent in the very moment in which the upstream ends the kept connection."""
    naps = Naps()
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.MonkeyPatch.context() as patch:
        listener.settimeout(SOON)
        up = upstream(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", naps, retry_attempts=2)
        peer_ = asyncio.ensure_future(asyncio.to_thread(answering, listener, "a"))
        async with await up.open(b"{}", KEY) as stream:
            told = [read async for read in stream]
        kept = await peer_
        peer_ = asyncio.ensure_future(asyncio.to_thread(answering, listener, "b"))
        patch.setattr(http1.Connection, "_has_arrived", lambda _: False)
        end(kept)
        async with await up.open(b"{}", KEY) as stream:
            told += [read async for read in stream]
        (await peer_).close()
        await up.aclose()
    return told, naps.taken


async def test_a_request_that_crosses_the_end_of_a_kept_connection_is_sent_again_at_once():
    assert await crossing(socket.socket.close) == ([["a"], ["b"]], [0.0])


async def test_what_was_acknowledged_may_have_been_read_however_soon_the_end_came():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SOON)
        naps = Naps()
        up = upstream(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", naps)

        def twice() -> None:
            with answering(listener, "a") as connection:
                assert connection.recv(1 << 16)

        peer_ = asyncio.ensure_future(asyncio.to_thread(twice))
        async with await up.open(b"{}", KEY) as stream:
            assert [read async for read in stream] == [["a"]]
        with pytest.raises(UpstreamFault, match="Lost"):
            await up.open(b"{}", KEY)
        await peer_
        await up.aclose()
    assert naps.taken == []


async def test_a_new_connection_that_ended_before_it_was_asked_was_sent_nothing():
    connection = http1.Connection(asyncio.get_running_loop())
    wire = Wire()
    connection.connection_made(wire)
    connection.connection_lost(None)
    with pytest.raises(httpx.ConnectError):
        await connection.ask(b"", b"", 1)


# -- another event loop --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "law",
    [
        test_the_rest_of_an_answer_is_never_the_next_one,
        test_an_early_answer_is_heard_and_its_connection_not_used_again,
        test_an_early_answer_without_a_length_ends_though_the_body_is_unsent,
        test_cancelling_a_read_and_closing_frees_the_place,
        test_the_bound_is_kept_and_who_waits_is_served_in_order,
        test_a_waiter_that_is_cancelled_passes_its_turn_on,
        test_an_idle_connection_of_another_route_makes_room,
        test_closing_ends_running_answers_and_wakes_their_readers,
        test_a_server_without_tls_fails_the_handshake,
        test_a_server_that_hangs_up_in_the_handshake_was_sent_nothing,
        test_a_reader_that_stops_holds_the_upstream_back,
        test_a_trickle_lives_and_silence_ends_it,
        test_an_answer_that_was_given_up_never_looks_whole,
        test_an_address_of_ipv6_is_reached,
        test_a_handshake_takes_no_longer_than_it_may,
        test_no_reference_cycles_and_no_tasks_are_left,
        test_a_request_that_crosses_the_end_of_a_kept_connection_is_sent_again_at_once,
        test_what_was_acknowledged_may_have_been_read_however_soon_the_end_came,
    ],
)
def test_uvloop_is_no_different(law):
    uvloop.run(law())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_uvloop_is_no_different_with_a_cancelled_handshake(scheme):
    uvloop.run(test_cancelling_a_handshake_or_a_wait_for_the_head_closes_the_socket(scheme))


@pytest.mark.parametrize("addresses", [1, 2])
def test_uvloop_is_no_different_where_nobody_is_let_in(addresses):
    uvloop.run(test_cancelling_while_connecting_closes_the_socket(addresses))
    uvloop.run(test_connecting_takes_no_longer_than_it_may("http", addresses))


def test_uvloop_is_no_different_over_tls(authority, tmp_path):
    uvloop.run(test_an_early_answer_over_tls_is_not_kept(authority))
    uvloop.run(test_tls_cut_within_a_chunked_answer_is_an_error(authority))
    uvloop.run(
        test_a_certificate_that_proves_nothing_is_not_trusted(tmp_path, ("localhost", -1), True, "expired")
    )


def test_uvloop_is_no_different_through_a_proxy(proxied, authority):
    uvloop.run(test_a_tunnel_through_a_proxy(proxied, authority, "", None, "localhost", b""))
    uvloop.run(test_a_tunnel_through_a_proxy_that_speaks_tls(proxied, authority))


async def test_authorities_that_cannot_be_read_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    async with serving(sse("a")) as server:
        up = upstream(server.url(host="127.0.0.1").replace("http:", "https:"))
        with pytest.raises(UpstreamFault, match="SSL_CERT_FILE"):
            await up.open(b"{}", KEY)
        await asyncio.wait_for(server.client_left.wait(), 5)  # no connection is left behind
        await up.aclose()
