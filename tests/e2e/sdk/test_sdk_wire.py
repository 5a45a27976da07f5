"""Every event and every response, key by key, against recordings of the real API and the SDK's own classes."""

from __future__ import annotations

import json

import httpx
import pytest
from sdk_stage import MODEL, PATIENCE, PIXEL, SEEING_MODEL, stage
from wire_table import EVENTS, ITEMS, PARTS, check_event, check_response

from shim.simulator import Call, Dialect, Hold, Turn

pytestmark = pytest.mark.e2e

PARAMETERS = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "name": "echo", "parameters": PARAMETERS, "strict": True},
    {"type": "function", "name": "bare"},
    {"type": "custom", "name": "note"},
    {"type": "shell", "environment": {"type": "local"}},
    {"type": "local_shell"},
    {"type": "apply_patch"},
    {
        "type": "namespace",
        "name": "box",
        "description": "A box.",
        "tools": [{"type": "function", "name": "open", "parameters": PARAMETERS}],
    },
    {"type": "tool_search", "execution": "client", "description": "Finds.", "parameters": PARAMETERS},
    {"type": "web_search"},
]
EVERYTHING = {
    "instructions": "Be brief.",
    "max_output_tokens": 500,
    "max_tool_calls": 3,
    "metadata": {"a": "b"},
    "parallel_tool_calls": False,
    "prompt_cache_key": "cache",
    "prompt_cache_retention": "24h",
    "reasoning": {"effort": "low", "summary": "concise"},
    "safety_identifier": "someone",
    "service_tier": "flex",
    "store": False,
    "temperature": 0.5,
    "text": {"verbosity": "low"},
    "tool_choice": "auto",
    "tools": TOOLS,
    "top_logprobs": 1,
    "top_p": 0.9,
    "truncation": "auto",
    "user": "someone",
}
SCHEMA = {"type": "json_schema", "name": "echo", "schema": PARAMETERS, "strict": True}
SUMMARY = {"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"]}
SHELL = {"commands": ["ls", "pwd"], "timeout_ms": 5}
PATCH = {"type": "update_file", "path": "a.txt", "diff": "@@\n-a\n+b\n"}
SEEN = [
    {"type": "input_text", "text": "say Seen"},
    {"type": "input_image", "image_url": PIXEL, "detail": "low"},
]
SEARCHED = [
    {"role": "user", "content": "say Found"},
    {
        "type": "tool_search_call",
        "call_id": "c",
        "execution": "client",
        "arguments": {},
        "status": "completed",
    },
    {
        "type": "tool_search_output",
        "call_id": "c",
        "execution": "client",
        "status": "completed",
        "tools": TOOLS[:1],
    },
]


def order(name, arguments):
    return {"input": f"call {name} {json.dumps(arguments)}", "tools": TOOLS}


def told(**turn):
    return {"input": "Go.", "tools": TOOLS}, Turn(**turn)


CASES = {
    "text": {"input": "words 10"},
    "text after reasoning with every field": {"input": "words 10", **EVERYTHING},
    "a summary and a seal": {"input": "think Well well.\nsay So.", **SUMMARY},
    "logprobs": {"input": "words 3", "include": ["message.output_text.logprobs"], "top_logprobs": 2},
    "a refusal": {"input": "refuse No, never."},
    "a schema": {"input": "Go.", "text": {"format": SCHEMA}},
    "any JSON": {"input": "Go.", "text": {"format": {"type": "json_object"}}},
    "no padding": {"input": "words 3", "stream_options": {"include_obfuscation": False}},
    "an image": {"model": SEEING_MODEL, "input": [{"role": "user", "content": SEEN}]},
    "a function call": order("echo", {"text": "hi"}),
    "a function call without arguments": order("bare", {}),
    "a forced function": {
        "input": "Go.",
        "tools": TOOLS,
        "tool_choice": {"type": "function", "name": "echo"},
    },
    "allowed tools": {
        "input": "Go.",
        "tools": TOOLS,
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "echo"}],
        },
    },
    "a custom call": order("note", {"input": "one\ntwo"}),
    "a shell call": order("shell", SHELL),
    "a local shell call": order("local_shell", {"command": ["ls"], "working_directory": "/"}),
    "a patch": order("apply_patch", PATCH),
    "a deletion": order("apply_patch", {"type": "delete_file", "path": "a.txt"}),
    "a search for tools": order("tool_search", {"text": "box"}),
    "tools that were found": {"input": SEARCHED, "tools": TOOLS[-2:]},
    "an output limit": {"input": "words 50", "max_output_tokens": 30},
    "an output limit while reasoning": {
        "input": "words 50",
        "max_output_tokens": 16,
        "reasoning": {"summary": "auto"},
    },
    "a compaction": {"input": [{"role": "user", "content": "say Summary"}, {"type": "compaction_trigger"}]},
}
SCRIPTED = {
    "text before calls": told(
        reasoning="Hm.", text="First.", calls=[Call("echo", {"text": "a"}), Call("bare", {})]
    ),
    "interleaved calls": told(
        calls=[Call("echo", {"text": "a"}), Call("echo", {"text": "b"})],
        dialect=Dialect(calls_interleaved=True, call_names="null", call_ids="missing"),
    ),
    "a call in a namespace": told(
        respond=lambda asked: Turn(
            calls=[
                Call(
                    next(t["function"]["name"] for t in asked["tools"] if "box" in t["function"]["name"]),
                    {"text": "a"},
                )
            ]
        )
    ),
    "no usage": told(text="Hi.", dialect=Dialect(usage="none")),
    "a filter": told(text="Hm", finish_reason="content_filter"),
    "think tags": told(reasoning="Hm.", text="Hi.", dialect=Dialect(reasoning_field="think")),
    "text, then a refusal": told(text="Well,", refusal="no."),
    "a call cut by a limit": told(calls=[Call("shell", SHELL)], finish_reason="length"),
    "nothing at all": told(),
}


