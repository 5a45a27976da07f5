"""A real server on loopback around the application, with fakes where the exchange and the upstream would be."""

import asyncio
import logging

import pytest
from http_fakes import FakeExchange, FakeUpstream, serving

from shim.http import create_app
from shim.settings import Settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GRID_SHIM_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.delenv("THEGRID_API_KEY", raising=False)


class _Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.queue = asyncio.Queue()

    def emit(self, record):
        self.queue.put_nowait(record.getMessage())


@pytest.fixture
def logged():
    """The access log as a queue of lines: waiting for one is waiting for the end of a request."""
    logger, handler = logging.getLogger("shim.access"), _Lines()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.queue
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def exchange():
    return FakeExchange()


@pytest.fixture
def upstream():
    return FakeUpstream()


@pytest.fixture
def serve(exchange, upstream):
    """`async with serve(**settings) as client`: the application behind uvicorn, with the fakes inside."""

    def start(*, ws="auto", **overrides):
        settings = Settings(**{"key": "sk-upstream", "keepalive_seconds": 0, **overrides})
        return serving(create_app(settings, exchange=exchange, upstream=upstream), ws=ws)

    return start
