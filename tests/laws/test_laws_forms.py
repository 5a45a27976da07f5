"""Chunks that repeat the one before but for their text are read as if they had been parsed: nobody can tell."""

import gc
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from script import scripts
from stage import CHAT_NAMES, delta, entry
from wireforms import Form, forms, payloads

from shim.core import deltas as reading
from shim.core.chunks import Form as ChunkForm
from shim.core.chunks import form_of, parse_chunk
from shim.core.deltas import MOST_OUTPUT_BYTES, CallArguments, ChunkReader, Text, deltas_of
from shim.errors import UpstreamFault

NAMES = frozenset(CHAT_NAMES.values())


def reader(room=MOST_OUTPUT_BYTES):
    return ChunkReader(NAMES, room)


def parsed(heard, payload):
    """What the reader says of a payload that is parsed, or the words of its fault."""
    try:
        return heard.read(parse_chunk(payload))
    except UpstreamFault as fault:
        return fault.message


def known(heard, payload):
    """The same as `Turn` asks for it."""
    try:
        return heard.hear(payload)
    except UpstreamFault as fault:
        return fault.message


def taken(heard, texts, told):
    """What `Turn` takes of the payloads of one read: as many together as it can; up to the first fault."""
    at = 0
    while at < len(texts):
        if more := heard.more(texts, at):
            told.append(len(more.texts))
            yield from deltas_of(more)
            at += len(more.texts)
            continue
        deltas = known(heard, texts[at])
        at += 1
        if isinstance(deltas, str):
            yield deltas
            return
        yield from deltas


def one_by_one(read, texts):
    """The same of payloads that are parsed one after the other."""
    for payload in texts:
        deltas = parsed(read, payload)
        if isinstance(deltas, str):
            yield deltas
            return
        yield from deltas


def check_together(texts, room=MOST_OUTPUT_BYTES):
    """Whether all ways of reading agree; how many payloads were taken together each time."""
    heard, read, together = reader(room), reader(room), []
    assert list(taken(heard, texts, together)) == list(one_by_one(read, texts))
    assert (heard.finished, heard.room) == (read.finished, read.room)
    return together


@given(script=scripts(), form=forms)
def test_hearing_is_reading_whatever_the_wire_form(script, form):
    heard, read = reader(), reader()
    for payload in payloads(script, form, CHAT_NAMES):
        assert known(heard, payload) == parsed(read, payload)
    check_together(payloads(script, form, CHAT_NAMES))


said = st.text(st.sampled_from('a<>`"\\/{}:, \n\t\x00é😀\ud83d\ude00\u2028'), max_size=6)
constant = st.dictionaries(
    st.sampled_from(["id", "model", "content", "usage", "error", "created"]),
    st.sampled_from([None, 0, "", "content", "m", '"content":"', {}, {"content": "a"}, {"total_tokens": 3}]),
    max_size=3,
)
KEYS = ("content", "reasoning", "reasoning_content", "refusal", "role", "tool_calls", "function_call", "x")
values = st.one_of(
    said,
    st.sampled_from([None, 0, [], {}, "assistant", [{}], [entry(0)], [entry(1, "c", "get_weather", "{}")]]),
    st.builds(lambda index, text: [entry(index, arguments=text)], st.sampled_from([None, 0, 1, "1"]), said),
)
choices = st.builds(
    lambda body, more: {"delta": body, **more},
    st.dictionaries(st.sampled_from(KEYS), values, max_size=3),
    st.dictionaries(
        st.sampled_from(["index", "finish_reason", "logprobs", "usage", "content"]),
        st.sampled_from([None, 0, 1, "", "stop", {}, {"content": []}, "a"]),
        max_size=2,
    ),
)
chunks = st.builds(
    lambda who, all_of_them: {**who, "choices": all_of_them}, constant, st.lists(choices, max_size=2)
)


