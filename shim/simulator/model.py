"""The model that answers when nobody scripted a turn: deterministic, obedient, and not clever.

It decides from the request alone. The last user message steers it, line by line:

    call NAME               calls the tool with arguments that satisfy its schema
    call NAME {...}         calls the tool with exactly these arguments
    then call NAME [{...}]  the same, one round of tool answers later; each such line is a further round
    say TEXT                answers exactly TEXT
    think TEXT              reasons exactly TEXT
    words N                 answers with N numbered words
    refuse TEXT             refuses with TEXT

Several `call` lines are parallel calls. A call to a tool that is not offered is answered with text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shim.simulator.config import Call, Turn
from shim.simulator.schema_answer import UnsatisfiableError, answer

if TYPE_CHECKING:
    from shim.simulator.config import JsonObject
    from shim.simulator.instruments import Instrument

REASONING = "The request is clear, so I answer it."
EXCERPT = 400
_ORDER = re.compile(r"^(?P<later>then )?call (?P<name>[\w-]+)(?: (?P<arguments>\{.*\}))?\s*$", re.MULTILINE)
_SAY = re.compile(r"^say (.*)$", re.MULTILINE)
_THINK = re.compile(r"^think (.*)$", re.MULTILINE)
_WORDS = re.compile(r"^words (\d{1,6})\s*$", re.MULTILINE)
_REFUSE = re.compile(r"^refuse (.*)$", re.MULTILINE)


def default_turn(request: JsonObject, instrument: Instrument) -> Turn:
    """What the model says to a request that has been found valid.

    Args:
        request: The chat completion request.
        instrument: The instrument it names; it decides whether there is reasoning.
    """
    prompt = _Prompt.of(request)
    reasoning = _reasoning(request, instrument, prompt.text)
    if calls := _calls(request, prompt):
        return Turn(reasoning=reasoning, calls=calls)
    if refusal := _REFUSE.search(prompt.text):
        return Turn(reasoning=reasoning, refusal=refusal[1])
    return Turn(reasoning=reasoning, text=_text(request, prompt))


@dataclass(frozen=True)
class _Prompt:
    """What matters of a conversation: the last user message and what has happened since.

    Attributes:
        text: The last user message's text.
        rounds: How often the model has called tools since.
        answers: The tools' answers to the latest calls, as (tool name, text).
    """

    text: str
    rounds: int
    answers: list[tuple[str, str]]

    @classmethod
    def of(cls, request: JsonObject) -> _Prompt:
        messages = request["messages"]
        last_user = max(
            (i for i, message in enumerate(messages) if message.get("role") == "user"), default=-1
        )
        since = messages[last_user + 1 :]
        rounds = [message for message in since if message.get("tool_calls")]
        text = content_text(messages[last_user].get("content")) if last_user >= 0 else ""
        return cls(text, len(rounds), _tool_answers(since, rounds))


def _tool_answers(since: list[JsonObject], rounds: list[JsonObject]) -> list[tuple[str, str]]:
    names = {call["id"]: call["function"]["name"] for call in rounds[-1]["tool_calls"]} if rounds else {}
    return [
        (names[message["tool_call_id"]], content_text(message.get("content")))
        for message in since
        if message["role"] == "tool" and message["tool_call_id"] in names
    ]


def content_text(content: Any) -> str:
    """A message's content as text; a part that is not text is shown by its type in brackets."""
    if isinstance(content, list):
        return "\n".join(part.get("text") or f"[{part.get('type')}]" for part in content)
    return content or ""


def _reasoning(request: JsonObject, instrument: Instrument, prompt: str) -> str:
    if instrument.reasoning_can_be_off and request.get("reasoning_effort") == "none":
        return ""
    ordered = _THINK.search(prompt)
    return ordered[1] if ordered else REASONING


def _calls(request: JsonObject, prompt: _Prompt) -> list[Call]:
    offered = {tool["function"]["name"]: tool["function"] for tool in request.get("tools") or ()}
    choice = request.get("tool_choice", "auto")
    if not offered or choice == "none":
        return []
    if isinstance(choice, dict):
        offered = {name: tool for name, tool in offered.items() if name == choice["function"]["name"]}
    calls = [_call(offered[name], arguments) for name, arguments in _orders(prompt) if name in offered]
    if not calls and choice != "auto":
        calls = [_call(next(iter(offered.values())), None)]
    return calls if request.get("parallel_tool_calls", True) else calls[:1]


def _orders(prompt: _Prompt) -> list[tuple[str, str | None]]:
    """The calls ordered for this round: all plain ones in the first, then one later one in each."""
    orders = list(_ORDER.finditer(prompt.text))
    first = [order for order in orders if not order["later"]]
    later = [order for order in orders if order["later"]]
    rounds = [first, *([order] for order in later)]
    current = rounds[prompt.rounds] if prompt.rounds < len(rounds) else []
    return [(order["name"], order["arguments"]) for order in current]


def _call(tool: JsonObject, arguments: str | None) -> Call:
    if arguments is not None:
        return Call(tool["name"], arguments)
    return Call(tool["name"], _satisfying(tool.get("parameters") or {}))


def _satisfying(schema: JsonObject) -> Any:
    try:
        return answer(schema)
    except UnsatisfiableError:
        return {}


def _text(request: JsonObject, prompt: _Prompt) -> str:
    shape = request.get("response_format") or {}
    if shape.get("type") == "json_schema":
        return json.dumps(_satisfying(shape["json_schema"].get("schema", {})), ensure_ascii=False)
    plain = _plain_text(prompt)
    return json.dumps({"answer": plain}) if shape.get("type") == "json_object" else plain


def _plain_text(prompt: _Prompt) -> str:
    if said := _SAY.search(prompt.text):
        return said[1]
    if words := _WORDS.search(prompt.text):
        return " ".join(f"word{number}" for number in range(1, int(words[1]) + 1))
    if prompt.answers:
        return "\n".join(f"{name} answered: {text[:EXCERPT]}" for name, text in prompt.answers)
    return f"You said: {prompt.text[:EXCERPT]}"
