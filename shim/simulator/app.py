"""The ASGI application: The Grid's routes, its front door, and the supplier behind the redirect.

Here is the order of things: key, faults, form, instrument, redirect, structure, context, answer. What each of
them means is in the neighbouring modules.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from shim.simulator import dialect as wire
from shim.simulator.config import Failure, SimulatorConfig, Turn
from shim.simulator.errors import USUAL_WORDS, RefusedError, enveloped, from_failure, overflow
from shim.simulator.instruments import CATALOGUE, Instrument, listing
from shim.simulator.journal import Journal, Received, redacted
from shim.simulator.model import default_turn
from shim.simulator.reply import Reply, ReplyOptions, Timing
from shim.simulator.settle import Accounts, Asked, settle
from shim.simulator.strictness import check
from shim.simulator.tokens import estimate, grouped_bytes

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from shim.simulator.config import Dialect, Hop, JsonObject
    from shim.simulator.dialect import Said
    from shim.simulator.reply import Ending

CHAT_PATH = "/v1/chat/completions"
SUPPLIER_PATH = f"/r{CHAT_PATH}"
REALISTIC = Timing(headers=0.15, first=0.35, pause=0.02)
_EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_OK = 200


def create_simulator(config: SimulatorConfig | None = None) -> Starlette:
    """A simulated Grid as an ASGI application.

    Cuts and resets need a connection to cut, so serve it with `running` or `run_in_thread`; the journal is
    `app.state.grid.journal`.
    """
    grid = Grid(config or SimulatorConfig())
    app = Starlette(
        routes=[
            Route("/v1/models", grid.models),
            Route("/v1/models/{id:path}", grid.model),
            Route(CHAT_PATH, grid.front, methods=["POST"]),
            Route(SUPPLIER_PATH, grid.supplier, methods=["POST"]),
        ],
        exception_handlers={HTTPException: grid.unrouted},
    )
    app.router.redirect_slashes = False
    app.state.grid = grid
    return app


@dataclass
class Grid:
    """One simulated Grid: its configuration and what it remembers.

    Attributes:
        config: What it was told.
        journal: What it received.
        supplier_url: Where the `port` redirect leads; the server sets it.
    """

    config: SimulatorConfig
    journal: Journal = field(default_factory=Journal)
    supplier_url: str | None = None
    _accounts: Accounts = field(default_factory=Accounts)

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`: public."""
        return _json_reply(await self._received(request, "front"), listing())

    async def model(self, request: Request) -> Response:
        """`GET /v1/models/{id}`: public."""
        received = await self._received(request, "front")
        try:
            return _json_reply(received, _instrument(request.path_params["id"]).entry())
        except RefusedError as refused:
            return self._refusal(received, refused)

    async def front(self, request: Request) -> Response:
        """The endpoint that clients know."""
        received = await self._received(request, "front")
        try:
            return self._at_front(received, request)
        except RefusedError as refused:
            return self._refusal(received, refused)

    async def supplier(self, request: Request) -> Response:
        """The endpoint that a redirect leads to."""
        received = await self._received(request, "supplier")
        try:
            return self._at_supplier(received, request)
        except RefusedError as refused:
            return self._refusal(received, refused)

    async def unrouted(self, request: Request, error: Exception) -> Response:
        """Wrong paths and methods, in The Grid's envelope."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        received = await self._received(request, "front")
        return self._refusal(received, RefusedError(status, _usual_words(status), "grid"))

    def _at_front(self, received: Received, request: Request) -> Response:
        self._admit(received, request)
        instrument = _instrument(received.body["model"])
        if self.config.redirect != "none":
            return self._redirect(received, request, SUPPLIER_PATH)
        self._fail("supplier")
        return self._serve(received, Asked(received.body, instrument, _key(request)))

    def _at_supplier(self, received: Received, request: Request) -> Response:
        self._admit(received, request)
        if self.config.redirect == "loop":
            return self._redirect(received, request, CHAT_PATH)
        asked = Asked(received.body, _instrument(received.body["model"]), _key(request))
        return self._serve(received, asked)

    async def _received(self, request: Request, hop: Hop) -> Received:
        received = Received(
            method=request.method,
            path=request.url.path,
            hop=hop,
            headers=redacted(request.headers),
            raw=await request.body(),
        )
        received.body = _json_or_none(received.raw)
        self.journal.append(received)
        return received

    def _admit(self, received: Received, request: Request) -> None:
        """Refuse wrong keys, requests that a fault waits for, and bodies without form."""
        key = _key(request)
        if not key or key.startswith("trading-") or (self.config.keys and key not in self.config.keys):
            raise RefusedError(401, USUAL_WORDS[401], "grid")
        self._fail(received.hop)
        _check_form(received)

    def _fail(self, hop: Hop) -> None:
        """Take the next fault, if one is due at this hop."""
        queue = self.config.fail_first
        if queue and _as_failure(queue[0]).at == hop:
            raise from_failure(_as_failure(queue.pop(0)))
        always = self.config.always_fail
        if always is not None and _as_failure(always).at == hop:
            raise from_failure(_as_failure(always))

    def _redirect(self, received: Received, request: Request, path: str) -> Response:
        location = (
            path if self.config.relative_location else f"{request.url.scheme}://{request.url.netloc}{path}"
        )
        if self.config.redirect == "port":
            location = self.config.redirect_url or f"{self.supplier_url}{path}"
        headers = {"location": location, "content-length": "0"}
        return Reply(received, self.config.redirect_status, [], headers)

    def _refusal(self, received: Received, refused: RefusedError) -> Response:
        if refused.status == 0:
            return Reply(received, 0, [], {}, ReplyOptions(ending="reset"))
        kind, body = enveloped(refused, self.config.envelope)
        return Reply(received, refused.status, [body], {**_sized(kind, body), **refused.headers})

    def _serve(self, received: Received, asked: Asked) -> Response:
        """Answer as the supplier."""
        if self.config.strict:
            check(asked.request, asked.instrument, self.config)
        self._check_context(asked)
        turn = self._next_turn(asked)
        received.served = True
        if turn.status != _OK or turn.body is not None:
            return self._raw(received, turn)
        dialect = _for_turn(turn.dialect or self.config.dialect, turn)
        said = settle(turn, asked, dialect, self._accounts)
        if asked.request.get("stream") and not dialect.ignores_stream:
            return self._stream(received, said, dialect, turn)
        return self._completion(received, said, dialect, turn)

    def _check_context(self, asked: Asked) -> None:
        limit = self.config.context_limit or asked.instrument.prompt_limit
        tokens = estimate([asked.request["messages"], asked.request.get("tools")])
        if tokens > limit:
            raise overflow(self.config.overflow_wording, tokens, limit)

    def _next_turn(self, asked: Asked) -> Turn:
        if not self.config.turns:
            return default_turn(asked.request, asked.instrument)
        turn = self.config.turns.pop(0)
        while turn.respond is not None:
            turn = turn.respond(asked.request)
        return turn

    def _raw(self, received: Received, turn: Turn) -> Response:
        kind, body = _raw_body(turn, self.config)
        headers = {**_sized(kind, body), **turn.headers}
        return Reply(received, turn.status, [body], headers, ReplyOptions(Timing(turn.delay), turn.hold))

    def _completion(self, received: Received, said: Said, dialect: Dialect, turn: Turn) -> Response:
        body = json.dumps(wire.completion(said, dialect), ensure_ascii=False).encode("utf-8", "surrogatepass")
        headers = {**_sized("application/json", body), **turn.headers}
        was_cut = dialect.cut_after is not None
        parts = [body[: len(body) // 2]] if was_cut else [body]
        return Reply(received, _OK, parts, headers, self._options(dialect, turn))

    def _stream(self, received: Received, said: Said, dialect: Dialect, turn: Turn) -> Response:
        frames = wire.frames(wire.chunks(said, dialect), dialect)
        parts = grouped_bytes(frames, dialect.bytes_per_write)
        return Reply(received, _OK, parts, {**_EVENT_STREAM, **turn.headers}, self._options(dialect, turn))

    def _options(self, dialect: Dialect, turn: Turn) -> ReplyOptions:
        base = REALISTIC if self.config.pacing == "realistic" else Timing()
        timing = Timing(
            headers=base.headers + dialect.headers_late + turn.delay,
            first=base.first + dialect.first_chunk_late,
            pause=base.pause + dialect.chunk_pause,
        )
        is_abrupt = (
            dialect.cut_after is not None and dialect.cut == "abrupt" and dialect.error_in_stream is None
        )
        ending: Ending = "reset" if turn.reset else "abrupt" if is_abrupt else "complete"
        return ReplyOptions(timing, turn.hold, ending)


def _json_reply(received: Received, body: JsonObject) -> Response:
    raw = json.dumps(body).encode()
    return Reply(received, _OK, [raw], _sized("application/json", raw))


def _usual_words(status: int) -> str:
    return USUAL_WORDS.get(status, "Error.")


def _key(request: Request) -> str:
    """The bearer key, or nothing."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _json_or_none(raw: bytes) -> Any:
    try:
        return json.loads(raw, parse_constant=_no_constant)
    except ValueError:
        return None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check_form(received: Received) -> None:
    """Refuse what is not a JSON object with a model and messages."""
    kind = received.headers.get("content-type", "")
    if kind.partition(";")[0].strip() != "application/json":
        raise RefusedError(400, f"content-type must be application/json, not {kind!r}.", "grid")
    if not isinstance(received.body, dict) or not _is_unicode(received.body):
        raise RefusedError(400, "The body is not a JSON object of valid Unicode.", "grid")
    if not isinstance(received.body.get("model"), str):
        raise RefusedError(422, "model: must be a string.", "grid", "model")
    messages = received.body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise RefusedError(422, "messages: must be a list of objects, at least one.", "grid", "messages")


