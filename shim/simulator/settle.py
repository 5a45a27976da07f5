"""From a turn to what is really said: ids given, limits and stop sequences obeyed, tokens counted.

Not here: what the turn says (`model`, or the test's script) and how it is written (`dialect`).
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from shim.simulator.dialect import Said, SaidCall
from shim.simulator.tokens import PrefixCache, split_arguments, split_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shim.simulator.config import Call, Dialect, JsonObject, Turn
    from shim.simulator.instruments import Instrument

CREATED = 1_767_225_600


@dataclass
class Accounts:
    """What a supplier remembers between requests: counters for ids, and the beginnings of prompts."""

    completions: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    calls: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    prompts: PrefixCache = field(default_factory=PrefixCache)


@dataclass(frozen=True)
class Asked:
    """A request that was accepted, and who asked.

    Attributes:
        request: The chat completion request.
        instrument: The instrument it names.
        key: The caller's key, which separates prompt caches.
    """

    request: JsonObject
    instrument: Instrument
    key: str


def settle(turn: Turn, asked: Asked, dialect: Dialect, accounts: Accounts) -> Said:
    """The turn as it will be said.

    `max_completion_tokens` counts reasoning, text, refusal and arguments, in this order.
    """
    request = asked.request
    number = next(accounts.completions)
    full = replace(turn, text=_stopped(turn.text, request.get("stop")))
    short, calls, was_cut = _shortened(full, _said_calls(turn.calls, accounts), _limit(asked))
    options = request.get("stream_options") or {}
    return Said(
        id=f"00000000-0000-4000-8000-{number:012d}" if dialect.bare_id else f"chatcmpl-{number:06d}",
        created=CREATED + number,
        model=turn.model or asked.instrument.served_model,
        reasoning=short.reasoning,
        text=short.text,
        refusal=short.refusal,
        calls=calls,
        finish_reason=_finish_reason(turn, calls, was_cut=was_cut),
        usage=turn.usage or _usage(short, calls, accounts.prompts.count(asked.key, request)),
        include_usage=bool(options.get("include_usage")),
        top_logprobs=(request.get("top_logprobs") or 0) if request.get("logprobs") else None,
    )


def _stopped(text: str, stop: str | Sequence[str] | None) -> str:
    """The text up to the first stop sequence."""
    sequences = [stop] if isinstance(stop, str) else stop or []
    return text[: min((text.find(sequence) for sequence in sequences if sequence in text), default=len(text))]


def _limit(asked: Asked) -> int:
    request = asked.request
    return request.get("max_completion_tokens") or request.get("max_tokens") or asked.instrument.output_limit


def _said_calls(calls: Sequence[Call], accounts: Accounts) -> list[SaidCall]:
    return [
        SaidCall(
            id=f"call_{next(accounts.calls):024d}" if call.id is None else call.id,
            name=call.name,
            arguments=_as_string(call.arguments),
        )
        for call in calls
    ]


def _as_string(arguments: str | JsonObject) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _shortened(turn: Turn, calls: list[SaidCall], limit: int) -> tuple[Turn, tuple[SaidCall, ...], bool]:
    """The turn and its calls within the limit, and whether anything was cut."""
    budget = _Budget(limit)
    short = replace(
        turn,
        reasoning=budget.take(split_text(turn.reasoning)),
        text=budget.take(split_text(turn.text)),
        refusal=budget.take(split_text(turn.refusal)),
    )
    kept = [
        replace(call, arguments=budget.take(split_arguments(call.arguments))) for call in calls if budget.left
    ]
    return short, tuple(kept), budget.exceeded or len(kept) < len(calls)


@dataclass
class _Budget:
    """Tokens that may still be said."""

    left: int
    exceeded: bool = False

    def take(self, tokens: list[str]) -> str:
        self.exceeded = self.exceeded or len(tokens) > self.left
        taken = tokens[: self.left]
        self.left -= len(taken)
        return "".join(taken)


def _finish_reason(turn: Turn, calls: tuple[SaidCall, ...], *, was_cut: bool) -> str | None:
    if not turn.finish:
        return None
    derived = "length" if was_cut else "tool_calls" if calls else "stop"
    return turn.finish_reason or derived


def _usage(turn: Turn, calls: tuple[SaidCall, ...], prompt: tuple[int, int]) -> JsonObject:
    prompt_tokens, cached = prompt
    reasoning = len(split_text(turn.reasoning))
    said = len(split_text(turn.text)) + len(split_text(turn.refusal))
    said += sum(len(split_arguments(call.arguments)) for call in calls)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": reasoning + said,
        "total_tokens": prompt_tokens + reasoning + said,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
