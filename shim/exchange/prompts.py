"""`prompt`: a stored template and the request's variables made one request.

A template is a JSON object of request fields. `{{name}}` in its texts stands for a variable: a string, or an input
part (image, file, text), which takes its place among the parts of a message. What the request itself says wins over
the template; its `input` follows the template's, its `instructions` replace them.

Not here: how templates get into the store (`shim.cli.prompts`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from shim.core.validation import fault_of
from shim.errors import ClientFault, invalid
from shim.store import ResponseStore
from shim.store.records import Prompt
from shim.wire.base import Inbound, Json

EVERYONE = "everyone"
"""The owner of prompts that the endpoint's operator stored for all clients; no client's hash looks like it."""

LONGEST_VERSION = 18
"""Most digits of a version that is looked up: stores count from 1, and not so far."""

TEMPLATE_FIELDS = frozenset(
    {
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "parallel_tool_calls",
        "reasoning",
        "service_tier",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
    }
)
"""What a template may hold: everything that shapes the answer, nothing that is one request's own."""

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}")


class PromptReference(Inbound):
    """The request's `prompt`."""

    id: str
    version: str | None = None
    variables: dict[str, str | Json] | None = None


class Prompted(NamedTuple):
    """A request body with its prompt filled in."""

    body: Json
    notes: tuple[str, ...] = ()


async def with_prompt(body: Json, store: ResponseStore, owner: str) -> Prompted:
    """Fill in the prompt that a request names.

    Raises:
        ClientFault: 404 for an unknown prompt or version, 400 for a missing variable or one of a wrong kind.
        StoreFault: The store is away.
    """
    reference = _reference(body["prompt"])
    found = await _find(store, owner, reference)
    filling = Filling(reference.variables or {})
    template = {name: filling.fill(value, name) for name, value in from_json(found.template).items()}
    given = {name: value for name, value in body.items() if value is not None}
    filled = {**template, **given, "input": _joined(template.get("input"), given.get("input"))}
    unused = sorted(filling.variables.keys() - filling.used)
    return Prompted(filled, tuple(f"prompt.variables.{name}: not in the prompt" for name in unused))


def variables_of(template: Any) -> set[str]:
    """The names of the variables in a template's texts."""
    if isinstance(template, str):
        return set(_VARIABLE.findall(template))
    values = template.values() if isinstance(template, dict) else template
    return set().union(*map(variables_of, values)) if isinstance(template, dict | list) else set()


def _reference(given: Any) -> PromptReference:
    try:
        return TypeAdapter(PromptReference).validate_python(given)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        details["loc"] = ("prompt", *details["loc"])
        raise fault_of(details) from None


async def _find(store: ResponseStore, owner: str, reference: PromptReference) -> Prompt:
    version = reference.version
    if version is not None and not (version.isascii() and version.isdecimal()):
        raise invalid(
            f"Invalid 'prompt.version': '{version[:20]}' is no number.", "prompt.version", "invalid_value"
        )
    digits = (version or "").lstrip("0")
    if len(digits) <= LONGEST_VERSION:
        number = None if version is None else int(digits or 0)
        for of in (owner, EVERYONE):
            if found := await store.prompts.get(of, reference.id, number):
                return found
    which = "" if version is None else f" and version '{version[:20]}'"
    raise ClientFault(
        f"Prompt with id '{reference.id}'{which} not found.",
        status=404,
        param="prompt",
        code="prompt_not_found",
    )


def _joined(template: Any, given: Any) -> Any:
    """The template's messages, then the request's own; input of another kind is for validation to refuse."""
    if template is None or given is None:
        return given if template is None else template
    if not isinstance(given, str | list):
        return given
    return [*_as_items(template), *_as_items(given)]


def _as_items(given: Any) -> Any:
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


@dataclass
class Filling:
    """Puts variables into a template, and remembers which were used."""

    variables: Mapping[str, str | Json]
    used: set[str] = field(default_factory=set)

    def fill(self, value: Any, where: str) -> Any:
        """A template's value with its variables filled in.

        Raises:
            ClientFault: A variable is missing, or no string where only text can stand.
        """
        if isinstance(value, str):
            return (
                self._parts(value)
                if where == "input" and self._has_parts(value)
                else self._text(value, where)
            )
        if isinstance(value, list):
            return [part for entry in value for part in self._entries(entry, where)]
        if isinstance(value, dict):
            return {name: self._member(name, entry, where) for name, entry in value.items()}
        return value

    def _member(self, name: str, value: Any, where: str) -> Any:
        if name == "content" and isinstance(value, str) and self._has_parts(value):
            return self._split(value)
        return self.fill(value, where)

    def _entries(self, entry: Any, where: str) -> list[Any]:
        """A list's entry; a text part that holds other parts becomes several."""
        text = entry.get("text") if isinstance(entry, dict) and entry.get("type") == "input_text" else None
        if isinstance(text, str) and self._has_parts(text):
            return self._split(text)
        return [self.fill(entry, where)]

    def _parts(self, text: str) -> Any:
        return [{"role": "user", "content": self._split(text)}]

    def _has_parts(self, text: str) -> bool:
        return any(isinstance(self.variables.get(name), dict) for name in _VARIABLE.findall(text))

    def _split(self, text: str) -> list[Json]:
        """A text as parts: what stands around the variables, and the variables."""
        parts: list[Json] = []
        for index, piece in enumerate(_VARIABLE.split(text)):
            value = self._value(piece) if index % 2 else piece
            if isinstance(value, dict):
                parts.append(value)
            elif value:
                parts.append({"type": "input_text", "text": value})
        return parts

    def _text(self, text: str, where: str) -> str:
        def replacement(match: re.Match[str]) -> str:
            value = self._value(match[1])
            if isinstance(value, dict):
                if value.get("type") == "input_text" and isinstance(value.get("text"), str):
                    return str(value["text"])
                path = f"prompt.variables.{match[1]}"
                raise invalid(
                    f"Invalid '{path}': only text can stand in the prompt's '{where}'.", path, "invalid_value"
                )
            return value

        return _VARIABLE.sub(replacement, text)

    def _value(self, name: str) -> str | Json:
        if name not in self.variables:
            path = f"prompt.variables.{name}"
            raise invalid(f"Missing prompt variable: '{name}'.", path, "missing_required_parameter")
        self.used.add(name)
        return self.variables[name]
