"""The body of `POST /v1/responses`.

Ranges follow the API's reference. Fields that are not named here are tolerated and noted.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from shim.wire.base import Inbound, Json, text_or_list
from shim.wire.items import InputItem
from shim.wire.tools import Tool, ToolChoice


class TextFormat(Inbound):
    """How the answer's text must look."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema_: Json | None = Field(None, alias="schema")
    strict: bool | None = None


class TextConfig(Inbound):
    """Options of the answer's text."""

    format: TextFormat | None = None
    verbosity: str | None = None


Effort = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[int, Tag("<number>")],
    Discriminator(lambda value: "<number>" if type(value) is int else "<text>"),
]


class ReasoningConfig(Inbound):
    """Options of reasoning. Codex passes on any effort that its user configures, even an integer."""

    effort: Effort | None = None
    summary: str | None = None
    generate_summary: str | None = None


class StreamOptions(Inbound):
    """Options of the event stream."""

    include_obfuscation: bool | None = None


Input = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[InputItem], Tag("<list>")], Discriminator(text_or_list)
]


Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]
"""What a client attaches to an object: at most 16 pairs."""


class CreateResponse(Inbound):
    """A request for a response; see the API's reference for each field."""

    model_config = ConfigDict(extra="allow", strict=True, protected_namespaces=())

    model: str = Field(min_length=1)
    input: Input | None = None
    instructions: Input | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = Field(None, ge=1)
    max_output_tokens: int | None = Field(None, ge=16)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    include: list[str] | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    truncation: Literal["auto", "disabled"] | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    user: str | None = None
    client_metadata: Any = None
    context_management: Any = None
