"""Laws 6, 8, 9 and 10: whatever comes, the stream ends well; acts are a table; who leaves, leaves nothing; time is linear."""

import json
import time
from contextlib import suppress

import pytest
from grammar import TERMINAL, check
from hypothesis import example, given
from hypothesis import strategies as st
from script import Telling, scripts
from stage import CHAT_NAMES, FakeChat, assembler, delta, entry, events_of, final, run, tell, turn
from test_laws_clients import OURS
from wireforms import body, forms, payloads, reads

from shim.core.assembler import TRANSITIONS, IllegalTransitionError
from shim.core.chunks import parse_chunk
from shim.core.deltas import ChunkReader, Finish, Text
from shim.core.jsonstrings import StringScanner
from shim.core.sse import encode
from shim.core.text import TagSplitter, Unfence
from shim.errors import ClientFault, UpstreamFault
from shim.upstream.sse import PayloadReader

# -- law 6 ----------------------------------------------------------------------------------------------------

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(
        ["stop", "length", "error", "get_weather", "note", "shell", "apply_patch", "{", '{"input":"', "\ud83d", "\ude00",
         "<think>", "<tool_call>", '<tool_call>{"name": []}</tool_call>', '["a"]', "```", 10**400, -(10**400)]
    )
)  # fmt: skip
_KEYS = st.sampled_from(
    [
        "choices",
        "delta",
        "message",
        "content",
        "reasoning",
        "reasoning_content",
        "refusal",
        "tool_calls",
        "function_call",
        "function",
        "name",
        "arguments",
        "id",
        "index",
        "finish_reason",
        "logprobs",
        "token",
        "logprob",
        "bytes",
        "top_logprobs",
        "usage",
        "prompt_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "model",
        "service_tier",
        "annotations",
        "url_citation",
        "url",
        "title",
        "start_index",
        "error",
        "errors",
        "detail",
        "message",
        "type",
        "text",
        "thinking",
        "code",
        "object",
    ]
)
_ANYTHING = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
_FUNCTIONS = st.fixed_dictionaries({}, optional={"name": _ANYTHING, "arguments": _ANYTHING})
_ENTRIES = st.fixed_dictionaries(
    {}, optional={"index": _ANYTHING, "id": _ANYTHING, "function": _FUNCTIONS | _ANYTHING}
)
_DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "content": _ANYTHING,
        "reasoning_content": _ANYTHING,
        "refusal": _ANYTHING,
        "annotations": st.lists(st.fixed_dictionaries({"url_citation": _ANYTHING})) | _ANYTHING,
        "tool_calls": st.lists(_ENTRIES, max_size=3) | _ANYTHING,
        "function_call": _FUNCTIONS | _ANYTHING,
    },
)
_TOKENS = st.fixed_dictionaries(
    {"token": _ANYTHING, "logprob": _ANYTHING, "bytes": st.lists(_ANYTHING, max_size=2)}
)
_CHOICES = st.fixed_dictionaries(
    {"delta": _DELTAS | _ANYTHING},
    optional={
        "index": st.just(0) | _ANYTHING,
        "finish_reason": st.sampled_from(["stop", "length", None]) | _ANYTHING,
        "logprobs": st.fixed_dictionaries({"content": st.lists(_TOKENS, max_size=2)}) | _ANYTHING,
    },
)
_JUNK = st.one_of(
    st.fixed_dictionaries(
        {"choices": st.lists(_CHOICES, max_size=2)}, optional={"usage": _ANYTHING, "model": _ANYTHING}
    ),
    st.dictionaries(_KEYS, _ANYTHING, max_size=4),
    _ANYTHING,
)


def _sound(events):
    """The stream is well-formed, typed, encodable, and has one terminal event."""
    check(events)
    assert sum(event["type"] in TERMINAL for event in events) == 1
    for event in events:
        OURS.validate_python(event, strict=True)
        encode(event)


