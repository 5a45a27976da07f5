"""What is served where, and how faults look."""

import asyncio
import json
import sys
from types import SimpleNamespace

import httpx
import pytest
from http_fakes import FakeReply, FakeTurn, post, raw_request, serving, soon

from shim import __version__
from shim.errors import LONGEST_MESSAGE, LONGEST_PARAM, ClientFault, UpstreamFault
from shim.http import create_app
from shim.http.edge import tidy
from shim.http.logs import log_once
from shim.settings import Settings
from shim.store.faults import StoreFault

REQUEST = {"model": "gpt-5", "input": "Hi"}


async def test_a_whole_response_is_json_with_our_headers(serve, exchange):
    exchange.turns.append(FakeTurn(stream=False, body={"id": "resp_1", "text": "é"}))
    async with serve() as client:
        reply = await client.post("/v1/responses", json=REQUEST)
    assert reply.status_code == 200
    assert reply.json() == {"id": "resp_1", "text": "é"}
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["openai-version"] == "2020-10-01"
    assert int(reply.headers["openai-processing-ms"]) >= 0
    body, key, request_id = exchange.opened[0]
    assert (body, key) == (REQUEST, "sk-upstream")
    assert reply.headers["x-request-id"] == request_id
    assert len(request_id) == len("req_") + 32


async def test_the_request_id_is_ours_and_new_each_time(serve):
    async with serve() as client:
        replies = [await client.get("/healthz", headers={"x-request-id": "mine"}) for _ in range(2)]
    ids = {reply.headers["x-request-id"] for reply in replies}
    assert len(ids) == 2
    assert "mine" not in ids


async def test_nan_in_a_response_leaves_as_null(serve, exchange):
    exchange.turns.append(FakeTurn(stream=False, body={"temperature": float("nan")}))
    async with serve() as client:
        reply = await client.post("/v1/responses", json=REQUEST)
    assert reply.json() == {"temperature": None}


async def test_turn_headers_leave_in_one_safe_bounded_line_and_never_override_ours(serve, exchange):
    headers = {
        "X-Shim-Notes": "one\r\nset-cookie: a=b\n" + "é→" + "x" * 9000,
        "openai-model": "other",
        "Set-Cookie": "a=b",
        "x-request-id": "theirs",
        "content-type": "text/html",
        "bad name": "x",
    }
    exchange.turns += [FakeTurn(stream=stream, headers=headers) for stream in (True, False)]
    async with serve() as client:
        replies = [await client.post("/v1/responses", json=REQUEST) for _ in range(2)]
    for reply in replies:
        notes = reply.headers["x-shim-notes"]
        assert notes.startswith("one set-cookie: a=b é?x")
        assert len(notes) == 4096
        assert "openai-model" not in reply.headers
        assert "set-cookie" not in reply.headers
        assert reply.headers["x-request-id"].startswith("req_")
        assert "html" not in reply.headers["content-type"]


@pytest.mark.parametrize(
    "path", ["/v1/responses", "/responses", "/v1/v1/responses", "/v1/responses/", "//v1//responses//"]
)
async def test_responses_is_found_however_the_base_url_was_written(serve, exchange, path):
    async with serve() as client:
        url = str(client.base_url).rstrip("/") + path
        assert (await client.post(url, json=REQUEST)).status_code == 200
    assert len(exchange.opened) == 1


@pytest.mark.parametrize(
    ("path", "known"),
    [("/v1", "/"), ("", "/"), ("/v1/v1/v1/models/v1", "/models/v1"), ("/v1beta/models", "/v1beta/models")],
)
def test_tidy_takes_off_the_version_and_nothing_else(path, known):
    assert tidy(path) == known


async def test_a_fault_becomes_openai_s_error_body(serve, exchange):
    exchange.turns.append(ClientFault("Bad input.", param="input[0]", code="invalid_value"))
    async with serve() as client:
        reply = await client.post("/v1/responses", json=REQUEST)
    assert reply.status_code == 400
    assert reply.json() == {
        "error": {
            "message": "Bad input.",
            "type": "invalid_request_error",
            "param": "input[0]",
            "code": "invalid_value",
        }
    }
    assert "retry-after" not in reply.headers


async def test_an_error_is_short_whatever_it_quotes(serve, exchange):
    name = "n" * 100_000
    exchange.turns.append(ClientFault(f"There is no '{name}'.", param=f"metadata.{name}"))
    async with serve() as client:
        error = (await client.post("/v1/responses", json=REQUEST)).json()["error"]
    assert (len(error["message"]), len(error["param"])) == (LONGEST_MESSAGE, LONGEST_PARAM)
    assert error["message"].startswith("There is no 'nnn")
    assert error["message"].endswith("nnn'.")


