"""No settings but a test's own."""

import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GRID_SHIM_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.delenv("THEGRID_API_KEY", raising=False)
