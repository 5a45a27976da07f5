"""Clients that misbehave: raw sockets that are slow, leave, say half, say two things, or say nothing at all."""

import json
import re
import resource
import socket
import struct
import time
from contextlib import ExitStack, closing, suppress

import pytest
from fault_stage import (
    BAD_WORDS,
    HELLO,
    MODEL,
    OVER,
    STARTED,
    WELL,
    Endless,
    Hang,
    answers_in,
    delta,
    events_of,
    post,
    rest_of,
    says,
    streamed,
)
from grammar import check
from upstream_loopback import HEAD, chunk
from waiting import PATIENCE, until
from websockets.sync.client import connect

MB = 1 << 20
ATTEMPTS = 5
CLOSING = b"connection: close\r\n"
PIECE = chunk(says(delta(content="x" * 1000)))


@pytest.fixture(autouse=True)
def _sound(stage):
    """Whatever a client did: the sockets are closed, the log is clean, and the next request is answered."""
    stage.news()
    yield
    until(lambda: not stage.upstream.open)
    said = stage.news()
    assert not [word for word in BAD_WORDS if word in said], said
    stage.upstream.plays(WELL)
    assert stage.ask("plain").response["status"] == "completed"
    until(lambda: not stage.upstream.open)


def websocket(stage, **options):
    url = f"ws://127.0.0.1:{stage.shim.port}/v1/responses"
    return connect(url, proxy=None, additional_headers={"authorization": "Bearer alice"}, **options)


def create(**fields):
    return json.dumps({"type": "response.create", "model": MODEL, "input": "hi", **fields})


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# -- slow readers --------------------------------------------------------------------------------------------------

PLENTY = 96 * MB
BUFFERED = 40 * MB
"""More than the system's buffers on both ways and ours together hold, on loopback."""


def test_a_client_that_does_not_read_holds_the_upstream_back(stage):
    stage.upstream.plays((STARTED, Endless(PIECE, PLENTY), Hang()))
    before = stage.memory
    with closing(stage.raw(post(stream=True), small=True)):
        until(lambda: stage.upstream.stalled)
        assert stage.upstream.sent < BUFFERED
        assert stage.memory - before < BUFFERED


def test_a_websocket_that_does_not_read_holds_the_upstream_back(stage):
    stage.upstream.plays((STARTED, Endless(PIECE, PLENTY), Hang()))
    before = stage.memory
    with websocket(stage, max_queue=1, compression=None, close_timeout=0) as ws:
        ws.send(create(store=False))
        until(lambda: stage.upstream.stalled)
        assert stage.upstream.sent < BUFFERED
        assert stage.memory - before < BUFFERED
        ws.socket.shutdown(socket.SHUT_RDWR)


def test_a_follower_that_does_not_read_holds_no_background_work(stage):
    stage.upstream.plays(streamed(*[says(delta(content="x" * 1000))] * 3000, OVER))
    with closing(stage.raw(post(stream=True, background=True), small=True)) as sock:
        head = sock.recv(1000)
        while b'"id":"resp_' not in head:
            head += sock.recv(1000)
        response_id = re.search(rb'"id":"(resp_\w+)"', head)[1].decode()
        until(lambda: stage.shim.http.get(f"/responses/{response_id}").json()["status"] == "completed")


# -- readers that vanish -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", [socket.socket.close, reset])
@pytest.mark.parametrize("script", [(Hang(),), (HEAD, Hang()), (STARTED, Hang()), (STARTED, Endless(PIECE))])
@pytest.mark.parametrize("stream", [False, True])
def test_the_upstream_is_left_when_its_reader_is_gone(stage, stream, script, leave):
    stage.upstream.plays(script)
    sock = stage.raw(post(stream=stream))
    until(lambda: stage.upstream.asked)
    if stream and script[0] == STARTED:
        while b"output_text.delta" not in sock.recv(1 << 16):
            pass
    leave(sock)
    until(lambda: not stage.upstream.open)
    until(lambda: "client_gone" in stage.log.read_text()[stage.read :])


@pytest.mark.parametrize("how", ["closed", "reset", "closed in the midst", "reset in the midst", "WebSocket"])
def test_the_upstream_is_left_within_a_second(stage, how):
    """At the best of several attempts: a busy machine may take its time now and then."""
    midst = "midst" in how or how == "WebSocket"
    taken = []
    while not taken or (min(taken) >= 1 and len(taken) < ATTEMPTS):
        stage.upstream.plays((STARTED, Hang()) if midst else (Hang(),))
        with ExitStack() as opened:
            if how == "WebSocket":
                ws = opened.enter_context(websocket(stage, close_timeout=0))
                ws.send(create())
                while json.loads(ws.recv(PATIENCE))["type"] != "response.output_text.delta":
                    pass
                sock = ws.socket
            else:
                sock = stage.raw(post(stream=midst))
                until(lambda: stage.upstream.asked)
                while midst and b"output_text.delta" not in sock.recv(1 << 16):
                    pass
            began = time.monotonic()
            if "reset" in how:
                reset(sock)
            elif how == "WebSocket":
                sock.shutdown(socket.SHUT_RDWR)
            else:
                sock.close()
            until(lambda: not stage.upstream.open)
            taken.append(time.monotonic() - began)
    assert min(taken) < 1


