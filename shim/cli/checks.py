"""What `grid-shim doctor` checks, with the upstream client that the endpoint itself uses.

Each check ends in a `Finding`; none raises. Not here: how they are shown.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from shim.errors import Fault
from shim.upstream import Upstream
from shim.upstream.transport import Connections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shim.settings import Settings

JsonObject = dict[str, Any]

ANSWER_TOKENS = 2000
"""Room for an answer of a few words by a model that cannot be kept from thinking first."""

TOOL: JsonObject = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"colour": {"type": "string"}},
    "required": ["colour"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: What was checked.
        good: Whether it is well.
        detail: What was found.
        fix: What to do, when it is not well.
    """

    name: str
    good: bool
    detail: str
    fix: str = ""


@dataclass
class _Trace(httpx.AsyncBaseTransport):
    """Real connections, with a note of every redirect."""

    inner: httpx.AsyncBaseTransport
    redirects: list[str] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self.inner.handle_async_request(request)
        if location := response.headers.get("location"):
            self.redirects.append(f"{response.status_code} to {request.url.join(location)}")
        return response

    async def aclose(self) -> None:
        await self.inner.aclose()


@dataclass(frozen=True)
class Said:
    """What a model said in one streamed answer."""

    text: str
    calls: dict[str, str]
    finish: str | None


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Run the checks one after the other, yielding each finding as it is made."""
    yield _key(settings)
    trace = _Trace(Connections(settings))
    try:
        upstream = Upstream(settings, transport=trace)
    except ValueError as error:
        yield Finding("base URL", good=False, detail=str(error), fix="set GRID_SHIM_UPSTREAM or --upstream.")
        return
    try:
        async for finding in _reached(settings, upstream, trace):
            yield finding
    finally:
        await upstream.aclose()


def _key(settings: Settings) -> Finding:
    variable = settings.preset.key_variable
    if settings.upstream_key is not None:
        return Finding("key", good=True, detail="configured")
    if not settings.preset.needs_key:
        return Finding("key", good=True, detail=f"none, and profile {settings.profile} needs none")
    fix = f"export {variable}=... (on The Grid: a Consumption key, not a Trading key)."
    return Finding("key", good=False, detail=f"{variable} is not set", fix=fix)


async def _reached(settings: Settings, upstream: Upstream, trace: _Trace) -> AsyncIterator[Finding]:
    yield Finding("base URL", good=True, detail=upstream.base_url)
    catalog = await upstream.catalog(_secret(settings))
    yield _models(settings, catalog.fallback or not catalog.instruments, len(catalog.instruments))
    model = settings.model or next((one.id for one in catalog.instruments), None)
    if model is None:
        yield Finding(
            "model", good=False, detail="there is none to call", fix="name one with --default-model."
        )
        return
    calls = Calls(settings, upstream, model)
    first = await calls.streamed()
    yield first
    yield _redirect(trace.redirects, answered=first.good)
    yield await calls.tool()
    yield await calls.schema()


def _models(settings: Settings, silent: bool, count: int) -> Finding:
    if not silent:
        return Finding("models", good=True, detail=f"{count} listed")
    return Finding(
        "models",
        good=False,
        detail=f"{settings.base_url} does not list any",
        fix="check the base URL (--upstream), and that this machine reaches it.",
    )


def _redirect(followed: list[str], *, answered: bool) -> Finding:
    if not answered:
        fix = "mend the streamed call first."
        return Finding(
            "redirect", good=False, detail=followed[-1] if followed else "no answer to follow", fix=fix
        )
    detail = f"followed, {followed[-1]}" if followed else "none met; the base URL answers itself"
    return Finding("redirect", good=True, detail=detail)


@dataclass(frozen=True)
class Calls:
    """The three calls, each to the same model."""

    settings: Settings
    upstream: Upstream
    model: str

    async def streamed(self) -> Finding:
        """A plain answer."""
        said = await self._ask("streamed call", "Answer with one word: the name of a colour.")
        if isinstance(said, Finding):
            return said
        detail = f"{self.model} answered {_short(said.text)!r}"
        return _judged("streamed call", said.text != "", detail, "the model gave no text: try another model.")

    async def tool(self) -> Finding:
        """A call of the one tool there is."""
        asked = {"tools": [TOOL], "tool_choice": "required"}
        said = await self._ask("tool call", "Use the tool: what is the weather in Paris?", **asked)
        if isinstance(said, Finding):
            return said
        arguments = _json(said.calls.get("get_weather", ""))
        good = isinstance(arguments, dict) and "city" in arguments
        detail = (
            f"get_weather({_short(json.dumps(arguments))})"
            if good
            else f"no proper call: {_short(said.text)!r}"
        )
        return _judged("tool call", good, detail, "take a model that calls tools: --default-model.")

    async def schema(self) -> Finding:
        """An answer bound to a schema."""
        shape = {"name": "colour", "schema": SCHEMA} | (
            {"strict": True} if self.settings.preset.strict else {}
        )
        asked = {"response_format": {"type": "json_schema", "json_schema": shape}}
        said = await self._ask("schema call", "Name a colour, as JSON.", **asked)
        if isinstance(said, Finding):
            return said
        answer = _json(said.text)
        good = isinstance(answer, dict) and set(answer) == {"colour"}
        return _judged("schema call", good, _short(said.text), "take a model that keeps to json_schema.")

    async def _ask(self, name: str, question: str, **options: Any) -> Said | Finding:
        preset = self.settings.preset
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": question}],
            "stream": True,
            preset.max_tokens_field: ANSWER_TOKENS,
            **options,
        }
        if self.settings.upstream_key is None and preset.needs_key:
            return Finding(name, good=False, detail="not tried without a key", fix="set the key first.")
        try:
            async with await self.upstream.open(json.dumps(body).encode(), _secret(self.settings)) as stream:
                return _listen([payload async for payloads in stream for payload in payloads])
        except Fault as fault:
            return Finding(name, good=False, detail=fault.message, fix=_fix(fault, preset.key_variable))


def _judged(name: str, good: bool, detail: str, fix: str) -> Finding:
    return Finding(name, good=good, detail=detail, fix="" if good else fix)


def _fix(fault: Fault, variable: str) -> str:
    """What to do about the commonest faults; the message itself says what happened."""
    by_code = {
        "invalid_api_key": f"put a valid key into {variable} (on The Grid: a Consumption key, not a Trading key).",
        "insufficient_quota": "add credit to the account, or wait for its automatic top-up.",
        "model_not_found": "see grid-shim models, and choose with --default-model.",
    }
    return by_code.get(
        fault.code or "", "check the upstream's status and the settings named above, then try again."
    )


def _listen(payloads: list[str]) -> Said:
    text, finish = "", None
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for payload in payloads:
        chunk = _json(payload)
        for choice in (chunk.get("choices") or []) if isinstance(chunk, dict) else []:
            delta = choice.get("delta") or {}
            text += delta.get("content") or ""
            finish = choice.get("finish_reason") or finish
            for call in delta.get("tool_calls") or []:
                place, function = call.get("index", 0), call.get("function") or {}
                names[place] = function.get("name") or names.get(place, "")
                arguments[place] = arguments.get(place, "") + (function.get("arguments") or "")
    return Said(text.strip(), {name: arguments[place] for place, name in names.items()}, finish)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _secret(settings: Settings) -> str | None:
    return settings.upstream_key.get_secret_value() if settings.upstream_key else None


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "..."  # noqa: PLR2004 -- what fits a line
