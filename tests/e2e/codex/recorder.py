"""An endpoint that keeps what Codex sends and answers nothing else: for requests that are to be sent again."""

import http.server
import json
import threading
from contextlib import contextmanager

REFUSAL = json.dumps({"error": {"message": "Recorded.", "code": "invalid_prompt"}}).encode()
"""With this code Codex ends the turn at once."""


@contextmanager
def recorder():
    """Yields the base URL and the list of request bodies."""
    bodies = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(400)
            self.send_header("content-length", str(len(REFUSAL)))
            self.end_headers()
            self.wfile.write(REFUSAL)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", bodies
        finally:
            server.shutdown()
            thread.join()
