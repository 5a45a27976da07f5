"""Input items as chat messages: a fold with one open assistant turn.

What chat templates demand and clients do not care about is settled here: one system message, first; one assistant
message a turn; every call answered right after it, in order. Nothing is invented: what is missing is said to be
missing, what was moved or left out is noted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, assert_never

from pydantic_core import from_json, to_json

from shim.core.content import ContentReader, Mixed, joined
from shim.core.outputs import (
    custom_arguments,
    described,
    local_shell_arguments,
    patch_arguments,
    patch_output,
    shell_arguments,
    shell_output,
)
from shim.core.profile import Profile
from shim.core.tools import Toolbox
from shim.errors import invalid
from shim.wire.chat import (
    AssistantMessage,
    ChatContent,
    ChatMessage,
    ChatPart,
    ChatToolCall,
    FunctionText,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)
from shim.wire.items import (
    AdditionalTools,
    AgentMessage,
    ApplyPatchCall,
    ApplyPatchCallOutput,
    Compaction,
    CompactionTrigger,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputItem,
    ItemReference,
    LocalShellCall,
    LocalShellCallOutput,
    Message,
    OtherItem,
    Reasoning,
    ShellCall,
    ShellCallOutput,
    ToolSearchCall,
    ToolSearchOutput,
)
from shim.wire.parts import Part

Unseal = Callable[[str], str | None]
"""Opens `encrypted_content`; None if it is not ours."""

Replay = Literal["turn", "all", "none"]

NO_OUTPUT = "No output of this call was recorded."

REASONING_LEFT_OUT = "reasoning: that of earlier turns was left out"
REASONING_NOT_TAKEN = "reasoning: not sent back to this upstream"


@dataclass
class Call:
    """One call of an assistant turn and what came back."""

    call_id: str
    name: str
    arguments: str
    output: Mixed | None = None


@dataclass
class AssistantTurn:
    """What the model said and called between two words of the user."""

    where: str
    reasoning: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    later: list[UserMessage] = field(default_factory=list)
    """What stood inside the turn and is not the model's: it follows the turn."""
    ids: dict[str, int] = field(default_factory=dict)
    """The ids of its calls, and the number from which on one that comes again looks for a free name."""
    last: int = -1
    """The position of its last item, outputs included."""
    answered: bool = False
    """Whether any call has its output: then the turn is over."""


@dataclass
class Asked:
    """The calls of one id in the last turn that has any: the last one, and those that wait for their output."""

    turn: AssistantTurn
    last: Call
    waiting: deque[Call]


RareItem = (
    LocalShellCall
    | LocalShellCallOutput
    | ShellCall
    | ShellCallOutput
    | ApplyPatchCall
    | ApplyPatchCallOutput
    | ToolSearchCall
    | ToolSearchOutput
    | AgentMessage
    | Compaction
    | AdditionalTools
    | CompactionTrigger
    | ItemReference
    | OtherItem
)
"""What a conversation has few of, or none."""


