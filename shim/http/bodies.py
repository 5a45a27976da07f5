"""A request's body: read within limits, decompressed, and understood as a JSON object.

The content type must be JSON's: a browser lets any page send the types of forms, and bodies without one, to anyone.

Not here: what the object means, and what it may hold (`shim.core.bounds`).
"""

from __future__ import annotations

import asyncio
import math
import re
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from shim.core.bounds import RequestBounds, check_bounds, path_at_depth
from shim.errors import ClientFault, invalid
from shim.http.call import Call, ClientGone
from shim.http.encodings import decode, parse_encodings, too_large

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope

    from shim.http.deadlines import Deadlines
    from shim.http.services import Services
    from shim.limits import Limits
    from shim.wire.base import Json

PARSER_DEPTH = 201
"""Objects and arrays within each other that the JSON parser reads, the outermost included."""

_VALUE_MARKS = (b"{", b"[", b",")

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Escapes of JSON strings: a whole surrogate pair, a lone half, or any other.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\.",
    re.DOTALL,
)
_JSON_TYPE = re.compile(r"application/(?:[\w.!#$&^-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_LONGEST_TYPE = 100
_NO_FLOATS = frozenset({str, bool, int, type(None)})
_NAMES = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}


def bounds_of(limits: Limits) -> RequestBounds:
    """The limits on what a client sends in JSON."""
    return RequestBounds(
        depth=limits.max_json_depth,
        values=limits.max_json_values,
        items=limits.max_input_items,
        tools=limits.max_tools,
        name_characters=limits.max_tool_name_characters,
        schema_bytes=limits.max_schema_bytes,
        images=limits.max_images,
        inline_bytes=limits.max_inline_bytes,
    )


async def read_json(scope: Scope, receive: Receive, services: Services) -> Json:
    """The JSON object that a request's body holds.

    Raises:
        ClientFault: 400, 408, 413 or 415; see `read_body` and `bounded_object`.
        ClientGone: The client left before the end of its body.
    """
    return bounded_object(await read_body(scope, receive, services), services.bounds)


async def read_body(scope: Scope, receive: Receive, services: Services) -> bytes:
    """The request's body without its content encodings.

    Raises:
        ClientFault: 400, 413 or 415; see `shim.http.encodings`. 408, it took too long.
        ClientGone: The client left before the end of its body.
    """
    call = Call.of(scope)
    headers = call.headers
    _check_type(headers)
    encodings = _encodings(scope) if b"content-encoding" in headers else ()
    settings = services.settings
    limit = settings.max_body_bytes
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise too_large(limit, "as sent")
    if call.received:
        body = await _receive_all(receive, limit)
    else:
        body = await _in_time(receive, limit, services.body_deadlines)
    if not encodings:
        return body
    return await asyncio.to_thread(decode, body, encodings, settings.max_decoded_bytes)


def _encodings(scope: Scope) -> tuple[str, ...]:
    given = (value for name, value in scope["headers"] if name == b"content-encoding")
    return parse_encodings(b",".join(given).decode("latin-1"))


def _check_type(headers: Mapping[bytes, bytes]) -> None:
    """Refuse what is not said to be JSON; without a body there is nothing to say.

    Raises:
        ClientFault: 415, in which case the body is not read.
    """
    given = headers.get(b"content-type")
    if given == b"application/json" or (
        given is None and headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers
    ):
        return
    said = None if given is None else given.decode("latin-1")
    if said is None or not _JSON_TYPE.fullmatch(said.strip()):
        shown = "missing" if said is None else f"{said[:_LONGEST_TYPE]!r}"
        message = (
            f"The request's Content-Type is {shown}; send JSON, with -H 'content-type: application/json'."
        )
        raise ClientFault(message, status=415, code="unsupported_content_type")