@pytest.mark.parametrize(
    ("status", "retry_after", "header"),
    [(429, None, "1"), (429, 7, "7"), (503, 3, "3"), (503, None, None), (429, 0, "0")],
)
async def test_retry_after_is_a_whole_number_and_always_there_with_429(
    serve, exchange, status, retry_after, header
):
    exchange.turns.append(UpstreamFault("Later.", status=status, retry_after=retry_after))
    async with serve() as client:
        reply = await client.post("/v1/responses", json=REQUEST)
    assert reply.status_code == status
    assert reply.headers.get("retry-after") == header


async def test_a_fault_of_a_whole_response_has_its_status_and_closes_the_turn(serve, exchange):
    turn = FakeTurn(UpstreamFault("Cut.", status=502), stream=False)
    exchange.turns.append(turn)
    async with serve() as client:
        reply = await client.post("/v1/responses", json=REQUEST)
        await soon(turn.closed.wait())
    assert reply.status_code == 502
    assert turn.closings == 1


async def test_the_unexpected_is_logged_and_never_shown(serve, exchange, caplog):
    exchange.turns.append(ZeroDivisionError("secret detail"))
    async with serve() as client:
        reply = await client.post("/v1/responses", json=REQUEST)
    error = reply.json()["error"]
    assert reply.status_code == 500
    assert error["message"].startswith("The server had an error while processing your request.")
    assert reply.headers["x-request-id"] in error["message"]
    assert (error["type"], error["param"], error["code"]) == ("server_error", None, None)
    assert "secret detail" not in reply.text
    assert "secret detail" in caplog.text
    assert "Traceback" in caplog.text


async def test_the_doctor_s_head_is_answered_without_a_key(serve):
    async with serve(key=None) as client:
        reply = await client.head("/v1/responses")
    assert reply.status_code == 200
    assert reply.content == b""


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/responses", "HEAD, POST"),
        ("OPTIONS", "/v1/responses", "HEAD, POST"),
        ("DELETE", "/v1/models", "GET, HEAD"),
        ("GET", "/v1/chat/completions", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
async def test_a_method_that_is_not_served_is_405_with_allow(serve, method, path, allow):
    async with serve() as client:
        reply = await client.request(method, path)
    assert reply.status_code == 405
    assert reply.headers["allow"] == allow
    assert reply.json()["error"]["message"] == f"Not allowed to {method} on {path}."
    assert reply.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/foo"),
        ("POST", "/v1/files"),
        ("GET", "/v1/conversations/conv_1/other"),
        ("OPTIONS", "/nowhere"),
    ],
)
async def test_an_unknown_url_is_404_in_json(serve, method, path):
    async with serve() as client:
        reply = await client.request(method, path)
    assert reply.status_code == 404
    assert reply.json() == {
        "error": {
            "message": f"Invalid URL ({method} {path})",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/responses/resp_x"),
        ("DELETE", "/responses/resp_x"),
        ("POST", "/v1/responses/resp_x/cancel"),
        ("GET", "/v1/responses/resp_x/input_items?limit=3"),
    ],
)
async def test_no_response_is_stored(serve, method, path):
    async with serve() as client:
        reply = await client.request(method, path)
    assert reply.status_code == 404
    assert reply.json()["error"] == {
        "message": "Response with id 'resp_x' not found.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


async def test_models_serve_openai_s_clients_and_codex_in_one_body(serve):
    async with serve() as client:
        body = (await client.get("/v1/models?client_version=0.169.0")).json()
    assert [entry["id"] for entry in body["data"]] == ["code-prime", "lab/agent"]
    assert [entry["slug"] for entry in body["models"]] == ["code-prime", "lab/agent"]


async def test_one_model_is_found_by_its_name_with_a_slash_in_it(serve):
    async with serve() as client:
        plain = await client.get("/v1/models/lab/agent")
        escaped = await client.get("/v1/models/lab%2Fagent")
    assert plain.json()["id"] == "lab/agent"
    assert plain.json()["object"] == "model"
    assert escaped.json() == plain.json()


async def test_an_unknown_model_is_404_as_openai_says_it(serve):
    async with serve() as client:
        reply = await client.get("/v1/models/gpt-9")
    assert reply.status_code == 404
    assert reply.json()["error"]["message"] == "The model 'gpt-9' does not exist"
    assert reply.json()["error"]["code"] == "model_not_found"


async def test_models_need_no_upstream_key(serve, upstream):
    async with serve(key=None) as client:
        assert (await client.get("/v1/models")).status_code == 200
    assert upstream.catalogs == [None]


async def test_head_works_where_get_does(serve):
    async with serve() as client:
        replies = [await client.head(path) for path in ("/", "/healthz", "/v1/models")]
    assert [reply.status_code for reply in replies] == [200, 200, 200]
    assert all(reply.content == b"" for reply in replies)


async def test_chat_completions_pass_through_byte_for_byte(serve, upstream):
    body = b'{ "model":"gpt-5",  "odd": 1e2 }'
    upstream.reply = FakeReply((b'{"a": ', b"1 }\n"), status=418, content_type="application/vnd.x+json")
    async with serve() as client:
        reply = await client.post("/v1/chat/completions", content=body, headers={"accept": "a/b"})
    assert upstream.forwarded == [(body, "sk-upstream", "a/b")]
    assert (reply.status_code, reply.content) == (418, b'{"a": 1 }\n')
    assert reply.headers["content-type"] == "application/vnd.x+json"
    assert upstream.reply.closings == 1


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "nonsense", ""])
async def test_what_a_browser_would_render_is_passed_through_as_plain_text(serve, upstream, kind):
    upstream.reply = FakeReply((b"<script>",), content_type=kind)
    async with serve() as client:
        reply = await client.post("/v1/chat/completions", content=b"{}")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["x-content-type-options"] == "nosniff"


