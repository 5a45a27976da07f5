import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json
from upstream_loopback import KEY, hang_up, redirect, reply, serving, silent, upstream

from shim.core.codex import models_body
from shim.core.profile import Instrument
from shim.upstream.catalog import GRID_FALLBACK, NOTHING, Catalog, read_catalog, read_instrument

GRID_ENTRY = {
    "id": "code-max",
    "object": "model",
    "display_name": "Code Max",
    "created": 1_767_225_600,
    "owned_by": "the-grid",
    "context_length": 1_000_000,
    "max_completion_tokens": 128_000,
    "attachments": False,
    "reasoning": {"supported_efforts": ["max", "off", "low", "high"]},
}


def test_half_a_surrogate_pair_in_any_name_can_be_told():
    entry = {"id": "a\ud800", "display_name": "\udc00", "owned_by": "\ud800", "reasoning_efforts": ["\ud800"]}
    bare = "b\udfff"
    body = models_body(read_catalog([entry, bare]).instruments)
    assert [each["id"] for each in from_json(to_json(body))["data"]] == ["a\ufffd", "b\ufffd"]


def test_the_grids_entry_is_read():
    assert read_instrument(GRID_ENTRY) == Instrument(
        id="code-max",
        display_name="Code Max",
        context_window=1_000_000,
        max_output_tokens=128_000,
        efforts=("none", "low", "high", "max"),
        images=False,
        created=1_767_225_600,
        owned_by="the-grid",
    )


@pytest.mark.parametrize(
    ("fields", "fact", "value"),
    [
        ({"context_window": 5}, "context_window", 5),
        ({"max_context_length": "128,000"}, "context_window", 128_000),
        ({"max_model_len": 5.0}, "context_window", 5),
        ({"context_length": None, "top_provider": {"context_length": 5}}, "context_window", 5),
        ({"context_length": True}, "context_window", None),
        ({"context_length": "much"}, "context_window", None),
        ({"context_length": float("inf")}, "context_window", None),
        ({"context_length": -1}, "context_window", None),
        ({"max_output_tokens": 5}, "max_output_tokens", 5),
        ({"top_provider": {"max_completion_tokens": 5}}, "max_output_tokens", 5),
        ({"attachments": True}, "images", True),
        ({"attachments": ["image"]}, "images", True),
        ({"input_modalities": ["text"]}, "images", False),
        ({"architecture": {"input_modalities": ["text", "image"]}}, "images", True),
        ({"modalities": {"input": ["text", "image"]}}, "images", True),
        ({"capabilities": {"vision": True}}, "images", True),
        ({"capabilities": ["completion", "vision"]}, "images", True),
        ({"attachments": "yes"}, "images", None),
        ({"supported_reasoning_efforts": ["high", "low"]}, "efforts", ("low", "high")),
        ({"supported_reasoning_levels": [{"effort": "xhigh"}, {"effort": "minimal"}]}, "efforts", ("minimal", "xhigh")),
        ({"reasoning": {"supported_efforts": []}}, "efforts", ()),
        ({"reasoning": {"supported_efforts": ["turbo", "High", 3, None]}}, "efforts", ("high", "turbo")),
        ({"reasoning": True}, "efforts", None),
        ({"supported_parameters": ["tools", "max_tokens"]}, "temperature", False),
        ({"supported_parameters": ["temperature"]}, "temperature", True),
        ({"supported_parameters": []}, "temperature", True),
        ({"temperature": False}, "temperature", False),
        ({"temperature": 1.0}, "temperature", True),
        ({"created": "2025-01-01"}, "created", 0),
        ({"owned_by": 3}, "owned_by", "upstream"),
        ({"name": "X"}, "display_name", "X"),
    ],
)  # fmt: skip
def test_a_fact_is_found_under_many_names(fields, fact, value):
    instrument = read_instrument({"id": "x", **fields})
    assert getattr(instrument, fact) == value


