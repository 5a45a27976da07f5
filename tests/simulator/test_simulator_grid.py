"""The Grid itself: keys, instruments, redirects, faults, the journal."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from simulator_requests import AUTHORIZATION, chat, events, streamed, user

from shim.simulator import Dialect, Failure, Hold, SimulatorConfig, Turn, key_hash, run_in_thread, running

NINE = {f"{kind}-{tier}" for kind in ("text", "code", "agent") for tier in ("standard", "prime", "max")}


async def test_the_catalogue_is_public_and_lists_the_nine_instruments():
    async with running() as simulator, httpx.AsyncClient(verify=False) as anonymous:
        body = (await anonymous.get(f"{simulator.base_url}/models")).json()
    assert body["object"] == "list"
    assert {entry["id"] for entry in body["data"]} >= NINE | {"claude-opus-latest", "kimi-latest"}


@pytest.mark.parametrize(
    ("instrument", "output", "efforts"),
    [
        ("code-standard", 65_536, ["low", "medium", "high"]),
        ("agent-prime", 131_072, ["low", "medium", "high"]),
        ("text-max", 128_000, ["none", "low", "medium", "high", "xhigh", "max"]),
    ],
)
async def test_an_instrument_tells_its_limits_and_reasoning_efforts(client, instrument, output, efforts):
    async with running() as simulator:
        entry = (await client.get(f"{simulator.base_url}/models/{instrument}")).json()
    assert entry["max_completion_tokens"] == output
    assert entry["reasoning"] == {"supported_efforts": efforts}


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer wrong", "Bearer trading-key", "consumption-key"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/r/v1/chat/completions"])
async def test_a_wrong_key_gets_401_at_both_hops(value, path):
    async with running() as simulator, httpx.AsyncClient(verify=False) as anonymous:
        url = simulator.base_url.removesuffix("/v1") + path
        response = await anonymous.post(url, json=chat(), headers={"authorization": value})
    assert response.status_code == 401
    assert "Consumption" in response.json()["errors"]["detail"]


async def test_a_trading_key_is_refused_even_when_every_key_is_accepted(client):
    async with running(SimulatorConfig(keys=(), redirect="none")) as simulator:
        url = f"{simulator.base_url}/chat/completions"
        other = await client.post(url, json=chat(), headers={"authorization": "Bearer any"})
        trading = await client.post(url, json=chat(), headers={"authorization": "Bearer trading-any"})
    assert (other.status_code, trading.status_code) == (200, 401)


async def test_the_front_door_redirects_to_the_same_origin_with_an_empty_body(client):
    async with running() as simulator:
        response = await client.post(f"{simulator.base_url}/chat/completions", json=chat())
    assert response.status_code == 307
    assert response.content == b""
    assert response.headers["location"] == simulator.base_url.replace("/v1", "/r/v1") + "/chat/completions"


@pytest.mark.parametrize("status", [307, 308])
async def test_the_redirected_request_is_answered_by_the_served_model(post, status):
    async with running(SimulatorConfig(redirect_status=status)) as simulator:
        response = await post(simulator, chat())
    assert response.json()["model"] == "openai/gpt-oss-120b"
    assert [received.status for received in simulator.journal] == [status, 200]
    assert [received.hop for received in simulator.journal] == ["front", "supplier"]


async def test_a_redirect_can_lead_to_another_port(post):
    async with running(SimulatorConfig(redirect="port")) as simulator:
        response = await post(simulator, chat())
    assert str(response.url) == simulator.supplier_base_url.replace("/v1", "/r/v1") + "/chat/completions"
    assert simulator.journal[0].headers["host"] != simulator.journal[1].headers["host"]


async def test_a_redirect_can_lead_to_a_configured_url(client):
    config = SimulatorConfig(redirect="port", redirect_url="https://supplier.example/v1/chat/completions")
    async with running(config) as simulator:
        response = await client.post(f"{simulator.base_url}/chat/completions", json=chat())
    assert response.headers["location"] == config.redirect_url


async def test_a_redirect_can_be_relative(client):
    async with running(SimulatorConfig(relative_location=True)) as simulator:
        response = await client.post(f"{simulator.base_url}/chat/completions", json=chat())
    assert response.headers["location"] == "/r/v1/chat/completions"


async def test_a_redirect_loop_never_reaches_a_supplier(post):
    async with running(SimulatorConfig(redirect="loop")) as simulator:
        with pytest.raises(httpx.TooManyRedirects):
            await post(simulator, chat(), follow_redirects=True)
    assert simulator.journal.served == []
    assert {received.hop for received in simulator.journal} == {"front", "supplier"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/v1/chat/completions", 404),
        ("GET", "/v1/models/x", 404),
    ],
)
async def test_a_wrong_path_or_method_gets_the_grids_envelope(client, method, path, status):
    async with running() as simulator:
        response = await client.request(method, simulator.base_url.removesuffix("/v1") + path)
    assert response.status_code == status
    assert isinstance(response.json()["errors"]["detail"], str)
    assert simulator.journal[-1].status == status


async def test_a_model_name_in_place_of_an_instrument_gets_404_before_the_redirect(client):
    async with running() as simulator:
        response = await client.post(
            f"{simulator.base_url}/chat/completions", json={**chat(), "model": "gpt-4o"}
        )
    assert response.status_code == 404
    assert "gpt-4o" in response.json()["errors"]["detail"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": NaN}', b'"text"'])
async def test_a_body_that_is_no_json_object_gets_400(client, content):
    async with running() as simulator:
        url = f"{simulator.base_url}/chat/completions"
        response = await client.post(url, content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert simulator.journal[0].raw == content


async def test_half_a_surrogate_pair_gets_400(client):
    content = b'{"model": "text-max", "messages": [{"role": "user", "content": "\\ud83d"}]}'
    async with running() as simulator:
        url = f"{simulator.base_url}/chat/completions"
        response = await client.post(url, content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400


async def test_first_faults_cost_one_request_each_and_pass(post):
    config = SimulatorConfig(fail_first=[402, Failure(429, retry_after=7), 503])
    async with running(config) as simulator:
        answers = [await post(simulator, chat()) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [402, 429, 503, 200]
    assert answers[1].headers["retry-after"] == "7"
    assert "consumption tokens" in answers[0].json()["errors"]["detail"]


async def test_a_permanent_fault_stays(post):
    async with running(SimulatorConfig(always_fail=503)) as simulator:
        assert [(await post(simulator, chat())).status_code for _ in range(3)] == [503, 503, 503]


@pytest.mark.parametrize("redirect", ["none", "path"])
async def test_a_fault_at_the_supplier_waits_for_the_second_hop(post, redirect):
    failure = Failure(500, detail="boom", at="supplier")
    async with running(SimulatorConfig(fail_first=[failure], redirect=redirect)) as simulator:
        assert (await post(simulator, chat())).status_code == 500
        assert (await post(simulator, chat())).status_code == 200


@pytest.mark.parametrize(
    ("envelope", "kind", "text"),
    [
        ("grid", "application/json", '{"errors": {"detail": "slow down"}}'),
        ("openai", "application/json", '"error": {"message": "slow down", "type": "rate_limit_error"'),
        ("plain", "text/plain; charset=utf-8", "slow down"),
        ("html", "text/html", "<title>429 slow down</title>"),
    ],
)
async def test_a_suppliers_error_has_the_configured_envelope(post, envelope, kind, text):
    config = SimulatorConfig(envelope=envelope, fail_first=[Failure(429, detail="slow down", at="supplier")])
    async with running(config) as simulator:
        response = await post(simulator, chat())
    assert response.headers["content-type"] == kind
    assert text in response.text


@pytest.mark.parametrize("config", [{"fail_first": [0]}, {"turns": [Turn(reset=True)]}])
async def test_a_connection_can_be_reset_before_the_headers(post, config):
    async with running(SimulatorConfig(**config)) as simulator:
        with pytest.raises(httpx.NetworkError):
            await post(simulator, streamed())
        assert (await post(simulator, streamed())).status_code == 200


@pytest.mark.parametrize(
    ("wording", "words"),
    [
        ("openai", "maximum context length is 50 tokens"),
        ("vllm", "in the completion"),
        ("llama_cpp", "exceeds the available context size"),
        ("anthropic", "prompt is too long"),
        ("gemini", "input token count"),
        ("openrouter", "endpoint's maximum context length"),
        ("moonshot", "exceeded model token limit"),
        ("plain", "too long"),
    ],
)
async def test_a_full_context_is_told_in_the_suppliers_words(post, wording, words):
    async with running(SimulatorConfig(context_limit=50, overflow_wording=wording)) as simulator:
        response = await post(simulator, chat("word " * 100))
        assert (await post(simulator, chat())).status_code == 200
    assert response.status_code == 400
    assert words in response.text


async def test_an_image_in_a_data_url_does_not_fill_the_context(post):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    body = {"model": "claude-opus-latest", "messages": [user([image])]}
    async with running(SimulatorConfig(context_limit=100)) as simulator:
        assert (await post(simulator, body)).status_code == 200


async def test_the_journal_holds_bodies_and_headers_but_no_key(post):
    async with running() as simulator:
        await post(simulator, chat("remember me"), headers={"x-extra": "1"})
    received = simulator.journal.served[0]
    assert received.body == chat("remember me")
    assert b"remember me" in received.raw
    assert received.headers["x-extra"] == "1"
    assert received.headers["authorization"] == key_hash(AUTHORIZATION)
    assert "consumption-key" not in repr(simulator.journal)


async def test_a_client_that_leaves_during_the_stream_is_noticed(client):
    hold = Hold(after=2)
    async with running(
        SimulatorConfig(redirect="none", turns=[Turn(text="a b c d", hold=hold)])
    ) as simulator:
        async with client.stream(
            "POST", f"{simulator.base_url}/chat/completions", json=streamed()
        ) as response:
            await anext(response.aiter_bytes())
        await simulator.journal[0].wait_ended()
    assert simulator.journal[0].disconnected
    assert simulator.journal[0].chunks_sent == 2


async def test_a_client_that_leaves_before_the_headers_is_noticed(client):
    hold = Hold(after=None)
    async with running(SimulatorConfig(redirect="none", turns=[Turn(text="late", hold=hold)])) as simulator:
        asking = asyncio.create_task(client.post(f"{simulator.base_url}/chat/completions", json=streamed()))
        await simulator.journal.wait_for(1)
        asking.cancel()
        await simulator.journal[0].wait_ended()
    assert simulator.journal[0].disconnected
    assert simulator.journal[0].status is None


async def test_a_client_that_stays_is_not_called_disconnected(post):
    async with running() as simulator:
        await post(simulator, streamed())
    assert [received.disconnected for received in simulator.journal] == [False, False]


async def test_a_held_stream_goes_on_when_released(client):
    hold = Hold(after=1)
    async with running(SimulatorConfig(redirect="none", turns=[Turn(text="go on", hold=hold)])) as simulator:
        url = f"{simulator.base_url}/chat/completions"
        async with client.stream("POST", url, json=streamed()) as response:
            parts = response.aiter_text()
            first = await anext(parts)
            hold.released.set()
            rest = "".join([part async for part in parts])
    assert "go" not in first
    assert rest.endswith("data: [DONE]\n\n")


async def test_closing_the_simulator_drops_open_streams(client):
    turns = [Turn(text="a b c", hold=Hold(after=1))]
    async with running(SimulatorConfig(redirect="none", turns=turns)) as simulator:
        request = client.build_request("POST", f"{simulator.base_url}/chat/completions", json=streamed())
        response = await client.send(request, stream=True)
        await anext(response.aiter_bytes())
    await response.aclose()
    assert simulator.journal[0].ended.is_set()


def test_a_simulator_on_a_thread_takes_turns_while_it_runs():
    with run_in_thread(SimulatorConfig(redirect="none")) as simulator:
        simulator.turns.append(Turn(text="from a thread"))
        url, headers = f"{simulator.base_url}/chat/completions", {"authorization": AUTHORIZATION}
        first = httpx.post(url, json=chat(), headers=headers).json()
        second = httpx.post(url, json=chat("say later"), headers=headers).json()
    assert first["choices"][0]["message"]["content"] == "from a thread"
    assert second["choices"][0]["message"]["content"] == "later"


def test_a_port_that_is_taken_is_reported():
    with run_in_thread() as simulator:
        port = httpx.URL(simulator.base_url).port
        with pytest.raises(RuntimeError, match=str(port)), run_in_thread(port=port):
            pass


async def test_realistic_pacing_says_the_same_as_instant_pacing(post):
    async with running(SimulatorConfig(turns=[Turn(text="one two")])) as instant:
        quick = await post(instant, streamed())
    realistic = SimulatorConfig(
        turns=[Turn(text="one two")], pacing="realistic", dialect=Dialect(chunk_pause=0.001)
    )
    async with running(realistic) as slow:
        assert events(await post(slow, streamed())) == events(quick)
