"""Tool declarations and tool choices that clients send."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from shim.wire.base import Inbound, Json, by_type


class FunctionTool(Inbound):
    """A function with a JSON Schema for its arguments."""

    type: Literal["function"]
    name: str = Field(min_length=1)
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


class CustomFormat(Inbound):
    """How a custom tool's input must look: free text, or a lark or regex grammar."""

    type: str
    syntax: str | None = None
    definition: str | None = None


class CustomTool(Inbound):
    """A tool that takes free text."""

    type: Literal["custom"]
    name: str = Field(min_length=1)
    description: str | None = None
    format: CustomFormat | None = None


class ToolSearchTool(Inbound):
    """A search over tools that the client runs (`execution: client`)."""

    type: Literal["tool_search"]
    execution: str | None = None
    description: str | None = None
    parameters: Json | None = None


class BuiltInTool(Inbound):
    """A tool whose arguments the API itself defines and the client runs."""

    type: Literal["local_shell", "shell", "apply_patch"]
    environment: Json | None = None


class HostedTool(Inbound):
    """Any other tool: the API's own servers would run it."""

    model_config = ConfigDict(extra="allow", strict=True)
    type: str


class NamespaceTool(Inbound):
    """Tools under a common name."""

    type: Literal["namespace"]
    name: str
    description: str | None = None
    tools: list[Tool]


_TOOLS: dict[str, type[Inbound]] = {
    "function": FunctionTool,
    "custom": CustomTool,
    "tool_search": ToolSearchTool,
    "local_shell": BuiltInTool,
    "shell": BuiltInTool,
    "apply_patch": BuiltInTool,
    "namespace": NamespaceTool,
}


def _fallback(_: Json) -> str:
    return "other"


Tool = Annotated[
    Annotated[FunctionTool, Tag("<function>")]
    | Annotated[CustomTool, Tag("<custom>")]
    | Annotated[ToolSearchTool, Tag("<tool_search>")]
    | Annotated[BuiltInTool, Tag("<local_shell>")]
    | Annotated[BuiltInTool, Tag("<shell>")]
    | Annotated[BuiltInTool, Tag("<apply_patch>")]
    | Annotated[NamespaceTool, Tag("<namespace>")]
    | Annotated[HostedTool, Tag("<other>")],
    Discriminator(by_type(_TOOLS, _fallback)),
]

NamespaceTool.model_rebuild()


class NamedChoice(Inbound):
    """One tool that must be called, by type and, where the type has names, by name."""

    model_config = ConfigDict(extra="allow", strict=True)
    type: str
    name: str | None = None
    namespace: str | None = None


class AllowedTools(Inbound):
    """The tools among which the model may (`auto`) or must (`required`) choose."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"] = "auto"
    tools: list[NamedChoice]


def _choice_tag(value: Any) -> str:
    if isinstance(value, str):
        return "<mode>"
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "<allowed_tools>" if kind == "allowed_tools" else "<named>"


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<mode>")]
    | Annotated[AllowedTools, Tag("<allowed_tools>")]
    | Annotated[NamedChoice, Tag("<named>")],
    Discriminator(_choice_tag),
]
