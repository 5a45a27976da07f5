"""What an upstream accepts (`Profile`) and what one of its models can do (`Instrument`).

Data only: the translation asks these and never the upstream's name. Which profile applies is decided by
`shim.settings`; instruments come from `GET /models` through `shim.upstream.catalog`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ReasoningField = Literal["reasoning_content", "reasoning"]

OPENAI_FAMILIES = ("gpt-*", "o[0-9]*", "codex-*", "chatgpt-*")

EVERY_OPTION = frozenset(
    {
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "safety_identifier",
        "service_tier",
        "user",
        "verbosity",
    }
)
COMMON_OPTIONS = frozenset({"parallel_tool_calls", "reasoning_effort", "user"})


@dataclass(frozen=True, slots=True)
class Instrument:
    """One model of an upstream, as far as it is known.

    Attributes:
        id: The name requests use.
        display_name: The name people read.
        context_window: Tokens of input and output together, or None if unknown.
        max_output_tokens: Tokens of output, or None if unknown.
        efforts: Reasoning efforts, lowest first; `()` if reasoning cannot be steered; None if unknown.
        images: Whether image input is taken; None if unknown.
        temperature: Whether sampling parameters are taken.
        created: Unix seconds, 0 if unknown.
        owned_by: As the upstream says.
    """

    id: str
    display_name: str = ""
    context_window: int | None = None
    max_output_tokens: int | None = None
    efforts: tuple[str, ...] | None = None
    images: bool | None = None
    temperature: bool = True
    created: int = 0
    owned_by: str = "upstream"


@dataclass(frozen=True, slots=True)
class Profile:
    """What an upstream accepts in a chat completion request.

    Attributes:
        name: The preset's name.
        base_url: Where it listens when nothing else is configured.
        default_model: What an alias stands for when no default model is configured.
        json_schema: Whether `response_format` may be a schema; else it is "json_object".
        aliases: Patterns (exact or glob) that stand for the default model.
        key_variable: The environment variable that holds its key, for messages to the user.
        needs_key: False for servers that run without keys.
        max_tokens_field: Which field limits the output.
        reasoning_field: Where reasoning goes back on an assistant message; None: never.
        midway_system: Whether a system message may stand after the front.
        stream_usage: Whether `stream_options.include_usage` is understood.
        object_tool_choice: Whether `tool_choice` may be an object; else only that tool is sent, with "required".
        format_with_tools: Whether `response_format` may stand beside a forced tool.
        logprobs_with_tools: Whether `logprobs` may stand beside tools.
        strict: Whether `strict` on tools and schemas is understood.
        options: The optional request fields that are understood.
    """

    name: str
    base_url: str
    default_model: str | None = None
    json_schema: bool = True
    aliases: tuple[str, ...] = ()
    key_variable: str = "GRID_SHIM_KEY"
    needs_key: bool = True
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    reasoning_field: ReasoningField | None = "reasoning_content"
    midway_system: bool = False
    stream_usage: bool = True
    object_tool_choice: bool = True
    format_with_tools: bool = False
    logprobs_with_tools: bool = True
    strict: bool = True
    options: frozenset[str] = field(default=EVERY_OPTION)


GRID = Profile(
    name="grid",
    base_url="https://api.thegrid.ai/v1",
    default_model="code-prime",
    aliases=OPENAI_FAMILIES,
    key_variable="THEGRID_API_KEY",
    options=EVERY_OPTION - {"metadata"},
)

PRESETS: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        GRID,
        Profile(
            name="openai-compatible",
            base_url="http://127.0.0.1:8000/v1",
            needs_key=False,
            options=COMMON_OPTIONS,
        ),
        Profile(
            name="vllm",
            base_url="http://127.0.0.1:8000/v1",
            needs_key=False,
            options=COMMON_OPTIONS,
        ),
        Profile(
            name="ollama",
            base_url="http://127.0.0.1:11434/v1",
            needs_key=False,
            max_tokens_field="max_tokens",
            reasoning_field="reasoning",
            object_tool_choice=False,
            options=frozenset({"reasoning_effort"}),
        ),
        Profile(
            name="llama.cpp",
            base_url="http://127.0.0.1:8080/v1",
            needs_key=False,
            max_tokens_field="max_tokens",
            object_tool_choice=False,
            logprobs_with_tools=False,
            options=frozenset({"parallel_tool_calls"}),
        ),
        Profile(
            name="openrouter",
            base_url="https://openrouter.ai/api/v1",
            key_variable="OPENROUTER_API_KEY",
            reasoning_field="reasoning",
            options=COMMON_OPTIONS | {"service_tier"},
        ),
        Profile(
            name="deepseek",
            base_url="https://api.deepseek.com/v1",
            key_variable="DEEPSEEK_API_KEY",
            default_model="deepseek-chat",
            aliases=OPENAI_FAMILIES,
            json_schema=False,
            max_tokens_field="max_tokens",
            strict=False,
            options=frozenset({"user"}),
        ),
    )
}
