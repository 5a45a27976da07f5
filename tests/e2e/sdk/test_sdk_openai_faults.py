"""`openai` for Python: what goes wrong, and when; leaving early; silence."""

from __future__ import annotations

import asyncio
import threading

import openai
import pytest
from sdk_stage import MODEL, PATIENCE, stage

from shim.simulator import Call, Dialect, Failure, Hold, SimulatorConfig, Turn

pytestmark = pytest.mark.e2e

ALONE = {"retry_attempts": 1}


def refused(client, **request):
    """The exception that a request ends in."""
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.create(**request)
    return caught.value


@pytest.mark.parametrize(
    ("request_", "param", "code"),
    [
        ({"input": "hi"}, "model", "missing_required_parameter"),
        ({"model": MODEL}, "input", "missing_required_parameter"),
        ({"model": MODEL, "input": "hi", "temperature": -1}, "temperature", "decimal_below_min_value"),
        ({"model": MODEL, "input": "hi", "max_tool_calls": 0}, "max_tool_calls", "integer_below_min_value"),
        ({"model": MODEL, "input": [{"role": "pope", "content": "hi"}]}, "input[0].role", "invalid_value"),
        ({"model": "no-such-model", "input": "hi"}, "model", "model_not_found"),
        (
            {"model": MODEL, "input": "hi", "previous_response_id": "resp_0"},
            "previous_response_id",
            "previous_response_not_found",
        ),
        (
            {"model": MODEL, "input": "hi", "tool_choice": {"type": "function", "name": "f"}},
            "tool_choice",
            None,
        ),
    ],
)
def test_a_wrong_request_is_a_bad_request_that_names_the_field(here, client, request_, param, code):
    error = refused(client, **request_)
    assert isinstance(error, openai.BadRequestError)
    assert (error.param, error.code, error.type) == (param, code, "invalid_request_error")
    assert error.request_id.startswith("req_")
    assert here.served == []


def test_a_streamed_request_that_is_wrong_fails_before_any_event(client):
    error = refused(client, model=MODEL, input="hi", temperature=-1, stream=True)
    assert error.code == "decimal_below_min_value"


def test_a_key_that_the_upstream_does_not_know_is_an_authentication_error():
    with stage(key="wrong") as here, here.openai() as client:
        error = refused(client, model=MODEL, input="hi")
    assert isinstance(error, openai.AuthenticationError)


def test_a_client_without_the_shims_token_is_an_authentication_error():
    with stage(client_tokens=("please-let-me-in",)) as here:
        with here.openai() as stranger:
            assert isinstance(refused(stranger, model=MODEL, input="hi"), openai.AuthenticationError)
        with here.openai(api_key="please-let-me-in") as friend:
            assert friend.responses.create(model=MODEL, input="say Welcome").output_text == "Welcome"


def test_a_clients_own_key_is_passed_on_where_the_shim_has_none():
    with stage(SimulatorConfig(keys=["mine"]), key=None) as here:
        with here.openai(api_key="mine") as client:
            assert client.responses.create(model=MODEL, input="say Hi").output_text == "Hi"
        with here.openai(api_key="yours") as stranger:
            assert isinstance(refused(stranger, model=MODEL, input="hi"), openai.AuthenticationError)


def test_a_rate_limit_reaches_the_client_with_whole_seconds_to_wait():
    config = SimulatorConfig(always_fail=Failure(429, retry_after=7))
    with stage(config, **ALONE) as here, here.openai() as client:
        error = refused(client, model=MODEL, input="hi")
    assert isinstance(error, openai.RateLimitError)
    assert int(error.response.headers["retry-after"]) == 7


def test_the_sdks_own_retry_waits_as_told_and_gets_the_answer(monkeypatch):
    waits = []
    monkeypatch.setattr("openai._base_client.time.sleep", waits.append)
    config = SimulatorConfig(fail_first=[Failure(429, retry_after=3)])
    with stage(config, **ALONE) as here, here.openai(max_retries=2) as client:
        assert client.responses.create(model=MODEL, input="say At last").output_text == "At last"
    assert waits == [3]


def test_the_shims_own_retry_hides_a_passing_fault_from_the_client():
    config = SimulatorConfig(fail_first=[Failure(503, retry_after=0)])
    with stage(config) as here, here.openai() as client:
        assert client.responses.create(model=MODEL, input="say At last").output_text == "At last"


def test_a_request_that_was_heard_and_lost_is_the_clients_to_repeat():
    config = SimulatorConfig(fail_first=[Failure(503, retry_after=0), Failure(0)])
    with stage(config) as here, here.openai() as client:
        error = refused(client, model=MODEL, input="hi")
        assert isinstance(error, openai.InternalServerError)
        assert here.served == []


def test_an_empty_account_is_a_rate_limit_error_with_the_code_for_quota():
    with stage(SimulatorConfig(always_fail=402), **ALONE) as here, here.openai() as client:
        error = refused(client, model=MODEL, input="hi")
    assert isinstance(error, openai.RateLimitError)
    assert error.code == "insufficient_quota"


