"""Tool declarations: what a chat model sees of them, and what each chat function stands for on the way back.

Chat Completions know only functions. Custom tools, the built-in shell and patch tools, tool search and tools
inside namespaces are all shown as functions; `Toolbox` keeps who is who. Tools that the API's own servers would
run are left out. Not here: translating calls and outputs (`messages`, `items`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, assert_never

from shim.core.builtins import BUILT_IN, BuiltInKind
from shim.core.schema import arguments_schema
from shim.errors import invalid, missing
from shim.wire.base import Json
from shim.wire.chat import ChatFunction, ChatTool
from shim.wire.tools import (
    AllowedTools,
    BuiltInTool,
    CustomTool,
    FunctionTool,
    HostedTool,
    NamedChoice,
    NamespaceTool,
    Tool,
    ToolChoice,
    ToolSearchTool,
)

ToolKind = Literal["function", "custom", "tool_search"] | BuiltInKind

NAME_LIMIT = 64
"""Longest function name that OpenAI-compatible servers accept."""

TOP_LEVEL_NAMESPACES = frozenset({"", "functions"})
"""Names that Codex treats as no namespace at all."""

_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(frozen=True, slots=True)
class Declared:
    """One tool that the client declared, and the function that stands for it."""

    kind: ToolKind
    name: str
    namespace: str | None
    chat: ChatTool
    grammar: bool = False
    environment: Json | None = None

    @property
    def chat_name(self) -> str:
        """The function's name upstream."""
        return self.chat["function"]["name"]


Key = tuple[str, str, str]
"""Kind, namespace and name: what makes a tool the same tool when it is declared again."""


class Toolbox:
    """Every tool of a request; later declarations replace earlier ones in place."""

    def __init__(self, *, strict: bool = True) -> None:
        self.strict = strict
        self.by_key: dict[Key, Declared] = {}
        self.by_chat_name: dict[str, Declared] = {}
        self.by_name: dict[str, list[Key]] = {}
        """Those that have a name, in whatever namespaces, in the order of declaration."""
        self.hosted: dict[str, None] = {}
        self.notes: list[str] = []

    def add(self, tools: Iterable[Tool], namespace: str | None = None) -> None:
        """Declare tools, those of namespaces included."""
        for tool in tools:
            match tool:
                case NamespaceTool():
                    if tool.description:
                        self.notes.append(f"tools: the description of namespace {tool.name!r} was left out")
                    self.add(tool.tools, None if tool.name in TOP_LEVEL_NAMESPACES else tool.name)
                case BuiltInTool() if _runs_elsewhere(tool):
                    self.hosted[tool.type] = None
                case ToolSearchTool(execution="client") | FunctionTool() | CustomTool() | BuiltInTool():
                    self._declare(tool, namespace)
                case ToolSearchTool() | HostedTool():
                    self.hosted[tool.type] = None
                case _:
                    assert_never(tool)

    def _declare(
        self, tool: FunctionTool | CustomTool | ToolSearchTool | BuiltInTool, namespace: str | None
    ) -> None:
        name = tool.name if isinstance(tool, FunctionTool | CustomTool) else tool.type
        key = (tool.type, namespace or "", name)
        earlier = self.by_key.get(key)
        if earlier is None:
            self.by_name.setdefault(name, []).append(key)
        chat_name = earlier.chat_name if earlier else self._free_name(tool.type, namespace, name)
        declared = Declared(
            kind=tool.type,
            name=name,
            namespace=namespace,
            chat=ChatTool(type="function", function=_function(tool, chat_name, strict=self.strict)),
            grammar=isinstance(tool, CustomTool) and _has_grammar(tool),
            environment=tool.environment if isinstance(tool, BuiltInTool) else None,
        )
        self.by_key[key] = self.by_chat_name[chat_name] = declared

    def _free_name(self, kind: str, namespace: str | None, name: str) -> str:
        """A name that no other tool has: tools of several kinds or namespaces may be called the same."""
        chat_name, salt = flat_name(namespace, name), kind
        while chat_name in self.by_chat_name:
            chat_name, salt = _hashed(namespace, name, salt), f"{salt}+"
        return chat_name

    def chat_name(self, kind: str, name: str, namespace: str | None) -> str:
        """The function that stands for a call in the history, declared now or not."""
        place = "" if namespace is None or namespace in TOP_LEVEL_NAMESPACES else namespace
        declared = self.by_key.get((kind, place, name))
        return declared.chat_name if declared else flat_name(place or None, name)

    def declared(self, chat_name: str) -> Declared:
        """The tool that a called function stands for; a function of its own name if nothing was declared so.

        A tool in a namespace is found by its bare name too, if no other has it: models shorten names.
        """
        if tool := self.by_chat_name.get(chat_name):
            return tool
        namesakes = self.by_name.get(chat_name, ())
        if len(namesakes) == 1:
            return self.by_key[namesakes[0]]
        function = ChatFunction(name=chat_name, parameters={})
        return Declared("function", chat_name, None, ChatTool(type="function", function=function))

    def chat_tools(self, only: frozenset[Key] | None = None) -> list[ChatTool]:
        """The functions to send, in order of declaration; `only` restricts them."""
        return [tool.chat for key, tool in self.by_key.items() if only is None or key in only]


def flat_name(namespace: str | None, name: str) -> str:
    """A function name of at most 64 safe characters; the same input always gives the same name."""
    full = f"{namespace}__{name}" if namespace else name
    safe = _FOREIGN.sub("_", full)
    return safe if safe == full and 0 < len(safe) <= NAME_LIMIT else _hashed(namespace, name)


