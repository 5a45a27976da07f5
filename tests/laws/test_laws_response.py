"""Laws 1, 2, 3 and 5: wire forms do not matter, streams are well formed, a naive reader agrees, streamed or not."""

import json

from grammar import CALLS, check
from hypothesis import example, given
from hypothesis import strategies as st
from naive import comparable, predicted
from script import Call, Script, Telling, Tool, scripts, tellings
from stage import CHAT_NAMES, FakeChat, assembler, delta, events_of, feed_all, final, play, run, turn
from test_laws_clients import accumulated
from waiting import all_read
from wireforms import Form, body, forms, payloads, reads

WEATHER, NOTE = Tool("function", "get_weather"), Tool("custom", "note")


def without_ids(value):
    """A response with its ids numbered in the order in which they appear."""
    seen = {}

    def walk(node):
        if isinstance(node, dict):
            return {key: number(sub) if key in ("id", "call_id") else walk(sub) for key, sub in node.items()}
        return [walk(sub) for sub in node] if isinstance(node, list) else node

    def number(ident):
        return seen.setdefault(ident, len(seen))

    return walk(value)


@given(script=scripts(), one=forms, other=forms, telling=tellings)
def test_two_wire_forms_of_one_script_give_the_same_response(script, one, other, telling):
    first, second = (final(play(script, form, telling)) for form in (one, other))
    assert without_ids(first) == without_ids(second)


@given(script=scripts(), form=forms, telling=tellings)
@example(Script(text="a <", calls=(Call(WEATHER, "call_1", "{}"),)), Form(), Telling())
@example(Script(text="a <", refusal="no"), Form(), Telling())
@example(
    Script(reasoning="😀😀", text="😀😀😀", refusal="😀😀"), Form(halves=True, pieces=9, merge=0.0), Telling()
)
@example(Script(reasoning="because", text="so"), Form(reasoning="<think>", pieces=9, merge=0.0), Telling())
@example(
    Script(calls=(Call(NOTE, "call_1", said={"input": "😀\n😀"}),)), Form(pieces=40, merge=0.0), Telling()
)
def test_the_stream_obeys_the_grammar_and_says_what_a_naive_reader_predicts(script, form, telling):
    events = play(script, form, telling)
    check(events)
    assert comparable(final(events), script) == predicted(script, telling)


@given(script=scripts(), form=forms)
def test_no_call_is_done_before_the_finish_reason(script, form):
    done = [f"{stem}.done" for stem, _ in CALLS.values()]
    for events, finished in feed_all(payloads(script, form, CHAT_NAMES)):
        for event in events:
            whole = event["type"] == "response.output_item.done" and "call_id" in event["item"]
            assert finished or not (whole or event["type"] in done)


@given(script=scripts(), form=forms, telling=tellings)
def test_a_response_that_is_not_streamed_is_the_last_one_of_the_stream(script, form, telling):
    prepared = reads(body(payloads(script, form, CHAT_NAMES), form), form)
    streamed = final(events_of(turn(FakeChat(prepared), telling)))
    assert run(turn(FakeChat(prepared), telling).response()) == streamed


def test_a_response_that_is_not_streamed_is_kept_before_the_end_of_the_upstreams_body():
    class Hanging(FakeChat):
        async def read(self, _ahead=None):
            if (texts := await super().read()) is not None:
                return texts
            order.append("the end is awaited")
            return None

    async def keep(response):
        order.append(response["status"])

    order = []
    played = turn(Hanging([[json.dumps(delta(content="a"))], [json.dumps(delta("stop"))], ["[DONE]"]]))
    played.keep = keep
    assert run(played.response())["status"] == "completed"
    assert order == ["completed", "the end is awaited"]


@given(script=scripts(), form=forms, telling=tellings)
@example(Script(text="\u2028 \u2029 \x85 \x0b\x0c\x1c"), Form(), Telling())
def test_the_bytes_of_the_stream_are_its_events_in_three_lines_each(script, form, telling):
    prepared = reads(body(payloads(script, form, CHAT_NAMES), form), form)

    async def sent():
        return b"".join(await all_read(turn(FakeChat(prepared), telling)))

    lines = run(sent()).decode().splitlines()  # at everything that any reader takes for the end of a line
    told = [json.loads(line.removeprefix("data: ")) for line in lines[1::3]]
    assert lines[::3] == [f"event: {event['type']}" for event in told]
    assert set(lines[2::3]) == {""}
    assert told == events_of(turn(FakeChat(prepared), telling))


@given(script=scripts(), form=forms, telling=tellings)
def test_telling_a_script_twice_gives_the_same_events(script, form, telling):
    assert play(script, form, telling) == play(script, form, telling)


@given(script=scripts(), form=forms, data=st.data())
def test_heartbeats_at_any_point_keep_the_grammar(script, form, data):
    beats = data.draw(st.sets(st.integers(0, 12)))
    told, events = assembler(), []
    assert told.heartbeat() == []
    for at, (some, _) in enumerate(feed_all(payloads(script, form, CHAT_NAMES), told)):
        events += some
        if at in beats:
            events += told.heartbeat()
    assert told.heartbeat() == []
    check(events)
    accumulated(events)


@given(script=scripts(), form=forms, telling=tellings, data=st.data())
def test_a_stream_cut_before_its_finish_fails_and_releases_no_call(script, form, telling, data):
    texts = [text for text in payloads(script, form, CHAT_NAMES) if json.loads(text)["choices"]]
    kept = texts[: data.draw(st.integers(0, len(texts) - 1))]
    kept = [text for text in kept if not json.loads(text)["choices"][0].get("finish_reason")]
    events = events_of(turn(FakeChat([[text] for text in kept]), telling))
    check(events)
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    finished = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert not [item for item in finished if "call_id" in item]


@given(script=scripts(), form=forms, telling=tellings)
def test_padding_stands_on_every_delta_or_on_none(script, form, telling):
    for event in play(script, form, telling):
        assert ("obfuscation" in event) == (telling.obfuscation and event["type"].endswith(".delta"))
        if "obfuscation" in event:
            assert (len(event["delta"]) + len(event["obfuscation"])) % 16 == 0
