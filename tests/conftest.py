"""Hypothesis profiles, and a store of its own for every test.

`ci` (the default) draws the same examples every time, `dev` draws new ones, `mutants` is quick.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=100, database=None, suppress_health_check=_SLOW
)
settings.register_profile("dev", deadline=None, max_examples=1_000, suppress_health_check=_SLOW)
settings.register_profile(
    "mutants",
    settings.get_profile("ci"),
    max_examples=80,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def _nothing_of_the_users(monkeypatch, tmp_path_factory):
    """No test stores anything in the user's data directory."""
    monkeypatch.setenv("GRID_SHIM_STORE", "memory")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / "data"))
