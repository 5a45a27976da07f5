"""An upstream's error object, in whatever shape it comes, as one of our faults.

It serves error bodies (`shim.upstream.faults`) and error objects inside a stream that began with 200 alike.
Pure: what needs the address, the key, the headers or the list of instruments is added by `shim.upstream`.

Shapes seen: The Grid's `{"errors": {"detail": ...}}`, OpenAI's `{"error": {...}}` and `{"error": "text"}`,
FastAPI's `{"detail": [...]}`, `{"message": ...}`, Gemini's list of one, OpenRouter's `error.metadata.raw`, plain
text, HTML of some proxy, and nothing at all.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from shim.core.overflow import is_overflow
from shim.errors import ClientFault, Fault, UpstreamFault, unknown_model

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_MESSAGE = 2_000
"""Characters of a message that are shown: some servers send back the whole request."""
DEEPEST = 6
"""Levels of an error object that are looked at."""
PAGE_HEAD = 4_096
"""Characters of an HTML page in which its title is looked for."""
DEFAULT_RETRY_AFTER = 2
"""Seconds, for a 429 that names none: Codex gives up where the header is missing."""
QUOTA_RETRY_AFTER = 60
"""Seconds, for an empty balance, which somebody has to fill up."""
WRONG_PATH = "upstream_path_not_found"
"""Code of a 404 that seems to come from a router and not from the API."""

_CLIENT_STATUSES = range(400, 500)
_ERROR_STATUSES = range(400, 600)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_CODE = re.compile(r"[A-Za-z][\w.-]{0,63}")
_HTML = re.compile(r"\s*(<!doctype html|<html|<head|<body|<\?xml)", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_BEARER = re.compile(r"\bBearer\s+[^\s\"',]+", re.IGNORECASE)
_MODEL_WORDS = re.compile(
    r"\b(model|instrument|deployment)s?:?\s*[`'\"\[(]*[\w./:@+-]*[`'\"\])]*,? (was |is |could |can)?"
    r"(not (be )?found|does(n't| not) exist|not exist|not (supported|available|valid)|unknown"
    r"|not recogni[sz]ed|no longer available)"
    r"|\b(unknown|invalid|unsupported|no such|nonexistent) (model|instrument|deployment)\b(?!'?s? ?(param|option|field|input))"
    r"|not a valid (model|instrument)|no endpoints found for",
    re.IGNORECASE,
)
_MODEL_CODES = frozenset(
    {"model_not_found", "model_not_exist", "invalid_model", "unknown_model", "modelnotfound"}
)
_PATH_WORDS = re.compile(
    r"(404 )?(page )?not found\.?|no route matches.*|cannot (post|get) /\S*|invalid url.*|.*no such (route|path).*"
    r"|(the )?requested url.*|route .*not found.*|unknown (request|endpoint|path).*|unrecognized request url.*",
    re.IGNORECASE | re.DOTALL,
)
_QUOTA_CODES = frozenset(
    {"insufficient_quota", "insufficient_balance", "insufficient_credits", "credit_balance_exhausted"}
)
_STATUS_OF_CODE = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_denied": 403,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "requests": 429,
    "tokens": 429,
    "overloaded_error": 503,
    "server_is_overloaded": 503,
    "service_unavailable": 503,
    "timeout_error": 504,
    "badrequesterror": 400,
    "bad_request": 400,
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "content_policy_violation": 400,
}
"""What an error inside a stream would have had as its status."""


@dataclass(frozen=True, slots=True)
class Said:
    """What an upstream's error says, in our words.

    Attributes:
        message: Its text in one line; empty if it has none.
        status: The HTTP status, given or read out of the object; None if unknown.
        code: Its `code`, if that is a word.
        type: Its `type`, if that is a word.
        param: Its `param`.
        page: Whether it was an HTML page.
    """

    message: str = ""
    status: int | None = None
    code: str | None = None
    type: str | None = None
    param: str | None = None
    page: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """Code and type in lower case, those that there are."""
        return tuple(word.lower() for word in (self.code, self.type) if word)


def fault_from_error(payload: object, status: int | None) -> Fault:
    """The fault that an upstream's error stands for.

    Args:
        payload: The decoded JSON of the error, or its text if it is not JSON, or None if there was nothing.
        status: The HTTP status of the answer; None for an error inside a stream.

    Returns:
        A `ClientFault` where the request can be mended, else an `UpstreamFault`.
    """
    said = read_error(payload, status)
    for applies, make in _RULES:
        if applies(said):
            return make(said)
    return _FAULTS.get(said.status or 0, _other)(said)


def read_error(payload: object, status: int | None) -> Said:
    """What an error says, without judging it."""
    error = _unwrap(payload)
    page = isinstance(error, str) and bool(_HTML.match(error))
    fields: dict[str, Any] = error if isinstance(error, dict) else {}
    said = Said(
        message=clean(_title(error) if page and isinstance(error, str) else _text(error)),
        code=_word(fields.get("code")),
        type=_word(fields.get("type")) or _word(fields.get("status")),
        param=clean(fields["param"])[:200] if isinstance(fields.get("param"), str) else None,
        page=page,
    )
    return replace(said, status=status or _status(fields, said))


def clean(text: str) -> str:
    """Text that is safe to show: one line without control characters, tokens or excess length."""
    line = _BEARER.sub("Bearer [key]", _CONTROLS.sub(" ", text)).strip()
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"


def _unwrap(payload: object) -> object:
    """The innermost error object or text of the known envelopes."""
    for _ in range(DEEPEST):
        match payload:
            case [dict() as only]:
                payload = only
            case {"error": dict() | str() as inner} | {"errors": dict() | list() | str() as inner} if inner:
                payload = inner
            case {"detail": dict() as inner} if inner:
                payload = inner
            case str() if (parsed := _parsed(payload)) is not None:
                payload = parsed
            case _:
                break
    return payload


def _parsed(text: str) -> dict[str, Any] | list[Any] | None:
    """The object in a text that is JSON once more, as gateways wrap their supplier's answer."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) else None


