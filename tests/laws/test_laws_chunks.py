"""Suppliers' oddities, one by one: what each becomes."""

import json

import pytest
from grammar import check
from script import TOOLS, Telling
from stage import CHAT_NAMES, assembler, delta, entry, final, tell, toolbox

from shim.core.calls import CALL_BUILDERS
from shim.core.chunks import parse_chunk
from shim.core.deltas import CallArguments, ChunkReader, Text
from shim.core.dialects import left_calls
from shim.core.fields import IMPOSSIBLE_LOGPROB, MOST_ALTERNATIVES, read_usage
from shim.errors import UpstreamFault

PATCH, NOTE = CHAT_NAMES["custom", "", "patch"], CHAT_NAMES["custom", "", "note"]


def output(*chunks, **kinds):
    """The final output of chunks, after the stream was checked."""
    events = tell(*chunks, **kinds)
    check(events)
    return final(events)["output"]


def called(*entries, finish="tool_calls", tools=None):
    """The output of calls, one chunk an entry."""
    return output(*(delta(tool_calls=[one]) for one in entries), delta(finish))


def calls_of(items):
    return [(item["name"], item["arguments"]) for item in items]


# -- usage, log probabilities, citations ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({}, (0, 0, 0, 0, 0, 0)),
        ({"prompt_tokens": 3, "completion_tokens": 4}, (3, 0, 0, 4, 0, 7)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9}, (3, 0, 0, 4, 0, 9)),
        ({"prompt_tokens": None, "completion_tokens": "4", "total_tokens": -1}, (0, 0, 0, 0, 0, 0)),
        ({"prompt_tokens": True, "completion_tokens": 2.0}, (0, 0, 0, 0, 0, 0)),
        (
            {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1}},
            (3, 2, 1, 0, 0, 3),
        ),
        (
            {"prompt_tokens": 3, "prompt_tokens_details": None, "prompt_cache_hit_tokens": 2},
            (3, 2, 0, 0, 0, 3),
        ),
        ({"completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 4}}, (0, 0, 0, 5, 4, 5)),
        (
            {"completion_tokens": 5, "completion_tokens_details": [], "reasoning_tokens": 4},
            (0, 0, 0, 5, 4, 5),
        ),
    ],
)
def test_usage_is_read_from_every_shape(usage, expected):
    read = read_usage(usage)
    details_in, details_out = read["input_tokens_details"], read["output_tokens_details"]
    assert expected == (
        read["input_tokens"],
        details_in["cached_tokens"],
        details_in["cache_write_tokens"],
        read["output_tokens"],
        details_out["reasoning_tokens"],
        read["total_tokens"],
    )


def test_a_response_without_usage_says_zero_tokens():
    events = tell(delta("stop", content="Hi"))
    assert final(events)["usage"]["total_tokens"] == 0


@pytest.mark.parametrize("told", [None, {"prompt_tokens": 100, "completion_tokens": 10}])
def test_what_a_summary_cost_before_the_answer_is_part_of_its_usage(told):
    spent = read_usage(
        {
            "prompt_tokens": 1000,
            "completion_tokens": 200,
            "prompt_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 50},
        }
    )
    events = tell(
        delta("stop", content="Hi"), *([{"choices": [], "usage": told}] if told else []), spent=spent
    )
    answered = read_usage(told) if told else read_usage({})
    assert final(events)["usage"] == {
        "input_tokens": answered["input_tokens"] + 1000,
        "input_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 4},
        "output_tokens": answered["output_tokens"] + 200,
        "output_tokens_details": {"reasoning_tokens": 50},
        "total_tokens": answered["total_tokens"] + 1200,
    }


def test_log_probabilities_that_nobody_asked_for_are_passed_over():
    chunk = _scored({"token": "a", "logprob": -1.0}, content="a")
    assert ChunkReader(scored=False).read(chunk) == [Text("a")]
    assert ChunkReader(scored=True).read(chunk) != [Text("a")]


def test_no_more_alternatives_are_told_than_the_api_gives():
    token = {"token": "a", "logprob": -1.0}
    chunk = _scored({**token, "top_logprobs": [token] * 25}, content="a")
    (message,) = output(chunk, delta("stop"))
    assert len(message["content"][0]["logprobs"][0]["top_logprobs"]) == MOST_ALTERNATIVES


def _scored(*tokens, **fields):
    return {"choices": [{"delta": fields, "logprobs": {"content": list(tokens)}}]}


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ({"token": "a", "logprob": -0.5}, ("a", -0.5, [97])),
        ({"token": "é", "logprob": -1, "bytes": None}, ("é", -1.0, [0xC3, 0xA9])),
        ({"token": "a", "logprob": -0.5, "bytes": [1, 2]}, ("a", -0.5, [1, 2])),
        ({"token": "a", "logprob": -0.5, "bytes": [0, 256]}, ("a", -0.5, [97])),
        ({"token": "a", "logprob": -0.5, "bytes": [-1]}, ("a", -0.5, [97])),
        ({"token": "a", "logprob": None}, ("a", IMPOSSIBLE_LOGPROB, [97])),
        ({"token": "a", "logprob": float("-inf")}, ("a", IMPOSSIBLE_LOGPROB, [97])),
        ({"token": "a", "logprob": float("nan")}, ("a", IMPOSSIBLE_LOGPROB, [97])),
        ({"token": "a", "logprob": 0.1}, ("a", 0.0, [97])),
        ({"token": None, "logprob": -(10**400)}, ("", IMPOSSIBLE_LOGPROB, [])),
    ],
)
def test_log_probabilities_are_whole_whatever_the_supplier_left_out(token, expected):
    score = dict(zip(("token", "logprob", "bytes"), expected, strict=True))
    chunk = _scored({**token, "top_logprobs": [token, "junk"]}, "junk", content="a")
    (message,) = output(chunk, delta("stop"))
    assert message["content"][0]["logprobs"] == [{**score, "top_logprobs": [score]}]