def test_a_pipelined_request_does_not_hide_that_its_client_is_gone(stage):
    stage.upstream.plays((STARTED, Hang()))
    sock = stage.raw(post(stream=True), post(stream=True))
    until(lambda: stage.upstream.asked)
    while b"output_text.delta" not in sock.recv(1 << 16):
        pass
    sock.close()
    until(lambda: not stage.upstream.open, 5)
    assert len(stage.upstream.asked) == 1


def test_the_upstream_is_left_when_its_websocket_is_gone(stage):
    stage.upstream.plays((STARTED, Hang()))
    with websocket(stage, close_timeout=0) as ws:
        ws.send(create())
        while json.loads(ws.recv(PATIENCE))["type"] != "response.output_text.delta":
            pass
        ws.socket.shutdown(socket.SHUT_RDWR)
        until(lambda: not stage.upstream.open, 5)


def test_background_work_goes_on_without_its_reader(stage):
    stage.upstream.plays(
        (STARTED, chunk(says(delta(content="!"))), Endless(chunk(b": alive\n\n"), 100_000), chunk(OVER))
    )
    sock = stage.raw(post(stream=True, background=True))
    told = b""
    while b'"id":"resp_' not in told:
        told += sock.recv(1000)
    reset(sock)
    response_id = re.search(rb'"id":"(resp_\w+)"', told)[1].decode()
    until(lambda: stage.shim.http.get(f"/responses/{response_id}").json()["status"] == "completed")
    ended = stage.shim.http.get(f"/responses/{response_id}").json()
    assert ended["output"][0]["content"][0]["text"] == f"{HELLO}!"


# -- half-open connections and requests in line --------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_who_only_stops_sending_gets_every_answer(stage, stream, count):
    stage.upstream.plays(WELL)
    with closing(stage.raw(post(stream=stream) * count)) as sock:
        sock.shutdown(socket.SHUT_WR)
        found = answers_in(rest_of(sock))
    assert [status for status, _ in found] == [200] * count
    for _, body in found:
        if stream:
            check(events_of(body))
        assert HELLO in body.decode()


@pytest.mark.parametrize("stream", [False, True])
def test_who_only_stops_sending_waits_as_long_as_it_takes(stage, stream):
    stage.upstream.plays((STARTED, Endless(chunk(b": alive\n\n"))))
    with closing(stage.raw(post(stream=stream))) as sock:
        until(lambda: stage.upstream.asked)
        sock.shutdown(socket.SHUT_WR)
        said = b""
        while said.count(b"HTTP/1.1 100 Continue\r\n\r\n") < 2 and not said.endswith(b"\r\n00"):
            said += sock.recv(1 << 16)
        stage.shim.http.get("/models")
        assert stage.upstream.open


def test_requests_in_line_are_answered_in_their_order(stage):
    first, second = (streamed(says(delta(content=word)), OVER) for word in ("first", "second"))
    stage.upstream.plays(first, second)
    with closing(stage.raw(post(), post(stream=True), post(body=b"{", headers=CLOSING))) as sock:
        (_, one), (_, two), (status, three) = answers_in(rest_of(sock))
    assert b"first" in one
    assert b"second" in two
    check(events_of(two))
    assert (status, json.loads(three)["error"]["type"]) == (400, "invalid_request_error")


# -- requests that mean two things, or none ------------------------------------------------------------------------

