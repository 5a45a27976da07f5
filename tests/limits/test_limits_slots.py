"""Requests at one time: how many there may be, what the others hear, and that every slot comes back."""

import asyncio
import contextlib

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from limits_stage import ask, stage
from waiting import eventually, soon
from websockets.asyncio.client import connect

from shim.errors import Fault
from shim.http.call import SCOPE_KEY, Call, ClientGone
from shim.http.routes import Endpoint
from shim.http.slots import Slots
from shim.simulator import Hold, Turn

MOST, EACH = 4, 2


def refused_by(slot):
    """The fault with which a slot is refused; None if it is held now."""
    try:
        slot.__enter__()
    except Fault as fault:
        return fault
    return None


class SlotsInUse(RuleBasedStateMachine):
    """Whatever clients take and give back: never more than the bounds, and none refused below them."""

    def __init__(self):
        super().__init__()
        self.slots = Slots(MOST, EACH)
        self.open = []
        self.given = 0

    @rule(client=st.sampled_from("abc"))
    def take(self, client):
        mine = [one for one in self.open if one[0] == client]
        slot = self.slots.taken(client)
        fault = refused_by(slot)
        assert (fault is None) == (len(self.open) < MOST and len(mine) < EACH)
        if fault is None:
            self.open.append((client, slot))
            self.given += 1
        else:
            assert (fault.status, fault.code) == (503, "concurrency_limit_exceeded")
            assert fault.retry_after >= 1

    @rule(data=st.data(), failing=st.booleans())
    def leave(self, data, failing):
        if self.open:
            _, slot = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
            slot.__exit__(*((ValueError, ValueError(), None) if failing else (None, None, None)))

    @invariant()
    def counts(self):
        assert self.slots.busy == len(self.open)
        assert self.slots.total == self.given
        assert bool(self.slots._held) == bool(self.open)


test_slots_in_use = SlotsInUse.TestCase


AWAITS = 5


class FakeServices:
    """What an endpoint asks of its application."""

    class guard:  # noqa: N801 -- stands for an attribute
        identity = staticmethod(lambda _: "somebody")

    def __init__(self):
        self.slots = Slots(1, 1)
        self.state = self
        self.services = self


@pytest.mark.parametrize("outcome", [asyncio.CancelledError(), ClientGone(), Fault("no"), ValueError(), None])
@pytest.mark.parametrize("at", range(2 * AWAITS))
async def test_a_slot_comes_back_however_and_whenever_an_answer_ends(at, outcome):
    """The handler and its answer wait ten times; the end comes at each of them, from within and from without."""
    app, reached, step = FakeServices(), asyncio.Event(), 0

    async def waits():
        nonlocal step
        for _ in range(AWAITS):
            assert app.slots.busy == 1
            if step == at:
                reached.set()
                if isinstance(outcome, Exception):
                    raise outcome
            step += 1
            await (asyncio.Event().wait() if step == at + 1 and outcome is not None else asyncio.sleep(0))

    async def handler(_):
        await waits()

        async def reply(scope, receive, send):
            await waits()

        return reply

    scope = {"type": "http", "method": "GET", "headers": [], "app": app, SCOPE_KEY: Call("GET", "/")}
    serving = asyncio.create_task(Endpoint(counted=True, GET=handler)(scope, None, None))
    await soon(reached.wait())
    if isinstance(outcome, asyncio.CancelledError):
        serving.cancel()
    with contextlib.suppress(asyncio.CancelledError, ClientGone, Fault, ValueError):
        await serving
    assert app.slots.busy == 0
    assert app.slots._held == {}


def held(here, count):
    """Let the model wait in so many answers; what lets it go on."""
    hold = Hold(after=0)
    here.grid.turns.extend([Turn(text="x", hold=hold)] * count)
    return hold


