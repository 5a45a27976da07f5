"""What a strict supplier refuses in `tools` and `tool_choice`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from shim.simulator.errors import Complaint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shim.simulator.config import JsonObject

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
NAME_RULE = "must match ^[a-zA-Z0-9_-]{1,64}$"
MODES = ("none", "auto", "required")
FUNCTION_KEYS = {"name", "description", "parameters", "strict"}
# Keywords whose values are maps of schemas, lists of schemas, or one schema.
_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLES = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")


def complaints(request: JsonObject) -> Iterator[Complaint]:
    """What is wrong with the tools a request offers and the choice it makes."""
    if "tools" not in request:
        return
    if not request["tools"]:
        yield Complaint("tools", "must not be empty; leave it out instead.")
    names: set[str] = set()
    for index, tool in enumerate(request["tools"]):
        yield from _tool(tool, f"tools[{index}]")
        name = tool["function"]["name"]
        if name in names:
            yield Complaint(f"tools[{index}].function.name", f"'{name}' is declared twice.")
        names.add(name)
    yield from _choice(request.get("tool_choice", "auto"), names)


def _tool(tool: Any, where: str) -> Iterator[Complaint]:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        yield Complaint(f"{where}.type", "must be 'function'.")
    elif not isinstance(tool.get("function"), dict):
        yield Complaint(f"{where}.function", "must be an object; name and parameters belong inside it.")
    else:
        yield from _function(tool["function"], f"{where}.function")


def _function(function: JsonObject, where: str) -> Iterator[Complaint]:
    if not isinstance(function.get("name"), str) or not TOOL_NAME.fullmatch(function["name"]):
        yield Complaint(f"{where}.name", f"{NAME_RULE}, not {function.get('name')!r}.")
    for key in function.keys() - FUNCTION_KEYS:
        yield Complaint(f"{where}.{key}", "unknown field.")
    if not isinstance(function.get("description", ""), str):
        yield Complaint(f"{where}.description", "must be a string.")
    if "parameters" in function:
        yield from _parameters(function["parameters"], f"{where}.parameters")


def _parameters(parameters: Any, where: str) -> Iterator[Complaint]:
    if not isinstance(parameters, dict) or parameters.get("type") != "object":
        yield Complaint(where, "must be a JSON Schema with type 'object'.")
    else:
        yield from schema_complaints(parameters, where)


def schema_complaints(schema: Any, where: str) -> Iterator[Complaint]:
    """What is wrong with a schema: foreign keywords, or something that is no schema where one belongs."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield Complaint(where, "must be a schema.")
        return
    if "encrypted" in schema:
        yield Complaint(f"{where}.encrypted", "unknown schema keyword.")
    for path, member in _subschemas(schema):
        yield from schema_complaints(member, f"{where}.{path}")


def _subschemas(schema: JsonObject) -> Iterator[tuple[str, Any]]:
    for keyword in _MAPS:
        members = schema.get(keyword, {})
        if not isinstance(members, dict):
            yield keyword, members
            continue
        yield from ((f"{keyword}.{name}", member) for name, member in members.items())
    for keyword in _LISTS:
        yield from ((f"{keyword}[{index}]", member) for index, member in enumerate(schema.get(keyword, [])))
    yield from ((keyword, schema[keyword]) for keyword in _SINGLES if keyword in schema)


def _choice(choice: Any, names: set[str]) -> Iterator[Complaint]:
    if isinstance(choice, str):
        if choice not in MODES:
            yield Complaint("tool_choice", f"must be one of {', '.join(MODES)}, or an object.")
    elif choice.get("type") != "function":
        yield Complaint("tool_choice.type", "must be 'function'.")
    elif not isinstance(choice.get("function"), dict):
        yield Complaint("tool_choice.function", "must be an object that holds the name.")
    elif choice["function"].get("name") not in names:
        yield Complaint(
            "tool_choice.function.name", f"'{choice['function'].get('name')}' is not among the tools."
        )
