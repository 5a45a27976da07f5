"""The upstream's key stays between the endpoint and its upstream, whatever that says back.

An endpoint that keeps what it answers, and logs all that it can, in front of an upstream that repeats the key wherever it may:
looked for in every byte that a client receives, in the log, and in the store's files.
"""

import json

import httpx
import pytest
from fault_stage import (
    DONE,
    KEY,
    KINDS,
    OVER,
    STARTED,
    WELL,
    Hang,
    Reset,
    delta,
    running,
    says,
    streamed,
)
from upstream_loopback import HEAD, chunk, redirect, reply
from waiting import until

from shim.settings import SECRETS, Settings

SAID = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": KEY, "type": KEY, "param": KEY}}
IN_HEADERS = {
    "connection": "close",
    "x_key": KEY,
    "www_authenticate": f"Bearer {KEY}",
    "location": f"/?{KEY}",
}
ECHOES = {
    "well": WELL,
    "in headers": (reply(200, b"", **IN_HEADERS, content_type="text/event-stream").replace(b"content-length: 0\r\n", b"") + OVER,),
    "in a refusal": (reply(400, SAID, **IN_HEADERS),),
    "in a refusal of the key": (reply(401, SAID, **IN_HEADERS),),
    "in the Grid's refusal": (reply(402, {"errors": {"detail": f"{KEY} has no credits"}}, retry_after="99"),),
    "in a refusal of the model": (reply(404, SAID, **IN_HEADERS),),
    "in plain text": (reply(422, f"Authorization: Bearer {KEY}"),),
    "in a failure, repeated": (reply(500, SAID, retry_after_ms="1", connection="close"),),
    "in a web page": (reply(503, f"<title>{KEY}</title>", content_type="text/html", retry_after_ms="1", connection="close"),),
    "in a status line": (f"HTTP/1.1 400 {KEY}\r\ncontent-length: 0\r\n\r\n".encode(),),
    "in a redirect": (redirect(f"http://{KEY}:{KEY}@{KEY}.invalid/{KEY}"),),
    "in a redirect's name": (redirect(f"https://{KEY}.invalid/{KEY}"),),
    "in an error within": (STARTED, chunk(says(SAID)), Hang()),
    "in a reason": (*streamed(says(delta(KEY, content="x"), DONE)),),
    "in no JSON": (STARTED, chunk(says(f"{{{KEY}")), Hang()),
    "in an encoding": (reply(200, b"x", content_encoding=f"gzip, {KEY}, br"),),
    "in a length": (f"HTTP/1.1 200 OK\r\ncontent-length: {KEY}\r\n\r\n".encode(),),
    "in a chunk's size": (HEAD, f"{KEY}\r\n".encode()),
    "in a broken body": (STARTED, Reset()),
}  # fmt: skip


@pytest.fixture(scope="module")
def loud(tmp_path_factory):
    """One that keeps and logs all that it can; the key is nowhere when all is over."""
    folder = tmp_path_factory.mktemp("loud")
    store = folder / "store.db"
    with running(
        folder,
        store=f"sqlite:///{store}",
        log_level="debug",
        log_format="json",
        read_seconds=5,
        retry_attempts=2,
    ) as stage:
        yield stage, folder
    for file in folder.iterdir():
        assert KEY.encode() not in file.read_bytes(), file.name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("echo", ECHOES)
def test_the_key_is_told_to_nobody(loud, kind, echo):
    stage, folder = loud
    stage.upstream.plays(ECHOES[echo])
    told = stage.ask(kind)
    until(lambda: not stage.upstream.open)
    everything = json.dumps([told.error, told.headers, told.events, told.response]).encode() + told.raw
    assert KEY.encode() not in everything
    assert told.error or told.events or told.response
    for file in folder.iterdir():
        assert KEY.encode() not in file.read_bytes(), file.name


@pytest.mark.parametrize(
    "echo",
    [
        name
        for name in ECHOES
        if name not in ("in headers", "in an error within", "in no JSON", "in a reason")
    ],
)
def test_nor_where_chat_is_passed_through(loud, echo):
    """But for good answers, which nobody reads on their way."""
    stage, _ = loud
    stage.upstream.plays(ECHOES[echo])
    try:
        answer = stage.shim.http.post("/chat/completions", json={"model": "code-prime", "messages": []})
    except httpx.TransportError:
        return  # broken off as the upstream's was
    assert KEY not in f"{answer.headers} {answer.text}"


def test_the_key_goes_upstream_in_one_header_and_no_referer_with_it(loud):
    stage, _ = loud
    asked = stage.upstream.peer.requests
    stage.upstream.plays((reply(307, location="/elsewhere", connection="close"),), WELL)
    stage.ask("plain")
    for request in asked:
        holding = [name for name, value in request.headers.items() if KEY in value]
        assert holding in (["authorization"], []), holding
        assert not {"referer", "origin", "cookie", "from"} & request.headers.keys()
        assert KEY not in request.path
        assert KEY.encode() not in request.body
    assert any(request.path == "/elsewhere" for request in asked)


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/openapi.json", "/v1/models", "/v1/nothing"])
def test_no_page_of_the_endpoint_shows_it(loud, path):
    stage, _ = loud
    answer = httpx.get(f"http://127.0.0.1:{stage.shim.port}{path}", trust_env=False)
    assert KEY not in f"{answer.headers} {answer.text}"


def test_settings_show_no_secret_however_they_are_printed():
    secret = "sk-grid-0123456789"
    given = dict.fromkeys(SECRETS, secret) | {
        "ssl_certfile": "c.pem",
        "store": f"postgresql://me:{secret}@db/x",
    }
    settings = Settings(**given)
    shown = [repr(settings), str(settings), f"{settings}", repr(settings.__dict__ | {"store": ""})]
    shown.append(settings.model_dump_json(exclude={"store"}))
    assert not [text for text in shown if secret in text]
