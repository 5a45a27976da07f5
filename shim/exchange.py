"""One request from translation to last byte; every transport shares it.

`Exchange.open` translates a request and waits until the upstream has accepted it: before that every fault is an HTTP
status. A `Turn` then pumps chunk -> delta -> event: after the first event every fault is an event too. Streamed or
not, the same pump makes the response.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from pydantic_core import to_json

from shim.ambient import Ambient, monotonic
from shim.core.assembler import Assembler, Shape
from shim.core.deltas import DONE, ChunkReader, Used, parse_chunk
from shim.core.echo import response_template
from shim.core.profile import OPENAI_FAMILIES, Instrument
from shim.core.request import Aliases, Target, Translation, to_chat
from shim.core.source import Source
from shim.core.sse import encode
from shim.core.validation import read_request
from shim.errors import Fault, cut_stream, invalid
from shim.seal import Sealer, kept_secret
from shim.settings import Settings, data_directory
from shim.upstream import Catalog, ChatStream, Upstream
from shim.upstream.keys import scrub
from shim.wire.base import Json
from shim.wire.chat import ChatRequest
from shim.wire.events import Event
from shim.wire.request import CreateResponse
from shim.wire.response import Response

log = logging.getLogger("shim.exchange")

NOTES_HEADER = "x-shim-notes"


@dataclass
class Summary:
    """What the log says of one request. Token counts are None until upstream has told them."""

    model: str
    served_model: str | None = None
    items: int = 0
    outcome: str = "in_progress"
    error_code: str | None = None
    first_token_ms: float | None = None
    total_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    attempts: int = 1
    notes: tuple[str, ...] = ()


@dataclass
class Turn:
    """One model turn that the upstream has accepted (it answered 2xx)."""

    stream: bool
    summary: Summary
    chat: ChatStream
    reader: ChunkReader
    assembler: Assembler
    began: float
    headers: Mapping[str, str] = field(default_factory=dict)
    scrub: Callable[[Fault], Fault] = lambda fault: fault
    """Takes the upstream's key out of what the upstream said."""
    broken: bool = False
    """Whether the upstream's stream broke: then nothing more is read from it."""

    @property
    def fault(self) -> Fault | None:
        """Why the response failed, if it did."""
        return self.assembler.fault

    @property
    def final(self) -> Response | None:
        """The response once it has ended."""
        return self.assembler.final

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """`created` and `in_progress` at once, then the events of one upstream read after the other.

        Ends after exactly one terminal event; never raises but for cancellation. After the terminal event it waits a
        moment for the end of the upstream's body, which saves the connection.
        """
        yield self.assembler.start()
        async with aclosing(self._reads()) as reads:
            async for read in reads:
                if read:
                    self._notice()
                    yield read

    async def _reads(self) -> AsyncGenerator[list[Event], None]:
        try:
            async with aclosing(self.chat.reads()) as reads:
                async for payloads in reads:
                    if self.final is None:
                        yield self._read(payloads)
                    if self.broken:
                        break
            if self.final is None:
                yield self.assembler.finish()
        except Fault as fault:
            if self.final is None:
                yield self._broken(fault)

    def _read(self, payloads: Iterable[str]) -> list[Event]:
        """The events of one read; `[DONE]` ends the response, and so does a fault, after what came before it."""
        events: list[Event] = []
        try:
            for payload in payloads:
                if payload == DONE:
                    return events + self.assembler.finish()
                if deltas := self.reader.read(parse_chunk(payload)):
                    events += self.assembler.feed(deltas)
                if self.reader.finished and any(isinstance(delta, Used) for delta in deltas):
                    self.chat.settle()  # nothing else can come: some upstreams neither say so nor end the body
                    return events + self.assembler.finish()
        except Fault as fault:
            events += self._broken(fault)
        return events

    def _broken(self, fault: Fault) -> list[Event]:
        """The end of a stream that broke.

        After the finish reason only usage can be missing, and clients run the calls already: they would run them
        twice if they were told of a failure.
        """
        self.broken = True
        if self.assembler.reason is not None:
            return self.assembler.finish()
        return self.assembler.fail(self.scrub(fault))

    async def reads(self) -> AsyncGenerator[bytes, None]:
        """The same as bytes of a server-sent event stream, whole events only."""
        async with aclosing(self.events()) as batches:
            async for events in batches:
                yield b"".join(map(encode, events))

    def heartbeat(self) -> bytes:
        """A further `response.in_progress`, numbered in sequence; empty before the start or after the end."""
        return b"".join(map(encode, self.assembler.heartbeat()))

    async def response(self) -> Response:
        """The whole response of a request that was not streamed.

        Raises:
            Fault: The upstream failed.
        """
        async with aclosing(self.events()) as batches:
            async for _ in batches:
                pass
        if self.fault is not None:
            raise self.fault
        if self.final is None:
            raise cut_stream()
        return self.final

    async def aclose(self) -> None:
        """Close the upstream at once; safe to call twice."""
        await self.chat.aclose()

    def _notice(self) -> None:
        """Keep what the log says."""
        elapsed = round((monotonic() - self.began) * 1000, 1)
        if self.summary.first_token_ms is None:
            self.summary.first_token_ms = elapsed
        if self.final is not None and self.summary.total_ms is None:
            self._sum_up(self.final, elapsed)

    def _sum_up(self, response: Response, elapsed: float) -> None:
        self.summary.outcome = response["status"]
        self.summary.total_ms = elapsed
        self.summary.served_model = response.get("served_model")
        error, usage = response["error"], response["usage"]
        self.summary.error_code = error["code"] if error else None
        if usage is not None and self.assembler.usage is not None:
            self.summary.input_tokens = usage["input_tokens"]
            self.summary.output_tokens = usage["output_tokens"]
            self.summary.cached_tokens = usage["input_tokens_details"]["cached_tokens"]


