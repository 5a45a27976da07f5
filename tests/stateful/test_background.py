"""Background responses over HTTP: they outlive their client, are followed from any event, and cancelled."""

import pytest
from background_stage import (
    LIFECYCLE,
    begin,
    blocks_of,
    check,
    ended,
    events_of,
    follow,
    retrieve,
    stream,
)
from hypothesis import given
from hypothesis import strategies as st
from stateful_stack import MODEL
from waiting import until

from shim.simulator import Hold, Turn


@pytest.fixture
def http(stack):
    with stack.http() as client:
        yield client


@pytest.fixture
def held(stack):
    """The next answer stops after a few words until it is released."""
    hold = Hold(after=4)
    stack.say(Turn(text="one two three four five six seven eight", hold=hold))
    return hold


def test_a_response_is_queued_then_in_progress_then_completed(http, held):
    queued = begin(http, metadata={"ticket": "7"})
    assert (queued["status"], queued["background"], queued["output"]) == ("queued", True, [])
    running = until(lambda: (now := retrieve(http, queued["id"]))["status"] == "in_progress" and now)
    assert running["created_at"] == queued["created_at"]
    held.released.set()
    done = ended(http, queued["id"])
    assert (done["status"], done["created_at"]) == ("completed", queued["created_at"])
    assert done["output"][0]["content"][0]["text"].startswith("one two three")
    assert set(done) - {"served_model"} == set(queued)
    items = http.get(f"/responses/{queued['id']}/input_items").json()["data"]
    assert items[0]["content"][0]["text"] == "hi"


def test_a_response_outlives_the_client_that_streamed_it(http, held):
    body = {"model": MODEL, "input": "hi", "background": True, "stream": True}
    with http.stream("POST", "/responses", json=body) as answer:
        first = next(line for line in answer.iter_lines() if line.startswith("data: "))
    response_id = events_of(f"event: \n{first}".encode())[0]["response"]["id"]
    held.released.set()
    assert ended(http, response_id)["status"] == "completed"
    events = events_of(stream(http, response_id))
    check(events)
    assert [event["type"] for event in events[:3]] == LIFECYCLE
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"] == retrieve(http, response_id)


def test_a_replay_from_any_event_is_the_rest_of_the_original(http):
    body = {"model": MODEL, "input": "words 20", "background": True, "stream": True}
    original = blocks_of(http.post("/responses", json=body).content)
    response_id = events_of(original[0])[0]["response"]["id"]

    @given(st.integers(0, len(original) + 2))
    def replays(after):
        assert blocks_of(stream(http, response_id, starting_after=after)) == original[after + 1 :]

    replays()
    assert blocks_of(stream(http, response_id)) == original
    for after, rest in (
        ("0" * 30 + "1", original[2:]),
        ("1" * 18, []),
        ("1" * 40, []),
        ("0" * 30, original[1:]),
    ):
        assert blocks_of(stream(http, response_id, starting_after=after)) == rest


def test_a_stream_that_is_resumed_midway_goes_on_live(http, held):
    response_id = begin(http)["id"]
    with follow(http, response_id) as events:
        seen = [next(event for event in events if event["type"] == "response.output_text.delta")]
    with follow(http, response_id, starting_after=seen[-1]["sequence_number"]) as events:
        held.released.set()
        rest = list(events)
    assert rest[0]["sequence_number"] == seen[-1]["sequence_number"] + 1
    assert rest[-1]["type"] == "response.completed"
    check(events_of(stream(http, response_id)))


def test_a_head_of_a_stream_waits_for_none_of_it(http, held):
    queued = begin(http)
    answer = http.head(f"/responses/{queued['id']}?stream=true")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/json"
    held.released.set()


def test_followers_get_comments_in_silence_and_no_event(start, store):
    hold = Hold(after=4)
    stack = start(store, keepalive_seconds=0.01)
    stack.say(Turn(text="one two three four", hold=hold))
    with stack.http() as http, http.stream("GET", f"/responses/{begin(http)['id']}?stream=true") as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith(":")) == ": keepalive"
        hold.released.set()
        assert any("response.completed" in line for line in lines)


def test_cancelling_stops_the_upstream_and_keeps_what_was_said(http, stack, held):
    response_id = begin(http)["id"]
    with follow(http, response_id) as events:
        seen = next(event for event in events if event["type"] == "response.output_text.delta")
        cancelled = http.post(f"/responses/{response_id}/cancel").json()
        rest = list(events)
    assert cancelled["status"] == "cancelled"
    assert cancelled["output"][0]["status"] == "incomplete"
    assert cancelled["output"][0]["content"][0]["text"].startswith(seen["delta"])
    assert (cancelled["usage"], cancelled["error"], cancelled["completed_at"]) == (None, None, None)
    assert not {event["type"] for event in rest} & {"response.completed", "response.failed", "error"}
    assert http.post(f"/responses/{response_id}/cancel").json() == cancelled == retrieve(http, response_id)
    check(events_of(stream(http, response_id)))


