"""Scripts: what a model said, apart from how a supplier puts it on the wire.

A script is plain data and knows nothing of the shim's code; `wireforms` writes it as chat completion chunks, `naive`
says what response it must become.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}

TOOLS: list[dict[str, Any]] = [
    {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}},
    {
        "type": "function",
        "name": "list files!",
        "description": "A name that chat does not allow.",
        "parameters": None,
    },
    {"type": "custom", "name": "note"},
    {"type": "custom", "name": "patch", "format": GRAMMAR},
    {
        "type": "namespace",
        "name": "docs",
        "description": "Documentation.",
        "tools": [
            {"type": "function", "name": "search", "parameters": {"type": "object"}},
            {"type": "custom", "name": "ask"},
        ],
    },
    {"type": "shell", "environment": {"type": "local"}},
    {"type": "local_shell"},
    {"type": "apply_patch"},
    {"type": "tool_search", "execution": "client"},
    {"type": "function", "name": "get", "parameters": {"type": "object"}},
]
"""Every kind of tool that a client can declare."""


@dataclass(frozen=True)
class Tool:
    """One callable tool: its kind, its name and namespace, and whether it has a grammar."""

    kind: str
    name: str
    namespace: str | None = None
    grammar: bool = False
    local: bool = False


CALLABLE = [
    Tool("function", "get_weather"),
    Tool("function", "list files!"),
    Tool("custom", "note"),
    Tool("custom", "patch", grammar=True),
    Tool("function", "search", "docs"),
    Tool("custom", "ask", "docs"),
    Tool("shell", "shell", local=True),
    Tool("local_shell", "local_shell"),
    Tool("apply_patch", "apply_patch"),
    Tool("tool_search", "tool_search"),
    Tool("function", "get"),
]


@dataclass(frozen=True)
class Call:
    """A call. Functions are called with JSON `text`, which is kept letter by letter; others with `said`, an object."""

    tool: Tool
    call_id: str | None
    text: str | None = None
    said: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Script:
    """What the model said, in the order of the fields."""

    reasoning: str = ""
    text: str = ""
    refusal: str = ""
    calls: tuple[Call, ...] = ()
    finish: str = "stop"
    usage: dict[str, Any] | None = None
    logprobs: tuple[dict[str, Any], ...] = ()
    citations: tuple[dict[str, Any], ...] = ()
    model: str | None = None
    tier: str | None = None


@dataclass(frozen=True)
class Telling:
    """What the client asked for."""

    summary: bool = False
    sealed: bool = False
    obfuscation: bool = True


_FRAGMENTS = [
    "a", "Hello", "it is", " ", "  ", "\n", "\t", "<", "<to", "</thi", "é", "😀", "👩‍💻", '"', "\\", "{", "}", "`", "```",
    "\u2028", "\x85", "\x00", "0", "\\u00e9", "x = 1;", "[DONE]", "data: ", "</", "\ufeff", "\r\n", "'", "日本語",
]  # fmt: skip

texts = st.lists(st.sampled_from(_FRAGMENTS), max_size=8).map("".join)
some_text = st.lists(st.sampled_from(_FRAGMENTS), min_size=1, max_size=8).map("".join)

_plain_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
_objects = st.dictionaries(texts, _plain_json, max_size=3)


def _json_text(value: dict[str, Any], ascii_only: bool, spaced: bool) -> str:
    return json.dumps(value, ensure_ascii=ascii_only, indent=2 if spaced else None)


_function_text = st.just("") | st.builds(_json_text, _objects, st.booleans(), st.booleans())


def _no_fence(text: str) -> bool:
    return not text.lstrip().startswith("```")


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


_numbers = st.none() | st.integers(0, 600_000)
_said = {
    "tool_search": _objects,
    "shell": st.builds(
        _without_none,
        commands=st.lists(texts, min_size=1, max_size=3),
        timeout_ms=_numbers,
        max_output_length=_numbers,
    ),
    "local_shell": st.builds(
        _without_none,
        command=st.lists(texts, min_size=1, max_size=3),
        working_directory=st.none() | texts,
        env=st.none() | st.dictionaries(texts, texts, max_size=2),
        timeout_ms=_numbers,
    ),
    "apply_patch": st.builds(
        _without_none,
        type=st.sampled_from(["create_file", "update_file"]),
        path=some_text,
        diff=st.none() | texts,
    )
    | st.builds(_without_none, type=st.just("delete_file"), path=some_text, diff=st.none() | texts),
}


def _calls_of(tool: Tool, call_id: str | None) -> st.SearchStrategy[Call]:
    if tool.kind == "function":
        return st.builds(Call, st.just(tool), st.just(call_id), text=_function_text)
    if tool.kind == "custom":
        inputs = texts.filter(_no_fence) if tool.grammar else texts
        return st.builds(Call, st.just(tool), st.just(call_id), said=st.fixed_dictionaries({"input": inputs}))
    return st.builds(Call, st.just(tool), st.just(call_id), said=_said[tool.kind])


@st.composite
def call_lists(draw: Any, most: int = 4) -> tuple[Call, ...]:
    """Calls with ids of their own, or all without ids."""
    tools = draw(st.lists(st.sampled_from(CALLABLE), max_size=most))
    with_ids = draw(st.booleans())
    return tuple(
        draw(_calls_of(tool, f"call_{place}-{'é' * (place % 2)}" if with_ids else None))
        for place, tool in enumerate(tools)
    )


_counts = st.integers(0, 10**9)
_usages = st.none() | st.builds(
    _without_none,
    prompt_tokens=_counts,
    completion_tokens=_counts,
    total_tokens=st.none() | st.integers(1, 10**9),
    prompt_tokens_details=st.none() | st.fixed_dictionaries({"cached_tokens": _counts}),
    completion_tokens_details=st.none() | st.fixed_dictionaries({"reasoning_tokens": _counts}),
)


def _token(text: str, value: float, alternatives: int) -> dict[str, Any]:
    one = {"token": text, "logprob": value, "bytes": list(text.encode())}
    return {**one, "top_logprobs": [one] * alternatives}


_tokens = st.builds(
    _token,
    some_text,
    st.floats(-100, 0, allow_nan=False).map(lambda value: round(value, 3)),
    st.integers(0, 2),
)


def _citation(url: str, title: str, start: int, length: int) -> dict[str, Any]:
    span = {
        "url": f"https://example.com/{url}",
        "title": title,
        "start_index": start,
        "end_index": start + length,
    }
    return {"type": "url_citation", "url_citation": span}


_citations = st.builds(_citation, texts, texts, st.integers(0, 99), st.integers(0, 9))


@st.composite
def scripts(draw: Any) -> Script:
    """Everything that a model may say in one answer."""
    text = draw(texts)
    said = bool(text.strip())
    return Script(
        reasoning=draw(st.just("") | texts),
        text=text,
        refusal=draw(st.just("") | st.just("") | texts),
        calls=draw(st.just(()) | call_lists()),
        finish=draw(st.sampled_from(["stop", "stop", "stop", "length", "content_filter"])),
        usage=draw(_usages),
        logprobs=tuple(draw(st.just([]) | st.lists(_tokens, max_size=3))) if said else (),
        citations=tuple(draw(st.just([]) | st.lists(_citations, max_size=2))) if said else (),
        model=draw(st.none() | st.just("supplier/model-x")),
        tier=draw(st.none() | st.sampled_from(["default", "flex"])),
    )


tellings = st.builds(Telling, summary=st.booleans(), sealed=st.booleans(), obfuscation=st.booleans())
