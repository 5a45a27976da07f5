"""Boundaries behind the first one: whatever comes is refused in the words of its dialect, or does no harm later.

The request's own boundaries are in `fuzz_targets`; these need a store, a socket or the command line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from fuzz_targets import ODD
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json
from starlette.requests import Request
from websockets.sync.client import connect

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stateful"))
from request_strategies import conversations, spoiled
from stateful_stack import MODEL, running_stack

from shim.cli.options import read_settings
from shim.cli.problem import Problem
from shim.errors import ClientFault
from shim.http.bodies import json_object
from shim.http.lists import window_of
from shim.http.messages import Create, error_event, lane_of, read_message
from shim.settings import Settings
from shim.store.records import Window

anything = st.recursive(
    st.sampled_from(ODD) | st.text(max_size=5) | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def stack():
    with running_stack("memory", retry_attempts=1) as stack:
        yield stack


def answer(http, method, path, expected=(200, 400, 404, 409), **options):
    reply = http.request(method, path, **options)
    assert reply.status_code in expected, reply.text
    assert reply.status_code == 200 or set(reply.json()["error"]) == {"message", "type", "param", "code"}
    return reply.json() if reply.status_code == 200 else None


@settings(max_examples=30)
@given(data=st.data())
def test_whatever_is_accepted_can_be_shown_listed_and_continued(stack, data):
    items = data.draw(conversations(most=4).flatmap(lambda drawn: st.just(drawn.items) | spoiled(drawn)))
    with stack.http() as http:
        made = answer(http, "POST", "/responses", json={"model": MODEL, "input": items})
        if made is not None:
            assert answer(http, "GET", f"/responses/{made['id']}") == made
            listed = answer(http, "GET", f"/responses/{made['id']}/input_items?order=asc&limit=100")
            assert len(listed["data"]) == len(
                [item for item in items if item.get("type") != "item_reference"]
            )
            again = {"model": MODEL, "previous_response_id": made["id"], "input": items[-1:]}
            answer(http, "POST", "/responses", json=again)
            answer(http, "POST", "/responses/input_tokens", json=again)
        kept = answer(http, "POST", "/conversations", json={"items": items})
        if kept is not None:
            listed = answer(http, "GET", f"/conversations/{kept['id']}/items?order=asc")
            for item in listed["data"]:
                assert answer(http, "GET", f"/conversations/{kept['id']}/items/{item['id']}") == item
            answer(
                http, "POST", "/responses", json={"model": MODEL, "conversation": kept["id"], "input": "and?"}
            )


@settings(max_examples=50)
@given(fields=st.dictionaries(
    st.sampled_from(["input", "instructions", "previous_response_id", "conversation", "prompt", "include", "metadata", "tools",
                     "tool_choice", "text", "reasoning", "truncation", "context_management", "background", "stream_options"]),
    anything,
    max_size=3,
))  # fmt: skip
def test_a_wrong_field_is_a_400_wherever_it_is_read(stack, fields):
    body = json.dumps({"model": MODEL, "input": "hi", **fields})
    sent = {"content": body, "headers": {"content-type": "application/json"}}
    with stack.http() as http:
        for path in ("/responses", "/responses/compact", "/responses/input_tokens", "/conversations"):
            answer(http, "POST", path, **sent)


_MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["response.create", "response.steer", "response.cancel"]) | anything,
        "stream_id": st.none() | st.text(max_size=200) | anything,
        "generate": st.booleans() | anything,
        "background": anything,
        "previous_response_id": anything,
        "input": anything,
    },
)


def _heard(data):
    """What a message is, or the event that refuses it."""
    try:
        fields = json_object(data)
        return read_message(fields, lane_of(fields), len(data))
    except ClientFault as fault:
        return error_event(fault)


@given(_MESSAGES)
@example({"type": "\ud83d"})
def test_any_websocket_message_is_understood_or_refused(message):
    heard = _heard(json.dumps(message).encode())
    if isinstance(heard, dict):
        assert heard["status"] == 400
        to_json(heard)
    elif isinstance(heard, Create):
        assert message["type"] == "response.create"
        assert heard.body["stream"] is True
        to_json(heard.body)


@settings(max_examples=25)
@given(st.lists(_MESSAGES.map(json.dumps) | st.text(max_size=20) | st.binary(max_size=20), max_size=4))
def test_a_websocket_outlives_any_messages(stack, messages):
    told = {"authorization": "Bearer alice"}
    with connect(
        stack.base_url.replace("http", "ws") + "/responses", additional_headers=told, proxy=None
    ) as socket:
        for message in messages:
            socket.send(message)
        socket.send(
            json.dumps({"type": "response.create", "stream_id": "last", "model": MODEL, "input": "say hello"})
        )
        while True:
            event = json.loads(socket.recv(timeout=20))
            assert event.get("status", 400) < 500, event
            if event.get("stream_id") == "last" and event["type"] == "response.completed":
                break


@given(
    st.dictionaries(
        st.sampled_from(["limit", "order", "after", "before", "x"]),
        st.text(max_size=6) | st.integers().map(str),
    )
)
@example({"limit": "9" * 5000})
@example({"limit": "\N{ARABIC-INDIC DIGIT FIVE}"})
def test_any_query_of_a_list_is_a_window_or_refused_by_name(query):
    try:
        window = window_of(Request({"type": "http", "query_string": _encoded(query), "headers": []}))
    except ClientFault as fault:
        refused = fault.status, fault.param in ("limit", "order")
    else:
        refused = None
        assert isinstance(window, Window)
        assert 1 <= window.limit <= 100
    assert refused in (None, (400, True))


def _encoded(query):
    from urllib.parse import urlencode  # noqa: PLC0415

    return urlencode(query).encode()


def _read(**given):
    """The settings, or one sentence; nothing else is ever raised."""
    try:
        return read_settings(**given)
    except Problem as problem:
        told = problem.message, problem.fix
    assert all(told)
    return None


@pytest.fixture
def config(monkeypatch, tmp_path):
    monkeypatch.delenv("GRID_SHIM_STORE", raising=False)
    monkeypatch.setenv("GRID_SHIM_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").touch()
    return tmp_path / "config.toml"


_NAMES = st.sampled_from(sorted(Settings.model_fields))
_SAID = st.text(max_size=12) | st.sampled_from(
    ["0", "-1", "1e999", "nan", "true", "{", '{"a": 1}', '["a"]', "a=b,c", "https://a", "[::1]", "*."]
)


@settings(max_examples=200)
@given(data=st.data())
def test_any_value_of_any_setting_is_read_or_refused_in_one_sentence(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GRID_SHIM_CONFIG", raising=False)
        _read(assignments=(f"{data.draw(_NAMES)}={data.draw(_SAID)}",))


@pytest.mark.parametrize(
    "name", ["key", "client_tokens", "seal_key", "seal_keys_accepted", "ssl_keyfile_password", "store"]
)
@pytest.mark.parametrize("wrong", ['["{}", 5]', '{{ a = "{}" }}', '[["{}"]]'])
def test_a_secret_is_in_no_sentence_on_a_wrong_setting(config, name, wrong):
    secret = "sk-very-secret-value"
    config.write_text(f"{name} = {wrong.format(secret)}\n")
    with pytest.raises(Problem) as raised:
        read_settings()
    assert secret not in raised.value.message + raised.value.fix


def test_any_bytes_as_the_file_of_settings_are_read_or_refused(config):
    @given(
        st.binary(max_size=40)
        | st.dictionaries(_NAMES, st.sampled_from(['"x"', "1", "[]", "{}", "true", "1979-05-27", "nan"])).map(
            _toml
        )
    )
    def check(data):
        config.write_bytes(data)
        _read()

    check()


def _toml(values):
    return "".join(f"{name} = {value}\n" for name, value in values.items()).encode()
