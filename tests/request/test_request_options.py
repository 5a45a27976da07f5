"""Everything beside the conversation: sampling, limits, reasoning, formats, profiles, aliases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from request_asks import (
    EFFORTS,
    MAX,
    assert_accepted,
    chat_of,
    function,
    notes_of,
    reasoning,
    target,
    translate,
    user,
)

from shim.core import request as translating
from shim.core.profile import PRESETS, Instrument
from shim.core.request import EFFORTS as ALL_EFFORTS
from shim.core.request import Aliases, fit_effort
from shim.core.support import FIELDS, ITEMS, PARTS, TOOLS
from shim.wire.items import _ITEMS
from shim.wire.parts import _PARTS
from shim.wire.request import CreateResponse
from shim.wire.tools import _TOOLS


def test_what_the_caller_left_out_stays_out():
    assert chat_of("hi") == {
        "model": "text-max",
        "messages": [user("hi")],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_nulls_are_the_same_as_nothing():
    fields = dict.fromkeys(set(CreateResponse.model_fields) - {"model", "input"})
    assert chat_of("hi", **fields) == chat_of("hi")
    assert chat_of("hi", text={}, reasoning={}, tools=[], include=[], metadata={}) == chat_of("hi")


ALONE = {
    "include": ["message.output_text.logprobs"],
    "max_output_tokens": 20,
    "metadata": {"a": "b"},
    "parallel_tool_calls": False,
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "reasoning": {"effort": "high"},
    "safety_identifier": "s",
    "service_tier": "flex",
    "temperature": 0.5,
    "text": {"verbosity": "low", "format": {"type": "json_object"}},
    "tool_choice": "auto",
    "tools": [function("get_weather")],
    "top_logprobs": 2,
    "top_p": 0.9,
    "truncation": "auto",
    "user": "u",
}


@pytest.mark.parametrize("name", sorted(CreateResponse.model_fields.keys() - {"model", "input"}))
def test_a_field_that_comes_alone_is_not_passed_over(monkeypatch, name):
    """Fields that choose how the model answers are listed, so that a request without any of them is not searched for each."""
    given = {name: ALONE[name]} if name in ALONE else {}
    before = translate("hi", **given)
    monkeypatch.setattr(translating, "_CHOSEN", frozenset(CreateResponse.model_fields))
    assert translate("hi", **given).chat == before.chat
    assert translate("hi", **given).notes == before.notes


AS_THEY_ARE = {
    "temperature": 0.5,
    "top_p": 0.9,
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "safety_identifier": "s",
    "service_tier": "flex",
    "user": "u",
}


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_a_field_that_chat_has_too_goes_as_it_is(name):
    chat = chat_of("hi", **{name: AS_THEY_ARE[name]})
    assert chat[name] == AS_THEY_ARE[name]
    assert_accepted(chat)


@pytest.mark.parametrize(
    ("wanted", "most", "sent", "noted"),
    [(100, None, 100, False), (100, 100, 100, False), (101, 100, 100, True)],
)
def test_the_output_limit_is_at_most_the_instruments_own(wanted, most, sent, noted):
    translation = translate(
        "hi", target(instrument=replace(MAX, max_output_tokens=most)), max_output_tokens=wanted
    )
    assert translation.chat["max_completion_tokens"] == sent
    assert translation.notes == (
        (f"max_output_tokens: {wanted} lowered to the instrument's {most}",) if noted else ()
    )


def test_an_instrument_that_takes_no_sampling_is_sent_none():
    fixed = target(instrument=replace(MAX, temperature=False))
    translation = translate("hi", fixed, temperature=0.5, top_p=0.9)
    assert not {"temperature", "top_p"} & translation.chat.keys()
    assert translation.notes == ("temperature: not taken by text-max", "top_p: not taken by text-max")


# -- logprobs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 0}, {"logprobs": True}),
        ({"include": ["reasoning.encrypted_content"]}, {}),
        ({"top_logprobs": 0}, {}),
    ],
)
def test_log_probabilities_are_asked_for_in_chats_way(fields, sent):
    chat = chat_of("hi", **fields)
    assert {name: chat[name] for name in ("logprobs", "top_logprobs") if name in chat} == sent
    assert_accepted(chat)


def test_log_probabilities_are_left_out_where_the_upstream_takes_none_beside_tools():
    llama = target(PRESETS["llama.cpp"])
    translation = translate("hi", llama, top_logprobs=2, tools=[function()])
    assert "logprobs" not in translation.chat
    assert "logprobs: not taken beside tools" in translation.notes
    assert chat_of("hi", llama, top_logprobs=2)["logprobs"] is True


# -- format ---------------------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "n", "schema": SCHEMA},
            {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
        ),
        (
            {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": False, "description": "d"},
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": SCHEMA, "strict": False, "description": "d"},
            },
        ),
    ],
)
def test_the_format_of_the_text_is_a_response_format(given, sent):
    chat = chat_of("hi", text={"format": given, "verbosity": "low"})
    assert chat.get("response_format") == sent
    assert chat["verbosity"] == "low"
    assert_accepted(chat)


# -- effort ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effort", "known", "fitted"),
    [
        ("high", EFFORTS, "high"),
        ("none", ("low", "medium", "high"), "low"),
        ("minimal", ("low", "medium", "high"), "low"),
        ("xhigh", ("low", "medium", "high"), "high"),
        ("max", ("low", "medium", "high"), "high"),
        ("minimal", EFFORTS, "none"),
        ("xhigh", ("low", "high", "max"), "max"),
        ("medium", ("low", "xhigh"), "low"),
        ("xhigh", None, "high"),
        ("low", (), None),
        ("high", ("deep",), None),
        ("deep", ("deep",), "deep"),
        ("ultra", EFFORTS, None),
        (42, EFFORTS, None),
    ],
)
def test_an_effort_is_fitted_to_what_the_instrument_knows(effort, known, fitted):
    assert fit_effort(effort, known) == fitted
    translation = translate(
        "hi", target(instrument=Instrument("m", efforts=known)), reasoning={"effort": effort}
    )
    assert translation.chat.get("reasoning_effort") == fitted
    changed = f"reasoning.effort: {effort!r} {f'sent as {fitted!r}' if fitted else 'left out'}"
    assert translation.notes == (() if fitted == effort else (changed,))


@pytest.mark.parametrize("known", [("low",), ("none", "max"), EFFORTS])
def test_a_higher_wish_is_never_fitted_to_a_lower_effort(known):
    fitted = [ALL_EFFORTS.index(fit_effort(effort, known)) for effort in ALL_EFFORTS]
    assert fitted == sorted(fitted)


# -- notes ----------------------------------------------------------------------------------------------------


def test_what_is_not_applied_is_noted():
    translation = translate(
        "hi",
        max_tool_calls=2,
        zeta=1,
        alpha=None,
    )
    assert translation.notes == (
        "alpha: unknown, left out",
        "zeta: unknown, left out",
        "max_tool_calls: counts hosted tools only, and there are none",
    )


def test_what_changes_nothing_is_not_noted():
    fields = {"truncation": "auto", "metadata": {"a": "b"}, "store": False, "client_metadata": {"a": 1}}
    assert translate("hi", **fields).notes == ()


def test_the_support_table_has_a_row_for_everything_that_is_read():
    assert set(FIELDS) == set(CreateResponse.model_fields)
    assert set(ITEMS) == {*_ITEMS, "any other item"} - {"context_compaction", "compaction_summary"}
    assert set(PARTS) | {"text", "summary_text", "reasoning_text"} == {*_PARTS, "any other part"}
    assert set(TOOLS) == {*_TOOLS, "any hosted tool"}


# -- profiles -------------------------------------------------------------------------------------------------

EVERYTHING = {
    **AS_THEY_ARE,
    "max_output_tokens": 100,
    "metadata": {"a": "b"},
    "parallel_tool_calls": True,
    "reasoning": {"effort": "low"},
    "text": {"verbosity": "low"},
    "tools": [function(strict=True)],
    "tool_choice": {"type": "function", "name": "f"},
}
ALWAYS = {"model", "messages", "stream", "stream_options", "tools", "tool_choice", "temperature", "top_p"}
PROFILES = {
    "grid": {
        "max_completion_tokens",
        "parallel_tool_calls",
        "reasoning_effort",
        "verbosity",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "user",
    },
    "openai-compatible": {"max_completion_tokens", "parallel_tool_calls", "reasoning_effort", "user"},
    "vllm": {"max_completion_tokens", "parallel_tool_calls", "reasoning_effort", "user"},
    "ollama": {"max_tokens", "reasoning_effort"},
    "llama.cpp": {"max_tokens", "parallel_tool_calls"},
    "openrouter": {
        "max_completion_tokens",
        "parallel_tool_calls",
        "reasoning_effort",
        "user",
        "service_tier",
    },
    "deepseek": {"max_tokens", "user"},
}


def test_every_preset_is_checked_here():
    assert set(PROFILES) == set(PRESETS)


@pytest.mark.parametrize("name", PROFILES)
def test_an_upstream_is_sent_only_what_it_understands_and_the_rest_is_noted(name):
    profile = PRESETS[name]
    translation = translate([reasoning("hm"), *CALLED], target(profile), **EVERYTHING)
    chat = translation.chat
    assert set(chat) == ALWAYS | PROFILES[name]
    assert ("strict" in chat["tools"][0]["function"]) is profile.strict
    assert isinstance(chat["tool_choice"], dict) is profile.object_tool_choice
    assert chat["messages"][0][profile.reasoning_field] == "hm"
    passed_over = {"verbosity", "prompt_cache_key", "safety_identifier", "service_tier", "user"} - PROFILES[
        name
    ]
    assert all(f"{field}: not taken by this upstream" in translation.notes for field in passed_over)


CALLED = [
    {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "a", "output": "x"},
]


def test_metadata_is_sent_where_it_is_understood_and_else_only_echoed():
    full = target(options=PRESETS["grid"].options | {"metadata"})
    assert chat_of("hi", full, metadata={"a": "b"})["metadata"] == {"a": "b"}
    assert "metadata" not in chat_of("hi", metadata={"a": "b"})


def test_usage_is_not_asked_for_where_that_is_not_understood():
    assert "stream_options" not in chat_of("hi", target(stream_usage=False))


# -- aliases --------------------------------------------------------------------------------------------------

ALIASES = Aliases(
    {"fast": "text-standard", "gpt-5*": "code-max", "gpt-5-mini": "code-standard"},
    ("gpt-*", "o[0-9]*"),
    "code-prime",
)


@pytest.mark.parametrize(
    ("model", "instrument"),
    [
        ("fast", "text-standard"),
        ("gpt-5-mini", "code-standard"),
        ("gpt-5-codex", "code-max"),
        ("gpt-4.1", "code-prime"),
        ("o3", "code-prime"),
        ("gpt-sol-latest", "gpt-sol-latest"),
        ("newest-instrument", "newest-instrument"),
        ("GPT-4", "GPT-4"),
    ],
)
def test_a_model_name_stands_for_an_instrument(model, instrument):
    assert ALIASES.resolve(model, frozenset({"gpt-sol-latest"})) == instrument


def test_without_a_default_no_family_stands_for_anything():
    assert Aliases(families=("gpt-*",)).resolve("gpt-5", frozenset()) == "gpt-5"


def test_an_upstream_without_schemas_is_asked_for_an_object():
    text = {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}}
    result = translate([user("Hi")], target(json_schema=False), text=text)
    assert result.chat["response_format"] == {"type": "json_object"}
    assert any(note.startswith("text.format: this upstream takes no schema") for note in result.notes)


def test_includes_that_nothing_answers_are_noted():
    notes = notes_of(user("Hi"), include=["reasoning.encrypted_content", "file_search_call.results"])
    assert [note for note in notes if "include" in note] == [
        "include: 'file_search_call.results' is not known"
    ]


def test_parallel_calls_that_an_upstream_cannot_steer_are_noted():
    tools = [{"type": "function", "name": "f"}]
    result = translate([user("Hi")], target(options=frozenset()), tools=tools, parallel_tool_calls=False)
    assert "parallel_tool_calls: not taken by this upstream" in result.notes