def test_log_probabilities_wait_for_the_text_they_belong_to():
    one, two = ({"token": text, "logprob": -1.0} for text in "ab")
    (message,) = output(_scored(one, content=""), _scored(two, content="ab"), delta("stop"))
    assert [token["token"] for token in message["content"][0]["logprobs"]] == ["a", "b"]


def test_log_probabilities_of_reasoning_are_not_those_of_the_answer():
    token = {"token": "hm", "logprob": -1.0}
    reasoning, message = output(
        _scored(token, reasoning_content="hm", content=None), delta(content="Hi"), delta("stop")
    )
    assert reasoning["type"] == "reasoning"
    assert message["content"][0]["logprobs"] == []


@pytest.mark.parametrize(
    "pieces",
    [
        ["<think>", "hm", "</think>"],
        ["<thi", "nk>hm</think>"],
        ["<think>hm", "</thi", "nk>"],
        ['<tool_call>{"name":"get_weather"}', "</tool_call>"],
        ["<tool", '_call>{"name":"get_weather"}</tool_call>'],
    ],
)
def test_log_probabilities_of_tags_and_what_stands_between_them_are_not_those_of_the_answer(pieces):
    chunks = [_scored({"token": piece, "logprob": -1.0}, content=piece) for piece in pieces]
    *_, message = output(*chunks, _scored({"token": "Hi", "logprob": -1.0}, content="Hi"), delta("stop"))
    assert [token["token"] for token in message["content"][0]["logprobs"]] == ["Hi"]


def test_url_citations_become_annotations_and_other_kinds_are_passed_over():
    good = {
        "type": "url_citation",
        "url_citation": {"url": "https://example.com", "title": None, "end_index": 4},
    }
    junk = [None, {"type": "file_citation"}, {"url_citation": {"url": ""}}, {"url_citation": 5}]
    (message,) = output(delta(content="Text"), delta(annotations=[good, *junk]), delta("stop", annotations=5))
    expected = {
        "type": "url_citation",
        "url": "https://example.com",
        "title": "",
        "start_index": 0,
        "end_index": 4,
    }
    assert message["content"][0]["annotations"] == [expected]


_CITED = [{"url_citation": {"url": "https://example.com"}}]


@pytest.mark.parametrize(
    "chunks",
    [
        [delta(annotations=_CITED), delta(reasoning_content="hm")],
        [delta(reasoning_content="hm"), delta(annotations=_CITED)],
        [delta(tool_calls=[entry(0, "a", "get_weather", "{}")]), delta(annotations=_CITED)],
    ],
)
def test_stray_sources_and_white_space_open_no_message(chunks):
    (item,) = output(*chunks, delta("stop"))
    assert item["type"] != "message"


def test_white_space_after_calls_opens_no_message():
    items = output(
        delta(content="Hi"),
        delta(tool_calls=[entry(0, "a", "get_weather", "{}")]),
        delta("stop", content=" \n"),
    )
    assert [item["type"] for item in items] == ["message", "function_call"]


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_of_a_call_that_was_cut_everything_that_came_is_told(reason):
    (call,) = called(entry(0, "a", PATCH, '{"input": "``'), finish=reason)
    assert (call["input"], call["status"]) == ("``", "incomplete")


def test_a_source_after_a_refusal_opens_no_part():
    (message,) = output(delta(refusal="No."), delta("stop", annotations=_CITED))
    assert [part["type"] for part in message["content"]] == ["refusal"]


def test_a_source_belongs_to_text_that_was_still_held_back():
    (message,) = output(delta(content="<"), delta(annotations=_CITED), delta("stop"))
    assert (message["content"][0]["text"], len(message["content"][0]["annotations"])) == ("<", 1)


def test_a_citation_beside_a_refusal_belongs_to_the_text_before_it():
    cited = [{"url_citation": {"url": "https://example.com"}}]
    (message,) = output(delta(content="Text"), delta("stop", refusal="No.", annotations=cited))
    assert [part["type"] for part in message["content"]] == ["output_text", "refusal"]
    assert len(message["content"][0]["annotations"]) == 1


# -- who answers, how it ends ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said", "expected"),
    [(None, None, "default"), (None, "flex", "flex"), ("priority", "flex", "priority")],
)
def test_the_service_tier_is_the_requested_or_the_served_or_default(asked, said, expected):
    events = tell({**delta("stop", content="Hi"), "service_tier": said}, service_tier=asked)
    assert events[0]["response"]["service_tier"] == (asked or "auto")
    assert final(events)["service_tier"] == expected


