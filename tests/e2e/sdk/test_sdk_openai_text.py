"""`openai` for Python: text, reasoning, formats, models, and the pass-through."""

from __future__ import annotations

import json

import pytest
from openai import BadRequestError
from pydantic import BaseModel
from sdk_stage import MODEL, PIXEL, SEEING_MODEL, by_type, replayed

from shim.simulator import Turn

pytestmark = pytest.mark.e2e


class Weather(BaseModel):
    city: str
    degrees: int


FORMAT = {
    "type": "json_schema",
    "name": "weather",
    "schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
        "required": ["city", "degrees"],
        "additionalProperties": False,
    },
    "strict": True,
}
SAID = Turn(reasoning="Because.", text='{"city": "Oslo", "degrees": 4}')


def without_accidents(response):
    """A response without what differs from one request to the next."""
    dumped = response.model_dump(mode="json", exclude_none=True)
    for name in ("id", "created_at", "completed_at", "parsed"):
        dumped.pop(name, None)
    for item in dumped["output"]:
        item.pop("id")
        item.pop("parsed_arguments", None)
        for part in item.get("content", ()):
            part.pop("parsed", None)
    dumped.pop("usage")
    return dumped


def test_create_gives_the_text_and_counts_tokens(here, client):
    response = client.responses.create(model=MODEL, instructions="Be brief.", input="say Hello there")
    assert response.output_text == "Hello there"
    assert response.status == "completed"
    assert response.model == MODEL
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0
    assert response.usage.output_tokens_details.reasoning_tokens > 0
    assert here.asked["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "say Hello there"},
    ]


def test_every_answer_has_a_request_id(client):
    response = client.responses.create(model=MODEL, input="say Hello")
    assert response._request_id.startswith("req_")


async def test_the_async_client_creates_and_streams_the_same_text(async_client):
    created = await async_client.responses.create(model=MODEL, input="words 30")
    stream = await async_client.responses.create(model=MODEL, input="words 30", stream=True)
    events = [event async for event in stream]
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == created.output_text == events[-1].response.output_text
    assert without_accidents(events[-1].response) == without_accidents(created)


