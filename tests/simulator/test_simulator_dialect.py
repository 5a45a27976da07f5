"""How a turn looks on the wire: one turn, many dialects."""

from __future__ import annotations

import json

import httpx
import pytest
from simulator_requests import call_deltas, chat, chunks, deltas, events, joined, streamed, tool

from shim.simulator import Call, Dialect, SimulatorConfig, Turn, running

ANSWER = Turn(reasoning="hm hm", text="one two three")
CALLS = Turn(calls=[Call("first", {"city": "Ghent"}, "call_a"), Call("second", '{"n": 12345678}', "call_b")])


@pytest.fixture
def say(post):
    async def _say(turn, body=None, **dialect):
        async with running(
            SimulatorConfig(turns=[turn], dialect=Dialect(**dialect), redirect="none")
        ) as simulator:
            return await post(simulator, body or streamed())

    return _say


def finish_reasons(response):
    choices = [chunk["choices"][0] for chunk in chunks(response) if chunk["choices"]]
    return [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]


async def test_a_stream_says_the_whole_turn_and_ends_with_usage_and_done(say):
    response = await say(ANSWER)
    assert joined(response, "reasoning_content") == "hm hm"
    assert joined(response, "content") == "one two three"
    assert finish_reasons(response) == ["stop"]
    assert chunks(response)[-1]["choices"] == []
    assert chunks(response)[-1]["usage"]["completion_tokens"] == 5
    assert events(response)[-1] == "[DONE]"


async def test_usage_is_left_out_when_nobody_asked_for_it(say):
    response = await say(ANSWER, chat(stream=True))
    assert all("usage" not in chunk for chunk in chunks(response))


