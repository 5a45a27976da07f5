"""The fields of a chunk, each read for itself, whatever a supplier wrote there.

What is of another type than it should be counts as not said; what no reading can save raises `UpstreamFault`.

Not here: what the fields of several chunks say together (`shim.core.deltas`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Any, Literal

from pydantic_core import to_json

from shim.core.faults import clean, fault_from_error
from shim.core.jsonstrings import scrubbed
from shim.core.text import scrub
from shim.errors import UpstreamFault
from shim.wire.base import Json
from shim.wire.output import Logprob, TopLogprob, UrlCitation
from shim.wire.response import InputTokensDetails, OutputTokensDetails, Usage

FinishReason = Literal["stop", "length", "content_filter"]

IMPOSSIBLE_LOGPROB = -9999.0
"""What the API gives for a token outside its ranking; in place of an infinity or nothing."""

MOST_ALTERNATIVES = 20
"""Alternatives of a token that are told: the API gives no more."""

_OCTETS = range(256)
_COUNTS = range(1 << 31)
"""What every reader of JSON and the store can hold."""
_LONGEST_INDEX = 9


_REASONS: dict[FinishReason, str] = {
    "stop": "stop stopped stop_sequence stop_token tool_call tool_calls tool_use function_call eos eos_token end_turn end "
    "done complete completed finish finished normal",
    "length": "length length_limit max_length max_tokens max_output_tokens max_completion_tokens model_length "
    "token_limit model_context_window_exceeded",
    "content_filter": "content_filter content_filtered safety recitation sensitive prohibited_content blocklist spii "
    "image_safety language refusal guardrail_intervened",
}
_FINISH_REASONS = {word: reason for reason, words in _REASONS.items() for word in words.split()}
"""What the suppliers' words mean, in lower case; any other word is the upstream's failure, never a success."""

_NO_REASON = frozenset({"", "null", "none"})


def finish_reason_of(said: str) -> FinishReason | None:
    """What a finish reason means; None if it is none.

    Raises:
        UpstreamFault: The model did not finish, but was stopped by something else.
    """
    word = said.strip().lower().replace("-", "_").removeprefix("finish_reason_")
    if word in _NO_REASON:
        return None
    if reason := _FINISH_REASONS.get(word):
        return reason
    shown = clean(said)[:100]
    raise UpstreamFault(f"The upstream stopped the answer with finish reason '{shown}'.", code="server_error")


@dataclass(slots=True)
class Entry:
    """One entry of `tool_calls`; what it lacks is None or empty."""

    place: int | None
    call_id: str
    name: str
    arguments: str


def entry_of(entry: Json) -> Entry:
    """An entry as it was sent, read."""
    function = entry.get("function")
    function = function if isinstance(function, dict) else {}
    return Entry(
        index_of(entry.get("index")),
        name_of(entry.get("id")),
        name_of(function.get("name")),
        arguments_of(function.get("arguments")),
    )


def index_of(value: Any) -> int | None:
    """A number, or one in quotes."""
    if type(value) is int:
        return value
    quoted = isinstance(value, str) and len(value) < _LONGEST_INDEX and value.isascii() and value.isdigit()
    return int(value) if quoted else None


def first_choice(chunk: Json) -> Json | None:
    """The choice that counts, if the chunk has one.

    Raises:
        UpstreamFault: Its choices are no list of objects.
    """
    choices = chunk.get("choices")
    if choices is None:
        return None
    for choice in objects_of(choices, "a chunk whose choices are"):
        if choice.get("index") in (0, None):
            return choice
    return None


def objects_of(values: Any, what: str) -> list[Json]:
    """A list of objects, checked whole before anything is made of it.

    Raises:
        UpstreamFault: It is none.
    """
    if isinstance(values, list):
        for value in values:
            if not isinstance(value, dict):
                break
        else:
            return values
    raise UpstreamFault(f"The upstream sent {what} not a list of objects.")


def raise_reported(chunk: Json) -> None:
    """Raise what an error object in a stream that began well means.

    Raises:
        Fault: There is one.
    """
    if chunk.get("object") == "error" or any(chunk.get(key) for key in ("error", "errors", "detail")):
        raise fault_from_error(chunk, None)


def text_of(value: Any) -> str:
    """A string, or none."""
    return value if isinstance(value, str) else ""


def name_of(value: Any) -> str:
    """A name as text that can be sent on."""
    return scrub(value) if isinstance(value, str) else ""


def thinking_of(thoughts: Any) -> str:
    """The text of a thinking part: a string, or parts again."""
    if isinstance(thoughts, list):
        return "".join(text_of(thought.get("text")) for thought in thoughts if isinstance(thought, dict))
    return text_of(thoughts)


def arguments_of(value: Any) -> str:
    """Arguments as JSON text; some suppliers send them parsed.

    Raises:
        UpstreamFault: They are nested too deeply.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, dict | list):
        return ""
    try:
        return to_json(scrubbed(value), inf_nan_mode="null").decode()
    except (ValueError, RecursionError):
        raise UpstreamFault("The upstream sent arguments that are nested too deeply.") from None


