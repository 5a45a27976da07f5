"""What stays of a conversation that is shortened or summarised, and how long it is thought to be."""

import pytest
from pydantic import TypeAdapter

from shim.core.compaction import (
    around_summary,
    compact_threshold,
    since_compaction,
    worth_compacting,
)
from shim.core.estimate import MEDIA_TOKENS, estimate_tokens
from shim.core.truncation import shortened
from shim.errors import ClientFault
from shim.wire.items import Compaction, InputItem

SUMMARY = Compaction(type="compaction", encrypted_content="sealed")
TOOLS = {"type": "additional_tools", "tools": []}
CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "seen"}


def items(*given):
    return TypeAdapter(list[InputItem]).validate_python(list(given))


def says(role, text="x"):
    return {"type": "message", "role": role, "content": text}


def test_the_older_half_goes_and_instructions_stay():
    given = items(
        says("developer"), TOOLS, says("user", "1"), CALL, OUTPUT, says("assistant", "2"), says("user", "3")
    )
    assert shortened(given) == [given[0], given[1], given[5], given[6]]


def test_nothing_goes_where_only_the_last_words_are_left():
    assert shortened(items(says("system"), says("user"))) is None
    assert shortened([]) is None


def test_without_a_user_the_last_item_stays():
    given = items(says("assistant", "1"), says("assistant", "2"))
    assert shortened(given) == given[1:]


def test_a_summary_stands_for_the_past():
    given = items(says("developer"), says("user", "1"), says("user", "2"), CALL, OUTPUT, TOOLS)
    assert around_summary(given, SUMMARY) == [given[0], SUMMARY, *given[2:]]
    assert around_summary(given, SUMMARY, shortest=True) == [given[0], SUMMARY, given[2], given[5]]


def test_one_thing_is_not_summarised_and_nothing_twice():
    assert not worth_compacting(items(says("developer"), says("user")))
    assert not worth_compacting(items(says("user"), says("user"), {"type": "compaction_trigger"}))
    assert worth_compacting(items(says("user"), says("user")))


@pytest.mark.parametrize(
    ("management", "threshold"),
    [
        (None, None),
        ([], None),
        ([{"type": "other"}], None),
        ([{"type": "compaction"}], None),
        ([{"type": "other"}, {"type": "compaction", "compact_threshold": 2000}], 2000),
    ],
)
def test_the_threshold_is_that_of_the_compaction(management, threshold):
    assert compact_threshold(management) == threshold


@pytest.mark.parametrize(
    ("management", "code"),
    [
        ("compaction", "invalid_type"),
        (["compaction"], "invalid_type"),
        ([{"type": "compaction", "compact_threshold": True}], "invalid_type"),
        ([{"type": "compaction", "compact_threshold": 999}], "integer_below_min_value"),
    ],
)
def test_a_wrong_threshold_is_told(management, code):
    with pytest.raises(ClientFault) as refused:
        compact_threshold(management)
    assert refused.value.code == code


def test_what_a_compaction_stands_for_is_left_out():
    compaction = {"type": "compaction", "encrypted_content": "sealed"}
    past = [says("system"), TOOLS, says("user"), says("assistant")]
    assert since_compaction(past) == past
    assert since_compaction([*past, compaction, says("user", "y")]) == [
        *past[:2],
        compaction,
        says("user", "y"),
    ]
    returned = [says("user"), compaction]
    assert since_compaction(returned) == returned
    assert since_compaction(returned, answered=True) == [compaction]


def test_an_estimate_counts_text_tools_and_media():
    chat = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x" * 400}]}
    plain = estimate_tokens(chat)
    assert 100 <= plain <= 120
    assert estimate_tokens(chat, 2.0) == pytest.approx(2 * plain, abs=1)
    tool = {"type": "function", "function": {"name": "f", "description": "y" * 400}}
    assert estimate_tokens({**chat, "tools": [tool]}) > plain + 100
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    seen = {**chat, "messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 400}, image]}]}
    assert estimate_tokens(seen) == 100 + MEDIA_TOKENS