async def test_without_stream_the_same_turn_is_one_completion(say):
    body = (await say(ANSWER, chat())).json()
    assert body["object"] == "chat.completion"
    message = {"role": "assistant", "content": "one two three", "reasoning_content": "hm hm"}
    assert body["choices"][0]["message"] == message
    assert body["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}


async def test_reasoning_can_have_another_name(say):
    response = await say(ANSWER, reasoning_field="reasoning")
    assert joined(response, "reasoning") == "hm hm"
    assert joined(response, "reasoning_content") == ""


async def test_reasoning_can_stand_in_think_tags(say):
    response = await say(ANSWER, reasoning_field="think")
    assert joined(response, "content") == "<think>\nhm hm\n</think>\n\none two three"


async def test_reasoning_can_be_hidden_and_is_billed_all_the_same(say):
    response = await say(ANSWER, reasoning_field="none")
    assert "hm" not in response.text
    assert chunks(response)[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"] == 2


async def test_usage_can_ride_in_the_finish_chunk(say):
    last = chunks(await say(ANSWER, usage="finish"))[-1]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["total_tokens"] > 5


async def test_usage_can_come_with_every_chunk_or_never(say):
    assert all(chunk["usage"] for chunk in chunks(await say(ANSWER, usage="every")))
    assert all("usage" not in chunk for chunk in chunks(await say(ANSWER, usage="none")))
    assert "usage" not in (await say(ANSWER, chat(), usage="none")).json()


async def test_parallel_calls_come_in_pieces_that_join_to_the_arguments(say):
    calls = call_deltas(await say(CALLS))
    arguments = [
        "".join(c["function"]["arguments"] for c in calls if c["index"] == index) for index in (0, 1)
    ]
    assert arguments == ['{"city": "Ghent"}', '{"n": 12345678}']
    assert [call["id"] for call in calls if "id" in call] == ["call_a", "call_b"]
    assert [call["function"]["name"] for call in calls if "name" in call["function"]] == ["first", "second"]


async def test_calls_can_come_whole_with_the_arguments_said_once(say):
    calls = call_deltas(await say(CALLS, call_chunks="whole"))
    assert [call["function"]["arguments"] for call in calls] == ['{"city": "Ghent"}', '{"n": 12345678}']


async def test_pieces_of_parallel_calls_can_be_interleaved(say):
    calls = call_deltas(await say(CALLS, calls_interleaved=True))
    assert [call["index"] for call in calls][:4] == [0, 1, 0, 1]


@pytest.mark.parametrize(("switch", "indices"), [("missing", {None}), ("zero", {0})])
async def test_the_index_of_calls_can_be_missing_or_always_zero(say, switch, indices):
    calls = call_deltas(await say(CALLS, call_index=switch))
    assert {call.get("index") for call in calls} == indices


@pytest.mark.parametrize(("switch", "later"), [("repeated", "first"), ("blank", ""), ("null", None)])
async def test_later_deltas_can_repeat_blank_or_null_the_name(say, switch, later):
    calls = [call for call in call_deltas(await say(CALLS, call_names=switch)) if call["index"] == 0]
    assert calls[0]["function"]["name"] == "first"
    assert {call["function"]["name"] for call in calls[1:]} == {later}


@pytest.mark.parametrize(
    ("switch", "ids"),
    [
        ("once", ["call_a", None]),
        ("repeated", ["call_a", "call_a"]),
        ("blank", ["call_a", ""]),
        ("missing", [None, None]),
    ],
)
async def test_call_ids_can_be_repeated_blank_or_missing(say, switch, ids):
    calls = [call for call in call_deltas(await say(CALLS, call_ids=switch)) if call["index"] == 0]
    assert [call.get("id") for call in calls][:2] == ids


async def test_the_done_marker_can_be_missing(say):
    assert "[DONE]" not in (await say(ANSWER, done_marker=False)).text


async def test_the_finish_reason_key_can_be_absent_before_the_last_chunk(say):
    response = await say(ANSWER, finish_reason_key=False, usage="none")
    having = ["finish_reason" in chunk["choices"][0] for chunk in chunks(response)]
    assert having == [False] * (len(having) - 1) + [True]


async def test_the_finish_reason_can_ride_on_the_last_content(say):
    last = chunks(await say(ANSWER, finish_alone=False, usage="none"))[-1]["choices"][0]
    assert (last["delta"]["content"], last["finish_reason"]) == ("three", "stop")


async def test_the_role_can_ride_on_the_first_content(say):
    first = deltas(await say(Turn(text="hi there"), first_role_chunk=False))[0]
    assert first == {"role": "assistant", "content": "hi "}


async def test_the_first_content_can_be_null(say):
    assert deltas(await say(ANSWER, null_content=True))[0] == {"role": "assistant", "content": None}


async def test_comments_can_stand_before_every_chunk(say):
    response = await say(ANSWER, heartbeats="comments")
    assert response.text.count(": keep-alive\n\n") == len(chunks(response))


async def test_empty_chunks_can_stand_before_every_chunk(say):
    response = await say(Turn(text="hi"), heartbeats="chunks", usage="none")
    assert deltas(response)[::2] == [{}, {}, {}]
    assert joined(response, "content") == "hi"


async def test_lines_can_end_with_carriage_return_and_line_feed(say):
    response = await say(ANSWER, crlf=True)
    assert response.content.count(b"\r\n\r\n") == len(events(response))
    assert b"\n" not in response.content.replace(b"\r\n", b"")


async def test_a_supplier_can_ignore_stream(say):
    assert (await say(ANSWER, ignores_stream=True)).json()["object"] == "chat.completion"


async def test_text_can_be_cut_into_characters_or_groups(say):
    single = [delta["content"] for delta in deltas(await say(Turn(text="abc"), split="characters")) if delta]
    pairs = [delta["content"] for delta in deltas(await say(Turn(text="a b c"), units_per_chunk=2)) if delta]
    assert single == ["", "a", "b", "c"]
    assert pairs == ["", "a b ", "c"]


async def test_the_byte_stream_can_be_cut_anywhere(say):
    assert events(await say(ANSWER, bytes_per_write=7)) == events(await say(ANSWER))


async def test_the_id_can_be_a_bare_uuid(say):
    assert chunks(await say(ANSWER, bare_id=True))[0]["id"] == "00000000-0000-4000-8000-000000000001"


async def test_log_probabilities_cover_the_text_token_by_token(say):
    response = await say(Turn(text="one two"), streamed(logprobs=True, top_logprobs=2))
    told = [
        c["choices"][0]["logprobs"]["content"]
        for c in chunks(response)
        if "logprobs" in (c["choices"] or [{}])[0]
    ]
    assert [token["token"] for tokens in told for token in tokens] == ["one ", "two"]
    assert [len(token["top_logprobs"]) for tokens in told for token in tokens] == [2, 2]


async def test_log_probabilities_come_in_a_completion_and_can_be_unsupported(say):
    body = chat(logprobs=True)
    told = (await say(Turn(text="one two"), body)).json()["choices"][0]["logprobs"]["content"]
    assert [(token["token"], token["top_logprobs"]) for token in told] == [("one ", []), ("two", [])]
    assert "logprobs" not in (await say(Turn(text="one two"), body, logprobs=False)).text


async def test_a_cut_stream_breaks_the_connection_after_so_many_chunks(post):
    config = SimulatorConfig(turns=[Turn(text="a b c", cut_after=2)], redirect="none")
    async with running(config) as simulator:
        with pytest.raises(httpx.RemoteProtocolError):
            await post(simulator, streamed())
    assert simulator.journal[0].chunks_sent == 2


async def test_a_completion_can_be_cut_in_the_middle(post):
    async with running(SimulatorConfig(turns=[Turn(text="a", cut_after=0)], redirect="none")) as simulator:
        with pytest.raises(httpx.RemoteProtocolError):
            await post(simulator, chat())


async def test_a_clean_cut_ends_the_body_without_a_finish(say):
    response = await say(Turn(text="a b c"), cut_after=3, cut="clean")
    assert joined(response, "content") == "a b "
    assert finish_reasons(response) == []
    assert "[DONE]" not in response.text


async def test_a_stream_can_end_in_good_order_without_a_finish_reason(say):
    response = await say(Turn(text="a b c", finish=False))
    assert finish_reasons(response) == []
    assert events(response)[-1] == "[DONE]"


@pytest.mark.parametrize("error", [{"error": {"message": "overloaded", "code": 529}}, "overloaded"])
async def test_an_error_in_the_stream_stands_in_place_of_the_finish(say, error):
    response = await say(Turn(text="a b", error_in_stream=error))
    said = error if isinstance(error, str) else json.dumps(error)
    assert response.text.endswith(f"data: {said}\n\n")
    assert '"content": "b"' in response.text
    assert '"finish_reason": "stop"' not in response.text


async def test_an_error_in_the_stream_can_come_after_so_many_chunks(say):
    response = await say(Turn(text="a b", error_in_stream={"error": "x"}, cut_after=2))
    assert [event.get("error") for event in events(response)] == [None, None, "x"]


async def test_a_turn_can_have_a_dialect_of_its_own(say):
    response = await say(Turn(text="a", dialect=Dialect(done_marker=False)))
    assert "[DONE]" not in response.text


async def test_a_turn_can_be_any_answer_at_all(say):
    failed = await say(Turn(status=529, body={"type": "overloaded"}, headers={"x-request-id": "r1"}))
    garbage = await say(Turn(body="not json", headers={"content-type": "application/json"}))
    usual = await say(Turn(status=500))
    assert (failed.status_code, failed.json(), failed.headers["x-request-id"]) == (
        529,
        {"type": "overloaded"},
        "r1",
    )
    assert (garbage.status_code, garbage.text) == (200, "not json")
    assert usual.json() == {"errors": {"detail": "Internal server error."}}


async def test_a_turn_can_be_decided_from_the_request(say):
    turn = Turn(respond=lambda request: Turn(text=f"{len(request['messages'])} message"))
    assert joined(await say(turn), "content") == "1 message"


async def test_a_refusal_is_streamed_in_its_own_field(say):
    response = await say(Turn(refusal="I cannot help."))
    assert joined(response, "refusal") == "I cannot help."
    assert joined(response, "content") == ""


async def test_a_scripted_finish_reason_usage_and_model_are_said_as_they_are(say):
    turn = Turn(text="a", finish_reason="content_filter", usage={"prompt_tokens": 1}, model="lab/model")
    response = await say(turn)
    assert finish_reasons(response) == ["content_filter"]
    assert chunks(response)[-1]["usage"] == {"prompt_tokens": 1}
    assert chunks(response)[0]["model"] == "lab/model"


async def test_a_completion_with_calls_has_null_content(say):
    choice = (await say(CALLS, chat(tools=[tool()]))).json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert [call["id"] for call in choice["message"]["tool_calls"]] == ["call_a", "call_b"]