BODY = json.dumps({"model": MODEL, "input": "hi"}).encode()
CHUNKED = b"transfer-encoding: chunked\r\n"
GET = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n"
REFUSED = {
    "a length beside chunks": post(headers=b"transfer-encoding:chunked\r\ncontent-length: 36\r\n"),
    "chunks beside a length": post(headers=b"content-length: 36\r\ntransfer-encoding: chunked\r\n"),
    "two lengths": post(headers=b"content-length: 3\r\n"),
    "a length with a sign": post(headers=b"x-chunked: 1\r\ncontent-length: +35\r\n"),
    "chunks in an unknown coding": post(headers=b"transfer-encoding: xchunked\r\n"),
    "chunks that are not the last coding": post(headers=b"transfer-encoding: chunked, gzip\r\n"),
    "a chunk without a size": post(headers=CHUNKED, body=b"zz\r\nhi\r\n0\r\n\r\n"),
    "a chunk with a sign": post(headers=CHUNKED, body=b"-1\r\nhi\r\n0\r\n\r\n"),
    "a chunk beyond all sizes": post(headers=CHUNKED, body=b"f" * 17 + b"\r\nhi\r\n0\r\n\r\n"),
    "a chunk that is longer than it says": post(headers=CHUNKED, body=b"1\r\nhi\r\n0\r\n\r\n"),
    "NUL in a header": post(headers=b"x: a\0b\r\n"),
    "bare line feeds": post().replace(b"\r\n", b"\n"),
    "a bare carriage return": post(headers=b"x: a\rb\r\n"),
    "a folded header": post(headers=b"x: a\r\n b\r\n"),
    "a space before the colon": post(headers=b"x : a\r\n"),
    "a header without a name": post(headers=b": a\r\n"),
    "no such method": post(b"POSTS /v1/responses HTTP/1.1"),
    "a path that is none": post(b"POST v1/responses HTTP/1.1"),
    "a path beyond ASCII": post(b"POST /v1/\xff HTTP/1.1"),
    "a broken address": post(b"POST http://[::1/v1/responses HTTP/1.1"),
    "a tunnel": b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "a coding besides chunked": post(
        headers=b"transfer-encoding: gzip, chunked\r\n", body=b"1\r\na\r\n0\r\n\r\n"
    ),
    "garbage": bytes(range(256)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_request_is_refused_once_and_asks_no_model(stage, name):
    stage.upstream.plays(WELL)
    smuggled = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with closing(stage.raw(REFUSED[name] + smuggled)) as sock:
        said = b""
        with suppress(ConnectionResetError):  # it was not read to its end
            said = rest_of(sock)
    assert said[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 405", b"")
    assert said.count(b"HTTP/1.1 ") <= 1
    assert stage.upstream.asked == []


SERVED = {
    "an offer of HTTP/2, as Java's own client makes": (
        post(headers=b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"),
        200,
    ),
    "an offer of a protocol that nobody knows": (post(headers=b"CONNECTION: Upgrade, close\r\nUPGRADE: foo/1\r\n"), 200),
    "closing": (post(headers=CLOSING), 200),
    "HTTP/1.0": (post(b"POST /v1/responses HTTP/1.0"), 200),
    "an absolute address": (post(b"POST http://localhost/v1/responses HTTP/1.1", CLOSING), 200),
    "in chunks": (post(headers=CHUNKED + CLOSING, body=b"5;x=y\r\n%b\r\n%x\r\n%b\r\n0\r\nx: y\r\n\r\n" % (BODY[:5], len(BODY) - 5, BODY[5:])), 200),
    "expecting": (post(headers=b"expect: 100-continue\r\n" + CLOSING), 200),
    "expecting something else": (post(headers=b"expect: more\r\n" + CLOSING), 200),
    "asking for another protocol": (GET + b"connection: upgrade, close\r\nupgrade: h2c\r\n\r\n", 200),
    "no host": (b"GET /v1/models HTTP/1.0\r\n\r\n", 200),
    "two hosts": (GET + b"host: evil.example\r\n" + CLOSING + b"\r\n", 403),
    "options": (b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n" + CLOSING + b"\r\n", 404),
    "a trace": (b"TRACE /v1/models HTTP/1.1\r\nhost: localhost\r\n" + CLOSING + b"\r\n", 405),
    "a path with escapes": (b"GET /v1/%ff%00%0d%0a HTTP/1.1\r\nhost: localhost\r\n" + CLOSING + b"\r\n", 404),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVED)
def test_what_is_rare_but_sound_is_served(stage, name):
    stage.upstream.plays(WELL)
    request, status = SERVED[name]
    with closing(stage.raw(request)) as sock:
        [(found, body)] = answers_in(rest_of(sock))
    assert found == status
    assert json.loads(body)


def test_a_body_is_asked_for_only_if_it_is_wanted(stage):
    stage.upstream.plays(WELL)
    head, _, body = post(headers=b"expect: 100-continue\r\n" + CLOSING).partition(b"\r\n\r\n")
    with closing(stage.raw(head + b"\r\n\r\n")) as sock:
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert answers_in(rest_of(sock))[0][0] == 200
    unwanted = head.replace(b"application/json", b"text/plain")
    with closing(stage.raw(unwanted + b"\r\n\r\n")) as sock:
        assert sock.recv(1000).startswith(b"HTTP/1.1 415")


def test_a_request_that_comes_byte_by_byte_is_a_request(stage):
    stage.upstream.plays(WELL)
    request = post(headers=CLOSING)
    with closing(stage.raw()) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(request)):
            sock.sendall(request[at : at + 1])
        assert answers_in(rest_of(sock))[0][0] == 200


# -- many ----------------------------------------------------------------------------------------------------------

IDLE = 9_990
PER_IDLE = 16 << 10  # bytes


def test_ten_thousand_idle_connections_are_held_and_requests_answered(start):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < IDLE + 200:
        pytest.skip(f"this system allows {hard} open files, and {IDLE + 200} are needed")
    with ExitStack() as open_ones:
        open_ones.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))  # what many systems begin with
        stage = open_ones.enter_context(start())
        before = stage.memory
        resource.setrlimit(resource.RLIMIT_NOFILE, (IDLE + 200, hard))
        for _ in range(IDLE):
            open_ones.enter_context(closing(stage.raw()))
        for stream in (False, True):
            with closing(stage.raw(post(stream=stream, headers=CLOSING))) as sock:
                assert answers_in(rest_of(sock))[0][0] == 200
        assert (stage.memory - before) / IDLE < PER_IDLE