def _text(error: object, depth: int = 0) -> str:
    """The sentences in an error object."""
    if isinstance(error, str):
        return error
    if depth == DEEPEST or error is None or isinstance(error, (bool, int, float)):
        return "" if depth in {0, DEEPEST} or error is None else str(error)
    if isinstance(error, list):
        return "; ".join(filter(None, (_text(part, depth + 1) for part in error)))
    return _text_of_object(error, depth) if isinstance(error, dict) else ""


def _text_of_object(error: dict[str, Any], depth: int) -> str:
    """The message of an object with the supplier's own words, else all its fields."""
    for key in ("message", "msg", "detail", "error_description", "error", "title"):
        if error.get(key):
            return _located(error, _text(error[key], depth + 1)) + _supplier(error, depth)
    named = ((key, _text(value, depth + 1)) for key, value in error.items())
    return "; ".join(f"{key}: {text}" for key, text in named if text)


def _located(error: dict[str, Any], text: str) -> str:
    """FastAPI's messages stand beside the path of the field."""
    place = error.get("loc")
    return f"{'.'.join(map(str, place))}: {text}" if isinstance(place, list) else text


def _supplier(error: dict[str, Any], depth: int) -> str:
    """OpenRouter says "Provider returned error" and keeps the reason in `metadata.raw`."""
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    text = _text(_unwrap(raw), depth + 1) if raw else ""
    return f": {text}" if text else ""


def _title(page: str) -> str:
    found = _TITLE.search(page[:PAGE_HEAD])
    return html.unescape(found[1]).strip() if found else ""