def _hashed(namespace: str | None, name: str, salt: str = "") -> str:
    identity = f"{namespace or ''}\0{name}\0{salt}".encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(identity).hexdigest()[:8]
    safe = _FOREIGN.sub("_", f"{namespace}__{name}" if namespace else name)
    return f"{safe[: NAME_LIMIT - 9]}_{digest}"


def _runs_elsewhere(tool: BuiltInTool) -> bool:
    """Whether a shell is to run in a container of the API's own."""
    return bool((tool.environment or {}).get("type", "local") != "local")


def _skills(tool: BuiltInTool) -> str:
    """The skills that lie in a local shell's environment, as the model should know them."""
    skills = (tool.environment or {}).get("skills")
    told = [skill for skill in skills if isinstance(skill, dict)] if isinstance(skills, list) else []
    lines = [f"- {skill.get('name')} ({skill.get('path')}): {skill.get('description')}" for skill in told]
    return "\n".join(["", "", "Skills, each a folder with a SKILL.md:", *lines]) if lines else ""


def _has_grammar(tool: CustomTool) -> bool:
    return tool.format is not None and tool.format.type == "grammar"


def _function(
    tool: FunctionTool | CustomTool | ToolSearchTool | BuiltInTool, chat_name: str, *, strict: bool
) -> ChatFunction:
    match tool:
        case FunctionTool():
            return _plain_function(tool, chat_name, strict=strict)
        case CustomTool():
            return ChatFunction(
                name=chat_name, description=_custom_description(tool), parameters=CUSTOM_PARAMETERS
            )
        case ToolSearchTool():
            return ChatFunction(
                name=chat_name,
                description=tool.description or "Finds tools that fit a query and makes them available.",
                parameters=arguments_schema(tool.parameters or SEARCH_PARAMETERS),
            )
        case BuiltInTool():
            built_in = BUILT_IN[tool.type]
            return ChatFunction(
                name=chat_name,
                description=built_in.description + _skills(tool),
                parameters=built_in.parameters,
            )
        case _:
            assert_never(tool)


def _plain_function(tool: FunctionTool, chat_name: str, *, strict: bool) -> ChatFunction:
    function = ChatFunction(name=chat_name, parameters=arguments_schema(tool.parameters))
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict and strict:
        function["strict"] = True
    return function


CUSTOM_PARAMETERS: Json = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The tool's whole input as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}

SEARCH_PARAMETERS: Json = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "What the tools should be able to do."}},
    "required": ["query"],
    "additionalProperties": False,
}


def _custom_description(tool: CustomTool) -> str:
    how = "Here this tool is a function: put its whole free-form text, unchanged, into the string `input`."
    parts = [tool.description, how]
    if tool.format is not None and tool.format.definition:
        syntax = tool.format.syntax or "lark"
        parts.append(f"The text must match this {syntax} grammar:\n{tool.format.definition}")
    return "\n\n".join(part for part in parts if part)


class Choice(NamedTuple):
    """A tool choice as chat says it, and the only tools that may be called (None: all)."""

    chat: str | Json | None = None
    only: frozenset[Key] | None = None
    forced: bool = False


_FREE = Choice()


def choose(choice: ToolChoice | None, toolbox: Toolbox, *, objects: bool) -> Choice:
    """Translate a tool choice; `objects` tells whether the upstream takes one in the form of an object.

    Raises:
        ClientFault: The choice names a tool that is not declared, or one that only the API's servers can run.
    """
    match choice:
        case None:
            return _FREE
        case str():
            return _mode(choice, toolbox)
        case AllowedTools():
            named = {(one.type, one.namespace, one.name): one for one in choice.tools}.values()
            only = frozenset(_find(one, toolbox) for one in named if not _is_hosted(one, toolbox))
            if choice.mode == "required" and not only:
                raise _cannot_run(choice.tools[0].type if choice.tools else "allowed_tools")
            return Choice(choice.mode, only, forced=choice.mode == "required")
        case NamedChoice():
            if _is_hosted(choice, toolbox):
                raise _cannot_run(choice.type)
            key = _find(choice, toolbox)
            if not objects:
                return Choice("required", frozenset({key}), forced=True)
            function = {"type": "function", "function": {"name": toolbox.by_key[key].chat_name}}
            return Choice(function, forced=True)
        case _:
            assert_never(choice)


def _mode(mode: str, toolbox: Toolbox) -> Choice:
    if mode == "required" and not toolbox.by_key:
        if toolbox.hosted:
            raise _cannot_run(next(iter(toolbox.hosted)))
        raise invalid("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")
    return Choice(mode, forced=mode == "required")


def _is_hosted(named: NamedChoice, toolbox: Toolbox) -> bool:
    return named.type in toolbox.hosted


def _find(named: NamedChoice, toolbox: Toolbox) -> Key:
    if named.type in ("function", "custom") and not named.name:
        raise missing("tool_choice.name")
    place = named.namespace if named.namespace and named.namespace not in TOP_LEVEL_NAMESPACES else ""
    name = named.name or named.type
    exact = (named.type, place, name)
    if exact in toolbox.by_key:
        return exact
    for key in toolbox.by_name.get(name, ()):
        if named.namespace is None and key[0] == named.type:
            return key
    raise invalid(f"Tool choice '{named.type}' not found in 'tools' parameter.", "tool_choice")


def _cannot_run(kind: str) -> Exception:
    return invalid(
        f"Tool choice '{kind}' cannot be forced: the upstream has no hosted tools. "
        "Offer the model a function of your own instead.",
        "tool_choice",
        "unsupported_tool",
    )
