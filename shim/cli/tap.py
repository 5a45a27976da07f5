"""A recording hop between the shim and an upstream, for the demo: it shows what really went over the wire.

A plain threaded HTTP server that passes POST and GET on and keeps the last chat request and its SSE payloads. Not
for anything but loopback.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

HOP_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "date", "server"}
)


@dataclass
class Tap:
    """What went through.

    Attributes:
        base_url: Where the shim finds the upstream.
        request: The last chat request.
        payloads: The SSE payloads of its answer, `[DONE]` included.
        redirects: Answers that sent the shim elsewhere.
    """

    base_url: str = ""
    request: dict[str, Any] = field(default_factory=dict)
    payloads: list[str] = field(default_factory=list)
    redirects: list[str] = field(default_factory=list)


@contextmanager
def tap(upstream_url: str) -> Iterator[Tap]:
    """Listen in front of an upstream while the context is open."""
    parts = urlsplit(upstream_url)
    record = Tap()
    with httpx.Client(base_url=f"{parts.scheme}://{parts.netloc}", timeout=300) as client:
        handler = type("_BoundHandler", (_Handler,), {"tap": record, "client": client})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            server.daemon_threads = True
            thread = threading.Thread(
                target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
            )
            thread.start()
            record.base_url = f"http://127.0.0.1:{server.server_port}{parts.path}"
            try:
                yield record
            finally:
                server.shutdown()
                thread.join()


class _Handler(BaseHTTPRequestHandler):
    tap: Tap
    client: httpx.Client

    def log_message(self, *_: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        self._pass_on(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.tap.request = json.loads(body)
        self.tap.payloads.clear()
        self._pass_on(body)

    def _pass_on(self, body: bytes) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_HEADERS}
        with self.client.stream(self.command, self.path, content=body, headers=headers) as answer:
            if answer.is_redirect:
                self.tap.redirects.append(f"{answer.status_code} -> {answer.headers['location']}")
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name not in HOP_HEADERS and name != "content-encoding":
                    self.send_header(name, value)
            self.send_header("connection", "close")
            self.end_headers()
            for line in _lines(answer):
                self._keep(line)
                self.wfile.write(line)
                self.wfile.flush()
        self.close_connection = True

    def _keep(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self.tap.payloads.append(line.removeprefix(b"data:").strip().decode())


def _lines(answer: httpx.Response) -> Iterator[bytes]:
    """The body in lines as they arrive, ends kept."""
    rest = b""
    for data in answer.iter_bytes():
        *lines, rest = (rest + data).split(b"\n")
        yield from (line + b"\n" for line in lines)
    if rest:
        yield rest
