"""Chat Completions: what is sent upstream, exactly, and what is read from it, as far as it is read.

What comes back is checked by hand in `shim.core.deltas`, since suppliers differ; `ChatChunk` documents it.
"""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict

from shim.wire.base import Json, exact


@exact
class TextPart(TypedDict):
    """Text."""

    type: Literal["text"]
    text: str


@exact
class ImageUrl(TypedDict):
    """An http(s) or data URL and how closely to look."""

    url: str
    detail: NotRequired[str]


@exact
class ImagePart(TypedDict):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


@exact
class FileData(TypedDict):
    """A file as data URL."""

    file_data: str
    filename: str


@exact
class FilePart(TypedDict):
    """A file."""

    type: Literal["file"]
    file: FileData


@exact
class Audio(TypedDict):
    """Base64 audio and its format."""

    data: str
    format: str


@exact
class AudioPart(TypedDict):
    """Audio."""

    type: Literal["input_audio"]
    input_audio: Audio


ChatPart = TextPart | ImagePart | FilePart | AudioPart
ChatContent = str | list[ChatPart]


@exact
class FunctionText(TypedDict):
    """A called function and its arguments as JSON text."""

    name: str
    arguments: str


@exact
class ChatToolCall(TypedDict):
    """A call on an assistant message."""

    id: str
    type: Literal["function"]
    function: FunctionText


@exact
class SystemMessage(TypedDict):
    """Instructions."""

    role: Literal["system"]
    content: str


@exact
class UserMessage(TypedDict):
    """What the user says or shows."""

    role: Literal["user"]
    content: ChatContent


@exact
class AssistantMessage(TypedDict):
    """One turn of the model: reasoning, text and calls together. Content is null only beside calls."""

    role: Literal["assistant"]
    content: str | None
    reasoning_content: NotRequired[str]
    reasoning: NotRequired[str]
    tool_calls: NotRequired[list[ChatToolCall]]


@exact
class ToolMessage(TypedDict):
    """What a tool answered."""

    role: Literal["tool"]
    tool_call_id: str
    content: str


ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage


@exact
class ChatFunction(TypedDict):
    """A function with a JSON Schema for its arguments."""

    name: str
    description: NotRequired[str]
    parameters: Json
    strict: NotRequired[bool]


@exact
class ChatTool(TypedDict):
    """A tool declaration."""

    type: Literal["function"]
    function: ChatFunction


@exact
class StreamUsage(TypedDict):
    """Asks for a usage chunk."""

    include_usage: Literal[True]


@exact
class ChatRequest(TypedDict):
    """A chat completion request; what the caller left out stays out."""

    model: str
    messages: list[ChatMessage]
    stream: Literal[True]
    stream_options: NotRequired[StreamUsage]
    tools: NotRequired[list[ChatTool]]
    tool_choice: NotRequired[str | Json]
    parallel_tool_calls: NotRequired[bool]
    response_format: NotRequired[Json]
    max_completion_tokens: NotRequired[int]
    max_tokens: NotRequired[int]
    temperature: NotRequired[float]
    top_p: NotRequired[float]
    logprobs: NotRequired[bool]
    top_logprobs: NotRequired[int]
    reasoning_effort: NotRequired[str]
    verbosity: NotRequired[str]
    prompt_cache_key: NotRequired[str]
    prompt_cache_retention: NotRequired[str]
    safety_identifier: NotRequired[str]
    service_tier: NotRequired[str]
    metadata: NotRequired[dict[str, str]]
    user: NotRequired[str]


class ChatToolCallDelta(TypedDict, total=False):
    """A piece of a call; suppliers leave out whatever they like."""

    index: int
    id: str | None
    function: Json


class ChatDelta(TypedDict, total=False):
    """A piece of the assistant's message."""

    content: str | None
    reasoning_content: str | None
    reasoning: str | None
    refusal: str | None
    tool_calls: list[ChatToolCallDelta]
    function_call: Json
    annotations: list[Json]


class ChatChoice(TypedDict, total=False):
    """The one choice: `delta` in a chunk, `message` in a whole completion."""

    index: int
    delta: ChatDelta
    message: ChatDelta
    finish_reason: str | None
    logprobs: Json | None


class ChatChunk(TypedDict, total=False):
    """A chat completion chunk, or a whole chat completion."""

    id: str
    object: str
    model: str
    service_tier: str | None
    choices: list[ChatChoice]
    usage: dict[str, Any] | None
    error: Any