def streamed(here, request):
    """The events of a stream, after a look at how they are written."""
    body = {"model": MODEL, **request, "stream": True}
    response = httpx.post(f"{here.base_url}/responses", json=body, timeout=PATIENCE, trust_env=False)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return [read_frame(frame) for frame in response.text.removesuffix("\n\n").split("\n\n")]


def read_frame(frame):
    """One event: its name, then its data, nothing else."""
    name, data = frame.split("\n")
    event = json.loads(data.removeprefix("data: "))
    assert name == f"event: {event['type']}"
    return event


def whole(here, request):
    body = {"model": MODEL, **request}
    body.pop("stream_options", None)
    response = httpx.post(f"{here.base_url}/responses", json=body, timeout=PATIENCE, trust_env=False)
    return response.status_code, response.json()


def check_stream(events):
    """Every event by itself, and the order of all."""
    for number, event in enumerate(events):
        assert event["sequence_number"] == number
        check_event(event)
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    final = events[-1]["response"]
    assert events[-1]["type"] == f"response.{final['status']}"
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1
    check_items(events, final)


def check_items(events, final):
    """One item is open at a time; it keeps its identity, and its deltas add up."""
    open_item, pieces, done = None, [], []
    for event in events:
        kind = event["type"]
        if kind == "response.output_item.added":
            assert open_item is None
            assert event["output_index"] == len(done)
            open_item = event["item"]
        elif kind == "response.output_item.done":
            assert identity(event["item"]) == identity(open_item)
            done.append(event["item"])
            open_item = None
        elif "output_index" in event:
            assert event["output_index"] == len(done)
            assert event.get("item_id", open_item["id"]) == open_item["id"]
            if "delta" in event:
                pieces.append(event["delta"])
            elif text := next(
                (event[key] for key in ("text", "refusal", "arguments", "input", "diff") if key in event),
                None,
            ):
                assert text == "".join(pieces)
                pieces = []
            elif kind == "response.shell_call_command.done":
                assert event["command"] == "".join(pieces)
                pieces = []
    assert final["output"][: len(done)] == done
    assert len(final["output"]) == len(done) + (open_item is not None)


def identity(item):
    return item["type"], item["id"], item.get("call_id"), item.get("name")


def alike(response):
    """A response without ids, times and what counts tokens."""
    kept = {
        key: value
        for key, value in response.items()
        if key not in ("id", "created_at", "completed_at", "usage")
    }
    kept["output"] = [
        {key: value for key, value in item.items() if key not in ("id", "call_id", "encrypted_content")}
        for item in response["output"]
    ]
    return kept


@pytest.fixture(scope="module")
def wire():
    """One shim for all cases: none of them changes it."""
    with stage() as opened:
        yield opened


@pytest.mark.parametrize("request_", CASES.values(), ids=CASES)
def test_every_event_and_response_is_as_recorded(wire, request_):
    events = streamed(wire, request_)
    check_stream(events)
    status, response = whole(wire, request_)
    assert status == 200
    check_response(response)
    assert alike(response) == alike(events[-1]["response"])