def _is_unicode(body: JsonObject) -> bool:
    r"""Whether no string holds half of a surrogate pair: strict JSON parsers refuse a lone `\ud83d`."""
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _instrument(name: str) -> Instrument:
    if name not in CATALOGUE:
        raise RefusedError(404, f"Instrument '{name}' not found.", "grid", "model")
    return CATALOGUE[name]


def _as_failure(fault: int | Failure) -> Failure:
    return Failure(fault) if isinstance(fault, int) else fault


def _for_turn(dialect: Dialect, turn: Turn) -> Dialect:
    """The dialect with the turn's own faults."""
    if turn.cut_after is not None:
        dialect = replace(dialect, cut_after=turn.cut_after)
    if turn.error_in_stream is not None:
        dialect = replace(dialect, error_in_stream=turn.error_in_stream)
    return dialect


def _raw_body(turn: Turn, config: SimulatorConfig) -> tuple[str, bytes]:
    match turn.body:
        case None:
            return enveloped(RefusedError(turn.status, _usual_words(turn.status)), config.envelope)
        case bytes():
            return "application/octet-stream", turn.body
        case str():
            return "text/plain; charset=utf-8", turn.body.encode()
        case _:
            return "application/json", json.dumps(turn.body).encode()


def _sized(kind: str, body: bytes) -> JsonObject:
    return {"content-type": kind, "content-length": str(len(body))}
