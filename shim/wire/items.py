"""Input items: what a client puts into `input`, its own words and the replayed output of earlier turns."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from shim.wire.base import Inbound, Json, by_type, text_or_list
from shim.wire.parts import Content, Part
from shim.wire.tools import Tool

ToolOutput = Content


class Message(Inbound):
    """A message; `type` may be left out or null."""

    type: Literal["message"] | None = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    phase: str | None = None


class FunctionCall(Inbound):
    """A call of a function, written by the model earlier."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None


class FunctionCallOutput(Inbound):
    """What a function answered. Codex also sends it without `call_id`, to tell the model something."""

    type: Literal["function_call_output"] | None = "function_call_output"
    call_id: str | None = None
    output: ToolOutput
    name: str | None = None
    namespace: str | None = None


class CustomToolCall(Inbound):
    """A call of a custom tool, with its free text."""

    type: Literal["custom_tool_call"]
    call_id: str
    name: str
    input: str
    namespace: str | None = None


class CustomToolCallOutput(Inbound):
    """What a custom tool answered."""

    type: Literal["custom_tool_call_output"]
    call_id: str | None = None
    output: ToolOutput
    name: str | None = None


class Reasoning(Inbound):
    """The model's reasoning, replayed."""

    type: Literal["reasoning"]
    summary: list[Part] | None = None
    content: list[Part] | None = None
    encrypted_content: str | None = None


class LocalShellCall(Inbound):
    """A call of the built-in `local_shell` tool; `action` holds command, env, timeout_ms and more."""

    type: Literal["local_shell_call"]
    id: str | None = None
    call_id: str
    action: Json


class LocalShellCallOutput(Inbound):
    """Its output; the API names the call in `id`, some clients in `call_id`."""

    type: Literal["local_shell_call_output"]
    id: str | None = None
    call_id: str | None = None
    output: str


class ShellCall(Inbound):
    """A call of the built-in `shell` tool; `action` holds commands and limits."""

    type: Literal["shell_call"]
    call_id: str
    action: Json


class ShellCallOutput(Inbound):
    """Its output: one object a command, with stdout, stderr and outcome."""

    type: Literal["shell_call_output"]
    call_id: str
    output: Annotated[
        Annotated[str, Tag("<text>")] | Annotated[list[Json], Tag("<list>")], Discriminator(text_or_list)
    ]


class ApplyPatchCall(Inbound):
    """A call of the built-in `apply_patch` tool; `operation` holds type, path and diff."""

    type: Literal["apply_patch_call"]
    call_id: str
    operation: Json


class ApplyPatchCallOutput(Inbound):
    """Whether it applied, and what it said."""

    type: Literal["apply_patch_call_output"]
    call_id: str
    status: str | None = None
    output: str | None = None


class ToolSearchCall(Inbound):
    """A search over tools that the client runs."""

    type: Literal["tool_search_call"]
    call_id: str | None = None
    arguments: Any = None


class ToolSearchOutput(Inbound):
    """The tools that the search found: they join the declared ones."""

    type: Literal["tool_search_output"]
    call_id: str | None = None
    tools: list[Tool] = Field(default_factory=list)


class AdditionalTools(Inbound):
    """Tools declared inside the conversation."""

    type: Literal["additional_tools"]
    tools: list[Tool]


class AgentMessage(Inbound):
    """A message between Codex's agents."""

    type: Literal["agent_message"]
    author: str | None = None
    recipient: str | None = None
    content: Content


class Compaction(Inbound):
    """An earlier part of the conversation, summarised."""

    type: Literal["compaction", "context_compaction", "compaction_summary"]
    encrypted_content: str | None = None


class CompactionTrigger(Inbound):
    """Asks that the conversation so far be answered with one compaction item."""

    type: Literal["compaction_trigger"]


class ItemReference(Inbound):
    """An item that the server keeps, by its id."""

    type: Literal["item_reference"] | None = "item_reference"
    id: str


class OtherItem(Inbound):
    """Any other item: results of hosted tools, or something newer than the shim."""

    model_config = ConfigDict(extra="allow", strict=True)
    type: str


_ITEMS: dict[str, type[Inbound]] = {
    "message": Message,
    "function_call": FunctionCall,
    "function_call_output": FunctionCallOutput,
    "custom_tool_call": CustomToolCall,
    "custom_tool_call_output": CustomToolCallOutput,
    "reasoning": Reasoning,
    "local_shell_call": LocalShellCall,
    "local_shell_call_output": LocalShellCallOutput,
    "shell_call": ShellCall,
    "shell_call_output": ShellCallOutput,
    "apply_patch_call": ApplyPatchCall,
    "apply_patch_call_output": ApplyPatchCallOutput,
    "tool_search_call": ToolSearchCall,
    "tool_search_output": ToolSearchOutput,
    "additional_tools": AdditionalTools,
    "agent_message": AgentMessage,
    "compaction": Compaction,
    "context_compaction": Compaction,
    "compaction_summary": Compaction,
    "compaction_trigger": CompactionTrigger,
    "item_reference": ItemReference,
}


def _fallback(value: Json) -> str:
    """What an item without a known type is: the API lets `type` be left out of the commonest ones."""
    if value.get("type") is not None:
        return "other"
    if "role" in value:
        return "message"
    if "output" in value:
        return "function_call_output"
    return "item_reference" if "id" in value else "other"


InputItem = Annotated[
    Annotated[Message, Tag("<message>")]
    | Annotated[FunctionCall, Tag("<function_call>")]
    | Annotated[FunctionCallOutput, Tag("<function_call_output>")]
    | Annotated[CustomToolCall, Tag("<custom_tool_call>")]
    | Annotated[CustomToolCallOutput, Tag("<custom_tool_call_output>")]
    | Annotated[Reasoning, Tag("<reasoning>")]
    | Annotated[LocalShellCall, Tag("<local_shell_call>")]
    | Annotated[LocalShellCallOutput, Tag("<local_shell_call_output>")]
    | Annotated[ShellCall, Tag("<shell_call>")]
    | Annotated[ShellCallOutput, Tag("<shell_call_output>")]
    | Annotated[ApplyPatchCall, Tag("<apply_patch_call>")]
    | Annotated[ApplyPatchCallOutput, Tag("<apply_patch_call_output>")]
    | Annotated[ToolSearchCall, Tag("<tool_search_call>")]
    | Annotated[ToolSearchOutput, Tag("<tool_search_output>")]
    | Annotated[AdditionalTools, Tag("<additional_tools>")]
    | Annotated[AgentMessage, Tag("<agent_message>")]
    | Annotated[Compaction, Tag("<compaction>")]
    | Annotated[Compaction, Tag("<context_compaction>")]
    | Annotated[Compaction, Tag("<compaction_summary>")]
    | Annotated[CompactionTrigger, Tag("<compaction_trigger>")]
    | Annotated[ItemReference, Tag("<item_reference>")]
    | Annotated[OtherItem, Tag("<other>")],
    Discriminator(by_type(_ITEMS, _fallback)),
]
