"""Codex over a WebSocket: a session's turns, what it continues from, and how it takes the end of a connection."""

import logging

import pytest

from shim.http.websocket import Connection
from shim.simulator import Call, Failure, Turn

OVER_WEBSOCKET = {"supports_websockets": True}


@pytest.fixture
def asked():
    """How each request came, as the access log's lines say."""

    lines = []

    class Lines(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger, handler = logging.getLogger("shim.access"), Lines()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lambda: [line.split() for line in lines if "/responses" in line]
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def turns(lines):
    """Method, status and outcome of each turn."""
    return [tuple(line[0:1] + line[2:4]) for line in lines if line[0] != "GET"]


def test_a_shell_round_trip_and_a_second_turn_go_over_the_websocket(stack, codex, asked):
    user = codex(provider=OVER_WEBSOCKET)
    run = user.exec('call exec_command {"cmd": "echo from the shell"}')
    assert (run.code, run.notices, run.outputs) == (0, [], ["from the shell\n"])
    again = user.resume("say it went on")
    assert (again.code, again.notices, again.answer) == (0, [], "it went on")

    told = turns(asked())
    assert set(told) == {("WS", "200", "completed")}
    assert len(told) == 2 + 1 + 2  # each process prepares its first turn without the model
    assert len(stack.chats) == 3
    roles = [message["role"] for message in stack.chats[-1]["messages"]]
    assert roles.count("tool") == 1
    assert roles[-1] == "user"


def test_many_calls_in_one_turn_send_only_what_is_new(stack, codex, asked):
    calls = [Turn(calls=[Call("exec_command", {"cmd": f"echo {number}"})]) for number in range(5)]
    stack.say(*calls, Turn(text="done"))
    run = codex(provider=OVER_WEBSOCKET).exec("count")

    assert (run.answer, run.outputs) == ("done", [f"{number}\n" for number in range(5)])
    assert set(turns(asked())) == {("WS", "200", "completed")}
    last = stack.chats[-1]["messages"]
    assert [m["role"] for m in last].count("tool") == 5
    assert stack.chats[0]["messages"] == last[: len(stack.chats[0]["messages"])]


def test_a_rate_limit_is_waited_for(start, codex, asked):
    stack = start(retry_attempts=1)
    user = codex(stack.base_url, provider=OVER_WEBSOCKET)
    user.exec("say the catalogue is known")
    stack.grid.config.fail_first.append(Failure(429, retry_after=1))
    run = user.resume("say after the limit")
    assert (run.code, run.answer) == (0, "after the limit")
    assert any(line[0] == "WS" and line[2] == "429" for line in asked())


def test_a_connection_that_ends_between_turns_is_replaced_without_a_word(monkeypatch, stack, codex, asked):
    answer = Connection._answer

    async def answer_and_leave(connection, create):
        await answer(connection, create)
        connection._going_away.set()

    monkeypatch.setattr(Connection, "_answer", answer_and_leave)
    stack.say(Turn(calls=[Call("exec_command", {"cmd": "echo moved"})]), Turn(text="done"))
    run = codex(provider=OVER_WEBSOCKET).exec("move on")

    assert (run.code, run.notices, run.answer, run.outputs) == (0, [], "done", ["moved\n"])
    assert {line[0] for line in asked()} == {"WS", "GET"}
    assert len([line for line in asked() if line[0] == "GET"]) >= 2
    assert [message["role"] for message in stack.chats[-1]["messages"]].count("tool") == 1
