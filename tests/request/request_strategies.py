"""Conversations of every kind of item, in any order, with a unique token in every text."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field

from hypothesis import strategies as st
from request_asks import IMAGE, seal

CALL_IDS = ("a", "b", "c", "", "call_1", "a_1")
FLAVOURS = ("", "two words ", 'a "quote" ', "line\nline ", "ü 😀 ", "</developer>", "\\u0041 ", "\u2028")
NAMES = ("f", "apply_patch", "exec", "shell", "local_shell", "tool_search", "no such", "n" * 70, "")


@dataclass
class Author:
    """Writes texts, each with a token that no other has, and remembers in which item it stands."""

    draw: object
    item: int = 0
    tokens: dict[str, int] = field(default_factory=dict)

    def text(self):
        token = f"tok{len(self.tokens)}en"
        self.tokens[token] = self.item
        return self.draw(st.sampled_from(FLAVOURS)) + token

    def one_of(self, *choices):
        return self.draw(st.sampled_from(choices))

    def chance(self, share=2):
        return self.draw(st.integers(1, share)) == 1

    def some(self, make, least=0, most=3):
        return [make() for _ in range(self.draw(st.integers(least, most)))]


def _text_part(by):
    kind = by.one_of("input_text", "output_text", "text", "summary_text", "reasoning_text")
    return {"type": kind, "text": by.text()}


def _file_part(by):
    data = base64.b64encode(by.text().encode()).decode()
    return {"type": "input_file", "filename": by.one_of("a.txt", "b.unknown"), "file_data": data}


def _part(by):
    makers = (
        _text_part,
        _text_part,
        lambda by: {"type": "refusal", "refusal": by.text()},
        lambda by: {"type": "encrypted_content", "encrypted_content": by.text()},
        lambda by: {"type": "input_image", "image_url": IMAGE, "detail": by.one_of("low", "original", None)},
        _file_part,
        lambda by: {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        lambda by: {"type": "hologram", "text": by.text(), "size": 3},
        lambda by: {"type": "hologram", "text": 3},
    )
    return by.one_of(*makers)(by)


def _content(by):
    return by.text() if by.chance() else by.some(lambda: _part(by))


def _message(by):
    role = by.one_of("user", "user", "assistant", "assistant", "system", "developer")
    kind = by.one_of({}, {"type": "message"}, {"type": None})
    return {**kind, "role": role, "content": _content(by)}


def _arguments(by):
    proper = json.dumps({"value": by.text()})
    return by.one_of(proper, proper, proper[:-1], f"[{proper}]", "", "null", '{"x": NaN}')


def _function_call(by):
    place = by.one_of({}, {"namespace": "mcp__demo"}, {"namespace": "functions"}, {"namespace": None})
    return {
        "type": "function_call",
        "call_id": by.one_of(*CALL_IDS),
        "name": by.one_of(*NAMES),
        "arguments": _arguments(by),
        **place,
    }


def _custom_call(by):
    name, call_id = by.one_of(*NAMES), by.one_of(*CALL_IDS)
    return {"type": "custom_tool_call", "call_id": call_id, "name": name, "input": by.text()}


def _built_in_call(by):
    call_id = by.one_of(*CALL_IDS)
    action = {"command": [by.text()], "env": {"A": by.text()}, "type": "exec"}
    operation = {"type": "update_file", "path": by.text(), "diff": by.text()}
    return by.one_of(
        {"type": "local_shell_call", "call_id": call_id, "action": action},
        {"type": "apply_patch_call", "call_id": call_id, "operation": operation},
        {"type": "shell_call", "call_id": call_id, "action": {"commands": [by.text()], "timeout_ms": None}},
    )


def _search_call(by):
    arguments = by.one_of({"query": by.text()}, None, [by.text()], "{}")
    return {"type": "tool_search_call", "call_id": by.one_of(*CALL_IDS, None), "arguments": arguments}


def _output(by):
    kind = by.one_of("function_call_output", "custom_tool_call_output", None)
    named = by.one_of({"call_id": by.one_of(*CALL_IDS)}, {"name": "goal", "namespace": "agent"}, {})
    return {**({"type": kind} if kind else {}), **named, "output": _content(by)}


def _built_in_output(by):
    call_id = by.one_of(*CALL_IDS)
    printed = {"stdout": by.text(), "stderr": by.text(), "outcome": {"type": "exit", "exit_code": 1}}
    return by.one_of(
        {"type": "local_shell_call_output", "id": call_id, "output": by.text()},
        {"type": "shell_call_output", "call_id": call_id, "output": [printed]},
        {"type": "shell_call_output", "call_id": call_id, "output": by.text()},
        {"type": "apply_patch_call_output", "call_id": call_id, "status": "failed", "output": by.text()},
        {"type": "tool_search_output", "call_id": call_id, "tools": [{"type": "function", "name": "found"}]},
    )


def _reasoning(by):
    item = {"type": "reasoning"}
    if by.chance():
        item["summary"] = by.one_of(None, [], by.some(lambda: _text_part(by)))
    if by.chance():
        item["content"] = by.one_of(None, [], by.some(lambda: _part(by)))
    if by.chance():
        item["encrypted_content"] = by.one_of(None, seal("thought"), "gAAAAelsewhere")
    return item


def _tools_item(by):
    tools = [{"type": "custom", "name": by.one_of("apply_patch", "exec")}, {"type": "function", "name": "f"}]
    return {"type": "additional_tools", "role": "developer", "tools": tools}


def _agent_message(by):
    return {"type": "agent_message", "author": "/root", "recipient": "/root/x", "content": _content(by)}


def _compaction(by):
    kind = by.one_of("compaction", "context_compaction", "compaction_summary")
    return {"type": kind, "encrypted_content": by.one_of(seal(by.text()), "elsewhere", None)}


def _foreign(by):
    kind = by.one_of("web_search_call", "mcp_call", "mcp_list_tools", "image_generation_call", "newest_item")
    return {"type": kind, "id": "x_1", "status": "completed", "deep": {"list": [by.text(), None, 1]}}


MAKERS = (
    _message,
    _message,
    _function_call,
    _function_call,
    _custom_call,
    _built_in_call,
    _search_call,
    _output,
    _output,
    _built_in_output,
    _reasoning,
    _tools_item,
    _agent_message,
    _compaction,
    lambda by: {"type": "compaction_trigger"},
    _foreign,
)
OUTPUT_TYPES = (
    "function_call_output",
    "custom_tool_call_output",
    "local_shell_call_output",
    "shell_call_output",
    "apply_patch_call_output",
    "tool_search_output",
    None,
)


@dataclass
class Conversation:
    """Input items, and the item in which each token stands."""

    items: list[dict]
    tokens: dict[str, int]


@st.composite
def conversations(draw, least=1, most=8):
    """Any items in any order."""
    by = Author(draw)
    items = []
    for index in range(draw(st.integers(least, most))):
        by.item = index
        items.append(by.one_of(*MAKERS)(by))
    written = json.dumps(items, ensure_ascii=False)
    return Conversation(items, {token: item for token, item in by.tokens.items() if _stands(token, written)})


def _stands(token, written):
    """Whether a token was used: some alternatives are drawn and dropped. Files hide theirs in base64."""
    return token in written


@st.composite
def spoiled(draw, conversation):
    """A conversation with one value replaced by null or by something of a wrong type."""
    items = json.loads(json.dumps(conversation.items))
    places = list(_places(items))
    if not places:
        return items
    holder, key = draw(st.sampled_from(places))
    holder[key] = draw(st.sampled_from([None, 0, "", [], {}, "x", [None], {"type": "x"}]))
    return items


def _places(value):
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in entries:
        yield value, key
        yield from _places(inner)
