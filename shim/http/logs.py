"""What is logged, and how: one line per request, for people or for machines.

Ids, names, counts and times only; never a body, never a key. A line cannot be forged: whatever came from
outside is quoted if it holds anything but plain characters. Not here: what is worth logging elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import chain, compress
from operator import is_not
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Any

from shim.ambient import Ambient
from shim.http.leaving import PROBES
from shim.http.lines import Lines, to_standard_error

if TYPE_CHECKING:
    from collections.abc import Collection

    from shim.http.call import Call
    from shim.settings import Settings

MAX_WORD = 120
LONGEST_VALUE, MOST_NOTES = 1000, 100
"""Of a request's line for machines: the characters of a value, and notes. Clients make them as long and many as a body may be."""
SAID_ELSEWHERE = frozenset(
    {"ASGI callable returned without completing response.", "Invalid UTF-8 sequence received from client."}
)
"""What the server says of a request or WebSocket whose own line says how it ended."""
_PLAIN = f"{ascii_letters}{digits}_.:/@+,>-".encode()
_LEAD = frozenset({"method", "path", "status", "outcome"})
"""The fields of a line that come first, without their names."""

_is_known = partial(is_not, None)

access, _shim = logging.getLogger("shim.access"), logging.getLogger("shim")
_now = Ambient().now


def configure_logging(settings: Settings) -> None:
    """Send the shim's and the server's log to standard error in the chosen format; safe to call twice."""
    handler = to_standard_error()
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    level = settings.log_level.upper()
    _direct("shim", handler, level)
    _direct("uvicorn", handler, level if settings.log_level in {"debug", "error"} else "WARNING")
    logging.getLogger("uvicorn.access").disabled = True  # ours says more
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = (
        False  # nor does any line say these
    )


def _direct(name: str, handler: logging.Handler, level: str) -> None:
    logger = logging.getLogger(name)
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def finish_logging() -> None:
    """The process ends: lines that wait for their reader get a moment more."""
    for handler in logging.getLogger("shim").handlers:
        if isinstance(handler, Lines):
            handler.finish()


def log_once() -> None:
    """Let the server log nothing of a request that has its own line and says more; safe to call twice.

    That is one that is cut off at shutdown, an answer that is left unfinished since the upstream's was, and a WebSocket that is
    closed for what its client sent.
    """
    logging.getLogger("uvicorn.error").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    cut_off = record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not (cut_off or record.msg in SAID_ELSEWHERE)


def log_call(call: Call) -> None:
    """Write the line of a request that has ended."""
    level = logging.DEBUG if call.path in PROBES else logging.INFO  # else they would drown all others
    if not access.isEnabledFor(level):
        return
    fields = call_fields(call)
    if level == logging.INFO and (lines := _sole_writer()) is not None:
        lines.say(_for_people(_now(), call_line(fields)))
        return
    # Made here, as the logger would look up where in the code this is, which no line says.
    record = logging.LogRecord(access.name, level, "", 0, call_line(fields), None, None)
    vars(record)["fields"] = fields
    access.handle(record)


def _sole_writer() -> Lines | None:
    """Who alone hears of requests, and writes lines for people, if that is all: then no record is made of what they say."""
    hear = (*access.handlers, *_shim.handlers)
    if len(hear) != 1 or _shim.propagate or not access.propagate or access.filters:
        return None
    (writer,) = hear
    if type(writer) is not Lines or type(writer.formatter) is not TextFormatter:
        return None
    return None if writer.filters or writer.level > logging.INFO else writer


def call_fields(call: Call) -> dict[str, Any]:
    """What is known of the call, in the order of the line; unknown things are left out."""
    fields = {
        "method": call.method,
        "path": call.path,
        "status": call.status,
        "outcome": call.outcome,
        "model": call.model,
        **_turn_fields(call),
        "total_ms": round(call.elapsed_ms),
        "code": call.code or (call.summary and call.summary.error_code),
        "request_id": call.request_id,
    }
    if call.outcome is not None:  # what ended the request is known here better than by the turn
        fields["outcome"] = call.outcome
    return dict(compress(fields.items(), map(_is_known, fields.values())))


def _turn_fields(call: Call) -> dict[str, Any]:
    summary = call.summary
    if summary is None:
        return {}
    return {
        "outcome": summary.outcome,
        "model": summary.model,
        "served_model": summary.served_model,
        "items": summary.items,
        "first_token_ms": None if summary.first_token_ms is None else round(summary.first_token_ms),
        "input_tokens": summary.input_tokens,
        "output_tokens": summary.output_tokens,
        "cached_tokens": summary.cached_tokens,
        "attempts": summary.attempts,
        "notes": list(summary.notes),
    }


def call_line(fields: dict[str, Any]) -> str:
    """The fields as one line of words: what was asked and how it ended first, `name=value` after."""
    told = {**fields, "notes": len(fields["notes"])} if "notes" in fields else fields
    words = tuple(map(str, told.values()))
    if not are_plain(words):
        words = tuple(str(value) if type(value) is int else word(value) for value in told.values())
    return "".join(chain.from_iterable(zip(_labels(tuple(told)), words, strict=True)))[1:]


@lru_cache
def _labels(names: tuple[str, ...]) -> tuple[str, ...]:
    """What stands before the value of each of some fields."""
    return tuple(" " if name in _LEAD else f" {name}=" for name in names)


def word(value: object) -> str:
    """`value` as one word: as it is if plain, else quoted and escaped, all in printable ASCII; shortened either way."""
    text = str(value)[:MAX_WORD]
    return text if are_plain((text,)) else json.dumps(text)


def are_plain(words: Collection[str]) -> bool:
    """Whether all of them are short and hold plain characters, and something."""
    if not (all(words) and max(map(len, words), default=0) <= MAX_WORD):
        return False
    text = "".join(words)
    return text.isascii() and not text.encode().translate(None, _PLAIN)


@lru_cache(maxsize=1)
def _clock(second: int) -> str:
    """The time of day, as it is here."""
    return datetime.fromtimestamp(second, UTC).astimezone().strftime("%H:%M:%S")


def _for_people(second: int, line: str, level: str = "") -> str:
    """The whole of a line; `line` is printable, as `call_line` gives it."""
    return f"{_clock(second)} {level}{line}"


class TextFormatter(logging.Formatter):
    """One line per record, for people; a traceback follows indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level if it matters, and message."""
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        line = _for_people(int(record.created), _one_line(record.getMessage()), level)
        if record.exc_info:
            said = map(_one_line, self.formatException(record.exc_info).split("\n"))
            line += "\n" + "\n".join(f"    {one}" for one in said)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object per record, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level and logger, then the call's fields or the message."""
        fields = getattr(record, "fields", None)
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            **(
                {name: _bounded(value) for name, value in fields.items()}
                if fields
                else {"message": record.getMessage()}
            ),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def _bounded(value: Any) -> Any:
    """A value as far as it is logged; of what is left out the size is told."""
    if isinstance(value, list) and len(value) > MOST_NOTES:
        value = [*value[:MOST_NOTES], f"and {len(value) - MOST_NOTES} more"]
    if isinstance(value, list):
        return [_bounded(one) for one in value]
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        return f"{value[:LONGEST_VALUE]}… ({len(value)} characters)"
    return value


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
