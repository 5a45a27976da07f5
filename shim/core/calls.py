"""Calls while they grow: functions as they are, and the tools that chat knows only as functions.

For the latter the function's arguments are decoded as they arrive and told in the tool's own events. A model may wrap
them as the item has them (`operation`, `action`) or say `command` for `commands`. A built-in call that says nothing to
run has a `flaw`: it is told as the upstream's fault, which clients retry, never as a call.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from shim.core.items import UNNUMBERED, Item, Speech
from shim.core.jsonstrings import Path, StringPiece, StringScanner, parsed
from shim.core.runs import Frame
from shim.core.text import Unfence
from shim.core.tools import Declared
from shim.wire.base import Json
from shim.wire.events import (
    ArgumentsDone,
    CallDelta,
    DiffDone,
    InputDone,
    ShellCommandDelta,
    ShellCommandEvent,
)
from shim.wire.output import (
    ItemStatus,
    LocalShellAction,
    OutputApplyPatchCall,
    OutputCompaction,
    OutputCustomToolCall,
    OutputFunctionCall,
    OutputItem,
    OutputLocalShellCall,
    OutputShellCall,
    OutputToolSearchCall,
    PatchOperation,
    ShellAction,
)


@dataclass(slots=True)
class CallBuilder(Speech):
    """What every call has: its id, the tool, and, in `text`, the arguments as the model writes them."""

    says = "arguments"
    call_id: str
    tool: Declared

    def open(self) -> None:
        """Tell that the call begins."""
        self.added(self.snapshot("in_progress"))

    def grow(self, text: str) -> None:
        """More of the arguments."""
        self.text.append(text)

    def close(self, status: ItemStatus) -> None:
        """Tell that the call is complete."""
        self.done(self.snapshot(status))

    def cut(self) -> None:
        """Tell what was held back: nothing more will come, and the call is never complete."""

    def snapshot(self, status: ItemStatus) -> OutputItem:
        """The call as it stands."""
        raise NotImplementedError

    def blank(self) -> bool:
        """Whether the model has written no arguments."""
        return not "".join(self.text).strip()

    def whole(self) -> bool:
        """Whether the arguments are whole JSON."""
        return isinstance(parsed("".join(self.text)), dict | list)

    def flaw(self) -> str | None:
        """Why the finished call must not be released, if it must not."""
        return None

    def _delta(
        self,
        kind: Literal[
            "response.function_call_arguments.delta",
            "response.custom_tool_call_input.delta",
            "response.apply_patch_call_operation_diff.delta",
        ],
        text: str,
    ) -> CallDelta:
        return {
            "type": kind,
            "delta": text,
            "item_id": self.item_id,
            "output_index": self.output_index,
            "sequence_number": UNNUMBERED,
        }

    def _object(self) -> Json:
        """The arguments, parsed; empty if they are no object."""
        value = parsed("".join(self.text))
        return value if isinstance(value, dict) else {}


@dataclass(slots=True)
class FunctionCallBuilder(CallBuilder):
    """A call of a function."""

    def open(self) -> None:
        """Tell that the call begins."""
        self.added(self.snapshot("in_progress"))
        self.frame = Frame(self._delta("response.function_call_arguments.delta", ""))

    def grow(self, text: str) -> None:
        """More of the arguments, told as they come."""
        self.text.append(text)
        self.door(self._delta("response.function_call_arguments.delta", text))

    def close(self, status: ItemStatus) -> None:
        """Tell the whole arguments; none at all are an empty object."""
        if self.blank():
            self.grow("{}")
        self.door(
            ArgumentsDone(
                type="response.function_call_arguments.done",
                arguments="".join(self.text),
                item_id=self.item_id,
                output_index=self.output_index,
                sequence_number=UNNUMBERED,
            )
        )
        self.done(self.snapshot(status))

    def snapshot(self, status: ItemStatus) -> OutputFunctionCall:
        """The call as it stands."""
        item = OutputFunctionCall(
            id=self.item_id,
            type="function_call",
            status=status,
            arguments="".join(self.text),
            call_id=self.call_id,
            name=self.tool.name,
        )
        if self.tool.namespace:
            item["namespace"] = self.tool.namespace
        return item


@dataclass(slots=True)
class CustomCallBuilder(CallBuilder):
    """A call of a custom tool: the string `input` within the arguments is told as it grows.

    A model that writes the text as it is, without JSON around it, is understood too; so is one that puts a
    Markdown fence around text that has a grammar.
    """

    scanner: StringScanner = field(default_factory=StringScanner)
    unfence: Unfence = field(default_factory=Unfence)
    input: list[str] = field(default_factory=list)
    found: bool = False
    raw: bool = False

    def grow(self, text: str) -> None:
        """More of the arguments."""
        self.text.append(text)
        if self.raw:
            self._tell(text)
            return
        for piece in self.scanner.feed(text):
            if piece.path == ("input",):
                self.found = True
                self._tell(piece.text)
        if self.scanner.broken and not self.found:
            self.raw = True
            self._tell("".join(self.text))

    def _tell(self, text: str) -> None:
        self._put(self.unfence.feed(text) if self.tool.grammar else text)

    def _put(self, text: str) -> None:
        if text:
            self.input.append(text)
            self.door(self._delta("response.custom_tool_call_input.delta", text))

    def close(self, status: ItemStatus) -> None:
        """Tell the whole input."""
        self._settle(cut=False)
        self.door(
            InputDone(
                type="response.custom_tool_call_input.done",
                input="".join(self.input),
                item_id=self.item_id,
                output_index=self.output_index,
                sequence_number=UNNUMBERED,
            )
        )
        self.done(self.snapshot(status))

    def cut(self) -> None:
        """Tell what was held back."""
        self._settle(cut=True)

    def _settle(self, *, cut: bool) -> None:
        if not self.found and not self.raw:
            self._tell(self._elsewhere(cut=cut))
        self._put(self.unfence.flush())

    def _elsewhere(self, *, cut: bool) -> str:
        """The input of a model that gave its one argument another name, or wrote text that looks like JSON.

        Of JSON that was cut nothing is told: what it would have become is not known.
        """
        arguments, text = self._object(), "".join(self.text)
        if len(arguments) == 1:
            value = next(iter(arguments.values()))
            return value if isinstance(value, str) else text
        empty = text.strip() in ("", "{}")
        return "" if empty or cut else text

    def snapshot(self, status: ItemStatus) -> OutputCustomToolCall:
        """The call as it stands."""
        item = OutputCustomToolCall(
            id=self.item_id,
            type="custom_tool_call",
            status=status,
            call_id=self.call_id,
            input="".join(self.input),
            name=self.tool.name,
        )
        if self.tool.namespace:
            item["namespace"] = self.tool.namespace
        return item


PatchKind = Literal["create_file", "update_file", "delete_file"]


@dataclass(slots=True)
class ApplyPatchBuilder(CallBuilder):
    """A call of `apply_patch`: it begins once the file and the kind of change are known, then the diff is told."""

    scanner: StringScanner = field(default_factory=StringScanner)
    known: dict[str, list[str]] = field(default_factory=lambda: {"type": [], "path": [], "diff": []})
    complete: set[str] = field(default_factory=set)
    opened: bool = False
    told: int = 0

    def open(self) -> None:
        """Nothing yet: an operation without its file cannot be told."""

    def grow(self, text: str) -> None:
        """More of the arguments."""
        self.text.append(text)
        for piece in self.scanner.feed(text):
            self._take(piece)
        if not self.opened and {"type", "path"} <= self.complete:
            self._open()
        if self.opened:
            self._tell()

    def _take(self, piece: StringPiece) -> None:
        name, *more = _unwrapped(piece.path, "operation")
        if not more and name in self.known and name not in self.complete:
            self.known[str(name)].append(piece.text)
            if piece.done:
                self.complete.add(str(name))

    def _open(self) -> None:
        self.opened = True
        self.added(self._item("in_progress", diff=""))

    def _tell(self) -> None:
        new = "".join(self.known["diff"][self.told :])
        self.told = len(self.known["diff"])
        if new and self._kind() != "delete_file":
            self.door(self._delta("response.apply_patch_call_operation_diff.delta", new))

    def close(self, status: ItemStatus) -> None:
        """Tell the whole diff."""
        if not self.opened:
            self._open()
        self._tell()
        if self._kind() != "delete_file":
            self.door(
                DiffDone(
                    type="response.apply_patch_call_operation_diff.done",
                    diff="".join(self.known["diff"]),
                    item_id=self.item_id,
                    output_index=self.output_index,
                    sequence_number=UNNUMBERED,
                )
            )
        self.done(self.snapshot(status))

    def flaw(self) -> str | None:
        """A patch needs a file, and arguments that end."""
        if "".join(self.known["path"]):
            return None if self.scanner.complete else "The model broke off within a call of apply_patch."
        return "The model called apply_patch without a path."

    def _kind(self) -> PatchKind:
        kind = "".join(self.known["type"])
        return cast("PatchKind", kind) if kind in ("create_file", "delete_file") else "update_file"

    def snapshot(self, status: ItemStatus) -> OutputApplyPatchCall:
        """The call as it stands."""
        return self._item(status, "".join(self.known["diff"]))

    def _item(self, status: ItemStatus, diff: str) -> OutputApplyPatchCall:
        """The API knows no incomplete patch call: one that was cut stays in progress."""
        operation = PatchOperation(type=self._kind(), path="".join(self.known["path"]))
        if operation["type"] != "delete_file":
            operation["diff"] = diff
        return OutputApplyPatchCall(
            id=self.item_id,
            type="apply_patch_call",
            status="completed" if status == "completed" else "in_progress",
            operation=operation,
            call_id=self.call_id,
        )


@dataclass(slots=True)
class ShellBuilder(CallBuilder):
    """A call of `shell`: each command is told as it grows.

    `command` with a list is one command, program and arguments: it is told once it is whole.
    """

    scanner: StringScanner = field(default_factory=StringScanner)
    commands: list[list[str]] = field(default_factory=list)
    command_open: bool = False

    def grow(self, text: str) -> None:
        """More of the arguments."""
        self.text.append(text)
        for piece in self.scanner.feed(text):
            if _is_command(piece.path):
                self._command(piece)
        if self.scanner.complete and not self.commands:
            self._vector()

    def _vector(self) -> None:
        vector = _inside(self._object(), "action").get("command")
        if isinstance(vector, list) and vector:
            self._command(StringPiece((), shlex.join(map(str, vector)), done=True))

    def _command(self, piece: StringPiece) -> None:
        if not self.command_open:
            self.command_open = True
            self.commands.append([])
            self._command_event("response.shell_call_command.added", "")
        if piece.text:
            self.commands[-1].append(piece.text)
            event: ShellCommandDelta = {
                "type": "response.shell_call_command.delta",
                "command_index": len(self.commands) - 1,
                "delta": piece.text,
                "output_index": self.output_index,
                "sequence_number": UNNUMBERED,
            }
            self.door(event)
        if piece.done:
            self._end_command()

    def _end_command(self) -> None:
        self.command_open = False
        self._command_event("response.shell_call_command.done", "".join(self.commands[-1]))

    def _command_event(
        self,
        kind: Literal["response.shell_call_command.added", "response.shell_call_command.done"],
        command: str,
    ) -> None:
        self.door(
            ShellCommandEvent(
                type=kind,
                command=command,
                command_index=len(self.commands) - 1,
                output_index=self.output_index,
                sequence_number=UNNUMBERED,
            )
        )

    def close(self, status: ItemStatus) -> None:
        """Tell that the call is complete."""
        self.done(self.snapshot(status))

    def flaw(self) -> str | None:
        """Some command is needed, and arguments that end."""
        if self.commands:
            return None if self.scanner.complete else "The model broke off within a call of shell."
        return "The model called shell without a command."

    def snapshot(self, status: ItemStatus) -> OutputShellCall:
        """The call as it stands."""
        arguments = _inside(self._object(), "action")
        item = OutputShellCall(
            id=self.item_id,
            type="shell_call",
            status=status,
            action=ShellAction(
                commands=["".join(command) for command in self.commands],
                max_output_length=_integer(arguments.get("max_output_length")),
                timeout_ms=_integer(arguments.get("timeout_ms")),
            ),
            call_id=self.call_id,
        )
        if self.tool.environment and self.tool.environment.get("type") == "local":
            item["environment"] = {"type": "local"}
        return item


@dataclass(slots=True)
class LocalShellBuilder(CallBuilder):
    """A call of `local_shell`; its item has no events in between."""

    def flaw(self) -> str | None:
        """A command is needed."""
        return None if self._action()["command"] else "The model called local_shell without a command."

    def _action(self) -> LocalShellAction:
        return _exec(_inside(self._object(), "action"))

    def snapshot(self, status: ItemStatus) -> OutputLocalShellCall:
        """The call as it stands."""
        return OutputLocalShellCall(
            id=self.item_id,
            type="local_shell_call",
            status=status,
            action=self._action(),
            call_id=self.call_id,
        )


@dataclass(slots=True)
class ToolSearchBuilder(CallBuilder):
    """A call of client-side tool search; its arguments are an object, without events in between."""

    def snapshot(self, status: ItemStatus) -> OutputToolSearchCall:
        """The call as it stands."""
        return OutputToolSearchCall(
            id=self.item_id,
            type="tool_search_call",
            status=status,
            arguments=self._object(),
            call_id=self.call_id,
            execution="client",
        )


@dataclass(slots=True)
class CompactionBuilder(Item):
    """The summary of a conversation; it is told whole and sealed."""

    seal: Callable[[str], str]
    text: list[str] = field(default_factory=list)

    def open(self) -> None:
        """Tell that the compaction begins."""
        self.added(OutputCompaction(id=self.item_id, type="compaction", encrypted_content=""))

    def grow(self, text: str) -> None:
        """More of the summary."""
        self.text.append(text)

    def close(self, status: ItemStatus) -> None:
        """Tell the whole compaction."""
        self.done(self.snapshot(status))

    def snapshot(self, status: ItemStatus) -> OutputCompaction:
        """The compaction as it stands; sealed once it is complete."""
        sealed = "" if status == "in_progress" else self.seal("".join(self.text))
        return OutputCompaction(id=self.item_id, type="compaction", encrypted_content=sealed)


@dataclass(slots=True)
class CompactedBuilder(Item):
    """A compaction that was made before the answer; it is told as it is."""

    item: OutputCompaction

    def open(self) -> None:
        """Tell that it begins."""
        self.added(self.snapshot("in_progress"))

    def close(self, status: ItemStatus) -> None:
        """Tell it whole."""
        self.done(self.snapshot(status))

    def snapshot(self, status: ItemStatus) -> OutputCompaction:
        """The compaction; its content only once it is complete."""
        content = "" if status == "in_progress" else self.item["encrypted_content"]
        return OutputCompaction(id=self.item_id, type="compaction", encrypted_content=content)


CALL_BUILDERS: dict[str, tuple[str, type[CallBuilder]]] = {
    "function": ("fc", FunctionCallBuilder),
    "custom": ("ctc", CustomCallBuilder),
    "tool_search": ("tsc", ToolSearchBuilder),
    "local_shell": ("lsh", LocalShellBuilder),
    "shell": ("sh", ShellBuilder),
    "apply_patch": ("apc", ApplyPatchBuilder),
}
"""The prefix of the item's id, and the builder, for each kind of tool."""