@given(chunks=st.lists(_JUNK, max_size=5))
@example([delta(content="a", tool_calls=[entry(0, "c", "get_weather", "{}")]), delta("stop")])
@example(
    [
        {
            "choices": [
                {"delta": {"content": "a"}, "logprobs": {"content": [{"token": "a", "logprob": -(10**400)}]}}
            ]
        }
    ]
)
@example([delta("stop", content='<tool_call>{"name": ["get_weather"]}</tool_call>')])
@example(
    [{"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [{"token": "a", "bytes": [True]}]}}]}]
)
@example(
    [
        delta(tool_calls=[entry(0, "c", "apply_patch", '{"type":"delete_file","path":"a","diff":"+b"}')]),
        delta("stop"),
    ]
)
@example([delta(tool_calls=[entry(0, "c", "note", '{"a"')]), delta("length")])
def test_any_chunks_whatever_give_one_sound_stream(chunks):
    _sound(events_of(turn(FakeChat([[json.dumps(chunk)] for chunk in chunks]))))


@pytest.mark.parametrize("content", ["a", "\ud83d"])
@pytest.mark.parametrize("depth", [100, 190, 400, 900, 100_000])
def test_parsed_arguments_of_any_depth_give_one_sound_stream(content, depth):
    nested = delta("stop", content=content, tool_calls=[entry(0, "c", "get_weather", "DEPTH")])
    text = json.dumps(nested).replace('"DEPTH"', "[" * depth + "]" * depth)
    _sound(events_of(turn(FakeChat([[text]]))))


@given(
    texts=st.lists(
        st.text(max_size=20) | st.sampled_from(["[DONE]", "null", "[]", "{}", '"', "[" * 9_000]), max_size=5
    )
)
def test_any_payloads_whatever_give_one_sound_stream(texts):
    _sound(events_of(turn(FakeChat([[text] for text in texts]))))


@given(
    data=st.binary(max_size=300) | st.text('dat: {}[]\n\r"\ufeff', max_size=60).map(str.encode), form=forms
)
def test_any_bytes_whatever_give_one_sound_stream(data, form):
    _sound(events_of(turn(FakeChat(reads(data, form)))))


@given(script=scripts(), form=forms, data=st.data())
def test_a_good_answer_with_one_byte_changed_gives_one_sound_stream(script, form, data):
    whole = body(payloads(script, form, CHAT_NAMES), form)
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + data.draw(st.binary(max_size=2)) + whole[at + 1 :]
    _sound(events_of(turn(FakeChat(reads(changed, form)))))


def test_what_came_before_a_fault_in_the_same_read_is_told():
    texts = [json.dumps(delta(content="Hello")), json.dumps({"error": {"message": "Too much."}})]
    events = events_of(turn(FakeChat([texts])))
    check(events)
    assert "response.output_text.delta" in [event["type"] for event in events]


@given(texts=st.lists(st.text(max_size=30), max_size=3))
def test_reading_raises_nothing_but_upstream_faults(texts):
    reader = ChunkReader(frozenset(CHAT_NAMES.values()))
    for text in texts:
        with suppress(UpstreamFault, ClientFault):
            reader.read(parse_chunk(text))


def test_an_event_beyond_every_limit_is_a_fault():
    with pytest.raises(UpstreamFault):
        PayloadReader(limit=100).feed(b"data: " + b"x" * 200)


@pytest.mark.parametrize(
    ("chunk", "code"),
    [
        ({"error": {"message": "Slow down.", "code": 429}}, "rate_limit_exceeded"),
        ({"error": "Something broke."}, "server_error"),
        ({"object": "error", "message": "Something broke.", "code": 500}, "server_error"),
        ({"detail": "Something broke."}, "server_error"),
        ({"errors": {"detail": "Something broke."}}, "server_error"),
        (
            {"choices": [], "error": {"message": "maximum context length is 10 tokens"}},
            "context_length_exceeded",
        ),
        (delta("error"), "server_error"),
        ({"choices": "none"}, "server_error"),
        ({"choices": ["none"]}, "server_error"),
        ({"choices": [{"index": 0}, "none"]}, "server_error"),
        (delta(content=5), "server_error"),
        (delta(tool_calls={"name": "x"}), "server_error"),
        (delta(tool_calls=["x"]), "server_error"),
        ({"choices": [{"delta": "text"}]}, "server_error"),
        (["chunk"], "server_error"),
    ],
)
def test_an_error_inside_the_stream_ends_it_as_failed(chunk, code):
    events = tell(delta(content="Hello"), chunk, delta(content="never read"))
    check(events)
    response = final(events)
    assert response["status"] == "failed"
    assert response["error"]["code"] == code
    assert response["output"][0]["status"] == "incomplete"
    assert response["output"][0]["content"][0]["text"] == "Hello"


@pytest.mark.parametrize(
    "chunks", [[], [{"choices": []}], [delta(content="Hello")], [delta(content="Hello"), {"usage": {}}]]
)
def test_the_end_without_a_finish_reason_is_a_failure(chunks):
    events = tell(*chunks)
    check(events)
    assert final(events)["error"]["message"].startswith("The upstream closed the stream")


def test_a_call_that_never_gets_a_name_fails():
    events = tell(delta(tool_calls=[entry(0, "call_1", "", "{}")]), delta("tool_calls"))
    check(events)
    assert "never got a name" in final(events)["error"]["message"]


def test_a_transport_fault_is_told_as_events_and_raised_where_nothing_was_sent():
    fault = UpstreamFault("The connection broke.", code="upstream_closed")
    events = events_of(turn(FakeChat([[json.dumps(delta(content="Hel"))]], fault)))
    check(events)
    assert events[-2]["error"] == fault.body
    with pytest.raises(UpstreamFault, match="broke"):
        run(turn(FakeChat([], fault)).response())


def test_a_fault_after_the_end_changes_nothing():
    events = events_of(
        turn(FakeChat([[json.dumps(delta("stop", content="Hi")), "[DONE]"]], UpstreamFault("late")))
    )
    check(events)
    assert final(events)["status"] == "completed"


@pytest.mark.parametrize("after", [["junk"], [json.dumps({"error": {"message": "late"}})]])
def test_what_breaks_after_the_finish_reason_no_longer_matters(after):
    call = json.dumps(delta("tool_calls", tool_calls=[entry(0, "a", "get_weather", "{}")]))
    for prepared in ([[call], after], [[call, *after]], [[call], after, ["never read"]]):
        played = turn(FakeChat(prepared))
        events = events_of(played)
        check(events)
        assert final(events)["status"] == "completed"
        assert played.fault is None
    events = events_of(turn(FakeChat([[call]], UpstreamFault("The connection broke."))))
    assert final(events)["status"] == "completed"


def test_nothing_is_read_after_a_fault():
    chat = FakeChat(iter([["junk"], ["more junk"]]))
    check(events_of(turn(chat)))
    assert list(chat.prepared) == [["more junk"]]


def test_done_without_a_finish_reason_is_the_end_of_a_cut_stream():
    events = events_of(
        turn(FakeChat([[json.dumps(delta(content="Hi")), "[DONE]", json.dumps(delta("stop"))]]))
    )
    check(events)
    assert final(events)["error"]["message"].startswith("The upstream closed the stream")


def test_payloads_after_done_are_not_read():
    events = events_of(
        turn(FakeChat([[json.dumps(delta("stop", content="Hi")), "[DONE]", "junk"], ["more junk"]]))
    )
    check(events)
    assert final(events)["status"] == "completed"


# -- law 8 ----------------------------------------------------------------------------------------------------

STATES = ("new", "queued", "open", "finished", "ended")
WAYS = {
    "new": [],
    "queued": ["queue"],
    "open": ["start"],
    "open after the queue": ["queue", "start"],
    "finished": ["start", "say all"],
    "ended": ["start", "fail"],
    "ended well": ["start", "say all", "finish"],
    "ended by the client": ["start", "cancel"],
}
"""How each state is reached."""

ACTS = {
    "queue": lambda told: told.queue(),
    "start": lambda told: told.start(),
    "feed": lambda told: told.feed([Text("a")]),
    "finish": lambda told: told.finish(),
    "fail": lambda told: told.fail(UpstreamFault("broken")),
    "cancel": lambda told: told.cancel(),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("way", WAYS)
def test_every_act_in_every_state_is_in_the_table_or_an_error(way, act):
    told, state = assembler(), way.split()[0]
    for step in WAYS[way]:
        (ACTS | {"say all": lambda told: told.feed([Text("a"), Finish("stop")])})[step](told)
    assert told.state == state
    if (state, act) in TRANSITIONS:
        assert ACTS[act](told)
        assert told.state == TRANSITIONS[state, act]
        return
    with pytest.raises(IllegalTransitionError):
        ACTS[act](told)
    assert told.state == state


def test_the_table_knows_no_other_states_and_acts():
    assert {state for state, _ in TRANSITIONS} <= set(STATES)
    assert {act for _, act in TRANSITIONS} == set(ACTS)
    assert set(TRANSITIONS.values()) <= set(STATES)


# -- law 9 ----------------------------------------------------------------------------------------------------


@given(script=scripts(), form=forms, data=st.data())
def test_the_client_may_leave_at_any_event(script, form, data):
    chat = FakeChat(reads(body(payloads(script, form, CHAT_NAMES), form), form))
    played = turn(chat)
    stay = data.draw(st.integers(0, 12))

    async def leave():
        for _ in range(stay):
            await played.read()
        await played.aclose()

    run(leave())
    assert chat.closed == 1


# -- law 10 ---------------------------------------------------------------------------------------------------

PIECE = "abc\\n"
MANY = 20_000


@pytest.mark.parametrize(
    ("piece", "many"),
    [
        ("word ", 3_000),
        (" ", 3_000),
        ("\n", 3_000),
        ("<", 3_000),
        ("<tool_call>", 300),
        ("`", 300),
        ("</think>", 300),
    ],
)
@pytest.mark.parametrize("head", ["", "<think>", "<tool_call>", "<tool_call>{", "text", "<think>a</think>"])
def test_the_tag_splitter_keeps_no_more_than_a_tag(piece, many, head):
    splitter = TagSplitter(lambda _: False)
    splitter.feed(head)
    for _ in range(many):
        splitter.feed(piece)
        assert len(splitter.buffer) < len("</thinking>")


@pytest.mark.parametrize("head", ["x", "```", "```\n", "```lark\nx"])
@pytest.mark.parametrize("piece", ["word ", "\n", "a`b\n", " \n", "x\n\n\n"])
def test_taking_a_fence_off_keeps_no_more_than_a_fence(head, piece):
    unfence = Unfence()
    unfence.feed(head)
    for _ in range(300):
        unfence.feed(piece)
        assert unfence.state == "first line" or len("".join(unfence.held)) < 16


@pytest.mark.parametrize("head", ["", "x", "```", "```\n", "```\nx\n```", "```\nx\n"])
@pytest.mark.parametrize("run", [" ", "\n", "`", "\t "])
@pytest.mark.parametrize("pieces", [1, 60_000])
def test_long_runs_of_white_space_and_backticks_cost_no_more_than_text(head, run, pieces):
    unfence, long = Unfence(), run * 60_000
    began = time.process_time()
    told = unfence.feed(head)
    for _ in range(pieces):
        told += unfence.feed(long if pieces == 1 else run)
    told += unfence.flush()
    assert time.process_time() - began < 2
    assert len(told) <= len(head) + len(long)


def test_the_string_scanner_keeps_only_where_it_stands():
    scanner = StringScanner()
    scanner.feed('{"input":"')
    for _ in range(1_000):
        scanner.feed(PIECE)
        assert (len(scanner._stack), scanner._text, scanner._escape, scanner._high) == (1, [], "", "")


@pytest.mark.parametrize("again", [(), ("name",), ("name", "call_id")])
@pytest.mark.parametrize(
    ("name", "head"), [("get_weather", '{"a":"'), (CHAT_NAMES["custom", "", "patch"], '{"input":"```\n')]
)
def test_a_long_call_costs_the_same_for_each_further_piece(monkeypatch, name, head, again):
    """Every character is scanned once: by the scanners, and by the parser not at all."""
    scanned = []
    original = StringScanner.feed
    monkeypatch.setattr(
        StringScanner, "feed", lambda self, piece: (scanned.append(len(piece)), original(self, piece))[1]
    )
    monkeypatch.setattr(
        "shim.core.chunks.from_json", lambda text: (scanned.append(len(text)), json.loads(text))[1]
    )
    again = {key: {"name": name, "call_id": "call_1"}[key] for key in again}
    reader, told = ChunkReader(frozenset(CHAT_NAMES.values())), assembler(Telling(obfuscation=False))
    told.start()
    events = 0
    for number in range(MANY):
        piece = entry(0, arguments=PIECE, **again) if number else entry(0, "call_1", name, head)
        events += len(told.feed(reader.read(delta(tool_calls=[piece]))))
        if not number % 1000:
            assert sum(scanned) <= 2 * ((number + 1) * len(PIECE) + len(head))
    assert events <= MANY + 3
    assert sum(scanned) <= 2 * (MANY * len(PIECE) + len(head))


def test_an_argument_of_a_million_characters_arrives_whole():
    pieces = ["x" * 4] * 250_000
    reader, told = ChunkReader(), assembler(Telling(obfuscation=False))
    told.start()
    told.feed(reader.read(delta(tool_calls=[entry(0, "call_1", "get_weather", '{"a":"')])))
    for piece in pieces:
        told.feed(reader.read({"choices": [{"delta": {"tool_calls": [entry(0, arguments=piece)]}}]}))
    told.feed(reader.read(delta("tool_calls", tool_calls=[entry(0, arguments='"}')])))
    told.finish()
    assert told.final["output"][0]["arguments"] == f'{{"a":"{"".join(pieces)}"}}'


def test_the_template_is_left_alone():
    told = assembler()
    before = json.dumps(told.template)
    told.start()
    told.feed([Text("a"), Finish("length")])
    told.heartbeat()
    told.finish()
    assert json.dumps(told.template) == before


def test_a_compaction_without_a_summary_fails_with_the_same_words_streamed_or_not():
    prepared = [['{"choices":[{"delta":{},"finish_reason":"stop"}]}', "[DONE]"]]
    told = events_of(turn(FakeChat(prepared), compact=True))
    with pytest.raises(UpstreamFault, match="wrote no summary"):
        run(turn(FakeChat(prepared), compact=True).response())
    assert told[-1]["response"]["error"]["message"].startswith("The model wrote no summary")