def count_of(value: Any, other: Any = None) -> int:
    """A count, of tokens or characters; `other` if `value` is no such count, and 0 if neither is."""
    if type(value) is int and value in _COUNTS:
        return value
    return 0 if other is None else count_of(other)


def read_usage(usage: Json) -> Usage:
    """Usage in the Responses shape; whatever the supplier leaves out is 0."""
    prompt, completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    prompt = prompt if isinstance(prompt, dict) else {}
    completion = completion if isinstance(completion, dict) else {}
    used_in, used_out = count_of(usage.get("prompt_tokens")), count_of(usage.get("completion_tokens"))
    return Usage(
        input_tokens=used_in,
        input_tokens_details=InputTokensDetails(
            cached_tokens=count_of(prompt.get("cached_tokens"), usage.get("prompt_cache_hit_tokens")),
            cache_write_tokens=count_of(prompt.get("cache_write_tokens")),
        ),
        output_tokens=used_out,
        output_tokens_details=OutputTokensDetails(
            reasoning_tokens=count_of(completion.get("reasoning_tokens"), usage.get("reasoning_tokens"))
        ),
        total_tokens=count_of(usage.get("total_tokens")) or used_in + used_out,
    )


def logprob_of(entry: Json) -> Logprob:
    """A token's probability with its alternatives."""
    top = entry.get("top_logprobs")
    alternatives = (
        [_top_logprob(one) for one in top[:MOST_ALTERNATIVES] if isinstance(one, dict)]
        if isinstance(top, list)
        else []
    )
    return Logprob(**_top_logprob(entry), top_logprobs=alternatives)


def _top_logprob(entry: Json) -> TopLogprob:
    token, octets = scrub(text_of(entry.get("token"))), entry.get("bytes")
    if not isinstance(octets, list) or not all(type(octet) is int and octet in _OCTETS for octet in octets):
        octets = list(token.encode())
    return TopLogprob(token=token, logprob=_log_probability(entry.get("logprob")), bytes=octets)


def _log_probability(value: Any) -> float:
    if not isinstance(value, int | float) or (isinstance(value, float) and isnan(value)):
        return IMPOSSIBLE_LOGPROB
    return float(max(IMPOSSIBLE_LOGPROB, min(value, 0.0)))


def citations_of(annotations: Any) -> list[UrlCitation]:
    """Chat's url citations, flattened; annotations of other kinds are passed over."""
    found = []
    for annotation in annotations if isinstance(annotations, list) else ():
        citation = annotation.get("url_citation") if isinstance(annotation, dict) else None
        if isinstance(citation, dict) and text_of(citation.get("url")):
            found.append(
                UrlCitation(
                    type="url_citation",
                    url=scrub(citation["url"]),
                    title=scrub(text_of(citation.get("title"))),
                    start_index=count_of(citation.get("start_index")),
                    end_index=count_of(citation.get("end_index")),
                )
            )
    return found