def test_the_served_model_stands_beside_the_requested_one():
    events = tell(
        {**delta(content="Hi"), "model": "real-model"}, {**delta("stop"), "service_tier": "flex", "model": 5}
    )
    assert (final(events)["model"], final(events)["served_model"]) == ("code-prime", "real-model")
    assert "served_model" not in events[0]["response"]


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("STOP", "completed", None),
        ("eos_token", "completed", None),
        ("end-turn", "completed", None),
        ("sensitive", "incomplete", {"reason": "content_filter"}),
        ("PROHIBITED_CONTENT", "incomplete", {"reason": "content_filter"}),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("MAX_TOKENS", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
        ("SAFETY", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_the_finish_reason_decides_the_status(reason, status, details):
    response = final(tell(delta(content="Hi"), delta(reason)))
    assert (response["status"], response["incomplete_details"]) == (status, details)
    assert response["output"][0]["status"] == status


@pytest.mark.parametrize(
    "reason", ["insufficient_system_resource", "network_error", "abort", "timeout", "malformed_function_call", "error", "?"]
)  # fmt: skip
def test_a_finish_reason_that_nobody_knows_is_a_failure_and_releases_no_call(reason):
    events = tell(delta(tool_calls=[entry(0, "a", "get_weather", "{}")]), delta(reason))
    check(events)
    error = final(events)["error"]
    assert (error["code"], reason in error["message"]) == ("server_error", True)
    assert not [event for event in events if event["type"] == "response.output_item.done"]


@pytest.mark.parametrize("reason", ["", "null", "NULL", None])
def test_a_finish_reason_that_is_none_does_not_finish(reason):
    (message,) = output(delta(reason, content="a"), delta("stop", content="b"))
    assert message["content"][0]["text"] == "ab"


def done_calls(events):
    return [
        event["item"]["call_id"]
        for event in events
        if event["type"] == "response.output_item.done" and "call_id" in event["item"]
    ]


def test_a_filtered_answer_releases_no_call():
    first, second = entry(0, "a", "get_weather", "{}"), entry(1, "b", "shell", '{"commands":["ls"]}')
    events = tell(delta(tool_calls=[first, second]), delta("content_filter", content="Sorry"))
    check(events)
    assert done_calls(events) == []
    call, message = final(events)["output"]
    assert (call["call_id"], call["status"], call["arguments"]) == ("a", "incomplete", "{}")
    assert (message["type"], message["status"]) == ("message", "incomplete")


@pytest.mark.parametrize("cut", ['{"commands":["rm -rf /tmp/x', '{"commands":["rm"]', "", " "])
def test_at_the_limit_whole_calls_are_released_and_the_cut_one_is_not(cut):
    first, second = entry(0, "a", "get_weather", "{}"), entry(1, "b", "shell", cut)
    events = tell(delta(tool_calls=[first, second]), delta("length"))
    check(events)
    assert done_calls(events) == ["a"]
    assert [item["status"] for item in final(events)["output"]] == ["completed", "incomplete"]


def test_at_the_limit_a_cut_call_before_a_whole_one_stays_incomplete():
    first, second = entry(0, "a", "get_weather", '{"a'), entry(1, "b", "get_weather", "{}")
    events = tell(delta(tool_calls=[first, second]), delta("length"))
    check(events)
    assert done_calls(events) == ["b"]
    assert [item["status"] for item in final(events)["output"]] == ["incomplete", "completed"]


@pytest.mark.parametrize(("name", "cut"), [("get_weather", None), (None, "")])
def test_a_call_cut_before_anything_of_it_could_be_told_is_no_failure(name, cut):
    events = tell(delta(content="Hi"), delta(tool_calls=[entry(0, "a", name, cut)]), delta("length"))
    check(events)
    assert final(events)["status"] == "incomplete"
    assert done_calls(events) == []


def test_a_patch_cut_before_its_file_is_known_is_not_told():
    events = tell(delta(tool_calls=[entry(0, "a", "apply_patch", '{"type":"cre')]), delta("length"))
    check(events)
    assert final(events)["output"] == []


def test_a_patch_cut_before_its_file_is_known_leaves_no_gap():
    first, second = entry(0, "a", "apply_patch", '{"type":"cre'), entry(1, "b", "get_weather", "{}")
    events = tell(delta(tool_calls=[first, second]), delta("length"))
    check(events)
    assert done_calls(events) == ["b"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("apply_patch", '{"type":"create_file","diff":"+b"}'),
        ("apply_patch", '["x"]'),
        ("apply_patch", "no JSON"),
        ("apply_patch", '{"type":"create_file","path":"a","diff":"+b'),
        ("shell", "{}"),
        ("shell", ""),
        ("shell", "ls -la"),
        ("shell", '{"commands":["ls'),
        ("local_shell", '{"command":[]}'),
        ("local_shell", '{"command":null}'),
        ("local_shell", '{"command":5}'),
        ("local_shell", "junk"),
    ],
)
@pytest.mark.parametrize("before", [[], [entry(0, "a", "get_weather", "{}")]])
def test_a_built_in_call_that_says_nothing_to_run_is_a_failure_and_releases_no_call(name, arguments, before):
    events = tell(delta(tool_calls=[*before, entry(1, "b", name, arguments)]), delta("tool_calls"))
    check(events)
    assert done_calls(events) == []
    assert final(events)["error"]["code"] == "server_error"
    assert name in final(events)["error"]["message"]


def test_what_follows_the_finish_reason_is_not_read_except_usage():
    events = tell(
        delta("stop", content="Hi"),
        delta("length", content="more"),
        {"choices": [], "usage": {"prompt_tokens": 1}},
    )
    check(events)
    assert final(events)["output"][0]["content"][0]["text"] == "Hi"
    assert final(events)["status"] == "completed"
    assert final(events)["usage"]["input_tokens"] == 1


def test_an_answer_without_any_text_has_no_items():
    assert output(delta(role="assistant", content=None), delta("stop", content=" \n")) == []


def test_the_output_limit_while_reasoning_leaves_no_message():
    (reasoning,) = output(delta(reasoning_content="Hm"), delta("length"))
    assert reasoning["type"] == "reasoning"


# -- text -----------------------------------------------------------------------------------------------------


def test_reasoning_between_texts_gives_three_items():
    items = output(delta(content="a"), delta(reasoning="b"), delta("stop", content="c"))
    assert [item["type"] for item in items] == ["message", "reasoning", "message"]
    assert [item.get("phase") for item in items] == ["commentary", None, "final_answer"]


def test_content_parts_of_any_kind_are_read_as_far_as_they_are_text():
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}, "junk", {"text": None}]}
    reasoning, message = output(
        delta(
            content=[
                thinking,
                {"type": "thinking", "thinking": "!"},
                {"type": "text", "text": "Hi"},
                "junk",
                {"type": "image"},
            ]
        ),
        delta("stop"),
    )
    assert reasoning["content"][0]["text"] == "Hm!"
    assert message["content"][0]["text"] == "Hi"