@pytest.mark.parametrize(("request_", "turn"), SCRIPTED.values(), ids=SCRIPTED)
def test_whatever_the_model_says_is_told_as_recorded(wire, request_, turn):
    wire.script(turn, turn)
    events = streamed(wire, request_)
    check_stream(events)
    status, response = whole(wire, request_)
    assert status == 200
    check_response(response)
    assert alike(response) == alike(events[-1]["response"])


@pytest.mark.parametrize(
    "turn",
    [
        Turn(text="one two three four", dialect=Dialect(cut_after=3)),
        Turn(text="one two three four", dialect=Dialect(cut_after=3, cut="clean")),
        Turn(calls=[Call("echo", {"text": "a long text"})], dialect=Dialect(cut_after=3)),
        Turn(calls=[Call("apply_patch", PATCH)], dialect=Dialect(cut_after=2)),
        Turn(reasoning="one two three", dialect=Dialect(cut_after=2)),
        Turn(text="one two", cut_after=2, error_in_stream={"error": {"message": "Overloaded", "code": 503}}),
        Turn(text="one two", cut_after=0, error_in_stream="not JSON"),
    ],
)
def test_a_stream_that_fails_ends_with_an_error_and_then_a_failed_response(wire, turn):
    wire.script(turn, turn)
    events = streamed(wire, {"input": "Go.", "tools": TOOLS})
    check_stream(events)
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert events[-2]["error"]["message"] == events[-1]["response"]["error"]["message"]
    status, body = whole(wire, {"input": "Go.", "tools": TOOLS})
    assert status >= 500
    assert set(body["error"]) == {"message", "type", "param", "code"}


GROWING = {
    "reasoning": (5, Turn(reasoning="one two three four five", text="Done.")),
    "text": (5, Turn(text="one two three four five six")),
    "refusal": (5, Turn(refusal="one two three four five six")),
    "function": (5, Turn(calls=[Call("echo", {"text": "one two three four"})])),
    "custom": (5, Turn(calls=[Call("note", {"input": "one two three four"})])),
    "shell": (6, Turn(calls=[Call("shell", SHELL)])),
    "patch": (14, Turn(calls=[Call("apply_patch", PATCH)])),
}


@pytest.mark.parametrize(("after", "turn"), GROWING.values(), ids=GROWING)
@pytest.mark.parametrize("options", [{}, SUMMARY], ids=["content", "summary"])
def test_a_heartbeat_holds_everything_told_so_far(after, turn, options):
    hold = Hold(after=after)
    body = {"model": MODEL, "input": "Go.", "tools": TOOLS, "stream": True, **options}
    with stage(keepalive_seconds=0.01) as here:
        here.script(Turn(**{**vars(turn), "hold": hold}))
        events = []
        with httpx.stream(
            "POST", f"{here.base_url}/responses", json=body, timeout=PATIENCE, trust_env=False
        ) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    events.append(json.loads(line.removeprefix("data: ")))
                if len(events) > 20 and all(event["type"] == "response.in_progress" for event in events[-3:]):
                    hold.released.set()
    check_stream(events)
    beats = [event["response"]["output"] for event in events[2:] if event["type"] == "response.in_progress"]
    assert any(item_texts(output) for output in beats)
    for output in beats:
        for item, final in zip(output, events[-1]["response"]["output"], strict=False):
            assert identity(item) == identity(final)
            for text, last in zip(item_texts(item), item_texts(final), strict=False):
                assert last.startswith(text)


def item_texts(value):
    """Every string that grows, in the order of the keys."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        growing = (
            "content",
            "summary",
            "text",
            "refusal",
            "arguments",
            "input",
            "operation",
            "diff",
            "action",
            "commands",
        )
        return [text for key in growing if key in value for text in item_texts(value[key])]
    return [text for each in value for text in item_texts(each)] if isinstance(value, list) else []


def test_the_table_is_used_up(wire):
    """No row stands here that no case has met."""
    met = {"items": set(), "parts": set(), "events": set()}
    wire.script(*[turn for _, turn in SCRIPTED.values()])
    streams = [streamed(wire, request) for request, _ in SCRIPTED.values()]
    streams += [streamed(wire, request) for request in CASES.values()]
    wire.script(Turn(text="one two three four", dialect=Dialect(cut_after=3)))
    streams.append(streamed(wire, {"input": "Go."}))
    for event in (event for events in streams for event in events):
        met["events"].add(event["type"])
        met["items"] |= {event["item"]["type"]} if "item" in event else set()
        content = event.get("item", {}).get("content", ()), event.get("item", {}).get("summary", ())
        met["parts"] |= {part["type"] for parts in content for part in parts}
    assert met == {"items": set(ITEMS), "parts": set(PARTS), "events": set(EVENTS)}
