"""A Responses request as a chat completion request.

Rules: nothing is invented, nothing is lost without a note, the same input gives the same output, what the caller
left out stays out. `shim.core.support` lists every field and what becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from shim.core.compaction import COMPACTION_PROMPT, wants_compaction
from shim.core.content import ContentReader
from shim.core.messages import Fold, Replay, Unseal
from shim.core.profile import Instrument, Profile
from shim.core.support import PASSED_OVER
from shim.core.tools import Choice, Toolbox, choose
from shim.errors import invalid
from shim.wire.base import Json
from shim.wire.chat import ChatMessage, ChatRequest, StreamUsage, UserMessage
from shim.wire.items import AdditionalTools, CompactionTrigger, InputItem, Message, ToolSearchOutput
from shim.wire.request import CreateResponse, TextFormat


class Translation(NamedTuple):
    """A chat completion request, and what is needed to read the answer."""

    chat: ChatRequest
    toolbox: Toolbox
    notes: tuple[str, ...]
    compaction: bool = False
    items: int = 0


class Target(NamedTuple):
    """Where a request goes: the upstream's ways, the instrument, and how reasoning is replayed."""

    profile: Profile
    instrument: Instrument
    unseal: Unseal
    replay: Replay = "turn"


def input_items(request: CreateResponse) -> Sequence[InputItem]:
    """The input as items; a string is one user message."""
    given = request.input
    if isinstance(given, str):
        return [Message(role="user", content=given)]
    return given or []


def to_chat(request: CreateResponse, target: Target, history: Sequence[InputItem] = ()) -> Translation:
    """Translate a request, after the items of earlier turns.

    Raises:
        ClientFault: Something in the request cannot be done, with the path of the field.
    """
    notes: list[str] = []
    given = input_items(request)
    items = _located(request, history, given)
    toolbox = _toolbox(request, items, target.profile)
    compaction = wants_compaction(given)
    chat = ChatRequest(model=target.instrument.id, messages=[], stream=True)
    fold = _fold(request, items, toolbox, target, notes)
    chat["messages"] = _closed(fold.messages(), notes, compaction=compaction)
    options = _Options(request, target.profile, target.instrument, notes, compaction)
    chosen = (
        Choice("none")
        if compaction
        else choose(request.tool_choice, toolbox, objects=target.profile.object_tool_choice)
    )
    options.put_all(chat, toolbox, chosen)
    _note_the_rest(request, toolbox, notes)
    return Translation(chat, toolbox, tuple(dict.fromkeys(notes)), compaction, len(items))


Located = Sequence[tuple[str, InputItem]]
"""Items with their paths in the request, in the order of the conversation."""


def _located(request: CreateResponse, history: Sequence[InputItem], given: Sequence[InputItem]) -> Located:
    """The items of the instructions, of earlier turns and of the input."""
    located = [(f"input[{index}]", item) for index, item in enumerate(given)]
    if history:
        located = [*((f"history[{index}]", item) for index, item in enumerate(history)), *located]
    if (told := request.instructions) and not isinstance(told, str):
        located = [*((f"instructions[{index}]", item) for index, item in enumerate(told)), *located]
    return located


def _toolbox(request: CreateResponse, items: Located, profile: Profile) -> Toolbox:
    """Every tool of the request: declared, added within the conversation, found by search."""
    toolbox = Toolbox(strict=profile.strict)
    toolbox.add(request.tools or ())
    for _, item in items:
        if type(item) is AdditionalTools or type(item) is ToolSearchOutput:
            toolbox.add(item.tools)
    return toolbox


def _fold(
    request: CreateResponse, items: Located, toolbox: Toolbox, target: Target, notes: list[str]
) -> Fold:
    reader = ContentReader(target.instrument, notes)
    fold = Fold(toolbox, reader, target.profile, target.unseal, target.replay, notes)
    if isinstance(request.instructions, str):
        fold.instruct(reader.read(request.instructions, "instructions"))
    for position, (where, item) in enumerate(items):
        fold.add(item, position, where)
        if type(item) is CompactionTrigger and position < len(items) - 1:
            notes.append(f"{where}: only a compaction_trigger at the end asks for a compaction")
    return fold