def test_a_refusal_is_a_part_of_its_own():
    (message,) = output(delta(refusal="I ca"), delta("stop", refusal="nnot."))
    assert message["content"] == [{"type": "refusal", "refusal": "I cannot."}]


@pytest.mark.parametrize("name", ["content", "reasoning_content", "refusal"])
def test_half_an_emoji_at_the_end_is_replaced(name):
    (item,) = output(delta(**{name: "a"}), delta("stop", **{name: "\ud83d"}))
    assert "a\ufffd" in item["content"][0].values()


@pytest.mark.parametrize("telling", [Telling(summary=True), Telling(summary=False)])
def test_think_tags_are_reasoning(telling):
    reasoning, message = output(
        delta(content="<thi"), delta(content="nk>Hm</think>\n\nHi"), delta("stop"), telling=telling
    )
    assert (reasoning["summary"] or reasoning["content"])[0]["text"] == "Hm"
    assert message["content"][0]["text"] == "Hi"


# -- calls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        # the plain way
        ([entry(0, "a", "get_weather", ""), entry(0, arguments="{"), entry(0, arguments="}")], [("get_weather", "{}")]),
        # a blank or repeated name
        ([entry(0, "a", "get_weather", "{"), entry(0, None, "", "}")], [("get_weather", "{}")]),
        ([entry(0, "a", "get_weather", "{"), entry(0, "a", "get_weather", "}")], [("get_weather", "{}")]),
        ([entry(0, "a", "get_weather", "{}"), entry(0, "a", "get_weather", " ")], [("get_weather", "{} ")]),
        ([entry(0, "a", "get_weather", piece) for piece in ("{", '"a":', "1", "}")], [("get_weather", '{"a":1}')]),
        ([entry(0, "a", "unknown"), entry(0, "a", "unknown"), entry(0, "a", "unknown", "{}")], [("unknown", "{}")]),
        # a name in pieces, declared or not
        ([entry(0, "a", "get_"), entry(0, None, "weather"), entry(0, arguments="{}")], [("get_weather", "{}")]),
        ([entry(0, "a", "un"), entry(0, None, "known"), entry(0, arguments="{}")], [("unknown", "{}")]),
        # a name after the arguments
        ([entry(0, "a", None, '{"a":'), entry(0, None, "get_weather", "1}")], [("get_weather", '{"a":1}')]),
        ([entry(0, "a", None, "{}"), entry(0, None, "unknown")], [("unknown", "{}")]),
        # no arguments at all
        ([entry(0, "a", "get_weather")], [("get_weather", "{}")]),
        ([entry(0, "a", "unknown")], [("unknown", "{}")]),
        ([entry(0, "a", "get_weather", " ")], [("get_weather", " {}")]),
        # arguments that were sent parsed
        ([entry(0, "a", "get_weather", {"a": "é"})], [("get_weather", '{"a":"é"}')]),
        ([entry(0, "a", "get_weather", {"a\ud83d": ["\ud83d\ude00", 1]})], [("get_weather", '{"a\ufffd":["😀",1]}')]),
        # parallel calls whose indexes are all zero
        ([entry(0, "a", "get_weather", ""), entry(0, "b", "get_weather", "")], [("get_weather", "{}")] * 2),
        ([entry(0, "a", "get_weather", "{}"), entry(0, "b", "get_weather", "{}")], [("get_weather", "{}")] * 2),
        ([entry(0, None, "get_weather", '{"a":1}'), entry(0, None, "get_weather", '{"a":2}')],
         [("get_weather", '{"a":1}'), ("get_weather", '{"a":2}')]),
        ([entry(0, None, "get_weather", "{}"), entry(0, None, "unknown", "{}")], [("get_weather", "{}"), ("unknown", "{}")]),
        # neither index nor id
        ([entry(name="get_weather", arguments="{"), entry(arguments="}"), entry(name="unknown", arguments="{}")],
         [("get_weather", "{}"), ("unknown", "{}")]),
        # ids alone, interleaved
        ([entry(None, "a", "get_weather", "{"), entry(None, "b", "unknown", '{"b":'), entry(None, "a", None, "}"),
          entry(None, "b", None, "1}")], [("get_weather", "{}"), ("unknown", '{"b":1}')]),
        # indexes, interleaved
        ([entry(0, "a", "get_weather", "{"), entry(1, "b", "unknown", "["), entry(0, arguments="}"), entry(1, arguments="]")],
         [("get_weather", "{}"), ("unknown", "[]")]),
        # neither index nor id nor arguments, or every index zero
        ([entry(name="get_weather", arguments=""), entry(name="docs__search", arguments="")],
         [("get_weather", "{}"), ("search", "{}")]),
        ([entry(0, name="get_weather", arguments=""), entry(0, name="docs__search", arguments="")],
         [("get_weather", "{}"), ("search", "{}")]),
        # an index in quotes
        ([entry("0", "a", "get_weather", "{"), entry("1", "b", "unknown", "["), entry("0", arguments="}"), entry("1", arguments="]")],
         [("get_weather", "{}"), ("unknown", "[]")]),
        # the whole once more
        ([entry(0, "a", "get_weather", '{"a":'), entry(0, None, None, "1}"), entry(0, "a", "get_weather", '{"a":1}')],
         [("get_weather", '{"a":1}')]),
        # one name begins another
        ([entry(0, "a", "get", ""), entry(0, None, "_weather", "{}")], [("get_weather", "{}")]),
        ([entry(0, "a", "get", ""), entry(0, None, None, "{}")], [("get", "{}")]),
        ([entry(0, "a", "get"), entry(1, "b", "get_weather")], [("get", "{}"), ("get_weather", "{}")]),
        # the name after the arguments
        ([entry(0, "a", "get_weather", "{}"), entry(1, "b", None, "["), entry(1, arguments="]"), entry(1, name="unknown")],
         [("get_weather", "{}"), ("unknown", "[]")]),
        # an index that is none
        ([entry(True, "a", "get_weather", "{"), entry("0", "a", None, "}")], [("get_weather", "{}")]),
    ],
)  # fmt: skip
def test_calls_are_put_together_however_they_come(entries, expected):
    assert calls_of(called(*entries)) == expected
    together = output(delta(tool_calls=entries), delta("tool_calls"))
    assert calls_of(together) == expected


