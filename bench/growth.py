"""Whether memory grows with requests served: many to one worker of the shim, its resident memory on the way.

`python -m bench.growth` sends 50,000 requests, of ten nine not streamed and one a burst of 200 deltas, and takes some
minutes. Memory is read after each tenth of them, and at the end once the process has rested. The first tenth fills caches
and pools; what counts is whether the others add to it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.contenders import CONTENDERS, Served, serving
from bench.load import Scenario, measure
from bench.processes import cores, pin, rss_bytes, upstream

CLIENTS = 50
REST_SECONDS = 5.0
STEPS = 10


def step(served: Served, requests: int) -> int:
    """So many requests; those that failed."""
    streamed = requests // 10
    failed = 0
    for model, count in (("nonstream", requests - streamed), ("burst", streamed)):
        asked = Scenario(
            model, CLIENTS, stream=model == "burst", store=served.contender.store, each=count // CLIENTS
        )
        failed += measure(served.url, asked, served.contender.dialect).failed
    return failed


def megabytes(served: Served) -> str:
    """Resident memory."""
    assert served.pid is not None
    return f"{rss_bytes(served.pid) / 1e6:7.1f} MB"


def main() -> None:
    """Send, and show the memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--stored", action="store_true", help="requests that are stored")
    given = parser.parse_args()
    if given.requests < STEPS * STEPS * CLIENTS:
        parser.error(f"at least {STEPS * STEPS * CLIENTS} requests")
    shim_core, feeding_core = cores()
    pin(feeding_core)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shim-bench-")))
        port, _ = stack.enter_context(upstream(feeding_core))
        contender = CONTENDERS["shim-stored" if given.stored else "shim"]
        served = stack.enter_context(serving(contender, port, shim_core, folder))
        print(f"{0:7} requests {megabytes(served)}", flush=True)
        failed, each = 0, given.requests // STEPS
        for number in range(1, STEPS + 1):
            failed += step(served, each)
            print(f"{number * each:7} requests {megabytes(served)}  {failed} failed", flush=True)
        time.sleep(REST_SECONDS)
        print(f"{'after a rest':16} {megabytes(served)}")


if __name__ == "__main__":
    main()
