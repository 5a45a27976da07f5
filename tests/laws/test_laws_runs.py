"""Deltas that are told together are, byte for byte, the events that they would be one by one."""

import json

from hypothesis import example, given
from hypothesis import strategies as st
from script import Telling
from stage import assembler

from shim.core.deltas import Finish, ReasoningText, RefusalText, Text
from shim.core.runs import Run, encoded, one_by_one
from shim.core.sse import encode

KINDS = {"text": Text, "reasoning": ReasoningText}
pieces = st.text(st.sampled_from('ab"\\\n\x00é😀\u2028\u2029\x85{}'), min_size=1, max_size=5)
acts = st.tuples(st.sampled_from(["reasoning", "refusal", "text"]), st.lists(pieces, min_size=1, max_size=4))
tellings = st.builds(Telling, summary=st.booleans(), obfuscation=st.booleans())


@given(told=st.lists(acts, max_size=5), telling=tellings)
@example([("text", ["a"]), ("refusal", ["b"]), ("text", ["c"])], Telling())
@example([("text", ["a", "\u2028"]), ("reasoning", ["b"]), ("text", ["c"])], Telling())
def test_more_is_what_feeding_would_tell(told, telling):
    together, single = assembler(telling), assembler(telling)
    together.start(), single.start()
    for kind, texts in told:
        if kind == "refusal":
            refused = [RefusalText(text) for text in texts]
            assert together.feed(refused) == single.feed(refused)
            continue
        more = together.more(kind, texts)
        events = one_by_one(more)
        assert events == single.feed([KINDS[kind](text) for text in texts])
        assert encoded(more) == b"".join(map(encode, events))
        assert json.dumps(together.heartbeat()) == json.dumps(single.heartbeat())
    last = [Finish("stop")]
    assert together.feed(last) + together.finish() == single.feed(last) + single.finish()


@given(texts=st.lists(pieces, min_size=1))
def test_what_goes_on_is_one_run(texts):
    for kind, begin in KINDS.items():
        told = assembler()
        told.start()
        told.feed([begin("a")])
        assert [type(each) for each in told.more(kind, texts)] == [Run]