def test_two_whole_calls_of_one_name_in_one_chunk_are_two():
    one = entry(name="get_weather", arguments="{}")
    two = entry(name="get_weather", arguments="")
    assert calls_of(output(delta(tool_calls=[one, two]), delta("stop"))) == [("get_weather", "{}")] * 2
    assert calls_of(output(delta(tool_calls=[one]), delta(tool_calls=[two]), delta("stop"))) == [
        ("get_weather", "{}")
    ]


@pytest.mark.parametrize("given", [{}, {"role": "assistant"}])
def test_a_message_beside_a_delta_repeats_the_answer(given):
    choice = {"index": 0, "delta": given, "message": {"content": "Hi"}, "finish_reason": "stop"}
    (message,) = output(delta(content="Hi"), {"choices": [choice]})
    assert message["content"][0]["text"] == "Hi"


def test_half_an_emoji_in_arguments_is_replaced_at_the_end():
    assert calls_of(called(entry(0, "a", "get_weather", '"\ud83d'))) == [("get_weather", '"\ufffd')]
    assert calls_of(called(entry(0, "a", "unknown", "\ud83d"))) == [("unknown", "\ufffd")]


def test_the_old_function_call_field_is_a_call():
    items = output(
        delta(function_call={"name": "get_weather", "arguments": "{"}),
        delta("function_call", function_call={"arguments": "}"}),
    )
    assert calls_of(items) == [("get_weather", "{}")]


def test_call_ids_are_kept_and_made_where_they_are_missing_or_taken():
    items = called(
        entry(0, "call é/1", "get_weather", "{}"),
        entry(1, "call é/1", "get_weather", "{}"),
        entry(2, None, "unknown", "{}"),
    )
    ids = [item["call_id"] for item in items]
    assert ids[0] == "call é/1"
    assert len(set(ids)) == 3
    assert all(call_id.startswith("call_") for call_id in ids[1:])


def test_a_late_id_belongs_to_its_call_until_it_was_told():
    (call,) = called(entry(0, None, "un", None), entry(0, "late", "known", "{}"))
    assert call["call_id"] == "late"


def test_text_after_calls_becomes_a_message_of_its_own_after_them():
    events = tell(
        delta(content="Let me look <"),
        delta(tool_calls=[entry(0, "a", "get_weather", "{}")]),
        delta(content="Done", reasoning_content="hm"),
        delta("tool_calls"),
    )
    check(events)
    items = final(events)["output"]
    assert [item["type"] for item in items] == ["message", "function_call", "reasoning", "message"]
    assert items[0]["content"][0]["text"] == "Let me look <"
    assert [item["phase"] for item in items if "phase" in item] == ["commentary", "commentary"]


