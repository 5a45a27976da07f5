"""Token counts of a response, and what several answers cost together."""

from __future__ import annotations

from shim.wire.response import InputTokensDetails, OutputTokensDetails, Usage

NO_USAGE = Usage(
    input_tokens=0,
    input_tokens_details=InputTokensDetails(cached_tokens=0, cache_write_tokens=0),
    output_tokens=0,
    output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
    total_tokens=0,
)
"""Usage that the upstream did not tell: clients end the turn over a response without it."""


def together(one: Usage, other: Usage) -> Usage:
    """What two answers cost together."""
    took, took_too = one["input_tokens_details"], other["input_tokens_details"]
    gave, gave_too = one["output_tokens_details"], other["output_tokens_details"]
    return Usage(
        input_tokens=one["input_tokens"] + other["input_tokens"],
        input_tokens_details=InputTokensDetails(
            cached_tokens=took["cached_tokens"] + took_too["cached_tokens"],
            cache_write_tokens=took["cache_write_tokens"] + took_too["cache_write_tokens"],
        ),
        output_tokens=one["output_tokens"] + other["output_tokens"],
        output_tokens_details=OutputTokensDetails(
            reasoning_tokens=gave["reasoning_tokens"] + gave_too["reasoning_tokens"]
        ),
        total_tokens=one["total_tokens"] + other["total_tokens"],
    )
