"""Request bodies, checked; what is wrong is said as OpenAI says it, with the path of the field."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shim.errors import ClientFault, invalid, missing
from shim.wire.base import Json
from shim.wire.request import CreateResponse


def read_request(body: Json) -> CreateResponse:
    """Check a request body.

    Raises:
        ClientFault: 400 with OpenAI's message, code and the path of the first offending field.
    """
    try:
        request = CreateResponse.model_validate(body)
    except ValidationError as error:
        raise fault_of(error.errors(include_url=False)[0]) from None
    if request.input is None and all(getattr(request, name) is None for name in _INSTEAD_OF_INPUT):
        raise missing("input")
    _check_format(request)
    return request


_INSTEAD_OF_INPUT = ("prompt", "previous_response_id", "conversation")
"""What brings a conversation to a request that has none of its own."""

_FORMAT_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def _check_format(request: CreateResponse) -> None:
    text_format = request.text.format if request.text else None
    if text_format is None or text_format.type != "json_schema":
        return
    if not text_format.name:
        raise missing("text.format.name")
    if not _FORMAT_NAME.fullmatch(text_format.name):
        raise invalid(
            "Invalid 'text.format.name': string does not match pattern. "
            "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$' of at most 64 characters.",
            "text.format.name",
            "invalid_value",
        )
    if text_format.schema_ is None:
        raise missing("text.format.schema")


def path_of(location: tuple[int | str, ...]) -> str:
    """A pydantic location as a request path: `input[0].content[1].text`."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not step.startswith("<") and step != "[key]":
            path += f".{step}" if path else step
    return path


_EXPECTED = {
    "bool_type": "a boolean",
    "dict_type": "an object",
    "float_type": "a decimal",
    "int_parsing": "an integer",
    "int_type": "an integer",
    "list_type": "an array",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "string_type": "a string",
}
_BOUNDS = {
    "greater_than_equal": ("below_min", "below minimum", ">=", "ge"),
    "less_than_equal": ("above_max", "above maximum", "<=", "le"),
}


def fault_of(error: ErrorDetails) -> ClientFault:
    """One of pydantic's errors in OpenAI's words."""
    path, kind, context = path_of(error["loc"]), error["type"], error.get("ctx", {})
    value = error["input"]
    if kind == "missing":
        return missing(path)
    if kind in _EXPECTED:
        got = _kind_of(value)
        message = f"Invalid type for '{path}': expected {_EXPECTED[kind]}, but got {got} instead."
        return invalid(message, path, "invalid_type")
    if kind in _BOUNDS:
        return _out_of_bounds(path, value, kind, context)
    if kind == "literal_error":
        message = f"Invalid value: '{_short(value)}'. Supported values are: {_listed(context['expected'])}."
        return invalid(message, path, "invalid_value")
    if kind == "string_too_short":
        message = f"Invalid '{path}': empty string. Expected a string with minimum length 1, but got an empty string instead."
        return invalid(message, path, "empty_string")
    if kind in _TOO_LONG:
        return too_long(path, value, context["max_length"])
    return invalid(f"Invalid '{path}': {error['msg']}.", path, "invalid_value")


_TOO_LONG = ("too_long", "string_too_long")


def too_long(path: str, value: Any, limit: int) -> ClientFault:
    """A 400 for an array, string or object with more than `limit` elements, characters or properties."""
    if isinstance(value, dict):
        message = (
            f"Invalid '{path}': too many properties. Expected an object with at most {limit} properties, "
            f"but got an object with {len(value)} properties instead."
        )
        return invalid(message, path, "object_above_max_properties")
    kind = "string" if isinstance(value, str) else "array"
    message = (
        f"Invalid '{path}': {kind} too long. Expected {_kind_of(value)} with maximum length {limit}, "
        f"but got {_kind_of(value)} with length {len(value)} instead."
    )
    return invalid(message, path, f"{kind}_above_max_length")


LONGEST_QUOTE = 100
"""Characters of a wrong value that are repeated."""


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."


def _listed(expected: str) -> str:
    """Pydantic's "'a', 'b' or 'c'" as OpenAI writes it."""
    return expected.replace(" or ", ", and " if "," in expected else " and ")


def _out_of_bounds(path: str, value: Any, kind: str, context: dict[str, Any]) -> ClientFault:
    code, words, sign, bound = _BOUNDS[kind]
    number = "decimal" if isinstance(value, float) or isinstance(context[bound], float) else "integer"
    limit = f"{context[bound]:g}" if isinstance(context[bound], float) else context[bound]
    message = (
        f"Invalid '{path}': {number} {words} value. Expected a value {sign} {limit}, but got {value} instead."
    )
    return invalid(message, path, f"{number}_{code}_value")


_KINDS = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a decimal"),
    (str, "a string"),
    (list, "an array"),
)


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "an object")
