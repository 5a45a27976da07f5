"""What a strict supplier refuses: one check after the other, and the first complaint becomes the answer.

Later checks rely on earlier ones, so the order in `_complaints` matters. This file checks the request's own
fields; `strict_messages` and `strict_tools` check what is inside `messages` and `tools`. Every rule here is one
that some real supplier enforces; together they are stricter than any single one.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any

from shim.simulator import strict_messages, strict_tools
from shim.simulator.errors import Complaint, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shim.simulator.config import JsonObject, SimulatorConfig
    from shim.simulator.instruments import Instrument

NUMBER = (int, float)
FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "messages": (list,),
    "max_tokens": (int,),
    "max_completion_tokens": (int,),
    "temperature": NUMBER,
    "top_p": NUMBER,
    "n": (int,),
    "stream": (bool,),
    "stream_options": (dict,),
    "stop": (str, list),
    "logprobs": (bool,),
    "top_logprobs": (int,),
    "response_format": (dict,),
    "tools": (list,),
    "tool_choice": (str, dict),
    "parallel_tool_calls": (bool,),
    "frequency_penalty": NUMBER,
    "presence_penalty": NUMBER,
    "seed": (int,),
    "service_tier": (str,),
    "reasoning_effort": (str,),
    "store": (bool,),
    "verbosity": (str,),
    "prompt_cache_key": (str,),
    "prompt_cache_retention": (str,),
    "safety_identifier": (str,),
    "web_search_options": (dict,),
    "route": (str,),
    "provider": (dict, str),
    "user": (str,),
}
RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "n": (1, 1),
    "top_logprobs": (0, 20),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
}
NEEDS = {
    "top_logprobs": "logprobs",
    "stream_options": "stream",
    "tool_choice": "tools",
    "parallel_tool_calls": "tools",
}
MAX_STOPS = 4
VERBOSITIES = ("low", "medium", "high")
_SCHEMA_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check(request: JsonObject, instrument: Instrument, config: SimulatorConfig) -> None:
    """Refuse a request that some strict supplier would refuse.

    Raises:
        RefusedError: 422 for a value out of range, else 400; the message names the field and the reason.
    """
    for complaint in _complaints(request, instrument, config):
        detail = f"{complaint.field}: {complaint.reason}"
        raise RefusedError(complaint.status, detail, param=complaint.field)


def _complaints(request: JsonObject, instrument: Instrument, config: SimulatorConfig) -> Iterator[Complaint]:
    return chain(
        _unknown_fields(request) if config.strict_fields else (),
        _types(request),
        _ranges(request, instrument),
        _needs(request),
        _stops(request),
        _instrument_limits(request, instrument),
        _response_format(request),
        strict_tools.complaints(request),
        strict_messages.complaints(request["messages"], instrument, config),
    )


def _unknown_fields(request: JsonObject) -> Iterator[Complaint]:
    for name in request:
        if name not in FIELD_TYPES:
            yield Complaint(name, "unknown field.")


def _types(request: JsonObject) -> Iterator[Complaint]:
    for name, types in FIELD_TYPES.items():
        if name in request and not _is_one_of(request[name], types):
            wanted = " or ".join(kind.__name__ for kind in types)
            yield Complaint(name, f"must be {wanted}, not {type(request[name]).__name__}.")


def _is_one_of(value: Any, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and (not isinstance(value, bool) or bool in types)


def _ranges(request: JsonObject, instrument: Instrument) -> Iterator[Complaint]:
    limit = (1, instrument.output_limit)
    ranges = {**RANGES, "max_tokens": limit, "max_completion_tokens": limit}
    for name, (low, high) in ranges.items():
        if name in request and not low <= request[name] <= high:
            yield Complaint(name, f"must be between {low} and {high}, not {request[name]}.", 422)


def _needs(request: JsonObject) -> Iterator[Complaint]:
    for name, needed in NEEDS.items():
        if name in request and not request.get(needed):
            yield Complaint(name, f"is only allowed with '{needed}'.")
    if "max_tokens" in request and "max_completion_tokens" in request:
        yield Complaint("max_tokens", "is not allowed beside 'max_completion_tokens'.")


def _stops(request: JsonObject) -> Iterator[Complaint]:
    stops = request.get("stop", ["placeholder"])
    sequences = stops if isinstance(stops, list) else [stops]
    if not 1 <= len(sequences) <= MAX_STOPS:
        yield Complaint("stop", f"must hold one to {MAX_STOPS} sequences, not {len(sequences)}.", 422)
    if not all(isinstance(sequence, str) and sequence for sequence in sequences):
        yield Complaint("stop", "sequences must be strings that are not empty.")


def _instrument_limits(request: JsonObject, instrument: Instrument) -> Iterator[Complaint]:
    effort = request.get("reasoning_effort")
    if effort is not None and effort not in instrument.efforts:
        known = ", ".join(instrument.efforts)
        yield Complaint(
            "reasoning_effort", f"'{effort}' is not supported by {instrument.id}; it takes {known}."
        )
    if "temperature" in request and not instrument.temperature:
        yield Complaint("temperature", f"is not supported by {instrument.id}.")
    if request.get("verbosity", "low") not in VERBOSITIES:
        yield Complaint("verbosity", f"must be one of {', '.join(VERBOSITIES)}.")


def _response_format(request: JsonObject) -> Iterator[Complaint]:
    shape = request.get("response_format", {"type": "text"})
    if shape.get("type") not in ("text", "json_object", "json_schema"):
        yield Complaint("response_format.type", "must be text, json_object or json_schema.")
    if shape.get("type") == "json_schema":
        yield from _json_schema(shape.get("json_schema"))


def _json_schema(shape: Any) -> Iterator[Complaint]:
    where = "response_format.json_schema"
    if not isinstance(shape, dict):
        yield Complaint(where, "must be an object; name and schema belong inside it.")
        return
    if not _SCHEMA_NAME.fullmatch(str(shape.get("name", ""))):
        yield Complaint(f"{where}.name", "must match ^[a-zA-Z0-9_-]{1,64}$.")
    if not isinstance(shape.get("schema"), dict):
        yield Complaint(f"{where}.schema", "must be an object.")
    else:
        yield from strict_tools.schema_complaints(shape["schema"], f"{where}.schema")
