"""What a strict supplier refuses in `messages`: roles, content, and the order of calls and their answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shim.simulator.errors import Complaint
from shim.simulator.strict_tools import NAME_RULE, TOOL_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shim.simulator.config import JsonObject, SimulatorConfig
    from shim.simulator.instruments import Instrument

_COMMON = {"role", "content", "name"}
MESSAGE_KEYS: dict[str, set[str]] = {
    "system": _COMMON,
    "developer": _COMMON,
    "user": _COMMON,
    "assistant": _COMMON | {"tool_calls", "refusal", "reasoning_content", "reasoning", "audio"},
    "tool": _COMMON | {"tool_call_id"},
}
PART_TYPES: dict[str, tuple[str, ...]] = {
    "system": ("text",),
    "developer": ("text",),
    "user": ("text", "image_url", "file", "input_audio"),
    "assistant": ("text", "refusal"),
    "tool": ("text",),
}


def complaints(
    messages: Sequence[JsonObject], instrument: Instrument, config: SimulatorConfig
) -> Iterator[Complaint]:
    """What is wrong with a conversation, message by message and then as a whole."""
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        yield from _role(message, where, index, config)
        yield from _unknown_keys(message, where) if config.strict_fields else ()
        yield from _content(message, where, instrument)
        yield from _calls(message, where)
    yield from _order_of_calls(messages)
    if messages[-1]["role"] == "assistant" and not config.trailing_assistant:
        yield Complaint(f"messages[{len(messages) - 1}].role", "the last message must not be an assistant's.")


def _role(message: JsonObject, where: str, index: int, config: SimulatorConfig) -> Iterator[Complaint]:
    role = message.get("role")
    if role not in MESSAGE_KEYS:
        yield Complaint(f"{where}.role", f"unknown role {role!r}.")
    if role == "system" and index > 0:
        yield Complaint(
            f"{where}.role", "a system message must be the first message, and there may be only one."
        )
    if role == "developer" and index > 0 and not config.developer_role:
        yield Complaint(f"{where}.role", "the developer role is not supported after the first message.")


def _unknown_keys(message: JsonObject, where: str) -> Iterator[Complaint]:
    for key in message:
        if key not in MESSAGE_KEYS[message["role"]]:
            yield Complaint(f"{where}.{key}", f"unknown field in a message with the role {message['role']}.")


def _content(message: JsonObject, where: str, instrument: Instrument) -> Iterator[Complaint]:
    content = message.get("content")
    if isinstance(content, str):
        return
    if content is None:
        yield from _no_content(message, where)
    elif not isinstance(content, list) or not content:
        yield Complaint(f"{where}.content", "must be a string, or a list of parts that is not empty.")
    else:
        for index, part in enumerate(content):
            yield from _part(part, f"{where}.content[{index}]", message["role"], instrument)


def _no_content(message: JsonObject, where: str) -> Iterator[Complaint]:
    if message["role"] != "assistant" or not (message.get("tool_calls") or message.get("refusal")):
        yield Complaint(
            f"{where}.content", "must not be null, except on an assistant message with tool_calls."
        )


def _part(part: Any, where: str, role: str, instrument: Instrument) -> Iterator[Complaint]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in PART_TYPES[role]:
        allowed = ", ".join(PART_TYPES[role])
        yield Complaint(f"{where}.type", f"{kind!r} is not a part of a {role} message; it takes {allowed}.")
    elif kind in ("text", "refusal") and not isinstance(part.get(kind), str):
        yield Complaint(f"{where}.{kind}", "must be a string.")
    elif kind == "image_url":
        yield from _image(part, where, instrument)


def _image(part: JsonObject, where: str, instrument: Instrument) -> Iterator[Complaint]:
    image = part.get("image_url")
    if instrument.images is False:
        yield Complaint(f"{where}.type", f"{instrument.id} does not take images.")
    if not isinstance(image, dict) or not isinstance(image.get("url"), str):
        yield Complaint(f"{where}.image_url", "must be an object with a url.")


def _calls(message: JsonObject, where: str) -> Iterator[Complaint]:
    """The calls inside one message."""
    calls = message.get("tool_calls", ["placeholder"])
    if not isinstance(calls, list) or not calls:
        yield Complaint(f"{where}.tool_calls", "must be a list that is not empty; leave it out instead.")
        return
    for index, call in enumerate(message.get("tool_calls", [])):
        yield from _call(call, f"{where}.tool_calls[{index}]")


def _call(call: Any, where: str) -> Iterator[Complaint]:
    if (
        not isinstance(call, dict)
        or call.get("type") != "function"
        or not isinstance(call.get("function"), dict)
    ):
        yield Complaint(where, "must be an object with type 'function' and a function.")
        return
    if not isinstance(call.get("id"), str) or not call["id"]:
        yield Complaint(f"{where}.id", "must be a string that is not empty.")
    if not isinstance(call["function"].get("name"), str) or not TOOL_NAME.fullmatch(call["function"]["name"]):
        yield Complaint(f"{where}.function.name", f"{NAME_RULE}.")
    if not _is_json_object(call["function"].get("arguments")):
        yield Complaint(f"{where}.function.arguments", "must be a string that holds a JSON object.")


def _is_json_object(text: Any) -> bool:
    try:
        return isinstance(text, str) and isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _order_of_calls(messages: Sequence[JsonObject]) -> Iterator[Complaint]:
    """Each call is answered once, by a tool message in the group right after its assistant message."""
    pending: list[str] = []
    answered: list[str] = []
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if message["role"] == "tool":
            yield from _answer(message, where, pending, answered)
            continue
        if pending:
            yield Complaint(where, _unanswered(pending))
        pending, answered = [call["id"] for call in message.get("tool_calls", [])], []
        if len(set(pending)) < len(pending):
            yield Complaint(f"{where}.tool_calls", "two calls have the same id.")
    if pending:
        yield Complaint(f"messages[{len(messages) - 1}]", _unanswered(pending))


def _answer(message: JsonObject, where: str, pending: list[str], answered: list[str]) -> Iterator[Complaint]:
    call_id = message.get("tool_call_id")
    if call_id in answered:
        yield Complaint(f"{where}.tool_call_id", f"'{call_id}' is answered twice.")
    elif call_id not in pending:
        yield Complaint(
            f"{where}.tool_call_id",
            f"'{call_id}' does not follow an assistant message with a call of this id.",
        )
    else:
        pending.remove(call_id)
        answered.append(call_id)


def _unanswered(pending: list[str]) -> str:
    return f"the calls {', '.join(pending)} must be answered by tool messages right after them."
