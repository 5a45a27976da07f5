"""JSON Schemas of tool arguments, made acceptable to strict suppliers.

Clients send `null`, schemas without a type, and keywords of their own; suppliers answer those with 400. Nothing
that constrains the arguments is changed.
"""

from __future__ import annotations

from typing import Any

from shim.wire.base import Json

FOREIGN_KEYWORDS = frozenset({"encrypted"})
"""Keywords outside JSON Schema that clients are known to send (Codex marks multi-agent messages so)."""

_NAMED_SCHEMAS = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}
)
_DATA = frozenset({"enum", "const", "default", "examples", "example", "required", "dependentRequired"})
_MAY_BE_NULL = frozenset({"const", "default", "example"})


def arguments_schema(schema: Json | None) -> Json:
    """An object schema for a function's arguments, from whatever the client declared."""
    clean = _clean(schema) if schema else {}
    if clean.get("type") != "object":
        clean = {"type": "object"} | {key: value for key, value in clean.items() if key != "type"}
    clean.setdefault("properties", {})
    return clean


def _clean(schema: Json) -> Json:
    return {key: _value(key, value) for key, value in schema.items() if _belongs(key, value)}


def _belongs(keyword: str, value: Any) -> bool:
    """Whether a keyword may go upstream; a null stands for a keyword that was left out."""
    return keyword not in FOREIGN_KEYWORDS and (value is not None or keyword in _MAY_BE_NULL)


def _value(keyword: str, value: Any) -> Any:
    if keyword in _DATA:
        return value
    if isinstance(value, dict):
        if keyword in _NAMED_SCHEMAS:
            return {name: _clean(sub) if isinstance(sub, dict) else sub for name, sub in value.items()}
        return _clean(value)
    if isinstance(value, list):
        return [_clean(sub) if isinstance(sub, dict) else sub for sub in value]
    return value
