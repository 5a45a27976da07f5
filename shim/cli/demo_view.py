"""What the demo shows: both requests, then Responses events beside chat chunks, runs of deltas as one line."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

JsonObject = dict[str, Any]
Line = tuple[str, str]

TITLES = ("Responses: what your tool speaks", "Chat Completions: what the upstream speaks")
LONGEST_TEXT = 200


def exchange(request: JsonObject, events: list[JsonObject], chat: JsonObject, payloads: list[str]) -> Table:
    """Both sides of one request, in two columns that also fit 80 characters and a pipe."""
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row(*(Text(title, style="bold") for title in TITLES))
    grid.add_row(_body("POST /v1/responses", request), _body("POST /v1/chat/completions", chat))
    grid.add_row(_stream(event_lines(events)), _stream(chunk_lines(payloads)))
    return grid


def _body(title: str, body: JsonObject) -> Panel:
    shown = Text(json.dumps(body, indent=1, ensure_ascii=False))
    return Panel(shown, title=title, title_align="left", padding=0)


def _stream(lines: list[Line]) -> Panel:
    texts = [Text.assemble((name, "cyan"), "  " if said else "", said) for name, said in lines]
    return Panel(Group(*texts), title="stream", title_align="left", padding=0)


def event_lines(events: Iterable[JsonObject]) -> list[Line]:
    """Responses events; a run of deltas of one type becomes one line with its text joined."""
    return _merged((event["type"].removeprefix("response."), _event_text(event)) for event in events)


def _event_text(event: JsonObject) -> str:
    if isinstance(event.get("delta"), str):
        return str(event["delta"])
    item = event.get("item")
    if event["type"] == "response.completed":
        usage = event["response"].get("usage") or {}
        return f"{usage.get('input_tokens', '?')} tokens in, {usage.get('output_tokens', '?')} out"
    return f"{item['type']}" if item else ""


def chunk_lines(payloads: Iterable[str]) -> list[Line]:
    """Chat chunks, named by what they carry; runs are joined likewise."""
    return _merged(line for payload in payloads for line in _chunk(payload))


def _chunk(payload: str) -> list[Line]:
    if payload == "[DONE]":
        return [("[DONE]", "")]
    chunk = json.loads(payload)
    lines = [line for choice in chunk.get("choices") or [] for line in _choice(choice)]
    if usage := chunk.get("usage"):
        lines.append(
            ("usage", f"{usage.get('prompt_tokens')} tokens in, {usage.get('completion_tokens')} out")
        )
    return lines or [("(empty chunk)", "")]


def _choice(choice: JsonObject) -> list[Line]:
    delta = choice.get("delta") or {}
    lines = [(f"delta.{name}", delta[name]) for name in ("reasoning_content", "content") if delta.get(name)]
    lines += [
        ("delta.tool_calls", _call_text(call.get("function") or {})) for call in delta.get("tool_calls") or []
    ]
    if choice.get("finish_reason"):
        lines.append(("finish_reason", choice["finish_reason"]))
    return lines or [("delta.role", delta.get("role") or "")]


def _call_text(function: JsonObject) -> str:
    name = function.get("name")
    return (f"{name} " if name else "") + (function.get("arguments") or "")


def _merged(lines: Iterable[Line]) -> list[Line]:
    merged = []
    for name, run in groupby(lines, key=lambda line: line[0]):
        parts = [said for _, said in run]
        times = f" x{len(parts)}" if len(parts) > 1 else ""
        merged.append((name + times, _short("".join(parts).strip())))
    return merged


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "..."


def console() -> Console:
    """A console that is never narrower than two readable columns."""
    found = Console(highlight=False)
    return found if found.width >= 80 else Console(width=80, highlight=False)  # noqa: PLR2004 -- columns
