"""What a request may hold: one below each bound, exactly at it, and one above, with the field that is named."""

import json
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic_core import from_json

from shim.core.bounds import RequestBounds, check_bounds, path_at_depth
from shim.errors import ClientFault
from shim.http.bodies import PARSER_DEPTH, bounded_object, bounds_of, json_object
from shim.limits import DEEPEST_JSON
from shim.settings import Settings

FEW = RequestBounds(
    depth=12,
    values=100,
    items=5,
    tools=4,
    name_characters=10,
    schema_bytes=100,
    images=3,
    inline_bytes=1000,
)
AROUND = [-1, 0, 1]
"""One below a bound, exactly at it, one above."""


def refusal(body, bounds=FEW):
    """The code and field with which a body is refused; None if it is not."""
    fault = raised(lambda: bounded_object(json.dumps(body).encode(), bounds))
    if fault is None:
        return None
    assert (fault.status, fault.type) == (400, "invalid_request_error")
    assert fault.message
    return fault.code, fault.param


def raised(work):
    """The fault that `work` raises, None if it raises none; anything else fails the test."""
    try:
        work()
    except ClientFault as fault:
        return fault
    return None


def tool(name="f", parameters=None):
    return {"type": "function", "name": name, "parameters": parameters}


def image(url="https://images.test/1.png"):
    return {"type": "input_image", "image_url": url}


def user(*parts):
    return {"type": "message", "role": "user", "content": list(parts)}


def schema_of(size):
    """A schema of so many bytes."""
    return {"description": "x" * (size - len('{"description":""}'))}


@pytest.mark.parametrize("more", AROUND)
@pytest.mark.parametrize("field", ["input", "instructions", "items"])
def test_items_are_bounded(field, more):
    refused = refusal({field: [user()] * (FEW.items + more)})
    assert refused == (("array_above_max_length", field) if more > 0 else None)


@pytest.mark.parametrize("more", AROUND)
@pytest.mark.parametrize(("piece", "marks"), [("[]", 1), ("{}", 1), ("0", 0), ('"[{,"', 3)])
def test_values_are_bounded(piece, marks, more):
    """The object, its array, what is in it, the commas between, and what looks so in texts."""
    count = 20
    bounds = replace(FEW, values=2 + marks * count + (count - 1) - more)
    body = f'{{"x":[{",".join([piece] * count)}]}}{" " * 100}'.encode()
    fault = raised(lambda: bounded_object(body, bounds))
    assert (fault and fault.code) == ("json_too_large" if more > 0 else None)


def test_too_many_values_are_not_parsed(monkeypatch):
    monkeypatch.setattr("shim.http.bodies.from_json", None)
    fault = raised(lambda: bounded_object(b'{"x":[' + b"[]," * 100 + b"0]}", FEW))
    assert (fault.status, fault.code) == (400, "json_too_large")


def test_a_small_request_is_not_counted():
    class Uncounted(bytes):
        def count(self, *_):
            raise AssertionError

    assert bounded_object(Uncounted(b'{"x":1}'), FEW) == {"x": 1}


@pytest.mark.parametrize("more", AROUND)
def test_tools_are_bounded(more):
    refused = refusal({"tools": [tool()] * (FEW.tools + more)})
    assert refused == (("array_above_max_length", "tools") if more > 0 else None)


@pytest.mark.parametrize("more", AROUND)
def test_tools_are_counted_wherever_they_stand(more):
    space = {"type": "namespace", "name": "n", "tools": [tool()]}
    added = {"type": "additional_tools", "tools": [tool()] * (FEW.tools - 2 + more)}
    refused = refusal({"tools": [space], "input": [user(), added]})
    assert refused == (("array_above_max_length", "input[1].tools") if more > 0 else None)
    nested = {**space, "tools": [tool()] * (FEW.tools - 1 + more)}
    assert refusal({"tools": [nested]}) == (
        ("array_above_max_length", "tools[0].tools") if more > 0 else None
    )


@pytest.mark.parametrize("more", AROUND)
def test_names_are_bounded(more):
    name = "n" * (FEW.name_characters + more)
    code = "string_above_max_length"
    assert refusal({"tools": [tool(), tool(name)]}) == ((code, "tools[1].name") if more > 0 else None)
    space = {"type": "namespace", "name": "n", "tools": [tool(name)]}
    assert refusal({"tools": [space]}) == ((code, "tools[0].tools[0].name") if more > 0 else None)
    found = {"type": "tool_search_output", "tools": [tool(name)]}
    assert refusal({"input": [found]}) == ((code, "input[0].tools[0].name") if more > 0 else None)


@pytest.mark.parametrize("more", AROUND)
def test_schemas_are_bounded(more):
    schema = schema_of(FEW.schema_bytes + more)
    assert len(json.dumps(schema, separators=(",", ":"))) == FEW.schema_bytes + more
    code = "schema_too_large"
    assert refusal({"tools": [tool(), tool("f", schema)]}) == (
        (code, "tools[1].parameters") if more > 0 else None
    )
    text = {"format": {"type": "json_schema", "name": "n", "schema": schema}}
    assert refusal({"text": text}) == ((code, "text.format.schema") if more > 0 else None)


