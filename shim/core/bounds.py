"""Bounds on what a request holds: items, tools, names, schemas, images and files.

They are far beyond what clients send; what is within them can still be refused for what it is. A request's JSON is
looked at before its shapes are checked, so anything may stand anywhere.

Not here: bytes and nesting of the JSON itself, which are bounded while it is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from shim.core.validation import too_long
from shim.errors import ClientFault, invalid
from shim.wire.base import Json

ITEM_FIELDS = ("input", "instructions", "items")
"""Fields that hold items; the last is that of conversations."""

CONTENT_FIELDS = ("content", "output")
"""Fields of an item that hold parts."""

INLINE_FIELDS = frozenset({"image_url", "file_data"})
"""Fields of a part that may hold an image or a file itself."""


@dataclass(frozen=True, slots=True)
class RequestBounds:
    """What a request may hold at most; see `shim.limits` for the reasons.

    `depth` counts objects and arrays within each other, `values` those in all, and commas;
    `schema_bytes` is for each schema, written compactly.
    """

    depth: int
    values: int
    items: int
    tools: int
    name_characters: int
    schema_bytes: int
    images: int
    inline_bytes: int


def check_bounds(body: Json, size: int, bounds: RequestBounds) -> None:
    """Refuse a request that holds too much.

    Args:
        body: The parsed request.
        size: Its bytes as they were parsed; a small request has no large parts, which are then not measured.
        bounds: What it may hold.

    Raises:
        ClientFault: 400 with the path of what is too much.
    """
    count = _Count(bounds, measures_schemas=size > bounds.schema_bytes)
    if tools := body.get("tools"):
        count.add_tools(tools, "tools")
    for name in ITEM_FIELDS:
        if isinstance(items := body.get(name), list):
            count.add_items(items, name)
    if count.measures_schemas:
        count.check_format(body.get("text"))


@dataclass(slots=True)
class _Count:
    """What was met so far in one request."""

    bounds: RequestBounds
    measures_schemas: bool
    tools: int = 0
    images: int = 0
    inline_bytes: int = 0

    def add_items(self, items: list[Any], path: str) -> None:
        if len(items) > self.bounds.items:
            raise too_long(path, items, self.bounds.items)
        for index, item in enumerate(items):
            # Most items are calls and their outputs, which hold neither parts nor tools.
            if isinstance(item, dict) and (
                isinstance(item.get("content"), list)
                or isinstance(item.get("output"), list)
                or "tools" in item
            ):
                self._add_item(item, path, index)

    def _add_item(self, item: Json, path: str, index: int) -> None:
        if "tools" in item:
            self.add_tools(item["tools"], f"{path}[{index}].tools")
        for name in CONTENT_FIELDS:
            if name in item and isinstance(parts := item[name], list):
                self._add_parts(parts, path, index, name)

    def _add_parts(self, parts: list[Any], path: str, index: int, name: str) -> None:
        for place, part in enumerate(parts):
            if isinstance(part, dict) and not INLINE_FIELDS.isdisjoint(part):
                self._add_inline(part, f"{path}[{index}].{name}[{place}]")

    def _add_inline(self, part: Json, path: str) -> None:
        """Count an image, and what stands in the request itself of it or of a file."""
        if "image_url" in part:
            self.images += 1
        if self.images > self.bounds.images:
            message = f"Too many images: a request may hold {self.bounds.images:,}."
            raise invalid(message, path, "too_many_images")
        self.inline_bytes += sum(_inline_size(name, part.get(name)) for name in INLINE_FIELDS)
        if self.inline_bytes > self.bounds.inline_bytes:
            message = (
                "The images and files are too large: those that stand in a request may have "
                f"{self.bounds.inline_bytes:,} bytes together."
            )
            raise invalid(message, path, "inline_data_too_large")

    def add_tools(self, tools: Any, path: str) -> None:
        if not isinstance(tools, list):
            return
        self.tools += len(tools)
        if self.tools > self.bounds.tools:
            message = (
                f"Invalid '{path}': array too long. A request may declare {self.bounds.tools:,} tools in all."
            )
            raise invalid(message, path, "array_above_max_length")
        for index, tool in enumerate(tools):
            if isinstance(tool, dict):
                self._add_tool(tool, path, index)

    def _add_tool(self, tool: Json, path: str, index: int) -> None:
        name, longest = tool.get("name"), self.bounds.name_characters
        if isinstance(name, str) and len(name) > longest:
            raise too_long(f"{path}[{index}].name", name, longest)
        if self.measures_schemas:
            self._check_schema(tool.get("parameters"), f"{path}[{index}].parameters")
        if "tools" in tool:
            self.add_tools(tool["tools"], f"{path}[{index}].tools")

    def check_format(self, text: Any) -> None:
        """The schema of a structured answer."""
        text_format = text.get("format") if isinstance(text, dict) else None
        if isinstance(text_format, dict):
            self._check_schema(text_format.get("schema"), "text.format.schema")

    def _check_schema(self, schema: Any, path: str) -> None:
        if not isinstance(schema, dict):
            return
        size = len(to_json(schema, inf_nan_mode="null"))
        if size > self.bounds.schema_bytes:
            raise _too_large(path, size, self.bounds.schema_bytes)


def _inline_size(name: str, value: Any) -> int:
    """Bytes of data in a field; a link to data has none."""
    if not isinstance(value, str) or (name == "image_url" and value[:5].lower() != "data:"):
        return 0
    return len(value)


def _too_large(path: str, size: int, limit: int) -> ClientFault:
    message = f"Invalid '{path}': schema too large. Expected at most {limit:,} bytes of JSON, but got {size:,} instead."
    return invalid(message, path, "schema_too_large")


def path_at_depth(value: Any, depth: int, most: int = 4) -> str | None:
    """The first steps of the path to something that is nested deeper than `depth`; None if nothing is.

    Args:
        value: Parsed JSON.
        depth: Objects and arrays within each other that are allowed.
        most: Steps that are told.
    """
    if not isinstance(value, dict | list):
        return None
    if depth == 0:
        return ""
    steps = value.items() if isinstance(value, dict) else enumerate(value)
    for step, inner in steps:
        if (rest := path_at_depth(inner, depth - 1, most - 1)) is not None:
            own = f"[{step}]" if isinstance(step, int) else f".{step}"
            return own + rest if most > 0 else ""
    return None
