"""The catalogue entries: every field Codex requires, true limits, and nothing an upstream cannot do."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.core.agent_prompt import AGENT_PROMPT
from shim.core.codex import CODEX_BODY_BYTES, compaction_limit, model_entry, models_body
from shim.core.profile import Instrument
from shim.upstream.catalog import GRID_FALLBACK

REQUIRED = {
    "slug",
    "display_name",
    "supported_reasoning_levels",
    "shell_type",
    "visibility",
    "supported_in_api",
    "priority",
    "support_verbosity",
    "truncation_policy",
    "experimental_supported_tools",
    "base_instructions",
    "supports_reasoning_summaries",
    "supports_parallel_tool_calls",
}

instruments = st.builds(
    Instrument,
    id=st.text(min_size=1),
    display_name=st.text(),
    context_window=st.none() | st.integers(2_048, 2_000_000),
    max_output_tokens=st.none() | st.integers(1, 200_000),
    efforts=st.none()
    | st.lists(st.sampled_from(["none", "low", "medium", "high", "xhigh", "max"]), unique=True).map(tuple),
    images=st.none() | st.booleans(),
)


@given(instruments, st.integers(1, 99))
def test_an_entry_has_every_required_field_and_offers_what_works(instrument, priority):
    entry = model_entry(instrument, priority)
    assert entry.keys() >= REQUIRED
    assert entry["apply_patch_tool_type"] == "freeform"
    assert entry["multi_agent_version"] == "disabled"
    assert not entry["supports_search_tool"]
    assert not entry["use_responses_lite"]
    assert "tool_mode" not in entry
    assert entry["supports_reasoning_summaries"]
    assert entry["default_reasoning_summary"] == "auto"


@given(instruments)
def test_the_default_effort_is_one_of_those_offered(instrument):
    entry = model_entry(instrument, 1)
    offered = [level["effort"] for level in entry["supported_reasoning_levels"]]
    assert offered == list(instrument.efforts or ())
    assert entry["default_reasoning_level"] in (offered or [None])


@given(instruments)
def test_codex_compacts_before_the_window_is_full(instrument):
    window = model_entry(instrument, 1)["context_window"]
    assert 0 < compaction_limit(instrument) < window * 0.9


@pytest.mark.parametrize("window", [128_000, 196_608])
def test_codex_compacts_before_the_grids_input_limit(window):
    assert compaction_limit(Instrument("code-prime", context_window=window)) < 120_000


@pytest.mark.parametrize(
    ("images", "modalities"), [(True, ["text", "image"]), (False, ["text"]), (None, ["text"])]
)
def test_images_are_offered_only_where_they_are_known_to_be_taken(images, modalities):
    assert model_entry(Instrument("m", images=images), 1)["input_modalities"] == modalities


def test_an_unknown_window_counts_as_a_safe_one():
    assert model_entry(Instrument("m"), 1)["context_window"] == 128_000


def test_one_body_serves_both_kinds_of_clients():
    body = models_body(GRID_FALLBACK.instruments)
    names = [one.id for one in GRID_FALLBACK.instruments]
    assert body["object"] == "list"
    assert [entry["id"] for entry in body["data"]] == names
    assert [entry["slug"] for entry in body["models"]] == names
    assert [entry["priority"] for entry in body["models"]] == list(range(1, len(names) + 1))
    assert all(entry["object"] == "model" for entry in body["data"])


def test_a_very_long_list_stays_below_what_codex_reads():
    body = models_body([Instrument(f"model-{number}") for number in range(1000)])
    assert len(body["data"]) == 1000
    assert 50 < len(body["models"]) < 1000
    assert len(json.dumps(body["models"])) < CODEX_BODY_BYTES * 1.01


def test_the_prompt_teaches_the_patch_format_and_the_tools():
    for word in (
        "*** Begin Patch",
        "*** End Patch",
        "*** Add File: ",
        "*** Update File: ",
        "*** Delete File: ",
        "*** Move to: ",
        "*** End of File",
        "`exec_command`",
        "`write_stdin`",
        "`apply_patch`",
        "`view_image`",
        "`update_plan`",
        "AGENTS.md",
    ):
        assert word in AGENT_PROMPT
