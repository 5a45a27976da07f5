"""What is done when a conversation grows: compaction, truncation, and counting before it happens."""

import time

import openai
import pytest
from stateful_stack import MODEL, said

from shim.simulator import SimulatorConfig, Turn

LONG = "blah " * 2000
THRESHOLD = [{"type": "compaction", "compact_threshold": 1000}]


def ask(client, text, **fields):
    return client.responses.create(model=MODEL, input=text, **fields)


def test_a_conversation_is_compacted_into_its_users_words_and_one_item(stack, client):
    first = ask(client, "say one")
    stack.say(Turn(text="They said one."))
    compacted = client.responses.compact(model=MODEL, input="say two", previous_response_id=first.id)
    assert compacted.object == "response.compaction"
    assert [item.type for item in compacted.output] == ["message", "message", "compaction"]
    assert [item.content[0].text for item in compacted.output[:2]] == ["say one", "say two"]
    assert compacted.output[0].status == "completed"
    assert compacted.usage.total_tokens > 0
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(compacted.id)
    replay = [item.to_dict(exclude_none=True, warnings=False) for item in compacted.output]
    ask(client, [*replay, {"role": "user", "content": "say three"}])
    sent = str(stack.messages)
    assert "They said one." in sent
    assert said(stack.messages[-1])[1].endswith("say three")


def test_a_long_conversation_is_compacted_before_it_is_answered(stack, client):
    first = ask(client, [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": LONG}])
    stack.say(Turn(text="They said blah."), Turn(text="two"))
    second = ask(client, "say two", previous_response_id=first.id, context_management=THRESHOLD)
    assert second.output[0].type == "compaction"
    assert second.output_text == "two"
    sent = str(stack.messages)
    assert "They said blah." in sent
    assert "Be kind." in sent
    assert "blah blah" not in sent
    ask(client, "say three", previous_response_id=second.id, context_management=THRESHOLD)
    sent = str(stack.messages)
    assert "blah blah" not in sent
    assert "They said blah." in sent
    assert len(stack.chats) == 4  # nothing was compacted again
    kept = client.responses.retrieve(second.id)
    assert kept.output[0] == second.output[0]


def used(given, made):
    return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}


def test_what_the_summary_cost_is_part_of_the_usage(stack, client):
    first = ask(client, LONG)
    stack.say(Turn(text="They said blah.", usage=used(2100, 7)), Turn(text="two", usage=used(40, 2)))
    second = ask(client, "say two", previous_response_id=first.id, context_management=THRESHOLD)
    assert (second.usage.input_tokens, second.usage.output_tokens, second.usage.total_tokens) == (
        2140,
        9,
        2149,
    )


def test_the_compaction_comes_first_in_the_stream(stack, client):
    first = ask(client, LONG)
    stack.say(Turn(text="They said blah."), Turn(text="two"))
    with client.responses.stream(
        model=MODEL, input="say two", previous_response_id=first.id, context_management=THRESHOLD
    ) as stream:
        kinds = [(event.type, event.sequence_number) for event in stream]
        final = stream.get_final_response()
    assert [number for _, number in kinds] == list(range(len(kinds)))
    assert [kind for kind, _ in kinds[:4]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
    ]
    assert final.output[0].type == "compaction"


def test_a_client_that_sends_everything_again_is_answered_from_the_compaction_on(stack, client):
    items = [
        {"role": "user", "content": LONG},
        {"role": "assistant", "content": "fine"},
        {"role": "user", "content": "say two"},
    ]
    stack.say(Turn(text="They said blah."), Turn(text="two"))
    second = ask(client, items, store=False, context_management=THRESHOLD)
    output = [item.model_dump(exclude_none=True) for item in second.output]
    ask(
        client,
        [*items, *output, {"role": "user", "content": "say three"}],
        store=False,
        context_management=THRESHOLD,
    )
    assert len(stack.chats) == 3
    assert "blah blah" not in str(stack.messages)


def test_a_conversation_below_the_threshold_is_left_alone(stack, client):
    first = ask(client, "say one")
    ask(client, "say two", previous_response_id=first.id, context_management=THRESHOLD)
    assert len(stack.chats) == 2


@pytest.mark.parametrize(
    ("management", "param"),
    [
        ("compaction", "context_management"),
        ([{"type": "compaction", "compact_threshold": "1000"}], "context_management[0].compact_threshold"),
        ([{"type": "compaction", "compact_threshold": 10}], "context_management[0].compact_threshold"),
    ],
)
def test_wrong_context_management_is_told(start, management, param):
    with start("memory").http() as http:
        body = {"model": MODEL, "input": "hi", "context_management": management}
        reply = http.post("/responses", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_truncation_lets_the_oldest_items_go_with_their_outputs(start, store):
    stack = start(store, SimulatorConfig(context_limit=1500))
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c1", "output": LONG}
    items = [
        {"role": "user", "content": "look"},
        call,
        output,
        {"role": "assistant", "content": "seen"},
        {"role": "user", "content": "say it"},
    ]
    client = stack.client()
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, items)
    assert refused.value.code == "context_length_exceeded"
    answered = ask(client, items, truncation="auto")
    assert (answered.output_text, answered.truncation) == ("it", "auto")
    assert not any(message.get("tool_calls") or message["role"] == "tool" for message in stack.messages)
    listed = client.responses.input_items.list(answered.id, limit=100).data
    assert len(listed) == len(items)


def test_truncation_ends_after_a_bounded_number_of_attempts(start):
    stack = start("memory", SimulatorConfig(context_limit=100))
    items = [{"role": "user", "content": f"{number} {LONG}"} for number in range(100)]
    with pytest.raises(openai.BadRequestError) as refused:
        ask(stack.client(), items, truncation="auto")
    assert refused.value.code == "context_length_exceeded"
    fronts = [
        received for received in stack.grid.journal if received.hop == "front" and received.method == "POST"
    ]
    assert len(fronts) <= 6


def test_tokens_are_estimated_and_the_estimate_learns(stack, client):
    counted = client.responses.input_tokens.count(model=MODEL, input="say one")
    assert counted.object == "response.input_tokens"
    assert counted.input_tokens > 0
    usage = {"prompt_tokens": 10 * counted.input_tokens, "completion_tokens": 1}
    stack.say(Turn(text="one", usage={**usage, "total_tokens": usage["prompt_tokens"] + 1}))
    first = ask(client, "say one")
    told = pytest.approx(first.usage.input_tokens, abs=8)  # an estimate is a whole number of tokens
    while client.responses.input_tokens.count(model=MODEL, input="say one").input_tokens != told:
        time.sleep(0.01)  # it learns after it has answered
    longer = client.responses.input_tokens.count(model=MODEL, input="more", previous_response_id=first.id)
    assert longer.input_tokens > first.usage.input_tokens
    assert client.responses.input_tokens.count(input="no model").input_tokens > 0
    assert len(stack.chats) == 1


def test_input_of_another_kind_is_refused_by_its_name(stack):
    with stack.http() as http:
        answer = http.post("/responses/compact", json={"model": MODEL, "input": 5})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "input"