@pytest.mark.parametrize(
    "payload",
    [
        {"data": [{"id": "a"}, {"id": "b"}]},
        {"models": [{"name": "a"}, {"model": "b"}]},
        {"data": [{"id": "a"}, {"id": "b"}], "models": [{"name": "other"}]},
        {"data": [], "models": [{"name": "a"}, {"name": "b"}]},
        [{"id": "a"}, {"id": "b"}],
        ["a", "b"],
        {"data": [None, 3, {}, {"id": ""}, {"id": 7}, [], {"id": "a"}, {"id": "b"}, {"id": "a"}, ""]},
    ],
)
def test_a_list_is_read_in_many_shapes_and_survives_bad_entries(payload):
    assert [instrument.id for instrument in read_catalog(payload).instruments] == ["a", "b"]


@pytest.mark.parametrize("payload", [None, 3, "x", {}, {"data": 3}, []])
def test_what_is_no_list_is_empty(payload):
    assert read_catalog(payload) == Catalog()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["id", "reasoning", "supported_efforts", "capabilities", "created"]), inner
        )
    ),
)


@given(JSON)
def test_nothing_in_an_entry_can_harm(entry):
    read_catalog([entry, {"id": "fine"}]).get("fine")


def test_the_first_of_a_name_counts_and_unknown_names_are_none():
    catalog = Catalog((Instrument("a", created=1), Instrument("a", created=2)))
    assert catalog.get("a") == Instrument("a", created=1)
    assert catalog.get("b") is catalog.get(None) is None


def test_the_fallback_is_the_documented_table():
    assert len(GRID_FALLBACK.instruments) == 10
    assert GRID_FALLBACK.fallback
    opus = GRID_FALLBACK.get("claude-opus-latest")
    assert (opus.images, opus.temperature, opus.efforts[0]) == (True, False, "none")
    assert GRID_FALLBACK.get("agent-prime").context_window == 196_608
    assert GRID_FALLBACK.get("code-standard").max_output_tokens == 65_536


async def test_the_upstreams_own_list_is_fetched_with_the_key_through_redirects():
    async with serving(redirect("/list"), reply(200, {"data": [GRID_ENTRY]})) as server:
        up = upstream(server.url())
        catalog = await up.catalog(KEY)
        await up.aclose()
    assert catalog.get("code-max").context_window == 1_000_000
    assert not catalog.fallback
    assert [request.path for request in server.requests] == ["/v1/models", "/list"]
    assert server.requests[1].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "answer", [reply(404), reply(200, "no json"), reply(200, "[" * 50_000), reply(200, {"data": []}), hang_up]
)
@pytest.mark.parametrize(("profile", "known"), [("grid", GRID_FALLBACK), ("vllm", NOTHING)])
async def test_without_a_list_from_upstream_there_is_what_the_shim_knows(answer, profile, known):
    async with serving(answer) as server:
        up = upstream(server.url(), profile=profile)
        assert await up.catalog() is known
        await up.aclose()


async def test_a_bad_key_does_not_cost_the_catalog():
    async with serving(reply(401)) as server:
        up = upstream(server.url())
        assert await up.catalog("not a key") is GRID_FALLBACK
        await up.aclose()


async def test_a_junk_key_that_passes_through_holds_nobody_up():
    async with serving(reply(401), reply(200, {"data": [GRID_ENTRY]})) as server:
        up = upstream(server.url())
        assert await up.catalog("junk") is GRID_FALLBACK
        assert up.catalog_failure("junk") == 401
        assert not (await up.catalog(KEY)).fallback
        assert up.catalog_failure(KEY) is None
        await up.aclose()


async def test_a_key_with_which_chat_was_answered_waits_behind_no_stranger(monkeypatch):
    monkeypatch.setattr("shim.upstream.shelf.MOST_FAILURES", 1)
    chat = reply(200, {"choices": []})
    async with serving(reply(401), chat, reply(200, {"data": [GRID_ENTRY]})) as server:
        up = upstream(server.url())
        assert await up.catalog("junk") is GRID_FALLBACK
        assert await up.catalog(KEY) is GRID_FALLBACK
        await (await up.open(b"{}", KEY)).aclose()
        assert not (await up.catalog(KEY)).fallback
        await up.aclose()


async def test_a_list_that_takes_too_long_is_done_without(monkeypatch):
    monkeypatch.setattr("shim.upstream.client.CATALOG_SECONDS", 0.01)
    async with serving(silent) as server:
        up = upstream(server.url())
        assert await up.catalog() is GRID_FALLBACK
        await up.aclose()
