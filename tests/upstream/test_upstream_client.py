import asyncio
import logging
import ssl

import httpx
import pytest
from upstream_loopback import (
    HEAD,
    KEY,
    Naps,
    chunk,
    hang_up,
    redirect,
    reply,
    reset,
    serving,
    silent,
    sse,
    upstream,
)

from shim.errors import ClientFault, Fault, UpstreamFault
from shim.settings import Settings
from shim.upstream import Upstream
from shim.upstream.dialing import HandshakeFailed, ProxyAway, Untrusted
from shim.upstream.http1 import Dropped, Undelivered
from shim.upstream.troubles import broken, refused

URL = httpx.URL("https://host/v1")


async def opened(
    server, *, naps: Naps | None = None, body: bytes = b'{"model":"x"}', **settings
) -> list[list[str]]:
    up = upstream(server.url(), naps, **settings)
    try:
        async with await up.open(body, KEY) as stream:
            return [read async for read in stream]
    finally:
        await up.aclose()


async def failing(server, kind: type[Fault] = UpstreamFault, **settings) -> Fault:
    with pytest.raises(kind) as caught:
        await opened(server, **settings)
    return caught.value


async def test_payloads_of_one_read_come_together():
    async with serving(sse("a", "b", "[DONE]")) as server:
        assert await opened(server) == [["a", "b", "[DONE]"]]


async def test_an_answer_that_is_no_stream_is_one_payload():
    async with serving(reply(200, '{"choices":\n []}', content_type="application/json")) as server:
        assert await opened(server) == [['{"choices":\n []}']]


async def test_a_web_page_means_a_wrong_base_url():
    async with serving(reply(200, "<html>", content_type="text/html; charset=utf-8")) as server:
        assert "base URL looks wrong" in (await failing(server)).message


async def test_a_large_body_arrives_whole_each_time():
    body = bytes(range(256)) * (3 << 12)
    async with serving(reply(503), redirect("/r"), sse("a")) as server:
        assert await opened(server, body=body) == [["a"]]
    assert [request.body == body for request in server.requests] == [True] * 3
    assert "transfer-encoding" not in server.requests[0].headers


@pytest.mark.parametrize("status", [402, 408, 409, 429, 500, 502, 503, 529])
async def test_what_may_pass_is_tried_again(status):
    naps = Naps()
    async with serving(reply(status), reply(status), sse("a")) as server:
        assert await opened(server, naps=naps) == [["a"]]
    assert naps.taken == ([1.0, 2.0] if status in {402, 503} else [0.5, 1.0])


async def test_a_retry_is_logged_without_key_or_body(caplog):
    caplog.set_level(logging.INFO, "shim.upstream")
    async with serving(reply(429, f"secret {KEY}", retry_after="2"), sse("a")) as server:
        await opened(server)
    assert [record.message for record in caplog.records if record.name == "shim.upstream"] == [
        "attempt 1 of 4: HTTP 429; again in 2.00 s"
    ]


async def test_the_upstreams_wait_is_kept_and_its_error_given_at_the_end():
    naps = Naps()
    async with serving(reply(429, {"errors": {"detail": "slow down"}}, retry_after="1.5")) as server:
        fault = await failing(server, naps=naps)
    assert naps.taken == [1.5, 1.5, 1.5]
    assert (fault.message, fault.status, fault.code, fault.retry_after) == (
        "slow down",
        429,
        "rate_limit_exceeded",
        2,
    )


async def test_a_wait_beyond_the_budget_is_left_to_the_client():
    naps = Naps()
    async with serving(reply(429, retry_after="31")) as server:
        fault = await failing(server, naps=naps)
    assert (naps.taken, fault.retry_after, len(server.requests)) == ([], 31, 1)


async def test_an_empty_balance_that_stays_is_a_quota():
    async with serving(reply(402, {"errors": {"detail": "no tokens"}})) as server:
        fault = await failing(server)
    assert (fault.status, fault.code, fault.retry_after, len(server.requests)) == (
        429,
        "insufficient_quota",
        60,
        4,
    )


@pytest.mark.parametrize("status", [400, 401, 403, 422, 504])
async def test_what_cannot_pass_is_not_tried_again(status):
    async with serving(reply(status, {"errors": {"detail": "no"}})) as server:
        await failing(server, Fault)
    assert len(server.requests) == 1


