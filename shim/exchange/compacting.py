"""`POST /v1/responses/compact` and `/input_tokens`: what the API offers around a request."""

from __future__ import annotations

from contextlib import aclosing

from shim.ambient import monotonic
from shim.exchange.caller import Caller
from shim.exchange.exchange import Exchange
from shim.wire.base import Json
from shim.wire.response import Compacted, InputTokens

COMPACTED_FROM = (
    "model",
    "input",
    "instructions",
    "previous_response_id",
    "prompt_cache_key",
    "service_tier",
)
"""The fields of a compaction request."""


async def compact(exchange: Exchange, body: Json, caller: Caller, request_id: str) -> Compacted:
    """Let the model summarise a conversation.

    Raises:
        Fault: The request is wrong, or the upstream failed.
    """
    began = monotonic()
    fields = {name: body[name] for name in COMPACTED_FROM if name in body}
    asked = await exchange.ask(_triggered(fields), caller, request_id)
    async with aclosing(await exchange.accept(asked, began)) as turn:
        response = await turn.response()
    said = asked.recalled.whole
    return Compacted(
        id=response["id"],
        object="response.compaction",
        created_at=response["created_at"],
        output=[*(item for item in said if _is_users(item)), *map(dict, response["output"])],
        usage=response["usage"],
    )


def _triggered(fields: Json) -> Json:
    """The request that asks the model for the summary; input of another kind is for validation to refuse."""
    given = fields.get("input") or []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list):
        return fields
    return {**fields, "input": [*items, {"type": "compaction_trigger"}], "store": False}


def _is_users(item: Json) -> bool:
    return bool(item["type"] == "message" and item["role"] == "user")


async def input_tokens(exchange: Exchange, body: Json, caller: Caller, request_id: str) -> InputTokens:
    """Estimate the input tokens of a request, corrected by what upstream reported for the same instrument.

    Raises:
        Fault: The request is wrong.
    """
    if body.get("model") is None:
        body = {**body, "model": exchange.default_model}
    asked = await exchange.ask(body, caller, request_id)
    return InputTokens(object="response.input_tokens", input_tokens=await exchange.estimate(asked))
