"""What a turn owes its client beyond the core's laws, through real sockets onto the simulator."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from shim.ambient import Ambient
from shim.errors import ClientFault, UpstreamFault
from shim.exchange import Caller, Exchange
from shim.exchange.locking import TurnLock
from shim.exchange.steady import Steady
from shim.settings import Settings
from shim.simulator import DEFAULT_KEY, Dialect, Hold, SimulatorConfig, Turn, running
from shim.store import StoreFault, open_store
from shim.store.calibrations import SqlCalibrations
from shim.store.records import Conversation
from shim.upstream import Upstream

TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}


async def answered(
    turn: Turn, key: str = DEFAULT_KEY, settings: dict | None = None, *, codex: bool = False, **asked
):
    """The response of a scripted turn, or the fault it ended with; and the chat request."""
    async with opened(turn, key, settings, codex=codex, **asked) as (accepted, simulator):
        return await accepted.response(), simulator.journal.served[-1].body


@asynccontextmanager
async def opened(turn: Turn, key: str, settings: dict | None, *, codex: bool = False, **asked):
    """The turn, accepted by a simulator; and that."""
    async with running(SimulatorConfig(turns=[turn], keys=())) as simulator:
        configured = Settings(upstream=simulator.base_url, key=key, **(settings or {}))
        upstream, store = Upstream(configured), await open_store(configured)
        accepted = await Exchange(configured, upstream, store).open(
            {"model": "code-prime", "input": "Hi", **asked}, Caller(key, refusals_as_text=codex), "req_1"
        )
        try:
            yield accepted, simulator
        finally:
            await accepted.aclose()
            await upstream.aclose()
            await store.aclose()


@pytest.mark.parametrize(
    ("asked", "scored"),
    [({}, False), ({"top_logprobs": 2}, True), ({"include": ["message.output_text.logprobs"]}, True)],
)
async def test_log_probabilities_are_read_if_they_were_asked_for(asked, scored):
    async with opened(Turn(text="a"), DEFAULT_KEY, None, **asked) as (accepted, _):
        assert accepted.reader.scored is scored
        (message,) = (await accepted.response())["output"]
    assert bool(message["content"][0]["logprobs"]) is scored


@pytest.mark.parametrize("pasted", ["{}", "Bearer {}", "'{}'"])
@pytest.mark.parametrize("filler", ["", "x" * 1985])
async def test_a_key_that_the_upstream_echoes_within_its_stream_reaches_no_client(filler, pasted):
    key = "sk-secret-0123456789"
    said = {"error": {"message": f"{filler} Incorrect API key provided: {key}"}}
    with pytest.raises(UpstreamFault) as caught:
        await answered(Turn(text="a", error_in_stream=said), pasted.format(key))
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


@pytest.mark.parametrize(("codex", "kind"), [(False, "refusal"), (True, "output_text")])
async def test_codex_is_told_a_refusal_as_text_since_it_shows_nothing_of_another(codex, kind):
    response, _ = await answered(Turn(refusal="I will not."), codex=codex)
    (part,) = response["output"][-1]["content"]
    assert part["type"] == kind
    assert "I will not." in part.values()


class Watching:
    """A store whose conversation locks are counted, and whose calibrations never return."""

    kind = "memory"

    def __init__(self):
        self.taken = asyncio.Queue()
        self.given_back = asyncio.Event()
        self.conversations = self.calibrations = self

    async def history(self, *_):
        return ()

    async def lock(self, owner, conversation, claim, now):
        await self.taken.put(claim.until - now)
        return "locked"

    async def unlock(self, *_):
        self.given_back.set()

    async def record(self, *_):
        await asyncio.Event().wait()


async def test_a_conversation_stays_locked_for_as_long_as_its_turn_runs_and_not_much_longer(monkeypatch):
    monkeypatch.setattr("shim.exchange.locking.LOCK_SECONDS", 0.03)
    async with running(SimulatorConfig(turns=[Turn(text="a")])) as simulator:
        configured = Settings(upstream=simulator.base_url, key=DEFAULT_KEY)
        upstream, store = Upstream(configured), Watching()
        body = {"model": "code-prime", "input": "Hi", "conversation": "conv_1", "store": False}
        turn = await Exchange(configured, upstream, store).open(body, Caller(DEFAULT_KEY), "req_1")
        assert [await store.taken.get() for _ in range(3)] == pytest.approx([0.03] * 3)
        closing = asyncio.create_task(turn.aclose())
        await store.given_back.wait()
        await closing
        await upstream.aclose()


async def test_a_conversation_is_free_as_soon_as_its_turns_end_is_told():
    silent = Turn(text="done", hold=Hold(after=1000))  # the body ends only when its reader leaves
    async with running(SimulatorConfig(turns=[silent, Turn(text="more")])) as simulator:
        configured = Settings(upstream=simulator.base_url, key=DEFAULT_KEY, store="memory")
        upstream, store = Upstream(configured), await open_store(configured)
        exchange, caller = Exchange(configured, upstream, store), Caller(DEFAULT_KEY)
        await store.conversations.create(Conversation(exchange.owner(caller), "conv_1", 1))
        body = {"model": "code-prime", "input": "Hi", "conversation": "conv_1"}
        turn = await exchange.open(body, caller, "req_1")
        async for events in turn.events():
            if events[-1]["type"] == "response.completed":
                next_one = await exchange.open(body, caller, "req_2")
                await next_one.aclose()
                break
        await turn.aclose()
        await upstream.aclose()
        await store.aclose()


async def test_a_client_that_leaves_while_the_lock_is_taken_leaves_the_conversation_free():
    class Slow(Watching):
        async def lock(self, *given):
            entered.set()
            await asyncio.sleep(0.01)
            return await super().lock(*given)

    entered, store = asyncio.Event(), Slow()
    lock = TurnLock(store, Steady(Ambient(), 1), "owner", "conv_1", "resp_1")
    taking = asyncio.create_task(lock.take())
    await entered.wait()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert store.taken.qsize() == 1
    assert store.given_back.is_set()


async def test_no_late_prolongation_locks_a_conversation_again(monkeypatch):
    monkeypatch.setattr("shim.exchange.locking.LOCK_SECONDS", 0.03)
    order = []

    class Slow(Watching):
        async def lock(self, *given):
            await asyncio.sleep(0.02 if order else 0)
            order.append("lock")
            return "locked"

        async def unlock(self, *_):
            order.append("unlock")

    release = await TurnLock(Slow(), Steady(Ambient(), 1), "owner", "conv_1", "resp_1").take()
    await asyncio.sleep(0.02)  # within the writing of a prolongation
    await release()
    await asyncio.sleep(0.05)
    assert order == ["lock", "lock", "unlock"]


async def test_a_store_that_hangs_keeps_no_unstored_answer_from_its_client():
    async with running(SimulatorConfig(turns=[Turn(text="a")])) as simulator:
        configured = Settings(upstream=simulator.base_url, key=DEFAULT_KEY)
        upstream = Upstream(configured)
        turn = await Exchange(configured, upstream, Watching()).open(
            {"model": "code-prime", "input": "Hi", "store": False}, Caller(DEFAULT_KEY), "req_1"
        )
        assert (await turn.response())["status"] == "completed"
        closing = asyncio.create_task(turn.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await upstream.aclose()


async def test_whether_to_compact_is_estimated_while_the_store_is_away(monkeypatch):
    async def away(*_):
        raise StoreFault("away")

    monkeypatch.setattr(SqlCalibrations, "get", away)
    items = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    threshold = [{"type": "compaction", "compact_threshold": 1000}]
    response, _ = await answered(
        Turn(text="d"), settings={"store": "memory"}, input=items, store=False, context_management=threshold
    )
    assert response["status"] == "completed"
