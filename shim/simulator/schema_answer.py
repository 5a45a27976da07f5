"""A value that satisfies a JSON Schema: what a model under constrained decoding would have to say.

Covers what tool and response schemas use: `type` (also lists), `enum`, `const`, `properties`, `required`,
`items`, `prefixItems`, `minItems`, lengths, bounds, `multipleOf`, `$ref`, `anyOf`, `oneOf`, `allOf`, common
formats. Not a validator, and it ignores `pattern`, `not` and conditionals.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shim.simulator.config import JsonObject

    Schema: TypeAlias = JsonObject | bool

MAX_DEPTH = 24
FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT1S",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_SHAPES = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "prefixItems", "minItems"},
    "string": {"minLength", "maxLength", "format", "pattern"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}


class UnsatisfiableError(ValueError):
    """No value was found: the schema refuses everything, or it recurs without an end."""


def answer(schema: Schema) -> Any:
    """A value that satisfies the schema, the same one every time.

    Raises:
        UnsatisfiableError: There is none, or it would nest deeper than `MAX_DEPTH`.
    """
    root = schema if isinstance(schema, dict) else {}
    return _Generator(root).value(schema, "value", 0)


@dataclass(frozen=True)
class _Generator:
    root: JsonObject

    def value(self, schema: Schema, name: str, depth: int) -> Any:
        if schema is False or depth > MAX_DEPTH:
            raise UnsatisfiableError(f"no value for {name!r}")
        if schema is True:
            return name
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return _first(schema["enum"], name)
        for combine in (self._reference, self._any_of, self._all_of):
            if (combined := combine(schema)) is not None:
                return self._first_possible(combined, name, depth)
        return self._typed(schema, name, depth)

    def _reference(self, schema: JsonObject) -> list[JsonObject] | None:
        if "$ref" not in schema:
            return None
        target: Any = self.root
        for step in schema["$ref"].lstrip("#").strip("/").split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")] if step else target
        return [target]

    def _any_of(self, schema: JsonObject) -> list[JsonObject] | None:
        """Each branch joined with what stands beside it; branches that may recur come last."""
        keyword = next((keyword for keyword in ("anyOf", "oneOf") if keyword in schema), None)
        if keyword is None:
            return None
        beside = {key: value for key, value in schema.items() if key not in {keyword, "$defs"}}
        branches = sorted(schema[keyword], key=lambda branch: "$ref" in json.dumps(branch))
        return [_merged(beside, branch) for branch in branches]

    def _all_of(self, schema: JsonObject) -> list[JsonObject] | None:
        if "allOf" not in schema:
            return None
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            resolved = self._reference(part)
            merged = _merged(merged, resolved[0] if resolved else part)
        return [merged]

    def _first_possible(self, schemas: list[JsonObject], name: str, depth: int) -> Any:
        for schema in schemas:
            try:
                return self.value(schema, name, depth + 1)
            except UnsatisfiableError:
                continue
        raise UnsatisfiableError(f"no branch for {name!r}")

    def _typed(self, schema: JsonObject, name: str, depth: int) -> Any:
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case kind:
                return _SCALARS[kind](schema, name)

    def _object(self, schema: JsonObject, depth: int) -> JsonObject:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        names = [
            *(name for name in properties if name in required),
            *(n for n in required if n not in properties),
        ]
        return {name: self.value(properties.get(name, True), name, depth + 1) for name in names}

    def _array(self, schema: JsonObject, name: str, depth: int) -> list[Any]:
        prefix = schema.get("prefixItems", [])
        more = max(0, schema.get("minItems", 0) - len(prefix))
        members = [*prefix, *[schema.get("items", True)] * more]
        return [self.value(member, name, depth + 1) for member in members]


def _first(values: list[Any], name: str) -> Any:
    if not values:
        raise UnsatisfiableError(f"an empty enum for {name!r}")
    return values[0]


def _merged(left: JsonObject, right: Schema) -> JsonObject:
    if isinstance(right, bool):
        return left if right else {"enum": []}
    return {
        **left,
        **right,
        "properties": {**left.get("properties", {}), **right.get("properties", {})},
        "required": [*left.get("required", []), *right.get("required", [])],
    }


def _type_of(schema: JsonObject) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((member for member in kind if member != "null"), "null")
    if kind is None:
        kind = next((shape for shape, keywords in _SHAPES.items() if _says(schema, keywords)), "string")
    if kind not in {"object", "array", *_SCALARS}:
        raise UnsatisfiableError(f"an unknown type {kind!r}")
    return str(kind)


def _says(schema: JsonObject, keywords: set[str]) -> bool:
    return any(schema.get(keyword) not in (None, [], {}) for keyword in keywords)


def _string(schema: JsonObject, name: str) -> str:
    text = FORMATS.get(schema.get("format", ""), name)
    text = text.ljust(schema.get("minLength", 0), ".")
    return text[: schema.get("maxLength", len(text))]


def _integer(schema: JsonObject, name: str) -> int:
    return int(_number({"multipleOf": 1, **schema}, name))


def _number(schema: JsonObject, name: str) -> float:
    """The first of a few likely numbers that keeps within the bounds."""
    found = next((value for value in _likely_numbers(schema) if _fits(value, schema)), None)
    if found is None:
        raise UnsatisfiableError(f"no number for {name!r}")
    return found


def _likely_numbers(schema: JsonObject) -> Iterator[float]:
    step = schema.get("multipleOf", 1)
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
    yield step
    if low > -math.inf:
        yield from (low, math.ceil(low / step) * step, (math.floor(low / step) + 1) * step)
    if high < math.inf:
        yield from (high, math.floor(high / step) * step, (math.ceil(high / step) - 1) * step)
    if math.inf > high > low > -math.inf:
        yield (low + high) / 2


def _fits(value: float, schema: JsonObject) -> bool:
    step = schema.get("multipleOf")
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and schema.get("exclusiveMinimum", -math.inf) < value < schema.get("exclusiveMaximum", math.inf)
        and (step is None or math.isclose(value / step, round(value / step)))
    )


_SCALARS: dict[str, Callable[[JsonObject, str], Any]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda _schema, _name: True,
    "null": lambda _schema, _name: None,
}
