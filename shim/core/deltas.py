"""Chat completion chunks as deltas: every supplier's oddity ends here.

`ChunkReader` turns the chunks of one answer, or a whole completion, into a short vocabulary that the assembler
understands. What it absorbs: reasoning under three names, think tags, tool calls left in the text, calls without
index or id, repeated, blank or broken names, several calls in a chunk, cut surrogate pairs, content as parts, usage
anywhere or nowhere. What no reading can save raises `UpstreamFault`, and an error that the upstream reports raises whatever
`Fault` it means; nothing else is ever raised.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

from shim.core.chunks import Form, More, form_of, parse_chunk
from shim.core.dialects import LeftCall, left_calls
from shim.core.fields import (
    Entry,
    FinishReason,
    arguments_of,
    citations_of,
    entry_of,
    finish_reason_of,
    first_choice,
    index_of,
    logprob_of,
    objects_of,
    raise_reported,
    read_usage,
    text_of,
    thinking_of,
)
from shim.core.jsonstrings import StringScanner
from shim.core.text import Joiner, TagSplitter, scrub
from shim.errors import UpstreamFault
from shim.wire.base import Json
from shim.wire.output import Logprob, UrlCitation
from shim.wire.response import Usage

DONE = "[DONE]"
"""The payload that ends a chat completion stream."""


# Deltas are values that nobody changes; they are not frozen since that makes each three times as costly.


@dataclass(slots=True)
class Text:
    """More of the answer's text, with the log probabilities of its tokens if they came."""

    text: str
    logprobs: list[Logprob] = field(default_factory=list)


@dataclass(slots=True)
class ReasoningText:
    """More reasoning."""

    text: str


@dataclass(slots=True)
class RefusalText:
    """More of a refusal."""

    text: str


@dataclass(slots=True)
class Citation:
    """A source for a span of the text."""

    annotation: UrlCitation


@dataclass(slots=True)
class CallStart:
    """A call begins. `key` counts calls; `call_id` is the upstream's, or None if it gave none."""

    key: int
    call_id: str | None
    name: str


@dataclass(slots=True)
class CallArguments:
    """More of a call's arguments, as JSON text."""

    key: int
    text: str


@dataclass(slots=True)
class Served:
    """Who answers: the model behind the instrument, and the service tier."""

    model: str | None
    service_tier: str | None


@dataclass(slots=True)
class Used:
    """Tokens used; a later one replaces it."""

    usage: Usage


@dataclass(slots=True)
class Finish:
    """The model has finished; only usage may follow."""

    reason: FinishReason


Delta = Text | ReasoningText | RefusalText | Citation | CallStart | CallArguments | Served | Used | Finish


@dataclass(slots=True)
class _Call:
    """A call while it is read."""

    key: int
    call_id: str | None
    name: str = ""
    started: bool = False
    arguments: list[str] = field(default_factory=list)
    joiner: Joiner = field(default_factory=Joiner)
    scanner: StringScanner = field(default_factory=StringScanner)
    scanned: int = 0

    def complete(self) -> bool:
        """Whether the arguments so far are whole; each piece is looked at once, however often this is asked."""
        for piece in self.arguments[self.scanned :]:
            self.scanner.feed(piece)
        self.scanned = len(self.arguments)
        return self.scanner.complete


MOST_OUTPUT_BYTES = 64 << 20
"""Bytes of text, reasoning and arguments in one answer, unless another bound is given."""

CALL_BYTES = 1 << 10
"""What a call counts for besides its arguments: about as much as it takes here."""

CITATION_BYTES = 1 << 9
LOGPROB_BYTES = 12
"""What a citation and a log probability count for besides their texts and bytes: the upstream may send very many empty ones. So
little for the latter that 128,000 tokens with the 20 likeliest beside each have room."""

KEY_BYTES = 1 << 7
"""What each index or id counts for under which a call is known, besides the id's text: one call may have very many."""

LONGEST_NAME = 1 << 10
"""Characters of a called function's name: as much as a tool's may have here. One that comes in pieces is looked up with each."""