async def test_a_chat_stream_is_not_buffered_on_its_way(serve, upstream):
    gate = asyncio.Event()
    upstream.reply = FakeReply((b"data: 0\n\n", gate, b"data: 1\n\n"), content_type="text/event-stream")
    async with serve() as client, client.stream("POST", "/chat/completions", content=b"{}") as reply:
        pieces = reply.aiter_bytes()
        assert await soon(anext(pieces)) == b"data: 0\n\n"
        gate.set()
        assert await soon(anext(pieces)) == b"data: 1\n\n"
        assert reply.headers["x-accel-buffering"] == "no"


async def test_a_client_that_leaves_a_chat_stream_closes_the_upstream(serve, upstream):
    upstream.reply = FakeReply((b"data: 0\n\n", asyncio.Event()), content_type="text/event-stream")
    async with serve() as client:
        async with raw_request(client, post("/chat/completions", b"{}")):
            await soon(upstream.reply.waiting.wait())
        await soon(upstream.reply.closed.wait())
    assert upstream.reply.closings == 1


async def test_a_chat_stream_that_the_upstream_cuts_is_cut_here_too(serve, upstream, logged):
    upstream.reply = FakeReply((b"data: 0\n\n", UpstreamFault("Cut.")), content_type="text/event-stream")
    async with serve() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/chat/completions", content=b"{}")
        assert "200 broken" in await soon(logged.get())


async def test_an_unfinished_answer_is_no_error_of_the_server(serve, upstream, logged, caplog):
    upstream.reply = FakeReply((b"data: 0\n\n", UpstreamFault("Cut.")), content_type="text/event-stream")
    log_once()
    async with serve() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/chat/completions", content=b"{}")
        await soon(logged.get())
    assert [record.getMessage() for record in caplog.records if record.name == "uvicorn.error"] == []


async def test_a_chat_429_has_retry_after_too(serve, upstream):
    upstream.reply = FakeReply((b"{}",), status=429)
    async with serve() as client:
        reply = await client.post("/chat/completions", content=b"{}")
    assert reply.headers["retry-after"] == "1"


async def test_health_says_that_the_process_is_up(serve):
    async with serve() as client:
        assert (await client.get("/healthz")).json() == {"status": "ok", "version": __version__}


async def test_ready_needs_an_upstream_that_answers(serve, upstream):
    async with serve() as client:
        reply = await client.get("/readyz")
    assert reply.status_code == 200
    assert [(check["name"], check["ok"]) for check in reply.json()["checks"]] == [
        ("process", True),
        ("key", True),
        ("upstream", True),
        ("store", True),
        ("descriptors", True),
        ("requests", True),
    ]


@pytest.mark.parametrize(
    ("known", "reason"), [("fallback", "built-in list"), ("stale", "older list")], ids=["never", "before"]
)
async def test_not_ready_says_why(serve, upstream, known, reason):
    setattr(upstream, known, True)
    async with serve() as client:
        reply = await client.get("/readyz")
    assert (reply.status_code, reply.json()["status"]) == (503, "not ready")
    assert [check["name"] for check in reply.json()["checks"] if not check["ok"]] == ["upstream"]
    assert reason in reply.json()["checks"][2]["reason"]
    assert upstream.base_url not in reply.text


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_the_upstream_refuses_is_not_ready_and_it_is_the_key(serve, upstream, status):
    upstream.fallback, upstream.refused = True, {"sk-upstream": status}
    async with serve() as client:
        reply = await client.get("/readyz")
    assert reply.status_code == 503
    (failed,) = (check for check in reply.json()["checks"] if not check["ok"])
    assert (failed["name"], "refuses the key" in failed["reason"]) == ("key", True)
    assert "sk-upstream" not in reply.text


