"""Shared by the tests of faults: nothing of the user's takes part, and every process ends with its test."""

import os

import pytest
from fault_stage import running
from process_stage import Process
from self_signed import Authority

from shim.simulator import run_in_thread


@pytest.fixture(scope="session", autouse=True)
def _plain_environment(tmp_path_factory):
    """No setting, key or proxy of the person who runs the tests takes part."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith(("GRID_SHIM_", "THEGRID_", "OPENAI_")) or name.upper().endswith(
                "_PROXY"
            ):
                patch.delenv(name)
        config = tmp_path_factory.mktemp("config") / "empty.toml"
        config.touch()
        patch.setenv("GRID_SHIM_CONFIG", str(config))
        patch.setenv("PYTHONWARNINGS", "always::ResourceWarning")
        yield


@pytest.fixture(scope="session")
def stage(tmp_path_factory):
    """One shim for all tests: what one fault leaves behind, the next test meets."""
    with running(tmp_path_factory.mktemp("faults")) as stage:
        yield stage


@pytest.fixture
def start(tmp_path):
    """`start(**settings)`: a context with a stage of its own."""
    return lambda **settings: running(tmp_path, **settings)


@pytest.fixture(scope="session")
def hasty(tmp_path_factory):
    """Another one, which does not wait long for its upstream."""
    with running(tmp_path_factory.mktemp("hasty"), read_seconds=0.6, header_seconds=0.6) as stage:
        yield stage


@pytest.fixture(scope="session")
def secure(tmp_path_factory):
    """One whose upstream speaks TLS, and a port on loopback where nobody does and nobody should ask."""
    folder = tmp_path_factory.mktemp("secure")
    with running(folder, Authority(folder)) as stage, stage.upstream.beside() as plain:
        yield stage, plain


@pytest.fixture(scope="session")
def doubtful(tmp_path_factory):
    """One whose upstream has a certificate for another name."""
    folder = tmp_path_factory.mktemp("doubtful")
    with running(folder, Authority(folder, "elsewhere.example")) as stage:
        yield stage


@pytest.fixture
def grid():
    with run_in_thread() as running:
        yield running


@pytest.fixture
def serve(tmp_path, grid):
    """`serve(*options, **settings)` starts a process in front of the Grid."""
    started = []

    def start(*options, **settings):
        started.append(Process(tmp_path, grid, *options, **settings))
        return started[-1]

    yield start
    for process in started:
        process.close()
