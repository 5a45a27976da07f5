"""What Codex is told about an instrument: its `ModelInfo`, and the one body of `GET /v1/models`.

The entries make Codex offer `apply_patch`, ask for reasoning summaries, compact before the upstream's limit and
warn of nothing. Fields and effects were measured with Codex 0.169; the keys that only older versions need are
kept, so that one catalogue loads on all of them. Not here: HTTP, and which instruments exist.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shim.core.agent_prompt import AGENT_PROMPT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shim.core.profile import Instrument

JsonObject = dict[str, Any]

UNKNOWN_WINDOW = 128_000
"""Context window where the upstream names none: what The Grid's smallest instruments have."""

NARROW_WINDOW = 200_000
NARROW_INPUT = 120_000
"""The Grid takes at most 120,000 tokens of input on its standard and prime instruments, although the window of
some was seen at 196,608. Wider windows take input nearly up to the window."""

COMPACT_PERCENT = 85
"""Share of the input limit at which Codex compacts: the rest holds one more answer and its tool outputs."""

TOOL_OUTPUT_TOKENS = 10_000
"""Tool output that Codex keeps; a tenth of the window where that is less."""

CODEX_BODY_BYTES = 900_000
"""Codex reads at most 1 MiB of catalogue. Entries beyond this are left out of `models` (never of `data`)."""

EFFORTS = {
    "none": "Answers without thinking first",
    "minimal": "Thinks as little as possible",
    "low": "Quick answers, little thinking",
    "medium": "Thinks as much as everyday tasks need",
    "high": "Thinks longer about harder problems",
    "xhigh": "Thinks at length about the hardest problems",
    "max": "Thinks as long as it takes",
}
PREFERRED_EFFORTS = ("medium", "low", "high")


def models_body(instruments: Iterable[Instrument]) -> JsonObject:
    """The body of `GET /v1/models`, for OpenAI's clients (`data`) and for Codex (`models`) at once.

    Aliases are not listed: a request may use them, a picker should not.

    Args:
        instruments: In the order in which Codex's picker shows them.
    """
    listed = list(instruments)
    return {
        "object": "list",
        "data": [list_entry(instrument) for instrument in listed],
        "models": _within_limit([model_entry(one, place) for place, one in enumerate(listed, 1)]),
    }


def list_entry(instrument: Instrument) -> JsonObject:
    """An entry of OpenAI's model list, with the capabilities beside it where they are known."""
    known = {
        "display_name": instrument.display_name or None,
        "context_length": instrument.context_window,
        "max_completion_tokens": instrument.max_output_tokens,
        "input_modalities": None if instrument.images is None else _modalities(instrument),
        "reasoning": None if instrument.efforts is None else {"supported_efforts": list(instrument.efforts)},
    }
    return {
        "id": instrument.id,
        "object": "model",
        "created": instrument.created,
        "owned_by": instrument.owned_by,
        **{key: value for key, value in known.items() if value is not None},
    }


def model_entry(instrument: Instrument, priority: int) -> JsonObject:
    """Codex's `ModelInfo` for one instrument.

    Args:
        instrument: What is known of it; what is not is assumed on the safe side.
        priority: Place in Codex's picker, 1 first.
    """
    window = instrument.context_window or UNKNOWN_WINDOW
    return {
        "slug": instrument.id,
        "display_name": instrument.display_name or instrument.id,
        "description": _description(instrument),
        "priority": priority,
        "visibility": "list",
        "supported_in_api": True,
        "availability_nux": None,
        "upgrade": None,
        "base_instructions": AGENT_PROMPT,
        **_reasoning(instrument.efforts or ()),
        **_tools(window),
        "context_window": window,
        "max_context_window": window,
        "effective_context_window_percent": 95,
        "auto_compact_token_limit": compaction_limit(instrument),
        "input_modalities": _modalities(instrument),
        "supports_image_detail_original": False,
        "support_verbosity": False,
        "default_verbosity": None,
    }


def compaction_limit(instrument: Instrument) -> int:
    """Tokens of conversation at which Codex should compact, below what the instrument takes as input."""
    window = instrument.context_window or UNKNOWN_WINDOW
    limit = min(window, NARROW_INPUT) if window <= NARROW_WINDOW else window
    return limit * COMPACT_PERCENT // 100


def _reasoning(efforts: Sequence[str]) -> JsonObject:
    preferred = [effort for effort in PREFERRED_EFFORTS if effort in efforts]
    return {
        "supported_reasoning_levels": [
            {"effort": effort, "description": EFFORTS.get(effort, f"Effort {effort}")} for effort in efforts
        ],
        "default_reasoning_level": next(iter(preferred or efforts), None),
        "supports_reasoning_summaries": True,
        "supports_reasoning_summary_parameter": True,
        "default_reasoning_summary": "auto",
    }


def _tools(window: int) -> JsonObject:
    """Tools that a function-only upstream can be shown; search, code mode and sub-agents are not among them."""
    return {
        "shell_type": "unified_exec",
        "apply_patch_tool_type": "freeform",
        "web_search_tool_type": "text",
        "experimental_supported_tools": [],
        "supports_parallel_tool_calls": True,
        "supports_search_tool": False,
        "use_responses_lite": False,
        "multi_agent_version": "disabled",
        "truncation_policy": {"mode": "tokens", "limit": min(TOOL_OUTPUT_TOKENS, window // 10)},
    }


def _modalities(instrument: Instrument) -> list[str]:
    """Unknown counts as text only: Codex then replaces images by a note, which beats a refused request."""
    return ["text", "image"] if instrument.images else ["text"]


def _description(instrument: Instrument) -> str:
    window = instrument.context_window
    known = [
        f"{window // 1000:,}k tokens of context" if window else "",
        "image input" if instrument.images else "",
    ]
    return ", ".join(part for part in known if part) or instrument.id


def _within_limit(entries: list[JsonObject]) -> list[JsonObject]:
    room = CODEX_BODY_BYTES
    kept: list[JsonObject] = []
    for entry in entries:
        room -= len(json.dumps(entry))
        if room < 0:
            break
        kept.append(entry)
    return kept
