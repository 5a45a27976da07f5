"""A real browser, and a site of somebody else's for it to visit.

The site's page runs `attack.js` and tells the site what came of it; there is no driver in between. With `rebind`, the
site's name leads to the victim after the page has loaded, as when the owner of a name changes its address: the
browser sends the victim what it takes for requests to the site.
"""

import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue

SCRIPT = Path(__file__).with_name("attack.js")
SECONDS = 45  # until a visit has failed
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
)


def find_browser():
    """The path of Chromium or its like, None without one."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


def command(profile, *arguments):
    return [find_browser(), *FLAGS, f"--user-data-dir={profile}", *arguments]


def environment(profile):
    return {**os.environ, "HOME": str(profile)}


def document(url, profile):
    """What the browser shows after its user has typed a URL."""
    done = subprocess.run(
        command(profile, "--dump-dom", url),
        env=environment(profile),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    return done.stdout


class Site:
    """Somebody else's web site, on a port of its own: one page, and what its script has reported."""

    def __init__(self, port, reports, switch):
        self.port = port
        self._reports = reports
        self._switch = switch

    def visit(self, profile, victim, *, name="127.0.0.1", rebind=False):
        """Open the page under `name` in a fresh browser; what each of its attempts could read.

        Args:
            profile: A folder for the browser.
            victim: Base URL of what is attacked.
            name: The site's name.
            rebind: Whether the name then leads to the victim.
        """
        port = self._switch.port if rebind else self.port
        query = f"victim={'/v1' if rebind else victim}&report=http://127.0.0.1:{self.port}/report"
        log = Path(profile) / "browser.log"
        with (
            log.open("wb") as out,
            subprocess.Popen(
                command(
                    profile, "--remote-debugging-port=0", f"http://{name}:{port}/?{query}&rebind={rebind:d}"
                ),
                env=environment(profile),
                stdout=out,
                stderr=out,
                start_new_session=True,
            ) as process,
        ):
            try:
                return self._reports.get(timeout=SECONDS)
            except Empty:
                raise AssertionError(f"The page reported nothing.\n{log.read_text()[-3000:]}") from None
            finally:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def foreign_site(victim_port):
    """A site that is served while the context is open."""
    reports = SimpleQueue()
    with ExitStack() as stack:
        pages = stack.enter_context(_serving(ThreadingHTTPServer(("127.0.0.1", 0), _handler(reports))))
        switch = _Switch(pages.server_port, victim_port)
        stack.enter_context(_serving(switch))
        yield Site(pages.server_port, reports, switch)


@contextmanager
def _serving(server):
    server.daemon_threads = True
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _handler(reports):
    page = b"<!doctype html><title>site</title><body><script>" + SCRIPT.read_bytes() + b"</script>"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path.startswith("/?") else 404)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def do_POST(self):
            said = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()
            reports.put(json.loads(said))

        def log_message(self, *_):
            pass

    return Handler


class _Switch(socketserver.ThreadingTCPServer):
    """A port that leads to one server until `GET /rebind` comes by, and to another from then on."""

    def __init__(self, first, then):
        super().__init__(("127.0.0.1", 0), _Forward)
        self.port = self.server_address[1]
        self.target, self._then = first, then

    def rebind(self):
        self.target = self._then


class _Forward(socketserver.BaseRequestHandler):
    """One connection, byte for byte."""

    def handle(self):
        first = self.request.recv(1 << 16)
        if first.startswith(b"GET /rebind "):
            self.server.rebind()
            self.request.sendall(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.server.target)) as onward:
            onward.sendall(first)
            back = threading.Thread(target=_pipe, args=(onward, self.request), daemon=True)
            back.start()
            _pipe(self.request, onward)
            back.join()


def _pipe(source, sink):
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other side is gone
