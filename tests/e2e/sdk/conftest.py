"""Stages for the SDK tests, and Node for those that need it."""

from __future__ import annotations

import pytest
from sdk_stage import stage


@pytest.fixture
def here():
    """A shim with plain settings in front of an obedient model."""
    with stage() as opened:
        yield opened


@pytest.fixture
def client(here):
    with here.openai() as opened:
        yield opened


@pytest.fixture
async def async_client(here):
    async with here.async_openai() as opened:
        yield opened