@dataclass
class Fold:
    """The conversation while it is read, item by item."""

    toolbox: Toolbox
    reader: ContentReader
    profile: Profile
    unseal: Unseal
    replay: Replay
    notes: list[str]
    system: list[str] = field(default_factory=list, init=False)
    entries: list[AssistantTurn | ChatMessage] = field(default_factory=list, init=False)
    calls: dict[str, Asked] = field(default_factory=dict, init=False)
    last_user: int = field(default=-1, init=False)

    def add(self, item: InputItem, position: int, where: str) -> None:
        """Take one item: the `position`-th of the whole conversation, found at the request path `where`."""
        match item:  # what there is most of first: each class that does not fit takes longer than it looks
            case Message():
                self._message(item, position, where)
            case FunctionCall() | CustomToolCall():
                self._call(item, position, where)
            case FunctionCallOutput() | CustomToolCallOutput():
                self._output(item, position, where)
            case Reasoning():
                self._reasoning(item, position, where)
            case _:
                self._add_rare(item, position, where)

    def _add_rare(self, item: RareItem, position: int, where: str) -> None:
        match item:
            case LocalShellCall() | ShellCall() | ApplyPatchCall() | ToolSearchCall():
                self._call(item, position, where)
            case AgentMessage():
                self._agent_message(item, where)
            case Compaction():
                self._compaction(item, where)
            case AdditionalTools() | CompactionTrigger():
                pass  # read elsewhere: they are about the request, not of the conversation
            case ItemReference():
                raise invalid(f"Item with id '{item.id}' not found.", "input")
            case OtherItem():
                self.notes.append(f"{where}: an item of type {item.type!r} was sent as text")
                self._aside(described(item))
            case _:
                self._output(item, position, where)

    # -- messages ---------------------------------------------------------------------------------------------

    def _message(self, item: Message, position: int, where: str) -> None:
        if item.role == "user":
            self.last_user = position
            self._user(self.reader.chat(item.content, f"{where}.content"))
            return
        content = self.reader.read(item.content, f"{where}.content")
        if item.role == "assistant":
            self._note_media(content, f"{where}.content")
            self._turn(position, where).text.append(content.text(""))
        else:
            self.instruct(content)

    def instruct(self, content: Mixed) -> None:
        """A system or developer message: in front, or in place as far as the upstream can bear it."""
        if content.media:
            self._user(_tagged("developer", content))
        elif not self.entries:
            self.system.append(content.text("\n"))
        elif self.profile.midway_system:
            self.entries.append(SystemMessage(role="system", content=content.text("\n")))
        else:
            self._user(_tagged("developer", content))

    def _note_media(self, content: Mixed, where: str) -> None:
        """Chat takes nothing but text from the model."""
        if content.media:
            self.notes.append(f"{where}: images, files and audio cannot stand here and were left out")

    def _user(self, content: ChatContent) -> None:
        self.entries.append(UserMessage(role="user", content=content))

    def _aside(self, content: ChatContent) -> None:
        """Something that may stand in the middle of a turn, which goes on after it."""
        last = self.entries[-1] if self.entries else None
        if isinstance(last, AssistantTurn) and not last.answered:
            last.later.append(UserMessage(role="user", content=content))
        else:
            self._user(content)

    def _agent_message(self, item: AgentMessage, where: str) -> None:
        if item.author or item.recipient:
            self.notes.append(f"{where}: author and recipient are not sent, only what was said")
        self._user(self.reader.chat(item.content, f"{where}.content"))

    def _compaction(self, item: Compaction, where: str) -> None:
        summary = self.unseal(item.encrypted_content) if item.encrypted_content else None
        if summary is None:
            self.notes.append(f"{where}: a compaction made elsewhere cannot be read and was left out")
        else:
            self._user(f"<conversation_summary>\n{summary}\n</conversation_summary>")

    # -- the assistant's turns --------------------------------------------------------------------------------

    def _turn(self, position: int, where: str) -> AssistantTurn:
        """The open turn, or a new one: outputs and anything said by others end a turn."""
        last = self.entries[-1] if self.entries else None
        if not isinstance(last, AssistantTurn) or last.answered:
            last = AssistantTurn(where)
            self.entries.append(last)
        last.last = position
        return last

    def _reasoning(self, item: Reasoning, position: int, where: str) -> None:
        text = self._reasoning_text(item, where)
        if text:
            self._turn(position, where).reasoning.append(text)

    def _reasoning_text(self, item: Reasoning, where: str) -> str:
        """Raw text if there is some, else the seal, else the summary."""
        content = self._parts_text(item.content, f"{where}.content")
        summary = self._parts_text(item.summary, f"{where}.summary")
        sealed = self.unseal(item.encrypted_content) if item.encrypted_content else None
        if item.encrypted_content and sealed is None:
            self.notes.append(f"{where}.encrypted_content: made elsewhere, cannot be read")
        text = content or sealed or summary
        if summary and summary != text:
            self.notes.append(f"{where}.summary: left out beside the reasoning itself")
        return text

    def _parts_text(self, parts: list[Part] | None, where: str) -> str:
        content = self.reader.read(parts or [], where)
        self._note_media(content, where)
        return joined(part["text"] for part in content.parts if part["type"] == "text")

    def _call(
        self,
        item: FunctionCall | CustomToolCall | LocalShellCall | ShellCall | ApplyPatchCall | ToolSearchCall,
        position: int,
        where: str,
    ) -> None:
        turn = self._turn(position, where)
        name, arguments = self._called(item)
        if not _is_object(arguments):
            self.notes.append(f"{where}.arguments: not a JSON object; sent inside one")
            arguments = to_json({"invalid_json": arguments}).decode()
        call = Call(self._free_id(item.call_id or f"call_{position}", turn, where), name, arguments)
        turn.calls.append(call)
        self._ask(call.call_id if item.call_id is None else item.call_id, call, turn)
        if isinstance(item, LocalShellCall) and item.id and item.id != item.call_id:
            self._ask(item.id, call, turn)  # the API's output names the call by its item's id

    def _free_id(self, call_id: str, turn: AssistantTurn, where: str) -> str:
        """The id of a call, unlike all others of its turn."""
        free, number = call_id, max(len(turn.calls), turn.ids.get(call_id, 0))
        while free in turn.ids:
            free, number = f"{call_id}_{number}", number + 1
        if free != call_id:
            self.notes.append(f"{where}: a second call {call_id!r} in one turn was renamed")
            turn.ids[call_id] = number
        turn.ids[free] = 0
        return free

    def _ask(self, key: str, call: Call, turn: AssistantTurn) -> None:
        """Keep a call for the output that names `key`."""
        asked = self.calls.get(key)
        if asked is None or asked.turn is not turn:
            self.calls[key] = Asked(turn, call, deque([call]))
        else:
            asked.last = call
            asked.waiting.append(call)

    def _called(
        self,
        item: FunctionCall | CustomToolCall | LocalShellCall | ShellCall | ApplyPatchCall | ToolSearchCall,
    ) -> tuple[str, str]:
        """The chat function of a call and its arguments as JSON text."""
        named = self.toolbox.chat_name
        match item:
            case FunctionCall():
                return named("function", item.name, item.namespace), _object_text(item.arguments)
            case CustomToolCall():
                return named("custom", item.name, item.namespace), custom_arguments(item.input)
            case LocalShellCall():
                return named("local_shell", "local_shell", None), local_shell_arguments(item.action)
            case ShellCall():
                return named("shell", "shell", None), shell_arguments(item.action)
            case ApplyPatchCall():
                return named("apply_patch", "apply_patch", None), patch_arguments(item.operation)
            case ToolSearchCall():
                arguments = "" if item.arguments is None else item.arguments
                text = arguments if isinstance(arguments, str) else to_json(arguments).decode()
                return named("tool_search", "tool_search", None), _object_text(text)
            case _:
                assert_never(item)

    # -- outputs ----------------------------------------------------------------------------------------------

    def _output(
        self,
        item: FunctionCallOutput
        | CustomToolCallOutput
        | LocalShellCallOutput
        | ShellCallOutput
        | ApplyPatchCallOutput
        | ToolSearchOutput,
        position: int,
        where: str,
    ) -> None:
        call_id, output = self._answered(item, where)
        asked = self.calls.get(call_id) if call_id is not None else None
        if asked is None:
            self._orphan(item, output, where)
            return
        if asked.waiting:
            call = asked.waiting.popleft()
        else:
            call = asked.last
            self.notes.append(f"{where}: a second output of call {call_id!r} replaced the first")
        if self.entries[-1] is not asked.turn:
            self.notes.append(f"{where}: moved up to its call {call_id!r}")
        call.output, asked.turn.answered, asked.turn.last = output, True, position

    def _answered(
        self,
        item: FunctionCallOutput
        | CustomToolCallOutput
        | LocalShellCallOutput
        | ShellCallOutput
        | ApplyPatchCallOutput
        | ToolSearchOutput,
        where: str,
    ) -> tuple[str | None, Mixed]:
        match item:
            case FunctionCallOutput() | CustomToolCallOutput():
                return item.call_id, self.reader.read(item.output, f"{where}.output")
            case LocalShellCallOutput():
                return item.call_id or item.id, self.reader.read(item.output, where)
            case ShellCallOutput():
                return item.call_id, self.reader.read(shell_output(item.output), where)
            case ApplyPatchCallOutput():
                return item.call_id, self.reader.read(patch_output(item), where)
            case ToolSearchOutput():
                found = Toolbox()
                found.add(item.tools)
                names = [self.toolbox.chat_name(*_kind_name_place(key)) for key in found.by_key]
                return item.call_id, self.reader.read(to_json({"tools": names}).decode(), where)
            case _:
                assert_never(item)

    def _orphan(self, item: InputItem, output: Mixed, where: str) -> None:
        """An output whose call is nowhere: Codex tells the model things in this way."""
        self.notes.append(f"{where}: an output without its call was sent as text")
        name = getattr(item, "name", None)
        place = getattr(item, "namespace", None)
        label = f" name={f'{place}.{name}' if place else name!s}" if name else ""
        self._user(_tagged("tool_output", output, label))

    # -- messages out -----------------------------------------------------------------------------------------

    def messages(self) -> list[ChatMessage]:
        """The conversation as chat messages."""
        system = joined(self.system)
        head: list[ChatMessage] = [SystemMessage(role="system", content=system)] if system else []
        return head + [message for entry in self.entries for message in self._rendered(entry)]

    def _rendered(self, entry: AssistantTurn | ChatMessage) -> Iterable[ChatMessage]:
        if not isinstance(entry, AssistantTurn):
            return [entry]
        if not entry.calls and not any(entry.text):
            what = "reasoning without an answer" if entry.reasoning else "an empty assistant message"
            self.notes.append(f"{entry.where}: {what} was left out")
            return entry.later
        return [self._assistant(entry), *self._tool_messages(entry), *entry.later]

    def _assistant(self, turn: AssistantTurn) -> AssistantMessage:
        text = joined(turn.text)
        message = AssistantMessage(role="assistant", content=text or (None if turn.calls else ""))
        reasoning = self._replayed(turn)
        if reasoning and self.profile.reasoning_field == "reasoning_content":
            message["reasoning_content"] = reasoning
        elif reasoning and self.profile.reasoning_field == "reasoning":
            message["reasoning"] = reasoning
        if turn.calls:
            message["tool_calls"] = [
                ChatToolCall(
                    id=call.call_id,
                    type="function",
                    function=FunctionText(name=call.name, arguments=call.arguments),
                )
                for call in turn.calls
            ]
        return message

    def _replayed(self, turn: AssistantTurn) -> str:
        """The reasoning that goes back with a turn."""
        if not turn.reasoning:
            return ""
        if self.profile.reasoning_field is None or self.replay == "none":
            self.notes.append(REASONING_NOT_TAKEN)
            return ""
        if self.replay == "turn" and turn.last < self.last_user:
            self.notes.append(REASONING_LEFT_OUT)
            return ""
        return joined(turn.reasoning)

    def _tool_messages(self, turn: AssistantTurn) -> Iterable[ChatMessage]:
        """One message a call, in call order, then all images in one user message."""
        media: list[ChatPart] = []
        for call in turn.calls:
            if call.output is None:
                self.notes.append(f"call {call.call_id!r} has no output")
            text = NO_OUTPUT if call.output is None else call.output.text("\n")
            yield ToolMessage(role="tool", tool_call_id=call.call_id, content=text)
            if call.output and call.output.media:
                media.append(TextPart(type="text", text=f"<tool_output call_id={call.call_id}>"))
                media.extend(call.output.media)
        if media:
            yield UserMessage(role="user", content=media)


def _kind_name_place(key: tuple[str, str, str]) -> tuple[str, str, str]:
    kind, place, name = key
    return kind, name, place


def _tagged(tag: str, content: Mixed, label: str = "") -> ChatContent:
    """Content between tags; media stay parts."""
    if not content.media:
        return f"<{tag}{label}>\n{content.text(chr(10))}\n</{tag}>"
    opening = TextPart(type="text", text=f"<{tag}{label}>")
    return [opening, *content.parts, TextPart(type="text", text=f"</{tag}>")]


def _object_text(arguments: str) -> str:
    return arguments if arguments.strip() else "{}"


def _is_object(arguments: str) -> bool:
    """Whether arguments are what suppliers demand: JSON text of an object."""
    try:
        return isinstance(from_json(arguments, allow_inf_nan=False), dict)
    except ValueError:
        return False