class Exchange:
    """Opens turns on one upstream."""

    def __init__(self, settings: Settings, upstream: Upstream, source: Source | None = None) -> None:
        self._settings = settings
        self._upstream = upstream
        self._source = source or Ambient()
        self._sealer = Sealer(_secret(settings))
        preset = settings.preset
        self._profile = replace(preset, midway_system=_midway_system(settings))
        families = OPENAI_FAMILIES if settings.default_model else preset.aliases
        self._aliases = Aliases(settings.aliases, families, settings.model)

    async def open(self, body: Json, key: str | None, request_id: str) -> Turn:
        """Translate a request body and wait for the upstream's 2xx.

        Args:
            body: The parsed JSON object.
            key: The upstream's key for this request, or None if it needs none.
            request_id: Ours, for the log on both sides.

        Raises:
            Fault: The request is wrong, or the upstream refused.
        """
        began = monotonic()
        request = read_request(body)
        _refuse_stateful(request)
        catalog = await self._upstream.catalog(key)
        translation = self._translate(request, catalog)
        chat = await self._upstream.open(to_json(translation.chat), key, request_id=request_id)
        summary = Summary(
            request.model, items=translation.items, attempts=chat.attempts, notes=translation.notes
        )
        template = response_template(request, body, self._source.new_id("resp"), self._source.now())
        return Turn(
            stream=bool(request.stream),
            summary=summary,
            chat=chat,
            reader=ChunkReader(callable_names(translation.chat)),
            assembler=Assembler(template, self._shape(request, translation), self._source),
            began=began,
            scrub=partial(scrub, key=key),
            headers={NOTES_HEADER: "; ".join(translation.notes)} if translation.notes else {},
        )

    def _translate(self, request: CreateResponse, catalog: Catalog) -> Translation:
        known = frozenset(instrument.id for instrument in catalog.instruments)
        model = self._aliases.resolve(request.model, known)
        instrument = catalog.get(model) or Instrument(model)
        target = Target(self._profile, instrument, self._sealer.unseal, self._settings.reasoning_replay)
        translation = to_chat(request, target)
        if model == request.model:
            return translation
        note = f"model: {request.model!r} stands for {model!r}"
        return replace(translation, notes=(note, *translation.notes))

    def _shape(self, request: CreateResponse, translation: Translation) -> Shape:
        sealed = "reasoning.encrypted_content" in (request.include or ())
        padded = request.stream_options is None or request.stream_options.include_obfuscation is not False
        return Shape(
            translation.toolbox,
            reasoning=self._reasoning_output(request),
            seal=self._sealer.seal if sealed else None,
            compact=self._sealer.seal if translation.compaction else None,
            obfuscation=self._settings.obfuscation and padded and bool(request.stream),
        )

    def _reasoning_output(self, request: CreateResponse) -> Literal["summary", "content"]:
        if self._settings.reasoning_output != "auto":
            return self._settings.reasoning_output
        wanted = request.reasoning and (request.reasoning.summary or request.reasoning.generate_summary)
        return "summary" if wanted and wanted != "none" else "content"


def callable_names(chat: ChatRequest) -> frozenset[str]:
    """The functions that the model may call."""
    if chat.get("tool_choice") == "none":
        return frozenset()
    return frozenset(tool["function"]["name"] for tool in chat.get("tools", ()))


def _midway_system(settings: Settings) -> bool:
    if settings.midway_system == "auto":
        return settings.preset.midway_system
    return settings.midway_system == "system"


def _secret(settings: Settings) -> bytes:
    """What seals reasoning: configured, or kept for the user, or made up for this process."""
    if settings.seal_key is not None:
        return settings.seal_key.get_secret_value().encode()
    try:
        return kept_secret(data_directory())
    except OSError as error:
        log.warning("encrypted_content will not outlive this process: %s", error)
        return os.urandom(32)


def _refuse_stateful(request: CreateResponse) -> None:
    """What needs a store is refused, rather than answered without its history."""
    if request.previous_response_id:
        message = f"Previous response with id '{request.previous_response_id}' not found."
        raise invalid(message, "previous_response_id", "previous_response_not_found")
    for name in ("background", "conversation", "prompt"):
        if getattr(request, name):
            raise invalid(f"'{name}' is not supported: nothing is stored.", name, "unsupported_parameter")
