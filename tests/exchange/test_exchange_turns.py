"""What a turn owes its client beyond the core's laws, through real sockets onto the simulator."""

from __future__ import annotations

import pytest

from shim.errors import ClientFault, UpstreamFault
from shim.exchange import Exchange
from shim.settings import Settings
from shim.simulator import DEFAULT_KEY, Dialect, Hold, SimulatorConfig, Turn, running
from shim.upstream import Upstream

TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}


async def answered(turn: Turn, key: str = DEFAULT_KEY, settings: dict | None = None, **asked):
    """The response of a scripted turn, or the fault it ended with; and the chat request."""
    async with running(SimulatorConfig(turns=[turn], keys=())) as simulator:
        configured = Settings(upstream=simulator.base_url, key=key, **(settings or {}))
        upstream = Upstream(configured)
        opened = await Exchange(configured, upstream).open(
            {"model": "code-prime", "input": "Hi", **asked}, key, "req_1"
        )
        try:
            return await opened.response(), simulator.journal.served[-1].body
        finally:
            await opened.aclose()
            await upstream.aclose()


@pytest.mark.parametrize("filler", ["", "x" * 1985])
async def test_a_key_that_the_upstream_echoes_within_its_stream_reaches_no_client(filler):
    key = "sk-secret-0123456789"
    said = {"error": {"message": f"{filler} Incorrect API key provided: {key}"}}
    with pytest.raises(UpstreamFault) as caught:
        await answered(Turn(text="a", error_in_stream=said), key)
    assert "sk-sec" not in caught.value.message


async def test_a_fault_of_the_request_told_within_the_stream_is_final():
    said = {"error": {"message": "Invalid schema", "type": "invalid_request_error"}}
    with pytest.raises(ClientFault) as caught:
        await answered(Turn(error_in_stream=said))
    assert caught.value.response_code == "invalid_prompt"


@pytest.mark.parametrize(
    "choice",
    ["none", {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]}],
)
async def test_a_call_left_in_the_text_is_a_call_only_of_a_function_that_may_be_called(choice):
    written = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    response, _ = await answered(Turn(text=written), tools=[TOOL, {**TOOL, "name": "g"}], tool_choice=choice)
    assert [item["type"] for item in response["output"]] == ["message"]
    assert response["output"][0]["content"][0]["text"] == written


async def test_an_answer_whose_finish_and_usage_are_in_is_complete_although_the_body_never_ends():
    silent = Turn(text="done", dialect=Dialect(done_marker=False), hold=Hold(after=1000))
    response, _ = await answered(silent)
    assert response["status"] == "completed"


async def test_a_configured_default_model_stands_for_the_openai_families_under_every_profile():
    _, chat = await answered(
        Turn(text="a"), settings={"profile": "vllm", "default_model": "text-max"}, model="gpt-4.1"
    )
    assert chat["model"] == "text-max"
