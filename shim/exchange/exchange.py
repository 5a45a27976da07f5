"""From a request to an accepted turn: recall, translate, ask the upstream.

Before the upstream has accepted, every fault is an HTTP status.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple, cast

from pydantic_core import to_json

from shim.ambient import Ambient, monotonic
from shim.core.assembler import Assembler, Shape
from shim.core.compaction import around_summary, compact_threshold, worth_compacting
from shim.core.deltas import ChunkReader
from shim.core.echo import response_template
from shim.core.estimate import estimate_tokens
from shim.core.profile import OPENAI_FAMILIES, Instrument
from shim.core.request import Aliases, Target, Translation, input_items, to_chat
from shim.core.truncation import MOST_ATTEMPTS, shortened
from shim.core.validation import read_request
from shim.errors import Fault, missing
from shim.exchange.caller import Caller
from shim.exchange.keeping import Keeper, Lessons
from shim.exchange.locking import LOCK_SECONDS, Release, TurnLock, release_nothing
from shim.exchange.owners import Owners
from shim.exchange.prompts import with_prompt
from shim.exchange.recall import Reach, Recall, Recalled
from shim.exchange.steady import Clocked, Steady
from shim.exchange.turn import Keep, Preparation, Summary, Turn, keep_nothing
from shim.seal import Opener, Sealer, SealKeys
from shim.seal_keys import secrets_or_passing
from shim.settings import Settings
from shim.store import ResponseStore
from shim.upstream import ChatStream, Upstream
from shim.upstream.keys import scrub
from shim.wire.base import Json
from shim.wire.chat import ChatRequest
from shim.wire.items import Compaction, CompactionTrigger, InputItem
from shim.wire.output import OutputCompaction
from shim.wire.request import CreateResponse
from shim.wire.response import Response, Usage

log = logging.getLogger("shim.exchange")

NOTES_HEADER = "x-shim-notes"


class Asked(NamedTuple):
    """A request with everything that it relies on."""

    request: CreateResponse
    recalled: Recalled
    caller: Caller
    owner: str
    request_id: str


class Accepted(NamedTuple):
    """A translated request that the upstream is answering."""

    translation: Translation
    instrument: Instrument
    chat: ChatStream
    compacted: OutputCompaction | None = None
    spent: Usage | None = None


class Exchange:
    """Opens turns on one upstream; what clients want remembered is in `store`.

    Attributes:
        default_model: What answers where a request may name no model.
    """

    def __init__(
        self, settings: Settings, upstream: Upstream, store: ResponseStore, source: Clocked | None = None
    ) -> None:
        self.store = store
        self.source: Clocked = source or Ambient()
        self._steady = Steady(self.source, LOCK_SECONDS)
        self._lessons = Lessons(store)
        self.reach = Reach(settings.max_chained_responses, settings.max_history_bytes)
        self.default_model = settings.model
        # Pydantic's models look up attributes slowly: what each request needs is kept here.
        self._replay = settings.reasoning_replay
        self._reasoning = settings.reasoning_output
        self._obfuscation = settings.obfuscation
        self._most_output_bytes = settings.max_output_bytes
        self._most_output_items = settings.max_output_items
        self._upstream = upstream
        self.seal_keys = SealKeys.of(secrets_or_passing(settings))
        self._owners = Owners(self.seal_keys)
        preset = settings.preset
        self._profile = replace(preset, midway_system=_midway_system(settings))
        families = OPENAI_FAMILIES if settings.default_model else preset.aliases
        self._aliases = Aliases(settings.aliases, families, settings.model)

    def owner(self, caller: Caller) -> str:
        """Whose the things are that this caller stores."""
        return self._owners.of(caller)

    async def start(self) -> None:
        """Learn from the store whose the things are that it holds; before anything is asked.

        Raises:
            StoreFault: The store is away.
        """
        await self._owners.settle(self.store)

    async def open(self, body: Json, caller: Caller, request_id: str) -> Turn:
        """Translate a request body and wait for the upstream's 2xx.

        Args:
            body: The parsed JSON object.
            caller: Who asks.
            request_id: Ours, for the log on both sides.

        Raises:
            Fault: The request is wrong, or the upstream refused.
        """
        began = monotonic()
        asked = await self.ask(body, caller, request_id)
        return await self.accept(asked, began)

    async def accept(
        self, asked: Asked, began: float, queued: Response | None = None, *, remembered: bool = False
    ) -> Turn:
        """Wait for the upstream's 2xx to a request that was checked.

        Args:
            asked: The request.
            began: When it came, on the monotonic clock.
            queued: The response's template, if it was queued before; whoever queued it also stores it.
            remembered: Whether a connection remembers the turn, which then holds its items for that.

        Raises:
            Fault: The upstream refused, or another turn of the conversation is under way.
        """
        template = queued or self.template(asked, self.source.new_id("resp"), self.source.now())
        conversation = asked.recalled.conversation
        release: Release = release_nothing
        if conversation is not None:
            release = await self._lock(asked.owner, conversation, template["id"])
        accepted: Accepted | None = None
        try:
            if conversation is not None:
                asked = await self._current(asked, conversation)
            accepted = await self._accepted(asked)
            turn = self._turn(asked, accepted, template, began)
            turn.learn = self._lessons.on(accepted.instrument.id, accepted.translation.chat)
            turn.keep = keep_nothing if queued else self._keep(asked)
        except BaseException:
            if accepted is not None:
                await accepted.chat.aclose()
            await release()
            raise
        if remembered:
            turn.remembered = asked.recalled.whole
        turn.release = release
        turn.told_at_once = queued is None
        return turn

    async def prepare(self, asked: Asked, *, remembered: bool) -> Preparation:
        """A turn that only takes its input in, so that it can be continued.

        Args:
            asked: The request.
            remembered: As for `accept`.

        Raises:
            Fault: The request is wrong.
        """
        translation, _ = await self.translate(asked)
        template = self.template(asked, self.source.new_id("resp"), self.source.now())
        return Preparation(
            Summary(asked.request.model, items=translation.items, attempts=0, notes=translation.notes),
            Assembler(template, Shape(translation.toolbox), self.source),
            self._keep(asked),
            asked.recalled.whole if remembered else None,
        )

    def template(self, asked: Asked, response_id: str, created_at: int) -> Response:
        """The response before anything has been answered."""
        template = response_template(asked.request, asked.recalled.body, response_id, created_at)
        if asked.recalled.conversation:
            template["conversation"] = {"id": asked.recalled.conversation}
        if asked.request.prompt:
            template["prompt"] = asked.request.prompt
        if self.store.kind == "off":
            template["store"] = False  # said as it is, whatever was asked for
        return template

    async def ask(
        self,
        body: Json,
        caller: Caller,
        request_id: str,
        local: Mapping[str, Sequence[Json]] | None = None,
    ) -> Asked:
        """Check a request and look up what it relies on.

        `local` are earlier turns that live on the caller's connection: response id to the items up to its end.
        """
        owner = self.owner(caller)
        notes: tuple[str, ...] = ()
        if body.get("prompt") is not None:
            body, notes = await with_prompt(body, self.store, owner)
        request = read_request(body)  # first, so that nothing is looked up for a wrong request
        recalled = await Recall(self.store, owner, self.source, self.reach, local).recall(body)
        if recalled.body is not body:
            request = read_request(recalled.body)
        given = request.input
        if not (given or given == "" or recalled.earlier):
            raise missing("input")
        if notes:
            recalled = recalled._replace(notes=(*notes, *recalled.notes))
        return Asked(request, recalled, caller, owner, request_id)

    async def _current(self, asked: Asked, conversation: str) -> Asked:
        """The same with what its conversation holds by now: another turn may have ended before this one had the lock."""
        recall = Recall(self.store, asked.owner, self.source, self.reach)
        earlier, history = await recall.conversation(conversation)
        return asked._replace(recalled=asked.recalled._replace(earlier=earlier, history=history))

    async def translate(
        self, asked: Asked, conversation: Sequence[InputItem] | None = None
    ) -> tuple[Translation, Instrument]:
        """The chat completion request; of a `conversation` in place of the request's own, if one is given."""
        catalog = await self._upstream.catalog(asked.caller.key)
        request, wanted = asked.request, asked.request.model
        model = self._aliases.resolve(wanted, catalog.names)
        instrument = catalog.get(model) or Instrument(model)
        target = Target(
            self._profile,
            instrument,
            Opener(self._sealer(asked.caller)).unseal,
            self._replay,
        )
        history: Sequence[InputItem] = asked.recalled.history
        if conversation is not None:
            history, request = (), request.model_copy(update={"input": list(conversation)})
        translation = to_chat(request, target, history)
        notes = asked.recalled.notes
        if model != wanted:
            notes = (f"model: {wanted!r} stands for {model!r}", *notes)
        if notes:
            translation = translation._replace(notes=(*notes, *translation.notes))
        return translation, instrument

    async def _accepted(self, asked: Asked) -> Accepted:
        """Send the request; with `context_management` compacted first, if it has grown too long."""
        threshold = compact_threshold(asked.request.context_management)
        if threshold is None:
            return await self._fitting(asked)
        whole = [*asked.recalled.history, *input_items(asked.request)]
        if not worth_compacting(whole) or await self.estimate(asked) <= threshold:
            return await self._fitting(asked)
        compacted, spent = await self._compact(asked, whole)
        summary = Compaction(type="compaction", encrypted_content=compacted["encrypted_content"])
        shorter = around_summary(whole, summary)
        if await self.estimate(asked, shorter) > threshold:
            shorter = around_summary(whole, summary, shortest=True)
        accepted = await self._fitting(asked, shorter)
        return accepted._replace(compacted=compacted, spent=spent)

    async def estimate(self, asked: Asked, conversation: list[InputItem] | None = None) -> int:
        """Input tokens, estimated and corrected by what upstream reported for the same instrument."""
        translation, instrument = await self.translate(asked, conversation)
        return estimate_tokens(translation.chat, await self._lessons.ratio(instrument.id))

    async def _compact(self, asked: Asked, whole: list[InputItem]) -> tuple[OutputCompaction, Usage | None]:
        """Let the model summarise everything so far, and what that cost; nothing of this is stored."""
        plain = {"store": False, "stream": False, "max_output_tokens": None, "context_management": None}
        asked = asked._replace(request=asked.request.model_copy(update=plain))
        accepted = await self._fitting(asked, [*whole, CompactionTrigger(type="compaction_trigger")])
        template = self.template(asked, self.source.new_id("resp"), self.source.now())
        async with aclosing(self._turn(asked, accepted, template, monotonic())) as turn:
            response = await turn.response()
        return cast("OutputCompaction", response["output"][0]), turn.assembler.usage

    async def _fitting(self, asked: Asked, conversation: list[InputItem] | None = None) -> Accepted:
        """Send the request; with `truncation: auto` shorter and shorter, as long as it does not fit."""
        shortening = False
        for _ in range(MOST_ATTEMPTS):
            try:
                return await self._send(asked, conversation, shortened=shortening)
            except Fault as fault:
                if fault.code != "context_length_exceeded" or asked.request.truncation != "auto":
                    raise
                whole = [*asked.recalled.history, *input_items(asked.request)]
                conversation = shortened(whole if conversation is None else conversation)
                if conversation is None:
                    raise
                shortening = True
        return await self._send(asked, conversation, shortened=shortening)

    async def _send(
        self, asked: Asked, conversation: list[InputItem] | None, *, shortened: bool = False
    ) -> Accepted:
        translation, instrument = await self.translate(asked, conversation)
        if shortened:
            note = "truncation: the oldest items were left out, since the conversation did not fit"
            translation = translation._replace(notes=(*translation.notes, note))
        body = to_json(translation.chat)
        chat = await self._upstream.open(body, asked.caller.key, request_id=asked.request_id)
        return Accepted(translation, instrument, chat)

    def _turn(self, asked: Asked, accepted: Accepted, template: Response, began: float) -> Turn:
        request, translation = asked.request, accepted.translation
        return Turn(
            stream=bool(request.stream),
            summary=Summary(
                request.model,
                items=translation.items,
                attempts=accepted.chat.attempts,
                notes=translation.notes,
            ),
            chat=accepted.chat,
            reader=ChunkReader(
                callable_names(translation.chat),
                self._most_output_bytes,
                scored="logprobs" in translation.chat,
            ),
            assembler=Assembler(template, self._shape(asked, accepted), self.source),
            began=began,
            scrub=partial(scrub, key=asked.caller.key),
            headers={NOTES_HEADER: "; ".join(translation.notes)} if translation.notes else {},
        )

    def _keep(self, asked: Asked) -> Keep:
        """What stores the response, if the client wants it stored."""
        if asked.request.store is False or self.store.kind == "off":
            return keep_nothing
        return Keeper.of(self.store, asked.owner, asked.recalled).keep

    def _lock(self, owner: str, conversation: str, response_id: str) -> Awaitable[Release]:
        """Take the conversation's turn; what gives it back."""
        return TurnLock(self.store.conversations, self._steady, owner, conversation, response_id).take()

    def _shape(self, asked: Asked, accepted: Accepted) -> Shape:
        request = asked.request
        translation = accepted.translation
        sealed = "reasoning.encrypted_content" in (request.include or ())
        return Shape(
            translation.toolbox,
            reasoning=self._reasoning_output(request),
            seal=self._sealer(asked.caller).seal if sealed else None,
            compact=self._sealer(asked.caller).seal if translation.compaction else None,
            obfuscation=bool(request.stream) and self._is_padded(request),
            compacted=accepted.compacted,
            spent=accepted.spent,
            most_items=self._most_output_items,
            refusals_as_text=asked.caller.refusals_as_text,
        )

    def _is_padded(self, request: CreateResponse) -> bool:
        asked = request.stream_options
        return self._obfuscation and (asked is None or asked.include_obfuscation is not False)

    def _sealer(self, caller: Caller) -> Sealer:
        """What seals `encrypted_content` for a client, and opens what was sealed for it."""
        return self.seal_keys.sealer("content", caller.identity)

    def _reasoning_output(self, request: CreateResponse) -> Literal["summary", "content"]:
        if self._reasoning != "auto":
            return self._reasoning
        asked = request.reasoning
        wanted = asked and (asked.summary or asked.generate_summary)
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