async def test_an_echoed_key_never_comes_back():
    async with serving(reply(401, {"error": {"message": f"bad key {KEY}", "code": KEY}})) as server:
        fault = await failing(server, ClientFault)
    assert KEY not in f"{fault} {fault.body}"
    assert "Consumption key" in fault.message


async def test_an_unknown_model_is_answered_with_what_there_is():
    models = reply(200, {"data": [{"id": "code-max"}]})
    async with serving(reply(404, {"errors": {"detail": "Not Found"}}), models) as server:
        fault = await failing(server, ClientFault)
    assert fault.message == "The model 'x' does not exist. Available: code-max."


@pytest.mark.parametrize("body", [b"no json", b"[]", b'{"model":3}'])
async def test_a_wrong_path_names_the_base_url(body):
    async with serving(reply(404, "<html><title>404</title></html>")) as server:
        fault = await failing(server, body=body)
        assert server.url("/v1/chat/completions") in fault.message


async def test_a_broken_error_body_is_taken_as_far_as_it_came(monkeypatch):
    monkeypatch.setattr("shim.upstream.client.ERROR_SECONDS", 0.05)
    head = b"HTTP/1.1 400 X\r\ncontent-length: 100\r\n\r\nonly this"
    async with serving(head) as server:
        assert (await failing(server, ClientFault)).message == "only this"

    async def cut(_, writer):
        writer.write(head)
        writer.close()

    async with serving(cut) as server:
        assert (await failing(server, ClientFault)).message == "only this"


async def test_an_endless_error_body_is_cut(monkeypatch):
    monkeypatch.setattr("shim.upstream.client.ERROR_BYTES", 100)
    async with serving(reply(400, "x" * 100_000)) as server:
        assert (await failing(server, ClientFault)).message == "x" * 100


async def test_a_refused_connection_is_tried_again_and_named():
    async with serving(sse("a")) as server:
        pass
    naps = Naps()
    fault = await failing(server, naps=naps)
    assert len(naps.taken) == 3
    assert fault.message == f"Cannot reach the upstream at {server.url('')}: connection refused."
    assert fault.status == 502


@pytest.mark.parametrize("loss", [hang_up, reset])
async def test_a_request_that_was_sent_and_lost_is_not_repeated(loss):
    async with serving(loss) as server:
        fault = await failing(server)
    assert len(server.requests) == 1
    assert fault.message.startswith("Lost the upstream at http://127.0.0.1")