@st.composite
def similar_payloads(draw):
    """Payloads of which many are the same but for a text, some with something cut off, doubled or put in."""
    texts = []
    for chunk in draw(st.lists(chunks, min_size=1, max_size=3)):
        text = json.dumps(chunk, ensure_ascii=draw(st.booleans()))
        for _ in range(draw(st.integers(1, 4))):
            place, other = draw(st.integers(0, len(text))), draw(said)
            texts.append(
                text[:place] + draw(st.sampled_from(["", other, json.dumps(other)[1:-1]])) + text[place:]
            )
            texts.append(text)
    return [text.encode(errors="replace").decode() for text in texts]  # as bytes that were decoded


def chunk_of(text, **more):
    return json.dumps({"model": "m", **delta(content=text), **more})


SPREAD = '{"choices":\n[{"delta":{"content":"%s"}}]}'
"""A chunk of two lines."""


@given(texts=similar_payloads())
@example([SPREAD % "a", SPREAD % "b", *f"{SPREAD % 'c'}\n{SPREAD % 'd'}".split("\n", 1), SPREAD % "e"])
@example([chunk_of(text) for text in ("a", "b", "c", "", "d", "e")])
@example([chunk_of("a"), chunk_of("b"), f"{chunk_of('c')}\n{chunk_of('d')}", chunk_of("e"), "{}"])
@example(
    [chunk_of("a"), chunk_of("b"), f"{chunk_of('c')}\n{chunk_of('d')}", chunk_of("e")[:-1], chunk_of("f")]
)
@example([chunk_of("a"), chunk_of("b"), chunk_of("c").replace('"c"', '"c","d"'), chunk_of("e")])
@example([chunk_of("a"), chunk_of("b"), *(chunk_of("c").replace('"c"', said) for said in ('"c\\"', '",d"'))])
@example([chunk_of("a"), chunk_of("b"), chunk_of("c"), chunk_of("d<"), chunk_of("e")])
@example([chunk_of("a"), chunk_of("b"), chunk_of("c"), chunk_of("d", model="n"), chunk_of("e")])
@example([chunk_of("a"), chunk_of("b"), chunk_of("a", model="n"), chunk_of("b"), chunk_of("c")])
@example([json.dumps(delta(content=text, function_call={})) for text in "aa<"])
@example([json.dumps(delta("stop", content="a")), chunk_of("b"), chunk_of("c")])
@example([chunk_of("a"), chunk_of("a").replace('"a"', '"a","content":"b"')])
@example([chunk_of("a"), chunk_of("a", content="b"), chunk_of("a", content="c"), chunk_of("a", content="d")])
@example(
    [
        '{"choices":[{"delta":{"c\\u006fntent":"a"}}],"content":"a"}',
        '{"choices":[{"delta":{"c\\u006fntent":"a"}}],"content":"b"}',
    ]
)
@example(['{"choices":[{"delta":{"content":"a"}}],"content":"\ue000?"}'.replace('"a"', '"\ue000?"')] * 2)
@example(['{"\\ud83did":0,"choices":[{"delta":{"content":"a"}}]}'] * 3)
@example([chunk_of("a"), chunk_of("\ud83d"), chunk_of("\ude00"), chunk_of("b")])
@example([chunk_of("a"), chunk_of("<tool_call>"), chunk_of("b")])
def test_hearing_is_reading_however_alike_the_payloads_are(texts):
    heard, read = reader(), reader()
    for payload in texts:
        assert known(heard, payload) == parsed(read, payload)
        assert heard.finished == read.finished
    check_together(texts)


REASONS = [json.dumps(delta(reasoning=text)) for text in "abcd"]


def named(index, arguments=None):
    return json.dumps(delta(tool_calls=[entry(index, f"call_{index}", "get_weather", arguments)]))


def more_of_it(arguments, index=0):
    return json.dumps(delta(tool_calls=[entry(index, arguments=arguments)]))


def more_of_the_other(arguments):
    return more_of_it(arguments, 1)


CALLED = named(0)
"""A call begins: what follows are its arguments."""


