"""The official SDK's way with background responses: create, poll, stream from where it stopped, cancel."""

import openai
import pytest
from stateful_stack import MODEL
from waiting import until

from shim.simulator import Hold, Turn


def test_create_and_poll(client):
    response = client.responses.create(model=MODEL, input="say hello", background=True)
    assert response.status == "queued"
    done = until(lambda: (now := client.responses.retrieve(response.id)).status == "completed" and now)
    assert (done.output_text, done.background) == ("hello", True)


def test_stream_leave_and_come_back(stack, client):
    hold = Hold(after=4)
    stack.say(Turn(text="one two three four five six", hold=hold))
    seen = []
    with client.responses.create(model=MODEL, input="hi", background=True, stream=True) as stream:
        for event in stream:
            seen.append(event)
            if event.type == "response.output_text.delta":
                break
    hold.released.set()
    response_id, last = seen[0].response.id, seen[-1].sequence_number
    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=last))
    numbers = [event.sequence_number for event in seen + rest]
    assert numbers == list(range(len(numbers)))
    assert rest[-1].response.output_text == "one two three four five six"


def test_the_accumulator_takes_a_resumed_stream(stack, client):
    response = client.responses.create(model=MODEL, input="say hello", background=True)
    with client.responses.stream(response_id=response.id) as stream:
        assert stream.get_final_response().output_text == "hello"


def test_comments_in_silence_are_passed_over(start, store):
    hold = Hold(after=4)
    stack = start(store, keepalive_seconds=0.01)
    stack.say(Turn(text="one two three four", hold=hold))
    with stack.client() as client:
        kinds, response_id = [], ""
        for event in client.responses.create(model=MODEL, input="hi", background=True, stream=True):
            kinds.append(event.type)
            response_id = response_id or event.response.id
            if event.type == "response.output_text.delta" and not hold.released.is_set():
                with (
                    stack.http() as http,
                    http.stream("GET", f"/responses/{response_id}?stream=true") as other,
                ):
                    next(line for line in other.iter_lines() if line.startswith(":"))  # silence was told
                hold.released.set()
    assert kinds.count("response.in_progress") == 1
    assert kinds[-1] == "response.completed"


def test_cancel(stack, client):
    stack.say(Turn(text="never said", hold=Hold(after=None)))
    response = client.responses.create(model=MODEL, input="hi", background=True)
    assert client.responses.cancel(response.id).status == "cancelled"
    assert client.responses.cancel(response.id).status == "cancelled"
    assert client.responses.retrieve(response.id).status == "cancelled"


def test_cancel_of_a_foreground_response_is_an_error(client):
    response = client.responses.create(model=MODEL, input="say hello")
    with pytest.raises(openai.BadRequestError, match="background=true"):
        client.responses.cancel(response.id)
