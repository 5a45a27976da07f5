"""The shim on a socket: in the foreground for `serve`, on a thread for `demo` and `codex`."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import ssl
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from shim.ambient import monotonic
from shim.cli.catalog import bad_base_url
from shim.cli.options import authenticates
from shim.cli.problem import Problem
from shim.cli.process import admit, settle
from shim.cli.quiet import Quiet, give_back
from shim.hosts import is_loopback
from shim.seal_keys import with_its_secrets
from shim.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import FrameType

    from pydantic import SecretStr

    from shim.http.app import Application
    from shim.http.services import Services
    from shim.settings import Settings
    from shim.store import ResponseStore

    Opening = Callable[[Settings], Awaitable[ResponseStore]]

log = logging.getLogger("shim.server")

LAST_SECONDS = 2
"""Time to tell those whose time to drain is over, and again for their connections to close."""

TICK_SECONDS = 0.05
"""How often a server that drains looks whether it may end."""

PING_SECONDS = 20
"""Silence on a WebSocket after which a ping is sent: proxies cut connections that look idle."""

PONG_SECONDS = 300
"""Time to answer a ping: simple clients read, and so answer, only while they wait for a turn."""

HANG_UP: int | None = getattr(signal, "SIGHUP", None)
"""A terminal was closed; Windows has no such signal."""

HURRY: int | None = getattr(signal, "SIGUSR1", None)
"""With which a parent gives its workers no more time. `SIGTERM` may come to them twice: many send it to all of a group."""

ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, so that a taken port is known before anything else is started.

    Raises:
        Problem: The address cannot be used; it says what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise _bind_problem(error, host, port) from None
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does not, for a socket made so
    return listening


def _bind_problem(error: OSError, host: str, port: int) -> Problem:
    if error.errno == errno.EADDRINUSE:
        return Problem(
            f"Port {port} is already in use on {host}.",
            f"stop the program that has it, or take another port: --port {port % 65535 + 1} (--port 0 takes a free one).",
        )
    if error.errno == errno.EACCES:
        return Problem(
            f"Port {port} needs rights that you do not have.", "take a port above 1023, with --port."
        )
    return Problem(
        f"Cannot listen on {host}: {error.strerror or error}.",
        "give an address of this machine with --host, such as 127.0.0.1.",
    )


def base_url(listening: socket.socket, scheme: str = "http") -> str:
    """What clients on this machine configure, such as `http://127.0.0.1:4000/v1`."""
    host, port = listening.getsockname()[:2]
    return url_of(host, port, scheme)


def url_of(host: str, port: int, scheme: str = "http") -> str:
    """The base URL under which a listener on `host` is reached from this machine."""
    shown = ANY_ADDRESS.get(host) or (f"[{host}]" if ":" in host else host)
    return f"{scheme}://{shown}:{port}/v1"


def check_exposure(settings: Settings, listening: socket.socket) -> None:
    """Refuse to serve whoever comes by: beyond this machine, clients must show who they are.

    The socket's own address counts: a name may lead anywhere. A Unix domain socket is guarded by its file's mode.

    Raises:
        Problem: The socket can be reached from elsewhere, and the settings ask clients for nothing.
    """
    if listening.family not in (socket.AF_INET, socket.AF_INET6) or is_loopback(listening.getsockname()[0]):
        return
    if authenticates(settings) or settings.allow_anonymous:
        return
    raise Problem(
        f"Listening on {settings.host} without client tokens: whoever reaches it could spend with the key.",
        f"set client_tokens ({PREFIX}CLIENT_TOKENS), or listen on 127.0.0.1; behind a proxy that authenticates, set "
        f"allow_anonymous = true ({PREFIX}ALLOW_ANONYMOUS).",
    )


def prepare(settings: Settings, opening: Opening | None = None) -> uvicorn.Config:
    """The endpoint with its server's configuration; nothing is started.

    Args:
        settings: The endpoint's.
        opening: How its store is opened, if not as the application does by itself.

    Raises:
        Problem: The settings do not go together; it says which and how to mend them.
    """
    from shim.http import create_app  # noqa: PLC0415 -- slow to import, and not needed to refuse a taken port
    from shim.http.guards import Misconfigured  # noqa: PLC0415
    from shim.http.heads import BoundedProtocol  # noqa: PLC0415
    from shim.http.logs import log_once  # noqa: PLC0415
    from shim.store import open_store  # noqa: PLC0415
    from shim.upstream.urls import normalise_base_url  # noqa: PLC0415

    admit()
    settings = with_named_secrets(settings)
    try:
        normalise_base_url(settings.base_url)
        app = create_app(settings, opening=opening or open_store)
    except Misconfigured as error:
        raise Problem(str(error), f"set {settings.preset.key_variable}, or drop the client tokens.") from None
    except ValueError as error:
        raise bad_base_url(error) from None
    log_once()
    _check_certificate(settings)
    return uvicorn.Config(
        app,
        loop="auto",
        http=cast("type[asyncio.Protocol]", partial(BoundedProtocol, limits=settings)),
        ws=cast("type[asyncio.Protocol]", partial(_web_socket, limits=settings)),
        ws_max_size=settings.max_body_bytes,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PONG_SECONDS,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks for the client's address
        timeout_keep_alive=cast("int", settings.idle_seconds),  # the event loop takes fractions
        timeout_graceful_shutdown=LAST_SECONDS,
        ssl_certfile=settings.ssl_certfile,
        ssl_keyfile=settings.ssl_keyfile,
        ssl_keyfile_password=_revealed(settings.ssl_keyfile_password),
        ssl_ca_certs=settings.ssl_ca_certs,
        ssl_cert_reqs=ssl.CERT_REQUIRED if settings.ssl_ca_certs else ssl.CERT_NONE,
    )


def _web_socket(**named: Any) -> asyncio.Protocol:
    from shim.http.draining import DrainingProtocol  # noqa: PLC0415 -- a library of its own, which many never need

    return DrainingProtocol(**named)


def with_named_secrets(settings: Settings) -> Settings:
    """The settings with what the file of secrets holds that they name, if they name one: it may be a pipe, read but once.

    Raises:
        Problem: It is not there, or holds no secrets.
    """
    if settings.seal_key_file is None or settings.seal_key is not None:
        return settings
    try:
        return with_its_secrets(settings)
    except OSError as error:
        file = settings.seal_key_file
        absent = isinstance(error, FileNotFoundError)
        raise Problem(
            f"Setting seal_key_file is wrong: {error.strerror or error}.",
            f"grid-shim seal rotate --seal-key-file {file} makes it." if absent else f"mend {file}.",
        ) from None


def _check_certificate(settings: Settings) -> None:
    """Read the files of TLS once, as the server will.

    Raises:
        Problem: They are not there, not PEM, or do not fit together.
    """
    if settings.ssl_certfile is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    password = _revealed(settings.ssl_keyfile_password) or ""  # else OpenSSL would ask for it on the terminal
    try:
        context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile, password)
        if settings.ssl_ca_certs:
            context.load_verify_locations(settings.ssl_ca_certs)
    except OSError as error:  # ssl.SSLError is one
        raise Problem(
            f"The certificate cannot be used: {error.strerror or error}.",
            "check ssl_certfile, ssl_keyfile, ssl_keyfile_password and ssl_ca_certs: PEM files that fit together.",
        ) from None


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


class _Server(uvicorn.Server):
    """Uvicorn's server, which tells when it accepts, and lets background work end while streams do.

    It opens the store before the application starts: uvicorn would log a traceback, where there is a problem to tell.
    """

    def __init__(
        self, settings: Settings, accepting: Callable[[], None], *, alone: Callable[[], bool] | None = None
    ) -> None:
        """Prepare; nothing is started.

        Args:
            settings: The endpoint's.
            accepting: Called once clients are answered.
            alone: For one of several workers: whether it is to end while others serve. It is its parent that passes on
                Ctrl-C, which all of a terminal hear, and second signals.

        Raises:
            Problem: The settings do not go together; it says which and how to mend them.
        """
        self._settings = settings
        self._accepting = accepting
        self._alone = alone
        self._store: ResponseStore | None = None
        self._quiet = Quiet()
        super().__init__(prepare(settings, self._opened))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn's own, which at its end sends a signal again, upon which nothing more is done."""
        from shim.http.logs import finish_logging  # noqa: PLC0415 -- there by now

        further = [HANG_UP] if self._alone is None else [HANG_UP, HURRY]
        ours = [one for one in further if one is not None and signal.getsignal(one) == signal.SIG_DFL]
        for number in ours:  # those that somebody ignores stay so: nohup
            signal.signal(number, self.handle_exit)
        with super().capture_signals():
            try:
                yield
            finally:
                finish_logging()
                for number in ours:
                    signal.signal(number, signal.SIG_DFL)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        from shim.cli import storing  # noqa: PLC0415 -- slow to import, and not needed to refuse a taken port

        self._store = await storing.opened(self._settings)
        await super().startup(sockets)
        if self.started:
            self._accepting()

    async def on_tick(self, counter: int) -> bool:
        """See uvicorn; ten times a second."""
        services = self._services
        busy = bool(services.slots.busy) or services.background.busy
        if self._quiet.notice(services.slots.total, monotonic(), busy=busy):
            give_back()
        return await super().on_tick(counter)

    async def _opened(self, _: Settings) -> ResponseStore:
        assert self._store is not None  # noqa: S101 -- `startup` has opened it
        return self._store

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, a second one of any kind ends at once."""
        if self._alone is None:
            self.force_exit = self.should_exit
        elif sig == HURRY:
            self.force_exit = self.should_exit = True
        if sig not in (HURRY, None if self._alone is None else signal.SIGINT):
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let what runs end, refuse what is new in words, and only then stop to listen."""
        from shim.http.heads import BoundedProtocol  # noqa: PLC0415 -- there by now

        leaving = self._services.leaving
        leaving.begun = True
        if self._alone is not None and self._alone():
            self._stop_listening()  # what is new goes to the others, or to who takes the port next
        background = self._services.background
        working = background.busy  # those who follow its work may hear its end
        left = background.leave()
        for connection in list(self.server_state.connections):
            idle = isinstance(connection, BoundedProtocol) and connection.idle
            if not idle:  # such a client may be asking right now: it is refused in words
                connection.shutdown()
        grace = self._settings.drain_seconds + (background.drain_seconds if working else 0)
        await self._drained(left, grace)
        if self.force_exit:
            background.hurry()
            self.force_exit = False  # what is left takes no time, and must not be left out
        leaving.over = True
        if running := list(self.server_state.tasks):
            log.warning("%d requests are cut off: the time to drain is over", len(running))
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=LAST_SECONDS)
        self._stop_listening()
        await asyncio.sleep(TICK_SECONDS)  # those who came in last are refused in words, too
        await super().shutdown(sockets)

    def _stop_listening(self) -> None:
        for server in self.servers:
            server.close()

    async def _drained(self, left: asyncio.Task[None], seconds: float) -> None:
        """Wait for requests and background work to end, but not longer than this, nor after a second signal."""
        deadline = monotonic() + seconds
        while (self.server_state.tasks or not left.done()) and not self.force_exit:
            if monotonic() >= deadline:
                break
            await asyncio.sleep(TICK_SECONDS)

    @property
    def _services(self) -> Services:
        return cast("Application", self.config.app).services


