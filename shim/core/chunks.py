"""Payloads as chat completion chunks; those that repeat the one before but for their text are not parsed again.

Nearly all chunks of an answer are the same bytes around another text. `form_of` finds in a chunk the one string that a
model wrote and checks, by parsing it once more, that this string can be any other; `Form.said` then reads it from the
next payloads, at a third of the cost of parsing them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from pydantic_core import from_json

from shim.errors import UpstreamFault
from shim.wire.base import Json

MAX_FORM = 4096
"""Characters of a payload that is worth a form: what is longer is mostly text."""

LEAST_TOGETHER, MOST_TOGETHER = 8, 64
"""Payloads that are read together: twice as many each time, until some are none of the form, which are then looked at again."""

_PROBE = "\ue000?"
"""Stands in the blank while a form is checked."""

Kind = Literal["text", "reasoning", "arguments"]


class More(NamedTuple):
    """More of what was said before: its kind, a text of each chunk, none of them empty, and of which call it is, if of one."""

    kind: Kind
    texts: list[str]
    key: int | None = None


_KINDS: dict[str, Kind] = {"content": "text", "reasoning_content": "reasoning", "reasoning": "reasoning"}
_BLANKS = {
    key: re.compile(rf'"{key}"\s*:\s*"((?:[^"\\]|\\.)*+)"', re.ASCII) for key in (*_KINDS, "arguments")
}
_BESIDE = ("index", "usage", "logprobs", "finish_reason")
"""What a choice may say beside its delta."""

_CLOSED = re.compile(r'[^"\\]*+(?:\\[^\n][^"\\]*+)*+')
"""Lines that are each the whole inside of a JSON string, if of any: no quote ends it, and no backslash its line."""


def parse_chunk(payload: str) -> Json:
    """Parse one SSE payload.

    Raises:
        UpstreamFault: It is no JSON object.
    """
    try:
        chunk = from_json(payload)
    except ValueError:
        chunk = _parse_leniently(payload)
    if not isinstance(chunk, dict):
        raise UpstreamFault("The upstream sent something that is not a chat completion chunk.")
    return chunk


def _parse_leniently(payload: str) -> Any:
    """JSON with lone surrogates, which only the standard library accepts."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        raise UpstreamFault("The upstream sent a chunk that is not JSON.") from None


@dataclass(slots=True)
class Form:
    """A chunk that says one thing: `kind` of it, with the call's index `place` if it has one, between two constant parts."""

    kind: Kind
    place: Any
    front: str
    back: str
    together: int = LEAST_TOGETHER

    def said(self, payload: str) -> str | None:
        """What stands in the blank if the payload is this form, filled in; then parsing it would give the same."""
        start, end = len(self.front), len(payload) - len(self.back)
        if start > end or not (payload.startswith(self.front) and payload.endswith(self.back)):
            return None
        try:
            return from_json(f'"{payload[start:end]}"')  # type: ignore[no-any-return]  # one string, or no JSON
        except ValueError:
            return None

    def run(self, payloads: Sequence[str], start: int, barred: re.Pattern[str] | None) -> list[str]:
        """What `said` gives for some payloads from `start` on, up to the first that is another, or empty, or says what is barred."""
        if len(payloads) > 1:
            if not payloads[start].startswith(self.front):
                return []
            payloads = payloads[start : start + self.together]
            texts = self._said_together(payloads)
            if texts and (barred is None or not barred.search("".join(texts))):
                self.together = min(2 * self.together, MOST_TOGETHER)
                return texts
            self.together = LEAST_TOGETHER
        return list(filter(None, takewhile(partial(_goes_on, barred), map(self.said, payloads))))

    def _said_together(self, payloads: Sequence[str]) -> list[str]:
        """What the payloads say, read at once, if all but the last ones are this form and none of these is empty.

        A blank is cut out of each by the length of what is around it. That is the form in all of them if it makes the same
        of the blanks: no payload is longer than its blank in the form, so where all are as long as theirs, each is.
        """
        front, back, count = self.front, self.back, len(payloads)
        while count > 1 and not payloads[count - 1].startswith(front):
            count -= 1
        payloads = payloads[:count]
        blanks = list(map(itemgetter(slice(len(front), -len(back))), payloads))
        if "".join((front, f"{back}{front}".join(blanks), back)) != "".join(payloads):
            return []
        if not (all(blanks) and _CLOSED.fullmatch("\n".join(blanks))):
            return []
        try:
            return from_json("".join(('["', '","'.join(blanks), '"]')))  # type: ignore[no-any-return]  # as many strings, or no JSON
        except ValueError:
            return []


def _goes_on(barred: re.Pattern[str] | None, text: str | None) -> bool:
    """Whether a text is there, is not empty, and says nothing that is barred."""
    if not text:
        return False
    return barred is None or not barred.search(text)


_Spoken = tuple[Kind, Any, Json, str]
"""The only text in a chunk: its kind, the call's index if it is of one, the object and the key under which it stands."""


def form_of(payload: str, chunk: Json) -> Form | None:
    """The form of a chunk that carries one text and nothing else, if there is one.

    Args:
        payload: As it came.
        chunk: The same, parsed.
    """
    if len(payload) > MAX_FORM or (spoken := _spoken(chunk)) is None:
        return None
    kind, place, holder, key = spoken
    found, text = _BLANKS[key].search(payload), holder[key]
    if found is None or text == _PROBE:
        return None
    form = Form(kind, place, payload[: found.start(1)], payload[found.end(1) :])
    holder[key] = _PROBE
    fits = parse_chunk(f"{form.front}{_PROBE}{form.back}") == chunk
    holder[key] = text
    return form if fits else None  # else what was found stands elsewhere, and only has the same name


def _spoken(chunk: Json) -> _Spoken | None:
    """The only thing that a chunk says, apart from who says it."""
    choices = chunk.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or chunk.get("usage") or chunk.get("error"):
        return None
    choice = choices[0]
    if any(map(choice.get, _BESIDE)):
        return None
    delta = choice.get("delta") or {}
    said = [key for key, value in delta.items() if value and key != "role"]
    if len(said) != 1 or isinstance(delta.get("function_call"), dict):
        return None
    key = said[0]
    if key in _KINDS and isinstance(delta[key], str):
        return _KINDS[key], None, delta, key
    return _more_arguments(delta[key]) if key == "tool_calls" else None


def _more_arguments(entries: Any) -> _Spoken | None:
    """The arguments of the only entry of `tool_calls`, if it only goes on."""
    if not isinstance(entries, list) or len(entries) != 1:
        return None
    entry = entries[0]
    function = entry.get("function")
    if not isinstance(function, dict) or entry.get("id") or function.get("name"):
        return None
    if not isinstance(function.get("arguments"), str):
        return None
    return "arguments", entry.get("index"), function, "arguments"