@pytest.mark.parametrize("wording", ["openai", "vllm", "llama_cpp", "anthropic", "gemini", "plain"])
def test_a_full_context_has_its_own_code_in_any_suppliers_words(wording):
    with stage(SimulatorConfig(context_limit=5, overflow_wording=wording)) as here, here.openai() as client:
        error = refused(client, model=MODEL, input="words " * 50)
    assert isinstance(error, openai.BadRequestError)
    assert (error.code, error.param) == ("context_length_exceeded", "input")


def test_an_upstream_that_fails_is_an_internal_server_error():
    config = SimulatorConfig(always_fail=Failure(503, envelope="html"))
    with stage(config, **ALONE) as here, here.openai() as client:
        error = refused(client, model=MODEL, input="hi")
    assert isinstance(error, openai.InternalServerError)
    assert "<html" not in error.message


@pytest.mark.parametrize("cut", ["abrupt", "clean"])
def test_a_cut_stream_is_an_error_never_an_end(here, client, cut):
    here.script(*[Turn(text="one two three four", dialect=Dialect(cut_after=3, cut=cut))] * 3)
    stream = client.responses.create(model=MODEL, input="hi", stream=True)
    told = []
    with pytest.raises(openai.APIError, match=r"closed|broke|ended|cut"):
        told.extend(event.type for event in stream)
    assert "response.output_text.delta" in told
    assert "response.completed" not in told
    with pytest.raises(openai.APIError), client.responses.stream(model=MODEL, input="hi") as helper:
        helper.get_final_response()
    assert isinstance(refused(client, model=MODEL, input="hi"), openai.InternalServerError)


def test_an_error_within_the_stream_keeps_its_words_and_code(here, client):
    here.script(
        Turn(
            text="one two three",
            cut_after=2,
            error_in_stream={"error": {"message": "Out of luck.", "code": 503}},
        )
    )
    with pytest.raises(openai.APIError, match="Out of luck") as caught:
        list(client.responses.create(model=MODEL, input="hi", stream=True))
    assert caught.value.body["message"]


async def test_leaving_a_stream_closes_the_upstream(here, async_client):
    hold = Hold(after=5)
    here.script(Turn(text="one two three four five six seven eight nine ten", hold=hold))
    stream = await async_client.responses.create(model=MODEL, input="hi", stream=True)
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    received = await asyncio.wait_for(here.left(), PATIENCE)
    assert received.disconnected


async def test_cancelling_a_request_that_is_not_streamed_closes_the_upstream(here, async_client):
    hold = Hold(after=2)
    here.script(Turn(text="one two three four", hold=hold))
    asking = asyncio.create_task(async_client.responses.create(model=MODEL, input="hi"))
    await asyncio.wait_for(here.serving(), PATIENCE)
    asking.cancel()
    received = await asyncio.wait_for(here.left(), PATIENCE)
    assert received.disconnected


@pytest.fixture
def impatient():
    """A shim that repeats `response.in_progress` after the shortest silence."""
    with stage(keepalive_seconds=0.01) as opened:
        yield opened


def slow_turn():
    """A turn with a gate in its middle, and what it says."""
    hold = Hold(after=6)
    return Turn(reasoning="Well.", text="one two three four five six", hold=hold), hold


def test_repeated_heartbeats_do_not_disturb_the_stream_helper(impatient):
    turn, hold = slow_turn()
    impatient.script(turn)
    with impatient.openai() as client, client.responses.stream(model=MODEL, input="hi") as stream:
        beats, events = 0, []
        for event in stream:
            events.append(event)
            beats += event.type == "response.in_progress"
            if beats >= 5:
                hold.released.set()
        final = stream.get_final_response()
    assert beats >= 5
    assert final.output_text == turn.text
    assert [item.type for item in final.output] == ["reasoning", "message"]
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_repeated_heartbeats_do_not_disturb_the_async_helper_within_a_call(impatient):
    hold = Hold(after=4)
    impatient.script(Turn(calls=[Call("add", {"a": 1000, "b": 2000})], hold=hold))
    tool = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}
    async with (
        impatient.async_openai() as client,
        client.responses.stream(model=MODEL, input="hi", tools=[tool]) as stream,
    ):
        beats = 0
        async for event in stream:
            beats += event.type == "response.in_progress"
            if beats >= 5:
                hold.released.set()
        final = await stream.get_final_response()
    assert beats >= 5
    assert final.output[-1].arguments == '{"a": 1000, "b": 2000}'


def test_many_streams_at_once_do_not_mix(here, client):
    texts = {}

    def ask(number):
        with client.responses.stream(model=MODEL, input=f"say Number {number} and more words") as stream:
            texts[number] = stream.get_final_response().output_text

    threads = [threading.Thread(target=ask, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == {number: f"Number {number} and more words" for number in range(20)}