async def test_a_kept_connection_that_breaks_within_the_answer_is_not_repeated():
    async def begin(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nconten")
        await writer.drain()
        writer.close()

    async with serving(sse("a"), begin, sse("b")) as server:
        up = upstream(server.url())
        async with await up.open(b"{}", KEY) as stream:
            assert [read async for read in stream] == [["a"]]
        with pytest.raises(UpstreamFault, match="Lost"):
            await up.open(b"{}", KEY)
        await up.aclose()
    assert len(server.requests) == 2


async def test_no_first_byte_in_time_is_a_504_and_not_repeated():
    async with serving(silent) as server, asyncio.timeout(5):
        fault = await failing(server, header_seconds=0.5)
    assert (fault.status, len(server.requests)) == (504, 1)
    assert fault.message.endswith("no answer in time.")


async def test_time_spent_waiting_for_a_connection_was_not_spent_upstream():
    async def stall(_, writer):
        writer.write(HEAD)

    naps = Naps()
    async with serving(stall) as server:
        up = upstream(server.url(), naps, max_connections=1, header_seconds=0.1, retry_attempts=2)
        async with await up.open(b"{}", KEY):
            with pytest.raises(UpstreamFault, match="all connections are busy") as caught:
                await up.open(b"{}", KEY)
        await up.aclose()
    assert (caught.value.status, len(naps.taken), len(server.requests)) == (504, 1, 1)


async def test_an_accept_header_that_no_request_can_carry_is_left_out():
    async with serving(reply(200)) as server:
        up = upstream(server.url())
        async with await up.forward(b"{}", KEY, "text/\xe9"):
            pass
        await up.aclose()
    assert server.requests[0].headers["accept"] == "*/*"


async def test_silence_within_the_answer_is_a_504():
    async def stall(_, writer):
        writer.write(HEAD + chunk(b"data: a\n\n"))

    async with serving(stall) as server:
        up = upstream(server.url(), read_seconds=0.05, header_seconds=100)
        async with await up.open(b"{}", KEY) as stream, asyncio.timeout(5):
            assert await stream.read() == ["a"]
            with pytest.raises(UpstreamFault, match="no answer in time") as caught:
                await stream.read()
        await asyncio.wait_for(server.client_left.wait(), 5)
        await up.aclose()
    assert caught.value.status == 504


async def test_what_goes_on_is_taken_ahead_but_not_within_an_event():
    async def talk(_, writer):
        for data in (b'data: ["a"]\n\n', b'data: ["b"]\n\n', b'data: ["c"]\n\ndata: ', b'data: ["d"]\n\n'):
            writer.write((HEAD if not taken else b"") + chunk(data))
            taken.append(b"-")
            await asyncio.wait_for(go_on.acquire(), 5)

    taken, go_on = [], asyncio.Semaphore(0)

    def take(data):
        if not (data.startswith(around.begin) and data.endswith(around.end)):
            return False
        taken.append(data[len(around.begin) : -len(around.end)])
        go_on.release()
        return True

    async with serving(talk) as server:
        up = upstream(server.url())
        async with await up.open(b"{}", KEY) as stream, asyncio.timeout(5):
            assert await stream.read() == ['["a"]']
            go_on.release()
            around = stream.around('["', '"]')
            assert await stream.read(take) == ['["c"]']
            go_on.release()
            assert await stream.read(take) == ['data: ["d"]']
            go_on.release()
        await up.aclose()
    assert taken == [b"-", b"-", b"b", b"-", b"-"]


async def test_an_answer_cut_in_its_middle_gives_what_came_and_then_a_fault():
    async def cut(_, writer):
        writer.write(HEAD + chunk(b"data: a\n\n"))
        await writer.drain()
        writer.close()

    async with serving(cut) as server:
        up = upstream(server.url())
        async with await up.open(b"{}", KEY) as stream:
            assert await stream.read() == ["a"]
            with pytest.raises(UpstreamFault, match="broke off"):
                await stream.read()
        await up.aclose()


@pytest.mark.parametrize("ends", [True, False])
async def test_after_done_nothing_that_happens_matters(monkeypatch, ends):
    monkeypatch.setattr("shim.upstream.stream.LINGER_SECONDS", 0.05)

    async def leave_open(_, writer):
        writer.write(HEAD + chunk(b"data: [DONE]\n\n"))
        await writer.drain()
        if ends:
            writer.close()

    async with serving(leave_open) as server:
        assert await opened(server) == [["[DONE]"]]


async def test_signs_of_life_after_done_keep_nobody_waiting(monkeypatch):
    monkeypatch.setattr("shim.upstream.stream.LINGER_SECONDS", 0.1)

    async def chatter(_, writer):
        writer.write(HEAD + chunk(b"data: [DONE]\n\n"))
        while True:
            writer.write(chunk(b": still here\n\n"))
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(chatter) as server:
        assert await asyncio.wait_for(opened(server), 5) == [["[DONE]"]]


async def test_an_event_without_end_is_a_fault_and_closes():
    async def endless(_, writer):
        writer.write(HEAD + chunk(b"data: " + b"x" * 200))

    async with serving(endless) as server:
        assert "more than 100 bytes" in (await failing(server, max_event_bytes=100)).message


async def test_leaving_early_closes_the_connection_at_once():
    async def stall(_, writer):
        writer.write(HEAD + chunk(b"data: a\n\n"))

    async with serving(stall) as server:
        up = upstream(server.url())
        async with await up.open(b"{}", KEY) as stream:
            async for _ in stream:
                break
        await asyncio.wait_for(server.client_left.wait(), 5)
        await stream.aclose()
        await up.aclose()


async def test_a_cancelled_reader_closes_the_connection_at_once():
    async def stall(_, writer):
        writer.write(HEAD + chunk(b"data: a\n\n"))

    began = asyncio.Event()

    async def read(up):
        async with await up.open(b"{}", KEY) as stream:
            async for _ in stream:
                began.set()

    async with serving(stall) as server:
        up = upstream(server.url())
        reader = asyncio.create_task(read(up))
        await began.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await asyncio.wait_for(server.client_left.wait(), 5)
        await up.aclose()


async def test_a_request_cancelled_before_its_answer_closes_the_connection():
    async with serving(silent) as server:
        up = upstream(server.url())
        request = asyncio.create_task(up.open(b"{}", KEY))
        await server.arrived.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await asyncio.wait_for(server.client_left.wait(), 5)
        await up.aclose()


async def test_closing_from_another_task_ends_the_reading_quietly():
    async def stall(_, writer):
        writer.write(HEAD + chunk(b"data: a\n\n"))

    began = asyncio.Event()
    found = []

    async def read(stream):
        async for payloads in stream:
            found.append(payloads)
            began.set()

    async with serving(stall) as server:
        up = upstream(server.url())
        stream = await up.open(b"{}", KEY)
        reader = asyncio.create_task(read(stream))
        await began.wait()
        await asyncio.sleep(0)
        await stream.aclose()
        await reader
        await up.aclose()
    assert found == [["a"]]


async def test_an_answer_read_to_its_end_gives_its_connection_back():
    async with serving(sse("a", "[DONE]")) as server:
        up = upstream(server.url())
        for _ in range(3):
            async with await up.open(b"{}", KEY) as stream:
                assert [read async for read in stream] == [["a", "[DONE]"]]
        await up.aclose()
    assert server.connections == 1


async def test_a_cookie_for_one_client_is_never_sent_for_another():
    async with serving(reply(200, "data: a\n\n", set_cookie="session=1; Path=/")) as server:
        up = upstream(server.url())
        for _ in range(2):
            async with await up.open(b"{}", KEY):
                pass
        await up.aclose()
    assert all("cookie" not in request.headers for request in server.requests)


async def test_a_request_passes_through_as_it_is():
    async with serving(redirect("/r"), reply(503), reply(201, b"\x00raw\xff", content_type="x/y")) as server:
        up = upstream(server.url())
        async with await up.forward(b"as it is", KEY, "x/y") as raw:
            assert (raw.status, raw.content_type, raw.attempts) == (201, "x/y", 2)
            assert b"".join([part async for part in raw]) == b"\x00raw\xff"
        await up.aclose()
    assert server.requests[-1].body == b"as it is"
    assert server.requests[-1].headers["accept"] == "x/y"


async def test_a_refusal_of_a_passed_request_is_a_fault():
    async with serving(reply(400, {"errors": {"detail": "no"}})) as server:
        up = upstream(server.url())
        with pytest.raises(ClientFault, match="no"):
            await up.forward(b"{}", KEY, None)
        await up.aclose()


async def test_a_request_id_that_no_header_can_carry_is_left_out():
    async with serving(sse("a")) as server:
        up = upstream(server.url())
        async with await up.open(b"{}", None, request_id="a\r\nb"):
            pass
        await up.aclose()
    assert "x-request-id" not in server.requests[0].headers
    assert "authorization" not in server.requests[0].headers


def test_an_unusable_base_url_is_refused_at_the_start():
    with pytest.raises(ValueError, match="in clear"):
        Upstream(Settings(upstream="http://api.thegrid.ai"))


async def test_a_request_is_sent_with_these_lines_in_this_order():
    """Over connections of our own and over another transport alike."""
    wanted = [
        ("host", "127.0.0.1:1"),
        ("accept-encoding", "identity"),
        ("user-agent", "grid-responses-shim"),
        ("content-type", "application/json"),
        ("accept", "text/event-stream, application/json"),
        ("authorization", f"Bearer {KEY}"),
        ("x-request-id", "req_1"),
        ("content-length", "4"),
    ]
    asked = []

    def answer(request):
        asked.append((request.method, request.url.path, request.headers.raw, request.content))
        return httpx.Response(200, text="data: a\n\n")

    up = Upstream(Settings(upstream="http://127.0.0.1:1/v1"), transport=httpx.MockTransport(answer))
    async with await up.open(b"{  }", f" Bearer {KEY}", request_id="req_1"):
        pass
    raw = [(name.encode(), value.encode()) for name, value in wanted]
    assert asked == [("POST", "/v1/chat/completions", raw, b"{  }")]
    async with serving(sse("a")) as server:
        up = upstream(server.url())
        async with await up.open(b"{  }", f" Bearer {KEY}", request_id="req_1"):
            pass
        await up.aclose()
    (sent,) = server.requests
    assert (sent.method, sent.path, sent.body) == ("POST", "/v1/chat/completions", b"{  }")
    assert [*sent.headers.items()] == [("host", f"127.0.0.1:{server.port}"), *wanted[1:]]


@pytest.mark.parametrize("evil", ["a\rb", "a\nb", "a\r\nx-evil: b", "a\0b"])
async def test_an_accept_that_would_end_its_line_is_not_sent(evil):
    async with serving(reply(200)) as server:
        up = upstream(server.url())
        with pytest.raises(UpstreamFault, match="line break or NUL"):
            await up.forward(b"{}", KEY, evil)
        await up.aclose()
    assert not server.requests


async def test_another_transport_can_take_the_place_of_connections():
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text="data: a\n\n"))
    up = Upstream(Settings(upstream="https://host"), transport=transport)
    async with await up.open(b"{}", KEY) as stream:
        assert [read async for read in stream] == [["a"]]
    await up.aclose()


