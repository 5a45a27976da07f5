"""A client for the simulator."""

from __future__ import annotations

import httpx
import pytest
from simulator_requests import AUTHORIZATION


@pytest.fixture
async def client():
    async with httpx.AsyncClient(
        headers={"authorization": AUTHORIZATION}, timeout=10, verify=False
    ) as open_client:
        yield open_client


@pytest.fixture
def post(client):
    """Post a chat request, following a redirect as The Grid asks for it."""

    async def _post(simulator, body, **options):
        response = await client.post(f"{simulator.base_url}/chat/completions", json=body, **options)
        while response.status_code in (307, 308):
            response = await client.post(response.headers["location"], json=body, **options)
        return response

    return _post