def test_a_response_is_cancelled_before_the_upstream_has_answered(http, stack):
    hold = Hold(after=None)
    stack.say(Turn(text="late", hold=hold))
    response_id = begin(http)["id"]
    assert http.post(f"/responses/{response_id}/cancel").json()["status"] == "cancelled"
    hold.released.set()
    assert [event["type"] for event in events_of(stream(http, response_id))] == LIFECYCLE[:2]


def test_a_finished_response_stays_as_it_is_when_cancelled(http):
    done = ended(http, begin(http, input="say hello")["id"])
    assert http.post(f"/responses/{done['id']}/cancel").json() == done


def test_only_background_responses_are_cancelled_and_streamed_again(http):
    plain = http.post("/responses", json={"model": MODEL, "input": "say hello"}).json()
    answer = http.post(f"/responses/{plain['id']}/cancel")
    assert answer.status_code == 400
    assert (
        answer.json()["error"]["message"] == "Only responses created with background=true can be cancelled."
    )
    assert http.get(f"/responses/{plain['id']}?stream=true").status_code == 400


@pytest.mark.parametrize("path", ["{}/cancel", "{}?stream=true"])
def test_another_clients_response_is_not_there(stack, http, path):
    path = "/responses/" + path.format(begin(http)["id"])
    with stack.http("mallory") as other:
        answer = other.post(path) if "cancel" in path else other.get(path)
    assert answer.status_code == 404


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "\u0661"])
def test_a_wrong_starting_point_is_refused(http, after):
    answer = http.get(f"/responses/{begin(http)['id']}", params={"stream": "true", "starting_after": after})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "starting_after")


def test_a_request_that_is_wrong_is_refused_at_once(http):
    answer = http.post(
        "/responses", json={"model": MODEL, "input": "hi", "background": True, "temperature": -1}
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "temperature")


def test_background_needs_the_store(http, start):
    asked = {"model": MODEL, "input": "hi", "background": True}
    refused = http.post("/responses", json={**asked, "store": False})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "store")
    with start("off").http() as nothing_stored:
        refused = nothing_stored.post("/responses", json=asked)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "store")


@pytest.mark.parametrize("background", ["yes", 1, 0, {}])
def test_background_is_a_boolean(http, background):
    answer = http.post("/responses", json={"model": MODEL, "input": "hi", "background": background})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "background")


def test_a_refusal_of_the_upstream_is_a_failed_response(http, stack):
    stack.say(Turn(status=400, body={"error": {"message": "too hot", "code": "heat"}}))
    failed = ended(http, begin(http)["id"])
    assert failed["status"] == "failed"
    assert failed["error"]["message"] == "too hot"
    events = events_of(stream(http, failed["id"]))
    check(events)
    assert [event["type"] for event in events] == [*LIFECYCLE[:2], "error", "response.failed"]
    assert events[-1]["response"] == failed


def test_a_stream_that_breaks_is_a_failed_response(http, stack):
    stack.say(Turn(text="one two three four five", cut_after=3))
    failed = ended(http, begin(http)["id"])
    assert (failed["status"], failed["usage"]) == ("failed", None)
    events = events_of(stream(http, failed["id"]))
    check(events)
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]


def test_a_failed_response_is_not_continued(http, stack):
    stack.say(Turn(status=400, body={"error": {"message": "no"}}))
    failed = ended(http, begin(http)["id"])
    answer = http.post(
        "/responses", json={"model": MODEL, "input": "hi", "previous_response_id": failed["id"]}
    )
    assert answer.status_code == 400


def test_background_turns_are_continued(http, stack):
    first = ended(http, begin(http, input="say hello")["id"])
    second = ended(http, begin(http, input="again", previous_response_id=first["id"])["id"])
    assert second["previous_response_id"] == first["id"]
    assert [message["role"] for message in stack.messages] == ["user", "assistant", "user"]


def test_a_deleted_response_is_not_made_any_more(http, stack, held):
    response_id = begin(http)["id"]
    with follow(http, response_id) as events:
        next(event for event in events if event["type"] == "response.output_text.delta")
        assert http.delete(f"/responses/{response_id}").status_code == 200
        held.released.set()
        assert "response.completed" not in [event["type"] for event in events]
    assert http.get(f"/responses/{response_id}").status_code == 404


def test_deleting_stops_the_work_at_once(start, store):
    stack = start(store, background_jobs=1, background_lease_seconds=3600)
    stack.say(Turn(text="one two three four", hold=Hold(after=2)), Turn(text="next"))
    with stack.http() as http:
        response_id = begin(http)["id"]
        with follow(http, response_id) as events:
            next(event for event in events if event["type"] == "response.output_text.delta")
            assert http.delete(f"/responses/{response_id}").json()["deleted"]
            assert "response.completed" not in [event["type"] for event in events]
        assert ended(http, begin(http)["id"])["status"] == "completed"  # its place is free


