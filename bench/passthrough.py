"""The least that a bridge in Python can do: starlette and httpx hand the bytes on, both ways, and read none of them.

`python -m bench.passthrough PORT UPSTREAM` is what `bench.compare` measures as `pass-through`. What a bridge costs beyond
this it spends on the bridge's own work, or saves with better parts.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route


def application(upstream: str) -> Starlette:
    """The pass-through to an upstream, whose URL ends with `/v1`."""
    limits = httpx.Limits(max_connections=2000, max_keepalive_connections=2000)
    client = httpx.AsyncClient(timeout=None, limits=limits)

    async def chat(request: Request) -> Response:
        body = await request.body()
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        asked = client.build_request("POST", f"{upstream}/chat/completions", content=body, headers=headers)
        answer = await client.send(asked, stream=True)

        async def handed_on() -> AsyncIterator[bytes]:
            try:
                async for data in answer.aiter_raw():
                    yield data
            finally:
                await answer.aclose()

        return StreamingResponse(handed_on(), answer.status_code, media_type=answer.headers["content-type"])

    return Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])


if __name__ == "__main__":
    uvicorn.run(application(sys.argv[2]), port=int(sys.argv[1]), access_log=False, log_level="warning")