INCLUDES = frozenset({"reasoning.encrypted_content", "message.output_text.logprobs"})

CONTINUE = "Continue."
"""Said by the user after an assistant's last word: the Responses API answers that, many upstreams refuse it."""


def _closed(messages: list[ChatMessage], notes: list[str], *, compaction: bool) -> list[ChatMessage]:
    """The messages, ended so that the model has to speak.

    After a cut stream Codex sends a conversation that ends with the assistant's words. Suppliers refuse that, or
    take it as the beginning of an answer which they then do not repeat.

    Raises:
        ClientFault: There are no messages.
    """
    if compaction:
        return [*messages, UserMessage(role="user", content=COMPACTION_PROMPT)]
    if not messages:
        raise invalid("Invalid 'input': it holds nothing that a model could answer.", "input", "empty_array")
    if messages[-1]["role"] == "assistant":
        notes.append(f"input: ends with the assistant's words; {CONTINUE!r} was added")
        return [*messages, UserMessage(role="user", content=CONTINUE)]
    return messages


def _note_the_rest(request: CreateResponse, toolbox: Toolbox, notes: list[str]) -> None:
    notes += toolbox.notes
    if request.include:
        notes += [f"include: {name!r} is not known" for name in request.include if name not in INCLUDES]
    if request.model_extra:
        notes += [f"{name}: unknown, left out" for name in sorted(request.model_extra)]
    for name, reason in PASSED_OVER.items():
        if getattr(request, name) not in (None, False, "disabled"):
            notes.append(f"{name}: {reason}")
    for kind in toolbox.hosted:
        notes.append(f"tools: {kind!r} would run on the API's own servers and was left out")


_CHOSEN = frozenset(
    {
        "include",
        "max_output_tokens",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "temperature",
        "text",
        "top_logprobs",
        "top_p",
        "user",
    }
)
"""Fields besides tools that choose how the model answers."""


@dataclass(slots=True)
class _Options:
    """Everything in a request besides the conversation."""

    request: CreateResponse
    profile: Profile
    instrument: Instrument
    notes: list[str]
    compaction: bool

    def put_all(self, chat: ChatRequest, toolbox: Toolbox, chosen: Choice) -> None:
        if self.profile.stream_usage:
            chat["stream_options"] = StreamUsage(include_usage=True)
        self._put_tools(chat, toolbox, chosen)
        # Most requests leave all of this to the model.
        if not self.request.model_fields_set.isdisjoint(_CHOSEN):
            self._put_format(chat, forced=chosen.forced and "tools" in chat)
            self._put_sampling(chat)
            self._put_logprobs(chat)
            self._put_effort(chat)
            self._put_plain(chat)

    def _put_tools(self, chat: ChatRequest, toolbox: Toolbox, chosen: Choice) -> None:
        tools = toolbox.chat_tools(chosen.only)
        if not tools:
            return
        chat["tools"] = tools
        if chosen.chat is not None:
            chat["tool_choice"] = chosen.chat
        if self.request.parallel_tool_calls is not None:
            self._put_option(chat, "parallel_tool_calls", self.request.parallel_tool_calls)

    def _put_format(self, chat: ChatRequest, *, forced: bool) -> None:
        text_format = self.request.text.format if self.request.text else None
        if text_format is None or text_format.type == "text":
            return
        if self.compaction:
            self.notes.append("text.format: left out, since a compaction is plain text")
            return
        if forced and not self.profile.format_with_tools:
            self.notes.append("text.format: left out, since a tool must be called")
            return
        if text_format.type == "json_schema" and not self.profile.json_schema:
            self.notes.append("text.format: this upstream takes no schema; sent as json_object")
            chat["response_format"] = {"type": "json_object"}
            return
        chat["response_format"] = _response_format(text_format, strict=self.profile.strict)

    def _put_sampling(self, chat: ChatRequest) -> None:
        given = {"temperature": self.request.temperature, "top_p": self.request.top_p}
        for name, value in given.items():
            if value is None:
                continue
            if self.instrument.temperature:
                _put(chat, name, value)
            else:
                self.notes.append(f"{name}: not taken by {self.instrument.id}")
        if self.request.max_output_tokens is not None:
            _put(chat, self.profile.max_tokens_field, self._output_limit(self.request.max_output_tokens))

    def _output_limit(self, wanted: int) -> int:
        most = self.instrument.max_output_tokens
        if most is None or wanted <= most:
            return wanted
        self.notes.append(f"max_output_tokens: {wanted} lowered to the instrument's {most}")
        return most

    def _put_logprobs(self, chat: ChatRequest) -> None:
        asked = "message.output_text.logprobs" in (self.request.include or ())
        if not asked and not self.request.top_logprobs:
            return
        if "tools" in chat and not self.profile.logprobs_with_tools:
            self.notes.append("logprobs: not taken beside tools")
            return
        chat["logprobs"] = True
        if self.request.top_logprobs:
            chat["top_logprobs"] = self.request.top_logprobs

    def _put_effort(self, chat: ChatRequest) -> None:
        effort = self.request.reasoning.effort if self.request.reasoning else None
        if effort is None:
            return
        fitted = fit_effort(effort, self.instrument.efforts) if self._takes("reasoning_effort") else None
        if fitted is not None:
            chat["reasoning_effort"] = fitted
        if fitted != effort:
            self.notes.append(
                f"reasoning.effort: {effort!r} {f'sent as {fitted!r}' if fitted else 'left out'}"
            )

    def _put_plain(self, chat: ChatRequest) -> None:
        text = self.request.text
        given: Mapping[str, Any] = {
            "verbosity": text.verbosity if text else None,
            "prompt_cache_key": self.request.prompt_cache_key,
            "prompt_cache_retention": self.request.prompt_cache_retention,
            "safety_identifier": self.request.safety_identifier,
            "service_tier": self.request.service_tier,
            "user": self.request.user,
            "metadata": self.request.metadata or None,
        }
        for name, value in given.items():
            if value is None:
                continue
            if name in self.profile.options or name != "metadata":  # metadata is the client's own
                self._put_option(chat, name, value)

    def _put_option(self, chat: ChatRequest, name: str, value: Any) -> None:
        if self._takes(name):
            _put(chat, name, value)
        else:
            self.notes.append(f"{name}: not taken by this upstream")

    def _takes(self, name: str) -> bool:
        return name in self.profile.options