def test_a_stream_numbers_its_events_and_ends_with_the_whole_response(client):
    events = list(client.responses.create(model=MODEL, input="words 30", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert events[-1].response.output_text == text


def test_the_stream_helper_ends_with_what_create_gives(client):
    created = client.responses.create(model=MODEL, input="words 30")
    with client.responses.stream(model=MODEL, input="words 30") as stream:
        final = stream.get_final_response()
    assert without_accidents(final) == without_accidents(created)


async def test_the_async_stream_helper_keeps_snapshots(async_client):
    async with async_client.responses.stream(model=MODEL, input="words 5") as stream:
        snapshots = [event.snapshot async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert snapshots[-1] == final.output_text == "word1 word2 word3 word4 word5"


def test_parse_gives_an_instance_of_the_model_class(here, client):
    response = client.responses.parse(model=MODEL, input="Weather?", text_format=Weather)
    assert isinstance(response.output_parsed, Weather)
    assert here.asked["response_format"]["json_schema"]["strict"] is True


def test_the_stream_helper_parses_into_a_model_class(here, client):
    here.script(SAID)
    with client.responses.stream(model=MODEL, input="Weather?", text_format=Weather) as stream:
        done = [event for event in stream if event.type == "response.output_text.done"]
        final = stream.get_final_response()
    assert final.output_parsed == done[0].parsed == Weather(city="Oslo", degrees=4)


def test_a_json_schema_as_a_dictionary_reaches_the_model(here, client):
    here.script(SAID)
    response = client.responses.create(model=MODEL, input="Weather?", text={"format": FORMAT})
    assert json.loads(response.output_text) == {"city": "Oslo", "degrees": 4}
    sent = here.asked["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["schema"] == FORMAT["schema"]
    assert response.text.format.schema_ == FORMAT["schema"]


def test_a_summary_of_reasoning_is_given_where_one_is_asked_for(here, client):
    here.script(SAID)
    response = client.responses.create(
        model=MODEL, input="Why?", reasoning={"effort": "low", "summary": "auto"}
    )
    [reasoning] = by_type(response)["reasoning"]
    assert [part.text for part in reasoning.summary] == ["Because."]
    assert here.asked["reasoning_effort"] == "low"


def test_a_streamed_summary_is_told_in_deltas(here, client):
    here.script(Turn(reasoning="One thing leads to another.", text="So."))
    with client.responses.stream(model=MODEL, input="Why?", reasoning={"summary": "auto"}) as stream:
        told = [event.delta for event in stream if event.type == "response.reasoning_summary_text.delta"]
        final = stream.get_final_response()
    assert len(told) > 1
    assert "".join(told) == final.output[0].summary[0].text == "One thing leads to another."


def test_reasoning_text_is_told_in_deltas_where_no_summary_is_asked_for(here, client):
    here.script(Turn(reasoning="One thing leads to another.", text="So."))
    with client.responses.stream(model=MODEL, input="Why?") as stream:
        told = [event.delta for event in stream if event.type == "response.reasoning_text.delta"]
        final = stream.get_final_response()
    assert "".join(told) == final.output[0].content[0].text == "One thing leads to another."
    assert final.output[0].summary == []


def test_sealed_reasoning_comes_back_as_reasoning_in_the_same_tool_loop(here, client):
    options = {
        "model": MODEL,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"summary": "auto"},
        "tools": [{"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}],
    }
    asked = [{"role": "user", "content": "think The secret thought.\ncall look {}"}]
    first = client.responses.create(input=asked, **options)
    [reasoning] = by_type(first)["reasoning"]
    assert "secret" not in reasoning.encrypted_content
    [call] = by_type(first)["function_call"]
    items = [
        {
            "type": "reasoning",
            "summary": [],
            "id": reasoning.id,
            "encrypted_content": reasoning.encrypted_content,
        },
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "a tree"},
    ]
    second = client.responses.create(input=[*asked, *items], **options)
    assert second.output_text == "look answered: a tree"
    assistant = here.asked["messages"][1]
    assert assistant["reasoning_content"] == "The secret thought."


def test_a_conversation_goes_on_with_the_output_as_input(here, client):
    history = [{"role": "user", "content": "say Blue."}]
    first = client.responses.create(model=MODEL, input=history)
    history += [*replayed(first), {"role": "user", "content": "say Green."}]
    second = client.responses.create(model=MODEL, input=history)
    assert second.output_text == "Green."
    roles = [(message["role"], message["content"]) for message in here.asked["messages"]]
    assert roles == [("user", "say Blue."), ("assistant", "Blue."), ("user", "say Green.")]


def test_logprobs_are_given_with_the_text_and_in_the_stream(client):
    options = {
        "model": MODEL,
        "input": "words 3",
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
    }
    response = client.responses.create(**options)
    [part] = by_type(response)["message"][0].content
    assert "".join(one.token for one in part.logprobs) == part.text
    assert all(len(one.top_logprobs) == 2 for one in part.logprobs)
    with client.responses.stream(**options) as stream:
        told = [
            one for event in stream if event.type == "response.output_text.delta" for one in event.logprobs
        ]
        final = stream.get_final_response()
    assert [one.token for one in told] == [one.token for one in part.logprobs]
    assert final.output[-1].content[0].logprobs == part.logprobs


def test_a_refusal_is_a_part_of_its_own_and_parses_to_nothing(client):
    response = client.responses.parse(model=MODEL, input="refuse I will not.", text_format=Weather)
    [part] = by_type(response)["message"][0].content
    assert (part.type, part.refusal) == ("refusal", "I will not.")
    assert response.output_parsed is None
    assert response.output_text == ""
    with client.responses.stream(model=MODEL, input="refuse I will not.") as stream:
        told = [event.delta for event in stream if event.type == "response.refusal.delta"]
        assert stream.get_final_response().output[-1].content[0].refusal == "".join(told) == "I will not."


def test_what_a_limit_cut_is_incomplete(client):
    response = client.responses.create(model=MODEL, input="words 100", max_output_tokens=40)
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage.output_tokens == 40
    assert response.output[-1].status == "incomplete"


def test_the_stream_helper_tells_of_an_incomplete_response_but_has_no_final_one(client):
    with client.responses.stream(model=MODEL, input="words 100", max_output_tokens=40) as stream:
        last = list(stream)[-1]
        assert (last.type, last.response.status) == ("response.incomplete", "incomplete")
        with pytest.raises(RuntimeError, match=r"response\.completed"):
            stream.get_final_response()


def test_an_image_reaches_a_model_that_sees(here, client):
    content = [
        {"type": "input_text", "text": "say A pixel."},
        {"type": "input_image", "image_url": PIXEL, "detail": "low"},
    ]
    response = client.responses.create(model=SEEING_MODEL, input=[{"role": "user", "content": content}])
    assert response.output_text == "A pixel."
    assert here.asked["messages"][0]["content"] == [
        {"type": "text", "text": "say A pixel."},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
    ]


def test_an_image_for_a_model_that_does_not_see_is_refused_before_it_costs(here, client):
    content = [{"type": "input_image", "image_url": PIXEL, "detail": "auto"}]
    with pytest.raises(BadRequestError) as caught:
        client.responses.create(model=MODEL, input=[{"role": "user", "content": content}])
    assert caught.value.param == "input[0].content[0]"
    assert here.served == []


def test_a_name_built_into_a_tool_stands_for_the_default_instrument(here, client):
    response = client.responses.create(model="gpt-5.1", input="say Hello")
    assert (response.model, here.asked["model"]) == ("gpt-5.1", MODEL)


def test_models_are_listed_and_retrieved(client):
    names = [model.id for model in client.models.list()]
    assert MODEL in names
    assert client.models.retrieve(MODEL).object == "model"


def test_chat_completions_pass_through_with_the_same_client(client):
    messages = [{"role": "user", "content": "say Straight through."}]
    whole = client.chat.completions.create(model=MODEL, messages=messages)
    assert whole.choices[0].message.content == "Straight through."
    stream = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Straight through."