def test_the_second_call_waits_until_the_first_is_released():
    reader_events = tell(
        delta(tool_calls=[entry(0, "a", "get_weather", "{}")]),
        delta(tool_calls=[entry(1, "b", "unknown", "{}")]),
        delta("tool_calls"),
    )
    kinds = [
        (event["type"].split(".")[-1], event["output_index"])
        for event in reader_events
        if "output_index" in event
    ]
    assert kinds == [
        ("added", 0), ("delta", 0), ("done", 0), ("done", 0), ("added", 1), ("delta", 1), ("done", 1), ("done", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("unclosed", ["", "</tool_call>"])
def test_a_call_left_in_the_text_is_a_call(unclosed):
    said = '<tool_call>\n{"name": "get_weather", "arguments": {"a": 1}}\n' + unclosed
    message, call = output(
        delta(content="Look: <tool"), delta(content=said.removeprefix("<tool")), delta("stop")
    )
    assert message["content"][0]["text"] == "Look: "
    assert calls_of([call]) == [("get_weather", '{"a":1}')]


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ('{"name": "get_weather", "parameters": {"a": 1}}', '{"a":1}'),
        ('{"name": "get_weather", "arguments": "{}"}', "{}"),
        ('{"name": "get_weather"}', "{}"),
        ('[{"name": "get_weather", "arguments": {"a": 1}}]', '{"a":1}'),
        ('{"type": "function", "function": {"name": "get_weather", "arguments": {"a": 1}}}', '{"a":1}'),
        ("\n<function=get_weather>\n</function>\n", "{}"),
        (
            (
                "\n<function=get_weather>\n<parameter=city>\nNew York\n</parameter>\n<parameter=n>\n[1]\n</parameter>\n"
                "<parameter=text>\n a\n</parameter>b\n\n</parameter>\n<parameter=none>null</parameter></function>\n"
            ),
            '{"city":"New York","n":[1],"text":" a\\n</parameter>b\\n","none":null}',
        ),
    ],
)
def test_a_call_left_in_the_text_may_spell_its_arguments_in_several_ways(said, arguments):
    assert calls_of(output(delta("stop", content=f"<tool_call>{said}</tool_call>"))) == [
        ("get_weather", arguments)
    ]


@pytest.mark.parametrize(
    "text",
    ["<tool_call>no JSON</tool_call>", "a <tool_call>{}</tool_call> \n b", "<tool_call>[{}]</tool_call>",
     '<tool_call>[{"name": "get_weather"}, {"name": "other"}]</tool_call>',
     "<tool_call><function=other></function></tool_call>", "<tool_call><function=get_weather></tool_call>",
     "<tool_call><function=get_weather></function> x</tool_call>",
     '```\n<tool_call>{"name": "get_weather"}</tool_call>\n```', "a</think>b", '<tool_call>{"name": "other"}</tool_call>', '<tool_call>{"name": {}}</tool_call>',
     "<tool_call>[]</tool_call>", "the <tool_call> tag is not closed", "<tool_call>"],
)  # fmt: skip
def test_what_only_looks_like_a_call_stays_text_to_the_letter(text):
    (message,) = output(delta("stop", content=text))
    assert "".join(part["text"] for part in message["content"]) == text


def test_several_calls_may_stand_in_one_tag():
    one, two = ({"name": "get_weather", "arguments": {"a": number}} for number in (1, 2))
    expected = [("get_weather", '{"a":1}'), ("get_weather", '{"a":2}')]
    said = f"<tool_call>{json.dumps([one, two])}</tool_call>"
    assert calls_of(output(delta("stop", content=said))) == expected
    function = "<function=get_weather>\n<parameter=a>\n{}\n</parameter>\n</function>\n"
    said = f"<tool_call>\n{function.format(1)}{function.format(2)}</tool_call>"
    assert calls_of(output(delta("stop", content=said))) == expected


def test_without_declared_tools_tool_call_tags_are_text():
    text = '<tool_call>{"name": "get_weather"}</tool_call>'
    assert output(delta("stop", content=text), names=False)[0]["content"][0]["text"] == text


# -- the tools that chat knows only as functions --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        (NOTE, '{"input": "a\\nb"}', "a\nb"),
        (NOTE, '{"input": ""}', ""),
        (NOTE, "{}", ""),
        (NOTE, "", ""),
        (NOTE, '{"text": "other key"}', "other key"),
        (NOTE, '{"text": ["no", "text"]}', '{"text": ["no", "text"]}'),
        (NOTE, '{"a": "x", "b": "y"}', '{"a": "x", "b": "y"}'),
        (NOTE, '{"nested": {"input": "x"}}', '{"nested": {"input": "x"}}'),
        (NOTE, '{"workdir": ".", "input": "a"}', "a"),
        (NOTE, "*** Begin Patch", "*** Begin Patch"),
        (NOTE, "[1, 2].map(f)", "[1, 2].map(f)"),
        (NOTE, "[1, 2]", "[1, 2]"),
        (NOTE, '{"a": 1} and more', '{"a": 1} and more'),
        (NOTE, "```\nabc\n```", "```\nabc\n```"),
        (PATCH, '{"input": "```\\nabc\\n```"}', "abc\n"),
        (PATCH, '{"other": "```\\nabc\\n```"}', "abc\n"),
        (PATCH, "```lark\nabc\n```", "abc\n"),
        (PATCH, '{"input": "plain"}', "plain"),
        (PATCH, '{"input": "``" oops', "``"),
        (PATCH, '{"input": "``", oops', "``"),
    ],
)
def test_custom_input_is_found_in_whatever_the_model_wrote(name, arguments, expected):
    for pieces in ([arguments], list(arguments), [arguments[:9], arguments[9:]]):
        (call,) = called(entry(0, "a", name, ""), *(entry(0, arguments=piece) for piece in pieces))
        assert (call["type"], call["input"]) == ("custom_tool_call", expected)


def test_of_custom_json_that_was_cut_only_the_input_is_told():
    for arguments, expected in (('{"input": "ab', "ab"), ('{"inp', ""), ('{"other": "ab', "")):
        (call,) = called(entry(0, "a", NOTE, arguments), finish="length")
        assert (call["input"], call["status"]) == (expected, "incomplete")


