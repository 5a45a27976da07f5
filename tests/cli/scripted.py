"""A scripted Responses endpoint on loopback: records what Codex asks and answers with fixed text or a call."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Item = dict[str, Any]

ANSWER: Item = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Done."}],
}


@dataclass
class Scripted:
    """What to answer, and what was asked."""

    catalog: dict[str, Any]
    turns: list[list[Item]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    gets: list[str] = field(default_factory=list)
    base_url: str = ""

    def events(self) -> list[dict[str, Any]]:
        items = self.turns.pop(0) if self.turns else [ANSWER]
        done = [{"type": "response.output_item.done", "item": item} for item in items]
        return [
            {"type": "response.created", "response": {"id": "resp_1"}},
            *done,
            {"type": "response.completed", "response": {"id": "resp_1"}},
        ]


@contextmanager
def scripted(catalog: dict[str, Any]) -> Iterator[Scripted]:
    """Serve on a free port until the block ends."""
    script = Scripted(catalog)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def reply(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            script.gets.append(self.path)
            self.reply("application/json", json.dumps(script.catalog).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            script.requests.append(json.loads(body) | {"_authorization": self.headers["authorization"]})
            stream = "".join(f"data: {json.dumps(event)}\n\n" for event in script.events())
            self.reply("text/event-stream", stream.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    script.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
