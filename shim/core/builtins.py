"""The tools whose arguments the API itself defines: `local_shell`, `shell` and `apply_patch`.

Each is shown to the model as a function with the same arguments as the item that goes back to the client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shim.wire.base import Json

BuiltInKind = Literal["local_shell", "shell", "apply_patch"]


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """How a built-in tool is shown to the model."""

    description: str
    parameters: Json


def _object(required: list[str], **properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _strings(description: str) -> Json:
    return {"type": "array", "items": {"type": "string"}, "description": description}


def _text(description: str) -> Json:
    return {"type": "string", "description": description}


def _number(description: str) -> Json:
    return {"type": "integer", "description": description}


BUILT_IN: dict[BuiltInKind, BuiltIn] = {
    "local_shell": BuiltIn(
        "Runs one command on the user's machine and returns its output.",
        _object(
            ["command"],
            command=_strings("Program and arguments, one string each."),
            working_directory=_text("Folder to run it in."),
            env={
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "Environment variables to add.",
            },
            timeout_ms=_number("Milliseconds after which the command is stopped."),
        ),
    ),
    "shell": BuiltIn(
        "Runs shell commands, each in a shell of its own at the same time, and returns their output.",
        _object(
            ["commands"],
            commands=_strings("Command lines."),
            timeout_ms=_number("Milliseconds after which a command is stopped."),
            max_output_length=_number("Characters of output to return at the most."),
        ),
    ),
    "apply_patch": BuiltIn(
        "Creates, changes or deletes one file. A diff has lines that begin with a space (kept), `-` (removed) or "
        "`+` (added); `@@` with a line of the file, such as a function's head, begins each changed place. For "
        "create_file every line begins with `+`. delete_file needs no diff.",
        _object(
            ["type", "path"],
            type={
                "type": "string",
                "enum": ["create_file", "update_file", "delete_file"],
                "description": "What to do; give this first.",
            },
            path=_text("The file, relative to the working folder; give this second."),
            diff=_text("The change."),
        ),
    ),
}
