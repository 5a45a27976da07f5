"""What is said over a WebSocket besides the events of a stream: the client's messages, and errors.

Source: the official SDK's types of client and server events. Not here: when anything is said
(`shim.http.websocket`), and the fields of a request, which are checked with its turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shim.errors import Fault, invalid, missing
from shim.wire.base import Json

TRANSPORT_FIELDS = frozenset({"type", "stream_id", "generate", "background"})
"""Fields of a `response.create` message that are no part of the request."""

LONGEST_LANE_NAME = 128
"""Characters of a `stream_id`, which every event repeats."""

LONGEST_SHOWN_TYPE = 40
"""Characters of an unknown type that its error repeats."""


@dataclass(frozen=True, slots=True)
class Create:
    """A `response.create` message.

    Attributes:
        body: The request, as it would be posted.
        generate: Whether the model is to answer.
        lane: The message's `stream_id`.
        size: Bytes of the message.
    """

    body: Json
    generate: bool
    lane: str | None
    size: int


@dataclass(frozen=True, slots=True)
class Steer:
    """A `response.steer` message: input for a response under way."""

    previous_response_id: Any
    input: Any


def lane_of(fields: Json) -> str | None:
    """The lane that a message names.

    Raises:
        ClientFault: 400, it is no name.
    """
    lane = fields.get("stream_id")
    if lane is None or (isinstance(lane, str) and 0 < len(lane) <= LONGEST_LANE_NAME):
        return lane
    told = f"Invalid 'stream_id': expected a string of 1 to {LONGEST_LANE_NAME} characters."
    raise invalid(told, "stream_id", "invalid_value")


def read_message(fields: Json, lane: str | None, size: int) -> Create | Steer:
    """A client's message.

    Raises:
        ClientFault: 400, the type is unknown, or a field is missing or wrong.
    """
    match fields.get("type"):
        case "response.create":
            return _create(fields, lane, size)
        case "response.steer":
            return _steer(fields)
        case None:
            raise missing("type")
        case unknown:
            shown = str(unknown)[:LONGEST_SHOWN_TYPE]
            known = "Supported values are: 'response.create' and 'response.steer'."
            raise invalid(f"Invalid value: {shown!r}. {known}", "type", "invalid_value")


def _create(fields: Json, lane: str | None, size: int) -> Create:
    generate = fields.get("generate")
    if generate is not None and not isinstance(generate, bool):
        raise invalid("Invalid type for 'generate': expected a boolean.", "generate", "invalid_type")
    if fields.get("background"):
        told = "'background' is not supported over WebSocket; send the request over HTTP."
        raise invalid(told, "background", "unsupported_parameter")
    body = {name: value for name, value in fields.items() if name not in TRANSPORT_FIELDS}
    return Create({**body, "stream": True}, generate is not False, lane, size)


def _steer(fields: Json) -> Steer:
    for name in ("previous_response_id", "input"):
        if fields.get(name) is None:
            raise missing(name)
    return Steer(fields["previous_response_id"], fields["input"])


def error_event(fault: Fault) -> Json:
    """A fault that ends no stream; the SDK reads headers within `error`, Codex beside it."""
    error: Json = {**fault.body}
    event: Json = {"type": "error", "status": fault.status, "error": error}
    if fault.retry_after is not None:
        error["headers"] = event["headers"] = {"retry-after": str(max(0, fault.retry_after))}
    return event


def steer_failed(steer: Steer) -> Json:
    """What answers a steer: no instrument takes input while it writes. The input is given back."""
    told = "Steering is not supported; send the input with the next 'response.create'."
    return {
        "type": "response.steer.failed",
        "sequence_number": 0,
        "error": {"type": "invalid_request_error", "code": "steering_not_supported", "message": told},
        "steer": {"previous_response_id": steer.previous_response_id, "input": steer.input},
    }
