"""Deltas that are told together are, byte for byte, the events that they would be one by one."""

import json

from hypothesis import example, given
from hypothesis import strategies as st
from script import Telling
from stage import CHAT_NAMES, assembler

from shim.core.chunks import More
from shim.core.deltas import CallArguments, CallStart, Citation, Finish, RefusalText, Text, deltas_of
from shim.core.runs import Run, encoded, one_by_one
from shim.core.sse import encode

KEYS = {"first": 0, "second": 1}
"""Calls of which a model says more."""
SOURCE = {"type": "url_citation", "url": "https://a", "title": "", "start_index": 0, "end_index": 1}


def scored(text):
    """Text with the log probability of a token."""
    return Text(text, [{"token": text, "logprob": -1.0, "bytes": [], "top_logprobs": []}])


pieces = st.text(st.sampled_from('ab"\\\n\x00é😀\u2028\u2029\x85{}'), min_size=1, max_size=5)
acts = st.tuples(
    st.sampled_from(["reasoning", "refusal", "text", "call", "patch", *KEYS]),
    st.lists(pieces, min_size=1, max_size=4),
)
tellings = st.builds(Telling, summary=st.booleans(), obfuscation=st.booleans())


@given(told=st.lists(acts, max_size=5), telling=tellings)
@example([("text", ["a"]), ("refusal", ["b"]), ("text", ["c"])], Telling())
@example([("text", ["a", "\u2028"]), ("reasoning", ["b"]), ("text", ["c"])], Telling())
@example(
    [("call", []), ("first", ["a"]), ("text", ["b"]), ("first", ["c"]), ("call", []), ("second", ["d"])],
    Telling(),
)
@example([("call", []), ("call", []), ("second", ["a"]), ("first", ["b"])], Telling())
@example([("patch", []), ("first", ['{"input": "a', "b"])], Telling())
def test_more_is_what_feeding_would_tell(told, telling):
    together, single, calls = assembler(telling), assembler(telling), 0
    together.start(), single.start()
    for kind, texts in told:
        if kind in ("refusal", "call", "patch"):
            names = {"call": "get_weather", "patch": CHAT_NAMES["custom", "", "patch"]}
            deltas = [RefusalText(text) for text in texts]
            if kind in names:
                deltas, calls = [CallStart(calls, f"call_{calls}", names[kind])], calls + 1
            assert together.feed(deltas) == single.feed(deltas)
            continue
        key = KEYS.get(kind)
        if key is not None and key >= calls:
            continue
        more = More(kind if key is None else "arguments", texts, key)
        runs = together.more(more)
        events = one_by_one(runs)
        assert events == single.feed(deltas_of(more))
        assert encoded(runs) == b"".join(map(encode, events))
        assert json.dumps(together.heartbeat()) == json.dumps(single.heartbeat())
    last = [Finish("stop")]
    assert together.feed(last) + together.finish() == single.feed(last) + single.finish()


@given(texts=st.lists(pieces, min_size=1))
def test_what_goes_on_is_one_run(texts):
    for kind in ("text", "reasoning", "arguments"):
        key = 0 if kind == "arguments" else None
        told = assembler()
        told.start()
        told.feed([CallStart(0, "call_0", "get_weather")] if key == 0 else deltas_of(More(kind, ["a"])))
        assert [type(each) for each in told.more(More(kind, texts, key))] == [Run]


@given(told=st.lists(acts, max_size=5), telling=tellings)
def test_a_silent_answer_is_the_same_without_events(told, telling):
    loud, silent = assembler(telling), assembler(telling)
    silent.silent = True
    loud.start(), silent.start()
    for kind, texts in told:
        if kind in ("text", "reasoning"):
            loud.more(More(kind, texts))
            assert silent.more(More(kind, texts)) == []
        else:
            said = RefusalText if kind == "refusal" else scored
            deltas = [*map(said, texts), Citation(SOURCE)]
            loud.feed(deltas)
            assert silent.feed(deltas) == []
    calls = [CallStart(0, "call_0", "get_weather"), CallArguments(0, "{}")]
    loud.feed([*calls, Finish("stop")]), loud.finish()
    assert silent.feed([*calls, Finish("stop")]) + silent.finish() == []
    assert silent.final == loud.final
