"""`openai-agents` for Python: agents with tools, handoffs, structured output, and streamed runs.

This SDK sends every field, `tools: []` included, and takes `response.incomplete` for an error.
"""

from __future__ import annotations

import agents
import pytest
from agents import Agent, ModelSettings, OpenAIResponsesModel, RunConfig, Runner, function_tool, handoff
from openai.types.shared import Reasoning
from pydantic import BaseModel
from sdk_stage import MODEL, stage

from shim.simulator import Call, Hold, Turn

pytestmark = pytest.mark.e2e


class Verdict(BaseModel):
    guilty: bool
    reason: str


@function_tool
def add(a: int, b: int) -> str:
    """Adds two numbers."""
    return str(a + b)


@function_tool
def broken() -> str:
    """Does not work."""
    raise ValueError("out of order")


@pytest.fixture
def quiet():
    """A run without traces, which would go to OpenAI."""
    return RunConfig(tracing_disabled=True)


@pytest.fixture
def model(async_client):
    return OpenAIResponsesModel(model=MODEL, openai_client=async_client)


async def test_an_agent_runs_its_function_and_answers(here, model, quiet):
    agent = Agent(name="Sums", instructions="Add.", model=model, tools=[add])
    result = await Runner.run(agent, 'call add {"a": 2, "b": 3}', run_config=quiet)
    assert result.final_output == "add answered: 5"
    assert here.asked["messages"][0] == {"role": "system", "content": "Add."}
    assert [message["role"] for message in here.asked["messages"]] == ["system", "user", "assistant", "tool"]


async def test_parallel_and_failing_functions_are_answered_in_one_turn(here, model, quiet):
    agent = Agent(name="Sums", model=model, tools=[add, broken])
    result = await Runner.run(agent, 'call add {"a": 2, "b": 3}\ncall broken {}', run_config=quiet)
    assert "add answered: 5" in result.final_output
    assert "broken answered: An error occurred" in result.final_output
    assert [message["role"] for message in here.asked["messages"]][-3:] == ["assistant", "tool", "tool"]


async def test_an_agent_goes_on_with_the_history_of_a_run(here, model, quiet):
    agent = Agent(name="Sums", model=model, tools=[add])
    first = await Runner.run(agent, 'call add {"a": 2, "b": 3}', run_config=quiet)
    second = await Runner.run(
        agent, [*first.to_input_list(), {"role": "user", "content": "say Anything else?"}], run_config=quiet
    )
    assert second.final_output == "Anything else?"
    assert [message["role"] for message in here.asked["messages"]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]


async def test_an_agent_hands_over_to_another(here, model, quiet):
    chemist = Agent(name="Chemist", instructions="You are a chemist.", model=model)
    porter = Agent(name="Porter", instructions="You hand over.", model=model, handoffs=[handoff(chemist)])
    result = await Runner.run(porter, "call transfer_to_chemist {}", run_config=quiet)
    assert result.last_agent is chemist
    assert here.asked["messages"][0]["content"] == "You are a chemist."
    assert "tools" not in here.asked


async def test_an_agents_output_is_an_instance_of_its_class(here, model, quiet):
    agent = Agent(name="Judge", model=model, output_type=Verdict)
    here.script(Turn(text='{"guilty": false, "reason": "an alibi"}'))
    result = await Runner.run(agent, "Well?", run_config=quiet)
    assert result.final_output == Verdict(guilty=False, reason="an alibi")
    assert here.asked["response_format"]["json_schema"]["strict"] is True


async def test_an_output_class_and_tools_work_together(here, model, quiet):
    agent = Agent(name="Judge", model=model, output_type=Verdict, tools=[add])
    here.script(
        Turn(reasoning="First count.", calls=[Call("add", {"a": 1, "b": 1})]),
        Turn(text='{"guilty": true, "reason": "2"}'),
    )
    result = await Runner.run(agent, "Well?", run_config=quiet)
    assert result.final_output == Verdict(guilty=True, reason="2")


async def test_a_streamed_run_tells_text_and_tools_as_they_come(model, quiet):
    agent = Agent(name="Sums", model=model, tools=[add])
    run = Runner.run_streamed(agent, 'call add {"a": 20, "b": 3}', run_config=quiet)
    items, text = [], ""
    async for event in run.stream_events():
        if event.type == "run_item_stream_event":
            items.append(event.item.type)
        elif event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            text += event.data.delta
    assert run.final_output == text == "add answered: 23"
    assert [kind for kind in items if kind != "reasoning_item"] == [
        "tool_call_item",
        "tool_call_output_item",
        "message_output_item",
    ]


async def test_a_streamed_run_survives_heartbeats(quiet):
    hold = Hold(after=4)
    with stage(keepalive_seconds=0.01) as here:
        here.script(Turn(text="one two three four five six", hold=hold))
        async with here.async_openai() as client:
            agent = Agent(name="Slow", model=OpenAIResponsesModel(model=MODEL, openai_client=client))
            run = Runner.run_streamed(agent, "hi", run_config=quiet)
            beats = 0
            async for event in run.stream_events():
                if event.type == "raw_response_event" and event.data.type == "response.in_progress":
                    beats += 1
                    if beats >= 5:
                        hold.released.set()
    assert beats >= 5
    assert run.final_output == "one two three four five six"


async def test_reasoning_settings_give_a_reasoning_item_with_a_summary(here, model, quiet):
    settings = ModelSettings(
        reasoning=Reasoning(effort="high", summary="auto"),
        store=False,
        response_include=["reasoning.encrypted_content"],
    )
    agent = Agent(name="Thinker", model=model, model_settings=settings, tools=[add])
    result = await Runner.run(agent, 'think Slowly.\ncall add {"a": 1, "b": 1}', run_config=quiet)
    reasoning = next(item.raw_item for item in result.new_items if item.type == "reasoning_item")
    assert reasoning.summary[0].text == "Slowly."
    assert reasoning.encrypted_content
    assert here.asked["messages"][1]["reasoning_content"] == "Slowly."
    assert here.asked["reasoning_effort"] == "high"


async def test_a_forced_tool_is_called_first(here, model, quiet):
    settings = ModelSettings(tool_choice="add", parallel_tool_calls=False)
    agent = Agent(name="Sums", model=model, model_settings=settings, tools=[add, broken])
    result = await Runner.run(agent, "say Whatever.", run_config=quiet)
    assert result.final_output == "Whatever."
    assert here.served[0].body["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert here.served[0].body["parallel_tool_calls"] is False


async def test_agents_take_the_shim_as_their_default_client(here, async_client, quiet):
    agents.set_default_openai_client(async_client, use_for_tracing=False)
    try:
        result = await Runner.run(Agent(name="Plain", model=MODEL), "say Hello", run_config=quiet)
    finally:
        agents.set_default_openai_client(None, use_for_tracing=False)
    assert result.final_output == "Hello"


async def test_what_a_limit_cut_ends_a_run_with_an_error(model, quiet):
    agent = Agent(name="Brief", model=model, model_settings=ModelSettings(max_tokens=20))
    with pytest.raises(agents.AgentsException, match="incomplete"):
        await Runner.run(agent, "words 100", run_config=quiet)
