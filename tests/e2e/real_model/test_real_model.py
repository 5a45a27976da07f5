"""A real model through the shim: what it says is its own affair, that it comes through whole is ours.

At temperature 0 the same prompt gives the same answer as long as the upstream computes it in the same way: each
comparison asks once before, since a prompt that is cached is computed a little differently from a new one.
"""

from __future__ import annotations

import json

import agents
import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from shim.cli.local_model import CONTEXT_TOKENS, MODEL

pytestmark = pytest.mark.e2e

SUM = "What is 2 + 2?"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}


class Person(BaseModel):
    name: str
    age: int


def create(client, **request):
    return client.responses.create(**{"model": MODEL, "temperature": 0, **request})


def reasoning_of(response):
    return "".join(
        part.text for item in response.output if item.type == "reasoning" for part in item.content or []
    )


def test_text_and_reasoning_are_what_the_chat_endpoint_says(client):
    create(client, input=SUM)
    response = create(client, input=SUM)
    chat = client.chat.completions.create(
        model=MODEL, temperature=0, messages=[{"role": "user", "content": SUM}]
    )
    assert response.status == "completed"
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output_text == chat.choices[0].message.content
    assert reasoning_of(response) == chat.choices[0].message.reasoning_content
    assert response.usage.output_tokens == chat.usage.completion_tokens


def test_a_stream_says_the_same_as_the_whole_response(client):
    create(client, input=SUM)
    whole = create(client, input=SUM)
    with client.responses.stream(model=MODEL, temperature=0, input=SUM) as stream:
        texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert len(texts) > 1
    assert final.output_text == "".join(texts) == whole.output_text
    assert reasoning_of(final) == reasoning_of(whole)
    assert final.usage.output_tokens == whole.usage.output_tokens


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "get_weather"}])
def test_a_forced_tool_call_names_the_tool_and_fills_its_arguments(client, choice):
    other = {**WEATHER, "name": "get_time"}
    tools = [WEATHER] if choice == "required" else [other, WEATHER]
    with client.responses.stream(
        model=MODEL, temperature=0, input="Weather in Paris, please.", tools=tools, tool_choice=choice
    ) as stream:
        deltas = [event.delta for event in stream if event.type == "response.function_call_arguments.delta"]
        final = stream.get_final_response()
    [call] = [item for item in final.output if item.type == "function_call"]
    assert call.name == "get_weather"
    assert "".join(deltas) == call.arguments
    assert isinstance(json.loads(call.arguments)["city"], str)


def test_a_tools_output_leads_to_an_answer(client):
    items = [{"role": "user", "content": "Weather in Paris, please."}]
    first = create(client, input=items, tools=[WEATHER], tool_choice="required")
    [call] = [item for item in first.output if item.type == "function_call"]
    items += [item.model_dump(exclude_none=True) for item in first.output]
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "Sunny, 20 degrees."})
    second = create(client, input=items, tools=[WEATHER])
    assert "Sunny" in second.output_text


def test_a_custom_tool_gets_its_text(client):
    tool = {"type": "custom", "name": "shout", "description": "Shouts a word."}
    response = create(client, input="Use shout for hello, please.", tools=[tool], tool_choice="required")
    [call] = [item for item in response.output if item.type == "custom_tool_call"]
    assert call.name == "shout"
    assert call.input
    assert not call.input.startswith("{")


def test_a_json_schema_gives_an_instance_of_the_model_class(client):
    response = client.responses.parse(
        model=MODEL, temperature=0, input="Bob is 42 years old.", text_format=Person, max_output_tokens=200
    )
    assert response.output_parsed == Person(name="Bob", age=42)


def test_reasoning_is_told_as_a_summary_where_one_is_asked_for(client):
    options = {"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"], "store": False}
    with client.responses.stream(model=MODEL, temperature=0, input=SUM, **options) as stream:
        told = [event.delta for event in stream if event.type == "response.reasoning_summary_text.delta"]
        reasoning, *_ = stream.get_final_response().output
    assert len(told) > 1
    assert reasoning.type == "reasoning"
    assert reasoning.summary[0].text == "".join(told)
    assert reasoning.encrypted_content


def test_logprobs_spell_the_text(client):
    response = create(client, input=SUM, include=["message.output_text.logprobs"], top_logprobs=2)
    [part] = response.output[-1].content
    assert part.text in "".join(one.token for one in part.logprobs)
    assert all(len(one.top_logprobs) == 2 for one in part.logprobs)


def test_what_a_limit_cut_is_incomplete(client):
    response = create(client, input=SUM, max_output_tokens=16)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.usage.output_tokens == 16


def test_a_full_context_has_its_own_code(client):
    with pytest.raises(openai.BadRequestError) as caught:
        create(client, input="word " * (CONTEXT_TOKENS + 1000))
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")


async def test_an_agent_runs_its_function(real_model):
    asked = []

    @agents.function_tool
    def get_weather(city: str) -> str:
        """Tells the weather."""
        asked.append(city)
        return "Sunny, 20 degrees."

    async with AsyncOpenAI(base_url=real_model.base_url, api_key="any", max_retries=0) as client:
        agent = agents.Agent(
            name="Weather",
            model=agents.OpenAIResponsesModel(model=MODEL, openai_client=client),
            model_settings=agents.ModelSettings(tool_choice="required", temperature=0),
            tools=[get_weather],
        )
        quiet = agents.RunConfig(tracing_disabled=True)
        result = await agents.Runner.run(agent, "Weather in Paris, please.", run_config=quiet)
    assert len(asked) == 1
    assert result.final_output
