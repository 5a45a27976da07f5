"""The official Python SDK's `responses.connect`, sync and async, on the endpoint."""

import asyncio

import pytest
from endpoint import MODEL
from openai import AsyncOpenAI, OpenAI
from openai.types.responses.responses_server_event import (
    ResponseSteerFailedEvent,
    ResponseTextWsDelta,
    ResponseWsCompleted,
    ResponseWsCreated,
    ResponseWsError,
)
from waiting import soon
from websocket_stage import stage

from shim.simulator import Call, Failure, Turn

WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GRID_SHIM_CONFIG", str(tmp_path / "none.toml"))
    for name in ("THEGRID_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def options(here):
    return {"base_url": f"http://{here.address}/v1", "api_key": "any", "max_retries": 0}


async def turn(connection, **request):
    """Ask, and every event up to the completed one."""
    await connection.response.create(model=MODEL, store=False, **request)
    events = [await soon(connection.recv())]
    while not isinstance(events[-1], ResponseWsCompleted):
        events.append(await soon(connection.recv()))
    return events


async def test_an_asynchronous_connection_runs_a_tool_loop():
    async with stage() as here, AsyncOpenAI(**options(here)) as client:
        here.grid.turns.extend([Turn(calls=[Call("weather", {"city": "Rome"})]), Turn(text="Sunny.")])
        async with client.responses.connect() as connection:
            first = (await turn(connection, input="Weather in Rome?", tools=[WEATHER]))[-1].response
            call = first.output[0]
            assert (call.type, call.name) == ("function_call", "weather")

            output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
            events = await turn(connection, input=[output], tools=[WEATHER], previous_response_id=first.id)
    assert isinstance(events[0], ResponseWsCreated)
    assert "".join(each.delta for each in events if isinstance(each, ResponseTextWsDelta)) == "Sunny."
    assert events[-1].response.output_text == "Sunny."
    assert [message["role"] for message in here.asked] == ["user", "assistant", "tool"]


async def test_a_synchronous_connection_takes_turn_after_turn():
    def converse(here):
        with OpenAI(**options(here)) as client, client.responses.connect() as connection:
            previous, texts = None, []
            for text in ("say one", "say two", "say three"):
                connection.response.create(
                    model=MODEL, input=text, store=False, previous_response_id=previous
                )
                for event in connection:
                    if isinstance(event, ResponseWsCompleted):
                        break
                previous = event.response.id
                texts.append(event.response.output_text)
            return texts

    async with stage() as here:
        assert await soon(asyncio.to_thread(converse, here)) == ["one", "two", "three"]


async def test_lanes_come_back_as_the_sdk_named_them():
    async with (
        stage() as here,
        AsyncOpenAI(**options(here)) as client,
        client.responses.connect() as connection,
    ):
        events = await turn(connection, input="say one", stream_id="research")
    assert {event.stream_id for event in events} == {"research"}


async def test_an_error_has_the_sdks_shape_and_the_connection_goes_on():
    async with (
        stage() as here,
        AsyncOpenAI(**options(here)) as client,
        client.responses.connect() as connection,
    ):
        await turn(connection, input="say one")
        here.grid.config.fail_first.append(Failure(429, retry_after=3))
        await connection.response.create(model=MODEL, input="say two")
        error = await soon(connection.recv())
        assert isinstance(error, ResponseWsError)
        assert (error.status, error.error.headers) == (429, {"retry-after": "3"})
        assert (await turn(connection, input="say three"))[-1].response.output_text == "three"


async def test_steering_fails_as_the_sdk_expects_it():
    async with (
        stage() as here,
        AsyncOpenAI(**options(here)) as client,
        client.responses.connect() as connection,
    ):
        await connection.response.steer(input="left", previous_response_id="resp_1")
        failed = await soon(connection.recv())
    assert isinstance(failed, ResponseSteerFailedEvent)
    assert (failed.error.code, failed.steer.input) == ("steering_not_supported", "left")