_ASIDE = ("think", "call")
"""States of the tag splitter in which content is not the answer's text."""
_RARE = frozenset({"annotations", "refusal", "tool_calls", "function_call"})
"""What a delta may hold beside text and reasoning."""
_REASONED = frozenset({"reasoning_content", "reasoning"})
_REPEATED = (Text, ReasoningText, CallArguments)
"""What is said in so many pieces that their chunks are worth a form."""
Steady = tuple[Form, re.Pattern[str] | None, _Call | None]
"""A form whose texts are told as they come until another payload is heard: what they may not hold for that, and their call."""
_NOBODY = Served(None, None)
_TRIALS = 4
"""Forms that are made in vain before no more are: some suppliers' chunks never repeat."""


@dataclass(slots=True)
class ChunkReader:
    """Reads the chunks of one answer.

    `names` are the functions that were declared: with them a name that comes in pieces is known to be whole, and
    calls left in the text are looked for. `room` counts down the bytes of text, reasoning and arguments that may
    still come: all of it is held somewhere until the end. `scored` tells whether log probabilities were asked for: some
    upstreams send them to everyone.
    """

    names: frozenset[str] = frozenset()
    room: int = MOST_OUTPUT_BYTES
    scored: bool = True
    finished: bool = False
    _calls: list[_Call] = field(default_factory=list, init=False)
    _by_index: dict[int, _Call] = field(default_factory=dict, init=False)
    _by_id: dict[str, _Call] = field(default_factory=dict, init=False)
    _text: Joiner = field(default_factory=Joiner, init=False)
    _reasoning: Joiner = field(default_factory=Joiner, init=False)
    _refusal: Joiner = field(default_factory=Joiner, init=False)
    _tags: TagSplitter = field(default_factory=TagSplitter, init=False)
    _logprobs: list[Logprob] = field(default_factory=list, init=False)
    _served: Served | None = None
    _said: tuple[str | None, str | None] = (None, None)
    _beginnings: frozenset[str] = frozenset()
    _touched: _Call | None = None
    _form: Form | None = None
    _steady: Steady | None = None
    _trials: int = _TRIALS

    def __post_init__(self) -> None:
        if self.names:
            self._tags = TagSplitter(partial(_has_calls, self.names))
            ordered = sorted(self.names)
            self._beginnings = frozenset(name for name, other in pairwise(ordered) if other.startswith(name))

    def hear(self, payload: str) -> list[Delta]:
        """The deltas of a payload: those of `read`, at less cost where it repeats the one before with another text.

        Raises:
            UpstreamFault: It is no chunk, reports an error, or cannot be understood.
        """
        self._steady = None
        if self._form is not None and (said := self._form.said(payload)) is not None:
            self._trials = _TRIALS
            return self._again(self._form, said)
        self._form = None
        chunk = parse_chunk(payload)
        deltas = self.read(chunk)
        if len(deltas) == 1 and self._trials and isinstance(deltas[0], _REPEATED):
            self._form = form_of(payload, chunk)
            self._trials -= self._form is not None
        return deltas

    def more(self, payloads: list[str], start: int) -> More | None:
        """What the payloads from `start` on say, as far as each only says more of what the one before said.

        That is nearly all that is ever said. `hear` would give as many deltas of this kind, at many times the cost.

        Returns:
            What is said of some payloads; None if not even the first is such a one.
        """
        if self._form is None or (steady := self.steady()) is None:
            return None
        form, barred, call = steady
        texts = form.run(payloads, start, barred)
        if not texts:
            return None
        size = size_of("".join(texts))
        if size > self.room:
            texts = self._afforded(texts)
            size = size_of("".join(texts))
        self.room -= size
        if not texts:
            return None
        if call is None:
            return More(form.kind, texts)
        call.arguments += texts
        return More("arguments", texts, call.key)

    def steady(self) -> Steady | None:
        """The form in which more of the same can be told as it comes, if there is one."""
        form = self._form
        if self._steady is not None or form is None:
            return self._steady
        if form.kind == "reasoning":
            self._steady = None if self._reasoning.held else (form, None, None)
        elif form.kind == "arguments":
            call = self._find(Entry(index_of(form.place), "", "", ""))
            if call is not None and not call.joiner.held:
                self._steady = form, None, call
        elif not self._text.held and self._tags.is_steady():
            self._steady = form, self._tags.barred(), None
        return self._steady

    def _afforded(self, texts: list[str]) -> list[str]:
        """Those of the texts that there is room for, which is not all."""
        sizes = accumulate(map(size_of, texts))
        return texts[: sum(size <= self.room for size in sizes)]

    def _again(self, form: Form, said: str) -> list[Delta]:
        """More of what the last chunk said."""
        deltas: list[Delta] = []
        if form.kind == "arguments":
            self._route(self._tags.release(), deltas)
            self._touched = None
            self._tool_call(Entry(index_of(form.place), "", "", said), deltas)
        elif said and form.kind == "text":
            self._add_text(said, deltas)
        elif said:
            self._add_reasoning(said, deltas)
        return deltas

    def read(self, chunk: Json) -> list[Delta]:
        """The deltas of a chunk, or of a whole completion.

        Raises:
            UpstreamFault: The chunk cannot be understood.
            Fault: The chunk reports an error; which one it is.
        """
        if "choices" not in chunk or "error" in chunk:
            raise_reported(chunk)
        said = chunk.get("model"), chunk.get("service_tier")
        deltas: list[Delta] = [] if said == self._said else self._who(*said)
        choice = first_choice(chunk)
        if choice is not None and not self.finished:
            self._choice(choice, deltas)
        if isinstance(usage := chunk.get("usage") or (choice or {}).get("usage"), dict):
            deltas.append(Used(read_usage(usage)))
        return deltas

    def _who(self, *said: Any) -> list[Delta]:
        """Who answers, if it is another than was told: the model, and the service tier."""
        model, tier = map(text_of, said)
        self._said = model or None, tier or None
        known = self._served or _NOBODY
        served = Served(scrub(model) or known.model, scrub(tier) or known.service_tier)
        if served == self._served:
            return []
        self._served = served
        return [served]

    def _choice(self, choice: Json, deltas: list[Delta]) -> None:
        given = choice.get("delta")
        body = (choice.get("message") if given is None else given) or {}
        if not isinstance(body, dict):
            raise UpstreamFault("The upstream sent a chunk whose delta is not an object.")
        if not _REASONED.isdisjoint(body):
            reasoning = text_of(body.get("reasoning_content")) or text_of(body.get("reasoning"))
            if reasoning:
                self._add_reasoning(reasoning, deltas)
        if (content := body.get("content")) is not None:
            if self.scored and (logprobs := choice.get("logprobs")):
                self._read_logprobs(logprobs)
            self._content(content, deltas)
        if not _RARE.isdisjoint(body):
            self._rare(body, deltas)
        if (said := choice.get("finish_reason")) and (reason := finish_reason_of(text_of(said))):
            self._finish(reason, deltas)

    def _rare(self, body: Json, deltas: list[Delta]) -> None:
        if annotations := body.get("annotations"):
            self._route(self._tags.release(), deltas)
            for found in citations_of(annotations):
                self._spend(found["url"] + found["title"], CITATION_BYTES)
                deltas.append(Citation(found))
        if refusal := text_of(body.get("refusal")):
            self._route(self._tags.release(), deltas)
            self._spend(refusal)
            self._emit(RefusalText, self._refusal.feed(refusal), deltas)
        if entries := body.get("tool_calls"):
            self._tool_calls(entries, deltas)
        if isinstance(legacy := body.get("function_call"), dict):
            self._tool_calls([{"index": 0, "function": legacy}], deltas)

    # -- text -------------------------------------------------------------------------------------------------

    def _content(self, content: Any, deltas: list[Delta]) -> None:
        if isinstance(content, str):
            if content:
                self._add_text(content, deltas)
        elif isinstance(content, list):
            for part in content:
                self._part(part, deltas)
        else:
            raise UpstreamFault("The upstream sent content that is neither text nor parts.")

    def _part(self, part: Any, deltas: list[Delta]) -> None:
        """Content as parts: Mistral sends text and thinking so."""
        if not isinstance(part, dict):
            return
        if part.get("type") == "thinking":
            self._add_reasoning(thinking_of(part.get("thinking")), deltas)
        elif text := text_of(part.get("text")):
            self._add_text(text, deltas)

    def _spend(self, said: str, more: int = 0) -> None:
        """Count what will be held, and so many bytes more.

        Raises:
            UpstreamFault: It is too much.
        """
        self.room -= size_of(said) + more
        if self.room < 0:
            raise UpstreamFault("The answer is longer than a response may be.", code="server_error")

    def _add_text(self, text: str, deltas: list[Delta]) -> None:
        self._spend(text)
        text = self._text.feed(text)
        if self._tags.passes(text):
            self._say(text, deltas)
            return
        aside = self._tags.state in _ASIDE
        pieces = self._tags.feed(text)
        if aside or self._tags.state in _ASIDE or any(kind != "text" for kind, _ in pieces):
            self._logprobs = []  # they belong to the tags and to what stands between them
        self._route(pieces, deltas)

    def _add_reasoning(self, text: str, deltas: list[Delta]) -> None:
        self._spend(text)
        self._emit(ReasoningText, self._reasoning.feed(text), deltas)

    def _route(self, pieces: list[tuple[Any, str]], deltas: list[Delta]) -> None:
        for kind, text in pieces:
            if kind == "reasoning":
                deltas.append(ReasoningText(text))
            elif kind == "text":
                self._say(text, deltas)
            else:
                self._calls_in_text(text, deltas)

    def _say(self, text: str, deltas: list[Delta]) -> None:
        deltas.append(Text(text, self._logprobs))
        self._logprobs = []

    @staticmethod
    def _emit(kind: type[ReasoningText | RefusalText], text: str, deltas: list[Delta]) -> None:
        if text:
            deltas.append(kind(text))

    def _read_logprobs(self, logprobs: Any) -> None:
        content = logprobs.get("content") if isinstance(logprobs, dict) else None
        for entry in content if isinstance(content, list) else ():
            if isinstance(entry, dict):
                self._logprobs.append(logprob_of(entry))
                told = (self._logprobs[-1], *self._logprobs[-1]["top_logprobs"])
                self._spend(
                    "", sum(LOGPROB_BYTES + max(size_of(one["token"]), len(one["bytes"])) for one in told)
                )

    # -- calls ------------------------------------------------------------------------------------------------

    def _tool_calls(self, entries: Any, deltas: list[Delta]) -> None:
        self._route(self._tags.release(), deltas)
        self._touched = None
        for entry in objects_of(entries, "tool calls that are"):
            self._tool_call(entry_of(entry), deltas)

    def _tool_call(self, said: Entry, deltas: list[Delta]) -> None:
        self._spend(said.arguments)
        self._spend(said.name)
        call = self._find(said)
        if call is not None and call.started and not (said.name or said.call_id):
            self._go_on(call, said.arguments, deltas)
            return
        if call is not None and _repeats(call, said):
            return
        if call is None or self._begins_another(call, said):
            call = self._begin(said, deltas)
        self._remember(call, said)
        if not call.started and said.name and call.name != said.name:
            _add_name(call, said.name)
        if text := call.joiner.feed(said.arguments):
            call.arguments.append(text)
        if not call.started and call.name and (call.arguments or self._is_whole(call.name)):
            self._start(call, deltas)
        elif call.started and text:
            deltas.append(CallArguments(call.key, text))

    def _go_on(self, call: _Call, arguments: str, deltas: list[Delta]) -> None:
        """More arguments of a call that was told: nearly all entries are this, and say nothing else."""
        self._touched = call
        if text := call.joiner.feed(arguments):
            call.arguments.append(text)
            deltas.append(CallArguments(call.key, text))

    def _is_whole(self, name: str) -> bool:
        """Whether a name without arguments is one of ours, and cannot become the longer name of another."""
        return name in self.names and name not in self._beginnings

    def _start(self, call: _Call, deltas: list[Delta]) -> None:
        call.started = True
        deltas.append(CallStart(call.key, call.call_id, call.name))
        deltas.extend(CallArguments(call.key, text) for text in call.arguments)

    def _find(self, said: Entry) -> _Call | None:
        """The call that an entry seems to belong to."""
        by_id = self._by_id.get(said.call_id) if said.call_id else None
        if said.place is not None:
            return self._by_index.get(said.place) or (None if said.name else by_id)
        if said.call_id:
            return by_id
        return self._calls[-1] if self._calls else None

    def _begin(self, said: Entry, deltas: list[Delta]) -> _Call:
        """A new call; the one before it has its whole name by now."""
        last = self._calls[-1] if self._calls else None
        if last is not None and not last.started and last.name in self.names:
            self._start(last, deltas)
        self.room -= CALL_BYTES
        call = _Call(len(self._calls), said.call_id or None)
        self._calls.append(call)
        return call

    def _remember(self, call: _Call, said: Entry) -> None:
        self._touched = call
        if said.place is not None:
            if said.place not in self._by_index:
                self._spend("", KEY_BYTES)
            self._by_index[said.place] = call
        if said.call_id:
            if said.call_id not in self._by_id:
                self._spend(said.call_id, KEY_BYTES)
            self._by_id[said.call_id] = call
            call.call_id = call.call_id or said.call_id

    def _begins_another(self, call: _Call, said: Entry) -> bool:
        """Whether an entry that seems to belong to `call` begins another one.

        Some suppliers give every call index 0, or neither index nor id. A name beside an id of its own, another
        name that was declared, a name that differs once arguments have come, or a name after whole arguments, with
        arguments or within one chunk: each is a new call.
        """
        if not said.name:
            return False
        if said.call_id and call.call_id and said.call_id != call.call_id:
            return True
        if said.name != call.name and {said.name, call.name} <= self.names:
            return True
        if not (call.arguments and call.name):
            return False
        beside = said.place is None and not said.call_id and call is self._touched
        return said.name != call.name or bool((said.arguments.strip() or beside) and call.complete())

    def _calls_in_text(self, text: str, deltas: list[Delta]) -> None:
        for name, arguments in _calls_in(self.names, text):
            call = _Call(len(self._calls), None, name)
            self._calls.append(call)
            call.arguments.append(arguments_of(arguments) or "{}")
            self._start(call, deltas)

    # -- the end ----------------------------------------------------------------------------------------------

    def _finish(self, reason: FinishReason, deltas: list[Delta]) -> None:
        """Let go of everything held back, then tell; a call that was cut before its name is not worth telling."""
        self.finished = True
        if self._reasoning.held:
            deltas.append(ReasoningText(self._reasoning.flush()))
        if self._text.held or not self._tags.is_steady():
            self._route(self._tags.feed(self._text.flush()) + self._tags.flush(), deltas)
        if self._refusal.held:
            deltas.append(RefusalText(self._refusal.flush()))
        for call in self._calls:
            if call.name or reason == "stop":
                self._end_call(call, deltas)
        deltas.append(Finish(reason))

    def _end_call(self, call: _Call, deltas: list[Delta]) -> None:
        if not call.name:
            raise UpstreamFault("The upstream sent a tool call that never got a name.")
        lost = call.joiner.flush()
        if not call.started:
            call.arguments.extend([lost] if lost else [])
            self._start(call, deltas)
        elif lost:
            deltas.append(CallArguments(call.key, lost))