def _put(chat: ChatRequest, name: str, value: Any) -> None:
    chat[name] = value  # type: ignore[literal-required]  # names come from the tables above


def _response_format(text_format: TextFormat, *, strict: bool) -> Json:
    if text_format.type == "json_object":
        return {"type": "json_object"}
    schema: Json = {"name": text_format.name, "schema": text_format.schema_}
    if text_format.description is not None:
        schema["description"] = text_format.description
    if text_format.strict is not None and strict:
        schema["strict"] = text_format.strict
    return {"type": "json_schema", "json_schema": schema}


EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Every effort there is, lowest first."""

USUAL_EFFORTS = ("low", "medium", "high")
"""What an instrument takes that lists none."""


def fit_effort(effort: str | int, known: tuple[str, ...] | None) -> str | None:
    """The nearest effort that an instrument knows; None if it knows none, or the wish has no place in the order."""
    choices = USUAL_EFFORTS if known is None else known
    if effort in choices:
        return str(effort)
    if effort not in EFFORTS:
        return None
    rank = EFFORTS.index(str(effort))
    ranked = [choice for choice in choices if choice in EFFORTS]
    outward = 1 if rank > EFFORTS.index("medium") else -1
    return min(
        ranked,
        key=lambda choice: (abs(EFFORTS.index(choice) - rank), -outward * EFFORTS.index(choice)),
        default=None,
    )


@dataclass(frozen=True, slots=True)
class Aliases:
    """Model names that stand for instruments: the user's own first, the profile's families last."""

    own: Mapping[str, str] = field(default_factory=dict)
    families: tuple[str, ...] = ()
    default: str | None = None

    def resolve(self, model: str, known: AbstractSet[str]) -> str:
        """The instrument for a model name; a name that nothing stands for is its own."""
        if model in self.own:
            return self.own[model]
        for pattern, instrument in self.own.items():
            if fnmatchcase(model, pattern):
                return instrument
        if model in known or self.default is None:
            return model
        return self.default if any(fnmatchcase(model, family) for family in self.families) else model
