"""The response object: all of its keys are present in every status."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict

from shim.wire.base import Json, exact
from shim.wire.output import OutputItem

ResponseStatus = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]


@exact
class InputTokensDetails(TypedDict):
    """What of the input came from, or went into, the supplier's cache; tokens."""

    cached_tokens: int
    cache_write_tokens: int


@exact
class OutputTokensDetails(TypedDict):
    """What of the output was reasoning; tokens."""

    reasoning_tokens: int


@exact
class Usage(TypedDict):
    """Tokens used."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


@exact
class ResponseError(TypedDict):
    """Why a response failed."""

    code: str
    message: str


@exact
class IncompleteDetails(TypedDict):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens", "content_filter"]


@exact
class ReasoningEcho(TypedDict):
    """The reasoning options in force."""

    effort: str | int | None
    summary: str | None


@exact
class TextEcho(TypedDict):
    """The text options in force."""

    format: Json
    verbosity: str


@exact
class ConversationEcho(TypedDict):
    """The conversation that a response belongs to."""

    id: str


@exact
class Response(TypedDict):
    """A response. Times are Unix seconds; `served_model` names the model behind the instrument, once known."""

    id: str
    object: Literal["response"]
    created_at: int
    status: ResponseStatus
    background: bool
    completed_at: int | None
    error: ResponseError | None
    frequency_penalty: float
    incomplete_details: IncompleteDetails | None
    instructions: str | list[Any] | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    presence_penalty: float
    previous_response_id: str | None
    prompt_cache_key: str | None
    prompt_cache_retention: str | None
    reasoning: ReasoningEcho
    safety_identifier: str | None
    service_tier: str
    store: bool
    temperature: float
    text: TextEcho
    tool_choice: str | Json
    tools: list[Json]
    top_logprobs: int
    top_p: float
    truncation: str
    usage: Usage | None
    user: str | None
    metadata: dict[str, str]
    conversation: NotRequired[ConversationEcho]
    prompt: NotRequired[Json]
    served_model: NotRequired[str]


@exact
class Compacted(TypedDict):
    """A compacted conversation: the user's messages as they were, then one compaction item."""

    id: str
    object: Literal["response.compaction"]
    created_at: int
    output: list[Json]
    usage: Usage | None


@exact
class InputTokens(TypedDict):
    """How many tokens a request would be, estimated."""

    object: Literal["response.input_tokens"]
    input_tokens: int
