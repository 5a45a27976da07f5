"""Faults: each ends with the words that help the user most, and nothing is done twice."""

import re

import pytest

from shim.simulator import Call, Dialect, Failure, SimulatorConfig, Turn

QUOTA = "Quota exceeded. Check your plan and billing details."
NO_ROOM = (
    "Codex ran out of room in the model's context window. "
    "Start a new thread or clear earlier history before retrying."
)
UNAUTHORIZED = (
    "unexpected status 401 Unauthorized: Unauthorized: provide a valid Consumption API key. "
    "(The Grid takes a Consumption key for inference; a Trading key gets 401.), url: {}/responses, request id: *"
)
COUNT = {"cmd": "echo ran >> count"}


def anonymous(text):
    return re.sub(r"req_\w+", "*", text)


def chat_statuses(stack, hop="front"):
    return [one.status for one in stack.journal if one.path.endswith("/completions") and one.hop == hop]


# -- refusals before the stream --------------------------------------------------------------------------------


def test_a_balance_that_is_topped_up_meanwhile_is_not_noticed(start, codex):
    stack = start(SimulatorConfig(fail_first=[402, 503]))
    run = codex(stack.base_url).exec("say paid")

    assert (run.code, run.notices, run.answer) == (0, [], "paid")
    assert chat_statuses(stack) == [402, 503, 307]


def test_a_balance_that_stays_empty_ends_the_turn_with_the_quota_text(start, codex):
    stack = start(SimulatorConfig(always_fail=402), retry_attempts=2)
    run = codex(stack.base_url).exec("say paid")

    assert run.code == 1
    assert run.failure == QUOTA
    assert run.notices == [QUOTA]
    assert chat_statuses(stack) == [402, 402]


def test_a_short_rate_limit_is_waited_for_and_not_noticed(start, codex):
    stack = start(SimulatorConfig(fail_first=[Failure(429, retry_after=1)]))
    run = codex(stack.base_url).exec("say patient")

    assert (run.code, run.notices, run.answer) == (0, [], "patient")
    assert chat_statuses(stack) == [429, 307]


def test_a_rate_limit_longer_than_our_patience_is_waited_for_by_codex(start, codex):
    stack = start(SimulatorConfig(fail_first=[Failure(429, retry_after=1)]), retry_seconds=0.5)
    run = codex(stack.base_url).exec("say patient")

    assert (run.code, run.answer) == (0, "patient")
    assert [anonymous(notice) for notice in run.notices] == [
        "Reconnecting... 1/5 (exceeded retry limit, last status: 429 Too Many Requests, request id: *)"
    ]


def test_a_rate_limit_without_a_time_is_waited_for_all_the_same(start, codex):
    stack = start(SimulatorConfig(fail_first=[429]), retry_attempts=1)
    run = codex(stack.base_url).exec("say patient")

    assert (run.code, run.answer) == (0, "patient")
    assert len(run.notices) == 1


def test_a_full_context_ends_the_turn_with_the_text_that_tells_what_to_do(start, codex):
    stack = start(SimulatorConfig(context_limit=100))
    run = codex(stack.base_url).exec("say too much")

    assert run.code == 1
    assert run.failure == NO_ROOM
    assert len(chat_statuses(stack)) == 1


def test_a_context_that_is_full_when_it_is_compacted_is_cut_down_until_it_fits(start, codex):
    def too_long(request):
        if any("LONG" in str(message.get("content")) for message in request["messages"]):
            words = "This model's maximum context length is 100 tokens."
            return Turn(status=400, body={"error": {"message": words, "code": "context_length_exceeded"}})
        return Turn(text="SUMMARY")

    stack = start()
    full = {"prompt_tokens": 5_000, "completion_tokens": 10, "total_tokens": 5_010}
    stack.say(Turn(text="A LONG story.", usage=full))
    user = codex(stack.base_url, model_auto_compact_token_limit=3_000)
    user.exec("say one")
    stack.say(*[Turn(respond=too_long)] * 8)
    run = user.resume("say two")

    assert run.code == 0
    assert run.answer == "SUMMARY"


def test_an_unknown_model_ends_the_turn_with_the_names_that_are_known(stack, codex):
    run = codex(model="code-primo").exec("say hello")

    assert run.code == 1
    assert run.failure.startswith(
        "The model 'code-primo' does not exist. Available: text-standard, code-standard,"
    )
    assert run.failure.endswith("bytedance-pro-latest.")
    assert chat_statuses(stack) == [404]