def flaw_of(tool: Declared, arguments: list[str]) -> str | None:
    """The flaw of a call that has not been told yet."""
    call = CALL_BUILDERS[tool.kind][1]("", 0, lambda _: None, "", tool)
    for text in arguments:
        call.grow(text)
    return call.flaw()


def _unwrapped(path: Path, wrapper: str) -> Path:
    return path[1:] if path[0] == wrapper and len(path) > 1 else path


def _inside(arguments: Json, wrapper: str) -> Json:
    """The arguments, or the object that a model put around them."""
    inner = arguments.get(wrapper)
    return inner if isinstance(inner, dict) else arguments


def _is_command(path: Path) -> bool:
    """Whether a string of `shell`'s arguments is a command: `commands[n]`, or `command` or `commands` alone."""
    name, *more = _unwrapped(path, "action")
    return (name == "commands" and len(more) <= 1) or (name == "command" and not more)


def _integer(value: Any) -> int | None:
    return value if type(value) is int else None


def _exec(arguments: Json) -> LocalShellAction:
    """The arguments of `local_shell` as an action."""
    env = arguments.get("env")
    action = LocalShellAction(
        type="exec",
        command=_command(arguments.get("command")),
        env={str(name): str(value) for name, value in env.items()} if isinstance(env, dict) else {},
    )
    timeout_ms, folder = _integer(arguments.get("timeout_ms")), arguments.get("working_directory")
    if timeout_ms is not None:
        action["timeout_ms"] = timeout_ms
    if isinstance(folder, str):
        action["working_directory"] = folder
    return action


def _command(value: Any) -> list[str]:
    """An argument vector; a command line is split as a shell would."""
    if isinstance(value, list):
        return [str(argument) for argument in value]
    if not isinstance(value, str):
        return []
    try:
        return shlex.split(value)
    except ValueError:
        return [value]
