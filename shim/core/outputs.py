"""Calls and outputs of the tools that chat knows only as functions, as text for the model."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from shim.wire.base import Json
from shim.wire.items import ApplyPatchCallOutput, OtherItem


def custom_arguments(text: str) -> str:
    """The arguments of the function that stands for a custom tool."""
    return _json({"input": text})


def local_shell_arguments(action: Json) -> str:
    """The arguments of `local_shell`, from a replayed action."""
    return _picked(action, "command", "working_directory", "env", "timeout_ms")


def shell_arguments(action: Json) -> str:
    """The arguments of `shell`, from a replayed action."""
    return _picked(action, "commands", "timeout_ms", "max_output_length")


def patch_arguments(operation: Json) -> str:
    """The arguments of `apply_patch`, from a replayed operation."""
    return _picked(operation, "type", "path", "diff")


def shell_output(output: str | list[Json]) -> str:
    """What the commands of one shell call printed, and how each ended."""
    return output if isinstance(output, str) else "\n".join(_command_output(one) for one in output)


def _command_output(output: Json) -> str:
    outcome = output.get("outcome")
    lines = [str(output.get("stdout") or "")]
    if output.get("stderr"):
        lines.append(f"[stderr]\n{output['stderr']}")
    if isinstance(outcome, dict):
        ended = "timed out" if outcome.get("type") == "timeout" else f"exit code {outcome.get('exit_code')}"
        lines.append(f"[{ended}]")
    return "\n".join(line for line in lines if line)


def patch_output(item: ApplyPatchCallOutput) -> str:
    """Whether a patch applied, and what the client said about it."""
    return ": ".join(part for part in (item.status, item.output) if part) or "completed"


def described(item: OtherItem) -> str:
    """An item that chat has no form for, as tagged JSON; images leave a mark."""
    fields = {key: _without_images(value) for key, value in (item.model_extra or {}).items() if key != "id"}
    if item.type == "image_generation_call" and fields.get("result"):
        fields["result"] = "[image]"
    return f"<{item.type}>\n{_json(fields)}\n</{item.type}>"


def _without_images(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_images(sub) for key, sub in value.items()}
    if isinstance(value, list):
        return [_without_images(sub) for sub in value]
    return "[image]" if isinstance(value, str) and value.startswith("data:image/") else value


def _picked(source: Json, *keys: str) -> str:
    """Some of an object's keys; what is null or empty was filled in by the API, not written by the model."""
    return _json({key: source[key] for key in keys if source.get(key) not in (None, {})})


def _json(value: Json) -> str:
    return to_json(value).decode()
