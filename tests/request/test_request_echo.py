"""The response object as it begins: every key, the request echoed, defaults filled in."""

from __future__ import annotations

import pytest
from grammar import RESPONSE_KEYS
from pydantic import TypeAdapter

from shim.core.echo import response_template
from shim.core.validation import read_request
from shim.wire.response import Response

NEWER = {"frequency_penalty", "presence_penalty"}
KEYS = RESPONSE_KEYS - NEWER


def template(**fields):
    body = {"model": "m", "input": "hi", **fields}
    return response_template(read_request(body), body, "resp_1", 1_700_000_000)


def test_every_key_is_present_and_of_the_right_type():
    response = template()
    assert len(KEYS) == 31
    assert set(response) == RESPONSE_KEYS
    TypeAdapter(Response).validate_python(response)


def test_the_defaults_are_the_apis_own():
    response = template()
    assert {key: response[key] for key in KEYS if response[key] not in (None, [], {})} == {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "in_progress",
        "model": "m",
        "parallel_tool_calls": True,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "auto",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "top_p": 1.0,
        "truncation": "disabled",
        "background": False,
        "top_logprobs": 0,
    }


def test_two_responses_share_nothing_that_can_be_changed():
    first, second = template(), template()
    kept = [(first[key], second[key]) for key in first] + [
        (first["text"]["format"], second["text"]["format"])
    ]
    assert [one for one, other in kept if isinstance(one, dict | list) and one is other] == []


GIVEN = {
    "instructions": "Be brief.",
    "max_output_tokens": 20,
    "max_tool_calls": 3,
    "metadata": {"a": "b"},
    "parallel_tool_calls": False,
    "previous_response_id": "resp_0",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "safety_identifier": "s",
    "service_tier": "flex",
    "store": False,
    "temperature": 0.0,
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []},
    "top_logprobs": 4,
    "top_p": 0.0,
    "truncation": "auto",
    "user": "u",
    "background": True,
}


@pytest.mark.parametrize("name", GIVEN)
def test_what_was_asked_for_is_shown(name):
    assert template(**{name: GIVEN[name]})[name] == GIVEN[name]


def test_instructions_as_a_list_are_shown_as_they_came():
    items = [{"role": "developer", "content": "x", "extra": 1}]
    assert template(instructions=items)["instructions"] == items


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"effort": "xhigh", "summary": "auto"}, {"effort": "xhigh", "summary": "auto"}),
        ({"effort": 42, "generate_summary": "concise"}, {"effort": 42, "summary": "concise"}),
        ({}, {"effort": None, "summary": None}),
        (None, {"effort": None, "summary": None}),
    ],
)
def test_the_reasoning_options_are_shown(given, shown):
    assert template(reasoning=given)["reasoning"] == shown


JSON_SCHEMA = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (None, {"format": {"type": "text"}, "verbosity": "medium"}),
        ({}, {"format": {"type": "text"}, "verbosity": "medium"}),
        ({"format": None, "verbosity": "low"}, {"format": {"type": "text"}, "verbosity": "low"}),
        (
            {"format": JSON_SCHEMA},
            {"format": {**JSON_SCHEMA, "description": None, "strict": False}, "verbosity": "medium"},
        ),
        (
            {"format": {**JSON_SCHEMA, "strict": True}},
            {"format": {**JSON_SCHEMA, "description": None, "strict": True}, "verbosity": "medium"},
        ),
    ],
)
def test_the_text_options_are_shown_in_full(given, shown):
    assert template(text=given)["text"] == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            {"type": "function", "name": "f"},
            {"type": "function", "name": "f", "description": None, "strict": True},
        ),
        (
            {"type": "function", "name": "f", "strict": None, "description": "d", "defer_loading": True},
            {"type": "function", "name": "f", "strict": True, "description": "d", "defer_loading": True},
        ),
        (
            {"type": "function", "name": "f", "strict": False},
            {"type": "function", "name": "f", "strict": False, "description": None},
        ),
        ({"type": "custom", "name": "c"}, {"type": "custom", "name": "c"}),
        ({"type": "web_search", "x": 1}, {"type": "web_search", "x": 1}),
    ],
)
def test_tools_are_shown_and_functions_always_with_description_and_strictness(given, shown):
    assert template(tools=[given])["tools"] == [shown]


@pytest.mark.parametrize("tools", [None, []])
def test_no_tools_are_an_empty_list(tools):
    assert template(tools=tools)["tools"] == []