def _calls_in(names: frozenset[str], text: str) -> list[LeftCall]:
    """The calls that the supplier left in the content; none if one of them is not ours."""
    calls = left_calls(text)
    return calls if all(name in names for name, _ in calls) else []


def _has_calls(names: frozenset[str], text: str) -> bool:
    """Whether there are any. No method: what splits tags would keep the reader, and all that it holds, alive."""
    return bool(_calls_in(names, text))


def deltas_of(more: More) -> list[Delta]:
    """The same, one by one."""
    if more.key is not None:
        return [CallArguments(more.key, text) for text in more.texts]
    return [Text(text) if more.kind == "text" else ReasoningText(text) for text in more.texts]


def size_of(text: str) -> int:
    """Bytes of it in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _add_name(call: _Call, name: str) -> None:
    """More of a call's name.

    Raises:
        UpstreamFault: It is too long.
    """
    call.name += name
    if len(call.name) > LONGEST_NAME:
        told = f"The upstream sent a tool call whose name has more than {LONGEST_NAME:,} characters."
        raise UpstreamFault(told, code="server_error")


def _repeats(call: _Call, said: Entry) -> bool:
    """Whether an entry says a whole call again, as some suppliers do in their last chunk."""
    if not (said.call_id and said.call_id == call.call_id and said.name == call.name):
        return False
    return bool(said.arguments.strip() and call.complete()) and "".join(call.arguments) == said.arguments