async def _in_time(receive: Receive, limit: int, deadlines: Deadlines) -> bytes:
    try:
        with deadlines.one():
            return await _receive_all(receive, limit)
    except TimeoutError:
        message = f"The request's body was not complete after {deadlines.seconds:g} seconds."
        raise ClientFault(message, status=408, code="request_timeout") from None


async def _receive_all(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise too_large(limit, "as sent")
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def bounded_object(body: bytes, bounds: RequestBounds) -> Json:
    """`body` as a JSON object that holds no more than a request may.

    Raises:
        ClientFault: 400; see `json_object` and `shim.core.bounds`.
    """
    _check_values(body, bounds.values)
    value = json_object(body, bounds.depth)
    check_bounds(value, len(body), bounds)
    return value


def _check_values(body: bytes, most: int) -> None:
    """Refuse what would be too many values, before there are any.

    Within texts the same characters count, too: to tell them apart takes as long as to parse them.
    """
    if len(body) > most and sum(map(body.count, _VALUE_MARKS)) > most:
        message = f"The request body holds too many values: it may have {most:,} objects, arrays and commas."
        raise invalid(message, None, "json_too_large")


def json_object(body: bytes, depth: int = PARSER_DEPTH) -> Json:
    """`body` as a JSON object; lone surrogate escapes become U+FFFD, of duplicate keys the last wins.

    Args:
        body: What was sent.
        depth: How many objects and arrays may stand within each other.

    Raises:
        ClientFault: 400, which says what is wrong and where, without quoting the body.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    if not body.strip():
        raise ClientFault("The request body is empty; send a JSON object.")
    value = _parse_within(body, depth)
    if not isinstance(value, dict):
        raise ClientFault(f"The request body must be a JSON object, not {_NAMES.get(type(value), 'null')}.")
    if not _finite(value):
        raise ClientFault("The request body is not usable JSON: a number is too large.")
    return value


def _parse_within(body: bytes, depth: int) -> Any:
    """Parse with a bound on nesting: arrays around the body use up what the parser allows beyond it.

    So the parser itself counts, which costs nothing. Whatever else it finds wrong is told of the body as it is. Where fewer begin
    than may stand within each other there is nothing to count.
    """
    shallow = body.count(b"[") + body.count(b"{") <= depth
    spare = 0 if shallow else max(0, PARSER_DEPTH - depth)
    try:
        value = from_json(b"".join((b"[" * spare, body, b"]" * spare)), allow_inf_nan=False)
        for _ in range(spare):
            (value,) = value
    except ValueError:
        value = _parse(body, depth)
        path = path_at_depth(value, depth)
        if path is not None:
            raise _too_deep(depth, path.removeprefix(".")) from None
    return value


def _parse(body: bytes, depth: int) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        if str(error).startswith("recursion limit"):
            raise _too_deep(depth, None) from error
        mended = _without_lone_surrogates(body) if "hex escape" in str(error) else body
        if mended != body:
            return _parse(mended, depth)
        raise ClientFault(f"The request body is not valid JSON: {_reason(body, error)}.") from error


def _too_deep(depth: int, path: str | None) -> ClientFault:
    message = (
        f"The request body is nested too deeply: {depth} objects and arrays may stand within each other."
    )
    return invalid(message, path or None, "json_too_deep")


def _without_lone_surrogates(body: bytes) -> bytes:
    """Half a surrogate pair is legal JSON but no text; JavaScript clients that cut strings send it."""
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape["lone"] else escape[0], body)


def _reason(body: bytes, error: ValueError) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as undecodable:
        return f"it is not UTF-8 at byte {undecodable.start}"
    return str(error)


def _finite(value: dict[str, Any] | list[Any]) -> bool:
    """Whether no number in an object or array has overflowed to infinity; the parser bounds the nesting."""
    values = value.values() if isinstance(value, dict) else value
    if _NO_FLOATS.issuperset(map(type, values)):
        return True
    others = (one for one in values if type(one) not in _NO_FLOATS)
    return all(math.isfinite(one) if isinstance(one, float) else _finite(one) for one in others)
