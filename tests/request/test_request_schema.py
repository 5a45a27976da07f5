"""Argument schemas become what strict suppliers take, and constrain what they constrained before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from request_asks import assert_accepted, chat_of, function

from shim.core.schema import arguments_schema

EMPTY = {"type": "object", "properties": {}}
TEXT = {"type": "string"}


def of(**properties):
    return {"type": "object", "properties": properties}


CASES = {
    "null": (None, EMPTY),
    "empty": ({}, EMPTY),
    "no type": ({"properties": {"a": TEXT}}, of(a=TEXT)),
    "no properties": ({"type": "object"}, EMPTY),
    "properties null": ({"type": "object", "properties": None}, EMPTY),
    "nulls for absent keywords": (
        of(a={"type": "string", "description": None, "enum": None}) | {"required": None, "$defs": None},
        of(a=TEXT),
    ),
    "nulls that are values": (
        of(a={"default": None, "const": None, "example": None, "enum": [None, 1], "examples": [None]}),
        of(a={"default": None, "const": None, "example": None, "enum": [None, 1], "examples": [None]}),
    ),
    "a list of types": ({"type": ["object", "null"]}, EMPTY),
    "another type": ({"type": "string"}, EMPTY),
    "the keyword encrypted": (of(a={"type": "string", "encrypted": True}), of(a=TEXT)),
    "the keyword encrypted in a list": (
        of(a={"anyOf": [{"encrypted": True}, True]}),
        of(a={"anyOf": [{}, True]}),
    ),
    "the keyword encrypted in items": (of(a={"items": {"encrypted": True}}), of(a={"items": {}})),
    "the keyword encrypted in definitions": (
        {"$defs": {"encrypted": {"encrypted": True}}, "$ref": "#/$defs/encrypted"},
        {"type": "object", "$defs": {"encrypted": {}}, "$ref": "#/$defs/encrypted", "properties": {}},
    ),
    "a property called encrypted": (
        of(encrypted=TEXT) | {"required": ["encrypted"], "dependentRequired": {"encrypted": ["a"]}},
        of(encrypted=TEXT) | {"required": ["encrypted"], "dependentRequired": {"encrypted": ["a"]}},
    ),
    "a property called encrypted in a pattern and a dependency": (
        {**EMPTY, "patternProperties": {"encrypted": TEXT}, "dependencies": {"encrypted": ["a"]}},
        {**EMPTY, "patternProperties": {"encrypted": TEXT}, "dependencies": {"encrypted": ["a"]}},
    ),
    "a property called encrypted whose schema is a boolean": (of(encrypted=True), of(encrypted=True)),
    "encrypted as data": (of(a={"default": {"encrypted": 1}}), of(a={"default": {"encrypted": 1}})),
    "a choice at the top": (
        {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {}},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_schema_becomes_acceptable(case):
    given_, wanted = CASES[case]
    assert arguments_schema(given_) == wanted
    assert_accepted(chat_of("hi", tools=[function(parameters=given_)]))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "encrypted", "items", "$ref", "enum", "a"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@given(
    schema=st.dictionaries(
        st.sampled_from(["type", "properties", "encrypted", "anyOf", "title"]), json_values
    )
)
def test_cleaning_twice_changes_nothing_more_and_never_the_callers_object(schema):
    before = repr(schema)
    once = arguments_schema(schema)
    assert arguments_schema(once) == once
    assert repr(schema) == before
    assert once["type"] == "object"


def test_a_schema_as_deep_as_the_parser_allows_is_cleaned():
    schema = {"type": "object", "properties": {}}
    for _ in range(95):
        schema = {"type": "object", "encrypted": True, "properties": {"x": schema}}
    cleaned = arguments_schema(schema)
    depth = 0
    while cleaned["properties"]:
        assert "encrypted" not in cleaned
        cleaned, depth = cleaned["properties"]["x"], depth + 1
    assert depth == 95