@pytest.mark.parametrize(
    ("texts", "together"),
    [
        ([chunk_of(text) for text in "abcde"], [3]),
        ([*REASONS, *map(chunk_of, "ab"), *REASONS], [3, 3]),
        ([chunk_of(text) for text in ("a", "b", "", "c", "<", "d", " ", "`", "e")], [1, 1]),
        ([chunk_of("a"), chunk_of("b"), chunk_of("c", choices=[]), chunk_of("d"), chunk_of("e")], [1]),
        ([chunk_of(text) for text in ("a", "b", "\ud83d", "\ude00", "c", "d")], [2]),
        ([json.dumps(delta(reasoning=text)) for text in ("a", "b", "\ud83d", "\ude00", "c", "d")], [1, 2]),
        ([chunk_of(text) for text in ("a", "b\ud83d", "\ude00c", "d", "e")], [2]),
        ([json.dumps(delta(reasoning=text)) for text in ("a\ud83d", "\ude00c", "d", "e")], [2]),
        ([json.dumps(delta(reasoning=text)) for text in ("a\ud83d", "b", "c")], [1]),
        ([chunk_of(text) for text in ("a", "b\ud83d", "c", "d")], [1]),
        ([json.dumps(delta(tool_calls=[entry(0, "c", "get_weather", "{")]))] * 3, []),
        ([CALLED, *map(more_of_it, "{abc")], [3]),
        ([CALLED, *map(more_of_it, ("{", "a", "", "b"))], [1, 1]),
        ([CALLED, *map(more_of_it, ("{", "a\ud83d", "\ude00b", "c", "d"))], [2]),
        ([CALLED, *map(more_of_it, ("{", "a\ud83d", "b", "c"))], [1]),
        ([CALLED, *map(more_of_it, "{}"), named(0, "{}")], [1]),
        (
            [
                named(0),
                *map(more_of_it, "{a"),
                named(1),
                *map(more_of_the_other, "{b"),
                *map(more_of_it, "cd"),
            ],
            [1, 1, 1],
        ),
        ([CALLED, more_of_it("{"), *REASONS, *map(more_of_it, "ab")], [3, 1]),
        ([chunk_of("<tool_call>"), CALLED, *map(more_of_it, "{abc"), chunk_of("</tool_call>")], [3]),
        (
            [named(0), *map(more_of_it, "{a"), named(1), more_of_it("b"), *map(more_of_the_other, "cd")],
            [1, 1],
        ),
        ([chunk_of("a"), more_of_it("a"), more_of_it("b"), chunk_of("c")], []),
    ],
)
def test_what_says_more_of_the_same_is_taken_together_up_to_what_is_another(texts, together):
    assert check_together(texts) == together


@pytest.mark.parametrize("room", range(8))
def test_what_is_taken_together_has_no_more_room(room):
    check_together([chunk_of(text) for text in ("a", "b", "é", "ab", "c")], room)


def test_log_probabilities_that_wait_stay_with_the_next_text():
    waiting = {"content": [{"token": "<", "logprob": -1.0, "bytes": None, "top_logprobs": []}]}
    first = {"model": "m", "choices": [{"delta": {"content": ""}, "logprobs": waiting}]}
    assert check_together([chunk_of("a"), chunk_of("b"), json.dumps(first), chunk_of("c"), chunk_of("d")])


