"""A real model behind the shim: llama.cpp's server with a small language model, none of it ours."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
import pytest
from openai import OpenAI

from shim.cli import server
from shim.cli.local_model import MODEL, PROFILE, local_model, missing
from shim.settings import Settings

PATIENCE = 300  # seconds; a busy machine can make a small model very slow


@dataclass(frozen=True)
class RealModel:
    """The model's own server, and the shim in front of it."""

    upstream: str
    base_url: str

    def ours(self, **request):
        """Our response to a request at temperature 0."""
        return _asked(self.base_url, request)

    def theirs(self, **request):
        """The response of llama.cpp's own `/v1/responses`."""
        return _asked(self.upstream, request)


def _asked(base_url, request):
    body = {"model": MODEL, "temperature": 0, **request}
    response = httpx.post(f"{base_url}/responses", json=body, timeout=PATIENCE, trust_env=False)
    response.raise_for_status()
    return response


@pytest.fixture(scope="session")
def real_model(tmp_path_factory):
    """Both servers, started once."""
    if absent := missing():
        pytest.skip(f"a real model is not installed: {absent} not found")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("GRID_SHIM_CONFIG", str(tmp_path_factory.mktemp("settings") / "none.toml"))
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            environment.delenv(name, raising=False)
            environment.delenv(name.lower(), raising=False)
        with local_model() as upstream:
            settings = Settings(profile=PROFILE, upstream=upstream, seal_key="e2e", keepalive_seconds=0)
            with server.in_thread(settings, server.bind("127.0.0.1", 0)) as base_url:
                yield RealModel(upstream, base_url)


@pytest.fixture
def client(real_model):
    with OpenAI(base_url=real_model.base_url, api_key="any", max_retries=0, timeout=PATIENCE) as opened:
        yield opened
