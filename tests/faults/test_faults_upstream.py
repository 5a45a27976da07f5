"""An upstream that misbehaves: a table of faults, each asked for in four ways, through real sockets.

What is told of a fault is the same however it was asked for: before the answer has begun it is an HTTP status (an `error`
event on a WebSocket, `response.failed` in the background), after that an `error` event and `response.failed` (an HTTP
status where nothing was streamed). There is one terminal event, the sockets are closed, the log is clean, and the shim
answers the next request.
"""

import gzip
import json
import zlib
from dataclasses import dataclass
from typing import Literal

import pytest
from fault_stage import (
    BAD_WORDS,
    DONE,
    HELLO,
    KEY,
    KINDS,
    LAST,
    OVER,
    STARTED,
    USAGE,
    WELL,
    Endless,
    Hang,
    Reset,
    Step,
    call,
    delta,
    says,
    streamed,
)
from grammar import RESPONSE_HEADERS, TERMINAL
from upstream_loopback import HEAD, chunk, redirect, reply
from waiting import until


@dataclass(frozen=True)
class Fault:
    """What the upstream does, and what must come of it.

    Attributes:
        name: For the reader.
        script: What the upstream does with the request.
        ends: `refused` before the answer began, `failed` within it, or as the response's status says.
        says: A part of the error's message; of the answer's text if it ends well.
        status: The HTTP status of the error.
        code: Its code.
        asked: How many requests with a body the upstream may see: more than one only if it refused.
        then: What it does with the requests after that.
        calls: How many calls the answer holds.
    """

    name: str
    script: tuple[Step, ...]
    ends: Literal["refused", "failed", "completed", "incomplete"]
    says: str
    status: int = 502
    code: str = "server_error"
    asked: int = 1
    then: tuple[tuple[Step, ...], ...] = ()
    calls: int = 0


SOON = {"retry_after_ms": "1"}
CUT = "closed the stream before the model had finished"
GZIPPED = {"content_type": "text/event-stream", "content_encoding": "gzip", "connection": "close"}
ANSWER = says(delta(content=HELLO)) + OVER
PAGE = "<!doctype html><html><head><title>Gateway & friends</title></head><body>\x00</body></html>"
PLAIN = {"content_type": "text/plain"}


def refused(name, *script, says, status=502, code="server_error", asked=1, then=()):
    return Fault(name, script, "refused", says, status, code, asked, then)


def failed(name, *script, says, status=502, code="server_error"):
    return Fault(name, script, "failed", says, status, code)


def fine(name, *script, says=HELLO, ends="completed", then=(), calls=0):
    return Fault(name, script, ends, says, then=then, calls=calls)


def many_calls(count):
    calls = [delta(tool_calls=[call(at, f"call_{at}", "f", "{}")]) for at in range(count)]
    return [says(*calls[at : at + 100]) for at in range(0, count, 100)]


def leads(location):
    return reply(307, location=location, connection="close")