@pytest.mark.parametrize("said", ["a<", "a<<", "aa<", '"\\a', "aaaaaaaaa<"])
def test_payloads_are_not_looked_at_together_again_and_again_in_vain(monkeypatch, said):
    looked, together = [], ChunkForm._said_together

    def counted(form, payloads):
        looked.append(len(payloads))
        return together(form, payloads)

    monkeypatch.setattr(ChunkForm, "_said_together", counted)
    texts = [chunk_of(letter) for letter in "a" * 200 + said * (600 // len(said))]
    check_together(texts)
    assert sum(looked) <= 5 * len(texts)


def test_many_payloads_are_read_in_few_steps():
    assert len(check_together([chunk_of("a")] * 1000)) < 25


def test_a_reader_keeps_nothing_alive():
    gc.collect()
    gc.disable()
    try:
        assert reader().hear(chunk_of("a"))
        assert not [one for one in gc.get_objects() if isinstance(one, ChunkReader)]
    finally:
        gc.enable()


def test_a_payload_in_which_the_constant_parts_overlap_is_not_the_form():
    form = ChunkForm("text", None, '{"content":"', '"}')
    assert form.said('{"content":"}') is None
    assert form.said('{"content":""}') == ""
    assert form.run(['{"content":"}'], 0, None) == []


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (chunk_of("a"), chunk_of("b")),
        (json.dumps(delta(reasoning="a")), json.dumps(delta(reasoning="b"))),
        (json.dumps(delta(role="assistant", reasoning_content="a", content=None)),) * 2,
        (
            json.dumps(delta(tool_calls=[entry(0, arguments='{"a"')])),
            json.dumps(delta(tool_calls=[entry(0, arguments=': "\\u00e9"}')])),
        ),
    ],
)
def test_what_only_goes_on_is_not_parsed(monkeypatch, first, again):
    heard = reader()
    heard.hear(json.dumps({"model": "m", **delta(tool_calls=[entry(0, "c", "get_weather", " ")])}))
    heard.hear(first)
    heard.hear(first)
    monkeypatch.setattr(reading, "parse_chunk", lambda _: pytest.fail("parsed"))
    assert len(heard.hear(again)) == 1


def test_calls_that_go_on_in_turns_are_told_apart():
    heard = reader()
    for index in (0, 1):
        heard.hear(json.dumps(delta(tool_calls=[entry(index, f"call_{index}", "get_weather", "{")])))
    told = [
        heard.hear(json.dumps(delta(tool_calls=[entry(index, arguments=text)])))
        for index, text in ((0, "a"), (0, "b"), (1, "c"), (1, "d"), (0, "e"))
    ]
    assert told == [
        [CallArguments(key, text)] for key, text in ((0, "a"), (0, "b"), (1, "c"), (1, "d"), (0, "e"))
    ]


def test_an_empty_text_in_a_form_says_nothing():
    heard = reader()
    for text in ("a", "b"):
        assert heard.hear(chunk_of(text))[-1] == Text(text)
    assert heard.hear(chunk_of("")) == []
    for _ in range(2):
        heard.hear(json.dumps(delta(reasoning="a")))
    assert heard.hear(json.dumps(delta(reasoning=""))) == []


def test_no_forms_are_made_of_chunks_that_never_repeat(monkeypatch):
    made = []
    monkeypatch.setattr(reading, "form_of", lambda *given: (made.append(given), form_of(*given))[1])
    heard = reader()
    for number in range(50):
        assert heard.hear(chunk_of("a", created=number))
    assert len(made) == 4


@pytest.mark.parametrize(
    "payload",
    [
        chunk_of("a" * 5000),
        '{"choices":[{"delta":{"c\\u006fntent":"a"}}]}',
        json.dumps(delta(tool_calls=[entry(0, arguments="a"), entry(1, arguments="b")])),
        json.dumps(delta(tool_calls=[entry(0, arguments={"a": 1})])),
        json.dumps(delta(tool_calls=[{"index": 0, "function": "a"}])),
        json.dumps(delta(tool_calls={"index": 0})),
    ],
)
def test_a_chunk_that_is_long_or_odd_has_no_form(payload):
    assert form_of(payload, json.loads(payload)) is None


@given(script=scripts())
def test_faults_are_the_same_in_a_form(script):
    heard, read = reader(), reader()
    for payload in payloads(script, Form(merge=0.0), CHAT_NAMES):
        for broken in (payload[:-1], payload.replace('"delta"', '"delta', 1), payload + "}"):
            assert known(heard, broken) == parsed(read, broken)
        assert known(heard, payload) == parsed(read, payload)
