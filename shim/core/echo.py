"""The response object before anything has been answered: the request, echoed with its defaults filled in."""

from __future__ import annotations

from typing import Any

from shim.wire.base import Json
from shim.wire.request import CreateResponse
from shim.wire.response import ReasoningEcho, Response, TextEcho


def response_template(request: CreateResponse, body: Json, response_id: str, created_at: int) -> Response:
    """A response in progress.

    Args:
        request: The checked request.
        body: The same as it was sent; tools and choices are echoed from it, key by key.
        response_id: `resp_...`.
        created_at: Unix seconds.
    """
    return Response(
        id=response_id,
        object="response",
        created_at=created_at,
        status="in_progress",
        background=bool(request.background),
        completed_at=None,
        error=None,
        frequency_penalty=0.0,
        incomplete_details=None,
        instructions=body.get("instructions"),
        max_output_tokens=request.max_output_tokens,
        max_tool_calls=request.max_tool_calls,
        model=request.model,
        output=[],
        parallel_tool_calls=request.parallel_tool_calls is not False,
        presence_penalty=0.0,
        previous_response_id=request.previous_response_id,
        prompt_cache_key=request.prompt_cache_key,
        prompt_cache_retention=request.prompt_cache_retention,
        reasoning=_reasoning(request),
        safety_identifier=request.safety_identifier,
        service_tier=request.service_tier or "auto",
        store=request.store is not False,
        temperature=1.0 if request.temperature is None else request.temperature,
        text=_text(body.get("text") or {}),
        tool_choice=body.get("tool_choice") or "auto",
        tools=[_tool(tool) for tool in body.get("tools") or ()],
        top_logprobs=request.top_logprobs or 0,
        top_p=1.0 if request.top_p is None else request.top_p,
        truncation=request.truncation or "disabled",
        usage=None,
        user=request.user,
        metadata=request.metadata or {},
    )


def _reasoning(request: CreateResponse) -> ReasoningEcho:
    given = request.reasoning
    if given is None:
        return ReasoningEcho(effort=None, summary=None)
    return ReasoningEcho(effort=given.effort, summary=given.summary or given.generate_summary)


def _text(text: Json) -> TextEcho:
    text_format = dict(text.get("format") or {"type": "text"})
    if text_format["type"] == "json_schema":
        text_format = {"description": None, "strict": False} | text_format
    return TextEcho(format=text_format, verbosity=text.get("verbosity") or "medium")


def _tool(tool: Json) -> Json:
    """A declared tool; functions always carry a description and strictness."""
    if tool.get("type") != "function":
        return tool
    strict: Any = tool.get("strict")
    return {**tool, "description": tool.get("description"), "strict": True if strict is None else strict}