BEFORE = [
    refused("it says nothing", Hang(), says="no answer in time", status=504),
    refused("it stops within its headers", b"HTTP/1.1 200 OK\r\ncont", Hang(), says="no answer in time", status=504),
    refused("it closes", says="Lost the upstream"),
    refused("it resets", Reset(), says="connection reset"),
    refused("it closes within its headers", b"HTTP/1.1 200 OK\r\ncont", says="ended early"),
    refused("it speaks another protocol", b"SSH-2.0-OpenSSH\r\n", Hang(), says="not valid HTTP"),
    refused("it speaks TLS", b"\x15\x03\x01\x00\x02\x02\x28", Hang(), says="not valid HTTP"),
    refused("headers without end", b"HTTP/1.1 200 OK\r\n", Endless(b"x: %b\r\n" % (b"y" * 1000)), says="too long"),
    refused("one header without end", b"HTTP/1.1 200 OK\r\nx: ", Endless(b"y" * 1000), says="too long"),
    refused("interim answers without end", Endless(b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" * 100), says="too long"),
    refused("an interim answer with a body", b"HTTP/1.1 103 X\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", *WELL, says="not valid HTTP"),
    refused("it switches protocols", b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", Hang(), says="another protocol"),
    refused("a status below 100", b"HTTP/1.1 099 X\r\ncontent-length: 5\r\n\r\nhello", *WELL, says="not valid HTTP"),
    refused("a status below 100 without a body", b"HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n", *WELL, says="not valid HTTP"),
    refused("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi!", says="not valid HTTP"),
    refused("a web page", reply(200, PAGE, content_type="text/html"), says="web page", code="upstream_path_not_found"),
    refused("a web page as an error", reply(500, PAGE, content_type="text/html", **SOON), says="HTTP 500: Gateway & friends", status=500, asked=2),
    refused("garbage as an error", reply(400, bytes(range(256)) * 9), says="!", status=400, code=None),
    refused("an error of a megabyte", reply(422, "no " * 350_000), says="no no", status=400, code=None),
    refused("an error that never ends", b"HTTP/1.1 400 X\r\n\r\n", Endless(b"no " * 9_000), says="no no", status=400, code=None),
    refused("an error nested deeply", reply(400, "[" * 100_000), says="[[", status=400, code=None),
    refused("an error with line breaks", reply(400, {"error": {"message": "a\r\ndata: b\u2028c\ud800"}}), says="a data: b c", status=400, code=None),
    refused("an error with a status of its own", reply(999, "x", **SOON), says="x", asked=1),
    refused("busy", reply(503, {"errors": {"detail": "later"}}, **SOON), says="later", status=503, asked=2),
    refused("too many requests, for long", reply(429, "slow down", retry_after="7"), says="slow down", status=429, code="rate_limit_exceeded"),
    refused("a gateway that gave up waiting", reply(504, "timeout", **SOON), says="timeout", status=504),
    refused("a redirect without a place", reply(307), says="without saying where"),
    refused("a redirect that drops the body", redirect("/v1/x", 302), says="drops the request's body"),
    refused("a redirect to itself", redirect("/v1/chat/completions"), says="in a circle"),
    refused("a redirect in a circle of two", leads("/r/v1"), says="in a circle", then=((leads("/v1/chat/completions"),),)),
    refused("redirects without end", leads("/0"), says="more than 5 times", then=tuple((leads(f"/{hop}"),) for hop in range(1, 6))),
    refused("a redirect to a host that is named like the key", redirect(f"http://{KEY}.invalid/v1"), says="not trusted"),
    refused("a redirect to another host", redirect("http://example.invalid/v1"), says="not trusted"),
    refused("a redirect to a private address", redirect("http://10.0.0.1/v1"), says="not trusted"),
    refused("a redirect to the cloud's own address", redirect("http://169.254.169.254/latest"), says="not trusted"),
    refused("a redirect to a private IPv6 address", redirect("http://[fd00::1]/v1"), says="not trusted"),
    refused("a redirect to a number", redirect("http://167772161/v1"), says="not trusted"),
    refused("a redirect with a password", redirect("http://a:b@127.0.0.1/v1"), says="not a plain HTTP URL"),
    refused("a redirect to a file", redirect("file:///etc/passwd"), says="not a plain HTTP URL"),
]  # fmt: skip

WITHIN = [
    failed("no content", reply(204), says=CUT),
    failed("an empty answer", reply(200, content_type="text/event-stream"), says=CUT),
    failed("a web page as an event stream", reply(200, PAGE, content_type="text/event-stream"), says=CUT),
    failed("garbage", reply(200, bytes(range(256)) * 99, content_type="text/event-stream"), says=CUT),
    failed("silence after its headers", HEAD, Hang(), says="no answer in time", status=504),
    failed("silence between chunks", STARTED, Hang(), says="no answer in time", status=504),
    failed("silence within an event", STARTED, chunk(b'data: {"choi'), Hang(), says="no answer in time", status=504),
    failed("it closes within an event", STARTED, chunk(b'data: {"choi'), says="ended early"),
    failed("it ends within an event", *streamed(says(delta(content=HELLO)), b'data: {"choi'), says="not JSON"),
    failed("it resets within a chunk", STARTED, b"fff\r\ndata: {", Reset(), says="broke off"),
    failed("it closes within a chunk", STARTED, b"fff\r\ndata: {", says="ended early"),
    failed("a chunk without a size", STARTED, b"xyz\r\nhello\r\n", says="not valid HTTP"),
    failed("a chunk's size without end", STARTED, Endless(b"0" * 999), says="too long"),
    failed("trailers without end", STARTED, b"0\r\n", Endless(b"x: y\r\n" * 99), says="too long"),
    failed("no JSON", STARTED, chunk(says("{not JSON")), Hang(), says="not JSON"),
    failed("JSON that is no object", STARTED, chunk(says([1])), Hang(), says="not a chat completion chunk"),
    failed("JSON nested deeply", STARTED, chunk(says('{"choices":' + "[" * 100_000)), Hang(), says="not JSON"),
    failed("an error in the stream", STARTED, chunk(says({"error": {"message": "out of luck", "code": 503}})), Hang(), says="out of luck", status=503),
    failed("an error in place of a stream", reply(200, {"error": {"message": "out of luck"}}), says="out of luck"),
    failed("a line without end", HEAD, Endless(chunk(b"data: " + b"x" * 500_000)), says="more than 67,108,864 bytes"),
    failed("JSON without end", HEAD, chunk(b"{"), Endless(chunk(b" " * 500_000)), says="more than 67,108,864 bytes"),
    failed("the end without a reason", *streamed(says(delta(content=HELLO), DONE)), says=CUT),
    failed("an unknown reason", *streamed(says(delta("exploded", content=HELLO), DONE)), says="'exploded'"),
    failed("only a second choice", *streamed(says({"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": "stop"}]}, DONE)), says=CUT),
    failed("a call without a name", *streamed(says(delta(tool_calls=[call(0, "c")]), delta("stop"), DONE)), says="never got a name"),
    failed("compression that is broken", reply(200, b"\x1f\x8b" + b"x" * 99, **GZIPPED), says="compression is broken"),
    failed("compression cut short", reply(200, gzip.compress(ANSWER)[:30], **GZIPPED), says="compression is broken"),
    failed("a bomb", reply(200, gzip.compress(b"data: " + bytes(200 << 20), 9), **GZIPPED), says="more than 67,108,864 bytes"),
    failed("a bomb in a bomb", reply(200, gzip.compress(gzip.compress(bytes(1 << 26), 9), 9), **(GZIPPED | {"content_encoding": "gzip, gzip"})), says="declined"),
]  # fmt: skip

SOUND = [
    fine("compressed although refused", reply(200, gzip.compress(ANSWER), **GZIPPED)),
    fine("deflated although refused", reply(200, zlib.compress(ANSWER), **(GZIPPED | {"content_encoding": "deflate"}))),
    fine("an encoding that is none", reply(200, ANSWER, **(GZIPPED | {"content_encoding": "utf-8"}))),
    fine("a wrong content type", reply(200, ANSWER, content_type="image/png")),
    fine("no stream", reply(200, {"choices": [{"message": {"content": HELLO}, "finish_reason": "stop"}]})),
    fine("until it closes", b"HTTP/1.1 200 OK\r\n\r\n" + ANSWER),
    fine("interim answers first", b"HTTP/1.1 103 X\r\nset-cookie: a=b\r\n\r\n", *WELL),
    fine("a redirect first", reply(307, location="/r/v1", connection="close"), then=(WELL,)),
    fine("text after the finish", STARTED, chunk(says(delta("stop"), delta(content="late"), delta(tool_calls=[call(0, "c", "f", "{}")]), USAGE, DONE)), LAST),
    fine("two finishes", STARTED, chunk(says(delta("stop"), delta("length"), USAGE, DONE)), LAST),
    fine("garbage after the finish", STARTED, chunk(says(delta("stop"), "garbage")), LAST),
    fine("a reset after the finish", STARTED, chunk(says(delta("stop"))), Reset()),
    fine("silence after the finish", STARTED, chunk(says(delta("stop"))), Hang()),
    fine("signs of life without end after the finish", STARTED, chunk(says(delta("stop"))), Endless(chunk(b": alive\n\n"))),
    fine("text without end after the finish", STARTED, chunk(says(delta("stop"))), Endless(chunk(says(delta(content="x"))))),
    fine("silence after the end", STARTED, chunk(OVER), Hang()),
    fine("text without end after the end", STARTED, chunk(OVER), Endless(chunk(says(delta(content="x"))))),
    fine("two answers", *WELL, *WELL),
    fine("two choices", *streamed(says({"choices": [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": HELLO}}]}), OVER)),
    fine("invalid UTF-8", *streamed(says(b'{"choices":[{"delta":{"content":"He\xff\xfellllo"}}]}'), OVER), says="He\ufffd\ufffdllllo"),
    fine("numbers that are none", *streamed(says('{"choices":[{"delta":{"content":"Hello"},"logprobs":{"content":[{"token":"a","logprob":NaN},{"token":"b","logprob":-Infinity}]}}],"created":NaN}'), says('{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":NaN,"completion_tokens":Infinity}}'), says(DONE))),
    fine("token counts beyond reason", *streamed(says(delta(content=HELLO)), says(delta("stop")), says(json.dumps(USAGE).replace("3", "9" * 4300).replace("2", "9" * 4300), DONE))),
    fine("calls on strange places", *streamed(says(delta(tool_calls=[call(10**9, "a", "f", "{}"), call(-1, "b", "f", "{}"), call(2**70, "c", "f", "{}"), call(10**9, "d", "f", "{}"), call(10**9, "d", "f", "{}")]), delta("tool_calls"), DONE)), says="", calls=4),
    fine("a megabyte in one piece", *streamed(says(delta(content="x" * (1 << 20))), OVER), says="x" * (1 << 20)),
    fine("ten thousand calls", *streamed(*many_calls(10_000), OVER), says="", calls=10_000),
    fine("nested where nobody looks", *streamed(says('{"choices":[{"delta":{"content":"Hello"}}],"x":%s}' % ("[" * 150 + "]" * 150)), OVER)),
    fine("cut by length", *streamed(says(delta("length", content=HELLO), USAGE, DONE)), ends="incomplete"),
]  # fmt: skip
TABLE = [*BEFORE, *WITHIN, *SOUND]
MOST_MEMORY = 192 << 20
"""Bytes that one answer may take: three times the largest event, which is held, joined and decoded."""
LEFT_MEMORY = 48 << 20
"""Bytes that may be left of it: less than the largest event; the system's own allocator keeps some."""
TOOLS = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]


def played(stage, kind, *scripts):
    """What came of it, with all that must hold whatever came."""
    stage.news()
    before = stage.memory
    counts = stage.begin_peak()
    stage.upstream.plays(*scripts)
    told = stage.ask(kind, tools=TOOLS)
    until(lambda: not stage.upstream.open)  # whoever has not closed by itself was left
    asked = len(stage.upstream.asked)
    assert not counts or stage.peak - before < MOST_MEMORY
    until(lambda: stage.memory - before < LEFT_MEMORY)
    said = stage.news()
    assert not [word for word in BAD_WORDS if word in said], said
    assert any(
        answers_well(stage) for _ in range(3)
    )  # a machine that is very busy may be too slow for the hasty one
    until(lambda: not stage.upstream.open)
    return told, asked


def answers_well(stage):
    stage.upstream.plays(WELL)
    response = stage.ask("plain").response
    return response is not None and text_of(response) == HELLO


def text_of(response):
    return "".join(
        part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"]
    )


def judge(fault, kind, told):
    """Whether what was told is what the table says, in the form in which it was asked for."""
    if fault.ends in ("completed", "incomplete"):
        response = told.response or told.events[-1]["response"]
        assert response["status"] == fault.ends
        assert text_of(response) == fault.says
        assert [item["type"] for item in response["output"] if item["type"] != "message"] == [
            "function_call"
        ] * fault.calls
        return
    if kind == "plain" or (fault.ends == "refused" and kind != "background"):
        assert told.status == fault.status
        error = told.error
    else:
        assert [event["type"] for event in told.events[-2:]] == ["error", "response.failed"]
        assert told.events[-1]["response"]["error"]["message"] == told.events[-2]["error"]["message"]
        error = told.events[-2]["error"]
    assert error["code"] == fault.code
    assert fault.says in error["message"]
    assert not set("\r\n\u2028\x00") & set(error["message"])
    assert KEY not in error["message"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", TABLE, ids=lambda fault: fault.name.replace(" ", "-"))
def test_a_fault_ends_as_the_table_says(request, fault, kind):
    waits = any(isinstance(step, Hang | Endless) for step in fault.script)
    stage = request.getfixturevalue("hasty" if waits else "stage")
    told, asked = played(stage, kind, fault.script, *fault.then)
    judge(fault, kind, told)
    assert asked == fault.asked + len(fault.then)
    if told.events is not None:
        assert sum(event["type"] in TERMINAL for event in told.events) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_upstream_that_is_away_was_never_asked(stage, kind):
    with stage.upstream.away():
        stage.upstream.plays(())
        told = stage.ask(kind)
    judge(refused("away", says="Cannot reach the upstream"), kind, told)
    assert stage.upstream.asked == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_upstream_that_takes_no_connections_is_not_waited_for_long(stage, kind):
    with stage.upstream.deaf():
        stage.upstream.plays(())
        told = stage.ask(kind)
    judge(refused("deaf", says="connecting took too long", status=504), kind, told)
    assert stage.upstream.asked == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_redirect_from_https_to_http_is_not_followed(secure, kind):
    with_key, plain = secure
    told, asked = played(with_key, kind, (leads(plain.url("/v1/chat/completions")),))
    judge(refused("", says="from https to http"), kind, told)
    assert (asked, plain.requests) == (1, [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_that_proves_nothing_ends_it_before_anything_is_sent(doubtful, kind):
    doubtful.upstream.plays(WELL)
    told = doubtful.ask(kind)
    judge(refused("", says="certificate is not trusted"), kind, told)
    assert doubtful.upstream.asked == []


SAID = {
    "set-cookie": "session=theirs",
    "openai-model": "theirs",
    "openai-organization": "theirs",
    "x-request-id": "theirs",
    "x-theirs": "theirs",
    "location": "https://evil.example/",
    "content-encoding": "identity",
    "connection": "close, x-theirs",
    "keep-alive": "timeout=1",
    "trailer": "x-theirs",
    "upgrade": "theirs",
    "www-authenticate": "Basic realm=theirs",
    "proxy-authenticate": "Basic realm=theirs",
    "alt-svc": "h3=theirs",
    "link": "<theirs>; rel=preload",
    "server": "theirs",
    "via": "theirs",
    "access-control-allow-origin": "*",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [200, 400, 500])
def test_no_header_of_the_upstream_reaches_a_client(stage, kind, status):
    lines = b"".join(f"{name}: {value}\r\n".encode() for name, value in SAID.items())
    head = b"HTTP/1.1 %d X\r\ntransfer-encoding: chunked\r\nretry-after-ms: 1\r\n" % status
    trailers = b"0\r\nset-cookie: session=theirs\r\n\r\n"
    told, _ = played(
        stage,
        kind,
        (b"HTTP/1.1 103 X\r\n" + lines + b"\r\n", head + lines + b"\r\n", chunk(ANSWER), trailers),
    )
    assert set(told.headers) <= RESPONSE_HEADERS
    assert "theirs" not in json.dumps(told.headers)
