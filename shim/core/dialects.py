"""Calls that a supplier left in the content, in the model's own notation.

Between `<tool_call>` tags stands one JSON object with `name` and `arguments`, or a list of such objects, or (Qwen3
Coder) `<function=NAME>` with a `<parameter=KEY>` for each argument. Whether the names are tools is for others to say.
"""

from __future__ import annotations

import re
from typing import Any

from shim.core.jsonstrings import parsed
from shim.wire.base import Json

LeftCall = tuple[str, Any]
"""A name and its arguments, as JSON text or as a value."""

_FUNCTION = re.compile(r"\s*<function=([^>\s]+)>\s*")
_FUNCTION_END = re.compile(r"\s*</function>\s*")
_PARAMETER = re.compile(
    r"<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>\s*(?=<parameter=|</function>)", re.DOTALL
)


def left_calls(text: str) -> list[LeftCall]:
    """The calls in a text; none if it says anything else."""
    if text.lstrip().startswith("<"):
        return _tagged_calls(text)
    value = parsed(text.strip())
    calls = [_json_call(entry) for entry in (value if isinstance(value, list) else [value])]
    return [call for call in calls if call] if all(calls) else []


def _json_call(entry: Any) -> LeftCall | None:
    if not isinstance(entry, dict):
        return None
    inner = entry.get("function")
    said: Json = inner if isinstance(inner, dict) else entry
    name = said.get("name")
    return (name, said.get("arguments") or said.get("parameters")) if isinstance(name, str) else None


def _tagged_calls(text: str) -> list[LeftCall]:
    calls: list[LeftCall] = []
    at = 0
    while head := _FUNCTION.match(text, at):
        arguments, at = _parameters(text, head.end())
        end = _FUNCTION_END.match(text, at)
        if end is None:
            return []
        calls.append((head[1], arguments))
        at = end.end()
    return calls if at == len(text) else []


def _parameters(text: str, at: int) -> tuple[Json, int]:
    """The arguments from here on, and where they end: JSON if it parses, else the text itself."""
    arguments: Json = {}
    while found := _PARAMETER.match(text, at):
        value = parsed(found[2])
        arguments[found[1]] = found[2] if value is None and found[2].strip() != "null" else value
        at = found.end()
    return arguments, at