async def test_a_proxy_of_the_environment_is_used_and_never_for_loopback(monkeypatch):
    async with serving(sse("a")) as proxy, serving(sse("b")) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url("").removeprefix("http://"))
        assert await opened(server) == [["b"]]
        up = upstream("http://upstream.example:81/v1")
        async with await up.open(b"{}", KEY) as stream:
            assert [read async for read in stream] == [["a"]]
        await up.aclose()
    assert proxy.requests[0].path == "http://upstream.example:81/v1/chat/completions"


async def test_no_proxy_is_honoured(monkeypatch):
    async with serving(sse("a")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url(""))
        monkeypatch.setenv("NO_PROXY", "upstream.invalid")
        up = upstream("http://upstream.invalid/v1")
        with pytest.raises(UpstreamFault, match=r"http://upstream\.invalid: its name cannot be resolved"):
            await up.open(b"{}", KEY)
        await up.aclose()
    assert not proxy.requests


async def test_a_socks_proxy_is_named_as_what_does_not_work(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    up = upstream("https://upstream.example/v1")
    with pytest.raises(UpstreamFault, match="SOCKS"):
        await up.open(b"{}", KEY)
    await up.aclose()


def trouble(error: Exception, *, kept: bool = False):
    return refused(error, URL, kept=kept)


CERTIFICATE = ssl.SSLCertVerificationError("self signed")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "again", "status", "message"),
    [
        (caused(httpx.ConnectError("x"), OSError(111, "x")), True, 502, "connection refused"),
        (caused(httpx.ConnectError("x"), OSError("Multiple: [Errno 113] x")), True, 502, "no route"),
        (caused(Untrusted("x"), CERTIFICATE), False, 502, "certificate is not trusted"),
        (caused(HandshakeFailed("x"), ssl.SSLError(1, "bad")), True, 502, "TLS handshake failed: bad"),
        (caused(ProxyAway("x"), OSError(111, "x")), True, 502, "proxy cannot be reached: connection refused"),
        (httpx.ProxyError("HTTP 407"), False, 502, "proxy refused: HTTP 407"),
        (Dropped("it closed the connection"), False, 502, "closed the connection"),
        (Undelivered("it closed the connection"), True, 502, "closed the connection"),
        (caused(Dropped("x"), ConnectionResetError(104, "x")), False, 502, "connection reset"),
        (caused(httpx.ReadError("x"), ssl.SSLError(1, "bad record")), False, 502, "bad record"),
        (httpx.ConnectError("down\x00"), True, 502, "down"),
        (httpx.ConnectTimeout(""), True, 504, "connecting took too long"),
        (httpx.PoolTimeout(""), True, 504, "busy"),
        (httpx.ReadTimeout(""), False, 504, "no answer"),
        (httpx.RemoteProtocolError(""), False, 502, "RemoteProtocolError"),
        (httpx.InvalidURL("x"), False, 502, "not valid"),
        (TimeoutError(), False, 504, "no answer"),
        (BrokenPipeError(), False, 502, "BrokenPipeError"),
    ],
)
def test_each_trouble_has_its_words_and_only_unsent_requests_are_repeated(error, again, status, message):
    found = trouble(error)
    assert (found.again, found.fault.status) == (again, status)
    assert message in found.fault.message
    assert "https://host" in found.fault.message
    assert message.split()[0] in broken(error, URL).message


def test_only_a_kept_connection_that_ended_before_the_request_came_is_replaced_at_once():
    assert trouble(Undelivered(""), kept=True).at_once
    assert not trouble(Undelivered("")).at_once
    assert not trouble(Dropped(""), kept=True).again
    assert not trouble(httpx.ReadError(""), kept=True).again