def serve_forever(
    settings: Settings,
    listening: socket.socket,
    announce: Callable[[], None],
    *,
    alone: Callable[[], bool] | None = None,
) -> None:
    """Serve until the process, which is ours, is asked to end; `announce` is called once clients are answered.

    `alone` is for one of several workers: whether it is to end while others serve.

    Raises:
        Problem: The endpoint cannot start.
    """
    from shim.http.logs import configure_logging  # noqa: PLC0415

    def accepting() -> None:
        settle()
        announce()

    configure_logging(settings)
    _Server(settings, accepting, alone=alone).run(sockets=[listening])


class _Threaded(_Server):
    """The server without signal handlers."""

    def __init__(self, settings: Settings) -> None:
        self.settled = threading.Event()
        self.problem = Problem("The endpoint did not start.", "run grid-shim serve, which shows why.")
        super().__init__(settings, self.settled.set)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def serve_on_thread(self, listening: socket.socket) -> None:
        try:
            with asyncio.Runner(loop_factory=self.config.get_loop_factory()) as runner:
                runner.run(self.serve([listening]))
        except Problem as problem:
            self.problem = problem
        finally:
            self.settled.set()


@contextmanager
def in_thread(settings: Settings, listening: socket.socket) -> Iterator[str]:
    """Serve on a thread while the context is open; yields the base URL.

    Raises:
        Problem: The endpoint did not start.
    """
    with listening:
        check_exposure(settings, listening)
        server = _Threaded(settings)
        thread = threading.Thread(
            target=server.serve_on_thread, args=[listening], name="grid-shim", daemon=True
        )
        thread.start()
        server.settled.wait()
        if not server.started:
            raise server.problem
        try:
            yield base_url(listening, settings.scheme)
        finally:
            server.should_exit = True
            thread.join()