@pytest.mark.parametrize("holder", ["endpoint", "client"])
def test_a_wrong_key_is_named_as_such(start, codex, holder):
    stack = start(key="wrong" if holder == "endpoint" else None)
    run = codex(stack.base_url, provider={"stream_max_retries": 0}).exec("say hello")

    assert run.code == 1
    assert anonymous(run.failure) == UNAUTHORIZED.format(stack.base_url)


def test_a_supplier_that_fails_for_a_moment_is_not_noticed(start, codex):
    stack = start(SimulatorConfig(fail_first=[500, Failure(502, at="supplier")]))
    run = codex(stack.base_url).exec("say up again")

    assert (run.code, run.notices, run.answer) == (0, [], "up again")


# -- faults within the stream ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cut",
    [
        Turn(calls=[Call("exec_command", COUNT)], cut_after=3),
        Turn(calls=[Call("exec_command", COUNT)], cut_after=2, dialect=Dialect(call_chunks="whole")),
        Turn(calls=[Call("exec_command", COUNT)], finish=False),
        Turn(calls=[Call("exec_command", COUNT), Call("exec_command", COUNT)], finish=False),
        Turn(calls=[Call("exec_command", COUNT)], finish=False, error_in_stream="broken"),
    ],
    ids=["within-the-call", "after-the-call", "before-the-finish", "after-the-first-of-two", "an-error"],
)
def test_a_command_runs_exactly_once_when_the_stream_is_cut(stack, codex, cut):
    user = codex()
    stack.say(cut, Turn(calls=[Call("exec_command", COUNT)]))
    run = user.exec("say recovered")

    assert (run.code, run.answer) == (0, "recovered")
    assert (user.work / "count").read_text() == "ran\n"
    [notice] = run.notices
    assert notice.startswith("Reconnecting... 1/5 (stream disconnected before completion: ")


def test_a_stream_that_breaks_after_its_finish_reason_has_said_all(stack, codex):
    """The command runs as soon as the model has finished: told of a failure, Codex would run it again."""
    user = codex()
    whole = Dialect(call_chunks="whole")
    stack.say(Turn(calls=[Call("exec_command", COUNT)], cut_after=3, dialect=whole))
    run = user.exec("say done")

    assert (run.code, run.notices, run.answer) == (0, [], "done")
    assert (user.work / "count").read_text() == "ran\n"
    assert len(stack.chats) == 2


def test_a_text_that_is_cut_off_is_said_again_whole(stack, codex):
    stack.say(Turn(text="one two three four five", cut_after=4), Turn(text="one two three four five"))
    run = codex().exec("count")

    assert run.answer == "one two three four five"
    assert len(stack.chats) == 2


def test_a_supplier_that_fails_within_its_answer_is_quoted_and_asked_again(stack, codex):
    error = {"error": {"message": "The GPU is on fire.", "type": "server_error", "code": 500}}
    stack.say(Turn(text="one two three", error_in_stream=error))
    run = codex().exec("say cooled down")

    assert run.answer == "cooled down"
    assert run.notices == ["Reconnecting... 1/5 (stream disconnected before completion: The GPU is on fire.)"]


def test_an_answer_that_hits_the_output_limit_is_told(stack, codex):
    stack.say(Turn(text="one two three", finish_reason="length"))
    run = codex(provider={"stream_max_retries": 0}).exec("count")

    assert run.code == 1
    assert "max_output_tokens" in run.failure


# -- silence ---------------------------------------------------------------------------------------------------

SILENCE = 3
IDLE = {"stream_idle_timeout_ms": 1_500, "stream_max_retries": 0}


def test_heartbeats_carry_codex_over_a_long_silence(start, codex):
    stack = start(keepalive_seconds=0.25)
    stack.say(Turn(text="after a while", dialect=Dialect(first_chunk_late=SILENCE)))
    run = codex(stack.base_url, provider=IDLE).exec("think long")

    assert (run.code, run.notices, run.answer) == (0, [], "after a while")
    assert len(stack.chats) == 1


def test_without_heartbeats_the_same_silence_ends_the_turn(start, codex):
    stack = start(keepalive_seconds=0)
    stack.say(Turn(text="after a while", dialect=Dialect(first_chunk_late=SILENCE)))
    run = codex(stack.base_url, provider=IDLE).exec("think long")

    assert run.failure == "stream disconnected before completion: idle timeout waiting for SSE"
