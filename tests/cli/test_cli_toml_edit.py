"""Edits to a user's TOML: repeatable, reversible to the byte, and never touching what is the user's."""

import tomllib

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from shim.cli.toml_edit import Change, EditError, apply, revert

PROVIDER = {"name": "The Grid", "base_url": "http://127.0.0.1:4000/v1", "wire_api": "responses"}
CHANGES = [
    Change(("model",), "code-prime"),
    Change(("web_search",), "disabled"),
    Change(("model_providers", "grid"), PROVIDER),
]

CONFIGS = {
    "empty": "",
    "comment only": "# mine\n",
    "no final newline": 'model = "x"',
    "values and tables": 'model = "gpt-5.5" # mine\n\n[tui]\ntheme = "dark"\n',
    "crlf": 'model = "x"\r\n[tui]\r\ntheme = "dark"\r\n',
    "another provider": '[model_providers.mine]\nname = "M" # keep\nbase_url = "http://m"\n\n[tui]\na = 1\n',
    "provider of that name": '[model_providers.grid]\n# old\nname = "Old"\nrequires_openai_auth = true\n\n[z]\na = 1\n',
    "providers with a header": '[model_providers]\n\n[model_providers.mine]\nname = "M"\n',
    "inline providers": 'model_providers = { mine = { name = "M" } }\n[tui]\na = 1\n',
    "dotted provider": 'model_providers.mine.name = "M"\n[tui]\na = 1\n',
    "dotted grid": '[model_providers]\ngrid.name = "Old"\ngrid.env_key = "K"\n',
    "array of tables": '[[hooks]]\nname = "a"\n\n[[hooks]]\nname = "b"\n',
    "providers split": '[model_providers.a]\nname = "A"\n[tui]\nx = 1\n[model_providers.b]\nname = "B"\n',
    "subtable of grid": '[model_providers.grid]\nname = "Old"\n[model_providers.grid.http_headers]\nx = "y"\n[t]\na=1\n',
    "already there": 'model = "code-prime"\nweb_search = "disabled"\n',
}


@pytest.mark.parametrize("before", CONFIGS.values(), ids=CONFIGS)
class TestEveryConfig:
    def test_the_result_says_what_was_meant_and_keeps_the_rest(self, before):
        meant, result = tomllib.loads(before), tomllib.loads(apply(before, CHANGES))
        assert result["model"] == "code-prime"
        assert result["model_providers"]["grid"] == PROVIDER
        assert {
            key: value
            for key, value in result.items()
            if key not in {"model", "web_search", "model_providers"}
        } == {
            key: value
            for key, value in meant.items()
            if key not in {"model", "web_search", "model_providers"}
        }

    def test_comments_of_the_user_survive(self, before):
        after = apply(before, CHANGES)
        for word in ("# mine", "# keep"):
            assert (word in before) == (word in after)

    def test_a_second_time_changes_nothing(self, before):
        once = apply(before, CHANGES)
        assert apply(once, CHANGES) == once

    def test_undo_at_once_is_exact(self, before):
        assert revert(apply(before, CHANGES), before, CHANGES) == (before, [])

    def test_undo_keeps_what_the_user_added_since(self, before):
        edited = apply(before, CHANGES).rstrip() + "\n\n[added]\nlater = true # mine, too\n"
        reverted, kept = revert(edited, before, CHANGES)
        assert kept == []
        assert tomllib.loads(reverted) == tomllib.loads(before) | {"added": {"later": True}}
        assert "# mine, too" in reverted

    def test_undo_leaves_a_value_that_the_user_changed(self, before):
        edited = apply(before, CHANGES).replace('"code-prime"', '"code-max"')
        reverted, kept = revert(edited, before, CHANGES)
        assert kept == [("model",)]
        assert tomllib.loads(reverted)["model"] == "code-max"


keys = st.text("abcgm_", min_size=1, max_size=3) | st.sampled_from(
    ["model", "model_providers", "grid", "tui"]
)
values = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.text(max_size=5) | st.lists(st.integers(0, 9), max_size=2),
    lambda inner: st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(keys, values, max_size=5))
def test_any_config_is_edited_and_restored_or_refused(config):
    before = tomlkit.dumps(config)
    try:
        after = apply(before, CHANGES)
    except EditError:
        return
    assert tomllib.loads(after)["model_providers"]["grid"] == PROVIDER
    assert revert(after, before, CHANGES) == (before, [])
    edited = after + "\n[zz]\nuser = 1\n"
    try:
        reverted, kept = revert(edited, before, CHANGES)
    except EditError:
        return
    assert kept == []
    assert tomllib.loads(reverted) == tomllib.loads(before) | {"zz": {"user": 1}}


@pytest.mark.parametrize("text", ["model = ", "model_providers = 1\n", 'model_providers = ["x"]\n'])
def test_what_cannot_be_edited_is_refused(text):
    with pytest.raises(EditError):
        apply(text, CHANGES)
