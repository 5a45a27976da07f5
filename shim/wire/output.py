"""Output items and their content parts, exactly as they stand on the wire.

Source: recorded streams of the API (required keys), the types of the official `openai` package (optional ones).
"""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict

from shim.wire.base import Json, exact

ItemStatus = Literal["in_progress", "completed", "incomplete"]
Phase = Literal["commentary", "final_answer"]


@exact
class TopLogprob(TypedDict):
    """An alternative token, its natural-log probability and its UTF-8 bytes."""

    token: str
    logprob: float
    bytes: list[int]


@exact
class Logprob(TypedDict):
    """A token of the answer and its alternatives."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TopLogprob]


@exact
class UrlCitation(TypedDict):
    """A source on the web for a span of the text, in characters."""

    type: Literal["url_citation"]
    url: str
    title: str
    start_index: int
    end_index: int


@exact
class OutputText(TypedDict):
    """Text of a message."""

    type: Literal["output_text"]
    annotations: list[UrlCitation]
    logprobs: list[Logprob]
    text: str


@exact
class OutputRefusal(TypedDict):
    """A refusal in place of text."""

    type: Literal["refusal"]
    refusal: str


@exact
class ReasoningText(TypedDict):
    """Raw reasoning."""

    type: Literal["reasoning_text"]
    text: str


@exact
class SummaryText(TypedDict):
    """One part of a reasoning summary."""

    type: Literal["summary_text"]
    text: str


OutputPart = OutputText | OutputRefusal


@exact
class OutputMessage(TypedDict):
    """A message by the model."""

    id: str
    type: Literal["message"]
    status: ItemStatus
    content: list[OutputPart]
    role: Literal["assistant"]
    phase: NotRequired[Phase]


@exact
class OutputReasoning(TypedDict):
    """The model's reasoning; it has no status on the wire."""

    id: str
    type: Literal["reasoning"]
    summary: list[SummaryText]
    content: NotRequired[list[ReasoningText]]
    encrypted_content: NotRequired[str]


@exact
class OutputFunctionCall(TypedDict):
    """A call of a function; `arguments` is a JSON string."""

    id: str
    type: Literal["function_call"]
    status: ItemStatus
    arguments: str
    call_id: str
    name: str
    namespace: NotRequired[str]


@exact
class OutputCustomToolCall(TypedDict):
    """A call of a custom tool with its free text."""

    id: str
    type: Literal["custom_tool_call"]
    status: ItemStatus
    call_id: str
    input: str
    name: str
    namespace: NotRequired[str]


@exact
class LocalShellAction(TypedDict):
    """One command as argument vector. What the model left out is absent: the AI SDK takes no null here."""

    type: Literal["exec"]
    command: list[str]
    env: dict[str, str]
    timeout_ms: NotRequired[int]
    working_directory: NotRequired[str]


@exact
class OutputLocalShellCall(TypedDict):
    """A call of the built-in `local_shell` tool."""

    id: str
    type: Literal["local_shell_call"]
    status: ItemStatus
    action: LocalShellAction
    call_id: str


@exact
class ShellAction(TypedDict):
    """Commands for a shell, to be run at the same time."""

    commands: list[str]
    max_output_length: int | None
    timeout_ms: int | None


@exact
class OutputShellCall(TypedDict):
    """A call of the built-in `shell` tool."""

    id: str
    type: Literal["shell_call"]
    status: ItemStatus
    action: ShellAction
    call_id: str
    environment: NotRequired[Json | None]


@exact
class PatchOperation(TypedDict):
    """One change of one file; a deletion has no diff."""

    type: Literal["create_file", "update_file", "delete_file"]
    path: str
    diff: NotRequired[str]


@exact
class OutputApplyPatchCall(TypedDict):
    """A call of the built-in `apply_patch` tool; the API knows no incomplete one."""

    id: str
    type: Literal["apply_patch_call"]
    status: ItemStatus
    operation: PatchOperation
    call_id: str


@exact
class OutputToolSearchCall(TypedDict):
    """A search over tools that the client runs; `arguments` is an object, not a string."""

    id: str
    type: Literal["tool_search_call"]
    status: ItemStatus
    arguments: dict[str, Any]
    call_id: str
    execution: Literal["client"]


@exact
class OutputCompaction(TypedDict):
    """The conversation so far, summarised and sealed."""

    id: str
    type: Literal["compaction"]
    encrypted_content: str


OutputItem = (
    OutputMessage
    | OutputReasoning
    | OutputFunctionCall
    | OutputCustomToolCall
    | OutputLocalShellCall
    | OutputShellCall
    | OutputApplyPatchCall
    | OutputToolSearchCall
    | OutputCompaction
)