def _word(value: object) -> str | None:
    """A code or type, if it is one: some suppliers put numbers or sentences there."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def _status(fields: dict[str, Any], said: Said) -> int | None:
    """The status an error would have had: its numeric code (OpenRouter, vLLM), else what its words mean."""
    for key in ("code", "status", "status_code"):
        value = fields.get(key)
        number = int(value) if isinstance(value, str) and re.fullmatch(r"\d{3}", value, re.ASCII) else value
        if isinstance(number, int) and number in _ERROR_STATUSES:
            return number
    return next((_STATUS_OF_CODE[word] for word in said.words if word in _STATUS_OF_CODE), None)


def _says_overflow(said: Said) -> bool:
    if said.status in {401, 402, 403, 404, 429}:
        return False
    return is_overflow(said.message, said.code, said.type) or (
        said.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and "rate_limit_exceeded" not in said.words
    )


def _says_no_model(said: Said) -> bool:
    if said.status not in {400, 404, 422, None}:
        return False
    return not _MODEL_CODES.isdisjoint(said.words) or bool(_MODEL_WORDS.search(said.message))


def _says_no_path(said: Said) -> bool:
    bare = said.page or not said.message or bool(_PATH_WORDS.fullmatch(said.message))
    return said.status in {404, 405} and (bare or said.status == HTTPStatus.METHOD_NOT_ALLOWED)


def _says_no_balance(said: Said) -> bool:
    return said.status == HTTPStatus.PAYMENT_REQUIRED or (
        said.status in {429, None} and not _QUOTA_CODES.isdisjoint(said.words)
    )


def _overflow(said: Said) -> Fault:
    message = said.message or "The input exceeds what the upstream accepts."
    return ClientFault(message, code="context_length_exceeded", param="input")


def _no_model(said: Said) -> Fault:
    return unknown_model(said.message or "The upstream does not know this model.")


def _no_path(said: Said) -> Fault:
    return UpstreamFault(
        f"The upstream does not know this path (HTTP {said.status}): its base URL looks wrong.",
        code=WRONG_PATH,
    )


def _no_balance(said: Said) -> Fault:
    message = said.message or "The upstream account has no credit for this model."
    return UpstreamFault(
        message, 429, "insufficient_quota", "insufficient_quota", retry_after=QUOTA_RETRY_AFTER
    )


def _unauthorized(said: Said) -> Fault:
    message = said.message or "The upstream refused the key."
    return ClientFault(message, status=401, code="invalid_api_key")


def _forbidden(said: Said) -> Fault:
    return ClientFault(_sentence(said), status=403, code=said.code or "permission_denied")


def _rate_limit(said: Said) -> Fault:
    message = said.message or "The upstream's rate limit is reached."
    return UpstreamFault(message, 429, "requests", "rate_limit_exceeded", retry_after=DEFAULT_RETRY_AFTER)


def _server(status: int) -> Callable[[Said], Fault]:
    """The upstream's own failure; its code is not passed on, since some end a client's session."""
    return lambda said: UpstreamFault(_sentence(said), status=status, code="server_error")


def _other(said: Said) -> Fault:
    """What the table lacks: 4xx is the client's; all else, the unknown included, is the upstream's."""
    if said.status in _CLIENT_STATUSES:
        return ClientFault(_sentence(said), code=said.code, param=said.param)
    return UpstreamFault(_sentence(said), code="server_error")


def _sentence(said: Said) -> str:
    """The upstream's message, or one that says what is known."""
    status = f" with HTTP {said.status}" if said.status else ""
    if said.message and not said.page:
        return said.message
    return f"The upstream answered{status}{': ' + said.message if said.message else ''}."


_RULES: tuple[tuple[Callable[[Said], bool], Callable[[Said], Fault]], ...] = (
    (_says_overflow, _overflow),
    (_says_no_model, _no_model),
    (_says_no_path, _no_path),
    (_says_no_balance, _no_balance),
)
"""What the words mean, first match first; then the status decides."""

_FAULTS: dict[int, Callable[[Said], Fault]] = {
    401: _unauthorized,
    403: _forbidden,
    404: _no_model,
    408: _server(504),
    409: _server(503),
    429: _rate_limit,
    500: _server(500),
    502: _server(502),
    503: _server(503),
    504: _server(504),
    529: _server(503),
}