def _patch(**said):
    return json.dumps(said)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (_patch(type="create_file", path="a", diff="+b"), {"type": "create_file", "path": "a", "diff": "+b"}),
        (_patch(diff="+b", path="a", type="create_file"), {"type": "create_file", "path": "a", "diff": "+b"}),
        (_patch(path="a", diff="+b", type="update_file"), {"type": "update_file", "path": "a", "diff": "+b"}),
        (_patch(type="delete_file", path="a"), {"type": "delete_file", "path": "a"}),
        (_patch(type="delete_file", path="a", diff="-b"), {"type": "delete_file", "path": "a"}),
        (_patch(diff="-b", type="delete_file", path="a"), {"type": "delete_file", "path": "a"}),
        (_patch(type="rename", path="a"), {"type": "update_file", "path": "a", "diff": ""}),
        (_patch(path="a", nested={"type": "delete_file"}), {"type": "update_file", "path": "a", "diff": ""}),
        (
            '{"type":"create_file","path":"a","type":"delete_file","path":"b"}',
            {"type": "create_file", "path": "a", "diff": ""},
        ),
        (
            _patch(operation={"type": "create_file", "path": "a", "diff": "+b"}),
            {"type": "create_file", "path": "a", "diff": "+b"},
        ),
    ],
)
def test_a_patch_is_told_in_whatever_order_its_fields_come(arguments, expected):
    for pieces in ([arguments], list(arguments)):
        (call,) = called(entry(0, "a", "apply_patch", ""), *(entry(0, arguments=piece) for piece in pieces))
        assert (call["type"], call["operation"]) == ("apply_patch_call", expected)


def test_a_patch_begins_as_soon_as_its_file_is_known():
    events = tell(
        delta(tool_calls=[entry(0, "a", "apply_patch", '{"type":"create_file","path":"a","diff":"+b')])
    )
    kinds = [event["type"] for event in events]
    assert "response.output_item.added" in kinds
    assert "response.apply_patch_call_operation_diff.delta" in kinds


def test_a_patch_whose_file_is_not_known_is_not_in_a_failed_response():
    events = tell(delta(content="Hi"), delta(tool_calls=[entry(0, "a", "apply_patch", '{"type":"create_fi')]))
    check(events)
    assert [item["type"] for item in final(events)["output"]] == ["message"]


def test_each_shell_command_is_told_as_it_grows():
    arguments = '{"commands": ["ls", "", "pwd\\n"], "note": "x", "timeout_ms": 5, "max_output_length": "9"}'
    events = tell(delta(tool_calls=[entry(0, "a", "shell", piece) for piece in arguments]), delta("stop"))
    check(events)
    told = [
        (event["type"].split(".")[-1], event["command_index"]) for event in events if "command_index" in event
    ]
    assert [pair for pair in told if pair[0] != "delta"] == [
        (kind, at) for at in range(3) for kind in ("added", "done")
    ]
    (call,) = final(events)["output"]
    assert call["action"] == {"commands": ["ls", "", "pwd\n"], "timeout_ms": 5, "max_output_length": None}
    assert call["environment"] == {"type": "local"}


def test_a_shell_command_that_was_cut_is_told_as_far_as_it_came():
    (call,) = called(entry(0, "a", "shell", '{"commands": ["ls", "rm -'), finish="length")
    assert (call["status"], call["action"]["commands"]) == ("incomplete", ["ls", "rm -"])


def test_a_shell_elsewhere_has_no_environment():
    (call,) = output(
        delta("stop", tool_calls=[entry(0, "a", "shell", '{"commands":["ls"]}')]),
        box=toolbox([{"type": "shell"}]),
    )
    assert "environment" not in call


@pytest.mark.parametrize(
    ("said", "commands", "timeout"),
    [
        ({"command": "ls"}, ["ls"], None),
        ({"commands": "ls"}, ["ls"], None),
        ({"command": ["ls", "a b"], "timeout_ms": 5}, ["ls 'a b'"], 5),
        ({"action": {"commands": ["ls", "pwd"], "timeout_ms": 5}}, ["ls", "pwd"], 5),
        ({"action": {"type": "exec", "command": ["ls"]}}, ["ls"], None),
        ({"commands": ["ls"], "note": {"command": "x"}}, ["ls"], None),
    ],
)
def test_shell_commands_are_found_in_whatever_the_model_wrote(said, commands, timeout):
    for pieces in ([json.dumps(said)], list(json.dumps(said))):
        (call,) = called(entry(0, "a", "shell", ""), *(entry(0, arguments=piece) for piece in pieces))
        assert (call["action"]["commands"], call["action"]["timeout_ms"]) == (commands, timeout)


@pytest.mark.parametrize(
    "said", ['{"command":["a\\ud83d"]}', '{"action":{"type":"exec","command":["a\\ud83d"]}}']
)
def test_a_local_shell_command_survives_wrappers_and_lone_surrogates(said):
    (call,) = called(entry(0, "a", "local_shell", said))
    assert call["action"]["command"] == ["a\ufffd"]


@pytest.mark.parametrize(
    ("command", "expected"), [(["ls", 5], ["ls", "5"]), ("ls 'a b'", ["ls", "a b"]), ("it's", ["it's"])]
)
def test_a_local_shell_command_is_an_argument_vector(command, expected):
    said = json.dumps({"command": command, "env": {"A": 1}, "timeout_ms": "5", "working_directory": 5})
    (call,) = called(entry(0, "a", "local_shell", said))
    assert call["action"] == {"type": "exec", "command": expected, "env": {"A": "1"}}


