"""Browser tests: marked as such, without the user's configuration."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GRID_SHIM_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.delenv("THEGRID_API_KEY", raising=False)