@contextlib.asynccontextmanager
async def streams(here, count, key="somebody"):
    """So many streams under way for one client."""
    async with contextlib.AsyncExitStack() as opened:
        client = await opened.enter_async_context(here.http(key))
        for _ in range(count):
            streaming = client.stream("POST", "/responses", json=ask(stream=True))
            answer = await soon(opened.enter_async_context(streaming))
            assert answer.status_code == 200
        yield client


def is_refusal(answer):
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("server_error", "concurrency_limit_exceeded")
    assert error["message"]
    assert int(answer.headers["retry-after"]) >= 1
    return answer.status_code == 503


async def unready(client):
    """The parts of the process that are not ready, and whether it says so by its status."""
    told = await client.get("/readyz")
    parts = [part["name"] for part in told.json()["checks"] if not part["ok"]]
    assert told.status_code == (503 if parts else 200)
    return parts


async def test_requests_in_all_are_bounded_and_health_is_never_refused():
    async with stage(max_requests=2) as here:
        hold = held(here, 2)
        async with streams(here, 1, "one"), streams(here, 1, "other"), here.http("third") as client:
            assert is_refusal(await client.post("/responses", json=ask()))
            assert is_refusal(await client.get("/models"))
            assert is_refusal(await client.post("/responses/input_tokens", json=ask()))
            assert is_refusal(await client.post("/chat/completions", json={}))
            for path in ("/healthz", "/"):
                assert (await client.get(path)).status_code == 200
            assert await unready(client) == ["requests"]
            hold.released.set()
        await eventually(lambda: here.services.slots.busy == 0)
        async with here.http() as client:
            assert (await client.post("/responses", json=ask())).status_code == 200
            assert await unready(client) == []


@pytest.mark.parametrize("settings", [{}, {"client_tokens": ("a" * 16, "b" * 16)}])
async def test_those_of_one_client_are_bounded_and_others_go_on(settings):
    async with stage(max_client_requests=1, **settings) as here:
        hold = held(here, 1)
        async with streams(here, 1, "a" * 16) as client, here.http("b" * 16) as other:
            assert is_refusal(await client.post("/responses", json=ask()))
            assert (await other.post("/responses", json=ask())).status_code == 200
            hold.released.set()
        await eventually(lambda: here.services.slots.busy == 0)


async def test_clients_that_leave_or_fail_give_their_slots_back():
    async with stage(max_requests=1) as here:
        for _ in range(3):
            hold = held(here, 1)
            async with streams(here, 1):
                assert here.services.slots.busy == 1
            await eventually(lambda: here.services.slots.busy == 0)
            hold.released.set()
        here.grid.turns.append(Turn(status=500))
        async with here.http() as client:
            assert (await client.post("/responses", json=ask())).status_code == 500
            assert (await client.post("/responses", content=b"{")).status_code == 415
            assert (await client.post("/responses", json={})).status_code == 400
            assert (await client.post("/responses", json=ask())).status_code == 200
        await eventually(lambda: here.services.slots.busy == 0)


async def test_turns_on_a_websocket_are_requests_and_waiting_there_is_not():
    async with stage(max_requests=1) as here, connect(f"ws://{here.url}/responses", proxy=None) as socket:
        hold = held(here, 1)
        async with streams(here, 1):
            await socket.send('{"type": "response.create", "model": "code-prime", "input": "say hi"}')
            told = await soon(socket.recv())
            assert '"status":503' in told
            assert '"code":"concurrency_limit_exceeded"' in told
            assert '"retry-after":"1"' in told
            hold.released.set()
        await eventually(lambda: here.services.slots.busy == 0)
        await socket.send('{"type": "response.create", "model": "code-prime", "input": "say hi"}')
        while "response.completed" not in (told := await soon(socket.recv())):
            assert '"status":503' not in told
        await eventually(lambda: here.services.slots.busy == 0)


async def test_work_in_the_background_holds_no_slot():
    async with stage(max_requests=1, background_jobs=1) as here, here.http() as client:
        hold = held(here, 2)
        for _ in range(2):
            made = await client.post("/responses", json=ask(background=True, store=True))
            assert made.json()["status"] == "queued"
        hold.released.set()