@pytest.mark.parametrize(
    ("said", "expected"), [('{"query":"x"}', {"query": "x"}), ("[]", {}), ("junk", {}), ("", {})]
)
def test_the_arguments_of_tool_search_are_an_object(said, expected):
    (call,) = called(entry(0, "a", "tool_search", said))
    assert (call["arguments"], call["execution"]) == (expected, "client")


def test_a_tool_in_a_namespace_is_found_by_its_bare_name():
    (call,) = called(entry(0, "a", "ask", '{"input":"x"}'))
    assert (call["type"], call["name"], call["namespace"]) == ("custom_tool_call", "ask", "docs")


def test_every_kind_of_tool_has_a_builder():
    assert {tool["type"] for tool in TOOLS} - {"namespace"} == set(CALL_BUILDERS)


def test_arguments_of_a_call_that_never_began_change_nothing():
    told = assembler()
    told.start()
    told.feed([Text("Hi")])
    assert told.feed([CallArguments(0, "{}")]) == []


# -- the echo -------------------------------------------------------------------------------------------------

TYPES = {"type": "json_schema", "name": "answer", "schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("asked", "key", "expected"),
    [
        ({}, "reasoning", {"effort": None, "summary": None}),
        (
            {"reasoning": {"effort": "low", "summary": "auto"}},
            "reasoning",
            {"effort": "low", "summary": "auto"},
        ),
        ({"reasoning": {"generate_summary": "concise"}}, "reasoning", {"effort": None, "summary": "concise"}),
        ({}, "text", {"format": {"type": "text"}, "verbosity": "medium"}),
        ({"text": {"verbosity": "low"}}, "text", {"format": {"type": "text"}, "verbosity": "low"}),
        (
            {"text": {"format": TYPES}},
            "text",
            {"format": {**TYPES, "description": None, "strict": False}, "verbosity": "medium"},
        ),
        (
            {"text": {"format": {**TYPES, "strict": True}}},
            "text",
            {"format": {**TYPES, "description": None, "strict": True}, "verbosity": "medium"},
        ),
        ({"temperature": 0.0}, "temperature", 0.0),
        ({"store": False}, "store", False),
        ({"parallel_tool_calls": False}, "parallel_tool_calls", False),
        ({"metadata": {"a": "b"}}, "metadata", {"a": "b"}),
        ({"instructions": "Be brief."}, "instructions", "Be brief."),
    ],
)
def test_the_response_echoes_the_request_with_its_defaults(asked, key, expected):
    events = tell(delta("stop"), **asked)
    assert all(event["response"][key] == expected for event in events)


def test_echoed_functions_always_carry_a_description_and_strictness():
    tools = final(tell(delta("stop")))["tools"]
    assert (tools[0]["description"], tools[0]["strict"]) == (None, True)
    assert tools[2] == {"type": "custom", "name": "note"}


# -- compaction -----------------------------------------------------------------------------------------------


def test_a_compaction_is_one_sealed_item_whatever_else_the_model_said():
    items = output(
        delta(reasoning_content="hm"),
        delta(content="The "),
        delta(tool_calls=[entry(0, "a", "get_weather", "{}")]),
        delta("stop", content="story"),
        compact=True,
    )
    assert [(item["type"], item["encrypted_content"]) for item in items] == [
        ("compaction", "sealed:The story")
    ]


def test_a_compaction_without_a_summary_fails():
    events = tell(delta("stop", reasoning_content="hm"), compact=True)
    check(events)
    assert "no summary" in final(events)["error"]["message"]


# -- parsing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", ["", "null", "[]", "5", '"text"', "{", "[" * 5_000, "<html>", "{}{}"])
def test_what_is_no_json_object_is_the_upstreams_fault(payload):
    with pytest.raises(UpstreamFault):
        parse_chunk(payload)


@pytest.mark.parametrize(
    "chunk",
    [
        {},
        {"object": "ping"},
        {"choices": None},
        {"choices": []},
        {"choices": [{"index": 1}]},
        {"choices": [{}]},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": {"content": ""}, "logprobs": {"content": None}}]},
        {"choices": [{"delta": {"content": ""}, "logprobs": {"content": "none"}}]},
    ],
)
def test_chunks_that_say_nothing_give_nothing(chunk):
    assert ChunkReader().read(chunk) == []


@pytest.mark.parametrize("key", [key for key in CHAT_NAMES if key[1]])
def test_a_call_of_a_tool_in_a_namespace_names_it_and_its_namespace(key):
    """Codex answers "unsupported call" to a flattened name."""
    kind, namespace, name = key
    (item,) = called(entry(0, "c", CHAT_NAMES[key], "{}"))
    told = {"function": "function_call", "custom": "custom_tool_call"}[kind]
    assert (item["type"], item["namespace"], item["name"]) == (told, namespace, name)


@pytest.mark.parametrize("summary", [True, False])
def test_reasoning_is_sealed_if_the_client_asked_for_it_and_only_once_it_is_whole(summary):
    telling = Telling(summary=summary, sealed=True)
    events = tell(delta(reasoning="Hm"), delta("stop", content="Hi"), telling=telling)
    items = [event["item"] for event in events if event["type"].startswith("response.output_item")]
    assert "encrypted_content" not in items[0]
    assert items[1]["encrypted_content"] == "sealed:Hm"
    assert final(events)["output"][0] == items[1]


@pytest.mark.parametrize("text", ["[1]", '"f"', '[{"name": "f"}, null]', '{"name": 1}'])
def test_json_that_names_no_function_is_no_call(text):
    assert left_calls(text) == []
