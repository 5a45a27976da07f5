"""The events of a response stream, one class per `type`.

Source: recorded streams. Every delta may carry `obfuscation`, random padding that hides the length of tokens.
"""

from __future__ import annotations

from typing import Literal

from typing_extensions import NotRequired, TypedDict

from shim.errors import ErrorBody
from shim.wire.base import exact
from shim.wire.output import Logprob, OutputItem, OutputPart, ReasoningText, SummaryText, UrlCitation
from shim.wire.response import Response


@exact
class Lifecycle(TypedDict):
    """A change of the response's status; holds the whole response object."""

    type: Literal[
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.completed",
        "response.incomplete",
        "response.failed",
    ]
    response: Response
    sequence_number: int


@exact
class ErrorEvent(TypedDict):
    """A fault after the stream has begun; `response.failed` follows."""

    type: Literal["error"]
    error: ErrorBody
    sequence_number: int


@exact
class ItemEvent(TypedDict):
    """An output item begins or is complete."""

    type: Literal["response.output_item.added", "response.output_item.done"]
    item: OutputItem
    output_index: int
    sequence_number: int


@exact
class PartEvent(TypedDict):
    """A content part begins or is complete."""

    type: Literal["response.content_part.added", "response.content_part.done"]
    content_index: int
    item_id: str
    output_index: int
    part: OutputPart | ReasoningText
    sequence_number: int


@exact
class OutputTextDelta(TypedDict):
    """More text of a message."""

    type: Literal["response.output_text.delta"]
    content_index: int
    delta: str
    item_id: str
    logprobs: list[Logprob]
    obfuscation: NotRequired[str]
    output_index: int
    sequence_number: int


@exact
class OutputTextDone(TypedDict):
    """The whole text of a part."""

    type: Literal["response.output_text.done"]
    content_index: int
    item_id: str
    logprobs: list[Logprob]
    output_index: int
    sequence_number: int
    text: str


@exact
class AnnotationAdded(TypedDict):
    """A source for a span of the text."""

    type: Literal["response.output_text.annotation.added"]
    annotation: UrlCitation
    annotation_index: int
    content_index: int
    item_id: str
    output_index: int
    sequence_number: int


@exact
class ContentDelta(TypedDict):
    """More of a refusal or of raw reasoning."""

    type: Literal["response.refusal.delta", "response.reasoning_text.delta"]
    content_index: int
    delta: str
    item_id: str
    obfuscation: NotRequired[str]
    output_index: int
    sequence_number: int


@exact
class RefusalDone(TypedDict):
    """The whole refusal."""

    type: Literal["response.refusal.done"]
    content_index: int
    item_id: str
    output_index: int
    refusal: str
    sequence_number: int


@exact
class ReasoningTextDone(TypedDict):
    """The whole raw reasoning."""

    type: Literal["response.reasoning_text.done"]
    content_index: int
    item_id: str
    output_index: int
    sequence_number: int
    text: str


@exact
class SummaryPartEvent(TypedDict):
    """A part of the reasoning summary begins or is complete."""

    type: Literal["response.reasoning_summary_part.added", "response.reasoning_summary_part.done"]
    item_id: str
    output_index: int
    part: SummaryText
    sequence_number: int
    summary_index: int


@exact
class SummaryTextDelta(TypedDict):
    """More of the reasoning summary."""

    type: Literal["response.reasoning_summary_text.delta"]
    delta: str
    item_id: str
    obfuscation: NotRequired[str]
    output_index: int
    sequence_number: int
    summary_index: int


@exact
class SummaryTextDone(TypedDict):
    """The whole text of a part of the summary."""

    type: Literal["response.reasoning_summary_text.done"]
    item_id: str
    output_index: int
    sequence_number: int
    summary_index: int
    text: str


@exact
class CallDelta(TypedDict):
    """More of a call's arguments, input or diff."""

    type: Literal[
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.apply_patch_call_operation_diff.delta",
    ]
    delta: str
    item_id: str
    obfuscation: NotRequired[str]
    output_index: int
    sequence_number: int


@exact
class ArgumentsDone(TypedDict):
    """The whole arguments of a function call."""

    type: Literal["response.function_call_arguments.done"]
    arguments: str
    item_id: str
    output_index: int
    sequence_number: int


@exact
class InputDone(TypedDict):
    """The whole input of a custom tool call."""

    type: Literal["response.custom_tool_call_input.done"]
    input: str
    item_id: str
    output_index: int
    sequence_number: int


@exact
class DiffDone(TypedDict):
    """The whole diff of an apply_patch call."""

    type: Literal["response.apply_patch_call_operation_diff.done"]
    diff: str
    item_id: str
    output_index: int
    sequence_number: int


@exact
class ShellCommandEvent(TypedDict):
    """A command of a shell call begins or is complete; it names no item."""

    type: Literal["response.shell_call_command.added", "response.shell_call_command.done"]
    command: str
    command_index: int
    output_index: int
    sequence_number: int


@exact
class ShellCommandDelta(TypedDict):
    """More of a command of a shell call."""

    type: Literal["response.shell_call_command.delta"]
    command_index: int
    delta: str
    obfuscation: NotRequired[str]
    output_index: int
    sequence_number: int


DeltaEvent = OutputTextDelta | ContentDelta | SummaryTextDelta | CallDelta | ShellCommandDelta

Event = (
    Lifecycle
    | ErrorEvent
    | ItemEvent
    | PartEvent
    | DeltaEvent
    | OutputTextDone
    | AnnotationAdded
    | RefusalDone
    | ReasoningTextDone
    | SummaryPartEvent
    | SummaryTextDone
    | ArgumentsDone
    | InputDone
    | DiffDone
    | ShellCommandEvent
)
