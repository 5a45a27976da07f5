"""What an open stream holds, by the size of its request.

`python -m bench.held` opens a number of paced streams for each size, as Codex asks (`store: false`) and with `store: true`, and
reads the shim's resident memory before, while all are open, and once the process has rested. A history is made of messages,
reasoning, calls and their outputs; besides, a request has 10 KB of instructions and tools, which its response repeats.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from bench.chunks import PACE_SECONDS, PACED_DELTAS
from bench.contenders import CONTENDERS, Served, Unavailable, serving
from bench.micro import history
from bench.processes import cores, pin, rss_bytes, upstream

SIZES = ((5, 10_000), (50, 80_000), (500, 1_000_000))
"""Items of a history, and about how many bytes they have together."""

STREAMS = 30
REST_SECONDS = 8.0
"""Longer than a server waits before it gives memory back."""


def begun(served: Served, body: bytes) -> http.client.HTTPConnection:
    """The connection of a stream that has begun to answer."""
    host = urlsplit(served.url)
    connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=60)
    headers = {"content-type": "application/json", "authorization": "Bearer bench"}
    connection.request("POST", served.contender.dialect.path, body, headers)
    answer = connection.getresponse()
    assert answer.status == http.HTTPStatus.OK, answer.read()
    while b"output_text.delta" not in answer.readline():
        pass
    return connection


def held(body: bytes, streams: int) -> tuple[float, float]:
    """Bytes a stream while all are open, and bytes in all that are left afterwards; in a shim of its own."""
    shim_core, feeding_core = cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shim-bench-")))
        port, _ = stack.enter_context(upstream(feeding_core))
        served = stack.enter_context(serving(CONTENDERS["shim"], port, shim_core, folder))
        assert served.pid is not None
        begun(served, body).close()
        time.sleep(REST_SECONDS)
        before, began = rss_bytes(served.pid), time.monotonic()
        connections = [begun(served, body) for _ in range(streams)]
        during = rss_bytes(served.pid)
        if time.monotonic() - began > PACED_DELTAS * PACE_SECONDS:
            raise Unavailable("the first streams had ended before the last one was open: ask for fewer")
        for connection in connections:
            connection.close()
        time.sleep(REST_SECONDS)
        return (during - before) / streams, rss_bytes(served.pid) - before


def main() -> None:
    """Measure each size, stored and not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=STREAMS)
    given = parser.parse_args()
    pin(cores()[1])
    for items, filled in SIZES:
        for store in (False, True):
            asked = {**json.loads(history(items, filled)), "model": "paced", "store": store}
            body = json.dumps(asked).encode()
            try:
                each, left = held(body, given.streams)
            except Unavailable as reason:
                parser.error(str(reason))
            about = f"a request of {len(body) / 1e3:4.0f} KB, store: {str(store).lower():5}"
            print(f"{about} {each / 1e3:6.0f} KB a stream, {left / 1e6:4.1f} MB left afterwards", flush=True)


if __name__ == "__main__":
    main()
