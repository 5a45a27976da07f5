"""What an upstream says beside its answer stays with us: it sets no cookie and opens nothing to web pages."""

import httpx
import pytest
from grammar import RESPONSE_HEADERS

from shim.cli import server
from shim.settings import Settings
from shim.simulator import DEFAULT_KEY, SimulatorConfig, Turn, run_in_thread

SAID = {
    "set-cookie": "session=theirs",
    "access-control-allow-origin": "*",
    "access-control-allow-credentials": "true",
    "location": "https://evil.example/",
    "refresh": "0; url=https://evil.example/",
    "clear-site-data": "*",
    "strict-transport-security": "max-age=1",
    "server": "theirs",
    "x-request-id": "theirs",
    "x-theirs": "1",
}
TURNS = {
    "an answer": Turn(text="hello", headers=SAID),
    "a page": Turn(body="<script>alert(1)</script>", headers=SAID | {"content-type": "text/html"}),
    "an error": Turn(
        status=400, body="<script>alert(1)</script>", headers=SAID | {"content-type": "text/html"}
    ),
}
ASKED = {
    "responses": {"model": "code-prime", "input": "hi"},
    "chat/completions": {"model": "code-prime", "messages": [{"role": "user", "content": "hi"}]},
}


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("turn", TURNS)
def test_no_header_of_the_upstream_reaches_the_client(path, stream, turn):
    with run_in_thread(SimulatorConfig(turns=[TURNS[turn]])) as grid:
        settings = Settings(upstream=grid.base_url, key=DEFAULT_KEY, store="off", retry_attempts=1)
        with server.in_thread(settings, server.bind("127.0.0.1", 0)) as base_url:
            body = ASKED[path] | {"stream": stream}
            reply = httpx.post(f"{base_url}/{path}", json=body, trust_env=False)
    assert set(reply.headers) <= RESPONSE_HEADERS
    assert reply.headers["x-request-id"] != "theirs"
    assert "html" not in reply.headers["content-type"]