@pytest.mark.parametrize("more", AROUND)
def test_images_are_bounded(more):
    images = [image()] * (FEW.images - 1 + more)
    shown = {"type": "function_call_output", "call_id": "c", "content": None, "output": [image()]}
    refused = refusal({"input": [shown, user({"type": "input_text", "text": "x"}, *images)]})
    assert refused == (("too_many_images", f"input[1].content[{FEW.images}]") if more > 0 else None)


@pytest.mark.parametrize("more", AROUND)
@pytest.mark.parametrize(
    "part",
    [
        lambda size: image("DATA:" + "x" * (size - 5)),
        lambda size: {"type": "input_file", "file_data": "x" * size},
    ],
)
def test_what_stands_in_the_request_itself_is_bounded(part, more):
    half = FEW.inline_bytes // 2
    refused = refusal({"input": [user(part(half)), user(part(half + more))]})
    assert refused == (("inline_data_too_large", "input[1].content[0]") if more > 0 else None)


def test_links_are_not_what_they_lead_to():
    assert refusal({"input": [user(image("https://" + "x" * FEW.inline_bytes))]}) is None


def nested(depth, innermost=1):
    """A value with so many objects and arrays within each other."""
    for level in range(depth):
        innermost = {"a": innermost} if level % 2 else [innermost]
    return innermost


@pytest.mark.parametrize("more", AROUND)
def test_nesting_is_bounded(more):
    refused = refusal({"metadata": nested(FEW.depth - 1 + more)})
    path = "metadata" + from_path(FEW.depth - 1 + more)
    assert refused == (("json_too_deep", path) if more > 0 else None)
    deep_tool = {"tools": [tool(), tool("f", nested(FEW.depth - 3 + more))]}
    assert (
        refusal(deep_tool) is None if more <= 0 else refusal(deep_tool)[1].startswith("tools[1].parameters")
    )


def from_path(depth):
    """The first three steps into what `nested` made."""
    return "".join(".a" if (depth - 1 - step) % 2 else "[0]" for step in range(3))


@pytest.mark.parametrize("depth", [1, 2, 128, DEEPEST_JSON])
def test_the_bound_on_nesting_is_exact_whatever_it_is(depth):
    inner = b"[" * (depth - 1) + b"]" * (depth - 1) if depth > 1 else b"1"
    json_object(b'{"a":' + inner + b"}", depth)
    with pytest.raises(ClientFault, match=f"too deeply: {depth} objects") as refused:
        json_object(b'{"a":[' + inner.replace(b"1", b"") + b"]}", depth)
    assert refused.value.code == "json_too_deep"


def test_the_parser_reads_as_deep_as_is_thought():
    from_json(b"[" * PARSER_DEPTH + b"]" * PARSER_DEPTH)
    with pytest.raises(ValueError, match="recursion"):
        from_json(b"[" * (PARSER_DEPTH + 1) + b"]" * (PARSER_DEPTH + 1))


@pytest.mark.parametrize("depth", [1_000, 100_000, 1_000_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_without_end_is_a_clean_refusal(opening, depth):
    with pytest.raises(ClientFault) as refused:
        json_object(b'{"a":' + opening * depth, 128)
    assert refused.value.code == "json_too_deep"


@given(st.text(alphabet='[]{},:"1a ', max_size=12), st.integers(1, 8))
@example("1],[2", 3)
@example("{}]],[[{}", 2)
@example("],[", 4)
def test_what_is_no_json_is_none_however_the_nesting_is_bounded(text, depth):
    """The bound is counted by arrays put around the body: a body cannot reach into them."""
    body = text.encode()
    try:
        value = from_json(body)
    except ValueError:
        value = None
    deep = value is not None and path_at_depth(value, depth) is not None
    fault = raised(lambda: json_object(body, depth))
    assert (fault is None) == (isinstance(value, dict) and not deep)
    if fault is None:
        assert json_object(body, depth) == value
    else:
        assert (fault.code == "json_too_deep") == deep


json_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["data:x", "https://x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "name", "tools", "content", "output", "image_url", "file_data", "parameters"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["input", "instructions", "items", "tools", "text"]), json_values))
def test_whatever_stands_anywhere_is_counted_or_refused(body):
    tight = RequestBounds(
        depth=12, values=1, items=1, tools=1, name_characters=1, schema_bytes=1, images=1, inline_bytes=1
    )
    for bounds in (FEW, tight):
        fault = raised(lambda bounds=bounds: check_bounds(body, 1 << 20, bounds))
        assert fault is None or (fault.param and fault.code)


def test_a_small_request_is_not_measured_for_large_schemas():
    class Unmeasured(dict):
        def __len__(self):
            raise AssertionError

    check_bounds({"tools": [tool("f", Unmeasured())]}, FEW.schema_bytes, FEW)


def test_a_long_history_of_codex_is_within_the_usual_bounds():
    bounds = bounds_of(Settings())
    call = {"type": "function_call", "name": "shell", "call_id": "c", "arguments": "x" * 1000}
    output = {"type": "function_call_output", "call_id": "c", "output": "y" * 3000}
    tools = [tool(f"mcp__server__{number:03}_{'n' * 60}", schema_of(4000)) for number in range(500)]
    body = {"input": [user({"type": "input_text", "text": "x"}), *[call, output] * 2500], "tools": tools}
    data = json.dumps(body).encode()
    assert len(data) > 10 << 20
    assert bounded_object(data, bounds) == body