@pytest.mark.parametrize("fallback", [True, False])
async def test_an_upstream_that_lists_its_models_only_to_keys_is_ready_where_clients_bring_them(
    serve, upstream, fallback
):
    upstream.fallback, upstream.refused = fallback, {None: 401}
    async with serve(key=None) as client:
        reply = await client.get("/readyz")
    assert reply.status_code == 200
    assert "wants a key" in reply.json()["checks"][2]["reason"]


async def test_an_upstream_that_fails_the_key_otherwise_is_not_ready(serve, upstream):
    upstream.refused = {"sk-upstream": 429}
    async with serve() as client:
        reply = await client.get("/readyz")
    assert [check["name"] for check in reply.json()["checks"] if not check["ok"]] == ["upstream"]


async def test_a_store_that_fails_is_no_traffic_and_names_nothing(serve, exchange, monkeypatch):
    async def check():
        raise StoreFault("The store cannot be reached.", cause="secret.host")

    monkeypatch.setattr(exchange.store, "check", check)
    async with serve() as client:
        reply = await client.get("/readyz")
    assert reply.status_code == 503
    assert reply.json()["checks"][3] == {
        "name": "store",
        "ok": False,
        "reason": "The store cannot be reached.",
    }


async def test_few_descriptors_left_are_no_traffic(serve, monkeypatch):
    monkeypatch.setattr("shim.http.health.RESERVE", 10**9)
    async with serve() as client:
        reply = await client.get("/readyz")
    assert reply.status_code == 503
    assert [check["name"] for check in reply.json()["checks"] if not check["ok"]] == ["descriptors"]


async def test_probes_do_not_reach_the_upstream_each_time(serve, upstream):
    async with serve() as client:
        for _ in range(5):
            await client.get("/readyz")
    assert len(upstream.catalogs) == 1


async def test_the_root_says_what_this_is(serve):
    async with serve() as client:
        for path in ("/", "/v1"):
            assert (await client.get(path)).json()["name"] == "grid-responses-shim"


async def test_the_openapi_document_is_served(serve, monkeypatch):
    document = {"openapi": "3.1.0"}
    monkeypatch.setitem(sys.modules, "shim.wire.openapi", SimpleNamespace(document=lambda: document))
    async with serve() as client:
        assert (await client.get("/openapi.json")).json() == document


async def test_an_upstream_of_our_own_is_closed_with_the_application(monkeypatch, upstream):
    monkeypatch.setattr("shim.http.app.Upstream", lambda settings: upstream)
    async with serving(create_app(Settings(key="sk"))) as client:
        assert (await client.get("/readyz")).status_code == 200
        assert upstream.closings == 0
    assert upstream.closings == 1


def test_a_base_url_that_cannot_work_is_told_before_anything_listens():
    with pytest.raises(ValueError, match="URL"):
        create_app(Settings(upstream="http://user:secret@host/v1"))


async def test_what_was_given_is_not_closed_with_the_application(serve, upstream):
    async with serve():
        pass
    assert upstream.closings == 0


async def test_a_websocket_upgrade_is_refused_with_426_where_it_is_switched_off(serve):
    await _refuses_upgrade(serve, ws="auto")


async def test_an_upgrade_that_the_server_does_not_recognise_is_refused_with_426_as_well(serve):
    await _refuses_upgrade(serve, ws="none")


async def _refuses_upgrade(serve, ws):
    upgrade = (
        b"GET /v1/responses HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with serve(ws=ws, websocket=False) as client, raw_request(client, upgrade) as (reader, _):
        head = (await soon(reader.readuntil(b"\r\n\r\n"))).lower()
        assert head.startswith(b"http/1.1 426")
        assert b"x-request-id: req_" in head
        assert b"upgrade: http/1.1" in head
        body = await soon(reader.readuntil(b"}}"))
        assert json.loads(body)["error"]["code"] == "upgrade_required"


async def test_a_websocket_elsewhere_is_404(serve):
    upgrade = (
        b"GET /v1/realtime HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with serve() as client, raw_request(client, upgrade) as (reader, _):
        assert (await soon(reader.readline())).startswith(b"HTTP/1.1 404")


async def test_a_refused_websocket_leaves_the_way_open_for_plain_requests(serve):
    await _refuses_upgrade(serve, ws="auto")
    async with serve() as client:
        assert (await client.post("/v1/responses", json=REQUEST)).status_code == 200


async def test_a_path_that_is_only_where_the_application_is_mounted_is_none_of_its_own():
    async def send(message):
        sent.append(message)

    sent = []
    scope = {"type": "http", "method": "GET", "headers": [], "path": "/healthz", "root_path": "/healthz"}
    await create_app(Settings(key="sk"))(scope, None, send)
    assert sent[0]["status"] != 200
    sent.clear()
    await create_app(Settings(key="sk"))({**scope, "path": "/healthz/healthz"}, None, send)
    assert sent[0]["status"] == 200
