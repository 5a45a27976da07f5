"""Real clients, unchanged, on the endpoint in front of a simulated Grid."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from stack import running_stack

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch, tmp_path):
    for name in ("THEGRID_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("GRID_SHIM_CONFIG", str(tmp_path / "none.toml"))


@pytest.fixture
def start():
    """`start(SimulatorConfig(...), **settings)`: a running `Stack`, stopped after the test."""
    with ExitStack() as running:
        yield lambda config=None, **settings: running.enter_context(running_stack(config, **settings))


@pytest.fixture
def stack(start):
    """A running `Stack` as it is by default; turns can be appended to `stack.turns`."""
    return start()
