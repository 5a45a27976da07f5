"""What is wrong with a request is said as OpenAI says it: message, param and code."""

from __future__ import annotations

import pytest
from request_asks import image, user

from shim.core.validation import LONGEST_QUOTE, fault_of, read_request
from shim.errors import ClientFault

SCHEMA = {"type": "json_schema", "name": "n", "schema": {}}
ABSENT = object()

WRONG = {
    "no input": (
        {"input": ABSENT},
        ("Missing required parameter: 'input'.", "input", "missing_required_parameter"),
    ),
    "no model": (
        {"model": ABSENT},
        ("Missing required parameter: 'model'.", "model", "missing_required_parameter"),
    ),
    "an empty model": (
        {"model": ""},
        (
            "Invalid 'model': empty string. Expected a string with minimum length 1, but got an empty string instead.",
            "model",
            "empty_string",
        ),
    ),
    "a temperature below 0": (
        {"temperature": -1},
        (
            "Invalid 'temperature': decimal below minimum value. Expected a value >= 0, but got -1 instead.",
            "temperature",
            "decimal_below_min_value",
        ),
    ),
    "a temperature above 2": (
        {"temperature": 2.5},
        (
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.5 instead.",
            "temperature",
            "decimal_above_max_value",
        ),
    ),
    "no tool calls allowed": (
        {"max_tool_calls": 0},
        (
            "Invalid 'max_tool_calls': integer below minimum value. Expected a value >= 1, but got 0 instead.",
            "max_tool_calls",
            "integer_below_min_value",
        ),
    ),
    "too few output tokens": (
        {"max_output_tokens": 15},
        (
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 15 instead.",
            "max_output_tokens",
            "integer_below_min_value",
        ),
    ),
    "too many logprobs": (
        {"top_logprobs": 21},
        (
            "Invalid 'top_logprobs': integer above maximum value. Expected a value <= 20, but got 21 instead.",
            "top_logprobs",
            "integer_above_max_value",
        ),
    ),
    "a word for a boolean": (
        {"stream": "yes"},
        (
            "Invalid type for 'stream': expected a boolean, but got a string instead.",
            "stream",
            "invalid_type",
        ),
    ),
    "a boolean for a decimal": (
        {"temperature": True},
        (
            "Invalid type for 'temperature': expected a decimal, but got a boolean instead.",
            "temperature",
            "invalid_type",
        ),
    ),
    "a decimal for an integer": (
        {"max_output_tokens": 20.5},
        (
            "Invalid type for 'max_output_tokens': expected an integer, but got a decimal instead.",
            "max_output_tokens",
            "invalid_type",
        ),
    ),
    "an object for the tools": (
        {"tools": {}},
        ("Invalid type for 'tools': expected an array, but got an object instead.", "tools", "invalid_type"),
    ),
    "a list for the text": (
        {"text": []},
        ("Invalid type for 'text': expected an object, but got an array instead.", "text", "invalid_type"),
    ),
    "a null item": (
        {"input": [None]},
        (
            "Invalid type for 'input[0]': expected an object, but got null instead.",
            "input[0]",
            "invalid_type",
        ),
    ),
    "an unknown role": (
        {"input": [{"role": "critic", "content": "x"}]},
        (
            "Invalid value: 'critic'. Supported values are: 'user', 'assistant', 'system', and 'developer'.",
            "input[0].role",
            "invalid_value",
        ),
    ),
    "an unknown truncation": (
        {"truncation": "some"},
        (
            "Invalid value: 'some'. Supported values are: 'auto' and 'disabled'.",
            "truncation",
            "invalid_value",
        ),
    ),
    "an unknown tool choice": (
        {"tool_choice": "maybe"},
        (
            "Invalid value: 'maybe'. Supported values are: 'none', 'auto', and 'required'.",
            "tool_choice",
            "invalid_value",
        ),
    ),
    "a choice without type": (
        {"tool_choice": {"name": "f"}},
        ("Missing required parameter: 'tool_choice.type'.", "tool_choice.type", "missing_required_parameter"),
    ),
    "a part without text": (
        {"input": [user([image(), {"type": "input_text"}])]},
        (
            "Missing required parameter: 'input[0].content[1].text'.",
            "input[0].content[1].text",
            "missing_required_parameter",
        ),
    ),
    "a call without its id": (
        {"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]},
        ("Missing required parameter: 'input[0].call_id'.", "input[0].call_id", "missing_required_parameter"),
    ),
    "an item that is nothing known and has no type": (
        {"input": [{"value": 1}]},
        ("Missing required parameter: 'input[0].type'.", "input[0].type", "missing_required_parameter"),
    ),
    "a part that is no object": (
        {"input": [user(["x"])]},
        (
            "Invalid type for 'input[0].content[0]': expected an object, but got a string instead.",
            "input[0].content[0]",
            "invalid_type",
        ),
    ),
    "a tool inside a namespace without a name": (
        {"tools": [{"type": "namespace", "name": "a", "tools": [{"type": "function"}]}]},
        (
            "Missing required parameter: 'tools[0].tools[0].name'.",
            "tools[0].tools[0].name",
            "missing_required_parameter",
        ),
    ),
    "an effort that is no word": (
        {"reasoning": {"effort": 1.5}},
        (
            "Invalid type for 'reasoning.effort': expected a string, but got a decimal instead.",
            "reasoning.effort",
            "invalid_type",
        ),
    ),
    "a number in the metadata": (
        {"metadata": {"a": 1}},
        (
            "Invalid type for 'metadata.a': expected a string, but got an integer instead.",
            "metadata.a",
            "invalid_type",
        ),
    ),
    "too much metadata": (
        {"metadata": {str(number): "" for number in range(17)}},
        (
            (
                "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
                "but got an object with 17 properties instead."
            ),
            "metadata",
            "object_above_max_properties",
        ),
    ),
    "metadata that is too long": (
        {"metadata": {"key": "x" * 513}},
        (
            (
                "Invalid 'metadata.key': string too long. Expected a string with maximum length 512, "
                "but got a string with length 513 instead."
            ),
            "metadata.key",
            "string_above_max_length",
        ),
    ),
    "a format without a type": (
        {"text": {"format": {}}},
        ("Missing required parameter: 'text.format.type'.", "text.format.type", "missing_required_parameter"),
    ),
    "a format without a name": (
        {"text": {"format": SCHEMA | {"name": None}}},
        ("Missing required parameter: 'text.format.name'.", "text.format.name", "missing_required_parameter"),
    ),
    "a format without a schema": (
        {"text": {"format": SCHEMA | {"schema": None}}},
        (
            "Missing required parameter: 'text.format.schema'.",
            "text.format.schema",
            "missing_required_parameter",
        ),
    ),
    "a format whose name chat cannot bear": (
        {"text": {"format": SCHEMA | {"name": "two words"}}},
        (
            (
                "Invalid 'text.format.name': string does not match pattern. "
                "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$' of at most 64 characters."
            ),
            "text.format.name",
            "invalid_value",
        ),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_told_what_and_where(case):
    fields, (message, param, code) = WRONG[case]
    body = {"model": "m", "input": "hi"} | fields
    with pytest.raises(ClientFault) as caught:
        read_request({key: value for key, value in body.items() if value is not ABSENT})
    fault = caught.value
    assert (fault.message, fault.param, fault.code) == (message, param, code)
    assert (fault.status, fault.type) == (400, "invalid_request_error")


def test_a_long_wrong_value_is_not_sent_back_whole():
    with pytest.raises(ClientFault) as caught:
        read_request({"model": "m", "input": "hi", "truncation": "x" * 10_000})
    assert len(caught.value.message) < LONGEST_QUOTE + 100


RIGHT = {
    "every optional field null": dict.fromkeys(
        (
            "instructions",
            "stream",
            "stream_options",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "max_tool_calls",
            "max_output_tokens",
            "temperature",
            "top_p",
            "top_logprobs",
            "text",
            "reasoning",
            "include",
            "metadata",
            "store",
            "background",
            "previous_response_id",
            "conversation",
            "prompt",
            "truncation",
            "service_tier",
            "prompt_cache_key",
            "prompt_cache_retention",
            "safety_identifier",
            "user",
            "client_metadata",
            "context_management",
        )
    ),
    "empty objects and lists": {
        "text": {},
        "reasoning": {},
        "tools": [],
        "include": [],
        "metadata": {},
        "stream_options": {},
    },
    "an integer effort": {"reasoning": {"effort": 42}},
    "a message whose type is null": {"input": [{"type": None, "role": "user", "content": "x"}]},
    "an integer temperature": {"temperature": 1},
    "fields from the future": {"moderation": {"level": 3}, "x": None},
    "an empty string": {"input": ""},
    "only a previous response": {"input": None, "previous_response_id": "resp_1"},
    "only a prompt": {"input": None, "prompt": {"id": "pmpt_1"}},
    "a plain text format": {"text": {"format": {"type": "text"}}},
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_clients_really_send_is_taken(case):
    assert read_request({"model": "m", "input": "hi"} | RIGHT[case]).model == "m"


def test_an_error_that_has_no_words_of_its_own_keeps_those_of_the_check():
    fault = fault_of({"type": "odd", "loc": ("input", "<list>", 0), "msg": "It is odd", "input": 1})
    assert (fault.message, fault.param, fault.code) == (
        "Invalid 'input[0]': It is odd.",
        "input[0]",
        "invalid_value",
    )
