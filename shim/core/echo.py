"""The response object before anything has been answered: the request, echoed with its defaults filled in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shim.wire.base import Json
from shim.wire.request import CreateResponse, ReasoningConfig
from shim.wire.response import ReasoningEcho, Response, TextEcho


def response_template(request: CreateResponse, body: Json, response_id: str, created_at: int) -> Response:
    """A response in progress.

    Args:
        request: The checked request.
        body: The same as it was sent; tools and choices are echoed from it, key by key.
        response_id: `resp_...`.
        created_at: Unix seconds.
    """
    response = _unsaid()
    response["id"], response["created_at"] = response_id, created_at
    for name in _ECHOED & request.model_fields_set:
        if (value := getattr(request, name)) is not None:
            echo = _ECHOES.get(name)
            response[name] = echo(value, body) if echo else value  # type: ignore[literal-required]  # names from the table
    return response


_UNSAID = Response(
    id="",
    object="response",
    created_at=0,
    status="in_progress",
    background=False,
    completed_at=None,
    error=None,
    frequency_penalty=0.0,
    incomplete_details=None,
    instructions=None,
    max_output_tokens=None,
    max_tool_calls=None,
    model="",
    output=[],
    parallel_tool_calls=True,
    presence_penalty=0.0,
    previous_response_id=None,
    prompt_cache_key=None,
    prompt_cache_retention=None,
    reasoning=ReasoningEcho(effort=None, summary=None),
    safety_identifier=None,
    service_tier="auto",
    store=True,
    temperature=1.0,
    text=TextEcho(format={"type": "text"}, verbosity="medium"),
    tool_choice="auto",
    tools=[],
    top_logprobs=0,
    top_p=1.0,
    truncation="disabled",
    usage=None,
    user=None,
    metadata={},
)
"""The response to a request that says nothing."""

_ECHOED = frozenset(_UNSAID) & frozenset(CreateResponse.model_fields)


def _unsaid() -> Response:
    """The same, new each time: what is in it may be changed."""
    return {
        **_UNSAID,
        "output": [],
        "reasoning": _UNSAID["reasoning"].copy(),
        "text": {**_UNSAID["text"], "format": _UNSAID["text"]["format"].copy()},
        "tools": [],
        "metadata": {},
    }


def _reasoning(given: ReasoningConfig) -> ReasoningEcho:
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


_ECHOES: dict[str, Callable[[Any, Json], Any]] = {
    "instructions": lambda _, body: body["instructions"],
    "reasoning": lambda given, _: _reasoning(given),
    "service_tier": lambda given, _: given or "auto",
    "text": lambda _, body: _text(body["text"]),
    "tool_choice": lambda _, body: body["tool_choice"] or "auto",
    "tools": lambda _, body: [_tool(tool) for tool in body["tools"]],
}
"""Fields that are not echoed as they were checked: what of them is shown."""
