"""What a request refers to, and so brings in without sending it: bounded in bytes, before it is parsed."""

import pytest
from limits_stage import ask, stage

from shim.simulator import Turn

MOST = 10_000
LARGE = {"type": "message", "role": "user", "id": "msg_large", "content": "x" * (MOST // 3)}


async def refused(client, path="/responses", **body):
    """The status, code and field of a refusal; the status alone of an answer."""
    answer = await client.post(path, json=body)
    if answer.status_code == 200:
        return (200,)
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


@pytest.mark.parametrize("times", [2, 3])
async def test_an_item_weighs_as_often_as_it_is_named(times):
    """A request of some bytes could else be made a million times as large."""
    references = [{"type": "item_reference", "id": LARGE["id"]}] * times
    too_much = (400, "history_too_large")
    async with stage(max_history_bytes=MOST) as here, here.http() as client:
        made = (await client.post("/conversations", json={"items": [LARGE]})).json()
        asked = await refused(client, **ask(references))
        kept = await refused(client, f"/conversations/{made['id']}/items", items=references)
        if times == 3:
            assert (asked, kept) == ((*too_much, "input"), (*too_much, "items"))
        else:
            assert asked == (200,)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("by", ["conversation", "previous_response_id"])
async def test_what_a_request_refers_to_is_bounded(by, count):
    item = {**LARGE, "id": None}
    async with stage(max_history_bytes=MOST) as here, here.http() as client:
        if by == "conversation":
            made = (await client.post("/conversations", json={"items": [item] * count})).json()
            last = made["id"]
        else:
            last = None
            for _ in range(count):
                here.grid.turns.append(Turn(text="ok"))
                body = ask([item], store=True, previous_response_id=last)
                last = (await client.post("/responses", json=body)).json()["id"]
        told = await refused(client, **ask("x", **{by: last}))
        assert told == ((400, "history_too_large", by) if count == 3 else (200,))


@pytest.mark.parametrize("held", [1, 2])
async def test_a_branch_weighs_with_what_its_conversation_held_before_it(held):
    """Neither part is too large by itself."""
    item = {**LARGE, "id": None}
    async with stage(max_history_bytes=MOST) as here, here.http() as client:
        made = (await client.post("/conversations", json={"items": [item] * held})).json()
        here.grid.turns.append(Turn(text="ok"))
        body = ask([item], store=True, conversation=made["id"])
        turn = (await client.post("/responses", json=body)).json()["id"]
        told = await refused(client, **ask("x", previous_response_id=turn))
        assert told == ((400, "history_too_large", "previous_response_id") if held == 2 else (200,))