def test_a_response_that_waits_is_cancelled_at_once(start, store):
    hold = Hold(after=2)
    stack = start(store, background_jobs=1, background_lease_seconds=3600)
    stack.say(Turn(text="one two three", hold=hold))
    with stack.http() as http:
        first, waiting = begin(http)["id"], begin(http)["id"]
        cancelled = http.post(f"/responses/{waiting}/cancel").json()
        assert cancelled["status"] == "cancelled"
        assert retrieve(http, waiting) == cancelled
        assert [event["type"] for event in events_of(stream(http, waiting))] == LIFECYCLE[:2]
        hold.released.set()
        assert ended(http, first)["status"] == "completed"
        assert retrieve(http, waiting) == cancelled


def test_the_work_of_one_client_leaves_places_to_others(start, store):
    hold = Hold(after=2)
    stack = start(store, background_jobs=2, background_client_jobs=1, background_lease_seconds=3600)
    stack.say(Turn(text="one two three", hold=hold))
    with stack.http("alice") as alice, stack.http("bob") as bob:
        first = begin(alice)["id"]
        until(lambda: retrieve(alice, first)["status"] == "in_progress")
        second = begin(alice)["id"]
        assert ended(bob, begin(bob)["id"])["status"] == "completed"
        assert retrieve(alice, second)["status"] == "queued"
        hold.released.set()
        assert [ended(alice, one)["status"] for one in (first, second)] == ["completed", "completed"]


@pytest.mark.parametrize(
    "bound", [{"background_client_queue": 2}, {"background_client_queue_bytes": 150_000}], ids=str
)
def test_a_client_can_only_have_so_much_waiting(start, store, bound):
    hold = Hold(after=2)
    stack = start(store, background_jobs=1, background_lease_seconds=3600, **bound)
    stack.say(Turn(text="one two three", hold=hold))
    large = "say " + "x" * 30_000  # a job keeps it twice
    with stack.http("alice") as alice, stack.http("bob") as bob:
        first, second = (begin(alice, input=large)["id"] for _ in range(2))
        refused = alice.post("/responses", json={"model": MODEL, "input": large, "background": True})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert refused.json()["error"]["code"] == "concurrency_limit_exceeded"
        other = begin(bob, input=large)["id"]
        hold.released.set()
        assert ended(alice, first)["status"] == ended(alice, second)["status"] == "completed"
        assert ended(bob, other)["status"] == "completed"
        assert ended(alice, begin(alice, input=large)["id"])["status"] == "completed"


def test_a_response_waits_for_the_turn_of_its_conversation(http, stack, held):
    talk = http.post("/conversations", json={}).json()["id"]
    first = begin(http, conversation=talk)
    until(lambda: retrieve(http, first["id"])["status"] == "in_progress")
    second = begin(http, input="say yes", conversation=talk)
    with follow(http, second["id"]) as told:
        assert [next(told)["type"] for _ in range(2)] == LIFECYCLE[:2]
        held.released.set()
    assert ended(http, first["id"])["status"] == ended(http, second["id"])["status"] == "completed"
    assert [message["content"] for message in stack.messages[::2]] == ["hi", "say yes"]


def test_a_response_that_waits_for_its_conversation_is_cancelled(http, held):
    talk = http.post("/conversations", json={}).json()["id"]
    first = begin(http, conversation=talk)
    until(lambda: retrieve(http, first["id"])["status"] == "in_progress")
    second = begin(http, conversation=talk)
    assert http.post(f"/responses/{second['id']}/cancel").json()["status"] == "cancelled"
    held.released.set()
    assert ended(http, first["id"])["status"] == "completed"


def test_more_jobs_than_places_wait_queued(start, store):
    hold = Hold(after=2)
    stack = start(store, background_jobs=1)
    stack.say(Turn(text="first", hold=hold), Turn(text="second"), Turn(text="third"))
    with stack.http() as http:
        first, *others = [begin(http)["id"] for _ in range(3)]
        until(lambda: retrieve(http, first)["status"] == "in_progress")
        assert [retrieve(http, one)["status"] for one in others] == ["queued", "queued"]
        hold.released.set()
        assert [ended(http, one)["status"] for one in (first, *others)] == ["completed"] * 3
        for one in others:
            check(events_of(stream(http, one)))


def test_a_stream_that_outgrew_its_bound_says_so_and_tells_the_end(start, store):
    stack = start(store, stream_max_bytes=3000)
    with stack.http() as http:
        done = ended(http, begin(http, input="words 50")["id"])
        assert done["status"] == "completed"
        content = stream(http, done["id"])
    assert b"\n: the events after number" in content
    last = events_of(content.replace(b": the events", b"\n\n: the events"))[-1]
    assert (last["type"], last["response"]) == ("response.completed", done)


def test_an_answer_in_the_foreground_needs_no_background(http):
    answer = http.post("/responses", json={"model": MODEL, "input": "say hello", "background": False})
    assert (answer.json()["status"], answer.json()["background"]) == ("completed", False)
