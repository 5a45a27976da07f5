"""What a client says beside its request stays here: the upstream gets the headers of the shim's own request and no others."""

import json

import pytest
from fault_stage import KEY, MODEL, WELL
from waiting import PATIENCE, until
from websockets.sync.client import connect

ALLOWED = {
    "accept",
    "accept-encoding",
    "authorization",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-request-id",
}
SAID = {
    "authorization": "Bearer of-the-client",
    "cookie": "session=of-the-client",
    "referer": "http://localhost/of-the-client",
    "user-agent": "of-the-client",
    "x-request-id": "of-the-client",
    "x-forwarded-for": "of-the-client",
    "forwarded": "for=of-the-client",
    "via": "1.1 of-the-client",
    "from": "of-the-client@example.com",
    "te": "trailers",
    "keep-alive": "timeout=of-the-client",
    "proxy-authorization": "Basic of-the-client",
    "proxy-connection": "of-the-client",
    "openai-organization": "of-the-client",
    "openai-project": "of-the-client",
    "openai-beta": "of-the-client",
    "x-stainless-lang": "of-the-client",
    "x-api-key": "of-the-client",
    "traceparent": "of-the-client",
    "range": "bytes=0-1",
    "x-of-the-client": "1",
}
BODY = {"model": MODEL, "input": "hi"}


def over_http(path="/responses", **fields):
    def asking(stage):
        connection = {"connection": "keep-alive, x-of-the-client"}
        return stage.shim.http.post(path, json={**BODY, **fields}, headers=SAID | connection).status_code

    return asking


def over_websocket(stage):
    url = f"ws://127.0.0.1:{stage.shim.port}/v1/responses"
    said = {name: value for name, value in SAID.items() if name != "user-agent"}
    with connect(url, proxy=None, additional_headers=said) as ws:
        ws.send(json.dumps({"type": "response.create", **BODY}))
        while json.loads(ws.recv(PATIENCE))["type"] != "response.completed":
            pass
    return 200


KINDS = {
    "plain": over_http(),
    "stream": over_http(stream=True),
    "background": over_http(background=True, stream=True),
    "websocket": over_websocket,
    "compact": over_http("/responses/compact"),
    "chat": over_http("/chat/completions"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_header_of_a_client_reaches_the_upstream(stage, kind):
    stage.upstream.plays(WELL)
    before = len(stage.upstream.peer.requests)
    assert KINDS[kind](stage) == 200
    until(lambda: not stage.upstream.open)
    sent = stage.upstream.peer.requests[before:]
    assert sent
    for request in sent:
        assert request.headers.keys() <= ALLOWED
        assert "of-the-client" not in json.dumps([request.path, request.headers])
        assert request.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("accept", ["text/plain\x85x: y", "a, \xff", "*/*;q=\x7f", "x" * 8000])
def test_what_a_client_accepts_is_told_to_the_upstream_in_one_header(stage, accept):
    """The only header of a client that goes on, where chat is passed through."""
    stage.upstream.plays(WELL)
    before = len(stage.upstream.peer.requests)
    stage.shim.http.post("/chat/completions", json={}, headers={"accept": accept.encode("latin-1")})
    for request in stage.upstream.peer.requests[before:]:
        assert request.headers.keys() <= ALLOWED
        assert request.headers["accept"] in (accept, "*/*")
    until(lambda: not stage.upstream.open)
